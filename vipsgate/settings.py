"""The server's settings: one field each, from flags, environment and ``vipsgate.toml``.

``Attributes:`` of each class describes its keys; ``.ci/readme`` makes the tables of
deploy/README.md from it.

Flags take precedence over ``VIPSGATE_<SECTION>__<KEY>`` in the environment, this over the file, and
the file over the defaults. Lists and tables in the environment (``VIPSGATE_CREDENTIALS``,
``VIPSGATE_BUCKETS``) are JSON. With an unknown key or a value out of range the server does not
start.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from .buckets import BUCKET, Acl, Bucket, Record
from .catalog import documents
from .gate import webhook
from .image.config import Limits, Rendering
from .outgoing import address
from .renderers.admission import QUEUE_BYTES

PREFIX = "VIPSGATE_"
_FROM_FILE: ContextVar[Mapping[str, Any]] = ContextVar("_FROM_FILE", default=MappingProxyType({}))
CPUS_PER_FRONT = 4  # CPUs for one front and the renderers that it keeps busy
MAX_FRONTS = 64
WHOLE = frozenset(
    ("CREDENTIALS", "WEBHOOKS", "BUCKETS")
)  # sections that are JSON in the environment
IN_PIECES = re.compile(r"^\s*\[\[.*rules", re.MULTILINE)  # [[buckets.NAME.protection.rules]]
RENAMED = {  # name of a setting in version 0.1 -> its present name
    "server.dear_bytes": "server.heavy_memory_bytes",
    "store.copy_bytes": "store.source_cache_bytes",
    "store.film_bytes": "store.video_fetch_bytes",
}


def _list(value: Any) -> Any:
    """Parse a list, which is JSON in the environment; errors of pydantic-settings name no key."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("expects a list in JSON") from None


Host = Annotated[str, AfterValidator(address.check_pattern)]
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_list)]
Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(Exception):
    """The server cannot start with these settings; the text names key and value."""


