"""What an action may use besides its own picture: pictures of other objects, and text.

A picture that is laid on others is wanted again and again, so it is kept as it was prepared: a logo
is not decoded for every request.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import BadRequest, OssError, WatermarkError, shown
from . import plan, render, text
from .action import Action, Wanted
from .config import Limits, Rendering
from .fonts import Fonts
from .formats.probe import Source, probe
from .frame import Frame

if TYPE_CHECKING:
    from pyvips import Image

KEPT_BYTES = 32 << 20  # of prepared pictures in one renderer
NO_PICTURE = "0040-00000027"  # EC: the format of the watermark's picture


@dataclass(frozen=True, slots=True)
class Beside:
    """An object that came along with the source.

    Attributes:
        etag: Tells its content from all others.
        read: Gives its bytes.
    """

    etag: str
    read: Callable[[], bytes]


class Shelf:
    """Prepared pictures by name: those used last, up to so many bytes.

    Args:
        most: Bytes of all together; a picture above it is not kept at all.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[tuple[str, str], Image] = OrderedDict()

    def get(self, name: tuple[str, str]) -> Image | None:
        """The picture of that name, if it is here."""
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def keep(self, name: tuple[str, str], picture: Image) -> None:
        """Put a picture here, for which others may have to go."""
        if _size(picture) > self._most:
            return
        self._kept[name] = picture
        self._bytes += _size(picture)
        while self._bytes > self._most:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(picture: Image) -> int:
    return int(picture.width * picture.height * picture.bands)


def _laid_on(wanted: Wanted, main: Frame) -> tuple[Action, ...]:
    return tuple(action.laid_on(main) for action in wanted.actions)


@contextmanager
def _named(wanted: Wanted) -> Iterator[None]:
    """Errors of that object say so."""
    try:
        yield
    except OssError as error:
        ec = error.ec or (NO_PICTURE if isinstance(error, BadRequest) else "")
        raise WatermarkError(
            f"The watermark object {shown(wanted.key)!r}: {error.message}", ec=ec
        ) from None


@dataclass(frozen=True, slots=True)
class Studio:
    """The same for every job, but for its objects and who watches.

    Attributes:
        limits: Of every picture.
        rendering: How pictures are made.
        fonts: Those that there are for text.
        shelf: Where prepared pictures stay from job to job.
        objects: By key, what came along with this job's source.
        watch: Told of each image before it is computed, so that it can be stopped from outside.
    """

    limits: Limits
    rendering: Rendering
    fonts: Fonts
    shelf: Shelf = field(default_factory=Shelf)
    objects: Mapping[str, Beside] = field(default_factory=dict)
    watch: Callable[[Image], None] = lambda image: None

    def picture(self, wanted: Wanted, main: Frame) -> Image:
        """Another object's picture, made to be laid on ``main``: 8-bit sRGB with alpha, in memory.

        Raises:
            WatermarkError: It cannot be made of that object.
        """
        actions = _laid_on(wanted, main)
        name = self._name(wanted, actions)
        picture = self.shelf.get(name)
        if picture is None:
            with _named(wanted):
                still, made = self._planned(wanted, actions)
                picture = render.picture(still, made, self.watch)
            self.shelf.keep(name, picture)
        return picture

    def memory(self, wanted: Wanted, main: Frame) -> int:
        """Bytes that making that picture takes at most; 0 for one that is here already.

        Raises:
            WatermarkError: It cannot be made of that object.
        """
        actions = _laid_on(wanted, main)
        if self.shelf.get(self._name(wanted, actions)) is not None:
            return 0
        with _named(wanted):
            return self._planned(wanted, actions)[1].memory

    def _name(self, wanted: Wanted, actions: Iterable[Action]) -> tuple[str, str]:
        return self.objects[wanted.key].etag, "/".join(map(str, actions))

    def _planned(self, wanted: Wanted, actions: Iterable[Action]) -> tuple[Source, plan.Plan]:
        """The object's first frame, and how it is made."""
        source = probe(self.objects[wanted.key].read())
        plan.admit(source.header, self.limits)
        still = replace(source, header=replace(source.header, pages=1))
        endless = replace(self.limits, render_bytes=sys.maxsize)  # its size is told of first
        made = plan.make(still.header, actions, endless, self.rendering, written=False)
        self.check(made.result.width, made.result.height)
        plan.check_memory(still.header, made.memory, self.limits)
        return still, made

    def text(self, line: str, font: str, size: int) -> Image | None:
        """The ink of one line of text in one band, 0-255; ``None`` where there is none.

        Args:
            line: As it is read: no markup.
            font: One of OSS's names, a key of ``fonts.NAMES``.
            size: Pixels of the font's em.

        Raises:
            ImageTooLarge: It takes more pixels than a picture may have.
        """
        return text.draw(self.fonts.runs(line, font), size, self.limits.output_pixels)

    def check(self, width: int, height: int) -> None:
        """Refuse a mark that is larger than a picture may be made.

        Raises:
            ImageTooLarge: A side or the area passes a limit.
        """
        self.limits.check_made("watermark", width, height)
