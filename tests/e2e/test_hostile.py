"""Files and texts made to hurt: a 4xx or a picture, soon, and no renderer dies or swells."""

import base64
import contextlib
import io
import itertools
import json
import os
import random
import signal
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

SOON_S = 3.0  # of the processors' time, for any answer; what waits without working ends as 503
PATIENCE_S = 20  # for killed renderers to be replaced
MEMORY_MB = 300  # of a renderer, at its worst moment, whatever a file pretends to be
PICTURE_MB = 600  # limits.render_bytes and an idle renderer, for pictures that are really large
PROCESSES = [
    "info",
    "resize,w_100",
    "resize,m_fill,w_500,h_500,limit_0",
    "rotate,90",
    "format,webp",
]
MB = 1 << 20


# -- files by hand ---------------------------------------------------------------------------------


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, *chunks, colour=2, depth=8, interlace=0, rows=None, idat=None):
    """A PNG of black pixels, with chunks between its header and its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    if idat is None:
        bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        line = bytes(1 + (width * bands * depth + 7) // 8)
        idat = zlib.compress(line * (height if rows is None else rows), 9)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", idat),
            chunk(b"IEND", b""),
        ]
    )


def gif(width, height, frames=1, pixels=b"\2\x02\x4c\x01\0"):
    """Frames as large as the canvas, with one pixel drawn in each.

    Of a frame smaller than its canvas, libnsgif would mend the canvas.
    """
    screen = struct.pack("<6sHHBBB6s", b"GIF89a", width, height, 0x80, 0, 0, b"\0\0\0\xff\xff\xff")
    control = b"\x21\xf9\x04\0\1\0\0\0"
    frame = control + struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + pixels
    return screen + frame * frames + b";"


def jpeg_sized(jpeg, width, height):
    """The same file with other sides in its header."""
    at = next(jpeg.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in jpeg) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def behind_start(jpeg, *segments):
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def tiff(*entries, following=0, tail=b""):
    """Tag, type (3 SHORT, 4 LONG), value; one directory, and what lies behind it.

    A value of "tail" is where the tail begins.
    """
    start = 8 + 2 + 12 * len(entries) + 4
    rows = [
        struct.pack("<HHI", tag, kind, 1)
        + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value or start))
        for tag, kind, value in entries
    ]
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(entries))
        + b"".join(rows)
        + struct.pack("<I", following)
        + tail
    )


def tiff_strip(width, height, bands, tail, compression=1, **more):
    entries = [
        *((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression)),
        *((262, 3, 2 if bands > 2 else 1), (273, 4, 0), (277, 3, bands), (278, 4, height)),
        (279, 4, len(tail)),
    ]
    return tiff(*entries, tail=tail, **more)


def riff(*chunks):
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_extended(width, height, *chunks, flags=0):
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff((b"VP8X", bytes((flags, 0, 0, 0)) + sides), *chunks)


def webp_sized(lossless, width, height):
    """A lossless file of one colour with other sides: no bit is spent on a pixel."""
    (marks,) = struct.unpack_from("<I", lossless, 21)
    marks = marks >> 28 << 28 | height - 1 << 14 | width - 1
    return lossless[:21] + struct.pack("<I", marks) + lossless[25:]


def bmp(width, height, depth=24, compression=0, pixels=b"", header=40):
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, depth, compression, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + info + pixels


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


# -- the table -------------------------------------------------------------------------------------


def scans(jpeg, times):
    """A progressive JPEG whose last scan comes again and again."""
    at = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[at:-2] * times + jpeg[-2:]


def scans_in_order(side):
    """882 scans without a fault: one coefficient, one bit each, and all of them are zero.

    A scan says "nothing in the next 32,767 blocks" until the picture is over (ITU-T T.81, G.1.2.2).
    """
    blocks = (-(-side // 8)) ** 2
    code = "0" + "1" * 14  # the table's one symbol, EOB14, and its 14 further bits
    bits = code * -(-blocks // 32767)
    empty = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
    empty = empty.replace(b"\xff", b"\xff\0")
    parts = [
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"),
        segment(0xC4, b"\0\1" + bytes(15) + b"\0"),  # DC: a difference of 0
        segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0"),  # AC: EOB14
        segment(0xDA, b"\1\1\0\0\0\0") + bytes(blocks // 8 + 1),
    ]
    for place in range(1, 64):
        for low in reversed(range(14)):
            high = 0 if low == 13 else low + 1
            parts.append(segment(0xDA, bytes((1, 1, 0, place, place, high << 4 | low))) + empty)
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def exif_block(entries, kind=2, count=60_000, offset=8):
    rows = b"".join(
        struct.pack("<HHII", 0x010F + at % 200, kind, count, offset) for at in range(entries)
    )
    return b"II*\0" + struct.pack("<IH", 8, entries & 0xFFFF) + rows + bytes(4)


@pytest.fixture(scope="module")
def odd(photo, saved):
    """Name -> bytes; all of them below 20 MB."""
    picture = photo(64, 48)
    jpeg = saved(picture, "JPEG", quality=80)
    progressive = saved(photo(1600, 1200), "JPEG", quality=50, progressive=True)
    small = {kind: saved(picture, kind) for kind in ("PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")}
    lossless = saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True)
    assert lossless[12:16] == b"VP8L"
    bomb = zlib.compress(bytes(8 * MB), 9)
    deep = zlib.compress(bytes(64 * MB), 9)
    text = chunk(b"zTXt", b"Comment\0\0" + bomb)
    files = {
        # not pictures, or not ours
        "nothing": b"",
        "one-byte": b"\xff",
        "zeros": bytes(100_000),
        "text": b"hello, world\n" * 100,
        "csv": b"1,2,3\n4,5,6\n" * 50,
        "ppm": b"P6 2 2 255\n" + bytes(12),
        "pfm": b"PF\n2 2\n-1.0\n" + bytes(48),
        "pgm": b"P5 100000 100000 255\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>',
        "svg-declared": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/pas'
        b'swd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text></svg>',
        "pdf": b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
        "ps": b"%!PS-Adobe-3.0\nshowpage\n",
        "vips-little": b"\xb6\xa6\xf2\x08" + bytes(60) + bytes(3000),
        "vips-big": b"\x08\xf2\xa6\xb6" + bytes(60) + bytes(3000),
        "mp4": box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + box(b"mdat", bytes(500)),
        "heic": box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(300)),
        "mif1": box(b"ftyp", b"mif1\0\0\0\0mif1heic") + box(b"meta", bytes(300)),
        "jxl": b"\xff\x0a" + bytes(100),
        "jxl-box": box(b"JXL ", b"\r\n\x87\n") + bytes(100),
        "jp2": box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 "),
        "j2k": b"\xff\x4f\xff\x51" + bytes(100),
        "exr": b"v/1\1" + bytes(100),
        "hdr": b"#?RADIANCE\n\n-Y 2 +X 2\n" + bytes(16),
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "ico": b"\0\0\1\0\1\0\2\2\0\0\1\0\x20\0" + bytes(50),
        "psd": b"8BPS\0\1" + bytes(50),
        "matlab": b"MATLAB 5.0 MAT-file" + bytes(200),
        "analyze": struct.pack("<I", 348) + bytes(344),
        "openslide": b"<?xml version='1.0'?><slide/>",
        "mvg": b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 '/etc/passwd'\n",
        "m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "html": b"<html><script>alert(1)</script></html>",
        "webm": b"\x1aE\xdf\xa3" + bytes(60),
        # only the begin of one
        "jpg-magic": b"\xff\xd8\xff",
        "png-magic": b"\x89PNG\r\n\x1a\n",
        "gif-magic": b"GIF89a",
        "webp-magic": b"RIFF\0\0\0\0WEBP",
        "riff-other": b"RIFF\x10\0\0\0WAVEfmt " + bytes(16),
        "riff-not": b"XXXX\x10\0\0\0WEBPVP8 " + bytes(16),
        "tiff-magic": b"II*\0",
        "bigtiff-magic": b"II+\0\x08\0\0\0" + bytes(8),
        "bmp-magic": b"BM",
        "avif-magic": b"\0\0\0\x20ftypavif",
        "avis-magic": b"\0\0\0\x20ftypavis" + bytes(20),
        # sizes that are not there
        "jpg-1x65535": jpeg_sized(jpeg, 1, 65535),
        "jpg-65535x65535": jpeg_sized(jpeg, 65535, 65535),
        "jpg-0x0": jpeg_sized(jpeg, 0, 0),
        "jpg-64x0": jpeg_sized(jpeg, 64, 0),
        "jpg-15000x16000": jpeg_sized(jpeg, 15000, 16000),
        "jpg-progressive-15000x15000": jpeg_sized(progressive, 15000, 15000),
        "png-100000x100000": png(100_000, 100_000, rows=0),
        "png-2147483647": png(2**31 - 1, 2**31 - 1, rows=0, idat=b""),
        "png-4294967295": png(2**32 - 1, 2**32 - 1, rows=0, idat=b""),
        "png-0x0": png(0, 0, rows=0),
        "png-15000x15000": png(15000, 15000, rows=1),
        "png-interlaced-15000x15000": png(15000, 15000, rows=1, interlace=1),
        "png-16-interlaced-9000x9000": png(9000, 9000, rows=1, depth=16, colour=6, interlace=1),
        "png-1x8448": png(1, 8448),
        "png-1x8448-grey-1-bit": png(1, 8448, colour=0, depth=1),
        "png-8448x1": png(8448, 1),
        "png-1x30000": png(1, 30000),
        "png-1x65535": png(1, 65535),
        "png-10x30001": png(10, 30001),
        "gif-32770x2": gif(32770, 2),
        "gif-2x32770": gif(2, 32770),
        "gif-65535x65535": gif(65535, 65535),
        "gif-1x20000": gif(1, 20000),
        "gif-15000x15000": gif(15000, 15000),
        "gif-5000x5000-100": gif(5000, 5000, frames=100),
        "webp-16383x16383": webp_sized(lossless, 16383, 16383),
        "webp-15000x15000": webp_sized(lossless, 15000, 15000),
        "webp-1x16000": webp_sized(lossless, 1, 16000),
        "webp-16777216x16777216": webp_extended(1 << 24, 1 << 24, (b"VP8L", lossless[20:])),
        "webp-lossless-header-15000x15000": riff(
            (b"VP8L", b"\x2f" + struct.pack("<I", 14999 | 14999 << 14) + bytes(40))
        ),
        "bmp-100000x100000": bmp(100_000, 100_000),
        "bmp-20000x12000": bmp(20_000, 12_000),
        "bmp-negative": bmp(-5, -2147483648),
        "bmp-0x0": bmp(0, 0),
        "bmp-5000x-5000": bmp(5000, -5000),
        "bmp-rle-6000x6000": bmp(6000, 6000, 8, 1, b"\xff\1" * 40000),
        "bmp-40-bits": bmp(10, 10, 40, pixels=bytes(600)),
        "bmp-header-64k": bmp(10, 10, header=65535),
        "tiff-100000x100000": tiff_strip(100_000, 100_000, 3, bytes(20)),
        "tiff-16384x15000": tiff_strip(16384, 15000, 3, bytes(20)),
        "tiff-8224-bands": tiff_strip(64, 64, 8224, bytes(64 * 64)),
        "tiff-old-jpeg": tiff_strip(16, 16, 3, bytes(3000), 6),
        "tiff-6-bands": tiff_strip(8, 8, 6, bytes(8 * 8 * 6)),
        "tiff-strip-360mb": tiff_strip(12000, 10000, 3, b"\x81\0" * (360 * MB // 128), 32773),
        "tiff-ifd-loop": tiff_strip(8, 8, 3, bytes(192), following=8),
        "tiff-ifd-beyond": b"II*\0\xff\xff\xff\x7f",
        "tiff-no-tags": tiff(),
        "tiff-strip-beyond": tiff_strip(64, 64, 3, b""),
        "tiff-rows-0": tiff((256, 4, 8), (257, 4, 8), (278, 4, 1), (277, 3, 0)),
        "bigtiff": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63),
        # work without end
        "png-ztxt": png(8, 8, *[text] * 500),
        "png-itxt": png(8, 8, *[chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)] * 500),
        "png-iccp": png(8, 8, chunk(b"iCCP", b"p\0\0" + deep)),
        "png-iccp-many": png(8, 8, *[chunk(b"iCCP", b"p\0\0" + deep)] * 40),
        "png-iccp-sized": png(
            8, 8, chunk(b"iCCP", b"p\0\0" + zlib.compress(struct.pack(">I", 64 * MB) + bytes(MB)))
        ),
        "png-200000-chunks": png(8, 8, *[chunk(b"teXt", b"")] * 200_000),
        "png-90000-idats": png(8, 8, *[chunk(b"IDAT", b"")] * 90_000),
        "png-90000-trns": png(8, 8, *[chunk(b"tRNS", bytes(6))] * 90_000),
        "png-trns-15mb": png(8, 8, chunk(b"tRNS", bytes(15 * MB))),
        "png-plte-15mb": png(8, 8, chunk(b"PLTE", bytes(15 * MB)), colour=3),
        "png-palette-without-plte": png(8, 8, colour=3),
        "png-idat-bomb": png(8, 8, idat=deep),
        "png-exif-15mb": png(8, 8, chunk(b"eXIf", exif_block(65535) + bytes(14 * MB))),
        "png-exif-rationals": png(
            8, 8, chunk(b"eXIf", exif_block(65535, kind=5, count=90_000) + bytes(MB))
        ),
        "png-chunk-length": png(8, 8, b"\xff\xff\xff\xffIDAT"),
        "png-negative-length": png(8, 8, b"\x80\0\0\0tEXt"),
        "jpg-400-app1": behind_start(jpeg, *[segment(0xE1, b"Exif\0\0" + bytes(65000))] * 300),
        "jpg-4000-comments": behind_start(jpeg, *[segment(0xFE, bytes(4000))] * 4000),
        "jpg-5000-segments": behind_start(jpeg, *[segment(0xFE, b"")] * 5000),
        "jpg-4000-tables": behind_start(jpeg, *[segment(0xDB, bytes(65))] * 4000),
        "jpg-255-icc": behind_start(
            jpeg,
            *[
                segment(0xE2, b"ICC_PROFILE\0" + bytes((at, 255)) + bytes(65000))
                for at in range(255)
            ],
        ),
        "jpg-icc-rubbish": behind_start(jpeg, segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\xff" * 3000)),
        "jpg-fill-bytes": jpeg[:2] + b"\xff" * (19 * MB) + jpeg[2:],
        "jpg-exif-many": behind_start(jpeg, segment(0xE1, b"Exif\0\0" + exif_block(5000))),
        "jpg-exif-loop": behind_start(
            jpeg,
            segment(
                0xE1,
                b"Exif\0\0II*\0\x08\0\0\0\1\0"
                + struct.pack("<HHII", 0x8769, 4, 1, 8)
                + struct.pack("<I", 8),
            ),
        ),
        "jpg-no-scan": jpeg[: jpeg.index(b"\xff\xda")],
        "jpg-5-components": behind_start(
            jpeg, segment(0xC0, struct.pack(">BHHB", 8, 10, 10, 5) + b"\1\x11\0" * 5)
        ),
        "jpg-lossless": behind_start(jpeg, segment(0xC3, bytes(17))),
        "jpg-arithmetic": behind_start(jpeg, segment(0xC9, bytes(17))),
        "jpg-12-bits": jpeg[: jpeg.index(b"\xff\xc0") + 4]
        + b"\x0c"
        + jpeg[jpeg.index(b"\xff\xc0") + 5 :],
        "jpg-300-scans": scans(progressive, 300),
        "jpg-882-scans": scans_in_order(5000),
        "gif-60000-frames": gif(1, 1, frames=60_000),
        "gif-600-frames": gif(8, 8, frames=600),
        "gif-no-frames": gif(8, 8, frames=0),
        "gif-500-empty-frames": gif(8, 8, frames=400, pixels=b"\2\0"),
        "gif-comments": gif(8, 8)[:19] + b"\x21\xfe\xff" + b"x" * 255 + b"\0" + gif(8, 8)[19:],
        "webp-truncated-animation": webp_extended(100, 100, (b"ANIM", bytes(6)), flags=2),
        "webp-20000-frames": webp_extended(
            1,
            1,
            (b"ANIM", bytes(6)),
            *[(b"ANMF", bytes(12) + b"\1\0\0\0" + riff((b"VP8L", lossless[20:]))[12:])] * 20_000,
            flags=2,
        ),
        "webp-unknown-chunks": riff(*[(b"ABCD", b"")] * 100_000),
        "avif-no-items": box(b"ftyp", b"avif\0\0\0\0mif1avif") + box(b"meta", bytes(4)),
        "avif-boxes": box(b"ftyp", b"avif\0\0\0\0mif1avif")
        + box(b"meta", bytes(4), *[box(b"iinf", bytes(8))] * 5000),
        "avif-deep": box(b"ftyp", b"avif\0\0\0\0mif1avif") + b"\0\0\x10\0meta\0\0\0\0" * 400,
        # what its error message repeats is not UTF-8
        "tiff-not-utf8": small["TIFF"].replace(b"II*\0", b"II*\0\xff\xfe", 1),
        "webp-not-utf8": riff((b"\xff\xfe\xfd\xfc", b"\xff" * 50)),
        "avif-not-utf8": box(b"ftyp", b"avif\0\0\0\0mif1avif")
        + box(
            b"meta", bytes(4), box(b"\xff\xfe\xfd\xfc", b"\xff" * 40), box(b"hdlr", b"\xff" * 40)
        ),
    }
    for kind, data in {"JPEG": jpeg, "PROGRESSIVE": progressive, **small}.items():
        for part in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99):
            files[f"{kind}-cut-{part}"] = data[: int(len(data) * part)]
        files[f"{kind}-less-1"] = data[:-1]
        files[f"{kind}-zeroed"] = data[: len(data) // 2] + bytes(len(data) // 2)
        files[f"{kind}-tail"] = data + b"\xff\xd8\xff" + bytes(10_000)
    return files


@pytest.fixture(scope="module")
def vast():
    """Small files of pictures of 81 megapixels."""
    pyvips = pytest.importorskip("pyvips")
    black = pyvips.Image.black(9000, 9000, bands=3)
    pattern = pyvips.Image.gaussnoise(64, 64, sigma=60, mean=128).cast("uchar")
    pattern = pattern.bandjoin([pattern.rot90(), pattern.rot180()]).replicate(141, 141)
    tiles = {"compression": "deflate", "tile": True, "tile_width": 4096, "tile_height": 4096}
    return {
        "webp-lossy": black.webpsave_buffer(Q=10, effort=0),
        "webp-lossless": pattern.webpsave_buffer(lossless=True, effort=0),
        "tiff-strips": black.tiffsave_buffer(compression="deflate"),
        "tiff-tiles": black.tiffsave_buffer(**tiles),
    }


@pytest.fixture(scope="module")
def own(serving, tmp_path_factory):
    """A server of its own, so that what its renderers hold is due to these files."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "examplebucket").mkdir()
    with serving(root) as running:
        yield running


