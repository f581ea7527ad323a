"""Bucket documents in the store: read, refused, followed, changed by many at once."""

import asyncio
import errno
import os

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.buckets import INTERNAL, Bucket, Protection, ProtectionRule, RefererPolicy, Style
from vipsgate.catalog import documents
from vipsgate.catalog.documents import CLOSED, DocumentError, Documents
from vipsgate.catalog.registry import Registry
from vipsgate.errors import (
    AccessDenied,
    BadGateway,
    InvalidArgument,
    NoSuchKey,
    ServiceUnavailable,
)
from vipsgate.image.config import Limits
from vipsgate.store.base import Page
from vipsgate.store.local.store import LocalStore
from vipsgate.store.remote.client import StoreClient
from vipsgate.store.remote.objects import RemoteObjects as Objects
from vipsgate.store.remote.store import CloudStore

LIMITS = Limits()
NEVER = Limits(actions=1)


def read(text):
    return documents.read(text if isinstance(text, bytes) else text.encode(), LIMITS)


READS = {
    "{}": Bucket(),
    '{"acl": "public-read"}': Bucket(acl="public-read"),
    '{"styles": {"a": "image/crop"}}': Bucket(styles={"a": Style(content="image/crop")}),
    '{"styles": {"a": {"content": "image/crop", "created": 5, "modified": 6}}}': Bucket(
        styles={"a": Style(content="image/crop", created=5, modified=6)}
    ),
    '{"domains": ["IMG.example.com."]}': Bucket(domains=("img.example.com",)),
    '{"origin": "s3://box/x", "delay_ms": 0}': Bucket(origin="s3://box/x"),
    '{"delay_ms": 0.5, "error_rate": 1, "origin": "synthetic"}': Bucket(
        origin="synthetic", delay_ms=0.5, error_rate=1
    ),
    '{"cors": [{"allowed_origins": ["*"], "allowed_methods": ["GET"], "max_age_seconds": 0}]}': (
        Bucket(cors=[{"allowed_origins": ["*"], "allowed_methods": ["GET"], "max_age_seconds": 0}])
    ),
    '{"keep_metadata": ["icc", "copyright"]}': Bucket(keep_metadata=("icc", "copyright")),
    '{"timing_allow_origin": ["*"], "cross_origin_resource_policy": "same-site"}': Bucket(
        timing_allow_origin=("*",), cross_origin_resource_policy="same-site"
    ),
}
REFUSES = {
    # what, part of the message: key and value
    "": "is not JSON",
    "[]": "Input should be",
    "\xff": "is not JSON",
    '{"acl": "open"}': "acl = 'open': Input should be",
    '{"acls": "private"}': "acls: Extra inputs",
    '{"styles": {"a b": "image/crop"}}': "a b",
    '{"styles": {"a": "image/slim"}}': "styles.a = 'image/slim': The action: slim",
    '{"styles": {"a": {"content": "image/crop", "by": "me"}}}': "styles.a",
    '{"styles": {"a": 5}}': "styles.a = 5",
    '{"separators": ["?"]}': "separators.0 = '?'",
    '{"protection": {"rules": [{}]}}': "protection.rules.0",
    '{"referer": {"allow_empty": "perhaps"}}': "referer.allow_empty = 'perhaps'",
    '{"cors": [{"allowed_methods": ["GET"]}]}': "cors.0.allowed_origins: Field required",
    '{"cors": [{"allowed_origins": ["*.*"], "allowed_methods": ["GET"]}]}': (
        "cors.0.allowed_origins.0 = '*.*': Value error, expects one word"
    ),
    '{"keep_metadata": ["gps"]}': "keep_metadata.0 = 'gps'",
    '{"timing_allow_origin": ["a"]}': "timing_allow_origin.0 = 'a': Value error, expects an origin",
    '{"cross_origin_resource_policy": "x"}': "cross_origin_resource_policy = 'x'",
    '{"origin": "Synthetic"}': "origin = 'Synthetic': Value error, is s3://BUCKET/PREFIX",
    '{"delay_ms": 5}': "delay_ms = 5: Value error, is only for a bucket with origin = ",
    '{"origin": "s3://box/x", "error_rate": 0.5}': "error_rate = 0.5: Value error, is only for",
    '{"origin": "synthetic", "delay_ms": 60001}': "delay_ms = 60001: Input should be less than",
    '{"origin": "synthetic", "delay_ms": -1}': "delay_ms = -1: Input should be greater than",
    '{"origin": "synthetic", "error_rate": 1.01}': "error_rate = 1.01: Input should be less than",
    '{"origin": "synthetic", "error_rate": "often"}': "error_rate = 'often'",
}


