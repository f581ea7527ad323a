"""What can be said of a picture instead of making another one: a table, each answer as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import hue, info
from .probe import Source
from .process import BASIC, EXIF, HUE, INFO

if TYPE_CHECKING:
    from .studio import Studio

MIME = "application/json"

ANSWERS: dict[str, Callable[[Source, Studio], bytes]] = {
    INFO: lambda source, studio: info.answer(source),
    HUE: hue.answer,
    BASIC: lambda source, studio: info.basic(source),
    EXIF: lambda source, studio: info.tags(source),
}
