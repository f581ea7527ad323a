"""How near does the server come to a bare pyvips loop that does the same job by hand?

The server has 2 renderers and no cache and is asked by 8 connections; the loop runs in 2 processes.
They take turns, loop, server, loop, server, on one machine, and every ratio is of two neighbours.
Both read each file anew, shrink on load by the same rule, resize once where that is needed, and
shift by parts of a pixel where the loader's pixels lie beside the wanted ones; the last three
sources have sides that no step of the loader divides. That both make the same bytes, but for the
JFIF header that the server puts before small pictures, is checked first. The
client's own CPU is told, because it works on the same cores.

    python bench/cold.py [--pairs 5] [--seconds 4] [--shrink fast] [--jobs small]
                         [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chart
import load
import pictures
import report

from vipsgate.image.config import Rendering
from vipsgate.image.formats import jpeg
from vipsgate.image.optimize import least_shift
from vipsgate.image.pixels import shifting
from vipsgate.image.plan import MARGIN

PROCESSES = 2  # renderers, and loops
WARMING = 1.0  # seconds of each before a job is measured
PAUSE = 1.0  # seconds for the server to end what its clients have left behind
AIMS = {
    "small": 0.85,
    "medium": 0.95,
    "large": 0.95,
    "huge": 0.95,
    "half": 0.95,
    "odd": 0.95,
    "less": 0.95,
}  # of the loop's pictures per second
PEAK = 150  # MB that a renderer may reach


# --- the loop -------------------------------------------------------------------------------------


class Loops:
    """The bare loops: processes that make pictures when told to, for so many seconds."""

    def __init__(self, root: Path, job: str, shrink: str) -> None:
        environment = {**os.environ, "VIPS_CONCURRENCY": "1"}
        self._all = [
            subprocess.Popen(
                [sys.executable, __file__, "--loop", str(root), job, shrink, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for number in range(PROCESSES)
        ]

    def run(self, seconds: float) -> dict[str, float]:
        """Pictures per second of all together, ms of CPU for one, the highest memory in MB."""
        for process in self._all:
            assert process.stdin
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        said = []
        for process in self._all:
            assert process.stdout
            said.append(json.loads(process.stdout.readline()))
        return {
            "rate": sum(one["made"] / one["seconds"] for one in said),
            "cpu": sum(one["cpu"] for one in said) / sum(one["made"] for one in said) * 1e3,
            "peak": max(_peak(process.pid) for process in self._all),
        }

    def close(self) -> None:
        """End them."""
        for process in self._all:
            process.communicate()


def _loop(root: Path, name: str, shrink: str, number: int) -> None:
    """Be one of the loops: ``make`` is the job as one would write it by hand."""
    import pyvips

    pyvips.cache_set_max(0)
    job, quality, margin = pictures.EVERY[name], Rendering().jpeg_quality, MARGIN[shrink]
    width, height = job.scaled
    least = margin * (width - 0.5), margin * (height - 0.5)  # pixels that the loader leaves
    factor = 8
    while factor > 1 and any(map(float.__lt__, _left(job, factor), least)):
        factor //= 2
    size = _left(job, factor)
    whole = math.floor(size[0] + 0.5), math.floor(size[1] + 0.5)
    sides = max(job.width, factor * whole[0]), max(job.height, factor * whole[1])
    near = abs(size[0] - width) <= 0.5 and abs(size[1] - height) <= 0.5
    # how far the middle of what libvips has lies beside that of the source, in pixels of the result
    middles = job.scaled if near else whole
    scales = (1.0, 1.0) if near else (width / size[0], height / size[1])
    right, down = ((middles[at] - size[at]) / 2 * scales[at] for at in (0, 1))
    mask = None
    if max(abs(right), abs(down)) >= least_shift(job.source):
        mask = pyvips.Image.new_from_array(shifting(right, down), scale=64)

    def make(path: str) -> bytes:
        with open(path, "rb") as file:
            data = file.read()
        if sides != (job.width, job.height):  # the loader would round down
            data = jpeg.with_sides(data, *sides)
        image = pyvips.Image.jpegload_buffer(data, shrink=factor, access="sequential")
        if near and whole != job.scaled:
            image = image.crop(0, 0, *job.scaled)
        elif not near:
            image = image.resize(width / size[0], vscale=height / size[1])
        if mask:
            image = image.convi(mask)
        if job.made != job.scaled:
            left, top = (width - job.made[0]) // 2, (height - job.made[1]) // 2
            image = image.crop(left, top, *job.made)
        made: bytes = image.jpegsave_buffer(Q=quality, keep="none")
        return made

    paths = [str(pictures.file(root, name, at)) for at in range(pictures.NAMES)]
    if number < 0:
        sys.stdout.buffer.write(make(paths[0]))
        return
    at = number * pictures.NAMES // PROCESSES
    for line in sys.stdin:
        begun, cpu, made = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begun < float(line):
            make(paths[(at + made) % pictures.NAMES])
            made += 1
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        print(json.dumps({"made": made, "seconds": took, "cpu": cpu}), flush=True)


def _left(job: pictures.Job, factor: int) -> tuple[float, float]:
    """The sides of what a loader leaves of the source."""
    return job.width / factor, job.height / factor


# --- the server -----------------------------------------------------------------------------------


class Server:
    """``vipsgate serve`` on a free port, and how much CPU and memory its processes take."""

    def __init__(self, root: Path, shrink: str) -> None:
        command = [sys.executable, "-m", "vipsgate", "serve", str(root), "--no-cache"]
        command += ["--port", "0", "--admin-port", "0", "--renderers", str(PROCESSES)]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "VIPSGATE_IMAGE__SHRINK": shrink},
        )
        assert self._process.stdout
        ready = re.search(r"http://\S+", self._process.stdout.readline())
        if ready is None:
            raise SystemExit("the server does not start; try it by hand: " + " ".join(command))
        self.address = ready[0]
        self._front = self._process.pid
        self.peaks = {"front": 0.0, "renderer": 0.0}  # MB, of all runs so far

    def run(self, job: str, seconds: float) -> dict[str, float]:
        """Pictures per second, ms of CPU for one by who takes it, latency in ms."""
        front, before = report.cpu_seconds(self._front), self._renderers()
        paths = [pictures.path(job, number) for number in range(pictures.NAMES)]
        done = load.load(self.address, paths, seconds)
        front, after = report.cpu_seconds(self._front) - front, self._renderers()
        # one that was replaced on the way is counted as far as it is known
        renderers = sum(cpu - before.get(pid, 0.0) for pid, cpu in after.items())
        self.peaks["front"] = max(self.peaks["front"], _peak(self._front))
        self.peaks["renderer"] = max([self.peaks["renderer"], *map(_peak, after)])
        if done.failed:
            raise SystemExit(f"{done.failed} of {done.requests} requests for {job} failed")
        return {
            "rate": done.requests / done.seconds,
            "front": front / done.requests * 1e3,
            "renderer": renderers / done.requests * 1e3,
            "client": done.cpu / done.requests * 1e3,
            "client share": done.cpu / (done.cpu + front + renderers),
            "p50": done.p50,
            "p95": done.p95,
        }

    def close(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()

    def _renderers(self) -> dict[int, float]:
        """Process id -> seconds of CPU, of those that live."""
        found: dict[int, float] = {}
        for pid in Path(f"/proc/{self._front}/task/{self._front}/children").read_text().split():
            with contextlib.suppress(OSError):  # it has just ended
                found[int(pid)] = report.cpu_seconds(int(pid))
        return found


def _peak(pid: int) -> float:
    """Peak resident memory in MB (VmHWM, which the kernel gives in kB)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


