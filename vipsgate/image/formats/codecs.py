"""The formats: how each is recognised, loaded and saved, and what it can hold.

This table is the allow-list of loaders. The bytes decide, never a name or a Content-Type; what is
not recognised here never reaches libvips, and in a renderer every other loader is blocked, too.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import BadRequest
from ..frame import P3, Frame, Header
from . import bmp, containers, gif, heif, jpeg, png, tiff_directory, turbo
from .ondemand import Bytes

if TYPE_CHECKING:
    from pyvips import Image

WEBP_EFFORT = 4  # 0-6; libwebp's own default
WEBP_QUICK = 20  # 0-100, effort of a large lossless one
# 0-9; 2 scores 0.6 more in SSIMULACRA2 with as many bytes, in 1.7 times the time; libvips' default
# of 4 takes five times as long; 0 takes a third, and 8 % more bytes for an equal score
AVIF_EFFORT = 1
AVIF_THRIFTY = 3  # 5 % fewer bytes at an equal SSIMULACRA2 in 1.6 times the time of 2
FULL_COLOUR = 90  # quality from which libvips does not subsample colours
GIF_EFFORT = 3  # 1-10; libvips' default of 7 takes about ten times as long
XMP = "xmp-data"
MODES = ("", "L", "LA", "RGB", "RGBA")  # Pillow's, by the number of channels
KEEP = {"exif-data": 1, XMP: 2, "icc-profile-data": 8}  # field -> its bit of VipsForeignKeep


def _jpg(image: Image, descriptor: int, frame: Frame) -> None:
    image.jpegsave_target(
        _target(descriptor),
        Q=frame.quality,
        interlace=bool(frame.progressive),
        **_thrifty_jpg(frame),
        **_options(image, frame),
    )


def _thrifty_jpg(frame: Frame) -> dict[str, Any]:
    """Return options that make a JPEG smaller: by 13 % at an equal SSIMULACRA2, 5 % more in scans.

    The table of quantisers is ImageMagick's (N. Robidoux). Trellis quantisation would give 2 %
    more, in six times the time (bench/README.md).
    """
    if not frame.goal:
        return {}
    scans = {"optimize_scans": True} if frame.progressive else {}
    return {"quant_table": 3, "optimize_coding": True, **scans}


def _jpg_at_once(pixels: bytes, frame: Frame) -> bytes:
    """Encode like :func:`_jpg`, by Pillow's libjpeg-turbo, with a JFIF header."""
    assert frame.quality is not None  # the plan has decided it
    grey = len(pixels) == frame.area
    return _by_pillow(
        pixels,
        frame,
        "JPEG",
        quality=frame.quality,
        progressive=bool(frame.progressive),
        subsampling="4:4:4" if grey or frame.quality >= FULL_COLOUR else "4:2:0",
    )


