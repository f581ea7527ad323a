"""Pages of other origins: each has its own answer, on hits, misses, errors, 304 and preflights."""

import re
import shutil
import socket
import time

import pytest

from vipsgate.gate import sign

CONFIG = """
[cache]
memory_bytes = {memory}
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.silent]
acl = "public-read"
[buckets.shared]
acl = "public-read-write"
domains = ["img.example.org"]
separators = ["!"]
timing_allow_origin = ["*"]
cross_origin_resource_policy = "cross-origin"
styles.small = "image/resize,w_60"
protection = {{ enabled = true, rules = [{{ prefix = "guarded" }}] }}
[[buckets.shared.cors]]
allowed_origins = ["https://a.example", "https://b.example"]
allowed_methods = ["GET", "HEAD", "POST"]
allowed_headers = ["x-oss-*"]
expose_headers = ["ETag", "x-oss-request-id"]
max_age_seconds = 600
[[buckets.shared.cors]]
allowed_origins = ["*"]
allowed_methods = ["PUT"]
[buckets.linked]
acl = "public-read"
referer = {{ allow_empty = false, whitelist = ["http://good.example"] }}
[[buckets.linked.cors]]
allowed_origins = ["*"]
allowed_methods = ["GET"]
[buckets.away]
acl = "public-read"
origin = "synthetic"
error_rate = 1.0
[[buckets.away.cors]]
allowed_origins = ["https://a.example"]
allowed_methods = ["GET", "HEAD"]
"""
KEY = sign.Credential("key1", "secret1")
A, B, NOBODY = "https://a.example", "https://b.example", "https://evil.example"
ALLOW, EXPOSE = "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"
SMALL = "/shared/example.jpg?x-oss-process=image/resize,w_100"
LARGE = "/shared/example.jpg?x-oss-process=image/format,png"  # a file of the cache, from disk


@pytest.fixture(scope="module", params=[10_000_000, 0], ids=["memory", "disk"])
def shared(request, serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cors")
    for bucket in ("shared", "silent", "linked"):
        (folder / "root" / bucket).mkdir(parents=True)
        for key in ("example.jpg", "guarded.jpg"):
            shutil.copy(root / "examplebucket" / "example.jpg", folder / "root" / bucket / key)
    (folder / "vipsgate.toml").write_text(CONFIG.format(memory=request.param))
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *words, renderers=1) as site:
        yield site


def varies(answer):
    return [name.strip() for name in (answer.headers.get("Vary") or "").split(",") if name]


def is_for(answer, origin):
    """Does an answer let this origin read it, and no other one?"""
    assert answer.headers.get_all("Vary") is not None
    assert len(answer.headers.get_all("Vary")) == 1
    assert "Origin" in varies(answer)
    assert (answer.headers.get_all(ALLOW) or [None]) == [origin]
    assert answer.headers[EXPOSE] == ("ETag, x-oss-request-id" if origin else None)
    assert answer.headers.get_all("Timing-Allow-Origin") == ["*"]
    assert answer.headers.get_all("Cross-Origin-Resource-Policy") == ["cross-origin"]


PATHS = (
    *("/shared/example.jpg", SMALL, LARGE, "/shared/example.jpg!small"),
    "/shared/example.jpg?x-oss-process=image/info",
)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
def test_each_origin_has_its_own_answer_however_it_is_kept(shared, path, method):
    bodies, hits = set(), 0
    for origin in (None, A, B, NOBODY, "null", A, None, B, NOBODY, A):
        answer = shared.ask(path, {"Origin": origin} if origin else {}, method=method)
        assert answer.status == 200
        is_for(answer, origin if origin in (A, B) else None)
        bodies.add((answer.body, answer.etag))
        hits += answer.headers["X-Vipsgate-Cache"] == "hit"
    assert len(bodies) == 1
    assert hits >= 7 or "process" not in path


def test_requests_on_one_connection(shared):
    """Answers whose head is written already, of HTTP/1.1 that stays open."""
    line = f"GET {SMALL} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    for origin in (None, A, B, None, NOBODY, A) * 2:
        link = shared.connection()
        for _ in range(3):
            link.request("GET", SMALL, headers={"Origin": origin} if origin else {})
            answer = link.getresponse()
            answer.read()
            is_for(answer, origin if origin in (A, B) else None)
        link.close()
    sent = f"{line}Origin: {A}\r\n\r\n{line}\r\n{line}Origin: {B}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((shared.host, shared.port), 10) as plain:
        plain.sendall(sent.encode())
        data = b"".join(iter(lambda: plain.recv(1 << 16), b""))
    heads = re.findall(rb"HTTP/1\.1 200 OK\r\n.*?\r\n\r\n", data, re.DOTALL)
    said = [re.findall(rb"Access-Control-Allow-Origin: (.*?)\r\n", head) for head in heads]
    assert said == [[A.encode()], [], [B.encode()]]


