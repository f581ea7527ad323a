"""The conductor: what comes in over HTTP is resolved, checked, and given to the call that it is."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial
from typing import Protocol

from aiohttp import web

from .. import api
from ..buckets import Bucket
from ..delivery.services import Services
from ..errors import (
    ExpectationFailed,
    InternalError,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    shown,
)
from ..gate import access, cors, headers, parameters, sign
from ..gate.target import PROCESS, Target, bucket_of, check_stored_key, resolve
from ..observe.accesslog import redacted
from ..observe.record import RequestRecord
from ..web import connection, responses

IN_HEAD = PROCESS.encode()
log = logging.getLogger(__name__)


class Handler(Protocol):
    """Who answers requests of the public port."""

    async def __call__(
        self, request: web.BaseRequest, services: Services
    ) -> web.StreamResponse: ...


async def serve(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Find out what is asked for, by whom, and let the call answer."""
    check_expectation(request)
    target, record = _resolve(request, services), request[responses.RECORD]
    share(request, services.registry.described(target.bucket))
    record.bucket, record.key, record.process = target.bucket, target.key, target.process
    if request.method == cors.PREFLIGHT and target.bucket:
        return preflight(request, services, target)
    row = api.find(request.method, target, request.headers)
    known = services.registry.get(target.bucket)
    document, record.exists = (
        known or (services.registry.plain if row.bucket_optional else None),
        known is not None,
    )
    grant = access.check(
        target,
        request.method,
        sign.fields(request.headers.items()),
        document,
        services.configuration.keys,
        services.clock(),
        row.right,
    )
    headers.check(row.name, row.headers, request.headers)
    parameters.check_version(target.query)
    return await row.work(api.Call(request, services, target, grant, name=row.name))


def share(request: web.BaseRequest, bucket: Bucket | None) -> None:
    """Have the answer say to pages of other origins what its bucket says, whatever it will be."""
    if bucket is not None and not cors.is_silent(bucket):
        request[responses.SHARING] = cors.headers(bucket, request.method, request.headers)


def preflight(request: web.BaseRequest, services: Services, target: Target) -> web.StreamResponse:
    """OptionObject: whether a page of another origin may send a request; nobody signs this.

    Raises:
        NoSuchBucket: There is none.
        OssError: See :func:`cors.preflight`.
    """
    bucket = services.registry.get(target.bucket)
    if bucket is None:
        raise NoSuchBucket(
            "The specified bucket does not exist.", extra={"BucketName": target.bucket}
        )
    request[responses.RECORD].exists = True
    headers = cors.preflight(bucket, request.headers)
    return web.Response(headers=responses.complete(request, headers))


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


async def converse(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Answer, and have noted what came of it."""
    record, response = services.recorder.begin(responses.request_id()), None
    if isinstance(request.protocol, connection.Connection) and request.protocol.came:
        # of this request alone, not of the next one on its connection
        record.begun, request.protocol.came = request.protocol.came, 0.0
    try:
        response = await _answer(request, services, record)
        if services.draining.is_set() and response.headers.get("Connection") == "close":
            request.protocol.close()  # aiohttp does not read its own header
        return response
    finally:  # also when the client leaves, which cancels this
        services.recorder.end(record, request, response)


async def _answer(
    request: web.BaseRequest, services: Services, record: RequestRecord
) -> web.StreamResponse:
    """Serve, and put every error as OSS words it."""
    known = None if services.draining.is_set() else services.fastpath.find(request, record)
    request[responses.RECORD], request[responses.ENDING] = record, services.draining
    if known and known[1].sharing:
        share(request, known[1].sharing)
    if known and known[0].data is not None:
        return responses.again(request, known[0].data, known[1].headers, known[1].head)
    refusal: OssError
    try:
        if known:
            with closing(known[0]) as entry:
                headers = {
                    **known[1].headers,
                    **responses.hit(record.begun),
                    **services.handed(entry.file),
                }
                return await responses.content(request, entry.body, entry.size, 0, headers)
        return await serve(request, services)
    except OssError as error:
        refusal = error
    except ConnectionError:  # nobody is there to be told
        record.gone = True
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except Exception:
        key = redacted(record.key)
        log.exception("request %s failed: bucket %s, key %r", record.identity, record.bucket, key)
        refusal = InternalError("The server has a fault; its log has the request's id.")
    record.code, record.ec, record.rule = refusal.code, refusal.ec, refusal.rule
    return responses.refusal(refusal, request)


def refuse(request: web.BaseRequest, error: OssError, services: Services) -> web.StreamResponse:
    """Return the answer to what is no request, and note it as one."""
    record = request[responses.RECORD] = services.recorder.begin(responses.request_id())
    record.code = error.code
    response = responses.refusal(error, request)
    services.recorder.end(record, request, response)
    return response


def _is_work(services: Services, data: bytes) -> bool:
    """Is this a request for a picture that is not known? What is lighter waits for no turn."""
    return IN_HEAD in data and not services.fastpath.knows(data)


def public(services: Services, handler: Handler = converse) -> connection.Server:
    """The server of the public port, which has no router: ``target`` reads the path.

    Args:
        services: What requests are answered with.
        handler: Answers them; the emulator has one around :func:`converse`.
    """
    return connection.Server(
        partial(handler, services=services),
        refuse=partial(refuse, services=services),
        throttle=services.throttle,
        turns=services.turns,
        is_work=partial(_is_work, services),
        handler_cancellation=True,
        access_log=None,
    )
