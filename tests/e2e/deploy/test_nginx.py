"""deploy/nginx through real nginx, in front of a real server: what goes through, what is kept."""

import concurrent.futures
import contextlib
import dataclasses
import grp
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from support.browsers import BROWSERS, RULES

from vipsgate.gate import sign

CONFIG = """
[cache]
memory_bytes = 10000000
disk_bytes = 50000000
[server]
endpoint = "oss.example.com"
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.open]
acl = "public-read"
[buckets.brief]
acl = "public-read"
cache_control = "max-age=1"
[buckets.bounded]
acl = "public-read"
cache_control = "max-age=1, stale-while-revalidate=2"
[buckets.shut]
cache_control = "max-age=3600"
cdn_signing = { type = "B", key = "aliyuncdnexp1234" }
[buckets.hotlink]
acl = "public-read"
domains = ["img.example.org"]
[buckets.hotlink.referer]
allow_empty = false
whitelist = ["http://good.example.com"]
[buckets.crossed]
acl = "public-read"
cache_control = "max-age=3600"
timing_allow_origin = ["*"]
cache_tags.headers = ["Cache-Tag", "Surrogate-Key", "Edge-Cache-Tag", "xkey"]
cross_origin_resource_policy = "cross-origin"
[[buckets.crossed.cors]]
allowed_origins = ["https://a.example", "https://b.example"]
allowed_methods = ["GET", "HEAD"]
expose_headers = ["ETag"]
[buckets.auto]
acl = "public-read"
cache_control = "max-age=3600"
auto_format = ["avif", "webp"]
"""
KEY = sign.Credential("key1", "secret1")
PATIENCE_S = 20
SMALL = "image/resize,w_100"
BUCKETS = ("open", "brief", "bounded", "shut", "hotlink", "crossed", "auto")
KEYS = {  # as they are stored; what differs between clients is how they write them
    "example.jpg": "example.jpg",
    "with space.jpg": "with%20space.jpg",
    "plus+plus.jpg": "plus+plus.jpg",
    "50%.jpg": "50%25.jpg",
    "%41.jpg": "%2541.jpg",
    "sub/deep/example.jpg": "sub%2Fdeep%2fexample.jpg",
    "a&b=c?d#e;f.jpg": "a&b=c%3Fd%23e;f.jpg",
    "西湖/日出.jpg": quote("西湖/日出.jpg"),
    "back\\slash.jpg": "back%5Cslash.jpg",
    "line\nbreak.jpg": "line%0Abreak.jpg",
}
# what is another one in each answer
PASSING = (
    "connection date keep-alive server server-timing x-oss-request-id x-oss-server-time".split()
)
PASSING += ["x-vipsgate-cache", "x-nginx-cache", "transfer-encoding"]


def filled(folder, root):
    source = root / "examplebucket"
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in BUCKETS:
        for key in (*KEYS, "panda.png", "note.txt", "page.html"):
            path = folder / "root" / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / key, path)
    return folder


@pytest.fixture(scope="module")
def start(serving):
    def starting(folder, *more):
        words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
        return serving(folder / "root", *words, *more)

    return starting


@pytest.fixture(scope="module")
def direct(start, root, tmp_path_factory):
    with start(filled(tmp_path_factory.mktemp("direct"), root)) as site:
        yield site


@pytest.fixture(scope="module")
def nginx(direct, proxying):
    # the rate is another test's
    calm = {"conf.d/vipsgate.conf": {"rate=100r/s": "rate=100000r/s"}}
    with proxying(direct.port, calm) as running:
        yield running


@pytest.fixture(scope="module")
def site(direct, nginx):
    """As the direct one, through nginx."""
    return dataclasses.replace(direct, port=nginx.port)


def kept(answer):
    return answer.headers["X-Nginx-Cache"]


def bring(site, *row):
    """Ask until it is kept: the file gets its name a moment after the client has the last byte."""
    for _ in range(100):
        answer = ask(site, *row)
        if kept(answer) == "HIT":
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{row} is not kept: {answer.status} {kept(answer)}")


def ask(site, path, process=SMALL, headers=None, method="GET", **options):
    query = f"?x-oss-process={process}" if process else ""
    return site.ask(f"/{path}{query}", headers, method=method, **options)


