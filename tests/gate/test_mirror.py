"""Mirror rules: which one fits, where it leads, and what is sent there."""

import pytest

from vipsgate.buckets import MirrorRule
from vipsgate.gate import mirror

URL = "https://a.example/b/"


def rule(**values):
    return MirrorRule(**{"url": URL} | values)


RULES = [
    rule(prefix="img/", suffix=".jpg", number=1),
    rule(prefix="img/", number=2),
    rule(prefix="img/raw/", number=3),  # never: the one before fits
    rule(prefix="doc", number=4),
]
FITS = {
    "img/a.jpg": 1,
    "img/a.JPG": 2,
    "img/raw/a.png": 2,
    "img": None,
    "document.txt": 4,
    "Doc": None,
    "a.jpg": None,
}


@pytest.mark.parametrize("key", FITS)
def test_the_first_rule_that_fits(key):
    found = mirror.match(RULES, key)
    assert (found and found.number) == FITS[key]
    assert mirror.match([], key) is None
    assert mirror.match([*RULES, rule(number=9)], key).number == (FITS[key] or 9)


PLACES = [  # rule, key, URL behind https://a.example/b/; None for nowhere
    ({}, "a.jpg", "a.jpg"),
    ({}, "a b+c.jpg", "a%20b+c.jpg"),
    ({}, "a?b#c%d.jpg", "a%3Fb%23c%25d.jpg"),
    ({}, "西湖/a.jpg", "%E8%A5%BF%E6%B9%96/a.jpg"),
    ({}, "a%2Fb", "a%252Fb"),
    ({}, "%2e%2e/b", "%252e%252e/b"),
    ({}, "..%2f", "..%252f"),
    ({}, "a\\..\\b", "a%5C..%5Cb"),
    ({}, "a/../b", None),
    ({}, "../b", None),
    ({}, "a/./b", None),
    ({}, "a//b", None),
    ({}, "/a", None),
    ({}, "dir/", None),
    ({}, "@evil.example/", None),
    ({}, "http://evil.example", None),
    ({}, "a\r\nX: y", "a%0D%0AX:%20y"),
    ({"prefix": "img/"}, "img/a", "img/a"),
    ({"prefix": "img/", "replace_prefix": ""}, "img/a", "a"),
    ({"prefix": "img/", "replace_prefix": "x/y/"}, "img/a", "x/y/a"),
    ({"prefix": "", "replace_prefix": "x/"}, "a", "x/a"),
    # what a replaced prefix makes of a name that was harmless
    ({"prefix": "p", "replace_prefix": ""}, "p../secret", None),
    ({"prefix": "p", "replace_prefix": "."}, "p./secret", None),
    ({"prefix": "p", "replace_prefix": ""}, "p/evil.example", None),
    ({"prefix": "p", "replace_prefix": "../"}, "pa", None),
    ({"prefix": "a", "replace_prefix": ""}, "a", None),
]


@pytest.mark.parametrize(("values", "key", "expected"), PLACES, ids=str)
def test_where_an_object_is(values, key, expected):
    url = mirror.url_of(rule(**values), key, ())
    assert url == ("" if expected is None else URL + expected)


QUERIES = [  # parameters, what is sent along
    ([("v", "1"), ("t", "a b&c=d")], "v=1&t=a%20b%26c%3Dd"),
    ([("v", "西")], "v=%E8%A5%BF"),
    ([("x-oss-process", "image/info"), ("v", "1")], "v=1"),
    ([("x-oss-signature", "a"), ("X-Oss-Date", "b"), ("v", "1")], "v=1"),
    ([("Signature", "a"), ("OSSAccessKeyId", "b"), ("Expires", "1"), ("v", "1")], "v=1"),
    ([("security-token", "a"), ("response-content-type", "b"), ("callback", "c")], ""),
    ([("acl", "x"), ("v", "")], ""),
    ([("v", "x" * 3000)], ""),
    ([], ""),
]


@pytest.mark.parametrize(("pairs", "expected"), QUERIES, ids=lambda row: str(row)[:60])
def test_which_parameters_are_sent_along(pairs, expected):
    url = mirror.url_of(rule(pass_query=True), "a", pairs)
    assert url == f"{URL}a{'?' * bool(expected)}{expected}"
    assert mirror.url_of(rule(), "a", pairs) == f"{URL}a"


SENT = {"Accept": "image/avif", "Cookie": "a", "Authorization": "b", "X-Own": "c", "X-Bad": "西"}
HEADERS = [  # rule, what is sent
    ({}, {}),
    ({"pass_headers": ["X-Own", "Accept"]}, {"x-own": "c", "accept": "image/avif"}),
    ({"pass_headers": ["X-Own"], "remove_headers": ["x-own"]}, {}),
    ({"pass_headers": ["X-Own"], "set_headers": {"x-own": "d"}}, {"x-own": "d"}),
    ({"pass_headers": ["X-None", "X-Bad"]}, {}),
]


@pytest.mark.parametrize(("values", "expected"), HEADERS, ids=str)
def test_which_headers_are_sent(values, expected):
    assert mirror.headers(rule(**values), SENT) == expected


@pytest.mark.parametrize(
    "name", ["Cookie", "authorization", "Proxy-Authorization", "Host", "X-OSS-Date", "If-Range"]
)
@pytest.mark.parametrize("field", ["pass_headers", "set_headers", "remove_headers"])
def test_headers_that_no_rule_sends(field, name):
    with pytest.raises(ValueError, match="never sent to an origin"):
        rule(**{field: {name: "a"} if field == "set_headers" else [name]})


def test_a_request_of_another_server_like_this_one():
    assert mirror.asks_in_a_circle({"Via": "1.1 proxy, 1.1 vipsgate"})
    assert not mirror.asks_in_a_circle({"Via": "1.1 proxy"})
    assert not mirror.asks_in_a_circle({})
