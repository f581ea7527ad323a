"""The messages between the front and a worker: one datagram each, JSON, with file descriptors.

A picture travels as a descriptor in both directions, never inside a message: the source as the
opened object, the result as a memfd, into which the encoder writes by itself. For a large result
that takes half the CPU of bytes in the message, for a small one 0.01 ms more, and it knows no limit
(bench/handover.py). JSON, because the front must not trust what comes out of a worker: everything
is checked once, where it is decoded.
"""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from .. import errors
from ..image.cost import Cost

KIND = socket.SOCK_SEQPACKET  # keeps the messages apart, and says when the other side is gone
MAX_BYTES = 65536  # of a message; a process text is below 32 KB
MAX_DESCRIPTORS = 33  # the source and the attachments, config.Limits.watermarks

Message = dict[str, Any]
Budget = tuple[float, int]  # seconds of one core and bytes of memory that a job may take


class Kind(StrEnum):
    """What a job is for."""

    RENDER = "render"  # a picture of the source, or an answer about it
    EXPLAIN = "explain"  # the plan for such a picture, as JSON; no pixel is read
    PAINT = "paint"  # a picture without a source


@dataclass(frozen=True, slots=True)
class Attachment:
    """Another object that a process needs.

    Attributes:
        etag: Tells its content from all others.
        descriptor: Of the opened object.
    """

    etag: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do. Its descriptors belong to whoever made it.

    Attributes:
        kind: Render, explain or paint.
        process: The canonical text of the process; of a job to paint, the name of the scene.
        source: Descriptor of the source; ``None`` for a job to paint.
        attachments: The other objects, in the order of ``Process.needs()``.
    """

    kind: Kind
    process: str
    source: int | None = None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs with one source, for a worker to do one after the other.

    Attributes:
        number: Of the first job; the others have the numbers after it.
        jobs: One or more.
        budget: What each of them may take; one that is estimated above it is not begun. ``None``
            for no such bound.
    """

    number: int
    jobs: tuple[Job, ...]
    budget: Budget | None = None

    def encode(self) -> tuple[Message, list[int]]:
        """The message, and the descriptors that go with it: the source once, all attachments."""
        source = self.jobs[0].source
        descriptors = [] if source is None else [source]
        rows = []
        for job in self.jobs:
            descriptors += [item.descriptor for item in job.attachments]
            rows.append((job.kind, job.process, [item.etag for item in job.attachments]))
        message = {
            "id": self.number,
            "budget": self.budget,
            "source": source is not None,
            "jobs": rows,
        }
        return message, descriptors

    @classmethod
    def decode(cls, message: Message, descriptors: Sequence[int]) -> Batch:
        """The batch again, with the descriptors as they are on this side."""
        rest = iter(descriptors)
        source = next(rest) if message["source"] else None
        jobs = tuple(
            Job(Kind(kind), process, source, tuple(Attachment(etag, next(rest)) for etag in etags))
            for kind, process, etags in message["jobs"]
        )
        budget = message["budget"]
        return cls(message["id"], jobs, (budget[0], budget[1]) if budget else None)


@dataclass(frozen=True, slots=True)
class Output:
    """What a job has given.

    Attributes:
        mime: Content-Type.
        size: Bytes.
        descriptor: Of a memfd with the bytes; whoever gets it closes it.
        seconds: From the first look at the source to the last byte.
        probe: Seconds of these that reading the header took; 0 where none is read.
        missing: Characters of its text that no font has.
    """

    mime: str
    size: int
    descriptor: int
    seconds: float
    probe: float = 0.0
    missing: int = 0


# a result; the cost of a job that is above its budget, and was not begun; an error
Outcome = Output | Cost | errors.OssError

OUTPUT = {"type": str, "size": int, "seconds": float, "probe": float, "missing": int}
COST = (float, int, int)  # seconds, bytes of memory, frames
ERROR = {"code": str, "message": str, "ec": str, "extra": dict, "headers": dict}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker says about one job.

    Attributes:
        number: Of the job.
        rss: Bytes of memory that the worker holds now.
        outcome: What came of the job.
    """

    number: int
    rss: int
    outcome: Outcome

    def encode(self) -> tuple[Message, list[int]]:
        """The message, and the descriptor of a result."""
        message: Message = {"id": self.number, "rss": self.rss}
        match self.outcome:
            case Output(mime, size, descriptor, seconds, probe, missing):
                times = {"seconds": seconds, "probe": probe}
                return message | {"type": mime, "size": size, "missing": missing} | times, [
                    descriptor
                ]
            case Cost(seconds, memory, pages):
                return message | {"cost": (seconds, memory, pages)}, []
            case error:
                return message | {"error": errors.dump(error)}, []

    @classmethod
    def decode(cls, message: Message, descriptors: Sequence[int], number: int) -> Reply:
        """The reply about the job with this number. A worker that is taken over may say anything.

        Raises:
            ValueError: It is no reply, or one about another job.
        """
        if not _has(message, {"id": int, "rss": int}) or message["id"] != number:
            raise ValueError("not a reply about this job")
        outcome: Outcome
        if "cost" in message or "error" in message:
            if descriptors:
                raise ValueError("a descriptor without a result")
            outcome = _cost(message["cost"]) if "cost" in message else _error(message["error"])
        else:
            if len(descriptors) != 1 or not _has(message, OUTPUT):
                raise ValueError("not a result with its descriptor")
            outcome = Output(
                message["type"],
                message["size"],
                descriptors[0],
                message["seconds"],
                message["probe"],
                message["missing"],
            )
        return cls(number, message["rss"], outcome)


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message with descriptors; the sender keeps its own."""
    socket.send_fds(connection, [orjson.dumps(message)], list(descriptors))


def receive(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message, ``None`` when the other side is gone, and descriptors to be closed.

    Raises:
        ValueError: It is not a message of ours; its descriptors are closed.
    """
    # not socket.recv_fds, which drops its flags: what is not close-on-exec would be inherited by
    # the next worker, because uvloop closes nothing when it starts a process
    data, ancillary, flags, _ = connection.recvmsg(
        MAX_BYTES, socket.CMSG_LEN(4 * MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = [fd for _, _, raw in ancillary for fd in array("i", raw[: len(raw) & ~3])]
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
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
    """Give descriptors back."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _cost(value: object) -> Cost:
    if not isinstance(value, list) or tuple(map(type, value)) != COST or min(value) < 0:
        raise ValueError("not a cost")
    return Cost(*value)


def _error(value: Any) -> errors.OssError:
    if not _has(value, ERROR):
        raise ValueError("not an error")
    if not all(
        isinstance(text, str) for part in ("extra", "headers") for text in value[part].values()
    ):
        raise ValueError("not the parts of an error")
    return errors.load(value)


def _has(values: object, shape: Mapping[str, type]) -> bool:
    return isinstance(values, dict) and all(
        type(values.get(name)) is kind for name, kind in shape.items()
    )
