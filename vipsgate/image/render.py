"""From a plan to a file: load, apply each step, save; one lazy pipeline.

The one call that reads pixels is the save or, where a picture is little work, the fetch before it.
Where a step must see the whole picture, what comes before it is computed into memory first, after
shrink-on-load and never earlier than needed. The pages of an animation are split and joined here,
so that no action knows of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pyvips

from ..errors import OssError
from . import encode
from .formats import heif, icc, metadata, warnings
from .formats.codecs import CODECS
from .formats.probe import Source, unreadable
from .frame import SRGB, Frame
from .load import load
from .plan import Plan
from .search import Choice
from .steps import Step

if TYPE_CHECKING:
    from pyvips import Image

    from .resources import Resources

T = TypeVar("T")

VERSION = 9  # of the pixels: raise it when the same plan gives another picture
LIBVIPS = (8, 18, 3)  # the lowest without known memory faults in its loaders
LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")  # classes VipsForeignLoad...
WHITE = [255, 255, 255]
FAULTS = (pyvips.Error, UnicodeDecodeError, OSError, ValueError, SyntaxError)  # of the decoders


def check() -> None:
    """Refuse a libvips with known memory faults.

    Raises:
        RuntimeError: libvips is older than :data:`LIBVIPS`.
    """
    version = tuple(pyvips.version(part) for part in range(3))
    if version < LIBVIPS:
        raise RuntimeError(f"libvips is {_dotted(version)}; {_dotted(LIBVIPS)} or newer is needed")


def prepare() -> None:
    """Set libvips up for one picture at a time, with the loaders of the allow-list only.

    It holds for the whole process, which therefore is one that does nothing else.

    Raises:
        RuntimeError: libvips is older than :data:`LIBVIPS`.
    """
    check()
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)


def identity() -> str:
    """What the bytes of a result depend on besides source and plan, for ETags."""
    return f"libvips {version()}, {heif.version()}, pixels {VERSION}"


def version() -> str:
    """libvips' version."""
    return _dotted([pyvips.version(part) for part in range(3)])


def render(
    source: Source,
    plan: Plan,
    descriptor: int,
    resources: Resources,
    base: Image | None = None,
) -> Choice | None:
    """Run the plan and write the result to ``descriptor``.

    Args:
        source: The file that the plan was made for.
        plan: What to do.
        descriptor: Of an empty file, where the result goes; some encoders read and seek in it.
        resources: Where actions get what they need besides this source.
        base: The source in memory, as :func:`.load.load` gives it for this plan; ``None`` to have
            it loaded.

    Returns:
        The quality that was searched for; ``None`` where the plan says it.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
        InvalidArgument: The file cannot be as small as it should be.
        WatermarkError: An object that is to be laid on it cannot be used.
    """
    # what is laid on the picture first: its decoder's memory is free again before ours needs it
    with decoding():
        steps = [step.ready(resources) for step in plan.steps]
        image = load(source, plan) if base is None else base
        if plan.result.pages == 1:
            image = _apply(image, steps, resources.watch)
        else:
            image = _joined(image, plan, steps, resources.watch)
        image = icc.converted(image, plan.header.gamut, plan.result.gamut)
        codec, has_metadata = (
            CODECS[plan.result.format],
            plan.result.copyright or plan.result.profile,
        )
        if has_metadata:
            image = _with_metadata(image, source, plan)
        if image.hasalpha() and (plan.result.opaque or not codec.alpha):
            image = image.flatten(background=WHITE if image.bands > 2 else WHITE[:1])
        resources.watch(image)
        if goal := plan.result.goal:
            return encode.save(_computed(image), descriptor, plan.result, goal, resources.watch)
        if plan.at_once and codec.at_once and plan.result.gamut == SRGB and not has_metadata:
            os.write(descriptor, codec.at_once(_pixels(image, plan.result), plan.result))
        else:
            codec.save(image, descriptor, plan.result)
            warnings.check()
        return None


