"""The last minutes of the server in its own numbers: a sample every few seconds."""

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
KEPT = 120  # samples: ten minutes
FAULT = "5"  # first digit of a status that is the server's doing


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one moment.

    Attributes:
        time: Seconds since the epoch.
        requests: Answered so far.
        errors: Of these, with a status of 500 or more.
        pictures: Sent so far.
        hits: Of these, kept from before.
        spread: Answers so far by how long they took, a number for each of the counters' bounds.
        waiting: Pictures that wait for a renderer now.
        working: Pictures that are worked on now.
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
    """What was between two samples; ``None`` where nothing was.

    Attributes:
        time: Of the later one.
        requests: A second.
        errors: A second.
        ratio: Hits of the pictures sent, 0 to 100.
        median: Milliseconds in which half of the requests were answered, at most.
        slow: Likewise 99 of 100.
        waiting: At the later one.
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
        """One more; the oldest goes."""
        self._samples.append(sample)

    def points(self, now: Sample) -> list[Point]:
        """What was between each two samples, up to now."""
        return [_point(one, other) for one, other in pairwise((*self._samples, now))]


HISTORY = web.AppKey("history", History)


def take(services: Services) -> Sample:
    """A sample of a server."""
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
    """What takes samples while an application runs."""

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
    """The bound, in milliseconds, below which that share of them is; ``None`` for none."""
    total, seen = sum(counts), 0
    if not total:
        return None
    for bound, count in zip((*BOUNDS, BOUNDS[-1]), counts, strict=True):
        seen += count
        if seen >= share * total:
            return bound * 1000
    return BOUNDS[-1] * 1000
