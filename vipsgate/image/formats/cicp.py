"""Colours by code points (ITU-T H.273), as in AVIF and HEIC (nclx) and PNG (cICP).

sRGB is left unchanged, Display P3 keeps its pixels and gets a profile, and everything else is
converted to sRGB when it is loaded. Colours brighter than diffuse white (PQ, HLG) are clipped to
white (ITU-R BT.2408, 203 cd/m2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frame import P3, SRGB, Codes, Gamut

if TYPE_CHECKING:
    from pyvips import Image

PQ, HLG = 16, 18  # transfer characteristics
WHITE = 203  # cd/m2 of what sRGB's white shows (ITU-R BT.2408, 2.1)
PEAK = 1000  # cd/m2 of the display that HLG is shown on (ITU-R BT.2100, table 5)
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
# x and y of red, green and blue of those with the white D65; others are taken for sRGB's
PRIMARIES = {
    1: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060),  # BT.709, sRGB
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060),  # BT.601, 625 lines
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),  # BT.601, 525 lines
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),  # SMPTE 240M
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020, BT.2100
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077),  # EBU 3213
}
SRGB_PRIMARIES, P3_PRIMARIES = 1, 12
D65 = (0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290)  # X, Y, Z
Matrix = list[list[float]]


def meaning(primaries: int, transfer: int) -> tuple[Gamut, Codes | None]:
    """Return the gamut of pixels with these codes, and the codes to convert from, if any."""
    if primaries not in PRIMARIES:
        primaries = SRGB_PRIMARIES
    if transfer in (PQ, HLG) or transfer in GAMMAS:
        return SRGB, (primaries, transfer)
    if primaries == P3_PRIMARIES:
        return P3, None
    return SRGB, None if primaries == SRGB_PRIMARIES else (primaries, 13)


def is_hdr(codes: Codes | None) -> bool:
    """Return whether the codes allow colours brighter than white."""
    return codes is not None and codes[1] in (PQ, HLG)


def converted(image: Image, codes: Codes) -> Image:
    """Convert 8 or 16 bits with these codes to 8-bit sRGB or grey; alpha is kept."""
    import pyvips

    primaries, transfer = codes
    deep = image.format == "ushort"
    bands = 3 if image.bands > 2 else 1
    curve = pyvips.Image.identity(ushort=deep) / (65535 if deep else 255)
    light = image.extract_band(0, n=bands).maplut(_linear(curve, transfer))
    if transfer == HLG:
        light = _displayed(light, primaries)
    if bands == 3:
        result = light.recomb(_to_srgb(primaries)).copy(interpretation="scrgb").colourspace("srgb")
    else:
        result = (_encoded(light) * 255).rint().cast("uchar").copy(interpretation="b-w")
    if image.bands == bands:
        return result
    alpha = image[bands]
    return result.bandjoin((alpha >> 8).cast("uchar") if deep else alpha)


def full_range(image: Image, *, bands: int) -> Image:
    """Expand levels from 16-235 (H.273, VideoFullRangeFlag) to 0-255.

    Args:
        image: In 8 or 16 bits.
        bands: The number of its first channels that have such levels.
    """
    unit = 256 if image.format == "ushort" else 1
    black, most = 16 * unit, 256 * unit - 1
    scale = most / (219 * unit)
    colours = image.extract_band(0, n=bands).linear(scale, -black * scale).rint().cast(image.format)
    more = image.bands - bands
    result = colours.bandjoin(image.extract_band(bands, n=more)) if more else colours
    return result.copy(interpretation=image.interpretation)


def _linear(value: Image, transfer: int) -> Image:
    """Convert values 0-1 to linear light, 1 for white."""
    if transfer == PQ:  # SMPTE ST 2084
        root = value ** (1 / 78.84375)
        above = root > 0.8359375
        top = above.ifthenelse(root - 0.8359375, 0)
        return (top / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125) * (10000 / WHITE)
    if transfer == HLG:  # ITU-R BT.2100, table 5; of the scene
        upper = (((value - 0.55991073) / 0.17883277).exp() + 0.28466892) / 12
        return (value <= 0.5).ifthenelse(value * value / 3, upper)
    if transfer in GAMMAS:
        return value ** GAMMAS[transfer]
    return (value <= 0.04045).ifthenelse(value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _displayed(light: Image, primaries: int) -> Image:
    """Convert scene light to display light, 1 for white (ITU-R BT.2100, table 5, OOTF)."""
    whole = light.recomb([_to_xyz(primaries)[1]]) if light.bands > 1 else light
    return light * whole**0.2 * (PEAK / WHITE)


def _encoded(light: Image) -> Image:
    """Apply sRGB's curve (IEC 61966-2-1), clipped to 0-1."""
    light = (light > 1).ifthenelse(1, light)
    return (light <= 0.0031308).ifthenelse(light * 12.92, light ** (1 / 2.4) * 1.055 - 0.055)


def _to_xyz(primaries: int) -> Matrix:
    """Return the matrix from RGB to XYZ, with D65 as white (SMPTE RP 177)."""
    numbers = PRIMARIES[primaries]
    columns = [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(*[iter(numbers)] * 2, strict=True)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    scales = [sum(a * b for a, b in zip(row, D65, strict=True)) for row in _inverse(rows)]
    return [[a * b for a, b in zip(row, scales, strict=True)] for row in rows]


def _to_srgb(primaries: int) -> Matrix:
    columns = [list(column) for column in zip(*_to_xyz(primaries), strict=True)]
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
        for row in _inverse(_to_xyz(SRGB_PRIMARIES))
    ]


def _inverse(rows: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = rows
    size = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return [
        [(e * i - f * h) / size, (c * h - b * i) / size, (b * f - c * e) / size],
        [(f * g - d * i) / size, (a * i - c * g) / size, (c * d - a * f) / size],
        [(d * h - e * g) / size, (b * g - a * h) / size, (a * e - b * d) / size],
    ]
