"""What every store does, whatever it is made of: put, look, list, describe, take away.

A further store is one more kind in ``conftest.py``.
"""

import asyncio
import hashlib
import os
import random
import shutil
from contextlib import closing

import fastcrc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vipsgate.errors import (
    BucketNotEmpty,
    InvalidObjectName,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    PreconditionFailed,
)
from vipsgate.store.base import INTERNAL, PLAIN, Page, Properties
from vipsgate.store.remote import client

# rows of stores(): a folder, obstore's own store in memory, and real ones over HTTP
STORES = ("local", "memory", "moto", "azurite", "seaweedfs")
CLOUDS = STORES[1:]
FULL = Properties(
    content_type="text/x-odd",
    acl="private",
    headers={"cache-control": "no-cache", "expires": "Thu, 01 Jan 2026 00:00:00 GMT"},
    meta={"author": "西湖", "empty": ""},
    kind="Multipart",
)


@pytest.fixture(params=STORES)
async def store(request, stores, tmp_path):
    made = stores(request.param)(tmp_path)
    await made.create("photos")
    return made


async def put(store, key, data, properties=PLAIN, bucket="photos", **options):
    async with store.draft(bucket) as draft:
        await draft.write(data)
        return await draft.keep(key, properties, **options)


async def content(store, key, bucket="photos"):
    with closing(await store.open(bucket, key)) as opened:
        return opened.read()


async def keys(store, **options):
    """All pages of a listing, the keys and prefixes in their order."""
    found, after = [], options.pop("after", "")
    while True:
        page = await store.list("photos", after=after, **options)
        found += sorted([key for key, _ in page.objects] + list(page.prefixes), key=str.encode)
        if not (after := page.next):
            return found


async def test_what_is_put_is_there(store):
    data = os.urandom(3 << 20)
    made = await put(store, "dir/西 湖+%.jpg", data, FULL)
    assert made == await store.stat("photos", "dir/西 湖+%.jpg")
    assert (made.size, made.properties) == (len(data), FULL)
    assert made.etag == f'"{hashlib.md5(data).hexdigest().upper()}"'
    assert made.crc == fastcrc.crc64.xz(data)
    assert await content(store, "dir/西 湖+%.jpg") == data
    assert (await put(store, "empty", b"")).size == 0


async def test_a_draft_tells_what_it_holds(store):
    data = os.urandom(300_000)
    await put(store, "source", data)
    async with store.draft("photos") as draft:
        await draft.write(b"123456789")
        assert (draft.size, draft.crc) == (9, 11051210869376104954)  # OSS guide's own vector
        assert draft.md5 == hashlib.md5(b"123456789").digest()
        with closing(await store.open("photos", "source")) as source:
            await draft.copy(source.descriptor, 1000, 200_000)
        made = await draft.keep("made", PLAIN, etag='"AB-2"')
    assert (made.etag, made.size) == ('"AB-2"', 200_009)
    assert await content(store, "made") == b"123456789" + data[1000:201_000]


async def test_what_is_not_kept_leaves_no_trace(store, tmp_path):
    before = await put(store, "a", b"old")
    async with store.draft("photos") as draft:
        await draft.write(b"new")

    async def fail():
        async with store.draft("photos") as draft:
            await draft.write(b"x" * 100_000)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await store.stat("photos", "a") == before
    assert await content(store, "a") == b"old"
    assert not [path for path in tmp_path.rglob("drafts/*") if path.is_file()]


async def test_what_is_open_stays_what_it_was(store):
    await put(store, "a", b"old")
    with closing(await store.open("photos", "a")) as opened:
        await put(store, "a", b"newer")
        assert opened.read() == b"old"
    assert await content(store, "a") == b"newer"


async def test_the_expected_one(store):
    one = await put(store, "a", b"1", expected="")
    with pytest.raises(PreconditionFailed):
        await put(store, "a", b"2", expected="")
    two = await put(store, "a", b"2", expected=one.etag)
    for wrong in (one.etag, '"x"'):
        with pytest.raises(PreconditionFailed):
            await put(store, "a", b"3", expected=wrong)
        with pytest.raises(PreconditionFailed):
            await store.delete("photos", "a", expected=wrong)
    with pytest.raises(PreconditionFailed):
        await put(store, "none", b"", expected=one.etag)
    assert await content(store, "a") == b"2"
    await store.delete("photos", "a", expected=two.etag)
    assert await keys(store, limit=9) == []


