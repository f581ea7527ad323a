"""Connections by themselves: requests one by one, and ends at which the last answer arrives."""

import asyncio
import contextlib
import socket
import time
from functools import partial

import pytest
import uvloop
from aiohttp import web
from support.requests import GET, chunked, put

from vipsgate.web import connection, lingering, prebuilt
from vipsgate.web import server as server_module
from vipsgate.web.server import Server
from vipsgate.web.throttle import RateLimit, Throttle
from vipsgate.web.turns import Turns

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SOON_S = 10  # for what takes a moment


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

    server = Server(answer, refuse=refuse, access_log=None, **options)
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
    monkeypatch.setattr(lingering, "LINGER_BYTES", 1 << 20)

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
    monkeypatch.setattr(lingering, "LINGER_SECONDS", 0.1)

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
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.0)
    go, throttle, begun = asyncio.Event(), Throttle(20.0, RateLimit(0.01, 1)), asyncio.Event()

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


class Work:
    """What has the word in its path waits; while there is no time, what is no upload is refused.

    What is at hand is answered at once, but for what only looks like it.
    """

    busy, hold = False, 0.02
    body = b"at hand"

    def knows(self, data):
        return b"/hand" in data

    def answer(self, request):
        response = prebuilt.respond(request, 200, {"Content-Type": "text/plain"}, self.body)
        return response if request.path == "/hand" and request.method == "GET" else None

    def waits(self, data):
        return b"/work" in data

    def full(self, waited):
        assert 0 <= waited < SOON_S
        return self.busy

    def refusal(self, request):
        if "handled" in request.path:
            return None
        response = prebuilt.respond(request, 503, {"x-path": request.path}, b"busy")
        response[prebuilt.HOLD] = self.hold
        return response


@pytest.mark.parametrize("loop", LOOPS)
def test_work_waits_for_its_turn_and_what_is_light_passes(loop):
    begun = []

    async def answer(request):
        begun.append(request.path)
        return await echo(request)

    async def scenario():
        turns = Turns(2)
        async with serving(answer, turns=turns, work=Work()) as (server, open_):
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
        async with serving(echo, turns=turns, work=Work()) as (server, open_):
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
        async with serving(answer, turns=turns, work=Work()) as (server, open_):
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
        async with serving(answer, turns=turns, work=Work()) as (_, open_):
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