def signed_for_cdn(bucket, key):
    url = sign.sign_url(sign.CdnKey("B", "aliyuncdnexp1234"), bucket, key, now=time.time())
    return urlsplit(url).path


def signed(bucket, key, process=SMALL, **options):
    options = {"now": time.time(), "region": "cn-hangzhou", "endpoint": "http://x"} | options
    url = urlsplit(sign.sign_url(KEY, bucket, key, process=process, **options))
    return f"{url.path}?{url.query}"


def lasting(answer):
    """What must be the same, however an answer came."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return answer.status, {k: v for k, v in headers.items() if k not in PASSING}, answer.body


# -- what goes through -----------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["", SMALL, "image/info"])
@pytest.mark.parametrize("written", KEYS.values())
def test_the_same_answer_as_without_nginx(direct, site, written, process):
    for method in ("GET", "HEAD"):
        plain = lasting(ask(direct, f"open/{written}", process, method=method))
        assert plain[0] == 200
        assert lasting(ask(site, f"open/{written}", process, method=method)) == plain
        through = bring(site, f"open/{written}", process, None, method)
        assert lasting(through) == plain
        assert through.headers["X-Content-Type-Options"] == "nosniff"
        assert len(through.headers["x-oss-request-id"]) == 24


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("key", KEYS)
def test_signed_urls_and_headers(direct, site, key, version):
    for method in ("GET", "HEAD"):
        target = signed("shut", key, version=version, method=method)
        through = site.ask(target, method=method)
        assert through.status == 200, through.body
        # the bucket's own Cache-Control says an hour, and still no other caller may have it
        assert "X-Nginx-Cache" not in through.headers
        assert lasting(through) == lasting(direct.ask(target, method=method))
    headers = sign.sign_headers(
        KEY,
        sign.Request("GET", "shut", key, (("x-oss-process", SMALL),), {}),
        now=time.time(),
        version=version,
        region="cn-hangzhou",
    )
    written = f"shut/{KEYS[key]}"
    assert ask(site, written, headers=headers).status == 200
    assert ask(site, written).status == 403
    assert "X-Nginx-Cache" not in site.ask(signed("shut", key, version=version)).headers


def test_refusals_are_vipsgates_own(direct, site):
    rows = {
        "/open/none.jpg": 404,
        "/shut/example.jpg": 403,
        f"/open/example.jpg?x-oss-process={SMALL}&Signature=x&OSSAccessKeyId=y&Expires=1": 403,
        "/open/example.jpg?x-oss-process=image/resize,w_0": 400,
        "/open/note.txt?x-oss-process=image/resize,w_10": 400,
        "/nosuchbucket/x.jpg": 404,
        "/open/": 403,
        "/open/example.jpg?website": 501,
        "/.vipsgate/x.json": 400,
        "/open/.vipsgate/x.json": 404,
        "/open//example.jpg": 400,
    }
    for target, status in rows.items():
        for _ in range(2):
            through, plain = site.ask(target), direct.ask(target)
            assert (through.status, plain.status) == (status, status), target
            assert (through.code, through.message) == (plain.code, plain.message), target
            assert through.headers.get("X-Nginx-Cache", "MISS") == "MISS"  # never a kept one
    head = site.ask("/open/none.jpg", method="HEAD")
    assert (head.status, head.code) == (404, "NoSuchKey")


def test_a_header_that_asks_for_something_is_not_answered_from_the_cache(site):
    for _ in range(2):
        assert ask(site, "open/example.jpg", SMALL).status == 200
    for headers in ({"x-oss-traffic-limit": "819200"}, {"X-Oss-Traffic-Limit": "0"}):
        assert ask(site, "open/example.jpg", SMALL, headers).code == "NotImplemented"


def test_ranges_and_conditions(direct, site):
    whole = ask(site, "open/example.jpg")
    for process in ("", SMALL):
        for headers in (
            {"Range": "bytes=10-19"},
            {"Range": "bytes=-7"},
            {"Range": "bytes=9999999-"},
            {"Range": "bytes=10-19", "If-Range": '"other"'},
            {"If-None-Match": ask(direct, "open/example.jpg", process).etag},
            {"If-Modified-Since": whole.headers["Last-Modified"]},
            {"If-None-Match": '"other"'},
        ):
            through = ask(site, "open/example.jpg", process, headers)
            plain = ask(direct, "open/example.jpg", process, headers)
            assert through.status == plain.status, headers
            assert through.body == plain.body or through.code == plain.code != "", headers
            for name in ("ETag", "Content-Range", "Content-Length", "Last-Modified"):
                if through.status != 304 or name in ("ETag", "Last-Modified"):
                    assert through.headers[name] == plain.headers[name], (name, headers)
    part = site.ask(signed("shut", "example.jpg", ""), {"Range": "bytes=2-5"})
    assert (part.status, len(part.body)) == (206, 4)


def test_the_host_names_the_bucket(direct, site):
    for host in ("open.oss.example.com", "open.oss.example.com:8080"):
        path = f"/example.jpg?x-oss-process={SMALL}"
        assert lasting(site.ask(path, host=host)) == lasting(direct.ask(path, host=host))
    # and keeps two buckets apart in the cache
    time.sleep(0.1)
    assert kept(site.ask(path, host="open.oss.example.com")) == "HIT"
    assert site.ask("/note.txt", host="open.oss.example.com").status == 200
    assert site.ask("/note.txt", host="shut.oss.example.com").status == 403


def test_uploads_by_an_unmodified_sdk(site, direct):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install -e '.[test]'")
        for auth in (oss2.Auth("key1", "secret1"), oss2.AuthV4("key1", "secret1")):
            bucket = oss2.Bucket(
                auth, f"http://127.0.0.1:{site.port}", "fresh", region="cn-hangzhou"
            )
            bucket.create_bucket()
            data = bytes(range(256)) * 20_000
            headers = {"x-oss-meta-with_line": "a", "x-oss-meta-with.dot": "b"}
            done = bucket.put_object("dir/a b+c%20.bin", data, headers=headers)
            assert done.status == 200
            got = bucket.get_object("dir/a b+c%20.bin")
            assert got.read() == data
            assert got.headers["x-oss-meta-with_line"] == "a"
            assert got.headers["x-oss-meta-with.dot"] == "b"
            assert [item.key for item in bucket.list_objects().object_list] == ["dir/a b+c%20.bin"]
            upload = bucket.init_multipart_upload("parts.bin").upload_id
            part = bucket.upload_part("parts.bin", upload, 1, data)
            parts = [oss2.models.PartInfo(1, part.etag)]
            bucket.complete_multipart_upload("parts.bin", upload, parts)
            assert bucket.get_object("parts.bin").read() == data
            assert bucket.head_object("parts.bin").content_length == len(data)
            with pytest.raises(oss2.exceptions.NoSuchKey):
                bucket.get_object("none")
            bucket.batch_delete_objects(["dir/a b+c%20.bin", "parts.bin"])


def test_a_chunked_upload_reaches_vipsgate_piece_by_piece(site, direct):
    """Nothing is spooled: vipsgate refuses while the client still sends."""
    with site.socket() as line:
        line.sendall(b"PUT /shut/x.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        answer = http.client.HTTPResponse(line, method="PUT")
        answer.begin()
        assert answer.status == 403


def test_tls(nginx, direct):
    context = ssl.create_default_context(cafile=nginx.folder / "tls" / "vipsgate.crt")
    line = http.client.HTTPSConnection("localhost", nginx.tls_port, context=context, timeout=20)
    with contextlib.closing(line):
        line.request("GET", f"/open/example.jpg?x-oss-process={SMALL}")
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, ask(direct, "open/example.jpg").body)
        assert line.sock.version() == "TLSv1.3"


# -- what is kept ----------------------------------------------------------------------------------


def test_a_kept_picture_does_not_reach_vipsgate(site, nginx):
    path = "open/panda.png"
    first, second = bring(site, path), ask(site, path)
    assert first.headers["x-oss-request-id"] == second.headers["x-oss-request-id"]
    assert kept(ask(site, path, "image/resize,w_99")) == "MISS"
    bring(site, path, "image/resize,w_99")
    assert sum("GET 127.0.0.1/open/panda.png?" in name for name in nginx.kept()) == 2


def test_neither_signed_nor_hotlink_protected_answers_are_kept(site, nginx):
    good = {"Referer": "http://good.example.com/page"}
    in_path = signed_for_cdn("shut", "panda.png")
    for _ in range(3):
        assert site.ask(signed("shut", "panda.png")).status == 200
        assert ask(site, in_path[1:]).status == site.ask(in_path).status == 200
        for host, path in (("127.0.0.1", "hotlink/panda.png"), ("img.example.org", "panda.png")):
            assert ask(site, path, headers=good, host=host).status == 200
            for bad in ({}, {"Referer": "http://bad.example.com/"}):
                assert ask(site, path, headers=bad, host=host).status == 403
    for name in nginx.kept():
        assert not [part for part in ("/shut/", "hotlink", "img.example.org") if part in name]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_origin_is_given_what_another_has_asked_for(direct, site, method):
    told = {}
    for origin in ("", "https://a.example", "https://b.example", "https://evil.example", "") * 3:
        headers = {"Origin": origin} if origin else {}
        answer = ask(site, "crossed/example.jpg", headers=headers, method=method)
        assert lasting(answer) == lasting(
            ask(direct, "crossed/example.jpg", headers=headers, method=method)
        )
        told[origin] = answer.headers["Access-Control-Allow-Origin"]
        assert answer.headers["Vary"] == "Origin"
        # nginx does not renew the headers of what it keeps: rules that change would never be heard
        assert ("X-Nginx-Cache" in answer.headers) == (not origin)
    assert told.pop("") is None
    assert told.pop("https://evil.example") is None
    assert all(name == value for name, value in told.items())
    assert len(told) == 2
    bring(site, "crossed/example.jpg", SMALL, None, method)


def test_a_preflight_goes_through(direct, site):
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    for origin, status in (("https://a.example", 200), ("https://evil.example", 403)) * 2:
        headers["Origin"] = origin
        answer = ask(site, "crossed/example.jpg", headers=headers, method="OPTIONS")
        assert answer.status == status
        plain = ask(direct, "crossed/example.jpg", headers=headers, method="OPTIONS")
        assert answer.headers["Vary"] == plain.headers["Vary"]
        names = ["Access-Control-Allow-Origin", "Access-Control-Allow-Methods"]
        assert [answer.headers[name] for name in names] == [plain.headers[name] for name in names]


@pytest.mark.parametrize(
    "query",
    [
        "x-oss-process=image/resize,w_100&Expires=1",
        "%53ignature=x",
        "acl",
        "Signature=x&x-oss-process=image/resize,w_100",
        "x-oss-process=image/resize,w_100&v=2",
    ],
)
def test_a_query_that_may_be_signed_is_passed_by(site, query):
    for _ in range(2):
        assert "X-Nginx-Cache" not in site.ask(f"/open/example.jpg?{query}").headers


def test_looked_at_again_when_its_time_is_over(site, direct):
    path = "brief/example.jpg"
    bring(site, path)
    time.sleep(2.1)
    again = ask(site, path)
    assert (kept(again), again.status) == ("REVALIDATED", 200)  # vipsgate has answered 304
    assert again.body == ask(direct, path).body


def test_what_is_taken_away_is_not_served_for_ever(site, direct):
    """An old answer may go out while a new one is fetched, within the bound that was set."""
    path = direct.root / "bounded" / "panda.png"
    bring(site, "bounded/panda.png")
    path.unlink()
    seen = []
    until = time.monotonic() + 8
    while (not seen or seen[-1] == 200) and time.monotonic() < until:
        time.sleep(0.3)
        seen.append(ask(site, "bounded/panda.png").status)
    assert seen[-1] == 404
    assert ask(site, "bounded/panda.png").status == 404


def test_an_old_answer_goes_out_while_a_new_one_is_fetched(site, direct):
    bring(site, "bounded/example.jpg")
    time.sleep(2.1)
    stale = ask(site, "bounded/example.jpg")
    assert (kept(stale), stale.status) == ("STALE", 200)
    time.sleep(0.3)
    assert kept(ask(site, "bounded/example.jpg")) in ("HIT", "EXPIRED", "REVALIDATED")


def test_made_anew_for_this_machine_only(site, nginx, direct):
    path, process = "open/example.jpg", "image/resize,w_77"
    bring(site, path, process)
    (direct.root / "open" / "example.jpg").touch()  # another tag
    assert kept(ask(site, path, process)) == "HIT"
    anew = ask(site, path, process, {"X-Vipsgate-Refresh": "1"})
    assert kept(anew) == "BYPASS"
    time.sleep(0.1)
    again = ask(site, path, process)
    assert (kept(again), again.etag) == ("HIT", anew.etag)


# -- a format by the client's Accept --------------------------------------------------------------


def test_three_classes_of_accept_are_kept_apart(direct, site, nginx, deploy):
    """Whatever the texts: what is kept is that of the class, and says what it depends on."""
    types = {("avif", "webp"): "image/avif", ("webp",): "image/webp", (): "image/jpeg"}
    for text, taken in BROWSERS.items():
        headers = {"Accept": text} if text else {}
        through = bring(site, "auto/example.jpg", SMALL, headers)
        assert (through.kind, through.headers["Vary"]) == (types[taken], "Accept"), text
        assert lasting(through) == lasting(ask(direct, "auto/example.jpg", SMALL, headers))
        again = {**headers, "If-None-Match": through.etag}
        assert ask(site, "auto/example.jpg", SMALL, again).status == 304
    name = f"/auto/example.jpg?x-oss-process={SMALL}"
    kept = [key for key in nginx.kept() if key.endswith(name)]
    assert len(kept) == len(set(kept)) == len(types)
    command = [deploy / "nginx" / "purge", nginx.folder / "cache", "127.0.0.1", "/auto/example.jpg"]
    assert b"3 files are forgotten" in subprocess.run(command, check=True, stdout=-1).stdout


def test_whatever_is_accepted_gets_what_vipsgate_gives(direct, site):
    """Also what no browser says: weights, quotes, faults; twice, as the first may be kept."""
    for text in RULES:
        if not text.isascii() or len(text) > 1000:
            continue
        plain = ask(direct, "auto/panda.png", "image/quality,Q_80", {"Accept": text})
        for _ in range(2):
            through = ask(site, "auto/panda.png", "image/quality,Q_80", {"Accept": text})
            assert lasting(through) == lasting(plain), text


def test_purged_by_source(site, nginx, deploy):
    cache = nginx.folder / "cache"
    rows = [("open/with%20space.jpg", "image/resize,w_31"), ("open/with%20space.jpg", "")]
    other = ("open/with%20space.jpgx", "image/resize,w_31")
    (site.root / "open" / "with space.jpgx").write_bytes(
        (site.root / "open" / "example.jpg").read_bytes()
    )
    for row in (*rows, other):
        bring(site, *row)
    command = [deploy / "nginx" / "purge", cache, "127.0.0.1", "/open/with%20space.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[0]) >= 2
    for row in rows:
        assert kept(ask(site, *row)) == "MISS"
    assert kept(ask(site, *other)) == "HIT"


# -- when it is too much, or away ------------------------------------------------------------------


def test_too_many_of_one_address_are_told_so(direct, proxying):
    with proxying(direct.port) as nginx:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", nginx.port)) as line:
            seen = []
            for _ in range(500):
                line.request("GET", f"/open/example.jpg?x-oss-process={SMALL}")
                answer = line.getresponse()
                body = answer.read()
                seen.append(answer.status)
                if answer.status == 429:
                    break
        assert seen[:200] == [200] * 200  # a page full of pictures
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"] == "application/xml"
        assert b"<Code>SlowDown</Code>" in body


def test_while_vipsgate_is_away(start, root, proxying, tmp_path):
    folder = filled(tmp_path, root)
    with contextlib.ExitStack() as stack:
        with start(folder) as direct:
            nginx = stack.enter_context(proxying(direct.port))
            site = dataclasses.replace(direct, port=nginx.port)
            before = bring(site, "brief/example.jpg")
        time.sleep(2.1)
        stale = ask(site, "brief/example.jpg")
        assert (stale.status, kept(stale), stale.body) == (200, "STALE", before.body)
        for target in ("/open/panda.png", signed("shut", "example.jpg")):
            away = site.ask(target)
            assert (away.status, away.code) == (503, "ServiceUnavailable")
            assert away.headers["Retry-After"] == "5"


def test_the_log_has_no_signature(site, nginx):
    target = signed("shut", "example.jpg")
    site.ask(target)
    site.ask(signed_for_cdn("shut", "a.jpg"))
    ask(site, f"open/{quote('西湖/日出.jpg')}", "image/resize,w_33")
    time.sleep(0.1)
    rows = [json.loads(line) for line in nginx.log.splitlines()]
    assert rows
    assert rows[-1]["uri"] == "/open/西湖/日出.jpg?x-oss-process=image/resize,w_33"
    assert rows[-1]["status"] == 200
    assert len(rows[-1]["id"]) == 24
    assert {row["uri"] for row in rows[-3:-1]} == {"/shut/***/a.jpg", "/shut/example.jpg?-"}
    assert "Signature" not in nginx.log
    assert "[error]" not in nginx.errors


# -- hits that nginx sends from vipsgate's disk ----------------------------------------------------

BITMAP = "image/resize,w_300,limit_0/format,bmp"  # above 64 KB, and too large for that memory
HANDED = CONFIG.replace("memory_bytes = 10000000", "memory_bytes = 100000").replace(
    'endpoint = "oss.example.com"', 'accel_redirect = "/.vipsgate/cache/"'
)
HANDING = {
    "# include vipsgate/handoff.conf;": "include vipsgate/handoff.conf;",
    "proxy_cache $vipsgate_zone": "proxy_cache off",  # it would not ask again
}


@pytest.fixture(scope="module")
def handing(start, root, proxying, tmp_path_factory):
    folder = filled(tmp_path_factory.mktemp("handing"), root)
    (folder / "vipsgate.toml").write_text(HANDED)
    alias = {"/var/cache/vipsgate/": f"{folder}/cache/"}
    more = {"vipsgate/site.conf": HANDING, "vipsgate/handoff.conf": alias}
    with start(folder) as direct, proxying(direct.port, more) as nginx:
        yield folder, direct, dataclasses.replace(direct, port=nginx.port)


def handed(site, target, headers=None):
    """Ask until nginx sends it from the disk."""
    for _ in range(100):
        answer = site.ask(target, headers)
        assert answer.status == 200
        if answer.headers["X-Nginx-Cache"] == "HANDOFF":
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{target} is not handed over")


@pytest.mark.parametrize(
    "asked",
    [
        lambda: (f"/brief/example.jpg?x-oss-process={BITMAP}", {}),
        lambda: (signed("shut", "example.jpg", BITMAP), {}),
        lambda: (signed("shut", "example.jpg", BITMAP, version=4), {}),
        lambda: (
            f"/hotlink/example.jpg?x-oss-process={BITMAP}",
            {"Referer": "http://good.example.com/"},
        ),
        lambda: (f"/crossed/example.jpg?x-oss-process={BITMAP}", {"Origin": "https://a.example"}),
        lambda: (f"/crossed/example.jpg?x-oss-process={BITMAP}", {}),
    ],
    ids=["public", "V1", "V4", "hotlink", "another origin", "no origin"],
)
def test_handed_over_with_all_headers(handing, asked):
    _, direct, site = handing
    target, headers = asked()
    first, through = direct.ask(target, headers), handed(site, target, headers)
    plain = direct.ask(target, headers)
    assert lasting(through) == lasting(plain)
    assert through.body == plain.body == first.body
    assert through.headers["X-Vipsgate-Cache"] == plain.headers["X-Vipsgate-Cache"] == "hit"
    assert len(through.headers["x-oss-request-id"]) == 24
    assert "X-Accel-Redirect" not in {*plain.headers, *through.headers}
    part = site.ask(target, {**headers, "Range": "bytes=7-70000"})
    assert (part.status, part.body) == (206, plain.body[7:70001])
    assert site.ask(target, {**headers, "If-None-Match": plain.etag}).status == 304
    # whoever comes past nginx, and says that it is nginx, gets no more than a name
    bare = direct.ask(target, {**headers, "X-Vipsgate-Accel": "1"})
    assert (bare.status, bare.body) == (200, b"")
    assert bare.headers["X-Accel-Redirect"].startswith("/.vipsgate/cache/")


def test_the_gate_is_asked_before_a_file_is_handed_over(handing):
    folder, _, site = handing
    handed(site, signed("shut", "example.jpg", BITMAP))
    assert ask(site, "shut/example.jpg", BITMAP).status == 403
    assert ask(site, "hotlink/example.jpg", BITMAP).status == 403
    path = next((folder / "cache" / "shut").rglob("*.exact")).relative_to(folder / "cache")
    for target in (f"/.vipsgate/cache/{path}", f"/.vipsgate/cache/../cache/{path}"):
        for headers in ({}, {"X-Accel-Redirect": target, "X-Vipsgate-Accel": "1"}):
            assert site.ask(target, headers).status in (400, 404)
            assert ask(site, "shut/example.jpg", BITMAP, headers).status == 403


def test_what_nginx_would_lose_is_not_handed_over(handing):
    folder, _, site = handing
    request = sign.Request("PUT", "brief", "told.jpg", (), {"x-oss-meta-who": "me"})
    headers = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    data = (folder / "root" / "brief" / "example.jpg").read_bytes()
    headers = {**headers, "x-oss-meta-who": "me"}
    put = site.ask("/brief/told.jpg", headers, method="PUT", body=data)
    assert put.status == 200, put.body
    for _ in range(3):
        answer = ask(site, "brief/told.jpg", BITMAP)
        assert (answer.status, answer.headers["x-oss-meta-who"]) == (200, "me")
        time.sleep(0.1)
    assert "HANDOFF" not in answer.headers.get("X-Nginx-Cache", "")


def test_a_file_that_nginx_does_not_find(handing, proxying):
    """It asks again, and is given the bytes; nginx without handoff.conf is given them at once."""
    folder, direct, site = handing
    target = f"/bounded/example.jpg?x-oss-process={BITMAP}"
    before = handed(site, target)
    alias = {"/var/cache/vipsgate/": f"{folder}/nowhere/"}
    for more in ({"vipsgate/site.conf": HANDING, "vipsgate/handoff.conf": alias}, {}):
        with proxying(direct.port, more) as nginx:
            again = dataclasses.replace(direct, port=nginx.port).ask(target)
        assert lasting(again) == lasting(before)


@pytest.fixture
def apart():
    """A folder that every user can go into, unlike pytest's."""
    if os.geteuid() != 0:
        pytest.skip("only root may run nginx as somebody else: run it as root")
    with tempfile.TemporaryDirectory(prefix="vipsgate-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
@pytest.mark.parametrize("group", ["daemon", "nogroup"])
def test_handed_to_an_nginx_of_another_user(start, root, proxying, apart, group, umask):
    """It is in the group of the cache's folder, and reads what it sends, and no more; or it is not.

    Then it asks vipsgate for the bytes.
    """
    theirs = grp.getgrnam("daemon").gr_gid
    folder = filled(apart, root)
    (folder / "vipsgate.toml").write_text(HANDED)
    (folder / "cache").mkdir(mode=0o700)
    os.chown(folder / "cache", -1, theirs)
    alias = {"/var/cache/vipsgate/": f"{folder}/cache/"}
    more = {"vipsgate/site.conf": HANDING, "vipsgate/handoff.conf": alias}
    (folder / "nginx").mkdir()
    before = os.umask(umask)
    try:
        with start(folder) as direct:
            os.umask(before)
            options = {"folder": folder / "nginx", "user": f"nobody {group}"}
            with proxying(direct.port, more, **options) as nginx:
                site = dataclasses.replace(direct, port=nginx.port)
                target = signed("shut", "example.jpg", BITMAP)
                plain = direct.ask(target)
                if group == "daemon":
                    assert lasting(handed(site, target)) == lasting(plain)
                else:
                    while not list((folder / "cache").rglob("*.exact")):
                        assert direct.ask(target).status == 200
                    for _ in range(5):
                        answer = site.ask(target)
                        assert answer.headers.get("X-Nginx-Cache") != "HANDOFF"
                        assert lasting(answer) == lasting(plain)
    finally:
        os.umask(before)
    files = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".exact"}
    for path in files:
        for member in (True, False):
            done = subprocess.run(
                ["cat", path],
                user="nobody",
                group=theirs if member else "nogroup",
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            assert (done.returncode == 0) is (member and path.suffix == ".exact"), path


# -- many nodes ------------------------------------------------------------------------------------


def test_a_fleet_sends_a_source_to_one_node_and_past_a_dead_one(start, root, proxying, tmp_path):
    folder = filled(tmp_path, root)
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(start(folder)) for _ in range(2)]
        doomed = contextlib.ExitStack()
        nodes.append(doomed.enter_context(start(folder)))
        hosts = {
            f"10.0.0.{11 + at}:8080": f"127.0.0.1:{node.port}" for at, node in enumerate(nodes)
        }
        more = {
            "conf.d/vipsgate.conf": {"vipsgate/node.conf": "vipsgate/fleet.conf"},
            "vipsgate/fleet.conf": hosts,
        }
        nginx = stack.enter_context(proxying(nodes[0].port, more))
        site = dataclasses.replace(nodes[0], port=nginx.port)
        picture = (folder / "root" / "open" / "example.jpg").read_bytes()
        sources = [f"open/{number}.jpg" for number in range(40)]
        for source in sources:
            (folder / "root" / source).write_bytes(picture)

        def everything(widths):
            targets = [
                f"/{source}?x-oss-process=image/resize,w_{width}"
                for source in sources
                for width in widths
            ]
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                return [answer.status for answer in pool.map(site.ask, targets)]

        assert set(everything((40, 41))) == {200}
        time.sleep(0.1)
        where = {}
        for row in map(json.loads, nginx.log.splitlines()):
            where.setdefault(row["uri"].partition("?")[0], set()).add(row["node"])
        assert {len(seen) for seen in where.values()} == {1}
        assert len({node for seen in where.values() for node in seen}) == 3
        doomed.close()
        assert set(everything((42,))) == {200}


