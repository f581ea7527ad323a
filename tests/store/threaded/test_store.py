"""A store on files that hang and fail: what comes of each of its calls, and of the others."""

import asyncio
import contextlib
import errno
import os
import threading
import time
from contextlib import aclosing, closing

import pytest
from support import fuse
from support.hanging import hanging
from support.store_conformance import content, put
from support.waiting import until

from vipsgate.errors import (
    GatewayTimeout,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    ServiceUnavailable,
)
from vipsgate.store.base import PLAIN, Properties
from vipsgate.store.local.disk import Disk
from vipsgate.store.threaded import buckets
from vipsgate.store.threaded import store as module
from vipsgate.store.threaded.store import ThreadedStore
from vipsgate.store.threaded.threads import MAX_THREADS

SECONDS = 0.06  # for a call
LARGE = os.urandom(3 << 20)


async def _read(store, span=range(len(LARGE))):
    info = Disk.stat(store._disk, "photos", "large") if not store.known else store.known
    async with aclosing(await store.read("photos", "large", info, span)) as pieces:
        return b"".join([piece async for piece in pieces])


async def _open(store):
    with closing(await store.open("photos", "large")) as opened:
        return opened.read()


async def _begin(store):
    with closing(await store.begin("photos", "large")) as opened:
        await opened.whole()
        return os.pread(opened.descriptor, len(LARGE) + 1, 0)


# every call of a store that waits; those of a bucket, and those of the root
CALLS = {
    "stat": lambda store: store.stat("photos", "a"),
    "stat of nothing": lambda store: store.stat("photos", "dir/none"),
    "open": _open,
    "begin": _begin,
    "read": _read,
    "list": lambda store: store.list("photos", limit=9),
    "put": lambda store: put(store, "dir/new", b"new"),
    "describe": lambda store: store.describe("photos", "a", Properties("c/d")),
    "delete": lambda store: store.delete("photos", "b"),
    "create": lambda store: store.create("fresh"),
    "remove": lambda store: store.remove("empty"),
    "buckets": lambda store: store.buckets(),
    "look": lambda store: store._buckets.look(anew=True),
}
LOOKS = ("buckets", "look")  # at several buckets


@pytest.fixture(params=["fuse", "calls"])
async def files(request, tmp_path, monkeypatch):
    """Files that hang on demand, where they are, and where the same ones do not hang."""
    folder, point = tmp_path / "files", tmp_path / "mounted"
    for path in (folder / "photos" / "dir", folder / "empty", point):
        path.mkdir(parents=True)
    for key, data in {"a": b"a", "b": b"b", "large": LARGE}.items():
        (folder / "photos" / key).write_bytes(data)
    with hanging(request.param, folder, point, monkeypatch) as (world, root):
        world.folder, world.root = folder, root
        yield world


@pytest.fixture
async def reach(files, monkeypatch):
    """``await reach()``: a store on them, that has looked at its buckets."""
    monkeypatch.setattr(buckets, "LOOK_SECONDS", SECONDS)

    async def made(seconds=SECONDS, **options):
        disk = await asyncio.to_thread(Disk, files.root)
        store = ThreadedStore(disk, seconds, **options)
        store.known = await asyncio.to_thread(disk.stat, "photos", "large")
        await asyncio.to_thread(disk.create, ".vipsgate")
        patient = ThreadedStore(disk, 10)
        await patient.look()
        store._buckets._folders |= patient._buckets._folders
        store._buckets._signs = patient._buckets._signs
        return store

    return made


async def settled(store):
    """Wait until no thread of the store is in a call any more."""
    end = time.monotonic() + 10
    while any(threads._ends for threads in (store._buckets.root, store._buckets._lookers)):
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def ticking(work):
    """What comes of work, how long it took, and how often the loop went round meanwhile."""
    turns, begun = 0, time.monotonic()
    task = asyncio.ensure_future(work)
    while not task.done():
        turns += 1
        await asyncio.sleep(0.01)
    return task, time.monotonic() - begun, turns


def steps(files):
    """What has been asked, but for that a file is closed, which nobody waits for."""
    result = sorted(set(files.asked) - fuse.SILENT - {"unknown", "release", "releasedir", "flush"})
    assert result
    return result


