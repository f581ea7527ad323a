"""Finds the font files for text, and has libvips draw with these and no others.

Fonts are taken from three places: all of ``image.fonts_dir``; the packages that come with vipsgate;
of the system's folders, only the families behind OSS's names. If two places have the same family,
the first of them wins. libvips is given each file by name and searches no folder, so it builds no
cache, and finds no other fonts.

HarfBuzz, which Pango also shapes with, reads a font's names and its characters. It is imported
inside of functions: a front imports this module, but reads no fonts.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass
from fnmatch import translate
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..image.fonts import FILES, NAMES, Family, Fonts

if TYPE_CHECKING:
    from uharfbuzz import Face

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fonts.conf")
PACKAGES = (  # modules, in the order in which they are searched for a character
    "noto_cjk_sans_otc",  # Chinese, Japanese, Korean
    "fontpkg_noto_sans",  # Latin, Greek, Cyrillic with their marks, of which the first has few
    "fontpkg_noto_sans_arabic",
    "fontpkg_heebo",  # Hebrew
)
# of the extra ``fonts``: Noto Serif SC, WenQuanYi Micro Hei; of these, too, only the families
# behind OSS's names are taken
OPTIONAL = ("pylopdf_fonts_zh_cn", "paperang_p2_fonts_cjk")
SYSTEM = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
KINDS = (".ttf", ".otf", ".ttc", ".otc")
MAX_FILES = 64  # of fonts_dir; a large file adds 25 ms to the start of each renderer
MAX_FACES = 64  # of one collection; Noto Sans CJK has 10
COLLECTION = b"ttcf"
OUTLINES = {b"glyf", b"CFF ", b"CFF2"}
COLOURS = {b"CBDT", b"sbix", b"COLR", b"SVG "}
FAMILY, WHOLE_FAMILY = 1, 16  # name IDs; the second one is set if the first one includes the weight
WEIGHT, WIDTH = 400, 100  # of a regular font; the width is a percentage
HINTS = re.compile("|".join(map(translate, FILES)), re.IGNORECASE)
WANTED = {name for face in NAMES.values() for name in (*face.own, *face.standins)}

Oddity = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class File:
    """A font file, and the family that is taken from it.

    Attributes:
        path: Its path, with symlinks resolved.
        size: Bytes.
        family: Name and characters.
    """

    path: str
    size: int
    family: Family


@dataclass(frozen=True, slots=True)
class Typefaces:
    """The font files that were found.

    Attributes:
        files: One for each family, in the order in which they are searched for a character.
        rejected: Files that cannot be used, each with the reason.
    """

    files: tuple[File, ...]
    rejected: tuple[str, ...] = ()

    @property
    def fonts(self) -> Fonts:
        """The families of all files."""
        return Fonts(tuple(file.family for file in self.files))

    @property
    def readable(self) -> tuple[str, ...]:
        """Paths that must stay readable: FreeType reads a glyph when it is drawn."""
        return (CONFIG, *dict.fromkeys(file.path for file in self.files))

    @property
    def identity(self) -> str:
        """A hash of all files' names and sizes, 12 hexadecimal digits, for ETags."""
        rows = [f"{os.path.basename(file.path)} {file.size}" for file in self.files]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]

    def install(self) -> None:
        """Register the files with libvips, for the rest of this process; before its first text."""
        import pyvips

        os.environ["FONTCONFIG_FILE"] = CONFIG
        for path in self.readable[1:]:
            if path not in _installed:
                _installed.add(path)
                # drawing a blank is an error, but the file is registered by then
                with contextlib.suppress(pyvips.Error):
                    pyvips.Image.text(" ", fontfile=path)


_installed: set[str] = set()  # paths of this process, each to be registered once


def find(fonts_dir: str = "", system: Iterable[str] = SYSTEM) -> Typefaces:
    """Find all fonts.

    Args:
        fonts_dir: A folder, all fonts of which are taken; empty for none.
        system: Folders, of which only the families behind OSS's names are taken.
    """
    rejected: list[str] = []
    paths = _files(fonts_dir) if fonts_dir else []
    rejected += [f"{path!r}: more than {MAX_FILES} font files" for path in paths[MAX_FILES:]]
    own = _regular(paths[:MAX_FILES], rejected)
    packaged = _regular((path for name in PACKAGES for path in _files(_folder(name))), rejected)
    hinted = (
        path
        for folder in system
        for path in _files(os.path.expanduser(folder))
        if HINTS.match(os.path.basename(path))
    )
    extra = (path for name in OPTIONAL for path in _files(_folder(name)))
    installed = {
        family: file
        for family, file in _regular((*extra, *hinted), rejected).items()
        if family in WANTED
    }
    chosen = installed | packaged | own
    order = dict.fromkeys((*packaged, *own, *installed))
    return Typefaces(tuple(chosen[family] for family in order), tuple(rejected))


