"""V2: HMAC-SHA256 over every parameter; what oss2's ``AuthV2`` sends. Only verified here."""

from __future__ import annotations

from functools import partial

from ...errors import InvalidArgument
from .claim import (
    HEADERS,
    PREFIX,
    TOKEN_HEADER,
    Claim,
    Request,
    additional,
    authorization,
    canonical_query,
    check_date,
    check_expires,
    check_token_place,
    encoded,
    hmac_base64,
    resource,
    sent_date,
)
from .v1 import TOKEN

NAME = "OSS2"
KEY_ID, EXPIRES, SIGNATURE = "x-oss-access-key-id", "x-oss-expires", "x-oss-signature"
ADDITIONAL = "x-oss-additional-headers"

mac = partial(hmac_base64, digest="sha256")


def from_header(text: str, request: Request, now: float) -> Claim:
    """Read ``Authorization: OSS2 AccessKeyId:ID,Signature:S``; ``text`` follows ``OSS2``.

    Raises:
        InvalidArgument: The header cannot be read.
        AccessDenied: There is no date.
        RequestTimeTooSkewed: The date is not about now.
    """
    fields = authorization(text, ":", ("AccessKeyId", "Signature"))
    date = sent_date(request)
    signed = string_to_sign(request, date, additional(fields.get(HEADERS, "")))
    check_date(date, now)
    token = request.header(TOKEN_HEADER)
    return Claim(fields["AccessKeyId"], token, fields["Signature"], signed, mac)


def from_url(request: Request, now: float) -> Claim:
    """Read ``x-oss-access-key-id``, ``x-oss-expires`` and ``x-oss-signature``.

    Raises:
        InvalidArgument: One is missing.
        InvalidRequest: The security token is in a header.
        AccessDenied: The time is over.
    """
    for name in (KEY_ID, EXPIRES, SIGNATURE):
        if not request.value(name):
            raise InvalidArgument(f"The parameter: {name} is missing, which a V2 signature needs.")
    check_token_place(request)
    expires = request.value(EXPIRES)
    signed = string_to_sign(request, expires, additional(request.value(ADDITIONAL)))
    check_expires(expires, now)
    token = request.value(TOKEN)
    return Claim(request.value(KEY_ID), token, request.value(SIGNATURE), signed, mac)


def string_to_sign(request: Request, date: str, more: list[str]) -> str:
    """The text that is signed; ``more`` are the headers signed besides those of OSS."""
    query = canonical_query(request, SIGNATURE)
    return "\n".join(
        (
            request.method,
            request.header("content-md5"),
            request.header("content-type"),
            date,
            request.lines(lambda name: name.startswith(PREFIX) or name in more) + ";".join(more),
            encoded(resource(request)) + (f"?{query}" if query else ""),
        )
    )