@pytest.fixture(scope="module")
def put(own):
    """``put(name, data)``: store a file."""

    def store(name, data):
        (own.root / "examplebucket" / name).write_bytes(data)

    return store


def worked(site):
    """Seconds of the processors' time that the server and its renderers have used so far."""
    ticks = 0
    for pid in (site.process.pid, *site.pids()):
        with contextlib.suppress(OSError):  # it is being replaced, which is noticed elsewhere
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def asked(site, name, process):
    """The answer, and the processors' seconds that it took."""
    begun = worked(site)
    answer = site.get(name, f"image/{process}")
    return answer, worked(site) - begun


def harmed(site, files, put, processes=PROCESSES, most=MEMORY_MB):
    """Ask for each of them in every way; tell what went wrong."""
    wrong = []
    for name, data in files.items():
        put(name, data)
        for process in processes:
            wrong += harm(site, name, process, most)[1]
    return wrong


def harm(site, name, process, most=MEMORY_MB, case=""):
    """Ask, and tell what went wrong."""
    wrong = []
    pids = site.pids()
    answer, seconds = asked(site, name, process)
    case = f"{case or f'{name}?{process}'}: {answer.status} {answer.code} {answer.message[:90]}"
    if not (answer.status == 200 or 400 <= answer.status < 500):
        wrong.append(f"{case}: neither 200 nor 4xx")
    if seconds > SOON_S:
        wrong.append(f"{case}: took {seconds:.1f} s")
    if answer.status != 200 and not answer.message:
        wrong.append(f"{case}: says nothing")
    if answer.status == 200 and process == "info":
        json.loads(answer.body)
    if site.pids() != pids:
        wrong.append(f"{case}: a renderer was replaced")
        _all_back(site, set(pids) - set(site.pids()))
    peak = max(site.peaks().values())
    if peak > most:
        wrong.append(f"{case}: a renderer held {peak} MB")
        _renewed(site)
    return answer, wrong


