"""Which buckets are asked in the loop and which in threads, as they come, go and are mounted."""

import asyncio
import contextlib
import os
import time

import pytest
from support import fuse
from support.store_conformance import content, put

from vipsgate.buckets import INTERNAL
from vipsgate.errors import ServiceUnavailable
from vipsgate.store.local.disk import Disk
from vipsgate.store.local.store import LocalStore
from vipsgate.store.routing import Routing
from vipsgate.store.threaded import buckets, filesystems
from vipsgate.store.threaded.store import ThreadedStore


@pytest.fixture
def root(tmp_path):
    for name in ("root/plain", "root/later", "files/dir", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root/plain/a").write_bytes(b"a")
    (tmp_path / "files/a").write_bytes(b"mounted")
    return tmp_path / "root"


@pytest.fixture
def store(root):
    """Of a root on a disk of this machine."""
    disk = Disk(root)
    quick = LocalStore(disk)
    result = ThreadedStore(disk, 0.3, quick=quick)
    routing = Routing(result, lambda name, origin: None, result.direct)
    routing.threaded, routing.quick = result, quick
    return routing


async def test_a_plain_folder_is_asked_in_the_loop(store, root, monkeypatch):
    monkeypatch.setattr(buckets, "PATIENCE_SECONDS", 5)  # on a busy machine
    monkeypatch.setattr(buckets, "LOOK_SECONDS", 5)
    await store.look()
    assert store._of("plain") is store._of(INTERNAL) or not (root / INTERNAL).exists()
    assert store._of("plain") is store.quick
    (root / "by-hand").mkdir()
    assert store.has("by-hand")  # at once
    assert store._of("by-hand") is store.quick
    assert not store.has("none")
    assert not store.has("a/b")
    await store.create("new")
    assert store.has("new")
    await put(store, "k", b"data", bucket="new")
    assert await content(store, "k", bucket="new") == b"data"
    await store.delete("new", "k")
    await store.remove("new")
    assert not store.has("new")
    names = [name for name, _ in await store.buckets()]
    assert names == ["by-hand", "later", "plain"]
    assert all(modified > 0 for _, modified in await store.buckets())


async def test_one_that_is_mounted_later(store, root, tmp_path):
    if reason := fuse.missing():
        pytest.skip(reason)
    await store.look()
    assert store._of("later") is store.quick
    with fuse.mounted(tmp_path / "files", root / "later") as files:
        await store.look()
        assert store._of("later") is store.threaded
        assert await content(store, "a", bucket="later") == b"mounted"
        files.hang()
        begun = time.monotonic()
        assert [name for name, _ in await store.buckets()] == ["later", "plain"]
        await store.sweep()
        assert time.monotonic() - begun < 5
        assert store.has("later")
        assert store.away == ""
        assert await content(store, "a", bucket="plain") == b"a"
        files.go_on()
    await store.look()
    assert store._of("later") is store.quick


async def test_one_that_hangs_when_it_is_seen_first(store, root, tmp_path):
    """Whoever asks for it waits once, and a little; then it is a bucket that hangs."""
    if reason := fuse.missing():
        pytest.skip(reason)
    with fuse.mounted(tmp_path / "files", root / "later") as files:
        files.hang()
        begun = time.monotonic()
        assert store.has("later")
        assert time.monotonic() - begun < 2
        assert store._of("later") is store.threaded
        assert store.has("plain")
        assert await content(store, "a", bucket="plain") == b"a"
        files.go_on()
        await asyncio.sleep(0.05)
        assert await content(store, "a", bucket="later") == b"mounted"


async def test_a_link_to_a_place_that_blocks(store, root, tmp_path, monkeypatch):
    (root / "link").symlink_to(tmp_path / "elsewhere")
    real = filesystems.is_blocking
    monkeypatch.setattr(filesystems, "is_blocking", lambda path: "elsewhere" in path or real(path))
    await store.look()
    assert store._of("link") is store.threaded
    assert store._of("plain") is store.quick
    os.rename(tmp_path / "elsewhere", tmp_path / "away")
    (root / "other").mkdir()
    await store.look()
    assert store.has("link")  # 503 and not 404
    with pytest.raises(ServiceUnavailable, match="away"):
        await store.stat("link", "a")
    os.rename(tmp_path / "away", tmp_path / "elsewhere")
    await store.look()
    assert store._of("link") is store.threaded
    os.unlink(root / "link")
    await store.look()
    assert not store.has("link")


async def test_many_look_at_once(store, root):
    """All of them see all: each look at a bucket is for all who wait for it."""
    for number in range(5):
        (root / f"bucket{number}").mkdir()
    seen = await asyncio.gather(*(store.buckets() for _ in range(20)))
    assert all(rows == seen[0] for rows in seen)
    assert {f"bucket{number}" for number in range(5)} <= {name for name, _ in seen[0]}


async def test_nobody_waits_for_names_while_all_looks_hang(store, monkeypatch):
    import threading

    monkeypatch.setattr(buckets, "PATIENCE_SECONDS", 0.02)
    gate = threading.Event()
    monkeypatch.setattr(filesystems, "inspect", lambda root, name: gate.wait(5) and None)
    try:
        for number in range(buckets.MAX_THREADS):
            store.has(f"hangs-{number}")
        begun = time.monotonic()
        for number in range(50):
            store.has(f"other-{number}")
        assert time.monotonic() - begun < 50 * buckets.PATIENCE_SECONDS
    finally:
        gate.set()


async def test_a_root_that_blocks_is_known_by_the_last_look(root):
    store = ThreadedStore(Disk(root), 0.3)
    assert not store.has("plain")
    await store.look()
    assert store.has("plain")
    assert store.direct == {}
    (root / "by-hand").mkdir()
    assert not store.has("by-hand")
    await store.look()
    assert store.has("by-hand")
    await store.create("new")
    assert store.has("new")
    await store.remove("new")
    assert not store.has("new")
    with contextlib.suppress(FileNotFoundError):
        os.rename(root, root.with_name("gone"))
    with pytest.raises(Exception, match="away"):
        await store.look()
    assert "away" in store.away
