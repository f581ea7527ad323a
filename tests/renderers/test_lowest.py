"""The lowest lane: whose turn it is, and what becomes of those who give up."""

import asyncio

import pytest

from vipsgate.renderers.lowest import FullError, Lowest


class Rim:
    """What others do."""

    quiet = True


@pytest.fixture
def rim():
    return Rim()


@pytest.fixture
def lane(rim):
    return Lowest(lambda: rim.quiet, permits=2, queue=3, timeout=5.0)


async def began(lane, log, name, end):
    async with lane.turn():
        log.append(name)
        await end.wait()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_in_their_order_and_not_more_than_may(lane):
    log, end = [], asyncio.Event()
    tasks = [asyncio.ensure_future(began(lane, log, number, end)) for number in range(4)]
    await settle()
    assert log == [0, 1]
    end.set()
    await asyncio.gather(*tasks)
    assert log == [0, 1, 2, 3]


async def test_nobody_begins_before_it_is_quiet(lane, rim):
    rim.quiet = False
    log, end = [], asyncio.Event()
    task = asyncio.ensure_future(began(lane, log, "a", end))
    await settle()
    lane.advance()
    await settle()
    assert log == []
    rim.quiet = True
    lane.advance()
    await settle()
    assert log == ["a"]
    end.set()
    await task


async def test_too_many_are_refused(lane, rim):
    rim.quiet = False
    tasks = [asyncio.ensure_future(began(lane, [], 1, asyncio.Event())) for _ in range(3)]
    await settle()
    with pytest.raises(FullError):
        await began(lane, [], 1, asyncio.Event())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_who_waits_too_long_is_refused(rim):
    rim.quiet = False
    lane = Lowest(lambda: rim.quiet, permits=1, queue=3, timeout=0.01)
    with pytest.raises(FullError):
        await began(lane, [], 1, asyncio.Event())
    rim.quiet, end = True, asyncio.Event()
    end.set()
    await began(lane, [], 2, end)  # nothing is left of it


@pytest.mark.parametrize("moment", ["waiting", "in its turn", "as its turn comes"])
async def test_who_leaves_takes_nobodys_turn(lane, rim, moment):
    for _ in range(4):  # more than there are permits
        rim.quiet = moment == "in its turn"
        task = asyncio.ensure_future(began(lane, [], 1, asyncio.Event()))
        await settle()
        if moment == "as its turn comes":
            rim.quiet = True
            lane.advance()
        task.cancel()
        await asyncio.wait({task})
    rim.quiet, end = True, asyncio.Event()
    end.set()
    log = []
    await asyncio.gather(began(lane, log, 1, end), began(lane, log, 2, end))
    assert log == [1, 2]