def _all_back(site, ended=()):
    """Wait until there are as many renderers as before, and none of those that were ended.

    Until the server has noticed its end, an ended process is still one of its children.
    """
    deadline = time.monotonic() + PATIENCE_S
    while len(pids := site.pids()) < 3 or set(pids) & set(ended):
        assert time.monotonic() < deadline, f"the renderers did not come back: {pids}"
        time.sleep(0.02)
    time.sleep(0.3)


def _renewed(site):
    """Fresh renderers, so that the next case is not blamed for this one's peak."""
    ended = site.pids()
    for pid in ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _all_back(site, ended)


FOREIGN = """
    nothing one-byte zeros text csv ppm pfm pgm svg svg-declared pdf ps vips-little vips-big
    mp4 jxl jxl-box jp2 j2k exr hdr fits ico psd matlab analyze openslide mvg m3u8
    gzip html webm riff-other riff-not
""".split()


@pytest.mark.parametrize("process", PROCESSES)
def test_what_oss_does_not_read_is_a_400(own, put, odd, process):
    for name in FOREIGN:
        put(name, odd[name])
        answer, _ = asked(own, name, process)
        assert (answer.status, answer.code) == (400, "BadRequest"), name


def test_odd_files(own, put, odd):
    known = {name: data for name, data in odd.items() if name not in FOREIGN}
    assert max(map(len, known.values())) <= 20 * MB
    assert harmed(own, known, put) == []


