"""Calls to objects: get, put, copy, delete, their ACL (OSS guide, Object operations)."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ..delivery import derivatives, resolve, standin
from ..delivery.order import Content, Derivative, Order, ReplacedError, see
from ..delivery.services import Services
from ..errors import (
    FileAlreadyExists,
    InvalidArgument,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    shown,
)
from ..gate import accept, access, conditional, style, tagging, webhook
from ..gate.headers import (
    ACL,
    COPY_SOURCE,
    DIRECTIVE,
    FORBID_OVERWRITE,
    META,
    TAGGING,
    TAGGING_DIRECTIVE,
)
from ..gate.parameters import VERSION, check_version_id
from ..gate.rights import ACLS, Right
from ..gate.target import Target, check_bucket, check_key
from ..store import routing
from ..store.base import Draft, Object, Opened, Properties
from ..web import responses
from . import callback, xml
from .call import Call

KEPT = (  # headers kept with an object besides its type (OSS guide, PutObject); nobody signs them
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
TRIES = 3  # to find an object when it is opened as it was when it was looked at


async def get(call: Call) -> web.StreamResponse:
    """GetObject, HeadObject: the object, or a picture of it."""
    return await picture_of(call, call.target)


async def picture_of(call: Call, target: Target) -> web.StreamResponse:
    """Answer with an object or with what is made of it."""
    for _ in range(TRIES):
        try:
            return await _answer(call, target, derivatives.fetch)
        except ReplacedError:
            continue
    return await _answer(call, target, derivatives.fetch_anew)


async def _answer(
    call: Call,
    target: Target,
    fetch: Callable[[Services, Order], Awaitable[Content]],
) -> web.StreamResponse:
    request, services = call.request, call.services
    record = request[responses.RECORD]
    if target.process:
        derivatives.check_room(services, time.perf_counter() - record.begun)
    # as on OSS, HEAD has nothing fetched (OSS guide, back-to-origin)
    sent = request.headers if request.method == "GET" else None
    taken = accept.header(request.headers)
    order = await resolve.order(services, call.grant, target, taken, sent=sent)
    order = await standin.sooner(services, order, request.headers)
    record.key, record.process = order.target.key, order.target.process
    record.style = style.named(record.process, call.grant.bucket.styles)
    headers = derivatives.headers(services, order)
    if conditional.not_modified(request.headers, headers["ETag"], order.modified):
        standin.follow(services, order)
        return responses.not_modified(request, headers)
    with closing(await fetch(services, order)) as content:
        standin.follow(services, content.order)
        if content.derivative:
            record.cache = content.derivative.tier
        if content.order is not order:
            headers = derivatives.headers(services, content.order)
        headers |= _described(call, content)
        record.notes = content.notes
        if content.derivative is None or derivatives.is_current(services, content):
            await services.fastpath.learn(request, content, headers)
        if content.derivative:
            headers |= _made(request, content.derivative)
            headers |= services.handed(content.derivative.entry.file)
        modified = content.order.modified
        return await responses.content(request, content.body, content.size, modified, headers)


def _described(call: Call, content: Content) -> dict[str, str]:
    """Headers that tell of the bytes; the type of a picture is for nobody else to say."""
    if content.derivative is None:
        order = content.order
        item = replace(order.source, properties=order.properties)
        return {**responses.stored(order.keys[0], item), **call.grant.overrides}
    entry = content.derivative.entry
    headers = {**call.grant.overrides, "Content-Type": entry.mime, "Accept-Ranges": "bytes"}
    if entry.missing:
        headers["X-Vipsgate-Missing-Glyphs"] = str(entry.missing)
    return headers | responses.noted(content.notes)


async def meta(call: Call) -> web.StreamResponse:
    """GetObjectMeta: how long, which version, since when; of the object, never of a picture.

    OSS has it for objects. To answer ``a.jpg!thumb?objectMeta`` with the style's picture would be
    HeadObject, which is there for that; with ``a.jpg`` itself, as is done, it is a look at the
    source, which protection refuses.
    """
    order = await resolve.plain_order(call.services, call.grant, call.target)
    headers = responses.validators(order.source.etag, order.modified)
    return await responses.head(call.request, order.source.size, headers)


async def put(call: Call) -> web.StreamResponse:
    """PutObject."""
    services, target = call.services, call.target
    report = callback.read(call)
    await check_writable(call, call.grant, target.bucket, target.key)
    properties = given_properties(call)
    async with services.store.draft(target.bucket) as draft:
        async for data in call.body(services.settings.store.upload_bytes):
            await draft.write(data)
        call.check_digest(draft.md5)
        stored = await keep(call, draft, target.bucket, target.key, properties)
        headers = written(draft, stored)
    if report:
        return await callback.perform(call, report, target.key, stored, headers)
    return call.respond(headers=headers)


async def copy(call: Call) -> web.StreamResponse:
    """CopyObject: the bytes of another object, with its properties or with new ones.

    Of a symlink the copy is a symlink, to the same name (OSS guide, CopyObject).
    """
    services, target = call.services, call.target
    await check_writable(call, call.grant, target.bucket, target.key)
    directive = call.header(DIRECTIVE).upper() or "COPY"
    if directive not in ("COPY", "REPLACE"):
        raise InvalidArgument(
            f"The value: {shown(directive)} of parameter: {DIRECTIVE} is invalid. "
            "It expects COPY or REPLACE."
        )
    properties = given_properties(call)
    with closing(await open_source(call, follow=False)) as source:
        if unchanged(call, source.object):
            return call.respond(304)
        theirs = source.object.properties
        if call.header(TAGGING_DIRECTIVE).lower() != "replace":
            properties = replace(properties, tags=theirs.tags)
        if directive == "COPY":
            properties = replace(
                theirs, acl=properties.acl, kind=properties.kind, tags=properties.tags
            )
        etag = ""
        if theirs.target:
            properties = replace(properties, kind=theirs.kind, target=theirs.target)
            etag = source.object.etag
        async with services.store.draft(target.bucket) as draft:
            await draft.copy(source.descriptor, 0, source.object.size)
            crc = draft.crc
            stored = await keep(call, draft, target.bucket, target.key, properties, etag=etag)
    body = xml.copied("CopyObjectResult", stored)
    return call.respond(body=body, headers={"ETag": stored.etag, responses.CRC: str(crc)})


async def delete(call: Call) -> web.StreamResponse:
    """DeleteObject; one that is not there has been deleted already."""
    target = call.target
    await check_writable(call, call.grant, target.bucket, target.key, Right.DELETE)
    await call.services.store.delete(target.bucket, target.key)
    await call.services.forget(target.bucket, target.key, "delete")
    return call.respond(204)


async def delete_many(call: Call) -> web.StreamResponse:
    """DeleteMultipleObjects: up to 1,000 keys of a document; the answer names them unless quiet."""
    call.grant.check_acl("", Right.DELETE)  # before the document is read
    encoding = call.encodes_keys()
    order = xml.read_delete(await call.document())
    bucket = call.target.bucket
    for key in order.keys:
        await check_writable(call, call.grant, bucket, key, Right.DELETE)
    for key in order.keys:
        with contextlib.suppress(NoSuchKey):  # one that can never be here
            check_key(key)
            await call.services.store.delete(bucket, key)
            await call.services.forget(bucket, key, "delete")
    return call.respond(body=b"" if order.quiet else xml.deleted(order, encoding=encoding))


async def get_acl(call: Call) -> web.StreamResponse:
    """GetObjectACL; ``default`` for an object that has none of its own."""
    info = await resolve.stat(call.services, call.grant, call.target.bucket, call.target.key)
    return call.respond(body=xml.acl(info.properties.acl or "default"))


async def put_acl(call: Call) -> web.StreamResponse:
    """PutObjectACL; ``default`` takes the object's own away."""
    target, store = call.target, call.services.store
    acl = said_acl(call, required=True)
    info = await store.stat(target.bucket, target.key)
    await store.describe(target.bucket, target.key, replace(info.properties, acl=acl))
    call.services.webhooks.tell(webhook.Event("write", target.bucket, target.key))
    return call.respond()


