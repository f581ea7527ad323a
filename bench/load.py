"""Ask a server for pictures as fast as it gives them: wrk where there is one, else a client here.

Rule: at least as many different URLs as connections, asked in turn, so that nothing which joins
equal requests can help (peers.md, "one url"). A path may have :data:`SERIAL` in it once, in place
of which stands a number that no round before has had.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 8
PATIENCE = 30  # seconds before wrk calls an answer late; it would do so after two
SERIAL, FIRST = "{}", 1000  # and the first number in its place
SCRIPT = """
local requests, at, serial, headers = {}, 0, %d, nil
seen = {}
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function init(args)
  if args[2] == "close" then headers = {Connection = "close"} end
  for path in io.lines(args[1]) do
    local whole = wrk.format("GET", path, headers)
    local before, behind = whole:match("^(.-){}(.*)$")
    requests[#requests + 1] = before and {before, behind} or whole
  end
end
function request()
  at = at + 1
  if at > #requests then at, serial = 1, serial + 1 end
  local found = requests[at]
  if type(found) == "string" then return found end
  return found[1] .. serial .. found[2]
end
function count(status) seen[status] = (seen[status] or 0) + 1 end
function done(summary, latency)
  local e, statuses = summary.errors, {}
  for status, times in pairs(threads[1]:get("seen")) do
    statuses[#statuses + 1] = string.format('"%%d": %%d', status, times)
  end
  io.write(string.format(
    '\\n{"requests": %%d, "seconds": %%f, "failed": %%d, "p50": %%f, "p95": %%f, "p99": %%f, '
      .. '"broken": %%d, "statuses": {%%s}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.timeout, table.concat(statuses, ", ")))
end
"""
COUNTING = "response = count\n"  # not for free, so only where it is asked for


@dataclass(frozen=True, slots=True)
class Load:
    """What came back.

    Attributes:
        requests: Answers, the failed ones included.
        seconds: How long it took.
        failed: Answers with a status of 400 or more, and connections that broke.
        p50: Median latency, ms.
        p95: Latency that 95 of 100 requests stayed below, ms.
        p99: Likewise.
        broken: Connections that broke, and answers that came too late.
        statuses: Answers by their status, where they were counted.
        cpu: Seconds of CPU that the client itself took.
    """

    requests: int
    seconds: float
    failed: int
    p50: float
    p95: float
    p99: float
    broken: int
    statuses: dict[int, int]
    cpu: float


def client() -> str:
    """Who asks: ``wrk`` or ``asyncio``."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(
    base: str,
    paths: Sequence[str],
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    reconnect: bool = False,
    count: bool = False,
    first: int = FIRST,
) -> Load:
    """Ask ``base`` for the paths in turn, over and over.

    Args:
        base: ``http://host:port``.
        paths: Paths with their queries, percent-encoded.
        seconds: How long, in whole seconds for wrk.
        connections: On how many connections, each of which asks again as soon as it is answered.
        reconnect: Whether each request comes on a new connection.
        count: Whether answers are counted by their status.
        first: The first number in place of :data:`SERIAL`; it grows with each round of the paths.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, script = f"{folder}/paths.txt", f"{folder}/ask.lua"
        with open(listed, "w") as file:
            file.write("\n".join(paths) + "\n")
        with open(script, "w") as file:
            file.write(SCRIPT % first + (COUNTING if count else ""))
        wrk, last = client() == "wrk", "close" if reconnect else "keep"
        if wrk:
            command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s"]
            command += ["--timeout", f"{PATIENCE}s", "-s", script, base, "--", listed, last]
        else:
            command = [sys.executable, __file__, base, str(seconds), listed, last]
            command += [str(connections), str(first)]
        before = _children()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    facts["statuses"] = {int(status): times for status, times in facts["statuses"].items()}
    return Load(**facts, cpu=_children() - before)


def _children() -> float:
    """Seconds of CPU of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _ask(
    base: str, seconds: float, paths: Sequence[str], *, close: bool, connections: int, first: int
) -> dict[str, object]:
    """The client for machines without wrk: HTTP/1.1 with Content-Length, and nothing else."""
    host, _, port = base.removeprefix("http://").partition(":")
    end = time.perf_counter() + seconds
    times: list[float] = []
    statuses: Counter[int] = Counter()
    turn = broken = 0
    fields = f"Host: {host}\r\n" + "Connection: close\r\n" * close

    async def connection() -> None:
        nonlocal turn
        writer = None
        while (begun := time.perf_counter()) < end:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, int(port))
            turn += 1
            path = paths[turn % len(paths)].replace(SERIAL, str(first + turn // len(paths)))
            writer.write(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            times.append((time.perf_counter() - begun) * 1e3)
            statuses[int(head.split(b" ", 2)[1])] += 1
            if b"\r\nconnection: close\r\n" in head:
                writer.close()
                writer = None
        if writer:
            writer.close()

    async def patient() -> None:
        nonlocal broken
        while time.perf_counter() < end:
            try:
                await connection()
            except (OSError, EOFError):
                broken += 1

    begun = time.perf_counter()
    await asyncio.gather(*(patient() for _ in range(connections)))
    took = time.perf_counter() - begun
    times.sort()
    p50, p95, p99 = (times[len(times) * share // 100] for share in (50, 95, 99))
    return {
        "requests": len(times),
        "seconds": took,
        "failed": sum(many for status, many in statuses.items() if status >= 400) + broken,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "broken": broken,
        "statuses": statuses,
    }


if __name__ == "__main__":
    _base, _seconds, _listed, _last, _connections, _first = sys.argv[1:]
    with open(_listed) as listing:
        asked = listing.read().split()
    found = _ask(
        _base,
        float(_seconds),
        asked,
        close=_last == "close",
        connections=int(_connections),
        first=int(_first),
    )
    os.write(1, json.dumps(asyncio.run(found)).encode())
