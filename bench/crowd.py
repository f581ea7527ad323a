"""Clients that come at their own pace, and each answer that they get, with its time and status.

Rule: a crowd does not wait for the server. A stream with a ``rate`` asks at random moments
(Poisson) however slow the answers are, on as many connections as that takes; a stream with
``clients`` has so many that ask one after the other and obey Retry-After. wrk can do neither, and
mixes the times of refusals with those of pictures. Connections are kept alive. The crowd is a
process of its own, and tells how late its own timers are: no time it reports is finer than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

PATIENCE = 60.0  # seconds for the last answers, once all is asked
MOST = 12_000  # connections of one stream; what would need more is not sent, and counted as that
AHEAD = -10  # nice value of a crowd that measures beside one that loads
BROKEN, UNSENT = 0, -1  # in place of a status
CODE = re.compile(rb"<Code>(\w+)</Code>")


@dataclass(frozen=True, slots=True)
class Stream:
    """Who asks for what.

    Attributes:
        name: What is asked for, in the report.
        address: ``http://host:port``.
        paths: Paths with their queries, asked in turn.
        rate: Requests per second, at random moments; 0 for a stream of clients.
        clients: Clients that ask one after the other; 0 for a stream with a rate.
        most: Requests of all the clients together; 0 for as many as the time allows.
        begin: When it begins, in seconds from the start.
        end: When it asks no more.
    """

    name: str
    address: str
    paths: Sequence[str]
    rate: float = 0.0
    clients: int = 0
    most: int = 0
    begin: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got.

    Attributes:
        at: When it was sent, in seconds from the start.
        took: Until its last byte, ms.
        status: Of HTTP, or :data:`BROKEN` or :data:`UNSENT`.
        code: OSS code of an error.
        retry: Whether Retry-After told when to come again.
        cache: ``X-Vipsgate-Cache``.
    """

    at: float
    took: float
    status: int
    code: str = ""
    retry: bool = False
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What a crowd tells.

    Attributes:
        answers: Of each stream, in the order of their coming.
        late: ms by which the crowd's own timers were late.
        cpu: Seconds of CPU that it took.
    """

    answers: dict[str, list[Answer]]
    late: list[float] = field(repr=False)
    cpu: float = 0.0


class Crowd:
    """A crowd under way.

    Args:
        streams: Who asks for what.
        ahead: Whether the system is to let it run before all others, so that what it measures is
            the server's slowness and not its own. Only root may; others measure both.
    """

    def __init__(self, streams: Sequence[Stream], *, ahead: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if ahead:
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, AHEAD)
        assert self._process.stdin
        self._process.stdin.write(json.dumps([asdict(stream) for stream in streams]))
        self._process.stdin.close()
        self._process.stdin = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self) -> Told:
        """Wait for its end."""
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit("the crowd has failed; what it lacks is said above")
        told = json.loads(said)
        answers = {name: [Answer(*one) for one in got] for name, got in told["answers"].items()}
        return Told(answers, told["late"], told["cpu"])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many of 100 stay below; NaN of none."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * share / 100))]


def spread(times: Sequence[float]) -> str:
    """``12.3 and 45.6``: p50 and p99."""
    if not times:
        return "none"
    return f"{percentile(times, 50):.1f} and {percentile(times, 99):.1f}"


def statuses(wrong: Counter[int]) -> str:
    """``0``, or ``500: 3``."""
    names = {BROKEN: "broken", UNSENT: "unsent"}
    told = (f"{names.get(status, status)}: {times}" for status, times in sorted(wrong.items()))
    return ", ".join(told) or "0"


# --- the process ----------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One connection: one request at a time, HTTP/1.1 with Content-Length and nothing else."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._got = bytearray()
        self._head, self._whole = b"", 0
        self._answer: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError())

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._head:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._got[: end + 2])
            self._whole = end + 4 + int(header(self._head, b"content-length") or b"0")
        if len(self._got) >= self._whole and self._answer and not self._answer.done():
            begin = self._got.find(b"\r\n\r\n") + 4
            self._answer.set_result((self._head, bytes(self._got[begin : self._whole])))

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer.

        Raises:
            ConnectionError: There is none.
        """
        self._got.clear()
        self._head = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        head, body = await self._answer
        if header(head, b"connection").lower() == b"close":
            self.close()
        return head, body

    def close(self) -> None:
        """End it."""
        self.closed = True
        self._transport.close()


