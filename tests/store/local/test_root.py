"""The folder of a store: known again, missed, and never made anew."""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from vipsgate.buckets import INTERNAL
from vipsgate.errors import NoSuchBucket, NoSuchKey, ServiceUnavailable
from vipsgate.store.base import PLAIN
from vipsgate.store.local.root import Identity, Root
from vipsgate.store.local.store import LocalStore

# at the start, found there, and whether it is the same: device, inode, file system
SAME = [
    ((1, 2, 7), (1, 2, 7), True),
    ((1, 2, 7), (9, 2, 7), True),  # the disk has come back as another device
    ((1, 2, 7), (1, 2, 8), False),  # another disk as this device
    ((1, 2, 7), (1, 3, 7), False),  # another folder of this disk
    ((1, 2, 0), (1, 2, 0), True),  # a file system that has no identity
    ((1, 2, 0), (9, 2, 0), False),
    ((1, 2, 7), (1, 2, 0), True),
    ((1, 2, 7), (9, 2, 0), False),
]


@pytest.mark.parametrize(("first", "found", "same"), SAME)
def test_what_is_the_same_folder(first, found, same):
    assert Identity(*first).same(Identity(*found)) is same


def test_away_and_there_again(tmp_path, caplog):
    now = [100.0]
    folder = tmp_path / "root"
    folder.mkdir()
    root = Root(str(folder), clock=lambda: now[0])
    assert (root.fault(), root.away_for()) == ("", None)
    folder.rename(tmp_path / "aside")
    for seconds in range(3):
        assert root.fault() == f"the store is away: {folder}: No such file or directory"
        assert root.away_for() == seconds
        now[0] += 1
    folder.mkdir()
    assert "not the one at the start" in root.fault()
    assert root.away_for() == 3  # since it was missed first
    with pytest.raises(ServiceUnavailable, match=r"^The store is away\.$"):
        root.check()
    with pytest.raises(ServiceUnavailable), root.opened():
        pass
    folder.rmdir()
    (tmp_path / "aside").rename(folder)
    assert (root.fault(), root.away_for()) == ("", None)
    with root.opened() as descriptor:
        assert os.path.samestat(os.fstat(descriptor), os.stat(folder))
    assert caplog.text.count("the store is away") == caplog.text.count("is there again") == 1


def test_what_was_not_there_at_the_start(tmp_path):
    """Nobody can say that it is the same one."""
    root = Root(str(tmp_path / "root"))
    assert root.fault()
    (tmp_path / "root").mkdir()
    assert "not the one at the start" in root.fault()


def test_one_that_may_not_be_read_may_still_have_buckets(tmp_path):
    store = LocalStore(tmp_path)
    (tmp_path / "photos").mkdir()
    tmp_path.chmod(0o311)
    try:
        assert store.has("photos")
        assert store.away == ""
    finally:
        tmp_path.chmod(0o700)


