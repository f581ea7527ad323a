"""A file system in user space that shows a folder, and hangs or fails on demand.

It speaks the kernel's protocol itself (``linux/fuse.h``, 7.31), so that a test needs neither a
library nor a program: only ``/dev/fuse`` and the right to mount. Its server is a thread of the test
process; what hangs is a request that gets no answer until it is let go. Attributes and names count
for no time at all, so the kernel asks for everything, as it does of NFS with ``noac``.
"""

import contextlib
import ctypes
import errno
import functools
import os
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
DETACH = 2  # MNT_DETACH of umount2(2)
ROOT = 1  # the node that is the folder itself
IN, OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
MAX_WRITE = 1 << 20
BUFFER = MAX_WRITE + 4096
INIT = struct.Struct("<IIIIHHIIHHI24x")
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
# what a request is, by its number
NAMES = {
    1: "lookup", 2: "forget", 3: "getattr", 4: "setattr", 5: "readlink", 6: "symlink", 9: "mkdir",
    10: "unlink", 11: "rmdir", 12: "rename", 13: "link", 14: "open", 15: "read", 16: "write",
    17: "statfs", 18: "release", 20: "fsync", 21: "setxattr", 22: "getxattr", 23: "listxattr",
    25: "flush", 26: "init", 27: "opendir", 28: "readdir", 29: "releasedir", 30: "fsyncdir",
    35: "create", 36: "interrupt", 38: "destroy", 42: "batch_forget", 45: "rename2",
}  # fmt: skip
SILENT = {"forget", "batch_forget", "interrupt", "destroy"}  # nobody waits for an answer


@functools.cache
def missing() -> str:
    """Why none can be mounted here; empty where one can."""
    if not os.path.exists("/dev/fuse"):
        return "needs /dev/fuse"
    if os.geteuid():
        return "needs root, to mount a FUSE file system by /dev/fuse"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fuse-") as folder,
            mounted(Path(folder), Path(folder)),
        ):
            return ""
    except OSError as error:
        return f"needs the right to mount by /dev/fuse: {error.strerror}"


