"""``?processConfiguration``: source image protection, separators and the old API of a bucket.

The call is known from OSS's SDK for Java only. Its elements set these keys of the document::

    CompliedHost                none: Img and Both are accepted, as all hosts of a bucket are
                                treated alike; the answer is always Both
    SourceFileProtect           protection.enabled
    SourceFileProtectSuffix     protection.extensions; none are kept if the protection is off
    StyleDelimiters             separators
    OssDomainSupportAtProcess   legacy_at_api, which always includes the separator @!

The rules of the protection have no element, and are not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from aiohttp import web

from ..buckets import Bucket, Protection
from . import buckets, xml
from .call import Call, invalid

ROOT, VERSION = "BucketProcessConfiguration", 2
PROTECT, SUFFIXES = "SourceFileProtect", "SourceFileProtectSuffix"
DELIMITERS, OLD_API = "StyleDelimiters", "OssDomainSupportAtProcess"
HOST, HOSTS = "CompliedHost", ("Both", "Img")
SEPARATORS = ("!", "-", "/", "@!", "_")  # OSS guide, Image styles; old version, Styles


@dataclass(frozen=True, slots=True)
class Configuration:
    """The document of the call.

    Attributes:
        protected: Whether sources are protected.
        suffixes: Extensions of protected sources; ``*`` for all.
        delimiters: Separators, sorted.
        old_api: Whether ``OBJECT@100w.jpg`` and ``OBJECT@!STYLE`` are supported.
    """

    protected: bool = False
    suffixes: tuple[str, ...] = ()
    delimiters: tuple[str, ...] = ()
    old_api: bool = False


async def get(call: Call) -> web.StreamResponse:
    """GetBucketProcess, the name that the SDK for Java gives the call."""
    return call.respond(body=write(configuration(call.grant.bucket)))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketProcess: replace all settings; absent elements have their defaults."""
    wanted = read(await call.document())
    await buckets.change(call, lambda document: applied(document, wanted))
    return call.respond()


def configuration(document: Bucket) -> Configuration:
    """Return the settings of a bucket that the call has elements for."""
    protection = document.protection
    return Configuration(
        protected=protection.enabled,
        suffixes=protection.extensions if protection.enabled else (),
        delimiters=tuple(sorted({*document.separators})),
        old_api=document.legacy_at_api,
    )


def applied(document: Bucket, wanted: Configuration) -> Bucket:
    """Return a bucket's document with the settings of a call."""
    rules = document.protection.rules
    return buckets.changed(
        document,
        separators=wanted.delimiters,
        protection=Protection(enabled=wanted.protected, extensions=wanted.suffixes, rules=rules),
        legacy_at_api=wanted.old_api,
    )


def read(data: bytes) -> Configuration:
    """Return the settings in a ``<BucketProcessConfiguration>``.

    Raises:
        MalformedXML: It is another document.
        InvalidArgument: A value is not valid.
    """
    root = xml.parse(data, ROOT)
    _chosen(root, HOST, HOSTS)
    protected = _switched(root, PROTECT)
    delimiters = sorted({*_words(root, DELIMITERS)})
    for sign in delimiters:
        if sign not in SEPARATORS:
            raise invalid(DELIMITERS, sign, f"some of {' '.join(SEPARATORS)} with commas between")
    return Configuration(
        protected=protected,
        suffixes=_words(root, SUFFIXES) if protected else (),
        delimiters=tuple(delimiters),
        old_api=_switched(root, OLD_API),
    )


def write(value: Configuration) -> bytes:
    """Return the ``<BucketProcessConfiguration>`` of settings."""
    rows: dict[str, str | int] = {
        HOST: HOSTS[0],
        PROTECT: "Enabled" if value.protected else "Disabled",
        SUFFIXES: ",".join(value.suffixes),
        DELIMITERS: ",".join(value.delimiters),
        OLD_API: "Enabled" if value.old_api else "Disabled",
        "Version": VERSION,
    }
    return xml.write(xml.add(Element(ROOT), **rows))


def _chosen(root: Element, name: str, values: tuple[str, ...]) -> str:
    """Return the value of a child, which is one of ``values``; the first if there is no child."""
    value = xml.text(root, name, default=values[0])
    if value not in values:
        raise invalid(name, value, f"one of {', '.join(values)}")
    return value


def _switched(root: Element, name: str) -> bool:
    return _chosen(root, name, ("Disabled", "Enabled")) == "Enabled"


def _words(root: Element, name: str) -> tuple[str, ...]:
    """Return the words of a list that is separated by commas."""
    value = (word.strip() for word in xml.text(root, name, default="").split(","))
    return tuple(word for word in value if word)
