"""What do smaller pictures of a large source cost over a kept master, and how good are they?

A worker's own code does the jobs, one at a time in a child process, each with the reading of the
source and of its master, and with what a front does to keep that. ``today`` is without masters,
``first`` makes the master on its way, ``next`` is given it. The widths are asked for one after the
other, each once; the last row of a source is their sum, beside the largest alone. Then the likeness
of the results (SSIMULACRA2, see ``likeness.py``) of photographs as every kind of source, most of
them too small for a master, which are given one all the same; and what other forms of a master
would take.

    python bench/masters.py [--rounds 5] [--source NAME] [--only cost,likeness,forms]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pictures
import report

from vipsgate.worker.main import ENVIRONMENT

if TYPE_CHECKING:
    from PIL import Image

SOURCES = {  # name -> width, height, suffix with libvips' options
    "24 MP JPEG": (6000, 4000, "jpg[Q=90,keep=none]"),
    "24 MP JPEG, progressive": (6000, 4000, "jpg[Q=90,interlace,keep=none]"),
    "12 MP JPEG": (4000, 3000, "jpg[Q=90,keep=none]"),
    "24 MP PNG": (6000, 4000, "png[compression=3,keep=none]"),
    "12 MP PNG": (4000, 3000, "png[compression=3,keep=none]"),
    "24 MP WebP": (6000, 4000, "webp[Q=85,effort=2,keep=none]"),
    "12 MP WebP": (4000, 3000, "webp[Q=85,effort=2,keep=none]"),
    "12 MP AVIF": (4000, 3000, "avif[Q=60,effort=0,keep=none]"),
    "12 MP TIFF": (4000, 3000, "tiff[compression=lzw,predictor=horizontal,keep=none]"),
}
LARGEST = "24 MP JPEG"
WIDTHS = (1280, 960, 800, 640, 480, 320)
FIVE = (1280, 960, 640, 480, 320)  # of a srcset, the largest first
TARGET = 800  # of the aims
NEXT, FIRST, ALL, LIKE = 0.2, 1.15, 1.4, 0.5  # aims
PHOTOGRAPHS = (
    *("photo-2725x2225.jpg", "flowers.jpeg", "photo-1024x772.webp", "Landscape_6.jpg"),
    *("Portrait_8.jpg", "cmyk.jpg", "alpha-2048x1536.png", "f.jpg", "example.jpg"),
)
KINDS: dict[str, dict[str, Any]] = {  # suffix of what they are converted to -> how, by Pillow
    "jpg": {"quality": 95},
    "webp": {"quality": 95},
    "png": {},
    "tiff": {},
    "bmp": {},
    "avif": {"quality": 90},
    "heic": {"quality": 90},
}
FACTORS = (4.1, 5.0, 6.0, 7.0, 9.0, 12.5)
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

    def run(self, source: Path, process: str, way: str) -> dict[str, Any]:
        """Do a job, as ``today``, ``first`` or ``next``; the file is left beside the source.

        Returns:
            ``cpu`` in seconds, whether a master was ``made`` and its ``kept`` bytes.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(source), process, way]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


