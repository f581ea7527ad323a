"""Mirror rules: URL and headers of the request that fetches a missing object.

This is OSS's back-to-origin (OSS guide, PutBucketWebsite): the first rule that matches applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from ..buckets import MirrorRule
from ..outgoing.address import below
from . import parameters, sign
from .target import PROCESS

MAX_QUERY = 2048  # most characters of a query that is passed on
MAX_HEADER = 1024  # most characters of a header that is passed on; OSS guide
OF_OSS = ("x-oss-", "response-")  # prefixes of parameters that have a meaning here


def match(rules: Sequence[MirrorRule], key: str) -> MirrorRule | None:
    """Return the first rule that matches a name; ``None`` if none does."""
    fits = (rule for rule in rules if key.startswith(rule.prefix) and key.endswith(rule.suffix))
    return next(fits, None)


def url_of(rule: MirrorRule, key: str, query: Sequence[tuple[str, str]]) -> str:
    """Return the URL of an object; empty if the name cannot be part of a URL.

    Args:
        rule: The rule that matches.
        key: The object's key.
        query: Parameters of the request.
    """
    if rule.replace_prefix is not None:
        key = rule.replace_prefix + key.removeprefix(rule.prefix)
    result = below(rule.url, key)
    sent = _query(query) if rule.pass_query and result else ""
    return f"{result}?{sent}" if sent else result


def headers(rule: MirrorRule, sent: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the request, by the rule.

    Args:
        rule: The rule, which lists headers to pass on; none that identify the client can be in it.
        sent: Headers of the client's request; names are case-insensitive.
    """
    removed = {name.lower() for name in rule.remove_headers}
    values = {name.lower(): sent[name] for name in rule.pass_headers if name in sent}
    passed = {
        name: value
        for name, value in values.items()
        if name not in removed and value.isascii() and value.isprintable()
    }
    own = {name.lower(): value for name, value in rule.set_headers.items()}
    return {name: value for name, value in passed.items() if len(value) <= MAX_HEADER} | own


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the parameters that have no meaning here, as signatures and processes have."""
    sent = [
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in pairs
        if value
        and name not in sign.NAMES
        and name != PROCESS
        and name not in parameters.SUB_RESOURCES
        and not name.lower().startswith(OF_OSS)
    ]
    text = "&".join(sent)
    return text if len(text) <= MAX_QUERY else ""


def asks_in_a_circle(sent: Mapping[str, str]) -> bool:
    """Return whether another vipsgate sent the request to fetch an object that it lacks."""
    return "vipsgate" in sent.get("Via", "").lower()
