"""Content codings: what Content-Encoding says of the bytes of an object, or of a request's body.

This server neither encodes nor decodes: bytes are stored and sent as they came, with the header. So
whoever needs to look into them must know whether they are encoded. Much stands in that header that
is no coding (``utf-8`` in OSS's own examples, ``aws-chunked`` of S3's clients); it says nothing.
"""

from __future__ import annotations

# IANA, HTTP Content Coding Registry, all but identity
CODINGS = frozenset(
    "aes128gcm br compress dcb dcz deflate exi gzip pack200-gzip x-compress x-gzip zstd".split()
)


def applied(header: str) -> tuple[str, ...]:
    """Return the codings that a value of Content-Encoding names, in their order."""
    words = (word.strip().lower() for word in header.split(","))
    return tuple(word for word in words if word in CODINGS)
