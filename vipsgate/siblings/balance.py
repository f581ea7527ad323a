"""Which front gets the next connection; pure."""

from __future__ import annotations

from .table import Column, Table


def loads(table: Table) -> dict[int, int]:
    """Return the connections of each front that responds, those on their way to it included.

    Where none does, of each that is there: it may yet.
    """
    columns = (Column.CONNECTIONS, Column.SENT, Column.RECEIVED)
    rows = zip(*(table.column(column) for column in columns), strict=True)
    result = {
        front: connections + sent - received
        for front, (connections, sent, received) in enumerate(rows)
        if table.get(front, Column.ALIVE)
    }
    return {front: load for front, load in result.items() if table.responds(front)} or result


def spread(count: int, before: dict[int, int]) -> dict[int, int]:
    """Return how many of so many new connections each front gets, those with the fewest first."""
    after, result = dict(before), dict.fromkeys(before, 0)
    for _ in range(count if before else 0):
        front = min(after, key=lambda one: (after[one], one))
        after[front] += 1
        result[front] += 1
    return {front: number for front, number in result.items() if number}
