"""The demo bucket: sixteen pictures painted by code, so that a stranger has something to resize.

Where PyAV is installed, a short video of one of them stands beside them.

RULE: nothing is downloaded and nothing is left to chance (every noise has a fixed seed). Points are
measured in picture heights from the top left corner, so that circles are round. pyvips is imported
inside functions: the server reads the table `PICTURES` but must never load libvips itself, which
is why the bucket is made in a child process, ``python -m vipsgate.demo FOLDER``.

::

    brush    what all are painted with: gradients, noise, light, perspective
    land     mountains, aurora, dunes, moon          films    spinner, waves
    water    sea, bay, lake, lighthouse              kinds    phone, wide, cmyk, notes
                                                     flight   over the mountains, the video
    things   garden, logo, leaf, palette, chart
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import films, flight, kinds, land, things, water

if TYPE_CHECKING:
    from pyvips import Image

BUCKET = "demo"  # the sub-folder of the made folder, hence the first part of a demo URL


class Picture(NamedTuple):
    """A row of the table: what a stranger reads, how it is made, how libvips writes it."""

    line: str
    paint: Callable[[], Image | str]
    options: str = ""  # of libvips' saver for the key's suffix


PICTURES: dict[str, Picture] = {
    "mountains.jpg": Picture("ridges in the morning mist, 2400x1600", land.mountains, "[Q=90]"),
    "sea.jpg": Picture("sunset over water, progressive JPEG", water.sea, "[Q=85,interlace=true]"),
    "portrait-phone.jpg": Picture("a lighthouse on its side, EXIF and GPS", kinds.phone, "[Q=85]"),
    "logo.png": Picture("the gate, PNG with smooth edges in its alpha", things.logo),
    "leaf.png": Picture("three leaves with half-transparent shadows", things.leaf),
    "palette.png": Picture(
        "a hiking map, 8-bit palette PNG", things.palette, "[palette=true,dither=0]"
    ),
    "wide-gamut.jpg": Picture("an aurora in Display P3", kinds.wide, "[Q=85]"),
    "cmyk.jpg": Picture("dunes in CMYK, as printers send them", kinds.cmyk, "[Q=80]"),
    "spinner.gif": Picture("16 transparent frames, GIF", films.spinner, "[dither=0,effort=3]"),
    "waves.webp": Picture("16 looping frames, WebP", films.waves, "[Q=70,effort=2]"),
    "bay.webp": Picture("a moonlit bay, WebP", water.bay, "[Q=80,effort=2]"),
    "chart.bmp": Picture("bars and a line, uncompressed BMP", things.chart),
    "scan.tiff": Picture(
        "the moon in 16-bit grey, TIFF with LZW",
        land.moon,
        "[compression=lzw,predictor=horizontal]",
    ),
    "garden.avif": Picture(
        "a dahlia before lights out of focus, AVIF", things.garden, "[Q=60,effort=1]"
    ),
    "notes.txt": Picture("not a picture at all", kinds.notes),
    "travel/西湖 sunrise.jpg": Picture("a key with a space and Chinese", water.lake, "[Q=85]"),
}


def _write(bucket: Path, key: str) -> None:
    from PIL import Image as Pillow

    picture, path = PICTURES[key], bucket / key
    path.parent.mkdir(parents=True, exist_ok=True)
    made = picture.paint()
    if isinstance(made, str):
        path.write_text(made, encoding="utf-8")
    elif path.suffix == ".bmp":  # libvips has no BMP saver
        size = (made.width, made.height)
        Pillow.frombytes("RGB", size, made.write_to_memory()).save(path)
    else:
        made.write_to_file(f"{path}{picture.options}")


def _film(bucket: Path) -> None:
    """The video, where it can be made; without it nothing is missing but itself."""
    land = bucket / flight.LAND
    if land.exists() and (made := flight.video(land)):
        (bucket / flight.KEY).write_bytes(made)


def make(folder: Path) -> None:
    """Make `folder` with the bucket in it, whole or not at all; leave it alone if it exists.

    The work is done in a hidden sibling which is renamed at the end. A killed run leaves only such
    a sibling behind; the next run does not touch it, as it might belong to a run still going on.
    """
    if folder.exists():
        return
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        with ThreadPoolExecutor(2) as pool:  # libvips works outside Python's lock
            list(pool.map(functools.partial(_write, building / BUCKET), PICTURES))
        _film(building / BUCKET)
        building.chmod(0o755)  # mkdtemp makes it private
        os.rename(building, folder)
    except OSError:
        if not (folder / BUCKET).exists():  # if it does, another run was faster: as good
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
