"""Calls to the lifecycle of a bucket, as far as abandoned uploads go (OSS guide, Lifecycle).

All other elements of rules (expiration, storage classes, conditions on age, size or tags) are
refused by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import permutations
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from pydantic import ValidationError

from ..buckets import LifecycleRule
from ..errors import InvalidArgument, NoSuchLifecycle, Unimplemented, shown
from ..gate.headers import ALLOW_OVERLAP
from . import buckets, xml
from .call import Call

ACTION = "AbortMultipartUpload"
CHILDREN = {  # of each element, those that are understood
    "LifecycleConfiguration": ("Rule",),
    "Rule": ("ID", "Prefix", "Status", ACTION),
    ACTION: ("Days", "CreatedBeforeDate"),
}
ELEMENTS = {"id": "ID", "prefix": "Prefix", "abort_before": "CreatedBeforeDate"}
ELEMENTS |= {"abort_days": "Days"}
STATUS = {"Enabled": True, "Disabled": False}
MAX_DAYS = 5  # digits


async def get(call: Call) -> web.StreamResponse:
    """GetBucketLifecycle."""
    rules = call.grant.bucket.lifecycle
    if not rules:
        raise NoSuchLifecycle(
            "No Row found in Lifecycle Table.", extra={"BucketName": call.target.bucket}
        )
    return call.respond(body=write(rules))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketLifecycle: replace all rules."""
    rules = read(await call.document())
    if call.header(ALLOW_OVERLAP).lower() != "true":
        check_overlap(rules)
    await buckets.change(call, lambda document: buckets.changed(document, lifecycle=rules))
    return call.respond()


async def delete(call: Call) -> web.StreamResponse:
    """DeleteBucketLifecycle; does nothing if there are no rules."""
    if call.grant.bucket.lifecycle:
        await buckets.change(call, lambda document: buckets.changed(document, lifecycle=()))
    return call.respond(204)


def read(data: bytes) -> tuple[LifecycleRule, ...]:
    """Return the rules of a ``<LifecycleConfiguration>``; a rule without an id gets one.

    Raises:
        MalformedXML: It is another document, or a value is malformed.
        Unimplemented: A rule has an element that is not about aborting uploads.
        InvalidArgument: A name is too long, or a date is not at midnight.
    """
    root = xml.parse(data, "LifecycleConfiguration")
    _check_children(root)
    rules = tuple(_rule(element) for element in root)
    if not rules:
        raise xml.malformed(f"{root.tag} has no Rule")
    return rules


def write(rules: Sequence[LifecycleRule]) -> bytes:
    """Return the ``<LifecycleConfiguration>`` of rules."""
    root = Element("LifecycleConfiguration")
    for number, rule in enumerate(rules, 1):
        element = xml.add(
            SubElement(root, "Rule"),
            ID=rule.id or f"rule-{number}",
            Prefix=rule.prefix,
            Status="Enabled" if rule.enabled else "Disabled",
        )
        action = SubElement(element, ACTION)
        if rule.abort_days:
            xml.add(action, Days=rule.abort_days)
        else:
            xml.add(action, CreatedBeforeDate=rule.abort_before)
    return xml.write(root)


def check_overlap(rules: Sequence[LifecycleRule]) -> None:
    """Refuse rules with overlapping prefixes, unless ``x-oss-allow-same-action-overlap`` is set.

    Raises:
        InvalidArgument: Two rules overlap.
    """
    for one, other in permutations(rules, 2):
        if one.prefix.startswith(other.prefix):
            raise InvalidArgument(
                f"Overlap for same action type {ACTION}: the prefixes {other.prefix!r} and "
                f"{one.prefix!r} of the rules {other.id} and {one.id}."
            )


def _rule(element: Element) -> LifecycleRule:
    _check_children(element)
    status = xml.text(element, "Status")
    if status not in STATUS:
        raise xml.malformed(f"Status is {status!r} where Enabled or Disabled is expected")
    action = element.find(ACTION)
    if action is None:
        raise xml.malformed(f"Rule has no {ACTION}")
    _check_children(action)
    if len(action) != 1:
        raise xml.malformed(f"{ACTION} has {len(action)} elements where one is expected")
    days, before = xml.text(action, "Days", ""), xml.text(action, "CreatedBeforeDate", "")
    if action[0].tag == "Days" and not _is_number(days):
        raise xml.malformed(f"Days is {days!r} where a number from 1 is expected")
    try:
        return LifecycleRule(
            id=xml.text(element, "ID", "") or secrets.token_hex(16),
            prefix=element.findtext("Prefix") or "",
            enabled=STATUS[status],
            abort_days=int(days or 0),
            abort_before=before,
        )
    except ValidationError as error:
        raise InvalidArgument("\n".join(map(_line, error.errors()))) from None


def _line(error: Any) -> str:
    """Return the text of one of pydantic's errors, with the name of the XML element."""
    if not error["loc"]:  # of neither time, as the element is empty
        return f"The element: {ACTION} is invalid. It expects Days or CreatedBeforeDate."
    name, value = ELEMENTS[error["loc"][0]], shown(str(error["input"]))
    return f"The value: {value!r} of element: {name} is invalid: {error['msg']}."


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DAYS and int(text) > 0


def _check_children(element: Element) -> None:
    """Refuse unsupported and repeated child elements.

    Raises:
        Unimplemented: An element is not supported.
        MalformedXML: An element is repeated.
    """
    known = CHILDREN[element.tag]
    tags = [child.tag for child in element]
    for tag in tags:
        if tag not in known:
            raise Unimplemented(f"The element: {tag} of {element.tag} is not implemented.")
        if tag != "Rule" and tags.count(tag) > 1:
            raise xml.malformed(f"{element.tag} has {tags.count(tag)} of {tag}")
