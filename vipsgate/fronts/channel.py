"""Messages between fronts: calls, which have a reply, and notices, which have none.

Each is one datagram of JSON with descriptors. Every front receives from one socket, whose other end
all fronts share, so there are as many sockets as fronts, not their square, and messages to a front
that has ended are read by the one that replaces it. A call is answered by the handler of its kind;
if the caller is cancelled, the handler is cancelled, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .. import errors
from ..worker import protocol
from ..worker.protocol import Message

KIND = protocol.KIND
MAX_RECEIVED = 64  # messages in one iteration of the loop
REPLY, CANCEL, LOST = "reply", "cancel", "lost"  # kinds that the channel itself uses
BROADCAST_SECONDS = 1.0  # the longest wait for replies to a broadcast

log = logging.getLogger(__name__)

Reply = tuple[Message, Sequence[int]]  # its descriptors are closed by the channel once it is sent
Handler = Callable[[Message, list[int]], Awaitable[Reply]]  # the channel closes the descriptors
NoticeHandler = Callable[[Message, list[int]], None]  # the handler closes the descriptors


class FrontLostError(Exception):
    """The front that was called has ended."""


def open_sockets(fronts: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """Return the inboxes and outboxes of ``fronts`` fronts, and then those of the parent."""
    pairs = [socket.socketpair(socket.AF_UNIX, KIND) for _ in range(fronts + 1)]
    for pair in pairs:
        for end in pair:
            end.setblocking(False)
    return [inbox for inbox, _ in pairs], [outbox for _, outbox in pairs]


def message(kind: str, sender: Sequence[int], body: Message, number: int = 0) -> Message:
    """Return a message.

    Args:
        kind: Its kind.
        sender: The number of the front that sends it, and its process id.
        body: Its content.
        number: The number of the call, among those of the sender; 0 for a notice.
    """
    return {"kind": kind, "from": sender, "number": number, "body": body}


@dataclass(frozen=True, slots=True)
class _Call:
    to: int
    reply: asyncio.Future[tuple[Message, list[int]]]


class Channel:
    """The messages of one front.

    Args:
        front: Its number.
        inbox: The socket on which it receives.
        outboxes: The sockets by which each front is sent messages; the last one is the parent's.
        alive: Returns whether a front can be sent messages.
    """

    def __init__(
        self,
        front: int,
        inbox: socket.socket,
        outboxes: Sequence[socket.socket],
        alive: Callable[[int], bool],
    ) -> None:
        self._front, self._inbox, self._outboxes, self._alive = front, inbox, outboxes, alive
        self._me = [front, os.getpid()]
        self._handlers: dict[str, Handler] = {}
        self._notice_handlers: dict[str, NoticeHandler] = {LOST: self._on_lost}
        self._calls: dict[int, _Call] = {}
        self._last_call = 0  # its number
        self._answering: dict[tuple[int, int, int], asyncio.Task[None]] = {}
        self._broadcasts: set[asyncio.Future[None]] = set()
        self._unsent: dict[int, deque[tuple[Message, list[int]]]] = {}

    def on_call(self, kind: str, handler: Handler) -> None:
        """Set the handler of calls of a kind, which returns the reply."""
        self._handlers[kind] = handler

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        """Set the handler of notices of a kind."""
        self._notice_handlers[kind] = handler

    def open(self) -> None:
        """Start to receive messages."""
        self._inbox.setblocking(False)
        asyncio.get_running_loop().add_reader(self._inbox, self._read)

    def close(self) -> None:
        """Stop receiving, cancel calls under way, and notify the fronts that wait for a reply."""
        for to in self._others():
            self.notify(to, LOST, {"front": self._front})
        asyncio.get_running_loop().remove_reader(self._inbox)
        for task in (*self._answering.values(), *self._broadcasts):
            task.cancel()

    async def call(
        self, to: int, kind: str, body: Message, descriptors: Sequence[int] = ()
    ) -> tuple[Message, list[int]]:
        """Call another front, and wait for its reply.

        Args:
            to: Its number.
            kind: What for; it has a handler of this kind.
            body: The arguments.
            descriptors: That go with them; they stay the caller's.

        Returns:
            The reply, and its descriptors, for the caller to close.

        Raises:
            FrontLostError: The other front has ended.
            OssError: What its handler raises.
        """
        if not self._alive(to):
            raise FrontLostError
        self._last_call += 1
        number = self._last_call
        call = _Call(to, asyncio.get_running_loop().create_future())
        self._calls[number] = call
        try:
            self._send(to, message(kind, self._me, body, number), descriptors)
            return await call.reply
        except asyncio.CancelledError:
            if call.reply.done() and not call.reply.cancelled():
                if not call.reply.exception():
                    protocol.close(call.reply.result()[1])
            else:
                self._send(to, message(CANCEL, self._me, {}, number))
            raise
        finally:
            del self._calls[number]

    def notify(self, to: int, kind: str, body: Message, descriptors: Sequence[int] = ()) -> None:
        """Send another front a notice; the caller closes the descriptors."""
        self._send(to, message(kind, self._me, body), descriptors)

    async def broadcast(self, kind: str, body: Message) -> None:
        """Call all other fronts, and wait for their replies, up to :data:`BROADCAST_SECONDS`.

        The broadcast continues if the caller is cancelled, as the change has been made.
        """
        broadcast = asyncio.ensure_future(self._broadcast(kind, body))
        self._broadcasts.add(broadcast)
        broadcast.add_done_callback(self._broadcasts.discard)
        await asyncio.shield(broadcast)

    async def _broadcast(self, kind: str, body: Message) -> None:
        for outcome in await self._call_others(kind, body):
            if isinstance(outcome, tuple):
                protocol.close(outcome[1])
            elif not isinstance(outcome, FrontLostError):
                log.error("another front was not told of %s: %r", kind, outcome)

    async def gather(self, kind: str) -> list[tuple[Message, list[int]]]:
        """Return the replies of the other fronts; the caller closes the descriptors."""
        outcomes = await self._call_others(kind, {})
        return [outcome for outcome in outcomes if isinstance(outcome, tuple)]

    async def _call_others(
        self, kind: str, body: Message
    ) -> list[tuple[Message, list[int]] | BaseException]:
        """Return the reply or error of each other front; CancelledError for one that is late."""
        calls = [asyncio.ensure_future(self.call(to, kind, body)) for to in self._others()]
        if calls:
            _, late = await asyncio.wait(calls, timeout=BROADCAST_SECONDS)
            for task in late:
                task.cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    def _others(self) -> list[int]:
        """Return all other fronts that are alive, without the parent."""
        fronts = range(len(self._outboxes) - 1)
        return [front for front in fronts if front != self._front and self._alive(front)]

    # -- messages --------------------------------------------------------------------------------

    def _send(self, to: int, sent: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message now, or after those that could not be sent yet."""
        if to not in self._unsent:
            try:
                return protocol.send(self._outboxes[to], sent, descriptors)
            except BlockingIOError:
                self._unsent[to] = deque()
                asyncio.get_running_loop().add_writer(self._outboxes[to], self._send_rest, to)
        self._unsent[to].append((sent, [os.dup(item) for item in descriptors]))

    def _send_rest(self, to: int) -> None:
        unsent = self._unsent[to]
        try:
            while unsent:
                protocol.send(self._outboxes[to], *unsent[0])
                protocol.close(unsent.popleft()[1])
        except BlockingIOError:
            return
        del self._unsent[to]
        asyncio.get_running_loop().remove_writer(self._outboxes[to])

    def _read(self) -> None:
        for _ in range(MAX_RECEIVED):
            try:
                received, descriptors = protocol.receive(self._inbox)
            except BlockingIOError:
                return
            if received is not None:
                self._received(received, descriptors)

    def _received(self, received: Message, descriptors: list[int]) -> None:
        kind, (front, pid), number = received["kind"], received["from"], received["number"]
        body = received["body"]
        if kind == REPLY:
            self._replied(received["to"], number, body, descriptors)
        elif kind == CANCEL:
            if task := self._answering.get((front, pid, number)):
                task.cancel()
        elif handler := self._notice_handlers.get(kind):
            handler(body, descriptors)
        else:
            name = (front, pid, number)
            task = asyncio.ensure_future(self._answer(name, kind, body, descriptors))
            self._answering[name] = task
            task.add_done_callback(lambda _: self._answering.pop(name, None))

    def _replied(self, to: int, number: int, body: Message, descriptors: list[int]) -> None:
        call = self._calls.get(number) if to == self._me[1] else None
        if call is None or call.reply.done():  # the caller has left, or ended
            return protocol.close(descriptors)
        if "error" in body:
            call.reply.set_exception(errors.load(body["error"]))
        else:
            call.reply.set_result((body, descriptors))

    async def _answer(
        self, name: tuple[int, int, int], kind: str, body: Message, descriptors: list[int]
    ) -> None:
        front, pid, number = name
        reply: Message
        files: Sequence[int] = ()
        try:
            reply, files = await self._handlers[kind](body, descriptors)
        except errors.OssError as error:
            reply = {"error": errors.dump(error)}
        except Exception:  # a bug
            log.exception("a call of another front has failed: %s", kind)
            reply = {"error": errors.dump(errors.InternalError("Another process has failed."))}
        finally:
            protocol.close(descriptors)
        try:
            if self._alive(front):
                self._send(front, message(REPLY, self._me, reply, number) | {"to": pid}, files)
        finally:
            protocol.close(files)

    def _on_lost(self, body: Message, descriptors: list[int]) -> None:
        """Cancel the calls from a front that has ended, and fail the calls to it."""
        front = body["front"]
        for name, task in self._answering.items():
            if name[0] == front:
                task.cancel()
        for call in self._calls.values():
            if call.to == front and not call.reply.done():
                call.reply.set_exception(FrontLostError())
