"""A self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing.

The way of a request, and the module behind each step::

    front process (asyncio; never imports pyvips)
      -> web.connection        bytes -> a request; what is no HTTP is refused
      -> server.app            the conductor: calls what follows, words every error as OSS does
      -> delivery.fastpath     answered just now: the same answer again, if all is as it was
      -> gate.target           path and Host -> bucket, key, parameters
      -> gate.cors             what pages of other origins are told; a preflight ends here
      -> api                   method and parameters -> one call of its table, or 501
      -> gate.access           signature, role, ACL of the bucket, Referer -> a grant, or 403
      -> delivery.resolve      styles; each object: there? its ACL? protected? -> 404 or 403
      -> delivery.mirror       one that is missing: fetched, where a rule of its bucket says so
      -> delivery.negotiate    format,auto: what the client's Accept takes, a word of the process
      -> image.process         process text -> actions and canonical text, or 400
      -> gate.conditional      304 and 412
      -> delivery.derivatives  an object as it is; a picture: cached, in the making, or made now
      -> cache.tiers           memory, then disk, then a bucket that a fleet shares
      -> store.base            opens the source and its overlays: descriptors
      -> delivery.looks        what the window of g_auto is laid around: kept, or looked for now
      -> delivery.masters      a large source's reduced master, where it is kept, or comes back
      -> renderers.pool        a free renderer, a bounded queue, or 503
    renderer process (libvips; no files, no network; one picture at a time; can be killed)
      -> worker.main           a job and descriptors in, a memfd out
      -> image.formats.probe   the header; no pixel is read
      -> image.plan            size and limits of every step, memory and time
      -> image.optimize        the same picture by fewer steps
      -> image.render          one lazy libvips pipeline
    front process
      -> cache.tiers           keeps the derivative
      -> web.responses         headers and body, by sendfile

With several fronts (``server.fronts``) all of them do this, and :mod:`vipsgate.server.parent`
accepts the connections and passes each to one of them.

The packages (each one's docstring gives its rule)::

    cli        the commands                       store      objects on disk and in object stores
    server     start, conductor, admin port       cache      derivatives, in memory and on disk
    console    the web console of the admin port  renderers  the pool of renderer processes
    api        OSS's calls, one table; XML
    delivery   from a request to bytes            fronts     what several fronts share
    web        aiohttp and sockets                worker     the renderer process itself
    gate       who may have what; pure            image      actions, plan, libvips, formats
    catalog    bucket documents and uploads       observe    metrics, access log, traces
    outgoing   requests to listed servers         demo       the demo bucket and its tour
                                                  emulator   a stand-in for OSS in test suites

Beside them: settings (vipsgate.toml), buckets (one bucket's document), build (settings -> a store),
errors (OSS's error codes, one tree), filetimes (was an open file written to).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import OssError
    from .gate.sign import CdnKey, Credential, sign_url
    from .image.config import Limits, Rendering
    from .image.fonts import Fonts
    from .image.transform import Picture

__version__ = "0.2.0"
__all__ = [
    "CdnKey",
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
    accept: str = "",
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
        data: The file's bytes, or the descriptor of an open file, of which no more is read than it
            takes, from wherever it stands.
        process: The value of ``x-oss-process``: ``image/...`` or ``video/snapshot,...``.
        objects: Bytes by key, of the pictures that ``watermark`` lays on this one.
        accept: For whom ``format,auto`` chooses, as a client says it: ``image/avif,image/webp``.
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
    from .gate.accept import formats
    from .image import transform as pipeline
    from .image.automatic import OFFERED
    from .image.config import Limits, Rendering

    how = rendering or Rendering()
    return pipeline.transform(
        data,
        process,
        objects=objects or {},
        taken=formats(accept, OFFERED),
        limits=limits or Limits(),
        rendering=how,
        fonts=lambda: _fonts(how.fonts_dir),
    )


def explain(
    data: bytes | int,
    process: str,
    *,
    accept: str = "",
    limits: Limits | None = None,
    rendering: Rendering | None = None,
) -> dict[str, Any]:
    """Return the plan for a file as plain values, as ``vipsgate render --explain`` prints it.

    No pixel is read, but for the window of ``g_auto`` and ``g_face``. Watermark objects are not
    looked at: no size depends on them.

    Args:
        data: The picture's bytes, or the descriptor of the open file.
        process: What would be done to it: ``image/resize,w_400/rotate,90``.
        accept: For whom ``format,auto`` chooses; see :func:`transform`.
        limits: Of every picture; OSS's own by default.
        rendering: How pictures are made.

    Returns:
        ``process`` (the canonical text), ``source`` (the header), ``notes`` (what of the process
        would not be followed to the letter), and of a picture ``shrink``, ``stages`` (each action
        with the sizes before and after it), ``steps`` (what is run), ``result``, ``memory`` in
        bytes and ``seconds``, as estimated.

    Raises:
        OssError: The process is not valid, or the file would not be processed like that.
        RuntimeError: libvips is too old.
    """
    from .gate.accept import formats
    from .image import transform as pipeline
    from .image.automatic import OFFERED
    from .image.config import Limits, Rendering

    how = rendering or Rendering()
    return pipeline.explain(
        data,
        process,
        taken=formats(accept, OFFERED),
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

    typefaces = fontfiles.find(folder)
    typefaces.install()
    return typefaces.fonts


_MODULES = {  # name -> where it is; imported when it is first used
    "CdnKey": "gate.sign",
    "Credential": "gate.sign",
    "Limits": "image.config",
    "OssError": "errors",
    "Picture": "image.transform",
    "Rendering": "image.config",
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