@pytest.mark.parametrize("text", READS)
def test_reads(text):
    assert read(text) == READS[text]


@pytest.mark.parametrize("text", REFUSES)
def test_refuses(text):
    with pytest.raises(DocumentError) as caught:
        read(text.encode("latin-1"))
    assert REFUSES[text] in str(caught.value)


buckets = st.builds(
    Bucket,
    acl=st.sampled_from(["private", "public-read", "public-read-write"]),
    separators=st.lists(st.sampled_from(["-", "_", "/", "!", "@!"])).map(tuple),
    cache_control=st.from_regex("[ -~]{0,20}", fullmatch=True),
    styles=st.dictionaries(
        st.from_regex(r"[0-9A-Za-z_.-]{1,64}", fullmatch=True),
        st.builds(Style, content=st.just("image/crop,w_9"), created=st.sampled_from([0, 5.25])),
        max_size=5,
    ),
    protection=st.builds(
        Protection,
        enabled=st.booleans(),
        rules=st.lists(st.builds(ProtectionRule, prefix=st.text("ab/", min_size=1))).map(
            lambda rules: tuple(rules[:10])
        ),
    ),
    referer=st.builds(RefererPolicy, whitelist=st.lists(st.text(max_size=9)).map(tuple)),
)


@given(buckets)
def test_what_is_written_is_read_again(bucket):
    assert documents.read(documents.write(bucket), LIMITS) == bucket


def test_what_is_written_is_for_people():
    bucket = Bucket(acl="public-read", styles={"a": Style(content="image/crop")})
    assert orjson.loads(documents.write(bucket)) == {
        "acl": "public-read",
        "styles": {"a": "image/crop"},
    }


class Shelf:
    """A root folder with documents, and who looks at it."""

    def __init__(self, root):
        self.folder = root / ".vipsgate" / "buckets"
        self.folder.mkdir(parents=True)
        self.store = LocalStore(root)
        self.documents = self.another()

    def another(self, limits=LIMITS):
        return Documents(self.store, limits)

    def put(self, name, text):
        self.folder.mkdir(parents=True, exist_ok=True)  # it goes with the last document
        (self.folder / name).write_text(text)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


async def test_looks_again_at_what_has_changed(shelf):
    shelf.put("one.json", '{"acl": "public-read"}')
    shelf.put("notes.txt", "not ours")
    shelf.put("No.json", "{}")  # no bucket can have this name
    known = shelf.documents.known
    await shelf.documents.look()
    assert known == {"one": Bucket(acl="public-read")}
    shelf.put("one.json", '{"acl": "private"}')
    shelf.put("two.json", "{}")
    await shelf.documents.look()
    assert known == {"one": Bucket(acl="private"), "two": Bucket()}
    (shelf.folder / "one.json").unlink()
    await shelf.documents.look()
    assert known == {"two": Bucket()}


async def test_a_broken_one_changes_nothing_and_is_told_of(shelf):
    shelf.put("one.json", '{"acl": "public-read"}')
    await shelf.documents.look()
    shelf.put("one.json", '{"acl": "open"}')
    await shelf.documents.look()
    assert shelf.documents.known == {"one": Bucket(acl="public-read")}
    assert "acl = 'open'" in shelf.documents.faults["one"]
    shelf.put("one.json", '{"acl": "private"}')
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == ({"one": Bucket()}, {})


