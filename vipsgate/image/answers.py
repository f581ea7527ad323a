"""Answers: reports about a picture, as JSON, in place of a picture.

An answer is written like an action, ``info`` or ``blurhash,x_4,y_3``, and is the last word of its
process text. This module parses and writes them, also in the front; :mod:`.reports` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from ..errors import InvalidArgument, shown
from . import params
from .notes import Notes
from .params import integer

MAX_COMPONENTS = 9  # of a BlurHash across and down; its first character has no room for more


@dataclass(frozen=True, slots=True)
class Answer:
    """One ``name,key_value,...`` at the end of a process text, already validated.

    Attributes:
        name: The word on the wire.
        follows: Whether it may follow actions, and reports on their result.
        ignored: See :attr:`.action.Action.ignored`; always empty.
    """

    name: ClassVar[str]
    follows: ClassVar[bool] = False

    ignored: Notes = field(default=(), kw_only=True, compare=False, repr=False)

    @property
    def of_header(self) -> bool:
        """Whether it needs only the beginning of the file, and no pixels."""
        return False

    def __str__(self) -> str:
        """Return the canonical text; parsing it gives an equal answer."""
        return ",".join([self.name, *params.texts(self)])


@dataclass(frozen=True, slots=True)
class Info(Answer):
    """``info``: size, format and EXIF (OSS guide, Obtain image information).

    Attributes:
        placeholders: 1 to add ThumbHash and BlurHash.
        xmp: 1 to add XMP and IPTC.
    """

    name = "info"

    placeholders: int = integer(0, 1, default=0)
    xmp: int = integer(0, 1, default=0)

    @property
    def of_header(self) -> bool:
        return not (self.placeholders or self.xmp)


@dataclass(frozen=True, slots=True)
class Hue(Answer):
    """``average-hue``: the dominant colour of a picture."""

    name = "average-hue"


@dataclass(frozen=True, slots=True)
class Basic(Answer):
    """``basic-info``: the old API's answer to ``@info``."""

    name = "basic-info"

    @property
    def of_header(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Exif(Answer):
    """``exif``: the old API's answer to ``@exif``."""

    name = "exif"

    @property
    def of_header(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ThumbHash(Answer):
    """``thumbhash``: a small placeholder in 20 to 30 bytes, with transparency."""

    name = "thumbhash"
    follows = True


@dataclass(frozen=True, slots=True)
class BlurHash(Answer):
    """``blurhash,x_4,y_3``: a small placeholder as a short text, on white.

    Attributes:
        x: Components across.
        y: Components down.
    """

    name = "blurhash"
    follows = True

    x: int = integer(1, MAX_COMPONENTS, default=4)
    y: int = integer(1, MAX_COMPONENTS, default=3)


ANSWERS: dict[str, type[Answer]] = {
    answer.name: answer for answer in (Info, Hue, Basic, Exif, ThumbHash, BlurHash)
}


def read(word: str) -> Answer:
    """Read ``name,key_value,...`` as one of :data:`ANSWERS`.

    Unlike those of an action, unknown parameters are refused, as OSS does.

    Raises:
        InvalidArgument: A value is bad, or a parameter is unknown.
    """
    name, comma, rest = word.partition(",")
    kind = ANSWERS[name]
    items = rest.split(",") if comma else []
    known = params.slots(cast("Any", kind))
    for item in items:
        key, underscore, _ = item.partition("_")
        if not underscore or key not in known:
            but = f" but {' or '.join(f'{key}_' for key in known)}" if known else ""
            raise InvalidArgument(f"The action: {name} takes no value{but}, not {shown(item)!r}.")
    return params.build(kind, name, items)
