"""The pipeline as a function: makes a result from a file and a process text, in this process.

It does what a renderer does for a server, and refuses what a server refuses. libvips' settings (its
operation cache, threads, blocked loaders) are not changed: loaders are called by name, so only
those in the table of formats are used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from .. import filetimes
from ..errors import ServiceUnavailable, SourceChanged, Unimplemented, WatermarkError, shown
from . import accepting, attention, automatic, plan, render, reports
from .answers import Info
from .config import Limits, Rendering
from .fonts import Fonts
from .formats import metadata, ondemand
from .formats.codecs import CODECS
from .formats.ondemand import File
from .formats.probe import Source, begin, probe
from .notes import Notes, joined
from .plan import Plan
from .prepared import Overlay, RenderContext
from .process import Process, parse
from .search import Choice
from .video import decode
from .video.snapshot import Snapshot

NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Picture:
    """The result of a process.

    Attributes:
        data: The file: a picture, or JSON for a report on one (``image/info``,
            ``image/average-hue``, ``image/resize,w_400/thumbhash``).
        mime: Its media type: ``image/jpeg``, ``application/json``.
        width: Pixels of one frame; 0 of JSON.
        height: Pixels of one frame; 0 of JSON.
        plan: The plan of the picture; ``None`` for JSON, and for a picture of a video.
        missing: Number of characters of its text that no font has; they are drawn as boxes.
        choice: The quality that a search has found, and the number of encodings; ``None`` without
            a search.
        notes: Notes on what of the process was changed or ignored, such as ``limit=source``, as in
        a
            server's ``X-Vipsgate-Notes``; see :data:`.notes.NOTES`.
    """

    data: bytes
    mime: str
    width: int = 0
    height: int = 0
    plan: Plan | None = None
    missing: int = 0
    notes: Notes = ()
    choice: Choice | None = None


def transform(
    data: bytes | int,
    process: str,
    *,
    objects: Mapping[str, bytes] = NOTHING,
    taken: Sequence[str] = (),
    limits: Limits = Limits(),
    rendering: Rendering = Rendering(),
    fonts: Callable[[], Fonts] = Fonts,
) -> Picture:
    """Process a file; see :func:`vipsgate.transform`.

    Args:
        data: The file's bytes, or the descriptor of the open file.
        process: The process text.
        objects: Bytes of the pictures for watermarks, by key.
        taken: Formats that ``format,auto`` may choose, in order of preference.
        limits: The limits of every picture.
        rendering: The settings for rendering.
        fonts: Returns the fonts, known to libvips; called if text is drawn.

    Raises:
        OssError: The process is not valid, or the file cannot be processed like that.
        RuntimeError: libvips is too old.
    """
    render.check()
    parsed = _parsed(process, taken, limits)
    context = RenderContext(
        limits,
        rendering,
        fonts() if parsed.writes() else Fonts(),
        objects={key: _overlay(key, objects, limits) for key in parsed.needs()},
    )
    if parsed.snapshot:
        return _of_video(data, parsed, parsed.snapshot, context)
    with _source(data, limits) as source:
        parsed = _aimed(parsed, source, limits)
        return (_answer if parsed.answer else _picture)(source, parsed, context)


def explain(
    data: bytes | int,
    process: str,
    *,
    taken: Sequence[str] = (),
    limits: Limits = Limits(),
    rendering: Rendering = Rendering(),
    fonts: Callable[[], Fonts] = Fonts,
) -> dict[str, Any]:
    """Explain how a file would be processed; see :func:`vipsgate.explain`.

    Args:
        data: The picture's bytes, or the descriptor of the open file.
        process: The process text.
        taken: See :func:`transform`.
        limits: The limits of every picture.
        rendering: The settings for rendering.
        fonts: Returns the fonts; called if text would be drawn.

    Raises:
        OssError: The process is not valid, or the file would not be processed like that.
        RuntimeError: libvips is too old.
    """
    render.check()
    parsed = _parsed(process, taken, limits)
    if parsed.snapshot:
        raise Unimplemented("A picture of a video has no plan: what it takes is known afterwards.")
    with _source(data, limits) as source:
        parsed = _aimed(parsed, source, limits)
        there = fonts() if parsed.writes() else Fonts()
        result = reports.explanation(source, parsed, limits, rendering, there)
    notes = joined(parsed.notes, result.get("notes", ()))
    return {"process": str(parsed)} | result | {"notes": list(notes)}


def _parsed(text: str, taken: Sequence[str], limits: Limits) -> Process:
    """Parse a process text, for a client that accepts these formats and the source's own.

    Raises:
        OssError: The text is not valid.
    """
    parsed = parse(text, limits)
    if not accepting.is_open(parsed):
        return parsed
    return accepting.accepted_by(parsed, automatic.word(taken), limits)


def _aimed(process: Process, source: Source, limits: Limits) -> Process:
    """Return the process with the focus for its window, which is detected in the picture."""
    if process.look is None:
        return process
    return process.aimed(attention.find(source, process.look, limits, lambda image: None))


def _picture(source: Source, process: Process, context: RenderContext) -> Picture:
    """Return the picture that the actions make."""
    planned = plan.make(source.header, process.actions, context.limits, context.rendering)
    context.check_overlays(planned)
    with _memory() as memory:
        choice = render.render(source, planned, memory, context)
        result = _whole(memory)
    mime, size = CODECS[planned.result.format].mime, (planned.result.width, planned.result.height)
    missing = context.fonts.missing(process.writes())
    drawn = context.fonts.notes(process.typefaces(), missing)
    kept = metadata.notes(source, planned)
    notes = joined(process.notes, planned.notes, kept, drawn)
    return Picture(result, mime, *size, planned, missing, notes, choice)


def _answer(source: Source, process: Process, context: RenderContext) -> Picture:
    """Return the report on the actions' result."""
    notes = process.notes
    if isinstance(process.answer, Info) and process.answer.xmp:
        notes = joined(notes, metadata.unread(source))
    if process.actions:
        planned = reports.planned(source.header, process, context.limits, context.rendering)
        assert planned is not None
        context.check_overlays(planned)
        drawn = context.fonts.notes(process.typefaces(), context.fonts.missing(process.writes()))
        notes = joined(notes, planned.notes, drawn)
    return Picture(reports.answer(source, process, context), reports.MIME, notes=notes)


