"""Notes: each name of the table has a case, and what follows a request to the letter has none."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from vipsgate.errors import InvalidArgument
from vipsgate.image import notes
from vipsgate.image.fonts import Family, Fonts
from vipsgate.image.notes import NOTES
from vipsgate.image.transform import transform

# text, source -> notes of the plan
PLANNED = {
    ("resize,w_50", "jpg 40x27"): ("limit=source",),
    ("resize,m_pad,w_50,h_50", "jpg 40x27"): ("limit=source",),
    ("resize,w_50,limit_0", "jpg 40x27"): (),
    ("resize,w_40", "jpg 40x27"): (),
    ("format,gif", "jpg 40x27"): ("format-kept=jpg",),
    ("format,gif/format,png", "jpg 40x27"): (),
    ("format,gif", "webp 20x10x3"): (),
    ("crop,w_90,h_9", "jpg 40x27"): ("clipped=crop",),
    ("crop,w_9,h_9", "jpg 40x27"): (),
    ("indexcrop,x_10,i_9", "jpg 40x27"): ("clipped=indexcrop",),
    ("indexcrop,x_30,i_1", "jpg 40x27"): (),
    ("circle,r_100", "jpg 40x27"): ("clipped=circle",),
    ("rounded-corners,r_100", "jpg 40x27"): ("clipped=rounded-corners",),
    ("resize,w_50/crop,w_99/resize,w_50", "jpg 40x27"): ("limit=source", "clipped=crop"),
    ("quality,Q_80/interlace,1", "png 40x27"): (),
    ("format,auto,accept_quick", "jpg 2000x1500"): ("later=avif",),
    ("format,auto,accept_quick", "jpg 400x267"): (),
}
# text -> notes of the text
TEXTS = {
    "resize,w_9,zz_1": ("ignored=zz",),
    "resize,w_9,h": ("ignored=h",),
    "resize,w_9,l_9,p_50": ("ignored=l", "ignored=p"),
    "indexcrop,x_9,y_9": ("ignored=x",),
    "quality,q_50,Q_90": ("ignored=q",),
    "crop,w_9,r_1/crop,w_9,r_1": ("ignored=r",),
    "format,png,accept_webp": ("ignored=accept",),
    "resize,w_9,,": (),
    "resize,w_9,中_1": ("ignored=other",),
    "resize,w_9," + ",".join(f"a{at}_1" for at in range(20)): (
        *(f"ignored=a{at}" for at in range(7)),
        "ignored=other",
    ),
    # a logo's own process
    "watermark,image_bG9nby5wbmc_eC1vc3MtcHJvY2Vzcz1pbWFnZS9yZXNpemUsUF8yMCx6el8x": ("ignored=zz",),
}
HEADERS = {  # what the header says -> source, text, notes
    "apng": ("png 40x27", "resize,w_9", {"more": True}, ("apng=first-frame",)),
    "apng to jpg": ("png 40x27", "format,jpg", {"more": True}, ()),
    "pages": ("tiff 40x27", "format,jpg", {"more": True}, ("pages=first",)),
    "hdr": ("jpg 40x27", "resize,w_9", {"hdr": True}, ("hdr=clipped",)),
}
KEPT = {  # text -> notes of what of a JPEG's copyright is kept
    "strip,keep_copyright/format,bmp": ("metadata=dropped",),
    "strip,keep_copyright": (),
    "strip/format,bmp": (),
}
DRAWN = {
    "font": ((), 0, ("font=stand-in",)),
    "glyphs": ((), 2, ("font=stand-in", "glyphs=missing")),
}


@pytest.mark.parametrize(("text", "source"), PLANNED)
def test_of_a_plan(text, source, planned):
    assert planned(source, text).notes == PLANNED[text, source]


@pytest.mark.parametrize("text", TEXTS)
def test_of_a_text(text, parse):
    assert parse(text).notes == TEXTS[text]


@pytest.mark.parametrize("what", HEADERS)
def test_of_a_header(what, header, planned):
    source, text, fields, told = HEADERS[what]
    assert planned(replace(header(source), **fields), text).notes == told


@pytest.mark.parametrize("what", DRAWN)
def test_of_a_text_that_is_drawn(what):
    families, missing, told = DRAWN[what]
    assert Fonts(families).notes(["wqy-zenhei"], missing) == told


def test_of_a_font_that_is_there():
    assert Fonts((Family("WenQuanYi Zen Hei", ()),)).notes(["wqy-zenhei"], 0) == ()


@pytest.mark.parametrize("text", KEPT)
def test_of_what_is_kept(text):
    exif = Image.Exif()
    exif[0x8298] = "Me"  # Copyright
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    assert transform(file.getvalue(), f"image/{text}").notes == KEPT[text]


def test_each_note_has_a_case():
    rows = [*PLANNED.values(), *TEXTS.values(), *(row[-1] for row in HEADERS.values())]
    rows += [row[-1] for row in DRAWN.values()]
    rows += KEPT.values()
    assert notes.names(tuple(item for row in rows for item in row)) == NOTES.keys()


@pytest.mark.parametrize(
    "values", ["limit=source", ["limit"], ["odd=1"], ["limit=a\r\nb"], [1], ["limit=x"] * 25]
)
def test_what_is_no_list_of_notes_is_refused(values):
    with pytest.raises(ValueError, match="not a"):
        notes.read(values)


def test_a_strict_bucket_is_told_which():
    notes.refuse(())
    with pytest.raises(InvalidArgument, match="limit=source"):
        notes.refuse(("limit=source",))
