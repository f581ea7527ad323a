"""The demo bucket: every picture is what its line says, and the folder is whole or absent."""

import io
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from vipsgate import demo
from vipsgate.demo import films, flight, land, things
from vipsgate.demo.tour import TOUR
from vipsgate.image.answers import ANSWERS

Facts = dict[str, object]

# key: format, stored width and height in pixels, and what else makes the picture worth its place
STORED: dict[str, tuple[str, int, int, Facts]] = {
    "mountains.jpg": ("JPEG", 2400, 1600, {"mode": "RGB", "profile": False, "exif": False}),
    "sea.jpg": ("JPEG", 1600, 1067, {"progressive": True}),
    "portrait-phone.jpg": ("JPEG", 1200, 900, {"orientation": 6, "exif": True}),
    "logo.png": ("PNG", 480, 480, {"mode": "RGBA", "corner alpha": 0}),
    "leaf.png": ("PNG", 1024, 768, {"mode": "RGBA", "corner alpha": 0}),
    "palette.png": ("PNG", 900, 675, {"mode": "P"}),
    "wide-gamut.jpg": ("JPEG", 1200, 800, {"mode": "RGB", "profile": True}),
    "cmyk.jpg": ("JPEG", 1200, 800, {"mode": "CMYK", "profile": True}),
    "spinner.gif": ("GIF", 240, 240, {"frames": 16, "transparent": True}),
    "waves.webp": ("WEBP", 480, 320, {"frames": 16}),
    "bay.webp": ("WEBP", 1280, 853, {"frames": 1}),
    "chart.bmp": ("BMP", 800, 500, {"mode": "RGB"}),
    "scan.tiff": ("TIFF", 640, 640, {"mode": "I;16", "compression": "tiff_lzw"}),
    "garden.avif": ("AVIF", 1200, 900, {"frames": 1}),
    "travel/西湖 sunrise.jpg": ("JPEG", 1500, 1000, {"mode": "RGB"}),
}
LARGEST_BUCKET = 6_000_000  # bytes
ORIENTATION, MAKE, MODEL, DATE_TIME, GPS = 0x0112, 0x010F, 0x0110, 0x0132, 0x8825  # EXIF tags


def facts(picture: Image.Image) -> Facts:
    return {
        "mode": picture.mode,
        "profile": "icc_profile" in picture.info,
        "exif": MAKE in picture.getexif(),
        "orientation": picture.getexif().get(ORIENTATION),
        "progressive": "progressive" in picture.info,
        "compression": picture.info.get("compression"),
        "frames": getattr(picture, "n_frames", 1),
        "transparent": "transparency" in picture.info,
        "corner alpha": picture.convert("RGBA").getchannel("A").getpixel((0, 0)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo is run."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def urls(folder: Path) -> Iterator[list[str]]:
    """What ``vipsgate demo`` prints, while it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vipsgate", "demo", "--port", "0", "--admin-port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline().startswith("vipsgate ready on http://127.0.0.1:")
        console = process.stdout.readline().split()[-1]
        assert "/console/login#console:" in console
        yield [process.stdout.readline().split()[-1] for _ in TOUR]
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.stdout.close()
    assert process.wait(10) == 0
    assert rest == ""


@pytest.fixture(scope="module")
def bucket(folder: Path, urls: list[str]) -> Path:
    """The pictures that it has made."""
    return folder / "vipsgate-demo" / demo.BUCKET


def test_every_url_that_is_printed_answers(urls: list[str]) -> None:
    for stop, url in zip(TOUR, urls, strict=True):
        if stop.key.endswith(".txt"):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                urllib.request.urlopen(url)
            continue
        with urllib.request.urlopen(url) as answer:
            body = answer.read()
        if stop.process.rpartition("/")[2].partition(",")[0] in ANSWERS:
            assert json.loads(body)
        else:
            with Image.open(io.BytesIO(body)) as image:
                image.load()


@pytest.fixture
def one_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of one quick row, for the tests of the folder."""
    monkeypatch.setattr(demo, "PICTURES", {"notes.txt": demo.PICTURES["notes.txt"]})


def test_bucket_is_the_table(bucket: Path) -> None:
    made = {path.relative_to(bucket).as_posix() for path in bucket.rglob("*") if path.is_file()}
    assert made - {flight.KEY} == set(demo.PICTURES) == {*STORED, "notes.txt"}


def test_the_video_is_one(bucket: Path) -> None:
    av = pytest.importorskip("av", reason="pip install 'vipsgate[video]'")
    if flight.ENCODER not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {flight.ENCODER}")
    with av.open(str(bucket / flight.KEY)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
        keys = [frame.time for frame in container.decode(stream) if frame.key_frame]
        assert (stream.frames, keys) == (120, [0, 4, 8])


def test_without_pyav_only_the_video_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert flight.video(Path("nowhere")) == b""


@pytest.mark.parametrize("key", STORED)
def test_picture_is_what_the_table_says(bucket: Path, key: str) -> None:
    kind, width, height, expected = STORED[key]
    with Image.open(bucket / key) as picture:
        assert (picture.format, *picture.size) == (kind, width, height)
        found = facts(picture)
    assert {name: found[name] for name in expected} == expected


def test_phone_says_who_when_and_where(bucket: Path) -> None:
    with Image.open(bucket / "portrait-phone.jpg") as picture:
        exif = picture.getexif()
        assert (exif[MAKE], exif[MODEL]) == ("Vipsgate", "Demo Phone")
        assert exif[DATE_TIME] == "2024:06:21 21:47:00"
        where = exif.get_ifd(GPS)
    assert (where[1], where[3]) == ("N", "W")
    assert [round(float(part), 1) for part in where[2]] == [44.0, 29.0, 30.5]


def test_shadows_are_half_transparent(bucket: Path) -> None:
    with Image.open(bucket / "leaf.png") as picture:
        shares = picture.getchannel("A").histogram()
    assert sum(shares[20:110]) > 10_000


def test_bucket_is_small(bucket: Path) -> None:
    assert sum(path.stat().st_size for path in bucket.rglob("*")) < LARGEST_BUCKET


def test_painting_twice_gives_the_same_pixels() -> None:
    for paint in (things.logo, land.aurora, films.spinner):
        assert paint().write_to_memory() == paint().write_to_memory()


def test_reading_the_table_does_not_load_libvips() -> None:
    code = "import sys, vipsgate.demo; sys.exit('pyvips' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("one_note")
def test_leftover_of_a_killed_run_does_not_disturb(tmp_path: Path) -> None:
    leftover = tmp_path / ".shop-k1ll3d" / demo.BUCKET
    leftover.mkdir(parents=True)
    (leftover / "half.jpg").write_bytes(b"\xff\xd8")
    demo.make(tmp_path / "shop")
    assert [path.name for path in (tmp_path / "shop" / demo.BUCKET).iterdir()] == ["notes.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"shop", ".shop-k1ll3d"}


@pytest.mark.usefixtures("one_note")
def test_existing_folder_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    demo.make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spill() -> str:
        raise OSError("no space left")

    monkeypatch.setattr(demo, "PICTURES", {"notes.txt": demo.Picture("spilt", spill)})
    with pytest.raises(OSError, match="no space"):
        demo.make(tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []


def test_faster_run_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken() -> str:
        (tmp_path / "shop" / demo.BUCKET).mkdir(parents=True)
        return "late"

    monkeypatch.setattr(demo, "PICTURES", {"notes.txt": demo.Picture("late", overtaken)})
    demo.make(tmp_path / "shop")
    assert list((tmp_path / "shop" / demo.BUCKET).iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
