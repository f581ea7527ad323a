"""The calls of OSS's API, one table; a call that is not in it is refused by name.

RULE: HTTP handling, and nothing else: what a call changes is in :mod:`vipsgate.store`,
:mod:`vipsgate.uploads` and :mod:`vipsgate.documents`.
"""

from __future__ import annotations

from ..errors import MethodNotAllowed, Unimplemented
from ..gate.rights import Right
from ..gate.target import PROCESS, Target
from . import buckets, images, listing, multipart, objects, referer, saveas, styles
from .call import Call, Row

__all__ = ["Call", "Row", "find"]

METHODS = "GET, HEAD, PUT, POST, DELETE"
KNOWN_METHODS = frozenset(METHODS.split(", ")) | {"OPTIONS"}  # to OSS
# all that OSS has for sub-resources: a call that names one is never the one without
SUB_RESOURCES = frozenset(
    "acl append asyncFetch bucketInfo callback cname comp cors delete encryption img inventory "
    "lifecycle link live location logging objectMeta partNumber policy processConfiguration qos "
    "referer replication requestPayment restore stat status style styleName symlink tagging "
    "uploadId uploads versionId versioning versions vod website worm x-oss-async-process".split()
)

# method and sub-resource -> call; on the service, a bucket, an object
SERVICE = {("GET", ""): Row("ListBuckets", Right.VIEW, buckets.list_buckets, anew=True)}
BUCKET = {
    ("GET", ""): Row("ListObjects", Right.VIEW, listing.list_objects),
    ("PUT", ""): Row("PutBucket", Right.RULE, buckets.put_bucket, anew=True),
    ("DELETE", ""): Row("DeleteBucket", Right.RULE, buckets.delete_bucket),
    ("GET", "acl"): Row("GetBucketAcl", Right.VIEW, buckets.get_acl),
    ("PUT", "acl"): Row("PutBucketAcl", Right.RULE, buckets.put_acl),
    ("GET", "bucketInfo"): Row("GetBucketInfo", Right.VIEW, buckets.bucket_info),
    ("POST", "delete"): Row("DeleteMultipleObjects", Right.DELETE, objects.delete_many),
    ("GET", "location"): Row("GetBucketLocation", Right.VIEW, buckets.location),
    ("GET", "processConfiguration"): Row("GetBucketProcess", Right.VIEW, images.get),
    ("PUT", "processConfiguration"): Row("PutBucketProcess", Right.RULE, images.put),
    ("GET", "referer"): Row("GetBucketReferer", Right.VIEW, referer.get),
    ("PUT", "referer"): Row("PutBucketReferer", Right.RULE, referer.put),
    ("GET", "style"): Row("GetStyle, ListStyle", Right.VIEW, styles.get),
    ("PUT", "style"): Row("PutStyle", Right.RULE, styles.put),
    ("DELETE", "style"): Row("DeleteStyle", Right.RULE, styles.delete),
    ("GET", "uploads"): Row("ListMultipartUploads", Right.VIEW, multipart.list_uploads),
}
OBJECT = {
    ("GET", ""): Row("GetObject", Right.READ, objects.get),
    ("HEAD", ""): Row("HeadObject", Right.READ, objects.get),
    ("PUT", ""): Row("PutObject, CopyObject", Right.WRITE, objects.put),
    ("DELETE", ""): Row("DeleteObject", Right.DELETE, objects.delete),
    ("HEAD", "objectMeta"): Row("GetObjectMeta", Right.READ, objects.meta),
    ("GET", "acl"): Row("GetObjectACL", Right.VIEW, objects.get_acl),
    ("PUT", "acl"): Row("PutObjectACL", Right.RULE, objects.put_acl),
    ("POST", PROCESS): Row("PostProcess", Right.READ, saveas.post),
    ("POST", "uploads"): Row("InitiateMultipartUpload", Right.WRITE, multipart.initiate),
    ("PUT", "uploadId"): Row("UploadPart, UploadPartCopy", Right.WRITE, multipart.put_part),
    ("POST", "uploadId"): Row("CompleteMultipartUpload", Right.WRITE, multipart.complete),
    ("DELETE", "uploadId"): Row("AbortMultipartUpload", Right.WRITE, multipart.abort),
    ("GET", "uploadId"): Row("ListParts", Right.READ, multipart.list_parts),
}
# what only says more of a call that another sub-resource names
BESIDE = {"partNumber": "uploadId", "styleName": "style"}


def find(method: str, asked: Target) -> Row:
    """The call that a request makes.

    Raises:
        Unimplemented: OSS knows it, this version does not.
        MethodNotAllowed: HTTP may know the method, OSS does not.
    """
    level = "Object" if asked.key else "Bucket" if asked.bucket else "Service"
    table = {"Object": OBJECT, "Bucket": BUCKET, "Service": SERVICE}[level]
    names = asked.names() & SUB_RESOURCES
    names -= {name for name, other in BESIDE.items() if other in names}
    if method == "POST":
        names |= asked.names() & {PROCESS}
    name = min(names) if len(names) == 1 else " and ".join(sorted(names))
    if row := table.get((method, name)):
        return row
    if method in KNOWN_METHODS:
        call = f"{method} ?{name}" if name else method
        raise Unimplemented(f"The call: {call} on {_WHAT[level]} is not implemented.")
    raise MethodNotAllowed(
        "The specified method is not allowed against this resource.",
        extra={"Method": method, "ResourceType": level},
        headers={"Allow": METHODS},
    )


_WHAT = {"Object": "an object", "Bucket": "a bucket", "Service": "the service"}
