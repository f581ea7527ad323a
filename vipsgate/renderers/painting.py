"""Pictures that have no object as their source, painted by a worker.

It joins the names of :mod:`vipsgate.image.synthetic.scene` to the renderers for
:mod:`vipsgate.store.synthetic`, which knows neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..image.config import Limits
from ..image.synthetic import scene
from ..worker.protocol import Job
from .pool import Renderers


@dataclass(frozen=True, slots=True)
class PaintingService:
    """See :class:`vipsgate.store.synthetic.Painter`.

    Attributes:
        renderers: Have them painted.
        limits: Which pictures there are.
    """

    renderers: Renderers
    limits: Limits

    @property
    def identity(self) -> str:
        """See :class:`vipsgate.store.synthetic.Painter`; known once the workers have started."""
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
        result = await self.renderers.render(Job("paint", name))
        return result.descriptor
