"""A source that the front is still fetching: waited for, and fed to libvips as it comes.

The file's length says how far it is, and a pipe, the bell, when to look again. libvips reads from a
pipe of this process, which a thread fills by sendfile: libvips' reads take no GIL then, and no byte
passes through Python. With a source of pyvips' own (SourceCustom), which calls Python for every
4 KB, a JPEG of 10 MB took a quarter more CPU in a first comparison, a PNG a little less.
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

PIPE = 1 << 20  # bytes that the pipe to libvips holds; what anybody may have of it
PAUSE = 0.001  # seconds until another look whether the half of it has been read
DRAIN = 1 << 16  # bytes that are passed over at a time


class Arriving:
    """See :class:`vipsgate.image.formats.streamed.Arriving`.

    Args:
        descriptor: Of the file.
        size: Bytes that there will be.
        bell: Descriptor of a pipe: a byte for more of the file, its end for no more.
    """

    def __init__(self, descriptor: int, size: int, bell: int) -> None:
        self.size = size
        self._descriptor, self._bell = descriptor, bell
        self._waiting = threading.Lock()  # two that read the bell would take its bytes away

    def wait(self, least: int) -> int:
        """Return how many bytes are there, as soon as these many are, or all.

        Raises:
            ServiceUnavailable: They will not come.
        """
        least = min(least, self.size)
        if (length := self._length()) >= least:
            return length
        with self._waiting:
            while (length := self._length()) < least:
                if not os.read(self._bell, DRAIN) and self._length() < least:
                    raise ServiceUnavailable("The source has not come.")
        return length

    def head(self, least: int) -> bytes:
        """See the protocol.

        Raises:
            ServiceUnavailable: They will not come.
        """
        self.wait(least)
        return os.pread(self._descriptor, min(least, self.size), 0)

    @contextmanager
    def feed(self, front: Front) -> Iterator[Feed]:
        """See the protocol.

        Raises:
            ServiceUnavailable: Not all will come.
        """
        feed = Feed(self, front)
        thread = threading.Thread(target=feed.fill, daemon=True)
        thread.start()
        try:
            yield feed
        finally:
            while os.read(feed.descriptor, DRAIN):  # what the decoder did not ask for
                pass
            os.close(feed.descriptor)
            thread.join()
        self.wait(self.size)

    def look(self, at: int, size: int) -> bytes:
        """So many bytes from a place on, as soon as they are there."""
        self.wait(at + size)
        return os.pread(self._descriptor, size, at)

    def send(self, begin: int, end: int, pipe: int) -> None:
        """Put a part of the file into a pipe as it comes."""
        most = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2
        while begin < end:
            there = min(self.wait(begin + 1), end, begin + most)
            while _unread(pipe) > most:  # or each page that is read would wake this thread
                time.sleep(PAUSE)
            begin += os.sendfile(pipe, self._descriptor, begin, there - begin)

    def _length(self) -> int:
        return min(os.fstat(self._descriptor).st_size, self.size)


class Feed:
    """See :class:`vipsgate.image.formats.streamed.Feed`."""

    def __init__(self, file: Arriving, front: Front) -> None:
        self.descriptor, self._pipe = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # there may be too many pipes on the machine
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE)
        self.certain = False
        self._file, self._front = file, front

    def fill(self) -> None:
        """Put the whole into the pipe, what libvips sees of it, and close it at the end."""
        front, file = self._front, self._file
        try:
            _write(self._pipe, front.washed)
            for begin, end in front.rest(front, file.look):
                file.send(begin, end, self._pipe)
            self.certain = True
        except (UncertainError, ServiceUnavailable):  # the latter is told who waits for the whole
            pass
        finally:
            os.close(self._pipe)


def _unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]
