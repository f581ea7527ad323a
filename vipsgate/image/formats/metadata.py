"""Reads copyright and author of a picture, and writes them into its derivatives.

A derivative has no metadata, unless ``strip`` keeps copyright and author. Then these two are parsed
from EXIF, XMP and IPTC, and a new EXIF block and a new XMP packet are written with nothing else. No
block of a source is ever copied, so nothing else (a position, a maker's note, C2PA) can get into a
derivative. libvips writes both from fields of the image, after all fields of the loader were
removed. What it cannot write, XMP in PNG and GIF and tags of a TIFF, is inserted by the format's
module afterwards. The alternative, to insert everything into the files here, would need a writer of
boxes for AVIF and HEIC, which libheif has.

Each value is written where it was found. One that is missing in EXIF or XMP is taken from the
other, or from IPTC. IPTC itself is not written, because its readers also read XMP (IPTC Photo
Metadata Standard, mapping).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..notes import Notes, note
from . import exif, gif, icc, iptc, jpeg, ondemand, png, xmp
from .codecs import CODECS
from .ondemand import Data, File
from .tiff_directory import Directory
from .xmp import Unreadable

if TYPE_CHECKING:
    from pyvips import Image

    from ..plan import Plan
    from .probe import Source

# the fields of an image that :func:`bare` keeps: those of an animation, and libvips' own
FRAMES = ("delay", "loop", "page-height", "n-pages")
OWN = "vips-"
EXIF_DATA, XMP_DATA, PROFILE_DATA = "exif-data", "xmp-data", "icc-profile-data"
SOURCE_PROFILE = "vips-source-profile"  # the loader's profile, kept while colours are converted

XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # in a JPEG's APP1
APP13 = 0xED
ARTIST, COPYRIGHT = 0x013B, 0x8298
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 700, 33723, 34377  # tags of a TIFF
ASCII = 2  # the type of an EXIF value
MAX_NAMES = 4096  # characters of all authors
SEPARATOR = "; "  # between authors in EXIF (Exif 2.32, Artist)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The metadata of a file.

    Attributes:
        copyright: Copyright in EXIF; empty if absent, like the others.
        artist: Artist in EXIF.
        xmp: The XMP packet.
        iptc: The IIM block.
    """

    copyright: str = ""
    artist: str = ""
    xmp: bytes = b""
    iptc: bytes = b""


@dataclass(frozen=True, slots=True)
class Rights:
    """Copyright and authors of a picture, as they are written into EXIF and into XMP.

    Attributes:
        exif: Copyright and artist.
        xmp: Copyright and authors.
        unread: Why the source's XMP packet was not read; empty if it was, or there is none.
    """

    exif: tuple[str, str] = ("", "")
    xmp: tuple[str, tuple[str, ...]] = ("", ())
    unread: str = ""

    def __bool__(self) -> bool:
        return any(self.exif) or any(self.xmp)


# --- reading


def rows(source: Source) -> dict[str, str]:
    """Return the properties in XMP and IPTC, as ``image/info`` has them."""
    blocks = _blocks(source)
    properties, _ = _packet(blocks)
    return xmp.rows(properties | iptc.read(blocks.iptc))


def unread(source: Source) -> Notes:
    """Return the note ``metadata`` if there is XMP that cannot be read."""
    problem = _packet(_blocks(source))[1]
    return (note("metadata", problem),) if problem else ()


def notes(source: Source, plan: Plan) -> Notes:
    """Return a note ``metadata`` for what ``strip`` should keep, and that is lost."""
    result, codec = plan.result, CODECS[plan.result.format]
    problems = []
    if result.copyright:
        rights = read(source)
        problems += [rights.unread] if rights.unread else []
        problems += ["dropped"] if rights and not codec.rights else []
    if any(stage.action.own_profile() for stage in plan.stages):
        problems += ["dropped"] if plan.header.tagged and not codec.profile else []
    return tuple(dict.fromkeys(note("metadata", problem) for problem in problems))


def read(source: Source) -> Rights:
    """Return copyright and authors of a picture; unreadable metadata raises nothing."""
    blocks = _blocks(source)
    properties, problem = _packet(blocks)
    captions = iptc.read(blocks.iptc)
    copyright = _line(" ".join(properties.get(xmp.RIGHTS, ())))
    authors = tuple(map(_line, properties.get(xmp.CREATOR, ())))
    notice = _line(SEPARATOR.join(captions.get(iptc.COPYRIGHT, ())))
    bylines = captions.get(iptc.BYLINE, ())
    artists = tuple(filter(None, (part.strip() for part in blocks.artist.split(SEPARATOR.strip()))))
    authors, bylines = _limited(authors), _limited(bylines)
    return Rights(
        (
            blocks.copyright or copyright or notice,
            blocks.artist or SEPARATOR.join(authors or bylines),
        ),
        (copyright or notice or blocks.copyright, authors or bylines or artists),
        problem,
    )


