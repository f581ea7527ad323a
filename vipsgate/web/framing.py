"""HTTP/1.1 framing: finds where a request's head and its body end; pure.

Requests are parsed by llhttp, in aiohttp, which is strict. This module reads the head of a request
before, for three reasons:

* Two things that llhttp refuses are sent by real clients and have only one meaning, so they are
  rewritten. One is ``Transfer-Encoding: chunked`` with ``Content-Length`` (sent by OSS's SDK for C
  with every write, and by ali-oss with a stream): the length is dropped (RFC 9112, 6.3). The other
  is bytes above 127 in the request line: they are percent-encoded, as a browser does.
* A malformed request is refused with OSS's error as soon as that can be told, even if the rest
  never arrives.
* The server must know where a message ends, as only there the next head begins.

RULE: nothing is guessed. A head that parsers may read differently is refused: more than one length
or coding, signs and blanks in a length, a folded header, a line that ends without CR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import (
    HttpVersionNotSupported,
    InvalidRequest,
    OssError,
    RequestHeaderFieldsTooLarge,
    Unimplemented,
    UriTooLong,
    shown,
)

LINE_BYTES = 32768  # largest request line or header; a watermark's text and styles fit many times
HEAD_BYTES = 8 * LINE_BYTES  # largest head, as in deploy/nginx
MAX_HEADERS = 128  # aiohttp's own limit
LENGTH_DIGITS = 18  # longest Content-Length: more than any disk has, and fits in 64 bits
METHOD_BYTES = 24  # longest method; the longest registered with IANA is UPDATEREDIRECTREF, 17

END = b"\r\n\r\n"
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
REQUEST_LINE = re.compile(rb"(%b) +([!-~\x80-\xff]+) +HTTP/([0-9])\.([0-9])" % TOKEN)
HEADER = re.compile(rb"(%b):([\t -~\x80-\xff]*)" % TOKEN)  # RFC 9110, 5.5
METHOD_BEGUN = re.compile(rb"%b(?: |\Z)" % TOKEN)
EMPTY_LINES = re.compile(rb"(?:\r\n)*")  # ignored before a request line (RFC 9112, 2.2)
BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
NOT_ASCII = re.compile(rb"[\x80-\xff]")
TLS = b"\x16\x03"  # the beginning of a TLS client's first message (RFC 8446, 5.1)
VERSIONS = ((b"1", b"1"), (b"1", b"0"))
CODINGS = frozenset(b"compress deflate gzip x-compress x-gzip".split())  # RFC 9112, 7


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers of one request.

    Attributes:
        data: Their bytes for the parser, with the empty line.
        length: Size of the body, in bytes; ``None`` for a chunked body.
    """

    data: bytes
    length: int | None


class HeadBuffer:
    """Collects the pieces of a head until it is complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._seen = 0  # bytes that were searched for its end
        self._line_read = False

    def __bool__(self) -> bool:
        return bool(self._data)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add bytes, and return the head if it is complete.

        Args:
            data: The next bytes that the client has sent.

        Returns:
            The head with its empty line, and the bytes after it; ``None`` if it is not complete.

        Raises:
            OssError: The bytes so far are not the beginning of a valid request.
        """
        buffer = self._data
        buffer += data
        if not self._seen:
            del buffer[: EMPTY_LINES.match(buffer).end()]  # type: ignore[union-attr]  # fits any
        end = buffer.find(END, max(0, self._seen - len(END) + 1))
        if end >= 0:
            end += len(END)
            head, rest = bytes(buffer[:end]), bytes(buffer[end:])
            self._data, self._seen, self._line_read = bytearray(), 0, False
            return head, rest
        if buffer and buffer != b"\r":  # which may begin an empty line
            self._check()
            self._seen = len(buffer)
        return None

    def _check(self) -> None:
        """Refuse a head that cannot become valid, whatever follows."""
        buffer = self._data
        if not self._line_read:
            end = buffer.find(b"\r\n", max(0, self._seen - 1))
            if end >= 0:
                _read_line(bytes(buffer[:end]))
                self._line_read = True
            elif not METHOD_BEGUN.match(bytes(buffer[:METHOD_BYTES])):
                raise _no_request_line(bytes(buffer[:LINE_BYTES]))
            elif len(buffer) > LINE_BYTES:
                raise _line_too_long()
        if BARE_LINE_FEED.search(buffer, self._seen):
            raise InvalidRequest("A line of the request's head ends with LF alone, not with CR LF.")
        last_line = buffer.rfind(b"\n", max(0, len(buffer) - LINE_BYTES - 1)) + 1
        if len(buffer) - last_line > LINE_BYTES or len(buffer) > HEAD_BYTES:
            raise _headers_too_large()


