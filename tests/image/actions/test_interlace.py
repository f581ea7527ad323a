"""``interlace``: a progressive JPEG, wherever it stands; nothing for other formats."""

import pytest

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {"interlace,1": "interlace,1", "interlace,0": "interlace,0"}
REFUSES = {
    "interlace": (MissingArgument, "", "from 0 to 1"),
    "interlace,": (InvalidArgument, "", "from 0 to 1"),
    "interlace,2": (InvalidArgument, "", "The value: 2 of parameter: interlace is invalid."),
    "interlace,1,1": (InvalidArgument, "0040-00000203", "one value, not 2"),
}
PLANS = {
    ("interlace,1", "jpg 40x27"): "40x27 jpg progressive",
    ("interlace,0", "jpg 40x27"): "40x27 jpg baseline",
    ("interlace,1/format,jpg", "png 40x27"): "40x27 jpg progressive",
    ("format,jpg/interlace,1", "png 40x27"): "40x27 jpg progressive",
    ("interlace,1/interlace,0", "jpg 40x27"): "40x27 jpg baseline",
    ("resize,w_20", "jpg 40x27 interlaced"): "20x14 jpg baseline",
    ("interlace,1/resize,w_20", "jpg 40x27 interlaced"): "20x14 jpg progressive",
    ("interlace,1", "png 40x27"): "40x27 png",
    ("interlace,1", "gif 20x10x3"): "20x10x3 gif",
}


@pytest.mark.parametrize(("text", "mark"), [("interlace,1", 0xC2), ("interlace,0", 0xC0)])
def test_start_of_frame(text, mark, picture, run):
    made = run(picture("png 40x27"), f"{text}/format,jpg")
    assert made.count(bytes((0xFF, mark, 0, 17, 8))) == 1
