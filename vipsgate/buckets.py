"""The document of a bucket: ACL, domains, styles, protection, rules of all kinds.

``Attributes:`` of each class describes its keys; ``.ci/readme`` makes the tables of
deploy/README.md from it.
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
SYNTHETIC = "synthetic"  # the origin of pictures that are painted when they are requested

StyleName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]  # OSS guide, Image styles
Acl = Literal["private", "public-read", "public-read-write"]
ACLS: tuple[str, ...] = get_args(Acl)
BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # 3-63 bytes; OSS guide, Bucket naming
DAY = 86_400  # seconds
INTERNAL = ".vipsgate"  # the internal bucket of documents and parts; no key may contain this name
Seconds = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # since the epoch, to the year 9999


def _domain(text: str) -> str:
    name = text.lower().removesuffix(".")
    if not DOMAIN.fullmatch(name):
        raise ValueError("expects a host name without scheme, port and path")
    return name


def _folder(url: str) -> str:
    """Return an HTTP URL to which names of objects may be appended."""
    path = address.parse(url).path
    if "?" in path:
        raise ValueError("expects no query")
    if path != "/" and not {".", "..", ""}.isdisjoint(path[1:].removesuffix("/").split("/")):
        raise ValueError("expects no part that is empty, . or ..")
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
    """The place of a bucket's objects if they are not in the main store.

    Attributes:
        url: A place in an object store or on an HTTP server, or :data:`SYNTHETIC`.
        delay_ms: As in :class:`Bucket`.
        error_rate: As in :class:`Bucket`.
    """

    url: str
    delay_ms: float = 0
    error_rate: float = 0


class Record(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Style(Record):
    """A process text with a name; ``thumb = "image/resize,w_200"`` is enough.

    Attributes:
        content: The process text, ``image/resize,w_200``.
        category: The category that PutStyle has set; it has no effect.
        created: When the style was created, in seconds since the epoch; 0: not known.
        modified: When the style was last changed, in seconds since the epoch; 0: not known.
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
        prefix: Prefix of the names; empty: any.
        suffix: Suffix of the names; empty: any.
        case_insensitive: Whether upper and lower case are the same.
    """

    prefix: str = ""
    suffix: str = ""
    case_insensitive: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> ProtectionRule:
        if not (self.prefix or self.suffix):
            raise ValueError("a rule needs a prefix, a suffix, or both")
        return self


class Protection(Record):
    """Source image protection: anonymous callers see protected objects through styles only.

    Attributes:
        enabled: Whether it is on.
        extensions: Extensions of protected objects, ``jpg``; ``*`` protects every picture,
            recognised by its name, its Content-Type or its first bytes.
        rules: Further protected objects, by prefix and suffix.
    """

    enabled: bool = False
    extensions: tuple[str, ...] = ()
    rules: Annotated[tuple[ProtectionRule, ...], Field(max_length=10)] = ()


class RefererPolicy(Record):
    """Hotlink protection: the pages that may show the bucket's pictures.

    Attributes:
        allow_empty: Whether requests without a Referer are allowed; they always are if there is no
            whitelist.
        truncate_query: Whether the query of a Referer is removed before it is compared.
        truncate_path: Whether path and query are removed.
        whitelist: Prefixes of URLs that are allowed, ``http://*.example.com``; empty: all that are
            not on the blacklist.
        blacklist: Prefixes of URLs that are denied.
    """

    allow_empty: bool = True
    truncate_query: bool = True
    truncate_path: bool = False
    whitelist: tuple[str, ...] = ()
    blacklist: tuple[str, ...] = ()


ANY_PAGE = RefererPolicy()  # the default: every page is allowed


def _midnight(text: str) -> str:
    if text:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or moment.timestamp() % DAY:
            raise ValueError("expects a midnight of UTC, 2026-01-01T00:00:00.000Z")
    return text


class LifecycleRule(Record):
    """Aborts multipart uploads that are not completed; ``abort_days`` or ``abort_before`` is set.

    Attributes:
        id: Unique name among the bucket's rules; empty: none.
        prefix: Prefix of the keys of the uploads; empty: any.
        enabled: Whether the rule is on.
        abort_days: Days after which an upload is aborted; 0: ``abort_before`` is used.
        abort_before: Uploads that began before this time are aborted,
            ``2026-01-01T00:00:00.000Z``.
    """

    id: Annotated[str, Field(max_length=255)] = ""
    prefix: Annotated[str, Field(max_length=1023)] = ""
    enabled: bool = True
    abort_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    abort_before: Annotated[str, AfterValidator(_midnight)] = ""

    @model_validator(mode="after")
    def _has_one_time(self) -> LifecycleRule:
        if bool(self.abort_days) == bool(self.abort_before):
            raise ValueError("a rule needs either abort_days or abort_before")
        return self

    def is_due(self, key: str, begun: float, now: float) -> bool:
        """Return whether an upload is to be aborted.

        Args:
            key: The key of its object.
            begun: When it began, in seconds since the epoch.
            now: The present time, in seconds since the epoch.
        """
        if not (self.enabled and key.startswith(self.prefix)):
            return False
        if self.abort_days:
            return begun + self.abort_days * DAY <= now
        return begun < datetime.fromisoformat(self.abort_before).timestamp()


FIELD = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110, 5.6.2) without *
SHARED = re.compile(r"[!-+\x2d-~]+")  # an element of a header that is a list
TIMED = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[A-Za-z0-9.:\[\]_~-]+")


def _pattern(text: str) -> str:
    if not SHARED.fullmatch(text) or text.count("*") > 1:
        raise ValueError("expects one word without commas, with at most one *")
    return text


def _field(text: str) -> str:
    if not FIELD.fullmatch(text):
        raise ValueError("expects the name of a header, without *")
    return text


def _timed(text: str) -> str:
    if not TIMED.fullmatch(text):
        raise ValueError("expects an origin, https://www.example.com, or *")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class CorsRule(Record):
    """Lets pages of other origins read the bucket's answers; the first rule that matches applies.

    Attributes:
        allowed_origins: Origins of the pages, ``https://*.example.com``; one ``*`` stands for any
            characters.
        allowed_methods: Methods that they may use.
        allowed_headers: Headers that they may send in addition to those that every page may send,
            ``x-oss-*``; one ``*`` stands for any characters.
        expose_headers: Headers of answers that they may read, ``ETag``.
        max_age_seconds: Seconds for which a browser may cache the answer to a preflight request;
            not set: the browser's default.
    """

    allowed_origins: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    allowed_methods: Annotated[
        tuple[Literal["GET", "HEAD", "PUT", "POST", "DELETE"], ...], Field(min_length=1)
    ]
    allowed_headers: tuple[Pattern, ...] = ()
    expose_headers: tuple[Annotated[str, AfterValidator(_field)], ...] = ()
    max_age_seconds: Annotated[int, Field(ge=0, le=999_999_999)] | None = None


VALUE = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
# headers that no rule may send: those with the client's identity and rights, those about the body
# or the object, and those of one connection (RFC 9110, 7.6.1)
NOT_SENT = frozenset(
    "accept-encoding authorization connection content-encoding content-length content-type cookie "
    "cookie2 date expect forwarded host keep-alive origin range te trailer transfer-encoding "
    "upgrade user-agent via x-forwarded-for x-real-ip".split()
)
NOT_SENT_PREFIXES = ("if-", "oss-", "proxy-", "sec-", "x-drs-", "x-oss-")


def _sent(text: str) -> str:
    name = _field(text)
    if name.lower() in NOT_SENT or name.lower().startswith(NOT_SENT_PREFIXES):
        raise ValueError("is a header that is never sent to an origin")
    return name


def _value(text: str) -> str:
    if not VALUE.fullmatch(text):
        raise ValueError("expects 1 to 1024 visible characters of ASCII, and spaces between them")
    return text


Sent = Annotated[str, Field(max_length=128), AfterValidator(_sent)]


class MirrorRule(Record):
    """Fetches missing objects from another server; the first rule that matches applies.

    Attributes:
        prefix: Prefix of the names of the objects; empty: any.
        suffix: Suffix of the names; empty: any.
        url: URL to which the name is appended, ``https://HOST/PREFIX/``. The host has to be in
            ``origins.hosts``.
        replace_prefix: Prefix of the name at that server in place of ``prefix``; not set:
            ``prefix``.
        store: Whether the object is stored in the bucket; if not, it is fetched again after
            ``origins.fresh_seconds``.
        types: Objects that may be fetched, by their first bytes: ``pictures`` (and videos), or
            ``any``.
        redirects: Most redirects that are followed, to hosts in ``origins.hosts``.
        pass_query: Whether parameters of the request that have no meaning here are passed on.
        check_md5: Whether the object has to match the server's Content-MD5.
        pass_headers: Headers of the request that are passed on.
        remove_headers: Headers that are not passed on, even if they are in ``pass_headers``.
        set_headers: Headers that are added, with their values; they are not sent to other hosts.
        number: ``RuleNumber`` that PutBucketWebsite has set; the order of rules is that of the
            list.
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
    """Tags of answers, by which a CDN purges what it has cached (vipsgate/gate/cachetags.py).

    Attributes:
        headers: Headers with the tags: ``Cache-Tag`` for Cloudflare and Google, ``Surrogate-Key``
            for Fastly, ``Edge-Cache-Tag`` for Akamai, ``xkey`` for Varnish.
        of: Tags of an answer: its bucket, the folders of its object, the object, the style of the
            request.
    """

    headers: tuple[Literal["Cache-Tag", "Surrogate-Key", "Edge-Cache-Tag", "xkey"], ...] = ()
    of: tuple[Literal["bucket", "folder", "source", "style"], ...] = ("bucket", "source", "style")


