"""Videos whose frames are numbered, so that a test knows which one it has."""

import functools
import io
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

BARS = 8  # across a numbered picture, the lowest bit of its number on the left


def _numbered(number: int, width: int, height: int) -> np.ndarray:
    """Bars that are light where the number has a 1."""
    lit = number >> np.arange(width) * BARS // width & 1
    return np.broadcast_to((20 + 215 * lit)[None, :, None], (height, width, 3)).astype(np.uint8)


def _film(
    kind: str = "mp4",
    codec: str = "h264",
    *,
    size: tuple[int, int] = (64, 48),
    count: int = 100,
    gop: int = 25,
    rate: str = "25",
    offset: int = 0,
    between: int = 2,
    pixels: str = "yuv420p",
    more: str = "",
    turn: tuple[float, bool, bool] | None = None,
    paint: Callable[[int, int, int], np.ndarray] = _numbered,
    setup: Callable[[object], None] = lambda context: None,
    sound: bool = False,
    **muxer: str,
) -> bytes:
    """A video of ``count`` pictures, each with its number; a key frame comes every ``gop``."""
    av = pytest.importorskip("av", reason="pip install 'vipsgate[video]'")
    encoder = {"h264": "libx264", "hevc": "libx265"}.get(codec, codec)
    if encoder not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {encoder}")
    file = io.BytesIO()
    options = {name.replace("__", "-"): text for name, text in muxer.items()}
    with av.open(file, "w", format=kind, options=options) as container:
        stream = container.add_stream(encoder, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        words = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={between}:{more}"
        alone = {"libx264": "threads=1", "libx265": "pools=none:frame-threads=1:log-level=none"}
        words += alone.get(encoder, "")
        stream.options = {"crf": "8", "preset": "veryfast", f"{encoder[3:]}-params": words}
        setup(stream.codec_context)
        if turn:
            stream.set_display_rotation(*turn)
        noise = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(paint(number, *size), format="rgb24")
            frame.pts, frame.time_base = number + offset, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if noise:
            hum = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            hum.sample_rate = 8000
            container.mux(noise.encode(hum))
            container.mux(noise.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """``film("mkv", "hevc", size=(64, 48), count=100, gop=25)``: a video whose frames are told."""
    return functools.cache(_film)


@pytest.fixture(scope="session")
def number() -> Callable[[np.ndarray], int]:
    """The number that a picture of a film shows."""

    def read(picture: np.ndarray) -> int:
        row = np.asarray(picture).astype(int)[picture.shape[0] // 2, :, 0]
        middles = (2 * np.arange(BARS) + 1) * len(row) // (2 * BARS)
        return int(sum((row[middle] > 128) << bit for bit, middle in enumerate(middles)))

    return read
