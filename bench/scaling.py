"""How do time and memory grow with the source, from 0.1 to 100 megapixels, to 800 pixels wide?

The pipeline alone, at ``balanced``, a new child for every run: it renders a small picture first,
which loads what the first one has to load, and then the one that counts. Memory is the peak above
what the child had before. A source that is narrower than that stays as wide as it is. What the
default limits refuse (bytes of the file, memory estimated from its header) is measured with them
lifted, and the refusal stands below the table.

    python bench/scaling.py [--runs 3] [--sizes 1,24] [--formats jpeg,webp] [--json FILE]
        [--chart FILE.png, which gives FILE-time.png and FILE-memory.png]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import chart
import pictures
import report
from pipeline import Pipeline

SIZES = (0.1, 0.4, 1.0, 4.0, 12.0, 24.0, 50.0, 100.0)  # megapixels
SHAPE = 1.5  # width by height, as cameras have it
FORMATS = {  # name -> suffix with libvips' options
    "jpeg": f".jpg[Q={pictures.QUALITY}]",
    "progressive": f".jpg[Q={pictures.QUALITY},interlace]",
    "png": ".png[compression=3]",
    "webp": ".webp[Q=85,effort=0]",
}
SIDES = {"webp": 16383}  # pixels that a format can hold
WIDTH = 800
PROCESS = f"image/resize,w_{WIDTH}/format,jpg"
WARM = 0.01  # megapixels of the picture that is rendered first


def paint(folder: Path, megapixels: float, formats: list[str]) -> None:
    """Write one picture in all formats; in a child, so that what it takes is not ours."""
    width = round((megapixels * 1e6 * SHAPE) ** 0.5)
    image = pictures.painted("land.mountains", width, round(width / SHAPE)).copy_memory()
    for name in formats:
        if width <= SIDES.get(name, width):
            image.write_to_file(f"{folder}/{name}-{megapixels:g}{FORMATS[name]}", keep="none")


def measure(source: Path, warm: Path, *, lifted: bool) -> dict[str, Any]:
    """One run in a child of its own."""
    child = Pipeline(lifted=lifted)
    try:
        child.run(warm, PROCESS)
        return child.run(source, PROCESS)
    finally:
        child.close()


def both(source: Path, warm: Path, runs: int) -> dict[str, Any]:
    """All runs of one source, and what the limits say to it."""
    refused = measure(source, warm, lifted=False).get("refused", "")
    made = [measure(source, warm, lifted=bool(refused)) for _ in range(runs)]
    return {"file": source.stat().st_size, "refused": refused, "runs": made}


def row(megapixels: float, name: str, found: dict[str, Any], mark: str) -> list[str]:
    """One source."""
    runs = found["runs"]
    return [
        f"{megapixels:g}, {name}",
        f"{found['file'] / 1e6:.2f}",
        f"{runs[0]['shrink']:.3g}",
        report.cell([run["wall"] * 1e3 for run in runs], 1),
        report.cell([run["cpu"] * 1e3 for run in runs], 1),
        report.cell([run["memory"] for run in runs], 0),
        f"{statistics.median(run['cpu'] for run in runs) * 1e3 / megapixels:.1f}",
        f"refused {mark}" if mark else "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", default=",".join(f"{size:g}" for size in SIZES))
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    sizes, formats = [float(size) for size in asked.sizes.split(",")], asked.formats.split(",")
    found: dict[str, dict[float, dict[str, Any]]] = {name: {} for name in formats}
    rows, refusals = [], []
    print(report.heading())
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in (WARM, *sizes):
            command = [sys.executable, __file__, "--paint", folder, str(megapixels), *formats]
            subprocess.run(command, check=True)
            for name in formats if megapixels != WARM else ():
                suffix = FORMATS[name].partition("[")[0]
                warm, source = (
                    Path(folder, f"{name}-{size:g}{suffix}") for size in (WARM, megapixels)
                )
                if not source.exists():
                    refusals.append(f"{megapixels:g}, {name}: a side may have {SIDES[name]} pixels")
                    continue
                made = found[name][megapixels] = both(source, warm, asked.runs)
                source.unlink()
                if made["refused"]:
                    refusals.append(f"{megapixels:g}, {name}: {made['refused']}")
                mark = f"({len(refusals)})" if made["refused"] else ""
                rows.append(row(megapixels, name, made, mark))
    head = ["megapixels", "file, MB", "shrink", "ms", "CPU, ms", "memory, MB", "CPU/megapixel"]
    print(report.table(f"To {WIDTH} pixels wide, by the source", [*head, "by default"], rows))
    for number, refusal in enumerate(refusals, 1):
        print(f"({number}) {refusal}")
    if asked.chart:
        for word, what, unit, factor in (("time", "cpu", "ms", 1e3), ("memory", "memory", "MB", 1)):
            chart.lines(
                asked.chart.with_stem(f"{asked.chart.stem}-{word}"),
                f"A reduction to {WIDTH} pixels wide: {word}",
                "megapixels of the source",
                f"{unit} of {'CPU' if what == 'cpu' else 'memory, at the peak'}",
                {
                    name: [
                        (size, statistics.median(run[what] for run in made["runs"]) * factor)
                        for size, made in by_size.items()
                    ]
                    for name, by_size in found.items()
                },
                log_x=True,
                log_y=True,
            )
    report.write(asked.json, found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--paint"]:
        paint(Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
    else:
        main()
