"""Masters: a large source, reduced once, from which its smaller pictures are made.

The widths of one picture are requested minutes apart, by different readers, and most of the time of
each is spent on decoding the source. So if a chain begins with a resize to less than about half of
the master, the picture is made from the master; if the master is not cached, it is made in memory
first. Whether a picture is made from a master depends only on the header, the chain and the
settings, so equal requests have equal bytes, whatever was requested before.

A master has the pixels that the loader gives at that reduction, like any source that is shrunk on
load; if the codec cannot shrink, it is scaled. So it does not affect geometry. It is stored as raw
pixels. As a JPEG of quality 95 it would have a tenth of the bytes, but decoding it would take half
as long as decoding the source, and writing it a third (bench/README.md). It is written directly to
the file in which it is kept: a copy of 18 MB would take a tenth of the time of decoding that JPEG.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import optimize
from .config import Rendering
from .formats.codecs import CODECS
from .frame import Frame, Header
from .steps import Size, Step

if TYPE_CHECKING:
    from pyvips import Image

PIXELS = 4_000_000  # of the smallest source with a master; decoding it takes 12 ms or more (.cost)
BYTES = 24 << 20  # largest master; larger sources are reduced further
REDUCTIONS = (2, 4, 8)  # those of libjpeg; the last one is enough for any source within limits
DIGITS = 9  # decimals to which a product of ratios is exact
SIDE = 2  # least pixels of a side
MARGIN = 2.0  # least size of a master, as a multiple of the pixels needed; as with ``balanced``
LINES = 64  # written at a time: half a megabyte, which fits into the CPU's cache, in few calls
HEAD = struct.Struct("<8sIIIdd")  # magic number; width, height, channels; pixels per millimetre
MARK = b"master 1"
NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))  # errors of a disk without room


def reduction(header: Header) -> int:
    """Return the factor by which a source is reduced for its master; 0 if it has none.

    Animations and files with further pictures have none, because the pages that are read of them
    depend on the result.
    """
    area = header.width * header.height
    if header.pages > 1 or header.more or area < PIXELS:
        return 0
    size = area * (4 if header.alpha else 3)
    factor = next((one for one in REDUCTIONS if size <= BYTES * one**2), 0)
    return factor if min(header.width, header.height) >= SIDE * factor else 0


def over(
    header: Header, steps: Sequence[Step], result: Frame, rendering: Rendering, *, own_profile: bool
) -> int:
    """Return the reduction of the master that a picture is made from; 0 if from the source.

    Args:
        header: The header of the source.
        steps: The fused steps, for the unreduced source.
        result: The frame of the result.
        rendering: The settings for rendering.
        own_profile: Whether the result has the source's profile, which a master has not.
    """
    if not rendering.masters or rendering.shrink == "exact" or own_profile or result.pages > 1:
        return 0
    cut, scale = optimize.lead(steps)
    if scale is None or cut:
        return 0
    factor = reduction(header)
    return factor if round(scale.ratio, DIGITS) >= factor * MARGIN else 0


def parts(header: Header, factor: int) -> tuple[float, int]:
    """Return how far the loader shrinks a source for its master, and the halvings after that."""
    shrink = CODECS[header.format].shrink(factor)
    return shrink, round(factor / shrink).bit_length() - 1


def write(image: Image, descriptor: int) -> bool:
    """Compute the pixels of an image, and write them to a file, after a header.

    Args:
        image: Grey or RGB, with or without alpha; 8 bits.
        descriptor: The file, whose previous content is replaced.

    Returns:
        ``False`` if not all of it could be written. If that is for want of room, the file has its
        full length nevertheless, which tells the reader how many bytes were lacking.
    """
    import pyvips  # only a renderer gets here

    size = image.width, image.height, image.bands
    region, end = pyvips.Region.new(image), HEAD.size
    data: Any = HEAD.pack(MARK, *size, image.xres, image.yres)
    length = HEAD.size + math.prod(size)
    if not _put(data, descriptor, 0, length):
        return False
    for top in range(0, image.height, LINES):
        data = region.fetch(0, top, image.width, min(LINES, image.height - top))
        if not _put(data, descriptor, end, length):
            return False
        end += len(data)
    os.ftruncate(descriptor, end)
    return True


def _put(data: Any, descriptor: int, place: int, length: int) -> bool:
    """Write a part of a file of ``length`` bytes; return whether all of it was written."""
    try:
        if os.pwrite(descriptor, data, place) == len(data):
            return True
    except OSError as error:
        if error.errno not in NO_ROOM:
            return False
    with suppress(OSError):
        os.ftruncate(descriptor, length)  # takes no room
    return False


def held(image: Image) -> Image:
    """Return the image that :func:`read` would return of its file, without a file."""
    size = image.width, image.height, image.bands
    return _image(image.write_to_memory(), size, (image.xres, image.yres))


def read(descriptor: int, size: Size) -> Image | None:
    """Return the image in a file, whose pixels are mapped into memory.

    Args:
        descriptor: The file; it may be closed afterwards.
        size: Size of the image, to the nearest pixel.

    Returns:
        ``None`` if the file is not a master of that size.
    """
    length = os.fstat(descriptor).st_size
    if length < HEAD.size:
        return None
    mark, width, height, bands, xres, yres = HEAD.unpack(os.pread(descriptor, HEAD.size, 0))
    # the last, incomplete pixel of a side may be included or not
    fits = 0 <= width - size[0] <= 1 and 0 <= height - size[1] <= 1
    if mark != MARK or not fits or not 1 <= bands <= 4:
        return None
    if length != HEAD.size + width * height * bands:
        return None
    pixels = memoryview(mmap.mmap(descriptor, length, prot=mmap.PROT_READ))[HEAD.size :]
    return _image(pixels, (width, height, bands), (xres, yres))


def _image(pixels: Any, size: tuple[int, int, int], resolution: tuple[float, float]) -> Image:
    """Return an image from pixels in memory, without metadata except the resolution.

    Args:
        pixels: The pixels, row by row.
        size: Width, height and channels.
        resolution: Pixels per millimetre, across and down.
    """
    import pyvips

    interpretation = "b-w" if size[2] < 3 else "srgb"
    return pyvips.Image.new_from_memory(pixels, *size, "uchar").copy(
        interpretation=interpretation, xres=resolution[0], yres=resolution[1]
    )
