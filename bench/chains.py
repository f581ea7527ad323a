"""What does a chain of actions cost in one request, beside a request for each step?

Step by step is what a server without chains makes its users do: each step is a GET, its result is
stored as an object of the same bucket, and the next step reads that. The steps between are JPEGs of
quality 95, the last one has the quality that the one request has. Both ways take turns, without a
cache; CPU is that of the front and its renderers, wall is what one client waits for; storing is not
in the CPU. That both ways make a picture of the same size is checked.

    python bench/chains.py [--rounds 5] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chart
import gallery
import report
import server

AIM = 2.5  # times cheaper, the first two chains
BETWEEN = "quality,q_95"
WARMING = 1  # rounds before any is counted
TEXT = base64.urlsafe_b64encode(b"Hello World").decode().rstrip("=")
FIVE = ("rotate,90", "sharpen,100", f"watermark,text_{TEXT},size_30")
CHAINS = {  # the piece, and its steps
    "crop, resize, rotate, sharpen, text: 1.7 megapixels": (
        "medium",
        ("crop,w_1200,h_800,g_center", "resize,w_600", *FIVE),
    ),
    "crop, resize, rotate, sharpen, text: 12 megapixels": (
        "large",
        ("crop,w_3000,h_2250,g_center", "resize,w_800", *FIVE),
    ),
    "resize, crop, rotate": (
        "large",
        ("resize,w_1200", "crop,w_800,h_600,g_center", "rotate,90"),
    ),
    "resize three times": ("large", ("resize,w_2000", "resize,w_1000", "resize,w_400")),
    "rotate, resize, bright, contrast": (
        "medium",
        ("rotate,90", "resize,w_400", "bright,20", "contrast,10"),
    ),
}
AIMED = list(CHAINS)[:2]


class Client:
    """One connection to a server, and how it stores what it got."""

    def __init__(self, running: server.Server, root: Path) -> None:
        self._connection = http.client.HTTPConnection(running.address.removeprefix("http://"))
        self._folder = root / gallery.BUCKET
        self.pid = running.pid

    def get(self, path: str) -> bytes:
        """The body of an answer that has to be 200."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} is answered {answer.status}: {body.decode()}")
        return body

    def store(self, name: str, body: bytes) -> None:
        """Put it into the bucket's folder, whole or not at all."""
        (self._folder / f".{name}").write_bytes(body)
        (self._folder / f".{name}").rename(self._folder / name)

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of an object."""
        told = json.loads(self.get(f"/{gallery.BUCKET}/{name}?x-oss-process=image/info"))
        return int(told["ImageWidth"]["value"]), int(told["ImageHeight"]["value"])


def fused(client: Client, piece: str, steps: tuple[str, ...]) -> bytes:
    """All in one request."""
    return client.get(gallery.path(piece, 0, "/".join(steps)))


def stepwise(client: Client, piece: str, steps: tuple[str, ...]) -> bytes:
    """Each in a request of its own, from what the last one has made."""
    path = gallery.path(piece, 0, "/".join((steps[0], BETWEEN)))
    for number, step in enumerate(steps[1:], 1):
        client.store(f"step-{number}.jpg", client.get(path))
        wanted = step if number == len(steps) - 1 else f"{step}/{BETWEEN}"
        path = f"/{gallery.BUCKET}/step-{number}.jpg?x-oss-process=image/{wanted}"
    return client.get(path)


WAYS: dict[str, Callable[[Client, str, tuple[str, ...]], bytes]] = {
    "one request": fused,
    "step by step": stepwise,
}


def run(client: Client, way: str, chain: str) -> dict[str, float]:
    """ms of CPU and of waiting for one picture."""
    before, begun = server.cpu(client.pid), time.perf_counter()
    WAYS[way](client, *CHAINS[chain])
    wall = time.perf_counter() - begun
    spent = server.cpu_since(before, server.cpu(client.pid))
    return {"cpu": spent * 1e3, "wall": wall * 1e3}


def check(client: Client, chain: str) -> None:
    """Do both ways make a picture of one size?"""
    sizes = []
    for way, make in WAYS.items():
        name = f"{way.replace(' ', '-')}.jpg"
        client.store(name, make(client, *CHAINS[chain]))
        sizes.append(client.size(name))
    if len(set(sizes)) > 1:
        raise SystemExit(f"{chain}: one request makes {sizes[0]}, step by step {sizes[1]}")


def measure(root: Path, rounds: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Chain -> way -> runs."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with server.Server(root, ["--no-cache", "--renderers", "1"]) as running:
        client = Client(running, root)
        for chain in CHAINS:
            check(client, chain)
            found[chain] = {way: [] for way in WAYS}
        for number in range(WARMING + rounds):
            for chain, runs in found.items():
                for way in WAYS:
                    one = run(client, way, chain)
                    if number >= WARMING:
                        runs[way].append(one)
    return found


def ratios(runs: dict[str, list[dict[str, float]]], what: str) -> list[float]:
    """Step by step over one request, of each round."""
    both = zip(runs["step by step"], runs["one request"], strict=True)
    return [steps[what] / one[what] for steps, one in both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        gallery.make(root, {piece: 1 for piece, _ in CHAINS.values()})
        found = measure(root, asked.rounds)
    rows = []
    for chain, runs in found.items():
        cpu = ratios(runs, "cpu")
        aimed = chain in AIMED
        reached = ("yes" if statistics.median(cpu) >= AIM else "NO") if aimed else ""
        rows.append(
            [
                chain,
                *(report.cell([run["cpu"] for run in runs[way]], 1) for way in WAYS),
                report.cell(cpu),
                report.cell(ratios(runs, "wall")),
                f"{AIM}" if aimed else "",
                reached,
            ]
        )
    head = ["chain", *(f"{way}, ms" for way in WAYS), "times CPU", "times wall", "aim", "reached"]
    title = "A chain in one request, and step by step: CPU of front and renderer"
    print(report.table(title, head, rows))
    if asked.chart:
        chart.bars(
            asked.chart,
            "A chain in one request, and a request for each of its steps",
            "ms of CPU of the server for one picture",
            [chain.replace(": ", ",\n") for chain in found],
            {way: [[run["cpu"] for run in runs[way]] for runs in found.values()] for way in WAYS},
            f"Aim for the five steps: {AIM} times cheaper in one request",
        )
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
