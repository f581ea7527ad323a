"""The pool against workers that behave well, badly and worse: :mod:`fake_worker`.

All runs on uvloop, as the server does, except the races: those are provoked by blocking the loop,
and only asyncio's own loop promises in which order it goes on.
"""

import asyncio
import functools
import gc
import inspect
import itertools
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from vipsgate import errors
from vipsgate.renderers import pool as renderers
from vipsgate.renderers import scheduler, workers
from vipsgate.renderers.admission import FIRST_GUESS
from vipsgate.renderers.pool import Renderers
from vipsgate.renderers.process import CANCEL_GRACE, PendingJob
from vipsgate.renderers.result import Result
from vipsgate.renderers.scheduler import LARGE_SOURCE
from vipsgate.renderers.workers import StartError
from vipsgate.worker import main
from vipsgate.worker.protocol import Job

FAKE = Path(__file__).with_name("fake_worker.py")
COMMAND = (sys.executable, str(FAKE))
SOON = 1.0  # seconds within which a dead renderer is replaced (issue 2); held by the median
PATIENCE = 5.0  # seconds for the same where others use the machine as well
ANSWER = Job("render", "answer", -1)
SLACK = 1.0  # seconds that this machine may be late
CLASSES = sorted(errors.OssError.__subclasses__(), key=lambda cls: cls.__name__)


def on_uvloop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**fixtures))  # type: ignore[arg-type]

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__wrapped__  # pytest-asyncio must not take it for a coroutine
    return run


async def render(pool: Renderers, text: str, source: int, content: str = "") -> Result:
    return await pool.render(Job("render", text, source), content)


class State:
    """What the fakes note, and the orders they get."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def order(self, text: str) -> None:
        (self.folder / "order").write_text(text)

    def starts(self) -> list[int]:
        return [int(line.split()[0]) for line in self._lines("starts")]

    def jobs(self) -> list[str]:
        """The texts of the jobs begun, in that order."""
        return [line.split(maxsplit=2)[2] for line in self._lines("jobs")]

    async def begun(self, count: int) -> None:
        """Wait until so many jobs have begun."""
        async with asyncio.timeout(5):
            while len(self._lines("jobs")) < count:
                await asyncio.sleep(0.002)

    def _lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.setenv("FAKE_STATE", str(tmp_path))
    yield State(tmp_path)
    gc.collect()  # a socket that nobody closed complains now, not in a later test


@pytest.fixture
def source() -> Iterator[int]:
    descriptor = os.memfd_create("source")
    os.write(descriptor, b"a picture")
    yield descriptor
    assert os.pread(descriptor, 64, 0) == b"a picture"  # still ours, still open, not written to
    os.close(descriptor)


def make(
    count: int = 1,
    queue: int = 8,
    queue_seconds: float = 5.0,
    timeout: float = 10.0,
    ceiling: int = 64 << 20,
    job_memory: int = 64 << 20,
    memory: int = 1 << 30,
    command: tuple[str, ...] = COMMAND,
) -> Renderers:
    return Renderers(
        count=count,
        queue=queue,
        queue_seconds=queue_seconds,
        timeout=timeout,
        ceiling=ceiling,
        job_memory=job_memory,
        memory=memory,
        settings={},
        command=("/usr/bin/env", f"FAKE_STATE={os.environ['FAKE_STATE']}", *command),
    )


@asynccontextmanager
async def started(count: int = 1, **options: Any) -> AsyncIterator[Renderers]:
    """A pool; afterwards it has left nothing behind."""
    pool = make(count, **options)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()
    await gone(children)


async def gone(what: Callable[[], list[int]], within: float = PATIENCE) -> None:
    """Wait until the list is empty."""
    last: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while last := what():
                await asyncio.sleep(0.005)
    assert last == []


async def whole(pool: Renderers, count: int, within: float = PATIENCE) -> None:
    """Wait until the pool is as it was at the start: one more than may work, all idle."""

    def now() -> dict[str, int]:
        return {
            "all": len(pool._workers),
            "idle": len(pool._scheduler.idle()),
            "working": len(pool._scheduler.under_work()),
            "waiting": len(pool._scheduler.lanes),
        }

    awaited = {"all": count + 1, "idle": count + 1, "working": 0, "waiting": 0}
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while now() != awaited:
                await asyncio.sleep(0.002)
    assert now() == awaited
    assert all(map(alive, pool.pids()))


OTHERS: set[int] = set()  # children of this process that belong to other tests' fixtures


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.clear()
    OTHERS.update(children())


def children() -> list[int]:
    """Living and dead, all that this test has to answer for."""
    found = [pid for pid, parent, _ in processes() if parent == os.getpid()]
    return [pid for pid in found if pid not in OTHERS]


def zombies() -> list[int]:
    return [pid for pid, parent, mode in processes() if parent == os.getpid() and mode == "Z"]


def alive(pid: int) -> bool:
    return any(known == pid and mode not in "ZX" for known, _, mode in processes())


def processes() -> Iterator[tuple[int, int, str]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                text = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                yield int(name), int(text[1]), text[0]


def open_now() -> int:
    return len(os.listdir("/proc/self/fd"))


def taken(result: Result) -> bytes:
    with closing(result):
        return os.pread(result.descriptor, result.size + 1, 0)


def span(result: Result) -> tuple[int, float, float]:
    """Process, begin and end of a job."""
    pid, begun, ended = taken(result).split()
    return int(pid), float(begun), float(ended)


async def outcome(work: Awaitable[Result]) -> str:
    """The name of what comes of a job."""
    try:
        taken(await work)
    except asyncio.CancelledError:
        return "cancelled"
    except Exception as error:
        return type(error).__name__
    return "done"


# -- results -----------------------------------------------------------------------------------


@on_uvloop
async def test_result_arrives_with_its_bytes(state: State, source: int) -> None:
    async with started() as pool:
        result = await render(pool, "source", source)
        assert (result.mime, result.size, result.render) == ("text/fake", 9, 0.75)
        assert 0 <= result.queue < SLACK
        assert taken(result) == b"a picture"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(result.descriptor)


@pytest.mark.parametrize("size", [0, 256, 300_032, 20_000_000 // 256 * 256])
@on_uvloop
async def test_result_of_any_size(state: State, source: int, size: int) -> None:
    async with started() as pool:
        assert taken(await render(pool, f"fill {size}", source)) == bytes(range(256)) * (
            size // 256
        )


@on_uvloop
async def test_versions_are_those_of_the_renderers(state: State) -> None:
    async with started() as pool:
        assert (pool.version, pool.sandbox) == ("0.0.1-fake", "none")


@on_uvloop
async def test_one_more_than_work_at_a_time(state: State, source: int) -> None:
    async with started(3) as pool:
        assert len(set(pool.pids())) == 4
        results = await asyncio.gather(*(render(pool, "sleep 0.1", source) for _ in range(9)))
        spans = [span(result) for result in results]
        together = [sum(b <= begun < e for _, b, e in spans) for _, begun, _ in spans]
        assert max(together) == 3
        assert {pid for pid, _, _ in spans} <= set(pool.pids())
        await whole(pool, 3)


@on_uvloop
async def test_environment_of_a_renderer(
    state: State, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIPS_CONCURRENCY", "16")
    monkeypatch.setenv("VIPS_UNLIMITED", "1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("VIPSGATE_CREDENTIALS", "secret")
    async with started() as pool:
        secrets = ("AWS_SECRET_ACCESS_KEY", "VIPSGATE_CREDENTIALS")
        for name in ("VIPS_CONCURRENCY", "MALLOC_ARENA_MAX", "VIPS_UNLIMITED", *secrets):
            found = taken(await render(pool, f"environment {name}", source)).decode()
            assert found == main.ENVIRONMENT.get(name, "")


@on_uvloop
async def test_a_new_renderer_inherits_nothing_of_others(state: State, source: int) -> None:
    """It decodes foreign files: another client's picture must be out of its reach."""
    async with started() as pool:
        with closing(await render(pool, "answer", source)):
            for pid in pool.pids():
                os.kill(pid, signal.SIGKILL)
            await gone(lambda: [pid for pid in state.starts()[:2] if pid in pool.pids()])
            await whole(pool, 1)
        held = taken(await render(pool, "descriptors", source)).decode().splitlines()
        assert sum("memfd:result" in name for name in held) == 0
        assert sum(name.startswith("socket:") for name in held) == 1
        assert sum("memfd:source" in name for name in held) == 1


