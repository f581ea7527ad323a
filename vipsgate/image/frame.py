"""Header and frame: the properties of a picture that are known before any pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from .goal import Goal

Gamut = Literal["srgb", "p3"]  # what a pixel's numbers mean: sRGB or Display P3
SRGB: Gamut = "srgb"
P3: Gamut = "p3"
Codes = tuple[int, int]  # ColourPrimaries and TransferCharacteristics (ITU-T H.273)
LARGE_PIXELS = 8_000_000  # of one page; a larger result is encoded so as to take less memory


@dataclass(frozen=True, slots=True)
class Header:
    """The properties of a source, from its file.

    Attributes:
        format: Codec name, a key of ``codecs.CODECS``.
        width: Pixels as stored, before EXIF orientation.
        height: Pixels as stored, of one frame.
        pages: Frames of an animation, 1 for a still picture.
        orientation: EXIF Orientation, 1-8.
        bands: Channels as stored, alpha included.
        depth: Bits of a channel as stored.
        alpha: Whether it has transparency.
        interlaced: Whether it can only be decoded as a whole: a JPEG in several scans, or an
            interlaced PNG.
        samples: Decoded samples of a pixel: 1.5 for a JPEG with quartered colour, else ``bands``.
        lossless: Whether it is a lossless WebP, which is decoded whole before it is scaled.
        tiled: Whether it is a TIFF in tiles.
        rows: Rows of a TIFF that take as many bytes as its decoder holds at a time.
        more: Whether the file has further pictures, which are not read: frames of an animated PNG,
            pages of a TIFF, a sequence or further pictures of an AVIF or HEIC.
        quality: JPEG quality estimated from its tables, 1-100; 0 if not applicable.
        gamut: The colour space of its pixels once loaded; grey is ``srgb``.
        codes: The code points from which its colours are converted while loading, or ``None``.
        hdr: Whether colours may be brighter than white (PQ, HLG), and are clipped to it.
        limited: Whether its greys, or red, green and blue, go from 16 to 235 (H.273).
        tagged: Whether it has an RGB profile that is neither sRGB nor Display P3.
        plain: Whether the loader gives 8-bit grey or sRGB without a profile, so that nothing is to
            be converted. If unknown, false, and the pixels are examined.
        coded: Pixels of the largest picture inside a HEIC or AVIF, of which a part may be shown.
        unsupported: What makes it a kind that cannot be read, though its size is known; or empty.
        stored: Bytes of the file, in whole mebibytes, so that pictures of one size share a plan.
        exif: The EXIF block from its byte-order mark on; empty if there is none.
    """

    format: str
    width: int
    height: int
    pages: int = 1
    orientation: int = 1
    bands: int = 3
    depth: int = 8
    alpha: bool = False
    interlaced: bool = False
    samples: float = 3
    lossless: bool = False
    tiled: bool = False
    rows: int = 1
    more: bool = False
    quality: int = 0
    gamut: Gamut = SRGB
    codes: Codes | None = None
    hdr: bool = False
    limited: bool = False
    tagged: bool = False
    plain: bool = False
    coded: int = 0
    unsupported: str = ""
    stored: int = 0
    exif: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """The properties of a picture at one point of the pipeline.

    Attributes:
        header: The source.
        width: Pixels.
        height: Pixels, of one page.
        pages: Frames of an animation, 1 for a still picture.
        orientation: The EXIF orientation that is still to be applied, 1-8.
        alpha: Whether it has transparency.
        format: What it will be written as, a key of ``codecs.CODECS``.
        quality: Encoder quality, 1-100; ``None`` leaves it to the codec.
        goal: The goal of a search for the quality; ``None`` without a search.
        lossless: Whether a codec that may be lossy must encode without loss.
        progressive: Whether a JPEG is written in scans; ``None`` if not specified.
        opaque: Whether transparency becomes white, though the format supports it.
        gamut: The colour space of its pixels; see :func:`.formats.icc.colour` for drawing on it.
        copyright: Whether the source's copyright and author are written (:mod:`.formats.metadata`).
        profile: Whether the source's own profile is written.
    """

    header: Header
    width: int
    height: int
    pages: int
    orientation: int
    alpha: bool
    format: str
    quality: int | None = None
    goal: Goal | None = None
    lossless: bool = False
    progressive: bool | None = None
    opaque: bool = False
    gamut: Gamut = SRGB
    copyright: bool = False
    profile: bool = False

    @classmethod
    def of(cls, header: Header) -> Frame:
        """Return the frame with which a plan begins."""
        return cls(
            header,
            header.width,
            header.height,
            header.pages,
            header.orientation,
            header.alpha,
            header.format,
            gamut=header.gamut,
        )

    @property
    def area(self) -> int:
        """Pixels of one page."""
        return self.width * self.height

    @property
    def large(self) -> bool:
        """Whether it is encoded so as to take less memory, in more bytes."""
        return self.area > LARGE_PIXELS

    def resized(self, width: int, height: int) -> Frame:
        """Return the frame at another size in whole pixels, 1 or more."""
        return replace(self, width=max(1, width), height=max(1, height))


def proportion(side: int, target: int, other: int) -> int:
    """Return ``side * target / other``, rounded half up as OSS does (133.5 -> 134), at least 1."""
    return max(1, (2 * side * target + other) // (2 * other))
