"""Calls to the rules by which missing objects are fetched (OSS guide, PutBucketWebsite).

Of what OSS knows as a website only rules of the type Mirror are done: no pages of a bucket, no
redirects of clients. Whatever else a document asks for is refused by its name before anything is
written; an element that only says that something is off asks for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from pydantic import ValidationError

from ..buckets import MirrorRule
from ..errors import (
    AccessDenied,
    InvalidArgument,
    NoSuchWebsiteConfiguration,
    Unimplemented,
    shown,
)
from ..settings import unlisted
from . import buckets, xml
from .call import Call

MAX_RULES = 20  # OSS guide, PutBucketWebsite
MAX_DIGITS = 9  # of RuleNumber
CONDITIONS = ("KeyPrefixEquals", "KeySuffixEquals", "HttpErrorCodeReturnedEquals")
TEXTS: Mapping[str, str] = {  # element -> field of a rule
    "KeyPrefixEquals": "prefix",
    "KeySuffixEquals": "suffix",
    "MirrorURL": "url",
    "ReplaceKeyPrefixWith": "replace_prefix",
}
OWN = {  # of Redirect; the second of the two that say the same counts (OSS guide)
    *("RedirectType", "MirrorURL", "PassQueryString", "MirrorPassQueryString"),
    *("MirrorFollowRedirect", "MirrorCheckMd5", "MirrorHeaders", "MirrorProxyPass"),
    *("EnableReplacePrefix", "ReplaceKeyPrefixWith"),
}
# what is so here, whatever is said: the server's name is told with TLS, and a picture that has been
# fetched is processed as any other
EITHER = {"MirrorSNI", "MirrorAllowGetImageInfo", "MirrorAllowVideoSnapshot"}
OFF = {  # what is not done, and asks for nothing where it is false
    *("MirrorAllowHeadObject", "MirrorIsExpressTunnel", "MirrorPassOriginalSlashes"),
    *("MirrorSaveOssMeta", "MirrorSwitchAllErrors", "MirrorUserLastModified", "MirrorUsingRole"),
}
ELEMENTS = {field: element for element, field in TEXTS.items()} | {
    "number": "RuleNumber",
    "pass_headers": "Pass",
    "remove_headers": "Remove",
    "set_headers": "Set",
}
FOLLOWED = 5  # redirects, of the ten that OSS follows


async def get(call: Call) -> web.StreamResponse:
    """GetBucketWebsite."""
    if not call.grant.bucket.mirror:
        raise NoSuchWebsiteConfiguration(
            "The specified bucket does not have a website configuration.",
            extra={"BucketName": call.target.bucket},
        )
    return call.respond(body=write(call.grant.bucket.mirror))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketWebsite: replace all rules."""
    rules = read(await call.document())
    _check_hosts(call, rules)
    await buckets.change(call, lambda document: buckets.changed(document, mirror=rules))
    return call.respond()


async def delete(call: Call) -> web.StreamResponse:
    """DeleteBucketWebsite; does nothing if there are no rules."""
    if call.grant.bucket.mirror:
        await buckets.change(call, lambda document: buckets.changed(document, mirror=()))
    return call.respond(204)


def _check_hosts(call: Call, rules: tuple[MirrorRule, ...]) -> None:
    """Refuse rules with servers that the settings do not allow.

    Raises:
        Unimplemented: No servers are allowed.
        AccessDenied: A rule's server is not allowed.
    """
    hosts = call.services.settings.origins.hosts
    if not hosts:
        raise Unimplemented(
            "The element: MirrorURL of Redirect is not implemented. "
            "This server's setting origins.hosts is empty."
        )
    for rule in rules:
        document = call.grant.bucket.model_copy(update={"origin": "", "mirror": (rule,)})
        if unlisted(document, hosts):
            raise AccessDenied(
                f"The MirrorURL: {shown(rule.url)!r} leads to a host or port that is not allowed "
                "here."
            )


def read(data: bytes) -> tuple[MirrorRule, ...]:
    """Return the rules of a ``<WebsiteConfiguration>``, in the order of their numbers.

    Raises:
        MalformedXML: It is another document.
        Unimplemented: It has an unsupported element or value.
        InvalidArgument: A value is not valid, or there are too many rules.
    """
    root = xml.parse(data, "WebsiteConfiguration")
    xml.check_children(root, once=("IndexDocument", "ErrorDocument", "RoutingRules"))
    for name in ("IndexDocument", "ErrorDocument"):
        if any((child.text or "").strip() for child in root.iterfind(f"{name}/*")):
            raise Unimplemented(f"The element: {name} of {root.tag} is not implemented.")
    parent = root.find("RoutingRules")
    elements = [] if parent is None else list(parent)
    if parent is None or not elements:
        raise xml.malformed(f"{root.tag} has no RoutingRule")
    xml.check_children(parent, many=("RoutingRule",))
    if len(elements) > MAX_RULES:
        raise InvalidArgument(f"It has {len(elements)} rules where 1 to {MAX_RULES} are expected.")
    rules = sorted((_rule(element) for element in elements), key=lambda rule: rule.number)
    numbers = [rule.number for rule in rules]
    if len(set(numbers)) < len(numbers):
        raise InvalidArgument("The element: RuleNumber is invalid. Two rules have the same.")
    return tuple(rules)