# --- the report -----------------------------------------------------------------------------------


JFIF = slice(2, 20)  # where the header of that name stands, if there is one


def same(root: Path, job: str, shrink: str, address: str) -> bool:
    """Do both make the same bytes, but for a JFIF header?"""
    command = [sys.executable, __file__, "--loop", str(root), job, shrink, "-1"]
    by_hand = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    with urllib.request.urlopen(address + pictures.path(job, 0)) as answer:
        ours = answer.read()
    bare = ours[: JFIF.start] + ours[JFIF.stop :] if ours[6:10] == b"JFIF" else ours
    return bool(bare == by_hand)


def measure(root: Path, job: str, shrink: str, pairs: int, seconds: float) -> dict[str, Any]:
    """Loop and server in turn, on one job, with processes of their own for it."""
    loops, server = Loops(root, job, shrink), Server(root, shrink)
    try:
        equal = same(root, job, shrink, server.address)
        loops.run(WARMING)
        server.run(job, WARMING)
        runs = []
        for _ in range(pairs):
            loop = _watched(lambda: loops.run(seconds), ("cpu",))
            ours = _watched(lambda: server.run(job, seconds), ("front", "renderer", "client"))
            runs.append((loop, ours))
            time.sleep(PAUSE)
        return {
            "same bytes": equal,
            "loop": [loop for loop, _ in runs],
            "server": [ours for _, ours in runs],
            "ratio": [ours["rate"] / loop["rate"] for loop, ours in runs],
            "ratio of cpu": [
                loop["cpu"] / (ours["renderer"] + ours["front"]) for loop, ours in runs
            ],
            "peak": server.peaks,
        }
    finally:
        loops.close()
        server.close()


