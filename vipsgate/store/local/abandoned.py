"""Keeps abandoned work on a disk from changing anything.

A system call that hangs cannot be stopped, only abandoned. When it returns, the client has long
been told that nothing was done, and may have tried again. So :func:`check` is called just before
any name is created, removed or changed, under the bucket's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...errors import ServiceUnavailable

_CURRENT = threading.local()


def watch(is_abandoned: Callable[[], bool] | None) -> None:
    """Set what tells whether this thread's work is abandoned; ``None`` if it never is."""
    _CURRENT.is_abandoned = is_abandoned


def check() -> None:
    """Check that the work of this thread is not abandoned.

    Raises:
        ServiceUnavailable: It is abandoned.
    """
    is_abandoned = getattr(_CURRENT, "is_abandoned", None)
    if is_abandoned is not None and is_abandoned():
        raise ServiceUnavailable("The store did not finish in time.")