def _limited(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first names, up to :data:`MAX_NAMES` characters: a JPEG's segment has 64 KB."""
    room, few = MAX_NAMES, []
    for name in names:
        room -= len(name)
        if room < 0:
            break
        few.append(name)
    return tuple(few)


def _packet(blocks: Blocks) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the properties of the XMP packet, and why it cannot be read; empty if it can."""
    try:
        return xmp.read(blocks.xmp), ""
    except Unreadable as error:
        return {}, str(error)


def _blocks(source: Source) -> Blocks:
    data = source.original() if source.original else ondemand.whole(source.data)
    header = source.header
    if header.format == "tiff":
        return _of_tiff(data)
    assert not isinstance(data, File)  # only TIFFs are read through a File
    tags = exif.read(header.exif) if header.exif else {}
    packet = block = b""
    if header.format in PACKETS:
        packet, block = PACKETS[header.format](data)
    return Blocks(_line(tags.get("Copyright", "")), _line(tags.get("Artist", "")), packet, block)


def _of_jpeg(data: bytes) -> tuple[bytes, bytes]:
    packet, resources = b"", []
    for marker, body in jpeg.segments(data):
        if marker == jpeg.APP1 and body.startswith(XMP_SEGMENT) and not packet:
            packet = body[len(XMP_SEGMENT) :]
        elif marker == APP13 and body.startswith(iptc.PHOTOSHOP):
            resources.append(body[len(iptc.PHOTOSHOP) :])  # each segment continues the last one
    return packet, iptc.resource(b"".join(resources))


def _of_png(data: bytes) -> tuple[bytes, bytes]:
    """Return the XMP of the first iTXt chunk with it; a PNG has no IPTC.

    The chunk has a keyword, a flag and a method of compression, a language, a translated keyword,
    and the text (PNG specification, 3rd edition, 11.3.3.4).
    """
    for name, body in png.chunks(data):
        if name != b"iTXt" or not body.startswith(png.PACKET):
            continue
        rest = body[len(png.PACKET) :]
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        if rest[:1] == b"\1":
            try:  # one byte above the limit, so that xmp.read refuses it as too large
                text = zlib.decompressobj().decompress(text, xmp.MAX_PACKET + 1)
            except zlib.error:
                text = b"<"
        return text, b""
    return b"", b""


def _of_gif(data: bytes) -> tuple[bytes, bytes]:
    return gif.packet(data), b""


def _of_vips(loader: str) -> Callable[[bytes], tuple[bytes, bytes]]:
    def read(data: bytes) -> tuple[bytes, bytes]:
        import pyvips

        image = getattr(pyvips.Image, loader)(data, access="sequential")
        return _field(image, XMP_DATA), b""

    return read


def _of_heic(data: bytes) -> tuple[bytes, bytes]:
    from . import heif

    pictures = heif.library().open_heif(data)
    return pictures[pictures.primary_index].info.get("xmp") or b"", b""


# format -> a function that returns the XMP packet and the IIM block of a file
PACKETS: dict[str, Callable[[bytes], tuple[bytes, bytes]]] = {
    "jpg": _of_jpeg,
    "png": _of_png,
    "gif": _of_gif,
    "webp": _of_vips("webpload_buffer"),
    "avif": _of_vips("heifload_buffer"),
    "heic": _of_heic,
}


def _of_tiff(data: Data) -> Blocks:
    """Return the metadata of a TIFF, whose first directory also has the tags of EXIF."""
    try:
        tags = Directory(data)
    except struct.error:
        return Blocks()
    copyright, artist = (
        _line(_decoded(tags.text(tag)[: exif.MAX_STORED])) for tag in (COPYRIGHT, ARTIST)
    )
    size = {7: 1, 4: 4}.get(tags.entries[IPTC_TAG].kind, 1) if IPTC_TAG in tags.entries else 1
    block = tags.text(IPTC_TAG, size) or iptc.resource(tags.text(PHOTOSHOP_TAG))
    return Blocks(copyright, artist, tags.text(XMP_TAG), block)


def _decoded(text: bytes) -> str:
    text = text.partition(b"\0")[0]
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _line(text: str) -> str:
    """Return a text on one line, of printable characters only; empty if it is too long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= xmp.MAX_LENGTH else ""


def _field(image: Image, name: str) -> bytes:
    return bytes(image.get(name)) if image.get_typeof(name) else b""


# --- writing


def with_source_profile(image: Image) -> Image:
    """Return the image with a copy of its RGB profile as :data:`SOURCE_PROFILE`.

    libvips leaves that field alone when colours are converted.
    """
    profile = _field(image, PROFILE_DATA)
    if profile[16:20] != b"RGB " or not icc.fits(profile, image):
        return image
    image = image.copy()
    image.set_type(_blob(), SOURCE_PROFILE, profile)
    return image


def bare(image: Image, *, profile: bool) -> Image:
    """Return the image without fields that an encoder might write.

    Args:
        image: Perhaps one from :func:`with_source_profile`.
        profile: Whether to attach the source's profile.
    """
    data = icc.cleaned(_field(image, SOURCE_PROFILE)) if profile else b""
    image = image.copy()
    for name in image.get_fields():
        if name not in FRAMES and not name.startswith(OWN):
            image.remove(name)
    image.remove(SOURCE_PROFILE)
    if data:
        image.set_type(_blob(), PROFILE_DATA, data)
    return image


def attach(image: Image, rights: Rights) -> None:
    """Set the fields of a bare image that an encoder writes as EXIF and XMP."""
    if any(rights.exif):
        image.set_type(_blob(), EXIF_DATA, jpeg.EXIF + exif_block(*rights.exif))
    if any(rights.xmp):
        image.set_type(_blob(), XMP_DATA, xmp.written(*rights.xmp))


def exif_block(copyright: str, artist: str) -> bytes:
    """Return a block with these two tags in UTF-8, as editors write them; one may be empty."""
    tags = [(ARTIST, artist), (COPYRIGHT, copyright)]
    values = [(tag, text.encode() + b"\0") for tag, text in tags if text]
    start, table, behind = 8 + 2 + 12 * len(values) + 4, b"", b""
    for tag, value in values:
        table += struct.pack("<HHI", tag, ASCII, len(value))
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack("<I", start + len(behind))
            behind += value + bytes(len(value) % 2)
    return struct.pack("<4sIH", b"II*\0", 8, len(values)) + table + bytes(4) + behind


def _blob() -> Any:
    from pyvips import GValue

    return GValue.blob_type
