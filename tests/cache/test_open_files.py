"""Files that stay open: as long as they are there, and no more than may be."""

import contextlib
import os
import stat

import pytest

from vipsgate.cache import budget as budgets
from vipsgate.cache.disk import SMALL, Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import Memory
from vipsgate.cache.open_files import LOOK_INTERVAL, OpenFiles
from vipsgate.cache.purges import Rule
from vipsgate.cache.tiers import Cache

SOON, LATER = LOOK_INTERVAL / 2, LOOK_INTERVAL * 1.5


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_files(clock):
    result = OpenFiles(3, clock)
    yield result
    result.close()


@pytest.fixture
def keep(open_files, tmp_path):
    """Write a file of two parts, of which the first is the body, and keep it open."""

    def write(number=0, body=b"body", key="a"):
        path = tmp_path / str(number)
        path.write_bytes(body + b"behind")
        descriptor = os.open(path, os.O_RDONLY)
        where = cache_key(number, key)
        open_files.keep(where, str(path), descriptor, len(body), os.fstat(descriptor))
        return where, path, descriptor

    return write


def cache_key(number, key="a"):
    return CacheKey("photos", key, f"{number:032X}")


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_the_body_is_read_again_and_again(open_files, keep, clock):
    where, _, _ = keep()
    for _ in range(5):
        assert open_files.read(where) == b"body"
        clock.now += SOON
    assert open_files.read(cache_key(1)) is None


@pytest.mark.parametrize("how", ["removed", "replaced", "moved", "folder"])
def test_what_is_no_longer_there_is_soon_missed(open_files, keep, clock, tmp_path, how):
    where, path, descriptor = keep()
    if how == "removed":
        path.unlink()
    elif how == "replaced":
        other = tmp_path / "other"
        other.write_bytes(path.read_bytes())
        other.rename(path)
    elif how == "moved":
        path.rename(tmp_path / "elsewhere")
    else:
        tmp_path.rename(tmp_path.with_name("elsewhere"))
    clock.now += SOON
    assert open_files.read(where) == b"body"  # the bytes of a name are always the same
    clock.now += LATER
    assert open_files.read(where) is None
    assert not is_open(descriptor)


def test_what_has_been_cut_is_not_there(open_files, keep):
    where, path, descriptor = keep()
    os.truncate(path, 3)
    assert open_files.read(where) is None
    assert not is_open(descriptor)


def test_those_read_last_stay(open_files, keep):
    kept = [keep(number) for number in range(3)]
    assert open_files.read(kept[0][0])
    kept.append(keep(3))
    assert [is_open(descriptor) for _, _, descriptor in kept] == [True, False, True, True]
    assert len(open_files) == 3
    open_files.close()
    assert not any(is_open(descriptor) for _, _, descriptor in kept)


def test_an_object_is_forgotten(open_files, keep):
    kept = [keep(0, key="a"), keep(1, key="b"), keep(2, key="a")]
    open_files.forget("other", "a")
    open_files.forget("photos", "a")
    assert [is_open(descriptor) for _, _, descriptor in kept] == [False, True, False]


def test_one_that_is_used_is_not_what_was_used_longest_ago(open_files, keep, clock):
    where, path, _ = keep()
    os.utime(path, (1, 1))
    clock.now += LATER
    assert open_files.read(where)
    assert path.stat().st_mtime > 1_000_000


def test_none_stay_open_that_nobody_wants(tmp_path):
    none = OpenFiles(0)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    none.keep(cache_key(0), str(tmp_path), descriptor, 0, os.fstat(descriptor))
    assert not is_open(descriptor)


def test_what_nobody_has_any_more_has_nothing_open(tmp_path):
    files = OpenFiles(1)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    files.keep(cache_key(0), str(tmp_path), descriptor, 0, os.fstat(descriptor))
    del files
    assert not is_open(descriptor)


# -- in a folder that several share ----------------------------------------------------------------

BUDGET = 4 * SMALL * budgets.SCAN_SHARE  # for four open files


def shown(folder):
    """The files below a folder that this process has open, by their names."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if path.startswith(f"{folder}/photos/"):
            names.append(path.removesuffix(" (deleted)").rpartition("/")[2])
    return sorted(names)


async def filled(disk, numbers, key="a"):
    for number in numbers:
        where = cache_key(number, key)
        await disk.put(where, Entry("image/jpeg", 0, 4, b"%4d" % number))
        assert disk.get_nowait(where, SMALL).data == b"%4d" % number


async def test_a_hit_leaves_its_file_open_for_the_next_one(tmp_path):
    disk = Disk(tmp_path, BUDGET, open_files=9)
    await filled(disk, range(6))
    assert shown(tmp_path) == [cache_key(number).variant for number in (2, 3, 4, 5)]
    for number in range(6):  # also those that are not open
        assert disk.get_nowait(cache_key(number), SMALL).data == b"%4d" % number
    with contextlib.closing(disk.get_nowait(cache_key(5), 3)) as entry:  # no such body is wanted
        assert entry.data is None
    await disk.close()
    assert shown(tmp_path) == []


async def test_a_large_one_is_not_left_open(tmp_path):
    disk, where = Disk(tmp_path, BUDGET, open_files=9), cache_key(1)
    await disk.put(where, Entry("image/jpeg", 0, SMALL + 1, bytes(SMALL + 1)))
    disk.get_nowait(where, 2 * SMALL).close()
    assert shown(tmp_path) == []
    await disk.close()


async def test_a_purge_here_closes_and_one_elsewhere_is_followed(tmp_path):
    caches = [Cache(Memory(0), Disk(tmp_path, BUDGET, open_files=9)) for _ in range(2)]
    one, other = caches
    for key in ("a", "b"):
        for number, cache in enumerate(caches):
            await filled(cache._disk, [number], key)
    assert len(shown(tmp_path)) == 4
    await one.remove("photos", "a")
    assert len(shown(tmp_path)) == 3
    other.forget("photos", "a")  # what a front is told of an object that is replaced
    assert len(shown(tmp_path)) == 2
    await one.renew(Rule("photos", "key", "b"))
    await other.look(far=False)  # what an instance reads in the folder
    assert shown(tmp_path) == []
    assert other.get_nowait(cache_key(1, "b"), SMALL) is None
    for cache in caches:
        await cache.close()


async def test_what_another_process_has_evicted_is_missed(tmp_path, monkeypatch):
    here, there = (Disk(tmp_path, BUDGET, open_files=9) for _ in range(2))
    await filled(here, [1])
    await there.purge("photos", "a")
    clock = Clock()
    clock.now = 0.0  # of the machine's start, so before the file was opened
    monkeypatch.setattr(here._open_files, "_clock", clock)
    assert here.get_nowait(cache_key(1), SMALL).data == b"   1"
    clock.now += 1e9
    assert here.get_nowait(cache_key(1), SMALL) is None
    assert shown(tmp_path) == []
    await filled(here, [1])  # it is made anew
    assert stat.S_ISREG(os.stat(here._path(cache_key(1))).st_mode)
    await here.close()
    await there.close()
