"""Masters in their folder: kept, lent, within their budget, and gone with their source."""

import fcntl
import os
import stat
import time

import pytest

from vipsgate.cache.entry import CacheKey
from vipsgate.cache.masters import Masters
from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Rule
from vipsgate.cache.tiers import Cache

KEY = CacheKey("photos", "dir/西湖.jpg", "AB" * 16)


def memfd(data=b"pixels", sealed=True):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


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


async def test_it_is_lent_at_once_and_when_it_is_stored(masters, folder):
    assert content(masters) is None
    masters.keep(KEY, memfd())
    assert content(masters) == b"pixels"
    await masters.close()
    assert masters.stored == 1
    assert content(masters) == b"pixels"
    assert content(Masters(folder, 1 << 20)) == b"pixels"  # another process
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


async def test_two_of_one_source_are_one(masters):
    for _ in range(2):
        masters.keep(KEY, memfd())
    await masters.close()
    assert masters.stored == 1


@pytest.mark.parametrize("when", ["while it is stored", "later"])
async def test_a_purge_takes_it_away(masters, folder, when):
    other = CacheKey("photos", "other.jpg", KEY.variant)
    masters.keep(KEY, memfd())
    masters.keep(other, memfd())
    if when == "later":
        await masters.close()
    await masters.purge("photos", "dir/西湖.jpg")
    await masters.close()
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
        masters.keep(KEY, memfd())
        await masters.close()
        assert content(masters) == b"pixels"
        await way()
        assert content(masters) is None


async def test_those_used_longest_ago_leave_first(folder):
    masters = Masters(folder, 10_000)
    for number in range(30):
        masters.keep(cache_key(number), memfd(bytes(1000)))
        await masters.close()
        for old in range(number):
            path = masters._path(cache_key(old))
            if os.path.exists(path):
                os.utime(path, (old + 1, old + 1))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 10_000 + 1000
    assert content(masters, cache_key(29)) == bytes(1000)
    assert content(masters, cache_key(0)) is None


async def test_what_is_not_stored(folder, tmp_path):
    masters = Masters(folder, 100)
    masters.keep(KEY, memfd(bytes(26)))  # more than a quarter of the budget
    masters.keep(KEY, memfd(sealed=False))  # a renderer could cut it while others read it
    (tmp_path / "file").write_bytes(b"pixels")
    masters.keep(KEY, os.open(tmp_path / "file", os.O_RDONLY))  # no memory of a renderer's
    await masters.close()
    assert content(masters) is None
    assert masters.stored == 0


async def test_a_folder_that_cannot_be_written_fails_nothing(masters, folder):
    for path in folder.iterdir():
        path.rmdir()
    masters.keep(KEY, memfd())
    assert content(masters) == b"pixels"
    await masters.close()
    assert content(masters) is None


def test_those_of_an_earlier_start_of_the_machine_go(folder):
    (folder / "earlier" / "photos").mkdir(parents=True)
    Masters(folder, 1 << 20)
    assert not (folder / "earlier").exists()
