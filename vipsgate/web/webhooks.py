"""Webhooks that are sent: caches in front are told, in the background, again where that failed.

Nobody waits for them. Events wait in memory, a bounded queue for each hook; what is there at an
orderly end is sent before it, within seconds, and what a sudden end takes away is lost. To have it
survive that, each writer would have to wait for a second file on the disk; and a CDN keeps nothing
for longer than the bucket's ``cache_control`` lets it, so that bounds what may be lost.
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
BACKOFF, MAX_BACKOFF = 1.0, 60.0  # seconds before the second try, and before any
MAX_RETRY_AFTER = 300.0  # seconds that an answer may ask for
FOR_NOW = frozenset((408, 425, 429))  # besides 5xx: what may be otherwise later
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """How a hook is told.

    Attributes:
        hook: Whom, and in which words.
        timeout: Seconds for one request.
        tries: How often one is sent at most.
        delay: Seconds between an event and its request.
        queue: Events that may wait.
    """

    hook: Hook
    timeout: float = 10.0
    tries: int = 5
    delay: float = 0.0
    queue: int = 10_000


class Webhooks:
    """All hooks.

    Args:
        ways: Those that there are.
        chosen: Says which tags the answers of a bucket have.

    Attributes:
        counts: Events, and requests that were sent again, by what came of them.
    """

    def __init__(
        self, ways: Sequence[Way] = (), chosen: Callable[[str], Sequence[str]] = lambda bucket: ()
    ) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self._client = _Client()
        self._lanes = [_Lane(way, chosen, self.counts, self._client) for way in ways]

    @property
    def waiting(self) -> int:
        """Events that wait, those that are being told of among them."""
        return sum(lane.waiting for lane in self._lanes)

    @property
    def any(self) -> bool:
        """Is there anybody to be told?"""
        return bool(self._lanes)

    def tell(self, event: Event) -> None:
        """Have an event told to all who are to know of it; at once back."""
        for lane in self._lanes:
            lane.add(event)

    async def close(self, seconds: float) -> None:
        """Send what waits, as far as that can be within some seconds."""
        await asyncio.gather(*(lane.close(seconds) for lane in self._lanes))
        await self._client.close()


class _Client:
    """Sends requests, by one session that begins with the first of them."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, timeout: float) -> tuple[int, str]:
        """Return the status of the answer, and its Retry-After.

        Raises:
            aiohttp.ClientError: There is none.
            OSError: Likewise.
            TimeoutError: Not in time.
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
    """The events of one hook, told in their order."""

    def __init__(
        self,
        way: Way,
        chosen: Callable[[str], Sequence[str]],
        counts: Counter[str],
        client: _Client,
    ) -> None:
        self._way, self._chosen, self._counts, self._client = way, chosen, counts, client
        self._queue: deque[tuple[float, Event]] = deque()  # since when each waits
        self._pending: Counter[Event] = Counter()
        self._sending = 0
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._full = False

    @property
    def waiting(self) -> int:
        return len(self._queue) + self._sending

    def add(self, event: Event) -> None:
        """Have an event told; one that waits already, to be told at once, is told once."""
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
        """Send a request until it is taken, or it cannot be; what came of it."""
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
        log.error("webhook %s: %d events could not be told: %s", way.hook.name, len(events), reason)
        return FAILED

    def _signed(self, request: Request) -> Request:
        """The same with a signature of this moment, where the hook signs."""
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
        """Wait, but for the end."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ending.wait()
