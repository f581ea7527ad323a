"""A real renderer process behind a real pool: libvips, sandbox, deadline and memory."""

import asyncio
import ctypes
import functools
import inspect
import io
import json
import os
import re
import resource
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from PIL import Image

from vipsgate import errors
from vipsgate.image.config import Limits, Rendering
from vipsgate.renderers.pool import Renderers
from vipsgate.renderers.result import Result
from vipsgate.worker import jobs
from vipsgate.worker.protocol import Job

MB = 1 << 20
DEFAULT = Limits()
WIDE = Limits(source_bytes=64 * MB, render_bytes=4096 * MB)
REPLACED = 4.0  # seconds for a real renderer to be replaced on a busy machine; 0.4 is usual


def on_uvloop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**fixtures))  # type: ignore[arg-type]

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__wrapped__  # pytest-asyncio must not take it for a coroutine
    return run


@asynccontextmanager
async def started(
    timeout: float = 20.0, limits: Limits = DEFAULT, count: int = 1
) -> AsyncIterator[Renderers]:
    pool = Renderers(
        count=count,
        queue=64,
        queue_seconds=5.0,
        timeout=timeout,
        ceiling=300 * MB,
        job_memory=limits.render_bytes,
        memory=limits.render_bytes,
        settings={"limits": asdict(limits), "image": asdict(Rendering())},
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def rendered(pool: Renderers, process: str, data: bytes) -> bytes:
    """The result's bytes for a source's bytes."""
    source = os.memfd_create("source")
    try:
        os.write(source, data)
        result: Result = await pool.render(Job("render", process, source))
    finally:
        os.close(source)
    with closing(result):
        assert os.fstat(result.descriptor).st_size == result.size
        return os.pread(result.descriptor, result.size, 0)


def picture(width: int = 64, height: int = 48, form: str = "JPEG", **options: Any) -> bytes:
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    held = io.BytesIO()
    image.save(held, form, **options)
    return held.getvalue()


@functools.cache
def noise(width: int, height: int) -> bytes:
    """What no encoder can be quick about."""
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=60)
    return held.getvalue()


def status(pid: int) -> dict[str, str]:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def landlock() -> int:
    """The kernel's ABI; 0 or less: none."""
    return int(ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_long(0), 1))


# -- what it renders ---------------------------------------------------------------------------


@on_uvloop
async def test_a_picture_comes_back_processed() -> None:
    async with started() as pool:
        made = await rendered(pool, "image/resize,w_32/format,png", picture())
        with Image.open(io.BytesIO(made)) as image:
            assert (image.format, image.size) == ("PNG", (32, 24))
        found = re.search(r"\b(\d+)\.(\d+)\.(\d+)\b", pool.version)
        assert found
        assert tuple(map(int, found.groups())) >= (8, 18, 3)


