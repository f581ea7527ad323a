"""The rows of the reference's conformance table that this version holds, over HTTP.

A row's number is the table's own; ``key?process`` is what stands on the wire.
"""

import json
import re

import numpy as np
import pytest
from PIL import ImageStat

NEAR = 8  # levels by which a pixel may differ after JPEG
MIMES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}
MIMES |= {"TIFF": "image/tiff", "GIF": "image/gif", "AVIF": "image/avif"}


def rows(*table):
    """Test parameters; what a row is called is its number and its wire text."""
    return [pytest.param(*row[1:], id=f"{row[0]} {row[1]}?{row[2]}") for row in table]


def wire(process):
    """``image/`` is left out of a row that begins with an action."""
    begins = ("image/", "style/", "video/", "sys/")
    return process if process.startswith(begins) else f"image/{process}"


# values in Base64, as the guide has them
HELLO = "SGVsbG8gV29ybGQ"
PANDA = "cGFuZGEucG5n"
PANDA_10 = "cGFuZGEucG5nP3gtb3NzLXByb2Nlc3M9aW1hZ2UvcmVzaXplLFBfMTA"  # of the main picture's sides


def near(pixel, expected, within=NEAR):
    return all(abs(a - b) <= within for a, b in zip(pixel, expected, strict=True))


# -- pictures: row, key, process, format, size -----------------------------------------------------

