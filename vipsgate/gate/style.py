"""Styles: process texts that a bucket has under a name, and the two ways to ask for one.

::

    OBJECT?x-oss-process=style/NAME
    OBJECT<separator>NAME            with a separator that the bucket has set

An object whose own name looks like the second form comes first (OSS guide, Image styles).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..buckets import Style
from ..errors import NoSuchStyle, shown
from . import legacy
from .target import PROCESS, Target

PREFIX = "style/"
CLASSIC = "@!"  # the one of two characters; it is looked for first


def pure(text: str) -> bool:
    """Return whether it is only a style, so that the bucket's owner decides all that is shown."""
    return text.startswith(PREFIX) and "|" not in text


def named(text: str, styles: Mapping[str, Style]) -> str:
    """The bucket's style that a process text asks for and nothing else; empty for none."""
    name = text.removeprefix(PREFIX) if pure(text) else ""
    return name if name in styles else ""


def all_named(text: str) -> tuple[str, ...]:
    """The styles that a process text asks for, alone or in a chain."""
    if PREFIX not in text:
        return ()
    stages = text.split("|")
    return tuple(stage.removeprefix(PREFIX) for stage in stages if stage.startswith(PREFIX))


def expanded(text: str, styles: Mapping[str, Style]) -> str:
    """A process text with each ``style/NAME`` replaced by what stands behind the name.

    Raises:
        NoSuchStyle: The bucket has none of this name.
    """
    return "|".join(_content(stage, styles) for stage in text.split("|"))


def _content(stage: str, styles: Mapping[str, Style]) -> str:
    if not stage.startswith(PREFIX):
        return stage
    name = stage.removeprefix(PREFIX)
    if name not in styles:
        raise NoSuchStyle("No Such Image Style.", extra={"StyleName": shown(name)})
    return legacy.renewed(styles[name].content)


def split(target: Target, separators: Sequence[str]) -> Target | None:
    """What ``OBJECT<separator>NAME`` asks for, where it can be read so.

    The last separator in the key counts. A process text in the query makes the key mean itself.
    """
    if target.process:
        return None
    order = sorted(separators, key=lambda one: one != CLASSIC)
    if CLASSIC in order and CLASSIC in target.key:
        order = order[:1]
    places = [(target.key.rfind(one), one) for one in order]
    at, separator = max(places, default=(-1, ""))
    key, name = target.key[: max(0, at)], target.key[at + len(separator) :]
    if at < 1 or not name:
        return None
    return replace(target, key=key, query=((PROCESS, PREFIX + name), *target.query))
