"""A disk without room: writes are refused and leave nothing, reads go on.

Where it is the cache's, what was not used for longest makes room, for purges as well.
"""

import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from PIL import Image

from vipsgate.cache import shortage
from vipsgate.cache.disk import Disk
from vipsgate.cache.entry import CacheKey, Entry
from vipsgate.cache.masters import Masters
from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Rule
from vipsgate.cache.tiers import Cache
from vipsgate.errors import InsufficientStorage
from vipsgate.gate import sign
from vipsgate.image import masters as pictures
from vipsgate.store.base import Object
from vipsgate.store.remote.client import StoreClient
from vipsgate.store.remote.objects import RemoteObjects
from vipsgate.store.remote.source_cache import SourceCache

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.photos]
acl = "public-read"
"""
KEY = sign.Credential("key1", "secret1")
ROOM = 6 << 20  # bytes of the whole disk
SIZE = 1 << 20  # bytes of what is kept
STYLE = Rule("photos", "style", "small")


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("needs the right to mount a tmpfs: run it as root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def site(serving, disk, tmp_path, root):
    (disk / "photos").mkdir()
    picture = (root / "examplebucket" / "example.jpg").read_bytes()
    (disk / "photos" / "example.jpg").write_bytes(picture)
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    with serving(disk, "--config", str(tmp_path / "vipsgate.toml")) as site:
        yield site


def ask(site, method, key, query=(), body=b"", **headers):
    request = sign.Request(method, "photos", key, tuple(query), sign.fields(headers.items()))
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    target = f"/photos/{key}?{text}"
    return site.ask(target, {**signed, **headers}, method=method, body=body)


def files(disk):
    return {path: path.stat().st_size for path in disk.rglob("*") if path.is_file()}


def test_writes_are_refused_whole_and_reads_go_on(site, disk):
    data = os.urandom(ROOM // 2)
    assert ask(site, "PUT", "first", body=data).status == 200
    before = files(disk)
    saveas = b"x-oss-process=image/resize,w_1500,limit_0/format,bmp|sys/saveas,o_YQ"
    for write in (
        lambda: ask(site, "PUT", "second", body=data),
        lambda: ask(site, "PUT", "first", body=os.urandom(ROOM)),
        lambda: ask(
            site, "PUT", "copy", **{"x-oss-copy-source": "/photos/first", "Content-Length": "0"}
        ),
        lambda: ask(site, "POST", "example.jpg", [("x-oss-process", "")], saveas),
    ):
        answer = write()
        assert (answer.status, answer.code) == (507, "InsufficientStorage")
        assert answer.message == "The store has no room left for this object."
        assert files(disk) == before
        assert site.ask("/photos/first").body == data
        assert site.ask("/photos/example.jpg?x-oss-process=image/resize,w_50").status == 200
    assert ask(site, "DELETE", "first").status == 204
    assert ask(site, "PUT", "second", body=data).status == 200


def test_a_cache_that_fills_its_disk_keeps_new_pictures(serving, disk, tmp_path, root):
    """Its budget is larger than the disk."""
    (tmp_path / "vipsgate.toml").write_text("[cache]\nmemory_bytes = 0\n")
    settings = ("--config", str(tmp_path / "vipsgate.toml"), "--cache-dir", str(disk / "cache"))
    with serving(root, *settings) as site:

        def answer(width):
            got = site.get("example.jpg", f"image/resize,w_{width}/format,bmp")
            assert got.status == 200
            return got

        first = answer(400)
        filling = ROOM // len(first.body) + 1
        for width in range(399, 399 - filling, -1):
            answer(width)
        for width in range(399 - filling, 300, -1):  # some of them come between two scans
            new = answer(width)
            again = answer(width)
            assert again.body == new.body
            if again.headers["X-Vipsgate-Cache"] == "hit":
                break
            time.sleep(0.2)
        else:
            pytest.fail("nothing new is kept")
        assert answer(400).body == first.body
        assert "the cache's disk is full" in site.log.read_text()
    assert not list((disk / "cache" / ".new").iterdir())


def fill(disk):
    """Have others take the rest of the disk."""
    facts = os.statvfs(disk)
    with (disk / "others").open("ab") as file:
        file.write(bytes(facts.f_bavail * facts.f_frsize))


def used_long_ago(folder, number):
    """Set the age of what was just kept."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_mtime > time.time() - 5000:
            os.utime(path, (time.time() - 10_000 + number,) * 2)


async def copied(copies, number):
    """Keep a copy of an object; return whether there was room."""
    item = Object(SIZE, f'"{number}"', 1.0)
    copy = await copies.begin("a", item)
    if copy is None:
        return False
    os.write(copy.descriptor, bytes(SIZE))
    await copies.keep(copy)
    os.close(copy.descriptor)
    return True


def has(copies, number):
    descriptor = copies.find("a", Object(SIZE, f'"{number}"', 1.0))
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


async def test_copies_of_objects_make_room_for_new_ones(disk, monkeypatch):
    monkeypatch.setattr(shortage, "INTERVAL", 0.0)
    copies = SourceCache(disk / "cache" / "sources", 1 << 30, "here")
    for number in range(10):
        assert await copied(copies, number)
        used_long_ago(disk, number)
    assert not has(copies, 0)
    assert has(copies, 9)
    assert len([path for path in disk.rglob("*") if path.is_file()]) == ROOM // SIZE