def read(data: bytes) -> Head:
    """Check a head, and return it as the parser accepts it, with the length of the body.

    Args:
        data: A complete head with its empty line.

    Raises:
        InvalidRequest: It is not valid by RFC 9112, or is ambiguous.
        UriTooLong: The request line is longer than :data:`LINE_BYTES`, percent-encoded.
        RequestHeaderFieldsTooLarge: The headers are too many, or too large.
        HttpVersionNotSupported: It is neither HTTP/1.1 nor HTTP/1.0.
        Unimplemented: The body has a transfer coding besides ``chunked``.
    """
    if len(data) > HEAD_BYTES:
        raise _headers_too_large()
    line, *lines = data.removesuffix(END).split(b"\r\n")
    line, version = _read_line(line)
    if len(lines) > MAX_HEADERS:
        raise _headers_too_large()
    others: list[bytes] = []  # all headers but Content-Length
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for item in lines:
        header = HEADER.fullmatch(item)
        if len(item) > LINE_BYTES:
            raise _headers_too_large()
        if not header:
            raise _no_header(item)
        name = header[1].lower()
        if name == b"content-length":
            lengths.append(header[2])
        else:
            others.append(item)
        if name == b"transfer-encoding":
            codings.append(header[2])
    length = _read_length(lengths)
    if not codings:
        return Head(_written(line, lines), length)
    _check_coding(codings, version)
    return Head(_written(line, others), None)


def _written(line: bytes, headers: list[bytes]) -> bytes:
    return b"\r\n".join((line, *headers)) + END


def _read_line(line: bytes) -> tuple[bytes, bytes]:
    """Return the request line in ASCII, percent-encoded if needed, and the minor version."""
    parts = REQUEST_LINE.fullmatch(line)
    if not parts:
        raise _no_request_line(line)
    if (parts[3], parts[4]) not in VERSIONS:
        raise HttpVersionNotSupported(
            f"The request is written in HTTP/{parts[3].decode()}.{parts[4].decode()}. "
            "It expects HTTP/1.1 or HTTP/1.0."
        )
    if not line.isascii():
        line = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line)
    if len(line) > LINE_BYTES:
        raise _line_too_long()
    return line, parts[4]


def _read_length(lengths: list[bytes]) -> int:
    """Return the value of Content-Length; 0 if there is none."""
    if not lengths:
        return 0
    text = lengths[0].strip(b" ")
    if len(lengths) > 1 or not (text.isdigit() and len(text) <= LENGTH_DIGITS):
        raise InvalidRequest(
            f"The value: {_shown(b', '.join(lengths))} of header: Content-Length is invalid. "
            f"It expects one number of up to {LENGTH_DIGITS} digits."
        )
    return int(text)


def _check_coding(codings: list[bytes], version: bytes) -> None:
    """Refuse every Transfer-Encoding but one ``chunked`` (RFC 9112, 6.1 and 6.3)."""
    value = b", ".join(codings)
    if version == b"0":
        raise InvalidRequest("HTTP/1.0 has no Transfer-Encoding.")
    if len(codings) == 1 and codings[0].strip(b" ").lower() == b"chunked":
        return
    *inner, last = (coding.strip(b" \t").lower() for coding in value.split(b","))
    if last == b"chunked" and inner and CODINGS.issuperset(inner):
        raise Unimplemented(
            "A header you provided implies functionality that is not implemented. "
            f"Transfer-Encoding is {_shown(value)}; it may be chunked.",
            extra={"Header": "Transfer-Encoding"},
        )
    raise InvalidRequest(
        f"The value: {_shown(value)} of header: Transfer-Encoding is invalid. It expects chunked."
    )


def _no_request_line(line: bytes) -> OssError:
    if line.startswith(TLS):
        return InvalidRequest("The request begins like one of TLS; this port speaks HTTP.")
    return InvalidRequest(
        f"The request begins with {_shown(line)}. It expects METHOD TARGET HTTP/1.1."
    )


def _no_header(line: bytes) -> OssError:
    return InvalidRequest(f"The header line {_shown(line)} is invalid. It expects NAME: VALUE.")


def _line_too_long() -> OssError:
    return UriTooLong(f"The request line is too long. It may have {LINE_BYTES} bytes.")


def _headers_too_large() -> OssError:
    return RequestHeaderFieldsTooLarge(
        f"The headers are too large. There may be {MAX_HEADERS} of them, of {LINE_BYTES} bytes "
        f"each and {HEAD_BYTES} bytes together."
    )


def _shown(data: bytes) -> str:
    """Return bytes of a client as they are repeated in a message."""
    return repr(shown(data[:LINE_BYTES].decode("latin-1")))
