"""The settings that a renderer needs: the limits of pictures, and how they are rendered.

They are plain dataclasses, so that a renderer needs no pydantic; the server's settings contain them
and validate them by their annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from ..errors import ImageTooLarge

Positive = Annotated[int, Ge(1), Le(1 << 40)]


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]`` of vipsgate.toml.

    Attributes:
        source_bytes: Most bytes of a source that is processed (OSS guide: 20 MB).
        source_pixels: Most pixels of a source, width by height by frames (EC 0040-00000012); frames
            do not count if the result is a still picture.
        source_side: Longest side of a source in pixels (EC 0040-00000019); formats may have lower
            limits.
        output_side: Longest side of the result of any action, in pixels (OSS guide, Resize).
        output_pixels: Most pixels of the result of any action (EC 0040-00000007).
        rotate_side: Longest side of a picture that is rotated, in pixels (OSS guide, Rotate).
        frames: Most frames of an animation whose result is one. OSS names no number; a frame takes
            13 KB and 0.4 ms, however small it is.
        actions: Most actions in one process text.
        pipes: Most ``|`` in one process text (EC 0040-00000211).
        watermarks: Most picture watermarks on one picture (OSS guide, Add watermarks: 3).
        video_frames: Most frames of a video that are decoded for one snapshot.
        render_bytes: Most bytes of memory for one picture, by the estimate of its plan before
            decoding. A picture that takes more than estimated is stopped.
        render_seconds: Most seconds of one core for one picture, estimated before decoding (see
            :mod:`.cost`), because an encoder at work cannot be stopped, only killed.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    source_bytes: Positive = 20_971_520
    source_pixels: Positive = 250_000_000
    source_side: Positive = 30_000
    output_side: Positive = 16_384
    output_pixels: Positive = 16_777_216
    rotate_side: Positive = 4_096
    frames: Positive = 500
    actions: Positive = 20
    pipes: Annotated[int, Ge(0), Le(1 << 20)] = 5
    watermarks: Annotated[int, Ge(0), Le(32)] = 3  # each is a descriptor of a renderer's 64
    video_frames: Positive = 3_000  # two minutes of 25 a second; a key frame comes every 2 to 10 s
    render_bytes: Positive = 536_870_912
    render_seconds: Positive = 60

    def check_bytes(self, size: int) -> None:
        """Refuse a file that is too large, before it is opened.

        Raises:
            ImageTooLarge: It has more than ``source_bytes``.
        """
        if size > self.source_bytes:
            raise ImageTooLarge(
                f"Maximal size of image supported is {self.source_bytes} bytes; "
                f"the object has {size}."
            )

    def check_made(self, what: str, width: int, height: int) -> None:
        """Refuse a picture that would be too large.

        Args:
            what: What would make it, for the message.
            width: Its width in pixels.
            height: Its height in pixels.

        Raises:
            ImageTooLarge: A side is above ``output_side`` or the area above ``output_pixels``.
        """
        if max(width, height) > self.output_side or width * height > self.output_pixels:
            raise ImageTooLarge(
                f"{what} makes a picture of {width}x{height} pixels; a side may have "
                f"{self.output_side}, the area {self.output_pixels}.",
                ec="0040-00000007",
            )


@dataclass(frozen=True, slots=True)
class Rendering:
    """``[image]`` of vipsgate.toml.

    Attributes:
        shrink: How far the loader may reduce a source before the one exact resize: ``fast`` all
            the way, ``balanced`` to twice the pixels needed, ``exact`` not at all.
        jpeg_quality: Quality of a JPG result if the request names none, 1-100.
        fonts_dir: Folder with further fonts for text watermarks; empty: none.
        masters: Whether sources of 4 megapixels and more are reduced once, and smaller pictures are
            made of the reduced one (a master). This pays if pictures are requested in several
            sizes; ``cache.master_bytes`` limits what is kept.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    shrink: Literal["fast", "balanced", "exact"] = "balanced"
    jpeg_quality: Annotated[int, Ge(1), Le(100)] = 85
    fonts_dir: str = ""
    masters: bool = False
