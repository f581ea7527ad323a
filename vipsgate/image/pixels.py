"""libvips calls that several actions share: scaling, turning, smoothing, masks.

Colours are averaged by weight of their opacity: a picture with alpha is premultiplied before, and
converted back afterwards.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyvips import Image

GAP = 2.0  # libvips averages whole pixels first, so far that Lanczos reduces by 2 or more
AVERAGED = 8  # reduction from which on that is faster even for a picture in memory
TAIL = 2e-4  # part of a Gaussian's weight that may be cut off: 0.05 levels
EXACT = 20  # largest radius, in pixels, of a kernel that is computed in floats
WORK = 700_000_000  # and its largest weights times pixels; takes about 3 s
NEAR = 0.49  # pixels off a whole number within which rounding is certain
LINES = 16  # lines that are computed at a time, between the passes of a blur
SPARE = 4  # times as many are kept, besides those under the kernel
WHOLE = 63  # largest integer weight of a kernel; libvips' vector code takes up to 64 unchanged


def scaled(
    image: Image,
    width: int,
    height: int,
    size: tuple[float, float],
    *,
    gap: float = GAP,
    held: bool = False,
) -> Image:
    """Scale to exactly ``width`` by ``height`` pixels: Lanczos 3 down, bicubic up.

    Args:
        image: In 8 bits.
        width: Width of the result.
        height: Height of the result.
        size: Exact size of the picture, of which a loader that shrinks leaves whole pixels.
        gap: Least reduction by Lanczos; whole pixels are averaged before it.
        held: Whether it is in memory, so that the lines under a large kernel need not be decoded.
    """
    if (image.width, image.height) == (width, height):
        return image
    across, down = factor(image.width, width, size[0]), factor(image.height, height, size[1])
    if held and min(across, down) > 1 / AVERAGED:
        gap = 0.0
    return _levels(
        _weighted(image, lambda part: _resampled(part, width, height, across, down, gap))
    )


def divided(image: Image, factor: int) -> Image:
    """Reduce by a whole factor across and down, by Catmull-Rom; sides are rounded.

    The result covers exactly the picture, even if its sides are not multiples of the factor. If its
    last pixels extended beyond the border instead, pictures made from it would be shifted by an
    eighth of a pixel, which costs a photograph 5 points of SSIMULACRA2. The kernel rings less than
    that of Lanczos, which is applied to the result later.
    """
    width, height = (math.floor(side / factor + 0.5) for side in (image.width, image.height))
    across, down = width / image.width, height / image.height
    return _levels(
        _weighted(image, lambda part: part.resize(across, vscale=down, kernel="cubic", gap=GAP))
    )


def factor(side: int, wanted: int, size: float) -> float:
    """Return the factor by the exact size, or by pixels if libvips might else round differently."""
    return wanted / size if abs(side * wanted / size - wanted) < NEAR else wanted / side


def _resampled(
    image: Image, width: int, height: int, across: float, down: float, gap: float
) -> Image:
    if across < 1 or down < 1:
        image = image.resize(min(1.0, across), vscale=min(1.0, down), gap=gap)
    if across <= 1 and down <= 1:
        return image
    # not by ``resize``, which moves what it enlarges by up to half a pixel
    return _transformed(
        image, [max(1.0, across), 0, 0, max(1.0, down)], width, height, extend="copy"
    )


def shifted(image: Image, right: float, down: float) -> Image:
    """Move by parts of a pixel, by the parabola through three pixels across and down.

    Pixels beyond the border are like those beside it.

    Args:
        image: In 8 bits.
        right: Pixels to the right, from -0.5 to 0.5.
        down: Pixels down, likewise.
    """
    import pyvips

    mask = pyvips.Image.new_from_array(shifting(right, down), scale=WHOLE + 1)
    if not image.hasalpha():
        return image.convi(mask)
    return _levels(_weighted(image, lambda part: part.convi(mask)))


def shifting(right: float, down: float) -> list[list[int]]:
    """Return the weights by which :func:`shifted` adds three rows of three pixels.

    They are integers whose sum is :data:`WHOLE` + 1, so that libvips' vector code takes them.

    Args:
        right: Pixels to the right, from -0.5 to 0.5.
        down: Pixels down, likewise.
    """
    across, along = _parabola(right), _parabola(down)
    weights = [[round((WHOLE + 1) * one * other) for one in across] for other in along]
    weights[1][1] += WHOLE + 1 - sum(map(sum, weights))
    return weights


def _parabola(shift: float) -> tuple[float, float, float]:
    """Return the weights of the pixel before, of the pixel itself, and of the one after it."""
    return shift * (shift + 1) / 2, 1 - shift**2, shift * (shift - 1) / 2


def on_canvas(image: Image, width: int, height: int, colour: list[int]) -> Image:
    """Place the picture in the middle of an opaque canvas, which shows through transparency."""
    if image.bands < 3 and len(set(colour)) > 1:
        image = image.colourspace("srgb")
    background = colour if image.bands > 2 else colour[:1]
    if image.hasalpha():
        image = image.flatten(background=background)
    left, top = (width - image.width) // 2, (height - image.height) // 2
    return image.embed(left, top, width, height, extend="background", background=background)


def turned(image: Image, angle: float, width: int, height: int, *, by_line: bool) -> Image:
    """Turn clockwise by ``angle`` degrees around the middle, on a transparent canvas.

    Args:
        image: In 8 bits.
        angle: Degrees.
        width: Width of the result.
        height: Height of the result.
        by_line: Whether what follows may need whole lines of the result. Each shows pixels from all
            over the picture, which is then put into memory, with alpha.
    """
    if not image.hasalpha():
        image = image.addalpha()
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def turn(part: Image) -> Image:
        part = part.copy_memory() if by_line else part
        return _transformed(part, [cos, -sin, sin, cos], width, height)

    return _levels(_weighted(image, turn))


def _transformed(
    image: Image, matrix: list[float], width: int, height: int, **options: str
) -> Image:
    """Map by ``matrix`` from around the middle to around that of ``width`` by ``height``."""
    import pyvips  # only a renderer gets here; planning must do without

    return image.affine(
        matrix,
        interpolate=pyvips.Interpolate.new("bicubic"),
        oarea=[0, 0, width, height],
        premultiplied=True,
        # libvips counts pixel middles as whole numbers
        idx=(1 - image.width) / 2,
        idy=(1 - image.height) / 2,
        odx=(width - 1) / 2,
        ody=(height - 1) / 2,
        **options,
    )


def blurred(image: Image, sigma: float, radius: int) -> Image:
    """Smooth by the Gaussian of ``sigma`` pixels, cut off ``radius`` pixels from its middle.

    A small kernel is computed in floats. A large one, or one on a huge picture, is computed in 8
    bits, 8 to 30 times as fast. Its result is within 1 level of the rounded float result, except
    for small kernels on noise of black and white, where it is within 5.
    """
    weights: Sequence[float] = gaussian(sigma, radius)
    total, precision = 1, "float"
    work = (2 * len(weights) - 1) * image.width * image.height
    if len(weights) > EXACT + 1 or work > WORK:
        (weights, total), precision = in_whole(weights), "integer"
    row = _row(weights, total)

    def smooth(part: Image) -> Image:
        across = part.conv(row, precision=precision)
        # cached, because each line is needed by all lines of the result around it; ``linecache``
        # would keep 512 of them, in floats
        lines = across.tilecache(
            tile_width=image.width,
            tile_height=LINES,
            max_tiles=-(-row.width // LINES) + SPARE,
            access="sequential",
        )
        return lines.conv(row.rot90(), precision=precision)

    return _levels(_weighted(image, smooth))


def sharpened(image: Image, amount: float, sigma: float, radius: int) -> Image:
    """Add ``amount`` times the difference from a blurred copy; opacity is kept."""
    row = _row(gaussian(sigma, radius), 1)
    smooth = _weighted(image, lambda part: part.convsep(row, precision="float"))
    # a half more, since the cast cuts off
    result = (image.linear(1 + amount, 0.5) - smooth.linear(amount, 0)).cast("uchar")
    return _colours(result).bandjoin(_alpha(image)) if image.hasalpha() else result


def mapped(image: Image, level: Callable[[int], int]) -> Image:
    """Replace each level of a colour, 0-255, by another; opacity is kept."""
    import pyvips

    alpha = int(image.hasalpha())
    colours = image.bands - alpha
    table = b"".join(bytes([level(old)] * colours + [old] * alpha) for old in range(256))
    return image.maplut(pyvips.Image.new_from_memory(table, 256, 1, image.bands, "uchar"))


def rounded(image: Image, diameter: int) -> Image:
    """Round the corners by a disc of ``diameter`` pixels, at most the shorter side.

    The corners become transparent and keep their colours.
    """
    import pyvips

    side = math.ceil(diameter / 2)
    right, bottom = image.width - side, image.height - side
    corner = pyvips.Image.new_from_memory(quarter(diameter), side, side, 1, "uchar")
    mask = (
        corner.embed(0, 0, image.width, image.height, extend="white")
        .insert(corner.fliphor(), right, 0)
        .insert(corner.flipver(), 0, bottom)
        .insert(corner.rot180(), right, bottom)
    )
    if not image.hasalpha():
        return image.bandjoin(mask)
    alpha = (_alpha(image) * mask).linear(1 / 255, 0.5, uchar=True)
    return _colours(image).bandjoin(alpha)


@lru_cache(maxsize=1)  # for the pages of an animation
def quarter(diameter: int) -> bytes:
    """Return the upper left quarter of a disc, row by row: coverage of each pixel, 0-255.

    The middle row and column of an odd disc are included. Only pixels on the edge are computed, so
    that the largest disc takes some hundredths of a second.

    Args:
        diameter: Diameter of the disc in pixels, 1 or more.
    """
    radius = diameter / 2
    side = math.ceil(radius)
    rows = []
    for row in range(side):
        # distances from the disc's middle; a half pixel at the middle stands for its whole
        far = radius - row
        near = max(0.0, far - 1)
        first = math.floor(radius - _reach(radius, near))
        inside = min(side, math.ceil(radius - _reach(radius, far)))
        edge = bytes(
            round(255 * _share(radius, radius - column, near, far))
            for column in range(first, inside)
        )
        rows.append(bytes(first) + edge + b"\xff" * (side - inside))
    return b"".join(rows)


def _reach(radius: float, height: float) -> float:
    """Return half the width of a disc at a height over its middle."""
    return math.sqrt(max(0.0, radius**2 - height**2))


def _share(radius: float, right: float, low: float, high: float) -> float:
    """Return the part of a pixel that is inside a disc around 0, 0.

    Args:
        radius: Radius of the disc.
        right: The vertical side of the pixel that is farther from the middle.
        low: The pixel's lower side.
        high: Its upper side.
    """
    left = max(0.0, right - 1)
    # up to ``full`` the disc is higher than the pixel, from ``none`` on it is lower
    full = min(max(_reach(radius, high), left), right)
    none = min(max(_reach(radius, low), left), right)

    def under(x: float) -> float:
        """Return the area under the arc from 0 to x."""
        return (x * _reach(radius, x) + radius**2 * math.asin(min(1.0, x / radius))) / 2

    area = (full - left) * (high - low) + under(none) - under(full) - low * (none - full)
    return area / ((right - left) * (high - low))


def gaussian(sigma: float, radius: int) -> list[float]:
    """Return the weights of the middle and of one side; with the other side they sum to 1.

    Negligible weights at the end are left out.
    """
    weights = [math.exp(-((x / sigma) ** 2) / 2) for x in range(radius + 1)]
    total = 2 * math.fsum(weights) - weights[0]
    weights = [weight / total for weight in weights]
    tail = 0.0
    while len(weights) > 1 and tail + 2 * weights[-1] < TAIL:
        tail += 2 * weights.pop()
    return [weight / (1 - tail) for weight in weights]


def in_whole(weights: Sequence[float]) -> tuple[list[int], int]:
    """Return the weights as integers whose sum, with the other side, is a power of two.

    libvips' vector code computes with such weights, and would round others without regard to their
    sum. The rounding error of a weight is added to the next one inwards, so that the sum of all
    weights beyond a point, which determines edges, is exact to 0.5.

    Returns:
        The weights, the middle first, and their sum.
    """
    total = 1 << math.floor(math.log2(WHOLE / weights[0]))  # rounding may add 1 to the middle
    rest, whole = 0.0, []
    for weight in reversed(weights[1:]):
        rest += weight * total
        whole.append(round(rest))
        rest -= whole[-1]
    return [total - 2 * sum(whole), *reversed(whole)], total


def _row(weights: Sequence[float], total: int) -> Image:
    """Return a convolution matrix of one row, from the weights of the middle and one side."""
    import pyvips

    return pyvips.Image.new_from_array([[*reversed(weights[1:]), *weights]], scale=total)


def _colours(image: Image) -> Image:
    return image.extract_band(0, n=image.bands - 1)


def _alpha(image: Image) -> Image:
    return image.extract_band(image.bands - 1)


def _weighted(image: Image, change: Callable[[Image], Image]) -> Image:
    """Apply ``change`` to premultiplied colours of 8 bits; its result may be in floats."""
    if not image.hasalpha():
        return change(image)
    # rounded, as truncation would darken every semi-transparent edge
    return change(image.premultiply().rint().cast("uchar")).unpremultiply()


def _levels(image: Image) -> Image:
    """Round to 8 bits."""
    return image if image.format == "uchar" else image.rint().cast("uchar")
