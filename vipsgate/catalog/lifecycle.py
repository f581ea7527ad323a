"""Lifecycle: aborts multipart uploads that are not completed, by the rules of their bucket.

This is done once an hour. The instance that is first to write a file of the present hour does it,
so that the uploads of an object store are read once and not by a whole fleet. If two should do it,
no harm is done: aborting an upload twice has the same effect. The uploads are read a few at a time,
with pauses, so that a hundred thousand of them do not delay requests.
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

TURN = "lifecycle.json"  # a file in the internal bucket with the time of the last turn
INTERVAL = 3600.0  # seconds between two turns of all instances together
POLL_INTERVAL = 300.0  # seconds after which each instance checks whether a turn is due
TOGETHER = 32  # uploads that are read between two pauses
PAUSE = 0.05  # seconds of a pause

Rules = Mapping[str, Sequence[LifecycleRule]]  # rules by bucket
log = logging.getLogger(__name__)


async def follow(store: Store, registry: Registry, clock: Callable[[], float]) -> None:
    """Abort uploads that are due, until this task is cancelled.

    Args:
        store: The store of the uploads.
        registry: The buckets, with their rules.
        clock: Returns the time in seconds since the epoch.
    """
    while True:
        # at different times, even if all instances were started together
        await asyncio.sleep(POLL_INTERVAL * random.uniform(0.5, 1.5))
        rules = rules_of(registry)
        try:
            if rules and await take_turn(store, clock()):
                await sweep(store, rules, clock())
        except OssError as error:
            log.error("abandoned uploads cannot be aborted now: %s", error)
        except Exception:  # a fault here must not end the loop
            log.exception("abandoned uploads cannot be aborted")


def rules_of(registry: Registry) -> Rules:
    """Return the rules of all buckets that have some."""
    documents = {**registry.documents.known, **registry.declared}
    return {name: bucket.lifecycle for name, bucket in documents.items() if bucket.lifecycle}


async def take_turn(store: Store, now: float) -> bool:
    """Take the turn if it is due and no other instance has taken it. Return whether it was taken.

    Raises:
        OssError: The store is not available.
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
    except (ValueError, TypeError, KeyError):  # not written by vipsgate
        return 0.0


async def sweep(store: Store, rules: Rules, now: float) -> int:
    """Abort the uploads that are due, and return their number.

    Raises:
        OssError: The store is not available; the next turn does the rest.
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
