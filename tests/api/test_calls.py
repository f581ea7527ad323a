"""Which call a request is: what is found, what is refused by name, what is passed over."""

import pytest

from vipsgate import api
from vipsgate.errors import InvalidArgument, MethodNotAllowed, Unimplemented
from vipsgate.gate import sign, target

TABLES = {"/": api.SERVICE, "/photos/": api.BUCKET, "/photos/a.jpg": api.OBJECT}


def find(request, headers=()):
    method, _, line = request.partition(" ")
    return api.find(method, target.resolve(line, "", {}, ""), dict(headers))


FOUND = {
    "GET /": "ListBuckets",
    "GET /?prefix=a&marker=b&max-keys=3": "ListBuckets",
    "GET /photos": "ListObjects",
    "GET /photos/?prefix=a&delimiter=/&marker=b&max-keys=3&encoding-type=url": "ListObjects",
    "GET /photos/?list-type=2&start-after=a&fetch-owner=true": "ListObjectsV2",
    "GET /photos/?list-type=2&continuation-token=a": "ListObjectsV2",
    "PUT /photos/": "PutBucket",
    "PUT /photos/?": "PutBucket",
    "PUT /photos/?&": "PutBucket",
    "DELETE /photos/": "DeleteBucket",
    "HEAD /photos/": "HeadBucket",
    "GET /photos/?versions&key-marker=a&version-id-marker=null": "ListObjectVersions",
    "GET /photos/?stat": "GetBucketStat",
    "GET /photos/?lifecycle": "GetBucketLifecycle",
    "PUT /photos/?cors": "PutBucketCors",
    "DELETE /photos/?cors": "DeleteBucketCors",
    "GET /photos/?website": "GetBucketWebsite",
    "PUT /photos/?website": "PutBucketWebsite",
    "DELETE /photos/?website": "DeleteBucketWebsite",
    "PUT /photos/?lifecycle": "PutBucketLifecycle",
    "DELETE /photos/?lifecycle": "DeleteBucketLifecycle",
    "GET /photos/?inventory&continuation-token=": "GetBucketInventory, ListBucketInventory",
    "GET /photos/?acl": "GetBucketAcl",
    "GET /photos/?acl=": "GetBucketAcl",
    "GET /photos/?%61cl": "GetBucketAcl",
    "PUT /photos/?style&styleName=a&category=image": "PutStyle",
    "GET /photos/?style": "GetStyle, ListStyle",
    "POST /photos/": "PostObject",
    "POST /photos/?delete&encoding-type=url": "DeleteMultipleObjects",
    "GET /photos/?uploads&delimiter=/&upload-id-marker=a": "ListMultipartUploads",
    "GET /photos/a.jpg": "GetObject",
    "GET /photos/a.jpg?x-oss-process=image/info": "GetObject",
    "GET /photos/a.jpg?x-oss-process": "GetObject",
    "GET /photos/a.jpg?response-content-type=a/b": "GetObject",
    "HEAD /photos/a.jpg?x-oss-process=image/info": "HeadObject",
    "HEAD /photos/a.jpg?objectMeta": "GetObjectMeta",
    "PUT /photos/a.jpg": "PutObject",
    "PUT /photos/a.jpg?uploadId=a&partNumber=1": "UploadPart",
    "POST /photos/a.jpg?uploads&encoding-type=url": "InitiateMultipartUpload",
    "POST /photos/a.jpg?uploadId=a&encoding-type=url": "CompleteMultipartUpload",
    "DELETE /photos/a.jpg?uploadId=a": "AbortMultipartUpload",
    "GET /photos/a.jpg?uploadId=a&max-parts=1&part-number-marker=1": "ListParts",
    "POST /photos/a.jpg?x-oss-process": "PostProcess",
    "POST /photos/a.jpg?append&position=0": "AppendObject",
    "PUT /photos/a.jpg?tagging": "PutObjectTagging",
    "PUT /photos/a.jpg?tagging&versionId=null": "PutObjectTagging",
    "PUT /photos/a.jpg?acl&versionId=a": "PutObjectACL",  # its version is refused by its value
    "GET /photos/a.jpg?versionId=null": "GetObject",
    "HEAD /photos/a.jpg?versionId=null": "HeadObject",
    "DELETE /photos/a.jpg?versionId=null": "DeleteObject",
    "PUT /photos/a.jpg?symlink": "PutSymlink",
    "GET /photos/a.jpg?symlink": "GetSymlink",
    # a signature is understood by every call; whether it is one is not asked here
    "DELETE /photos/?OSSAccessKeyId=a&Expires=1&Signature=a&security-token=a": "DeleteBucket",
    "PUT /photos/?acl&x-oss-signature=a&x-oss-credential=a&x-oss-date=a": "PutBucketAcl",
    # what browsers, caches and campaigns add to the address of a picture
    "GET /photos/a.jpg?utm_source=mail&utm_medium=a+b&fbclid=x": "GetObject",
    "GET /photos/a.jpg?t=123&_=1700000000&v=2&v=3": "GetObject",
    "HEAD /photos/a.jpg?t=123": "HeadObject",
    "GET /photos/a.jpg?x-oss-process=image/info&t=123": "GetObject",
    "GET /photos/a.jpg?=x": "GetObject",
    "GET /photos/a.jpg?category=shoes&prefix=x": "GetObject",
}


