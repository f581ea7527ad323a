"""Uploads in parts: what is refused, and what a sudden end leaves for the next start."""

import asyncio
import hashlib
import sys
import time
from bisect import bisect_right
from dataclasses import asdict
from itertools import count
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.buckets import INTERNAL
from vipsgate.catalog import uploads
from vipsgate.errors import EntityTooSmall, InvalidPart, InvalidPartOrder, NoSuchUpload
from vipsgate.store.base import Page, Properties
from vipsgate.store.local.store import LocalStore

TOLD = Properties(content_type="x/y", acl="private", meta={"a": "西"}, kind="Multipart")
NOW = 1_767_225_600.0


@pytest.fixture
async def store(tmp_path):
    made = LocalStore(tmp_path)
    await made.create("photos")
    return made


async def send(store, upload, number, data):
    async with store.draft(INTERNAL) as draft:
        await draft.write(data)
        return (await uploads.keep(store, upload, number, draft)).etag


async def complete(store, upload, wanted, *, die=False):
    async with store.draft("photos") as draft:

        async def make(etag):
            made = await draft.keep(upload.key, upload.properties, etag=etag)
            if die:
                raise KeyboardInterrupt
            return made

        return await uploads.complete(store, upload, wanted, draft, make)


def left(tmp_path):
    folder = tmp_path / ".vipsgate" / "uploads"
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_from_the_beginning_to_the_end(store, tmp_path):
    upload = await uploads.begin(store, "photos", "dir/西", TOLD, NOW)
    assert await uploads.find(store, "photos", "dir/西", upload.identity) == upload
    assert [one async for one in uploads.under_way(store, "photos")] == [upload]
    two = await send(store, upload, 2, b"tail")
    await send(store, upload, 1, b"wrong")
    one = await send(store, upload, 1, b"x" * uploads.LEAST_BYTES)
    assert [part.number for part in await uploads.parts(store, upload, limit=9)] == [1, 2]
    assert [part.number for part in await uploads.parts(store, upload, after=1, limit=9)] == [2]
    assert [part.number for part in await uploads.parts(store, upload, limit=1)] == [1]
    # clients send tags with and without quotes, in either case
    made = await complete(store, upload, [(1, one.lower()), (2, two.strip('"'))])
    assert made.etag.endswith('-2"')
    assert (made.size, made.properties) == (uploads.LEAST_BYTES + 4, TOLD)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ([(2, 2), (1, 1)], InvalidPartOrder),
        ([(1, 1), (1, 1)], InvalidPartOrder),
        ([(1, 2)], InvalidPart),
        ([(1, 1), (9, 1)], InvalidPart),
        ([(2, 2), (3, 3)], EntityTooSmall),
    ],
)
async def test_refuses_parts(store, wanted, error):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    tags = {number: await send(store, upload, number, b"%d" % number) for number in (1, 2, 3)}
    with pytest.raises(error):
        await complete(store, upload, [(number, tags[tag]) for number, tag in wanted])
    assert (await store.list("photos", limit=9)).objects == []
    assert await uploads.find(store, "photos", "a", upload.identity)


@pytest.mark.parametrize("identity", ["", "x", "../../x", "A" * 32, "a" * 32, "A" * 31 + "/"])
async def test_no_such_upload(store, identity):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    for key, name in (("a", identity), ("b", upload.identity)):
        with pytest.raises(NoSuchUpload):
            await uploads.find(store, "photos", key, name)


async def test_a_part_that_comes_too_late_leaves_nothing(store, tmp_path):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    await send(store, upload, 1, b"x")
    await uploads.abort(store, upload)
    with pytest.raises(NoSuchUpload):
        await send(store, upload, 2, b"x")
    assert left(tmp_path) == []


async def test_what_died_after_the_object_was_made_is_swept(store, tmp_path):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    tag = await send(store, upload, 1, b"x")
    with pytest.raises(KeyboardInterrupt):
        await complete(store, upload, [(1, tag)], die=True)
    assert left(tmp_path)
    # a client who never heard the answer may ask again
    assert (await complete(store, upload, [(1, tag)])).etag == (
        await store.stat("photos", "a")
    ).etag
    with pytest.raises(NoSuchUpload):
        await uploads.find(store, "photos", "a", upload.identity)

    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    tag = await send(store, upload, 1, b"y")
    with pytest.raises(KeyboardInterrupt):
        await complete(store, upload, [(1, tag)], die=True)
    await uploads.sweep(store, time.time())
    assert left(tmp_path) == []


async def test_what_is_under_way_is_not_swept(store, tmp_path):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    await send(store, upload, 1, b"x")
    await uploads.sweep(store, time.time() + 10 * uploads.ORPHAN)
    assert await uploads.parts(store, upload, limit=9)


