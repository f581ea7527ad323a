"""Explains the answer to a request, without rendering its picture.

It serves ``GET /explain/BUCKET/KEY?...`` on the admin port: what follows ``/explain`` is a request
to the public port, with its signature if it has one. The request is resolved with the rights of an
owner, and the report includes which callers would be allowed to make it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import orjson

from .. import api
from ..buckets import Bucket
from ..delivery import derivatives, looks, lookup, resolve
from ..delivery.order import Order, see
from ..delivery.services import Services
from ..errors import NoSuchBucket, NoSuchKey, OssError, ServiceUnavailable, SourceChanged
from ..gate import accept, access, sign, simulate
from ..gate.access import Seen
from ..gate.sign import cdn
from ..gate.target import PROCESS, Target
from ..gate.target import resolve as resolve_target
from ..image.notes import joined
from ..worker.protocol import Attachment, Job

META = "objectMeta"  # the call about an object, not its picture
OWNER = simulate.CALLERS["owner"]
ACCEPT = accept.ACCEPT.lower()
SIGNATURE = frozenset(("authorization", "date", "referer", "x-oss-date"))  # headers that are used


async def explain(services: Services, line: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the explanation of a request, as plain values.

    Args:
        services: The services of the server.
        line: ``/BUCKET/KEY?...`` as a client would send it, with the bucket in the path.
        headers: Headers as a client would send them: a signature, Referer and Accept are used.
    """
    report: dict[str, Any] = dict.fromkeys(
        ("target", "objects", "process", "offered", "plan", "notes", "refused", "access")
    )
    try:
        target = resolve_target(line, "", {}, "")
        report["target"] = {"bucket": target.bucket, "key": target.key, "process": target.process}
        described = services.registry.described(target.bucket)
        signed = described and cdn.check(described.cdn_signing, target, line, services.clock())
        if signed:
            target = signed
            report["target"] |= {"key": target.key, "process": target.process}
        plain = META in target.names()
        api.find("HEAD" if plain else "GET", target, headers)
        document = services.registry.get(target.bucket)
        if document is None:
            raise NoSuchBucket("The specified bucket does not exist.")
        order, missing, whole = None, None, target
        find = resolve.plain_order if plain else resolve.order
        taken = next((text for name, text in headers.items() if name.lower() == ACCEPT), "")
        try:
            order = await find(services, access.Grant(document, OWNER), target, taken)
            order = await _sniffed(services, document, order)
            whole = order.target
        except NoSuchKey as error:
            missing = error
        except OssError as error:
            report["refused"] = outcome(error)
        if plain:
            query = tuple(pair for pair in target.query if pair[0] != PROCESS)
            whole = replace(whole, query=query)
        seen = order.seen() if order else await _source(services, document, target)
        report["access"] = _access(
            services, document, whole, target, seen, headers, missing, by_cdn=bool(signed)
        )
        if missing:
            raise missing
        if order:
            report |= _found(services, order)
            report["plan"] = await _plan(services, order)
            report["notes"] = _notes(order, report["plan"] or {})
    except SourceChanged as error:
        report["refused"] = outcome(ServiceUnavailable(error.message))
    except OssError as error:
        report["refused"] = outcome(error)
    return report


def outcome(error: OssError | None) -> dict[str, Any]:
    """Return an error, or success for ``None``, as plain values."""
    if error is None:
        return {"allowed": True}
    return {
        "allowed": False,
        "status": error.status,
        "code": error.code,
        "ec": error.ec,
        "rule": error.rule,
        "message": error.message,
    }


