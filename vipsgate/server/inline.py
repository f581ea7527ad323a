"""Answers some requests as soon as they are parsed: remembered ones, and refused ones.

A task and two iterations of the event loop take a third of the time of a cache hit. A remembered
request (:mod:`..delivery.fastpath`) whose answer is in memory needs neither.

Handled in full, a refusal takes a fifth of the time of a small picture, which adds up if thousands
of clients retry as soon as they are refused. So while no renderer is available, a request for a
picture is refused without a task once its target is known. A limited number per second
(``Services.lookups``) is still handled in full, as their pictures may be cached or under way.
"""

from __future__ import annotations

import time

from aiohttp import web

from ..api import objects
from ..delivery.services import Services
from ..errors import OssError
from ..gate import access
from ..gate.target import PROCESS
from ..observe.record import RequestRecord
from ..renderers.admission import Refusal
from ..web import connection, prebuilt, responses
from . import admit

IN_HEAD = PROCESS.encode()


class InlineAnswers:
    """Implements :class:`vipsgate.web.connection.Work` for the public port.

    Args:
        services: The services of the server.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._refusal: Refusal | None = None  # the result of the last :meth:`full`

    def knows(self, data: bytes) -> bool:
        """Return whether a request that begins so is remembered."""
        return self._services.fastpath.knows(data)

    def answer(self, request: web.BaseRequest) -> prebuilt.Ready | None:
        """Return the answer to a remembered request if it is valid and small, else ``None``."""
        services = self._services
        if services.draining.is_set():
            return None
        record = RequestRecord(time.perf_counter(), responses.request_id())
        known = services.fastpath.find(request, record, most=responses.MAX_READ)
        if known is None or known[0].data is None:
            return None
        request[responses.RECORD] = record
        if known[1].sharing:
            admit.share(request, known[1].sharing)
        response = responses.again(request, known[0].data, known[1].headers, known[1].head)
        if not isinstance(response, prebuilt.Ready):
            return None
        services.recorder.note(record, request, response)
        return response

    def waits(self, data: bytes) -> bool:
        """Return whether a request may be for a picture; others do not wait for a turn."""
        return IN_HEAD in data

    def full(self, waited: float) -> bool:
        """Return whether a picture would be refused now, and is not to be handled in full."""
        services = self._services
        if services.lookups.would_allow(time.monotonic()):
            return False
        self._refusal = services.renderers.refusal(waited)
        return self._refusal is not None

    def refusal(self, request: web.BaseRequest) -> prebuilt.Ready | None:
        """Return the refusal of a request for a picture; ``None`` for any other request.

        A caller without access to the picture is not told to retry: that request is handled in
        full.
        """
        services, refusal = self._services, self._refusal
        if refusal is None or services.draining.is_set():
            return None
        if request.method != "GET" or not prebuilt.fits(request):
            return None
        record = RequestRecord(time.perf_counter(), responses.request_id())
        request[responses.RECORD], request[responses.ENDING] = record, services.draining
        try:
            target = admit.target_of(request, services)
            call, work = admit.call_of(request, services, target)
            if work is not objects.get or not call.target.process:
                return None
            access.check_source(call.grant, call.target, access.Seen(call.target.key))
        except OssError:
            return None
        error = services.renderers.refuse(refusal)
        record.begun, record.code = connection.came(request) or record.begun, error.code
        response = responses.refusal(error, request)
        assert isinstance(response, prebuilt.Ready)
        services.recorder.note(record, request, response)
        return response
