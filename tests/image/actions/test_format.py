"""``format``: which format comes out of which, what becomes of frames and transparency."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageSequence

from vipsgate.errors import ImageTooLarge, InvalidArgument
from vipsgate.image.config import Limits
from vipsgate.image.formats import probe

READS = {
    **{
        f"format,{name}": f"format,{name}"
        for name in ("jpg", "png", "webp", "bmp", "gif", "tiff", "avif", "heic", "src")
    },
    "format,jpeg": "format,jpg",
    "format,src,1an": "format,src,1an",
    "format,1an,src": "format,src,1an",
    "format,auto": "format,auto",
    "format,auto,accept_avif-webp": "format,auto,accept_avif-webp",
    "format,accept_src,auto": "format,auto,accept_src",
}
REFUSES = {
    "format": (InvalidArgument, "0040-00000207", "jpg, png, webp"),
    "format,": (InvalidArgument, "0040-00000207", "jpg, png, webp"),
    "format,1an": (InvalidArgument, "0040-00000207", "jpg, png, webp"),
    "format,dng": (InvalidArgument, "0040-00000206", "The value: dng of parameter: format"),
    "format,JPG": (InvalidArgument, "0040-00000206", "The value: JPG"),
    "format,_jpg": (InvalidArgument, "0040-00000206", "_jpg"),
    "format,jpg,png": (InvalidArgument, "", "given twice"),
    "format,Auto": (InvalidArgument, "0040-00000206", "The value: Auto"),
    "format,auto,accept_jpg": (InvalidArgument, "", "avif-webp, avif, webp, src, quick"),
    "format,auto,accept_": (InvalidArgument, "", "parameter: accept"),
    "format,accept_webp": (InvalidArgument, "0040-00000207", "jpg, png, webp"),
}

STILL = ("jpg", "png", "webp", "bmp", "tiff", "avif", "heic")
PLANS = {
    # a still picture becomes what is named
    **{(f"format,{to}", f"{of} 40x27"): f"40x27 {to}" for of in (*STILL, "gif") for to in STILL},
    # but none becomes a GIF
    **{("format,gif", f"{of} 40x27"): f"40x27 {of}" for of in (*STILL, "gif")},
    **{("format,src", f"{of} 40x27"): f"40x27 {of}" for of in STILL},
    # frames
    ("resize,w_10", "gif 20x10x3"): "10x5x3 gif",
    ("format,gif", "gif 20x10x3"): "20x10x3 gif",
    ("format,gif", "webp 20x10x3"): "20x10x3 gif",
    ("resize,w_10/format,gif", "webp 20x10x3"): "10x5x3 gif",
    ("format,webp/format,gif", "webp 20x10x3"): "20x10x3 gif",
    ("format,gif", "webp 20x10"): "20x10 webp",
    ("format,jpg/format,gif", "webp 20x10x3"): "20x10 webp",  # one frame is left by then
    ("format,jpg/format,gif", "gif 20x10x3"): "20x10 gif",
    ("format,src", "gif 20x10x3"): "20x10 jpg",
    ("format,src,1an", "gif 20x10x3"): "20x10x3 gif",
    ("format,src", "gif 20x10"): "20x10 jpg",
    ("format,webp", "gif 20x10x3"): "20x10x3 webp",
    ("format,src", "webp 20x10x3"): "20x10x3 webp",
    ("format,jpg", "webp 20x10x3"): "20x10 jpg",
    **{(f"format,{to}", "gif 20x10x3"): f"20x10 {to}" for to in STILL if to != "webp"},
    # the last one counts
    ("format,png/format,jpg", "webp 40x27"): "40x27 jpg",
    ("format,png/format,src", "webp 40x27"): "40x27 webp",
    # transparency
    ("format,jpg", "png 40x27 alpha"): "40x27 jpg opaque",
    ("format,webp", "png 40x27 alpha"): "40x27 webp alpha",
    ("format,bmp", "png 40x27 alpha"): "40x27 bmp alpha",
    ("format,png", "jpg 40x27"): "40x27 png opaque",
    # quality where none is asked
    ("format,jpg", "png 40x27"): "40x27 jpg q85",
    ("format,jpg", "jpg 40x27 q60"): "40x27 jpg q85",
    ("format,webp", "png 40x27"): "40x27 webp q80",
    ("format,avif", "png 40x27"): "40x27 avif q60",
    ("format,heic", "png 40x27"): "40x27 heic q50",
    ("quality,Q_30/format,heic", "png 40x27"): "40x27 heic q30",
}


def frames(data):
    image = Image.open(io.BytesIO(data))
    return [frame.copy() for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("text", ["format,src", "format,png", "format,jpg/format,webp"])
def test_the_first_frame_is_taken(text, picture, run, pixels, psnr):
    data = picture("gif 60x40x3")
    got = pixels(run(data, text), "RGB")
    first, *others = [psnr(got, frame.convert("RGB")) for frame in frames(data)]
    assert first > 24 > max(others)


# --- animations

WAYS = {
    # format in, out -> both ways of counting: of a GIF, how often it is played again
    ("GIF", "gif"): {0: 0, 1: 1, 2: 2, None: None},
    ("GIF", "webp"): {0: 0, 1: 2, 2: 3, None: 1},
    ("WEBP", "webp"): {0: 0, 1: 1, 2: 2},
    ("WEBP", "gif"): {0: 0, 1: None, 2: 1, 3: 2},
}
DELAYS = [20, 30, 50, 1000]  # milliseconds, which both can say


def animation(name, photo, loop=0, delays=DELAYS, mask=None):
    """A file of frames that differ."""
    pages = [Image.fromarray(photo(60, 40, 3, 7 * seed)) for seed in range(len(delays))]
    for number, page in enumerate(pages if mask else []):
        page.putalpha(mask(number))
    options = {} if loop is None else {"loop": loop}
    options |= {"lossless": True} if name == "WEBP" else {}
    file = io.BytesIO()
    options |= {"save_all": True, "append_images": pages[1:], "duration": delays}
    pages[0].save(file, name, **options)
    return file.getvalue()


def milliseconds(data):
    """How long each frame is shown, whatever the format."""
    name = probe.probe(data).header.format
    image = getattr(pyvips.Image, f"{name}load_buffer")(data, n=-1)
    return image.get("delay")


@pytest.mark.parametrize("shape", ["", "resize,w_30/"])
@pytest.mark.parametrize(
    ("source", "to", "loop"), [(*way, loop) for way, loops in WAYS.items() for loop in loops]
)
def test_an_animation_plays_alike(source, to, loop, shape, photo, run, psnr):
    data = animation(source, photo, loop)
    made = run(data, f"{shape}format,{to}")
    assert Image.open(io.BytesIO(made)).info.get("loop") == WAYS[source, to][loop]
    assert milliseconds(data) == milliseconds(made) == DELAYS
    for got, want in zip(frames(made), frames(data), strict=True):
        assert psnr(got.convert("RGB"), want.convert("RGB").resize(got.size)) > 20


def test_delays_between_a_gifs_steps(photo, run):
    data = animation("WEBP", photo, delays=[15, 24, 36])
    assert milliseconds(run(data, "resize,w_30")) == [15, 24, 36]
    assert milliseconds(run(data, "format,gif")) == [20, 20, 40]


def test_the_shortest_delay(photo, run):
    """Browsers show a frame of 10 ms and less for 100; libvips writes that into a WebP."""
    data = animation("GIF", photo, delays=[10, 20, 30])
    assert milliseconds(run(data, "resize,w_30")) == [10, 20, 30]
    assert milliseconds(run(data, "format,webp")) == [100, 20, 30]


@pytest.mark.parametrize("shape", ["disc", "bar"])
@pytest.mark.parametrize("to", ["gif", "webp"])
@pytest.mark.parametrize("source", ["GIF", "WEBP"])
def test_transparent_frames(source, to, shape, photo, run):
    """A bar's frames are cut to it by the encoder, and it is all opaque."""

    def mask(number):
        y, x = np.mgrid[0:40, 0:60]
        seen = np.hypot(x - 20 - 5 * number, y - 20) < 15
        if shape == "bar":
            seen = (x >= 5 * number) & (x < 5 * number + 30)
        return Image.fromarray((seen * 255).astype(np.uint8))

    data = animation(source, photo, delays=[40, 40, 40], mask=mask)
    for got, want in zip(frames(run(data, f"format,{to}")), frames(data), strict=True):
        alphas = [np.asarray(frame.convert("RGBA"))[..., 3] for frame in (got, want)]
        assert np.array_equal(*alphas)


