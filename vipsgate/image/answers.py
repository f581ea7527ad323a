"""Answers: what is said of a picture, as JSON, in place of another picture.

One is written as an action is, ``info`` or ``blurhash,x_4,y_3``, and is the last of its process
text. Here is how each is read and written, which the front must know; :mod:`.reports` gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from ..errors import InvalidArgument, shown
from . import params
from .notes import Notes
from .params import integer

MAX_COMPONENTS = 9  # of a BlurHash across and down; its first sign has no room for more


@dataclass(frozen=True, slots=True)
class Answer:
    """One ``name,key_value,...`` at the end of a process text, already validated.

    Attributes:
        name: The word on the wire.
        follows: Whether it may stand behind actions, and is about what they make.
        ignored: See :attr:`.action.Action.ignored`; of an answer nothing is.
    """

    name: ClassVar[str]
    follows: ClassVar[bool] = False

    ignored: Notes = field(default=(), kw_only=True, compare=False, repr=False)

    @property
    def of_header(self) -> bool:
        """Is it known from the beginning of the file, so that no pixel is looked at?"""
        return False

    def __str__(self) -> str:
        """The canonical text; parsing it gives an equal answer."""
        return ",".join([self.name, *params.texts(self)])


@dataclass(frozen=True, slots=True)
class Info(Answer):
    """``info``: size, format and EXIF (OSS guide, Obtain image information).

    Attributes:
        placeholders: 1 for ThumbHash and BlurHash besides.
        xmp: 1 for XMP and IPTC besides.
    """

    name = "info"

    placeholders: int = integer(0, 1, default=0)
    xmp: int = integer(0, 1, default=0)

    @property
    def of_header(self) -> bool:
        return not (self.placeholders or self.xmp)


@dataclass(frozen=True, slots=True)
class Hue(Answer):
    """``average-hue``: the colour that a picture has most of."""

    name = "average-hue"


@dataclass(frozen=True, slots=True)
class Basic(Answer):
    """``basic-info``: what the old API says to ``@info``."""

    name = "basic-info"

    @property
    def of_header(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Exif(Answer):
    """``exif``: what the old API says to ``@exif``."""

    name = "exif"

    @property
    def of_header(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ThumbHash(Answer):
    """``thumbhash``: a picture of some pixels in 20 to 30 bytes, with transparency."""

    name = "thumbhash"
    follows = True


@dataclass(frozen=True, slots=True)
class BlurHash(Answer):
    """``blurhash,x_4,y_3``: a picture of some pixels in a text, on white.

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
    """``name,key_value,...`` as one of :data:`ANSWERS`.

    A parameter that it does not know is refused, as OSS refuses any; an action passes it over.

    Raises:
        InvalidArgument: A value is bad, or a parameter is not known.
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
