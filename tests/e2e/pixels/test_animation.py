"""Animations: frames, delays and loop count through any chain; each frame as it would be alone.

Also the traps of libvips that a pipeline over stacked frames falls into, each shown on plain pyvips
beside what comes out here.
"""

import io
import re
import struct
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image, ImageSequence

from vipsgate.errors import BadRequest, ImageTooLarge
from vipsgate.image.actions import ACTIONS
from vipsgate.image.config import Limits
from vipsgate.image.formats import probe
from vipsgate.image.formats.codecs import CODECS

DELAYS = [40, 80, 120, 1230]  # milliseconds
LOSSLESS = "/format,webp/quality,lossless"


def saved(kind, stills, delays, loop=0, **options):
    """An animation; ``loop`` as the format counts, ``None`` for nothing said."""
    options |= {"duration": delays} | ({} if loop is None else {"loop": loop})
    if kind == "webp":
        options |= {"lossless": True, "exact": True}
    first, *others = (Image.fromarray(np.asarray(still, np.uint8)) for still in stills)
    file = io.BytesIO()
    first.save(file, kind.upper(), save_all=True, append_images=others, **options)
    return file.getvalue()


def pages(data):
    return ImageSequence.Iterator(Image.open(io.BytesIO(data)))


def frames(data):
    """Each as it is shown, height by width by RGBA."""
    return [np.asarray(page.convert("RGBA")).astype(int) for page in pages(data)]


def delays(data):
    """Milliseconds of each frame."""
    found = []
    for page in pages(data):
        page.load()  # only then Pillow knows that of a WebP
        found.append(page.info.get("duration", 0))
    return found


def plays(data):
    """How often it is played, 0 for ever: a GIF says how often again, or nothing for once."""
    image = Image.open(io.BytesIO(data))
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else loop and loop + 1
    return loop


def same(got, want, off=0):
    """Equal, but for colours that nobody sees."""
    assert got.shape == want.shape
    assert np.array_equal(got[..., 3], want[..., 3])
    assert np.abs(got - want)[want[..., 3] > 0].max(initial=0) <= off


@pytest.fixture(scope="session")
def moving(photo):
    """``moving("webp alpha")``: four frames of 40x30 with :data:`DELAYS`, played three times."""

    def make(words, width=40, height=30, count=4):
        kind, *alpha = words.split()
        stills = [photo(width, height, 4 if alpha else 3, 7 * seed).copy() for seed in range(count)]
        if alpha and kind == "gif":
            for still in stills:
                still[..., 3] = np.where(still[..., 3] < 128, 0, 255)
        given = (DELAYS * count)[:count]
        return saved(kind, stills, given, 3 if kind == "webp" else 2)

    return make


@pytest.fixture(scope="session")
def logo(photo, encoded):
    return {"logo": encoded(photo(9, 7, 4), "PNG")}


@pytest.fixture(scope="session")
def bytes_of(transformed):
    """A picture through a process; frames that have become equal may be joined."""
    return lambda data, text, objects=None: transformed(data, text, objects=objects).data


@pytest.fixture(scope="session")
def as_alone(bytes_of, encoded, logo):
    """At any time that is seen, to the bit, what the same chain makes of the still picture."""

    def check(data, text):
        bands = 4 if probe.probe(data).header.alpha else 3
        made = bytes_of(data, text + LOSSLESS, logo)
        ends = list(accumulate(delays(made)))
        got, begin = frames(made), 0
        for still, delay in zip(frames(data), delays(data), strict=True):
            file = encoded(still[..., :bands], "PNG")
            (want,) = frames(bytes_of(file, text + LOSSLESS, logo))
            at = bisect_right(ends, begin) if len(got) > 1 else 0
            same(got[at], want)
            begin += delay
        assert len(got) == 1 or ends[-1] == begin

    return check


# --- through every action

ALONE = {
    "resize": ("w_20", "m_pad,w_30,h_30,color_336699", "m_fill,w_15,h_20", "p_150"),
    "crop": ("x_3,y_4,w_30,h_20", "w_33,h_21,g_se"),
    "circle": ("r_9",),
    "indexcrop": ("x_15,i_2", "y_14,i_1"),
    "rounded-corners": ("r_7",),
    "rotate": ("90", "180", "37"),
    "auto-orient": ("1",),
    "blur": ("r_5,s_3",),
    "bright": ("30",),
    "contrast": ("-30",),
    "sharpen": ("120",),
    "watermark": ("text_SGVsbG8,size_12,x_1", "text_SGk,size_9,fill_1,t_50", "image_bG9nbw,t_60"),
    "format": ("gif", "webp", "src,1an"),
    "interlace": ("1",),
    "quality": ("Q_90",),
    "strip": ("keep_copyright", "keep_icc"),
}
TEXTS = [f"{name},{values}" for name, some in ALONE.items() for values in some]
SOURCES = ("gif", "gif alpha", "webp", "webp alpha")