def test_large_pictures_in_small_files(own, put, vast):
    processes = ["info", "resize,w_100", "crop,w_100,h_100,g_se"]
    assert harmed(own, vast, put, processes, PICTURE_MB) == []


# -- as watermarks ---------------------------------------------------------------------------------

MARK = base64.urlsafe_b64encode(b"mark").decode().rstrip("=")
PORTION = base64.urlsafe_b64encode(b"mark?x-oss-process=image/resize,P_30").decode().rstrip("=")
MARKS = [f"watermark,image_{MARK}", f"resize,w_40/watermark,image_{PORTION},t_50,rotate_30,fill_1"]


def marred(site, files, put, jpeg, most=MEMORY_MB):
    """Lay each of them on a good picture, in turns as it is and reduced; tell what went wrong."""
    wrong, marks = [], itertools.cycle(MARKS)
    _renewed(site)
    put("good.jpg", jpeg)
    for name, data in files.items():
        put("mark", data)
        process = next(marks)
        answer, found = harm(site, "good.jpg", process, most, f"{name} as {process}")
        if answer.status != 200 and answer.code != "WatermarkError":
            found.append(f"{name} as {process}: {answer.code} {answer.message[:90]}")
        wrong += found
    return wrong


def test_odd_files_as_watermarks(own, put, odd, seeds):
    assert marred(own, odd, put, seeds["jpg"]) == []


def test_large_pictures_in_small_files_as_watermarks(own, put, vast, seeds):
    pyvips = pytest.importorskip("pyvips")
    black = pyvips.Image.black(15_000, 16_000, bands=3)
    data = black.jpegsave_buffer(Q=50)
    files = {f"{name}-{turn}": vast[name] for name in vast for turn in range(len(MARKS))}
    files |= {"jpg-0": data, "jpg-1": data}
    assert marred(own, files, put, seeds["jpg"], PICTURE_MB) == []


@pytest.mark.parametrize(
    ("name", "ec"),
    [
        *((name, "0040-00000027") for name in ("nothing", "text", "svg", "pdf", "mp4")),
        *((name, "") for name in ("heic", "gif-no-frames")),
        ("jpg-15000x16000", "0040-00000007"),
        ("png-100000x100000", ""),
    ],
)
def test_what_a_client_is_told_of_a_watermark(own, put, odd, seeds, name, ec):
    put("good.jpg", seeds["jpg"])
    put("mark", odd[name])
    answer, _ = asked(own, "good.jpg", MARKS[0])
    assert (answer.status, answer.code, answer.ec) == (400, "WatermarkError", ec)
    assert "'mark'" in answer.message


