"""What a request is about, which call it makes, and whether its caller may; nothing is awaited."""

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
    """Bucket, key and parameters, which are noted; see :func:`resolve`.

    Raises:
        ExpectationFailed: The client expects what nobody here can do.
        InvalidObjectName: Something is to be stored under a name that nothing can have here.
    """
    target, record = _resolve(request, services), request[responses.RECORD]
    share(request, services.registry.described(target.bucket))
    check_expectation(request)
    record.bucket, record.key, record.process = target.bucket, target.key, target.process
    return target


def call_of(
    request: web.BaseRequest, services: Services, target: Target
) -> tuple[api.Call, api.Handler]:
    """The call, and who answers it; whether there is such a bucket is noted.

    Its target is another one where the URL is signed as for a CDN, and says so in its path.

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
    parameters.check_version(target.query)
    return api.Call(request, services, target, grant, name=row.name), row.work


def _signed_for_cdn(request: web.BaseRequest, services: Services, target: Target) -> Target | None:
    """What is asked for, where the URL is signed as for a CDN; see :func:`cdn.check`."""
    bucket = services.registry.described(target.bucket)
    if bucket is None or not bucket.cdn_signing.type:
        return None
    try:
        return cdn.check(bucket.cdn_signing, target, request.raw_path, services.clock())
    except OssError:
        request[responses.RECORD].exists = True
        raise


def share(request: web.BaseRequest, bucket: Bucket | None) -> None:
    """Have the answer say to pages of other origins what its bucket says, whatever it will be."""
    if bucket is not None and not cors.is_silent(bucket):
        sharing = cors.headers(bucket, request.method, request.headers)
        request[responses.RECORD].sharing = sharing


def check_expectation(request: web.BaseRequest) -> None:
    """Refuse what cannot be met (RFC 9110, 10.1.1); HTTP/1.0 has no expectations.

    Raises:
        ExpectationFailed: It is another one than 100-continue.
    """
    expected = request.headers.get("Expect")
    if expected and request.version >= (1, 1) and expected.lower() != "100-continue":
        raise ExpectationFailed(
            f"The value: {shown(expected)!r} of header: Expect is invalid. It expects 100-continue."
        )


def _resolve(request: web.BaseRequest, services: Services) -> Target:
    """Bucket, key and parameters; see :func:`resolve`.

    Raises:
        InvalidObjectName: Something is to be stored under a name that nothing can have here.
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
