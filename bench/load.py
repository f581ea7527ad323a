"""Ask a server for pictures as fast as it gives them: wrk where there is one, else a client here.

Rule: at least as many different URLs as connections, asked in turn, so that nothing which joins
equal requests can help (peers.md, "one url").
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
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 8
PATIENCE = 30  # seconds before wrk calls an answer late; it would do so after two
SCRIPT = """
local requests, at = {}, 0
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p95": %f}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came back.

    Attributes:
        requests: Answers, the failed ones included.
        seconds: How long it took.
        failed: Answers with a status of 400 or more, and connections that broke.
        p50: Median latency, ms.
        p95: Latency that 95 of 100 requests stayed below, ms.
        cpu: Seconds of CPU that the client itself took.
    """

    requests: int
    seconds: float
    failed: int
    p50: float
    p95: float
    cpu: float


def client() -> str:
    """Who asks: ``wrk`` or ``asyncio``."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(base: str, paths: Sequence[str], seconds: float) -> Load:
    """Ask ``base`` for the paths in turn, over and over, on :data:`CONNECTIONS` connections.

    Args:
        base: ``http://host:port``.
        paths: Paths with their queries, percent-encoded.
        seconds: How long, in whole seconds for wrk.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, script = f"{folder}/paths.txt", f"{folder}/ask.lua"
        with open(listed, "w") as file:
            file.write("\n".join(paths) + "\n")
        with open(script, "w") as file:
            file.write(SCRIPT)
        if client() == "wrk":
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s"]
            command += ["--timeout", f"{PATIENCE}s", "-s", script, base]
        else:
            command = [sys.executable, __file__, base, str(seconds)]
        before = _children()
        done = subprocess.run(
            [*command, *(["--"] if client() == "wrk" else []), listed],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    return Load(**facts, cpu=_children() - before)


def _children() -> float:
    """Seconds of CPU of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _ask(base: str, seconds: float, paths: Sequence[str]) -> dict[str, float]:
    """The client for machines without wrk: HTTP/1.1 with Content-Length, and nothing else."""
    host, _, port = base.removeprefix("http://").partition(":")
    end = time.perf_counter() + seconds
    times: list[float] = []
    failed = turn = 0

    async def connection() -> None:
        nonlocal failed, turn
        reader, writer = await asyncio.open_connection(host, int(port))
        while (begun := time.perf_counter()) < end:
            turn += 1
            line = f"GET {paths[turn % len(paths)]} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            writer.write(line.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            times.append((time.perf_counter() - begun) * 1e3)
            failed += int(head.split(b" ", 2)[1]) >= 400
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    took = time.perf_counter() - begun
    times.sort()
    return {
        "requests": len(times),
        "seconds": took,
        "failed": failed,
        "p50": times[len(times) // 2],
        "p95": times[len(times) * 95 // 100],
    }


if __name__ == "__main__":
    with open(sys.argv[3]) as listing:
        asked = listing.read().split()
    os.write(1, json.dumps(asyncio.run(_ask(sys.argv[1], float(sys.argv[2]), asked))).encode())
