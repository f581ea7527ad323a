"""``strip``: each policy, from each format to each, with a marker in every place of a file."""

import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.planted import FORMATS, HAS, RIGHTS, SECRETS, planted, profile

from vipsgate.image import process
from vipsgate.image.actions import strip
from vipsgate.image.config import Limits
from vipsgate.image.formats import icc, metadata, xmp
from vipsgate.image.formats.codecs import CODECS

POLICIES = {  # the text -> what is kept
    "": set(),
    "/strip": set(),
    "/strip,keep_copyright": {"copyright"},
    "/strip,keep_icc": {"icc"},
    "/strip,keep_copyright-icc": {"copyright", "icc"},
}
ROWS = [
    (source, target, policy)
    for source, target, policy in product(FORMATS, FORMATS, POLICIES)
    # of each to each nothing and all; what is between, where the code is another one
    if policy in ("", "/strip,keep_copyright-icc") or "jpg" in (source, target) or source == target
]


@pytest.fixture(scope="module")
def results(transformed):
    """The file that comes out of a row, made once."""
    sources = {name: planted(name) for name in FORMATS}
    made = {}

    def result(row):
        source, target, policy = row
        if row not in made:
            chain = "resize,w_20" if target == source else f"format,{target}"
            made[row] = transformed(sources[source], f"{chain}{policy}")
        return made[row]

    return result


def unpacked(data):
    """The bytes with all compressed parts of a PNG, which markers may hide in."""
    if not data.startswith(b"\x89PNG"):
        return data
    at, parts = 8, [data]
    while at + 12 <= len(data):
        (size,), name = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if name in (b"iTXt", b"zTXt", b"iCCP"):
            parts += [inflated(body[start:]) for start in range(len(body))]
        at += 12 + size
    return b"\n".join(parts)


def inflated(data):
    try:
        return zlib.decompressobj().decompress(data)
    except zlib.error:
        return b""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}{row[2]}")
def test_nothing_leaks_and_what_is_kept_is_there(row, results):
    source, _, policy = row
    result, kept = results(row), POLICIES[policy]
    text = unpacked(result.data)
    assert [secret for secret in SECRETS if secret.encode() in text] == []
    assert not any(secret.encode("utf-16-le") in text for secret in SECRETS)
    assert b"jumb" not in text
    assert b"c2pa" not in text.lower()
    there = {
        kind
        for kind, values in RIGHTS.items()
        if any(value.split()[0].encode() in text for value in values)
    }
    written = result.mime.removeprefix("image/").replace("jpeg", "jpg")  # format,gif may keep it
    if "copyright" not in kept or not CODECS[written].rights:
        assert there == set()
    else:
        expected = set(HAS[source]) - {"iptc"}
        assert there == (expected & {"xmp"} if written == "gif" else expected)
    dropped = bool("copyright" in kept and HAS[source] and not CODECS[written].rights)
    dropped |= bool("icc" in kept and source not in ("gif", "bmp") and not CODECS[written].profile)
    assert ("metadata=dropped" in result.notes) == dropped
    icc_there = _profile(result.data)
    if "icc" in kept and CODECS[written].profile and source not in ("gif", "bmp"):
        assert icc.description(icc_there) == "Wide RGB of a test"
        ImageCms.ImageCmsProfile(io.BytesIO(icc_there))  # LittleCMS can read it
    else:
        assert icc_there == b""


def _profile(data):
    """The profile of a file, as Pillow reads it."""
    return Image.open(io.BytesIO(data)).info.get("icc_profile") or b""


def _exif(data):
    """Copyright and artist of a file, as Pillow reads them: bytes as characters."""
    tags = Image.open(io.BytesIO(data)).getexif()
    return tuple(tags.get(tag, "").encode("latin-1").decode() for tag in (0x8298, 0x013B))


