"""Policies of forms: what is read, what holds, what is refused in which words."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import AccessDenied, EntityTooLarge, EntityTooSmall, InvalidPolicyDocument
from vipsgate.gate import policy

END = "2026-01-01T00:00:00.000Z"
NOW = 1_767_225_600.0  # the same moment


def encode(document):
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def made(*conditions, expiration=END):
    return policy.parse(encode({"expiration": expiration, "conditions": list(conditions)}))


def holds(condition, **fields):
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    try:
        made(condition).check(names, NOW)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("condition", "fields", "result"),
    [
        ({"bucket": "photos"}, {"bucket": "photos"}, True),
        ({"bucket": "photos"}, {"bucket": "other"}, False),
        ({"Bucket": "photos"}, {"bucket": "photos"}, True),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, True),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, False),
        (["eq", "$key", "a"], {"key": "a"}, True),
        (["eq", "$key", "a"], {"key": "A"}, False),
        (["eq", "$key", "a"], {}, False),
        (["eq", "$Content-Type", "a"], {"content_type": "a"}, True),
        (["eq", "$cache-control", ""], {}, True),
        (["starts-with", "$key", "user/"], {"key": "user/a"}, True),
        (["starts-with", "$key", "user/"], {"key": "user"}, False),
        (["starts-with", "$key", "user/"], {}, False),
        (["starts-with", "$key", ""], {"key": "anything"}, True),
        (["in", "$content-type", ["a/b", "c/d"]], {"content_type": "c/d"}, True),
        (["in", "$content-type", ["a/b", "c/d"]], {"content_type": "c"}, False),
        (["in", "$content-type", ["a/b"]], {}, False),
        (["in", "$content-type", []], {"content_type": "a/b"}, False),
        (["not-in", "$cache-control", ["no-cache"]], {"cache_control": "no-cache"}, False),
        (["not-in", "$cache-control", ["no-cache"]], {"cache_control": "x"}, True),
        (["not-in", "$cache-control", ["no-cache"]], {}, True),
        (["content-length-range", 0, 1], {}, True),
    ],
    ids=str,
)
def test_a_condition(condition, fields, result):
    assert holds(condition, **fields) is result


def test_the_condition_is_named():
    with pytest.raises(AccessDenied) as refused:
        made(["in", "$content-type", ["a/b"]]).check({}, NOW)
    assert refused.value.message == (
        'Invalid according to Policy: Policy Condition failed: ["in", "$content-type", ["a/b"]]'
    )


words = st.text(max_size=4)


@given(st.sampled_from(["eq", "starts-with", "in", "not-in"]), words, words, st.lists(words))
def test_every_operator_is_what_its_name_says(operator, value, operand, operands):
    """Against Python's own words for the same."""
    listed = operator in ("in", "not-in")
    expected = {
        "eq": value == operand,
        "starts-with": value[: len(operand)] == operand,
        "in": operands.count(value) > 0,
        "not-in": operands.count(value) == 0,
    }[operator]
    assert holds([operator, "$key", operands if listed else operand], key=value) is expected


@given(
    st.lists(st.tuples(st.sampled_from("abc"), words), max_size=4),
    st.dictionaries(st.sampled_from("abc"), words),
)
def test_a_policy_holds_where_each_condition_does(pairs, fields):
    conditions = [["eq", f"${name}", value] for name, value in pairs]
    expected = all(fields.get(name, "") == value for name, value in pairs)
    try:
        made(*conditions).check(fields, NOW)
    except AccessDenied:
        assert not expected
    else:
        assert expected


@given(
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 10)
)
def test_of_several_ranges_all_hold(a, b, c, d, size):
    ranges = [["content-length-range", *sorted(pair)] for pair in ((a, b), (c, d))]
    rules = made(*ranges)
    try:
        rules.check_largest(size)
        rules.check_smallest(size)
    except (EntityTooLarge, EntityTooSmall):
        assert not all(low <= size <= high for _, low, high in ranges)
    else:
        assert all(low <= size <= high for _, low, high in ranges)


@pytest.mark.parametrize("text", [END, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z"])
def test_it_ends(text):
    rules = made(expiration=text)
    rules.check({}, NOW)
    with pytest.raises(AccessDenied, match=r"Invalid according to Policy: Policy expired\."):
        rules.check({}, NOW + 1)


@pytest.mark.parametrize(
    ("document", "ec"),
    [
        ("", ""),
        ("x", ""),
        ("[]", ""),
        ("1", ""),
        ("null", ""),
        ({}, ""),
        ({"expiration": END}, ""),
        ({"conditions": []}, ""),
        ({"expiration": END, "conditions": [], "more": 1}, ""),
        ({"expiration": END, "conditions": {}}, ""),
        ({"expiration": 1, "conditions": []}, ""),
        ({"expiration": "tomorrow", "conditions": []}, ""),
        ({"expiration": "2026-13-01T00:00:00Z", "conditions": []}, ""),
        ({"expiration": "2026-01-01T00:00:00", "conditions": []}, ""),
        ({"expiration": "\u0662026-01-01T00:00:00Z", "conditions": []}, ""),
        (f'{{"expiration": "{END}", "conditions": [], "conditions": []}}', ""),
        (f'{{"expiration": "{END}", "conditions": [["content-length-range", 0, Infinity]]}}', ""),
        ("[" * 99_999, ""),
        ({"expiration": END, "conditions": [123]}, "0006-00000222"),
        ({"expiration": END, "conditions": ["eq"]}, "0006-00000222"),
        ({"expiration": END, "conditions": [[]]}, ""),
        ({"expiration": END, "conditions": [["eq", "$key"]]}, ""),
        ({"expiration": END, "conditions": [["like", "$key", "a"]]}, ""),
        ({"expiration": END, "conditions": [[["eq"], "$key", "a"]]}, ""),
        ({"expiration": END, "conditions": [[{}, "$key", "a"]]}, ""),
        ({"expiration": END, "conditions": [["eq", "key", "a"]]}, ""),
        ({"expiration": END, "conditions": [["eq", "$", "a"]]}, ""),
        ({"expiration": END, "conditions": [["eq", 1, "a"]]}, ""),
        ({"expiration": END, "conditions": [["eq", "$key", 1]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["eq", "$key", ["a"]]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["not-in", "$key", "a"]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["in", "$key", ["a", 1]]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [{"key": None}]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", 1]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", 2, 1]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", -1, 1]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", 0, True]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", 0, 1.5]]}, "0006-00000224"),
        ({"expiration": END, "conditions": [["content-length-range", "0", "1"]]}, "0006-00000224"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_policy_that_cannot_be_read(document, ec):
    with pytest.raises(InvalidPolicyDocument, match=r"Invalid Policy: .*") as refused:
        policy.parse(encode(document))
    assert refused.value.ec == ec


@pytest.mark.parametrize("text", ["e", "\u00fc", "e30", "e30=e30=", "/w==", "####"])
def test_what_is_no_base64_of_text(text):
    with pytest.raises(InvalidPolicyDocument):
        policy.parse(text)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_nothing_else_comes_of_any_text(text):
    with pytest.raises(InvalidPolicyDocument):
        policy.parse(text)


def test_base64_may_be_folded():
    text = encode({"expiration": END, "conditions": []})
    assert policy.parse(f"{text[:10]}\r\n{text[10:]}\n") == made()


def test_half_a_character_may_be_asked_for():
    text = f'{{"expiration": "{END}", "conditions": [["eq", "$key", "\\ud800"]]}}'
    with pytest.raises(AccessDenied):
        policy.parse(encode(text)).check({"key": "a"}, NOW)
