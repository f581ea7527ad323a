"""``watermark``: what it reads, what it refuses, where marks stand, and their pixels to a level."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from vipsgate.errors import (
    BadRequest,
    ImageTooLarge,
    InvalidArgument,
    MissingArgument,
    WatermarkError,
)
from vipsgate.image import config, process
from vipsgate.image.prepared import Overlay, PreparedCache


def b64(text):
    """As OSS writes it: URL-safe, without padding."""
    data = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def logo(do="", name="logo.png"):
    return "image_" + b64(name + (f"?x-oss-process=image/{do}" if do else ""))


HELLO = "text_" + b64("Hello World")
PANDA = "cGFuZGEucG5nP3gtb3NzLXByb2Nlc3M9aW1hZ2UvcmVzaXplLFBfMzA"  # the guide's own
READS = {
    # text -> canonical
    f"watermark,{HELLO}": "watermark,text_SGVsbG8gV29ybGQ",
    "watermark,text_SGVsbG8g5Zu-54mH5pyN5YqhIQ": "watermark,text_SGVsbG8g5Zu-54mH5pyN5YqhIQ",
    "watermark,t_90,image_cGFuZGEucG5n,g_nw,x_10,y_10": "watermark,image_cGFuZGEucG5n,t_90,g_nw",
    f"watermark,image_{PANDA}": f"watermark,image_{PANDA}",
    f"watermark,{logo('/resize,P_30//')}": f"watermark,{logo('resize,P_30')}",
    # both alphabets, with and without padding; a slash does not end the action
    "watermark,text_SGVsbG8gV29ybGQ=": "watermark,text_SGVsbG8gV29ybGQ",
    "watermark,text_SGVsbG8gV29ybGQ==": "watermark,text_SGVsbG8gV29ybGQ",
    "watermark,text_Pj4-": "watermark,text_Pj4-",
    "watermark,text_Pj4+": "watermark,text_Pj4-",
    "watermark,text_Pz8_": "watermark,text_Pz8_",
    "watermark,text_Pz8/": "watermark,text_Pz8_",
    "watermark,text_Pz8/Pz8/": "watermark,text_Pz8_Pz8_",
    "watermark,text_Pz8/Pz8/,color_FF0000": "watermark,text_Pz8_Pz8_,color_FF0000",
    "watermark,color_FF0000,text_Pz8//resize,w_9": "watermark,text_Pz8_,color_FF0000/resize,w_9",
    "resize,w_9/watermark,text_Pz8//watermark,text_Pj4+": (
        "resize,w_9/watermark,text_Pz8_/watermark,text_Pj4-"
    ),
    # defaults are left out
    "watermark,text_SGk,t_100,g_se,x_10,y_10,voffset_0,rotate_0,fill_0,padx_0,pady_0": (
        "watermark,text_SGk"
    ),
    "watermark,text_SGk,type_d3F5LXplbmhlaQ,color_000000,size_40,shadow_0": "watermark,text_SGk",
    "watermark,text_SGk,order_0,align_2,interval_0": "watermark,text_SGk",
    "watermark,interval_9,align_0,order_1,text_SGk": (
        "watermark,text_SGk,order_1,align_0,interval_9"
    ),
    "watermark,text_SGk,animation_1,what_ever": "watermark,text_SGk",
    "watermark,text_SGk,voffset_-1000,rotate_360": "watermark,text_SGk,voffset_-1000,rotate_360",
    # colour as today and as the older guide has it
    "watermark,text_SGk,color_ff8800": "watermark,text_SGk,color_FF8800",
    "watermark,text_SGk,color_I0ZGODgwMA": "watermark,text_SGk,color_FF8800",
    "watermark,text_SGk,color_I2ZmODgwMA==": "watermark,text_SGk,color_FF8800",
    "watermark,text_SGk,type_" + b64("fangzhengkaiti"): (
        "watermark,text_SGk,type_ZmFuZ3poZW5na2FpdGk"
    ),
    # what is done to the picture before it is laid on
    f"watermark,{logo('resize,w_9,m_fixed/rotate,090')}": (
        f"watermark,{logo('resize,m_fixed,w_9/rotate,90')}"
    ),
    f"watermark,{logo('indexcrop,x_9/rounded-corners,r_3/crop,w_4')}": (
        f"watermark,{logo('indexcrop,x_9/rounded-corners,r_3/crop,w_4')}"
    ),
    f"watermark,{logo(name='西湖/标志 1?.png')}": f"watermark,{logo(name='西湖/标志 1?.png')}",
}
NOT_BASE64 = "Input is not base64 decoding."
BAD, INV = BadRequest, InvalidArgument
REFUSES = {
    "watermark": (MissingArgument, "", "one of image, text"),
    "watermark,": (MissingArgument, "", "one of image, text"),
    "watermark,g_se": (MissingArgument, "", "one of image, text"),
    "watermark,text_@@@": (BAD, "", NOT_BASE64),
    "watermark,text_A": (BAD, "", NOT_BASE64),
    "watermark,text_SG k": (BAD, "", NOT_BASE64),
    "watermark,text_SGk=k": (BAD, "", NOT_BASE64),
    "watermark,text_/w": (BAD, "", NOT_BASE64),  # b"\xff" is no UTF-8
    "watermark,image_@@@": (BAD, "", "parameter: image"),
    "watermark,type_@@@,text_SGk": (BAD, "", "parameter: type"),
    "watermark,text_": (INV, "", "1 to 64 bytes"),
    "watermark,text_" + b64("a" * 65): (INV, "", "1 to 64 bytes"),
    "watermark,text_" + b64("图" * 22): (INV, "", "1 to 64 bytes"),
    "watermark,text_SGk,text_SGk": (INV, "", "given twice"),
    "watermark,text_SGk,type_" + b64("Arial"): (INV, "", "wqy-zenhei, wqy-microhei"),
    "watermark,text_SGk,type_" + b64("../../etc/passwd 40"): (INV, "", "parameter: type"),
    "watermark,text_SGk,color_red": (INV, "", "six hexadecimal digits"),
    "watermark,text_SGk,color_" + b64("#12345"): (INV, "", "six hexadecimal digits"),
    "watermark,text_SGk,color_" + b64("123456"): (INV, "", "six hexadecimal digits"),
    "watermark,text_SGk,g_middle": (INV, "", "nw, north, ne"),
    "watermark,rotate_400,text_SGk": (INV, "0040-00000272", "parameter: rotate"),
    "watermark,rotate_-1,text_SGk": (INV, "0040-00000272", "parameter: rotate"),
    **{
        f"watermark,text_SGk,{key}_{value}": (INV, "", f"parameter: {key}")
        for key, low, high in (
            *(("t", 0, 100), ("x", 0, 4096), ("y", 0, 4096), ("voffset", -1000, 1000)),
            *(("fill", 0, 1), ("padx", 0, 4096), ("pady", 0, 4096), ("size", 1, 1000)),
            *(("shadow", 0, 100), ("order", 0, 1), ("align", 0, 2), ("interval", 0, 1000)),
        )
        for value in (low - 1, high + 1, "", "a", "1.5", "9" * 10_000)
    },
    # what may not be done to a watermark's own picture
    f"watermark,{logo('circle,r_3')}": (INV, "0040-00000213", "Expected one of resize, crop"),
    f"watermark,{logo('info')}": (INV, "0040-00000213", "info"),
    f"watermark,{logo('format,jpg')}": (INV, "0040-00000213", "format"),
    f"watermark,{logo('watermark,text_SGk')}": (INV, "0040-00000213", "watermark"),
    f"watermark,{logo('resize,w_9|image/crop,w_4')}": (INV, "", "9|image"),
    f"watermark,{logo('')}": None,
    f"watermark,{logo('resize,P_0')}": (INV, "", "parameter: P"),
    f"watermark,{logo('resize,P_101')}": (INV, "", "parameter: P"),
    f"watermark,{logo('resize')}": (MissingArgument, "", "w, h, l, s, p"),
    f"watermark,{logo('resize,w_a')}": (INV, "", "parameter: w"),
    f"watermark,{logo('/')}": (INV, "0040-00000213", "is not supported"),
    "watermark,image_" + b64("?x-oss-process=image/resize,w_9"): (INV, "", "an object's name"),
    "watermark,image_": (INV, "", "an object's name"),
    f"watermark,{logo()}/watermark,{logo()}/watermark,{logo()}/watermark,{logo()}": (
        INV,
        "",
        "4 picture watermarks; it may have 3",
    ),
    f"watermark,{logo('/'.join(['crop'] * 20))}": (INV, "", "it may have 20"),
    # only a watermark's own picture knows another one to be measured by
    "resize,P_30": (MissingArgument, "", "w, h, l, s, p"),
}
REFUSES = {text: row for text, row in REFUSES.items() if row}
# on 400x267, a mark of 100x50 -> its upper left
PLACES = {
    "g_nw": (10, 10),
    "g_north": (150, 10),
    "g_ne": (290, 10),
    "g_west": (10, 108),
    "g_center": (150, 108),
    "g_east": (290, 108),
    "g_sw": (10, 207),
    "g_south": (150, 207),
    "": (290, 207),
    "g_se,x_0,y_0": (300, 217),
    "g_nw,x_3,y_4": (3, 4),
    "g_ne,x_3,y_4": (297, 4),
    "g_sw,x_3,y_4": (3, 213),
    "g_se,x_3,y_4,voffset_99": (297, 213),  # of a row in the middle only
    "g_west,voffset_20,y_99": (10, 128),
    "g_center,voffset_-20,x_99": (150, 88),
    "g_east,voffset_-1000": (290, -892),
    "g_north,x_99,y_7": (150, 7),
    "g_se,x_4096,y_4096": (-3796, -3879),
}


@pytest.mark.parametrize("place", PLACES)
def test_place(place, parse, planned):
    (mark,) = parse(f"watermark,{HELLO},{place}").actions
    frame = planned("jpg 400x267", "format,png").result
    assert mark.corner(frame, 100, 50) == PLACES[place]


def test_a_frame_is_as_large_as_before(table):
    for source in ("jpg 40x30", "png 40x30 alpha", "gif 20x10x3", "webp 20x10x3", "png 7x5 grey"):
        table.renders(source, f"watermark,{HELLO},size_12", source.split()[1])


def test_what_is_needed_and_written():
    text = f"watermark,{logo('resize,w_9')}/watermark,{logo()},{HELLO}/watermark,{logo(name='b')}"
    asked = process.parse("image/" + text, config.Limits())
    assert asked.needs() == ("logo.png", "b")
    assert asked.writes() == "Hello World"


# --- pixels

SIZE = (60, 40)  # width, height of the picture


@pytest.fixture(scope="module")
def base(photo):
    return photo(*SIZE)


@pytest.fixture(scope="module")
def mark(photo):
    """15 by 9 pixels with every opacity from 0 to 255."""
    alpha = np.linspace(0, 255, 15 * 9).round().reshape(9, 15, 1)
    return np.concatenate([photo(15, 9, 3, 4), alpha.astype(np.uint8)], axis=-1)


@pytest.fixture(scope="module")
def stamp(run, encoded, mark):
    """Lay ``mark`` on a picture: ``stamp(values, "g_nw")``, as PNG's pixels."""

    def work(values, text="", do="", other=mark):
        objects = {"logo.png": encoded(other, "PNG")}
        text = f"watermark,{logo(do)},{text}"
        return run(encoded(values, "PNG"), text, objects=objects)

    return work


