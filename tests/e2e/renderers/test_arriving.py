"""Real renderers and a source that comes as slowly as it is told: the picture, and who is freed."""

import asyncio
import dataclasses
import io
import os
import signal
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from PIL import Image

from vipsgate.errors import BadGateway, GatewayTimeout
from vipsgate.image.config import Limits, Rendering
from vipsgate.renderers import streaming
from vipsgate.renderers.pool import Renderers
from vipsgate.store.remote.objects import RemoteReader
from vipsgate.worker.protocol import Job

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROCESS = "image/resize,w_300"
PATIENCE = 20.0  # seconds for what takes a moment on a machine that does nothing else
PIECE = 32 << 10


def photo(kind, size=(700, 500), **options):
    noise = Image.effect_noise(size, 80)
    file = io.BytesIO()
    Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).save(file, kind, **options)
    return file.getvalue()


FILES = {
    "jpeg": photo("JPEG", quality=90),
    "progressive jpeg": photo("JPEG", progressive=True),
    "png": photo("PNG"),
    "webp": photo("WEBP", quality=100),
    "gif": photo("GIF"),
}
SMALL = photo("JPEG", (40, 30))


class Store:
    """See :class:`vipsgate.store.remote.objects.Source`: sends what it is told to send."""

    away, attributes = "", {}

    def __init__(self, data):
        self.data, self.at, self.ended = data, 0, False
        self.queue = asyncio.Queue()
        date = datetime(2026, 11, 2, tzinfo=UTC)
        self.meta = {"size": len(data), "e_tag": '"tag"', "last_modified": date, "version": None}

    async def get(self, path, **options):
        return self

    def send(self, share):
        """Up to a part of the whole."""
        until = int(share * len(self.data))
        for at in range(self.at, until, PIECE):
            self.queue.put_nowait(self.data[at : min(at + PIECE, until)])
        self.at = until
        if share == 1:
            self.queue.put_nowait(None)

    async def stream(self, min_chunk_size):
        try:
            while (piece := await self.queue.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.ended = True

    async def pieces(self, stream):
        async for piece in stream:
            yield piece


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool():
    result = Renderers(
        count=1,
        queue=8,
        queue_seconds=30.0,
        timeout=30.0,
        ceiling=1 << 30,
        job_memory=1 << 30,
        memory=1 << 30,
        settings={
            "limits": dataclasses.asdict(Limits()),
            "image": dataclasses.asdict(Rendering()),
        },
    )
    await result.start()
    yield result
    await result.close()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


def under_work(pool):
    return bool(pool._scheduler.under_work())


async def taken(work):
    with closing(await work) as result:
        return os.pread(result.descriptor, result.size, 0)


async def rendered(pool, data):
    """As it is made of the whole file."""
    source = os.memfd_create("whole")
    os.write(source, data)
    try:
        return await taken(pool.render(Job("render", PROCESS, source)))
    finally:
        os.close(source)


@asynccontextmanager
async def begun(pool, data, share=0.5):
    """A picture of a source of which a part has come, and which stays there."""
    store = Store(data)
    reader = RemoteReader(store, 1.0, 60.0)
    store.send(0.1)
    opened = await reader.begin("a")
    opened.arrival.left = 0.0  # as if it came at once
    opened.arrival.seconds_left = lambda: opened.arrival.left
    job = Job("render", PROCESS, opened.descriptor)
    work = asyncio.ensure_future(streaming.render(pool, job, "content", opened))
    store.send(share)
    await until(lambda: opened.arrival.arrived == store.at)
    try:
        yield store, opened, work
    finally:
        work.cancel()
        await asyncio.wait({work})
        opened.close()
        await until(lambda: not under_work(pool))
        await until(lambda: store.ended)


@pytest.mark.parametrize("name", FILES)
async def test_the_picture_is_that_of_the_whole(pool, name):
    whole = await rendered(pool, FILES[name])
    async with begun(pool, FILES[name]) as (store, _, work):
        if name not in ("webp", "gif"):
            await until(lambda: under_work(pool))
        await asyncio.sleep(0.05)
        assert under_work(pool) == (name not in ("webp", "gif"))
        store.send(1)
        assert await taken(work) == whole


@pytest.mark.parametrize(
    ("end", "error"), [(GatewayTimeout("late"), GatewayTimeout), (None, BadGateway)]
)
async def test_a_store_that_stops_frees_the_renderer(pool, end, error):
    pids = sorted(pool.pids())
    async with begun(pool, FILES["jpeg"]) as (store, _, work):
        await until(lambda: under_work(pool))
        for _ in range(3):  # as often as it is tried
            store.queue.put_nowait(end)
        with pytest.raises(error):
            await work
    assert sorted(pool.pids()) == pids  # it has stopped by itself


async def test_a_client_that_leaves_frees_the_renderer(pool):
    pids = sorted(pool.pids())
    async with begun(pool, FILES["png"]) as (_, _, work):
        await until(lambda: under_work(pool))
        work.cancel()
    assert sorted(pool.pids()) == pids


async def test_a_renderer_that_dies_is_no_loss(pool):
    whole = await rendered(pool, FILES["jpeg"])
    async with begun(pool, FILES["jpeg"]) as (store, _, work):
        await until(lambda: under_work(pool))
        [(worker, _)] = pool._scheduler.under_work()
        os.kill(worker.process.pid, signal.SIGKILL)
        await until(lambda: under_work(pool) and pool._scheduler.under_work()[0][0] is not worker)
        store.send(1)
        assert await taken(work) == whole
    await until(lambda: len(pool._scheduler.idle()) == 2)


async def test_a_source_that_is_late_gives_its_renderer_to_others(pool):
    whole = await rendered(pool, FILES["jpeg"])
    pids = sorted(pool.pids())
    async with begun(pool, FILES["jpeg"]) as (store, opened, work):
        await until(lambda: under_work(pool))
        await asyncio.sleep(0.2)
        assert under_work(pool)  # nobody waits for it
        opened.arrival.left = 9.0
        async with asyncio.timeout(PATIENCE):
            assert await rendered(pool, SMALL)
        assert not under_work(pool)
        assert not work.done()
        store.send(1)
        assert await taken(work) == whole
    assert sorted(pool.pids()) == pids
