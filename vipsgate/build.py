"""From settings to the store that they name: a folder, or a place in an object store.

And to those of single buckets that are elsewhere, on a server of HTTP, or painted.
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

SHARED_SECONDS = 2.0  # for one asking of the shared cache; what takes longer is made sooner
# of a cache's folder; what is asked of it is asked in the loop
ON_NETWORK = "and while that does not answer, no request is answered; set cache.dir to a local disk"
SOURCES = ".sources"  # the folder of copies, in that of what is made; no bucket has such a name


def store_of(
    settings: Settings,
    painter: Painter | None = None,
    client: Client | None = None,
    writes: Writes | None = None,
) -> Routing:
    """The store, and those of buckets that are elsewhere; nothing has been asked of it yet.

    Args:
        settings: Which one.
        painter: Makes the pictures of synthetic buckets; ``None`` where nobody can.
        client: Asks servers of HTTP that buckets come from; ``None`` for one as the settings have
            it.
        writes: Told of names that are written; ``None`` where nobody wants to know.

    Raises:
        SettingsError: There is none, or it is of a kind that there is not.
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
    """The store that a folder is, as its file system needs it; ``None`` where it is no folder.

    Raises:
        OssError: It does not answer in time.
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
    """A place in an object store, of many buckets or of one.

    Raises:
        ValueError: It cannot be.
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
    """What asks the servers of HTTP that the settings list."""
    return Client(settings.origins.hosts, settings.origins.timeout_seconds)


def _website(
    settings: Settings, copies: Path | None, client: Client, url: str, bucket: str
) -> HttpStore:
    """A bucket on a server of HTTP.

    Raises:
        ValueError: It may not be asked, or its copies cannot be kept.
    """
    options = settings.store
    source = HttpClient(client, url)
    objects = HttpReader(
        source, options.fresh_seconds, options.stale_seconds, _source_cache(settings, copies, url)
    )
    return HttpStore(objects, bucket, settings.origins.fetch_bytes)


def shared_of(settings: Settings) -> RemoteCache | None:
    """The bucket for what is made that the settings name; ``None`` for none.

    Raises:
        SettingsError: It cannot be.
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
    """The name of the file system of the cache's folder, where that lets its reader wait.

    It is empty for any other one, and where it cannot be told.

    Args:
        folder: Need not be there yet.
        seconds: That it may take to answer.

    Raises:
        OssError: It does not answer in time.
    """

    def look() -> str:
        there = folder.absolute()
        try:
            while not there.exists():
                there = there.parent
            return filesystems.blocking(str(there))
        except OSError:  # who makes the folder will say so
            return ""

    threads = Threads("start", seconds)
    try:
        return threads.now(look)
    finally:
        threads.close()


def _copies(settings: Settings) -> Path | None:
    """The folder of copies of remote objects, in that of what is made of them, if that answers.

    ``None`` where no copies are wanted, and where the user's home hangs.

    Raises:
        SettingsError: The cache's folder is named, and its file system hangs.
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
    """Where copies of a store's objects are kept."""
    if copies is None:
        return None
    try:
        return SourceCache(copies, settings.store.source_cache_bytes, url)
    except OSError as error:
        raise ValueError(f"store.source_cache_bytes: {error.filename}: {error.strerror}") from None
