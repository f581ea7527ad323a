"""Takes one picture of a video with FFmpeg, by PyAV, which is an optional dependency.

A video is read through its descriptor, never whole: FFmpeg seeks to the key frame before the
requested moment, packets are read from there, and only those from the last key frame on are
decoded.

Videos are untrusted. The demuxer is chosen from :mod:`..formats.containers`, only two decoders are
allowed, FFmpeg opens no file by name, and it has one thread. Its allocations are limited, because a
file of a hundred bytes may claim an index of gigabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ...errors import BadRequest, ImageDamage, ImageTooLarge, OssError
from .. import pixels, plan
from ..config import Limits
from ..cost import Cost
from ..formats import codecs, containers
from ..formats.probe import unreadable
from ..frame import Header
from .seek import OpenVideo
from .snapshot import Snapshot

if TYPE_CHECKING:
    from pyvips import Image

    from ..prepared import RenderContext

INSTALL = "pip install 'vipsgate[video]'"
DECODERS = {"h264": "H.264", "hevc": "H.265"}  # OSS guide, Video snapshots
BEGINNING = 128  # first bytes of a file, by which its container is recognised
OPTIONS = {
    "codec_whitelist": ",".join(DECODERS),
    "probesize": "5000000",  # bytes that are read to find the streams; FFmpeg's default
    "analyzeduration": "5000000",  # microseconds, likewise
    "fpsprobesize": "0",  # frames that are read to find the frame rate, which is not used
    "max_streams": "64",
    "enable_drefs": "0",  # references of an MP4 to other files
    "use_absolute_path": "0",
}
KEPT_PICTURES = 12  # that a decoder keeps for prediction; the standards allow 16 small ones
CONVERSION_BYTES = 9  # bytes for each pixel that converting the result takes
FAST_SECONDS = 0.05  # seconds of one core to decode a key frame of 1080p
EXACT_SECONDS = 0.5  # seconds with all pictures up to the moment; there are rarely more than 250
HD_ROWS = 720  # rows from which a video with unspecified colours is taken for HD, as players do
# AVColorSpace (ITU-T H.273) -> libswscale's number of it; other colours are left to libswscale
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
HD, SD, UNSPECIFIED = 1, 5, 2  # AVColorSpace; the last is "unspecified"
LIMITED, FULL = 1, 2  # AVColorRange
# display matrix (ISO 14496-12, 8.2.2) by the signs of a, b, c, d -> libvips' operations
TURNS: dict[tuple[int, ...], tuple[str, ...]] = {
    (0, 1, -1, 0): ("rot90",),
    (-1, 0, 0, -1): ("rot180",),
    (0, -1, 1, 0): ("rot270",),
    (-1, 0, 0, 1): ("fliphor",),
    (1, 0, 0, -1): ("flipver",),
    (0, 1, 1, 0): ("rot90", "fliphor"),
    (0, -1, -1, 0): ("rot270", "fliphor"),
}


def library() -> Any:
    """Return the module ``av``.

    Raises:
        BadRequest: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise BadRequest(
            f"Videos are an optional part that is not installed here: {INSTALL}."
        ) from None
    return av


def installed() -> bool:
    """Return whether pictures of videos can be taken here."""
    try:
        library()
    except BadRequest:
        return False
    return True


def version() -> str:
    """Return the version of FFmpeg, in words."""
    return f"FFmpeg {library().ffmpeg_version_info}" if installed() else "no FFmpeg"


class TooExpensive(Exception):
    """The picture would take more memory than its job may; nothing has been decoded.

    Args:
        cost: The estimated cost.
    """

    def __init__(self, cost: Cost) -> None:
        self.cost = cost


