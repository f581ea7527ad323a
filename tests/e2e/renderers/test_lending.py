"""Pools of several fronts, with workers of :mod:`fake_worker`: who does what waits in one."""

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vipsgate import errors
from vipsgate.fronts.channel import LOST, Channel, open_sockets
from vipsgate.fronts.claims import Claims
from vipsgate.fronts.peers import Peers
from vipsgate.fronts.scoreboard import MICRO, Column, Scoreboard
from vipsgate.renderers.pool import Renderers
from vipsgate.renderers.scheduler import LARGE_SOURCE
from vipsgate.worker.protocol import Job

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
MB = 1 << 20


@pytest.fixture
def source():
    descriptor = os.memfd_create("source")
    os.ftruncate(descriptor, LARGE_SOURCE)
    yield descriptor
    os.close(descriptor)


@asynccontextmanager
async def fronts(folder, count=2, *, renderers=1, queue=100, memory=1000 * MB):
    """The pools of so many fronts, and their channels."""
    scoreboard = Scoreboard(count)
    inboxes, outboxes = open_sockets(count)
    pools, channels = [], []
    for front in range(count):
        scoreboard.set(front, Column.ALIVE, 1)
        scoreboard.set(front, Column.BEAT, int((time.monotonic() + 60) * MICRO))
        channel = Channel(
            front, inboxes[front], outboxes, lambda one: scoreboard.get(one, Column.ALIVE)
        )
        pool = Renderers(
            count=renderers,
            queue=queue,
            queue_seconds=60,
            timeout=10,
            ceiling=64 * MB,
            job_memory=64 * MB,
            memory=memory,
            settings={},
            peers=Peers(front, scoreboard, channel, Claims(scoreboard, front)),
            command=("/usr/bin/env", f"FAKE_STATE={folder}", *COMMAND),
        )
        channels.append(channel)
        pools.append(pool)
    try:
        await asyncio.gather(*(pool.start() for pool in pools))
        for channel in channels:
            channel.open()
        yield pools, channels, scoreboard
    finally:
        for channel in channels:
            channel.close()
        await asyncio.gather(*(pool.close() for pool in pools))
        for end in (*inboxes, *outboxes):
            end.close()


async def done(pool, text, source, content=""):
    """Who has done a job, and when: a process id and two times."""
    result = await pool.render(Job("render", text, source), content)
    data = os.pread(result.descriptor, 100, 0)
    result.close()
    pid, begun, ended = data.split()
    return int(pid), float(begun), float(ended)


def most_at_once(times):
    """How many of these were under work at the same time, at most."""
    return max(sum(begun <= at < ended for _, begun, ended in times) for _, at, _ in times)


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.002)


async def test_what_waits_in_one_is_done_by_both(tmp_path, source):
    async with fronts(tmp_path) as ((one, other), _, _):
        times = await asyncio.gather(*(done(one, "sleep 0.1", source) for _ in range(8)))
        pids = {pid for pid, _, _ in times}
        assert pids & set(one.pids())
        assert pids & set(other.pids())
        assert most_at_once(times) == 2
        states = one.state(), other.state()
        assert [state.working for state in states] == [
            dict.fromkeys(state.working, 0) for state in states
        ]


async def test_work_that_is_not_quick_is_lent_too_and_memory_is_the_machine_s(tmp_path, source):
    async with fronts(tmp_path, renderers=2) as (pools, _, _):
        light = f"expensive 2 {100 * MB} 1 sleep 0.2"
        times = await asyncio.gather(*(done(pools[0], light, source) for _ in range(6)))
        assert {pid for pid, _, _ in times} & set(pools[1].pids())
        assert most_at_once(times) > 2
        heavy = f"expensive 1 {600 * MB} 1 sleep 0.1"
        times = await asyncio.gather(*(done(pools[one % 2], heavy, source) for one in range(6)))
        assert most_at_once(times) == 1


async def test_whoever_leaves_has_it_stopped_there(tmp_path, source):
    async with fronts(tmp_path) as ((one, other), _, _):
        jobs = [asyncio.ensure_future(done(one, "obey 30", source)) for _ in range(2)]
        await until(lambda: other.state().working["quick"])
        for job in jobs:
            job.cancel()
        await until(lambda: not other.state().working["quick"])
        await until(lambda: not one.state().working["quick"])
        assert one.state().ends["overdue"] == other.state().ends["overdue"] == 0


async def test_one_that_ends_has_its_jobs_done_by_who_lent_them(tmp_path, source):
    async with fronts(tmp_path) as ((one, other), channels, scoreboard):
        jobs = [asyncio.ensure_future(done(one, "sleep 0.3", source)) for _ in range(2)]
        await until(lambda: other.state().working["quick"])
        scoreboard.set(1, Column.ALIVE, 0)
        scoreboard.set(1, Column.FREE, 0)
        channels[1].notify(0, LOST, {"front": 1})
        pids = {pid for pid, _, _ in await asyncio.gather(*jobs)}
        assert pids <= set(one.pids())


async def test_what_comes_of_it_is_told_as_it_is(tmp_path, source):
    async with fronts(tmp_path) as ((one, other), _, _):
        busy = [asyncio.ensure_future(done(one, "sleep 0.2", source)) for _ in range(2)]
        await until(lambda: other.state().working["quick"])
        asking = [
            done(one, text, source) for text in ("refuse WatermarkError", "refuse InvalidArgument")
        ]
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {
            errors.WatermarkError,
            errors.InvalidArgument,
        }
        assert all(outcome.headers == {"Retry-After": "7"} for outcome in outcomes)
        await asyncio.gather(*busy)


async def test_jobs_of_one_source_go_together_wherever_they_come_in(tmp_path, source):
    async with fronts(tmp_path) as (pools, _, _):
        await asyncio.gather(*(done(pools[one % 2], "answer", source, "cat") for one in range(4)))
        sizes = [int(line.split()[1]) for line in (tmp_path / "messages").read_text().splitlines()]
        assert sum(sizes) == 4
        assert max(sizes) > 2


async def test_the_queue_is_the_machine_s(tmp_path, source):
    async with fronts(tmp_path, queue=4) as (pools, _, _):
        jobs = []
        for _ in range(6):
            jobs.append(asyncio.ensure_future(done(pools[0], "sleep 0.4", source)))
            await asyncio.sleep(0.01)
        await until(lambda: sum(sum(pool.state().waiting.values()) for pool in pools) == 4)
        with pytest.raises(errors.CpuLimitExceeded, match="too many pictures wait"):
            await done(pools[1], "answer", source)
        await asyncio.gather(*jobs)
        await done(pools[1], "answer", source)