@on_uvloop
async def test_a_result_waits_until_the_kernel_passes_descriptors_on() -> None:
    """It counts those under way of all processes of a user, which many renderers are."""
    many = 4096 + 253  # more than a renderer may have open
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * many:
        pytest.skip(f"needs a hard limit of {2 * many} open files (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * many), hard))
    async with started() as pool:
        await rendered(pool, "image/resize,w_32", picture())
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with one, other:
            for _ in range(0, many, 253):
                socket.send_fds(one, [b"x"], [one.fileno()] * 253)
            waiting = asyncio.create_task(rendered(pool, "image/resize,w_16", picture()))
            await asyncio.sleep(0.5)
            pids = pool.pids()
            assert not waiting.done()
        assert await waiting
        assert pool.pids() == pids
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@on_uvloop
async def test_every_format_in_and_out_from_inside_the_sandbox(form: str) -> None:
    async with started() as pool:
        for name in ("jpg", "png", "webp", "tiff", "bmp", "avif"):
            made = await rendered(pool, f"image/resize,w_32/format,{name}", picture(form=form))
            with Image.open(io.BytesIO(made)) as image:
                assert image.size == (32, 24), name


@on_uvloop
async def test_an_answer_about_a_picture() -> None:
    async with started() as pool:
        data = picture()
        told = json.loads(await rendered(pool, "image/info", data))
        assert told["ImageWidth"] == {"value": "64"}
        assert told["FileSize"] == {"value": str(len(data))}


@on_uvloop
async def test_times_and_type_are_told() -> None:
    async with started() as pool:
        source = os.memfd_create("source")
        os.write(source, picture())
        begun = time.perf_counter()
        with closing(await pool.render(Job("render", "image/format,webp", source))) as result:
            assert result.mime == "image/webp"
            assert 0 < result.render <= time.perf_counter() - begun
        os.close(source)


@on_uvloop
async def test_the_place_in_the_source_does_not_matter() -> None:
    """The front may have read from the descriptor that it hands over."""
    async with started() as pool:
        source = os.memfd_create("source")
        os.write(source, picture())
        os.lseek(source, 17, os.SEEK_SET)
        with closing(await pool.render(Job("render", "image/resize,w_8", source))) as result:
            assert result.size > 0
        assert os.lseek(source, 0, os.SEEK_CUR) == 17
        os.close(source)


# -- the sandbox -------------------------------------------------------------------------------


@on_uvloop
async def test_sandbox_holds_in_every_renderer() -> None:
    async with started() as pool:
        for pid in pool.pids():
            kernel = status(pid)
            if "NoNewPrivs" in kernel:
                assert kernel["NoNewPrivs"] == "1"
                assert "no_new_privs=True" in pool.sandbox
            if "Seccomp" in kernel and os.uname().machine in ("x86_64", "aarch64"):
                assert kernel["Seccomp"] == "2"  # SECCOMP_MODE_FILTER
                assert "seccomp=True" in pool.sandbox
            assert int(kernel["CapEff"], 16) & ~0b110 == 0
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
        found = re.search(r"landlock=(\d+)", pool.sandbox)
        assert found
        if landlock() < 1:
            pytest.skip("the kernel has no Landlock; the rest of the sandbox was checked")
        assert int(found[1]) >= 1


# -- the deadline ------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["image/format,webp", "image/format,png", "image/format,bmp"])
@on_uvloop
async def test_deadline_stops_a_large_picture(process: str) -> None:
    data = noise(6000, 2700)
    async with started(timeout=0.3, limits=WIDE) as pool:
        begun = time.monotonic()
        try:
            await rendered(pool, process, data)
        except errors.CpuLimitExceeded:
            assert time.monotonic() - begun >= 0.29
        assert time.monotonic() - begun < 0.3 + 2
        await again(pool)


@on_uvloop
async def test_deadline_stops_an_encoder_that_cannot_be_asked() -> None:
    async with started(timeout=0.5, limits=WIDE) as pool:
        data, begun = noise(2000, 1500), time.monotonic()
        with pytest.raises(errors.CpuLimitExceeded):
            await rendered(pool, "image/format,avif", data)
        assert time.monotonic() - begun < 0.5 + 2
        await again(pool)


@on_uvloop
async def test_a_client_that_leaves_stops_the_work() -> None:
    async with started(limits=WIDE) as pool:
        task = asyncio.create_task(rendered(pool, "image/format,webp", noise(6000, 2700)))
        await asyncio.sleep(0.2)
        task.cancel()
        begun = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await rendered(pool, "image/resize,w_8", picture())
        assert time.monotonic() - begun < REPLACED


async def again(pool: Renderers) -> None:
    """The pool is whole within the time of a replacement, and works."""
    async with asyncio.timeout(REPLACED):
        while len(pool._scheduler.idle()) < 2:
            await asyncio.sleep(0.01)
    assert await rendered(pool, "image/resize,w_8", picture())


# -- memory ------------------------------------------------------------------------------------


@on_uvloop
async def test_many_small_jobs_take_little_memory() -> None:
    forms = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
    texts = ("image/resize,w_100", "image/rotate,30/format,png", "image/crop,w_50,h_50/format,webp")
    jobs = [(texts[n % 3], picture(400, 267, forms[n % 6])) for n in range(60)]
    async with started() as pool:
        before = set(pool.pids())
        for process, data in jobs:
            assert await rendered(pool, process, data)
        assert set(pool.pids()) == before
        for pid in before:
            assert int(status(pid)["VmRSS"].split()[0]) * 1024 < 150 * MB
            # Python's own two, Pango's, and the few that libvips keeps; 60 jobs leave none behind
            assert int(status(pid)["Threads"]) < 16


@on_uvloop
async def test_more_memory_than_a_picture_may_take_is_refused() -> None:
    async with started(limits=Limits(render_bytes=64 * MB)) as pool:
        before = set(pool.pids())
        with pytest.raises(errors.ImageTooLarge):
            await rendered(pool, "image/rotate,45", picture(4000, 4000))
        assert set(pool.pids()) == before
        assert await rendered(pool, "image/resize,w_8", picture())


# -- broken files ------------------------------------------------------------------------------

GIF = picture(64, 48, "GIF")
PNG = picture(64, 48, "PNG")
TIFF = picture(64, 48, "TIFF")
WEBP = picture(64, 48, "WEBP")
AVIF = picture(64, 48, "AVIF")
BROKEN = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"not a picture at all, but long enough to be looked at twice",
    "not UTF-8": b"\xff\xfe\xfd" * 100,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "jpg cut in the header": noise(64, 48)[:30],
    "jpg without scans": b"\xff\xd8\xff\xd9",
    "jpg, then noise": noise(64, 48)[:20] + b"\xe9\xff\xfe" * 99,
    "png cut in the header": PNG[:20],
    "png with noise for pixels": PNG[:41] + b"\xe9" * (len(PNG) - 60) + PNG[-19:],
    "png of foreign chunks": PNG[:33] + b"\0\0\0\4\xe9\xe8\xe7\xe6abcd\0\0\0\0" + PNG[33:60],
    "gif cut": GIF[:14],
    "gif of nothing": b"GIF89a\0\0\0\0\0\0\0",
    "webp cut": WEBP[:24],
    "webp of foreign chunks": WEBP[:12] + b"\xe9\xe8\xe7\xe6" + WEBP[16:],
    "tiff cut": TIFF[:12],
    "tiff with a wild directory": TIFF[:4] + b"\xf0\xff\xff\x7f" + TIFF[8:],
    "tiff of an unknown tag in Latin-1": (
        b"II*\0\10\0\0\0\2\0" + b"\xe9\xe9\2\0\xff\0\0\0\xe9\xe9\xe9\xe9" * 2 + b"\0\0\0\0\xe9\xe9"
    ),
    "avif cut": AVIF[: len(AVIF) // 3],
    "avif of unknown brands": AVIF[:8] + b"\xe9" * (AVIF[3] - 8) + AVIF[AVIF[3] :],
    "bmp cut": picture(64, 48, "BMP")[:30],
}


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, Any]]:
    """What comes back for each broken file, from one and the same renderer."""

    async def ask() -> dict[str, Any]:
        async with started() as pool:
            before, found = set(pool.pids()), {}
            for name, data in BROKEN.items():
                for process in ("image/resize,w_9", "image/info"):
                    try:
                        await rendered(pool, process, data)
                        found[name, process] = "a picture"
                    except Exception as error:
                        found[name, process] = error
            found["died", ""] = before - set(pool.pids())
            return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run(ask())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_the_clients_fault(answers: dict[str, Any], name: str) -> None:
    for process in ("image/resize,w_9", "image/info"):
        error = answers[name, process]
        if process == "image/info" and error == "a picture":
            continue  # its header can be read
        assert isinstance(error, (errors.ImageDamage, errors.BadRequest)), (process, error)
        assert error.message.isprintable()


