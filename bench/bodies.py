"""What do bodies that nobody asked for cost everybody else?

Anonymous clients, each in a process of its own, send bodies with requests that are refused, as fast
as they are taken or at a rate; meanwhile one client asks for a hit and one for health, one request
after the other. The table says how long these two wait.

    python bench/bodies.py [--seconds 4] [--runs 3] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import socket
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator
from itertools import repeat
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

import chart
import pictures
import report
import server

PAUSE = 0.002  # seconds between two requests of those who wait
PIECE = 1 << 18  # bytes sent at a time where there is no rate
SLOW_PIECE = 1 << 13  # and where there is one
SLOW = 562e3  # bytes a second of one client whose gzip bodies took 765 ms from everybody's median
GET = b"GET /bench/none HTTP/1.1\r\nHost: a\r\n"
PUT = b"PUT /bench/none HTTP/1.1\r\nHost: a\r\n"
CHUNKED, ENDLESS = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 999999999999\r\n"
PACKED = b"Content-Encoding: gzip\r\n"
# what is sent: head, what follows, clients, bytes a second of each (0: as fast as may be)
KINDS: dict[str, tuple[bytes, str, int, float]] = {
    "nothing": (b"", "", 0, 0),
    "GET, gzip in chunks, 562 KB/s": (GET + CHUNKED + PACKED, "gzip", 1, SLOW),
    "the same, four clients": (GET + CHUNKED + PACKED, "gzip", 4, SLOW),
    "GET, chunks, four clients": (GET + CHUNKED, "chunks", 4, 0),
    "GET, chunks of one byte, four clients": (GET + CHUNKED, "bytes", 4, 0),
    "GET with a length, four clients": (GET + ENDLESS, "plain", 4, 0),
    "PUT, refused, four clients": (PUT + ENDLESS, "plain", 4, 0),
}


def pieces(kind: str, size: int) -> Iterator[bytes]:
    """A body without end, piece by piece."""
    if kind == "gzip":
        squeeze = zlib.compressobj(9, wbits=31)
        for _ in range(2):  # behind a full flush the same zeros are the same bytes again
            data = squeeze.compress(bytes(1000 * size)) + squeeze.flush(zlib.Z_FULL_FLUSH)
            yield b"%x\r\n%b\r\n" % (len(data), data)
    elif kind == "chunks":
        data = bytes(size)
    elif kind == "bytes":
        yield from repeat(b"1\r\na\r\n" * (size // 6))
    else:
        yield from repeat(bytes(size))
    yield from repeat(b"%x\r\n%b\r\n" % (len(data), data))


def attack(address: str, head: bytes, kind: str, rate: float, stop: Event) -> None:
    """Send, and come again as soon as the line is closed."""
    where = urlsplit(address)
    size = SLOW_PIECE if rate else PIECE
    while not stop.is_set():
        sent, begun = 0, time.monotonic()
        try:
            with socket.create_connection((where.hostname, where.port), 5) as line:
                line.sendall(head + b"\r\n")
                for data in pieces(kind, size):
                    if stop.is_set():
                        break
                    line.sendall(data)
                    sent += len(data)
                    if rate:
                        time.sleep(max(0.0, min(0.1, sent / rate - (time.monotonic() - begun))))
        except OSError:
            pass


def wait(address: str, target: str, seconds: float) -> list[float]:
    """How long each answer took, in ms."""
    where = urlsplit(address)
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.perf_counter()
        line.request("GET", target)
        line.getresponse().read()
        found.append((time.perf_counter() - begun) * 1e3)
        time.sleep(PAUSE)
    line.close()
    return found


def measure(running: server.Server, path: str, kind: str, seconds: float) -> dict[str, list[float]]:
    """What a hit and health take while these clients send."""
    head, follows, clients, rate = KINDS[kind]
    stop = multiprocessing.Event()
    arguments = (running.address, head, follows, rate, stop)
    senders = [multiprocessing.Process(target=attack, args=arguments) for _ in range(clients)]
    for sender in senders:
        sender.start()
    time.sleep(0.5)
    try:
        return {
            "hit": wait(running.address, path, seconds),
            "health": wait(running.admin, "/healthz", seconds),
        }
    finally:
        stop.set()
        for sender in senders:
            sender.join(10)
            sender.kill()


def main() -> None:
    """Send, wait, and say how long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one wait")
    parser.add_argument("--runs", type=int, default=3, help="of each kind")
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    found: dict[str, list[dict[str, list[float]]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures.make(folder)
        path = pictures.path("small", 0).partition("?")[0] + "?x-oss-process=image/resize,w_50"
        more = ["--renderers", "1", "--cache-dir", str(folder / ".cache")]
        with server.Server(folder, more) as running:
            wait(running.address, path, 0.2)
            for _ in range(options.runs):
                for kind, runs in found.items():
                    runs.append(measure(running, path, kind, options.seconds))
    rows = []
    for kind, runs in found.items():
        cells = []
        for who in ("hit", "health"):
            cells.append(report.cell([statistics.median(run[who]) for run in runs], 2))
            cells.append(report.cell([max(run[who]) for run in runs], 1))
        rows.append([kind, *cells])
    columns = ["what is sent", "hit, median", "hit, worst", "health, median", "health, worst"]
    print(report.table("What others wait meanwhile, ms", columns, rows))
    if options.chart:
        medians = {
            who: [[statistics.median(run[who]) for run in runs] for runs in found.values()]
            for who in ("hit", "health")
        }
        chart.bars(
            options.chart, "What others wait while bodies come", "median, ms", list(found), medians
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
