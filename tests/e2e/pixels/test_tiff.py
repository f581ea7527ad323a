"""Every kind of TIFF: the picture, or 400 that names the kind; never another picture.

Kinds are compression by photometric interpretation by sample by layout. Those of our own writer are
compared with the samples that were written, those that Pillow writes with what Pillow reads.
"""

import contextlib
import io
import itertools
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms
from support.tiffs import COMPRESSORS, SHORT, blocks, directory, jpeg, write

from vipsgate.errors import BadRequest, ImageDamage

WIDTH, HEIGHT = 56, 40
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([X * 255 // 55, Y * 255 // 39, (X + Y) * 255 // 94], -1).astype("u1")
GREY = ((3 * X + 2 * Y) * 255 // 243).astype("u1")
ALPHA = ((5 * X + 3 * Y) % 256).astype("u1")
RGBA = np.dstack([RGB, ALPHA])
INKS = np.asarray(Image.fromarray(RGB).convert("CMYK"))


def lab():
    """CIELab of 8 bits, a and b signed, and the picture that LittleCMS makes of it."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    there = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    stored = np.asarray(ImageCms.applyTransform(Image.fromarray(RGB), there))
    back = ImageCms.buildTransform(*reversed(profiles), "LAB", "RGB")
    seen = ImageCms.applyTransform(Image.frombytes("LAB", (WIDTH, HEIGHT), stored.tobytes()), back)
    return stored, np.asarray(seen)


LAB, LAB_SEEN = lab()
YCC = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
FEWER = {530: (SHORT, [2, 2])}  # YCbCrSubSampling
ALL = {530: (SHORT, [1, 1])}


@pytest.fixture(scope="module")
def seen(transformed, pixels):
    def seen(data):
        result = pixels(transformed(data, "format,png").data)
        return result if result.ndim == 3 else result[..., None]

    return seen


def alike(got, want, mean=1, most=4):
    """Are these the same picture, as far as rounding goes?"""
    want = np.asarray(want)
    want = want if want.ndim == 3 else want[..., None]
    if got.shape[2] != want.shape[2] and 1 in (got.shape[2], want.shape[2]):
        got, want = np.broadcast_arrays(got, want)
    assert got.shape == want.shape
    off = np.abs(got.astype(int) - want.astype(int))
    assert off.mean() <= mean
    assert off.max() <= most


def refused(seen, data, name):
    with pytest.raises(BadRequest, match="is of a kind that is not supported") as caught:
        seen(data)
    assert name in caught.value.message


# --- samples by photometric interpretation


def levels(values, bits, dtype=None):
    """Values 0-255 as samples of so many bits."""
    dtype = dtype or ("u1" if bits <= 8 else "u2" if bits <= 16 else "u4")
    return np.round(values / 255 * (2**bits - 1)).astype(dtype)


def signed(values, bits):
    return (levels(values, bits, "i8") - (1 << (bits - 1))).astype(f"i{bits // 8}")


def ramp(bits):
    """A palette of so many entries, its 16-bit levels."""
    one = np.arange(1 << bits) * 65535 // ((1 << bits) - 1)
    return [*one, *(65535 - one), *((one * 7) % 65536)]


def through(palette, values):
    return np.asarray(palette).reshape(3, -1).T[values] >> 8


def lab16(*, icc):
    light, a, b = (
        LAB[..., [0]].astype(int),
        *(LAB[..., [n]].view("i1").astype(int) for n in (1, 2)),
    )
    if icc:
        return np.dstack([light * 256, (a + 128) * 256, (b + 128) * 256]).astype("u2")
    return np.dstack([light * 257, a * 256 & 65535, b * 256 & 65535]).astype("u2")


ICC8 = LAB ^ np.array([0, 128, 128], "u1")
FLAT = [65535 * n // 255 for n in range(256)] * 3
PREMULTIPLIED = np.round(RGB * (ALPHA[..., None] / 255)).astype("u1")
LINEAR = np.where(RGB <= 10, RGB / 255 / 12.92, ((RGB / 255 + 0.055) / 1.055) ** 2.4)
LIMITED = np.round(YCC * [219 / 255, 224 / 255, 224 / 255] + [16, 128 - 112.44, 128 - 112.44])
NARROW = {532: (5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]), **ALL}  # ReferenceBlackWhite


def samples_of():
    """Kind -> samples, photometric interpretation, what is written besides, what is seen."""
    kinds = {}
    for bits in (1, 2, 4, 8, 16, 32):
        grey = levels(GREY, bits)
        want = np.round(grey * (255 / (2**bits - 1)))
        kinds[f"black is zero, {bits} bits"] = grey, 1, {"bits": bits}, want
        kinds[f"white is zero, {bits} bits"] = 2**bits - 1 - grey, 0, {"bits": bits}, want
    for bits in (8, 16, 32):
        kinds[f"RGB, {bits} bits"] = levels(RGB, bits), 2, {}, RGB
        kinds[f"RGB and alpha, {bits} bits"] = levels(RGBA, bits), 2, {"extra": [2]}, RGBA
    for bits in (8, 16):
        kinds[f"black is zero, signed {bits} bits"] = signed(GREY, bits), 1, {}, GREY
        kinds[f"white is zero, signed {bits} bits"] = -1 - signed(GREY, bits), 0, {}, GREY
        kinds[f"RGB, signed {bits} bits"] = signed(RGB, bits), 2, {}, RGB
        kinds[f"CMYK, {bits} bits"] = levels(INKS, bits), 5, {}, None
    for bits in (1, 2, 4, 8, 16):
        values, palette = GREY.astype(int) * 2**bits // 256, ramp(bits)
        index = values.astype("u1" if bits <= 8 else "u2")
        written = {"bits": bits, "tags": {320: (SHORT, palette)}}
        kinds[f"palette, {bits} bits"] = index, 3, written, through(palette, values)
    kinds |= {
        "palette of greys": (GREY, 3, {"tags": {320: (SHORT, FLAT)}}, GREY),
        "undefined samples": (RGB, 2, {"sample_format": 4}, RGB),
        "RGB, half floats": (LINEAR.astype("f2"), 2, {}, RGB),
        "RGB, floats": (LINEAR.astype("f4"), 2, {}, RGB),
        "grey and alpha": (np.dstack([GREY, ALPHA]), 1, {"extra": [2]}, np.dstack([GREY, ALPHA])),
        "grey, alpha not said": (np.dstack([GREY, ALPHA]), 1, {}, np.dstack([GREY, ALPHA])),
        "grey and something": (np.dstack([GREY, ALPHA]), 1, {"extra": [0]}, GREY),
        "RGB and something": (RGBA, 2, {"extra": [0]}, RGB),
        "RGB, alpha not said": (RGBA, 2, {}, RGBA),
        "RGB, something and alpha": (np.dstack([RGB, GREY, ALPHA]), 2, {"extra": [0, 2]}, RGBA),
        "RGB, alpha and something": (np.dstack([RGBA, GREY]), 2, {"extra": [2, 0]}, RGBA),
        "palette and alpha": (
            np.dstack([GREY, ALPHA]),
            3,
            {"extra": [2], "tags": {320: (SHORT, ramp(8))}},
            np.dstack([through(ramp(8), GREY), ALPHA]),
        ),
        "YCbCr": (YCC, 6, {"tags": ALL}, RGB),
        "YCbCr of TV's levels": (LIMITED.astype("u1"), 6, {"tags": NARROW}, RGB),
        "CIELab, 8 bits": (LAB, 8, {}, LAB_SEEN),
        "CIELab, signed 8 bits": (LAB.view("i1"), 8, {}, LAB_SEEN),
        "CIELab, 16 bits": (lab16(icc=False), 8, {}, LAB_SEEN),
        "ICCLab, 8 bits": (ICC8, 9, {}, LAB_SEEN),
        "ICCLab, 16 bits": (lab16(icc=True), 9, {}, LAB_SEEN),
        "CIELab and alpha": (np.dstack([LAB, ALPHA]), 8, {"extra": [2]}, None),
    }
    return kinds


KINDS = samples_of()
LAYOUTS = {
    "strips": {},
    "one strip": {"rows": HEIGHT},
    "tiles": {"tile": (16, 16)},
    "wide tiles": {"tile": (64, 32)},
    "planes": {"planar": True},
    "planes in one strip": {"planar": True, "rows": HEIGHT},
    "tiles of planes": {"planar": True, "tile": (16, 16)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_samples(kind, layout, seen):
    samples, photometric, written, want = KINDS[kind]
    for order, big, compression in (("<", False, 1), (">", False, 8), ("<", True, 1)):
        options = {**written, **LAYOUTS[layout], "order": order, "big": big}
        data = write(samples, photometric, compression=compression, **options)
        if "planes" in layout and samples.ndim == 3:
            if layout == "tiles of planes":
                refused(seen, data, "tiles of separate planes")
                continue
            if photometric in (0, 1, 3) or samples.dtype == np.float16:
                refused(seen, data, "of separate planes")
                continue
        got = seen(data)
        if photometric == 5:  # by whose ink, nobody says; Pillow takes the plain inverse
            assert np.abs(got - RGB).mean() < 22
        elif photometric in (8, 9):  # gamut's edges are rounded elsewhere
            alike(got[..., :3], LAB_SEEN, mean=1, most=32)
        else:
            alike(got, want)


def test_reversed_bits(seen):
    for layout in ({}, {"tile": (16, 16)}, {"planar": True}):
        assert np.array_equal(seen(write(RGB, 2, reversed_bits=True, **layout)), RGB)


def test_premultiplied(seen):
    for bits, mean in ((8, 3), (16, 0.1)):
        data = np.dstack([RGB * (ALPHA[..., None] / 255), ALPHA])
        got = seen(write(levels(data, bits), 2, extra=[1]))
        clear = got[..., 3] > 8
        assert np.array_equal(got[..., 3], ALPHA)
        assert np.abs(got[..., :3] - RGB)[clear].mean() < mean


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "tiles of planes"])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773, 32946])
def test_compressions(compression, layout, seen):
    for order, big in itertools.product("<>", (False, True)):
        options = {"compression": compression, "order": order, "big": big} | LAYOUTS[layout]
        assert np.array_equal(seen(write(RGB, 2, **options)), RGB)
        deep = write(levels(RGB, 16), 2, **options)
        assert np.array_equal(seen(deep), RGB)
        if compression in (5, 8, 32946):
            assert np.array_equal(seen(write(RGB, 2, predictor=2, **options)), RGB)
            assert np.array_equal(seen(write(levels(RGB, 16), 2, predictor=2, **options)), RGB)
            alike(seen(write(LINEAR.astype("f4"), 2, predictor=3, **options)), RGB)


@pytest.mark.parametrize("saver", ["lossless", "lossless,tile,tile_width=32,tile_height=16"])
def test_webp(saver, seen):
    for values in (RGB, RGBA):
        image = pyvips.Image.new_from_array(values, interpretation="srgb")
        data = image.write_to_buffer(f".tif[compression=webp,{saver}]")
        got = seen(data)
        assert np.array_equal(got[values[..., -1] > 0], values[values[..., -1] > 0])


def test_line_by_line(seen):
    """libvips reads strips of more than 128 rows so."""
    for kind in ("RGB, 16 bits", "YCbCr", "CIELab, 16 bits", "black is zero, 1 bits"):
        samples, photometric, written, want = KINDS[kind]
        high = np.repeat(samples, 8, 0)
        for compression in (1, 5, 8):
            data = write(high, photometric, compression=compression, rows=320, **written)
            alike(seen(data), np.repeat(want, 8, 0), mean=1, most=32)


# --- coded as JPEG, or with fewer colours


@pytest.mark.parametrize("layout", [{"rows": 16}, {"rows": HEIGHT}, {"tile": (16, 16)}])
def test_jpeg(layout, seen):
    def written(samples, photometric, **more):
        return write(samples, photometric, compression=7, **layout, **more)

    alike(seen(written(RGB, 6, tags=FEWER)), RGB, mean=1.5, most=12)
    alike(seen(written(GREY, 1)), GREY)
    alike(seen(written(GREY, 1, planar=True)), GREY)
    alike(seen(written(255 - GREY, 0)), GREY)
    plain = {"keep_rgb": True, "subsampling": 0}
    alike(seen(written(RGB, 2, options=plain)), RGB)
    assert np.abs(seen(written(255 - INKS, 5)) - RGB).mean() < 22  # Adobe's are inverted


def fewer(ycc, across, down):
    """Units of so many levels of brightness and one of each colour (TIFF 6.0, 21)."""
    more = -ycc.shape[0] % down, -ycc.shape[1] % across
    ycc = np.pad(ycc, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge").astype(float)
    high, wide = ycc.shape[0] // down, ycc.shape[1] // across
    units = ycc.reshape(high, down, wide, across, 3).swapaxes(1, 2)
    light = units[..., 0].reshape(high, wide, -1)
    return np.dstack([light, units[..., 1:].mean((2, 3))]).astype("u1").tobytes()


@pytest.mark.parametrize("factors", [(2, 1), (1, 2), (2, 2), (4, 2), (4, 4)])
def test_fewer_colours(factors, seen):
    tags = {530: (SHORT, list(factors))}
    for size, rows, tile in (((40, 56), 16, None), ((37, 53), 40, None), ((40, 56), 0, (16, 16))):
        ycc = YCC[: size[0], : size[1]]
        raw = [fewer(block, *factors) for block in blocks(ycc, tile, rows)]
        options = {"tags": tags, "rows": rows, "tile": tile}
        data = write(ycc, 6, raw=raw, **options)
        if tile:
            refused(seen, data, "subsampled YCbCr in planes or tiles")
        else:
            alike(seen(data), RGB[: size[0], : size[1]], mean=4, most=14)
        raw = [zlib.compress(part) for part in raw]
        data = write(ycc, 6, raw=raw, compression=8, **options)
        alike(seen(data), RGB[: size[0], : size[1]], mean=4, most=14)


# --- what Pillow writes

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
SAVERS = (
    *(None, "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "jpeg"),
    *("group3", "group4", "tiff_ccitt", "tiff_raw_16", "lzma", "zstd", "webp"),
)
REFUSED = {
    "lzma": "compression LZMA",
    "zstd": "compression Zstandard",
    "tiff_raw_16": "compression CCITT RLE of words",
    "I": "black is zero of signed 32 bits",
    "F": "black is zero of floating-point 32 bits",
}


def painted(mode):
    match mode:
        case "I":
            return Image.fromarray(GREY.astype("i4") * 256)
        case "F":
            return Image.fromarray(GREY.astype("f4"))
        case "I;16":
            return Image.fromarray(levels(GREY, 16))
        case "LAB":
            return Image.frombytes("LAB", (WIDTH, HEIGHT), LAB.tobytes())
        case "LA" | "PA":
            return Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]).convert(mode)
        case "RGBA":
            return Image.fromarray(RGBA)
        case "P":
            return Image.fromarray(RGB).quantize(64)
    return Image.fromarray(RGB).convert(mode)


def _writable():
    """Mode and saver -> the file, where Pillow has such a saver."""
    found = {}
    for mode, saver in itertools.product(MODES, SAVERS):
        file = io.BytesIO()
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            painted(mode).save(file, "TIFF", compression=saver)
            found[f"{mode} {saver}"] = file.getvalue()
    return found


PILLOWS = _writable()


@pytest.mark.parametrize("written", PILLOWS)
def test_pillows(written, seen):
    data, (mode, saver) = PILLOWS[written], written.split()
    if name := REFUSED.get(saver) or REFUSED.get(mode):
        refused(seen, data, name)
        return
    got, image = seen(data), Image.open(io.BytesIO(data))
    match mode:
        case "CMYK":
            assert np.abs(got - RGB).mean() < 22
        case "LAB":
            alike(got, LAB_SEEN, mean=1 if saver != "jpeg" else 5, most=255)
        case "I;16":
            alike(got, GREY)
        case "LA" | "PA" | "RGBA":
            alike(
                np.asarray(Image.fromarray(got.astype("u1")).convert("RGBA")), image.convert("RGBA")
            )
        case _:
            alike(got, image.convert("RGB"))


# --- what is refused


def old_jpeg(tile):
    data = jpeg(RGB, subsampling=0)
    tags = {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8] * 3), 259: (3, [6]), 262: (3, [6])}
    tags |= {277: (3, [3]), 512: (3, [1]), 513: (4, [300]), 514: (4, [len(data)])}
    if tile:
        tags |= {322: (4, [64]), 323: (4, [48]), 324: (4, [0]), 325: (4, [len(data)])}
    else:
        tags |= {278: (4, [HEIGHT]), 273: (4, [0]), 279: (4, [len(data)])}
    return directory(tags, [data])


REFUSES = {
    "old JPEG": (old_jpeg(False), "compression old-style JPEG"),
    "old JPEG tiles": (old_jpeg(True), "compression old-style JPEG"),
    **{
        f"compression {code}": (write(GREY, 1, compression=code), f"compression {name}")
        for code, name in {
            32766: "NeXT", 32809: "ThunderScan", 32909: "PixarLog", 34661: "JBIG",
            34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC",
            34676: "SGILog", 34677: "SGILog", 50002: "JPEG XL", 777: "777",
        }.items()
    },
    **{
        f"photometric {code}": (write(RGB, code), f"photometric interpretation {name}")
        for code, name in {
            4: "transparency mask", 10: "ITULab", 32803: "color filter array", 32844: "LogL",
            34892: "linear raw", 51177: "depth map", 777: "777",
        }.items()
    },
    "LogLuv": (write(RGB.astype("u2"), 32845), "compression none of LogLuv"),
    **{f"RGB of {n} bits": (write(RGB >> 8 - min(n, 8), 2, bits=n), f"RGB of {n} bits")
       for n in (1, 2, 4, 5, 10, 12, 14)},
    **{f"grey of {n} bits": (write(GREY >> 8 - min(n, 8), 1, bits=n), f"zero of {n} bits")
       for n in (3, 6, 10, 12, 14)},
    "bits that differ": (write(RGB, 2, tags={258: (3, [8, 8, 4])}), "RGB of different samples"),
    "signed 32 bits": (signed(RGB, 32), "RGB of signed 32 bits"),
    "a floating-point grey": (GREY / np.float32(255), "zero of floating-point 32 bits"),
    "doubles": (RGB / 255, "RGB of floating-point 64 bits"),
    "complex": (GREY.astype("c8"), "zero of complex 64 bits"),
    "complex integers": (write(GREY.astype("u4"), 1, sample_format=5), "complex 32 bits"),
    "RGB of two samples": (write(RGB[..., :2], 2), "RGB of 2 samples"),
    "CMY": (write(RGB, 5), "CMYK of 3 samples"),
    "other inks": (write(INKS, 5, tags={332: (3, [2])}), "inks that are not CMYK"),
    "palette without colours": (write(GREY, 3), "palette without its colours"),
    "1 bit and alpha": (write(GREY >> 7, 1, bits=1, tags={277: (3, [2])}), "1 bits with extra"),
    "YCbCr and alpha": (write(np.dstack([YCC, ALPHA]), 6, extra=[2], tags=ALL), "YCbCr of 8 bits"),
    "YCbCr of 16 bits": (write(levels(YCC, 16), 6, tags=ALL), "YCbCr of 16 bits"),
    "CIELab of one": (write(LAB[..., :1], 8), "CIELab of 1 samples"),
    "CIELab premultiplied": (write(np.dstack([LAB, ALPHA]), 8, extra=[1]), "multiplied"),
    "JPEG in planes": (write(RGB, 6, compression=7, planar=True), "JPEG of planes"),
    "JPEG that is not RGB": (write(RGB, 2, compression=7), "JPEG of RGB that is YCbCr"),
    "tiles that are not RGB": (
        write(RGB, 2, compression=7, tile=(16, 16)),
        "JPEG of RGB that is YCbCr",
    ),
    "JPEG of 16 bits": (write(levels(GREY, 16), 1, compression=7, raw=[b""]), "JPEG of 16 bits"),
    "fax of 8 bits": (write(GREY, 1, compression=4, raw=[b""]), "Group 4 of 8 bits"),
    "predictor 7": (write(RGB, 2, compression=8, predictor=1, tags={317: (3, [7])}), "predictor 7"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(what, seen, answered):
    data, name = REFUSES[what]
    if isinstance(data, np.ndarray):
        data = write(data, 2 if data.ndim == 3 else 1)
    refused(seen, data, name)
    assert answered(data, "info")["ImageWidth"]["value"] == str(WIDTH)  # its size is known


@pytest.mark.parametrize("compression", [5, 8, 32773])
@pytest.mark.parametrize("layout", ["strips", "one strip", "tiles", "planes"])
def test_pixels_that_are_missing(compression, layout, seen):
    """Cut within a strip or tile, whose length says so, it is refused; never black."""
    parts = blocks(RGB, LAYOUTS[layout].get("tile"), LAYOUTS[layout].get("rows", 16))
    if layout == "planes":
        parts = [part[..., [n]] for n in range(3) for part in parts]

    raw = [COMPRESSORS[compression](part.tobytes()) for part in parts]
    raw[-1] = raw[-1][: len(raw[-1]) // 2]
    with pytest.raises(ImageDamage):
        seen(write(RGB, 2, compression=compression, raw=raw, **LAYOUTS[layout]))