MADE = rows(
    (1, "example.jpg", "resize,w_200", "JPEG", (200, 134)),
    (2, "example.jpg", "resize,h_100", "JPEG", (150, 100)),
    (3, "example.jpg", "resize,w_100", "JPEG", (100, 67)),
    (4, "example.jpg", "resize,m_lfit,w_100,h_100", "JPEG", (100, 67)),
    (5, "example.jpg", "resize,m_mfit,w_100,h_100", "JPEG", (150, 100)),
    (6, "example.jpg", "resize,m_fill,w_100,h_100", "JPEG", (100, 100)),
    (7, "example.jpg", "resize,m_pad,w_100,h_100", "JPEG", (100, 100)),
    (8, "example.jpg", "resize,m_pad,w_100,h_100,color_FF0000", "JPEG", (100, 100)),
    (9, "example.jpg", "resize,m_fixed,w_100,h_100", "JPEG", (100, 100)),
    (10, "example.jpg", "resize,m_fixed,h_100", "JPEG", (100, 100)),
    (11, "example.jpg", "resize,p_50", "JPEG", (200, 134)),
    (12, "example.jpg", "resize,w_500", "JPEG", (400, 267)),
    (13, "example.jpg", "resize,w_500,limit_0", "JPEG", (500, 334)),
    (14, "example.jpg", "resize,l_100", "JPEG", (100, 67)),
    (15, "example.jpg", "resize,s_100", "JPEG", (150, 100)),
    (16, "src200.jpg", "resize,w_150,h_80", "JPEG", (150, 75)),
    (17, "src200.jpg", "resize,m_mfit,w_150,h_80", "JPEG", (160, 80)),
    (18, "src200.jpg", "resize,m_fill,w_150,h_80", "JPEG", (150, 80)),
    (18, "src200.jpg", "resize,m_pad,w_150,h_80", "JPEG", (150, 80)),
    (18, "src200.jpg", "resize,m_fixed,w_150,h_80", "JPEG", (150, 80)),
    (19, "src200.jpg", "resize,m_fixed,h_100", "JPEG", (100, 100)),
    (25, "example.jpg", "crop,x_100,y_50", "JPEG", (300, 217)),
    (26, "example.jpg", "crop,x_100,y_50,w_100,h_100", "JPEG", (100, 100)),
    (27, "example.jpg", "crop,w_200,h_200,g_se", "JPEG", (200, 200)),
    (28, "example.jpg", "crop,x_10,y_10,w_200,h_200,g_se", "JPEG", (190, 190)),
    (32, "example.jpg", "crop,w_100,h_100,x_100,y_100,r_1", "JPEG", (100, 100)),
    (33, "example.jpg", "crop,w_300,h_300,g_center", "JPEG", (300, 267)),
    (34, "example.jpg", "indexcrop,x_100,i_0", "JPEG", (100, 267)),
    (35, "example.jpg", "indexcrop,x_100,i_100", "JPEG", (400, 267)),
    (36, "example.jpg", "indexcrop,y_100,i_10", "JPEG", (400, 267)),
    (37, "example.jpg", "indexcrop,y_100,i_2", "JPEG", (400, 67)),
    (38, "example.jpg", "circle,r_100", "JPEG", (200, 200)),
    (39, "example.jpg", "circle,r_100/format,png", "PNG", (200, 200)),
    (40, "example.jpg", "rounded-corners,r_30", "JPEG", (400, 267)),
    (
        *(41, "example.jpg", "crop,w_100,h_100/rounded-corners,r_10/format,png"),
        *("PNG", (100, 100)),
    ),
    (42, "example.jpg", "rotate,90", "JPEG", (267, 400)),
    (43, "example.jpg", "resize,w_200,h_200/rotate,90", "JPEG", (134, 200)),
    (44, "example.jpg", "rotate,70", "JPEG", (388, 468)),
    (45, "example.jpg", "rotate,0", "JPEG", (400, 267)),
    (45, "example.jpg", "rotate,360", "JPEG", (400, 267)),
    (49, "f.jpg", "resize,w_100/auto-orient,1", "JPEG", (100, 127)),
    (50, "f.jpg", "resize,w_100/auto-orient,0", "JPEG", (100, 79)),
    (51, "f.jpg", "resize,w_100", "JPEG", (100, 127)),
    (52, "example.jpg", "blur,r_3,s_2", "JPEG", (400, 267)),
    (54, "example.jpg", "bright,50", "JPEG", (400, 267)),
    (54, "example.jpg", "contrast,-50", "JPEG", (400, 267)),
    (54, "example.jpg", "sharpen,100", "JPEG", (400, 267)),
    (56, "example.jpg", "format,png", "PNG", (400, 267)),
    (57, "example.jpg", "format,webp", "WEBP", (400, 267)),
    (57, "example.jpg", "format,bmp", "BMP", (400, 267)),
    (57, "example.jpg", "format,tiff", "TIFF", (400, 267)),
    (57, "example.jpg", "format,avif", "AVIF", (400, 267)),
    (58, "example.jpg", "format,gif", "JPEG", (400, 267)),
    (61, "alpha.png", "format,jpg", "JPEG", (120, 80)),
    (62, "example.jpg", "interlace,1", "JPEG", (400, 267)),
    (63, "example.jpg", "quality,Q_30", "JPEG", (400, 267)),
    (64, "example.jpg", "quality,q_50,Q_90", "JPEG", (400, 267)),
    (66, "example.jpg", f"watermark,text_{HELLO}", "JPEG", (400, 267)),
    (67, "example.jpg", f"watermark,image_{PANDA},t_90,g_nw,x_10,y_10", "JPEG", (400, 267)),
    (
        *(68, "example.jpg", f"resize,w_100,h_100,m_fixed/watermark,image_{PANDA_10}"),
        *("JPEG", (100, 100)),
    ),
    (78, "example.jpg", "image/resize,w_200|image/format,png", "PNG", (200, 134)),
    # every format comes in, and stays what it is
    ("in", "example.webp", "resize,w_100", "WEBP", (100, 67)),
    ("in", "example.bmp", "resize,w_100", "BMP", (100, 67)),
    ("in", "example.tiff", "resize,w_100", "TIFF", (100, 67)),
    ("in", "example.avif", "resize,w_100", "AVIF", (100, 67)),
    ("in", "alpha.png", "resize,w_60", "PNG", (60, 40)),
    ("in", "anim.gif", "resize,w_60", "GIF", (60, 40)),
    ("src", "anim.gif", "format,src", "JPEG", (120, 80)),
    ("src", "alpha.png", "format,src", "PNG", (120, 80)),
    ("name", "no-ending", "resize,w_100", "JPEG", (100, 67)),
)


@pytest.mark.parametrize(("key", "process", "kind", "size"), MADE)
def test_a_picture_is_made(site, key, process, kind, size):
    answer = site.get(key, wire(process))
    assert answer.status == 200, answer.body
    assert (answer.picture.format, answer.picture.size) == (kind, size)
    assert answer.kind == MIMES[kind]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Vipsgate-Cache"] in ("hit", "miss", "joined", "bypass")
    parts = re.findall(r"(\w+);dur=\d+\.\d+", answer.headers["Server-Timing"])
    assert parts == ["queue", "open", "render", "total"]
    assert "x-oss-hash-crc64ecma" not in answer.headers
    if kind != "TIFF":  # whose own tags Pillow takes for EXIF
        assert not answer.picture.getexif()


@pytest.fixture(scope="module")
def original(site):
    """The source itself, as pixels."""
    return site.get("example.jpg")


