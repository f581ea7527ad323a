"""Creates the stores and caches that the settings name.

The main store is a folder or a place in an object store. Single buckets may be in another object
store, on an HTTP server, or synthetic.
"""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .buckets import HTTP, SYNTHETIC, Origin
from .cache.remote import RemoteCache
from .errors import OssError
from .outgoing.client import Client
from .settings import Settings, SettingsError
from .settings import Store as StoreSettings
from .store.base import Store
from .store.local.disk import Disk
from .store.local.store import LocalStore
from .store.remote.client import SCHEMES, StoreClient, connect
from .store.remote.http_client import HttpClient
from .store.remote.http_store import HttpReader, HttpStore
from .store.remote.objects import RemoteObjects
from .store.remote.source_cache import SourceCache
from .store.remote.store import CloudStore
from .store.routing import Routing
from .store.synthetic import PaintedCache, Painter, Synthetic
from .store.threaded import filesystems
from .store.threaded.store import ThreadedStore
from .store.threaded.threads import Threads
from .store.writes import Writes

SHARED_SECONDS = 2.0  # seconds for a call to the shared cache; rendering is quicker than more
# a warning about the cache's folder, which is read in the event loop
ON_NETWORK = "and while that does not answer, no request is answered; set cache.dir to a local disk"
SOURCES = ".sources"  # the folder of copies, in the cache's folder; not a valid bucket name


def store_of(
    settings: Settings,
    painter: Painter | None = None,
    client: Client | None = None,
    writes: Writes | None = None,
) -> Routing:
    """Create the store of all buckets. No object store or server is called yet.

    Args:
        settings: The settings.
        painter: Paints the pictures of synthetic buckets; ``None`` if there are no renderers.
        client: Client for HTTP servers that buckets come from; ``None`` for a new one.
        writes: Records the names that are written; ``None`` if they are not needed.

    Raises:
        SettingsError: ``store.url`` is not set, not valid, not a folder, or cannot be reached.
    """
    copies = _copies(settings)
    painted = PaintedCache(painter) if painter else None
    outgoing = client or client_of(settings)

    def reach(bucket: str, origin: Origin) -> Store:
        if origin.url.startswith(HTTP):
            return _website(settings, copies, outgoing, origin.url, bucket)
        if origin.url != SYNTHETIC:
            return _cloud(settings, copies, origin.url, bucket)
        if painted is None:
            raise ValueError("there are no renderers here that would paint")
        chance = random.Random(bucket).random  # the same faults after every start
        return Synthetic(painted, origin.delay_ms / 1000, origin.error_rate, chance)

    base = _base(settings, copies, writes)
    if isinstance(base, ThreadedStore):
        return Routing(base, reach, base.direct)
    return Routing(base, reach)


def _base(settings: Settings, copies: Path | None, writes: Writes | None) -> Store:
    url = settings.store.url
    scheme = urlsplit(url).scheme
    if not url:
        raise SettingsError("store.url: is not set; name a folder: vipsgate serve ROOT")
    if scheme in SCHEMES:
        try:
            return _cloud(settings, copies, url, writes=writes)
        except ValueError as error:
            raise SettingsError(f"store.url = {url!r}: {error}") from None
    if scheme != "file":
        raise SettingsError(f"store.url = {url!r}: expects file://, s3://, gs:// or az://")
    root = Path(unquote(urlsplit(url).path))
    try:
        if store := _folder(root, settings.store, writes):
            return store
    except OssError as error:
        raise SettingsError(f"store.url = {url!r}: {error.message}") from None
    raise SettingsError(f"store.url = {url!r}: {root} is not a folder")


def _folder(root: Path, options: StoreSettings, writes: Writes | None) -> Store | None:
    """Create the store of a folder, with threads if its file system may hang.

    Returns:
        ``None`` if there is no such folder.

    Raises:
        OssError: The file system does not answer in time.
    """
    if options.threads is False:
        return LocalStore(root, options.stale_seconds) if root.is_dir() else None

    def look() -> tuple[Disk, Disk | None] | None:
        if not root.is_dir():
            return None
        blocking = options.threads is True or filesystems.is_blocking(str(root))
        disk = Disk(root)
        return disk, None if blocking else Disk(disk.root, settles=True)

    result = Threads("start", options.timeout_seconds).now(look)
    if result is None:
        return None
    disk, quick = result
    return ThreadedStore(
        disk,
        options.timeout_seconds,
        fresh=options.fresh_seconds,
        stale=options.stale_seconds,
        quick=LocalStore(quick, options.stale_seconds) if quick else None,
        writes=writes,
    )


