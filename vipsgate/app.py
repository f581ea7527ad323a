"""The conductor: what comes in over HTTP is resolved, checked, and given to the call that it is."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from functools import partial
from typing import Any

from aiohttp import web

from . import answer, api
from .errors import InternalError, NoSuchKey, OssError
from .gate import access, sign, target
from .house import House

log = logging.getLogger(__name__)


async def serve(request: web.BaseRequest, house: House) -> web.StreamResponse:
    """Find out what is asked for, by whom, and let the call answer."""
    asked = _resolve(request, house)
    row = api.find(request.method, asked)
    document = house.bucket(asked.bucket) or (house.plain if row.anew else None)
    grant = access.check(
        asked,
        request.method,
        sign.fields(request.headers.items()),
        document,
        house.keys,
        house.clock(),
        row.right,
    )
    return await row.work(api.Call(request, house, asked, grant))


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
    """Serve, and put every error as OSS words it."""
    begun = time.perf_counter()
    known = house.hot.find(request, house)
    if known and known[0].data is not None:
        return answer.again(known[0].data, known[1], begun)
    identity = request[answer.ID] = answer.request_id()
    request[answer.BEGUN] = begun
    refusal: OssError
    try:
        if known:
            with closing(known[0]) as kept:
                headers = {**known[1], **answer.hit(begun)}
                return await answer.content(request, kept.body, kept.size, 0, headers)
        return await serve(request, house)
    except OssError as error:
        refusal = error
    except ConnectionError:  # nobody is there to be told
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except Exception:
        log.exception("request %s failed: %s", identity, request.raw_path)
        refusal = InternalError("The server has a fault; its log has the request's id.")
    return answer.refusal(refusal, request)


def public(house: House, **options: Any) -> web.Server:
    """The server of the public port, which has no router: a path means what ``target`` says."""
    return web.Server(partial(converse, house=house), handler_cancellation=True, **options)


HOUSE = web.AppKey("house", House)


def admin(house: House) -> web.Application:
    """The application of the admin port: health, and what is kept of pictures."""
    app = web.Application()
    app[HOUSE] = house
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_delete("/cache/{bucket}/{key:.+}", _purge)
    return app


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    """503 with the reason while new work is not wanted; broken bucket documents are told of.

    These make nobody unready: an edit would take a whole fleet away, which serves what was good.
    """
    house = request.app[HOUSE]
    full = "queue full" if house.renderers.full else ""
    reason = "draining" if house.draining else house.store.away or full
    lines = [reason or "ready"]
    lines += [f"bucket {name}: {fault}" for name, fault in sorted(house.faults.items())]
    return web.Response(text="\n".join(lines) + "\n", status=503 if reason else 200)


async def _purge(request: web.Request) -> web.Response:
    """Forget all that has been made of an object; the key is percent-encoded."""
    await request.app[HOUSE].forget(request.match_info["bucket"], request.match_info["key"])
    return web.Response(status=204)