@pytest.mark.parametrize(
    ("name", "process", "status", "code"),
    [
        ("jpg-1x65535", "resize,w_100", 400, "ImageTooLarge"),
        ("png-100000x100000", "resize,w_100", 400, "ImageTooLarge"),
        ("png-1x30000", "resize,w_100", 200, ""),
        ("png-10x30001", "resize,w_100", 400, "ImageTooLarge"),
        ("bmp-100000x100000", "resize,w_100", 400, "ImageTooLarge"),
        ("gif-65535x65535", "resize,w_100", 400, "ImageTooLarge"),
        ("tiff-100000x100000", "resize,w_100", 400, "ImageTooLarge"),
        ("webp-16383x16383", "resize,w_100", 400, "ImageTooLarge"),
        ("png-1x8448", "resize,w_500,limit_0", 400, "ImageTooLarge"),
        ("png-1x8448", "resize,m_fill,w_500,h_500,limit_0", 400, "ImageTooLarge"),
        ("png-1x8448", "resize,m_mfit,w_500,h_1,limit_0", 400, "ImageTooLarge"),
        ("png-8448x1", "resize,h_500,limit_0", 400, "ImageTooLarge"),
        ("png-1x8448", "resize,m_pad,w_500,h_500,limit_0", 200, ""),
        ("gif-32770x2", "resize,m_fill,w_500,h_500,limit_0", 400, "ImageTooLarge"),
        ("gif-60000-frames", "resize,w_100", 400, "ImageTooLarge"),
        ("gif-60000-frames", "resize,w_100/format,jpg", 200, ""),
        ("gif-60000-frames", "average-hue", 200, ""),
        ("gif-600-frames", "resize,w_4", 400, "ImageTooLarge"),
        ("gif-600-frames", "resize,w_4/format,jpg", 200, ""),
        ("tiff-6-bands", "resize,w_100", 400, "BadRequest"),
        ("png-interlaced-15000x15000", "resize,w_100", 400, "ImageTooLarge"),
        ("jpg-lossless", "resize,w_4", 400, "BadRequest"),
        ("png-ztxt", "resize,w_4", 200, ""),
        ("jpg-400-app1", "resize,w_4", 200, ""),
        ("jpg-exif-loop", "info", 200, ""),
        ("webp-20000-frames", "resize,w_4", 400, "ImageTooLarge"),
        # whole, perhaps, but of a kind that nobody here reads
        ("bmp-40-bits", "resize,w_4", 400, "BadRequest"),
        ("jpg-12-bits", "resize,w_4", 400, "BadRequest"),
        ("tiff-old-jpeg", "resize,w_4", 400, "BadRequest"),
    ],
)
def test_what_a_client_is_told(own, put, odd, name, process, status, code):
    put(name, odd[name])
    answer, _ = asked(own, name, process)
    assert answer.status == status, answer.body[:300]
    assert answer.code == code


# size and frames of what is too large to be processed, which is what image/info is asked for then
TOLD = {
    "png-10x30001": ("10", "30001", "1"),
    "png-100000x100000": ("100000", "100000", "1"),
    "jpg-15000x16000": ("15000", "16000", "1"),
    "jpg-65535x65535": ("65535", "65535", "1"),
    "gif-65535x65535": ("65535", "65535", "1"),
    "gif-60000-frames": ("1", "1", "60000"),
    "webp-16383x16383": ("16383", "16383", "1"),
    "tiff-100000x100000": ("100000", "100000", "1"),
    "bmp-100000x100000": ("100000", "100000", "1"),
}


@pytest.mark.parametrize("name", TOLD)
def test_info_of_what_is_too_large(own, put, odd, name):
    put(name, odd[name])
    answer, _ = asked(own, name, "info")
    assert answer.status == 200, answer.body[:300]
    facts = json.loads(answer.body)
    fields = ("ImageWidth", "ImageHeight", "FrameCount")
    assert tuple(facts[field]["value"] for field in fields) == TOLD[name]