@on_uvloop
async def test_a_renderer_keeps_no_descriptor(state: State, source: int) -> None:
    async with started() as pool:
        before = taken(await render(pool, "descriptors", source))
        for text in ("source", "refuse NoSuchKey", "fault", "obey 0"):
            await outcome(render(pool, text, source))
        assert len(taken(await render(pool, "descriptors", source)).split()) == len(before.split())


# -- the queue ---------------------------------------------------------------------------------


@on_uvloop
async def test_queue_is_bounded(state: State, source: int) -> None:
    async with started(2, queue=3) as pool:
        tasks = []
        for _ in range(5):
            assert not pool.refusal()
            tasks.append(asyncio.create_task(render(pool, "obey 60", source)))
            await asyncio.sleep(0)
        assert pool.refusal()
        begun = time.monotonic()
        with pytest.raises(errors.CpuLimitExceeded, match="busy") as refused:
            await render(pool, "answer", source)
        assert time.monotonic() - begun < SLACK
        assert int(refused.value.headers["Retry-After"]) >= 1
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*map(outcome, tasks)) == ["cancelled"] * 5
        await whole(pool, 2)
        assert not pool.refusal()
        assert await outcome(render(pool, "answer", source)) == "done"


@on_uvloop
async def test_queue_is_bounded_by_the_predicted_wait(state: State, source: int) -> None:
    async with started(1, queue=1000, queue_seconds=0.6, timeout=10) as pool:
        for _ in range(3):
            taken(await render(pool, "sleep 0.1", source))
        tasks = [asyncio.create_task(render(pool, "sleep 0.1", source)) for _ in range(30)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        done = [one for one in found if isinstance(one, Result)]
        refused = [one for one in found if isinstance(one, errors.CpuLimitExceeded)]
        assert len(done) + len(refused) == 30
        assert 5 <= len(done) <= 8
        assert {one.headers["Retry-After"] for one in refused} == {"1"}
        for one in done:
            taken(one)
            assert one.queue == pytest.approx(one.predicted, abs=0.1 + SLACK)
        assert pool.state().refusals == {"wait": 30 - len(done), "length": 0} | {
            "memory": 0,
            "deadline": 0,
        }


@on_uvloop
async def test_no_queue_at_all(state: State, source: int) -> None:
    async with started(1, queue=0) as pool:
        assert not pool.refusal()
        task = asyncio.create_task(render(pool, "sleep 0.1", source))
        await asyncio.sleep(0)
        assert pool.refusal()
        assert await outcome(render(pool, "answer", source)) == "CpuLimitExceeded"
        assert await outcome(task) == "done"
        assert await outcome(render(pool, "answer", source)) == "done"


@on_uvloop
async def test_first_come_first_served(state: State, source: int) -> None:
    texts = [f"answer {number}" for number in range(30)]
    async with started(1, queue=30) as pool:
        await asyncio.gather(*(outcome(render(pool, text, source)) for text in texts))
        assert state.jobs() == texts


@on_uvloop
async def test_waiting_is_measured(state: State, source: int) -> None:
    async with started() as pool:
        first, second = await asyncio.gather(
            render(pool, "sleep 0.2", source), render(pool, "answer", source)
        )
        taken(first), taken(second)
        assert first.queue < 0.19 < second.queue < 0.2 + SLACK


# -- the deadline ------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "survives"), [("obey 60", True), ("sleep 60", False)])
@on_uvloop
async def test_deadline_stops_the_work(
    state: State, source: int, text: str, survives: bool
) -> None:
    async with started(timeout=0.4) as pool:
        before = set(pool.pids())
        begun = time.monotonic()
        with pytest.raises(errors.CpuLimitExceeded, match=r"within 0\.4 seconds") as refused:
            await render(pool, text, source)
        assert 0.39 < time.monotonic() - begun < 0.4 + SLACK
        assert int(refused.value.headers["Retry-After"]) >= 1
        await whole(pool, 1)
        assert (set(pool.pids()) == before) == survives
        assert await outcome(render(pool, "answer", source)) == "done"
        assert state.jobs() == [text, "answer"]  # and it was not tried twice


@on_uvloop
async def test_waiting_counts_into_the_deadline(state: State, source: int) -> None:
    async with started(timeout=0.6) as pool:
        begun = time.monotonic()
        first = asyncio.create_task(outcome(render(pool, "sleep 0.4", source)))
        await asyncio.sleep(0)
        assert await outcome(render(pool, "obey 0.4", source)) == "CpuLimitExceeded"
        assert 0.59 < time.monotonic() - begun < 0.6 + SLACK
        assert await first == "done"
        await whole(pool, 1)


@on_uvloop
async def test_deadline_strikes_in_the_queue(state: State, source: int) -> None:
    async with started(timeout=0.3) as pool:
        begun = time.monotonic()
        jobs = [render(pool, text, source) for text in ("sleep 60", "answer a", "answer b")]
        assert await asyncio.gather(*map(outcome, jobs)) == ["CpuLimitExceeded"] * 3
        assert time.monotonic() - begun < 0.3 + SLACK
        await whole(pool, 1)
        assert state.jobs() in (["sleep 60"], ["sleep 60", "answer a"])  # the worker had that, too


@on_uvloop
async def test_deadline_strikes_as_a_renderer_becomes_free(state: State, source: int) -> None:
    async with started() as pool:
        loop = asyncio.get_running_loop()
        job = PendingJob(ANSWER, loop.time() - 1, loop.create_future())
        pool._scheduler.enter(job)
        pool._dispatch()  # before anybody has looked at the time
        assert isinstance(job.result.exception(), TimeoutError)
        await whole(pool, 1)


@on_uvloop
async def test_a_cancel_message_is_for_one_job_only(state: State, source: int) -> None:
    async with started(timeout=0.25) as pool:
        for _ in range(4):
            assert await outcome(render(pool, "obey 60", source)) == "CpuLimitExceeded"
            assert await outcome(render(pool, "obey 0.05", source)) == "done"
        assert len(state.starts()) == 2


# -- deaths ------------------------------------------------------------------------------------

GARBAGE = ("text", "list", "blank", "hollow", "halved", "number", "rss")  # the fake's names
DEADLY = ["exit 3", "exit 0", "signal 11", "signal 6", "signal 9", "garbage text", "mute"]


@pytest.mark.parametrize("text", DEADLY)
@on_uvloop
async def test_died_once_is_retried_elsewhere(state: State, source: int, text: str) -> None:
    async with started() as pool:
        assert await outcome(render(pool, f"once {text}", source)) == "done"
        assert state.jobs() == [f"once {text}"] * 2
        await whole(pool, 1)
        assert len(state.starts()) == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("signal 11", errors.ImageDamage),
        ("signal 6", errors.ImageDamage),
        ("exit 3", errors.ImageDamage),
        ("signal 9", errors.ServiceUnavailable),
        ("garbage text", errors.OssError),
        ("mute", errors.OssError),
    ],
)
@on_uvloop
async def test_died_twice_is_given_up(
    state: State, source: int, text: str, error: type[errors.OssError]
) -> None:
    async with started() as pool:
        with pytest.raises(error) as refused:
            await render(pool, text, source)
        assert state.jobs() == [text] * 2
        assert (refused.value.status == 503) == ("Retry-After" in refused.value.headers)
        await whole(pool, 1)
        assert len(state.starts()) == 4
        assert await outcome(render(pool, "answer", source)) == "done"


