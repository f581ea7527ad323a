"""How fast is vipsgate beside other servers, on the same pictures, and how good are the results?

Every server makes the same reduction of the same files, asked for more files than there are
connections, keeps no result, and writes JPEG of quality 80. They take turns, each round in another
order, and a ratio is of two runs of one round. Servers that wait take no CPU; one that still works
for clients who have left is waited for.

    python bench/peers.py [--rounds 5] [--seconds 4] [--jobs small,huge] [--only sharp,thumbor]
        [--thumbor EXECUTABLE] [--sharp FOLDER] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import chart
import likeness
import load
import pictures
import report
import rivals
from PIL import Image, JpegImagePlugin

BEST, SECOND = "vipsgate, fast", "vipsgate, balanced"
AIMS = {  # of vipsgate, fast: times the pictures per second of the better configuration of each
    "small": {"sharp": 1.4, "thumbor": 1.4},
    "medium": {"sharp": 1.0, "thumbor": 1.0},
    "large": {"sharp": 1.0, "thumbor": 1.0},
    "huge": {"sharp": 1.0, "thumbor": 1.0},
}
LONGER = {"huge": 3}  # times the seconds: a run has to hold many pictures
WARMING = 1.0  # seconds of each server before a job is measured
STARTING = 30.0  # seconds that a server may take
PLAIN = (b"\xff\xc4\x00\xb5", b"\xff\xc4\x01\xa2")  # the standard tables' segment: one, or all four


class Server:
    """One of them at work: its address, and the CPU and memory of all its processes."""

    def __init__(self, name: str, start: rivals.Start, port: int, job: str) -> None:
        self.name, self._address = name, f"http://127.0.0.1:{port}"
        self._paths = [
            start.path.format(pictures.file(Path(), job, number).name)
            for number in range(pictures.NAMES)
        ]
        self._process = subprocess.Popen(
            start.command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **start.env},
        )
        self.first = self._ready(" ".join(start.command))

    def _ready(self, command: str) -> bytes:
        """The first picture, as soon as there is one."""
        end, said = time.monotonic() + STARTING, ""
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._address + self._paths[0]) as answer:
                    made: bytes = answer.read()
                    return made
            except urllib.error.HTTPError as error:
                said = f"{error}: {error.read()[:300]!r}"
                break
            except OSError as error:
                said = str(error)
                time.sleep(0.1)
        self.close()
        raise SystemExit(f"{self.name} does not answer ({said}); try it by hand: {command}")

    def run(self, seconds: float) -> dict[str, float]:
        """Pictures per second, ms of CPU of all its processes for one, latency in ms."""
        before = self._cpu()
        done = load.load(self._address, self._paths, seconds)
        cpu = self._cpu() - before
        if done.failed:
            raise SystemExit(f"{self.name}: {done.failed} of {done.requests} requests failed")
        self._settle()
        return {
            "rate": done.requests / done.seconds,
            "cpu": cpu / done.requests * 1e3,
            "p95": done.p95,
        }

    def load(self, seconds: float, clients: int) -> load.Load:
        """What comes of so many clients, whatever the answers are."""
        return load.load(self._address, self._paths, seconds, connections=clients, count=True)

    def peak(self) -> float:
        """Peak resident memory of its processes together, in MB; what they share counts in each."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                found = re.search(r"VmHWM:\s+(\d+) kB", status)
                total += int(found[1]) * 1024 if found else 0
        return total / 1e6

    def close(self) -> None:
        """End it and its children."""
        family = self._pids()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in family[1:]:  # some leave theirs behind
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def _settle(self) -> None:
        """Wait until it has ended what its clients left behind."""
        for _ in range(50):
            before = self._cpu()
            time.sleep(0.2)
            if self._cpu() - before < 0.01:
                return

    def _cpu(self) -> float:
        total = 0.0
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it has just ended
                total += report.cpu_seconds(pid)
        return total

    def _pids(self) -> list[int]:
        """It, its children and theirs."""
        found = [self._process.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for file in Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, file.read_text().split())
        return found


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- what a result is -----------------------------------------------------------------------------


def judge(made: bytes, source: Path) -> dict[str, Any]:
    """Bytes, size, coding and likeness of a result."""
    with Image.open(io.BytesIO(made)) as picture:
        width, height = picture.size
        tables = getattr(picture, "quantization", None)
        sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(picture))
        progressive = "progressive" in picture.info
    standard = io.BytesIO()
    Image.new("RGB", (16, 16)).save(standard, "jpeg", quality=rivals.QUALITY)
    equal = Image.open(standard).quantization == tables  # type: ignore[attr-defined]
    coding = [f"q{rivals.QUALITY}" if equal else "other tables", str(sampling)]
    coding += ["progressive"] if progressive else []
    coding += [] if any(mark in made for mark in PLAIN) else ["optimised"]
    return {
        "bytes": len(made),
        "size": f"{width}x{height}",
        "coding": ", ".join(coding),
        "likeness": likeness.score(likeness.reference(source, width, height), made),
    }


