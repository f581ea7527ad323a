"""The steps that are run: scaling, shifting, cutting, turning, a canvas, levels; each a value.

Most actions consist of these (:meth:`.action.Action.steps`). As values, they can be reordered and
joined before any pixel is read (:mod:`.optimize`). Coordinates are in pixels from the upper left
corner, and whole numbers are the borders between pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import pixels

if TYPE_CHECKING:
    from pyvips import Image

    from .resources import Resources

Size = tuple[int, int]  # width and height, in pixels
WINDOW_LINES = 700  # lines that libvips keeps to scale or sharpen (bench/estimates.py)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on each page."""

    def sides(self, before: Size) -> Size:
        """Return the size that results from ``before``."""
        return before

    def idle(self, before: Size) -> bool:
        """Return whether it leaves a picture of this size unchanged."""
        return False

    @property
    def streams(self) -> bool:
        """Whether it can run from top to bottom; else its input is held in memory."""
        return True

    @property
    def lines(self) -> int:
        """Lines of a picture without alpha that it keeps in memory."""
        return 0

    def cost(self, before: Size) -> float:
        """Return the estimated seconds of one core, for each page (:mod:`.cost`)."""
        return 0.0

    def ready(self, resources: Resources) -> Step:
        """Return the step with what is the same for every page, made before the source is read."""
        return self

    def apply(self, image: Image) -> Image:
        """Add the step to the pipeline of one page."""
        return image


@dataclass(frozen=True, slots=True)
class Scale(Step):
    """Scale to exactly ``width`` by ``height`` pixels.

    Attributes:
        size: Exact size of the input, of which a loader that shrinks leaves whole pixels.
        width: Width of the result.
        height: Height of the result.
        ratio: Size of the input divided by that of the result, before sides were rounded.
        gap: See :func:`.pixels.scaled`.
        held: Whether the input is in memory.
    """

    size: tuple[float, float]
    width: int
    height: int
    ratio: float
    gap: float = pixels.GAP
    held: bool = False

    def sides(self, before: Size) -> Size:
        return self.width, self.height

    def idle(self, before: Size) -> bool:
        return before == (self.width, self.height)

    @property
    def lines(self) -> int:
        return WINDOW_LINES

    def cost(self, before: Size) -> float:
        larger = self.width > before[0] or self.height > before[1]
        return 8e-9 * _area(before) + larger * 25e-9 * self.width * self.height

    def apply(self, image: Image) -> Image:
        size = self.width, self.height
        return pixels.scaled(image, *size, self.size, gap=self.gap, held=self.held)

    def __str__(self) -> str:
        return f"scale {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Shift(Step):
    """Move the picture by parts of a pixel, by which a cut in the loader's pixels is off.

    Attributes:
        right: Pixels to the right, from -0.5 to 0.5.
        down: Pixels down, likewise.
    """

    right: float
    down: float

    def idle(self, before: Size) -> bool:
        return not self.right and not self.down

    @property
    def lines(self) -> int:
        return WINDOW_LINES

    def cost(self, before: Size) -> float:
        return 4e-9 * _area(before)

    def apply(self, image: Image) -> Image:
        return pixels.shifted(image, self.right, self.down)

    def __str__(self) -> str:
        return f"shift {self.right:+.2f}{self.down:+.2f}"


@dataclass(frozen=True, slots=True)
class Cut(Step):
    """Keep the rectangle that begins at ``left``, ``top``."""

    left: int
    top: int
    width: int
    height: int

    def sides(self, before: Size) -> Size:
        return self.width, self.height

    def idle(self, before: Size) -> bool:
        return before == (self.width, self.height)

    def apply(self, image: Image) -> Image:
        return image.crop(self.left, self.top, self.width, self.height)

    def __str__(self) -> str:
        return f"cut {self.width}x{self.height}+{self.left}+{self.top}"


@dataclass(frozen=True, slots=True)
class Turn(Step):
    """One of the eight orientations: turn clockwise, then mirror left to right.

    Attributes:
        quarters: Quarter turns, 0-3.
        mirror: Whether left and right are swapped after it.
    """

    quarters: int
    mirror: bool = False

    def sides(self, before: Size) -> Size:
        return before[::-1] if self.quarters % 2 else before

    def idle(self, before: Size) -> bool:
        return self == Turn(0)

    @property
    def streams(self) -> bool:
        return self.quarters == 0

    @property
    def back(self) -> Turn:
        """The inverse; a mirroring turn is its own inverse."""
        return self if self.mirror else Turn(-self.quarters % 4)

    def then(self, other: Turn) -> Turn:
        """Return both as one turn; after a mirror, the direction of the second is reversed."""
        further = -other.quarters if self.mirror else other.quarters
        return Turn((self.quarters + further) % 4, self.mirror != other.mirror)

    def cut(self, cut: Cut, before: Size) -> Cut:
        """Return the position of a rectangle of a picture of size ``before`` after the turn."""
        left, top, width, height = cut.left, cut.top, cut.width, cut.height
        wide, high = before
        for _ in range(self.quarters):
            left, top, width, height = high - top - height, left, height, width
            wide, high = high, wide
        return Cut(wide - left - width if self.mirror else left, top, width, height)

    def scale(self, scale: Scale) -> Scale:
        """Return the same scaling for the turned picture."""
        if self.quarters % 2 == 0:
            return scale
        return replace(scale, size=scale.size[::-1], width=scale.height, height=scale.width)

    def cost(self, before: Size) -> float:
        return 4e-9 * _area(before)

    def apply(self, image: Image) -> Image:
        if self == Turn(2, True):
            return image.flipver()
        if self.quarters:
            image = image.rot(f"d{90 * self.quarters}")
        return image.fliphor() if self.mirror else image

    def __str__(self) -> str:
        return f"turn {90 * self.quarters}" + " and mirror" * self.mirror


@dataclass(frozen=True, slots=True)
class Canvas(Step):
    """Place the picture in the middle of an opaque canvas of this size and colour."""

    width: int
    height: int
    colour: tuple[int, ...]

    def sides(self, before: Size) -> Size:
        return self.width, self.height

    def apply(self, image: Image) -> Image:
        return pixels.on_canvas(image, self.width, self.height, [*self.colour])

    def __str__(self) -> str:
        return f"canvas {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Levels(Step):
    """Replace each level of a colour by that of ``table``, 256 bytes."""

    table: bytes

    def cost(self, before: Size) -> float:
        return 4e-9 * _area(before)

    def apply(self, image: Image) -> Image:
        return pixels.mapped(image, self.table.__getitem__)

    def __str__(self) -> str:
        return "levels"


def _area(size: Size) -> int:
    return size[0] * size[1]