def test_every_action_is_here():
    assert set(ALONE) == set(ACTIONS)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("source", ["gif", "webp alpha"])
def test_frames_delays_and_loop_are_kept(source, text, moving, run, logo):
    data = moving(source)
    assert (delays(data), plays(data)) == (DELAYS, 3)
    made = run(data, text, objects=logo)
    assert (delays(made), plays(made)) == (DELAYS, 3)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("source", ["gif alpha", "webp"])
def test_each_frame_is_as_it_would_be_alone(source, text, moving, as_alone):
    as_alone(moving(source), text)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(SOURCES),
    st.lists(st.sampled_from(TEXTS), min_size=5, max_size=5).map("/".join),
)
def test_chains_of_five(moving, bytes_of, as_alone, logo, source, text):
    data = moving(source)
    try:
        made = bytes_of(data, text, logo)
    except BadRequest:
        reject()  # a cut that begins outside of what is left by then
    # a small part of all frames may be the same
    assert len(frames(made)) == 1 or (sum(delays(made)), plays(made)) == (sum(DELAYS), 3)
    as_alone(data, text)


# libvips lets go of what lies 1,024 rows above, which frames that share a source might still need
@pytest.mark.parametrize("text", ["bright,30", "watermark,image_bG9nbw,g_nw"])
@pytest.mark.parametrize("source", ["gif", "webp alpha"])
def test_many_rows(source, text, moving, as_alone):
    as_alone(moving(source, 140, 60, 20), text)


# --- from one format to the other, and to a still picture


@pytest.mark.parametrize("loop", [None, 0, 1, 2, 3, 65535])
@pytest.mark.parametrize("text", ["crop,w_9", "format,webp", "format,gif"])
@pytest.mark.parametrize("source", ["gif", "webp"])
def test_it_is_played_as_often_as_before(source, text, loop, photo, run):
    stills = [photo(12, 9, 3, seed) for seed in range(2)]
    data = saved(source, stills, [50, 70], loop)
    want = plays(data)
    made = run(data, text)
    # 65,536 times is one more than a WebP can count, and is for ever there
    assert plays(made) == (0 if want == 65536 and text == "format,webp" else want)
    assert delays(made) == [50, 70]


TIMES = {
    # (source, text) -> delays as they were, as they are then
    ("gif", "crop"): ([20, 0, 10, 1230], [20, 0, 10, 1230]),
    ("webp", "crop"): ([11, 33, 999, 60_000], [11, 33, 999, 60_000]),
    # a GIF counts in hundredths of a second
    ("webp", "format,gif"): ([11, 36, 994, 60_000], [10, 40, 990, 60_000]),
    ("gif", "format,webp"): ([20, 50, 1230, 60_000], [20, 50, 1230, 60_000]),
    # libvips writes what browsers make of 10 milliseconds and less
    ("webp", "quality,Q_50"): ([0, 1, 10, 50], [100, 100, 100, 50]),
    ("gif", "format,webp/crop"): ([20, 0, 10, 50], [20, 100, 100, 50]),
}


@pytest.mark.parametrize(("source", "text"), TIMES)
def test_delays(source, text, photo, run):
    before, after = TIMES[source, text]
    data = saved(source, [photo(12, 9, 3, seed) for seed in range(4)], before)
    assert delays(data) == before
    assert delays(run(data, text)) == after


@pytest.mark.parametrize("to", [name for name, codec in CODECS.items() if not codec.animated])
@pytest.mark.parametrize("source", ["gif", "webp"])
def test_a_still_format_takes_the_first_frame(source, to, moving, run, psnr):
    data = moving(source)
    (got,) = frames(run(data, f"resize,p_100/quality,Q_95/format,{to}"))
    first, *others = [psnr(got, want) for want in frames(data)]
    assert first > (30 if to in ("jpg", "avif", "heic") else 90)
    assert max(others) < 25


FIRST = {
    # (source, text) -> the format that comes out
    ("gif", "format,src"): "jpg",
    ("gif", "rotate,90/format,src/rotate,270"): "jpg",
    ("gif", "format,jpg/format,gif"): "gif",
    ("gif", "format,png/format,webp"): "webp",
    ("webp", "format,jpg/format,src"): "webp",
    ("webp", "format,tiff/format,gif"): "webp",
}


