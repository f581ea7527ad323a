"""Remote objects: passed on as they come, or only as much of them as is needed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from ..errors import ImageTooLarge
from ..image.formats import header_size
from ..store.base import Object, Opened, RangeReader

STEPS = (128 << 10, 512 << 10)  # bytes of a beginning that are tried; a camera's EXIF has 64 KB


async def begin(reader: RangeReader, bucket: str, key: str, info: Object) -> Opened | None:
    """A file of the object's length that has its beginning, where ``image/info`` needs no more.

    ``None`` where it does; the rest of the file is a hole, which nobody looks into.

    Raises:
        PreconditionFailed: The object is another one by now.
        NoSuchKey: There is none any more.
    """
    held = b""
    for stop in STEPS:
        if 2 * stop > info.size:  # one request for all is as good
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
    """A remote video has to be fetched whole.

    Raises:
        ImageTooLarge: It is larger than is fetched.
    """
    if size > most:
        raise ImageTooLarge(
            f"Maximal size of video supported from a remote store is {most} bytes; "
            f"the object has {size}."
        )
