"""A stand-in for OSS in test suites: a server in a separate process, with a clock and faults.

RULE: composes the server and what only tests need; only :mod:`vipsgate.cli` imports it. A test
process imports ``client`` and ``plugin``, which need the standard library and pytest alone;
everything else runs in the process that :func:`run` starts.

The alternative to a separate process was a thread in the test process. It would start 50 ms
earlier, but share the interpreter lock, a patched clock and sockets, warnings and signal handlers
with the tests, and tests in other languages would need a process anyway. The server has no code for
the emulator: its clock is an argument, and its handler is wrapped.

In the test process::

    plugin     the fixture ``oss``
    client     starts the process, and talks to its admin port

In the process of the emulator::

    main       composes all parts, and ends when the process that has started it ends
    handler    wraps the server's handler: records requests, and applies faults
    faults     rules, and which of them applies to a request
    cut        a connection that is closed after a number of bytes
    requests   the recorded requests
    clock      the time of the server, by which signatures and expiries are checked
    buckets    the folder: seeds, buckets with unique names, and resets
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
    """Return a context manager that starts an emulator and ends it.

    >>> with vipsgate.emulator.run() as oss:
    ...     bucket = oss2.Bucket(oss2.Auth(*oss.credentials), oss.endpoint, oss.bucket())

    Args:
        seed: A folder whose sub-folders are the buckets at the start; it is copied.
        config: A ``vipsgate.toml`` with further settings.
        port: The public port; 0 picks a free one.
        renderers: Number of renderer processes.

    Raises:
        EmulatorError: The process cannot be started.
    """
    from .client import Emulator

    return Emulator.start(seed, config=config, port=port, renderers=renderers)
