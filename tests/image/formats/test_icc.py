"""Profiles: which name means what, that colours stay what they look like, and what is attached."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from vipsgate.image import plan, render
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import icc, probe

SMALL = bytes(pyvips.Image.profile_load("p3"))
SRGB = ImageCms.createProfile("sRGB")


def shown(image):
    """A picture as it looks in sRGB, as LittleCMS sees it: height by width by 3."""
    profile = image.info.get("icc_profile")
    image = image.convert("RGB")
    if profile:
        image = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    return np.asarray(image, int)


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# --- names

P3 = (
    *("Display P3", "sP3C", "uP3C", "Display P3 Gamut with sRGB Transfer"),
    *("DCI-P3 D65 Gamut with sRGB Transfer", "sRGB EOTF with DCI-P3 Color Gamut"),
)
OTHERS = (
    *("sRGB IEC61966-2.1", "sRGB built-in", "uRGB", "c2", "Adobe RGB (1998)", "ProPhoto RGB", ""),
    *("Display P3 (Linear)", "DCI-P3 RGB", "Rec. ITU-R BT.2020-1", "Apple Display", "sRGB P3"),
)


@pytest.mark.parametrize("name", [*P3, *OTHERS])
def test_gamut(name, described):
    assert icc.gamut(described(SMALL, name)) == ("p3" if name in P3 else "srgb")


@pytest.mark.parametrize("name", ["srgb", "cmyk", "p3"])
def test_gamut_of_libvips_own(name):
    profile = bytes(pyvips.Image.profile_load(name))
    assert icc.gamut(profile) == ("p3" if name == "p3" else "srgb")
    assert icc.is_srgb(profile) == (name == "srgb")


def test_a_profile_of_ink_is_not_p3(described):
    assert icc.gamut(described(bytes(pyvips.Image.profile_load("cmyk")), "Display P3")) == "srgb"


@pytest.mark.parametrize("profile", [b"", b"x", bytes(500), b"\xff" * 500, SMALL[:200]])
def test_no_profile_at_all(profile):
    assert icc.gamut(profile) == "srgb"


# --- numbers

COLOURS = {
    # sRGB -> Display P3 (CSS Color Module Level 4 gives 0.9175 0.2003 0.1386 for red)
    (255, 0, 0): [234, 51, 35],
    (0, 255, 0): [117, 251, 76],
    (0, 0, 255): [0, 0, 245],
    (255, 255, 255): [255, 255, 255],
    (0, 0, 0): [0, 0, 0],
    (128, 128, 128): [128, 128, 128],
}


@pytest.mark.parametrize("levels", COLOURS)
def test_colour(levels):
    assert icc.colour(list(levels), "p3") == COLOURS[levels]
    assert icc.colour(list(levels), "srgb") == list(levels)


@pytest.fixture(scope="module")
def cube():
    """Every eighth level of each band, and an alpha of its own."""
    levels = np.minimum(np.arange(33) * 8, 255)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(33, -1, 3)
    alpha = np.arange(colours[..., 0].size).reshape(33, -1, 1) % 256
    return np.concatenate([colours, alpha], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("bands", [3, 4])
def test_converted_is_the_same_as_colour(bands, cube):
    image = pyvips.Image.new_from_array(cube[..., :bands], interpretation="srgb")
    got = icc.converted(image, "srgb", "p3").numpy()
    some = [(y, x) for y in range(0, 33, 5) for x in range(0, cube.shape[1], 37)]
    for at in some:
        want = icc.colour(cube[at][:3].tolist(), "p3")
        assert np.abs(got[at][:3].astype(int) - want).max() <= 1
    if bands == 4:
        assert np.array_equal(got[..., 3], cube[..., 3])


@pytest.mark.parametrize(("source", "target"), [("srgb", "p3"), ("p3", "srgb")])
def test_converted_is_what_another_engine_makes(source, target, cube):
    image = pyvips.Image.new_from_array(cube[..., :3], interpretation="srgb")
    got = icc.converted(image, source, target).numpy().astype(int)
    kinds = {"srgb": SRGB, "p3": ImageCms.ImageCmsProfile(io.BytesIO(SMALL))}
    want = ImageCms.profileToProfile(
        Image.fromarray(cube[..., :3]),
        kinds[source],
        kinds[target],
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    wrong = np.abs(got - np.asarray(want, int))
    assert wrong.max() <= 6  # LittleCMS' 8 bits are that far from the formula in dark colours
    assert wrong.mean() < 0.3


def test_there_and_back(cube):
    image = pyvips.Image.new_from_array(cube, interpretation="srgb")
    back = icc.converted(icc.converted(image, "srgb", "p3"), "p3", "srgb")
    assert np.abs(back.numpy().astype(int) - cube).mean() < 0.6
    assert (back.interpretation, back.format, back.bands) == ("srgb", "uchar", 4)


@pytest.mark.parametrize("bands", [1, 2])
def test_grey_is_the_same(bands):
    image = pyvips.Image.black(3, 2, bands=bands)
    assert icc.converted(image, "srgb", "p3") is image


# --- pictures

PATCHES = [
    *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (230, 40, 160), (30, 200, 210)),
    *((240, 180, 20), (90, 90, 90)),
]
SIDE = 32  # pixels of a patch


def patches(data):
    """What the middle of each patch looks like, frame 0 of an animation."""
    levels = shown(opened(data))
    middles = [levels[:SIDE, at : at + SIDE] for at in range(0, levels.shape[1], SIDE)]
    return np.array([np.median(one[12:20, 12:20], axis=(0, 1)) for one in middles])


@pytest.fixture(scope="module")
def vivid(encoded):
    """Vivid colours, the numbers of which are Display P3."""
    values = np.repeat(np.repeat([PATCHES], SIDE, axis=0), SIDE, axis=1)

    def vivid(name, **options):
        if name == "JPEG":
            options |= {"quality": 100, "subsampling": 0}
        elif name == "WEBP":
            options["lossless"] = True
        elif name in ("AVIF", "HEIF"):
            options |= {"quality": 100, "subsampling": "4:4:4"}
        return encoded(values, name, **{"icc_profile": SMALL} | options)

    return vivid


SAVERS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
KEEPS = ("jpg", "png", "webp", "tiff", "avif", "heic")
OFF = 4  # levels, which is what lossy encoders may be off in a flat patch


@pytest.mark.parametrize("to", [*KEEPS, "bmp"])
@pytest.mark.parametrize("source", SAVERS)
def test_display_p3_looks_the_same(source, to, vivid, run):
    data = vivid(source)
    assert probe.probe(data).header.gamut == "p3"
    made = run(data, f"quality,Q_95/format,{to}")
    want, got = patches(data), patches(made)
    assert np.abs(want - np.clip(PATCHES, 0, 255)).max() > 20  # it does make a difference
    assert np.abs(got - want).max() <= OFF
    assert opened(made).info.get("icc_profile") == (SMALL if to in KEEPS else None)


@pytest.mark.parametrize("to", KEEPS)
def test_what_it_costs(to, vivid, run):
    bare = len(run(vivid("PNG", icc_profile=None), f"format,{to}"))
    assert 0 < len(run(vivid("PNG"), f"format,{to}")) - bare < 1024


@pytest.mark.parametrize("to", KEEPS)
def test_a_srgb_picture_gets_no_profile(to, vivid, run):
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    made = run(vivid("PNG", icc_profile=profile), f"format,{to}")
    assert "icc_profile" not in opened(made).info
    assert np.abs(patches(made) - PATCHES).max() <= OFF


@pytest.mark.parametrize("to", [*KEEPS, "bmp"])
def test_other_profiles_become_srgb(to, vivid, run, described):
    wide = described(SMALL, "somebody's wide gamut")
    data = vivid("PNG", icc_profile=wide)
    made = run(data, f"quality,Q_95/format,{to}")
    assert "icc_profile" not in opened(made).info
    assert np.abs(patches(made) - patches(data)).max() <= OFF + 2


@pytest.mark.parametrize("to", ["jpg", "webp"])
@pytest.mark.parametrize("text", ["resize,w_64,h_64,m_fixed", "rotate,180", "crop,w_96,g_east"])
def test_actions_leave_it_as_it_is(text, to, vivid, run):
    p3, srgb = (
        run(vivid("PNG", icc_profile=profile), f"{text}/quality,Q_95/format,{to}")
        for profile in (SMALL, None)
    )
    assert np.array_equal(np.asarray(opened(p3)), np.asarray(opened(srgb)))
    assert opened(p3).info["icc_profile"] == SMALL


@pytest.mark.parametrize("to", [*KEEPS, "bmp"])
def test_a_colour_that_is_painted_looks_as_asked(to, vivid, run):
    text = f"resize,w_128,h_128,m_pad,color_C08040/quality,Q_95/format,{to}"
    rim = shown(opened(run(vivid("PNG"), text)))[4:20, 4:20]
    assert np.abs(np.median(rim, axis=(0, 1)) - (192, 128, 64)).max() <= OFF


def test_an_animation(vivid, run):
    frames = [opened(vivid("PNG")), opened(vivid("PNG")).rotate(180)]
    file = io.BytesIO()
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], lossless=True, icc_profile=SMALL
    )
    want = patches(vivid("PNG"))
    kept = run(file.getvalue(), "resize,w_256,limit_0/quality,Q_95")
    assert opened(kept).info["icc_profile"] == SMALL
    assert np.abs(patches(kept) - want).max() <= OFF
    gif = run(file.getvalue(), "format,gif")
    assert np.abs(patches(gif) - want).max() <= OFF
    assert probe.probe(gif).header.pages == 2


def test_transparency(run, encoded):
    values = np.full((16, 32, 4), (255, 0, 0, 255))
    values[:, 16:, 3] = 0
    made = opened(run(encoded(values, "PNG", icc_profile=SMALL), "format,bmp"))
    assert made.getpixel((4, 4)) == (255, 0, 0, 255)  # more than sRGB has
    assert made.getpixel((20, 4))[3] == 0
    jpg = opened(run(encoded(values, "PNG", icc_profile=SMALL), "format,jpg"))
    assert min(jpg.getpixel((28, 4))) >= 252
    assert jpg.info["icc_profile"] == SMALL


@pytest.mark.parametrize("source", ["png 40x27 grey p3", "jpg 40x27 grey p3", "webp 40x27"])
def test_what_is_not_p3(source, picture, run):
    data = picture(source)
    assert probe.probe(data).header.gamut == "srgb"
    assert "icc_profile" not in opened(run(data, "resize,w_20")).info


def test_16_bits_of_p3(photo, run):
    deep = pyvips.Image.new_from_array(
        photo(40, 27).astype(np.uint16) * 257, interpretation="rgb16"
    )
    data = deep.pngsave_buffer(profile="p3")
    assert (probe.probe(data).header.gamut, probe.probe(data).header.depth) == ("p3", 16)
    made = opened(run(data, "auto-orient,0"))
    assert made.info["icc_profile"] == SMALL
    assert np.array_equal(np.asarray(made), photo(40, 27))


def test_a_picture_to_be_laid_on_others_is_srgb(vivid):
    source = probe.probe(vivid("PNG"))
    made = plan.make(source.header, (), Limits(), Rendering())
    got = render.picture(source, made, lambda image: None).numpy()[16, 16::SIDE, :3]
    assert np.abs(got.astype(int) - patches(vivid("PNG"))).max() <= 2
