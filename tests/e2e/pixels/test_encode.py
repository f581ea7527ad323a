"""Files whose quality is searched for: what is promised of them holds of real ones."""

import hashlib
import io

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times
from support.likeness import distances

from vipsgate.errors import ImageTooLarge, InvalidArgument
from vipsgate.image import encode, likeness
from vipsgate.image.config import Limits
from vipsgate.image.formats import heif
from vipsgate.image.formats.codecs import CODECS
from vipsgate.image.goal import CALIBRATED, SAMPLE_PIXELS, SIZE_TRIES, TRIES, Goal

FORMATS = [
    "jpg",
    "webp",
    "avif",
    pytest.param(
        "heic",
        marks=pytest.mark.skipif(
            not heif.installed(),
            reason="pillow-heif is not installed: pip install 'vipsgate[heif]'",
        ),
    ),
]


def grainy(width, height, sigma, seed=0):
    """A photograph with so much grain, as PNG."""
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 5, height))
    waves = [128 + 60 * np.sin(x * (k + 1) + y) * np.cos(y * (3 - k)) for k in range(3)]
    grain = np.random.default_rng(seed).normal(0, sigma, (height, width, 1))
    pixels = np.clip(np.stack(waves, -1) + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def score(one, other, pixels):
    """As numpy has it, of files as Pillow reads them."""
    return likeness.combined(*distances(pixels(one, "RGB"), pixels(other, "RGB")))


# --- a likeness


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("wanted", [60, 80])
def test_the_likeness_is_reached_and_no_step_more(format, wanted, transformed, pixels):
    source = grainy(300, 200, 4)
    made = transformed(source, f"quality,ssim_{wanted}/format,{format}")
    got, (quality, encodings) = score(source, made.data, pixels), made.choice
    assert got >= wanted - 0.6  # another decoder, other sums
    assert encodings <= TRIES + 5
    lower = transformed(source, f"quality,Q_{max(1, quality - 8)}/format,{format}")
    assert score(source, lower.data, pixels) < got


@pytest.mark.parametrize("format", FORMATS)
def test_more_grain_and_the_same_likeness_take_more_bytes(format, transformed):
    sizes = [
        len(transformed(grainy(200, 150, sigma), f"quality,ssim_75/format,{format}").data)
        for sigma in (0, 5, 15)
    ]
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.5 * sizes[0]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("sigma", [0, 60])
def test_auto_stays_within_its_qualities(format, sigma, transformed):
    calibration = CALIBRATED[format]
    made = transformed(grainy(160, 120, sigma), f"quality,auto/format,{format}")
    assert calibration.low <= made.choice.quality <= calibration.high


def test_a_likeness_that_no_quality_reaches_is_the_highest_quality(transformed):
    noise = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    assert transformed(file.getvalue(), "quality,ssim_99/format,webp").choice.quality == 100


def test_a_goal_saves_bytes_at_an_equal_quality(transformed):
    source = grainy(300, 200, 4)
    auto = transformed(source, "quality,auto/format,jpg")
    usual = transformed(source, f"quality,Q_{auto.choice.quality}/format,jpg")
    assert len(auto.data) < 0.95 * len(usual.data)


# --- a size

SIZES = st.tuples(st.integers(1, 160), st.integers(1, 120))


@settings(deadline=None, max_examples=times(80))
@given(
    SIZES,
    st.sampled_from([0, 3, 20, 60]),
    st.integers(1, 30_000),
    st.sampled_from(["jpg", "webp", "jpg/interlace,0", "jpg/resize,w_50"]),
)
def test_a_file_has_no_more_bytes_than_it_may(transformed, size, sigma, most, format):
    source, refusal = grainy(*size, sigma), ""
    try:
        made = transformed(source, f"quality,bytes_{most}/format,{format}")
    except InvalidArgument as error:
        refusal = error.message
    if not refusal:
        assert len(made.data) <= most
        assert made.choice.encodings <= SIZE_TRIES + 8
        return
    assert f"The value: {most} of parameter: bytes is invalid." in refusal
    least = int(refusal.split(" has ")[1].split(" bytes")[0])
    assert least > most
    lowest = transformed(source, f"quality,bytes_{least}/format,{format}")
    assert len(lowest.data) <= least


@pytest.mark.parametrize("format", FORMATS)
def test_the_best_file_of_that_size(format, transformed):
    source = grainy(240, 180, 6)
    steps = 0.5 if format == "heic" else 0.85  # x265 has few of them at low qualities
    for most in (3000, 6000, 12_000):
        made = transformed(source, f"quality,bytes_{most}/format,{format}")
        assert steps * most <= len(made.data) <= most


def test_no_less_than_needed(transformed):
    made = transformed(grainy(60, 40, 3), "quality,bytes_999999999/format,jpg")
    assert made.choice.quality == 100


# --- animations, transparency, grey, sources of their own kind


def test_an_animation_is_written_whole(picture, transformed):
    data = picture("webp 60x40x3")
    most = len(transformed(data, "quality,Q_50").data)
    for text in ("quality,auto", "quality,ssim_70", f"quality,bytes_{most}"):
        made = transformed(data, text)
        assert Image.open(io.BytesIO(made.data)).n_frames == 3
    assert len(made.data) <= most


@pytest.mark.parametrize(
    "source",
    [
        "png 60x40 alpha",
        "png 60x40 grey",
        "png 60x40 grey alpha",
        "jpg 60x40 p3",
        "jpg 60x40 cmyk",
        "png 60x40 16bit",
    ],
)
@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_any_kind_of_picture(source, format, picture, run):
    run(picture(source), f"quality,auto/format,{format}")
    run(picture(source), f"quality,bytes_20000/format,{format}")


# --- how it is done


@pytest.mark.parametrize("text", ["auto", "bytes_5000"])
@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_the_same_bytes_each_time_and_with_any_number_of_threads(text, format, transformed):
    source, digests = grainy(220, 160, 5), set()
    before = pyvips.concurrency_get()
    try:
        for threads in (1, 4, 1):
            pyvips.concurrency_set(threads)
            data = transformed(source, f"resize,w_150/quality,{text}/format,{format}").data
            digests.add(hashlib.sha256(data).digest())
            assert pyvips.concurrency_get() == threads
    finally:
        pyvips.concurrency_set(before)
    assert len(digests) == 1


@pytest.mark.parametrize(
    "size",
    [
        (300, 400),
        (512, 512),
        (513, 512),
        (700, 700),
        (4000, 3000),
        (16000, 65),
        (50, 30000),
        (9, 9),
    ],
)
def test_a_sample_is_bounded_and_lies_all_over(size, planned):
    image = pyvips.Image.xyz(*size)
    frame = planned(f"png {size[0]}x{size[1]}", "quality,auto/format,jpg").result
    sample = encode.sampled(image, frame)
    assert sample.width * sample.height <= SAMPLE_PIXELS
    if size[0] * size[1] <= SAMPLE_PIXELS:
        assert (sample.width, sample.height) == size
    elif min(size) >= 2 * 128:
        assert sample.width * sample.height > SAMPLE_PIXELS / 2
        for band, length in enumerate(size):
            assert sample[band].min() < length / 3
            assert sample[band].max() > 2 * length / 3


def test_the_sample_of_an_animation_is_of_its_first_frame(picture, planned):
    data = picture("webp 60x40x3")
    image = pyvips.Image.webpload_buffer(data, n=-1)
    sample = encode.sampled(image, planned(data, "quality,auto").result)
    assert (sample.width, sample.height) == (60, 40)
    assert not sample.get_typeof("page-height")
    assert not sample.get_typeof("n-pages")


@pytest.mark.parametrize("goal", [Goal(), Goal(size=9000)], ids=["likeness", "size"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_each_try_can_be_stopped(goal, after, planned, tmp_path):
    frame = planned("png 400x300", "quality,auto/format,webp").result
    image = pyvips.Image.gaussnoise(400, 300, seed=3).bandjoin([1, 2]) + 120
    image, watched = image.cast("uchar").copy_memory(), []

    def watch(image):
        watched.append(image)
        if len(watched) >= after:
            image.set_kill(True)

    with open(tmp_path / "result", "w+b") as file, pytest.raises(pyvips.Error):
        encode.save(image, file.fileno(), frame, goal, watch)
    assert len(watched) == after


def test_every_format_that_loses_something_is_calibrated():
    assert set(CALIBRATED) == {name for name, codec in CODECS.items() if codec.quality is not None}
    for calibration in CALIBRATED.values():
        assert 1 <= calibration.low <= calibration.first <= calibration.high <= 100


# --- what it costs is foreseen


@pytest.mark.parametrize("format", ["jpg", "webp", "avif", "heic"])
@pytest.mark.parametrize("goal", ["auto", "bytes_90000"])
def test_a_search_costs_more_and_says_so(format, goal, planned):
    usual = planned("jpg 1600x1200", f"format,{format}/quality,Q_80")
    searched = planned("jpg 1600x1200", f"format,{format}/quality,{goal}")
    assert searched.seconds > usual.seconds
    assert searched.memory >= usual.memory + 3 * 1600 * 1200  # the pixels are held
    assert not searched.at_once


def test_a_search_that_takes_too_long_or_too_much_is_refused(planned):
    for limits in (Limits(render_seconds=4), Limits(render_bytes=300 << 20)):
        planned("jpg 4000x2300", "format,avif", limits=limits)
        with pytest.raises(ImageTooLarge):
            planned("jpg 4000x2300", "format,avif/quality,bytes_90000", limits=limits)


def test_the_plan_says_what_is_searched_for(planned):
    usual = CALIBRATED["jpg"]
    for text, told in {
        "auto": {"ssim": usual.auto, "from": usual.low, "to": usual.high},
        "ssim_70": {"ssim": 70, "from": 1, "to": 100},
        "bytes_900": {"bytes": 900, "from": 1, "to": 100},
        "Q_30": None,
    }.items():
        result = planned("jpg 40x30", f"quality,{text}").explain()["result"]
        assert result["search"] == told
        assert (result["quality"] is None) == (told is not None)
