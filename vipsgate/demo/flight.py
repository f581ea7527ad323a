"""A flight over the mountains: the video, in H.264, where PyAV is there to make it."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvips import Image

KEY, LAND = "flight.mp4", "mountains.jpg"
WIDTH, HEIGHT = 1280, 720  # pixels
RATE, SECONDS = 12, 10  # pictures a second
GROUP = 48  # pictures from one key frame to the next
ENCODER = "libx264"  # what PyAV's wheel brings; another one may lack it


def video(land: Path) -> bytes:
    """The file, made of the picture ``land``; empty where it cannot be made."""
    try:
        import av
    except ImportError:
        return b""
    if ENCODER not in av.codec.codecs_available:
        return b""
    from pyvips import Image

    picture, file = Image.new_from_file(str(land)).addalpha().copy_memory(), io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(ENCODER, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # one thread, or the bytes would be others on every machine
        params = f"threads=1:keyint={GROUP}:min-keyint={GROUP}:scenecut=0"
        stream.options = {"preset": "veryfast", "crf": "29", "x264-params": params}
        for number in range(RATE * SECONDS):
            seen = bytes(_seen(picture, number / (RATE * SECONDS - 1)).write_to_memory())
            frame = av.VideoFrame.from_bytes(seen, WIDTH, HEIGHT, format="rgba")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _seen(picture: Image, time: float) -> Image:
    """The part of the picture that is seen at a time from 0 to 1: from the left to the right."""
    left = round((picture.width - WIDTH) * (3 - 2 * time) * time * time)
    return picture.crop(left, (picture.height - HEIGHT) // 2, WIDTH, HEIGHT)
