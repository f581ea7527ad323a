"""Findings of ``vipsgate check``: libvips, reading and writing of formats, the sandbox, the store.

Everything is tried if possible: a format works if a picture that is written in it can be read.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from .. import transform
from ..buckets import Bucket
from ..build import ON_NETWORK, cache_file_system, client_of, shared_of, store_of
from ..cache.disk import Disk
from ..cache.entry import CacheKey, Entry
from ..cache.remote import RemoteCache
from ..catalog.documents import Documents
from ..errors import OssError
from ..image import faces
from ..image.fonts import NAMES, Fonts
from ..image.formats import heif, probe, turbo
from ..image.formats.codecs import CODECS
from ..image.video import decode
from ..settings import Settings, SettingsError
from ..worker import fontfiles, sandbox

SIDE = 64  # side of the test pictures in pixels
CHINESE, STROKE = "中文图片", "一"  # required characters; one whose shape differs from a box


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was tried.
        works: Whether it works; ``None`` for an optional part that is not installed or off.
        detail: A version, a size, or the reason of a failure.
    """

    what: str
    works: bool | None
    detail: str


def findings(settings: Settings) -> Iterator[Finding]:
    """Try everything that is promised, and yield the findings.

    This loads libvips, so it must not be called in a front.
    """
    from ..image import render

    try:
        render.check()
    except RuntimeError as error:
        yield Finding("libvips", False, str(error))
        return
    yield Finding("libvips", True, render.version())
    yield from (_format(name) for name in CODECS)
    yield _turbo()
    yield _video()
    yield _faces()
    yield from _fonts(settings.image.fonts_dir)
    yield _parser()
    yield _renderer_sandbox()
    yield _store(settings)
    yield from _documents(settings)
    yield _cache(settings)
    if settings.cache.url:
        yield _shared(settings)


def _format(name: str) -> Finding:
    """Write a picture in a format, recognise it, and convert it to PNG."""
    what = f"{name} in and out"
    if name == "heic" and not heif.installed():
        return Finding(what, None, f"optional: {heif.INSTALL}")
    try:
        first = transform(_painted("gif" if name == "gif" else "png"), f"image/format,{name}")
        again = transform(first.data, "image/format,png")
    except OssError as error:
        return Finding(name, False, error.message)
    kind = probe.probe(first.data).header.format, again.width
    return Finding(what, kind == (name, SIDE), f"{len(first.data)} bytes")


def _video() -> Finding:
    """Take a picture of a video in each codec that PyAV has an encoder for."""
    what = "video in"
    if not decode.installed():
        return Finding(what, None, f"optional: {decode.INSTALL}")
    try:
        sizes = {name: _filmed(codec) for codec, name in decode.DECODERS.items()}
    except (OssError, ValueError) as error:
        return Finding(what, False, f"{decode.version()}: {error}")
    wrong = [name for name, size in sizes.items() if size != (SIDE, SIDE)]
    return Finding(what, not wrong, f"{decode.version()}: {', '.join(wrong or sizes)}")


def _turbo() -> Finding:
    """Decode a JPEG in less time than libvips."""
    what = "jpg in quickly"
    if not turbo.installed():
        return Finding(what, None, f"optional: {turbo.INSTALL}")
    written = transform(_painted("png"), "image/format,jpg").data
    return Finding(what, turbo.loaded(written, 1) is not None, turbo.version())


def _faces() -> Finding:
    """Detect faces in a picture."""
    what = "faces for g_face"
    if not faces.installed():
        return Finding(what, None, f"needs {faces.lacking()}")
    try:
        transform(_painted("png"), "image/crop,w_9,h_9,g_face")
    except (OssError, ImportError, OSError) as error:
        return Finding(what, False, str(error))
    return Finding(what, True, faces.version())


