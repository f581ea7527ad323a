"""Which bucket and key a request means, and that no name leads out of a bucket.

Names stand in the table as they go over the wire: nothing is normalised on the way.
"""

import pytest

PATH = "/examplebucket/example.jpg"
PROCESS = "?x-oss-process=image/resize,w_100"

CONFIGURATION = """
[server]
endpoint = "oss.example.com"

[buckets.examplebucket]
acl = "public-read"
domains = ["img.example.com", "WWW.Example.ORG"]
cache_control = "max-age=86400"

[buckets.other-bucket]
acl = "private"
domains = ["private.example.com"]

[buckets.guide]
acl = "public-read-write"
"""


@pytest.fixture(scope="module")
def configured(serving, root, tmp_path_factory):
    """A second server over the same folder, with an endpoint and domains."""
    (root / "other-bucket").mkdir(exist_ok=True)
    (root / "other-bucket" / "example.jpg").write_bytes(b"for owners only")
    file = tmp_path_factory.mktemp("configuration") / "vipsgate.toml"
    file.write_text(CONFIGURATION)
    with serving(root, "--config", str(file), renderers=1) as running:
        yield running


# -- where the bucket's name is --------------------------------------------------------------------

HOSTS = [
    ("examplebucket.oss-cn-hangzhou.aliyuncs.com", "/example.jpg"),
    ("examplebucket.oss-cn-hangzhou.aliyuncs.com:8080", "/example.jpg"),
    ("examplebucket.oss-cn-hangzhou.aliyuncs.com.", "/example.jpg"),
    ("EXAMPLEBUCKET.OSS-CN-HANGZHOU.ALIYUNCS.COM", "/example.jpg"),
    ("examplebucket.oss-cn-hangzhou-internal.aliyuncs.com", "/example.jpg"),
    ("examplebucket.oss-us-west-1.aliyuncs.com", "/sub/deep/example.jpg"),
    ("oss-cn-hangzhou.aliyuncs.com", PATH),
    ("127.0.0.1", PATH),
    ("127.0.0.1:8080", PATH),
    ("localhost", PATH),
    ("[::1]:8080", PATH),
    ("[::1]", PATH),
    ("anything.example.net", PATH),
    ("examplebucket.oss.example.com", PATH),  # no endpoint is configured here
    ("", PATH),
]


@pytest.mark.parametrize(("host", "target"), HOSTS)
def test_hosts_without_configuration(site, bodies, host, target):
    answer = site.ask(target, host=host)
    assert (answer.status, answer.body) == (200, bodies["example.jpg"]), answer.body[:300]
    assert site.ask(target + PROCESS, host=host).picture.size == (100, 67)


CONFIGURED = [
    ("img.example.com", "/example.jpg"),
    ("img.example.com:80", "/example.jpg"),
    ("img.example.com.", "/example.jpg"),
    ("IMG.example.COM", "/example.jpg"),
    ("www.example.org", "/example.jpg"),
    ("examplebucket.oss.example.com", "/example.jpg"),
    ("examplebucket.oss.example.com:8080", "/example.jpg"),
    ("ExampleBucket.OSS.example.com", "/sub/deep/example.jpg"),
    ("examplebucket.oss-cn-beijing.aliyuncs.com", "/example.jpg"),
    ("oss.example.com", PATH),
    ("127.0.0.1", PATH),
    ("example.com", PATH),
    ("notimg.example.com", PATH),
    ("img.example.com.evil.net", PATH),
    ("examplebucketoss.example.com", PATH),
]


@pytest.mark.parametrize(("host", "target"), CONFIGURED)
def test_hosts_with_endpoint_and_domains(configured, bodies, host, target):
    answer = configured.ask(target, host=host)
    assert (answer.status, answer.body) == (200, bodies["example.jpg"]), answer.body[:300]
    assert answer.headers["Cache-Control"] == "max-age=86400"
    assert configured.ask(target + PROCESS, host=host).picture.size == (100, 67)


