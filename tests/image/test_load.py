"""What comes in as anything goes on as 8 bits of sRGB or grey that look right."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from vipsgate.image import load, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import probe

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def loaded():
    """A file's normalised picture: its pixels, and what libvips calls them."""

    def loaded(data):
        source = probe.probe(data)
        made = plan.make(source.header, (), Limits(), Rendering())
        image = load.load(source, made)
        return image.numpy().astype(int), image.interpretation, image.format

    return loaded


LOADS = {
    # source -> shape, interpretation, decibels against the picture it was made from
    "jpg 40x27": ((27, 40, 3), "srgb", 34),
    "jpg 40x27 grey": ((27, 40), "b-w", 34),
    "png 40x27": ((27, 40, 3), "srgb", 90),
    "png 40x27 grey": ((27, 40), "b-w", 90),
    "png 40x27 alpha": ((27, 40, 4), "srgb", 90),
    "png 40x27 grey alpha": ((27, 40, 2), "b-w", 90),
    "png 40x27 palette": ((27, 40, 3), "srgb", 24),
    "png 40x27 16bit": ((27, 40, 3), "srgb", 90),
    "png 40x27 grey 16bit": ((27, 40), "b-w", 90),
    "png 40x27 alpha 16bit": ((27, 40, 4), "srgb", 90),
    "tiff 40x27": ((27, 40, 3), "srgb", 90),
    "tiff 40x27 grey": ((27, 40), "b-w", 90),
    "tiff 40x27 alpha": ((27, 40, 4), "srgb", 90),
    "tiff 40x27 grey alpha": ((27, 40, 2), "b-w", 90),
    "tiff 40x27 16bit": ((27, 40, 3), "srgb", 90),
    "tiff 40x27 grey 16bit": ((27, 40), "b-w", 90),
    "tiff 40x27 alpha 16bit": ((27, 40, 4), "srgb", 90),
    "webp 40x27": ((27, 40, 3), "srgb", 90),
    "webp 40x27 alpha": ((27, 40, 4), "srgb", 90),
    "bmp 40x27": ((27, 40, 3), "srgb", 90),
    "bmp 40x27 grey": ((27, 40), "b-w", 90),
    "bmp 40x27 palette": ((27, 40, 3), "srgb", 24),
    "gif 40x27": ((27, 40, 3), "srgb", 24),
    "avif 40x27": ((27, 40, 3), "srgb", 34),
    "avif 40x27 alpha": ((27, 40, 4), "srgb", 34),
    "avif 40x27 10bit": ((27, 40, 3), "srgb", 34),
    "heic 40x27": ((27, 40, 3), "srgb", 34),
    "heic 40x27 grey": ((27, 40), "b-w", 34),
    "heic 40x27 alpha": ((27, 40, 4), "srgb", 34),
    "heic 40x27 10bit": ((27, 40, 3), "srgb", 34),
}


@pytest.mark.parametrize("source", LOADS)
def test_loads(source, picture, photo, loaded, psnr):
    shape, interpretation, decibels = LOADS[source]
    got, kind, depth = loaded(picture(source))
    assert (got.shape, kind, depth) == (shape, interpretation, "uchar")
    bands = got.reshape(27, 40, -1)
    if "16bit" in source:  # the photograph's bands, alpha the last of them
        assert psnr(bands, photo(40, 27, bands.shape[-1])) > decibels
        return
    colours = 1 if "grey" in source else 3
    assert psnr(bands[..., :colours], photo(40, 27, colours)) > decibels
    if "alpha" in source:
        level = np.add.outer(np.arange(27) / 27, np.arange(40) / 40)
        assert psnr(bands[..., -1], (np.clip(level - 0.4, 0, 1) * 255).astype(np.uint8)) > 40


# --- through profiles


