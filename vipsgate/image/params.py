"""The kinds of parameter that an action may take, each with its way in and out of text.

Each function returns a dataclass field that carries its own reader and writer, so an action
declares a parameter once: type, wire key, range, default, OSS's sub-code for a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar

from ..errors import InvalidArgument, MissingArgument, shown

T = TypeVar("T")

BARE = ""  # the key of a value that stands alone: ``rotate,90``
NUMBER = re.compile(r"-?[0-9]{1,9}")  # ASCII digits only; int() would take "+1", " 1" and "１"
COLOUR = re.compile(r"[0-9A-Fa-f]{6}")  # RRGGBB


@dataclass(frozen=True, slots=True)
class Param:
    """How one parameter is read from the URL and written back.

    Attributes:
        read: Turns the text into a value; raises ``ValueError`` on a bad one.
        expects: What a good value is, for the error message and the README.
        key: Wire key before the ``_``; ``None`` is the field's own name, ``BARE`` no key at all.
        write: Turns the value into canonical text.
        bad: OSS's sub-code (EC) for a bad value.
        missing: OSS's sub-code (EC) for no value.
        flag: The key alone is the value: ``1an``.
    """

    read: Callable[[str], Any]
    expects: str
    key: str | None = None
    write: Callable[[Any], str] = str
    bad: str = ""
    missing: str = ""
    flag: bool = False


def parameter(param: Param, default: Any = ...) -> Any:
    """A field that is read and written by ``param``; ``...`` as default is required."""
    if default is ...:
        return field(kw_only=True, metadata={"param": param})
    return field(default=default, kw_only=True, metadata={"param": param})


def integer(
    low: int,
    high: int,
    *,
    default: Any = ...,
    key: str | None = None,
    bad: str = "",
    missing: str = "",
) -> Any:
    """A whole number from ``low`` to ``high``, both included; ``...`` as default is required."""

    def read(text: str) -> int:
        if not NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    expects = f"an integer from {low} to {high}"
    return parameter(Param(read, expects, key, bad=bad, missing=missing), default)


def choice(
    *values: str,
    default: Any = ...,
    key: str | None = None,
    alias: dict[str, str] | None = None,
    bad: str = "",
    missing: str = "",
) -> Any:
    """One of a few words; ``alias`` maps other spellings to them."""

    def read(text: str) -> str:
        text = (alias or {}).get(text, text)
        if text not in values:
            raise ValueError
        return text

    expects = "one of " + ", ".join(values)
    return parameter(Param(read, expects, key, bad=bad, missing=missing), default)


def colour(*, default: str, key: str | None = None) -> Any:
    """``RRGGBB`` in hexadecimal digits; the value is in upper case."""

    def read(text: str) -> str:
        if not COLOUR.fullmatch(text):
            raise ValueError
        return text.upper()

    return parameter(Param(read, "six hexadecimal digits RRGGBB", key), default)


def flag(key: str) -> Any:
    """A switch that is on when its name stands there: ``format,src,1an``."""
    return parameter(Param(lambda _: True, f"the word {key}", key, flag=True), False)


def rgb(text: str) -> list[int]:
    """``RRGGBB`` as three levels, 0-255."""
    return list(bytes.fromhex(text))


def build(cls: type[T], name: str, items: Sequence[str]) -> T:
    """Make the action ``cls`` from the texts between its commas.

    Keys that the action does not know are ignored: OSS's own SDK tests send ``crop,...,r_1``.

    Raises:
        InvalidArgument: A value is bad or given twice.
        MissingArgument: A parameter without default is absent.
    """
    slots, required = declared(cls), _required(cls)
    values: dict[str, Any] = {}
    for item in items:
        key, text = _split(item, slots)
        if key not in slots:
            continue
        attribute, param = slots[key]
        label = key or name
        if attribute in values:
            raise InvalidArgument(f"The parameter: {label} of {name} is given twice.")
        try:
            values[attribute] = param.read(text)
        except ValueError:
            raise InvalidArgument(
                f"The value: {shown(text)} of parameter: {label} is invalid. "
                f"{name} expects {param.expects}.",
                ec=param.bad if text or not param.missing else param.missing,
            ) from None
    for key, (attribute, param) in slots.items():
        if attribute not in values and attribute in required:
            label = f"a value: {param.expects}" if key == BARE else f"{key}: {param.expects}"
            kind = InvalidArgument if param.missing else MissingArgument
            raise kind(f"{name} needs {label}.", ec=param.missing)
    return cls(**values)


def texts(action: Any) -> list[str]:
    """The items that :func:`build` reads back into an equal action; defaults are left out."""
    items = []
    for key, (attribute, param) in declared(type(action)).items():
        value = getattr(action, attribute)
        if attribute in _required(type(action)) or value != _default(type(action), attribute):
            text = key if param.flag else param.write(value)
            items.append(text if param.flag or key == BARE else f"{key}_{text}")
    return items


@cache
def declared(cls: Any) -> dict[str, tuple[str, Param]]:
    """Wire key -> (field, its :class:`Param`), in the order of declaration."""
    found = {}
    for item in fields(cls):
        param: Param = item.metadata["param"]
        found[item.name if param.key is None else param.key] = (item.name, param)
    return found


def _split(item: str, slots: dict[str, tuple[str, Param]]) -> tuple[str, str]:
    """``w_100`` -> ``w``, ``100``; a text without a key, or for an action without keys, is bare."""
    if set(slots) == {BARE}:
        return BARE, item
    key, underscore, text = item.partition("_")
    if underscore or (item in slots and slots[item][1].flag):
        return key, text
    return BARE, item


@cache
def _required(cls: Any) -> frozenset[str]:
    return frozenset(f.name for f in fields(cls) if f.default is MISSING)


@cache
def _default(cls: Any, attribute: str) -> Any:
    return next(f.default for f in fields(cls) if f.name == attribute)