def test_no_renderer_dies_of_a_broken_file(answers: dict[str, Any]) -> None:
    assert answers["died", ""] == set()


# -- reading the source ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_a_source_is_read_whole(size: int) -> None:
    source = os.memfd_create("source")
    os.write(source, b"x" * size)
    assert jobs.read(source, Limits(source_bytes=70_000)) == b"x" * size
    os.close(source)


def test_a_source_over_the_limit_is_not_read() -> None:
    source = os.memfd_create("source")
    os.truncate(source, 1 << 40)
    with pytest.raises(errors.ImageTooLarge, match=str(1 << 40)):
        jobs.read(source, DEFAULT)
    os.close(source)


def test_a_refusal_holds_nothing_back(tmp_path: Path) -> None:
    """A pipeline that failed gives its descriptors back at once, not when garbage is collected."""
    trial = """
        import gc, io, os
        from PIL import Image
        from vipsgate.image.config import Limits, Rendering
        from vipsgate.worker import fontfiles, main
        from vipsgate.worker.interrupt import Interrupt
        from vipsgate.worker.jobs import Worker
        from vipsgate.worker.protocol import Batch, Job, Output

        interrupt = Interrupt()
        worker = Worker(Limits(), Rendering(), fontfiles.find().fonts, interrupt)
        whole = io.BytesIO()
        Image.effect_noise((300, 200), 90).save(whole, "JPEG")
        gc.disable()
        for data in (whole.getvalue()[:5000], b"no picture"):
            for text in ("resize,w_100", "rotate,90", "format,png", "info", "crop,x_9999"):
                before = len(os.listdir("/proc/self/fd"))
                for _ in range(3):
                    source = os.memfd_create("source")
                    os.write(source, data)
                    interrupt.begin(1)
                    (task,) = worker.tasks(Batch(1, (Job("render", "image/" + text, source),)))
                    outcome = main.outcome_of(worker, task, interrupt)
                    interrupt.end()
                    del task
                    os.close(source)
                    if isinstance(outcome, Output):
                        os.close(outcome.descriptor)
                assert len(os.listdir("/proc/self/fd")) == before, text
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(trial)], check=False)
    assert done.returncode == 0
