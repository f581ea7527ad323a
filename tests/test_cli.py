"""The commands, as a person types them."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from vipsgate.cli import main
from vipsgate.image.fonts import NAMES
from vipsgate.image.process import ANSWERS


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


def test_explain_prints_the_plan(photo):
    got = json.loads(run("render", photo, "--process", "image/resize,w_100", "--explain").output)
    assert got["process"] == "image/resize,w_100"
    assert got["source"]["width"] == 400
    assert got["shrink"] == 2.0
    assert got["stages"][-1] == {
        "action": "resize,w_100",
        "from": "400x267",
        "to": "100x67",
        "whole": False,
    }
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


def test_demo_serves_every_url_that_it_prints(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "vipsgate", "demo", "--port", "0", "--admin-port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        assert process.stdout.readline().startswith("vipsgate ready on http://127.0.0.1:")
        from vipsgate.tour import TOUR

        for stop in TOUR:
            url = process.stdout.readline().split()[-1]
            if stop.key.endswith(".txt"):
                with pytest.raises(urllib.error.HTTPError, match="400"):
                    urllib.request.urlopen(url)
                continue
            with urllib.request.urlopen(url) as answer:
                body = answer.read()
            if stop.process.removeprefix("image/") in ANSWERS:
                assert json.loads(body)
            else:
                with Image.open(io.BytesIO(body)) as image:
                    image.load()
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.stdout.close()
    assert process.wait(10) == 0
    assert rest == ""
