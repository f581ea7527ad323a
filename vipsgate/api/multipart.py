"""Calls to uploads in parts (OSS guide, Multipart upload)."""

from __future__ import annotations

import contextlib
import re
from contextlib import closing
from dataclasses import replace
from functools import partial
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web

from ..buckets import INTERNAL
from ..catalog import uploads
from ..errors import InvalidArgument, InvalidRange, NoSuchKey, shown
from ..gate.headers import ACL, COMPLETE_ALL, COPY_SOURCE
from ..gate.rights import Right
from ..store.base import Draft, Object
from ..web import responses
from . import callback, copying, object_headers, writing, xml
from .call import Call

SPAN = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")
MAX_LISTED = 1000  # most parts or uploads in one answer; OSS guide, ListParts


async def initiate(call: Call) -> web.StreamResponse:
    """InitiateMultipartUpload: its headers become the object's properties when it is completed.

    Raises:
        FileAlreadyExists: There is an object of this name, and the caller forbids overwriting.
    """
    target = call.target
    await writing.check_writable(call, call.grant, target.bucket, target.key)
    properties = object_headers.given_properties(call, kind="Multipart")
    encoding = call.encodes_keys()
    if writing.may_not_overwrite(call):
        with contextlib.suppress(NoSuchKey):
            await call.services.store.stat(target.bucket, target.key)
            raise writing.already_exists(target.key)
    upload = await uploads.begin(
        call.services.store, target.bucket, target.key, properties, call.services.clock()
    )
    root = xml.add(
        Element("InitiateMultipartUploadResult"),
        **_encoding(encoding),
        Bucket=target.bucket,
        Key=xml.encoded(target.key, encoding),
        UploadId=upload.identity,
    )
    return call.respond(body=xml.write(root))


async def put_part(call: Call) -> web.StreamResponse:
    """UploadPart.

    Raises:
        NoSuchUpload: There is no such upload.
        InvalidDigest: The body does not have the Content-MD5 of the request.
    """
    store = call.services.store
    upload, number = await _upload(call), _number(call)
    async with store.draft(INTERNAL) as draft:
        async for data in call.body(call.services.settings.store.upload_bytes):
            await draft.write(data)
        call.check_digest(draft.md5)
        stored = await uploads.keep(store, upload, number, draft)
        return call.respond(headers=writing.written(draft, stored))


async def copy_part(call: Call) -> web.StreamResponse:
    """UploadPartCopy: store the bytes of another object, or a range of them, as a part."""
    store = call.services.store
    upload, number = await _upload(call), _number(call)
    with closing(await copying.open_source(call)) as source:
        if copying.unchanged(call, source.object):
            return call.respond(304)
        span = _span(call, source.object)
        async with store.draft(INTERNAL) as draft:
            await source.copy(draft, span)
            crc = draft.crc
            stored = await uploads.keep(store, upload, number, draft)
    body = xml.copied("CopyPartResult", stored)
    return call.respond(body=body, headers={"ETag": stored.etag, responses.CRC: str(crc)})


async def complete(call: Call) -> web.StreamResponse:
    """CompleteMultipartUpload: join the listed parts, or with ``x-oss-complete-all`` all of them.

    An ACL in this request replaces one of InitiateMultipartUpload; some SDKs send it here, others
    there.

    Raises:
        InvalidArgument: ``x-oss-complete-all`` is set, and no part was uploaded.
        InvalidPart, InvalidPartOrder, EntityTooSmall: The listed parts cannot be joined.
    """
    store, target, encoding = call.services.store, call.target, call.encodes_keys()
    report = callback.read(call)
    upload = await _upload(call)
    if call.header(ACL):
        properties = replace(upload.properties, acl=object_headers.said_acl(call))
        upload = replace(upload, properties=properties)
    if call.header(COMPLETE_ALL):
        came = await uploads.parts(store, upload, limit=uploads.MAX_PARTS)
        wanted = [(part.number, part.object.etag) for part in came]
        if not wanted:
            raise InvalidArgument(f"{COMPLETE_ALL}: no part has been uploaded yet.")
    else:
        wanted = list(xml.read_parts(await call.document()))
    async with store.draft(target.bucket) as draft:
        keep = partial(_keep, call, draft, upload)
        stored = await uploads.complete(store, upload, wanted, draft, keep)
        headers = {"ETag": stored.etag, responses.CRC: str(draft.crc)}
    if report:
        return await callback.perform(call, report, target.key, stored, headers)
    root = xml.add(
        Element("CompleteMultipartUploadResult"),
        **_encoding(encoding),
        Location=call.location(target.key),
        Bucket=target.bucket,
        Key=xml.encoded(target.key, encoding),
        ETag=stored.etag,
    )
    return call.respond(body=xml.write(root), headers=headers)


