"""Purges of the cache by key, prefix or style; one table.

A purge by key removes entries at once, in every tier. After a purge by prefix or style, entries are
found no more (:mod:`vipsgate.cache.purges`). Of a prefix the files on this disk are removed behind
the answer, object by object as the store lists them; the rest is evicted as least recently used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..cache.purges import Kind, Rule
from ..errors import NoSuchBucket, NoSuchStyle, OssError, shown
from ..gate.target import check_key
from ..gate.webhook import Event
from .services import Services

PAGE = 1000  # objects listed at a time, whose files are removed one by one
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of purge.

    Attributes:
        kind: The word for it in a request, ``DELETE /purge/KIND/BUCKET/TEXT``.
        check: Raises an error for a text that names nothing.
        event: Makes the event for webhooks from a bucket and a text.
    """

    kind: Kind
    check: Callable[[Services, str, str], None]
    event: Callable[[str, str], Event]


def _any(services: Services, bucket: str, text: str) -> None:
    """Any key can be purged: an object that is missing has no entries."""


def _prefix(services: Services, bucket: str, text: str) -> None:
    _bucket(services, bucket)
    check_key(text)


def _style(services: Services, bucket: str, text: str) -> None:
    _bucket(services, bucket)
    document = services.registry.get(bucket)
    if document is None or text not in document.styles:
        raise NoSuchStyle("No Such Image Style.", extra={"StyleName": shown(text)})


def _bucket(services: Services, bucket: str) -> None:
    if services.registry.get(bucket) is None:
        raise NoSuchBucket("The specified bucket does not exist.", extra={"BucketName": bucket})


TABLE = {
    row.kind: row
    for row in (
        Row("key", _any, lambda bucket, text: Event("purge", bucket, key=text)),
        Row("prefix", _prefix, lambda bucket, text: Event("purge", bucket, prefix=text)),
        Row("style", _style, lambda bucket, text: Event("purge", bucket, style=text)),
    )
}


async def purge(services: Services, kind: Kind, bucket: str, text: str) -> None:
    """Purge entries in every tier and on all fronts, and tell the caches in front.

    Args:
        services: Have the cache and the webhooks.
        kind: What the text is, a word of :data:`TABLE`.
        bucket: Of the objects.
        text: A key, the beginning of keys (empty: all of the bucket), or a style.

    Raises:
        NoSuchBucket: There is none to look for a prefix or a style in.
        NoSuchStyle: The bucket has no such style.
        OssError: No key begins so.
    """
    row = TABLE[kind]
    row.check(services, bucket, text)
    if services.cache:
        now = time.time()
        rule = Rule(bucket, kind, text)
        await services.cache.renew(rule)
        if services.peers:
            number = services.cache.purges.numbers.get(rule, 0)
            body = {**rule._asdict(), "number": number}
            await services.peers.channel.broadcast("purge", body)
        if kind == "prefix":
            task = asyncio.create_task(_sweep(services, bucket, text, now))
            services.sweeping.add(task)
            task.add_done_callback(services.sweeping.discard)
    services.webhooks.tell(row.event(bucket, text))


async def _sweep(services: Services, bucket: str, prefix: str, before: float) -> None:
    """Remove the files of a prefix from before its purge, one object at a time."""
    after = ""
    try:
        while services.cache:
            page = await services.store.list(bucket, prefix=prefix, after=after, limit=PAGE)
            for key, _ in page.objects:
                await services.cache.sweep(bucket, key, before)
            if not (after := page.next):
                return
    except OssError as error:
        log.error("files of what was purged stay for now: %s", error)