# row, key, process, position in the result, position in the source or a colour
PIXELS = rows(
    (7, "example.jpg", "resize,m_pad,w_100,h_100", (50, 2), "#FFFFFF"),
    (7, "example.jpg", "resize,m_pad,w_100,h_100", (50, 97), "#FFFFFF"),
    (8, "example.jpg", "resize,m_pad,w_100,h_100,color_FF0000", (50, 2), "#FF0000"),
    (8, "example.jpg", "resize,m_pad,w_100,h_100,color_FF0000", (50, 97), "#FF0000"),
    (6, "example.jpg", "resize,m_fill,w_267,h_267", (0, 0), (66, 0)),
    (9, "example.jpg", "resize,m_fixed,w_100,h_100", (99, 99), (398, 265)),
    (26, "example.jpg", "crop,x_100,y_50,w_100,h_100", (0, 0), (100, 50)),
    (27, "example.jpg", "crop,w_200,h_200,g_se", (0, 0), (200, 67)),
    (27, "example.jpg", "crop,w_200,h_200,g_se", (199, 199), (399, 266)),
    (28, "example.jpg", "crop,x_10,y_10,w_200,h_200,g_se", (0, 0), (210, 77)),
    (33, "example.jpg", "crop,w_300,h_300,g_center", (0, 0), (50, 0)),
    (34, "example.jpg", "indexcrop,x_100,i_0", (99, 266), (99, 266)),
    (35, "example.jpg", "indexcrop,x_100,i_100", (399, 266), (399, 266)),
    (36, "example.jpg", "indexcrop,y_100,i_10", (399, 266), (399, 266)),
    (37, "example.jpg", "indexcrop,y_100,i_2", (0, 0), (0, 200)),
    (37, "example.jpg", "indexcrop,y_100,i_2", (399, 66), (399, 266)),
    (38, "example.jpg", "circle,r_100", (100, 100), (200, 133)),
    (40, "example.jpg", "rounded-corners,r_30", (200, 133), (200, 133)),
    (42, "example.jpg", "rotate,90", (0, 0), (0, 266)),
    (42, "example.jpg", "rotate,90", (266, 0), (0, 0)),
    (44, "example.jpg", "rotate,70", (0, 0), "#FFFFFF"),
    (44, "example.jpg", "rotate,70", (194, 234), (200, 133)),
    (45, "example.jpg", "rotate,0", (5, 5), (5, 5)),
    (45, "example.jpg", "rotate,180", (0, 0), (399, 266)),
    (61, "alpha.png", "format,jpg", (10, 40), "#FFFFFF"),
    (61, "alpha.png", "format,jpg", (110, 40), "#1428C8"),
)


@pytest.mark.parametrize(("key", "process", "at", "expected"), PIXELS)
def test_a_pixel_is_where_it_belongs(site, original, key, process, at, expected):
    if isinstance(expected, str):
        expected = tuple(bytes.fromhex(expected[1:]))
    else:
        expected = original.pixel(*expected)
    assert near(site.get(key, wire(process)).pixel(*at), expected)


def test_row_6_has_no_bars(site):
    picture = site.get("example.jpg", "image/resize,m_fill,w_100,h_100").picture
    corners = [picture.getpixel(at) for at in ((0, 0), (99, 0), (0, 99), (99, 99))]
    assert not any(near(corner, (255, 255, 255), 3) for corner in corners)


def test_rows_38_and_40_are_white_outside(site):
    for process in ("circle,r_100", "rounded-corners,r_30"):
        made = site.get("example.jpg", f"image/{process}").picture
        width, height = made.size
        for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
            # an edge of colour runs through the corner's block of the JPEG
            assert near(made.getpixel(corner), (255, 255, 255), 2 * NEAR), process


