"""Selects the front for each new connection, the one with the fewest; pure."""

from __future__ import annotations

from .scoreboard import Column, Scoreboard


def loads(scoreboard: Scoreboard) -> dict[int, int]:
    """Return the number of connections of each front that responds, including those passed to it.

    If none responds, all fronts that are alive are included, as they may respond later.
    """
    columns = (Column.CONNECTIONS, Column.SENT, Column.RECEIVED)
    rows = zip(*(scoreboard.column(column) for column in columns), strict=True)
    result = {
        front: connections + sent - received
        for front, (connections, sent, received) in enumerate(rows)
        if scoreboard.get(front, Column.ALIVE)
    }
    return {front: load for front, load in result.items() if scoreboard.responds(front)} or result


def spread(count: int, loads: dict[int, int]) -> dict[int, int]:
    """Return how many of ``count`` new connections each front gets, the least loaded first.

    Args:
        count: New connections.
        loads: Connections of each front so far.
    """
    after, result = dict(loads), dict.fromkeys(loads, 0)
    for _ in range(count if loads else 0):
        front = min(after, key=lambda one: (after[one], one))
        after[front] += 1
        result[front] += 1
    return {front: number for front, number in result.items() if number}
