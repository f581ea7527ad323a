"""Who may read: anonymous callers public buckets, signed ones all; a bad signature nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.buckets import Bucket
from vipsgate.errors import OssError
from vipsgate.gate import access, sign
from vipsgate.gate.target import Target

PUBLIC, PRIVATE = Bucket(acl="public-read"), Bucket()
NOW, REGION = 1767225600.0, "cn-hangzhou"
KEY = sign.Credential("key", "secret", "reader")
KEYS = access.Keys((KEY,), REGION)
UNKNOWN = {"authorization": "OSS nobody:c2lnbmF0dXJl", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}


def check(bucket, query=(), headers=None, method="GET", keys=KEYS):
    asked = Target("photos", "a.jpg", tuple(query))
    return access.check(asked, method, headers or {}, bucket, keys, NOW)


def outcome(*args, **options):
    try:
        check(*args, **options)
    except OssError as error:
        return error.code
    return ""


def signed(query=(), method="GET", version=1):
    request = sign.Request(method, "photos", "a.jpg", tuple(query), {})
    headers = sign.sign_headers(KEY, request, now=NOW, version=version, region=REGION)
    return {name.lower(): value for name, value in headers.items()}


DECIDES = [
    (PUBLIC, [], {}, ""),
    (Bucket(acl="public-read-write"), [], {}, ""),
    (PUBLIC, [("x-oss-process", "image/info"), ("a", "b")], {}, ""),
    (PRIVATE, [], {}, "AccessDenied"),
    (None, [], {}, "NoSuchBucket"),
    (PUBLIC, [("response-content-type", "text/html")], {}, "InvalidRequest"),
    (PUBLIC, [("response-cache-control", "")], {}, "InvalidRequest"),
    (PRIVATE, [("response-content-type", "text/html")], {}, "AccessDenied"),
    # a signature that is not right is never as good as none, wherever it leads
    *((bucket, [], UNKNOWN, "InvalidAccessKeyId") for bucket in (PUBLIC, PRIVATE, None)),
    *(
        (bucket, [("Signature", "x"), ("OSSAccessKeyId", "key"), ("Expires", "1")], {}, code)
        for bucket in (PUBLIC, PRIVATE, None)
        for code in ("AccessDenied",)  # it has expired
    ),
    (PUBLIC, [("x-oss-signature-version", "")], {}, "InvalidArgument"),
    (PUBLIC, [], {"authorization": ""}, "InvalidArgument"),
    # other spellings sign nothing
    (PUBLIC, [("signature", "x"), ("SIGNATURE", "x")], {}, ""),
]


@pytest.mark.parametrize(("bucket", "query", "headers", "code"), DECIDES)
def test_decides(bucket, query, headers, code):
    assert outcome(bucket, query, headers) == code


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_signed_caller_may_read(version, method):
    query = [("x-oss-process", "image/info")]
    headers = signed(query, method, version)
    for bucket in (PUBLIC, PRIVATE):
        assert check(bucket, query, headers, method).caller == KEY
    assert outcome(None, query, headers, method) == "NoSuchBucket"
    assert outcome(PRIVATE, [("x-oss-process", "image/average-hue")], headers, method) == (
        "SignatureDoesNotMatch"
    )
    assert outcome(PRIVATE, query, headers, method, access.Keys((), REGION)) == (
        "InvalidAccessKeyId"
    )


def test_overrides_of_a_signed_caller_are_named_as_missing():
    query = [("response-content-type", "text/html")]
    assert outcome(PUBLIC, query, signed(query)) == "NotImplemented"


@pytest.mark.parametrize(
    ("bucket", "anonymous", "caller"),
    [
        (PUBLIC, "", ""),
        (PRIVATE, None, "private"),
        (Bucket(acl="public-read", cache_control="max-age=9"), "max-age=9", "max-age=9"),
        (Bucket(cache_control="max-age=9"), None, "max-age=9"),
    ],
)
def test_what_needed_a_signature_is_for_no_shared_cache(bucket, anonymous, caller):
    assert check(bucket, headers=signed()).cache_control == caller
    if anonymous is not None:
        assert check(bucket).cache_control == anonymous


def test_the_bucket_that_is_not_there_is_named():
    with pytest.raises(OssError) as caught:
        check(None)
    assert caught.value.extra == {"BucketName": "photos"}


@given(
    query=st.lists(st.tuples(st.text() | st.sampled_from(sorted(sign.NAMES)), st.text())),
    headers=st.dictionaries(st.text() | st.just("authorization"), st.text()),
)
def test_a_private_bucket_is_never_open(query, headers):
    assert outcome(PRIVATE, query, headers)
    assert outcome(None, query, headers)
