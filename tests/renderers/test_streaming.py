"""When a picture is begun whose source still comes, when it is given back, and what ends it."""

import asyncio
import os

import pytest

from vipsgate.errors import CpuLimitExceeded, GatewayTimeout, ImageTooLarge
from vipsgate.renderers import streaming
from vipsgate.renderers.pool import GivenBack
from vipsgate.renderers.result import Result
from vipsgate.store.arrival import Arrival, Arriving
from vipsgate.store.base import Object, Opened
from vipsgate.worker.protocol import Job

JPEG, WEBP = b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPVP8 "
SIZE = 10 << 20
JOB = Job("render", "image/resize,w_800", 0)


@pytest.mark.parametrize(
    ("size", "left", "begins"),
    [(SIZE, 0.5, True), (SIZE, 0.7, False), (SIZE, float("inf"), False), (1 << 20, 0.07, False)],
)
def test_a_picture_begins_when_the_rest_takes_no_longer_than_it(size, left, begins):
    assert streaming.begins(size, left) == begins


class Pool:
    """Notes what it is to do; what comes of it is told to each future."""

    def __init__(self):
        self.quiet, self.jobs = True, []

    async def render(self, job, content="", arrival=None):
        future = asyncio.get_running_loop().create_future()
        self.jobs.append((content, arrival is not None, future))
        return await future


class Source:
    """A file that comes."""

    def __init__(self, head=JPEG, size=SIZE):
        self.now = 0.0
        self.file = os.memfd_create("source")
        os.write(self.file, head)
        os.ftruncate(self.file, size)
        self.arrival = Arrival(Object(size, '"E"', 0.0), self.file, lambda: self.now)
        self.end = asyncio.get_running_loop().create_future()

    def open(self):
        return Arriving.of(self.arrival, asyncio.ensure_future(self._whole()))

    async def _whole(self):
        await asyncio.shield(self.end)
        return Opened(self.arrival.object, os.dup(self.file))

    async def come(self, count, seconds):
        self.now += seconds
        self.arrival.advance(count)
        await settle()

    async def finish(self):
        await self.come(SIZE - self.arrival.arrived, 0.1)
        self.end.set_result(None)
        await settle()


def result():
    return Result("image/jpeg", 1, os.memfd_create("result"), 0.0, 0.0, 0)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def pool():
    return Pool()


@pytest.fixture
async def source():
    made = Source()
    yield made
    os.close(made.file)


@pytest.fixture(autouse=True)
async def descriptors():
    before = len(os.listdir("/proc/self/fd"))
    yield
    await settle()
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the source's own, which goes after it


def begin(pool, opened):
    return asyncio.ensure_future(streaming.render(pool, JOB, "content", opened))


async def test_it_is_done_while_it_comes_and_answered_when_all_has_come(pool, source):
    opened = source.open()
    work = begin(pool, opened)
    await settle()
    assert pool.jobs == []  # nobody knows what it is
    await source.come(1 << 20, 0.05)
    [(content, early, future)] = pool.jobs
    assert (content, early) == ("", True)
    future.set_result(result())
    await settle()
    assert not work.done()
    await source.finish()
    (await work).close()
    opened.close()


async def test_it_waits_until_it_is_worth_a_worker(pool, source):
    opened = source.open()
    work = begin(pool, opened)
    await source.come(1 << 20, 1.0)  # nine seconds more
    assert pool.jobs == []
    await source.come(8 << 20, 5.0)
    assert pool.jobs == []
    await source.come(512 << 10, 0.1)
    assert len(pool.jobs) == 1
    pool.jobs[0][2].set_result(result())
    await source.finish()
    (await work).close()
    opened.close()


@pytest.mark.parametrize("reason", ["busy", "several", "format"])
async def test_it_waits_for_the_whole(pool, reason):
    source = Source(WEBP if reason == "format" else JPEG)
    pool.quiet = reason != "busy"
    opened = source.open()
    others = [source.open() for _ in range(2 * (reason == "several"))]
    work = begin(pool, opened)
    for _ in range(9):
        await source.come(1 << 20, 0.05)
    assert pool.jobs == []
    await source.finish()
    [(content, early, future)] = pool.jobs
    assert (content, early) == ("content", False)
    future.set_result(result())
    (await work).close()
    for one in (opened, *others):
        one.close()
    os.close(source.file)


async def test_one_that_is_given_back_waits_for_the_whole(pool, source):
    opened = source.open()
    work = begin(pool, opened)
    await source.come(1 << 20, 0.05)
    pool.jobs[0][2].set_exception(GivenBack())
    await settle()
    assert len(pool.jobs) == 1
    await source.finish()
    assert [job[:2] for job in pool.jobs] == [("", True), ("content", False)]
    pool.jobs[1][2].set_result(result())
    (await work).close()
    opened.close()


@pytest.mark.parametrize("rendered", [False, True])
async def test_a_source_that_fails_ends_the_work_with_its_error(pool, source, rendered):
    opened = source.open()
    work = begin(pool, opened)
    await source.come(1 << 20, 0.05)
    if rendered:  # of more bytes than there should be, say
        pool.jobs[0][2].set_result(result())
        await settle()
    source.end.set_exception(GatewayTimeout("late"))
    with pytest.raises(GatewayTimeout):
        await work
    assert rendered or pool.jobs[0][2].cancelled()
    opened.close()


@pytest.mark.parametrize("error", [ImageTooLarge("wide"), CpuLimitExceeded("busy")])
async def test_a_refusal_of_the_worker_waits_for_nothing(pool, source, error):
    opened = source.open()
    work = begin(pool, opened)
    await source.come(1 << 20, 0.05)
    pool.jobs[0][2].set_exception(error)
    with pytest.raises(type(error)):
        await work
    opened.close()


async def test_a_client_that_leaves_ends_the_work(pool, source):
    opened = source.open()
    work = begin(pool, opened)
    await source.come(1 << 20, 0.05)
    work.cancel()
    await settle()
    assert work.cancelled()
    assert pool.jobs[0][2].cancelled()
    opened.close()
