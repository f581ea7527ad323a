"""Versions of a bucket's document: listed, compared, restored, out and in as JSON."""

import json
import re
import time
from hashlib import sha256
from subprocess import run
from sys import executable

import pytest
from support.console import HOSTILE, Browser


@pytest.fixture(scope="module")
def edited(console):
    """A bucket whose document has been changed by several calls."""
    owner = Browser(console.admin_port)
    owner.login()
    assert owner.submit("buckets", name="edited", acl="private").status == 303
    style = {"name": "small", "was": "", "do": "save"}
    assert owner.submit("b/edited/style", content="image/resize,w_40", **style).status == 303
    style["was"] = "image/resize,w_40"
    assert owner.submit("b/edited/style", content="image/resize,w_50", **style).status == 303
    assert owner.submit("b/edited/acl", acl="public-read").status == 303
    return owner


def listed(browser, bucket="edited"):
    """Number, who and what of each version, the newest first."""
    text = browser.get(f"b/{bucket}/versions").text
    return re.findall(
        r'class="number"><a[^>]*>(\d+)</a></td><td class="when">[^<]*</td><td>([^<]*)</td>\s*'
        r'<td class="name"><a[^>]*>([^<]*)</a>',
        text,
    )


def was(browser, bucket="edited"):
    return browser.get(f"b/{bucket}/versions").field("was")


def document(browser, bucket="edited"):
    return json.loads(browser.get(f"b/{bucket}/document").body)


def given(browser, data, **form):
    """A file in a form, as a browser sends it."""
    fields = {"csrf": browser.token(), **form}
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}' for k, v in fields.items()
    ]
    parts.append('--x\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n')
    body = "\r\n".join(parts).encode() + data + b"\r\n--x--\r\n"
    return browser.ask(
        "POST", "/console/b/edited/document", body, Content_Type="multipart/form-data; boundary=x"
    )


def test_every_change_is_listed(edited):
    assert listed(edited) == [
        ("4", "key1", "PutBucketAcl"),
        ("3", "key1", "PutStyle small"),
        ("2", "key1", "PutStyle small"),
        ("1", "key1", "PutBucket"),
    ]


def test_a_version_shows_what_it_has_changed(edited):
    text = edited.get("b/edited/version?number=3").text
    assert re.search(r"<del>- .*w_40.*</del>.*<ins>\+ .*w_50.*</ins>", text, re.DOTALL)
    assert edited.get("b/edited/version?number=99").status == 400
    assert edited.get("b/edited/version?number=x").status == 400


def test_it_is_restored_with_one_click_and_that_is_a_change(edited, console):
    count = len(listed(edited))
    form = {"number": "2", "was": was(edited)}
    assert edited.submit("b/edited/version-restore", **form).status == 303
    assert document(edited)["styles"]["small"]["content"] == "image/resize,w_40"
    assert "acl" not in document(edited)
    newest = listed(edited)
    assert len(newest) == count + 1
    assert newest[0][1:] == ("key1", "RestoreVersion 2")
    assert edited.submit("b/edited/version-restore", number="4", was=was(edited)).status == 303
    assert document(edited)["acl"] == "public-read"


def test_out_and_in_again(edited):
    before = document(edited)
    changed = {**before, "cache_control": "max-age=5"}
    answer = given(edited, json.dumps(changed).encode())
    assert answer.status == 200
    assert "<ins>+   &#34;cache_control&#34;: &#34;max-age=5&#34;" in answer.text
    assert document(edited) == before  # it has only been compared
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)[1]
    form = {"document": text.replace("&#34;", '"'), "was": answer.field("was"), "sure": "1"}
    assert edited.submit("b/edited/document", **form).status == 303
    assert document(edited) == changed
    assert listed(edited)[0][1:] == ("key1", "ImportDocument")


def test_it_is_the_shape_of_the_command(edited, console, tmp_path):
    file = tmp_path / "a.json"
    command = [executable, "-m", "vipsgate", "bucket", "--root", str(console.root)]
    run([*command, "export", "edited", str(file)], check=True)
    assert file.read_bytes() == edited.get("b/edited/document").body
    file.write_text(json.dumps({**document(edited), "cache_control": "max-age=77"}))
    run([*command, "import", "edited", str(file)], check=True)
    deadline = time.monotonic() + 10
    while document(edited).get("cache_control") != "max-age=77":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert listed(edited)[0][1:] == ("–", "vipsgate bucket import")


def test_the_second_of_two_is_told_and_chooses(edited):
    stale = was(edited)
    assert edited.submit("b/edited/acl", acl="public-read-write").status == 303
    answer = edited.submit("b/edited/version-restore", number="1", was=stale)
    assert answer.status == 409
    assert "public-read-write" in answer.text
    assert document(edited)["acl"] == "public-read-write"
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)[1]
    form = {"document": text.replace("&#34;", '"'), "was": answer.field("was"), "sure": "1"}
    assert edited.submit("b/edited/document", **form).status == 303
    assert "acl" not in document(edited)


@pytest.mark.parametrize(
    "data", [b"", b"no json", b'{"acl": "open"}', b"\xff\xfe", b'{"styles": {"a": "image/slim"}}']
)
def test_what_is_no_document_is_refused_in_words(edited, data):
    before = document(edited)
    answer = given(edited, data, sure="1", was=was(edited))
    assert answer.status == 400
    assert 'role="alert"' in answer.text
    assert document(edited) == before


def test_a_broken_document_is_mended_by_a_version(edited, console):
    number = listed(edited)[0][0]
    file = console.root / ".vipsgate" / "buckets" / "edited.json"
    file.write_text("broken by hand")
    deadline = time.monotonic() + 10
    while "is not JSON" not in edited.get("b/edited/versions").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert edited.submit("b/edited/acl", acl="private").status == 503
    form = {"number": number, "was": was(edited)}
    assert edited.submit("b/edited/version-restore", **form).status == 303
    assert json.loads(file.read_bytes()) == document(edited)
    number = listed(edited)[1][0]
    assert "broken by hand" in edited.get(f"b/edited/version?number={number}").text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_hostile_is_text(edited, text):
    answer = given(edited, json.dumps({"cache_control": text}).encode())
    assert answer.status in (200, 400)
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


@pytest.mark.parametrize("key_id", ["key2", "key3"])
@pytest.mark.parametrize("path", ["versions", "version?number=1", "document"])
def test_only_an_owner_sees_them(console, edited, key_id, path):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert browser.get(f"b/edited/{path}").status == 403
    assert "versions" not in browser.get("b/edited/objects").text
    assert browser.submit("b/edited/document", document="{}", sure="1").status == 403


def test_a_declared_bucket_stays(owner):
    page = owner.get("b/declared/versions").text
    assert "Restore" not in page
    assert 'type="file"' not in page
    known = sha256(owner.get("b/declared/document").body).hexdigest()
    answer = owner.submit("b/declared/document", document="{}", sure="1", was=known)
    assert answer.status == 403
    assert "declared in the configuration" in answer.text
    assert document(owner, "declared")["separators"] == ["!"]
