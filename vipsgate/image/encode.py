"""Encodes a picture several times to find the quality that meets a goal.

The pixels are rendered once, into memory. For a likeness, only a sample is encoded and compared,
tiles from all over the picture, so that a search costs little more than the final encoding. For a
size, each try encodes the whole picture, because a sample would only give an estimate. The sample
of an animation is from its first frame.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyvips

from ..errors import InvalidArgument
from .formats.codecs import CODECS, one_thread
from .frame import Frame
from .goal import CALIBRATED, SAMPLE_PIXELS, SIZE_TRIES, TILE, TRIES, Goal
from .likeness import Reference
from .search import Choice, crossing

if TYPE_CHECKING:
    from pyvips import Image

SCORE_TOLERANCE = 0.3  # points by which a score may be exceeded: less than a step of quality
SIZE_TOLERANCE = 0.02  # part of a size that may be left unused


def save(
    image: Image, descriptor: int, frame: Frame, goal: Goal, watch: Callable[[Image], None]
) -> Choice:
    """Write the file that meets the goal.

    Args:
        image: In memory, as the codec takes it.
        descriptor: An empty file.
        frame: The result; its quality is not used.
        goal: The goal of the search.
        watch: Called with each image before it is encoded.

    Raises:
        InvalidArgument: The file has too many bytes even at the lowest quality.
    """
    # sums of many threads would differ from run to run
    with one_thread:
        choose = _for_size if goal.size else _for_likeness
        return choose(image, descriptor, frame, goal, watch)


def _for_likeness(
    image: Image, descriptor: int, frame: Frame, goal: Goal, watch: Callable[[Image], None]
) -> Choice:
    sample = sampled(image, frame)
    reference = Reference(sample, tile=TILE if frame.area > SAMPLE_PIXELS else 0)
    calibration = CALIBRATED[frame.format]
    score, within = calibration.likeness(goal)
    trial = replace(
        frame,
        width=sample.width,
        height=sample.height,
        pages=1,
        progressive=False,
        goal=None if calibration.rough else goal,
    )
    encodings = 0

    def beyond(quality: int) -> float:
        nonlocal encodings
        encodings += 1
        with attempt(sample, replace(trial, quality=quality), watch) as file:
            return reference.score(decoded(file, frame.format)) - score

    quality = crossing(beyond, within, above=True, tolerance=SCORE_TOLERANCE, tries=TRIES)
    result = replace(frame, quality=quality or within.high)
    _write(image, descriptor, result, watch)
    return Choice(result.quality or 0, encodings + 1)


def _for_size(
    image: Image, descriptor: int, frame: Frame, goal: Goal, watch: Callable[[Image], None]
) -> Choice:
    files: dict[int, bytes] = {}
    least = encodings = 0

    def beyond(quality: int) -> float:
        nonlocal encodings, least
        encodings += 1
        with attempt(image, replace(frame, quality=quality), watch) as file:
            size = least = os.fstat(file).st_size
            if size <= goal.size:  # a later try that fits may be worse; two are held at most
                files[quality] = _whole(file)
                for worse in sorted(files)[:-1]:
                    del files[worse]
        return math.log(size / goal.size)

    within = CALIBRATED[frame.format].sizes()
    quality = crossing(beyond, within, above=False, tolerance=SIZE_TOLERANCE, tries=SIZE_TRIES)
    if quality is None:
        raise InvalidArgument(
            f"The value: {goal.size} of parameter: bytes is invalid. At its lowest quality the "
            f"{frame.format} of {frame.width}x{frame.height} pixels has {least} bytes."
        )
    with os.fdopen(os.dup(descriptor), "wb") as result:
        result.write(files[quality])
    return Choice(quality, encodings)


def sampled(image: Image, frame: Frame) -> Image:
    """Return at most :data:`.goal.SAMPLE_PIXELS` of the first frame, in memory.

    A small frame is returned whole; of others, tiles at even distances are joined without gaps. The
    sides of a tile are multiples of every codec's blocks, so that no block spans two tiles.
    """
    if image.height > frame.height:
        image = image.crop(0, 0, frame.width, frame.height)
    if frame.area > SAMPLE_PIXELS:
        image = _tiles(image)
    image = image.copy_memory().copy()
    for name in ("page-height", "n-pages", "delay", "loop"):
        if image.get_typeof(name):
            image.remove(name)
    return image


def _tiles(image: Image) -> Image:
    across, down = image.width // TILE, image.height // TILE  # tiles in the picture
    if not across or not down:  # narrower than a tile
        longest = SAMPLE_PIXELS // TILE
        return image.crop(0, 0, min(image.width, longest), min(image.height, longest))
    share = math.sqrt(SAMPLE_PIXELS / (across * down * TILE**2))
    columns = max(1, min(across, int(across * share)))
    rows = max(1, min(down, SAMPLE_PIXELS // (columns * TILE**2)))
    columns = max(1, min(across, SAMPLE_PIXELS // (rows * TILE**2)))
    tiles = [
        image.crop(_tile(column, columns, across), _tile(row, rows, down), TILE, TILE)
        for row in range(rows)
        for column in range(columns)
    ]
    return pyvips.Image.arrayjoin(tiles, across=columns)


def _tile(number: int, count: int, there: int) -> int:
    """Return where a tile begins, of ``count`` along a side that has room for ``there``."""
    return (2 * number + 1) * there // (2 * count) * TILE


def _write(image: Image, descriptor: int, frame: Frame, watch: Callable[[Image], None]) -> None:
    image = image.copy()  # an image that was told to stop cannot be used again
    watch(image)
    CODECS[frame.format].save(image, descriptor, frame)


@contextmanager
def attempt(image: Image, frame: Frame, watch: Callable[[Image], None]) -> Iterator[int]:
    """Encode one try, and give the descriptor of its file for the context."""
    file = os.memfd_create("try", os.MFD_CLOEXEC)
    try:
        _write(image, file, frame, watch)
        yield file
    finally:
        os.close(file)


def _whole(file: int) -> bytes:
    size = os.fstat(file).st_size
    return os.pread(file, size, 0)


def decoded(file: int, name: str) -> Image:
    """Return the pixels of a file that was written here."""
    codec, data = CODECS[name], _whole(file)
    if codec.load and codec.header:
        return codec.load(data, codec.header(data))
    image: Image = getattr(pyvips.Image, codec.loader)(data)
    return image