@pytest.mark.parametrize(("source", "text"), FIRST)
def test_once_still_it_stays_still(source, text, moving, run, psnr):
    data = moving(source)
    made = run(data, text)
    (got,) = frames(made)
    assert probe.probe(made).header.format == FIRST[source, text]
    first, *others = [psnr(got, want) for want in frames(data)]
    assert first > 25 > max(others)


# --- animations that are none, or less than they seem


def test_equal_frames_are_joined_with_the_time_of_both(bytes_of):
    """The encoders do it; what is seen at any time is the same."""
    for source in ("gif", "webp"):
        # the encoder of the source joins them too, so they only become equal on the way
        stills = np.zeros((6, 12, 24, 3))
        stills[2:5, 3:9, 4:16] = 255
        stills[:, :, 22] = np.arange(6)[:, None, None] * 40
        data = saved(source, stills, [40, 50, 60, 70, 80, 90], 5)
        assert delays(data) == [40, 50, 60, 70, 80, 90]
        made = bytes_of(data, "crop,w_20")
        assert delays(made) == [90, 210, 90]
        assert plays(made) == plays(data)


def test_all_frames_equal(photo, bytes_of):
    stills = [photo(20, 12, 3, seed) for seed in range(3)]
    made = bytes_of(saved("gif", stills, [40, 50, 60]), "contrast,-100")
    assert (len(frames(made)), delays(made)) == (1, [150])
    made = bytes_of(saved("webp", stills, [40, 50, 60]), "contrast,-100")
    assert len(frames(made)) == 1


@pytest.mark.parametrize(
    "text", ["resize,w_10", "rotate,90", "format,webp", "format,gif", "circle,r_4"]
)
@pytest.mark.parametrize("source", ["gif", "webp"])
def test_an_animation_of_one_frame(source, text, photo, run):
    data = saved(source, [photo(20, 12)], [500], 3)
    if source == "webp":
        data = wrapped(data, 500, 3)
    assert probe.probe(data).header.pages == 1
    made = run(data, text)
    assert len(frames(made)) == 1


def wrapped(still, delay, loop):
    """A still WebP as the only frame of an animation (WebP container, Animation)."""
    width, height = Image.open(io.BytesIO(still)).size
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = bytes(6) + size + delay.to_bytes(3, "little") + b"\0" + still[12:]
    body = b"WEBP" + chunk(b"VP8X", b"\x02\0\0\0" + size)
    body += chunk(b"ANIM", bytes(4) + struct.pack("<H", loop)) + chunk(b"ANMF", frame)
    return chunk(b"RIFF", body)


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


# --- frames that are only a part, and what becomes of them when the next one comes

INKS = [(0, 0, 0), (250, 20, 20), (20, 200, 30), (30, 40, 220)]  # the first is no ink at all
CANVAS = 24, 16  # width, height
SHAPES = {
    # name -> width, height, colour; a hole is left in each
    "all": (24, 16, 1),
    "box": (8, 6, 2),
    "bar": (14, 4, 3),
}
KEEP, CLEAR, BACK = 1, 2, 3  # GIF89a, 23: Disposal Method
DISPOSALS = {
    # what is drawn: shape, left, top, what is done to it before the next one
    "keep": [("all", 0, 0, KEEP), ("box", 3, 4, KEEP), ("bar", 6, 9, KEEP)],
    "unsaid": [("all", 0, 0, 0), ("box", 3, 4, 0), ("bar", 6, 9, 0)],
    "clear": [
        ("all", 0, 0, KEEP),
        ("box", 3, 4, CLEAR),
        ("bar", 6, 9, CLEAR),
        ("box", 15, 1, KEEP),
    ],
    "clear all": [("all", 0, 0, CLEAR), ("box", 3, 4, CLEAR), ("bar", 6, 9, KEEP)],
    "back": [("all", 0, 0, KEEP), ("box", 3, 4, BACK), ("bar", 6, 9, BACK), ("box", 15, 1, KEEP)],
    "mixed": [
        *(("all", 0, 0, KEEP), ("box", 3, 4, BACK), ("bar", 6, 9, CLEAR), ("box", 8, 8, KEEP)),
        *(("bar", 2, 1, BACK), ("box", 16, 10, KEEP)),
    ],
    "a part first": [("box", 3, 4, KEEP), ("bar", 6, 9, CLEAR), ("box", 15, 1, KEEP)],
    "at the border": [("all", 0, 0, KEEP), ("box", 16, 10, CLEAR), ("bar", 0, 0, BACK)],
}


