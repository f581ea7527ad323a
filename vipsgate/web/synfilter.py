"""A listening socket that begins no connection any more, but finishes those that it has begun.

Closing a socket that shares its port resets every handshake that the kernel has under way for it,
although another server listens there (SO_REUSEPORT; sysctl net.ipv4.tcp_migrate_req would move
them, and is off by default). With this filter the kernel drops what would begin one more: its
client sends that again after a second, as after any lost packet, and by then only the other
server is there to be found.
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
FLAGS_OFFSET = 13  # of a TCP header: the byte with the flags (RFC 9293, 3.1)
SYN, ACK = 0x02, 0x10

# classic BPF (linux/filter.h), for which nobody needs a right: code, jump if true, if false, value
_PROGRAM = (
    (0x30, 0, 0, FLAGS_OFFSET),  # load that byte
    (0x54, 0, 0, SYN | ACK),  # and with both
    (0x15, 0, 1, SYN),  # SYN alone?
    (0x06, 0, 0, 0),  # then nothing of the packet is taken
    (0x06, 0, 0, 0xFFFF),  # else all of it
)
_CODE = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in _PROGRAM))
_FILTER = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(_CODE))  # struct sock_fprog


def begin_no_more(listening: socket.socket) -> None:
    """Have the kernel begin no further connection by a listening socket.

    Connections that are accepted from it have the filter, too, where it drops nothing that TCP
    would use.

    Raises:
        OSError: The system cannot.
    """
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _FILTER)
