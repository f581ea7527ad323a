"""Does the server bend and not break when more is asked than it can do?

In a closed loop 8 to 8,000 clients ask again as soon as they are answered, and 1,000 on a new
connection each time, for pictures that nobody else asks for (:mod:`closed`). However many ask, good
answers are to stay as many as they are for 8, and 2 s after it all is to be as before.

In an open loop requests come at random moments (Poisson), 1, 2 and 10 times as fast as they can be
answered. What is refused is to be refused in order, and to cost the others nothing. Clients obey
Retry-After here.

Everything is seen from outside: HTTP, the admin port and /proc. Clients and server share the cores,
so how late the clients' own timers are is told, and how many cores strangers took; where these are
many, believe the pictures per second of the renderers' CPU.

    python bench/overload.py [--loops closed open] [--scenes small medium mixed hits]
        [--seconds 15] [--times 1 2 10] [--imgproxy PROGRAM] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chart
import closed
import load
import pictures
import report
import rivals
import server
from crowd import Answer, Crowd, Stream, percentile, spread, statuses

RENDERERS = 2
MODEST = 4 * RENDERERS  # clients that find out what it can do
TIMEOUT = 15.0  # seconds; server.request_timeout
WARMING = 3.0  # seconds
ROUNDS = 100  # of the paths that a run of a closed loop may take; each takes a number of its own
LOOPS = ["closed", "open"]
OPEN = 4  # times the seconds of a closed loop's row that an open one takes
RIVAL_HEAD = ["clients", "200, 1/s", "others, 1/s", "p50, ms", "p99, ms"]
WINDOW = 5.0  # seconds of which goodput is told
LOOKS = 0.25  # seconds between two looks at the memory
HEALTH = 20.0  # looks at the health, 1/s
GOODPUT = 0.85  # of what it can do
HEALTHY = 50.0  # ms, p99
REFUSAL = (closed.QUEUE_SECONDS + closed.LATE) * 1e3  # likewise: they are held back
SWOLLEN = 1.25  # times the memory of the first half that the second half may take


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: What is told.
        value: As it is shown.
        aim: As it is shown; empty for none.
        reached: Whether it is; ``None`` where there is no aim.
    """

    name: str
    value: str
    aim: str = ""
    reached: bool | None = None

    def cells(self) -> list[str]:
        """For the table."""
        return [self.name, self.value, self.aim, {None: "", True: "yes"}.get(self.reached, "NO")]


class Memory(threading.Thread):
    """Looks at the resident memory of a server again and again.

    Attributes:
        looks: Seconds from the start, MB of the front, and of each of its children.
    """

    def __init__(self, running: server.Server) -> None:
        super().__init__(daemon=True)
        self._running, self._end = running, threading.Event()
        self.looks: list[tuple[float, float, list[float]]] = []

    def run(self) -> None:
        begun = time.monotonic()
        while not self._end.wait(LOOKS):
            children = [server.resident(pid) for pid in self._running.renderers()]
            front = server.resident(self._running.pid)
            self.looks.append((time.monotonic() - begun, front, children))

    def close(self) -> None:
        """Look no more."""
        self._end.set()
        self.join()


def capacity(running: server.Server, paths: Sequence[str], seconds: float) -> tuple[float, float]:
    """Pictures per second for a few clients, each waiting for its own; and s of renderers' CPU."""
    streams = [Stream("quick", running.address, paths, clients=MODEST, end=seconds)]
    before = server.cpu(running.pid)
    got = Crowd(streams).tell().answers["quick"]
    wrong = Counter(one.status for one in got if one.status != 200)
    if wrong:
        raise SystemExit(f"unloaded, the server answers {dict(wrong)}")
    spent = server.cpu(running.pid)
    renderers = server.cpu_since(before, spent) - spent[running.pid] + before[running.pid]
    return len(got) / max(one.at + one.took / 1e3 for one in got), len(got) / renderers