def over(below, mark, left, top, percent=100):
    """What should come out, in arithmetic."""
    made = below.astype(float)
    high, wide = mark.shape[:2]
    canvas = np.zeros((*below.shape[:2], 4))
    for y in range(high):
        for x in range(wide):
            if 0 <= y + top < below.shape[0] and 0 <= x + left < below.shape[1]:
                canvas[y + top, x + left] = mark[y, x]
    weight = canvas[..., 3:] / 255 * percent / 100
    if below.shape[2] == 3:
        return canvas[..., :3] * weight + made * (1 - weight)
    under = made[..., 3:] / 255
    alpha = weight + under * (1 - weight)
    mixed = canvas[..., :3] * weight + made[..., :3] * under * (1 - weight)
    colours = np.divide(mixed, alpha, out=np.zeros_like(mixed), where=alpha > 0)
    return np.concatenate([colours, alpha * 255], axis=-1)


@pytest.mark.parametrize("percent", [100, 90, 50, 1, 0])
@pytest.mark.parametrize("place", ["g_nw", "g_center", "g_se", "g_se,x_3,y_0", "g_ne,x_50"])
def test_opacity_and_place_to_one_level(place, percent, stamp, base, mark, parse, planned, pixels):
    (action,) = parse(f"watermark,{HELLO},{place}").actions
    frame = planned("png 60x40", "format,png").result
    left, top = action.corner(frame, 15, 9)
    got = pixels(stamp(base, f"{place},t_{percent}"))
    assert np.abs(got - over(base, mark, left, top, percent)).max() <= 1