async def test_one_that_was_never_good_closes_the_bucket(shelf):
    shelf.put("one.json", "{")
    await shelf.documents.look()
    assert shelf.documents.known == {"one": CLOSED}
    assert CLOSED.acl == "private"
    with pytest.raises(ServiceUnavailable, match="broken"):
        await shelf.documents.change("one", lambda bucket: Bucket())
    (shelf.folder / "one.json").unlink()
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == ({}, {})


PRIVATE = '{"acl": "private", "protection": {"enabled": true, "extensions": ["jpg"]}}'


@pytest.mark.parametrize("text", [PRIVATE[:end] for end in range(len(PRIVATE))])
async def test_one_that_is_cut_changes_nothing(shelf, text):
    """Also one that is empty."""
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    before = dict(shelf.documents.known)
    shelf.put("one.json", text)
    await shelf.documents.look()
    assert shelf.documents.known == before
    assert shelf.documents.faults
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == (before, {})


async def test_one_that_is_gone_stays_in_force_while_its_bucket_is_there(shelf, caplog):
    await shelf.store.create("one")
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    before, version = dict(shelf.documents.known), shelf.documents.version
    (shelf.folder / "one.json").unlink()
    for _ in range(3):
        await shelf.documents.look()
        assert shelf.documents.known == before
        assert "its document was deleted" in shelf.documents.faults["one"]
    assert shelf.documents.version == version
    assert caplog.text.count("its document was deleted") == 1
    shelf.put("one.json", "{")  # a broken one does not make it good
    await shelf.documents.look()
    assert shelf.documents.known == before
    assert "is not JSON" in shelf.documents.faults["one"]
    shelf.put("one.json", "{}")
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == ({"one": Bucket()}, {})


async def test_one_that_comes_back_as_it_was(shelf):
    await shelf.store.create("one")
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    aside = shelf.folder.with_name("aside")
    shelf.folder.rename(aside)  # all of them at once
    await shelf.documents.look()
    assert shelf.documents.faults
    aside.rename(shelf.folder)
    await shelf.documents.look()
    assert shelf.documents.faults == {}


async def test_one_that_is_gone_is_written_again_by_a_change(shelf):
    await shelf.store.create("one")
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    (shelf.folder / "one.json").unlink()
    for looked in (False, True):
        if looked:
            await shelf.documents.look()
        made = await shelf.documents.change("one", styled("a"))
        assert made.protection.enabled
        assert shelf.documents.faults == {}
        other = shelf.another()
        await other.look()
        assert other.known == {"one": made}
        (shelf.folder / "one.json").unlink()


async def test_one_whose_bucket_is_gone_is_forgotten(shelf):
    """As by DeleteBucket on another node; the next of that name has its own."""
    await shelf.store.create("one")
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    other = shelf.another()
    await other.look()
    await shelf.store.remove("one")
    await other.remove("one")
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == ({}, {})
    # gone and there again before anybody has looked
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    await other.remove("one")
    await shelf.store.create("one")
    await shelf.documents.look()
    assert shelf.documents.known["one"].protection.enabled
    await other.change("one", styled("b"))
    await shelf.documents.look()
    assert shelf.documents.known == other.known
    assert shelf.documents.faults == {}
    # and whose bucket goes after it
    (shelf.folder / "one.json").unlink()
    await shelf.documents.look()
    await shelf.store.remove("one")
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == ({}, {})


@pytest.mark.parametrize("instead", [False, True])
async def test_while_the_store_is_away_nothing_is_forgotten(shelf, tmp_path, instead):
    await shelf.store.create("one")
    shelf.put("one.json", PRIVATE)
    await shelf.documents.look()
    before = dict(shelf.documents.known)
    aside = tmp_path.with_name(f"{tmp_path.name}-aside")
    tmp_path.rename(aside)
    if instead:  # as below a disk that is not mounted
        (tmp_path / "one").mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await shelf.documents.look()
        with pytest.raises(ServiceUnavailable):
            await shelf.documents.change("one", styled("a"))
        assert (shelf.documents.known, shelf.documents.faults) == (before, {})
    if instead:
        (tmp_path / "one").rmdir()
        assert not list(tmp_path.iterdir())
    aside.rename(tmp_path)
    await shelf.documents.look()
    assert (shelf.documents.known, shelf.documents.faults) == (before, {})


