"""Creates signatures: URLs for applications, headers for clients, fields for forms."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

from . import cdn, v1, v4
from .cdn import CdnKey
from .claim import FORM_TOKEN, POLICY, TOKEN_HEADER, Credential, Request, encoded, fields

PROCESS = "x-oss-process"

Version = Literal[1, 4]
Query = tuple[tuple[str, str], ...]


def sign_url(
    credential: Credential | CdnKey,
    bucket: str,
    key: str,
    *,
    now: float,
    process: str = "",
    expires: int = 3600,
    method: str = "GET",
    version: Version = 1,
    region: str = "cn-hangzhou",
    endpoint: str = "http://127.0.0.1:8080",
    bucket_in_path: bool = True,
    query: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    v4_expires_max: int = v4.MAX_EXPIRES,
) -> str:
    """Return a signed URL, which allows anybody who has it one kind of request for a time.

    Args:
        credential: The key pair that signs; or the key of a bucket's ``cdn_signing``, whose URL
            reads the object with any process text, and has no version, region and headers.
        bucket: The bucket's name.
        key: The object's name, not percent-encoded.
        now: Seconds since the epoch, ``time.time()``.
        process: Text of ``x-oss-process``; empty for the object itself.
        expires: Seconds for which it is valid, from 1 on.
        method: The method of the request.
        version: 1 or 4.
        region: The server's; V4 only.
        endpoint: Scheme and host.
        bucket_in_path: Whether the bucket is in the path; ``False`` if the host names it.
        query: Further parameters, not percent-encoded.
        headers: ``Content-Type``, ``Content-MD5`` and ``x-oss-*`` that the request will have.
        v4_expires_max: Most seconds that the server allows in V4; OSS allows 7 days.

    Raises:
        ValueError: ``expires`` is out of range, V1 cannot sign such a name unambiguously, or a
            CDN's key cannot sign such a request.
    """
    if expires < 1 or (version == 4 and expires > v4_expires_max):
        limit = f" to {v4_expires_max}" if version == 4 else ""
        raise ValueError(f"expires = {expires}: expects a number of seconds, 1{limit}")
    parameters = (*query, *(((PROCESS, process),) if process else ()))
    if isinstance(credential, CdnKey):
        if method not in ("GET", "HEAD") or headers:
            raise ValueError(
                f"a key of type {credential.type} signs GET and HEAD alone, no headers"
            )
        path, signed = cdn.make(credential, key, now=now, expires=expires, query=parameters)
    else:
        request = Request(method, bucket, key, parameters, fields((headers or {}).items()))
        path = encoded(f"/{key}", safe="/")
        if version == 4:
            signed = _v4_query(credential, request, now, expires, region)
        else:
            signed = _v1_query(credential, request, int(now) + expires)
    words = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in signed)
    place = f"/{bucket}" if bucket_in_path else ""
    return f"{endpoint.rstrip('/')}{place}{path}" + (f"?{words}" if words else "")


def sign_headers(
    credential: Credential,
    request: Request,
    *,
    now: float,
    version: Version = 1,
    region: str = "cn-hangzhou",
    additional: Sequence[str] = (),
) -> dict[str, str]:
    """Return the headers, names in lower case, that sign a request when they are added to it.

    Args:
        credential: The key pair that signs.
        request: The request, with its other headers.
        now: Seconds since the epoch.
        version: 1 or 4.
        region: The server's; V4 only.
        additional: Further headers to sign; V4 only.

    Raises:
        ValueError: V1 cannot sign such a name unambiguously.
    """
    token = credential.security_token
    added = {TOKEN_HEADER: token} if token else {}
    if version == 1:
        added["date"] = formatdate(now, usegmt=True)
        signed = replace(request, headers={**request.headers, **added})
        _check_unambiguous(signed)
        text = v1.string_to_sign(signed, signed.header("x-oss-date") or added["date"])
        result = v1.mac(credential.access_key_secret, text)
        return {**added, "authorization": f"OSS {credential.access_key_id}:{result}"}
    date = _moment(now)
    added |= {v4.DATE: date, v4.PAYLOAD_HEADER: v4.PAYLOAD}
    signed = replace(request, headers={**request.headers, **added})
    more = sorted({name.lower() for name in additional})
    result = _v4_mac(credential, signed, date, region, more)
    parts = [f"Credential={credential.access_key_id}/{v4.scope(date[:8], region)}"]
    parts += [f"AdditionalHeaders={';'.join(more)}"] if more else []
    return {**added, "authorization": f"{v4.NAME} {', '.join(parts)}, Signature={result}"}


def sign_form(
    credential: Credential,
    policy: str,
    *,
    now: float,
    version: Version = 1,
    region: str = "cn-hangzhou",
) -> dict[str, str]:
    """Return the fields that sign a form when they are added to it (OSS guide, PostObject).

    Args:
        credential: The key pair that signs.
        policy: The policy of the form, as JSON.
        now: Seconds since the epoch.
        version: 1 or 4.
        region: The server's; V4 only.
    """
    text = b64encode(policy.encode()).decode()
    token, secret = credential.security_token, credential.access_key_secret
    added = {POLICY: text} | ({FORM_TOKEN: token} if token else {})
    if version == 1:
        return {**added, v1.KEY_ID: credential.access_key_id, v1.SIGNATURE: v1.mac(secret, text)}
    date = _moment(now)
    day = date[:8]
    return {
        **added,
        v4.VERSION: v4.NAME,
        v4.CREDENTIAL: f"{credential.access_key_id}/{v4.scope(day, region)}",
        v4.DATE: date,
        v4.SIGNATURE: v4.mac(secret, text, day=day, region=region),
    }


def _v1_query(credential: Credential, request: Request, end: int) -> Query:
    """The parameters of a request, and those that sign it until ``end``."""
    if token := credential.security_token:
        request = replace(request, query=(*request.query, (v1.TOKEN, token)))
    _check_unambiguous(request)
    result = v1.mac(credential.access_key_secret, v1.string_to_sign(request, str(end)))
    return (
        *request.query,
        (v1.KEY_ID, credential.access_key_id),
        (v1.EXPIRES, str(end)),
        (v1.SIGNATURE, result),
    )


def _v4_query(
    credential: Credential, request: Request, now: float, expires: int, region: str
) -> Query:
    """The parameters of a request, and those that sign it for ``expires`` seconds."""
    date = _moment(now)
    token = credential.security_token
    query = (
        *request.query,
        (v4.VERSION, v4.NAME),
        (v4.CREDENTIAL, f"{credential.access_key_id}/{v4.scope(date[:8], region)}"),
        (v4.DATE, date),
        (v4.EXPIRES, str(expires)),
        *(((v4.TOKEN, token),) if token else ()),
    )
    signature = _v4_mac(credential, replace(request, query=query), date, region, [])
    return (*query, (v4.SIGNATURE, signature))


def _v4_mac(
    credential: Credential, request: Request, date: str, region: str, more: list[str]
) -> str:
    day = date[:8]
    text = v4.string_to_sign(v4.canonical_request(request, more), date, day, region)
    return v4.mac(credential.access_key_secret, text, day=day, region=region)


def _check_unambiguous(request: Request) -> None:
    if v1.ambiguous(request):
        raise ValueError(
            f"{request.key!r} with these parameters: V1 cannot tell the name from them; use V4"
        )


def _moment(now: float) -> str:
    """``20260101T000000Z``."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y%m%dT%H%M%SZ")
