"""The root folder of a store, recognized by its identity and not only by its path.

A disk that is not mounted leaves an empty folder at its path, or none. If that were used, every
object would be missing, and new objects would be hidden once the disk is mounted again. So the
identity of the folder is read at the start, and from then on only that folder is the store.

It is the same folder if it has the same inode on the same file system. While it stays mounted, the
device number identifies the file system. After it was away it does not: a disk may come back as
another device, and another disk as this device. Then the file system's own identity is compared
(``f_fsid``: that of ext4, btrfs and ZFS lasts, XFS derives it from the device), or the device if
there is none (NFS). To use another folder, or one that is not recognized, the server has to be
restarted. SIGHUP has no such effect, as log rotation may send it while the disk is away.

No descriptor is kept open, as that would prevent unmounting the disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...errors import ServiceUnavailable

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # a root need not be readable, only its buckets
RETRY_SECONDS = 5  # of Retry-After: mounting takes seconds
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a folder.

    Attributes:
        device: ``st_dev``.
        inode: ``st_ino``.
        filesystem: ``f_fsid``; 0 if the file system has none.
    """

    device: int
    inode: int
    filesystem: int

    def same(self, other: Identity) -> bool:
        """Return whether it is the same folder, even if it was mounted again."""
        if self.inode != other.inode:
            return False
        if self.filesystem and other.filesystem:
            return self.filesystem == other.filesystem
        return self.device == other.device


class Root:
    """A store's folder.

    Args:
        path: Its path; the folder that is there now is the store.
        clock: Returns the time in seconds.

    Attributes:
        path: Its path.
        reason: The last result of :meth:`fault`.
    """

    reason = ""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._identity: Identity | None = None
        self._since: float | None = None  # when it was first seen to be away
        with contextlib.suppress(OSError):
            self._identity = _looked_at(path)
        self._known = self._identity and (self._identity.device, self._identity.inode)

    def fault(self) -> str:
        """Return why the store is away, for the operator; empty if it is not."""
        try:
            if self._since is None:
                facts = os.stat(self.path)
                if (facts.st_dev, facts.st_ino) == self._known:
                    return ""
            identity = _looked_at(self.path)
        except OSError as error:
            return self._lost(os.strerror(error.errno or 0))
        if self._identity is None or not self._identity.same(identity):
            return self._lost("the folder is not the one at the start: is its disk mounted?")
        self._known = identity.device, identity.inode
        if self._since is not None:
            self._since, self.reason = None, ""
            log.warning("the store is there again: %s", self.path)
        return ""

    def away_for(self) -> float | None:
        """Return the seconds since it was first seen to be away; ``None`` if it is not."""
        since = self._since if self.fault() else None
        return None if since is None else self._clock() - since

    def check(self) -> None:
        """Check that the store is not away.

        Raises:
            ServiceUnavailable: It is away.
        """
        if self.fault():
            raise away()

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Open the folder, and check that it is the store.

        Raises:
            ServiceUnavailable: The store is away.
        """
        try:
            descriptor = os.open(self.path, FOLDER)
        except OSError as error:
            self.check()
            raise away(f"The store cannot be read now: {os.strerror(error.errno or 0)}.") from None
        try:
            facts = os.fstat(descriptor)
            if self._since is not None or (facts.st_dev, facts.st_ino) != self._known:
                self.check()
                if (facts.st_dev, facts.st_ino) != self._known:
                    raise away()
            yield descriptor
        finally:
            os.close(descriptor)

    def _lost(self, reason: str) -> str:
        if self._since is None:
            self._since = self._clock()
            log.error("the store is away: %s: %s", self.path, reason)
        self.reason = f"the store is away: {self.path}: {reason}"
        return self.reason


def _looked_at(path: str) -> Identity:
    """Return the identity of the folder at a path.

    Raises:
        OSError: It cannot be opened, or is no folder.
    """
    descriptor = os.open(path, FOLDER)
    try:
        facts = os.fstat(descriptor)
        return Identity(facts.st_dev, facts.st_ino, os.fstatvfs(descriptor).f_fsid)
    finally:
        os.close(descriptor)


def away(what: str = "The store is away.") -> ServiceUnavailable:
    """Return the error for a store that is away until a disk is mounted again."""
    return ServiceUnavailable(what, headers={"Retry-After": str(RETRY_SECONDS)})