def test_nodes_that_nginx_holds_for_dead_are_asked_rather_than_nobody(
    start, root, proxying, kept_ports, tmp_path
):
    """Two that are restarted one by one: the one is back, and the other goes, within its 5 s."""
    folder = filled(tmp_path, root)
    ports = kept_ports(3)
    hosts = {f"10.0.0.{11 + at}:8080": f"127.0.0.1:{port}" for at, port in enumerate(ports)}
    more = {
        "conf.d/vipsgate.conf": {"vipsgate/node.conf": "vipsgate/fleet.conf"},
        "vipsgate/fleet.conf": hosts,
    }
    with proxying(ports[0], more) as nginx:
        for number in range(40):  # until either worker has given all three up
            url = f"http://127.0.0.1:{nginx.port}/open/{number}.jpg"
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(url, timeout=PATIENCE_S)
            assert caught.value.code == 503
            assert caught.value.headers["Retry-After"] == "5"
            assert b"<Code>ServiceUnavailable</Code>" in caught.value.read()
        with start(folder, "--port", str(ports[0])) as node:
            site = dataclasses.replace(node, port=nginx.port)
            for target in ("/open/example.jpg", signed("shut", "example.jpg")):
                assert lasting(site.ask(target)) == lasting(node.ask(target))
            assert ask(site, "open/none.jpg").code == "NoSuchKey"
        assert '"node":"vipsgate : ' in nginx.log


