"""The calls between the fronts of a server, in one table.

A front broadcasts a change before it answers the client, so that the next request sees the change
on any front. If two fronts need the same picture, one of them makes it for both.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import cast

from ..cache.entry import CacheKey, Entry
from ..cache.purges import Kind, Rule
from ..errors import SourceChanged
from ..fronts.channel import FrontLostError, Reply
from ..fronts.peers import Peers
from ..worker.protocol import Message
from .order import Derivative
from .services import Services

JOIN = "join"
DONE: Reply = {}, ()
GONE: Reply = {"gone": True}, ()


def serve(services: Services, peers: Peers) -> None:
    """Start to answer the calls of the other fronts, and to broadcast changes."""
    for kind, row in TABLE.items():
        peers.channel.on_call(kind, _bound(row, services))
    documents = services.registry.documents
    documents.announce = lambda name: peers.channel.broadcast("document", {"name": name})
    services.writes.announce = lambda path: peers.channel.broadcast("write", {"path": path})


def _bound(
    row: Callable[[Services, Message], Awaitable[Reply]], services: Services
) -> Callable[[Message, list[int]], Awaitable[Reply]]:
    return lambda body, descriptors: row(services, body)


async def _document(services: Services, body: Message) -> Reply:
    """Read the document of a bucket again, which was changed or removed."""
    await services.registry.documents.learn(body["name"])
    services.registry.refresh()
    return DONE


async def _write(services: Services, body: Message) -> Reply:
    """Forget what is known of a path that was written."""
    services.writes.forget(body["path"])
    return DONE


async def _object(services: Services, body: Message) -> Reply:
    """Forget the pictures of an object that was replaced; their files are removed already."""
    if services.cache:
        services.cache.forget(body["bucket"], body["key"])
    return DONE


async def _purge(services: Services, body: Message) -> Reply:
    """Adopt a purge rule."""
    if services.cache:
        rule = Rule(body["bucket"], cast(Kind, body["kind"]), body["text"])
        services.cache.learn({rule: body["number"]})
    return DONE


async def _join(services: Services, body: Message) -> Reply:
    """Reply with the picture that is being made here, when it is done."""
    cache_key = CacheKey(body["bucket"], body["key"], body["variant"])
    if cache_key not in services.flights:
        return GONE
    try:
        result, _ = await services.flights.join(cache_key, _never)
    except SourceChanged:
        return GONE
    entry = result.entry
    descriptor = os.dup(entry.descriptor) if entry.data is None else _file(entry.data)
    result.close()
    about = {"mime": entry.mime, "missing": entry.missing, "size": entry.size, "notes": entry.notes}
    return about, (descriptor,)


async def _never() -> Derivative:
    raise AssertionError("it is being made already")


def _file(data: bytes) -> int:
    descriptor = os.memfd_create("vipsgate-joined", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    return descriptor


TABLE: dict[str, Callable[[Services, Message], Awaitable[Reply]]] = {
    "document": _document,
    "write": _write,
    "object": _object,
    "purge": _purge,
    JOIN: _join,
}


async def join(peers: Peers, front: int, cache_key: CacheKey, seconds: float) -> Entry | None:
    """Wait for a picture that another front is making, and return it.

    Args:
        peers: The other fronts.
        front: The number of the front that makes it.
        cache_key: The name of the picture.
        seconds: The longest time to wait.

    Returns:
        The picture; ``None`` if the front is not making it any more, was lost or took too long.

    Raises:
        OssError: It could not be made.
    """
    body = {"bucket": cache_key.bucket, "key": cache_key.key, "variant": cache_key.variant}
    try:
        async with asyncio.timeout(seconds):
            about, files = await peers.channel.call(front, JOIN, body)
    except (FrontLostError, TimeoutError):
        return None
    if "gone" in about:
        return None
    notes = tuple(about["notes"])
    return Entry(about["mime"], about["missing"], about["size"], None, files[0], notes=notes)