def _overlay(key: str, objects: Mapping[str, bytes], limits: Limits) -> Overlay:
    """Return the overlay's object under a key."""
    if key not in objects:
        raise WatermarkError(f"The watermark object {shown(key)!r} does not exist.")
    return Overlay(key, partial(_read, objects[key], limits))


def _read(data: bytes, limits: Limits) -> bytes:
    """Return the whole file.

    Raises:
        ImageTooLarge: It has too many bytes.
    """
    limits.check_bytes(len(data))
    return bytes(data)  # no copy, if it is bytes


@contextmanager
def _source(data: bytes | int, limits: Limits) -> Iterator[Source]:
    """Return a context with the recognised file; an open file is read on demand, within it.

    Raises:
        ImageTooLarge: It has too many bytes.
        ServiceUnavailable: It cannot be read, or was written to meanwhile.
    """
    if not isinstance(data, int):
        yield _recognised(_read(data, limits))
        return
    facts = os.fstat(data)
    limits.check_bytes(facts.st_size)
    file = File(data, facts.st_size)
    try:
        with file.unchanged(filetimes.of(facts)):
            yield begin(file) if len(file) >= ondemand.LEAST else _recognised(file.whole())
    except SourceChanged as error:
        raise ServiceUnavailable(error.message) from None


def _recognised(data: bytes) -> Source:
    return replace(probe(data), original=lambda: data)


def _of_video(
    data: bytes | int, process: Process, snapshot: Snapshot, context: RenderContext
) -> Picture:
    """Return a picture of a video, which is read only as far as needed."""
    with _memory() as result, _descriptor(data) as film:
        mime = decode.answer(film, snapshot, result, context, lambda: False)
        picture = _whole(result)
    header = probe(picture).header
    return Picture(picture, mime, header.width, header.height, notes=process.notes)


@contextmanager
def _descriptor(data: bytes | int) -> Iterator[int]:
    """Give the descriptor of an open file, or of bytes in a memory file."""
    if isinstance(data, int):
        yield data
        return
    with _memory() as memory, open(memory, "wb", closefd=False) as file:
        file.write(data)
        file.flush()
        yield memory


@contextmanager
def _memory() -> Iterator[int]:
    """Give the descriptor of an empty memory file."""
    memory = os.memfd_create("vipsgate", os.MFD_CLOEXEC)
    try:
        yield memory
    finally:
        os.close(memory)


def _whole(descriptor: int) -> bytes:
    """Return all bytes of a file, whatever its descriptor's position."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size, 0)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), len(data))):
        data += more
    return data