def _watched(run: Callable[[], dict[str, float]], own: tuple[str, ...]) -> dict[str, float]:
    """What a run found, and the cores that strangers took and that nobody took meanwhile."""
    begun, (idle, busy) = time.perf_counter(), report.cores()
    found = run()
    took, (idle_after, busy_after) = time.perf_counter() - begun, report.cores()
    ours = sum(found[name] for name in own) * found["rate"] / 1e3
    found["idle"] = (idle_after - idle) / took
    found["strangers"] = max(0.0, (busy_after - busy) / took - ours)
    return found


def speed_row(job: str, shrink: str, found: dict[str, Any]) -> list[str]:
    """One row of the first table."""
    return [
        f"{job}, {shrink}",
        report.cell([run["rate"] for run in found["loop"]], 0),
        report.cell([run["rate"] for run in found["server"]], 0),
        report.cell(found["ratio"]),
        f"{AIMS[job]:.2f}",
        report.cell([run["p95"] for run in found["server"]], 1),
        *(
            f"{statistics.median(run[what] for run in found[side]):.2f}"
            for side, what in (("loop", "strangers"), ("server", "strangers"), ("server", "idle"))
        ),
        "yes" if found["same bytes"] else "no",
    ]


def cost_row(job: str, shrink: str, found: dict[str, Any]) -> list[str]:
    """One row of the second table."""
    ours = found["server"]
    share = statistics.median(run["client share"] for run in ours)
    return [
        f"{job}, {shrink}",
        report.cell([run["cpu"] for run in found["loop"]]),
        report.cell([run["renderer"] for run in ours]),
        report.cell([run["front"] for run in ours]),
        report.cell(found["ratio of cpu"]),
        f"{share:.1%}",
        f"{found['peak']['renderer']:.0f}",
        f"{found['peak']['front']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="of runs, loop and server")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run")
    parser.add_argument("--shrink", default="fast,balanced", help="settings of image.shrink")
    every = ",".join(AIMS)
    parser.add_argument("--jobs", default=every, help=f"of {every}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures.make(root, asked.jobs.split(","))
        for shrink in asked.shrink.split(","):
            for job in asked.jobs.split(","):
                made = measure(root, job, shrink, asked.pairs, asked.seconds)
                found[f"{job}, {shrink}"] = made
    rows = [(*key.split(", "), made) for key, made in found.items()]
    print(
        report.table(
            f"Pictures per second, {PROCESSES} loops against {PROCESSES} renderers asked by "
            f"{load.CONNECTIONS} connections of {load.client()}; strangers and idle are cores",
            ["job", "loop", "server", "ratio", "aim", "p95, ms", "strangers beside the loop",
             "beside the server", "idle", "same bytes"],
            [speed_row(*row) for row in rows],
        )
    )  # fmt: skip
    print(
        report.table(
            f"CPU for a picture in ms, and peak memory in MB (a renderer's below {PEAK})",
            ["job", "loop", "renderer", "front", "loop / server", f"share of {load.client()}",
             "renderer peak", "front peak"],
            [cost_row(*row) for row in rows],
        )
    )  # fmt: skip
    if asked.chart:
        chart.bars(
            asked.chart,
            f"The server, {PROCESSES} renderers, against {PROCESSES} bare pyvips loops",
            "share of the loop; 1 is as fast, or as cheap",
            list(found),
            {
                "pictures per second": [made["ratio"] for made in found.values()],
                "by CPU for one": [made["ratio of cpu"] for made in found.values()],
            },
            "Aims, pictures per second: " + ", ".join(f"{k} {v:.2f}" for k, v in AIMS.items()),
        )
    jobs = {name: dataclasses.asdict(job) for name, job in pictures.EVERY.items()}
    report.write(asked.json, {"jobs": jobs, "runs": found})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--loop"]:
        _loop(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
