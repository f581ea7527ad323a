"""Request lines and hosts, read into bucket, key and parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.buckets import BUCKET, INTERNAL
from vipsgate.errors import InvalidObjectName, OssError
from vipsgate.gate.target import Target, check_key, check_stored_key, resolve

DOMAINS = {"img.example.com": "photos", "www.example.org": "other-bucket"}
ENDPOINT = "oss.example.com"


def read(line, host="127.0.0.1"):
    return resolve(line, host, DOMAINS, ENDPOINT)


# line, host, bucket, key, query
READS = [
    ("/photos/a.jpg", "127.0.0.1", "photos", "a.jpg", ()),
    ("/photos/a/b/c.jpg", "127.0.0.1:8080", "photos", "a/b/c.jpg", ()),
    ("/photos/a%2Fb.jpg", "", "photos", "a/b.jpg", ()),
    ("/photos%2Fa.jpg", "", "photos", "a.jpg", ()),
    ("/photos/a%20b.jpg", "", "photos", "a b.jpg", ()),
    ("/photos/a+b.jpg", "", "photos", "a+b.jpg", ()),
    ("/photos/%25", "", "photos", "%", ()),
    ("/photos/%2541", "", "photos", "%41", ()),
    ("/photos/%zz", "", "photos", "%zz", ()),
    ("/photos/%E8%A5%BF%E6%B9%96", "", "photos", "西湖", ()),
    ("/photos/西湖", "", "photos", "西湖", ()),
    ("/photos/\udce8\udca5\udcbf", "", "photos", "西", ()),
    ("/photos/a\\b", "", "photos", "a\\b", ()),
    ("/photos/...", "", "photos", "...", ()),
    ("/photos/..a", "", "photos", "..a", ()),
    ("/photos/a;b=c", "", "photos", "a;b=c", ()),
    ("/photos", "", "photos", "", ()),
    ("/photos/", "", "photos", "", ()),
    ("/", "", "", "", ()),
    ("*", "", "", "", ()),
    ("/?acl", "", "", "", (("acl", ""),)),
    ("/a.jpg", "img.example.com", "photos", "a.jpg", ()),
    ("/a.jpg", "IMG.Example.com:80", "photos", "a.jpg", ()),
    ("/a.jpg", "img.example.com.", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "img.example.com", "photos", "photos/a.jpg", ()),
    ("/a.jpg", "www.example.org", "other-bucket", "a.jpg", ()),
    ("/a.jpg", "photos.oss.example.com", "photos", "a.jpg", ()),
    ("/a.jpg", "Photos.OSS.example.com:8080", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "oss.example.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "xoss.example.com", "photos", "a.jpg", ()),
    ("/a.jpg", "photos.oss-cn-hangzhou.aliyuncs.com", "photos", "a.jpg", ()),
    ("/a.jpg", "photos.oss-cn-hangzhou-internal.aliyuncs.com", "photos", "a.jpg", ()),
    ("/a.jpg", "photos.oss-accelerate.aliyuncs.com", "photos", "a.jpg", ()),
    ("/a.jpg", "photos.oss-accelerate-overseas.aliyuncs.com:80", "photos", "a.jpg", ()),
    ("/a.jpg", "photos.cn-hangzhou.oss.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "oss-cn-hangzhou.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "cn-hangzhou.oss.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "img-cn-hangzhou.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "photos.img.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "photos.ecs-cn-hangzhou.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "a.photos.img-cn-hangzhou.aliyuncs.com", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "photos.oss-cn-hangzhou.aliyuncs.com.evil.net", "photos", "a.jpg", ()),
    ("/photos/a.jpg", "[::1]:8080", "photos", "a.jpg", ()),
    ("http://img.example.com/a.jpg", "127.0.0.1", "photos", "a.jpg", ()),
    ("http://x/photos/a.jpg", "img.example.com", "photos", "a.jpg", ()),
    ("HTTPS://u:p@img.example.com:443/a.jpg?x", "", "photos", "a.jpg", (("x", ""),)),
    ("http://img.example.com", "", "photos", "", ()),
    ("http://img.example.com?acl", "", "photos", "", (("acl", ""),)),
    ("http://img.example.com?a=/b", "", "photos", "", (("a", "/b"),)),
    ("/photos/a?x=1&y=2&x=3", "", "photos", "a", (("x", "1"), ("y", "2"), ("x", "3"))),
    ("/photos/a?x-oss-process", "", "photos", "a", (("x-oss-process", ""),)),
    ("/photos/a?b=c=d?e", "", "photos", "a", (("b", "c=d?e"),)),
    ("/photos/a?b=%2B+%20", "", "photos", "a", (("b", "+  "),)),
    ("/photos/a?b+c=%2B+", "", "photos", "a", (("b c", "+ "),)),
    ("/photos/a?Signature=a+b%2B%20", "", "photos", "a", (("Signature", "a+b+ "),)),
    ("/photos/a?%53ignature=a+b", "", "photos", "a", (("Signature", "a+b"),)),
    ("/photos/a?signature=a+b", "", "photos", "a", (("signature", "a b"),)),
    ("/photos/a?styleName=a+b", "", "photos", "a", (("styleName", "a b"),)),
    ("/photos/a?x-oss-process=a+b", "", "photos", "a", (("x-oss-process", "a+b"),)),
    # a key may be that of a folder
    ("/photos/a/", "", "photos", "a/", ()),
    ("/photos/a%2F", "", "photos", "a/", ()),
    ("/photos/a/b/?acl", "", "photos", "a/b/", (("acl", ""),)),
    # the first process text counts
    (
        "/photos/a?x-oss-process=1&b&x-oss-process=2",
        "",
        "photos",
        "a",
        (("x-oss-process", "1"), ("b", "")),
    ),
    ("/photos/a?x-oss-process&x%2Doss-process=1", "", "photos", "a", (("x-oss-process", ""),)),
    ("/photos/?prefix=%2B+%20", "", "photos", "", (("prefix", "+  "),)),
    ("/photos/a?&&b", "", "photos", "a", (("b", ""),)),
]


@pytest.mark.parametrize(("line", "host", "bucket", "key", "query"), READS)
def test_reads(line, host, bucket, key, query):
    assert read(line, host) == Target(bucket, key, query)


OLD_HOSTS = [
    "photos.img-cn-hangzhou.aliyuncs.com",
    "Photos.img-cn-hangzhou-internal.aliyuncs.com:80",
    "photos.img-us-west-1.aliyuncs.com.",
]


@pytest.mark.parametrize("host", OLD_HOSTS)
def test_hosts_of_the_older_service(host):
    assert read("/a.jpg@100w.jpg", host) == Target("photos", "a.jpg@100w.jpg", legacy=True)
    assert read(f"http://{host}/a.jpg") == Target("photos", "a.jpg", legacy=True)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/photos/a?x-oss-process=image/resize,w_100", "image/resize,w_100"),
        (
            "/photos/a?x-oss-process=image%2Fresize%2Cw_100%7Cimage%2Finfo",
            "image/resize,w_100|image/info",
        ),
        ("/photos/a?x-oss-process=image/watermark,text_a+b/c==", "image/watermark,text_a+b/c=="),
        ("/photos/a?x%2Doss%2Dprocess=image/info", "image/info"),
        ("/photos/a?X-OSS-Process=image/info", ""),
        ("/photos/a?x-oss-process=", ""),
        ("/photos/a", ""),
    ],
)
def test_process(line, text):
    assert read(line).process == text


REFUSES = [
    ("/a_b/x", "InvalidBucketName"),
    ("/ab/x", "InvalidBucketName"),
    (f"/{'a' * 64}/x", "InvalidBucketName"),
    ("/Photos/x", "InvalidBucketName"),
    ("/-photos/x", "InvalidBucketName"),
    ("/photos-/x", "InvalidBucketName"),
    ("/photos\n/x", "InvalidBucketName"),
    ("/photos%0A/x", "InvalidBucketName"),
    ("/phötos/x", "InvalidBucketName"),
    ("/.vipsgate/x", "InvalidBucketName"),
    ("/../x", "InvalidBucketName"),
    ("//photos/x", "InvalidBucketName"),
    ("/photos//x", "InvalidObjectName"),
    ("/photos/%2Fx", "InvalidObjectName"),
    ("/photos/\\x", "InvalidObjectName"),
    ("/photos/%5Cx", "InvalidObjectName"),
    ("/photos/a%00", "InvalidObjectName"),
    ("/photos/..", "InvalidObjectName"),
    ("/photos/a/../b", "InvalidObjectName"),
    ("/photos/a%2F..%2Fb", "InvalidObjectName"),
    ("/photos/%2e%2e", "InvalidObjectName"),
    ("/photos/./a", "InvalidObjectName"),
    ("/photos/a/.", "InvalidObjectName"),
    ("/photos/%ff", "InvalidObjectName"),
    ("/photos/%c0%ae", "InvalidObjectName"),
    ("/photos/%ed%a0%80", "InvalidObjectName"),
    ("/photos/\udcff", "InvalidObjectName"),
    (f"/photos/{'a' * 1024}", "InvalidObjectName"),
    (f"/photos/{'%E8%A5%BF' * 342}", "InvalidObjectName"),
    ("/photos/a//b", "NoSuchKey"),
    ("/photos/a//", "NoSuchKey"),
    ("/photos/.vipsgate/", "NoSuchKey"),
    ("/photos/.vipsgate", "NoSuchKey"),
    ("/photos/a/.vipsgate/b", "NoSuchKey"),
    ("/photos/%2Evipsgate%2Fx", "NoSuchKey"),
    ("/photos/a?b=%ff", "InvalidArgument"),
    ("/photos/a?%ff", "InvalidArgument"),
]


@pytest.mark.parametrize(("line", "code"), REFUSES)
def test_refuses(line, code):
    with pytest.raises(OssError) as caught:
        read(line)
    assert caught.value.code == code


def test_a_key_that_is_not_utf8():
    """A form's header may have bytes that are none."""
    for check in (check_key, check_stored_key):
        with pytest.raises(InvalidObjectName):
            check("a\udcb9.jpg")


