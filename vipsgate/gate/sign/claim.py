"""A signature before it is verified: its key, its request, and its dates.

This has what all versions share; they differ in the signed text and in the arithmetic.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import quote

from ...errors import AccessDenied, InvalidArgument, InvalidRequest, RequestTimeTooSkewed

SKEW = 900  # seconds that a client's clock may differ; OSS error reference, RequestTimeTooSkewed
DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}(:[0-9]{2}){2} GMT")
PREFIX = "x-oss-"  # headers that are always signed
TOKEN_HEADER = "x-oss-security-token"
POLICY, FORM_TOKEN = "policy", TOKEN_HEADER  # fields of a form
HEADERS = "AdditionalHeaders"  # the field of Authorization, in V2 and V4
EXPIRES_DIGITS = 18  # far beyond any date, and quick to read


@dataclass(frozen=True, slots=True)
class Credential:
    """A key pair and its rights, ``[[credentials]]``.

    Attributes:
        access_key_id: Of ``0-9 A-Z a-z . _ =``; several credentials may share it (rotation).
        access_key_secret: The secret, which is never sent.
        role: ``owner``, ``writer`` or ``reader``; see :mod:`..rights`.
        security_token: Token that requests must also have (STS); empty for a permanent key.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    role: Literal["owner", "reader", "writer"] = "owner"
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that signatures cover.

    Attributes:
        method: As sent, ``GET``.
        bucket: The bucket; empty for a call to the service. Signatures do not depend on whether it
            was in the Host or in the path.
        key: Decoded; empty for a call to the bucket.
        query: Names and values in their order, decoded once.
        headers: Names in lower case, see :func:`fields`; without line feeds, as HTTP has it.
    """

    method: str
    bucket: str
    key: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the value of a parameter; empty if there is none."""
        return next((value for known, value in self.query if known == name), "")

    def header(self, name: str) -> str:
        """Return the value of a header, trimmed; empty if there is none."""
        return self.headers.get(name, "").strip(" \t")

    def lines(self, wanted: Callable[[str], bool]) -> str:
        """Return the canonical headers: ``name:value`` sorted by name, a line feed after each."""
        names = sorted(name for name in self.headers if wanted(name))
        return "".join(f"{name}:{self.header(name)}\n" for name in names)


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature whose form and dates have been checked.

    Attributes:
        access_key_id: The id of the key pair.
        token: The security token; empty for none.
        signature: As sent.
        text: The string to sign of this request.
        mac: Returns the correct signature for a secret and a text.
        canonical: The text whose hash is in ``text`` (V4); empty in other versions.
    """

    access_key_id: str
    token: str
    signature: str
    text: str
    mac: Callable[[str, str], str]
    canonical: str = ""


def fields(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers for :class:`Request`; repeated ones are joined (RFC 9110, 5.3).

    So no second ``Authorization`` or date hides behind the first: the joined one is refused.
    """
    fields: dict[str, str] = {}
    for name, value in pairs:
        low = name.lower()
        fields[low] = f"{fields[low]},{value}" if low in fields else value
    return fields


def encoded(text: str, safe: str = "") -> str:
    """Percent-encoded; ``A-Z a-z 0-9 - _ . ~`` stay, and what is ``safe``."""
    return quote(text, safe, errors="surrogateescape")


def resource(request: Request) -> str:
    """Return ``/BUCKET/KEY``, whether the bucket was in the Host or in the path."""
    return f"/{request.bucket}/{request.key}" if request.bucket else "/"


def canonical_query(request: Request, omitted: str) -> str:
    """Every parameter but ``omitted``, encoded and sorted; no ``=`` before nothing (V2, V4)."""
    pairs = sorted((encoded(k), encoded(v)) for k, v in request.query if k != omitted)
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def additional(text: str) -> list[str]:
    """The names in ``a;b``, lower-case and sorted: not every client sorts what it sends."""
    return sorted(name.strip().lower() for name in text.split(";") if name.strip())


