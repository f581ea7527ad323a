"""The languages of the console: a catalogue of each, and the choice for a visitor."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "languages"
NAMES = {"en": "English", "zh": "中文"}  # the first one is the default
COOKIE = "vipsgate_language"
Translate = Callable[..., str]


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return the texts of a language by key."""
    result: dict[str, str] = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    return result


def translator(language: str) -> Translate:
    """Return a function that returns the text of a key, with values in place of its ``{names}``.

    Raises:
        KeyError: There is no such text; a test checks that there are all.
    """
    texts = catalogue(language)

    def translate(key: str, **values: object) -> str:
        return texts[key].format(**values) if values else texts[key]

    return translate


def choose(chosen: str, accepted: str) -> str:
    """Return the language of an answer.

    Args:
        chosen: The visitor's choice; empty for none.
        accepted: The header Accept-Language (RFC 9110, 12.5.4).
    """
    if chosen in NAMES:
        return chosen
    weighted = []
    for place, item in enumerate(accepted.split(",")[:20]):
        name, _, weight = item.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        weighted.append((-quality, place, name.strip().lower().partition("-")[0]))
    return next((name for quality, _, name in sorted(weighted) if name in NAMES and quality), "en")