@pytest.mark.parametrize("key", ["a" * 1023, "西" * 341])
def test_the_longest_key(key):
    assert read(f"/photos/{key}").key == key


texts = st.text() | st.text(alphabet="/%.?&=+\\:@[]#2eEfF0\0 av\udcff\udce8西")


@given(line=texts, host=texts)
def test_nothing_but_a_target_or_a_refusal(line, host):
    for start in ("", "/", "/photos/", "http://", "/photos/a?"):
        try:
            target = read(start + line, host)
        except OssError:
            continue
        assert not target.bucket or BUCKET.fullmatch(target.bucket)
        assert target.bucket or not target.key
        parts = target.key.removesuffix("/").split("/") if target.key else []
        assert not {"", ".", "..", INTERNAL} & set(parts)
        assert "\0" not in target.key
        assert len(target.key.encode()) <= 1023


@given(st.binary(max_size=60))
def test_every_way_to_write_a_key_is_the_same_key(raw):
    """Escaped whole, or as raw bytes: the same key, or refused both ways."""

    def outcome(line):
        try:
            return read(line).key
        except OssError as error:
            return error.code

    escaped = "".join(f"%{byte:02x}" for byte in raw)
    upper = "".join(f"%{byte:02X}" for byte in raw)
    assert outcome(f"/photos/{escaped}") == outcome(f"/photos/{upper}")
    if not set(raw) & set(b"%?"):
        assert outcome("/photos/" + raw.decode("utf-8", "surrogateescape")) == outcome(
            f"/photos/{escaped}"
        )
