"""A server that is measured: started on free ports, watched through /proc, ended in order.

Rule: a script knows a server by its HTTP, its admin port and what the kernel tells of its
processes, and by nothing that is inside.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import report

PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """``vipsgate serve`` in a process of its own.

    Args:
        root: Its store.
        options: More of its command line.
        env: More of its environment.

    Attributes:
        pid: Of its front.
        address: ``http://host:port`` of the public port.
        admin: The same of the admin port.
    """

    def __init__(
        self, root: Path, options: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-m", "vipsgate", "serve", str(root), *options]
        command += ["--port", "0", "--admin-port", "0"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(env or {})},
        )
        assert self._process.stdout
        ready = re.findall(r"http://[^\s)]+", self._process.stdout.readline())
        if len(ready) != 2:
            raise SystemExit("the server does not start; try it by hand: " + " ".join(command))
        self.pid = self._process.pid
        self.address, self.admin = ready

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, and wait for that."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()

    def renderers(self) -> list[int]:
        """The process ids of its children."""
        return children(self.pid)


def children(pid: int) -> list[int]:
    """The process ids of those that it started by its first thread; none if it has ended."""
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in told.split()]


def cpu(pid: int) -> dict[int, float]:
    """Seconds of CPU of a process and of each of its children that lives, by process id."""
    found = {}
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):  # it has just ended
            found[one] = report.cpu_seconds(one)
    return found


def resident(pid: int) -> float:
    """Resident memory in MB (proc_pid_statm(5)); 0 of a process that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * PAGE / 1e6


def peak(pid: int) -> float:
    """The highest that it has been since :func:`forget_peak`, in MB (VmHWM, in kB)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def forget_peak(pid: int) -> None:
    """Let :func:`peak` begin anew (``clear_refs``, proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5\n")


def cpu_since(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Seconds of CPU between two looks; a process that ended in between is left out."""
    return sum(spent - before.get(pid, 0.0) for pid, spent in after.items())
