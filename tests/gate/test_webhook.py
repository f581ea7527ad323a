"""Templates of webhooks: whatever a key has in it stays a value, wherever it stands."""

import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vipsgate.gate import acs3, cachetags, webhook
from vipsgate.gate.webhook import Event
from vipsgate.settings import Settings, SettingsError, Webhook, load

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SITE = "https://img.example.com"


def hook(**values):
    given = {"name": "h", "url": "http://cache/", **values}
    return Webhook.model_validate(given).hook()


def sent(event, *more, **values):
    return hook(**values).request([event, *more], ())


@given(TEXTS)
def test_in_a_url(key):
    event = Event("write", "photos", key)
    request = sent(event, url="http://cache:81/x/${path}?k=${key}&u=${url}", site=SITE)
    url = urlsplit(request.url)
    assert request.url.isascii()
    assert request.url.isprintable()
    assert (url.scheme, url.netloc, url.fragment) == ("http", "cache:81", "")
    assert unquote(url.path) == f"/x/{key}"
    values = parse_qs(url.query, keep_blank_values=True, strict_parsing=True)
    assert values["k"] == [key]
    assert unquote(values["u"][0]) == f"{SITE}/{key}"


@given(TEXTS, TEXTS)
def test_in_json(key, other):
    body = '{"one": ${keys}, "said": "\\"${keys}\\" ${tags}", "urls": ${urls}, "${buckets}": 1}'
    body = body.replace("${buckets}", "x")
    events = [Event("write", "photos", key), Event("delete", "photos", other)]
    request = sent(*events, body=body, site=SITE)
    found = json.loads(request.body)
    keys = list(dict.fromkeys((key, other)))
    assert found["one"] == keys
    tags = " ".join(cachetags.of_key("photos", one) for one in keys)
    assert found["said"] == f'"{" ".join(keys)}" {tags}'
    assert [unquote(url) for url in found["urls"]] == [f"{SITE}/{one}" for one in keys]
    assert ("Content-Type", "application/json") in request.headers


@given(TEXTS)
def test_in_a_header_and_a_form(key):
    event = Event("write", "photos", key)
    headers = {**FORM, "X-Key": "<${key}>"}
    request = sent(event, headers=headers, body="a=${key}&b=${keys}&c=1")
    value = dict(request.headers)["X-Key"]
    assert value.isascii()
    assert value.isprintable()
    assert unquote(value) == f"<{key}>"
    assert parse_qs(request.body.decode(), strict_parsing=True) == {
        "a": [key],
        "b": [key],
        "c": ["1"],
    }


@pytest.mark.parametrize(
    ("body", "names", "together"),
    [
        ('{"tags": ${tags}}', {"tags"}, 30),
        ('{"tags": ${tags}, "key": ${key}}', {"tags", "key"}, 1),
    ],
)
def test_lists_alone_are_batched(body, names, together):
    assert (hook(body=body).names, hook(body=body).together) == (names, together)


OBJECT = Event("write", "photos", "a/1.jpg")
PREFIX, WHOLE = Event("purge", "photos", prefix="a/"), Event("purge", "photos")
STYLE, RIGHTS = Event("style", "photos", style="thumb"), Event("rights", "photos")
ALL = (OBJECT, PREFIX, WHOLE, STYLE, RIGHTS)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"body": '{"tags": ${tags}}'}, ALL),
        ({"body": '{"files": ${urls}}', "site": SITE}, (OBJECT,)),
        ({"url": "http://cache/${path}", "method": "PURGE"}, (OBJECT, PREFIX)),
        ({"url": "http://cache/${key}"}, (OBJECT,)),
        ({"url": "http://cache/${style}/${tag}".replace("/${tag}", "")}, (STYLE,)),
        ({"url": "http://cache/${bucket}"}, ALL),
        ({"body": "${tags}", "events": ["purge"]}, (PREFIX, WHOLE)),
        ({"body": "${tags}", "buckets": ["others"]}, ()),
        ({"body": "${tags}", "buckets": ["photos"]}, ALL),
    ],
)
def test_who_is_told(values, wanted):
    assert tuple(filter(hook(**values).wants, ALL)) == wanted


