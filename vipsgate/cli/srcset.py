"""``vipsgate srcset``: prints an ``<img>`` of an object in several widths, chosen by their bytes.

The object is read from the store that the configuration names, and two small pictures of it are
made in this process, as by ``vipsgate render``. The alternative, to request them from a server,
would need a running one, and a signature for a private bucket.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..buckets import Bucket
from ..catalog.documents import Documents
from ..errors import NoSuchBucket
from ..settings import Settings
from ..store.base import Store
from . import links
from .bucket import ROOT, StoreOption
from .shared import CONFIG, Usage

if TYPE_CHECKING:
    from ..console.srcset import Source
    from ..console.urls import Place, Terms
    from ..gate.sign import Credential

FORMATS = ("avif", "webp", "jpg", "png")  # formats that browsers show
MAX_WIDTH = 16384  # pixels, OSS's limit for a result
PIXELS = re.compile(r"([1-9][0-9]{0,4})px")  # a value of sizes= with one width


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of the command.

    Attributes:
        bucket: The bucket's name.
        key: The object's key.
        bases: Process texts before the resize; several are styles, each of which has one width.
        formats: OSS's names of formats in order of preference; empty for the format of the base.
        widths: Widths in pixels; empty to choose them by their bytes.
        layout: Largest width at which the picture is shown, in CSS pixels.
        density: Device pixels for each CSS pixel.
        most: Most widths.
    """

    bucket: str
    key: str
    bases: tuple[str, ...]
    formats: tuple[str, ...]
    widths: tuple[int, ...]
    layout: int
    density: float
    most: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Returns the URLs of one object.

    Attributes:
        place: The public address of the bucket.
        key: The object's key.
        credential: Key pair that signs; ``None`` for plain URLs.
        terms: Validity and version of signatures.
    """

    place: Place
    key: str
    credential: Credential | None
    terms: Terms

    def url(self, process: str) -> str:
        """Return the URL of the object with a process."""
        if self.credential is None:
            return self.place.plain(self.key, process)
        return self.place.signed(self.credential, self.key, process, self.terms)


def _widths(context: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """Return the widths of an argument, ascending, each once; none for ``auto``."""
    if value == "auto":
        return ()
    words = value.split(",")
    if not all(word.isascii() and word.isdigit() for word in words):
        raise click.BadParameter(f"{value!r}: expects auto, or widths like 320,640,1280")
    widths = tuple(sorted({int(word) for word in words}))
    if not 1 <= widths[0] <= widths[-1] <= MAX_WIDTH:
        raise click.BadParameter(f"{value!r}: a width is from 1 to {MAX_WIDTH}")
    return widths


@click.command("srcset")
@click.argument("name", metavar="BUCKET/KEY")
@click.option("--style", "styles", multiple=True, help="Before the width; several: one width each.")
@click.option("--process", default="", metavar="TEXT", help="Before the width: image/crop,h_400")
@click.option("--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Repeatable.")
@click.option("--widths", callback=_widths, default="auto", show_default=True, help="Or 320,640.")
@click.option("--max", "most", type=click.IntRange(2, 30), default=10, show_default=True)
@click.option("--sizes", default="", help='Of HTML.  ["(max-width: LAYOUTpx) 100vw, LAYOUTpx"]')
@click.option("--layout", type=click.IntRange(1, MAX_WIDTH), help="Widest on a page.  [1280]")
@click.option("--dpr", type=click.FloatRange(1, 4), default=2.0, show_default=True)
@click.option("--alt", help="Text in its place.  [the file's name]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the bytes predicted.")
@click.option("--sign", is_flag=True, help="Sign the URLs.")
@click.option("--expires", "--timeout", "expires", type=click.IntRange(1), default=3600)
@click.option("--v4", is_flag=True, help="Sign with V4.  [V1]")
@click.option("--endpoint", metavar="URL", help="Where it leads.  [http://HOST:PORT of [server]]")
@click.option("--access-key-id", metavar="ID", help="Who signs.  [the first of [[credentials]]]")
@ROOT
@CONFIG
def command(
    name: str,
    styles: tuple[str, ...],
    process: str,
    formats: tuple[str, ...],
    widths: tuple[int, ...],
    most: int,
    sizes: str,
    layout: int | None,
    dpr: float,
    alt: str | None,
    as_json: bool,
    sign: bool,
    expires: int,
    v4: bool,
    endpoint: str | None,
    access_key_id: str | None,
    root: str | None,
    config: Path | None,
) -> None:
    """Print an <img> with a srcset of the object KEY, in widths that are chosen by their bytes.

    Two small pictures are made to predict the bytes; each next width saves about 24 KB, or a third.
    Several formats give a <picture>. Several styles give one width each, which anonymous callers
    need if source images are protected. KEY is given without percent-encoding.
    """
    from ..console import srcset, urls

    bucket, _, key = name.removeprefix("oss://").partition("/")
    if not (bucket and key):
        raise click.UsageError(f"{name}: expects BUCKET/KEY")
    if styles and process:
        raise click.UsageError("give --style or --process")
    if len(styles) > 1 and (formats or widths):
        raise click.UsageError("of several styles each is one width, in its own format")
    fixed = PIXELS.fullmatch(sizes.strip())
    layout = layout or (int(fixed[1]) if fixed else srcset.LAYOUT)
    bases = tuple(f"style/{style}" for style in styles) or (process,)
    request = Request(bucket, key, bases, formats, widths, layout, dpr, most)

    async def work(
        settings: Settings, store: Store, documents: Documents
    ) -> tuple[list[Source], str]:
        document = settings.buckets.get(bucket) or documents.known.get(bucket)
        if document is None and not store.has(bucket):
            raise NoSuchBucket(f"there is no bucket {bucket}")
        document = document or Bucket(acl=settings.default_acl)
        server = settings.server
        terms = urls.Terms(
            time.time(), expires, 4 if v4 else 1, server.region, server.v4_expires_max
        )
        credential = links.signer(access_key_id, settings) if sign else None
        where = links.place(endpoint, bucket, key, settings)
        addresses = Addresses(where, key, credential, terms)
        return await _sources(request, addresses, settings, store, document)

    try:
        sources, refused = StoreOption(config, root).run(work)
    except (ValueError, OSError, RuntimeError) as error:
        raise Usage(str(error)) from None
    if refused:
        click.echo(f"without a signature these URLs are refused: {refused}", err=True)
    shown = sizes or srcset.sizes(layout, sources[-1].largest.width)
    alt = key.rpartition("/")[2] if alt is None else alt
    if as_json:
        click.echo(json.dumps(srcset.data(sources, shown, alt), indent=2, ensure_ascii=False))
    else:
        click.echo(srcset.markup(sources, shown, alt))


async def _sources(
    request: Request, addresses: Addresses, settings: Settings, store: Store, document: Bucket
) -> tuple[list[Source], str]:
    """Return the sources of the markup, and why anonymous browsers may not load them, or "".

    Raises:
        OssError: The object is missing, is not a picture, or a process is not valid.
    """
    from ..gate import simulate, style
    from ..gate.access import Seen
    from ..gate.target import PROCESS, Target
    from ..image import process

    names = [style.expanded(base, document.styles) for base in request.bases]
    texts = [name for name in names if name]
    needs = {key for text in texts for key in process.parse(text, settings.limits).needs()}
    objects = {key: await _read(store, request.bucket, key) for key in {request.key, *needs}}
    maker = Maker(objects.pop(request.key), objects, settings)
    if len(request.bases) > 1:
        sources = [_of_styles(request, names, maker, addresses)]
    else:
        kinds = request.formats or ("",)
        sources = [_of_widths(request, names[0], kind, maker, addresses) for kind in kinds]
        sources[-1] = replace(sources[-1], mime="")
    if addresses.credential:
        return sources, ""
    first = request.bases[0] if len(request.bases) > 1 else f"{request.bases[0]}|image/resize,w_1"
    target = Target(request.bucket, request.key, ((PROCESS, first.lstrip("|")),))
    item = await store.stat(request.bucket, request.key)
    seen = Seen(request.key, item.properties.acl, item.properties.content_type, item.aliases, True)
    error = simulate.verdicts(target, document, [seen])["anonymous"]
    return sources, str(error) if error else ""


async def _read(store: Store, bucket: str, key: str) -> bytes:
    item = await store.stat(bucket, key)
    opened = await store.open(bucket, item.properties.target or key)
    try:
        return opened.read()
    finally:
        opened.close()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes pictures of one object, to measure their sizes.

    Attributes:
        data: The object's bytes.
        objects: Bytes of the watermarks' objects, by key.
        settings: The settings, with limits and rendering options.
    """

    data: bytes
    objects: Mapping[str, bytes]
    settings: Settings

    def size(self, text: str) -> tuple[int, int]:
        """Return width and height of a process's result, from the header; "" is the source."""
        from .. import explain

        settings = self.settings
        text = text or "image/auto-orient,1"
        plan = explain(self.data, text, limits=settings.limits, rendering=settings.image)
        return plan["result"]["width"], plan["result"]["height"]

    def render(self, text: str) -> tuple[int, str]:
        """Return bytes and media type of a process's result."""
        from .. import transform

        settings = self.settings
        picture = transform(
            self.data,
            text,
            objects=self.objects,
            limits=settings.limits,
            rendering=settings.image,
        )
        return len(picture.data), picture.mime