def _xmp(data):
    """Copyright and authors, as another parser has them."""
    image = Image.open(io.BytesIO(data))
    image.load()  # a PNG's may stand behind its pixels
    if image.format == "GIF":  # of which it reads none
        _, _, rest = data.partition(b"XMP DataXMP")
        assert rest.count(b"\1\xff\xfe") == 1
        image.info["xmp"] = rest.partition(b"\1\xff\xfe")[0]
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet if isinstance(packet, bytes) else packet.encode()
    properties = xmp.read(packet)
    return properties.get(xmp.RIGHTS), properties.get(xmp.CREATOR)


@pytest.mark.parametrize("target", [name for name in FORMATS if name not in ("bmp", "gif")])
@pytest.mark.parametrize("source", ["jpg", "tiff", "png", "heic"])
def test_values_are_those_of_the_source(source, target, results):
    data = results((source, target, "/strip,keep_copyright-icc")).data
    assert _exif(data) == RIGHTS["exif"]
    copyright, author = RIGHTS["xmp"]
    assert _xmp(data) == ((copyright,), (author, "Second"))


def test_an_animation_keeps_them_in_its_own_place(transformed):
    for source, target in product(("gif", "webp"), repeat=2):
        data = transformed(
            planted(source, 3), f"resize,w_12/format,{target}/strip,keep_copyright"
        ).data
        assert Image.open(io.BytesIO(data)).n_frames == 3
        assert _xmp(data)[0] == (RIGHTS["xmp"][0],)
        assert not any(secret.encode() in data for secret in SECRETS)


EXIFTOOL = shutil.which("exiftool")
TAGS = {  # what may be said of a picture besides its pixels, by exiftool's groups
    *("IFD0:Artist", "IFD0:Copyright", "XMP-dc:Rights", "XMP-dc:Creator", "XMP-x:XMPToolkit"),
}
GROUPS = re.compile(
    r"(ExifTool|System|File|Composite|ICC|QuickTime|RIFF|PNG|GIF|JFIF|Meta|PNG-pHYs)"
)
PLAIN = re.compile(  # of EXIF's: how pixels lie there
    r"IFD0:(Image|Bits|Compression|Photometric|Strip|Orientation|Samples|Rows|[XY]Res|Resolution|"
    r"Planar|Predictor|SampleFormat|YCbCr|Extra|SubfileType|TransferFunction)|"
    r"ExifIFD:(ExifVersion|ComponentsConf|FlashpixVersion|ColorSpace|ExifImage)"
)


