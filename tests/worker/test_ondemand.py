"""Of a local source no more is read than is asked for; one that changes meanwhile is told of."""

import io
import os
import time

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image
from support.examples import THOROUGH

from vipsgate import errors
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import ondemand
from vipsgate.worker import fontfiles, main
from vipsgate.worker.interrupt import Interrupt
from vipsgate.worker.jobs import Worker
from vipsgate.worker.protocol import Batch, Job, Output

WIDTH, HEIGHT = 1300, 1100
FEW = 160 << 10  # bytes: a header, some strips or tiles
TOP = "image/crop,w_200,h_100"


def photo():
    """4 MB of pixels in which each row and column is another one."""
    image = pyvips.Image.xyz(WIDTH, HEIGHT)
    wave = (image[0] * 0.7 + image[1] * 1.3) % 256
    noise = pyvips.Image.gaussnoise(WIDTH, HEIGHT, mean=0, sigma=9, seed=3)
    return (wave.bandjoin([image[0] % 251, image[1] % 241]) + noise).cast("uchar")


def pillow(kind, **options):
    pixels = np.random.default_rng(5).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def animated():
    pixels = np.random.default_rng(5).integers(0, 256, (6, 400, 500, 3), dtype=np.uint8)
    first, *others = map(Image.fromarray, pixels)
    file = io.BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=others, quality=90, method=0)
    return file.getvalue()


def heic():
    pixels = np.random.default_rng(5).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    file = io.BytesIO()
    picture, options = pillow_heif.from_pillow(Image.fromarray(pixels)), {"preset": "ultrafast"}
    picture.save(file, quality=90, exif=exif().tobytes(), enc_params=options)
    return file.getvalue()


def exif(orientation=1):
    block = Image.Exif()
    block[0x0112], block[0x010E], block[0x8298] = orientation, "x" * 20_000, "(c) Somebody"
    return block


TILES = {"tile": True, "tile_width": 256, "tile_height": 256}
FILES = {
    # name -> how it is made, and bytes that a crop at its top reads at most
    "TIFF in strips": (lambda: photo().tiffsave_buffer(), 3 << 20),
    "TIFF in tiles": (lambda: photo().tiffsave_buffer(**TILES), 1 << 20),
    "BigTIFF in strips": (lambda: photo().tiffsave_buffer(bigtiff=True), 3 << 20),
    "BigTIFF in tiles": (lambda: photo().tiffsave_buffer(bigtiff=True, **TILES), 1 << 20),
    "TIFF in strips of 8 KB": (lambda: pillow("TIFF", strip_size=8192), 3 << 20),
    "TIFF in tiles, LZW": (lambda: photo().tiffsave_buffer(compression="lzw", **TILES), 1 << 20),
    "JPEG": (lambda: pillow("JPEG", quality=95, exif=exif()), 1 << 20),
    "progressive JPEG": (lambda: pillow("JPEG", quality=95, progressive=True, exif=exif(6)), None),
    "JPEG that is turned": (lambda: pillow("JPEG", quality=95, exif=exif(8)), None),
    "PNG": (lambda: pillow("PNG"), 2 << 20),
    "WebP": (lambda: pillow("WEBP", quality=95, method=0), None),
    "BMP": (lambda: pillow("BMP"), None),
}
OUTLINED = {  # whose header stands in several places
    "WebP with EXIF": lambda: pillow("WEBP", quality=95, method=0, exif=exif(6)),
    "animated WebP": animated,
    "AVIF": lambda: pillow("AVIF", quality=90, speed=10, exif=exif()),
    "HEIC": heic,
}
SLOW = ("WebP", "progressive JPEG", "TIFF in tiles, LZW")  # to decode
PROCESSES = (
    *(TOP, "image/crop,w_300,h_200,y_800", "image/resize,w_200", "image/resize,w_600"),
    *("image/rotate,90/crop,w_50", "image/average-hue", "image/resize,w_9/format,png"),
)


@pytest.fixture(scope="module")
def worker():
    fonts = fontfiles.find().fonts
    return Worker(Limits(), Rendering(), fonts, Interrupt())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """``source(name)``: the path of a file that is made once."""
    folder = tmp_path_factory.mktemp("sources")

    def path(name):
        file = folder / name.replace(" ", "-")
        if not file.exists():
            file.write_bytes(OUTLINED[name]() if name in OUTLINED else FILES[name][0]())
        return file

    return path


@pytest.fixture
def reads(monkeypatch):
    """Bytes that have been read of files, one number for each call."""
    counts = []
    real, vector = os.pread, os.preadv

    def pread(descriptor, size, at):
        data = real(descriptor, size, at)
        counts.append(len(data))
        return data

    def preadv(descriptor, buffers, at):
        counts.append(count := vector(descriptor, buffers, at))
        return count

    monkeypatch.setattr(ondemand.os, "pread", pread)
    monkeypatch.setattr(ondemand.os, "preadv", preadv)
    return counts


