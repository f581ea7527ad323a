"""The jobs of this pool that other fronts do, until each has a result or is given back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .. import errors
from ..fronts.channel import FrontLostError
from ..worker import protocol
from .lending import Lending, RefusedError
from .process import PendingJob

log = logging.getLogger(__name__)


class LentJobs:
    """The jobs that are at other fronts.

    Args:
        lending: Sends jobs to other fronts.
        take_back: Called with each job that a front has not done and that is still awaited.

    Attributes:
        count: Number of jobs that were ever lent.
    """

    def __init__(self, lending: Lending, take_back: Callable[[PendingJob], None]) -> None:
        self.count = 0
        self._lending, self._take_back = lending, take_back
        self._tasks: dict[PendingJob, asyncio.Task[None]] = {}

    def lend(self, job: PendingJob, front: int) -> None:
        """Have another front do a job."""
        self.count += 1
        task = asyncio.get_running_loop().create_task(self._ask(job, front))
        self._tasks[job] = task
        task.add_done_callback(lambda _: self._tasks.pop(job, None))

    def cancel(self, job: PendingJob) -> bool:
        """Cancel a job at the front that has it, and return whether one had it."""
        task = self._tasks.get(job)
        return task is not None and task.cancel()

    def clear(self) -> list[PendingJob]:
        """Cancel all jobs, and return them."""
        for task in self._tasks.values():
            task.cancel()
        return list(self._tasks)

    async def _ask(self, job: PendingJob, front: int) -> None:
        loop = asyncio.get_running_loop()
        seconds = job.deadline - loop.time()
        try:
            output = await self._lending.ask(front, job.job, job.content, job.cost, seconds)
        except (FrontLostError, RefusedError):
            if job.awaited:
                self._take_back(job)
        except errors.OssError as error:
            if job.awaited:
                job.result.set_exception(error)
        except ValueError as error:
            log.error("another front has sent an invalid answer: %s", error)
            if job.awaited:
                job.result.set_exception(errors.InternalError("The picture could not be made."))
        else:
            if job.awaited:
                job.started = loop.time() - output.seconds
                job.result.set_result(output)
            else:
                protocol.close(output.descriptors)
