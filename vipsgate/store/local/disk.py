"""The blocking half of a local store: its operations on the disk, to be called in any thread.

Whether a key stays inside its bucket is checked once, for the opened descriptor: the kernel tells
which file it really is, through all symlinks, and that cannot be swapped afterwards.

All operations are confined to the folder that was the root at the start (:mod:`.root`): it is
checked once for each object that is looked at, and whenever something is not found, and writes are
done through its descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ... import filetimes
from ...buckets import BUCKET, INTERNAL
from ...errors import (
    AccessDenied,
    BucketNotEmpty,
    InvalidObjectName,
    NoSuchBucket,
    NoSuchKey,
    OssError,
)
from ..base import Object, Opened, Page, Properties, md5_of
from . import abandoned, draft, folders, links, listing, paths, xattr
from .attribute_cache import AttributeCache
from .root import Root

# opening a pipe or a device must not block, nor set the controlling terminal
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
TRIES = 3  # attempts to find a file under its name
LOOK = os.O_PATH | os.O_CLOEXEC  # for a file's facts without its bytes


@dataclass(frozen=True, slots=True)
class OpenFile(Opened):
    """An object whose file may be written to by others while it is open."""

    def changed(self) -> bool:
        """Return whether the file was written to, so that its tag is another one by now.

        New properties change the ctime, and leave a tag that is stored with the file.
        """
        return Opened.changed(self) and known(self.descriptor).etag != self.object.etag


class Disk:
    """Objects are files; a bucket is a folder, which may itself be a symlink to elsewhere.

    The methods are blocking versions of those of :class:`vipsgate.store.base.Store`.

    Args:
        root: The folder of all buckets.
        settles: Whether the facts of files may be cached (:mod:`.attribute_cache`); to be
            ``False`` if the files are on another machine, with its own clock and rules.

    Attributes:
        root: The folder of all buckets.
    """

    def __init__(self, root: Path | Root, *, settles: bool = False) -> None:
        self.root = root if isinstance(root, Root) else Root(os.path.realpath(root))
        self._known = AttributeCache(known).known if settles else known

    def has(self, bucket: str) -> bool:
        """Return whether a bucket exists.

        Raises:
            ServiceUnavailable: The store is away, or its file system fails.
        """
        try:
            if stat.S_ISDIR(os.stat(self.folder(bucket)).st_mode):
                return True
        except ValueError:  # a NUL in it
            return False
        except OSError as error:
            if error.errno not in ABSENT | listing.HIDDEN:
                raise paths.unavailable(error, "read") from None
        self._place(bucket).check()
        return False

    def buckets(self) -> Sequence[tuple[str, float]]:
        """Return the sorted names of all buckets but the internal one, and their mtimes."""
        buckets = []
        try:
            with self._entries() as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # it was just removed
                        if BUCKET.fullmatch(entry.name) and entry.is_dir():
                            buckets.append((entry.name, entry.stat().st_mtime))
        except OSError as error:
            raise _refusal(error, "") from None
        return sorted(buckets)

    def names(self) -> Sequence[str]:
        """Return the entries of the root that have a bucket's name, without a ``stat`` of any."""
        try:
            with self._entries() as entries:
                return [entry.name for entry in entries if BUCKET.fullmatch(entry.name)]
        except OSError as error:
            raise _refusal(error, "") from None

    def create(self, bucket: str) -> None:
        """Create a bucket, unless it exists."""
        try:
            self._create(bucket)
        except OSError as error:
            raise paths.refusal(error, bucket) from None

    def remove(self, bucket: str) -> None:
        """Remove an empty bucket.

        Empty folders are removed with it; a file that is no object prevents that. If the bucket is
        a symlink, only the link is removed.
        """
        if not self.has(bucket):
            raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})
        try:
            self._remove(bucket)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise _not_empty(bucket) from None
            raise paths.refusal(error, bucket) from None

    def stat(self, bucket: str, key: str) -> Object:
        """Return an object's size, tag, times and metadata."""
        try:
            opened = self._open(bucket, key, LOOK)
        except OssError:
            self._place(bucket).check()
            raise
        os.close(opened.descriptor)
        self.root.check()
        return opened.object

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """Return a value that stays equal as long as the object stays the same.

        The ctime and the inode cover its properties, too, and a replaced file. They do not cover
        folders above it that are renamed, and links to them: these are covered by ``aliases``.
        """
        try:
            path = folders.place(f"{self.root.path}/{bucket}/{key}")
            facts = os.stat(path)
            if stat.S_ISDIR(facts.st_mode):
                facts = os.stat(folders.inside(path))
            names = self._aliases(bucket, key) if aliases else None
        except FileNotFoundError:
            return ()
        except (OSError, ValueError):
            return None
        return _fingerprint(facts, names)

    def reread(
        self, bucket: str, key: str, fingerprint: object, most: int, *, aliases: bool = False
    ) -> bytes | None:
        """Return the bytes of an object that still has a fingerprint, if they are at most ``most``.

        The fingerprint is that of the opened file, so the file cannot be swapped, and is taken
        after the read: the kernel sets the time of a write before it copies any byte.
        """
        try:
            descriptor, facts = _found(f"{self.root.path}/{bucket}/{key}", READ)
        except (OSError, ValueError):
            return None
        try:
            names = self._aliases(bucket, key) if aliases else None
            if facts.st_size > most:
                return None
            data = os.pread(descriptor, facts.st_size, 0)
            facts = os.fstat(descriptor)
            same = len(data) == facts.st_size and _fingerprint(facts, names) == fingerprint
            return data if same else None
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def open(self, bucket: str, key: str) -> Opened:
        """Open an object for reading.

        The root is only checked for internal documents: the caller has called :meth:`stat` for any
        other object, and compares the two.
        """
        try:
            opened = self._open(bucket, key, READ)
        except OssError:
            self._place(bucket).check()
            raise
        if bucket == INTERNAL:
            try:
                self.root.check()
            except OssError:
                opened.close()
                raise
        return opened

    def look(self, bucket: str, key: str) -> Object | None:
        """Return an object's size, tag, times and metadata; ``None`` if there is none."""
        try:
            return self._stat(bucket, key)
        except NoSuchKey:
            self._place(bucket).check()
            return None

    def folder(self, bucket: str) -> str:
        """Return the path of a bucket's folder."""
        return f"{self.root.path}/{bucket}"

    def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Replace an object's properties; its bytes and its modification time stay."""
        try:
            opened = self._open(bucket, key, READ)
        except OssError:
            self._place(bucket).check()
            raise
        with contextlib.closing(opened):
            self.root.check()
            try:
                _, etag, crc = xattr.read(opened.descriptor, os.fstat(opened.descriptor))
                abandoned.check()
                xattr.write(opened.descriptor, properties, etag, crc)
                os.fsync(opened.descriptor)
                return known(opened.descriptor)
            except OSError as error:
                raise paths.refusal(error, key) from None

    def delete(self, bucket: str, key: str, expected: str | None = None) -> None:
        """Delete an object, if it exists."""
        place = self._place(bucket)
        for _ in range(2):  # twice, as the root may be mounted again just before the check
            try:
                return self._unlink(place, key, expected)
            except (FileNotFoundError, NoSuchKey, NoSuchBucket):
                place.check()
            except OSError as error:
                raise paths.refusal(error, key) from None

    def list(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """Return a page of the bucket's objects; for the arguments see the store's ``list``."""
        passed = listing.common(after, prefix, delimiter)
        behind = passed.encode() + listing.END if passed else after.encode()
        walk = listing.Walk(prefix.encode(), behind, limit + 1, folded=delimiter == "/")
        base = prefix[: prefix.rfind("/") + 1]  # all keys with the prefix are below it
        place = self._place(bucket)
        try:
            with paths.way(place, f"{base}any") as way:
                keys = walk.keys(b"/proc/self/fd/%d" % way.folders[-1], base.encode())
                page = self._page(bucket, walk, keys, prefix, delimiter, limit)
        except (InvalidObjectName, NoSuchBucket):  # no key has this prefix
            return Page([], [], "")
        except OSError as error:
            # there is no such folder; but no internal document is left out
            if error.errno in listing.HIDDEN and not (
                bucket == INTERNAL and error.errno in (errno.EACCES, errno.EPERM)
            ):
                return Page([], [], "")
            raise _refusal(error, "") from None
        place.check()  # if it has gone meanwhile, objects may be missing from the page
        return page

    def sweep(self) -> None:
        """Remove drafts that were left behind by processes that died."""
        for bucket in (INTERNAL, *(name for name, _ in self.buckets())):
            with contextlib.suppress(OSError, OssError):  # go on with other buckets
                self.sweep_bucket(bucket)

    def sweep_bucket(self, bucket: str) -> None:
        """Remove such drafts of one bucket."""
        draft.sweep(self._place(bucket))

    # -- steps of the above ----------------------------------------------------------------------

    @contextlib.contextmanager
    def _entries(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Open the root, and iterate over its entries."""
        with self.root.opened() as above:
            names = os.open(".", paths.OPEN, dir_fd=above)
            try:
                with os.scandir(names) as entries:
                    yield entries
            finally:
                os.close(names)

    def _place(self, bucket: str) -> paths.BucketFolder:
        return paths.BucketFolder(self.root, bucket)

    def _stat(self, bucket: str, key: str) -> Object:
        opened = self._open(bucket, key, LOOK)
        opened.close()
        return opened.object

    def _open(self, bucket: str, key: str, flags: int) -> Opened:
        for _ in range(TRIES):
            if opened := self._opened(bucket, key, flags):
                return opened
        raise absent(key)

    def _opened(self, bucket: str, key: str, flags: int) -> Opened | None:
        """Return the object; ``None`` for a file that is none, or no longer has this name.

        A file that is just being moved into a folder (:func:`.folders.unfold`) has its old name in
        the folder of drafts for a moment.
        """
        folder = self.folder(bucket)
        try:
            descriptor, facts = _found(f"{folder}/{key}", flags)
        except OSError as error:
            raise _refusal(error, key) from None
        except ValueError:  # a NUL in it, or a surrogate
            raise absent(key) from None
        try:
            real = links.real_key(descriptor, folder) if stat.S_ISREG(facts.st_mode) else None
            if real is None:
                os.close(descriptor)
                return None
            item = self._known(descriptor, facts)
            if real != key:
                item = replace(item, aliases=links.aliases(folder, key, real))
            return OpenFile(item, descriptor, times=filetimes.of(facts))
        except OSError as error:
            os.close(descriptor)
            raise paths.unavailable(error, "read") from None
        except BaseException:
            os.close(descriptor)
            raise

    def _aliases(self, bucket: str, key: str) -> tuple[str, ...] | None:
        """Return :attr:`Object.aliases`; ``None`` if there is no object."""
        folder = self.folder(bucket)
        descriptor, _ = _found(f"{folder}/{key}", LOOK)
        try:
            real = links.real_key(descriptor, folder)
            return None if real is None else links.aliases(folder, key, real)
        finally:
            os.close(descriptor)

    def _create(self, bucket: str) -> None:
        with self.root.opened() as above:
            abandoned.check()
            try:
                os.mkdir(bucket, paths.MODE, dir_fd=above)
            except FileExistsError:
                if not self.has(bucket):  # a file has this name
                    raise

    def _remove(self, bucket: str) -> None:
        place = self._place(bucket)
        with (
            self.root.opened() as above,
            paths.locked(place),
            paths.way(place, "any") as way,
        ):
            if self.list(bucket, "", "", "", 1).objects:
                raise _not_empty(bucket)
            abandoned.check()
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

    def _unlink(self, place: paths.BucketFolder, key: str, expected: str | None) -> None:
        # kept open, so that the disk frees the file after the lock is released
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
            except (UnicodeDecodeError, NoSuchKey, AccessDenied):  # it cannot be requested
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
    """Open the file of a key, given ``BUCKET/key``; return its descriptor and ``fstat`` result.

    Raises:
        OSError: It cannot be opened.
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


def _fingerprint(facts: os.stat_result, names: tuple[str, ...] | None) -> object:
    """Return :attr:`Object.mark` of a file, as in :mod:`.attribute_cache`, and its aliases."""
    return (facts.st_dev, facts.st_ino, facts.st_size, *filetimes.of(facts), names)


def _take(way: paths.Way) -> None:
    """Remove a file, and the folders that become empty by that."""
    abandoned.check()
    os.unlink(way.names[-1], dir_fd=way.folders[-1])
    way.prune()


def known(descriptor: int, facts: os.stat_result | None = None) -> Object:
    """Return the object of an opened file.

    If no tag is stored with it, its tag is a hash of the inode, the size, the mtime and the ctime.
    The ctime changes even if the same number of bytes is written and the mtime is set back.
    """
    facts = facts or os.fstat(descriptor)
    properties, etag, crc = xattr.read(descriptor, facts)
    md5 = md5_of(etag, crc)
    if not etag:
        times = f"{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}"
        fingerprints = f"{facts.st_ino:x}-{facts.st_size:x}-{times}"
        etag = f'"{hashlib.md5(fingerprints.encode(), usedforsecurity=False).hexdigest().upper()}"'
    return Object(facts.st_size, etag, facts.st_mtime, properties, crc, md5=md5)


# errors that mean that there is no object of this name
ABSENT = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)
)


def _refusal(error: OSError, key: str) -> OssError:
    if error.errno in ABSENT:
        return absent(key)
    if error.errno in (errno.EACCES, errno.EPERM):
        what = "this object's file" if key else "a folder of the store"
        return AccessDenied(f"The server itself has no right to read {what}.")
    return paths.unavailable(error, "read")


def absent(key: str) -> NoSuchKey:
    """Return the error for an object that does not exist."""
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})


def _not_empty(bucket: str) -> BucketNotEmpty:
    return BucketNotEmpty(
        "The bucket you tried to delete is not empty.", extra={"BucketName": bucket}
    )
