"""File descriptors: how many this process may have, and how many connections that is."""

from __future__ import annotations

import resource

DESCRIPTORS = 65536  # that this process may hold, where the system lets it
HELD = 2  # descriptors of a request that waits, or is answered: the connection, and a file
RESERVE = 1024  # descriptors for all else: pipes and sockets of renderers, a third one of a few,
CACHE_SHARE = 2  # and, a part of them, files of the cache that stay open


def raise_limit() -> None:
    """Have as many open files as may be: a request holds three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def room(descriptors: int) -> int:
    """Return how many connections may be open where there may be so many descriptors."""
    return max(1, (descriptors - _reserve(descriptors)) // HELD)


def room_here() -> int:
    """The same for the descriptors that this process may have."""
    return room(_limit())


def cache_files() -> int:
    """Return how many files of the cache may stay open."""
    return _reserve(_limit()) // CACHE_SHARE


def _reserve(descriptors: int) -> int:
    return min(RESERVE, descriptors // 4)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
