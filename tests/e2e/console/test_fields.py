"""All other settings of a bucket, by their fields: each can be set, and nothing else changes."""

import json
from html import unescape

import pytest
from support.console import Browser

from vipsgate.buckets import Bucket
from vipsgate.console.fields import ELSEWHERE, fields

# what is filled in -> what the document has; a field each
GOOD = {
    "domains": ('["img.example.com"]', ["img.example.com"]),
    "cache_control": ("max-age=60", "max-age=60"),
    "stale_while_revalidate": ("30", 30),
    "stale_if_error": ("86400", 86400),
    "cache_tags": (
        '{"headers": ["xkey"], "of": ["bucket"]}',
        {"headers": ["xkey"], "of": ["bucket"]},
    ),
    "cdn_signing": (
        '{"type": "A", "key": "abcdef1"}',
        {"type": "A", "key": "abcdef1"},
    ),
    "legacy_at_api": ("1", True),
    "strict": ("1", True),
    "origin": ("synthetic", "synthetic"),
    "delay_ms": ("1.5", 1.5),
    "error_rate": ("0.5", 0.5),
    "lifecycle": ('[{"id": "a", "prefix": "up/", "abort_days": 3}]', None),
    "cors": ('[{"allowed_origins": ["*"], "allowed_methods": ["GET"]}]', None),
    "cors_response_vary": ("1", True),
    "timing_allow_origin": ('["*"]', ["*"]),
    "cross_origin_resource_policy": ("same-site", "same-site"),
    "mirror": ('[{"url": "https://old.example.com/"}]', None),
    "keep_metadata": ('["copyright"]', ["copyright"]),
}
WITH = {"delay_ms": {"origin": "synthetic"}, "error_rate": {"origin": "synthetic"}}
BAD = {
    "domains": ['["bad host"]', "img.example.com", "[", "[" * 5000],
    "cache_control": ["max-age=1\r\nX: y"],
    "stale_if_error": ["-1", "", "one", '"1"x'],
    "cache_tags": ['{"headers": ["Odd"]}', '{"odd": 1}', "[]"],
    "cdn_signing": ['{"type": "A"}'],
    "error_rate": ["1.5", "null"],
    "cors": ['[{"allowed_origins": []}]', "{}"],
    "cross_origin_resource_policy": ["odd"],
    "mirror": ['[{"url": "ftp://x/"}]', "7"],
    "keep_metadata": ['["gps"]'],
}


@pytest.fixture(scope="module")
def owner(console):
    browser = Browser(console.admin_port)
    browser.login()
    assert browser.submit("buckets", name="fielded", acl="public-read").status == 303
    return browser


def present(owner):
    return json.loads(owner.get("b/fielded/document").text)


def filled(owner, **values):
    """What the form has, and these values in place of its own."""
    document = Bucket.model_validate_json(owner.get("b/fielded/document").body)
    form = {field.name: field.written(document) for field in fields()}
    was = owner.get("b/fielded/settings").field("was")
    return {"was": was, **{name: text for name, text in form.items() if text}, **values}


def test_each_setting_of_a_bucket_has_its_place():
    names = [field.name for field in fields()]
    assert {*names, *ELSEWHERE} == set(Bucket.model_fields)
    assert set(names) == GOOD.keys()
    assert not ELSEWHERE & set(names)
    for field in fields():
        assert "".join(field.meaning), field.name


@pytest.mark.parametrize("name", GOOD)
def test_it_can_be_set_and_taken_back(owner, name):
    text, value = GOOD[name]
    before, more = present(owner), WITH.get(name, {})
    form = filled(owner, **more, **{name: text})
    assert owner.submit("b/fielded/settings", **form).status == 303
    after = present(owner)
    changed = {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)}
    assert changed == {name, *more}
    assert value is None or after[name] == value
    page = owner.get("b/fielded/settings?saved=1").text
    assert 'role="status"' in page
    plain = {field.name: field.written(Bucket()) for field in fields()}
    form = filled(owner, **{key: plain[key] for key in (name, *more)})
    assert owner.submit("b/fielded/settings", **form).status == 303
    assert present(owner) == before


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in BAD for text in BAD[name]])
def test_what_it_cannot_be_is_refused_by_name_and_what_was_typed_stays(owner, name, text):
    before = present(owner)
    answer = owner.submit("b/fielded/settings", **filled(owner, **{name: text}))
    assert answer.status == 400
    alert = unescape(answer.text.partition('role="alert"')[2].partition("</p>")[0])
    assert name in alert
    assert unescape(answer.text).count(text.partition("\r")[0][:40] or name)
    assert present(owner) == before


def test_who_saves_second_is_told_and_sees_both(owner):
    mine, theirs = filled(owner, cache_control="max-age=1"), filled(owner, strict="1")
    assert owner.submit("b/fielded/settings", **theirs).status == 303
    answer = owner.submit("b/fielded/settings", **mine)
    assert answer.status == 409
    assert "max-age=1" in answer.text
    assert present(owner).get("cache_control", "") == ""
    again = {**mine, "was": answer.field("was")}
    assert owner.submit("b/fielded/settings", **again).status == 303
    assert present(owner)["cache_control"] == "max-age=1"


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_only_owners_see_them(console, owner, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert browser.get("b/fielded/settings").status == 403
    assert browser.submit("b/fielded/settings", **filled(owner)).status == 403
    assert "/settings" not in browser.get("b/fielded/objects").text


def test_those_of_a_declared_bucket_are_seen_and_not_changed(owner):
    page = owner.get("b/declared/settings")
    assert page.status == 200
    assert page.text.count(" disabled") == len(fields())
    assert owner.submit("b/declared/settings", **filled(owner)).status == 403
