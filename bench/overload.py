"""Does the server bend and not break when ten times more is asked than it can do?

First what it can do: cold pictures per second, asked by a few clients. Then clients come ten times
as fast as that for a minute, each for a picture that nobody else asks for; what is refused is to be
refused at once and in order, and to cost the others nothing. Everything is seen from outside: HTTP,
the admin port and /proc. Crowd and server share the cores, so how late the crowd's own timers are
is told, and how many cores strangers took; where these are many, believe the pictures per second of
the renderers' CPU.

    python bench/overload.py [--seconds 60] [--times 10] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import math
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chart
import pictures
import report
import server
from crowd import Answer, Crowd, Stream, percentile, spread, statuses

RENDERERS = 2
MODEST = 4 * RENDERERS  # clients that find out what it can do
TIMEOUT = 15.0  # seconds; server.request_timeout
WINDOW = 5.0  # seconds of which goodput is told
LOOKS = 0.25  # seconds between two looks at the memory
HEALTH = 20.0  # looks at the health, 1/s
GOODPUT = 0.85  # of what it can do
REFUSAL = HEALTHY = 50.0  # ms, p99
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
        crowds = Crowd(many), Crowd(health)
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


def rows(found: dict[str, Any]) -> list[Row]:
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
            percentile(turned, 99) < REFUSAL),
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
    parser.add_argument("--seconds", type=float, default=60.0, help="that it is asked for too much")
    parser.add_argument("--times", type=float, default=10.0, help="as much as it can do")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        pictures.make(Path(name))
        found = storm(Path(name), asked.seconds, asked.times)
    cells = [row.cells() for row in rows(found)]
    title = f"{asked.times:g} times more than it can do, for {asked.seconds:g} s"
    print(report.table(title, ["of the server", "found", "aim", "reached"], cells))
    if asked.chart:
        draw(asked.chart, found)
    report.write(asked.json, {"rows": cells, "seconds": course(found), "memory": found["memory"]})


if __name__ == "__main__":
    main()