def test_the_buckets_cache_control_is_on_derivatives_and_304(configured, site):
    for target in (PATH, PATH + PROCESS):
        answer = configured.ask(target)
        assert answer.headers["Cache-Control"] == "max-age=86400"
        again = configured.ask(target, {"If-None-Match": answer.etag})
        assert (again.status, again.headers["Cache-Control"]) == (304, "max-age=86400")
        assert "Cache-Control" not in site.ask(target).headers
    assert "max-age" not in configured.ask("/examplebucket/missing.jpg").headers.get(
        "Cache-Control", ""
    )


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("private.example.com", "/example.jpg"),
        ("private.example.com", "/missing.jpg"),
        ("other-bucket.oss.example.com", "/example.jpg"),
        ("127.0.0.1", "/other-bucket/example.jpg"),
        ("127.0.0.1", "/other-bucket/missing.jpg"),
        ("127.0.0.1", "/other-bucket/example.jpg?x-oss-process=image/info"),
    ],
)
def test_a_private_bucket_tells_nothing(configured, host, target):
    for headers in ({}, {"If-None-Match": "*"}, {"Range": "bytes=0-1"}, {"If-Match": '"x"'}):
        answer = configured.ask(target, headers, host=host)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert answer.message == "You have no right to access this object because of bucket acl."
        assert not answer.etag
        assert b"owners" not in answer.body


@pytest.mark.parametrize(
    ("host", "target", "code"),
    [
        ("nosuch.oss-cn-hangzhou.aliyuncs.com", "/example.jpg", "NoSuchBucket"),
        ("127.0.0.1", "/nosuch/example.jpg", "NoSuchBucket"),
        ("127.0.0.1", "/nosuch/example.jpg?x-oss-process=image/info", "NoSuchBucket"),
        ("127.0.0.1", "/example.jpg/x", "InvalidBucketName"),
        ("127.0.0.1", "/favicon.ico", "InvalidBucketName"),
        ("127.0.0.1", "/ab/x", "InvalidBucketName"),
        ("127.0.0.1", f"/{'a' * 64}/x", "InvalidBucketName"),
        ("127.0.0.1", "/-abc/x", "InvalidBucketName"),
        ("127.0.0.1", "/abc-/x", "InvalidBucketName"),
        ("127.0.0.1", "/ExampleBucket/example.jpg", "InvalidBucketName"),
        ("127.0.0.1", "/A_B/x", "InvalidBucketName"),
        ("a_b.oss-cn-hangzhou.aliyuncs.com", "/example.jpg", "InvalidBucketName"),
        ("127.0.0.1", "/examplebucket_secret/canary.txt", "InvalidBucketName"),
    ],
)
def test_names_of_buckets(site, host, target, code):
    answer = site.ask(target, host=host)
    assert (answer.status, answer.code) == (404 if code == "NoSuchBucket" else 400, code)


def test_a_declared_bucket_without_a_folder_has_no_objects(serving, root, tmp_path):
    file = tmp_path / "vipsgate.toml"
    file.write_text('[buckets.not-there]\nacl = "public-read"\n')
    with serving(root, "--config", str(file), renderers=1) as running:
        assert running.ask("/not-there/a.jpg").code == "NoSuchKey"


# -- the request target ----------------------------------------------------------------------------

ABSOLUTE = [
    ("http://127.0.0.1/examplebucket/example.jpg", "127.0.0.1"),
    ("http://whatever:8080/examplebucket/example.jpg", "examplebucket.oss-x.aliyuncs.com"),
    ("http://examplebucket.oss-cn-hangzhou.aliyuncs.com/example.jpg", "127.0.0.1"),
    ("http://u:p@examplebucket.oss-cn-hangzhou.aliyuncs.com/example.jpg", "127.0.0.1"),
    ("HTTP://EXAMPLEBUCKET.oss-cn-hangzhou.aliyuncs.com:80/example.jpg", "127.0.0.1"),
    ("https://examplebucket.oss-cn-hangzhou.aliyuncs.com/example.jpg", "127.0.0.1"),
]


