"""The tiers by themselves: budgets, what is cut, what is asked for by many at once."""

import asyncio
import contextlib
import itertools
import os
import stat
import subprocess
import sys
import time

import pytest

from vipsgate.cache.disk import EXACT_BYTES, LOCKS, STALE, Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import OVERHEAD, Memory
from vipsgate.cache.tiers import DISK, JOINED, MEMORY, MISS, Cache
from vipsgate.errors import ImageDamage

PLACE = CacheKey("photos", "dir/西湖.jpg", "AB" * 16)


def kept(data=b"data", missing=0):
    descriptor = os.memfd_create("kept")
    os.write(descriptor, data)
    return Entry("image/jpeg", missing, len(data), descriptor=descriptor)


def in_memory(data):
    """The same without a descriptor, for hundreds of them."""
    return Entry("image/jpeg", 0, len(data), data)


def content(found):
    return found.in_memory().data


def cache_key(number, key="a"):
    return CacheKey("photos", key, f"{number:032X}")


# -- memory ----------------------------------------------------------------------------------------


def test_the_least_recently_used_leaves_first():
    memory = Memory(10 * (1000 + OVERHEAD))
    for number in range(10):
        memory.put(cache_key(number), kept(b"x" * 1000))
    assert memory.get(cache_key(0))
    memory.put(cache_key(10), kept(b"x" * 1000))
    assert memory.get(cache_key(1)) is None
    assert memory.get(cache_key(0))
    assert memory.used == 10 * (1000 + OVERHEAD)


def test_one_that_is_large_empties_nothing():
    memory = Memory(80_000)
    memory.put(cache_key(1), kept(b"x"))
    memory.put(cache_key(2), kept(b"x" * 20_000))
    assert memory.get(cache_key(2)) is None
    assert memory.get(cache_key(1))


def test_forgets_a_source():
    memory = Memory(1 << 20)
    for number in range(4):
        memory.put(cache_key(number, "a" if number % 2 else "b"), kept())
    assert memory.purge("photos", "a") == 2
    assert [bool(memory.get(cache_key(n, "a" if n % 2 else "b"))) for n in range(4)] == [
        *(True, False, True, False),
    ]
    assert memory.purge("photos", "a") == memory.purge("other", "b") == 0
    memory.purge("photos", "b")
    assert memory.used == 0


# -- disk ------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path, 1 << 20)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != LOCKS]


@pytest.mark.parametrize("data", [b"", b"data", os.urandom(3 << 20)], ids=len)
async def test_what_is_put_is_there(disk, data):
    assert await disk.get(PLACE) is None
    await disk.put(PLACE, kept(data, missing=3))
    found = await disk.get(PLACE)
    assert (content(found), found.mime, found.missing, found.size) == (
        *(data, "image/jpeg", 3, len(data)),
    )
    found.close()
    assert await disk.get(CacheKey("photos", "other", PLACE.variant)) is None


async def test_from_memory_too(disk):
    await disk.put(PLACE, kept(b"data").in_memory())
    assert content(await disk.get(PLACE)) == b"data"


async def test_another_process_finds_it(disk, tmp_path):
    await disk.put(PLACE, kept())
    assert content(await Disk(tmp_path, 1 << 20).get(PLACE)) == b"data"


@pytest.mark.parametrize("cut", [0, 1, 4, 100, 5000, -1])
async def test_what_is_cut_is_not_there(disk, tmp_path, cut):
    await disk.put(PLACE, kept(os.urandom(5000)))
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:cut])
    assert await Disk(tmp_path, 1 << 20).get(PLACE) is None
    assert files(tmp_path) == []


async def test_what_has_another_byte_is_not_there(disk, tmp_path):
    """Wherever: in the body, in what is said of it, in the length of that, in the mark."""
    await disk.put(PLACE, kept(os.urandom(20)))
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for at, bit in itertools.product(range(len(whole)), range(8)):
        data = bytearray(whole)
        data[at] ^= 1 << bit
        file.write_bytes(data)
        assert await Disk(tmp_path, 1 << 20).get(PLACE) is None, (at, bit)
    file.write_bytes(whole)
    assert content(await Disk(tmp_path, 1 << 20).get(PLACE)) == whole[:20]


