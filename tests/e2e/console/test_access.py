"""Access settings by the console, and a tester that says what the public port does."""

import re
import shutil
import time
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import pytest
from support.console import HOSTILE, Browser

from vipsgate.gate import sign

KEY = sign.Credential("key1", "secret-key1")


@pytest.fixture(scope="module")
def guarded(console):
    """A bucket with everything set by the console itself."""
    owner = Browser(console.admin_port)
    owner.login()
    assert owner.submit("buckets", name="guarded", acl="public-read").status == 303
    for name in ("a.jpg", "img/b.png", "open.jpeg"):
        aim = console.root / "guarded" / name
        aim.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(console.root / "examplebucket" / "example.jpg", aim)
    style = {"name": "small", "content": "image/resize,w_40", "was": "", "do": "save"}
    assert owner.submit("b/guarded/style", **style).status == 303
    rules = [("img/", ".PNG", True)] + [("", "", False)] * 9
    assert save(owner, "guarded", rules=rules, **SETTINGS).status == 303
    return owner


SETTINGS = {
    "enabled": "1",
    "extensions": "jpg",
    "separator": "!",
    "whitelist": "http://www.example.com\nhttps://*.example.org",
    "blacklist": "https://bad.example.org",
    "truncate_query": "1",
}


def save(browser, bucket, rules=(), was=None, **form):
    was = browser.get(f"b/{bucket}/access").field("was") if was is None else was
    pairs = [("csrf", browser.token()), ("was", was), *form.items()]
    for number, (prefix, suffix, folded) in enumerate(rules):
        pairs += [("prefix", prefix), ("suffix", suffix)]
        pairs += [("case_insensitive", number)] if folded else []
    return browser.post(f"b/{bucket}/access", pairs)


def verdicts(browser, url, referer=""):
    """Who -> allowed, or status and code, as the tester's table has it."""
    text = browser.get(f"b/guarded/access?{urlencode({'url': url, 'referer': referer})}").text
    rows = re.findall(
        r'<tr data-who="(\w+)">.*?<span class="tag (?:good|bad)">(.*?)</span>', text, re.DOTALL
    )
    return dict(rows)


def signed(path, process="", version=1):
    return sign.sign_url(
        KEY, "guarded", path, now=time.time(), process=process, version=version, endpoint="http://x"
    )


GOOD, SUB, BAD, EVIL = (
    *("http://www.example.com/a?b", "https://x.example.org/"),
    *("https://bad.example.org/", "http://www.example.com.evil.net/"),
)
ROWS = [
    ("/guarded/a.jpg", GOOD),
    ("/guarded/a.jpg", ""),
    ("/guarded/a.jpg", EVIL),
    ("/guarded/a.jpg!small", GOOD),
    ("/guarded/a.jpg!small", SUB),
    ("/guarded/a.jpg!small", BAD),
    ("/guarded/a.jpg!small", EVIL),
    ("/guarded/a.jpg!small", ""),
    ("/guarded/a.jpg?x-oss-process=style/small", GOOD),
    ("/guarded/a.jpg?x-oss-process=image/resize,w_9", GOOD),
    ("/guarded/a.jpg?x-oss-process=image/info", GOOD),
    ("/guarded/img/b.png", GOOD),
    ("/guarded/img/b.png!small", GOOD),
    ("/guarded/open.jpeg", GOOD),
    ("/guarded/open.jpeg", BAD),
    ("/guarded/none.jpg", GOOD),
    ("/guarded/none.jpg!small", GOOD),
    ("v1 a.jpg", GOOD),
    ("v1 a.jpg", EVIL),
    ("v4 a.jpg", GOOD),
    ("expired a.jpg", GOOD),
    ("forged a.jpg", GOOD),
]


@pytest.mark.parametrize(("line", "referer"), ROWS, ids=[" ".join(row) for row in ROWS])
def test_the_tester_says_what_the_public_port_does(guarded, console, line, referer):
    kind, _, key = line.partition(" ")
    if key:
        url = signed(key, version=4 if kind == "v4" else 1)
        url = url.replace("Expires=1", "Expires=0") if kind == "expired" else url
        url = url.replace("Signature=", "Signature=A") if kind == "forged" else url
        parts = urlsplit(url)
        line = f"{parts.path}?{parts.query}"
    answer = console.ask(line, {"Referer": referer} if referer else {})
    expected = "allowed" if answer.status == 200 else f"{answer.status} {answer.code}"
    assert verdicts(guarded, line, referer)["request"] == expected
    whole = f"http://127.0.0.1:{console.port}{line}"
    assert verdicts(guarded, whole, referer)["request"] == expected


def test_it_says_it_of_every_kind_of_caller(guarded):
    found = verdicts(guarded, "/guarded/a.jpg", GOOD)
    assert found == {
        "request": "403 AccessDenied",
        "anonymous": "403 AccessDenied",
        **dict.fromkeys(("reader", "writer", "owner"), "allowed"),
    }


def test_protection_is_in_force(guarded, console):
    headers = {"Referer": GOOD}
    assert console.ask("/guarded/a.jpg", headers).status == 403
    assert console.ask("/guarded/img/b.png", headers).status == 403
    assert console.ask("/guarded/a.jpg!small", headers).picture.width == 40


