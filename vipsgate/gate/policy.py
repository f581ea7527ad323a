"""The policy of a form: its expiration, and conditions of its fields (PostObject).

Its signer sets what a form may contain: ``{"expiration": ..., "conditions": [...]}`` with
``{"bucket": "photos"}``, ``["eq", "$key", "a.jpg"]``, ``["starts-with", "$key", "user/"]``,
``["in", "$content-type", ["image/png"]]``, ``["not-in", ...]``, ``["content-length-range", 0, 9]``.
As with OSS, a field without a condition may have any value.

The conditions apply to what will be stored: ``$key`` is the key with ``${filename}`` replaced,
``$content-type`` the type that the object will have. An absent field is empty.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..errors import (
    AccessDenied,
    EntityTooLarge,
    EntityTooSmall,
    InvalidPolicyDocument,
    shown,
)

RANGE = "content-length-range"
MEMBERS = frozenset(("expiration", "conditions"))
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
MAX_SIZE = 1 << 63  # bytes; beyond any object
# the condition is no list or object; a value is of another type (OSS error reference)
NO_CONDITION, NO_VALUE = "0006-00000222", "0006-00000224"

Operand = str | tuple[str, ...]
MATCHES: Mapping[str, Callable[[str, Any], bool]] = {  # a field's value, a condition's
    "eq": lambda value, wanted: value == wanted,
    "starts-with": lambda value, wanted: value.startswith(wanted),
    "in": lambda value, wanted: value in wanted,
    "not-in": lambda value, wanted: value not in wanted,
}
OF_LISTS = frozenset(("in", "not-in"))


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of one field.

    Attributes:
        operator: A word of :data:`MATCHES`.
        field: Its name in lower case, without the ``$``.
        operand: A text, or several for ``in`` and ``not-in``.
        text: The condition as JSON, for a message.
    """

    operator: str
    field: str
    operand: Operand
    text: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Return whether the fields meet the condition."""
        return MATCHES[self.operator](fields.get(self.field, ""), self.operand)


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of a form.

    Attributes:
        expiration: When it ends, in seconds since the epoch.
        conditions: Conditions of the fields, all of which must be met.
        smallest: Least bytes of the file.
        largest: Most bytes of the file.
    """

    expiration: float
    conditions: tuple[Condition, ...] = ()
    smallest: int = 0
    largest: int = MAX_SIZE

    def check(self, fields: Mapping[str, str], now: float) -> None:
        """Refuse a form that has expired, or whose fields do not meet the conditions.

        Args:
            fields: Fields by name in lower case, including ``bucket``.
            now: Seconds since the epoch.

        Raises:
            AccessDenied: The form is refused.
        """
        if now > self.expiration:
            raise AccessDenied("Invalid according to Policy: Policy expired.", rule="expired")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise AccessDenied(
                    f"Invalid according to Policy: Policy Condition failed: {condition.text}"
                )

    def check_largest(self, size: int) -> None:
        """Refuse a file that is too large, by the bytes that have arrived so far.

        Raises:
            EntityTooLarge: The file is too large.
        """
        if size > self.largest:
            raise EntityTooLarge(
                "Your proposed upload exceeds the maximum allowed size. "
                f"The file may have {self.largest} bytes."
            )

    def check_smallest(self, size: int) -> None:
        """Refuse a file that is too small.

        Raises:
            EntityTooSmall: The file is too small.
        """
        if size < self.smallest:
            raise EntityTooSmall(
                "Your proposed upload is smaller than the minimum allowed size. "
                f"The file must have {self.smallest} bytes; it has {size}."
            )


ANY = Policy(float("inf"))  # the policy of a form without one


def parse(text: str) -> Policy:
    """Parse a policy from the Base64 of its JSON.

    Raises:
        InvalidPolicyDocument: It is malformed, or contains something that OSS does not support.
    """
    document = _decoded(text)
    if not isinstance(document, dict) or document.keys() != MEMBERS:
        raise _invalid("it is not an object with expiration and conditions")
    if not isinstance(document["conditions"], list):
        raise _invalid("conditions is not a list")
    conditions: list[Condition] = []
    smallest, largest = 0, MAX_SIZE
    for item in document["conditions"]:
        if isinstance(item, list) and item and item[0] == RANGE:
            least, most = _range(item)
            smallest, largest = max(smallest, least), min(largest, most)
        else:
            conditions += _conditions(item)
    return Policy(_moment(document["expiration"]), tuple(conditions), smallest, largest)


def _decoded(text: str) -> Any:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
        return json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_constant)
    except (binascii.Error, ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise _invalid("it is nested too deeply") from None
        raise _invalid(f"it is not the Base64 of JSON in UTF-8 ({error})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a member occurs twice")
    return dict(pairs)


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _conditions(item: object) -> list[Condition]:
    """Return one condition, or those in an object with a member for each."""
    if isinstance(item, dict):
        return [
            _condition(["eq", f"${name}", value], {name: value}) for name, value in item.items()
        ]
    if isinstance(item, list):
        return [_condition(item, item)]
    raise _invalid(f"the condition {_json(item)} is neither an object nor a list", NO_CONDITION)


def _condition(item: list[Any], said: object) -> Condition:
    if len(item) != 3 or not isinstance(item[0], str) or item[0] not in MATCHES:
        raise _invalid(
            f"the condition {_json(said)} is not a list of one of {', '.join(MATCHES)}, a field "
            f"and a value, or of {RANGE} and two numbers"
        )
    operator, field, operand = item
    if not (isinstance(field, str) and field.startswith("$") and len(field) > 1):
        raise _invalid(f"the condition {_json(said)} does not name a field as $FIELD")
    if operator in OF_LISTS:
        fits = isinstance(operand, list) and all(isinstance(value, str) for value in operand)
        operand = tuple(operand) if fits else operand
    else:
        fits = isinstance(operand, str)
    if not fits:
        kind = "a list of texts" if operator in OF_LISTS else "a text"
        raise _invalid(f"the condition {_json(said)} does not have {kind} as its value", NO_VALUE)
    return Condition(operator, field[1:].lower(), operand, _json(said))


def _range(item: list[Any]) -> tuple[int, int]:
    numbers = item[1:]
    if not (
        len(numbers) == 2
        and all(type(number) is int for number in numbers)
        and 0 <= numbers[0] <= numbers[1]
    ):
        raise _invalid(
            f"the condition {_json(item)} does not have two numbers of bytes, the smaller first",
            NO_VALUE,
        )
    return numbers[0], numbers[1]


def _moment(text: object) -> float:
    """Return ``2026-01-01T00:00:00.000Z`` in seconds since the epoch."""
    moment = MOMENT.fullmatch(text) if isinstance(text, str) else None
    try:
        if moment:
            return datetime.fromisoformat(moment[1]).replace(tzinfo=UTC).timestamp()
    except ValueError:  # such as the 32nd of a month
        pass
    raise _invalid(f"expiration is {_json(text)} where 2026-01-01T00:00:00.000Z is expected")


def _json(value: object) -> str:
    return shown(json.dumps(value, ensure_ascii=False))


def _invalid(what: str, ec: str = "") -> InvalidPolicyDocument:
    return InvalidPolicyDocument(f"Invalid Policy: {what}.", ec=ec)