def test_rows_39_and_41_are_transparent_outside(site):
    for process, side in (
        ("circle,r_100/format,png", 200),
        ("crop,w_100,h_100/rounded-corners,r_10/format,png", 100),
    ):
        alpha = np.asarray(site.get("example.jpg", f"image/{process}").picture)[..., 3]
        corners = [alpha[y, x] for y in (0, side - 1) for x in (0, side - 1)]
        assert (corners, alpha[side // 2, side // 2]) == ([0] * 4, 255), process


def test_rows_49_to_51_turn_as_the_tag_says(site):
    """Orientation 7: mirrored along the other diagonal, so the stored lower right comes first."""
    stored = site.get("f.jpg", "image/auto-orient,0")
    turned = site.get("f.jpg", "image/auto-orient,1")
    assert (stored.picture.size, turned.picture.size) == ((424, 333), (333, 424))
    for at, was in (((0, 0), (423, 332)), ((332, 0), (423, 0)), ((0, 423), (0, 332))):
        assert near(turned.pixel(*at), stored.pixel(*was))


def levels(site, process):
    """The result's pixels as numbers, not touched by another lossy codec."""
    text = f"image/{process}/format,png" if process else "image/format,png"
    return np.asarray(site.get("example.jpg", text).picture.convert("RGB")).astype(int)


def test_rows_52_and_54_do_what_they_say(site):
    source = levels(site, "")

    def steps(values):
        return np.abs(np.diff(values, axis=1)).mean()

    assert levels(site, "bright,50").mean() > source.mean() + 20
    assert levels(site, "bright,-50").mean() < source.mean() - 20
    assert levels(site, "contrast,-50").std() < 0.6 * source.std()
    assert levels(site, "contrast,50").std() > 1.2 * source.std()
    assert steps(levels(site, "sharpen,100")) > 1.1 * steps(source)
    assert steps(levels(site, "blur,r_3,s_2")) < 0.9 * steps(source)


def changed(site, process, before=""):
    """The first and last column, then row, that ``process`` makes others of."""
    source = levels(site, before)
    made = levels(site, f"{before}/{process}" if before else process)
    rows, columns = np.nonzero((made != source).any(axis=-1))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_row_66_a_text_stands_on_the_lower_right(site):
    left, right, top, bottom = changed(site, f"watermark,text_{HELLO}")
    assert left > 120  # 11 letters of 40 pixels
    assert top > 200
    assert abs(right - 389) <= 2  # 10 pixels from both borders
    assert abs(bottom - 256) <= 2


def test_row_67_a_logo_begins_where_it_is_told(site):
    process = f"watermark,image_{PANDA},t_90,g_nw,x_10,y_10"
    # 60x40, of which the corners are transparent
    assert changed(site, process) == (10, 69, 10, 49)
    source, made = levels(site, ""), levels(site, process)
    expected = 0.9 * np.array((250, 120, 20)) + 0.1 * source[30, 40]
    assert np.abs(made[30, 40] - expected).max() <= 1
    half = round(128 * 0.9) / 255  # the border is half transparent already
    expected = half * np.array((250, 120, 20)) + (1 - half) * source[12, 40]
    assert np.abs(made[12, 40] - expected).max() <= 1


def test_row_68_a_logo_is_measured_by_the_picture_as_it_is_then(site):
    box = changed(site, f"watermark,image_{PANDA_10}", "resize,w_100,h_100,m_fixed")
    assert box == (80, 89, 83, 89)  # 60x40 in 10x10 is 10x7


def test_row_62_is_progressive_and_others_are_not(site):
    assert "progressive" in site.get("example.jpg", "image/interlace,1").picture.info
    for process in ("image/interlace,0", "image/resize,w_100"):
        assert "progressive" not in site.get("example.jpg", process).picture.info


def test_rows_63_and_64_keep_to_the_quality(site):
    def tables(process):
        return site.get("example.jpg", process).picture.quantization[0]

    source, least = site.get("example.jpg"), site.get("example.jpg", "image/quality,Q_30")
    assert len(least.body) < len(source.body)
    assert tables("image/quality,Q_30") == tables("image/quality,q_10,Q_30")
    # the source has quality 80: 90 is no bound for it, and half of it is 40
    assert tables("image/quality,q_50,Q_90") == source.picture.quantization[0]
    assert tables("image/quality,q_50") == tables("image/quality,Q_40")
    # libjpeg's scale of the first step of its table, 16: (16 * 5000 / 30 + 50) / 100
    assert min(tables("image/quality,Q_30")) >= 16


def test_the_frames_of_an_animation_stay(site):
    picture = site.get("anim.gif", "image/resize,w_60").picture
    assert picture.n_frames == 4
    means = []
    for number in range(4):
        picture.seek(number)
        means.append(ImageStat.Stat(picture.convert("RGB")).mean)
    expected = [(0xD0, 0x20, 0x20), (0x20, 0xA0, 0x40), (0x20, 0x40, 0xC0), (0xE0, 0xC0, 0x20)]
    assert all(near(mean, colour, 12) for mean, colour in zip(means, expected, strict=True))


# -- info ------------------------------------------------------------------------------------------


def test_row_72_info(site, bodies):
    answer = site.get("example.jpg", "image/info")
    assert (answer.status, answer.kind) == (200, "application/json")
    assert answer.body.startswith(b'{\n  "')
    said = json.loads(answer.body)
    assert list(said) == sorted(said)
    assert {key: entry["value"] for key, entry in said.items()} == {
        "FileSize": str(len(bodies["example.jpg"])),
        "Format": "jpg",
        "FrameCount": "1",
        "ImageHeight": "267",
        "ImageWidth": "400",
        "ResolutionUnit": "1",
        "XResolution": "1/1",
        "YResolution": "1/1",
    }


def test_row_73_info_with_exif(site):
    said = json.loads(site.get("f.jpg", "image/info").body)
    expected = {"Orientation": "7", "ImageWidth": "424", "ImageHeight": "333", "Format": "jpg"}
    assert {key: said[key]["value"] for key in expected} == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("anim.gif", {"Format": "gif", "FrameCount": "4", "ImageWidth": "120"}),
        ("alpha.png", {"Format": "png", "FrameCount": "1", "ImageHeight": "80"}),
        ("example.webp", {"Format": "webp", "ImageWidth": "400"}),
        ("example.bmp", {"Format": "bmp", "ImageWidth": "400"}),
        ("example.tiff", {"Format": "tiff", "ImageWidth": "400"}),
        ("example.avif", {"Format": "avif", "ImageWidth": "400"}),
    ],
)
def test_info_of_every_format(site, key, expected):
    said = json.loads(site.get(key, "image/info").body)
    assert {name: said[name]["value"] for name in expected} == expected


