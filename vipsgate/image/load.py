"""Loads a source as an image for the actions: 8 bits, sRGB or grey, shrunk as planned.

Colours are converted to sRGB here, once, so that all actions work on the same colours: CMYK, Lab,
16 bits and wide-gamut profiles are then shown correctly everywhere. A profile that is sRGB already
costs nothing, and Display P3 is kept (:mod:`.formats.icc`).
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
from .plan import Plan, loads_at_once, reduced
from .steps import Cut, Levels

if TYPE_CHECKING:
    from pyvips import Image

NEARLY = 0.9  # part of a picture, from its top, from which on it is less work to read all of it


def load(source: Source, plan: Plan) -> Image:
    """Return a lazy image; of an animation, all pages of the result, one below the other."""
    image = _loaded(source, plan)
    if plan.halved:
        image = pixels.divided(image, 1 << plan.halved)
    return image


def _loaded(source: Source, plan: Plan) -> Image:
    """Return the loader's image, with converted colours."""
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
        image = _at_once(file, plan) or _opened(codec.loader, file, options)
    else:
        loader = f"{codec.loader.removesuffix('_buffer')}_source"
        image = getattr(pyvips.Image, loader)(_piped(source.pipe), **options)
    if header.orientation != 1 and image.get_typeof("orientation"):
        # the plan turns the pixels if need be, and TIFF's saver would write the tag
        image = image.copy()
        image.remove("orientation")
    image = _own(image, plan)
    if source.samples:
        image = source.samples.picture(image)
    if plan.loader_shrink > 1:
        image = _rounded(image, header, plan.loader_shrink)
    return normal(image, planned)


def _at_once(file: Bytes | Parts, plan: Plan) -> Image | None:
    """Return the picture in memory, if it is little and nearly all of it is read."""
    load, shrink = CODECS[plan.header.format].load_at_once, plan.loader_shrink
    if load is None or isinstance(file, Parts) or not loads_at_once(plan.header, shrink):
        return None
    return load(file, int(shrink)) if _share(plan) >= NEARLY else None


def _opened(loader: str, file: Bytes | Parts, options: dict[str, Any]) -> Image:
    if isinstance(file, Parts) or len(file) >= ondemand.LEAST:
        try:
            return ondemand.loaded(loader, file, **options)
        except pyvips.Error:
            file = ondemand.whole(file)  # so that errors come from the same loader
            warnings.clear()
    return getattr(pyvips.Image, loader)(file, **options)


def _piped(descriptor: int) -> Any:
    return pyvips.Source.new_from_descriptor(descriptor)


def _own(image: Image, plan: Plan) -> Image:
    return metadata.with_source_profile(image) if plan.result.profile else image


def _file(source: Source, plan: Plan) -> Bytes | Parts:
    """Return the file for libvips: all in memory, or parts read on demand if that is less work."""
    if not isinstance(source.data, Parts):
        return completed(source.data, plan)
    first, *rest = source.data.pieces
    if isinstance(first, bytes):
        first = completed(first, plan)
    parts = replace(source.data, pieces=(first, *rest))
    return parts if parts.pays(_share(plan)) else parts.whole()


def _share(plan: Plan) -> float:
    """Return the part of the picture, from its top, that is read: 0 to 1."""
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
    """Return the file, or its beginning, with sides in its header that shrink to whole pixels.

    A loader that shrinks other sides would leave out the last pixels.
    """
    header, shrink = plan.header, plan.loader_shrink
    make = CODECS[header.format].completed
    if make is None or shrink <= 1:
        return data
    width, height = reduced(header, shrink)
    sides = max(header.width, int(width * shrink)), max(header.height, int(height * shrink))
    return data if sides == (header.width, header.height) else make(data, *sides)


def _rounded(image: Image, header: Header, shrink: float) -> Image:
    """Return the image with its sides rounded to the nearest pixel.

    libvips rounds those of a shrunk JPEG down. If that was not avoided by :func:`completed`, the
    last pixels are repeated, so that nothing is displaced by more than half a pixel.
    """
    width, height = reduced(header, shrink)
    if width <= image.width and height <= image.height:
        return image
    return image.embed(0, 0, max(width, image.width), max(height, image.height), extend="copy")


def normal(image: Image, header: Header) -> Image:
    """Return the picture in 8 bits of ``header.gamut`` or grey, with alpha if it has any."""
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
        if image.interpretation in ("multiband", "matrix", "histogram"):  # no colour space
            image = image.copy(interpretation="grey16" if grey and header.depth == 16 else wanted)
        image = image.colourspace(wanted)
    return image if image.format == "uchar" else image.cast("uchar")


def _from_profile(image: Image, profile: bytes, gamut: Gamut) -> Image:
    """Convert by the embedded profile; one that does not fit the pixels is ignored."""
    if icc.is_srgb(profile):
        return image
    if not icc.fits(profile, image):
        return icc.converted(image, SRGB, gamut)
    try:
        return image.icc_transform(
            gamut, embedded=True, intent="relative", black_point_compensation=True
        )
    except pyvips.Error:
        return icc.converted(image, SRGB, gamut)