# -- what several calls share ----------------------------------------------------------------------


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


async def open_source(call: Call, *, follow: bool = True) -> Opened:
    """The object that ``x-oss-copy-source`` names, for a caller who may read it as it is.

    Args:
        call: Whose header it is.
        follow: Open what a symlink leads to, and not itself.

    Raises:
        InvalidArgument: It names none: it is ``/BUCKET/KEY``, percent-encoded; see
            :func:`unquoted`.
        NoSuchVersion: It names another version than the only one.
        NoSuchBucket: There is no such bucket.
        NoSuchKey: There is no such object.
        AccessDenied: Not for this caller: by an ACL, or by source protection.
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
        known = await resolve.look(call.services, grant, source)
    else:
        item = await resolve.stat(call.services, grant, bucket, key)
        if item.properties.target:
            access.check_source(grant, source, access.Seen(item.properties.target))
        known = await resolve.sniff(call.services, grant, source, resolve.Source(key, item))
    seen = see(grant, known.key, known.object, picture=known.picture, link=known.link)
    access.check_objects(grant, source, [seen])
    opened = await call.services.store.open(bucket, known.key)
    try:
        resolve.check_opened(call.services, grant, source, known, opened)
    except OssError:
        opened.close()
        raise
    return opened


def unquoted(named: str, header: str) -> str:
    """The text of a header that names an object; a plus is a blank, ``%2B`` a plus.

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
    """What the caller may do in another bucket; his role has been asked.

    Raises:
        InvalidBucketName: There can be no such bucket.
        NoSuchBucket: There is no such bucket.
    """
    check_bucket(bucket)
    document = call.services.registry.get(bucket)
    if document is None:
        raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})
    return access.Grant(document, call.grant.caller)


