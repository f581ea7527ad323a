"""XMP and IPTC: what ``info,xmp_1`` says of them, and of packets that mean no good."""

import io
import json
import struct
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin
from support.examples import times
from support.planted import C2PA, FORMATS, GPS, HAS, RIGHTS, iptc, planted, xmp

from vipsgate.image.formats import iptc as iim
from vipsgate.image.formats import metadata
from vipsgate.image.formats import xmp as packets

RDF = packets.RDF
DC = "http://purl.org/dc/elements/1.1/"


def packet(properties, declared=""):
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description '
        f'xmlns:dc="{DC}" {declared}>{properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


READS = {  # properties -> what is read of them
    "<dc:format>image/jpeg</dc:format>": {"Xmp.dc.format": ("image/jpeg",)},
    "<dc:format> a \n b </dc:format>": {"Xmp.dc.format": ("a b",)},
    "<dc:title><rdf:Alt><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Alt></dc:title>": {
        "Xmp.dc.title": ("one",)
    },
    '<dc:title><rdf:Alt><rdf:li xml:lang="de">eins</rdf:li>'
    '<rdf:li xml:lang="x-default">one</rdf:li></rdf:Alt></dc:title>': {"Xmp.dc.title": ("one",)},
    "<dc:subject><rdf:Bag><rdf:li>a</rdf:li><rdf:li/><rdf:li>b</rdf:li></rdf:Bag></dc:subject>": {
        "Xmp.dc.subject": ("a", "b")
    },
    "<dc:format>first</dc:format><dc:format>second</dc:format>": {"Xmp.dc.format": ("first",)},
    "<dc:format>&lt;&amp;&#x7248;</dc:format>": {"Xmp.dc.format": ("<&版",)},
    # none of a namespace that is not known, of a structure, of what is empty or too long
    '<q:z xmlns:q="urn:q">x</q:z><z>y</z>': {},
    '<dc:source rdf:parseType="Resource"><dc:format>x</dc:format></dc:source>': {},
    "<dc:source><rdf:Description><dc:format>x</dc:format></rdf:Description></dc:source>": {},
    "<dc:format> </dc:format>": {},
    f"<dc:format>{'x' * 1025}</dc:format>": {},
}


@pytest.mark.parametrize("properties", READS, ids=lambda text: text[:50])
def test_reads(properties):
    assert packets.read(packet(properties)) == READS[properties]


def test_a_prefix_is_the_namespaces_own():
    declared = 'xmlns:a="http://ns.adobe.com/xap/1.0/" a:Label="y"'
    data = packet(f'<k:format xmlns:k="{DC}">x</k:format>', declared)
    assert packets.read(data) == {"Xmp.xmp.Label": ("y",), "Xmp.dc.format": ("x",)}


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_codings_and_what_stands_around(coding):
    text = packet("<dc:format>版</dc:format>").decode()
    data = f"<?xpacket begin='' id='x'?>{text}    <?xpacket end='w'?>".encode(coding)
    assert packets.read(data) == {"Xmp.dc.format": ("版",)}
    assert packets.read(b"") == packets.read(bytes(9)) == {}


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "a billion laughs": (
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]>'.encode()
        + packet("<dc:format>&a9;</dc:format>"),
        "unreadable",
    ),
    "an outer entity": (
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        "unreadable",
    ),
    "a document type": (b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>', "unreadable"),
    "a megabyte": (packet("<dc:format>x</dc:format>" + " " * (1 << 20)), "too-large"),
    "no end": (packet("<dc:format>x</dc:format>")[:-9], "unreadable"),
    "no XML": (b"\x89PNG", "unreadable"),
    "no Unicode": (
        packet("<dc:format>\xff</dc:format>").replace(b"\xc3\xbf", b"\xff"),
        "unreadable",
    ),
    "an odd coding": (b'<?xml version="1.0" encoding="rot13"?><x/>', "unreadable"),
    "no coding": (b'<?xml version="1.0" encoding="../../x"?><x/>', "unreadable"),
    "half of UTF-16": (b"\xff\xfe<", "unreadable"),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in HOSTILE
        for kind in ("jpg", "png", "webp", "gif", "tiff", "avif")
        if (kind, name) != ("jpg", "a megabyte")  # a segment holds less
    ],
)
def test_what_is_hostile_is_passed_over_by_name(name, kind, encoded, transformed):
    body, why = HOSTILE[name]
    data = with_packet(kind, body)
    begun = time.process_time()
    info = transformed(data, "info,xmp_1")
    assert info.notes == (f"metadata={why}",)
    assert "Xmp" not in info.data.decode()
    picture = transformed(data, "resize,w_9/strip,keep_copyright")
    assert picture.notes == (f"metadata={why}",)
    assert transformed(data, "resize,w_9").notes == ()
    assert time.process_time() - begun < 2