@pytest.mark.parametrize("request_", FOUND)
def test_a_call_is_found(request_):
    assert find(request_).name == FOUND[request_]


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ("PUT /photos/a.jpg", "CopyObject"),
        ("PUT /photos/a.jpg?uploadId=a&partNumber=1", "UploadPartCopy"),
        ("PUT /photos/a.jpg?acl", "PutObjectACL"),
        ("POST /photos/a.jpg?uploads", "InitiateMultipartUpload"),
    ],
)
def test_a_copy_is_told_by_its_header(request_, name):
    assert find(request_, [("x-oss-copy-source", "")]).name == name


REFUSED = {
    # request: part of the message
    "DELETE /photos/?publicAccessBlock": "DELETE ?publicAccessBlock on a bucket",
    "DELETE /photos/?publicAccessBlock=": "DELETE ?publicAccessBlock on a bucket",
    "DELETE /photos/?nobody-knows": "DELETE ?nobody-knows on a bucket",
    "DELETE /photos/?nobody=knows": "DELETE ?nobody on a bucket",
    "DELETE /photos/?ACL": "DELETE ?ACL on a bucket",
    "PUT /photos/?Acl": "PUT ?Acl on a bucket",
    "PUT /photos/?styleName=a": "PUT ?styleName on a bucket",
    "DELETE /photos/?style&styleName=a&t=1": "DELETE ?style and t on a bucket",
    "PUT /photos/?acl&referer": "PUT ?acl and referer on a bucket",
    "PUT /photos/?=x": "PUT ?'' on a bucket",
    "PUT /photos/?=": "PUT ?'' on a bucket",
    "PUT /photos/?x-oss-process=image/info": "PUT ?x-oss-process on a bucket",
    "GET /photos/?x-oss-process=image/info": "GET ?x-oss-process on a bucket",
    "GET /photos/?resourceGroup": "GET ?resourceGroup on a bucket",
    "GET /photos/?utm_source=mail": "GET ?utm_source on a bucket",
    "GET /photos/?start-after=a": "GET ?start-after on a bucket",
    "GET /photos/?list-type=2&marker=a": "GET ?list-type and marker on a bucket",
    "GET /photos/?acl&prefix=a": "GET ?acl and prefix on a bucket",
    "POST /photos/?t=123": "POST ?t on a bucket",
    "POST /photos/?metaQuery&comp=add": "POST ?comp and metaQuery on a bucket",
    "HEAD /photos/?acl": "HEAD ?acl on a bucket",
    "OPTIONS /": "OPTIONS on the service",
    "GET /?publicAccessBlock": "GET ?publicAccessBlock on the service",
    "DELETE /?publicAccessBlock": "DELETE ?publicAccessBlock on the service",
    "GET /?regions=oss-cn-hangzhou": "GET ?regions on the service",
    "GET /?tag-key=a": "GET ?tag-key on the service",
    "PUT /photos/a.jpg?x-oss-rename": "PUT ?x-oss-rename on an object",
    "PUT /photos/a.jpg?seal": "PUT ?seal on an object",
    "PUT /photos/a.jpg?legalHold": "PUT ?legalHold on an object",
    "PUT /photos/a.jpg?t=123": "PUT ?t on an object",
    "PUT /photos/a.jpg?versionId=null": "PUT ?versionId on an object",
    "POST /photos/a.jpg?append&versionId=null": "POST ?append and versionId on an object",
    "PUT /photos/a.jpg?partNumber=1": "PUT ?partNumber on an object",
    "PUT /photos/a.jpg?acl&callback=a": "PUT ?acl and callback on an object",
    "POST /photos/a.jpg?uploads&callback=a": "POST ?callback and uploads on an object",
    "PUT /photos/a.jpg?x-oss-process=image/info": "PUT ?x-oss-process on an object",
    "DELETE /photos/a.jpg?x-oss-delete": "DELETE ?x-oss-delete on an object",
    "DELETE /photos/a.jpg?uploadid=a": "DELETE ?uploadid on an object",
    "POST /photos/a.jpg?x-oss-async-process": "POST ?x-oss-async-process on an object",
    "POST /photos/a.jpg?uploads&sequential": "POST ?sequential and uploads on an object",
    "GET /photos/a.jpg?acl&t=1": "GET ?acl and t on an object",
    # of an object, what OSS has or may have
    "GET /photos/a.jpg?seal": "GET ?seal on an object",
    "GET /photos/a.jpg?seal=": "GET ?seal on an object",
    "GET /photos/a.jpg?seal=1": "GET ?seal on an object",
    "GET /photos/a.jpg?nobody-knows": "GET ?nobody-knows on an object",
    "GET /photos/a.jpg?nobody-knows=1&nobody-knows": "GET ?nobody-knows on an object",
    "GET /photos/a.jpg?ACL": "GET ?ACL on an object",
    "GET /photos/a.jpg?=": "GET ?'' on an object",
    "GET /photos/a.jpg?callback=foo": "GET ?callback on an object",
    "GET /photos/a.jpg?symlink&t=1": "GET ?symlink and t on an object",
    "GET /photos/a.jpg?x-oss-traffic-limit=819200": "GET ?x-oss-traffic-limit on an object",
    "GET /photos/a.jpg?X-Oss-Process=image/info": "GET ?X-Oss-Process on an object",
    "GET /photos/a.jpg?x-oss-process%3Dstyle/a=1": "GET ?x-oss-process=style/a on an object",
    "GET /photos/a.jpg?response-etag=a": "GET ?response-etag on an object",
    "GET /photos/a.jpg?Response-Content-Type=a/b": "GET ?Response-Content-Type on an object",
}