def cost(snapshot: Snapshot, limits: Limits) -> Cost:
    """Return the estimated cost of a picture before its video is opened.

    This is the largest cost of any. Opening a video takes a fifth of the work, so only a single key
    frame is estimated by the video's size, by :class:`TooExpensive`.
    """
    if snapshot.m == "fast":
        return Cost(FAST_SECONDS, 0)
    return Cost(EXACT_SECONDS, limits.render_bytes)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a video.

    Attributes:
        image: The picture in memory, 8-bit sRGB, not turned.
        turns: Names of libvips' operations that turn it upright; empty unless ``ar`` is set.
        at: Its time in milliseconds after the video's first picture.
        decoded: Number of pictures that were decoded for it.
    """

    image: Image
    turns: tuple[str, ...]
    at: float
    decoded: int


def answer(
    descriptor: int,
    snapshot: Snapshot,
    memory: int,
    context: RenderContext,
    stopped: Callable[[], bool],
    most: int | None = None,
) -> str:
    """Write the picture to the descriptor ``memory``, and return its MIME type.

    Args:
        descriptor: Descriptor of the video, whose position is not changed.
        snapshot: The parsed request.
        memory: Descriptor of an empty file.
        context: Limits, rendering options, and the watcher of images.
        stopped: Returns whether the job was cancelled.
        most: Bytes of memory that may be used; ``None`` for ``limits.render_bytes``.

    Raises:
        TooExpensive: More than ``most`` would be needed.
        BadRequest: The file is not a video, or has another codec than those in :data:`DECODERS`.
        InvalidArgument: The requested picture is larger than the video.
        ImageTooLarge: The video has too many pixels, or its key frames are too far apart.
        ImageDamage: The video cannot be decoded.
    """
    from ..render import FAULTS

    shot = take(descriptor, snapshot, context.limits, stopped, most)
    image = shot.image
    for turn in shot.turns:
        image = getattr(image, turn)()
    size = image.width, image.height
    width, height = snapshot.size(*size)
    result = plan.make(
        Header(snapshot.f, width, height), (), context.limits, context.rendering
    ).result
    image = pixels.scaled(image, width, height, size)
    codec = codecs.CODECS[snapshot.f]
    context.watch(image)
    try:
        codec.save(image, memory, result)
    except FAULTS as error:
        raise unreadable(error) from None
    return codec.mime


def take(
    descriptor: int,
    snapshot: Snapshot,
    limits: Limits,
    stopped: Callable[[], bool] = lambda: False,
    most: int | None = None,
) -> Shot:
    """Decode the picture. When this returns, all other memory of FFmpeg has been freed.

    Raises:
        TooExpensive, OssError: As for :func:`answer`.
    """
    demuxer, av = _demuxer(os.pread(descriptor, BEGINNING, 0)), library()
    _bound(limits.render_bytes // 4)
    options = {"max_pixels": str(_most(limits))}  # the container may name another size
    try:
        with av.open(
            _File(descriptor, stopped),
            format=demuxer,
            options=options,
            container_options=OPTIONS,
            io_open=_closed,
            **_lenient(av),
        ) as container:
            stream = _stream(container)
            needed = _admit(stream, limits)
            if most is not None and needed > most:
                seconds = FAST_SECONDS if snapshot.m == "fast" else EXACT_SECONDS
                raise TooExpensive(Cost(seconds, needed))
            stream.codec_context.options = options
            video = OpenVideo(container, stream, limits, stopped)
            frame = video.picture_at(snapshot.t, fast=snapshot.m == "fast")
            if frame is None:
                raise ImageDamage("The image file may be damaged. The video has no picture.")
            at = video.milliseconds(frame)
            image, turns = _image(frame), _turns(frame) if snapshot.ar else ()
            del frame
    except (OssError, MemoryError):
        raise
    except (av.FFmpegError, OSError, ValueError, LookupError, ArithmeticError) as error:
        raise unreadable(ValueError(getattr(error, "strerror", None) or str(error))) from None
    if snapshot.ar:
        gc.collect(1)  # PyAV's frame and its side data refer to each other, and to many pictures
    return Shot(image, turns, at, video.decoded)


class _File:
    """The file for FFmpeg. It has its own position, because the descriptor's is shared."""

    def __init__(self, descriptor: int, stopped: Callable[[], bool]) -> None:
        self._descriptor, self._stopped, self._at = descriptor, stopped, 0

    def read(self, count: int) -> bytes:
        if self._stopped():
            return b""  # like the end of the file
        data = os.pread(self._descriptor, count, self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if begin is None:
            begin = os.fstat(self._descriptor).st_size
        if begin + offset < 0:
            return -1  # PyAV would print an exception, and not pass it on
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at


def _lenient(av: Any) -> dict[str, str]:
    """The option with which titles that are not UTF-8 are no error; PyAV 19 always accepts them."""
    old = int(av.__version__.partition(".")[0]) < 19
    return {"metadata_errors": "replace"} if old else {}


def _closed(url: str, flags: int, options: dict[str, str]) -> Any:
    """Refuse to open other files that a file refers to."""
    raise PermissionError("The file refers to another one.")


@cache
def _bound(most: int) -> None:
    """Limit each of FFmpeg's allocations: an index of 30 million entries would take 700 MB."""
    ctypes.CDLL(library()._core.__file__).av_max_alloc(ctypes.c_size_t(most))


def _demuxer(begin: bytes) -> str:
    for name, magic in codecs.MAGIC.items():
        if magic.match(begin):
            raise BadRequest(f"The object is a picture ({name}); video/snapshot takes a video.")
    container = containers.find(begin)
    if container is None:
        what = "is not a video of a known kind" if begin else "is empty"
        raise BadRequest(f"The object {what}; expected one of {containers.NAMES}.")
    return container.demuxer


def _stream(container: Any) -> Any:
    """Return the first video stream that is not a cover; other streams are not read.

    Raises:
        BadRequest: There is none, or none with a codec in :data:`DECODERS`.
    """
    cover = library().stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & cover]
    if not streams:
        raise BadRequest("The object has no video stream.")
    known = [one for one in streams if one.codec_context and one.codec_context.name in DECODERS]
    if not known:
        codec = streams[0].codec_context and streams[0].codec_context.codec.canonical_name
        raise BadRequest(
            f"The video is coded as {codec or 'something unknown'}; "
            f"expected {' or '.join(DECODERS.values())}."
        )
    for other in container.streams:
        if other is not known[0]:
            other.discard = library().stream.Discard.all
    known[0].codec_context.thread_type = "NONE"
    known[0].codec_context.thread_count = 1
    return known[0]


