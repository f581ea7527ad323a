"""Rules of CORS: which one fits, what follows, and that nothing is said where none does."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import ValidationError
from support.examples import times

from vipsgate.buckets import Bucket, CorsRule
from vipsgate.errors import AccessForbidden, InvalidRequest
from vipsgate.gate import cors

PAGE = "https://app.example.com"
ALLOW, METHODS, NAMES = (
    f"Access-Control-Allow-{name}" for name in ("Origin", "Methods", "Headers")
)
EXPOSE, AGE = "Access-Control-Expose-Headers", "Access-Control-Max-Age"


def rule(*origins, methods=("GET",), headers=(), expose=(), age=None):
    return CorsRule(
        allowed_origins=origins,
        allowed_methods=methods,
        allowed_headers=headers,
        expose_headers=expose,
        max_age_seconds=age,
    )


ANYBODY, MINE = rule("*"), rule(PAGE, expose=("ETag", "x-oss-request-id"), age=60)
WRITERS = rule("https://*.example.com", methods=("PUT", "POST"), headers=("x-oss-*", "content-md5"))
CASES = [  # rules, origin, method, headers that are wanted, the number of the rule that fits
    ((ANYBODY,), PAGE, "GET", (), 0),
    ((ANYBODY,), "null", "GET", (), 0),
    ((ANYBODY,), PAGE, "HEAD", (), None),
    ((ANYBODY,), PAGE, "get", (), None),  # methods have a case (RFC 9110, 9.1)
    ((ANYBODY,), PAGE, "GET", ("x-a",), None),
    ((MINE,), PAGE, "GET", (), 0),
    ((MINE,), "HTTPS://App.Example.Com", "GET", (), 0),
    ((MINE,), f"{PAGE}:8443", "GET", (), None),
    ((MINE,), "http://app.example.com", "GET", (), None),
    ((MINE,), f"{PAGE}.evil.net", "GET", (), None),
    ((MINE,), "https://evil.net", "GET", (), None),
    ((MINE,), "null", "GET", (), None),
    ((rule("https://appXexample.com"),), PAGE, "GET", (), None),
    ((rule("https://app.example.com"),), "https://appXexample.com", "GET", (), None),
    ((rule("https://*.example.com"),), "https://a.b.example.com", "GET", (), 0),
    ((rule("https://*.example.com"),), "https://example.com", "GET", (), None),
    ((rule("https://*.example.com"),), "https://evil-example.com", "GET", (), None),
    ((rule("*.example.com"),), "http://a.example.com", "GET", (), 0),
    ((rule("http*://a.example"),), "https://a.example", "GET", (), 0),
    ((rule("http://localhost:*"),), "http://localhost:5173", "GET", (), 0),
    ((rule("https://aa*a.example"),), "https://aa.example", "GET", (), None),  # no overlap
    ((rule("null"),), "null", "GET", (), 0),
    ((rule("capacitor://localhost"),), "capacitor://localhost", "GET", (), 0),
    ((rule("http://a", "http://b"),), "http://b", "GET", (), 0),
    ((WRITERS,), PAGE, "PUT", ("x-oss-meta-a", "Content-MD5"), 0),
    ((WRITERS,), PAGE, "PUT", ("X-OSS-DATE",), 0),
    ((WRITERS,), PAGE, "PUT", ("x-oss-date", "authorization"), None),
    ((WRITERS,), PAGE, "DELETE", (), None),
    # the first that fits, and not the first that fits in part
    ((MINE, ANYBODY), PAGE, "GET", (), 0),
    ((ANYBODY, MINE), PAGE, "GET", (), 0),
    ((MINE, ANYBODY), "https://b.example", "GET", (), 1),
    ((MINE, WRITERS), PAGE, "POST", (), 1),
    ((MINE, rule("*", headers=("*",))), PAGE, "GET", ("x-a",), 1),
    ((), PAGE, "GET", (), None),
]


def asked(origin=PAGE, method="GET", headers=None):
    sent = CIMultiDict({"origin": origin, "access-control-request-method": method})
    if headers is not None:
        sent["access-control-request-headers"] = headers
    return sent


@pytest.mark.parametrize(("rules", "origin", "method", "wanted", "number"), CASES)
def test_the_first_rule_that_fits_counts(rules, origin, method, wanted, number):
    result = cors.find(rules, origin, method, wanted)
    assert result is (None if number is None else rules[number])
    bucket, sent = Bucket(cors=rules), asked(origin, method, ", ".join(wanted))
    if result is None:
        with pytest.raises(AccessForbidden, match="CORSResponse: "):
            cors.preflight(bucket, sent)
    else:
        assert cors.preflight(bucket, sent)[ALLOW] in (origin, "*")
        assert cors.headers(bucket, method, CIMultiDict(Origin=origin))[ALLOW] in (origin, "*")


def test_what_an_answer_says():
    bucket = Bucket(cors=(MINE, rule("*", "http://b", methods=("HEAD",))))
    assert cors.headers(bucket, "GET", CIMultiDict(Origin=PAGE)) == {
        "Vary": "Origin",
        ALLOW: PAGE,
        EXPOSE: "ETag, x-oss-request-id",
    }
    assert cors.headers(bucket, "HEAD", CIMultiDict(Origin=PAGE)) == {"Vary": "Origin", ALLOW: "*"}


@pytest.mark.parametrize("sent", [{}, {"Origin": "http://b"}, {"Origin": ""}, {"Referer": PAGE}])
def test_every_answer_of_a_bucket_with_rules_varies(sent):
    """Also one that a cache keeps before the first page of another origin comes."""
    assert cors.headers(Bucket(cors=(MINE,)), "GET", CIMultiDict(sent)) == {"Vary": "Origin"}
    assert cors.headers(Bucket(), "GET", CIMultiDict(sent)) == {}


def test_what_a_preflight_is_told():
    bucket = Bucket(cors=(rule(PAGE, methods=("GET", "PUT"), headers=("*",), age=0),))
    assert cors.preflight(bucket, asked(method="PUT", headers="x-a,X-B ,")) == {
        ALLOW: PAGE,
        METHODS: "GET, PUT",
        NAMES: "x-a, X-B",
        AGE: "0",
    }
    vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert cors.headers(bucket, "OPTIONS", asked()) == {"Vary": vary}
    assert cors.headers(Bucket(), "OPTIONS", asked()) == {}
    assert {NAMES, AGE}.isdisjoint(cors.preflight(Bucket(cors=(ANYBODY,)), asked()))


@pytest.mark.parametrize("name", ["Origin", "Access-Control-Request-Method"])
@pytest.mark.parametrize("bucket", [Bucket(), Bucket(cors=(ANYBODY,))])
def test_a_preflight_that_does_not_say_enough(bucket, name):
    sent = asked()
    del sent[name]
    with pytest.raises(InvalidRequest, match=name):
        cors.preflight(bucket, sent)


def test_a_preflight_without_rules():
    with pytest.raises(AccessForbidden, match="not enabled for this bucket"):
        cors.preflight(Bucket(), asked())


NO_ORIGINS = [
    *("", " ", "a", "https:", "//a", "https://a/", "https://a/x", "https://a?x", "https://u@a"),
    *("https://a, https://b", "https://a https://b", "https://a\r\nX: y", "https://西.example"),
    *("https://a\udcff", "https://a#x", "https://a\\b", "NULL ,", "://a", "https://" + "a" * 1024),
]


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_what_is_no_origin_is_never_repeated(origin):
    for bucket in (Bucket(cors=(ANYBODY,)), Bucket(cors=(rule("http*"),))):
        assert cors.headers(bucket, "GET", CIMultiDict(Origin=origin)) == {"Vary": "Origin"}
        with pytest.raises(AccessForbidden):
            cors.preflight(bucket, asked(origin))


def test_two_origins_are_none():
    sent = CIMultiDict([("Origin", PAGE), ("Origin", "https://b")])
    assert cors.headers(Bucket(cors=(ANYBODY,)), "GET", sent) == {"Vary": "Origin"}
    sent.add("Access-Control-Request-Method", "GET")
    with pytest.raises(AccessForbidden):
        cors.preflight(Bucket(cors=(ANYBODY,)), sent)


@pytest.mark.parametrize("headers", ["a b", "a:b", "a\r\nb", "西", "a" + ",b" * 100])
def test_headers_that_cannot_be_read(headers):
    bucket = Bucket(cors=(rule("*", headers=("*",)),))
    with pytest.raises(AccessForbidden):
        cors.preflight(bucket, asked(headers=headers))


def test_what_else_a_bucket_says():
    bucket = Bucket(timing_allow_origin=(PAGE, "null"), cross_origin_resource_policy="same-site")
    assert cors.headers(bucket, "GET", CIMultiDict()) == {
        "Timing-Allow-Origin": f"{PAGE}, null",
        "Cross-Origin-Resource-Policy": "same-site",
    }
    assert not cors.is_silent(bucket)
    assert not cors.is_silent(Bucket(cors=(ANYBODY,)))
    assert cors.is_silent(Bucket())


WRONG = [
    {"allowed_origins": (), "allowed_methods": ("GET",)},
    {"allowed_origins": ("*",), "allowed_methods": ()},
    {"allowed_origins": ("*",), "allowed_methods": ("PATCH",)},
    *(
        {"allowed_origins": (text,), "allowed_methods": ("GET",)}
        for text in ("", "http://*.a.*", "**", "a b", "a,b", "a\nb", "西")
    ),
    {"allowed_origins": ("*",), "allowed_methods": ("GET",), "allowed_headers": ("x-*-*",)},
    {"allowed_origins": ("*",), "allowed_methods": ("GET",), "expose_headers": ("*",)},
    {"allowed_origins": ("*",), "allowed_methods": ("GET",), "expose_headers": ("a: b",)},
    {"allowed_origins": ("*",), "allowed_methods": ("GET",), "max_age_seconds": -1},
    {"allowed_origins": ("*",), "allowed_methods": ("GET",), "max_age_seconds": 10**9},
]


@pytest.mark.parametrize("values", WRONG)
def test_a_rule_that_cannot_be(values):
    with pytest.raises(ValidationError):
        CorsRule(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"cors": (ANYBODY,) * 21},
        {"timing_allow_origin": ("a, b",)},
        {"timing_allow_origin": ("https://a/\r\n",)},
        {"cross_origin_resource_policy": "none"},
    ],
)
def test_a_bucket_that_cannot_be(values):
    with pytest.raises(ValidationError):
        Bucket(**values)


words = st.text(alphabet="ab.:/*-", max_size=6)
patterns = st.builds("{}{}{}".format, words, st.sampled_from(["", "*"]), words).filter(
    lambda text: text and text.count("*") < 2
)
origins = st.builds("http://{}".format, st.text(alphabet="ab.:-", min_size=1, max_size=6))
rules = st.lists(
    st.builds(
        lambda origins, methods, headers: rule(*origins, methods=methods, headers=headers),
        st.lists(
            st.one_of(
                patterns, patterns.map("http://{}".format).filter(lambda text: text.count("*") < 2)
            ),
            min_size=1,
            max_size=2,
        ),
        st.lists(st.sampled_from(["GET", "PUT"]), min_size=1, max_size=2),
        st.lists(patterns, max_size=2),
    ),
    max_size=4,
)


def _covers(pattern, text):
    """What one ``*`` means, said without regular expressions."""
    before, star, behind = pattern.lower().partition("*")
    text = text.lower()
    if not star:
        return text == before
    long_enough = len(text) >= len(before) + len(behind)
    return long_enough and text.startswith(before) and text.endswith(behind)


@settings(max_examples=times(300))
@given(
    rules=rules,
    origin=origins,
    method=st.sampled_from(["GET", "PUT"]),
    wanted=st.lists(st.text(alphabet="ab.-", min_size=1, max_size=4), max_size=2),
)
def test_as_the_guide_says_it(rules, origin, method, wanted):
    fits = [
        one
        for one in rules
        if method in one.allowed_methods
        and any(_covers(pattern, origin) for pattern in one.allowed_origins)
        and all(any(_covers(pattern, name) for pattern in one.allowed_headers) for name in wanted)
    ]
    assert cors.find(rules, origin, method, wanted) is (fits[0] if fits else None)


@settings(max_examples=times(200))
@given(origin=st.text(max_size=30) | origins, headers=st.text(max_size=20))
def test_whatever_is_sent_ends_no_line(origin, headers):
    bucket = Bucket(cors=(rule("http*", headers=("*",)), ANYBODY))
    said = cors.headers(bucket, "GET", CIMultiDict(Origin=origin))
    with contextlib.suppress(AccessForbidden):
        said |= cors.preflight(bucket, asked(origin, headers=headers))
    for name, value in said.items():
        assert f"{name}{value}".isascii()
        assert f"{name}{value}".isprintable()
