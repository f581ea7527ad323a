"""The blocking half of a local store: what is done on the disk, in whichever thread it is called.

Whether a key stays inside its bucket is asked once, of the opened descriptor: the kernel says which
file it really is, through all symlinks, and nothing can be swapped after that.

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

# a pipe or a device must not make the open wait, nor become a terminal
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
TRIES = 3  # to find a file under its name
LOOK = os.O_PATH | os.O_CLOEXEC  # the file's facts, not its bytes


class Disk:
    """Objects are files; a bucket is a folder, which may itself be a symlink to elsewhere.

    The methods do what those of :class:`vipsgate.store.base.Store` do, at once.

    Args:
        root: Of all buckets.
        settles: Whether what is known of a file may be cached (:mod:`.attribute_cache`); not so
            where another machine's clock and rules are behind the files.

    Attributes:
        root: Likewise.
    """

    def __init__(self, root: Path | Root, *, settles: bool = False) -> None:
        self.root = root if isinstance(root, Root) else Root(os.path.realpath(root))
        self._known = AttributeCache(known).known if settles else known

    def has(self, bucket: str) -> bool:
        """Is there such a bucket?

        Raises:
            ServiceUnavailable: Nobody can tell, for the store is away, or its file system fails.
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
        """The names of all buckets but our own, in order, and when each was made."""
        buckets = []
        try:
            with self._entries() as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # it goes just now
                        if BUCKET.fullmatch(entry.name) and entry.is_dir():
                            buckets.append((entry.name, entry.stat().st_mtime))
        except OSError as error:
            raise _refusal(error, "") from None
        return sorted(buckets)

    def names(self) -> Sequence[str]:
        """What is in the root and has a bucket's name; none of it is looked at."""
        try:
            with self._entries() as entries:
                return [entry.name for entry in entries if BUCKET.fullmatch(entry.name)]
        except OSError as error:
            raise _refusal(error, "") from None

    def create(self, bucket: str) -> None:
        """Make a bucket; one that is there stays as it is."""
        try:
            self._create(bucket)
        except OSError as error:
            raise paths.refusal(error, bucket) from None

    def remove(self, bucket: str) -> None:
        """Take away an empty bucket.

        Empty folders go with the bucket; a file that is no object keeps it. Of a bucket that is a
        symlink to elsewhere only the link goes.
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
        """What is known of an object."""
        try:
            opened = self._open(bucket, key, LOOK)
        except OssError:
            self._place(bucket).check()
            raise
        os.close(opened.descriptor)
        self.root.check()
        return opened.object

    def fingerprint(self, bucket: str, key: str, *, aliases: bool = False) -> object:
        """Something that stays equal as long as the object stays the same.

        The time of the inode tells of its properties, too, and of a file put in its place. It does
        not tell of folders above it that are renamed, and of links to them.
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
        """The bytes of an object that still has a fingerprint, and no more than so many.

        The opened file is compared, so no other one can be put in its place, and it is compared
        behind the read: the kernel notes the time of a write before it takes any byte of it.
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
        """An object, opened for reading.

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
                self.root.check()
            except OssError:
                opened.close()
                raise
        return opened

    def look(self, bucket: str, key: str) -> Object | None:
        """What is known of an object; ``None`` where there is none."""
        try:
            return self._stat(bucket, key)
        except NoSuchKey:
            self._place(bucket).check()
            return None

    def folder(self, bucket: str) -> str:
        """The path of a bucket's folder."""
        return f"{self.root.path}/{bucket}"

    def describe(self, bucket: str, key: str, properties: Properties) -> Object:
        """Keep other properties with an object, whose bytes and times stay."""
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
        """Take an object away; one that is not there is none already."""
        place = self._place(bucket)
        for _ in range(2):  # a root that comes back just now has not been asked yet
            try:
                return self._unlink(place, key, expected)
            except (FileNotFoundError, NoSuchKey, NoSuchBucket):
                place.check()
            except OSError as error:
                raise paths.refusal(error, key) from None

    def list(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """A page of the bucket's objects; the arguments are those of the store's ``list``."""
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

    def sweep(self) -> None:
        """Take away what processes that died while they were writing have left behind."""
        for bucket in (INTERNAL, *(name for name, _ in self.buckets())):
            with contextlib.suppress(OSError, OssError):  # one need not keep the others
                self.sweep_bucket(bucket)

    def sweep_bucket(self, bucket: str) -> None:
        """The same in one bucket."""
        draft.sweep(self._place(bucket))

    # -- steps of these --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _entries(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What is in the root."""
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
        """The object; ``None`` for a file that is none, or no longer under this name.

        One that becomes a folder just now (:func:`.folders.unfold`) has its old name in our own
        folder for a moment.
        """
        folder = self.folder(bucket)
        try:
            descriptor, facts = _found(f"{folder}/{key}", flags)
        except OSError as error:
            raise _refusal(error, key) from None
        except ValueError:  # a NUL in it, or half a sign
            raise absent(key) from None
        try:
            real = links.real_key(descriptor, folder) if stat.S_ISREG(facts.st_mode) else None
            if real is None:
                os.close(descriptor)
                return None
            item = self._known(descriptor, facts)
            if real != key:
                item = replace(item, aliases=links.aliases(folder, key, real))
            return Opened(item, descriptor, times=(facts.st_mtime_ns, facts.st_ctime_ns))
        except OSError as error:
            os.close(descriptor)
            raise paths.unavailable(error, "read") from None
        except BaseException:
            os.close(descriptor)
            raise

    def _aliases(self, bucket: str, key: str) -> tuple[str, ...] | None:
        """What :attr:`Object.aliases` is; ``None`` for what is no object."""
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


def _fingerprint(facts: os.stat_result, names: tuple[str, ...] | None) -> object:
    """See :attr:`Object.mark`; it is what :mod:`.attribute_cache` knows a file by."""
    times = facts.st_mtime_ns, facts.st_ctime_ns
    return (facts.st_dev, facts.st_ino, facts.st_size, *times, names)


def _take(way: paths.Way) -> None:
    """Take a file away, and the folders that become empty by that."""
    abandoned.check()
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
        return absent(key)
    if error.errno in (errno.EACCES, errno.EPERM):
        what = "this object's file" if key else "a folder of the store"
        return AccessDenied(f"The server itself has no right to read {what}.")
    return paths.unavailable(error, "read")


def absent(key: str) -> NoSuchKey:
    """The error for an object that is not there."""
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})


def _not_empty(bucket: str) -> BucketNotEmpty:
    return BucketNotEmpty(
        "The bucket you tried to delete is not empty.", extra={"BucketName": bucket}
    )