def with_packet(kind, body):
    """A picture with this in place of XMP."""
    if kind == "jpg":
        plain = _saved("JPEG")
        whole = metadata.XMP_SEGMENT + body
        part = struct.pack(">BBH", 0xFF, 0xE1, len(whole) + 2) + whole
        return plain[:20] + part + plain[20:]
    if kind == "gif":
        plain = _saved("GIF")
        start = 13 + 3 * (2 << (plain[10] & 7))
        trailer = bytes((1, *range(255, -1, -1), 0))
        return plain[:start] + b"\x21\xff\x0bXMP DataXMP" + body + trailer + plain[start:]
    if kind == "png":
        plain = _saved("PNG")
        chunk = b"iTXt" + b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(body)
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return plain[:33] + chunk + plain[33:]
    if kind == "tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags.tagtype[700], tags[700] = 7, body
        return _saved("TIFF", tiffinfo=tags)
    return _saved(kind.upper(), xmp=body)


def _saved(name, **options):
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (9, 90, 200)).save(file, name, **options)
    return file.getvalue()


def test_depth_is_no_stack():
    deep = b"<a>" * 80_000 + b"</a>" * 80_000
    assert len(deep) > packets.MAX_PACKET
    half = b"<a>" * 30_000 + b"</a>" * 30_000
    assert packets.read(half) == {}


@settings(max_examples=times(200), deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2000))
def test_any_bytes_are_read_or_refused(data, at):
    """Bytes alone, and a packet into which they are put."""
    whole = xmp()
    for body in (data, whole[:at] + data + whole[at + len(data) :]):
        with suppress(packets.Unreadable):
            packets.read(body)
    iim.read(data)
    iim.read(iptc()[: at % 200] + data)
    iim.resource(data)
    iim.resource(b"8BIM" + data)


@settings(max_examples=times(100), deadline=None)
@given(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=3))
def test_what_is_written_is_read_again(copyright, authors):
    copyright, *authors = (metadata._line(text) for text in (copyright, *authors))
    authors = [author for author in authors if author]
    read = packets.read(packets.written(copyright, authors))
    assert read.get(packets.RIGHTS, ()) == ((copyright,) if copyright else ())
    assert read.get(packets.CREATOR, ()) == tuple(authors)


@pytest.mark.parametrize("kind", FORMATS)
def test_info_has_xmp_and_iptc_of_every_format(kind, transformed):
    data = planted(kind)
    plain = json.loads(transformed(data, "info").data)
    rows = json.loads(transformed(data, "info,xmp_1").data)
    assert {name: rows[name] for name in plain} == plain
    more = {name: row["value"] for name, row in rows.items() if name not in plain}
    expected = {}
    if "xmp" in HAS[kind]:
        expected |= {
            "Xmp.dc.rights": RIGHTS["xmp"][0],
            "Xmp.dc.creator": f"{RIGHTS['xmp'][1]}, Second",
            "Xmp.dc.subject": "one, two",
            "Xmp.exif.GPSLatitude": GPS,
            "Xmp.photoshop.City": GPS,
            "Xmp.photoshop.Headline": "TEXTMARKHERE",
        }
    if "iptc" in HAS[kind]:
        expected |= {
            "Iptc.Application2.Copyright": RIGHTS["iptc"][0],
            "Iptc.Application2.Byline": RIGHTS["iptc"][1],
            "Iptc.Application2.Caption": "TEXTMARKHERE",
            "Iptc.Application2.City": GPS,
            "Iptc.Application2.Keywords": "red, blue",
        }
    assert more == expected
    assert C2PA not in str(rows)
    assert not any(name.startswith(("Xmp", "Iptc")) for name in plain)


def test_iptc_of_other_days(transformed):
    row = struct.pack(">BBBH", 0x1C, 2, 116, 4) + b"Zo\xeb "
    assert iim.read(row) == {"Iptc.Application2.Copyright": ("Zoë",)}
    assert iim.read(row + b"\x1c\2\x74\x80\4....") == iim.read(row)  # an extended size ends it
    assert iim.read(b"\x1c\2\x74\0") == {}
