"""What works here: libvips, every format in and out, the walls around a renderer, the store.

Nothing is looked up that can be tried: a format works when a picture made here comes back from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import sandbox
from .errors import OssError
from .image import plan, probe, process
from .image.codecs import CODECS
from .image.config import Limits, Rendering
from .settings import Settings, SettingsError

SIDE = 64  # pixels of the pictures that are tried


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was tried.
        works: Whether it did.
        detail: A version, a size, or the reason why not.
    """

    what: str
    works: bool
    detail: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Try everything that is promised. It loads libvips, so it is never for a serving process."""
    from .image import render

    try:
        render.prepare()
    except RuntimeError as error:
        yield Finding("libvips", False, str(error))
        return
    yield Finding("libvips", True, render.version())
    yield from (_format(name) for name in CODECS)
    yield _parser()
    yield _walls()
    yield _store(settings)


def _format(name: str) -> Finding:
    """Write a picture in the format, recognise it, and make a PNG of it."""
    try:
        first = _through(_painted("gif" if name == "gif" else "png"), f"image/format,{name}")
        again = _through(first, "image/format,png")
    except OssError as error:
        return Finding(name, False, error.message)
    found = probe.probe(first).header.format, probe.probe(again).header.width
    return Finding(f"{name} in and out", found == (name, SIDE), f"{len(first)} bytes")


def _painted(kind: str) -> bytes:
    import pyvips

    image = pyvips.Image.xyz(SIDE, SIDE)
    picture = image.bandjoin(image[0]).cast("uchar").copy(interpretation="srgb")
    made: bytes = picture.write_to_buffer(f".{kind}")
    return made


def _through(data: bytes, text: str) -> bytes:
    from .image import render

    source = probe.probe(data)
    actions = process.parse(text, Limits()).actions
    memory = os.memfd_create("check", os.MFD_CLOEXEC)
    try:
        render.render(source, plan.make(source.header, actions, Limits(), Rendering()), memory)
        return os.pread(memory, os.fstat(memory).st_size, 0)
    finally:
        os.close(memory)


def _parser() -> Finding:
    """The parser in Python is slower, and other than the one that is tested (smuggling)."""
    from aiohttp import http_parser

    compiled = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    return Finding("compiled HTTP parser", compiled, "llhttp" if compiled else "pure Python")


def _walls() -> Finding:
    """A kernel without them is served all the same; the report says what is missing."""
    # in another process: what one gives up it never has again
    trial = f"import sys; from {sandbox.__name__} import enter; report = enter(sys.path); "
    trial += "sys.exit(not (report.landlock and report.seccomp))"
    complete = subprocess.run([sys.executable, "-c", trial], check=False).returncode == 0
    detail = "Landlock and seccomp" if complete else "this kernel lacks Landlock or seccomp"
    return Finding("renderer sandbox", complete, detail)


def _store(settings: Settings) -> Finding:
    from . import server

    if not settings.store.url:
        return Finding("store", True, "none configured")
    try:
        root: Path = server.check(settings)
        buckets = sum(entry.is_dir() for entry in os.scandir(root))
    except (SettingsError, OSError) as error:
        return Finding("store", False, str(error))
    return Finding("store", True, f"{root}: {buckets} folders")
