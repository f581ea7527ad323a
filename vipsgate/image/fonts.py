"""Fonts: OSS's names to families, and each character to a family that has it.

Pango is told the family of every part of a text. Left to itself it goes by the machine's locale,
and takes a letter from the first font that has it without its accent: "Łódź" falls apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .notes import Notes, note

DEFAULT = "wqy-zenhei"  # OSS guide, Add watermarks
LAST = "Noto Sans CJK SC"  # of every name: it comes with the installation


@dataclass(frozen=True, slots=True)
class Typeface:
    """What serves one of OSS's names: the first family that is there.

    Attributes:
        own: Families that are this typeface.
        standins: Families that look like it, the most alike first.
    """

    own: tuple[str, ...]
    standins: tuple[str, ...] = (LAST,)


NAMES = {  # OSS guide, Add watermarks, the table of fonts
    "wqy-zenhei": Typeface(("WenQuanYi Zen Hei",), ("WenQuanYi Micro Hei", LAST)),
    "wqy-microhei": Typeface(("WenQuanYi Micro Hei",), ("Droid Sans Fallback", LAST)),
    "fangzhengshusong": Typeface(
        ("FZShuSong-Z01", "FZShuSong-Z01S"),
        (
            "Noto Serif CJK SC",
            "Noto Serif SC",
            "Source Han Serif SC",
            "SimSun",
            "AR PL UMing CN",
            LAST,
        ),
    ),
    "fangzhengkaiti": Typeface(
        ("FZKai-Z03", "FZKai-Z03S"), ("KaiTi", "LXGW WenKai", "AR PL UKai CN", LAST)
    ),
    "fangzhengheiti": Typeface(("FZHei-B01", "FZHei-B01S"), ("SimHei", LAST)),
    "fangzhengfangsong": Typeface(
        ("FZFangSong-Z02", "FZFangSong-Z02S"),
        (
            "FangSong",
            "Noto Serif CJK SC",
            "Noto Serif SC",
            "Source Han Serif SC",
            "AR PL UMing CN",
            LAST,
        ),
    ),
    "droidsansfallback": Typeface(("Droid Sans Fallback",), ("WenQuanYi Micro Hei", LAST)),
}
FILES = (  # what the files of these families are called, so that no other need be looked into
    *("wqy-zenhei*", "wqy-microhei*", "droidsansfallback*"),
    *("fzss*", "fzshusong*", "fzkt*", "fzkai*", "fzht*", "fzhei*", "fzfs*", "fzfangsong*"),
    *("方正书宋*", "方正楷体*", "方正黑体*", "方正仿宋*"),
    *("notosanscjk*", "notoserifcjk*", "sourcehanserif*", "lxgwwenkai-*", "ukai*", "uming*"),
    *("simsun*", "simkai*", "simhei*", "simfang*"),
)
BLANKED = ("Cc", "Cs", "Zl", "Zp")  # categories that have no place in one line of text
# what Pango draws nothing for, be there a glyph or not; tests/image/test_text.py tries it
INVISIBLE = re.compile(
    "[\xa0\xad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202a-\u202f\u205f-\u206f\u3000"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufff8\U0001d173-\U0001d17a\U000e0000-\U000e0fff ]"
)
# Only a font with this mark is trusted to place marks on any letter: Noto Sans CJK has five, and
# places them on those letters only that romanised Chinese writes with them
PLACED = 0x0308


@dataclass(frozen=True, slots=True)
class Family:
    """A family of fonts that is there.

    Attributes:
        name: As Pango finds it.
        characters: Code points that its regular font has.
    """

    name: str
    # left out of comparisons: the library's set has no hash
    characters: Container[int] = field(compare=False, repr=False)

    def has(self, text: str) -> bool:
        """Has it all of these characters, but for those that are not seen?"""
        return all(ord(sign) in self.characters or INVISIBLE.match(sign) for sign in text)

    def draws(self, letter: str) -> bool:
        """Can it draw this character with the marks on it?"""
        return self.has(letter) and (PLACED in self.characters or _invisible(letter[1:]))


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a line of text, and the family that draws it."""

    family: str
    text: str


@dataclass(frozen=True, slots=True)
class Fonts:
    """All that there is to draw text with.

    Attributes:
        families: In the order in which they are asked for a character.
    """

    families: tuple[Family, ...] = ()

    def family(self, name: str) -> str:
        """The family that serves one of OSS's names."""
        here = {family.name for family in self.families}
        typeface = NAMES[name]
        return next((one for one in (*typeface.own, *typeface.standins) if one in here), LAST)

    def stands_in(self, name: str) -> bool:
        """Is what serves this name another typeface?"""
        return self.family(name) not in NAMES[name].own

    def notes(self, names: Iterable[str], missing: int) -> Notes:
        """What of a text is drawn otherwise than it was asked for.

        Args:
            names: OSS's names of its fonts.
            missing: Characters of it that no family has.
        """
        notes = [note("font", "stand-in")] if any(map(self.stands_in, names)) else []
        return (*notes, note("glyphs", "missing")) if missing else tuple(notes)

    def runs(self, text: str, name: str) -> list[Run]:
        """One line of text in parts, each with the family that draws it.

        The family of OSS's ``name`` goes first. A word, or a Han sign, is drawn by the first
        family that has all of it, so that its letters match; where none has, each letter by the
        first family that has it with its marks.
        """
        first = self.family(name)
        families = sorted(self.families, key=lambda family: family.name != first)
        runs: list[Run] = []
        for word in _words(text):
            for wanted, part in _drawn(word, families):
                family = wanted or (runs[-1].family if runs else first)
                if runs and runs[-1].family == family:
                    runs[-1] = Run(family, runs[-1].text + part)
                else:
                    runs.append(Run(family, part))
        return runs

    def missing(self, text: str) -> int:
        """Characters that no family has; they are drawn as boxes with their code points."""
        return sum(
            not any(family.has(sign) for family in self.families)
            for letter in _letters(text)
            for sign in letter
        )


def _letters(text: str) -> list[str]:
    """The characters, each with the marks on it, in their composed form where there is one."""
    clusters: list[str] = []
    for sign in text:
        category = unicodedata.category(sign)
        if clusters and category.startswith("M"):
            clusters[-1] += sign
        else:
            clusters.append(" " if category in BLANKED else sign)
    return [unicodedata.normalize("NFC", one) if len(one) > 1 else one for one in clusters]


def _words(text: str) -> Iterator[list[str]]:
    """Letters that are seen together; a Han sign is a word, and so are blanks."""
    for kind, letters in groupby(_letters(text), _kind):
        if kind == "wide":
            yield from ([letter] for letter in letters)
        else:
            yield list(letters)


def _kind(letter: str) -> str:
    if _invisible(letter):
        return "blank"
    return "wide" if unicodedata.east_asian_width(letter[0]) in "WF" else "narrow"


def _invisible(text: str) -> bool:
    return all(map(INVISIBLE.match, text))


def _drawn(word: list[str], families: Sequence[Family]) -> Iterator[tuple[str, str]]:
    """Parts of a word with the names of their families; none where any will do."""
    if _invisible("".join(word)):
        yield "", "".join(word)
    elif family := _first(word, families):
        yield family, "".join(word)
    else:
        for letter in word:
            yield _first([letter], families) or _first([letter[0]], families), letter


def _first(letters: Sequence[str], families: Sequence[Family]) -> str:
    able = (family for family in families if all(map(family.draws, letters)))
    return next((family.name for family in able), "")