@pytest.mark.parametrize("request_", REFUSED)
def test_what_no_row_has_is_refused_by_name(request_):
    with pytest.raises(Unimplemented) as caught:
        find(request_)
    assert f"The call: {REFUSED[request_]} is not implemented." in caught.value.message


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ("PUT /photos/a.jpg?uploadId=a&uploadId=b&partNumber=1", "uploadId"),
        ("PUT /photos/a.jpg?uploadId=a&partNumber=1&partNumber=2", "partNumber"),
        ("DELETE /photos/?style&styleName=a&styleName=b", "styleName"),
        ("PUT /photos/?acl&acl", "acl"),
        ("GET /photos/?prefix=a&prefix=a", "prefix"),
        ("GET /photos/a.jpg?response-expires=a&response-expires=b", "response-expires"),
    ],
)
def test_a_parameter_that_says_two_things(request_, name):
    with pytest.raises(InvalidArgument, match=f"{name} is given"):
        find(request_)


def test_a_long_name_is_not_repeated_as_a_whole():
    with pytest.raises(Unimplemented) as caught:
        find(f"PUT /photos/a.jpg?{'x' * 5000}&{'y' * 5000}")
    assert len(caught.value.message) < 200


def test_methods_that_oss_does_not_have():
    with pytest.raises(MethodNotAllowed):
        find("PATCH /photos/a.jpg?seal")


# -- the table itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("line", TABLES)
def test_every_call_is_found_with_all_its_parameters(line):
    for (method, call), row in TABLES[line].items():
        words = [f"{name}=2" for name in sorted(row.parameters | {call} - {""})]
        assert find(f"{method} {line}?{'&'.join(words)}") is row


@pytest.mark.parametrize("line", TABLES)
def test_no_parameter_names_a_call_and_belongs_to_another_as_well(line):
    """Or it would depend on the order of names which call a request is."""
    calls = {(method, call) for method, call in TABLES[line] if call}
    for (method, call), row in TABLES[line].items():
        others = {name for name in row.parameters if (method, name) in calls}
        assert not others, (method, call, others)


@pytest.mark.parametrize("line", TABLES)
def test_no_row_takes_a_signature_for_something_of_its_own(line):
    for row in TABLES[line].values():
        assert not row.parameters & sign.NAMES


def test_only_what_reads_an_object_passes_over_anything():
    lenient = {key for table in TABLES.values() for key, row in table.items() if row.lenient}
    assert lenient == {("GET", ""), ("HEAD", "")}
    assert not any(row.lenient for row in (*api.SERVICE.values(), *api.BUCKET.values()))
