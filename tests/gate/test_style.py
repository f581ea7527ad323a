"""Styles: by name in the query, behind a separator, and what is pure enough for anyone."""

import pytest

from vipsgate.buckets import Style
from vipsgate.errors import NoSuchStyle
from vipsgate.gate import style
from vipsgate.gate.target import Target

STYLES = {
    "thumb": Style(content="image/resize,w_100"),
    "a.b-c_d": Style(content="image/format,png"),
}
EXPANDS = {
    "": "",
    "image/resize,w_1": "image/resize,w_1",
    "style/thumb": "image/resize,w_100",
    "style/a.b-c_d": "image/format,png",
    "style/thumb|image/format,png": "image/resize,w_100|image/format,png",
    "image/crop|style/thumb|style/a.b-c_d": "image/crop|image/resize,w_100|image/format,png",
    "styles/thumb": "styles/thumb",
}
UNKNOWN = ("style/", "style/none", "style/Thumb", "style/thumb/resize,w_9", "image/crop|style/x")
SPLITS = {
    # key, separators -> object, style
    ("a.jpg!thumb", ("!",)): ("a.jpg", "thumb"),
    ("a.jpg!b!thumb", ("!",)): ("a.jpg!b", "thumb"),
    ("a.jpg-thumb", ("-", "_")): ("a.jpg", "thumb"),
    ("a_b-thumb", ("-", "_")): ("a_b", "thumb"),
    ("a-b_thumb", ("-", "_")): ("a-b", "thumb"),
    ("dir/a.jpg/thumb", ("/",)): ("dir/a.jpg", "thumb"),
    ("a.jpg@!thumb", ("!", "@!")): ("a.jpg", "thumb"),
    ("a.jpg@!b!c", ("!", "@!")): ("a.jpg", "b!c"),
    ("a.jpg!thumb", ("@!", "!")): ("a.jpg", "thumb"),
    ("a.jpg!thumb", ()): None,
    ("a.jpg!thumb", ("@!",)): None,
    ("a.jpg", ("!", "-")): None,
    ("a.jpg!", ("!",)): None,
    ("!thumb", ("!",)): None,
}


@pytest.mark.parametrize("text", EXPANDS)
def test_expands(text):
    assert style.expanded(text, STYLES) == EXPANDS[text]


@pytest.mark.parametrize("text", UNKNOWN)
def test_no_such_style(text):
    with pytest.raises(NoSuchStyle, match=r"^No Such Image Style\.$"):
        style.expanded(text, STYLES)


@pytest.mark.parametrize(
    ("text", "pure"),
    [
        ("style/thumb", True),
        ("style/none", True),
        ("", False),
        ("image/resize,w_1", False),
        ("style/thumb|image/format,png", False),
        ("image/crop|style/thumb", False),
        ("style/thumb|style/thumb", False),
        (" style/thumb", False),
    ],
)
def test_pure(text, pure):
    assert style.pure(text) is pure


@pytest.mark.parametrize(("key", "separators"), SPLITS)
def test_splits(key, separators):
    found = style.split(Target("photos", key), separators)
    wanted = SPLITS[key, separators]
    assert (found and (found.key, found.process)) == (wanted and (wanted[0], "style/" + wanted[1]))


def test_a_process_in_the_query_makes_the_key_mean_itself():
    asked = Target("photos", "a.jpg!thumb", (("x-oss-process", "image/info"),))
    assert style.split(asked, ("!",)) is None
