"""Calls of OSS's API, made in this process for a key that has logged in: the public API's own rows.

A call goes through the same table, gate and handler as one over the public port; only that the
caller is known by the session and not by a signature. It is not counted as public traffic.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from aiohttp import web

from .. import api
from ..api import xml
from ..buckets import Bucket
from ..delivery import derivatives, resolve
from ..delivery.services import Services
from ..errors import EntityTooLarge, NoSuchBucket
from ..gate import access, headers, parameters
from ..gate.rights import Right
from ..gate.sign import Credential
from ..gate.target import PROCESS, Target, check_bucket, check_key
from ..observe.record import RequestRecord
from ..web import responses

MAX_REPORT = 1 << 20  # bytes of an answer in JSON that a page shows
SIGNED = {"authorization": "session"}  # to the gate: a program that signs, and sends no Referer
Query = tuple[tuple[str, str], ...]
Guard = Callable[[Bucket], None]


class ConflictError(Exception):
    """Somebody else has changed what a visitor wants to change.

    Attributes:
        present: The document as it is now.
    """

    def __init__(self, present: Bucket) -> None:
        super().__init__("changed by somebody else")
        self.present = present


def unguarded(document: Bucket) -> None:
    """For a change that does not depend on what was seen."""


def expecting(
    fingerprint: Callable[[Bucket], str], was: str, edit: Callable[[Bucket], Bucket]
) -> Guard:
    """Return a guard that takes the part of a document that was seen, or that shall be.

    Args:
        fingerprint: Of that part.
        was: The fingerprint that was seen.
        edit: From a document to the one that shall be.
    """

    def guard(present: Bucket) -> None:
        if fingerprint(present) not in (was, fingerprint(edit(present))):
            raise ConflictError(present)

    return guard


@dataclass(frozen=True, slots=True)
class PageCall(api.Call):
    """A call whose body is not that of the request it came with.

    Attributes:
        data: The body; ``None`` for that of the request itself.
        guard: Raises where a document is not what the visitor has seen.
    """

    data: bytes | AsyncIterator[bytes] | None = field(default=None)
    guard: Guard = field(default=unguarded)

    def check_present(self, document: Bucket) -> None:
        self.guard(document)

    async def body(self, most: int) -> AsyncIterator[bytes]:
        if self.data is None:
            async for piece in api.Call.body(self, most):
                yield piece
            return
        seen = 0
        async for piece in _pieces(self.data):
            seen += len(piece)
            if seen > most:
                raise EntityTooLarge(
                    "Your proposed upload exceeds the maximum allowed size. "
                    f"The body may have {most} bytes here."
                )
            yield piece


async def _pieces(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        if data:
            yield data
        return
    async for piece in data:
        yield piece


def of(
    request: web.BaseRequest,
    services: Services,
    caller: Credential,
    method: str,
    target: Target,
    sent: Mapping[str, str] | None = None,
    data: bytes | AsyncIterator[bytes] | None = b"",
    guard: Guard = unguarded,
) -> tuple[api.Row, PageCall]:
    """A call that the caller may make, as far as the bucket is concerned.

    Args:
        request: Whose connection takes the answer; it has not been read.
        services: Where the work is done.
        caller: Whose right counts.
        method: Of the call.
        target: What it is about.
        sent: Its headers.
        data: Its body; ``None`` for that of ``request``.
        guard: Raises where a document is not what the visitor has seen.

    Raises:
        OssError: As the public API words it.
    """
    target = _checked(target)
    inner = request.clone(method=method, headers={"Host": request.host, **(sent or {})})
    row = api.find(method, target, inner.headers)
    known = services.registry.get(target.bucket)
    document = known or (services.registry.plain if row.bucket_optional else None)
    # what the console shows is for this key alone, and for as long as nothing has changed
    grant = access.admit(target, SIGNED, document, caller, row.right)
    if row.name in ("GetObject", "HeadObject"):
        grant = access.Grant(grant.bucket, caller, {"Cache-Control": "private, no-cache"})
    headers.check(row.name, row.headers, inner.headers)
    inner[responses.RECORD] = RequestRecord(time.perf_counter(), responses.request_id())
    inner[responses.ENDING] = services.draining
    return row, PageCall(inner, services, target, grant, data, guard, name=row.name)


def _checked(target: Target) -> Target:
    """A target whose names come from a form, held to the same rules as those of a URL."""
    if target.bucket or target.key:
        check_bucket(target.bucket)
    check_key(target.key)
    for name, _ in target.query:
        assert not parameters.overridden(name)
    return target


def document(response: web.StreamResponse, root: str) -> Element:
    """The XML of an answer."""
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return xml.parse(response.body, root)


async def report(services: Services, caller: Credential, target: Target, process: str) -> bytes:
    """What a process that answers in JSON says of an object; ``image/info``.

    Raises:
        OssError: There is no such object, or it is no picture.
    """
    target = _checked(Target(target.bucket, target.key, ((PROCESS, process),)))
    bucket = services.registry.get(target.bucket)
    if bucket is None:
        raise NoSuchBucket("The specified bucket does not exist.")
    access.check_role(caller, Right.READ)
    order = await resolve.order(services, access.Grant(bucket, caller), target)
    with closing(await derivatives.fetch_anew(services, order)) as content:
        if isinstance(content.body, bytes):
            return content.body[:MAX_REPORT]
        assert isinstance(content.body, int)
        return os.pread(content.body, min(content.size, MAX_REPORT), 0)