def _rule(element: Element) -> MirrorRule:
    xml.check_children(element, once=("RuleNumber", "Condition", "Redirect"))
    condition, redirect = element.find("Condition"), element.find("Redirect")
    if condition is None or redirect is None:
        raise xml.malformed("RoutingRule has no Condition, or no Redirect")
    xml.check_children(condition, once=CONDITIONS)
    kind = xml.text(redirect, "RedirectType")
    if kind != "Mirror":
        raise Unimplemented(f"The value: {shown(kind)!r} of RedirectType is not implemented.")
    code = xml.text(condition, "HttpErrorCodeReturnedEquals")
    if code != "404":
        raise _invalid("HttpErrorCodeReturnedEquals", code, "404")
    values: dict[str, Any] = {
        TEXTS[name]: xml.text(condition, name)
        for name in CONDITIONS
        if name in TEXTS and condition.find(name) is not None
    }
    return _rule_of(values | {"number": _number(element)} | _redirect(redirect))


def _number(element: Element) -> int:
    text = xml.text(element, "RuleNumber")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and int(text)):
        raise _invalid("RuleNumber", text, "a number from 1 to 999999999")
    return int(text)


def _redirect(element: Element) -> dict[str, Any]:
    """Return the fields that ``<Redirect>`` sets."""
    for child in element:
        if child.tag in OFF and (child.text or "").strip().lower() != "false":
            raise Unimplemented(f"The element: {child.tag} of Redirect is not implemented.")
    xml.check_children(element, once=OWN | EITHER | OFF)
    for name in EITHER:
        xml.truth(element, name, default=True)
    url = xml.text(element, "MirrorURL")
    if not url.endswith("/"):
        raise _invalid("MirrorURL", url, "http://HOST/... or https://HOST/..., and a slash behind")
    query = xml.truth(element, "PassQueryString", default=False)
    follow = xml.truth(element, "MirrorFollowRedirect", default=True)
    result: dict[str, Any] = {
        "url": url,
        "pass_query": xml.truth(element, "MirrorPassQueryString", default=query),
        "redirects": FOLLOWED if follow else 0,
        "check_md5": xml.truth(element, "MirrorCheckMd5", default=False),
        "store": not xml.truth(element, "MirrorProxyPass", default=False),
    }
    if xml.truth(element, "EnableReplacePrefix", default=False):
        result["replace_prefix"] = xml.text(element, "ReplaceKeyPrefixWith", "")
    elif xml.text(element, "ReplaceKeyPrefixWith", ""):
        raise _invalid("EnableReplacePrefix", "false", "true where there is ReplaceKeyPrefixWith")
    headers = element.find("MirrorHeaders")
    return result if headers is None else result | _headers(headers)


def _headers(element: Element) -> dict[str, Any]:
    """Return the fields that ``<MirrorHeaders>`` sets."""
    xml.check_children(element, many=("Pass", "Remove", "Set"), once=("PassAll",))
    if xml.truth(element, "PassAll", default=False):
        raise Unimplemented("The element: PassAll of MirrorHeaders is not implemented.")
    pairs = []
    for item in element.iterfind("Set"):
        xml.check_children(item, once=("Key", "Value"))
        pairs.append((xml.text(item, "Key"), xml.text(item, "Value")))
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise InvalidArgument(
            "The element: Set of MirrorHeaders is invalid. Two have the same Key."
        )
    names = {
        tag: [(one.text or "").strip() for one in element.iterfind(tag)]
        for tag in ("Pass", "Remove")
    }
    return {"pass_headers": names["Pass"], "remove_headers": names["Remove"]} | {
        "set_headers": dict(pairs)
    }


def _rule_of(values: dict[str, Any]) -> MirrorRule:
    try:
        return MirrorRule.model_validate(values)
    except ValidationError as error:
        raise InvalidArgument("\n".join(map(_line, error.errors()))) from None


def _line(error: Any) -> str:
    """Return the text of one of pydantic's errors, with the name of the XML element."""
    name = ELEMENTS.get(error["loc"][0], "RoutingRule")
    return (
        f"The value: {shown(str(error['input']))!r} of element: {name} is invalid: {error['msg']}."
    )


def _invalid(name: str, value: str, expected: str) -> InvalidArgument:
    return InvalidArgument(
        f"The value: {shown(value)!r} of element: {name} is invalid. It expects {expected}."
    )


def write(rules: tuple[MirrorRule, ...]) -> bytes:
    """Return the ``<WebsiteConfiguration>`` of rules."""
    root = Element("WebsiteConfiguration")
    parent = SubElement(root, "RoutingRules")
    for number, rule in enumerate(rules, 1):
        element = xml.add(SubElement(parent, "RoutingRule"), RuleNumber=rule.number or number)
        condition = xml.add(SubElement(element, "Condition"), KeyPrefixEquals=rule.prefix)
        if rule.suffix:
            xml.add(condition, KeySuffixEquals=rule.suffix)
        xml.add(condition, HttpErrorCodeReturnedEquals=404)
        _write_redirect(SubElement(element, "Redirect"), rule)
    return xml.write(root)


def _write_redirect(element: Element, rule: MirrorRule) -> None:
    xml.add(
        element,
        RedirectType="Mirror",
        PassQueryString=_truth(rule.pass_query),
        MirrorURL=rule.url,
        MirrorPassQueryString=_truth(rule.pass_query),
        MirrorFollowRedirect=_truth(rule.redirects > 0),
        MirrorCheckMd5=_truth(rule.check_md5),
    )
    if not rule.store:
        xml.add(element, MirrorProxyPass="true")
    if rule.replace_prefix is not None:
        xml.add(element, EnableReplacePrefix="true", ReplaceKeyPrefixWith=rule.replace_prefix)
    if rule.pass_headers or rule.remove_headers or rule.set_headers:
        headers = xml.add(SubElement(element, "MirrorHeaders"), PassAll="false")
        for name in rule.pass_headers:
            xml.add(headers, Pass=name)
        for name in rule.remove_headers:
            xml.add(headers, Remove=name)
        for name, value in rule.set_headers.items():
            xml.add(SubElement(headers, "Set"), Key=name, Value=value)


def _truth(value: bool) -> str:
    return str(value).lower()
