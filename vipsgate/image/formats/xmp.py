"""XMP: reads a packet's plain properties, and writes a packet with copyright and author only.

A packet is untrusted. It is parsed with defusedxml, which refuses document types and so all
entities, and may have :data:`MAX_PACKET` bytes. Texts and lists of texts in the namespaces of
:data:`PREFIXES` are read, under exiv2's names (``Xmp.dc.creator``). JPEG's extended packets are not
read, because copyright and author are in the main one (XMP Specification, Part 1, 7; Part 3,
1.1.3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import ElementTree

MAX_PACKET = 1 << 18  # bytes; editors write 3 to 60 KB
MAX_VALUES = 512  # properties of a packet, and values of a list
MAX_LENGTH = 1024  # characters of a value; a longer one is left out
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of a packet in UTF-16
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "iptc",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "iptcExt",
    "http://ns.useplus.org/ldf/xmp/1.0/": "plus",
    "http://creativecommons.org/ns#": "cc",
}
CREATOR, RIGHTS = "Xmp.dc.creator", "Xmp.dc.rights"
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{RDF}">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "{properties}"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


class Unreadable(ValueError):
    """A packet that is not read. Its argument is the reason, a value of the note ``metadata``."""


def read(packet: bytes) -> dict[str, tuple[str, ...]]:
    """Return the values of each plain property of a packet, by exiv2's name of the property.

    Raises:
        Unreadable: ``too-large`` above :data:`MAX_PACKET` bytes; ``unreadable`` if the packet is
            not XML, or has a document type.
    """
    if len(packet) > MAX_PACKET:
        raise Unreadable("too-large")
    if not packet.startswith(UTF16_MARKS):
        packet = packet.strip(b"\0 \t\r\n")
    if not packet:
        return {}
    try:
        root = ElementTree.fromstring(packet, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):  # LookupError: an unknown encoding
        raise Unreadable("unreadable") from None
    properties: dict[str, tuple[str, ...]] = {}
    for name, values in _properties(root):
        plain = tuple(filter(None, map(_plain, values[:MAX_VALUES])))
        if plain and len(properties) < MAX_VALUES:
            properties.setdefault(name, plain)
    return properties


def written(copyright: str, authors: Sequence[str]) -> bytes:
    """Return a packet with these two properties, of which one may be empty."""
    properties = ""
    if copyright:
        item = f'<rdf:li xml:lang="x-default">{escape(copyright)}</rdf:li>'
        properties += f"<dc:rights><rdf:Alt>{item}</rdf:Alt></dc:rights>"
    if authors:
        items = "".join(f"<rdf:li>{escape(author)}</rdf:li>" for author in authors)
        properties += f"<dc:creator><rdf:Seq>{items}</rdf:Seq></dc:creator>"
    return PACKET.replace("{properties}", properties).encode()


def _properties(root: Element) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield name and texts of each property, which is an attribute or a child of a description."""
    graph = root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    for description in graph if graph is not None else ():
        if description.tag != f"{{{RDF}}}Description":
            continue
        for tag, text in description.attrib.items():
            if name := _name(tag):
                yield name, (text,)
        for element in description:
            if name := _name(element.tag):
                yield name, _texts(element)


def _name(tag: str) -> str:
    """Return exiv2's name of a property; empty if its namespace is not read."""
    space, _, name = tag.removeprefix("{").rpartition("}")
    return f"Xmp.{PREFIXES[space]}.{name}" if space in PREFIXES else ""


def _texts(element: Element) -> Sequence[str]:
    """Return the text of a property, or those of its list; of alternatives the default one."""
    if not len(element):
        return (element.text or "",)
    kind = element[0].tag.removeprefix(f"{{{RDF}}}")
    items = [item for item in element[0] if not len(item)]
    if kind == "Alt":
        default = [item for item in items if item.get(LANGUAGE) == "x-default"]
        items = (default or items)[:1]
    return [item.text or "" for item in items] if kind in ("Alt", "Seq", "Bag") else ()


def _plain(text: str) -> str:
    """Return a text on one line; empty if it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_LENGTH else ""


def rows(properties: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return properties as ``image/info`` has them: values joined by commas, as in exiv2."""
    joined = {name: ", ".join(values) for name, values in properties.items()}
    return {name: text for name, text in joined.items() if len(text) <= MAX_LENGTH}
