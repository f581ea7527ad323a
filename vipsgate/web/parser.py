"""The parser of a connection: aiohttp's own, which is given requests one by one.

* A request is passed to aiohttp's parser when its head is complete and was checked by
  :mod:`.framing`. A GET or HEAD in one piece, in ASCII and with nothing after it, as nearly all
  are, is passed on directly. The result is used only if it is a request of HTTP/1.x without a body;
  otherwise the request is checked and parsed again.
* A malformed request is returned as its error, and nothing is read after it.
* Nothing is read after a chunked body: clients, proxies and this server might disagree on where it
  ends, and a second request could be hidden there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, http_exceptions, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from ..errors import InvalidRequest, OssError, Unimplemented, shown
from . import framing

MAX_PIPELINED = 8  # requests read ahead of their answers; aiohttp's own limit is 32
PIPELINED_BYTES = 1 << 16  # unread bytes after these; with more, the connection is then closed
PLAIN_METHODS = (b"GET ", b"HEAD")
END = framing.END
VERSIONS = (HttpVersion11, HttpVersion10)

Read = tuple[RawRequestMessage, StreamReader]  # a request and its body
Fed = tuple[Sequence[Read | tuple[_ErrInfo, StreamReader]], bool, bytes]


class Parser:
    """aiohttp's parser, which is given the requests of a connection one by one.

    It has the methods that aiohttp's ``RequestHandler`` calls.

    Args:
        make: Creates the parser.

    Attributes:
        ended: Whether nothing more is read from the connection.
    """

    __slots__ = (
        *("_ahead", "_body", "_heads", "_left", "_make", "_parser", "_plain", "_rest"),
        "ended",
    )

    def __init__(self, make: Callable[[], HttpRequestParser]) -> None:
        self._make = make
        self._parser = make()
        self._heads = framing.HeadBuffer()
        self._body: StreamReader | None = None  # the body of the last request, if not complete
        self._left: int | None = 0  # bytes of it that are to come; None if it is chunked
        self._rest = b""  # bytes after it, or after as many requests as may wait
        self._plain = True  # whether the next byte begins a request
        self._ahead: Fed | None = None  # the result for the data that is fed next
        self.ended = False

    def feed_data(self, data: bytes) -> Fed:
        """Return the requests whose heads ``data`` completes; a malformed one as its error."""
        if (ahead := self._ahead) is not None:
            self._ahead = None
            return ahead
        if self._plain and data[-4:] == END and data[:4] in PLAIN_METHODS and data.isascii():
            try:
                fed = self._parser.feed_data(data)
                if len(fed[0]) == 1:
                    message, body = fed[0][0]
                    # after a request to upgrade, the parser discards the rest
                    if (
                        body is EMPTY_PAYLOAD
                        and not message.upgrade
                        and message.version in VERSIONS
                    ):
                        return fed
            except http_exceptions.HttpProcessingError:
                pass  # the error is found again below
            self._parser = self._make()
        return self._feed(data)

    def look_ahead(self, data: bytes) -> Fed:
        """Return the result of :meth:`feed_data` for data that is fed next or dropped."""
        self._ahead = self.feed_data(data)
        return self._ahead

    def drop(self) -> None:
        """Forget the result of :meth:`look_ahead`, as its request is answered."""
        self._ahead = None

    def pause_reading(self) -> None:
        """Pause parsing of a body; called while data is fed."""
        self._parser.pause_reading()

    def message_consumed(self) -> None:
        """Do nothing: waiting requests are kept here, not in aiohttp's parser."""

    def set_upgraded(self, val: bool) -> None:
        """Do nothing: there are no upgrades; aiohttp 3.14.1 calls this after each answer."""

    def _feed(self, data: bytes) -> Fed:
        requests: list[Any] = []
        if self.ended:
            return requests, False, b""
        data = self._rest + data
        try:
            while True:
                if self._body is not None:
                    data = self._feed_body(self._body, data)
                if self.ended or self._body is not None or len(requests) == MAX_PIPELINED:
                    break
                if (whole := self._heads.feed(data)) is None:
                    data = b""
                    break
                head, data = whole
                requests.append(self._begin(framing.read(head)))
        except OssError as error:
            refusal = _ErrInfo(error.status, error, error.message)
            requests.append((refusal, EMPTY_PAYLOAD))
            self.ended = True
        if len(data) > PIPELINED_BYTES and requests and self._body is None and not self.ended:
            message, body = requests[-1]
            requests[-1] = (message._replace(should_close=True), body)
            self.ended = True
        self._rest = b"" if self.ended else data
        self._plain = not (self.ended or self._rest or self._heads or self._body is not None)
        return requests, False, b""

    def _begin(self, head: framing.Head) -> Read:
        """Return the request with a head; its body follows."""
        try:
            read = self._feed_parser(head.data)
        except http_exceptions.BadHttpMethod:
            method = shown(head.data.partition(b" ")[0].decode())
            raise Unimplemented(f"The method: {method} is not implemented.") from None
        except http_exceptions.HttpProcessingError as error:
            raise InvalidRequest(f"The request is not valid HTTP: {_reason(error)}") from None
        if len(read) != 1 or read[0][1].is_eof() != (head.length == 0):
            raise InvalidRequest("The end of the request cannot be determined.")
        message, payload = read[0]
        if head.length is None:
            message = message._replace(should_close=True)
        if head.length != 0:
            self._body, self._left = payload, head.length
        return message, payload

    def _feed_body(self, body: StreamReader, data: bytes) -> bytes:
        """Feed the part of ``data`` that belongs to the body, and return the rest."""
        if self._left is None:
            try:
                self._feed_parser(data)  # a request after the body is discarded
            except http_exceptions.HttpProcessingError as error:
                if not body.is_eof():
                    body.set_exception(web.RequestPayloadError(_reason(error)))
                self.ended = True
            self.ended = self.ended or body.is_eof()
            return b""
        size = min(self._left, len(data))
        self._feed_parser(data[:size])
        self._left -= size
        if not self._left and body.is_eof():
            self._body = None
        return data[size:]

    def _feed_parser(self, data: bytes) -> Sequence[Read]:
        messages, upgraded, _ = self._parser.feed_data(data)
        if upgraded:  # upgrades to other protocols are not supported
            self._parser.set_upgraded(False)
        return messages


def _reason(error: http_exceptions.HttpProcessingError) -> str:
    """Return the first line of the parser's error; further lines repeat the request."""
    return shown(error.message.partition("\n")[0].strip(" :.")) + "."
