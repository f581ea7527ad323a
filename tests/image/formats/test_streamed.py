"""What libvips is given of a file that still comes is what the whole shows it, or is not used."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from vipsgate.errors import OssError
from vipsgate.image.formats import jpeg, streamed
from vipsgate.image.formats.probe import probe

PNG_END = 12  # bytes of IEND


class File:
    """All of a file is there; the look at it is the same."""

    def __init__(self, data):
        self.data, self.size = data, len(data)

    def head(self, least):
        return self.data[:least]

    def look(self, at, size):
        return self.data[at : at + size]


def photo(kind, mode="RGB", **options):
    noise = Image.effect_noise((400, 300), 90).convert(mode)
    file = io.BytesIO()
    noise.save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


JPEG = photo("JPEG", quality=90, exif=exif(6), comment=b"a comment")
PROGRESSIVE = photo("JPEG", progressive=True)
PNG = photo("PNG", exif=exif(6))
TURNED = chunk(b"eXIf", exif(6)[6:])
TEXT = chunk(b"tEXt", b"Comment\0" + b"x" * 70_000)
BARE = photo("PNG")


def before_end(data, part):
    return data[:-PNG_END] + part + data[-PNG_END:]


def in_pieces(data, size=8192):
    """With its pixels in many chunks, and a text between each two."""
    begin = data.index(b"IDAT") - 4
    length = int.from_bytes(data[begin : begin + 4], "big")
    pixels = data[begin + 8 : begin + 8 + length]
    parts = [chunk(b"IDAT", pixels[at : at + size]) for at in range(0, length, size)]
    return data[:begin] + chunk(b"tIME", bytes(7)).join(parts) + data[begin + 12 + length :]


FED = {
    "jpeg": JPEG,
    "jpeg, bare": photo("JPEG"),
    "jpeg, progressive": PROGRESSIVE,
    "jpeg, grey": photo("JPEG", "L"),
    "jpeg, cmyk": photo("JPEG", "CMYK"),
    "jpeg, tables of its own": photo("JPEG", optimize=True),
    "jpeg, trailing bytes and an end": JPEG + b"more" + jpeg.END,
    "png": PNG,
    "png, bare": BARE,
    "png, grey": photo("PNG", "L"),
    "png, a long text in front": PNG[:33] + TEXT + PNG[33:],
    "png, a text behind": before_end(PNG, TEXT),
    "png, in pieces": in_pieces(BARE),
    "png, animated behind": before_end(BARE, chunk(b"acTL", struct.pack(">II", 2, 0))),
}
NOT_FED = {
    "jpeg without an end": JPEG[:-2],
    "jpeg with bytes behind its end": JPEG + b"more",
    "jpeg of too many scans": PROGRESSIVE[:-2] + jpeg.SCAN * 200 + jpeg.END,
    "png turned behind its pixels": before_end(BARE, TURNED),
    "png with a palette behind its pixels": before_end(BARE, chunk(b"PLTE", bytes(3))),
    "png of other colours behind its pixels": before_end(BARE, chunk(b"cICP", b"\1\r\0\1")),
}
WHOLE = {
    "webp": photo("WEBP"),
    "gif": photo("GIF"),
    "tiff": photo("TIFF"),
    "bmp": photo("BMP"),
    "text": b"no picture" * 9,
    "nothing": b"",
    "jpeg that ends in front": JPEG[:200],
    "jpeg of a kind that nobody decodes": JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1),
    "png without pixels": BARE[:33],
}


def fed(data):
    """The header, and what libvips sees; ``None`` where the beginning says nothing."""
    file = File(data)
    front = streamed.front(file)
    if front is None:
        return None
    spans = list(front.rest(front, file.look))
    return front.header, front.washed + b"".join(data[begin:end] for begin, end in spans)


def test_cases_are_what_they_are_called():
    bands = {"jpeg, grey": 1, "jpeg, cmyk": 4, "png, grey": 1, "png": 3}
    assert {name: probe(FED[name]).header.bands for name in bands} == bands


@pytest.mark.parametrize("name", FED)
def test_a_file_that_arrives_is_read_like_the_whole(name):
    source = probe(FED[name])
    assert fed(FED[name]) == (source.header, source.data)


@pytest.mark.parametrize("name", NOT_FED)
def test_is_uncertain_where_the_whole_is_read_otherwise(name):
    with pytest.raises(streamed.UncertainError):
        fed(NOT_FED[name])


@pytest.mark.parametrize("name", WHOLE)
def test_is_waited_for(name):
    assert fed(WHOLE[name]) is None
    assert not streamed.streams(WHOLE[name]) or name.startswith(("jpeg", "png"))


@pytest.mark.parametrize("name", FED)
def test_of_a_file_that_is_cut_anywhere_nothing_else_is_shown(name):
    """What the decoder gets then is the same bytes, or as few of them as it must refuse."""
    chance = random.Random(name)
    for _ in range(40):
        data = FED[name][: chance.randrange(len(FED[name]))]
        try:
            shown = fed(data)
        except streamed.UncertainError:
            continue
        if shown is None:
            continue
        source = probe(data)
        assert shown[0] == source.header
        assert source.data.startswith(shown[1])
        assert len(source.data) - len(shown[1]) < PNG_END


def test_a_bent_file_is_never_shown_otherwise():
    chance = random.Random(20)
    for name, data in FED.items():
        for _ in range(20):
            bent = bytearray(data)
            for _ in range(3):
                bent[chance.randrange(len(bent))] = chance.randrange(256)
            try:
                shown = fed(bytes(bent))
                source = probe(bytes(bent))
            except (streamed.UncertainError, OssError):
                continue
            assert shown is None or shown[0] == source.header, name
            assert shown is None or source.data.startswith(shown[1]), name
