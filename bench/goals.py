"""What does a quality that is searched for give, beside the format's usual one?

Twenty pictures, cut out of the photographs and reduced, are written as each format at its usual
quality (JPG and WebP 80, AVIF 60) and with ``quality,auto``. The likeness is SSIMULACRA2, see
``likeness.py``, of the file beside a PNG of the same pixels: nothing but the encoder counts.
Bytes are told as a share of the usual file's: the mean of the shares, and all files together.

With ``--fit`` the constants of ``vipsgate/image/likeness.py`` are fitted to SSIMULACRA2 on the same
pictures, each at some qualities, and on those of ``--held`` they are tried; that takes minutes.

    python bench/goals.py [--rounds 5] [--formats jpg,webp,avif] [--json FILE] [--chart FILE]
    python bench/goals.py --fit [--held FOLDER]
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chart
import likeness
import pictures
import report
from PIL import Image
from pipeline import Pipeline

PHOTOGRAPHS = {  # file -> what is made of it; twenty in all
    "example.jpg": ["resize,w_400"],
    "f.jpg": ["resize,w_333"],
    "cmyk.jpg": ["resize,w_400"],
    "Landscape_6.jpg": ["resize,w_500"],
    "Portrait_8.jpg": ["resize,w_400"],
    "flowers.jpeg": [
        "resize,w_720",
        "crop,w_960,h_1080/resize,w_600",
        "crop,x_960,w_960,h_1080/resize,w_600",
    ],
    "photo-1024x772.webp": [
        "resize,w_640",
        "crop,y_100,w_512,h_600/resize,w_400",
        "crop,x_512,y_100,w_512,h_600/resize,w_400",
    ],
    "photo-2725x2225.jpg": [
        "resize,w_720",
        "resize,w_360",
        "crop,x_600,y_500,w_1500,h_1200/resize,w_800",
        *(f"crop,x_{x},y_{y},w_908,h_1112/resize,w_500" for x in (0, 908, 1816) for y in (0, 1112)),
    ],
}
FIT = {"jpg": (70, 78, 86), "webp": (68, 78, 86), "avif": (48, 58, 66)}  # qualities that are fitted
FORMATS = ("jpg", "webp", "avif")
SCORES = (55.0, 92.0)  # of SSIMULACRA2, between which is fitted


def sources(folder: Path) -> list[tuple[str, Path, str]]:
    """Name, file and actions of each picture; paintings stand in where there is no photograph."""
    there = [
        (f"{Path(name).stem} {number}", pictures.DATA / name, process)
        for name, processes in PHOTOGRAPHS.items()
        if (pictures.DATA / name).is_file()
        for number, process in enumerate(processes, 1)
    ]
    if there:
        return there
    pictures.make(folder)
    names = [(job, pictures.file(folder, job, 0)) for job in pictures.JOBS]
    return [(f"{name} {w}", file, f"resize,w_{w}") for name, file in names for w in (100, 360)]


def measure(
    child: Pipeline, source: Path, actions: str, name: str, rounds: int, folder: Path
) -> dict[str, Any]:
    """One picture as one format, both ways: bytes, likeness, CPU."""
    result, made = folder / "result", {}
    child.run(source, f"image/{actions}/format,png", result)
    with Image.open(result) as opened:
        best = opened.convert("RGB")
    for way in ("usual", "auto"):
        process = f"image/{actions}/format,{name}" + "/quality,auto" * (way == "auto")
        runs = [child.run(source, process, result) for _ in range(rounds)]
        made[way] = {
            "bytes": runs[0]["bytes"],
            "likeness": likeness.score(best, result.read_bytes()),
            "choice": runs[0]["choice"],
            "runs": [run["cpu"] * 1e3 for run in runs],
        }
    return made


def row(name: str, made: dict[str, Any]) -> list[str]:
    """One picture as one format."""
    usual, auto = made["usual"], made["auto"]
    quality, encodings = auto["choice"]
    return [
        name,
        f"{usual['bytes'] / 1000:.1f}",
        f"{auto['bytes'] / 1000:.1f}",
        f"{auto['bytes'] / usual['bytes']:.2f}",
        f"{usual['likeness']:.1f}",
        f"{auto['likeness']:.1f}",
        str(quality),
        str(encodings),
        report.cell(usual["runs"], 0),
        report.cell(auto["runs"], 0),
    ]


def summary(name: str, found: dict[str, Any]) -> list[str]:
    """All pictures as one format."""
    usual, auto = ([made[way] for made in found.values()] for way in ("usual", "auto"))
    shares = [new["bytes"] / old["bytes"] for old, new in zip(usual, auto, strict=True)]
    total = sum(made["bytes"] for made in auto) / sum(made["bytes"] for made in usual)
    before, after = ([statistics.median(made["runs"]) for made in way] for way in (usual, auto))
    times = [new / old for old, new in zip(before, after, strict=True)]
    likes = [[made["likeness"] for made in way] for way in (usual, auto)]
    return [
        f"{name}, {len(found)} pictures",
        f"{statistics.mean(shares):.3f}",
        f"{total:.3f}",
        *(f"{statistics.mean(like):.1f}" for like in likes),
        *(f"{min(like):.1f}" for like in likes),
        *(f"{statistics.pstdev(like):.1f}" for like in likes),
        f"{statistics.mean(times):.1f}",
        f"{sum(after) / sum(before):.1f}",
        f"{statistics.mean(made['choice'][1] for made in auto):.1f}",
    ]


def distances(image: Any, name: str) -> Iterable[tuple[int, float, float, float]]:
    """Quality, error, unlikeness and SSIMULACRA2 of one picture as one format."""
    from vipsgate.image import encode, plan
    from vipsgate.image.config import Limits, Rendering
    from vipsgate.image.frame import Header
    from vipsgate.image.likeness import Reference
    from vipsgate.image.process import parse

    limits = Limits()
    actions = parse(f"image/quality,auto/format,{name}", limits).actions
    frame = plan.make(Header("png", image.width, image.height), actions, limits, Rendering()).result
    reference, best = Reference(image), _pillow(image)
    for quality in FIT[name]:
        trial = replace(frame, quality=quality, progressive=False)
        with encode.attempt(image, trial, lambda _: None) as file:
            made = encode.decoded(file, name)
            with io.BytesIO() as png:
                _pillow(made).save(png, "png", compress_level=1)
                score = likeness.score(best, png.getvalue())
        yield quality, *reference.distances(made), score


def _pillow(image: Any) -> Image.Image:
    pixels = image[0:3].numpy() if image.bands > 2 else image[0].numpy()
    return Image.fromarray(pixels).convert("RGB")


def known(images: Iterable[tuple[str, Any]], formats: Iterable[str]) -> list[dict[str, Any]]:
    """The distances of all these pictures as all these formats, where they are of use."""
    from vipsgate.image.likeness import LEAST_ERROR, LEAST_UNLIKE

    return [
        {
            "picture": name,
            "format": kind,
            "quality": quality,
            "logs": [_log(error, LEAST_ERROR), _log(unlike, LEAST_UNLIKE), 1.0],
            "score": score,
        }
        for name, image in images
        for kind in formats
        for quality, error, unlike, score in distances(image, kind)
        if SCORES[0] < score < SCORES[1]
    ]


def _log(value: float, least: float) -> float:
    return math.log(max(value, least))


def fit(folder: Path, formats: Iterable[str], held: Path | None) -> dict[str, Any]:
    """Fit the constants, and tell how far they are off, by format; also of pictures held back."""
    import numpy
    import pyvips

    child, images, result = Pipeline("exact"), [], folder / "result.png"
    for name, source, actions in sources(folder):
        child.run(source, f"image/{actions}/format,png", result)
        image = pyvips.Image.pngload_buffer(result.read_bytes()).copy_memory()
        images.append((name, image))
    child.close()
    rows = known(images, formats)
    logs = numpy.array([one["logs"] for one in rows])
    scores = numpy.array([one["score"] for one in rows])
    constants = numpy.linalg.lstsq(logs, scores, rcond=None)[0]
    fine, coarse, base = constants * (-1, -1, 1)
    print(f"FINE {fine:.3f}, COARSE {coarse:.3f}, BASE {base:.2f}")
    _tell("fitted", rows, constants)
    if held:
        others = []
        for file in sorted(held.iterdir()):
            image = pyvips.Image.new_from_file(str(file), access="random")
            if image.bands > 3:
                image = image[0:3]
            image = image.colourspace("srgb") if image.bands < 3 else image
            others.append((file.stem, image.thumbnail_image(640, size="down").copy_memory()))
        more = known(others, formats)
        _tell("held back", more, constants)
        rows += more
    return {"constants": list(constants), "rows": rows}


def _tell(title: str, rows: list[dict[str, Any]], constants: Any) -> None:
    cells = []
    for kind in dict.fromkeys(one["format"] for one in rows):
        errors = [
            sum(a * b for a, b in zip(one["logs"], constants, strict=True)) - one["score"]
            for one in rows
            if one["format"] == kind
        ]
        cells.append(
            [
                kind,
                f"{statistics.mean(errors):+.1f}",
                f"{statistics.pstdev(errors):.1f}",
                f"{min(errors):+.1f}",
                f"{max(errors):+.1f}",
            ]
        )
    head = ["format", "mean", "deviation", "lowest", "highest"]
    print(report.table(f"The estimate less SSIMULACRA2, {title}", head, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--formats", default=",".join(FORMATS), help="of the results")
    parser.add_argument("--fit", action="store_true", help="fit the constants; measure nothing")
    parser.add_argument("--held", type=Path, metavar="FOLDER", help="pictures that are not fitted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    formats = asked.formats.split(",")
    if "heic" in formats:
        import pillow_heif

        pillow_heif.register_heif_opener()
    print(report.heading())
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if asked.fit:
            report.write(asked.json, fit(folder, formats, asked.held))
            return
        child, found = Pipeline(), {}
        for name in formats:
            found[name] = {
                title: measure(child, source, actions, name, asked.rounds, folder)
                for title, source, actions in sources(folder)
            }
        child.close()
    head = ["picture", "KB", "auto, KB", "share", "SSIMULACRA2", "auto", "its Q", "encodings"]
    head += ["ms of CPU", "auto, ms"]
    for name, all_of_it in found.items():
        rows = [row(title, made) for title, made in all_of_it.items()]
        print(report.table(f"{name}: the usual quality, and auto", head, rows))
    head = ["format", "bytes, mean share", "all bytes", "mean SSIMULACRA2", "auto's", "worst"]
    head += ["auto's worst", "deviation", "auto's deviation", "CPU, times", "all CPU", "encodings"]
    rows = [summary(name, all_of_it) for name, all_of_it in found.items()]
    print(report.table("All pictures: auto beside the usual quality", head, rows))
    if asked.chart:
        chart.bars(
            asked.chart,
            "A quality that is searched for, beside the usual one",
            "SSIMULACRA2 of the JPG beside its pixels; 100 is equal, 70 is good",
            list(found[formats[0]]),
            {
                way: [[made[way]["likeness"]] for made in found[formats[0]].values()]
                for way in ("usual", "auto")
            },
        )
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
