"""Calls to objects: get, put, copy, delete, their ACL (OSS guide, Object operations)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace

from aiohttp import web

from ..delivery import derivatives, lookup, resolve, standin
from ..delivery.order import Content, Derivative, Order
from ..delivery.services import Services
from ..errors import (
    InvalidArgument,
    NoSuchKey,
    SourceChanged,
    shown,
)
from ..gate import accept, conditional, style, webhook
from ..gate.headers import (
    DIRECTIVE,
    TAGGING_DIRECTIVE,
)
from ..gate.rights import Right
from ..gate.target import Target, check_key
from ..web import responses
from . import callback, copying, object_headers, writing, xml
from .call import Call

TRIES = 3  # attempts to open an object before it is replaced


async def get(call: Call) -> web.StreamResponse:
    """GetObject, HeadObject: the object, or a picture of it."""
    return await picture_of(call, call.target)


async def picture_of(call: Call, target: Target) -> web.StreamResponse:
    """Answer with an object or a picture of it."""
    version = call.services.fastpath.version()  # nothing was awaited since access was checked
    for _ in range(TRIES):
        try:
            return await _answer(call, target, derivatives.fetch, version)
        except SourceChanged:
            continue
    return await _answer(call, target, derivatives.fetch_anew, version)


async def _answer(
    call: Call,
    target: Target,
    fetch: Callable[[Services, Order], Awaitable[Content]],
    version: tuple[int, int, int],
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
            await services.fastpath.learn(request, content, headers, version)
        if content.derivative:
            headers |= _made(request, content.derivative)
            headers |= services.handed(content.derivative.entry.file)
        modified = content.order.modified
        return await responses.content(request, content.body, content.size, modified, headers)


def _described(call: Call, content: Content) -> dict[str, str]:
    """Return the headers about the content; the type of a picture cannot be overridden."""
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
    """GetObjectMeta: size, ETag and time of the object, never of a picture.

    ``a.jpg!thumb?objectMeta`` is about ``a.jpg``, and so is refused by protection; for the style's
    picture there is HeadObject.
    """
    order = await resolve.plain_order(call.services, call.grant, call.target)
    headers = responses.validators(order.source.etag, order.modified)
    return await responses.head(call.request, order.source.size, headers)


async def put(call: Call) -> web.StreamResponse:
    """PutObject."""
    services, target = call.services, call.target
    report = callback.read(call)
    await writing.check_writable(call, call.grant, target.bucket, target.key)
    properties = object_headers.given_properties(call)
    async with services.store.draft(target.bucket) as draft:
        async for data in call.body(services.settings.store.upload_bytes):
            await draft.write(data)
        call.check_digest(draft.md5)
        stored = await writing.keep(call, draft, target.bucket, target.key, properties)
        headers = writing.written(draft, stored)
    if report:
        return await callback.perform(call, report, target.key, stored, headers)
    return call.respond(headers=headers)


async def copy(call: Call) -> web.StreamResponse:
    """CopyObject: the bytes of another object, with its properties or with new ones.

    The copy of a symlink is a symlink to the same key (OSS guide, CopyObject).
    """
    services, target = call.services, call.target
    await writing.check_writable(call, call.grant, target.bucket, target.key)
    directive = call.header(DIRECTIVE).upper() or "COPY"
    if directive not in ("COPY", "REPLACE"):
        raise InvalidArgument(
            f"The value: {shown(directive)} of parameter: {DIRECTIVE} is invalid. "
            "It expects COPY or REPLACE."
        )
    properties = object_headers.given_properties(call)
    with closing(await copying.open_source(call, follow=False)) as source:
        if copying.unchanged(call, source.object):
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
            await source.copy(draft)
            crc = draft.crc
            stored = await writing.keep(
                call, draft, target.bucket, target.key, properties, etag=etag
            )
    body = xml.copied("CopyObjectResult", stored)
    return call.respond(body=body, headers={"ETag": stored.etag, responses.CRC: str(crc)})


async def delete(call: Call) -> web.StreamResponse:
    """DeleteObject; succeeds if there is no such object."""
    target = call.target
    await writing.check_writable(call, call.grant, target.bucket, target.key, Right.DELETE)
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
        await writing.check_writable(call, call.grant, bucket, key, Right.DELETE)
    for key in order.keys:
        with contextlib.suppress(NoSuchKey):  # for a key that is not valid
            check_key(key)
            await call.services.store.delete(bucket, key)
            await call.services.forget(bucket, key, "delete")
    return call.respond(body=b"" if order.quiet else xml.deleted(order, encoding=encoding))


async def get_acl(call: Call) -> web.StreamResponse:
    """GetObjectACL; ``default`` for an object that has none of its own."""
    info = await lookup.stat(call.services, call.grant, call.target.bucket, call.target.key)
    return call.respond(body=xml.acl(info.properties.acl or "default"))


async def put_acl(call: Call) -> web.StreamResponse:
    """PutObjectACL; ``default`` removes the object's own ACL."""
    target, store = call.target, call.services.store
    acl = object_headers.said_acl(call, required=True)
    info = await store.stat(target.bucket, target.key)
    await store.describe(target.bucket, target.key, replace(info.properties, acl=acl))
    call.services.webhooks.tell(webhook.Event("write", target.bucket, target.key))
    return call.respond()


def _made(request: web.BaseRequest, derivative: Derivative) -> dict[str, str]:
    """Return the headers on where a picture came from and what it took."""
    begun, queue, render = request[responses.RECORD].begun, derivative.queue, derivative.render
    encode = str(derivative.choice or "")
    return {
        "X-Vipsgate-Cache": responses.cached(derivative.tier),
        responses.TIMING: responses.timing(begun, queue=queue, render=render, encode=encode),
    }