def given_properties(call: Call, kind: str = "Normal") -> Properties:
    """What the headers say of an object that is being written."""
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    return properties_of(headers, signed=call.grant.caller is not None, kind=kind)


def properties_of(headers: Mapping[str, str], *, signed: bool, kind: str = "Normal") -> Properties:
    """What headers, or fields of a form, say of an object that is being written.

    Args:
        headers: Names in lower case.
        signed: Whether somebody has signed them.
        kind: Of the object.
    """
    for name, value in headers.items():
        if name in KEPT or name.startswith(META) or name == "content-type":
            _check_printable(name, value)
    content_type = headers.get("content-type", "")
    if not content_type and signed:
        # OSS guide, PutObject; without a signature it may be anybody's curl, and the name tells
        content_type = "application/octet-stream"
    return Properties(
        content_type=content_type,
        acl=acl_of(headers.get(ACL, "")),
        headers={name: headers[name] for name in KEPT if name in headers},
        meta={
            name.removeprefix(META): value
            for name, value in headers.items()
            if name.startswith(META) and name != META
        },
        kind=kind,
        tags=tagging.read(headers.get(TAGGING, "").strip()),
    )


def said_acl(call: Call, *, required: bool = False) -> str:
    """The ACL in the header ``x-oss-object-acl``; see :func:`acl_of`."""
    return acl_of(call.header(ACL), required=required)


def acl_of(text: str, *, required: bool = False) -> str:
    """The ACL that a text names; empty for ``default``.

    Raises:
        InvalidArgument: There is no such ACL, or none at all where one is required.
    """
    acl = text.strip()
    if acl in ACLS:
        return acl
    if acl != "default" and (acl or required):
        raise InvalidArgument(
            f"The value: {shown(acl)} of parameter: {ACL} is invalid. "
            f"It expects one of default, {', '.join(ACLS)}."
        )
    return ""


def _check_printable(name: str, value: str) -> None:
    if not value.isprintable():
        raise InvalidArgument(
            f"The value: {shown(value)!r} of header: {name} is invalid. "
            "It expects printable characters in UTF-8."
        )


def unchanged(call: Call, source: Object) -> bool:
    """Do the ``x-oss-copy-source-if-`` headers make a copy needless?

    Raises:
        PreconditionFailed: They forbid it.
    """
    prefix = f"{COPY_SOURCE}-"
    order = {
        name.removeprefix(prefix).title(): value
        for name, value in ((name.lower(), value) for name, value in call.request.headers.items())
        if name.startswith(prefix)
    }
    return conditional.not_modified(order, source.etag, source.modified)


def _made(request: web.BaseRequest, derivative: Derivative) -> dict[str, str]:
    """Headers that tell how a picture was come by."""
    begun, queue, render = request[responses.RECORD].begun, derivative.queue, derivative.render
    encode = str(derivative.choice or "")
    return {
        "X-Vipsgate-Cache": responses.cached(derivative.tier),
        responses.TIMING: responses.timing(begun, queue=queue, render=render, encode=encode),
    }
