"""A bucket on a server of HTTP: what is asked, what of that is understood, and what is kept."""

import asyncio
import os
from contextlib import asynccontextmanager, closing

import pytest
from support.origins import answer, origin, redirect
from support.origins import closing as closes

from vipsgate.errors import (
    AccessDenied,
    BadGateway,
    GatewayTimeout,
    ImageTooLarge,
    NoSuchKey,
    PreconditionFailed,
    ServiceUnavailable,
    Unimplemented,
)
from vipsgate.outgoing.client import Client
from vipsgate.store.base import PLAIN
from vipsgate.store.remote.http_client import HttpClient
from vipsgate.store.remote.http_store import HttpReader, HttpStore
from vipsgate.store.remote.source_cache import SourceCache

DATA = os.urandom(300_000)


@asynccontextmanager
async def website(*, fresh=0.0, stale=60.0, seconds=0.5, most=1 << 20, cache=None, now=None):
    """A bucket, its server, and the seconds that have passed."""
    now = [100.0] if now is None else now
    async with origin() as server:
        client = Client([server.host], seconds)
        source = HttpClient(client, f"{server.url}pre")
        kept = SourceCache(cache / "sources", 1 << 22, server.url) if cache else None
        reader = HttpReader(source, fresh, stale, kept, lambda: now[0])
        server.files["/pre/a"] = DATA
        try:
            yield HttpStore(reader, "photos", most), server, now
        finally:
            await client.close()


async def content(store, key="a"):
    with closing(await store.open("photos", key)) as opened:
        return opened.object, opened.read()


async def part(store, info, span, key="a"):
    return b"".join([piece async for piece in await store.read("photos", key, info, span)])


async def test_is_looked_at_and_opened():
    async with website() as (store, server, _):
        info = await store.stat("photos", "a")
        assert (info.size, info.modified) == (len(DATA), 1767225600.0)
        assert info.properties.content_type == "application/x-told"
        assert (info.md5, info.crc) == ("", None)  # nobody has seen the bytes
        assert await content(store) == (info, DATA)
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "b")
        assert [one.method for one in server.requests] == ["HEAD", "HEAD", "GET", "HEAD"]


async def test_what_is_known_is_asked_for_again_by_its_tag():
    async with website(fresh=1.0) as (store, server, now):
        info = await store.stat("photos", "a")
        assert store.fingerprint("photos", "a") == info
        assert await store.stat("photos", "a") == info
        assert len(server.requests) == 1
        now[0] += 2
        assert store.fingerprint("photos", "a") is None
        assert await store.stat("photos", "a") == info
        assert server.requests[-1].headers["if-none-match"].strip('"') in info.etag
        server.files["/pre/a"] = b"other"
        now[0] += 2
        assert (await store.stat("photos", "a")).size == 5
        del server.files["/pre/a"]
        now[0] += 2
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "a")
        assert store.fingerprint("photos", "a") == ()


