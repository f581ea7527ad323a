"""What does it cost to hand a picture over between the front and a worker?

Four questions: bytes inside the message or a descriptor with it; which encoding; whether opening
a file is worth a thread; and the whole way through ``Renderers.render`` with a worker that does
everything but render. CPU is counted on both sides, because both share the machine with libvips.

    python bench/handover.py [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import pickle
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chart
import orjson
import report
import uvloop

from vipsgate.delivery import derivatives
from vipsgate.renderers.pool import Renderers
from vipsgate.worker import main as worker
from vipsgate.worker import protocol, sandbox
from vipsgate.worker.interrupt import Interrupt

SIZES = {"2 KB": 2_000, "20 KB": 20_000, "60 KB": 60_000, "200 KB": 200_000, "1 MB": 1_000_000}
ROUNDS = 5  # of every way, in turn, so that a busy moment of the machine hits all
PICTURES = 1000  # in a round
CODINGS = 20_000  # in a round
OPENINGS = 2000  # in a round
CALLERS = 8  # that ask the pool at a time
BOUND = 0.3  # ms of CPU for a picture that the hand-over may cost, both sides together
BUFFER = 2_097_152  # bytes of a socket's buffer; the kernel may grant less (net.core.wmem_max)

JOB = {"id": 5, "process": "image/resize,w_100/format,png"}
RESULT = {"id": 5, "type": "image/jpeg", "size": 2873, "seconds": 1.9e-3,
          "rss": 61_952_000}  # fmt: skip


# --- bytes inside, or a descriptor with it --------------------------------------------------------


def _peer(connection: socket.socket, body: bytes) -> None:
    """The renderer's side: answer each message in the way that it asks for."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, protocol.MAX_BYTES, 1)
        if not data:
            os._exit(0)
        protocol.close(descriptors)
        job = orjson.loads(data)
        head = orjson.dumps(RESULT)
        if job["way"] == "inline":
            lead = len(head).to_bytes(4, "little")
            connection.sendmsg([lead, head, body[: job["size"]]])
            continue
        memory = os.memfd_create("result", os.MFD_CLOEXEC)
        os.write(memory, body[: job["size"]])
        protocol.send(connection, RESULT, [memory])
        os.close(memory)


def _inline(connection: socket.socket, size: int) -> None:
    data, _, _, _ = socket.recv_fds(connection, size + protocol.MAX_BYTES, 1)
    end = 4 + int.from_bytes(data[:4], "little")
    orjson.loads(data[4:end])
    assert len(data[end:]) == size


def _memfd(connection: socket.socket, size: int) -> None:
    _, descriptors = protocol.receive(connection)
    protocol.close(descriptors)


def _memfd_read(connection: socket.socket, size: int) -> None:
    _, descriptors = protocol.receive(connection)
    assert len(os.pread(descriptors[0], size, 0)) == size
    protocol.close(descriptors)


WAYS: dict[str, Callable[[socket.socket, int], None]] = {
    "inline": _inline,  # bytes in the datagram, read by the front
    "memfd": _memfd,  # a descriptor that the front passes on to sendfile
    "memfd + read": _memfd_read,  # a descriptor that the front reads at once
}


def ways() -> dict[str, dict[str, list[float]]]:
    """Size -> way -> ms of CPU for a picture, both sides, of each round; none if it cannot fit.

    Both sides share one core, for this question only: with a core each, they are billed for
    waking each other from idle, which is several times the work and hides it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, protocol.KIND)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    most = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - protocol.MAX_BYTES
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    pid = os.fork()
    if pid == 0:
        ours.close()
        _peer(theirs, os.urandom(max(SIZES.values())))
    theirs.close()
    source = os.memfd_create("source", os.MFD_CLOEXEC)
    made: dict[str, dict[str, list[float]]] = {}
    for name, size in SIZES.items():
        made[name] = {way: [] for way in WAYS}
        for turn in range(ROUNDS + 1):
            for way, take in WAYS.items():
                if way == "inline" and size > most:
                    continue
                spent = time.process_time() + report.cpu_seconds(pid)
                for _ in range(PICTURES):
                    protocol.send(ours, {**JOB, "way": way, "size": size}, [source])
                    take(ours, size)
                spent = time.process_time() + report.cpu_seconds(pid) - spent
                if turn:  # the first warms up
                    made[name][way].append(spent / PICTURES * 1e3)
    ours.close()
    os.waitpid(pid, 0)
    os.close(source)
    os.sched_setaffinity(0, cores)
    return made


# --- encodings ------------------------------------------------------------------------------------


def encodings() -> dict[str, list[float]]:
    """Name -> us for a job and a result, both written and read, of each round."""
    coders: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
        "orjson": (orjson.dumps, orjson.loads),
        "json": (lambda message: json.dumps(message).encode(), json.loads),
        "pickle": (pickle.dumps, pickle.loads),
    }
    try:
        msgpack = importlib.import_module("msgpack")
        coders["msgpack"] = (msgpack.packb, msgpack.unpackb)
    except ImportError:
        pass
    made: dict[str, list[float]] = {name: [] for name in coders}
    for _ in range(ROUNDS):
        for name, (write, read) in coders.items():
            begun = time.process_time()
            for _ in range(CODINGS):
                read(write(JOB))
                read(write(RESULT))
            made[name].append((time.process_time() - begun) / CODINGS * 1e6)
    return made


# --- opening a file -------------------------------------------------------------------------------


def _open(path: str) -> None:
    """What the store does: open it, look at it, ask the kernel which file it is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    os.fstat(descriptor)
    os.readlink(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)


