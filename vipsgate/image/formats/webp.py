"""Reads the chunks of a WebP without their pixels (WebP container specification).

libwebp's own parser does the same: of a picture it reads only the first bytes, which have its size.
"""

from __future__ import annotations

from collections.abc import Iterator

from .ondemand import File, Memory, Outline

RIFF, CHUNK = 12, 8  # bytes before the first chunk, and bytes of a chunk before its content
FRAME = 16  # bytes of an ANMF's content before the chunks inside it
LOSSLESS = b"VP8L"
PICTURES = (b"VP8 ", LOSSLESS, b"ALPH")
BEGINNING = 32  # bytes of a picture that are read; the header of a VP8 has 10
MAX_CHUNKS = 5000  # of a file; a frame has three at most
NEAR = 65536  # a picture that begins before this offset decides whether a file is lossless


def is_lossless(data: Memory) -> bool:
    """Return whether a picture that begins within the first :data:`NEAR` bytes is lossless."""
    return any(name == LOSSLESS and at < NEAR for name, at, _, _ in _chunks(data))


def outline(file: File) -> Outline | None:
    """Return the file without its pictures, which is enough to read its header.

    Returns:
        ``None`` if libwebp might read another header from it than from the whole file, or if too
        much of the file would be needed.

    Raises:
        ServiceUnavailable: The file cannot be read.
    """
    result, end = Outline(file), RIFF
    for name, at, begin, end in _chunks(file):
        result.add(at, min(end, begin + BEGINNING) if name in PICTURES else end)
        if result.large or end > len(file):
            return None
    return result if end == _end(file) else None


def _chunks(data: Memory | File) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the name of each chunk, and the offsets of its start, its content and the next chunk.

    Chunks inside an ANMF follow it as if they were not nested.
    """
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
