"""Functions that all calls that write an object use: access checks, and storing a draft."""

from __future__ import annotations

import base64
from contextlib import suppress

from ..errors import (
    FileAlreadyExists,
    NoSuchKey,
    PreconditionFailed,
)
from ..gate import access
from ..gate.headers import FORBID_OVERWRITE
from ..gate.rights import Right
from ..gate.target import check_key
from ..store import routing
from ..store.base import Draft, Object, Properties
from ..web import responses
from .call import Call


async def check_writable(
    call: Call, grant: access.Grant, bucket: str, key: str, right: Right = Right.WRITE
) -> None:
    """Check that the caller may write, by the ACL of the existing object or the bucket's.

    If the bucket only has a document so far, it is created.

    Raises:
        AccessDenied: The caller may not write, or the bucket is read-only.
    """
    store, acl = call.services.store, ""
    with suppress(NoSuchKey):
        check_key(key)
        if store.object_acls(bucket):
            acl = (await store.stat(bucket, key)).properties.acl
    grant.check_acl(acl, right)
    if grant.bucket.origin:
        routing.refuse(bucket)
    if right is Right.WRITE and not store.has(bucket):
        await store.create(bucket)


async def keep(
    call: Call,
    draft: Draft,
    bucket: str,
    key: str,
    properties: Properties,
    *,
    etag: str = "",
    only_new: bool = False,
) -> Object:
    """Store a draft as an object, and return it.

    Raises:
        FileAlreadyExists: There is an object of this key, and ``x-oss-forbid-overwrite`` or
            ``only_new`` forbids to replace it.
    """
    expected = "" if only_new or may_not_overwrite(call) else None
    try:
        stored = await draft.keep(key, properties, etag=etag, expected=expected)
    except PreconditionFailed:
        raise already_exists(key) from None
    await call.services.forget(bucket, key)
    return stored


def written(draft: Draft, stored: Object) -> dict[str, str]:
    """Return the headers about the bytes that were stored (OSS guide, PutObject)."""
    md5 = base64.b64encode(draft.md5).decode()
    return {"ETag": stored.etag, responses.CRC: str(draft.crc), responses.MD5: md5}


def may_not_overwrite(call: Call) -> bool:
    """Return whether ``x-oss-forbid-overwrite`` forbids to replace an object."""
    return call.header(FORBID_OVERWRITE).lower() == "true"


def already_exists(key: str) -> FileAlreadyExists:
    """Return the error for an object that may not be overwritten."""
    return FileAlreadyExists(
        "The object you specified already exists and can not be overwritten.", extra={"Key": key}
    )
