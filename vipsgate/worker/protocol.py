"""The messages between the front and a renderer: one datagram each, JSON, with descriptors beside.

A picture travels as a descriptor in both directions, never inside a message: the source as the
opened object, the result as a memfd, into which the encoder writes by itself. For a large result
that takes half the CPU of bytes in the message, for a small one 0.01 ms more, and it knows no limit
(bench/handover.py). JSON, because the front must not trust what comes out of a renderer.
"""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

KIND = socket.SOCK_SEQPACKET  # keeps the messages apart, and says when the other side is gone
MOST_BYTES = 65536  # of a message; a process text is below 32 KB
MOST_DESCRIPTORS = 33  # the source and what is laid on it, config.Limits.watermarks

Message = dict[str, Any]
SHAPE = {
    "id": int,
    "rss": int,
    "type": str,
    "size": int,
    "missing": int,
    "seconds": float,
    "probe": float,
}
COST = (float, int, int)  # seconds, bytes of memory, frames
ERROR = {"code": str, "message": str, "ec": str, "extra": dict, "headers": dict}


def send(connection: socket.socket, message: Message, descriptors: Sequence[int]) -> None:
    """Send a message with descriptors; the sender keeps its own."""
    socket.send_fds(connection, [orjson.dumps(message)], list(descriptors))


def receive(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message, ``None`` when the other side is gone, and descriptors to be closed.

    Raises:
        ValueError: It is not a message of ours; its descriptors are closed.
    """
    # not socket.recv_fds, which drops its flags: what is not close-on-exec would be inherited by
    # the next renderer, because uvloop closes nothing when it starts a process
    data, ancillary, flags, _ = connection.recvmsg(
        MOST_BYTES, socket.CMSG_LEN(4 * MOST_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
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


def is_reply(message: Message, descriptors: Sequence[int], job: int) -> bool:
    """Is it what a renderer says when it has done ``job``? One that is taken over may say anything.

    A picture comes with one descriptor, an error or a cost with none.
    """
    if "cost" in message:
        cost = message["cost"]
        shape = isinstance(cost, list) and tuple(map(type, cost)) == COST
        own = _has(message, {"id": int, "rss": int}) and message["id"] == job
        return shape and own and not descriptors and min(cost) >= 0
    if "error" not in message:
        return _has(message, SHAPE) and message["id"] == job and len(descriptors) == 1
    error = message["error"]
    return (
        _has(message, {"id": int, "rss": int})
        and message["id"] == job
        and not descriptors
        and _has(error, ERROR)
        and all(
            isinstance(text, str) for part in ("extra", "headers") for text in error[part].values()
        )
    )


def close(descriptors: Sequence[int]) -> None:
    """Give descriptors back."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _has(values: object, shape: Mapping[str, type]) -> bool:
    return isinstance(values, dict) and all(
        type(values.get(name)) is kind for name, kind in shape.items()
    )