def test_nothing_but_the_mark_is_touched(stamp, base, pixels):
    got = pixels(stamp(base, "g_nw,x_10,y_10"))
    changed = (got != base).any(axis=-1)
    assert changed[10:19, 10:25].any()
    changed[10:19, 10:25] = False
    assert not changed.any()


@pytest.mark.parametrize("place", ["g_nw,x_0,y_0", "g_se,x_50,y_35", "g_se,x_4096,y_4096"])
def test_a_mark_over_the_border_is_cut(place, stamp, base, mark, pixels, parse, planned):
    (action,) = parse(f"watermark,{HELLO},{place}").actions
    frame = planned("png 60x40", "format,png").result
    left, top = action.corner(frame, 15, 9)
    got = pixels(stamp(base, place))
    assert np.abs(got - over(base, mark, left, top)).max() <= 1


def test_a_mark_larger_than_the_picture(stamp, base, mark, pixels):
    large = np.tile(mark, (9, 9, 1))  # 135x81
    got = pixels(stamp(base, "g_center", other=large))
    assert np.abs(got - over(base, large, -38, -21)).max() <= 1
    assert got.shape == base.shape


@pytest.mark.parametrize("percent", [100, 60])
def test_on_a_picture_with_alpha(percent, stamp, photo, mark, pixels):
    below = photo(*SIZE, 4)
    got = pixels(stamp(below, f"g_nw,t_{percent}"))
    expected = over(below, mark, 10, 10, percent)
    seen = expected[..., 3] > 8  # where there is next to nothing, colours mean nothing
    assert np.abs(got - expected)[seen].max() <= 2
    assert np.abs(got - expected)[..., 3].max() <= 1


