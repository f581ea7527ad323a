"""Converts the samples of a TIFF, as libvips loads them, to the colours that they stand for.

This covers signed samples, opacity, YCbCr, CIELab and ICCLab.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pyvips import Image

Space = Literal["", "ycbcr", "cielab", "icclab"]
# XYZ of D50, the white point of Lab, and the matrix from XYZ to linear sRGB (ICC.1, Annex E;
# IEC 61966-2-1)
D50 = [96.422, 100.0, 82.521]
FROM_D50 = [
    [3.1338561, -1.6168667, -0.4906146],
    [-0.9787684, 1.9161415, 0.0334540],
    [0.0719453, -0.2289914, 1.4052427],
]


@dataclass(frozen=True, slots=True)
class Samples:
    """How the samples that libvips loads are converted to colours.

    Attributes:
        extra: Number of channels after the colours.
        alpha: Index, from 0, of the extra channel that is opacity; -1 for none.
        associated: Whether the colours are multiplied by the opacity.
        signed: Whether samples are signed: the lowest number is black.
        space: Their colour space, if libvips is told that they are RGB; else empty.
        matrix: For YCbCr, the rows that give red, green and blue; the last number of each is an
            offset.
    """

    extra: int = 0
    alpha: int = -1
    associated: bool = False
    signed: bool = False
    space: Space = ""
    matrix: tuple[tuple[float, ...], ...] = ()

    def picture(self, image: Image) -> Image:
        """Return the picture in its true colours, with opacity if it has one."""
        if image.format == "uint":  # 2**32 - 1 is white (TIFF 6.0, BitsPerSample)
            image = (image >> 24).cast("uchar")
        if self.signed:
            image = image ^ (0x80 if image.format == "uchar" else 0x8000)
        colours = image.bands - self.extra
        opacity = image[colours + self.alpha] if self.alpha >= 0 else None
        if self.extra:
            image = image.extract_band(0, n=colours)
        if self.space == "ycbcr":
            image = _from_ycbcr(image, self.matrix)
        elif self.space:
            opacity = (
                (opacity >> 8).cast("uchar") if opacity is not None and _deep(opacity) else opacity
            )
            image = _from_lab(image, icc=self.space == "icclab")
        if opacity is None:
            return image
        kind, image = image.format, image.bandjoin(opacity)
        if not self.associated:
            return image
        most = {"uchar": 255, "ushort": 65535}.get(kind, 1)
        image = image.unpremultiply(max_alpha=most)
        return image if kind == "float" else image.rint().cast(kind)


def _deep(image: Image) -> bool:
    return bool(image.format == "ushort")


def _from_ycbcr(image: Image, matrix: Sequence[Sequence[float]]) -> Image:
    rows, offsets = [list(row[:3]) for row in matrix], [row[3] for row in matrix]
    result = image.recomb(rows).linear([1, 1, 1], offsets).rint().cast("uchar")
    return result.copy(interpretation="srgb")


def _from_lab(image: Image, *, icc: bool) -> Image:
    """Convert Lab of 8 or 16 bits or floats; a and b are signed in CIELab, offset in ICCLab.

    See TIFF 6.0, 23, and ICC.1, 10.
    """
    if image.format == "float":
        return _from_real_lab(image)
    deep = _deep(image)
    half = 32768 if deep else 128
    light = 100 / ((65280 if icc else 65535) if deep else 255)
    pair = image.extract_band(1, n=2)
    pair = (pair if icc else pair ^ half).linear([1, 1], [-half, -half])
    return _from_real_lab((image[0] * light).bandjoin(pair / 256 if deep else pair).cast("float"))


def _from_real_lab(lab: Image) -> Image:
    xyz = lab.copy(interpretation="lab").Lab2XYZ(temp=D50)
    return (xyz.recomb(FROM_D50) / 100).copy(interpretation="scrgb").colourspace("srgb")