@pytest.mark.parametrize(
    "text",
    [*(f"garbage {name}" for name in GARBAGE), "mute", "twins"],
)
@on_uvloop
async def test_nonsense_neither_leaks_nor_hurts(state: State, source: int, text: str) -> None:
    """A renderer is not trusted: what it says wrongly is its death or a refusal, never a fault."""
    async with started() as pool:
        await outcome(render(pool, "once exit 3", source))
        await whole(pool, 1)
        before = open_now()
        for _ in range(2):
            found = await outcome(render(pool, text, source))
            assert found in ("done", "ServiceUnavailable", "ImageDamage", "InternalError")
            await whole(pool, 1)
            assert await outcome(render(pool, "answer", source)) == "done"
        assert open_now() == before


@on_uvloop
async def test_death_while_idle(state: State, source: int) -> None:
    async with started(2) as pool:
        before = pool.pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert await outcome(render(pool, "answer", source)) in ("done", "ServiceUnavailable")
        await gone(lambda: [pid for pid in before if pid in pool.pids()])
        await whole(pool, 2)
        assert await outcome(render(pool, "answer", source)) == "done"


@on_uvloop
async def test_many_deaths_in_a_row(state: State, source: int) -> None:
    replaced = []
    async with started() as pool:
        for _ in range(13):
            assert await outcome(render(pool, "signal 11", source)) == "ImageDamage"
            begun = time.monotonic()
            await whole(pool, 1)
            replaced.append(time.monotonic() - begun)
        assert len(state.starts()) == 28
        assert statistics.median(replaced) < SOON
        assert zombies() == []


