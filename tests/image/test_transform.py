"""The way from a file to a result: what it takes, what it gives, what it refuses."""

import base64
import contextlib
import gc
import io
import json
import os
import types

import numpy as np
import pytest
from PIL import Image

from vipsgate.errors import (
    ImageTooLarge,
    OssError,
    ServiceUnavailable,
    Unimplemented,
    WatermarkError,
)
from vipsgate.image import render
from vipsgate.image.config import Limits
from vipsgate.image.formats import ondemand
from vipsgate.image.transform import explain, transform

LOGO = base64.urlsafe_b64encode(b"logo.png").decode().rstrip("=")


def test_a_picture(picture):
    made = transform(picture("gif 20x10x3"), "image/resize,w_10")
    assert (made.mime, made.width, made.height, made.plan.result.pages) == ("image/gif", 10, 5, 3)
    assert made.data.startswith(b"GIF89a")


@pytest.mark.parametrize("process", ["image/info", "image/average-hue"])
def test_json(process, picture):
    made = transform(picture("jpg 40x27"), process)
    assert (made.mime, made.width, made.height, made.plan) == ("application/json", 0, 0, None)
    assert json.loads(made.data)


def test_a_picture_of_a_video(film):
    pytest.importorskip("av", reason="pip install 'vipsgate[video]'")
    made = transform(film(count=3), "video/snapshot,t_0,f_png,w_32")
    assert (made.mime, made.width, made.height, made.plan) == ("image/png", 32, 24, None)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(kind, picture):
    data = picture("png 40x27")
    objects = {"logo.png": kind(picture("png 9x9"))}
    process = f"image/watermark,image_{LOGO}"
    made = transform(kind(data), process, objects=objects)
    assert made.data == transform(data, process, objects={"logo.png": picture("png 9x9")}).data


