"""What is known of objects far away: for how long, and that equal questions are one."""

import asyncio

import pytest

from vipsgate.store.base import Object
from vipsgate.store.remote.head_cache import Head, HeadCache

ONE, TWO = Object(1, '"1"', 1.0), Object(2, '"2"', 2.0)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def heads(clock):
    return HeadCache(1.0, 60.0, clock)


def test_fresh_for_a_moment_and_stale_for_a_while(heads, clock):
    head = Head(ONE, since=clock.now)
    heads.keep("a", head)
    for age, fresh, stale in (
        (0, True, True),
        (1, True, True),
        (1.1, False, True),
        (61, False, False),
    ):
        clock.now = 100.0 + age
        assert (heads.fresh("a") is head, heads.stale("a") is head) == (fresh, stale)
        assert heads.known("a") is head


def test_with_no_seconds_nothing_is_fresh(clock):
    heads = HeadCache(0, 0, clock)
    heads.keep("a", Head(ONE, since=clock.now))
    assert heads.fresh("a") is None
    assert heads.stale("a") is None


def test_an_earlier_answer_does_not_replace_a_later_one(heads):
    heads.keep("a", Head(TWO, since=101.0))
    heads.keep("a", Head(ONE, since=100.0))
    assert heads.known("a").object == TWO


async def test_how_long_a_question_has_been_under_way(heads, clock):
    go = asyncio.Event()

    async def work():
        await go.wait()
        return Head(ONE, since=100.0)

    assert heads.waited("a") == 0
    asking = asyncio.create_task(heads.fetch("a", work))
    await asyncio.sleep(0)
    clock.now = 103.0
    assert (heads.waited("a"), heads.waited("b")) == (3, 0)
    go.set()
    await asking
    await asyncio.sleep(0)
    assert heads.waited("a") == 0


async def test_equal_questions_are_done_once(heads, clock):
    asked = []
    go = asyncio.Event()

    async def work():
        asked.append(1)
        await go.wait()
        return Head(ONE, since=clock.now)

    waiting = [asyncio.create_task(heads.fetch("a", work)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # the others still wait
    go.set()
    assert [(await one).object for one in waiting[1:]] == [ONE] * 4
    assert asked == [1]
    assert heads.fresh("a").object == ONE
    await heads.fetch("a", work)
    assert asked == [1, 1]


async def test_a_question_from_before_a_write_is_not_kept(heads, clock):
    go = asyncio.Event()

    async def work():
        await go.wait()
        return Head(ONE, since=clock.now)

    before = asyncio.create_task(heads.fetch("a", work))
    await asyncio.sleep(0)
    heads.drop("a")  # somebody writes

    async def now():
        return Head(TWO, since=clock.now + 1)

    assert (await heads.fetch("a", now)).object == TWO
    go.set()
    assert (await before).object == ONE
    assert heads.known("a").object == TWO


async def test_a_failure_is_for_all_and_not_kept(heads):
    async def work():
        await asyncio.sleep(0)
        raise RuntimeError

    for one in [asyncio.create_task(heads.fetch("a", work)) for _ in range(2)]:
        with pytest.raises(RuntimeError):
            await one
    assert heads.known("a") is None
