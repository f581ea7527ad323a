"""``image/info``: what the file says of itself, as JSON (OSS guide, Obtain image information)."""

from __future__ import annotations

import json

from . import exif
from .probe import Source


def answer(source: Source) -> bytes:
    """The answer's body: keys sorted, every value a string, two blanks of indentation.

    Width and height are as stored, whatever Orientation says; the basic facts win over EXIF's.
    """
    header = source.header
    values = {"ResolutionUnit": "1", "XResolution": "1/1", "YResolution": "1/1"}
    values |= exif.read(header.exif)
    values |= {
        "FileSize": str(source.size),
        "Format": header.format,
        "FrameCount": str(header.pages),
        "ImageHeight": str(header.height),
        "ImageWidth": str(header.width),
    }
    rows = (
        f"  {json.dumps(key)}: {{{json.dumps('value')}: {json.dumps(value, ensure_ascii=False)}}}"
        for key, value in sorted(values.items())
    )
    return ("{\n" + ",\n".join(rows) + "\n}").encode()
