"""What does a page with five widths of one cold picture cost, beside the largest width alone?

A browser asks for the widths of a ``srcset`` at once, or several browsers do. Each burst is for a
picture that nobody has asked for before; beside it stand the largest width alone, the five one
after the other, and the burst with ``image.masters``. All take turns, with the cache on, each time
on another picture of the same pixels. CPU is that of the front and its renderers; wall is until the
last byte of all.

What is shared may not change a byte of any answer, so it depends on the source: of a PNG all is
decoded once, of a JPEG what its loader reduces equally far, of a WebP what has one scale.

    python bench/srcset.py [--rounds 5] [--sources NAME ...] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import chart
import gallery
import report
import server

WIDTHS = (320, 640, 960, 1280, 1600)
AIM = 2.0  # times the largest alone
SOURCES = {  # name -> piece of the gallery
    "24 MP JPEG": "huge",
    "12 MP JPEG": "large",
    "4 MP JPEG": "camera",
    "4 MP PNG": "camera-png",
    "4 MP WebP": "camera-webp",
}
RENDERERS = 2
WARMING = 1  # rounds before any is counted
ALONE, AIMED = "the largest alone", "five at once"
WAYS = {  # the widths that are asked for, each group at once; whether there are masters
    ALONE: (((1600,),), False),
    AIMED: ((WIDTHS,), False),
    "five at once, `image.masters`": ((WIDTHS,), True),
    "one after the other": (tuple((width,) for width in WIDTHS), False),
}


def ask(address: str, paths: Sequence[str]) -> None:
    """Ask for all of them at the same moment, and wait for the last byte."""
    start = threading.Barrier(len(paths))
    failed: list[str] = []

    def one(path: str) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.connect()
        start.wait()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200 or answer.headers["X-Vipsgate-Cache"] == "hit":
            failed.append(f"{path}: {answer.status} {answer.headers['X-Vipsgate-Cache']}")
        connection.close()

    threads = [threading.Thread(target=one, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit("not a fresh picture: " + ", ".join(failed))


def run(running: server.Server, way: str, piece: str, number: int) -> dict[str, float]:
    """ms of CPU and of waiting, for one picture in all its widths."""
    before, begun = server.cpu(running.pid), time.perf_counter()
    for widths in WAYS[way][0]:
        ask(running.address, [gallery.path(piece, number, f"resize,w_{w}") for w in widths])
    wall = time.perf_counter() - begun
    spent = server.cpu_since(before, server.cpu(running.pid))
    return {"cpu": spent * 1e3, "wall": wall * 1e3}


Runs = dict[str, list[dict[str, float]]]  # by the way


def measure(root: Path, cache: Path, sources: Sequence[str], rounds: int) -> dict[str, Runs]:
    """Source -> way -> runs, each on a picture of its own."""
    found: dict[str, Runs] = {source: {way: [] for way in WAYS} for source in sources}
    options = ["--cache-dir", str(cache), "--renderers", str(RENDERERS)]
    over = {"VIPSGATE_IMAGE__MASTERS": "true"}
    with server.Server(root, options) as usual, server.Server(root, options, over) as masters:
        for source in sources:
            numbers = itertools.count()
            for turn in range(WARMING + rounds):
                for way, (_, mastered) in WAYS.items():
                    running = masters if mastered else usual
                    one = run(running, way, SOURCES[source], next(numbers))
                    if turn >= WARMING:
                        found[source][way].append(one)
    return found


def rows(found: Runs) -> list[list[str]]:
    """A row for each way, beside the largest alone."""
    made, alone = [], found[ALONE]
    for way, runs in found.items():
        times = {
            what: [ours[what] / base[what] for ours, base in zip(runs, alone, strict=True)]
            for what in ("cpu", "wall")
        }
        aimed = way == AIMED
        good = all(statistics.median(ratio) <= AIM for ratio in times.values())
        made.append(
            [
                way,
                *(report.cell([run[what] for run in runs], 0) for what in times),
                *(report.cell(ratio) for ratio in times.values()),
                f"{AIM:g}" if aimed else "",
                ("yes" if good else "NO") if aimed else "",
            ]
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name) / "root", Path(name) / "cache"
        root.mkdir()
        count = (WARMING + asked.rounds) * len(WAYS)
        gallery.make(root, {SOURCES[source]: count for source in asked.sources})
        found = measure(root, cache, asked.sources, asked.rounds)
    widths = ", ".join(map(str, WIDTHS))
    head = ["widths", "CPU, ms", "wall, ms", "times CPU", "times wall", "aim", "reached"]
    for source, runs in found.items():
        print(report.table(f"{widths} of one cold {source}", head, rows(runs)))
    if asked.chart:
        chart.bars(
            asked.chart,
            "Five widths of one cold picture",
            "ms of CPU of front and renderers",
            list(found),
            {way: [[run["cpu"] for run in runs[way]] for runs in found.values()] for way in WAYS},
            f"Aim: five at once in {AIM:g} times the largest alone, in CPU and in wall",
        )
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
