"""A client's connection: its requests are answered in order, and no answer is lost when it closes.

Built on aiohttp's server protocol, from which it differs in five points:

* Requests are read by :mod:`.parser`. A malformed one is refused with OSS's XML, and the connection
  is then closed.
* A request body that the handler has not read is read to its end if little is left. Otherwise the
  connection is closed, first in one direction only (:mod:`.lingering`).
* Requests for pictures that must be made wait for their turn before they are parsed
  (:mod:`.turns`).
* If such a request is refused, or the answer to a request is cached, the answer is sent as soon as
  the request is parsed, without a task.
* Refusals under overload may be held back (:mod:`.throttle`).
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

KEEPALIVE_SECONDS = 75.0  # for which a connection may be unused; nginx's keepalive_timeout
BODY_BUFFER_BYTES = 1 << 16  # read buffer of a body; aiohttp holds up to twice as much unread
STALL_SECONDS = 60.0  # for which a client may read nothing of an answer; nginx's send_timeout
DRAIN_BYTES = 1 << 16  # of an unread body that are read so that the connection stays open
DRAIN_SECONDS = 2.0  # to wait for those bytes
AT_ONCE = ONE / 4  # turns used by a request that is refused or answered without a task
BUSY = HTTPStatus.SERVICE_UNAVAILABLE.value  # the status of answers that may be held back
NOBODY: Any = None

Refuse = Callable[[web.BaseRequest, OssError], web.StreamResponse]
Answer = Callable[[web.BaseRequest], Ready | None]
log = logging.getLogger(__name__)


class Work(Protocol):
    """Tells which requests wait for a turn, and answers some before a task is started."""

    def knows(self, data: bytes) -> bool:
        """Return whether the answer to a request that begins so may be cached."""

    def answer(self, request: web.BaseRequest) -> Ready | None:
        """Return the cached answer to a request, or ``None`` if it is to be handled."""

    def waits(self, data: bytes) -> bool:
        """Return whether a request that begins so is to wait for its turn."""

    def full(self, waited: float) -> bool:
        """Return whether a request would be refused, as far as can be told before it is parsed.

        Args:
            waited: Seconds that it has waited for its turn.
        """

    def refusal(self, request: web.BaseRequest) -> Ready | None:
        """Return the answer to a request that is refused, or ``None`` if it is to be handled."""


class NoWork:
    """:class:`Work` of a port without pictures: no request waits, and none is answered early."""

    def knows(self, data: bytes) -> bool:
        """Return ``False``."""
        return False

    def answer(self, request: web.BaseRequest) -> None:
        """Return ``None``."""

    def waits(self, data: bytes) -> bool:
        """Return ``False``."""
        return False

    def full(self, waited: float) -> bool:
        """Return ``False``."""
        return False

    def refusal(self, request: web.BaseRequest) -> None:
        """Return ``None``."""


class Connection(web.RequestHandler):
    """One connection and its requests.

    Args:
        manager: The server, which counts its connections.
        loop: The event loop.
        refuse: Makes the answer to a malformed request, or to one whose handler has failed.
        throttle: Holds refusals back.
        turns: Decides when a request that waits for its turn begins.
        work: Tells which requests wait for a turn, and which are refused.
        came: When the connection was accepted, where its first request has waited for its turn
            since then, by ``time.perf_counter``; else 0.
        options: See ``web.RequestHandler``.

    Attributes:
        came: When the latest request arrived, if it waited for its turn; see :func:`came`.
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
            lingering_time=0,  # aiohttp's lingering has no limit of bytes
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
        self._left = 0  # bytes of an answer that were unsent at the last check
        self._stall: asyncio.TimerHandle | None = None

    def idle_since(self) -> float | None:
        """Return when it began to wait for a request, in the loop's time; ``None`` if busy."""
        waiter = self._waiter
        if self._holding or waiter is None or waiter.done():
            return None
        return self._next_keepalive_close_time - KEEPALIVE_SECONDS

    def data_received(self, data: bytes) -> None:
        """Handle received bytes: at once, or in turn if they ask for a picture to be made."""
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
        """Return whether an earlier request is still to be answered."""
        if self._messages:
            return True
        waiter = self._waiter
        if waiter is not None:
            return waiter.done()
        return self._request_count > 0  # if 0, the task that waits for requests has not yet run

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
        """Begin a request whose turn has come, and return the turns that it uses."""
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
        """Answer a request at once, or have it handled, and return the turns that it uses.

        While an earlier answer is not fully sent, the next one is always left to a handler.
        """
        taken = not transport.get_write_buffer_size()
        if answer and taken and (response := self._answer(data, answer)):
            self._send(response, transport)
            return AT_ONCE
        super().data_received(data)
        return ONE

    def _answer(self, data: bytes, answer: Answer) -> Ready | None:
        """Return the answer to a request if it can be given without a task, else ``None``."""
        parser: Any = self._parser
        messages, _, _ = parser.look_ahead(data)
        manager = self._manager
        if len(messages) != 1 or manager is None or self._force_close or self._close:
            return None
        message, body = messages[0]
        if isinstance(message, _ErrInfo) or body is not EMPTY_PAYLOAD or message.should_close:
            return None
        # the answer is bytes, so the request needs neither a payload writer nor a task
        response = answer(manager.request_factory(message, body, self, NOBODY, NOBODY))
        if response is not None:
            parser.drop()
            self._request_count += 1
            manager.requests_count += 1
        return response

    def _send(self, response: Ready, transport: asyncio.Transport) -> None:
        """Send an answer, at once or later, and start the time for which it may be unused."""
        self._set_unused()
        if (hold := _hold(response)) and (seconds := self._throttle.delay(hold)):
            self._hold(response, transport, seconds)
        else:
            response.send()

    def _hold(self, response: Ready, transport: asyncio.Transport, seconds: float) -> None:
        """Send an answer later, and read nothing before."""
        transport.pause_reading()
        self._holding = True
        self._throttle.hold(seconds, partial(self._send_and_read_on, response, transport))

    def _set_unused(self) -> None:
        """Start the time for which the connection may be unused."""
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_SECONDS
        if self._keepalive_handle is None:
            at = self._next_keepalive_close_time
            self._keepalive_handle = self._loop.call_at(at, self._process_keepalive)

    def pause_writing(self) -> None:
        """Start the stall timeout, as the client reads more slowly than it is sent to."""
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        """Stop the stall timeout, as the client has read what was sent."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Clean up after the connection was closed by either end."""
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
        """Continue reading a body, in the next iteration of the loop.

        One read may contain 40,000 chunks of one byte. Parsed all at once, they would block the
        loop for a quarter of a second.
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
        """Return the answer to a request whose handler has failed.

        Raises:
            ConnectionError: A part of another answer has been sent already.
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
        """Return the handler that refuses a malformed request."""
        error = err_info.exc
        assert isinstance(error, OssError)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            request._version = HttpVersion11  # aiohttp's substitute for the request has 1.0
            return self._refuse(request, error)

        return answer

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send the answer, and then drain, linger or keep the connection."""
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
        """Send the answer later, without keeping the request; nothing is read before."""
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
        """Send the answer later, and then drain, linger or keep the connection."""
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
        """Send an answer that may be the last one of this connection."""
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
        """Close the sending side, and discard what comes until the client has closed its own."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._force_close = True  # aiohttp is done with the connection, but must not close it
        transport.set_protocol(Lingering(transport, self.connection_lost, self._loop))
        transport.write_eof()
        transport.resume_reading()


def came(request: web.BaseRequest) -> float:
    """Return when a request arrived, by ``time.perf_counter``; 0 if it has not waited for a turn.

    The time is reset, so that it does not apply to the next request of the same connection.
    """
    protocol = request.protocol
    if not isinstance(protocol, Connection):
        return 0.0
    since, protocol.came = protocol.came, 0.0
    return since


def _hold(response: web.StreamResponse) -> float:
    """Return the seconds for which an answer may be held back; 0 for all but refusals."""
    if response.status != BUSY or HOLD not in response:
        return 0.0
    return response[HOLD]


def _set(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def _is_nearly_read(request: web.BaseRequest) -> bool:
    """Return whether the rest of the body is short enough to be read."""
    length = request.content_length
    if length is None or request.headers.get("Expect"):  # may never be sent
        return request.content.is_eof()
    return length - request.content.total_bytes <= DRAIN_BYTES


async def _drain(body: StreamReader) -> None:
    """Read the rest of a body, if it arrives soon."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while not body.is_eof():
                await body.readany()
