"""What every store does, whatever it is made of: put, look, list, describe, take away.

A module of tests takes the classes that hold of its stores, and names these: see
``tests/store/test_store.py`` and ``tests/e2e/store/test_store.py``.
"""

import asyncio
import hashlib
import os
import random
from contextlib import closing

import fastcrc
import pytest

from vipsgate.buckets import INTERNAL, LifecycleRule
from vipsgate.catalog import lifecycle, uploads
from vipsgate.errors import (
    BucketNotEmpty,
    InvalidObjectName,
    NoSuchBucket,
    NoSuchKey,
    PreconditionFailed,
)
from vipsgate.store.base import PLAIN, Properties

FULL = Properties(
    content_type="text/x-odd",
    acl="private",
    headers={"cache-control": "no-cache", "expires": "Thu, 01 Jan 2026 00:00:00 GMT"},
    meta={"author": "西湖", "empty": ""},
    kind="Multipart",
    tags={"a b": "1", "西": ""},
    target="dir/西 湖.jpg",  # of a symlink
)
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
async def store(request, stores, tmp_path):
    made = stores(request.param)(tmp_path)
    await made.create("photos")
    return made


@pytest.fixture
async def listed(store):
    """A store with some objects in it, and their keys."""
    found = [
        "a.b",
        "a/",
        "a/1",
        "a/10",
        "a/2",
        "a/b/",
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


def model(names, prefix, delimiter, after):
    """What a listing has, said in the simplest way."""
    found = set()
    for key in names:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key if at < 0 else key[: at + len(delimiter)])
    return sorted((one for one in found if one.encode() > after.encode()), key=str.encode)


READ = {  # what a store that is read has
    "a": b"one",
    "dir/a": b"two",
    "dir/sub/西 湖+%25?#&.jpg": bytes(range(256)) * 500,
    "empty": b"",
}


class EveryReader:
    """What holds of every store that is read, whoever writes it.

    ``filled`` is one that has what :data:`READ` says, ``change`` puts other bytes under a key, or
    with ``None`` takes it away.
    """

    async def test_what_is_there_is_read(self, filled):
        store, _ = filled
        for key, data in READ.items():
            info = await store.stat("photos", key)
            with closing(await store.open("photos", key)) as opened:
                assert (opened.object, opened.read()) == (info, data)
            assert info.size == len(data)
            assert info.etag[0] == info.etag[-1] == '"'
            assert await store.stat("photos", key) == info
            if ranged := store.ranged("photos"):
                for span in (range(len(data)), range(1, len(data) - 1), range(0)):
                    pieces = await ranged.read("photos", key, info, span)
                    found = b"".join([piece async for piece in pieces])
                    assert found == data[span.start : max(span.start, span.stop)]
        tags = [(await store.stat("photos", key)).etag for key in READ]
        assert len(set(tags)) == len(tags)
        assert store.has("photos")
        assert [name for name, _ in await store.buckets()] == ["photos"]

    async def test_what_is_not_there_is_not_read(self, filled):
        store, _ = filled
        for key in ("b", "dir/b", "dirs/a", "empty/a", "../photos/b"):
            with pytest.raises(NoSuchKey):
                await store.stat("photos", key)
            with pytest.raises(NoSuchKey):
                await store.open("photos", key)
        for key in (".vipsgate/buckets/photos.json", ".vipsgate/a", "dir/.vipsgate/a"):
            with pytest.raises(NoSuchKey):
                await store.stat("photos", key)

    async def test_another_version_is_another_one(self, filled):
        store, change = filled
        before = await store.stat("photos", "dir/a")
        with closing(await store.open("photos", "dir/a")) as opened:
            await change("dir/a", b"2nd")
            after = await store.stat("photos", "dir/a")
            assert (after.size, after.etag == before.etag) == (3, False)
            assert opened.read() == b"two"  # what is open stays what it was
        assert await content(store, "dir/a") == b"2nd"
        if ranged := store.ranged("photos"):
            with pytest.raises(PreconditionFailed):
                await ranged.read("photos", "dir/a", before, range(1, 2))
        await change("dir/a", None)
        with pytest.raises(NoSuchKey):
            await store.open("photos", "dir/a")
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "dir/a")
        assert await content(store, "a") == b"one"

    async def test_many_read_at_once(self, filled):
        store, _ = filled
        key = "dir/sub/西 湖+%25?#&.jpg"
        found = await asyncio.gather(*(content(store, key) for _ in range(20)))
        assert set(found) == {READ[key]}


