"""Pictures by description, the way from bytes to bytes, and the checks of the actions' tables.

A source and a result are written in words, first the size, which has the pages as a third number:
``jpg 400x267 o7 q80``, ``png 40x20 alpha 16bit``, ``gif 20x10x3``. All fixtures are functions and
live as long as the session, so that property tests may use them.
"""

import hashlib
import io
import json
import os
import struct
from functools import cache, lru_cache
from types import SimpleNamespace

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from vipsgate import errors
from vipsgate.image import config, frame, group, plan, prepared, process, render, transform
from vipsgate.image.formats import codecs, probe
from vipsgate.worker import fontfiles

__all__ = [  # the fixtures, for a conftest that takes them all
    "_prepared",
    "answered",
    "described",
    "encoded",
    "formats",
    "grouped",
    "header",
    "make_context",
    "parse",
    "photo",
    "picture",
    "pixels",
    "planned",
    "psnr",
    "rendered",
    "run",
    "table",
    "transformed",
]

LIMITS, RENDERING = config.Limits(), config.Rendering()
PILLOW = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP"}
PILLOW |= {"avif": "AVIF", "heic": "HEIF"}
OCTREE = Image.Quantize.FASTOCTREE  # the one that knows alpha


@pytest.fixture(scope="session", autouse=True)
def _prepared():
    render.prepare()
    pillow_heif.register_heif_opener()
    _typefaces().install()
    yield
    pyvips.operation_block_set("VipsForeignLoad", False)
    pyvips.cache_set_max(100)


@cache
def _typefaces():
    return fontfiles.find(system=())  # the same on every machine


# --- from words


def _words(text):
    name, size, *words = text.split()
    width, height, *pages = map(int, size.split("x"))
    number = {word[0]: int(word[1:]) for word in words if word[0] in "oq" and word[1:].isdigit()}
    return name, width, height, pages[0] if pages else 1, number, set(words)


def _header(text):
    """The header that a file of this description should have."""
    name, width, height, pages, number, words = _words(text)
    bands = (1 if "grey" in words else 4 if "cmyk" in words else 3) + ("alpha" in words)
    return frame.Header(
        format=name,
        width=width,
        height=height,
        pages=pages,
        orientation=number.get("o", 1),
        bands=bands,
        depth=16 if "16bit" in words else 10 if "10bit" in words else 8,
        alpha="alpha" in words,
        interlaced="interlaced" in words,
        samples=1.5 if "quartered" in words else bands,
        quality=number.get("q", 0),
        gamut="p3" if "p3" in words else "srgb",
    )


@lru_cache(64)
def _photo(width, height, bands=3, seed=0):
    """Height by width by bands, 8 bits: gradients, waves and soft edges; no symmetry."""
    x, y = (np.arange(width)[None] + 0.5) / width, (np.arange(height)[:, None] + 0.5) / height
    planes, fine = [], _wave(9 * x, 14 * y)
    for band in range(bands):
        k = band + seed + 1
        plane = 128 + 50 * (x - y / k) + 35 * _wave(k * x + 0.1 * k, 2.3 * y * y)
        disc = np.hypot(x - 0.3, y - 0.2 * k % 1) - 0.2
        plane += 30 * np.tanh(-disc * 30) + 6 * fine
        planes.append(plane)
    made = np.clip(np.stack(planes, axis=-1), 0, 255).round().astype(np.uint8)
    made.setflags(write=False)  # all who ask for it have the same one
    return made


def _wave(row, column):
    """The sine of turns that are added, from a sine for each row and each column."""
    a, b = 2 * np.pi * row, 2 * np.pi * column
    return np.sin(a) * np.cos(b) + np.cos(a) * np.sin(b)


