"""Watch over documents: what of a bucket is another one, so that caches in front must be told.

Each instance tells of a change when it answers by it, whoever has made it. With many instances that
is as many requests; but if only the one told that has written, a cache could ask another one, which
still answers as before, and keep that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from ..buckets import Bucket
from ..catalog.registry import Registry
from ..gate.webhook import Event
from ..web.webhooks import Webhooks

INTERVAL = 0.5  # seconds between two looks
RIGHTS = ("acl", "protection", "referer", "cdn_signing")  # of a document; who may have what

Documents = Mapping[str, Bucket]


def known(registry: Registry) -> dict[str, Bucket]:
    """Return all documents that are in force, by bucket."""
    return {**registry.documents.known, **registry.declared}


def changes(before: Documents, after: Documents) -> Iterator[Event]:
    """Yield what is another one; a bucket or a style that is new was in no cache before."""
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
    """Tell of changes, for ever; what has changed before the first look is told of by nobody."""
    before, version = known(registry), registry.version
    while True:
        await asyncio.sleep(INTERVAL)
        if registry.version != version:
            version, after = registry.version, known(registry)
            for event in changes(before, after):
                webhooks.tell(event)
            before = after
