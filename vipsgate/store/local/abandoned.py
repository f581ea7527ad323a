"""Work on a disk that nobody waits for any more: it must not change anything.

A call of the kernel that hangs cannot be stopped, only left. When it comes back, its caller has
been told long ago that nothing was done, and may have done it anew; so what would give, take or
change a name asks here just before, under the bucket's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...errors import ServiceUnavailable

_CURRENT = threading.local()


def watch(is_abandoned: Callable[[], bool] | None) -> None:
    """Say who knows whether the thread's work of now is abandoned; ``None`` for nobody."""
    _CURRENT.is_abandoned = is_abandoned


def check() -> None:
    """Refuse a step that changes something, where nobody waits for it.

    Raises:
        ServiceUnavailable: Nobody does.
    """
    is_abandoned = getattr(_CURRENT, "is_abandoned", None)
    if is_abandoned is not None and is_abandoned():
        raise ServiceUnavailable("The time was over before the store had done it.")
