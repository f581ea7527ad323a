"""The resources of a worker: overlays from other objects, which are cached, and text.

Overlays are cached as prepared, so that a logo is not decoded for every request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cachetools import LRUCache

from ..errors import BadRequest, OssError, WatermarkError, shown
from . import plan, render, text
from .action import Action
from .config import Limits, Rendering
from .fonts import Fonts
from .formats.probe import Source, probe

if TYPE_CHECKING:
    from pyvips import Image

CACHE_BYTES = 32 << 20  # of prepared overlays in one renderer
NO_PICTURE = "0040-00000027"  # EC: the format of the watermark's picture


@dataclass(frozen=True, slots=True)
class Overlay:
    """An object that was sent along with the source.

    Attributes:
        etag: Identifies its content.
        read: Returns its bytes.
    """

    etag: str
    read: Callable[[], bytes]


class PreparedCache:
    """A cache of prepared pictures by name, the most recently used ones.

    Args:
        most: Bytes of all together; a larger picture is not cached.
    """

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._pictures: LRUCache[tuple[str, str], Image] = LRUCache(most, getsizeof=_size)

    def get(self, name: tuple[str, str]) -> Image | None:
        """Return the picture of that name, or ``None``."""
        return self._pictures.get(name)

    def keep(self, name: tuple[str, str], picture: Image) -> None:
        """Add a picture, and remove others if need be."""
        if _size(picture) <= self._pictures.maxsize:
            self._pictures[name] = picture


def _size(picture: Image) -> int:
    return int(picture.width * picture.height * picture.bands)


class _Named:
    """A context that names the object in errors raised within; see :class:`.render.Decoding`."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, OssError):
            ec = error.ec or (NO_PICTURE if isinstance(error, BadRequest) else "")
            message = f"The watermark object {shown(self._key)!r}: {error.message}"
            raise WatermarkError(message, ec=ec) from None


@dataclass(frozen=True, slots=True)
class RenderContext:
    """The :class:`.resources.Resources` of a worker; ``objects`` and ``watch`` differ for each job.

    Attributes:
        limits: The limits of every picture.
        rendering: The settings for rendering.
        fonts: The installed fonts.
        cache: Prepared pictures, kept from job to job.
        objects: The objects of this job, by key.
        watch: Called with each image before it is computed, so that it can be stopped from outside.
    """

    limits: Limits
    rendering: Rendering
    fonts: Fonts
    cache: PreparedCache = field(default_factory=PreparedCache)
    objects: Mapping[str, Overlay] = field(default_factory=dict)
    watch: Callable[[Image], None] = lambda image: None

    def picture(self, key: str, actions: tuple[Action, ...]) -> Image:
        """See :class:`.resources.Resources`."""
        name = self._name(key, actions)
        picture = self.cache.get(name)
        if picture is None:
            with _Named(key):
                still, planned = self._planned(key, actions)
                picture = render.picture(still, planned, self.watch)
            self.cache.keep(name, picture)
        return picture

    def memory(self, key: str, actions: tuple[Action, ...]) -> int:
        """Return an upper bound of the bytes of making an overlay; 0 for a cached one.

        Raises:
            WatermarkError: The overlay cannot be made of that object.
        """
        if self.cache.get(self._name(key, actions)) is not None:
            return 0
        with _Named(key):
            return self._planned(key, actions)[1].memory

    def overlay_memory(self, planned: plan.Plan) -> int:
        """Return an upper bound of the bytes of making the largest overlay, besides the plan's.

        Raises:
            WatermarkError: One of the overlays cannot be planned.
        """
        largest = max(
            (
                self.memory(overlay.key, overlay.actions_on(stage.before))
                for stage in planned.stages
                for overlay in stage.action.needs()
            ),
            default=0,
        )
        return max(0, largest - plan.PIPELINE_BYTES)

    def check_overlays(self, planned: plan.Plan) -> None:
        """Refuse a picture that takes too much memory with its overlays, which are made first.

        Raises:
            ImageTooLarge: The picture and its largest overlay take too much memory.
            WatermarkError: One of the overlays cannot be planned.
        """
        most = planned.memory + self.overlay_memory(planned)
        plan.check_memory(planned.header, most, self.limits)

    def _name(self, key: str, actions: tuple[Action, ...]) -> tuple[str, str]:
        return self.objects[key].etag, "/".join(map(str, actions))

    def _planned(self, key: str, actions: tuple[Action, ...]) -> tuple[Source, plan.Plan]:
        """Return the object's source and the plan of its first frame."""
        source = probe(self.objects[key].read())
        still = replace(source, header=replace(source.header, pages=1))
        endless = replace(self.limits, render_bytes=sys.maxsize)  # errors of size come first
        planned = plan.make(still.header, actions, endless, self.rendering, written=False)
        self.check(planned.result.width, planned.result.height)
        plan.check_memory(still.header, planned.memory, self.limits)
        return still, planned

    def text(self, line: str, font: str, size: int) -> Image | None:
        """See :class:`.resources.Resources`."""
        return text.draw(self.fonts.runs(line, font), size, self.limits.output_pixels)

    def check(self, width: int, height: int) -> None:
        """See :class:`.resources.Resources`."""
        self.limits.check_made("watermark", width, height)
