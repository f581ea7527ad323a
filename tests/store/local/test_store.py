"""A folder as a store: what is an object, what is not, and that nothing leads out."""

import contextlib
import errno
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from support.examples import times

from vipsgate.buckets import INTERNAL
from vipsgate.errors import (
    AccessDenied,
    BucketNotEmpty,
    MetadataTooLarge,
    NoSuchKey,
    OssError,
    Unimplemented,
)
from vipsgate.store.base import PLAIN, Page, Properties
from vipsgate.store.local.store import LocalStore

CANARY = b"this lies outside of the bucket"
DATA = b"0123456789"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    bucket = folder / "photos"
    (bucket / "sub" / ".vipsgate").mkdir(parents=True)
    (bucket / ".vipsgate").mkdir()
    (folder / "photos-secret").mkdir()
    (folder / ".vipsgate").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for path in ("a.jpg", "sub/b.jpg", "with space", "西湖", ".hidden", "..dots", "n" * 255):
        (bucket / path).write_bytes(DATA)
    (bucket / "gone (deleted)").write_bytes(DATA)
    (bucket / "empty").write_bytes(b"")
    for path in (
        *(tmp_path / "outside", tmp_path / "elsewhere" / "c", folder / "photos-secret" / "c"),
        *(folder / ".vipsgate" / "c", bucket / ".vipsgate" / "c", bucket / "sub/.vipsgate/c"),
        folder / "c",
    ):
        path.write_bytes(CANARY)
    for name, aim in {
        "inside": "a.jpg",
        "inside-folder": "sub",
        "inside-chain": "inside",
        "inside-around": "../photos/a.jpg",
        "outside": "../../outside",
        "outside-absolute": str(tmp_path / "outside"),
        "outside-chain": "outside",
        "outside-folder": "../../elsewhere",
        "sibling": "../photos-secret",
        "parent": "..",
        "documents": "../.vipsgate",
        "own-documents": ".vipsgate",
        "dangling": "nowhere",
        "loop": "loop",
        "zero": "/dev/zero",
        "null": "/dev/null",
        "environment": "/proc/self/environ",
    }.items():
        (bucket / name).symlink_to(aim)
    os.mkfifo(bucket / "pipe")
    with socket.socket(socket.AF_UNIX) as plug:
        here = os.open(bucket, os.O_RDONLY)
        plug.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    # a bucket may itself live elsewhere
    (tmp_path / "disk2" / "data").mkdir(parents=True)
    (tmp_path / "disk2" / "data" / "d.jpg").write_bytes(DATA)
    (tmp_path / "disk2" / "out").write_bytes(CANARY)
    (tmp_path / "disk2" / "data" / "up").symlink_to("../out")
    (folder / "mounted").symlink_to(tmp_path / "disk2" / "data")
    return folder


@pytest.fixture
def store(root):
    return LocalStore(root)


async def content(store, bucket, key):
    opened = await store.open(bucket, key)
    try:
        return os.pread(opened.descriptor, 1000, 0)
    finally:
        opened.close()


THERE = [
    ("photos", "a.jpg"),
    ("photos", "sub/b.jpg"),
    ("photos", "with space"),
    ("photos", "西湖"),
    ("photos", ".hidden"),
    ("photos", "..dots"),
    ("photos", "n" * 255),
    ("photos", "gone (deleted)"),
    ("photos", "inside"),
    ("photos", "inside-folder/b.jpg"),
    ("photos", "inside-chain"),
    ("photos", "inside-around"),
    ("mounted", "d.jpg"),
]


@pytest.mark.parametrize(("bucket", "key"), THERE)
async def test_is_there(store, bucket, key):
    found = await store.stat(bucket, key)
    assert found.size == len(DATA)
    assert found.etag.startswith('"')
    assert found.etag.endswith('"')
    opened = await store.open(bucket, key)
    opened.close()
    assert opened.object == found
    assert await content(store, bucket, key) == DATA


async def test_an_empty_object_is_one(store):
    assert (await store.stat("photos", "empty")).size == 0
    assert await content(store, "photos", "empty") == b""


