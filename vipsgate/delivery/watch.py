"""Sends webhooks for changes of bucket documents after which caches in front have to purge.

Every instance sends each change once it has adopted it itself. If only the instance that has
written the document sent it, a cache could ask another instance, which still answers by the old
document, and keep that answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from ..buckets import Bucket
from ..catalog.registry import Registry
from ..gate.webhook import Event
from ..web.webhooks import Webhooks

POLL_INTERVAL = 0.5  # seconds between comparisons
RIGHTS = ("acl", "protection", "referer", "cdn_signing")  # fields that decide who may read

Documents = Mapping[str, Bucket]


def known(registry: Registry) -> dict[str, Bucket]:
    """Return all documents that are in force, by bucket."""
    return {**registry.documents.known, **registry.declared}


def changes(before: Documents, after: Documents) -> Iterator[Event]:
    """Yield an event for each difference, except new buckets and styles, which no cache has yet."""
    for name, old in before.items():
        new = after.get(name)
        if new is old:
            continue
        if new is None or any(getattr(old, field) != getattr(new, field) for field in RIGHTS):
            yield Event("rights", name)
            continue
        for style, one in old.styles.items():
            other = new.styles.get(style)
            if other is None or other.content != one.content:
                yield Event("style", name, style=style)


async def follow(registry: Registry, webhooks: Webhooks) -> None:
    """Send changes to the webhooks until cancelled, beginning with those after the call."""
    before, version = known(registry), registry.version
    while True:
        await asyncio.sleep(POLL_INTERVAL)
        if registry.version != version:
            version, after = registry.version, known(registry)
            for event in changes(before, after):
                webhooks.tell(event)
            before = after
