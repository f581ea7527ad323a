"""Bucket documents in the store: read, refused, followed, changed by many at once."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate import documents
from vipsgate.buckets import Bucket, Protection, ProtectionRule, RefererPolicy, Style
from vipsgate.documents import CLOSED, DocumentError, Documents
from vipsgate.errors import InvalidArgument, NoSuchKey, ServiceUnavailable
from vipsgate.house import House
from vipsgate.image.config import Limits
from vipsgate.settings import Settings
from vipsgate.store.local import LocalStore

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


async def test_too_large_is_broken(shelf):
    shelf.put("one.json", '{"cache_control": "' + "x" * documents.MOST_BYTES + '"}')
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
    monkeypatch.setattr(documents, "LOOK", 0.01)
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


async def test_the_document_is_no_object(shelf):
    shelf.put("one.json", "{}")
    with pytest.raises(NoSuchKey):
        await shelf.store.stat("one", "../.vipsgate/buckets/one.json")


async def test_a_domain_is_of_one_bucket(shelf):
    shelf.put("one.json", '{"domains": ["a.example.com", "b.example.com"]}')
    shelf.put("two.json", '{"domains": ["b.example.com", "c.example.com"]}')
    await shelf.documents.look()
    house = House(Settings(), shelf.store, None, shelf.documents)
    house.furnish(Settings(buckets={"own": Bucket(domains=("c.example.com",))}))
    assert house.domains == {
        "a.example.com": "one",
        "b.example.com": "one",
        "c.example.com": "own",
    }
    assert house.faults == {"two": "domains: 'c.example.com' is that of bucket own"}
    shelf.put("two.json", "{}")
    await shelf.documents.look()
    house.name_domains()
    assert house.faults == {}
