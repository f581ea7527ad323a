"""Styles by the console: saved by the API, in its words; two editors; without scripts."""

import json

import pytest
from support.console import HOSTILE, Browser

LIST = "b/examplebucket/styles"


def save(browser, name, content, was="", **more):
    form = {"name": name, "content": content, "was": was, "do": "save", **more}
    return browser.submit("b/examplebucket/style", **form)


def test_the_guides_example_is_saved_and_in_force(owner, console):
    assert save(owner, "guide", "image/resize,w_100").status == 303
    assert "image/resize,w_100" in owner.get(LIST).text
    picture = owner.get("b/examplebucket/picture?key=example.jpg&process=style/guide")
    assert picture.headers["Content-Type"] == "image/jpeg"
    asked = owner.submit("b/examplebucket/style-delete", name="guide")
    assert asked.status == 200
    assert owner.submit("b/examplebucket/style-delete", name="guide", sure="1").status == 303
    assert "guide" not in owner.get(LIST).text


@pytest.mark.parametrize(
    ("name", "content"),
    [("bad", "image/nonsense"), ("bad", ""), ("a b", "image/resize,w_9"), ("", "image/resize,w_9")],
)
def test_what_the_api_refuses_is_refused_in_its_words(owner, name, content):
    answer = save(owner, name, content)
    assert answer.status == 400
    assert 'role="alert"' in answer.text


def test_the_second_of_two_editors_is_told_and_chooses(owner):
    assert save(owner, "two", "image/resize,w_1").status == 303
    assert save(owner, "two", "image/resize,w_2", was="image/resize,w_1").status == 303
    answer = save(owner, "two", "image/resize,w_3", was="image/resize,w_1")
    assert answer.status == 409
    assert "image/resize,w_2" in answer.text
    assert "image/resize,w_3</textarea>" in answer.text
    assert save(owner, "two", "image/resize,w_3", was=answer.field("was")).status == 303
    owner.submit("b/examplebucket/style-delete", name="two", sure="1")


def test_basic_editing_without_a_script(owner):
    form = {"name": "x", "content": "image/crop,w_9", "do": "basic", "resize.w": "100"}
    answer = owner.submit("b/examplebucket/style", **form, was="")
    assert "image/crop,w_9/resize,w_100</textarea>" in answer.text
    assert "crop,w_9" in answer.text.partition('id="rest"')[2][:300]
    form |= {"content": "image/resize,w_0x", "do": "check"}
    answer = owner.submit("b/examplebucket/style", **form, was="")
    assert "<mark>w_0x</mark>" in answer.text


def test_a_script_asks_the_same(owner):
    form = {"content": "image/resize,w_100", "do": "basic", "resize.w": "50", "format.value": "png"}
    told = json.loads(owner.submit("check", **form).body)
    assert told["content"] == "image/resize,w_50/format,png"
    told = json.loads(owner.submit("check", content="image/resize,w_x", do="check").body)
    assert told["problem"]["message"].startswith("The value: x of parameter: w")
    assert json.loads(owner.get("actions").body)["rotate"] == {"": "an integer from 0 to 360"}


def test_there_are_fifty_at_most(owner, console):
    assert owner.submit("buckets", name="fifty", acl="private").status == 303
    token = owner.token()
    for number in range(50):
        form = {"name": f"s{number}", "content": "image/resize,w_9", "was": "", "do": "save"}
        assert owner.post("b/fifty/style", {**form, "csrf": token}).status == 303
    form["name"] = "s50"
    answer = owner.post("b/fifty/style", {**form, "csrf": token})
    assert answer.status == 403
    assert "exceeded 50" in answer.text


@pytest.mark.parametrize("text", [*HOSTILE, "</textarea><script>alert(1)</script>"])
def test_a_hostile_text_is_text(owner, text):
    for form in (
        {"name": text, "content": "image/resize,w_1", "do": "save", "was": text},
        {"name": "x", "content": text, "do": "check", "was": text, "sample": text},
        {"name": "x", "content": "", "do": "basic", "was": "", "watermark.text": text},
        {"name": "x", "content": "", "do": "basic", "was": "", "resize.w": text},
    ):
        answer = owner.submit("b/examplebucket/style", **form)
        assert answer.status in (200, 400, 409)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text


def test_styles_of_a_declared_bucket_are_shown_and_stay(owner):
    text = owner.get("b/declared/style?name=small").text
    assert "image/resize,w_40</textarea>" in text
    assert 'value="save"' not in text
    form = {"name": "small", "content": "image/resize,w_41", "do": "save"}
    assert owner.submit("b/declared/style", **form, was="image/resize,w_40").status == 403


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_only_an_owner_saves(console, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert 'value="save"' not in browser.get("b/examplebucket/style").text
    assert save(browser, "mine", "image/resize,w_9").status == 403
    assert browser.submit("b/examplebucket/style-delete", name="x", sure="1").status == 403
