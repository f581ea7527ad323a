"""What does a picture of a long video cost, by where it is taken?

A video of ten minutes, made here, with a key frame every 250 pictures, read through a descriptor as
a renderer has it. Beside the two modes of ``video/snapshot`` stands what a plain loop does that
decodes from the beginning. Every round runs all rows one after the other.

    python bench/video.py [--rounds 15] [--size 640x360] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

os.environ |= {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2"}  # as a renderer has it

import av
import chart
import report

from vipsgate.image import config, render
from vipsgate.image.video import decode
from vipsgate.image.video.snapshot import Snapshot

MINUTES, RATE, GROUP = 10, 12, 250  # pictures a second; pictures from one key frame to the next
PLACES = (10, 50, 90)  # per cent of the way
LIMITS = config.Limits()
WARMING = 1  # rounds before any is counted


@dataclass(frozen=True, slots=True)
class Run:
    """One picture.

    Attributes:
        seconds: CPU.
        decoded: Pictures.
        read: Bytes of the file.
    """

    seconds: float
    decoded: int
    read: int


def make(path: Path, width: int, height: int) -> None:
    """A gradient that moves, in H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        params = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=2"
        stream.options = {"preset": "ultrafast", "crf": "23", "x264-params": params}
        frame = av.VideoFrame(width, height, "yuv420p")
        sizes = [plane.buffer_size for plane in frame.planes]
        waves = bytes(abs(at // 3 % 511 - 255) for at in range(max(sizes) + 4096))
        for number in range(MINUTES * 60 * RATE):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane, size in zip(frame.planes, sizes, strict=True):
                at = number * 3 % 4096
                plane.update(waves[at : at + size])
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def snapshot(path: Path, t: int, mode: str) -> Run:
    """As a renderer takes it, up to the pixels."""
    count, read = 0, os.pread

    def counted(descriptor: int, size: int, at: int) -> bytes:
        nonlocal count
        found = read(descriptor, size, at)
        count += len(found)
        return found

    descriptor = os.open(path, os.O_RDONLY)
    os.pread = counted
    try:
        begun = time.process_time()
        shot = decode.take(descriptor, Snapshot(t=t, m=mode), LIMITS)
        return Run(time.process_time() - begun, shot.decoded, count)
    finally:
        os.pread = read
        os.close(descriptor)


def from_the_start(path: Path, t: int) -> Run:
    """Decode until the picture comes, with one thread."""
    begun, decoded = time.process_time(), 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        for frame in container.decode(stream):
            decoded += 1
            if frame.time * 1000 >= t:
                frame.reformat(format="rgba", threads=1)
                break
    return Run(time.process_time() - begun, decoded, 0)


def rows() -> dict[str, Callable[[Path], Run]]:
    """What is measured, by its name."""
    found: dict[str, Callable[[Path], Run]] = {}
    for place in PLACES:
        t = MINUTES * 60_000 * place // 100
        found[f"`m_fast`, {place} %"] = lambda path, t=t: snapshot(path, t, "fast")
        found[f"exact, {place} %"] = lambda path, t=t: snapshot(path, t, "")
        found[f"from the start, {place} %"] = lambda path, t=t: from_the_start(path, t)
    return found


def measure(path: Path, rounds: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in rows()}
    for number in range(WARMING + rounds):
        for name, take in rows().items():
            run = take(path)
            if number >= WARMING:
                runs[name].append(run)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--json", type=Path)
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    render.prepare()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        make(path, *map(int, options.size.split("x")))
        size = path.stat().st_size
        runs = measure(path, options.rounds)
    cells = []
    for name, found in runs.items():
        read = f"{found[0].read / size:.1%}" if found[0].read else ""
        milliseconds = [1000 * run.seconds for run in found]
        cells.append([name, report.cell(milliseconds, 1), str(found[0].decoded), read])
    title = (
        f"A picture of {MINUTES} minutes of {options.size} in H.264, {RATE} pictures a second, "
        f"{size >> 10} KB: ms of CPU"
    )
    print(report.table(title, ["where", "ms", "decoded", "of the file read"], cells))
    exact, whole = (
        statistics.median(run.seconds for run in runs[f"{how}, 90 %"])
        for how in ("exact", "from the start")
    )
    print(f"at 90 %: exact takes 1/{whole / exact:.0f} of decoding from the start")
    if options.chart:
        chart.bars(
            options.chart,
            f"A picture of {MINUTES} minutes of video, by where it is taken",
            "ms of CPU",
            [f"at {place} %" for place in PLACES],
            {
                how.strip("`"): [
                    [1000 * run.seconds for run in runs[f"{how}, {place} %"]] for place in PLACES
                ]
                for how in ("`m_fast`", "exact", "from the start")
            },
        )
    found = {name: [asdict(run) for run in all_runs] for name, all_runs in runs.items()}
    report.write(options.json, found)


if __name__ == "__main__":
    main()
