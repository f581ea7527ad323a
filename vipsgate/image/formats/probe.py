"""Recognises a file and reads its :class:`Header`, without decoding a pixel.

JPEG, PNG and TIFF are parsed here (:mod:`.jpeg`, :mod:`.png`, :mod:`.tiff`), because parts of them
must be kept from libvips; other headers are read by libvips, or by the module of the format
(:mod:`.bmp`, :mod:`.heif`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ...errors import BadRequest, ImageDamage, OssError
from ..frame import SRGB, Gamut, Header
from . import (
    cicp,
    codecs,
    gif,
    header_size,
    icc,
    isobmff,
    jpeg,
    ondemand,
    png,
    tiff,
    warnings,
    webp,
)
from .ondemand import File, Memory, Outline, Parts
from .tiff_samples import Samples

if TYPE_CHECKING:
    from pyvips import Image


T = TypeVar("T")
M = TypeVar("M", bound=Memory)


@dataclass(frozen=True, slots=True)
class Source:
    """A picture's file, recognised.

    Attributes:
        header: Its header.
        data: The file for libvips, without the parts that are kept from it.
        size: Size of the stored file in bytes.
        samples: Converts what libvips loads, if its samples need more than libvips does.
        original: Returns the file as stored.
        pipe: Descriptor of a pipe from which libvips reads a file that is still arriving.
    """

    header: Header
    data: bytes | Parts
    size: int
    samples: Samples | None = None
    original: Callable[[], bytes | File] | None = None
    pipe: int | None = None


def begin(file: File) -> Source:
    """Do the same as :func:`probe` with a file that is read on demand, as far as needed.

    The scans of a JPEG are counted when all of it is read. A GIF is read whole: to count its frames
    the length of each block is needed, and blocks have at most 255 bytes. Reading only these
    lengths takes 29 ms for 5 MB, reading all of it 0.3 ms.

    Raises:
        OssError: As :func:`probe` says, or the file cannot be read.
    """
    size, samples, head = len(file), None, file.head()
    original: Callable[[], bytes | File] = file.whole
    data: bytes | Parts
    name = codecs.sniff(head)
    if name == "png":
        header, data = png.read(file)
    elif name == "tiff":
        header, data, samples = tiff.read(file)
        original = partial(_same, file)
    elif name in OUTLINES:
        return _outlined(name, file) or _whole(file)
    elif (needed := _needed(file)) > MOST:
        return _whole(file)
    elif name == "jpg":
        header, data = jpeg.begin(file, needed)
        original = partial(_same, file.head(needed))
    else:
        header, data = _header(name, file.head(needed)), Parts(file, ((0, size),))
    return Source(stored(header, size), data, size, samples, original)


def _whole(file: File) -> Source:
    return replace(probe(file.whole()), original=file.whole)


def _outlined(name: str, file: File) -> Source | None:
    """Return a source whose header is read from an outline of its file.

    Returns:
        ``None`` if the whole file has to be read, as one that may be damaged, for the exact error.

    Raises:
        ServiceUnavailable: The file cannot be read.
    """
    try:
        outline = OUTLINES[name](file)
        if outline is None:
            return None
        header = _header(name, _washed(name, outline.memory))
    except (BadRequest, ImageDamage):
        return None
    size = len(file)
    data = Parts(file, ((0, size),), finish=partial(_washed, name))
    return Source(stored(header, size), data, size, original=file.whole)


def _needed(file: File) -> int:
    """Return the bytes of a file's beginning that have its header; more than its size for all."""
    least = 0
    while (needed := header_size.needed(file.head(least))) > len(file.head(least)):
        least = max(needed, 2 * len(file.head(least)))  # there may be thousands of small segments
        if least > min(MOST, len(file)):
            return header_size.ALL
    return needed


def _same(data: T) -> T:
    return data


def _washed(name: str, data: M) -> M | bytes:
    """Return a file as libvips may see it, if its format needs no parsing before."""
    return isobmff.with_alpha_turned(data) if name in ("avif", "heic") else data


def probe(data: bytes) -> Source:
    """Recognise a file and read its header.

    Raises:
        BadRequest: It is not a picture of a known format, or of a kind that no decoder here reads.
        ImageDamage: It begins like a picture, but has no readable header.
    """
    name, samples = codecs.sniff(data), None
    washed: bytes | Parts
    if name == "jpg":
        header, washed = jpeg.read(data)
    elif name == "png":
        header, washed = png.read(data)
    elif name == "tiff":
        header, washed, samples = tiff.read(data)
    elif name == "gif":
        washed, unseen = gif.with_surroundings(data)
        header = _header(name, washed)
        header = replace(header, pages=header.pages - unseen) if unseen else header
    else:
        washed = seen = _washed(name, data)
        header = _header(name, seen)
    return Source(stored(header, len(data)), washed, len(data), samples)