def test_on_a_grey_picture_colours_stay_colours(run, encoded, picture, pixels):
    red = np.full((9, 15, 3), (255, 0, 0), np.uint8)
    objects = {"logo.png": encoded(red, "PNG")}
    got = pixels(run(picture("png 60x40 grey"), f"watermark,{logo()},g_nw", objects=objects))
    assert (got[12, 12] == (255, 0, 0)).all()
    assert got[0, 0].max() == got[0, 0].min()


@pytest.mark.parametrize("gap", [(0, 0), (7, 3)])
@pytest.mark.parametrize("place", ["g_nw", "g_se", "g_center"])
def test_fill(place, gap, stamp, base, mark, pixels, parse, planned):
    (action,) = parse(f"watermark,{HELLO},{place}").actions
    frame = planned("png 60x40", "format,png").result
    left, top = action.corner(frame, 15, 9)
    wide, high = 15 + gap[0], 9 + gap[1]
    field = np.zeros((*base.shape[:2], 4))
    for y in range(40):
        for x in range(60):
            at = (y - top) % high, (x - left) % wide
            if at[0] < 9 and at[1] < 15:
                field[y, x] = mark[at]
    got = pixels(stamp(base, f"{place},fill_1,padx_{gap[0]},pady_{gap[1]}"))
    assert np.abs(got - over(base, field, 0, 0)).max() <= 1


@pytest.mark.parametrize(("angle", "turns"), [(90, -1), (180, 2), (270, 1), (0, 0), (360, 0)])
def test_right_angles_are_exact(angle, turns, stamp, base, mark, pixels):
    turned = np.rot90(mark, turns)
    got = pixels(stamp(base, f"g_nw,rotate_{angle}"))
    assert np.abs(got - over(base, turned, 10, 10)).max() <= 1


def test_any_angle_turns_around_the_middle_on_a_transparent_ground(stamp, pixels):
    white = np.full((81, 81, 3), 255, np.uint8)
    bar = np.zeros((3, 41, 4), np.uint8)
    bar[..., 0], bar[..., 3] = 255, 255
    got = pixels(stamp(white, "g_center,rotate_45", other=bar))
    assert np.abs(got[40, 40] - (255, 0, 0)).max() <= 8
    assert np.abs(got[50, 50] - (255, 0, 0)).max() <= 8  # clockwise: down to the right
    assert (got[50, 30] == 255).all()
    assert (got[26, 40] == 255).all()


