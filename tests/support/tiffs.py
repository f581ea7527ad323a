"""TIFFs of every kind, written by arithmetic (TIFF 6.0; BigTIFF, Aware Systems)."""

import io
import lzma
import struct
import zlib

import numpy as np
from PIL import Image

SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16
LETTERS = {1: "B", 2: "B", SHORT: "H", LONG: "I", RATIONAL: "I", 7: "B", LONG8: "Q"}
FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


def packbits(data):
    parts = (data[at : at + 128] for at in range(0, len(data), 128))
    return b"".join(bytes((len(part) - 1,)) + part for part in parts)


def lzw(data):
    """In codes of 9 bits: a clear code stands before they would become longer."""
    codes = [code for at, byte in enumerate(data) for code in ([256] * (at % 200 == 0) + [byte])]
    text = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8))


def jpeg(block, **options):
    file = io.BytesIO()
    image = Image.fromarray(block[..., 0] if block.shape[2] == 1 else block, None)
    if block.shape[2] == 4:
        image = Image.frombytes("CMYK", image.size, block.tobytes())
    image.save(file, "JPEG", **{"quality": 95} | options)
    return file.getvalue()


COMPRESSORS = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits, 32946: zlib.compress}
COMPRESSORS[34925] = lzma.compress


def blocks(samples, tile, rows):
    """Strips, or tiles that reach over the border."""
    height, width, _ = samples.shape
    if not tile:
        return [samples[y : y + rows] for y in range(0, height, rows)]
    parts = []
    for y in range(0, height, tile[1]):
        for x in range(0, width, tile[0]):
            part = samples[y : y + tile[1], x : x + tile[0]]
            more = (tile[1] - part.shape[0], tile[0] - part.shape[1])
            parts.append(np.pad(part, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge"))
    return parts


def _packed(block, bits, order):
    """Rows of samples of so many bits, each row in whole bytes."""
    if block.dtype.kind in "fc" or bits in (8, 16, 32, 64):
        return block.astype(block.dtype.newbyteorder(order)).tobytes()
    high, width, bands = block.shape
    values = block.astype(np.int64).reshape(high, width * bands, 1)
    ones = (values >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(ones.reshape(high, -1).astype("u1"), axis=1).tobytes()


def _predicted(block, predictor, bits, order):
    if predictor == 2:
        first = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
        return _packed(first.astype(block.dtype), bits, order)
    high, width, bands = block.shape
    planes = block.astype(f">f{bits // 8}").reshape(high, -1).view("u1")
    planes = planes.reshape(high, width * bands, -1).transpose(0, 2, 1).reshape(high, -1)
    differences = planes.copy()
    differences[:, bands:] = planes[:, bands:] - planes[:, :-bands]
    return differences.tobytes()


def write(
    samples,
    photometric,
    *,
    bits=0,
    compression=1,
    sample_format=None,
    planar=False,
    tile=None,
    rows=16,
    order="<",
    big=False,
    predictor=1,
    reversed_bits=False,
    extra=None,
    tags=None,
    raw=None,
    options=None,
):
    """A file of samples, height by width by channels.

    Args:
        bits: Of a sample; by default as the type has.
        sample_format: SampleFormat; by default as the type is.
        tile: Width and height; else strips of ``rows``.
        order: ``<`` or ``>``.
        big: BigTIFF.
        tags: Further ones, type and values.
        raw: The strips or tiles, encoded already.
        options: Of the JPEG encoder.
    """
    samples = samples if samples.ndim == 3 else samples[..., None]
    height, width, bands = samples.shape
    bits = bits or samples.dtype.itemsize * 8
    if raw is None:
        raw = []
        for plane in [samples[..., [n]] for n in range(bands)] if planar else [samples]:
            for block in blocks(plane, tile, rows):
                if compression == 7:
                    raw.append(jpeg(block, **options or {}))
                    continue
                if predictor > 1:
                    data = _predicted(block, predictor, bits, order)
                else:
                    data = _packed(block, bits, order)
                if reversed_bits:
                    data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
                raw.append(COMPRESSORS.get(compression, bytes)(data))
    told = FORMATS[samples.dtype.kind] if sample_format is None else sample_format
    every = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * bands),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        277: (SHORT, [bands]),
        284: (SHORT, [1 + planar]),
        339: (SHORT, [told] * bands),
    }
    where, lengths = (LONG8 if big else LONG, [0] * len(raw)), (LONG, list(map(len, raw)))
    if tile:
        every |= {322: (LONG, [tile[0]]), 323: (LONG, [tile[1]]), 324: where, 325: lengths}
    else:
        every |= {278: (LONG, [rows]), 273: where, 279: lengths}
    if predictor > 1:
        every[317] = (SHORT, [predictor])
    if reversed_bits:
        every[266] = (SHORT, [2])
    if extra is not None:
        every[338] = (SHORT, list(extra))
    return directory(every | (tags or {}), raw, order, big)


def directory(tags, raw, order="<", big=False):
    """Header, directory, values, and the pixels that 273 or 324 lead to."""
    room = 8 if big else 4
    start = (16 if big else 8) + (8 if big else 2) + (20 if big else 12) * len(tags) + room
    packed = {tag: struct.pack(f"{order}{len(v)}{LETTERS[k]}", *v) for tag, (k, v) in tags.items()}
    at = start + sum(len(data) for data in packed.values() if len(data) > room)
    offsets = [at + sum(map(len, raw[:number])) for number in range(len(raw))]
    where = 324 if 324 in tags else 273
    packed[where] = struct.pack(f"{order}{len(raw)}{LETTERS[tags[where][0]]}", *offsets)
    rows = behind = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = packed[tag]
        count = len(values) // 2 if kind == RATIONAL else len(values)
        rows += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count)
        if len(data) > room:
            rows += struct.pack(order + ("Q" if big else "I"), start + len(behind))
            behind += data
        else:
            rows += data.ljust(room, b"\0")
    head = b"II" if order == "<" else b"MM"
    if big:
        head += struct.pack(order + "HHHQQ", 43, 8, 0, 16, len(tags))
    else:
        head += struct.pack(order + "HIH", 42, 8, len(tags))
    return head + rows + bytes(room) + behind + b"".join(raw)