def transformed(image, profile):
    """What LittleCMS makes of it, as Pillow drives it."""
    return np.asarray(
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(int)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_wide_gamut(format, photo, encoded, loaded, pixels, described):
    profile = described(bytes(pyvips.Image.profile_load("p3")), "as wide as P3, but not named so")
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    options["AVIF"] = options["HEIF"] = {"quality": 100, "subsampling": "4:4:4"}
    data = encoded(photo(64, 48), format, icc_profile=profile, **options.get(format, {}))
    stored = Image.fromarray(pixels(data, "RGB").astype(np.uint8))
    got, kind, _ = loaded(data)
    assert kind == "srgb"
    want = transformed(stored, profile)
    assert np.abs(want - np.asarray(stored)).max() > 10  # it does make a difference
    # AVIF's own colours are decoded by another library there
    assert np.abs(got - want).max() <= (12 if format == "AVIF" else 4)
    assert np.abs(got - want).mean() < (2 if format == "AVIF" else 1)


def test_a_srgb_profile_changes_nothing(photo, encoded, loaded):
    for profile in (
        bytes(pyvips.Image.profile_load("srgb")),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ):
        got, _, _ = loaded(encoded(photo(40, 27), "PNG", icc_profile=profile))
        assert np.array_equal(got, photo(40, 27))


@pytest.mark.parametrize("text", ["Wide Gamut with sRGB Transfer", "no sRGB at all"])
def test_a_profile_is_not_srgb_because_it_speaks_of_it(text, photo, encoded, loaded, described):
    profile = described(bytes(pyvips.Image.profile_load("p3")), text)
    got, _, _ = loaded(encoded(photo(40, 27), "PNG", icc_profile=profile))
    assert np.abs(got - transformed(Image.fromarray(photo(40, 27)), profile)).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("profile", [b"x", bytes(128), b"\xff" * 3000, "srgb", "p3", "cmyk"])
def test_a_profile_that_does_not_fit_is_no_harm(profile, mode, photo, encoded, run, pixels):
    if isinstance(profile, str):
        profile = bytes(pyvips.Image.profile_load(profile))
    saved = io.BytesIO()
    name = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.fromarray(photo(40, 27)).convert(mode)
    image.save(saved, name, icc_profile=profile)
    got = pixels(run(saved.getvalue(), "resize,w_20/format,png"), "RGB")
    want = np.asarray(image.convert("RGB").resize((20, 14)), int)
    assert np.abs(got.mean((0, 1)) - want.mean((0, 1))).max() < 40


def of_space(space):
    """A profile of a colour space, with conversions from it if LittleCMS makes one."""
    if space in (b"Lab ", b"XYZ "):
        return ImageCms.ImageCmsProfile(
            ImageCms.createProfile(space.decode().strip().upper())
        ).tobytes()
    profile = bytearray(pyvips.Image.profile_load("cmyk" if space == b"CMYK" else "p3"))
    profile[16:20] = space
    return bytes(profile)


UNFIT = {
    "L": (b"RGB ", b"CMYK", b"Lab ", b"XYZ "),
    "LA": (b"RGB ", b"CMYK", b"Lab ", b"XYZ "),
    "RGB": (b"GRAY", b"CMYK", b"Lab ", b"XYZ ", b"HSV "),
    "RGBA": (b"GRAY", b"CMYK", b"Lab ", b"XYZ ", b"HSV "),
    "CMYK": (b"GRAY", b"RGB ", b"Lab ", b"XYZ "),
}
TAKES = {"JPEG": ("L", "RGB", "CMYK"), "TIFF": tuple(UNFIT), "PNG": ("L", "LA", "RGB", "RGBA")}
TAKES |= {"WEBP": ("RGB", "RGBA"), "AVIF": ("RGB", "RGBA"), "HEIF": ("L", "RGB", "RGBA")}


@pytest.mark.parametrize(
    ("format", "mode", "space"),
    [(name, mode, space) for name in TAKES for mode in TAKES[name] for space in UNFIT[mode]],
)
def test_a_profile_of_another_space_is_no_profile(format, mode, space, photo, encoded, run):
    """Nothing is converted by it, and it is not kept."""
    picture = Image.fromarray(photo(40, 27)).convert(mode)
    options = {"lossless": True} if format == "WEBP" else {"quality": 100}
    with_it, without = io.BytesIO(), io.BytesIO()
    picture.save(with_it, format, icc_profile=of_space(space), **options)
    picture.save(without, format, **options)
    for text in ("format,png", "strip,keep_icc/format,png"):
        assert run(with_it.getvalue(), text) == run(without.getvalue(), text)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_profile(format, loaded):
    patches = {
        "white": (0, 0, 0, 0),
        "black": (0, 0, 0, 255),
        "cyan": (255, 0, 0, 0),
        "magenta": (0, 255, 0, 0),
        "yellow": (0, 0, 255, 0),
    }
    image = Image.new("CMYK", (16 * len(patches), 16))
    for i, ink in enumerate(patches.values()):
        image.paste(ink, (16 * i, 0, 16 * i + 16, 16))
    saved = io.BytesIO()
    image.save(saved, format, **({"quality": 100} if format == "JPEG" else {}))
    got, kind, _ = loaded(saved.getvalue())
    assert kind == "srgb"
    red, green, blue = {}, {}, {}
    for i, name in enumerate(patches):
        red[name], green[name], blue[name] = got[8, 16 * i + 8]
    assert min(red["white"], green["white"], blue["white"]) >= 250
    assert max(red["black"], green["black"], blue["black"]) <= 70
    assert red["cyan"] < 100 < min(green["cyan"], blue["cyan"])
    assert green["magenta"] < 100 < min(red["magenta"], blue["magenta"])
    assert blue["yellow"] < 100 < min(red["yellow"], green["yellow"])


@pytest.mark.skipif(not DATA.is_dir(), reason="the pictures are not beside the project")
def test_real_cmyk_and_lab(loaded):
    data = (DATA / "cmyk.jpg").read_bytes()
    stored = Image.open(io.BytesIO(data))
    got, kind, _ = loaded(data)
    assert kind == "srgb"
    assert np.abs(got - transformed(stored, stored.info["icc_profile"])).mean() < 4
    data = (DATA / "cielab.tiff").read_bytes()
    lab = pyvips.Image.tiffload_buffer(data)
    got, kind, _ = loaded(data)
    assert (kind, got.shape) == ("srgb", (lab.height, lab.width, 3))
    assert np.corrcoef(got.mean(-1).ravel(), lab[0].numpy().ravel())[0, 1] > 0.9


# --- what else TIFFs, PNGs and AVIFs hold

KINDS = {
    # what -> made by libvips from values 0-1, its saver, tolerance
    "1 bit PNG": (lambda v: (v > 0.5) * 255.0, ".png[bitdepth=1]", 0),
    "4 bit PNG": (lambda v: np.round(v * 15) * 17, ".png[bitdepth=4]", 0),
    "1 bit TIFF": (lambda v: (v > 0.5) * 255.0, ".tif[bitdepth=1]", 0),
    "JPEG in TIFF": (lambda v: np.round(v * 255), ".tif[compression=jpeg,Q=95]", 16),
    "tiled TIFF": (lambda v: np.round(v * 255), ".tif[tile,compression=deflate]", 0),
    "BigTIFF": (lambda v: np.round(v * 255), ".tif[bigtiff]", 0),
}


@pytest.mark.parametrize("what", KINDS)
def test_loads_kinds(what, photo, loaded):
    make, saver, tolerance = KINDS[what]
    values = make(photo(40, 27, 1)[..., 0] / 255)
    data = pyvips.Image.new_from_array(values.astype(np.uint8)).write_to_buffer(saver)
    got, kind, _ = loaded(data)
    assert kind == "b-w"
    assert np.abs(got - values).max() <= tolerance


def test_deep_avif(photo, loaded, psnr):
    deep = pyvips.Image.new_from_array(
        photo(40, 27).astype(np.uint16) * 257, interpretation="rgb16"
    )
    data = deep.heifsave_buffer(compression="av1", bitdepth=10, Q=95, effort=0)
    got, kind, depth = loaded(data)
    assert (got.shape, kind, depth) == ((27, 40, 3), "srgb", "uchar")
    assert psnr(got, photo(40, 27)) > 34


@pytest.mark.parametrize("interpretation", ["scrgb", "lab", "labs", "xyz"])
def test_other_spaces_in_tiff(interpretation, photo, loaded):
    image = pyvips.Image.new_from_array(photo(40, 27), interpretation="srgb")
    if interpretation.startswith("lab"):  # as others write it, whose white is D50
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", srgb)
        image = image.icc_import(embedded=True, pcs="lab", intent="relative")
    data = image.colourspace(interpretation).tiffsave_buffer(keep="none")
    got, kind, depth = loaded(data)
    assert (got.shape, kind, depth) == ((27, 40, 3), "srgb", "uchar")
    assert np.abs(got - photo(40, 27)).max() <= 6


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_32_bits(bands, photo, loaded):
    """As many as the sample has are white (TIFF 6.0, PhotometricInterpretation)."""
    values = photo(40, 27, bands).astype(np.uint32) * 0x01010101
    kind = "b-w" if bands < 3 else "srgb"
    image = pyvips.Image.new_from_array(values).copy(interpretation=kind)
    got, _, _ = loaded(image.tiffsave_buffer())
    assert np.array_equal(got.reshape(27, 40, bands), photo(40, 27, bands))


def test_pages_of_a_tiff_are_no_animation(photo, run):
    saved = io.BytesIO()
    pages = [Image.fromarray(photo(40, 27, 3, i)) for i in range(3)]
    pages[0].save(saved, "TIFF", save_all=True, append_images=pages[1:])
    assert probe.probe(saved.getvalue()).header.pages == 1
    run(saved.getvalue(), "resize,w_20/format,gif")


# --- the last pixels of a shrunk JPEG

WRITTEN = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "in scans": {"subsampling": 2, "progressive": True},
    "with restarts": {"subsampling": 2, "restart_marker_blocks": 3},
    "grey": {},
}
SIDES = [(64 + side, 89 - side) for side in range(0, 17, 2)] + [(65, 80), (71, 73)]


