"""What is looked at for a window: what the text says of it, what it costs, and the point found."""

import io

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import BadRequest, ImageTooLarge, InvalidArgument
from vipsgate.image import attention, faces, look, plan, process
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats.probe import probe

LIMITS = Limits()
LOOKS = {
    # text -> what is looked at
    "crop,w_9,h_9": None,
    "crop,w_9,h_9,g_fp,fx_1": None,
    "resize,w_9,g_auto": None,  # nothing is cut
    "resize,m_fill,p_9,g_auto": None,
    "resize,m_fill,w_9,g_north": None,
    "crop,w_9,h_9,g_auto": "auto",
    "resize,m_fill,w_9,g_auto": "auto",
    "resize,m_fill,w_99,h_3,g_auto/rotate,90": "auto",
    # what moves nothing is left out, and what only scales, just before
    "resize,w_100/crop,w_9,g_auto": "auto",
    "resize,m_fixed,w_100,h_9/resize,p_50/crop,w_9,g_auto": "auto",
    "blur,r_3,s_2/watermark,text_SGk/quality,Q_1/format,png/crop,w_9,g_auto": "auto",
    "crop,w_99/resize,w_50/bright,9/sharpen,50/crop,w_9,g_auto": "auto/crop,w_99",
    "resize,w_50/crop,w_99/contrast,3/crop,w_9,g_auto": "auto/resize,w_50/crop,w_99",
    "resize,m_fill,w_9,h_9/crop,w_9,g_auto": "auto/resize,m_fill,w_9,h_9",
    "rotate,90/indexcrop,x_9/crop,w_9,g_auto": "auto/rotate,90/indexcrop,x_9",
    "crop,w_9,h_9,g_auto/crop,w_3,g_fp": "auto",
    "crop,w_99,g_fp/crop,w_3,g_auto": "auto/crop,w_99,g_fp",
    # which runs first wherever it stands
    "crop,w_9,g_auto/auto-orient,0": "auto/auto-orient,0",
    "auto-orient,0/crop,w_9,g_auto": "auto/auto-orient,0",
}


@pytest.mark.parametrize("text", LOOKS)
def test_what_is_looked_at(text, parse):
    found = parse(text).look
    assert (found and found.text) == LOOKS[text]


def test_the_text_stays_when_the_place_is_known(parse):
    asked = parse("resize,w_50/crop,w_9,h_9,g_auto")
    aimed = asked.aimed(((0, 0, 0, 0),))
    assert aimed.text == asked.text
    assert aimed != asked  # so plans that are remembered are told apart


