"""What does a page with five widths of one cold picture cost, beside the largest width alone?

A browser asks for the widths of a ``srcset`` at once, or several browsers do. Each burst is for a
picture of 12 megapixels that nobody has asked for before; beside it stand the largest width alone,
and the five one after the other. All take turns, with the cache on, each time on another picture of
the same pixels. CPU is that of the front and its renderers; wall is until the last byte of all.

    python bench/srcset.py [--rounds 5] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import http.client
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
PIECE = "large"  # 12 megapixels
RENDERERS = 2
WARMING = 1  # rounds before any is counted
WAYS = {  # the widths that are asked for, each group at once
    "the largest alone": ((1600,),),
    "five at once": (WIDTHS,),
    "one after the other": tuple((width,) for width in WIDTHS),
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


def run(running: server.Server, way: str, number: int) -> dict[str, float]:
    """ms of CPU and of waiting, for one picture in all its widths."""
    before, begun = server.cpu(running.pid), time.perf_counter()
    for widths in WAYS[way]:
        ask(running.address, [gallery.path(PIECE, number, f"resize,w_{w}") for w in widths])
    wall = time.perf_counter() - begun
    spent = server.cpu_since(before, server.cpu(running.pid))
    return {"cpu": spent * 1e3, "wall": wall * 1e3}


def measure(root: Path, cache: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Way -> runs, each on a picture of its own."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    options = ["--cache-dir", str(cache), "--renderers", str(RENDERERS)]
    number = 0
    with server.Server(root, options) as running:
        for turn in range(WARMING + rounds):
            for way in WAYS:
                one = run(running, way, number)
                number += 1
                if turn >= WARMING:
                    found[way].append(one)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name) / "root", Path(name) / "cache"
        root.mkdir()
        gallery.make(root, {PIECE: (WARMING + asked.rounds) * len(WAYS)})
        found = measure(root, cache, asked.rounds)
    rows, alone = [], found["the largest alone"]
    for way, runs in found.items():
        times = {
            what: [ours[what] / base[what] for ours, base in zip(runs, alone, strict=True)]
            for what in ("cpu", "wall")
        }
        aimed = way == "five at once"
        good = all(statistics.median(ratio) <= AIM for ratio in times.values())
        rows.append(
            [
                way,
                *(report.cell([run[what] for run in runs], 0) for what in times),
                *(report.cell(ratio) for ratio in times.values()),
                f"{AIM:g}" if aimed else "",
                ("yes" if good else "NO") if aimed else "",
            ]
        )
    head = ["widths", "CPU, ms", "wall, ms", "times CPU", "times wall", "aim", "reached"]
    title = f"{', '.join(map(str, WIDTHS))} of one cold picture of 12 megapixels"
    print(report.table(title, head, rows))
    if asked.chart:
        chart.bars(
            asked.chart,
            "Five widths of one cold picture of 12 megapixels",
            "ms",
            list(found),
            {
                "CPU of front and renderers": [[r["cpu"] for r in runs] for runs in found.values()],
                "until the last byte": [[r["wall"] for r in runs] for runs in found.values()],
            },
            f"Aim: five at once in {AIM:g} times the largest alone, in CPU and in wall",
        )
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
