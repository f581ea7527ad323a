"""How much memory does a picture take, and does it come back after thousands of them?

First one picture: the peak of a renderer that makes 800 pixels of 24 megapixels, above what it took
while idle, in a server of its own each time. Then many requests of all kinds, by 8 clients: what
the front and all renderers together hold a moment after so many. The same with jemalloc, where
``libjemalloc.so.2`` is found; it is preloaded into all processes.

    python bench/memory.py [--requests 20000] [--rounds 3] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import base64
import random
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chart
import gallery
import report
import server
from crowd import Crowd, Stream, statuses

RENDERERS, CLIENTS = 2, 8
PEAK, GROWN = 60.0, 1.3  # MB above idle; what is held at the end, of what is held at the mark
MARK = 1 / 20  # of the requests: the first thousand of 20,000
COURSE = (
    1 / 80,
    1 / 40,
    MARK,
    1 / 10,
    1 / 4,
    1 / 2,
    3 / 4,
    1,
)  # of the requests: when it is looked
REST = 1.5  # seconds before a look, in which what is idle gives back
LONG = 3600.0  # seconds that one part of the requests may take
NAMES = 8  # of each picture of the mix
JEMALLOC = ("/usr/lib", "/usr/local/lib")  # where it is looked for
PEAKS = {  # one picture: the piece, and image.shrink
    "baseline, fast": ("huge", "fast"),
    "baseline, balanced": ("huge", "balanced"),
    "baseline, exact": ("huge", "exact"),
    "progressive, balanced": ("huge-progressive", "balanced"),
}
AIMED = ("baseline, fast", "baseline, balanced")  # which the aim is for
PROCESS = "resize,w_800"


def encoded(text: str) -> str:
    """Base64 as OSS has it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


LOGO = encoded("alpha-00.png?x-oss-process=image/resize,P_20")
MIX = (  # piece, process, and how often of the whole
    ("small", "resize,w_100", 12),
    ("medium", "resize,w_400", 8),
    ("medium", "crop,w_600,h_600,g_center/resize,w_200/quality,q_70", 4),
    ("medium", f"resize,w_500/watermark,text_{encoded('Hello World')}", 4),
    ("medium", f"resize,w_500/watermark,image_{LOGO}", 3),
    ("medium", "resize,w_300/rotate,90/sharpen,100", 2),
    ("medium", "resize,w_400/format,png", 2),
    ("medium", "info", 2),
    ("progressive", "resize,w_400", 4),
    ("alpha", "resize,w_300", 3),
    ("alpha", "resize,w_300/format,webp", 2),
    ("webp", "resize,w_400", 3),
    ("film", "resize,w_160", 1),
    ("large", "resize,w_800", 1),
    ("broken", "resize,w_300", 2),
    ("garbled", "resize,w_300", 2),
)
EXPECTED = (200, 403)  # 403 ImageDamage for what is broken


# --- one picture ----------------------------------------------------------------------------------


def highest(root: Path, piece: str, shrink: str) -> dict[str, float]:
    """Idle memory of a renderer, and its peak while it makes one picture, in MB."""
    options = ["--no-cache", "--renderers", "1"]
    with server.Server(root, options, {"VIPSGATE_IMAGE__SHRINK": shrink}) as running:
        time.sleep(REST)
        idle = {}
        for pid in running.renderers():
            idle[pid] = server.resident(pid)
            server.forget_peak(pid)
        with urllib.request.urlopen(running.address + gallery.path(piece, 0, PROCESS)) as answer:
            answer.read()
        above, pid = max((server.peak(pid) - before, pid) for pid, before in idle.items())
        return {"idle": idle[pid], "above": above}


# --- many requests --------------------------------------------------------------------------------


def mixed() -> list[str]:
    """Paths of the mix, each kind as often as it is to be, in a fixed disorder."""
    made = [
        gallery.path(piece, number, process)
        for piece, process, times in MIX
        for number in range(NAMES)
        for _ in range(times)
    ]
    random.Random(6).shuffle(made)
    return made


