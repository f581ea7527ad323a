"""What the handlers work with: settings, store, renderers, keys, and the buckets of now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..buckets import Bucket
from ..cache.singleflight import Flights
from ..cache.tiers import Cache
from ..catalog.documents import Documents
from ..catalog.reload import State, refusals
from ..errors import NoSuchKey, OssError
from ..gate import access, sign
from ..gate.rights import Right
from ..observe.recorder import Watch
from ..renderers.pool import Renderers
from ..settings import Settings
from ..store.base import Object, Store
from ..store.routing import Origins
from ..web.connection import Server
from ..web.responses import ACCEL
from ..web.throttle import Throttle
from ..web.turns import Turns
from .fastpath import Hot
from .sniffer import Sniffer

if TYPE_CHECKING:
    from .derivatives import Made


@dataclass
class House:
    """All of it.

    Attributes:
        settings: As the server was started with.
        configuration: As they were taken over last.
        reloaded: What came of reading the configuration last.
        store: Where the objects are.
        renderers: Who makes pictures.
        documents: Of the buckets that the store describes.
        origins: Who is told which buckets are elsewhere; ``None`` where none can be.
        cache: What has been made; ``None`` where nothing is kept.
        declared: Documents of the configuration, which win; replaced as a whole when it is read
            again.
        domains: Host name -> bucket, of all documents.
        conflicts: What a document claims in vain, by bucket.
        plain: What counts for a bucket without a document.
        keys: What signatures are verified with; replaced likewise.
        clock: Seconds since the epoch.
        flights: Pictures that are being made, and who waits for them.
        throttle: Holds refusals back.
        turns: When a picture that is not known begins.
        hot: Requests that are known.
        sniffer: Which objects are pictures, by their bytes.
        watch: Who is told what requests come to.
        port: The public port's connections; ``None`` where there is no such port.
        max_connections: That may be open there; 0 for no limit.
        draining: Set as soon as no new work is wanted.
        furnished: How often settings have been taken over.
    """

    settings: Settings
    store: Store
    renderers: Renderers
    documents: Documents
    cache: Cache | None = None
    origins: Origins | None = None
    declared: dict[str, Bucket] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    plain: Bucket = field(default_factory=Bucket)
    keys: access.Keys = field(default_factory=access.Keys)
    clock: Callable[[], float] = time.time
    flights: Flights[Made] = field(default_factory=Flights)
    throttle: Throttle = field(default_factory=Throttle)
    turns: Turns = field(default_factory=Turns)
    hot: Hot = field(default_factory=Hot)
    sniffer: Sniffer = field(default_factory=Sniffer)
    watch: Watch = field(default_factory=Watch)
    port: Server | None = None
    max_connections: int = 0
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    furnished: int = 0
    reloaded: State = field(default_factory=State)
    configuration: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.configuration = self.settings

    def furnish(self, settings: Settings) -> None:
        """Take over the bucket documents and credentials of ``settings``."""
        self.configuration = settings
        known = tuple(sign.Credential(**item.model_dump()) for item in settings.credentials)
        self.keys = access.Keys(known, settings.server.region)
        self.plain = Bucket(acl=settings.default_acl)
        self.declared = dict(settings.buckets)
        self.furnished += 1
        self.documents.adopt(settings.limits)
        self.name_domains()

    def reload(self, settings: Settings) -> list[str]:
        """Take them over, unless something would be open that nobody has written out: why.

        Those that are as they were change nothing, and what is known of requests stays so.
        """
        refused = refusals(self.configuration, settings, self.documents.known, self._is_there)
        if not refused and dict(settings) != dict(self.configuration):
            self.furnish(settings)
        return refused

    def _is_there(self, bucket: str) -> bool:
        """Would there be such a bucket if nothing were said of it? Yes, while nobody can tell."""
        try:
            return self.origins.beneath(bucket) if self.origins else self.store.has(bucket)
        except OssError:
            return True

    @property
    def version(self) -> tuple[int, int]:
        """Another one as soon as settings or documents are others."""
        return self.furnished, self.documents.version

    def name_domains(self) -> None:
        """Find out anew whose each host name is, and which buckets are elsewhere.

        Where two claim one host, the first keeps it.
        """
        self.domains, self.conflicts = {}, {}
        for documents in (self.declared, self.documents.known):
            for name, bucket in sorted(documents.items()):
                for host in bucket.domains:
                    owner = self.domains.setdefault(host, name)
                    if owner != name and name not in self.declared:
                        self.conflicts[name] = f"domains: {host!r} is that of bucket {owner}"

        if self.origins:
            known = {**self.documents.known, **self.declared}
            places = {name: one.elsewhere() for name, one in known.items()}
            self.origins.assign({name: place for name, place in places.items() if place})
            self.conflicts |= self.origins.faults

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the documents of buckets, by bucket."""
        return self.conflicts | self.documents.faults

    def bucket(self, name: str) -> Bucket | None:
        """The document of a bucket, ``None`` where there is no such bucket."""
        document = self.declared.get(name) or self.documents.known.get(name)
        if document is None and name and self.store.has(name):
            return self.plain
        return document

    async def look(
        self, grant: access.Grant, bucket: str, key: str, right: Right = Right.READ
    ) -> Object:
        """What is known of an object, for a caller to whom its ACL gives the right.

        Raises:
            AccessDenied: It does not; also where there is no object, and the bucket is private.
            NoSuchKey: There is none of this name.
        """
        if grant.bucket.synthetic:  # to look at an object may be to have it painted
            grant.check_acl("", right)
        try:
            found = await self.store.stat(bucket, key)
        except NoSuchKey:
            grant.check_acl("", right)
            raise
        grant.check_acl(found.properties.acl, right)
        return found

    def handed(self, file: str) -> dict[str, str]:
        """The header by which a server in front is given a file of the cache to send."""
        return {ACCEL: self.settings.server.accel_redirect + file} if file else {}

    async def forget(self, bucket: str, key: str) -> None:
        """Give up what has been made of an object that is another one now, or none."""
        if self.cache:
            await self.cache.purge(bucket, key)