PORTIONS = {
    # of a 60x40 picture with a logo of 15x9 -> the size it is laid on with
    "resize,P_50": (30, 18),
    "resize,P_10": (6, 4),
    "resize,P_100": (60, 36),
    "resize,P_50/rotate,90": (18, 30),
    "resize,w_5": (5, 3),
    "crop,w_4,h_3": (4, 3),
    "crop,w_4,h_3/resize,P_25": (13, 10),
    "indexcrop,x_5,i_1": (5, 9),
}


@pytest.mark.parametrize("do", PORTIONS)
def test_what_is_done_to_the_mark_first(do, stamp, pixels):
    width, height = PORTIONS[do]
    black = np.zeros((40, 60, 3), np.uint8)
    white = np.full((9, 15, 3), 255, np.uint8)
    got = pixels(stamp(black, "g_nw,x_0,y_0", do, white))[..., 0]
    rows, columns = np.nonzero(got > 127)
    assert (columns.max() + 1, rows.max() + 1) == (width, height)
    assert got[: height - 1, : width - 1].min() == 255


def test_portion_is_of_the_picture_as_it_is_at_that_moment(run, encoded, pixels):
    objects = {"logo.png": encoded(np.full((9, 9, 3), 255, np.uint8), "PNG")}
    black = encoded(np.zeros((200, 200, 3), np.uint8), "PNG")
    text = f"resize,w_100,h_100,m_fixed/watermark,{logo('resize,P_10')},g_nw,x_0,y_0"
    got = pixels(run(black, text, objects=objects))[..., 0]
    assert (got[:10, :10] == 255).all()
    assert got.sum() == 100 * 255


def test_rounded_corners_of_a_mark_without_alpha(run, encoded, picture, pixels):
    objects = {"logo.png": encoded(np.full((20, 20, 3), 255, np.uint8), "JPEG", quality=100)}
    text = f"watermark,{logo('rounded-corners,r_10')},g_nw,x_0,y_0"
    black = encoded(np.zeros((40, 60, 3), np.uint8), "PNG")
    got = pixels(run(black, text, objects=objects))
    assert (got[0, 0] == 0).all()
    assert got[10, 10].min() > 250


def test_an_animation_as_a_mark_is_its_first_frame(run, picture, encoded, pixels):
    black = encoded(np.zeros((40, 60, 3), np.uint8), "PNG")
    for kind in ("gif 20x10x3", "webp 20x10x3"):
        objects = {"logo.png": picture(kind)}
        got = pixels(run(black, f"watermark,{logo()},g_nw,x_0,y_0", objects=objects))
        assert np.abs(got[:10, :20] - pixels(picture(kind), "RGB")).max() <= 1
        assert got[10:].max() == 0


def test_a_mark_is_turned_as_its_camera_was_held(run, picture, encoded, pixels):
    objects = {"logo.png": picture("jpg 30x20 o6")}
    black = encoded(np.zeros((40, 60, 3), np.uint8), "PNG")
    got = pixels(run(black, f"watermark,{logo()},g_nw,x_0,y_0", objects=objects)).max(axis=-1)
    assert got[29, 19] > 0
    assert got[:, 20:].max() == got[30:].max() == 0


def test_every_page_is_marked(run, encoded, picture):
    import io

    from PIL import Image, ImageSequence

    objects = {"logo.png": encoded(np.full((4, 4, 3), (255, 0, 0), np.uint8), "PNG")}
    made = run(picture("gif 20x10x3"), f"watermark,{logo()},g_nw,x_0,y_0", objects=objects)
    frames = list(ImageSequence.Iterator(Image.open(io.BytesIO(made))))
    assert len(frames) == 3
    for frame in frames:
        got = np.asarray(frame.convert("RGB")).astype(int)
        assert np.abs(got[:4, :4] - (255, 0, 0)).max() <= 40  # a GIF has 256 colours


# --- text


def ink(run, encoded, pixels, text, objects=None):
    """Rows and columns of a white picture on which something stands, first and last."""
    white = encoded(np.full((100, 300, 3), 255, np.uint8), "PNG")
    got = pixels(run(white, text, objects=objects or {}))
    rows, columns = np.nonzero((got < 200).any(axis=-1))
    return rows.min(), rows.max(), columns.min(), columns.max(), got


