"""Purges, tags and webhooks over HTTP: answers are made anew, and caches in front hear of it."""

import http.server
import json
import shutil
import threading
import time
import urllib.error
import urllib.request

import pytest

from vipsgate.gate import cachetags, sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[[credentials]]
access_key_id = "key2"
access_key_secret = "secret2"
role = "writer"
[[webhooks]]
name = "tags"
url = "http://127.0.0.1:{port}/purge_cache"
headers = {{ Authorization = "Bearer token" }}
body = '{{"tags": ${{tags}}}}'
[[webhooks]]
name = "varnish"
method = "PURGE"
url = "http://127.0.0.1:{port}/${{path}}"
headers = {{ Host = "img.example.com" }}
events = ["write", "delete"]
[buckets.photos]
acl = "public-read"
domains = ["img.example.org"]
separators = ["!"]
cache_control = "max-age=60"
stale_while_revalidate = 30
stale_if_error = 600
cache_tags.headers = ["Cache-Tag", "Surrogate-Key"]
cache_tags.of = ["bucket", "folder", "source", "style"]
styles.small = "image/resize,w_60"
styles.marked = "image/watermark,image_cGFuZGEucG5n"
[buckets.others]
acl = "public-read"
styles.small = "image/resize,w_60"
[buckets.shut]
cache_control = "max-age=60"
cdn_signing = {{ type = "A", key = "aliyuncdnexp1234" }}
"""
OWNER, WRITER = sign.Credential("key1", "secret1"), sign.Credential("key2", "secret2", "writer")
EXAMPLE, PANDA = "a/b/example.jpg", "panda.png"
SMALL, LARGE = "image/resize,w_50", "image/format,png"


class Receiver(http.server.BaseHTTPRequestHandler):
    came: list = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.came.append((self.command, self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PURGE = do_POST

    def log_message(self, *args): ...


@pytest.fixture(scope="module")
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def two(serving, receiver, root, tmp_path_factory):
    """Two servers that share a store and a cache's folder."""
    folder = tmp_path_factory.mktemp("purge")
    for bucket in ("photos", "others", "shut"):
        (folder / "root" / bucket / "a" / "b").mkdir(parents=True)
        shutil.copy(root / "examplebucket" / "example.jpg", folder / "root" / bucket / EXAMPLE)
        shutil.copy(root / "examplebucket" / PANDA, folder / "root" / bucket / PANDA)
    config = CONFIG.format(port=receiver.server_port)
    (folder / "vipsgate.toml").write_text(config)
    words = [folder / "root", "--config", folder / "vipsgate.toml", "--renderers", "1"]
    words += ["--cache-dir", str(folder / "cache")]
    # one front each: of several, the others of a server that is told follow within a second, too
    with serving(*words, fronts=1) as one, serving(*words, fronts=1) as other:
        yield one, other


def line(key, process="", bucket="photos"):
    return f"/{bucket}/{key}" + (f"?x-oss-process={process}" if process else "")


def where(site, *args):
    answer = site.ask(line(*args))
    assert answer.status == 200, answer.body
    return answer.headers["X-Vipsgate-Cache"]


