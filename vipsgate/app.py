"""The conductor: what comes in over HTTP goes through gate, image and store, and back out."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from . import answer
from .buckets import Bucket, RefererPolicy
from .errors import (
    InternalError,
    MethodNotAllowed,
    NoSuchKey,
    OssError,
    Unimplemented,
    WatermarkError,
    shown,
)
from .gate import access, conditional, sign, style, target
from .image import process
from .renderers import Renderers, Result
from .settings import Settings
from .store.base import Object, Store

METHODS = "GET, HEAD"
LATER_METHODS = frozenset(("PUT", "POST", "DELETE", "OPTIONS"))
LATER_CALLS = frozenset(  # sub-resources of OSS's API; a read of the object would be a wrong answer
    "acl append asyncFetch bucketInfo callback cname comp cors delete encryption img "
    "inventory lifecycle link live location logging objectMeta partNumber policy "
    "processConfiguration qos referer replication requestPayment restore stat status style "
    "styleName symlink tagging uploadId uploads versionId versioning versions vod website "
    "worm x-oss-async-process".split()
)

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class House:
    """What the handlers work with.

    Attributes:
        settings: As the server was started with.
        store: Where the objects are.
        renderers: Who makes pictures.
        buckets: Documents by name; replaced as a whole when the configuration is read again.
        domains: Host name -> bucket, of those documents.
        plain: What counts for a bucket without a document.
        keys: What signatures are verified with; replaced likewise.
        clock: Seconds since the epoch.
        draining: No new work is wanted.
    """

    settings: Settings
    store: Store
    renderers: Renderers
    buckets: dict[str, Bucket] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    plain: Bucket = field(default_factory=Bucket)
    keys: access.Keys = field(default_factory=access.Keys)
    clock: Callable[[], float] = time.time
    draining: bool = False

    def furnish(self, settings: Settings) -> None:
        """Take over the bucket documents and credentials of ``settings``."""
        known = tuple(sign.Credential(**item.model_dump()) for item in settings.credentials)
        self.keys = access.Keys(known, settings.server.region)
        self.plain = Bucket(acl=settings.default_acl)
        self.buckets, self.domains = dict(settings.buckets), settings.domains()

    def bucket(self, name: str) -> Bucket | None:
        """The document of a bucket, ``None`` where there is no such bucket."""
        document = self.buckets.get(name)
        if document is None and name and self.store.has(name):
            return self.plain
        return document

    def validators(
        self, found: Sequence[Object], todo: process.Process | None, grant: access.Grant
    ) -> tuple[dict[str, str], float]:
        """Headers that name this version of an answer, and when it came to be.

        They are known before any decoding, of the objects alone: the source, and those that are
        laid on it.
        """
        etag, modified = found[0].etag, max(item.modified for item in found)
        if todo is not None:
            objects = " ".join(item.etag for item in found)
            marks = f"{objects} {todo} {self.renderers.version} {self.settings.image}"
            etag = f'"{hashlib.sha256(marks.encode()).hexdigest()[:32].upper()}"'
        headers = answer.validators(etag, modified, grant.cache_control)
        if grant.bucket.referer != RefererPolicy():
            headers["Vary"] = "Referer"
        return headers, modified


async def serve(request: web.BaseRequest, house: House) -> web.StreamResponse:
    """Resolve, check, parse, look, answer."""
    asked = target.resolve(
        request.raw_path,
        request.headers.get("Host", ""),
        house.domains,
        house.settings.server.endpoint,
    )
    _check_call(request.method, asked)
    grant = access.check(
        asked,
        request.method,
        sign.fields(request.headers.items()),
        house.bucket(asked.bucket),
        house.keys,
        house.clock(),
    )
    asked = await _styled(asked, grant.bucket, house.store)
    text = style.expanded(asked.process, grant.bucket.styles)
    todo = process.parse(text, house.settings.limits) if text else None
    needs = todo.needs() if todo else ()
    access.check_source(grant, asked, needs)

    found = [await house.store.stat(asked.bucket, asked.key)]
    found += [await _other(house.store.stat, asked.bucket, key) for key in needs]
    headers, modified = house.validators(found, todo, grant)
    if conditional.not_modified(request.headers, headers["ETag"], modified):
        return answer.not_modified(request, headers)
    if todo:
        house.settings.limits.check_bytes(found[0].size)

    with ExitStack() as stack:
        opened = [stack.enter_context(closing(await house.store.open(asked.bucket, asked.key)))]
        for key in needs:
            other = await _other(house.store.open, asked.bucket, key)
            opened.append(stack.enter_context(closing(other)))
        if found != [item.object for item in opened]:  # one has been replaced since
            found = [item.object for item in opened]
            headers, modified = house.validators(found, todo, grant)
        if todo is None:
            headers["Content-Type"] = answer.mime_of(asked.key)
            source, size = opened[0].descriptor, found[0].size
            return await answer.content(request, source, size, modified, headers)
        beside = [(item.object.etag, item.descriptor) for item in opened[1:]]
        result = await house.renderers.render(str(todo), opened[0].descriptor, beside)
    with closing(result):
        headers["Content-Type"] = result.mime
        headers["X-Vipsgate-Cache"] = "bypass"
        headers["Server-Timing"] = _timing(request[answer.BEGUN], result)
        if result.missing:
            headers["X-Vipsgate-Missing-Glyphs"] = str(result.missing)
        return await answer.content(request, result.descriptor, result.size, modified, headers)


async def _styled(asked: target.Target, bucket: Bucket, store: Store) -> target.Target:
    """``OBJECT<separator>NAME`` as the style of the object, unless an object has that very name."""
    styled = style.split(asked, bucket.separators)
    if styled is None or await _is_there(asked, store) or not await _is_there(styled, store):
        return asked
    return styled


async def _is_there(asked: target.Target, store: Store) -> bool:
    try:
        target.check_key(asked.key)
        await store.stat(asked.bucket, asked.key)
    except NoSuchKey:
        return False
    return True


async def _other(call: Callable[[str, str], Awaitable[T]], bucket: str, key: str) -> T:
    """What the store says of an object that is to be laid on the picture.

    Raises:
        WatermarkError: There is none of this name.
        InvalidObjectName: There cannot be one.
    """
    try:
        target.check_key(key)
        return await call(bucket, key)
    except NoSuchKey:
        raise WatermarkError(f"The watermark object {shown(key)!r} does not exist.") from None


def _check_call(method: str, asked: target.Target) -> None:
    """Only objects are read yet.

    Raises:
        MethodNotAllowed: HTTP knows the method perhaps, OSS does not.
        Unimplemented: OSS knows the call, this version does not.
    """
    if method not in ("GET", "HEAD"):
        if method in LATER_METHODS:
            raise Unimplemented(f"The method: {method} is not implemented by this version.")
        raise MethodNotAllowed(
            "The specified method is not allowed against this resource.",
            extra={"Method": method, "ResourceType": "Object" if asked.key else "Bucket"},
            headers={"Allow": METHODS},
        )
    if calls := sorted(asked.names() & LATER_CALLS):
        raise Unimplemented(f"The call: {calls[0]} is not implemented by this version.")
    if not asked.key:
        raise Unimplemented(
            "Listing a bucket is not implemented by this version."
            if asked.bucket
            else "Listing the buckets is not implemented by this version."
        )


def _timing(begun: float, result: Result) -> str:
    """Milliseconds; ``open`` is what neither waiting nor rendering took."""
    total = time.perf_counter() - begun
    spent = {
        "queue": result.queue,
        "open": max(0.0, total - result.queue - result.render),
        "render": result.render,
        "total": total,
    }
    return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in spent.items())


async def converse(request: web.BaseRequest, house: House) -> web.StreamResponse:
    """Serve, and put every error as OSS words it."""
    identity = request[answer.ID] = answer.request_id()
    request[answer.BEGUN] = time.perf_counter()
    refusal: OssError
    try:
        return await serve(request, house)
    except OssError as error:
        refusal = error
    except ConnectionError:  # nobody is there to be told
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except Exception:
        log.exception("request %s failed: %s", identity, request.raw_path)
        refusal = InternalError("The server has a fault; its log has the request's id.")
    return answer.refusal(refusal, request)


def public(house: House, **options: Any) -> web.Server:
    """The server of the public port, which has no router: a path means what ``target`` says."""
    return web.Server(partial(converse, house=house), handler_cancellation=True, **options)


HOUSE = web.AppKey("house", House)


def admin(house: House) -> web.Application:
    """The application of the admin port: health."""
    app = web.Application()
    app[HOUSE] = house
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    return app


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    """503 with the reason while new work is not wanted."""
    house = request.app[HOUSE]
    reason = "draining" if house.draining else "queue full" if house.renderers.full else ""
    return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)