def test_the_narrowest_tag_that_the_answers_have():
    every = ("bucket", "folder", "source", "style")
    folder = f"f.photos.{cachetags.digest('a/')}"
    key, style, whole = cachetags.of_key("photos", "a/1.jpg"), "s.photos.thumb", "b.photos"
    rows = {
        every: (key, folder, whole, style, whole),
        (): (key, whole, whole, style, whole),
        ("bucket",): (whole,) * 5,
        ("bucket", "folder"): (folder, folder, whole, whole, whole),
    }
    for chosen, tags in rows.items():
        assert tuple(webhook.tag_of(event, chosen) for event in ALL) == tags


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"body": "${password}"}, "password"),
        ({}, "has no content"),
        ({"url": "http://${bucket}.cache/"}, "url"),
        ({"url": "http://${bucket}/"}, "url"),
        ({"url": "ftp://cache/${key}"}, "url"),
        ({"url": "http://a@cache/${key}"}, "url"),
        ({"url": "http://cache/${keys}"}, "list"),
        ({"body": "${urls}"}, "site"),
        ({"body": '{"a": ${tags}'}, "JSON"),
        ({"body": '{"a": "${key}}', "url": "http://cache/"}, "JSON"),
        ({"body": "${tags}", "headers": {"Content-Type": "text/xml"}}, "Content-Type"),
        ({"body": "${tags}", "headers": {"A b": "c"}}, "not a valid header"),
        ({"body": "${tags}", "headers": {"A": "c\r\nB: d"}}, "not a valid header"),
        ({"body": "${tags}", "acs_key_id": "a"}, "acs_key_secret"),
        ({"body": "${tags}", "events": []}, "events"),
        ({"body": "${tags}", "events": ["get"]}, "events"),
    ],
)
def test_what_cannot_be_filled_stops_the_start(values, named):
    with pytest.raises(ValidationError, match=named):
        hook(**values)


def test_no_secret_is_said(tmp_path):
    """Whatever is wrong: a token may stand in a header, in the URL, and in the wrong place."""
    secret, file = "tokenOfSomebody", tmp_path / "vipsgate.toml"
    rows = [
        f'url = "http://${{key}}/{secret}"',
        f'url = "http://c/"\nheaders = {{ "A b" = "{secret}" }}\nbody = "${{tags}}"',
        f'url = "http://c/"\nbody = "${{{secret.lower()}}}"\nmethod = "{secret}"',
        f'url = "http://c/"\nbody = "${{tags}}"\nacs_key_secret = "{secret}"',
    ]
    for row in rows:
        file.write_text(f'[[webhooks]]\nname = "h"\n{row}')
        with pytest.raises(SettingsError) as caught:
            load(file, {})
        assert secret not in str(caught.value)
        assert "webhooks.0" in str(caught.value)
    good = hook(url=f"http://cache/{secret}", body="${tags}")
    assert secret not in repr(
        Settings(webhooks=[{"name": "h", "url": good.url, "body": "${tags}"}])
    )


def test_two_of_one_name():
    one = {"name": "h", "url": "http://cache/${key}"}
    with pytest.raises(ValidationError, match="2 webhooks"):
        Settings(webhooks=[one, one])


def test_alibabas_example():
    """Of the guide, V3 request structure and signature: fixed parameters."""
    url = (
        "https://ecs.cn-shanghai.aliyuncs.com/?RegionId=cn-shanghai"
        "&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"
    )
    headers = [("x-acs-action", "RunInstances"), ("x-acs-version", "2014-05-26")]
    added = acs3.sign(
        *("POST", url, headers, b""),
        key_id="YourAccessKeyId",
        secret="YourAccessKeySecret",
        now=1698315752,
        nonce="3156853299f313e23d1673dc12e1703d",
    )
    assert added["Authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;"
        "x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )
