"""One POST: whom it reaches, what it takes for an answer, and what is left of it."""

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from support.certificates import certificate

from vipsgate.outgoing.address import Url
from vipsgate.web.callbacks import CallbackError, Callbacks, Shares

SENT = {"Content-Type": "application/json", "Host": "other.example.com"}


def answer(body=b"{}", status="200 OK", *headers):
    rows = [f"HTTP/1.1 {status}", *(headers or (f"Content-Length: {len(body)}",)), "", ""]
    return "\r\n".join(rows).encode() + body


@asynccontextmanager
async def receiver(reply, delay=0.0):
    """A server that answers with these bytes; yields its port and the requests that came."""
    came = []

    async def talk(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            came.append((head.decode(), await reader.readexactly(length)))
            await asyncio.sleep(delay)
            writer.write(reply)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()


def at(port, host="127.0.0.1", listed=True, scheme="http"):
    return Url(scheme, host, port, "/a%20b?c=d", listed)


async def test_what_is_sent_and_what_is_answered():
    async with receiver(answer(b' {"a": 1}')) as (port, came):
        assert await Callbacks().post(at(port), SENT, b"body") == b' {"a": 1}'
    ((head, body),) = came
    assert head.startswith("POST /a%20b?c=d HTTP/1.1\r\n")
    assert "\r\nHost: other.example.com\r\n" in head
    assert "\r\nContent-Type: application/json\r\n" in head
    assert body == b"body"


FAILS = {
    "another status": (answer(b"{}", "201 Created"), "Error status : 201."),
    "an error": (answer(b"{}", "500 No"), "Error status : 500."),
    "a redirect": (
        answer(b"", "302 Found", "Location: http://127.0.0.1:1/", "Content-Length: 0"),
        "Error status : 302.",
    ),
    "a redirect with its method": (
        answer(b"", "307 Go", "Location: http://169.254.169.254/", "Content-Length: 0"),
        "Error status : 307.",
    ),
    "no length": (answer(b"{}", "200 OK", "Connection: close"), "no Content-Length"),
    "in chunks": (
        answer(b"2\r\n{}\r\n0\r\n\r\n", "200 OK", "Transfer-Encoding: chunked"),
        "no Content-Length",
    ),
    "no JSON": (answer(b"ok"), "not valid json"),
    "nothing": (answer(b""), "not valid json"),
    "not UTF-8": (answer(b'"\xff"'), "not valid json"),
    "too long": (answer(b"", "200 OK", "Content-Length: 1048577"), "more than 1048576"),
    "absurdly long": (answer(b"", "200 OK", f"Content-Length: {10**30}"), "more than|no HTTP"),
    "cut": (answer(b"{", "200 OK", "Content-Length: 9"), "no HTTP"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
    "closed": (b"", "no HTTP"),
    "a negative length": (answer(b"{}", "200 OK", "Content-Length: -2"), "Content-Length|no HTTP"),
}


@pytest.mark.parametrize("name", FAILS)
async def test_an_answer_that_does_not_count(name):
    reply, reason = FAILS[name]
    async with receiver(reply) as (port, came):
        with pytest.raises(CallbackError, match=reason):
            await Callbacks().post(at(port), SENT, b"body")
    assert len(came) == 1


async def test_the_longest_answer():
    body = b'"' + b"a" * ((1 << 20) - 2) + b'"'
    async with receiver(answer(body)) as (port, _):
        assert await Callbacks().post(at(port), SENT, b"") == body


async def test_a_callback_server_that_does_not_answer():
    with pytest.raises(CallbackError, match="No connection"):
        await Callbacks().post(at(1), SENT, b"")


HTTPS = """
import asyncio, ssl, sys
from vipsgate.outgoing.address import Url
from vipsgate.web.callbacks import CallbackError, Callbacks, Shares

async def lookup(host, port):
    return ["127.0.0.1"]

async def talk(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    await writer.drain()
    writer.close()

async def main(folder, *names):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder + "/vipsgate.crt", folder + "/vipsgate.key")
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for name in names:
        url = Url("https", name, port, "/", True)
        try:
            print(await Callbacks(lookup).post(url, {"Host": "elsewhere.example.com"}, b""))
        except CallbackError as error:
            print(error)

asyncio.run(main(*sys.argv[1:]))
"""


def test_the_certificate_is_checked(tmp_path):
    """Against the host of the URL, whatever `callbackHost` says, and whoever has issued it."""
    certificate(tmp_path / "tls")

    def run(trusted):
        call = [sys.executable, "-c", HTTPS, tmp_path / "tls", "localhost", "elsewhere.example.com"]
        environment = {**os.environ, "SSL_CERT_FILE": str(trusted)}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
        return [line.partition(":")[0] for line in done.stdout.splitlines()]

    assert run(tmp_path / "tls" / "vipsgate.crt") == ["b'{}'", "No connection, or no HTTP"]
    assert run(tmp_path / "nothing") == ["No connection, or no HTTP"] * 2


async def test_a_slow_server():
    async with receiver(answer(), delay=5) as (port, _):
        with pytest.raises(CallbackError, match=r"No answer in 0\.1 seconds"):
            await Callbacks(seconds=0.1).post(at(port), SENT, b"")


def names(*answers):
    """A name server whose answer is another one each time, and how often it was asked."""
    asked = []

    async def lookup(host, port):
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    return lookup, asked


async def test_an_address_that_changes_is_looked_up_once():
    """It is connected to what has been checked, and not to what the name is a moment later."""
    lookup, asked = names(["127.0.0.1"], ["10.255.255.1"])
    async with receiver(answer()) as (port, came):
        url = at(port, "app.example.com")
        assert await Callbacks(lookup).post(url, {"Content-Type": "a/b"}, b"") == b"{}"
    assert asked == ["app.example.com"]
    assert f"\r\nHost: app.example.com:{port}\r\n" in came[0][0]


@pytest.mark.parametrize(
    ("addresses", "listed"),
    [
        (["127.0.0.1"], False),
        (["::ffff:127.0.0.1"], False),
        (["10.0.0.1", "192.168.0.1", "fd00::1"], False),
        (["169.254.169.254"], True),
        (["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"], True),
        (["fe80::1%lo"], True),
        (["0.0.0.0", "::"], True),
        ([], True),
    ],
    ids=str,
)
async def test_an_address_that_is_not_connected_to(addresses, listed):
    lookup, asked = names(addresses)
    async with receiver(answer()) as (port, came):
        with pytest.raises(CallbackError, match="Private address"):
            await Callbacks(lookup).post(at(port, "a.example.com", listed), SENT, b"")
    assert (asked, came) == (["a.example.com"], [])


async def test_of_several_addresses_those_that_may_be():
    lookup, _ = names(["169.254.169.254", "127.0.0.1"])
    async with receiver(answer()) as (port, _):
        assert await Callbacks(lookup).post(at(port, "app.example.com"), SENT, b"") == b"{}"


async def test_a_name_that_there_is_not():
    lookup, _ = names(OSError("no such host"))
    with pytest.raises(CallbackError, match="No connection"):
        await Callbacks(lookup).post(at(80, "a.example.com"), SENT, b"")


async def test_few_are_under_way_and_the_others_wait_of_their_own_time():
    callbacks = Callbacks(seconds=0.5, most=4)  # half for one host
    async with receiver(answer(), delay=0.3) as (port, came):
        tasks = [asyncio.create_task(callbacks.post(at(port), SENT, b"")) for _ in range(4)]
        await asyncio.sleep(0.15)
        assert len(came) == 2
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[:2] == [b"{}", b"{}"]
    assert all(isinstance(result, CallbackError) for result in results[2:])


async def test_a_client_that_leaves_leaves_nothing_behind():
    faults = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    callbacks = Callbacks(most=1)
    async with receiver(answer(), delay=0.2) as (port, came):
        before = asyncio.all_tasks()
        task = asyncio.create_task(callbacks.post(at(port), SENT, b""))
        while not came:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.3)
        assert asyncio.all_tasks() <= before
        assert await callbacks.post(at(port), SENT, b"") == b"{}"  # its turn is free again
    gc.collect()
    assert faults == []


async def test_one_host_that_does_not_answer_leaves_turns_to_others():
    """The first may have half, the next half of what is left, and so on; each at least one."""
    shares, under_way, tasks = Shares(8), Counter(), []

    async def hold(host):
        async with shares.turn(host):
            under_way[host] += 1
            await asyncio.Event().wait()

    for host, expected in (("a", 4), ("b", 2), ("c", 1), ("d", 1), ("e", 0)):
        tasks += [asyncio.create_task(hold(host)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert under_way[host] == expected
    for task in tasks[20:]:  # the others leave, those that wait included
        task.cancel()
    await asyncio.gather(*tasks[20:], return_exceptions=True)
    assert under_way["a"] == 4
    async with asyncio.timeout(1), shares.turn("f"):
        pass
    for task in tasks[:4]:
        task.cancel()
    await asyncio.gather(*tasks[:4], return_exceptions=True)
    await asyncio.sleep(0)
    assert under_way["a"] == 8  # those who have waited longest
    for task in tasks[4:20]:
        task.cancel()
    await asyncio.gather(*tasks[4:20], return_exceptions=True)
    assert not shares._taken
    assert not shares._waiting


async def test_a_client_that_leaves_as_its_turn_comes_gives_it_back():
    shares, entered = Shares(1), []

    async def take(name):
        async with shares.turn("a"):
            entered.append(name)

    async with shares.turn("a"):
        first, second = (asyncio.create_task(take(name)) for name in ("first", "second"))
        await asyncio.sleep(0)
    first.cancel()  # it has the turn, and has not run since
    await asyncio.gather(first, second, return_exceptions=True)
    assert entered == ["second"]
