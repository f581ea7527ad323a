"""Several things to be made of one source: its header is read once, and it is decoded once.

That is what a page with a ``srcset`` asks for. The source is decoded as far reduced as the most
exact of the pictures needs it and kept in memory; for those that a JPEG would have been reduced
further for, it is halved again, in steps as libjpeg has them. Animations, and what would take too
much memory, are made one by one.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import OssError
from . import hue, plan, process, render, reports
from .config import Limits, Rendering
from .cost import Cost
from .formats.codecs import CODECS
from .formats.probe import Source, probe
from .load import load
from .plan import Plan

if TYPE_CHECKING:
    from pyvips import Image

    from .prepared import RenderContext

SHARED_BYTES = 64 << 20  # of a decoded source that is kept for several pictures


class Batch:
    """What is to be made of one source.

    Args:
        read: Gives the file's bytes.
        texts: Canonical texts of what is to be done.
        limits: Of every picture.
        rendering: How pictures are made.
        most: Seconds and bytes that each may cost; ``None`` for any.

    Attributes:
        looked: Seconds that reading the file and its header took.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        texts: Sequence[str],
        limits: Limits,
        rendering: Rendering,
        most: tuple[float, int] | None = None,
    ) -> None:
        self._read, self._texts, self._most = read, texts, most
        self._limits, self._rendering = limits, rendering
        self._source: Source | None = None
        self.looked = 0.0
        self._plans: dict[int, Plan] = {}
        self._costs: dict[int, Cost] = {}
        self._bases: list[Image] = []  # the source as it is loaded, and halved once, twice ...

    def refused(self, number: int, context: RenderContext) -> Cost | None:
        """What one of them is expected to take, where that is more than it may.

        Raises:
            OssError: The file is no picture, or what is asked does not fit it.
        """
        if self._most is None:
            return None
        cost = self._costs[number] = self._cost(number, context)
        return None if cost.within(*self._most) else cost

    def _cost(self, number: int, context: RenderContext) -> Cost:
        """Of a picture, with the dearest of those that are laid on it, which are made before."""
        if self._told(number):
            if self._explained(number) or self.asked(number).answer != process.HUE:
                return Cost(0.0, 0)
            return hue.planned(self._probed().header, self._limits, self._rendering).cost
        made = self._plan(number)
        beside = [
            context.memory(wanted.key, wanted.actions_on(stage.before))
            for stage in made.stages
            for wanted in stage.action.needs()
        ]
        if (dearest := max(beside, default=0) - plan.PIPELINE_BYTES) <= 0:
            return made.cost
        plan.check_memory(made.header, made.memory + dearest, self._limits)
        return replace(made.cost, memory=made.memory + dearest)

    def answer(self, number: int, descriptor: int, context: RenderContext) -> str:
        """Make one of them, and write it to a descriptor of an empty file; its MIME type.

        Raises:
            OssError: It cannot be made; see :func:`vipsgate.image.render.render`.
        """
        asked = self.asked(number)
        if self._told(number):
            source = self._probed()
            if self._explained(number):
                said = reports.explained(source, asked, self._limits, self._rendering)
            else:
                plan.admit(source.header, self._limits)
                said = reports.ANSWERS[asked.answer](source, context)
            os.write(descriptor, said)
            return reports.MIME
        made, base = self._plan(number), None
        if (least := self._least()) and self._fits(number, least):
            made, base = self._shared(least, made, context)
        render.render(self._probed(), made, descriptor, context, base)
        return CODECS[made.result.format].mime

    def asked(self, number: int) -> process.Process:
        """What one of them is, read."""
        text = self._texts[number].removeprefix(process.EXPLAIN)
        return process.parse(text, self._limits)

    def _told(self, number: int) -> bool:
        """Is something said of the picture, in place of another picture?"""
        return bool(self.asked(number).answer) or self._explained(number)

    def _explained(self, number: int) -> bool:
        return self._texts[number].startswith(process.EXPLAIN)

    def _probed(self) -> Source:
        if self._source is None:
            begun = time.perf_counter()
            self._source = probe(self._read())
            self.looked = time.perf_counter() - begun
        return self._source

    def _plan(self, number: int) -> Plan:
        if number not in self._plans:
            header = self._probed().header
            self._plans[number] = plan.remembered(
                replace(header, exif=b"") if header.exif else header,
                self.asked(number).actions,
                self._limits,
                self._rendering,
            )
        return self._plans[number]

    def _least(self) -> Plan | None:
        """The plan that wants most of the source, if there are several and it fits into memory."""
        plans = []
        for number in range(len(self._texts) if len(self._texts) > 1 else 0):
            try:
                if not self._told(number) and self._quick(self._plan(number).cost):
                    plans.append(self._plan(number))
            except OssError:
                continue  # it is told when its turn has come
        stills = [made for made in plans if made.result.pages == 1]
        if len(stills) < 2:
            return None
        least = min(stills, key=lambda made: made.shrink)
        return least if _decoded(least) <= SHARED_BYTES else None

    def _fits(self, number: int, least: Plan) -> bool:
        """May this one keep the shared source besides what it takes alone?"""
        if self._plan(number).result.pages > 1:
            return False
        cost = self._costs.get(number, self._plan(number).cost)
        halved = 4 / 3  # of it and all that are halved
        return self._quick(replace(cost, memory=cost.memory + int(halved * _decoded(least))))

    def _quick(self, cost: Cost) -> bool:
        return self._most is None or cost.within(*self._most)

    def _shared(self, least: Plan, made: Plan, context: RenderContext) -> tuple[Plan, Image | None]:
        """The plan for the source decoded and halved as often as it may be for it, and that source.

        Raises:
            ImageDamage: The file cannot be decoded.
        """
        for halved in range(int(math.log2(made.shrink / least.shrink)), -1, -1):
            if (fit := plan.at(made, least.shrink, halved)) is not None:
                return fit, self._base(least, halved, context)
        return made, None

    def _base(self, least: Plan, halved: int, context: RenderContext) -> Image:
        if not self._bases:
            self._bases.append(render.held(load(self._probed(), least), context.watch))
        while len(self._bases) <= halved:
            size = plan.reduced(least.header, least.shrink, len(self._bases))
            half = self._bases[-1].shrink(2, 2, ceil=True).crop(0, 0, *size)
            self._bases.append(render.held(half, context.watch))
        return self._bases[halved]


def _decoded(made: Plan) -> float:
    """Bytes of the source as it is loaded."""
    header = made.header
    return header.width * header.height * max(3, header.bands) / made.shrink**2
