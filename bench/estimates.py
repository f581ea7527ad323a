"""How much memory does each kind of picture take, beside what its plan foresees?

Each case in a new renderer's process, with the limits lifted: the peak of its resident memory above
what it held while idle, and the plan's estimate, by which the server admits. An estimate below the
peak is a fault, and the exit status is 1 then. The tables are what the constants beside the codecs
come from; ``--only`` takes the cases whose line contains a text.

    python bench/estimates.py [--only TEXT] [--quick] [--workers 2] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chart
import kinds
import report
from pipeline import Pipeline

REDUCED, WHOLE, CORNER = "resize,w_400/format,jpg", "format,jpg", "crop,w_64,h_64,g_se/format,png"
SIZES = {"1": "1000x1000", "4": "2000x2000", "12": "4000x3000", "17": "4096x4096"}
QUICK = 5_000_000  # pixels of a source, up to which a case is quick


@dataclass(frozen=True, slots=True)
class Case:
    """A picture and what is made of it.

    Attributes:
        source: In the words of :mod:`kinds`.
        process: Without ``image/``.
    """

    source: str
    process: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.process}"

    @property
    def quick(self) -> bool:
        picture = kinds.read(self.source)[1]
        return picture.width * picture.height * picture.frames <= QUICK


# --- what is read: kind -> the largest of it that the limits admit, or nearly

LARGEST = {
    "jpg": "25000x10000",
    "jpg progressive": "12000x10000",
    "jpg progressive cmyk": "8000x6000",
    "jpg apart": "12000x8000",
    "png": "25000x10000",
    "png alpha": "25000x10000",
    "png 16bit": "12000x10000",
    "png interlaced": "12000x10000",
    "png interlaced alpha": "12000x8000",
    "png interlaced 16bit": "9000x8000",
    "webp": "8000x6000",
    "webp alpha": "8000x6000",
    "webp lossless": "8000x6000",
    "webp lossless alpha": "8000x6000",
    "gif": "8000x6000",
    "gif alpha": "8000x6000",
    "gif interlaced": "8000x6000",
    "tiff": "16384x15000",
    "tiff tiles": "16384x15000",
    "tiff tiles large": "16384x8192",
    "tiff one strip": "12000x10000",
    "tiff planar one strip": "12000x10000",
    "bmp": "6000x5000",
    "bmp alpha": "6000x5000",
    "bmp palette": "6000x5000",
    "bmp 1bit": "6000x5000",
    "bmp runs": "6000x5000",
    "avif": "6000x5000",
    "avif alpha": "6000x5000",
    "avif 12bit": "6000x5000",
    "heic": "8000x6000",
    "heic alpha": "8000x6000",
    "heic 10bit alpha": "6000x5000",
    "heic grid": "8000x6000",
}
SLOW = ("heic 10bit", "avif 10bit", "avif 12bit")  # to be made, so no more than 4 megapixels


def inputs() -> Iterator[Case]:
    """Every kind: small, as a photograph, of noise, as large as it may be, very long or wide."""
    for kind in kinds.KINDS:
        large = SIZES["4" if any(word in kind for word in SLOW) else "12"]
        yield Case(f"{kind} photo {SIZES['1']}", WHOLE)
        yield Case(f"{kind} photo {large}", REDUCED)
        yield Case(f"{kind} noise {large}", WHOLE)
        if kind in LARGEST:
            for process in (REDUCED, CORNER):
                yield Case(f"{kind} flat {LARGEST[kind]}", process)
    for kind in ("jpg", "png", "png alpha", "png 16bit", "webp", "gif", "tiff", "tiff tiles"):
        side = 16000 if kind in ("webp", "tiff", "tiff tiles") else 30000
        for size in (f"{side}x500", f"500x{side}"):
            for process in (REDUCED, CORNER, WHOLE):
                yield Case(f"{kind} photo {size}", process)


# --- what is written

WRITTEN = {  # the result, and the megapixels it is measured at
    "format,jpg": "1 17",
    "quality,Q_100/format,jpg": "17",
    "interlace,1/format,jpg": "1 17",
    "quality,Q_100/interlace,1/format,jpg": "4 17",
    "format,png": "1 17",
    "format,webp": "1 4 12 17",
    "quality,Q_100/format,webp": "1 4 12 17",
    "quality,Q_20/format,webp": "4 17",
    "quality,lossless/format,webp": "1 4 12 17",
    "format,tiff": "1 17",
    "format,bmp": "1 17",
    "format,avif": "1 4 9",
    "quality,Q_95/format,avif": "4 9",
    "quality,lossless/format,avif": "1 4 9",
    "format,heic": "1 4 12 17",
    "quality,Q_95/format,heic": "4 12 17",
    "quality,lossless/format,heic": "1 4 12 17",
}
SIZES["9"] = "4096x2304"  # what an AVIF may have


def outputs() -> Iterator[Case]:
    """Every format with every option, of a source that takes nothing to be read."""
    for process, sizes in WRITTEN.items():
        for size in sizes.split():
            for kind in ("tiff", "tiff alpha"):
                for content in ("photo", "noise"):
                    yield Case(f"{kind} {content} {SIZES[size]}", process)
        for source in ("tiff flat", "tiff drawing", "tiff alpha drawing", "tiff grey noise"):
            yield Case(f"{source} {SIZES['4']}", process)
    for kind in ("gif", "gif alpha"):  # no other still becomes a GIF
        for content in ("photo", "noise"):
            yield Case(f"{kind} {content} {SIZES['12']}", "resize,p_100")


# --- what is done to it

TEXT = "watermark,text_SGVsbG8gV29ybGQ"
MARK = "watermark,image_bT94LW9zcy1wcm9jZXNzPWltYWdlL3Jlc2l6ZSxQXzEwMA"  # image/resize,P_100
DONE = {  # what is done, and the megapixels it is done to
    "rotate,90": "1 12",
    "rotate,33/crop,w_2000,h_2000": "4",
    "rotate,33/resize,p_50": "1 4",
    "rotate,30/blur,r_3,s_2/rotate,90": "1 4",
    "rotate,180": "12",
    "blur,r_50,s_50": "1 12 17",
    "blur,r_3,s_2": "12",
    "sharpen,100": "12",
    "bright,20/contrast,10": "12",
    "circle,r_2000": "1 12",
    "rounded-corners,r_500": "12",
    "resize,p_50": "12",
    "resize,w_4096,h_4096,m_fixed,limit_0": "1 12",
    "resize,w_4000,h_4000,m_pad,limit_0,color_336699": "12",
    "resize,w_4000,h_4000,m_fill,limit_0": "12",
    f"{TEXT},size_100": "1 12",
    f"{TEXT},size_1000": "12",
    f"{TEXT},size_1000,rotate_45,shadow_50": "12",
    f"{TEXT},size_40,fill_1,padx_10,pady_10": "1 4 12",
    MARK: "1 12",
    f"{MARK},rotate_45": "1 4",
    f"{MARK},rotate_10,{TEXT.partition(',')[2]}": "1 9",
    f"rotate,90/blur,r_20,s_20/{TEXT},size_200,t_50/rounded-corners,r_300": "12",
}


def actions() -> Iterator[Case]:
    """Every action that holds a picture or many of its lines."""
    for process, sizes in DONE.items():
        for size in sizes.split():
            yield Case(f"jpg photo {SIZES[size]}", f"{process}/format,jpg")
            yield Case(f"png alpha photo {SIZES[size]}", f"{process}/format,png")


FILMS = (  # frames of an animation; "x" and their number stand behind the size
    "gif photo 1000x1000x4",
    "gif noise 640x480x20",
    "gif flat 400x300x200",
    "gif photo 2000x1000x10",
    "webp photo 1000x1000x4",
    "webp noise 640x480x20",
    "webp lossless drawing 640x480x20",
    "webp photo 2000x1000x10",
)


def films() -> Iterator[Case]:
    """Animations, whole and reduced, from each format that has them to each."""
    for source in FILMS:
        for process in ("resize,w_300", "resize,p_100", "rotate,33"):
            for to in ("gif", "webp"):
                yield Case(source, f"{process}/format,{to}")
        yield Case(source, "quality,lossless/format,webp")
        yield Case(source, "resize,w_300/format,jpg")


TABLES = {
    "read": inputs,
    "written": outputs,
    "done": actions,
    "animated": films,
}


# --- measuring


def made(folder: Path, source: str) -> Path:
    """The file, made in a process of its own."""
    file = folder / source.replace(" ", "-")
    command = [sys.executable, kinds.__file__, str(file), *source.split()]
    subprocess.run(command, check=True)
    return file


def measure(file: Path, process: str) -> dict[str, Any]:
    """One case in a child of its own: peak and estimate in MB, seconds."""
    child = Pipeline(lifted=True)
    try:
        return child.run(file, f"image/{process}")
    finally:
        child.close()


def measured(cases: Iterable[Case], workers: int) -> Iterator[tuple[Case, dict[str, Any]]]:
    """All cases; those of one source in turn, so that it is made once."""
    by_source: dict[str, list[Case]] = {}
    for case in cases:
        by_source.setdefault(case.source, []).append(case)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:

        def all_of(source: str) -> list[tuple[Case, dict[str, Any]]]:
            file = made(Path(folder), source)
            try:
                return [(case, measure(file, case.process)) for case in by_source[source]]
            finally:
                file.unlink()

        for found in pool.map(all_of, by_source):
            yield from found


def row(case: Case, found: dict[str, Any]) -> list[str]:
    """One case."""
    if "refused" in found:
        return [case.source, case.process, "", "", "", found["refused"]]
    picture = kinds.read(case.source)[1]
    pixels = picture.width * picture.height * picture.frames
    peak, foreseen = found["memory"], found["foreseen"]
    return [
        case.source,
        case.process,
        f"{peak:.0f}",
        f"{foreseen:.0f}",
        f"{foreseen / peak:.2f}",
        f"{peak * 1e6 / pixels:.1f}",
        "" if peak <= foreseen else "BELOW",
    ]


def draw(file: Path, results: dict[str, dict[str, Any]]) -> None:
    """Both figures of all cases, by their peak."""
    cases = sorted(
        (one for one in results.values() if "refused" not in one), key=lambda one: one["memory"]
    )
    chart.lines(
        file,
        "Memory of a renderer's process for one picture: the peak, and what was foreseen",
        "cases, by their peak",
        "MB",
        {
            name: [(number, case[key]) for number, case in enumerate(cases)]
            for name, key in (("peak", "memory"), ("foreseen", "foreseen"))
        },
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose line contains it")
    parser.add_argument("--quick", action="store_true", help="up to 5 megapixels only")
    parser.add_argument("--workers", type=int, default=2, help="cases at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all cases here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    below, told = 0, {}
    for name, cases in TABLES.items():
        some = [case for case in cases() if asked.only in str(case)]
        some = [case for case in some if case.quick or not asked.quick]
        rows = []
        for case, found in measured(some, asked.workers):
            rows.append(row(case, found))
            told[str(case)] = found
            below += "refused" not in found and found["memory"] > found["foreseen"]
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
        head = ["source", "process", "peak, MB", "foreseen, MB", "ratio", "bytes/pixel", ""]
        if rows:
            print(report.table(name, head, rows))
    print(f"{len(told)} cases, {below} estimates below the peak")
    report.write(asked.json, told)
    if asked.chart:
        draw(asked.chart, told)
    return below > 0


if __name__ == "__main__":
    sys.exit(main())
