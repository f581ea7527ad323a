"""A JPEG with bad bits is refused on every way that its pixels can go."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image

from vipsgate.errors import ImageDamage, WatermarkError
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import warnings
from vipsgate.image.formats.codecs import CODECS
from vipsgate.image.group import Group
from vipsgate.image.process import parse

MESSAGES = {
    # what libjpeg says -> whether pixels are wrong for it
    "Corrupt JPEG data: premature end of data segment": True,
    "Corrupt JPEG data: bad Huffman code": True,
    "Corrupt JPEG data: bad arithmetic code": True,
    "Corrupt JPEG data: found marker 0xd4 instead of RST3": True,
    "Premature end of JPEG file": True,
    "a message of a later libjpeg": True,
    "Corrupt JPEG data: 3 extraneous bytes before marker 0xd9": False,
    "Warning: unknown JFIF revision number 2.01": False,
    "Unknown Adobe color transform code 7": False,
    "Invalid SOS parameters for sequential JPEG": False,
    "Inconsistent progression sequence for component 0 coefficient 5": False,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages(message):
    lines = f"pngload: something else\nVipsJpeg: {message}\n"
    assert warnings.damage(lines) == (message if MESSAGES[message] else "")


def test_of_others():
    assert not warnings.damage("")
    assert not warnings.damage("VipsTiff: bad\nVipsImage: Corrupt JPEG data: bad Huffman code")


def jpeg(**options):
    noise = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((240, 180)).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def cut(data):
    return data[: len(data) * 2 // 3] + b"\xff\xd9"


PROCESSES = [
    *(f"resize,w_{width}/format,{name}" for width in (40, 120, 240) for name in CODECS),
    "resize,w_400",
    "resize,m_fill,w_50,h_100",
    "resize,m_pad,w_90,h_90,color_FF0000",
    "crop,y_100,h_80",
    "indexcrop,y_90,i_1",
    "circle,r_80/format,png",
    "rounded-corners,r_20/format,png",
    *(f"rotate,{angle}" for angle in (45, 90, 180, 270)),
    "blur,r_3,s_2",
    "bright,20/contrast,10",
    "sharpen,100",
    "watermark,text_SGVsbG8/format,bmp",
    "watermark,text_SGVsbG8,fill_1/rotate,90/format,heic",
    "interlace,1",
    "average-hue",
]


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("text", PROCESSES)
def test_refused_on_every_way(text, options, transformed):
    data = jpeg(**options)
    transformed(data, text)
    with pytest.raises(ImageDamage, match="premature end of data segment"):
        transformed(cut(data), text)
    transformed(data, text)  # nothing is left behind


def test_what_is_not_read_may_be_damaged(transformed):
    data = jpeg()
    above = "crop,h_60/format,png"
    assert transformed(cut(data), above).data == transformed(data, above).data


def test_watermarks(transformed):
    text, data = "watermark,image_bG9nbw", jpeg()
    transformed(data, text, objects={"logo": data})
    with pytest.raises((ImageDamage, WatermarkError)):
        transformed(data, text, objects={"logo": cut(data)})


def test_several_of_one_source(make_context, tmp_path):
    texts = ["image/resize,w_100", "image/resize,w_50/rotate,90", "image/resize,w_60/format,bmp"]
    processes = [parse(text, Limits()) for text in texts]
    context = make_context()
    for data, whole in ((jpeg(), True), (cut(jpeg()), False)):
        group = Group(lambda data=data: data, processes, Limits(), Rendering())
        for process in processes:
            with (tmp_path / "result").open("wb") as file:
                if whole:
                    group.write(process, file.fileno(), context)
                else:
                    with pytest.raises(ImageDamage):
                        group.write(process, file.fileno(), context)


def test_messages_are_libjpegs():
    """libvips still writes into its error buffer what libjpeg warns of."""
    warnings.clear()
    pyvips.Image.jpegload_buffer(cut(jpeg())).write_to_memory()
    with pytest.raises(pyvips.Error, match="premature end of data segment"):
        warnings.check()
    warnings.check()  # as pyvips' error has taken the messages with it
