"""A store that is away, hangs, fails or breaks off: in whose words, how soon, and what then."""

import os
import time
from contextlib import closing

import pytest

from vipsgate.errors import AccessDenied, BadGateway, GatewayTimeout, NoSuchKey
from vipsgate.outgoing.breaker import MAX_FAILURES
from vipsgate.store.base import PLAIN
from vipsgate.store.remote import objects as shelf
from vipsgate.store.remote.client import SCHEMES, StoreClient, connect
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.store import CloudStore

SECONDS = 0.6  # for one asking
DATA = os.urandom(4 << 20)


@pytest.fixture
def reach(moto, middleman, monkeypatch):
    """``reach(url)``: the store there, by way of the middleman."""
    for name, value in moto.env(middleman.port).items():
        monkeypatch.setenv(name, value)

    def made(url, **options):
        objects = RemoteObjects(
            StoreClient(connect(url, SECONDS), SECONDS), 0, options.pop("stale", 0)
        )
        return CloudStore(objects, kind="s3", **options)

    return made


@pytest.fixture
async def store(reach, moto):
    made = reach(moto.place(), stale=60)
    await made.create("photos")
    async with made.draft("photos") as draft:
        await draft.write(DATA)
        await draft.keep("a", PLAIN)
    return made


AWAY = {"gone": BadGateway, "fault": BadGateway, "hang": GatewayTimeout}


@pytest.mark.parametrize("mode", AWAY)
async def test_away(store, middleman, mode):
    middleman.set(mode)
    with pytest.raises(AWAY[mode]) as caught:
        await store.stat("photos", "b")
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert "127.0.0.1" not in caught.value.message  # where it is, is nobody's business
    for call in (
        lambda: store.open("photos", "a"),
        lambda: store.list("photos", limit=1),
        lambda: store.delete("photos", "b"),
    ):
        begun = time.monotonic()
        with pytest.raises((BadGateway, GatewayTimeout)):
            await call()
        assert time.monotonic() - begun < 2 * SECONDS
    assert store.away
    begun = time.monotonic()
    with pytest.raises(BadGateway):
        await store.open("photos", "a")
    assert time.monotonic() - begun < SECONDS / 2  # nobody has been asked
    # what is known of an object will do for a while
    assert (await store.stat("photos", "a")).size == len(DATA)
    middleman.set("pass")
    end = time.monotonic() + 10
    while store.away:
        assert time.monotonic() < end
        try:
            await store.stat("photos", "b")
        except (NoSuchKey, BadGateway):
            continue
    with closing(await store.open("photos", "a")) as opened:
        assert opened.read() == DATA


async def test_one_that_hangs_is_not_waited_for_where_the_object_is_known(
    store, middleman, monkeypatch
):
    monkeypatch.setattr(shelf, "REFRESH_TIMEOUT", SECONDS / 20)
    found = await store.stat("photos", "a")
    middleman.set("hang")
    begun = time.monotonic()
    for _ in range(3):
        assert await store.stat("photos", "a") == found
    assert time.monotonic() - begun < SECONDS
    with pytest.raises(GatewayTimeout):  # of this one nothing is known
        await store.stat("photos", "b")
    middleman.set("pass")


async def test_a_short_absence_is_waited_for(store, middleman):
    """obstore tries again by itself."""
    import asyncio

    middleman.set("gone")
    asking = asyncio.create_task(store.list("photos", limit=1))
    await asyncio.sleep(0.2)
    middleman.set("pass")
    assert (await asking).objects


async def test_what_breaks_off_is_gone_on_with(store, middleman):
    middleman.cut = 1 << 20
    before = middleman.down
    with closing(await store.open("photos", "a")) as opened:
        assert opened.read() == DATA
    assert middleman.cut == 0  # it was
    assert middleman.down - before < 1.5 * len(DATA)
    found = await store.stat("photos", "a")
    middleman.cut = 1 << 20
    pieces = await store.read("photos", "a", found, range(len(DATA)))
    assert b"".join([piece async for piece in pieces]) == DATA


async def test_an_answer_is_no_absence(store, reach, moto):
    for _ in range(2 * MAX_FAILURES):
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "none")
    assert not store.away


async def test_a_bucket_that_is_not_there(reach):
    store = reach("s3://nobody-has-made-it/x")
    for call in (store.open("photos", "a"), store.look()):
        with pytest.raises(BadGateway):
            await call


async def test_a_server_without_rights(moto, monkeypatch):
    """Whoever may not ask is told so, and the store is not away."""
    from obstore import exceptions

    line = StoreClient(None, 1)

    async def refuse():
        raise exceptions.PermissionDeniedError("s3://secret: no")

    for _ in range(2 * MAX_FAILURES):
        with pytest.raises(AccessDenied) as caught:
            await line.call(refuse)
        assert "secret" not in caught.value.message
    assert not line.away


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_client_of_each_kind(scheme, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert connect(f"{scheme}://bucket/prefix", 5)


def test_what_will_not_do(monkeypatch):
    with pytest.raises(ValueError, match=r"."):
        connect("s3://", 5)
