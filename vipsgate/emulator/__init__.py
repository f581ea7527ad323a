"""A stand-in for OSS in test suites: a server of its own, with a clock and faults to play with.

RULE: composes the server anew with what only tests want; nobody imports it but
:mod:`vipsgate.cli`. What a test process imports (``client``, ``plugin``) is the standard library
and pytest; all else runs in the process that :func:`run` starts.

Of two designs the one with a process of its own was taken. A thread in the test process would save
50 ms of a start, but share its interpreter lock, its patched clock and sockets, its warnings and
its signal handlers with what is tested; and other languages would need the other design besides.
The server itself knows nothing of all this: its clock is an argument, and its handler is wrapped.

In the test process::

    plugin     the fixture ``oss``
    client     starts the process, and talks to its admin port

In the process of the emulator::

    main       puts everything together, and ends with whoever has started it
    handler    stands around every request: waits, faults, what is recorded
    faults     rules, and which of them a request meets
    cut        a connection that ends after so many bytes
    requests   what has been recorded
    clock      the time that signatures and expiries are held against
    buckets    the folder: seeds, buckets with names of their own, all of it anew
    control    the HTTP API of the admin port
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Emulator

__all__ = ["run"]


def run(
    seed: str | Path | None = None,
    *,
    config: str | Path | None = None,
    port: int = 0,
    renderers: int = 1,
) -> AbstractContextManager[Emulator]:
    """Return an emulator to be used in a ``with`` statement, which starts it and ends it.

    >>> with vipsgate.emulator.run() as oss:
    ...     bucket = oss2.Bucket(oss2.Auth(*oss.credentials), oss.endpoint, oss.bucket())

    Args:
        seed: A folder whose sub-folders are buckets to begin with; it is copied.
        config: A ``vipsgate.toml`` with further settings.
        port: The public port; 0 for any that is free.
        renderers: Processes that make pictures at the same time.

    Raises:
        EmulatorError: It cannot be started.
    """
    from .client import Emulator

    return Emulator.start(seed, config=config, port=port, renderers=renderers)