CdnKey = Annotated[str, Field(pattern=r"^([0-9A-Za-z]{6,64})?$", repr=False)]


class CdnSigning(Record):
    """URLs signed as for Alibaba Cloud CDN, each of which allows to read one object for a time.

    Attributes:
        type: Type of the signature, ``A``, ``B`` or ``C`` of Alibaba Cloud CDN; empty: such
            signatures are ignored.
        key: Key of the signature, 6 to 64 letters and digits.
        backup_key: Second key that is accepted, for a change of keys; empty: none.
        valid_seconds: Seconds for which a URL is valid after the time in it.
    """

    type: Literal["", "A", "B", "C"] = ""
    key: CdnKey = ""
    backup_key: CdnKey = ""
    valid_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 1800  # Alibaba Cloud CDN guide

    @model_validator(mode="after")
    def _has_a_key(self) -> CdnSigning:
        if bool(self.type) != bool(self.key):
            raise ValueError("expects both a type and a key, or neither")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are accepted."""
        return tuple(filter(None, (self.key, self.backup_key)))


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("expects each format once")
    return names


class Bucket(Record):
    """``[buckets.NAME]``: one bucket's document.

    Attributes:
        acl: Rights of callers without a signature.
        domains: Host names that belong to this bucket.
        separators: Separators between the names of an object and of a style, ``cat.jpg!thumb``.
        cache_control: The header of its objects and derivatives; empty: none.
        stale_while_revalidate: Seconds after max-age in which a cache may send an old derivative
            while it asks for a new one; 0: not in the header.
        stale_if_error: Seconds after max-age in which a cache may send an old derivative if this
            server fails; 0: not in the header.
        cache_tags: Tags by which a CDN purges what it has cached.
        cdn_signing: URLs signed as for Alibaba Cloud CDN.
        styles: Process texts by name.
        protection: Sources that anonymous callers see through styles only.
        referer: Pages that may show its pictures.
        legacy_at_api: Whether ``OBJECT@100w.jpg`` is supported; always if
            ``server.legacy_at_api`` is set.
        strict: Whether a request that cannot be followed exactly gets 400 InvalidArgument; else its
            answer has ``X-Vipsgate-Notes``.
        auto_format: Formats in order of preference, of which the client's Accept chooses one if the
            process text has no ``format``, and for ``format,auto``. Empty: only ``format,auto``
            chooses, AVIF or WebP.
        avif_in_background: Whether a new AVIF that takes long is sent as WebP at first, for 30
            seconds, and encoded when renderers are idle.
        origin: Place of its objects, which are then read-only: in an object store,
            ``s3://BUCKET/PREFIX``, ``gs://...`` or ``az://...``; on an HTTP server in
            ``origins.hosts``, ``https://HOST/PREFIX``; or ``synthetic``. Empty: the main store.
        delay_ms: Milliseconds by which each access to a synthetic object is delayed.
        error_rate: Share of requests to a synthetic bucket that get 503, 0-1.
        lifecycle: Rules by which multipart uploads that are not completed are aborted.
        cors: Rules for pages of other origins.
        cors_response_vary: ``ResponseVary`` that PutBucketCors has set; it has no effect, because
            all answers of a bucket with rules have ``Vary: Origin``.
        timing_allow_origin: Origins whose pages may read the timing of answers, or ``*``.
        cross_origin_resource_policy: Pages that browsers allow to show its pictures, by the header
            of this name; empty: no header.
        mirror: Rules by which missing objects are fetched from other servers.
        keep_metadata: Metadata of the source that derivatives keep if the process text has no
            ``strip``: copyright and author, the ICC profile; empty: none.
        created: When the bucket was created, in seconds since the epoch; 0: the time of its folder.
    """

    acl: Acl = "private"
    domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = ()
    separators: tuple[Literal["-", "_", "/", "!", "@!"], ...] = ()
    cache_control: Annotated[str, Field(pattern=r"^[ -~]*$")] = ""  # one line
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
        """Return the URLs of the HTTP servers that its objects come from."""
        own = (self.origin,) if self.origin.startswith(HTTP) else ()
        return (*own, *(rule.url for rule in self.mirror))

    def elsewhere(self) -> Origin | None:
        """Return the place of its objects; ``None`` for the main store."""
        return Origin(self.origin, self.delay_ms, self.error_rate) if self.origin else None
