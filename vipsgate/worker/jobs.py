"""Does the jobs of a worker: one method for each kind.

Importing this module imports libvips, which the front must not.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from .. import errors
from ..errors import OssError
from ..image import faces, gravity, render, reports
from ..image.config import Limits, Rendering
from ..image.cost import Cost
from ..image.fonts import Fonts
from ..image.formats.ondemand import File
from ..image.group import Group
from ..image.notes import Notes, joined, refuse
from ..image.prepared import Overlay, RenderContext
from ..image.process import Process, parse
from ..image.search import Choice
from ..image.synthetic import painter, scene
from ..image.video import decode
from ..image.video.snapshot import Snapshot
from .arriving import Arriving
from .interrupt import CANCELLED, Interrupt
from .protocol import Batch, Budget, Job, Output, close


@dataclass(frozen=True, slots=True)
class Task:
    """A job with what it shares with the other jobs of its batch.

    Attributes:
        job: The job, as it was sent.
        process: Its process, parsed; ``None`` if there is none, or its text is not valid.
        group: All pictures that are made of the batch's source; ``None`` without a source.
        budget: What the job may take.
        file: The source of the batch; ``None`` without one, or while it is still arriving.
    """

    job: Job
    process: Process | None
    group: Group | None
    budget: Budget | None
    file: File | None = None


class Worker:
    """Does jobs, one at a time.

    Args:
        limits: The limits of every picture.
        rendering: How pictures are made.
        fonts: The fonts for text.
        interrupt: Is given each image before it is computed.

    Raises:
        RuntimeError: libvips is missing, or cannot be used.
    """

    def __init__(
        self, limits: Limits, rendering: Rendering, fonts: Fonts, interrupt: Interrupt
    ) -> None:
        logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # hostile files flood the log
        render.prepare()
        self._limits, self._rendering, self._fonts = limits, rendering, fonts
        self._interrupt = interrupt
        self._context = RenderContext(limits, rendering, fonts, watch=interrupt.watch)

    def tasks(self, batch: Batch) -> Sequence[Task]:
        """Return the jobs of a batch, to be done in this order."""
        processes = [self._parsed(job) for job in batch.jobs]
        source, group, file = batch.jobs[0].source, None, None
        if source is not None:
            coming = Arriving(source, *batch.coming) if batch.coming else None
            file = None if coming else File(source, os.fstat(source).st_size)
            group = Group(
                partial(read, source, self._limits, coming),
                [item for item in processes if item and not item.snapshot],
                self._limits,
                self._rendering,
                batch.budget,
                batch.jobs[0].master,
                batch.jobs[0].blank,
                coming if batch.jobs[0].kind == "render" else None,
                file,
            )
        return [
            Task(job, parsed, group, batch.budget, file)
            for job, parsed in zip(batch.jobs, processes, strict=True)
        ]

    def do(self, task: Task) -> Output | Cost:
        """Do a job; return its result, or its cost if that is above the budget.

        Raises:
            OssError: It cannot be done.
        """
        if task.file is None:
            return self._do(task)
        outcome = None
        try:
            with task.file.unchanged(task.job.times):
                outcome = self._do(task)
            return outcome
        except OssError:
            if isinstance(outcome, Output):
                close(outcome.descriptors)
            raise

    def _do(self, task: Task) -> Output | Cost:
        match task.job.kind:
            case "render":
                return self.render(task)
            case "explain":
                return self.explain(task)
            case "look":
                return self.look(task)
            case "histogram":
                return self.histogram(task)
            case "paint":
                return self.paint(task)

    def render(self, task: Task) -> Output | Cost:
        """Make a picture of the source, or a report about it."""
        begun = time.perf_counter()
        process, group = self._process(task), _group(task)
        context = self._context
        if process.look and task.job.focus is None:
            raise TypeError("a picture that was not looked at")
        if keys := process.needs():
            overlays = {
                key: Overlay(item.etag, partial(read, item.descriptor, self._limits))
                for key, item in zip(keys, task.job.attachments, strict=True)
            }
            context = replace(context, objects=overlays)
        if process.snapshot:
            return self._snapshot(task, process.snapshot, begun, context)
        cost = group.over_budget(process, context)
        missing = self._fonts.missing(process.writes())
        notes = self._notes(task, process, group, missing)
        if cost:
            return cost
        with _result() as memory:
            mime = group.write(process, memory, context)
            probe, choice = group.probe_seconds, group.choice
            output = _output(mime, memory, begun, probe, missing, notes, choice)
            if task.job.blank and group.new_master():
                output = output._replace(master=os.dup(task.job.blank[1]))
            return output

    def explain(self, task: Task) -> Output:
        """Describe as JSON how the picture would be made."""
        begun = time.perf_counter()
        process, group = self._process(task), _group(task)
        self._notes(task, process, group, self._fonts.missing(process.writes()))
        with _result() as memory:
            os.write(memory, group.explain(process, self._fonts))
            return _output(reports.MIME, memory, begun, group.probe_seconds)

    def look(self, task: Task) -> Output | Cost:
        """Find the focus that the picture is cropped around, if the picture can be made."""
        begun = time.perf_counter()
        process, group = self._process(task), _group(task)
        self._notes(task, process, group, self._fonts.missing(process.writes()))
        if cost := group.look_over_budget(process):
            return cost
        with _result() as memory:
            os.write(memory, gravity.dump(group.look(process, self._context)))
            return _output(reports.MIME, memory, begun, group.probe_seconds)

    def histogram(self, task: Task) -> Output | Cost:
        """Make a histogram of the source; the job's process is one that costs the same."""
        begun = time.perf_counter()
        process, group = self._process(task), _group(task)
        if cost := group.over_budget(process, self._context):
            return cost
        with _result() as memory:
            os.write(memory, group.histogram(self._context))
            return _output(reports.MIME, memory, begun, group.probe_seconds)

    def paint(self, task: Task) -> Output | Cost:
        """Paint the scene that the job's process names."""
        begun = time.perf_counter()
        painting = scene.read(task.job.process, self._limits)
        if task.budget and not painting.cost.within(*task.budget):
            return painting.cost
        with _result() as memory:
            try:
                mime = painter.paint(painting, memory, self._interrupt.watch)
            except Exception:
                if self._interrupt.cancelled:  # libvips' error does not tell that
                    raise errors.CpuLimitExceeded(CANCELLED) from None
                raise
            return _output(mime, memory, begun)

    def _snapshot(
        self, task: Task, snapshot: Snapshot, begun: float, context: RenderContext
    ) -> Output | Cost:
        """Make a picture of a video."""
        source, budget = task.job.source, task.budget
        if source is None:
            raise TypeError("a snapshot without its video")
        cost = decode.cost(snapshot, self._limits)
        if budget and not cost.within(*budget):
            return cost
        try:
            with _result() as memory:
                mime = decode.answer(
                    source,
                    snapshot,
                    memory,
                    context,
                    lambda: self._interrupt.cancelled,
                    budget and budget[1],
                )
                return _output(mime, memory, begun)
        except decode.TooExpensive as refused:
            return refused.cost

    def _notes(self, task: Task, process: Process, group: Group, missing: int) -> Notes:
        """Return what a picture does not follow to the letter, as known before it is decoded.

        Raises:
            InvalidArgument: There is any such thing, and the job is strict.
            OssError: The picture cannot be made.
        """
        notes = joined(group.notes(process), self._fonts.notes(process.typefaces(), missing))
        if task.job.strict:
            refuse(notes)
        return notes

    def _process(self, task: Task) -> Process:
        """Return the process of a task.

        Raises:
            OssError: Its text is not valid.
        """
        return task.process or parse(task.job.process, self._limits)

    def _parsed(self, job: Job) -> Process | None:
        """Return the process of a job; ``None`` if its text is not valid, so that only it fails."""
        if job.kind == "paint":
            return None
        try:
            process = parse(job.process, self._limits)
        except errors.OssError:
            return None
        return process.aimed(job.focus) if job.focus else process


