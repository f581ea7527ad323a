"""Reads the XML documents of calls, without entities, and writes those of answers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError, SubElement, TreeBuilder, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from ..catalog.uploads import MAX_PARTS
from ..errors import MalformedXML, Unimplemented
from ..gate.parameters import ONLY_VERSION, check_version_id
from ..store.base import Object
from ..web.responses import NOT_XML

# a number of a control character that XML 1.0 does not allow, or of DEL, which escapes them here
NUMBER = re.compile(
    rb"&#(x0*(?:[0-8BbCcEeFf]|1[0-9A-Fa-f]|7[Ff])|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|127));"
)
DEL = 127
# DEL itself first, which is a part of all others
ESCAPES = {code: bytes((DEL, code ^ 64)) for code in (DEL, *range(9), 11, 12, *range(14, 32))}
OWNER = "vipsgate"  # the only account
MAX_KEYS = 1000  # keys in one DeleteMultipleObjects (OSS guide)
PIECE = 1 << 16  # bytes that are parsed at once, and the longest tag or comment
# the most that a document may have, see Parser: 1,000 rules of a lifecycle with six elements each
# need most, of those without a bound of their own
MAX_ELEMENTS = 10_000
DELETE_ELEMENTS = 4 * MAX_KEYS  # Object, Key, VersionId; so that 1,001 keys get their own error
PARTS_ELEMENTS = 4 * MAX_PARTS  # Part, PartNumber, ETag; likewise
TAG_ELEMENTS = 1000  # of ten tags, Tag, Key and Value; likewise


class Parser(DefusedXMLParser):
    """Builds the tree of a document that has no DTD, piece by piece.

    It ends where the document has more than its call needs, before it is built: each element takes
    a microsecond of the loop.

    Args:
        most: Elements, attributes, namespaces, comments, instructions and CDATA sections together.
    """

    def __init__(self, most: int) -> None:
        super().__init__(target=TreeBuilder(), forbid_dtd=True)
        self._most = self._left = most
        parser = self.parser
        self._begin: Any = parser.StartElementHandler
        parser.StartElementHandler = self._start_element
        parser.StartNamespaceDeclHandler = self._count
        parser.CommentHandler = parser.ProcessingInstructionHandler = self._count
        parser.StartCdataSectionHandler = self._count

    def read(self, data: bytes) -> Element:
        """Return the root of a document.

        Raises:
            MalformedXML: It has too much, or a tag or comment of more than :data:`PIECE` bytes.
            ParseError, DefusedXmlException: It is not well-formed, or has a DTD.
        """
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self.feed(piece)
            if start + len(piece) - self.parser.CurrentByteIndex > PIECE:  # it is not complete yet
                raise malformed(f"it has a tag or comment of more than {PIECE} bytes")
        root: Element = self.close()
        return root

    def _start_element(self, tag: str, attributes: Any) -> None:
        self._count(number=1 + len(attributes) // 2)  # a list of names and values
        self._begin(tag, attributes)

    def _count(self, *_: object, number: int = 1) -> None:
        self._left -= number
        if self._left < 0:
            raise malformed(
                f"it has more than {self._most} elements, attributes and comments, which is more "
                "than this call needs"
            )


def parse(data: bytes, name: str, most: int = MAX_ELEMENTS) -> Element:
    """Return the root of a document, which must be ``name``, with or without a namespace.

    Args:
        data: The document.
        name: The name of its root.
        most: See :class:`Parser`.

    Raises:
        MalformedXML: It is not well-formed, has another root, a DTD, or more than ``most``.
    """
    try:
        # blanks before the declaration are not allowed, but some clients send them
        root = Parser(most).read(data.lstrip(b" \t\r\n"))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # of an encoding
        raise malformed(str(error)) from None
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    if root.tag != name:
        raise malformed(f"its root is {root.tag!r} where {name!r} is expected")
    return root


def malformed(what: str) -> MalformedXML:
    """Return the error for a document that is not well-formed, or not valid for its call."""
    return MalformedXML(
        "The XML you provided was not well-formed or did not validate against our published "
        f"schema: {what}."
    )


def text(parent: Element, name: str, default: str | None = None) -> str:
    """Return the text of a child, without surrounding blanks.

    Raises:
        MalformedXML: There is no such child, and no default.
    """
    child = parent.find(name)
    if child is None:
        if default is None:
            raise malformed(f"{parent.tag} has no {name}")
        return default
    return (child.text or "").strip()


def truth(parent: Element, name: str, default: bool | None = None) -> bool:
    """Return the boolean in a child.

    Raises:
        MalformedXML: It is not ``true`` or ``false``, or there is no such child and no default.
    """
    value = text(parent, name, None if default is None else str(default)).lower()
    if value not in ("true", "false"):
        raise malformed(f"{name} is {value!r} where true or false is expected")
    return value == "true"


def check_children(
    element: Element, many: Collection[str] = (), once: Collection[str] = ()
) -> None:
    """Refuse unsupported and repeated child elements.

    Args:
        element: The parent.
        many: Names of children that may be repeated.
        once: Names of children that may not.

    Raises:
        Unimplemented: A child is not supported.
        MalformedXML: A child is repeated.
    """
    tags = [child.tag for child in element]
    for tag in tags:
        if tag not in many and tag not in once:
            raise Unimplemented(f"The element: {tag} of {element.tag} is not implemented.")
    for tag in sorted(once):
        if tags.count(tag) > 1:
            raise malformed(f"{element.tag} has {tags.count(tag)} of {tag}")


def add(parent: Element, **children: str | int) -> Element:
    """Append children with text, in this order; characters that XML cannot have are replaced."""
    for name, value in children.items():
        SubElement(parent, name).text = NOT_XML.sub("\ufffd", str(value))
    return parent


def write(root: Element) -> bytes:
    """Return a document as bytes, with its declaration.

    Carriage returns are escaped, which ElementTree does not do: they would be read as line feeds
    (XML 1.0, 2.11).
    """
    result: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return result.replace(b"\r", b"&#13;")


def iso(seconds: float) -> str:
    """Return a time as ``2026-01-01T00:00:00.000Z``; oss2 accepts no milliseconds but ``000``."""
    date = datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="milliseconds")
    return date.replace("+00:00", "Z")


def owner(parent: Element) -> None:
    """Append ``<Owner>``."""
    add(SubElement(parent, "Owner"), ID=OWNER, DisplayName=OWNER)


def encoded(key: str, wanted: bool) -> str:
    """Return a key, percent-encoded if ``wanted`` (``encoding-type=url``)."""
    return quote(key, safe="") if wanted else key


# -- documents of single calls ---------------------------------------------------------------------


def acl(grant: str) -> bytes:
    """Return the ``<AccessControlPolicy>`` of GetBucketAcl and GetObjectACL."""
    root = Element("AccessControlPolicy")
    owner(root)
    add(SubElement(root, "AccessControlList"), Grant=grant)
    return write(root)


def copied(name: str, item: Object) -> bytes:
    """Return a ``<CopyObjectResult>`` or ``<CopyPartResult>``."""
    root = add(Element(name), LastModified=iso(item.modified), ETag=item.etag)
    return write(root)


@dataclass(frozen=True, slots=True)
class Delete:
    """The document of DeleteMultipleObjects.

    Attributes:
        keys: The keys, in order.
        quiet: Whether the answer does not list them.
        versioned: Indices of the keys that were given with a version, ``null``.
    """

    keys: tuple[str, ...]
    quiet: bool = False
    versioned: frozenset[int] = frozenset()


def read_delete(data: bytes) -> Delete:
    """Read a ``<Delete>``, whose keys may have control characters.

    XML 1.0 does not allow them, but clients send them, raw (oss2) or by number (the SDKs for Go and
    Java: ``&#x01;``). They are escaped before parsing, by DEL, and restored after it.

    Raises:
        MalformedXML: It is another document, or has no keys or too many.
        NoSuchVersion: It names another version than ``null``.
    """
    root = parse(_escaped(data), "Delete", DELETE_ELEMENTS)
    items = list(root.iter("Object"))
    keys = tuple(_restored(item.findtext("Key") or "") for item in items)
    versions = {place: text(item, "VersionId", "") for place, item in enumerate(items)}
    versions = {place: version for place, version in versions.items() if version}
    for version in versions.values():
        check_version_id(version)
    if not 1 <= len(keys) <= MAX_KEYS:
        raise malformed(f"it names {len(keys)} objects where 1 to {MAX_KEYS} are expected")
    if "" in keys:
        raise malformed("an Object has no Key")
    return Delete(keys, truth(root, "Quiet", default=False), frozenset(versions))


def _escaped(data: bytes) -> bytes:
    """Return a document without the control characters that XML does not allow.

    Each is DEL and the letter of its caret notation, ``^A`` for 1, and DEL is ``^?``. A body can be
    made of them, so there is no work in Python for each one.
    """
    parts = NUMBER.split(data)
    signs = {number: _sign(number) for number in set(parts[1::2])}
    parts[1::2] = [signs[number] for number in parts[1::2]]
    data = b"".join(parts)
    for code, escape in ESCAPES.items():
        data = data.replace(bytes((code,)), escape)
    return data


def _sign(number: bytes) -> bytes:
    return bytes((int(number[1:], 16) if number.startswith(b"x") else int(number),))


def _restored(key: str) -> str:
    """Return a key with its control characters; see :func:`_escaped`."""
    if chr(DEL) in key:
        for code in reversed(ESCAPES):  # DEL last
            key = key.replace(ESCAPES[code].decode(), chr(code))
    return key


def deleted(order: Delete, *, encoding: bool) -> bytes:
    """Return a ``<DeleteResult>``."""
    root = Element("DeleteResult")
    if encoding:
        add(root, EncodingType="url")
    for place, key in enumerate(order.keys):
        entry = add(SubElement(root, "Deleted"), Key=encoded(key, encoding))
        if place in order.versioned:
            add(entry, VersionId=ONLY_VERSION)
    return write(root)


def read_parts(data: bytes) -> Sequence[tuple[int, str]]:
    """Return number and ETag of each part in a ``<CompleteMultipartUpload>``, in its order.

    Raises:
        MalformedXML: It is another document, or a number is malformed.
    """
    root = parse(data, "CompleteMultipartUpload", PARTS_ELEMENTS)
    parts = []
    for part in root.iter("Part"):
        number = text(part, "PartNumber")
        if not (number.isascii() and number.isdigit() and len(number) <= 5):
            raise malformed(f"PartNumber is {number!r} where a number is expected")
        parts.append((int(number), text(part, "ETag")))
    if not parts:
        raise malformed("it names no Part")
    return parts
