"""What the pool is doing at a moment, as plain numbers: for metrics and the console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """What the pool is doing, and how often it lost a worker.

    Attributes:
        permits: Jobs that may be worked on at a time, by lane.
        working: Jobs that are worked on, by lane.
        waiting: Jobs that wait, by lane.
        held: Bytes of memory for which jobs other than quick ones have a permit.
        waits: Seconds that the next job would wait, as predicted, by lane.
        queue: Jobs that may wait, in all lanes.
        queue_seconds: That a job may have to wait, as predicted.
        refusals: Jobs that were refused or not done in time, by reason.
        lent: Jobs that were given to other fronts.
        memory: Bytes that each worker holds, the spare one included.
        starts: Workers that were ever ready.
        ends: Workers that have ended since, by reason, a word of :data:`.workers.ENDS`.
    """

    permits: Mapping[str, int]
    working: Mapping[str, int]
    waiting: Mapping[str, int]
    held: int
    waits: Mapping[str, float]
    queue: int
    queue_seconds: float
    refusals: Mapping[str, int]
    lent: int
    memory: tuple[int, ...]
    starts: int
    ends: Mapping[str, int]