@pytest.fixture
def nodes():
    """Two nodes on one object store, with documents and the bucket ``one``."""
    from obstore.store import MemoryStore

    client = MemoryStore()
    stores = [CloudStore(Objects(StoreClient(client, 10), 0, 0), kind="memory") for _ in range(2)]
    return stores, [Documents(store, LIMITS) for store in stores]


async def test_in_an_object_store_too(nodes):
    (here, there), (mine, theirs) = nodes
    await there.create("one")
    await theirs.change("one", styled("a"))
    await mine.look()
    before = dict(mine.known)
    assert before == theirs.known
    await there.delete(INTERNAL, "buckets/one.json")  # by hand
    for _ in range(2):
        await mine.look()
        assert (mine.known, list(mine.faults)) == (before, ["one"])
    await mine.change("one", styled("b"))
    await theirs.look()
    assert sorted(theirs.known["one"].styles) == ["a", "b"]
    assert mine.faults == theirs.faults == {}
    # DeleteBucket on another node is seen with the document, though buckets are asked for rarely
    await there.remove("one")
    await theirs.remove("one")
    await mine.look()
    assert (mine.known, mine.faults, here.has("one")) == ({}, {}, False)
    await there.create("one")
    await theirs.change("one", styled("c"))
    await mine.look()
    assert mine.known == theirs.known


async def test_no_bucket_of_an_object_store_is_known_before_its_document(nodes, monkeypatch):
    """Also where the store has seemed to be empty for a moment."""
    (here, there), (mine, theirs) = nodes
    await there.create("one")
    await theirs.change("one", styled("a"))
    await mine.look()
    real = here.list

    async def watched(*args, **options):
        assert not here.has("one") or "one" in mine.known
        return await real(*args, **options)

    async def empty(*args, **options):
        return Page([], [], "")

    async def none():
        return []

    with monkeypatch.context() as patch:
        patch.setattr(here, "list", empty)
        patch.setattr(here, "_names", none)
        await mine.look()
    assert (mine.known, here.has("one")) == ({}, False)
    here._looked = -1e9  # it is time to ask for the buckets again
    monkeypatch.setattr(here, "list", watched)
    await mine.look()
    assert mine.known == theirs.known
    assert here.has("one")


async def test_an_object_store_that_cannot_be_had_loses_nothing(nodes, monkeypatch):
    (here, there), (mine, theirs) = nodes
    await there.create("one")
    await theirs.change("one", styled("a"))
    await mine.look()
    before = dict(mine.known)

    async def away(*args, **options):
        raise BadGateway("away")

    for call in ("list", "buckets"):
        with monkeypatch.context() as patch:
            patch.setattr(here, call, away)
            if call == "buckets":  # nobody can tell whether the bucket is there
                await there.delete(INTERNAL, "buckets/one.json")
            with pytest.raises(BadGateway):
                await mine.look()
        assert (mine.known, mine.faults) == (before, {})


async def test_one_that_may_not_be_read_is_a_broken_one(shelf, monkeypatch):
    for name in ("one", "two"):
        shelf.put(f"{name}.json", '{"acl": "public-read"}')
    real = shelf.store.open

    async def refuse(bucket, key):
        if key.endswith("one.json"):
            raise AccessDenied("no right")
        return await real(bucket, key)

    monkeypatch.setattr(shelf.store, "open", refuse)
    await shelf.documents.look()
    assert shelf.documents.known == {"one": CLOSED, "two": Bucket(acl="public-read")}
    assert shelf.documents.faults == {"one": "no right"}


async def test_too_large_is_broken(shelf):
    shelf.put("one.json", '{"cache_control": "' + "x" * documents.MAX_BYTES + '"}')
    await shelf.documents.look()
    assert "bytes" in shelf.documents.faults["one"]