def _files(folder: str) -> list[str]:
    return sorted(
        os.path.join(at, name)
        for at, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(KINDS)
    )


def _folder(package: str) -> str:
    """Return the folder of a package, without importing it."""
    spec = find_spec(package)
    return os.path.dirname(spec.origin) if spec and spec.origin else os.devnull


def _regular(paths: Iterable[str], rejected: list[str]) -> dict[str, File]:
    """Return the file with the most regular font of each family, by family.

    For each file that cannot be used, a line is appended to ``rejected``.
    """
    import uharfbuzz as hb

    best: dict[str, tuple[Oddity, File]] = {}
    for path in paths:
        try:
            for oddity, file in _look(path):
                family = file.family.name
                if family not in best or oddity < best[family][0]:
                    best[family] = oddity, file
        except (OSError, ValueError, hb.HarfBuzzError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            rejected.append(f"{path!r}: {reason}")
    return {family: file for family, (_, file) in best.items()}


def _look(path: str) -> list[tuple[Oddity, File]]:
    """Return the families of a file that stand behind OSS's names, or else its first one.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file cannot be used; the message is the reason.
    """
    import uharfbuzz as hb

    path.encode()  # as libvips wants it
    # mapped twice and never read whole: only a few tables of up to 20 MB are used
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        blob = hb.Blob.from_file_path(path)
        faces = [hb.Face(blob, index) for index in range(min(hb.Face(blob).count, MAX_FACES))]
        if not faces:
            raise ValueError("not a font file")
        for face in faces:
            _check(data, face.index)
    names = [(name, face) for face in faces for name in _names(face)]
    if not names:
        raise ValueError("a font without a family name")
    wanted = [row for row in names if row[0] in WANTED] or names[:1]
    return [
        (_oddity(face), File(os.path.realpath(path), size, Family(name, _characters(face))))
        for name, face in wanted
    ]


def _check(data: mmap.mmap, index: int) -> None:
    """Check that a font has outlines, and that none of its tables is cut off.

    HarfBuzz accepts a table that is cut off, but FreeType does not, and draws blanks. HarfBuzz has
    checked that the directory of tables is complete. For its format see the OpenType specification
    1.9, Organization of an OpenType font.
    """
    start = struct.unpack_from(">I", data, 12 + 4 * index)[0] if data[:4] == COLLECTION else 0
    count = struct.unpack_from(">H", data, start + 4)[0]
    rows = list(struct.iter_unpack(">4s4xII", data[start + 12 : start + 12 + 16 * count]))
    if any(at + size > len(data) for _, at, size in rows):
        raise ValueError("a truncated font file")
    tables = {tag for tag, _, _ in rows}
    if COLOURS & tables:
        raise ValueError("a colour font, whose glyphs cannot be drawn in one colour")
    if not OUTLINES & tables:
        raise ValueError("a font without outlines")


def _names(face: Face) -> list[str]:
    """Return the names of a font's family: without the weight first, and English ones first."""
    entries = [entry for entry in face.list_names() if entry.name_id in (WHOLE_FAMILY, FAMILY)]
    entries.sort(key=lambda entry: (entry.name_id != WHOLE_FAMILY, entry.language != "en"))
    return [name for entry in entries if (name := face.get_name(*entry))]


def _oddity(face: Face) -> Oddity:
    """Return how far a font is from its family's regular one: in slant, width and weight."""
    import uharfbuzz as hb

    style = hb.Font(face).get_style_value
    width, weight = style(hb.StyleTag.WIDTH) - WIDTH, style(hb.StyleTag.WEIGHT) - WEIGHT
    return style(hb.StyleTag.ITALIC), abs(width), abs(weight)


def _characters(face: Face) -> Container[int]:
    """Return the code points that a font has a glyph for."""
    characters: Container[int] = face.unicodes
    if not characters:
        raise ValueError("a font without a Unicode character table")
    return characters
