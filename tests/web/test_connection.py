"""Connections by themselves: requests one by one, and ends at which the last answer arrives."""

import asyncio
import contextlib
import itertools
import socket
import time
from functools import partial

import pytest
import uvloop
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.web import connection, prebuilt
from vipsgate.web.throttle import Pace, Throttle
from vipsgate.web.turns import Turns

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SOON_S = 10  # for what takes a moment


# -- the parser ------------------------------------------------------------------------------------


class Protocol:
    """The connection as a parser sees it; how often it was asked to stop."""

    def __init__(self, parser):
        self.parser, self.pauses = parser, 0

    def pause_reading(self):
        self.pauses += 1
        self.parser().pause_reading()

    def resume_reading(self, resume_parser=True):
        pass


def parser_of(loop, size=1 << 16):
    """A parser, and what it reads for."""
    made = []
    protocol = Protocol(lambda: made[0])
    made.append(
        connection.Parser(
            lambda: HttpRequestParser(
                protocol,
                loop,
                size,
                payload_exception=web.RequestPayloadError,
                auto_decompress=False,
            )
        )
    )
    return made[0], protocol


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


def body_of(payload):
    """All that has come of a body, and whether that is all; or that it is refused."""
    if payload.exception():
        return "refused", None
    return payload.read_nowait(), payload.is_eof()


def told(messages):
    """Requests as the rows below say them, refusals as their codes."""
    return [
        message.exc.code
        if hasattr(message, "exc")
        else (message.method, message.path, message.should_close, *body_of(payload))
        for message, payload in messages
    ]


def chunked(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
TOLD = ("GET", "/a", False, b"", True)


def put(body, *headers, length=True):
    rows = [b"PUT /b HTTP/1.1", b"Host: a", *headers]
    rows += [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join([*rows, b"", body])


plain = st.sampled_from(
    [
        (GET, TOLD),
        (b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", ("HEAD", *TOLD[1:])),
        (b"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", ("DELETE", *TOLD[1:])),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", TOLD),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), ("GET", "/%C3%A9", False, b"", True)),
        (
            b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            TOLD,
        ),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", TOLD),
        (
            b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
            (*TOLD[:3], b"\r\n", True),
        ),
        (b"\r\n" + GET, TOLD),
    ]
)
bodies = st.one_of(st.binary(max_size=40), st.sampled_from([GET, b"\r\n\r\n", b"0\r\n\r\n", b""]))
uploads = bodies.map(lambda body: (put(body), ("PUT", "/b", False, body, True)))
chunks = st.lists(bodies.filter(bool), max_size=3)
last = st.builds(
    lambda pieces, both: (
        put(
            chunked(*pieces),
            b"Transfer-Encoding: chunked",
            *([b"Content-Length: 7"] if both else []),
            length=False,
        ),
        ("PUT", "/b", True, b"".join(pieces), True),
    ),
    chunks,
    st.booleans(),
)


@given(
    st.lists(st.one_of(plain, uploads), max_size=5),
    st.one_of(st.none(), last),
    st.one_of(plain, bodies.map(lambda data: (data, None))),
    st.data(),
)
def test_the_same_requests_however_they_are_cut(requests, end, behind, data):
    """And behind chunks there is no further one, whatever stands there."""
    sent = [*requests, *([end, behind] if end else [])]
    whole = b"".join(text for text, _ in sent)
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        parser, _ = parser_of(loop)
        found = []
        for a, b in itertools.pairwise([0, *places, len(whole)]):
            messages, upgraded, tail = parser.feed_data(whole[a:b])
            assert (upgraded, tail) == (False, b"")
            found += messages
        assert told(found) == [meaning for _, meaning in (*requests, *([end] if end else []))]
        assert parser.ended == bool(end)


words = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b"\0",
            b" ",
            b"  ",
            b"\t",
            b":",
            b"\x0b",
            b"\x0c",
            b"\x7f",
            b"\xe9",
        ),
        *(b"A: b\r\n", b"Host: b\r\n", b"HTTP/1.0", b"HTTP/2.0", b"//", b"#", b"*", b"[", b"\\"),
        *(b"Content-Length: 0\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(
            b"Upgrade: websocket\r\n",
            b"Connection: upgrade\r\n",
            b"Connection: close\r\n",
            b"0\r\n",
        ),
    ]
)


