"""The child process that renders: takes a job and a descriptor, gives a result.

It is the only place that joins libvips to a process. It has no files, no network and no second
chance: what hangs is killed from outside, what swells is replaced. Besides the work it has one
thread that waits for the word to stop, because libvips can be told so from another thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import logging
import os
import select
import socket
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from . import errors, sandbox, typefaces, wire
from .image.config import Limits, Rendering
from .image.fonts import Fonts

IDLE = 1.0  # seconds without work after which freed memory goes back to the system
# one libvips thread for a picture, few arenas; what else libvips would heed is not inherited
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_DISC_THRESHOLD": "1000g",  # never a temporary file: there is nowhere to write it
    "MALLOC_ARENA_MAX": "2",
}

Work = Callable[[dict[str, Any], list[int], "Interrupt"], tuple[dict[str, Any], int | None]]


class Interrupt:
    """The word to stop, from the front by way of a thread, to the image under work."""

    def __init__(self) -> None:
        self._job = 0
        self._stopped = 0
        self._image: Any = None

    @property
    def stopped(self) -> bool:
        """Is the work under way to be stopped? For what is no image of libvips'."""
        return self._job <= self._stopped

    def begin(self, job: int) -> None:
        """The work on this job begins."""
        self._job, self._image = job, None

    def end(self) -> None:
        """The work is done, and nothing of it is held."""
        self._image = None

    def watch(self, image: Any) -> None:
        """This image is computed next."""
        self._image = image
        if self.stopped:
            image.set_kill(True)

    def listen(self, descriptor: int) -> None:
        """Wait for numbers of jobs to be stopped, for ever."""
        while word := os.read(descriptor, 8):
            self._stopped = int.from_bytes(word, "little")
            image = self._image
            if self._job == self._stopped and image is not None:
                image.set_kill(True)


def worker(limits: Limits, rendering: Rendering, fonts: Fonts) -> Work:
    """What a renderer does with a job. Imports libvips, which the front must not."""
    from .image import answers, plan, probe, process, render, video
    from .image.codecs import CODECS
    from .image.studio import Beside, Studio

    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # a hostile file warns without end
    render.prepare()
    empty = Studio(limits, rendering, fonts)

    def answer(
        asked: process.Process, descriptor: int, memory: int, studio: Studio, explain: bool
    ) -> tuple[str, float]:
        """Of a picture; the MIME type, and the seconds that its header took."""
        begun = time.perf_counter()
        source = probe.probe(read(descriptor, limits))
        probed = time.perf_counter() - begun
        if explain:
            os.write(memory, answers.explained(source, asked, limits, rendering))
            return answers.MIME, probed
        if asked.answer:
            plan.admit(source.header, limits)
            os.write(memory, answers.ANSWERS[asked.answer](source, studio))
            return answers.MIME, probed
        made = plan.make(source.header, asked.actions, limits, rendering)
        render.render(source, made, memory, studio)
        return CODECS[made.result.format].mime, probed

    def work(
        job: dict[str, Any], descriptors: list[int], interrupt: Interrupt
    ) -> tuple[dict[str, Any], int | None]:
        begun = time.perf_counter()
        asked = process.parse(job["process"].removeprefix(process.EXPLAIN), limits)
        objects = {
            key: Beside(etag, partial(read, descriptor, limits))
            for key, etag, descriptor in zip(
                asked.needs(), job["etags"], descriptors[1:], strict=True
            )
        }
        studio = replace(empty, objects=objects, watch=interrupt.watch)
        memory = os.memfd_create("result", os.MFD_CLOEXEC)
        probed = 0.0
        try:
            if asked.snapshot:
                mime = video.answer(
                    descriptors[0], asked.snapshot, memory, studio, lambda: interrupt.stopped
                )
            else:
                explain = job["process"].startswith(process.EXPLAIN)
                mime, probed = answer(asked, descriptors[0], memory, studio, explain)
            said = {
                "type": mime,
                "size": os.fstat(memory).st_size,
                "seconds": time.perf_counter() - begun,
                "probe": probed,
                "missing": fonts.missing(asked.writes()),
            }
        except BaseException:
            os.close(memory)
            raise
        return said, memory

    return work


