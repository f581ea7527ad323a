"""Several things to be made of one source: its header is read once, and it is decoded once.

That is what a page with a ``srcset`` asks for. The source is decoded as far reduced as the most
exact of the pictures needs it and kept in memory; for those that a JPEG would have been reduced
further for, it is halved again, in steps as libjpeg has them. Animations, and what would take too
much memory, are made one by one.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from .frame import Gamut
from .gravity import Focus
from .load import completed, load
from .notes import Notes, joined
from .plan import Plan
from .process import Process
from .search import Choice

if TYPE_CHECKING:
    from pyvips import Image

    from .prepared import RenderContext

SHARED_BYTES = 64 << 20  # of a decoded source that is kept for several pictures


class Group:
    """What is to be made of one source.

    Args:
        read: Gives the file's bytes.
        processes: What is to be done with it, once for each picture or answer.
        limits: Of every picture.
        rendering: How pictures are made.
        budget: Seconds and bytes that each may cost; ``None`` for any.
        kept: Descriptor of the source's master as it is kept; ``None`` where it is not.
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
        arriving: streamed.Arriving | None = None,
        file: File | None = None,
    ) -> None:
        self._file = file
        self._read, self._processes, self._budget = read, processes, budget
        self._kept = kept
        self._master: Image | None = None
        self._new_master = -1
        self._limits, self._rendering = limits, rendering
        self._source: Source | None = None
        self._arriving = arriving
        self._front: streamed.Front | None = None
        self.probe_seconds = 0.0
        self.choice: Choice | None = None
        self._plans: dict[str, Plan] = {}  # by the text of their process
        self._answers: dict[str, Plan | None] = {}  # likewise
        self._costs: dict[str, Cost] = {}  # likewise
        self._bases: list[Image] = []  # the source as it is loaded, and halved once, twice ...

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
        if process.answer:
            os.write(descriptor, reports.answer(self._probed(), process, context))
            return reports.MIME
        if self._write_early(process, descriptor, context):
            return CODECS[self._plan(process).result.format].mime
        planned, base = self._plan(process), None
        if planned.master:
            base = self._over_master(planned, context)
        elif (least := self._least()) and self._fits(process, least):
            planned, base = self._shared(least, planned, context)
        self.choice = render.render(self._probed(), planned, descriptor, context, base)
        return CODECS[planned.result.format].mime

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

    def _least(self) -> Plan | None:
        """The plan that needs most of the source, if there are several and it fits into memory."""
        if len(self._processes) < 2:
            return None
        stills = []
        for process in self._processes:
            try:
                if not process.answer and self._affordable((planned := self._plan(process)).cost):
                    alone = planned.result.pages > 1 or planned.master
                    stills += [] if alone else [planned]
            except OssError:
                continue  # it is told when its turn has come
        if len(stills) < 2:
            return None
        least = min(stills, key=lambda planned: planned.shrink)
        return least if _decoded(least) <= SHARED_BYTES else None

    def _fits(self, process: Process, least: Plan) -> bool:
        """May this one keep the shared source besides what it takes alone?"""
        planned = self._plan(process)
        if planned.result.pages > 1 or _colours(planned) != _colours(least):
            return False
        cost = self._costs.get(process.text, planned.cost)
        halved = 4 / 3  # of it and all that are halved
        return self._affordable(replace(cost, memory=cost.memory + int(halved * _decoded(least))))

    def _affordable(self, cost: Cost) -> bool:
        return self._budget is None or cost.within(*self._budget)

    def _shared(
        self, least: Plan, planned: Plan, context: RenderContext
    ) -> tuple[Plan, Image | None]:
        """The plan for the source decoded and halved as often as it may be for it, and that source.

        Raises:
            ImageDamage: The file cannot be decoded.
        """
        for halved in range(int(math.log2(planned.shrink / least.shrink)), -1, -1):
            if (fit := plan.at(planned, least.shrink, halved)) is not None:
                return fit, self._base(least, halved, context)
        return planned, None

    def new_master(self) -> int:
        """A descriptor of the source's master where it has been made here; else -1.

        It is told once, and closed by whoever is told; so somebody has to ask.
        """
        master, self._new_master = self._new_master, -1
        return master

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
            memory = os.memfd_create("master", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                all_of_it = replace(planned, steps=())
                render.master(self._probed(), all_of_it, memory, context.watch)
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, masters.SEALS)
                self._master = masters.read(memory, size)
                assert self._master, "a master that is none"
            except BaseException:
                os.close(memory)
                raise
            self._new_master = memory
        return self._master

    def _base(self, least: Plan, halved: int, context: RenderContext) -> Image:
        if not self._bases:
            all_of_it = replace(least, steps=())
            self._bases.append(render.held(load(self._probed(), all_of_it), context.watch))
        while len(self._bases) <= halved:
            size = plan.reduced(least.header, least.shrink, len(self._bases))
            half = self._bases[-1].shrink(2, 2, ceil=True).crop(0, 0, *size)
            self._bases.append(render.held(half, context.watch))
        return self._bases[halved]


def _colours(planned: Plan) -> tuple[Gamut, bool]:
    """What pixels are loaded as, and whether their profile is remembered."""
    return planned.header.gamut, planned.result.profile


def _decoded(planned: Plan) -> float:
    """Bytes of the source as it is loaded."""
    header = planned.header
    return header.width * header.height * max(3, header.bands) / planned.shrink**2
