"""Metadata of pictures: parsed into single values, and written anew from these.

A derivative has no metadata, unless ``strip`` keeps copyright and author. Then these two are parsed
from EXIF, XMP and IPTC, and a new EXIF block and a new XMP packet are written with nothing else. No
block of a source is ever copied, so nothing else (a position, a maker's note, C2PA) can pass.
libvips writes both from fields of the image, after all fields of the loader were removed. What it
cannot write, XMP in PNG and GIF and tags of a TIFF, is inserted by the format's module afterwards.
The alternative, to insert everything into the files here, would need a writer of boxes for AVIF and
HEIC, which libheif has.

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

# fields of an image that say no more than how its frames follow each other, or are libvips' own
FRAMES = ("delay", "loop", "page-height", "n-pages")
OWN = "vips-"
EXIF_DATA, XMP_DATA, PROFILE_DATA = "exif-data", "xmp-data", "icc-profile-data"
SOURCE_PROFILE = "vips-source-profile"  # as the loader has it, before colours are converted

XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"  # in a JPEG's APP1
APP13 = 0xED
ARTIST, COPYRIGHT = 0x013B, 0x8298
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 700, 33723, 34377  # of a TIFF
ASCII = 2  # the type of an EXIF value
MAX_NAMES = 4096  # characters of all authors
BETWEEN = "; "  # authors in EXIF (Exif 2.32, Artist)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The parts of a file that say something of its picture, as they stand there.

    Attributes:
        copyright: Of EXIF.
        artist: Of EXIF.
        xmp: A packet.
        iptc: An IIM block.
    """

    copyright: str = ""
    artist: str = ""
    xmp: bytes = b""
    iptc: bytes = b""


@dataclass(frozen=True, slots=True)
class Rights:
    """Who has made a picture, and whose it is, as EXIF and as XMP have it.

    Attributes:
        exif: Copyright and artist.
        xmp: Copyright and authors.
        unread: Why a packet was not read; empty where it was, or there is none.
    """

    exif: tuple[str, str] = ("", "")
    xmp: tuple[str, tuple[str, ...]] = ("", ())
    unread: str = ""

    def __bool__(self) -> bool:
        return any(self.exif) or any(self.xmp)


# --- reading


def rows(source: Source) -> dict[str, str]:
    """XMP and IPTC as ``image/info`` has them."""
    blocks = _blocks(source)
    properties, _ = _packet(blocks)
    return xmp.rows(properties | iptc.read(blocks.iptc))


def unread(source: Source) -> Notes:
    """Whether there is XMP that cannot be read."""
    problem = _packet(_blocks(source))[1]
    return (note("metadata", problem),) if problem else ()


def notes(source: Source, plan: Plan) -> Notes:
    """What ``strip`` says to keep, and is not."""
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
    """Copyright and author of a picture; nothing raises but the reader of its file."""
    blocks = _blocks(source)
    properties, problem = _packet(blocks)
    captions = iptc.read(blocks.iptc)
    copyright = _line(" ".join(properties.get(xmp.RIGHTS, ())))
    authors = tuple(map(_line, properties.get(xmp.CREATOR, ())))
    notice = _line(BETWEEN.join(captions.get(iptc.COPYRIGHT, ())))
    bylines = captions.get(iptc.BYLINE, ())
    artists = tuple(filter(None, (part.strip() for part in blocks.artist.split(BETWEEN.strip()))))
    authors, bylines = _few(authors), _few(bylines)
    return Rights(
        (
            blocks.copyright or copyright or notice,
            blocks.artist or BETWEEN.join(authors or bylines),
        ),
        (copyright or notice or blocks.copyright, authors or bylines or artists),
        problem,
    )


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many of them as have room in any format: a JPEG's segment has 64 KB."""
    room, few = MAX_NAMES, []
    for name in names:
        room -= len(name)
        if room < 0:
            break
        few.append(name)
    return tuple(few)


def _packet(blocks: Blocks) -> tuple[dict[str, tuple[str, ...]], str]:
    """The properties of the XMP, and why there are none if it cannot be read."""
    try:
        return xmp.read(blocks.xmp), ""
    except Unreadable as error:
        return {}, str(error)


def _blocks(source: Source) -> Blocks:
    data = source.original() if source.original else ondemand.whole(source.data)
    header = source.header
    if header.format == "tiff":
        return _of_tiff(data)
    assert not isinstance(data, File)  # of which no other format's reader knows
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
            resources.append(body[len(iptc.PHOTOSHOP) :])  # of which each goes on with the last
    return packet, iptc.resource(b"".join(resources))


def _of_png(data: bytes) -> tuple[bytes, bytes]:
    """An iTXt is a keyword, whether and how it is compressed, a language, the keyword in it."""
    for name, body in png.chunks(data):
        if name != b"iTXt" or not body.startswith(png.PACKET):
            continue
        rest = body[len(png.PACKET) :]
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        if rest[:1] == b"\1":
            try:  # one byte more than is read, so that it is known for too large
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


# a file's XMP and IPTC
PACKETS: dict[str, Callable[[bytes], tuple[bytes, bytes]]] = {
    "jpg": _of_jpeg,
    "png": _of_png,
    "gif": _of_gif,
    "webp": _of_vips("webpload_buffer"),
    "avif": _of_vips("heifload_buffer"),
    "heic": _of_heic,
}


def _of_tiff(data: Data) -> Blocks:
    """Its own directory is that of EXIF, too."""
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
    """On one line, without what is no character of XML; empty for one that is too long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= xmp.MAX_LENGTH else ""


def _field(image: Image, name: str) -> bytes:
    return bytes(image.get(name)) if image.get_typeof(name) else b""


# --- writing


def with_source_profile(image: Image) -> Image:
    """With the profile of the file under a name under which it stays."""
    if not (profile := _field(image, PROFILE_DATA)):
        return image
    image = image.copy()
    image.set_type(_blob(), SOURCE_PROFILE, profile)
    return image


def bare(image: Image, *, profile: bool) -> Image:
    """With no field that an encoder might write, but for the source's profile where wanted."""
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
    """Give a bare image the fields of which an encoder makes EXIF and XMP."""
    if any(rights.exif):
        image.set_type(_blob(), EXIF_DATA, jpeg.EXIF + exif_block(*rights.exif))
    if any(rights.xmp):
        image.set_type(_blob(), XMP_DATA, xmp.written(*rights.xmp))


def exif_block(copyright: str, artist: str) -> bytes:
    """A block with these two tags, of which one may be empty; in UTF-8, as editors write them."""
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
