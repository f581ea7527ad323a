"""A store whose pictures are painted: once for all, held for a while, never known before."""

import asyncio
import os
import random
import time

import pytest
from support.waiting import until

from vipsgate.errors import AccessDenied, NoSuchKey, ServiceUnavailable
from vipsgate.store.base import PLAIN
from vipsgate.store.synthetic import MAX_HELD, PaintedCache, Synthetic


class Painter:
    """Paints ``NAME`` as its own name, ``SIZE.x`` as so many bytes."""

    modified = 1000.0

    def __init__(self):
        self.identity = "one"
        self.painted = []
        self.wait = asyncio.Event()
        self.wait.set()
        self.cancelled = 0
        self.error = None

    def check(self, name):
        if "." not in name:
            raise NoSuchKey("none", extra={"Key": name})

    async def paint(self, name):
        self.painted.append(name)
        try:
            await self.wait.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        memory = os.memfd_create(name)
        size = name.partition(".")[0]
        os.write(memory, b"x" * int(size) if size.isdigit() else name.encode())
        return memory


@pytest.fixture
def painter():
    return Painter()


@pytest.fixture
def cache(painter):
    return PaintedCache(painter, names=3, held=100)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left(cache):
    before = descriptors()
    yield
    held = list(cache._held.values())
    assert descriptors() == before + len(held)
    for descriptor in held:
        os.close(descriptor)


def descriptors():
    return sum("memfd" in os.readlink(f"/proc/self/fd/{name}") for name in _listed())


def _listed():
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


async def opened(cache, key):
    found = await cache.open(key)
    try:
        return found.read()
    finally:
        found.close()


async def test_a_look_and_an_opening_paint_once(cache, painter):
    found = await cache.stat("a.x")
    assert (found.size, found.modified, found.properties) == (3, 1000.0, PLAIN)
    assert await opened(cache, "a.x") == b"a.x"
    assert await cache.stat("a.x") == found
    assert painter.painted == ["a.x"]


async def test_folders_do_not_matter_and_names_do(cache, painter):
    one, two = await cache.stat("a.x"), await cache.stat("some/where/a.x")
    assert one == two
    assert painter.painted == ["a.x"]
    assert (await cache.stat("b.x")).etag != one.etag


async def test_the_tag_is_known_before_and_follows_the_painter(cache, painter):
    tag = cache.tag("dir/a.x")
    assert painter.painted == []
    assert (await cache.stat("a.x")).etag == tag == cache.tag("a.x")
    assert tag[0] == tag[-1] == '"'
    painter.identity = "two"
    assert PaintedCache(painter).tag("a.x") != tag


async def test_there_is_none(cache, painter):
    for ask in (cache.stat, cache.open):
        with pytest.raises(NoSuchKey) as caught:
            await ask("dir/none")
        assert caught.value.extra == {"Key": "dir/none"}
    with pytest.raises(NoSuchKey):
        cache.tag("none")
    assert painter.painted == []


async def test_sizes_are_remembered_longer_than_bytes(cache, painter):
    for name in ("60.a", "60.b"):
        await cache.stat(name)
    assert len(cache._held) == 1
    assert (await cache.stat("60.a")).size == 60
    assert painter.painted == ["60.a", "60.b"]
    assert len(await opened(cache, "60.a")) == 60  # painted again
    assert painter.painted == ["60.a", "60.b", "60.a"]


async def test_what_was_opened_last_is_held(cache, painter):
    for name in ("40.a", "40.b"):
        await cache.stat(name)
    await opened(cache, "40.a")
    await cache.stat("40.c")
    assert list(cache._held) == ["40.a", "40.c"]


async def test_one_above_the_budget_is_held_alone(cache, painter):
    await cache.stat("10.a")
    await cache.stat("500.b")
    assert len(await opened(cache, "500.b")) == 500
    assert painter.painted == ["10.a", "500.b"]
    await cache.stat("10.c")
    assert (list(cache._held), cache._bytes) == (["10.c"], 10)


async def test_no_more_are_held_than_there_may_be_descriptors(painter):
    cache = PaintedCache(painter)
    for number in range(MAX_HELD + 5):
        await cache.stat(f"1.{number}")
    assert len(cache._held) == MAX_HELD
    for descriptor in cache._held.values():
        os.close(descriptor)


async def test_names_that_were_asked_longest_ago_are_forgotten(cache, painter):
    for name in ("1.a", "1.b", "1.c"):
        await cache.stat(name)
    await cache.stat("1.a")
    await cache.stat("1.d")
    assert sorted(cache._known) == ["1.a", "1.c", "1.d"]
    assert await opened(cache, "1.b") == b"x"
    assert painter.painted.count("1.b") == 2


