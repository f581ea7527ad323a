"""The source of a copy: ``x-oss-copy-source`` and the conditions on it (OSS guide, CopyObject)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from ..delivery import lookup
from ..delivery.order import see
from ..errors import (
    InvalidArgument,
    NoSuchBucket,
    OssError,
    shown,
)
from ..gate import access, conditional
from ..gate.headers import COPY_SOURCE
from ..gate.parameters import VERSION, check_version_id
from ..gate.target import Target, check_bucket, check_key
from ..store.base import Object, Opened
from .call import Call


async def open_source(call: Call, *, follow: bool = True) -> Opened:
    """Open the object in ``x-oss-copy-source``, if the caller may read it unprocessed.

    Args:
        call: The call.
        follow: Whether to follow a symlink, or to open the symlink itself.

    Raises:
        InvalidArgument: The header is not ``/BUCKET/KEY``, percent-encoded; see :func:`unquoted`.
        NoSuchVersion: It names another version than ``null``.
        NoSuchBucket: There is no such bucket.
        NoSuchKey: There is no such object.
        AccessDenied: The caller may not read it, by an ACL or by source protection.
    """
    named, versioned, version = call.header(COPY_SOURCE).partition(f"?{VERSION}=")
    if versioned:
        check_version_id(version)
    bucket, _, key = unquoted(named, COPY_SOURCE).removeprefix("/").partition("/")
    if not (bucket and key):
        raise InvalidArgument(
            f"The value: {shown(named)} of parameter: {COPY_SOURCE} is invalid. "
            "It expects /BUCKET/KEY, percent-encoded."
        )
    grant = other_grant(call, bucket)
    check_key(key)
    source = Target(bucket, key)
    access.check_source(grant, source, access.Seen(key))
    if follow:
        known = await lookup.find(call.services, grant, source)
    else:
        item = await lookup.stat(call.services, grant, bucket, key)
        if item.properties.target:
            access.check_source(grant, source, access.Seen(item.properties.target))
        known = await lookup.sniff(call.services, grant, source, lookup.Source(key, item))
    seen = see(grant, known.key, known.object, picture=known.picture, link=known.link)
    access.check_objects(grant, source, [seen])
    opened = await call.services.store.open(bucket, known.key)
    try:
        lookup.check_opened(call.services, grant, source, known, opened)
    except OssError:
        opened.close()
        raise
    return opened


def unchanged(call: Call, source: Object) -> bool:
    """Return whether the ``x-oss-copy-source-if-`` headers make a copy needless.

    Raises:
        PreconditionFailed: They forbid the copy.
    """
    prefix = f"{COPY_SOURCE}-"
    order = {
        name.removeprefix(prefix).title(): value
        for name, value in ((name.lower(), value) for name, value in call.request.headers.items())
        if name.startswith(prefix)
    }
    return conditional.not_modified(order, source.etag, source.modified)


def unquoted(named: str, header: str) -> str:
    """Return the decoded name of an object in a header; ``+`` is a blank, and ``%2B`` a plus.

    The SDK for Go v1 and ossutil write the key as a form does (``url.QueryEscape``), all others
    percent-encode both signs.

    Raises:
        InvalidArgument: It is not UTF-8.
    """
    raw = named.replace("+", " ").encode("utf-8", "surrogateescape")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise InvalidArgument(
            f"The value: {shown(named)!r} of parameter: {header} is not UTF-8 when percent-decoded."
        ) from None


def other_grant(call: Call, bucket: str) -> access.Grant:
    """Return the caller's grant in another bucket; the role was checked before.

    Raises:
        InvalidBucketName: The name is not valid.
        NoSuchBucket: There is no such bucket.
    """
    check_bucket(bucket)
    document = call.services.registry.get(bucket)
    if document is None:
        raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})
    return access.Grant(document, call.grant.caller)
