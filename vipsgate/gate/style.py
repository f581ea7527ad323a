"""Styles: named process texts of a bucket, and the two ways to request one.

::

    OBJECT?x-oss-process=style/NAME
    OBJECT<separator>NAME            with a separator that the bucket has set

If there is an object of such a name, it takes precedence (OSS guide, Image styles).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..buckets import Style
from ..errors import NoSuchStyle, shown
from . import legacy
from .target import PROCESS, Target

PREFIX = "style/"
CLASSIC = "@!"  # the separator of two characters, which is searched for first


def pure(text: str) -> bool:
    """Return whether a process is a style alone, so that the bucket's owner has defined it."""
    return text.startswith(PREFIX) and "|" not in text


def named(text: str, styles: Mapping[str, Style]) -> str:
    """Return the name of the style that is the whole process text; empty if there is none."""
    name = text.removeprefix(PREFIX) if pure(text) else ""
    return name if name in styles else ""


def all_named(text: str) -> tuple[str, ...]:
    """Return the names of all styles in a process text."""
    if PREFIX not in text:
        return ()
    stages = text.split("|")
    return tuple(stage.removeprefix(PREFIX) for stage in stages if stage.startswith(PREFIX))


def expanded(text: str, styles: Mapping[str, Style]) -> str:
    """Return a process text with the content of each ``style/NAME`` in its place.

    Raises:
        NoSuchStyle: The bucket has no style of this name.
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
    """Return the target of object and style if the key has the form ``OBJECT<separator>NAME``.

    The last separator in the key is used. If the query has a process text, the key is not split.
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
