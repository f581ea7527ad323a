"""``vipsgate srcset``, as a person types it; every URL that it prints is asked of the pipeline."""

import json
import re
import time
from html import unescape
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from PIL import Image

import vipsgate
from vipsgate.cli import main
from vipsgate.gate import target
from vipsgate.gate.sign import Credential, Request, verify

KEY = "西湖/a +100%.jpg"  # what has to be escaped in a path
CONFIG = """
[server]
region = "eu-central-1"
[store]
url = "file://{root}"
[[credentials]]
access_key_id = "first"
access_key_secret = "a secret"
[buckets.photos]
acl = "public-read"
domains = ["img.example.com"]
[buckets.photos.styles]
square = "image/resize,m_fill,w_600,h_600"
small = "image/resize,w_100"
marked = "image/resize,w_500/watermark,image_bG9nby5wbmc,g_se"
[buckets.guarded]
acl = "public-read"
[buckets.guarded.styles]
small = "image/resize,w_100"
large = "image/resize,w_400"
[buckets.guarded.protection]
enabled = true
extensions = ["jpg"]
[buckets.secret]
acl = "private"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photo, saved):
    """A store with three buckets, and the configuration beside it."""
    folder = tmp_path_factory.mktemp("srcset")
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: on its side
    data = saved(photo(1200, 800), "JPEG", quality=90, exif=exif)
    for bucket in ("photos", "guarded", "secret"):
        path = folder / "store" / bucket / KEY
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    (folder / "store" / "photos" / "logo.png").write_bytes(saved(photo(40, 20), "PNG"))
    (folder / "store" / "photos" / "notes.txt").write_bytes(b"no picture")
    (folder / "vipsgate.toml").write_text(CONFIG.format(root=folder / "store"))
    return folder


@pytest.fixture
def run(folder):
    def run(name, *arguments):
        words = ["srcset", name, "--config", str(folder / "vipsgate.toml"), *arguments]
        return CliRunner().invoke(main, words)

    return run


def candidates(result):
    """Widths and targets of the last source, read as a browser and a server read them."""
    assert result.exit_code == 0, result.output
    text = unescape(re.findall(r'srcset="([^"]*)"', result.stdout)[-1])
    rows = [row.rsplit(" ", 1) for row in text.split(", ")]
    return {int(width.removesuffix("w")): read(url) for url, width in rows}


def read(url):
    parts = urlsplit(url)
    line = f"{parts.path}?{parts.query}"
    return target.resolve(line, parts.netloc, {"img.example.com": "photos"}, "")


def test_widths_are_of_the_upright_picture_and_urls_lead_to_them(run, folder):
    rows = candidates(got := run(f"photos/{KEY}"))
    assert got.stderr == ""
    assert (min(rows), max(rows)) == (320, 800)
    assert 3 <= len(rows) <= 6
    assert 'width="800" height="1200" alt="a +100%.jpg"' in got.stdout
    assert 'sizes="(max-width: 800px) 100vw, 800px"' in got.stdout
    data = (folder / "store" / "photos" / KEY).read_bytes()
    for width, wanted in rows.items():
        assert (wanted.bucket, wanted.key) == ("photos", KEY)
        assert vipsgate.transform(data, wanted.process).width == width


def test_json_has_the_bytes_as_predicted(run, folder):
    document = json.loads(run(f"oss://photos/{KEY}", "--json", "--format", "webp").stdout)
    (source,) = document["sources"]
    data = (folder / "store" / "photos" / KEY).read_bytes()
    for one in source["candidates"]:
        picture = vipsgate.transform(data, read(one["url"]).process)
        assert (picture.width, picture.height, picture.mime) == (
            one["width"],
            one["height"],
            "image/webp",
        )
        assert one["bytes"] == pytest.approx(len(picture.data), rel=0.4)
    assert document["src"] == source["candidates"][-1]["url"]


# options -> widths, and the process of the largest
WIDTHS = {
    "--widths 640,200,200": ([200, 640], "image/resize,w_640"),
    "--widths 200,4000,5000": ([200, 800], "image/resize,w_800"),  # never above the source
    "--sizes 150px": ([150, 300], "image/resize,w_300"),
    "--layout 150 --dpr 1.5 --max 2": ([150, 225], "image/resize,w_225"),
    "--style square --widths 300,600,700": (
        [300, 600],
        "style/square|image/resize,w_600",
    ),
    "--process image/rotate,90 --widths 900": ([900], "image/rotate,90|image/resize,w_900"),
    "--style small": ([100], "style/small|image/resize,w_100"),
    "--style marked --widths 400": ([400], "style/marked|image/resize,w_400"),
    "--style small --style square --style small": ([100, 600], "style/square"),
    "--widths 320 --format png": ([320], "image/resize,w_320/format,png"),
}


@pytest.mark.parametrize("options", WIDTHS)
def test_options(options, run):
    rows = candidates(run(f"photos/{KEY}", *options.split()))
    assert (list(rows), rows[max(rows)].process) == WIDTHS[options]


def test_a_width_that_is_left_out_is_told(run):
    assert "the picture is 800 wide" in run(f"photos/{KEY}", "--widths", "320,900").stderr


def test_several_formats_are_a_picture_with_widths_of_their_own(run):
    got = run(f"photos/{KEY}", "--format", "avif", "--format", "png")
    assert re.findall(r'type="([^"]*)"', got.stdout) == ["image/avif"]
    avif, png = re.findall(r'srcset="([^"]*)"', got.stdout)
    assert "format%2Cavif" in avif
    assert "format%2Cpng" in png
    assert avif.count("w,") < png.count("w,"), "fewer bytes are worth fewer widths"


@pytest.mark.parametrize("options", ["", "--v4"])
def test_signed_urls_are_those_that_the_gate_takes(options, run):
    rows = candidates(run(f"secret/{KEY}", "--sign", "--widths", "320,500", *options.split()))
    for width, wanted in rows.items():
        assert wanted.process == f"image/resize,w_{width}"
        request = Request("GET", wanted.bucket, wanted.key, wanted.query)
        known = [Credential("first", "a secret")]
        assert verify(request, known, time.time(), "eu-central-1").access_key_id == "first"


def test_urls_lead_to_the_endpoint(run):
    got = run(f"photos/{KEY}", "--widths", "320", "--endpoint", "https://img.example.com")
    assert 'src="https://img.example.com/%E8%A5%BF%E6%B9%96/a%20%2B100%25.jpg?' in got.stdout


# bucket and options -> what anonymous browsers would be told
NOTES = {
    "secret": "because of bucket acl",
    "secret --sign": "",
    "guarded": "source image",
    "guarded --style small": "source image",  # with a width behind it, it is no pure style any more
    "guarded --style small --style large": "",
}


@pytest.mark.parametrize("case", NOTES)
def test_urls_that_browsers_cannot_use_are_told(case, run):
    bucket, *options = case.split()
    got = run(f"{bucket}/{KEY}", *options)
    assert got.exit_code == 0
    assert ("refused" in got.stderr) is bool(NOTES[case]), got.stderr
    assert NOTES[case] in got.stderr


# arguments -> exit status, what the message names
REFUSED = {
    "photos": (2, "BUCKET/KEY"),
    "/a.jpg": (2, "BUCKET/KEY"),
    "photos/none.jpg": (1, "does not exist"),
    "none/a.jpg": (1, "no bucket none"),
    "photos/notes.txt": (1, "known format"),
    "photos/logo.png --style none": (1, "No Such Image Style"),
    "photos/logo.png --process image/slim,1": (1, "slim"),
    "photos/logo.png --style small --process image/blur,r_3,s_2": (2, "--style or --process"),
    "photos/logo.png --style small --style marked --format png": (2, "several styles"),
    "photos/logo.png --widths 0": (2, "1 to 16384"),
    "photos/logo.png --widths 9,x": (2, "auto"),
    "photos/logo.png --widths ,": (2, "auto"),
    "photos/logo.png --format gif": (2, "gif"),
    "photos/logo.png --sign --access-key-id third": (2, "third"),
    "photos/logo.png --sign --v4 --expires 604801": (2, "604800"),
    "photos/logo.png --endpoint http://other.example.com/x": (2, "--endpoint"),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_is_refused(arguments, run):
    got = run(*arguments.split())
    assert (got.exit_code, got.stdout) == (REFUSED[arguments][0], "")
    assert REFUSED[arguments][1] in got.stderr
