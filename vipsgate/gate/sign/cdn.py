"""Verifies and creates URLs signed as for Alibaba Cloud CDN, types A, B and C.

::

    A    /KEY?auth_key=TIME-RAND-UID-MD5       MD5 of  /KEY-TIME-RAND-UID-SECRET
    B    /YYYYMMDDHHMM/MD5/KEY   (UTC+8)       MD5 of  SECRET YYYYMMDDHHMM /KEY
    C    /MD5/HEXTIME/KEY                      MD5 of  SECRET /KEY HEXTIME
         /KEY?KEY1=MD5&KEY2=HEXTIME

(Alibaba Cloud CDN guide, URL signing). A URL is valid until ``valid_seconds`` after its time. If a
bucket has a type, every URL of its form is taken for signed, and a wrong signature is 403.

The path of the object in its bucket is signed, without the bucket, in whatever way the bucket is
addressed: otherwise ``/photos/cat.jpg`` could be the object ``cat.jpg``, and on the bucket's own
domain ``photos/cat.jpg``. The path may be encoded as it was sent, or as by :func:`quote`; both mean
the same key. In path style the signature of B and C follows the bucket.

These signatures are weaker than OSS's, and grant less (:class:`vipsgate.gate.access.Grant`):

* No type signs the query, so anybody with a URL can add any process text. So a URL gives access to
  the object that it names and to nothing else: no protected source, no object of a watermark, no
  header of the answer, no other call.
* The MD5 of a secret and a text can be extended by others, with bytes that are not ASCII; so a path
  with such bytes is refused. The time of C has 8 digits, or a path could end like a time.
* The text of A begins with the path: who may choose names of objects may find two with one MD5.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from hashlib import md5
from math import ceil
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from ...errors import AccessDenied
from .claim import check_end

if TYPE_CHECKING:  # an application that makes URLs needs no pydantic
    from ...buckets import CdnSigning
    from ..target import Target

Type = Literal["A", "B", "C"]
TYPES: tuple[Type, ...] = ("A", "B", "C")
# names in a query, by type; each is a part of a signature there and nothing else
AUTH_KEY, HASH, TIME = "auth_key", "KEY1", "KEY2"
NAMES: Mapping[str, frozenset[str]] = {
    "": frozenset(),
    "A": frozenset((AUTH_KEY,)),
    "B": frozenset(),
    "C": frozenset((HASH, TIME)),
}
BEIJING = timezone(timedelta(hours=8))
A = re.compile(r"([0-9]{10})-([0-9A-Za-z]{1,100})-([0-9A-Za-z]{1,100})-([0-9a-f]{32})", re.ASCII)
B = re.compile(r"([0-9]{12})/([0-9a-f]{32})/(?=.)", re.ASCII)
C = re.compile(r"([0-9a-f]{32})/([0-9A-Fa-f]{8})/(?=.)", re.ASCII)
C_HASH, C_TIME = re.compile(r"[0-9a-f]{32}", re.ASCII), re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
PRINTABLE = re.compile(r"[!-~]*", re.ASCII)
RAND = "0"  # a URL that is made twice in a second is the same; the time is what makes it end


@dataclass(frozen=True, slots=True)
class CdnKey:
    """The key with which an application signs URLs, ``sign_url(CdnKey("A", ...), ...)``.

    Attributes:
        type: ``A``, ``B`` or ``C``.
        key: The bucket's ``cdn_signing.key``.
        valid_seconds: The bucket's ``cdn_signing.valid_seconds``.
    """

    type: Type
    key: str = field(repr=False)
    valid_seconds: int = 1800


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature before it is verified.

    Attributes:
        target: The target of the request, without the signature.
        time: The time in it, as it is signed.
        words: Further signed parts: RAND and UID of A.
        hash: The MD5.
        path: The path of the object as it was sent, without the signature.
    """

    target: Target
    time: str
    hash: str
    path: str
    words: tuple[str, ...] = ()


def check(rules: CdnSigning, target: Target, line: str, now: float) -> Target | None:
    """Verify the signature of a URL, if there is one.

    Args:
        rules: The bucket's settings.
        target: The target of the request, with the signature.
        line: The request target as sent.
        now: Seconds since the epoch.

    Returns:
        The target without the signature; ``None`` if there is no part of a signature.

    Raises:
        AccessDenied: The signature is incomplete, wrong, or has expired.
    """
    if not rules.type or not target.key:
        return None
    claim = _claim(rules.type, target, line)
    if claim is None:
        return None
    paths = {path for path in (claim.path, quote(f"/{claim.target.key}")) if path}
    right = [
        _same(digest(rules.type, key, path, claim.time, claim.words), claim.hash)
        for key in rules.keys
        for path in paths
        if PRINTABLE.fullmatch(path)
    ]
    if not any(right):
        raise _refused("The signature of the URL does not match.")
    check_end(_seconds(rules.type, claim.time) + rules.valid_seconds, now)
    return claim.target