def _with_metadata(image: Image, source: Source, plan: Plan) -> Image:
    """With what ``strip`` keeps of the source, and no other field that an encoder might write."""
    result = plan.result
    image = metadata.bare(image, profile=result.profile)
    if plan.header.tagged and image.get_typeof(metadata.PROFILE_DATA):
        try:
            image = icc.exported(image, result.gamut)
        except pyvips.Error:  # so the result has the profile of what it was brought to
            image.remove(metadata.PROFILE_DATA)
    if result.copyright:
        metadata.attach(image, metadata.read(source))
    return image


@contextmanager
def decoding() -> Iterator[None]:
    """Raise in OSS's words what stops a decoder.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded, or not all of it.
    """
    warnings.clear()
    try:
        yield
    except OssError:
        raise
    except FAULTS as error:
        raise unreadable(error) from None


def _computed(image: Image) -> Image:
    image = image.copy_memory()
    warnings.check()
    return image


def _pixels(image: Image, frame: Frame) -> bytes:
    """All of them, row by row, computed in this thread.

    libvips' sinks hand every few lines from thread to thread: 20 changes for a thumbnail, which
    took a third of its time.
    """
    pixels = bytes(pyvips.Region.new(image).fetch(0, 0, frame.width, frame.height))
    warnings.check()
    return pixels


def held(source: Source, plan: Plan, watch: Callable[[Image], None]) -> Image:
    """The source in memory, as it is loaded for a plan.

    Args:
        source: The file that the plan was made for.
        plan: For which it is loaded.
        watch: Told of the image before it is computed.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with decoding():
        image = load(source, plan)
        watch(image)
        return _computed(image)


def master(
    source: Source, plan: Plan, watch: Callable[[Image], None], keep: Callable[[Image], T]
) -> T:
    """Compute the master of a source, for a plan that leads over it.

    Args:
        source: The file that the plan was made for.
        plan: For which it is computed.
        watch: Told of the image before it is computed.
        keep: Computes it, as :func:`.masters.write` or :func:`.masters.held`.

    Returns:
        What ``keep`` has returned.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with decoding():
        image = load(source, plan)
        watch(image)
        kept = keep(image)
        warnings.check()
        return kept


def picture(source: Source, plan: Plan, watch: Callable[[Image], None]) -> Image:
    """The plan's picture in memory, its first page: 8-bit sRGB with alpha.

    Args:
        source: The file that the plan was made for.
        plan: What to do; its actions need nothing else.
        watch: Told of each image before it is computed.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with decoding():
        image = _apply(load(source, plan), plan.steps, watch)
        image = icc.converted(image, plan.header.gamut, SRGB)
        if image.bands < 3:
            image = image.colourspace("srgb")
        if not image.hasalpha():
            image = image.addalpha()
        watch(image)
        # without what the file says besides its pixels, which may be megabytes
        size = image.width, image.height, image.bands
        pixels = image.write_to_memory()
        warnings.check()
        return pyvips.Image.new_from_memory(pixels, *size, "uchar").copy(interpretation="srgb")


def _apply(image: Image, steps: Sequence[Step], watch: Callable[[Image], None]) -> Image:
    streaming = True
    for step in steps:
        if streaming and not step.streams:
            watch(image)
            image, streaming = _computed(image), False
        image = step.apply(image)
    return image


def _joined(
    image: Image, plan: Plan, steps: Sequence[Step], watch: Callable[[Image], None]
) -> Image:
    """Every page through the steps, then one below the other again, with their timing.

    The pages are made in their order, so that the source is still read once from top to bottom.
    """
    height, header = plan.header.height, plan.header
    pages = []
    for page in range(plan.result.pages):
        one = _apply(image.crop(0, page * height, header.width, height), steps, watch)
        watch(one)
        pages.append(_computed(one))  # or every page's pipeline would live until all are joined
    joined = pyvips.Image.arrayjoin(pages, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", plan.result.height)
    for name in ("delay", "loop"):
        if image.get_typeof(name):
            joined.set_type(image.get_typeof(name), name, image.get(name))
    return joined


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
