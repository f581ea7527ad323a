"""``image/thumbhash``, ``image/blurhash``: what a page shows until the picture is there, as JSON.

Both are of the picture as it is shown: upright, what the actions before them make of it, of an
animation the first frame; reduced to :data:`MAX_SIDE` pixels, in sRGB. The loader reduces as far as
it can, since nothing finer than 9 waves is left of it. JSON, as ``average-hue`` has it, and the
texts as libraries for pages take them: ThumbHash in Base64, which is how its author writes one;
BlurHash is a text already. ThumbHash keeps transparency, BlurHash has white behind it, as a JPG.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import blurhash, plan, render, thumbhash
from .action import Action
from .actions.auto_orient import HERE, AutoOrient
from .actions.resize import Resize
from .answers import BlurHash
from .formats.probe import Source
from .frame import Frame
from .notes import Notes
from .thumbhash import MAX_SIDE

if TYPE_CHECKING:
    from pyvips import Image

    from .config import Limits, Rendering
    from .frame import Header
    from .prepared import RenderContext


@dataclass(frozen=True, slots=True)
class Reduce(Resize):
    """Nobody has asked for this size, so that of a smaller picture nothing is to be noted."""

    def notes(self, frame: Frame, result: Frame) -> Notes:
        return ()


REDUCE = Reduce(w=MAX_SIDE, h=MAX_SIDE)
UPRIGHT = AutoOrient(value=HERE)  # behind it, where any picture is small enough to be turned


def planned(
    header: Header, actions: tuple[Action, ...], limits: Limits, rendering: Rendering
) -> plan.Plan:
    """How the picture that the actions make is reduced for it.

    Raises:
        OssError: The picture is too large, or an action does not fit it.
    """
    still, fast = replace(header, pages=1), replace(rendering, shrink="fast")
    chain = (*actions, REDUCE) if actions else (REDUCE, UPRIGHT)
    return plan.make(still, chain, limits, fast, written=False)


def picture(source: Source, actions: tuple[Action, ...], context: RenderContext) -> Image:
    """That picture, in memory: 8-bit sRGB with alpha.

    Raises:
        OssError: It cannot be made.
    """
    result = planned(source.header, actions, context.limits, context.rendering)
    steps = tuple(step.ready(context) for step in result.steps)
    still = replace(source, header=result.header)
    return render.picture(still, replace(result, steps=steps), context.watch)


def thumb(image: Image) -> str:
    """The ThumbHash of that picture, in Base64."""
    data = thumbhash.encode(image.width, image.height, bytes(image.write_to_memory()))
    return b64encode(data).decode()


def blur(image: Image, hash: BlurHash) -> str:
    """The BlurHash of that picture."""
    opaque = image.flatten(background=render.WHITE)
    pixels = bytes(opaque.write_to_memory())
    return blurhash.encode(image.width, image.height, pixels, hash.x, hash.y)


def thumb_answer(source: Source, actions: tuple[Action, ...], context: RenderContext) -> bytes:
    """The answer's body, ``{"ThumbHash": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w"}``."""
    return json.dumps({"ThumbHash": thumb(picture(source, actions, context))}).encode()


def blur_answer(
    source: Source, actions: tuple[Action, ...], context: RenderContext, hash: BlurHash
) -> bytes:
    """The answer's body, ``{"BlurHash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}``."""
    return json.dumps({"BlurHash": blur(picture(source, actions, context), hash)}).encode()
