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
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from .. import errors
from ..image.config import Limits, Rendering
from ..image.fonts import Fonts
from . import fontfiles, protocol, sandbox

NICE = 5  # steps behind the front, which has hits, refusals and health to answer meanwhile
IDLE = 1.0  # seconds without work after which freed memory goes back to the system
UNWANTED = "The picture is not wanted any more."
# one libvips thread for a picture, few arenas; what else libvips would heed is not inherited
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_DISC_THRESHOLD": "1000g",  # never a temporary file: there is nowhere to write it
    "MALLOC_ARENA_MAX": "2",
}

Answer = tuple[dict[str, Any], int | None]  # what is said of a job, and the result's descriptor
Most = tuple[float, int] | None  # seconds and bytes that a job may cost; above, it is handed back
# jobs as their texts and the ETags of what is laid on them, all descriptors, most, who interrupts;
# gives what does one of them, by its place among them
Begin = Callable[
    [list[tuple[str, list[str]]], list[int], Most, "Interrupt"], Callable[[int], Answer]
]


class Interrupt:
    """The word to stop, from the front by way of a thread, to the image under work."""

    def __init__(self) -> None:
        self._job = 0
        self._stopped: set[int] = set()
        self._image: Any = None

    @property
    def stopped(self) -> bool:
        """Is the work under way to be stopped? For what is no image of libvips'."""
        return self._job in self._stopped

    def begin(self, job: int) -> None:
        """The work on this job begins."""
        self._job, self._image = job, None
        self._stopped = {number for number in self._stopped if number >= job}

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
            number = int.from_bytes(word, "little")
            self._stopped = self._stopped | {number}
            image = self._image
            if self._job == number and image is not None:
                image.set_kill(True)


def worker(limits: Limits, rendering: Rendering, fonts: Fonts) -> Begin:
    """What a renderer does with jobs. Imports libvips, which the front must not."""
    from ..image import render
    from ..image.group import Batch
    from ..image.prepared import Overlay, RenderContext
    from ..image.synthetic import painter, scene
    from ..image.video import decode

    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # a hostile file warns without end
    render.prepare()
    empty = RenderContext(limits, rendering, fonts)

    def begin(
        jobs: list[tuple[str, list[str]]], descriptors: list[int], most: Most, interrupt: Interrupt
    ) -> Callable[[int], Answer]:
        texts = [text for text, _ in jobs]
        if texts[0].startswith(scene.PAINT):  # such a job has no source, so it comes alone
            return lambda number: paint(texts[number], most, interrupt)
        batch = Batch(partial(read, descriptors[0], limits), texts, limits, rendering, most)
        others = iter(descriptors[1:])
        beside = [list(zip(etags, others, strict=False)) for _, etags in jobs]

        def work(number: int) -> Answer:
            begun = time.perf_counter()
            asked = batch.asked(number)
            objects = {
                key: Overlay(etag, partial(read, descriptor, limits))
                for key, (etag, descriptor) in zip(asked.needs(), beside[number], strict=True)
            }
            context = replace(empty, objects=objects, watch=interrupt.watch)
            if asked.snapshot:
                dear = decode.cost(asked.snapshot, limits)
                cost = dear if most and not dear.within(*most) else None
            else:
                cost = batch.refused(number, context)
            if cost:
                return {"cost": astuple(cost)}, None
            memory = os.memfd_create("result", os.MFD_CLOEXEC)
            try:
                if asked.snapshot:
                    mime = decode.answer(
                        descriptors[0],
                        asked.snapshot,
                        memory,
                        context,
                        lambda: interrupt.stopped,
                        most and most[1],
                    )
                else:
                    mime = batch.answer(number, memory, context)
                said = {
                    "type": mime,
                    "size": os.fstat(memory).st_size,
                    "seconds": time.perf_counter() - begun,
                    "probe": batch.looked,
                    "missing": fonts.missing(asked.writes()),
                }
            except decode.TooExpensive as refused:
                os.close(memory)
                return {"cost": astuple(refused.cost)}, None
            except BaseException:
                os.close(memory)
                raise
            return said, memory

        return work

    def paint(text: str, most: Most, interrupt: Interrupt) -> Answer:
        begun = time.perf_counter()
        wanted = scene.read(text.removeprefix(scene.PAINT), limits)
        if most and not wanted.cost.within(*most):
            return {"cost": astuple(wanted.cost)}, None
        memory = os.memfd_create("painted", os.MFD_CLOEXEC)
        try:
            mime = painter.paint(wanted, memory, interrupt.watch)
            said = {
                "type": mime,
                "size": os.fstat(memory).st_size,
                "seconds": time.perf_counter() - begun,
                "probe": 0.0,
                "missing": 0,
            }
        except BaseException:
            os.close(memory)
            if interrupt.stopped:  # libvips says no more than that it failed
                raise errors.CpuLimitExceeded(UNWANTED) from None
            raise
        return said, memory

    return begin


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
    connection: socket.socket, control: int, statm: int, begin: Begin, ready: dict[str, Any]
) -> None:
    """Take jobs until the front is gone."""
    interrupt = Interrupt()
    gc.freeze()  # what is there now stays; what a job leaves is looked through less often,
    gc.set_threshold(20_000)  # which is 5 % of a small picture's time
    threading.Thread(target=interrupt.listen, args=(control,), daemon=True).start()
    trim = _trimmer()
    protocol.send(connection, ready, [])
    while True:
        if not select.select([connection], [], [], IDLE)[0]:
            trim()
            select.select([connection], [], [])
        message, descriptors = protocol.receive(connection)
        if message is None:
            return
        work = begin(message["jobs"], descriptors, message["most"], interrupt)
        for place in range(len(message["jobs"])):
            number = message["id"] + place
            interrupt.begin(number)
            result, memory = _answer(work, place, interrupt)
            interrupt.end()
            result |= {"id": number, "rss": _rss(statm)}
            protocol.send(connection, result, [] if memory is None else [memory])
            if memory is not None:
                os.close(memory)
        del work  # and with it what the jobs had in common
        protocol.close(descriptors)


