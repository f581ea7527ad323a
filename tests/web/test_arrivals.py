"""Connections before they are set up: which are at once, and what the others wait for."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator

import pytest
import uvloop
from support.examples import times

from vipsgate.web import arrivals
from vipsgate.web.arrivals import AT_ONCE, Arrivals
from vipsgate.web.connection import NoWork
from vipsgate.web.turns import ONE, Turns

LIGHT, KNOWN, WORK = b"GET /light HTTP/1.1\r\n", b"GET /known?work HTTP/1.1\r\n", b"GET /?work"
TURNS = 3  # in an iteration of the loop
SOON_S = 5.0
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Work(NoWork):
    """What has ``work`` in it, but for what is known."""

    def knows(self, data: bytes) -> bool:
        return b"known" in data

    def waits(self, data: bytes) -> bool:
        return b"work" in data


class Port:
    """Arrivals at a port, and what has been set up in which iteration."""

    def __init__(self) -> None:
        self.turns = Turns(TURNS)
        self.arrivals = Arrivals(self.turns, Work(), self._set_up)
        self.clients: list[socket.socket] = []
        self.numbers: dict[socket.socket, int] = {}
        self.set_up: list[int] = []
        self.came: list[float] = []

    def _set_up(self, connection: socket.socket, came: float) -> None:
        self.set_up.append(self.numbers[connection])
        self.came.append(came)

    def connect(self, data: bytes = b"") -> bool:
        """Have a client connect that has sent this. Return whether it was set up at once."""
        client, connection = socket.socketpair()
        connection.setblocking(False)
        if data:
            client.send(data)
        self.numbers[connection] = len(self.clients)
        self.clients.append(client)
        return self.arrivals.add(connection)

    def fill(self) -> int:
        """Have as many connect as are set up without a look. Return how many."""
        while self.connect():
            pass
        self.clients[-1].send(LIGHT)
        return len(self.clients)

    async def until(self, count: int) -> None:
        """Wait until so many are set up."""
        async with asyncio.timeout(SOON_S):
            while len(self.set_up) < count:
                await asyncio.sleep(0)

    def close(self) -> None:
        for one in (*self.clients, *self.numbers):
            one.close()


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as one:
        yield one


@pytest.fixture
def port() -> Iterator[Port]:
    one = Port()
    yield one
    one.close()


def test_a_few_are_set_up_at_once_whatever_they_want(runner: asyncio.Runner, port: Port) -> None:
    async def run() -> None:
        kinds = (LIGHT, KNOWN, WORK, b"")
        assert all(port.connect(kinds[number % 4]) for number in range(AT_ONCE))
        assert port.set_up == list(range(AT_ONCE))
        assert not len(port.arrivals)

    runner.run(run())


@pytest.mark.parametrize("data", [LIGHT, KNOWN])
def test_what_is_light_is_set_up_before_work_that_came_earlier(
    runner: asyncio.Runner, port: Port, data: bytes
) -> None:
    async def run() -> None:
        port.turns.wait(lambda: ONE * TURNS)  # somebody waits for a turn
        for _ in range(100):
            assert not port.connect(WORK)
        assert port.connect(data)
        assert port.set_up == [100]
        assert port.came == [0.0]

    runner.run(run())


def test_work_is_set_up_in_turns_and_told_when_it_came(runner: asyncio.Runner, port: Port) -> None:
    async def run() -> None:
        port.turns.wait(lambda: ONE * TURNS)
        for _ in range(20):
            port.connect(WORK)
        seen = 0
        while len(port.set_up) < 20:
            await asyncio.sleep(0)
            assert len(port.set_up) - seen <= TURNS
            seen = len(port.set_up)
        assert port.set_up == list(range(20))
        assert port.came == sorted(port.came)
        assert port.came[0] > 0
        assert not len(port.arrivals)

    runner.run(run())


@pytest.mark.parametrize("data", [LIGHT, KNOWN, WORK, None])
def test_a_silent_one_is_set_up_when_it_has_sent_something_or_left(
    runner: asyncio.Runner, port: Port, data: bytes | None
) -> None:
    async def run() -> None:
        count = port.fill()
        await port.until(count)
        for _ in range(AT_ONCE + 1):
            port.connect()
        await asyncio.sleep(0.05)
        assert len(port.arrivals) == 1
        last = port.clients[-1]
        last.send(data) if data else last.close()
        await port.until(len(port.clients))
        assert port.set_up[-1] == len(port.clients) - 1
        assert bool(port.came[-1]) == (data == WORK)
        assert not len(port.arrivals)

    runner.run(run())


def test_a_silent_one_does_not_wait_for_ever(
    runner: asyncio.Runner, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "SILENT_SECONDS", 0.05)

    async def run() -> None:
        for _ in range(3):  # again, after there was none
            begun = asyncio.get_running_loop().time()
            before = len(port.clients)
            for _ in range(AT_ONCE + 100):
                port.connect()
            assert len(port.set_up) == before + AT_ONCE
            await port.until(len(port.clients))
            assert asyncio.get_running_loop().time() - begun >= 0.05
            assert not len(port.arrivals)

    runner.run(run())


def test_at_the_end_all_are_set_up_once(runner: asyncio.Runner, port: Port) -> None:
    async def run() -> None:
        port.turns.wait(lambda: ONE * TURNS)
        for data in (WORK, b"", LIGHT) * 30:
            port.connect(data)
        assert len(port.arrivals) == 60
        port.arrivals.flush()
        assert not len(port.arrivals)
        for client in port.clients:
            client.send(WORK)
        await port.until(90)
        assert sorted(port.set_up) == list(range(90))

    runner.run(run())


@pytest.mark.parametrize("seed", range(times(20)))
def test_each_is_set_up_once_whatever_comes(
    runner: asyncio.Runner, port: Port, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(arrivals, "SILENT_SECONDS", 0.02)
    dice = random.Random(seed)

    async def run() -> None:
        for _ in range(300):
            port.connect(dice.choice((b"", b"", LIGHT, KNOWN, WORK)))
            if dice.random() < 0.3:
                late = dice.choice(port.clients)
                late.close() if dice.random() < 0.3 else late.fileno() < 0 or late.send(WORK)
            if dice.random() < 0.1:
                await asyncio.sleep(dice.choice((0, 0, 0.01)))
        await port.until(300)
        assert sorted(port.set_up) == list(range(300))
        assert not len(port.arrivals)

    runner.run(run())
