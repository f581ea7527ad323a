"""The messages between the front and a worker: one datagram each, JSON, with file descriptors.

A picture is passed as a descriptor in both directions, never inside a message: the source as the
opened object, the result as a memfd, into which the encoder writes directly. For a large result
that takes half the CPU of bytes in the message, for a small one 0.01 ms more, and there is no limit
of size (bench/handover.py). Messages are JSON, because the front must not trust a worker:
everything is checked once, where it is decoded. Jobs and replies are named tuples, which take a
third of the time of a frozen dataclass to make: each picture takes several, on both sides.
"""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import orjson

from .. import errors
from ..filetimes import FileTimes
from ..image import gravity, notes
from ..image.cost import Cost
from ..image.gravity import Focus
from ..image.search import Choice

KIND = socket.SOCK_SEQPACKET  # keeps message boundaries, and tells when the other side is gone
MAX_BYTES = 65536  # of a message; a process text is below 32 KB
# the source, its bell, its master or the blank for one, the attachments (Limits.watermarks)
MAX_DESCRIPTORS = 36
ANCILLARY_BYTES = socket.CMSG_LEN(4 * MAX_DESCRIPTORS)
CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)  # int, as an enum is slower

Message = dict[str, Any]
# a picture of the source, or a report about it; the plan for one, as JSON, without reading a pixel;
# the focus that one is cropped around; a histogram of the source; a picture without a source
Kind = Literal["render", "explain", "look", "histogram", "paint"]
Budget = tuple[float, int]  # seconds of one core and bytes of memory that a job may take


class Attachment(NamedTuple):
    """Another object that a process needs.

    Attributes:
        etag: Identifies its content.
        descriptor: The descriptor of the opened object.
    """

    etag: str
    descriptor: int


class Job(NamedTuple):
    """What a worker is to do. Its descriptors are closed by the caller that opened them.

    Attributes:
        kind: What the job is for.
        process: The canonical text of the process; of a job to paint, the name of the scene.
        source: Descriptor of the source; ``None`` for a job to paint.
        attachments: The other objects, in the order of ``Process.needs()``.
        strict: Whether it is refused if it cannot be followed to the letter
            (:mod:`..image.notes`).
        focus: The result of the process's ``look`` job; ``None`` for that job itself, and for a
            process that needs none.
        master: Descriptor of the source's master (:mod:`..image.masters`), or ``None``.
        blank: Two descriptors of an empty file, to write and to read it, for a master that is made
            along with the picture; ``None`` if none is to be kept.
        times: The times of the source when it was opened; ``None`` if it is never written to.
    """

    kind: Kind
    process: str
    source: int | None = None
    attachments: tuple[Attachment, ...] = ()
    strict: bool = False
    focus: Focus | None = None
    master: int | None = None
    blank: tuple[int, int] | None = None
    times: FileTimes | None = None


class Coming(NamedTuple):
    """A source that is still being fetched; see :mod:`.arriving`.

    Attributes:
        size: Bytes of the whole source.
        bell: Descriptor of the pipe that tells when more bytes have arrived.
    """

    size: int
    bell: int


class Batch(NamedTuple):
    """Jobs with one source, for a worker to do one after the other.

    Attributes:
        number: Number of the first job; the others have the numbers after it.
        jobs: One or more.
        budget: What each of them may take; one that is estimated above it is not begun. ``None``
            for no limit.
        coming: Size and bell of a source that is still being fetched; ``None`` for a complete one.
    """

    number: int
    jobs: tuple[Job, ...]
    budget: Budget | None = None
    coming: Coming | None = None

    def encode(self) -> tuple[Message, list[int]]:
        """Return the message and its descriptors; the source and its master are sent once."""
        source = self.jobs[0].source
        bell = self.coming.bell if self.coming else None
        master = next((job.master for job in self.jobs if job.master is not None), None)
        descriptors = [item for item in (source, bell, master) if item is not None]
        blank = None
        if master is None:
            blank = next((job.blank for job in self.jobs if job.blank), None)
            descriptors += blank or ()
        rows = []
        for kind, process, _, attachments, strict, focus, *_ in self.jobs:
            etags = []
            for etag, descriptor in attachments:
                etags.append(etag)
                descriptors.append(descriptor)
            rows.append((kind, process, etags, strict, focus))
        message = {
            "id": self.number,
            "budget": self.budget,
            "source": source is not None,
            "coming": self.coming and self.coming.size,
            "master": master is not None,
            "blank": blank is not None,
            "times": self.jobs[0].times,
            "jobs": rows,
        }
        return message, descriptors

    @classmethod
    def decode(cls, message: Message, descriptors: Sequence[int]) -> Batch:
        """Return the batch of a message, with the descriptors that were received."""
        rest = iter(descriptors)
        source = next(rest) if message["source"] else None
        size, times = message["coming"], message["times"] and tuple(message["times"])
        coming = None if size is None else Coming(size, next(rest))
        master = next(rest) if message["master"] else None
        blank = (next(rest), next(rest)) if message["blank"] else None
        jobs = []
        for kind, process, etags, strict, focus in message["jobs"]:
            attachments = tuple(map(Attachment, etags, rest)) if etags else ()
            seen = gravity.read(focus) if focus else None
            shared = master, blank, times
            jobs.append(Job(kind, process, source, attachments, strict, seen, *shared))
        budget = message["budget"]
        return cls(message["id"], tuple(jobs), (budget[0], budget[1]) if budget else None, coming)


