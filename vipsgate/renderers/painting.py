"""Pictures without a source object, painted by a worker.

Connects :mod:`vipsgate.store.synthetic` to the names of :mod:`vipsgate.image.synthetic.scene` and
to the renderers, neither of which it imports.
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
        renderers: The pool that paints them.
        limits: The sizes that may be painted.
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