async def test_of_many_only_one_makes_it(store):
    async def attempt(number):
        try:
            await put(store, "a", b"%d" % number, expected="")
        except PreconditionFailed:
            return False
        return True

    made = await asyncio.gather(*(attempt(number) for number in range(20)))
    assert sum(made) == 1
    assert await content(store, "a") == b"%d" % made.index(True)


async def test_describes(store):
    made = await put(store, "a", b"data")
    told = await store.describe("photos", "a", FULL)
    assert told == await store.stat("photos", "a")
    assert (told.properties, told.etag, told.crc) == (FULL, made.etag, made.crc)
    assert told.modified == made.modified
    assert (await store.describe("photos", "a", PLAIN)).properties == PLAIN
    with pytest.raises(NoSuchKey):
        await store.describe("photos", "none", FULL)


async def test_takes_away(store):
    await put(store, "dir/sub/a", b"")
    await put(store, "dir/b", b"")
    for _ in range(2):  # the second time it is gone already
        await store.delete("photos", "dir/sub/a")
    assert await keys(store, limit=9) == ["dir/b"]
    await store.delete("photos", "dir/b")
    await put(store, "dir", b"no folder any more")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "dir/b")


@pytest.mark.parametrize("store", ["local"], indirect=True)
async def test_a_name_is_an_object_or_a_folder(store):
    await put(store, "a/b", b"")
    await put(store, "c", b"")
    for key in ("a", "c/d", "c/d/e", "n" * 256, f"{'n' * 256}/a"):
        with pytest.raises(InvalidObjectName):
            await put(store, key, b"")
    assert await keys(store, limit=9) == ["a/b", "c"]


@pytest.mark.parametrize("store", CLOUDS[:2], indirect=True)
async def test_names_are_only_names(store):
    """Unlike on a disk, and as on OSS."""
    await put(store, "a", b"1")
    await put(store, "a/b", b"2")
    await put(store, "n" * 256, b"3")
    assert await keys(store, limit=9) == ["a", "a/b", "n" * 256]
    assert [await content(store, key) for key in ("a", "a/b")] == [b"1", b"2"]
    for key in ("a/", "/a", "a//b", "./a", "a/..", "line\nbreak", "n" * 1024, ".vipsgate/a"):
        with pytest.raises(InvalidObjectName):
            await put(store, key, b"")
        with pytest.raises(NoSuchKey):
            await store.stat("photos", key)


async def test_putting_and_taking_away_at_once(store):
    """A folder goes when it is empty, also while somebody is about to put something there."""

    async def work(number):
        for turn in range(30):
            await put(store, f"dir/sub/{number}", b"%d" % turn)
            assert await content(store, f"dir/sub/{number}") == b"%d" % turn
            await store.delete("photos", f"dir/sub/{number}")

    await asyncio.gather(*(work(number) for number in range(4)))
    assert await keys(store, limit=9) == []


async def test_buckets(store):
    await store.create("another")
    await store.create("another")
    assert [name for name, _ in await store.buckets()] == ["another", "photos"]
    await put(store, "dir/a", b"")
    with pytest.raises(BucketNotEmpty):
        await store.remove("photos")
    await store.delete("photos", "dir/a")
    await store.remove("photos")
    assert not store.has("photos")
    with pytest.raises(NoSuchBucket):
        await store.remove("photos")


async def test_our_own_bucket(store):
    await put(store, "buckets/a.json", b"{}", bucket=INTERNAL)
    page = await store.list(INTERNAL, prefix="buckets/", limit=9)
    assert [key for key, _ in page.objects] == ["buckets/a.json"]
    assert INTERNAL not in [name for name, _ in await store.buckets()]
    for key in ("../.vipsgate/buckets/a.json", ".vipsgate/buckets/a.json"):
        with pytest.raises(NoSuchKey):
            await store.stat("photos", key)


# -- away ------------------------------------------------------------------------------------------


async def describe(store):
    await store.describe("photos", "dir/a", FULL)


async def start_draft(store):
    async with store.draft("photos"):
        pass


async def has(store, bucket):
    return store.has(bucket)


async def close(store, opened):
    """What is opened in spite of all."""
    (await opened).close()


