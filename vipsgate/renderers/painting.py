"""Where pictures that no object is the source of are painted: by a renderer, as all others are.

It joins the names of :mod:`vipsgate.image.synthetic.scene` to the renderers for
:mod:`vipsgate.store.synthetic`, which knows neither.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..image.config import Limits
from ..image.synthetic import scene
from .pool import Renderers


@dataclass(frozen=True, slots=True)
class Easel:
    """See :class:`vipsgate.store.synthetic.Painter`.

    Attributes:
        renderers: Who paint.
        limits: Which pictures there are.
    """

    renderers: Renderers
    limits: Limits

    @property
    def identity(self) -> str:
        """See :class:`vipsgate.store.synthetic.Painter`; known once the renderers have started."""
        return f"{self.renderers.version}, scenes {scene.VERSION}"

    @property
    def modified(self) -> float:
        """See :class:`vipsgate.store.synthetic.Painter`."""
        return scene.MODIFIED

    def check(self, name: str) -> None:
        """See :class:`vipsgate.store.synthetic.Painter`."""
        scene.read(name, self.limits)

    async def paint(self, name: str) -> int:
        """See :class:`vipsgate.store.synthetic.Painter`."""
        nothing = os.memfd_create("nothing", os.MFD_CLOEXEC)  # where a job has its source
        try:
            done = await self.renderers.render(f"{scene.PAINT}{name}", nothing)
        finally:
            os.close(nothing)
        return done.descriptor
