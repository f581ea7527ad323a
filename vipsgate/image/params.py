"""The kinds of parameters of actions, with their parsers and writers.

Each function returns a dataclass field that has its own parser and writer, so an action declares a
parameter once: type, wire key, range, default, OSS's sub-code for a bad value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, cast

from ..errors import BadRequest, InvalidArgument, MissingArgument, shown

T = TypeVar("T")

BARE = ""  # the key of a value that stands alone: ``rotate,90``
NUMBER = re.compile(r"-?[0-9]{1,9}")  # ASCII digits only; int() would take "+1", " 1" and "１"
COLOUR = re.compile(r"[0-9A-Fa-f]{6}")  # RRGGBB


@dataclass(frozen=True, slots=True)
class Param:
    """How a parameter is parsed and written.

    Attributes:
        read: Turns the text into a value; raises ``ValueError`` on a bad one.
        expects: A description of valid values, for the error message and the README.
        key: Wire key before the ``_``; ``None`` is the field's own name, ``BARE`` no key at all.
        write: Turns the value into canonical text.
        bad: OSS's sub-code (EC) for a bad value.
        missing: OSS's sub-code (EC) for a missing value.
        flag: Whether the key alone is the value: ``1an``.
    """

    read: Callable[[str], Any]
    expects: str
    key: str | None = None
    write: Callable[[Any], str] = str
    bad: str = ""
    missing: str = ""
    flag: bool = False


def parameter(param: Param, default: Any = ...) -> Any:
    """Return a field that is read and written by ``param``; required if the default is ``...``."""
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
    """Return a field for an integer, ``low`` to ``high``; required if the default is ``...``."""

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
    """Return a field for one of a few words; ``alias`` maps other spellings to them."""

    def read(text: str) -> str:
        text = (alias or {}).get(text, text)
        if text not in values:
            raise ValueError
        return text

    expects = "one of " + ", ".join(values)
    return parameter(Param(read, expects, key, bad=bad, missing=missing), default)


def colour(*, default: str, key: str | None = None) -> Any:
    """Return a field for ``RRGGBB`` in hexadecimal digits; the value is in upper case."""

    def read(text: str) -> str:
        if not COLOUR.fullmatch(text):
            raise ValueError
        return text.upper()

    return parameter(Param(read, "six hexadecimal digits RRGGBB", key), default)


def flag(key: str) -> Any:
    """Return a field for a switch that is on if its key is present: ``format,src,1an``."""

    def read(text: str) -> bool:
        if text:
            raise ValueError
        return True

    return parameter(Param(read, "no value", key, flag=True), False)


class NotBase64(ValueError):
    """A value is not Base64 of UTF-8."""


def decoded(text: str) -> str:
    """Decode Base64 of UTF-8: either alphabet, with or without padding (RFC 4648, 4 and 5).

    Raises:
        NotBase64: It is not Base64, or not of UTF-8.
    """
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise NotBase64 from None


def encoded(text: str) -> str:
    """Encode text in Base64 as OSS writes it: URL-safe, without padding."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def rgb(text: str) -> list[int]:
    """Return ``RRGGBB`` as three levels, 0-255."""
    return list(bytes.fromhex(text))


@dataclass(frozen=True, slots=True)
class Slot:
    """A field of an action: its name and its default, ``MISSING`` if it has none."""

    attribute: str
    param: Param
    default: Any


@cache
def slots(kind: Any) -> dict[str, Slot]:
    """Return the slots of an action's class by wire key, in the order of declaration."""
    slots = {}
    for item in fields(kind):
        param: Param | None = item.metadata.get("param")
        if param is None:  # ``ignored`` is not a parameter
            continue
        key = item.name if param.key is None else param.key
        slots[key] = Slot(item.name, param, item.default)
    return slots


def build(kind: type[T], name: str, items: Sequence[str]) -> T:
    """Make the action ``kind`` from the texts between its commas.

    Keys that the action does not know are ignored: OSS's own SDK tests send ``crop,...,r_1``. The
    action has them as ``ignored``.

    Raises:
        InvalidArgument: A value is bad or given twice.
        MissingArgument: A parameter without default is absent.
        BadRequest: A value is not Base64.
    """
    known: dict[str, Slot] = slots(cast("Any", kind))
    values: dict[str, Any] = {}
    ignored: list[str] = []
    for item in items:
        key, text = _split(item, known)
        if key not in known:
            ignored += [key or text] if item else []  # an empty one is not reported
            continue
        slot, label = known[key], key or name
        if slot.attribute in values:
            raise InvalidArgument(f"The parameter: {label} of {name} is given twice.")
        try:
            values[slot.attribute] = slot.param.read(text)
        except ValueError as error:
            message = (
                f"The value: {shown(text)} of parameter: {label} is invalid. "
                f"{name} expects {slot.param.expects}."
            )
            if isinstance(error, NotBase64):
                raise BadRequest(f"Input is not base64 decoding. {message}") from None
            ec = slot.param.bad if text or not slot.param.missing else slot.param.missing
            raise InvalidArgument(message, ec=ec) from None
    for key, slot in known.items():
        if slot.default is MISSING and slot.attribute not in values:
            label = f"{key}: {slot.param.expects}" if key else f"a value: {slot.param.expects}"
            absent = InvalidArgument if slot.param.missing else MissingArgument
            raise absent(f"{name} needs {label}.", ec=slot.param.missing)
    return cast("Callable[..., T]", kind)(**values, ignored=tuple(ignored))


def texts(action: Any) -> list[str]:
    """Return the items from which :func:`build` makes an equal action, without defaults."""
    items = []
    kind: Any = type(action)
    for key, slot in slots(kind).items():
        value = getattr(action, slot.attribute)
        if value != slot.default:
            text = key if slot.param.flag else slot.param.write(value)
            items.append(text if slot.param.flag or key == BARE else f"{key}_{text}")
    return items


def _split(item: str, known: dict[str, Slot]) -> tuple[str, str]:
    """Split ``w_100`` into ``w`` and ``100``; the key is ``BARE`` if there is none."""
    if set(known) == {BARE}:
        return BARE, item
    key, underscore, text = item.partition("_")
    if (key and underscore) or (item in known and known[item].param.flag):
        return key, text
    return BARE, item
