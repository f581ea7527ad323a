"""What must not happen to a store on a disk: others' files touched, pages cut short, 500s."""

import asyncio
import errno
import gc
import json
import os
import subprocess
import threading
import time

import pytest

from vipsgate.buckets import INTERNAL
from vipsgate.errors import (
    InsufficientStorage,
    InvalidObjectName,
    MetadataTooLarge,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    ServiceUnavailable,
    Unimplemented,
)
from vipsgate.store.base import PLAIN, Properties
from vipsgate.store.local import draft
from vipsgate.store.local.store import LocalStore


@pytest.fixture
async def store(tmp_path):
    (tmp_path / "root").mkdir()
    made = LocalStore(tmp_path / "root")
    await made.create("photos")
    return made


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "root" / "photos"


async def put(store, key, data=b"new", properties=PLAIN, bucket="photos", **options):
    async with store.draft(bucket) as draft:
        await draft.write(data)
        return await draft.keep(key, properties, **options)


# -- cancelling ------------------------------------------------------------------------------------


async def test_who_is_cancelled_while_writing_does_not_write_into_anothers_file(
    store, photos, tmp_path, monkeypatch
):
    """The thread goes on; its descriptor's number must not be another file's by then."""
    begun, go = threading.Event(), threading.Event()
    real = os.write

    def slow(descriptor, data):
        if threading.current_thread() is not threading.main_thread() and not begun.is_set():
            begun.set()
            go.wait(10)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slow)
    writing = asyncio.create_task(put(store, "a", b"x" * 1_000_000))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.sleep(0.1)
    # somebody else opens files now
    others = [os.open(tmp_path / f"other{n}", os.O_RDWR | os.O_CREAT) for n in range(8)]
    go.set()
    await asyncio.wait({writing})
    await asyncio.sleep(0.2)
    assert writing.cancelled()
    sizes = [os.fstat(descriptor).st_size for descriptor in others]
    for descriptor in others:
        os.close(descriptor)
    assert sizes == [0] * 8


async def test_who_is_cancelled_while_keeping_does_not_describe_anothers_file(
    store, photos, tmp_path, monkeypatch
):
    begun, go = threading.Event(), threading.Event()
    real = os.setxattr

    def slow(*args, **options):
        begun.set()
        go.wait(10)
        return real(*args, **options)

    monkeypatch.setattr(os, "setxattr", slow)
    keeping = asyncio.create_task(put(store, "a", properties=Properties(acl="public-read")))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.sleep(0.1)
    others = [os.open(tmp_path / f"other{n}", os.O_RDWR | os.O_CREAT) for n in range(8)]
    go.set()
    await asyncio.wait({keeping})
    await asyncio.sleep(0.2)
    told = [os.listxattr(descriptor) for descriptor in others]
    for descriptor in others:
        os.close(descriptor)
    assert told == [[]] * 8


