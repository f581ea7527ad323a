"""Reads the first directory of a TIFF before libvips does, and writes a new one for libvips.

libtiff only warns of a compression that it lacks, or of strips beyond the end of the file, and the
picture is then black; and libvips mistakes several kinds of samples for others. So the directory is
read here; tables say which kinds of files are read (:data:`READ`, :data:`COMPRESSIONS`; all are
tested in tests/e2e/pixels/test_tiff.py), and libvips is given a directory of only those tags that
pixels depend on. As it has no unusual tags, every error of libtiff means missing pixels (TIFF 6.0;
BigTIFF, Aware Systems).
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass

from ...errors import ImageDamage
from ..frame import SRGB, Header
from . import icc
from .ondemand import Data, Parts, joined
from .tiff_directory import SAMPLES, Directory
from .tiff_samples import Samples, Space

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
OFFSETS, ORIENTATION, HIGH, COUNTS = 273, 274, 278, 279  # HIGH: RowsPerStrip
PLANAR, UNIT, PREDICTOR, PALETTE = 284, 296, 317, 320
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
INKS, EXTRA, FORMAT, PROFILE = 332, 338, 339, 34675
COEFFICIENTS, SUBSAMPLING, REFERENCE = 529, 530, 532  # of YCbCr
# the tags that libvips sees; those without a name here are the order of bits, options of fax,
# tables of JPEG, and the resolution
KEPT = {
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, HIGH, COUNTS, PLANAR),
    *(PREDICTOR, PALETTE, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, INKS, PROFILE),
    *(COEFFICIENTS, SUBSAMPLING, REFERENCE, 266, 292, 293, 347, 282, 283, UNIT),
}
PIXELS = {OFFSETS: COUNTS, TILE_OFFSETS: TILE_COUNTS}
LINEWISE = 128  # rows of a strip above which libvips reads line by line, where it can

UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4  # SampleFormat
RGB, YCBCR, CIELAB, ICCLAB, LOGLUV = 2, 6, 8, 9, 32845
JPEG, WEBP, SGILOG = 7, 50001, (34676, 34677)
APART = 2  # the PlanarConfiguration of separate planes
ASSOCIATED, OPACITY = 1, 2  # ExtraSamples: opacity by which colours are multiplied, or are not


@dataclass(frozen=True, slots=True)
class Photometric:
    """A PhotometricInterpretation, and the kinds of its samples that are read.

    Attributes:
        name: Name for messages.
        colours: Samples of a pixel without extra ones.
        unsigned: Sizes of unsigned samples that are read, in bits.
        signed: Sizes of signed ones.
        floats: Sizes of floating-point ones.
    """

    name: str
    colours: int
    unsigned: tuple[int, ...]
    signed: tuple[int, ...] = ()
    floats: tuple[int, ...] = ()


# no standard defines black and white of signed samples of 32 bits, or of floating-point grey
READ = {
    0: Photometric("white is zero", 1, (1, 2, 4, 8, 16, 32), (8, 16)),
    1: Photometric("black is zero", 1, (1, 2, 4, 8, 16, 32), (8, 16)),
    RGB: Photometric("RGB", 3, (8, 16, 32), (8, 16), (16, 32)),  # floats are linear light, 0-1
    3: Photometric("palette", 1, (1, 2, 4, 8, 16)),
    5: Photometric("CMYK", 4, (8, 16)),
    YCBCR: Photometric("YCbCr", 3, (8,)),
    CIELAB: Photometric("CIELab", 3, (8, 16), (8, 16), (32,)),  # floats are L, a and b as they are
    ICCLAB: Photometric("ICCLab", 3, (8, 16)),
    LOGLUV: Photometric("LogLuv", 3, (16, 32), (16, 32), (16, 32)),  # of any of these libtiff's
}
OTHERS = {
    -1: "missing",
    4: "transparency mask",
    10: "ITULab",
    32803: "color filter array",
    32844: "LogL",
    34892: "linear raw",
    51177: "depth map",
}
COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT Group 3",
    4: "CCITT Group 4",
    5: "LZW",
    JPEG: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    **dict.fromkeys(SGILOG, "SGILog"),
    WEBP: "WebP",
}
OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    32771: "CCITT RLE of words",
    32766: "NeXT",
    32809: "ThunderScan",
    32909: "PixarLog",
    34661: "JBIG",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50002: "JPEG XL",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
}
# finds a JPEG's frame header, and in it the sampling of the first component (ITU-T T.81, B.2.2)
FRAME = re.compile(rb"\xff[\xc0-\xc2].{7}[\x03\x04].(.)", re.DOTALL)
MAX_HEAD = 4096  # bytes of a JPEG in which the frame header is searched for
SUBFILE, REDUCED, MASK = 254, 1, 4  # NewSubfileType, and its flags for previews and masks
MAX_PAGES = 32  # directories in which another page is searched for
FAX = (2, 3, 4)  # compressions of pixels of one bit
PREDICTED = (5, 8, 32946)  # compressions with a Predictor


def read(data: Data) -> tuple[Header, bytes | Parts, Samples]:
    """Return the header, the file for libvips, and how its samples are converted to colours.

    Raises:
        ImageDamage: There is no directory, or a strip or tile ends after the end of the file.
    """
    try:
        return _read(Directory(data))
    except struct.error:
        raise _damaged("Its directory is cut off.") from None


def _read(tags: Directory) -> tuple[Header, bytes | Parts, Samples]:
    width, height = tags.one(WIDTH, 0), tags.one(LENGTH, 0)
    if not (width and height):
        raise _damaged(f"It has {width}x{height} pixels.")
    _check_end(tags)
    kind = tags.one(PHOTOMETRIC, -1)
    samples, bits = tags.one(SAMPLES, 1), tags.only(BITS, 1)
    profile = tags.text(PROFILE)
    unsupported = _unsupported(tags)
    alpha, meant = -1, Samples()
    if not unsupported:
        meant = _samples(tags)
        alpha = meant.alpha
    coloured, sample = kind in (RGB, 3, YCBCR), tags.only(FORMAT, UNSIGNED)
    bands = samples + 2 * (kind == 3) + (_by_rgba(tags) and samples == 3)
    header = Header(
        format="tiff",
        width=width,
        height=height,
        orientation=_orientation(tags),
        bands=bands,
        depth=32 if bits > 16 or sample == FLOAT or kind == LOGLUV else 16 if bits > 8 else 8,
        alpha=alpha >= 0,
        samples=bands,
        tiled=TILE_WIDTH in tags.entries,
        rows=_rows(tags),
        more=_has_more_pages(tags),
        gamut=icc.gamut(profile) if coloured else SRGB,
        tagged=coloured and icc.is_other(profile),
        unsupported=unsupported,
    )
    return header, _whole(tags.data) if unsupported else _washed(tags, meant), meant


def _whole(data: Data) -> bytes | Parts:
    return data if isinstance(data, bytes) else joined(data, ((0, len(data)),))


def _has_more_pages(tags: Directory) -> bool:
    """Return whether there is another picture, not counting previews and masks (TIFF 6.0, 36)."""
    with suppress(struct.error):
        for _ in range(MAX_PAGES):
            if not tags.next:
                return False
            tags = Directory(tags.data, tags.next)
            if not tags.one(SUBFILE, 0) & (REDUCED | MASK):
                return True
    return False


def _orientation(tags: Directory) -> int:
    value = tags.one(ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _check_end(tags: Directory) -> None:
    for offsets, counts in PIXELS.items():
        ends = map(sum, zip(tags.all(offsets), tags.all(counts), strict=False))
        if (end := max(ends, default=0)) > len(tags.data):
            raise _damaged(f"Its pixels would end at byte {end}, the file has {len(tags.data)}.")


def _unsupported(tags: Directory) -> str:
    """Return which property of the file prevents it from being read; empty if none does."""
    number = tags.one(PHOTOMETRIC, -1)
    compression, photometric = tags.one(COMPRESSION, 1), READ.get(number)
    if compression not in COMPRESSIONS:
        return f"compression {OTHER_COMPRESSIONS.get(compression, compression)}"
    if photometric is None:
        return f"photometric interpretation {OTHERS.get(number, number)}"
    bits, samples = tags.only(BITS, 1), tags.one(SAMPLES, 1)
    sample = tags.only(FORMAT, UNSIGNED)
    if number == CIELAB and sample < 0 and set(tags.all(FORMAT)) <= {UNSIGNED, SIGNED}:
        sample = UNSIGNED  # a and b are signed, and here it says so
    allowed = {
        UNSIGNED: photometric.unsigned,
        UNDEFINED: photometric.unsigned,
        SIGNED: photometric.signed,
        FLOAT: photometric.floats,
    }.get(sample, ())
    kinds = {SIGNED: "signed ", FLOAT: "floating-point ", UNSIGNED: "", UNDEFINED: ""}
    if bits not in allowed:
        what = "different samples" if -1 in (bits, sample) else f"{bits} bits"
        return f"{photometric.name} of {kinds.get(sample, 'complex ')}{what}"
    extra = samples - photometric.colours
    if extra < 0:
        return f"{photometric.name} of {samples} samples"
    if number == 5 and tags.one(INKS, 1) != 1:
        return "inks that are not CMYK"
    if number == 3 and tags.count(PALETTE) != 3 << bits:
        return "palette without its colours"
    if (number == LOGLUV) != (compression in SGILOG):
        return f"compression {COMPRESSIONS[compression]} of {photometric.name}"
    if extra and (bits < 8 or number in (LOGLUV, YCBCR) or (compression == WEBP and extra > 1)):
        return f"{photometric.name} of {bits} bits with extra samples"
    if extra and number in (CIELAB, ICCLAB) and (sample == FLOAT or ASSOCIATED in tags.all(EXTRA)):
        return f"{photometric.name} with opacity that is multiplied or floating-point"
    return _unsupported_layout(tags, compression, number, bits, samples)


def _unsupported_layout(
    tags: Directory, compression: int, number: int, bits: int, samples: int
) -> str:
    tiled, apart = TILE_WIDTH in tags.entries, tags.one(PLANAR, 1) == APART and samples > 1
    if apart and tiled:
        return "tiles of separate planes"
    half = tags.only(FORMAT, UNSIGNED) == FLOAT and bits == 16
    if apart and (
        half or number in (0, 1, 3, LOGLUV)
    ):  # libvips takes the lines of one for those of all
        return f"{READ[number].name} of separate planes"
    if compression in FAX and bits != 1:
        return f"compression {COMPRESSIONS[compression]} of {bits} bits"
    coded = compression in (JPEG, WEBP)
    if coded and (bits != 8 or apart):
        return f"compression {COMPRESSIONS[compression]} of {'planes' if apart else f'{bits} bits'}"
    if (compression == WEBP and number != RGB) or (compression == JPEG and number == 3):
        return f"compression {COMPRESSIONS[compression]} of {READ[number].name}"
    if compression == JPEG and tiled and samples != READ[number].colours:
        return "compression JPEG of tiles with extra samples"
    if compression == JPEG and number != YCBCR and _first_is_sampled(tags):
        return f"compression JPEG of {READ[number].name} that is YCbCr"
    predictor = tags.one(PREDICTOR, 1) if compression in PREDICTED else 1
    if predictor not in (1, 2, 3) or (predictor == 2 and bits < 8):
        return f"predictor {predictor} of {bits} bits"
    if _by_rgba(tags) and (apart or (tiled and compression == 1)):
        return "subsampled YCbCr in planes or tiles"
    return ""


def _first_is_sampled(tags: Directory) -> bool:
    """Return whether the JPEG in the first strip or tile has subsampled components.

    If so, it is YCbCr, whatever the tags say; libvips would take that in a tile for RGB.
    """
    at = tags.one(TILE_OFFSETS, 0) or tags.one(OFFSETS, 0)
    frame = FRAME.search(tags.data[at : at + MAX_HEAD])
    return frame is not None and frame[1] != b"\x11"


def _by_rgba(tags: Directory) -> bool:
    """Return whether libvips converts the colours with libtiff, as for subsampled YCbCr."""
    if tags.one(PHOTOMETRIC, -1) != YCBCR or tags.one(COMPRESSION, 1) == JPEG:
        return False
    return (tags.all(SUBSAMPLING) or (2, 2)) != (1, 1)


def _samples(tags: Directory) -> Samples:
    number, count = tags.one(PHOTOMETRIC, -1), tags.one(SAMPLES, 1)
    if _by_rgba(tags):
        return Samples(extra=1)  # opaque
    extra = count - READ[number].colours
    kinds = tags.all(EXTRA)
    if EXTRA not in tags.entries and extra:
        kinds = (OPACITY,)  # as many writers have left it out
    alpha = next((at for at, kind in enumerate(kinds[:extra]) if kind in (1, OPACITY)), -1)
    space: Space = ""
    if number == YCBCR and tags.one(COMPRESSION, 1) != JPEG:
        space = "ycbcr"
    elif number in (CIELAB, ICCLAB):
        space = "cielab" if number == CIELAB else "icclab"
    return Samples(
        extra,
        alpha,
        alpha >= 0 and kinds[alpha] == ASSOCIATED,
        number not in (CIELAB, LOGLUV) and tags.only(FORMAT, UNSIGNED) == SIGNED,
        space,
        _matrix(tags) if space == "ycbcr" else (),
    )


def _matrix(tags: Directory) -> tuple[tuple[float, ...], ...]:
    """Return the rows that give red, green and blue of Y, Cb, Cr and 1 (TIFF 6.0, 21).

    Raises:
        ImageDamage: The coefficients of the file would be divided by 0.
    """
    red, green, blue = tags.ratios(COEFFICIENTS, (0.299, 0.587, 0.114))
    levels = tags.ratios(REFERENCE, (0, 255, 128, 255, 128, 255))
    try:
        light, first, second = (
            most / (white - black)
            for most, black, white in zip((255, 127, 127), levels[::2], levels[1::2], strict=True)
        )
        to_blue, to_red = 2 * (1 - blue) * first, 2 * (1 - red) * second
        rows = (
            (light, 0.0, to_red),
            (light, -blue * to_blue / green, -red * to_red / green),
            (light, to_blue, 0.0),
        )
    except ZeroDivisionError:
        raise _damaged("Its YCbCr cannot be converted.") from None
    blacks = levels[::2]
    return tuple((*row, -sum(a * b for a, b in zip(row, blacks, strict=True))) for row in rows)


def _washed(tags: Directory, meant: Samples) -> bytes | Parts:
    """Return the file with a directory that has only what libvips may see."""
    numbers, changed = set(KEPT), dict[int, tuple[int, ...]]()
    if tags.one(UNIT, 2) not in (1, 2, 3):
        numbers -= {UNIT, 282, 283}
    if tags.one(266, 1) not in (1, 2):
        numbers.discard(266)
    samples = tags.one(SAMPLES, 1)
    if samples == 1:
        numbers.discard(PLANAR)  # one plane is one plane; libvips takes bits for bytes there
    if meant.space:
        changed[PHOTOMETRIC] = (RGB,)
        numbers -= {COEFFICIENTS, SUBSAMPLING, REFERENCE}
    if meant.space.endswith("lab"):
        numbers.discard(PROFILE)
    if tags.only(FORMAT, UNSIGNED) == FLOAT or tags.one(PHOTOMETRIC, -1) == LOGLUV:
        numbers.add(FORMAT)
    if meant.extra and not _by_rgba(tags):
        changed[EXTRA] = (0,) * meant.extra  # what they are is known here
    pieces = max(1, *map(tags.count, PIXELS))
    return tags.written(numbers - changed.keys(), changed, len(tags.data) // pieces)


def _rows(tags: Directory) -> int:
    """Return how many rows of the picture need as much memory as what is decoded at a time.

    libvips holds two rows of tiles, or a strip; if planes are separate, also a strip of one plane.
    """
    width, length = tags.one(WIDTH, 1), tags.one(LENGTH, 1)
    if wide := tags.one(TILE_WIDTH, 0):  # tiles reach over the border
        across, high = -(-width // wide) * wide, max(1, tags.one(TILE_LENGTH, 1))
        return -(-across * min(2 * high, -(-length // high) * high) // width)
    high = min(tags.one(HIGH, length) or length, length)
    samples = max(1, tags.one(SAMPLES, 1))
    apart = tags.one(PLANAR, 1) == APART and samples > 1
    if _by_rgba(tags):
        return 2 * high  # as it is stored, too
    jpeg = tags.one(PHOTOMETRIC, 0) == YCBCR and tags.one(COMPRESSION, 1) == JPEG
    if high > LINEWISE and not apart and not jpeg:
        return 1
    return high + high // samples * apart


def _damaged(what: str) -> ImageDamage:
    return ImageDamage(f"The image file may be damaged. {what}")