def test_info_of_the_guides_own_pictures(site, guide):
    expected = json.loads((guide / "f.info.json").read_text())
    said = json.loads(site.ask("/guide/f.jpg?x-oss-process=image/info").body)
    assert {key: said.get(key) for key in expected} == expected
    said = json.loads(site.ask("/guide/example.jpg?x-oss-process=image/info").body)
    expected = {"FileSize": "21839", "Format": "jpg", "ImageHeight": "267", "ImageWidth": "400"}
    assert {key: said[key]["value"] for key in expected} == expected


@pytest.mark.parametrize("process", ["image/info", "image/resize,w_100", "image/format,webp"])
def test_every_picture_of_the_guide(site, guide, process):
    for path in guide.iterdir():
        if path.suffix in (".md", ".json", ".mp4"):
            continue
        answer = site.ask(f"/guide/{path.name}?x-oss-process={process}")
        assert answer.status == 200, (path.name, answer.body)


def test_row_75_average_hue(site, original):
    answer = site.get("example.jpg", "image/average-hue")
    assert (answer.status, answer.kind) == (200, "application/json")
    said = json.loads(answer.body)
    assert list(said) == ["RGB"]
    assert re.fullmatch(r"0x[0-9a-f]{6}", said["RGB"])
    # a flat picture's colour is its own; this one's is at least one of the picture's
    pixels = np.asarray(original.picture).reshape(-1, 3).astype(int)
    colour = list(bytes.fromhex(said["RGB"][2:]))
    assert np.abs(pixels - colour).max(axis=1).min() <= NEAR


def test_row_75_average_hue_of_the_guides_own_picture(site, guide):
    answer = site.ask("/guide/example.jpg?x-oss-process=image/average-hue")
    assert json.loads(answer.body) == {"RGB": "0x5c783b"}


# -- refusals: row, key, process, status, code, EC, part of the message ----------------------------

