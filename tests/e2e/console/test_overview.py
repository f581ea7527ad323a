"""The overview: the server's own numbers, for owners alone."""

import re
import time

import pytest
from support.console import Browser


def test_it_has_charts_and_denials(owner, console):
    console.ask("/examplebucket/example.jpg")
    text = owner.get("overview").text
    assert text.count("<svg") == 5
    assert text.count("<path") == 6
    assert "<td>bucket-acl</td>" in text


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_it_is_for_owners(console, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert browser.get("overview").status == 403
    assert "/console/overview" not in browser.get("buckets").text


def test_a_broken_document_is_told(owner, console):
    file = console.root / ".vipsgate" / "buckets" / "broken.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"acl": "<script>alert(1)</script>"}')
    text = ""
    while "broken" not in text:  # it is looked at every two seconds
        text = owner.get("overview").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    file.unlink()


def test_it_says_what_check_says(owner, console):
    assert owner.submit("overview", do="begin").status == 303
    assert owner.submit("overview", do="begin").status == 303  # one is under way
    deadline, text = time.monotonic() + 100, owner.get("overview").text
    while "data-running" in text:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        assert console.ask("/declared/example.jpg").status == 200  # the loop is free
        text = owner.get("overview").text
    rows = re.findall(r'<span class="tag( \w+)?">[^<]*</span></td><th[^>]*>([^<]*)', text)
    found = {what: kind.strip() for kind, what in rows}
    assert found["libvips"] == found["jpg in and out"] == "good"
    assert found["store"] == found["bucket documents"] == "good"  # with the server's own settings
    assert f"file://{console.root}: 2 buckets" in text


def test_a_check_is_cancelled_and_leaves_no_process(owner, console):
    assert owner.submit("overview", do="begin").status == 303
    assert owner.submit("overview", do="cancel").status == 303
    assert "data-running" not in owner.get("overview").text
    assert "cancelled" in owner.get("overview").text


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_only_an_owner_checks(console, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert browser.submit("overview", do="begin").status == 403