@pytest.fixture(scope="module")
def seeds(photo, saved):
    """Eight small pictures that are whole."""
    picture = photo(48, 32)
    frames = [photo(24, 16).rotate(turn) for turn in (0, 90, 180)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return {
        "jpg": saved(picture, "JPEG", exif=exif),
        "progressive": saved(picture, "JPEG", progressive=True),
        "png": saved(picture.quantize(), "PNG"),
        "gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "tiff": saved(picture, "TIFF", compression="tiff_lzw"),
        "bmp": saved(picture, "BMP"),
        "avif": saved(picture, "AVIF"),
    }


def mutants(seeds, count, seed):
    """Whole files with bits turned, bytes overwritten, parts cut out, doubled or cut off."""
    dice = random.Random(seed)
    for number, (kind, data) in zip(range(count), itertools.cycle(seeds.items()), strict=False):
        made = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            # headers are where the decisions are
            reach = len(made) if dice.random() < 0.5 else min(len(made), 200)
            at = dice.randrange(reach)
            match dice.randrange(5):
                case 0:
                    made[at] ^= 1 << dice.randrange(8)
                case 1:
                    made[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    made[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"))
                case 3:
                    del made[at : at + dice.randrange(1, 30)]
                case 4:
                    made[at:at] = made[at : at + dice.randrange(1, 60)]
            if len(made) < 20:
                break
        if dice.random() < 0.2:
            del made[dice.randrange(len(made)) :]
        yield f"{kind}-{number}", bytes(made)


def test_mutants(own, put, seeds):
    """300 broken files: no fault of ours, and everybody lives."""
    _all_back(own)
    pids = own.pids()
    faults = []
    processes = itertools.cycle(PROCESSES)
    for name, data in mutants(seeds, 300, seed=20260101):
        put("mutant", data)
        process = next(processes)
        answer, seconds = asked(own, "mutant", process)
        if not (answer.status == 200 or 400 <= answer.status < 500) or seconds > SOON_S:
            faults.append((name, process, answer.status, answer.message, round(seconds, 1)))
    assert faults == []
    assert own.pids() == pids


def test_seeds_are_whole(own, put, seeds):
    for name, data in seeds.items():
        put(name, data)
        for process in PROCESSES:
            answer, _ = asked(own, name, process)
            assert answer.status == 200, (name, process, answer.body)


# -- texts -----------------------------------------------------------------------------------------

ESCAPES = [
    *("%", "%2", "%zz", "image/resize,w_100%", "image/resize,w_%zz", "image%2fresize%2cw_%"),
    *("%ff", "%c0%ae", "image/%ff", "image/resize,w_%fe", "%ed%a0%80", "image/resize,%f5%80%80%80"),
]
WORDS = [
    *(
        "image/resize,w_100%00",
        "%00",
        "image/%00",
        "image/resize%00,w_100",
        "image/resize,w_1%0000",
    ),
    *("image/resize,w_１００", "image/resize,w_%EF%BC%91%EF%BC%90", "image/resize,w_%D9%A1%D9%A0"),
    *("image/resize,w_²", "image/resize,w_+100", "image/resize,w_%20100", "image/resize,w_1e2"),
    *("image/resize,w_100%20", "image/resize,w_0x64", "image/resize,w_1_0", "image/resize,w_100.0"),
    *("image/resize,w_9223372036854775808", "image/resize,w_-9223372036854775809"),
    *("image/resize,w_1e999", "image/resize,w_NaN", "image/resize,w_inf", "image/resize,w_--1"),
    *("image/resize,w_" + "9" * 5000, "image/resize,p_" + "9" * 400, "image/crop,x_" + "9" * 30),
    *("image/resize,w_", "image/resize,_100", "image/resize,w", "image/resize,,,", "image/,"),
    *("image/resize,w_100,w_200", "image/resize,w_100,w_100", "image/resize,w_100,m_lfit,m_fill"),
    *(
        "image/RESIZE,w_100",
        "IMAGE/resize,w_100",
        "image/resize,W_100",
        "image/Info",
        "images/info",
    ),
    *(
        "/image/info",
        "image//",
        "image/info/x/",
        "image/info,1",
        "image/info/info",
        "|image/info",
    ),
    *("image/info|", "image/info||image/info", "resize,w_100", ",", "/", "|", "_", "image/_", "a"),
    *(
        "image/../info",
        "image/./info",
        "image/resize,w_100/..",
        "image/%2e%2e/info",
        "../image/info",
    ),
    *("image/resize;w_100", "image/resize,w:100", "image/resize,w=100", "image/resize w_100"),
    *("image/rotate,90%0A", "image/rotate,%0A90", "image/rotate,90%09", "image/format,jpg%20"),
    *("image/format,JPG", "image/format,svg", "image/format,pdf", "image/format,vips", "image/q"),
    *("image/resize,m_fixed,w_16384,h_16384,limit_0", "image/resize,p_1001", "image/resize,p_0"),
    *("image/resize,w_100,limit_2", "image/resize,w_100,color_red", "image/quality,Q_0"),
    *("image/resize,w_100,color_GGGGGG,m_pad", "image/quality,q_-1", "image/interlace,2"),
    *("image/auto-orient,2", "image/auto-orient,", "image/rotate,-1", "image/rotate,361"),
    *("image/" + "a" * 10_000, "image/" + "a," * 5000, "image/resize," + "w_100," * 1500),
    *("image/" + "resize,w_100/" * 1000 + "resize,w_1", "|" * 5000, "image/|" * 1000, "/" * 9000),
    *("image/resize,w_100/" * 21 + "info", "image" + "/resize,w_100" * 21, "%" * 9000, "_" * 9000),
]


@pytest.mark.parametrize("text", [*ESCAPES, *WORDS], ids=lambda text: text[:40])
def test_a_malformed_text_is_a_named_400(site, text):
    line = text.replace(" ", "%20").encode("ascii", "xmlcharrefreplace").decode().replace("&#", "")
    answer = site.get("example.jpg", line if text.isascii() else text)
    assert answer.status == 400, answer.body[:300]
    assert answer.code in ("InvalidArgument", "TooManyPipes", "MissingArgument", "ImageTooLarge")
    assert answer.message
    assert len(answer.body) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "image/resize,w_100,zz_" + "9" * 10_000,
        "image/resize,w_100" + ",a_1" * 3000,
        "image/resize,w_100" + "," * 10_000,
    ],
    ids=["long value", "many keys", "many commas"],
)
def test_what_an_action_does_not_know_may_be_long(site, text):
    answer = site.get("example.jpg", text)
    assert answer.status == 400 or answer.picture.size == (100, 67)


@pytest.mark.parametrize("size", [40_000, 100_000, 1_000_000])
def test_a_text_without_end(site, size):
    begun = time.perf_counter()
    assert site.get("example.jpg", "image/resize,w_" + "1" * size).status in (400, 414, 431)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("first", "more"),
    [
        ("image/info", "x-oss-process=image/resize,w_100"),
        ("image/info", "x-oss-process=image/info"),
        ("image/info", "x-oss-process="),
        ("", "x-oss-process=image/info"),
        ("image/info", "x%2Doss%2Dprocess=image/resize,w_100"),
        ("image/info", "x-oss-process=nonsense&x-oss-process=image/slim"),
    ],
)
def test_the_first_of_several_texts_counts(site, first, more):
    path = f"/examplebucket/example.jpg?x-oss-process={first}"
    answer = site.ask(f"{path}&{more}")
    assert answer.status == 200
    assert answer.body == site.ask(path).body


@pytest.mark.parametrize(
    "query", ["", "&", "&&&", "=x", "x=%", "x-oss-process", "x-oss-process=", "a=b;c=d"]
)
def test_a_query_without_a_process_is_the_object(site, bodies, query):
    assert site.ask(f"/examplebucket/example.jpg?{query}").body == bodies["example.jpg"]


@pytest.mark.parametrize("query", ["=", "=&=", "x", "x=", "x&x=1", "%00", "%3Fx", "t=1&x"])
def test_a_name_without_a_value_may_be_a_call(site, query):
    answer = site.ask(f"/examplebucket/example.jpg?{query}")
    assert (answer.status, answer.code) == (501, "NotImplemented")