@pytest.mark.parametrize("name", CALLS)
async def test_each_step_of_each_call_may_hang(files, reach, name):
    """It is 504 in time, the loop goes on, and later it is done as if nothing had been."""
    store, patient, call = await reach(), await reach(10), CALLS[name]
    files.asked.clear()
    with contextlib.suppress(OssError):
        await call(patient)
    for step in steps(files):
        for path in ("photos/dir/new", "fresh"):  # what the call has made before
            with contextlib.suppress(OSError):
                os.unlink(files.folder / path) if "/" in path else os.rmdir(files.folder / path)
        (files.folder / "photos/b").write_bytes(b"b")
        (files.folder / "empty").mkdir(exist_ok=True)
        files.asked.clear()
        files.hang(step)
        task, took, turns = await ticking(call(store))
        assert took < 5
        # a bucket that says nothing is listed all the same
        if step in files.asked and not (name in LOOKS and task.exception() is None):
            assert isinstance(task.exception(), GatewayTimeout), step
            assert task.exception().headers["Retry-After"] == "5"
            assert turns > 1
        files.go_on()
        await settled(store)


ERRORS = {
    errno.EIO: {503},
    errno.ESTALE: {503},
    errno.ENOTCONN: {503},  # the server of a FUSE file system has died
    errno.ETIMEDOUT: {503, 504},  # 503 where it is the root that is looked at
    errno.EHOSTDOWN: {503, 504},
    errno.ENOSPC: {503, 507},
}


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
async def test_all_fails(files, reach, number):
    """Every call says so in words of OSS's, and none is a fault of ours."""
    store = await reach(10)
    for name, call in CALLS.items():
        files.failing = {"*": number}
        with pytest.raises(OssError) as caught:
            await call(store)
        assert caught.value.status in ERRORS[number], name
        files.failing = {}
    assert await content(store, "a") == b"a"


@pytest.mark.parametrize("name", CALLS)
async def test_each_step_of_each_call_may_fail(files, reach, name):
    store, call = await reach(10), CALLS[name]
    files.asked.clear()
    with contextlib.suppress(OssError):
        await call(store)
    for step in steps(files):
        files.failing = {step: errno.EIO}
        (files.folder / "empty").mkdir(exist_ok=True)
        (result,) = await asyncio.gather(call(store), return_exceptions=True)
        if isinstance(result, BaseException):
            assert isinstance(result, OssError)
            assert result.status in (404, 503)  # 404: what is not there, or has been taken away
        files.failing = {}
    assert await content(store, "a") == b"a"


async def test_threads_are_bounded(files, reach):
    store = await reach()
    before = threading.active_count()
    files.hang()
    end = time.monotonic() + 10
    while store.stuck < MAX_THREADS:  # on a busy machine a call may end before its thread begins
        assert time.monotonic() < end
        calls = (store.stat("photos", f"k{n}") for n in range(3 * MAX_THREADS))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {GatewayTimeout} <= set(map(type, answers)) <= {GatewayTimeout, ServiceUnavailable}
    assert threading.active_count() <= before + MAX_THREADS + 2
    assert store.stuck == MAX_THREADS
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(ServiceUnavailable, match="does not answer") as caught:
            await store.stat("photos", "a")
    assert time.monotonic() - begun < SECONDS * 100 / 2  # at once
    assert caught.value.headers["Retry-After"] == "5"
    assert "does not answer" in store.away
    assert store.has("photos")
    files.go_on()
    await settled(store)
    assert (store.stuck, store.away) == (0, "")
    while True:
        with contextlib.suppress(GatewayTimeout):
            assert await content(store, "a") == b"a"
            break
        assert time.monotonic() < end + 10


async def test_what_nobody_waits_for_any_more_is_not_done(files, reach):
    """A write that was answered 504 does not come behind the one that was tried again."""
    store, patient = await reach(), await reach(10)
    hold = {"fuse": "fsync", "calls": "fsync"}
    files.hang(*hold.values())
    with pytest.raises(GatewayTimeout):
        await put(store, "a", b"late")
    with pytest.raises(GatewayTimeout):
        await store.describe("photos", "b", Properties("late/late"))  # hangs behind its step
    files.go_on()
    await settled(store)
    assert await content(patient, "a") == b"a"
    files.hang("getattr", "fstat")  # before anything has been done
    for call in (
        store.delete("photos", "a"),
        store.describe("photos", "a", Properties("late/late")),
        store.create("fresh"),
        put(store, "a", b"late"),
    ):
        with pytest.raises(GatewayTimeout):
            await call
    files.go_on()
    await settled(store)
    assert await content(patient, "a") == b"a"
    assert (await patient.stat("photos", "a")).properties == PLAIN
    assert not (files.folder / "fresh").exists()
    drafts = files.folder / "photos/.vipsgate/drafts"
    assert not drafts.exists() or os.listdir(drafts) == []