AWAY = {  # every call that asks the store
    "look": lambda store: store.look(),
    "buckets": lambda store: store.buckets(),
    "create": lambda store: store.create("another"),
    "create again": lambda store: store.create("photos"),
    "sweep": lambda store: store.sweep(),
    "stat": lambda store: store.stat("photos", "dir/a"),
    "stat none": lambda store: store.stat("photos", "none"),
    "stat nowhere": lambda store: store.stat("nowhere", "none"),
    "open": lambda store: close(store, store.open("photos", "dir/a")),
    "open our own": lambda store: close(store, store.open(INTERNAL, "buckets/photos.json")),
    "describe": describe,
    "delete": lambda store: store.delete("photos", "dir/a"),
    "delete none": lambda store: store.delete("photos", "none"),
    "list": lambda store: store.list("photos", limit=9),
    "list nothing": lambda store: store.list("photos", prefix="none/", limit=9),
    "list nowhere": lambda store: store.list("nowhere", limit=9),
    "list our own": lambda store: store.list(INTERNAL, prefix="buckets/", limit=9),
    "put": lambda store: put(store, "dir/a", b"other"),
    "put anew": lambda store: put(store, "new/b", b"other", expected=""),
    "put our own": lambda store: put(store, "buckets/photos.json", b"{}", bucket=INTERNAL),
    "remove": lambda store: store.remove("photos"),
}
BY_FOLDER = {  # what of a local store is not asked elsewhere, or is its own
    "has": lambda store: has(store, "photos"),
    "has none": lambda store: has(store, "nowhere"),
    "draft": start_draft,
    "remove none": lambda store: store.remove("nowhere"),
}


LOOKED_AT = ("open", "has")  # are believed: a look at the root for each would be one too many


class Gone:
    """A folder that is renamed away, with what may be found in its place."""

    def __init__(self, store, folder, instead):
        self.store, self.folder, self.instead = store, folder, instead
        self.aside = folder.with_name("aside")

    def __enter__(self):
        self.folder.rename(self.aside)
        if self.instead == "a file":
            self.folder.write_text("")
        elif self.instead:
            self.folder.mkdir()
        if self.instead == "another disk":
            for place in ("photos/dir", ".vipsgate/buckets"):
                (self.folder / place).mkdir(parents=True)
            (self.folder / "photos/dir/a").write_bytes(b"another one")
            (self.folder / ".vipsgate/buckets/photos.json").write_bytes(b"{}")
        self.before = tree(self.folder)
        return self.store

    def __exit__(self, *error):
        after = tree(self.folder)
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        elif self.folder.exists():
            self.folder.unlink()
        self.aside.rename(self.folder)
        assert after == self.before  # nothing has been made, nor taken away


def tree(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


class Refusing:
    """An object store that takes no connections."""

    def __init__(self, store, monkeypatch):
        self.client = store._objects.client
        monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        self.there, self.gone = self.client.store, client.connect("s3://box", 0.6)
        self.store = store

    def __enter__(self):
        self.client.store = self.gone
        return self.store

    def __exit__(self, *error):
        self.client.store = self.there
        self.client._breaker.succeeded()


def is_asked(way, call):
    """Is the store asked for it, where it goes away in this way?"""
    if way == "memory":  # an object store, which is known to have its buckets
        return call not in (*BY_FOLDER, "sweep", "stat")
    return way != "another disk" or call not in LOOKED_AT


WAYS = ("nothing", "", "another disk", "a file", "memory")


@pytest.fixture
async def away(request, stores, tmp_path, monkeypatch):
    """``with away as store``: one in which something is, while it is away."""
    folder = tmp_path / "root"
    folder.mkdir()
    kind = "memory" if request.param == "memory" else "local"
    made = stores(kind)(folder)
    await made.create("photos")
    await put(made, "dir/a", b"data")
    await put(made, "buckets/photos.json", b"{}", bucket=INTERNAL)
    if kind == "memory":
        return Refusing(made, monkeypatch)
    return Gone(made, folder, "" if request.param == "nothing" else request.param or "empty")


@pytest.mark.parametrize(
    ("away", "call"),
    [(way, call) for way in WAYS for call in (*AWAY, *BY_FOLDER) if is_asked(way, call)],
    indirect=["away"],
)
async def test_what_is_away_is_not_empty(away, call):
    local = isinstance(away, Gone)
    before = await away.store.stat("photos", "dir/a")
    with away as store:
        with pytest.raises(OssError) as caught:
            await (AWAY | BY_FOLDER)[call](store)
        assert caught.value.status in ((503,) if local else (502, 504)), caught.value
        assert int(caught.value.headers["Retry-After"]) >= 1
        assert str(away.folder if local else "127") not in caught.value.message
        if local:
            assert str(away.folder) in store.away
    assert store.away == ""
    assert await store.stat("photos", "dir/a") == before
    assert await content(store, "dir/a") == b"data"
    assert [name for name, _ in await store.buckets()] == ["photos"]


# -- listings against a model ----------------------------------------------------------------------


def model(names, prefix, delimiter, after):
    """What a listing has, said in the simplest way."""
    found = set()
    for key in names:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key if at < 0 else key[: at + len(delimiter)])
    return sorted((one for one in found if one.encode() > after.encode()), key=str.encode)