def test_text_stands_where_it_should(run, encoded, pixels):
    top, bottom, left, right, _ = ink(run, encoded, pixels, f"watermark,{HELLO},g_nw")
    assert abs(top - 10) <= 1
    assert abs(left - 10) <= 1
    again = ink(run, encoded, pixels, f"watermark,{HELLO},g_se")
    assert abs(again[1] - 89) <= 1
    assert abs(again[3] - 289) <= 1
    assert (again[1] - again[0], again[3] - again[2]) == (bottom - top, right - left)


def test_size_is_in_pixels(run, encoded, pixels):
    for size in (20, 40, 80):
        top, bottom, *_ = ink(run, encoded, pixels, f"watermark,text_{b64('H')},size_{size}")
        assert 0.65 * size <= bottom - top + 1 <= 0.8 * size  # a capital letter's height


def test_colour_and_opacity_of_text(run, encoded, pixels):
    block = "text_" + b64("█")
    *_, got = ink(run, encoded, pixels, f"watermark,{block},size_60,color_FF0080,g_center")
    assert (got[50, 150] == (255, 0, 128)).all()
    *_, got = ink(run, encoded, pixels, f"watermark,{block},size_60,color_000000,t_60,g_center")
    assert np.abs(got[50, 150] - 255 * 0.4).max() <= 1


def test_shadow_lies_below_to_the_right(run, encoded, pixels):
    text = f"watermark,text_{b64('I')},size_60,color_00FF00,g_center"
    plain = ink(run, encoded, pixels, text)[4]
    shaded = ink(run, encoded, pixels, text + ",shadow_80")[4]
    green = (shaded - (0, 255, 0)).any(axis=-1) == 0
    dark = shaded.max(axis=-1) < 128
    assert not (plain.max(axis=-1) < 128).any()
    assert dark.any()
    assert np.nonzero(dark)[1].mean() > np.nonzero(green)[1].mean()
    assert np.nonzero(dark)[0].mean() > np.nonzero(green)[0].mean()


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("align", [0, 1, 2])
def test_picture_and_text_side_by_side(order, align, run, encoded, pixels):
    red = np.full((60, 30, 3), (255, 0, 0), np.uint8)
    text = f"watermark,{logo()},text_{b64('█')},size_20,color_0000FF,g_nw,x_0,y_0,"
    text += f"order_{order},align_{align},interval_7"
    got = ink(run, encoded, pixels, text, {"logo.png": encoded(red, "PNG")})[4]
    reds = np.nonzero((got == (255, 0, 0)).all(axis=-1))
    blues = np.nonzero((got == (0, 0, 255)).all(axis=-1))
    first, second = (reds, blues) if order == 0 else (blues, reds)
    assert first[1].min() == 0
    assert abs(second[1].min() - first[1].max() - 8) <= 1
    assert (reds[0].min(), reds[0].max()) == (0, 59)
    edges = (blues[0].min(), 59 - blues[0].max())
    assert abs((edges[0], edges[0] - edges[1], edges[1])[align]) <= 1


def test_markup_is_only_text(run, encoded, pixels):
    wide = ink(run, encoded, pixels, f"watermark,text_{b64('<b>a</b>')},size_20")
    bare = ink(run, encoded, pixels, f"watermark,text_{b64('a')},size_20")
    assert wide[3] - wide[2] > 4 * (bare[3] - bare[2])
    for text in ("&", "<", "&amp;", '<span size="99999">x', "a\nb\tc\0d\x01", "\u2028\ufffe"):
        run(encoded(np.zeros((40, 60, 3), np.uint8), "PNG"), f"watermark,text_{b64(text)}")


@pytest.mark.parametrize("text", [" ", "\u3000 \n", "\u200b"])
def test_text_without_ink_changes_nothing(text, run, encoded, base, pixels):
    got = pixels(run(encoded(base, "PNG"), f"watermark,text_{b64(text)}"))
    assert (got == base).all()


def test_a_block_that_is_too_large(run, encoded):
    objects = {"logo.png": encoded(np.zeros((16000, 20, 3), np.uint8), "PNG")}
    white = encoded(np.full((10, 10, 3), 255, np.uint8), "PNG")
    with pytest.raises(ImageTooLarge, match="watermark makes a picture of"):
        run(white, f"watermark,{logo()},text_{b64('M' * 64)},size_100", objects=objects)


