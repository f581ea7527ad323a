"""Work that nobody waits for: each once, in turn, only so many; a failure stops no other."""

import asyncio

from vipsgate.cache.entry import CacheKey
from vipsgate.delivery import background
from vipsgate.errors import CpuLimitExceeded


def name(number):
    return CacheKey("photos", "cat.jpg", f"{number:032X}")


async def settled(waiting):
    while waiting._task is not None and not waiting._task.done():
        await asyncio.sleep(0)


async def test_each_is_made_once_and_in_turn():
    waiting, made, go = background.Background(), [], asyncio.Event()

    def make(number):
        async def work():
            made.append(number)
            await go.wait()

        return work

    assert [waiting.add(name(number), make(number)) for number in (1, 2, 1, 2, 3)] == [
        *(True, True, False),
        *(False, True),
    ]
    await asyncio.sleep(0)
    assert made == [1]  # one at a time
    assert not waiting.add(name(1), make(1))  # also while it is under way
    go.set()
    await settled(waiting)
    assert made == [1, 2, 3]
    assert waiting.add(name(1), make(1))  # and again, once it is done
    await settled(waiting)
    assert made == [1, 2, 3, 1]


async def test_a_failure_stops_no_other(caplog):
    waiting, made = background.Background(), []

    async def refused():
        raise CpuLimitExceeded("The server is busy.")

    async def broken():
        raise RuntimeError("a fault of ours")

    async def good():
        made.append(1)

    for number, work in enumerate((refused, broken, good)):
        waiting.add(name(number), work)
    await settled(waiting)
    assert made == [1]
    assert [record.exc_info[0] for record in caplog.records] == [RuntimeError]


async def test_only_so_many_wait():
    waiting, go = background.Background(), asyncio.Event()
    taken = [waiting.add(name(number), go.wait) for number in range(background.MAX_WAITING + 9)]
    assert taken.count(True) == background.MAX_WAITING
    await asyncio.sleep(0)
    await waiting.close()
    await settled(waiting)
    assert waiting.add(name(0), asyncio.Event().wait)  # nothing is left of them
    await waiting.close()
    await background.Background().close()  # of one that has had nothing to do
