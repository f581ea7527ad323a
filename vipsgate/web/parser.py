"""The parser of a connection: aiohttp's own, which is given requests one by one.

* A request is handed to it when its head is whole and has been read by :mod:`.framing`; but a GET
  or HEAD as nearly all of them come, in one piece, in ASCII and with nothing behind it, goes to it
  at once. What it makes of that is used only if it is a request of HTTP/1.x without a body; all
  else is taken the long way, too.
* What is no request is returned as its error, and nothing is read behind it.
* Behind a body that chunks end, nothing more is read: whatever a client, a proxy and this server
  may think of where such a body ends, there is no second request to be found there.
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

MAX_PIPELINED = 8  # requests read ahead of their answers; aiohttp's own bound is 32
PIPELINED_BYTES = 1 << 16  # behind them; who sends more is answered so far, and no further
PLAIN_METHODS = (b"GET ", b"HEAD")
END = framing.END
VERSIONS = (HttpVersion11, HttpVersion10)

Read = tuple[RawRequestMessage, StreamReader]  # a request, and its body
Fed = tuple[Sequence[Read | tuple[_ErrInfo, StreamReader]], bool, bytes]


class Parser:
    """aiohttp's parser, which is given the requests of a connection one by one.

    It has the methods that aiohttp's ``RequestHandler`` calls.

    Args:
        make: Makes the parser.

    Attributes:
        ended: Nothing more is read from the connection.
    """

    __slots__ = (
        *("_ahead", "_body", "_heads", "_left", "_make", "_parser", "_plain", "_rest"),
        "ended",
    )

    def __init__(self, make: Callable[[], HttpRequestParser]) -> None:
        self._make = make
        self._parser = make()
        self._heads = framing.HeadBuffer()
        self._body: StreamReader | None = None  # of the last request, not yet come to its end
        self._left: int | None = 0  # bytes of it that are still to come; None: chunks tell
        self._rest = b""  # behind it, or behind as many requests as may wait
        self._plain = True  # a request is to begin, and nothing is left from before
        self._ahead: Fed | None = None  # what has been made of the data that is to be fed next
        self.ended = False

    def feed_data(self, data: bytes) -> Fed:
        """Return the requests that ``data`` makes whole, but for their bodies.

        One that is refused is returned as well, as its error.
        """
        if (ahead := self._ahead) is not None:
            self._ahead = None
            return ahead
        if self._plain and data[-4:] == END and data[:4] in PLAIN_METHODS and data.isascii():
            try:
                fed = self._parser.feed_data(data)
                if len(fed[0]) == 1:
                    message, body = fed[0][0]
                    # behind a request to upgrade, the parser has thrown away what there was
                    if (
                        body is EMPTY_PAYLOAD
                        and not message.upgrade
                        and message.version in VERSIONS
                    ):
                        return fed
            except http_exceptions.HttpProcessingError:
                pass  # why, is found out below
            self._parser = self._make()
        return self._feed(data)

    def look_ahead(self, data: bytes) -> Fed:
        """Return the requests that ``data`` makes whole, which is fed next, or dropped."""
        self._ahead = self.feed_data(data)
        return self._ahead

    def drop(self) -> None:
        """The data that was looked at is not fed: its requests are answered."""
        self._ahead = None

    def pause_reading(self) -> None:
        """Have no more of the body in ``data``; called while it is fed."""
        self._parser.pause_reading()

    def message_consumed(self) -> None:
        """A request is answered now; requests wait here, not in the parser."""

    def set_upgraded(self, val: bool) -> None:
        """There is no other protocol to end; aiohttp 3.14.1 ends one after each answer."""

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
        """Return the request with this head; its body is to come."""
        try:
            read = self._feed_parser(head.data)
        except http_exceptions.BadHttpMethod:
            method = shown(head.data.partition(b" ")[0].decode())
            raise Unimplemented(f"The method: {method} is not implemented.") from None
        except http_exceptions.HttpProcessingError as error:
            raise InvalidRequest(f"The request is not one of HTTP: {_reason(error)}") from None
        if len(read) != 1 or read[0][1].is_eof() != (head.length == 0):
            raise InvalidRequest("It cannot be told where the request ends.")
        message, payload = read[0]
        if head.length is None:
            message = message._replace(should_close=True)
        if head.length != 0:
            self._body, self._left = payload, head.length
        return message, payload

    def _feed_body(self, body: StreamReader, data: bytes) -> bytes:
        """Hand on what of ``data`` belongs to the body, and return what comes behind it."""
        if self._left is None:
            try:
                self._feed_parser(data)  # a request behind the body would be found, and is lost
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
        if upgraded:  # to another protocol, which is not done here
            self._parser.set_upgraded(False)
        return messages


def _reason(error: http_exceptions.HttpProcessingError) -> str:
    """The first line of what the parser says; the next ones repeat the request."""
    return shown(error.message.partition("\n")[0].strip(" :.")) + "."