def _answer(work: Callable[[int], Answer], place: int, interrupt: Interrupt) -> Answer:
    """The work's result, or the error as plain values.

    No exception is kept in a variable: it would hold its own frame, and with it the pipeline, its
    memory and its descriptors, until the garbage collector comes by.
    """
    try:
        if interrupt.stopped:
            return _refused(errors.CpuLimitExceeded(UNWANTED))
        return work(place)
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
    """``python -m vipsgate.worker.main SOCKET CONTROL SETTINGS``, started by the front."""
    os.nice(NICE)
    connection, control = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    settings = orjson.loads(sys.argv[3])
    # what is imported lazily must be there before the files are out of reach
    from PIL import BmpImagePlugin, JpegImagePlugin, TiffImagePlugin  # noqa: F401

    for optional in ("pillow_heif", "av"):
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)

    rendering = Rendering(**settings["image"])
    try:
        found = fontfiles.find(rendering.fonts_dir)
        work = worker(Limits(**settings["limits"]), rendering, found.fonts)
    except (RuntimeError, OSError) as error:
        protocol.send(connection, {"refused": str(error)}, [])
        return
    from ..image import render
    from ..image.video import decode

    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    report = sandbox.enter([*readable(), *found.readable], parent=settings["parent"])
    found.install()  # Pango starts a thread of its own, which would stay outside of the walls
    identity = f"{render.identity()}, {decode.version()}, fonts {found.identity}"
    ready = {"ready": identity, "sandbox": str(report)}
    with contextlib.suppress(ConnectionError):  # the front has ended meanwhile
        serve(connection, control, statm, work, ready)


def readable() -> list[str]:
    """The folders with Python and its packages, the only files that a renderer may still read."""
    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, paths["stdlib"], paths["purelib"], paths["platlib"]}
    return sorted(folders | {str(Path(__file__).resolve().parents[2])})


if __name__ == "__main__":
    main()
