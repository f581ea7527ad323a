"""Who may read: anonymous callers public buckets, signed ones all; a bad signature nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.buckets import Bucket
from vipsgate.errors import OssError
from vipsgate.gate import access, sign
from vipsgate.gate.access import Seen
from vipsgate.gate.rights import Right
from vipsgate.gate.target import Target

PUBLIC, PRIVATE = Bucket(acl="public-read"), Bucket()
NOW, REGION = 1767225600.0, "cn-hangzhou"
KEY = sign.Credential("key", "secret", "reader")
KEYS = access.Keys((KEY,), REGION)
UNKNOWN = {"authorization": "OSS nobody:c2lnbmF0dXJl", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}


def check(bucket, query=(), headers=None, method="GET", keys=KEYS, right=Right.READ):
    asked = Target("photos", "a.jpg", tuple(query))
    return access.check(asked, method, headers or {}, bucket, keys, NOW, right)


def outcome(*args, acl="", right=Right.READ, **options):
    try:
        check(*args, right=right, **options).check_acl(acl, right)
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
    (PRIVATE, [("response-content-type", "text/html")], {}, "InvalidRequest"),
    (PUBLIC, [("Response-Content-Type", "text/html")], {}, "InvalidArgument"),
    # a signature that is not right is never as good as none, wherever it leads
    *((bucket, [], UNKNOWN, "InvalidAccessKeyId") for bucket in (PUBLIC, PRIVATE)),
    *(
        (bucket, [("Signature", "x"), ("OSSAccessKeyId", "key"), ("Expires", "1")], {}, code)
        for bucket in (PUBLIC, PRIVATE)
        for code in ("AccessDenied",)  # it has expired
    ),
    (None, [], UNKNOWN, "NoSuchBucket"),  # OSS looks for the bucket first
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
    # OSS looks for the bucket first
    assert outcome(None, query, headers, method, access.Keys((), REGION)) == "NoSuchBucket"
    assert outcome(PRIVATE, [("x-oss-process", "image/average-hue")], headers, method) == (
        "SignatureDoesNotMatch"
    )
    assert outcome(PRIVATE, query, headers, method, access.Keys((), REGION)) == (
        "InvalidAccessKeyId"
    )


# who may do what under which effective ACL (OSS guide, ACL); the roles are the contract's
MATRIX = [
    # caller, acl, rights
    ("", "private", ""),
    ("", "public-read", "read"),
    ("", "public-read-write", "read write delete"),
    *(
        (role, acl, rights)
        for acl in ("private", "public-read", "public-read-write")
        for role, rights in {
            "reader": "read view",
            "writer": "read view write",
            "owner": "read view write delete rule",
        }.items()
    ),
]


@pytest.mark.parametrize(("role", "acl", "rights"), MATRIX)
@pytest.mark.parametrize("right", Right)
def test_the_matrix(role, acl, rights, right):
    headers, keys = {}, KEYS
    if role:
        keys = access.Keys((replace(KEY, role=role),), REGION)
        headers = signed()
    allowed = right.value in rights.split()
    # an object's own ACL replaces the bucket's, in both directions
    for bucket, own in [(acl, ""), ("private", acl), ("public-read-write", acl)]:
        code = outcome(Bucket(acl=bucket), [], headers, keys=keys, acl=own, right=right)
        assert code == ("" if allowed else "AccessDenied")


@pytest.mark.parametrize(
    ("acl", "own", "right", "message"),
    [
        ("private", "", Right.READ, "because of bucket acl."),
        ("public-read", "", Right.WRITE, "because of bucket acl."),
        ("public-read", "private", Right.READ, "do not have read permission on this object."),
        ("public-read-write", "public-read", Right.WRITE, "write permission on this object."),
        ("public-read-write", "", Right.VIEW, "Anonymous access is forbidden"),
    ],
)
def test_says_which_acl_it_was(acl, own, right, message):
    with pytest.raises(OssError, match=message):
        check(Bucket(acl=acl), right=right).check_acl(own, right)


def test_says_which_role_it_was():
    with pytest.raises(OssError, match="the role reader of this AccessKeyId has no right to write"):
        check(PUBLIC, headers=signed(), right=Right.WRITE)


OVERRIDES = [
    ("response-content-type", "text/html", {"Content-Type": "text/html"}),
    ("response-cache-control", "no-cache", {"Cache-Control": "no-cache"}),
    (
        "response-content-disposition",
        "attachment;filename=西湖.jpg",
        {"Content-Disposition": "attachment;filename=西湖.jpg"},
    ),
    ("response-expires", "", {}),
    ("response-x", "y", {}),
    ("response-content-type", "a\r\nSet-Cookie: b", "InvalidArgument"),
    ("response-content-language", "a\0", "InvalidArgument"),
    ("response-content-encoding", "\udc80", "InvalidArgument"),
    # in one spelling only
    ("Response-Content-Type", "text/html", "InvalidArgument"),
    ("RESPONSE-EXPIRES", "", "InvalidArgument"),
    ("response%2Dcache-control", "no-cache", "InvalidArgument"),
    ("response-cache-control ", "no-cache", {}),
]


@pytest.mark.parametrize(("name", "value", "expected"), OVERRIDES)
def test_a_signed_caller_may_override_headers(name, value, expected):
    query = [(name, value)]
    if isinstance(expected, str):
        assert outcome(PRIVATE, query, signed(query)) == expected
    else:
        assert check(PRIVATE, query, signed(query)).overrides == expected


GUARDED = Bucket(acl="public-read", protection={"enabled": True, "extensions": ["jpg"]})


ALL = Bucket(acl="public-read", protection={"enabled": True, "extensions": ["*"]})


@pytest.mark.parametrize(
    ("bucket", "item", "took"),
    [
        (PUBLIC, Seen("a.jpg"), False),
        (PUBLIC, Seen("a.jpg", "private"), True),
        (PRIVATE, Seen("a.jpg"), True),
        (PRIVATE, Seen("a.jpg", "public-read"), False),
        (GUARDED, Seen("a.jpg"), True),
        (GUARDED, Seen("a.dat"), False),
        (GUARDED, Seen("a.dat", aliases=("a.jpg",)), True),
        (ALL, Seen("a.dat"), True),  # it may be a picture
        (PUBLIC, Seen("a.jpg", link=Seen("b.jpg")), False),
        (PUBLIC, Seen("a.jpg", link=Seen("b.jpg", "private")), True),
        (PUBLIC, Seen("a.jpg", "private", link=Seen("b.jpg", "public-read")), True),
        (PRIVATE, Seen("a.jpg", "public-read", link=Seen("b.jpg")), True),
        (GUARDED, Seen("a.dat", link=Seen("b.dat")), False),
        (GUARDED, Seen("a.dat", link=Seen("b.jpg")), True),
        (GUARDED, Seen("a.dat", link=Seen("b.dat", aliases=("c.jpg",))), True),
    ],
)
def test_what_needed_a_signature(bucket, item, took):
    assert check(bucket, headers=signed()).took_signature(item) is took
    assert not check(bucket).took_signature(item)


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