TAGS = {  # what an origin says -> whether it is its own tag that counts
    ('ETag: "abc"',): '"abc"',
    ('ETag: "5d41402abc4b2a76b9719d911017c592"',): '"5D41402ABC4B2A76B9719D911017C592"',
    ('ETag: W/"abc"',): None,
    ("ETag: abc",): None,
    ("Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",): None,
    ('ETag: W/"abc"', "Last-Modified: nonsense"): None,
    ('ETag: "a b"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"): None,
    (f'ETag: "{"x" * 500}"',): None,
}


@pytest.mark.parametrize("told", TAGS, ids=lambda told: str(told)[:60])
async def test_a_tag_is_strong_whatever_the_origin_says(told):
    async with website() as (store, server, _):
        server.tags = lambda data: list(told)
        info, data = await content(store)
        assert data == DATA
        assert info.etag == (TAGS[told] or info.etag)
        assert info.etag[0] == info.etag[-1] == '"'
        assert len(info.etag) > 4
        assert await part(store, info, range(7, 19)) == DATA[7:19]
        server.files["/pre/a"] = DATA[:-1]
        server.tags = lambda data: [one.replace("abc", "abd") for one in told]
        if "abc" in str(told):
            assert (await store.stat("photos", "a")).etag != info.etag


async def test_versions_that_cannot_be_told_apart():
    async with website() as (store, server, _):
        server.tags = lambda data: []
        with pytest.raises(BadGateway, match="neither ETag nor Last-Modified"):
            await store.stat("photos", "a")


SPANS = [range(1), range(5, 9), range(len(DATA)), range(len(DATA) - 1, len(DATA)), range(0)]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("heads", [True, False])
async def test_parts_where_the_origin_has_them_and_where_not(ranges, heads):
    async with website() as (store, server, _):
        server.ranges, server.heads = ranges, heads
        server.files["/pre/empty"] = b""
        info = await store.stat("photos", "a")
        for span in SPANS:
            assert await part(store, info, span) == DATA[span.start : span.stop]
        assert await content(store) == (info, DATA)
        assert (await content(store, "empty"))[1] == b""
        sizes = {one.headers.get("range") for one in server.requests if one.method == "GET"}
        assert "bytes=5-8" in sizes
        methods = [one.method for one in server.requests]
        assert methods.count("HEAD") == 1 if not heads else methods.count("HEAD") > 1


async def test_a_part_of_another_version():
    async with website(fresh=60) as (store, server, _):
        info = await store.stat("photos", "a")
        for data in (DATA[::-1], DATA[:3], b""):
            server.files["/pre/a"] = data
            with pytest.raises(PreconditionFailed):
                await part(store, info, range(5, 9))
        del server.files["/pre/a"]
        with pytest.raises(NoSuchKey):
            await part(store, info, range(5, 9))


WRONG = {  # replies to a GET of bytes 5-8 of 300000
    "another part": ("206 P", "Content-Range: bytes 6-9/300000", DATA[6:10], "another part"),
    "no part": ("206 P", "X: y", DATA[5:9], "answers 206"),
    "no length": ("206 P", "Content-Range: bytes 5-8/*", DATA[5:9], "answers 206"),
    "too little": ("206 P", "Content-Range: bytes 5-6/300000", DATA[5:7], "another part"),
    "packed": ("200 OK", "Content-Encoding: br", DATA, "Content-Encoding"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_part_that_is_none(name):
    status, told, body, reason = WRONG[name]
    async with website(fresh=60) as (store, server, _):
        info = await store.stat("photos", "a")
        server.replies["/pre/a"] = answer(body, status, told, *server.tags(DATA))
        with pytest.raises(BadGateway, match=reason):
            await part(store, info, range(5, 9))


async def test_a_transfer_that_breaks_is_gone_on_with():
    async with website(fresh=60) as (store, server, _):
        info = await store.stat("photos", "a")
        told = "Content-Type: application/x-told"
        cut = answer(DATA[:100_000], "200 OK", told, *server.tags(DATA), length=len(DATA))

        async def once(request, writer):
            del server.replies["/pre/a"]
            writer.write(cut)
            await writer.drain()

        server.replies["/pre/a"] = once
        assert (await content(store))[1] == DATA
        span = server.requests[-1].headers["range"]
        begin, _, end = span.removeprefix("bytes=").partition("-")
        assert 0 < int(begin) <= 100_000
        assert int(end) == len(DATA) - 1

        async def replaced(request, writer):
            del server.replies["/pre/a"]
            server.files["/pre/a"] = DATA[::-1]
            writer.write(cut)
            await writer.drain()

        server.replies["/pre/a"] = replaced
        with pytest.raises(ServiceUnavailable, match="replaced"):
            await part(store, info, range(len(DATA)))


async def test_equal_openings_at_once_are_one():
    async with website(fresh=60) as (store, server, _):
        await store.stat("photos", "a")
        found = await asyncio.gather(*(content(store) for _ in range(20)))
        assert {data for _, data in found} == {DATA}
        assert [one.method for one in server.requests] == ["HEAD", "GET"]


async def test_a_copy_is_kept_under_its_version(tmp_path):
    async with website(cache=tmp_path) as (store, server, _):
        for data in (DATA, DATA, DATA[::-1]):
            server.files["/pre/a"] = data
            assert (await content(store))[1] == data
        assert [one.method for one in server.requests].count("GET") == 2


async def test_an_object_that_is_too_large_is_not_fetched():
    async with website(most=1000) as (store, _server, _):
        with pytest.raises(ImageTooLarge, match="1000 bytes"):
            await store.open("photos", "a")
        info = await store.stat("photos", "a")
        assert await part(store, info, range(9)) == DATA[:9]  # who streams it may have it


NAMES = {  # key -> target on the wire
    "b c+d.jpg": "/pre/b%20c+d.jpg",
    "西湖/a?b#c.jpg": "/pre/%E8%A5%BF%E6%B9%96/a%3Fb%23c.jpg",
    "100%.jpg": "/pre/100%25.jpg",
    "%2e%2e/x": "/pre/%252e%252e/x",
    "a%2Fb": "/pre/a%252Fb",
    "a\\b": "/pre/a%5Cb",
    "..a/b..": "/pre/..a/b..",
    'q"<>|': "/pre/q%22%3C%3E%7C",
    "line\nbreak": "/pre/line%0Abreak",
    "http://evil.example": None,
    "//evil.example": None,
    "../a": None,
    "a/../b": None,
    "a/./b": None,
    "a//b": None,
    "dir/": None,
    ".vipsgate/a": None,
}


async def test_names_are_only_names():
    async with website() as (store, server, _):
        for key, wire in NAMES.items():
            server.requests.clear()
            if wire is None:
                with pytest.raises(NoSuchKey):
                    await store.open("photos", key)
                assert server.requests == [], key
                continue
            server.files[wire] = key.encode()
            assert (await content(store, key))[1] == key.encode()
            assert set(server.targets) == {wire}


FAULTS = {
    "fault": (answer(b"", "500 No"), BadGateway),
    "forbidden": (answer(b"", "403 No"), BadGateway),
    "asks for a password": (answer(b"", "401 No"), BadGateway),
    "closed": (closes(b""), BadGateway),
    "no HTTP": (closes(b"hello\r\n\r\n"), BadGateway),
    "elsewhere": (redirect("http://elsewhere.example/"), BadGateway),
    "no length": (answer(b"", "200 OK", 'ETag: "a"', length=""), BadGateway),
    "packed": (answer(b"", "200 OK", 'ETag: "a"', "Content-Encoding: gzip"), BadGateway),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_is_known_will_do_while_the_origin_is_away(name):
    reply, error = FAULTS[name]
    async with website(fresh=1, stale=60) as (store, server, now):
        info = await store.stat("photos", "a")
        server.replies |= {"/pre/a": reply, "/pre/b": reply}
        now[0] += 30
        assert await store.stat("photos", "a") == info
        with pytest.raises(error):
            await store.stat("photos", "b")
        now[0] += 60
        with pytest.raises(error):
            await store.stat("photos", "a")


async def test_an_origin_that_is_away_is_left_alone():
    async with website(seconds=0.2) as (store, server, _):

        async def slow(request, writer):
            await asyncio.sleep(5)

        server.replies["/pre/b"] = slow
        assert store.away == ""
        for _ in range(3):
            with pytest.raises(GatewayTimeout):
                await store.stat("photos", "b")
        assert "no answer" in store.away
        with pytest.raises(BadGateway, match="does not answer"):
            await store.stat("photos", "a")
        assert len(server.requests) == 3


async def test_redirects_are_followed():
    async with website() as (store, server, _):
        server.files["/there"] = DATA
        server.replies["/pre/b"] = redirect("/there", 301)
        assert (await content(store, "b"))[1] == DATA


async def test_is_neither_listed_nor_written():
    async with website() as (store, server, _):
        with pytest.raises(Unimplemented, match="cannot be listed"):
            await store.list("photos", limit=1)
        with pytest.raises(AccessDenied, match="origin"):
            async with store.draft("photos"):
                pass
        with pytest.raises(AccessDenied):
            await store.describe("photos", "a", PLAIN)
        with pytest.raises(AccessDenied):
            await store.delete("photos", "a")
        assert server.requests == []


def test_an_origin_that_is_not_listed():
    with pytest.raises(ValueError, match=r"origins\.hosts"):
        HttpClient(Client(["a.example"]), "https://b.example/")