def _most(limits: Limits) -> int:
    """Return the most pixels that fit ``render_bytes`` in the smallest pixel format.

    That is 4:2:0 with 8 bits, 1.5 bytes for each pixel.
    """
    room = max(0, limits.render_bytes - plan.PIPELINE_BYTES)
    return max(1, min(limits.source_pixels, int(room / (KEPT_PICTURES * 1.5 + CONVERSION_BYTES))))


def _admit(stream: Any, limits: Limits) -> int:
    """Check the size of a video before any of it is decoded, and return the bytes it will take.

    Raises:
        ImageTooLarge: A side, the area or the memory exceeds a limit.
    """
    context = stream.codec_context
    width, height, kind = context.width, context.height, context.format
    size = f"The video has {width}x{height} pixels"
    if max(width, height) > limits.source_side:
        raise ImageTooLarge(f"{size}; a side may have {limits.source_side}.")
    if width * height > limits.source_pixels:
        raise ImageTooLarge(
            f"{size}; Maximal size of image supported is {limits.source_pixels} pixels."
        )
    each = KEPT_PICTURES * (kind.padded_bits_per_pixel / 8 if kind else 1.5) + CONVERSION_BYTES
    memory = int(plan.PIPELINE_BYTES + width * height * each)
    if memory > limits.render_bytes:
        raise ImageTooLarge(
            f"{size}, which would take {memory} bytes of memory; it may take {limits.render_bytes}."
        )
    return memory


def _image(frame: Any) -> Image:
    """Convert a frame to sRGB; subsampled colours are interpolated, not repeated."""
    from pyvips import Image

    how = library().video.reformatter.Interpolation
    matrix, levels = frame.colorspace, frame.color_range
    if matrix == UNSPECIFIED:
        matrix = HD if max(frame.width * 9 // 16, frame.height) >= HD_ROWS else SD
    rgb = frame.reformat(
        format="gbrp",  # planes take half as long as interleaved pixels
        src_colorspace=MATRICES.get(matrix),
        src_color_range=levels or (FULL if frame.format.name.startswith("yuvj") else LIMITED),
        dst_color_range=FULL,
        interpolation=how.BICUBIC | how.ACCURATE_RND | how.FULL_CHR_H_INT | how.FULL_CHR_H_INP,
        threads=1,
    )
    height = rgb.height
    green, blue, red = (
        Image.new_from_memory(memoryview(plane), plane.line_size, height, 1, "uchar")
        for plane in rgb.planes
    )
    image = red.bandjoin([green, blue]).copy(interpretation="srgb")
    return image.crop(0, 0, rgb.width, height)  # rows are padded in memory


def _turns(frame: Any) -> tuple[str, ...]:
    """Return the operations of the display matrix; empty if it is not made of quarter turns."""
    with contextlib.suppress(KeyError, struct.error):
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(frame.side_data["DISPLAYMATRIX"]))
        return TURNS.get(tuple((one > 0) - (one < 0) for one in (a, b, c, d)), ())
    return ()
