"""Faces: a drawn one is found where it is, and whatever is looked at, nothing else happens."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import times
from support.faces import with_faces

from vipsgate.image import faces
from vipsgate.image.look import SIDE

pytestmark = pytest.mark.skipif(
    not faces.installed(), reason=f"there is no detector of faces: {faces.INSTALL}"
)


def found(image):
    pixels = np.asarray(image.convert("RGB"))[..., ::-1].tobytes()
    return faces.detect(pixels, *image.size)


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_faces_are_found_where_they_are_the_largest_first():
    large, small = found(with_faces((320, 240), (60, 0.8, 0.6), (120, 0.25, 0.4)))
    for (left, top, width, height), (across, down), side in (
        (large, (80, 96), 120),
        (small, (256, 144), 60),
    ):
        assert abs(left + width / 2 - across) < side / 6
        assert abs(top + height / 2 - down) < side / 4
        assert side / 2 < height < side


def test_no_face_is_none():
    assert found(Image.new("RGB", (320, 240), "#d9a88a")) == []


@settings(max_examples=times(80))
@given(st.integers(1, SIDE), st.integers(1, SIDE), st.randoms(use_true_random=False))
def test_any_size_of_anything(width, height, random):
    """What it says lies in whole numbers, and a picture of any shape does it no harm."""
    row = random.randbytes(3 * width)
    for pixels in (bytes(3 * width * height), row * height, random.randbytes(3) * width * height):
        for left, top, wide, high in faces.detect(pixels, width, height):
            assert min(wide, high) > 0
            assert left < width
            assert top < height


def test_it_holds_no_memory():
    """The module beside the library would keep 14 MB of these pictures."""
    picture = with_faces((160, 120), (80, 0.5, 0.5))
    found(picture)
    before = resident()
    for _ in range(150):
        found(picture)
    assert resident() - before < 5 << 20


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


SIZES = ((60, 60), (200, 90), (90, 200), (300, 300))


@pytest.mark.parametrize("place", [(0.15, 0.3), (0.85, 0.4), (0.5, 0.7)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_face_is_in_the_window(place, orientation, run):
    """As it is seen, however the camera was held; what is brighter elsewhere does not count."""
    upright = with_faces((600, 400), (150, *place))
    upright.paste("#ff2000", (280, 10, 330, 60))
    turn = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(upright.rotate(turn, expand=True), "JPEG", quality=92, exif=exif)
    for width, height in SIZES:
        result = run(data, f"crop,w_{width},h_{height},g_face/format,png")
        middle = np.asarray(Image.open(io.BytesIO(result)).convert("RGB")).astype(int)
        skin = (abs(middle - (226, 181, 152)) < 24).all(-1)
        assert skin.sum() > 300, (width, height)


def test_two_faces_are_kept_together_where_they_fit(run):
    data = saved(with_faces((800, 400), (150, 0.35, 0.5), (120, 0.6, 0.5)))
    faces_of = {
        size: len(found(Image.open(io.BytesIO(run(data, f"crop,{size},g_face/format,png")))))
        for size in ("w_420,h_300", "w_200,h_200")
    }
    assert faces_of == {"w_420,h_300": 2, "w_200,h_200": 1}


def test_without_a_face_it_is_as_auto(run):
    image = Image.new("RGB", (480, 320), "#464646")
    image.paste("#ff2800", (60, 50, 120, 110))
    windows = {run(saved(image), f"crop,w_100,h_100,g_{g}/format,png") for g in ("face", "auto")}
    assert len(windows) == 1
