"""Questions that fronts ask each other: one datagram each, JSON, with descriptors.

Every front has one inbox, a socket whose other end all of them have, so there are as many sockets
as fronts, not their square; and what was sent to one that has ended is read by the one that takes
its place. A question is answered by the handler of its kind; who has asked may leave, and then the
handler is cancelled.
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
ANSWER, LEAVE, LOST = "answer", "leave", "lost"  # kinds of the post's own
TELL_SECONDS = 1.0  # that the others have to say that they have heard

log = logging.getLogger(__name__)

Answer = tuple[Message, Sequence[int]]  # with descriptors, which the post closes when it is sent
Handler = Callable[[Message, list[int]], Awaitable[Answer]]  # the descriptors stay the post's
Listener = Callable[[Message, list[int]], None]  # the descriptors are its own from then on


class LostError(Exception):
    """The front that was asked has ended."""


@dataclass(frozen=True, slots=True)
class _Question:
    to: int
    answer: asyncio.Future[tuple[Message, list[int]]]


class Post:
    """The post of one front.

    Args:
        front: Which one it is.
        inbox: Its own end of its socket.
        boxes: The other ends of all sockets, by front; the last one is the parent's.
        alive: Is a front there?
    """

    def __init__(
        self,
        front: int,
        inbox: socket.socket,
        boxes: Sequence[socket.socket],
        alive: Callable[[int], bool],
    ) -> None:
        self._front, self._inbox, self._boxes, self._alive = front, inbox, boxes, alive
        self._me = [front, os.getpid()]
        self._handlers: dict[str, Handler] = {}
        self._listeners: dict[str, Listener] = {LOST: self._on_lost}
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        self._answering: dict[tuple[int, int, int], asyncio.Task[None]] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._late: dict[int, deque[tuple[Message, list[int]]]] = {}

    def handle(self, kind: str, handler: Handler) -> None:
        """Have questions of a kind answered."""
        self._handlers[kind] = handler

    def listen(self, kind: str, listener: Listener) -> None:
        """Have somebody told of what is told to this front."""
        self._listeners[kind] = listener

    def open(self) -> None:
        """Read what comes, from now on."""
        self._inbox.setblocking(False)
        asyncio.get_running_loop().add_reader(self._inbox, self._read)

    def close(self) -> None:
        """Read no more, give up what is under way, and tell those who wait for an answer."""
        for to in self._others():
            self.tell(to, LOST, {"front": self._front})
        asyncio.get_running_loop().remove_reader(self._inbox)
        for task in (*self._answering.values(), *self._telling):
            task.cancel()

    async def ask(
        self, to: int, kind: str, body: Message, descriptors: Sequence[int] = ()
    ) -> tuple[Message, list[int]]:
        """Ask another front.

        Args:
            to: Which one.
            kind: What for; it has a handler of it.
            body: The question.
            descriptors: That go with it; they stay the caller's.

        Returns:
            The answer, and its descriptors, for the caller to close.

        Raises:
            LostError: The other one has ended.
            OssError: What its handler raises.
        """
        if not self._alive(to):
            raise LostError
        self._asked += 1
        number = self._asked
        question = _Question(to, asyncio.get_running_loop().create_future())
        self._questions[number] = question
        try:
            self._send(to, self._message(kind, number, body), descriptors)
            return await question.answer
        except asyncio.CancelledError:
            if question.answer.done() and not question.answer.cancelled():
                if not question.answer.exception():
                    protocol.close(question.answer.result()[1])
            else:
                self._send(to, self._message(LEAVE, number, {}))
            raise
        finally:
            del self._questions[number]

    def tell(self, to: int, kind: str, body: Message, descriptors: Sequence[int] = ()) -> None:
        """Tell another front; the descriptors stay the caller's."""
        self._send(to, self._message(kind, 0, body), descriptors)

    async def tell_all(self, kind: str, body: Message) -> None:
        """Ask all others, and wait until they have heard; not for one that hangs.

        Whoever waits for that may leave: what has happened has happened, and they are told.
        """
        telling = asyncio.ensure_future(self._tell_all(kind, body))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        await asyncio.shield(telling)

    async def _tell_all(self, kind: str, body: Message) -> None:
        for outcome in await self._ask_all(kind, body):
            if isinstance(outcome, tuple):
                protocol.close(outcome[1])
            elif not isinstance(outcome, LostError):
                log.error("another front was not told of %s: %r", kind, outcome)

    async def gather(self, kind: str) -> list[tuple[Message, list[int]]]:
        """The answers of all others, with descriptors for the caller to close; of who has one."""
        outcomes = await self._ask_all(kind, {})
        return [outcome for outcome in outcomes if isinstance(outcome, tuple)]

    async def _ask_all(
        self, kind: str, body: Message
    ) -> list[tuple[Message, list[int]] | BaseException]:
        """What has come of asking each of the others; CancelledError of one that is late."""
        asking = [asyncio.ensure_future(self.ask(to, kind, body)) for to in self._others()]
        if asking:
            _, late = await asyncio.wait(asking, timeout=TELL_SECONDS)
            for task in late:
                task.cancel()
        return await asyncio.gather(*asking, return_exceptions=True)

    def _others(self) -> list[int]:
        """All other fronts that are there; the last box is the parent's."""
        fronts = range(len(self._boxes) - 1)
        return [front for front in fronts if front != self._front and self._alive(front)]

    # -- messages --------------------------------------------------------------------------------

    def _message(self, kind: str, number: int, body: Message) -> Message:
        return {"kind": kind, "from": self._me, "number": number, "body": body}

    def _send(self, to: int, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send now, or behind what could not be sent yet."""
        if to not in self._late:
            try:
                return protocol.send(self._boxes[to], message, descriptors)
            except BlockingIOError:
                self._late[to] = deque()
                asyncio.get_running_loop().add_writer(self._boxes[to], self._go_on, to)
        self._late[to].append((message, [os.dup(item) for item in descriptors]))

    def _go_on(self, to: int) -> None:
        late = self._late[to]
        try:
            while late:
                protocol.send(self._boxes[to], *late[0])
                protocol.close(late.popleft()[1])
        except BlockingIOError:
            return
        del self._late[to]
        asyncio.get_running_loop().remove_writer(self._boxes[to])

    def _read(self) -> None:
        for _ in range(MAX_RECEIVED):
            try:
                message, descriptors = protocol.receive(self._inbox)
            except BlockingIOError:
                return
            if message is not None:
                self._received(message, descriptors)

    def _received(self, message: Message, descriptors: list[int]) -> None:
        kind, (front, pid), number = message["kind"], message["from"], message["number"]
        body = message["body"]
        if kind == ANSWER:
            self._answered(message["to"], number, body, descriptors)
        elif kind == LEAVE:
            if task := self._answering.get((front, pid, number)):
                task.cancel()
        elif listener := self._listeners.get(kind):
            listener(body, descriptors)
        else:
            name = (front, pid, number)
            task = asyncio.ensure_future(self._answer(name, kind, body, descriptors))
            self._answering[name] = task
            task.add_done_callback(lambda _: self._answering.pop(name, None))

    def _answered(self, to: int, number: int, body: Message, descriptors: list[int]) -> None:
        question = self._questions.get(number) if to == self._me[1] else None
        if question is None or question.answer.done():  # who has asked has left, or ended
            return protocol.close(descriptors)
        if "error" in body:
            question.answer.set_exception(errors.load(body["error"]))
        else:
            question.answer.set_result((body, descriptors))

    async def _answer(
        self, name: tuple[int, int, int], kind: str, body: Message, descriptors: list[int]
    ) -> None:
        front, pid, number = name
        answer: Message
        files: Sequence[int] = ()
        try:
            answer, files = await self._handlers[kind](body, descriptors)
        except errors.OssError as error:
            answer = {"error": errors.dump(error)}
        except Exception:  # a fault of ours
            log.exception("a question of another front cannot be answered: %s", kind)
            answer = {"error": errors.dump(errors.InternalError("Another process has failed."))}
        finally:
            protocol.close(descriptors)
        try:
            if self._alive(front):
                self._send(front, self._message(ANSWER, number, answer) | {"to": pid}, files)
        finally:
            protocol.close(files)

    def _on_lost(self, body: Message, descriptors: list[int]) -> None:
        """A front has ended: its questions need no answer, and it gives none."""
        front = body["front"]
        for name, task in self._answering.items():
            if name[0] == front:
                task.cancel()
        for question in self._questions.values():
            if question.to == front and not question.answer.done():
                question.answer.set_exception(LostError())
