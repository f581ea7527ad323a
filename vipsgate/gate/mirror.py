"""Mirror rules: where an object that a bucket does not have is fetched, and with which headers.

OSS's back-to-origin (OSS guide, PutBucketWebsite): of the rules that fit a name the first counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from ..buckets import MirrorRule
from ..outgoing.address import below
from . import parameters, sign
from .target import PROCESS

MAX_QUERY = 2048  # characters that are sent along
MAX_HEADER = 1024  # characters of a header that is; OSS guide
OF_OSS = ("x-oss-", "response-")  # what parameters that mean something here begin with


def match(rules: Sequence[MirrorRule], key: str) -> MirrorRule | None:
    """The first rule that fits a name; ``None`` where none does."""
    fits = (rule for rule in rules if key.startswith(rule.prefix) and key.endswith(rule.suffix))
    return next(fits, None)


def url_of(rule: MirrorRule, key: str, query: Sequence[tuple[str, str]]) -> str:
    """Where an object is fetched; empty where it can be nowhere.

    Args:
        rule: That fits it.
        key: Its name.
        query: Parameters of the request.
    """
    if rule.replace_prefix is not None:
        key = rule.replace_prefix + key.removeprefix(rule.prefix)
    result = below(rule.url, key)
    sent = _query(query) if rule.pass_query and result else ""
    return f"{result}?{sent}" if sent else result


def headers(rule: MirrorRule, sent: Mapping[str, str]) -> dict[str, str]:
    """The headers that a rule has a server told.

    Args:
        rule: Whose list is an allow-list; what could say who the client is cannot be in it.
        sent: Of the request, looked up without regard to case.
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
    """Parameters that mean nothing here: neither a signature, nor what is to be done."""
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
