"""A worker that dies, as the front sees it: what it has said before counts, and nothing hangs."""

import asyncio
import os
import socket

import pytest
import uvloop

from vipsgate.renderers.process import PendingJob, WorkerProcess
from vipsgate.worker import protocol
from vipsgate.worker.protocol import Job, Output, Reply


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request):
    """Their loops tell differently of a socket with an error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


class Process:
    pid = 1 << 30  # nobody's

    def kill(self):
        raise ProcessLookupError


class Worker:
    """The other side of a worker, and what the front has heard."""

    def __init__(self):
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, protocol.KIND)
        ours.setblocking(False)
        self.control = os.pipe()
        self.heard, self.lost = [], asyncio.Event()
        self.process = WorkerProcess(
            Process(), ours, self.control[1], self.replied, lambda worker: self.end()
        )
        protocol.send(self.theirs, {"ready": "1"})

    def replied(self, worker, reply):
        self.heard.append(reply.number)
        protocol.close(reply.outcome.descriptors)

    def end(self):
        self.heard.append("begun" if self.process.begun else "not begun")
        self.lost.set()

    def give(self, count):
        """Send it jobs, a message for each."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            job = PendingJob(Job("render", "image"), loop.time() + 9, loop.create_future())
            self.process.send([job], None)

    def take(self):
        """Read one job."""
        assert protocol.receive(self.theirs)[0]

    def reply(self, number):
        result = os.memfd_create("result")
        os.write(result, b"x")
        output = Output("image/png", 1, result, seconds=0.1, probe=0.1)
        protocol.send(self.theirs, *Reply(number, 0, output).encode())
        os.close(result)

    async def ended(self):
        async with asyncio.timeout(10):
            await self.lost.wait()
        os.close(self.control[0])
        self.theirs.close()
        return self.heard


async def worker_with(jobs, taken=0, replies=0):
    """One that has so many jobs and has begun some; the front has not read what it says."""
    worker = Worker()
    await worker.process.ready
    worker.give(jobs)
    for _ in range(taken):
        worker.take()
    for number in range(1, replies + 1):
        worker.reply(number)
    return worker


@pytest.mark.parametrize(
    ("jobs", "taken", "replies", "heard"),
    [
        (0, 0, 0, ["not begun"]),
        (1, 0, 0, ["begun"]),  # it may have been
        (1, 1, 1, [1, "not begun"]),
        (2, 2, 1, [1, "begun"]),
        (3, 2, 1, [1, "begun"]),  # with one unread: its socket has an error
        (9, 8, 7, [1, 2, 3, 4, 5, 6, 7, "begun"]),
        (9, 9, 9, [1, 2, 3, 4, 5, 6, 7, 8, 9, "not begun"]),
    ],
)
@pytest.mark.parametrize("later", [0, 1, 3], ids="{} sent after its death".format)
def test_replies_from_before_count(runner, jobs, taken, replies, heard, later):
    async def check():
        worker = await worker_with(jobs, taken, replies)
        worker.theirs.close()
        worker.give(later)
        assert await worker.ended() == heard

    runner.run(check())


def test_jobs_that_are_given_meanwhile_do_no_harm(runner):
    async def check():
        worker = await worker_with(3, 2, 2)
        replied = worker.replied

        def reply(process, reply):
            replied(process, reply)
            worker.give(1)

        worker.process._on_reply = reply
        worker.theirs.close()
        worker.give(1)
        assert await worker.ended() == [1, 2, "begun"]

    runner.run(check())


def test_one_that_hears_nothing_more_but_lives_is_ended(runner):
    async def check():
        worker = await worker_with(1, 1, 1)
        worker.theirs.shutdown(socket.SHUT_RD)
        worker.give(1)
        assert await worker.ended() == [1, "not begun"]

    runner.run(check())


def test_a_reply_to_what_it_has_not_got_is_none(runner):
    async def check():
        worker = await worker_with(1, 1, 3)
        worker.theirs.shutdown(socket.SHUT_RD)
        worker.give(3)
        assert await worker.ended() == [1, "not begun"]

    runner.run(check())


def test_one_that_is_killed_for_the_memory_of_a_job_that_is_done(runner):
    async def check():
        worker = await worker_with(2, 2, 1)
        worker.process.out_of_memory = True
        worker.theirs.close()
        assert await worker.ended() == [1, "begun"]
        assert not worker.process.out_of_memory

    runner.run(check())
