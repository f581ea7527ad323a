"""Calls to the rules by which pages of other origins read a bucket (OSS guide, PutBucketCors)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from pydantic import ValidationError

from ..buckets import Bucket, CorsRule
from ..errors import InvalidArgument, NoSuchCORSConfiguration, shown
from . import buckets, xml
from .call import Call, argument

MAX_RULES = 20  # OSS guide, PutBucketCors
VARY, AGE = "ResponseVary", "MaxAgeSeconds"
LISTS: Mapping[str, str] = {  # element -> field of a rule
    "AllowedOrigin": "allowed_origins",
    "AllowedMethod": "allowed_methods",
    "AllowedHeader": "allowed_headers",
    "ExposeHeader": "expose_headers",
}
ELEMENTS = {field: element for element, field in LISTS.items()} | {"max_age_seconds": AGE}
MAX_DIGITS = 9  # of MaxAgeSeconds


async def get(call: Call) -> web.StreamResponse:
    """GetBucketCors."""
    if not call.grant.bucket.cors:
        raise NoSuchCORSConfiguration(
            "The CORS Configuration does not exist.", extra={"BucketName": call.target.bucket}
        )
    return call.respond(body=write(call.grant.bucket))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketCors: replace all rules."""
    rules, vary = read(await call.document())
    await _change(call, rules, vary=vary)
    return call.respond()


async def delete(call: Call) -> web.StreamResponse:
    """DeleteBucketCors; does nothing if there are no rules."""
    if call.grant.bucket.cors:
        await _change(call, (), vary=False)
    return call.respond(204)


async def _change(call: Call, rules: tuple[CorsRule, ...], *, vary: bool) -> None:
    def edit(document: Bucket) -> Bucket:
        return buckets.changed(document, cors=rules, cors_response_vary=vary)

    await buckets.change(call, edit)


def read(data: bytes) -> tuple[tuple[CorsRule, ...], bool]:
    """Return the rules and the ``ResponseVary`` of a ``<CORSConfiguration>``.

    Raises:
        MalformedXML: It is another document.
        Unimplemented: It has an unsupported element.
        InvalidArgument: A value is not valid, or there are too many rules.
    """
    root = xml.parse(data, "CORSConfiguration")
    xml.check_children(root, many=("CORSRule",), once=(VARY,))
    rules = tuple(_rule(element) for element in root.iterfind("CORSRule"))
    if not rules:
        raise xml.malformed(f"{root.tag} has no CORSRule")
    if len(rules) > MAX_RULES:
        raise InvalidArgument(f"It has {len(rules)} rules where 1 to {MAX_RULES} are expected.")
    return rules, xml.truth(root, VARY, default=False)


def write(bucket: Bucket) -> bytes:
    """Return a bucket's ``<CORSConfiguration>``."""
    root = Element("CORSConfiguration")
    for rule in bucket.cors:
        element = SubElement(root, "CORSRule")
        for name, field in LISTS.items():
            for value in getattr(rule, field):
                xml.add(element, **{name: value})
        if rule.max_age_seconds is not None:
            xml.add(element, MaxAgeSeconds=rule.max_age_seconds)
    return xml.write(xml.add(root, ResponseVary=str(bucket.cors_response_vary).lower()))


def _rule(element: Element) -> CorsRule:
    xml.check_children(element, many=tuple(LISTS), once=(AGE,))
    values: dict[str, Any] = {
        field: tuple(
            text for child in element.iterfind(name) if (text := (child.text or "").strip())
        )
        for name, field in LISTS.items()
    }
    if age := xml.text(element, AGE, ""):
        if not (age.isascii() and age.isdigit() and len(age) <= MAX_DIGITS):
            raise InvalidArgument(
                f"The value: {shown(age)!r} of element: {AGE} is invalid. "
                "It expects a number from 0 to 999999999.",
                extra=argument(AGE, age),
            )
        values["max_age_seconds"] = int(age)
    try:
        return CorsRule(**values)
    except ValidationError as error:
        raise InvalidArgument("\n".join(map(_line, error.errors()))) from None


def _line(error: Any) -> str:
    """Return the text of one of pydantic's errors, with the name of the XML element."""
    name = ELEMENTS[error["loc"][0]]
    if error["type"] == "too_short":
        return f"The element: CORSRule is invalid. It expects an {name} at least."
    return (
        f"The value: {shown(str(error['input']))!r} of element: {name} is invalid: {error['msg']}."
    )
