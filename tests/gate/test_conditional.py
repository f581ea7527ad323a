"""``If-*`` and ``Range`` on plain strings."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from vipsgate.errors import InvalidRange, PreconditionFailed
from vipsgate.gate import conditional

ETAG = '"ABC"'
MODIFIED = 1_767_225_600.75  # Thu, 01 Jan 2026 00:00:00 GMT and three quarters of a second
BEFORE, THEN, AFTER = (
    f"Thu, 01 Jan 2026 00:00:{second:02} GMT" if second >= 0 else "Wed, 31 Dec 2025 23:59:59 GMT"
    for second in (-1, 0, 1)
)
FAILED = "412"

DECIDES = [
    ({}, False),
    ({"If-None-Match": '"ABC"'}, True),
    ({"If-None-Match": "ABC"}, True),  # OSS's own clients send it so
    ({"If-None-Match": ' "ABC" '}, True),
    ({"If-None-Match": 'W/"ABC"'}, True),
    ({"If-None-Match": '"x","ABC"'}, True),
    ({"If-None-Match": '"x" , W/"ABC" , "y"'}, True),
    ({"If-None-Match": "*"}, True),
    ({"If-None-Match": '"abc"'}, False),
    ({"If-None-Match": '"ABCD"'}, False),
    ({"If-None-Match": "AB"}, False),
    ({"If-None-Match": ""}, False),
    ({"If-None-Match": '"'}, False),
    ({"If-None-Match": '"x,ABC"'}, False),
    ({"If-Match": '"ABC"'}, False),
    ({"If-Match": "*"}, False),
    ({"If-Match": "ABC"}, False),
    ({"If-Match": '"x", "ABC"'}, False),
    ({"If-Match": '"x"'}, FAILED),
    ({"If-Match": 'W/"ABC"'}, FAILED),
    ({"If-Match": ""}, FAILED),
    ({"If-Modified-Since": BEFORE}, False),
    ({"If-Modified-Since": THEN}, True),
    ({"If-Modified-Since": AFTER}, True),
    ({"If-Modified-Since": "Thursday, 01-Jan-26 00:00:00 GMT"}, True),
    ({"If-Modified-Since": "Thu Jan  1 00:00:00 2026"}, True),
    ({"If-Modified-Since": "soon"}, False),
    ({"If-Modified-Since": ""}, False),
    ({"If-Unmodified-Since": BEFORE}, FAILED),
    ({"If-Unmodified-Since": THEN}, False),
    ({"If-Unmodified-Since": AFTER}, False),
    ({"If-Unmodified-Since": "soon"}, False),
    ({"If-Match": '"ABC"', "If-Unmodified-Since": BEFORE}, False),
    ({"If-None-Match": '"x"', "If-Modified-Since": AFTER}, False),
    ({"If-None-Match": '"ABC"', "If-Modified-Since": BEFORE}, True),
    ({"If-Match": '"ABC"', "If-None-Match": '"ABC"'}, True),
    ({"If-Match": '"x"', "If-None-Match": '"ABC"'}, FAILED),
    ({"If-Unmodified-Since": BEFORE, "If-None-Match": '"ABC"'}, FAILED),
    ({"If-Unmodified-Since": THEN, "If-Modified-Since": THEN}, True),
]


@pytest.mark.parametrize(("headers", "expected"), DECIDES, ids=str)
def test_decides(headers, expected):
    if expected == FAILED:
        with pytest.raises(PreconditionFailed) as caught:
            conditional.not_modified(headers, ETAG, MODIFIED)
        assert caught.value.extra["Condition"] in headers
    else:
        assert conditional.not_modified(headers, ETAG, MODIFIED) is expected


@given(
    st.lists(st.sampled_from(['"ABC"', '"x"', 'W/"y"', '"a,b"', '"ABCD"']), min_size=1, max_size=4),
    st.sampled_from(["If-Match", "If-None-Match"]),
    st.data(),
)
def test_a_list_in_several_lines_is_one_list(tags, name, data):
    """However its elements are spread over lines, in whatever case the name is written."""
    ends = data.draw(st.sets(st.integers(1, len(tags) - 1))) if len(tags) > 1 else set()
    bounds = [0, *sorted(ends), len(tags)]
    lines = [", ".join(tags[a:b]) for a, b in itertools.pairwise(bounds)]
    sent = CIMultiDict((data.draw(st.sampled_from([name, name.lower()])), line) for line in lines)

    def outcome(headers):
        try:
            return conditional.not_modified(headers, ETAG, MODIFIED)
        except PreconditionFailed:
            return FAILED

    assert outcome(sent) == outcome({name: ", ".join(tags)})
    assert outcome(sent) in (('"ABC"' in tags,) if name == "If-None-Match" else (False, FAILED))


# Range, size, the bytes meant; None for all of them, "416" for none
PARTS = [
    ("bytes=0-0", 10, range(1)),
    ("bytes=0-9", 10, range(10)),
    ("bytes=2-5", 10, range(2, 6)),
    ("bytes=2-99", 10, range(2, 10)),
    ("bytes=9-", 10, range(9, 10)),
    ("bytes=0-", 10, range(10)),
    ("bytes=-1", 10, range(9, 10)),
    ("bytes=-10", 10, range(10)),
    ("bytes=-99", 10, range(10)),
    ("bytes= 2 - 5 ", 10, range(2, 6)),
    ("bytes=10-", 10, "416"),
    ("bytes=10-20", 10, "416"),
    ("bytes=-0", 10, "416"),
    ("bytes=0-", 0, "416"),
    ("bytes=0-0", 0, "416"),
    ("bytes=-1", 0, "416"),
    ("bytes=5-2", 10, None),
    ("bytes=-", 10, None),
    ("bytes=", 10, None),
    ("bytes=abc", 10, None),
    ("bytes=0-1,3-4", 10, None),
    ("bytes=1", 10, None),
    ("bytes=--1", 10, None),
    ("bytes=+1-2", 10, None),
    ("bytes=１-２", 10, None),
    ("bytes=0x0-1", 10, None),
    ("bytes=2-9223372036854775806", 10, range(2, 10)),  # the end of the SDK for S3 in Java
    ("bytes=0-18446744073709551615", 10, range(10)),
    ("bytes=-" + "9" * 30, 10, range(10)),
    ("bytes=" + "9" * 30 + "-", 10, "416"),
    ("bytes=0-" + "9" * 5000, 10, None),
    ("Bytes=0-1", 10, range(2)),
    ("bYTES=0-1", 10, range(2)),
    ("byte\u017f=0-1", 10, None),
    ("lines=0-1", 10, None),
    ("0-1", 10, None),
    ("", 10, None),
]


@pytest.mark.parametrize(("asked", "size", "expected"), PARTS)
def test_parts(asked, size, expected):
    headers = {"Range": asked}
    if expected == "416":
        with pytest.raises(InvalidRange) as caught:
            conditional.part(headers, ETAG, MODIFIED, size)
        assert caught.value.headers == {"Content-Range": f"bytes */{size}"}
        assert caught.value.extra == {"ActualObjectSize": str(size), "RangeRequested": asked}
    else:
        assert conditional.part(headers, ETAG, MODIFIED, size) == expected


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('"ABC"', True),
        (' "ABC" ', True),
        ('W/"ABC"', False),
        ('"x"', False),
        ('"ABC", "x"', False),
        (THEN, True),
        (BEFORE, False),
        (AFTER, False),
        ("rubbish", False),
        ("", False),
    ],
)
def test_if_range(condition, holds):
    headers = {"Range": "bytes=0-0", "If-Range": condition}
    part = conditional.part(headers, ETAG, MODIFIED, 10)
    assert part == (range(1) if holds else None)


def test_if_range_that_fails_comes_before_416():
    headers = {"Range": "bytes=99-", "If-Range": '"x"'}
    assert conditional.part(headers, ETAG, MODIFIED, 10) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT"),
        (1_000_000_000.999, "Sun, 09 Sep 2001 01:46:40 GMT"),
    ],
)
def test_http_date(seconds, text):
    assert conditional.http_date(seconds) == text


NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
dates = st.from_regex(r"\w{3}, -?\d{1,6} \w{3} -?\d{1,7} -?\d{1,3}:\d{1,3}:\d{1,3} [-+]?\w{0,9}")
values = st.text() | st.text(alphabet='"W/*,ABC ') | st.datetimes().map(str) | dates


@given(st.dictionaries(st.sampled_from(NAMES), values))
def test_nothing_but_a_decision_or_412(headers):
    with contextlib.suppress(PreconditionFailed):
        assert conditional.not_modified(headers, ETAG, MODIFIED) in (True, False)


ranges = st.text() | st.from_regex(r"bytes=-?\d*-?\d*", fullmatch=True)


@given(ranges, st.none() | values, st.integers(0, 1000))
def test_nothing_but_a_part_or_416(asked, condition, size):
    headers = {"Range": asked} | ({"If-Range": condition} if condition is not None else {})
    try:
        part = conditional.part(headers, ETAG, MODIFIED, size)
    except InvalidRange:
        return
    assert part is None or (len(part) > 0 and 0 <= part.start < part.stop <= size)


@given(st.integers(0, 4_000_000_000))
def test_a_date_comes_back(seconds):
    header = {"If-Modified-Since": conditional.http_date(seconds)}
    assert conditional.not_modified(header, ETAG, seconds)
    assert not conditional.not_modified(header, ETAG, seconds + 1)