@on_uvloop
async def test_the_spare_takes_over_at_once(state: State, source: int) -> None:
    """That is what it is there for: nobody waits until a dead renderer is replaced."""
    async with started() as pool:
        state.order("slow 3")
        begun = time.monotonic()
        assert await outcome(render(pool, "once signal 9", source)) == "done"
        assert time.monotonic() - begun < SLACK


@on_uvloop
async def test_the_spare_takes_over_from_a_killed_one(state: State, source: int) -> None:
    async with started() as pool:
        state.order("slow 2")
        first = asyncio.create_task(outcome(render(pool, "sleep 60", source)))
        await state.begun(1)
        second = asyncio.create_task(render(pool, "answer 2", source))
        await asyncio.sleep(0)
        begun = time.monotonic()
        first.cancel()
        taken(await second)
        assert time.monotonic() - begun < CANCEL_GRACE + SLACK


@on_uvloop
async def test_a_death_lets_nobody_jump_the_queue(state: State, source: int) -> None:
    async with started() as pool:
        state.order("slow 1")
        first = asyncio.create_task(outcome(render(pool, "sleep 60", source)))
        await state.begun(1)
        second = asyncio.create_task(outcome(render(pool, "answer 2", source)))
        await asyncio.sleep(0)
        first.cancel()
        await gone(lambda: [worker.process.pid for worker, _ in pool._scheduler.under_work()])
        third = asyncio.create_task(outcome(render(pool, "answer 3", source)))
        assert [await second, await third] == ["done", "done"]
        assert state.jobs() == ["sleep 60", "answer 2", "answer 3"]


@pytest.mark.parametrize("order", ["die", "refuse"])
@on_uvloop
async def test_where_none_can_be_started_it_is_tried_patiently(
    state: State, source: int, order: str
) -> None:
    """One attempt follows another, with pauses; they do not breed."""
    async with started() as pool:
        before = pool.pids()
        state.order(order)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(1.5)
        attempts = len(state.starts()) - 2
        state.order("work")
        assert 2 <= attempts <= 12
        await whole(pool, 1)
        attempts = len(state.starts())
        await asyncio.sleep(0.3)  # those that come too late would come now
        await whole(pool, 1, within=0.1)
        assert len(state.starts()) == attempts
        assert await outcome(render(pool, "answer", source)) == "done"


