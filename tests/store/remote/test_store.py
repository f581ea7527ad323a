"""What only a store far away has to see to: other writers, other clients, freshness, tags."""

import asyncio
import os
from contextlib import closing
from datetime import UTC, datetime

import obstore
import pytest
from obstore.store import MemoryStore

from vipsgate.buckets import INTERNAL, Bucket, Style
from vipsgate.catalog.documents import Documents
from vipsgate.errors import MetadataTooLarge, NoSuchKey, PreconditionFailed
from vipsgate.image.config import Limits
from vipsgate.store.base import PLAIN, Object, Properties
from vipsgate.store.remote import listing
from vipsgate.store.remote.client import StoreClient
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.store import CloudStore


class Counting:
    """obstore's functions, counted; what it is told to raise, it raises."""

    def __init__(self, monkeypatch):
        self.asked = []
        for name in ("get_async", "put_async", "delete_async", "list_with_delimiter_async", "list"):
            monkeypatch.setattr(obstore, name, self._counted(name, getattr(obstore, name)))

    def _counted(self, name, real):
        def counted(*args, **options):
            said = options.get("options", {})
            self.asked.append("head" if said.get("head") else name.removesuffix("_async"))
            return real(*args, **options)

        return counted

    def taken(self):
        found, self.asked = self.asked, []
        return found


@pytest.fixture
def client():
    return MemoryStore()


@pytest.fixture
def now():
    return [100.0]


@pytest.fixture
def make(client, now):
    """``make()``: another node's store on the same place."""

    def made(kind="memory", **options):
        shelf = RemoteObjects(StoreClient(client, 10), 1.0, 60.0, clock=lambda: now[0])
        return CloudStore(shelf, kind=kind, **options)

    return made


@pytest.fixture
async def store(make):
    made = make()
    await made.create("photos")
    return made


async def put(store, key, data=b"data", properties=PLAIN, bucket="photos", **options):
    async with store.draft(bucket) as draft:
        await draft.write(data)
        return await draft.keep(key, properties, **options)


async def content(store, key, bucket="photos"):
    with closing(await store.open(bucket, key)) as opened:
        return opened.read()


# -- several nodes ---------------------------------------------------------------------------------


async def test_a_bucket_is_seen_by_others_at_their_next_look(make, store):
    other = make()
    assert not other.has("photos")
    await other.look()
    assert other.has("photos")
    assert other.has(INTERNAL)
    assert [name for name, made in await other.buckets() if made > 0] == ["photos"]


async def test_of_two_writers_one_is_told(make, store):
    other = make()
    await other.look()
    one = await put(store, "a")
    assert (await other.stat("photos", "a")).etag == one.etag
    two = await put(other, "a", b"2", expected=one.etag)
    for wrong in (one.etag, ""):
        with pytest.raises(PreconditionFailed):
            await put(store, "a", b"3", expected=wrong)
    assert await content(store, "a") == b"2"
    await put(store, "a", b"3", expected=two.etag)


async def test_the_store_itself_sees_to_the_condition(make, store, monkeypatch):
    """Another may write between the look and the put."""
    one = await put(store, "a")
    other = make()
    await other.look()
    real = store._condition

    async def slow(path, expected):
        condition = await real(path, expected)
        await put(other, "a", b"another")
        return condition

    monkeypatch.setattr(store, "_condition", slow)
    with pytest.raises(PreconditionFailed):
        await put(store, "a", b"mine", expected=one.etag)
    with pytest.raises(PreconditionFailed):
        await put(store, "a", b"mine", expected="")
    assert await content(store, "a") == b"another"


async def test_no_edit_of_a_document_is_lost(make, store):
    nodes = [Documents(make(), Limits()) for _ in range(3)]

    def styled(name):
        def edit(bucket):
            styles = {**(bucket or Bucket()).styles, name: Style(content="image/crop")}
            return Bucket(styles=styles)

        return edit

    names = [f"s{number}" for number in range(9)]
    await asyncio.gather(
        *(nodes[number % 3].change("photos", styled(name)) for number, name in enumerate(names))
    )
    await nodes[0].look()
    assert sorted(nodes[0].known["photos"].styles) == names


async def test_a_document_is_read_only_when_it_has_changed(make, store, client, monkeypatch):
    documents, other = Documents(make(), Limits()), Documents(make(), Limits())
    await documents.change("photos", lambda bucket: Bucket(acl="public-read"))
    await other.look()
    version = other.version
    counting = Counting(monkeypatch)
    for _ in range(3):
        await other.look()
    assert counting.taken() == ["list"] * 3
    assert other.version == version
    await obstore.put_async(client, ".vipsgate/buckets/photos.json", b"{}")
    await other.look()
    assert other.known["photos"] == Bucket()


# -- freshness -------------------------------------------------------------------------------------