# sent while there is no time; statuses; is the connection open for another one behind them?
REFUSED = [
    (WORK % 1, [503], True),
    (WORK % 1 + WORK % 2, [200, 200], True),  # in one piece: handled as they come
    (b"GET /work-handled HTTP/1.1\r\nHost: a\r\n\r\n", [200], True),
    (upload(3, "PUT", "/work") + b"abc", [200], True),
    (GET, [200], True),
    (b"GET /work HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", [200], False),
    (b"GET /work HTTP/1.0\r\n\r\n", [200], False),
    (b"GET /work HTTP/2.0\r\nHost: a\r\n\r\n", [505], False),
    (b"GET /work HTTP/1.1\r\n\r\n", [400], False),
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("turn", [True, False], ids=["at once", "after a wait"])
@pytest.mark.parametrize(("data", "statuses", "stays"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_there_is_no_time_for_is_refused_and_the_next_one_is_not(
    loop, turn, data, statuses, stays
):
    async def scenario():
        turns, work = Turns(1), Work()
        options = {"turns": turns, "work": work, "throttle": Throttle()}
        async with serving(echo, **options) as (server, open_):
            reader, writer = await open_()
            if not turn:
                turns.take()
                turns.wait(lambda: 1.0)
            work.busy = True
            writer.write(data)
            assert [(await answer_of(reader))[0] for _ in statuses] == statuses
            work.busy = False
            if stays:
                writer.write(WORK % 7)
                assert (await answer_of(reader))[0] == 200
            writer.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


AT_HAND = b"GET /hand HTTP/1.1\r\nHost: a\r\n\r\n"
SIMILAR = AT_HAND.replace(b"/hand", b"/hand-work")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("data", "bodies", "stays"),
    [
        (AT_HAND, ["at hand"], True),
        (SIMILAR, ["-1"], True),
        (AT_HAND + AT_HAND, ["-1", "-1"], True),  # in one piece: handled as they come
        (upload(3, "PUT", "/hand") + b"abc", ["-1"], True),
        (AT_HAND.replace(b"Host", b"Connection: close\r\nHost"), ["-1"], False),
        (AT_HAND.replace(b"Host: a\r\n", b""), [None], False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_at_hand_is_answered_before_a_task_is_begun(loop, data, bodies, stays):
    async def scenario():
        async with serving(echo, work=Work(), turns=Turns(1)) as (server, open_):
            reader, writer = await open_()
            for first in (AT_HAND, GET):
                writer.write(first)
                assert (await answer_of(reader))[0] == 200
            writer.write(data)
            answers = [await answer_of(reader) for _ in bodies]
            for (status, _, body), expected in zip(answers, bodies, strict=True):
                assert (status, body) == (200, expected) if expected else status == 400
            if stays:
                for known, body in ((AT_HAND, "at hand"), (GET, "-1"), (AT_HAND, "at hand")):
                    writer.write(known)
                    assert (await answer_of(reader))[2] == body
            writer.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("before", [b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", WORK % 1])
def test_no_answer_at_hand_overtakes_another(loop, before):
    """Not while a handler is at work, nor while its answer is sent or held."""

    async def scenario():
        go, work = asyncio.Event(), Work()

        async def slow(request):
            await go.wait()
            response = await echo(request)
            response[prebuilt.HOLD] = 0.01
            return response

        async with serving(slow, work=work, throttle=Throttle(limit=RateLimit(1, 0))) as (
            server,
            open_,
        ):
            reader, writer = await open_()
            for pause in (0, 0, 0.002, 0.002):
                go.clear()
                writer.write(before)
                await asyncio.sleep(pause)
                writer.write(AT_HAND)
                await asyncio.sleep(pause)
                go.set()
                await asyncio.sleep(pause)
                writer.write(AT_HAND)
                bodies = [(await answer_of(reader))[2] for _ in range(3)]
                assert bodies[0] == "-1"
                assert set(bodies[1:]) <= {"at hand", "-1"}
            writer.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_takes_nothing_has_no_answers_pile_up(loop):
    """Behind an answer that it has not taken, the next ones are written in its own time."""

    async def scenario():
        work = Work()
        work.body = bytes(1 << 20)
        async with serving(echo, work=work) as (server, open_):
            reader, writer = await open_()
            reader._transport.pause_reading()
            for _ in range(50):
                writer.write(AT_HAND)
                await asyncio.sleep(0.001)
            (handler,) = server.connections
            assert handler.transport.get_write_buffer_size() < 3 << 20
            writer.transport.abort()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_refusals_are_held_back_and_what_comes_meanwhile_waits(loop):
    async def scenario():
        work, throttle = Work(), Throttle(limit=RateLimit(1, 1))
        work.busy = True
        async with serving(echo, work=work, throttle=throttle) as (server, open_):
            reader, writer = await open_()
            for number in range(3):
                writer.write(WORK % number)
                writer.write(WORK % 9)
                await asyncio.sleep(0)
            for _ in range(6):
                assert (await answer_of(reader))[0] in (200, 503)
            assert not throttle.held
            work.hold = 9.0
            opened = [await open_() for _ in range(5)]
            for _, other in opened:
                other.write(WORK % 1)
            while throttle.held < 4:  # one may be answered at once
                await asyncio.sleep(0.001)
            for _, other in opened[3:]:
                other.transport.abort()
            throttle.release()
            for each, _ in opened[:3]:
                assert (await answer_of(each))[0] == 503
            for _, other in [*opened[:3], (reader, writer)]:
                other.close()
            while server.count:
                await asyncio.sleep(0.005)

    run(scenario, loop)
