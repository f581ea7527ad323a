"""``format,auto``: which format a picture gets, by what a client takes and by what it has."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vipsgate.image import accepting, automatic, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.process import parse

LIMITS, RENDERING = Limits(), Rendering()
BOTH, ONLY, WEBP, NONE, QUICK = "avif-webp", "avif", "webp", "src", "quick"
KINDS = ("jpg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic")

# (source, actions before it) -> result for who takes both, AVIF alone, WebP alone, neither
CHOSEN = {
    ("jpg 400x267", ""): ("avif lossy", "avif", "webp lossy", "jpg"),
    ("heic 400x267", ""): ("avif lossy", "avif", "webp lossy", "heic"),
    ("avif 400x267", ""): ("avif lossy", "avif", "webp lossy", "avif"),
    ("webp 400x267", ""): ("avif lossy", "avif", "webp lossy", "webp"),
    # without loss
    ("png 400x267", ""): ("webp lossless", "png", "webp lossless", "png"),
    ("bmp 400x267", ""): ("webp lossless", "bmp", "webp lossless", "bmp"),
    ("tiff 400x267", ""): ("webp lossless", "tiff", "webp lossless", "tiff"),
    ("gif 400x267", ""): ("webp lossless", "gif", "webp lossless", "gif"),
    ("jpg 40x27", "quality,lossless/"): ("webp lossless", "jpg", "webp lossless", "jpg"),
    # a quality that is named says that something may be lost
    ("png 400x267", "quality,Q_75/"): ("avif lossy q61", "avif q61", "webp lossy q79", "png"),
    ("gif 400x267", "quality,Q_75/"): ("avif lossy q61", "avif", "webp lossy q79", "gif"),
    # and is translated
    ("jpg 400x267 q100", "quality,q_40/"): ("avif q45", "avif q45", "webp q44", "jpg q40"),
    ("jpg 400x267 q60", "quality,Q_90/"): ("avif q51", "avif q51", "webp q60", "jpg q60"),
    ("webp 400x267", "quality,Q_79/"): ("avif q61", "avif q61", "webp q79", "webp q79"),
    ("avif 400x267", "quality,Q_61/"): ("avif q61", "avif q61", "webp q79", "avif q61"),
    # transparency
    ("png 400x267 alpha", ""): ("webp alpha lossless", "png alpha", "webp alpha", "png alpha"),
    ("png 400x267 alpha", "quality,Q_80/"): ("avif alpha", "avif alpha", "webp alpha", "png alpha"),
    ("avif 400x267 alpha", ""): ("avif alpha", "avif alpha", "webp alpha", "avif alpha"),
    ("jpg 400x267", "circle,r_50/"): ("avif opaque", "avif opaque", "webp opaque", "jpg opaque"),
    ("png 400x267", "circle,r_50/"): ("webp alpha", "png alpha", "webp alpha", "png alpha"),
    # animations
    ("gif 40x20x3", ""): ("40x20x3 webp lossless", "40x20x3 gif", "40x20x3 webp", "40x20x3 gif"),
    ("gif 40x20x3", "resize,w_20/"): ("20x10x3 webp lossy", "20x10x3 gif", "webp lossy", "gif"),
    ("gif 40x20x3", "quality,Q_75/"): ("40x20x3 webp lossy q79", "gif", "webp lossy", "gif"),
    ("webp 40x20x3", ""): ("40x20x3 webp", "40x20x3 webp", "40x20x3 webp", "40x20x3 webp"),
    ("webp 40x20x3", "quality,lossless/"): ("webp lossless", "webp", "webp lossless", "webp"),
    # limits of the formats: AVIF is written up to 4096x2304 pixels, WebP up to 16383
    ("jpg 4096x2304", ""): ("avif", "avif", "webp", "jpg"),
    ("jpg 4097x100", ""): ("webp", "jpg", "webp", "jpg"),
    ("jpg 100x2305", ""): ("webp", "jpg", "webp", "jpg"),
    ("jpg 16383x100", ""): ("webp", "jpg", "webp", "jpg"),
    ("jpg 16384x100", ""): ("jpg", "jpg", "jpg", "jpg"),
    ("png 16384x100 alpha", ""): ("png alpha", "png alpha", "png alpha", "png alpha"),
    # an earlier format does not count
    ("jpg 400x267", "format,png/"): ("avif lossy", "avif", "webp", "jpg"),
}


def test_every_kind_of_source_has_a_row():
    assert {source.split()[0] for source, _ in CHOSEN} == set(KINDS)


@pytest.mark.parametrize(("source", "before"), CHOSEN)
def test_chooses(source, before, table):
    for kind, result in zip((BOTH, ONLY, WEBP, NONE), CHOSEN[source, before], strict=True):
        table.plans(source, f"{before}format,auto,accept_{kind}", result)


@pytest.mark.parametrize("source", [f"{kind} 400x267" for kind in KINDS] + ["gif 40x20x3"])
def test_a_client_of_neither_format_gets_the_same_as_without_format(source, header, planned):
    without = planned(source, "resize,w_30").result
    for text in ("format,auto", "format,auto,accept_src"):
        assert planned(source, f"resize,w_30/{text}").result == without


def test_a_lossless_webp_stays_one(header):
    source = replace(header("webp 400x267"), lossless=True)
    results = {}
    for kind in (BOTH, ONLY, WEBP, NONE):
        actions = parse(f"image/format,auto,accept_{kind}", LIMITS).actions
        result = plan.make(source, actions, LIMITS, RENDERING).result
        results[kind] = result.format, result.lossless
    exact, lossy = ("webp", True), ("webp", False)
    assert results == {BOTH: exact, ONLY: lossy, WEBP: exact, NONE: lossy}


def test_limits_of_time_and_memory_take_the_next(header):
    source = header("jpg 4096x2304")
    actions = parse(f"image/format,auto,accept_{BOTH}", LIMITS).actions

    def written(**limits):
        return plan.make(source, actions, Limits(**limits), RENDERING)

    best = written()
    assert best.result.format == "avif"
    next_best = written(render_seconds=1)
    assert next_best.result.format == "webp"
    assert written(render_bytes=best.memory - 1) == next_best
    assert written(render_bytes=next_best.memory - 1).result.format == "jpg"


# --- a WebP in place of an AVIF


def test_a_quick_one_stands_in(planned):
    small, large = planned("jpg 400x267", QUICKLY), planned("jpg 2000x1500", QUICKLY)
    assert (small.result.format, small.notes) == ("avif", ())
    assert (large.result.format, large.notes) == ("webp", ("later=avif",))
    # decoding takes long in both; nothing would be won
    assert planned("jpg 6000x4000", f"resize,w_400/{QUICKLY}").result.format == "avif"
    # and what is a WebP anyway stands in for nothing
    for source in ("png 2000x1500", "gif 400x200x9", "jpg 5000x3000", "jpg 16384x900"):
        assert planned(source, QUICKLY).notes == ()


QUICKLY = f"format,auto,accept_{QUICK}"


# --- classes


@pytest.mark.parametrize(
    ("formats", "word"),
    {
        (): NONE,
        ("webp",): WEBP,
        ("avif",): ONLY,
        ("avif", "webp"): BOTH,
        ("webp", "avif"): WEBP,  # which keeps all that an AVIF can keep
    }.items(),
)
def test_words(formats, word):
    assert automatic.word(formats) == word
    assert word in automatic.CLASSES


@pytest.mark.parametrize(
    "text",
    {
        "image/format,auto": True,
        "image/resize,w_9/format,auto/quality,Q_50": True,
        "image/format,png/format,auto": True,
        "image/format,auto/format,png": False,
        "image/format,png": False,
        "image/format,src": False,
        "image/resize,w_9": False,
        "image/info": False,
        "video/snapshot,t_1": False,
        **{f"image/format,auto,accept_{name}": False for name in automatic.CLASSES},
    }.items(),
    ids=str,
)
def test_open_to_the_client(text):
    process = parse(text[0], LIMITS)
    assert accepting.is_open(process) is text[1]
    if text[1]:
        known = accepting.accepted_by(process, WEBP, LIMITS)
        assert parse(str(known), LIMITS) == known  # a renderer reads the same
        assert known.text == text[0].replace("format,auto", "format,auto,accept_webp")


def test_a_process_without_a_format_gets_one():
    names_none = {
        "image/resize,w_9": True,
        "image/interlace,1/quality,Q_9": True,
        "image/format,png": False,
        "image/format,auto": False,
        "image/info": False,
        "image/average-hue": False,
        "video/snapshot,t_1": False,
    }
    for text, expected in names_none.items():
        assert accepting.names_none(parse(text, LIMITS)) is expected
    known = accepting.accepted_by(parse("image/resize,w_9", LIMITS), BOTH, LIMITS)
    assert known.text == "image/resize,w_9/format,auto,accept_avif-webp"
    full = parse("image" + "/rotate,90" * LIMITS.actions, LIMITS)
    assert accepting.accepted_by(full, BOTH, LIMITS) is full  # a renderer would not read it


def test_qualities_are_in_order():
    for own in automatic.ALIKE:
        for other in ("avif", "webp"):
            levels = [automatic.alike(quality, own, other) for quality in range(1, 101)]
            assert levels == sorted(levels)
            assert (levels[0], levels[-1]) == (1, 100)
    assert [automatic.alike(quality, "jpg", "avif") for quality in (40, 75, 80, 85)] == [
        *(45, 61),
        *(67, 73),
    ]


# --- real pixels, by another decoder


@pytest.mark.parametrize(
    ("source", "name", "frames"),
    [
        ("jpg 120x80", "AVIF", 1),
        ("png 120x80 alpha", "WEBP", 1),
        ("gif 60x40x3", "WEBP", 3),
        ("gif 60x40", "WEBP", 1),
    ],
)
def test_another_decoder_sees_the_picture(source, name, frames, picture, run, psnr):
    data = picture(source)
    result = Image.open(io.BytesIO(run(data, f"format,auto,accept_{BOTH}")))
    given = Image.open(io.BytesIO(data))
    assert (result.format, result.n_frames) == (name, frames)
    mode = "RGBA" if "alpha" in source else "RGB"
    pairs = zip(ImageSequence.Iterator(result), ImageSequence.Iterator(given), strict=True)
    for one, other in pairs:
        one, other = np.asarray(one.convert(mode)), np.asarray(other.convert(mode))
        if mode == "RGBA":  # nobody sees the colours of what is not there
            one, other = (np.where(x[..., 3:] > 0, x, 0) for x in (one, other))
        assert psnr(one, other) > (90 if name == "WEBP" else 30)


@pytest.mark.parametrize("kind", [BOTH, WEBP, NONE])
def test_corners_of_a_jpg_are_white_in_each(kind, picture, run, pixels):
    result = pixels(run(picture("jpg 80x80"), f"circle,r_40/format,auto,accept_{kind}"))
    assert result.shape[2] == 3
    assert result[0, 0].min() > 245
