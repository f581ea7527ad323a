"""What does a hit cost, beside a bare aiohttp handler that sends the same bytes, and beside nginx?

The handler runs on uvloop too and sends a body that it holds in memory, with its type and nothing
else: once behind a route of a ``web.Application``, as people write it, and once as the only handler
of a ``web.Server``, which is the least that aiohttp can do. nginx, where it is on the PATH, serves
the results as files: one worker, sendfile. All are asked by 8 connections, in turn, for the same
derivative of several sources.

    python bench/hits.py [--pairs 3] [--seconds 3] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import chart
import load
import pictures
import report
import server

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
KINDS = ("routed", "raw", *(["nginx"] if shutil.which("nginx") else []))
NGINX = """
daemon off;
worker_processes 1;
user {user};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    default_type {mime};
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""
PATIENCE = 10  # seconds for nginx to listen


class Running:
    """A server in a process of its own, which says where it listens unless that is known."""

    def __init__(self, command: list[str], env: dict[str, str], address: str = "") -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
        )
        assert self.process.stdout is not None
        self.address = address or next(
            word for word in self.process.stdout.readline().split() if word.startswith("http://")
        )

    def run(self, paths: list[str], seconds: float) -> dict[str, float]:
        """Answers per second, ms of CPU of the process and its children for one, latency."""
        before = server.cpu(self.process.pid)
        done = load.load(self.address, paths, seconds)
        spent = server.cpu_since(before, server.cpu(self.process.pid))
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


def bare(body: bytes, mime: str, kind: str) -> None:
    """The handler that does nothing else."""
    import uvloop
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": mime})

    async def serve() -> None:
        runner: web.BaseRunner[Any] = web.ServerRunner(web.Server(answer, access_log=None))
        if kind == "routed":
            app = web.Application()
            app.router.add_get("/{bucket}/{key:.+}", answer)
            runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        await runner.cleanup()

    uvloop.run(serve())


def nginx(folder: Path, bodies: dict[str, bytes], mime: str) -> Running:
    """nginx with each body as a file below its path."""
    for path, body in bodies.items():
        file = folder / path.partition("?")[0].lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = pwd.getpwuid(os.geteuid()).pw_name
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, mime=mime, user=user))
    command = ["nginx", "-p", str(folder), "-c", str(folder / "conf"), "-e", "stderr"]
    running = Running(command, {}, f"http://127.0.0.1:{port}")
    for _ in range(PATIENCE * 20):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return running
        time.sleep(0.05)
    running.close()
    raise SystemExit("nginx does not start; try it by hand: " + " ".join(command))


def measure(folder: Path, tier: str, process: str, pairs: int, seconds: float) -> dict[str, Any]:
    """The bare handlers, nginx and the server in turn, on one job."""
    command = [sys.executable, "-m", "vipsgate", "serve", str(folder)]
    command += ["--port", "0", "--admin-port", "0", "--renderers", "1"]
    command += ["--cache-dir", str(folder / ".cache")]
    ours = Running(command, TIERS[tier])
    try:
        names = [pictures.path("large", number).partition("?")[0] for number in range(SOURCES)]
        paths = [f"{name}?x-oss-process={process}" for name in names]
        bodies = {}
        for path in paths * 2:
            with urllib.request.urlopen(ours.address + path) as answer:
                bodies[path], where = answer.read(), answer.headers["X-Vipsgate-Cache"]
                mime = answer.headers["Content-Type"]
        assert where == "hit", where
        body = bodies[path]
        (folder / "body").write_bytes(body)
        command = [sys.executable, __file__, "--bare", str(folder / "body"), mime]
        others = {
            kind: nginx(folder / "nginx", bodies, mime)
            if kind == "nginx"
            else Running([*command, kind], {})
            for kind in KINDS
        }
        try:
            for one in (ours, *others.values()):
                one.run(paths, 1)
            runs = [
                {kind: one.run(paths, seconds) for kind, one in (*others.items(), ("ours", ours))}
                for _ in range(pairs)
            ]
        finally:
            for one in others.values():
                one.close()
    finally:
        ours.close()
    return {"bytes": len(body), "runs": runs}


def main() -> None:
    """Ask, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="of runs, bare and server")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run")
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    parser.add_argument("--bare", nargs=3, metavar=("BODY", "MIME", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(Path(options.bare[0]).read_bytes(), *options.bare[1:])
        return
    print(report.heading())
    found, rows = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures.make(folder)
        for tier in TIERS:
            for job, process in JOBS.items():
                made = found[f"{tier}, {job}"] = measure(
                    folder, tier, process, options.pairs, options.seconds
                )
                runs = made["runs"]
                rows.append(
                    [
                        f"{tier}, {made['bytes'] / 1000:.0f} KB",
                        *(report.cell([run[kind]["rate"] for run in runs], 0) for kind in KINDS),
                        report.cell([run["ours"]["rate"] for run in runs], 0),
                        *(
                            report.cell([run["ours"]["rate"] / run[kind]["rate"] for run in runs])
                            for kind in KINDS
                        ),
                        f"{AIMS[tier]}",
                        report.cell([run["ours"]["p95"] for run in runs], 1),
                    ]
                )
    head = ["hit", *(f"{kind}, 1/s" for kind in KINDS), "server, 1/s"]
    head += [*(f"of {kind}" for kind in KINDS), "aim (of routed)", "p95, ms"]
    print(report.table(f"Hits, asked by {load.client()}", head, rows))
    if options.chart:
        names = {"ours": "vipsgate", "routed": "aiohttp, routed", "raw": "aiohttp, raw"}
        names |= {"nginx": "nginx, a file"} if "nginx" in KINDS else {}
        chart.bars(
            options.chart,
            "Hits, beside handlers that send the same bytes and do nothing else",
            "answers per second",
            [row[0] for row in rows],
            {
                name: [[run[kind]["rate"] for run in made["runs"]] for made in found.values()]
                for kind, name in names.items()
            },
            "Aims: 0.8 of routed from memory, 0.7 from disk",
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
