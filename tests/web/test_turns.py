"""New pictures begin by turns: how many in one iteration of the loop, and in which order."""

import asyncio

import pytest

from vipsgate.web.turns import Turns


async def begun(turns: Turns, count: int) -> tuple[list[int], list[asyncio.Task[None]]]:
    """Numbers of those that have begun, in their order, as they begin."""
    order: list[int] = []

    async def begin(number: int) -> None:
        await turns.wait()
        order.append(number)

    return order, [asyncio.create_task(begin(number)) for number in range(count)]


async def test_few_begin_at_once() -> None:
    turns = Turns(3)
    for _ in range(3):
        await asyncio.wait_for(turns.wait(), None)
    assert not len(turns)


@pytest.mark.parametrize("count", [1, 3, 4, 50])
async def test_all_begin_in_the_order_in_which_they_came(count: int) -> None:
    turns = Turns(3)
    order, tasks = await begun(turns, count)
    await asyncio.gather(*tasks)
    assert order == list(range(count))
    assert not len(turns)


async def test_no_more_than_that_begin_in_one_iteration() -> None:
    turns = Turns(3)
    order, tasks = await begun(turns, 50)
    seen = 0
    while len(order) < 50:
        await asyncio.sleep(0)
        assert len(order) - seen <= 3
        seen = len(order)
    await asyncio.gather(*tasks)


async def test_who_comes_later_does_not_pass_those_that_wait() -> None:
    turns = Turns(3)
    order, tasks = await begun(turns, 20)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    async def late() -> None:
        await turns.wait()
        order.append(99)

    await asyncio.gather(late(), *tasks)
    assert order == [*range(20), 99]


async def test_who_has_left_takes_no_turn() -> None:
    turns = Turns(3)
    order, tasks = await begun(turns, 12)
    await asyncio.sleep(0)
    for task in tasks[3:9]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 9, 10, 11]
    await turns.wait()
