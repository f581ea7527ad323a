"""The conductor: what comes in over HTTP is resolved, checked, and given to the call that it is."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from functools import partial
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from .. import __version__, api
from ..delivery.services import House
from ..errors import ExpectationFailed, InternalError, NoSuchKey, OssError, shown
from ..gate import access, headers, sign, target
from ..observe.accesslog import redacted
from ..observe.record import Visit
from ..web import connection, responses
from . import gauges
from .explain import explain

log = logging.getLogger(__name__)


async def serve(request: web.BaseRequest, house: House) -> web.StreamResponse:
    """Find out what is asked for, by whom, and let the call answer."""
    _check_expectation(request)
    asked, visit = _resolve(request, house), request[responses.VISIT]
    visit.bucket, visit.key, visit.process = asked.bucket, asked.key, asked.process
    row = api.find(request.method, asked, request.headers)
    known = house.bucket(asked.bucket)
    document, visit.exists = known or (house.plain if row.anew else None), known is not None
    grant = access.check(
        asked,
        request.method,
        sign.fields(request.headers.items()),
        document,
        house.keys,
        house.clock(),
        row.right,
    )
    headers.check(row.name, row.headers, request.headers)
    return await row.work(api.Call(request, house, asked, grant))


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


def _resolve(request: web.BaseRequest, house: House) -> target.Target:
    """Bucket, key and parameters; see :func:`target.resolve`.

    Raises:
        InvalidObjectName: Something is to be stored under a name that nothing can have here.
    """
    endpoint, host = house.settings.server.endpoint, request.headers.get("Host", "")
    try:
        return target.resolve(request.raw_path, host, house.domains, endpoint)
    except NoSuchKey as error:
        if request.method in ("PUT", "POST"):
            target.check_stored_key(error.extra["Key"])
        raise


async def converse(request: web.BaseRequest, house: House) -> web.StreamResponse:
    """Answer, and have noted what came of it."""
    visit, response = house.watch.begin(responses.request_id()), None
    try:
        response = await _answer(request, house, visit)
        if house.draining.is_set() and response.headers.get("Connection") == "close":
            request.protocol.close()  # aiohttp does not read its own header
        return response
    finally:  # also when the client leaves, which cancels this
        house.watch.end(visit, request, response)


async def _answer(request: web.BaseRequest, house: House, visit: Visit) -> web.StreamResponse:
    """Serve, and put every error as OSS words it."""
    known = None if house.draining.is_set() else house.hot.find(request, house, visit)
    request[responses.VISIT], request[responses.ENDING] = visit, house.draining
    if known and known[0].data is not None:
        return responses.again(request, known[0].data, known[1].headers, known[1].head)
    refusal: OssError
    try:
        if known:
            with closing(known[0]) as kept:
                headers = {
                    **known[1].headers,
                    **responses.hit(visit.begun),
                    **house.handed(kept.file),
                }
                return await responses.content(request, kept.body, kept.size, 0, headers)
        if target.PROCESS in request.raw_path:  # what is lighter passes by
            await house.turns.wait()
        return await serve(request, house)
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


def refuse(request: web.BaseRequest, error: OssError, house: House) -> web.StreamResponse:
    """Return the answer to what is no request, and note it as one."""
    visit = request[responses.VISIT] = house.watch.begin(responses.request_id())
    visit.code = error.code
    response = responses.refusal(error, request)
    house.watch.end(visit, request, response)
    return response


def public(house: House) -> connection.Server:
    """The server of the public port, which has no router: a path means what ``target`` says."""
    return connection.Server(
        partial(converse, house=house),
        refuse=partial(refuse, house=house),
        throttle=house.throttle,
        handler_cancellation=True,
        access_log=None,
    )


INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
HOUSE = web.AppKey("house", House)
METRICS = web.AppKey("metrics", CollectorRegistry)


def admin(house: House) -> web.Application:
    """The application of the admin port: health, metrics, and what is kept of pictures."""
    app = web.Application()
    app.on_response_prepare.append(_name)
    app[HOUSE], app[METRICS] = house, gauges.registry(house, __version__)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/explain/{bucket}/{key:.+}", _explain)
    app.router.add_delete("/cache/{bucket}/{key:.+}", _purge)
    return app


async def _name(request: web.Request, response: web.StreamResponse) -> None:
    """Nobody needs to know what the server is made of."""
    response.headers["Server"] = responses.STEADY["Server"]


def refuse_admin(request: web.BaseRequest, error: OssError) -> web.StreamResponse:
    """Return the answer of the admin port to what is no request, and where it has a fault."""
    text = f"{error.status} {error.code}: {error.message}\n"
    return web.Response(status=error.status, text=text, headers=responses.STEADY)


def admin_runner(house: House, **options: Any) -> connection.Runner:
    """The admin port's application, to be run."""
    return connection.Runner(admin(house), refuse=refuse_admin, **options)


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    """503 with the reason while new work is not wanted; what was not taken over is told of.

    A configuration or a bucket document that is refused makes nobody unready: an edit would take a
    whole fleet away, which serves what was good. So would a store that is away, where nobody else
    has what a node has kept: whoever sends requests by this answer asks ``/readyz?despite=store``.
    """
    house = request.app[HOUSE]
    full = "queue full" if house.renderers.full else ""
    away = "" if request.query.get("despite") == "store" else house.store.away
    reason = "draining" if house.draining.is_set() else away or full
    lines = [reason or "ready"]
    lines += [f"configuration: {refused}" for refused in house.reloaded.refused]
    lines += [f"bucket {name}: {fault}" for name, fault in sorted(house.faults.items())]
    return web.Response(text="\n".join(lines) + "\n", status=503 if reason else 200)


async def _metrics(request: web.Request) -> web.Response:
    """In the form that the scraper asks for: Prometheus text, or OpenMetrics."""
    write, kind = choose_encoder(request.headers.get("Accept", ""))
    body = await asyncio.to_thread(write, gauges.Moment(request.app[METRICS]))
    return web.Response(body=body, headers={"Content-Type": kind})


async def _explain(request: web.Request) -> web.Response:
    """What a request to the public port comes to, and why; see :mod:`vipsgate.server.explain`."""
    line = request.raw_path.removeprefix("/explain")
    said = await explain(request.app[HOUSE], line, request.headers)
    return web.Response(body=orjson.dumps(said, option=INDENTED), content_type="application/json")


async def _purge(request: web.Request) -> web.Response:
    """Forget all that has been made of an object; the key is percent-encoded."""
    await request.app[HOUSE].forget(request.match_info["bucket"], request.match_info["key"])
    return web.Response(status=204)
