"""The kinds of file that hold a video, told by their first bytes.

This table is the allow-list of FFmpeg's demuxers, as :mod:`.codecs` is that of libvips' loaders:
of its hundreds no other is ever given a file, and the one that is has been named here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of file.

    Attributes:
        names: What people call it, for messages.
        demuxer: FFmpeg's name of what reads it.
        magic: What its files begin with.
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
    """The kind of a file by its beginning; ``None`` for none of these.

    What also begins like a picture is one: a HEIC is made of the boxes of an MP4.
    """
    return next((item for item in CONTAINERS if item.magic.match(data)), None)
