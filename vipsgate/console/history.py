"""The last minutes of the server: a sample of its counters every few seconds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from aiohttp import web

from ..cache import tiers
from ..delivery.services import Services
from ..observe.counters import BOUNDS

INTERVAL = 5.0  # seconds between two samples
KEPT = 120  # samples that are kept: ten minutes
FAULT = "5"  # first digit of a status that is a fault of the server


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one moment.

    Attributes:
        time: Seconds since the epoch.
        requests: Requests answered so far.
        errors: Of these, answers with a status of 500 or more.
        pictures: Pictures sent so far.
        hits: Of these, pictures from the cache.
        spread: Answers so far by duration, a number for each of the counters' bounds.
        waiting: Pictures that are waiting for a renderer.
        working: Pictures that are being rendered.
    """

    time: float
    requests: float
    errors: float
    pictures: float
    hits: float
    spread: tuple[int, ...]
    waiting: int
    working: int


@dataclass(frozen=True, slots=True)
class Point:
    """The values between two samples; ``None`` if there were no requests or pictures.

    Attributes:
        time: Time of the later sample.
        requests: Requests a second.
        errors: Errors a second.
        ratio: Percentage of hits among the pictures sent, 0-100.
        median: Upper bound of the milliseconds in which half of the requests were answered.
        slow: Likewise for 99 of 100 requests.
        waiting: Waiting pictures at the later sample.
    """

    time: float
    requests: float
    errors: float
    ratio: float | None
    median: float | None
    slow: float | None
    waiting: float


class History:
    """The samples of a server."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    def add(self, sample: Sample) -> None:
        """Add a sample; the oldest one is dropped."""
        self._samples.append(sample)

    def points(self, now: Sample) -> list[Point]:
        """Return the points between all samples."""
        return [_point(one, other) for one, other in pairwise((*self._samples, now))]


HISTORY = web.AppKey("history", History)


def take(services: Services) -> Sample:
    """Return a sample of a server."""
    counters, state = services.recorder.counters, services.renderers.state()
    spreads = [spread.counts for spread in counters.durations.by.values()]
    answered, pictures = counters.requests.sums, counters.pictures.sums
    return Sample(
        services.clock(),
        sum(answered.values()),
        sum(count for (_, status, _), count in answered.items() if status.startswith(FAULT)),
        sum(pictures.values()),
        sum(count for (_, _, tier), count in pictures.items() if tier in tiers.HITS),
        tuple(map(sum, zip(*spreads, strict=True))) if spreads else (0,) * (len(BOUNDS) + 1),
        sum(state.waiting.values()),
        sum(state.working.values()),
    )


def follow(services: Services) -> Callable[[web.Application], AsyncIterator[None]]:
    """Context of the application that takes samples while it runs."""

    async def samples(app: web.Application) -> AsyncIterator[None]:
        async def run() -> None:
            while True:
                app[HISTORY].add(take(services))
                await asyncio.sleep(INTERVAL)

        task = asyncio.create_task(run())
        yield
        task.cancel()

    return samples


def _point(one: Sample, other: Sample) -> Point:
    seconds = max(0.001, other.time - one.time)
    pictures = other.pictures - one.pictures
    counts = [after - before for before, after in zip(one.spread, other.spread, strict=True)]
    return Point(
        other.time,
        (other.requests - one.requests) / seconds,
        (other.errors - one.errors) / seconds,
        100 * (other.hits - one.hits) / pictures if pictures else None,
        _quantile(counts, 0.5),
        _quantile(counts, 0.99),
        other.waiting,
    )


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the bound in milliseconds below which a share of answers is; ``None`` for none."""
    total, seen = sum(counts), 0
    if not total:
        return None
    for bound, count in zip((*BOUNDS, BOUNDS[-1]), counts, strict=True):
        seen += count
        if seen >= share * total:
            return bound * 1000
    return BOUNDS[-1] * 1000
