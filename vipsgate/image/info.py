"""``image/info``: size, format and EXIF of a file, as JSON (OSS guide, Obtain image information).

``image/basic-info`` and ``image/exif`` are the answers of the old API's ``@info`` and ``@exif``.
Options of ours add rows: ``info,placeholders_1`` those of :mod:`.placeholders`, ``info,xmp_1`` the
XMP and IPTC properties of :mod:`.formats.metadata`, under exiv2's names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import BadRequest
from . import placeholders
from .answers import BlurHash, Info
from .formats import exif, metadata
from .formats.probe import Source

if TYPE_CHECKING:
    from .prepared import RenderContext

PLAIN = Info()
NO_EXIF = "0040-00000004"  # EC


def answer(source: Source, options: Info = PLAIN, context: RenderContext | None = None) -> bytes:
    """Return the body: keys sorted, every value a string, indented by two blanks.

    Width and height are as stored, whatever Orientation says, and take precedence over EXIF's.

    Args:
        source: The picture.
        options: The rows to add.
        context: Needed for placeholders, for which pixels are read.

    Raises:
        OssError: Placeholders are requested, and the picture cannot be decoded.
    """
    header = source.header
    values = {"ResolutionUnit": "1", "XResolution": "1/1", "YResolution": "1/1"}
    values |= _tags(source) | _facts(source)
    values |= {"Format": header.format, "FrameCount": str(header.pages)}
    if options.placeholders:
        assert context is not None
        image = placeholders.picture(source, (), context)
        hashes = placeholders.thumb(image), placeholders.blur(image, BlurHash())
        values |= dict(zip(("ThumbHash", "BlurHash"), hashes, strict=True))
    if options.xmp:
        values = metadata.rows(source) | values
    return _written(values)


def tags(source: Source) -> bytes:
    """Return the body: that of :func:`answer` without format and frames.

    Raises:
        BadRequest: There is no EXIF.
    """
    tags = _tags(source)
    if not tags:
        raise BadRequest("Image has no exif info.", ec=NO_EXIF)
    return _written(tags | _facts(source))


def basic(source: Source) -> bytes:
    """Return the body, ``{"height": 267, "size": 21839, "width": 400}``: pixels and bytes."""
    header = source.header
    values = {"height": header.height, "size": source.size, "width": header.width}
    return json.dumps(values, indent=2).encode()


def _tags(source: Source) -> dict[str, str]:
    """Return the EXIF tags; Orientation only if it is still to be applied.

    A HEIC or AVIF is turned by its decoder, and its size is reported as turned. A client that also
    applied the tag would turn it twice (ISO 23008-12, 6.5.10).
    """
    header = source.header
    tags = exif.read(header.exif)
    if "Orientation" in tags and exif.orientation(header.exif) != header.orientation:
        tags["Orientation"] = str(header.orientation)
    return tags


def _facts(source: Source) -> dict[str, str]:
    return {
        "FileSize": str(source.size),
        "ImageHeight": str(source.header.height),
        "ImageWidth": str(source.header.width),
    }


def _written(values: Mapping[str, str]) -> bytes:
    rows = (
        f"  {json.dumps(key)}: {{{json.dumps('value')}: {json.dumps(value, ensure_ascii=False)}}}"
        for key, value in sorted(values.items())
    )
    return ("{\n" + ",\n".join(rows) + "\n}").encode()
