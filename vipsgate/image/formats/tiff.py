"""A TIFF's first directory, read before libvips sees it, and written anew for it.

libtiff goes on where it should not: of a compression that it lacks, or of strips behind the end of
the file, it only warns, and the picture comes out black; and libvips takes several kinds of samples
for others. So the directory is read here, whether the file's kind is right or is not read is said
by tables (:data:`READ`, :data:`COMPRESSIONS`; tests/e2e/pixels/test_tiff.py has tried all of it),
and libvips is given a directory of nothing but what the pixels depend on. Since no odd tag is left
in it, every error of libtiff means pixels that are missing (TIFF 6.0; BigTIFF, Aware Systems).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ...errors import ImageDamage
from ..frame import SRGB, Header
from . import icc

if TYPE_CHECKING:
    from pyvips import Image

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
OFFSETS, ORIENTATION, SAMPLES, HIGH, COUNTS = 273, 274, 277, 278, 279  # HIGH: rows of a strip
PLANAR, UNIT, PREDICTOR, PALETTE = 284, 296, 317, 320
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
INKS, EXTRA, FORMAT, PROFILE = 332, 338, 339, 34675
COEFFICIENTS, SUBSAMPLING, REFERENCE = 529, 530, 532  # of YCbCr
# what else the pixels depend on: order of bits, options of fax, tables of JPEG; and the resolution
KEPT = {
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, HIGH, COUNTS, PLANAR),
    *(PREDICTOR, PALETTE, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, INKS, PROFILE),
    *(COEFFICIENTS, SUBSAMPLING, REFERENCE, 266, 292, 293, 347, 282, 283, UNIT),
}
SHORT, RATIONAL = 3, 5  # types of values
INTEGERS = {1: "B", SHORT: "H", 4: "I", 13: "I", 16: "Q"}
BYTES = {**{kind: struct.calcsize(code) for kind, code in INTEGERS.items()}, RATIONAL: 8, 7: 1}
PIXELS = {OFFSETS: COUNTS, TILE_OFFSETS: TILE_COUNTS}
MAX_ENTRIES = 65535  # what a classic one can have, and libtiff's limit for a BigTIFF
MAX_STRIPS = 1 << 20  # strips or tiles
LINEWISE = 128  # rows of a strip above which libvips reads line by line, where it can

UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4  # SampleFormat
RGB, YCBCR, CIELAB, ICCLAB, LOGLUV = 2, 6, 8, 9, 32845
JPEG, WEBP, SGILOG = 7, 50001, (34676, 34677)
APART = 2  # a PlanarConfiguration
ASSOCIATED, OPACITY = 1, 2  # ExtraSamples: colours are multiplied by it, or not


@dataclass(frozen=True, slots=True)
class Photometric:
    """How samples are meant (PhotometricInterpretation), and which of them are read.

    Attributes:
        name: For messages.
        colours: Samples of a pixel that are not extra ones.
        unsigned: Bits of an unsigned sample.
        signed: Bits of a signed one.
        floats: Bits of a floating-point one.
    """

    name: str
    colours: int
    unsigned: tuple[int, ...]
    signed: tuple[int, ...] = ()
    floats: tuple[int, ...] = ()


# Where black and white of a signed sample of 32 bits are, or of a floating-point grey, nobody says
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
    -1: "that is not said",
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
FAX = (2, 3, 4)  # of one bit
PREDICTED = (5, 8, 32946)  # compressions with a Predictor

# XYZ of the white D50, which Lab is relative to, as linear sRGB (ICC.1, Annex E; IEC 61966-2-1)
D50 = [96.422, 100.0, 82.521]
FROM_D50 = [
    [3.1338561, -1.6168667, -0.4906146],
    [-0.9787684, 1.9161415, 0.0334540],
    [0.0719453, -0.2289914, 1.4052427],
]


@dataclass(frozen=True, slots=True)
class Samples:
    """What makes a picture of the samples that libvips loads.

    Attributes:
        extra: Channels behind the colours.
        alpha: Which of these is opacity, from 0; -1 for none.
        associated: Whether the colours are multiplied by it.
        signed: Whether the lowest number is black and 0 in the middle.
        space: What the colours are where libvips is told that they are RGB.
        matrix: Of YCbCr, the rows that give red, green and blue, an offset last.
    """

    extra: int = 0
    alpha: int = -1
    associated: bool = False
    signed: bool = False
    space: Literal["", "ycbcr", "cielab", "icclab"] = ""
    matrix: tuple[tuple[float, ...], ...] = ()

    def picture(self, image: Image) -> Image:
        """The colours as they are meant, with opacity if there is one."""
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
            opacity = (opacity >> 8).cast("uchar") if opacity and _deep(opacity) else opacity
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
    """Of 8 or 16 bits: a and b are signed, or have an offset (TIFF 6.0, 23; ICC.1, 10)."""
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


class _Entry(NamedTuple):
    kind: int
    number: int  # of values
    values: int  # where they are
    raw: bytes  # the entry as it stands in the file


class _Directory:
    """The first directory of a file.

    Raises:
        struct.error: It is cut off.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        (start,) = self._at("Q" if self.big else "I", 8 if self.big else 4)
        (entries,) = self._at("Q" if self.big else "H", start)
        head, step = ("HHQ", 20) if self.big else ("HHI", 12)
        start += 8 if self.big else 2
        if entries > MAX_ENTRIES or start + step * entries > len(data):
            raise struct.error
        self.entries: dict[int, _Entry] = {}
        for at in range(start, start + step * entries, step):
            tag, kind, count = self._at(head, at)
            values = at + struct.calcsize(self.order + head)
            if BYTES.get(kind, 1) * count > step - (values - at):
                (values,) = self._at("Q" if self.big else "I", values)
            entry = _Entry(kind, count, values, data[at : at + step])
            self.entries.setdefault(tag, entry)  # libtiff, too, takes the first

    def _at(self, code: str, at: int) -> tuple[int, ...]:
        if at > len(self.data):  # perhaps more than struct can count
            raise struct.error
        return struct.unpack_from(self.order + code, self.data, at)

    def all(self, tag: int) -> tuple[int, ...]:
        """A tag's integers; none of a tag that is not here, or of too many."""
        entry = self.entries.get(tag)
        code = INTEGERS.get(entry.kind) if entry else None
        if entry is None or code is None or entry.number > MAX_STRIPS:
            return ()
        return self._at(f"{entry.number}{code}", entry.values)

    def one(self, tag: int, default: int) -> int:
        """A tag's first integer."""
        return next(iter(self.all(tag)), default)

    def ratios(self, tag: int, default: Sequence[float]) -> Sequence[float]:
        """A tag's fractions, as many as the default has."""
        entry, count = self.entries.get(tag), len(default)
        if entry is None or entry.kind != RATIONAL or entry.number != count:
            return default
        numbers = self._at(f"{2 * count}I", entry.values)
        return [top / (bottom or 1) for top, bottom in zip(*[iter(numbers)] * 2, strict=True)]

    def text(self, tag: int) -> bytes:
        """A tag's bytes."""
        entry = self.entries.get(tag)
        return self.data[entry.values : entry.values + entry.number] if entry else b""

    def only(self, tag: int, default: int) -> int:
        """The value that a tag has for every sample; -1 where they differ."""
        values = set(self.all(tag)[: self.one(SAMPLES, 1)]) or {default}
        return values.pop() if len(values) == 1 else -1

    def written(self, tags: Iterable[int], changed: dict[int, tuple[int, ...]]) -> bytes:
        """The file with a directory of these tags behind it in place of its own.

        Args:
            tags: Those that are as in the file.
            changed: SHORTs of others.
        """
        room, head = (8, "HHQ") if self.big else (4, "HHI")
        rows = {tag: self.entries[tag].raw for tag in tags if tag in self.entries}
        start = len(self.data) + len(self.data) % 2
        number = len(rows | changed)
        size = (8 if self.big else 2) + number * len(next(iter(rows.values()), b"")) + room
        behind = b""
        for tag, values in changed.items():
            packed = struct.pack(f"{self.order}{len(values)}H", *values)
            if len(packed) > room:
                place = start + size + len(behind)
                behind += packed
                packed = struct.pack(self.order + ("Q" if self.big else "I"), place)
            row = struct.pack(self.order + head, tag, SHORT, len(values))
            rows[tag] = row + packed.ljust(room, b"\0")
        pointer = struct.pack(self.order + ("Q" if self.big else "I"), start)
        at = 8 if self.big else 4
        return b"".join(
            (
                self.data[:at] + pointer,
                memoryview(self.data)[at + len(pointer) :],
                bytes(len(self.data) % 2),
                struct.pack(self.order + ("Q" if self.big else "H"), number),
                *(rows[tag] for tag in sorted(rows)),
                bytes(room),  # no further directory
                behind,
            )
        )