def inked(shape):
    width, height, ink = SHAPES[shape]
    pixels = np.full((height, width), ink, np.uint8)
    pixels[1:3, 2:5] = 0
    return pixels


def as_gif(drawn):
    """A file of exactly these parts."""
    file = b"GIF89a" + struct.pack("<HHBBB", *CANVAS, 0x80, 0, 0) + bytes(6)
    for number, (shape, left, top, disposal) in enumerate(drawn):
        part = Image.fromarray(inked(shape))
        part.putpalette(np.ravel(INKS).tolist())
        file += b"".join(
            GifImagePlugin.getdata(
                part,
                (left, top),
                transparency=0,
                disposal=disposal,
                duration=100 + 10 * number,
                include_color_table=True,
            )
        )
    return file + b";"


def as_shown(drawn):
    """The same, drawn by the book."""
    canvas = np.zeros((CANVAS[1], CANVAS[0], 4), int)
    shown = []
    for shape, left, top, disposal in drawn:
        before, pixels = canvas.copy(), inked(shape)
        height, width = pixels.shape
        place = canvas[top : top + height, left : left + width]
        place[pixels > 0] = [(*INKS[ink], 255) for ink in pixels[pixels > 0]]
        shown.append(canvas.copy())
        if disposal == CLEAR:
            place[:] = 0
        elif disposal == BACK:
            canvas = before
    return shown


@pytest.mark.parametrize("text", ["format,webp/quality,lossless", "crop", "format,src,1an"])
@pytest.mark.parametrize("name", DISPOSALS)
def test_parts_and_disposal(name, text, run):
    drawn = DISPOSALS[name]
    made = run(as_gif(drawn), text)
    off = 0 if "webp" in text else 2  # its palette is made anew
    for got, want in zip(frames(made), as_shown(drawn), strict=True):
        same(got, want, off)
    assert delays(made) == [100 + 10 * number for number in range(len(drawn))]


@pytest.mark.parametrize("name", DISPOSALS)
def test_a_part_is_turned_with_its_canvas(name, run):
    drawn = DISPOSALS[name]
    for got, want in zip(frames(run(as_gif(drawn), "rotate,90")), as_shown(drawn), strict=True):
        same(got, np.rot90(want, -1), 2)


# --- the budget

TOO_MUCH = {
    # (text, limits) for four frames of 40x30 -> EC, a part of the message
    ("crop", (("frames", 3),)): ("", "has 4 frames; it may have 3"),
    ("crop", (("source_pixels", 4799),)): ("0040-00000012", "40x30 pixels in 4 frames"),
    ("resize,w_80,limit_0", (("source_pixels", 19_199),)): ("", "resize makes 4 frames of 80x60"),
    ("resize,w_80,limit_0/resize,w_9", (("source_pixels", 19_199),)): ("", "4 frames of 80x60"),
    ("rotate,45", (("source_pixels", 9_999),)): ("", "rotate makes 4 frames of 50x50"),
    ("resize,w_80,limit_0", (("output_pixels", 4_799),)): ("0040-00000007", "80x60 pixels"),
    ("rotate,90", (("render_bytes", 20_000_000),)): ("", "bytes of memory"),
}
ENOUGH = {
    ("crop", (("frames", 4), ("source_pixels", 4800))): 4,
    ("resize,w_80,limit_0", (("source_pixels", 19_200), ("output_pixels", 4_800))): 4,
    ("rotate,45", (("source_pixels", 10_000),)): 4,
    ("format,jpg", (("frames", 1), ("source_pixels", 1200))): 1,
}


@pytest.mark.parametrize(("text", "limits"), TOO_MUCH)
def test_beyond_the_budget(text, limits, planned):
    ec, part = TOO_MUCH[text, limits]
    for source in ("gif 40x30x4", "webp 40x30x4"):
        with pytest.raises(ImageTooLarge) as caught:
            planned(source, text, Limits(**dict(limits)))
        assert (caught.value.status, caught.value.ec) == (400, ec)
        assert part in caught.value.message


@pytest.mark.parametrize(("text", "limits"), ENOUGH)
def test_within_the_budget(text, limits, moving, run):
    for source in ("gif", "webp"):
        made = run(moving(source), text, Limits(**dict(limits)))
        assert len(frames(made)) == ENOUGH[text, limits]


