"""Text as ink: what is drawn, how large, in which order, and what is refused before it is drawn."""

import unicodedata
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import ImageTooLarge
from vipsgate.image import text
from vipsgate.image.fonts import DEFAULT, INVISIBLE, Run
from vipsgate.worker.fontfiles import find

MOST = 16_777_216  # pixels, the limit of a picture that is made


@cache
def fonts():
    """What comes with the installation, whatever else the machine has."""
    found = find("", ())
    found.install()
    return found.fonts


def ink(line, size=40, most=MOST):
    """The mask of a line, height by width; ``None`` without ink."""
    made = text.draw(fonts().runs(line, DEFAULT), size, most)
    return None if made is None else array(made)


def array(made):
    return np.frombuffer(made.write_to_memory(), np.uint8).reshape(made.height, made.width)


def same(one, other):
    return one.shape == other.shape and np.array_equal(one, other)


def spans(ink):
    """The columns of each part that gaps divide, from left to right."""
    lit = np.flatnonzero(ink.any(0))
    cuts = np.flatnonzero(np.diff(lit) > 1)
    return list(zip(lit[[0, *(cuts + 1)]], lit[[*cuts, -1]] + 1, strict=True))


def rows(ink):
    """The first row with ink, and the one behind the last."""
    lit = np.flatnonzero(ink.any(1))
    return lit[0], lit[-1] + 1


def parts(mask):
    """Each part as large as its ink."""
    ink = mask > 127
    return [ink[slice(*rows(ink[:, a:b])), a:b] for a, b in spans(ink)]


def bottoms(mask):
    """Where each part ends."""
    ink = mask > 127
    return [rows(ink[:, a:b])[1] for a, b in spans(ink)]


def test_a_mask_is_one_band_of_bytes_as_large_as_its_ink():
    made = text.draw(fonts().runs("图片 Hg", DEFAULT), 40, MOST)
    assert (made.bands, made.format) == (1, "uchar")
    mask = np.asarray(made)
    assert mask.max() == 255
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    assert [edge.max() > 0 for edge in edges] == [True] * 4


@pytest.mark.parametrize("size", [1, 5, 12, 40, 64, 65, 200, 1000])
def test_the_size_is_the_em_in_pixels(size):
    """Noto Sans CJK: a capital is 0.733 em high, a Han sign advances 1 em."""
    assert ink("H", size).shape[0] == pytest.approx(0.733 * size, abs=1)
    assert ink("一二三四五六七八", size, MOST * 2).shape[1] == pytest.approx(
        7.9 * size, abs=2 + size / 9
    )


EQUAL = {
    # two texts of which the same ink comes
    "e\u0301": "é",
    "Z\u030c\u0301": "Ž\u0301",
    "Łódź": unicodedata.normalize("NFD", "Łódź"),
    "한글": unicodedata.normalize("NFD", "한글"),
    "Tiếng": unicodedata.normalize("NFD", "Tiếng"),
    "a b": "a\nb",
    "a  b": "a\r\nb",
    "a    b": "a\0\x01\x7f\x85b",
    "中 文": "中\u2028文",
    "中  文": "中\u2029\t文",
    "a": " \n a \t\u3000\u200b\ufeff",
    "图": "图\ufe00",
    "א": "\u200fא\u200e",
}


@pytest.mark.parametrize("line", EQUAL, ids=ascii)
def test_equal(line):
    assert same(ink(line), ink(EQUAL[line]))


LITERAL = {  # markup, and what it would be
    "<b>a</b>": "a",
    "<span size='90pt'>a</span>": "a",
    "&lt;": "<",
    "&#65;": "A",
    "&amp;": "&",
    "<!-- a -->": "a",
    "a<br/>": "a",
}


@pytest.mark.parametrize("line", LITERAL)
def test_nothing_is_markup(line):
    assert ink(line).shape[1] > 2 * ink(LITERAL[line]).shape[1]
    assert ink(line, 40).shape[0] < 60


@pytest.mark.parametrize("line", ["<", ">", "&", "<b>", "</i>", "&nbsp;", "&#0;", "<![CD[", "%s"])
def test_every_sign_of_what_markup_would_refuse(line):
    assert len(parts(ink(line, 100))) >= len(line) - line.count("[") - line.count("%")


NOTHING = (
    "",
    " ",
    "  \t\n",
    "\0",
    "\u200d",
    "\u3000\u00a0",
    "\ufeff",
    "\u202e",
    "\u2028",
    "\u00ad",
)


@pytest.mark.parametrize("line", NOTHING, ids=ascii)
def test_nothing_to_draw(line):
    for size in (1, 40, 1000):
        assert ink(line, size) is None


def test_what_counts_as_invisible_is():
    """And what does not is drawn, if only as a box, so that it is rightly counted as missing."""
    every = [sign for sign in map(chr, range(0x110000)) if INVISIBLE.match(sign)]
    assert [ascii(sign) for sign in every[::5] + every[:400] if ink(sign) is not None] == []
    seen = "\u1680\u0e01\u1bca0\ue000\ufff9\ufffc\uffff\U0001f600\U000e1000\U0010ffff"
    assert [ascii(sign) for sign in seen if ink(sign) is None] == []


def test_a_missing_sign_is_a_box_of_its_own():
    """It has the code point in it: nobody takes it for nothing, or for another one."""
    assert fonts().missing("กขก") == 3
    assert not same(ink("ก"), ink("ข"))
    assert ink("aกb").shape[1] > ink("ab").shape[1] + 30


