"""What does a window around what is in a picture cost, beside one in its middle?

The pipeline of a renderer without the server: one process, one libvips thread, from a file's bytes
to a result's. All ways take turns, so that a busy moment hits all alike. ``g_center`` is the
picture with its window in the middle, and with any window whose place is known; the looks for
``g_auto`` and ``g_face`` come before it once for each source. "One decode" is the other design:
the source is decoded once, held, and both are made of it; its figure is what it takes more than
``g_center`` alone.

    python bench/windows.py [--rounds 15] [--pictures small large] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2"}  # as a renderer has it

import chart
import pyvips
import report

from vipsgate.demo import land
from vipsgate.image import attention, faces, plan, process, render
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.fonts import Fonts
from vipsgate.image.formats import probe
from vipsgate.image.look import Look
from vipsgate.image.prepared import RenderContext

WARMING = 2  # rounds before any is counted
LIMITS, RENDERING = Limits(render_bytes=1 << 40), Rendering()
CONTEXT = RenderContext(LIMITS, RENDERING, Fonts())
TEXT = "image/resize,m_fill,w_300,h_300"
PICTURES = {  # name -> width, height, suffix and options of libvips
    "small": (400, 267, ".jpg[Q=90]"),
    "medium": (1600, 1067, ".jpg[Q=90]"),
    "large": (4000, 3000, ".jpg[Q=90]"),
    "large, progressive": (4000, 3000, ".jpg[Q=90,interlace]"),
    "large WebP": (4000, 3000, ".webp[Q=85,effort=1]"),
    "large PNG": (4000, 3000, ".png[compression=3]"),
}


def watch(image: pyvips.Image) -> None:
    """Nobody stops it."""


def painted(width: int, height: int, suffix: str) -> bytes:
    """A photograph-like picture with grain, which makes it as hard to decode as a camera's."""
    scene = land.mountains().thumbnail_image(width, height=height, size="force")
    grain = pyvips.Image.gaussnoise(width, height, sigma=4, mean=0, seed=7)
    data: bytes = (scene + grain).cast("uchar").write_to_buffer(suffix)
    return data


def picture(source: probe.Source, planned: plan.Plan, base: pyvips.Image | None = None) -> None:
    """The result, written."""
    descriptor = os.memfd_create("result")
    render.render(source, planned, descriptor, CONTEXT, base)
    os.close(descriptor)


def together(source: probe.Source, main: plan.Plan) -> None:
    """Both of one decode, which is held: as far reduced as the picture's own."""
    base = render.held(source, main, watch)
    factor = 320 / max(base.width, base.height)
    base.resize(min(1.0, factor)).copy_memory().smartcrop(
        *(9, 9), interesting="attention", attention_x=True, attention_y=True
    )
    picture(source, main, base)


def measure(data: bytes, rounds: int) -> dict[str, list[float]]:
    """Way -> milliseconds of CPU, a run of it each."""
    runs: dict[str, list[float]] = {}
    looks = {"look of g_auto": Look("auto", ())}
    if faces.installed():
        looks["look of g_face"] = Look("face", ())

    def spend(way: str, work: Callable[..., object], *arguments: Any, less: float = 0.0) -> float:
        begun = time.process_time()
        work(*arguments)
        taken = 1000 * (time.process_time() - begun)
        runs.setdefault(way, []).append(taken - less)
        return taken

    for _ in range(WARMING + rounds):
        source = probe.probe(data)
        main = plan.make(source.header, process.parse(TEXT, LIMITS).actions, LIMITS, RENDERING)
        alone = spend("g_center", picture, source, main)
        for way, look in looks.items():
            spend(way, attention.find, source, look, LIMITS, watch)
        spend("one decode", together, source, main, less=alone)
    return {way: taken[WARMING:] for way, taken in runs.items()}


def memory(data: bytes, kind: str) -> tuple[float, float]:
    """Megabytes of a look at the peak above what there was before, and as foreseen."""
    source, look = probe.probe(data), Look(kind, ())
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle = resident("VmRSS")
    attention.find(source, look, LIMITS, watch)
    foreseen = look.cost(look.planned(source.header, LIMITS)).memory
    return resident("VmHWM") - idle, foreseen / 1e6


def resident(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pictures", nargs="+", default=list(PICTURES), choices=PICTURES)
    parser.add_argument("--json", type=Path)
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    if not faces.installed():
        print(f"g_face is left out: {faces.INSTALL}")
    render.prepare()
    results, rows, held = {}, [], []
    for name in options.pictures:
        data = painted(*PICTURES[name])
        kinds = ("auto", "face") if faces.installed() else ("auto",)
        held.append([name, *(f"{value:.1f}" for kind in kinds for value in memory(data, kind))])
        results[name] = measure(data, options.rounds)
        rows.append([name, *(report.cell(runs, 1) for runs in results[name].values())])
    ways = list(results[options.pictures[0]])
    print(report.table(f"CPU in ms; `{TEXT}`, and what comes once for a source", ["", *ways], rows))
    head = ["", *(f"{kind}, {what}" for kind in kinds for what in ("took", "foreseen"))]
    print(report.table("Memory of a look, in MB", head, held))
    if options.chart:
        bars = {way: [results[name][way] for name in results] for way in ways}
        chart.bars(options.chart, "A window around what is in it", "CPU, ms", [*results], bars)
    report.write(options.json, results)
    for name, runs in results.items():
        ratio = statistics.median(runs["look of g_auto"]) / statistics.median(runs["g_center"])
        print(f"{name}: a look of g_auto takes {ratio:.2f} times the picture itself")


if __name__ == "__main__":
    main()
