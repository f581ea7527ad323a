"""Buckets and objects by the console: with forms alone, in every role, under hostile names."""

import io
import json
import os
from urllib.parse import urlencode

import pytest
from PIL import Image
from support.console import HOSTILE, Browser, put

AJAX = {"X_Requested_With": "fetch"}


def multipart(fields, files):
    edge = "edge4711"
    parts = []
    for name, value in fields.items():
        parts.append(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}')
    for name, data in files.items():
        parts.append(
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: image/jpeg\r\n\r\n{data}"
        )
    body = "\r\n".join([*parts, f"--{edge}--", ""]).encode()
    return body, f"multipart/form-data; boundary={edge}"


@pytest.fixture
def bucket(owner):
    name = f"b{os.urandom(6).hex()}"
    assert owner.submit("buckets", name=name, acl="private").status == 303
    return name


def test_a_bucket_comes_and_goes(owner, bucket, console):
    assert bucket in owner.get("buckets").text
    assert console.ask(f"/{bucket}/none").status == 403
    assert owner.submit(f"b/{bucket}/acl", acl="public-read").status == 303
    assert console.ask(f"/{bucket}/none").status == 404
    assert owner.submit(f"b/{bucket}/delete", name="other").status == 400
    put(owner, bucket, "a.txt")
    assert owner.submit(f"b/{bucket}/delete", name=bucket).status == 409
    assert owner.submit(f"b/{bucket}/remove", key="a.txt", sure="1").status == 303
    assert owner.submit(f"b/{bucket}/delete", name=bucket).status == 303
    assert bucket not in owner.get("buckets").text


@pytest.mark.parametrize("name", ["a", "UPPER", "-a-", "../x", "<script>"])
def test_a_bucket_of_another_name_is_refused_in_words(owner, name):
    answer = owner.submit("buckets", name=name)
    assert answer.status == 400
    assert 'role="alert"' in answer.text
    assert "<script>" not in answer.text


def test_a_declared_bucket_is_read_only(owner):
    assert "in the configuration" in owner.get("b/declared/objects").text
    assert owner.submit("b/declared/acl", acl="private").status == 403
    assert owner.submit("buckets", name="declared").status == 409


def test_an_upload_of_a_page_without_scripts(owner, bucket):
    fields = {"csrf": owner.token(), "folder": "in/"}
    body, kind = multipart(fields, {"one.jpg": "1", "two.jpg": "22" * 100_000, "": ""})
    answer = owner.ask("POST", f"/console/b/{bucket}/upload", body, Content_Type=kind)
    assert answer.status == 303
    text = owner.get(f"b/{bucket}/objects?folder=in/").text
    assert "one.jpg" in text
    assert "200.0 KB" in text


def test_an_upload_without_the_token_in_front_stores_nothing(owner, bucket):
    body, kind = multipart({"folder": ""}, {"one.jpg": "1"})
    answer = owner.ask("POST", f"/console/b/{bucket}/upload", body, Content_Type=kind)
    assert answer.status == 403
    assert "one.jpg" not in owner.get(f"b/{bucket}/objects").text


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/../b", "", ".vipsgate/x"])
def test_a_name_that_no_object_can_have(owner, bucket, key):
    assert put(owner, bucket, key).status == 400


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_name_is_text_everywhere(owner, bucket, key):
    assert put(owner, bucket, key).status == 200
    listing = f"b/{bucket}/objects"
    for path in (listing, f"{listing}?folder=%3Cscript%3Ealert(1)&search=%22"):
        text = owner.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert " onmouseover='" not in text
    asked = owner.submit(f"b/{bucket}/remove", key=key)
    assert asked.status == 200
    assert asked.field("key") == key
    assert "<script>alert" not in asked.text
    assert owner.submit(f"b/{bucket}/remove", key=key, sure="1").status == 303
    assert "Nothing here" in owner.get(f"b/{bucket}/objects").text


def test_a_listing_goes_page_by_page_and_by_folder(owner, console):
    folder = console.root / "paged"
    folder.mkdir(exist_ok=True)
    for number in range(130):
        (folder / f"n{number:03}.txt").write_text("x")
    (folder / "z").mkdir(exist_ok=True)
    (folder / "z" / "deep.txt").write_text("x")
    seen, path = [], "b/paged/objects"
    for _ in range(3):
        text = owner.get(path).text
        seen += [part.partition('"')[0] for part in text.split('name="key" value="')[1:]]
        links = [part.partition('"')[0] for part in text.split('href="/console/')]
        path = next((one.replace("&amp;", "&") for one in links if "marker=" in one), "")
    assert path == ""
    assert seen == [f"n{number:03}.txt" for number in range(130)]
    assert "n001" not in owner.get("b/paged/objects?search=n12").text
    assert "deep.txt" in owner.get("b/paged/objects?folder=z/").text


def test_a_thumbnail_is_a_picture_and_stays_private(owner):
    path = "b/examplebucket/picture?key=example.jpg&process=image/resize,m_fill,w_96,h_96"
    answer = owner.get(path)
    assert Image.open(io.BytesIO(answer.body)).size == (96, 96)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert owner.get(path, If_None_Match=answer.headers["ETag"]).status == 304


@pytest.mark.parametrize("process", ["", "x", "sys/saveas,o_eA", "../x"])
def test_an_object_is_never_sent_as_it_is(owner, process):
    answer = owner.get(f"b/examplebucket/picture?key=example.jpg&process={process}")
    assert answer.status == 400
    assert b"\xff\xd8" not in answer.body


