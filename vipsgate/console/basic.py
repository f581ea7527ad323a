"""Basic editing of a process text: the fields of a form, from the tables of the actions; pure.

Basic and advanced editing change the same text. A field is ``ACTION.KEY``, with the key of the
action's table. It is read from the first such action in the text, and written there. Parts without
a field, which are other actions and further ones of the same name, are not changed or moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import InvalidArgument, OssError
from ..gate import legacy
from ..image import process
from ..image.actions import ACTIONS
from ..image.config import Limits
from ..image.params import BARE, decoded, encoded, slots

# action -> keys with a field, in the order of the form, in which new actions are added to a text
FIELDS: Mapping[str, tuple[str, ...]] = {
    "auto-orient": (BARE,),
    "resize": ("m", "w", "h", "l", "s", "p", "limit", "color"),
    "sharpen": (BARE,),
    "watermark": tuple("text type size color shadow image g x y t rotate fill".split()),
    "format": (BARE,),
    "interlace": (BARE,),
    "quality": ("q", "Q"),
}
BASE64 = frozenset(("watermark.text", "watermark.type", "watermark.image"))  # plain in the form
STARTS: Mapping[str, tuple[str, ...]] = {  # keys one of which an action needs
    "resize": ("w", "h", "l", "s", "p"),
    "watermark": ("text", "image"),
    "quality": ("q", "Q"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a text, and its place.

    Attributes:
        message: The API's message.
        start: Position of its first character in the text.
        end: Position after its last character.
    """

    message: str
    start: int
    end: int


def names() -> list[str]:
    """Return the names of all fields."""
    return [field_name(action, key) for action, keys in FIELDS.items() for key in keys]


def field_name(action: str, key: str) -> str:
    """Return the name of a field: ``resize.w``, or ``sharpen.value`` for a value without key."""
    return f"{action}.{key or 'value'}"


def read(text: str, limits: Limits) -> tuple[dict[str, str], list[str]]:
    """Return the fields of a text, and the actions that have none.

    Raises:
        OssError: The text is not a valid process text.
    """
    fields, rest = dict.fromkeys(names(), ""), []
    seen = set()
    for word in _words(text, limits):
        name, _, tail = word.partition(",")
        if name not in FIELDS or name in seen:
            rest.append(word)
            continue
        seen.add(name)
        for key, value in _items(name, tail).items():
            if key in FIELDS[name]:
                field = field_name(name, key)
                fields[field] = decoded(value) if field in BASE64 else value
            else:
                rest.append(f"{name}: {key}_{value}" if key else f"{name}: {value}")
    return fields, rest


def write(text: str, fields: Mapping[str, str], limits: Limits) -> str:
    """Return a text with these fields; absent and empty ones are removed.

    Raises:
        OssError: The text, or the new one, is not a valid process text.
    """
    words = _words(text, limits) if text.strip() else []
    for name, keys in FIELDS.items():
        at = next((at for at, word in enumerate(words) if word.partition(",")[0] == name), None)
        items = _items(name, words[at].partition(",")[2]) if at is not None else {}
        for key in keys:
            field = field_name(name, key)
            value = fields.get(field, "").strip()
            if value:
                items[key] = encoded(value) if field in BASE64 else value
            else:
                items.pop(key, None)
        word = _word(name, items)
        if at is None:
            words += [word] if word else []
        else:
            words[at : at + 1] = [word] if word else []
    result = "image/" + "/".join(words) if words else ""
    if result:
        process.parse(result, limits)
    return result


def check(text: str, limits: Limits) -> Problem | None:
    """Return the fault in a text; ``None`` if it is valid."""
    try:
        process.parse(legacy.renewed(text), limits)
    except OssError as error:
        start, end = _place(text, limits)
        return Problem(error.message, start, end)
    return None


def _words(text: str, limits: Limits) -> list[str]:
    """Return the actions as canonical words."""
    known = process.parse(legacy.renewed(text), limits)
    if known.answer or known.snapshot:
        raise InvalidArgument("Basic editing is for image/ with actions.")
    return [str(action) for action in known.actions]


def _items(name: str, tail: str) -> dict[str, str]:
    """Return the canonical parameters of an action, by key."""
    known, items = slots(cast("Any", ACTIONS[name])), {}
    for item in filter(None, tail.split(",")):
        key, underscore, value = item.partition("_")
        if key in known and (underscore or known[key].param.flag):
            items[key] = value
        else:
            items[BARE] = item
    return items


def _word(name: str, items: Mapping[str, str]) -> str:
    """Return the action with these parameters; empty if it is to be left out."""
    starts = STARTS.get(name, (BARE,))
    if not any(key in items for key in starts) and not (set(items) - set(FIELDS[name])):
        return ""
    known = slots(cast("Any", ACTIONS[name]))
    texts = []
    for key in known:
        if key in items:
            flag = known[key].param.flag
            texts.append(key if flag else items[key] if key == BARE else f"{key}_{items[key]}")
    return ",".join([name, *texts])


def _place(text: str, limits: Limits) -> tuple[int, int]:
    """Return the place of the fault: the first action that is refused alone, or its parameter."""
    start = 0
    for stage in text.split("|"):
        at = start
        for number, word in enumerate(stage.split("/")):
            if number and word and _fault(word, limits):
                inner = _parameter(word, limits)
                return (at + inner[0], at + inner[1]) if inner else (at, at + len(word))
            at += len(word) + 1
        if not stage.startswith(("image/", "video/", "style/")):
            return start, min(start + max(1, len(stage.partition("/")[0])), len(text))
        start += len(stage) + 1
    return 0, len(text)


def _fault(word: str, limits: Limits) -> str:
    """Return the error message for an action alone; empty if it is valid."""
    try:
        process.parse(f"image/{word}", limits)
    except OssError as error:
        return error.message
    return ""


def _parameter(word: str, limits: Limits) -> tuple[int, int] | None:
    """Return the place of the parameter that causes the message; ``None`` if none alone does."""
    name, *items = word.split(",")
    if name not in ACTIONS:
        return 0, len(name)
    message, at = _fault(word, limits), len(name) + 1
    for number, item in enumerate(items):
        rest = ",".join([name, *items[:number], *items[number + 1 :]])
        value = item.partition("_")[2] or item
        if value and f" {value} of parameter" in message and _fault(rest, limits) != message:
            return at, at + len(item)
        at += len(item) + 1
    return None


def completions() -> dict[str, dict[str, str]]:
    """Return the expected value of each parameter, by action, from the tables of the actions."""
    return {
        name: {key: slot.param.expects for key, slot in slots(cast("Any", kind)).items()}
        for name, kind in ACTIONS.items()
    }