def test_a_file_is_left_open_and_where_it_stands(picture, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(picture("png 40x27"))
    with path.open("rb") as file:
        file.seek(7)
        assert transform(file.fileno(), "image/resize,w_9").width == 9
        assert file.tell() == os.lseek(file.fileno(), 0, os.SEEK_CUR) == 7


def photo(kind, **options):
    pixels = np.random.default_rng(2).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def reads(monkeypatch):
    """Bytes that have been read of files, one number for each call."""
    counts, real = [], os.pread

    def pread(*where):
        counts.append(len(data := real(*where)))
        return data

    monkeypatch.setattr(ondemand.os, "pread", pread)
    return counts


@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_file_gives_what_its_bytes_give(kind, tmp_path, reads):
    data = photo(kind, **{"quality": 95, "speed": 10} if kind in ("JPEG", "WEBP", "AVIF") else {})
    (tmp_path / "file").write_bytes(data)
    assert len(data) > 1 << 18
    with (tmp_path / "file").open("rb") as file:
        for process in ("image/info", "image/crop,w_90,h_20/format,png", "image/resize,w_99"):
            reads.clear()
            made = transform(file.fileno(), process)
            assert made == transform(data, process)
            if process == "image/info":
                assert kind == "GIF" or sum(reads) <= 100_000
            elif kind == "TIFF" and "crop" in process:
                assert sum(reads) < len(data) // 3
        reads.clear()
        assert explain(file.fileno(), "image/resize,w_9") == explain(data, "image/resize,w_9")
        assert kind == "GIF" or sum(reads) <= 100_000


@pytest.mark.parametrize("size", [20_000, 400_000])
def test_a_file_that_is_written_to_meanwhile_gives_no_picture(size, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(photo("BMP")[:size])
    os.utime(path, (1, 1))
    real = os.pread

    def pread(*where):
        with path.open("r+b") as file:
            file.write(b"BM")
        return real(*where)

    monkeypatch.setattr(ondemand.os, "pread", pread)
    with path.open("rb") as file, pytest.raises(ServiceUnavailable, match="written to"):
        transform(file.fileno(), "image/info")


def test_nothing_is_left_open(picture):
    data, begun = picture("png 40x27"), len(os.listdir("/proc/self/fd"))
    for process in ("image/resize,w_9", "image/info", "image/watermark,image_bm9uZQ"):
        for source in (data, data[:200], b""):
            try:
                transform(source, process)
            except OssError:
                continue
    assert len(os.listdir("/proc/self/fd")) == begun


def test_fonts_are_looked_for_where_text_is_drawn(picture, make_context):
    calls = []

    def fonts():
        calls.append(1)
        return make_context().fonts

    data = picture("jpg 90x60")
    transform(data, "image/resize,w_9", fonts=fonts)
    assert not calls
    text = base64.urlsafe_b64encode("a\U0001f600b\ue000".encode()).decode().rstrip("=")
    made = transform(data, f"image/watermark,text_{text}", fonts=fonts)
    assert (len(calls), made.missing) == (1, 2)


def test_files_that_are_too_large(picture, tmp_path):
    data, limits = picture("png 40x27"), Limits(source_bytes=1000)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    for source in (data, os.open(path, os.O_RDONLY)):
        with pytest.raises(ImageTooLarge, match="is 1000 bytes"):
            transform(source, "image/info", limits=limits)
        with pytest.raises(ImageTooLarge, match="is 1000 bytes"):
            explain(source, "image/info", limits=limits)
    os.close(source)
    with pytest.raises(WatermarkError, match=r"'logo.png': Maximal size of image supported is"):
        transform(
            picture("png 4x4"),
            f"image/watermark,image_{LOGO}",
            objects={"logo.png": data},
            limits=limits,
        )


def test_what_is_laid_on_a_picture_counts(picture, make_context):
    """Each by itself takes what it may; together they take more."""
    process, source = f"image/watermark,image_{LOGO}", picture("jpg 300x200")
    objects = {"logo.png": picture("png 1000x750 interlaced")}
    alone = make_context(objects).memory("logo.png", ())
    with pytest.raises(ImageTooLarge, match=r"^The picture of 300x200 pixels would take"):
        transform(source, process, objects=objects, limits=Limits(render_bytes=alone))
    transform(source, process, objects=objects)


def test_an_object_that_is_not_given(picture):
    with pytest.raises(WatermarkError, match=r"^The watermark object 'logo.png' does not exist"):
        transform(picture("png 9x9"), f"image/watermark,image_{LOGO}", objects={"logo": b""})


def test_a_libvips_that_is_too_old(picture, monkeypatch):
    monkeypatch.setattr(render, "LIBVIPS", (99, 0, 0))
    for function in (transform, explain):
        with pytest.raises(RuntimeError, match=r"99\.0\.0 or newer is needed"):
            function(picture("png 9x9"), "image/info")


def test_explained(picture):
    made = explain(picture("jpg 400x267"), "image/resize,w_100|image/rotate,90")
    assert made["process"] == "image/resize,w_100/rotate,90"
    assert (made["source"]["width"], made["result"]["width"]) == (400, 67)
    told = explain(picture("jpg 400x267"), "image/info")
    assert set(told) == {"process", "source", "notes"}
    with pytest.raises(Unimplemented, match="has no plan"):
        explain(b"", "video/snapshot,t_0")


FORMATS = ["jpg", "png", "webp", "gif", "tiff", "bmp"]


@pytest.mark.parametrize("kind", FORMATS)
def test_errors_leave_no_frames_behind(kind, picture, tmp_path):
    """In a cycle, frames would hold pictures and descriptors until garbage is collected."""
    whole, path = picture(f"{kind} 40x27"), tmp_path / "picture"
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for share in (0.0, 0.1, 0.5, 0.9, 0.99):
            data = whole[: int(len(whole) * share)]
            path.write_bytes(data)
            for process in ("image/resize,w_9", "image/info", f"image/watermark,image_{LOGO}"):
                for objects in ({}, {"logo.png": data}, {"logo.png": whole}):
                    with path.open("rb") as file:
                        for source in (data, file.fileno(), whole):
                            with contextlib.suppress(OssError):
                                transform(source, process, objects=objects)
        gc.collect()
        left = [one for one in gc.garbage if isinstance(one, types.FrameType | BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left
