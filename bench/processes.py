"""A process, its children and theirs: the CPU and the memory of all together, from ``/proc``.

Rule: what has ended counts as far as it has been waited for (proc_pid_stat(5)), so that a server
which starts a process for each picture is not the cheaper for it. Memory is the proportional set
size, of which a page that several hold is counted once.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")  # of a second, in which the kernel counts CPU


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU by ``/proc/PID/stat``, in ticks.

    Attributes:
        own: Of all its threads, in user space and in the kernel.
        waited: Of those of its children, and theirs, that have ended and were waited for.
    """

    own: int
    waited: int


def usage(stat: str) -> Usage:
    """What the text of a ``stat`` file says. The program's name in it may have any characters."""
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return Usage(user + system, children_user + children_system)


def kilobytes(text: str, field: str) -> int:
    """A field of a ``status`` or ``smaps_rollup`` file; 0 where it is missing."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def tree(pid: int, proc: Path = PROC) -> list[int]:
    """A process, its children and theirs, that live."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for file in sorted(proc.glob(f"{one}/task/*/children")):
                found += map(int, file.read_text().split())
    return found


def cpu(pid: int, proc: Path = PROC) -> float:
    """Seconds that the tree of a process has taken."""
    used = [usage(text) for text in _texts(pid, "stat", proc)]
    return sum(one.own + one.waited for one in used) / TICK


def proportional(pid: int, proc: Path = PROC) -> float:
    """Memory of the tree of a process now, in MB."""
    texts = _texts(pid, "smaps_rollup", proc)
    return sum(kilobytes(text, "Pss") for text in texts) * 1024 / 1e6


def peaks(pid: int, proc: Path = PROC) -> float:
    """The peaks of resident memory in the tree together, in MB; shared pages count in each."""
    texts = _texts(pid, "status", proc)
    return sum(kilobytes(text, "VmHWM") for text in texts) * 1024 / 1e6


def _texts(pid: int, name: str, proc: Path) -> Iterable[str]:
    for one in tree(pid, proc):
        with contextlib.suppress(OSError):  # it has just ended
            yield (proc / str(one) / name).read_text()


class Highest:
    """The highest value while the block runs, looked at every so often, and at its end.

    Attributes:
        value: So far.
    """

    def __init__(self, look: Callable[[], float], every: float) -> None:
        self._look, self._every, self._over = look, every, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.value = 0.0

    def __enter__(self) -> Highest:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self.value = max(self.value, self._look())
        self.value = max(self.value, self._look())
