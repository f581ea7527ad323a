"""Renders a plan to a file: load, apply each step, save; one lazy pipeline.

Pixels are read by the save or, for a picture that is little work, by a fetch before it. If a step
needs the whole picture, the steps before it are computed into memory, after shrink-on-load and no
earlier than needed; once more if a step with a kernel lies between two such steps. The pages of an
animation are split and joined here, so actions see single pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import PIL
import pyvips

from ..errors import OssError
from . import encode
from .formats import heif, icc, metadata, turbo, warnings
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

VERSION = 10  # part of ETags: to be raised when the same plan gives other pixels
LIBVIPS = (8, 18, 3)  # the first version without known memory faults in its loaders
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

    This applies to the whole process.

    Raises:
        RuntimeError: libvips is older than :data:`LIBVIPS`.
    """
    check()
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)


def identity() -> str:
    """Return everything that a result's bytes depend on besides source and plan, for ETags."""
    others = f"Pillow {PIL.__version__}, {heif.version()}, {turbo.version()}"
    return f"libvips {version()}, {others}, pixels {VERSION}"


def version() -> str:
    """Return libvips' version."""
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
        plan: The plan.
        descriptor: An empty file for the result, in which some encoders read and seek.
        resources: Overlays, text and limits for the actions.
        base: The source in memory, as :func:`.load.load` gives it for this plan; ``None`` to load
            it.

    Returns:
        The result of a search for the quality; ``None`` without one.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
        InvalidArgument: The file cannot be as small as requested.
        WatermarkError: An overlay cannot be made of its object.
    """
    # overlays first, so that their decoders' memory is free before the source is decoded
    with Decoding():
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
            pixels = _pixels(image, plan.result, little=plan.is_little)
            with open(descriptor, "wb", closefd=False) as file:
                file.write(codec.at_once(pixels, plan.result))
        else:
            codec.save(image, descriptor, plan.result)
            warnings.check()
        return None


def _with_metadata(image: Image, source: Source, plan: Plan) -> Image:
    """Return the image with the metadata that ``strip`` keeps, and no other."""
    result = plan.result
    image = metadata.bare(image, profile=result.profile)
    if plan.header.tagged and image.get_typeof(metadata.PROFILE_DATA):
        try:
            image = icc.exported(image, result.gamut)
        except pyvips.Error:  # then the result has the profile that it was converted to
            image.remove(metadata.PROFILE_DATA)
    if result.copyright:
        metadata.attach(image, metadata.read(source))
    return image


class Decoding:
    """A context that converts the errors of decoders to OSS's.

    It is a class because a generator in its place would leave a cycle behind since Python 3.12: the
    new error's traceback has the generator's frame, that one's caller has the old error, and its
    traceback all the frames below. Pictures and descriptors would stay until garbage is collected.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded, or not all of it.
    """

    def __enter__(self) -> None:
        warnings.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, FAULTS) and not isinstance(error, OssError):
            raise unreadable(error) from None


def _computed(image: Image) -> Image:
    image = image.copy_memory()
    warnings.check()
    return image


def _pixels(image: Image, frame: Frame, *, little: bool) -> bytes:
    """Return all pixels, row by row; computed in this thread if that is ``little`` work.

    libvips' sinks pass every few lines from thread to thread: 20 switches for a thumbnail, which
    took a third of its time. More work takes less time in its threads, which keep their buffers.
    """
    if little:
        pixels = bytes(pyvips.Region.new(image).fetch(0, 0, frame.width, frame.height))
    else:
        pixels = bytes(image.write_to_memory())
    warnings.check()
    return pixels


def held(source: Source, plan: Plan, watch: Callable[[Image], None]) -> Image:
    """Return the source in memory, as loaded for a plan.

    Args:
        source: The file that the plan was made for.
        plan: The plan.
        watch: Called with the image before it is computed.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with Decoding():
        image = load(source, plan)
        watch(image)
        return _computed(image)


def master(
    source: Source, plan: Plan, watch: Callable[[Image], None], keep: Callable[[Image], T]
) -> T:
    """Compute the master of a source, for a plan that uses it.

    Args:
        source: The file that the plan was made for.
        plan: The plan, without its steps.
        watch: Called with the image before it is computed.
        keep: Computes it: :func:`.masters.write` or :func:`.masters.held`.

    Returns:
        The result of ``keep``.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with Decoding():
        image = load(source, plan)
        watch(image)
        kept = keep(image)
        warnings.check()
        return kept


def picture(source: Source, plan: Plan, watch: Callable[[Image], None]) -> Image:
    """Return the first page of a plan's picture in memory: 8-bit sRGB with alpha.

    Args:
        source: The file that the plan was made for.
        plan: The plan, of actions that need no resources.
        watch: Called with each image before it is computed.

    Raises:
        BadRequest: The file is of a kind that is not supported.
        ImageDamage: The file cannot be decoded.
    """
    with Decoding():
        image = _apply(load(source, plan), plan.steps, watch)
        image = icc.converted(image, plan.header.gamut, SRGB)
        if image.bands < 3:
            image = image.colourspace("srgb")
        if not image.hasalpha():
            image = image.addalpha()
        watch(image)
        # without metadata, which may be megabytes
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
        # else lines under a kernel would be computed again for each column that is read
        streaming = streaming or (step.streams and step.lines > 0)
    return image


def _joined(
    image: Image, plan: Plan, steps: Sequence[Step], watch: Callable[[Image], None]
) -> Image:
    """Apply the steps to each page, and join the results, with their timing.

    Pages are made in order, so that the source is read once, from top to bottom.
    """
    height, header = plan.header.height, plan.header
    pages = []
    for page in range(plan.result.pages):
        one = _apply(image.crop(0, page * height, header.width, height), steps, watch)
        watch(one)
        pages.append(_computed(one))  # else the pipelines of all pages would be held until the end
    joined = pyvips.Image.arrayjoin(pages, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", plan.result.height)
    for name in ("delay", "loop"):
        if image.get_typeof(name):
            joined.set_type(image.get_typeof(name), name, image.get(name))
    return joined


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