class EveryStore:
    """What holds of every store."""

    async def test_what_is_put_is_there(self, store):
        data = os.urandom(3 << 20)
        made = await put(store, "dir/西 湖+%.jpg", data, FULL)
        assert made == await store.stat("photos", "dir/西 湖+%.jpg")
        assert (made.size, made.properties) == (len(data), FULL)
        assert made.etag == f'"{hashlib.md5(data).hexdigest().upper()}"'
        assert made.crc == fastcrc.crc64.xz(data)
        assert made.md5 == hashlib.md5(data).hexdigest().upper()
        assert await content(store, "dir/西 湖+%.jpg") == data
        assert (await put(store, "empty", b"")).size == 0

    async def test_a_draft_tells_what_it_holds(self, store):
        data = os.urandom(300_000)
        await put(store, "source", data)
        async with store.draft("photos") as draft:
            await draft.write(b"123456789")
            assert (draft.size, draft.crc) == (9, 11051210869376104954)  # OSS guide's own vector
            assert draft.md5 == hashlib.md5(b"123456789").digest()
            with closing(await store.open("photos", "source")) as source:
                await draft.copy(source.descriptor, 1000, 200_000)
            made = await draft.keep("made", PLAIN, etag='"AB-2"')
        assert (made.etag, made.size, made.md5) == ('"AB-2"', 200_009, "")
        assert await content(store, "made") == b"123456789" + data[1000:201_000]

    async def test_what_is_not_kept_leaves_no_trace(self, store, tmp_path):
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

    async def test_what_is_open_stays_what_it_was(self, store):
        await put(store, "a", b"old")
        with closing(await store.open("photos", "a")) as opened:
            await put(store, "a", b"newer")
            assert opened.read() == b"old"
        assert await content(store, "a") == b"newer"

    async def test_what_is_read_again_is_what_was_marked(self, store):
        """Or nothing, where a store has nothing at once."""
        await put(store, "a", b"one")
        mark = store.fingerprint("photos", "a")
        at_once = store.reread("photos", "a", mark, 3)
        assert at_once in (None, b"one")
        assert store.reread("photos", "a", mark, 2) is None
        assert store.reread("photos", "b", mark, 3) is None
        await put(store, "a", b"two")
        assert store.reread("photos", "a", mark, 3) is None
        again = store.reread("photos", "a", store.fingerprint("photos", "a"), 3)
        assert again == (at_once and b"two")
        await store.delete("photos", "a")
        assert store.reread("photos", "a", mark, 3) is None
        assert store.reread("photos", "a", store.fingerprint("photos", "a"), 3) is None

    async def test_the_expected_one(self, store):
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

    async def test_of_many_only_one_makes_it(self, store):
        async def attempt(number):
            try:
                await put(store, "a", b"%d" % number, expected="")
            except PreconditionFailed:
                return False
            return True

        made = await asyncio.gather(*(attempt(number) for number in range(20)))
        assert sum(made) == 1
        assert await content(store, "a") == b"%d" % made.index(True)

    async def test_describes(self, store):
        made = await put(store, "a", b"data")
        told = await store.describe("photos", "a", FULL)
        assert told == await store.stat("photos", "a")
        assert (told.properties, told.etag, told.crc) == (FULL, made.etag, made.crc)
        assert told.modified == made.modified
        assert (await store.describe("photos", "a", PLAIN)).properties == PLAIN
        with pytest.raises(NoSuchKey):
            await store.describe("photos", "none", FULL)

    async def test_takes_away(self, store):
        await put(store, "dir/sub/a", b"")
        await put(store, "dir/b", b"")
        for _ in range(2):  # the second time it is gone already
            await store.delete("photos", "dir/sub/a")
        assert await keys(store, limit=9) == ["dir/b"]
        await store.delete("photos", "dir/b")
        await put(store, "dir", b"no folder any more")
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "dir/b")

    async def test_folder_objects_are_objects_like_others(self, store):
        """Put, looked at, described, read, replaced on a condition, listed, copied, taken away."""
        wanted = {key: key.encode() * 3 for key in ("dir/+", "dir/a", "dir/sub/", "dir/ ", "dir/")}
        for key, data in wanted.items():
            item = await put(store, key, data, FULL, expected="")
            assert item == await store.stat("photos", key)
            assert await store.describe("photos", key, PLAIN) == await store.stat("photos", key)
        first = await store.stat("photos", "dir/")
        with pytest.raises(PreconditionFailed):
            await put(store, "dir/", b"", expected="")
        wanted["dir/"] = b""
        await put(store, "dir/", b"", expected=first.etag)
        async with store.draft("photos") as draft:
            with closing(await store.open("photos", "dir/sub/")) as source:
                await draft.copy(source.descriptor, 0, source.object.size)
            await draft.keep("copy/", PLAIN)
        wanted["copy/"] = wanted["dir/sub/"]
        for limit in (1, 2, 9):
            assert await keys(store, limit=limit) == model(wanted, "", "", "")
            for prefix in ("", "dir", "dir/", "dir/ ", "dir/sub", "dir/sub/", "copy/", "dir//"):
                options = {"prefix": prefix, "delimiter": "/", "limit": limit}
                assert await keys(store, **options) == model(wanted, prefix, "/", ""), options
        assert await keys(store, after="dir/", limit=9) == model(wanted, "", "", "dir/")
        for key, data in wanted.items():
            assert await content(store, key) == data
        for key in sorted(wanted, reverse=True):
            await store.delete("photos", key)
            with pytest.raises(NoSuchKey):
                await store.stat("photos", key)
            del wanted[key]
            assert await keys(store, limit=9) == model(wanted, "", "", "")

    async def test_putting_and_taking_away_at_once(self, store):
        """A folder goes when it is empty, also while somebody is about to put something there."""

        async def work(number):
            for turn in range(30):
                await put(store, f"dir/sub/{number}", b"%d" % turn)
                assert await content(store, f"dir/sub/{number}") == b"%d" % turn
                await store.delete("photos", f"dir/sub/{number}")

        await asyncio.gather(*(work(number) for number in range(4)))
        assert await keys(store, limit=9) == []

    async def test_buckets(self, store):
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

    async def test_our_own_bucket(self, store):
        await put(store, "buckets/a.json", b"{}", bucket=INTERNAL)
        page = await store.list(INTERNAL, prefix="buckets/", limit=9)
        assert [key for key, _ in page.objects] == ["buckets/a.json"]
        assert INTERNAL not in [name for name, _ in await store.buckets()]
        for key in ("../.vipsgate/buckets/a.json", ".vipsgate/buckets/a.json"):
            with pytest.raises(NoSuchKey):
                await store.stat("photos", key)

    async def test_a_large_folder_in_pages(self, store):
        chance = random.Random(1)
        wanted = sorted(f"{chance.randrange(10**9):x}" for _ in range(250))
        for key in wanted:
            await put(store, f"dir/{key}", b"")
        assert await keys(store, limit=70) == [f"dir/{key}" for key in wanted]
        assert await keys(store, delimiter="/", limit=1) == ["dir/"]

    async def test_an_upload_in_parts(self, store):
        properties = Properties("a/b", kind="Multipart")
        upload = await uploads.begin(store, "photos", "dir/a", properties, 5.0)
        wanted, pieces = [], [b"1" * uploads.LEAST_BYTES, b"22"]
        for number, piece in enumerate(pieces, 1):
            async with store.draft(INTERNAL) as draft:
                await draft.write(piece)
                kept = await uploads.keep(store, upload, number, draft)
            wanted.append((number, kept.etag))
            assert kept.etag == f'"{hashlib.md5(piece).hexdigest().upper()}"'
        assert [
            (part.number, part.object.etag) for part in await uploads.parts(store, upload, limit=9)
        ] == wanted
        async with store.draft("photos") as draft:

            async def make(etag):
                return await draft.keep("dir/a", properties, etag=etag)

            made = await uploads.complete(store, upload, wanted, draft, make)
        assert made.etag.endswith('-2"')
        assert await store.stat("photos", "dir/a") == made
        assert await content(store, "dir/a") == b"".join(pieces)
        assert (await store.list(INTERNAL, prefix="uploads/", limit=9)).objects == []

    async def test_uploads_are_listed_by_pages_and_aborted_when_they_are_due(self, store):
        for key, begun in (("b", 1.0), ("a/1", 2.0), ("a/2", 3.0), ("西", 4.0), ("b", 5.0)):
            upload = await uploads.begin(store, "photos", key, PLAIN, begun)
            async with store.draft(INTERNAL) as draft:
                await draft.write(b"1")
                await uploads.keep(store, upload, 1, draft)
        seen, after, more = [], ("", ""), True
        while more:
            page = await uploads.page(
                store, "photos", prefix="", delimiter="/", after=after, limit=2
            )
            seen += [(key, begun if identity else 0.0) for key, identity, begun in page.rows]
            after, more = page.rows[-1][:2], page.more
        assert sorted(seen) == [("a/", 0.0), ("b", 1.0), ("b", 5.0), ("西", 4.0)]
        assert [key for key, _ in seen] == ["a/", "b", "b", "西"]

        rule = LifecycleRule(prefix="", abort_days=1)
        now = 3.0 + 86_400
        assert await lifecycle.sweep(store, {"photos": (rule,)}, now) == 3
        assert await lifecycle.sweep(store, {"photos": (rule,)}, now) == 0
        left = [upload.begun async for upload in uploads.under_way(store, "photos")]
        assert sorted(left) == [4.0, 5.0]
        page = await store.list(INTERNAL, prefix="uploads/", limit=99)
        assert len(page.objects) == 2 * len(left)

    async def test_one_instance_has_the_turn(self, store):
        turns = await asyncio.gather(*(lifecycle.take_turn(store, 9e8) for _ in range(4)))
        assert turns.count(True) == 1
        assert not await lifecycle.take_turn(store, 9e8 + lifecycle.INTERVAL - 1)
        assert await lifecycle.take_turn(store, 9e8 + lifecycle.INTERVAL)
        assert await lifecycle.take_turn(store, 8e8)  # the clock was wrong before


