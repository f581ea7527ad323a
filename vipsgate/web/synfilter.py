"""Makes a listening socket begin no new connections, while handshakes under way are finished.

Closing a socket that shares its port (SO_REUSEPORT) resets every handshake under way on it, though
another server listens on the port (sysctl net.ipv4.tcp_migrate_req would move them, but is off by
default). With this filter the kernel drops packets that would begin a connection. The client sends
them again after a second, as any lost packet; by then only the other server listens.
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
FLAGS_OFFSET = 13  # offset of the flags in a TCP header, in bytes (RFC 9293, 3.1)
SYN, ACK = 0x02, 0x10

# classic BPF (linux/filter.h), which needs no privilege: code, jump if true, if false, value
_PROGRAM = (
    (0x30, 0, 0, FLAGS_OFFSET),  # load the flags
    (0x54, 0, 0, SYN | ACK),  # keep SYN and ACK
    (0x15, 0, 1, SYN),  # if only SYN is set:
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFF),  # else accept it
)
_CODE = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in _PROGRAM))
_FILTER = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(_CODE))  # struct sock_fprog


def begin_no_more(listening: socket.socket) -> None:
    """Have the kernel begin no further connections on a listening socket.

    Connections accepted from the socket inherit the filter, which drops nothing that they need.

    Raises:
        OSError: The system does not support it.
    """
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _FILTER)
