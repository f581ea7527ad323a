"""Threads that hang: how many, for how long, and what comes behind a call that was left."""

import asyncio
import threading
import time

import pytest
from support.waiting import until

from vipsgate.errors import GatewayTimeout, NoSuchKey, ServiceUnavailable
from vipsgate.store.local import abandoned
from vipsgate.store.threaded.threads import Threads


class World:
    """Work that hangs until it is let go."""

    def __init__(self):
        self.gate, self.begun, self.done = threading.Event(), [], []

    def work(self, name="work"):
        self.begun.append(name)
        self.gate.wait(10)
        self.done.append(name)
        return name


@pytest.fixture
def world():
    made = World()
    yield made
    made.gate.set()


async def test_results_and_errors_come_through():
    threads = Threads("t", 5)
    assert await threads.run(lambda: 1) == 1
    assert await threads.run(lambda: None) is None
    for raised, told in {
        NoSuchKey("none"): NoSuchKey,
        OSError(5, "EIO"): ServiceUnavailable,
        TimeoutError(110, "ETIMEDOUT"): GatewayTimeout,
        ValueError("a fault of ours"): ValueError,
    }.items():

        def fail(raised=raised):
            raise raised

        with pytest.raises(told):
            await threads.run(fail)
    assert threads.stuck == 0


async def test_no_more_than_so_many_hang(world):
    threads = Threads("many", 0.05, most=3)
    calls = [threads.run(world.work) for _ in range(9)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [GatewayTimeout] * 9
    assert threads.stuck == 3
    assert sum(thread.name.startswith("many-") for thread in threading.enumerate()) == 3
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("many-"))
    with pytest.raises(ServiceUnavailable):
        await threads.run(world.work)
    world.gate.set()
    await until(lambda: threads.stuck == 0)
    assert await threads.run(world.work) == "work"
    assert len(world.done) == 4  # those that had no thread were never begun


async def test_one_that_is_free_is_used(world):
    threads = Threads("t", 0.05, most=3)
    for _ in range(2):
        with pytest.raises(GatewayTimeout):
            await threads.run(world.work)
    assert await threads.run(lambda: "free") == "free"
    assert threads.stuck == 2


async def test_what_a_left_call_gives_is_put_away(world):
    threads, away = Threads("t", 0.05), []
    with pytest.raises(GatewayTimeout):
        await threads.run(world.work, discard=away.append)
    assert away == []
    world.gate.set()
    await until(lambda: away == ["work"])
    world.gate.clear()
    task = asyncio.ensure_future(threads.run(world.work, discard=away.append, seconds=5))
    await until(lambda: len(world.begun) == 2)
    task.cancel()
    world.gate.set()
    await until(lambda: len(away) == 2)
    # one that was never begun gives nothing
    world.gate.clear()
    full = Threads("full", 0.05, most=1)
    for error in (GatewayTimeout, ServiceUnavailable):
        with pytest.raises(error):
            await full.run(world.work, discard=away.append)
    world.gate.set()
    await until(lambda: len(away) == 3)
    assert len(world.done) == 3


async def test_a_left_call_changes_nothing(world):
    threads, changed = Threads("t", 0.05), []

    def change():
        world.gate.wait(10)
        abandoned.check()
        changed.append(1)

    with pytest.raises(GatewayTimeout):
        await threads.run(change)
    world.gate.set()
    await until(lambda: not threads._ends)
    assert changed == []
    await threads.run(change)  # in the same thread
    await asyncio.to_thread(change)  # and in one that is not watched
    assert changed == [1, 1]


async def test_longer_work_has_its_time(world):
    threads = Threads("t", 0.02)
    assert await threads.run(lambda: time.sleep(0.1) or "slow", seconds=5) == "slow"


def test_without_a_loop(world):
    threads = Threads("t", 0.05)
    assert threads.now(lambda: 7) == 7
    with pytest.raises(GatewayTimeout):
        threads.now(world.work)


async def test_threads_end_behind_their_work(world):
    threads = Threads("ends", 0.05, most=3)
    await threads.run(lambda: None)
    with pytest.raises(GatewayTimeout):
        await threads.run(world.work)
    threads.close()
    assert await threads.run(lambda: "still") == "still"
    threads.close()
    world.gate.set()
    await until(lambda: not any(t.name.startswith("ends-") for t in threading.enumerate()))
    assert world.done == ["work"]