async def test_parts_of_no_upload_are_swept_after_an_hour(store, tmp_path):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    await send(store, upload, 1, b"x")
    await store.delete(INTERNAL, upload.path("about.json"))
    await uploads.sweep(store, time.time())
    assert left(tmp_path)
    await uploads.sweep(store, time.time() + 2 * uploads.ORPHAN)
    assert left(tmp_path) == []


async def test_what_is_not_of_our_making_is_no_upload(store, tmp_path):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    for text in ("{", "[]", "{}", '{"properties": {"x": 1}}'):
        path = tmp_path / ".vipsgate" / upload.path("about.json")
        path.write_text(text)
        with pytest.raises(NoSuchUpload):
            await uploads.find(store, "photos", "a", upload.identity)


async def test_what_died_while_it_was_taken_away_is_swept(store, tmp_path, monkeypatch):
    upload = await uploads.begin(store, "photos", "a", TOLD, NOW)
    for number in (1, 2, 3):
        await send(store, upload, number, b"x")
    real, left_to_do = store.delete, [1, 2]

    async def dying(bucket, key, **options):
        if not left_to_do:
            raise KeyboardInterrupt
        left_to_do.pop()
        await real(bucket, key, **options)

    monkeypatch.setattr(store, "delete", dying)
    with pytest.raises(KeyboardInterrupt):
        await uploads.abort(store, upload)
    monkeypatch.setattr(store, "delete", real)
    assert left(tmp_path)
    assert [one async for one in uploads.under_way(store, "photos")] == []
    with pytest.raises(NoSuchUpload):
        await uploads.find(store, "photos", "a", upload.identity)
    await uploads.sweep(store, time.time())
    assert left(tmp_path) == []


# -- listing ---------------------------------------------------------------------------------------


class ManyUploads:
    """A store with nothing but uploads to these keys, each made as it is looked at."""

    def __init__(self, keys):
        # in another order than the keys
        identities = (hashlib.md5(b"%d" % number).hexdigest().upper() for number in count())
        self.keys = dict(zip(identities, keys, strict=False))
        self.names = sorted(f"uploads/photos/{identity}/" for identity in self.keys)

    async def list(self, bucket, *, prefix, delimiter, after="", limit):
        at = bisect_right(self.names, after)
        page = self.names[at : at + limit]
        return Page([], page, page[-1] if at + limit < len(self.names) else "")

    async def open(self, bucket, key):
        identity = key.split("/")[2]
        upload = uploads.Upload("photos", self.keys[identity], identity, TOLD, NOW)
        data = orjson.dumps(asdict(upload))
        return SimpleNamespace(read=lambda: data, close=lambda: None)


async def every_page(store, limit, prefix="", delimiter=""):
    after, rows = ("", ""), []
    while True:
        page = await uploads.page(
            store, "photos", prefix=prefix, delimiter=delimiter, after=after, limit=limit
        )
        assert len(page.rows) <= limit
        rows += page.rows
        if not page.more:
            return rows
        assert len(page.rows) == limit
        after = page.rows[-1][:2]


@settings(max_examples=times(60))
@given(
    keys=st.lists(st.text("ab/é\uffff\U0001f600", min_size=1, max_size=4), max_size=12),
    prefix=st.sampled_from(["", "a", "a/", "é"]),
    delimiter=st.sampled_from(["", "/", "b"]),
    limit=st.integers(1, 5),
)
def test_pages_together_are_all_uploads_in_order(keys, prefix, delimiter, limit):
    rows = asyncio.run(every_page(ManyUploads(keys), limit, prefix, delimiter))
    expected = set()
    for identity, key in ManyUploads(keys).keys.items():
        if key.startswith(prefix):
            head, cut, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            expected.add((prefix + head + cut, "") if cut else (key, identity))
    listed = [(key, identity) for key, identity, _ in rows]
    assert listed == sorted(expected, key=lambda row: (row[0].encode(), row[1]))


async def test_ten_thousand_uploads_are_listed_in_bounded_memory():
    keys = [f"dir/{number:05d}" for number in range(10_000)]
    store, blocks = ManyUploads(keys), []
    real = store.open

    async def opened(*arguments):
        if len(blocks) < 10 or arguments[1].count("0") > 5:  # now and then
            blocks.append(sys.getallocatedblocks())
        return await real(*arguments)

    store.open = opened
    options = {"prefix": "dir/", "delimiter": "", "after": ("dir/00099", ""), "limit": 100}
    page = await uploads.page(store, "photos", **options)
    assert [key for key, _, _ in page.rows] == keys[100:200]
    assert page.more
    assert len(blocks) > 100
    assert max(blocks) - blocks[0] < len(keys)  # an upload that is held takes several