@pytest.mark.parametrize(("target", "host"), ABSOLUTE)
def test_the_absolute_form(site, bodies, target, host):
    assert site.ask(target, host=host).body == bodies["example.jpg"]
    assert site.ask(target + PROCESS, host=host).picture.size == (100, 67)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1", "http://127.0.0.1?acl", "http://127.0.0.1?x=/examplebucket/a"]
)
def test_the_absolute_form_without_a_path_is_the_service(site, target):
    answer = site.ask(target)  # listing buckets takes a signature, and has no such parameters
    expected = (501, "NotImplemented") if "?" in target else (403, "AccessDenied")
    assert (answer.status, answer.code) == expected


def test_without_host(site, bodies):
    assert site.ask(PATH, host=None, version="1.0").body == bodies["example.jpg"]
    assert site.ask(PATH, host=None).status in (200, 400)  # HTTP/1.1 demands one


def test_two_hosts(site):
    text = f"GET {PATH} HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"
    assert site.raw(text.encode()).status == 400


# -- keys ------------------------------------------------------------------------------------------

KEYS = [
    "example.jpg",
    "%65xample.jpg",
    "sub/deep/example.jpg",
    "sub%2Fdeep%2Fexample.jpg",
    "sub%2fdeep/example.jpg",
    "with%20space.jpg",
    "plus+plus.jpg",
    "plus%2Bplus.jpg",
    "50%25.jpg",
    "%2541.jpg",
    "a&b=c%3Fd%23e;f.jpg",
    "a%26b%3Dc%3Fd%23e%3Bf.jpg",
    "a&b=c%3Fd#e;f.jpg",  # nothing behind # is for the server to interpret
    "%E8%A5%BF%E6%B9%96/%E6%97%A5%E5%87%BA.jpg",
    "%e8%a5%bf%e6%b9%96%2f%e6%97%a5%e5%87%ba.jpg",
    "back%5Cslash.jpg",
    "back\\slash.jpg",
    "line%0Abreak.jpg",
    ".hidden.jpg",
    "..dots..jpg",
    "%2E%2Edots%2E%2Ejpg",
    "n" * 251 + ".jpg",
    "/".join(["k" * 127] * 8),
    "link-inside.jpg",
    "link-deep.jpg",
    "link-chain.jpg",
    "link-folder/deep/example.jpg",
    "link-here/example.jpg",
    "link-here/link-here/sub/deep/example.jpg",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:40])
def test_a_key_is_decoded_once(site, bodies, key):
    answer = site.get(key)
    assert (answer.status, answer.body) == (200, bodies["example.jpg"]), answer.body[:300]
    assert site.get(key, "image/resize,w_100").picture.size == (100, 67)
    host = "examplebucket.oss-cn-hangzhou.aliyuncs.com"
    assert site.ask(f"/{key}", host=host).body == bodies["example.jpg"]


@pytest.mark.parametrize("key", ["with+space.jpg", "plus%20plus.jpg", "%41.jpg", "50%2525.jpg"])
def test_a_key_is_not_decoded_otherwise(site, key):
    assert site.get(key).code == "NoSuchKey"


def test_chinese_as_raw_bytes(site, bodies):
    """Not legal in a URL, but sent: the same as percent-encoded."""
    answer = site.ask("/examplebucket/西湖/日出.jpg")
    assert (answer.status, answer.body) == (200, bodies["example.jpg"])


# -- names that lead elsewhere ---------------------------------------------------------------------

