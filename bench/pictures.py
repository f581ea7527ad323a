"""The pictures that are measured: photographs where the checkout has them beside it, or paintings.

Rule: each is written under many names, because a server that joins equal requests, or a page cache
that knows one file too well, would be measured instead. Made in a child process: a script that
measures a front does not load libvips itself.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = 64  # under which each picture lies in the bucket
QUALITY = 90  # of the JPEGs that are made here
BUCKET = "bench"
GRAIN = 4.0  # sigma of 255, for what is painted smaller than it is wanted: as files of cameras have
WIDTHS = range(85, 101)  # percent of its job's, at which :func:`many` asks for each picture


@dataclass(frozen=True, slots=True)
class Job:
    """A picture and what is to be made of it.

    Attributes:
        width: Pixels of the source.
        height: Pixels of the source.
        photograph: File in :data:`DATA` that is taken if it is there.
        painting: Painter in ``vipsgate.demo`` otherwise.
        process: On the wire.
        scaled: Width and height after the one resize.
        made: Width and height of the result; what exceeds it is cropped on both sides.
        suffix: Of the source, which tells its format.
        format: Of the result.
    """

    width: int
    height: int
    photograph: str
    painting: str
    process: str
    scaled: tuple[int, int]
    made: tuple[int, int]
    suffix: str = "jpg"
    format: str = "jpg"


JOBS = {
    "small": Job(
        400, 267, "example.jpg", "land.mountains", "image/resize,w_100", (100, 67), (100, 67)
    ),
    "medium": Job(1600, 1067, "", "water.sea", "image/resize,w_400", (400, 267), (400, 267)),
    "large": Job(
        2725,
        2225,
        "photo-2725x2225.jpg",
        "land.mountains",
        "image/resize,m_fill,w_720,h_588",
        (720, 588),
        (720, 588),
    ),
}
HUGE = Job(6000, 4000, "", "land.mountains", "image/resize,w_800", (800, 533), (800, 533))
ALL = {**JOBS, "huge": HUGE}  # with the one that only some scripts make
# sides that no step of a JPEG's loader divides: one, both, and below the step from 1/4 on
ODD = {
    "half": Job(1600, 1306, "", "water.sea", "image/resize,w_400", (400, 327), (400, 327)),
    "odd": Job(4003, 2669, "", "land.mountains", "image/resize,w_500", (500, 333), (500, 333)),
    "less": Job(1599, 1305, "", "water.sea", "image/resize,w_400", (400, 326), (400, 326)),
}
# other formats: with alpha, and what browsers are given in place of a JPEG
FORMATS = {
    "png": Job(
        2048,
        1536,
        "alpha-2048x1536.png",
        "things.logo",
        "image/resize,w_400",
        (400, 300),
        (400, 300),
        "png",
        "png",
    ),
    "webp": replace(JOBS["medium"], process="image/resize,w_400/format,webp", format="webp"),
    "avif": replace(JOBS["medium"], process="image/resize,w_400/format,avif", format="avif"),
}
EVERY = {**ALL, **ODD, **FORMATS}


def make(root: Path, jobs: Iterable[str] = JOBS) -> None:
    """Make the bucket :data:`BUCKET` below ``root``, with the picture of every job in it."""
    (root / BUCKET).mkdir()
    jobs = list(jobs)
    subprocess.run([sys.executable, __file__, str(root / BUCKET), *jobs], check=True)
    for name in jobs:
        for number in range(1, NAMES):
            shutil.copyfile(file(root, name, 0), file(root, name, number))


def file(root: Path, job: str, number: int) -> Path:
    """Where the picture of a job lies, under one of its names."""
    return root / BUCKET / f"{job}-{number:02}.{EVERY[job].suffix}"


def path(job: str, number: int) -> str:
    """Its URL's path and query."""
    name = file(Path(), job, number).name
    return f"/{BUCKET}/{name}?x-oss-process={EVERY[job].process}"


def many() -> list[str]:
    """Paths of all jobs and names, each at several widths, in a fixed disorder.

    So many that no picture is under way twice, however many clients ask for the next one.
    """
    made = []
    for name, job in JOBS.items():
        for number in range(NAMES):
            for percent in WIDTHS:
                process = job.process.replace(
                    f"w_{job.made[0]}", f"w_{job.made[0] * percent // 100}"
                )
                address = path(name, number).partition("?")[0]
                made.append(f"{address}?x-oss-process={process}")
    random.Random(6).shuffle(made)
    return made


def painted(painter: str, width: int, height: int) -> Image:
    """A painting in this size, with grain where it has to be enlarged for that."""
    import pyvips

    from vipsgate.demo import land, things, water

    painters = {
        "land.mountains": land.mountains,
        "water.sea": water.sea,
        "things.logo": things.logo,
    }
    painting = painters[painter]()
    made = painting.thumbnail_image(width, height=height, crop="centre")
    if width <= painting.width and height <= painting.height:
        return made
    made = made.copy_memory()
    grain = pyvips.Image.gaussnoise(width, height, sigma=GRAIN, mean=0, seed=1)
    colours = ((made[:3] if made.hasalpha() else made) + grain).cast("uchar")
    grainy = colours.bandjoin(made[3]) if made.hasalpha() else colours
    return grainy.copy(interpretation="srgb")


def _write(bucket: Path, jobs: list[str]) -> None:
    for name in jobs:
        job = EVERY[name]
        target = bucket / f"{name}-00.{job.suffix}"
        photograph = DATA / job.photograph
        if job.photograph and photograph.is_file():
            shutil.copyfile(photograph, target)
            continue
        made = painted(job.painting, job.width, job.height)
        options = f"Q={QUALITY},keep=none" if job.suffix == "jpg" else "keep=none"
        made.write_to_file(f"{target}[{options}]")


if __name__ == "__main__":
    _write(Path(sys.argv[1]), sys.argv[2:])