def read(data: bytes) -> tuple[Header, bytes, Samples]:
    """The header, the file as libvips may see it, and what makes a picture of its samples.

    Raises:
        ImageDamage: There is no directory, or a strip or tile ends behind the end of the file.
    """
    try:
        return _read(_Directory(data))
    except struct.error:
        raise _damaged("Its directory is cut off.") from None


def _read(tags: _Directory) -> tuple[Header, bytes, Samples]:
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
        gamut=icc.gamut(profile) if coloured else SRGB,
        unsupported=unsupported,
    )
    return header, tags.data if unsupported else _washed(tags, meant), meant


def _orientation(tags: _Directory) -> int:
    value = tags.one(ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _check_end(tags: _Directory) -> None:
    for offsets, counts in PIXELS.items():
        ends = map(sum, zip(tags.all(offsets), tags.all(counts), strict=False))
        if (end := max(ends, default=0)) > len(tags.data):
            raise _damaged(f"Its pixels would end at byte {end}, the file has {len(tags.data)}.")


def _unsupported(tags: _Directory) -> str:
    """What of the file's kind is not read; empty where all of it is."""
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
    if number == 3 and tags.entries.get(PALETTE, _Entry(0, 0, 0, b"")).number != 3 << bits:
        return "palette without its colours"
    if (number == LOGLUV) != (compression in SGILOG):
        return f"compression {COMPRESSIONS[compression]} of {photometric.name}"
    if extra and (bits < 8 or number in (LOGLUV, YCBCR) or (compression == WEBP and extra > 1)):
        return f"{photometric.name} of {bits} bits with extra samples"
    if extra and number in (CIELAB, ICCLAB) and (sample == FLOAT or ASSOCIATED in tags.all(EXTRA)):
        return f"{photometric.name} with opacity that is multiplied or floating-point"
    return _unsupported_layout(tags, compression, number, bits, samples)


def _unsupported_layout(
    tags: _Directory, compression: int, number: int, bits: int, samples: int
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
    predictor = tags.one(PREDICTOR, 1) if compression in PREDICTED else 1
    if predictor not in (1, 2, 3) or (predictor == 2 and bits < 8):
        return f"predictor {predictor} of {bits} bits"
    if _by_rgba(tags) and (apart or (tiled and compression == 1)):
        return "YCbCr with fewer colours in planes or tiles"
    return ""


def _by_rgba(tags: _Directory) -> bool:
    """Has libvips the colours from libtiff's own converter, of YCbCr with fewer of them?"""
    if tags.one(PHOTOMETRIC, -1) != YCBCR or tags.one(COMPRESSION, 1) == JPEG:
        return False
    return (tags.all(SUBSAMPLING) or (2, 2)) != (1, 1)


def _samples(tags: _Directory) -> Samples:
    number, count = tags.one(PHOTOMETRIC, -1), tags.one(SAMPLES, 1)
    if _by_rgba(tags):
        return Samples(extra=1)  # opaque
    extra = count - READ[number].colours
    kinds = tags.all(EXTRA)
    if EXTRA not in tags.entries and extra:
        kinds = (OPACITY,)  # as many writers have left it out
    alpha = next((at for at, kind in enumerate(kinds[:extra]) if kind in (1, OPACITY)), -1)
    space: Literal["", "ycbcr", "cielab", "icclab"] = ""
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


def _matrix(tags: _Directory) -> tuple[tuple[float, ...], ...]:
    """Rows that give red, green and blue of Y, Cb, Cr and 1 (TIFF 6.0, 21).

    Raises:
        ImageDamage: Its numbers allow no division.
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


def _washed(tags: _Directory, meant: Samples) -> bytes:
    """The file with what libvips is to see of it."""
    kept, changed = set(KEPT), dict[int, tuple[int, ...]]()
    if tags.one(UNIT, 2) not in (1, 2, 3):
        kept -= {UNIT, 282, 283}
    if tags.one(266, 1) not in (1, 2):
        kept.discard(266)
    samples = tags.one(SAMPLES, 1)
    if samples == 1:
        kept.discard(PLANAR)  # one plane is one plane; libvips takes bits for bytes there
    if meant.space:
        changed[PHOTOMETRIC] = (RGB,)
        kept -= {COEFFICIENTS, SUBSAMPLING, REFERENCE}
    if meant.space.endswith("lab"):
        kept.discard(PROFILE)
    if tags.only(FORMAT, UNSIGNED) == FLOAT or tags.one(PHOTOMETRIC, -1) == LOGLUV:
        kept.add(FORMAT)
    if meant.extra and not _by_rgba(tags):
        changed[EXTRA] = (0,) * meant.extra  # what they are is known here
    return tags.written(kept - changed.keys(), changed)


def _rows(tags: _Directory) -> int:
    """Rows of the picture that take as much as what is decoded of it at a time.

    libvips holds two rows of tiles, or a strip; of a picture in planes also one of a plane.
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
