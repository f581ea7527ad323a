"""Listening sockets and their accept queues, without an event loop.

RULE: imports no aiohttp, as the parent of several fronts does not need it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from . import synfilter

BACKLOG = 65_535  # connections in the accept queue, up to the kernel's somaxconn
HANDSHAKE = 0.2  # seconds to finish handshakes if other servers listen on the port, too


def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Return bound sockets for all addresses of a host; clients cannot connect until they listen.

    Args:
        host: A name or an address; empty for all addresses of this machine.
        port: The port; 0 for any that is free.
        shared: Whether other processes may listen on the port, too.

    Raises:
        OSError: The port cannot be bound.
    """
    kind, passive = socket.SOCK_STREAM, socket.AI_PASSIVE
    result: list[socket.socket] = []
    try:
        for family, _, protocol, _, address in dict.fromkeys(
            socket.getaddrinfo(host or None, port, type=kind, flags=passive)
        ):
            item = socket.socket(family, kind, protocol)
            result.append(item)
            item.setblocking(False)
            item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                item.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                item.bind(address)
            except OSError as error:
                text = f"cannot listen on {_url(address)}: {error.strerror}"
                raise OSError(error.errno, text) from None
    except BaseException:
        close(result)
        raise
    return result


def listen(sockets: Sequence[socket.socket]) -> None:
    """Start to listen, so that clients can connect."""
    for item in sockets:
        item.listen(BACKLOG)


def address_of(item: socket.socket) -> str:
    """Return the address of a socket as the beginning of a URL."""
    return _url(item.getsockname())


def _url(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept and yield the connections that wait in the queue of a listening socket.

    Raises:
        OSError: There is no free descriptor, or no memory.
    """
    while True:
        try:
            connection, _ = listening.accept()
        except ConnectionAbortedError:
            continue
        except BlockingIOError:
            return
        connection.setblocking(False)
        yield connection


def begin_no_more(sockets: Sequence[socket.socket]) -> bool:
    """Leave new connections to other servers on the port; return whether the system supports it."""
    with suppress(OSError):
        for item in sockets:
            synfilter.begin_no_more(item)
        return True
    return False


def finish_handshakes(sockets: Sequence[socket.socket], seconds: float) -> None:
    """Leave new connections to other servers, and wait for handshakes that are under way."""
    if begin_no_more(sockets):
        time.sleep(seconds)


def close(sockets: Sequence[socket.socket]) -> None:
    """Close all sockets."""
    for item in sockets:
        item.close()
