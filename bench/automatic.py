"""How long does the first client wait for an AVIF, beside one that is given a WebP for now?

Each picture is asked for by clients that take AVIF and WebP, in a bucket that has them wait and in
one with ``avif_in_background``, and by a client that takes WebP alone: always a width that nobody
has asked for before, of one renderer, until the first byte. "Replaced after" is when the AVIF has
come, to a client that looks every 10 ms. With ``--alike`` the qualities are told at which WebP and
AVIF look like a JPEG: ``ALIKE`` in :mod:`vipsgate.image.automatic` (SSIMULACRA2, extra ``bench``).

    python bench/automatic.py [--rounds 5] [--alike] [--json FILE]
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import time
from pathlib import Path

import likeness
import pictures
import report
import server
from PIL import Image

PHOTOGRAPHS = ("photo-2725x2225.jpg", "Landscape_6.jpg", "flowers.jpeg")
WIDTHS = (400, 800, 1600)
BOTH, WEBP = "image/avif,image/webp,image/*;q=0.8", "image/webp,*/*;q=0.8"
WAYS = {"AVIF": ("waits", BOTH), "WebP for now": ("hurried", BOTH), "WebP": ("waits", WEBP)}
CONFIG = """
[buckets.waits]
acl = "public-read"
auto_format = ["avif", "webp"]
[buckets.hurried]
acl = "public-read"
auto_format = ["avif", "webp"]
avif_in_background = true
"""
PATIENCE = 30.0  # seconds for the AVIF to come
LOOK = 0.01  # seconds between two looks
SIDE = 400  # pixels of a picture whose qualities are compared
JPEG = (40, 60, 75, 85, 92)
SAVED = {
    "WebP": ("webpsave_buffer", {"effort": 4}, (30, 45, 60, 70, 75, 80, 85, 90, 95)),
    "AVIF": (
        "heifsave_buffer",
        {"effort": 1, "compression": "av1"},
        (30, 40, 50, 55, 60, 65, 70, 80, 89),
    ),
}


def ask(address: str, path: str, accept: str) -> tuple[float, str, int]:
    """ms until the first byte, the type, and the bytes."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.connect()
    begun = time.perf_counter()
    connection.request("GET", path, headers={"Accept": accept})
    answer = connection.getresponse()
    waited = time.perf_counter() - begun
    data = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {data!r}")
    return waited * 1e3, answer.headers["Content-Type"], len(data)


def replaced(address: str, path: str) -> float:
    """ms until the AVIF has come."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < PATIENCE:
        if ask(address, path, BOTH)[1] == "image/avif":
            return (time.perf_counter() - begun) * 1e3
        time.sleep(LOOK)
    raise SystemExit(f"{path}: no AVIF after {PATIENCE:g} s")


def measure(folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Picture and width -> way -> ms, and ``replaced`` and the bytes of each way."""
    config = folder / "vipsgate.toml"
    config.write_text(CONFIG)
    for bucket in ("waits", "hurried"):
        (folder / "root" / bucket).mkdir(parents=True)
        for name in PHOTOGRAPHS:
            (folder / "root" / bucket / name).write_bytes((pictures.DATA / name).read_bytes())
    options = ["--cache-dir", str(folder / "cache"), "--renderers", "1", "--config", str(config)]
    found: dict[str, dict[str, list[float]]] = {}
    with server.Server(folder / "root", options) as running:
        for turn in range(rounds):
            for name in PHOTOGRAPHS:
                for width in WIDTHS:
                    runs = found.setdefault(f"{name}, {width} wide", {})
                    process = f"image/resize,limit_0,w_{width - turn}"
                    for way, (bucket, accept) in WAYS.items():
                        path = f"/{bucket}/{name}?x-oss-process={process}"
                        waited, _, size = ask(running.address, path, accept)
                        runs.setdefault(way, []).append(waited)
                        runs.setdefault(f"{way}, KB", []).append(size / 1024)
                        if bucket == "hurried":
                            runs.setdefault("replaced", []).append(replaced(running.address, path))
    return found


def alike() -> list[list[str]]:
    """Rows of JPEG's quality and those of the others that have its score, of each photograph."""
    import numpy
    import pyvips

    rows = []
    for name in PHOTOGRAPHS:
        image = (
            pyvips.Image.thumbnail(str(pictures.DATA / name), SIDE)
            .colourspace("srgb")
            .copy_memory()
        )
        best = Image.fromarray(image.numpy())
        scores = {}
        for kind, (save, options, levels) in SAVED.items():
            made = (getattr(image, save)(Q=level, keep="none", **options) for level in levels)
            scores[kind] = levels, [likeness.score(best, data) for data in made]
        for level in JPEG:
            aim = likeness.score(best, image.jpegsave_buffer(Q=level, keep="none"))
            near = [f"{numpy.interp(aim, ours, levels):.0f}" for levels, ours in scores.values()]
            rows.append([f"{name}, {level}", f"{aim:.1f}", *near])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alike", action="store_true", help="compare qualities, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    asked = parser.parse_args()
    if not all((pictures.DATA / name).is_file() for name in PHOTOGRAPHS):
        raise SystemExit(f"the photographs are not there: {pictures.DATA}")
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), asked.rounds)
    rows = [
        [
            what,
            *(report.cell(runs[way], 0) for way in (*WAYS, "replaced")),
            f"{statistics.median(runs['AVIF']) / statistics.median(runs['WebP for now']):.1f}",
            *(f"{statistics.median(runs[f'{way}, KB']):.0f}" for way in ("AVIF", "WebP")),
        ]
        for what, runs in found.items()
    ]
    head = ["picture", *(f"{way}, ms" for way in WAYS), "replaced after, ms", "times sooner"]
    print(report.table("Until the first byte", [*head, "AVIF, KB", "WebP, KB"], rows))
    if asked.alike:
        head = ["picture, quality of JPEG", "SSIMULACRA2", *SAVED]
        print(report.table("Qualities that look alike", head, alike()))
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