@pytest.mark.skipif(not EXIFTOOL, reason="needs exiftool: apt-get install libimage-exiftool-perl")
def test_exiftool_finds_nothing_else(results, tmp_path):
    rows = [row for row in ROWS if row[2] in ("/strip,keep_copyright-icc", "")]
    for number, row in enumerate(rows):
        (tmp_path / f"{number:03}.{row[1]}").write_bytes(results(row).data)
    command = [EXIFTOOL, "-j", "-a", "-u", "-U", "-G1", "-charset", "UTF8", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    files = {file["SourceFile"].rpartition("/")[2]: file for file in json.loads(done.stdout)}
    assert len(files) == len(rows)
    for number, row in enumerate(rows):
        tags = files[f"{number:03}.{row[1]}"]
        others = {
            tag for tag in tags if not (tag in TAGS or GROUPS.match(tag) or PLAIN.match(tag))
        } - {"SourceFile"}
        assert others == set(), (row, {tag: tags[tag] for tag in others})
        if row[2] and HAS[row[0]] and row[1] not in ("bmp", "gif"):
            assert tags["XMP-dc:Rights"] == RIGHTS["xmp"][0]
            assert tags["XMP-dc:Creator"] == [RIGHTS["xmp"][1], "Second"]


# --- the profile


def seen(data):
    """The colours of a file as its profile means them, in sRGB."""
    image = Image.open(io.BytesIO(data))
    own = _profile(data)
    if not own:
        return np.asarray(image.convert("RGB")).astype(int)
    space = ImageCms.ImageCmsProfile(io.BytesIO(own))
    return np.asarray(
        ImageCms.profileToProfile(image.convert("RGB"), space, ImageCms.createProfile("sRGB"))
    ).astype(int)


def narrow():
    """Colours that sRGB has, too, so that both ways can be compared."""
    y, x = np.mgrid[0:16, 0:24]
    return np.stack((90 + x * 3, 100 + y * 4, 150 - x * 2), axis=-1).astype(np.uint8)


@pytest.mark.parametrize("target", ["png", "webp", "tiff"])
@pytest.mark.parametrize(
    "chain", ["resize,w_24", "rotate,90", "resize,m_pad,w_30,h_30,color_3080C0"]
)
def test_colours_are_the_same_with_a_profile(target, chain, encoded, transformed):
    data = encoded(narrow(), "PNG", icc_profile=profile())
    lossless = "/quality,q_lossless" if target == "webp" else ""
    kept = transformed(data, f"{chain}/format,{target}{lossless}/strip,keep_icc").data
    assert icc.description(_profile(kept)) == "Wide RGB of a test"
    plain = transformed(data, f"{chain}/format,{target}{lossless}").data
    assert _profile(plain) == b""
    assert np.abs(seen(kept) - seen(plain)).max() <= 4


def test_colours_that_srgb_has_not_stay(encoded, transformed):
    values = np.full((8, 8, 3), (0, 255, 0), np.uint8)
    data = encoded(values, "PNG", icc_profile=profile())
    kept = Image.open(io.BytesIO(transformed(data, "strip,keep_icc").data))
    assert np.abs(np.asarray(kept.convert("RGB")).astype(int) - values).max() <= 2
    clear = encoded(np.dstack((values, np.full((8, 8), 128))), "PNG", icc_profile=profile())
    kept = Image.open(io.BytesIO(transformed(clear, "strip,keep_icc").data))
    assert np.abs(np.asarray(kept).astype(int) - (0, 255, 0, 128)).max() <= 2


def test_a_profile_of_srgb_or_p3_stays_with_its_pixels(encoded, transformed):
    import pyvips

    values = narrow()
    for own in (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        bytes(pyvips.Image.profile_load("p3")),
    ):
        data = encoded(values, "PNG", icc_profile=own)
        kept = transformed(data, "strip,keep_icc").data
        assert icc.description(_profile(kept)) == icc.description(own)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(kept))), values)
    assert _profile(transformed(encoded(values, "PNG"), "strip,keep_icc").data) == b""


def test_cmyk_and_grey_become_srgb_without_a_profile(picture, transformed):
    for text in ("jpg 20x10 cmyk", "png 20x10 grey", "png 20x10 grey alpha"):
        assert _profile(transformed(picture(text), "strip,keep_copyright-icc").data) == b""


DAMAGED_PROFILES = {
    "empty": b"",
    "cut": profile()[:200],
    "no tags": profile()[:128] + bytes(4),
    "tags without end": profile()[:128] + b"\xff" * 400,
    "tags behind the end": profile()[:128] + struct.pack(">I4sII", 1, b"rXYZ", 1 << 31, 1 << 31),
    "another magic": profile()[:36] + b"xxxx" + profile()[40:],
    "text": b"RGB " * 50,
}


@pytest.mark.parametrize("name", DAMAGED_PROFILES)
def test_a_damaged_profile_is_no_error(name, encoded, transformed):
    data = encoded(narrow(), "PNG", icc_profile=DAMAGED_PROFILES[name])
    result = transformed(data, "resize,w_20/strip,keep_icc").data
    assert Image.open(io.BytesIO(result)).size[0] == 20
    assert b"ICCMARK" not in unpacked(result)


def test_a_cleaned_profile_has_nothing_but_colours():
    clean = icc.cleaned(profile())
    assert b"ICCMARK" not in clean
    assert icc.cleaned(clean) == clean
    assert int.from_bytes(clean[:4]) == len(clean)
    assert ImageCms.ImageCmsProfile(io.BytesIO(clean)).profile.profile_description


# --- one of several


