"""Local copies of far objects: asked for once, never out of date, within their budget."""

import asyncio
import os
import stat
import time
from contextlib import closing
from dataclasses import replace

import obstore
import pytest
from obstore.store import MemoryStore
from support.waiting import until

from vipsgate.store.base import PLAIN, Object
from vipsgate.store.remote import source_cache
from vipsgate.store.remote.client import StoreClient
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.source_cache import SourceCache
from vipsgate.store.remote.store import CloudStore

ONE = Object(1000, '"1"', 5.0)


@pytest.fixture
def gets(monkeypatch):
    """Every GET that has bodies."""
    asked, real = [], obstore.get_async

    async def counted(client, path, *, options):
        if not options.get("head"):
            asked.append(path)
            await asyncio.sleep(0.01)
        return await real(client, path, options=options)

    monkeypatch.setattr(obstore, "get_async", counted)
    return asked


async def kept(held, path, found, data=None):
    copy = await held.begin(path, found)
    os.write(copy.descriptor, bytes(found.size) if data is None else data)
    await held.keep(copy)
    os.close(copy.descriptor)


def there(held, path, found):
    descriptor = held.find(path, found)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
async def test_files_are_not_readable_by_other_users(tmp_path, umask):
    (tmp_path / "old" / ".sources").mkdir(parents=True)
    (tmp_path / "old" / ".sources").chmod(0o755)
    before = os.umask(umask)
    try:
        for name in ("old", "new"):
            held = SourceCache(tmp_path / name / ".sources", 100_000, "s3://a")
            copy = await held.begin("a", ONE)
            os.write(copy.descriptor, bytes(ONE.size))
            assert stat.S_IMODE(os.stat(copy.path).st_mode) == 0o600
            await held.keep(copy)
            os.close(copy.descriptor)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        if path != tmp_path / "old":  # is not ours
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o600 if path.is_file() else 0o700), path


async def test_is_of_this_very_object(tmp_path):
    held = SourceCache(tmp_path, 100_000, "s3://a")
    assert not there(held, "a", ONE)
    await kept(held, "a", ONE)
    assert there(held, "a", ONE)
    assert there(SourceCache(tmp_path, 100_000, "s3://a"), "a", ONE)  # another process
    for other in (replace(ONE, etag='"2"'), replace(ONE, modified=6.0), replace(ONE, size=999)):
        assert not there(held, "a", other)
    assert not there(held, "b", ONE)
    assert not there(SourceCache(tmp_path, 100_000, "s3://b"), "a", ONE)


async def test_what_is_not_finished_or_meddled_with_is_none(tmp_path):
    held = SourceCache(tmp_path, 100_000, "s3://a")
    copy = await held.begin("a", ONE)
    os.write(copy.descriptor, b"half")
    assert not there(held, "a", ONE)
    held.drop(copy)
    os.close(copy.descriptor)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    await kept(held, "a", ONE, b"short")
    assert not there(held, "a", ONE)


async def test_what_was_not_used_for_longest_goes_first(tmp_path):
    held = SourceCache(tmp_path, 10_000, "s3://a")
    for number in range(30):
        await kept(held, f"{number}", ONE)
        then = time.time() - 10_000 + number
        os.utime(held._place(f"{number}", ONE), (then, then))
        assert there(held, "3", ONE) or number < 3  # which counts as use
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 11_000
    assert there(held, "29", ONE)
    assert there(held, "3", ONE)
    assert not there(held, "0", ONE)
    assert await held.begin("large", replace(ONE, size=5000)) is None


async def test_the_clock_was_set_back_since(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    held = SourceCache(tmp_path, 10_000, "s3://a")
    unfinished = await held.begin("unfinished", ONE)
    os.close(unfinished.descriptor)
    await kept(held, "old", ONE)
    for path in (unfinished.path, held._place("old", ONE)):
        os.utime(path, (now + 1e8, now + 1e8))
    held._tidy()
    assert os.path.exists(unfinished.path)
    now += source_cache.STALE + 1
    for number in range(20):
        await kept(held, f"{number}", ONE)
    held._tidy()
    assert not os.path.exists(unfinished.path)
    assert not there(held, "old", ONE)


async def test_what_an_earlier_start_of_the_machine_has_left_goes(tmp_path, monkeypatch):
    await kept(SourceCache(tmp_path, 100_000, "s3://a"), "a", ONE)
    boot = tmp_path / "boot"
    boot.write_text("another")
    folder = tmp_path / "copies"
    monkeypatch.setattr(source_cache, "BOOT", boot)
    held = SourceCache(folder, 100_000, "s3://a")
    await kept(held, "a", ONE)
    boot.write_text("later")
    assert not there(SourceCache(folder, 100_000, "s3://a"), "a", ONE)
    assert [path.name for path in folder.iterdir()] == ["later"]


@pytest.fixture(params=["with copies", "without"])
async def store(request, tmp_path):
    held = SourceCache(tmp_path, 1 << 20, "x") if request.param == "with copies" else None
    made = CloudStore(RemoteObjects(StoreClient(MemoryStore(), 10), 0, 0, held), kind="memory")
    made.copied = held is not None
    await made.create("photos")
    async with made.draft("photos") as draft:
        await draft.write(b"0123456789")
        await draft.keep("a", PLAIN)
    return made


async def content(store):
    with closing(await store.open("photos", "a")) as opened:
        return opened.read(), opened.object


async def test_is_fetched_once(store, gets):
    for _ in range(3):
        assert (await content(store))[0] == b"0123456789"
    assert len(gets) == (1 if store.copied else 3)
    found = await store.stat("photos", "a")
    pieces = await store.read("photos", "a", found, range(2, 5))
    assert [piece async for piece in pieces] == [b"234"]
    assert len(gets) == (1 if store.copied else 4)


async def test_those_who_ask_at_once_share(store, gets):
    many = [asyncio.create_task(content(store)) for _ in range(9)]
    await asyncio.sleep(0.001)
    many[0].cancel()
    assert {(await one)[0] for one in many[1:]} == {b"0123456789"}
    assert len(gets) == 1


async def test_a_replaced_object_is_another_one(store):
    before = (await content(store))[1]
    async with store.draft("photos") as draft:
        await draft.write(b"new")
        await draft.keep("a", PLAIN)
    data, after = await content(store)
    assert data == b"new"
    assert after.etag != before.etag


async def test_a_request_that_leaves_leaves_nothing(store, gets, tmp_path):
    descriptors = len(os.listdir("/proc/self/fd"))
    asking = asyncio.create_task(store.open("photos", "a"))
    await asyncio.sleep(0.005)
    asking.cancel()
    await until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)
    assert not list(tmp_path.rglob("*.new*"))
