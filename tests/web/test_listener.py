"""A port with a bound of connections: who waits, who is closed, and that nobody is lost."""

import asyncio
import errno
import socket
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web

from vipsgate.web import listener, ports, prebuilt
from vipsgate.web import server as server_module
from vipsgate.web.connection import NoWork
from vipsgate.web.descriptors import room
from vipsgate.web.listener import Listener
from vipsgate.web.server import Server
from vipsgate.web.turns import Turns

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SOON_S = 10  # for what takes a moment


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(64, 24), (1024, 384), (4096, 1536), (20_000, 9488), (65_536, 32_256), (1, 1)],
)
def test_as_many_as_there_are_descriptors_for(descriptors, connections):
    assert room(descriptors) == connections


@asynccontextmanager
async def opened(limit, **options):
    """A port whose ``/slow`` is answered when ``go`` is set, all else at once."""
    go = asyncio.Event()

    async def answer(request):
        if request.path == "/slow":
            await go.wait()
        return prebuilt.respond(request, 200, {}, b"ok")

    server = Server(answer, refuse=None, handler_cancellation=True, **options)
    one = Listener(web.ServerRunner(server, shutdown_timeout=1), limit)
    address = await one.open("127.0.0.1", 0, shared=False)
    try:
        yield int(address.rpartition(":")[2]), server, go, one
    finally:
        await one.close(1, linger=0)


async def ask(port, path="/"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return reader, writer


async def answered(link):
    return (await link[0].readuntil(b"ok"))[9:12] == b"200"


def each_loop(test):
    @pytest.mark.parametrize("loop", LOOPS)
    def run(loop, monkeypatch):
        async def whole():
            async with asyncio.timeout(SOON_S):
                await test(monkeypatch)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(whole())

    run.__name__ = test.__name__
    return run


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


@each_loop
async def test_beyond_the_limit_others_wait_until_somebody_leaves(monkeypatch):
    async with opened(4) as (port, server, go, _):
        busy = [await ask(port, "/slow") for _ in range(4)]
        await until(lambda: server.count == 4)
        await asyncio.sleep(0)
        waiting = [await ask(port) for _ in range(6)]  # the kernel takes them
        await asyncio.sleep(0.05)
        assert server.count == 4
        assert not any(link[0]._buffer for link in waiting)
        go.set()
        assert all([await answered(link) for link in busy])
        for _, writer in busy:
            writer.close()
        for link in waiting:
            assert await answered(link)
            link[1].close()
        await until(lambda: server.count == 0)
        last = await ask(port)
        assert await answered(last)
        last[1].close()


@each_loop
async def test_beyond_the_limit_unused_connections_are_closed(monkeypatch):
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.0)
    async with opened(4) as (port, server, go, _):
        unused = [await ask(port) for _ in range(3)]
        assert all([await answered(link) for link in unused])
        busy = await ask(port, "/slow")
        await until(lambda: server.count <= 4)
        waiting = [await ask(port) for _ in range(3)]
        for link in waiting:
            assert await answered(link)
        go.set()
        assert await answered(busy)
        for _, writer in (*unused, *waiting, busy):
            writer.close()


@each_loop
async def test_the_end_takes_in_those_that_wait(monkeypatch):
    monkeypatch.setattr(listener, "LINGER", 0.0)
    async with opened(2) as (port, server, go, one):
        busy = [await ask(port, "/slow") for _ in range(2)]
        await until(lambda: server.count == 2)
        await asyncio.sleep(0)
        waiting = await ask(port)
        await asyncio.sleep(0.02)
        ending = asyncio.create_task(one.close(SOON_S, linger=0.5))
        assert await answered(waiting)
        go.set()
        assert all([await answered(link) for link in busy])
        for _, writer in (*busy, waiting):
            writer.close()
        await ending


@each_loop
async def test_without_a_limit_nobody_waits(monkeypatch):
    async with opened(0) as (port, server, go, _):
        links = [await ask(port, "/slow") for _ in range(50)]
        await until(lambda: server.count == 50)
        go.set()
        for link in links:
            assert await answered(link)
            link[1].close()


@each_loop
async def test_all_that_wait_are_taken_in_at_once(monkeypatch):
    """uvloop by itself takes in one in each iteration, however long that lasts."""
    async with opened(1000) as (port, server, _, one):
        links = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert one._connections() == 200
        for link in links:
            link.send(b"G")
        for _ in range(20):
            await asyncio.sleep(0)
        assert server.count == 200
        for link in links:
            link.close()
        await until(lambda: server.count == 0)


class Work(NoWork):
    """What is called ``/work``."""

    def waits(self, data):
        return b"/work" in data


@each_loop
async def test_of_many_that_connect_at_once_light_ones_are_answered_first(monkeypatch):
    async with opened(1000, turns=Turns(1), work=Work()) as (port, server, _, one):
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for link in many:
            link.send(b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n")
        light = await ask(port)
        assert await answered(light)
        assert server.requests_count < 100
        assert one._connections() >= 201  # one that is being set up counts twice
        for link in many:
            link.setblocking(False)
            got = await asyncio.get_running_loop().sock_recv(link, 100)
            assert got.startswith(b"HTTP/1.1 200")
            link.close()
        light[1].close()


@each_loop
async def test_the_end_takes_in_those_that_are_not_set_up(monkeypatch):
    async with opened(1000, turns=Turns(1), work=Work()) as (port, server, _, one):
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for link in many[::2]:
            link.send(b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: one._connections() == 100)
        closing = asyncio.ensure_future(one.close(5, linger=1))
        await until(lambda: server.count == 100)
        for link in many[1::2]:
            link.send(b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n")
        for link in many:
            link.setblocking(False)
            got = await asyncio.get_running_loop().sock_recv(link, 100)
            assert got.startswith(b"HTTP/1.1 200")
            link.close()
        await closing


@each_loop
async def test_without_a_descriptor_they_wait(monkeypatch):
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.01)
    tries = iter([OSError(errno.EMFILE, "too many"), OSError(errno.ENOBUFS, "no memory"), None])
    waiting = ports.accepted

    def lacking(listening):
        if error := next(tries, None):
            raise error
        return waiting(listening)

    monkeypatch.setattr(ports, "accepted", lacking)
    async with opened(4) as (port, _, _, _):
        link = await ask(port)
        assert await answered(link)
        assert next(tries, None) is None
        link[1].close()
