"""What do smaller pictures of a large source cost over a kept master, and how good are they?

A worker's own code does the jobs, one at a time in a child process without a front, each with the
reading of the source and of its master. ``today`` is without masters, ``first`` makes the master on
its way and hands it back, ``next`` is given it. The widths are asked for one after the other, each
once; the last row of a source is their sum, beside the largest alone. Then the likeness of the
results (SSIMULACRA2, see ``likeness.py``) of ten photographs, most of them too small for a master,
which are given one all the same; and what other forms of a master would take.

    python bench/masters.py [--rounds 5] [--source NAME] [--only cost,likeness,forms]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pictures
import report

from vipsgate.worker.main import ENVIRONMENT

SOURCES = {  # name -> width, height, suffix with libvips' options
    "24 MP JPEG": (6000, 4000, "jpg[Q=90,keep=none]"),
    "24 MP JPEG, progressive": (6000, 4000, "jpg[Q=90,interlace,keep=none]"),
    "12 MP JPEG": (4000, 3000, "jpg[Q=90,keep=none]"),
    "12 MP PNG": (4000, 3000, "png[compression=3,keep=none]"),
    "12 MP WebP": (4000, 3000, "webp[Q=85,effort=2,keep=none]"),
}
LARGEST = "24 MP JPEG"
WIDTHS = (1280, 960, 800, 640, 480, 320)
FIVE = (1280, 960, 640, 480, 320)  # of a srcset, the largest first
TARGET = 800  # of the aims
NEXT, FIRST, ALL, LIKE = 0.2, 1.15, 1.4, 0.5  # aims
PHOTOGRAPHS = (
    *("photo-2725x2225.jpg", "flowers.jpeg", "photo-1024x772.webp", "Landscape_6.jpg"),
    *("Portrait_8.jpg", "cmyk.jpg", "alpha-2048x1536.png", "f.jpg", "example.jpg"),
    *("photo-2725x2225.png", "Landscape_6.png", "photo-2725x2225.webp"),  # of the JPEG
)
FACTORS = (4.5, 7.0, 12.5)
LEAST = 64  # pixels of a result's shorter side


class Child:
    """A process that does a worker's jobs.

    Args:
        masters: Setting ``image.masters``.
        least: Pixels of a source that has a master; ``None`` for as it is.
    """

    def __init__(self, *, masters: bool, least: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--child", json.dumps([masters, least])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )

    def run(self, source: Path, process: str, master: Path | None = None) -> dict[str, Any]:
        """Do a job; a master that it makes is written to ``master``, and taken from there.

        Returns:
            ``cpu`` in seconds, whether a master was ``made`` and its ``kept`` bytes.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(source), process, master and str(master)]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def serve(on: bool, least: int | None) -> None:
    """Be the child."""
    from vipsgate.image import masters
    from vipsgate.image.config import Limits, Rendering
    from vipsgate.image.fonts import Fonts
    from vipsgate.worker.interrupt import Interrupt
    from vipsgate.worker.jobs import Worker
    from vipsgate.worker.protocol import Batch, Job, Output

    if least is not None:
        masters.PIXELS = least
    worker = Worker(
        Limits(source_bytes=1 << 30), Rendering(jpeg_quality=80, masters=on), Fonts(), Interrupt()
    )
    for line in sys.stdin:
        source, process, kept = json.loads(line)
        descriptor = os.open(source, os.O_RDONLY)
        there = bool(kept) and os.path.exists(kept)
        master = os.open(kept, os.O_RDONLY) if there else None
        begun = time.process_time()
        job = Job("render", process, descriptor, master=master, keep=bool(kept))
        output = worker.do(worker.tasks(Batch(1, (job,)))[0])
        cpu = time.process_time() - begun
        assert isinstance(output, Output)
        made = output.master >= 0
        if made:
            size = os.fstat(output.master).st_size
            Path(kept).write_bytes(os.pread(output.master, size, 0))
        Path(source + ".result").write_bytes(os.pread(output.descriptor, output.size, 0))
        for one in (descriptor, *output.descriptors, *(() if master is None else (master,))):
            os.close(one)
        size = os.path.getsize(kept) if kept and os.path.exists(kept) else 0
        print(json.dumps({"cpu": cpu, "made": made, "kept": size}), flush=True)


