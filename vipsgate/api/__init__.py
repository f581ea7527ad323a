"""The calls of OSS's API, one table; what is not in it is refused by name.

RULE: HTTP handling, and nothing else: what a call changes is in :mod:`vipsgate.store`,
:mod:`vipsgate.uploads` and :mod:`vipsgate.documents`.

A call that is not known is never the call without the part that is not known: a row declares the
parameters and the ``x-oss-`` headers that it understands, and every other one is refused before
anything is looked at. Only GET and HEAD of an object pass over parameters with values that OSS does
not have, such as ``utm_source=mail``, which browsers and campaigns add.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..errors import InvalidArgument, MethodNotAllowed, Unimplemented, shown
from ..gate import parameters, sign
from ..gate.rights import Right
from ..gate.target import PROCESS, Target
from . import buckets, images, listing, multipart, objects, referer, saveas, styles
from .call import Call, Row

__all__ = ["Call", "Row", "find"]

METHODS = "GET, HEAD, PUT, POST, DELETE"
KNOWN_METHODS = frozenset(METHODS.split(", ")) | {"OPTIONS"}  # to OSS
SAFE_METHODS = frozenset(("GET", "HEAD"))
PREFIX = "x-oss-"  # of headers and parameters that are OSS's own
OVERRIDE_PREFIX = "response-"  # of parameters likewise

ANY: Collection[str] = ()  # every value of a header
EVERYWHERE: Mapping[str, Collection[str]] = {  # headers that each call understands
    "x-oss-content-sha256": ANY,  # of a signature
    "x-oss-date": ANY,
    "x-oss-security-token": ANY,
    "x-oss-user-agent": ANY,  # ali-oss in a browser, which must not set User-Agent
    "x-oss-request-payer": ("requester",),  # nobody pays for requests here
}
# headers of the calls that make an object: what is kept with it, and what changes nothing here
STORED: Mapping[str, Collection[str]] = {
    "x-oss-forbid-overwrite": ("true", "false"),
    "x-oss-meta-*": ANY,
    "x-oss-object-acl": ANY,
    "x-oss-storage-class": ("standard",),
}
COPIED: Mapping[str, Collection[str]] = {  # of those that take its bytes from another one
    "x-oss-copy-source": ANY,
    "x-oss-copy-source-if-match": ANY,
    "x-oss-copy-source-if-modified-since": ANY,
    "x-oss-copy-source-if-none-match": ANY,
    "x-oss-copy-source-if-unmodified-since": ANY,
}
PUT_HEADERS = {
    **STORED,
    **COPIED,
    "x-oss-metadata-directive": ("copy", "replace"),
    "x-oss-tagging-directive": ("copy",),  # no object has tags
}
PART_HEADERS = {**COPIED, "x-oss-copy-source-range": ANY}
RANGED = {"x-oss-range-behavior": ("standard",)}  # 416 for a range behind the end, as RFC 9110 says

ENCODING = frozenset(("encoding-type",))
READ_PARAMETERS = frozenset((PROCESS, *parameters.OVERRIDES))
STYLE = frozenset(("styleName",))
LIST = ENCODING | frozenset(
    "continuation-token delimiter fetch-owner list-type marker max-keys prefix start-after".split()
)
LIST_UPLOADS = ENCODING | frozenset(
    "delimiter key-marker max-uploads prefix upload-id-marker".split()
)

# method and sub-resource -> call; on the service, a bucket, an object
SERVICE = {
    ("GET", ""): Row(
        "ListBuckets",
        Right.VIEW,
        buckets.list_buckets,
        frozenset(("marker", "max-keys", "prefix")),
        anew=True,
    )
}
BUCKET = {
    ("GET", ""): Row("ListObjects", Right.VIEW, listing.list_objects, LIST),
    ("PUT", ""): Row(
        "PutBucket", Right.RULE, buckets.put_bucket, headers={buckets.ACL: ANY}, anew=True
    ),
    ("DELETE", ""): Row("DeleteBucket", Right.RULE, buckets.delete_bucket),
    ("GET", "acl"): Row("GetBucketAcl", Right.VIEW, buckets.get_acl),
    ("PUT", "acl"): Row("PutBucketAcl", Right.RULE, buckets.put_acl, headers={buckets.ACL: ANY}),
    ("GET", "bucketInfo"): Row("GetBucketInfo", Right.VIEW, buckets.bucket_info),
    ("POST", "delete"): Row("DeleteMultipleObjects", Right.DELETE, objects.delete_many, ENCODING),
    ("GET", "location"): Row("GetBucketLocation", Right.VIEW, buckets.location),
    ("GET", "processConfiguration"): Row("GetBucketProcess", Right.VIEW, images.get),
    ("PUT", "processConfiguration"): Row("PutBucketProcess", Right.RULE, images.put),
    ("GET", "referer"): Row("GetBucketReferer", Right.VIEW, referer.get),
    ("PUT", "referer"): Row("PutBucketReferer", Right.RULE, referer.put),
    ("GET", "style"): Row("GetStyle, ListStyle", Right.VIEW, styles.get, STYLE),
    ("PUT", "style"): Row("PutStyle", Right.RULE, styles.put, STYLE | {styles.CATEGORY}),
    ("DELETE", "style"): Row("DeleteStyle", Right.RULE, styles.delete, STYLE),
    ("GET", "uploads"): Row(
        "ListMultipartUploads", Right.VIEW, multipart.list_uploads, LIST_UPLOADS
    ),
}
OBJECT = {
    ("GET", ""): Row("GetObject", Right.READ, objects.get, READ_PARAMETERS, RANGED),
    ("HEAD", ""): Row("HeadObject", Right.READ, objects.get, READ_PARAMETERS, RANGED),
    ("PUT", ""): Row("PutObject, CopyObject", Right.WRITE, objects.put, headers=PUT_HEADERS),
    ("DELETE", ""): Row("DeleteObject", Right.DELETE, objects.delete),
    ("HEAD", "objectMeta"): Row("GetObjectMeta", Right.READ, objects.meta),
    ("GET", "acl"): Row("GetObjectACL", Right.VIEW, objects.get_acl),
    ("PUT", "acl"): Row("PutObjectACL", Right.RULE, objects.put_acl, headers={objects.ACL: ANY}),
    ("POST", PROCESS): Row(
        "PostProcess",
        Right.READ,
        saveas.post,
        headers={"x-oss-forbid-overwrite": ("true", "false")},
    ),
    ("POST", "uploads"): Row(
        "InitiateMultipartUpload", Right.WRITE, multipart.initiate, ENCODING, STORED
    ),
    ("PUT", "uploadId"): Row(
        "UploadPart, UploadPartCopy",
        Right.WRITE,
        multipart.put_part,
        frozenset(("partNumber",)),
        PART_HEADERS,
    ),
    ("POST", "uploadId"): Row(
        "CompleteMultipartUpload",
        Right.WRITE,
        multipart.complete,
        ENCODING,
        {"x-oss-forbid-overwrite": ("true", "false"), "x-oss-complete-all": ("yes",)},
    ),
    ("DELETE", "uploadId"): Row("AbortMultipartUpload", Right.WRITE, multipart.abort),
    ("GET", "uploadId"): Row(
        "ListParts",
        Right.READ,
        multipart.list_parts,
        ENCODING | {"max-parts", "part-number-marker"},
    ),
}


def find(method: str, target: Target, headers: Iterable[tuple[str, str]] = ()) -> Row:
    """Return the call that a request makes; all that it asks for is understood.

    Args:
        method: Of the request, as sent.
        target: What it is about.
        headers: Of the request, as sent; those of OSS count.

    Raises:
        Unimplemented: The call, a parameter or a header is not understood.
        InvalidArgument: A header of OSS's is sent twice.
        MethodNotAllowed: HTTP may know the method, OSS does not.
    """
    level, table = (
        ("Object", OBJECT) if target.key else ("Bucket", BUCKET) if target.bucket else _SERVICE
    )
    names = target.names() - sign.NAMES
    selectors = {name for name in names if (method, name) in table}
    row = table.get((method, min(selectors, default=""))) if len(selectors) < 2 else None
    unknown = set(names - selectors - row.parameters if row else names)
    if row and target.key and method in SAFE_METHODS:
        unknown = {name for name, value in target.query if name in unknown and _is_oss(name, value)}
    if row is None or unknown:
        raise _refusal(method, level, sorted(selectors | unknown))
    _check_headers(row, headers)
    return row


def _is_oss(name: str, value: str) -> bool:
    """Would OSS hear this parameter? One without a value is taken for a sub-resource of OSS's."""
    own = name.lower().startswith((PREFIX, OVERRIDE_PREFIX))
    return not value or own or name in parameters.SUB_RESOURCES