async def serve(on: bool, least: int | None) -> None:
    """Be the child."""
    from vipsgate.cache.entry import CacheKey
    from vipsgate.cache.masters import Masters
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
    folder = Path(tempfile.mkdtemp())
    kept = Masters(folder / "masters", 1 << 30)
    for line in sys.stdin:  # nothing else is to be done meanwhile
        source, process, way = json.loads(line)
        cache_key = CacheKey("bench", source, "0" * 32)
        if way == "first":
            await kept.purge("bench", source)
        descriptor = os.open(source, os.O_RDONLY)
        begun = time.process_time()
        master = kept.open(cache_key) if way == "next" else None
        blank = kept.blank() if way == "first" else None
        job = Job("render", process, descriptor, master=master, blank=blank)
        output = worker.do(worker.tasks(Batch(1, (job,)))[0])
        assert isinstance(output, Output)
        for one in (*(blank or ()), *(() if master is None else (master,))):
            os.close(one)
        made = output.master >= 0
        if made:
            kept.keep(cache_key, output.master)
        cpu = time.process_time() - begun
        Path(source + ".result").write_bytes(os.pread(output.descriptor, output.size, 0))
        os.close(output.descriptor)
        os.close(descriptor)
        there = None if way == "today" else kept.open(cache_key)
        size = 0
        if there is not None:
            size = os.fstat(there).st_size
            os.close(there)
        print(json.dumps({"cpu": cpu, "made": made, "kept": size}), flush=True)
    shutil.rmtree(folder)


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
    for name, path in sources.items():
        rows: dict[int, dict[str, list[float]]] = {
            width: {"today": [], "first": [], "next": []} for width in WIDTHS
        }
        kept = 0
        for turn in range(rounds + 1):
            for width in WIDTHS:
                process = f"image/resize,w_{width}/format,jpg"
                run = today.run(path, process, "today")
                first = over.run(path, process, "first")
                follows = over.run(path, process, "next") if first["made"] else first
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


def likenesses(folder: Path, found: dict[str, Any]) -> list[list[str]]:
    """A row for each kind of source: SSIMULACRA2 of the JPEG over a master, beside today's."""
    import likeness
    from PIL import Image
    from pillow_heif import register_heif_opener

    register_heif_opener()
    today, over = Child(masters=False), Child(masters=True, least=0)
    rows = []
    for kind, options in KINDS.items():
        runs = found[kind] = []
        for name in PHOTOGRAPHS:
            source = folder / f"{name}.{kind}"
            picture = photograph(name, alpha=kind in ("png", "webp"))
            picture.save(source, **options)
            for factor in FACTORS:
                if min(picture.size) / factor < LEAST:
                    continue
                process = f"image/resize,w_{round(picture.width / factor)}/format,jpg"
                scores, made = [], False
                for child, way in ((today, "today"), (over, "first")):
                    made = child.run(source, process, way)["made"]
                    data = Path(f"{source}.result").read_bytes()
                    with Image.open(f"{source}.result") as result:
                        best = likeness.reference(source, *result.size)
                    scores.append(likeness.score(best, data))
                runs.append({"name": name, "factor": factor, "made": made, "scores": scores})
        for factor in FACTORS:
            of_it = [run for run in runs if run["factor"] == factor and run["made"]]
            if not of_it:
                continue
            by = [run["scores"][1] - run["scores"][0] for run in of_it]
            low, high = min(by), max(by)
            rows.append(
                [
                    kind,
                    f"1/{factor:g}",
                    f"{len(by)}",
                    f"{statistics.mean(run['scores'][0] for run in of_it):.2f}",
                    f"{statistics.mean(by):+.2f}",
                    f"{low:+.2f} {of_it[by.index(low)]['name']}",
                    f"{high:+.2f}",
                ]
            )
    today.close()
    over.close()
    return rows


def photograph(name: str, *, alpha: bool) -> Image.Image:
    """A photograph of the data, upright, in sRGB or with alpha if it has it."""
    import likeness
    from PIL import Image, ImageOps

    with Image.open(pictures.DATA / name) as opened:
        picture = ImageOps.exif_transpose(opened)
    return picture if alpha and picture.mode == "RGBA" else likeness.srgb(picture)


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
            head = ["source", "reduced to", "pictures", "today", "over a master", "worst", "best"]
            title = f"SSIMULACRA2 of the JPEG over a master, beside today's; aim: -{LIKE}"
            print(report.table(title, head, likenesses(folder, found.setdefault("likeness", {}))))
        if "forms" in only:
            head = ["form", "MB", "to write, ms", "to read, ms"]
            print(
                report.table("The master of 24 MP, 3000x2000, in other forms", head, forms(folder))
            )
    report.write(asked.json, found)


if __name__ == "__main__":
    if "--child" in sys.argv:
        asyncio.run(serve(*json.loads(sys.argv[2])))
    else:
        main()