def test_formats_by_accept_are_set_and_in_force(guarded, console):
    url, asked = "/guarded/a.jpg!small", {"Referer": GOOD, "Accept": "image/avif,image/webp"}
    assert console.ask(url, asked).kind == "image/jpeg"
    rules = [("img/", ".PNG", True)] + [("", "", False)] * 9
    chosen = {"auto_format": "webp avif", "avif_in_background": "1"}
    assert save(guarded, "guarded", rules=rules, **SETTINGS, **chosen).status == 303
    text = guarded.get("b/guarded/access").text
    assert '<option value="webp avif" selected>' in text
    assert console.ask(url, asked).kind == "image/webp"
    wrong = save(guarded, "guarded", rules=rules, **SETTINGS, auto_format="webp webp")
    assert (wrong.status, "expects each format once" in wrong.text) == (400, True)
    assert save(guarded, "guarded", rules=rules, **SETTINGS).status == 303
    assert console.ask(url, asked).kind == "image/jpeg"


def test_what_was_saved_is_shown(guarded):
    text = guarded.get("b/guarded/access").text
    for part in ('value="jpg"', 'value="img/"', 'value=".PNG"', "https://*.example.org"):
        assert part in text
    assert "in vain" not in text


def test_the_second_of_two_is_told(guarded):
    was = guarded.get("b/guarded/access").field("was")
    rules = [("img/", ".PNG", True)]
    assert save(guarded, "guarded", rules, **{**SETTINGS, "extensions": "jpg, gif"}).status == 303
    answer = save(guarded, "guarded", rules, was=was, **{**SETTINGS, "extensions": "bmp"})
    assert answer.status == 409
    assert "&#34;gif&#34;" in answer.text
    assert 'value="bmp"' in answer.text
    assert save(guarded, "guarded", rules, was=answer.field("was"), **SETTINGS).status == 303


def test_of_many_at_once_one_saves(guarded):
    was = guarded.get("b/guarded/access").field("was")
    rules = [("img/", ".PNG", True)]

    def work(number):
        form = {**SETTINGS, "extensions": f"jpg, x{number}"}
        return save(guarded, "guarded", rules, was=was, **form).status

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(work, range(8)))
    assert statuses == [303] + [409] * 7
    was = guarded.get("b/guarded/access").field("was")
    assert save(guarded, "guarded", rules, was=was, **SETTINGS).status == 303


@pytest.mark.parametrize(
    "rules", [[("a", "", False)] * 11, [("x", "y", False), ("a", "b", True)] * 6]
)
def test_too_many_rules_are_refused_in_words(guarded, rules):
    answer = save(guarded, "guarded", rules, **SETTINGS)
    assert answer.status == 400
    assert "protection.rules" in answer.text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_setting_is_text(owner, text):
    assert owner.submit("buckets", name="hostile", acl="private").status in (303, 409)
    rules = [(text, text, False)]
    answer = save(owner, "hostile", rules, extensions=text, whitelist=text, blacklist=text)
    assert answer.status == 303
    page = owner.get(f"b/hostile/access?{urlencode({'url': text, 'referer': text})}").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "' onmouseover='" not in page


@pytest.mark.parametrize("key_id", ["key2", "key3"])
def test_only_an_owner_saves(console, guarded, key_id):
    browser = Browser(console.admin_port)
    browser.login(key_id)
    assert "disabled" in browser.get("b/guarded/access").text
    assert save(browser, "guarded", **SETTINGS).status == 403


def test_a_declared_bucket_stays(owner):
    answer = save(owner, "declared", enabled="1", extensions="jpg")
    assert answer.status == 403
    assert "declared in the configuration" in answer.text


def test_a_watermark_object_that_anybody_has_is_told(owner, console):
    """The two callers that the warnings speak of get what they say."""
    assert owner.submit("buckets", name="marks", acl="public-read").status == 303
    for name in ("logo.jpg", "photo.png"):
        shutil.copy(console.root / "examplebucket" / "example.jpg", console.root / "marks" / name)
    logo = urlsafe_b64encode(b"logo.jpg").decode().rstrip("=")
    drawn = f"image/watermark,image_{logo}"
    style = {"name": "marked", "content": drawn, "was": "", "do": "save"}
    assert owner.submit("b/marks/style", **style).status == 303
    assert save(owner, "marks", enabled="1", extensions="png", separator="!").status == 303
    assert "may have that object bare" in owner.get("b/marks/access").text
    assert console.ask("/marks/logo.jpg").status == 200
    assert save(owner, "marks", enabled="1", extensions="jpg", separator="!").status == 303
    assert "name the object themselves get 403" in owner.get("b/marks/access").text
    assert console.ask(f"/marks/photo.png?x-oss-process={drawn}").status == 403
    assert console.ask("/marks/photo.png!marked").status == 200
    (console.root / "marks" / "logo.jpg").unlink()
    assert "there is no such object" in owner.get("b/marks/access").text


@pytest.mark.parametrize("url", ["//[", "http://[::1/a.jpg", "http://[x]/a.jpg", "\0", "?"])
def test_what_is_no_url_is_told_by_the_tester(guarded, url):
    answer = guarded.get(f"b/guarded/access?{urlencode({'url': url})}")
    assert answer.status == 200
