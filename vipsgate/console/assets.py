"""Scripts and style sheets of the package, under names with a hash of their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load.

    Attributes:
        data: Its bytes.
        mime: Its type.
    """

    data: bytes
    mime: str


@cache
def all_assets() -> dict[str, Asset]:
    """Return the assets by hashed name, ``console.0123456789ab.css``."""
    return {hashed(path.name): Asset(path.read_bytes(), TYPES[path.suffix]) for path in _files()}


@cache
def hashed(name: str) -> str:
    """Return the name under which a file is served."""
    path = FOLDER / name
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{path.stem}.{digest}{path.suffix}"


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.suffix in TYPES)
