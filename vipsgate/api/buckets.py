"""Calls to the service and to buckets, and changes of a bucket's settings.

Every change goes through :func:`change`, which rewrites the bucket's document as a whole. If there
was none, the settings that were in force are written, too (OSS guide, Bucket operations).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from pydantic import ValidationError

from ..buckets import Bucket
from ..catalog import documents, uploads
from ..delivery.services import Services
from ..errors import (
    AccessDenied,
    BucketAlreadyExists,
    BucketNotEmpty,
    InvalidArgument,
    NoSuchBucket,
    Unimplemented,
    shown,
)
from ..gate.headers import BUCKET_ACL
from ..gate.rights import ACLS
from . import xml
from .call import Call, invalid

NEVER_SET = {  # values in GetBucketInfo of settings that are not configured, as in OSS
    "AccessMonitor": "Disabled",
    "Comment": "",
    "CrossRegionReplication": "Disabled",
    "DataRedundancyType": "LRS",
    "TransferAcceleration": "Disabled",
    "Versioning": "",
}
SSE = {"SSEAlgorithm": "None"}  # likewise, in its ServerSideEncryptionRule
CONFIGURATION = {  # the only values that PutBucket accepts
    "StorageClass": "Standard",
    "DataRedundancyType": NEVER_SET["DataRedundancyType"],
}
PAGE = 1000  # objects counted at a time
MAX_BUCKETS, USUAL_BUCKETS = 1000, 100  # in one answer; OSS guide, ListBuckets


async def list_buckets(call: Call) -> web.StreamResponse:
    """ListBuckets: the buckets of the store, and those that only have a document."""
    prefix, marker = call.parameter("prefix"), call.parameter("marker")
    most = call.number("max-keys", USUAL_BUCKETS, 1, MAX_BUCKETS)
    result = await _made(call.services)
    names = [name for name in sorted(result) if name.startswith(prefix) and name > marker]
    listed = names[:most]
    root = xml.add(
        Element("ListAllMyBucketsResult"),
        Prefix=prefix,
        Marker=marker,
        MaxKeys=most,
        IsTruncated=str(len(names) > most).lower(),
    )
    if len(names) > most:
        xml.add(root, NextMarker=listed[-1])
    xml.owner(root)
    rows = SubElement(root, "Buckets")
    for name in listed:
        entry = _describe(SubElement(rows, "Bucket"), call, name, result[name])
        xml.add(entry, Region=call.services.settings.server.region)
    return call.respond(body=xml.write(root))


async def put_bucket(call: Call) -> web.StreamResponse:
    """PutBucket: create a bucket, private without ``x-oss-acl``, or set an existing one's ACL.

    Raises:
        BucketAlreadyExists: It is declared in the configuration.
        Unimplemented: CreateBucketConfiguration has an unsupported element or value.
    """
    services, name = call.services, call.target.bucket
    if name in services.registry.declared:
        raise BucketAlreadyExists(
            "The requested bucket name is not available: the bucket is declared in the "
            "configuration file.",
            extra={"BucketName": name},
        )
    acl = _acl(call)
    if call.request.body_exists and (body := await call.document()):
        _check_configuration(xml.parse(body, "CreateBucketConfiguration"))
    if services.registry.get(name) is None:
        new = Bucket(created=services.clock())
        await services.store.create(name)
        await services.registry.documents.change(
            name, lambda known: with_acl(known or new, acl), call.author()
        )
    elif acl:
        await change(call, partial(with_acl, acl=acl))
    return call.respond(headers={"Location": f"/{name}"})


def _check_configuration(root: Element) -> None:
    """Refuse other elements and values than those of :data:`CONFIGURATION`.

    Raises:
        Unimplemented: There is such an element or value.
    """
    for child in root:
        value, only = (child.text or "").strip(), CONFIGURATION.get(child.tag)
        if only is None:
            raise Unimplemented(f"The element: {child.tag} of {root.tag} is not implemented.")
        if value not in ("", only):
            raise Unimplemented(
                f"The value: {shown(value)!r} of element: {child.tag} is not implemented. "
                f"It expects {only}."
            )


async def delete_bucket(call: Call) -> web.StreamResponse:
    """DeleteBucket, with its document, if it has no objects and no uploads in parts."""
    services, name = call.services, call.target.bucket
    _check_undeclared(call)
    async for upload in uploads.under_way(services.store, name):
        raise BucketNotEmpty(
            "The bucket you tried to delete is not empty: there is an upload in parts, "
            f"{upload.identity}, which has to be completed or aborted first.",
            extra={"BucketName": name},
        )
    with contextlib.suppress(NoSuchBucket):  # it may only have a document
        await services.store.remove(name)
    await services.registry.documents.remove(name)
    services.registry.refresh()
    return call.respond(204)


async def head(call: Call) -> web.StreamResponse:
    """HeadBucket: 200 if the bucket exists and the caller may list it."""
    return call.respond()


async def bucket_info(call: Call) -> web.StreamResponse:
    """GetBucketInfo."""
    name = call.target.bucket
    root = Element("BucketInfo")
    result = await _made(call.services)
    entry = _describe(SubElement(root, "Bucket"), call, name, result.get(name, 0))
    xml.owner(entry)
    xml.add(SubElement(entry, "AccessControlList"), Grant=call.grant.bucket.acl)
    xml.add(entry, **NEVER_SET)
    xml.add(SubElement(entry, "ServerSideEncryptionRule"), **SSE)
    return call.respond(body=xml.write(root))


async def stat(call: Call) -> web.StreamResponse:
    """GetBucketStat, counted when called, unlike OSS's hourly figures.

    All objects are of the Standard class. Each object is looked up, which takes 0.05 ms on a disk.
    """
    store, bucket = call.services.store, call.target.bucket
    count, size, after, more = 0, 0, "", True
    while more:
        page = await store.list(bucket, after=after, limit=PAGE)
        count += len(page.objects)
        size += sum(item.size for _, item in page.objects)
        after, more = page.next, bool(page.next)
    uploading = 0
    async for _ in uploads.under_way(store, bucket):
        uploading += 1
    root = xml.add(
        Element("BucketStat"),
        Storage=size,
        ObjectCount=count,
        MultipartUploadCount=uploading,
        LiveChannelCount=0,
        LastModifiedTime=int(call.services.clock()),
        StandardStorage=size,
        StandardObjectCount=count,
    )
    for kind in ("InfrequentAccess", "Archive", "ColdArchive", "DeepColdArchive"):
        words = {f"{kind}{what}": 0 for what in ("Storage", "RealStorage", "ObjectCount")}
        xml.add(root, **words)
    xml.add(root, DeleteMarkerCount=0)
    return call.respond(body=xml.write(root))


async def get_acl(call: Call) -> web.StreamResponse:
    """GetBucketAcl."""
    return call.respond(body=xml.acl(call.grant.bucket.acl))


async def put_acl(call: Call) -> web.StreamResponse:
    """PutBucketAcl."""
    acl = _acl(call)
    if not acl:
        raise invalid(BUCKET_ACL, "", f"one of {', '.join(ACLS)}")
    await change(call, partial(with_acl, acl=acl))
    return call.respond()


async def location(call: Call) -> web.StreamResponse:
    """GetBucketLocation."""
    root = Element("LocationConstraint")
    root.text = _location(call.services)
    return call.respond(body=xml.write(root))


# -- what calls to a bucket's settings share -------------------------------------------------------


async def change(call: Call, edit: Callable[[Bucket], Bucket], *, mend: bool = False) -> None:
    """Change the settings of a call's bucket, which take effect at once.

    Args:
        call: A call to a bucket.
        edit: Returns the new document, from the one in force.
        mend: Whether to replace a document that is not valid.

    Raises:
        AccessDenied: The bucket is declared in the configuration.
        NoSuchBucket: The bucket has been deleted.
        InvalidArgument: The new document is not valid, or too large.
        OssError: ``edit`` raised it, or the document cannot be written.
    """
    services, name = call.services, call.target.bucket
    _check_undeclared(call)

    def edited(known: Bucket | None) -> Bucket:
        if known is None and not services.store.has(name):
            raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": name})
        present = services.registry.plain if known is None else known
        call.check_present(present)
        return _checked(edit, present)

    await services.registry.documents.change(name, edited, call.author(), mend=mend)
    services.registry.refresh()


def changed(document: Bucket, **values: Any) -> Bucket:
    """Return a document with other values.

    Raises:
        ValidationError: A value is not valid.
    """
    return Bucket.model_validate({**dict(document), **values})


def with_acl(document: Bucket, acl: str) -> Bucket:
    """Return a document with an ACL; the document itself if ``acl`` is empty."""
    return changed(document, acl=acl) if acl else document


def _checked(edit: Callable[[Bucket], Bucket], document: Bucket) -> Bucket:
    try:
        result = edit(document)
    except ValidationError as error:
        raise InvalidArgument("\n".join(map(documents.line, error.errors()))) from None
    size = len(documents.write(result))
    if size > documents.MAX_BYTES:
        raise InvalidArgument(
            f"The settings of the bucket would have {size} bytes; "
            f"they may have {documents.MAX_BYTES}."
        )
    return result


def _check_undeclared(call: Call) -> None:
    if call.target.bucket in call.services.registry.declared:
        raise AccessDenied(
            f"The bucket {call.target.bucket} is declared in the configuration file "
            "and is changed there, not by calls.",
            extra={"BucketName": call.target.bucket},
        )


def _acl(call: Call) -> str:
    """Return the ACL in ``x-oss-acl``; empty if there is no such header."""
    acl = call.header(BUCKET_ACL)
    if acl and acl not in ACLS:
        raise invalid(BUCKET_ACL, acl, f"one of {', '.join(ACLS)}")
    return acl


async def _made(services: Services) -> dict[str, float]:
    """Return the time of creation of every bucket, by name; 0 if it is unknown."""
    result = dict.fromkeys((*services.registry.declared, *services.registry.documents.known), 0.0)
    result |= dict(await services.store.buckets())
    for name in result:
        document = services.registry.get(name)
        result[name] = (document and document.created) or result[name]
    return result


def _describe(entry: Element, call: Call, name: str, result: float) -> Element:
    host = call.header("Host").removeprefix(f"{name}.")
    endpoint = call.services.settings.server.endpoint
    port = host.rpartition(":")[2]
    # with the port that the client has used: SDKs may connect to this endpoint
    endpoint = f"{endpoint}:{port}" if endpoint and port.isdigit() else endpoint or host
    return xml.add(
        entry,
        CreationDate=xml.iso(result),
        ExtranetEndpoint=endpoint,
        IntranetEndpoint=endpoint,
        Location=_location(call.services),
        Name=name,
        StorageClass="Standard",
    )


def _location(services: Services) -> str:
    return f"oss-{services.settings.server.region}"