def digest(kind: str, key: str, path: str, time: str, words: Sequence[str] = ()) -> str:
    """Return the MD5 that signs a path.

    Args:
        kind: ``A``, ``B`` or ``C``.
        key: The secret.
        path: The path in the URL, from the slash on.
        time: The time in the URL.
        words: RAND and UID of A.
    """
    texts = {
        "A": "-".join((path, time, *words, key)),
        "B": f"{key}{time}{path}",
        "C": f"{key}{path}{time}",
    }
    return md5(texts[kind].encode(), usedforsecurity=False).hexdigest()


def make(
    signer: CdnKey,
    key: str,
    *,
    now: float,
    expires: int,
    query: Iterable[tuple[str, str]] = (),
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the path of a signed URL within its bucket, encoded, and its parameters.

    Args:
        signer: The key.
        key: The object's name.
        now: Seconds since the epoch.
        expires: Seconds for which it is valid; with B up to a minute longer.
        query: Parameters, which are not signed.
    """
    path = quote(f"/{key}")
    end = ceil(now) + expires - signer.valid_seconds
    if not 0 < end < (1 << 32 if signer.type == "C" else 10**10):
        raise ValueError(f"expires = {expires}: the time in the URL would be out of range")
    if signer.type == "A":
        time, words = f"{end:010d}", (RAND, "0")
        value = "-".join((time, *words, digest("A", signer.key, path, time, words)))
        return path, (*query, (AUTH_KEY, value))
    if signer.type == "B":
        moment = datetime.fromtimestamp(-(-end // 60) * 60, BEIJING)
        time = moment.strftime("%Y%m%d%H%M")
        return f"/{time}/{digest('B', signer.key, path, time)}{path}", tuple(query)
    time = f"{end:08x}"
    return f"/{digest('C', signer.key, path, time)}/{time}{path}", tuple(query)


def _claim(kind: str, target: Target, line: str) -> Claim | None:
    """Return the signature of a request; ``None`` if there is no part of one."""
    named = [(name, value) for name, value in target.query if name in NAMES[kind]]
    rest = replace(target, query=tuple(pair for pair in target.query if pair not in named))
    path = _sent(target, line)
    pattern = {"B": B, "C": C}.get(kind)
    within = pattern.match(target.key) if pattern else None
    if named and within:
        raise _refused("The URL is signed in more than one way; one is enough.")
    if within:
        key = target.key[within.end() :]
        time, mark = within.groups() if kind == "B" else reversed(within.groups())
        ahead = f"/{within[0]}"
        path = path.removeprefix(ahead[:-1]) if path.startswith(ahead) else ""
        return Claim(replace(rest, key=key), time, mark, path)
    if not named:
        return None
    values = dict(named)
    if len(values) != len(named) or len(values) != len(NAMES[kind]):
        raise _refused("The signature of the URL is incomplete.")
    if kind == "A":
        parts = A.fullmatch(values[AUTH_KEY])
        if parts is None:
            raise _refused(f"The parameter: {AUTH_KEY} expects TIME-RAND-UID-MD5.")
        return Claim(rest, parts[1], parts[4], path, (parts[2], parts[3]))
    if not (C_HASH.fullmatch(values[HASH]) and C_TIME.fullmatch(values[TIME])):
        raise _refused(f"The parameters: {HASH} and {TIME} expect an MD5 and a hexadecimal time.")
    return Claim(rest, values[TIME], values[HASH], path)


def _sent(target: Target, line: str) -> str:
    """Return the path of the object within its bucket as sent; empty if it is not known."""
    path = line.partition("?")[0]
    if not path.startswith("/"):  # http://HOST/PATH
        path = "/" + path.partition("://")[2].partition("/")[2]
    if unquote(path) == f"/{target.key}":
        return path
    _, _, behind = path[1:].partition("/")
    return f"/{behind}" if unquote(path) == f"/{target.bucket}/{target.key}" else ""


def _seconds(kind: str, time: str) -> float:
    """Return the time in a signature, in seconds since the epoch.

    Raises:
        AccessDenied: The time is not valid.
    """
    if kind != "B":
        return int(time, 16 if kind == "C" else 10)
    try:
        seconds = datetime.strptime(time, "%Y%m%d%H%M").replace(tzinfo=BEIJING).timestamp()
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise _refused("The time in the URL is not valid.")
    return seconds


def _same(one: str, other: str) -> bool:
    """Compare in a time that does not depend on where the values differ."""
    return hmac.compare_digest(one, other)


def _refused(message: str) -> AccessDenied:
    return AccessDenied(message, rule="cdn-signature")
