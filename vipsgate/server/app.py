"""The conductor: what comes in over HTTP is resolved, checked, and given to the call that it is."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial

from aiohttp import web

from .. import api
from ..delivery.services import Services
from ..errors import ExpectationFailed, InternalError, NoSuchKey, OssError, shown
from ..gate import access, headers, sign, target
from ..observe.accesslog import redacted
from ..observe.record import Visit
from ..web import connection, responses

log = logging.getLogger(__name__)


async def serve(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Find out what is asked for, by whom, and let the call answer."""
    _check_expectation(request)
    asked, visit = _resolve(request, services), request[responses.VISIT]
    visit.bucket, visit.key, visit.process = asked.bucket, asked.key, asked.process
    row = api.find(request.method, asked, request.headers)
    known = services.registry.get(asked.bucket)
    document, visit.exists = (
        known or (services.registry.plain if row.anew else None),
        known is not None,
    )
    grant = access.check(
        asked,
        request.method,
        sign.fields(request.headers.items()),
        document,
        services.configuration.keys,
        services.clock(),
        row.right,
    )
    headers.check(row.name, row.headers, request.headers)
    return await row.work(api.Call(request, services, asked, grant))


def _check_expectation(request: web.BaseRequest) -> None:
    """Refuse what cannot be met (RFC 9110, 10.1.1); HTTP/1.0 has no expectations.

    Raises:
        ExpectationFailed: It is another one than 100-continue.
    """
    expected = request.headers.get("Expect")
    if expected and request.version >= (1, 1) and expected.lower() != "100-continue":
        raise ExpectationFailed(
            f"The value: {shown(expected)!r} of header: Expect is invalid. It expects 100-continue."
        )


def _resolve(request: web.BaseRequest, services: Services) -> target.Target:
    """Bucket, key and parameters; see :func:`target.resolve`.

    Raises:
        InvalidObjectName: Something is to be stored under a name that nothing can have here.
    """
    endpoint, host = services.settings.server.endpoint, request.headers.get("Host", "")
    try:
        return target.resolve(request.raw_path, host, services.registry.domains, endpoint)
    except NoSuchKey as error:
        if request.method in ("PUT", "POST"):
            target.check_stored_key(error.extra["Key"])
        raise


async def converse(request: web.BaseRequest, services: Services) -> web.StreamResponse:
    """Answer, and have noted what came of it."""
    visit, response = services.watch.begin(responses.request_id()), None
    try:
        response = await _answer(request, services, visit)
        if services.draining.is_set() and response.headers.get("Connection") == "close":
            request.protocol.close()  # aiohttp does not read its own header
        return response
    finally:  # also when the client leaves, which cancels this
        services.watch.end(visit, request, response)


async def _answer(request: web.BaseRequest, services: Services, visit: Visit) -> web.StreamResponse:
    """Serve, and put every error as OSS words it."""
    known = None if services.draining.is_set() else services.fastpath.find(request, visit)
    request[responses.VISIT], request[responses.ENDING] = visit, services.draining
    if known and known[0].data is not None:
        return responses.again(request, known[0].data, known[1].headers, known[1].head)
    refusal: OssError
    try:
        if known:
            with closing(known[0]) as kept:
                headers = {
                    **known[1].headers,
                    **responses.hit(visit.begun),
                    **services.handed(kept.file),
                }
                return await responses.content(request, kept.body, kept.size, 0, headers)
        if target.PROCESS in request.raw_path:  # what is lighter passes by
            await services.turns.wait()
        return await serve(request, services)
    except OssError as error:
        refusal = error
    except ConnectionError:  # nobody is there to be told
        visit.gone = True
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except Exception:
        key = redacted(visit.key)
        log.exception("request %s failed: bucket %s, key %r", visit.identity, visit.bucket, key)
        refusal = InternalError("The server has a fault; its log has the request's id.")
    visit.code, visit.ec, visit.rule = refusal.code, refusal.ec, refusal.rule
    return responses.refusal(refusal, request)


def refuse(request: web.BaseRequest, error: OssError, services: Services) -> web.StreamResponse:
    """Return the answer to what is no request, and note it as one."""
    visit = request[responses.VISIT] = services.watch.begin(responses.request_id())
    visit.code = error.code
    response = responses.refusal(error, request)
    services.watch.end(visit, request, response)
    return response


def public(services: Services) -> connection.Server:
    """The server of the public port, which has no router: a path means what ``target`` says."""
    return connection.Server(
        partial(converse, services=services),
        refuse=partial(refuse, services=services),
        throttle=services.throttle,
        handler_cancellation=True,
        access_log=None,
    )