part = st.text("ab.0-é西", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
names = st.lists(part, min_size=1, max_size=4).map("/".join)


def storable(found):
    """No name is an object and a folder."""
    return not any(one != other and other.startswith(f"{one}/") for one in found for other in found)


@given(
    found=st.sets(names, max_size=14).filter(storable),
    prefix=st.text("ab./0é", max_size=3),
    delimiter=st.sampled_from(["", "/", "b", "a/", "西", "."]),
    after=st.one_of(st.just(""), names, names.map(lambda name: f"{name}/")),
    limit=st.integers(1, 20),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", STORES[:2])
def test_lists_as_the_model_does(
    kind, stores, tmp_path_factory, found, prefix, delimiter, after, limit
):
    async def check():
        store = stores(kind)(tmp_path_factory.mktemp("list"))
        await store.create("photos")
        for key in found:
            await put(store, key, key.encode())
        options = {"prefix": prefix, "delimiter": delimiter, "after": after, "limit": limit}
        assert await keys(store, **options) == model(found, prefix, delimiter, after)
        page = await store.list("photos", limit=limit)
        assert len(page.objects) == min(limit, len(found))
        for key, item in page.objects:
            assert item == await store.stat("photos", key)

    asyncio.run(check())


@given(
    objects=st.dictionaries(names, st.binary(max_size=50), max_size=8).filter(
        lambda found: storable(found)
    )
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", STORES[:2])
def test_put_list_open_is_the_identity(kind, stores, tmp_path_factory, objects):
    async def check():
        store = stores(kind)(tmp_path_factory.mktemp("identity"))
        await store.create("photos")
        for key, data in objects.items():
            await put(store, key, data)
        listed = await keys(store, limit=3)
        assert listed == sorted(objects, key=str.encode)
        for key in listed:
            assert await content(store, key) == objects[key]
            await store.delete("photos", key)
        assert await store.list("photos", limit=1) == Page([], [], "")

    asyncio.run(check())


async def test_a_large_folder_in_pages(store):
    chance = random.Random(1)
    wanted = sorted(f"{chance.randrange(10**9):x}" for _ in range(250))
    for key in wanted:
        await put(store, f"dir/{key}", b"")
    assert await keys(store, limit=70) == [f"dir/{key}" for key in wanted]
    assert await keys(store, delimiter="/", limit=1) == ["dir/"]


LISTINGS = [
    # prefix, delimiter, after
    ("", "", ""),
    ("", "/", ""),
    ("", "/", "a/"),
    ("", "/", "a/x"),
    ("a", "", ""),
    ("a", "", "a/"),
    ("a/", "/", ""),
    ("a/1", "", "a/10"),
    ("a/b/", "/", "a/b/1"),
    ("a0", "", ""),
    ("b", "0", ""),
    ("", "b", "a//x"),
    ("é", "/", ""),
    ("西", "", "é"),
    ("../", "/", ""),
    ("a//", "", ""),
    ("x", "", "\x01"),
    ("", "", "zz"),
]


@pytest.fixture
async def listed(store):
    """A store with some objects in it, and their keys."""
    found = [
        "a.b",
        "a/1",
        "a/10",
        "a/2",
        "a/b/1",
        "a/b/2",
        "a0",
        "b0c",
        "b0d",
        "é/1",
        "é/2",
        "西湖",
    ]
    for key in found:
        await put(store, key, key.encode())
    return store, found


@pytest.mark.parametrize("store", ["seaweedfs"], indirect=True)
async def test_lists_all_whatever_the_stores_order(listed):
    """SeaweedFS has ``a/b`` before ``a.b``."""
    store, found = listed
    for prefix, delimiter, _ in LISTINGS:
        for limit in (1, 2, 20):
            options = {"prefix": prefix, "delimiter": delimiter, "after": "", "limit": limit}
            listed = await keys(store, **options)
            assert sorted(listed, key=str.encode) == model(found, prefix, delimiter, ""), options


@pytest.mark.parametrize("store", STORES[:-1], indirect=True)
async def test_lists_by_rows(listed):
    store, found = listed
    for prefix, delimiter, after in LISTINGS:
        for limit in (1, 2, 20):
            options = {"prefix": prefix, "delimiter": delimiter, "after": after, "limit": limit}
            expected = model(found, prefix, delimiter, after)
            assert await keys(store, **options) == expected, options
    for key, item in (await store.list("photos", limit=20)).objects:
        assert item == await store.stat("photos", key)
