"""From settings to the store that they name: a folder, or a place in an object store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from .settings import Settings, SettingsError
from .store.base import Store
from .store.cloud import CloudStore
from .store.copies import Copies
from .store.line import SCHEMES, Line, connect
from .store.local import LocalStore
from .store.shelf import Shelf

SOURCES = ".sources"  # the folder of copies, in that of what is made; no bucket has such a name


def store_of(settings: Settings) -> Store:
    """The store; nothing has been asked of it yet.

    Raises:
        SettingsError: There is none, or it is of a kind that there is not.
    """
    url = settings.store.url
    scheme = urlsplit(url).scheme
    if not url:
        raise SettingsError("store.url: is not set; name a folder: vipsgate serve ROOT")
    if scheme in SCHEMES:
        return _cloud(settings)
    if scheme != "file":
        raise SettingsError(f"store.url = {url!r}: expects file://, s3://, gs:// or az://")
    root = Path(unquote(urlsplit(url).path))
    if not root.is_dir():
        raise SettingsError(f"store.url = {url!r}: {root} is not a folder")
    return LocalStore(root)


def _cloud(settings: Settings) -> CloudStore:
    said = settings.store
    url = urlsplit(said.url)
    try:
        client = connect(said.url, said.timeout_seconds)
    except ValueError as error:
        raise SettingsError(f"store.url = {said.url!r}: {error}") from None
    line = Line(client, said.timeout_seconds)
    shelf = Shelf(line, said.fresh_seconds, said.stale_seconds, _copies(settings, said.url))
    return CloudStore(shelf, kind=url.scheme, prefix=url.path)


def _copies(settings: Settings, url: str) -> Copies | None:
    """Where copies of a store's objects are kept, beside what is made of them."""
    folder = settings.cache_folder()
    if not (settings.store.copy_bytes and folder):
        return None
    try:
        return Copies(folder / SOURCES, settings.store.copy_bytes, url)
    except OSError as error:
        raise SettingsError(f"store.copy_bytes: {error.filename}: {error.strerror}") from None