async def test_an_object_is_there_although_its_copy_has_no_room(disk):
    """Another one's copy makes none if others take it."""
    from obstore.store import MemoryStore

    fill(disk)
    copies = SourceCache(disk / "cache" / "sources", 1 << 30, "here")
    place = MemoryStore()
    place.put("a", bytes(SIZE))
    objects = RemoteObjects(StoreClient(place, 10), 0, 0, copies)
    for _ in range(3):
        with closing(await objects.open("a")) as opened:
            assert opened.read() == bytes(SIZE)
    (disk / "others").unlink()
    with closing(await objects.open("a")) as opened:
        assert opened.read() == bytes(SIZE)
    assert sum(path.stat().st_size for path in disk.rglob("*") if path.is_file()) == SIZE


async def test_masters_make_room_for_new_ones(disk, monkeypatch):
    """A renderer cannot write one, and tells how large it would have been."""
    pyvips = pytest.importorskip("pyvips")
    monkeypatch.setattr(shortage, "INTERVAL", 0.0)
    masters = Masters(disk / "cache" / "masters", 1 << 30)
    image = pyvips.Image.black(1024, 1023)
    kept = []
    for number in range(20):
        writing, reading = masters.blank()
        name = CacheKey("photos", f"{number}", "A" * 32)
        if pictures.write(image, writing):
            os.close(writing)
            masters.keep(name, reading)
            used_long_ago(disk, number)
            kept.append(number)
            continue
        assert os.fstat(reading).st_size == pytest.approx(SIZE, rel=0.01)
        masters.lacked(os.fstat(reading).st_size)
        os.close(writing)
        os.close(reading)
        await masters._scan
    assert 0 in kept
    assert len(kept) >= 12
    assert masters.open(CacheKey("photos", "0", "A" * 32)) is None
    await masters.close()


def test_a_server_keeps_new_masters_on_a_full_disk(serving, disk, tmp_path):
    (tmp_path / "root" / "photos").mkdir(parents=True)
    noise = Image.effect_noise((2600, 1700), 40).convert("RGB")
    for name in ("a", "b"):
        noise.save(tmp_path / "root" / "photos" / f"{name}.jpg", quality=90)
    (tmp_path / "vipsgate.toml").write_text("[image]\nmasters = true\n[cache]\ndisk_bytes = 100000")
    settings = ("--config", str(tmp_path / "vipsgate.toml"), "--cache-dir", str(disk / "cache"))
    with serving(tmp_path / "root", *settings) as site:

        def kept(name, width):
            """How many masters are there a moment after this picture."""
            answer = site.ask(f"/photos/{name}.jpg?x-oss-process=image/resize,w_{width}")
            assert answer.status == 200
            time.sleep(0.3)
            return [path for path in (disk / "cache" / ".masters").rglob("*") if path.is_file()]

        first = kept("a", 300)
        assert len(first) == 1
        kept("b", 300)
        second = kept("b", 200)
        assert len(second) == 1
        assert second != first


async def pictured(cache, number, style="small"):
    """Keep a picture that has a name under the purges, and return the name."""
    variant = cache.purges.renamed(f"{number:032X}", "photos", ["a"], [style])
    name = CacheKey("photos", "a", variant)
    await cache._disk.put(name, Entry("image/png", 0, 100_000, bytes(100_000)))
    return name


async def test_a_purge_makes_room_for_itself(disk):
    cache = Cache(Memory(0), Disk(disk / "cache", 1 << 30))
    names = [await pictured(cache, number) for number in range(40)]
    fill(disk)
    assert await cache.get(names[-1])
    await cache.renew(STYLE)
    other = Cache(Memory(0), Disk(disk / "cache", 1 << 30))
    await other.look(far=False)
    assert other.purges.numbers == cache.purges.numbers != {}
    for one in (cache, other):
        await one.close()


async def test_a_purge_that_others_are_not_told_of_is_an_error(disk):
    cache = Cache(Memory(0), Disk(disk / "cache", 1 << 30))
    for number in range(5):
        await pictured(cache, number)
    fill(disk)
    real = cache._disk.make_room

    async def taken():
        """Others take what becomes free."""
        result = await real()
        fill(disk)
        return result

    cache._disk.make_room = taken
    with pytest.raises(InsufficientStorage, match="cannot take a purge"):
        await cache.renew(STYLE)
    assert STYLE in cache.purges.numbers
    (disk / "others").unlink()
    await cache.look(far=False)
    other = Cache(Memory(0), Disk(disk / "cache", 1 << 30))
    await other.look(far=False)
    assert other.purges.numbers == cache.purges.numbers
    for one in (cache, other):
        await one.close()


def test_a_purge_is_answered_by_what_it_has_done(serving, disk, tmp_path, root):
    """And is done anew as soon as it can."""
    (tmp_path / "vipsgate.toml").write_text("[cache]\nmemory_bytes = 0\n")
    settings = ("--config", str(tmp_path / "vipsgate.toml"), "--cache-dir", str(disk / "cache"))
    with serving(root, *settings) as site:

        def purge():
            url = f"http://127.0.0.1:{site.admin_port}/purge/prefix/examplebucket/"
            try:
                return urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).status
            except urllib.error.HTTPError as error:
                return error.code

        fill(disk)
        assert purge() == 507
        (disk / "others").unlink()
        assert purge() == 204
        got = site.get("example.jpg", "image/resize,w_50")
        assert got.status == 200
        while not list((disk / "cache").glob("examplebucket/*/*")):  # it is being written
            time.sleep(0.05)
        fill(disk)
        assert purge() == 204  # its picture makes room
        assert site.get("example.jpg", "image/resize,w_50").headers["X-Vipsgate-Cache"] == "miss"
