"""Bytes to header, for each format; and that no bytes at all raise anything but an OssError."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import BadRequest, ImageDamage, OssError
from vipsgate.image.formats import probe

SAYS = {
    # source -> fields of the header
    "jpg 41x27 q80": {"bands": 3, "alpha": False, "quality": 80, "interlaced": False},
    "jpg 41x27 q80 quartered": {"samples": 1.5},
    "jpg 41x27 grey": {"bands": 1, "samples": 1},
    "jpg 41x27 cmyk": {"bands": 4, "samples": 4, "alpha": False},
    "jpg 41x27 interlaced": {"interlaced": True},
    "png 41x27 alpha": {"bands": 4, "alpha": True},
    "png 41x27 grey alpha": {"bands": 2, "alpha": True},
    "png 41x27 16bit": {"bands": 3, "depth": 16},
    "png 41x27 palette": {"bands": 3, "depth": 8, "alpha": False},
    "webp 41x27": {"bands": 3, "alpha": False, "pages": 1},
    "webp 41x27 alpha": {"bands": 4, "alpha": True},
    "webp 20x10x3": {"pages": 3, "height": 10},
    "gif 41x27": {"pages": 1, "alpha": False},
    "gif 20x10x3": {"pages": 3, "height": 10},
    "tiff 41x27": {"bands": 3, "pages": 1},
    "tiff 41x27 grey alpha": {"bands": 2, "alpha": True},
    "tiff 41x27 cmyk": {"bands": 4, "alpha": False},
    "tiff 41x27 16bit": {"depth": 16},
    "bmp 41x27": {"bands": 3, "alpha": False},
    "bmp 41x27 grey": {"bands": 1},
    "bmp 41x27 palette": {"bands": 3},
    "avif 41x27": {"bands": 3, "alpha": False},
    "avif 41x27 alpha": {"bands": 4, "alpha": True},
    **{f"{name} 41x27 o6": {"orientation": 6} for name in ("jpg", "png", "webp", "tiff")},
    # libheif has turned it already
    "avif 41x27 o6": {"orientation": 1, "width": 27, "height": 41},
}


@pytest.mark.parametrize("source", SAYS)
def test_says(source, picture, header):
    data = picture(source)
    told = probe.probe(data)
    described = header(source)
    fields = {"format": described.format, "width": described.width, "height": described.height}
    fields |= SAYS[source]
    assert {name: getattr(told.header, name) for name in fields} == fields
    assert told.size == len(data)


DAMAGED = "The image file may be damaged."
UNKNOWN_KIND = "The picture is of a kind that is not supported."
REFUSES = {
    "nothing": (b"", BadRequest),
    "text": (b"hello, world\n" * 9, BadRequest),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", BadRequest),
    "JPEG's mark": (b"\xff\xd8\xff", ImageDamage),
    "PNG's mark": (b"\x89PNG\r\n\x1a\n", ImageDamage),
    "WebP's mark": (b"RIFF\x10\0\0\0WEBP", ImageDamage),
    "WebP's mark in something else": (b"junkjunkWEBP" + bytes(99), BadRequest),
    "GIF's mark": (b"GIF89a", ImageDamage),
    "GIF of no frames": (b"GIF89a\x04\0\x03\0\0\0\0;", ImageDamage),
    "TIFF's mark": (b"II*\0", ImageDamage),
    "TIFF of noise": (b"MM\0*" + b"\xff" * 99, ImageDamage),
    "BMP's mark": (b"BM", ImageDamage),
    "BMP of 0x0": (
        b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 0, 0, 1, 24) + bytes(24),
        ImageDamage,
    ),
    "AVIF's mark": (b"\0\0\0\x20ftypavif" + bytes(20), ImageDamage),
    "HEIC's mark": (b"\0\0\0\x20ftypheic" + bytes(20), ImageDamage),
    "not UTF-8 in the message": (b"GIF89a\xff\xfe\xfd" * 9, ImageDamage),
}


@pytest.mark.parametrize("what", REFUSES)
def test_refuses(what):
    data, kind = REFUSES[what]
    with pytest.raises(kind) as caught:
        probe.probe(data)
    assert caught.value.message.startswith(("The object ", DAMAGED, UNKNOWN_KIND))
    assert caught.value.message.isprintable()


# what pyvips and the decoders say -> the status and the cause that is told of it
FAILURES = {
    # the first cause, not what others say behind it, nor the end of its own line
    "unable to call pngsave_target\n  vipspng: libpng read error\n"
    "vips2png: unable to write to target target\n": (403, "vipspng: libpng read error"),
    "unable to call heifsave_target\n  source: bad seek to 2132\nheif: Invalid input: Unexpected "
    "end of file: Extent in iloc box (position 275)\n (2.100)\n": (
        *(403,),
        "heif: Invalid input: Unexpected end of file: Extent in iloc box (position 275)",
    ),
    "unable to copy to memory\n  VipsJpeg: premature end of JPEG image\n": (
        *(403,),
        "VipsJpeg: premature end of JPEG image",
    ),
    "unable to call pngload_buffer\n  ": (403, "unable to call pngload_buffer"),
    "unable to call gifload_buffer\n  gifload_buffer: load error\nGIF: bad frame": (
        *(403,),
        "GIF: bad frame",
    ),
    "image file is truncated (165 bytes not processed)": (
        *(403,),
        "image file is truncated (165 bytes not processed)",
    ),
    "": (403, ""),
    # whole, perhaps, but of a kind that no decoder here reads
    "unable to call tiffsave_target\n  tiff2vips: Old-style JPEG compression support is not "
    "configured\ntiff2vips: source input: Unknown pseudo-tag 65538\n": (
        *(400,),
        "tiff2vips: Old-style JPEG compression support is not configured",
    ),
    "unable to fetch from region\n  VipsJpeg: Unsupported JPEG data precision 12\n": (
        *(400,),
        "VipsJpeg: Unsupported JPEG data precision 12",
    ),
    "Unsupported BMP compression (4)": (400, "Unsupported BMP compression (4)"),
    "unable to call heifsave_target\n  heif: Error while loading plugin: Support for this "
    "compression format has not been built in: HEVC (11.6003)\n": (
        *(400,),
        "heif: Error while loading plugin: Support for this compression format has not been built "
        "in: HEVC (11.6003)",
    ),
    # libheif's word for what is not there
    "heif: Invalid input: Non-existing item ID referenced: 'pitm' box references an unsupported or "
    "non-existing image (2.2000)": (
        *(403,),
        "heif: Invalid input: Non-existing item ID referenced: 'pitm' box references an "
        "unsupported or non-existing image (2.2000)",
    ),
}


@pytest.mark.parametrize("text", FAILURES, ids=lambda text: text[-40:])
def test_the_reason_is_the_first_cause(text):
    status, cause = FAILURES[text]
    error = probe.unreadable(ValueError(text))
    begin = DAMAGED if status == 403 else UNKNOWN_KIND
    assert (error.status, error.message) == (status, f"{begin} {cause}".rstrip())


SMALL = [
    *("jpg 9x8 o6", "jpg 9x8 interlaced", "png 9x8 alpha", "png 9x8 palette", "webp 9x8 alpha"),
    *("webp 4x3x2", "gif 9x8", "gif 4x3x3", "tiff 9x8", "bmp 9x8", "bmp 9x8 palette", "avif 9x8"),
    *("heic 9x8", "heic 9x8 alpha", "png 9x8 p3", "jpg 9x8 p3"),
]


def survives(data, run):
    """A picture or an OssError of the picture's; nothing else."""
    refused = None
    try:
        run(data, "resize,w_5,h_5,m_pad/format,png")
    except OssError as error:
        refused = error
    if refused:
        assert refused.code in ("ImageDamage", "BadRequest", "ImageTooLarge")
        assert refused.message.isprintable()
    return not refused


