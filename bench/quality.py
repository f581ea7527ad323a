"""What do the shrink profiles cost, and how near do their results come to the best reduction?

Photographs, reduced by several factors to JPEG of quality 80, by the pipeline alone, one child for
each profile; every round runs the profiles one after the other. ``shrink`` is how far the loader
reduces before the one resize. The likeness (SSIMULACRA2, see ``likeness.py``) is told twice: of the
JPEG as it is sent, and of a PNG, where what is lost is the reduction's alone.

    python bench/quality.py [--rounds 9] [--factors 2.5,4.5] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chart
import likeness
import pictures
import report
from PIL import Image, ImageOps
from pipeline import Pipeline

PROFILES = ("fast", "balanced", "exact")
PHOTOGRAPHS = ("photo-2725x2225.jpg", "flowers.jpeg", "photo-1024x772.webp", "Landscape_6.jpg")
FACTORS = (1.7, 2.5, 4.5, 9.0)  # between and above the steps of a JPEG's loader: 2, 4 and 8
LEAST = 64  # pixels of a result's shorter side; below, there is no quality to speak of


def sources(folder: Path) -> list[Path]:
    """The photographs beside the checkout, or what stands in for them."""
    found = [pictures.DATA / name for name in PHOTOGRAPHS if (pictures.DATA / name).is_file()]
    if not found:
        pictures.make(folder)
        found = [pictures.file(folder, job, 0) for job in pictures.JOBS]
    return found


def measure(
    children: dict[str, Pipeline], source: Path, factor: float, rounds: int, folder: Path
) -> dict[str, Any] | None:
    """One reduction by all profiles; ``None`` where the result would be too small."""
    with Image.open(source) as picture:
        width, height = ImageOps.exif_transpose(picture).size
    wanted = round(width / factor)
    if min(width, height) / factor < LEAST:
        return None
    made: dict[str, Any] = {}
    for profile, child in children.items():
        likes, result = {}, folder / "result"
        for kind in ("jpg", "png"):
            process = f"image/resize,w_{wanted}/format,{kind}"
            made[profile] = child.run(source, process, result)
            if "refused" in made[profile]:
                raise SystemExit(f"{source.name}: {made[profile]['refused']}")
            with Image.open(result) as picture:
                best = likeness.reference(source, *picture.size)
            likes[kind] = likeness.score(best, result.read_bytes())
            if kind == "jpg":
                size = made[profile]["bytes"]
        made[profile] |= {"bytes": size, "likeness": likes, "runs": []}
    for _ in range(rounds):
        for profile, child in children.items():
            run = child.run(source, f"image/resize,w_{wanted}/format,jpg")
            made[profile]["runs"].append(run["cpu"] * 1e3)
    return {"source": [width, height], "result": list(best.size), "profiles": made}


def row(name: str, factor: float, found: dict[str, Any]) -> list[str]:
    """One reduction."""
    profiles = [found["profiles"][profile] for profile in PROFILES]
    one, other = ("x".join(map(str, found[what])) for what in ("source", "result"))
    return [
        f"{name}, {one}",
        f"1/{factor:g}, {other}",
        " / ".join(f"{made['shrink']:.3g}" for made in profiles),
        *(report.cell(made["runs"], 1) for made in profiles),
        " / ".join(f"{made['bytes'] / 1000:.1f}" for made in profiles),
        " / ".join(f"{made['likeness']['jpg']:.1f}" for made in profiles),
        " / ".join(f"{made['likeness']['png']:.1f}" for made in profiles),
    ]


def summary(factor: float, all_of_it: list[dict[str, Any]]) -> list[str]:
    """All pictures at one factor: CPU as a share of exact, and the mean likeness."""
    shares = [
        statistics.mean(
            statistics.median(found["profiles"][profile]["runs"])
            / statistics.median(found["profiles"]["exact"]["runs"])
            for found in all_of_it
        )
        for profile in PROFILES
    ]

    likes = [
        statistics.mean(found["profiles"][profile]["likeness"][kind] for found in all_of_it)
        for kind in ("jpg", "png")
        for profile in PROFILES
    ]

    return [
        f"1/{factor:g}, {len(all_of_it)} pictures",
        *(f"{share:.2f}" for share in shares),
        *(f"{like:.1f}" for like in likes),
    ]


def charted(found: dict[str, Any], what: Callable[[Any], list[float]]) -> dict[str, Any]:
    """Profile -> for each reduction its runs."""
    return {
        profile: [what(made["profiles"][profile]) for made in found.values()]
        for profile in PROFILES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--factors", default=",".join(map(str, FACTORS)), help="of the reductions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    factors = [float(factor) for factor in asked.factors.split(",")]
    found: dict[str, dict[str, Any]] = {}
    rows, by_factor = [], {factor: list[dict[str, Any]]() for factor in factors}
    print(report.heading())
    children = {profile: Pipeline(profile) for profile in PROFILES}
    with tempfile.TemporaryDirectory() as folder:
        for source in sources(Path(folder)):
            for factor in factors:
                if made := measure(children, source, factor, asked.rounds, Path(folder)):
                    found[f"{source.stem}, 1/{factor:g}"] = made
                    by_factor[factor].append(made)
                    rows.append(row(source.stem, factor, made))
    for child in children.values():
        child.close()
    order = " / ".join(PROFILES)
    head = ["picture", "reduction", f"shrink {order}", *(f"{one}, ms" for one in PROFILES)]
    head += [f"KB {order}", f"JPEG {order}", f"PNG {order}"]
    print(report.table("A reduction: ms of CPU, KB and SSIMULACRA2", head, rows))
    head = ["reduction", *(f"CPU, {one}" for one in PROFILES)]
    head += [f"{kind}, {one}" for kind in ("JPEG", "PNG") for one in PROFILES]
    print(
        report.table(
            "All pictures: CPU as a share of exact's, SSIMULACRA2",
            head,
            [summary(factor, made) for factor, made in by_factor.items() if made],
        )
    )
    if asked.chart:
        chart.bars(
            asked.chart,
            "What the shrink profiles lose, without the encoder",
            "SSIMULACRA2 of the reduction alone; 100 is the best reduction, 90 looks equal",
            list(found),
            charted(found, lambda made: [made["likeness"]["png"]]),
        )
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
