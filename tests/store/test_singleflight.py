"""Equal work: done once for all who want it, and given up with the last of them."""

import asyncio
import os

from vipsgate.errors import ImageDamage
from vipsgate.store.base import Object, Opened
from vipsgate.store.singleflight import SingleFlight


def opened():
    descriptor = os.memfd_create("data")
    os.write(descriptor, b"data")
    return Opened(Object(4, '"1"', 1.0), descriptor)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def test_equal_work_is_done_once():
    flights, done, before = SingleFlight(), [], descriptors()

    async def work():
        done.append(1)
        await asyncio.sleep(0.01)
        return opened()

    tasks = [asyncio.create_task(flights.join("a", work)) for _ in range(20)]
    await asyncio.sleep(0)
    assert (flights.waiting, len(flights)) == (20, 1)
    found = await asyncio.gather(*tasks)
    assert flights.waiting == 0
    assert [joined for _, joined in found] == [False] + [True] * 19
    assert all(one.read() == b"data" for one, _ in found)
    for one, _ in found:
        one.close()
    await asyncio.sleep(0)
    assert (len(done), len(flights), descriptors()) == (1, 0, before)


async def test_what_fails_fails_for_all_and_is_forgotten():
    flights = SingleFlight()

    async def work():
        await asyncio.sleep(0.01)
        raise ImageDamage("no")

    found = await asyncio.gather(
        *(flights.join("a", work) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in found] == [ImageDamage] * 3
    assert len(flights) == 0


async def test_the_first_may_leave():
    flights, begun, before = SingleFlight(), asyncio.Event(), descriptors()

    async def work():
        begun.set()
        await asyncio.sleep(0.02)
        return opened()

    first = asyncio.create_task(flights.join("a", work))
    await begun.wait()
    second = asyncio.create_task(flights.join("a", work))
    await asyncio.sleep(0)
    first.cancel()
    one, joined = await second
    assert (one.read(), joined) == (b"data", True)
    one.close()
    await asyncio.sleep(0)
    assert descriptors() == before


async def test_when_the_last_leaves_the_work_is_cancelled():
    flights, ended = SingleFlight(), []

    async def work():
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(1)

    tasks = [asyncio.create_task(flights.join("a", work)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
        assert not ended
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert (ended, len(flights)) == ([1], 0)

    async def dup():
        return opened()

    one, joined = await flights.join("a", dup)
    one.close()
    assert not joined


async def test_a_caller_that_comes_when_work_is_just_done_gets_it_at_once():
    """The first has not been told yet that it is done."""
    flights, go, before = SingleFlight(), asyncio.Event(), descriptors()

    async def work():
        await go.wait()
        return opened()

    first = asyncio.create_task(flights.join("a", work))
    await asyncio.sleep(0)
    (flight,) = flights._flights.values()
    go.set()
    while not flight.task.done():
        await asyncio.sleep(0)
    second = await flights.join("a", work) if not first.done() else None
    for one, _ in filter(None, (await first, second)):
        assert one.read() == b"data"
        one.close()
    await asyncio.sleep(0)
    assert (len(flights), descriptors()) == (0, before)


async def test_one_that_leaves_when_it_is_just_done_leaves_nothing_open():
    flights, go, before = SingleFlight(), asyncio.Event(), descriptors()

    async def work():
        await go.wait()
        return opened()

    tasks = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await asyncio.sleep(0)
    (flight,) = flights._flights.values()
    go.set()
    while not flight.task.done():
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()[0].close()
    await asyncio.sleep(0)
    assert (flights.waiting, len(flights), descriptors()) == (0, 0, before)
