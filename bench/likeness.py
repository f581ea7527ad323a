"""How near does a reduced picture come to the best reduction of its source?

The best is made by another hand: Pillow decodes the source in full, converts it to sRGB by its
profile, and reduces it by Lanczos, on the values as they are; both are compared as sRGB. The
measure is SSIMULACRA2: 100 is equal, 90 cannot be told apart when flickered, 70 is high and 50
medium quality.

Rule: the package (extra ``bench``) stays within 1.3 of the metric's port to Rust for scores from
50 to 90, within 4 below and 2 above (photographs at JPEG 20 to 95). The metric looks at six scales
and needs 256 pixels a side for them; a smaller picture is laid out as mirrored tiles first, because
with fewer scales its weights fall on the wrong ones.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

SIDE = 256  # pixels: the sixth scale still has the 8 that the metric asks for


def reference(source: Path, width: int, height: int) -> Image.Image:
    """The best reduction, upright and in sRGB.

    Args:
        source: A file that Pillow reads.
        width: Pixels of the result.
        height: Pixels of the result.
    """
    with Image.open(source) as opened:
        picture = _converted(ImageOps.exif_transpose(opened))
    return srgb(picture.resize((width, height), Image.Resampling.LANCZOS))


def score(best: Image.Image, made: bytes) -> float:
    """SSIMULACRA2 of a file against the best reduction of the same size."""
    from ssimulacra2 import compute_ssimulacra2

    with Image.open(io.BytesIO(made)) as opened:
        result = srgb(opened)
    return float(compute_ssimulacra2(_file(best), _file(result)))


def srgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB, by its profile where it has one; on white where it has alpha."""
    picture = _converted(picture)
    if picture.mode == "RGB":
        return picture
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _converted(picture: Image.Image) -> Image.Image:
    """The picture in sRGB, by its profile where it has one; in RGBA where it has alpha."""
    alpha, profile = None, picture.info.get("icc_profile")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        picture = picture.convert("RGB")
    if profile:
        own, standard = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
        )
        converted = ImageCms.profileToProfile(picture, own, standard, outputMode="RGB")
        assert converted is not None  # it is not made in place
        picture = converted
    result = picture.convert("RGB")
    result.info.pop("icc_profile", None)
    if alpha:
        result.putalpha(alpha)
    return result


def _file(picture: Image.Image) -> io.BytesIO:
    """The picture as the metric takes it: large enough, and a file."""
    import numpy

    width, height = picture.size
    if min(width, height) < SIDE:
        right, down = max(0, SIDE - width), max(0, SIDE - height)
        tiled = numpy.pad(numpy.asarray(picture), ((0, down), (0, right), (0, 0)), mode="symmetric")
        picture = Image.fromarray(tiled)
    file = io.BytesIO()
    picture.save(file, "png", compress_level=0)
    file.seek(0)
    return file
