"""A worker without pictures: it does what the process text says, well-behaved or not.

Started by ``Renderers(command=COMMAND)`` in place of the real one, with the same protocol. The
folder named by the environment's FAKE_STATE takes notes and gives orders:

* ``starts``: a line with the process id for every start,
* ``jobs``: a line with process id, job and process text for every job begun,
* ``order``: how processes start from now on: ``refuse``, ``die``, ``hang`` or ``slow SECONDS``.

Process texts: a verb of :class:`Fake` and its arguments, such as ``sleep 0.2``; ``once VERB ...``
behaves so only the first time in this state folder, and answers afterwards.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipsgate import errors
from vipsgate.image.cost import Cost
from vipsgate.worker import main as worker
from vipsgate.worker import protocol
from vipsgate.worker.interrupt import Interrupt

COMMAND = (sys.executable, __file__)
VERSION = "0.0.1-fake"
PAGE = os.sysconf("SC_PAGE_SIZE")
LONG = 60.0  # seconds that stand for ever
GARBAGE = {
    "text": b"\xff not JSON",
    "list": b"[1,2]",
    "hollow": b"{}",
    "halved": b'{"type":"image/png"}',
    "number": b'{"error":7}',
    "rss": b'{"type":"image/png","size":1,"seconds":0.5,"rss":"much"}',
    "blank": b"",
}


class Image:
    """What :meth:`Interrupt.watch` takes for an image under work."""

    def __init__(self) -> None:
        self.killed = threading.Event()

    def set_kill(self, kill: bool) -> None:
        self.killed.set()


@dataclass
class Task:
    job: protocol.Job
    budget: protocol.Budget | None


class Fake:
    """The work; a method per verb."""

    def __init__(
        self, connection: socket.socket, statm: int, state: Path, interrupt: Interrupt
    ) -> None:
        self.connection = connection
        self.statm = statm
        self.state = state
        self.interrupt = interrupt

    def tasks(self, batch: protocol.Batch) -> Sequence[Task]:
        """See :class:`vipsgate.worker.main.Performer`."""
        note(self.state, "messages", f"{len(batch.jobs)}")
        return [Task(job, batch.budget) for job in batch.jobs]

    def do(self, task: Task) -> protocol.Output | Cost:
        """See :class:`vipsgate.worker.main.Performer`."""
        text = task.job.process
        note(self.state, "jobs", f"- {text}")
        begun = time.monotonic()
        verb, *words = text.split()
        if verb == "expensive":  # SECONDS MEMORY PAGES and another verb
            seconds, memory, pages, verb, *words = words
            if task.budget:
                return Cost(float(seconds), int(memory), int(pages))
        if verb == "once":
            first = self.state / "once"
            verb, words = ("answer", []) if first.exists() else (words[0], words[1:])
            first.touch()
        body = getattr(self, verb)(*words, descriptor=task.job.source)
        if body is None:
            body = f"{os.getpid()} {begun} {time.monotonic()}".encode()
        result = os.memfd_create("result", os.MFD_CLOEXEC)
        os.write(result, body)
        return protocol.Output("text/fake", len(body), result, seconds=0.75, probe=0.25)

    def answer(self, *words: str, **_: Any) -> None:
        """At once; the words only mark the job in the notes."""

    def source(self, *, descriptor: int, **_: Any) -> bytes:
        """With the bytes of the source."""
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def fill(self, size: str, **_: Any) -> bytes:
        return bytes(range(256)) * (int(size) // 256)

    def sleep(self, seconds: str, *words: str, **_: Any) -> None:
        """Like a codec that hears no cancel message."""
        time.sleep(float(seconds))

    def obey(self, seconds: str, **_: Any) -> None:
        """Like a codec that stops when told so."""
        image = Image()
        self.interrupt.watch(image)
        if image.killed.wait(float(seconds)):
            raise errors.ImageDamage("killed for this test")

    def exit(self, status: str, **_: Any) -> None:
        os._exit(int(status))

    def signal(self, number: str, **_: Any) -> None:
        os.kill(os.getpid(), int(number))
        time.sleep(LONG)

    def swell(self, megabytes: str, seconds: str, **_: Any) -> None:
        held = b"\1" * (int(megabytes) << 20)
        time.sleep(float(seconds))
        del held

    def keep(self, megabytes: str, **_: Any) -> None:
        """Hold so much from now on."""
        self.held = b"\1" * (int(megabytes) << 20)

    def rss(self, size: str, **_: Any) -> None:
        """Tell so many bytes of memory from now on."""
        os.pwrite(self.statm, f"0 {int(size) // PAGE} 0\n".encode(), 0)

    def garbage(self, name: str, **_: Any) -> None:
        self.connection.send(GARBAGE[name])
        time.sleep(LONG)

    def mute(self, **_: Any) -> None:
        """Close the socket, but live on."""
        self.connection.shutdown(socket.SHUT_RDWR)
        time.sleep(LONG)

    def twins(self, **_: Any) -> None:
        """Answer twice, the first time with more descriptors than were asked for."""
        memory = os.memfd_create("result", os.MFD_CLOEXEC)
        os.write(memory, b"2")
        message = {"type": "text/fake", "size": 1, "seconds": 0.5, "rss": 0}
        protocol.send(self.connection, message, [memory, memory, memory])
        os.close(memory)

    def refuse(self, code: str, **_: Any) -> None:
        raise errors._BY_CODE[code](
            "what came, 中文 and what not",
            ec="0017-00000905",
            extra={"Key": "a/b"},
            headers={"Retry-After": "7"},
        )

    def fault(self, **_: Any) -> None:
        raise RuntimeError("a fault for this test")

    def environment(self, name: str, **_: Any) -> bytes:
        return os.environ.get(name, "").encode()

    def descriptors(self, **_: Any) -> bytes:
        """What this process holds open, a line each."""
        listed = os.scandir("/proc/self/fd")
        with listed:
            names = [os.readlink(entry.path) for entry in listed]
        return "\n".join(names).encode()


def note(state: Path, name: str, text: str = "") -> None:
    """One line, written in one go, since others write as well."""
    with (state / name).open("ab", buffering=0) as file:
        file.write(f"{os.getpid()} {text}\n".encode())


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    connection, control = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    state = Path(os.environ["FAKE_STATE"])
    order = state / "order"
    verb, *words = order.read_text().split() if order.exists() else ["work"]
    note(state, "starts")  # not before the order is known: it may change from now on
    if verb == "refuse":
        protocol.send(connection, {"refused": "libvips is 7.0.0"})
        return
    if verb == "die":
        os._exit(1)
    if verb in ("hang", "slow"):
        time.sleep(float(words[0]) if words else LONG)
    statm = os.memfd_create("statm")
    os.write(statm, b"0 1000 0\n")
    interrupt = Interrupt()
    fake = Fake(connection, statm, state, interrupt)
    ready = {"ready": VERSION, "sandbox": "none"}
    worker.serve(connection, control, statm, fake, interrupt, ready)


if __name__ == "__main__":
    main()