# --- the report -----------------------------------------------------------------------------------


def measure(
    root: Path, job: str, starts: dict[str, rivals.Start], ports: dict[str, int], asked: Any
) -> dict[str, Any]:
    """All servers in turn, on one job, with processes of their own for it."""
    servers: list[Server] = []
    seconds = asked.seconds * LONGER.get(job, 1)
    try:
        for name, start in starts.items():
            servers.append(Server(name, start, ports[name], job))
        for server in servers:
            server.run(WARMING)
        rounds: list[dict[str, dict[str, float]]] = []
        for number in range(asked.rounds):
            at = number % len(servers)
            rounds.append({one.name: one.run(seconds) for one in servers[at:] + servers[:at]})
        return {
            one.name: {
                **judge(one.first, pictures.file(root, job, 0)),
                "peak": one.peak(),
                "runs": [found[one.name] for found in rounds],
            }
            for one in servers
        }
    finally:
        for server in servers:
            server.close()


def ratios(found: dict[str, Any], ours: str, name: str) -> list[float]:
    """Ours against one, round by round."""
    pairs = zip(found[ours]["runs"], found[name]["runs"], strict=True)
    return [our["rate"] / run["rate"] for our, run in pairs]


def rows(found: dict[str, Any], names: list[str]) -> list[list[str]]:
    """One for each server, and for each that is not there."""
    made = []
    for name in names:
        one = found.get(name)
        if one is None:
            made.append([name, f"not here; {rivals.RIVALS[name].install}", *[""] * 8])
            continue
        made.append(
            [
                name,
                report.cell([run["rate"] for run in one["runs"]], 1),
                *(
                    report.cell(ratios(found, ours, name)) if ours in found else ""
                    for ours in (BEST, SECOND)
                ),
                report.cell([run["cpu"] for run in one["runs"]], 1),
                report.cell([run["p95"] for run in one["runs"]], 0),
                f"{one['peak']:.0f}",
                f"{one['bytes'] / 1000:.1f} ({one['size']})",
                f"{one['likeness']:.1f}",
                one["coding"],
            ]
        )
    return made


def verdicts(job: str, found: dict[str, Any]) -> list[str]:
    """The aims, against the better configuration of each rival."""
    said = []
    for family, aim in AIMS[job].items():
        all_of_it = [ratios(found, BEST, name) for name in found if name.startswith(family)]
        if all_of_it and BEST in found:
            ratio = min(map(statistics.median, all_of_it))
            reached = "reached" if ratio >= aim else "NOT reached"
            said.append(f"{job}: {BEST} makes {ratio:.2f} times {family}'s, aim {aim}: {reached}")
    return said


HEAD = [
    *("server", "pictures/s", f"{BEST} / it", f"{SECOND} / it", "CPU for one, ms", "p95, ms"),
    *("peaks together, MB", "KB", "SSIMULACRA2", "coding"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run; huge 3 times that")
    parser.add_argument("--jobs", default=",".join(pictures.ALL))
    parser.add_argument("--only", default="", help="beginnings of names, beside vipsgate")
    parser.add_argument("--thumbor", default="thumbor", help="its executable")
    parser.add_argument(
        "--sharp", type=Path, default=Path(), metavar="FOLDER", help="that npm installed it into"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    wanted = ("vipsgate", *filter(None, asked.only.split(",")))
    names = [name for name in rivals.RIVALS if not asked.only or name.startswith(wanted)]
    jobs = asked.jobs.split(",")
    found: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    print(report.heading())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir()
        pictures.make(root, jobs)
        for job in jobs:
            starts, ports = {}, {}
            for name in names:
                work, ports[name] = Path(folder, f"{job}, {name}".replace(" ", "")), free_port()
                work.mkdir()
                task = rivals.Task(
                    root, work, ports[name], pictures.ALL[job], asked.thumbor, asked.sharp.resolve()
                )
                if start := rivals.RIVALS[name].start(task):
                    starts[name] = start
            for name, start in starts.items():
                versions.setdefault(name.partition(",")[0], rivals.version(start))
            found[job] = measure(root, job, starts, ports, asked)
            title = f"{job}: pictures per second, {load.CONNECTIONS} connections of {load.client()}"
            print(report.table(title, HEAD, rows(found[job], names)), flush=True)
    for line in (line for job, made in found.items() for line in verdicts(job, made)):
        print(line)
    print("\nVersions: " + ", ".join(f"{name} {told}" for name, told in versions.items()))
    if asked.chart:
        chart.bars(
            asked.chart,
            "Pictures per second, as a share of vipsgate's at fast shrink",
            "share of vipsgate, fast, in the same round; more is faster",
            jobs,
            {
                name: [
                    [1 / ratio for ratio in ratios(made, BEST, name)] if name in made else []
                    for made in found.values()
                ]
                for name in found[jobs[0]]
            },
        )
    report.write(asked.json, {"versions": versions, "jobs": found})


if __name__ == "__main__":
    main()
