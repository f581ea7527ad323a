"""Requests that are answered as soon as they are parsed: known ones, and refused ones.

A task of its own, and two iterations of the loop, are a third of what a hit takes. A request that
is known (:mod:`..delivery.fastpath`) and whose answer is at hand needs neither.

Of some thousand clients that ask again as soon as they are refused each takes, by the way of all
requests, a fifth of what a small picture takes. While no renderer is to be had a request is read no
further than its target, and gets its answer without a task of its own. Some go the whole way even
then, so many a second (``Services.lookups``): they may be kept, or under way for somebody else.
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
    """Which requests of the public port are known, and which are work, that may be refused.

    Args:
        services: What requests are answered with.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._refusal: Refusal | None = None  # as it was found last

    def knows(self, data: bytes) -> bool:
        """Is this a request that is known?"""
        return self._services.fastpath.knows(data)

    def answer(self, request: web.BaseRequest) -> prebuilt.Ready | None:
        """The answer to a request that is known, where it is still the same and a small one."""
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
        """Is this a request for a picture? What is lighter waits for no turn."""
        return IN_HEAD in data

    def full(self, waited: float) -> bool:
        """Would a picture be refused now, and not be one of the few that go the whole way?"""
        services = self._services
        if services.lookups.would_allow(time.monotonic()):
            return False
        self._refusal = services.renderers.refusal(waited)
        return self._refusal is not None

    def refusal(self, request: web.BaseRequest) -> prebuilt.Ready | None:
        """The answer to a request for a picture; ``None`` for any other one.

        Who may not have the picture is no more told to come again than at other times.
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