ABSENT = [
    *("missing", "a.jpg/x", "sub", "sub/", "SUB/b.jpg", "A.JPG", "n" * 256, "n" * 1023),
    *("outside", "outside-absolute", "outside-chain", "outside-folder/c", "outside-folder"),
    *("sibling/c", "parent/c", "parent/photos-secret/c", "parent", "parent/.vipsgate/c"),
    *("documents/c", "own-documents/c", ".vipsgate/c", ".vipsgate", "sub/.vipsgate/c"),
    *("inside-folder/.vipsgate/c", "dangling", "loop", "loop/x", "zero", "null", "environment"),
    *("pipe", "socket", "", ".", "..", "../c", "../../outside", "sub/../../c"),
    *("../photos-secret/c", "/etc/passwd", "/" + "x" * 5000, "a/" * 2000),
]


@pytest.mark.parametrize("key", ABSENT, ids=lambda key: key[:40])
async def test_is_not_there(store, key):
    """A store keeps its own walls: also names that its caller would not let pass."""
    for look in (store.stat, store.open):
        with pytest.raises(NoSuchKey) as caught:
            await look("photos", key)
        assert caught.value.ec == "0026-00000001"
        assert caught.value.extra == {"Key": key}


@pytest.mark.parametrize("key", ["up", "../out", "../../outside"])
async def test_a_bucket_elsewhere_has_walls_too(store, key):
    for look in (store.stat, store.open):
        with pytest.raises(NoSuchKey):
            await look("mounted", key)


async def test_a_nul_is_refused(store):
    for look in (store.stat, store.open):
        with pytest.raises((OssError, ValueError)):
            await look("photos", "a\0b")


@pytest.mark.parametrize(
    ("bucket", "there"),
    [("photos", True), ("mounted", True), ("photos-secret", True), ("none", False), ("c", False)],
)
def test_has(store, bucket, there):
    assert store.has(bucket) is there


async def test_nothing_in_a_bucket_that_is_not_there(store):
    for look in (store.stat, store.open):
        with pytest.raises(NoSuchKey):
            await look("none", "a.jpg")