async def abort(call: Call) -> web.StreamResponse:
    """AbortMultipartUpload: delete the upload and its parts."""
    await uploads.abort(call.services.store, await _upload(call))
    return call.respond(204)


async def list_parts(call: Call) -> web.StreamResponse:
    """ListParts: list the uploaded parts by number."""
    upload = await _upload(call, Right.READ)
    encoding = call.encodes_keys()
    most = call.number("max-parts", MAX_LISTED, 1, MAX_LISTED)
    after = call.number("part-number-marker", 0, 0, uploads.MAX_PARTS)
    came = await uploads.parts(call.services.store, upload, after=after, limit=most + 1)
    shown_parts = came[:most]
    root = xml.add(
        Element("ListPartsResult"),
        **_encoding(encoding),
        Bucket=upload.bucket,
        Key=xml.encoded(upload.key, encoding),
        UploadId=upload.identity,
        StorageClass="Standard",
        PartNumberMarker=after,
        NextPartNumberMarker=shown_parts[-1].number if shown_parts else 0,
        MaxParts=most,
        IsTruncated=str(len(came) > most).lower(),
    )
    for part in shown_parts:
        xml.add(
            SubElement(root, "Part"),
            PartNumber=part.number,
            LastModified=xml.iso(part.object.modified),
            ETag=part.object.etag,
            Size=part.object.size,
        )
    return call.respond(body=xml.write(root))


async def list_uploads(call: Call) -> web.StreamResponse:
    """ListMultipartUploads: list uploads in progress by key and id, or by common prefix."""
    encoding = call.encodes_keys()
    most = call.number("max-uploads", MAX_LISTED, 1, MAX_LISTED)
    prefix, delimiter = call.parameter("prefix"), call.parameter("delimiter")
    marker = (call.parameter("key-marker"), call.parameter("upload-id-marker"))
    page = await uploads.page(
        call.services.store,
        call.target.bucket,
        prefix=prefix,
        delimiter=delimiter,
        after=marker,
        limit=most,
    )
    last = page.rows[-1] if page.more else ("", "", 0)
    root = xml.add(
        Element("ListMultipartUploadsResult"),
        **_encoding(encoding),
        Bucket=call.target.bucket,
        KeyMarker=xml.encoded(marker[0], encoding),
        UploadIdMarker=marker[1],
        NextKeyMarker=xml.encoded(last[0], encoding),
        NextUploadIdMarker=last[1],
        Delimiter=xml.encoded(delimiter, encoding),
        Prefix=xml.encoded(prefix, encoding),
        MaxUploads=most,
        IsTruncated=str(page.more).lower(),
    )
    for key, identity, begun in page.rows:
        if identity:
            xml.add(
                SubElement(root, "Upload"),
                Key=xml.encoded(key, encoding),
                UploadId=identity,
                StorageClass="Standard",
                Initiated=xml.iso(begun),
            )
    for key, identity, _ in page.rows:
        if not identity:
            xml.add(SubElement(root, "CommonPrefixes"), Prefix=xml.encoded(key, encoding))
    return call.respond(body=xml.write(root))


async def _upload(call: Call, right: Right = Right.WRITE) -> uploads.Upload:
    """Return the upload that the call names.

    Raises:
        AccessDenied: The object's ACL does not allow the caller to write.
        NoSuchUpload: There is no such upload.
    """
    target = call.target
    await writing.check_writable(call, call.grant, target.bucket, target.key, right)
    return await uploads.find(
        call.services.store, target.bucket, target.key, call.parameter("uploadId")
    )


async def _keep(call: Call, draft: Draft, upload: uploads.Upload, etag: str) -> Object:
    return await writing.keep(call, draft, upload.bucket, upload.key, upload.properties, etag=etag)


def _number(call: Call) -> int:
    return call.number("partNumber", 0, 1, uploads.MAX_PARTS)


def _span(call: Call, source: Object) -> range:
    """Return the range of the source in ``x-oss-copy-source-range``; without one, all of it.

    Raises:
        InvalidArgument: The header is malformed.
        InvalidRange: The range is not within the source.
    """
    value = call.header(f"{COPY_SOURCE}-range")
    if not value:
        return range(source.size)
    span = SPAN.fullmatch(value)
    first, last = (int(span[1]), int(span[2] or source.size - 1)) if span else (0, -1)
    if not span or (span[2] and first > last):
        raise InvalidArgument(
            f"The value: {shown(value)} of parameter: {COPY_SOURCE}-range is invalid. "
            "It expects bytes=FIRST-LAST or bytes=FIRST-."
        )
    if not first <= last < source.size:
        raise InvalidRange(
            "The requested range cannot be satisfied.",
            extra={"ActualObjectSize": str(source.size), "RangeRequested": value},
        )
    return range(first, last + 1)


def _encoding(url: bool) -> dict[str, str]:
    return {"EncodingType": "url"} if url else {}