async def test_other_limits_may_mend_a_broken_one(shelf):
    shelf.put("one.json", '{"styles": {"a": "image/crop/crop"}}')
    documents = shelf.another(NEVER)
    await documents.look()
    assert documents.faults
    documents.adopt(LIMITS)
    await documents.look()
    assert not documents.faults
    assert documents.known["one"].styles


def styled(name):
    """An edit that adds a style."""

    def edit(bucket):
        bucket = bucket or Bucket()
        styles = {**bucket.styles, name: Style(content="image/crop")}
        return bucket.model_copy(update={"styles": styles})

    return edit


async def test_a_change_is_there_at_once_and_seen_by_others(shelf):
    made = await shelf.documents.change("one", styled("a"))
    assert shelf.documents.known == {"one": made}
    other = shelf.another()
    await other.look()
    assert other.known == {"one": made}
    await other.remove("one")
    await shelf.documents.look()
    assert shelf.documents.known == {}


async def test_no_change_is_lost(shelf):
    instances = [shelf.documents, shelf.another(), shelf.another()]
    names = [f"s{number}" for number in range(12)]
    await asyncio.gather(
        *(instances[number % 3].change("one", styled(name)) for number, name in enumerate(names))
    )
    await shelf.documents.look()
    assert sorted(shelf.documents.known["one"].styles) == sorted(names)


async def test_an_edit_that_refuses_changes_nothing(shelf):
    def edit(bucket):
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        await shelf.documents.change("one", edit)
    assert shelf.documents.known == {}


async def test_follows_and_survives_a_store_that_is_away(shelf, monkeypatch):
    monkeypatch.setattr(documents, "POLL_INTERVAL", 0.01)
    seen = asyncio.Event()
    following = asyncio.create_task(shelf.documents.follow(seen.set))
    real = shelf.store.list

    async def away(*args, **options):
        raise ServiceUnavailable("away")

    monkeypatch.setattr(shelf.store, "list", away)
    await seen.wait()
    monkeypatch.setattr(shelf.store, "list", real)
    shelf.put("one.json", "{}")
    async with asyncio.timeout(5):
        while "one" not in shelf.documents.known:
            await asyncio.sleep(0.01)
    following.cancel()


async def test_follows_on_behind_a_fault_of_ours(shelf, monkeypatch, caplog):
    monkeypatch.setattr(documents, "POLL_INTERVAL", 0.01)
    seen = asyncio.Event()
    real = shelf.store.list

    async def faulty(*args, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(shelf.store, "list", faulty)
    following = asyncio.create_task(shelf.documents.follow(seen.set))
    await seen.wait()
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(shelf.store, "list", real)
    shelf.put("one.json", "{}")
    async with asyncio.timeout(5):
        while "one" not in shelf.documents.known:
            await asyncio.sleep(0.01)
    following.cancel()


async def test_a_disk_that_cannot_be_read_is_no_fault_of_ours(shelf, monkeypatch):
    shelf.put("one.json", "{}")

    def broken(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(ServiceUnavailable, match="Input/output error"):
        await shelf.documents.look()


async def test_the_document_is_no_object(shelf):
    shelf.put("one.json", "{}")
    with pytest.raises(NoSuchKey):
        await shelf.store.stat("one", "../.vipsgate/buckets/one.json")


async def test_a_domain_is_of_one_bucket(shelf):
    shelf.put("one.json", '{"domains": ["a.example.com", "b.example.com"]}')
    shelf.put("two.json", '{"domains": ["b.example.com", "c.example.com"]}')
    await shelf.documents.look()
    registry = Registry(shelf.store, shelf.documents)
    own = Bucket(domains=("c.example.com",))
    registry.adopt({"own": own}, Bucket(), Limits())
    assert registry.domains == {
        "a.example.com": "one",
        "b.example.com": "one",
        "c.example.com": "own",
    }
    assert registry.faults == {"two": "domains: 'c.example.com' is that of bucket own"}
    shelf.put("two.json", "{}")
    await shelf.documents.look()
    registry.refresh()
    assert registry.faults == {}
