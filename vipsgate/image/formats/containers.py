"""The containers of videos, recognised by their first bytes.

This table is the allow-list of FFmpeg's demuxers, as :mod:`.codecs` is that of libvips' loaders:
the demuxer of a file is always taken from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of file.

    Attributes:
        names: Its usual names, for messages.
        demuxer: FFmpeg's name of its demuxer.
        magic: The first bytes of its files.
    """

    names: str
    demuxer: str
    magic: re.Pattern[bytes]


CONTAINERS = (
    # the first box (ISO 14496-12); QuickTime's older files have no ftyp
    Container(
        "MP4 or MOV",
        "mov",
        re.compile(rb".{4}(?:ftyp(?!mif1|msf1)|moov|mdat|wide|free|skip)", re.DOTALL),
    ),
    Container("Matroska or WebM", "matroska", re.compile(rb"\x1a\x45\xdf\xa3")),  # EBML (RFC 8794)
)
NAMES = ", ".join(container.names for container in CONTAINERS)


def find(data: bytes) -> Container | None:
    """Return the container of a file by its beginning, or ``None``.

    A file that begins like a picture is one, because a HEIC has the boxes of an MP4.
    """
    return next((item for item in CONTAINERS if item.magic.match(data)), None)
