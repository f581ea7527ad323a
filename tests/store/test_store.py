"""What every store does, whatever it is made of: put, look, list, describe, take away.

A further store is one more kind in ``support/objectstores.py``; real ones over HTTP are tried in
``tests/e2e/store``.
"""

import asyncio
import shutil
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import times
from support.origins import origin
from support.store_conformance import (
    FULL,
    READ,
    EveryReader,
    EveryStore,
    FlatNames,
    OrderedListing,
    content,
    keys,
    model,
    put,
)
from support.store_conformance import listed as listed  # fixtures of the classes
from support.store_conformance import store as store

from vipsgate.buckets import INTERNAL
from vipsgate.errors import (
    InvalidObjectName,
    OssError,
)
from vipsgate.outgoing.client import Client
from vipsgate.store.base import Page
from vipsgate.store.remote import client
from vipsgate.store.remote.http_client import HttpClient
from vipsgate.store.remote.http_store import HttpReader, HttpStore

# a folder, the same in threads, and obstore's own store in memory
STORES = ("local", "threaded", "memory")


@pytest.mark.parametrize("store", STORES, indirect=True)
class TestEveryStore(EveryStore):
    pass


@pytest.fixture
async def filled(request, stores, tmp_path):
    """A store that has what :data:`READ` says, and what changes it from outside."""
    if request.param != "http":
        made = stores(request.param)(tmp_path)
        await made.create("photos")

        async def change(key, data):
            await (made.delete("photos", key) if data is None else put(made, key, data))

        for key, data in READ.items():
            await change(key, data)
        yield made, change
        return
    async with origin() as server:

        async def change(key, data):
            target = "/pre/" + quote(key, safe="/+&")
            server.files.pop(target, None)
            server.files |= {} if data is None else {target: data}

        for key, data in READ.items():
            await change(key, data)
        http = Client([server.host], 5)
        reader = HttpReader(HttpClient(http, f"{server.url}pre"), 0, 0)
        yield HttpStore(reader, "photos", 1 << 20), change
        await http.close()


@pytest.mark.parametrize("filled", [*STORES, "http"], indirect=True)
class TestEveryReader(EveryReader):
    pass


@pytest.mark.parametrize("store", ["memory"], indirect=True)
class TestFlatNames(FlatNames):
    pass


@pytest.mark.parametrize("store", STORES, indirect=True)
class TestOrderedListing(OrderedListing):
    pass


@pytest.mark.parametrize("store", ["local", "threaded"], indirect=True)
async def test_names_that_a_disk_cannot_have(store):
    await put(store, "a/b", b"")
    for key in (
        "n" * 256,
        f"{'n' * 256}/a",
        "a//b",
        "a//",
        "/",
        ".vipsgate/",
        "a/.vipsgate/object",
    ):
        with pytest.raises(InvalidObjectName):
            await put(store, key, b"")
    assert await keys(store, limit=9) == ["a/b"]


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
        monkeypatch.setattr(client, "MAX_TRIES", 0)  # tests/e2e/store has it try again
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


part = st.text("ab.0- é西", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
names = st.lists(part, min_size=1, max_size=4).map("/".join)
few = st.lists(st.sampled_from(["a", "b", "a.b", "a-"]), min_size=1, max_size=3).map("/".join)
# some of them are objects and folders; in an object store blanks are names of folder objects
any_names = st.one_of(
    names, names.map("{}/".format), few, few.map("{}/".format), few.map("{}/ ".format)
)


@given(
    found=st.sets(any_names, max_size=14),
    prefix=st.text("ab./0é", max_size=3),
    delimiter=st.sampled_from(["", "/", "b", "a/", "西", "."]),
    after=st.one_of(st.just(""), any_names, any_names.map(lambda name: f"{name}/")),
    limit=st.integers(1, 20),
)
@settings(max_examples=times(150), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", ["local", "memory"])
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
    steps=st.lists(st.tuples(any_names, st.none() | st.binary(max_size=50)), max_size=12),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=times(100), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_put_list_open_is_the_identity(kind, stores, tmp_path_factory, steps, chance):
    """Whatever is put, replaced and taken away (``None``), in whatever order."""

    async def check():
        store = stores(kind)(tmp_path_factory.mktemp("identity"))
        await store.create("photos")
        objects = {}
        for key, data in steps:
            if data is None:
                await store.delete("photos", key)
                objects.pop(key, None)
            else:
                made = await put(store, key, data)
                assert made == await store.stat("photos", key)
                objects[key] = data
        listed = await keys(store, limit=3)
        assert listed == sorted(objects, key=str.encode)
        chance.shuffle(listed)
        for key in listed:
            assert await content(store, key) == objects[key]
            await store.delete("photos", key)
        assert await store.list("photos", limit=1) == Page([], [], "")
        await store.remove("photos")

    asyncio.run(check())


@given(
    steps=st.lists(st.tuples(any_names, st.none() | st.binary(max_size=50)), max_size=12),
)
@settings(max_examples=times(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_mark_tells_each_object_of_a_folder(stores, tmp_path_factory, steps):
    """The mark of a key stays equal while its object stays the same, and no longer."""

    async def check():
        store = stores("local")(tmp_path_factory.mktemp("marks"))
        await store.create("photos")
        marks = {}
        for key, data in steps:
            if data is None:
                await store.delete("photos", key)
            else:
                await put(store, key, data)
            mark = store.fingerprint("photos", key)
            assert (mark in ((), None)) == (data is None)
            assert marks.get(key) != mark or data is None
            marks[key] = mark

    asyncio.run(check())