def test_hebrew_goes_from_right_to_left():
    left, right = parts(ink("אב", 100))
    assert same(left, parts(ink("ב", 100))[0])
    assert same(right, parts(ink("א", 100))[0])


def test_numbers_in_hebrew_go_from_left_to_right():
    *number, letter = parts(ink("א12", 100))
    (run,) = fonts().runs("א12", DEFAULT)
    alone = parts(array(text.draw([Run(run.family, "12")], 100, MOST)))
    assert same(letter, parts(ink("א", 100))[0])
    assert [same(*pair) for pair in zip(number, alone, strict=True)] == [True, True]


def test_arabic_letters_join():
    assert len(parts(ink("سسس", 100))) == 1
    assert len(parts(ink("س س س", 100))) == 3
    assert ink("سسس", 100).shape[1] < 0.8 * ink("س س س", 100).shape[1]


@pytest.mark.parametrize("letter", ["x\u0301", "m\u0302", "q\u0331", "ש\u05c1", "س\u0651"])
def test_a_mark_stands_on_its_letter(letter):
    """Also where there is no composed form, of which Pango by itself takes each from a font."""
    (run,) = fonts().runs(letter, DEFAULT)
    bare = array(text.draw([Run(run.family, letter[0])], 100, MOST))
    marked = ink(letter, 100)
    assert marked.shape[0] > bare.shape[0] + 5
    assert marked.shape[1] < bare.shape[1] + 15


def test_the_language_is_ours_and_not_the_machine_s(monkeypatch):
    """These signs look otherwise in Japanese."""
    ours = ink("直骨角", 100)
    monkeypatch.setattr(text, "LANGUAGE", "ja")
    assert not same(ours, ink("直骨角", 100))


@pytest.mark.parametrize("word", ["Łódź", "x\u0301", "Příliš", "שלום"])
def test_each_run_is_drawn_by_its_family(word):
    alone, beside = parts(ink(word, 100)), parts(ink(f"中 {word}", 100))[1:]
    assert [same(*pair) for pair in zip(alone, beside, strict=True)] == [True] * len(alone)


@pytest.mark.parametrize("line", ["H Ł", "永 H Ł", "한 H Ł", "か H Ł", "H 永 H Ł", "(永) H Ł"])
def test_letters_of_all_fonts_stand_on_one_line(line):
    """Pango by itself lifts those of other fonts by 0.08 em behind a Han sign."""
    assert [run.family for run in fonts().runs(line, DEFAULT)] == ["Noto Sans CJK SC", "Noto Sans"]
    *_, first, second = bottoms(ink(line, 100))
    assert first == second


TOO_LARGE = {
    # text, size -> about the width that is told
    ("中" * 21, 1000): 20_800,
    ("W" * 64, 1000): 56_000,
    ("\ufdfa" * 21, 1000): 23_900,
    ("_" * 64, 1000): 36_000,
    ("\u2e3b" * 21, 1000): 51_500,
    ("😀" * 16, 1000): 21_000,
}


@pytest.mark.parametrize(("line", "size"), TOO_LARGE, ids=lambda value: ascii(value)[:20])
def test_what_is_too_large_is_refused_before_it_is_drawn(line, size, monkeypatch):
    drawn = []
    real = text._ink
    monkeypatch.setattr(text, "_ink", lambda runs, size: drawn.append(size) or real(runs, size))
    with pytest.raises(ImageTooLarge) as caught:
        ink(line, size)
    assert drawn == [text.MEASURED]
    width = int(caught.value.message.partition("would be ")[2].partition("x")[0])
    assert width == pytest.approx(TOO_LARGE[line, size], rel=0.03)
    assert f"in size {size}" in caught.value.message


def test_what_is_just_not_too_large_is_drawn():
    height, width = ink("中文", 500).shape
    assert ink("中文", 500, int(width * height * 1.1)).shape == (height, width)
    with pytest.raises(ImageTooLarge):
        ink("中文", 500, int(width * height * 0.9))


def test_many_marks_are_bounded():
    """30 accents on one letter: 11 em high."""
    assert ink("a" + "\u0301" * 30, 1000, MOST).shape[0] > 5000
    with pytest.raises(ImageTooLarge):
        ink("a" + "\u0301" * 30, 1000, 1 << 20)


@settings(max_examples=times(500), deadline=None)
@given(
    line=st.text(max_size=64).map(
        lambda line: line.encode("utf-8", "ignore")[:64].decode("utf-8", "ignore")
    ),
    size=st.sampled_from([1, 9, 40, 64, 65, 120, 1000]),
)
def test_any_text_is_ink_or_nothing_or_too_large(line, size):
    runs = fonts().runs(line, DEFAULT)
    assert 0 <= fonts().missing(line) <= len(line)
    assert all(run.text and run.family for run in runs)
    try:
        made = text.draw(runs, size, 1 << 20)
    except ImageTooLarge:
        return
    if made is None:
        assert not [sign for sign in line if unicodedata.category(sign)[0] in "LNPS"]
    else:
        assert (made.bands, made.format) == (1, "uchar")


@pytest.mark.parametrize(
    "line", ["😀", "😂👍👎🏾", "👨\u200d👩\u200d👧\u200d👦", "🇨🇳", "❤\ufe0f", "1\ufe0f\u20e3"]
)
def test_emoji_alone_come_back(line):
    assert ink(line) is not None
    assert ink(line, 1) is not None
