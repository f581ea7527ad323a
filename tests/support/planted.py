"""Pictures with a marker in every place that a format has for what is no pixel.

A marker of :data:`SECRETS` must never come out of a derivative: positions, makers' notes, history,
C2PA. Those of :data:`RIGHTS` are copyright and author, as EXIF, XMP and IPTC have them.
"""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pyvips
from PIL import Image, TiffImagePlugin

GPS, C2PA, NOTE, TEXT, THUMB, HIDDEN = (
    *("GPSMARK51N", "C2PAMARKJUMB", "NOTEMARKMAKER", "TEXTMARKHERE", "THUMBMARKIFD1", "ICCMARKTAG"),
)
SECRETS = (GPS, C2PA, NOTE, TEXT, THUMB, HIDDEN)
RIGHTS = {
    "exif": ("COPYRIGHTEXIF © 版权", "ARTISTEXIF Zoë"),
    "xmp": ("COPYRIGHTXMP <&> 版权", "CREATORXMP 李"),
    "iptc": ("COPYRIGHTIPTC Ltd", "BYLINEIPTC Bob"),
}
FORMATS = ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "heic")
HAS = {  # which of these a file of a format has
    **dict.fromkeys(("jpg", "tiff"), ("exif", "xmp", "iptc")),
    **dict.fromkeys(("png", "webp", "avif", "heic"), ("exif", "xmp")),
    "gif": ("xmp",),
    "bmp": (),
}
UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # of C2PA's box (C2PA 2.1, A.5)


def box(kind, body):
    return struct.pack(">I4s", len(body) + 8, kind) + body


JUMBF = box(b"jumb", box(b"jumd", b"c2pa" + bytes(12) + b"\3c2pa\0") + C2PA.encode())


def jpeg_thumbnail():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", comment=THUMB.encode())
    return file.getvalue()


def exif():
    """A block: IFD0 with all kinds of tags, those of Exif and GPS, and a thumbnail."""
    block = Image.Exif()
    copyright, artist = RIGHTS["exif"]
    # as bytes: of a text Pillow writes ASCII alone
    block[0x8298], block[0x013B] = copyright.encode(), artist.encode()
    block[0x010E], block[0x010F], block[0x0131] = TEXT, NOTE, TEXT
    block[0x9C9C] = TEXT.encode("utf-16-le")  # XPComment
    block[0x9C9D] = (TEXT + "XP").encode("utf-16-le")
    tags = block.get_ifd(0x8769)
    tags[0x927C], tags[0x9286] = NOTE.encode() * 3, b"ASCII\0\0\0" + TEXT.encode()
    tags[0xA430], tags[0xA431] = TEXT, TEXT
    places = block.get_ifd(0x8825)
    places[1], places[2], places[3], places[4] = "N", (51.0, 30.0, 5.0), "W", (0.0, 7.0, 9.0)
    places[0x12], places[0x1B], places[0x1C] = GPS, b"ASCII\0\0\0" + GPS.encode(), GPS.encode()
    data = block.tobytes()[6:]
    # IFD1, behind all: a thumbnail
    thumb, at = jpeg_thumbnail(), len(data)
    (first,) = struct.unpack_from(">I", data, 4)
    (count,) = struct.unpack_from(">H", data, first)
    entries = struct.pack(">H", 3) + b"".join(
        struct.pack(">HHII", *row)
        for row in ((0x0103, 3, 1, 6 << 16), (0x0201, 4, 1, at + 42), (0x0202, 4, 1, len(thumb)))
    )
    data = bytearray(data)
    struct.pack_into(">I", data, first + 2 + 12 * count, at)
    return bytes(data) + entries + bytes(4) + thumb


