"""Listening sockets and their accept queues, without an event loop.

RULE: imports no aiohttp, so that the parent of several fronts, which has nothing else to do, needs
none either.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from . import synfilter

BACKLOG = 65_535  # connections in the accept queue, up to the kernel's somaxconn
HANDSHAKE = 0.2  # seconds for handshakes that are under way where others listen, too


def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Return sockets for all addresses of a host; nobody can connect before they listen.

    Args:
        host: A name or an address; empty for all of this machine.
        port: The port; 0 for any that is free.
        shared: Whether other processes may listen there, too.

    Raises:
        OSError: The port cannot be had.
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
    """Let clients connect."""
    for item in sockets:
        item.listen(BACKLOG)


def address_of(item: socket.socket) -> str:
    """The address of a socket as the beginning of a URL."""
    return _url(item.getsockname())


def _url(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept and yield the connections that wait in the queue of a listening socket.

    Raises:
        OSError: There is no descriptor for one, or no memory.
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
    """Leave new connections to other servers on the port. Return whether the system can do it."""
    with suppress(OSError):
        for item in sockets:
            synfilter.begin_no_more(item)
        return True
    return False


def finish_handshakes(sockets: Sequence[socket.socket], seconds: float) -> None:
    """The same, and wait for the connections that are being made."""
    if begin_no_more(sockets):
        time.sleep(seconds)


def close(sockets: Sequence[socket.socket]) -> None:
    """Close them."""
    for item in sockets:
        item.close()
