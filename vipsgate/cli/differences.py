"""Compares two answers to one request, for ``vipsgate diff``; pure.

Compared are the status, the headers of :data:`HEADERS`, and the body by its type: XML and JSON
value by value, pictures by size, format and distance, and everything else by its bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import OssError, shown
from ..image.difference import Distance

# headers that two servers can have in common: neither dates, ids nor names of servers and versions
HEADERS = (
    *("content-type", "content-length", "content-encoding", "content-disposition"),
    *("content-language", "content-range", "cache-control", "expires", "content-md5"),
    *("accept-ranges", "location", "x-oss-object-type", "x-oss-storage-class"),
    *("x-oss-hash-crc64ecma", "x-oss-ec", "x-oss-tagging-count", "x-oss-next-append-position"),
)
# headers that depend on the bytes, which differ between two encoders, or two messages
OF_BYTES = frozenset(("content-length", "content-range", "content-md5"))
OF_BYTES |= {"x-oss-hash-crc64ecma"}
ELEMENTS = frozenset(("RequestId", "HostId"))  # different in each answer, or on each server
ABSENT = "(none)"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The media type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The distance up to which two pictures are taken to be equal.

    Attributes:
        dhash: Different bits of 64.
        mean: Mean CIEDE2000.
    """

    dhash: int = 4
    mean: float = 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two answers."""

    what: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences between two answers, and the distance of two pictures if it was measured."""

    differences: tuple[Difference, ...]
    distance: Distance | None = None


Measure = Callable[[bytes, bytes], Distance]
Describe = Callable[[bytes], str]


def compare(
    ours: Answer,
    theirs: Answer,
    *,
    measure: Measure,
    describe: Describe,
    tolerance: Tolerance = Tolerance(),
    ignored: frozenset[str] = frozenset(),
) -> Comparison:
    """Compare two answers to one request.

    Args:
        ours: Answer of one server.
        theirs: Answer of the other.
        measure: Returns the distance of two pictures of equal size.
        describe: Returns format and size of a picture, ``jpg 400x267``.
        tolerance: Distance up to which pictures are equal.
        ignored: Headers, in lower case, and XML elements that are not compared.
    """
    pictures = ours.kind.startswith("image/") and theirs.kind.startswith("image/")
    same_bytes = ours.body == theirs.body
    found = list(_status(ours, theirs))
    loose = not same_bytes and (pictures or _document(ours) is not None)
    skipped = ignored | (OF_BYTES if loose else frozenset())
    found += _values(_headers(ours), _headers(theirs), skipped)
    distance = None
    if not same_bytes:
        if pictures:
            more, distance = _pictures(ours, theirs, measure, describe, tolerance)
            found += more
        else:
            found += _bodies(ours, theirs, ignored)
    return Comparison(tuple(found), distance)


def _status(ours: Answer, theirs: Answer) -> Iterator[Difference]:
    if ours.status != theirs.status:
        yield Difference("status", str(ours.status), str(theirs.status))


def _headers(answer: Answer) -> dict[str, str]:
    return {name: answer.headers[name] for name in HEADERS if name in answer.headers}


def _values(
    ours: Mapping[str, str], theirs: Mapping[str, str], ignored: frozenset[str]
) -> Iterator[Difference]:
    """Yield the differences of two tables, in the order of the first, then of the second."""
    for name in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(name, ABSENT), theirs.get(name, ABSENT)
        if one != other and name not in ignored:
            yield Difference(name, shown(one), shown(other))


def _pictures(
    ours: Answer, theirs: Answer, measure: Measure, describe: Describe, tolerance: Tolerance
) -> tuple[list[Difference], Distance | None]:
    try:
        one, other = describe(ours.body), describe(theirs.body)
        if one != other:
            return [Difference("picture", one, other)], None
        distance = measure(ours.body, theirs.body)
    except (OssError, ValueError) as error:
        return [Difference("picture", f"not comparable: {shown(str(error))}", "")], None
    far = distance.dhash > tolerance.dhash or distance.mean > tolerance.mean
    limit = f"dHash to {tolerance.dhash}, CIEDE2000 to {tolerance.mean:g} on average"
    return [Difference("pixels", text(distance), limit)] if far else [], distance


def text(distance: Distance) -> str:
    """Return a distance in words."""
    return f"dHash {distance.dhash}, CIEDE2000 {distance.mean:.2f}, at most {distance.max:.1f}"


def _bodies(ours: Answer, theirs: Answer, ignored: frozenset[str]) -> Iterator[Difference]:
    one, other = _document(ours), _document(theirs)
    if one is None or other is None:
        yield Difference("body", f"{len(ours.body)} bytes", f"{len(theirs.body)} other bytes")
        return
    names = ignored | ELEMENTS
    paths = {path for path in (*one, *other) if names & {*_plain(path).split("/")}}
    yield from _values(one, other, frozenset(paths))


def _plain(path: str) -> str:
    """Return a path without its numbers: ``/a/b/c`` for ``/a/b[2]/c``."""
    return "/".join(part.partition("[")[0] for part in path.split("/"))


def _document(answer: Answer) -> dict[str, str] | None:
    """Return all values of XML or JSON by path; ``None`` if the body is neither."""
    try:
        if answer.kind.endswith("xml"):
            return dict(_elements(fromstring(answer.body, forbid_dtd=True)))
        if answer.kind.endswith("json"):
            return dict(_members(json.loads(answer.body), ""))
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        pass
    return None


def _elements(root: Element) -> Iterator[tuple[str, str]]:
    """Yield path and text of each element; paths are numbered if several have the same name."""
    yield f"/{_tag(root)}", (root.text or "").strip()
    yield from _below(root, f"/{_tag(root)}")


def _below(element: Element, path: str) -> Iterator[tuple[str, str]]:
    count, index = Counter(map(_tag, element)), Counter[str]()
    for child in element:
        tag = _tag(child)
        index[tag] += 1
        here = f"{path}/{tag}[{index[tag]}]" if count[tag] > 1 else f"{path}/{tag}"
        yield here, (child.text or "").strip()
        yield from _below(child, here)


def _tag(element: Element) -> str:
    """Return a name without its namespace, which not every server sends."""
    return str(element.tag).rpartition("}")[2]


def _members(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _members(member, f"{path}/{name}")
    elif isinstance(value, list):
        for number, member in enumerate(value, 1):
            yield from _members(member, f"{path}[{number}]")
    else:
        yield path or "/", json.dumps(value, ensure_ascii=False)
