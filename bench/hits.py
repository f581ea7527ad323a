"""What does a hit cost, beside a bare aiohttp handler that sends the same bytes?

The bare handler runs on uvloop too and sends a body that it holds in memory, with its type and
nothing else. Both are asked by 8 connections, in turn, for the same derivative of several sources.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import load
import pictures
import report

SECONDS = 3
TIERS = {  # what is measured, and the settings that make it so
    "memory": {"VIPSGATE_CACHE__MEMORY_BYTES": str(1 << 28)},
    "disk": {"VIPSGATE_CACHE__MEMORY_BYTES": "0"},
}
JOBS = {  # by the size of the result
    "3 KB": "image/resize,w_100",
    "30 KB": "image/resize,w_400/quality,q_85",
    "300 KB": "image/resize,w_1200/quality,q_95",
}
AIMS = {"memory": 0.8, "disk": 0.7}
SOURCES = 8


class Running:
    """A server in a process of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
        )
        assert self.process.stdout is not None
        self.address = next(
            word for word in self.process.stdout.readline().split() if word.startswith("http://")
        )

    def run(self, paths: list[str], seconds: float) -> dict[str, float]:
        """Answers per second, ms of CPU of the process for one, latency."""
        before = report.cpu_seconds(self.process.pid)
        done = load.load(self.address, paths, seconds)
        spent = report.cpu_seconds(self.process.pid) - before
        if done.failed:
            raise SystemExit(f"{done.failed} of {done.requests} requests failed")
        return {
            "rate": done.requests / done.seconds,
            "cpu": spent / done.requests * 1e3,
            "p95": done.p95,
        }

    def close(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()


def bare(body: bytes, mime: str) -> None:
    """The handler that does nothing else."""
    import uvloop
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": mime})

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        await runner.cleanup()

    uvloop.run(serve())


def measure(folder: Path, tier: str, process: str, pairs: int) -> dict[str, Any]:
    """The bare handler and the server in turn, on one job."""
    command = [sys.executable, "-m", "vipsgate", "serve", str(folder)]
    command += ["--port", "0", "--admin-port", "0", "--renderers", "1"]
    command += ["--cache-dir", str(folder / ".cache")]
    server = Running(command, TIERS[tier])
    try:
        names = [pictures.path("large", number).partition("?")[0] for number in range(SOURCES)]
        paths = [f"{name}?x-oss-process={process}" for name in names]
        for path in paths * 2:
            with urllib.request.urlopen(server.address + path) as answer:
                body, where = answer.read(), answer.headers["X-Vipsgate-Cache"]
                mime = answer.headers["Content-Type"]
        assert where == "hit", where
        (folder / "body").write_bytes(body)
        by_hand = Running([sys.executable, __file__, "--bare", str(folder / "body"), mime], {})
        try:
            server.run(paths, 1), by_hand.run(paths, 1)
            runs = [(by_hand.run(paths, SECONDS), server.run(paths, SECONDS)) for _ in range(pairs)]
        finally:
            by_hand.close()
    finally:
        server.close()
    return {"bytes": len(body), "runs": runs}


def main() -> None:
    """Ask, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="of runs, bare and server")
    parser.add_argument("--json", type=Path, help="where all runs go")
    parser.add_argument("--bare", nargs=2, metavar=("BODY", "MIME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(Path(options.bare[0]).read_bytes(), options.bare[1])
        return
    print(report.heading())
    found, rows = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures.make(folder)
        for tier in TIERS:
            for job, process in JOBS.items():
                made = found[f"{tier}, {job}"] = measure(folder, tier, process, options.pairs)
                ratios = [ours["rate"] / theirs["rate"] for theirs, ours in made["runs"]]
                costs = [theirs["cpu"] / ours["cpu"] for theirs, ours in made["runs"]]
                rows.append(
                    [
                        f"{tier}, {made['bytes'] / 1000:.0f} KB",
                        report.cell([theirs["rate"] for theirs, _ in made["runs"]], 0),
                        report.cell([ours["rate"] for _, ours in made["runs"]], 0),
                        report.cell(ratios),
                        report.cell(costs),
                        f"{AIMS[tier]}",
                        report.cell([ours["p95"] for _, ours in made["runs"]], 1),
                    ]
                )
    head = ["hit", "bare, 1/s", "server, 1/s", "ratio", "ratio of CPU", "aim", "p95, ms"]
    print(report.table(f"Hits, asked by {load.client()}", head, rows))
    report.write(options.json, found)


if __name__ == "__main__":
    main()
