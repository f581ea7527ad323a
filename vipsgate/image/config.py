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
        source_bytes: Bytes of a source that is processed (OSS guide: 20 MB).
        source_pixels: Width by height by frames of a source (EC 0040-00000012); of an animation
            whose result is a still picture, without the frames.
        source_side: Pixels of a source's side (EC 0040-00000019); formats may have lower ones.
        output_side: Pixels of a side that an action makes (OSS guide, Resize).
        output_pixels: Area that an action makes (EC 0040-00000007).
        rotate_side: Pixels of a side of a picture that is turned (OSS guide, Rotate).
        frames: Frames of an animation, where the result is one. OSS names no number; a frame takes
            13 KB and 0.4 ms however small it is.
        actions: Actions in one process text.
        pipes: ``|`` in one process text (EC 0040-00000211).
        watermarks: Pictures laid on one (OSS guide, Add watermarks: at most 3).
        video_frames: Frames of a video that are decoded for one picture of it.
        render_bytes: Memory for one picture, at most, as its plan foresees it before decoding. One
            that takes more than was foreseen is stopped.
        render_seconds: Time of one core for one picture, estimated before decoding (see
            :mod:`.cost`); an encoder at work can only be killed.
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
            the way, ``balanced`` keeps twice the pixels needed, ``exact`` decodes in full.
        jpeg_quality: Of a JPG result whose request names none, 1-100.
        fonts_dir: A folder with further fonts for text watermarks.
        masters: Whether sources of 4 megapixels and more are reduced once, and their smaller
            pictures are made of that. It pays where a picture is asked for in several sizes;
            ``cache.master_bytes`` says how much is kept.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    shrink: Literal["fast", "balanced", "exact"] = "balanced"
    jpeg_quality: Annotated[int, Ge(1), Le(100)] = 85
    fonts_dir: str = ""
    masters: bool = False
