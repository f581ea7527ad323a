"""Fetches only the beginning of a remote object, and limits the size of remote videos."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from ..errors import ImageTooLarge
from ..image.formats import header_size
from ..store.base import Object, Opened, RangeReader

STEPS = (128 << 10, 512 << 10)  # sizes that are tried, in bytes; a camera's EXIF has 64 KB


async def begin(reader: RangeReader, bucket: str, key: str, info: Object) -> Opened | None:
    """Fetch as much of the beginning of a remote object as ``image/info`` needs.

    Returns:
        A file of the object's size, which has a hole in place of the rest; ``None`` if too much is
        needed.

    Raises:
        PreconditionFailed: The object has been replaced.
        NoSuchKey: The object has been deleted.
    """
    held = b""
    for stop in STEPS:
        if 2 * stop > info.size:  # one request for the whole object costs no more
            return None
        held += await _bytes(await reader.read(bucket, key, info, range(len(held), stop)))
        if header_size.needed(held) <= len(held):
            descriptor = os.memfd_create("beginning", os.MFD_CLOEXEC)
            os.write(descriptor, held)
            os.ftruncate(descriptor, info.size)
            return Opened(info, descriptor)
    return None


async def _bytes(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def check_video(size: int, most: int) -> None:
    """Check the size of a remote video, which has to be fetched as a whole.

    Args:
        size: Its size, in bytes.
        most: The largest size allowed.

    Raises:
        ImageTooLarge: It is larger.
    """
    if size > most:
        raise ImageTooLarge(
            f"Maximal size of video supported from a remote store is {most} bytes; "
            f"the object has {size}."
        )