def xmp(rights=True):
    copyright, author = (text.replace("&", "&amp;").replace("<", "&lt;") for text in RIGHTS["xmp"])
    own = (
        f'<dc:rights><rdf:Alt><rdf:li xml:lang="en">other</rdf:li>'
        f'<rdf:li xml:lang="x-default">{copyright}</rdf:li></rdf:Alt></dc:rights>'
        f"<dc:creator><rdf:Seq><rdf:li>{author}</rdf:li><rdf:li>Second</rdf:li></rdf:Seq></dc:creator>"
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
        'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" '
        f'exif:GPSLatitude="{GPS}" photoshop:City="{GPS}" dcterms:provenance="{C2PA}">'
        f"{own if rights else ''}<photoshop:Headline>{TEXT}</photoshop:Headline>"
        "<dc:subject><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag></dc:subject>"
        f'<xmpMM:History><rdf:Seq><rdf:li rdf:parseType="Resource"><stEvt:action>{TEXT}'
        "</stEvt:action></rdf:li></rdf:Seq></xmpMM:History>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>" + " " * 64 + '<?xpacket end="w"?>'
    ).encode()


def iptc():
    copyright, byline = RIGHTS["iptc"]
    rows = [(1, 90, b"\x1b%G"), (2, 120, TEXT), (2, 90, GPS), (2, 116, copyright), (2, 80, byline)]
    rows += [(2, 25, "red"), (2, 25, "blue")]
    data = b""
    for record, number, value in rows:
        value = value if isinstance(value, bytes) else value.encode()
        data += struct.pack(">BBBH", 0x1C, record, number, len(value)) + value
    return data


def resources():
    """Photoshop's, with IPTC among them."""
    out = b""
    for number, body in ((0x03ED, bytes(16)), (0x0404, iptc()), (0x0425, TEXT.encode())):
        out += b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)
    return out


def profile():
    """One of Display P3's colours that has another name, with a private tag."""
    plain = bytearray(pyvips.Image.profile_load("p3"))
    (count,) = struct.unpack_from(">I", plain, 128)
    rows = [struct.unpack_from(">4sII", plain, 132 + 12 * row) for row in range(count)]
    tags = {name: bytes(plain[at : at + size]) for name, at, size in rows}
    text = "Wide RGB of a test".encode("utf-16-be")
    tags[b"desc"] = (
        struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(text), 28) + text
    )
    tags[b"JUNK"] = b"text\0\0\0\0" + HIDDEN.encode() + b"\0"
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        tag += bytes(-len(tag) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag
    head = bytearray(plain[:128])
    head[0:4] = struct.pack(">I", start + len(body))
    head[48:56] = b"ICCMARKT"  # maker and model of a device
    return bytes(head) + struct.pack(">I", len(tags)) + table + body


def pixels(width=24, height=16):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack((x * 10, y * 15, 255 - x * 9), axis=-1).astype(np.uint8)


def planted(name, frames=1, rights=True):
    """A file of a format with all of it.

    Args:
        name: Of the format, one of :data:`FORMATS`.
        frames: Of an animation.
        rights: Whether copyright and author are among it.
    """
    stills = [Image.fromarray(np.roll(pixels(), n, axis=1)) for n in range(frames)]
    more = {"save_all": True, "append_images": stills[1:], "duration": 50} if frames > 1 else {}
    return globals()[f"_{name}"](stills[0], more, exif() if rights else b"", xmp(rights))


def _saved(image, name, **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def _segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _jpg(image, more, block, packet):
    plain = _saved(image, "JPEG", quality=95, subsampling=0, icc_profile=profile())
    extended = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 40, 0)
    mpf = b"MPF\0II*\0\x08\0\0\0" + TEXT.encode()
    parts = [
        *([_segment(0xE1, b"Exif\0\0" + block)] if block else []),
        _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet),
        _segment(0xE1, extended + GPS.encode()),
        _segment(0xE2, mpf),
        _segment(0xEB, b"JP" + struct.pack(">HI", 1, 1) + JUMBF),
        _segment(0xEC, b"Ducky" + TEXT.encode()),
        *([_segment(0xED, b"Photoshop 3.0\0" + resources())] if block else []),
        _segment(0xEF, TEXT.encode()),
        _segment(0xFE, TEXT.encode()),
    ]
    return plain[:20] + b"".join(parts) + plain[20:] + C2PA.encode() + jpeg_thumbnail()


