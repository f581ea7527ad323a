"""Reads the XML documents of calls, without entities, and writes those of answers."""

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
OWNER = "vipsgate"  # the only account
MAX_KEYS = 1000  # keys in one DeleteMultipleObjects (OSS guide)


def parse(data: bytes, name: str) -> Element:
    """Return the root of a document, which must be ``name``, with or without a namespace.

    Raises:
        MalformedXML: It is not well-formed, has another root, or has a DTD.
    """
    try:
        # blanks before the declaration are not allowed, but some clients send them
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
    """Return the error for a well-formed document that is not valid for its call."""
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
    Java: ``&#x01;``). They are replaced by a random mark before parsing, and restored after it.

    Raises:
        MalformedXML: It is another document, or has no keys or too many.
        NoSuchVersion: It names another version than ``null``.
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
    """Return the mark for a control character or its number; other characters are kept."""
    raw, by_sixteen, by_ten = match.groups()
    code = raw[0] if raw else int(by_sixteen, 16) if by_sixteen else int(by_ten)
    return match[0] if code > 31 or code in (9, 10, 13) else f"{mark}{code:02d}".encode()


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
