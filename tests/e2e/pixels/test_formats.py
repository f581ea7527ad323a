"""Every kind of picture in every format: the right bytes, the right look, and nothing else."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, PngImagePlugin

from vipsgate.image.formats.codecs import CODECS

SIZE = (40, 27)
KINDS = (
    *("jpg q95", "jpg cmyk", "jpg grey", "jpg p3", "jpg interlaced quartered", "jpg o6"),
    *("png", "png alpha", "png palette", "png palette alpha", "png grey", "png grey alpha"),
    *("png 16bit", "png alpha 16bit", "png grey 16bit", "png grey alpha 16bit", "png 1bit"),
    *("png p3", "png alpha p3", "webp", "webp q90", "webp alpha", "webp x3", "webp alpha x3"),
    *("gif", "gif alpha", "gif x3", "tiff", "tiff cmyk", "tiff 16bit", "tiff alpha", "tiff grey"),
    *("tiff palette", "bmp", "bmp alpha", "bmp palette", "bmp grey", "bmp 1bit"),
    *("avif", "avif alpha", "avif 10bit", "heic", "heic alpha", "heic grey", "heic 10bit"),
    *("heic p3", "heic o6"),
)
MAGIC = {
    "jpg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF",
    "gif": b"GIF89a",
    "tiff": b"II*\0",
    "bmp": b"BM",
    "avif": b"ftypavif",
    "heic": b"ftypheic",
}
# format -> decibels that a result of good quality has at least, measured over all kinds and rounded
# down, and levels by which opacity may be off; 16 bits of it lose one
LOSES = {
    "jpg": (35, 0),
    "webp": (28, 1),  # a quarter of the colours, as in heic
    "avif": (40, 4),
    "heic": (27, 4),
    "gif": (33, 128),  # 256 colours; what is half transparent is one or the other
    "png": (49, 1),
    "tiff": (49, 1),
    "bmp": (49, 1),
}
INK = 29  # what libvips and Pillow make of CMYK without a profile differs


def described(kind):
    name, *words = kind.split()
    pages = next((word for word in words if word[0] == "x"), "")
    return " ".join([name, "{}x{}".format(*SIZE) + pages, *(set(words) - {pages})])


def seen(data):
    """A file's first picture in sRGB and its opacity, as Pillow and LittleCMS see it."""
    image = Image.open(io.BytesIO(data))
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":
        profile = profile or bytes(pyvips.Image.profile_load("cmyk"))
    alpha = image.convert("RGBA").getchannel("A")
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P":  # whose opacity is in the palette
        image = image.convert("RGBA")
    if profile:
        colours = image if image.mode in ("CMYK", "L") else image.convert("RGB")
        image = ImageCms.profileToProfile(
            colours,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    return np.asarray(image.convert("RGB"), float), np.asarray(alpha, float)[..., None]


def on_white(colours, alpha):
    return colours * alpha / 255 + 255 * (1 - alpha / 255)


@pytest.mark.parametrize("to", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_to_every_format(kind, to, picture, run, psnr):
    source = picture(described(kind))
    asked, to = to, kind.split()[0] if to == "gif" and "x3" not in kind else to
    data = run(source, f"quality,Q_95/format,{asked}")
    assert MAGIC[to] in data[:12]
    made = Image.open(io.BytesIO(data))
    turned = "o6" in kind
    assert made.size == (SIZE[::-1] if turned else SIZE)
    assert getattr(made, "n_frames", 1) == (3 if "x3" in kind and CODECS[to].animated else 1)
    assert made.getexif().get(0x0112, 1) == 1
    want, opacity = seen(source)
    if kind == "jpg o6":
        want, opacity = np.rot90(want, -1), np.rot90(opacity, -1)
    got, alpha = seen(data)
    least, off = LOSES[to]
    if CODECS[to].alpha:
        assert np.abs(alpha - opacity).max() <= off
    else:
        assert alpha.min() == 255
    if to == "gif":
        opacity = np.where(opacity < 128, 0.0, 255.0)
    least = min(least, INK) if "cmyk" in kind else least
    assert psnr(on_white(got, alpha), on_white(want, opacity)) >= least


WORD = "CANARY"
PROFILE = bytes(pyvips.Image.profile_load("p3"))
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{WORD}</x:xmpmeta>".encode()


def telling(name, photo):
    """A picture that says all that a file of its format can say."""
    block = Image.Exif()
    block.update({0x0112: 6, 0x010E: WORD, 0x010F: WORD, 0x0131: WORD})
    block.get_ifd(0x8825).update({0: b"\2\2\0\0", 1: "N", 29: WORD})  # GPS
    options = {"exif": block.tobytes(), "xmp": XMP, "icc_profile": PROFILE}
    if name == "jpg":
        options["comment"] = WORD
    elif name == "png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", WORD)
        text.add_text("Author", WORD, zip=True)
        options["pnginfo"] = text
        del options["xmp"]
    elif name == "gif":
        options = {"comment": WORD}
    elif name == "tiff":
        options["exif"] = block
    file = io.BytesIO()
    Image.fromarray(photo(*SIZE)).save(file, PILLOW[name], **options)
    return file.getvalue()


PILLOW = {"jpg": "JPEG", "tiff": "TIFF", "png": "PNG", "webp": "WEBP", "gif": "GIF"}
PILLOW |= {"avif": "AVIF", "heic": "HEIF"}


@pytest.mark.parametrize("text", ["", "resize,w_20/", "rotate,90/"])
@pytest.mark.parametrize("to", CODECS)
@pytest.mark.parametrize("source", PILLOW)
def test_nothing_of_the_source_is_told(source, to, text, photo, run):
    """No EXIF, no XMP, no comment comes out: neither a place nor a second turn."""
    data = telling(source, photo)
    assert WORD.encode() in data
    made = run(data, f"{text}format,{to}")
    assert WORD.encode() not in made
    image = Image.open(io.BytesIO(made))
    assert not {"exif", "xmp", "comment", "XML:com.adobe.xmp"} & {
        name for name, value in image.info.items() if value
    }
    assert image.getexif().get(0x0112, 1) == 1
    assert image.info.get("icc_profile") in (None, PROFILE)
    if not text:
        assert image.size == (SIZE if source == "gif" else SIZE[::-1])  # turned once
