"""BMP by tables: any masks, every depth and compression; compared with what was written."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import BadRequest, ImageDamage

WIDTH, HEIGHT = 37, 20
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
RGBA = np.stack([X * 255 // 36, Y * 255 // 19, (X + Y) * 255 // 55, (7 * X + Y) % 256], -1)


def file(bits, compression, pixels, *, size=40, masks=(), height=HEIGHT, palette=b""):
    head = struct.pack("<IiiHHII", size, WIDTH, height, 1, bits, compression, len(pixels))
    head += struct.pack("<iiII", 2835, 2835, len(palette) // 4, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    head = head.ljust(size, b"\0")
    begin = 14 + len(head) + len(palette)
    start = b"BM" + struct.pack("<IHHI", begin + len(pixels), 0, 0, begin)
    return start + head + palette + pixels


def shift(mask):
    return (mask & -mask).bit_length() - 1


def masked(masks, bits, up=True):
    """Rows of pixels, and what is to be seen of them."""
    numbers, seen = np.zeros((HEIGHT, WIDTH), np.uint64), []
    for band, mask in enumerate(masks):
        if not mask:
            continue
        most = mask >> shift(mask)
        level = np.round(RGBA[..., band] / 255 * most).astype(np.uint64)
        numbers |= level << np.uint64(shift(mask))
        seen.append(np.round(level * (255 / most)))
    rows = numbers[::-1] if up else numbers
    data = rows.astype(f"<u{bits // 8}").view("u1").reshape(HEIGHT, -1)
    return np.pad(data, ((0, 0), (0, -data.shape[1] % 4))).tobytes(), np.stack(seen, -1)


MASKS = {
    "565": (16, (0xF800, 0x07E0, 0x001F)),
    "565, blue first": (16, (0x001F, 0x07E0, 0xF800)),
    "555": (16, (0x7C00, 0x03E0, 0x001F)),
    "1555": (16, (0x7C00, 0x03E0, 0x001F, 0x8000)),
    "4444": (16, (0x0F00, 0x00F0, 0x000F, 0xF000)),
    "4444, alpha last": (16, (0xF000, 0x0F00, 0x00F0, 0x000F)),
    "332": (16, (0xE0, 0x1C, 0x03)),
    "one bit each": (16, (4, 2, 1, 8)),
    "888": (32, (0xFF0000, 0xFF00, 0xFF)),
    "8888": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "8888, red first": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "8888, alpha last": (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    "10 bits": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
    "16 bits of green": (32, (0xFF000000, 0xFFFF00, 0xFF)),
    "across bytes": (32, (0x7F << 21, 0x7FF << 9, 0x1FF)),
}
HEADERS = [(40, 3), (40, 6), (52, 3), (56, 3), (108, 3), (124, 3)]  # its size, the compression


@pytest.mark.parametrize("what", MASKS)
def test_masks(what, run, pixels):
    bits, masks = MASKS[what]
    for size, compression in HEADERS:
        given = masks if size > 52 or compression == 6 else masks[:3]
        given += (0,) * (4 - len(given)) if compression == 6 else ()
        for up in (True, False):
            data, want = masked(given, bits, up)
            height = HEIGHT if up else -HEIGHT
            options = {"size": size, "masks": given, "height": height}
            got = pixels(run(file(bits, compression, data, **options), "format,png"))
            assert got.shape == want.shape
            assert np.array_equal(got, want)


def test_as_pillow_reads(run, pixels):
    """The masks that Pillow knows, and what has none."""
    for what in ("565", "555", "888", "8888", "8888, red first", "8888, alpha last"):
        bits, masks = MASKS[what]
        data = file(bits, 3, masked(masks, bits)[0], size=108, masks=masks)
        want = np.asarray(Image.open(io.BytesIO(data))).astype(int)
        assert np.abs(pixels(run(data, "format,png")) - want).max() <= 1  # it rounds down
    for bits, masks in ((16, MASKS["555"][1]), (32, MASKS["888"][1])):
        pixel, want = masked(masks, bits)
        data = file(bits, 0, pixel)
        assert np.abs(pixels(run(data, "format,png")) - want).max() <= 1


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes(bits, run, pixels):
    values = (RGBA[..., 0] * (1 << bits) // 256)[..., None]
    ones = (values >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(ones[::-1].reshape(HEIGHT, -1).astype("u1"), axis=1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    entries = [(n * 7 % 256, 255 - n, n * 31 % 256) for n in range(1 << bits)]
    palette = b"".join(bytes((*entry[::-1], 0)) for entry in entries)
    got = pixels(run(file(bits, 0, rows.tobytes(), palette=palette), "format,png"), "RGB")
    assert np.array_equal(got, np.array(entries)[values[..., 0]])


REFUSES = {
    "JPEG": (file(0, 4, b""), "compression JPEG"),
    "PNG": (file(0, 5, b""), "compression PNG"),
    "CMYK": (file(32, 11, b""), "compression CMYK"),
    "Huffman": (file(1, 3, b"", size=64), "compression Huffman"),
    "an unknown one": (file(24, 99, b""), "compression 99"),
    "2 bits": (file(2, 0, b""), "2 bits"),
    "64 bits": (file(64, 0, bytes(8 * WIDTH * HEIGHT)), "64 bits"),
    "runs of 24 bits": (file(24, 1, b""), "24 bits"),
    "no mask for green": (file(16, 3, b"", masks=(0xF800, 0, 0x1F)), "a colour without a mask"),
    "a mask with a gap": (file(16, 3, b"", masks=(0xF800, 0x5E0, 0x1F)), "the mask 000005E0"),
    "a mask too long": (file(32, 3, b"", masks=(1 << 31, 0x1FFFF, 1 << 20)), "the mask 0001FFFF"),
    "a mask outside": (file(16, 3, b"", masks=(0xF80000, 0x7E0, 0x1F)), "the mask 00F80000"),
}


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(what, run, answered):
    data, name = REFUSES[what]
    with pytest.raises(BadRequest, match="The BMP is of a kind that is not supported") as caught:
        run(data, "format,png")
    assert name in caught.value.message
    assert answered(data, "info")["ImageHeight"]["value"] == str(HEIGHT)


def test_cut(run, answered):
    bits, masks = MASKS["4444"]
    data = file(bits, 3, masked(masks, bits)[0], size=108, masks=masks)
    for end in (len(data) - 1, 130, 60):
        with pytest.raises(ImageDamage):
            run(data[:end], "format,png")
    assert answered(data[:140], "info")["ImageWidth"]["value"] == str(WIDTH)  # of a remote file


# --- runs: the code, its bytes, and what they do to the rows of a picture, from the bottom up

RUNS = {
    "whole": [("run", WIDTH, 3), ("line",)] * HEIGHT,
    "rows that end early": [("run", 5, 2), ("line",)] * HEIGHT,
    "an early end": [("run", WIDTH, 1), ("line",), ("run", 7, 2)],
    "nothing at all": [],
    "an end after lines": [("line",)] * 4,
    "skips": [("run", 3, 1), ("skip", 4, 2), ("run", 9, 3), ("line",), ("run", 2, 2)],
    "pixels as they are": [("raw", (1, 2, 3)), ("raw", (3, 2, 1, 2)), ("line",), ("raw", (2,) * 9)],
    "raw, then skips": [("raw", (3, 1, 2, 3, 1)), ("skip", 0, 7), ("run", 6, 2)],
}


def in_runs(steps, bits):
    """The bytes of the steps with an end behind them, and the indices that they mean."""
    data, x, y = b"", 0, 0
    rows = np.zeros((HEIGHT, WIDTH), int)
    for name, *given in steps:
        if name == "run":
            count, index = given
            data += bytes((count, index * 17 if bits == 4 else index))
            rows[y, x : x + count] = index
            x += count
        elif name == "raw":
            values = given[0]
            packed = bytes(values)
            if bits == 4:
                pairs = [*values, 0][: len(values) + len(values) % 2]
                packed = bytes(a << 4 | b for a, b in zip(pairs[::2], pairs[1::2], strict=True))
            data += bytes((0, len(values))) + packed + bytes(len(packed) % 2)
            rows[y, x : x + len(values)] = values
            x += len(values)
        elif name == "skip":
            data += bytes((0, 2, *given))
            x, y = x + given[0], y + given[1]
        else:
            data += bytes(2)
            x, y = 0, y + 1
    return data + bytes((0, 1)), rows[::-1]


COLOURS = np.array([(200, 30, 60), (0, 255, 0), (10, 20, 250), (255, 255, 255)])
PALETTE = b"".join(bytes((*colour[::-1], 0)) for colour in COLOURS.tolist())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("what", RUNS)
def test_runs(what, bits, run, pixels):
    """Pixels that no run has are of the first colour, wherever the bitmap ends."""
    data, indices = in_runs(RUNS[what], bits)
    got = pixels(run(file(bits, {8: 1, 4: 2}[bits], data, palette=PALETTE), "format,png"), "RGB")
    assert np.array_equal(got, COLOURS[indices])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("what", ["an early end", "skips", "pixels as they are"])
def test_runs_without_an_end_are_cut(what, bits, run):
    data, _ = in_runs(RUNS[what], bits)
    with pytest.raises(ImageDamage):
        run(file(bits, {8: 1, 4: 2}[bits], data[:-2], palette=PALETTE), "format,png")