@pytest.mark.parametrize("query", ["%ff=1", "a=%ff", "x-oss-process=image/info&a=%c0%ae", "%80"])
def test_a_query_that_is_not_utf8(site, query):
    answer = site.ask(f"/examplebucket/example.jpg?{query}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


# -- text that is drawn ----------------------------------------------------------------------------

DRAWN = [
    # markup, entities, what else is a program's
    *(
        "<b>bold</b>",
        "<span size='999999'>x</span>",
        "<span font='Sans 9999'>x",
        "</span></markup>",
    ),
    *("&", "<", ">", "&amp;&lt;&gt;", "&#0;&#x110000;", "&nosuch;", "]]>", "<![CDATA[x]]>", "<!--"),
    *("<?xml version='1.0'?>", 'x" font_family="y', "'\"`$(id)", "%s%n%p{}{0}", "\\n\\u0000\\x41"),
    *("<script>alert(1)</script>", "../../etc/passwd", "${jndi:ldap://x/y}", "1;DROP TABLE users"),
    # direction
    *("\u202eabc\u202c", "\u202e" * 21, "\u2066\u2067\u2068\u2069" * 5, "\u200f\u200e" * 10),
    *("אבג abc 123 دهز", "\u061c" * 32, "\u202a\u202b\u202d\u202ex", "\u2069" * 21, "ـ" * 32),
    # marks
    *("Z" + "\u0335" * 31, "\u0301" * 32, "\u0489" * 32, "\u20dd" * 21, "a\u0300\u0316" * 12),
    *("e" + "".join(map(chr, range(0x300, 0x31F))), " \u0301", "\u3099" * 21, "中" + "\u0302" * 30),
    *("\u0c1c\u0c4d\u0c1e\u200c\u0c3e", "\u0f40" + "\u0f90" * 20, "\u0e01" + "\u0e49" * 20),
    *("क्ष्म्य" * 3, "ဂ္ဂြွှေ" * 3, "\u1100" * 21, "\u1160" * 21, "각" * 7),
    # as wide as may be
    *("\ufdfa" * 21, "\ufdfd" * 21, "\u2e3b" * 21, "\U0001242b" * 16, "W" * 64, "M" * 64, "█" * 21),
    *("图" * 21, "i" * 64, "|" * 64, "." * 64, "ﷺ" + "\u0301" * 30, "⸻" * 10 + "W" * 34),
    # nothing to be seen
    *(" ", " " * 64, "\t" * 64, "\u3000" * 21, "\u00a0" * 32, "\u200b" * 21, "\u200d" * 21),
    *("\ufeff" * 21, "\u00ad" * 32, "\u2060" * 21, "\u3164" * 21, "\u115f" * 21, "\u1680" * 21),
    # control characters
    *(
        "\0",
        "a\0b",
        "\0" * 64,
        "\x1b[31mred",
        "\r\n\r\n",
        "\x01\x02\x7f\x80\x9f",
        "\v\f",
        "a\nb\nc",
    ),
    *("\u2028\u2029\u0085", "\b" * 64, "\ufff9a\ufffab\ufffb", "\u206a\u206f" * 10),
    # emoji, and what joins them
    *("😀", "😀" * 16, "👨\u200d👩\u200d👧\u200d👦", "🇨🇳🇺🇸", "❤\ufe0f" * 10, "1\ufe0f\u20e3" * 9),
    *("👍🏿" * 8, "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\ufe0f" * 21),
    *("\U000e0041" * 16, "\U000e0001\U000e007f", "\U000e0100" * 16, "\ufe0e" * 21, "😀\u200d" * 9),
    # not characters, or nobody's
    *("\ufffe\uffff", "\ufdd0\ufdef", "\U0001fffe\U0010ffff", "\ufffd" * 21, "\u0378" * 32),
    *("\U0003fffd" * 16, "\U000e0fff" * 16, "\ue000" * 21, "\U000f0000" * 16, "\U0010fffd" * 16),
    # letters from everywhere
    *(
        "Ω≈ç√∫˜µ≤≥÷",
        "İıſßﬃ",
        "𝕬𝖇𝖈𝟙𝟚",
        "ᠮᠣᠩᠭᠣᠯ",
        "⠝⠕⠞",
        "ሰላም",
        "ᚠᛇᚻ",
        "\U0001d15e\U0001d173\U0001d165",
    ),
    *(
        "田中さんにあげて下さい",
        "\U00020000\U0002a6d6\U00030000",
        "\u0300",
        "-1e999",
        "NaN",
        "null",
    ),
]
DRAWING = ["size_1", "size_40", "size_40,shadow_100,rotate_30,t_50,fill_1", "size_1000"]


def base64_of(text):
    data = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "more",
    [pytest.param(more, marks=[pytest.mark.slow] * ("1000" in more)) for more in DRAWING],
)
def test_every_text_is_drawn_or_is_too_large(own, put, seeds, more):
    """Literally, in one line, by the renderers that were there before."""
    put("good.jpg", seeds["jpg"])
    _renewed(own)
    wrong = []
    for text in DRAWN:
        assert 0 < len(text.encode()) <= 64, ascii(text)
        process = f"watermark,text_{base64_of(text)},{more}"
        answer, found = harm(own, "good.jpg", process, case=f"{text!a},{more}")
        wrong += found
        if answer.status == 200:
            missing = int(answer.headers.get("X-Vipsgate-Missing-Glyphs", 0))
            if not 0 <= missing <= len(text):
                wrong.append(f"{text!a}: {missing} glyphs are missing")
        elif more in DRAWING[:2] or answer.code != "ImageTooLarge":
            wrong.append(f"{text!a},{more}: {answer.status} {answer.code} {answer.message}")
    assert wrong == []


NOT_TEXT = [
    *(
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xe4\xb8",
        b"a\x80",
        b"\xff" * 64,
    ),
    *(b"\xf8\x88\x80\x80\x80", b"\xc0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xfe\xff\0a"),
]
NOT_BASE64 = [
    *(
        "A",
        "A=",
        "A===",
        "AAAAA",
        "SG%20k",
        "SG k",
        "SGk=SGk=",
        "=SGk",
        "SGk%00",
        "%00",
        "SGk%0A",
        "@",
    ),
    *(
        "SGk%0D%0A",
        "%0ASGk",
        "SG.k",
        "SG~k",
        "SGk%C2%BD",
        "%EF%BC%B3%EF%BC%A7k",
        "SG%EF%BC%ABk",
        "SGk;",
        "SGk:",
        "%25",
    ),
]


