"""V4: HMAC-SHA256 over a canonical request, for one day, region and product.

Everything in the URL is signed, encoded anew here, so that it does not matter how a client writes
it (OSS guide, signature version 4).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from ...errors import InvalidArgument, shown
from .claim import (
    FORM_TOKEN,
    HEADERS,
    POLICY,
    PREFIX,
    TOKEN_HEADER,
    Claim,
    Request,
    additional,
    authorization,
    canonical_query,
    check_end,
    check_field,
    check_skew,
    check_token_place,
    encoded,
    invalid_authorization,
    no_date,
    raw,
    resource,
    seconds_of_date,
)

NAME = "OSS4-HMAC-SHA256"
VERSION, SIGNATURE = "x-oss-signature-version", "x-oss-signature"
CREDENTIAL, DATE, EXPIRES = "x-oss-credential", "x-oss-date", "x-oss-expires"
ADDITIONAL, TOKEN = "x-oss-additional-headers", TOKEN_HEADER
PAYLOAD_HEADER, PAYLOAD = "x-oss-content-sha256", "UNSIGNED-PAYLOAD"
PRODUCT, TERMINATOR = "oss", "aliyun_v4_request"
ALWAYS = frozenset(("content-type", "content-md5"))  # signed where sent, like x-oss-*
MAX_EXPIRES = 604_800  # seconds that a URL may be valid with OSS; error reference, 0002-00000232
MOMENT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
SECONDS = re.compile(r"[0-9]{1,9}")


def from_header(text: str, request: Request, now: float, region: str) -> Claim:
    """Read ``Authorization: OSS4-HMAC-SHA256 Credential=..., Signature=...``.

    Without ``x-oss-date`` the text of ``Date`` is signed as it is sent, also where that is HTTP's
    form: the SDK for Go v1 sends no other (OSS guide, signature version 4; its ``auth.go``).

    Args:
        text: What follows the name of the scheme.
        request: The request.
        now: Seconds since the epoch.
        region: That of this server.

    Raises:
        InvalidArgument: The header cannot be read, or is for another region.
        AccessDenied: There is no date.
        RequestTimeTooSkewed: The date is not about now.
    """
    fields = authorization(text, "=", ("Credential", "Signature"))
    _check_payload(request, needed=True)
    date = request.header(DATE)
    when = _seconds(date) if DATE in request.headers else _seconds_of_date(request.header("date"))
    if when is None:
        raise no_date()
    claim = _claim(
        request,
        fields["Credential"],
        request.header(TOKEN),
        fields["Signature"],
        (date or request.header("date"), _day(when), region, additional(fields.get(HEADERS, ""))),
        in_header=True,
    )
    check_skew(when, now)
    return claim


def from_url(request: Request, now: float, region: str, max_expires: int) -> Claim:
    """Read ``x-oss-credential``, ``x-oss-date``, ``x-oss-expires`` and ``x-oss-signature``.

    Args:
        request: The request.
        now: Seconds since the epoch.
        region: That of this server.
        max_expires: Seconds that a URL may be valid.

    Raises:
        InvalidArgument: One is missing, malformed or for another region.
        InvalidRequest: The security token is in a header.
        RequestTimeTooSkewed: The URL is from the future.
        AccessDenied: The time is over.
    """
    for name in (CREDENTIAL, DATE, EXPIRES, SIGNATURE):
        if not request.value(name):
            raise InvalidArgument(
                f"The parameter: {name} is missing, which a V4 signature needs.",
                ec="0002-00000215" if name == EXPIRES else "",
            )
    check_token_place(request)
    _check_payload(request, needed=False)
    date, expires = request.value(DATE), request.value(EXPIRES)
    when = _seconds(date)
    if when is None:
        raise _no_moment(date, "parameter")
    if not (SECONDS.fullmatch(expires) and 1 <= int(expires) <= max_expires):
        raise InvalidArgument(
            f"The value: {shown(expires)} of parameter: {EXPIRES} is invalid. It expects 1 to "
            f"{max_expires} seconds.",
            ec="0002-00000232",
        )
    claim = _claim(
        request,
        request.value(CREDENTIAL),
        request.value(TOKEN),
        request.value(SIGNATURE),
        (date, _day(when), region, additional(request.value(ADDITIONAL))),
        in_header=False,
    )
    check_skew(max(when, now), now)  # the past is what x-oss-expires is for
    check_end(when + int(expires), now)
    return claim


def from_form(fields: Mapping[str, str], now: float, region: str, max_expires: int) -> Claim:
    """Read ``x-oss-credential``, ``x-oss-date``, ``policy`` and ``x-oss-signature`` of a form.

    Args:
        fields: Of the form, names in lower case.
        now: Seconds since the epoch.
        region: That of this server.
        max_expires: Seconds from its date on that a signature may be valid, whatever the policy
            says.

    Raises:
        InvalidArgument: One is missing, malformed or for another region.
        RequestTimeTooSkewed: The date is in the future.
        AccessDenied: The time is over.
    """
    for name in (CREDENTIAL, DATE, SIGNATURE):
        check_field(fields, name)
    when = _seconds(fields[DATE])
    if when is None:
        raise _no_moment(fields[DATE], "form field")
    day = _day(when)
    claim = Claim(
        _key_id(fields[CREDENTIAL], day, region),
        fields.get(FORM_TOKEN, ""),
        fields[SIGNATURE],
        fields[POLICY],
        partial(mac, day=day, region=region),
    )
    check_skew(max(when, now), now)
    check_end(when + max_expires, now)
    return claim


def scope(day: str, region: str) -> str:
    """What a signing key is good for: ``20260101/cn-hangzhou/oss/aliyun_v4_request``."""
    return f"{day}/{region}/{PRODUCT}/{TERMINATOR}"


def canonical_request(request: Request, more: list[str]) -> str:
    """The request as it is hashed; ``more`` are the headers that are signed by wish."""
    wanted = ALWAYS.union(more)
    return "\n".join(
        (
            request.method,
            encoded(resource(request), safe="/"),
            canonical_query(request, SIGNATURE),
            request.lines(lambda name: name.startswith(PREFIX) or name in wanted),
            ";".join(more),
            request.header(PAYLOAD_HEADER) or PAYLOAD,
        )
    )


def string_to_sign(canonical: str, date: str, day: str, region: str) -> str:
    """The text that is signed; ``date`` as it is sent, ``day`` the same as ``20260101``."""
    return "\n".join((NAME, date, scope(day, region), sha256(raw(canonical)).hexdigest()))


def mac(secret: str, text: str, *, day: str, region: str) -> str:
    """The signature of a text."""
    key = raw(f"aliyun_v4{secret}")
    for part in (day, region, PRODUCT, TERMINATOR, text):
        key = hmac.digest(key, raw(part), "sha256")
    return key.hex()


def _claim(
    request: Request,
    credential: str,
    token: str,
    signature: str,
    terms: tuple[str, str, str, list[str]],
    *,
    in_header: bool,
) -> Claim:
    date, day, region, more = terms
    key_id = _key_id(credential, day, region, in_header=in_header)
    canonical = canonical_request(request, more)
    text = string_to_sign(canonical, date, day, region)
    return Claim(key_id, token, signature, text, partial(mac, day=day, region=region), canonical)


def _key_id(credential: str, day: str, region: str, *, in_header: bool = False) -> str:
    """The id in ``ID/20260101/cn-hangzhou/oss/aliyun_v4_request``; the rest must fit."""
    parts = credential.split("/")
    if len(parts) != 5 or not parts[0]:
        raise invalid_authorization()
    expected = (("date", day), ("region", region), ("product", PRODUCT), ("", TERMINATOR))
    for (what, wanted), value in zip(expected, parts[1:], strict=True):
        if value != wanted:
            part = what or "version"
            raise InvalidArgument(
                f"Invalid signing {part} in Authorization header."
                if in_header
                else f"The signing {part} in credential is invalid.",
                ec="0002-00000226" if what == "region" else "",
            )
    return parts[0]


def _check_payload(request: Request, *, needed: bool) -> None:
    """A hash of the body would be a promise that is not kept here, so none is taken."""
    value = request.header(PAYLOAD_HEADER)
    if value != PAYLOAD and (needed or PAYLOAD_HEADER in request.headers):
        raise InvalidArgument(
            f"The header: {PAYLOAD_HEADER} is {PAYLOAD} in a V4 signature; it was {shown(value)!r}."
        )


def _no_moment(text: str, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"The value: {shown(text)} of {what}: {DATE} is invalid. It expects a time like "
        "20260101T000000Z.",
        ec="0002-00000223",
    )


def _seconds(text: str) -> float | None:
    """Of ``20260101T000000Z``, since the epoch; ``None`` where it is no time."""
    if not MOMENT.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _seconds_of_date(text: str) -> float | None:
    """Of a ``Date``, in the form of ``x-oss-date`` or in HTTP's."""
    return _seconds(text) if MOMENT.fullmatch(text) else seconds_of_date(text)


def _day(when: float) -> str:
    """``20260101``, of seconds since the epoch."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y%m%d")
