"""Fonts: OSS's names to families, and each character to a family that has it.

Pango is told the family of every part of a text. By itself it would choose by the machine's locale,
and take a letter from the first font that has it without its accent: "Łódź" would be drawn in
several fonts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .notes import Notes, note

DEFAULT = "wqy-zenhei"  # OSS guide, Add watermarks
LAST = "Noto Sans CJK SC"  # the last resort of every name: installed with the package


@dataclass(frozen=True, slots=True)
class Typeface:
    """One of OSS's names and the families that serve it; the first installed one is used.

    Attributes:
        own: Families that are this typeface.
        standins: Families that look like it, the most similar first.
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
FILES = (  # names of the files of these families; no others are read
    *("wqy-zenhei*", "wqy-microhei*", "droidsansfallback*"),
    *("fzss*", "fzshusong*", "fzkt*", "fzkai*", "fzht*", "fzhei*", "fzfs*", "fzfangsong*"),
    *("方正书宋*", "方正楷体*", "方正黑体*", "方正仿宋*"),
    *("notosanscjk*", "notoserifcjk*", "sourcehanserif*", "lxgwwenkai-*", "ukai*", "uming*"),
    *("simsun*", "simkai*", "simhei*", "simfang*"),
)
BLANKED = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories that are not drawn in one line of text
# Characters for which Pango draws nothing, with or without a glyph; tests/image/test_text.py
INVISIBLE = re.compile(
    "[\xa0\xad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202a-\u202f\u205f-\u206f\u3000"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufff8\U0001d173-\U0001d17a\U000e0000-\U000e0fff ]"
)
# Only a font with this mark is trusted to place marks on any letter. Noto Sans CJK has five, and
# places them only on the letters that romanised Chinese writes with them.
PLACED = 0x0308


@dataclass(frozen=True, slots=True)
class Family:
    """An installed family of fonts.

    Attributes:
        name: Its name in Pango.
        characters: Code points that its regular font has.
    """

    name: str
    # not compared, as the library's set is not hashable
    characters: Container[int] = field(compare=False, repr=False)

    def has(self, text: str) -> bool:
        """Return whether it has all of these characters, invisible ones aside."""
        return all(ord(sign) in self.characters or INVISIBLE.match(sign) for sign in text)

    def draws(self, letter: str) -> bool:
        """Return whether it can draw this character with its combining marks."""
        return self.has(letter) and (PLACED in self.characters or _invisible(letter[1:]))


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a line of text, and the family that draws it."""

    family: str
    text: str


@dataclass(frozen=True, slots=True)
class Fonts:
    """The installed families of fonts.

    Attributes:
        families: The families, in the order in which a character is looked up.
    """

    families: tuple[Family, ...] = ()

    def family(self, name: str) -> str:
        """Return the family that serves one of OSS's names."""
        here = {family.name for family in self.families}
        typeface = NAMES[name]
        return next((one for one in (*typeface.own, *typeface.standins) if one in here), LAST)

    def stands_in(self, name: str) -> bool:
        """Return whether another typeface serves this name."""
        return self.family(name) not in NAMES[name].own

    def notes(self, names: Iterable[str], missing: int) -> Notes:
        """Return notes on what of a text is drawn differently than requested.

        Args:
            names: OSS's names of its fonts.
            missing: Number of its characters that no family has.
        """
        notes = [note("font", "stand-in")] if any(map(self.stands_in, names)) else []
        return (*notes, note("glyphs", "missing")) if missing else tuple(notes)

    def runs(self, text: str, name: str) -> list[Run]:
        """Split one line of text into parts, each with the family that draws it.

        The family of OSS's ``name`` is tried first. A word, or a Han character, is drawn by the
        first family that has all of it, so that its letters match. If none has, each letter is
        drawn by the first family that has it with its marks.
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
        """Count the characters that no family has, which are drawn as boxes with code points."""
        return sum(
            not any(family.has(sign) for family in self.families)
            for letter in _letters(text)
            for sign in letter
        )


def _letters(text: str) -> list[str]:
    """Split text into characters with their combining marks, composed where possible."""
    clusters: list[str] = []
    for sign in text:
        category = unicodedata.category(sign)
        if clusters and category.startswith("M"):
            clusters[-1] += sign
        else:
            clusters.append(" " if category in BLANKED else sign)
    return [unicodedata.normalize("NFC", one) if len(one) > 1 else one for one in clusters]


def _words(text: str) -> Iterator[list[str]]:
    """Group letters into words; a Han character is a word, and so are blanks."""
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
    """Yield parts of a word with their families; an empty name if any family will do."""
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
