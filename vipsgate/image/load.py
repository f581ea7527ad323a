"""The source as an image that every action can work on: 8 bits, sRGB or grey, shrunk as planned.

Colours are brought to sRGB here, once, because from here on they mean something: CMYK, Lab, 16 bits
and wide-gamut profiles come out as right-looking pictures wherever they are shown. A profile that
is sRGB already costs nothing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyvips

from . import codecs, icc
from .frame import Header
from .plan import Plan
from .probe import Source

if TYPE_CHECKING:
    from pyvips import Image

FAIL_ON = "truncated"  # a part would be missing; what a codec only warns of is drawn as it is


def load(source: Source, plan: Plan) -> Image:
    """A lazy image; of an animation, all pages that the result has, one below the other."""
    header = source.header
    codec = codecs.CODECS[header.format]
    if not codec.loader:
        return normal(_bmp(source.data), header)
    options = codec.options(plan.shrink)
    if plan.result.pages > 1:
        options["n"] = -1
    image = getattr(pyvips.Image, codec.loader)(
        source.data, access="sequential", fail_on=FAIL_ON, **options
    )
    if header.orientation != 1 and image.get_typeof("orientation"):
        # turned or not, the pixels are now as they are meant; TIFF's saver would write the tag
        image = image.copy()
        image.remove("orientation")
    return normal(image, header)


def normal(image: Image, header: Header) -> Image:
    """The same picture in 8-bit sRGB or grey, with alpha if it has one."""
    if image.get_typeof("icc-profile-data") and not icc.is_srgb(image.get("icc-profile-data")):
        image = _from_profile(image)
    grey = image.bands < 3
    wanted = "b-w" if grey else "srgb"
    if image.interpretation != wanted:
        if image.interpretation in ("multiband", "matrix", "histogram"):  # says nothing
            image = image.copy(interpretation="grey16" if grey and header.depth == 16 else wanted)
        image = image.colourspace(wanted)
    return image if image.format == "uchar" else image.cast("uchar")


def _from_profile(image: Image) -> Image:
    """Through the profile that the file carries; one that does not fit the pixels is ignored."""
    try:
        return image.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return image


def _bmp(data: bytes) -> Image:
    from PIL import BmpImagePlugin

    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    made = image.convert(mode)
    bands = len(made.getbands())
    return pyvips.Image.new_from_memory(made.tobytes(), *made.size, bands, "uchar").copy(
        interpretation="b-w" if bands < 3 else "srgb"
    )
