"""Renders several pictures of one source: its header is read once, and equal pixels loaded once.

A page with a ``srcset`` requests such pictures. The bytes of an answer must not depend on what else
is requested at the time, because ETags are strong and ranges of answers are combined. So pictures
share loaded pixels only if each alone would load exactly the same (:attr:`.plan.Plan.loading`): all
pictures of a PNG, those of a JPEG that its loader reduces equally far, those of a WebP at a scale.
Shared pixels stay in memory until the last picture is made. Reducing the largest one further for
the others would be faster, but gives other pixels than the loader; to make all of one reduced
picture is a setting (:mod:`.masters`), which then also applies to a picture alone.

Animations, pictures made from a master, and those that would take too much memory are made one by
one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import OssError
from . import attention, histogram, masters, plan, render, reports
from .answers import Info
from .config import Limits, Rendering
from .cost import Cost
from .fonts import Fonts
from .formats import metadata, ondemand, streamed
from .formats.codecs import CODECS
from .formats.ondemand import File
from .formats.probe import Source, begin, probe
from .gravity import Focus
from .load import completed
from .notes import Notes, joined
from .plan import Loading, Plan
from .process import Process
from .search import Choice
from .steps import Size

if TYPE_CHECKING:
    from pyvips import Image

    from .prepared import RenderContext

SHARED_BYTES = 64 << 20  # of decoded pixels that are kept for further pictures


class Group:
    """The pictures and answers to be made of one source.

    Args:
        read: Returns the file's bytes.
        processes: The process of each picture or answer.
        limits: The limits of every picture.
        rendering: The settings for rendering.
        budget: Seconds and bytes that each may cost; ``None`` for no limit.
        kept: Descriptor of the source's cached master, or ``None``.
        blank: Descriptors of an empty file for a new master, to write and to read it, or ``None``.
            After the master is written, the former is made a copy of the latter.
        arriving: The file, if its bytes are still arriving.
        file: The file, if it may be read on demand.

    Attributes:
        probe_seconds: Seconds spent on reading the file and its header.
        choice: The result of the last picture's search for a quality; ``None`` without one.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        processes: Sequence[Process],
        limits: Limits,
        rendering: Rendering,
        budget: tuple[float, int] | None = None,
        kept: int | None = None,
        blank: tuple[int, int] | None = None,
        arriving: streamed.Arriving | None = None,
        file: File | None = None,
    ) -> None:
        self._file = file
        self._read, self._processes, self._budget = read, processes, budget
        self._left = [*processes]  # not yet made
        self._kept, self._blank = kept, blank
        self._master: Image | None = None
        self._new = False
        self._limits, self._rendering = limits, rendering
        self._source: Source | None = None
        self._arriving = arriving
        self._front: streamed.Front | None = None
        self.probe_seconds = 0.0
        self.choice: Choice | None = None
        self._plans: dict[str, Plan] = {}  # by the text of their process
        self._answers: dict[str, Plan | None] = {}  # likewise
        self._costs: dict[str, Cost] = {}  # likewise
        self._bases: dict[Loading, Image] = {}  # loaded pixels that are shared
        self._shares = True  # false after loading has failed

    def over_budget(self, process: Process, context: RenderContext) -> Cost | None:
        """Return the estimated cost of a process if it exceeds the budget, else ``None``.

        Raises:
            OssError: The file is not a picture, or the process does not fit it.
        """
        if self._budget is None:
            return None
        cost = self._costs[process.text] = self._cost(process, context)
        return None if cost.within(*self._budget) else cost

    def _cost(self, process: Process, context: RenderContext) -> Cost:
        """Return the cost of a picture, with its most expensive overlay, which is made first."""
        planned = self._answered(process) if process.answer else self._plan(process)
        if planned is None:
            return Cost(0.0, 0)
        cost = planned.cost_from_master if self._has_master else planned.cost
        overlays = [
            context.memory(need.key, need.actions_on(stage.before))
            for stage in planned.stages
            for need in stage.action.needs()
        ]
        if (largest := max(overlays, default=0) - plan.PIPELINE_BYTES) <= 0:
            return cost
        plan.check_memory(planned.header, planned.memory + largest, self._limits)
        return replace(cost, memory=planned.memory + largest)

    def notes(self, process: Process) -> Notes:
        """Return the notes of a process that makes a picture or reports on one.

        Raises:
            OssError: The file is not a picture, or the process does not fit it.
        """
        if process.answer:
            planned = self._answered(process) if process.answer.follows else None
            if isinstance(process.answer, Info) and process.answer.xmp:
                return metadata.unread(self._probed())
            return planned.notes if planned else ()
        planned = self._plan(process)
        return joined(planned.notes, metadata.notes(self._probed(), planned))

    def look_over_budget(self, process: Process) -> Cost | None:
        """Return the estimated cost of detecting a focus if it exceeds the budget, else ``None``.

        Raises:
            OssError: The file is not a picture, or the process does not fit it.
        """
        assert process.look
        header = self._probed().header
        cost = process.look.cost(process.look.planned(header, self._limits))
        return None if self._affordable(cost) else cost

    def look(self, process: Process, context: RenderContext) -> Focus:
        """Detect the focus for the window of a process.

        Raises:
            OssError: It cannot be detected; see :func:`vipsgate.image.attention.find`.
        """
        assert process.look
        return attention.find(self._probed(), process.look, self._limits, context.watch)

    def write(self, process: Process, descriptor: int, context: RenderContext) -> str:
        """Write the result of a process to an empty file, and return its MIME type.

        Raises:
            OssError: It cannot be made; see :func:`vipsgate.image.render.render`.
        """
        self.choice = None
        try:
            return self._written(process, descriptor, context)
        finally:
            self._done(process)

    def _written(self, process: Process, descriptor: int, context: RenderContext) -> str:
        if process.answer:
            os.write(descriptor, reports.answer(self._probed(), process, context))
            return reports.MIME
        if self._write_early(process, descriptor, context):
            return CODECS[self._plan(process).result.format].mime
        planned = self._plan(process)
        base = self._shared(process, context)
        if planned.master:
            base = self._over_master(planned, context)
        self.choice = render.render(self._probed(), planned, descriptor, context, base)
        return CODECS[planned.result.format].mime

    def _done(self, process: Process) -> None:
        """Release what only this process needed."""
        for place, other in enumerate(self._left):
            if other.text == process.text:
                del self._left[place]
                break
        for loading in [*self._bases]:
            if not any(self._loads(other, loading) for other in self._left):
                del self._bases[loading]

    def explain(self, process: Process, fonts: Fonts) -> bytes:
        """Explain how a process would be carried out, as JSON.

        Raises:
            OssError: It would be refused; see :func:`vipsgate.image.reports.explained`.
        """
        return reports.explained(self._probed(), process, self._limits, self._rendering, fonts)

    def histogram(self, context: RenderContext) -> bytes:
        """Return the histogram as JSON.

        Raises:
            OssError: It cannot be made; see :func:`vipsgate.image.histogram.answer`.
        """
        return histogram.answer(self._probed(), context)

    def _probed(self) -> Source:
        if self._source is None:
            begun = time.perf_counter()
            self._source = self._begun() or self._looked_into() or self._whole()
            self.probe_seconds = time.perf_counter() - begun
        return self._source

    def _whole(self) -> Source:
        return replace(probe(self._read()), original=self._read)

    def _looked_into(self) -> Source | None:
        """Return a source that is read on demand, or ``None`` if the whole file is to be read."""
        if self._file is None or len(self._file) < ondemand.LEAST:
            return None
        self._limits.check_bytes(len(self._file))
        return begin(self._file)

    def _begun(self) -> Source | None:
        """Return an arriving source by its beginning, or ``None`` if the whole file is needed."""
        if self._arriving is None or len(self._processes) != 1 or self._processes[0].answer:
            return None
        self._limits.check_bytes(self._arriving.size)
        self._front = front = streamed.front(self._arriving)
        size = self._arriving.size
        return Source(front.header, b"", size, original=self._read) if front else None

    def _write_early(self, process: Process, descriptor: int, context: RenderContext) -> bool:
        """Write a picture while its source is arriving, and return whether that was possible.

        On any failure, what is known from the beginning is discarded, and the picture is made of
        the whole file. A picture that is made from a master waits for the whole file, too.

        Raises:
            OssError: The rest has failed to arrive.
        """
        source, planned = self._probed(), self._plan(process)
        if self._arriving is None or self._front is None:
            return False
        if not planned.master:
            front, done = self._front, True
            front = replace(front, washed=completed(front.washed, planned))
            with self._arriving.feed(front) as feed:
                try:
                    fed = replace(source, pipe=feed.descriptor)
                    self.choice = render.render(fed, planned, descriptor, context)
                except OssError:
                    done = False
            if done and feed.certain:
                return True
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self._source = self._front = self._arriving = self.choice = None
        self._plans, self._answers, self._costs = {}, {}, {}
        return False

    def _plan(self, process: Process) -> Plan:
        if process.text not in self._plans:
            header = self._probed().header
            self._plans[process.text] = plan.remembered(
                replace(header, exif=b"") if header.exif else header,
                process.actions,
                self._limits,
                self._rendering,
            )
        return self._plans[process.text]

    def _answered(self, process: Process) -> Plan | None:
        """Return the plan by which pixels are read for an answer; ``None`` if none are."""
        if process.text not in self._answers:
            self._answers[process.text] = reports.planned(
                self._probed().header, process, self._limits, self._rendering
            )
        return self._answers[process.text]

    def _affordable(self, cost: Cost) -> bool:
        return self._budget is None or cost.within(*self._budget)

    def _shared(self, process: Process, context: RenderContext) -> Image | None:
        """Return the loaded source in memory, if other pictures share it.

        Returns:
            ``None`` if the picture loads it by itself.
        """
        if len(self._processes) < 2:
            return None
        loading, room = self._plan(process).loading, self._room(process)
        waiting = (other for other in self._left if other.text != process.text)
        shared = (
            loading.bytes <= room
            and self._loads(process, loading)
            and (loading in self._bases or any(self._loads(other, loading) for other in waiting))
        )
        self._make_room(room - loading.bytes * shared, but=loading if shared else None)
        if shared and loading not in self._bases:
            try:
                held = render.held(self._probed(), self._plan(process), context.watch)
                self._bases[loading] = held
            except OssError:  # a picture that reads only a part of the file may still succeed
                self._shares = False
        return self._bases.get(loading) if shared else None

    def _make_room(self, room: int, but: Loading | None) -> None:
        """Release shared pixels, except ``but``, until they take at most ``room`` bytes."""
        for other in [*self._bases]:
            if sum(one.bytes for one in self._bases if one != but) <= room:
                break
            if other != but:
                del self._bases[other]

    def _loads(self, process: Process, loading: Loading) -> bool:
        """Return whether a process loads the source in this way, and may share it."""
        if process.answer or not self._shares:
            return False
        try:
            planned = self._plan(process)
        except OssError:
            return False  # the error is raised when it is made
        if planned.loading != loading or planned.master or planned.result.pages > 1:
            return False
        return self._affordable(self._costs.get(process.text, planned.cost))

    def _room(self, process: Process) -> int:
        """Return the bytes of shared pixels that may be kept while a picture is made."""
        planned = self._plan(process)
        room = SHARED_BYTES
        if self._budget is not None:
            cost = self._costs.get(process.text, planned.cost)
            room = min(room, self._budget[1] - cost.memory)
        if self._master is not None and not planned.master:
            room -= masters.BYTES
            if room < 0:
                self._master = None
                room += masters.BYTES
        return room

    def new_master(self) -> bool:
        """Return whether a master was written to ``blank`` since the last call."""
        new, self._new = self._new, False
        return new

    @property
    def _has_master(self) -> bool:
        return self._kept is not None or self._master is not None

    def _over_master(self, planned: Plan, context: RenderContext) -> Image:
        """Return the source's master, from the cache or made now, for all pictures made from it.

        Raises:
            ImageDamage: The file cannot be decoded.
        """
        size = plan.reduced(planned.header, planned.loader_shrink, planned.halved)
        if self._master is None and self._kept is not None:
            self._master = masters.read(self._kept, size)
        if self._master is None:
            self._master = self._made(replace(planned, steps=()), size, context)
        return self._master

    def _made(self, planned: Plan, size: Size, context: RenderContext) -> Image:
        """Make the source's master, in the ``blank`` file, or in memory if that is not possible."""
        if self._blank:
            writing, reading = self._blank
            self._blank = None
            keep = partial(masters.write, descriptor=writing)
            written = render.master(self._probed(), planned, context.watch, keep)
            os.dup2(reading, writing, inheritable=False)  # closes the only one that can write
            if written and (master := masters.read(reading, size)):
                self._new = True
                return master
        return render.master(self._probed(), planned, context.watch, masters.held)