@pytest.fixture
def reachable():
    """A root that everybody can reach, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="vipsgate-") as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "photos").mkdir()
        (Path(folder) / ".vipsgate").mkdir()
        yield Path(folder)


@contextlib.contextmanager
def as_nobody():
    """Root may read all files, nobody none that are shut."""
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(me)


async def test_what_the_server_may_not_read(reachable):
    path = reachable / "photos" / "a.jpg"
    path.write_bytes(DATA)
    path.chmod(0)
    store = LocalStore(reachable)
    with as_nobody(), pytest.raises(OssError) as caught:
        await store.open("photos", "a.jpg")
    assert caught.value.status == 403


async def test_our_own_documents_are_not_passed_over_when_they_may_not_be_read(reachable):
    """In a bucket such a folder is no object; a document that nobody has seen closes nothing."""
    for folder in (reachable / "photos" / "shut", reachable / ".vipsgate" / "buckets"):
        folder.mkdir()
        folder.chmod(0)
    store = LocalStore(reachable)
    await store.buckets()  # what a thread needs of Python is not for nobody to read
    with as_nobody():
        assert await store.list("photos", prefix="shut/", limit=9) == Page([], [], "")
        with pytest.raises(AccessDenied):
            await store.list(INTERNAL, prefix="buckets/", limit=9)


async def test_looking_makes_nothing(tmp_path):
    """A store may be on a disk that is only read; then it has no documents of ours."""
    (tmp_path / "photos").mkdir()
    store = LocalStore(tmp_path)
    assert await store.list(INTERNAL, prefix="buckets/", limit=5) == Page([], [], "")
    await store.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert not list((tmp_path / "photos").iterdir())


# -- the tag ---------------------------------------------------------------------------------------


def replaced(path):
    beside = path.with_name("beside")
    beside.write_bytes(DATA[::-1])
    beside.rename(path)


def rewritten(path):
    with path.open("r+b") as file:
        file.write(DATA[::-1])


def made_anew(path):
    path.unlink()
    path.write_bytes(DATA[::-1])


@pytest.mark.parametrize("change", [replaced, rewritten, made_anew])
async def test_the_tag_changes_with_the_bytes(store, root, change):
    """Also where length and time stay as they were."""
    path = root / "photos" / "a.jpg"
    facts, before = path.stat(), await store.stat("photos", "a.jpg")
    change(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    after = await store.stat("photos", "a.jpg")
    assert (after.size, after.modified) == (before.size, before.modified)
    assert after.etag != before.etag


async def test_the_tag_stays_when_nothing_happens(store, root):
    before = await store.stat("photos", "a.jpg")
    (root / "photos" / "neighbour").write_bytes(b"x")
    (root / "photos" / "a.jpg").read_bytes()
    assert await store.stat("photos", "a.jpg") == before
    assert (await store.stat("photos", "sub/b.jpg")).etag != before.etag


async def test_an_opened_object_stays_what_it_was(store, root):
    """It is replaced while it is read: the reader has the old one whole."""
    opened = await store.open("photos", "a.jpg")
    replaced(root / "photos" / "a.jpg")
    assert os.pread(opened.descriptor, 100, 0) == DATA
    opened.close()
    assert await content(store, "photos", "a.jpg") == DATA[::-1]


# -- races -----------------------------------------------------------------------------------------


def swapping(path, aims, stop):
    """Point a link here and there, without a moment in which it is not there."""
    beside = path.with_name(f"{path.name}-next")
    turn = 0
    while not stop.is_set():
        beside.symlink_to(aims[turn % len(aims)])
        beside.rename(path)
        turn += 1


@pytest.mark.parametrize(
    ("name", "key", "aims"),
    [
        ("swapped", "swapped", ["a.jpg", "../../outside"]),
        ("swapped", "swapped/b.jpg", ["sub", "../../traps"]),
        ("swapped", "swapped/b.jpg", ["sub", ".vipsgate"]),
        ("swapped", "swapped/b.jpg", ["sub", "../photos-secret"]),
    ],
    ids=["file", "folder", "documents", "sibling"],
)
async def test_a_swapped_link_never_leads_out(store, root, name, key, aims):
    (root.parent / "traps").mkdir()
    for trap in ("../traps", ".vipsgate", "photos/.vipsgate", "photos-secret"):
        (root / trap / "b.jpg").write_bytes(CANARY)
    path = root / "photos" / name
    path.symlink_to(aims[0])
    stop = threading.Event()
    swapper = threading.Thread(target=swapping, args=(path, aims, stop))
    swapper.start()
    inside = outside = 0
    try:
        while inside + outside < times(2000) or not (inside and outside):
            try:
                assert await content(store, "photos", key) == DATA
                inside += 1
            except NoSuchKey:
                outside += 1
    finally:
        stop.set()
        swapper.join()


async def test_no_descriptor_is_lost(store):
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(20):
        for key in ("a.jpg", "missing", "outside", "pipe", "sub", "environment", "loop"):
            for look in (store.stat, content):
                try:
                    await (
                        look("photos", key) if look == store.stat else look(store, "photos", key)
                    )
                except NoSuchKey:
                    continue
    assert count() == before


# -- writing ---------------------------------------------------------------------------------------


async def put(store, key, data=b"new", properties=PLAIN, bucket="photos"):
    async with store.draft(bucket) as draft:
        await draft.write(data)
        return await draft.keep(key, properties)


@pytest.mark.parametrize(
    "key",
    [
        *("outside-folder/x", "parent/x", "sibling/c", "documents/x", "documents/buckets/a.json"),
        *("parent/photos-secret/c", "outside-folder/deep/x", "loop/x", "dangling/x"),
    ],
)
async def test_nothing_is_written_outside(store, root, key):
    before = {path: path.read_bytes() for path in root.parent.rglob("c") if path.is_file()}
    with pytest.raises(OssError) as caught:
        await put(store, key)
    assert caught.value.status == 400
    assert {path: path.read_bytes() for path in root.parent.rglob("c") if path.is_file()} == before
    assert not list(root.parent.rglob("x"))


@pytest.mark.parametrize("key", ["outside", "outside-absolute", "outside-chain", "zero", "pipe"])
async def test_a_link_is_replaced_and_not_followed(store, root, key):
    await put(store, key)
    assert await content(store, "photos", key) == b"new"
    assert (root.parent / "outside").read_bytes() == CANARY


async def test_a_link_inside_is_replaced_and_what_it_led_to_stays(store):
    await put(store, "inside")
    assert await content(store, "photos", "a.jpg") == DATA
    await put(store, "inside-folder/new")
    assert await content(store, "photos", "sub/new") == b"new"


@pytest.mark.parametrize("key", ["outside", "outside-folder/c", "sibling/c", "parent/c", "zero"])
async def test_what_is_no_object_is_not_taken_away(store, root, key):
    await store.delete("photos", key)
    assert os.path.lexists(root / "photos" / key)


async def test_a_listing_has_what_can_be_read_and_no_more(store, root):
    os.mkdir(root / "photos" / "hollow")
    (root / "photos" / os.fsdecode(b"\xff.jpg")).write_bytes(DATA)
    page = await store.list("photos", limit=100)
    listed = [key for key, _ in page.objects]
    for key in listed:
        await store.stat("photos", key)
    # a folder behind a link may lead in a circle
    there = {key for bucket, key in THERE if bucket == "photos"} - {"inside-folder/b.jpg"}
    assert set(listed) == there | {"empty"}
    assert (await store.list("mounted", limit=9)).objects[0][0] == "d.jpg"
    page = await store.list("photos", delimiter="/", limit=100)
    assert page.prefixes == ["sub/"]


@pytest.mark.parametrize(
    "prefix",
    [
        *("../", "../photos/", "../photos-secret/", "./", "/", "//", "sub//", "sub/../", "sub/./"),
        *("../../", ".vipsgate/", "sub/.vipsgate/", "outside-folder/", "parent/", "sibling/"),
        *("a.jpg/", "nowhere/", "loop/", "dangling/", "zero/", "pipe/", f"{'n' * 300}/"),
    ],
)
async def test_no_prefix_leads_outside(store, prefix):
    for more in ("", "c", "photos-secret/"):
        page = await store.list("photos", prefix=prefix + more, limit=9)
        assert page == Page([], [], "")


async def test_a_folder_behind_a_link_is_listed_when_it_is_named(store):
    page = await store.list("photos", prefix="inside-folder/", limit=9)
    assert [key for key, _ in page.objects] == ["inside-folder/b.jpg"]


async def test_a_bucket_elsewhere_is_written_and_unlinked(store, root):
    await put(store, "e/f", bucket="mounted")
    elsewhere = root.parent / "disk2" / "data"
    assert (elsewhere / "e" / "f").read_bytes() == b"new"
    for key in ("e/f", "d.jpg"):
        await store.delete("mounted", key)
    await store.remove("mounted")
    assert not (root / "mounted").exists()
    assert elsewhere.is_dir()


async def test_a_bucket_with_somebody_elses_files_stays(store, root):
    await store.create("odd")
    (root / "odd" / "out").symlink_to("../../outside")
    with pytest.raises(BucketNotEmpty):
        await store.remove("odd")


# -- the attribute ---------------------------------------------------------------------------------


async def test_what_is_edited_by_hand_keeps_its_acl_alone(store, root):
    told = Properties(content_type="x/y", acl="private", meta={"a": "b"})
    before = await put(store, "e", b"0123", told)
    (root / "photos" / "e").write_bytes(b"4567")
    os.utime(root / "photos" / "e", ns=(1, 1))
    after = await store.stat("photos", "e")
    assert (after.properties, after.crc) == (Properties(acl="private"), None)
    assert after.etag != before.etag


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"properties": 5}', b"\xff"])
async def test_an_attribute_that_is_not_ours_closes_the_object(store, root, data):
    await put(store, "e")
    os.setxattr(root / "photos" / "e", "user.vipsgate", data)
    assert (await store.stat("photos", "e")).properties == Properties(acl="private")


async def test_more_than_the_file_system_keeps(store):
    with pytest.raises(MetadataTooLarge):
        await put(store, "e", properties=Properties(meta={"a": "b" * 70_000}))
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "e")


async def test_a_file_system_without_attributes(store, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    made = await put(store, "e")
    assert made == await store.stat("photos", "e")
    for properties in (Properties(acl="private"), Properties(meta={"a": "b"})):
        with pytest.raises(Unimplemented, match="no extended attributes"):
            await put(store, "f", properties=properties)
    with pytest.raises(NoSuchKey):
        await store.stat("photos", "f")


async def test_a_file_system_without_nameless_files(store, monkeypatch, root):
    real = os.open

    def refuse(path, flags, *args, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    await put(store, "e")
    assert await content(store, "photos", "e") == b"new"
    async with store.draft("photos") as draft:
        await draft.write(b"x")
        await store.sweep()  # the draft of the living stays
        await draft.keep("f", PLAIN)
    async with store.draft("photos"):
        pass
    assert not list((root / "photos" / ".vipsgate" / "drafts").iterdir())