def test_colours_are_right_on_wide_ones(run, encoded):
    """A mark's sRGB is told in Display P3 when the picture's numbers mean that."""
    import io

    import pyvips
    from PIL import Image, ImageCms

    grey = pyvips.Image.black(60, 40, bands=3).linear(1, 128, uchar=True)
    grey = grey.copy(interpretation="srgb")
    grey.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    red = encoded(np.full((20, 30, 3), (255, 0, 0), np.uint8), "PNG")
    text = f"watermark,{logo()},g_nw,x_0,y_0/watermark,text_{b64('█')},color_00FF00,g_se"
    made = Image.open(io.BytesIO(run(grey.pngsave_buffer(), text, objects={"logo.png": red})))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(made.info["icc_profile"]))
    shown = ImageCms.profileToProfile(made, profile, ImageCms.createProfile("sRGB"))
    assert made.getpixel((5, 5)) != (255, 0, 0)
    assert np.abs(np.subtract(shown.getpixel((5, 5)), (255, 0, 0))).max() <= 3
    assert np.abs(np.subtract(shown.getpixel((40, 25)), (0, 255, 0))).max() <= 3


def test_memory_for_marks_is_foreseen(planned):
    plain = planned("jpg 4000x3000", "format,jpg").memory
    assert planned("jpg 4000x3000", f"watermark,{logo()}").memory >= plain + 4 * 12_000_000
    assert planned("jpg 400x300", f"watermark,{HELLO},size_1000").memory > plain + 50_000_000


def test_a_mark_is_prepared_once(make_context, planned, encoded, parse):
    """It stays in the cache for later jobs, by what its object holds and what is done to it."""
    reads = []
    (action,) = parse(f"watermark,{logo('resize,P_50')}").actions
    frame = planned("jpg 40x30", "format,png").result
    empty = make_context()

    def picture(etag, frame):
        def read():
            reads.append(etag)
            return encoded(np.zeros((9, 9, 3), np.uint8), "PNG")

        job = replace(empty, objects={"logo.png": Overlay(etag, read)})
        return job.picture(action.image.key, action.image.actions_on(frame))

    one = picture("a", frame)
    assert picture("a", frame) is one
    assert reads == ["a"]
    assert (one.width, one.height, one.bands) == (15, 15, 4)
    assert picture("b", frame) is not one
    assert picture("a", frame.resized(80, 60)).width == 30
    assert picture("a", frame.resized(80, 60)).width == 30
    assert reads == ["a", "b", "a"]


def test_the_cache_keeps_what_was_used_last():
    import pyvips

    cache, picture = PreparedCache(most=1000), pyvips.Image.black(10, 10, bands=4)
    for name in "ab":
        cache.keep((name, ""), picture)
    assert cache.get(("a", "")) is picture
    cache.keep(("c", ""), picture)
    assert cache.get(("b", "")) is None
    assert cache.get(("a", "")) is cache.get(("c", "")) is picture
    cache.keep(("d", ""), pyvips.Image.black(100, 100, bands=4))
    assert cache.get(("d", "")) is None
    assert cache.get(("a", "")) is picture


# --- objects of which no mark can be made


@pytest.mark.parametrize(
    ("data", "ec"),
    [
        (b"", "0040-00000027"),
        (b"no picture at all", "0040-00000027"),
        (b"\xff\xd8\xff\xe0 cut", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "0040-00000027"),
    ],
)
def test_not_a_picture(data, ec, run, picture):
    with pytest.raises(WatermarkError, match=r"^The watermark object 'logo.png': ") as caught:
        run(picture("jpg 40x30"), f"watermark,{logo()}", objects={"logo.png": data})
    assert caught.value.ec == ec


def test_a_mark_that_does_not_fit_what_is_done_to_it(run, picture):
    objects = {"logo.png": picture("png 20x10")}
    with pytest.raises(WatermarkError, match="position is out of image"):
        run(picture("jpg 40x30"), f"watermark,{logo('crop,x_99')}", objects=objects)


def test_the_marks_own_size_is_limited(run, picture, encoded):
    objects = {"logo.png": picture("png 200x100")}
    limits = config.Limits(source_pixels=10_000)
    with pytest.raises(WatermarkError, match="10000 pixels"):
        run(picture("jpg 40x30"), f"watermark,{logo()}", limits=limits, objects=objects)
