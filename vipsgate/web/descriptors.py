"""File descriptors: how many this process may have, and how many connections that is."""

from __future__ import annotations

import resource

DESCRIPTORS = 65536  # that this process may hold, where the system lets it
HELD = 2  # descriptors of a request that waits, or is answered: the connection, and a file
RESERVE = 1024  # descriptors for all else: pipes and sockets of renderers, a third one of a few


def raise_limit() -> None:
    """Have as many open files as may be: a request holds three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def room(descriptors: int) -> int:
    """Return how many connections may be open where there may be so many descriptors."""
    return max(1, (descriptors - min(RESERVE, descriptors // 4)) // HELD)


def room_here() -> int:
    """The same for the descriptors that this process may have."""
    return room(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
