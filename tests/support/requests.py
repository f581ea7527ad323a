"""Requests as bytes."""

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    """A body in these chunks, to its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def put(body: bytes, *headers: bytes, length: bool = True) -> bytes:
    """An upload with this body, and further headers."""
    rows = [b"PUT /b HTTP/1.1", b"Host: a", *headers]
    rows += [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([*rows, b"", body])
