"""Colours by code points: the same of PNG, AVIF and HEIC, compared with arithmetic in numpy."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from vipsgate.image.formats import cicp, probe

# x, y of red, green, blue (ITU-T H.273, table 2); all with the white D65
XY = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077)),
}
XY[7] = XY[6]
PATCHES = [(200, 60, 40), (40, 160, 90), (60, 80, 190), (128, 128, 128), (255, 255, 255), (9, 0, 0)]
VALUES = np.repeat(np.repeat(np.array([PATCHES], np.uint8), 16, 0), 16, 1)


def matrix(primaries):
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in XY[primaries]]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def light(values, transfer, primaries):
    """1 for white."""
    v = np.asarray(values, float)
    if transfer == 16:
        p = v ** (1 / 78.84375)
        return (np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** 6.277395 * 10000 / 203
    if transfer == 18:
        scene = np.where(
            v <= 0.5, v * v / 3, (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
        luma = scene @ matrix(primaries)[1]
        return scene * luma[..., None] ** 0.2 * 1000 / 203
    if gamma := {4: 2.2, 5: 2.8, 8: 1}.get(transfer):
        return v**gamma
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def seen(values, primaries, transfer):
    primaries = primaries if primaries in XY else 1
    across = np.linalg.solve(matrix(1), matrix(primaries))
    v = np.clip(light(np.asarray(values) / 255, transfer, primaries) @ across.T, 0, 1)
    return 255 * np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def png(codes, values=VALUES, matrix=0, full=1, more=()):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    data = file.getvalue()
    chunks = [(b"cICP", bytes((*codes, matrix, full))), *more]
    written = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return data[:33] + written + data[33:]


def avif(codes, values=VALUES):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "AVIF", quality=100, subsampling="4:4:4")
    data = file.getvalue()
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", *codes) + data[at + 4 :]


def heic(codes, values=VALUES):
    file = io.BytesIO()
    options = {"quality": 100, "chroma": 444, "color_primaries": codes[0]}
    options["transfer_characteristics"] = codes[1]
    size = values.shape[1::-1]
    pillow_heif.encode("RGB", size, values.tobytes(), file, **options)
    return file.getvalue()


WRITERS = {"png": (png, 1), "avif": (avif, 4), "heic": (heic, 4)}
SRGB = [(1, 13), (1, 1), (2, 2), (1, 6), (8, 13), (3, 3)]
P3 = [(12, 13), (12, 1), (12, 2)]
OTHERS = [(9, 13), (9, 14), (6, 6), (5, 1), (7, 7), (22, 13), (1, 4), (1, 5), (1, 8), (12, 8)]
HDR = [(9, 16), (9, 18), (12, 16), (1, 18)]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("codes", SRGB + P3 + OTHERS + HDR, ids=str)
def test_codes(codes, name, run, pixels):
    write, tolerance = WRITERS[name]
    if name == "heic" and codes in ((3, 3), (22, 13)):
        return  # which pillow-heif cannot write
    data = write(codes)
    header = probe.probe(data).header
    assert header.gamut == ("p3" if codes in P3 else "srgb")
    assert (header.codes is None) == (codes in SRGB + P3)
    assert header.hdr == (codes in HDR)
    made = run(data, "format,png")
    assert (b"iCCP" in made) == (codes in P3)
    got = pixels(made, "RGB")[8, 8::16]
    want = VALUES[8, 8::16] if codes in SRGB + P3 else seen(VALUES[8, 8::16], *codes)
    # what decoders of other codecs are off by, dark greens of a wide gamut show larger
    assert np.abs(got - want).max() <= (tolerance if name == "png" or codes in SRGB + P3 else 16)
    assert np.abs(got - want).mean() <= tolerance


def test_white_of_a_page_is_white(run, pixels):
    for codes, signal in (((9, 16), 0.5807), ((9, 18), 0.75)):  # BT.2408, table 1: 203 cd/m2
        for brightness, want in ((1, 255), (0.5, None), (1.2, 255)):
            level = round(signal * brightness * 255)
            got = pixels(run(png(codes, np.full((8, 8, 3), level, np.uint8)), "format,png"))[4, 4]
            assert np.ptp(got) <= 1
            assert abs(got[0] - (want or seen([level] * 3, *codes)[0])) <= 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_modes(mode, run, pixels):
    """Of grey only the curve counts; opacity stays."""
    image = Image.fromarray(VALUES)
    alpha = Image.fromarray((np.indices((16, 96))[1] * 2).astype(np.uint8))
    if "A" in mode:
        image.putalpha(alpha)
    image = Image.fromarray(VALUES[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image
    image = image if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG")
    data = file.getvalue()
    body = b"cICP" + bytes((9, 16, 0, 1))
    data = data[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    got = pixels(run(data, "format,png"), "RGBA")
    if mode in ("RGB", "RGBA"):
        want = seen(VALUES, 9, 16)
    else:
        grey = VALUES[..., 0] if mode == "I;16" else np.asarray(image.convert("L"))
        want = seen(np.repeat(grey[..., None], 3, -1), 1, 16)
    assert np.abs(got[..., :3] - want).max() <= 1
    assert np.array_equal(got[..., 3], np.asarray(alpha) if "A" in mode else np.full((16, 96), 255))


def test_codes_stand_above_a_profile_in_png(run, pixels):
    profile = b"p3\0\0" + zlib.compress(heic_profile())
    for codes, gamut in (((1, 13), "srgb"), ((12, 13), "p3"), ((9, 13), "srgb")):
        data = png(codes, more=[(b"iCCP", profile)])
        header = probe.probe(data).header
        assert header.gamut == gamut
        want = seen(VALUES, *codes) if header.codes else VALUES
        assert np.abs(pixels(run(data, "format,png"), "RGB") - want).max() <= 1


def heic_profile():
    import pyvips

    return bytes(pyvips.Image.profile_load("p3"))


def test_narrow_range(run, pixels):
    levels = np.array([[[16] * 3, [126] * 3, [235] * 3, [0] * 3, [255] * 3]], np.uint8)
    got = pixels(run(png((1, 13), levels, full=0), "format,png"), "RGB")
    assert got[0, :, 0].tolist() == [0, 128, 255, 0, 255]


def test_matrices_keep_white():
    for primaries in cicp.PRIMARIES:
        assert np.allclose(np.sum(cicp._to_srgb(primaries), 1), 1)
        assert np.allclose(cicp._to_srgb(primaries), np.linalg.solve(matrix(1), matrix(primaries)))
