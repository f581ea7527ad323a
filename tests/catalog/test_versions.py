"""Versions of documents: nothing that was in force is lost, whoever dies or writes when."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest

from vipsgate.buckets import INTERNAL, Bucket
from vipsgate.catalog import documents, versions
from vipsgate.catalog.documents import Documents
from vipsgate.catalog.versions import OUTSIDE, Author
from vipsgate.errors import ServiceUnavailable
from vipsgate.image.config import Limits
from vipsgate.store.local.store import LocalStore
from vipsgate.store.remote.client import StoreClient
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.store import CloudStore

LIMITS = Limits()
MAX_VERSIONS = 16  # here, to be quick
ME = Author("key1", "PutStyle small", 1_767_225_600.0)


@pytest.fixture(params=["local", "remote"])
async def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "MAX_VERSIONS", MAX_VERSIONS)
    if request.param == "local":
        result = LocalStore(tmp_path)
    else:
        memory = pytest.importorskip("obstore.store", reason="needs obstore").MemoryStore()
        result = CloudStore(RemoteObjects(StoreClient(memory, 10), 0, 0), kind="memory")
    await result.create("photos")
    return result


def cached(number):
    return Bucket(cache_control=f"max-age={number}")


async def put(described, number, author=ME):
    return await described.change("photos", lambda _: cached(number), author)


async def by_hand(store, data):
    async with store.draft(INTERNAL) as draft:
        await draft.write(data)
        await draft.keep("buckets/photos.json", documents.PLAIN)


async def names(store):
    page = await store.list(INTERNAL, prefix="versions/", limit=1000)
    return [key for key, _ in page.objects]


def texts(listed):
    return [item.document for item in listed]


def written(*numbers):
    return [documents.write(cached(number)) for number in numbers]


async def test_every_change_is_kept_with_who_and_when(store):
    described = Documents(store, LIMITS)
    other = Author("key2", "PutBucketAcl", 1_767_225_601.5)
    await put(described, 1)
    await put(described, 2, other)
    listed = await described.versions("photos")
    assert texts(listed) == written(2, 1)
    assert [item.author for item in listed] == [other, ME]
    assert [item.number for item in listed] == [2, 1]
    assert [item.current for item in listed] == [True, False]
    assert all(item.lasted for item in listed)


async def test_what_changes_nothing_is_no_version(store):
    described = Documents(store, LIMITS)
    await put(described, 1)
    await put(described, 1)
    assert len(await names(store)) == 1


async def test_only_so_many_are_kept(store):
    described = Documents(store, LIMITS)
    for number in range(MAX_VERSIONS + 5):
        await put(described, number)
    listed = await described.versions("photos")
    assert texts(listed) == written(*range(MAX_VERSIONS + 4, 4, -1))
    assert len(await names(store)) == MAX_VERSIONS


async def test_to_go_back_is_a_change(store):
    described = Documents(store, LIMITS)
    for number in (1, 2, 1):
        await put(described, number)
    listed = await described.versions("photos")
    assert texts(listed) == written(1, 2, 1)
    assert [item.current for item in listed] == [True, False, False]


@pytest.mark.parametrize(
    "data", [b'{"cache_control": "max-age=7"}', b'{"acl": "open"}', b"\xff\0 not JSON\n\n", b""]
)
async def test_what_was_written_by_hand_is_kept_as_it_is(store, data):
    described = Documents(store, LIMITS)
    await put(described, 1)
    await by_hand(store, data)
    await described.change("photos", lambda _: cached(2), ME, mend=True)
    listed = await described.versions("photos")
    assert texts(listed) == [*written(2), data, *written(1)]
    assert [item.author.what for item in listed] == [ME.what, OUTSIDE, ME.what]
    assert all(item.lasted for item in listed)


async def test_what_was_there_before_is_the_first(store):
    await by_hand(store, b"{}")
    described = Documents(store, LIMITS)
    assert await described.versions("photos") == []
    await described.replace("photos", cached(1), ME)
    assert texts(await described.versions("photos")) == [*written(1), b"{}"]


async def test_a_broken_document_is_replaced_only_where_that_is_meant(store):
    described = Documents(store, LIMITS)
    await by_hand(store, b"broken")
    with pytest.raises(ServiceUnavailable):
        await put(described, 1)
    assert await names(store) == []
    await described.change("photos", lambda _: cached(1), ME, mend=True)
    assert described.known["photos"] == cached(1)


async def test_they_go_with_their_bucket(store):
    described = Documents(store, LIMITS)
    await put(described, 1)
    await described.remove("photos")
    assert await names(store) == []
    await put(described, 2)
    assert texts(await described.versions("photos")) == written(2)


async def test_what_is_none_of_ours_is_passed_over(store):
    described = Documents(store, LIMITS)
    await put(described, 1)
    for name, data in {
        f"00000002-{'0' * 64}": b"junk",
        f"00000003-{'1' * 64}": b"{}\n{}",
        "notes": b"x",
    }.items():
        async with store.draft(INTERNAL) as draft:
            await draft.write(data)
            await draft.keep(f"versions/photos/{name}", documents.PLAIN)
    assert texts(await described.versions("photos")) == written(1)
    await put(described, 2)
    assert texts(await described.versions("photos"))[0] == written(2)[0]


class Died(BaseException):
    """A sudden end."""


class Mortal:
    """A store whose process dies at one of its writes, before it or after it."""

    def __init__(self, store, at, *, after):
        self._store, self._left, self._after = store, at, after

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def _write(self, work):
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Died
        result = await work()
        if self._left < 0:
            raise Died
        return result

    async def delete(self, bucket, key, **options):
        return await self._write(partial(self._store.delete, bucket, key, **options))

    @asynccontextmanager
    async def draft(self, bucket):
        async with self._store.draft(bucket) as draft:
            yield _Draft(draft, self._write)


class _Draft:
    def __init__(self, draft, write):
        self._draft, self.write, self._write = draft, draft.write, write

    async def keep(self, *args, **options):
        return await self._write(partial(self._draft.keep, *args, **options))


# of a change with MAX_VERSIONS before it: the one by hand, its own, the document, two that go
@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_sudden_end_loses_nothing(store, at, after):
    described = Documents(store, LIMITS)
    for number in range(MAX_VERSIONS):
        await put(described, number)
    hand = b'{"cache_control": "by hand"}'
    await by_hand(store, hand)
    dying = Documents(Mortal(store, at, after=after), LIMITS)
    with pytest.raises((Died, RuntimeError)):
        await put(dying, 1000)
    survivor = Documents(store, LIMITS)
    await survivor.look()
    assert survivor.faults == {}
    in_force = survivor.known["photos"].cache_control
    assert in_force in ("by hand", "max-age=1000")
    await put(survivor, 2000)
    listed = await survivor.versions("photos")
    assert len(listed) == MAX_VERSIONS
    real = [item.document for item in listed if item.lasted]
    expected = written(2000) + (written(1000) if in_force == "max-age=1000" else [])
    # the newest that were in force, each once, in their order
    assert [hand, *written(*range(MAX_VERSIONS - 1, -1, -1))][: len(real) - len(expected)] == real[
        len(expected) :
    ]
    assert real[: len(expected)] == expected
    lost = [item for item in listed if not item.lasted]
    assert all(item.document == written(1000)[0] for item in lost)


async def test_many_who_change_it_at_once_lose_nothing(store):
    nodes = [Documents(store, LIMITS) for _ in range(4)]

    async def work(node, number):
        for turn in range(4):
            result = Bucket(cache_control=f"{number}.{turn}")
            author = Author(f"key{number}", "x", 1.0)
            await nodes[node].change("photos", lambda known, result=result: result, author)

    await asyncio.gather(*(work(number, number) for number in range(4)))
    listed = await nodes[0].versions("photos")
    assert len(listed) == 16
    assert {item.document for item in listed} == {
        documents.write(Bucket(cache_control=f"{number}.{turn}"))
        for number in range(4)
        for turn in range(4)
    }
    assert [item.current for item in listed].count(True) == 1


async def test_the_second_writer_removes_its_own_version(store, monkeypatch):
    described, other = Documents(store, LIMITS), Documents(store, LIMITS)
    await put(described, 1)
    seen, note = [], versions.note

    async def late(*args):
        entry = await note(*args)
        monkeypatch.setattr(versions, "note", note)
        await put(other, 5)  # after the version, and before the document
        return entry

    def edit(known):
        seen.append(known)
        return cached(len(seen) + 10)

    monkeypatch.setattr(versions, "note", late)
    await described.change("photos", edit, ME)
    assert seen == [cached(1), cached(5)]
    assert texts(await described.versions("photos")) == written(12, 5, 1)
