"""Names of pictures that are painted: what is read, what there is none of, and what is foreseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import NoSuchKey, OssError
from vipsgate.image import process
from vipsgate.image.config import Limits
from vipsgate.image.formats.codecs import CODECS
from vipsgate.image.synthetic.scene import KINDS, Scene, read

LIMITS = Limits()
READS = {
    "photo-4000x3000-17.jpg": Scene("photo", 4000, 3000, 1, 17, "jpg"),
    "alpha-800x600-3.png": Scene("alpha", 800, 600, 1, 3, "png"),
    "anim-300x300x24-5.gif": Scene("anim", 300, 300, 24, 5, "gif"),
    "photo-1x1-0.bmp": Scene("photo", 1, 1, 1, 0, "bmp"),
    "photo-9x9-999999999999999999.avif": Scene("photo", 9, 9, 1, 10**18 - 1, "avif"),
    "photo-30000x1-1.jpg": Scene("photo", 30000, 1, 1, 1, "jpg"),
    "photo-4096x2304-1.avif": Scene("photo", 4096, 2304, 1, 1, "avif"),
    "anim-10x10x500-1.webp": Scene("anim", 10, 10, 500, 1, "webp"),
}
NONE = {  # name -> what the message tells
    "": "KIND",
    "photo": "KIND",
    "photo-4000x3000-17": "KIND",
    "photo-4000x3000-17.jpeg": "KIND",
    "photo-4000x3000-17.JPG": "KIND",
    "photo-4000x3000-17.heic": "KIND",
    "photo-4000x3000-17.jpg ": "KIND",
    "photo-4000x3000-17.jpg\n": "KIND",
    " photo-4000x3000-17.jpg": "KIND",
    "Photo-4000x3000-17.jpg": "KIND",
    "film-4000x3000-17.jpg": "KIND",
    "photo-4000X3000-17.jpg": "KIND",
    "photo-4000-17.jpg": "KIND",
    "photo-4000x-17.jpg": "KIND",
    "photo-0x3000-17.jpg": "KIND",
    "photo-04000x3000-17.jpg": "KIND",
    "photo--4000x3000-17.jpg": "KIND",
    "photo-+4000x3000-17.jpg": "KIND",
    "photo-４０００x3000-17.jpg": "KIND",  # digits, but not ours
    "photo-4000x3000-017.jpg": "KIND",
    "photo-4000x3000--1.jpg": "KIND",
    "photo-4000x3000-1e3.jpg": "KIND",
    "photo-4000x3000-.jpg": "KIND",
    "photo-4000x3000-1000000000000000000.jpg": "KIND",
    "photo-4000x3000-17.jpg.jpg": "KIND",
    "photo-4000x3000-17.jpg/image": "KIND",
    "alpha-800x600-3.jpg": "KIND",
    "anim-300x300x24-5.png": "KIND",
    "photo-300x300x24-5.gif": "anim",
    "photo-300x300x1-5.gif": "anim",
    "anim-300x300-5.gif": "anim",
    "anim-300x300x1-5.gif": "anim",
    "anim-300x300x0-5.gif": "KIND",
    "anim-10x10x5001-5.gif": "5001 frames",
    "anim-7x300x9-5.gif": "8 pixels",
    "photo-30001x1-1.jpg": "30000",
    "photo-999999x999999-1.jpg": "30000",
    "photo-9999999x1-1.jpg": "KIND",
    "photo-16000x16000-1.jpg": "250000000",
    "anim-1000x1000x251-1.webp": "250000000",
    "photo-16385x9-1.tiff": "16384",
    "photo-16384x9-1.webp": "16383x16383",
    "photo-4097x9-1.avif": "4096x2304",
    "photo-9x2305-1.avif": "4096x2304",
    "photo-12000x12000-1.webp": "memory",
    "photo-12000x12000-1.bmp": "memory",
    "anim-1000x1000x200-1.gif": "time",
}


@pytest.mark.parametrize("name", READS)
def test_reads(name):
    assert read(name, LIMITS) == READS[name]
    assert str(READS[name]) == name


@pytest.mark.parametrize("name", NONE)
def test_there_is_none(name):
    with pytest.raises(NoSuchKey, match="does not exist") as caught:
        read(name, LIMITS)
    assert NONE[name] in caught.value.message
    assert caught.value.extra == {"Key": name}


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("photo-101x9-1.jpg", Limits(source_side=100)),
        ("photo-50x21-1.jpg", Limits(source_pixels=1000)),
        ("anim-9x9x6-1.gif", Limits(frames=5)),
        ("photo-99x99-1.jpg", Limits(render_bytes=1 << 20)),
    ],
)
def test_limits_are_those_of_sources(name, limits):
    read(name, LIMITS)
    with pytest.raises(NoSuchKey):
        read(name, limits)


@given(st.text() | st.from_regex(r"[a-z]+-[0-9]{1,8}x[0-9]{1,8}(x[0-9]+)?-[0-9]+\.[a-z]+"))
def test_any_text_is_a_picture_or_none(name):
    try:
        scene = read(name, LIMITS)
    except NoSuchKey:
        return
    assert str(scene) == name
    assert scene.cost.within(LIMITS.render_seconds, LIMITS.render_bytes)


def test_every_kind_is_one_that_its_formats_can_hold():
    for kind, formats in KINDS.items():
        for name in formats:
            codec = CODECS[name]
            assert kind != "alpha" or codec.alpha
            assert kind != "anim" or codec.animated


def test_what_is_larger_costs_more():
    small, large = (read(f"photo-{size}-1.jpg", LIMITS).cost for size in ("100x75", "4000x3000"))
    assert small.within(0.25, 128 << 20)  # a quick one
    assert not large.within(0.25, 128 << 20)
    assert read("anim-300x300x24-5.gif", LIMITS).cost.pages == 24
    high, wide = (read(f"photo-{size}-1.jpg", LIMITS).cost for size in ("500x20000", "20000x500"))
    assert high.memory < wide.memory  # whose lines are longer


BEGINNINGS = st.sampled_from(["", "image/", "video/", "sys/", "style/", "explain/", "paint/", "|"])
WORDS = st.sampled_from(["resize,w_9", "info", "photo-9x9-1.jpg", "paint", "paint/", "/", "|", ","])


@given(BEGINNINGS, st.lists(WORDS | st.text(max_size=9), max_size=4).map("".join))
def test_no_text_of_a_client_is_one_to_paint(begin, rest):
    """What a renderer is told is the canonical text of what the client has said."""
    try:
        told = str(process.parse(begin + rest, LIMITS))
    except OssError:
        return
    assert told.startswith(("image/", "video/"))
