"""What does it cost to be seen? Counting a hit, and writing its line, in microseconds.

The work of ``Recorder`` for one known request, with a real log file, beside an empty call of the
same shape; no network, so that single microseconds are seen.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chart
import report
from multidict import CIMultiDict

from vipsgate.observe.accesslog import AccessLog
from vipsgate.observe.recorder import Recorder

ROUNDS = 20_000
FORMS = ("off", "combined", "json")
IDENTITY = "0123456789ABCDEF01234567"


def hit(watch: Recorder, request: Any, response: Any) -> None:
    """What ``app.converse`` has noted of a hit."""
    visit = watch.begin(IDENTITY)
    visit.bucket, visit.key, visit.exists = "photos", "2026/11/cat.jpg", True
    visit.process, visit.style, visit.cache = "image/resize,w_400", "", "memory"
    watch.end(visit, request, response)


async def measure(form: str, folder: Path) -> float:
    """Microseconds of one hit."""
    log = None if form == "off" else AccessLog(form, str(folder / form))  # type: ignore[arg-type]
    watch = Recorder(log)
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Referer": "http://a/b.html"}
    version = SimpleNamespace(major=1, minor=1)
    request = SimpleNamespace(
        method="GET", remote="192.0.2.1", headers=CIMultiDict(headers), version=version
    )
    response = SimpleNamespace(status=200, content_length=30_000)
    begun = time.perf_counter()
    for number in range(ROUNDS):
        hit(watch, request, response)
        if not number % 100:
            await asyncio.sleep(0)
    spent = time.perf_counter() - begun
    if log:
        log.close()
    return spent / ROUNDS * 1e6


def main() -> None:
    """Measure all forms in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    found: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.runs):
            for form in FORMS:
                found[form].append(asyncio.run(measure(form, Path(name))))
    rows = [[form, report.cell(found[form], 1), "10"] for form in FORMS]
    print(report.table("A hit, noted", ["access log", "us", "aim"], rows))
    if options.chart:
        chart.bars(
            options.chart,
            "What it costs to be seen",
            "us of CPU for a hit",
            list(found),
            {"counted, and written": list(found.values())},
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
