"""``Accept``: the picture formats that a client supports (RFC 9110, 12.5.1).

Only formats that are named count. ``image/*`` and ``*/*`` do not mean AVIF or WebP, because curl,
bots, Safari before 14 and old versions of Chrome and Firefox say them and show neither. What cannot
be read supports nothing, and is no error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import MultiMapping

ACCEPT = "Accept"
TYPES = {"avif": "image/avif", "webp": "image/webp"}
MAX_LENGTH = 2048  # most characters of a header that is read; browsers send up to 150
CACHED = 256  # headers that are remembered; browsers always send the same
ELEMENT = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*(?:"|\Z))+', re.DOTALL)  # a comma may be quoted
QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)
SPACE = " \t"


def header(sent: MultiMapping[str]) -> str:
    """Return the header of a request as one line; several are one list (RFC 9110, 5.3)."""
    return ", ".join(sent.getall(ACCEPT, ()))


@lru_cache(maxsize=CACHED)
def formats(text: str, offered: Sequence[str]) -> tuple[str, ...]:
    """Return the offered formats that the client supports, in its order of preference.

    Args:
        text: The header; empty for none.
        offered: Keys of :data:`TYPES`, in a hashable sequence; the order decides between formats of
            equal weight.
    """
    weights: dict[str, float] = {}
    for element in ELEMENT.findall(text) if len(text) <= MAX_LENGTH else ():
        kind, weight = _read(element)
        weights[kind] = min(weight, weights.get(kind, 1.0))  # a weight of 0 refuses it
    taken = [name for name in offered if weights.get(TYPES[name], 0.0) > 0]
    return tuple(sorted(taken, key=lambda name: -weights[TYPES[name]]))


def _read(element: str) -> tuple[str, float]:
    """Media type and weight; no type for what cannot be read, or has parameters of its own.

    What stands behind the weight is an extension, which older standards had.
    """
    kind, *rest = element.split(";")
    parameters = [part.strip(SPACE) for part in rest if part.strip(SPACE)]
    if not parameters:
        return kind.strip(SPACE).lower(), 1.0
    name, _, value = parameters[0].partition("=")
    if name.lower() != "q" or not QVALUE.fullmatch(value):
        return "", 0.0
    return kind.strip(SPACE).lower(), float(value)
