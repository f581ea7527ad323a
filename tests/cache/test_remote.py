"""What a fleet shares: found by another node, never in the way."""

import asyncio
import json
from contextlib import closing

import obstore
import pytest
from obstore.store import MemoryStore

from vipsgate.cache.disk import Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.memory import Memory
from vipsgate.cache.remote import ABOUT, MAX_BYTES, RemoteCache
from vipsgate.cache.tiers import DISK, JOINED, MISS, SHARED, Cache
from vipsgate.errors import BadGateway, NoSuchKey

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
