"""What a fleet shares: found by another node, never in the way."""

import asyncio
import contextlib
import json
import time
from contextlib import closing

import aiohttp
import obstore
import pytest
from aiohttp import web
from obstore.store import MemoryStore
from support.served import BUCKET, OWNER, in_memory, running
from support.waiting import until

from vipsgate.cache import tiers
from vipsgate.cache.disk import Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Rule
from vipsgate.cache.remote import ABOUT, MAX_BYTES, RemoteCache
from vipsgate.cache.tiers import DISK, JOINED, MISS, SHARED, Cache
from vipsgate.errors import BadGateway, NoSuchKey
from vipsgate.gate import sign
from vipsgate.server import admin

PLACE = CacheKey("photos", "dir/西湖.jpg", "AB" * 16)


class Client:
    """To a store in memory; away when it is told so."""

    def __init__(self):
        self.store, self.away, self.asked = MemoryStore(), False, 0

    async def call(self, work, size=0):
        self.asked += 1
        if self.away:
            raise BadGateway("away")
        try:
            return await work()
        except FileNotFoundError:
            raise NoSuchKey("none") from None


@pytest.fixture
def client():
    return Client()


def kept(data=b"data", missing=0):
    return Entry("image/jpeg", missing, len(data), data)


async def test_what_is_put_is_there(client):
    await RemoteCache(client).put(PLACE, kept(missing=3))
    found = await RemoteCache(client).get(PLACE)
    assert found == kept(missing=3)
    [meta] = await obstore.list(client.store).collect_async()
    assert meta["path"] == f"photos/{PLACE.source}/{PLACE.variant}"
    assert await RemoteCache(client).get(CacheKey("photos", "b", "AB" * 16)) is None
    assert await RemoteCache(client).get(CacheKey("other", PLACE.key, PLACE.variant)) is None


FACTS = {"mime": "a/b", "missing": 0, "notes": []}
BROKEN = {
    "other bytes": (
        b"dat0",
        json.dumps(FACTS | {"crc": 2918445923}),
    ),
    "cut": (b"dat", json.dumps(FACTS | {"crc": 2918445923})),
    "no checksum": (b"data", json.dumps(FACTS)),
    "not JSON": (b"data", "{"),
    "not an object": (b"data", "[]"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_not_whole_is_not_there(client, what):
    data, about = BROKEN[what]
    path = f"photos/{PLACE.source}/{PLACE.variant}"
    await obstore.put_async(
        client.store,
        path,
        b"data",
        attributes={ABOUT: json.dumps(FACTS | {"crc": 2918445923})},
    )
    assert await RemoteCache(client).get(PLACE)
    await obstore.put_async(client.store, path, data, attributes={ABOUT: about})
    assert await RemoteCache(client).get(PLACE) is None
    await obstore.put_async(client.store, path, data)
    assert await RemoteCache(client).get(PLACE) is None


async def test_forgets_a_source(client):
    shared = RemoteCache(client)
    for number in range(40):
        await shared.put(CacheKey("photos", "ab"[number % 2], f"{number:032X}"), kept())
    await shared.purge("photos", "a")
    assert len(await obstore.list(client.store).collect_async()) == 20
    assert await shared.get(CacheKey("photos", "b", f"{1:032X}"))


async def test_what_is_large_is_not_kept(client):
    await RemoteCache(client).put(PLACE, Entry("a/b", 0, MAX_BYTES + 1, b""))
    assert client.asked == 0


async def test_an_unreachable_store_delays_no_request(client):
    client.away = True
    shared = RemoteCache(client)
    await shared.put(PLACE, kept())
    assert await shared.get(PLACE) is None
    await shared.purge("photos", "a")
    cache = Cache(Memory(1 << 20), None, shared)

    async def make():
        return kept()

    assert await cache.obtain(PLACE, make) == (kept(), MISS)
    await cache.purge(PLACE.bucket, PLACE.key)
    await cache.close()


async def test_another_node_finds_it_and_keeps_it(client, tmp_path):
    made = []

    async def make():
        made.append(1)
        return kept()

    def node(name):
        return Cache(Memory(1 << 20), Disk(tmp_path / name, 1 << 20), RemoteCache(client))

    one, two = node("one"), node("two")
    assert await one.get(PLACE) is None
    assert (await one.obtain(PLACE, make))[1] == MISS
    await one.close()
    found = await asyncio.gather(*(two.obtain(PLACE, make) for _ in range(5)))
    for answer, _ in found:
        with closing(answer):
            assert answer.in_memory().data == b"data"
    assert sorted(where for _, where in found) == [JOINED] * 4 + [SHARED]
    await two.close()
    client.away = True
    assert (await node("two").get(PLACE))[1] == DISK  # from its own disk
    assert made == [1]
    client.away = False
    await two.purge(PLACE.bucket, PLACE.key)
    assert (await node("three").obtain(PLACE, make))[1] == MISS


class NoGauges:
    def collect(self):
        return []


async def delete(services, path):
    """Status and body of the admin port's answer to an owner."""
    bucket, _, key = path.partition("/")
    request = sign.Request("DELETE", bucket, key, (), {})
    headers = sign.sign_headers(OWNER, request, now=time.time(), version=1)
    runner = admin.run(admin.application(services, NoGauges()))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{path}"
        async with aiohttp.request("DELETE", url, headers=headers) as response:
            return response.status, await response.text()
    finally:
        await runner.cleanup()


PURGES = {
    f"purge/key/{BUCKET}/a.jpg": Rule(BUCKET, "key", "a.jpg"),
    f"cache/{BUCKET}/a.jpg": Rule(BUCKET, "key", "a.jpg"),
    f"purge/prefix/{BUCKET}/a": Rule(BUCKET, "prefix", "a"),
    f"purge/style/{BUCKET}/thumb": Rule(BUCKET, "style", "thumb"),
}


@pytest.mark.parametrize("folder", [True, False], ids=["with a folder", "without"])
@pytest.mark.parametrize("path", PURGES)
async def test_a_purge_while_the_bucket_is_away(client, tmp_path, monkeypatch, path, folder):
    """Its caller is told so, this node follows it, and the others as soon as the bucket is back."""
    disk = Disk(tmp_path / "cache", 1 << 20) if folder else None
    cache = Cache(Memory(1 << 20), disk, RemoteCache(client))
    other = Cache(Memory(1 << 20), None, RemoteCache(client))
    rule = PURGES[path]
    async with running(in_memory(), cache=cache) as served:
        await served.rule(styles={"thumb": "image/resize,w_9"})
        client.away = True
        status, body = await delete(served.services, path)
        assert (status, "<Code>BadGateway</Code>" in body) == (502, True)
        assert rule in cache.purges.numbers
        asked = client.asked

        monkeypatch.setattr(tiers, "POLL_INTERVAL", 0.01)
        monkeypatch.setattr(tiers, "SHARED_POLL_INTERVAL", 0.02)
        following = asyncio.create_task(cache.follow())
        await until(lambda: client.asked >= asked + 3)  # and again
        client.away = False
        asked = client.asked
        await until(lambda: client.asked >= asked + 4)  # of the first time the record was written
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await other.look(far=True)
        assert other.purges.numbers[rule] == cache.purges.numbers[rule]
        assert (await delete(served.services, path))[0] == 204
    await cache.close()