class Output(NamedTuple):
    """The result of a job.

    Attributes:
        mime: Content-Type.
        size: Bytes.
        descriptor: Descriptor of a memfd with the bytes, closed by the receiver.
        seconds: Seconds that the job took.
        probe: Seconds of these that reading the header took; 0 if none is read.
        missing: Number of characters of its text that no font has.
        notes: What was not followed to the letter, except for what follows from the process's text.
        choice: The quality that was searched for; ``None`` if none was.
        master: Descriptor of ``Job.blank``, if a master was written to it, closed by the receiver;
            -1 if none was made.
    """

    mime: str
    size: int
    descriptor: int
    seconds: float
    probe: float = 0.0
    missing: int = 0
    notes: notes.Notes = ()
    choice: Choice | None = None
    master: int = -1

    @property
    def descriptors(self) -> list[int]:
        """Its one or two descriptors."""
        return [self.descriptor] if self.master < 0 else [self.descriptor, self.master]


# a result; the cost of a job that was not done, being above its budget; an error
Outcome = Output | Cost | errors.OssError


class _Shape:
    """The names and types of a message's fields."""

    def __init__(self, **types: type) -> None:
        self._get, self._types = itemgetter(*types), tuple(types.values())

    def read(self, message: Message) -> tuple[Any, ...]:
        """Return the values of the fields, in their order.

        Raises:
            ValueError: A field is missing, or of another type.
        """
        try:
            values: tuple[Any, ...] = self._get(message)
        except KeyError:
            raise ValueError("not the fields of a message of ours") from None
        if tuple(map(type, values)) != self._types:
            raise ValueError("not the types of a message of ours")
        return values


_OUTPUT = _Shape(
    id=int,
    rss=int,
    type=str,
    size=int,
    seconds=float,
    probe=float,
    missing=int,
    notes=list,
    choice=list,
)
_COST = _Shape(id=int, rss=int, cost=list)
_COST_VALUES = (float, int, int)  # seconds, bytes of memory, frames
_FAILURE = _Shape(id=int, rss=int, error=dict)
_ERROR = _Shape(code=str, message=str, ec=str, extra=dict, headers=dict)


class Reply(NamedTuple):
    """A worker's reply to one job.

    Attributes:
        number: Number of the job.
        rss: Resident memory of the worker, in bytes.
        outcome: The outcome of the job.
    """

    number: int
    rss: int
    outcome: Outcome

    def encode(self) -> tuple[Message, list[int]]:
        """Return the message, and the descriptors of a result."""
        outcome = self.outcome
        message: Message = {"id": self.number, "rss": self.rss}
        if isinstance(outcome, Output):
            message["type"] = outcome.mime
            message["size"] = outcome.size
            message["seconds"] = outcome.seconds
            message["probe"] = outcome.probe
            message["missing"] = outcome.missing
            message["notes"] = list(outcome.notes)
            message["choice"] = list(outcome.choice or ())
            return message, outcome.descriptors
        if isinstance(outcome, Cost):
            message["cost"] = (outcome.seconds, outcome.memory, outcome.pages)
        else:
            message["error"] = errors.dump(outcome)
        return message, []

    @classmethod
    def decode(cls, message: Message, descriptors: Sequence[int], number: int) -> Reply:
        """Return the reply to the job with this number. A compromised worker may send anything.

        Raises:
            ValueError: The message is no reply, or one to another job.
        """
        outcome: Outcome
        if "cost" in message:
            job, rss, cost = _COST.read(message)
            outcome = _cost(cost)
        elif "error" in message:
            job, rss, error = _FAILURE.read(message)
            outcome = _error(error)
        else:
            job, rss, mime, size, seconds, probe, missing, values, choice = _OUTPUT.read(message)
            descriptor = descriptors[0] if descriptors else -1
            outcome = Output(
                mime,
                size,
                descriptor,
                seconds,
                probe,
                missing,
                notes.read(values) if values else (),
                _choice(choice) if choice else None,
                descriptors[1] if len(descriptors) > 1 else -1,
            )
        if job != number:
            raise ValueError("not a reply about this job")
        if len(descriptors) not in ((1, 2) if isinstance(outcome, Output) else (0,)):
            raise ValueError("not a result with its descriptor")
        return cls(number, rss, outcome)


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message with descriptors, which stay open here."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
    connection.sendmsg([orjson.dumps(message)], rights if descriptors else [])


def receive(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """Return the next message and its descriptors, for the caller to close.

    The message is ``None`` when the other side is gone.

    Raises:
        ValueError: The message is not valid; its descriptors are closed.
    """
    # not socket.recv_fds, which ignores its flags: without close-on-exec the next worker would
    # inherit the descriptors, as uvloop closes none when it starts a process
    data, ancillary, flags, _ = connection.recvmsg(
        MAX_BYTES, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    descriptors = [fd for _, _, raw in ancillary for fd in array("i", raw[: len(raw) & ~3])]
    try:
        if flags & CUT:
            raise ValueError("a message is larger than any of ours")
        message = orjson.loads(data) if data else None
        if data and not isinstance(message, dict):
            raise ValueError("a message is an object")
        if not data:
            close(descriptors)
            descriptors = []
    except ValueError:
        close(descriptors)
        raise
    return message, descriptors


def close(descriptors: Sequence[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _choice(values: list[Any]) -> Choice:
    if tuple(map(type, values)) != (int, int) or not all(0 <= item <= 100 for item in values):
        raise ValueError("not a quality that was searched for")
    return Choice(*values)


def _cost(values: list[Any]) -> Cost:
    if tuple(map(type, values)) != _COST_VALUES or min(values) < 0:
        raise ValueError("not a cost")
    return Cost(*values)


def _error(values: dict[str, Any]) -> errors.OssError:
    *_, extra, headers = _ERROR.read(values)
    if not all(isinstance(text, str) for part in (extra, headers) for text in part.values()):
        raise ValueError("not the parts of an error")
    return errors.load(values)
