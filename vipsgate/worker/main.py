"""The worker process: takes jobs and descriptors from the front, and sends back results.

In its sandbox it opens no connections, and no files but Python's and the fonts'. One that hangs is
killed by the front, one that takes too much memory is replaced. A second thread receives cancel
messages.
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

NICE = 5  # lowers the priority below that of the front, which answers hits and health checks
PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes
IDLE = 1.0  # seconds without work after which freed memory goes back to the system
UNDER_WAY = 0.001  # seconds between two attempts to send descriptors while too many are in flight
# one libvips thread for a picture, few arenas; other variables of libvips are not inherited
ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_DISC_THRESHOLD": "1000g",  # no temporary files: the sandbox forbids them
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's other threads would stay outside of the sandbox
}

T = TypeVar("T")


class Performer(Protocol[T]):
    """Does the work; see :class:`vipsgate.worker.jobs.Worker`."""

    def tasks(self, batch: protocol.Batch) -> Sequence[T]:
        """Return the jobs of a batch with what they share; each is done once, in this order."""

    def do(self, task: T) -> protocol.Output | Cost:
        """Do one of them; return its result, or its cost if that is above the budget.

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
    """Do jobs until the front closes the connection.

    Args:
        connection: The socket to the front.
        control: Descriptor of the pipe with cancel messages.
        statm: Descriptor of ``/proc/self/statm``.
        performer: Does the jobs.
        interrupt: Stops them.
        ready: The first message to the front.
    """
    gc.freeze()  # collections skip the objects of now, and are rarer,
    gc.set_threshold(20_000)  # which saves 5 % of a small picture's time
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
        del tasks, task  # frees what the jobs had in common
        for descriptor in descriptors:
            os.close(descriptor)


def outcome_of(performer: Performer[T], task: T, interrupt: Interrupt) -> protocol.Outcome:
    """Do a task; return its outcome, an error as a new exception without a traceback.

    The traceback of the raised exception would keep its frames alive, and with them the pipeline,
    its memory and its descriptors, until the next garbage collection.
    """
    try:
        if interrupt.cancelled:
            return errors.CpuLimitExceeded(CANCELLED)
        return performer.do(task)
    except errors.OssError as error:
        return errors.load(errors.dump(error))
    except MemoryError:
        return errors.ImageTooLarge("There is not enough memory for the picture.")
    except Exception:
        traceback.print_exc()  # a bug: it is logged, but not told to the client
        return errors.InternalError("The picture could not be rendered.")


def _reply(connection: socket.socket, reply: protocol.Reply) -> None:
    """Send the outcome of a job, and retry as long as too many descriptors are in flight.

    The kernel limits the descriptors in flight in sockets, over all processes of a user, to as many
    as one process may have open (ETOOMANYREFS). The front limits how long it waits for a reply.
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
    """Return glibc's ``malloc_trim``; with another C library, a function that does nothing."""
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
    # lazy imports must be done before the sandbox; inside of this function, as the front imports
    # this module, too
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
        faces.library()  # 0.2 MB; its 10 MB of working memory are allocated by the first picture
    interrupt, rendering = Interrupt(), Rendering(**settings["image"])
    try:
        from .jobs import Worker, identity

        typefaces = fontfiles.find(rendering.fonts_dir)
        worker = Worker(Limits(**settings["limits"]), rendering, typefaces.fonts, interrupt)
    except (RuntimeError, OSError) as error:
        protocol.send(connection, {"refused": str(error)})
        return
    who = identity()  # before the sandbox, as it reads files
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    report = sandbox.enter([*readable(), *typefaces.readable], parent=settings["parent"])
    typefaces.install()  # after it: Pango starts a thread, which would stay outside of the sandbox
    ready = {"ready": f"{who}, fonts {typefaces.identity}", "sandbox": str(report)}
    with contextlib.suppress(ConnectionError):  # the front has exited
        serve(connection, control, statm, worker, interrupt, ready)


def readable() -> list[str]:
    """Return the folders of Python and its packages, which stay readable in the sandbox."""
    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, paths["stdlib"], paths["purelib"], paths["platlib"]}
    return sorted(folders | {str(Path(__file__).resolve().parents[2])})


if __name__ == "__main__":
    main()