@pytest.mark.parametrize(
    "value",
    [*map(base64_of, NOT_TEXT), *NOT_BASE64],
)
@pytest.mark.parametrize("key", ["text", "image", "type"])
def test_a_value_that_is_not_base64_of_utf8(site, key, value):
    wanted = "" if key != "type" else "text_SGk,"
    answer = site.get("example.jpg", f"image/watermark,{wanted}{key}_{value.replace(' ', '%20')}")
    assert (answer.status, answer.code) == (400, "BadRequest"), answer.body
    assert answer.message.startswith("Input is not base64 decoding.")
    assert f"parameter: {key}" in answer.message


TYPES = [
    *("", " ", "sans", "Sans 9999", "monospace", "Noto Sans CJK SC", "wqy-zenhei ", " wqy-zenhei"),
    *(
        "WQY-ZENHEI",
        "wqy-zenhei Bold 900",
        "wqy-zenhei,serif",
        "wqy-zenhei\0",
        "\0",
        "wqy-zenhei\n",
    ),
    *(
        "../../etc/passwd 40",
        "/etc/passwd",
        "/usr/share/fonts/x.ttf",
        "file:///etc/passwd",
        "./x.ttf",
    ),
    *(
        "http://127.0.0.1/x.ttf",
        "\\\\server\\x.ttf",
        "<b>",
        "%s",
        "wqy-zenhei:antialias=0",
        "." * 9000,
    ),
]


@pytest.mark.parametrize("name", TYPES, ids=lambda name: ascii(name)[:40])
def test_a_font_is_one_of_seven_names_and_never_a_file(site, name):
    answer = site.get("example.jpg", f"image/watermark,text_SGk,type_{base64_of(name)}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "wqy-zenhei, wqy-microhei" in answer.message
    assert len(answer.body) < 2000


KEYS = (
    "image text t g x y voffset rotate fill padx pady type color size shadow order align interval"
)


@pytest.mark.parametrize(
    "value", ["9" * 10_000, "A" * 10_000, "-" * 10_000, "_" * 9999, "/" * 10_000]
)
@pytest.mark.parametrize("key", KEYS.split())
def test_a_watermarks_value_without_end(site, key, value):
    wanted = "" if key in ("text", "image") else "text_SGk,"
    answer = site.get("example.jpg", f"image/watermark,{wanted}{key}_{value}")
    assert answer.status == 400
    assert answer.code in ("InvalidArgument", "BadRequest", "InvalidObjectName"), answer.body
    assert len(answer.body) < 2000


@pytest.mark.parametrize("size", [65, 66, 1000, 20_000])
@pytest.mark.parametrize("sign", ["a", "\0", " "])
def test_a_text_has_64_bytes(site, sign, size):
    answer = site.get("example.jpg", f"image/watermark,text_{base64_of(sign * size)}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "1 to 64 bytes" in answer.message
    assert len(answer.body) < 2000


ONE = f"watermark,text_{base64_of('x')},size_9"


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("/".join([ONE] * 20), 200, ""),
        ("/".join([ONE] * 21), 400, "InvalidArgument"),
        ("/".join([ONE] * 800), 400, "InvalidArgument"),
        ("|image/".join([ONE] * 7), 400, "TooManyPipes"),
        ("/".join(["watermark"] * 20), 400, "MissingArgument"),
        ("watermark," * 1000, 400, "MissingArgument"),
        ("watermark/" * 1000, 400, "InvalidArgument"),
        (ONE + "," * 9000, 200, ""),
        (ONE + ",zz_1" * 2000, 200, ""),
        (ONE + "/x" * 4000, 400, "InvalidArgument"),
        (f"watermark,text_{'SGk/' * 2000}", 400, "InvalidArgument"),
        (f"watermark,image_{'Li4v' * 2000}", 400, "InvalidObjectName"),
        (f"{ONE},text_eA", 400, "InvalidArgument"),
        (f"{ONE},size_9", 400, "InvalidArgument"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_watermarks_without_end(site, text, status, code):
    answer = site.get("example.jpg", f"image/{text}")
    assert (answer.status, answer.code) == (status, code), answer.body[:300]
    assert status == 200 or len(answer.body) < 2000


RUBBISH = [
    *(b"\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100),
    *(b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" + bytes(50)),
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
]


@pytest.mark.parametrize("text", RUBBISH, ids=lambda text: repr(text[:30]))
def test_what_is_not_http_ends_in_4xx_or_a_closed_line(site, text):
    with site.socket() as line:
        line.settimeout(5)
        try:
            line.sendall(text)
            line.shutdown(1)
            with line.makefile("rb") as file:
                first = file.readline()
        except OSError:
            first = b""
    # 501 for what is taken for a call to the service, 505 for a version that does not exist
    assert not first or first.split()[1][:1] == b"4" or first.split()[1] in (b"501", b"505")
    assert site.get("example.jpg", "image/info").status == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *(("Range", "bytes=" + "0-1," * 2000), ("Range", "\xff" * 100), ("Range", "bytes=0-\0")),
        *(("If-None-Match", '"' * 20_000), ("If-None-Match", "\xff\xfe"), ("If-Match", "," * 9999)),
        *(("If-Modified-Since", "9" * 5000), ("If-Modified-Since", "Mon, 99 Foo 99999 99:99:99")),
        *(("If-Unmodified-Since", "Thu, 01 Jan 0000 00:00:00 GMT"), ("If-Range", "\xe9" * 50)),
        *(("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 +99999999999"), ("If-Range", '"')),
        *(("Host", "\xff\xfe"), ("Host", "a" * 9000), ("Host", "[::"), ("Host", ":" * 99)),
        *(("X-Forwarded-Host", "evil"), ("Referer", "\xff" * 9000), ("Accept-Encoding", "gzip")),
        *(("Expect", "100-continue"), ("Upgrade", "websocket"), ("Connection", "upgrade")),
    ],
)
@pytest.mark.parametrize("process", ["", "image/resize,w_100"])
def test_odd_headers(site, header, value, process):
    given = {header: value}
    answer = site.get("example.jpg", process, headers=given, host=None if header == "Host" else "x")
    assert answer.status in (200, 206, 304, 400, 412), answer.body[:300]
    assert answer.status != 200 or answer.body


def test_afterwards_the_server_is_well(own, put, seeds):
    put("seed.jpg", seeds["jpg"])
    assert Image.open(io.BytesIO(own.get("seed.jpg", "image/resize,w_9").body)).width == 9
    assert len(own.pids()) == 3
