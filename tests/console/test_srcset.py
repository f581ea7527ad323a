"""Markup of one picture in several widths: read back by an HTML parser as what was meant."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.console import srcset
from vipsgate.console.srcset import Candidate, Source

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


class Reader(HTMLParser):
    """Elements with their attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        assert not text.strip()


def candidates(*widths, url="http://x/a,b c?w="):
    return tuple(Candidate(f"{url}{width}", width, width // 2) for width in widths)


@settings(max_examples=times(100))
@given(TEXT, TEXT, st.integers(1, 2))
def test_attributes_come_back_as_they_were(sizes, alt, count):
    sources = [Source("image/avif", candidates(9, 20)), Source("", candidates(7, 10))][-count:]
    elements = Reader(srcset.markup(sources, sizes, alt)).elements
    tag, image = elements[-1]
    assert len(elements) == (1 if count == 1 else 3)
    assert tag == "img"
    assert (image["alt"], image["sizes"], image["src"]) == (alt, sizes, "http://x/a,b c?w=10")
    assert image["srcset"] == "http://x/a%2Cb%20c?w=7 7w, http://x/a%2Cb%20c?w=10 10w"
    assert (image["width"], image["height"]) == ("10", "5")


def test_formats_come_in_the_order_of_preference():
    sources = [Source("image/avif", candidates(9)), Source("image/webp", candidates(9))]
    elements = Reader(srcset.markup([*sources, Source("", candidates(9))], "9px", "")).elements
    assert [(tag, row.get("type")) for tag, row in elements] == [
        ("picture", None),
        ("source", "image/avif"),
        ("source", "image/webp"),
        ("img", None),
    ]


# what is done before, the width, the format -> the process text
PROCESSES = {
    ("", 320, ""): "image/resize,w_320",
    ("", 320, "webp"): "image/resize,w_320/format,webp",
    ("style/card", 9, ""): "style/card|image/resize,w_9",
    ("image/crop,w_9|image/rotate,9", 5, "avif"): (
        "image/crop,w_9|image/rotate,9|image/resize,w_5/format,avif"
    ),
}


@pytest.mark.parametrize("given", PROCESSES, ids=str)
def test_the_width_follows_what_is_done_before(given):
    assert srcset.process(*given) == PROCESSES[given]


def test_sizes_are_no_wider_than_the_picture():
    assert srcset.sizes(1280, 2560) == "(max-width: 1280px) 100vw, 1280px"
    assert srcset.sizes(1280, 900) == "(max-width: 900px) 100vw, 900px"
