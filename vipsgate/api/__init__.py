"""The calls of OSS's API, in one table; other requests are refused by name.

RULE: HTTP handling only: what a call changes is in :mod:`vipsgate.store`,
:mod:`vipsgate.catalog.uploads` and :mod:`vipsgate.catalog.documents`.

A row lists all parameters and headers that its call supports. A parameter that is not in the row
may name a call of OSS that is not implemented here, so it is refused, not ignored. Only GetObject
and HeadObject ignore parameters that cannot be such a name: those with a value that OSS does not
have (``utm_source=...``, ``t=123``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..errors import InvalidArgument, MethodNotAllowed, Unimplemented, shown
from ..gate import headers, parameters, sign
from ..gate.callback import NAMES as CALLBACK
from ..gate.rights import Right
from ..gate.target import PROCESS, Target
from . import (
    append,
    buckets,
    cors,
    images,
    lifecycle,
    listing,
    multipart,
    objects,
    post,
    referer,
    saveas,
    styles,
    symlink,
    tags,
    unset,
    versions,
    website,
)
from .call import Call, Handler, Row

__all__ = ["BUCKET", "OBJECT", "SERVICE", "Call", "Handler", "Row", "find"]

METHODS = "GET, HEAD, PUT, POST, DELETE"
KNOWN_METHODS = frozenset(METHODS.split(", ")) | {"OPTIONS"}  # that OSS has


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# names of OSS's calls besides those that V1 signs (SDKs for Python, JavaScript, Java); not all are
# needed, as a name without a value is always taken for one of OSS's
OSS_NAMES = parameters.SUB_RESOURCES | names(
    "accessmonitor agenticBucket bucketSpace cleanRestoredObject dataPipeline legalHold "
    "metadataConfiguration metadataInventoryTable metadataJournalTable MetaQuery objectWorm "
    "overwriteConfig playlistName policyStatus quota regions resourcegroup responseHeader "
    "retention rtc seal userDefinedLogFieldsConfig"
)
OSS_PREFIXES = (headers.PREFIX, "response-")  # in any case

KEYS = names("delimiter encoding-type max-keys prefix")
VERSION = names(parameters.VERSION)
READ = names(PROCESS) | parameters.OVERRIDES.keys() | VERSION
PART = names("partNumber")

# method and the parameter that names the call, or "" -> call; on the service, a bucket, an object
Table = Mapping[tuple[str, str], Row]
SERVICE: Table = {
    ("GET", ""): Row(
        *("ListBuckets", Right.VIEW, buckets.list_buckets, names("marker max-keys prefix")),
        bucket_optional=True,
    ),
}
BUCKET: Table = {
    ("GET", ""): Row("ListObjects", Right.VIEW, listing.list_objects, KEYS | names("marker")),
    ("GET", "list-type"): Row(
        *("ListObjectsV2", Right.VIEW, listing.list_objects_v2),
        KEYS | names("continuation-token fetch-owner start-after"),
    ),
    ("GET", "versions"): Row(
        *("ListObjectVersions", Right.VIEW, versions.list_versions),
        KEYS | names("key-marker version-id-marker"),
    ),
    ("HEAD", ""): Row("HeadBucket", Right.VIEW, buckets.head),
    ("PUT", ""): Row(
        *("PutBucket", Right.RULE, buckets.put_bucket),
        headers={headers.BUCKET_ACL: headers.ANY},
        bucket_optional=True,
    ),
    ("DELETE", ""): Row("DeleteBucket", Right.RULE, buckets.delete_bucket),
    ("GET", "acl"): Row("GetBucketAcl", Right.VIEW, buckets.get_acl),
    ("PUT", "acl"): Row(
        *("PutBucketAcl", Right.RULE, buckets.put_acl),
        headers={headers.BUCKET_ACL: headers.ANY},
    ),
    ("GET", "bucketInfo"): Row("GetBucketInfo", Right.VIEW, buckets.bucket_info),
    ("POST", ""): Row("PostObject", Right.WRITE, post.post),
    ("POST", "delete"): Row(
        *("DeleteMultipleObjects", Right.DELETE, objects.delete_many, names("encoding-type")),
        headers.DELETE,
    ),
    ("GET", "cors"): Row("GetBucketCors", Right.VIEW, cors.get),
    ("PUT", "cors"): Row("PutBucketCors", Right.RULE, cors.put),
    ("DELETE", "cors"): Row("DeleteBucketCors", Right.RULE, cors.delete),
    ("GET", "stat"): Row("GetBucketStat", Right.VIEW, buckets.stat),
    ("GET", "lifecycle"): Row("GetBucketLifecycle", Right.VIEW, lifecycle.get),
    ("PUT", "lifecycle"): Row(
        *("PutBucketLifecycle", Right.RULE, lifecycle.put), headers=headers.LIFECYCLE
    ),
    ("DELETE", "lifecycle"): Row("DeleteBucketLifecycle", Right.RULE, lifecycle.delete),
    ("GET", "location"): Row("GetBucketLocation", Right.VIEW, buckets.location),
    ("GET", "processConfiguration"): Row("GetBucketProcess", Right.VIEW, images.get),
    ("PUT", "processConfiguration"): Row("PutBucketProcess", Right.RULE, images.put),
    ("GET", "referer"): Row("GetBucketReferer", Right.VIEW, referer.get),
    ("PUT", "referer"): Row("PutBucketReferer", Right.RULE, referer.put),
    ("GET", "style"): Row("GetStyle, ListStyle", Right.VIEW, styles.get, names("styleName")),
    ("PUT", "style"): Row("PutStyle", Right.RULE, styles.put, names("category styleName")),
    ("DELETE", "style"): Row("DeleteStyle", Right.RULE, styles.delete, names("styleName")),
    ("GET", "uploads"): Row(
        *("ListMultipartUploads", Right.VIEW, multipart.list_uploads),
        names("delimiter encoding-type key-marker max-uploads prefix upload-id-marker"),
    ),
    ("GET", "website"): Row("GetBucketWebsite", Right.VIEW, website.get),
    ("PUT", "website"): Row("PutBucketWebsite", Right.RULE, website.put),
    ("DELETE", "website"): Row("DeleteBucketWebsite", Right.RULE, website.delete),
}
# settings of a bucket that are not supported, and read as not configured
NEVER_SET: Table = {
    ("GET", "encryption"): Row("GetBucketEncryption", Right.VIEW, unset.missing("encryption")),
    ("GET", "inventory"): Row(
        *("GetBucketInventory, ListBucketInventory", Right.VIEW, unset.missing("inventory")),
        names("continuation-token inventoryId"),
    ),
    ("GET", "live"): Row(
        *("ListLiveChannel", Right.VIEW, unset.live, names("marker max-keys prefix")),
    ),
    ("GET", "logging"): Row("GetBucketLogging", Right.VIEW, unset.logging),
    ("GET", "policy"): Row("GetBucketPolicy", Right.VIEW, unset.missing("policy")),
    ("GET", "tagging"): Row("GetBucketTags", Right.VIEW, unset.tagging),
    ("GET", "transferAcceleration"): Row(
        "GetBucketTransferAcceleration", Right.VIEW, unset.missing("transferAcceleration")
    ),
    ("GET", "versioning"): Row("GetBucketVersioning", Right.VIEW, unset.versioning),
    ("GET", "worm"): Row("GetBucketWorm", Right.VIEW, unset.missing("worm")),
}
BUCKET = {**BUCKET, **NEVER_SET}
OBJECT: Table = {
    ("GET", ""): Row("GetObject", Right.READ, objects.get, READ, headers.READ, lenient=True),
    ("HEAD", ""): Row("HeadObject", Right.READ, objects.get, READ, headers.READ, lenient=True),
    ("PUT", ""): Row(
        *("PutObject", Right.WRITE, objects.put, CALLBACK, headers.PUT),
        copying=Row("CopyObject", Right.WRITE, objects.copy, headers=headers.COPY),
    ),
    ("DELETE", ""): Row("DeleteObject", Right.DELETE, objects.delete, VERSION, headers.DELETE),
    ("HEAD", "objectMeta"): Row("GetObjectMeta", Right.READ, objects.meta, VERSION),
    ("PUT", "symlink"): Row(*("PutSymlink", Right.WRITE, symlink.put), headers=headers.SYMLINK),
    ("GET", "symlink"): Row("GetSymlink", Right.READ, symlink.get, VERSION),
    ("GET", "tagging"): Row("GetObjectTagging", Right.VIEW, tags.get, VERSION),
    ("PUT", "tagging"): Row("PutObjectTagging", Right.WRITE, tags.put, VERSION),
    ("DELETE", "tagging"): Row("DeleteObjectTagging", Right.WRITE, tags.delete, VERSION),
    ("GET", "acl"): Row("GetObjectACL", Right.VIEW, objects.get_acl, VERSION),
    ("PUT", "acl"): Row(
        *("PutObjectACL", Right.RULE, objects.put_acl, VERSION),
        headers={headers.ACL: headers.ANY},
    ),
    ("POST", "append"): Row(
        *("AppendObject", Right.WRITE, append.append, names("position"), headers.APPEND),
    ),
    ("POST", PROCESS): Row("PostProcess", Right.READ, saveas.post, headers=headers.SAVE_AS),
    ("POST", "uploads"): Row(
        *("InitiateMultipartUpload", Right.WRITE, multipart.initiate, names("encoding-type")),
        headers.UPLOAD,
    ),
    ("PUT", "uploadId"): Row(
        *("UploadPart", Right.WRITE, multipart.put_part, PART, headers.PART),
        copying=Row(
            *("UploadPartCopy", Right.WRITE, multipart.copy_part, PART, headers.COPY_PART),
        ),
    ),
    ("POST", "uploadId"): Row(
        *("CompleteMultipartUpload", Right.WRITE, multipart.complete),
        names("encoding-type") | CALLBACK,
        headers.COMPLETE,
    ),
    ("DELETE", "uploadId"): Row("AbortMultipartUpload", Right.WRITE, multipart.abort),
    ("GET", "uploadId"): Row(
        *("ListParts", Right.READ, multipart.list_parts),
        names("encoding-type max-parts part-number-marker"),
        headers.UPLOAD,
    ),
}


def find(method: str, target: Target, sent: Mapping[str, str]) -> Row:
    """Return the row of the call that a request makes.

    Args:
        method: The method, as sent.
        target: Bucket, key and parameters.
        sent: The headers, looked up without regard to case.

    Raises:
        Unimplemented: There is no such call here, though OSS may have it.
        InvalidArgument: A parameter is given twice.
        MethodNotAllowed: OSS does not have the method.
    """
    level, table = _level(target)
    given = target.names() - sign.NAMES
    call = next((name for name in sorted(given) if (method, name) in table), "")
    row = table.get((method, call))
    if row is None:
        if method in KNOWN_METHODS:
            raise _unimplemented(method, level, given)
        raise MethodNotAllowed(
            "The specified method is not allowed against this resource.",
            extra={"Method": method, "ResourceType": level},
            headers={"Allow": METHODS},
        )
    if row.copying and headers.COPY_SOURCE in sent:
        row = row.copying
    if not (given <= row.parameters and len(given) == len(target.query)):  # quick for pictures
        _check_parameters(method, level, call, row, target)
    return row


def _level(target: Target) -> tuple[str, Table]:
    if target.key:
        return "Object", OBJECT
    return ("Bucket", BUCKET) if target.bucket else ("Service", SERVICE)


def _check_parameters(method: str, level: str, call: str, row: Row, target: Target) -> None:
    """Refuse parameters that the call does not support, and repeated ones.

    Raises:
        Unimplemented: A parameter is not supported.
        InvalidArgument: A parameter is given twice.
    """
    understood = row.parameters | {call} if call else row.parameters
    times = Counter(name for name, _ in target.query if name in understood)
    unknown = {
        name
        for name, value in target.query
        if name not in understood
        and name not in sign.NAMES
        and not (row.lenient and _is_unknown_parameter(name, value))
    }
    if unknown:
        raise _unimplemented(method, level, unknown | ({call} if call else set()))
    for name, count in times.items():
        if count > 1:
            raise InvalidArgument(f"The parameter: {name} is given {count} times.")


def _is_unknown_parameter(name: str, value: str) -> bool:
    """Return whether a parameter cannot be one of OSS's."""
    return bool(value) and name not in OSS_NAMES and not name.lower().startswith(OSS_PREFIXES)


def _unimplemented(method: str, level: str, given: frozenset[str] | set[str]) -> Unimplemented:
    text = shown(" and ".join(sorted(name or "''" for name in given)))
    call = f"{method} ?{text}" if text else method
    return Unimplemented(f"The call: {call} on {_WHAT[level]} is not implemented.")


_WHAT = {"Object": "an object", "Bucket": "a bucket", "Service": "the service"}