def storm(root: Path, seconds: float, times: float) -> dict[str, Any]:
    """Measure what the server can do, and ask for so many times as much."""
    paths = pictures.many()
    env = {"VIPSGATE_SERVER__REQUEST_TIMEOUT": str(TIMEOUT)}
    with server.Server(root, ["--no-cache", "--renderers", str(RENDERERS)], env) as running:
        capacity(running, paths, min(2.0, seconds))  # warms
        before, calm = capacity(running, paths, max(2.0, seconds / 6))
        many = [Stream("quick", running.address, paths, rate=times * before, end=seconds)]
        health = [Stream("health", running.admin, ["/healthz"], rate=HEALTH, end=seconds)]
        memory, spent, (_, busy) = Memory(running), server.cpu(running.pid), report.cores()
        memory.start()
        crowds = Crowd(many), Crowd(health, ahead=True)
        told, watched = (one.tell() for one in crowds)
        spent = {pid: cpu - spent.get(pid, 0.0) for pid, cpu in server.cpu(running.pid).items()}
        busy = report.cores()[1] - busy
        memory.close()
        after, _ = capacity(running, paths, max(2.0, seconds / 6))
        front = spent.pop(running.pid, math.nan)
    ours = {"renderers": sum(spent.values()), "front": front, "crowds": told.cpu + watched.cpu}
    return {
        "seconds": seconds,
        "times": times,
        "capacity": [before, after],
        "by cpu": calm,
        "told": asdict(told),
        "health": [asdict(one) for one in watched.answers["health"]],
        "late": watched.late,
        "cpu": {**ours, "strangers": max(0.0, busy - sum(ours.values()))},
        "memory": memory.looks,
    }


def table_rows(found: dict[str, Any]) -> list[Row]:
    """The table."""
    seconds, peak = found["seconds"], max(found["capacity"])
    got = [Answer(**one) for one in found["told"]["answers"]["quick"]]
    good, refused = ([one for one in got if one.status == status] for status in (200, 503))
    goodput = windows(good, seconds)
    share = len([one for one in good if one.at + one.took / 1e3 <= seconds]) / seconds / peak
    health = [Answer(**one) for one in found["health"]]
    healthy = percentile([one.took for one in health], 99)
    disorderly = [one for one in refused if one.code != "CpuLimitExceeded" or not one.retry]
    others = Counter(one.status for one in got if one.status not in (200, 503))
    joined = sum(one.cache == "joined" for one in good)
    admitted, turned = ([one.took for one in kind] for kind in (good, refused))
    cpu = {name: spent / seconds for name, spent in found["cpu"].items()}
    return [
        Row("pictures per second for a few clients, before and after",
            " and ".join(f"{rate:.0f}" for rate in found["capacity"])),
        Row("asked for, 1/s", f"{len(got) / seconds:.0f}", f"{found['times']:g} x",
            len(got) / seconds > 0.95 * found["times"] * found["capacity"][0]),
        Row(f"pictures, 1/s, in windows of {WINDOW:g} s", report.cell(goodput, 0)),
        Row("pictures per second of the renderers' CPU, before and meanwhile",
            f"{found['by cpu']:.0f} and {len(good) / found['cpu']['renderers']:.0f}"),
        Row("pictures per second, of the higher of the two", f"{share:.2f}", f"{GOODPUT}",
            share >= GOODPUT),
        Row("pictures: p50 and p99, ms", spread(admitted), f"{TIMEOUT * 1e3:.0f}",
            percentile(admitted, 99) < TIMEOUT * 1e3),
        Row("refusals: p50 and p99, ms", spread(turned), f"{REFUSAL:.0f}",
            not turned or percentile(turned, 99) < REFUSAL),
        Row("refusals, 1/s", f"{len(refused) / seconds:.0f}"),
        Row("refusals without Retry-After or CpuLimitExceeded", f"{len(disorderly)}", "0",
            not disorderly),
        Row("neither 200 nor 503", statuses(others), "0", not others),
        Row("/healthz: p50 and p99, ms", spread([one.took for one in health]), f"{HEALTHY:.0f}",
            healthy < HEALTHY and all(one.status == 200 for one in health)),
        *memory_rows(found["memory"]),
        Row("pictures that waited for an equal one", f"{joined}"),
        Row(f"cores: {', '.join(cpu)}", ", ".join(f"{taken:.2f}" for taken in cpu.values())),
        Row("late timers of the two crowds: p99, ms",
            f"{percentile(found['told']['late'], 99):.0f} and {percentile(found['late'], 99):.0f}"),
    ]  # fmt: skip