@st.composite
def nearly_a_get(draw):
    """What begins like one, and ends like one."""
    data = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nReferer: http://a/\r\n"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(4, len(data)))
        data = data[:at] + draw(words) + data[at + draw(st.integers(0, 3)) :]
    return data + b"\r\n"


def all_told(data, size):
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        parser, _ = parser_of(loop)
        found = []
        for at in range(0, len(data), size):
            found += parser.feed_data(data[at : at + size])[0]
        return told(found), parser.ended


@given(nearly_a_get())
def test_at_once_or_bit_by_bit_is_the_same(data):
    """The short way makes nothing of a request that the long one would not."""
    assert all_told(data, len(data)) == all_told(data, 1)


# what is sent -> what is made of it
REFUSED = [
    (GET + b"\0", [TOLD, "InvalidRequest"]),
    (GET + b"GET / HTTP/2.0\r\n\r\n" + GET, [TOLD, "HttpVersionNotSupported"]),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", ["HttpVersionNotSupported"]),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", ["HttpVersionNotSupported"]),
    (b"GET /a HTTP/1.1\r\n\r\n", ["InvalidRequest"]),  # no Host
    (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ["InvalidRequest"]),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", ["InvalidRequest"]),
    (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", ["NotImplemented"]),
    (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n" + GET, ["InvalidRequest"]),
    (b"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ["NotImplemented"]),
    (b"GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", ["InvalidRequest"]),
    (b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", ["InvalidRequest"]),
    (put(b"x" * 5) + b"y", [("PUT", "/b", False, b"x" * 5, True)]),  # y may begin a method
    (put(b"x" * 5) + b"{", [("PUT", "/b", False, b"x" * 5, True), "InvalidRequest"]),
    (
        put(b"zz\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"1\r\nab\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"1\na\n0\n\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"-1\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"0x1\r\na\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"10000000000000000\r\na", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(("data", "meaning"), REFUSED, ids=repr)
def test_what_is_no_request_is_returned_as_its_error(loop, data, meaning, size):
    parser, _ = parser_of(loop)
    found = []
    for at in range(0, len(data), size):
        found += parser.feed_data(data[at : at + size])[0]
    assert told(found) == meaning
    if parser.ended:
        assert parser.feed_data(GET) == ([], False, b"")


def test_so_many_wait_and_the_rest_is_not_read(loop):
    parser, _ = parser_of(loop)
    sizes = [len(parser.feed_data(GET * 100)[0])]
    while found := parser.feed_data(b"")[0]:
        sizes.append(len(found))
    most = connection.MAX_PIPELINED
    assert sizes == [most] * (100 // most) + [100 % most] * bool(100 % most)
    assert len(parser.feed_data(GET)[0]) == 1


def test_who_sends_too_much_ahead_is_answered_so_far(loop):
    """The rest is dropped, and the last answer says that the connection ends."""
    parser, _ = parser_of(loop)
    most = connection.MAX_PIPELINED
    found, _, _ = parser.feed_data(GET * (most + connection.PIPELINED_BYTES // len(GET) + 1))
    assert [message.should_close for message, _ in found] == [False] * (most - 1) + [True]
    assert parser.ended
    assert parser._rest == b""
    assert parser.feed_data(GET) == ([], False, b"")


def test_a_long_body_is_not_too_much(loop):
    parser, _ = parser_of(loop)
    found, _, _ = parser.feed_data(put(bytes(4 * connection.PIPELINED_BYTES)) + GET)
    assert len(found) == 1
    assert not parser.ended


def test_what_comes_behind_a_body_waits_until_that_is_taken(loop):
    parser, protocol = parser_of(loop, size=1000)
    body = bytes(5000)
    [(_, payload)], _, _ = parser.feed_data(put(body) + GET)
    assert protocol.pauses == 1
    assert payload.read_nowait() == body
    assert told(parser.feed_data(b"")[0]) == [TOLD]


def test_what_is_at_once_a_request_is_not_read_twice(loop, monkeypatch):
    monkeypatch.setattr(connection.framing, "read", None)
    monkeypatch.setattr(connection.framing, "HeadBuffer", bool)
    parser, _ = parser_of(loop)
    assert told(parser.feed_data(GET)[0]) == [TOLD]


# -- connections -----------------------------------------------------------------------------------


def run(scenario, loop):
    """Let it run on one of the loops; what warns fails."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(asyncio.wait_for(scenario(), SOON_S))


@contextlib.asynccontextmanager
async def serving(answer, **options):
    """A server on loopback; ``open()`` gives reader and writer."""

    def refuse(request, error):
        return web.Response(status=error.status, text=error.code)

    server = connection.Server(answer, refuse=refuse, access_log=None, **options)
    loop = asyncio.get_running_loop()
    port = await loop.create_server(server, "127.0.0.1", 0)
    open_ = partial(asyncio.open_connection, *port.sockets[0].getsockname()[:2])
    try:
        yield server, open_
    finally:
        port.close()
        server.pre_shutdown()
        await server.shutdown(1)
        await asyncio.sleep(0)


async def echo(request):
    """How many bytes the body has, for a path that wants it."""
    size = len(await request.read()) if request.path == "/b" else -1
    return prebuilt.respond(request, 200, {"Content-Type": "text/plain"}, b"%d" % size)


async def answer_of(reader):
    """Status, Connection and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head.split()[1]), headers.get("connection", ""), body.decode()


def upload(size, method="PUT", path="/none", *headers):
    rows = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(rows).encode()


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("size", [1, connection.DRAIN_BYTES])
def test_a_small_body_that_nobody_wants_is_read(name, method, size):
    async def scenario():
        async with serving(echo) as (_, open_):
            reader, writer = await open_()
            for _ in range(3):
                writer.write(upload(size, method))
                assert await answer_of(reader) == (200, "", "-1")
                writer.write(bytes(size))
            writer.write(GET)
            assert await answer_of(reader) == (200, "", "-1")
            writer.close()

    run(scenario, name)


ENDED = {  # requests whose body will not be read to its end
    "large": upload(connection.DRAIN_BYTES + 1),
    "without end": upload(10**15, "GET"),
    "expected": upload(5, "PUT", "/none", "Expect: 100-continue"),
    "chunks": b"GET /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("kind", ENDED)
def test_behind_another_one_the_connection_ends(name, kind):
    """The answer comes at once and says so; what still comes is thrown away; then he closes."""

    async def scenario():
        async with serving(echo) as (server, open_):
            reader, writer = await open_()
            writer.write(ENDED[kind])
            assert await answer_of(reader) == (200, "close", "-1")
            assert await reader.read() == b""
            for _ in range(20):
                writer.write(bytes(100_000))
                await writer.drain()
            assert server.connections
            writer.close()
            await writer.wait_closed()
            while server.connections:
                await asyncio.sleep(0.001)

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_only_so_many_bytes_are_thrown_away(name, monkeypatch):
    monkeypatch.setattr(connection, "LINGER_BYTES", 1 << 20)

    async def scenario():
        async with serving(echo) as (server, open_):
            reader, writer = await open_()
            writer.write(ENDED["without end"])
            assert await answer_of(reader) == (200, "close", "-1")
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 1 << 30:
                    writer.write(bytes(1 << 16))
                    await writer.drain()
                    sent += 1 << 16
            assert 1 << 20 < sent < 32 << 20  # buffers of the kernel hold the rest
            assert not server.connections

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_and_only_for_so_long(name, monkeypatch):
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)

    async def scenario():
        async with serving(echo) as (server, open_):
            reader, writer = await open_()
            writer.write(ENDED["without end"])
            assert await answer_of(reader) == (200, "close", "-1")
            while server.connections:
                await asyncio.sleep(0.001)
            writer.close()

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_a_small_body_that_does_not_come_is_not_waited_for(name, monkeypatch):
    monkeypatch.setattr(connection, "DRAIN_SECONDS", 0.05)

    async def scenario():
        async with serving(echo) as (_, open_):
            reader, writer = await open_()
            writer.write(upload(5) + b"1234")
            assert await answer_of(reader) == (200, "", "-1")
            assert await reader.read() == b""
            writer.close()

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("cancelling", [False, True])
def test_a_client_that_leaves_in_between_leaves_nothing(name, cancelling, monkeypatch):
    monkeypatch.setattr(connection, "DRAIN_SECONDS", 0.05)

    async def scenario():
        async with serving(echo, handler_cancellation=cancelling) as (server, open_):
            for text in (upload(5), *ENDED.values(), b"\0", upload(9, "PUT", "/b")):
                reader, writer = await open_()
                writer.write(text)
                if b"/b" not in text:
                    await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
                await asyncio.sleep(0)
            while server.connections:
                await asyncio.sleep(0.001)

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_the_server_ends_while_a_client_goes_on(name):
    async def scenario():
        async with serving(echo) as (server, open_):
            reader, writer = await open_()
            writer.write(ENDED["without end"])
            await answer_of(reader)
            assert server.connections
        assert not server.connections
        writer.close()

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_many_small_chunks_do_not_hold_up_others(name):
    """Between two parts of them the loop has its turn, and all of them arrive."""

    async def scenario():
        async with serving(echo) as (_, open_):
            count, turns = 100_000, 0
            reader, writer = await open_()
            writer.write(put(b"", b"Transfer-Encoding: chunked", length=False))
            writer.write(chunked(*[b"a"] * count))
            answer = asyncio.create_task(answer_of(reader))
            while not answer.done():
                await asyncio.sleep(0)
                turns += 1
            assert answer.result() == (200, "close", str(count))
            assert turns > count // 10_000
            writer.close()

    run(scenario, name)


@pytest.mark.parametrize("name", LOOPS)
def test_a_large_body_is_read_however_slowly(name):
    async def slowly(request):
        size = 0
        async for data in request.content.iter_chunked(1 << 18):
            size += len(data)
            await asyncio.sleep(0.001)
        return prebuilt.respond(request, 200, {"Content-Type": "text/plain"}, b"%d" % size)

    async def scenario():
        async with serving(slowly) as (_, open_):
            reader, writer = await open_()
            for text in (put(bytes(3 << 20)), put(bytes(3 << 20)) + GET):
                writer.write(text)
                assert await answer_of(reader) == (200, "", str(3 << 20))
            assert await answer_of(reader) == (200, "", "0")
            pieces = [bytes(70_000)] * 40
            writer.write(put(chunked(*pieces), b"Transfer-Encoding: chunked", length=False))
            assert await answer_of(reader) == (200, "close", str(40 * 70_000))
            writer.close()

    run(scenario, name)


ORDER = [  # what is sent at once -> the answers to it, behind which the connection is closed
    (b"\0", [(400, "close", "InvalidRequest")]),
    (GET + GET + b"\0" + GET, [(200, "", "-1")] * 2 + [(400, "close", "InvalidRequest")]),
    (
        put(chunked(b"abc"), b"Transfer-Encoding: chunked", b"Content-Length: 1", length=False)
        + GET,
        [(200, "close", "3")],
    ),
    (
        put(chunked(b"abc"), b"Transfer-Encoding: chunked", length=False) + b"\0",
        [(200, "close", "3")],
    ),
    (
        put(b"abc") + GET + b"HTTP/1.1",
        [(200, "", "3"), (200, "", "-1"), (400, "close", "InvalidRequest")],
    ),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET, [(200, "close", "-1")]),
]


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize(("text", "answers"), ORDER, ids=repr)
def test_answers_come_in_order_and_the_last_one_closes(name, text, answers):
    async def scenario():
        async with serving(echo) as (_, open_):
            reader, writer = await open_()
            writer.write(text + b"\r\n\r\n")
            assert [await answer_of(reader) for _ in answers] == answers
            assert await reader.read() == b""
            writer.close()

    run(scenario, name)


async def fails(request):
    raise ZeroDivisionError


async def fails_late(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"abc")
    raise ZeroDivisionError


@pytest.mark.parametrize("name", LOOPS)
def test_a_handler_that_fails(name, caplog):
    async def scenario():
        for handler, sent in ((fails, b"HTTP/1.1 500 "), (fails_late, b"HTTP/1.1 200 ")):
            async with serving(handler) as (_, open_):
                reader, writer = await open_()
                writer.write(GET)
                got = await reader.read()
                assert got.startswith(sent)
                assert got.count(b"HTTP/1.1") == 1
                writer.close()

    run(scenario, name)
    assert [record.name for record in caplog.records] == ["vipsgate.web.connection"] * 2


def test_a_connection_is_reset_only_behind_the_answer():
    """What lingering is for: a client that writes all before it reads, as many do."""

    async def scenario():
        async with serving(echo) as (_, open_):
            _, writer = await open_()
            port = writer.get_extra_info("peername")[1]
            writer.close()
            return await asyncio.to_thread(upload_all, port)

    assert run(scenario, "uvloop").startswith(b"HTTP/1.1 200")


def upload_all(port, size=20 << 20):
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(upload(size))
        line.sendall(bytes(size))
        return line.recv(1000)


# -- clients that take nothing, and connections that nobody uses -----------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_takes_nothing_is_cut(loop, monkeypatch):
    """Whoever writes the answer: aiohttp itself has no bound for it."""
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.05)
    ended = []

    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(1 << 20))
        finally:
            ended.append(1)

    async def run():
        async with asyncio.timeout(SOON_S), serving(answer) as (server, open_):
            reader, writer = await open_(limit=1)
            writer.write(GET)
            while not ended or server.count:
                await asyncio.sleep(0.005)
            writer.transport.abort()
            del reader

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_is_slow_gets_all_of_it(loop, monkeypatch):
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.4)
    size = 16 << 20

    async def answer(request):
        return web.Response(body=bytes(size))

    async def run():
        async with asyncio.timeout(SOON_S), serving(answer) as (server, open_):
            reader, writer = await open_(limit=1 << 16)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            got = 0
            while got < size:
                got += len(await reader.read(1 << 18))
                await asyncio.sleep(0.01)  # all of it takes longer than a stall may
            assert server.count == 1
            writer.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_connections_are_closed_and_no_others(loop, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.0)
    go, throttle, begun = asyncio.Event(), Throttle(20.0, Pace(0.01, 1)), asyncio.Event()

    async def answer(request):
        if request.path == "/slow":
            begun.set()
            await go.wait()
        response = prebuilt.respond(request, 503, {}, b"no")
        if request.path == "/held":
            response[prebuilt.HOLD] = 20.0
        return response

    def ask(path):
        return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path

    async def run():
        async with (
            asyncio.timeout(SOON_S),
            serving(answer, throttle=throttle) as (server, open_),
        ):
            links = [await open_() for _ in range(4)]
            while server.count < 4:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)  # the loop's clock has milliseconds
            for reader, writer in links[:2]:  # one by one: the first has been idle for longer
                writer.write(ask(b"/held"))
                if reader is links[0][0]:
                    await reader.readuntil(b"no")
            while throttle.held == 0:
                await asyncio.sleep(0.001)
            links[2][1].write(ask(b"/slow"))
            await begun.wait()
            assert server.count == 4
            server.close_idle(1)
            assert await links[3][0].read() == b""  # it never asked for anything
            assert server.count == 3
            server.close_idle(9)
            assert await links[0][0].read() == b""
            assert server.count == 2
            go.set()
            throttle.release()
            for reader, _ in links[1:3]:
                assert (await reader.readuntil(b"no")).startswith(b"HTTP/1.1 503")
            for _, writer in links:
                writer.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


# -- turns -----------------------------------------------------------------------------------------

WORK = b"GET /work-%d HTTP/1.1\r\nHost: a\r\n\r\n"


def is_work(data):
    return b"/work" in data


@pytest.mark.parametrize("loop", LOOPS)
def test_work_waits_for_its_turn_and_what_is_light_passes(loop):
    begun = []

    async def answer(request):
        begun.append(request.path)
        return await echo(request)

    async def scenario():
        turns = Turns(2)
        async with serving(answer, turns=turns, is_work=is_work) as (server, open_):
            opened = [await open_() for _ in range(12)]
            turns.take(), turns.take()  # of this iteration
            for number, (_, writer) in enumerate(opened[:-1]):
                writer.write(WORK % number)
            opened[-1][1].write(GET)
            for reader, _ in opened:
                assert (await answer_of(reader))[0] == 200
            assert not len(turns)
            assert [path for path in begun if path != "/a"] == [f"/work-{i}" for i in range(11)]
            assert begun.index("/a") < 11
            for _, writer in opened:
                writer.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("pieces", [1, 2, 30])
def test_requests_sent_together_behind_one_that_waits_are_answered_in_their_order(loop, pieces):
    data = b"".join(WORK % number for number in range(20))
    data += upload(9, "PUT", "/b") + b"to /work9"[:9] + WORK % 99

    async def scenario():
        turns = Turns(1)
        async with serving(echo, turns=turns, is_work=is_work) as (server, open_):
            reader, writer = await open_()
            size = -(-len(data) // pieces)
            for at in range(0, len(data), size):
                turns.take()
                writer.write(data[at : at + size])
                await asyncio.sleep(0.002)
            answers = [await answer_of(reader) for _ in range(22)]
            assert [body for _, _, body in answers] == ["-1"] * 20 + ["9", "-1"]
            writer.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_may_leave_while_it_waits_for_its_turn(loop):
    begun = []

    async def answer(request):
        begun.append(request.path)
        return await echo(request)

    async def scenario():
        turns = Turns(1)
        async with serving(answer, turns=turns, is_work=is_work) as (server, open_):
            held = []
            turns.wait(lambda: held.append(True) or True)
            _, writer = await open_()
            writer.write(WORK % 1)
            await asyncio.sleep(0.02)
            writer.transport.abort()
            while server.count:
                await asyncio.sleep(0.005)
            assert not len(turns)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_when_it_came_is_known_of_what_has_waited(loop):
    came = []

    async def answer(request):
        came.append(request.protocol.came)
        return await echo(request)

    async def scenario():
        turns = Turns(1)
        async with serving(answer, turns=turns, is_work=is_work) as (_, open_):
            reader, writer = await open_()
            for number in range(3):
                writer.write(WORK % number)
                await answer_of(reader)
            others = [await open_() for _ in range(5)]
            begun = time.perf_counter()
            for _, other in others:
                other.write(WORK % 9)
            for each, other in others:
                await answer_of(each)
                other.close()
            writer.close()
        assert came[:3] == [0.0] * 3
        waited = [at for at in came[3:] if at]
        assert all(begun <= at <= time.perf_counter() for at in waited)

    run(scenario, loop)
