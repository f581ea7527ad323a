"""Do quick pictures, hits, denials and the health keep flowing while heavy pictures queue?

Some clients keep all renderers busy with heavy pictures: 24 megapixels of progressive JPEG, AVIF of
12 megapixels, a long animation. Others come at a steady pace for what is light. Beside it stands
how these are answered in calm, when nothing heavy is asked. Everything is seen from outside.

    python bench/lanes.py [--seconds 30] [--heavy 32] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import chart
import gallery
import pictures
import report
import server
from crowd import Answer, Crowd, Stream, percentile, spread, statuses

RENDERERS = 2
TIMEOUT = 15.0  # seconds; server.request_timeout
BEFORE = 2.0  # seconds in which the heavy ones fill the renderers and what waits for them
QUICK, HEALTH, LIGHT = 20.0, 20.0, 50.0  # requests per second: cold, of the health, of the others
HITS = 16  # different ones
KINDS = {  # what is light: p99 in ms beside heavy pictures, and its status
    "quick": (1000.0, 200),
    "hit": (20.0, 200),
    "denial": (20.0, 403),
    "health": (20.0, 200),
}
HEAVY = {  # process text by piece, and its widest {}; each is asked for once
    "huge-progressive": ("resize,w_{}", 1600),
    "large": ("resize,w_{}/format,avif", 1600),
    "long-film": ("resize,w_{}", 600),
}
WIDTHS = 400  # of each
CONFIG = """
[[credentials]]
access_key_id = "key"
access_key_secret = "secret"
[buckets.{pictures}]
acl = "public-read"
[buckets.{gallery}]
acl = "public-read"
[buckets.shut]
"""


def measure(root: Path, folder: Path, seconds: float, heavy: int) -> dict[str, Any]:
    """Watch what is light: in calm, and beside heavy pictures."""
    config = folder / "vipsgate.toml"
    config.write_text(CONFIG.format(pictures=pictures.BUCKET, gallery=gallery.BUCKET))
    env = {"VIPSGATE_SERVER__REQUEST_TIMEOUT": str(TIMEOUT)}
    options = ["--config", str(config), "--cache-dir", str(folder / "cache")]
    found = {}
    with server.Server(root, [*options, "--renderers", str(RENDERERS)], env) as running:
        hits = [pictures.path("medium", number) for number in range(HITS)]
        warm = [Stream("warm", running.address, hits, clients=1, end=3.0)]
        if Crowd(warm).tell().answers["warm"][-1].cache != "hit":
            raise SystemExit("what was asked for twice is not a hit")
        colds = [path for path in pictures.many() if "/small-" in path]
        half = len(colds) // 2
        for when, paths in (("calm", colds[:half]), ("heavy", colds[half:])):
            watched = [
                Stream("quick", running.address, paths, min(QUICK, half / seconds)),
                Stream("hit", running.address, hits, LIGHT),
                Stream("denial", running.address, ["/shut/a.jpg"], LIGHT),
                Stream("health", running.admin, ["/healthz"], HEALTH),
            ]
            begin = BEFORE if when == "heavy" else 0.0
            crowds = [
                Crowd(
                    [replace(one, begin=begin, end=begin + seconds) for one in watched], ahead=True
                )
            ]
            if when == "heavy":
                crowds.append(Crowd(heavies(running.address, heavy, begin + seconds)))
            told = [one.tell() for one in crowds]
            found[when] = {name: got for one in told for name, got in one.answers.items()}
            found[f"{when}, late"] = told[0].late
    return found


def heavies(address: str, clients: int, end: float) -> list[Stream]:
    """Clients that want heavy pictures, of each kind as many."""
    made = []
    for name, (process, widest) in HEAVY.items():
        texts = (process.format(widest - number) for number in range(WIDTHS))
        paths = [gallery.path(name, 0, text) for text in texts]
        made.append(Stream(name, address, paths, clients=max(1, clients // len(HEAVY)), end=end))
    return made


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The table."""
    made = []
    for name, (aim, expected) in KINDS.items():
        calm, busy = found["calm"][name], found["heavy"][name]
        wrong = Counter(one.status for one in busy if one.status != expected)
        times = [one.took for one in busy if one.status == expected]
        reached = percentile(times, 99) < aim and not wrong
        answers = [f"{len(times)}", statuses(wrong), "yes" if reached else "NO"]
        made.append([name, spread(_times(calm)), spread(times), f"{aim:.0f}", *answers])
    for name in HEAVY:
        got = found["heavy"][name]
        times = [one.took for one in got if one.status == 200]
        wrong = Counter(one.status for one in got if one.status != 200)
        answers = [f"{len(times)}", statuses(wrong), "yes" if set(wrong) <= {503} else "NO"]
        made.append([name, "", spread(times), "", *answers])
    late = [spread(found[f"{when}, late"]) for when in ("calm", "heavy")]
    return [*made, ["late timers of the crowd", *late, "", "", "", ""]]


def _times(got: list[Answer]) -> list[float]:
    return [one.took for one in got]


def draw(file: Path, found: dict[str, Any]) -> None:
    """p50 and p99 of what is light."""
    chart.bars(
        file,
        "Light requests in calm, and while heavy pictures keep every renderer busy",
        "ms until the last byte",
        list(KINDS),
        {
            f"{name}, {when}": [[percentile(_times(found[when][kind]), share)] for kind in KINDS]
            for name, share in (("p50", 50), ("p99", 99))
            for when in ("calm", "heavy")
        },
        "Aims beside heavy ones, p99: "
        + ", ".join(f"{kind} {aim:.0f} ms" for kind, (aim, _) in KINDS.items()),
        log=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of calm, and of heavy times")
    parser.add_argument("--heavy", type=int, default=32, help="clients that want heavy pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all answers here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        pictures.make(root)
        gallery.make(root, dict.fromkeys(HEAVY, 1))
        found = measure(root, folder, asked.seconds, asked.heavy)
    head = ["p50 and p99, ms", "in calm", "beside heavy ones", "aim", "right", "wrong", "reached"]
    title = f"Light requests beside {asked.heavy} clients that want heavy pictures"
    cells = rows(found)
    print(report.table(title, head, cells))
    if asked.chart:
        draw(asked.chart, found)
    answers = {
        when: {
            name: [[one.at, one.took, one.status] for one in got]
            for name, got in found[when].items()
        }
        for when in ("calm", "heavy")
    }
    report.write(asked.json, {"rows": cells, "answers": answers})


if __name__ == "__main__":
    main()
