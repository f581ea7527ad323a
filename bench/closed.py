"""A closed loop: clients that ask again as soon as they are answered, whatever the answer is.

So ask load tests, impatient pages, and proxies that retry. Each request of a scene is for a picture
that nobody else asks for, but for the hits, so that nothing is joined. Beside the clients some come
at a steady pace for what is light, and tell how long that takes meanwhile.

Rule: everything is seen from outside: HTTP, the admin port and /proc. A renderer counts as busy
while the kernel has it running, or ready to run (schedstat, proc_pid(5)).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import load
import pictures
import server
from crowd import Crowd, Stream, percentile

FEW = 8  # clients, whose answers are what the server can do
CLIENTS = (64, 512, 2000, 8000)  # more of them
NEW = 1000  # clients that come on a new connection for each request
PAUSE = 2.0  # seconds after it all until it is to be as it was before
PACE = 20.0  # requests a second of each kind that is light
QUEUE_SECONDS = 5.0  # server.queue_seconds
GOOD, SLACK, LATE, LIGHT, BUSY = 0.95, 1.3, 1.0, 50.0, 0.95  # see :func:`verdict`


def new(job: str, *, ending: str = "") -> list[str]:
    """Paths of pictures that nobody has asked for, at widths up to the job's own."""
    kind = pictures.ALL[job]
    wide = kind.made[0]
    return [
        f"/{pictures.BUCKET}/{job}-{number:02}.jpg"
        f"?x-oss-process=image/resize,w_{wide * percent // 100},h_{load.SERIAL}{ending}"
        for percent in pictures.WIDTHS
        for number in range(pictures.NAMES)
    ]


def hits() -> list[str]:
    """Paths of pictures that are asked for again and again."""
    return [
        f"/{pictures.BUCKET}/small-{number:02}.jpg?x-oss-process=image/resize,w_{width}"
        for number in range(pictures.NAMES)
        for width in (50, 60, 70, 80)
    ]


def plain() -> list[str]:
    """Paths of objects as they are."""
    return [f"/{pictures.BUCKET}/small-{number:02}.jpg" for number in range(pictures.NAMES)]


def woven(*parts: tuple[Sequence[str], int]) -> list[str]:
    """So many of each in turn, until the first kind is used up."""
    rounds = len(parts[0][0]) // parts[0][1]
    return [
        paths[(turn * many + one) % len(paths)]
        for turn in range(rounds)
        for paths, many in parts
        for one in range(many)
    ]


def scenes() -> dict[str, list[str]]:
    """What is asked for, by name: new pictures, small, medium, some heavy, or hits at half."""
    return {
        "small": new("small"),
        "medium": new("medium"),
        "mixed": woven(
            (new("small"), 12),
            (new("medium"), 6),
            (new("huge"), 1),
            (new("large", ending="/format,avif"), 1),
        ),
        "hits": woven((new("small"), 1), (hits(), 1)),
    }


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a number of clients.

    Attributes:
        clients: So many.
        reconnect: Whether each request came on a new connection.
        seconds: How long it took.
        good: Answers with 200, 1/s.
        refused: Answers with 503, 1/s.
        wrong: All others, and connections that broke.
        p50: ms of all answers, refusals among them.
        p99: Likewise.
        light: ms that light requests took meanwhile, p99 by kind.
        failed: Light requests that had another answer than theirs.
        busy: Share of the time in which a renderer was running or ready to run, each, but for the
            spare ones; until the clients begin to leave.
        front: Cores that the front took.
        memory: MB, the highest: the front's, and the highest of a renderer's.
    """

    clients: int
    reconnect: bool
    seconds: float
    good: float
    refused: float
    wrong: int
    p50: float
    p99: float
    light: Mapping[str, float]
    failed: int
    busy: Sequence[float]
    front: float
    memory: tuple[float, float]


def run(
    running: server.Server,
    paths: Sequence[str],
    seconds: float,
    clients: int,
    *,
    renderers: int,
    first: int,
    cached: bool,
    reconnect: bool = False,
) -> Run:
    """Have so many clients ask.

    Args:
        running: The server.
        paths: What for.
        seconds: How long.
        clients: How many.
        renderers: That work at a time; there are spare ones besides.
        first: Number of the first new picture, above all that have been asked for.
        cached: Whether the light requests have hits among them.
        reconnect: Whether each request comes on a new connection.
    """
    pids = (running.pid, *running.renderers())
    for pid in pids:
        with contextlib.suppress(OSError):
            server.forget_peak(pid)
    light = [
        Stream("object", running.address, plain(), rate=PACE, end=seconds),
        Stream("/healthz", running.admin, ["/healthz"], rate=PACE, end=seconds),
    ]
    if cached:
        light.append(Stream("hit", running.address, hits(), rate=PACE, end=seconds))
    crowd = Crowd(light, ahead=True)
    begun, spent = time.monotonic(), server.cpu(running.pid)
    watch = threading.Thread(target=lambda: shares.extend(awake_for(pids[1:], seconds)))
    shares: list[float] = []
    watch.start()
    done = load.load(
        running.address,
        paths,
        seconds,
        connections=clients,
        reconnect=reconnect,
        count=True,
        first=first,
    )
    took = time.monotonic() - begun
    watch.join()
    front = (server.cpu(running.pid)[running.pid] - spent[running.pid]) / took
    told = crowd.tell()
    counts = dict(done.statuses)
    good, refused = (counts.pop(status, 0) for status in (200, 503))
    return Run(
        clients=clients,
        reconnect=reconnect,
        seconds=done.seconds,
        good=good / done.seconds,
        refused=refused / done.seconds,
        wrong=sum(counts.values()) + done.broken,
        p50=done.p50,
        p99=done.p99,
        light={
            name: percentile([one.took for one in got], 99) for name, got in told.answers.items()
        },
        failed=sum(one.status != 200 for got in told.answers.values() for one in got),
        busy=sorted(shares)[-renderers:],
        front=front,
        memory=(server.peak(running.pid), max(server.peak(pid) for pid in pids[1:])),
    )


def awake_for(pids: Sequence[int], seconds: float) -> list[float]:
    """Wait so long, and return each process's share of the time, see :func:`awake`."""
    begun, before = time.monotonic(), awake(pids)
    time.sleep(seconds)
    took = time.monotonic() - begun
    return [(after - spent) / took for spent, after in zip(before, awake(pids), strict=True)]


def awake(pids: Sequence[int]) -> list[float]:
    """Seconds that each process has been running or ready to run, all its threads together."""
    found = []
    for pid in pids:
        total = 0
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += sum(map(int, file.read_text().split()[:2]))
        found.append(total / 1e9)
    return found


def verdict(one: Run, calm: Run) -> list[str]:
    """What is missed, in words; nothing where all is as it should be.

    Good answers are to be :data:`GOOD` of those for a few clients, p99 at most :data:`SLACK` times
    what so many clients take where nothing is refused, and :data:`LATE` seconds above what may be
    waited where something is; light requests at most :data:`LIGHT` ms, and renderers are to be busy
    for :data:`BUSY` of the time.
    """
    longest = QUEUE_SECONDS + LATE
    if not one.refused:
        longest = max(SLACK * one.clients / calm.good, LIGHT / 1e3)
    missed = {
        "good": one.good < GOOD * calm.good,
        "p99": one.p99 > longest * 1e3,
        "light": any(took > LIGHT for took in one.light.values()),
        "busy": min(one.busy) < BUSY and one.clients > FEW,
        "wrong": bool(one.wrong or one.failed),
    }
    return [name for name, so in missed.items() if so]
