"""What libjpeg only warns of, though pixels are wrong for it: bits of a scan that are cut or bad.

It goes on with grey. libvips can stop at any warning, but not at those of the last rows, and would
stop at harmless ones; it puts them into its error buffer, however, which is read here.
"""

from __future__ import annotations

import re

# those after which each pixel is what the file says (libjpeg's jerror.h, JWRN_)
HARMLESS = re.compile(
    r"extraneous bytes before marker|unknown JFIF revision|Adobe color transform code"
    r"|Invalid SOS parameters|Inconsistent progression"
)


def clear() -> None:
    """Forget all warnings: another picture is to be decoded."""
    import pyvips

    pyvips.vips_lib.vips_error_clear()


def check() -> None:
    """Refuse pixels that have been decoded with a warning.

    It is to be called behind each reading of pixels, before anything else: an attribute of an image
    that pyvips looks up may clear the buffer. libjpeg writes the first warning of a picture only,
    so that a harmless one hides those that follow.

    Raises:
        pyvips.Error: A decoder has warned that pixels are wrong.
    """
    import pyvips

    buffer: bytes = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer())
    if buffer and (warning := damage(buffer.decode(errors="replace"))):
        raise pyvips.Error(warning)


def damage(messages: str) -> str:
    """The first of libvips' messages, a line each, that says that pixels are wrong; else empty."""
    for line in messages.splitlines():
        domain, _, warning = line.partition(": ")
        if domain == "VipsJpeg" and not HARMLESS.search(warning):
            return warning
    return ""
