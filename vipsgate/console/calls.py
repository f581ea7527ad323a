"""Makes calls of OSS's API in this process, for a key that has logged in.

A call uses the same table, gate and handler as one over the public port, but the caller is known by
the session and not by a signature. It is not counted as public traffic.
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

MAX_REPORT = 1 << 20  # most bytes of a JSON answer that a page shows
SIGNED = {"authorization": "session"}  # for the gate this is a signed request without Referer
Query = tuple[tuple[str, str], ...]
Guard = Callable[[Bucket], None]


class ConflictError(Exception):
    """Somebody else has changed the document that a visitor wants to change.

    Attributes:
        present: The present document.
    """

    def __init__(self, present: Bucket) -> None:
        super().__init__("changed by somebody else")
        self.present = present


def unguarded(document: Bucket) -> None:
    """Accept any document, for a change that does not depend on what was shown."""


def expecting(
    fingerprint: Callable[[Bucket], str], was: str, edit: Callable[[Bucket], Bucket]
) -> Guard:
    """Return a guard that accepts a document if its relevant part is as shown, or as wanted.

    Args:
        fingerprint: Returns the fingerprint of that part.
        was: The fingerprint of the part that was shown.
        edit: Returns the document after the change.
    """

    def guard(present: Bucket) -> None:
        if fingerprint(present) not in (was, fingerprint(edit(present))):
            raise ConflictError(present)

    return guard


@dataclass(frozen=True, slots=True)
class PageCall(api.Call):
    """A call whose body may differ from that of the request.

    Attributes:
        data: The body; ``None`` for that of the request.
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
    """Return a call after checking the caller's rights to the bucket.

    Args:
        request: The request of the visitor, whose connection gets the answer; its body has not been
            read.
        services: The services of the server.
        caller: The key pair whose rights apply.
        method: Method of the call.
        target: Bucket, key and parameters of the call.
        sent: Headers of the call.
        data: Body of the call; ``None`` for that of ``request``.
        guard: Raises if a document is not the one that the visitor has seen.

    Raises:
        OssError: The public API refuses the call.
    """
    target = _checked(target)
    inner = request.clone(method=method, headers={"Host": request.host, **(sent or {})})
    row = api.find(method, target, inner.headers)
    known = services.registry.get(target.bucket)
    document = known or (services.registry.plain if row.bucket_optional else None)
    # pages of the console are for this key alone, and must not be cached
    grant = access.admit(target, SIGNED, document, caller, row.right)
    if row.name in ("GetObject", "HeadObject"):
        grant = access.Grant(grant.bucket, caller, {"Cache-Control": "private, no-cache"})
    headers.check(row.name, row.headers, inner.headers)
    inner[responses.RECORD] = RequestRecord(time.perf_counter(), responses.request_id())
    inner[responses.ENDING] = services.draining
    return row, PageCall(inner, services, target, grant, data, guard, name=row.name)


def _checked(target: Target) -> Target:
    """Check a target from a form by the rules for names in URLs, and return it."""
    if target.bucket or target.key:
        check_bucket(target.bucket)
    check_key(target.key)
    for name, _ in target.query:
        assert not parameters.overridden(name)
    return target


def document(response: web.StreamResponse, root: str) -> Element:
    """Return the XML document of an answer."""
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return xml.parse(response.body, root, most=len(response.body))


async def report(services: Services, caller: Credential, target: Target, process: str) -> bytes:
    """Return the JSON answer of a process such as ``image/info`` for an object.

    Raises:
        OssError: There is no such object, or it is not a picture.
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