async def test_what_fails_behind_who_is_cancelled_is_told_to_nobody():
    """A future whose exception nobody has asked for is complained of when it is thrown away."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))
    begun, go = threading.Event(), threading.Event()

    def fail():
        begun.set()
        go.wait(10)
        raise InvalidObjectName("no")

    for times in (1, 2):  # who is cancelled again still waits
        begun.clear()
        go.clear()
        working = asyncio.create_task(draft.apart(fail))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(times):
            working.cancel()
            await asyncio.sleep(0.001)
            assert not working.done()
        go.set()
        await asyncio.wait({working})
        assert working.cancelled()
        del working
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    with pytest.raises(InvalidObjectName):
        await draft.apart(fail)
    assert await draft.apart(lambda a, b: a + b, 1, b=2) == 3


# -- the attribute ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"acl": None},
        {"acl": 5},
        {"acl": "sideways"},
        {"acl": []},
        {"headers": 5},
        {"headers": {"cache-control": 5}},
        {"meta": ["a"]},
        {"content_type": 5, "type": 5},
        {"kind": None},
    ],
    ids=str,
)
async def test_an_attribute_of_another_shape_closes_the_object(store, photos, change):
    await put(store, "e", properties=Properties(acl="private"))
    about = json.loads(os.getxattr(photos / "e", "user.vipsgate"))
    about.get("properties", about).update(change)
    os.setxattr(photos / "e", "user.vipsgate", json.dumps(about).encode())
    assert (await store.stat("photos", "e")).properties == Properties(acl="private")


async def test_a_file_system_without_attributes_takes_what_clients_send(store, monkeypatch):
    """Every SDK sends a Content-Type."""

    def refuse(*args, **options):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    await put(store, "e", properties=Properties(content_type="image/jpeg"))
    for told in ({"acl": "private"}, {"meta": {"a": "b"}}, {"headers": {"expires": "0"}}):
        with pytest.raises(Unimplemented):
            await put(store, "f", properties=Properties(**told))


async def test_too_large_says_the_limit(store):
    with pytest.raises(MetadataTooLarge, match=r"70\d{3} bytes"):
        await put(store, "e", properties=Properties(meta={"a": "b" * 70_000}))


@pytest.fixture
def small(tmp_path):
    """A folder on an ext4 of a few MB."""
    image, place = tmp_path / "disk", tmp_path / "small"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {getattr(error, 'stderr', error)}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def tmpfs(tmp_path):
    place = tmp_path / "tmpfs"
    place.mkdir()
    run = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False
    )
    if run.returncode:
        pytest.skip("only root may mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("disk", ["small", "tmpfs"])
async def test_a_full_disk_is_said_to_be_full(disk, request):
    place = request.getfixturevalue(disk)
    (place / "root").mkdir()
    store = LocalStore(place / "root")
    await store.create("photos")
    await put(store, "a", b"old")

    async def fill(folder, data):
        for number in range(10_000):
            await put(store, f"{folder}/{number:05d}", data)

    with pytest.raises(InsufficientStorage):
        await fill("coarse", os.urandom(60_000))
    if disk == "small":  # a tmpfs counts bytes only
        with pytest.raises(InsufficientStorage):
            await fill("fine", b"")
    assert (await store.stat("photos", "a")).size == 3
    drafts = place / "root" / "photos" / INTERNAL / "drafts"
    assert not list(drafts.iterdir())
    await store.delete("photos", "coarse/00000")
    await put(store, "a", b"newer")


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["own/drafts/x", "own/x", f"{INTERNAL}/x", f"sub/{INTERNAL}/x"])
async def test_nothing_is_written_among_our_own_files(store, photos, key):
    await put(store, "a")
    (photos / "own").symlink_to(INTERNAL)
    with pytest.raises(InvalidObjectName):
        await put(store, key)
    assert not list(photos.rglob("x"))


@pytest.mark.parametrize("key", ["", ".", "..", "a/..", "a/../b", "a/./b", "a//b", "a//", "a\0b"])
async def test_what_is_no_name(store, key):
    with pytest.raises(InvalidObjectName):
        await put(store, key)


async def test_a_link_for_our_own_folder_leads_nowhere(store, photos, tmp_path):
    """Drafts and locks are written, too."""
    (tmp_path / "elsewhere").mkdir()
    (photos / INTERNAL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OssError):
        await put(store, "a", expected="")
    assert not list((tmp_path / "elsewhere").rglob("*"))


async def test_folders_that_a_dead_process_has_left_are_no_objects(store, photos):
    (photos / "a" / "b" / "c").mkdir(parents=True)
    await put(store, "a")
    assert (await store.stat("photos", "a")).size == 3


async def test_no_bucket_comes_of_a_draft(store, tmp_path):
    with pytest.raises(NoSuchBucket):
        await put(store, "a", bucket="none")
    assert not (tmp_path / "root" / "none").exists()


async def test_a_draft_for_a_bucket_that_is_taken_away(store, tmp_path):
    for options in ({}, {"expected": ""}):
        async with store.draft("photos") as draft:
            await draft.write(b"x")
            await store.remove("photos")
            with pytest.raises(NoSuchBucket):
                await draft.keep("a", PLAIN, **options)
        assert not (tmp_path / "root" / "photos").exists()
        await store.create("photos")


# -- expected --------------------------------------------------------------------------------------


async def test_a_put_between_the_look_and_the_rename(store, monkeypatch):
    """Who wants to make a new object must not lay it over one that has come meanwhile."""
    here = threading.current_thread()
    begun, go = threading.Event(), threading.Event()
    real = os.rename

    def slow(*args, **options):
        if not begun.is_set() and threading.current_thread() is not here:
            begun.set()
            go.wait(1)
        return real(*args, **options)

    monkeypatch.setattr(os, "rename", slow)
    first = asyncio.create_task(put(store, "a", b"expects nothing", expected=""))
    while not begun.is_set():
        await asyncio.sleep(0.01)
    second = asyncio.create_task(put(store, "a", b"any"))
    await asyncio.wait({second}, timeout=0.3)
    go.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    if not isinstance(outcomes[0], PreconditionFailed):  # then it came first
        assert (await store.stat("photos", "a")).etag == outcomes[1].etag


# -- listings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["a\0b", "a\0/b", "n" * 300 + "/", "n/" * 3000, "loop/", "pipe/", "out/", "/", "../", "./",
     "//", f"{INTERNAL}/", "sub/../", "sub/../../", "sub//"],
    ids=lambda text: ascii(text[:12]),
)  # fmt: skip
async def test_a_prefix_that_leads_nowhere(store, photos, prefix):
    await put(store, "sub/a")
    (photos / "loop").symlink_to("loop")
    (photos / "out").symlink_to("..")
    os.mkfifo(photos / "pipe")
    page = await store.list("photos", prefix=prefix, limit=9)
    assert (list(page.objects), list(page.prefixes), page.next) == ([], [], "")


async def test_a_folder_that_may_not_be_read_does_not_spoil_the_listing(store, photos, monkeypatch):
    for key in ("shut/a", "sub/a", "z"):
        await put(store, key)
    real = os.scandir

    def refuse(place):
        if os.fsencode(place).endswith(b"/shut"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read all
    found = await store.list("photos", limit=9)
    assert [key for key, _ in found.objects] == ["sub/a", "z"]


async def test_a_listing_that_cannot_look_is_refused_and_not_shorter(store, monkeypatch):
    """Or a document would count as deleted, and a part would be left out of its object."""
    for key in "abc":
        await put(store, key)
    real = os.open

    def poor(path, *args, **options):
        if str(path).endswith("/b"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", poor)
    with pytest.raises(ServiceUnavailable):
        await store.list("photos", limit=9)


async def test_a_folder_that_cannot_be_read_now_is_refused(store, monkeypatch):
    await put(store, "sub/a")

    def poor(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "scandir", poor)
    for call in (lambda: store.list("photos", limit=9), store.buckets):
        with pytest.raises(ServiceUnavailable):
            await call()


def many(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        os.close(os.open(folder / f"k{number:06d}", os.O_CREAT))


async def test_a_small_page_behind_many_that_are_no_objects(store, photos):
    (photos / "odd").mkdir()
    for number in range(5000):
        os.symlink("../../../nowhere", photos / "odd" / f"l{number:05d}")
    await put(store, "z")
    begun = time.perf_counter()
    page = await store.list("photos", limit=1)
    assert [key for key, _ in page.objects] == ["z"]
    assert time.perf_counter() - begun < 5


async def test_common_prefixes_are_not_gone_through(store, photos, monkeypatch):
    for number in range(100):
        many(photos / f"d{number:03d}", 50)
    looks, look = [], store._disk._stat
    monkeypatch.setattr(store._disk, "_stat", lambda *name: looks.append(name) or look(*name))
    page = await store.list("photos", delimiter="/", limit=1000)
    assert len(page.prefixes) == 100
    assert 0 < len(looks) <= 200


async def test_deep(store):
    key = "/".join(["a"] * 512)
    await put(store, key)
    assert [name for name, _ in (await store.list("photos", limit=9)).objects] == [key]
    assert (await store.list("photos", delimiter="/", limit=9)).prefixes == ["a/"]
    await store.delete("photos", key)
    assert not (await store.list("photos", limit=9)).objects
    await put(store, "a")


async def test_describe_in_a_full_bucket_of_descriptors(store):
    """No descriptor is lost when a draft cannot be begun."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(OssError):
            await put(store, "n" * 300)
        with pytest.raises(OssError):
            await put(store, "a", bucket="none")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_delete_of_what_never_was(store):
    for key in ("none", "none/a", "n" * 300, "a/" * 3000 + "a", ".", "..", "", "a\0b"):
        await store.delete("photos", key)
    await store.delete("none", "a")


async def test_no_such_key_for_odd_names(store):
    for key in ("a\0b", "\udc80", "\ud800"):
        with pytest.raises(NoSuchKey):
            await store.stat("photos", key)
