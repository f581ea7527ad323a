"""Content codings, by which an object or a request's body is encoded (Content-Encoding).

This server neither encodes nor decodes: bytes are stored and sent unchanged, with the header. So
code that reads the bytes must know whether they are encoded. Clients also write other words into
the header (``utf-8`` in OSS's own examples, ``aws-chunked`` of S3's clients), which are ignored.
"""

from __future__ import annotations

# IANA, HTTP Content Coding Registry, without identity
CODINGS = frozenset(
    "aes128gcm br compress dcb dcz deflate exi gzip pack200-gzip x-compress x-gzip zstd".split()
)


def applied(header: str) -> tuple[str, ...]:
    """Return the codings that a value of Content-Encoding names, in their order."""
    words = (word.strip().lower() for word in header.split(","))
    return tuple(word for word in words if word in CODINGS)
