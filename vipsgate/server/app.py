"""Handles requests of the public port: resolves, checks, and calls the handler of the call."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial
from typing import Protocol

from aiohttp import web

from ..delivery.services import Services
from ..errors import (
    InternalError,
    NoSuchBucket,
    OssError,
    ServiceUnavailable,
    SourceChanged,
)
from ..gate import cors
from ..gate.target import Target
from ..observe.accesslog import redacted
from ..observe.record import RequestRecord
from ..web import connection, responses
from ..web.server import Server
from . import admit
from .inline import InlineAnswers

log = logging.getLogger(__name__)


class Handler(Protocol):
    """Answers requests of the public port."""

    async def __call__(
        self, request: web.BaseRequest, services: Services
    ) -> web.StreamResponse: ...


async def serve(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Resolve the target, find the call, check access, and call its handler."""
    target = admit.target_of(request, services)
    if request.method == cors.PREFLIGHT and target.bucket:
        return preflight(request, services, target)
    call, work = admit.call_of(request, services, target)
    return await work(call)


def preflight(request: web.BaseRequest, services: Services, target: Target) -> web.StreamResponse:
    """Answer OptionObject: whether a page of another origin may send a request; it is not signed.

    Raises:
        NoSuchBucket: The bucket does not exist.
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


async def converse(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Answer and record a request."""
    record, response = services.recorder.begin(responses.request_id()), None
    record.begun = connection.came(request) or record.begun
    try:
        response = await _answer(request, services, record)
        if services.draining.is_set() and response.headers.get("Connection") == "close":
            request.protocol.close()  # aiohttp does not read its own header
        return response
    finally:  # also when the client leaves, which cancels the task
        services.recorder.end(record, request, response)


async def _answer(
    request: web.BaseRequest, services: Services, record: RequestRecord
) -> web.StreamResponse:
    """Answer a request, by the fast path if possible, and every error as OSS's XML."""
    known = None if services.draining.is_set() else services.fastpath.find(request, record)
    request[responses.RECORD], request[responses.ENDING] = record, services.draining
    if known and known[1].sharing:
        admit.share(request, known[1].sharing)
    if known and known[0].data is not None:
        return responses.again(request, known[0].data, known[1].headers, known[1].head)
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
    except SourceChanged as error:
        return _refused(request, record, ServiceUnavailable(error.message))
    except OssError as error:
        return _refused(request, record, error)
    except ConnectionError as error:  # the client has left, or the body was cut for a reason
        record.gone = True
        if isinstance(error.__cause__, OssError):
            record.code = error.__cause__.code
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except Exception:
        key = redacted(record.key)
        log.exception("request %s failed: bucket %s, key %r", record.identity, record.bucket, key)
        fault = InternalError("The server has a fault; its log has the request's id.")
        return _refused(request, record, fault)


def _refused(
    request: web.BaseRequest, record: RequestRecord, error: OssError
) -> web.StreamResponse:
    """Return the answer to an error, and record it."""
    record.code, record.ec, record.rule = error.code, error.ec, error.rule
    return responses.refusal(error, request)


def refuse(request: web.BaseRequest, error: OssError, services: Services) -> web.StreamResponse:
    """Return the answer to a malformed request, and record it."""
    record = request[responses.RECORD] = services.recorder.begin(responses.request_id())
    record.code = error.code
    response = responses.refusal(error, request)
    services.recorder.end(record, request, response)
    return response


def public(services: Services, handler: Handler = converse) -> Server:
    """Return the server of the public port, which has no router.

    Args:
        services: The services of the server.
        handler: Answers requests; the emulator's calls :func:`converse`.
    """
    return Server(
        partial(handler, services=services),
        refuse=partial(refuse, services=services),
        throttle=services.throttle,
        turns=services.turns,
        # answers without a handler would bypass another handler
        work=InlineAnswers(services) if handler is converse else None,
        handler_cancellation=True,
        access_log=None,
    )
