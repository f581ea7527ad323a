"""``image/thumbhash``, ``image/blurhash``: placeholders until a picture has loaded, as JSON.

Both are computed from the result of the actions before them: upright, the first frame of an
animation, reduced to :data:`MAX_SIDE` pixels, in sRGB. The loader reduces as far as it can, because
only low frequencies are needed. The values are those that libraries for web pages expect: ThumbHash
in Base64, as its author writes it; BlurHash is text already. ThumbHash keeps transparency; BlurHash
has white behind it, like a JPG.
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
    """A resize that the client has not requested, so a smaller picture gives no note."""

    def notes(self, frame: Frame, result: Frame) -> Notes:
        return ()


REDUCE = Reduce(w=MAX_SIDE, h=MAX_SIDE)
UPRIGHT = AutoOrient(value=HERE)  # after the resize, when the picture is small enough to be turned


def planned(
    header: Header, actions: tuple[Action, ...], limits: Limits, rendering: Rendering
) -> plan.Plan:
    """Return the plan by which the result of the actions is reduced.

    Raises:
        OssError: The picture is too large, or an action does not fit it.
    """
    still, fast = replace(header, pages=1), replace(rendering, shrink="fast")
    chain = (*actions, REDUCE) if actions else (REDUCE, UPRIGHT)
    return plan.make(still, chain, limits, fast, written=False)


def picture(source: Source, actions: tuple[Action, ...], context: RenderContext) -> Image:
    """Return the reduced picture in memory: 8-bit sRGB with alpha.

    Raises:
        OssError: It cannot be made.
    """
    result = planned(source.header, actions, context.limits, context.rendering)
    steps = tuple(step.ready(context) for step in result.steps)
    still = replace(source, header=result.header)
    return render.picture(still, replace(result, steps=steps), context.watch)


def thumb(image: Image) -> str:
    """Return the ThumbHash of the reduced picture, in Base64."""
    data = thumbhash.encode(image.width, image.height, bytes(image.write_to_memory()))
    return b64encode(data).decode()


def blur(image: Image, hash: BlurHash) -> str:
    """Return the BlurHash of the reduced picture."""
    opaque = image.flatten(background=render.WHITE)
    pixels = bytes(opaque.write_to_memory())
    return blurhash.encode(image.width, image.height, pixels, hash.x, hash.y)


def thumb_answer(source: Source, actions: tuple[Action, ...], context: RenderContext) -> bytes:
    """Return the body, ``{"ThumbHash": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w"}``."""
    return json.dumps({"ThumbHash": thumb(picture(source, actions, context))}).encode()


def blur_answer(
    source: Source, actions: tuple[Action, ...], context: RenderContext, hash: BlurHash
) -> bytes:
    """Return the body, ``{"BlurHash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}``."""
    return json.dumps({"BlurHash": blur(picture(source, actions, context), hash)}).encode()