@pytest.mark.parametrize("mode", ["alpha", "grey alpha", "palette"])
@pytest.mark.parametrize("source", ["png", "webp", "tiff"])
def test_transparent_becomes_white_in_a_jpg(source, mode, encoded, run, pixels):
    colours = np.full((32, 64, 4), (200, 40, 80, 255))
    colours[:, 32:] = (0, 0, 0, 0)
    if mode == "grey alpha":
        colours = np.stack([colours[..., 0], colours[..., 3]], axis=-1)
    options = {"lossless": True} if source == "webp" else {}
    data = encoded(colours, source.upper(), **options)
    got = pixels(run(data, "format,jpg"), "RGB")
    assert got[:, 40:].min() >= 250
    opaque = (200, 200, 200) if mode == "grey alpha" else (200, 40, 80)
    assert np.abs(got[16, 10] - opaque).max() <= 6


def test_half_transparent_is_mixed_with_white(encoded, run, pixels):
    half = np.full((32, 32, 4), (0, 100, 200, 128))
    got = pixels(run(encoded(half, "PNG"), "format,jpg"))
    assert np.abs(got[16, 16] - (127, 177, 227)).max() <= 3


@pytest.mark.parametrize("to", ["webp", "gif", "tiff", "bmp", "avif", "heic"])
def test_transparency_is_kept(to, encoded, run, pixels):
    colours = np.full((32, 64, 4), (200, 40, 80, 255))
    colours[:, 32:] = (0, 0, 0, 0)
    data = encoded(colours, "PNG")
    once = run(data, f"format,{to}")
    assert pixels(once, "RGBA")[:, 40:, 3].max() == 0  # Pillow sees it
    again = pixels(run(once, "format,png"), "RGBA")  # and so do we
    assert again[:, 40:, 3].max() == 0
    assert again[:, :24, 3].min() == 255


# text, source -> EC; what the encoder cannot hold
TOO_LARGE = {
    ("format,avif", "jpg 4097x100"): "0040-00000014",
    ("format,avif", "jpg 100x2305"): "0040-00000014",
    ("format,webp", "png 16384x10"): "",
    ("format,jpg", "png 10x65501"): "",
}


@pytest.mark.parametrize(("text", "source"), TOO_LARGE)
def test_too_large(text, source, planned):
    wide = Limits(source_side=100_000)
    with pytest.raises(ImageTooLarge) as caught:
        planned(source, text, wide)
    assert caught.value.ec == TOO_LARGE[text, source]
    assert planned(source, "resize,w_100,h_100/" + text, wide).result.width <= 100
