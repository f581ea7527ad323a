"""Stale answers of caches: for how long a derivative may be sent after max-age (RFC 5861).

The bucket's settings are added to a max-age that the bucket or the object's writer has set; without
one it is not known when an answer is stale. A writer's own directives take precedence.
"""

from __future__ import annotations

import re

from ..buckets import Bucket

DIRECTIVE = re.compile(r'([a-z-]+)(?:="[^"]*"|=[^,]*)?', re.IGNORECASE)
FRESH = frozenset(("max-age", "s-maxage"))
FORBID = frozenset(("no-store", "no-cache", "must-revalidate", "proxy-revalidate"))


def extended(cache_control: str, bucket: Bucket) -> str:
    """Return the value of Cache-Control with the bucket's directives for stale answers."""
    if not (bucket.stale_while_revalidate or bucket.stale_if_error):
        return cache_control
    known = {name.lower() for name in DIRECTIVE.findall(cache_control)}
    if known & FORBID or not known & FRESH:
        return cache_control
    terms = {
        "stale-while-revalidate": bucket.stale_while_revalidate,
        "stale-if-error": bucket.stale_if_error,
    }
    more = [f"{name}={seconds}" for name, seconds in terms.items() if seconds and name not in known]
    return ", ".join([cache_control, *more])
