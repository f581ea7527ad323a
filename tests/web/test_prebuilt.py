"""Answers in one piece: what a client gets is what aiohttp would have sent."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import web

from vipsgate.web import prebuilt

HEADERS = {
    "Content-Type": "image/jpeg",
    "ETag": '"1"',
    "Server": "vipsgate",
    "x-oss-meta-name": "café 猫",
}
LINES = {  # how a client asks -> whether it gets the answer in one piece
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n": True,
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n": True,
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": False,
    "GET / HTTP/1.0\r\n\r\n": False,
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n": False,
}


@contextlib.asynccontextmanager
async def serving(answer):
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0]
    finally:
        await runner.cleanup()


async def read(reader):
    """Status line, headers and body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first, headers, await reader.readexactly(int(headers["Content-Length"]))


@pytest.mark.parametrize("body", [b"", b"x", bytes(200_000)], ids=len)
@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("line", LINES)
async def test_the_same_as_aiohttps(line, status, body):
    made = []

    async def answer(request):
        if not made:
            made.append(prebuilt.respond(request, status, HEADERS, body))
            return made[0]
        return web.Response(status=status, headers=HEADERS, body=body)

    async def ask(address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(line.encode())
        said = await read(reader)
        open_still = "HTTP/1.1" in line and "close" not in line
        if open_still:
            writer.write(line.encode())
            await read(reader)
        writer.close()
        await writer.wait_closed()
        return said

    async with serving(answer) as address:
        ours, theirs = await ask(address), None
        theirs = await ask(address)
    assert isinstance(made[0], prebuilt.Ready) is LINES[line]
    ours[1].pop("Date"), theirs[1].pop("Date")
    assert ours == theirs


async def test_requests_one_behind_the_other():
    async def answer(request):
        return prebuilt.respond(request, 200, HEADERS, request.path.encode())

    async with serving(answer) as address:
        reader, writer = await asyncio.open_connection(*address)
        asked = [f"/{number}" for number in range(50)]
        writer.write("".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in asked).encode())
        assert [(await read(reader))[2].decode() for _ in asked] == asked
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"], ids=repr)
def test_no_header_ends_inside_its_value(value):
    assert prebuilt.written({"Content-Type": "image/png"})
    assert prebuilt.written({"Content-Type": value}) is None
    assert prebuilt.written({value: "a"}) is None


async def test_a_client_that_takes_nothing_is_left(monkeypatch):
    monkeypatch.setattr(prebuilt, "STALL_TIMEOUT", 0.2)
    asked, body = [], bytes(4 << 20)

    async def answer(request):
        asked.append(request.path)
        return prebuilt.respond(request, 200, HEADERS, body)

    async with serving(answer) as address:
        line = socket.socket()
        # by itself the kernel may hold all of it
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(address)
        reader, writer = await asyncio.open_connection(sock=line, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        await asyncio.sleep(1)
        assert len(asked) == 1  # the next is not looked at while the first is not taken
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(2 * len(body))
        writer.close()


async def test_a_slow_client_gets_all_of_it():
    body = bytes(range(256)) * (1 << 14)

    async def answer(request):
        return prebuilt.respond(request, 200, HEADERS, body)

    async with serving(answer) as address:
        reader, writer = await asyncio.open_connection(*address, limit=1 << 16)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = b""
        while len(got) < len(body):
            got += await reader.read(100_000)
            await asyncio.sleep(0.002)
        assert got == body
        writer.close()
        await writer.wait_closed()