@cache
def _picture(text):
    """A file of this description."""
    name, width, height, pages, number, words = _words(text)
    if "10bit" in words:
        return _deep(name, _photo(width, height).astype(np.uint16) * 257)
    if "16bit" in words:
        values = _photo(width, height, _header(text).bands).astype(np.uint16) * 257
        image = pyvips.Image.new_from_array(
            values, interpretation="grey16" if "grey" in words else "rgb16"
        )
        return image.write_to_buffer("." + name)
    stills = []
    for seed in range(pages):
        colours = _photo(width, height, 1 if "grey" in words else 3, 7 * seed)
        image = Image.fromarray(colours[..., 0] if "grey" in words else colours)
        if "alpha" in words:
            # transparent upper left, opaque lower right
            level = np.add.outer(np.arange(height) / height, np.arange(width) / width)
            image.putalpha(Image.fromarray((np.clip(level - 0.4, 0, 1) * 255).astype(np.uint8)))
        if "cmyk" in words:
            image = image.convert("CMYK")
        if "palette" in words:
            image = image.quantize(64, method=OCTREE if "alpha" in words else None)
        if "1bit" in words:
            image = image.convert("1")
        stills.append(image)
    options = {}
    if "o" in number:
        block = Image.Exif()
        block[0x0112] = number["o"]
        options["exif"] = block
    if "p3" in words:
        options["icc_profile"] = bytes(pyvips.Image.profile_load("p3"))
    if name == "jpg":
        options["quality"] = number.get("q", 95)
        options["progressive"] = "interlaced" in words
        options["subsampling"] = 2 if "quartered" in words else 0
    elif name == "webp":
        options |= {"lossless": True} if "q" not in number else {"quality": number["q"]}
        options |= {"exact": True, "method": 0}  # the quickest
    elif name == "avif":
        options |= {"quality": 90, "speed": 9, "subsampling": "4:4:4"}
    elif name == "heic":
        options |= {"quality": 90, "subsampling": "4:4:4", "enc_params": {"preset": "ultrafast"}}
        if "o" in number:  # pillow-heif turns it for bytes only
            options["exif"] = block.tobytes()
    if pages > 1:
        options |= {"save_all": True, "append_images": stills[1:], "duration": [40, 80, 120] * 9}
        options["duration"], options["loop"] = options["duration"][:pages], 2
    file = io.BytesIO()
    stills[0].save(file, PILLOW[name], **options)
    return file.getvalue()


def _deep(name, values):
    """10 bits of a channel, from 16."""
    if name == "avif":
        image = pyvips.Image.new_from_array(values, interpretation="rgb16")
        return image.heifsave_buffer(compression="av1", bitdepth=10, Q=90, effort=0)
    file, size = io.BytesIO(), values.shape[1::-1]
    pillow_heif.encode("RGB;16", size, values.tobytes(), file, quality=90, chroma=444)
    return file.getvalue()


# --- from bytes to bytes


def _parse(text, limits=LIMITS):
    return process.parse("image/" + text, limits)


def _plan(source, text, limits=LIMITS, rendering=RENDERING):
    """The plan for a header, a file's bytes, or a description."""
    if isinstance(source, bytes):
        source = probe.probe(source).header
    elif isinstance(source, str):
        source = _header(source)
    return plan.make(source, _parse(text).actions, limits, rendering)


def _studio(objects=None, limits=LIMITS, rendering=RENDERING):
    """What a renderer has, with these bytes by key beside the source."""
    beside = {
        key: prepared.Overlay(hashlib.sha256(data).hexdigest(), lambda data=data: data)
        for key, data in (objects or {}).items()
    }
    return prepared.RenderContext(limits, rendering, _typefaces().fonts, objects=beside)


def _rendered(source, made, context=None):
    """The bytes of a planned result; for what is not asked of the whole way."""
    descriptor = os.memfd_create("result")
    try:
        render.render(source, made, descriptor, context or _studio())
        size = os.lseek(descriptor, 0, os.SEEK_END)
        return os.pread(descriptor, size, 0)
    finally:
        os.close(descriptor)


def _transformed(data, text, limits=LIMITS, rendering=RENDERING, objects=None):
    """The result of a process; ``objects`` are those of its watermarks."""
    return transform.transform(
        data,
        f"image/{text}",
        objects=objects or {},
        limits=limits,
        rendering=rendering,
        fonts=lambda: _typefaces().fonts,
    )


def _grouped(data, texts, limits=LIMITS, rendering=RENDERING, budget=None, objects=None):
    """What is made of one source for each process: its bytes, its cost where that is above the
    budget, or its error.
    """
    processes, found = [process.parse(f"image/{text}", limits) for text in texts], []
    made = group.Group(lambda: data, processes, limits, rendering, budget)
    for one in processes:
        descriptor = os.memfd_create("result")
        try:
            context = _studio(objects, limits, rendering)
            if cost := made.over_budget(one, context):
                found.append(cost)
                continue
            made.write(one, descriptor, context)
            found.append(os.pread(descriptor, 1 << 28, 0))
        except errors.OssError as error:
            found.append(error)
        finally:
            os.close(descriptor)
    return found


