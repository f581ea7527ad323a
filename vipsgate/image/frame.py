"""Header and frame: what is known of a picture before any pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from .goal import Goal

Gamut = Literal["srgb", "p3"]  # what a pixel's numbers mean: sRGB or Display P3
SRGB: Gamut = "srgb"
P3: Gamut = "p3"
Codes = tuple[int, int]  # ColourPrimaries and TransferCharacteristics (ITU-T H.273)
LARGE_PIXELS = 8_000_000  # of one page, above which a result is written so as to take less memory


@dataclass(frozen=True, slots=True)
class Header:
    """What a source's file says of itself.

    Attributes:
        format: Codec name, a key of ``codecs.CODECS``.
        width: Pixels as stored, before EXIF orientation.
        height: Pixels as stored, of one frame.
        pages: Frames of an animation, 1 for a still picture.
        orientation: EXIF Orientation, 1-8.
        bands: Channels as stored, alpha included.
        depth: Bits of a channel as stored.
        alpha: Whether it has transparency.
        interlaced: A JPEG in several scans or an interlaced PNG: decodable only as a whole.
        samples: Decoded samples of a pixel: 1.5 for a JPEG with quartered colour, else ``bands``.
        lossless: A WebP without loss, which is decoded whole before it is scaled.
        tiled: A TIFF in tiles.
        rows: Rows of a TIFF that take as much as what is decoded of it at a time.
        more: Whether there are further pictures in the file, which are not read: frames of an
            animated PNG, pages of a TIFF, a sequence or further pictures of an AVIF or HEIC.
        quality: JPEG quality estimated from its tables, 1-100; 0 where it means nothing.
        gamut: What its colours mean once they are loaded; grey is ``srgb``.
        codes: What its colours are converted from as they are loaded; ``None`` for none.
        hdr: Whether they may be brighter than white (PQ, HLG), and are cut to it.
        limited: Whether its greys, or red, green and blue, go from 16 to 235 (H.273).
        tagged: Whether it has a profile of red, green and blue that is neither sRGB nor Display P3.
        plain: Whether its pixels come out of the loader as they are meant: 8 bits of grey or of
            sRGB, without a profile. Where that is not known they are looked at.
        coded: Pixels of the largest picture inside a HEIC or AVIF, which may show a part of it.
        unsupported: What of its kind is not read, though its size is known; empty for nothing.
        stored: Bytes of the file, in whole mebibytes, so that pictures of one size have one plan.
        exif: The EXIF block from its byte-order mark on; empty when there is none.
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
    """A picture as the plan sees it at one point of the pipeline.

    Attributes:
        header: The source it came from.
        width: Pixels.
        height: Pixels, of one page.
        pages: Frames of an animation, 1 for a still picture.
        orientation: What is left to be turned, EXIF 1-8.
        alpha: Whether it has transparency.
        format: What it will be written as, a key of ``codecs.CODECS``.
        quality: Encoder quality, 1-100; ``None`` leaves it to the codec.
        goal: What the quality is searched for; ``None`` where it is as said.
        lossless: Whether a codec that can lose pixels must not.
        progressive: Whether a JPEG is written in scans; ``None`` where nobody has said.
        opaque: Whether what is transparent becomes white, though the format could hold it.
        gamut: What its colours mean; :func:`.formats.icc.colour` gives one that is drawn on it.
        copyright: Whether the source's copyright and author are written (:mod:`.formats.metadata`).
        profile: Whether its own profile is.
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
        """The frame with which a plan begins."""
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
        """Is it written in ways that take less memory, though more bytes?"""
        return self.area > LARGE_PIXELS

    def resized(self, width: int, height: int) -> Frame:
        """The same picture at another size in whole pixels, never below one."""
        return replace(self, width=max(1, width), height=max(1, height))


def proportion(side: int, target: int, other: int) -> int:
    """``side * target / other``, rounded half up as OSS does (133.5 -> 134), at least 1 pixel."""
    return max(1, (2 * side * target + other) // (2 * other))
