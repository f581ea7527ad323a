"""The folder that a store is, known by what it is and not by its name alone.

A disk that is not mounted leaves an empty folder under its name, or none. Taken as it stands, every
object would be gone, and what is put would lie hidden below the disk when that comes back. So the
folder is looked at once, at the start, and from then on only that one is the store.

It is the same folder when it has the same inode on the same file system. While it stays mounted,
the number of its device says which file system that is. After it was away the number does not: a
disk may come back as another device, and another disk as this device. Then the file system's own
identity counts (``f_fsid``: ext4, btrfs and ZFS have one that lasts, XFS makes it of the device),
or the device where there is none (NFS). Whoever means another folder to be the store, or one that
is not known again, starts the server anew. SIGHUP does not do that: whoever rotates logs sends it,
too, by night, with the disk away.

No descriptor is held in between: it would keep the disk from being unmounted.
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
RETRY_SECONDS = 5  # of Retry-After: a mount is a matter of seconds
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a folder is.

    Attributes:
        device: ``st_dev``.
        inode: ``st_ino``.
        filesystem: ``f_fsid``; 0 where the file system has none.
    """

    device: int
    inode: int
    filesystem: int

    def same(self, other: Identity) -> bool:
        """Is it this folder, perhaps mounted again?"""
        if self.inode != other.inode:
            return False
        if self.filesystem and other.filesystem:
            return self.filesystem == other.filesystem
        return self.device == other.device


class Root:
    """A store's folder.

    Args:
        path: Where it is; what is there now is what it has to be.
        clock: Seconds.

    Attributes:
        path: Likewise.
        reason: What :meth:`fault` has said last.
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
        """Why the store is not there, for the operator; empty where it is."""
        try:
            if self._since is None:
                facts = os.stat(self.path)
                if (facts.st_dev, facts.st_ino) == self._known:
                    return ""
            identity = _looked_at(self.path)
        except OSError as error:
            return self._lost(os.strerror(error.errno or 0))
        if self._identity is None or not self._identity.same(identity):
            return self._lost("another folder is there than at the start: is its disk mounted?")
        self._known = identity.device, identity.inode
        if self._since is not None:
            self._since, self.reason = None, ""
            log.warning("the store is there again: %s", self.path)
        return ""

    def away_for(self) -> float | None:
        """Seconds since it was first seen to be away; ``None`` where it is there."""
        since = self._since if self.fault() else None
        return None if since is None else self._clock() - since

    def check(self) -> None:
        """Refuse what would be done with anything else in its place.

        Raises:
            ServiceUnavailable: It is not there.
        """
        if self.fault():
            raise away()

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of it; what is done by way of that is done in this folder or nowhere.

        Raises:
            ServiceUnavailable: It is not there.
        """
        try:
            descriptor = os.open(self.path, FOLDER)
        except OSError as error:
            self.check()
            raise away(f"The store cannot be had now: {os.strerror(error.errno or 0)}.") from None
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
    """What is there.

    Raises:
        OSError: It cannot be had, or is no folder.
    """
    descriptor = os.open(path, FOLDER)
    try:
        facts = os.fstat(descriptor)
        return Identity(facts.st_dev, facts.st_ino, os.fstatvfs(descriptor).f_fsid)
    finally:
        os.close(descriptor)


def away(what: str = "The store is away.") -> ServiceUnavailable:
    """The error for what cannot be had until a disk is mounted again."""
    return ServiceUnavailable(what, headers={"Retry-After": str(RETRY_SECONDS)})