async def openings() -> dict[str, dict[str, list[float]]]:
    """Way -> CPU and wall -> us for one opening, of each round."""
    loop = asyncio.get_running_loop()
    made: dict[str, dict[str, list[float]]] = {
        way: {"cpu": [], "wall": []} for way in ("in the loop", "run_in_executor")
    }
    with tempfile.NamedTemporaryFile() as file:
        for turn in range(ROUNDS + 1):
            for way, times in made.items():
                cpu, wall = time.process_time(), time.perf_counter()
                for _ in range(OPENINGS):
                    if way == "in the loop":
                        _open(file.name)
                    else:
                        await loop.run_in_executor(None, _open, file.name)
                if turn:
                    times["cpu"].append((time.process_time() - cpu) / OPENINGS * 1e6)
                    times["wall"].append((time.perf_counter() - wall) / OPENINGS * 1e6)
    return made


# --- the whole way --------------------------------------------------------------------------------


class Fill:
    """A worker whose work is to hand back so many bytes."""

    def __init__(self) -> None:
        self.body = os.urandom(max(SIZES.values()))

    def tasks(self, batch: protocol.Batch) -> Sequence[protocol.Job]:
        return batch.jobs

    def do(self, task: protocol.Job) -> protocol.Output:
        size = int(task.process)
        memory = os.memfd_create("result", os.MFD_CLOEXEC)
        os.write(memory, self.body[:size])
        return protocol.Output("image/jpeg", size, memory, 0.0)


def child() -> None:
    """A worker process like ours, sandbox and all."""
    connection, control = socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    fill = Fill()
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    sandbox.enter(worker.readable(), parent=json.loads(sys.argv[4])["parent"])
    ready = {"ready": "0", "sandbox": ""}
    worker.serve(connection, control, statm, fill, Interrupt(), ready)


SIDES = ("front", "renderer", "both", "bytes")


def _bytes_alone(size: int) -> float:
    """ms of CPU to make a memfd and fill it, which is the encoder's share of any hand-over."""
    body = os.urandom(size)
    begun = time.process_time()
    for _ in range(PICTURES):
        memory = os.memfd_create("result", os.MFD_CLOEXEC)
        os.write(memory, body)
        os.close(memory)
    return (time.process_time() - begun) / PICTURES * 1e3


async def whole() -> dict[str, dict[str, list[float]]]:
    """Size -> :data:`SIDES` -> ms of CPU for a picture, of each round."""
    pool = Renderers(
        count=2,
        queue=CALLERS,
        queue_seconds=5.0,
        timeout=60,
        ceiling=1 << 30,
        job_memory=1 << 30,
        memory=1 << 30,
        settings={},
        command=(sys.executable, __file__, "--child"),
    )
    await pool.start()
    source = os.memfd_create("source", os.MFD_CLOEXEC)
    made: dict[str, dict[str, list[float]]] = {}

    async def caller(size: int) -> None:
        for _ in range(PICTURES // CALLERS):
            result = await pool.render(protocol.Job("render", str(size), source))
            if size <= derivatives.MAX_AT_ONCE:
                os.pread(result.descriptor, size, 0)
            result.close()

    def spent() -> tuple[float, float]:
        return time.process_time(), sum(map(report.cpu_seconds, pool.pids()))

    for name, size in SIZES.items():
        made[name] = {side: [] for side in SIDES}
        for turn in range(ROUNDS + 1):
            front, back = spent()
            await asyncio.gather(*(caller(size) for _ in range(CALLERS)))
            front, back = (b - a for a, b in zip((front, back), spent(), strict=True))
            if turn:
                pictures = PICTURES // CALLERS * CALLERS
                for side, cpu in (("front", front), ("renderer", back), ("both", front + back)):
                    made[name][side].append(cpu / pictures * 1e3)
                made[name]["bytes"].append(_bytes_alone(size))
    await pool.close()
    os.close(source)
    return made


# --- the report -----------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    by_way = ways()
    by_coding = encodings()
    by_opening = uvloop.run(openings())
    by_size = uvloop.run(whole())
    print(
        report.table(
            "One result, by the way it travels: ms of CPU, both sides",
            ["result", *WAYS],
            [
                [size, *(report.cell(runs, 3) if runs else "does not fit" for runs in row.values())]
                for size, row in by_way.items()
            ],
        )
    )
    print(
        report.table(
            "One job and one result, written and read: us of CPU",
            ["encoding", "us"],
            [[name, report.cell(runs, 1)] for name, runs in by_coding.items()],
        )
    )
    print(
        report.table(
            "Open a file, look at it, ask for its real name, close it: us",
            ["where", "CPU", "wall"],
            [
                [way, report.cell(times["cpu"], 1), report.cell(times["wall"], 1)]
                for way, times in by_opening.items()
            ],
        )
    )
    print(
        report.table(
            f"The whole way, Renderers.render and {CALLERS} callers: ms of CPU (below {BOUND})",
            ["result", "front", "renderer", "both", "of it, writing the bytes"],
            [
                [size, *(report.cell(row[side], 3) for side in SIDES)]
                for size, row in by_size.items()
            ],
        )
    )
    if asked.chart:
        chart.bars(
            asked.chart,
            "To hand a picture over from a renderer to the front",
            "ms of CPU for one picture",
            list(by_size),
            {
                "front": [row["front"] for row in by_size.values()],
                "renderer": [row["renderer"] for row in by_size.values()],
                "of it, writing the bytes": [row["bytes"] for row in by_size.values()],
            },
            f"Aim: below {BOUND} ms, both together",
        )
    report.write(
        asked.json, {"way": by_way, "encoding": by_coding, "opening": by_opening, "whole": by_size}
    )


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