def _refusal(method: str, level: str, names: list[str]) -> Unimplemented | MethodNotAllowed:
    if method not in KNOWN_METHODS:
        return MethodNotAllowed(
            "The specified method is not allowed against this resource.",
            extra={"Method": method, "ResourceType": level},
            headers={"Allow": METHODS},
        )
    call = f"{method} ?{shown(' and '.join(names))}" if names else method
    return Unimplemented(f"The call: {call} on {_WHAT[level]} is not implemented.")


def _check_headers(row: Row, headers: Iterable[tuple[str, str]]) -> None:
    """Refuse headers of OSS's that the call does not understand.

    Raises:
        Unimplemented: It does not, or not with this value.
        InvalidArgument: One is sent twice, and nobody could say which one counts.
    """
    seen: set[str] = set()
    for name, value in headers:
        if name[:6].lower() != PREFIX:
            continue
        name = name.lower()
        if name in seen:
            raise InvalidArgument(f"The header: {shown(name)} is given twice.")
        seen.add(name)
        values = _understood(row, name)
        if values is None:
            raise Unimplemented(
                f"The header: {shown(name)} of the call: {row.name} is not implemented."
            )
        if values and value.strip().lower() not in values:
            raise Unimplemented(
                f"The value: {shown(value)!r} of header: {name} of the call: {row.name} is not "
                f"implemented. It expects {' or '.join(values)}."
            )


def _understood(row: Row, name: str) -> Collection[str] | None:
    """The values of a header that a call understands; ``None`` where it understands none."""
    if name in EVERYWHERE:
        return EVERYWHERE[name]
    family = "x-oss-meta-*" if name.startswith(objects.META) else name
    return row.headers.get(family)


_SERVICE = ("Service", SERVICE)
_WHAT = {"Object": "an object", "Bucket": "a bucket", "Service": "the service"}
