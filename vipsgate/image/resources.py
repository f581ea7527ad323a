"""The protocol of what an action may ask of its surroundings, whoever provides it.

Actions and steps know this module alone; :mod:`.prepared` has what is behind it in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyvips import Image


class Resources(Protocol):
    """Other objects' pictures, lines of text, the limits of a picture, who may stop the work."""

    @property
    def watch(self) -> Callable[[Image], None]:
        """Is told of each image before it is computed, so that it can be stopped from outside."""

    def picture(self, key: str, actions: tuple[Any, ...]) -> Image:
        """Another object's picture, for use as an overlay: 8-bit sRGB with alpha, in memory.

        Args:
            key: The object's name, in the bucket of the main picture.
            actions: What is done to it first: each an :class:`.action.Action`, which is built on
                this module and so cannot be named here as a type.

        Raises:
            WatermarkError: It cannot be made of that object.
        """

    def text(self, line: str, font: str, size: int) -> Image | None:
        """The ink of one line of text in one band, 0-255; ``None`` where there is none.

        Args:
            line: As it is read: no markup.
            font: One of OSS's names, a key of ``fonts.NAMES``.
            size: Pixels of the font's em.

        Raises:
            ImageTooLarge: It takes more pixels than a picture may have.
        """

    def check(self, width: int, height: int) -> None:
        """Refuse an overlay that is larger than a picture may be made.

        Raises:
            ImageTooLarge: A side or the area passes a limit.
        """
