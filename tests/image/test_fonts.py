"""OSS's names and the families that serve them; texts cut into what each family draws."""

import pytest

from vipsgate.image.fonts import DEFAULT, LAST, NAMES, Family, Fonts, Run

LATIN = "".join(map(chr, range(0x20, 0x7F)))


def fonts(*names, **families):
    """Families without characters, and such with these."""
    texts = dict.fromkeys(names, "") | families
    return Fonts(tuple(Family(name, set(map(ord, text))) for name, text in texts.items()))


def test_the_names_are_oss_s():
    assert sorted(NAMES) == [
        *("droidsansfallback", "fangzhengfangsong", "fangzhengheiti", "fangzhengkaiti"),
        *("fangzhengshusong", "wqy-microhei", "wqy-zenhei"),
    ]
    assert DEFAULT == "wqy-zenhei"


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_with_the_installation_ends_every_list(name):
    assert NAMES[name].standins[-1] == LAST
    assert fonts(LAST).family(name) == LAST
    assert fonts(LAST).stands_in(name)


SERVES = [
    # name, families that are there -> the one that serves, whether it stands in
    ("wqy-zenhei", ["WenQuanYi Zen Hei", "WenQuanYi Micro Hei"], "WenQuanYi Zen Hei", False),
    ("wqy-zenhei", ["WenQuanYi Micro Hei", LAST], "WenQuanYi Micro Hei", True),
    ("wqy-microhei", ["WenQuanYi Zen Hei", "WenQuanYi Micro Hei"], "WenQuanYi Micro Hei", False),
    ("wqy-microhei", [LAST, "Droid Sans Fallback"], "Droid Sans Fallback", True),
    ("droidsansfallback", [LAST, "Droid Sans Fallback"], "Droid Sans Fallback", False),
    ("fangzhengkaiti", ["FZKai-Z03S", "FZKai-Z03"], "FZKai-Z03", False),
    ("fangzhengkaiti", ["FZKai-Z03S", "KaiTi"], "FZKai-Z03S", False),
    ("fangzhengkaiti", ["AR PL UKai CN", "LXGW WenKai"], "LXGW WenKai", True),
    ("fangzhengshusong", ["FZKai-Z03", "AR PL UMing CN", LAST], "AR PL UMing CN", True),
    ("fangzhengheiti", ["SimHei", "FZHei-B01S"], "FZHei-B01S", False),
    ("fangzhengfangsong", ["Noto Serif CJK SC", "FangSong"], "FangSong", True),
    ("wqy-zenhei", [], LAST, True),
]


@pytest.mark.parametrize(("name", "there", "serves", "stands_in"), SERVES)
def test_the_first_family_that_is_there_serves(name, there, serves, stands_in):
    found = fonts(*there)
    assert found.family(name) == serves
    assert found.stands_in(name) is stands_in


SHELF = {
    # as in the installation: Han signs with some Latin and few marks; Latin with all; others
    LAST: LATIN + "中文图片服务한éó“”\u0301",
    "Latin": LATIN + "éóŁźδά\u0301\u0302\u0308\u0331",
    "Arabic": LATIN + "سلام\u064e\u0308",
    "Dots": "⠁",
}
RUNS = {
    # text: which of the shelf's families draws what
    "": [],
    "Hello": [(LAST, "Hello")],
    "Hello 图片服务!": [(LAST, "Hello 图片服务!")],
    # a word is not torn: both have d and ó
    "Łódź": [("Latin", "Łódź")],
    "ab Łódź ab": [(LAST, "ab "), ("Latin", "Łódź "), (LAST, "ab")],
    "图片Łódź服务": [(LAST, "图片"), ("Latin", "Łódź"), (LAST, "服务")],
    # no family has all of this word
    "aŁ⠁": [(LAST, "a"), ("Latin", "Ł"), ("Dots", "⠁")],
    # a letter is not torn from its marks, which only a font with many can place
    "e\u0301": [(LAST, "é")],
    "x\u0301": [("Latin", "x\u0301")],
    "x\u0302\u0331": [("Latin", "x\u0331\u0302")],
    "سَلام": [("Arabic", "سَلام")],
    "中\u0301": [(LAST, "中\u0301")],
    "⠁\u0301": [("Dots", "⠁\u0301")],
    # what is not seen goes with what stands before it
    "Ł\u200dŁ": [("Latin", "Ł\u200dŁ")],
    "سلا\u200cم\ufe0f!": [("Arabic", "سلا\u200cم\ufe0f!")],
    "  Ł ": [(LAST, "  "), ("Latin", "Ł ")],
    "\u202eŁ\u202c": [(LAST, "\u202e"), ("Latin", "Ł\u202c")],
    # what no family has goes anywhere
    "Ł😀": [("Latin", "Ł😀")],
    "😀": [(LAST, "😀")],
    # one line, and nothing that no line can hold
    "a\nb\0c\u2028d\x85\t\ud800": [(LAST, "a b c d   ")],
    # nothing is markup here
    "<b>&amp;</b>": [(LAST, "<b>&amp;</b>")],
}


@pytest.mark.parametrize("text", RUNS, ids=ascii)
def test_runs(text):
    assert fonts(**SHELF).runs(text, "wqy-zenhei") == [Run(*row) for row in RUNS[text]]


def test_the_family_of_the_name_goes_first():
    found = fonts(**SHELF, **{"FZKai-Z03": "图Ł"})
    # one sign less does not cost a line its typeface
    assert found.runs("图片a图Ł", "fangzhengkaiti") == [
        *(Run("FZKai-Z03", "图"), Run(LAST, "片a"), Run("FZKai-Z03", "图Ł"))
    ]
    assert found.runs("图", "wqy-zenhei") == [Run(LAST, "图")]
    assert found.runs("Ł", "wqy-zenhei") == [Run("Latin", "Ł")]


def test_without_any_font_there_is_still_a_line():
    assert Fonts().runs("a 中", DEFAULT) == [Run(LAST, "a 中")]


MISSING = {
    "Hello 图片服务!": 0,
    "": 0,
    "😀": 1,
    "😀😀 a😀": 3,
    "Ž": 1,
    "Z\u030c": 1,  # Ž again
    "x\u030c": 1,
    "x\u0301": 0,
    "e\u0301": 0,
    "👨\u200d👩": 2,
    "a\ufe0f\u200b\u2060\u00ad\u3000\u00a0\u202b\U000e0100": 0,
    "a\n\t\0\x85\u2028\u2029": 0,
    "\u1680": 1,  # a space that is drawn
    "\ue000": 1,
    "\ufffe": 1,
}


@pytest.mark.parametrize("text", MISSING, ids=ascii)
def test_missing(text):
    assert fonts(**SHELF).missing(text) == MISSING[text]
