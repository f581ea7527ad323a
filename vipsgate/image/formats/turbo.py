"""Decodes a JPEG in one piece with libjpeg-turbo, if the extra ``turbo`` is installed.

The pixels are those that libvips gets from mozjpeg, an older fork, in 0.4 to 0.8 of its time
(bench/README.md). simplejpeg is the wrapper that stops at libjpeg's warnings. It does not say which
of them leave all pixels right. So after any of them libvips decodes the file again, and decides:
what is refused, and how, does not depend on whether this is installed. Pillow's libjpeg-turbo
reports no warnings, and PyTurboJPEG has no library in its wheel.

It is optional because it needs NumPy: 70 MB on disk, and 8 MB of memory in each renderer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from . import jpeg
from .ondemand import Bytes

if TYPE_CHECKING:
    from pyvips import Image

INSTALL = "pip install 'vipsgate[turbo]'"
LEAST = 8  # pixels of the longer side from which on each of libjpeg's scales gives another size


@cache
def library() -> Any:
    """Return the module ``simplejpeg``, or ``None`` without it.

    A renderer must call this first while it can still read the library's files.
    """
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def installed() -> bool:
    """Return whether the decoder is installed."""
    return library() is not None


def version() -> str:
    """Return the version of the decoder."""
    return f"simplejpeg {library().__version__}" if installed() else "no turbo"


def loaded(data: Bytes, shrink: int) -> Image | None:
    """Return the picture in memory, as ``jpegload_buffer`` gives it.

    Args:
        data: A file that has been read (:func:`.jpeg.read`), with one channel or three.
        shrink: 1, 2, 4 or 8. Of sides that it does not divide, the last pixels are left out.

    Returns:
        ``None`` if the picture is left to libvips: because the decoder is not installed, or because
        it would warn or fail.
    """
    decoder, profile = library(), jpeg.profile(data)
    if decoder is None or profile is None:
        return None
    import pyvips

    try:
        height, width, colours, _ = decoder.decode_jpeg_header(data)
        if max(height, width) < LEAST:
            return None
        least = {"min_height": -(-height // shrink), "min_width": -(-width // shrink)}
        kind = "GRAY" if colours == "Gray" else "RGB"
        pixels = decoder.decode_jpeg(data, kind, **least, strict=True)
    except (ValueError, RuntimeError):
        return None
    high, wide, bands = pixels.shape
    across, down = jpeg.density(data)
    image = pyvips.Image.new_from_memory(pixels, wide, high, bands, "uchar")
    image = image.copy(interpretation="b-w" if bands == 1 else "srgb", xres=across, yres=down)
    # as of a stream: libvips then reduces the same lines at a time, on which its rounding depends
    image.set_type(pyvips.GValue.gint_type, "vips-sequential", 1)
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    if (wide, high) == (width // shrink, height // shrink):
        return image
    return image.crop(0, 0, width // shrink, height // shrink)