def admin(site, path, by=OWNER, method="DELETE", version=4):
    bucket, _, key = path[1:].partition("/")
    key, _, words = key.partition("?")
    query = tuple(tuple(word.split("=")) for word in words.split("&") if word)
    request = sign.Request(method, bucket, urllib.request.unquote(key), query, {})
    headers = sign.sign_headers(by, request, now=time.time(), version=version) if by else {}
    url = f"http://127.0.0.1:{site.admin_port}{path}"
    sent = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(sent, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def call(site, method, key, body=b"", bucket="photos", query=(), by=OWNER, headers=None):
    request = sign.Request(method, bucket, key, tuple(query), sign.fields((headers or {}).items()))
    signed = sign.sign_headers(by, request, now=time.time(), version=4)
    words = "&".join(f"{name}={value}" if value else name for name, value in query)
    target = urllib.request.quote(f"/{bucket}/{key}") + (f"?{words}" if words else "")
    return site.ask(target, {**(headers or {}), **signed}, method=method, body=body)


def told(count, *, path="/purge_cache", seconds=5):
    """What has come there since the last look."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        came = [item for item in Receiver.came if item[1].startswith(path)]
        if len(came) >= count:
            break
        time.sleep(0.02)
    for item in came:
        Receiver.came.remove(item)
    return came


def tags(count=1):
    """All that the first hook was told."""
    found, until = [], time.monotonic() + 5
    while len(found) < count and time.monotonic() < until:
        for _, _, headers, body in told(1, seconds=1):
            assert headers["Authorization"] == "Bearer token"
            found += json.loads(body)["tags"]
    return found


# purge, text -> which of these answers are made anew
ANSWERS = {
    "small": (EXAMPLE, "style/small"),
    "chain": (EXAMPLE, "style/small|image/rotate,90"),
    "named": (f"{EXAMPLE}!small", ""),
    "free": (EXAMPLE, SMALL),
    "large": (EXAMPLE, LARGE),
    "marked": (EXAMPLE, "style/marked"),
    "panda": (PANDA, SMALL),
    "other": (EXAMPLE, "style/small", "others"),
}
PURGES = {
    "key/photos/panda.png": {"panda", "marked"},
    "prefix/photos/a/": {"small", "chain", "free", "large", "marked"},
    "prefix/photos/": {*ANSWERS} - {"other", "named"},
    "style/photos/small": {"small", "chain"},
}


@pytest.mark.parametrize("purge", PURGES)
@pytest.mark.parametrize("asked", [0, 1], ids=["here", "there"])
def test_purged_at_all_who_share_the_folder(two, purge, asked):
    before = {}
    for site in (*two, *two):  # the second time by the fast path
        before = {name: site.ask(line(*answer)) for name, answer in ANSWERS.items()}
    assert {answer.headers["X-Vipsgate-Cache"] for answer in before.values()} == {"hit"}
    Receiver.came.clear()
    assert admin(two[0], f"/purge/{purge}") == (204, b"")
    time.sleep(1.2 * asked)  # POLL_INTERVAL of vipsgate.cache.tiers
    after = {name: two[asked].ask(line(*answer)) for name, answer in ANSWERS.items()}
    anew = {name for name, one in after.items() if one.headers["X-Vipsgate-Cache"] == "miss"}
    assert anew == PURGES[purge]  # but for ``named``, which has the name of ``small``
    for name, one in before.items():
        assert (after[name].etag, after[name].body) == (one.etag, one.body)
    kind, bucket, text = purge.split("/", 2)
    folder = f"f.photos.{cachetags.digest('a/')}" if text == "a/" else f"b.{bucket}"
    narrow = {"key": cachetags.of_key(bucket, text), "style": f"s.{bucket}.{text}"}
    assert tags() == [narrow.get(kind, folder)]
    if asked:  # what one has made the other one finds
        assert {where(two[0], *answer) for answer in ANSWERS.values()} == {"hit"}


@pytest.mark.parametrize(
    ("path", "by", "status", "code"),
    [
        ("/purge/style/photos/none", OWNER, 404, "NoSuchStyle"),
        ("/purge/style/photos/", OWNER, 400, "InvalidArgument"),
        ("/purge/key/photos/", OWNER, 400, "InvalidArgument"),
        ("/purge/prefix/nowhere/a", OWNER, 404, "NoSuchBucket"),
        ("/purge/style/nowhere/a", OWNER, 404, "NoSuchBucket"),
        ("/purge/prefix/photos/a?style=b", OWNER, 400, "InvalidArgument"),
        ("/purge/tag/photos/a", OWNER, 404, "NoSuchKey"),
        ("/purge/prefix/photos/..%2Fb", OWNER, 400, "InvalidObjectName"),
        ("/purge/prefix/photos/a", WRITER, 403, "AccessDenied"),
        ("/purge/prefix/photos/a", None, 403, "AccessDenied"),
    ],
)
def test_refused(two, path, by, status, code):
    found, body = admin(two[0], path, by)
    assert (found, f"<Code>{code}</Code>" in body.decode()) == (status, True), body


@pytest.mark.parametrize("version", [1, 4])
def test_a_signature_covers_what_is_purged(two, version):
    assert admin(two[0], "/purge/prefix/photos/none/", version=version)[0] == 204
    request = sign.Request("DELETE", "purge", "prefix/photos/none/", (), {})
    headers = sign.sign_headers(OWNER, request, now=time.time(), version=version)
    url = f"http://127.0.0.1:{two[0].admin_port}/purge/prefix/photos/"
    sent = urllib.request.Request(url, method="DELETE", headers=headers)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(sent, timeout=20)


# -- tags and freshness ----------------------------------------------------------------------------


def expected(*keys, styles=(), folders=()):
    words = ["b.photos", *(f"s.photos.{name}" for name in styles)]
    words += [cachetags.of_key("photos", key) for key in keys]
    return [*words, *(f"f.photos.{cachetags.digest(folder)}" for folder in folders)]


STALE = "max-age=60, stale-while-revalidate=30, stale-if-error=600"


@pytest.mark.parametrize("process", ["", SMALL, LARGE, "style/small", "style/marked"])
def test_every_answer_has_its_tags(two, process):
    """From memory, disk and a renderer, of a part of it, and where it has not changed."""
    keys = (EXAMPLE, PANDA) if process == "style/marked" else (EXAMPLE,)
    styles = [process.removeprefix("style/")] if process.startswith("style/") else []
    words = expected(*keys, styles=styles, folders=("a/", "a/b/"))
    path = line(EXAMPLE, process)
    first = two[0].ask(path)
    ways = [
        *(first, two[0].ask(path), two[0].ask(path), two[1].ask(path)),
        two[0].ask(path, method="HEAD"),
        two[0].ask(path, {"Range": "bytes=0-9"}),
        two[0].ask(path, {"If-None-Match": first.etag}),
    ]
    assert [way.status for way in ways] == [200, 200, 200, 200, 200, 206, 304]
    for way in ways:
        assert way.headers["Cache-Tag"] == ",".join(words)
        assert way.headers["Surrogate-Key"] == " ".join(words)
        assert way.headers["Cache-Control"] == (STALE if process else "max-age=60")


def test_a_bucket_without_the_setting_has_none(two):
    answer = two[0].ask(line(EXAMPLE, SMALL, "others"))
    assert answer.status == 200
    assert not {"Cache-Tag", "Surrogate-Key", "Cache-Control"} & {*answer.headers}


# -- webhooks --------------------------------------------------------------------------------------


def test_told_of_a_write_and_a_delete(two):
    site, key = two[0], "new/西湖 1.jpg"
    Receiver.came.clear()
    assert call(site, "PUT", key, b"x").status == 200
    ((method, path, headers, body),) = told(1, path="/new")
    assert (method, path, headers["Host"], body) == (
        *("PURGE", "/new/%E8%A5%BF%E6%B9%96%201.jpg", "img.example.com", b""),
    )
    assert tags() == [cachetags.of_key("photos", key)]
    assert call(site, "PUT", key, query=(("acl", ""),), headers={"x-oss-object-acl": "private"})
    assert tags() == [cachetags.of_key("photos", key)]
    assert call(site, "DELETE", key).status == 204
    assert tags() == [cachetags.of_key("photos", key)]
    assert len(told(2, path="/new")) == 2


def test_told_of_a_style_and_of_rights(two):
    """By both, each as soon as it answers by it itself."""
    site, style = two[0], (("style", ""), ("styleName", "thumb"))
    text = "<Style><Content>image/resize,w_%d</Content></Style>"
    assert call(site, "PUT", "", bucket="described").status == 200
    Receiver.came.clear()
    assert call(site, "PUT", "", (text % 10).encode(), "described", style).status == 200
    time.sleep(2.5)  # POLL_INTERVAL, of vipsgate.catalog.documents
    assert tags(0) == []
    assert call(site, "PUT", "", (text % 20).encode(), "described", style).status == 200
    assert tags(2) == ["s.described.thumb"] * 2
    headers = {"x-oss-acl": "public-read"}
    query = (("acl", ""),)
    assert call(site, "PUT", "", b"", "described", query, headers=headers).status == 200
    assert tags(2) == ["b.described"] * 2


def test_a_cdn_s_signature_is_not_known_beyond_its_time(two):
    """The picture is in memory, and the same URL was answered a moment ago."""
    key, now = sign.CdnKey("A", "aliyuncdnexp1234"), time.time()
    url = sign.sign_url(key, "shut", EXAMPLE, now=now, expires=2, process=SMALL)
    path = url.removeprefix("http://127.0.0.1:8080")
    assert [two[0].ask(path).status for _ in range(3)] == [200] * 3
    time.sleep(max(0.0, now + 3.1 - time.time()))  # a second begun is a whole one
    assert two[0].ask(path).status == 403


def test_counted(two):
    url = f"http://127.0.0.1:{two[0].admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=20) as answer:
        rows = dict(row.rsplit(" ", 1) for row in answer.read().decode().splitlines())
    assert float(rows['vipsgate_webhook_events_total{result="sent"}']) > 10
    for result in ("failed", "dropped", "retried"):
        assert float(rows[f'vipsgate_webhook_events_total{{result="{result}"}}']) == 0
    assert float(rows["vipsgate_webhook_events_waiting"]) == 0
