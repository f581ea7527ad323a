"""What is on its way to the disk: in turn, within bounds, answered meanwhile, and given up."""

import asyncio
import contextlib
import logging
import os
import threading

import pytest

from vipsgate.cache import write_queue
from vipsgate.cache.disk import LOCKS, Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import Memory
from vipsgate.cache.tiers import DISK, MISS, Cache
from vipsgate.cache.write_queue import WriteQueue


def cache_key(number, key="a"):
    return CacheKey("photos", key, f"{number:032X}"[::-1])  # another lock for each


def entry(data=b"data"):
    return Entry("image/jpeg", 0, len(data), data)


def opened(data=b"data"):
    descriptor = os.memfd_create("waiting")
    os.write(descriptor, data)
    return Entry("image/jpeg", 0, len(data), descriptor=descriptor)


def is_open(descriptor):
    with contextlib.suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


class Writer:
    """Writes when it may, and remembers what."""

    def __init__(self, queue):
        self.queue, self.names, self.threads = queue, [], set()
        self.begun, self.may = threading.Event(), threading.Event()

    def __call__(self, where, item):
        self.begun.set()
        self.may.wait(10)
        self.threads.add(threading.current_thread().name)
        self.names.append((where, self.queue.has(where, item)))


@pytest.fixture
def queue():
    return WriteQueue(100)


@pytest.fixture
async def writer(queue):
    result = Writer(queue)
    yield result
    result.may.set()
    await queue.flush()


async def test_all_are_written_in_turn_by_one_thread(queue, writer):
    names = [cache_key(number) for number in range(20)]
    assert all(queue.add(where, entry(), writer) for where in names)
    writer.may.set()
    await queue.flush()
    assert writer.names == [(where, True) for where in names]
    assert len(writer.threads) == 1
    assert queue.get(names[0]) is None


@pytest.mark.parametrize("make", [entry, opened])
async def test_what_waits_is_answered(queue, writer, make):
    where, item = cache_key(1), make(b"waits")
    assert queue.get(where) is None
    assert queue.add(where, item, writer)
    found = queue.get(where)
    assert queue.get(cache_key(2)) is None
    writer.may.set()
    await queue.flush()
    assert found.in_memory().data == b"waits"  # also when that of the queue is closed
    found.close()
    assert queue.get(where) is None
    assert item.data is not None or not is_open(item.descriptor)


async def test_no_more_than_so_many_bytes_wait(queue, writer, caplog):
    assert queue.add(cache_key(0), entry(bytes(500)), writer)  # alone, any
    assert not queue.add(cache_key(1), entry(b"x"), writer)
    writer.may.set()
    await queue.flush()
    writer.may.clear()
    assert [queue.add(cache_key(n), entry(bytes(40)), writer) for n in range(4)] == [
        *(True, True),
        *(False, False),
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]  # it is said once


async def test_no_more_than_so_many_wait(queue, writer, monkeypatch):
    monkeypatch.setattr(write_queue, "MAX_ENTRIES", 2)
    added = [queue.add(cache_key(n), entry(b""), writer) for n in range(3)]
    assert added == [True, True, False]


async def test_what_is_forgotten_is_not_wanted_any_more(queue, writer):
    items = {cache_key(n, key): opened() for n, key in enumerate("abab")}
    for where, item in items.items():
        queue.add(where, item, writer)
    await asyncio.to_thread(writer.begun.wait, 10)  # the first one is being written
    queue.forget("other", "a")
    queue.forget("photos", "a")
    assert queue.get(cache_key(0, "a")) is None
    writer.may.set()
    await queue.flush()
    assert [wanted for _, wanted in writer.names] == [False, True, False, True]
    assert not any(is_open(item.descriptor) for item in items.values())
    assert queue.add(cache_key(0), entry(bytes(100)), writer)  # none of them is counted any more