VALUES = {  # what a source has -> EXIF's and XMP's copyright and authors
    ("exif",): (("C", "A; B"), ("C", ("A", "B"))),
    ("xmp",): (("X", "Y; Z"), ("X", ("Y", "Z"))),
    ("iptc",): (("I", "J; K"), ("I", ("J", "K"))),
    ("exif", "xmp", "iptc"): (("C", "A; B"), ("X", ("Y", "Z"))),
    ("exif", "iptc"): (("C", "A; B"), ("I", ("J", "K"))),
    ("xmp", "iptc"): (("X", "Y; Z"), ("X", ("Y", "Z"))),
    (): (("", ""), ("", ())),
}


@pytest.mark.parametrize("kinds", VALUES, ids=" ".join)
def test_what_one_lacks_is_taken_from_another(kinds, encoded, transformed):
    parts = {
        "exif": segment(0xE1, b"Exif\0\0" + metadata.exif_block("C", "A; B")),
        "xmp": segment(0xE1, metadata.XMP_SEGMENT + xmp.written("X", ["Y", "Z"])),
        "iptc": segment(
            0xED,
            b"Photoshop 3.0\0" + resource(caption(116, "I") + caption(80, "J") + caption(80, "K")),
        ),
    }
    plain = encoded(narrow(), "JPEG")
    data = plain[:20] + b"".join(parts[kind] for kind in kinds) + plain[20:]
    result = transformed(data, "strip,keep_copyright").data
    (copyright, artist), (rights, authors) = VALUES[kinds]
    assert _exif(result) == (copyright, artist)
    assert _xmp(result) == ((rights,) if rights else None, authors or None)
    if not kinds:
        assert b"Exif" not in result


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def caption(number, text):
    return struct.pack(">BBBH", 0x1C, 2, number, len(text.encode())) + text.encode()


def resource(body):
    return b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(body)) + body + bytes(len(body) % 2)


ODD = {
    "long": ("x" * 5000, ""),
    "lines": ("one\n two\t three", "one two three"),
    "controls": ("a\x01b\x7fc", "a b c"),
    "tags": ("<rdf:li>&amp;]]>", "<rdf:li>&amp;]]>"),
    "wide": ("\U0001f600 版权", "\U0001f600 版权"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts(name, encoded, transformed):
    text, expected = ODD[name]
    plain = encoded(narrow(), "JPEG")
    block = segment(0xE1, b"Exif\0\0" + metadata.exif_block(text, ""))
    result = transformed(plain[:20] + block + plain[20:], "strip,keep_copyright").data
    assert _xmp(result)[0] == ((expected,) if expected else None)


# --- by a bucket's document


def test_a_default_is_for_who_says_nothing():
    def text(written, kept):
        return str(process.parse(f"image/{written}", Limits()).by_default(strip.keeping(kept)))

    assert text("resize,w_9", ("icc",)) == "image/resize,w_9/strip,keep_icc"
    assert text("resize,w_9", ("icc", "copyright")) == "image/resize,w_9/strip,keep_copyright-icc"
    assert text("strip/resize,w_9", ("icc",)) == "image/strip/resize,w_9"
    assert text("info", ("icc",)) == "image/info"
    assert text("resize,w_9/thumbhash", ("icc",)) == "image/resize,w_9/thumbhash"
    whole = process.parse("image" + "/crop" * 20, Limits()).by_default(strip.keeping(("icc",)))
    assert process.parse(str(whole), Limits()) == whole  # the bucket's counts for none
    noted = process.parse("image/resize,w_9,zz_1", Limits())
    assert noted.by_default(strip.keeping(("icc",))).notes == noted.notes == ("ignored=zz",)


def test_several_of_one_source_are_as_one_alone(encoded, grouped, transformed):
    """What one has decoded is for another one only where its colours are the same."""
    y, x = np.mgrid[0:120, 0:160]
    values = np.stack((x, 2 * y, 255 - x), axis=-1).astype(np.uint8)
    data = encoded(values, "JPEG", quality=95, icc_profile=profile())
    keeping = ("", "/strip,keep_icc", "/strip,keep_copyright-icc")
    texts = [f"resize,w_{width}{kept}/format,png" for width in (40, 30) for kept in keeping]
    assert grouped(data, texts) == [transformed(data, text).data for text in texts]
