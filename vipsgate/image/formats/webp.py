"""A WebP's chunks, walked through without the pixels that they hold (WebP container specification).

libwebp walks likewise; of a picture it looks at the first bytes, which say its size.
"""

from __future__ import annotations

from collections.abc import Iterator

from .ondemand import File, Memory, Outline

RIFF, CHUNK = 12, 8  # bytes in front of the first chunk, and of a chunk in front of its content
FRAME = 16  # bytes of an ANMF in front of the chunks in it
LOSSLESS = b"VP8L"
PICTURES = (b"VP8 ", LOSSLESS, b"ALPH")
BEGINNING = 32  # bytes of a picture; a VP8's own header has 10
MAX_CHUNKS = 5000  # a frame has three at most
NEAR = 65536  # bytes of a file in front of which its first picture begins


def is_lossless(data: Memory) -> bool:
    """Does a picture that begins near the beginning lose nothing?"""
    return any(name == LOSSLESS and at < NEAR for name, at, _, _ in _chunks(data))


def outline(file: File) -> Outline | None:
    """The file without its pictures, by which its header is read.

    Returns:
        ``None`` where it is not so plain that libwebp certainly sees the same.

    Raises:
        ServiceUnavailable: It cannot be read.
    """
    result, end = Outline(file), RIFF
    for name, at, begin, end in _chunks(file):
        result.add(at, min(end, begin + BEGINNING) if name in PICTURES else end)
        if result.large or end > len(file):
            return None
    return result if end == _end(file) else None


def _chunks(data: Memory | File) -> Iterator[tuple[bytes, int, int, int]]:
    """Name of each, where it begins, where its content does, and where the next one begins."""
    at, end = RIFF, min(_end(data), len(data))
    for _ in range(MAX_CHUNKS):
        begin = at + CHUNK
        if begin > end:
            return
        name, size = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : begin], "little")
        behind = begin + (FRAME if name == b"ANMF" else size + size % 2)
        yield name, at, begin, behind
        at = behind


def _end(data: Memory | File) -> int:
    return CHUNK + int.from_bytes(data[4:8], "little")
