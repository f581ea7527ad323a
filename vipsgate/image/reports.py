"""Reports on a picture, as JSON: ``image/info``, ``image/average-hue``, ``image/thumbhash`` ..."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import hue, info, placeholders, plan
from .answers import Basic, BlurHash, Exif, Hue, Info, ThumbHash
from .fonts import Fonts
from .formats.probe import Source
from .process import Process

if TYPE_CHECKING:
    from .config import Limits, Rendering
    from .frame import Header
    from .prepared import RenderContext

MIME = "application/json"


def answer(source: Source, process: Process, context: RenderContext) -> bytes:
    """Return the body of the answer that a process requests.

    Raises:
        OssError: It cannot be made.
    """
    match process.answer:
        case Info() as options:
            return info.answer(source, options, context)
        case Hue():
            return hue.answer(source, context)
        case Basic():
            return info.basic(source)
        case Exif():
            return info.tags(source)
        case ThumbHash():
            return placeholders.thumb_answer(source, process.actions, context)
        case BlurHash() as components:
            return placeholders.blur_answer(source, process.actions, context, components)
    raise TypeError("a process without an answer")


def planned(
    header: Header, process: Process, limits: Limits, rendering: Rendering
) -> plan.Plan | None:
    """Return the plan by which pixels are read for an answer; ``None`` if the header is enough.

    Raises:
        OssError: It would be refused; see :func:`vipsgate.image.plan.make`.
    """
    match process.answer:
        case Hue():
            return hue.planned(header, limits, rendering)
        case ThumbHash() | BlurHash() | Info(placeholders=1):
            return placeholders.planned(header, process.actions, limits, rendering)
    return None


def explanation(
    source: Source, process: Process, limits: Limits, rendering: Rendering, fonts: Fonts
) -> dict[str, Any]:
    """Return the plan as plain values, with all notes that the process text does not imply.

    For an answer, this is the plan of the picture that it reports on.

    Raises:
        OssError: It would be refused; see :func:`vipsgate.image.plan.make`.
    """
    if process.answer:
        planned(source.header, process, limits, rendering)
        header = asdict(source.header)
        return {"source": header | {"exif": len(source.header.exif)}}
    result = plan.make(source.header, process.actions, limits, rendering).explain()
    result["notes"] += fonts.notes(process.typefaces(), fonts.missing(process.writes()))
    return result


def explained(
    source: Source, process: Process, limits: Limits, rendering: Rendering, fonts: Fonts
) -> bytes:
    """Return the :func:`explanation` as JSON."""
    return json.dumps(explanation(source, process, limits, rendering, fonts)).encode()