def authorization(text: str, sign: str, needed: tuple[str, ...]) -> dict[str, str]:
    """The fields of ``A=b, C=d``, by name: clients differ in their order and spaces.

    Raises:
        InvalidArgument: One is missing, given twice or not known.
    """
    parts = [part.strip().partition(sign) for part in text.split(",")]
    values = {name: value for name, _, value in parts}
    if (
        len(values) != len(parts)
        or values.keys() - {*needed, HEADERS}
        or not all(values.get(name) for name in needed)
    ):
        raise invalid_authorization()
    return values


def invalid_authorization() -> InvalidArgument:
    """What an ``Authorization`` header that cannot be read is answered with."""
    return InvalidArgument("Authorization header is invalid.")


def check_token_place(request: Request) -> None:
    """A signed URL carries its token itself.

    Raises:
        InvalidRequest: A header does.
    """
    if TOKEN_HEADER in request.headers:
        raise InvalidRequest("Security-token must be provided by query string parameter.")


def check_field(fields: Mapping[str, str], name: str) -> None:
    """A form that has something of a signature has all of it.

    Raises:
        InvalidArgument: This field is missing.
    """
    if not fields.get(name.lower()):
        raise InvalidArgument(
            f"Bucket POST must contain a field named '{name}'. If it is specified, please check "
            "the order of the fields.",
            ec="0002-00000702" if name == POLICY else "",
        )


def sent_date(request: Request) -> str:
    """The date that V1 and V2 sign: ``x-oss-date``, else ``Date``; empty where neither is sent."""
    return request.header("x-oss-date") or request.header("date")


def check_date(text: str, now: float) -> None:
    """Take ``Thu, 01 Jan 2026 00:00:00 GMT`` if it is about now.

    Raises:
        AccessDenied: It is no date.
        RequestTimeTooSkewed: It is more than :data:`SKEW` seconds off.
    """
    when = seconds_of_date(text)
    if when is None:
        raise no_date()
    check_skew(when, now)


def seconds_of_date(text: str) -> float | None:
    """Of ``Thu, 01 Jan 2026 00:00:00 GMT``, since the epoch; ``None`` where it is no time."""
    if not DATE.fullmatch(text):
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:  # the 32nd of a month
        return None


def no_date() -> AccessDenied:
    """What a header signature without a date is answered with."""
    return AccessDenied("OSS authentication requires a valid Date.", ec="0002-00000503")


def check_skew(when: float, now: float) -> None:
    """Take a time at most :data:`SKEW` seconds away from now, on either side.

    Raises:
        RequestTimeTooSkewed: It is further away.
    """
    if abs(now - when) > SKEW:
        raise RequestTimeTooSkewed(
            "The difference between the request time and the current time is too large.",
            ec="0002-00000504",
            extra={
                "MaxAllowedSkewMilliseconds": str(SKEW * 1000),
                "RequestTime": instant(when),
                "ServerTime": instant(now),
            },
        )


def check_expires(text: str, now: float) -> None:
    """Take ``Expires`` (V1) and ``x-oss-expires`` (V2), seconds since the epoch, until then.

    Raises:
        AccessDenied: It is no number, or past.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= EXPIRES_DIGITS):
        raise AccessDenied("Invalid date (should be seconds since epoch).")
    check_end(int(text), now)


def check_end(end: float, now: float) -> None:
    """Take what is valid through the second ``end``.

    Raises:
        AccessDenied: That has passed.
    """
    if now > end:
        raise AccessDenied(
            "Request has expired.",
            rule="expired",
            extra={"Expires": instant(end), "ServerTime": instant(now)},
        )


def instant(seconds: float) -> str:
    """``2026-01-01T00:00:00.000Z``."""
    moment = datetime.fromtimestamp(int(seconds), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def raw(text: str) -> bytes:
    """The bytes that a text came as; a header's need not have been UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def hmac_base64(secret: str, text: str, digest: str) -> str:
    """HMAC in Base64, as V1 (``sha1``) and V2 (``sha256``) sign."""
    return b64encode(hmac.digest(raw(secret), raw(text), digest)).decode()