async def test_for_a_moment_nothing_is_asked_again(store, client, now, monkeypatch):
    await put(store, "a")
    now[0] += 5
    counting = Counting(monkeypatch)
    assert store.fingerprint("photos", "a") is None
    found = await store.stat("photos", "a")
    assert await store.stat("photos", "a") == found == store.fingerprint("photos", "a")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "b")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "b")
    assert store.fingerprint("photos", "b") == ()
    assert counting.taken() == ["head"] * 2
    await obstore.put_async(client, "photos/a", b"other")
    assert await store.stat("photos", "a") == found
    now[0] += 1.5
    assert (await store.stat("photos", "a")).size == 5


async def test_its_own_writes_are_seen_at_once(store):
    for data in (b"1", b"22"):
        made = await put(store, "a", data)
        assert await store.stat("photos", "a") == made == store.fingerprint("photos", "a")
    await store.delete("photos", "a")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "a")


async def test_a_key_that_nothing_can_have_is_not_asked_for(store, monkeypatch):
    counting = Counting(monkeypatch)
    for key in ("", "a//b", "../a", ".vipsgate/bucket", "a\n", "x" * 1100):
        with pytest.raises(NoSuchKey):
            await store.stat("photos", key)
        assert store.fingerprint("photos", key) == ()
    assert (await store.list("photos", prefix="../", limit=9)).objects == []
    assert counting.taken() == []


# -- what others have put --------------------------------------------------------------------------


async def test_what_another_client_has_put(store, client):
    attributes = {"Content-Type": "image/png", "Cache-Control": "no-cache", "who": "me"}
    await obstore.put_async(client, "photos/a", b"12345", attributes=attributes)
    found = await store.stat("photos", "a")
    assert found.properties == Properties(
        "image/png", "", {"cache-control": "no-cache"}, {"who": "me"}
    )
    assert found.size == 5
    assert found.crc is None
    assert abs(found.modified - datetime.now(UTC).timestamp()) < 60
    told = await store.describe("photos", "a", Properties("image/png", "private"))
    assert (told.etag, told.modified, told.size) == (found.etag, found.modified, 5)
    assert told.properties.acl == "private"
    # other bytes by now, by a client that has kept the metadata
    kept = (await obstore.get_async(client, "photos/a")).attributes
    await obstore.put_async(client, "photos/a", b"123", attributes=kept)
    assert (await store.open("photos", "a")).object.properties == Properties(acl="private")


async def test_too_much_is_refused(store):
    with pytest.raises(MetadataTooLarge):
        await put(store, "a", properties=Properties(meta={"a": "x" * 3000}))
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "a")


# -- large ones ------------------------------------------------------------------------------------


async def test_reads_a_part(store):
    data = os.urandom(3_000_000)
    found = await put(store, "a", data)

    async def read(start, stop):
        pieces = await store.read("photos", "a", found, range(start, stop))
        return b"".join([piece async for piece in pieces])

    for start, stop in ((0, 1), (0, len(data)), (1_000_000, 2_500_000), (5, 5)):
        assert await read(start, stop) == data[start:stop]
    await put(store, "a", data)
    with pytest.raises(PreconditionFailed):
        await store.read("photos", "a", Object(1, '"x"', 0.0), range(1))


# -- listings --------------------------------------------------------------------------------------


async def test_a_folder_is_not_walked_through(store, client, monkeypatch):
    """A stream is begun anew behind a common prefix with many keys."""
    monkeypatch.setattr(listing, "FOLD", 10)
    monkeypatch.setattr(listing, "PAGE", 10)
    for number in range(300):
        await obstore.put_async(client, f"photos/{number // 100}/{number:03}", b"")
    counting = Counting(monkeypatch)
    page = await store.list("photos", delimiter="/", limit=9)
    assert page.prefixes == ["0/", "1/", "2/"]
    assert counting.taken() == ["list"] * 4


async def test_a_store_that_begins_where_it_likes(store, client, monkeypatch):
    """Not every store heeds the name behind which it shall begin."""
    monkeypatch.setattr(listing, "FOLD", 3)
    found = [f"{folder}/{number}" for folder in "abc" for number in range(9)] + ["b0", "d"]
    for key in found:
        await put(store, key)
    real = obstore.list
    monkeypatch.setattr(
        obstore, "list", lambda *args, **options: real(*args, **{**options, "offset": None})
    )
    page = await store.list("photos", delimiter="/", limit=2)
    assert (page.prefixes, page.next) == (["a/", "b/"], "b/")
    page = await store.list("photos", delimiter="/", after=page.next, limit=9)
    assert (page.prefixes, [key for key, _ in page.objects]) == (["c/"], ["b0", "d"])
    page = await store.list("photos", after="c/7", limit=9)
    assert [key for key, _ in page.objects] == ["c/8", "d"]


async def test_tags_of_a_listing_are_those_of_a_look(make, store):
    await put(store, "a", b"1", Properties("a/b"))
    await put(store, "b", b"2", etag='"X-2"')
    listed = (await make().list("photos", limit=9)).objects
    assert listed == [(key, await store.stat("photos", key)) for key in "ab"]