def reductions(kind, shrink, photo):
    """Of pictures of all sides: what is loaded, what it should be, and the plan's sides."""
    for width, height in SIDES:
        image = Image.fromarray(photo(width, height))
        image = image.convert("L" if kind == "grey" else "RGB")
        saved = io.BytesIO()
        image.save(saved, "JPEG", quality=95, **WRITTEN[kind])
        source = probe.probe(saved.getvalue())
        made = replace(plan.make(source.header, (), Limits(), Rendering()), shrink=float(shrink))
        got = load.load(source, made).numpy().astype(int)
        sides = plan.reduced(source.header, shrink)
        full = load.load(source, replace(made, shrink=1.0)).numpy().astype(int)
        more = [(0, max(0, sides[1] * shrink - height)), (0, max(0, sides[0] * shrink - width))]
        full = np.pad(full, [*more, (0, 0)][: full.ndim], mode="edge")
        full = full[: sides[1] * shrink, : sides[0] * shrink]
        blocks = full.reshape(sides[1], shrink, sides[0], shrink, *full.shape[2:])
        yield got, blocks.mean((1, 3)), sides


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("kind", WRITTEN)
def test_the_last_pixels_of_a_shrunk_jpeg(kind, shrink, photo):
    """As right as the others, where they show more than the source has."""
    last, others = [], []
    for got, want, sides in reductions(kind, shrink, photo):
        assert got.shape[:2] == sides[::-1]
        off = np.abs(got - want)
        last += [off[-1].mean(), off[:, -1].mean()]
        others.append(off[:-1, :-1].mean())
    assert max(last) < 1.5 * max(others) + 2
    assert np.mean(last) < 1.1 * np.mean(others) + 0.5


def test_one_that_cannot_be_completed(photo, monkeypatch):
    """It has the same sides, and its last pixels twice."""
    rows = load.CODECS | {"jpg": replace(load.CODECS["jpg"], completed=lambda data, *sides: data)}
    monkeypatch.setattr(load, "CODECS", rows)
    twice = 0
    for got, _, sides in reductions("4:2:0", 4, photo):
        assert got.shape[:2] == sides[::-1]
        twice += np.array_equal(got[-1], got[-2])
    assert twice >= len(SIDES) // 3
