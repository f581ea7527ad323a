"""The pictures that a server has in most tests, and fonts that tests make."""

import contextlib
import io
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY.parent / "shared" / "data"  # the guide's own pictures; not part of the project
CANARY = "canary-4711: this text lies outside of the bucket"
BUCKET = "examplebucket"


def photograph(width: int, height: int) -> Image.Image:
    """Smooth hills of colour and a little grain; no two corners look alike."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x / width, y / height
    waves = [
        120 + 90 * np.sin(3 * x + 1) * np.cos(2 * y),
        60 + 150 * y + 20 * np.sin(9 * x),
        200 - 140 * x + 25 * np.cos(7 * y + 2 * x),
    ]
    grain = np.random.default_rng(7).normal(0, 1.5, (height, width, 1))
    return Image.fromarray(np.clip(np.stack(waves, -1) + grain, 0, 255).astype("uint8"), "RGB")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 7  # Orientation
    exif[0x0131] = "vipsgate tests"  # Software
    return _saved(photograph(424, 333), "JPEG", quality=90, exif=exif)


def _frames() -> list[Image.Image]:
    colours = ("#d02020", "#20a040", "#2040c0", "#e0c020")
    return [Image.new("RGB", (120, 80), colour) for colour in colours]


def _alpha() -> Image.Image:
    """Opaque blue on the right, fully transparent on the left."""
    picture = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    picture.paste((20, 40, 200, 255), (60, 0, 120, 80))
    return picture


def _panda() -> Image.Image:
    """A logo: orange, opaque in the middle, half of it on the border, nothing in the corners."""
    picture = Image.new("RGBA", (60, 40), (250, 120, 20, 128))
    picture.paste((250, 120, 20, 255), (6, 6, 54, 34))
    for corner in ((0, 0), (54, 0), (0, 34), (54, 34)):
        picture.paste((0, 0, 0, 0), (*corner, corner[0] + 6, corner[1] + 6))
    return picture


def _deep(picture: Image.Image) -> bytes:
    """A PNG of 16 bits, which Pillow does not write."""
    levels = np.asarray(picture).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", *picture.size, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _padded(jpeg: bytes, size: int) -> bytes:
    """A valid JPEG made large by comments in front of its tables."""
    room = size - len(jpeg)
    comments = b"".join(
        b"\xff\xfe" + (65535).to_bytes(2, "big") + bytes(65533) for _ in range(room // 65537 + 1)
    )
    return jpeg[:2] + comments + jpeg[2:]


def pictures() -> dict[str, bytes]:
    """Key -> bytes of the usual bucket."""
    example = photograph(400, 267)
    jpeg = _saved(example, "JPEG", quality=80)
    panda = _saved(_panda(), "PNG")
    frames = _frames()
    return {
        "example.jpg": jpeg,
        "f.jpg": _oriented(),
        "src200.jpg": _saved(photograph(200, 100), "JPEG", quality=90),
        "sub/deep/example.jpg": jpeg,
        "alpha.png": _saved(_alpha(), "PNG"),
        "anim.gif": _saved(
            frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0
        ),
        "example.webp": _saved(example, "WEBP", quality=80),
        "example.bmp": _saved(example, "BMP"),
        "example.tiff": _saved(example, "TIFF"),
        "example.avif": _saved(example, "AVIF", quality=70),
        "anim.webp": _saved(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True
        ),
        "grey.jpg": _saved(example.convert("L"), "JPEG", quality=90),
        "grey-alpha.png": _saved(_alpha().convert("LA"), "PNG"),
        "cmyk.jpg": _saved(example.convert("CMYK"), "JPEG", quality=90),
        "deep.png": _deep(photograph(120, 80)),
        # pictures to be laid on others
        "panda.png": panda,
        "logos/small/panda.png": panda,
        "标志/熊猫.png": panda,
        "panda?.png": panda,
        ">>>???.png": panda,  # whose Base64 has all of +, / and =
        "note.txt": b"not a picture\n",
        "empty.jpg": b"",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "big21.jpg": _padded(jpeg, 21 << 20),
        "large.bin": np.random.default_rng(1).bytes(8 << 20),
        "page.html": b"<script>alert(1)</script>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "no-ending": jpeg,
        "with space.jpg": jpeg,
        "plus+plus.jpg": jpeg,
        "50%.jpg": jpeg,
        "%41.jpg": jpeg,
        "a&b=c?d#e;f.jpg": jpeg,
        "西湖/日出.jpg": jpeg,
        "back\\slash.jpg": jpeg,
        "line\nbreak.jpg": jpeg,
        ".hidden.jpg": jpeg,
        "..dots..jpg": jpeg,
        "n" * 251 + ".jpg": jpeg,  # 255 bytes, the most that a file's name can have
        "/".join(["k" * 127] * 7) + "/" + "k" * 127: jpeg,  # 1,023 bytes, the most of a key
    }


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served, with traps in and around it."""
    top = tmp_path_factory.mktemp("store")
    folder = top / "root"
    bucket = folder / BUCKET
    for key, data in pictures().items():
        path = bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    # none of these may ever be shown by way of the bucket
    for path in (
        top / "outside.txt",
        top / "outside" / "secret.txt",
        folder / "canary.txt",
        folder / ".vipsgate" / "buckets" / "x.json",
        bucket / ".vipsgate" / "canary.txt",
        bucket / "sub" / ".vipsgate" / "canary.txt",
        folder / f"{BUCKET}-secret" / "canary.txt",
        folder / f"{BUCKET}_secret" / "canary.txt",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY)
    # nor may these be laid on one of its pictures
    for path in (
        top / "outside.png",
        folder / "canary.png",
        folder / ".vipsgate" / "canary.png",
        folder / f"{BUCKET}-secret" / "canary.png",
        folder / "secret-bucket" / "canary.png",
        bucket / ".vipsgate" / "canary.png",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_saved(Image.new("RGB", (40, 30), "#ff00ff"), "PNG"))

    links = {
        "link-inside.jpg": "example.jpg",
        "link-deep.jpg": "sub/deep/example.jpg",
        "link-chain.jpg": "link-inside.jpg",
        "link-folder": "sub",
        "link-outside.txt": "../../outside.txt",
        "link-absolute.txt": str(top / "outside.txt"),
        "link-outside.png": "../../outside.png",
        "link-absolute.png": str(top / "outside.png"),
        "link-outside-folder": "../../outside",
        "link-parent": "..",
        "link-here": ".",
        "link-sibling.txt": f"../{BUCKET}-secret/canary.txt",
        "link-sibling-folder": f"../{BUCKET}_secret",
        "link-internal.txt": ".vipsgate/canary.txt",
        "link-bucket": "../secret-bucket",
        "link-panda.png": "panda.png",
        "link-internal-folder": ".vipsgate",
        "link-documents": "../.vipsgate",
        "link-chain-outside.txt": "link-outside.txt",
        "link-dangling": "nowhere",
        "link-loop": "link-loop",
        "link-device": "/dev/zero",
        "link-environment": "/proc/self/environ",
    }
    for name, aim in links.items():
        (bucket / name).symlink_to(aim)
    os.mkfifo(bucket / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as plug, contextlib.chdir(bucket):
        plug.bind("socket.jpg")  # a relative name: an address has 108 bytes at most

    if GUIDE.is_dir():
        (folder / "guide").mkdir()
        for path in GUIDE.iterdir():
            if path.is_file():  # files only: what else lies there is not for a bucket
                shutil.copyfile(path, folder / "guide" / path.name)
    return folder


@pytest.fixture(scope="session")
def guide(root: Path) -> Path:
    """A second bucket, ``guide``, with the guide's own pictures."""
    if not (root / "guide").is_dir():
        pytest.skip(f"the guide's own pictures are not in {GUIDE}")
    return root / "guide"


@pytest.fixture(scope="session")
def photo() -> Callable[[int, int], Image.Image]:
    """``photo(width, height)``: a picture that looks a little like a photograph."""
    return photograph


@pytest.fixture(scope="session")
def saved() -> Callable[..., bytes]:
    """``saved(picture, "JPEG", quality=80)``: the bytes that Pillow makes of it."""
    return _saved


@pytest.fixture(scope="session")
def bodies() -> dict[str, bytes]:
    """Key -> bytes, as the usual bucket has them."""
    return pictures()


def _font(
    family: str | dict[str, str] = "Some Sans",
    signs: str = "ab",
    *,
    weight: int = 400,
    width: int = 5,
    style: int = 0x40,
    height: int = 700,
    add: str = "",
    drop: tuple[str, ...] = (),
    **names: str,
) -> bytes:
    """A font whose glyphs are all the same bar, 700 wide on an em of 1,000."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib.tables.DefaultTable import DefaultTable

    glyphs = [".notdef", *(f"u{ord(sign):X}" for sign in signs)]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, height), (700, height), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(glyphs)
    made.setupCharacterMap({ord(sign): f"u{ord(sign):X}" for sign in signs})
    made.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    made.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 0)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": family, "styleName": "Regular", **names})
    made.setupOS2(usWeightClass=weight, usWidthClass=width, fsSelection=style)
    made.setupPost()
    if add:
        made.font[add] = DefaultTable(add)
        made.font[add].data = bytes(8)
    for table in drop:
        del made.font[table]
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


@pytest.fixture(scope="session")
def font() -> Callable[..., bytes]:
    """``font("Some Sans", "ab", weight=400)``: a font file with these signs."""
    return _font
