"""Masters in their folder: kept, lent, within their budget, and gone with their source."""

import asyncio
import errno
import fcntl
import mmap
import os
import shutil
import stat
import time

import pytest

from vipsgate.cache.entry import CacheKey
from vipsgate.cache.masters import WAITS, Masters
from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Rule
from vipsgate.cache.tiers import Cache

KEY = CacheKey("photos", "dir/西湖.jpg", "AB" * 16)


def written(masters, data=b"pixels"):
    """A file that holds this, to read it; nobody can write it any more."""
    writing, reading = masters.blank()
    os.write(writing, data)
    os.close(writing)
    return reading


def cache_key(number):
    return CacheKey("photos", f"{number}.jpg", f"{number:032X}")


def content(masters, key=KEY):
    """The bytes of a master, or none."""
    descriptor = masters.open(key)
    if descriptor is None:
        return None
    data = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    return data


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / ".masters"


@pytest.fixture
async def masters(folder):
    made = Masters(folder, 1 << 20)
    before = len(os.listdir("/proc/self/fd"))
    yield made
    await made.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_it_is_lent_at_once(masters, folder):
    assert content(masters) is None
    masters.keep(KEY, written(masters))
    assert masters.stored == 1
    assert content(masters) == b"pixels"
    assert content(Masters(folder, 1 << 20)) == b"pixels"  # another process
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


async def test_two_of_one_source_are_one(masters):
    for data in (b"pixels", b"others"):
        masters.keep(KEY, written(masters, data))
    assert masters.stored == 1
    assert content(masters) == b"pixels"


@pytest.mark.parametrize("holder", ["descriptor", "duplicate", "mapping"])
async def test_it_is_not_lent_while_somebody_can_write_it(masters, holder):
    writing, reading = masters.blank()
    os.write(writing, b"pixels")
    held = os.dup(writing) if holder == "duplicate" else None
    mapping = mmap.mmap(writing, 6) if holder == "mapping" else None
    if holder != "descriptor":
        os.close(writing)
    masters.keep(KEY, reading)
    masters.keep(KEY, written(masters))  # the first one counts
    for _ in range(3):
        await asyncio.sleep(WAITS[0])
        assert content(masters) is None
    if mapping:
        mapping.close()
    else:
        os.close(writing if held is None else held)
    async with asyncio.timeout(sum(WAITS)):
        while content(masters) is None:
            await asyncio.sleep(WAITS[0])
    assert content(masters) == b"pixels"
    assert masters.stored == 1


@pytest.mark.parametrize("when", ["while it can be written", "later"])
async def test_a_purge_takes_it_away(masters, folder, when):
    other = CacheKey("photos", "other.jpg", KEY.variant)
    writing, reading = masters.blank()
    if when == "later":
        os.close(writing)
    masters.keep(KEY, reading)
    masters.keep(other, written(masters))
    await asyncio.sleep(0)
    await masters.purge("photos", "dir/西湖.jpg")
    if when != "later":
        os.close(writing)
    await asyncio.sleep(2 * WAITS[0])
    assert content(masters) is None
    assert content(masters, other) == b"pixels"
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


async def test_every_purge_of_a_source_reaches_its_masters(masters):
    cache = Cache(Memory(1 << 20), None, masters=masters)
    ways = (
        lambda: cache.purge(KEY.bucket, KEY.key),
        lambda: cache.sweep(KEY.bucket, KEY.key, time.time()),
        lambda: cache.renew(Rule(KEY.bucket, "key", KEY.key)),
    )
    for way in ways:
        masters.keep(KEY, written(masters))
        assert content(masters) == b"pixels"
        await way()
        assert content(masters) is None


async def test_those_used_longest_ago_leave_first(folder):
    masters = Masters(folder, 10_000)
    for number in range(30):
        masters.keep(cache_key(number), written(masters, bytes(1000)))
        await masters.close()
        for old in range(number):
            path = masters._path(cache_key(old))
            if os.path.exists(path):
                os.utime(path, (old + 1, old + 1))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 10_000 + 1000
    assert content(masters, cache_key(29)) == bytes(1000)
    assert content(masters, cache_key(0)) is None


async def test_the_clock_was_set_back_since(folder, monkeypatch):
    masters, now = Masters(folder, 4000), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for number in range(5):
        masters.keep(cache_key(number), written(masters, bytes(1000)))
        await masters.close()
        if number == 0:
            os.utime(masters._path(cache_key(0)), (now + 1e8, now + 1e8))
            masters._tidy()
            now += 100
    masters._tidy()
    assert content(masters, cache_key(0)) is None
    assert content(masters, cache_key(4)) == bytes(1000)


async def test_what_is_not_stored(folder, tmp_path):
    masters = Masters(folder, 100)
    masters.keep(KEY, written(masters, bytes(26)))  # more than a quarter of the budget
    memory = os.memfd_create("test")
    os.write(memory, b"pixels")
    masters.keep(KEY, os.open(f"/proc/self/fd/{memory}", os.O_RDONLY))  # on no disk
    os.close(memory)
    (tmp_path / "file").write_bytes(b"pixels")
    masters.keep(KEY, os.open(tmp_path / "file", os.O_RDONLY))  # somebody's file
    masters.keep(KEY, os.open(tmp_path, os.O_RDONLY))
    pipe, end = os.pipe()
    masters.keep(KEY, pipe)
    os.close(end)
    assert content(masters) is None
    assert masters.stored == 0
    assert (tmp_path / "file").stat().st_nlink == 1


async def test_a_folder_that_is_gone_fails_nothing(masters, folder):
    reading = written(masters)
    shutil.rmtree(folder)
    masters.keep(KEY, reading)
    assert masters.blank() is None
    assert content(masters) is None


async def test_what_waits_does_not_hold_up_the_end(masters):
    writing, reading = masters.blank()
    masters.keep(KEY, reading)
    async with asyncio.timeout(WAITS[-1] / 2):
        await masters.close()
    os.close(writing)
    assert content(masters) is None


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_cannot_is_refused_at_the_start(folder, monkeypatch, error):
    def refuse(*words):
        raise OSError(error, os.strerror(error))

    if error == errno.EOPNOTSUPP:
        monkeypatch.setattr(Masters, "_blank", refuse)  # no files without a name
    else:
        monkeypatch.setattr(fcntl, "fcntl", refuse)  # no leases
    with pytest.raises(OSError, match=os.strerror(error)):
        Masters(folder, 1 << 20)


def test_those_of_an_earlier_start_of_the_machine_go(folder):
    (folder / "earlier" / "photos").mkdir(parents=True)
    Masters(folder, 1 << 20)
    assert not (folder / "earlier").exists()