@pytest.fixture
def disks(tmp_path):
    """``disks(2)``: images of ext4, and how to mount one on ``tmp_path / "root"``."""
    place = tmp_path / "root"
    place.mkdir()
    held = []

    def run(*words):
        try:
            done = subprocess.run(words, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no disk can be mounted here: {getattr(error, 'stderr', error)}")
        return done.stdout.strip()

    def made(count):
        images = [tmp_path / f"disk{number}" for number in range(count)]
        for image in images:
            with image.open("wb") as file:
                file.truncate(8 << 20)
            run("mkfs.ext4", "-q", str(image))
        return images

    def mount(image):
        run("mount", "-o", "loop", str(image), str(place))

    def unmount():
        run("umount", str(place))

    def occupy(image):
        """Have the number of the device given to another one."""
        held.append(run("losetup", "--find", "--show", str(image)))

    yield made, mount, unmount, occupy
    subprocess.run(["umount", str(place)], check=False, capture_output=True)
    for device in held:
        subprocess.run(["losetup", "-d", device], check=False, capture_output=True)


async def put(store, key, data=b"data", bucket="photos", **options):
    async with store.draft(bucket) as draft:
        await draft.write(data)
        return await draft.keep(key, PLAIN, **options)


async def test_a_disk_that_is_mounted_again(disks, tmp_path):
    """The underlying folder is there, and another device may have the number of the first."""
    made, mount, unmount, occupy = disks
    first, second, third = made(3)
    mount(first)
    store = LocalStore(tmp_path / "root")
    await store.create("photos")
    before = await put(store, "a")
    device = (tmp_path / "root").stat().st_dev
    unmount()
    for call in (store.stat("photos", "a"), put(store, "a"), store.create("photos")):
        with pytest.raises(ServiceUnavailable):
            await call
    assert not list((tmp_path / "root").iterdir())
    mount(second)  # another one, as this device
    assert (tmp_path / "root").stat().st_dev == device
    with pytest.raises(ServiceUnavailable):
        await put(store, "a")
    unmount()
    occupy(third)
    mount(first)  # this one, as another device
    assert (tmp_path / "root").stat().st_dev != device
    assert await store.stat("photos", "a") == before
    await put(store, "b")
    assert store.away == ""


# -- a bucket that is elsewhere --------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path):
    (tmp_path / "root").mkdir()
    made = LocalStore(tmp_path / "root")
    await made.create("photos")
    return made


async def test_a_bucket_whose_place_is_away(store, tmp_path):
    elsewhere = tmp_path / "disk2" / "photos"
    elsewhere.mkdir(parents=True)
    (tmp_path / "root" / "far").symlink_to(elsewhere)
    await put(store, "a", bucket="far")
    (tmp_path / "disk2").rename(tmp_path / "aside")

    async def has():
        return store.has("far")

    calls = [
        has,
        lambda: store.stat("far", "a"),
        lambda: store.stat("far", "none"),
        lambda: store.open("far", "a"),
        lambda: store.describe("far", "a", PLAIN),
        lambda: store.delete("far", "a"),
        lambda: store.list("far", limit=9),
        lambda: put(store, "a", bucket="far"),
        lambda: store.create("far"),
        lambda: store.remove("far"),
    ]
    for call in calls:
        with pytest.raises(ServiceUnavailable) as caught:
            await call()
        assert caught.value.message == "The bucket is kept elsewhere, and that place is away."
    assert store.away == ""  # all others are there
    await store.sweep()
    await put(store, "a")
    assert not (tmp_path / "disk2").exists()
    (tmp_path / "aside").rename(tmp_path / "disk2")
    assert (await store.stat("far", "a")).size == 4


async def test_a_link_to_what_is_no_folder_is_no_bucket(store, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "root" / "far").symlink_to(tmp_path / "file")
    assert not store.has("far")
    with pytest.raises(NoSuchBucket):
        await put(store, "a", bucket="far")
    with pytest.raises(NoSuchKey):
        await store.stat("far", "a")


# -- races -----------------------------------------------------------------------------------------


class Flicker:
    """A root that goes and comes, with an empty folder in its place; what is made there is told."""

    def __init__(self, root, seed):
        self.root, self.aside = root, root.with_name("aside")
        self.chance, self.stop = random.Random(seed), threading.Event()
        self.strange, self.turns = [], 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        pause = threading.Event()
        while not self.stop.is_set():
            self.root.rename(self.aside)
            pause.wait(self.chance.uniform(0, 0.002))
            self.root.mkdir()
            pause.wait(self.chance.uniform(0, 0.002))
            self.strange += [path.name for path in self.root.iterdir()]
            shutil.rmtree(self.root)
            pause.wait(self.chance.uniform(0, 0.002))
            self.aside.rename(self.root)
            self.turns += 1
            pause.wait(self.chance.uniform(0, 0.004))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize(
    "turns",
    [
        30,
        pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
async def test_a_root_that_goes_and_comes_while_everything_is_done(store, tmp_path, turns):
    """What is said to be kept is there in the end; all else was refused; nothing is elsewhere."""
    kept, refused = {}, 0

    async def write(number, flicker):
        nonlocal refused
        turn = 0
        while flicker.turns < turns:
            turn += 1
            key, data = f"dir{number}/{turn % 7}", os.urandom(50_000)
            try:
                await put(store, key, data)
                kept[key] = data
                if turn % 5 == 0:
                    await store.delete("photos", key)
                    del kept[key]
                if turn % 11 == 0:
                    await put(store, f"buckets/b{number}.json", b"{}", bucket=INTERNAL)
                    await store.list(INTERNAL, prefix="buckets/", limit=9)
            except ServiceUnavailable:
                refused += 1
                await asyncio.sleep(0)

    with Flicker(tmp_path / "root", turns) as flicker:
        async with asyncio.timeout(1700):
            await asyncio.gather(*(write(number, flicker) for number in range(4)))
    assert flicker.strange == []
    assert refused
    for key, data in kept.items():
        with contextlib.closing(await store.open("photos", key)) as opened:
            assert opened.read() == data
    await store.sweep()
    drafts = tmp_path / "root" / "photos" / INTERNAL / "drafts"
    assert not list(drafts.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"root"}


async def test_reading_while_the_root_goes_and_comes(store, tmp_path):
    """Never other bytes; a miss is one that fell between two looks."""
    await put(store, "a", b"data")
    seen = {"there": 0, "away": 0}
    with Flicker(tmp_path / "root", 5) as flicker:
        while flicker.turns < 40 or not all(seen.values()):
            try:
                found = await store.stat("photos", "a")
                with contextlib.closing(await store.open("photos", "a")) as opened:
                    assert (opened.object, opened.read()) == (found, b"data")
                seen["there"] += 1
            except (ServiceUnavailable, NoSuchKey):
                seen["away"] += 1
    assert flicker.strange == []
    assert Path(tmp_path / "root" / "photos" / "a").read_bytes() == b"data"
