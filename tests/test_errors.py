"""The tree of errors: each travels whole between processes, and the drawing is the tree."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate import errors
from vipsgate.errors import InternalError, OssError, dump, load, shown

CLASSES = OssError.__subclasses__()
texts = st.text(alphabet=st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize("kind", CLASSES)
def test_travels_whole(kind):
    error = kind(
        "what was wrong", ec="0040-00000001", extra={"Key": "西"}, headers={"Allow": "GET"}
    )
    back = load(json.loads(json.dumps(dump(error))))
    assert type(back) is kind
    assert dump(back) == dump(error)
    assert (back.status, str(back)) == (kind.status, "what was wrong")


@given(message=texts, ec=texts, extra=st.dictionaries(texts, texts))
def test_travels_whole_whatever_it_says(message, ec, extra):
    error = errors.BadRequest(message, ec=ec, extra=extra)
    assert dump(load(json.loads(json.dumps(dump(error))))) == dump(error)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("size", [4095, 4096, 4097, 1_000_000])
def test_a_message_has_an_end(kind, size):
    error = kind("a" * size)
    assert len(error.message) == min(size, errors.MAX_MESSAGE)
    assert error.message.endswith("..." if size > errors.MAX_MESSAGE else "a")
    assert dump(load(dump(error))) == dump(error)


def test_an_unknown_code_is_a_fault_of_ours():
    error = load({"code": "?", "message": "m", "ec": "", "extra": {}, "headers": {}})
    assert type(error) is InternalError


@pytest.mark.parametrize("kind", CLASSES)
def test_the_drawing_has_every_class_with_its_status(kind):
    drawn = dict(re.findall(r"\+-- (\w+)\s+(\d{3})", errors.__doc__))
    assert drawn[kind.__name__] == str(kind.status)


def test_the_drawing_has_nothing_else():
    drawn = re.findall(r"\+-- (\w+)\s+\d{3}", errors.__doc__)
    assert sorted(drawn) == sorted(kind.__name__ for kind in CLASSES)


def test_codes_are_distinct():
    """A code is what a class is found by on the other side."""
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_code_is_a_word_and_the_class_has_a_line(kind):
    assert re.fullmatch(r"[A-Z][A-Za-z]+", kind.code)
    assert 400 <= kind.status < 600
    assert kind.__doc__.endswith(".")


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("", ""),
        ("a", "a"),
        ("a" * 64, "a" * 64),
        ("a" * 65, "a" * 64 + "..."),
        ("西" * 99, "西" * 64 + "..."),
    ],
)
def test_shown(text, repeated):
    assert shown(text) == repeated