@pytest.mark.parametrize("data", [b"", b"x", b"{}" * 300, bytes(12), b"\xff" * 600])
async def test_what_is_not_of_our_making_is_not_there(disk, tmp_path, data):
    await disk.put(PLACE, kept())
    (file,) = files(tmp_path)
    file.write_bytes(data)
    assert await Disk(tmp_path, 1 << 20).get(PLACE) is None


async def test_a_file_that_has_the_inode_of_one_that_was_seen_is_another_one(disk, tmp_path):
    """Of as many bytes as that one, too, though not of its body."""
    other = Disk(tmp_path, 1 << 20)
    first, second = cache_key(1), cache_key(2)
    await disk.put(first, kept(bytes(101)))
    (old,) = files(tmp_path)
    assert content(await disk.get(first)) == bytes(101)
    body = b"b" * 100
    await other.put(second, kept(body, missing=10))  # of which one digit more is said
    (new,) = set(files(tmp_path)) - {old}
    assert new.stat().st_size == old.stat().st_size
    data = new.read_bytes()
    with old.open("r+b") as file:
        file.write(data)
    old.rename(new)
    assert disk.get_nowait(second, 1 << 16) is None
    assert content(await disk.get(second)) == body
    assert disk.get_nowait(second, 1 << 16).data == body


async def test_forgets_a_source_on_disk(disk, tmp_path):
    for number in range(4):
        await disk.put(cache_key(number, "a" if number % 2 else "b"), kept())
    await disk.purge("photos", "a")
    assert len(files(tmp_path)) == 2
    await disk.purge("photos", "none")


async def test_keeps_its_budget(tmp_path):
    disk = Disk(tmp_path, 1 << 20)
    for number in range(300):
        await disk.put(cache_key(number, f"k{number % 7}"), in_memory(os.urandom(10_000)))
        if number % 10 == 0:
            assert await disk.get(cache_key(0, "k0"))  # used again and again
            path = disk._path(cache_key(0, "k0"))
            os.utime(path)
        else:
            os.utime(disk._path(cache_key(number, f"k{number % 7}")), (number, number))
    await disk.close()
    # one scan may be behind
    assert sum(path.stat().st_size for path in files(tmp_path)) <= (1 << 20) * 17 / 16
    assert await disk.get(cache_key(0, "k0"))
    assert await disk.get(cache_key(1, "k1")) is None
    assert not list((tmp_path / ".new").iterdir())


async def test_the_clock_was_set_back_since(tmp_path, monkeypatch):
    """What was left unfinished goes when its time is over; what was used before is no newer."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    # by its clock what is being written is old, so it must not run by itself
    monkeypatch.setattr(Disk, "_scan_if_due", lambda self: None)
    disk = Disk(tmp_path, 1 << 20)
    for number in range(50):
        await disk.put(cache_key(number), in_memory(os.urandom(10_000)))
    temporary = tmp_path / ".new" / "0"
    temporary.touch()
    for path in (temporary, *(disk._path(cache_key(number)) for number in range(50))):
        os.utime(path, (now + 1e8, now + 1e8))
    disk._tidy()
    assert temporary.exists()
    now += STALE + 1
    for number in range(50, 100):
        await disk.put(cache_key(number), in_memory(os.urandom(10_000)))
        os.utime(disk._path(cache_key(number)), (now, now))
    disk._tidy()
    assert not temporary.exists()
    for number in range(100, 130):
        await disk.put(cache_key(number), in_memory(os.urandom(10_000)))
        os.utime(disk._path(cache_key(number)), (now, now))
    disk._tidy()
    await disk.close()
    assert await disk.get(cache_key(0)) is None
    assert all([await disk.get(cache_key(number)) for number in range(50, 130)])


async def test_several_keep_one_budget(tmp_path):
    disks = [Disk(tmp_path, 1 << 20) for _ in range(3)]
    for number in range(300):
        await disks[number % 3].put(cache_key(number), in_memory(os.urandom(10_000)))
    for disk in disks:
        await disk.close()
    assert sum(path.stat().st_size for path in files(tmp_path)) <= (1 << 20) * 19 / 16


async def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path, disk):
    (tmp_path / "photos").write_text("in the way")
    await disk.put(PLACE, kept())
    assert await disk.get(PLACE) is None
    async with alone(disk, PLACE) as waited:
        assert not waited
    assert not list((tmp_path / ".new").iterdir())


@contextlib.asynccontextmanager
async def alone(disk, cache_key):
    waited = await disk.begin(cache_key)
    try:
        yield waited
    finally:
        disk.end(cache_key)


HOLDER = """
import asyncio, sys
from pathlib import Path
from vipsgate.cache.disk import Disk
from vipsgate.cache.entry import CacheKey