def make(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The large sources, made in a child."""
    code = (
        "import sys, json, pictures\n"
        "for path, width, height, options in json.loads(sys.argv[1]):\n"
        "    pictures.painted('land.mountains', width, height).write_to_file(path + options)\n"
    )
    paths, jobs = {}, []
    for name in names:
        width, height, suffix = SOURCES[name]
        ending, bracket, options = suffix.partition("[")
        paths[name] = folder / f"{name.replace(' ', '-').replace(',', '')}.{ending}"
        jobs.append([str(paths[name]), width, height, bracket + options])
    here = Path(__file__).parent
    subprocess.run([sys.executable, "-c", code, json.dumps(jobs)], check=True, cwd=here)
    return paths


def costs(folder: Path, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Source -> width -> ms of CPU of all runs: today, first, next; and bytes of the master."""
    sources = make(folder, names)
    today, over = Child(masters=False), Child(masters=True)
    found: dict[str, Any] = {}
    master = folder / "master"
    for name, path in sources.items():
        rows: dict[int, dict[str, list[float]]] = {
            width: {"today": [], "first": [], "next": []} for width in WIDTHS
        }
        kept = 0
        for turn in range(rounds + 1):
            for width in WIDTHS:
                process = f"image/resize,w_{width}/format,jpg"
                run = today.run(path, process)
                master.unlink(missing_ok=True)
                first = over.run(path, process, master)
                follows = over.run(path, process, master) if first["made"] else first
                kept = max(kept, follows["kept"])
                if turn:  # the first round warms
                    for what, one in (("today", run), ("first", first), ("next", follows)):
                        rows[width][what].append(one["cpu"] * 1e3)
        found[name] = {"source": path.stat().st_size, "master": kept, "widths": rows}
    today.close()
    over.close()
    return found


def cost_rows(found: dict[str, Any]) -> list[list[str]]:
    """The table: a row for each width, and one for five."""
    rows = []
    for name, source in found.items():
        widths = source["widths"]
        for width in WIDTHS:
            runs = widths[width]
            base, first, follows = (
                statistics.median(runs[what]) for what in ("today", "first", "next")
            )
            rows.append(
                [
                    f"{name}, {source['source'] / 1e6:.1f} MB; master {source['master'] / 1e6:.1f}",
                    f"{width}",
                    *(report.cell(runs[what], 1) for what in ("today", "first", "next")),
                    f"{first / base:.2f}",
                    f"{follows / base:.2f}",
                ]
            )
        alone = statistics.median(widths[FIVE[0]]["first"])
        before = sum(statistics.median(widths[width]["today"]) for width in FIVE)
        led = [w for w in FIVE if widths[w]["next"] != widths[w]["first"]]
        total = sum(statistics.median(widths[w]["next" if w in led[1:] else "first"]) for w in FIVE)
        rows.append(
            [
                name,
                f"five, {FIVE[0]} first",
                f"{before:.1f}",
                f"{total:.1f}",
                f"{total / alone:.2f} times {FIVE[0]} alone",
                f"{total / before:.2f}",
                "",
            ]
        )
    return rows


def likenesses(folder: Path) -> list[list[str]]:
    """A row for each photograph and factor: SSIMULACRA2 of the JPEG today and over a master."""
    import likeness
    from PIL import Image, ImageOps

    today, over = Child(masters=False), Child(masters=True, least=0)
    rows, master, worst, means = [], folder / "master", 100.0, []
    for name in PHOTOGRAPHS:
        source = folder / name
        if (pictures.DATA / name).is_file():
            source.write_bytes((pictures.DATA / name).read_bytes())
        else:  # in another format
            with Image.open((pictures.DATA / name).with_suffix(".jpg")) as picture:
                ImageOps.exif_transpose(picture).save(source, quality=95)
        with Image.open(source) as picture:
            width, height = ImageOps.exif_transpose(picture).size
        for factor in FACTORS:
            if min(width, height) / factor < LEAST:
                continue
            process = f"image/auto-orient,1/resize,w_{round(width / factor)}/format,jpg"
            scores = []
            for child in (today, over):
                master.unlink(missing_ok=True)
                run = child.run(source, process, master if child is over else None)
                data = Path(f"{source}.result").read_bytes()
                with Image.open(f"{source}.result") as picture:
                    best = likeness.reference(source, *picture.size)
                scores.append(likeness.score(best, data))
            difference = scores[1] - scores[0]
            worst = min(worst, difference)
            means.append(difference)
            rows.append(
                [
                    f"{name}, {width}x{height}",
                    f"1/{factor:g}",
                    *(f"{score:.2f}" for score in scores),
                    f"{difference:+.2f}",
                    "yes" if run["made"] else "no",
                ]
            )
    rows.append(["all", "", "", f"mean {statistics.mean(means):+.2f}", f"worst {worst:+.2f}", ""])
    today.close()
    over.close()
    return rows


def forms(folder: Path) -> list[list[str]]:
    """A row for each form in which the master of the first source could be kept."""
    code = (
        "import json, sys, time, pyvips\n"
        "pyvips.cache_set_max(0)\n"
        "def cpu(work):\n"
        "    begun = time.process_time(); made = work()\n"
        "    return (time.process_time() - begun) * 1e3, made\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "load = lambda: pyvips.Image.jpegload_buffer(data, shrink=2).copy_memory()\n"
        "spent, image = min((cpu(load) for _ in range(3)), key=lambda one: one[0])\n"
        "rows = [['decoded from the source', len(data), 0, spent]]\n"
        "spent, raw = cpu(image.write_to_memory)\n"
        "import os\n"
        "file = os.memfd_create('raw')\n"
        "wrote, _ = min(cpu(lambda: os.pwrite(file, raw, 0)) for _ in range(3))\n"
        "took, _ = min(cpu(lambda: len(os.pread(file, len(raw), 0))) for _ in range(3))\n"
        "rows.append(['raw', len(raw), wrote, took])\n"
        "for name, save in json.loads(sys.argv[2]).items():\n"
        "    wrote, made = cpu(lambda: image.write_to_buffer(save))\n"
        "    load = lambda: pyvips.Image.new_from_buffer(made, '').copy_memory()\n"
        "    took = min(cpu(load)[0] for _ in range(3))\n"
        "    rows.append([name, len(made), wrote, took])\n"
        "print(json.dumps(rows))\n"
    )
    saves = {
        "JPEG, quality 95, 4:4:4": ".jpg[Q=95,subsample_mode=off,keep=none]",
        "WebP, quality 95": ".webp[Q=95,effort=0,keep=none]",
        "PNG, level 1": ".png[compression=1,filter=up,keep=none]",
        "WebP without loss": ".webp[lossless,effort=0,keep=none]",
    }
    source = make(folder, [LARGEST])[LARGEST]
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), json.dumps(saves)],
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
    )
    return [
        [name, f"{size / 1e6:.1f}", f"{wrote:.1f}", f"{took:.1f}"]
        for name, size, wrote, took in json.loads(done.stdout)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", action="append", help="one of the large sources; default: all")
    parser.add_argument("--only", default="cost,likeness,forms", help="which tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    asked = parser.parse_args()
    only = asked.only.split(",")
    found: dict[str, Any] = {}
    sources = asked.source or list(SOURCES)
    print(report.heading())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "cost" in only:
            found = costs(folder, sources, asked.rounds)
            head = ["source", "width", "today, ms", "first, ms", "next, ms", "first", "next"]
            print(report.table("CPU of a picture, beside today's", head, cost_rows(found)))
            aimed = found[sources[0]]["widths"][TARGET]
            base, first, follows = (
                statistics.median(aimed[what]) for what in ("today", "first", "next")
            )
            print(
                f"{sources[0]} to {TARGET}: first {first / base:.2f}, aim {FIRST}; "
                f"next {follows / base:.2f}, aim {NEXT}\n"
            )
        if "likeness" in only:
            head = ["photograph", "reduction", "today", "over a master", "difference", "master"]
            title = f"SSIMULACRA2 of the JPEG, aim: {LIKE} at most below today's"
            print(report.table(title, head, likenesses(folder)))
        if "forms" in only:
            head = ["form", "MB", "to write, ms", "to read, ms"]
            print(
                report.table("The master of 24 MP, 3000x2000, in other forms", head, forms(folder))
            )
    report.write(asked.json, found)


if __name__ == "__main__":
    if "--child" in sys.argv:
        serve(*json.loads(sys.argv[2]))
    else:
        main()