class Server(Record):
    """``[server]``: ports, processes, and limits of what may wait.

    Attributes:
        host: Address of the public port.
        port: Public port; 0 picks a free one.
        admin_host: Address of the admin port.
        admin_port: Port for health, metrics, the console, ``/explain`` and purges, which must not
            be public; 0 picks a free one.
        metrics_private: Whether ``/metrics``, too, requires a login or an owner's signature if
            there are credentials.
        endpoint: Domain below which buckets are host names: with ``oss.example.com``,
            ``BUCKET.oss.example.com`` is the bucket. Empty: only path style and OSS's own hosts,
            such as ``BUCKET.oss-REGION.aliyuncs.com``.
        region: Region that V4 signatures must name.
        v4_expires_max: Seconds for which a URL signed with V4 may be valid; OSS allows 604800, 7
            days.
        fronts: Front processes on the public port; 0: one for every four CPUs that this process may
            use, at least 1. With several there is a parent process, and the renderers, at least one
            each, and ``cache.memory_bytes`` are divided among the fronts.
        renderers: Renderer processes; 0: one for each CPU that this process may use.
        queue_seconds: A picture whose predicted wait for a renderer is longer than this many
            seconds gets 503.
        queue_bytes: Memory of waiting requests, 24 KB each; further requests get 503.
        queue: Pictures that may wait, even if their predicted wait is short; further requests get
            503.
        connections: Open connections of the public port; 0: as many as file descriptors allow. At
            the limit, idle ones are closed and new ones wait.
        body_seconds: Seconds for a request body to begin; after that it has to arrive at 500 bytes
            a second.
        request_timeout: Seconds for one picture, including the wait; after that 503.
        drain_seconds: Seconds after SIGTERM in which requests in progress may finish.
        reuse_port: Whether several servers may share the public port (``SO_REUSEPORT``).
        renderer_bytes: An idle renderer with more resident memory than this is replaced.
        heavy_memory_bytes: Estimated memory that all pictures except quick ones may take together;
            0: half of the memory that this process may use, at least ``limits.render_bytes``.
        legacy_at_api: Whether ``cat.jpg@100w.jpg`` is supported in all buckets. Each bucket has the
            same setting, and it is always supported at ``BUCKET.img-REGION.aliyuncs.com``.
        callback_hosts: Servers that may be called after uploads (``x-oss-callback``): ``HOST`` for
            the ports 80 and 443, ``HOST:PORT``, ``*.DOMAIN``. A host in a private network must be
            listed by its exact name or address. Empty: callbacks are refused with 501.
        accel_redirect: Location of nginx that maps to the cache's folder, such as
            ``/.vipsgate/cache/``, so that nginx sends cached files (X-Accel-Redirect). Empty:
            vipsgate sends them.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8081
    metrics_private: bool = False
    endpoint: Annotated[str, Field(pattern=r"^[a-z0-9.-]*$")] = ""
    region: str = "cn-hangzhou"
    v4_expires_max: Annotated[int, Field(ge=1, le=999_999_999)] = 604_800
    fronts: Annotated[int, Field(ge=0, le=MAX_FRONTS)] = 0
    renderers: Annotated[int, Field(ge=0, le=1024)] = 0
    queue_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    queue_bytes: Annotated[int, Field(ge=0)] = QUEUE_BYTES
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    connections: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = 10
    request_timeout: Annotated[float, Field(gt=0, le=3600)] = 15
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 30
    reuse_port: bool = False
    renderer_bytes: Annotated[int, Field(ge=1 << 26)] = 314_572_800
    heavy_memory_bytes: Annotated[int, Field(ge=0)] = 0
    legacy_at_api: bool = False
    callback_hosts: Hosts = ()
    accel_redirect: Annotated[str, Field(pattern=r"^(/([^/?#]+/)+)?$")] = ""


class Store(Record):
    """``[store]``: the place of the objects.

    Attributes:
        url: ``file:///FOLDER``, ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX`` or
            ``az://CONTAINER/PREFIX``; ROOT on the command line sets it, too.
        upload_bytes: Most bytes of one PutObject or of one part.
        stale_seconds: While the store is not available, cached results are sent for this many
            seconds after their source was last seen.
        threads: Whether files are accessed in threads, each call within ``timeout_seconds``, which
            file systems that may hang need: ``true``, ``false``, or ``auto``: for those that the
            kernel names as such (NFS, CephFS, SMB, FUSE and others), checked once for each bucket.
        timeout_seconds: Seconds for one call to an object store, including retries, or to a file
            system that may hang.
        fresh_seconds: Seconds for which the known properties of an object are used before they are
            read again from an object store, or a file system that may hang; 0: they are read for
            every request.
        source_cache_bytes: Bytes in the cache's folder for copies of sources from an object store;
            0: none are kept.
        video_fetch_bytes: Most bytes of a video that is fetched from an object store, or a file
            system that may hang, for a snapshot.
        streaming: Whether a picture is decoded while its source is still arriving from an object
            store, or a file system that may hang.
    """

    url: str = ""
    upload_bytes: Annotated[int, Field(ge=1)] = 5_368_709_120  # OSS guide, PutObject
    stale_seconds: Annotated[float, Field(ge=0, le=86400)] = 600
    threads: Literal["auto"] | bool = "auto"
    # this and the following ones apply to object stores, and to file systems that may hang
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    fresh_seconds: Annotated[float, Field(ge=0, le=3600)] = 1
    source_cache_bytes: Annotated[int, Field(ge=0)] = 0
    video_fetch_bytes: Annotated[int, Field(ge=0)] = 536_870_912
    streaming: bool = True


class Origins(Record):
    """``[origins]``: HTTP servers that objects come from (``mirror`` and ``origin`` of a bucket).

    Attributes:
        hosts: Servers that may be used: ``HOST`` for the ports 80 and 443, ``HOST:PORT``,
            ``*.DOMAIN``; whoever may change a bucket can choose any of them. A host in a private
            network must be listed by its exact name or address. Empty: no server may be used, and
            rules are refused with 501.
        timeout_seconds: Seconds for an answer to begin, and for each piece of it.
        fetch_bytes: Most bytes of an object that is fetched.
        fresh_seconds: Seconds for which the known properties of an object that is not stored are
            used before its server is asked again.
        missing_seconds: Seconds for which a server is not asked again for an object that it does
            not have; 0: it is asked for every request.
    """

    hosts: Hosts = ()
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10  # OSS guide, back-to-origin
    fetch_bytes: Annotated[int, Field(ge=1)] = 536_870_912
    fresh_seconds: Annotated[float, Field(ge=0, le=86400)] = 60
    missing_seconds: Annotated[float, Field(ge=0, le=3600)] = 10


class Cache(Record):
    """``[cache]``: the place of derivatives.

    Attributes:
        dir: Folder on a local disk, because it is read in the event loop; several servers of one
            user may share it. Empty: ``vipsgate`` in the user's cache directory.
        disk_bytes: Bytes that derivatives may take in the folder.
        memory_bytes: Bytes that derivatives may take in memory.
        master_bytes: Bytes that the masters of large sources may take in the folder, in addition to
            ``disk_bytes``, if ``image.masters`` is on; one has up to 24 MB. 0: none are kept.
        url: ``s3://BUCKET/PREFIX``, ``gs://...`` or ``az://...``: a place where derivatives are
            also stored, for the other nodes of a fleet. Empty: none.
        enabled: Whether derivatives are cached.
    """

    dir: str = ""
    disk_bytes: Annotated[int, Field(ge=0)] = 1_073_741_824
    memory_bytes: Annotated[int, Field(ge=0)] = 67_108_864
    master_bytes: Annotated[int, Field(ge=0)] = 1_073_741_824
    url: str = ""
    enabled: bool = True


class Log(Record):
    """``[log]``: the access log, with one line for each request.

    Attributes:
        format: ``json``, or ``combined``, the format of Apache and nginx.
        path: A file, which is opened again on SIGHUP; ``-`` is standard error. Empty: no access
            log.
    """

    format: Literal["json", "combined"] = "json"
    path: str = ""


class Traces(Record):
    """``[traces]``: OpenTelemetry; its ``OTEL_...`` variables determine where spans are sent.

    Attributes:
        enabled: Whether there is a span for each request; needs the extra ``otel``.
    """

    enabled: bool = False


class Credential(Record):
    """``[[credentials]]``: key pairs; if there are any, buckets without a document are private.

    Attributes:
        access_key_id: Name of the key pair, which signatures contain.
        access_key_secret: Secret that signatures are computed with.
        role: Rights of its holder: ``owner`` may do everything; ``writer`` may read, put and use
            saveas; ``reader`` may read and list.
        security_token: Token that requests of this key pair must also have; empty: none.
    """

    access_key_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z._=]+$")]
    access_key_secret: Annotated[str, Field(min_length=1, repr=False)]
    role: Literal["owner", "reader", "writer"] = "owner"
    security_token: Annotated[str, Field(repr=False)] = ""


class Webhook(Record):
    """``[[webhooks]]``: requests that tell caches in front of purges and changes.

    Templates contain ``${NAME}``: ``event bucket key prefix style path url`` of one event, or the
    lists ``tags keys paths urls`` of up to ``batch`` events. Values are escaped for the place of
    the variable: a URL, a header, JSON or a form.

    Attributes:
        name: Unique name in the log.
        events: Events for which requests are sent: ``write`` and ``delete`` of an object,
            ``purge``, a changed content of a ``style``, a changed ACL, protection or Referer rule
            (``rights``).
        buckets: Buckets whose events are sent; empty: all.
        method: Method of the request.
        url: URL of the request; its part after the host is a template. Redirects are not followed.
        headers: Headers of the request; their values are templates.
        body: Body of the request, a template; JSON or a form by ``Content-Type``. Empty: none.
        site: Prefix of paths in ``${url}`` and ``${urls}``, ``https://img.example.com``.
        batch: Most events in one request, if the templates use only lists.
        delay_seconds: Seconds between an event and its request; 5 with several nodes on one object
            store, because another node may send the old answer for that long.
        timeout_seconds: Seconds for one request.
        tries: How often a request is sent if it gets no answer, 429 or 5xx; the intervals grow.
        queue: Events that may wait; further events are lost, and counted.
        acs_key_id: Access key of Alibaba Cloud that signs the request (ACS3-HMAC-SHA256); empty:
            not signed.
        acs_key_secret: Secret of that key.
    """

    name: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
    events: Annotated[tuple[webhook.Kind, ...], Field(min_length=1)] = webhook.KINDS
    buckets: tuple[Annotated[str, Field(pattern=f"^{BUCKET.pattern}$")], ...] = ()
    method: Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")] = "POST"
    url: Annotated[str, Field(repr=False)]
    headers: Annotated[Mapping[str, str], Field(repr=False)] = {}
    body: str = ""
    site: Annotated[str, Field(pattern=r"^(https?://[!-.0-~]+)?$")] = ""
    batch: Annotated[int, Field(ge=1, le=1000)] = 30
    delay_seconds: Annotated[float, Field(ge=0, le=600)] = 0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    acs_key_id: str = ""
    acs_key_secret: Annotated[str, Field(repr=False)] = ""

    @model_validator(mode="after")
    def _can_be_filled(self) -> Webhook:
        if bool(self.acs_key_id) != bool(self.acs_key_secret):
            raise ValueError("expects both acs_key_id and acs_key_secret, or neither")
        self.hook().check()
        return self

    def hook(self) -> webhook.Hook:
        """Return the webhook without its times and limits."""
        signer = (self.acs_key_id, self.acs_key_secret) if self.acs_key_id else None
        return webhook.Hook(
            self.name,
            frozenset(self.events),
            self.buckets,
            self.method,
            self.url,
            tuple(self.headers.items()),
            self.body,
            self.site,
            self.batch,
            signer,
        )


class Settings(BaseSettings):
    """All settings; deploy/README.md has their tables."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    server: Server = Server()
    store: Store = Store()
    origins: Origins = Origins()
    cache: Cache = Cache()
    limits: Limits = Limits()
    image: Rendering = Rendering()
    log: Log = Log()
    traces: Traces = Traces()
    credentials: tuple[Credential, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    buckets: Mapping[str, Bucket] = Field(default_factory=dict)
    _rules_may_follow: bool = PrivateAttr(False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the flags, the environment and the file that :func:`load` has read."""
        file = InitSettingsSource(settings_cls, dict(_FROM_FILE.get()))
        return init_settings, env_settings, file

    @field_validator("buckets")
    @classmethod
    def _named(cls, buckets: Mapping[str, Bucket]) -> Mapping[str, Bucket]:
        for name in buckets:
            if not BUCKET.fullmatch(name):
                raise ValueError(f"{name!r} is not a bucket name: 3-63 of a-z, 0-9 and -")
        for host, times in Counter(host for b in buckets.values() for host in b.domains).items():
            if times > 1:
                raise ValueError(f"{host!r} is named as the domain of {times} buckets")
        return buckets

    @field_validator("webhooks")
    @classmethod
    def _has_each_hook_once(cls, hooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        for name, times in Counter(item.name for item in hooks).items():
            if times > 1:
                raise ValueError(f"{times} webhooks have the name {name!r}")
        return hooks

    @property
    def default_acl(self) -> Acl:
        """The ACL of a bucket without a document: private if there are credentials."""
        return "private" if self.credentials else "public-read"

    @property
    def rules_may_follow(self) -> bool:
        """Whether the file has rules of protection as separate tables.

        If so, a file that is being written may lack the last ones without being invalid.
        """
        return self._rules_may_follow

    def domains(self) -> dict[str, str]:
        """Return the bucket of each host name, for the buckets that are declared here."""
        return {host: name for name, bucket in self.buckets.items() for host in bucket.domains}

    def heavy_memory_bytes(self) -> int:
        """Return the estimated bytes that pictures except quick ones may take together."""
        return self.server.heavy_memory_bytes or max(self.limits.render_bytes, usable_memory() // 2)

    def cache_folder(self) -> Path | None:
        """Return the folder of the cache: ``cache.dir``, or ``vipsgate`` in the user's cache (XDG).

        Returns:
            ``None`` if the user has no home directory.
        """
        if self.cache.dir:
            return Path(self.cache.dir)
        try:
            return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vipsgate"
        except RuntimeError:
            return None

    def front_count(self) -> int:
        """Return the number of front processes: as set, or one for every four CPUs."""
        return self.server.fronts or min(MAX_FRONTS, max(1, usable_cpus() // CPUS_PER_FRONT))

    def renderer_count(self) -> int:
        """Return the number of renderer processes: as set, or the CPUs that may be used."""
        return self.server.renderers or usable_cpus()


def load(file: Path | None, flags: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read the settings from all sources.

    Args:
        file: ``vipsgate.toml``; ``None`` for none.
        flags: Values of the command line by section and key; ``None`` for flags that are not set.

    Raises:
        SettingsError: The file cannot be read, a key is unknown, a value is out of range, or
            ``fonts_dir`` is not a folder.
    """
    _check_environment()
    given = {
        section: {key: value for key, value in rows.items() if value is not None}
        for section, rows in flags.items()
    }
    text = _read(file) if file else ""
    try:
        toml = tomllib.loads(text)
        rows: Any = {section: keys for section, keys in given.items() if keys}
        token = _FROM_FILE.set(toml)
        try:
            result = Settings(**rows)
        finally:
            _FROM_FILE.reset(token)
    except ValidationError as error:
        raise SettingsError("\n".join(map(_line, error.errors()))) from None
    except ValueError as error:  # malformed TOML, or JSON in an environment variable
        raise SettingsError(f"{file or 'the environment'}: {error}") from None
    result._rules_may_follow = bool(IN_PIECES.search(text))
    if (folder := result.image.fonts_dir) and not os.path.isdir(folder):
        raise SettingsError(f"image.fonts_dir = {folder!r}: is not a folder")
    for name, bucket in result.buckets.items():
        try:
            documents.check_styles(bucket, result.limits)
        except documents.DocumentError as error:
            raise SettingsError(f"buckets.{name}.{error}") from None
        for url in unlisted(bucket, result.origins.hosts):
            raise SettingsError(
                f"buckets.{name}: {url!r}: its host and port are not in origins.hosts"
            )
    return result


def unlisted(bucket: Bucket, hosts: Iterable[str]) -> list[str]:
    """Return the URLs of a bucket's servers that are not in ``hosts``."""
    return [url for url in bucket.origins() if address.admit(address.parse(url), hosts) is None]


def _read(file: Path) -> str:
    """Return the text of the file.

    Raises:
        SettingsError: The file cannot be read, or is not UTF-8.
    """
    if not file.is_file():
        raise SettingsError(f"--config: {file} is not a file")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None


def usable_memory() -> int:
    """Return the machine's memory in bytes, or the cgroup's limit if that is less (memory.max)."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return memory
    return memory if limit == "max" else min(memory, int(limit))


def usable_cpus() -> int:
    """Return the CPUs of the affinity mask, or the cgroup's quota if that is less (cpu.max)."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, int(quota) // int(period)))


def _check_environment() -> None:
    for name in os.environ:
        section, nested, key = name.upper().removeprefix(PREFIX).partition("__")
        if not name.upper().startswith(PREFIX) or name == f"{PREFIX}CONFIG":
            continue
        if section in WHOLE and not nested:
            continue
        if section.lower() not in Settings.model_fields or not (nested and key):
            known = ", ".join(name.upper() for name in Settings.model_fields)
            raise SettingsError(f"{name}: not a setting; VIPSGATE_<SECTION>__<KEY> has {known}")


def _line(error: Any) -> str:
    name = ".".join(map(str, error["loc"]))
    if name.startswith("webhooks"):
        return f"{name}: {error['msg']}"  # any template may contain a secret
    if name.startswith("credentials") and not name.endswith((".access_key_id", ".role")):
        return f"{name}: {error['msg']}"  # the value may be a secret, even if the key is misspelled
    if error["type"] == "extra_forbidden" and name in RENAMED:
        return f"{name}: is called {RENAMED[name]} now"
    return documents.line(error)
