"""Several things to be made of one source: its header is read once, and equal pixels loaded once.

That is what a page with a ``srcset`` asks for. The bytes of an answer must not depend on what else
is asked at that moment: strong ETags say so, and a range of one answer has to fit to another. So
pictures share what each of them alone would load, pixel by pixel (:attr:`.plan.Plan.loading`), and
nothing that is only like it: of a PNG that is all of them, of a JPEG those that its loader reduces
equally far, of a WebP those of one scale. What is loaded for several stays in memory meanwhile. To
halve again what was loaded for the largest would take less, but gives other pixels than the loader;
where all are to be made of one reduced picture, that is a setting (:mod:`.masters`), by which each
of them alone is made of it, too.

Animations, what leads over a master, and what would take too much memory, are made one by one.
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

SHARED_BYTES = 64 << 20  # of all that is kept decoded for several pictures


class Group:
    """What is to be made of one source.

    Args:
        read: Gives the file's bytes.
        processes: What is to be done with it, once for each picture or answer.
        limits: Of every picture.
        rendering: How pictures are made.
        budget: Seconds and bytes that each may cost; ``None`` for any.
        kept: Descriptor of the source's master as it is kept; ``None`` where it is not.
        blank: Descriptors of a file in which one may be kept, to write and to read it; the former
            writes no longer once it is there. ``None`` for no such file.
        arriving: The file, where its bytes still come.
        file: The file, where it may be read on demand.

    Attributes:
        probe_seconds: Seconds that reading the file and its header took.
        choice: The quality that the picture written last was searched for; ``None`` for no search.
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
        self._left = [*processes]  # that have not been made
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
        self._bases: dict[Loading, Image] = {}  # the source as it is loaded for several
        self._shares = True  # until its pixels could not be computed

    def over_budget(self, process: Process, context: RenderContext) -> Cost | None:
        """What one of them is expected to take, where that is more than it may.

        Raises:
            OssError: The file is no picture, or what is asked does not fit it.
        """
        if self._budget is None:
            return None
        cost = self._costs[process.text] = self._cost(process, context)
        return None if cost.within(*self._budget) else cost

    def _cost(self, process: Process, context: RenderContext) -> Cost:
        """Of a picture, with the most expensive of its overlays, which are made before it."""
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
        """What of a picture is not followed to the letter, or of one that is only spoken of.

        Raises:
            OssError: The file is no picture, or what is asked does not fit it.
        """
        if process.answer:
            planned = self._answered(process) if process.answer.follows else None
            if isinstance(process.answer, Info) and process.answer.xmp:
                return metadata.unread(self._probed())
            return planned.notes if planned else ()
        planned = self._plan(process)
        return joined(planned.notes, metadata.notes(self._probed(), planned))

    def look_over_budget(self, process: Process) -> Cost | None:
        """What the look for a process is expected to take, where that is more than it may.

        Raises:
            OssError: The file is no picture, or what is asked does not fit it.
        """
        assert process.look
        header = self._probed().header
        cost = process.look.cost(process.look.planned(header, self._limits))
        return None if self._affordable(cost) else cost

    def look(self, process: Process, context: RenderContext) -> Focus:
        """What the window of a process is laid around.

        Raises:
            OssError: It cannot be looked for; see :func:`vipsgate.image.attention.find`.
        """
        assert process.look
        return attention.find(self._probed(), process.look, self._limits, context.watch)

    def write(self, process: Process, descriptor: int, context: RenderContext) -> str:
        """Write one of them to a descriptor of an empty file; its MIME type.

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
        """Keep nothing any longer that only this one needed."""
        for place, other in enumerate(self._left):
            if other.text == process.text:
                del self._left[place]
                break
        for loading in [*self._bases]:
            if not any(self._loads(other, loading) for other in self._left):
                del self._bases[loading]

    def explain(self, process: Process, fonts: Fonts) -> bytes:
        """How one of them would be made, as JSON.

        Raises:
            OssError: It would be refused; see :func:`vipsgate.image.reports.explained`.
        """
        return reports.explained(self._probed(), process, self._limits, self._rendering, fonts)

    def histogram(self, context: RenderContext) -> bytes:
        """How many pixels have which level, as JSON.

        Raises:
            OssError: It cannot be told; see :func:`vipsgate.image.histogram.answer`.
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
        """By what is looked at of it, a source that is worth it; ``None`` for one that is not."""
        if self._file is None or len(self._file) < ondemand.LEAST:
            return None
        self._limits.check_bytes(len(self._file))
        return begin(self._file)

    def _begun(self) -> Source | None:
        """By its beginning, a source whose bytes still come; ``None`` where the whole must tell."""
        if self._arriving is None or len(self._processes) != 1 or self._processes[0].answer:
            return None
        self._limits.check_bytes(self._arriving.size)
        self._front = front = streamed.front(self._arriving)
        size = self._arriving.size
        return Source(front.header, b"", size, original=self._read) if front else None

    def _write_early(self, process: Process, descriptor: int, context: RenderContext) -> bool:
        """Write a picture while its source comes, if it does; was it made of what has come?

        Whatever goes wrong, the whole will tell: what is known by the beginning is forgotten. One
        that is made over a master waits for the whole.

        Raises:
            OssError: The rest will not come.
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
        """How pixels are read for an answer, if any are."""
        if process.text not in self._answers:
            self._answers[process.text] = reports.planned(
                self._probed().header, process, self._limits, self._rendering
            )
        return self._answers[process.text]

    def _affordable(self, cost: Cost) -> bool:
        return self._budget is None or cost.within(*self._budget)

    def _shared(self, process: Process, context: RenderContext) -> Image | None:
        """The source in memory, as it is loaded for a picture and for others to come.

        Returns:
            ``None`` where the picture has it loaded by itself.
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
            except OssError:  # where one that reads a part of it alone may find nothing wrong
                self._shares = False
        return self._bases.get(loading) if shared else None

    def _make_room(self, room: int, but: Loading | None) -> None:
        """Keep no more bytes than that, besides one of what is kept."""
        for other in [*self._bases]:
            if sum(one.bytes for one in self._bases if one != but) <= room:
                break
            if other != but:
                del self._bases[other]

    def _loads(self, process: Process, loading: Loading) -> bool:
        """Does one of them load the source like that, and may it share it?"""
        if process.answer or not self._shares:
            return False
        try:
            planned = self._plan(process)
        except OssError:
            return False  # it is told when its turn has come
        if planned.loading != loading or planned.master or planned.result.pages > 1:
            return False
        return self._affordable(self._costs.get(process.text, planned.cost))

    def _room(self, process: Process) -> int:
        """Bytes that may be kept besides what a picture takes by itself."""
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
        """Has the source's master been written since this was asked last?"""
        new, self._new = self._new, False
        return new

    @property
    def _has_master(self) -> bool:
        return self._kept is not None or self._master is not None

    def _over_master(self, planned: Plan, context: RenderContext) -> Image:
        """The source's master: as it is kept, or made now, for all pictures that lead over it.

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
        """The source's master: in a file, or in memory where there is none or no room in it."""
        if self._blank:
            writing, reading = self._blank
            self._blank = None
            keep = partial(masters.write, descriptor=writing)
            written = render.master(self._probed(), planned, context.watch, keep)
            os.dup2(reading, writing, inheritable=False)  # so that nothing can write it from now on
            if written and (master := masters.read(reading, size)):
                self._new = True
                return master
        return render.master(self._probed(), planned, context.watch, masters.held)
