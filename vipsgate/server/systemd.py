"""Notifications to systemd, as by ``sd_notify(3)``: datagrams to the socket in ``NOTIFY_SOCKET``.

Without ``NOTIFY_SOCKET`` nothing is sent. The package sdnotify does the same, has not changed since
2017, and handles neither an abstract socket's name nor the watchdog correctly.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
MARGIN = 2  # notifications within the watchdog's timeout


def tell(*words: str) -> None:
    """Send assignments; errors are ignored."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    name = f"\0{name[1:]}" if name.startswith("@") else name  # an abstract one
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
    ):
        line.setblocking(False)
        line.sendto("\n".join(words).encode(), name)


def reloading() -> None:
    """Notify that the configuration is being read, until :data:`READY` (systemd.service, Type=)."""
    tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog() -> float:
    """Return the seconds between watchdog notifications of this process; 0 for none."""
    interval, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not (interval.isascii() and interval.isdigit()) or pid not in ("", str(os.getpid())):
        return 0.0
    return int(interval) / 1e6 / MARGIN


async def live() -> None:
    """Send watchdog notifications if systemd wants them; they stop if the event loop hangs."""
    while pause := watchdog():
        tell(ALIVE)
        await asyncio.sleep(pause)


class Watchdog:
    """Watchdog notifications of a process without an event loop."""

    def __init__(self) -> None:
        self._last = 0.0

    def beat(self) -> None:
        """Send a watchdog notification if one is wanted and due."""
        pause, now = watchdog(), time.monotonic()
        if pause and now - self._last > pause:
            self._last = now
            tell(ALIVE)
