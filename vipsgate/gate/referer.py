"""Hotlink protection: decides by the Referer whether a page may show a bucket's pictures.

An entry is the beginning of a URL: ``http://www.example.com`` matches all pages there. ``*`` stands
for any characters and ``?`` for one, in every part: ``http*://*.example.com`` is http and https. In
a scheme and in a host they do not match beyond its end, because ``http://*.example.com`` would
match ``http://evil.net/x.example.com``. An entry must end where a part of the URL ends, because
``http://www.example.com`` would match ``http://www.example.com.evil.net`` (OSS guide, Hotlink
protection; OSS does not document these two bounds).

A Referer that a browser and RFC 3986 could parse differently matches no entry, and is refused if
there is any list. Hosts in other scripts are written as browsers send them, as A-labels:
``http://xn--fiqs8s.example``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from ..buckets import ANY_PAGE, RefererPolicy
from ..errors import AccessDenied

ENDS = "/?#:"  # characters that may follow an entry
IN_HOST, BEHIND = "[^/?#:]", "."  # characters that a wildcard matches
# scheme, host, what follows; a ? in front of that is a wildcard
ENTRY = re.compile(r"((?:[^/#]*://)?)([^/#]*)(.*)", re.DOTALL)
CACHED_ENTRIES = 1024
# a page's URL, and nothing that could be taken for another one's: no user's name, no blanks and
# control characters, no backslash before the query, no empty label (RFC 3986, 3.2; URL Standard,
# 4.4; RFC 9110, 10.1.3). What stands behind # is not sent by browsers, and does not count
PAGE = re.compile(
    r"(https?)://"
    r"(\[[0-9a-f:.]+\]|[a-z0-9_~-]+(?:\.[a-z0-9_~-]+)*\.?)"
    r"(?::([0-9]{0,5}))?"
    r"(/[^?#\\\x00-\x20\x7f]*)?"
    r"(\?[^#\x00-\x20\x7f]*)?"
    r"(?:#[^\x00-\x20\x7f]*)?",
    re.IGNORECASE | re.ASCII,
)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as a last label: an IPv4 address (URL Standard, 3.5)
MAX_PORT = 65535


def check(policy: RefererPolicy, referer: str) -> None:
    """Refuse a page that the policy does not allow.

    Args:
        policy: The bucket's policy.
        referer: The header; empty if there is none.

    Raises:
        AccessDenied: The page is not allowed.
    """
    if not allows(policy, referer):
        raise AccessDenied("You are denied by bucket referer policy.", rule="referer")


def allows(policy: RefererPolicy, referer: str) -> bool:
    """Return whether a Referer is allowed, in the guide's order: empty, blacklist, whitelist."""
    if not referer:
        return policy.allow_empty or not policy.whitelist
    if not (policy.whitelist or policy.blacklist):
        return True
    bare, path = policy.truncate_query or policy.truncate_path, not policy.truncate_path
    page = _page(referer, query=not bare, path=path)
    if page is None or any(
        _pattern(entry, not bare, path).match(page) for entry in policy.blacklist
    ):
        return False
    listed = any(_pattern(entry, not bare, path).match(page) for entry in policy.whitelist)
    return listed or not policy.whitelist


def counts(policy: RefererPolicy) -> bool:
    """Return whether answers depend on the Referer."""
    return policy is not ANY_PAGE and policy != ANY_PAGE


def _page(referer: str, *, query: bool, path: bool) -> str | None:
    """Return scheme and host in lower case, and the rest; ``None`` if it is no URL of a page."""
    match = PAGE.fullmatch(referer)
    if not match:
        return None
    scheme, host, port, where, target = match.groups()
    host = host.lower().removesuffix(".")
    if not _is_host(host) or (port and int(port) > MAX_PORT):
        return None
    page = f"{scheme.lower()}://{host}" + (f":{port}" if port else "")
    page += (where or "/") if path else ""
    return f"{page}{target}" if query and target else page


def _is_host(host: str) -> bool:
    """Return whether a host is an address, or a name that is not read as one, like ``0x7f.1``."""
    try:
        if host.startswith("["):
            return bool(IPv6Address(host[1:-1]))
        return bool(ip_address(host)) if NUMBER.fullmatch(host.rpartition(".")[2]) else True
    except ValueError:
        return False


@lru_cache(maxsize=CACHED_ENTRIES)
def _pattern(entry: str, query: bool, path: bool) -> re.Pattern[str]:
    match = ENTRY.fullmatch(entry)
    scheme, host, rest = match.groups() if match else ("", entry, "")
    scheme, host = scheme.lower(), host.lower().removesuffix(".")
    if not query:
        rest = rest.partition("?")[0]
    if not path:
        rest = ""
    ways = [_glob(scheme, host, rest)]
    before, star, behind = host.partition("*")
    if star and not scheme and before in ("http", "https"):  # http*.example.com
        ways.append(_glob(f"{before}*://", f"*{behind}", rest))
    return re.compile("|".join(ways), re.DOTALL)


def _glob(scheme: str, host: str, rest: str) -> str:
    """Return an entry as a regular expression for the beginning of a URL."""
    signs = [(sign, IN_HOST) for sign in (scheme or "*://") + host]  # without one, of any scheme
    signs += [(sign, BEHIND) for sign in rest]
    parts = [""]
    for sign, any_one in signs:
        if sign == "*":
            # what was found before a further star stays; else some of them would take for ever
            parts[-1] = f"(?>{parts[-1]})"
            parts.append(f"{any_one}*?")
        else:
            parts[-1] += any_one if sign == "?" else re.escape(sign)
    last, any_one = signs[-1]
    if last not in ENDS or (last == "?" and any_one == IN_HOST):
        parts[-1] += f"(?=$|[{ENDS}])"
    return "".join(parts)
