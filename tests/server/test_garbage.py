"""When garbage is looked for: new objects while requests come, all of them when none do."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator

import pytest

from vipsgate.server import garbage

SOON_S = 5.0


class Cycle:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The generations that were looked through, in a collector that does nothing by itself."""
    seen: list[int] = []
    gc.disable()
    collect = gc.collect

    def counted(generation: int = 2) -> int:
        seen.append(generation)
        return collect(generation)

    monkeypatch.setattr(gc, "collect", counted)
    monkeypatch.setattr(garbage, "YOUNG_SECONDS", 0.001)
    monkeypatch.setattr(garbage, "IDLE_SECONDS", 0.001)
    yield seen
    gc.enable()


async def until(task: asyncio.Task[None], condition: Callable[[], bool]) -> None:
    """Wait for a condition while a task runs, and end that."""
    async with asyncio.timeout(SOON_S):
        while not condition():
            assert not task.done()
            await asyncio.sleep(0.001)
    task.cancel()


async def test_new_garbage_goes_while_requests_come(looks: list[int]) -> None:
    left = weakref.ref(Cycle())
    task = asyncio.create_task(garbage.collect(itertools.count().__next__))
    await until(task, lambda: left() is None)
    assert set(looks) == {0}


async def test_nothing_is_looked_through_where_no_request_comes(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "OLD_SECONDS", 0.0)
    task = asyncio.create_task(garbage.collect(lambda: 7))
    await asyncio.sleep(0.05)
    task.cancel()
    assert not looks


@pytest.mark.parametrize("busy", [False, True])
async def test_old_garbage_goes_when_no_request_comes_or_seldom(
    looks: list[int], monkeypatch: pytest.MonkeyPatch, *, busy: bool
) -> None:
    monkeypatch.setattr(garbage, "OLD_SECONDS", 60.0 if busy else 0.02)
    monkeypatch.setattr(garbage, "BUSY_SECONDS", 0.02 if busy else 60.0)
    cycle = Cycle()
    left = weakref.ref(cycle)
    gc.collect(1)  # it is no new object any more
    looks.clear()
    del cycle
    few = itertools.chain((0, 1), itertools.repeat(2))
    task = asyncio.create_task(garbage.collect((itertools.count() if busy else few).__next__))
    await until(task, lambda: left() is None)
    assert looks.count(2) == 1
