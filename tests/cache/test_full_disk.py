"""A disk that is full before the cache has the bytes it may have: the oldest make room."""

import asyncio
import errno
import logging
import os

import pytest

from vipsgate.cache import entry_file, shortage
from vipsgate.cache.disk import EXACT, EXACT_BYTES, TEMPORARY, Disk
from vipsgate.cache.entry import CacheKey, Entry

ROOM = 1 << 20  # bytes of the disk
LARGE = 1 << 30  # what the cache may have
SIZE = 10_000  # bytes of a picture
FULL = "the cache's disk is full"


def cache_key(number):
    return CacheKey("photos", "a", f"{number:032X}")


def entry(number, size=SIZE):
    return Entry("image/jpeg", 0, size, bytes([number % 251]) * size)


def used(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class SmallDisk:
    """Has every write fail that would exceed the room, with half of it written."""

    def __init__(self, folder, code):
        self.folder, self.code, self.room = folder, code, ROOM

    def __call__(self, descriptor, item, behind):
        data = item.in_memory().data + behind
        if used(self.folder) + len(data) > self.room:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(self.code, os.strerror(self.code))
        os.write(descriptor, data)


@pytest.fixture
def small(tmp_path, monkeypatch):
    small = SmallDisk(tmp_path, errno.ENOSPC)
    monkeypatch.setattr(entry_file, "write", small)
    return small


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def any_small(small, request):
    small.code = request.param


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(shortage, "INTERVAL", 0.0)


async def is_there(disk, number, size=SIZE):
    found = await disk.get(cache_key(number))
    if found is None:
        return False
    with_right_bytes = found.in_memory().data == entry(number, size).data
    found.close()
    assert with_right_bytes
    return True


async def put(disk, number, size=SIZE, age=0.0):
    """Store one, and wait for the scan that this causes."""
    await disk.put(cache_key(number), entry(number, size))
    if age and await is_there(disk, number, size):
        path = disk._path(cache_key(number))
        os.utime(path, (os.stat(path).st_mtime - age,) * 2)
    if disk._scanning:
        await disk._scanning


async def filled(folder, **options):
    """A full one; the lower the number of a picture, the longer it was not used."""
    disk = Disk(folder, LARGE, **options)
    for number in range(ROOM // SIZE):
        await put(disk, number, age=10_000 - number)
    assert ROOM - 2 * SIZE < used(folder) <= ROOM
    return disk


async def test_new_pictures_are_kept_again(tmp_path, any_small, impatient, caplog):
    disk, first = await filled(tmp_path), ROOM // SIZE
    kept = 0
    for number in range(first, 3 * first):
        await put(disk, number)
        kept += await is_there(disk, number)
        assert not list((tmp_path / TEMPORARY).iterdir())
    assert kept > 1.7 * first  # each eviction is for a picture that is not kept itself
    assert not await is_there(disk, 0)
    assert used(tmp_path) > ROOM * 6 / 8
    assert [record.message.startswith(FULL) for record in caplog.records] == [True]
    await disk.close()


async def test_what_is_used_stays(tmp_path, small, impatient):
    disk, first = await filled(tmp_path), ROOM // SIZE
    for number in range(first, 3 * first):
        os.utime(disk._path(cache_key(1)))
        await put(disk, number)
        assert await is_there(disk, 1)
    await disk.close()


async def test_one_scan_in_some_seconds(tmp_path, small, monkeypatch, caplog):
    """However much is refused; where others take what becomes free, too."""
    disk = await filled(tmp_path)
    small.room = 0
    now = shortage.time.monotonic()
    monkeypatch.setattr(shortage.time, "monotonic", lambda: now)
    sizes = []
    for _ in range(14):
        for number in range(1000, 1010):
            await put(disk, number)
        now += 1
        sizes.append(used(tmp_path))
    assert [at for at in range(1, 14) if sizes[at] < sizes[at - 1]] == [5, 10]
    assert sizes[0] * 8 / 7 == pytest.approx(ROOM, rel=0.05)
    now += 60
    await put(disk, 1000)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    await disk.close()


async def test_one_that_is_larger_than_all_others_removes_nothing(tmp_path, small, impatient):
    disk = await filled(tmp_path)
    before = used(tmp_path)
    for number in range(1000, 1010):
        await put(disk, number, 2 * ROOM)
    assert used(tmp_path) == before
    await put(disk, 2000, ROOM // 2)
    await put(disk, 2000, ROOM // 2)
    assert await is_there(disk, 2000, ROOM // 2)
    await disk.close()


async def test_other_errors_remove_nothing(tmp_path, small, impatient, caplog):
    disk = await filled(tmp_path)
    caplog.clear()
    before, small.room, small.code = used(tmp_path), 0, errno.EIO
    for number in range(1000, 1010):
        await put(disk, number)
    assert used(tmp_path) == before
    assert not caplog.records
    await disk.close()


async def test_removed_files_that_are_open_are_let_go_of(tmp_path, small, impatient):
    disk, first = await filled(tmp_path, open_files=100), ROOM // SIZE
    for number in range(5):
        assert disk.get_nowait(cache_key(number), SIZE)
    assert len(disk._open_files) == 5
    for number in range(first, first + 5):
        await put(disk, number)
    assert len(disk._open_files) == 0
    await disk.close()


async def test_files_for_a_server_in_front_get_room_too(tmp_path, small, impatient):
    disk, size = await filled(tmp_path, exact=True), 2 * EXACT_BYTES
    await put(disk, 1000, size)  # makes room
    await put(disk, 1000, size)
    await put(disk, 1001, ROOM - used(tmp_path) - 1000)  # takes the rest of it
    before = used(tmp_path)
    for file in ("", "", disk._path(cache_key(1000)).removeprefix(f"{tmp_path}/") + EXACT):
        found = await disk.get(cache_key(1000))
        assert found.file == file
        found.close()
        await asyncio.gather(*disk._copying.values())
        if disk._scanning:
            await disk._scanning
            assert used(tmp_path) <= before - size
    assert not list((tmp_path / TEMPORARY).iterdir())
    await disk.close()
