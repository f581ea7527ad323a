"""PutSymlink and GetSymlink: an object that leads to another of its bucket (OSS guide, PutSymlink).

A symlink is a small object whose properties name its target. Reads follow it
(:func:`vipsgate.delivery.lookup.follow`), and an ordinary object needs no further lookup. A symlink
of the file system has no ACL and no headers of its own, and object stores have no symlinks.

All other calls apply to the symlink itself: it is listed, deleted, copied and overwritten, and has
an ACL and tags. Its bytes are the key of its target, for information.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from ..delivery import lookup
from ..errors import InvalidArgument, NotSymlink
from ..gate import access
from ..gate.headers import SYMLINK_TARGET
from ..gate.target import check_stored_key
from ..web import responses
from . import copying, object_headers, writing
from .call import Call


async def put(call: Call) -> web.StreamResponse:
    """PutSymlink; the target need not exist until the symlink is read.

    Raises:
        InvalidArgument: No target is given.
        InvalidObjectName: The target's key is not valid.
    """
    bucket, key, aim = call.target.bucket, call.target.key, _aim(call)
    await writing.check_writable(call, call.grant, bucket, key)
    # a symlink of which no type is said has that of its target
    headers = object_headers.sent(call)
    properties = object_headers.properties_of(headers, signed=False, kind=responses.SYMLINK)
    async with call.services.store.draft(bucket) as draft:
        await draft.write(aim.encode())
        properties = replace(properties, target=aim)
        stored = await writing.keep(call, draft, bucket, key, properties, etag=_tag(aim))
    return call.respond(headers={"ETag": stored.etag})


async def get(call: Call) -> web.StreamResponse:
    """GetSymlink: the target, percent-encoded.

    Raises:
        NotSymlink: The object is not a symlink.
    """
    bucket, key = call.target.bucket, call.target.key
    info = await lookup.stat(call.services, call.grant, bucket, key)
    aim = info.properties.target
    for name in filter(
        None, (key, aim)
    ):  # who may see an object through styles only is told nothing of it
        access.check_source(call.grant, call.target, access.Seen(name))
    if not aim:
        raise NotSymlink("The object you specified is not a symlink.", ec="0043-00000101")
    headers = responses.validators(info.etag, info.modified)
    return call.respond(headers={**headers, SYMLINK_TARGET: quote(aim)})


def _aim(call: Call) -> str:
    """Return the key in ``x-oss-symlink-target``."""
    named = call.header(SYMLINK_TARGET)
    if not named:
        raise InvalidArgument(
            f"The header: {SYMLINK_TARGET} is missing, which names the target.",
            ec="0043-00000001",
        )
    aim = copying.unquoted(named, SYMLINK_TARGET)
    check_stored_key(aim)
    return aim


def _tag(aim: str) -> str:
    """Return the ETag of a symlink, which depends on its target.

    It is not the MD5 of the bytes, so that a listing of an object store looks at the object and
    tells its kind (:meth:`vipsgate.store.remote.objects.RemoteObjects.recall`).
    """
    digest = hashlib.md5(f"symlink/{aim}".encode(), usedforsecurity=False)
    return f'"{digest.hexdigest().upper()}"'