UP = [
    *("..", ".", "./", "../", "/", "//", "///", "\\", "%5C", "%2F"),
    *("../outside.txt", "../../outside.txt", "../../../outside.txt", "../canary.txt"),
    *("../examplebucket-secret/canary.txt", "../examplebucket_secret/canary.txt"),
    *("sub/../../canary.txt", "sub/../../../outside.txt", "sub/./deep/example.jpg"),
    *("./example.jpg", "sub/../example.jpg", "example.jpg/..", "example.jpg/.", "sub/.."),
    *("%2e%2e/canary.txt", "%2E%2E/%2E%2E/outside.txt", ".%2e/canary.txt", "%2e./canary.txt"),
    *("..%2fcanary.txt", "..%2F..%2Foutside.txt", "%2e%2e%2fcanary.txt", "%2e%2e%2f%2e%2e%2f"),
    *("%252e%252e%252fcanary.txt", "%252e%252e/canary.txt", "..%252fcanary.txt"),
    *("%c0%ae%c0%ae/canary.txt", "%c0%ae%c0%ae%c0%afcanary.txt", "..%c0%afcanary.txt"),
    *("%e0%80%ae%e0%80%ae/canary.txt", "%f0%80%80%ae/canary.txt", "%uff0e%uff0e/canary.txt"),
    *("%ef%bc%8e%ef%bc%8e/canary.txt", "..%ef%bc%8fcanary.txt", "..%e2%88%95canary.txt"),
    *("..\\canary.txt", "..%5ccanary.txt", "..%5C..%5Coutside.txt", "\\..\\canary.txt"),
    *("%5c..%5ccanary.txt", "..;/canary.txt", "..%00/canary.txt", "..%20/canary.txt"),
    *(".../canary.txt", "..../canary.txt", "....//canary.txt", "..././canary.txt"),
    *("%2e%2e%5ccanary.txt", "..%0d%0a/canary.txt", "..%09/canary.txt", "~/canary.txt"),
    *("sub//deep/example.jpg", "sub///deep/example.jpg", "//example.jpg", "/example.jpg"),
    *("%2Fexample.jpg", "%2f%2fexample.jpg", "sub%2F%2Fdeep/example.jpg", "sub/%2Fdeep"),
    *("%5Cexample.jpg", "\\example.jpg", "/etc/passwd", "%2Fetc%2Fpasswd", "//etc/passwd"),
    *("file:///etc/passwd", "C:\\canary.txt", "proc/self/environ", "../../../../etc/passwd"),
]
NAMES = [
    *("example.jpg/", "example.jpg//", "example.jpg%2F", "example.jpg.", "example.jpg%20"),
    *("example.jpg%5C", "EXAMPLE.JPG", "example.jpg/x", "example.jpg/x/y", "example.jpg/../f.jpg"),
    *("example.jpg%00", "%00", "%00example.jpg", "example%00.jpg", "note.txt%00.jpg"),
    *("%ff", "%fe%ff", "%80", "a%c3", "%e6%97", "%ed%a0%80", "%f5%80%80%80", "example.jpg%ff"),
    *("%", "%%", "%z", "%zz", "%2", "example%2", "a%0", "%%32%65%%32%65/canary.txt", "%u002e"),
]
HIDDEN = [
    *(".vipsgate", ".vipsgate/", ".vipsgate/canary.txt", "%2evipsgate/canary.txt"),
    *("%2Evipsgate%2Fcanary.txt", ".vips%67ate/canary.txt", "%2e%76%69psgate%2fcanary.txt"),
    *("sub/.vipsgate/canary.txt", "sub%2F.vipsgate%2Fcanary.txt", ".vipsgate/../canary.txt"),
    *("link-internal.txt", "link-internal-folder/canary.txt", "link-here/.vipsgate/canary.txt"),
    *("link-documents/buckets/x.json", "link-parent/.vipsgate/buckets/x.json"),
    *("../.vipsgate/buckets/x.json", "%2e%2e/.vipsgate/buckets/x.json"),
    *("..%2f.vipsgate%2fbuckets%2fx.json", ".vipsgate%00/canary.txt", ".vipsgate./canary.txt"),
    *(".VIPSGATE/canary.txt", ".vipsgate%20/canary.txt", "./.vipsgate/canary.txt"),
]
LINKS = [
    *("link-outside.txt", "link-absolute.txt", "link-outside-folder/secret.txt", "link-parent"),
    *("link-parent/canary.txt", "link-parent/examplebucket-secret/canary.txt"),
    *("link-parent/examplebucket/example.jpg/../../canary.txt", "link-sibling.txt"),
    *("link-sibling-folder/canary.txt", "link-chain-outside.txt", "link-dangling", "link-loop"),
    *("link-here", "link-folder", "link-device", "link-environment", "link-parent/canary%2etxt"),
    *("link-here/link-parent/canary.txt", "link-here/link-outside.txt"),
]
OTHERS = [
    *("pipe.jpg", "socket.jpg", "sub", "sub/", "sub/deep", "sub/deep/", "sub%2F"),
    *("k" * 1023, "k" * 1024, "k" * 256, "k" * 255, "%6b" * 1024, "%E8%A5%BF" * 341),
    *("%E8%A5%BF" * 342, "a/" * 511 + "a", "a/" * 512, "/".join(["k" * 256] * 3), "a" * 20000),
]