@pytest.mark.parametrize("path", PATHS)
def test_parts_and_what_has_not_changed(shared, path):
    etag = shared.ask(path).etag
    for origin in (A, B, NOBODY):
        part = shared.ask(path, {"Origin": origin, "Range": "bytes=0-9"})
        assert (part.status, len(part.body)) == (206, 10)
        is_for(part, origin if origin != NOBODY else None)
        same = shared.ask(path, {"Origin": origin, "If-None-Match": etag})
        assert same.status == 304
        is_for(same, origin if origin != NOBODY else None)
        beyond = shared.ask(path, {"Origin": origin, "Range": "bytes=99999999-"})
        assert beyond.status == 416
        is_for(beyond, origin if origin != NOBODY else None)


ERRORS = {
    "/shared/none.jpg": 404,
    "/shared/guarded.jpg": 403,
    "/shared/.vipsgate/x": 404,
    "/shared/a//b": 404,
    "/shared/a/../b": 400,
    "/shared/?prefix=a": 403,
    "/shared/?nobody=knows": 501,
    "/shared/example.jpg?x-oss-process=image/resize,w_0": 400,
    f"{SMALL}&OSSAccessKeyId=x&Signature=y&Expires=1": 403,
    "/shared/example.jpg?x-oss-process=style/none": 404,
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("path", "status"), ERRORS.items())
def test_errors(shared, path, status, method):
    for origin in (A, B, NOBODY, None):
        answer = shared.ask(path, {"Origin": origin} if origin else {}, method=method)
        if (method, path) == ("HEAD", "/shared/?prefix=a"):
            status = 501
        assert (answer.status, bool(answer.code)) == (status, True)
        is_for(answer, origin if origin in (A, B) else None)


def test_errors_of_a_store_that_is_away(shared):
    for _ in range(2):
        answer = shared.ask("/away/jpeg/1.jpg?x-oss-process=image/resize,w_9", {"Origin": A})
        assert answer.status == 503
        assert (answer.headers[ALLOW], varies(answer)) == (A, ["Origin"])


def test_what_is_not_utf_8_by_the_name_of_the_host(shared):
    answer = shared.ask("/%ff", {"Origin": A}, host="img.example.org")
    assert answer.status == 400
    is_for(answer, A)
    is_for(shared.ask("/example.jpg", {"Origin": B}, host="img.example.org"), B)