def _of_styles(request: Request, contents: list[str], maker: Maker, addresses: Addresses) -> Source:
    """Return the source whose candidates are styles, one for each width."""
    from ..console.srcset import Candidate, Source

    rows = {}
    for base, content in zip(request.bases, contents, strict=True):
        width, height = maker.size(content)
        rows[width] = Candidate(addresses.url(base), width, height, maker.render(content)[0])
    return Source("", tuple(rows[width] for width in sorted(rows)))


def _of_widths(
    request: Request, content: str, kind: str, maker: Maker, addresses: Addresses
) -> Source:
    """Return the source of one base in several widths, none above its own width."""
    from ..console import srcset
    from ..image import widths

    size = maker.size(content)
    small, large = widths.ends(size[0], request.layout, request.density)
    measured, mime = {}, ""
    for width in widths.samples(small, large):
        measured[width], mime = maker.render(srcset.process(content, width, kind))
    curve = widths.Curve.of(measured.items())
    if request.widths and request.widths[-1] > size[0]:
        click.echo(f"the picture is {size[0]} wide: no width is above that", err=True)
    chosen = tuple(dict.fromkeys(min(width, size[0]) for width in request.widths))
    chosen = chosen or widths.choose(curve, small, large, request.most)
    return srcset.Source(
        mime,
        tuple(
            srcset.Candidate(
                addresses.url(srcset.process(request.bases[0], width, kind)),
                width,
                srcset.height(width, size),
                round(curve.at(width)),
            )
            for width in chosen
        ),
    )
