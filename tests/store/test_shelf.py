"""What lies over a store for a while: found where the store has nothing, bounded, and let go of."""

import os
from contextlib import closing

import pytest

from vipsgate.errors import NoSuchKey
from vipsgate.store import shelf as shelves
from vipsgate.store.base import Object
from vipsgate.store.local.store import LocalStore
from vipsgate.store.shelf import Held, Shelf, over


def held(data, until=10.0):
    file = os.memfd_create("held")
    os.write(file, data)
    return Held(Object(len(data), f'"{data.hex()}"', 0.0), file, until)


@pytest.fixture
def now():
    return [0.0]


async def test_what_the_store_has_comes_first(tmp_path, now):
    shelf = Shelf(lambda: now[0])
    store = over(LocalStore(tmp_path), shelf)
    await store.create("photos")
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "a")
    assert store.fingerprint("photos", "a") == ()
    shelf.put("photos", "a", held(b"shelf"))
    info = await store.stat("photos", "a")
    assert store.fingerprint("photos", "a") == info
    with closing(await store.open("photos", "a")) as opened:
        assert (opened.object, opened.read()) == (info, b"shelf")
    now[0] = 11.0  # not fresh any more; whoever has looked at it just now may still open it
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "a")
    assert store.fingerprint("photos", "a") == ()
    with closing(await store.open("photos", "a")) as opened:
        assert opened.read() == b"shelf"
    shelf.renew("photos", "a", shelf.known("photos", "a"), 20.0)
    assert await store.stat("photos", "a") == info
    async with store.draft("photos") as draft:
        await draft.write(b"stored")
        await draft.keep("a", info.properties)
    assert (await store.stat("photos", "a")).size == 6
    with closing(await store.open("photos", "a")) as opened:
        assert opened.read() == b"stored"
    assert (await store.list("photos", limit=9)).objects[0][0] == "a"


def test_there_is_room_for_so_much(now, monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    shelf = Shelf(lambda: now[0], most=10)
    for key in "abc":
        shelf.put("photos", key, held(b"1234"))
    assert [bool(shelf.known("photos", key)) for key in "abc"] == [False, True, True]
    assert shelf.fresh("photos", "b")  # asked for, so it stays longer
    shelf.put("photos", "d", held(b"1234"))
    assert [bool(shelf.known("photos", key)) for key in "bcd"] == [True, False, True]
    shelf.put("photos", "e", held(b"x" * 100))  # the last one is held, however large
    assert [bool(shelf.known("photos", key)) for key in "bde"] == [False, False, True]
    monkeypatch.setattr(shelves, "MAX_HELD", 2)
    for key in "fgh":
        shelf.put("photos", key, held(b""))
    assert [bool(shelf.known("photos", key)) for key in "efgh"] == [False, False, True, True]
    for key in "gh":
        shelf.drop("photos", key)
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_version_takes_the_place(now):
    shelf = Shelf(lambda: now[0])
    first = held(b"one")
    shelf.put("photos", "a", first)
    shelf.put("photos", "a", held(b"two"))
    shelf.renew("photos", "a", first, 99.0)  # it has been replaced meanwhile
    assert shelf.known("photos", "a").until == 10.0
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(first.descriptor)
    shelf.drop("photos", "a")
