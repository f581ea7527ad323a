"""Webhooks that are sent: told, told again, given up, bounded, and nobody waits."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from support.waiting import until

from vipsgate.gate.webhook import Event, Hook
from vipsgate.web import webhooks
from vipsgate.web.webhooks import Way, Webhooks


class Receiver:
    """A cache in front that answers as it is told, and writes down what came."""

    def __init__(self):
        self.answers, self.came, self.gate = [], [], asyncio.Event()
        self.gate.set()

    async def answer(self, request):
        self.came.append((request.method, request.raw_path, await request.text(), time.monotonic()))
        await self.gate.wait()
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        return web.Response(status=status, headers=headers)

    @property
    def paths(self):
        return [path for _, path, _, _ in self.came]


@asynccontextmanager
async def receiver():
    place = Receiver()
    runner = web.ServerRunner(web.Server(place.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.port = runner.addresses[0][1]
    try:
        yield place
    finally:
        place.gate.set()
        await runner.cleanup()


@pytest.fixture
async def cache(monkeypatch):
    monkeypatch.setattr(webhooks, "BACKOFF", 0.01)
    async with receiver() as place:
        yield place


def hook(cache, *, path="/${key}", **more):
    kinds = frozenset(("write", "delete", "purge", "style"))
    return Hook("h", kinds, (), "PURGE", f"http://127.0.0.1:{cache.port}{path}", **more)


def write(key):
    return Event("write", "photos", key)


async def settled(hooks):
    async with asyncio.timeout(5):
        while hooks.waiting:
            await asyncio.sleep(0.005)


def counts(hooks):
    return {name: count for name, count in hooks.counts.items() if count}


async def test_told_in_order(cache):
    hooks = Webhooks([Way(hook(cache))])
    for key in "abc":
        hooks.tell(write(key))
    await settled(hooks)
    assert cache.paths == ["/a", "/b", "/c"]
    assert counts(hooks) == {"sent": 3}
    await hooks.close(1)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_told_again(cache, status):
    cache.answers = [(status, {}), (status, {"Retry-After": "0"})]
    hooks = Webhooks([Way(hook(cache))])
    hooks.tell(write("a"))
    await settled(hooks)
    assert cache.paths == ["/a"] * 3
    assert counts(hooks) == {"sent": 1, "retried": 2}
    await hooks.close(1)


async def test_later_where_the_answer_says_so(cache):
    cache.answers = [(429, {"Retry-After": "1"})]
    hooks = Webhooks([Way(hook(cache))])
    hooks.tell(write("a"))
    await settled(hooks)
    first, second = (at for *_, at in cache.came)
    assert second - first >= 0.95
    await hooks.close(1)


@pytest.mark.parametrize("status", [302, 400, 403, 404])
async def test_given_up_at_once(cache, status, caplog):
    cache.answers = [(status, {"Location": f"http://127.0.0.1:{cache.port}/elsewhere"})]
    hooks = Webhooks([Way(hook(cache))])
    hooks.tell(write("a"))
    hooks.tell(write("b"))
    await settled(hooks)
    assert cache.paths == ["/a", "/b"]
    assert counts(hooks) == {"failed": 1, "sent": 1}
    assert f"status {status}" in caplog.text
    await hooks.close(1)


async def test_a_webhook_server_that_does_not_answer(cache, caplog):
    hooks = Webhooks(
        [Way(Hook("h", frozenset(("write",)), (), "GET", "http://127.0.0.1:1/${key}"))]
    )
    hooks.tell(write("a"))
    await settled(hooks)
    assert counts(hooks) == {"failed": 1, "retried": 4}
    assert "ClientConnectorError" in caplog.text
    await hooks.close(1)


async def test_no_answer_in_time(cache):
    cache.gate.clear()
    hooks = Webhooks([Way(hook(cache), timeout=0.05, tries=2)])
    hooks.tell(write("a"))
    await settled(hooks)
    assert counts(hooks) == {"failed": 1, "retried": 1}
    await hooks.close(1)


async def test_lists_are_batched_by_bucket(cache):
    cache.gate.clear()
    way = Way(hook(cache, path="/", body='{"keys": ${keys}}', batch=3))
    hooks = Webhooks([way])
    for key in "abcde":
        hooks.tell(write(key))
        await asyncio.sleep(0)
    hooks.tell(Event("write", "others", "z"))
    cache.gate.set()
    await settled(hooks)
    keys = [body for _, _, body, _ in cache.came]
    assert "".join(keys).count('"keys"') == len(keys)
    assert keys[-1] == '{"keys": ["z"]}'
    assert max(body.count(",") for body in keys) == 2
    assert counts(hooks) == {"sent": 6}
    await hooks.close(1)


async def test_what_waits_is_told_once(cache):
    cache.gate.clear()
    hooks = Webhooks([Way(hook(cache))])
    hooks.tell(write("first"))
    await until(lambda: cache.came)
    for _ in range(5):
        hooks.tell(write("a"))
    hooks.tell(write("first"))  # is under way: it has changed again since
    cache.gate.set()
    await settled(hooks)
    assert cache.paths == ["/first", "/a", "/first"]
    await hooks.close(1)


async def test_bounded(cache, caplog):
    cache.gate.clear()
    hooks = Webhooks([Way(hook(cache), queue=2)])
    hooks.tell(write("a"))
    await until(lambda: cache.came)
    for key in "bcdef":
        hooks.tell(write(key))
    assert hooks.waiting == 3
    cache.gate.set()
    await settled(hooks)
    assert cache.paths == ["/a", "/b", "/c"]
    assert counts(hooks) == {"sent": 3, "dropped": 3}
    assert caplog.text.count("more are lost") == 1
    await hooks.close(1)


async def test_each_hook_for_itself(cache):
    """One that does not answer holds nobody else up."""
    async with receiver() as other:
        cache.gate.clear()
        hooks = Webhooks([Way(hook(cache)), Way(hook(other))])
        for key in "ab":
            hooks.tell(write(key))
        async with asyncio.timeout(5):
            while len(other.paths) < 2:
                await asyncio.sleep(0.005)
        assert cache.paths == ["/a"]
        cache.gate.set()
        await settled(hooks)
        await hooks.close(1)


async def test_a_delay(cache):
    """Each event has its own: the last write is told after it."""
    hooks = Webhooks([Way(hook(cache), delay=0.2)])
    begun = time.monotonic()
    hooks.tell(write("a"))
    await asyncio.sleep(0.1)
    hooks.tell(write("a"))
    await settled(hooks)
    times = [at - begun for *_, at in cache.came]
    assert times[0] >= 0.19
    assert times[1] >= 0.29
    await hooks.close(1)


async def test_the_end_sends_what_waits(cache):
    hooks = Webhooks([Way(hook(cache), delay=60)])
    for key in "ab":
        hooks.tell(write(key))
    await asyncio.sleep(0.01)
    await hooks.close(2)
    assert cache.paths == ["/a", "/b"]


async def test_the_end_waits_for_no_more_than_it_may(cache, caplog):
    cache.gate.clear()
    hooks = Webhooks([Way(hook(cache))])
    for key in "ab":
        hooks.tell(write(key))
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    await hooks.close(0.1)
    assert time.monotonic() - begun < 1
    assert "2 events are lost" in caplog.text


async def test_signed_for_alibaba(cache):
    seen = {}
    place = cache.answer

    async def look(request):
        seen.update(request.headers)
        return await place(request)

    runner = web.ServerRunner(web.Server(look))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    headers = (("x-acs-action", "RefreshObjectCaches"), ("x-acs-version", "2018-05-10"))
    one = Hook(
        *("h", frozenset(("write",)), (), "POST", url, headers, "${keys}"), signer=("id", "secret")
    )
    hooks = Webhooks([Way(one)])
    hooks.tell(write("a"))
    await settled(hooks)
    assert seen["Authorization"].startswith("ACS3-HMAC-SHA256 Credential=id,SignedHeaders=")
    assert seen["Host"] in url
    assert seen["x-acs-content-sha256"]
    await hooks.close(1)
    await runner.cleanup()


async def test_without_webhooks_nothing_is_sent():
    hooks = Webhooks()
    hooks.tell(write("a"))
    assert (hooks.waiting, hooks.any) == (0, False)
    await hooks.close(1)
