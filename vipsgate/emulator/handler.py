"""The handler of the emulator: records each request, and applies faults.

Renderers are started by the first request that may need one, because they take longer to start than
everything else, and test suites that only store and read objects never need them.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

from .. import api
from ..buckets import SYNTHETIC
from ..delivery.services import Services
from ..errors import OssError, ServiceUnavailable
from ..gate.target import PROCESS, resolve
from ..renderers.workers import StartError
from ..server import app
from ..web import responses
from .cut import CutTransport
from .faults import Fault, Faults
from .requests import Request, Requests


class Handler:
    """Answers requests like the server, unless a fault applies.

    Args:
        faults: The rules.
        requests: The list that each request is added to.
    """

    def __init__(self, faults: Faults, requests: Requests) -> None:
        self._faults, self._requests = faults, requests
        self._started: asyncio.Task[None] | None = None

    async def answer(self, request: web.BaseRequest, services: Services) -> web.StreamResponse:
        """Answer one request."""
        record = described(request, services)
        self._requests.add(record)
        try:
            fault = self._faults.meet(record)
            response = await self._respond(request, services, fault, record)
            record.status = 0 if fault and fault.cut != "" else response.status
            if known := request.get(responses.RECORD):
                record.code = known.code
            return response
        finally:
            record.ended = True

    async def _respond(
        self, request: web.BaseRequest, services: Services, fault: Fault | None, record: Request
    ) -> web.StreamResponse:
        if fault:
            await asyncio.sleep(fault.latency)
            if fault.cut == "request":
                return _cut(request)
            if fault.status:
                return app.refuse(request, error_of(fault), services)
        if may_render(request, record, services):
            try:
                await self._start(services)
            except StartError as error:
                refusal = ServiceUnavailable(f"Pictures cannot be made: {error}")
                return app.refuse(request, refusal, services)
        if fault is None or fault.cut == "" or request.transport is None:
            return await app.converse(request, services)
        transport = CutTransport(
            request.transport, None if fault.cut == "answer" else cast(int, fault.cut)
        )
        request.protocol.transport = cast(Any, transport)
        try:
            return await app.converse(request, services)
        finally:
            transport.close_pair()

    async def _start(self, services: Services) -> None:
        """Wait until there are renderers; after a failure, the next request tries again.

        Raises:
            StartError: They cannot be started.
        """
        if self._started is None:
            self._started = asyncio.create_task(services.renderers.start())
        task = self._started
        await asyncio.wait({task})
        if task.exception():
            self._started = None if self._started is task else self._started
            task.result()


def described(request: web.BaseRequest, services: Services) -> Request:
    """Return the record of a request before it is processed.

    If the request is malformed, the record has no bucket, key or call.
    """
    bucket, key, call, query = "", "", "", []
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        endpoint, host = services.settings.server.endpoint, headers.get("host", "")
        target = resolve(request.raw_path, host, services.registry.domains, endpoint)
        bucket, key, query = target.bucket, target.key, list(target.query)
        call = api.find(request.method, target, request.headers).name
    except OssError:
        pass
    return Request(request.method, bucket, key, call, query, headers)


def may_render(request: web.BaseRequest, record: Request, services: Services) -> bool:
    """Return whether the answer may need rendering: by process, style, older form, or origin."""
    if PROCESS in request.raw_path:
        return True
    bucket = services.registry.declared.get(record.bucket) or services.registry.documents.known.get(
        record.bucket
    )
    legacy = services.settings.server.legacy_at_api or ".img-" in request.headers.get("Host", "")
    return legacy or bool(
        bucket and (bucket.separators or bucket.legacy_at_api or bucket.origin == SYNTHETIC)
    )


def error_of(fault: Fault) -> OssError:
    """Return the error of a rule."""
    kind = type("InjectedError", (OssError,), {"status": fault.status, "code": fault.oss_code()})
    error: OssError = kind(fault.message, headers=fault.headers)
    return error


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # not sent
