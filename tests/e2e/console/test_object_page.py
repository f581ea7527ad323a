"""The page of an object: what it says is what the public port does."""

import re
from html import unescape
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image
from support.console import HOSTILE, Browser, put

PATH = "b/examplebucket/object?key=example.jpg"


def copied(text):
    """Name -> what can be copied."""
    rows = re.findall(r"<dt>([^<]*)</dt>\s*<dd><code>(.*?)</code>", text, re.DOTALL)
    return {unescape(name): unescape(value) for name, value in rows}


def test_the_facts_are_those_of_the_picture(owner):
    text = owner.get(PATH).text
    assert "<dt>ImageWidth</dt><dd>400</dd>" in text
    assert "<dt>Format</dt><dd>jpg</dd>" in text


@pytest.mark.parametrize("process", ["", "image/resize,w_40"])
def test_what_is_copied_works(owner, console, process):
    found = copied(owner.get(f"{PATH}&process={process}&expires=60").text)
    answers = {}
    for name in ("URL", "Signed URL (V1)", "Signed URL (V4)"):
        parts = urlsplit(found[name])
        assert parts.netloc == f"127.0.0.1:{console.port}"
        answers[name] = console.ask(f"{parts.path}?{parts.query}")
    assert [answer.status for answer in answers.values()] == [403, 200, 200]
    assert answers["Signed URL (V4)"].picture.width == (40 if process else 400)
    assert found["URL"] in found["curl"]
    assert found["Markdown"].startswith("![example.jpg](")


def test_the_snippet_has_widths_of_the_picture_that_is_shown(owner, console, photo, saved):
    name = "HTML, for screens of every width"
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation
    data = saved(photo(1200, 800), "JPEG", quality=90, exif=exif)
    assert put(owner, "declared", "大 +%25.jpg", data).status == 200
    page = "b/declared/object?key=%E5%A4%A7%20%2B%2525.jpg"
    plain, small = (
        copied(owner.get(f"{page}{end}").text)[name] for end in ("", "&process=style/small")
    )
    assert 'width="800" height="1200"' in plain  # upright
    widths = re.findall(r"(http\S+) (\d+)w", unescape(plain))
    assert [int(width) for _, width in widths][:: len(widths) - 1] == [320, 800]
    for url, width in widths:
        parts = urlsplit(url)
        assert console.ask(f"{parts.path}?{parts.query}").picture.width == int(width)
    assert re.findall(r"style/small\|image\S+ (\d+)w", small) == ["40"]
    owner.submit("b/declared/remove", key="大 +%25.jpg", sure="1")


def test_what_makes_no_picture_has_no_snippet(owner):
    text = owner.get(f"{PATH}&process=image/nonsense").text
    assert "HTML, for screens of every width" not in copied(text)


def test_a_style_has_its_url_with_the_separator(owner, console):
    text = owner.get("b/declared/object?key=example.jpg&process=style/small").text
    url = copied(text)["URL with the style behind the name"]
    assert url.endswith("/declared/example.jpg!small")
    assert console.ask(urlsplit(url).path).picture.width == 40


def test_v4_is_refused_in_words_where_it_is_too_long(owner):
    text = owner.get(f"{PATH}&expires=99999999").text
    assert "Signed URL (V4)" not in copied(text)
    assert "expects a number of seconds, 1 to 604800" in text


def test_who_may_have_it_and_by_which_rule(owner):
    text = owner.get(PATH).text
    assert "<strong>bucket-acl</strong>" in text
    assert text.count('class="tag good"') == 3  # reader, writer and owner


def test_an_acl_of_its_own_opens_it(owner, console):
    form = {"key": "example.jpg", "acl": "public-read"}
    assert owner.submit("b/examplebucket/object-acl", **form).status == 303
    assert console.ask("/examplebucket/example.jpg").status == 200
    assert owner.get(PATH).text.count('class="tag good"') == 4
    form["acl"] = "default"
    assert owner.submit("b/examplebucket/object-acl", **form).status == 303
    assert console.ask("/examplebucket/example.jpg").status == 403


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_only_an_owner_sets_acls(console, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert "object-acl" not in browser.get(PATH).text
    answer = browser.submit("b/examplebucket/object-acl", key="example.jpg", acl="public-read")
    assert answer.status == 403


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_name_and_a_hostile_process_are_text(owner, key):
    kind = '"><script>alert(2)</script>'
    assert put(owner, "examplebucket", key, Content_Type=kind).status == 200
    path = f"b/examplebucket/object?key={quote(key)}&process={quote(key)}"
    for _ in range(2):
        text = owner.get(path).text
        assert unescape(re.search(r'<h1 class="key">(.*?)</h1>', text)[1]) == key
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        owner.cookies["vipsgate_language"] = "zh"
    owner.submit("b/examplebucket/remove", key=key, sure="1")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("b/examplebucket/object?key=none.jpg", 404),
        ("b/examplebucket/object", 404),
        ("b/none/object?key=x", 404),
        ("b/examplebucket/object?key=../x", 400),
        (f"{PATH}&process=image/nonsense", 200),
    ],
)
def test_what_is_not_there_is_told(owner, path, status):
    answer = owner.get(path)
    assert answer.status == status
    assert 'role="alert"' in answer.text


def test_the_histogram_is_an_svg_that_is_asked_for_once(owner):
    assert "/histogram?key=example.jpg" in owner.get("b/examplebucket/object?key=example.jpg").text
    answer = owner.get("b/examplebucket/histogram?key=example.jpg")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert answer.text.count("<path") == 4
    again = {"If_None_Match": answer.headers["ETag"]}
    assert owner.get("b/examplebucket/histogram?key=example.jpg", **again).status == 304


def test_what_is_no_picture_has_no_histogram(owner):
    put(owner, "examplebucket", "broken.jpg", b"no picture")
    assert "/histogram" not in owner.get("b/examplebucket/object?key=broken.jpg").text
    assert owner.get("b/examplebucket/histogram?key=broken.jpg").status == 400
    assert owner.get("b/examplebucket/histogram?key=none.jpg").status == 404
    assert owner.get("b/none/histogram?key=a.jpg").status == 404


def test_nobody_else_has_a_histogram(console):
    assert console.ask("/examplebucket/example.jpg?x-oss-process=image/histogram").status != 200