@on_uvloop
async def test_a_replacement_that_hangs_is_ended(
    state: State, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started() as pool:
        state.order("hang")
        monkeypatch.setattr(workers, "START_TIMEOUT", 0.5)
        os.kill(pool.pids()[0], signal.SIGKILL)
        await gone(lambda: [1][len(state.starts()) - 2 :])
        assert await outcome(render(pool, "answer", source)) == "done"  # the other one works
        hung = state.starts()[2]
        state.order("work")
        monkeypatch.setattr(workers, "START_TIMEOUT", 30.0)
        await gone(lambda: [hung] if alive(hung) else [])
        await whole(pool, 1)


# -- memory ------------------------------------------------------------------------------------


@on_uvloop
async def test_taking_too_much_memory_is_killed_and_not_retried(state: State, source: int) -> None:
    async with started() as pool:
        begun = time.monotonic()
        with pytest.raises(errors.ImageTooLarge, match=f"more than the {64 << 20} bytes"):
            await render(pool, "swell 400 60", source)
        assert time.monotonic() - begun < 1.5 + SLACK
        assert state.jobs() == ["swell 400 60"]
        await whole(pool, 1)
        assert len(state.starts()) == 3
        assert await outcome(render(pool, "swell 5 0", source)) == "done"


# what it is expected to take in MiB, if it was handed back with its cost; then what it may
FORESEEN = {
    "": 128,
    "expensive 1 200 1 ": 200,
    "expensive 0.1 150 1 ": 150,
    "expensive 1 90 1 ": 90,
}
FORESEEN |= {"expensive 1 400 1 ": 256}  # which is all that any may


@pytest.mark.parametrize("cost", FORESEEN)
@on_uvloop
async def test_each_is_held_to_its_own_estimate(state: State, source: int, cost: str) -> None:
    """One that is not handed back is a quick one, by its renderer's own estimate."""
    words = cost.split()
    text = (
        " ".join(["expensive", words[1], str(int(words[2]) << 20), words[3], ""]) if words else ""
    )
    foreseen = FORESEEN[cost]
    async with started(job_memory=256 << 20) as pool:
        with pytest.raises(errors.ImageTooLarge, match=f"more than the {foreseen << 20} bytes"):
            await render(pool, f"{text}swell {foreseen + 40} 60", source)
        await whole(pool, 1)
        assert await outcome(render(pool, f"{text}swell {foreseen - 40} 0.2", source)) == "done"


@on_uvloop
async def test_what_a_renderer_holds_already_is_not_the_job_s(state: State, source: int) -> None:
    async with started(job_memory=100 << 20, ceiling=400 << 20) as pool:
        first = span(await render(pool, "keep 80", source))[0]
        worker = next(worker for worker in pool._workers if worker.process.pid == first)
        async with asyncio.timeout(PATIENCE):
            while worker.base < 80 << 20:
                await asyncio.sleep(0.005)
        assert span(await render(pool, "swell 60 0.2", source))[0] == first
        with pytest.raises(errors.ImageTooLarge):
            await render(pool, "swell 140 60", source)


@on_uvloop
async def test_what_a_renderer_says_that_it_holds_frees_nobody(state: State, source: int) -> None:
    async with started() as pool:
        jobs = [render(pool, text, source) for text in (f"rss {1 << 40}", "swell 200 60")]
        _, killed = await asyncio.gather(*map(outcome, jobs))
        assert killed == "ImageTooLarge"


@on_uvloop
async def test_grown_too_large_is_replaced_between_jobs(state: State, source: int) -> None:
    async with started() as pool:
        large = span(await render(pool, f"rss {65 << 20}", source))[0]
        assert large not in pool.pids()
        await gone(lambda: [large] if alive(large) else [])
        await whole(pool, 1)
        small = span(await render(pool, f"rss {63 << 20}", source))[0]
        assert small in pool.pids()
        assert len(state.starts()) == 3


@on_uvloop
async def test_a_closed_worker_touches_no_descriptor(state: State) -> None:
    """Its numbers belong to others by then: writing there would write into a client's file."""
    async with started() as pool:
        worker = next(iter(pool._workers))
        worker.close()
        others = [os.memfd_create("other") for _ in range(8)]
        for other in others:
            os.write(other, b"x")
        try:
            worker.cancel(1)
            assert [os.pread(other, 64, 0) for other in others] == [b"x"] * 8
            for other in others:
                os.pwrite(other, b"1 99999 1", 0)
            assert worker.rss() == 0
            for other in others:
                os.pwrite(other, b"not numbers", 0)
            assert worker.rss() == 0
        finally:
            for other in others:
                os.close(other)


# -- callers that leave ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["obey 60", "sleep 60"])
@on_uvloop
async def test_cancelled_job_frees_its_place(state: State, source: int, text: str) -> None:
    async with started(timeout=30) as pool:
        before = pool.pids()
        first = asyncio.create_task(outcome(render(pool, text, source)))
        await state.begun(1)
        second = asyncio.create_task(render(pool, "answer", source))
        await asyncio.sleep(0)
        begun = time.monotonic()
        first.cancel()
        assert await first == "cancelled"
        assert time.monotonic() - begun < SLACK
        taken(await second)
        assert time.monotonic() - begun < 0.5 + SLACK
        await whole(pool, 1)
        assert (sorted(pool.pids()) == sorted(before)) == (text == "obey 60")


@on_uvloop
async def test_cancelled_in_the_queue(
    state: State, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "AHEAD_SECONDS", FIRST_GUESS)  # one is given ahead
    async with started(1, queue=3) as pool:
        names = ("sleep 0.2", "answer 1", "answer 2", "answer 3")
        tasks = [asyncio.create_task(outcome(render(pool, name, source))) for name in names]
        await state.begun(1)
        assert pool.refusal()
        tasks[1].cancel()
        tasks[2].cancel()
        assert await asyncio.gather(tasks[1], tasks[2]) == ["cancelled"] * 2
        assert not pool.refusal()
        assert await asyncio.gather(tasks[0], tasks[3]) == ["done"] * 2
        assert state.jobs() == ["sleep 0.2", "answer 3"]
        await whole(pool, 1)


@on_uvloop
async def test_cancelling_races_with_dispatching(state: State, source: int) -> None:
    dice = random.Random(7)
    async with started(2, queue=1000) as pool:

        async def impatient() -> str:
            await asyncio.sleep(dice.random() * 0.2)
            task = asyncio.create_task(outcome(render(pool, "answer", source)))
            await asyncio.sleep(0)  # it must have begun to be cancelled inside
            asyncio.get_running_loop().call_later(dice.random() * 0.02, task.cancel)
            return await task

        found = await asyncio.gather(*(impatient() for _ in range(600)))
        assert set(found) == {"done", "cancelled"}
        await whole(pool, 2)
        assert await outcome(render(pool, "answer", source)) == "done"


@pytest.mark.parametrize("ticks", range(5))
async def test_cancelled_as_the_answer_comes(state: State, source: int, ticks: int) -> None:
    """Whoever wins: no descriptor stays behind, and a renderer that is done is not killed."""
    async with started() as pool:
        await outcome(render(pool, "answer", source))
        before, pids = open_now(), sorted(pool.pids())
        for _ in range(3):
            task = asyncio.create_task(outcome(render(pool, "answer", source)))
            await asyncio.sleep(0)
            time.sleep(0.1)  # the loop stands still until the answer lies in the socket
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await whole(pool, 1)
        assert open_now() == before
        assert sorted(pool.pids()) == pids


@pytest.mark.parametrize("ticks", range(5))
async def test_cancelled_as_the_renderer_dies(state: State, source: int, ticks: int) -> None:
    async with started() as pool:
        await outcome(render(pool, "once exit 3", source))
        await whole(pool, 1)
        before = open_now()
        for _ in range(2):
            task = asyncio.create_task(outcome(render(pool, "exit 3", source)))
            await asyncio.sleep(0)
            time.sleep(0.1)
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await whole(pool, 1)
        await gone(zombies)
        assert open_now() == before


async def test_deadline_strikes_as_the_answer_comes(state: State, source: int) -> None:
    async with started(timeout=0.1) as pool:
        await outcome(render(pool, "answer", source))
        before, pids = open_now(), sorted(pool.pids())
        for _ in range(3):
            task = asyncio.create_task(outcome(render(pool, "answer", source)))
            await asyncio.sleep(0)
            time.sleep(0.15)
            assert await task in ("done", "CpuLimitExceeded")
            await whole(pool, 1)
        assert open_now() == before
        assert sorted(pool.pids()) == pids


@on_uvloop
async def test_two_hundred_mixed_jobs_leave_nothing(state: State, source: int) -> None:
    dice = random.Random(11)
    texts = ["answer"] * 8 + ["source", "fill 300032", "refuse NoSuchKey", "fault", "obey 0.01"]
    texts += ["exit 1", "signal 11", "garbage text", "mute", f"rss {65 << 20}"]
    async with started(3, queue=200, timeout=20) as pool:
        await asyncio.gather(*(outcome(render(pool, text, source)) for text in texts))
        await whole(pool, 3)
        before = open_now()

        async def one(number: int) -> str:
            leaves = number % 4 == 0
            text = "obey 60" if leaves and dice.random() < 0.5 else dice.choice(texts[:-5])
            if number % 20 == 1:
                text = dice.choice(texts[-5:])
            task = asyncio.create_task(outcome(render(pool, text, source)))
            await asyncio.sleep(0)
            if leaves:
                asyncio.get_running_loop().call_later(dice.random() * 0.5, task.cancel)
            return await task

        found = await asyncio.gather(*(one(number) for number in range(200)))
        assert {"done", "cancelled", "NoSuchKey", "InternalError"} <= set(found)
        await whole(pool, 3)
        await gone(zombies)
        assert open_now() == before


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_survives_dump_and_load(cls: type[errors.OssError]) -> None:
    error = cls("中文", ec="1", extra={"Key": "k"}, headers={"Retry-After": "1"})
    loaded = errors.load(errors.dump(error))
    assert type(loaded) is cls
    assert vars(loaded) == vars(error)
    assert loaded.args == error.args


def test_error_of_an_unknown_code_is_ours() -> None:
    dumped = {**errors.dump(errors.NoSuchKey("m")), "code": "Surprise"}
    assert type(errors.load(dumped)) is errors.InternalError


@on_uvloop
async def test_errors_travel(state: State, source: int) -> None:
    async with started() as pool:
        for cls in CLASSES:
            with pytest.raises(cls) as refused:
                await render(pool, f"refuse {cls.code}", source)
            error = refused.value
            assert type(error) is cls
            assert (error.message, error.ec) == ("what came, 中文 and what not", "0017-00000905")
            assert (error.extra, error.headers) == ({"Key": "a/b"}, {"Retry-After": "7"})
        assert len(state.starts()) == 2


@on_uvloop
async def test_a_fault_of_the_renderer_is_told_without_its_text(state: State, source: int) -> None:
    async with started() as pool:
        with pytest.raises(errors.InternalError) as refused:
            await render(pool, "fault", source)
        assert "for this test" not in refused.value.message
        assert len(state.jobs()) == 1
        await whole(pool, 1)


# -- beginning and end -------------------------------------------------------------------------


@on_uvloop
async def test_close_ends_all(state: State, source: int) -> None:
    before = open_now()
    pool = make(3)
    await pool.start()
    pids = pool.pids()
    work = [asyncio.create_task(outcome(render(pool, "sleep 60", source))) for _ in range(3)]
    await state.begun(3)
    await pool.close()
    assert not any(map(alive, pids))
    for task in work:
        task.cancel()
    await asyncio.gather(*work)
    await gone(children)
    assert open_now() <= before + 5  # what uvloop keeps for itself
    assert len(state.starts()) == 4


@on_uvloop
async def test_close_while_replacing(state: State, source: int) -> None:
    pool = make(2)
    await pool.start()
    state.order("slow 60")
    for pid in pool.pids()[:2]:
        os.kill(pid, signal.SIGKILL)
    await gone(lambda: [1][len(state.starts()) - 4 :])
    await pool.close()
    await gone(children)


@pytest.mark.parametrize("order", ["refuse", "die", "hang"])
@on_uvloop
async def test_start_is_refused(state: State, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if order == "hang":
        monkeypatch.setattr(workers, "START_TIMEOUT", 1.0)
    state.order(order)
    why = r"libvips is 7\.0\.0" if order == "refuse" else "ended, or hung"
    with pytest.raises(StartError, match=why):
        await make(2).start()
    await gone(children)


@pytest.mark.parametrize("command", [("/bin/true",), ("/bin/false",), ("/no/such/program",)])
async def test_start_of_what_is_no_renderer(state: State, command: tuple[str, ...]) -> None:
    before = open_now()
    for _ in range(5):
        with pytest.raises((StartError, FileNotFoundError)) as refused:
            await make(3, command=command).start()
        assert command[0] == "/no/such/program" or refused.type is StartError
        await gone(children)
    assert open_now() == before


# -- lanes, and jobs that go together ----------------------------------------------------------

EXPENSIVE = "expensive 2.0 50000000 1"
LARGE = b"\0" * LARGE_SOURCE


@asynccontextmanager
async def large() -> AsyncIterator[int]:
    """A source whose jobs wait a moment for others of their kind."""
    descriptor = os.memfd_create("large")
    try:
        os.write(descriptor, LARGE)
        yield descriptor
    finally:
        os.close(descriptor)


@on_uvloop
async def test_an_expensive_job_is_handed_back_once_and_then_done(
    state: State, source: int
) -> None:
    async with started(2) as pool:
        assert await outcome(render(pool, f"{EXPENSIVE} answer", source)) == "done"
        assert state.jobs() == [f"{EXPENSIVE} answer"] * 2
        await whole(pool, 2)


@on_uvloop
async def test_quick_pictures_flow_while_expensive_ones_queue(state: State, source: int) -> None:
    async with started(2, queue=40, queue_seconds=60, timeout=60) as pool:
        expensive = [
            asyncio.create_task(render(pool, f"{EXPENSIVE} sleep 0.3", source)) for _ in range(6)
        ]
        await state.begun(6 + 2)
        for _ in range(10):
            assert await outcome(render(pool, "answer", source)) == "done"
        assert not expensive[-1].done()
        spans = [span(result) for result in await asyncio.gather(*expensive)]
        together = [sum(b <= begun < e for _, b, e in spans) for _, begun, _ in spans]
        assert max(together) == 2
        await whole(pool, 2)


@on_uvloop
async def test_expensive_jobs_wait_for_memory(state: State, source: int) -> None:
    async with started(3, memory=1 << 30) as pool:
        text = f"expensive 2.0 {700 << 20} 1 sleep 0.1"
        results = await asyncio.gather(*(render(pool, text, source) for _ in range(3)))
        spans = sorted(span(result)[1:] for result in results)
        assert all(end <= begun for (_, end), (begun, _) in itertools.pairwise(spans))


@on_uvloop
async def test_an_expensive_job_is_refused_where_too_many_wait(state: State, source: int) -> None:
    async with started(1, queue=8) as pool:
        jobs = [render(pool, f"{EXPENSIVE} sleep 0.2", source) for _ in range(6)]
        found = await asyncio.gather(*map(outcome, jobs))
        assert set(found) == {"done", "CpuLimitExceeded"}
        await whole(pool, 1)


@on_uvloop
async def test_a_renderer_has_its_next_job_before_it_asks(
    state: State, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stands still, and yet two jobs are done."""
    monkeypatch.setattr(scheduler, "AHEAD_SECONDS", FIRST_GUESS)
    async with started(1) as pool:
        tasks = [asyncio.create_task(render(pool, "sleep 0.05", source)) for _ in range(3)]
        await state.begun(1)
        time.sleep(0.4)
        assert len(state.jobs()) == 2
        assert await asyncio.gather(*map(outcome, tasks)) == ["done"] * 3


@on_uvloop
async def test_a_job_that_waits_at_a_busy_renderer_goes_to_a_free_one(
    state: State, source: int
) -> None:
    async with started(2) as pool:
        slow = asyncio.create_task(render(pool, "sleep 1.0", source))
        await asyncio.sleep(0)
        others = [asyncio.create_task(render(pool, "sleep 0.1", source)) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(pool._scheduler.under_work()) + pool._scheduler.ahead() == 4
        assert await asyncio.gather(*map(outcome, others)) == ["done"] * 3
        assert not slow.done()
        assert await outcome(slow) == "done"
        await whole(pool, 2)


@on_uvloop
async def test_a_job_that_waits_at_a_renderer_can_be_given_up(state: State, source: int) -> None:
    async with started(1) as pool:
        first = asyncio.create_task(render(pool, "sleep 0.2", source))
        second = asyncio.create_task(render(pool, "sleep 60", source))
        await state.begun(1)
        second.cancel()
        assert await asyncio.gather(outcome(first), outcome(second)) == ["done", "cancelled"]
        await whole(pool, 1)
        assert state.jobs() == ["sleep 0.2"]
        assert len(state.starts()) == 2


@pytest.mark.parametrize("death", ["signal 11", "exit 3", "mute"])
@on_uvloop
async def test_a_job_that_waits_at_a_renderer_outlives_it(
    state: State, source: int, death: str
) -> None:
    async with started(1) as pool:
        jobs = [render(pool, text, source) for text in (death, "answer", "answer")]
        found = await asyncio.gather(*map(outcome, jobs))
        assert found[1:] == ["done", "done"]
        assert found[0] != "done"
        await whole(pool, 1)


@pytest.mark.parametrize("death", ["signal 11", "exit 3"])
@on_uvloop
async def test_what_is_done_before_a_death_is_not_done_again(
    state: State, source: int, death: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stands still meanwhile, and another job is unread: its socket then has an error."""
    monkeypatch.setattr(scheduler, "AHEAD_SECONDS", 8 * FIRST_GUESS)
    async with started(1) as pool:
        texts = ("sleep 0.05", "answer 1", death, "answer 2")
        tasks = [asyncio.create_task(render(pool, text, source)) for text in texts]
        await state.begun(1)
        time.sleep(0.4)
        found = await asyncio.gather(*map(outcome, tasks))
        assert found == ["done", "done", "ImageDamage", "done"]
        assert sorted(state.jobs()) == sorted([*texts, death])
        await whole(pool, 1)


@on_uvloop
async def test_jobs_of_one_source_go_together(state: State) -> None:
    async with large() as source, started(2) as pool:
        texts = [f"answer {number}" for number in range(5)]
        jobs = [render(pool, text, source, content="a") for text in texts]
        other = render(pool, "answer other", source, content="b")
        found = await asyncio.gather(*map(outcome, [*jobs, other]))
        assert found == ["done"] * 6
        assert sorted(line.split()[1] for line in state._lines("messages")) == ["1", "5"]
        await whole(pool, 2)


@on_uvloop
async def test_of_jobs_that_go_together_each_has_its_own_fate(state: State) -> None:
    async with large() as source, started(1) as pool:
        texts = (
            "answer",
            "refuse NoSuchKey",
            f"{EXPENSIVE} answer",
            "signal 11",
            "sleep 60",
            "answer",
        )
        tasks = [asyncio.create_task(render(pool, text, source, content="a")) for text in texts]
        await asyncio.sleep(0.001)
        tasks[4].cancel()
        found = await asyncio.gather(*map(outcome, tasks))
        assert found == ["done", "NoSuchKey", "done", "ImageDamage", "cancelled", "done"]
        await whole(pool, 1)


@on_uvloop
async def test_jobs_that_went_together_are_parted_when_they_take_long(state: State) -> None:
    async with large() as source, started(2) as pool:
        jobs = [render(pool, "sleep 0.4", source, content="a") for _ in range(4)]
        spans = [span(result) for result in await asyncio.gather(*jobs)]
        assert len({pid for pid, _, _ in spans}) == 2
        await whole(pool, 2)


@on_uvloop
async def test_a_job_alone_waits_only_a_moment_for_others(state: State) -> None:
    async with large() as source, started(1) as pool:
        taken(await render(pool, "answer", source, content="a"))
        begun = time.monotonic()
        for _ in range(20):
            taken(await render(pool, "answer", source, content="a"))
        assert (time.monotonic() - begun) / 20 < renderers.GATHER + 0.02


@on_uvloop
async def test_the_lowest_lane_begins_when_nothing_else_waits(state, source):
    """Ordinary pictures go first, also those that come later."""
    async with started(count=1, queue=50) as pool:

        async def preview(number: int) -> None:
            async with pool.lowest():
                (await render(pool, f"sleep 0.01 low{number}", source)).close()

        async def ordinary(number: int) -> None:
            (await render(pool, f"sleep 0.01 high{number}", source)).close()

        first = asyncio.ensure_future(ordinary(0))
        await state.begun(1)
        previews = [asyncio.ensure_future(preview(number)) for number in range(3)]
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(ordinary(number)) for number in range(1, 9)]
        await asyncio.gather(first, *others, *previews)
    words = [text.split()[-1] for text in state.jobs()]
    assert words == [*(f"high{number}" for number in range(9)), "low0", "low1", "low2"]


@on_uvloop
async def test_the_lowest_lane_takes_half_of_the_workers(state, source):
    async with started(count=4, queue=50) as pool:
        working = []

        async def preview() -> None:
            async with pool.lowest():
                (await render(pool, "sleep 0.02", source)).close()
                working.append(sum(pool.state().working.values()))

        await asyncio.gather(*(preview() for _ in range(6)))
    assert max(working) <= 2
