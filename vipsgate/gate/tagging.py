"""Tags of an object: parses and checks them (OSS guide, Object tagging)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from ..errors import InvalidTag, shown

MAX_TAGS, KEY_CHARACTERS, VALUE_CHARACTERS = 10, 128, 256  # of an object; OSS guide, Object tagging
TEXT = re.compile(r"[\w +=.:/-]*")  # letters, digits and what the guide names; no control character


def read(text: str) -> Mapping[str, str]:
    """Return the tags in ``x-oss-tagging``, ``a=1&b=2``, which is encoded like a form.

    Raises:
        InvalidTag: A tag is not valid, or there are too many.
    """
    pairs = (part.partition("=") for part in text.split("&")) if text else ()
    return checked([(_decoded(key), _decoded(value)) for key, _, value in pairs])


def checked(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return tags by key, after checking them.

    Raises:
        InvalidTag: A tag is not valid, or there are too many.
    """
    if len(pairs) > MAX_TAGS:
        raise InvalidTag(f"An object has at most {MAX_TAGS} tags; there are {len(pairs)}.")
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise InvalidTag(f"The tag: {shown(key)} is given {times} times.")
    for text, limit, least in (
        *((key, KEY_CHARACTERS, 1) for key, _ in pairs),
        *((value, VALUE_CHARACTERS, 0) for _, value in pairs),
    ):
        if not (least <= len(text) <= limit and TEXT.fullmatch(text)):
            raise InvalidTag(
                f"The tag: {shown(text)!r} is invalid. A key has 1 to {KEY_CHARACTERS} letters, "
                f"digits, blanks and + - = . _ : /, a value at most {VALUE_CHARACTERS} of them."
            )
    return dict(pairs)


def _decoded(text: str) -> str:
    raw = text.replace("+", " ").encode("utf-8", "surrogateescape")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise InvalidTag("A tag is not UTF-8 when percent-decoded.") from None
