"""A client's connection: requests are answered one by one, and it is closed so that answers arrive.

Built on aiohttp's own server, which is replaced in five points:

* Requests are read by :mod:`.parser`. What is no request is refused in OSS's words, and the
  connection is closed behind it.
* A body that nobody has read is read to its end if that is near. If not, the connection is closed,
  and first only in one direction (:mod:`.lingering`).
* Requests for what is work wait for their turn before they are parsed (:mod:`.turns`).
* Such a request is refused as soon as it is parsed where there is no time for it, and one whose
  answer is at hand is answered: no task is begun for it, and nothing of it is left but the answer.
* Refusals for want of time may be held back (:mod:`.throttle`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import HttpVersion11, web
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from ..errors import InternalError, OssError
from . import framing
from .lingering import Lingering
from .parser import MAX_PIPELINED, Parser
from .prebuilt import HOLD, Ready
from .throttle import Throttle
from .turns import ONE, Turns

KEEPALIVE_SECONDS = 75.0  # that a connection may be unused; nginx's own default
BODY_BUFFER_BYTES = 1 << 16  # of a body, half of what is held while nobody reads it
STALL_SECONDS = 60.0  # that a client may take nothing of an answer; nginx's send_timeout
DRAIN_BYTES = 1 << 16  # of a body that nobody wants, read so that the connection stays open
DRAIN_SECONDS = 2.0  # for them to come
AT_ONCE = ONE / 4  # of a turn that a request takes which is refused at once
BUSY = HTTPStatus.SERVICE_UNAVAILABLE.value  # of answers that may be held back
NOBODY: Any = None

Refuse = Callable[[web.BaseRequest, OssError], web.StreamResponse]
Answer = Callable[[web.BaseRequest], Ready | None]
log = logging.getLogger(__name__)


class Work(Protocol):
    """Which requests are work, and which are answered before a task is begun for them."""

    def knows(self, data: bytes) -> bool:
        """Return whether the answer to a request that begins so may be at hand."""

    def answer(self, request: web.BaseRequest) -> Ready | None:
        """Return the answer to a request that is known; ``None`` where it is to be handled."""

    def waits(self, data: bytes) -> bool:
        """Return whether any other request that begins so is to wait for its turn."""

    def full(self, waited: float) -> bool:
        """Return whether a request is to be refused, as far as one can say before it is parsed.

        Args:
            waited: Seconds that it has waited for its turn.
        """

    def refusal(self, request: web.BaseRequest) -> Ready | None:
        """Return the answer to a request that is refused; ``None`` where it is to be handled."""


class NoWork:
    """Nothing waits for a turn, and nothing is at hand."""

    def knows(self, data: bytes) -> bool:
        """It is not."""
        return False

    def answer(self, request: web.BaseRequest) -> None:
        """There is none."""

    def waits(self, data: bytes) -> bool:
        """It does not."""
        return False

    def full(self, waited: float) -> bool:
        """There is none."""
        return False

    def refusal(self, request: web.BaseRequest) -> None:
        """Nothing is refused."""


class Connection(web.RequestHandler):
    """One connection, and the requests on it.

    Args:
        manager: The server, which counts its connections.
        loop: Where it runs.
        refuse: Makes the answer to what is no request, and in place of one that a handler owes.
        throttle: Holds refusals back.
        turns: When a request begins that is work.
        work: Which one is, and which is refused.
        came: When it was accepted, where its first request has waited for its turn since; else 0.
        options: See ``web.RequestHandler``.

    Attributes:
        came: When the latest request that waited for its turn came, see :func:`came`.
    """

    __slots__ = (
        *("_accepted", "_holding", "_left", "_refuse", "_resuming", "_stall", "_throttle"),
        *("_turns", "_work", "came"),
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        refuse: Refuse,
        throttle: Throttle,
        turns: Turns,
        work: Work,
        came: float = 0.0,
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
        self._turns, self._work, self.came = turns, work, 0.0
        self._accepted = came
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
        if transport is None or self._is_busy():
            super().data_received(data)
        elif self._work.knows(data):
            self._accepted = 0.0
            self._begin(data, transport, self._work.answer)
        elif self._work.waits(data):
            self._wait_for_turn(data, transport)
        else:
            super().data_received(data)

    def _is_busy(self) -> bool:
        """Is a request under way, or its answer? What comes next is answered behind it."""
        if self._messages:
            return True
        waiter = self._waiter
        if waiter is not None:
            return waiter.done()
        return self._request_count > 0  # else nobody has begun to wait for the first one

    def _wait_for_turn(self, data: bytes, transport: asyncio.Transport) -> None:
        self.came, self._accepted = self._accepted, 0.0
        if self.came or self._turns.take():
            self._begin_work(data, transport)
            return
        self.came = time.perf_counter()
        transport.pause_reading()
        self._holding = True
        self._set_unused()
        self._turns.wait(partial(self._begin_later, data, transport))

    def _begin_later(self, data: bytes, transport: asyncio.Transport) -> float:
        """Begin what has waited for its turn. Return how much of one it takes."""
        self._holding = False
        if transport.is_closing() or self.transport is None:
            return 0.0
        takes = self._begin_work(data, transport)
        if not (self._reading_paused or self._buffer_paused or self._holding):
            transport.resume_reading()
        return takes

    def _begin_work(self, data: bytes, transport: asyncio.Transport) -> float:
        waited = time.perf_counter() - self.came if self.came else 0.0
        refusal = self._work.refusal if self._work.full(waited) else None
        return self._begin(data, transport, refusal)

    def _begin(self, data: bytes, transport: asyncio.Transport, answer: Answer | None) -> float:
        """Answer a request at once, or have it handled. Return how much of a turn it takes.

        A client that has not taken its last answer has the next one written in its own time.
        """
        taken = not transport.get_write_buffer_size()
        if answer and taken and (response := self._answer(data, answer)):
            self._send(response, transport)
            return AT_ONCE
        super().data_received(data)
        return ONE

    def _answer(self, data: bytes, answer: Answer) -> Ready | None:
        """The answer to a request for which no task is begun."""
        parser: Any = self._parser
        messages, _, _ = parser.look_ahead(data)
        manager = self._manager
        if len(messages) != 1 or manager is None or self._force_close or self._close:
            return None
        message, body = messages[0]
        if isinstance(message, _ErrInfo) or body is not EMPTY_PAYLOAD or message.should_close:
            return None
        # what is sent is bytes, which need no writer, and nobody waits for the request in a task
        response = answer(manager.request_factory(message, body, self, NOBODY, NOBODY))
        if response is not None:
            parser.drop()
            self._request_count += 1
            manager.requests_count += 1
        return response

    def _send(self, response: Ready, transport: asyncio.Transport) -> None:
        """Send an answer, at once or later; then the connection is unused."""
        self._set_unused()
        if (hold := _hold(response)) and (seconds := self._throttle.delay(hold)):
            self._hold(response, transport, seconds)
        else:
            response.send()

    def _hold(self, response: Ready, transport: asyncio.Transport, seconds: float) -> None:
        """Have an answer sent later; what comes next is read behind it."""
        transport.pause_reading()
        self._holding = True
        self._throttle.hold(seconds, partial(self._send_and_read_on, response, transport))

    def _set_unused(self) -> None:
        """It is unused from now on, as far as its end is concerned."""
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_SECONDS
        if self._keepalive_handle is None:
            at = self._next_keepalive_close_time
            self._keepalive_handle = self._loop.call_at(at, self._process_keepalive)

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
        if (hold := _hold(resp)) and (seconds := self._throttle.delay(hold)):
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
            self._hold(response, transport, seconds)
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
        transport.set_protocol(Lingering(transport, self.connection_lost, self._loop))
        transport.write_eof()
        transport.resume_reading()


def came(request: web.BaseRequest) -> float:
    """When a request came, by ``time.perf_counter``; 0 where it waited for nothing since.

    It is said once, so that it is not said of the next request on the same connection.
    """
    protocol = request.protocol
    if not isinstance(protocol, Connection):
        return 0.0
    since, protocol.came = protocol.came, 0.0
    return since


def _hold(response: web.StreamResponse) -> float:
    """Seconds that an answer may be held back; 0 for nearly all."""
    if response.status != BUSY or HOLD not in response:
        return 0.0
    return response[HOLD]


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