async def main():
    disk, cache_key = Disk(Path(sys.argv[1]), 1 << 20), CacheKey("photos", "a", "AB")
    print(await disk.begin(cache_key), flush=True)
    await asyncio.sleep(float(sys.argv[2]))
    disk.end(cache_key)
    await asyncio.sleep(float(sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["by itself", "kill -9"])
async def test_alone_among_processes(disk, tmp_path, end):
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "0.4" if end == "by itself" else "60"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "False\n"
    begun = time.monotonic()
    if end == "kill -9":
        asyncio.get_running_loop().call_later(0.4, other.kill)
    async with alone(disk, CacheKey("photos", "a", "AB")) as waited:
        assert waited
        assert 0.2 < time.monotonic() - begun < 5
    other.wait()
    other.stdout.close()
    async with alone(disk, CacheKey("photos", "a", "AB")) as waited:
        assert not waited
    assert files(tmp_path) == []


async def test_alone_in_one_process(disk):
    order = []

    async def work(name):
        async with alone(disk, PLACE):
            order.append(name)
            await asyncio.sleep(0.01)
            order.append(name)

    await asyncio.gather(*(work(name) for name in "abc"))
    assert order in [list("aabbcc"), list("aaccbb")]


async def test_a_larger_body_gets_a_file_of_its_own(tmp_path):
    small, large = cache_key(1), cache_key(2)
    data = os.urandom(EXACT_BYTES)
    for exact in (False, True):
        disk = Disk(tmp_path, 10_000_000, exact=exact)
        await disk.put(small, kept(data[1:]))
        await disk.put(large, kept(data))
        for one in (small, large):
            (await disk.get(one)).close()
        await disk.close()
        with contextlib.closing(await disk.get(small)) as found:
            assert found.file == ""
        with contextlib.closing(await disk.get(large)) as found:
            assert bool(found.file) is exact
        with contextlib.closing(disk.get_nowait(large, 100)) as peeked:
            assert peeked.file == found.file
    assert (tmp_path / found.file).read_bytes() == data
    # to another process it may be one that a crash has cut
    (tmp_path / found.file).write_bytes(data[:-1] + b"?")
    other = Disk(tmp_path, 10_000_000, exact=True)
    with contextlib.closing(await other.get(large)) as first:
        assert first.file == ""
    await other.close()
    with contextlib.closing(await other.get(large)) as second:
        assert (tmp_path / second.file).read_bytes() == data
    await other.purge("photos", "a")
    assert files(tmp_path) == []


# -- modes -----------------------------------------------------------------------------------------


def modes(folder):
    """What is there below a folder -> its mode."""
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("exact", [False, True])
async def test_cached_files_are_not_readable_by_other_users(tmp_path, umask, exact):
    folder = tmp_path / "cache"
    disk = Disk(folder, 10_000_000, exact=exact)
    await disk.put(cache_key(1), kept(b"data").in_memory())
    await disk.put(cache_key(2), kept(os.urandom(EXACT_BYTES)))
    (await disk.get(cache_key(2))).close()
    await disk.close()
    async with alone(disk, cache_key(3)):
        found = {**modes(folder), folder: stat.S_IMODE(folder.stat().st_mode)}
    kinds = {path.suffix for path in found if path.is_file()}
    assert kinds == ({"", ".exact"} if exact else {""})
    for path, mode in found.items():
        if path.name == ".new":
            expected = 0o700
        elif path.suffix == ".exact":
            expected = 0o640
        elif path.is_file():
            expected = 0o600
        else:
            expected = 0o750 if exact else 0o700
        assert mode == expected, path


async def test_unfinished_files_are_not_readable_by_other_users(tmp_path, umask, monkeypatch):
    seen = []
    real = os.rename

    def look(source, aim):
        seen.append(stat.S_IMODE(os.stat(source).st_mode))
        real(source, aim)

    monkeypatch.setattr(os, "rename", look)
    disk = Disk(tmp_path / "cache", 1 << 20)
    await disk.put(PLACE, kept())
    assert set(seen) == {0o600}


async def test_a_source_that_is_purged_while_its_picture_is_made_is_kept_all_the_same(tmp_path):
    disk = Disk(tmp_path / "cache", 1 << 20)
    async with alone(disk, PLACE):
        await disk.purge(PLACE.bucket, PLACE.key)
        await disk.put(PLACE, kept())
    with contextlib.closing(await disk.get(PLACE)) as entry:
        assert content(entry) == b"data"


@pytest.mark.parametrize("exact", [False, True])
async def test_what_an_earlier_version_has_left_open_is_closed(tmp_path, caplog, exact):
    folder = tmp_path / "cache"
    disk = Disk(folder, 1 << 20)
    await disk.put(PLACE, kept())
    stranger = folder / "stranger"  # has no folders of sources in it
    (stranger / "x").mkdir(parents=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o644 if path.is_file() else 0o755)
    disk = Disk(folder, 1 << 20, exact=exact)
    found = modes(folder)
    assert (found[folder / "photos"], found[folder / ".new"]) == (0o750 if exact else 0o700, 0o700)
    assert found[stranger] == 0o755
    assert f"others may look into the cache's folder: {folder} has 755" in caplog.text
    await disk.put(cache_key(1), kept())  # the first scan is behind the first that is kept
    await disk.close()
    (old,) = (path for path in found if path.is_file() and path.name != LOCKS)
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    with contextlib.closing(await disk.get(PLACE)) as dup:
        assert content(dup) == b"data"


async def test_a_folder_from_a_time_without_a_server_in_front(tmp_path):
    """And from one with it: others are let in and kept out again."""
    folder = tmp_path / "cache"
    data = kept(os.urandom(EXACT_BYTES))
    first = Disk(folder, 10_000_000)
    await first.put(PLACE, data)
    await first.close()  # its scan takes files from others, too
    assert not [mode for path, mode in modes(folder).items() if mode & 0o077]
    disk = Disk(folder, 10_000_000, exact=True)
    (await disk.get(PLACE)).close()
    await disk.close()
    with contextlib.closing(await disk.get(PLACE)) as found:
        way = [folder, *((folder / found.file).relative_to(folder)).parents]
        assert stat.S_IMODE((folder / found.file).stat().st_mode) == 0o640
    for path in way:
        assert stat.S_IMODE((folder / path).stat().st_mode) == 0o750
    Disk(folder, 10_000_000)
    assert stat.S_IMODE((folder / "photos").stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to a group: run as root")
async def test_the_group_of_the_folder_gets_what_a_server_in_front_sends(tmp_path):
    folder, group = tmp_path / "cache", 4711
    folder.mkdir()
    os.chown(folder, -1, group)
    disk = Disk(folder, 10_000_000, exact=True)
    await disk.put(PLACE, kept(os.urandom(EXACT_BYTES)))
    (await disk.get(PLACE)).close()
    await disk.close()
    with contextlib.closing(await disk.get(PLACE)) as found:
        file = folder / found.file
    for path in (file, file.parent, file.parent.parent):
        assert path.stat().st_gid == group
    assert file.with_suffix("").stat().st_gid == os.getegid()


# -- both ------------------------------------------------------------------------------------------


class Maker:
    def __init__(self, data=b"data"):
        self.data, self.times = data, 0

    async def __call__(self):
        self.times += 1
        await asyncio.sleep(0.01)
        return kept(self.data)


async def fetched(cache, where, make):
    found, how = await cache.get(where) or await cache.obtain(where, make)
    data = content(found)
    found.close()
    return data, how


async def test_memory_then_disk_then_work(tmp_path):
    make = Maker()
    cache = Cache(Memory(1 << 20), Disk(tmp_path, 1 << 20))
    assert await fetched(cache, PLACE, make) == (b"data", MISS)
    assert await fetched(cache, PLACE, make) == (b"data", MEMORY)
    await cache.close()
    for other, then in (
        (Cache(Memory(1 << 20), Disk(tmp_path, 1 << 20)), MEMORY),  # after another start
        (Cache(Memory(0), Disk(tmp_path, 1 << 20)), DISK),
    ):
        assert await fetched(other, PLACE, make) == (b"data", DISK)
        assert await fetched(other, PLACE, make) == (b"data", then)
    assert make.times == 1
    await cache.purge(PLACE.bucket, PLACE.key)
    assert await fetched(cache, PLACE, make) == (b"data", MISS)
    await cache.close()


async def test_200_at_once_are_one_piece_of_work(tmp_path):
    make = Maker(os.urandom(100_000))
    caches = [Cache(Memory(1 << 20), Disk(tmp_path, 1 << 24)) for _ in range(2)]
    found = await asyncio.gather(
        *(fetched(caches[number % 2], PLACE, make) for number in range(200))
    )
    assert {data for data, _ in found} == {make.data}
    assert make.times == 1
    assert sum(how == MISS for _, how in found) == 1
    assert {how for _, how in found} <= {MISS, JOINED, MEMORY, DISK}
    for cache in caches:
        await cache.close()


async def test_what_fails_is_kept_nowhere(tmp_path):
    cache = Cache(Memory(1 << 20), Disk(tmp_path, 1 << 20))

    async def fail():
        raise ImageDamage("no")

    with pytest.raises(ImageDamage):
        await cache.obtain(PLACE, fail)
    await cache.close()
    assert files(tmp_path) == []
    assert await fetched(cache, PLACE, Maker()) == (b"data", MISS)
    await cache.close()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_stays_open(tmp_path):
    cache = Cache(Memory(1 << 20), Disk(tmp_path, 1 << 20))
    before = descriptors()
    for number in range(20):
        for _ in range(3):
            await fetched(cache, cache_key(number), Maker(os.urandom(200_000)))
    await cache.close()
    await asyncio.sleep(0)
    assert descriptors() == before


async def test_a_peek_sees_what_has_been_seen(tmp_path):
    cache = Cache(Memory(0), Disk(tmp_path, 1 << 20))
    assert cache.get_nowait(PLACE, 1 << 16) is None
    await fetched(cache, PLACE, Maker())
    await cache.close()
    found, tier = cache.get_nowait(PLACE, 1 << 16)  # it has written it itself
    assert (found.data, tier) == (b"data", DISK)
    cache = Cache(Memory(0), Disk(tmp_path, 1 << 20))
    assert cache.get_nowait(PLACE, 1 << 16) is None  # nobody has looked at its checksum yet
    assert await fetched(cache, PLACE, Maker()) == (b"data", DISK)
    found, tier = cache.get_nowait(PLACE, 1 << 16)
    assert (found.data, tier) == (b"data", DISK)
    found, tier = cache.get_nowait(PLACE, 3)  # it is larger
    assert (found.data, found.in_memory().data) == (None, b"data")
    found.close()
    await cache.purge(PLACE.bucket, PLACE.key)
    assert cache.get_nowait(PLACE, 1 << 16) is None
    cache = Cache(Memory(1 << 20), None)
    await fetched(cache, PLACE, Maker())
    found, tier = cache.get_nowait(PLACE, 0)
    assert (found.data, tier) == (b"data", MEMORY)
