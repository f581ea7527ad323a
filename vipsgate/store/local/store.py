"""Buckets as folders on a local disk: ``ROOT/<bucket>/<key>``.

Whether a key stays inside its bucket is asked once, of the opened descriptor: the kernel says which
file it really is, through all symlinks, and nothing can be swapped after that. Opening and looking
at a file happen in the loop: a hop to a thread costs 0.02 to 0.1 ms of CPU (bench/handover.py), the
calls themselves 0.003. Whatever writes, or reads a folder, happens in a thread.

Nothing is read, written or missed in another folder than the root of the start (:mod:`.root`): the
root is looked at once for each object that is looked at, behind whatever was not found, and what is
written goes by way of its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aiofiles.os import wrap

from ...buckets import BUCKET, INTERNAL
from ...errors import (
    AccessDenied,
    BucketNotEmpty,
    InvalidObjectName,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    ServiceUnavailable,
)
from ..base import Object, Opened, Page, Properties, md5_of
from . import draft, folders, links, listing, paths, xattr
from .root import Root
from .settled import Settled

# a pipe or a device must not make the open wait, nor become a terminal
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
TRIES = 3  # to find a file under its name
LOOK = os.O_PATH | os.O_CLOEXEC  # the file's facts, not its bytes


class LocalStore:
    """Objects are files; a bucket is a folder, which may itself be a symlink to elsewhere.

    Args:
        root: Of all buckets.
        stale: Seconds for which what was known will do while the root is away.
    """

    def __init__(self, root: Path, stale: float = 0) -> None:
        self._root, self._stale = Root(os.path.realpath(root)), stale
        self._settled = Settled(known)

    # -- buckets ---------------------------------------------------------------------------------

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.base.Store`."""
        return self._root.fault()

    def stale_ok(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        away = self._root.away_for()
        return away is not None and away <= self._stale

    async def look(self) -> None:
        """Is the root there? Folders in it are looked for whenever they are asked for."""
        self._root.check()

    def has(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        if os.path.isdir(self._folder(bucket)):
            return True
        self._place(bucket).check()
        return False

    async def buckets(self) -> Sequence[tuple[str, float]]:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._buckets)()

    async def create(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            await wrap(self._create)(bucket)
        except OSError as error:
            raise paths.refusal(error, bucket) from None

    async def remove(self, bucket: str) -> None:
        """See :class:`vipsgate.store.base.Store`.

        Empty folders go with the bucket; a file that is no object keeps it. Of a bucket that is a
        symlink to elsewhere only the link goes.
        """
        if not self.has(bucket):
            raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})
        try:
            await wrap(self._remove)(bucket)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise _not_empty(bucket) from None
            raise paths.refusal(error, bucket) from None

    async def sweep(self) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._sweep)()

    # -- objects ---------------------------------------------------------------------------------

    def object_acls(self, bucket: str) -> bool:
        """See :class:`vipsgate.store.base.Store`."""
        return True

    async def stat(self, bucket: str, key: str) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        try:
            info = self._stat(bucket, key)
        except OssError:
            self._place(bucket).check()
            raise
        self._root.check()
        return info

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """See :class:`vipsgate.store.base.Store`.

        The time of the inode tells of its properties, too, and of a file put in its place. It does
        not tell of folders above it that are renamed, and of links to them.
        """
        try:
            path = folders.place(f"{self._root.path}/{bucket}/{key}")
            facts = os.stat(path)
            if stat.S_ISDIR(facts.st_mode):
                facts = os.stat(folders.inside(path))
            names = self._aliases(bucket, key) if aliases else None
        except FileNotFoundError:
            return ()
        except (OSError, ValueError):
            return None
        times = facts.st_mtime_ns, facts.st_ctime_ns
        return (facts.st_dev, facts.st_ino, facts.st_size, *times, names)

    async def open(self, bucket: str, key: str) -> Opened:
        """See :class:`vipsgate.store.base.Store`.

        Whoever opens an object of a bucket has looked at it before, and sees when it is another
        one; our own documents are taken as they come.
        """
        try:
            opened = self._open(bucket, key, READ)
        except OssError:
            self._place(bucket).check()
            raise
        if bucket == INTERNAL:
            try:
                self._root.check()
            except OssError:
                opened.close()
                raise
        return opened

    def ranged(self, bucket: str) -> None:
        """Nothing is remote."""

    def draft(self, bucket: str) -> draft.LocalDraft:
        """See :class:`vipsgate.store.base.Store`."""

        place = self._place(bucket)

        def look(key: str) -> Object | None:
            try:
                return self._stat(bucket, key)
            except NoSuchKey:
                place.check()
                return None

        return draft.LocalDraft(place, look, known)

    async def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._describe)(bucket, key, properties)

    async def delete(self, bucket: str, key: str, *, expected: str | None = None) -> None:
        """See :class:`vipsgate.store.base.Store`."""
        await wrap(self._delete)(bucket, key, expected)

    async def list(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", limit: int
    ) -> Page:
        """See :class:`vipsgate.store.base.Store`."""
        return await wrap(self._list)(bucket, prefix, delimiter, after, limit)

    # -- as they are done ------------------------------------------------------------------------

    def _folder(self, bucket: str) -> str:
        return f"{self._root.path}/{bucket}"

    def _place(self, bucket: str) -> paths.BucketFolder:
        return paths.BucketFolder(self._root, bucket)

    def _stat(self, bucket: str, key: str) -> Object:
        opened = self._open(bucket, key, LOOK)
        opened.close()
        return opened.object

    def _open(self, bucket: str, key: str, flags: int) -> Opened:
        for _ in range(TRIES):
            if opened := self._opened(bucket, key, flags):
                return opened
        raise _absent(key)

    def _opened(self, bucket: str, key: str, flags: int) -> Opened | None:
        """The object; ``None`` for a file that is none, or no longer under this name.

        One that becomes a folder just now (:func:`.folders.unfold`) has its old name in our own
        folder for a moment.
        """
        folder = self._folder(bucket)
        try:
            descriptor, facts = _found(f"{folder}/{key}", flags)
        except OSError as error:
            raise _refusal(error, key) from None
        except ValueError:  # a NUL in it, or half a sign
            raise _absent(key) from None
        try:
            real = links.real_key(descriptor, folder) if stat.S_ISREG(facts.st_mode) else None
            if real is None:
                os.close(descriptor)
                return None
            item = self._settled.known(descriptor, facts)
            if real != key:
                item = replace(item, aliases=links.aliases(folder, key, real))
            return Opened(item, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _aliases(self, bucket: str, key: str) -> tuple[str, ...] | None:
        """What :attr:`Object.aliases` is; ``None`` for what is no object."""
        folder = self._folder(bucket)
        descriptor, _ = _found(f"{folder}/{key}", LOOK)
        try:
            real = links.real_key(descriptor, folder)
            return None if real is None else links.aliases(folder, key, real)
        finally:
            os.close(descriptor)

    def _buckets(self) -> Sequence[tuple[str, float]]:
        buckets = []
        try:
            with self._root.opened() as above:
                names = os.open(".", paths.OPEN, dir_fd=above)
                try:
                    with os.scandir(names) as entries:
                        for entry in entries:
                            with contextlib.suppress(FileNotFoundError):  # it goes just now
                                if BUCKET.fullmatch(entry.name) and entry.is_dir():
                                    buckets.append((entry.name, entry.stat().st_mtime))
                finally:
                    os.close(names)
        except OSError as error:
            raise _refusal(error, "") from None
        return sorted(buckets)

    def _create(self, bucket: str) -> None:
        with self._root.opened() as above:
            try:
                os.mkdir(bucket, paths.MODE, dir_fd=above)
            except FileExistsError:
                if not self.has(bucket):  # a file has this name
                    raise

    def _remove(self, bucket: str) -> None:
        place = self._place(bucket)
        with (
            self._root.opened() as above,
            paths.locked(place),
            paths.way(place, "any") as way,
        ):
            if self._list(bucket, "", "", "", 1).objects:
                raise _not_empty(bucket)
            if stat.S_ISLNK(os.lstat(bucket, dir_fd=above).st_mode):
                os.unlink(bucket, dir_fd=above)
                return
            for name in os.listdir(way.folders[0]):
                if name != INTERNAL:
                    try:
                        paths.clear(way.folders[0], name)
                    except OSError:
                        raise _not_empty(bucket) from None
            shutil.rmtree(INTERNAL, dir_fd=way.folders[0])
            os.rmdir(bucket, dir_fd=above)

    def _sweep(self) -> None:
        for bucket in (INTERNAL, *(name for name, _ in self._buckets())):
            with contextlib.suppress(OSError, OssError):  # one need not keep the others
                draft.sweep(self._place(bucket))

    def _describe(self, bucket: str, key: str, properties: Properties) -> Object:
        try:
            opened = self._open(bucket, key, READ)
        except OssError:
            self._place(bucket).check()
            raise
        with contextlib.closing(opened):
            self._root.check()
            _, etag, crc = xattr.read(opened.descriptor, os.fstat(opened.descriptor))
            try:
                xattr.write(opened.descriptor, properties, etag, crc)
                os.fsync(opened.descriptor)
            except OSError as error:
                raise paths.refusal(error, key) from None
            return known(opened.descriptor)

    def _delete(self, bucket: str, key: str, expected: str | None) -> None:
        place = self._place(bucket)
        for _ in range(2):  # a root that comes back just now has not been asked yet
            try:
                return self._unlink(place, key, expected)
            except (FileNotFoundError, NoSuchKey, NoSuchBucket):
                place.check()
            except OSError as error:
                raise paths.refusal(error, key) from None

    def _unlink(self, place: paths.BucketFolder, key: str, expected: str | None) -> None:
        # held open, so that the disk frees the file behind the lock and not under it
        with contextlib.closing(self._open(place.name, key, LOOK)), paths.locked(place):
            info = self._stat(place.name, key)
            if expected is not None:
                draft.check(info, expected)
            with paths.way(place, key) as way:
                try:
                    _take(way)
                except IsADirectoryError:
                    with paths.inside(way, make=False) as way:
                        _take(way)

    def _list(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        passed = listing.common(after, prefix, delimiter)
        behind = passed.encode() + listing.END if passed else after.encode()
        walk = listing.Walk(prefix.encode(), behind, limit + 1, folded=delimiter == "/")
        base = prefix[: prefix.rfind("/") + 1]  # all keys with the prefix are below it
        place = self._place(bucket)
        try:
            with paths.way(place, f"{base}any") as way:
                keys = walk.keys(b"/proc/self/fd/%d" % way.folders[-1], base.encode())
                page = self._page(bucket, walk, keys, prefix, delimiter, limit)
        except (InvalidObjectName, NoSuchBucket):  # no key begins so
            return Page([], [], "")
        except OSError as error:
            # there is no such folder; of our own documents none is passed over
            if error.errno in listing.HIDDEN and not (
                bucket == INTERNAL and error.errno in (errno.EACCES, errno.EPERM)
            ):
                return Page([], [], "")
            raise _refusal(error, "") from None
        place.check()  # or it has gone meanwhile, and objects seemed not to be there
        return page

    def _page(
        self,
        bucket: str,
        walk: listing.Walk,
        keys: Iterator[bytes],
        prefix: str,
        delimiter: str,
        limit: int,
    ) -> Page:
        objects: list[tuple[str, Object]] = []
        prefixes: list[str] = []
        last = ""
        for raw in keys:
            try:
                key = raw.decode()
                info = self._stat(bucket, key)
            except (UnicodeDecodeError, NoSuchKey, AccessDenied):  # nobody can ask for it
                continue
            if len(objects) + len(prefixes) == limit:
                return Page(objects, prefixes, last)
            last = listing.common(key, prefix, delimiter)
            if last:
                prefixes.append(last)
                walk.after = last.encode() + listing.END
            else:
                last = key
                objects.append((key, info))
        return Page(objects, prefixes, "")


def _found(path: str, flags: int) -> tuple[int, os.stat_result]:
    """The opened file of the key whose path this is, and its facts; perhaps a folder.

    Raises:
        OSError: It cannot be had.
        ValueError: No file can have this path.
    """
    path = folders.place(path)
    descriptor = os.open(path, flags)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISDIR(facts.st_mode):
            return descriptor, facts
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    descriptor = os.open(folders.inside(path), flags)
    return descriptor, os.fstat(descriptor)


def _take(way: paths.Way) -> None:
    """Take a file away, and the folders that become empty by that."""
    os.unlink(way.names[-1], dir_fd=way.folders[-1])
    way.prune()


def known(descriptor: int, facts: os.stat_result | None = None) -> Object:
    """What is known of an opened file.

    Without a tag of its own it has one that changes with the file (inode), its length, and its
    times in nanoseconds. The time of the inode is among them: whoever writes the same number of
    bytes and sets the time of the file back cannot set that one.
    """
    facts = facts or os.fstat(descriptor)
    properties, etag, crc = xattr.read(descriptor, facts)
    md5 = md5_of(etag, crc)
    if not etag:
        times = f"{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}"
        fingerprints = f"{facts.st_ino:x}-{facts.st_size:x}-{times}"
        etag = f'"{hashlib.md5(fingerprints.encode(), usedforsecurity=False).hexdigest().upper()}"'
    return Object(facts.st_size, etag, facts.st_mtime, properties, crc, md5=md5)


# what the disk says when no object can have this name
ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)
)


def _refusal(error: OSError, key: str) -> OssError:
    if error.errno in ABSENT:
        return _absent(key)
    if error.errno in (errno.EACCES, errno.EPERM):
        what = "this object's file" if key else "a folder of the store"
        return AccessDenied(f"The server itself has no right to read {what}.")
    reason = os.strerror(error.errno or 0)
    return ServiceUnavailable(f"The store cannot be read now: {reason}.")


def _absent(key: str) -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})


def _not_empty(bucket: str) -> BucketNotEmpty:
    return BucketNotEmpty(
        "The bucket you tried to delete is not empty.", extra={"BucketName": bucket}
    )