def many(root: Path, requests: int, env: dict[str, str]) -> dict[str, Any]:
    """What front and renderers hold after so many requests."""
    paths, seen = mixed(), Counter[int]()
    options = ["--no-cache", "--renderers", str(RENDERERS)]
    with server.Server(root, options, env) as running:
        born = set(running.renderers())
        looks, done = [_held(running, 0)], 0
        for share in COURSE:
            most = round(share * requests) - done
            if most <= 0:
                continue
            turned = paths[done % len(paths) :] + paths[: done % len(paths)]
            stream = Stream("mix", running.address, turned, clients=CLIENTS, most=most, end=LONG)
            seen.update(one.status for one in Crowd([stream]).tell().answers["mix"])
            done += most
            looks.append(_held(running, done))
            born.update(running.renderers())
    wrong = Counter({status: times for status, times in seen.items() if status not in EXPECTED})
    if wrong:
        raise SystemExit(f"answers that nobody should get: {statuses(wrong)}")
    return {"looks": looks, "statuses": dict(seen), "renderers": len(born)}


def _held(running: server.Server, done: int) -> dict[str, float]:
    time.sleep(REST)
    renderers = [server.resident(pid) for pid in running.renderers()]
    return {
        "requests": done,
        "front": server.resident(running.pid),
        "renderers": sum(renderers),
        "highest": max(renderers),
    }


def allocators() -> Iterator[tuple[str, dict[str, str]]]:
    """What memory can be asked from: a name, and the environment for it."""
    yield "as it is", {}
    for folder in JEMALLOC:
        found = sorted(Path(folder).rglob("libjemalloc.so.2"))
        if found:
            yield "jemalloc", {"LD_PRELOAD": str(found[0])}
            return
    print("without jemalloc: libjemalloc.so.2 is not there (Debian: libjemalloc2)\n")


# --- the report -----------------------------------------------------------------------------------


def peak_rows(found: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """The first table."""
    rows = []
    for name, runs in found.items():
        above = [run["above"] for run in runs]
        aim = f"{PEAK:.0f}" if name in AIMED else ""
        reached = ("yes" if statistics.median(above) < PEAK else "NO") if aim else ""
        idle = report.cell([run["idle"] for run in runs], 0)
        rows.append([name, idle, report.cell(above, 0), aim, reached])
    return rows


def course_rows(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The second table: a line for each look, and the last against the mark."""
    rows = []
    names = ("front", "renderers", "highest")
    for looks in zip(*(made["looks"] for made in found.values()), strict=True):
        held = [f"{look[name]:.0f}" for look in looks for name in names]
        rows.append([f"{looks[0]['requests']:,}", *held])
    grown = []
    for made in found.values():
        looks = made["looks"]
        mark = min(looks, key=lambda look: abs(look["requests"] - MARK * looks[-1]["requests"]))
        for name in names:
            ratio = looks[-1][name] / mark[name]
            grown.append(f"{ratio:.2f} {'' if ratio <= GROWN else 'NOT reached'}".strip())
    return [*rows, [f"the last, of that after {MARK:.0%} (aim {GROWN})", *grown]]


def draw(file: Path, found: dict[str, dict[str, Any]]) -> None:
    """What is held, over the requests."""
    chart.lines(
        file,
        f"What {RENDERERS} renderers, their spare and the front hold after so many requests",
        "requests",
        "MB, resident",
        {
            f"{name}, {allocator}": [(look["requests"], look[name]) for look in made["looks"]]
            for name in ("renderers", "front")
            for allocator, made in found.items()
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000, help="of the mix")
    parser.add_argument("--rounds", type=int, default=3, help="of each single picture")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all looks here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    peaks: dict[str, list[dict[str, float]]] = {name: [] for name in PEAKS}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = {"huge": 1, "huge-progressive": 1, **{piece: NAMES for piece, _, _ in MIX}}
        gallery.make(root, names)
        for _ in range(asked.rounds):
            for name, (piece, shrink) in PEAKS.items():
                peaks[name].append(highest(root, piece, shrink))
        head = ["picture, image.shrink", "idle, MB", "above it, MB", "aim", "reached"]
        print(report.table(f"6000x4000 JPEG, `{PROCESS}`: peak of the renderer", head,
                           peak_rows(peaks)))  # fmt: skip
        found = {name: many(root, asked.requests, env) for name, env in allocators()}
    columns = ("front", "all renderers", "largest renderer")
    head = ["requests", *(f"{one}, {name}" for name in found for one in columns)]
    print(report.table("Resident memory after so many mixed requests, MB", head,
                       course_rows(found)))  # fmt: skip
    for name, made in found.items():
        told = ", ".join(f"{status}: {times}" for status, times in made["statuses"].items())
        print(f"{name}: answers {told}; {made['renderers']} renderers have lived\n")
    if asked.chart:
        draw(asked.chart, found)
    report.write(asked.json, {"peaks": peaks, "course": found})


if __name__ == "__main__":
    main()
