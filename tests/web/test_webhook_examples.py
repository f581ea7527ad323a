"""The webhooks of deploy/README.md, sent to a receiver that stands for each CDN: their shape."""

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest
from aiohttp import web

from vipsgate.gate import cachetags
from vipsgate.gate.webhook import Event
from vipsgate.settings import Settings
from vipsgate.web.webhooks import Way, Webhooks

README = Path(__file__).parents[2] / "deploy" / "README.md"
BLOCK = re.compile(r"```toml\n(\[\[webhooks\]\]\n.*?)```", re.DOTALL)
EXAMPLES = {
    row["name"]: row
    for text in BLOCK.findall(README.read_text())
    for row in tomllib.loads(text)["webhooks"]
}
KEYS = ["a/西湖 1.jpg", 'b"&\n<.jpg']
EVENTS = [Event("write", "photos", key) for key in KEYS]
STYLE, PREFIX = Event("style", "photos", style="thumb"), Event("purge", "photos", prefix="a/")
TAGS = [cachetags.of_key("photos", key) for key in KEYS]
URLS = [f"https://img.example.com/{quote(key)}" for key in KEYS]


async def sent(name, events):
    """What comes of an example, but for its host."""
    came = []

    async def answer(request):
        came.append((request.method, request.raw_path, request.headers, await request.text()))
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    row = dict(EXAMPLES[name])
    there = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    row["url"] = re.sub(r"https?://[^/]+/", lambda _: there, row["url"])
    (item,) = Settings(webhooks=[row]).webhooks
    hooks = Webhooks([Way(item.hook())])
    for event in events:
        hooks.tell(event)
    await hooks.close(5)
    await runner.cleanup()
    return came


def test_every_example_is_tried():
    assert {*EXAMPLES} == {"cloudflare", "fastly", "alibaba", "varnish", "nginx"}


async def test_cloudflare():
    ((method, path, headers, body),) = await sent("cloudflare", EVENTS)
    assert (method, path) == ("POST", "/client/v4/zones/ZONE/purge_cache")
    assert headers["Authorization"] == "Bearer TOKEN"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"tags": TAGS}
    ((*_, body),) = await sent("cloudflare", [STYLE, PREFIX])
    assert json.loads(body) == {"tags": ["s.photos.thumb", "b.photos"]}


async def test_fastly():
    ((method, path, headers, body),) = await sent("fastly", EVENTS)
    assert (method, path, body) == ("POST", "/service/SERVICE/purge", "")
    assert headers["Surrogate-Key"] == " ".join(TAGS)
    assert headers["Fastly-Key"] == "TOKEN"


async def test_alibaba():
    ((method, path, headers, body),) = await sent("alibaba", [*EVENTS, STYLE, PREFIX])
    assert (method, path) == ("POST", "/")
    assert headers["x-acs-action"] == "RefreshObjectCaches"
    assert headers["x-acs-version"] == "2018-05-10"
    assert headers["Authorization"].startswith(
        "ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=content-type;host;x-acs-action;"
    )
    assert parse_qs(body, strict_parsing=True) == {
        "ObjectPath": ["\n".join(URLS)],
        "ObjectType": ["File"],
    }


async def test_varnish():
    ((method, path, headers, body),) = await sent("varnish", [*EVENTS, STYLE])
    assert (method, path, body) == ("PURGE", "/", "")
    assert headers["xkey-purge"] == " ".join([*TAGS, "s.photos.thumb"])


async def test_nginx():
    came = await sent("nginx", [*EVENTS, STYLE, PREFIX])
    assert [path for _, path, _, _ in came] == [f"/{quote(key)}*" for key in [*KEYS, "a/"]]
    assert {(method, headers["Host"]) for method, _, headers, _ in came} == {
        ("PURGE", "img.example.com")
    }


@pytest.mark.parametrize("name", EXAMPLES)
async def test_nothing_is_sent_that_says_nothing(name):
    rights = Event("rights", "photos")
    assert len(await sent(name, [rights])) == ("tags" in str(EXAMPLES[name]))