def identity() -> str:
    """Return versions of all that results depend on besides the job and the fonts, for ETags."""
    return f"{render.identity()}, {decode.version()}, {faces.version()}"


def read(descriptor: int, limits: Limits, coming: Arriving | None = None) -> bytes:
    """Return the whole file, in one piece.

    Args:
        descriptor: The descriptor of the file.
        limits: The limits of every picture.
        coming: Waits for the rest of a file that is still arriving; ``None`` for a complete one.

    Raises:
        ImageTooLarge: It has too many bytes.
        ServiceUnavailable: The transfer failed, or the file cannot be read.
    """
    size = coming.size if coming else os.fstat(descriptor).st_size
    limits.check_bytes(size)
    if coming:
        coming.wait(size)
    return File(descriptor, size).whole()


def _group(task: Task) -> Group:
    if task.group is None:
        raise TypeError("a job of this kind has a source")
    return task.group


@contextmanager
def _result() -> Iterator[int]:
    """Open an empty file for a result; it is closed if an exception is raised."""
    memory = os.memfd_create("result", os.MFD_CLOEXEC)
    try:
        yield memory
    except BaseException:
        os.close(memory)
        raise


def _output(
    mime: str,
    memory: int,
    begun: float,
    probe: float = 0.0,
    missing: int = 0,
    notes: Notes = (),
    choice: Choice | None = None,
) -> Output:
    size = os.fstat(memory).st_size
    return Output(mime, size, memory, time.perf_counter() - begun, probe, missing, notes, choice)
