"""The services that request handlers use, created once when the server starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from weakref import WeakValueDictionary

from ..buckets import Bucket
from ..cache.entry import CacheKey
from ..cache.tiers import Cache
from ..catalog.documents import Documents
from ..catalog.registry import Registry
from ..fronts.peers import Peers
from ..gate import access, sign, webhook
from ..observe.recorder import Recorder
from ..outgoing.client import Client
from ..renderers.pool import Renderers
from ..settings import Settings
from ..store.base import Store
from ..store.routing import Routing
from ..store.shelf import Shelf, over
from ..store.singleflight import SingleFlight
from ..store.writes import Writes
from ..web.callbacks import Callbacks
from ..web.responses import ACCEL
from ..web.throttle import BURST, RateLimit, Throttle
from ..web.turns import Turns
from ..web.webhooks import Way, Webhooks
from .background import Background
from .fastpath import FastPath
from .mirror import Mirror
from .order import Derivative
from .sniffer import Sniffer

LOOKUPS = 100.0  # lookups per second during an overload; 5 % of a core


@dataclass(slots=True)
class Configuration:
    """The configuration in force, which is replaced when its file is read again.

    Attributes:
        settings: The settings adopted last, of which only buckets and credentials are used; all
            others need a restart.
        keys: The keys that verify signatures.
        refused: Why the file was not adopted when it was last read, one reason per line.
        succeeded: When it was last adopted, in seconds since the epoch.
    """

    settings: Settings
    keys: access.Keys = field(default_factory=access.Keys)
    refused: tuple[str, ...] = ()
    succeeded: float = field(default_factory=time.time)

    def note(self, *refused: str) -> None:
        """Record the result of reading the file, with the reasons if it was refused."""
        self.refused = refused
        if not refused:
            self.succeeded = time.time()


@dataclass(frozen=True, slots=True)
class Services:
    """The services, none of which is replaced while the server runs.

    Attributes:
        settings: The settings that the server was started with.
        store: The store of the objects.
        renderers: The pool of renderer processes.
        registry: The buckets.
        fastpath: Answers repeated requests.
        configuration: The configuration in force.
        outgoing: Requests objects from other servers.
        mirror: Fetches missing objects.
        cache: The cache of pictures; ``None`` if there is none.
        clock: Returns the time, in seconds since the epoch.
        flights: Single flights of the pictures that are being made.
        looking: Locks for looks at a source, see :mod:`.looks`.
        throttle: Delays refusals.
        turns: Limits when requests for pictures that are not cached begin.
        lookups: Limits the lookups of objects during an overload.
        sniffer: Detects pictures by their first bytes.
        callbacks: Sends callbacks of uploads to other servers.
        webhooks: Sends purges and changes to caches in front.
        background: Makes pictures that no request waits for.
        recorder: Records requests for metrics, log and traces.
        peers: The other fronts of the server; ``None`` if there is only one.
        writes: Announces writes to an object store to other fronts.
        sweeping: Tasks that remove the files of purges.
        draining: Set when the server begins to stop.
        rendering: The ``[image]`` of the settings as text, which a picture's ETag covers.
    """

    settings: Settings
    store: Store
    renderers: Renderers
    registry: Registry
    fastpath: FastPath
    configuration: Configuration
    outgoing: Client
    mirror: Mirror
    cache: Cache | None = None
    clock: Callable[[], float] = time.time
    flights: SingleFlight[Derivative] = field(default_factory=SingleFlight)
    looking: WeakValueDictionary[CacheKey, asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )
    throttle: Throttle = field(default_factory=Throttle)
    turns: Turns = field(default_factory=Turns)
    lookups: RateLimit = field(default_factory=partial(RateLimit, LOOKUPS, BURST))
    sniffer: Sniffer = field(default_factory=Sniffer)
    callbacks: Callbacks = field(default_factory=Callbacks)
    webhooks: Webhooks = field(default_factory=Webhooks)
    background: Background = field(default_factory=Background)
    recorder: Recorder = field(default_factory=Recorder)
    peers: Peers | None = None
    writes: Writes = field(default_factory=Writes)
    sweeping: set[asyncio.Task[None]] = field(default_factory=set)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    rendering: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rendering", str(self.settings.image))

    @classmethod
    def of(
        cls,
        settings: Settings,
        store: Store,
        renderers: Renderers,
        documents: Documents,
        *,
        cache: Cache | None = None,
        origins: Routing | None = None,
        outgoing: Client | None = None,
        recorder: Recorder | None = None,
        **more: Any,
    ) -> Self:
        """Create the services of a server.

        Args:
            settings: The settings that the server starts with.
            store: The store of the objects.
            renderers: The pool of renderer processes.
            documents: The documents of buckets that are in the store.
            cache: The cache of pictures; ``None`` for none.
            origins: Is told which buckets are in other stores; ``None`` if none can be.
            outgoing: Requests objects from other servers; ``None`` for a new one.
            recorder: Records requests; ``None`` for a new one.
            **more: Any other attribute.
        """
        registry = Registry(store, documents, origins)
        recorder, options, shelf = recorder or Recorder(), settings.origins, Shelf()
        outgoing = outgoing or Client(options.hosts, options.timeout_seconds)
        mirror = Mirror(store, shelf, outgoing, options, recorder.counters)
        store = over(store, shelf)
        more.setdefault("webhooks", _webhooks(settings, registry))
        fastpath = FastPath(store, registry, cache, legacy=settings.server.legacy_at_api)
        result = cls(
            settings,
            store,
            renderers,
            registry,
            fastpath,
            Configuration(settings),
            outgoing,
            mirror,
            cache,
            recorder=recorder,
            **more,
        )
        result.adopt(settings)
        return result

    def adopt(self, settings: Settings) -> None:
        """Adopt the bucket documents and credentials of ``settings``."""
        known = tuple(sign.Credential(**item.model_dump()) for item in settings.credentials)
        self.configuration.settings = settings
        server = settings.server
        self.configuration.keys = access.Keys(known, server.region, server.v4_expires_max)
        self.registry.adopt(settings.buckets, Bucket(acl=settings.default_acl), settings.limits)

    def handed(self, file: str) -> dict[str, str]:
        """Return the header that tells a server in front to send a file of the cache.

        Args:
            file: The path of the file in the cache; empty for no header.
        """
        return {ACCEL: self.settings.server.accel_redirect + file} if file else {}

    async def forget(self, bucket: str, key: str, kind: webhook.Kind = "write") -> None:
        """Drop the derivatives of an object that was replaced or deleted.

        Args:
            bucket: Its bucket.
            key: Its name.
            kind: The kind of event for webhooks.
        """
        if self.cache:
            await self.cache.purge(bucket, key)
            if self.peers:
                await self.peers.channel.broadcast("object", {"bucket": bucket, "key": key})
        self.webhooks.tell(webhook.Event(kind, bucket, key))


def _webhooks(settings: Settings, registry: Registry) -> Webhooks:
    """Return the webhooks of the settings."""

    def chosen(bucket: str) -> Sequence[str]:
        tags = (registry.described(bucket) or registry.plain).cache_tags
        return tags.of if tags.headers else ()

    ways = [
        Way(item.hook(), item.timeout_seconds, item.tries, item.delay_seconds, item.queue)
        for item in settings.webhooks
    ]
    return Webhooks(ways, chosen)
