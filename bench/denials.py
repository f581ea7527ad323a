"""What does a refusal cost? CPU of the front for one, whatever the reason; the aim is below 1 ms.

Nothing of an object is read for a refusal, so it costs what HTTP, the signature and the XML cost.
Every kind is asked for alone, by 8 connections, and held against a hit that is known by its ETag.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import chart
import load
import report

from vipsgate.gate import sign

AIM = 1.0  # ms of CPU
SECONDS = 2
CONFIG = """
[[credentials]]
access_key_id = "key"
access_key_secret = "secret"
[buckets.shut]
[buckets.guarded]
acl = "public-read"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg"]
[buckets.linked]
acl = "public-read"
[buckets.linked.referer]
allow_empty = false
whitelist = ["http://www.example.com"]
"""
KEY = sign.Credential("key", "secret")
WRONG = sign.Credential("key", "another")
PROCESS = "image/resize,w_400/rotate,90"


def signed(by: sign.Credential, version: int, now: float) -> Callable[[int], str]:
    """Paths with a signature each."""

    def path(number: int) -> str:
        url = sign.sign_url(
            by,
            "shut",
            f"{number}.jpg",
            now=now,
            process=PROCESS,
            version=version,
            region="cn-hangzhou",
            endpoint="http://x",
        )
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    return path


def kinds() -> dict[str, tuple[Callable[[int], str], bool]]:
    """What is asked for: the path of a number, and whether it is refused."""
    now = time.time()
    return {
        "anonymous, private bucket": (lambda n: f"/shut/{n}.jpg", True),
        "anonymous, protected source": (
            lambda n: f"/guarded/{n}.jpg?x-oss-process={PROCESS}",
            True,
        ),
        "hotlink": (lambda n: f"/linked/{n}.jpg", True),
        "V1 URL, wrong secret": (signed(WRONG, 1, now), True),
        "V4 URL, wrong secret": (signed(WRONG, 4, now), True),
        "V1 URL, expired": (signed(KEY, 1, now - 86400), True),
        "no such object, signed V4": (signed(KEY, 4, now), True),
        "bad process text": (lambda n: f"/guarded/{n}.png?x-oss-process=image/resize,w_{n}x", True),
        "no such bucket": (lambda n: f"/none/{n}.jpg", True),
        "for comparison: a small object": (lambda n: "/guarded/a.txt", False),
    }


def main() -> None:
    """Ask, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of every kind")
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "root" / "guarded").mkdir(parents=True)
        (root / "root" / "guarded" / "a.txt").write_text("hello\n")
        (root / "vipsgate.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "vipsgate", "serve", str(root / "root")]
        command += ["--config", str(root / "vipsgate.toml"), "--port", "0", "--admin-port", "0"]
        server = subprocess.Popen([*command, "--renderers", "1"], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[3]
            found = {name: [] for name in kinds()}
            for _ in range(options.runs):
                for name, (path, refused) in kinds().items():
                    before = report.cpu_seconds(server.pid)
                    ours = load.load(address, [path(n) for n in range(64)], SECONDS)
                    spent = report.cpu_seconds(server.pid) - before
                    assert ours.failed == (ours.requests if refused else 0), name
                    found[name].append(spent / ours.requests * 1e3)
        finally:
            server.terminate()
            server.wait()
    rows = [
        [name, report.cell(runs, 3), "yes" if max(runs) < AIM else "NO"]
        for name, runs in found.items()
    ]
    print(report.table("One answer: ms of CPU of the front", ["answer", "ms", "below 1 ms"], rows))
    if options.chart:
        chart.bars(
            options.chart,
            "What a refusal costs",
            "ms of CPU of the front for one answer",
            list(found),
            {"refusal": list(found.values())},
            f"Aim: below {AIM:g} ms",
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