class Mounted:
    """A folder, seen through the file system.

    Attributes:
        hanging: Requests that get no answer for now, by name; ``*`` for all.
        failing: Errors that requests are answered with, by name; ``*`` for all.
        asked: Names of the requests that have come.
    """

    def __init__(self, folder: Path, point: Path) -> None:
        self.hanging: set[str] = set()
        self.failing: dict[str, int] = {}
        self.asked: list[str] = []
        self._folder, self._point = folder, point
        self._paths, self._nodes, self._last = {ROOT: ""}, {"": ROOT}, ROOT
        self._files: dict[int, int] = {}
        self._held: list[tuple[int, str, int, bytes]] = []
        self._lock = threading.Lock()
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if LIBC.mount(b"test", os.fsencode(point), b"fuse", 0, options.encode()):
            number = ctypes.get_errno()
            os.close(self._device)
            raise OSError(number, os.strerror(number))
        threading.Thread(target=self._serve, name="fuse", daemon=True).start()

    def hang(self, *names: str) -> None:
        """Leave these requests without an answer; all for none named."""
        self.hanging = set(names or "*")

    def go_on(self) -> None:
        """Answer everything, what has been waiting first."""
        with self._lock:
            self.hanging, held = set(), self._held
            self._held = []
        for request in held:
            self._answer(*request)

    def close(self) -> None:
        """Unmount it, whatever hangs."""
        self.go_on()
        LIBC.umount2(os.fsencode(self._point), DETACH)

    # -- the kernel's requests -----------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                data = os.read(self._device, BUFFER)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):  # a request was interrupted
                    continue
                break  # it is unmounted
            _, code, unique, node, *_ = IN.unpack_from(data)
            name, body = NAMES.get(code, "unknown"), data[IN.size :]
            if name == "interrupt":  # who asks is being killed: as with NFS, that ends the wait
                self._interrupt(*struct.unpack("<Q", body[:8]))
                continue
            with self._lock:
                self.asked.append(name)
                if name not in SILENT | {"init"} and self.hanging & {"*", name}:
                    self._held.append((unique, name, node, body))
                    continue
            self._answer(unique, name, node, body)
        for descriptor in (self._device, *self._files.values()):
            os.close(descriptor)

    def _interrupt(self, unique: int) -> None:
        with self._lock:
            before = len(self._held)
            self._held = [request for request in self._held if request[0] != unique]
            if len(self._held) == before:
                return
        os.write(self._device, OUT.pack(OUT.size, -errno.EINTR, unique))

    def _answer(self, unique: int, name: str, node: int, body: bytes) -> None:
        if name in SILENT:
            return
        number, data = 0, b""
        try:
            if name != "init" and (number := self.failing.get(name, self.failing.get("*", 0))):
                raise OSError(number, "")
            call: Callable[[int, bytes], bytes] | None = getattr(self, f"_{name}", None)
            if call is None:
                raise OSError(errno.ENOSYS, "")
            data = call(node, body)
        except OSError as error:
            number, data = error.errno or errno.EIO, b""
        with contextlib.suppress(OSError):  # whoever asked is gone
            os.write(self._device, OUT.pack(OUT.size + len(data), -number, unique) + data)

    def _path(self, node: int, name: bytes = b"") -> str:
        path = f"{self._folder}/{self._paths[node]}"
        return f"{path}/{os.fsdecode(name)}" if name else path

    def _node(self, path: str) -> int:
        inner = os.path.normpath(os.path.relpath(path, self._folder))
        if inner not in self._nodes:
            self._last += 1
            self._nodes[inner], self._paths[self._last] = self._last, inner
        return self._nodes[inner]

    def _moved(self, old: str, new: str) -> None:
        """The names of a path, and of what is below it, are others now."""
        old, new = (os.path.relpath(path, self._folder) for path in (old, new))
        for inner in [*self._nodes]:
            if inner == new or inner.startswith(f"{new}/"):
                del self._nodes[inner]  # what was there has no name any more
        for inner, node in [*self._nodes.items()]:
            if inner == old or inner.startswith(f"{old}/"):
                del self._nodes[inner]
                self._nodes[new + inner[len(old) :]] = node
                self._paths[node] = new + inner[len(old) :]

    def _entry(self, path: str) -> bytes:
        facts = _attributes(os.lstat(path))
        return struct.pack("<QQQQII", self._node(path), 0, 0, 0, 0, 0) + facts

    def _file(self, descriptor: int) -> bytes:
        self._files[descriptor] = descriptor
        return struct.pack("<QII", descriptor, 0, 0)

    def _init(self, node: int, body: bytes) -> bytes:
        return INIT.pack(7, 31, 1 << 17, 1 << 5, 12, 10, MAX_WRITE, 1, 256, 0, 0)  # FUSE_BIG_WRITES

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(self._path(node, body.rstrip(b"\0")))

    def _getattr(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        facts = os.fstat(handle) if flags & 1 else os.lstat(self._path(node))
        return struct.pack("<QII", 0, 0, 0) + _attributes(facts)

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, handle, size = struct.unpack_from("<IIQQ", body)
        if valid & 1 << 3:
            os.truncate(handle if valid & 1 << 6 else self._path(node), size)
        facts = os.fstat(handle) if valid & 1 << 6 else os.lstat(self._path(node))
        return struct.pack("<QII", 0, 0, 0) + _attributes(facts)

    def _readlink(self, node: int, body: bytes) -> bytes:
        return os.fsencode(os.readlink(self._path(node)))

    def _symlink(self, node: int, body: bytes) -> bytes:
        name, aim = body.rstrip(b"\0").split(b"\0")
        os.symlink(aim, path := self._path(node, name))
        return self._entry(path)

    def _mkdir(self, node: int, body: bytes) -> bytes:
        os.mkdir(path := self._path(node, body[8:].rstrip(b"\0")))
        return self._entry(path)

    def _unlink(self, node: int, body: bytes) -> bytes:
        os.unlink(path := self._path(node, body.rstrip(b"\0")))
        self._nodes.pop(os.path.relpath(path, self._folder), None)
        return b""

    def _rmdir(self, node: int, body: bytes) -> bytes:
        os.rmdir(path := self._path(node, body.rstrip(b"\0")))
        self._nodes.pop(os.path.relpath(path, self._folder), None)
        return b""

    def _rename(self, node: int, body: bytes) -> bytes:
        return self._rename2(node, body[:8] + bytes(8) + body[8:])

    def _rename2(self, node: int, body: bytes) -> bytes:
        target, flags, _ = struct.unpack_from("<QII", body)
        if flags:
            raise OSError(errno.EINVAL, "")  # as NFS says
        old, new = body[16:].rstrip(b"\0").split(b"\0")
        before, after = self._path(node, old), self._path(target, new)
        os.rename(before, after)
        self._moved(before, after)
        return b""

    def _link(self, node: int, body: bytes) -> bytes:
        (source,) = struct.unpack_from("<Q", body)
        path = self._path(node, body[8:].rstrip(b"\0"))
        os.link(self._path(source), path, follow_symlinks=False)
        return self._entry(path)

    def _open(self, node: int, body: bytes) -> bytes:
        flags, _ = struct.unpack_from("<II", body)
        return self._file(os.open(self._path(node), flags & (os.O_ACCMODE | os.O_APPEND)))

    def _opendir(self, node: int, body: bytes) -> bytes:
        return self._file(os.open(self._path(node), os.O_RDONLY | os.O_DIRECTORY))

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode, _, _ = struct.unpack_from("<IIII", body)
        path = self._path(node, body[16:].rstrip(b"\0"))
        descriptor = os.open(path, flags & (os.O_ACCMODE | os.O_EXCL) | os.O_CREAT, mode & 0o777)
        return self._entry(path) + self._file(descriptor)

    def _read(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        handle, offset, size, *_ = struct.unpack_from("<QQII", body)
        return struct.pack("<II", os.pwrite(handle, body[40 : 40 + size], offset), 0)

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data, entries = b"", sorted(os.scandir(self._path(node)), key=lambda entry: entry.name)
        for number, entry in enumerate(entries[offset:], offset + 1):
            name = os.fsencode(entry.name)
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) >> 12
            row = struct.pack("<QQII", entry.inode(), number, len(name), kind) + name
            row += bytes(-len(row) % 8)
            if len(data) + len(row) > size:
                break
            data += row
        return data

    def _release(self, node: int, body: bytes) -> bytes:
        (handle,) = struct.unpack_from("<Q", body)
        os.close(self._files.pop(handle))
        return b""

    _releasedir = _release

    def _flush(self, node: int, body: bytes) -> bytes:
        return b""

    def _fsync(self, node: int, body: bytes) -> bytes:
        return b""

    _fsyncdir = _fsync

    def _statfs(self, node: int, body: bytes) -> bytes:
        facts = os.statvfs(self._path(node))
        sizes = facts.f_blocks, facts.f_bfree, facts.f_bavail, facts.f_files, facts.f_ffree
        return struct.pack("<QQQQQIIII24x", *sizes, facts.f_bsize, 255, facts.f_frsize, 0)

    def _getxattr(self, node: int, body: bytes) -> bytes:
        size, _ = struct.unpack_from("<II", body)
        value = os.getxattr(self._path(node), body[8:].rstrip(b"\0"), follow_symlinks=False)
        if not size:
            return struct.pack("<II", len(value), 0)
        if len(value) > size:
            raise OSError(errno.ERANGE, "")
        return value

    def _setxattr(self, node: int, body: bytes) -> bytes:
        size, _ = struct.unpack_from("<II", body)
        name, _, value = body[8:].partition(b"\0")
        os.setxattr(self._path(node), name, value[:size])
        return b""


def _attributes(facts: os.stat_result) -> bytes:
    times = facts.st_atime_ns, facts.st_mtime_ns, facts.st_ctime_ns
    seconds, rest = ([divmod(time, 10**9)[part] for time in times] for part in (0, 1))
    owner = facts.st_uid, facts.st_gid, 0, facts.st_blksize, 0
    numbers = facts.st_ino, facts.st_size, facts.st_blocks
    return ATTRIBUTES.pack(*numbers, *seconds, *rest, facts.st_mode, facts.st_nlink, *owner)


@contextlib.contextmanager
def mounted(folder: Path, point: Path) -> Iterator[Mounted]:
    """A folder, seen at another place through the file system.

    Raises:
        OSError: It cannot be mounted.
    """
    result = Mounted(folder, point)
    try:
        yield result
    finally:
        result.close()