def times(path):
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_ctime_ns


def outcomes(worker, path, *processes, times=None, kind="render"):
    """What comes of jobs with one source: the bytes of a result, or the class of an error."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        jobs = tuple(Job(kind, text, descriptor, times=times) for text in processes)
        results = []
        for task in worker.tasks(Batch(1, jobs)):
            result = main.outcome_of(worker, task, Interrupt())
            if isinstance(result, Output):
                data = os.pread(result.descriptor, result.size, 0)
                for own in result.descriptors:
                    os.close(own)
                results.append(data)
            else:
                results.append((type(result), result.message))
        return results
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", [*FILES, *OUTLINED])
def test_info_and_refusals_read_the_header(worker, source, reads, name):
    path = source(name)
    assert path.stat().st_size > 5 * FEW
    [info] = outcomes(worker, path, "image/info")
    assert str(path.stat().st_size).encode() in info
    assert sum(reads) <= FEW
    reads.clear()
    [(error, _)] = outcomes(worker, path, "image/crop,x_5000,y_0")
    assert error is errors.BadRequest or error is errors.InvalidArgument
    assert sum(reads) <= FEW


@pytest.mark.parametrize("name", [name for name, (_, most) in FILES.items() if most])
def test_a_crop_at_the_top_reads_the_top(worker, source, reads, name):
    path, most = source(name), FILES[name][1]
    [_] = outcomes(worker, path, TOP)
    assert sum(reads) <= min(most, path.stat().st_size // 3)


def test_what_is_no_picture_or_too_large_is_not_read(worker, tmp_path, reads):
    path = tmp_path / "file"
    path.write_bytes(b"no picture" * 500_000)
    [(error, message)] = outcomes(worker, path, "image/resize,w_9")
    assert (error, "known format" in message) == (errors.BadRequest, True)
    assert sum(reads) <= ondemand.HEAD
    os.truncate(path, 21 << 20)
    reads.clear()
    [(error, _)] = outcomes(worker, path, "image/resize,w_9")
    assert error is errors.ImageTooLarge
    assert not reads


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_the_whole(worker, source, monkeypatch, name):
    path = source(name)
    texts = PROCESSES if THOROUGH or name not in SLOW else PROCESSES[::3]
    one_by_one = [outcomes(worker, path, text)[0] for text in texts]
    together = outcomes(worker, path, *texts)
    monkeypatch.setattr(ondemand, "LEAST", 1 << 40)
    assert one_by_one == together == outcomes(worker, path, *texts)


@pytest.mark.parametrize("name", OUTLINED)
def test_answers_are_those_of_the_whole(worker, source, monkeypatch, name):
    path = source(name)
    texts = ("image/info", "image/info,xmp_1", "image/resize,w_100/format,jpg")
    results = outcomes(worker, path, *texts)
    assert all(isinstance(result, bytes) for result in results)
    monkeypatch.setattr(ondemand, "LEAST", 1 << 40)
    assert outcomes(worker, path, *texts) == results


@pytest.mark.parametrize("name", OUTLINED)
@pytest.mark.parametrize("text", ["image/info", "image/resize,w_100"])
def test_of_a_file_that_is_cut_the_same_is_said(worker, source, tmp_path, monkeypatch, name, text):
    data = source(name).read_bytes()
    for part in (0.3, 0.7, 0.999):
        path = tmp_path / str(part)
        path.write_bytes(data[: int(part * len(data))])
        [result] = outcomes(worker, path, text)
        monkeypatch.setattr(ondemand, "LEAST", 1 << 40)
        assert outcomes(worker, path, text) == [result]
        monkeypatch.undo()


def test_masters_are_those_of_the_whole(source, monkeypatch):
    fonts = fontfiles.find().fonts
    worker = Worker(Limits(), Rendering(masters=True), fonts, Interrupt())
    texts = ("image/crop,w_1250,h_1000,x_9/resize,w_300", "image/resize,w_300", "image/resize,w_90")
    for name in ("TIFF in strips", "TIFF in tiles"):
        results = outcomes(worker, source(name), *texts)
        monkeypatch.setattr(ondemand, "LEAST", 1 << 40)
        assert results == outcomes(worker, source(name), *texts)
        monkeypatch.undo()


def test_strip_keeps_the_rights_of_a_source_that_is_read_on_demand(worker, tmp_path, monkeypatch):
    text = "image/resize,w_100/strip,copyright_1"
    for name, data in {
        "tiff": pillow("TIFF", tiffinfo={33432: "(c) Somebody"}),
        "jpg": pillow("JPEG", quality=95, exif=exif()),
        "png": pillow("PNG"),
    }.items():
        (tmp_path / name).write_bytes(data)
        result = outcomes(worker, tmp_path / name, text, "image/info,xmp_1")
        monkeypatch.setattr(ondemand, "LEAST", 1 << 40)
        assert outcomes(worker, tmp_path / name, text, "image/info,xmp_1") == result
        monkeypatch.undo()


# --- a source that changes


def write_over(path):
    with path.open("r+b") as file:
        file.write(b"II*\0other")


CHANGES = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 5),
    "written over": lambda path: write_over(path),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", [TOP, "image/resize,w_600"])
def test_a_source_that_changes_while_it_is_read_gives_no_picture(
    worker, source, tmp_path, monkeypatch, name, change, text
):
    path = tmp_path / "file"
    path.write_bytes(source(name).read_bytes())
    os.utime(path, (1, 1))  # time goes by in steps of 4 ms
    reads = []

    def changing(real, size_of):
        def read(descriptor, wanted, at):
            reads.append(at)
            if len(reads) == 4 or size_of(wanted) > 1 << 19:
                CHANGES[change](path)
            return real(descriptor, wanted, at)

        return read

    monkeypatch.setattr(ondemand.os, "pread", changing(os.pread, int))
    monkeypatch.setattr(ondemand.os, "preadv", changing(os.preadv, lambda some: len(some[0])))
    [first] = outcomes(worker, path, text, times=times(path))
    assert path.stat().st_mtime != 1  # it was changed, while it was read
    assert first[0] is errors.SourceChanged


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["TIFF in tiles", "JPEG", "WebP"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("explain", TOP),
        ("histogram", "image/average-hue"),
        ("look", "image/crop,w_200,h_100,g_auto"),
    ],
)
def test_nor_anything_else(worker, source, tmp_path, monkeypatch, name, change, kind, text):
    path = tmp_path / "file"
    path.write_bytes(source(name).read_bytes())
    os.utime(path, (1, 1))
    before = times(path)
    [result] = outcomes(worker, path, text, times=before, kind=kind)
    assert result[:1] in (b"{", b"[")
    real = Worker._do

    def late(self, task):
        try:
            return real(self, task)
        finally:
            CHANGES[change](path)

    monkeypatch.setattr(Worker, "_do", late)
    [first] = outcomes(worker, path, text, times=before, kind=kind)
    assert first[0] is errors.SourceChanged


@pytest.mark.parametrize("name", ["TIFF in strips", "TIFF in tiles", "JPEG", "PNG"])
@pytest.mark.parametrize("text", [TOP, "image/resize,w_600"])
def test_a_source_that_nobody_dates_and_that_is_cut_gives_an_error(
    worker, source, tmp_path, monkeypatch, name, text
):
    path = tmp_path / "file"
    path.write_bytes(source(name).read_bytes())
    real = ondemand.File.read

    def read(self, at, size):
        if at > ondemand.HEAD:
            os.truncate(path, ondemand.HEAD)
        return real(self, at, size)

    monkeypatch.setattr(ondemand.File, "read", read)
    monkeypatch.setattr(
        ondemand.File,
        "fill",
        lambda self, at, view: view.__setitem__(slice(None), read(self, at, len(view))),
    )
    [(error, message)] = outcomes(worker, path, text)
    assert error is errors.ServiceUnavailable
    assert "shorter" in message


def test_a_source_that_was_replaced_while_it_waited_gives_no_picture(worker, source, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(source("JPEG").read_bytes())
    before = times(path)
    [picture] = outcomes(worker, path, TOP, times=before)
    assert isinstance(picture, bytes)
    time.sleep(0.02)  # longer than a step of the file system's clock
    with path.open("r+b") as file:
        file.write(b"II*\0other")
    os.utime(path, ns=(before[0], before[0]))  # and as if nothing had been written
    results = outcomes(worker, path, TOP, "image/info", times=before)
    assert [error for error, _ in results] == [errors.SourceChanged] * 2
    small = tmp_path / "small"
    small.write_bytes(b"GIF89a")
    assert outcomes(worker, small, TOP, times=(1, 1))[0][0] is errors.SourceChanged


def test_a_source_in_whose_place_another_one_is_put_is_what_it_was(worker, source, tmp_path):
    path, beside = tmp_path / "file", tmp_path / "beside"
    path.write_bytes(source("JPEG").read_bytes())
    before = times(path)
    beside.write_bytes(b"GIF89a")
    descriptor = os.open(path, os.O_RDONLY)
    time.sleep(0.02)
    beside.rename(path)
    [task] = worker.tasks(Batch(1, (Job("render", TOP, descriptor, times=before),)))
    result = main.outcome_of(worker, task, Interrupt())
    assert isinstance(result, Output)
    os.close(result.descriptor)
    os.close(descriptor)
