"""What does a request cost with 1, 2, 4 and 8 fronts? The same: what scaling on many cores needs.

All servers run at once and are asked in turn, by 64 connections, so that what else the machine does
meets all alike, and so that each of 8 fronts has several, too: new small pictures, plain objects,
hits and denials; where asked for, medium and large pictures, too. Told are milliseconds of CPU of
all processes of a server for one answer, of its fronts alone, and on this machine's cores answers a
second. A server has as many renderers as it has fronts, 2 at least. ``2 apart`` are two servers of
one front and one renderer each that know nothing of each other: what they cost more than one is
not the price of what fronts tell each other, but of more processes on these cores.

    python bench/fronts.py [--rounds 5] [--seconds 2] [--fronts 1,2,4,8] [--jobs WORDS]
        [--json FILE] [--chart FILE]
    python bench/fronts.py --fronts "1,2,2 apart" --jobs "new small picture"
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chart
import load
import pictures
import report
import server

CONFIG = """
[[credentials]]
access_key_id = "key"
access_key_secret = "secret"
[buckets.bench]
acl = "public-read"
[buckets.shut]
"""
AIM = 0.05  # of the cost with one front
CONNECTIONS = 64
CACHE = {"VIPSGATE_CACHE__DISK_BYTES": "0"}
SIZES = ("small", "medium", "large")
JOBS = "new small picture,object,hit,denial"


def jobs() -> dict[str, list[str]]:
    """Paths, by job; of new pictures a side that binds nothing is another one in each."""
    names = {
        size: [pictures.path(size, number).partition("?")[0] for number in range(pictures.NAMES)]
        for size in SIZES
    }
    texts = {size: f"image/resize,w_{pictures.JOBS[size].made[0]}" for size in SIZES}
    new = {
        size: [f"{name}?x-oss-process={texts[size]},h_{load.SERIAL}" for name in names[size]]
        for size in SIZES
    }
    return {
        **{f"new {size} picture": paths for size, paths in new.items()},
        "object": names["small"],
        "hit": [f"{name}?x-oss-process={texts['small']}" for name in names["small"]],
        "denial": [f"/shut/{number}.jpg" for number in range(64)],
    }


class Many:
    """A server with so many fronts, or so many servers.

    Args:
        root: The store.
        config: The configuration.
        name: How many fronts; ``2 apart`` for servers of one.
    """

    def __init__(self, root: Path, config: Path, name: str) -> None:
        number, _, apart = name.partition(" ")
        fronts = 1 if apart else int(number)
        renderers = 1 if apart else max(2, fronts)
        options = ["--config", str(config), "--fronts", str(fronts), "--renderers", str(renderers)]
        self.servers = [
            server.Server(root, [*options, "--cache-dir", str(root / f".{name} {one}")], CACHE)
            for one in range(int(number) if apart else 1)
        ]
        self._several, self._first = fronts > 1, load.FIRST

    def _cpu(self) -> tuple[Mapping[int, float], Mapping[int, float]]:
        """Seconds of CPU: of the parent and the fronts, and of the renderers."""
        top = [one.pid for one in self.servers]
        fronts = server.children(top[0]) if self._several else top
        renderers = [pid for front in fronts for pid in server.children(front)]
        own = {*top, *fronts}
        return {pid: report.cpu_seconds(pid) for pid in own}, {
            pid: report.cpu_seconds(pid) for pid in renderers
        }

    def run(self, paths: list[str], seconds: float) -> dict[str, float]:
        """Milliseconds of CPU for one answer, and answers a second."""
        before = self._cpu()
        connections = CONNECTIONS // len(self.servers)
        with ThreadPoolExecutor(len(self.servers)) as pool:
            asked = [
                pool.submit(
                    load.load,
                    *(one.address, paths, seconds),
                    first=self._first,
                    connections=connections,
                )
                for one in self.servers
            ]
        loads = [one.result() for one in asked]
        after = self._cpu()
        requests = sum(one.requests for one in loads)
        self._first += requests // len(paths) + 1
        front, renderers = (
            server.cpu_since(one, other) / requests * 1e3
            for one, other in zip(before, after, strict=True)
        )
        return {
            "all": front + renderers,
            "fronts": front,
            "renderers": renderers,
            "rate": sum(one.requests / one.seconds for one in loads),
            "failed": sum(one.failed for one in loads) / requests,
        }


def main() -> None:
    """Ask all in turn, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of every job and server")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one run")
    parser.add_argument("--fronts", default="1,2,4,8", help="the servers, the first one's the base")
    parser.add_argument("--jobs", default=JOBS, help=f"of {', '.join(jobs())}")
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    counts = options.fronts.split(",")
    print(report.heading())
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root, config = Path(folder) / "root", Path(folder) / "vipsgate.toml"
        root.mkdir()
        config.write_text(CONFIG)
        wanted = {name: paths for name, paths in jobs().items() if name in options.jobs.split(",")}
        pictures.make(root, SIZES)
        (root / "shut").mkdir()
        servers = {count: Many(root, config, count) for count in counts}
        for one in servers.values():
            for running in one.servers:
                stack.enter_context(running)
        for name, paths in wanted.items():
            found[name] = {count: [] for count in counts}
            for one in servers.values():
                one.run(paths, 1)
            for _ in range(options.rounds):
                for count, one in servers.items():
                    done = one.run(paths, options.seconds)
                    assert done["failed"] == (1 if name == "denial" else 0), (name, count)
                    found[name][count].append(done)
    for key, title in (
        ("all", "ms of CPU of all processes for one answer"),
        ("fronts", "ms of CPU of the fronts and their parent for one answer"),
        ("rate", "answers a second on this machine"),
    ):
        rows = []
        for name, runs in found.items():
            values = {count: [run[key] for run in each] for count, each in runs.items()}
            ratios = [
                statistics.median(a / b for a, b in zip(value, values[counts[0]], strict=True))
                for value in values.values()
            ]
            cells = [report.cell(value, 0 if key == "rate" else 3) for value in values.values()]
            rows.append([name, *cells, " ".join(f"{ratio:.2f}" for ratio in ratios[1:])])
        head = ["answer", *(_title(count) for count in counts), f"to {counts[0]}"]
        print(report.table(title, head, rows))
    if options.chart:
        values = [
            [[run["all"] for run in found[name][count]] for name in found] for count in counts
        ]
        chart.bars(
            options.chart,
            "What a request costs with more fronts",
            "ms of CPU of all processes for one answer",
            list(found),
            {_title(count): value for count, value in zip(counts, values, strict=True)},
            f"Aim: within {AIM:.0%} of one front",
        )
    report.write(options.json, found)


def _title(name: str) -> str:
    return name if " " in name else f"{name} fronts"


if __name__ == "__main__":
    main()
