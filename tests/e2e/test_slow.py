"""Clients that send a byte now and then, or ask without end: they are cut, and cost nobody else."""

import contextlib
import re
import select
import time
from pathlib import Path

import pytest

CONFIG = '[buckets.examplebucket]\nacl = "public-read-write"\n'
CLIENTS = 20
PATIENCE_S = 20  # for what takes about a second
FLOOD = 20_000  # requests that a client sends without reading


@pytest.fixture(scope="module")
def site(serving, root, tmp_path_factory):
    config = tmp_path_factory.mktemp("slow") / "vipsgate.toml"
    config.write_text(CONFIG)
    env = {"VIPSGATE_SERVER__BODY_SECONDS": "0.3"}
    with serving(root, "--config", str(config), env=env) as running:
        yield running


def resident(pid):
    """MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


@pytest.mark.parametrize(
    "body",
    [("Content-Length: 1000000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
    ids=["length", "chunked"],
)
def test_bodies_that_drip_are_cut(site, body):
    header, drop = body
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(site.socket()) for _ in range(CLIENTS)]
        for number, line in enumerate(lines):
            line.sendall(
                f"PUT /examplebucket/drip-{number}.jpg HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n"
                "".encode()
            )
        answers, end = {}, time.monotonic() + PATIENCE_S
        while len(answers) < CLIENTS:
            assert time.monotonic() < end
            for line in set(lines) - set(answers):
                with contextlib.suppress(OSError):
                    line.sendall(drop)
            for line in select.select(list(set(lines) - set(answers)), [], [], 0.1)[0]:
                with contextlib.suppress(ConnectionResetError):
                    answers[line] = b"".join(iter(lambda line=line: line.recv(4096), b""))
    for answer in answers.values():
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"<Code>RequestTimeout</Code>" in answer
        assert b"connection: close" in answer.lower()
    assert site.get("drip-0.jpg").status == 404
    assert site.get("example.jpg", "image/resize,w_40").status == 200


def test_who_asks_without_end_and_reads_nothing_takes_little_memory(site):
    request = b"GET /examplebucket/none.jpg HTTP/1.1\r\nHost: a\r\n\r\n" * FLOOD
    before = resident(site.process.pid)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(site.socket()) for _ in range(2 * CLIENTS)]
        sent = dict.fromkeys(lines, 0)
        for line in lines:
            line.setblocking(False)
        idle = time.monotonic()
        while time.monotonic() - idle < 1:  # until nobody takes any more
            for line in lines:
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    if more := line.send(request[sent[line] :]):
                        sent[line] += more
                        idle = time.monotonic()
            time.sleep(0.01)
        grown = resident(site.process.pid) - before
        assert site.get("example.jpg", "image/resize,w_41").status == 200
    assert grown / len(lines) < 0.5  # MB; the kernel holds what is not read
