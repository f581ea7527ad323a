"""The calls between fronts of one server by which they answer as one; one table.

A front broadcasts what it has changed before its client gets the answer, so the next request, on
whichever connection, is answered by it. Of two fronts that need the same picture, one makes it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import cast

from ..cache.entry import CacheKey, Entry
from ..cache.purges import Kind, Rule
from ..fronts.channel import FrontLostError, Reply
from ..fronts.peers import Peers
from ..worker.protocol import Message
from .order import Derivative, ReplacedError
from .services import Services

JOIN = "join"
DONE: Reply = {}, ()
GONE: Reply = {"gone": True}, ()


def serve(services: Services, peers: Peers) -> None:
    """Answer the calls of the other fronts, and broadcast changes, from now on."""
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
    """The document of a bucket was changed, or removed."""
    await services.registry.documents.learn(body["name"])
    services.registry.refresh()
    return DONE


async def _write(services: Services, body: Message) -> Reply:
    """An object of the store was written."""
    services.writes.forget(body["path"])
    return DONE


async def _object(services: Services, body: Message) -> Reply:
    """An object was replaced: what was made of it is gone from the disk, which is shared."""
    if services.cache:
        services.cache.forget(body["bucket"], body["key"])
    return DONE


async def _purge(services: Services, body: Message) -> Reply:
    """What a rule covers was purged."""
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
    except ReplacedError:
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
    """Return the picture that another front is making; ``None`` where it does not any more.

    Args:
        peers: The other fronts.
        front: Which of them makes it.
        cache_key: Names the picture.
        seconds: After which it is waited for no longer.

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
