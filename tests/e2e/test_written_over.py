"""Objects that somebody writes over while they are read: an ETag stands for its bytes."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import os
import random
import re
import socket
from types import SimpleNamespace

import pytest
from support.served import BUCKET, OWNER, running
from support.waiting import until

from vipsgate import filetimes
from vipsgate.cache.memory import Memory
from vipsgate.cache.tiers import Cache
from vipsgate.console import histogram
from vipsgate.errors import SourceChanged
from vipsgate.renderers.result import Result
from vipsgate.server.explain import explain
from vipsgate.store.base import Properties
from vipsgate.store.local import attribute_cache
from vipsgate.store.local.disk import Disk
from vipsgate.store.local.store import LocalStore
from vipsgate.store.threaded.store import ThreadedStore

LARGE = 300_000  # bytes: no longer read at once
HUGE = 8_000_000  # bytes: more than sockets take from a client that reads nothing
LOGO = base64.urlsafe_b64encode(b"logo.png").decode().rstrip("=")
MARKED = f"a.jpg?x-oss-process=image/watermark,image_{LOGO}"
KINDS = {  # request -> the file that is written to, headers, and which bytes are answered
    "small": ("small.bin", {}, slice(None)),
    "a part of a small one": ("small.bin", {"Range": "bytes=3-9"}, slice(3, 10)),
    "a part of a large one": ("large.bin", {"Range": "bytes=5-99"}, slice(5, 100)),
}


@pytest.fixture
async def served(tmp_path):
    async with running(LocalStore(tmp_path), cache=Cache(Memory(1 << 20), None)) as served:
        await served.rule(acl="public-read")
        folder = tmp_path / BUCKET
        for name, size in (("a.jpg", 9), ("logo.png", 9), ("small.bin", 99), ("large.bin", LARGE)):
            (folder / name).write_bytes(b"0" * size)
        yield served


def writes(monkeypatch, file, times):
    """Have the file written over, with other bytes each time, before so many reads of it."""
    pread, digits = os.pread, itertools.cycle("123456789")

    def read(descriptor, size, at):
        nonlocal times
        if os.path.samestat(os.fstat(descriptor), file.stat()) and times:
            times -= 1
            with file.open("r+b") as there:
                there.write(next(digits).encode() * file.stat().st_size)
        return pread(descriptor, size, at)

    monkeypatch.setattr(os, "pread", read)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_object(served, tmp_path, monkeypatch, kind):
    name, headers, part = KINDS[kind]
    file = tmp_path / BUCKET / name
    before = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    writes(monkeypatch, file, 1)
    answer = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert answer.body == file.read_bytes()[part] != before.body
    assert answer.headers["ETag"] != before.headers["ETag"]
    after = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert (answer.body, answer.headers["ETag"]) == (after.body, after.headers["ETag"])
    writes(monkeypatch, file, 99)
    answer = await served.ask("GET", f"/{BUCKET}/{name}", headers=headers)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")


async def test_an_object_that_is_known(served, tmp_path, monkeypatch):
    """The same where it is answered at once."""
    line, file = f"/{BUCKET}/small.bin", tmp_path / BUCKET / "small.bin"
    await served.ask("GET", line)
    monkeypatch.setattr(attribute_cache, "SECONDS", 0.0)
    for _ in range(3):
        await asyncio.sleep(0.01)
        before = await served.ask("GET", line)
    assert served.services.fastpath.knows(
        f"GET {line} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n".encode()
    )
    writes(monkeypatch, file, 1)
    answer = await served.ask("GET", line)
    assert answer.body == file.read_bytes() == b"1" * 99
    assert answer.headers["ETag"] != before.headers["ETag"]


async def test_what_is_laid_on_a_picture(served, tmp_path):
    """It counts in the picture's ETag as it was opened."""
    logo, renderers = tmp_path / BUCKET / "logo.png", served.services.renderers
    render, left = renderers.render, 0

    async def late(job, content=""):
        nonlocal left
        if left:
            left -= 1
            with logo.open("r+b") as file:
                file.write(f"{left:09}".encode())
        return await render(job, content)

    renderers.render, left = late, 1
    assert (await served.ask("GET", f"/{BUCKET}/{MARKED}")).status == 200
    assert len(renderers.jobs) == 2
    (tmp_path / BUCKET / "a.jpg").write_bytes(b"another")
    left = 99
    answer = await served.ask("GET", f"/{BUCKET}/{MARKED}")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    left = 0
    assert (await served.ask("GET", f"/{BUCKET}/{MARKED}")).status == 200


HUE = "?x-oss-process=image/average-hue"
LEVELS = dict.fromkeys(histogram.COLOURS, (1, 2, 3, 4, 5))
ANSWERS = {"explain": "{}", "histogram": json.dumps(LEVELS)}


async def explained(served):
    return await explain(served.services, f"/{BUCKET}/a.jpg{HUE}", {})