def _cloud(
    settings: Settings,
    copies: Path | None,
    url: str,
    bucket: str = "",
    writes: Writes | None = None,
) -> CloudStore:
    """Create the store of a place in an object store, for all buckets or for ``bucket`` alone.

    Raises:
        ValueError: The URL is not valid, or copies cannot be kept.
    """
    options = settings.store
    client = StoreClient(connect(url, options.timeout_seconds), options.timeout_seconds)
    objects = RemoteObjects(
        client,
        options.fresh_seconds,
        options.stale_seconds,
        _source_cache(settings, copies, url),
        writes=writes,
    )
    parts = urlsplit(url)
    return CloudStore(objects, kind=parts.scheme, prefix=parts.path, bucket=bucket)


def client_of(settings: Settings) -> Client:
    """Create a client for the HTTP servers in ``origins.hosts``."""
    return Client(settings.origins.hosts, settings.origins.timeout_seconds)


def _website(
    settings: Settings, copies: Path | None, client: Client, url: str, bucket: str
) -> HttpStore:
    """Create the store of a bucket on an HTTP server.

    Raises:
        ValueError: The server is not in ``origins.hosts``, or copies cannot be kept.
    """
    options = settings.store
    source = HttpClient(client, url)
    objects = HttpReader(
        source, options.fresh_seconds, options.stale_seconds, _source_cache(settings, copies, url)
    )
    return HttpStore(objects, bucket, settings.origins.fetch_bytes)


def shared_of(settings: Settings) -> RemoteCache | None:
    """Create the shared cache of ``cache.url``; ``None`` if that is empty.

    Raises:
        SettingsError: The URL is not valid.
    """
    url = settings.cache.url
    if not url:
        return None
    if urlsplit(url).scheme not in SCHEMES:
        raise SettingsError(f"cache.url = {url!r}: expects s3://, gs:// or az://")
    try:
        return RemoteCache(StoreClient(connect(url, SHARED_SECONDS), SHARED_SECONDS))
    except ValueError as error:
        raise SettingsError(f"cache.url = {url!r}: {error}") from None


def cache_file_system(folder: Path, seconds: float) -> str:
    """Return the name of the cache folder's file system if that may hang.

    Args:
        folder: The folder, which need not exist yet.
        seconds: Time in which the file system has to answer.

    Returns:
        Empty if the file system does not hang, or is not known.

    Raises:
        OssError: The file system does not answer in time.
    """

    def look() -> str:
        there = folder.absolute()
        try:
            while not there.exists():
                there = there.parent
            return filesystems.blocking(str(there))
        except OSError:  # creating the folder will report it
            return ""

    threads = Threads("start", seconds)
    try:
        return threads.now(look)
    finally:
        threads.close()


def _copies(settings: Settings) -> Path | None:
    """Return the folder for copies of remote objects, which is in the cache's folder.

    Returns:
        ``None`` if no copies are to be kept, or if the file system of the default folder hangs.

    Raises:
        SettingsError: ``cache.dir`` is set, and its file system hangs.
    """
    folder = settings.cache_folder()
    if not (settings.store.source_cache_bytes and folder):
        return None
    try:
        cache_file_system(folder, settings.store.timeout_seconds)
    except OssError:
        if settings.cache.dir:
            raise SettingsError(
                f"cache.dir = {settings.cache.dir!r}: its file system hangs"
            ) from None
        return None
    return folder / SOURCES


def _source_cache(settings: Settings, copies: Path | None, url: str) -> SourceCache | None:
    """Create the folder for copies of a store's objects; ``None`` if none are kept.

    Raises:
        ValueError: The folder cannot be created or used.
    """
    if copies is None:
        return None
    try:
        return SourceCache(copies, settings.store.source_cache_bytes, url)
    except OSError as error:
        raise ValueError(f"store.source_cache_bytes: {error.filename}: {error.strerror}") from None
