"""Refusals that are held back: how many are not, and what a client of one that is gets."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.web import connection, prebuilt
from vipsgate.web.server import Server
from vipsgate.web.throttle import MAX_HOLD, RateLimit, Throttle

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SOON_S = 10  # for what takes a moment
FOREVER_S = 20.0

# -- the limit -------------------------------------------------------------------------------------

# events a second, and at once; seconds at which they come -> seconds that each is held
PACES = [
    (10, 1, "0 0 0 0", "0 0.1 0.2 0.3"),
    (10, 3, "0 0 0 0 0", "0 0 0 0.1 0.2"),
    (10, 1, "0 0.1 0.2 0.3", "0 0 0 0"),
    (10, 1, "0 0.05 0.1", "0 0.05 0.1"),
    (10, 2, "0 0 0 5 5 5", "0 0 0.1 0 0 0.1"),  # after a pause no more than at the beginning
    (1, 1, "0 0 0 0 0 0", "0 1 2 3 3 3"),  # nobody is held for more than three seconds,
    (1, 1, "0 0 0 0 0 0 1", "0 1 2 3 3 3 3"),
    (1, 1, "0 0 0 0 0 0 4", "0 1 2 3 3 3 0"),  # and those who were not counted take no turn
]


@pytest.mark.parametrize(("rate", "burst", "times", "delays"), PACES)
def test_rate_limit(rate, burst, times, delays):
    limit = RateLimit(rate, burst)
    found = [limit.delay(float(at), 3.0) for at in times.split()]
    assert found == pytest.approx([float(delay) for delay in delays.split()])


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(1, 5))
def test_no_more_than_the_rate_unless_somebody_has_waited_long(gaps, burst):
    limit, now, sent = RateLimit(10.0, burst), 0.0, []
    for gap in gaps:
        now += gap / 20
        delay = limit.delay(now, 2.0)
        assert 0 <= delay <= 2.0
        if delay < 2.0:
            sent.append(now + delay)
    assert sent == sorted(sent)
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            assert last - first <= (sent[last] - sent[first]) * 10 + burst - 1 + 1e-6


def test_nobody_is_held_longer_than_a_connection_lives():
    assert Throttle(1e6)._most == MAX_HOLD < connection.KEEPALIVE_SECONDS


# -- connections -----------------------------------------------------------------------------------


def each_loop(test):
    """Run it on both loops, each time with a throttle that lets one refusal through."""

    @pytest.mark.parametrize("loop", LOOPS)
    def run(loop):
        async def whole():
            async with asyncio.timeout(SOON_S):
                await test()

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(whole())

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def serving():
    """A server that refuses ``/no...``, the first time at once."""
    throttle = Throttle(FOREVER_S, RateLimit(0.01, 1))

    async def answer(request):
        if not request.path.startswith("/no"):
            return prebuilt.respond(request, 200, {}, request.path.encode())
        if request.method == "HEAD":
            response = web.Response(status=503)
        else:
            response = prebuilt.respond(request, 503, {}, request.path.encode())
        response[prebuilt.HOLD] = FOREVER_S
        return response

    server = Server(answer, refuse=None, throttle=throttle, handler_cancellation=True)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0], throttle
    finally:
        throttle.release()
        await runner.cleanup()


async def ask(writer, *paths, method="GET", close=False):
    more = "Connection: close\r\n" if close else ""
    writer.write(
        b"".join(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode() for path in paths)
    )


async def answer(reader, body=True):
    """Status and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0) if body else 0
    return int(head.split()[1]), (await reader.readexactly(size)).decode()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def refused(address):
    """A connection that has had the one refusal that is not held."""
    reader, writer = await asyncio.open_connection(*address)
    await ask(writer, "/no")
    assert await answer(reader) == (503, "/no")
    return reader, writer


@each_loop
async def test_a_refusal_is_held_and_what_comes_behind_it_waits():
    async with serving() as (address, throttle):
        reader, writer = await refused(address)
        await ask(writer, "/no/1")
        await until(lambda: throttle.held == 1)
        await ask(writer, "/yes")
        other = await asyncio.open_connection(*address)
        await ask(other[1], "/yes")
        assert await answer(other[0]) == (200, "/yes")  # others are answered meanwhile
        assert throttle.held == 1
        throttle.release()
        assert await answer(reader) == (503, "/no/1")
        assert await answer(reader) == (200, "/yes")
        assert throttle.held == 0
        for end in (writer, other[1]):
            end.close()


@each_loop
async def test_requests_sent_together_are_answered_in_their_order():
    async with serving() as (address, throttle):
        reader, writer = await refused(address)
        await ask(writer, "/yes/1", "/no/2", "/yes/3", "/no/4")
        assert await answer(reader) == (200, "/yes/1")
        await until(lambda: throttle.held == 1)
        throttle.release()
        found = [await answer(reader) for _ in range(3)]
        assert found == [(503, "/no/2"), (200, "/yes/3"), (503, "/no/4")]
        writer.close()


@each_loop
async def test_no_work_is_under_way_for_what_is_held():
    """It takes no more than an unused connection, which aiohttp has one task for."""
    async with serving() as (address, throttle):
        reader, writer = await refused(address)
        await ask(writer, "/yes")
        assert await answer(reader) == (200, "/yes")
        before = len(asyncio.all_tasks())
        await ask(writer, "/no/1")
        await until(lambda: throttle.held == 1)
        await until(lambda: len(asyncio.all_tasks()) == before)
        assert throttle.held == 1
        throttle.release()
        assert await answer(reader) == (503, "/no/1")
        writer.close()


@pytest.mark.parametrize(("method", "close"), [("HEAD", False), ("GET", True), ("HEAD", True)])
def test_other_refusals_are_held_too(method, close):
    @each_loop
    async def run():
        async with serving() as (address, throttle):
            _, first = await refused(address)
            reader, writer = await asyncio.open_connection(*address)
            await ask(writer, "/no/1", method=method, close=close)
            await until(lambda: throttle.held == 1)
            throttle.release()
            body = "" if method == "HEAD" else "/no/1"
            assert await answer(reader, body=bool(body)) == (503, body)
            if close:
                assert await reader.read() == b""
            for end in (first, writer):
                end.close()

    for loop in LOOPS:
        run(loop)


@each_loop
async def test_a_client_may_leave_while_its_refusal_is_held():
    async with serving() as (address, throttle):
        writers = [(await refused(address))[1]]
        for close in (False, True):
            _, writer = await asyncio.open_connection(*address)
            await ask(writer, "/no/1", close=close)
            writers.append(writer)
        await until(lambda: throttle.held == 2)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.02)
        throttle.release()
        reader, writer = await asyncio.open_connection(*address)
        await ask(writer, "/no/2")
        assert await answer(reader) == (503, "/no/2")  # and nothing is held any more
        writer.close()


def test_a_place_is_taken_or_not():
    limit = RateLimit(10.0, 2)
    taken = [limit.allow(now) for now in (0.0, 0.0, 0.0, 0.05, 0.11, 0.11, 0.22, 5.0, 5.0, 5.0)]
    assert taken == [True, True, False, False, True, False, True, True, True, False]


@given(
    st.lists(st.floats(0, 0.2), max_size=60),
    st.floats(1, 100),
    st.integers(1, 20),
)
def test_no_more_places_than_the_rate(gaps, rate, burst):
    limit, now, taken = RateLimit(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        taken += limit.allow(now)
    assert taken <= burst + now * rate + 1e-6
