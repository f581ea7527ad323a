"""vipsgate: a self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import OssError
    from .gate.sign import Credential, sign_url
    from .image.config import Limits, Rendering
    from .image.fonts import Fonts
    from .image.transform import Picture, explain

__version__ = "0.1.0"
__all__ = [
    "Credential",
    "Limits",
    "OssError",
    "Picture",
    "Rendering",
    "__version__",
    "explain",
    "sign_url",
    "transform",
]


def transform(
    data: bytes | int,
    process: str,
    *,
    objects: Mapping[str, bytes] | None = None,
    limits: Limits | None = None,
    rendering: Rendering | None = None,
) -> Picture:
    """Return the result of a process, byte for byte what a server answers.

    >>> picture = vipsgate.transform(photo, "image/resize,w_400/format,webp")
    >>> picture.mime, picture.width, picture.height
    ('image/webp', 400, 267)

    It may be called from any thread, and runs in it. libvips' cache, threads and loaders stay as
    the application has set them, but while an AVIF is encoded there is one thread. Other libraries
    are set up for the whole process by their first use: fontconfig by a text, with vipsgate's
    fonts; FFmpeg's largest allocation by a video; what pillow-heif reads by a HEIC.

    There is no sandbox here. The limits hold of a hostile file before it is decoded; but a fault in
    a decoder, which would cost a server one renderer, is a fault of this process.

    Args:
        data: The file's bytes, or the descriptor of an open file; of a video, no more of a file is
            read than it takes.
        process: The value of ``x-oss-process``: ``image/...`` or ``video/snapshot,...``.
        objects: Bytes by key, of the pictures that ``watermark`` lays on this one.
        limits: Of every picture; OSS's own by default.
        rendering: How pictures are made: how exactly they are reduced, JPG's default quality, a
            folder with further fonts.

    Returns:
        The picture; for ``image/info`` and ``image/average-hue`` JSON.

    Raises:
        OssError: The process is not valid, an object is missing, or the file cannot be processed
            like that: the error that a server answers, with its ``code``, ``message`` and ``ec``.
        RuntimeError: libvips is too old.
    """
    from .image import transform as pipeline
    from .image.config import Limits, Rendering

    how = rendering or Rendering()
    return pipeline.transform(
        data,
        process,
        objects=objects or {},
        limits=limits or Limits(),
        rendering=how,
        fonts=lambda: _fonts(how.fonts_dir),
    )


_fonts_lock = threading.Lock()  # no text is drawn before libvips has all fonts for it


def _fonts(folder: str) -> Fonts:
    """Those of the installation, the system and a folder, given to libvips."""
    with _fonts_lock:
        return _installed(folder)


@cache
def _installed(folder: str) -> Fonts:
    from .worker import fontfiles

    found = fontfiles.find(folder)
    found.install()
    return found.fonts


_MODULES = {  # name -> where it is; imported when it is first used
    "Credential": "gate.sign",
    "Limits": "image.config",
    "OssError": "errors",
    "Picture": "image.transform",
    "Rendering": "image.config",
    "explain": "image.transform",
    "sign_url": "gate.sign",
}

if not TYPE_CHECKING:  # a type checker would take any name then

    def __getattr__(name: str) -> Any:
        """The public names; libvips, Pillow and pydantic are not imported before they are used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
