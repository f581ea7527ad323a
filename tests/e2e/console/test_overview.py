"""The overview: the server's own numbers, for owners alone."""

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