async def histogram_of(served):
    visit = SimpleNamespace(
        services=served.services,
        bucket=BUCKET,
        caller=OWNER,
        request=SimpleNamespace(headers={}),
        text=lambda name: "a.jpg",
        check=lambda right: None,
    )
    answer = await histogram.picture(visit)
    refused = json.loads(answer.body) | {"status": answer.status} if answer.status > 200 else None
    return {"refused": refused, "plan": {}}


@pytest.mark.parametrize("ask", [explained, histogram_of])
@pytest.mark.parametrize("when", ["while it waits", "before it is opened"])
async def test_what_is_told_of_a_picture(served, tmp_path, monkeypatch, ask, when):
    """By other jobs than those for pictures; the worker compares the times that it is sent."""
    file, renderers, left = tmp_path / BUCKET / "a.jpg", served.services.renderers, 1

    def change():
        nonlocal left
        if left:
            left -= 1
            file.write_bytes(b"another one")

    async def render(job, content=""):
        if when == "while it waits":
            change()
        if filetimes.changed(job.source, 9, job.times):
            raise SourceChanged("It was changed.")
        data, result = ANSWERS[job.kind].encode(), os.memfd_create("test")
        os.write(result, data)
        return Result("application/json", len(data), result, 0.0, 0.0, 0)

    open_ = served.store.open

    async def late(bucket, key):
        if when != "while it waits" and key == "a.jpg":
            change()
        return await open_(bucket, key)

    monkeypatch.setattr(renderers, "render", render)
    monkeypatch.setattr(renderers, "lowest", contextlib.AsyncExitStack, raising=False)
    monkeypatch.setattr(type(served.store), "open", lambda self, *names: late(*names))
    refused = (await ask(served))["refused"]
    assert (refused["status"], refused["code"]) == (503, "ServiceUnavailable")
    file.write_bytes(b"0" * 9)
    told = await ask(served)
    assert (told["refused"], told["plan"]) == (None, {})


