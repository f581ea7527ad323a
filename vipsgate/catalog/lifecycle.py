"""Lifecycle: uploads in parts that nobody completes are aborted, as a bucket's rules say.

Every instance looks once an hour; the first one that writes down that it does has the hour, so that
the uploads of an object store are read once and not by a whole fleet. Should two do it all the
same, no harm is done: an upload that is aborted twice is gone. The uploads are read a few at a
time, with a pause behind each few, so that a hundred thousand of them take no time from requests.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import orjson

from ..buckets import INTERNAL, LifecycleRule
from ..errors import NoSuchKey, OssError, PreconditionFailed
from ..store.base import PLAIN, Store
from . import uploads
from .registry import Registry

TURN = "lifecycle.json"  # in our own bucket: when the last turn began
INTERVAL = 3600.0  # seconds between two turns of all instances
POLL_INTERVAL = 300.0  # seconds between two looks of one instance whether it is time
TOGETHER = 32  # uploads behind which requests have their turn
PAUSE = 0.05  # seconds for that

Rules = Mapping[str, Sequence[LifecycleRule]]  # of each bucket
log = logging.getLogger(__name__)


async def follow(store: Store, registry: Registry, clock: Callable[[], float]) -> None:
    """Abort what is due, again and again, for ever.

    Args:
        store: Where the uploads are.
        registry: Has the rules.
        clock: Seconds since the epoch.
    """
    while True:
        # not all at once, where all instances are started together
        await asyncio.sleep(POLL_INTERVAL * random.uniform(0.5, 1.5))
        rules = rules_of(registry)
        try:
            if rules and await take_turn(store, clock()):
                await sweep(store, rules, clock())
        except OssError as error:
            log.error("abandoned uploads cannot be aborted now: %s", error)
        except Exception:  # a fault of ours; whoever ends here aborts nothing any more
            log.exception("abandoned uploads cannot be aborted")


def rules_of(registry: Registry) -> Rules:
    """Return the rules of all buckets that have some."""
    documents = {**registry.documents.known, **registry.declared}
    return {name: bucket.lifecycle for name, bucket in documents.items() if bucket.lifecycle}


async def take_turn(store: Store, now: float) -> bool:
    """Take the turn if it is due and no other instance has taken it. Return whether it was taken.

    Raises:
        OssError: The store is away.
    """
    etag = ""
    try:
        with closing(await store.open(INTERNAL, TURN)) as opened:
            etag, data = opened.object.etag, opened.read()
        if now - INTERVAL < _begun(data) <= now:
            return False
    except NoSuchKey:
        pass
    async with store.draft(INTERNAL) as draft:
        await draft.write(orjson.dumps({"begun": now}))
        try:
            await draft.keep(TURN, PLAIN, expected=etag)
        except PreconditionFailed:
            return False
    return True


def _begun(data: bytes) -> float:
    try:
        return float(orjson.loads(data)["begun"])
    except (ValueError, TypeError, KeyError):  # not of our making
        return 0.0


async def sweep(store: Store, rules: Rules, now: float) -> int:
    """Abort the uploads that are due, and return how many these were.

    Raises:
        OssError: The store is away; what is left is for the next turn.
    """
    total = 0
    for bucket, of_bucket in rules.items():
        aborted, seen = 0, 0
        async for upload in uploads.under_way(store, bucket):
            if any(rule.is_due(upload.key, upload.begun, now) for rule in of_bucket):
                await uploads.abort(store, upload)
                aborted += 1
            seen += 1
            if seen % TOGETHER == 0:
                await asyncio.sleep(PAUSE)
        if aborted:
            log.info("bucket %s: %d abandoned uploads were aborted", bucket, aborted)
        total += aborted
    return total
