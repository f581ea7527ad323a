"""The worker process: takes jobs and descriptors from the front, and sends back results.

It has no files, no network and no second chance: one that hangs is killed from outside, one that
takes too much memory is replaced. Besides the work it has one thread, which hears cancel messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import os
import select
import socket
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import orjson

from .. import errors
from ..image.config import Limits, Rendering
from ..image.cost import Cost
from . import protocol
from .interrupt import CANCELLED, Interrupt

NICE = 5  # steps behind the front, which has hits, refusals and health to answer meanwhile
PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes
IDLE = 1.0  # seconds without work after which freed memory goes back to the system
UNDER_WAY = 0.001  # seconds between two tries to send descriptors while too many are under way
# one libvips thread for a picture, few arenas; what else libvips would heed is not inherited
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_DISC_THRESHOLD": "1000g",  # never a temporary file: there is nowhere to write it
    "MALLOC_ARENA_MAX": "2",
}

T = TypeVar("T")


class Performer(Protocol[T]):
    """Who does the work; see :class:`vipsgate.worker.jobs.Worker`."""

    def tasks(self, batch: protocol.Batch) -> Sequence[T]:
        """The jobs of a batch with what they share; each is done once, in this order."""

    def do(self, task: T) -> protocol.Output | Cost:
        """Do one of them.

        Raises:
            OssError: It cannot be done.
        """


def serve(
    connection: socket.socket,
    control: int,
    statm: int,
    performer: Performer[T],
    interrupt: Interrupt,
    ready: protocol.Message,
) -> None:
    """Do jobs until the front is gone.

    Args:
        connection: To the front.
        control: Descriptor of the pipe with cancel messages.
        statm: Descriptor of ``/proc/self/statm``.
        performer: Does the jobs.
        interrupt: Stops them.
        ready: The first message to the front.
    """
    gc.freeze()  # what is there now stays; what a job leaves is looked through less often,
    gc.set_threshold(20_000)  # which is 5 % of a small picture's time
    threading.Thread(target=interrupt.listen, args=(control,), daemon=True).start()
    trim = _trimmer()
    protocol.send(connection, ready)
    while True:
        if not select.select([connection], [], [], IDLE)[0]:
            trim()
            select.select([connection], [], [])
        message, descriptors = protocol.receive(connection)
        if message is None:
            return
        batch = protocol.Batch.decode(message, descriptors)
        tasks = performer.tasks(batch)
        for number, task in enumerate(tasks, batch.number):
            interrupt.begin(number)
            outcome = outcome_of(performer, task, interrupt)
            interrupt.end()
            _reply(connection, protocol.Reply(number, _rss(statm), outcome))
            if isinstance(outcome, protocol.Output):
                protocol.close(outcome.descriptors)
        del tasks, task  # and with them what the jobs had in common
        for descriptor in descriptors:
            os.close(descriptor)


def outcome_of(performer: Performer[T], task: T, interrupt: Interrupt) -> protocol.Outcome:
    """What comes of a task; an error is returned bare.

    An exception as it was raised would hold its own frame, and with it the pipeline, its memory and
    its descriptors, until the garbage collector comes by.
    """
    try:
        if interrupt.cancelled:
            return errors.CpuLimitExceeded(CANCELLED)
        return performer.do(task)
    except errors.OssError as error:
        return errors.load(errors.dump(error))
    except MemoryError:
        return errors.ImageTooLarge("The picture takes more memory than there is.")
    except Exception:
        traceback.print_exc()  # a fault of ours: the log has it, the client does not
        return errors.InternalError("The picture could not be rendered.")


def _reply(connection: socket.socket, reply: protocol.Reply) -> None:
    """Say what came of a job, as soon as the kernel passes descriptors on.

    It counts those that are under way in sockets, of all processes of a user, and has no more than
    one process may have open; others may send many. The front has an end to how long it waits.
    """
    while True:
        try:
            return protocol.send(connection, *reply.encode())
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            time.sleep(UNDER_WAY)


def _rss(statm: int) -> int:
    return int(os.pread(statm, 64, 0).split()[1]) * PAGE


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
    # what is imported lazily must be there before the files are out of reach; the front, which
    # reads this module too, needs none of it
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        JpegImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    from ..image import faces
    from . import fontfiles, sandbox

    for optional in ("pillow_heif", "av"):
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)

    with contextlib.suppress(ImportError, OSError):
        faces.library()  # 0.2 MB; what it computes with is set up by the first picture, 10 MB
    interrupt, rendering = Interrupt(), Rendering(**settings["image"])
    try:
        from .jobs import Worker, identity

        typefaces = fontfiles.find(rendering.fonts_dir)
        worker = Worker(Limits(**settings["limits"]), rendering, typefaces.fonts, interrupt)
    except (RuntimeError, OSError) as error:
        protocol.send(connection, {"refused": str(error)})
        return
    who = identity()  # some of it is read from files
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    report = sandbox.enter([*readable(), *typefaces.readable], parent=settings["parent"])
    typefaces.install()  # Pango starts a thread of its own, which would stay outside of the sandbox
    ready = {"ready": f"{who}, fonts {typefaces.identity}", "sandbox": str(report)}
    with contextlib.suppress(ConnectionError):  # the front has ended meanwhile
        serve(connection, control, statm, worker, interrupt, ready)


def readable() -> list[str]:
    """The folders with Python and its packages, the only files that a worker may still read."""
    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, paths["stdlib"], paths["purelib"], paths["platlib"]}
    return sorted(folders | {str(Path(__file__).resolve().parents[2])})


if __name__ == "__main__":
    main()
