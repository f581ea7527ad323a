"""More pictures that are measured: large, progressive, animated, broken, of other formats.

Rule: as in :mod:`pictures`, a picture lies under many names, each a file of its own, and they are
made in a child process. The paintings of the demo bucket are enlarged and given grain, so that a
megapixel costs what it costs in a photograph and not what a smooth surface costs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = "gallery"
QUALITY = 90  # of the JPEGs
GRAIN = 6.0  # levels of deviation; a JPEG of 24 megapixels has 7 MB by it


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture.

    Attributes:
        suffix: Of its name, which tells the format.
        painting: Painter in ``vipsgate.demo``.
        width: Pixels.
        height: Pixels of one frame.
        options: Of libvips's saver.
        frames: More than one for an animation.
        kept: Part of its bytes; less than all for a broken one.
    """

    suffix: str
    painting: str
    width: int
    height: int
    options: str = ""
    frames: int = 1
    kept: float = 1.0


PIECES = {
    "huge": Piece("jpg", "land.mountains", 6000, 4000, f"Q={QUALITY}"),
    "huge-progressive": Piece("jpg", "land.mountains", 6000, 4000, f"Q={QUALITY},interlace=1"),
    "large": Piece("jpg", "land.mountains", 4000, 3000, f"Q={QUALITY}"),
    "camera": Piece("jpg", "land.mountains", 2560, 1707, f"Q={QUALITY}"),
    "camera-png": Piece("png", "land.mountains", 2560, 1707, "compression=3"),
    "camera-webp": Piece("webp", "land.mountains", 2560, 1707, "Q=80,effort=2"),
    "medium": Piece("jpg", "water.sea", 1600, 1067, f"Q={QUALITY}"),
    "small": Piece("jpg", "land.mountains", 400, 267, f"Q={QUALITY}"),
    "progressive": Piece("jpg", "water.sea", 1600, 1067, f"Q={QUALITY},interlace=1"),
    "alpha": Piece("png", "things.logo", 1000, 1000),
    "webp": Piece("webp", "water.bay", 1200, 800, "Q=80"),
    "film": Piece("gif", "water.lake", 320, 240, frames=12),
    "long-film": Piece("gif", "water.lake", 640, 480, frames=40),
    "broken": Piece("jpg", "water.sea", 1600, 1067, f"Q={QUALITY}", kept=0.4),
    "garbled": Piece("png", "things.logo", 1000, 1000, kept=0.5),
}


def make(root: Path, names: dict[str, int]) -> None:
    """Make the bucket :data:`BUCKET` below ``root``: each piece under so many names."""
    (root / BUCKET).mkdir()
    subprocess.run([sys.executable, __file__, str(root / BUCKET), *names], check=True)
    for name, times in names.items():
        for number in range(1, times):
            shutil.copyfile(file(root, name, 0), file(root, name, number))


def file(root: Path, name: str, number: int) -> Path:
    """Where a piece lies, under one of its names."""
    return root / BUCKET / f"{name}-{number:02}.{PIECES[name].suffix}"


def path(name: str, number: int, process: str) -> str:
    """Its URL's path and query."""
    return f"/{BUCKET}/{name}-{number:02}.{PIECES[name].suffix}?x-oss-process=image/{process}"


def _write(bucket: Path, names: Iterable[str]) -> None:
    import pyvips

    from vipsgate.demo import land, things, water

    rooms = {"land": land, "things": things, "water": water}
    for name in names:
        piece = PIECES[name]
        room, _, painter = piece.painting.partition(".")
        painting = getattr(rooms[room], painter)()
        made = painting.thumbnail_image(piece.width, height=piece.height, crop="centre")
        grain = pyvips.Image.gaussnoise(made.width, made.height, mean=0, sigma=GRAIN, seed=1)
        colours = made[:3] if made.hasalpha() else made
        grainy = (colours + grain).cast("uchar")
        made = grainy.bandjoin(made[3]) if made.hasalpha() else grainy
        made = made.copy(interpretation="srgb")
        if piece.frames > 1:
            made = _film(pyvips, made, piece.frames)
        data = made.write_to_buffer(f".{piece.suffix}[{piece.options}]")
        (bucket / f"{name}-00.{piece.suffix}").write_bytes(data[: int(len(data) * piece.kept)])


def _film(pyvips: Any, picture: Any, frames: int) -> Any:
    """The picture, moved on from frame to frame."""
    step = picture.width // frames
    shown = [picture.wrap(x=number * step, y=0) for number in range(frames)]
    film = pyvips.Image.arrayjoin(shown, across=1).copy_memory()
    film.set_type(pyvips.GValue.gint_type, "page-height", picture.height)
    film.set_type(pyvips.GValue.array_int_type, "delay", [80] * frames)  # ms
    return film


if __name__ == "__main__":
    _write(Path(sys.argv[1]), sys.argv[2:])
