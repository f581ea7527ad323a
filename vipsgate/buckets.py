"""The document of a bucket: ACL, domains, styles, protection and referer rules.

Each class says under ``Attributes:`` what its keys are for; ``.ci/readme`` makes the tables of
deploy/README.md from there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .outgoing import address

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
HTTP = ("http://", "https://")
ORIGIN = re.compile(r"(?:s3|gs|az)://[A-Za-z0-9._-]+(?:/[^?#]*)?")
SYNTHETIC = "synthetic"  # the origin of pictures that are painted when they are asked for

StyleName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]  # OSS guide, Image styles
Acl = Literal["private", "public-read", "public-read-write"]
ACLS: tuple[str, ...] = get_args(Acl)
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # 3-63 bytes; OSS guide, Bucket naming
DAY = 86_400  # seconds
INTERNAL = ".vipsgate"  # the bucket of our own documents and parts; a word that no key may have
Seconds = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # since the epoch, to the year 9999


def _domain(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not DOMAIN.fullmatch(name):
        raise ValueError("is a host name without scheme, port and path")
    return name


def _folder(url: str) -> str:
    """A URL of HTTP that names of objects may be appended to."""
    path = address.parse(url).path
    if "?" in path:
        raise ValueError("has no query")
    if path != "/" and not {".", "..", ""}.isdisjoint(path[1:].removesuffix("/").split("/")):
        raise ValueError("has no part that is empty, . or ..")
    return url if url.endswith("/") else f"{url}/"


def _origin(url: str) -> str:
    if url.startswith(HTTP):
        return _folder(url)
    if url not in ("", SYNTHETIC) and not ORIGIN.fullmatch(url):
        raise ValueError(
            "is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, "
            "https://HOST/PREFIX, http://HOST/PREFIX or synthetic"
        )
    return url


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the objects of a bucket come from that is elsewhere.

    Attributes:
        url: A place in an object store or on a server of HTTP, or :data:`SYNTHETIC`.
        delay_ms: See :class:`Bucket`.
        error_rate: Likewise.
    """

    url: str
    delay_ms: float = 0
    error_rate: float = 0


