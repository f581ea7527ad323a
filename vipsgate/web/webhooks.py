"""Sends webhooks to caches in front, in the background, with retries.

Events wait in memory, in a bounded queue for each hook. When the server is stopped, it sends those
that wait, within seconds; when it is killed, they are lost. To survive that, each write would have
to wait for a second file on the disk. A CDN keeps an answer no longer than the bucket's
``cache_control`` allows, which bounds the effect of a lost event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from ..gate import acs3
from ..gate.webhook import Event, Hook, Request

SENT, FAILED, DROPPED, RETRIED = RESULTS = ("sent", "failed", "dropped", "retried")
MAX_ANSWER = 1 << 16  # bytes that are read of an answer
BACKOFF, MAX_BACKOFF = 1.0, 60.0  # longest wait before the second attempt, and before any, seconds
MAX_RETRY_AFTER = 300.0  # largest Retry-After that is obeyed, in seconds
FOR_NOW = frozenset((408, 425, 429))  # statuses that are retried, besides 5xx
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """A hook, and how its requests are sent.

    Attributes:
        hook: The hook.
        timeout: Timeout of one request, in seconds.
        tries: The most attempts for one request.
        delay: Time between an event and its request, in seconds.
        queue: The most events that wait.
    """

    hook: Hook
    timeout: float = 10.0
    tries: int = 5
    delay: float = 0.0
    queue: int = 10_000


class Webhooks:
    """Sends events to all hooks.

    Args:
        ways: The hooks.
        chosen: Returns the kinds of cache tags that the answers of a bucket have.

    Attributes:
        counts: Number of events by result, and of retried requests; by a word of :data:`RESULTS`.
    """

    def __init__(
        self, ways: Sequence[Way] = (), chosen: Callable[[str], Sequence[str]] = lambda bucket: ()
    ) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self._client = _Client()
        self._lanes = [_Lane(way, chosen, self.counts, self._client) for way in ways]

    @property
    def waiting(self) -> int:
        """Number of events that wait or are being sent."""
        return sum(lane.waiting for lane in self._lanes)

    @property
    def any(self) -> bool:
        """Whether there are any hooks."""
        return bool(self._lanes)

    def tell(self, event: Event) -> None:
        """Queue an event for all hooks that want it."""
        for lane in self._lanes:
            lane.add(event)

    async def close(self, seconds: float) -> None:
        """Send the events that wait, as far as possible within ``seconds``."""
        await asyncio.gather(*(lane.close(seconds) for lane in self._lanes))
        await self._client.close()


class _Client:
    """Sends requests, in one session that is opened by the first."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, timeout: float) -> tuple[int, str]:
        """Return the status of the answer, and its Retry-After.

        Raises:
            aiohttp.ClientError: There is no answer.
            OSError: Likewise.
            TimeoutError: There is none in time.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "vipsgate"},
                skip_auto_headers=("Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        async with (
            asyncio.timeout(timeout),
            self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
            ) as response,
        ):
            await response.content.read(MAX_ANSWER)
            return response.status, response.headers.get("Retry-After", "")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Lane:
    """The events of one hook, sent in their order."""

    def __init__(
        self,
        way: Way,
        chosen: Callable[[str], Sequence[str]],
        counts: Counter[str],
        client: _Client,
    ) -> None:
        self._way, self._chosen, self._counts, self._client = way, chosen, counts, client
        self._queue: deque[tuple[float, Event]] = deque()  # with the times since when they wait
        self._pending: Counter[Event] = Counter()
        self._sending = 0
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._full = False

    @property
    def waiting(self) -> int:
        return len(self._queue) + self._sending

    def add(self, event: Event) -> None:
        """Queue an event; without a delay, an equal event that waits already is not repeated."""
        way = self._way
        if not way.hook.wants(event) or (not way.delay and event in self._pending):
            return
        if len(self._queue) >= way.queue:
            self._counts[DROPPED] += 1
            if not self._full:
                log.error("webhook %s: %d events wait, more are lost", way.hook.name, way.queue)
            self._full = True
            return
        self._queue.append((time.monotonic(), event))
        self._pending[event] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def close(self, seconds: float) -> None:
        self._ending.set()
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._task)
        if self.waiting:
            lost = self.waiting
            log.error("webhook %s: %d events are lost at the end", self._way.hook.name, lost)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _work(self) -> None:
        """Tell until nothing waits."""
        while self._queue:
            due = self._queue[0][0] + self._way.delay
            await self._pause(due - time.monotonic())
            events = self._take()
            try:
                result = await self._tell(events)
            except Exception:  # a fault of ours; others are told all the same
                log.exception("webhook %s", self._way.hook.name)
                result = FAILED
            self._counts[result] += len(events)
            self._sending = 0

    def _take(self) -> list[Event]:
        """The next events of one bucket that are due, as many as go into one request."""
        events: list[Event] = []
        until = time.monotonic() - self._way.delay
        while self._queue and len(events) < self._way.hook.together:
            since, event = self._queue[0]
            if events and (event.bucket != events[0].bucket or self._early(since, until)):
                break
            self._queue.popleft()
            self._pending -= Counter((event,))
            events.append(event)
        self._sending, self._full = len(events), False
        return events

    def _early(self, since: float, until: float) -> bool:
        return since > until and not self._ending.is_set()

    async def _tell(self, events: Sequence[Event]) -> str:
        """Send a request, with retries, and return the result, :data:`SENT` or :data:`FAILED`."""
        way = self._way
        request = way.hook.request(events, self._chosen(events[0].bucket))
        reason = ""
        for attempt in range(way.tries):
            if attempt:
                self._counts[RETRIED] += 1
            wait = min(MAX_BACKOFF, BACKOFF * 2**attempt) * random.uniform(0.5, 1)
            try:
                status, later = await self._client.send(self._signed(request), way.timeout)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = type(error).__name__
            else:
                if 200 <= status < 300:
                    return SENT
                reason = f"status {status}"
                if status not in FOR_NOW and status < 500:
                    break
                if later.isascii() and later.isdigit() and len(later) < 6:
                    wait = max(wait, min(MAX_RETRY_AFTER, int(later)))
            if attempt + 1 < way.tries:
                await self._pause(wait)
        log.error("webhook %s: %d events could not be sent: %s", way.hook.name, len(events), reason)
        return FAILED

    def _signed(self, request: Request) -> Request:
        """Return a request with a new signature, if the hook has a signer."""
        if self._way.hook.signer is None:
            return request
        key_id, secret = self._way.hook.signer
        added = acs3.sign(
            *(request.method, request.url, request.headers, request.body),
            key_id=key_id,
            secret=secret,
            now=time.time(),
            nonce=secrets.token_hex(16),
        )
        headers = (*request.headers, *added.items())
        return Request(request.method, request.url, headers, request.body)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the server stops."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ending.wait()