BAD = "InvalidArgument"
REFUSED = rows(
    (20, "example.jpg", "resize,m_abc,w_100", 400, BAD, "0040-00000311", "abc"),
    (21, "example.jpg", "resize,w_0,h_0", 400, BAD, "0040-00000321", ""),
    (22, "example.jpg", "resize,w_abc", 400, BAD, "", "The value: abc of parameter: w is invalid."),
    (
        *(23, "example.jpg", "resize,m_fixed,w_5000,h_5000,limit_0"),
        *(400, "ImageTooLarge", "0040-00000007", "5000x5000"),
    ),
    (24, "example.jpg", "resize,w_16385,limit_0", 400, BAD, "", "16385"),
    (
        *(29, "example.jpg", "crop,x_500", 400, "BadRequest", ""),
        "Advance cut's position is out of image.",
    ),
    (30, "example.jpg", "crop,w_100,h_100,g_fac", 400, BAD, "0040-00000209", "fac"),
    (31, "example.jpg", "crop,w_-1", 400, BAD, "0040-00000225", "-1"),
    (31, "example.jpg", "crop,h_-1", 400, BAD, "0040-00000226", "-1"),
    (46, "example.jpg", "rotate,400", 400, BAD, "0040-00000217", "400"),
    (46, "example.jpg", "rotate,abc", 400, BAD, "0040-00000217", "abc"),
    (47, "example.jpg", "rotate,", 400, BAD, "0040-00000216", "rotate"),
    (47, "example.jpg", "rotate", 400, BAD, "0040-00000216", "rotate"),
    (48, "example.jpg", "rotate,90,200,300", 400, BAD, "0040-00000203", "rotate"),
    (53, "example.jpg", "blur,r_51,s_2", 400, BAD, "", "The value: 51 of parameter: r is invalid."),
    (53, "example.jpg", "blur,r_3", 400, "MissingArgument", "", "blur needs s"),
    (55, "example.jpg", "sharpen,49", 400, BAD, "", "49"),
    (59, "example.jpg", "format,dng", 400, BAD, "0040-00000206", "dng"),
    (60, "example.jpg", "format", 400, BAD, "0040-00000207", "format"),
    (60, "example.jpg", "format,", 400, BAD, "0040-00000207", "format"),
    (65, "example.jpg", "quality,q_101", 400, BAD, "", "101"),
    (
        *(69, "example.jpg", "watermark,text_@@@", 400, "BadRequest", ""),
        "Input is not base64 decoding.",
    ),
    (
        *(70, "example.jpg", "watermark,image_bWlzc2luZy5wbmc", 400, "WatermarkError", ""),
        "'missing.png' does not exist",
    ),
    (
        *(71, "example.jpg", f"watermark,rotate_400,text_{HELLO}", 400, BAD, "0040-00000272"),
        "400",
    ),
    (74, "example.jpg", "resize,w_100/info", 400, BAD, "", "info"),
    (75, "example.jpg", "resize,w_100/average-hue", 400, BAD, "", "average-hue"),
    (75, "example.jpg", "average-hue,1", 400, BAD, "", "average-hue"),
    (76, "example.jpg", "image/", 400, BAD, "0040-00000212", ""),
    (76, "example.jpg", "image", 400, BAD, "0040-00000212", ""),
    (77, "example.jpg", "slim,1", 400, BAD, "0040-00000213", "slim"),
    (
        *(79, "example.jpg", "|".join(["image/resize,w_100"] * 7), 400, "TooManyPipes"),
        *("0040-00000211", "Maximal number of pipes supported is"),
    ),
    (84, "missing.jpg", "info", 404, "NoSuchKey", "0026-00000001", ""),
    (84, "missing.jpg", "resize,w_100", 404, "NoSuchKey", "0026-00000001", ""),
    (85, "note.txt", "resize,w_100", 400, "BadRequest", "", "not a picture"),
    (85, "note.txt", "info", 400, "BadRequest", "", "not a picture"),
    (86, "big21.jpg", "resize,w_100", 400, "ImageTooLarge", "", "20971520"),
    (86, "big21.jpg", "info", 400, "ImageTooLarge", "", "20971520"),
    ("empty", "empty.jpg", "resize,w_100", 400, "BadRequest", "", "empty"),
    ("none", "example.jpg", "resize", 400, "MissingArgument", "", "resize"),
    ("none", "example.jpg", "quality", 400, "MissingArgument", "", "quality"),
    ("word", "example.jpg", "image/resize,w_100/image/format,png", 400, BAD, "0040-00000213", ""),
    ("word", "example.jpg", "image/resize,w_100|", 400, BAD, "", ""),
    ("word", "example.jpg", "image//", 400, BAD, "0040-00000212", ""),
)


@pytest.mark.parametrize(("key", "process", "status", "code", "ec", "part"), REFUSED)
def test_a_request_is_refused(site, key, process, status, code, ec, part):
    if process.startswith("resize,w_100/image") or process == "image":
        answer = site.get(key, process)
    else:
        answer = site.get(key, wire(process))
    assert (answer.status, answer.code, answer.ec) == (status, code, ec), answer.body
    assert part in answer.message
    proper(answer)


def test_six_stages_are_not_too_many(site):
    text = "|".join(["image/resize,w_300"] * 5 + ["image/format,png"])
    assert site.get("example.jpg", text).picture.size == (300, 200)


def test_row_87_a_source_above_250_megapixels(site, root, huge):
    """29,000 x 29,000 pixels are said to be there; both sides are within their own bound."""
    for process in ("image/resize,w_100", "image/average-hue"):
        answer = site.get(huge, process)
        assert (answer.status, answer.code) == (400, "ImageTooLarge")
        assert answer.ec == "0040-00000012"
    answer = site.get(huge, "image/info")  # for this is how one finds out
    assert (answer.status, json.loads(answer.body)["ImageWidth"]["value"]) == (200, "29000")