def windows(good: Sequence[Answer], seconds: float) -> list[float]:
    """Answers per second that came in each window, whole ones only."""
    size = min(WINDOW, seconds)
    counts = Counter(int((one.at + one.took / 1e3) / size) for one in good)
    return [counts[number] / size for number in range(int(seconds / size))]


def memory_rows(looks: Sequence[tuple[float, float, list[float]]]) -> list[Row]:
    """Highest memory in the first and the second half; the first seconds are growing up."""
    half = looks[len(looks) // 2][0]
    found = []
    for name, of in (("front", lambda look: look[1]), ("renderer", lambda look: max(look[2]))):
        begin = max(of(look) for look in looks if look[0] <= half)
        rest = max(of(look) for look in looks if look[0] > half)
        shown = f"{begin:.0f} and {rest:.0f}"
        found.append(
            Row(f"memory of the {name}, highest in either half, MB", shown, f"x {SWOLLEN}",
                rest <= SWOLLEN * begin)
        )  # fmt: skip
    return found


def course(found: dict[str, Any]) -> dict[int, list[int]]:
    """Status -> how many answers came in each second."""
    whole = range(int(found["seconds"]))
    counts: dict[int, Counter[int]] = {200: Counter(), 503: Counter()}
    for one in found["told"]["answers"]["quick"]:
        counts.setdefault(one["status"], Counter())[int(one["at"] + one["took"] / 1e3)] += 1
    return {status: [seen[second] for second in whole] for status, seen in counts.items()}


# --- the closed loop ------------------------------------------------------------------------------

HEAD = [
    "clients", "200, 1/s", "503, 1/s", "of those for 8", "p50, ms", "p99, ms", "p99 of light, ms",
    "renderers busy", "front, cores", "front and renderer, MB", "missed",
]  # fmt: skip


def loops(root: Path, folder: Path, scene: str, seconds: float) -> list[closed.Run]:
    """Measure one scene: few clients, more and more of them, and few again after each."""
    paths, cached = closed.scenes()[scene], scene == "hits"
    options = ["--cache-dir", str(folder / "cache")] if cached else ["--no-cache"]
    options += ["--renderers", str(RENDERERS)]
    steps = [(clients, False) for clients in closed.CLIENTS] + [(closed.NEW, True)]
    found = []
    with server.Server(root, options) as running:
        first = load.FIRST

        def run(seconds: float, clients: int, reconnect: bool = False) -> closed.Run:
            nonlocal first
            first += ROUNDS
            return closed.run(
                running,
                paths,
                seconds,
                clients,
                renderers=RENDERERS,
                first=first,
                cached=cached,
                reconnect=reconnect,
            )

        run(WARMING, closed.FEW)
        found.append(run(seconds, closed.FEW))
        for clients, reconnect in steps:
            found.append(run(seconds, clients, reconnect))
            time.sleep(closed.PAUSE)
            found.append(run(max(WARMING, seconds / 3), closed.FEW))
    return found


def lines(found: Sequence[closed.Run]) -> list[list[str]]:
    """The table of a scene."""
    calm = found[0]
    return [
        [
            f"{one.clients}{', new' * one.reconnect}",
            f"{one.good:.0f}",
            f"{one.refused:.0f}",
            f"{one.good / calm.good:.2f}",
            f"{one.p50:.0f}",
            f"{one.p99:.0f}",
            ", ".join(f"{name} {took:.0f}" for name, took in one.light.items()),
            ", ".join(f"{share:.2f}" for share in one.busy),
            f"{one.front:.2f}",
            " and ".join(f"{size:.0f}" for size in one.memory),
            ", ".join(closed.verdict(one, calm)),
        ]
        for one in found
    ]


def beside(root: Path, folder: Path, job: str, seconds: float, program: str) -> list[list[str]]:
    """The same of imgproxy, whose pictures nobody joins."""
    import peers

    os.environ["PATH"] = f"{Path(program).resolve().parent}:{os.environ['PATH']}"
    port = peers.free_port()
    task = rivals.Task(root, folder, port, pictures.ALL[job], {})
    start = rivals.imgproxy(task)
    if start is None:
        raise SystemExit(f"--imgproxy: {program} cannot be run as imgproxy")
    running = peers.Server("imgproxy", start, port, job)
    rows = []
    try:
        for clients in (closed.FEW, *closed.CLIENTS):
            done = running.load(seconds, clients)
            good, refused = done.statuses.get(200, 0), done.requests - done.statuses.get(200, 0)
            cells = [good / done.seconds, refused / done.seconds, done.p50, done.p99]
            rows.append([str(clients), *(f"{cell:.0f}" for cell in cells)])
    finally:
        running.close()
    return rows


def draw(file: Path, found: dict[str, Any]) -> None:
    """Answers over time."""
    counts, last = course(found), int(found["seconds"]) - 1
    peak = max(found["capacity"])
    chart.lines(
        file,
        f"{found['times']:g} times more than it can do: what is answered",
        "seconds",
        "answers per second",
        {
            "pictures (200)": list(enumerate(counts[200])),
            "refusals (503)": list(enumerate(counts[503])),
            "what it can do": [(0, peak), (last, peak)],
            f"{GOODPUT:.0%} of that": [(0, GOODPUT * peak), (last, GOODPUT * peak)],
        },
        log_y=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=LOOPS)
    parser.add_argument(
        "--scenes",
        nargs="+",
        choices=list(closed.scenes()),
        metavar="SCENE",
        default=list(closed.scenes()),
        help="of the closed loop",
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of each row; 4 x in the open")
    parser.add_argument(
        "--times",
        type=float,
        nargs="+",
        default=[1.0, 2.0, 10.0],
        help="as much as it can do, in the open loop",
    )
    parser.add_argument("--imgproxy", metavar="PROGRAM", help="run it, too, in the closed loop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    chart.add_option(parser)
    asked = parser.parse_args()  # fmt: skip
    print(report.heading())
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        root, folder = Path(name), Path(other)
        pictures.make(root, pictures.ALL)
        for scene in asked.scenes if "closed" in asked.loops else ():
            found = loops(root, folder, scene, asked.seconds)
            title = f"{scene}: clients that ask again at once, for {asked.seconds:g} s"
            print(report.table(title, HEAD, lines(found)), flush=True)
            results[scene] = [asdict(one) for one in found]
            if asked.imgproxy and scene in pictures.ALL:
                rows = beside(root, folder, scene, asked.seconds, asked.imgproxy)
                print(report.table(f"{scene}, imgproxy", RIVAL_HEAD, rows), flush=True)
                results[f"{scene}, imgproxy"] = rows
        for times in asked.times if "open" in asked.loops else ():
            stormy = storm(root, OPEN * asked.seconds, times)
            cells = [row.cells() for row in table_rows(stormy)]
            title = f"{times:g} times what it can do, for {OPEN * asked.seconds:g} s"
            print(report.table(title, ["of the server", "found", "aim", "reached"], cells))
            results[title] = {"rows": cells, "seconds": course(stormy), "memory": stormy["memory"]}
            if asked.chart:  # the last one
                draw(asked.chart, stormy)
    report.write(asked.json, results)


if __name__ == "__main__":
    main()
