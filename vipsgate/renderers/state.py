"""A snapshot of the pool as plain numbers, for metrics and the console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot of the pool.

    Attributes:
        permits: Number of jobs that may be worked on at a time, by lane.
        working: Number of jobs that are being worked on, by lane.
        waiting: Number of waiting jobs, by lane.
        held: Bytes of memory that running jobs other than quick ones have a permit for.
        waits: Predicted wait of the next job in seconds, by lane.
        queue: Number of jobs that may wait, in all lanes.
        queue_seconds: Longest predicted wait of a job.
        refusals: Number of jobs refused or not done in time, by reason.
        lent: Number of jobs lent to other fronts so far.
        memory: Bytes that each worker holds, the spare one included.
        starts: Number of workers that have become ready so far.
        ends: Number of those that have ended, by reason (:data:`.workers.ENDS`).
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
