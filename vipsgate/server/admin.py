"""The admin port: health, metrics, explanations of requests, purges, and the console."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ..cache.purges import Kind
from ..console import frame
from ..console.visit import Console
from ..delivery import purge
from ..delivery.services import Services
from ..errors import InvalidArgument, InvalidRequest, MethodNotAllowed, NoSuchKey, OssError
from ..observe.record import RequestRecord
from ..web import responses
from ..web.server import Runner
from . import gauges, guard
from .admit import check_expectation
from .aggregate import Aggregator
from .explain import explain

INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
CLIENTS_FAULT = 400  # lowest status of an error
Application = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
MAX_FORM = 4 << 20  # bytes of a form, which may contain a bucket document, percent-encoded
SERVICES = web.AppKey("services", Services)
METRICS = web.AppKey("metrics", CollectorRegistry)
AGGREGATOR = web.AppKey("aggregator", Aggregator)


def application(
    services: Services, moment: gauges.Gauges, console: Console | None = None
) -> web.Application:
    """Return the application of the admin port.

    Args:
        services: The services of the server.
        moment: The gauges.
        console: The console; ``None`` for a new one.
    """
    app = web.Application(middlewares=[guard.check], client_max_size=MAX_FORM)
    app.on_response_prepare.append(_name)
    console = console or Console(services, explain)
    app[guard.CONSOLE] = console
    app[SERVICES], app[METRICS] = services, gauges.registry(services.recorder.counters, moment)
    if services.peers:
        app[AGGREGATOR] = Aggregator(services.peers, app[METRICS])
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/explain/{bucket}/{key:.+}", _explain)
    app.router.add_delete("/cache/{bucket}/{key:.+}", _forget)
    app.router.add_delete(f"/purge/{{kind:{'|'.join(purge.TABLE)}}}/{{bucket}}/{{text:.*}}", _purge)
    frame.mount(app, console)
    return app


async def _name(request: web.Request, response: web.StreamResponse) -> None:
    """Replace aiohttp's Server header."""
    response.headers["Server"] = responses.STEADY["Server"]


def refuse(request: web.BaseRequest, error: OssError) -> web.StreamResponse:
    """Return the answer to a refused request, as OSS's XML, like on the public port."""
    request.setdefault(responses.RECORD, RequestRecord(time.perf_counter(), responses.request_id()))
    return responses.refusal(error, request)


async def converse(request: web.BaseRequest, application: Application) -> web.StreamResponse:
    """Call the application, and answer its errors as OSS's XML.

    Errors of aiohttp's router are exceptions; those of the console are pages, and are not changed.
    """
    try:
        check_expectation(request)
        return await application(request)
    except OssError as error:
        return refuse(request, error)
    except web.HTTPException as error:
        if error.status < CLIENTS_FAULT:
            raise
        return refuse(request, _worded(request, error))


def _worded(request: web.BaseRequest, error: web.HTTPException) -> OssError:
    """Return an error of aiohttp's as an :class:`OssError`."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(
            "The specified method is not allowed against this resource.",
            extra={"Method": request.method},
            headers={"Allow": allowed},
        )
    if error.status == web.HTTPNotFound.status_code:
        return NoSuchKey("There is no such page on the admin port.")
    return InvalidRequest("The request cannot be answered by the admin port.")


def runner(services: Services, moment: gauges.Gauges, console: Console, **options: Any) -> Runner:
    """Return a runner of the admin port's application; see :func:`application`."""
    return run(application(services, moment, console), **options)


def run(app: web.Application, **options: Any) -> Runner:
    """Return a runner of an application that answers errors as OSS's XML."""
    return Runner(app, refuse=refuse, around=converse, **options)


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    """Answer 503 with the reason if no requests should be sent here, else 200.

    The answer also lists refused configurations and bucket documents. They do not make a server
    unready, as one wrong edit would take down a whole fleet, which still serves with the last good
    configuration. A store that does not answer does; a load balancer that prefers cached pictures
    to none then asks ``/readyz?despite=store``.
    """
    services = request.app[SERVICES]
    full = "queue full" if services.renderers.refusal() else ""
    away = "" if request.query.get("despite") == "store" else services.store.away
    reason = "draining" if services.draining.is_set() else away or full
    lines = [reason or "ready"]
    lines += [f"configuration: {refused}" for refused in services.configuration.refused]
    lines += [f"bucket {name}: {fault}" for name, fault in sorted(services.registry.faults.items())]
    return web.Response(text="\n".join(lines) + "\n", status=503 if reason else 200)


async def _metrics(request: web.Request) -> web.Response:
    """Answer with the metrics, as Prometheus text or OpenMetrics, by Accept."""
    write, kind = choose_encoder(request.headers.get("Accept", ""))
    aggregator = request.app.get(AGGREGATOR)
    moment = await aggregator.collect() if aggregator else gauges.Moment(request.app[METRICS])
    body = await asyncio.to_thread(write, moment)
    return web.Response(body=body, headers={"Content-Type": kind})


async def _explain(request: web.Request) -> web.Response:
    """Explain a request to the public port; see :mod:`vipsgate.server.explain`."""
    line = request.raw_path.removeprefix("/explain")
    headers = request.get(guard.HEADERS, request.headers)
    report = await explain(request.app[SERVICES], line, headers)
    return web.Response(body=orjson.dumps(report, option=INDENTED), content_type="application/json")


async def _forget(request: web.Request) -> web.Response:
    """Purge a key, by the older path for it."""
    place = request.match_info
    await purge.purge(request.app[SERVICES], "key", place["bucket"], place["key"])
    return web.Response(status=204)


async def _purge(request: web.Request) -> web.Response:
    """Purge by a row of :data:`purge.TABLE`; all arguments are in the path, which is signed.

    Raises:
        InvalidArgument: The key or style is empty, or there is a query, which is not used.
    """
    place = request.match_info
    kind, text = cast(Kind, place["kind"]), place["text"]
    if request.query_string or not (text or kind == "prefix"):
        raise InvalidArgument(f"It expects DELETE /purge/{kind}/BUCKET/{kind.upper()}.")
    await purge.purge(request.app[SERVICES], kind, place["bucket"], text)
    return web.Response(status=204)