def test_memory_is_that_of_all_frames(planned):
    """Held whole and written, each frame takes as much as the one before."""
    taken = [planned(f"gif 400x300x{count}", "rotate,90").memory for count in (2, 3, 4)]
    assert taken[1] - taken[0] == taken[2] - taken[1] >= 400 * 300 * 3
    least = Limits(render_bytes=taken[2])
    assert planned("gif 400x300x4", "rotate,90", least).memory == taken[2]
    with pytest.raises(ImageTooLarge, match="of memory"):
        planned("gif 400x300x5", "rotate,90", least)


def resident(what):
    """Bytes of this process' memory, ``VmRSS`` now or ``VmHWM`` at most since it was reset."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) << 10


@pytest.fixture(scope="module")
def long_film():
    """A GIF of 200 frames that all differ, which takes longer to write than to process."""
    stills = np.zeros((200, 80, 100, 3))
    stills[:, 20:60] = (np.arange(200)[:, None, None] + np.arange(100) * 2)[..., None] % 256
    return saved("gif", stills, 20)


@pytest.mark.parametrize("text", ["sharpen,100", "blur,r_9,s_3", "resize,w_90", "rotate,30"])
def test_memory_stays_within_the_plan(text, planned, rendered, long_film):
    """A frame's pipeline must not outlive it: 400 frames of 300x200 took 2.4 GB."""
    source = probe.probe(long_film)
    made = planned(source.header, text)
    Path("/proc/self/clear_refs").write_text("5")  # resets the highest
    before = resident("VmRSS")
    rendered(source, made)
    assert resident("VmHWM") - before <= made.memory


# --- traps of libvips, each on plain pyvips first


def stacked(data):
    return pyvips.Image.new_from_buffer(data, "", n=-1)


def test_trap_a_width_alone_fits_a_square(run, picture):
    tall = picture("png 40x160")
    plain = pyvips.Image.thumbnail_buffer(tall, 20)
    assert (plain.width, plain.height) == (5, 20)
    assert Image.open(io.BytesIO(run(tall, "resize,w_20"))).size == (20, 80)
    data = saved("gif", [np.full((160, 40, 3), level) for level in (0, 90, 200)], 50)
    assert Image.open(io.BytesIO(run(data, "resize,w_20"))).size == (20, 80)


def test_trap_a_crop_shears_stacked_frames(moving, run):
    data = moving("webp")
    plain = stacked(data).crop(3, 4, 30, 20 * 4)  # what "20 rows of each" would naively be
    plain = plain.copy()
    plain.set_type(pyvips.GValue.gint_type, "page-height", 20)
    sheared = frames(plain.webpsave_buffer(lossless=True))
    whole = [frame[4:24, 3:33] for frame in frames(data)]
    made = frames(run(data, "crop,x_3,y_4,w_30,h_20" + LOSSLESS))
    assert len(sheared) == len(made) == 4
    same(sheared[0], whole[0])
    for plain, got, want in list(zip(sheared, made, whole, strict=True))[1:]:
        assert np.abs(plain - want)[..., :3].max() > 50
        same(got, want)


def test_trap_page_height_must_divide(moving, run):
    data = moving("gif")
    plain = stacked(data).crop(0, 0, 40, 4 * 30 - 10)  # still says that a page has 30 rows
    assert plain.get("page-height") == 30
    assert len(frames(plain.gifsave_buffer())) == 1  # 40x110
    plain = stacked(data).resize(0.3)  # 36 rows, and still says 30
    assert len(frames(plain.gifsave_buffer())) == 1
    for text, size in {
        "resize,w_10": (10, 8),
        "crop,h_29": (40, 29),
        "rotate,37": (50, 49),
    }.items():
        made = run(data, text)
        image = Image.open(io.BytesIO(made))
        assert (image.size, image.n_frames) == (size, 4)
        assert stacked(made).height % size[1] == 0


# --- real animations

DATA = Path(__file__).parents[3].parent / "shared" / "data"
REAL = ("example.gif", "rotating-squares.gif", "rotating-squares.webp")


@pytest.mark.skipif(not DATA.is_dir(), reason="the pictures are not beside the project")
@pytest.mark.parametrize("text", ["resize,w_60", "rotate,90/resize,m_fill,w_50,h_50"])
@pytest.mark.parametrize("name", REAL)
def test_real_animations(name, text, bytes_of, as_alone):
    data = (DATA / name).read_bytes()
    made = bytes_of(data, text)
    assert (sum(delays(made)), plays(made)) == (sum(delays(data)), plays(data))
    as_alone(data, text)