async def test_no_descriptor_is_lost(files, reach):
    store = await reach()
    before = sorted(os.listdir("/proc/self/fd"))
    steps = ("open", "read", "write", "fsync", "create", "pread", "getxattr", "rename")
    for step in steps:
        files.hang(step)
        for name in ("open", "begin", "read", "put", "list"):
            with contextlib.suppress(OssError):
                await CALLS[name](store)
        tasks = [asyncio.ensure_future(call(store)) for call in (_open, _begin)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()  # its client leaves
        await asyncio.wait(tasks)
        del task, tasks  # in whose tracebacks is what had been opened by then
        files.go_on()
        await settled(store)
    pieces = await store.read("photos", "large", store.known, range(9))
    del pieces  # never begun
    await settled(store)
    await until(lambda: len(os.listdir("/proc/self/fd")) == len(before))


async def test_what_is_known_is_told_while_it_hangs(files, reach, monkeypatch):
    monkeypatch.setattr(module, "REFRESH_TIMEOUT", 0.05)
    store = await reach(0.3, stale=60)
    info = await store.stat("photos", "a")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "none")  # of what is missing nothing is told
    files.hang()
    for _ in range(3):
        task, took, _ = await ticking(store.stat("photos", "a"))
        assert task.result() == info
        assert took < 1
    for key in ("b", "none"):
        with pytest.raises(GatewayTimeout):
            await store.stat("photos", key)
    files.go_on()
    await settled(store)
    (files.folder / "photos/a").write_bytes(b"other")
    end = time.monotonic() + 10
    while (await store.stat("photos", "a")).size != 5:  # one that takes long tells what is known
        assert time.monotonic() < end


async def test_it_counts_for_a_moment(files, reach):
    store = await reach(10, fresh=60)
    assert store.fingerprint("photos", "a") is None
    info = await store.stat("photos", "a")
    assert store.fingerprint("photos", "a") == info
    await put(store, "a", b"other")
    assert store.fingerprint("photos", "a") is None
    assert (await store.stat("photos", "a")).size == 5
    await store.delete("photos", "a")
    with pytest.raises(OssError):
        await store.stat("photos", "a")
    assert store.fingerprint("photos", "a") == ()


async def test_a_file_is_read_while_it_is_copied(files, reach, monkeypatch):
    store, patient = await reach(), await reach(10)
    gate, write = asyncio.Event(), module.spool.write

    async def slow(descriptor, piece):
        await gate.wait()
        await write(descriptor, piece)

    monkeypatch.setattr(module.spool, "write", slow)
    with closing(await patient.begin("photos", "large")) as opened:
        assert (opened.object, opened.arrival.arrived) == (store.known, 0)
        gate.set()
        await opened.more()
        assert opened.arrival.arrived == 1 << 20
        assert os.pread(opened.descriptor, len(LARGE) + 1, 0)[: 1 << 20] == LARGE[: 1 << 20]
        await opened.whole()
        assert os.pread(opened.descriptor, len(LARGE) + 1, 0) == LARGE
    gate.clear()
    with closing(await store.begin("photos", "large")) as opened:
        files.hang("read", "pread")
        gate.set()
        with pytest.raises(GatewayTimeout):
            await opened.whole()
        assert opened.arrival.failed
        files.go_on()
    (await patient.begin("photos", "large")).close()  # nobody waits for it any more
    await settled(store)
    await settled(patient)


async def test_a_file_is_passed_on_in_pieces(files, reach):
    store = await reach(10)
    assert await _read(store) == LARGE
    assert await _read(store, range(5, 7)) == LARGE[5:7]
    assert await _read(store, range(1 << 20, (2 << 20) + 1)) == LARGE[1 << 20 : (2 << 20) + 1]
    pieces = await store.read("photos", "large", store.known, range(len(LARGE)))
    first = await anext(pieces)
    await put(store, "large", b"another")  # who has begun to read has the one from before
    assert first + b"".join([piece async for piece in pieces]) == LARGE
    with pytest.raises(PreconditionFailed):
        await store.read("photos", "large", store.known, range(9))