def read(descriptor: int, limits: Limits) -> bytes:
    """The whole file, in one piece.

    Raises:
        ImageTooLarge: It has too many bytes.
    """
    size = os.fstat(descriptor).st_size
    limits.check_bytes(size)
    data = os.pread(descriptor, size, 0)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), len(data))):
        data += more
    return data


def serve(
    connection: socket.socket, control: int, statm: int, work: Work, ready: dict[str, Any]
) -> None:
    """Take jobs until the front is gone."""
    interrupt = Interrupt()
    gc.freeze()  # what is there now stays; what a job leaves is looked through less often,
    gc.set_threshold(20_000)  # which is 5 % of a small picture's time
    threading.Thread(target=interrupt.listen, args=(control,), daemon=True).start()
    trim = _trimmer()
    wire.send(connection, ready, [])
    while True:
        if not select.select([connection], [], [], IDLE)[0]:
            trim()
            select.select([connection], [], [])
        job, descriptors = wire.receive(connection)
        if job is None:
            return
        interrupt.begin(job["id"])
        result, memory = _answer(work, job, descriptors, interrupt)
        interrupt.end()
        wire.close(descriptors)
        result |= {"id": job["id"], "rss": _rss(statm)}
        wire.send(connection, result, [] if memory is None else [memory])
        if memory is not None:
            os.close(memory)


def _answer(
    work: Work, job: dict[str, Any], descriptors: list[int], interrupt: Interrupt
) -> tuple[dict[str, Any], int | None]:
    """The work's result, or the error as plain values.

    No exception is kept in a variable: it would hold its own frame, and with it the pipeline, its
    memory and its descriptors, until the garbage collector comes by.
    """
    try:
        return work(job, descriptors, interrupt)
    except errors.OssError as error:
        return {"error": errors.dump(error)}, None
    except MemoryError:
        return _refused(errors.ImageTooLarge("The picture takes more memory than there is."))
    except Exception:
        traceback.print_exc()  # a fault of ours: the log has it, the client does not
        return _refused(errors.InternalError("The picture could not be rendered."))


def _refused(error: errors.OssError) -> tuple[dict[str, Any], None]:
    return {"error": errors.dump(error)}, None


def _rss(statm: int) -> int:
    return int(os.pread(statm, 64, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _trimmer() -> Callable[[], object]:
    """glibc's ``malloc_trim``; with another C library freed memory is left to it."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda: None
    return lambda: trim(0)


def main() -> None:
    """``python -m vipsgate.renderer SOCKET CONTROL SETTINGS``, started by the front."""
    connection, control = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    settings = orjson.loads(sys.argv[3])
    # what is imported lazily must be there before the files are out of reach
    from PIL import BmpImagePlugin, TiffImagePlugin  # noqa: F401

    for optional in ("pillow_heif", "av"):
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)

    rendering = Rendering(**settings["image"])
    try:
        found = typefaces.find(rendering.fonts_dir)
        work = worker(Limits(**settings["limits"]), rendering, found.fonts)
    except (RuntimeError, OSError) as error:
        wire.send(connection, {"refused": str(error)}, [])
        return
    from .image import render, video

    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    report = sandbox.enter([*readable(), *found.readable], parent=settings["parent"])
    found.install()  # Pango starts a thread of its own, which would stay outside of the walls
    identity = f"{render.identity()}, {video.version()}, fonts {found.identity}"
    ready = {"ready": identity, "sandbox": str(report)}
    with contextlib.suppress(ConnectionError):  # the front has ended meanwhile
        serve(connection, control, statm, work, ready)


def readable() -> list[str]:
    """The folders with Python and its packages, the only files that a renderer may still read."""
    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, paths["stdlib"], paths["purelib"], paths["platlib"]}
    return sorted(folders | {os.path.dirname(os.path.dirname(os.path.abspath(__file__)))})


if __name__ == "__main__":
    main()