@pytest.mark.parametrize("source", SMALL)
def test_cut_at_every_byte(source, picture, run):
    data = picture(source)
    assert survives(data, run)
    step = max(1, len(data) // times(300))
    drawn = [end for end in range(0, len(data), step) if survives(data[:end], run)]
    assert not [end for end in drawn if end < 20]


# of libvips' warnings pyvips cannot read those that name a chunk in bytes that are not UTF-8
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("source", SMALL)
def test_mutated(source, picture, run):
    data = picture(source)

    @settings(deadline=None, max_examples=times(60), database=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=6
        ),
        st.booleans(),
    )
    def mutate(changes, front):
        made = bytearray(data)
        for at, value in changes:
            made[at % 64 if front else at] = value
        survives(bytes(made), run)

    mutate()


@settings(deadline=None, max_examples=times(100))
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"GIF89a", b"II*\0\x08\0\0\0", b"BM", b"RIFF....WEBPVP8 "]
    ),
    st.binary(max_size=200),
)
def test_noise(run, mark, noise):
    survives(mark + noise, run)


ORIENTATIONS = (0, 9, 255, 65535)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tiff"])
def test_no_such_orientation(name, orientation, picture):
    assert probe.probe(picture(f"{name} 9x8 o{orientation}")).header.orientation == 1
