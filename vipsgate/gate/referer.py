"""Hotlink protection: which pages may show a bucket's pictures, by the Referer that they send.

An entry is the beginning of a URL: ``http://www.example.com`` admits all pages there. ``*`` stands
for any characters and ``?`` for one; in a host both stop at its end, or ``http://*.example.com``
would admit ``http://evil.net/x.example.com``. An entry ends where a part of the URL ends, or
``http://www.example.com`` would admit ``http://www.example.com.evil.net`` (OSS guide, Hotlink
protection; both bounds are ours).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from ..buckets import RefererPolicy
from ..errors import AccessDenied

ENDS = "/?#:"  # what may follow an entry
IN_HOST, BEHIND = "[^/?#:]", "."  # what a wildcard may stand for
ENTRY = re.compile(r"((?:[^/?#*]*://)?)([^/#]*)(.*)", re.DOTALL)  # a ? in the host is a wildcard
KEPT_ENTRIES = 1024


def check(policy: RefererPolicy, referer: str) -> None:
    """Refuse a page that the policy keeps out.

    Args:
        policy: The bucket's.
        referer: As sent; empty where there is none.

    Raises:
        AccessDenied: It is kept out.
    """
    if not allows(policy, referer):
        raise AccessDenied("You are denied by bucket referer policy.", rule="referer")


def allows(policy: RefererPolicy, referer: str) -> bool:
    """In the guide's order: an empty one, the blacklist, the whitelist; without that, all."""
    if not referer:
        return policy.allow_empty or not policy.whitelist
    bare, path = policy.truncate_query or policy.truncate_path, not policy.truncate_path
    page = _page(referer, query=not bare, path=path)
    if any(_pattern(entry, not bare, path).match(page) for entry in policy.blacklist):
        return False
    listed = any(_pattern(entry, not bare, path).match(page) for entry in policy.whitelist)
    return listed or not policy.whitelist


def _page(referer: str, *, query: bool, path: bool) -> str:
    """Scheme and host in lower case, without a user's name, and what else counts."""
    try:
        parts = urlsplit(referer)
    except ValueError:  # such as half of an IPv6 address
        return referer
    host = parts.netloc.rpartition("@")[2].lower()
    page = f"{parts.scheme.lower()}://{host}"
    page += (parts.path or "/") if path else ""
    return f"{page}?{parts.query}" if query and parts.query else page


@lru_cache(maxsize=KEPT_ENTRIES)
def _pattern(entry: str, query: bool, path: bool) -> re.Pattern[str]:
    found = ENTRY.fullmatch(entry)
    scheme, host, rest = found.groups() if found else ("", entry, "")
    scheme, host = scheme.lower(), host.lower()
    if not query:
        rest = rest.partition("?")[0]
    if not path:
        rest = ""
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
    return re.compile("".join(parts), re.DOTALL)
