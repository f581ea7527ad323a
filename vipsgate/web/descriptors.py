"""The limit of file descriptors of this process, and what it allows."""

from __future__ import annotations

import resource

DESCRIPTORS = 65536  # the limit to set, if the system allows it
HELD = 2  # descriptors of a request that waits or is answered: the connection and a file
RESERVE = 1024  # descriptors for all else: renderers, a third one of some requests, and
CACHE_SHARE = 2  # one half of these for files of the cache that stay open


def raise_limit() -> None:
    """Raise the limit of open files to :data:`DESCRIPTORS`, or as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def room(descriptors: int) -> int:
    """Return how many connections may be open with a limit of ``descriptors``."""
    return max(1, (descriptors - _reserve(descriptors)) // HELD)


def room_here() -> int:
    """Return how many connections may be open in this process."""
    return room(_limit())


def cache_files() -> int:
    """Return how many files of the cache may stay open in this process."""
    return _reserve(_limit()) // CACHE_SHARE


def _reserve(descriptors: int) -> int:
    return min(RESERVE, descriptors // 4)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
