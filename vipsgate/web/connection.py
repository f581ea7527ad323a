"""A client's connection: requests are read one by one, and it is closed so that answers arrive.

Built on aiohttp's own server, which is replaced in six points:

* A request is handed to the parser when its head is whole and has been read by
  :mod:`vipsgate.web.framing`; but a GET or HEAD as nearly all of them come, in one piece, in ASCII
  and with nothing behind it, goes to the parser at once. What the parser makes of it is used only
  if it is a request of HTTP/1.x without a body; all else is taken the long way, too.
* What is no request is refused in OSS's words, and the connection is closed behind it.
* Behind a body that chunks end, nothing more is read: whatever a client, a proxy and this server
  may think of where such a body ends, there is no second request to be found there.
* A body that nobody has read is read to its end if that is near. If not, the connection is closed,
  and first only in one direction: were it closed at once, the client's bytes on their way would be
  answered with a reset, which makes his system forget the answer (nginx's ``lingering_close``).
* Refusals for want of time may be held back (:mod:`vipsgate.web.throttle`), and requests for what
  is work wait for their turn before they are parsed (:mod:`vipsgate.web.turns`).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, http_exceptions, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from ..errors import InternalError, InvalidRequest, OssError, Unimplemented, shown
from . import framing
from .prebuilt import HOLD, Ready
from .throttle import Throttle
from .turns import Turns

KEEPALIVE_SECONDS = 75.0  # that a connection may be unused; nginx's own default
BODY_BUFFER_BYTES = 1 << 16  # of a body, half of what is held while nobody reads it
MAX_PIPELINED = 8  # requests read ahead of their answers; aiohttp's own bound is 32
PIPELINED_BYTES = 1 << 16  # behind them; who sends more is answered so far, and no further
STALL_SECONDS = 60.0  # that a client may take nothing of an answer; nginx's send_timeout
IDLE_SECONDS = 1.0  # after which an unused connection may be closed where another one waits
DRAIN_BYTES = 1 << 16  # of a body that nobody wants, read so that the connection stays open
DRAIN_SECONDS = 2.0  # for them to come
LINGER_BYTES = 32 << 20  # thrown away of what comes behind the last answer: a whole source of OSS
LINGER_SECONDS = 5.0  # for that
LINGER_PAUSE = 0.002  # seconds between two readings of it, of 250 KB at most: a gigabit a second
PLAIN_METHODS = (b"GET ", b"HEAD")
END = framing.END

Read = tuple[RawRequestMessage, StreamReader]  # a request, and its body
Fed = tuple[Sequence[Read | tuple[_ErrInfo, StreamReader]], bool, bytes]
Refuse = Callable[[web.BaseRequest, OssError], web.StreamResponse]
IsWork = Callable[[bytes], bool]  # is this the beginning of a request that is to wait for its turn?
Around = Callable[..., Awaitable[web.StreamResponse]]
VERSIONS = (HttpVersion11, HttpVersion10)
log = logging.getLogger(__name__)


class Parser:
    """aiohttp's parser, which is given the requests of a connection one by one.

    It has the methods that aiohttp's ``RequestHandler`` calls.

    Args:
        make: Makes the parser.

    Attributes:
        ended: Nothing more is read from the connection.
    """

    __slots__ = ("_body", "_heads", "_left", "_make", "_parser", "_plain", "_rest", "ended")

    def __init__(self, make: Callable[[], HttpRequestParser]) -> None:
        self._make = make
        self._parser = make()
        self._heads = framing.HeadBuffer()
        self._body: StreamReader | None = None  # of the last request, not yet come to its end
        self._left: int | None = 0  # bytes of it that are still to come; None: chunks tell
        self._rest = b""  # behind it, or behind as many requests as may wait
        self._plain = True  # a request is to begin, and nothing is left from before
        self.ended = False

    def feed_data(self, data: bytes) -> Fed:
        """Return the requests that ``data`` makes whole, but for their bodies.

        One that is refused is returned as well, as its error.
        """
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


class Connection(web.RequestHandler):
    """One connection, and the requests on it.

    Args:
        manager: The server, which counts its connections.
        loop: Where it runs.
        refuse: Makes the answer to what is no request, and in place of one that a handler owes.
        throttle: Holds refusals back.
        turns: When a request begins that ``is_work`` says waits for its turn.
        is_work: Whether one does.
        options: See ``web.RequestHandler``.

    Attributes:
        came: When the latest request that waited for its turn came, by ``time.perf_counter``, to be
            set to 0 by whoever answers it; 0 for one that did not wait.
    """

    __slots__ = (
        *("_holding", "_is_work", "_left", "_refuse", "_resuming", "_stall", "_throttle"),
        *("_turns", "came"),
    )

    def __init__(
        self,
        manager: Server,
        *,
        loop: asyncio.AbstractEventLoop,
        refuse: Refuse,
        throttle: Throttle,
        turns: Turns,
        is_work: IsWork,
        **options: Any,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            read_bufsize=BODY_BUFFER_BYTES,
            auto_decompress=False,  # a body is stored as it comes
            lingering_time=0,  # what aiohttp does for it has no bound of bytes
            **options,
        )
        make = partial(
            HttpRequestParser,
            self,
            loop,
            BODY_BUFFER_BYTES,
            max_line_size=framing.LINE_BYTES,
            max_field_size=framing.LINE_BYTES,
            max_headers=framing.MAX_HEADERS,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
        )
        self._parser: Any = Parser(make)
        self._max_msg_queue_size = MAX_PIPELINED
        self._msg_queue_resume_size = MAX_PIPELINED // 2
        self._refuse, self._throttle = refuse, throttle
        self._turns, self._is_work, self.came = turns, is_work, 0.0
        self._resuming = self._holding = False
        self._left = 0  # bytes of an answer that the client has not taken at the last look
        self._stall: asyncio.TimerHandle | None = None

    def idle_since(self) -> float | None:
        """When it began to wait for a request, in the loop's time; ``None`` where it does not."""
        waiter = self._waiter
        if self._holding or waiter is None or waiter.done():
            return None
        return self._next_keepalive_close_time - KEEPALIVE_SECONDS

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; where that is work, when its turn comes."""
        transport = self.transport
        begun = self._current_request is not None or bool(self._messages)
        if begun or transport is None or not self._is_work(data):
            super().data_received(data)
            return
        self.came = 0.0
        if self._turns.take():
            super().data_received(data)
            return
        self.came = time.perf_counter()
        transport.pause_reading()
        self._holding = True
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_SECONDS
        self._turns.wait(partial(self._begin, data, transport))

    def _begin(self, data: bytes, transport: asyncio.Transport) -> bool:
        self._holding = False
        if transport.is_closing() or self.transport is None:
            return False
        super().data_received(data)
        if not (self._reading_paused or self._buffer_paused):
            transport.resume_reading()
        return True

    def pause_writing(self) -> None:
        """The client does not take its answer as fast as it is given; it has a while."""
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        """It has taken it."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is closed, from either end."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().connection_lost(exc)

    def _watch_stall(self) -> None:
        transport = self.transport
        if transport is not None:
            self._left = transport.get_write_buffer_size()
            self._stall = self._loop.call_later(STALL_SECONDS, self._look_at_stall, transport)

    def _look_at_stall(self, transport: asyncio.Transport) -> None:
        if transport.get_write_buffer_size() < self._left:
            self._watch_stall()
        else:
            transport.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on with a body that was not taken fast enough, after the loop's next turn.

        A block from the kernel may have 40,000 chunks of one byte; at once they would all be parsed
        inside of one read, and nobody else be answered for a quarter of a second.
        """
        if not resume_parser:
            super().resume_reading(resume_parser=False)
        elif self._reading_paused and not self._resuming:
            self._resuming = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self._parser is not None and self._reading_paused:
            super().resume_reading()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer in place of one that a handler has failed to give.

        Raises:
            ConnectionError: A part of another one has been sent already.
        """
        log.error("a request has failed: %s %s", request.method, request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent")
        response = self._refuse(request, InternalError("The server has a fault; see its log."))
        response.force_close()
        return response

    def _make_error_handler(
        self, err_info: _ErrInfo
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return what answers in place of a request that is none."""
        error = err_info.exc
        assert isinstance(error, OssError)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            request._version = HttpVersion11  # aiohttp's stand-in for a request says 1.0
            return self._refuse(request, error)

        return answer

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send the answer; what then happens to the connection is decided here."""
        if HOLD in resp and (seconds := self._throttle.delay(resp[HOLD])):
            if isinstance(resp, Ready) and request.content.is_eof() and not self._messages:
                return self._finish_later(request, resp, seconds)
            return self._finish_held(request, resp, start_time, seconds)
        finish = super().finish_response(request, resp, start_time)
        if request.content.is_eof() and request.keep_alive:
            return finish
        return self._finish_last(request, resp, finish)

    async def _finish_later(
        self, request: web.BaseRequest, response: Ready, seconds: float
    ) -> tuple[web.StreamResponse, bool]:
        """Have the answer sent later, and hold nothing of the request meanwhile.

        Nothing is read before: what comes next is answered after this.
        """
        request._finish()
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._holding = True
            self._throttle.hold(seconds, partial(self._send_and_read_on, response, transport))
        return response, False

    def _send_and_read_on(self, response: Ready, transport: asyncio.Transport) -> None:
        self._holding = False
        response.send()
        if not transport.is_closing():
            transport.resume_reading()

    async def _finish_held(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        start_time: float | None,
        seconds: float,
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer later, where more is to be done than to send it."""
        turn = self._loop.create_future()
        self._throttle.hold(seconds, partial(_set, turn))
        await turn
        del response[HOLD]
        return await self.finish_response(request, response, start_time)

    async def _finish_last(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        finish: Coroutine[Any, Any, tuple[web.StreamResponse, bool]],
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer that may be the last one on this connection."""
        body = request.content
        stays = request.keep_alive and _is_nearly_read(request)
        if not stays and not response.prepared:
            response.force_close()
        finished = await finish
        if stays:
            await _drain(body)
        if not body.is_eof() or (self._parser is not None and self._parser.ended):
            self._linger()
        return finished

    def _linger(self) -> None:
        """Send nothing more, and throw away what comes until the client has closed, too."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._force_close = True  # aiohttp is done with the connection, but must not close it
        transport.set_protocol(_Lingering(transport, self.connection_lost, self._loop))
        transport.write_eof()
        transport.resume_reading()


class _Lingering(asyncio.Protocol):
    """The end of a connection: bytes are counted, and thrown away.

    Args:
        transport: Which is closed after :data:`LINGER_BYTES` or :data:`LINGER_SECONDS`.
        lost: Called when it is closed.
        loop: Where this is.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        lost: Callable[[Exception | None], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport, self._lost = transport, lost
        self._loop, self._left = loop, LINGER_BYTES
        self._end = loop.call_later(LINGER_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()
        else:  # else the loop would read on and on from this one, before anybody's turn
            self._transport.pause_reading()
            self._loop.call_later(LINGER_PAUSE, self._read_on)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._lost(exc)


class Server(web.Server):
    """All connections of a port.

    Args:
        handler: Answers requests.
        refuse: See :class:`Connection`.
        throttle: Likewise.
        turns: Likewise.
        is_work: Likewise.
        options: See ``web.Server``.

    Attributes:
        count: Open connections.
        on_lost: Called when there is one less.
    """

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[web.StreamResponse]],
        *,
        refuse: Refuse,
        throttle: Throttle | None = None,
        turns: Turns | None = None,
        is_work: IsWork = lambda data: False,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._refuse, self._is_work = refuse, is_work
        self._throttle, self._turns = throttle or Throttle(0.0), turns or Turns()
        self.count = 0
        self.on_lost: Callable[[], None] = _nothing

    def __call__(self) -> Connection:
        """Return what serves a new connection."""
        return Connection(
            self,
            loop=self._loop,
            refuse=self._refuse,
            throttle=self._throttle,
            turns=self._turns,
            is_work=self._is_work,
            **self._kwargs,
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """There is one more."""
        self.count += 1
        super().connection_made(handler, transport)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """There is one less."""
        self.count -= 1
        super().connection_lost(handler, exc)
        self.on_lost()

    def close_idle(self, most: int) -> None:
        """Close up to so many connections that wait for a request, those that wait longest."""
        now = asyncio.get_running_loop().time()
        idle = [
            (since, number, handler)
            for number, handler in enumerate(self.connections)
            if isinstance(handler, Connection)
            and (since := handler.idle_since()) is not None
            and since <= now - IDLE_SECONDS
        ]
        for _, _, handler in heapq.nsmallest(most, idle):
            handler.force_close()


class Runner(web.AppRunner):
    """Runs an application, too, on connections as they are here.

    Args:
        app: The application.
        refuse: See :class:`Connection`.
        around: Answers a request by the application, the second argument; what the application
            itself cannot answer is answered there.
        options: See ``web.AppRunner``.
    """

    def __init__(self, app: web.Application, *, refuse: Refuse, around: Around, **options: Any):
        super().__init__(app, **options)
        self._refuse, self._around = refuse, around

    async def _make_server(self) -> web.Server:
        result = await super()._make_server()
        return Server(
            partial(self._around, application=result.request_handler),
            refuse=self._refuse,
            request_factory=result.request_factory,
            access_log=None,
        )


def _nothing() -> None:
    pass


def _set(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _is_nearly_read(request: web.BaseRequest) -> bool:
    """Is it worth while to wait for the rest of the body, so that the connection stays open?"""
    length = request.content_length
    if length is None or request.headers.get("Expect"):  # such a client may never send it
        return request.content.is_eof()
    return length - request.content.total_bytes <= DRAIN_BYTES


async def _drain(body: StreamReader) -> None:
    """Read a body to its end, if that comes soon."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while not body.is_eof():
                await body.readany()


def _reason(error: http_exceptions.HttpProcessingError) -> str:
    """The first line of what the parser says; the next ones repeat the request."""
    return shown(error.message.partition("\n")[0].strip(" :.")) + "."
