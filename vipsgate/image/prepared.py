"""The resources of a worker: pictures of other objects, prepared once, and text.

A picture that is laid on others is wanted again and again, so it is kept as it was prepared: a logo
is not decoded for every request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

CACHE_BYTES = 32 << 20  # of prepared pictures in one renderer
NO_PICTURE = "0040-00000027"  # EC: the format of the watermark's picture


@dataclass(frozen=True, slots=True)
class Overlay:
    """An object that came along with the source.

    Attributes:
        etag: Tells its content from all others.
        read: Gives its bytes.
    """

    etag: str
    read: Callable[[], bytes]


class PreparedCache:
    """Prepared pictures by name: those used last, up to so many bytes.

    Args:
        most: Bytes of all together; a picture above it is not kept at all.
    """

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._pictures: LRUCache[tuple[str, str], Image] = LRUCache(most, getsizeof=_size)

    def get(self, name: tuple[str, str]) -> Image | None:
        """The picture of that name, if it is here."""
        return self._pictures.get(name)

    def keep(self, name: tuple[str, str], picture: Image) -> None:
        """Put a picture here, for which others may have to go."""
        if _size(picture) <= self._pictures.maxsize:
            self._pictures[name] = picture


def _size(picture: Image) -> int:
    return int(picture.width * picture.height * picture.bands)


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Errors of that object say so."""
    try:
        yield
    except OssError as error:
        ec = error.ec or (NO_PICTURE if isinstance(error, BadRequest) else "")
        message = f"The watermark object {shown(key)!r}: {error.message}"
        raise WatermarkError(message, ec=ec) from None


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What a worker provides as :class:`.resources.Resources`: the same for every job, but for its
    objects and who watches.

    Attributes:
        limits: Of every picture.
        rendering: How pictures are made.
        fonts: Those that there are for text.
        cache: Where prepared pictures stay from job to job.
        objects: By key, what came along with this job's source.
        watch: Told of each image before it is computed, so that it can be stopped from outside.
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
            with _named(key):
                still, planned = self._planned(key, actions)
                picture = render.picture(still, planned, self.watch)
            self.cache.keep(name, picture)
        return picture

    def memory(self, key: str, actions: tuple[Action, ...]) -> int:
        """Bytes that making that picture takes at most; 0 for one that is here already.

        Raises:
            WatermarkError: It cannot be made of that object.
        """
        if self.cache.get(self._name(key, actions)) is not None:
            return 0
        with _named(key):
            return self._planned(key, actions)[1].memory

    def check_overlays(self, planned: plan.Plan) -> None:
        """Refuse a picture that takes too much with what is laid on it, which is made before.

        Raises:
            ImageTooLarge: The picture and the largest of these take more memory than they may.
            WatermarkError: One of them cannot be planned.
        """
        largest = max(
            (
                self.memory(overlay.key, overlay.actions_on(stage.before))
                for stage in planned.stages
                for overlay in stage.action.needs()
            ),
            default=0,
        )
        beside = max(0, largest - plan.PIPELINE_BYTES)
        plan.check_memory(planned.header, planned.memory + beside, self.limits)

    def _name(self, key: str, actions: tuple[Action, ...]) -> tuple[str, str]:
        return self.objects[key].etag, "/".join(map(str, actions))

    def _planned(self, key: str, actions: tuple[Action, ...]) -> tuple[Source, plan.Plan]:
        """The object's first frame, and how it is made."""
        source = probe(self.objects[key].read())
        still = replace(source, header=replace(source.header, pages=1))
        endless = replace(self.limits, render_bytes=sys.maxsize)  # its size is told of first
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
