"""``If-*`` and ``Range``, on plain strings (RFC 9110, 13 and 14; OSS guide, GetObject).

Objects and derivatives have strong validators only, and one range is supported. Malformed headers
are ignored, as both sources require.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from ..errors import InvalidRange, PreconditionFailed

ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')
# clients write the largest number that they know for an open end, of 19 digits in Java; int() reads
# 4,300. The unit may be in any case (RFC 9110, 14.1)
RANGE = re.compile(r"bytes=([0-9]{0,999})-([0-9]{0,999})", re.IGNORECASE | re.ASCII)


def not_modified(headers: Mapping[str, str], etag: str, modified: float) -> bool:
    """Return whether the answer is 304.

    Args:
        headers: Headers of the request; names are case-insensitive.
        etag: ETag of what would be sent, with quotes.
        modified: When the object was last changed, in seconds since the epoch.

    Raises:
        PreconditionFailed: ``If-Match`` or ``If-Unmodified-Since`` does not hold.
    """
    second = int(modified)  # HTTP dates have whole seconds
    if "If-Match" in headers:
        if not _listed(_lines(headers, "If-Match"), etag, weak=False):
            raise _failed("If-Match")
    elif (since := _date(headers.get("If-Unmodified-Since"))) is not None and since < second:
        raise _failed("If-Unmodified-Since")
    if "If-None-Match" in headers:
        return _listed(_lines(headers, "If-None-Match"), etag, weak=True)
    since = _date(headers.get("If-Modified-Since"))
    return since is not None and since >= second


def part(headers: Mapping[str, str], etag: str, modified: float, size: int) -> range | None:
    """Return the requested bytes; ``None`` for all of them.

    Raises:
        InvalidRange: The range begins after the end.
    """
    target = RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if not target or target.groups() == ("", "") or not _still(headers, etag, modified):
        return None
    first, last = target.groups()
    if not first:  # a number of bytes at the end
        start, end = max(0, size - int(last)), size
        satisfiable = int(last) > 0 and size > 0
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None  # not a range at all
        satisfiable = start < size
    if not satisfiable:
        raise InvalidRange(
            "The requested range cannot be satisfied.",
            extra={"ActualObjectSize": str(size), "RangeRequested": headers["Range"]},
            headers={"Content-Range": f"bytes */{size}"},
        )
    return range(start, end)


@lru_cache(maxsize=4096)
def http_date(seconds: int) -> str:
    """Return a time as ``Thu, 01 Jan 2026 00:00:00 GMT``."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _still(headers: Mapping[str, str], etag: str, modified: float) -> bool:
    """Does ``If-Range`` name what would be sent?"""
    condition = headers.get("If-Range")
    if condition is None:
        return True
    if '"' in condition:
        return condition.strip() == etag
    return _date(condition) == int(modified)


def _lines(headers: Mapping[str, str], name: str) -> str:
    """All lines of a header, as one list (RFC 9110, 5.3)."""
    return ", ".join(value for known, value in headers.items() if known.lower() == name.lower())


def _listed(header: str, etag: str, *, weak: bool) -> bool:
    """Is ``etag`` in the list? OSS's own clients also send it without quotes."""
    if header.strip() in ("*", etag, etag.strip('"')):
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in ENTITY_TAG.findall(header))


def _date(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
        return int(date.replace(tzinfo=date.tzinfo or UTC).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _failed(condition: str) -> PreconditionFailed:
    return PreconditionFailed(
        "At least one of the pre-conditions you specified did not hold.",
        extra={"Condition": condition},
    )
