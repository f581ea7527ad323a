"""``vipsgate diff``: which two answers differ, and in what."""

import pytest

from vipsgate.cli import diff, differences
from vipsgate.cli.differences import Answer, Tolerance, compare
from vipsgate.errors import ImageDamage
from vipsgate.image.difference import Distance


def answer(body=b"", kind="text/plain", status=200, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": kind, **named}, body)


def of(one, other, distance=(0, 0.0, 0.0), **options):
    result = compare(
        one,
        other,
        measure=lambda a, b: Distance(*distance),
        describe=lambda data: data[:3].decode(),
        **options,
    )
    return [(item.what, item.ours, item.theirs) for item in result.differences]


def xml(text):
    return answer(f"<A>{text}</A>".encode(), "application/xml")


def json(text):
    return answer(text.encode(), "application/json")


SAME = {
    "nothing": (answer(), answer()),
    "dates and ids": (
        answer(date="a", server="a", last_modified="a", x_oss_request_id="A", etag="a"),
        answer(date="b", x_oss_request_id="B", etag="b"),
    ),
    "request and host": (
        xml("<RequestId>1</RequestId><HostId>a</HostId><B>1</B>"),
        xml("<B>1</B><RequestId>2</RequestId>"),
    ),
    "blanks and a namespace": (
        answer(b"<?xml version='1.0'?><A xmlns='urn:x'>\n <B>1</B>\n</A>", "application/xml"),
        xml("<B>1</B>"),
    ),
    "the order of other names": (xml("<B>1</B><C>2</C>"), xml("<C>2</C><B>1</B>")),
    "JSON, written otherwise": (json('{"a": [1, 2]}'), json('{ "a":[1,2] }')),
    "pictures of other bytes": (
        answer(b"jpg1", "image/jpeg", content_md5="a", content_length="4"),
        answer(b"jpg22", "image/jpeg", content_md5="b", content_length="5"),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_the_same(case):
    assert of(*SAME[case]) == []


DIFFER = {
    "status": (answer(), answer(status=404), [("status", "200", "404")]),
    "a header": (
        answer(cache_control="a"),
        answer(cache_control="b"),
        [("cache-control", "a", "b")],
    ),
    "a header of one": (answer(x_oss_ec="1"), answer(), [("x-oss-ec", "1", "(none)")]),
    "the digest of what is the same": (
        answer(content_md5="a"),
        answer(content_md5="b"),
        [("content-md5", "a", "b")],
    ),
    "bytes": (answer(b"ab"), answer(b"cd"), [("body", "2 bytes", "2 other bytes")]),
    "an element": (xml("<B>1</B>"), xml("<B>2</B>"), [("/A/B", "1", "2")]),
    "an element of one": (xml("<B/>"), xml(""), [("/A/B", "", "(none)")]),
    "one of several": (
        xml("<B><C>1</C></B><B><C>2</C></B>"),
        xml("<B><C>1</C></B><B><C>3</C></B>"),
        [("/A/B[2]/C", "2", "3")],
    ),
    "the order of one name": (
        xml("<B>1</B><B>2</B>"),
        xml("<B>2</B><B>1</B>"),
        [("/A/B[1]", "1", "2"), ("/A/B[2]", "2", "1")],
    ),
    "one more": (
        xml("<B>1</B>"),
        xml("<B>1</B><B>2</B>"),
        [("/A/B", "1", "(none)"), ("/A/B[1]", "(none)", "1"), ("/A/B[2]", "(none)", "2")],
    ),
    "JSON": (json('{"a": [1, "2"]}'), json('{"a": [1, 2]}'), [("/a[2]", '"2"', "2")]),
    "XML with entities is bytes": (
        answer(b"<!DOCTYPE A [<!ENTITY b 'c'>]><A>&b;</A>", "application/xml"),
        xml("c"),
        [("body", "40 bytes", "8 other bytes")],
    ),
    "a picture and an error": (
        answer(b"jpg1", "image/jpeg"),
        answer(b"<A/>", "application/xml", 403),
        [
            ("status", "200", "403"),
            ("content-type", "image/jpeg", "application/xml"),
            ("body", "4 bytes", "4 other bytes"),
        ],
    ),
    "the size of a picture": (
        answer(b"jpg1", "image/jpeg"),
        answer(b"png1", "image/jpeg"),
        [("picture", "jpg", "png")],
    ),
}


@pytest.mark.parametrize("case", DIFFER)
def test_what_differs(case):
    one, other, expected = DIFFER[case]
    assert of(one, other) == expected


@pytest.mark.parametrize(
    ("distance", "far"),
    [((4, 2.0, 99.0), False), ((5, 0.0, 0.0), True), ((0, 2.01, 2.5), True)],
)
def test_pictures_may_be_a_little_apart(distance, far):
    pictures = answer(b"jpg1", "image/jpeg"), answer(b"jpg2", "image/jpeg")
    assert bool(of(*pictures, distance=distance)) is far
    assert bool(of(*pictures, distance=distance, tolerance=Tolerance(64, 100.0))) is False


def test_what_is_ignored_is_not_compared():
    one = answer(b"<A><B>1</B><C>1</C></A>", "application/xml", location="a")
    other = answer(b"<A><B>2</B><C>2</C></A>", "application/xml", location="a", expires="x")
    assert of(one, other, ignored=frozenset(("B", "expires"))) == [("/A/C", "1", "2")]


def test_a_picture_that_cannot_be_decoded_is_a_difference():
    def describe(data):
        raise ImageDamage("broken")

    pictures = answer(b"jpg1", "image/jpeg"), answer(b"jpg2", "image/jpeg")
    result = compare(*pictures, measure=None, describe=describe)
    (item,) = result.differences
    assert (item.what, "broken" in item.ours) == ("picture", True)


def test_every_header_that_tells_of_bytes_is_one_that_is_compared():
    assert {*differences.HEADERS} >= differences.OF_BYTES


@pytest.mark.parametrize("show", [diff.print_table, diff.print_json])
def test_no_answer_reaches_the_terminal_with_what_would_move_its_cursor(capsys, show):
    evil = "\x1b\x9b\r\x07[red]"
    show({evil: compare(answer(cache_control=evil), answer(), measure=None, describe=None)})
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\r", "\x07"} & {*printed}
    assert "[red]" in printed