def test_what_a_page_has_made_is_nothing_to_the_public(owner, console):
    """The fast way of the public port must not learn from the console."""
    path = "/console/b/examplebucket/picture?key=example.jpg&process=image/resize,w_41"
    assert owner.ask("GET", path).status == 200
    answer = console.ask(path)
    assert answer.status in (403, 404)


ROLES = {"key2": (200, 403), "key3": (403, 403)}


@pytest.mark.parametrize(("key_id", "statuses"), ROLES.items())
def test_a_role_does_what_it_may(console, bucket, key_id, statuses):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    upload, remove = statuses
    assert put(browser, bucket, "mine.txt").status == upload
    assert browser.submit(f"b/{bucket}/remove", key="mine.txt", sure="1").status == remove
    assert browser.submit("buckets", name=f"{bucket}x").status == 403
    assert browser.submit(f"b/{bucket}/acl", acl="public-read").status == 403
    assert browser.submit(f"b/{bucket}/delete", name=bucket).status == 403


def test_every_change_has_its_line(owner, bucket, console):
    put(owner, bucket, "a\nb.txt")
    owner.submit(f"b/{bucket}/remove", key="a\nb.txt", sure="1")
    lines = [line for line in console.log.read_text().splitlines() if "audit: key1 (owner)" in line]
    told = [line for line in lines if bucket in line]
    assert [line.split(": ")[-1].split()[0] for line in told][:2] == ["PutBucket", "PutObject"]
    assert any("DeleteObject" in line for line in told)


def test_no_name_makes_a_line_of_its_own(owner, bucket, console):
    key = "x\nvipsgate: INFO: audit: key1 (owner) from 1.1.1.1: login \x1b[31m\u2028.txt"
    assert put(owner, bucket, key).status == 200
    owner.submit(f"b/{bucket}/remove", key=key, sure="1")
    log = console.log.read_text()
    assert "from 1.1.1.1" in log
    forged = "vipsgate: INFO: audit: key1 (owner) from 1.1.1.1"
    assert not any(line.startswith(forged) for line in log.splitlines())
    assert "\x1b" not in log


def begun(browser, bucket, key):
    answer = browser.submit(f"b/{bucket}/parts", key=key, type="x/y")
    assert answer.status == 200
    return json.loads(answer.body)["upload"]


def sent(browser, bucket, key, upload, number, data):
    query = urlencode({"key": key, "upload": upload, "number": number})
    headers = {"X-CSRF-Token": browser.token(), "X-Requested-With": "fetch"}
    return browser.ask("PUT", f"/console/b/{bucket}/part?{query}", data, **headers)


def test_a_file_in_parts_is_the_apis(owner, bucket, console):
    upload = begun(owner, bucket, "a.bin")
    pieces = [b"x" * 102_400, b"y"]
    tags = [
        json.loads(sent(owner, bucket, "a.bin", upload, number, data).body)["etag"]
        for number, data in enumerate(pieces, 1)
    ]
    form = [("csrf", owner.token()), ("key", "a.bin"), ("upload", upload)]
    wrong = owner.post(f"b/{bucket}/parts-complete", [*form, ("etag", tags[1])], **AJAX)
    assert (wrong.status, json.loads(wrong.body)["code"]) == (400, "InvalidPart")
    form += [("etag", tag) for tag in tags]
    assert owner.post(f"b/{bucket}/parts-complete", form).status == 200
    assert (console.root / bucket / "a.bin").read_bytes() == b"".join(pieces)
    assert "x/y" in owner.get(f"b/{bucket}/object?key=a.bin").text


def test_an_upload_that_has_not_ended_is_listed_and_aborted(owner, bucket):
    upload = begun(owner, bucket, "<script>alert(1)</script>")
    page = owner.get(f"b/{bucket}/objects")
    assert upload in page.text
    assert "<script>alert" not in page.text
    form = {"key": "<script>alert(1)</script>", "upload": upload}
    assert owner.submit(f"b/{bucket}/parts-abort", **form).status == 303
    assert upload not in owner.get(f"b/{bucket}/objects").text
    assert owner.submit(f"b/{bucket}/parts-abort", **form).status == 404


@pytest.mark.parametrize(
    ("key", "upload", "number", "status"),
    [
        ("a.bin", "0" * 32, "1", 404),
        ("a.bin", "", "1", 404),
        ("a.bin", "OURS", "0", 400),
        ("a.bin", "OURS", "10001", 400),
        ("a.bin", "OURS", "x", 400),
        ("b.bin", "OURS", "1", 404),
        ("../x", "OURS", "1", 400),
    ],
)
def test_a_part_of_nothing_is_refused(owner, bucket, key, upload, number, status):
    identity = begun(owner, bucket, "a.bin") if upload == "OURS" else upload
    assert sent(owner, bucket, key, identity, number, b"x").status == status


def test_a_reader_sends_no_parts(console, owner, bucket):
    upload = begun(owner, bucket, "a.bin")
    reader = Browser(console.admin_port)
    reader.login("key3")
    assert reader.submit(f"b/{bucket}/parts", key="a.bin").status == 403
    assert sent(reader, bucket, "a.bin", upload, 1, b"x").status == 403
    assert reader.submit(f"b/{bucket}/parts-abort", key="a.bin", upload=upload).status == 403
    assert upload not in reader.get(f"b/{bucket}/objects").text
