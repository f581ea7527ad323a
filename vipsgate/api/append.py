"""AppendObject: an object that grows at its end (OSS guide, AppendObject).

An append writes a new object with the old bytes and the new ones, which atomically replaces the old
object if that has not changed meanwhile. So a reader sees all of an append or nothing of it, a
crash loses nothing, and of two clients that append at the same position one is told the new end.
The price is that each append copies the object.

The answer has the size, the ETag and the CRC of the whole object. So an anonymous caller, who may
write to a public-read-write bucket, may not append to a picture that is protected from reading.
"""

from __future__ import annotations

import hashlib
from contextlib import closing, suppress

from aiohttp import web

from ..delivery import lookup
from ..delivery.order import see
from ..errors import (
    MissingArgument,
    NoSuchKey,
    ObjectNotAppendable,
    PositionNotEqualToLength,
    PreconditionFailed,
)
from ..gate import access
from ..store.base import Object
from ..web import responses
from . import object_headers, writing
from .call import Call, invalid

DIGITS = 18  # longest position; far beyond any object


async def append(call: Call) -> web.StreamResponse:
    """AppendObject; properties are set only when the object is created.

    Raises:
        MissingArgument: There is no position.
        InvalidArgument: The position is not a number.
        PositionNotEqualToLength: The position is not the end of the object.
        ObjectNotAppendable: The object was not created by AppendObject.
        AccessDenied: The object is protected from this caller.
    """
    services, target = call.services, call.target
    store, position = services.store, _position(call)
    await writing.check_writable(call, call.grant, target.bucket, target.key)
    before = await _present(call, position)
    properties = (
        before.properties
        if before
        else object_headers.given_properties(call, kind=responses.APPENDABLE)
    )
    most = max(0, services.settings.store.upload_bytes - position)
    async with store.draft(target.bucket) as draft:
        if before and before.size:
            with closing(await store.open(target.bucket, target.key)) as opened:
                if opened.object.etag != before.etag:
                    raise _elsewhere(opened.object.size)
                await opened.copy(draft)
        piece = hashlib.md5(usedforsecurity=False)
        async for data in call.body(most):
            piece.update(data)
            await draft.write(data)
        call.check_digest(piece.digest())
        try:
            expected = before.etag if before else ""
            stored = await draft.keep(target.key, properties, expected=expected)
        except PreconditionFailed:
            raise _elsewhere(await _length(call)) from None
        await services.forget(target.bucket, target.key)
        headers = {
            "ETag": stored.etag,
            responses.CRC: str(draft.crc),
            responses.NEXT_POSITION: str(stored.size),
        }
    return call.respond(headers=headers)


async def _present(call: Call, position: int) -> Object | None:
    """Return the existing object, whose end is at this position; ``None`` if there is none."""
    before = await _look(call)
    if before and before.properties.kind != responses.APPENDABLE:
        raise ObjectNotAppendable("The object is not appendable.")
    if position != (before.size if before else 0):
        raise _elsewhere(before.size if before else 0)
    return before


async def _length(call: Call) -> int:
    item = await _look(call)
    return item.size if item else 0


async def _look(call: Call) -> Object | None:
    """Look up the object, and check protection; ``None`` if there is none.

    Raises:
        AccessDenied: The object is protected from this caller.
    """
    services, target, grant = call.services, call.target, call.grant
    with suppress(NoSuchKey):
        item = await services.store.stat(target.bucket, target.key)
        source = lookup.Source(target.key, item)
        source = await lookup.sniff(services, grant, target, source)
        seen = see(grant, source.key, source.object, picture=source.picture)
        access.check_source(grant, target, seen)
        return source.object
    return None


def _position(call: Call) -> int:
    value = call.parameter("position")
    if not value:
        raise MissingArgument("Missing Some Required Arguments: position.")
    if not (value.isascii() and value.isdigit() and len(value) <= DIGITS):
        raise invalid("position", value, "a number of bytes")
    return int(value)


def _elsewhere(size: int) -> PositionNotEqualToLength:
    return PositionNotEqualToLength(
        "Position is not equal to file length.", headers={responses.NEXT_POSITION: str(size)}
    )