def _run(data, text, limits=LIMITS, rendering=RENDERING, objects=None):
    """A picture through a process, bytes to bytes; they are as planned."""
    result = _transformed(data, text, limits, rendering, objects)
    _obeys(result.data, result.plan.result)
    return result.data


def _answered(data, name):
    """What is said of a picture, as values."""
    return json.loads(_transformed(data, name).data)


def _obeys(result, asked):
    """The bytes are what the plan's last frame says, as far as they tell."""
    got = probe.probe(result).header
    assert (got.format, got.width, got.height) == (asked.format, asked.width, asked.height)
    assert got.pages == asked.pages
    assert (got.orientation, got.exif) == (1, b"")
    if asked.format == "jpg":
        assert got.interlaced == asked.progressive
        if not asked.goal:  # else it is searched for
            assert got.quality == asked.quality


def _pixels(data, mode=None):
    """A file's pixels as another decoder sees them, height by width by bands, as integers."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert(mode) if mode else image).astype(int)


def _psnr(one, other):
    """Decibels between two pictures of 8 bits."""
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


# --- the checks of an action's tables


def _said(made):
    pages = f"x{made.pages}" if made.pages > 1 else ""
    return {
        f"{made.width}x{made.height}{pages}",
        made.format,
        f"q{made.quality}",
        "alpha" if made.alpha else "opaque",
        "lossless" if made.lossless else "lossy",
        "progressive" if made.progressive else "baseline",
        "searched" if made.goal else "said",
    }


def _reads(text, canonical):
    """The text means the canonical one, which is its own canonical text."""
    read = _parse(text)
    assert str(read) == "image/" + canonical
    assert _parse(canonical) == read


def _refuses(text, row):
    kind, ec, part = row
    with pytest.raises(kind) as caught:
        _parse(text)
    assert type(caught.value) is kind
    assert caught.value.ec == ec
    assert part in caught.value.message


def _plans(source, text, result):
    """The frame planned has every word of ``result``."""
    said = _said(_plan(source, text).result)
    assert set(result.split()) <= said, said


def _renders(source, text, result, formats=()):
    """Real pixels obey the same row, also of the same picture in other formats."""
    name, rest = source.split(" ", 1)
    for other in (name, *formats):
        data = _picture(f"{other} {rest}")
        planned, size = _plan(data, text).result, result.split()[0]
        assert size in _said(planned), other
        if other == name:
            assert set(result.split()) <= _said(planned)
        _run(data, text)


@pytest.fixture(scope="session")
def table():
    """reads, refuses, plans, renders: what holds of a row."""
    return SimpleNamespace(reads=_reads, refuses=_refuses, plans=_plans, renders=_renders)


@pytest.fixture(scope="session")
def header():
    return _header


@pytest.fixture(scope="session")
def photo():
    return _photo


@pytest.fixture(scope="session")
def picture():
    return _picture


@pytest.fixture(scope="session")
def parse():
    return _parse


@pytest.fixture(scope="session")
def planned():
    return _plan


@pytest.fixture(scope="session")
def rendered():
    return _rendered


@pytest.fixture(scope="session")
def transformed():
    return _transformed


@pytest.fixture(scope="session")
def grouped():
    return _grouped


@pytest.fixture(scope="session")
def run():
    return _run


@pytest.fixture(scope="session")
def answered():
    return _answered


@pytest.fixture(scope="session")
def make_context():
    return _studio


@pytest.fixture(scope="session")
def pixels():
    return _pixels


@pytest.fixture(scope="session")
def psnr():
    return _psnr


@pytest.fixture(scope="session")
def encoded():
    """numpy to a file: ``encoded(values, "PNG", **options)``."""

    def encode(values, name, **options):
        file = io.BytesIO()
        Image.fromarray(np.asarray(values, np.uint8)).save(file, name, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def described():
    """A profile under another description: ``described(profile, "Display P3")``."""

    def describe(profile, text):  # ICC.1, 9.2.41 and 10.15
        made, at = bytearray(profile), 132
        while made[at : at + 4] != b"desc":
            at += 12
        words = text.encode("utf-16-be")
        tag = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(words), 28) + words
        made[at + 4 : at + 12] = struct.pack(">II", len(made), len(tag))
        made += tag + bytes(-len(tag) % 4)
        made[0:4] = struct.pack(">I", len(made))
        return bytes(made)

    return describe


@pytest.fixture(scope="session")
def formats():
    return tuple(codecs.CODECS)
