"""Finds the target and the call of a request, and checks access; nothing is awaited."""

from __future__ import annotations

from aiohttp import web

from .. import api
from ..buckets import Bucket
from ..delivery.services import Services
from ..errors import ExpectationFailed, NoSuchKey, OssError, shown
from ..gate import access, cors, headers, parameters, sign
from ..gate.sign import cdn
from ..gate.target import Target, bucket_of, check_stored_key, resolve
from ..web import responses


def target_of(request: web.BaseRequest, services: Services) -> Target:
    """Return the target of a request, and record it; see :func:`resolve`.

    Raises:
        ExpectationFailed: The request has an Expect that is not supported.
        InvalidObjectName: The request is to store an object under a key that is not valid.
    """
    target, record = _resolve(request, services), request[responses.RECORD]
    share(request, services.registry.described(target.bucket))
    check_expectation(request)
    record.bucket, record.key, record.process = target.bucket, target.key, target.process
    return target


def call_of(
    request: web.BaseRequest, services: Services, target: Target
) -> tuple[api.Call, api.Handler]:
    """Return the call of a request and its handler, and record whether the bucket exists.

    If the URL has a CDN's signature in its path, the call's target is the path without it.

    Raises:
        OssError: There is no such call, or the caller may not make it.
    """
    record = request[responses.RECORD]
    signed = _signed_for_cdn(request, services, target)
    if signed:
        target, record.key, record.process = signed, signed.key, signed.process
    row = api.find(request.method, target, request.headers)
    known = services.registry.get(target.bucket)
    document = known or (services.registry.plain if row.bucket_optional else None)
    record.exists = known is not None
    fields = sign.fields(request.headers.items())
    if signed and known:
        grant = access.by_cdn(target, fields, known, row.name)
    else:
        keys, now = services.configuration.keys, services.clock()
        grant = access.check(target, request.method, fields, document, keys, now, row.right)
    headers.check(row.name, row.headers, request.headers)
    headers.check_change(request.method, request.headers)
    parameters.check_version(target.query)
    return api.Call(request, services, target, grant, name=row.name), row.work


def _signed_for_cdn(request: web.BaseRequest, services: Services, target: Target) -> Target | None:
    """Return the target of a URL that is signed as for a CDN; see :func:`cdn.check`."""
    bucket = services.registry.described(target.bucket)
    if bucket is None or not bucket.cdn_signing.type:
        return None
    try:
        return cdn.check(bucket.cdn_signing, target, request.raw_path, services.clock())
    except OssError:
        request[responses.RECORD].exists = True
        raise


def share(request: web.BaseRequest, bucket: Bucket | None) -> None:
    """Record the CORS headers of a bucket for the answer, including errors."""
    if bucket is not None and not cors.is_silent(bucket):
        sharing = cors.headers(bucket, request.method, request.headers)
        request[responses.RECORD].sharing = sharing


def check_expectation(request: web.BaseRequest) -> None:
    """Refuse an unsupported Expect (RFC 9110, 10.1.1), which is ignored in HTTP/1.0.

    Raises:
        ExpectationFailed: It is not 100-continue.
    """
    expected = request.headers.get("Expect")
    if expected and request.version >= (1, 1) and expected.lower() != "100-continue":
        raise ExpectationFailed(
            f"The value: {shown(expected)!r} of header: Expect is invalid. It expects 100-continue."
        )


def _resolve(request: web.BaseRequest, services: Services) -> Target:
    """Return the target of a request; see :func:`resolve`.

    Raises:
        InvalidObjectName: The request is to store an object under a key that is not valid.
    """
    endpoint, host = services.settings.server.endpoint, request.headers.get("Host", "")
    try:
        return resolve(request.raw_path, host, services.registry.domains, endpoint)
    except OssError as error:
        bucket = bucket_of(request.raw_path, host, services.registry.domains, endpoint)
        share(request, services.registry.described(bucket))
        if isinstance(error, NoSuchKey) and request.method in ("PUT", "POST"):
            check_stored_key(error.extra["Key"])
        raise
