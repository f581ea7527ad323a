"""V1: HMAC-SHA1 over the method, four headers and the resource (OSS guide, signature version 1).

The resource is signed DECODED, so ``?`` and ``&`` in a name or a value look like those between
parameters: the text of ``a.jpg`` with a process is that of an object called ``a.jpg?x-oss-process=
...`` without one. Of all requests that share a text, only the one is taken that reads every
sub-resource in it as one; whoever has a signed URL cannot make it mean less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import AccessDenied, InvalidArgument
from ..parameters import is_signed
from .claim import (
    FORM_TOKEN,
    POLICY,
    PREFIX,
    TOKEN_HEADER,
    Claim,
    Request,
    check_date,
    check_expires,
    check_field,
    check_token_place,
    hmac_base64,
    invalid_authorization,
    resource,
    sent_date,
)

KEY_ID, EXPIRES, SIGNATURE, TOKEN = "OSSAccessKeyId", "Expires", "Signature", "security-token"
HEADER = re.compile(r"([^:\s]+):(\S+)")
MARK = re.compile(r"[?&]([A-Za-z0-9_-]+)(?=[=&]|\Z)")  # where a parameter may begin


def from_header(text: str, request: Request, now: float) -> Claim:
    """Read ``Authorization: OSS ID:SIGNATURE``; ``text`` is what follows ``OSS``.

    Raises:
        InvalidArgument: The header cannot be read, or the resource not in one way only.
        AccessDenied: There is no date.
        RequestTimeTooSkewed: The date is not about now.
    """
    match = HEADER.fullmatch(text)
    if not match:
        raise invalid_authorization()
    date = sent_date(request)
    claim = _claim(request, match[1], request.header(TOKEN_HEADER), match[2], date)
    check_date(date, now)
    return claim


def from_url(request: Request, now: float) -> Claim:
    """Read ``OSSAccessKeyId``, ``Expires`` and ``Signature``.

    Raises:
        AccessDenied: One is missing, or the time is over.
        InvalidRequest: The security token is in a header.
        InvalidArgument: The resource cannot be read in one way only.
    """
    key_id, expires, signature = map(request.value, (KEY_ID, EXPIRES, SIGNATURE))
    if not (key_id and expires and signature):
        raise AccessDenied(
            "Query-string authentication requires the Signature, Expires and OSSAccessKeyId "
            "parameters"
        )
    check_token_place(request)
    claim = _claim(request, key_id, request.value(TOKEN), signature, expires)
    check_expires(expires, now)
    return claim


def from_form(fields: Mapping[str, str]) -> Claim:
    """Read ``OSSAccessKeyId``, ``policy`` and ``Signature`` of a form, names in lower case.

    Raises:
        InvalidArgument: One is missing.
    """
    for name in (KEY_ID, SIGNATURE):
        check_field(fields, name)
    token = fields.get(FORM_TOKEN, "")
    return Claim(fields[KEY_ID.lower()], token, fields[SIGNATURE.lower()], fields[POLICY], mac)


def string_to_sign(request: Request, date: str) -> str:
    """Return the text that is signed; ``date`` is that of a header, or ``Expires``."""
    return "\n".join(
        (
            request.method,
            request.header("content-md5"),
            request.header("content-type"),
            date,
            request.lines(lambda name: name.startswith(PREFIX)) + _resource(request),
        )
    )


def mac(secret: str, text: str) -> str:
    """The signature of a text."""
    return hmac_base64(secret, text, "sha1")


def ambiguous(request: Request) -> bool:
    """Return whether another request, with more sub-resources, has the same text to be signed."""
    begins = sum(map(is_signed, MARK.findall(_resource(request))))
    return begins != sum(is_signed(name) for name, _ in request.query)


def _claim(request: Request, key_id: str, token: str, signature: str, date: str) -> Claim:
    if ambiguous(request):
        raise InvalidArgument(
            "The object name or the value of a parameter holds what a V1 signature cannot tell "
            "from another parameter. Sign the request with V4."
        )
    return Claim(key_id, token, signature, string_to_sign(request, date), mac)


def _resource(request: Request) -> str:
    signed = sorted((name, value) for name, value in request.query if is_signed(name))
    words = "&".join(f"{name}={value}" if value else name for name, value in signed)
    return resource(request) + (f"?{words}" if words else "")
