"""The recorder: passes each finished request to the counters, the access log and the traces."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aiohttp import web

from ..errors import OssError
from .accesslog import AccessLog
from .counters import Counters, Histogram
from .record import CURRENT, GONE, RequestRecord

if TYPE_CHECKING:
    from .traces import Traces

T = TypeVar("T")
# the calls of a store that are timed; others are not slowed down
OPERATIONS = ("stat", "open", "list", "describe", "delete", "create", "remove", "buckets")
READ = "read"  # the name of reading a remote object
SERVERS_FAULT = 500  # the lowest status that is a fault of the server

log = logging.getLogger(__name__)


class Recorder:
    """Passes requests on to the counters, the access log and the traces.

    Args:
        log: The access log; ``None`` for none.
        traces: The traces; ``None`` for none.

    Attributes:
        counters: The counters.
        log: As the argument.
        traces: As the argument.
    """

    def __init__(self, log: AccessLog | None = None, traces: Traces | None = None) -> None:
        self.counters = Counters()
        self.log, self.traces = log, traces

    def begin(self, identity: str) -> RequestRecord:
        """Begin the record of a request, which is the present one from here on."""
        record = RequestRecord(time.perf_counter(), identity)
        CURRENT.set(record)
        self.counters.in_progress += 1
        return record

    def end(
        self, record: RequestRecord, request: web.BaseRequest, response: web.StreamResponse | None
    ) -> None:
        """End the record of a request, with its answer, or ``None`` if there will be none."""
        self.counters.in_progress -= 1
        self.note(record, request, response)

    def note(
        self, record: RequestRecord, request: web.BaseRequest, response: web.StreamResponse | None
    ) -> None:
        """Record a request that :meth:`begin` was not called for, with its answer."""
        seconds = time.perf_counter() - record.begun
        if response is None or record.gone:
            status, size = GONE, 0
        else:
            status = response.status
            size = 0 if request.method == "HEAD" else response.content_length or 0
        self.counters.answered(record, request.method, status, size, seconds)
        try:
            if self.log:
                self.log.add(record, request, status, size, seconds)
            if self.traces:
                self.traces.add(record, request, status, size)
        except Exception:
            log.exception("request %s could not be recorded", record.identity)

    def close(self) -> None:
        """Write what is left, if that can be done soon."""
        for sink in (self.log, self.traces):
            if sink:
                sink.close()

    def rendered(
        self, begun: float, queue: float, predicted: float, probe: float, render: float
    ) -> None:
        """Record a picture that a renderer has made.

        Args:
            begun: When it was requested, by ``time.perf_counter``.
            queue: Seconds of waiting for a renderer.
            predicted: The predicted seconds of waiting.
            probe: Seconds for the header.
            render: Seconds for everything, including the header.
        """
        stages = self.counters.stages.by
        stages["queue"].add(queue)
        self.counters.waits.by["real"].add(queue)
        self.counters.waits.by["predicted"].add(predicted)
        stages["probe"].add(probe)
        stages["render"].add(render - probe)
        if record := CURRENT.get():
            record.queue, record.render = queue, render
            start, end = begun + queue, time.perf_counter()
            record.spans += (("queue", begun, start), ("render", start, end))

    def store(self, store: T) -> T:
        """Return a store whose calls are timed, and whose failures are counted."""
        return cast(T, _Watched(store, self.counters))


class _Watched:
    """A store whose waiting calls are timed; other calls are those of the store itself."""

    def __init__(self, store: Any, counters: Counters) -> None:
        self._store = store
        self.fingerprint, self.has = store.fingerprint, store.has  # called for every answer
        self.object_acls, self.reread = store.object_acls, store.reread
        for name in (*OPERATIONS, READ):
            counters.store.by[name] = Histogram()
            counters.store_errors.sums[name,] = 0
        for name in OPERATIONS:
            setattr(self, name, _timed(name, getattr(store, name), counters))
        self._counters = counters

    def ranged(self, bucket: str) -> Any:
        """Return the reader of a remote object, which is timed until a part begins to arrive."""
        if (far := self._store.ranged(bucket)) is None:
            return None
        return SimpleNamespace(
            read=_timed(READ, far.read, self._counters),
            begin=_timed("open", far.begin, self._counters),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _timed(
    name: str, call: Callable[..., Awaitable[Any]], counters: Counters
) -> Callable[..., Awaitable[Any]]:
    spread, errors = counters.store.by[name], counters.store_errors.sums

    async def timed(*arguments: Any, **more: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await call(*arguments, **more)
        except Exception as error:
            if not isinstance(error, OssError) or error.status >= SERVERS_FAULT:
                errors[name,] += 1
            raise
        finally:
            end = time.perf_counter()
            spread.add(end - begun)
            if record := CURRENT.get():
                record.spans.append((f"store.{name}", begun, end))

    return timed