def header(head: bytes, name: bytes) -> bytes:
    """The value of a field; empty if it is not there."""
    found = re.search(rb"\r\n" + name + rb":[ \t]*([^\r]*)", head, re.IGNORECASE)
    return found[1] if found else b""


class Asker:
    """One stream being asked."""

    def __init__(self, stream: Stream, begun: float) -> None:
        self._stream, self._begun = stream, begun
        host = stream.address.removeprefix("http://")
        self._host, _, port = host.partition(":")
        self._port = int(port)
        self._tail = f" HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._free: list[Connection] = []
        self._open = self._turn = 0
        self.answers: list[Answer] = []
        self.late: list[float] = []

    async def run(self) -> None:
        """Ask until the end, and wait for what is under way."""
        stream, loop = self._stream, asyncio.get_running_loop()
        end = self._begun + stream.end
        await asyncio.sleep(self._begun + stream.begin - loop.time())
        if stream.clients:
            await asyncio.gather(*(self._client(end) for _ in range(stream.clients)))
        else:
            await self._come(end)
        for connection in self._free:
            connection.close()

    async def _come(self, end: float) -> None:
        loop, chance = asyncio.get_running_loop(), random.Random(self._stream.name)
        moment, tasks = loop.time(), set()
        while (moment := moment + chance.expovariate(self._stream.rate)) < end:
            if moment > loop.time():
                await asyncio.sleep(moment - loop.time())
            self.late.append((loop.time() - moment) * 1e3)
            task = loop.create_task(self._ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            _, rest = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in rest:
                task.cancel()

    async def _client(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end and not 0 < self._stream.most <= self._turn:
            pause = await self._ask()
            await asyncio.sleep(min(pause, max(0.0, end - loop.time())))

    async def _ask(self) -> float:
        """Ask for the next path; seconds after which the answer says to come again."""
        path = self._stream.paths[self._turn % len(self._stream.paths)]
        self._turn += 1
        sent = time.perf_counter()
        status, head, body = UNSENT, b"", b""
        try:
            connection = await self._connection()
            if connection:
                head, body = await connection.ask(b"GET " + path.encode() + self._tail)
                status = int(head.split(b" ", 2)[1])
                if not connection.closed:
                    self._free.append(connection)
                else:
                    self._open -= 1
        except (OSError, asyncio.CancelledError):
            status = BROKEN
            self._open -= 1
        now, retry = time.perf_counter(), header(head, b"retry-after")
        code = CODE.search(body) if status >= 400 else None
        self.answers.append(
            Answer(
                round(asyncio.get_running_loop().time() - self._begun - (now - sent), 3),
                round((now - sent) * 1e3, 2),
                status,
                code[1].decode() if code else "",
                retry.isdigit(),
                header(head, b"x-vipsgate-cache").decode(),
            )
        )
        return 1.0 if status <= 0 else float(retry) if retry.isdigit() else 0.0

    async def _connection(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if not connection.closed:
                return connection
            self._open -= 1
        if self._open >= MOST:
            return None
        self._open += 1
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, self._host, self._port)
        return made


async def _run(streams: Sequence[Stream]) -> dict[str, Any]:
    begun = asyncio.get_running_loop().time() + 0.1
    askers = [Asker(stream, begun) for stream in streams]
    await asyncio.gather(*(asker.run() for asker in askers))
    fields = ("at", "took", "status", "code", "retry", "cache")
    return {
        "answers": {
            asker._stream.name: [[getattr(one, name) for name in fields] for one in asker.answers]
            for asker in askers
        },
        "late": [late for asker in askers for late in asker.late],
        "cpu": time.process_time(),
    }


if __name__ == "__main__":
    asked = [Stream(**stream) for stream in json.load(sys.stdin)]
    json.dump(uvloop.run(_run(asked)), sys.stdout)
