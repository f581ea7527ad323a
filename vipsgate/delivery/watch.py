"""Changes of bucket documents that caches in front have to purge for, sent to webhooks.

Every instance sends a change when it answers by it, whichever has made it. With many instances that
is as many requests; but if only the instance that has written the document sent it, a cache could
ask another one, which still answers by the old document, and keep that answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from ..buckets import Bucket
from ..catalog.registry import Registry
from ..gate.webhook import Event
from ..web.webhooks import Webhooks

POLL_INTERVAL = 0.5  # seconds between two comparisons
RIGHTS = ("acl", "protection", "referer", "cdn_signing")  # of a document: they decide who may read

Documents = Mapping[str, Bucket]


def known(registry: Registry) -> dict[str, Bucket]:
    """Return all documents that are in force, by bucket."""
    return {**registry.documents.known, **registry.declared}


def changes(before: Documents, after: Documents) -> Iterator[Event]:
    """Yield an event for each difference; a new bucket or style was in no cache before."""
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
    """Send changes to the webhooks, for ever; not those from before the first comparison."""
    before, version = known(registry), registry.version
    while True:
        await asyncio.sleep(POLL_INTERVAL)
        if registry.version != version:
            version, after = registry.version, known(registry)
            for event in changes(before, after):
                webhooks.tell(event)
            before = after
