"""What does it cost to keep a new picture, beside making it and keeping nothing?

Two servers, one with a cache on the disk and one without, are asked in turn for small pictures that
nobody has asked for before. The front's threads are told apart, as what writes is not the loop. A
third one keeps the pictures in memory alone.

    python bench/keeping.py [--rounds 5] [--seconds 3] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import chart
import load
import pictures
import report
import server

KINDS = {  # options of each server, with FOLDER for one of its own
    "nothing": ["--no-cache"],
    "memory": ["--cache-dir", "FOLDER"],
    "disk": ["--cache-dir", "FOLDER"],
}
ENVIRONMENT = {"memory": {"VIPSGATE_CACHE__DISK_BYTES": "0"}}
SOURCES, TICKS = 8, 100  # pictures in turn; of the kernel's clock in a second (USER_HZ)
SETTLE = 0.3  # seconds for what is written behind the answers
FIRST = 100  # pixels of the width that makes each picture a new one


class Asked:
    """A server, and the pictures that it has not been asked for yet."""

    def __init__(self, root: Path, kind: str) -> None:
        folder = str(root / f".cache-{kind}")
        options = [folder if word == "FOLDER" else word for word in KINDS[kind]]
        self._server = server.Server(root, [*options, "--renderers", "1"], ENVIRONMENT.get(kind))
        names = [pictures.path("small", n).partition("?")[0] for n in range(SOURCES)]
        text = f"image/crop,w_{load.SERIAL},h_60/resize,w_100"
        self._paths = [f"{name}?x-oss-process={text}" for name in names]
        self._next = FIRST

    def run(self, seconds: float) -> dict[str, float]:
        """Pictures per second, and us of CPU for one: the front's, its loop's, the renderer's."""
        before = self._spent()
        done = load.load(self._server.address, self._paths, seconds, first=self._next)
        time.sleep(SETTLE)
        self._next += done.requests // SOURCES + 2
        if done.failed:
            raise SystemExit(f"{done.failed} of {done.requests} requests failed")
        spent = {name: then - before[name] for name, then in self._spent().items()}
        each = {name: used / done.requests * 1e6 for name, used in spent.items()}
        return {"rate": done.requests / done.seconds, **each}

    def close(self) -> None:
        """End it."""
        self._server.close()

    def _spent(self) -> dict[str, float]:
        pid = self._server.pid
        front = report.cpu_seconds(pid)
        thread = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
        loop = (int(thread[11]) + int(thread[12])) / TICKS
        renderer = sum(map(report.cpu_seconds, self._server.renderers()))
        return {"front": front, "loop": loop, "renderer": renderer}


def main() -> None:
    """Ask in turn, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of all servers in turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run")
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        root = Path(name)
        pictures.make(root)
        asked = {kind: Asked(root, kind) for kind in KINDS}
        for one in asked.values():
            stack.callback(one.close)
            one.run(1)
        for _ in range(options.rounds):
            for kind, one in asked.items():
                found[kind].append(one.run(options.seconds))
    bare = [run["front"] for run in found["nothing"]]
    rows = []
    for kind, runs in found.items():
        cells = [
            report.cell([run[word] for run in runs], 0)
            for word in ("rate", "front", "loop", "renderer")
        ]
        ratio = [run["front"] / other for run, other in zip(runs, bare, strict=True)]
        rows.append([kind, *cells, report.cell(ratio)])
    head = ["kept in", "pictures, 1/s", "front, us", "its loop, us", "renderer, us", "front, ratio"]
    print(report.table("A new small picture", head, rows))
    if options.chart:
        chart.bars(
            options.chart,
            "What it costs to keep a new small picture",
            "us of the front's CPU for one",
            list(found),
            {
                "all of the front": [[run["front"] for run in runs] for runs in found.values()],
                "its loop": [[run["loop"] for run in runs] for runs in found.values()],
            },
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
