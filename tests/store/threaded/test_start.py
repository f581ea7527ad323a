"""From settings to a store in threads, or in the loop."""

import time

import pytest
from support import fuse

from vipsgate.build import store_of
from vipsgate.settings import Settings, SettingsError
from vipsgate.store.local.store import LocalStore
from vipsgate.store.threaded.store import ThreadedStore


@pytest.fixture
def mounted(tmp_path):
    if reason := fuse.missing():
        pytest.skip(reason)
    for name in ("files/photos", "root"):
        (tmp_path / name).mkdir(parents=True)
    with fuse.mounted(tmp_path / "files", tmp_path / "root") as files:
        yield files


def settings(root, **options):
    return Settings(store={"url": f"file://{root}", "timeout_seconds": 0.3, **options})


async def test_each_word(tmp_path):
    (tmp_path / "photos").mkdir()
    for threads, kind in {True: ThreadedStore, False: LocalStore, "auto": ThreadedStore}.items():
        store = store_of(settings(tmp_path, threads=threads))
        assert type(store._base) is kind
        await store.look()
        assert store.has("photos")
        in_loop = isinstance(store._of("photos"), LocalStore)
        assert in_loop == (threads is not True), threads


async def test_a_root_that_may_hang(mounted, tmp_path):
    store = store_of(settings(tmp_path / "root"))
    await store.look()
    assert isinstance(store._of("photos"), ThreadedStore)
    assert store._direct == {}


def test_a_root_that_hangs(mounted, tmp_path):
    mounted.hang()
    begun = time.monotonic()
    with pytest.raises(SettingsError, match=r"store\.url = .*does not answer in time"):
        store_of(settings(tmp_path / "root"))
    assert time.monotonic() - begun < 5
    mounted.go_on()


def test_no_folder(tmp_path):
    for threads in (True, False, "auto"):
        with pytest.raises(SettingsError, match="is not a folder"):
            store_of(settings(tmp_path / "none", threads=threads))
    with pytest.raises(ValueError, match="threads"):
        settings(tmp_path, threads="perhaps")