@pytest.fixture(scope="module")
def huge(root, bodies):
    """The example with other sides written into its header; gone again afterwards."""
    data = bytearray(bodies["example.jpg"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (29000).to_bytes(2, "big") * 2
    path = root / "examplebucket" / "huge.jpg"
    path.write_bytes(data)
    yield path.name
    path.unlink()


# -- calls, methods and signatures -----------------------------------------------------------------


def test_row_117_saveas_in_a_get(site):
    answer = site.get("example.jpg", "image/resize,w_100|sys/saveas,o_dGVzdC5qcGc,b_dGVzdA")
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert "sys/saveas is for a POST" in answer.message
    proper(answer)


@pytest.mark.parametrize(
    "call",
    [
        *("Signature=x&Expires=1&OSSAccessKeyId=x", "x-oss-signature=x", "Signature=", "Signature"),
        *("OSSAccessKeyId=demo", "x-oss-signature-version=OSS4-HMAC-SHA256", "x-oss-credential=x"),
        *("security-token=x", "x-oss-security-token=x", "%53ignature=x"),
    ],
)
@pytest.mark.parametrize("process", ["", "image/resize,w_100"])
def test_a_bad_signature_never_passes_as_none(site, call, process):
    text = f"&x-oss-process={process}" if process else ""
    answer = site.ask(f"/examplebucket/example.jpg?{call}{text}")
    assert answer.status in (400, 403)
    assert answer.code in ("InvalidArgument", "AccessDenied", "InvalidAccessKeyId")
    proper(answer)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ["OSS key:signature", "OSS4-HMAC-SHA256 Credential=x", "x", ""])
def test_a_bad_authorization_never_passes_as_none(site, value, method):
    answer = site.get("example.jpg", headers={"Authorization": value}, method=method)
    assert answer.status in (400, 403)
    assert answer.code in ("InvalidArgument", "AccessDenied", "InvalidAccessKeyId")
    proper(answer, method)


@pytest.mark.parametrize("target", ["/", "*"])
def test_methods_of_a_later_version(site, target):
    answer = site.ask(target, method="OPTIONS")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert "OPTIONS" in answer.message
    proper(answer)


@pytest.mark.parametrize("target", ["/examplebucket/example.jpg", "/examplebucket/"])
def test_a_preflight_that_says_nothing(site, target):
    answer = site.ask(target, method="OPTIONS")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "Origin" in answer.message
    proper(answer)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *((method, "/examplebucket/example.jpg") for method in ("PUT", "DELETE")),
        *((method, "/examplebucket/new.jpg") for method in ("PUT", "DELETE")),
        *((method, "/examplebucket/") for method in ("GET", "PUT", "DELETE")),
        *((method, "/newbucket/") for method in ("PUT",)),
        *(("GET", f"/examplebucket/?{call}") for call in ("acl", "style", "bucketInfo=")),
        *(("GET", f"/examplebucket/?{call}") for call in ("list-type=2&prefix=a", "uploads")),
        *(("PUT", f"/examplebucket/?{call}") for call in ("acl", "style&styleName=a", "referer")),
        *(("PUT", f"/examplebucket/example.jpg?{call}") for call in ("acl", "uploadId=x")),
        *(("POST", f"/examplebucket/{call}") for call in ("?delete", "a?uploads", "a?uploadId=x")),
        *(("GET", target) for target in ("/", "/examplebucket", "/examplebucket/example.jpg?acl")),
    ],
)
def test_what_takes_a_signature(site, bodies, method, target):
    answer = site.ask(target, method=method, body=b"x" if method in ("PUT", "POST") else b"")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    proper(answer)
    assert site.get("example.jpg").body == bodies["example.jpg"]
    assert site.get("new.jpg").code == "NoSuchKey"


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PROPFIND", "MKCOL", "LOCK", "CONNECT"])
def test_methods_that_oss_does_not_know(site, method):
    target = "127.0.0.1:80" if method == "CONNECT" else "/examplebucket/example.jpg"
    answer = site.ask(target, method=method)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "GET, HEAD, PUT, POST, DELETE"
    assert answer.error["Method"] == method
    proper(answer)


