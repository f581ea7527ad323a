"""Jobs that other fronts do: what comes of one, and of one that nobody awaits any more."""

import asyncio
import os
from contextlib import suppress

import pytest

from vipsgate import errors
from vipsgate.fronts.channel import FrontLostError
from vipsgate.renderers.lending import RefusedError
from vipsgate.renderers.lent import LentJobs
from vipsgate.renderers.process import PendingJob
from vipsgate.worker.protocol import Job, Output


class Lending:
    """Other fronts that answer when told to."""

    def __init__(self):
        self.asked = []

    async def ask(self, front, job, content, cost, seconds):
        answer = asyncio.get_running_loop().create_future()
        self.asked.append((front, answer))
        return await answer


class Lender:
    """A pool that lends one job to the front with the number 3."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.lending, self.taken_back = Lending(), []
        self.lent = LentJobs(self.lending, self.taken_back.append)
        self.job = PendingJob(Job("render", "image"), loop.time() + 9, loop.create_future())
        self.lent.lend(self.job, 3)

    async def answered(self, outcome):
        """Have the front answer, and let what follows happen."""
        [(front, answer)] = self.lending.asked
        assert front == 3
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        await settled()


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def lender():
    lender = Lender()
    await settled()
    yield lender
    lender.lent.clear()
    await settled()


@pytest.fixture
def output():
    descriptor = os.memfd_create("result")
    yield Output("image/png", 1, descriptor, 0.5)
    with suppress(OSError):
        os.close(descriptor)


def is_open(descriptor):
    with suppress(OSError):
        return bool(os.fstat(descriptor))
    return False


async def test_a_result_of_another_front_is_the_job_s(lender, output):
    await lender.answered(output)
    assert lender.job.result.result() is output
    assert lender.lent.count == 1
    assert lender.lent.clear() == []


@pytest.mark.parametrize("outcome", [FrontLostError(), RefusedError()])
async def test_what_another_front_does_not_do_comes_back(lender, outcome):
    await lender.answered(outcome)
    assert lender.taken_back == [lender.job]
    assert lender.job.awaited


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (errors.ImageTooLarge("large"), errors.ImageTooLarge),
        (ValueError("not a message"), errors.InternalError),
    ],
)
async def test_an_error_of_another_front_is_the_job_s(lender, outcome, error):
    await lender.answered(outcome)
    assert isinstance(lender.job.result.exception(), error)
    assert lender.taken_back == []


async def test_a_job_that_nobody_awaits_is_cancelled_there(lender, output):
    lender.job.result.cancel()
    assert lender.lent.cancel(lender.job)
    await settled()
    assert lender.lending.asked[0][1].cancelled()
    assert not lender.lent.cancel(lender.job)


@pytest.mark.parametrize("outcome", [FrontLostError(), RefusedError()])
async def test_a_job_that_nobody_awaits_does_not_come_back(lender, outcome):
    lender.job.result.cancel()
    await lender.answered(outcome)
    assert lender.taken_back == []


async def test_a_result_that_nobody_awaits_is_closed(lender, output):
    lender.job.result.cancel()
    await lender.answered(output)
    assert not is_open(output.descriptor)


async def test_a_job_whose_result_has_come_is_with_no_front(lender, output):
    """Whoever gives it up at that moment has to close the result."""
    [(_, answer)] = lender.lending.asked
    answer.set_result(output)
    while lender.job.awaited:
        await asyncio.sleep(0)
    assert not lender.lent.cancel(lender.job)


async def test_all_jobs_are_given_up_at_once(lender):
    assert lender.lent.clear() == [lender.job]
    await settled()
    assert lender.lending.asked[0][1].cancelled()
    assert lender.job.awaited
