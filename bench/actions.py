"""What does each action cost, beside a plain resize?

The pipeline of a renderer without the server: one process, one libvips thread, from a file's bytes
to a result's. Every round runs all rows one after the other, so that a busy moment hits all alike;
a cell is CPU time as a multiple of the plain resize in the same run. An action is timed twice:
behind that resize, as thumbnails have it, and alone, on every pixel of the source.

    python bench/actions.py [--rounds 15] [--jobs medium] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ |= {"VIPS_CONCURRENCY": "1", "MALLOC_ARENA_MAX": "2"}  # as a renderer has it

import chart
import pictures
import report

from vipsgate.demo import things
from vipsgate.image import config, plan, process, render, reports
from vipsgate.image.formats import probe
from vipsgate.image.prepared import Overlay, RenderContext
from vipsgate.worker import fontfiles

JOBS = ("medium", "large")
WARMING = 2  # rounds before any is counted
LOGO = "logo.png"
LIMITS, RENDERING = config.Limits(), config.Rendering()


def encoded(text: str) -> str:
    """Base64 as OSS has it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


PICTURE = "image_" + encoded(f"{LOGO}?x-oss-process=image/resize,P_20")
TEXT, CHINESE = "text_" + encoded("Hello World"), "text_" + encoded("图片服务")
ACTIONS = (
    *("crop,w_300,h_200,g_center", "circle,r_120", "indexcrop,x_100,i_1"),
    *("rounded-corners,r_30", "rotate,90", "rotate,30"),
    *("bright,30", "contrast,-20", "sharpen,100", "blur,r_3,s_2", "blur,r_50,s_50"),
    *(f"watermark,{TEXT}", f"watermark,{CHINESE}", f"watermark,{TEXT},shadow_50"),
    *(f"watermark,{PICTURE}", f"watermark,{PICTURE},{TEXT}"),
    f"watermark,{TEXT},size_20,fill_1,rotate_30,t_40,padx_20,pady_20",
    *("format,png", "format,webp", "format,avif"),
)
AIMS = {f"watermark,{TEXT}": 1.5, f"watermark,{PICTURE}": 1.3}  # behind the resize, medium


class Bench:
    """A source, and the way from its bytes to a result's."""

    def __init__(self, data: bytes, context: RenderContext, logo: bytes) -> None:
        self._data, self._studio, self._logo = data, context, logo

    def seconds(self, text: str) -> float:
        """CPU of one result."""
        begun = time.process_time()
        asked = process.parse(f"image/{text}", LIMITS)
        source = probe.probe(self._data)
        objects = {key: Overlay(key, lambda: self._logo) for key in asked.needs()}
        context = replace(self._studio, objects=objects)
        if asked.answer:
            reports.answer(source, asked, context)
        else:
            made = plan.make(source.header, asked.actions, LIMITS, RENDERING)
            descriptor = os.memfd_create("result")
            render.render(source, made, descriptor, context)
            os.close(descriptor)
        return time.process_time() - begun


def shown(text: str) -> str:
    """A process text without its Base64."""
    for code, name in ((PICTURE, "image"), (TEXT, "text"), (CHINESE, "text in Chinese")):
        text = text.replace(code, name)
    return f"`{text}`"


def measure(bench: Bench, resize: str, rounds: int) -> dict[str, list[float]]:
    """Process text -> the runs of it, as multiples of the resize of the same round."""
    texts = [resize, *(f"{resize}/{text}" for text in ACTIONS), *ACTIONS, "interlace,0"]
    texts.append("average-hue")
    runs: dict[str, list[float]] = {text: [] for text in texts}
    for number in range(WARMING + rounds):
        spent = {text: bench.seconds(text) for text in texts}
        if number >= WARMING:
            for text, seconds in spent.items():
                runs[text].append(seconds / spent[resize])
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--jobs", nargs="+", default=JOBS, choices=JOBS)
    parser.add_argument("--json", type=Path)
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    render.prepare()
    found = fontfiles.find()
    found.install()
    context, results = RenderContext(LIMITS, RENDERING, found.fonts), {}
    logo = things.logo().write_to_buffer(".png")
    with tempfile.TemporaryDirectory() as folder:
        pictures.make(Path(folder))
        for job in options.jobs:
            data = pictures.file(Path(folder), job, 0).read_bytes()
            resize = pictures.JOBS[job].process.removeprefix("image/")
            bench = Bench(data, context, logo)
            runs = results[job] = measure(bench, resize, options.rounds)
            rows = [
                [shown(text), report.cell(runs[f"{resize}/{text}"]), report.cell(runs[text])]
                for text in ACTIONS
            ]
            rows.append(["only read and written again", "", report.cell(runs["interlace,0"])])
            rows.append(["`average-hue`", "", report.cell(runs["average-hue"])])
            head = ["action", f"behind `{resize}`", "alone"]
            print(report.table(f"{job}: multiples of `{resize}`", head, rows))
            for text, aim in AIMS.items() if job == "medium" else ():
                ratio = statistics.median(runs[f"{resize}/{text}"])
                verdict = "reached" if ratio <= aim else "NOT reached"
                print(f"{shown(text)}: {ratio:.2f}, aim {aim}: {verdict}")
    if options.chart:
        behind = {job: pictures.JOBS[job].process.removeprefix("image/") for job in results}
        chart.bars(
            options.chart,
            "What each action costs behind a resize",
            "CPU, as multiples of the plain resize",
            [shown(text).strip("`") for text in ACTIONS],
            {
                f"{job}, behind {behind[job]}": [runs[f"{behind[job]}/{text}"] for text in ACTIONS]
                for job, runs in results.items()
            },
        )
    report.write(options.json, results)


if __name__ == "__main__":
    main()