async def test_a_released_picture_stays_open_for_its_readers(cache):
    first = await cache.open("60.a")
    await cache.stat("60.b")
    assert first.read() == b"x" * 60
    first.close()


async def test_many_at_once_paint_once(cache, painter):
    painter.wait.clear()
    looks = [asyncio.create_task(cache.stat(f"{n}/a.x")) for n in range(20)]
    opens = [asyncio.create_task(opened(cache, "a.x")) for _ in range(20)]
    await asyncio.sleep(0.01)
    painter.wait.set()
    assert len({found.etag for found in await asyncio.gather(*looks)}) == 1
    assert set(await asyncio.gather(*opens)) == {b"a.x"}
    assert painter.painted == ["a.x"]


async def test_when_the_last_one_leaves_nobody_paints(cache, painter):
    painter.wait.clear()
    looks = [asyncio.create_task(cache.stat("a.x")) for _ in range(2)]
    await asyncio.sleep(0.01)
    looks[0].cancel()
    await asyncio.sleep(0.01)
    assert painter.cancelled == 0
    looks[1].cancel()
    await until(lambda: painter.cancelled)
    assert painter.cancelled == 1
    painter.wait.set()
    assert await opened(cache, "a.x") == b"a.x"


async def test_an_error_reaches_all_waiting_requests_and_no_later_ones(cache, painter):
    painter.error = ServiceUnavailable("busy")
    found = await asyncio.gather(*(cache.stat("a.x") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [ServiceUnavailable] * 3
    painter.error = None
    assert (await cache.stat("a.x")).size == 3


# -- a bucket --------------------------------------------------------------------------------------


def bucket(cache, delay=0.0, rate=0.0, chance=random.random):
    return Synthetic(cache, delay, rate, chance)


async def test_every_look_and_every_opening_waits_and_the_loop_does_not(cache):
    store = bucket(cache, delay=0.05)
    for ask in (store.stat, store.open):
        begun, turns = time.monotonic(), 0
        task = asyncio.create_task(ask("b", "a.x"))
        while not task.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert time.monotonic() - begun >= 0.05
        assert turns > 5
        found = task.result()
        if hasattr(found, "descriptor"):
            found.close()


async def test_faults_are_as_many_as_wanted_and_the_same_each_time(cache, painter):
    async def faults(rate):
        store, found = bucket(cache, rate=rate, chance=random.Random("b").random), []
        for number in range(1000):
            try:
                await store.stat("b", "a.x")
            except ServiceUnavailable:
                found.append(number)
        return found

    for rate, least, most in ((0.0, 0, 0), (0.2, 170, 230), (1.0, 1000, 1000)):
        found = await faults(rate)
        assert least <= len(found) <= most
        assert found == await faults(rate)
    assert painter.painted == ["a.x"]


async def test_a_fault_is_no_painting_and_an_opening_is_none(cache, painter):
    store = bucket(cache, rate=0.5, chance=iter((0.49, 0.5)).__next__)
    with pytest.raises(ServiceUnavailable, match="error_rate") as caught:
        await store.stat("b", "a.x")
    assert caught.value.headers == {"Retry-After": "1"}
    assert painter.painted == []
    await store.stat("b", "a.x")
    (await store.open("b", "a.x")).close()


async def test_a_mark_is_the_tag_unless_it_would_pass_delay_or_faults_by(cache, painter):
    assert bucket(cache).fingerprint("b", "dir/a.x") == cache.tag("a.x")
    assert bucket(cache).fingerprint("b", "none") == ()
    for more in ({"delay": 0.1}, {"rate": 0.1}):
        assert bucket(cache, **more).fingerprint("b", "a.x") is None
        assert bucket(cache, **more).fingerprint("b", "none") is None
    assert painter.painted == []


async def test_nothing_is_listed_and_nothing_written(cache):
    store = bucket(cache)
    page = await store.list("b", prefix="a", delimiter="/", after="", limit=10)
    assert (page.objects, page.prefixes, page.next) == ([], [], "")
    assert store.has("b")
    assert await store.buckets() == []
    assert store.ranged("b") is None
    with pytest.raises(AccessDenied):
        async with store.draft("b"):
            pass
    for call in (store.delete("b", "a.x"), store.describe("b", "a.x", PLAIN)):
        with pytest.raises(AccessDenied):
            await call
