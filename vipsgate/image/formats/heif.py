"""Reads and writes HEIC by pillow-heif, an optional dependency, as libvips' wheel has no HEVC.

Only the primary picture is decoded, and not when a file is opened. libheif turns and crops it as
the file says, so the EXIF orientation, which repeats that, must not be applied again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...errors import BadRequest, ImageDamage
from ..frame import P3, SRGB, Codes, Frame, Gamut, Header
from . import cicp, icc, isobmff, warnings

if TYPE_CHECKING:
    from pyvips import Image

INSTALL = "pip install 'vipsgate[heif]'"
SAMPLES = {420: 1.5, 422: 2.0, 444: 3.0}  # of a pixel, by how the colours are sampled
UNSAID = 2  # the code for "unspecified" (ITU-T H.273)
# pixels of a tile's side, of what is written in tiles: 11 bytes a pixel in place of 25 of noise at
# quality 50, 21 in place of 54 without loss; it makes a photograph 1 % larger. Phones write such
TILE = 512
KEPT = {"exif": "exif-data", "xmp": "xmp-data", "icc_profile": "icc-profile-data"}
ENCODER = {
    # a third of the next preset's time for files as large (2 megapixels: 0.5 s, 350 KB)
    "preset": "ultrafast",
    # no threads: one renderer, one CPU
    "x265:pools": "none",
    "x265:frame-threads": 1,
    # else 16 for a narrow picture, with which it takes no side above 4208
    "x265:ctu": 32,
}


def library() -> Any:
    """Return the module ``pillow_heif``, set up for one picture and one thread.

    Raises:
        BadRequest: It is not installed.
    """
    try:
        import pillow_heif

        pillow_heif.libheif_version()  # the first call that uses the compiled library
    except ImportError:
        raise BadRequest(
            f"HEIC is an optional part that is not installed here: {INSTALL}."
        ) from None
    options = pillow_heif.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return pillow_heif


def installed() -> bool:
    """Return whether HEIC can be read and written here."""
    try:
        library()
    except BadRequest:
        return False
    return True


def version() -> str:
    """Return the version of libheif, in words."""
    return f"libheif {library().libheif_version()}" if installed() else "no libheif"


def header(data: bytes) -> Header:
    """Read the header of the primary picture, as turned by libheif.

    Raises:
        BadRequest: HEIC is not installed.
        ImageDamage: Its table of contents is not valid.
        Exception: Of many classes, where libheif cannot read it.
    """
    opener, coded = library(), isobmff.coded(data)
    pictures = opener.open_heif(data)
    picture = pictures[pictures.primary_index]
    width, height = picture.size
    if not (width and height):
        raise ImageDamage("The image file may be damaged. The HEIC has no size.")
    bands = {"L": 1, "I": 1}.get(picture.mode.partition(";")[0], len(picture.mode))
    alpha, block = bool(picture.has_alpha), picture.info["exif"] or b""
    colours = SAMPLES.get(picture.info.get("chroma"), 1.0 if bands == 1 else 3.0)
    gamut, codes = _colours(picture.info)
    nclx = picture.info.get("nclx_profile", {})
    return Header(
        format="heic",
        width=width,
        height=height,
        bands=bands,
        depth=picture.info["bit_depth"],
        alpha=alpha,
        samples=colours + alpha,
        gamut=gamut if bands > 2 else SRGB,
        tagged=bands > 2 and icc.is_other(picture.info.get("icc_profile") or b""),
        codes=codes,
        hdr=cicp.is_hdr(codes),
        more=len(pictures) > 1 or isobmff.has_sequence(data),
        limited=bands == 1 and not nclx.get("full_range_flag", True),
        coded=coded,
        exif=block[6:] if block.startswith(b"Exif\0\0") else block,
    )


def load(data: bytes, header: Header) -> Image:
    """Decode the primary picture: 8 bits, or 16 for a deep grey one.

    Raises:
        ImageDamage: It has another size than its header says.
        ValueError: It cannot be decoded.
    """
    import pyvips

    pictures = library().open_heif(data)
    picture = pictures[pictures.primary_index]
    try:
        pixels = picture.data
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from None
    if picture.size != (header.width, header.height):
        raise ImageDamage(
            "The image file may be damaged. The HEIC has another size than its header says."
        )
    deep, grey = ";16" in picture.mode, header.bands == 1
    image = pyvips.Image.new_from_memory(
        pixels, *picture.size, header.bands, "ushort" if deep else "uchar"
    ).copy(interpretation="srgb" if not grey else "grey16" if deep else "b-w")
    if picture.premultiplied_alpha:
        image = image.unpremultiply().rint().cast("uchar")
    if profile := picture.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def write(image: Image, descriptor: int, frame: Frame) -> None:
    """Write 8-bit grey or RGB, with or without alpha, and the source's metadata that is kept.

    Raises:
        BadRequest: HEIC is not installed, or x265 does not take a picture like this.
    """
    encode = library().encode
    # in colour and 4:2:0 at any quality: many decoders support nothing else (HEVC Main)
    image = image.colourspace("srgb") if image.bands < 3 else image
    options: dict[str, Any] = {"quality": frame.quality, "chroma": 420}
    if frame.lossless:  # RGB, not YCbCr
        options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "full_range_flag": 1}
    if tiled(frame):
        options["tile_size"] = TILE
    if frame.gamut == P3:
        options["icc_profile"] = _profile()
    if frame.copyright or frame.profile:  # the image has no fields but those for it
        options |= {
            name: bytes(image.get(field)) for name, field in KEPT.items() if image.get_typeof(field)
        }
    pixels = image.write_to_memory()
    warnings.check()
    with os.fdopen(os.dup(descriptor), "wb") as file:
        mode, size = "RGBA" if image.hasalpha() else "RGB", (image.width, image.height)
        try:
            encode(mode, size, pixels, file, enc_params=dict(ENCODER), **options)
        except RuntimeError:  # one of 9000x3 pixels with alpha is such
            raise BadRequest(
                f"A result of {image.width}x{image.height} pixels cannot be written as heic."
            ) from None


def tiled(frame: Frame) -> bool:
    """Return whether it is written in tiles, which are encoded one at a time.

    Not with alpha, which libheif does not attach to a grid.
    """
    pays = frame.area > 4 * TILE**2 if frame.lossless else frame.large
    return pays and not frame.alpha


def _colours(info: dict[str, Any]) -> tuple[Gamut, Codes | None]:
    """Return the gamut and codes, by the profile or by the code points in its place."""
    if "icc_profile" in info:
        return icc.gamut(info["icc_profile"]), None
    nclx = info.get("nclx_profile", {})
    names = "color_primaries", "transfer_characteristics"
    return cicp.meaning(*(int(nclx.get(name, UNSAID)) for name in names))


def _profile() -> bytes:
    from pyvips import Image

    return bytes(Image.profile_load("p3"))
