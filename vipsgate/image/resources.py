"""The protocol by which actions get overlays, text and limits.

Actions and steps import only this module; :mod:`.prepared` implements it for a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyvips import Image


class Resources(Protocol):
    """Overlays of other objects, lines of text, the limits of a picture, and its cancellation."""

    @property
    def watch(self) -> Callable[[Image], None]:
        """Called with each image before it is computed, so that it can be stopped from outside."""

    def picture(self, key: str, actions: tuple[Any, ...]) -> Image:
        """Return an overlay made of another object: 8-bit sRGB with alpha, in memory.

        Args:
            key: The object's key, in the bucket of the main picture.
            actions: The actions to apply first, of the type :class:`.action.Action`, which imports
                this module and so cannot be named as a type here.

        Raises:
            WatermarkError: The overlay cannot be made of that object.
        """

    def text(self, line: str, font: str, size: int) -> Image | None:
        """Return the mask of one line of text in one band, 0-255; ``None`` if nothing is drawn.

        Args:
            line: The text, without markup.
            font: One of OSS's names, a key of ``fonts.NAMES``.
            size: Pixels of the font's em.

        Raises:
            ImageTooLarge: It has more pixels than a picture may have.
        """

    def check(self, width: int, height: int) -> None:
        """Refuse an overlay that is larger than a result may be.

        Raises:
            ImageTooLarge: A side or the area exceeds a limit.
        """
