"""How much of a file is needed to tell of it: the beginning says what the whole does."""

import io

import numpy as np
import pytest
from PIL import Image

from vipsgate.image import info
from vipsgate.image.formats import header_size, jpeg
from vipsgate.image.formats.probe import probe

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 400, 3), dtype="uint8"))


def saved(kind, picture=NOISE, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def exif(size=0):
    made = Image.Exif()
    made[0x0131] = "software " + "x" * size
    made[0x0112] = 6
    return made


def commented(jpeg, count):
    """A JPEG with long comments in front."""
    comment = b"\xff\xfe" + (65535).to_bytes(2, "big") + bytes(65533)
    return jpeg[:2] + count * comment + jpeg[2:]


def strayed(jpeg, stray):
    """A JPEG with bytes in front of its first segment, and of its first table."""
    at = jpeg.index(b"\xff\xdb")
    return jpeg[:2] + stray + jpeg[2:at] + stray + jpeg[at:]


ALPHA = NOISE.convert("RGBA")
ALPHA.putalpha(128)
PROFILE = bytes(range(256)) * 300

FILES = {
    # what, its bytes once they are needed, at most so many are needed; None for all
    "jpg": (lambda: saved("JPEG"), 1000),
    "jpg, progressive": (lambda: saved("JPEG", progressive=True), 1000),
    "jpg with EXIF": (lambda: saved("JPEG", exif=exif()), 2000),
    "jpg with much EXIF": (lambda: saved("JPEG", exif=exif(60_000)), 62_000),
    "jpg with a profile": (lambda: saved("JPEG", icc_profile=PROFILE), 80_000),
    "jpg with EXIF behind comments": (lambda: commented(saved("JPEG", exif=exif()), 3), 200_000),
    "jpg with EXIF behind stray bytes": (
        lambda: strayed(saved("JPEG", exif=exif()), bytes(30_000) + b"\xff\0\xff\xd0"),
        62_000,
    ),
    "jpg with EXIF behind fill bytes": (
        lambda: strayed(saved("JPEG", exif=exif()), b"\xff" * 99),
        2000,
    ),
    "webp": (lambda: saved("WEBP", quality=95), 100),
    "webp, lossless": (lambda: saved("WEBP", lossless=True), 100),
    "webp with alpha": (lambda: saved("WEBP", ALPHA, quality=95), 200),
    "webp with a profile": (lambda: saved("WEBP", icc_profile=PROFILE), 78_000),
    "webp with EXIF": (lambda: saved("WEBP", exif=exif()), None),
    "webp, animated": (lambda: saved("WEBP", save_all=True, append_images=[ALPHA]), None),
    "bmp": (lambda: saved("BMP"), 200),
    "bmp with a palette": (lambda: saved("BMP", NOISE.convert("P")), 1200),
    "png": (lambda: saved("PNG"), None),
    "gif": (lambda: saved("GIF"), None),
    "tiff": (lambda: saved("TIFF"), None),
    "avif": (lambda: saved("AVIF"), None),
}


@pytest.mark.parametrize("what", FILES)
def test_the_beginning_says_it(what):
    file, most = FILES[what]
    data = file()
    if most is None:
        assert header_size.needed(data[: len(data) // 2]) > len(data)
        return
    held = 16
    while (need := header_size.needed(data[:held])) > held:
        held = need
    assert held <= most
    hollow = data[:held] + bytes(len(data) - held)
    assert info.answer(probe(hollow)) == info.answer(probe(data))
    assert info.basic(probe(hollow)) == info.basic(probe(data))
    for cut in range(16, held, 997):  # however the beginning is cut, more is asked for
        assert header_size.needed(data[:cut]) > cut


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8\xff", b"RIFF", b"BM", b"x" * 99, b"\xff\xd8" + b"\xff" * 99]
)
def test_what_is_cut_off_needs_more(data):
    assert header_size.needed(data) > len(data)


def test_what_is_broken_is_told_as_of_the_whole():
    data = saved("JPEG")
    assert header_size.needed(data[:20] + bytes(500)) > 520  # stray bytes, and more may come
    assert header_size.needed(data[:20] + bytes(100_000)) <= 20 + jpeg.MAX_STRAY + 1
    assert header_size.needed(data[:20] + b"\xff\xe1\0\1" + bytes(500)) <= 24
    assert header_size.needed(data[:20] + b"\xff\xd8\xff\xf0" + bytes(500)) <= 20 + 2 + 0xFFF0