def test_both_groups_of_a_fleet_are_the_same_nodes(deploy):
    text = (deploy / "nginx" / "vipsgate" / "fleet.conf").read_text()
    first, again = (
        re.findall(r"^ *server (\S+)", part, re.M) for part in text.split("upstream ")[1:]
    )
    assert first == again != []


def test_what_may_not_be_repeated_is_sent_once(proxying, kept_ports):
    """Three nodes that take every request and hang up: a GET goes to others, a POST does not."""
    ports, seen = kept_ports(3), []

    def take(ear):
        with contextlib.suppress(OSError):
            while True:
                line, _ = ear.accept()
                with line:
                    seen.append(line.recv(65536).split()[0])

    more = {
        "conf.d/vipsgate.conf": {"vipsgate/node.conf": "vipsgate/fleet.conf"},
        "vipsgate/fleet.conf": {
            f"10.0.0.{11 + at}:8080": f"127.0.0.1:{port}" for at, port in enumerate(ports)
        },
    }
    with contextlib.ExitStack() as stack:
        for port in ports:
            ear = socket.create_server(("127.0.0.1", port))
            stack.callback(ear.close)
            stack.callback(ear.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=take, args=(ear,), daemon=True).start()
        nginx = stack.enter_context(proxying(ports[0], more))
        for method, most in (("POST", 1), ("GET", 6)) * 10:  # ten: until all are held for dead
            seen.clear()
            line = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=PATIENCE_S)
            with contextlib.closing(line):
                line.request(method, "/open/a.jpg", b"x" if method == "POST" else None)
                answer = line.getresponse()
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert 1 <= len(seen) <= most, (method, seen)
        assert '"node":"vipsgate : ' in nginx.log
