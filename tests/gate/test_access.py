"""Who may read: anonymous callers public buckets, and nobody else anything yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.buckets import Bucket
from vipsgate.errors import OssError
from vipsgate.gate import access
from vipsgate.gate.target import Target

PUBLIC, PRIVATE = Bucket(acl="public-read"), Bucket()


def outcome(bucket, query=(), headers=None):
    try:
        access.check(Target("photos", "a.jpg", tuple(query)), headers or {}, bucket)
    except OssError as error:
        return error.code
    return ""


DECIDES = [
    (PUBLIC, [], {}, ""),
    (Bucket(acl="public-read-write"), [], {}, ""),
    (PUBLIC, [("x-oss-process", "image/info"), ("a", "b")], {}, ""),
    (PRIVATE, [], {}, "AccessDenied"),
    (None, [], {}, "NoSuchBucket"),
    (PUBLIC, [("response-content-type", "text/html")], {}, "InvalidRequest"),
    (PUBLIC, [("response-cache-control", "")], {}, "InvalidRequest"),
    (PRIVATE, [("response-content-type", "text/html")], {}, "AccessDenied"),
    # a signature nobody has verified is never as good as none, wherever it leads
    *(
        (bucket, [(name, "x")], {}, "NotImplemented")
        for bucket in (PUBLIC, PRIVATE, None)
        for name in ("Signature", "OSSAccessKeyId", "Expires", "x-oss-signature", "security-token")
    ),
    (PUBLIC, [("x-oss-signature-version", "")], {}, "NotImplemented"),
    (PUBLIC, [("x-oss-credential", "a")], {}, "NotImplemented"),
    (PUBLIC, [("x-oss-date", "a")], {}, "NotImplemented"),
    (PUBLIC, [("x-oss-expires", "a")], {}, "NotImplemented"),
    (PUBLIC, [("x-oss-security-token", "a")], {}, "NotImplemented"),
    (PUBLIC, [], {"Authorization": "OSS a:b"}, "NotImplemented"),
    (PUBLIC, [], {"Authorization": ""}, "NotImplemented"),
    (PRIVATE, [], {"Authorization": "OSS4-HMAC-SHA256 x"}, "NotImplemented"),
    # other spellings sign nothing
    (PUBLIC, [("signature", "x"), ("SIGNATURE", "x")], {}, ""),
]


@pytest.mark.parametrize(("bucket", "query", "headers", "code"), DECIDES)
def test_decides(bucket, query, headers, code):
    assert outcome(bucket, query, headers) == code


def test_the_bucket_that_is_not_there_is_named():
    with pytest.raises(OssError) as caught:
        access.check(Target("photos", "a.jpg"), {}, None)
    assert caught.value.extra == {"BucketName": "photos"}


@given(
    query=st.lists(st.tuples(st.text() | st.sampled_from(sorted(access.SIGNATURE)), st.text())),
    headers=st.dictionaries(st.text() | st.just("Authorization"), st.text()),
)
def test_a_private_bucket_is_never_open(query, headers):
    assert outcome(PRIVATE, query, headers) in ("AccessDenied", "NotImplemented")
    assert outcome(None, query, headers) in ("NoSuchBucket", "NotImplemented")
    assert outcome(PUBLIC, query, headers) in ("", "InvalidRequest", "NotImplemented")
