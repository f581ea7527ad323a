"""``<img srcset>`` and ``<picture>``: one picture in several widths and formats; pure.

This is used by the object's page and by ``vipsgate srcset``. All URLs have OSS's grammar, so the
markup is also valid for a bucket of OSS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..image.frame import proportion

LAYOUT, DENSITY = 1280, 2.0  # defaults: CSS pixels of a page's width, device pixels for each


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture that a browser may choose.

    Attributes:
        url: Its URL.
        width: Width in pixels.
        height: Height in pixels.
        size: Predicted bytes; 0 if they are not known.
    """

    url: str
    width: int
    height: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """The same picture in all widths, in one format.

    Attributes:
        mime: Media type; empty for a format that all browsers support, which comes last.
        candidates: Candidates by ascending width; at least one.
    """

    mime: str
    candidates: tuple[Candidate, ...]

    @property
    def largest(self) -> Candidate:
        """The candidate for browsers without support for srcset."""
        return self.candidates[-1]

    @property
    def srcset(self) -> str:
        """The value of the attribute, with commas and spaces in URLs encoded."""
        rows = ((one.url.replace(",", "%2C").replace(" ", "%20"), one) for one in self.candidates)
        return ", ".join(f"{url} {one.width}w" for url, one in rows)


def process(base: str, width: int, kind: str = "") -> str:
    """Return the process text of one candidate.

    Args:
        base: Process before the resize, ``style/NAME`` or ``image/...``; may be empty.
        width: Width in pixels.
        kind: OSS's name of the format; empty for that of ``base``, or of the source.
    """
    own = f"image/resize,w_{width}" + (f"/format,{kind}" if kind else "")
    return f"{base}|{own}" if base else own


def height(width: int, size: tuple[int, int]) -> int:
    """Return the height that ``resize`` gives a picture of a size at this width."""
    return proportion(size[1], width, size[0])


def sizes(layout: int, widest: int) -> str:
    """Return ``sizes`` for a picture as wide as the page, up to the layout's or its own width."""
    width = min(layout, widest)
    return f"(max-width: {width}px) 100vw, {width}px"


def markup(sources: Sequence[Source], sizes: str, alt: str) -> str:
    """Return the HTML: ``<img>``, within ``<picture>`` if there are several formats.

    Args:
        sources: Sources in order of preference; the last one is the ``<img>``.
        sizes: The attribute ``sizes``.
        alt: The attribute ``alt``.
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
    """Return the sources as plain values, for programs that write the markup themselves."""
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
