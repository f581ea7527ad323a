"""A source that the front is still fetching: waits for its bytes, and feeds them to libvips.

The file's length tells how many bytes have arrived, and a pipe, the bell, when it has grown.
libvips reads from a pipe of this process, which a thread fills by sendfile: so its reads do not
take the GIL, and no byte passes through Python. With pyvips' SourceCustom, which calls
Python for every 4 KB, a JPEG of 10 MB took a quarter more CPU in a first comparison, a PNG a little
less than that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ServiceUnavailable
from ..image.formats.streamed import Front, UncertainError

PIPE = 1 << 20  # capacity of the pipe to libvips in bytes: the most for an unprivileged user
PAUSE = 0.001  # seconds between two checks whether half of the pipe has been read
DRAIN = 1 << 16  # bytes that are discarded at a time


class Arriving:
    """See :class:`vipsgate.image.formats.streamed.Arriving`.

    Args:
        descriptor: The descriptor of the file.
        size: Bytes of the whole source.
        bell: Descriptor of a pipe: a byte means that the file has grown, end of file that no more
            bytes arrive.
    """

    def __init__(self, descriptor: int, size: int, bell: int) -> None:
        self.size = size
        self._descriptor, self._bell = descriptor, bell
        self._waiting = threading.Lock()  # of two threads that read the bell, one might miss a byte

    def wait(self, least: int) -> int:
        """Wait for ``least`` bytes, or for all; return how many have arrived.

        Raises:
            ServiceUnavailable: The transfer failed.
        """
        least = min(least, self.size)
        if (length := self._length()) >= least:
            return length
        with self._waiting:
            while (length := self._length()) < least:
                if not os.read(self._bell, DRAIN) and self._length() < least:
                    raise ServiceUnavailable("The source has not arrived.")
        return length

    def head(self, least: int) -> bytes:
        """See the protocol.

        Raises:
            ServiceUnavailable: The transfer failed.
        """
        self.wait(least)
        return os.pread(self._descriptor, min(least, self.size), 0)

    @contextmanager
    def feed(self, front: Front) -> Iterator[Feed]:
        """See the protocol.

        Raises:
            ServiceUnavailable: The transfer failed.
        """
        feed = Feed(self, front)
        thread = threading.Thread(target=feed.fill, daemon=True)
        thread.start()
        try:
            yield feed
        finally:
            while os.read(feed.descriptor, DRAIN):  # bytes that the decoder did not read
                pass
            os.close(feed.descriptor)
            thread.join()
        self.wait(self.size)

    def look(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from offset ``at``, as soon as they have arrived."""
        self.wait(at + size)
        return os.pread(self._descriptor, size, at)

    def send(self, begin: int, end: int, pipe: int) -> None:
        """Copy a part of the file into a pipe as it arrives."""
        most = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2
        while begin < end:
            there = min(self.wait(begin + 1), end, begin + most)
            while _unread(pipe) > most:  # otherwise each page that is read would wake this thread
                time.sleep(PAUSE)
            begin += os.sendfile(pipe, self._descriptor, begin, there - begin)

    def _length(self) -> int:
        return min(os.fstat(self._descriptor).st_size, self.size)


class Feed:
    """See :class:`vipsgate.image.formats.streamed.Feed`."""

    def __init__(self, file: Arriving, front: Front) -> None:
        self.descriptor, self._pipe = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # the user's limit for pipes may be reached
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE)
        self.certain = False
        self._file, self._front = file, front

    def fill(self) -> None:
        """Write all that libvips is to read into the pipe, and close it at the end."""
        front, file = self._front, self._file
        try:
            _write(self._pipe, front.washed)
            for begin, end in front.rest(front, file.look):
                file.send(begin, end, self._pipe)
            self.certain = True
        except (UncertainError, ServiceUnavailable):  # the latter is raised by ``wait``, too
            pass
        finally:
            os.close(self._pipe)


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]