@pytest.mark.parametrize(
    "target",
    [
        *("/examplebucket/?resourceGroup", "/examplebucket/?replication"),
        *("/examplebucket/?objectMeta", "/examplebucket/example.jpg?uploads"),
        *("/examplebucket/example.jpg?objectMeta=", "/examplebucket/example.jpg?partNumber=1"),
        *("/examplebucket/example.jpg?acl&tagging", "/examplebucket/example.jpg?append"),
        *("/examplebucket/?cname", "/?publicAccessBlock", "/examplebucket/?ACL"),
        *("/examplebucket/example.jpg?seal", "/examplebucket/example.jpg?Response-Expires=a"),
        "/examplebucket/example.jpg?callback=foo",
    ],
)
def test_calls_of_a_later_version_are_never_the_object(site, target):
    answer = site.ask(target)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    proper(answer)


@pytest.mark.parametrize("query", ["utm_source=mail&utm_medium=a%20b", "t=123", "_=1&fbclid=x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_campaigns_and_caches_add_is_passed_over(site, bodies, method, query):
    for process in ("", "image/resize,w_100"):
        text = f"&x-oss-process={process}" * bool(process)
        answer = site.ask(f"/examplebucket/example.jpg?{query}{text}", method=method)
        plain = site.get("example.jpg", process, method=method)
        assert (answer.status, answer.body, answer.etag) == (200, plain.body, plain.etag)


# -- rows 121 to 125 and the shape of a refusal ----------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("content-type", "content-language", "content-encoding", "content-disposition"),
        *("expires", "cache-control"),
    ],
)
def test_row_121_anonymous_overrides(site, name):
    answer = site.ask(f"/examplebucket/example.jpg?response-{name}=text/plain")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "anonymous GET requests" in answer.message
    proper(answer)


def test_rows_122_and_123_ranges(site, bodies):
    answer = site.get("example.jpg", headers={"Range": "bytes=900000-"})
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert answer.message == "The requested range cannot be satisfied."
    assert answer.error["RangeRequested"] == "bytes=900000-"
    proper(answer)
    answer = site.get("example.jpg", headers={"Range": "bytes=abc"})
    assert (answer.status, answer.body) == (200, bodies["example.jpg"])
    assert "Content-Range" not in answer.headers


def test_row_124_conditions(site):
    etag = site.get("example.jpg").etag
    answer = site.get("example.jpg", headers={"If-None-Match": etag})
    assert (answer.status, answer.body, answer.etag) == (304, b"", etag)
    answer = site.get("example.jpg", headers={"If-Match": '"other"'})
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert answer.error["Condition"] == "If-Match"
    proper(answer)


def test_row_125_head_of_a_missing_key(site):
    answer = site.get("missing.jpg", method="HEAD")
    assert (answer.status, answer.code, answer.body) == (404, "NoSuchKey", b"")
    proper(answer, "HEAD")


@pytest.mark.parametrize(
    "target",
    [
        "/examplebucket/missing.jpg",
        "/examplebucket/example.jpg?x-oss-process=image/resize,m_abc,w_100",
        "/examplebucket/note.txt?x-oss-process=image/resize,w_100",
        "/examplebucket/example.jpg?x-oss-process=style/none",
        "/nosuchbucket/example.jpg",
        "/A_B/example.jpg",
        "/examplebucket/../x",
    ],
)
def test_head_refuses_as_get_does(site, target):
    get, head = site.ask(target), site.ask(target, method="HEAD")
    assert get.status >= 400
    assert (get.status, get.code, get.message, get.ec) == (
        *(head.status, head.code, head.message, head.ec),
    )
    proper(get)
    proper(head, "HEAD")


def test_nothing_of_a_request_breaks_the_xml(site):
    text = "%3C%26%22%27%3E%5D%5D%3E%01%EF%BF%BF%F0%9F%98%80"
    for target in (f"/examplebucket/{text}", f"/examplebucket/a?x-oss-process=image/{text},1"):
        proper(site.ask(target))
    proper(site.get("missing.jpg", headers={"Host": "<b>&.example.com"}, host=None))


def proper(answer, method="GET"):
    """Is it a refusal in the shape of the reference's section 9?"""
    assert answer.kind == "application/xml"
    assert list(answer.error)[:4] == ["Code", "Message", "RequestId", "HostId"]
    identity = answer.headers["x-oss-request-id"]
    assert re.fullmatch(r"[0-9A-F]{24}", identity)
    assert answer.error["RequestId"] == identity
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["Date"])
    assert answer.message
    if "EC" in answer.error:
        assert list(answer.error)[-1] == "EC"
        assert answer.headers["x-oss-ec"] == answer.error["EC"]
    if method == "HEAD":
        assert answer.body == b""
        assert answer.headers["x-oss-err"]
    else:
        assert "x-oss-err" not in answer.headers
        assert answer.body.startswith(b"<?xml")
