"""What a folder lies on, and the table of what may hang."""

import re
from pathlib import Path

import pytest
from support import fuse

from vipsgate.store.threaded import filesystems
from vipsgate.store.threaded.filesystems import BLOCKING, inspect, is_blocking, kind

MAGIC = Path("/usr/include/linux/magic.h")
# names of the table, as the kernel's header has them
NAMES = {
    "NFS": "NFS_SUPER_MAGIC",
    "SMB": "SMB_SUPER_MAGIC",
    "CIFS": "CIFS_SUPER_MAGIC",
    "SMB2": "SMB2_SUPER_MAGIC",
    "CephFS": "CEPH_SUPER_MAGIC",
    "FUSE": "FUSE_SUPER_MAGIC",
    "9P": "V9FS_MAGIC",
    "AFS": "AFS_SUPER_MAGIC",
    "kAFS": "AFS_FS_MAGIC",
    "Coda": "CODA_SUPER_MAGIC",
    "NCP": "NCP_SUPER_MAGIC",
    "OCFS2": "OCFS2_SUPER_MAGIC",
    "autofs": "AUTOFS_SUPER_MAGIC",
}
LOCAL = ("EXT4_SUPER_MAGIC", "BTRFS_SUPER_MAGIC", "XFS_SUPER_MAGIC", "TMPFS_MAGIC")
LOCAL += ("OVERLAYFS_SUPER_MAGIC", "F2FS_SUPER_MAGIC")


def test_the_numbers_are_the_kernels():
    if not MAGIC.exists():
        pytest.skip("needs linux/magic.h: linux-libc-dev")
    rows = re.findall(r"#define\s+(\w+)\s+(0x[0-9a-fA-F]+)", MAGIC.read_text())
    numbers = {name: int(number, 16) for name, number in rows}
    for name, word in NAMES.items():
        assert BLOCKING[numbers[word]] == name
    assert not {numbers[word] for word in LOCAL if word in numbers} & BLOCKING.keys()


@pytest.mark.parametrize(("path", "number"), [("/proc", 0x9FA0), ("/sys", 0x62656572)])
def test_kind(path, number):
    assert kind(path) == number
    assert not is_blocking(path)


def test_a_folder_of_this_machine(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    assert inspect(str(tmp_path), "a").blocking == is_blocking(str(tmp_path))
    assert inspect(str(tmp_path), "link") == inspect(str(tmp_path), "a")
    assert not inspect(str(tmp_path), "a").own
    assert inspect(str(tmp_path), "file") is inspect(str(tmp_path), "none") is None
    with pytest.raises(OSError, match="No such file"):
        kind(str(tmp_path / "none"))


def test_a_mounted_one(tmp_path):
    if reason := fuse.missing():
        pytest.skip(reason)
    for name in ("files", "bucket/with a space", "bare"):
        (tmp_path / name).mkdir(parents=True)
    before = filesystems.mounts()
    with fuse.mounted(tmp_path / "files", tmp_path / "bucket" / "with a space"):
        assert filesystems.mounts() != before
        assert inspect(str(tmp_path), "bucket").blocking  # by what is mounted below it
        assert not inspect(str(tmp_path), "bucket").own
        assert not inspect(str(tmp_path), "bare").blocking
        mounted = inspect(str(tmp_path / "bucket"), "with a space")
        assert (mounted.blocking, mounted.own) == (True, True)
    assert filesystems.mounts() == before
    assert not inspect(str(tmp_path), "bucket").blocking
