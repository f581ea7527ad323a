"""``X-Vipsgate-Notes``: from renderer and caches, explained, counted; refused if strict."""

import base64
import http.client
import io
import json
import struct
import zlib

import pillow_heif
import pytest
from PIL import Image

CONFIG = """
[buckets.plain]
acl = "public-read"
[buckets.strict]
acl = "public-read"
strict = true
"""


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


APNG = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"IDAT", zlib.compress(bytes(25) * 8)),
        chunk(b"IEND", b""),
    )
)
BRIGHT = b"".join(  # in BT.2020 with PQ (H.273)
    (
        APNG[:33],
        chunk(b"cICP", bytes((9, 16, 0, 1))),
        chunk(b"IDAT", zlib.compress(bytes(25) * 8)),
        chunk(b"IEND", b""),
    )
)
NOWHERE = base64.urlsafe_b64encode("\U0010fffd".encode()).decode().rstrip("=")  # in no font
ROWS = [
    # key, process, notes; "" for none
    ("example.jpg", "image/resize,w_50,zz_1", "ignored=zz"),
    ("example.jpg", "image/resize,w_500", "limit=source"),
    ("example.jpg", "image/resize,w_500,zz_1", "ignored=zz; limit=source"),
    ("example.jpg", "image/format,gif", "format-kept=jpg"),
    ("example.jpg", "image/crop,w_900", "clipped=crop"),
    ("example.jpg", "image/watermark,text_SGk", "font=stand-in"),
    ("example.jpg", f"image/watermark,text_{NOWHERE}", "font=stand-in; glyphs=missing"),
    ("moving.png", "image/resize,w_4", "apng=first-frame"),
    ("pages.tif", "image/format,png", "pages=first"),
    ("moving.avif", "image/format,png", "pages=first"),
    ("burst.heic", "image/format,png", "pages=first"),
    ("bright.png", "image/resize,w_4", "hdr=clipped"),
    ("example.jpg", "image/resize,w_50", ""),
    ("example.jpg", "image/info", ""),
    ("example.jpg", "", ""),
]


def two(name):
    file, page = io.BytesIO(), Image.new("RGB", (64, 64), "red")
    if name == "HEIC":
        burst = pillow_heif.from_pillow(page)
        burst.add_from_pillow(page)
        burst.save(file)
    else:
        page.save(file, name, save_all=True, append_images=[page])
    return file.getvalue()


@pytest.fixture(scope="module")
def notes_root(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in ("plain", "strict"):
        place = folder / "root" / bucket
        place.mkdir(parents=True)
        (place / "example.jpg").write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
        (place / "moving.png").write_bytes(APNG)
        (place / "bright.png").write_bytes(BRIGHT)
        (place / "pages.tif").write_bytes(two("TIFF"))
        (place / "moving.avif").write_bytes(two("AVIF"))
        (place / "burst.heic").write_bytes(two("HEIC"))
    return folder


def start(serving, folder):
    options = ("--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache"))
    return serving(folder / "root", *options)


@pytest.fixture(scope="module")
def own(serving, notes_root):
    with start(serving, notes_root) as site:
        yield site


def admin(site, path):
    line = http.client.HTTPConnection("127.0.0.1", site.admin_port, timeout=20)
    line.request("GET", path)
    text = line.getresponse().read().decode()
    line.close()
    return text


def path(bucket, key, process):
    return f"/{bucket}/{key}" + (f"?x-oss-process={process}" if process else "")


@pytest.mark.parametrize(("key", "process", "told"), ROWS)
def test_told_each_time_and_explained(own, key, process, told):
    target = path("plain", key, process)
    for _ in range(3):
        answer = own.ask(target)
        assert (answer.status, answer.headers.get("X-Vipsgate-Notes", "")) == (200, told)
    assert own.ask(target, method="HEAD").headers.get("X-Vipsgate-Notes", "") == told
    assert "; ".join(json.loads(admin(own, f"/explain{target}"))["notes"] or []) == told


@pytest.mark.parametrize(("key", "process", "told"), ROWS)
def test_refused_in_a_strict_bucket(own, key, process, told):
    answer = own.ask(path("strict", key, process))
    if not told:
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert told.split("; ")[0] in answer.message


def test_counted(own):
    def count(name):
        start = f'vipsgate_notes_total{{note="{name}"}} '
        rows = admin(own, "/metrics").splitlines()
        return sum(float(row.removeprefix(start)) for row in rows if row.startswith(start))

    before = count("limit")
    for _ in range(3):
        own.ask(path("plain", "example.jpg", "image/resize,w_600"))
    assert count("limit") == before + 3


def test_the_disk_keeps_them(serving, notes_root):
    target = path("plain", "example.jpg", "image/resize,w_700")
    for tier in ("miss", "hit"):
        with start(serving, notes_root) as site:
            answer = site.ask(target)
            assert answer.headers["X-Vipsgate-Cache"] == tier
            assert answer.headers["X-Vipsgate-Notes"] == "limit=source"