def _filmed(codec: str) -> tuple[int, int]:
    """Return width and height of a snapshot of a video that has one picture."""
    file = io.BytesIO()
    with decode.library().open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        # without B-frames, or else x265 gives a single picture no decoding time
        stream.options = {"x265-params": "log-level=none:pools=none:bframes=0"}
        stream.codec_context.thread_count = 1
        frame = decode.library().VideoFrame(SIDE, SIDE, "yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    picture = transform(file.getvalue(), "video/snapshot,t_0")
    return picture.width, picture.height


def _painted(kind: str) -> bytes:
    import pyvips

    image = pyvips.Image.xyz(SIDE, SIDE)
    picture = image.bandjoin(image[0]).cast("uchar").copy(interpretation="srgb")
    result: bytes = picture.write_to_buffer(f".{kind}")
    return result


def _fonts(fonts_dir: str) -> Iterator[Finding]:
    """Find the font family for each of OSS's names, and check that it draws Chinese."""
    typefaces = fontfiles.find(fonts_dir)
    typefaces.install()
    fonts = typefaces.fonts
    for name in NAMES:
        family = fonts.family(name) + (", a stand-in" if fonts.stands_in(name) else "")
        wrong = _boxes(fonts, name)
        yield Finding(f"font {name}", not wrong, wrong or family)
    for reason in typefaces.rejected:
        yield Finding("font file", False, reason)


def _boxes(fonts: Fonts, name: str) -> str:
    """Return why Chinese would be drawn as boxes; empty if it is not."""
    from ..image import text

    if missing := fonts.missing(CHINESE):
        return f"no font has {missing} of {CHINESE}"
    ink = text.draw(fonts.runs(STROKE, name), SIDE, SIDE * SIDE)
    # a box is about as high as it is wide
    return "" if ink and ink.width > 2 * ink.height else f"{STROKE} is not drawn as one stroke"


def _parser() -> Finding:
    """Check that aiohttp's compiled parser is used.

    The one in Python is slower, and is not the one that is tested against request smuggling.
    """
    from aiohttp import http_parser

    compiled = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    return Finding("compiled HTTP parser", compiled, "llhttp" if compiled else "pure Python")


def _renderer_sandbox() -> Finding:
    """Try the renderer's sandbox; renderers also run without what the kernel lacks."""
    # in another process, because a sandbox cannot be left
    trial = f"import sys; from {sandbox.__name__} import enter; report = enter(sys.path); "
    trial += "sys.exit(not (report.landlock and report.seccomp))"
    complete = subprocess.run([sys.executable, "-c", trial], check=False).returncode == 0
    detail = "Landlock and seccomp" if complete else "this kernel lacks Landlock or seccomp"
    return Finding("renderer sandbox", complete, detail)


def _cache(settings: Settings) -> Finding:
    """Write to the cache and read from it; warn if its folder is on a network file system."""
    if not (settings.cache.enabled and settings.cache.disk_bytes):
        return Finding("disk cache", None, "not wanted")

    async def tried(disk: Disk) -> bool:
        works = await _is_kept(disk)
        await disk.close()
        return works

    try:
        folder = settings.cache_folder()
        if folder is None:
            return Finding("disk cache", None, "there is no home for it; set cache.dir")
        kind = cache_file_system(folder, settings.store.timeout_seconds)
        works = asyncio.run(tried(Disk(folder, settings.cache.disk_bytes)))
    except OssError:
        return Finding("disk cache", False, f"{folder}: its file system hangs")
    except OSError as error:
        return Finding("disk cache", False, str(error))
    return Finding(
        "disk cache", works, f"on {kind}, {ON_NETWORK}: {folder}" if kind else str(folder)
    )


def _shared(settings: Settings) -> Finding:
    """Write to the shared cache and read from it."""

    async def tried() -> bool:
        shared = shared_of(settings)
        return shared is not None and await _is_kept(shared)

    try:
        return Finding("shared cache", asyncio.run(tried()), settings.cache.url)
    except SettingsError as error:
        return Finding("shared cache", False, str(error))


async def _is_kept(tier: Disk | RemoteCache) -> bool:
    cache_key = CacheKey("check", "vipsgate check", "0" * 32)
    await tier.put(cache_key, Entry("text/plain", 0, 4, b"data"))
    entry = await tier.get(cache_key)
    if entry:
        entry.close()
    await tier.purge(cache_key.bucket, cache_key.key)
    return entry is not None


def _documents(settings: Settings) -> Iterator[Finding]:
    """Read the bucket documents in the store as a server does."""
    if not settings.store.url:
        yield from _origins(settings, settings.buckets)
        return
    try:
        documents = Documents(store_of(settings), settings.limits)
        asyncio.run(documents.look())
    except (SettingsError, OssError, OSError) as error:
        yield Finding("bucket documents", False, str(error))
        return
    yield Finding("bucket documents", True, f"{len(documents.known) - len(documents.faults)} good")
    for name, fault in sorted(documents.faults.items()):
        yield Finding(f"document of bucket {name}", False, fault)
    yield from _origins(settings, {**documents.known, **settings.buckets})


def _origins(settings: Settings, known: Mapping[str, Bucket]) -> Iterator[Finding]:
    """Check that each HTTP server that objects come from is listed, and sends any answer."""
    for name, bucket in sorted(known.items()):
        for url in dict.fromkeys(bucket.origins()):
            works, detail = asyncio.run(_answers(settings, url))
            yield Finding(f"origin of bucket {name}", works, f"{url}: {detail}")


async def _answers(settings: Settings, url: str) -> tuple[bool, str]:
    client = client_of(settings)
    try:
        async with client.get(client.admit(url), {}, method="HEAD") as answer:
            return True, f"answers {answer.status}"
    except OssError as error:
        return False, error.message
    except ValueError as error:
        return False, str(error)
    finally:
        await client.close()


def _store(settings: Settings) -> Finding:
    """Check that the store's buckets can be listed."""
    if not settings.store.url:
        return Finding("store", True, "none configured")
    try:
        buckets = asyncio.run(store_of(settings).buckets())
    except (SettingsError, OssError) as error:
        return Finding("store", False, " ".join(filter(None, (str(error), _cause(error)))))
    return Finding("store", True, f"{settings.store.url}: {len(buckets)} buckets")


def _cause(error: Exception) -> str:
    """Return the first line of the object store's message."""
    return str(error.__cause__).partition("\n")[0] if error.__cause__ else ""