async def test_a_fault_keeps_no_others(queue, writer, caplog):
    def fail(where, item):
        raise RuntimeError("a fault")

    item = opened()
    queue.add(cache_key(1), item, fail)
    queue.add(cache_key(2), entry(), writer)
    writer.may.set()
    await queue.flush()
    assert [where for where, _ in writer.names] == [cache_key(2)]
    assert not is_open(item.descriptor)
    assert "a fault" in caplog.text


async def test_the_thread_ends_with_the_queue():
    queue = WriteQueue()
    before = set(threading.enumerate())
    await queue.flush()
    assert set(threading.enumerate()) == before  # nobody has wanted to write
    queue.add(cache_key(1), entry(), lambda where, item: None)
    await queue.flush()
    (thread,) = set(threading.enumerate()) - before
    del queue
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


# -- on the disk -----------------------------------------------------------------------------------


@pytest.fixture
async def slow(tmp_path, monkeypatch):
    """A disk that writes when it may."""
    disk = Disk(tmp_path, 1 << 20)
    disk.begun, disk.may, write = threading.Event(), threading.Event(), disk._write

    def wait(where, item):
        disk.begun.set()
        disk.may.wait(10)
        return write(where, item)

    monkeypatch.setattr(disk, "_write", wait)
    yield disk
    disk.may.set()
    await disk.close()


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != LOCKS]


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_hit_for_what_is_not_written_yet(slow, tmp_path, size):
    data, times = os.urandom(size), 0

    async def make():
        nonlocal times
        times += 1
        return opened(data)

    cache = Cache(Memory(0), slow)
    made, tier = await cache.obtain(cache_key(1), make)
    made.close()
    assert (tier, files(tmp_path)) == (MISS, [])
    for found, tier in (await cache.get(cache_key(1)), cache.get_nowait(cache_key(1), 1 << 16)):
        assert (found.in_memory().data, found.mime, tier) == (data, "image/jpeg", DISK)
        found.close()
    slow.may.set()
    await cache.close()
    assert len(files(tmp_path)) == 1
    found, tier = cache.get_nowait(cache_key(1), 1 << 20)
    assert (found.in_memory().data, times) == (data, 1)
    found.close()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_what_is_purged_while_it_waits_is_not_there(slow, tmp_path, when):
    await slow.begin(cache_key(1, "b"))
    slow.put_made(cache_key(1, "b"), entry())
    await asyncio.to_thread(slow.begun.wait, 10)
    await slow.begin(cache_key(2, "a"))
    slow.put_made(cache_key(2, "a"), entry())
    await slow.purge("photos", "a" if when == "before" else "b")
    slow.may.set()
    await slow.close()
    left = cache_key(1, "b") if when == "before" else cache_key(2, "a")
    assert [path.name for path in files(tmp_path)] == [left.variant]
    for where in (cache_key(1, "b"), cache_key(2, "a")):  # nobody makes them any more
        assert not await Disk(tmp_path, 1 << 20).begin(where)


async def test_what_has_no_room_is_not_stored_and_holds_up_nobody(slow, tmp_path, monkeypatch):
    monkeypatch.setattr(write_queue, "MAX_ENTRIES", 1)
    for number in (1, 2):
        await slow.begin(cache_key(number))
        slow.put_made(cache_key(number), opened())
    other = Disk(tmp_path, 1 << 20)
    assert not await other.begin(cache_key(2))
    waiting = asyncio.create_task(other.begin(cache_key(1)))
    await asyncio.sleep(0)  # it has looked once
    slow.may.set()
    assert await waiting
    assert (await other.get(cache_key(1))).in_memory().data == b"data"
    assert await other.get(cache_key(2)) is None


async def test_the_thread_ends_with_the_cache_and_begins_again_where_more_is_stored(tmp_path):
    disk = Disk(tmp_path, 1 << 20)
    for number in range(2):
        await disk.put(cache_key(number), entry())
        thread = disk._queue._thread
        assert thread.is_alive()
        await disk.close()
        thread.join(10)
        assert not thread.is_alive()
    for number in range(2):
        found = await disk.get(cache_key(number))
        assert found.in_memory().data == b"data"
