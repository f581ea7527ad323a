"""What is read of a file once: only of one that has stayed as it is, and never an error."""

import os
from dataclasses import replace

import pytest

from vipsgate.buckets import ACLS
from vipsgate.store.base import PLAIN, Object, Properties
from vipsgate.store.local import attribute_cache, xattr
from vipsgate.store.local.attribute_cache import SECONDS, AttributeCache
from vipsgate.store.local.store import LocalStore


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self):
        return self.now


class Files:
    """Says what is known of files, and counts how often it is asked."""

    def __init__(self, properties=PLAIN):
        self.item, self.reads = Object(4, '"1"', 1.0, properties), 0

    def read(self, descriptor, facts):
        """The same of all."""
        self.reads += 1
        return self.item


@pytest.fixture
def clock():
    return Clock()


def facts(path):
    """As the system tells them."""
    return os.stat(path)


def test_a_file_is_read_until_it_has_looked_the_same_for_long_enough(tmp_path, clock):
    (tmp_path / "a").write_bytes(b"data")
    files, now = Files(), facts(tmp_path / "a")
    known = AttributeCache(files.read, clock).known
    reads, marks = [], []
    for clock.now in (0.0, 1.0, SECONDS, SECONDS + 0.1, SECONDS + 0.2, 100.0):
        item = known(0, now)
        assert item == files.item
        reads.append(files.reads)
        marks.append(item.mark)
    assert reads == [1, 2, 3, 4, 4, 4]
    times = now.st_mtime_ns, now.st_ctime_ns
    assert marks == [None] * 3 + [(now.st_dev, now.st_ino, now.st_size, *times)] * 3


@pytest.mark.parametrize("change", ["bytes", "time", "attribute", "another"])
def test_one_that_changes_is_read_again(tmp_path, clock, change):
    path = tmp_path / "a"
    path.write_bytes(b"data")
    files = Files()
    known = AttributeCache(files.read, clock).known
    for clock.now in (0.0, 10.0, 20.0):
        known(0, facts(path))
    assert files.reads == 2
    files.item = replace(files.item, etag='"2"')
    match change:
        case "bytes":
            path.write_bytes(b"other")
        case "time":
            os.utime(path, (1, 1))
        case "attribute":
            path.chmod(0o640)  # as every change of the inode
        case "another":
            (tmp_path / "b").write_bytes(b"data")
            os.rename(tmp_path / "b", path)
    assert known(0, facts(path)) is files.item


def test_an_attribute_that_could_not_be_read_is_read_again(tmp_path, clock):
    (tmp_path / "a").write_bytes(b"data")
    files = Files(xattr.CLOSED)
    known = AttributeCache(files.read, clock).known
    for clock.now in (0.0, 10.0, 20.0):
        assert known(0, facts(tmp_path / "a")).properties is xattr.CLOSED
    files.item = replace(files.item, properties=PLAIN)
    assert known(0, facts(tmp_path / "a")).properties is PLAIN


def test_no_more_files_are_known_than_may_be(tmp_path, clock):
    files = Files()
    known = AttributeCache(files.read, clock, most=2).known
    for name in "abc":
        (tmp_path / name).write_bytes(b"data")
    for clock.now in (0.0, 10.0):
        for name in "abc":
            known(0, facts(tmp_path / name))
    clock.now = 20.0
    known(0, facts(tmp_path / "a"))
    assert files.reads == 7  # each new one has driven out another


@pytest.mark.parametrize("acl", sorted(ACLS))
async def test_a_store_sees_a_change_of_properties_at_once(tmp_path, monkeypatch, clock, acl):
    monkeypatch.setattr(attribute_cache.AttributeCache.__init__, "__defaults__", (clock, 8))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a").write_bytes(b"data")
    store = LocalStore(tmp_path)
    for clock.now in (0.0, 10.0, 20.0):
        item = await store.stat("photos", "a")
        assert item.properties == PLAIN
    assert (*item.mark, None) == store.fingerprint("photos", "a")
    assert (*item.mark, item.aliases) == store.fingerprint("photos", "a", aliases=True)
    await store.describe("photos", "a", Properties(acl=acl))
    for clock.now in (20.0, 30.0, 40.0):
        assert (await store.stat("photos", "a")).properties.acl == acl
