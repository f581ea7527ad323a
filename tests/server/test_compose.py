"""Which cache the settings give, and what is said of its folder."""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import pytest
from support import fuse

from vipsgate.buckets import Origin
from vipsgate.build import SOURCES, store_of
from vipsgate.cli import findings
from vipsgate.server import compose
from vipsgate.settings import Settings, SettingsError
from vipsgate.store.threaded import filesystems

NFS, EXT4 = 0x6969, 0xEF53
SECONDS = 0.2  # after which a file system hangs


def settings(folder, **cache):
    cache = {"dir": str(folder), **cache}
    return Settings(cache=cache, store={"timeout_seconds": SECONDS})


@contextlib.asynccontextmanager
async def cache_of(chosen):
    cache = compose.cache_of(chosen)
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture
def hanging(monkeypatch):
    """A file system that says nothing of itself, until the test is over."""
    released = threading.Event()
    monkeypatch.setattr(filesystems, "kind", lambda path: released.wait(30) and EXT4)
    yield
    released.set()


@pytest.mark.parametrize(
    ("number", "said"), [(NFS, "the cache is on NFS"), (EXT4, "")], ids=["nfs", "ext4"]
)
async def test_a_folder_on_the_network_is_told(tmp_path, monkeypatch, capsys, number, said):
    looked = []
    monkeypatch.setattr(filesystems, "kind", lambda path: looked.append(path) or number)
    folder = tmp_path / "not" / "there" / "yet"
    async with cache_of(settings(folder)):
        assert folder.is_dir()
    printed = capsys.readouterr().err
    assert bool(printed) == bool(said)
    assert said in printed
    assert str(folder) in printed or not said
    assert looked == [str(tmp_path)]  # where it is going to be
    found = await asyncio.to_thread(findings._cache, settings(folder))
    assert (found.works, "NFS" in found.detail) == (True, bool(said))


async def test_nothing_is_said_where_nothing_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(filesystems, "kind", lambda path: NFS)
    async with cache_of(settings(tmp_path, disk_bytes=0)):
        assert list(tmp_path.iterdir()) == []
    assert compose.cache_of(settings(tmp_path, enabled=False)) is None
    assert capsys.readouterr().err == ""


def test_a_named_folder_that_hangs_stops_the_start(tmp_path, hanging):
    with pytest.raises(SettingsError, match=r"^cache.dir = '.*': its file system hangs$"):
        compose.cache_of(settings(tmp_path))
    found = findings._cache(settings(tmp_path))
    assert (found.works, found.detail) == (False, f"{tmp_path}: its file system hangs")


async def test_nothing_is_kept_where_the_home_hangs(tmp_path, monkeypatch, hanging, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    async with cache_of(settings("")):
        assert "nothing is kept on disk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def remote(folder, url, copies=1 << 20):
    """A store with copies beside the cache, and nothing else that is looked at."""
    store = {"url": url, "timeout_seconds": SECONDS, "threads": False, "source_cache_bytes": copies}
    return Settings(cache={"dir": str(folder)}, store=store)


@pytest.fixture(params=["all of it", "a bucket"])
def elsewhere(request, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if request.param == "all of it":
        return "s3://pictures/all"
    (tmp_path / "root").mkdir()
    return f"file://{tmp_path}/root"


def test_copies_in_a_named_folder_that_hangs_stop_the_start(tmp_path, elsewhere, hanging):
    place = tmp_path / "cache"
    with pytest.raises(SettingsError, match=r"^cache.dir = '.*': its file system hangs$"):
        store_of(remote(place, elsewhere))
    assert not place.exists()


def test_no_copies_are_kept_where_the_home_hangs(tmp_path, monkeypatch, elsewhere, hanging):
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    store_of(remote("", elsewhere))._reach("a", Origin("s3://pictures/a"))
    assert not home.exists()


def test_copies_are_kept_where_the_folder_answers(tmp_path, elsewhere):
    store_of(remote(tmp_path / "cache", elsewhere))._reach("a", Origin("s3://pictures/a"))
    assert (tmp_path / "cache" / SOURCES).is_dir()


def test_nobody_looks_where_no_copies_are_wanted(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(filesystems, "kind", lambda path: pytest.fail("a look"))
    monkeypatch.setattr(filesystems, "blocking", lambda path: pytest.fail("a look"))
    store_of(remote(tmp_path / "cache", elsewhere, copies=0))


async def test_a_mounted_one(tmp_path, capsys):
    if reason := fuse.missing():
        pytest.skip(reason)
    files, mounted = tmp_path / "files", tmp_path / "mounted"
    for folder in (files, mounted):
        folder.mkdir()
    with fuse.mounted(files, mounted):
        folder = Path(os.path.relpath(mounted)) / "cache"
        chosen = settings(folder, disk_bytes=1 << 20)
        assert compose._folder(chosen) == folder
    assert f"the cache is on FUSE, {compose.ON_NETWORK}: {folder}" in capsys.readouterr().err
