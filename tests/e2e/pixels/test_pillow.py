"""Whatever Pillow writes comes out as what Pillow reads, pixel by pixel; TIFF: test_tiff.py."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 37, 28
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([X * 255 // 36, Y * 255 // 27, (X + Y) * 255 // 63], -1).astype("u1")
ALPHA = ((9 * X + 5 * Y) % 256).astype("u1")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16", "F")
SUBSAMPLED = ("4:4:4", "4:2:2", "4:2:0", "4:0:0")
WRITTEN = {  # format -> options of its writer, each with all of its values
    "PNG": {"bits": (None, 1, 2, 4), "transparency": (None, 5)},
    "BMP": {},
    "GIF": {"interlace": (0, 1), "transparency": (None, 5)},
    "WEBP": {"lossless": (True, False)},
    "JPEG": {"progressive": (False, True), "subsampling": (0, 1, 2), "restart_marker_rows": (0, 1)},
    "AVIF": {"subsampling": SUBSAMPLED, "range": ("full", "limited")},
}
# levels that decoders of a lossy codec differ by: by their arithmetic, or by how colours are spread
MOST = {"PNG": 0, "BMP": 0, "GIF": 0, "WEBP": 6, "JPEG": 40, "AVIF": 64}
MEAN = {"PNG": 0, "BMP": 0, "GIF": 0, "WEBP": 1.0, "JPEG": 1.5, "AVIF": 2}


def painted(mode):
    image = Image.fromarray(RGB)
    match mode:
        case "I":
            return Image.fromarray(RGB[..., 0].astype("i4") * 257)
        case "I;16":
            return Image.fromarray(RGB[..., 0].astype("u2") * 257)
        case "LA" | "PA":
            return Image.merge("LA", [image.convert("L"), Image.fromarray(ALPHA)]).convert(mode)
        case "RGBA":
            return Image.fromarray(np.dstack([RGB, ALPHA]))
        case "P":
            return image.quantize(16)
    return image.convert(mode)


def files():
    """Words -> the file, where Pillow can write it."""
    found = {}
    for name, options in WRITTEN.items():
        for mode, values in itertools.product(MODES, itertools.product(*options.values())):
            given = {
                key: value for key, value in zip(options, values, strict=True) if value is not None
            }
            if given.get("bits") and mode != "P":
                continue
            if given.get("bits") and given["bits"] < 4:  # 16 colours do not fit
                image = painted("RGB").quantize(1 << given["bits"])
            else:
                image = None
            file = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                (image or painted(mode)).save(file, name, **{"quality": 95} | given)
                words = [name, mode, *(f"{key}={value}" for key, value in given.items())]
                found[" ".join(words)] = file.getvalue()
    return found


FILES = files()


def read(data):
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I"):
        return np.asarray(Image.fromarray((np.asarray(image) >> 8).astype("u1")).convert("RGBA"))
    return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("written", FILES)
def test_as_pillow_reads(written, transformed, pixels):
    data, (name, mode) = FILES[written], written.split()[:2]
    got, want = pixels(transformed(data, "format,png").data, "RGBA"), read(data).astype(int)
    assert got.shape == want.shape
    assert np.abs(got[..., 3] - want[..., 3]).max() <= (4 if name in ("WEBP", "AVIF") else 0)
    if mode == "CMYK":  # whose ink it is, nobody says
        assert np.abs(got - want)[..., :3].mean() < 30
        return
    clear = want[..., 3] > 0
    off = np.abs(got - want)[clear][:, :3]
    assert off.max() <= MOST[name]
    assert off.mean() <= MEAN[name] * (2 if mode in ("P", "LAB") else 1)  # with hard edges
