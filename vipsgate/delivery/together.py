"""What fronts of one server tell and ask each other, so that they answer as one; one table.

What a front has changed it tells all others before its client hears of it, so whoever asks next, on
whichever connection, is answered by it. Two equal pictures are made by the front that has begun.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import cast

from ..cache.entry import CacheKey, Entry
from ..cache.purges import Kind, Rule
from ..siblings.family import Family
from ..siblings.post import Answer, LostError
from ..worker.protocol import Message
from .order import Derivative, ReplacedError
from .services import Services

JOIN = "join"
HEARD: Answer = {}, ()
GONE: Answer = {"gone": True}, ()


def answer(services: Services, family: Family) -> None:
    """Answer what the others ask, from now on."""
    for kind, row in TABLE.items():
        family.post.handle(kind, _bound(row, services))
    documents = services.registry.documents
    documents.told = lambda name: family.post.tell_all("document", {"name": name})
    services.writes.told = lambda path: family.post.tell_all("write", {"path": path})


def _bound(
    row: Callable[[Services, Message], Awaitable[Answer]], services: Services
) -> Callable[[Message, list[int]], Awaitable[Answer]]:
    return lambda body, descriptors: row(services, body)


async def _document(services: Services, body: Message) -> Answer:
    """The document of a bucket is another one, or gone."""
    await services.registry.documents.learn(body["name"])
    services.registry.refresh()
    return HEARD


async def _write(services: Services, body: Message) -> Answer:
    """A name of the store has been written."""
    services.writes.forget(body["path"])
    return HEARD


async def _object(services: Services, body: Message) -> Answer:
    """An object is another one: what has been made of it leaves memory; the disk is shared."""
    if services.cache:
        services.cache.memory.purge(body["bucket"], body["key"])
    return HEARD


async def _purge(services: Services, body: Message) -> Answer:
    """What a rule covers is made anew."""
    if services.cache:
        rule = Rule(body["bucket"], cast(Kind, body["kind"]), body["text"])
        services.cache.learn({rule: body["number"]})
    return HEARD


async def _join(services: Services, body: Message) -> Answer:
    """The picture that is being made here, when it is."""
    cache_key = CacheKey(body["bucket"], body["key"], body["variant"])
    if cache_key not in services.flights:
        return GONE
    try:
        result, _ = await services.flights.join(cache_key, _nobody)
    except ReplacedError:
        return GONE
    entry = result.entry
    descriptor = os.dup(entry.descriptor) if entry.data is None else _file(entry.data)
    result.close()
    about = {"mime": entry.mime, "missing": entry.missing, "size": entry.size, "notes": entry.notes}
    return about, (descriptor,)


async def _nobody() -> Derivative:
    raise AssertionError("somebody makes it already")


def _file(data: bytes) -> int:
    descriptor = os.memfd_create("vipsgate-joined", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    return descriptor


TABLE: dict[str, Callable[[Services, Message], Awaitable[Answer]]] = {
    "document": _document,
    "write": _write,
    "object": _object,
    "purge": _purge,
    JOIN: _join,
}


async def join(family: Family, front: int, cache_key: CacheKey, seconds: float) -> Entry | None:
    """The picture that another front makes; ``None`` where it does not any more.

    Args:
        family: Where the other one is.
        front: Which one it is.
        cache_key: What is made.
        seconds: That it has for it; one that hangs has not.

    Raises:
        OssError: What has come of it.
    """
    body = {"bucket": cache_key.bucket, "key": cache_key.key, "variant": cache_key.variant}
    try:
        async with asyncio.timeout(seconds):
            about, files = await family.post.ask(front, JOIN, body)
    except (LostError, TimeoutError):
        return None
    if "gone" in about:
        return None
    notes = tuple(about["notes"])
    return Entry(about["mime"], about["missing"], about["size"], None, files[0], notes=notes)