class FlatNames:
    """What holds of a store in which names are only names."""

    async def test_names_are_only_names(self, store):
        """Unlike on a disk, and as on OSS."""
        await put(store, "a", b"1")
        await put(store, "a/b", b"2")
        await put(store, "n" * 256, b"3")
        await put(store, "a/", b"3")
        assert await keys(store, limit=9) == ["a", "a/", "a/b", "n" * 256]
        assert [await content(store, key) for key in ("a", "a/b", "a/")] == [b"1", b"2", b"3"]
        for key in ("/a", "a//b", "./a", "a/..", "line\nbreak", "n" * 1024, ".vipsgate/a", "/"):
            with pytest.raises(InvalidObjectName):
                await put(store, key, b"")
            with pytest.raises(NoSuchKey):
                await store.stat("photos", key)


class OrderedListing:
    """What holds of a store that lists in the order of the bytes."""

    async def test_lists_by_rows(self, listed):
        store, found = listed
        for prefix, delimiter, after in LISTINGS:
            for limit in (1, 2, 20):
                options = {"prefix": prefix, "delimiter": delimiter, "after": after, "limit": limit}
                expected = model(found, prefix, delimiter, after)
                assert await keys(store, **options) == expected, options
        for key, item in (await store.list("photos", limit=20)).objects:
            assert item == await store.stat("photos", key)


class AnyListing:
    """What holds of a store that lists in an order of its own."""

    async def test_lists_all_whatever_the_stores_order(self, listed):
        """SeaweedFS has ``a/b`` before ``a.b``."""
        store, found = listed
        for prefix, delimiter, _ in LISTINGS:
            for limit in (1, 2, 20):
                options = {"prefix": prefix, "delimiter": delimiter, "after": "", "limit": limit}
                listed = await keys(store, **options)
                expected = model(found, prefix, delimiter, "")
                assert sorted(listed, key=str.encode) == expected, options
