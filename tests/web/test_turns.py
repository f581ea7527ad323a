"""New pictures begin by turns: how many in one iteration of the loop, and in which order."""

import asyncio

import pytest

from vipsgate.web.turns import Turns


def begin(turns: Turns, count: int, leaves: range = range(0)) -> list[int]:
    """Numbers of those that have begun, in their order, as they begin."""
    order: list[int] = []

    def start(number: int) -> bool:
        if number not in leaves:
            order.append(number)
        return number not in leaves

    for number in range(count):
        if turns.take():
            start(number)
        else:
            turns.wait(lambda number=number: start(number))  # type: ignore[misc]
    return order


async def test_few_begin_at_once() -> None:
    turns = Turns(3)
    assert begin(turns, 3) == [0, 1, 2]
    assert not len(turns)


@pytest.mark.parametrize("count", [1, 3, 4, 50])
async def test_all_begin_in_the_order_in_which_they_came(count: int) -> None:
    turns = Turns(3)
    order = begin(turns, count)
    while len(order) < count:
        await asyncio.sleep(0)
    assert order == list(range(count))
    assert not len(turns)


async def test_no_more_than_that_begin_in_one_iteration() -> None:
    turns = Turns(3)
    order = begin(turns, 50)
    seen = len(order)
    while len(order) < 50:
        await asyncio.sleep(0)
        assert len(order) - seen <= 3
        seen = len(order)


async def test_a_later_request_does_not_overtake_waiting_ones() -> None:
    turns = Turns(3)
    order = begin(turns, 20)
    await asyncio.sleep(0)
    assert not turns.take()
    turns.wait(lambda: order.append(99) or True)
    while len(turns):
        await asyncio.sleep(0)
    assert order == [*range(20), 99]


async def test_a_client_that_has_left_takes_no_turn() -> None:
    turns = Turns(3)
    order = begin(turns, 12, leaves=range(3, 9))
    await asyncio.sleep(0)
    assert order == [0, 1, 2, 9, 10, 11]


async def test_turns_come_again() -> None:
    turns = Turns(1)
    for _ in range(3):
        assert turns.take()
        assert not turns.take()
        await asyncio.sleep(0)
