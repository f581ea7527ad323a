"""``info``: the guide's own answers, and the shape of any."""

import json
from pathlib import Path

import pytest
from PIL import Image

from vipsgate.image import info
from vipsgate.image.formats import probe

DATA = Path(__file__).parents[2].parent / "shared" / "data"
guide = pytest.mark.skipif(not DATA.is_dir(), reason="the guide's pictures are not there")


def answer(data):
    return json.loads(info.answer(probe.probe(data)))


@guide
def test_the_guides_answer():
    got, want = (
        answer((DATA / "f.jpg").read_bytes()),
        json.loads((DATA / "f.info.json").read_text()),
    )
    assert {name: got.get(name) for name in want} == want
    assert set(got) - set(want) == {"FrameCount"}


@guide
def test_the_guides_picture_without_exif():
    assert answer((DATA / "example.jpg").read_bytes()) == {
        "FileSize": {"value": "21839"},
        "Format": {"value": "jpg"},
        "FrameCount": {"value": "1"},
        "ImageHeight": {"value": "267"},
        "ImageWidth": {"value": "400"},
        "ResolutionUnit": {"value": "1"},
        "XResolution": {"value": "1/1"},
        "YResolution": {"value": "1/1"},
    }


SAYS = {
    # source -> Format, FrameCount, ImageWidth, ImageHeight
    "jpg 40x27": ("jpg", "1", "40", "27"),
    "jpg 40x27 o6": ("jpg", "1", "40", "27"),  # as stored
    "png 40x27 alpha": ("png", "1", "40", "27"),
    "gif 20x10x3": ("gif", "3", "20", "10"),
    "webp 20x10x3": ("webp", "3", "20", "10"),
    "webp 40x27": ("webp", "1", "40", "27"),
    "tiff 40x27": ("tiff", "1", "40", "27"),
    "bmp 40x27": ("bmp", "1", "40", "27"),
    "avif 40x27": ("avif", "1", "40", "27"),
}


@pytest.mark.parametrize("source", SAYS)
def test_says(source, picture):
    data = picture(source)
    got = {name: of["value"] for name, of in answer(data).items()}
    names = ("Format", "FrameCount", "ImageWidth", "ImageHeight")
    assert tuple(got[name] for name in names) == SAYS[source]
    assert got["FileSize"] == str(len(data))
    if "o6" in source:
        assert got["Orientation"] == "6"


@pytest.mark.parametrize("source", SAYS)
def test_shape(source, picture):
    text = info.answer(probe.probe(picture(source))).decode()
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("{", "}")
    assert all(line.startswith('  "') and '": {"value": "' in line for line in lines[1:-1])
    names = list(json.loads(text))
    assert names == sorted(names)
    assert all(list(of) == ["value"] for of in json.loads(text).values())


def test_the_file_wins_over_what_it_says_of_itself(encoded, photo):
    block = Image.Exif()
    block.update({0x0100: 9999, 0x0131: 'a "quoted" 林\n'})
    for name in ("JPEG", "PNG", "WEBP"):
        got = answer(encoded(photo(40, 27), name, exif=block))
        assert got["ImageWidth"]["value"] == "40"
        assert got["Software"]["value"].startswith('a "quoted"')
