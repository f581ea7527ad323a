"""Detects wrong pixels of which libjpeg only warns: truncated or corrupt bits of a scan.

libjpeg replaces them by grey. libvips can stop at any warning, but would stop at harmless ones,
too, and not at those of the last rows. It adds warnings to its error buffer, which is read here.
"""

from __future__ import annotations

import re

# warnings that leave all pixels right (libjpeg's jerror.h, JWRN_)
HARMLESS = re.compile(
    r"extraneous bytes before marker|unknown JFIF revision|Adobe color transform code"
    r"|Invalid SOS parameters|Inconsistent progression"
)


def clear() -> None:
    """Clear all warnings before another picture is decoded."""
    import pyvips

    pyvips.vips_lib.vips_error_clear()


def check() -> None:
    """Refuse pixels that have been decoded with a warning.

    To be called right after each reading of pixels, as pyvips may clear the buffer when it looks up
    an attribute of an image. libjpeg writes only the first warning of a picture, so a harmless one
    hides those that follow.

    Raises:
        pyvips.Error: A decoder has warned that pixels are wrong.
    """
    import pyvips

    buffer: bytes = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    if buffer and (warning := damage(buffer.decode(errors="replace"))):
        raise pyvips.Error(warning)


def damage(messages: str) -> str:
    """Return the first of libvips' messages, one a line, that tells of wrong pixels, or ``""``."""
    for line in messages.splitlines():
        domain, _, warning = line.partition(": ")
        if domain == "VipsJpeg" and not HARMLESS.search(warning):
            return warning
    return ""
