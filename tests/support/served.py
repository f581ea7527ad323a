"""A server inside the test, on a folder or on an object store in memory, with its clock in hand."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from vipsgate.buckets import INTERNAL
from vipsgate.cache.tiers import Cache
from vipsgate.catalog.documents import Documents
from vipsgate.delivery.services import Services
from vipsgate.gate import sign, target
from vipsgate.renderers.result import Result
from vipsgate.server import app
from vipsgate.settings import Settings
from vipsgate.store.base import PLAIN, Properties, Store
from vipsgate.store.local.store import LocalStore

REGION = "cn-hangzhou"
OWNER, WRITER, READER, GUEST = (
    sign.Credential("ownerKey", "ownerSecret"),
    sign.Credential("writerKey", "writerSecret", "writer"),
    sign.Credential("readerKey", "readerSecret", "reader"),
    sign.Credential("guestKey", "guestSecret", "writer", "guestToken"),
)
BUCKET = "photos"


def in_memory() -> Store:
    """An object store that is forgotten with the test."""
    from obstore.store import MemoryStore

    from vipsgate.store.remote.client import StoreClient
    from vipsgate.store.remote.objects import RemoteObjects
    from vipsgate.store.remote.store import CloudStore

    return CloudStore(RemoteObjects(StoreClient(MemoryStore(), 10), 0, 0), kind="memory")


class Renderers:
    """Says what it was asked for, and what it was asked to make it of."""

    version = "0"

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def refusal(self, waited: float = 0.0) -> None: ...

    def check(self) -> None: ...

    def check_memory(self, count: int) -> None: ...

    async def render(self, job: Any, content: str = "") -> Result:
        self.jobs.append(job.process)
        file = os.memfd_create("test")
        os.write(file, f"{job.process} of ".encode() + os.pread(job.source, 1 << 16, 0))
        return Result("text/plain", os.fstat(file).st_size, file, 0.0, 0.0, 0)


@dataclass(frozen=True)
class Said:
    """An answer of the server."""

    status: int
    headers: Any
    body: bytes

    def value(self, name: str) -> str:
        """Of an element of its XML."""
        return ElementTree.fromstring(self.body).findtext(name) or "" if self.body else ""

    @property
    def code(self) -> str:
        return self.value("Code")

    @property
    def message(self) -> str:
        return self.value("Message")


@dataclass
class Served:
    """A running server.

    Attributes:
        clock: What it takes for now.
    """

    services: Services
    session: aiohttp.ClientSession
    port: int
    clock: list[float] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.services.store

    async def put(self, key: str, data: bytes = b"", properties: Properties = PLAIN) -> None:
        """An object, past the server."""
        async with self.store.draft(BUCKET) as draft:
            await draft.write(data)
            await draft.keep(key, properties)

    async def rule(self, **document: Any) -> None:
        """The bucket's document from now on."""
        async with self.store.draft(INTERNAL) as draft:
            await draft.write(json.dumps(document).encode())
            await draft.keep(f"buckets/{BUCKET}.json", PLAIN)
        await self.services.registry.documents.look()
        self.services.registry.refresh()

    async def keys(self) -> list[str]:
        """Of all objects."""
        return [key for key, _ in (await self.store.list(BUCKET, limit=1000)).objects]

    async def read(self, key: str) -> bytes:
        """The bytes of an object, past the server."""
        opened = await self.store.open(BUCKET, key)
        try:
            return opened.read()
        finally:
            opened.close()

    async def ask(
        self,
        method: str,
        line: str,
        *,
        by: sign.Credential | None = None,
        headers: dict[str, str] | None = None,
        data: Any = None,
    ) -> Said:
        """One request, signed in its headers by whoever is named."""
        sent = dict(headers or {})
        if by:
            asked = target.resolve(line, "", {}, "")
            request = sign.Request(
                *(method, asked.bucket, asked.key, asked.query), sign.fields(sent.items())
            )
            sent |= sign.sign_headers(by, request, now=time.time(), version=4, region=REGION)
        url = URL(f"http://127.0.0.1:{self.port}{line}", encoded=True)
        async with self.session.request(
            method,
            url,
            headers=sent,
            data=data,
            allow_redirects=False,
            skip_auto_headers=["Content-Type"] if isinstance(data, bytes | None) else [],
        ) as response:
            return Said(response.status, response.headers, await response.read())


@asynccontextmanager
async def running(
    place: Store, *, cache: Cache | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """The server on a store; its bucket is private."""
    credentials = [
        {name: getattr(item, name) for name in item.__slots__}
        for item in (OWNER, WRITER, READER, GUEST)
    ]
    chosen = Settings(credentials=credentials, **settings)
    clock: list[float] = []
    services = Services.of(
        chosen,
        place,
        Renderers(),
        Documents(place, chosen.limits),
        cache=cache,
        clock=lambda: clock[-1] if clock else time.time(),
    )
    await place.create(BUCKET)
    await services.registry.documents.look()
    runner = web.ServerRunner(app.public(services))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Served(services, session, port, clock)
    finally:
        await runner.cleanup()
        await services.outgoing.close()


@pytest.fixture(params=["folder", "object store"])
async def served(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Served]:
    """A server on each kind of store."""
    store = LocalStore(tmp_path) if request.param == "folder" else in_memory()
    async with running(store) as server:
        yield server
