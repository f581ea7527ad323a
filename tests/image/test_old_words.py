"""The old API's texts through pixels: the sizes and formats of the guide's own examples."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vipsgate.errors import BadRequest
from vipsgate.gate import legacy

DATA = Path(__file__).parents[2].parent / "shared" / "data"
guide = pytest.mark.skipif(not DATA.is_dir(), reason="the guide's pictures are not there")

MAKES = {
    # picture@text -> format and size
    "f.jpg@100w_1o.jpg": "JPEG 79x100",
    "f.jpg@100w_2o.jpg": "JPEG 100x127",
    "f.jpg@100w_0o.jpg": "JPEG 100x79",
    "f.jpg@100w.jpg": "JPEG 100x79",
    "example.jpg@500w.jpg": "JPEG 500x334",
    "example.jpg@500w_1l.jpg": "JPEG 400x267",
    "example.jpg@100w_100h_1e_1c.png": "PNG 100x100",
    "example.jpg@100w_100h_1e_1c.jpg": "JPEG 100x100",
    "example.jpg@100w_100h_200p": "JPEG 200x134",
    "example.jpg@100w_100h_200p_2e": "JPEG 200x200",
    "example.jpg@100w_100h_4e_100-0-0bgc": "JPEG 100x100",
    "example.jpg@100-50-0-0a": "JPEG 300x217",
    "example.jpg@100x200-1rc": "JPEG 100x200",
    "example.jpg@100-0ci": "JPEG 400x267",
    "example.jpg@100-1ci.png": "PNG 200x200",
    "example.jpg@100w_100h_1e_1c_10-2ci.png": "PNG 100x100",
    "example.jpg@100x-0ic": "JPEG 100x267",
    "example.jpg@1e_100w_100h|watermark=2&text=SGVsbG8gV29ybGQ": "JPEG 150x100",
    "alpha-2048x1536.png@100w": "JPEG 100x75",
    "alpha-2048x1536.png@100w.src": "PNG 100x75",
    "example.gif@100w.src": "JPEG 100x60",
    "example.gif@100w_1an.src": "GIF 100x60",
}


@guide
@pytest.mark.parametrize("asked", MAKES)
def test_makes(asked, run):
    key, _, text = asked.partition("@")
    made = run((DATA / key).read_bytes(), legacy.translate(text).removeprefix("image/"))
    image = Image.open(io.BytesIO(made))
    assert f"{image.format} {image.width}x{image.height}" == MAKES[asked]
    assert getattr(image, "n_frames", 1) == (3 if image.format == "GIF" else 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("text", ["40w_1o.png", "40w_2o.png", "100w|40w_2o.png", "40w.png"])
def test_turned_where_the_guide_says(text, orientation, picture, run, pixels, psnr):
    data = picture(f"jpg 400x267 o{orientation}")
    source = Image.open(io.BytesIO(data))

    def scaled(image, width):
        height = max(1, (2 * image.height * width + image.width) // (2 * image.width))
        return image.resize((width, height), Image.Resampling.LANCZOS)

    if text == "40w_2o.png":
        want = scaled(ImageOps.exif_transpose(source), 40)
    elif "|" in text:
        small = scaled(source, 100)
        small.getexif()[0x0112] = orientation
        want = scaled(ImageOps.exif_transpose(small), 40)
    else:
        want = scaled(source, 40)
        if "1o" in text:
            want.getexif()[0x0112] = orientation
            want = ImageOps.exif_transpose(want)
    got = pixels(run(data, legacy.translate(text).removeprefix("image/")))
    assert got.shape[1::-1] == want.size
    assert psnr(got, want) > 33


def test_a_watermark_by_its_old_words(picture, run, pixels):
    text = "watermark=1&object=cGFuZGEucG5nQDMwUA&p=1&x=0&y=0"  # panda.png@30P
    words = legacy.translate(text).removeprefix("image/").replace("format,jpg", "format,png")
    mark = np.zeros((100, 100, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(mark).save(file, "PNG")
    source = picture("png 200x200")
    got, plain = pixels(run(source, words, objects={"panda.png": file.getvalue()})), pixels(source)
    assert not got[:60, :60].any()
    assert np.array_equal(got[60:], plain[60:])
    assert np.array_equal(got[:, 60:], plain[:, 60:])


# --- answers


def said(data, text, transformed):
    return transformed(data, legacy.translate(text).removeprefix("image/")).data


@guide
@pytest.mark.parametrize("text", ["exif", "infoexif"])
def test_what_the_guide_says_of_its_picture(text, transformed):
    import json

    want = json.loads((DATA / "f.info.json").read_text())
    got = json.loads(said((DATA / "f.jpg").read_bytes(), text, transformed))
    if text == "exif":  # all but the format
        del want["Format"]
        assert got == want
    else:
        assert {name: got.get(name) for name in want} == want


@guide
def test_its_size(transformed):
    got = said((DATA / "example.jpg").read_bytes(), "info", transformed)
    assert got == b'{\n  "height": 267,\n  "size": 21839,\n  "width": 400\n}'


@pytest.mark.parametrize("source", ["jpg 40x27", "png 40x27", "webp 40x27", "gif 40x27"])
def test_no_exif(source, picture, transformed):
    with pytest.raises(BadRequest, match=r"^Image has no exif info\.$") as caught:
        said(picture(source), "exif", transformed)
    assert caught.value.ec == "0040-00000004"


def test_its_colour(picture, transformed):
    data = picture("jpg 40x27")
    got = said(data, "imageAve", transformed)
    assert got.startswith(b'{"RGB": "0x')
