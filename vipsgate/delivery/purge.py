"""Purges of the cache by key, prefix or style; one table.

A purge by key removes entries at once, in every tier. A purge by prefix or style changes the names
of entries, so that the old ones are not found any more (:mod:`vipsgate.cache.purges`). Files of a
prefix on this disk are removed in the background, by object as the store lists them; all other old
entries are evicted as the least recently used.
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

PAGE = 1000  # objects listed at a time
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of purge.

    Attributes:
        kind: The word for it in a request, ``DELETE /purge/KIND/BUCKET/TEXT``.
        check: Raises an error if the bucket or the text is not valid.
        event: Returns the event for webhooks, from a bucket and a text.
    """

    kind: Kind
    check: Callable[[Services, str, str], None]
    event: Callable[[str, str], Event]


def _any(services: Services, bucket: str, text: str) -> None:
    """Accept any key, including those of missing objects."""


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
    """Purge entries in every tier and on all fronts, and send the event to webhooks.

    Args:
        services: The services.
        kind: The kind of purge, a key of :data:`TABLE`.
        bucket: The bucket of the objects.
        text: A key, a prefix of keys (empty: the whole bucket), or the name of a style.

    Raises:
        NoSuchBucket: The prefix or style is of a bucket that does not exist.
        NoSuchStyle: The bucket has no such style.
        InsufficientStorage: See :meth:`vipsgate.cache.tiers.Cache.renew`, as for the next two; this
            server follows the purge nevertheless, and goes on trying to tell the others.
        ServiceUnavailable: The cache's folder cannot be written.
        OssError: The prefix is not the beginning of a valid key, or the shared bucket is away.
    """
    row = TABLE[kind]
    row.check(services, bucket, text)
    failure: OssError | None = None
    if services.cache:
        now = time.time()
        rule = Rule(bucket, kind, text)
        try:
            await services.cache.renew(rule)
        except OssError as error:
            failure = error
        if services.peers:
            number = services.cache.purges.numbers.get(rule, 0)
            body = {**rule._asdict(), "number": number}
            await services.peers.channel.broadcast("purge", body)
        if kind == "prefix":
            task = asyncio.create_task(_sweep(services, bucket, text, now))
            services.sweeping.add(task)
            task.add_done_callback(services.sweeping.discard)
    services.webhooks.tell(row.event(bucket, text))
    if failure:
        raise failure


async def _sweep(services: Services, bucket: str, prefix: str, before: float) -> None:
    """Remove the files of a prefix that are older than its purge, one object at a time."""
    after = ""
    try:
        while services.cache:
            page = await services.store.list(bucket, prefix=prefix, after=after, limit=PAGE)
            for key, _ in page.objects:
                await services.cache.sweep(bucket, key, before)
            if not (after := page.next):
                return
    except OssError as error:
        log.error("files of a purged object could not be deleted yet: %s", error)
