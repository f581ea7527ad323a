"""The commands, as a person types them."""

import base64
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from PIL import Image

from vipsgate.buckets import CdnSigning
from vipsgate.cli import main
from vipsgate.errors import OssError
from vipsgate.gate import target
from vipsgate.gate.sign import Credential, Request, cdn, verify
from vipsgate.image.fonts import NAMES


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.linear_gradient("L").convert("RGB").resize((400, 267)).save(path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_render_writes_the_result(photo, tmp_path):
    made = tmp_path / "made.png"
    assert run("render", photo, made, "--process", "image/resize,w_100/format,png").exit_code == 0
    with Image.open(made) as image:
        assert (image.format, image.size) == ("PNG", (100, 67))
    assert made.stat().st_mode & 0o777 == 0o644


def test_render_writes_the_answer_of_info(photo, tmp_path):
    made = tmp_path / "made.json"
    assert run("render", photo, made, "--process", "image/info").exit_code == 0
    assert json.loads(made.read_text())["ImageWidth"] == {"value": "400"}


def test_render_takes_a_picture_of_a_video(film, tmp_path):
    source, made = tmp_path / "film.mp4", tmp_path / "made.png"
    source.write_bytes(film(count=5))
    got = run("render", source, made, "--process", "video/snapshot,t_40,f_png,w_32")
    assert got.exit_code == 0, got.output
    with Image.open(made) as image:
        assert (image.format, image.size) == ("PNG", (32, 24))
    got = run("render", source, "--process", "video/snapshot,t_40", "--explain")
    assert (got.exit_code, "for pictures" in got.output) == (2, True)


def test_render_lays_what_is_beside_its_source(photo, tmp_path):
    made, plain = tmp_path / "made.png", tmp_path / "plain.png"
    Image.new("RGB", (30, 20), "red").save(tmp_path / "logo.png")
    logo = base64.urlsafe_b64encode(b"logo.png").decode().rstrip("=")
    process = f"image/format,png/watermark,image_{logo},g_nw,x_0,y_0"
    assert run("render", photo, made, "--process", process).exit_code == 0
    with Image.open(made) as image:
        assert image.getpixel((29, 19))[:3] == (255, 0, 0)
        assert image.getpixel((30, 19))[:3] != (255, 0, 0)
    os.remove(tmp_path / "logo.png")
    got = run("render", photo, plain, "--process", process)
    assert (got.exit_code, "logo.png" in got.output, plain.exists()) == (1, True, False)


@pytest.mark.parametrize("key", ["none.png", "folder", "photo.jpg/none", "a\0b", "\0"], ids=ascii)
def test_render_says_which_watermark_there_is_not(key, photo, tmp_path):
    """As a server does, whatever the file system makes of such a name."""
    (tmp_path / "folder").mkdir()
    text = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    got = run("render", photo, tmp_path / "made", "--process", f"image/watermark,image_{text}")
    assert got.exit_code == 1
    assert "WatermarkError: The watermark object" in got.output
    assert sorted(os.listdir(tmp_path)) == ["folder", "photo.jpg"]


def test_render_says_which_text_no_font_has(photo, tmp_path):
    text = base64.urlsafe_b64encode("a\ue000\ue001".encode()).decode().rstrip("=")
    made = tmp_path / "made.png"
    got = run("render", photo, made, "--process", f"image/watermark,text_{text}")
    assert (got.exit_code, "no font has 2 of the characters" in got.output) == (0, True)


def test_explain_prints_the_plan(photo):
    got = json.loads(run("render", photo, "--process", "image/resize,w_100", "--explain").output)
    assert got["process"] == "image/resize,w_100"
    assert got["source"]["width"] == 400
    assert got["shrink"] == 2.0
    assert got["stages"][-1] == {
        "action": "resize,w_100",
        "from": "400x267",
        "to": "100x67",
    }
    assert got["steps"] == [
        {"step": "scale 100x67", "from": "200x134", "to": "100x67", "whole": False}
    ]
    assert (got["result"]["format"], got["result"]["quality"]) == ("jpg", 85)


REFUSED = {
    # arguments behind SRC                              -> exit status, what the message names
    ("OUT", "--process", "image/resize,w_a"): (1, "InvalidArgument: The value: a of parameter: w"),
    ("OUT", "--process", "image/slim,1"): (1, "slim"),
    ("--process", "image/resize,w_1"): (2, "DST"),
    ("OUT", "--process", "image/resize,w_1", "--explain"): (2, "DST"),
    ("OUT",): (2, "--process"),
    ("OUT", "--process", "image/resize,w_1", "--config", "none.toml"): (2, "none.toml"),
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_render_refuses(arguments, photo, tmp_path):
    out = tmp_path / "out.jpg"
    got = run("render", photo, *(out if word == "OUT" else word for word in arguments))
    status, named = REFUSED[arguments]
    assert got.exit_code == status
    assert named in got.output
    assert sorted(os.listdir(tmp_path)) == ["photo.jpg"], "nothing half-written is left"


def test_render_leaves_the_old_file_when_the_source_is_broken(tmp_path):
    broken, out = tmp_path / "broken.jpg", tmp_path / "out.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    out.write_text("old")
    got = run("render", broken, out, "--process", "image/resize,w_1")
    assert got.exit_code == 1
    assert "ImageDamage" in got.output
    assert out.read_text() == "old"


def test_check_tries_every_format():
    # in a process of its own: it sets libvips up, and tries the sandbox
    got = subprocess.run(
        [sys.executable, "-m", "vipsgate", "check"], capture_output=True, text=True, check=False
    )
    for name in ("jpg", "png", "webp", "gif", "tiff", "bmp", "avif", "heic"):
        assert re.search(rf"{name} in and out\s+\S\s+yes", got.stdout)
    for name in NAMES:
        assert re.search(rf"font {name}\s+\S\s+yes", got.stdout)
    assert re.search(r"libvips\s+\S\s+yes", got.stdout)
    lacking = re.search(r"renderer sandbox\s+\S\s+NO", got.stdout) is not None
    assert got.returncode == (1 if lacking else 0), got.stdout


def test_check_names_a_font_file_that_cannot_be_used(tmp_path):
    (tmp_path / "a[b].ttf").write_bytes(b"no font")
    env = {**os.environ, "VIPSGATE_IMAGE__FONTS_DIR": str(tmp_path), "COLUMNS": "300"}
    got = subprocess.run(
        [sys.executable, "-m", "vipsgate", "check"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert got.returncode == 1
    assert re.search(r"font file\s+\S\s+NO\s+\S .*a\[b\]\.ttf'", got.stdout), got.stdout


SIGNING = """
[server]
endpoint = "oss.example.com"
region = "eu-central-1"
[[credentials]]
access_key_id = "first"
access_key_secret = "a secret"
[[credentials]]
access_key_id = "second"
access_key_secret = "another"
[buckets.photos]
domains = ["img.example.com"]
"""


def sign(tmp_path, *arguments, config=SIGNING):
    (tmp_path / "vipsgate.toml").write_text(config)
    return run("sign", *arguments, "--config", tmp_path / "vipsgate.toml")


# arguments -> how the URL begins, who signed it
SIGNED = {
    "oss://photos/a": ("http://127.0.0.1:8080/photos/a?OSSAccessKeyId=first&", "first"),
    "oss://photos/a/é+b%20 c": (
        "http://127.0.0.1:8080/photos/a/%C3%A9%2Bb%2520%20c?OSSAccessKeyId=first&",
        "first",
    ),
    "oss://photos/a --process image/resize,w_9": (
        "http://127.0.0.1:8080/photos/a?x-oss-process=image%2Fresize%2Cw_9&OSSAccessKeyId=",
        "first",
    ),
    "oss://photos/a --access-key-id second": (
        "http://127.0.0.1:8080/photos/a?OSSAccessKeyId=second&",
        "second",
    ),
    "oss://photos/a --v4": ("http://127.0.0.1:8080/photos/a?x-oss-signature-version=", "first"),
    "oss://photos/a --method put": ("http://127.0.0.1:8080/photos/a?OSSAccessKeyId=", "first"),
    "oss://photos/a --endpoint https://img.example.com": ("https://img.example.com/a?", "first"),
    "oss://photos/a --endpoint https://photos.oss.example.com/": (
        "https://photos.oss.example.com/a?",
        "first",
    ),
    "oss://photos/a --endpoint http://oss.example.com": (
        "http://oss.example.com/photos/a?",
        "first",
    ),
}


@pytest.mark.parametrize("arguments", SIGNED)
def test_sign_prints_a_url_that_the_gate_takes(arguments, tmp_path):
    begins, who = SIGNED[arguments]
    url, *options = re.split(" (?=--)", arguments)
    got = sign(tmp_path, url, *(word for option in options for word in option.split()))
    assert got.exit_code == 0, got.output
    made = got.output.strip()
    assert made.startswith(begins)
    parts = urlsplit(made)
    asked = target.resolve(
        f"{parts.path}?{parts.query}",
        parts.netloc,
        {"img.example.com": "photos"},
        "oss.example.com",
    )
    assert f"oss://{asked.bucket}/{asked.key}" == url
    method = "PUT" if "put" in arguments else "GET"
    request = Request(method, asked.bucket, asked.key, asked.query)
    known = [Credential("first", "a secret"), Credential("second", "another")]
    for seconds in (0, 3590):
        signer = verify(request, known, time.time() + seconds, "eu-central-1")
        assert signer.access_key_id == who
    with pytest.raises(OssError, match="expired"):
        verify(request, known, time.time() + 3610, "eu-central-1")


# arguments -> what the message names
UNSIGNED = {
    "photos/a": "oss://BUCKET/KEY",
    "oss://photos": "oss://BUCKET/KEY",
    "oss:///a": "oss://BUCKET/KEY",
    "oss://Photos/a": "Photos",
    "oss://photos/../a": "..",
    "oss://photos/a --expires 0": "--expires",
    "oss://photos/a --expires 604801 --v4": "604801",
    "oss://photos/a --access-key-id third": "third",
    "oss://photos/a --endpoint img.example.com": "--endpoint",
    "oss://photos/a --endpoint http://img.example.com/a": "--endpoint",
    "oss://other/a --endpoint http://img.example.com": "another bucket than other",
    "oss://photos/a?acl": "V4",
}


@pytest.mark.parametrize("arguments", UNSIGNED)
def test_sign_refuses(arguments, tmp_path):
    got = sign(tmp_path, *arguments.split())
    assert got.exit_code == 2
    assert UNSIGNED[arguments] in got.output
    assert "a secret" not in got.output


MONTH = 2_592_000  # seconds; 30 days, as in the guide's sample


@pytest.mark.parametrize("arguments", ["--timeout 2592000", "--timeout 2592000 --v4"])
def test_sign_for_as_long_as_the_guides_sample(arguments, tmp_path):
    """``--timeout`` is ossutil's word; V4 needs the server's consent."""
    words = arguments.split()
    if "--v4" in words:
        assert "1 to 604800" in sign(tmp_path, "oss://photos/a", *words).output
    config = SIGNING.replace("[server]", f"[server]\nv4_expires_max = {MONTH}")
    got = sign(tmp_path, "oss://photos/a", *words, config=config)
    assert got.exit_code == 0, got.output
    parts = urlsplit(got.output.strip())
    asked = target.resolve(f"{parts.path}?{parts.query}", parts.netloc, {}, "")
    request = Request("GET", asked.bucket, asked.key, asked.query)
    known = [Credential("first", "a secret")]
    for seconds in (0, MONTH - 10):
        assert verify(request, known, time.time() + seconds, "eu-central-1", MONTH)
    with pytest.raises(OssError, match="expired"):
        verify(request, known, time.time() + MONTH + 10, "eu-central-1", MONTH)


CDN = 'cdn_signing = {{ type = "{}", key = "aliyuncdnexp1234", valid_seconds = 60 }}\n'
PROCESS = "--process image/resize,w_9"


@pytest.mark.parametrize("kind", ["A", "B", "C"])
@pytest.mark.parametrize("place", ["configuration", "store"])
@pytest.mark.parametrize("where", ["", "--endpoint https://img.example.com"])
def test_sign_for_a_cdn(kind, place, where, tmp_path):
    config = SIGNING + CDN.format(kind)
    if place == "store":
        folder = tmp_path / ".vipsgate" / "buckets"
        folder.mkdir(parents=True)
        (tmp_path / "photos").mkdir()
        rules = tomllib.loads(CDN.format(kind))
        (folder / "photos.json").write_text(json.dumps({"domains": ["img.example.com"], **rules}))
        config = f'[store]\nurl = "file://{tmp_path}"\n'
        if where:  # of a bucket's own host only the configuration tells this command
            config += '[buckets.other]\ndomains = ["img.example.com"]\n'
            got = sign(tmp_path, "oss://photos/a", "--cdn", kind, *where.split(), config=config)
            assert "another bucket" in got.output
            return
    words = f"--cdn {kind} --expires 600 {PROCESS} {where}".split()
    got = sign(tmp_path, "oss://photos/a b.jpg", *words, config=config)
    assert got.exit_code == 0, got.output
    parts = urlsplit(got.output.strip())
    line = f"{parts.path}?{parts.query}"
    asked = target.resolve(line, parts.netloc, {"img.example.com": "photos"}, "")
    rules = CdnSigning(type=kind, key="aliyuncdnexp1234", valid_seconds=60)
    for seconds in (0, 590):
        found = cdn.check(rules, asked, line, time.time() + seconds)
        assert (found.bucket, found.key, found.process) == (
            *("photos", "a b.jpg", "image/resize,w_9"),
        )
    with pytest.raises(OssError, match="expired"):
        cdn.check(rules, asked, line, time.time() + 670)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--cdn A", "cdn_signing: is not set"),
        ("--cdn D", "--cdn"),
        ("--cdn A --v4", "neither --v4"),
        ("--cdn A --access-key-id first", "--access-key-id"),
    ],
)
def test_sign_for_a_cdn_refuses(words, named, tmp_path):
    got = sign(tmp_path, "oss://photos/a", *words.split())
    assert (got.exit_code, named in got.output) == (2, True)
    other = sign(tmp_path, "oss://photos/a", "--cdn", "C", config=SIGNING + CDN.format("A"))
    assert "cdn_signing.type is A" in other.output
    words = "--cdn A --method PUT".split()
    put = sign(tmp_path, "oss://photos/a", *words, config=SIGNING + CDN.format("A"))
    assert (put.exit_code, "GET and HEAD" in put.output) == (2, True)


def test_sign_needs_a_key(tmp_path):
    got = sign(tmp_path, "oss://photos/a", config="")
    assert got.exit_code == 2
    assert "[[credentials]]" in got.output