@pytest.mark.parametrize("process", ["", "image/info"], ids=["object", "info"])
@pytest.mark.parametrize(
    "name", [*UP, *NAMES, *HIDDEN, *LINKS, *OTHERS], ids=lambda text: text[:48]
)
def test_no_name_leads_elsewhere(site, canary, name, process):
    query = f"?x-oss-process={process}" if process else ""
    virtual = "examplebucket.oss-cn-hangzhou.aliyuncs.com"
    for target, host in ((f"/examplebucket/{name}", "127.0.0.1"), (f"/{name}", virtual)):
        for method in ("GET", "HEAD"):
            answer = site.ask(target + query, host=host, method=method)
            assert answer.status in (400, 404), (target, answer.status, answer.body[:200])
            assert canary.encode() not in answer.body
            assert b"root:" not in answer.body
            assert "Content-Range" not in answer.headers
            assert not answer.etag


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/../outside.txt",
            "/..%2foutside.txt",
            "/%2e%2e/outside.txt",
            "/.vipsgate/buckets/x.json",
        ),
        *("/%2evipsgate/buckets/x.json", "/canary.txt", "//canary.txt", "/./canary.txt", "/./x/y"),
        *("/%2e/canary.txt", "/examplebucket%2f../canary.txt", "/examplebucket%2F..%2Fcanary.txt"),
        *("/examplebucket/..", "/examplebucket/../canary.txt", "/examplebucket\\..\\canary.txt"),
        *(
            "/%00/canary.txt",
            "/%ff/canary.txt",
            "/../../etc/passwd",
            "//etc/passwd",
            "/~/canary.txt",
        ),
        *("http://127.0.0.1/../outside.txt", "http://127.0.0.1/examplebucket/../canary.txt"),
        *("http://../outside.txt", "http:///examplebucket/../canary.txt"),
        *("/examplebucket_secret/canary.txt", "/.././../outside.txt", "/nosuch/../canary.txt"),
    ],
)
def test_no_bucket_leads_elsewhere(site, canary, target):
    for method in ("GET", "HEAD"):
        answer = site.ask(target, method=method)
        assert answer.status in (400, 404), (answer.status, answer.body[:200])
        assert canary.encode() not in answer.body


@pytest.mark.parametrize("bucket", ["..", ".", ".vipsgate", "examplebucket_secret", "a/../b", ""])
def test_no_host_leads_elsewhere(site, canary, bucket):
    for target in ("/canary.txt", "/buckets/x.json", "/outside.txt"):
        answer = site.ask(target, host=f"{bucket}.oss-cn-hangzhou.aliyuncs.com")
        assert answer.status in (400, 404)
        assert canary.encode() not in answer.body