class Record(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Style(Record):
    """A process text under a name; a text alone, ``thumb = "image/resize,w_200"``, will do.

    Attributes:
        content: The process text, ``image/resize,w_200``.
        category: As PutStyle has it; nothing depends on it.
        created: When the style was made, in seconds since the epoch; 0: not known.
        modified: When it was last changed, likewise.
    """

    content: str
    category: Literal["image", "document", "video"] = "image"
    created: Seconds = 0
    modified: Seconds = 0


def _style(given: Any) -> Any:
    return {"content": given} if isinstance(given, str) else given


def _written(style: Style) -> Any:
    values = style.model_dump(exclude_defaults=True)
    return style.content if set(values) == {"content"} else values


class ProtectionRule(Record):
    """Protects the objects whose names have the prefix and the suffix; one of both is required.

    Attributes:
        prefix: How the names begin; empty: anyhow.
        suffix: How they end; empty: anyhow.
        case_insensitive: Whether upper and lower case are the same.
    """

    prefix: str = ""
    suffix: str = ""
    case_insensitive: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> ProtectionRule:
        if not (self.prefix or self.suffix):
            raise ValueError("a rule has a prefix, a suffix, or both")
        return self


class Protection(Record):
    """Source image protection: anonymous callers see these objects through styles only.

    Attributes:
        enabled: Whether it is on.
        extensions: Extensions of protected objects, ``jpg``; ``*`` is every picture, by its
            name, its Content-Type or its first bytes.
        rules: Further protected objects, by prefix and suffix.
    """

    enabled: bool = False
    extensions: tuple[str, ...] = ()
    rules: Annotated[tuple[ProtectionRule, ...], Field(max_length=10)] = ()


class RefererPolicy(Record):
    """Hotlink protection: which pages may show the bucket's pictures.

    Attributes:
        allow_empty: Whether requests without a Referer pass; without a whitelist they always do.
        truncate_query: Whether the query of a Referer is left out before it is compared.
        truncate_path: Whether its path is left out as well, and with it the query.
        whitelist: Beginnings of URLs that pass, ``http://*.example.com``; empty: all pass that are
            not on the blacklist.
        blacklist: Beginnings of URLs that do not pass.
    """

    allow_empty: bool = True
    truncate_query: bool = True
    truncate_path: bool = False
    whitelist: tuple[str, ...] = ()
    blacklist: tuple[str, ...] = ()


ANY_PAGE = RefererPolicy()  # of a bucket that asks for none


def _midnight(text: str) -> str:
    if text:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or moment.timestamp() % DAY:
            raise ValueError("is a midnight of UTC, 2026-01-01T00:00:00.000Z")
    return text


class LifecycleRule(Record):
    """Aborts uploads in parts that nobody has completed; one of the two times is required.

    Attributes:
        id: Its name, which no other rule of the bucket has; empty: none.
        prefix: How the keys of the uploads begin; empty: anyhow.
        enabled: Whether it is on.
        abort_days: Days after its beginning that an upload is aborted; 0: see the next one.
        abort_before: Uploads that began before this are aborted, ``2026-01-01T00:00:00.000Z``.
    """

    id: Annotated[str, Field(max_length=255)] = ""
    prefix: Annotated[str, Field(max_length=1023)] = ""
    enabled: bool = True
    abort_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    abort_before: Annotated[str, AfterValidator(_midnight)] = ""

    @model_validator(mode="after")
    def _has_one_time(self) -> LifecycleRule:
        if bool(self.abort_days) == bool(self.abort_before):
            raise ValueError("a rule has abort_days or abort_before")
        return self

    def is_due(self, key: str, begun: float, now: float) -> bool:
        """Return whether an upload is to be aborted.

        Args:
            key: Of its object.
            begun: Seconds since the epoch, as is ``now``.
            now: The time.
        """
        if not (self.enabled and key.startswith(self.prefix)):
            return False
        if self.abort_days:
            return begun + self.abort_days * DAY <= now
        return begun < datetime.fromisoformat(self.abort_before).timestamp()


FIELD = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2, without its *
SHARED = re.compile(r"[!-+\x2d-~]+")  # one word of a header's list, without commas
TIMED = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[A-Za-z0-9.:\[\]_~-]+")


def _pattern(text: str) -> str:
    if not SHARED.fullmatch(text) or text.count("*") > 1:
        raise ValueError("is one word without commas, with one * at most")
    return text


def _field(text: str) -> str:
    if not FIELD.fullmatch(text):
        raise ValueError("is the name of a header, without *")
    return text


def _timed(text: str) -> str:
    if not TIMED.fullmatch(text):
        raise ValueError("is an origin, https://www.example.com, or *")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class CorsRule(Record):
    """Lets pages of other origins read the bucket's answers; the first rule that fits counts.

    Attributes:
        allowed_origins: Which pages, ``https://*.example.com``; one ``*`` stands for any
            characters.
        allowed_methods: What they may send.
        allowed_headers: Headers that they may send besides those that every page may,
            ``x-oss-*``; one ``*`` likewise.
        expose_headers: Headers of answers that they may read, ``ETag``.
        max_age_seconds: Seconds that a browser need not ask again whether it may; without one
            it is the browser's own.
    """

    allowed_origins: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    allowed_methods: Annotated[
        tuple[Literal["GET", "HEAD", "PUT", "POST", "DELETE"], ...], Field(min_length=1)
    ]
    allowed_headers: tuple[Pattern, ...] = ()
    expose_headers: tuple[Annotated[str, AfterValidator(_field)], ...] = ()
    max_age_seconds: Annotated[int, Field(ge=0, le=999_999_999)] | None = None


VALUE = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
# headers that are never a rule's to send: who the client is and what it may, what its request is
# for, and what belongs to one connection (RFC 9110, 7.6.1)
NOT_SENT = frozenset(
    "accept-encoding authorization connection content-encoding content-length content-type cookie "
    "cookie2 date expect forwarded host keep-alive origin range te trailer transfer-encoding "
    "upgrade user-agent via x-forwarded-for x-real-ip".split()
)
NOT_SENT_PREFIXES = ("if-", "oss-", "proxy-", "sec-", "x-drs-", "x-oss-")


def _sent(text: str) -> str:
    name = _field(text)
    if name.lower() in NOT_SENT or name.lower().startswith(NOT_SENT_PREFIXES):
        raise ValueError("is a header that is sent to no origin")
    return name


def _value(text: str) -> str:
    if not VALUE.fullmatch(text):
        raise ValueError("is 1 to 1024 visible characters of ASCII, and blanks between them")
    return text


Sent = Annotated[str, Field(max_length=128), AfterValidator(_sent)]


class MirrorRule(Record):
    """Fetches an object that the bucket does not have from another server; the first that fits.

    Attributes:
        prefix: How the names of the objects begin; empty: anyhow.
        suffix: How they end; empty: anyhow.
        url: Where they are: ``https://HOST/PREFIX/``, to which the name is appended. The host has
            to be in ``origins.hosts``.
        replace_prefix: What the name has there in place of ``prefix``; without one, ``prefix``.
        store: Whether the object is stored in the bucket; if not, it is fetched again when
            ``origins.fresh_seconds`` are over.
        types: What may be fetched, by its first bytes: ``pictures`` and videos, or ``any``.
        redirects: How many redirects are followed, to hosts in ``origins.hosts``.
        pass_query: Whether parameters of the request that mean nothing here are sent along.
        check_md5: Whether the object has to be what the server's Content-MD5 says.
        pass_headers: Headers of the request that are sent along.
        remove_headers: Those of them that are not.
        set_headers: Headers that are sent, with their values; never to another host.
        number: ``RuleNumber`` as PutBucketWebsite has it; rules count in the order of the list.
    """

    prefix: Annotated[str, Field(max_length=1023)] = ""
    suffix: Annotated[str, Field(max_length=1023)] = ""
    url: Annotated[str, Field(max_length=1024), AfterValidator(_folder)]
    replace_prefix: Annotated[str, Field(max_length=1023)] | None = None
    store: bool = True
    types: Literal["pictures", "any"] = "pictures"
    redirects: Annotated[int, Field(ge=0, le=5)] = 5
    pass_query: bool = False
    check_md5: bool = False
    pass_headers: Annotated[tuple[Sent, ...], Field(max_length=10)] = ()  # OSS guide, likewise
    remove_headers: Annotated[tuple[Sent, ...], Field(max_length=10)] = ()
    set_headers: Annotated[
        Mapping[Sent, Annotated[str, AfterValidator(_value)]], Field(max_length=10)
    ] = Field(default_factory=dict)
    number: Annotated[int, Field(ge=0, le=999_999_999)] = 0


class CacheTags(Record):
    """Tags of answers, by which a CDN finds what it has kept (vipsgate/gate/cachetags.py).

    Attributes:
        headers: In which headers: what Cloudflare and Google read, Fastly, Akamai, Varnish's xkey.
        of: What answers are tagged with: their bucket, the folders around their objects, these
            objects, the styles that were named.
    """

    headers: tuple[Literal["Cache-Tag", "Surrogate-Key", "Edge-Cache-Tag", "xkey"], ...] = ()
    of: tuple[Literal["bucket", "folder", "source", "style"], ...] = ("bucket", "source", "style")


CdnKey = Annotated[str, Field(pattern=r"^([0-9A-Za-z]{6,64})?$", repr=False)]


class CdnSigning(Record):
    """URLs signed as for Alibaba Cloud CDN: who has one may read that one object for a time.

    Attributes:
        type: How: ``A``, ``B`` or ``C`` of Alibaba Cloud CDN; empty: such signatures mean nothing.
        key: What is signed with, 6 to 64 letters and digits.
        backup_key: Is taken as well, while keys are changed; empty: none.
        valid_seconds: For how long a URL is good after the time in it.
    """

    type: Literal["", "A", "B", "C"] = ""
    key: CdnKey = ""
    backup_key: CdnKey = ""
    valid_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 1800  # Alibaba Cloud CDN guide

    @model_validator(mode="after")
    def _has_a_key(self) -> CdnSigning:
        if bool(self.type) != bool(self.key):
            raise ValueError("has both a type and a key, or neither")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """All that are taken."""
        return tuple(filter(None, (self.key, self.backup_key)))


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names each format once")
    return names


class Bucket(Record):
    """``[buckets.NAME]``: one bucket's document.

    Attributes:
        acl: Who may read and write without a signature.
        domains: Host names that are this bucket's own.
        separators: What may stand between an object's and a style's name, ``cat.jpg!thumb``.
        cache_control: The header for its objects and derivatives; empty for none.
        stale_while_revalidate: Seconds behind its max-age in which a cache may answer with a
            derivative while it asks anew; 0: not said.
        stale_if_error: Seconds behind its max-age in which a cache may answer with a derivative
            where this server cannot; 0: not said.
        cache_tags: By which words a CDN finds what it has kept.
        cdn_signing: Whether URLs signed as for Alibaba Cloud CDN are understood.
        styles: Process texts by name.
        protection: Which sources anonymous callers see through styles only.
        referer: Which pages may show its pictures.
        legacy_at_api: Whether ``OBJECT@100w.jpg`` is understood, where the server does not say so
            for all buckets.
        strict: Whether an answer that would have ``X-Vipsgate-Notes``, because the request cannot
            be followed to the letter, is 400 InvalidArgument.
        auto_format: Formats that a picture may be answered in by the client's Accept, the best
            first, where the process names no format; and what ``format,auto`` may choose, which
            without any is AVIF or WebP.
        avif_in_background: Whether a new AVIF that takes long is answered as WebP first, for 30
            seconds, and made when there is nothing else to do.
        origin: The place of its objects in an object store, ``s3://BUCKET/PREFIX``, ``gs://...`` or
            ``az://...``, or on a server of HTTP in ``origins.hosts``, ``https://HOST/PREFIX``; read
            only; or ``synthetic``. Empty for where all others are.
        delay_ms: Milliseconds that each look at a synthetic object and each opening of one takes.
        error_rate: The share of requests to a synthetic bucket that get 503, 0-1.
        lifecycle: When uploads in parts that nobody has completed are aborted.
        cors: Which pages of other origins may read its answers, and send what.
        cors_response_vary: ``ResponseVary`` as PutBucketCors has it; nothing depends on it, as a
            bucket with rules says ``Vary: Origin`` in every answer.
        timing_allow_origin: Origins whose pages may see how long an answer took, or ``*``.
        cross_origin_resource_policy: Which pages may show its pictures at all, by the header that
            browsers obey; empty for none.
        mirror: Where objects are fetched from that it does not have.
        keep_metadata: What of the metadata of a source its derivatives have, where the process text
            has no ``strip`` of its own: copyright and author, the ICC profile; empty for nothing.
        created: When the bucket was made, in seconds since the epoch; 0 for when its folder was.
    """

    acl: Acl = "private"
    domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = ()
    separators: tuple[Literal["-", "_", "/", "!", "@!"], ...] = ()
    cache_control: Annotated[str, Field(pattern=r"^[ -~]*$")] = ""  # a header's value is one line
    stale_while_revalidate: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    stale_if_error: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    cache_tags: CacheTags = CacheTags()
    cdn_signing: CdnSigning = CdnSigning()
    styles: Annotated[
        Mapping[StyleName, Annotated[Style, BeforeValidator(_style), PlainSerializer(_written)]],
        Field(max_length=50),
    ] = Field(default_factory=dict)
    protection: Protection = Protection()
    referer: RefererPolicy = ANY_PAGE
    legacy_at_api: bool = False
    strict: bool = False
    auto_format: Annotated[
        tuple[Literal["avif", "webp"], ...], Field(max_length=2), AfterValidator(_once)
    ] = ()
    avif_in_background: bool = False
    origin: Annotated[str, AfterValidator(_origin)] = ""
    delay_ms: Annotated[float, Field(ge=0, le=60_000)] = 0
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0
    lifecycle: Annotated[tuple[LifecycleRule, ...], Field(max_length=1000)] = ()
    cors: Annotated[tuple[CorsRule, ...], Field(max_length=20)] = ()  # OSS guide, PutBucketCors
    cors_response_vary: bool = False
    timing_allow_origin: Annotated[
        tuple[Annotated[str, AfterValidator(_timed)], ...], Field(max_length=100)
    ] = ()
    cross_origin_resource_policy: Literal["", "same-origin", "same-site", "cross-origin"] = ""
    mirror: Annotated[tuple[MirrorRule, ...], Field(max_length=20)] = ()  # OSS guide, likewise
    keep_metadata: tuple[Literal["copyright", "icc"], ...] = ()
    created: Seconds = 0

    @field_validator("lifecycle")
    @classmethod
    def _has_each_id_once(cls, rules: tuple[LifecycleRule, ...]) -> tuple[LifecycleRule, ...]:
        for name, times in Counter(rule.id for rule in rules if rule.id).items():
            if times > 1:
                raise ValueError(f"{times} rules have the id {name!r}")
        return rules

    @field_validator("delay_ms", "error_rate")
    @classmethod
    def _of_synthetic(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("origin", SYNTHETIC) != SYNTHETIC:
            raise ValueError(f'is only for a bucket with origin = "{SYNTHETIC}"')
        return value

    @field_validator("mirror")
    @classmethod
    def _of_its_own(
        cls, rules: tuple[MirrorRule, ...], info: ValidationInfo
    ) -> tuple[MirrorRule, ...]:
        if rules and info.data.get("origin"):
            raise ValueError(
                "is not for a bucket with an origin, which has all of its objects there"
            )
        return rules

    def origins(self) -> tuple[str, ...]:
        """The URLs of servers of HTTP that its objects come from."""
        own = (self.origin,) if self.origin.startswith(HTTP) else ()
        return (*own, *(rule.url for rule in self.mirror))

    def elsewhere(self) -> Origin | None:
        """Where its objects come from; ``None`` for where all others are."""
        return Origin(self.origin, self.delay_ms, self.error_rate) if self.origin else None
