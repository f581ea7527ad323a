"""The source as an image that every action can work on: 8 bits, sRGB or grey, shrunk as planned.

Colours are brought to sRGB here, once, because from here on they mean something: CMYK, Lab, 16 bits
and wide-gamut profiles come out as right-looking pictures wherever they are shown. A profile that
is sRGB already costs nothing, and one that is Display P3 stays what it is (:mod:`.formats.icc`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyvips

from . import pixels
from .formats import cicp, icc, metadata, ondemand, warnings
from .formats.codecs import CODECS
from .formats.ondemand import Bytes, Parts
from .formats.probe import Source
from .frame import SRGB, Gamut, Header
from .plan import Plan, reduced
from .steps import Cut, Levels

if TYPE_CHECKING:
    from pyvips import Image


def load(source: Source, plan: Plan) -> Image:
    """A lazy image; of an animation, all pages that the result has, one below the other."""
    image = _loaded(source, plan)
    if plan.halved:
        image = pixels.divided(image, 1 << plan.halved)
    return image


def _loaded(source: Source, plan: Plan) -> Image:
    """As the loader gives it, with the colours that are wanted."""
    header = source.header
    codec = CODECS[header.format]
    planned = plan.header  # of which the gamut is another one where a profile is kept
    if codec.load:
        return normal(_own(codec.load(ondemand.whole(source.data), header), plan), planned)
    options = codec.options(plan.loader_shrink)
    if plan.result.pages > 1:
        options["n"] = header.pages
    options |= {"access": "sequential", "fail_on": codec.fail_on(header)}
    if source.pipe is None:
        file = _file(source, plan)
        image = _opened(codec.loader, file, options)
    else:
        loader = f"{codec.loader.removesuffix('_buffer')}_source"
        image = getattr(pyvips.Image, loader)(_piped(source.pipe), **options)
    if header.orientation != 1 and image.get_typeof("orientation"):
        # turned or not, the pixels are now as they are meant; TIFF's saver would write the tag
        image = image.copy()
        image.remove("orientation")
    image = _own(image, plan)
    if source.samples:
        image = source.samples.picture(image)
    if plan.loader_shrink > 1:
        image = _rounded(image, header, plan.loader_shrink)
    return normal(image, planned)


def _opened(loader: str, file: Bytes | Parts, options: dict[str, Any]) -> Image:
    if isinstance(file, Parts) or len(file) >= ondemand.LEAST:
        try:
            return ondemand.loaded(loader, file, **options)
        except pyvips.Error:
            file = ondemand.whole(file)  # what is wrong is always said by the same loader
            warnings.clear()
    return getattr(pyvips.Image, loader)(file, **options)


def _piped(descriptor: int) -> Any:
    return pyvips.Source.new_from_descriptor(descriptor)


def _own(image: Image, plan: Plan) -> Image:
    return metadata.with_source_profile(image) if plan.result.profile else image


def _file(source: Source, plan: Plan) -> Bytes | Parts:
    """What libvips is given: all in memory, or parts that it asks for where that is less work."""
    if not isinstance(source.data, Parts):
        return completed(source.data, plan)
    first, *rest = source.data.pieces
    if isinstance(first, bytes):
        first = completed(first, plan)
    parts = replace(source.data, pieces=(first, *rest))
    return parts if parts.pays(_share(plan)) else parts.whole()


def _share(plan: Plan) -> float:
    """Down to where a picture is read, from 0 to 1."""
    if plan.header.interlaced or plan.result.pages > 1:
        return 1.0
    for step in plan.steps:
        if isinstance(step, Cut):
            height = reduced(plan.header, plan.loader_shrink, plan.halved)[1]
            return (step.top + step.height) / height
        if not isinstance(step, Levels):
            break
    return 1.0


def completed(data: bytes, plan: Plan) -> bytes:
    """The file, or its beginning, with sides that shrink to whole pixels.

    So it is where the loader shrinks a file whose sides do not, and would leave the last ones out.
    """
    header, shrink = plan.header, plan.loader_shrink
    make = CODECS[header.format].completed
    if make is None or shrink <= 1:
        return data
    width, height = reduced(header, shrink)
    sides = max(header.width, int(width * shrink)), max(header.height, int(height * shrink))
    return data if sides == (header.width, header.height) else make(data, *sides)


def _rounded(image: Image, header: Header, shrink: float) -> Image:
    """With its sides rounded to the nearest pixel.

    libvips rounds a shrunk JPEG's down. In one that cannot be completed (:func:`completed`) the
    last pixels again stand for what is lost, so that nothing is moved by more than half.
    """
    width, height = reduced(header, shrink)
    if width <= image.width and height <= image.height:
        return image
    return image.embed(0, 0, max(width, image.width), max(height, image.height), extend="copy")


def normal(image: Image, header: Header) -> Image:
    """The same picture in 8 bits of ``header.gamut`` or grey, with alpha if it has one."""
    if header.plain:
        return image
    if header.limited:
        image = cicp.full_range(image, bands=3 if image.bands > 2 else 1)
    if header.codes:
        image = cicp.converted(image, header.codes)
    elif (header.gamut == SRGB or header.tagged) and image.get_typeof("icc-profile-data"):
        image = _from_profile(image, image.get("icc-profile-data"), header.gamut)
    grey = image.bands < 3
    wanted = "b-w" if grey else "srgb"
    if image.interpretation != wanted:
        if image.interpretation in ("multiband", "matrix", "histogram"):  # says nothing
            image = image.copy(interpretation="grey16" if grey and header.depth == 16 else wanted)
        image = image.colourspace(wanted)
    return image if image.format == "uchar" else image.cast("uchar")


def _from_profile(image: Image, profile: bytes, gamut: Gamut) -> Image:
    """Through the profile that the file carries; one that does not fit the pixels is ignored."""
    if icc.is_srgb(profile):
        return image
    try:
        return image.icc_transform(
            gamut, embedded=True, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return icc.converted(image, SRGB, gamut)