def stored(header: Header, size: int) -> Header:
    """Return the header for a file of ``size`` bytes."""
    whole = size >> MEBI << MEBI
    return replace(header, stored=whole) if whole else header


def _header(name: str, data: Memory) -> Header:
    """Read the header of a file, or of a part of it, by libvips or the format's module."""
    read = codecs.CODECS[name].header
    if read is None:
        return _vips(name, data)
    try:
        return read(bytes(data))
    except OssError:
        raise
    except Exception as error:  # parsers raise errors of any class
        raise unreadable(error) from None


def _vips(name: str, data: Memory) -> Header:
    import pyvips

    loader = codecs.CODECS[name].loader
    warnings.clear()  # libheif's failed attempts alone fill libvips' buffer for messages
    try:
        if isinstance(data, bytes):
            image = getattr(pyvips.Image, loader)(data, access="sequential")
        else:
            image = ondemand.loaded(loader, data, access="sequential")
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise unreadable(error) from None
    animated = codecs.CODECS[name].animated
    block = _field(image, "exif-data", b"")
    block = block[6:] if block.startswith(jpeg.EXIF) else block
    gamut, codes, colours, more = _gamut(image), None, isobmff.Colours(), False
    if name == "avif":
        more = _field(image, "n-pages", 1) > 1 or isobmff.has_sequence(data)
        colours = isobmff.colours(data)
        if not image.get_typeof("icc-profile-data"):  # which goes above them (ISO 23000-22, 7.3.6)
            gamut, codes = cicp.meaning(*colours.codes)
    return Header(
        format=name,
        width=image.width,
        height=image.height,
        pages=_field(image, "n-pages", 1) if animated else 1,
        # libheif turns the picture itself (ISO 23008-12, irot and imir); its tag must not again
        orientation=1 if name == "avif" else _field(image, "orientation", 1),
        bands=image.bands,
        depth=DEPTHS.get(image.format, 32),
        alpha=bool(image.hasalpha()),
        samples=image.bands,
        more=more,
        lossless=name == "webp" and webp.is_lossless(data),
        coded=isobmff.largest(data) if name == "avif" else 0,
        gamut=gamut,
        tagged=_tagged(image),
        codes=codes,
        hdr=cicp.is_hdr(codes),
        limited=colours.limited,
        exif=block,
    )


MOST = 4 << 20  # bytes of a header that is read by itself
MEBI = 20  # bits
# formats whose header is spread over the file -> returns the parts of it that are needed
OUTLINES: dict[str, Callable[[File], Outline | None]] = {
    "webp": webp.outline,
    "avif": isobmff.outline,
    "heic": isobmff.outline,
}
DEPTHS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16}


def _field(image: Image, name: str, default: T) -> T:
    value: T = image.get(name) if image.get_typeof(name) else default
    return value


def _gamut(image: Image) -> Gamut:
    """Return the gamut of an image by its profile."""
    coloured = image.interpretation in ("srgb", "rgb16", "scrgb")
    return icc.gamut(_field(image, "icc-profile-data", b"")) if coloured else SRGB


def _tagged(image: Image) -> bool:
    coloured = image.interpretation in ("srgb", "rgb16", "scrgb")
    return coloured and icc.is_other(_field(image, "icc-profile-data", b""))


# that others could not go on is no reason (the first words are pyvips' own), nor is what a decoder
# has only tried or passed over
FOLLOWS = re.compile(
    r"^unable to |: unable to write|: load error$|: bad seek to|Unknown pseudo-tag"
)
# how decoders say that a file may be whole, but is of a kind that they were built without. libheif
# says "Invalid input" of a fault, also where it goes on to speak of something "unsupported"
UNKNOWN_KIND = re.compile(
    r"unsupported|not supported|not configured|not implemented|not been built in", re.IGNORECASE
)
FAULT = re.compile(r"Invalid input")


def unreadable(error: Exception) -> OssError:
    """Return OSS's error for a decoder's failure, with the decoder's first message as a hint.

    libvips collects messages, and each further one is a consequence of those before. They may
    contain bytes of the file, which pyvips may fail to read as UTF-8.

    Returns:
        BadRequest if the file is of a kind that is not supported; else ImageDamage.
    """
    words = "" if isinstance(error, UnicodeDecodeError) else str(error)
    lines = words.replace("load_source", "load_buffer").strip().splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    cause = next((line for line in lines if not FOLLOWS.search(line)), "".join(lines[:1]))
    hint = "".join(sign for sign in cause[:200] if sign.isprintable())
    if UNKNOWN_KIND.search(cause) and not FAULT.search(cause):
        return BadRequest(f"The picture is of a kind that is not supported. {hint}")
    return ImageDamage(f"The image file may be damaged. {hint}".rstrip())
