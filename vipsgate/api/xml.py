"""XML in and out: documents of calls, read without what XML can do to a reader, and answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import MalformedXML, Unimplemented
from ..gate.parameters import ONLY_VERSION, check_version_id
from ..store.base import Object
from ..web.responses import NOT_XML

# a control character, or a character by its number
CONTROL = re.compile(rb"([\x00-\x08\x0b\x0c\x0e-\x1f])|&#x0*([0-9A-Fa-f]{1,2});|&#0*([0-9]{1,2});")
OWNER = "vipsgate"  # the one account that there is
MAX_KEYS = 1000  # of one DeleteMultipleObjects (OSS guide)


def parse(data: bytes, name: str) -> Element:
    """A document whose root is ``name``, with or without a namespace.

    Raises:
        MalformedXML: It is not, or it has what a document of a call never needs (entities).
    """
    try:
        # blanks before the declaration are no XML, but some clients send them
        root: Element = fromstring(data.lstrip(b" \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # of an encoding
        raise MalformedXML(
            "The XML you provided was not well-formed or did not validate against our published "
            f"schema: {error}."
        ) from None
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    if root.tag != name:
        raise malformed(f"its root is {root.tag!r} where {name!r} is expected")
    return root


def malformed(what: str) -> MalformedXML:
    """The error for a document that is XML, but not of the call's shape."""
    return MalformedXML(
        "The XML you provided was not well-formed or did not validate against our published "
        f"schema: {what}."
    )


def text(parent: Element, name: str, default: str | None = None) -> str:
    """The text of a child, trimmed.

    Raises:
        MalformedXML: There is none, and no default.
    """
    child = parent.find(name)
    if child is None:
        if default is None:
            raise malformed(f"{parent.tag} has no {name}")
        return default
    return (child.text or "").strip()


def truth(parent: Element, name: str, default: bool | None = None) -> bool:
    """``true`` or ``false`` in a child.

    Raises:
        MalformedXML: It is neither, or there is none and no default.
    """
    value = text(parent, name, None if default is None else str(default)).lower()
    if value not in ("true", "false"):
        raise malformed(f"{name} is {value!r} where true or false is expected")
    return value == "true"


def check_children(
    element: Element, many: Collection[str] = (), once: Collection[str] = ()
) -> None:
    """Refuse children that are not understood, and those that are there twice.

    Args:
        element: Their parent.
        many: Names that may be there more than once.
        once: Names that may not.

    Raises:
        Unimplemented: It may ask for something that nothing here does.
        MalformedXML: It is there twice.
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
    """The document as bytes, with its declaration.

    A bare carriage return would be read as a line feed (XML 1.0, 2.11); ElementTree leaves it bare.
    """
    result: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return result.replace(b"\r", b"&#13;")


def iso(seconds: float) -> str:
    """``2026-01-01T00:00:00.000Z``, as listings have it; oss2 reads no other milliseconds."""
    date = datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="milliseconds")
    return date.replace("+00:00", "Z")


def owner(parent: Element) -> None:
    """Append ``<Owner>``."""
    add(SubElement(parent, "Owner"), ID=OWNER, DisplayName=OWNER)


def encoded(key: str, wanted: bool) -> str:
    """A key as a listing with ``encoding-type=url`` has it."""
    return quote(key, safe="") if wanted else key


# -- documents of single calls ---------------------------------------------------------------------


def acl(grant: str) -> bytes:
    """``<AccessControlPolicy>`` of GetBucketAcl and GetObjectACL."""
    root = Element("AccessControlPolicy")
    owner(root)
    add(SubElement(root, "AccessControlList"), Grant=grant)
    return write(root)


def copied(name: str, item: Object) -> bytes:
    """``<CopyObjectResult>``, ``<CopyPartResult>``."""
    root = add(Element(name), LastModified=iso(item.modified), ETag=item.etag)
    return write(root)


@dataclass(frozen=True, slots=True)
class Delete:
    """What DeleteMultipleObjects is to take away.

    Attributes:
        keys: In the order named.
        quiet: Do not name them in the answer.
        versioned: The places of those that were named with their version, ``null``.
    """

    keys: tuple[str, ...]
    quiet: bool = False
    versioned: frozenset[int] = frozenset()


def read_delete(data: bytes) -> Delete:
    """``<Delete>``; its keys may have control characters.

    XML 1.0 cannot have those, but clients write them nevertheless, as they are (oss2) or by number
    (the SDKs for Go and Java: ``&#x01;``). Under a mark that nobody can know before they pass the
    parser.

    Raises:
        MalformedXML: It is another document, names nothing, or too much.
        NoSuchVersion: It names another version of an object than its only one.
    """
    mark = secrets.token_hex(8)
    root = parse(CONTROL.sub(partial(_marked, mark=mark), data), "Delete")
    marked = re.compile(f"{mark}([0-9]{{2}})")
    items = list(root.iter("Object"))
    keys = tuple(
        marked.sub(lambda match: chr(int(match[1])), item.findtext("Key") or "") for item in items
    )
    versions = {place: text(item, "VersionId", "") for place, item in enumerate(items)}
    versions = {place: version for place, version in versions.items() if version}
    for version in versions.values():
        check_version_id(version)
    if not 1 <= len(keys) <= MAX_KEYS:
        raise malformed(f"it names {len(keys)} objects where 1 to {MAX_KEYS} are expected")
    if "" in keys:
        raise malformed("an Object has no Key")
    return Delete(keys, truth(root, "Quiet", default=False), frozenset(versions))


def _marked(match: re.Match[bytes], mark: str) -> bytes:
    """A control character, or its number, under a mark; what XML can have stays as it is."""
    raw, by_sixteen, by_ten = match.groups()
    code = raw[0] if raw else int(by_sixteen, 16) if by_sixteen else int(by_ten)
    return match[0] if code > 31 or code in (9, 10, 13) else f"{mark}{code:02d}".encode()


def deleted(order: Delete, *, encoding: bool) -> bytes:
    """``<DeleteResult>``."""
    root = Element("DeleteResult")
    if encoding:
        add(root, EncodingType="url")
    for place, key in enumerate(order.keys):
        entry = add(SubElement(root, "Deleted"), Key=encoded(key, encoding))
        if place in order.versioned:
            add(entry, VersionId=ONLY_VERSION)
    return write(root)


def read_parts(data: bytes) -> Sequence[tuple[int, str]]:
    """Number and ETag of each part in ``<CompleteMultipartUpload>``, in its order.

    Raises:
        MalformedXML: It is another document, or a number is none.
    """
    root = parse(data, "CompleteMultipartUpload")
    parts = []
    for part in root.iter("Part"):
        number = text(part, "PartNumber")
        if not (number.isascii() and number.isdigit() and len(number) <= 5):
            raise malformed(f"PartNumber is {number!r} where a number is expected")
        parts.append((int(number), text(part, "ETag")))
    if not parts:
        raise malformed("it names no Part")
    return parts