class Writer:
    """Writes over a file again and again, and remembers which bytes each tag stands for."""

    def __init__(self, served, file, rng):
        self.served, self.file, self.rng = served, file, rng
        self.bytes = {}

    async def change(self, how):
        """Change the file in one of the ways; only ``properties`` leave it the same object."""
        size, times = self.file.stat().st_size, self.file.stat()
        data = bytes([self.rng.randrange(256)]) * HUGE
        match how:
            case "copied over":  # as cp does
                self.file.write_bytes(data)
            case "in its middle":
                self.write(size // 3, data[: size // 3])
            case "at its end":
                self.write(size - 10, data[:10])
            case "of the same age":
                self.write(0, data[:10])
                os.utime(self.file, ns=(times.st_atime_ns, times.st_mtime_ns))
            case "shorter":
                os.truncate(self.file, size // 2)
            case "longer":
                self.write(size, data[:1000])
            case "another":
                new = self.file.with_name("new")
                new.write_bytes(data)
                new.rename(self.file)
            case "removed":
                self.file.unlink()
                self.file.write_bytes(data)
            case "put":
                await self.served.put(self.file.name, data)
            case "properties":
                tags = Properties(tags={"n": str(self.rng.random())})
                await self.served.store.describe(BUCKET, self.file.name, tags)
        await self.note()

    def write(self, at, data):
        with self.file.open("r+b") as file:
            file.seek(at)
            file.write(data)

    async def note(self):
        if hasattr(self.served.store, "_heads"):
            self.served.store._heads.drop(f"{BUCKET}/{self.file.name}")
        item = await self.served.store.stat(BUCKET, self.file.name)
        self.bytes[item.etag] = self.file.read_bytes()


CHANGES = (
    *("copied over", "in its middle", "at its end", "of the same age", "shorter", "longer"),
    *("another", "removed", "put", "properties"),
)
LASTING = ("another", "removed", "put", "properties")  # the bytes that were opened stay
SPANS = {  # Range -> which bytes are answered
    "": slice(None),
    "bytes=70000-": slice(70_000, None),
    "bytes=1000-5000000": slice(1000, 5_000_001),
    "bytes=0-99,200-299": slice(None),  # several parts: all of it, as OSS does
}


@pytest.fixture(params=["folder", "threads"])
async def huge(request, tmp_path):
    store = LocalStore(tmp_path)
    if request.param == "threads":
        store = ThreadedStore(Disk(tmp_path), 10)
    async with running(store) as served:
        await served.rule(acl="public-read")
        yield served


async def slowly(served, span, steps, room):
    """Ask for the object, do the steps while so many bytes are read, and read the rest.

    Returns:
        Tag, the bytes that came, and whether all came that the head has promised.
    """
    with socket.socket() as connection:
        if room:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", served.port))
        lines = f"GET /{BUCKET}/huge.bin HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        lines += f"Range: {span}\r\n" if span else ""
        await loop.sock_sendall(connection, f"{lines}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += await loop.sock_recv(connection, 100)
        head, _, body = data.partition(b"\r\n\r\n")
        parts, size = [body], int(re.search(rb"Content-Length: (\d+)", head)[1])
        etag = re.search(rb"ETag: (\S+)", head)[1].decode()

        async def read(count):
            while count > 0 and sum(map(len, parts)) < size:
                with contextlib.suppress(ConnectionResetError):
                    if data := await loop.sock_recv(connection, min(count, 1 << 20)):
                        parts.append(data)
                        count -= len(data)
                        continue
                return

        for count, change in steps:
            await read(count)
            await asyncio.sleep(0.005)  # the server sends what the socket takes
            await change()
        await read(size)
        came = b"".join(parts)
        return etag, came, len(came) == size


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("span", SPANS)
async def test_at_any_moment_of_an_answer(huge, tmp_path, span, seed):
    """What comes is one version's, whether all of it comes or not; what lasts comes whole."""
    rng, file = random.Random(f"{span} {seed}"), tmp_path / BUCKET / "huge.bin"
    await huge.put("huge.bin", b"0" * HUGE)
    writer = Writer(huge, file, rng)
    await writer.note()
    for _ in range(3):
        changes = rng.sample(CHANGES, rng.randrange(1, 3))
        # an object that was put keeps its tag while size and age are the same
        put = "of the same age" not in changes and rng.random() < 0.5
        await writer.change("put" if put else "another")
        steps = [
            (rng.choice((0, rng.randrange(HUGE))), lambda how=how: writer.change(how))
            for how in changes
        ]
        etag, came, whole = await slowly(huge, span, steps, rng.choice((0, 4096)))
        expected = writer.bytes[etag][SPANS[span]]
        assert came == (expected if whole else expected[: len(came)]), changes
        if changes[0] in LASTING if put else changes[0] in LASTING[:3]:
            assert whole, changes


async def test_new_properties_leave_an_answer_whole(huge):
    """An object that was put keeps its tag."""
    await huge.put("huge.bin", b"0" * HUGE)
    file = Properties(tags={"a": "b"})
    steps = [(1000, lambda: huge.store.describe(BUCKET, "huge.bin", file))]
    _, came, whole = await slowly(huge, "", steps, 4096)
    assert whole
    assert came == b"0" * HUGE


def left(served):
    """The requests that did not get all of their answer, by code."""
    rows = served.services.recorder.counters.requests.sums.items()
    return {code: count for (_, status, code), count in rows if status == "499"}


async def test_a_cut_is_not_taken_for_a_client_that_leaves(huge, tmp_path):
    await huge.put("huge.bin", b"0" * HUGE)

    async def cut():
        os.truncate(tmp_path / BUCKET / "huge.bin", HUGE // 2)

    _, _, whole = await slowly(huge, "", [(1000, cut)], 4096)
    assert not whole
    await until(lambda: left(huge) == {"SourceChanged": 1})
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", huge.port))
        connection.sendall(f"GET /{BUCKET}/huge.bin HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await asyncio.sleep(0.05)
    await until(lambda: left(huge) == {"SourceChanged": 1, "": 1})


def copied(by):
    """Copies of an object into another one: the call, and what the copy is."""
    source = {"x-oss-copy-source": f"/{BUCKET}/large.bin"}
    return {
        "CopyObject": ("PUT", "copy", source),
        "UploadPartCopy": ("PUT", f"copy?partNumber=1&uploadId={by}", source),
        "UploadPartCopy of a range": (
            *("PUT", f"copy?partNumber=1&uploadId={by}"),
            source | {"x-oss-copy-source-range": "bytes=5-200004"},
        ),
    }


@pytest.mark.parametrize("call", copied(""))
async def test_a_copy(served, tmp_path, monkeypatch, call):
    """There is none, rather than one of two halves."""
    begun = await served.ask("POST", f"/{BUCKET}/copy?uploads", by=OWNER)
    method, line, headers = copied(begun.value("UploadId"))[call]
    writes(monkeypatch, tmp_path / BUCKET / "large.bin", 1)
    answer = await served.ask(method, f"/{BUCKET}/{line}", by=OWNER, headers=headers)
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert await served.keys() == ["a.jpg", "large.bin", "logo.png", "small.bin"]
    answer = await served.ask(method, f"/{BUCKET}/{line}", by=OWNER, headers=headers)
    assert answer.status == 200
    written = b"1" * (200_000 if "range" in call else LARGE)
    assert answer.value("ETag") == f'"{hashlib.md5(written).hexdigest().upper()}"'


async def test_a_picture_of_a_file_that_is_copied_first(tmp_path, monkeypatch):
    """Where files are read in threads, the renderer has a copy, which is one version's."""
    async with running(ThreadedStore(Disk(tmp_path), 10)) as served:
        await served.rule(acl="public-read")
        file, line = tmp_path / BUCKET / "a.jpg", f"/{BUCKET}/a.jpg?x-oss-process=image/resize,w_1"
        file.write_bytes(b"0" * LARGE)
        before = await served.ask("GET", line)
        writes(monkeypatch, file, 1)
        answer = await served.ask("GET", line)
        assert answer.body == before.body.replace(b"0", b"1")
        assert answer.headers["ETag"] != before.headers["ETag"]
        writes(monkeypatch, file, 99)
        answer = await served.ask("GET", line)
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
