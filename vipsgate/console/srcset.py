"""``<img srcset>`` and ``<picture>``: one picture in several widths and formats; pure.

Used by the object's page, and by ``vipsgate srcset``. Every URL is OSS's own grammar, so that the
markup is as good for a bucket of OSS's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..image.frame import proportion

LAYOUT, DENSITY = 1280, 2.0  # pixels of a page, device pixels to each: what is made for, unasked


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture that a browser may choose.

    Attributes:
        url: Where it is.
        width: Its pixels.
        height: Likewise.
        size: Its bytes, as predicted; 0 where nobody has said it.
    """

    url: str
    width: int
    height: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """The same picture in all widths, in one format.

    Attributes:
        mime: The media type; empty for the one that every browser takes, which comes last.
        candidates: By rising width; one or more.
    """

    mime: str
    candidates: tuple[Candidate, ...]

    @property
    def largest(self) -> Candidate:
        """The candidate for browsers that do not know of the others."""
        return self.candidates[-1]

    @property
    def srcset(self) -> str:
        """The value of the attribute; a comma or a space in a URL would end it."""
        rows = ((one.url.replace(",", "%2C").replace(" ", "%20"), one) for one in self.candidates)
        return ", ".join(f"{url} {one.width}w" for url, one in rows)


def process(base: str, width: int, kind: str = "") -> str:
    """The process text of one candidate.

    Args:
        base: What is done to the picture before, ``style/NAME`` or ``image/...``; may be empty.
        width: Pixels.
        kind: OSS's word of the format; empty for that of ``base``, or the source's.
    """
    own = f"image/resize,w_{width}" + (f"/format,{kind}" if kind else "")
    return f"{base}|{own}" if base else own


def height(width: int, size: tuple[int, int]) -> int:
    """The height of a candidate of this width, as ``resize`` makes it of a picture of a size."""
    return proportion(size[1], width, size[0])


def sizes(layout: int, widest: int) -> str:
    """The ``sizes`` of a picture as wide as the page, up to a layout's width or its own."""
    width = min(layout, widest)
    return f"(max-width: {width}px) 100vw, {width}px"


def markup(sources: Sequence[Source], sizes: str, alt: str) -> str:
    """The HTML: ``<img>``, within ``<picture>`` where there are several formats.

    Args:
        sources: In the order of preference; the last one is the ``<img>``.
        sizes: How wide the picture is shown, as HTML has it.
        alt: What is read in its place.
    """
    last = sources[-1]
    image = (
        f'<img src="{escape(last.largest.url)}"{_choice(last, sizes)} '
        f'width="{last.largest.width}" height="{last.largest.height}" alt="{escape(alt)}">'
    )
    if len(sources) == 1:
        return image
    rows = (f'<source type="{escape(one.mime)}"{_choice(one, sizes)}>' for one in sources[:-1])
    return "\n  ".join(["<picture>", *rows, image]) + "\n</picture>"


def _choice(source: Source, sizes: str) -> str:
    return f' srcset="{escape(source.srcset)}" sizes="{escape(sizes)}"'


def data(sources: Sequence[Source], sizes: str, alt: str) -> dict[str, object]:
    """The same as plain values, for programs that write the markup themselves."""
    last = sources[-1]
    return {
        "src": last.largest.url,
        "width": last.largest.width,
        "height": last.largest.height,
        "alt": alt,
        "sizes": sizes,
        "sources": [
            {
                "type": one.mime,
                "srcset": one.srcset,
                "candidates": [
                    {
                        "url": item.url,
                        "width": item.width,
                        "height": item.height,
                        "bytes": item.size,
                    }
                    for item in one.candidates
                ],
            }
            for one in sources
        ],
    }