def scene(size, spot, *, ground=70, colour=(255, 40, 0)):
    """Grey with a little grain, and one bright disc at ``spot``, in parts of the sides."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    grain = np.random.default_rng(3).normal(ground, 1, (height, width, 1))
    values = np.repeat(grain, 3, 2)
    radius = max(2, min(size) // 12)
    near = (x - spot[0] * width) ** 2 + (y - spot[1] * height) ** 2 <= radius**2
    values[near] = colour
    return Image.fromarray(values.clip(0, 255).astype("uint8"))


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


SPOTS = ((0.2, 0.25), (0.8, 0.3), (0.3, 0.8), (0.75, 0.75))
WINDOWS = ("crop,w_120,h_120", "crop,w_300,h_90", "crop,w_90,h_200", "resize,m_fill,w_80,h_30")
WINDOWS += ("resize,m_fill,w_30,h_80", "resize,m_fill,w_64,h_64", "resize,m_fill,w_400,h_90")


def seen(result):
    """Is the disc in the picture: its colour, somewhere?"""
    values = np.asarray(Image.open(io.BytesIO(result)).convert("RGB")).astype(int)
    return bool(((values[..., 0] > 190) & (values[..., 2] < 90)).any())


@pytest.mark.parametrize("spot", SPOTS)
def test_the_disc_is_in_every_window(spot, run):
    data = saved(scene((480, 320), spot))
    for window in WINDOWS:
        assert seen(run(data, f"{window},g_auto/format,png")), window


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_disc_is_in_the_window_as_the_camera_was_held(orientation, run):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(scene((480, 320), (0.2, 0.25)), "JPEG", quality=95, exif=exif)
    for text in ("crop,w_120,h_120,g_auto", "resize,m_fill,w_30,h_80,g_auto"):
        for first in ("", "auto-orient,0/"):
            assert seen(run(data, f"{first}{text}/format,png")), first + text


BEFORE = ("rotate,90", "rotate,180", "rotate,30", "crop,w_460,h_300,g_se", "resize,w_200")
BEFORE += ("indexcrop,x_240,i_1", "resize,m_pad,w_600,h_600", "blur,r_3,s_2", "circle,r_200")


@pytest.mark.parametrize("before", BEFORE)
def test_the_disc_is_in_the_window_after_what_came_before(before, run):
    data = saved(scene((480, 320), (0.7, 0.4)))
    assert seen(run(data, f"{before}/resize,m_fill,w_100,h_40,g_auto/format,png"))


def test_a_mark_is_not_looked_at(run):
    """The window is where it is without one."""
    data = saved(scene((480, 320), (0.2, 0.25)))
    mark = "watermark,text_SGVsbG8,color_FF0000,size_60,g_se"
    plain = run(data, "crop,w_100,h_100,g_auto/format,png")
    assert run(data, f"{mark}/crop,w_100,h_100,g_auto/format,png") == plain


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_modes(mode, run):
    """Grey, transparency, palettes: what stands out is in the window."""
    image = scene((480, 320), (0.2, 0.25), ground=40, colour=(255, 255, 255))
    if mode == "RGBA":  # a disc that nothing but its opacity tells
        image = Image.new("RGBA", (480, 320), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (60, 40, 130, 110))
    data = saved(image.convert(mode))
    result = run(data, "crop,w_160,h_160,g_auto/format,png")
    values = np.asarray(Image.open(io.BytesIO(result)).convert("RGBA")).astype(int)
    plain = values[..., 3] > 128 if mode == "RGBA" else values[..., 0] > 200
    assert plain.sum() > 300


def test_the_first_frame_decides_for_all(run):
    frames = [scene((240, 160), spot) for spot in ((0.2, 0.5), (0.8, 0.3), (0.8, 0.7))]
    for number, frame in enumerate(frames):  # equal frames would be joined by the encoder
        frame.paste((0, 0, 80 * number), (30, 60, 36, 66))
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=99)
    result = Image.open(io.BytesIO(run(data, "crop,w_80,h_80,g_auto")))
    assert result.n_frames == 3
    shown = []
    for frame in range(3):
        result.seek(frame)
        shown.append(seen(saved(result.convert("RGB"))))
    assert shown == [True, False, False]


SIZES = ((1, 1), (1, 2), (2, 1), (3, 3), (1, 500), (500, 1), (3000, 2), (17, 900), (31, 33))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_tiny_and_thin_pictures(size, run):
    data = saved(Image.new("RGB", size, (9, 99, 200)))
    for text in ("crop,w_1,h_1,g_auto", "resize,m_fill,w_7,h_5,limit_0,g_auto"):
        run(data, f"{text}/format,png")


def test_one_shrink_does_for_every_configuration(parse, header):
    """What is kept is the same whatever ``image.shrink`` says."""
    asked = parse("crop,w_9,h_9,g_auto").look
    planned = asked.planned(header("jpg 1600x1200"), LIMITS)
    assert planned.shrink == 4  # to 400, of which 320 are made


def test_what_it_costs_is_known_before(parse, picture):
    source = probe(picture("jpg 400x267"))
    plain, face = (
        look.Look(kind, ()).cost(parse("crop,g_auto").look.planned(source.header, LIMITS))
        for kind in ("auto", "face")
    )
    assert face.seconds - plain.seconds == pytest.approx(faces.SECONDS)
    assert face.memory - plain.memory == faces.BYTES
    lean = Limits(render_bytes=plain.memory - 1)
    with pytest.raises(ImageTooLarge, match="of memory"):
        attention.find(source, look.Look("auto", ()), lean, lambda image: None)


def test_nothing_is_decoded_of_what_is_too_large(parse, header):
    with pytest.raises(ImageTooLarge):
        parse("crop,w_9,h_9,g_auto").look.planned(header("jpg 20000x20000"), LIMITS)


def test_the_window_is_explained(parse, header):
    aimed = parse("resize,m_fill,w_100,h_100,g_auto").aimed(((0, 0, 0, 0),))
    rows = plan.make(header("jpg 400x200"), aimed.actions, LIMITS, Rendering()).explain()["stages"]
    assert rows[-1]["window"] == "100x100+0+0"
    assert "window" not in rows[0]


LACKING = {  # where the library is, CPUs -> what is missing
    "no wheel": (None, "flags : avx2\n", r"pip install 'vipsgate\[faces\]'"),
    "old": ("/lib.so", "flags : sse4_2 avx\n", "a CPU with AVX2"),
    "one of two": ("/lib.so", "flags : avx2\nflags : avx\n", "a CPU with AVX2"),
    "unknown": ("/lib.so", "", "a CPU with AVX2"),
    "both": ("/lib.so", "model : x\nflags : fpu avx2\n", ""),
}


@pytest.mark.parametrize("case", LACKING)
def test_without_the_detector_faces_are_refused_by_name(case, monkeypatch):
    path, cpus, missing = LACKING[case]
    monkeypatch.setattr(faces, "_path", lambda: path)
    monkeypatch.setattr(faces, "open", lambda name: io.StringIO(cpus), raising=False)
    faces.lacking.cache_clear()
    try:
        for text in ("crop,w_7,g_face", "resize,m_fill,w_7,g_face"):
            if missing:
                with pytest.raises(BadRequest, match=f"g needs .*{missing}"):
                    process._read(f"image/{text}", LIMITS)
            else:
                process._read(f"image/{text}", LIMITS)
    finally:
        faces.lacking.cache_clear()


def test_a_picture_that_is_laid_on_another_is_not_looked_at(parse):
    key = "bG9nby5wbmc_eC1vc3MtcHJvY2Vzcz1pbWFnZS9jcm9wLHdfOSxnX2F1dG8"  # ...crop,w_9,g_auto
    with pytest.raises(InvalidArgument, match="crop inside of a watermark takes no g_auto"):
        parse(f"watermark,image_{key}")
