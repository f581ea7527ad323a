"""What all calls that write an object share: the right to write it, and how a draft becomes it."""

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
    """Ask the ACL of the object that is there, or the bucket's.

    A bucket that has only been described so far is made, once something may be put into it.

    Raises:
        AccessDenied: It does not let this caller write, or nobody may.
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
    """Make a draft the object, unless ``x-oss-forbid-overwrite`` forbids it, or ``only_new``.

    Raises:
        FileAlreadyExists: It does, and there is one.
    """
    expected = "" if only_new or may_not_overwrite(call) else None
    try:
        stored = await draft.keep(key, properties, etag=etag, expected=expected)
    except PreconditionFailed:
        raise already_exists(key) from None
    await call.services.forget(bucket, key)
    return stored


def written(draft: Draft, stored: Object) -> dict[str, str]:
    """Headers that tell a client which bytes have been stored (OSS guide, PutObject)."""
    md5 = base64.b64encode(draft.md5).decode()
    return {"ETag": stored.etag, responses.CRC: str(draft.crc), responses.MD5: md5}


def may_not_overwrite(call: Call) -> bool:
    """Whether ``x-oss-forbid-overwrite`` says that an object that is there is to stay."""
    return call.header(FORBID_OVERWRITE).lower() == "true"


def already_exists(key: str) -> FileAlreadyExists:
    """The error for an object that is not to be overwritten."""
    return FileAlreadyExists(
        "The object you specified already exists and can not be overwritten.", extra={"Key": key}
    )
