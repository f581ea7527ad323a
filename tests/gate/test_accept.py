"""Which picture formats an Accept header takes: real browsers, traps, and whatever may come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from support.browsers import BROWSERS, RULES

from vipsgate.gate import accept

OFFERED = ("avif", "webp")


@pytest.mark.parametrize("header", [*BROWSERS, *RULES])
def test_headers(header):
    assert accept.formats(header, OFFERED) == {**BROWSERS, **RULES}[header]


def test_the_best_offered_is_first_of_those_liked_alike():
    text = next(iter(BROWSERS))
    assert accept.formats(text, ("webp", "avif")) == ("webp", "avif")
    assert accept.formats(text, ("webp",)) == ("webp",)
    assert accept.formats("image/avif,image/webp;q=0.5", ("webp", "avif")) == ("avif", "webp")


def test_several_lines_are_one_list():
    sent = CIMultiDict([("accept", "image/webp"), ("Host", "a"), ("Accept", "image/avif;q=0.5")])
    assert accept.header(sent) == "image/webp, image/avif;q=0.5"
    assert accept.header(CIMultiDict()) == ""


@given(st.text(st.sampled_from('image/webpavif*;q=0.19,\\"x \t\n\u00e9'), max_size=60) | st.text())
def test_whatever_comes_is_no_error(text):
    taken = accept.formats(text, OFFERED)
    assert set(taken) <= set(OFFERED)
    for name in taken:
        assert accept.TYPES[name] in text.lower()  # it was named


WEIGHTS = ["", ";q=0", ";q=0.000", ";q=0.5", "; q=1.0", ";q=1.000"]
OTHERS = ["text/html", "*/*;q=0.8", "image/*", "", "nonsense", 'a/b;c=", image/webp;q=1"']


@given(
    st.tuples(st.sampled_from(WEIGHTS), st.sampled_from(WEIGHTS)),
    st.lists(st.sampled_from(OTHERS)),
    st.randoms(use_true_random=False),
)
def test_what_else_is_in_it_changes_nothing(weights, others, random):
    """The named ones alone count: in any order, with any spaces, among anything else."""
    named = [f"{accept.TYPES[name]}{q}" for name, q in zip(OFFERED, weights, strict=True)]
    elements = [*named, *others]
    random.shuffle(elements)
    separator = random.choice([",", ", ", " ,\t", ",,"])
    value = [float(q.partition("=")[2] or 1) for q in weights]
    pairs = zip(OFFERED, value, strict=True)
    liked = sorted((name for name, q in pairs if q), key=lambda name: -value[OFFERED.index(name)])
    assert accept.formats(separator.join(elements), OFFERED) == tuple(liked)


def test_every_offer_of_every_length():
    for offered in itertools.chain(*(itertools.permutations(OFFERED, n) for n in (0, 1, 2))):
        assert accept.formats("image/avif,image/webp", offered) == offered
