"""A bucket on a server of HTTP, through the whole server: what is answered, and who is asked."""

from contextlib import asynccontextmanager

import pytest
from support.origins import PNG, origin
from support.served import BUCKET, READER, WRITER, running

from vipsgate.buckets import Origin
from vipsgate.build import store_of
from vipsgate.outgoing.client import Client
from vipsgate.settings import Settings

STYLES = {"thumb": "image/resize,w_10"}
PROTECTED = {"enabled": True, "extensions": ["png"]}


@asynccontextmanager
async def viewed(folder, **document):
    async with origin() as server:
        url = f"{server.url}their"
        client = Client([server.host], 0.5)
        settings = Settings(store={"url": f"file://{folder}", "fresh_seconds": 0})
        routing = store_of(settings, None, client)
        async with running(routing) as served:
            routing.assign({BUCKET: Origin(url)})
            await served.rule(**{"acl": "public-read", "origin": url} | document)
            server.files |= {f"/their/{name}": PNG for name in ("a.png", "my-a.png")}
            yield served, server
        await client.close()


async def test_is_served_in_every_way(tmp_path):
    async with viewed(tmp_path, styles=STYLES, separators=["!"]) as (served, server):
        plain = await served.ask("GET", f"/{BUCKET}/a.png")
        assert (plain.status, plain.body) == (200, PNG)
        head = await served.ask("HEAD", f"/{BUCKET}/a.png")
        assert head.headers["ETag"] == plain.headers["ETag"]
        assert head.headers["Last-Modified"] == "Thu, 01 Jan 2026 00:00:00 GMT"
        same = {"If-None-Match": plain.headers["ETag"]}
        assert (await served.ask("GET", f"/{BUCKET}/a.png", headers=same)).status == 304
        part = await served.ask("GET", f"/{BUCKET}/a.png", headers={"Range": "bytes=2-5"})
        assert (part.status, part.body) == (206, PNG[2:6])
        assert server.requests[-1].headers["range"] == "bytes=2-5"
        made = await served.ask("GET", f"/{BUCKET}/a.png!thumb")
        assert made.body == b"image/resize,w_10 of " + PNG
        assert (await served.ask("GET", f"/{BUCKET}/none.png")).code == "NoSuchKey"


async def test_is_neither_listed_nor_written(tmp_path):
    async with viewed(tmp_path, acl="public-read-write") as (served, server):
        listed = await served.ask("GET", f"/{BUCKET}/", by=READER)
        assert (listed.status, listed.code) == (501, "NotImplemented")
        assert "cannot be listed" in listed.message
        for method, line in (("PUT", "b.png"), ("DELETE", "a.png"), ("POST", "b.png?append")):
            by = None if method == "PUT" else WRITER
            line = f"{line}&position=0" if "?" in line else line
            said = await served.ask(method, f"/{BUCKET}/{line}", by=by, data=b"x")
            assert (said.status, said.code) == (403, "AccessDenied"), (method, said.body)
        assert server.requests == []


DENIED = [  # document, request, headers
    ({"acl": "private"}, "a.png", {}),
    ({"acl": "private"}, "a.png?x-oss-process=image/resize,w_10", {}),
    ({"acl": "private", "separators": ["-"], "styles": STYLES}, "a.png-thumb", {}),
    ({"protection": PROTECTED}, "a.png", {}),
    ({"protection": PROTECTED}, "a.png?x-oss-process=image/resize,w_10", {}),
    ({"protection": PROTECTED, "separators": ["-"]}, "my-a.png", {}),  # no style of this name
    ({"protection": PROTECTED, "legacy_at_api": True}, "a.png@10w.png", {}),
    ({"protection": PROTECTED, "legacy_at_api": True, "separators": ["-"]}, "my-a.png", {}),
    ({"referer": {"allow_empty": False, "whitelist": ["http://good"]}}, "a.png", {}),
    ({"referer": {"blacklist": ["http://bad"]}}, "a.png", {"Referer": "http://bad/"}),
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_whom_nobody_lets_in_causes_no_request(tmp_path, method):
    async with viewed(tmp_path) as (served, server):
        for document, request, headers in DENIED:
            url = served.services.registry.get(BUCKET).origin
            await served.rule(**{"acl": "public-read", "origin": url} | document)
            said = await served.ask(method, f"/{BUCKET}/{request}", headers=headers)
            assert said.status == 403, (document, request)
            assert server.targets == [], (document, request)


async def test_a_style_shows_what_is_protected(tmp_path):
    document = {"protection": PROTECTED, "separators": ["-"], "styles": STYLES}
    async with viewed(tmp_path, **document) as (served, _server):
        made = await served.ask("GET", f"/{BUCKET}/my-a.png-thumb")
        assert made.body == b"image/resize,w_10 of " + PNG
        assert (await served.ask("GET", f"/{BUCKET}/my-a.png", by=READER)).body == PNG
