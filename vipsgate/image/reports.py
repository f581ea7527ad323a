"""Reports on a picture, as JSON: ``image/info`` and ``image/average-hue``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import hue, info, plan
from .fonts import Fonts
from .formats.probe import Source
from .process import BASIC, EXIF, HUE, INFO, Process

if TYPE_CHECKING:
    from .config import Limits, Rendering
    from .prepared import RenderContext

MIME = "application/json"

ANSWERS: dict[str, Callable[[Source, RenderContext], bytes]] = {
    INFO: lambda source, context: info.answer(source),
    HUE: hue.answer,
    BASIC: lambda source, context: info.basic(source),
    EXIF: lambda source, context: info.tags(source),
}


def explanation(
    source: Source, process: Process, limits: Limits, rendering: Rendering, fonts: Fonts
) -> dict[str, Any]:
    """The plan as plain values, with all notes that do not follow from the text of the process.

    Of what is said of a picture it is only the picture itself.

    Raises:
        OssError: It would be refused; see :func:`vipsgate.image.plan.make`.
    """
    if process.answer:
        if process.answer == HUE:
            hue.planned(source.header, limits, rendering)
        header = asdict(source.header)
        return {"source": header | {"exif": len(source.header.exif)}}
    result = plan.make(source.header, process.actions, limits, rendering).explain()
    result["notes"] += fonts.notes(process.typefaces(), fonts.missing(process.writes()))
    return result


def explained(
    source: Source, process: Process, limits: Limits, rendering: Rendering, fonts: Fonts
) -> bytes:
    """The :func:`explanation` as JSON."""
    return json.dumps(explanation(source, process, limits, rendering, fonts)).encode()
