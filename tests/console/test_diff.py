"""Differences between two texts, as a page shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.console import diff

SIGNS = {"same": " ", "removed": "-", "added": "+", "skipped": "@"}
COMPARES = {
    # old, new: as a page has it
    ("a", "a"): "",
    ("", ""): "",
    ("", "a"): "+a",
    ("a", ""): "-a",
    ("a b c", "a x c"): " a,-b,+x, c",
    ("a b", "a b c"): " a, b,+c",
    ("1 2 3 4 5 6 7 8 9", "1 2 3 4 x 6 7 8 9"): "@1, 2, 3, 4,-5,+x, 6, 7, 8,@1",
    ("a 1 2 3 4 5 6 7 b", "A 1 2 3 4 5 6 7 B"): "-a,+A, 1, 2, 3,@1, 5, 6, 7,-b,+B",
}


def lines(text):
    return text.replace(" ", "\n")


@pytest.mark.parametrize("pair", COMPARES, ids=str)
def test_compares(pair):
    shown = diff.compare(*map(lines, pair))
    assert ",".join(SIGNS[line.kind] + line.text for line in shown) == COMPARES[pair]


texts = st.lists(st.sampled_from("abc"), max_size=30).map("\n".join)


@given(texts, texts)
def test_what_is_shown_makes_the_one_of_the_other(old, new):
    rest, made = old.splitlines(), []
    for line in diff.compare(old, new) or [diff.Line("skipped", str(len(rest)))]:
        if line.kind == "skipped":
            made += rest[: int(line.text)]
            del rest[: int(line.text)]
        elif line.kind == "added":
            made.append(line.text)
        else:
            assert rest.pop(0) == line.text
            made += [line.text] if line.kind == "same" else []
    assert (made, rest) == (new.splitlines(), [])


def test_a_page_has_an_end():
    old = "\n".join(map(str, range(30_000)))
    new = "\n".join(map(str, range(30_000, 0, -1)))
    shown = diff.compare(old, new)
    assert len(shown) == 2 * diff.MAX_SHOWN + 2
    assert [line.text for line in shown if line.kind == "skipped"] == ["29000", "29000"]
