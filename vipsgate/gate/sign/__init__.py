"""Verifies and creates OSS's signatures V1, V2 and V4, in a header or in the URL.

RULE: pure. A request has no part of a signature, or a complete and correct one, or it is refused: a
wrong signature is never treated as none. Faults are reported in this order: the form, the dates,
the key, the token, the signature (OSS guide, signatures; OSS error reference).

Applications sign URLs with :func:`sign_url`. Signatures of Alibaba Cloud CDN, which are not OSS's
own, are in :mod:`.cdn`.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ...errors import (
    AccessKeyIdAndSecurityTokenNotMatch,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidSecurityToken,
    OssError,
    SignatureDoesNotMatch,
    shown,
)
from . import v1, v2, v4
from .cdn import CdnKey
from .claim import (
    FORM_TOKEN,
    POLICY,
    Claim,
    Credential,
    Request,
    check_field,
    fields,
    invalid_authorization,
    raw,
)
from .make import sign_form, sign_headers, sign_url
from .v4 import MAX_EXPIRES

__all__ = [
    "MAX_EXPIRES",
    "CdnKey",
    "Credential",
    "Request",
    "fields",
    "sign_form",
    "sign_headers",
    "sign_url",
    "verify",
    "verify_form",
]

V1_NAMES = frozenset((v1.KEY_ID, v1.EXPIRES, v1.SIGNATURE))
LATER_NAMES = frozenset(
    (v4.VERSION, v4.CREDENTIAL, v4.DATE, v4.EXPIRES, v4.SIGNATURE, v4.ADDITIONAL, v4.TOKEN)
) | {v2.KEY_ID}
NAMES = V1_NAMES | LATER_NAMES | {v1.TOKEN}  # each is a parameter of a signature and nothing else
WORDS = frozenset(("expires", "signature"))  # in another case they may be anybody's
LOOK_ALIKE = {name.lower(): name for name in NAMES if name.lower() not in WORDS}
V1_FORM_NAMES = frozenset((v1.KEY_ID.lower(), v1.SIGNATURE.lower()))
V4_FORM_NAMES = frozenset((v4.VERSION, v4.CREDENTIAL, v4.DATE, v4.SIGNATURE))
FORM_NAMES = V1_FORM_NAMES | V4_FORM_NAMES | {POLICY, FORM_TOKEN}  # in lower case
KEY_ID = re.compile(r"[0-9A-Za-z._=]+")  # OSS error reference, InvalidAccessKeyId


def verify(
    request: Request,
    credentials: Sequence[Credential],
    now: float,
    region: str,
    v4_expires_max: int = MAX_EXPIRES,
) -> Credential | None:
    """Return the key pair that has signed a request.

    Args:
        request: The request with its signature.
        credentials: All key pairs; those with the same id are tried one after the other.
        now: Seconds since the epoch.
        region: The one that V4 signatures must name, ``cn-hangzhou``.
        v4_expires_max: Seconds that a URL signed with V4 may be valid.

    Returns:
        The key pair; ``None`` if there is no part of a signature.

    Raises:
        InvalidArgument: The signature is malformed, or there are two.
        InvalidRequest: The security token of a signed URL is in a header.
        AccessDenied: Parts are missing, or the signature has expired.
        RequestTimeTooSkewed: The clocks differ by more than 15 minutes.
        InvalidAccessKeyId: There is no such key.
        InvalidSecurityToken: There is no such token.
        AccessKeyIdAndSecurityTokenNotMatch: The token is another key's.
        SignatureDoesNotMatch: The signature is not that of this request by this secret.
    """
    claim = _claim(request, now, region, v4_expires_max)
    return None if claim is None else _prove(claim, credentials)


def verify_form(
    fields: Mapping[str, str],
    credentials: Sequence[Credential],
    now: float,
    region: str,
    v4_expires_max: int = MAX_EXPIRES,
) -> Credential | None:
    """Return the key pair that has signed a form's policy (OSS guide, PostObject, which has no V2).

    Args:
        fields: Fields of the form, names in lower case; an empty one counts as absent.
        credentials: See :func:`verify`, as for the others.
        now: Seconds since the epoch.
        region: The one that V4 signatures must name.
        v4_expires_max: Seconds that a V4 signature may be valid.

    Returns:
        The key pair; ``None`` if there is no part of a signature.

    Raises:
        OssError: See :func:`verify`.
    """
    signed = {name for name, value in fields.items() if value} & FORM_NAMES
    later = signed & V4_FORM_NAMES
    if not signed:
        return None
    if later and signed & V1_FORM_NAMES:
        raise InvalidArgument("The form is signed in more than one way; one is enough.")
    check_field(fields, POLICY)
    if later:
        if fields.get(v4.VERSION) != v4.NAME:
            raise InvalidArgument(
                f"The value: {shown(fields.get(v4.VERSION, ''))!r} of form field: "
                f"{v4.VERSION} is invalid. It expects {v4.NAME}."
            )
        return _prove(v4.from_form(fields, now, region, v4_expires_max), credentials)
    return _prove(v1.from_form(fields), credentials)


def _prove(claim: Claim, credentials: Sequence[Credential]) -> Credential:
    """Return the key pair whose secret has made a signature; see :func:`verify`."""
    result = [
        credential
        for credential in _candidates(claim, credentials)
        if _equal(claim.mac(credential.access_key_secret, claim.text), claim.signature)
    ]
    if not result:
        raise _mismatch(claim)
    return result[0]


def _claim(request: Request, now: float, region: str, v4_expires_max: int) -> Claim | None:
    """Return the signature of a request; ``None`` if there is no part of one."""
    names = {name for name, _ in request.query}
    for name in sorted(names - NAMES):
        meant = LOOK_ALIKE.get(unquote(name).lower())
        if meant:
            raise InvalidArgument(f"The parameter: {shown(name)} must be written {meant}.")
    parameters, header = names & NAMES, "authorization" in request.headers
    if not header and not parameters:
        return None
    if (header and parameters) or (parameters & V1_NAMES and parameters & LATER_NAMES):
        raise InvalidArgument("The request is signed in more than one way; one is enough.")
    for name, times in Counter(name for name, _ in request.query).items():
        if times > 1:  # signatures do not say which one counts
            raise InvalidArgument(f"The parameter: {shown(name)} is given {times} times.")
    if header:
        return _from_header(request, now, region)
    return _from_url(request, now, region, v4_expires_max)


def _from_header(request: Request, now: float, region: str) -> Claim:
    name, _, text = request.header("authorization").partition(" ")
    if name == "OSS":
        return v1.from_header(text, request, now)
    if name == v2.NAME:
        return v2.from_header(text, request, now)
    if name == v4.NAME:
        return v4.from_header(text, request, now, region)
    raise invalid_authorization()


def _from_url(request: Request, now: float, region: str, v4_expires_max: int) -> Claim:
    if not any(name in LATER_NAMES for name, _ in request.query):
        return v1.from_url(request, now)
    version = request.value(v4.VERSION)
    if version == v2.NAME:
        return v2.from_url(request, now)
    if version == v4.NAME:
        return v4.from_url(request, now, region, v4_expires_max)
    raise InvalidArgument(
        f"The value: {shown(version)} of parameter: {v4.VERSION} is invalid. It expects {v4.NAME} "
        f"or {v2.NAME}."
    )


def _candidates(claim: Claim, credentials: Sequence[Credential]) -> list[Credential]:
    """The credentials with the id and the token of a claim; at least one."""
    extra = {"OSSAccessKeyId": claim.access_key_id}
    if not KEY_ID.fullmatch(claim.access_key_id):
        raise InvalidAccessKeyId(
            "The OSS Access Key Id contains non-acceptable characters, it is made of 0-9, a-z, "
            "A-Z and . _ =",
            extra=extra,
        )
    known = [item for item in credentials if item.access_key_id == claim.access_key_id]
    fitting = [item for item in known if _equal(item.security_token, claim.token)]
    if fitting:
        return fitting
    if not known or not claim.token:  # without its token, a key that has one is nobody's
        raise InvalidAccessKeyId(
            "The OSS Access Key Id you provided does not exist in our records.", extra=extra
        )
    if any(_equal(item.security_token, claim.token) for item in credentials):
        raise AccessKeyIdAndSecurityTokenNotMatch(
            "The OSS access key id and security token you provided does not match.", extra=extra
        )
    raise InvalidSecurityToken("The security token you provided is invalid.", extra=extra)


def _mismatch(claim: Claim) -> OssError:
    extra = {
        "OSSAccessKeyId": claim.access_key_id,
        "SignatureProvided": claim.signature,
        "StringToSign": claim.text,
        "StringToSignBytes": raw(claim.text).hex(" ").upper(),
    }
    if claim.canonical:
        extra["CanonicalRequest"] = claim.canonical
    return SignatureDoesNotMatch(
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        ec="0002-00000040",
        extra=extra,
    )


def _equal(one: str, other: str) -> bool:
    """Compare in a time that does not depend on where the values differ."""
    return hmac.compare_digest(raw(one), raw(other))
