"""CORS: sharing of a bucket's answers with pages of other origins (Fetch Standard, 3.2).

Rules are applied as by OSS (OSS guide, PutBucketCors, OptionObject): the first one applies that
matches origin and method, and in a preflight also all requested headers. A ``*`` stands for any
characters. Hosts, schemes and headers are case-insensitive.

If a bucket has rules, all its answers have ``Vary: Origin``, also those to requests without an
Origin. Otherwise a cache could send such an answer to a page that needs the headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..buckets import Bucket, CorsRule
from ..errors import AccessForbidden, InvalidRequest

if TYPE_CHECKING:
    from multidict import MultiMapping

ORIGIN, METHOD, HEADERS = (
    "Origin",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
)
PREFLIGHT = "OPTIONS"
# RFC 6454, 6.2: "null", or scheme and authority, also of browser extensions and apps; without
# characters that could end a line, or begin a second origin
SERIALIZED = re.compile(r"null|[a-z][a-z0-9+.-]*://[!-~]*", re.IGNORECASE | re.ASCII)
NO_ORIGINS = frozenset('/?#@,"\\<>')  # after the scheme
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
MAX_LENGTH = 1024  # characters of an origin: a host has 253
MAX_HEADERS = 100  # most headers that a preflight may request
CACHED_PATTERNS = 1024
DISABLED = "CORSResponse: CORS is not enabled for this bucket."
REFUSED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of "
    "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are "
    "not whitelisted by the resource's CORS spec."
)


def is_silent(bucket: Bucket) -> bool:
    """Return whether no answer of the bucket has CORS headers."""
    return not (bucket.cors or bucket.timing_allow_origin or bucket.cross_origin_resource_policy)


def headers(bucket: Bucket, method: str, sent: MultiMapping[str]) -> dict[str, str]:
    """Return the CORS headers of an answer of the bucket, whatever its status.

    Args:
        bucket: The bucket's document.
        method: Method of the request.
        sent: Headers of the request.
    """
    result = {}
    if bucket.timing_allow_origin:
        result["Timing-Allow-Origin"] = ", ".join(bucket.timing_allow_origin)
    if bucket.cross_origin_resource_policy:
        result["Cross-Origin-Resource-Policy"] = bucket.cross_origin_resource_policy
    if not bucket.cors:
        return result
    asked = method == PREFLIGHT
    result["Vary"] = ", ".join((ORIGIN, METHOD, HEADERS)) if asked else ORIGIN
    origin = _origin(sent)
    if origin and not asked and (rule := find(bucket.cors, origin, method)):
        result |= _shared(rule, origin)
    return result


def preflight(bucket: Bucket, sent: MultiMapping[str]) -> dict[str, str]:
    """Return the headers of the answer to a preflight request.

    Raises:
        InvalidRequest: The origin or the method is missing.
        AccessForbidden: No rule matches.
    """
    for name in (ORIGIN, METHOD):
        if name not in sent:
            raise InvalidRequest(f"Insufficient information. {name} request header needed.")
    if not bucket.cors:
        raise AccessForbidden(DISABLED)
    origin, method = _origin(sent), _only(sent, METHOD)
    wanted = _wanted(sent)
    rule = None
    if origin and wanted is not None:
        rule = find(bucket.cors, origin, method, wanted)
    if rule is None:
        raise AccessForbidden(REFUSED)
    result = _shared(rule, origin)
    result["Access-Control-Allow-Methods"] = ", ".join(rule.allowed_methods)
    if wanted:
        result["Access-Control-Allow-Headers"] = ", ".join(wanted)
    if rule.max_age_seconds is not None:
        result["Access-Control-Max-Age"] = str(rule.max_age_seconds)
    return result


def find(
    rules: Sequence[CorsRule], origin: str, method: str, wanted: Sequence[str] = ()
) -> CorsRule | None:
    """Return the first rule that matches; ``None`` if none does.

    Args:
        rules: The bucket's rules.
        origin: Origin of the page.
        method: Method of the page's request.
        wanted: Headers that a preflight requests.
    """
    for rule in rules:
        if (
            method in rule.allowed_methods
            and _fits(rule.allowed_origins, origin)
            and all(_fits(rule.allowed_headers, name) for name in wanted)
        ):
            return rule
    return None


def _shared(rule: CorsRule, origin: str) -> dict[str, str]:
    everybody = "*" in rule.allowed_origins
    result = {"Access-Control-Allow-Origin": "*" if everybody else origin}
    if rule.expose_headers:
        result["Access-Control-Expose-Headers"] = ", ".join(rule.expose_headers)
    return result


def _only(sent: MultiMapping[str], name: str) -> str:
    """Return the value of a header; empty if there is none, or several."""
    values = sent.getall(name, [])
    return values[0].strip() if len(values) == 1 else ""


def _origin(sent: MultiMapping[str]) -> str:
    """Return the origin; empty if it is malformed."""
    origin = _only(sent, ORIGIN) if ORIGIN in sent else ""
    if len(origin) > MAX_LENGTH or not SERIALIZED.fullmatch(origin):
        return ""
    return origin if NO_ORIGINS.isdisjoint(origin.partition("://")[2]) else ""


def _wanted(sent: MultiMapping[str]) -> list[str] | None:
    """Return the headers that a preflight requests; ``None`` if they are malformed."""
    text = ",".join(sent.getall(HEADERS, []))
    names = [name for name in (part.strip() for part in text.split(",")) if name]
    if len(names) > MAX_HEADERS or not all(map(TOKEN.fullmatch, names)):
        return None
    return names


def _fits(patterns: Sequence[str], text: str) -> bool:
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=CACHED_PATTERNS)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.ASCII)
