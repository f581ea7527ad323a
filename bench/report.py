"""What every script says: the machine, one Markdown table for each question, and JSON on demand.

Rule: a cell is a median, with the lowest and the highest run beside it; whoever repeats a run on
another machine compares ratios inside one table, never figures across tables.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("aiohttp", "uvloop", "orjson", "msgpack", "pyvips", "pyvips-binary", "av")


def machine() -> dict[str, str]:
    """CPU, kernel, Python and the versions of what was measured."""
    found = {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def cell(runs: Sequence[float], digits: int = 2) -> str:
    """``0.12 (0.11-0.15)``: the median, the lowest and the highest run."""
    low, high = min(runs), max(runs)
    return f"{statistics.median(runs):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table under its title; all columns but the first are set to the right."""
    ruler = ["---", *(["---:"] * (len(head) - 1))]
    lines = [f"| {' | '.join(row)} |" for row in (head, ruler, *rows)]
    return "\n".join([f"**{title}**", "", *lines, ""])


def heading() -> str:
    """Machine and versions in one line, and how busy the machine was."""
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d')}; {facts}; load average {load} at the start\n"


def write(file: Path | None, results: Any) -> None:
    """All runs as JSON, not only the medians, where a file was asked for."""
    if file is not None:
        made = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "results": results}
        file.write_text(json.dumps(made, indent=1) + "\n")


def cores() -> tuple[float, float]:
    """Seconds that all cores together have been idle and busy (proc_stat(5))."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    idle = fields[3] + fields[4]
    ticks = os.sysconf("SC_CLK_TCK")
    return idle / ticks, (sum(fields) - idle) / ticks


def cpu_seconds(pid: int) -> float:
    """CPU that a living process has used, all its threads, by the kernel's clock for it.

    ``/proc/PID/stat`` counts in steps of 10 ms, which is too coarse for one picture.
    """
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3) on Linux