def test_uploads_and_forms(shared):
    answer = shared.ask("/shared/new.txt", {"Origin": NOBODY}, method="PUT", body=b"new")
    assert (answer.status, answer.headers[ALLOW]) == (200, "*")
    answer = shared.ask("/shared/new.txt", {"Origin": A}, method="DELETE")
    assert (answer.status, answer.headers[ALLOW], varies(answer)) == (204, None, ["Origin"])
    body = (
        b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nform.txt\r\n--x\r\n'
        b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--x--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x", "Origin": A}
    answer = shared.ask("/shared/", kind, method="POST", body=body)
    assert answer.status == 204
    is_for(answer, A)
    answer = shared.ask("/shared/", kind, method="POST", body=b"--x--\r\n")
    assert answer.status == 400
    is_for(answer, A)
    query = (("x-oss-process", ""),)
    saved = b"x-oss-process=image/resize,w_10|sys/saveas,o_c2F2ZWQuanBn"
    request = sign.Request("POST", "shared", "example.jpg", query, {})
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    target = "/shared/example.jpg?x-oss-process"
    answer = shared.ask(target, {**signed, "Origin": B}, method="POST", body=saved)
    assert answer.status == 200, answer.body
    is_for(answer, B)


def test_hotlink_rules_and_origins_both_count_for_a_cache(shared):
    sent = {"Referer": "http://good.example/", "Origin": NOBODY}
    for path in ("/linked/example.jpg", "/linked/example.jpg?x-oss-process=image/resize,w_9"):
        answer = shared.ask(path, sent)
        assert (answer.status, answer.headers[ALLOW]) == (200, "*")
        assert answer.headers.get_all("Vary") == ["Referer, Origin"]
        same = shared.ask(path, {**sent, "If-None-Match": answer.etag})
        assert same.headers.get_all("Vary") == ["Referer, Origin"]
        refused = shared.ask(path, {"Origin": NOBODY})
        assert (refused.status, refused.headers[ALLOW]) == (403, "*")


def preflight(site, path, origin=A, method="GET", **more):
    sent = {"Origin": origin, "Access-Control-Request-Method": method, **more}
    return site.ask(path, sent, method="OPTIONS")


HEADERS = "Access-Control-Request-Headers"
ROWS = [  # path, what is sent, and what is allowed
    ("/shared/example.jpg", {}, A),
    ("/shared/private?x-oss-process=image/info&partNumber=1&uploadId=x&Signature=y", {}, A),
    ("/shared/", {"method": "POST", HEADERS: "x-oss-date,X-OSS-Meta-A"}, A),
    ("/shared/", {"method": "PUT", "origin": NOBODY}, "*"),
    ("/shared/example.jpg", {"origin": NOBODY}, None),
    ("/shared/example.jpg", {"method": "DELETE"}, None),
    ("/shared/example.jpg", {HEADERS: "authorization"}, None),
    ("/away/1.jpg", {}, A),
]


@pytest.mark.parametrize(("path", "sent", "allowed"), ROWS)
def test_a_preflight_needs_no_signature(shared, path, sent, allowed):
    answer = preflight(shared, path, **sent)
    names = ["Origin", "Access-Control-Request-Method", HEADERS]
    assert (varies(answer), answer.headers[ALLOW]) == (names, allowed)
    if allowed is None:
        assert (answer.status, answer.code) == (403, "AccessForbidden")
        assert answer.message.startswith("CORSResponse: This CORS request is not allowed.")
        return
    assert (answer.status, answer.body) == (200, b"")
    assert sent.get("method", "GET") in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == (
        sent[HEADERS].replace(",", ", ") if HEADERS in sent else None
    )
    assert answer.headers["Access-Control-Max-Age"] == (
        "600" if path.startswith("/shared") and allowed == A else None
    )


def test_preflights_that_are_none(shared):
    answer = shared.ask("/shared/example.jpg", {"Origin": A}, method="OPTIONS")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    answer = preflight(shared, "/silent/example.jpg")
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert answer.message == "CORSResponse: CORS is not enabled for this bucket."
    assert preflight(shared, "/nowhere/example.jpg").code == "NoSuchBucket"
    assert preflight(shared, "/").code == "NotImplemented"
    assert preflight(shared, "/SHARED/x").code == "InvalidBucketName"


def test_a_bucket_without_rules_says_nothing(shared):
    for path in ("/silent/example.jpg", "/silent/none", SMALL.replace("shared", "silent")):
        for origin in (A, A, A):
            answer = shared.ask(path, {"Origin": origin})
            names = {name.lower() for name in answer.headers}
            assert not [name for name in names if name.startswith("access-control")]
            assert names.isdisjoint(("vary", "timing-allow-origin", "cross-origin-resource-policy"))


def test_rules_that_change(shared):
    """What is kept of pictures and of requests says what the rules say now."""

    def call(method, query, body=b""):
        request = sign.Request(method, "fresh", "", query, {})
        sent = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
        path = "/fresh/?" + "&".join(name for name, _ in query)
        answer = shared.ask(
            path,
            {**sent, "Content-Length": str(len(body))} if not body else sent,
            method=method,
            body=body,
        )
        assert answer.status in (200, 204), answer.body
        return answer

    call("PUT", ())
    shutil.copy(shared.root / "shared" / "example.jpg", shared.root / "fresh" / "example.jpg")
    path = "/fresh/example.jpg?x-oss-process=image/resize,w_50"
    url = sign.sign_url(
        KEY,
        "fresh",
        "example.jpg",
        process="image/resize,w_50",
        now=time.time(),
        version=4,
        region="cn-hangzhou",
        endpoint="http://x",
    ).partition("http://x")[2]
    rules = (
        b"<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>"
        b"<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
    )
    for _ in range(2):
        for target, status in ((path, 403), (url, 200)):
            for _ in range(2):
                answer = shared.ask(target, {"Origin": A})
                assert (answer.status, answer.headers[ALLOW]) == (status, None)
        call("PUT", (("cors", ""),), rules)
        assert b"https://a.example" in call("GET", (("cors", ""),)).body
        for target, status in ((path, 403), (url, 200)):
            for _ in range(2):
                answer = shared.ask(target, {"Origin": A})
                assert (answer.status, answer.headers[ALLOW]) == (status, A)
                assert shared.ask(target, {"Origin": B}).headers[ALLOW] is None
        call("DELETE", (("cors", ""),))
    shutil.rmtree(shared.root / "fresh")