def _access(
    services: Services,
    document: Bucket,
    whole: Target,
    target: Target,
    seen: tuple[Seen, ...],
    headers: Mapping[str, str],
    missing: OssError | None,
    *,
    by_cdn: bool,
) -> dict[str, Any]:
    """Return whether this request, and each kind of caller, is allowed.

    ``target`` is the target that was signed.
    """
    fields = sign.fields((name, text) for name, text in headers.items() if _counts(name))
    referer = fields.get("referer", "")
    bare = replace(whole, query=tuple(p for p in whole.query if p[0] not in sign.NAMES))
    verdicts = simulate.verdicts(bare, document, seen, referer, missing)
    try:
        if by_cdn:
            call = "GetObjectMeta" if META in target.names() else "GetObject"
            grant = access.by_cdn(target, fields, document, call)
        else:
            grant = access.check(
                target, "GET", fields, document, services.configuration.keys, services.clock()
            )
        mine = simulate.refusal(grant, whole, seen, missing)
    except OssError as error:
        mine = error
    return {who: outcome(error) for who, error in {"request": mine, **verdicts}.items()}


async def _sniffed(services: Services, document: Bucket, order: Order) -> Order:
    """Return an order with ``picture`` filled in, as an anonymous caller's access may need it."""
    anonymous = access.Grant(document, None)
    known = lookup.Source(order.keys[0], order.source, order.links[0])
    source = await lookup.sniff(services, anonymous, order.target, known)
    return replace(order, objects=(source.object, *order.objects[1:]), picture=source.picture)


def _counts(name: str) -> bool:
    return name.lower() in SIGNATURE or name.lower().startswith("x-oss-")


async def _source(services: Services, document: Bucket, target: Target) -> tuple[Seen, ...]:
    """Return the source as the gate checks it, for a request whose process is refused."""
    owner = access.Grant(document, OWNER)
    try:
        source = await lookup.find(services, owner, target)
    except OssError:
        return (Seen(target.key),)
    return (see(owner, source.key, source.object, link=source.link),)


def _found(services: Services, order: Order) -> dict[str, Any]:
    target, process = order.target, order.process
    chain = [str(action) for action in process.actions] if process else []
    return {
        "target": {"bucket": target.bucket, "key": target.key, "process": target.process},
        "objects": [
            {
                "key": key,
                "bytes": item.size,
                "etag": item.etag,
                "modified": item.modified,
                "acl": item.properties.acl or "default",
                "content_type": item.properties.content_type,
                "aliases": [name.encode(errors="replace").decode() for name in item.aliases],
                "symlink": link.key if link else "",
            }
            for key, item, link in zip(order.keys, order.objects, order.links, strict=True)
        ],
        "process": {"text": str(process) if process else "", "chain": chain},
        "offered": list(order.offered),
        "etag": derivatives.etag(services, order),
    }


def _notes(order: Order, plan: Mapping[str, Any]) -> list[str]:
    """Return the notes on parameters that would be changed or ignored."""
    notes = order.process.notes if order.process else ()
    return [*joined(notes, plan.get("notes", ()))]


async def _plan(services: Services, order: Order) -> dict[str, Any] | None:
    """Return the plan of a renderer; ``None`` for a video, which has none until it is decoded.

    Raises:
        SourceChanged: The source was replaced or written to meanwhile.
        OssError: A renderer would refuse the job.
    """
    if order.process is None or order.process.snapshot:
        return None
    bucket, key = order.target.bucket, order.keys[0]
    with ExitStack() as stack:
        opened = stack.enter_context(closing(await services.store.open(bucket, key)))
        if opened.object != order.source:
            raise SourceChanged(derivatives.REPLACED)
        attachments = []
        for other in order.keys[1:]:
            item = stack.enter_context(closing(await services.store.open(bucket, other)))
            attachments.append(Attachment(item.object.etag, item.descriptor))
        text, strict = str(order.process), order.grant.bucket.strict
        focus = (await looks.find(services, order, opened)).focus if order.process.look else None
        job = Job(
            *("explain", text, opened.descriptor, tuple(attachments), strict, focus),
            times=opened.times,
        )
        with closing(await services.renderers.render(job)) as done:
            result: dict[str, Any] = orjson.loads(os.pread(done.descriptor, done.size, 0))
            return result
