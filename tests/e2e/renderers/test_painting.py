"""Painting in a real renderer: what it gives, and that sandbox, deadline and lanes hold for it."""

import asyncio
import os
import time
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest

from vipsgate import errors
from vipsgate.image.config import Limits, Rendering
from vipsgate.renderers.painting import PaintingService
from vipsgate.renderers.pool import Renderers
from vipsgate.worker.protocol import Job

LARGE = "photo-9000x9000-1.jpg"  # seconds
STUBBORN = "photo-4000x2000-1.avif"  # likewise, by an encoder that hears nothing


@asynccontextmanager
async def painting_service(timeout=20.0, limits=None, count=1):
    limits = limits or Limits()
    pool = Renderers(
        count=count,
        queue=64,
        queue_seconds=5.0,
        timeout=timeout,
        ceiling=300 << 20,
        job_memory=limits.render_bytes,
        memory=limits.render_bytes,
        settings={"limits": asdict(limits), "image": asdict(Rendering())},
    )
    await pool.start()
    try:
        yield PaintingService(pool, limits)
    finally:
        await pool.close()


async def bytes_of(service, name):
    descriptor = await service.paint(name)
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


async def test_every_renderer_paints_the_same():
    name = "photo-300x200-5.png"
    async with painting_service(count=2) as one, painting_service() as other:
        assert one.identity == other.identity
        assert other.renderers.version in one.identity
        made = await asyncio.gather(*(bytes_of(one, name) for _ in range(6)))
        assert {await bytes_of(other, name)} == set(made)


async def test_what_is_none_is_refused_here_and_there():
    async with painting_service() as one:
        for name in ("photo-1x1.jpg", "photo-99999x99999-1.jpg", "image/resize,w_9", ""):
            with pytest.raises(errors.NoSuchKey):
                one.check(name)
            with pytest.raises(errors.NoSuchKey):
                await one.paint(name)


async def test_a_renderer_holds_names_to_its_own_limits():
    async with painting_service(limits=Limits(source_side=100)) as one:
        with pytest.raises(errors.NoSuchKey):
            await PaintingService(one.renderers, Limits()).paint("photo-101x1-1.jpg")


@pytest.mark.parametrize("name", [LARGE, STUBBORN])
async def test_the_deadline_holds(name):
    async with painting_service(timeout=0.6) as one:
        begun = time.monotonic()
        with pytest.raises(errors.CpuLimitExceeded) as caught:
            await one.paint(name)
        assert time.monotonic() - begun < 4
        assert caught.value.headers["Retry-After"]
        await again(one)


@pytest.mark.parametrize("name", [LARGE, STUBBORN])
async def test_a_client_that_leaves_stops_the_work(name):
    async with painting_service() as one:
        task = asyncio.create_task(one.paint(name))
        await asyncio.sleep(0.4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await again(one)


async def again(one):
    """The pool is whole soon, and paints."""
    async with asyncio.timeout(4):
        while any(one.renderers.state().working.values()):
            await asyncio.sleep(0.01)
    assert await bytes_of(one, "photo-9x9-1.png")


async def test_large_ones_wait_among_their_like():
    async with painting_service() as one:
        task = asyncio.create_task(one.paint(LARGE))
        film = asyncio.create_task(one.paint("anim-300x300x20-1.gif"))
        async with asyncio.timeout(5):
            while not one.renderers.state().working["heavy"]:
                await asyncio.sleep(0.01)
            while not one.renderers.state().waiting["animated"]:
                await asyncio.sleep(0.01)
            assert await bytes_of(one, "photo-90x90-1.png")  # a quick one passes them
        assert one.renderers.state().held > 0
        for each in (film, task):
            each.cancel()
        await asyncio.gather(film, task, return_exceptions=True)


@pytest.mark.parametrize("kind", ["render", "explain"])
async def test_a_name_is_painted_by_a_job_to_paint_only(kind):
    async with painting_service() as one:
        source = os.memfd_create("source")
        os.write(source, await bytes_of(one, "photo-9x9-1.png"))
        for text in ("photo-9x9-1.png", "paint/photo-9x9-1.png", "image/paint/photo-9x9-1.png"):
            with pytest.raises(errors.InvalidArgument):
                await one.renderers.render(Job(kind, text, source))
        os.close(source)
