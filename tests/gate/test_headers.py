"""The x-oss- headers of each call: which pass, with which values, and which are refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from vipsgate import api
from vipsgate.errors import InvalidArgument, Unimplemented
from vipsgate.gate import headers

ROWS = {
    name: row
    for table in (api.SERVICE, api.BUCKET, api.OBJECT)
    for first in table.values()
    for row in (first, first.copying)
    if row
    for name in row.name.split(", ")
}
KEY = "x-oss-server-side-encryption-key-id"


def check(call, *pairs):
    sent = [("Host", "x"), ("Date", "x"), ("X-Forwarded-For", "x"), *pairs]
    headers.check(call, ROWS[call].headers, CIMultiDictProxy(CIMultiDict(sent)))


# calls: headers that pass, "name: value" in the wire's form
PASSES = {
    # what the SDKs send with every call
    "GetObject PutObject CopyObject ListBuckets PutStyle DeleteBucket GetBucketAcl PostProcess": [
        *("x-oss-date: 20260101T000000Z", "X-Oss-Date: Thu, 01 Jan 2026 00:00:00 GMT"),
        *("x-oss-content-sha256: UNSIGNED-PAYLOAD", "x-oss-security-token: CAIS+/="),
        *("x-oss-user-agent: aliyun-sdk-js/6.0", "x-oss-request-payer: requester"),
    ],
    # an object's own headers, sent back with other metadata
    "PutObject CopyObject InitiateMultipartUpload": [
        *("x-oss-object-type: Normal", "x-oss-hash-crc64ecma: 1", "x-oss-storage-class: Standard"),
        *("x-oss-request-id: 0", "x-oss-server-time: 3"),
        *("x-oss-object-acl: private", "x-oss-object-acl: nonsense", "X-OSS-Object-ACL: default"),
        *("x-oss-meta-a: 1", "X-Oss-Meta-Author-: me", "x-oss-storage-class: STANDARD"),
        *("x-oss-forbid-overwrite: true", "x-oss-forbid-overwrite: False"),
        *("x-oss-tagging: a=b", "x-oss-tagging: ", "X-OSS-TAGGING: a=b", "x-oss-tagging-count: 1"),
    ],
    "CopyObject": [
        *("x-oss-copy-source: /a/b", "x-oss-metadata-directive: REPLACE"),
        *("x-oss-copy-source-if-match: a", "x-oss-copy-source-if-unmodified-since: a"),
        *("x-oss-tagging-directive: Copy", "x-oss-tagging-directive: REPLACE"),
        "x-oss-copy-source-x-oss-tagging: a",
        # ali-oss repeats the headers of a copy
        *("x-oss-copy-source-cache-control: a", "x-oss-copy-source-x-oss-object-acl: private"),
        "x-oss-copy-source-x-oss-meta-a: 1",
    ],
    "UploadPartCopy": [
        *("x-oss-copy-source: /a/b", "x-oss-copy-source-range: bytes=0-1"),
        *("x-oss-copy-source-if-none-match: a", "x-oss-copy-source-if-modified-since: a"),
    ],
    # of the upload as a whole: oss2 and ali-oss send it with each of its calls
    "UploadPart UploadPartCopy CompleteMultipartUpload ListParts": [
        *("x-oss-object-acl: private", "x-oss-meta-a: 1", "x-oss-forbid-overwrite: true"),
    ],
    "CompleteMultipartUpload": ["x-oss-complete-all: yes"],
    "PutObject CompleteMultipartUpload": ["x-oss-callback: eyJ9", "x-oss-callback-var: eyJ9"],
    "GetObject HeadObject": ["x-oss-range-behavior: standard"],
    "DeleteObject DeleteMultipleObjects": ["x-oss-bypass-governance-retention: true"],
    "PutBucket PutBucketAcl": ["x-oss-acl: private"],
    "PutObjectACL": ["x-oss-object-acl: private"],
    "PostProcess": ["x-oss-forbid-overwrite: true"],
}
REFUSES = {
    "PutObject CopyObject InitiateMultipartUpload": [
        *("x-oss-server-side-encryption: AES256", "x-oss-server-side-encryption: ", f"{KEY}: a"),
        *("x-oss-server-side-data-encryption: SM4",),
        "x-oss-traffic-limit: 819200",
        *("x-oss-object-worm-mode: COMPLIANCE", "x-oss-object-worm-legal-hold: ON"),
        *("x-oss-object-worm-retain-until-date: a", "x-oss-persistent-headers: a:b"),
        *("x-oss-storage-class: IA", "x-oss-storage-class: ", "x-oss-storage-class: Archive"),
        *("x-oss-request-payer: owner", "x-oss-forbid-overwrite: yes", "x-oss-forbid-overwrite: "),
        *("x-oss-meta-: a", "x-oss-meta: a", "x-oss-: a", "x-oss-nobody-knows: a"),
        *("x-oss-acl: private", "x-oss-symlink-target: a"),
    ],
    "PutObject": [
        *("x-oss-copy-source-range: bytes=0-1", "x-oss-copy-source-if-match: a"),
        *("x-oss-metadata-directive: REPLACE", "x-oss-tagging-directive: Copy"),
        *("x-oss-complete-all: yes", "x-oss-rename-source: a"),
    ],
    "CopyObject InitiateMultipartUpload UploadPart AppendObject": [
        *("x-oss-callback: eyJ9", "x-oss-callback-var: eyJ9"),
    ],
    "CopyObject": [
        *("x-oss-tagging-directive: Other", "x-oss-copy-source-range: bytes=0-1"),
        "x-oss-copy-source-if-something: a",
    ],
    "UploadPart": ["x-oss-traffic-limit: 819200", "x-oss-copy-source-range: bytes=0-1"],
    "UploadPartCopy": ["x-oss-traffic-limit: 819200", "x-oss-metadata-directive: COPY"],
    "CompleteMultipartUpload": ["x-oss-complete-all: no"],
    "AbortMultipartUpload": ["x-oss-object-acl: private"],
    "GetObject HeadObject": [
        *(
            "x-oss-traffic-limit: 819200",
            "x-oss-range-behavior: other",
            "x-oss-process: image/info",
        ),
        *("x-oss-object-acl: private", "x-oss-meta-a: 1"),
    ],
    "GetObjectMeta": ["x-oss-traffic-limit: 1", "x-oss-range-behavior: standard"],
    "DeleteObject DeleteMultipleObjects": [
        *("x-oss-bypass-governance-retention: perhaps", "x-oss-delete-recursive: true"),
    ],
    "PutBucket": [
        *("x-oss-resource-group-id: a", "x-oss-bucket-tagging: a=b", "x-oss-hns-status: enabled"),
        *("x-oss-object-acl: private", "x-oss-agentic-bucket: true"),
    ],
    "PutBucketAcl": ["x-oss-object-acl: private"],
    "PutObjectACL": ["x-oss-acl: private", "x-oss-copy-source: /a/b", "x-oss-meta-a: 1"],
    "PostProcess": ["x-oss-object-acl: private", "x-oss-meta-a: 1", "x-oss-traffic-limit: 1"],
    "ListBuckets": ["x-oss-resource-group-id: a"],
    "ListObjects ListObjectsV2 PutStyle PutBucketReferer DeleteStyle": ["x-oss-acl: private"],
}


def cases(table):
    return [(call, line) for calls in table for call in calls.split() for line in table[calls]]


@pytest.mark.parametrize(("call", "line"), cases(PASSES))
def test_passes(call, line):
    check(call, tuple(line.split(": ", 1)))


@pytest.mark.parametrize(("call", "line"), cases(REFUSES))
def test_refuses_by_name(call, line):
    name, value = line.split(": ", 1)
    with pytest.raises(Unimplemented) as caught:
        check(call, (name, value))
    assert f"header: {name.lower()} of {call} is not implemented" in caught.value.message


def test_the_values_that_pass_are_named():
    with pytest.raises(Unimplemented, match="It expects false or true"):
        check("PutObject", ("x-oss-forbid-overwrite", "yes"))


@pytest.mark.parametrize("name", ["x-oss-object-acl", "x-oss-meta-a", "x-oss-date"])
@pytest.mark.parametrize("values", [("private", "public-read"), ("private", "private")])
def test_a_header_that_is_there_twice(name, values):
    with pytest.raises(InvalidArgument, match=f"{name} is given 2 times"):
        check("PutObject", (name, values[0]), (name.title(), values[1]))


@pytest.mark.parametrize("call", ROWS)
def test_headers_outside_of_x_oss_pass_everywhere(call):
    check(call, ("X-Oss", "a"), ("Oss-Process", "a"), ("X-Osserver", "a"), ("X-Amz-Acl", "a"))


@given(st.sampled_from(sorted(ROWS)), st.from_regex(r"(?i)x-oss-[a-z-]{0,12}", fullmatch=True))
def test_what_no_table_has_never_passes(call, name):
    low = name.lower()
    known = {*headers.ALWAYS, *ROWS[call].headers}
    known = {one for one in known if not one.endswith("-")}
    if low in known or low.startswith(("x-oss-meta-", "x-oss-copy-source-x-oss-meta-")):
        return
    with pytest.raises(Unimplemented):
        check(call, (name, "a"))


def test_it_does_not_matter_which_header_comes_first():
    sent = CIMultiDictProxy(CIMultiDict([("x-oss-callback", "a"), ("Host", "x")]))
    with pytest.raises(Unimplemented):
        headers.check("PutObject", headers.WRITE, sent)


@pytest.mark.parametrize("name", sorted({*headers.ALWAYS, *headers.COPY, *headers.COMPLETE}))
def test_names_are_in_lower_case(name):
    assert name == name.lower()
