"""How fast is vipsgate beside other servers, on the same pictures, and how good are the results?

Every server makes the same reduction of the same files, asked for more files than there are
connections, keeps no result, and writes the same quality. They take turns, each round in another
order, and a ratio is of two runs of one round, of our fastest configuration that is as good
(``standing.py``). Servers that wait take no CPU; one that still works for clients who have left is
waited for. Where others are lie is told by options, or by the variables BENCH_THUMBOR, BENCH_SHARP,
BENCH_IMGPROXY and BENCH_IMAGOR.

    python bench/peers.py [--rounds 5] [--seconds 4] [--jobs small,png] [--only sharp,thumbor]
        [--thumbor PROGRAM] [--sharp FOLDER] [--imgproxy PROGRAM] [--imagor PROGRAM]
        [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import socket
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
import processes
import report
import rivals
import standing
from PIL import Image, JpegImagePlugin

BEST, SECOND = "vipsgate, fast", "vipsgate, balanced"
OURS = (BEST, SECOND)
AIMS = {  # job -> times the pictures per second of the best of the others
    "small": 1.2,
    "medium": 1.2,
    "large": 1.2,
    "huge": 1.2,
    "png": 1.0,
    "webp": 1.0,
    "avif": 1.0,
}
LONGER = {"huge": 3, "avif": 3}  # times the seconds: a run has to hold many pictures
WARMING = 1.0  # seconds of each server before a job is measured
STARTING = 30.0  # seconds that a server may take
EVERY = 0.5  # seconds between looks at a server's memory
PROGRAMS = {
    "thumbor": "its executable",
    "sharp": "the folder that npm installed it into",
    "imgproxy": "its executable",
    "imagor": "its executable",
}
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
        """Pictures per second, ms of CPU of all its processes for one, latency in ms, MB."""
        before = processes.cpu(self._process.pid)
        with processes.Highest(self._memory, EVERY) as memory:
            done = load.load(self._address, self._paths, seconds)
        cpu = processes.cpu(self._process.pid) - before
        if done.failed or not done.requests:
            raise SystemExit(f"{self.name}: {done.failed} of {done.requests} requests failed")
        self._settle()
        return {
            "rate": done.requests / done.seconds,
            "cpu": cpu / done.requests * 1e3,
            "p95": done.p95,
            "memory": memory.value,
        }

    def load(self, seconds: float, clients: int) -> load.Load:
        """What comes of so many clients, whatever the answers are."""
        return load.load(self._address, self._paths, seconds, connections=clients, count=True)

    def peak(self) -> float:
        """Peak resident memory of its processes together, in MB; what they share counts in each."""
        return processes.peaks(self._process.pid)

    def close(self) -> None:
        """End it and its children."""
        family = processes.tree(self._process.pid)
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
            before = processes.cpu(self._process.pid)
            time.sleep(0.2)
            if processes.cpu(self._process.pid) - before < 0.02:  # two ticks of the kernel's clock
                return

    def _memory(self) -> float:
        return processes.proportional(self._process.pid)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- what a result is -----------------------------------------------------------------------------


def judge(made: bytes, source: Path) -> dict[str, Any]:
    """Bytes, size, coding and likeness of a result."""
    with Image.open(io.BytesIO(made)) as picture:
        (width, height), kind = picture.size, str(picture.format).lower()
        coding = _jpeg(picture, made) if kind == "jpeg" else f"{kind}, {picture.mode}"
    return {
        "bytes": len(made),
        "size": f"{width}x{height}",
        "coding": coding,
        "likeness": likeness.score(likeness.reference(source, width, height), made),
    }


def _jpeg(picture: Image.Image, made: bytes) -> str:
    """How it is coded: quality, sampling, scans, Huffman tables."""
    quality, standard = rivals.QUALITIES["jpg"], io.BytesIO()
    Image.new("RGB", (16, 16)).save(standard, "jpeg", quality=quality)
    tables = getattr(Image.open(standard), "quantization", None)
    equal = tables == getattr(picture, "quantization", None)
    sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(picture))
    coding = [f"q{quality}" if equal else "other tables", str(sampling)]
    coding += ["progressive"] if "progressive" in picture.info else []
    coding += [] if any(mark in made for mark in PLAIN) else ["optimised"]
    return ", ".join(coding)


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
            server.load(WARMING, load.CONNECTIONS)
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


def results(found: dict[str, Any]) -> dict[str, standing.Result]:
    """What is compared of a job."""
    return {
        name: standing.Result(
            one["likeness"],
            one["bytes"],
            [run["rate"] for run in one["runs"]],
            [run["cpu"] for run in one["runs"]],
        )
        for name, one in found.items()
    }


def rows(found: dict[str, Any], names: list[str]) -> list[list[str]]:
    """One for each server, and for each that is not there."""
    made, compared = [], results(found)
    for name in names:
        one = found.get(name)
        if one is None:
            made.append([name, f"not here; {rivals.RIVALS[name].install}", *[""] * (len(HEAD) - 2)])
            continue
        made.append(
            [
                name,
                report.cell([run["rate"] for run in one["runs"]], 1),
                f"{one['likeness']:.1f}",
                *_ratios(compared, name),
                report.cell([run["cpu"] for run in one["runs"]], 1),
                report.cell([run["p95"] for run in one["runs"]], 0),
                f"{max(run['memory'] for run in one['runs']):.0f}",
                f"{one['peak']:.0f}",
                f"{one['bytes'] / 1000:.1f} ({one['size']})",
                one["coding"],
            ]
        )
    return made


def _ratios(compared: dict[str, standing.Result], name: str) -> list[str]:
    if name in OURS:
        return ["", ""]
    best = standing.beside(compared, OURS, name)
    if not best.ours:
        return ["none of ours is as good", ""]
    return [f"{report.cell(best.rates)}, {best.ours.partition(', ')[2]}", report.cell(best.cpu)]


HEAD = [
    *("server", "pictures/s", "SSIMULACRA2", "vipsgate, as good / it", "CPU, it / vipsgate"),
    *("CPU for one, ms", "p95, ms", "memory, MB", "peaks together, MB", "KB", "coding"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run; huge, avif 3 times")
    parser.add_argument("--jobs", default=",".join(AIMS), help=f"of {','.join(AIMS)}")
    parser.add_argument("--only", default="", help="beginnings of names, beside vipsgate")
    for name, what in PROGRAMS.items():
        given = os.environ.get(f"BENCH_{name.upper()}", "")
        parser.add_argument(f"--{name}", default=given, metavar="PATH", help=what)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    wanted = ("vipsgate", *filter(None, asked.only.split(",")))
    chosen = [name for name in rivals.RIVALS if not asked.only or name.startswith(wanted)]
    programs = {name: getattr(asked, name) for name in PROGRAMS}
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
            kind = pictures.EVERY[job].format
            names = [name for name in chosen if kind in rivals.RIVALS[name].formats]
            for name in names:
                work, ports[name] = Path(folder, f"{job}, {name}".replace(" ", "")), free_port()
                work.mkdir()
                task = rivals.Task(root, work, ports[name], pictures.EVERY[job], programs)
                if start := rivals.RIVALS[name].start(task):
                    starts[name] = start
            for name, start in starts.items():
                if (family := name.partition(",")[0]) not in versions:
                    versions[family] = rivals.version(start)
            found[job] = measure(root, job, starts, ports, asked)
            title = f"{job}: pictures per second, {load.CONNECTIONS} connections of {load.client()}"
            print(report.table(title, HEAD, rows(found[job], names)))
            said = standing.verdict(job, results(found[job]), OURS, AIMS.get(job, 1.0))
            print("\n".join(said) + "\n", flush=True)
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
                for name in chosen
            },
        )
    report.write(asked.json, {"versions": versions, "jobs": found})


if __name__ == "__main__":
    main()