def _by_pillow(pixels: bytes, frame: Frame, name: str, **options: Any) -> bytes:
    """Return a file that Pillow encodes from pixels in memory, row by row."""
    from PIL import Image

    mode = MODES[len(pixels) // frame.area]
    buffer = io.BytesIO()
    picture = Image.frombuffer(mode, (frame.width, frame.height), pixels, "raw", mode, 0, 1)
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def _jpg_writes(frame: Frame) -> float:
    if frame.goal:
        return 63 if frame.progressive else 15
    return 18 if frame.progressive else 5


def _png(image: Image, descriptor: int, frame: Frame) -> None:
    # not XMP, which libvips writes as a zTXt, where few programs look for it
    image.pngsave_target(_target(descriptor), **_options(image, frame, but=XMP))
    if frame.copyright and image.get_typeof(XMP):
        png.write_packet(descriptor, bytes(image.get(XMP)))


def _webp(image: Image, descriptor: int, frame: Frame) -> None:
    image.webpsave_target(
        _target(descriptor),
        Q=_webp_quality(frame),
        lossless=frame.lossless,
        effort=_webp_effort(frame),
        **_options(image, frame),
    )
    if image.hasalpha():
        _say_transparent(descriptor)


def _webp_at_once(pixels: bytes, frame: Frame) -> bytes:
    """Encode to the same bytes as :func:`_webp`, by Pillow's build of libwebp.

    It takes a sixth less time than the build that libvips uses.
    """
    return _by_pillow(
        pixels,
        frame,
        "WEBP",
        quality=_webp_quality(frame),
        lossless=frame.lossless,
        method=_webp_effort(frame),
    )


def _webp_quality(frame: Frame) -> int | None:
    """Return libwebp's quality; for a lossless picture it is an effort, low for a large one.

    More of it makes a large lossless picture no smaller.
    """
    return WEBP_QUICK if frame.lossless and frame.large else frame.quality


def _webp_effort(frame: Frame) -> int:
    """Return the effort, 0-6: less for a large picture, because a high effort takes much memory.

    Bytes for each pixel of 12 megapixels of noise: lossless 28 at 0 and 44 at 4, with alpha 31 and
    39, else 11 at 2 and 31 at 4. A photograph gets 6 to 18 % larger.
    """
    if not frame.large:
        return WEBP_EFFORT
    return 0 if frame.lossless or frame.alpha else 2


def _webp_encoding(frame: Frame) -> float:
    if frame.lossless:
        return (28 if frame.large else 42) + 1.5 * frame.alpha
    if frame.alpha:
        return 31 if frame.large else 40
    return 12 if frame.large else 32


def _say_transparent(descriptor: int) -> None:
    """Set the alpha flag of an extended header (WebP container, VP8X).

    The encoder crops each frame of an animation to its visible part. If that is opaque, it clears
    the flag, although the surroundings are transparent.
    """
    mark, flags = os.pread(descriptor, 4, 12), os.pread(descriptor, 1, 20)
    if mark == b"VP8X":
        os.pwrite(descriptor, bytes((flags[0] | 0x10,)), 20)


def _gif(image: Image, descriptor: int, frame: Frame) -> None:
    image.gifsave_target(_target(descriptor), effort=GIF_EFFORT, keep="none")
    if frame.copyright and image.get_typeof(XMP):
        gif.write_packet(descriptor, bytes(image.get(XMP)))


def _tiff(image: Image, descriptor: int, frame: Frame) -> None:
    image.tiffsave_target(
        _target(descriptor), compression="lzw", predictor="horizontal", **_options(image, frame)
    )
    if frame.copyright and image.get_typeof("exif-data"):  # of which libvips writes none in a TIFF
        tiff_directory.copy_texts(descriptor, bytes(image.get("exif-data"))[len(b"Exif\0\0") :])


class _OneThread:
    """A context in which libvips uses one thread for a picture; several threads may enter it.

    libaom divides a picture by its number of threads, which cannot be set in another way: the same
    plan would give other bytes on another machine.
    """

    def __init__(self) -> None:
        self._lock, self._within, self._before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        from pyvips import concurrency_get, concurrency_set

        with self._lock:
            if not self._within:
                self._before = concurrency_get()
                concurrency_set(1)
            self._within += 1

    def __exit__(self, *error: object) -> None:
        from pyvips import concurrency_set

        with self._lock:
            self._within -= 1
            if not self._within:
                concurrency_set(self._before)


one_thread = _OneThread()


def _avif(image: Image, descriptor: int, frame: Frame) -> None:
    with one_thread:
        image.heifsave_target(
            _target(descriptor),
            compression="av1",
            Q=frame.quality,
            lossless=frame.lossless,
            effort=AVIF_THRIFTY if frame.goal else AVIF_EFFORT,
            **_options(image, frame),
        )


def _avif_encoding(frame: Frame) -> float:
    colours = 60 if frame.lossless else 42 if _full(frame) else 24
    return colours + 16 * frame.alpha


def _heic_encoding(frame: Frame) -> float:
    if heif.tiled(frame):
        return 26 if frame.lossless else 11
    return (60 if frame.lossless else 35) + 19 * frame.alpha


def _full(frame: Frame) -> bool:
    """Return whether libvips does not subsample colours, or may not do so during a search."""
    return frame.quality is None or frame.quality >= FULL_COLOUR


def _options(image: Image, frame: Frame, but: str = "") -> dict[str, Any]:
    """Return the options for metadata and profile: nothing, or libvips' own profile of 480 bytes.

    If metadata of the source is kept, the image has only the fields for it
    (:func:`.metadata.bare`).

    Args:
        image: The image to write.
        frame: The frame of the result.
        but: A field that libvips is not to write.
    """
    if not (frame.copyright or frame.profile):
        return {"keep": "icc", "profile": "p3"} if frame.gamut == P3 else {"keep": "none"}
    fields = (field for field in KEEP if field != but and image.get_typeof(field))
    keep = sum(KEEP[field] for field in fields)
    if frame.gamut == P3 and not keep & KEEP["icc-profile-data"]:
        return {"keep": keep | KEEP["icc-profile-data"], "profile": "p3"}
    return {"keep": keep}


def _target(descriptor: int) -> Any:
    from pyvips import Target

    return Target.new_to_descriptor(descriptor)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format.

    Attributes:
        mime: Content-Type of a result.
        loader: libvips' operation that reads it; empty if there is none.
        save: Writes the image to a descriptor, by the frame.
        load_at_once: Returns the same pixels as ``loader``, in memory, in less time; ``None`` if it
            cannot. Takes the file and the loader's shrink.
        at_once: Encodes pixels in memory, row by row, 8-bit grey or sRGB, if that can be less work
            than ``save``.
        whole: Whether ``save`` also needs all pixels before it begins, and ``at_once`` is less work
            for a picture of any size.
        header: Reads the header, if libvips does not.
        load: Reads the pixels, if libvips does not.
        side: Largest side of a source in pixels; ``None`` for ``limits.source_side``.
        side_ec: OSS's sub-code for a larger one.
        saved: Largest width and height that the encoder takes.
        saved_ec: OSS's sub-code for more.
        quality: Encoder quality if a request names none, 0 for ``image.jpeg_quality``; ``None`` for
            a lossless format.
        alpha: Whether it supports transparency.
        animated: Whether it supports animations.
        profile: Whether it supports profiles.
        rights: Whether it supports copyright and author.
        shrink: The part of an allowed shrink that the loader can do itself.
        stretches: Whether the pixels of a reduced picture cover exactly the source; else the last
            ones extend beyond its border.
        options: The loader's options for that shrink.
        completed: Returns a copy of the file with larger sides, so that a shrunk picture has all
            pixels of the source, and its last ones extend beyond the source.
        fail_on: libvips' word for errors that stop the loader; by default those after which a part
            would be missing. After others, the picture is rendered as decoded.
        copies: How often the file is in memory while it is decoded.
        held: Bytes for each pixel of the source that decoding keeps, given that shrink, without
            lines and the file itself (see :func:`.plan.make`). An upper bound of what
            bench/estimates.py has measured, with pictures of all kinds and up to 250 megapixels.
        encoding: Bytes for each pixel of one frame of the result that encoding keeps (likewise).
        holds_frames: Whether decoding keeps the pixels of all frames that are read.
        frame_bytes: Likewise, for each pixel of every frame of an animation.
        reads: Nanoseconds for each pixel of the source that decoding takes, given that shrink
            (see :mod:`.cost`).
        writes: Nanoseconds for each pixel of the result that encoding takes.
    """

    mime: str
    loader: str
    save: Callable[[Image, int, Frame], None]
    load_at_once: Callable[[Bytes, int], Image | None] | None = None
    at_once: Callable[[bytes, Frame], bytes] | None = None
    whole: bool = False
    header: Callable[[bytes], Header] | None = None
    load: Callable[[bytes, Header], Image] | None = None
    side: int | None = None
    side_ec: str = ""
    saved: tuple[int, int] = (65535, 65535)
    saved_ec: str = ""
    quality: int | None = None
    alpha: bool = True
    animated: bool = False
    profile: bool = True
    rights: bool = True
    shrink: Callable[[float], float] = lambda allowed: 1.0
    stretches: bool = False
    options: Callable[[float], dict[str, Any]] = lambda shrink: {}
    completed: Callable[[bytes, int, int], bytes] | None = None
    fail_on: Callable[[Header], str] = lambda header: "truncated"
    copies: int = 2  # ours, and that of pyvips
    held: Callable[[Header, float], float] = lambda header, shrink: 0.0
    encoding: Callable[[Frame], float] = lambda frame: 0.0
    holds_frames: bool = False
    frame_bytes: Callable[[Frame], float] = lambda frame: 0.0
    reads: Callable[[Header, float], float] = lambda header, shrink: 15.0
    writes: Callable[[Frame], float] = lambda frame: 50.0


CODECS: dict[str, Codec] = {
    "jpg": Codec(
        "image/jpeg",
        "jpegload_buffer",
        _jpg,
        turbo.loaded,
        _jpg_at_once,
        side_ec="0040-00000019",
        saved=(65500, 65500),
        quality=0,
        alpha=False,
        # libjpeg scales by eighths while it transforms; libvips uses these of them
        shrink=lambda allowed: max(step for step in (1.0, 2.0, 4.0, 8.0) if step <= allowed),
        options=lambda shrink: {"shrink": int(shrink)},
        completed=jpeg.with_sides,
        # two bytes for each coefficient of a progressive file, read or written
        held=lambda header, shrink: 2 * header.samples if header.interlaced else 0,
        encoding=lambda frame: bool(frame.progressive) * (12.5 if _full(frame) else 6.5),
        reads=lambda header, shrink: (8 if header.interlaced else 2) + 4 / shrink**2,
        writes=_jpg_writes,
    ),
    "png": Codec(
        "image/png",
        "pngload_buffer",
        _png,
        held=lambda header, shrink: header.bands * header.depth / 8 if header.interlaced else 0,
        reads=lambda header, shrink: 14,
        writes=lambda frame: 45,
    ),
    "webp": Codec(
        "image/webp",
        "webpload_buffer",
        _webp,
        at_once=_webp_at_once,
        whole=True,
        saved=(16383, 16383),  # 14 bits in the file
        quality=80,
        animated=True,
        shrink=lambda allowed: allowed,
        stretches=True,
        options=lambda shrink: {"scale": 1 / shrink},
        held=lambda header, shrink: (
            (4 if header.lossless else 8) / shrink**2
            + 4 * header.lossless
            + header.alpha
            + 8 * (header.pages > 1)
        ),
        encoding=_webp_encoding,
        holds_frames=True,
        frame_bytes=lambda frame: 11 if frame.lossless else 3,
        reads=lambda header, shrink: 32 if header.lossless else 8 + 12 / shrink**2,
        writes=lambda frame: 800 if frame.lossless else 80,
    ),
    "gif": Codec(
        "image/gif",
        "gifload_buffer",
        _gif,
        animated=True,
        profile=False,
        held=lambda header, shrink: 9 if header.pages > 1 else 5,
        encoding=lambda frame: 13,
        frame_bytes=lambda frame: 3,
        reads=lambda header, shrink: 10,
        writes=lambda frame: 420,
    ),
    "tiff": Codec(
        "image/tiff",
        "tiffload_buffer",
        _tiff,
        side=16384,
        side_ec="0040-00000018",
        # without unusual tags (:mod:`.tiff`), libtiff's errors mean missing pixels; those of tiles
        # reach libvips only as warnings
        fail_on=lambda header: "warning" if header.tiled else "error",
        copies=3,  # and the rewritten one
        held=lambda header, shrink: header.bands * header.depth / 8 * header.rows / header.height,
    ),
    "bmp": Codec(
        "image/bmp",
        "",
        bmp.write,
        header=bmp.header,
        load=bmp.load,
        profile=False,
        rights=False,
        side_ec="0040-00000017",
        held=lambda header, shrink: 8,  # Pillow's pixels, their bytes
        encoding=lambda frame: 8,
    ),
    "avif": Codec(
        "image/avif",
        "heifload_buffer",
        _avif,
        side=10000,
        side_ec="0040-00000014",
        saved=(4096, 2304),
        saved_ec="0040-00000014",
        quality=60,
        copies=5,  # with the one that has its alpha turned
        held=lambda header, shrink: (
            (25 + 5 * header.alpha if header.depth > 8 else 17.5 + 2.5 * header.alpha)
            * max(1, header.coded / (header.width * header.height))
        ),
        encoding=_avif_encoding,
        reads=lambda header, shrink: 60,
        writes=lambda frame: 540 if frame.lossless else 510 if frame.goal else 190,
    ),
    "heic": Codec(
        "image/heic",
        "",
        heif.write,
        header=heif.header,
        load=heif.load,
        side=16384,
        saved=(16384, 16384),
        quality=50,  # libheif's own default
        copies=3,  # likewise
        held=lambda header, shrink: (
            4
            * header.samples
            * (1 if header.depth == 8 else 2)
            * max(1, header.coded / (header.width * header.height))
        ),
        encoding=_heic_encoding,
        reads=lambda header, shrink: 25,
        writes=lambda frame: 130,
    ),
}

# what the files of a format begin with
MAGIC = {
    "jpg": re.compile(rb"\xff\xd8.", re.DOTALL),  # stray bytes may follow
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
    "tiff": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "bmp": re.compile(rb"BM"),
    # one of its brands (ISO 23008-12; AV1 Image File Format)
    "avif": re.compile(rb".{4}ftyp(?:.{4}){0,30}?avi[fs]", re.DOTALL),
    "heic": re.compile(rb".{4}ftyp(?:.{4}){0,30}?he[iv][cxms]", re.DOTALL),
}


def sniff(data: bytes) -> str:
    """Recognise a format by the first bytes.

    Raises:
        BadRequest: None of those in :data:`CODECS`.
    """
    for name, magic in MAGIC.items():
        if magic.match(data):
            return name
    if video := containers.find(data):
        raise BadRequest(
            f"The object is a {video.names} file, not a picture; "
            "video/snapshot makes a picture of a video."
        )
    what = "is not a picture of a known format" if data else "is empty"
    raise BadRequest(f"The object {what}; expected one of {', '.join(CODECS)}.")


HEAD_BYTES = 4096  # of a file, which are enough for :func:`is_picture`
# a device-independent bitmap's own header has 12 to 124 bytes; text that begins so has none
BITMAP = re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL)
# pictures made of the boxes of an MP4, however they are coded (ISO 23008-12, ISO 23000-22, AVIF)
BRANDS = re.compile(rb"mif[12]|msf1|miaf|he[iv][cxms]|avi[fs]|avc[is]|jpe?gs?|vvi[cs]")


def is_picture(head: bytes) -> bool:
    """Return whether the first bytes are those of what OSS calls an image object.

    These are JPG, PNG, BMP, GIF, WebP, TIFF, HEIC and AVIF (OSS guide, Image processing), including
    kinds that cannot be read here; not SVG, which OSS does not process.

    Args:
        head: The first :data:`HEAD_BYTES` of the file, or all of a shorter one.
    """
    shown = (magic.match(head) for name, magic in MAGIC.items() if name != "bmp")
    return any(shown) or BITMAP.match(head) is not None or _has_brand(head)


def _has_brand(head: bytes) -> bool:
    """Return whether one of the brands of an ``ftyp`` box is a picture's (ISO 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return False
    size = int.from_bytes(head[:4])
    end = size if size >= 8 else len(head)  # 0: up to the end; 1: a length of 64 bits follows
    return any(BRANDS.fullmatch(head[at : at + 4]) for at in range(8, min(end, len(head)), 4))