def _chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(image, more, block, packet):
    plain = _saved(image, "PNG", icc_profile=profile())
    text = TEXT.encode()
    chunks = [
        *([_chunk(b"eXIf", block)] if block else []),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)),
        _chunk(b"iTXt", b"Comment\0\0\0\0\0" + text),
        *(_chunk(b"tEXt", key + b"\0" + text) for key in (b"Comment", b"Author", b"Copyright")),
        _chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)),
        _chunk(b"caBX", JUMBF),
        _chunk(b"prVt", GPS.encode()),
    ]
    return plain[:33] + b"".join(chunks) + plain[33:] + C2PA.encode()


def _riff(name, body):
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _webp(image, more, block, packet):
    options = {"exif": block} if block else {}
    plain = _saved(
        image, "WEBP", lossless=True, icc_profile=profile(), xmp=packet, **options, **more
    )
    data = plain[8:] + _riff(b"C2PA", JUMBF) + _riff(b"TEXT", TEXT.encode())
    return b"RIFF" + struct.pack("<I", len(data)) + data


def _gif(image, more, block, packet):
    plain = _saved(image, "GIF", **more)
    start = 13 + 3 * (2 << (plain[10] & 7))
    trailer = bytes((1, *range(255, -1, -1), 0))
    c2pa = b"\x21\xff\x0bC2PA_GIF\1\0\0" + bytes((len(JUMBF),)) + JUMBF + b"\0"
    text = bytes((len(TEXT),)) + TEXT.encode() + b"\0"
    place = bytes((len(GPS),)) + GPS.encode() + b"\0"
    more_blocks = b"\x21\xfe" + text + b"\x21\xff\x0bOTHERAPP1.0" + place + c2pa
    application = b"\x21\xff\x0bXMP DataXMP" + packet + trailer
    return plain[:start] + more_blocks + application + plain[start:] + C2PA.encode()


def _tiff(image, more, block, packet):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if block:
        copyright, artist = RIGHTS["exif"]
        tags[33432], tags[315] = copyright.encode(), artist.encode()
        tags[33723] = iptc()
    tags[270], tags[271], tags[305], tags[700] = TEXT, NOTE, TEXT, packet
    tags.tagtype[33723] = tags.tagtype[700] = tags.tagtype[52545] = tags.tagtype[65000] = 7
    tags[52545], tags[65000] = JUMBF, GPS.encode()
    tags[34853] = {0x12: GPS, 0x1B: GPS.encode()}
    tags[34665] = {0x927C: NOTE.encode(), 0x9286: TEXT.encode()}
    return _saved(image, "TIFF", tiffinfo=tags, icc_profile=profile()) + C2PA.encode()


def _bmp(image, more, block, packet):
    return _saved(image, "BMP") + C2PA.encode() + GPS.encode() + JUMBF + block + packet


def _avif(image, more, block, packet):
    options = {"exif": block} if block else {}
    plain = _saved(
        image, "AVIF", quality=95, subsampling="4:4:4", xmp=packet, icc_profile=profile(), **options
    )
    return plain + box(b"uuid", UUID + JUMBF) + box(b"free", TEXT.encode())


def _heic(image, more, block, packet):
    file = io.BytesIO()
    options = {"exif": b"Exif\0\0" + block} if block else {}
    pillow_heif.encode(
        *("RGB", image.size, image.tobytes(), file),
        quality=95,
        chroma=444,
        xmp=packet,
        icc_profile=profile(),
        **options,
    )
    return file.getvalue() + box(b"uuid", UUID + JUMBF) + box(b"free", TEXT.encode())
