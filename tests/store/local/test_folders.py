"""Objects whose name is a folder's: one step from a file to a folder, and nothing is lost."""

import asyncio
import errno
import os
import threading

import pytest
from support.store_conformance import content, keys, put

from vipsgate.errors import InvalidObjectName, NoSuchKey, OssError
from vipsgate.store.base import Properties
from vipsgate.store.local import folders
from vipsgate.store.local.disk import Disk
from vipsgate.store.local.store import LocalStore

FULL = Properties("a/b", "private", {"cache-control": "no-cache"}, {"a": "1"})


@pytest.fixture
async def store(tmp_path):
    made = LocalStore(tmp_path)
    await made.create("photos")
    return made


async def test_where_they_are(store, tmp_path):
    for key in ("dir/a", "dir", "dir/"):
        await put(store, key, key.encode())
    bucket = tmp_path / "photos"
    found = {
        str(path.relative_to(bucket)): path.read_bytes()
        for path in bucket.rglob("*")
        if path.is_file() and path.parent != bucket / ".vipsgate"
    }
    assert found == {
        "dir/a": b"dir/a",
        "dir/.vipsgate/object": b"dir",
        "dir/.vipsgate/folder": b"dir/",
    }


async def test_a_folder_by_hand_is_no_object(store, tmp_path):
    (tmp_path / "photos/dir").mkdir()
    (tmp_path / "photos/dir/a").write_bytes(b"a")
    for key in ("dir", "dir/"):
        with pytest.raises(NoSuchKey):
            await store.stat("photos", key)
        await store.delete("photos", key)
    assert await keys(store, limit=9) == ["dir/a"]


async def test_a_file_by_hand_stays_the_object_when_something_comes_below_it(store, tmp_path):
    (tmp_path / "photos/a").write_bytes(b"by hand")
    await put(store, "a/b/c", b"below")
    assert await content(store, "a") == b"by hand"
    await store.delete("photos", "a/b/c")
    assert await keys(store, limit=9) == ["a"]


async def test_an_object_keeps_all_that_is_known_of_it(store):
    made = await put(store, "a", b"data", FULL)
    await put(store, "a/b", b"below")
    assert await store.stat("photos", "a") == made
    told = await store.describe("photos", "a", Properties("c/d"))
    assert (told.etag, told.properties) == (made.etag, Properties("c/d"))
    assert (await store.stat("photos", "a/b")).properties == Properties()


async def test_a_reader_never_misses_it(store, tmp_path):
    """While it becomes a folder, and while others come and go below it."""
    await put(store, "a", b"data")
    missed, over = [], threading.Event()

    def read():
        other = Disk(tmp_path)
        while not over.is_set():
            try:
                other.open("photos", "a").close()
            except NoSuchKey as error:
                missed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for turn in range(20):
            await put(store, "a/b", b"below")
            await put(store, "a", b"%d" % turn)
            await store.delete("photos", "a/b")
    finally:
        over.set()
        await asyncio.to_thread(thread.join)
    assert missed == []
    assert await content(store, "a") == b"19"


def left(tmp_path):
    return list((tmp_path / "photos/.vipsgate/drafts").rglob("*"))


@pytest.mark.parametrize("number", [errno.ENOTDIR, errno.EACCES, errno.EIO])
async def test_where_it_cannot_be_done_nothing_changes(store, tmp_path, monkeypatch, number):
    await put(store, "a", b"data")

    def exchange(*words):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folders, "_exchange", exchange)
    with pytest.raises(OssError) as caught:
        await put(store, "a/b", b"")
    assert isinstance(caught.value, InvalidObjectName) == (number == errno.ENOTDIR)
    assert await content(store, "a") == b"data"
    assert await keys(store, limit=9) == ["a"]
    assert left(tmp_path) == []


@pytest.mark.parametrize("step", ["_sync", "_exchange", "unlink"])
async def test_a_process_that_dies_midway_leaves_nothing_behind_and_loses_nothing(
    store, tmp_path, step
):
    """A process that ends without a word, after each step; the next start sweeps."""
    await put(store, "a", b"data")
    child = os.fork()
    if not child:  # what happens here is only what the kernel does
        real = folders._exchange
        if step == "_exchange":
            folders._exchange = lambda *words: (real(*words), os._exit(0))
        elif step == "_sync":
            folders._sync = lambda *words: os._exit(0)
        else:
            folders.os = type("Os", (), {**vars(os), "unlink": lambda *a, **b: os._exit(0)})
        bucket = os.open(tmp_path / "photos", os.O_RDONLY)
        drafts = os.open(tmp_path / "photos/.vipsgate/drafts", os.O_RDONLY)
        try:
            folders.unfold(bucket, "a", drafts)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert left(tmp_path) != []
    assert await content(store, "a") == b"data"
    await LocalStore(tmp_path).sweep()
    assert left(tmp_path) == []
    assert await content(store, "a") == b"data"
    assert await keys(store, limit=9) == ["a"]


@pytest.mark.parametrize(
    ("key", "aliases"),
    [
        *(("dir/", ()), ("dir", ()), ("link/", ("dir/",)), ("link", ("dir",))),
        *(("to-link/", ("link/", "dir/")), ("file", ("dir/",)), ("link/a", ("dir/a",))),
    ],
)
async def test_links_are_known_by_all_their_names(store, tmp_path, key, aliases):
    """So that no rule of protection is passed by another name."""
    for name in ("dir/a", "dir", "dir/"):
        await put(store, name, b"")
    for name, aim in {"link": "dir", "to-link": "link", "file": "dir/.vipsgate/folder"}.items():
        (tmp_path / "photos" / name).symlink_to(aim)
    assert (await store.stat("photos", key)).aliases == aliases


@pytest.mark.parametrize("name", ["lock", "other", "drafts/x"])
async def test_no_link_leads_to_what_is_ours(store, tmp_path, name):
    await put(store, "dir/", b"")
    for place in (".vipsgate", "dir/.vipsgate"):
        path = tmp_path / "photos" / place / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        link = tmp_path / "photos/link"
        link.symlink_to(f"{place}/{name}")
        with pytest.raises(NoSuchKey):
            await store.stat("photos", "link")
        link.unlink()
