"""``?processConfiguration``: source image protection, separators and the old API of a bucket.

The call is known from OSS's SDK for Java only. What it says and what that is here::

    CompliedHost                Img or Both: nothing, as all hosts of a bucket are served alike;
                                the answer is always Both
    SourceFileProtect           protection.enabled
    SourceFileProtectSuffix     protection.extensions, which an end of the protection takes away
    StyleDelimiters             separators
    OssDomainSupportAtProcess   legacy_at_api, which has the separator @! of itself

What it has no words for stays as it was: the rules of the protection.
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
    """What the document of the call says.

    Attributes:
        protected: Whether sources are.
        suffixes: Extensions of those that are; ``*`` for all.
        delimiters: Separators, in order.
        old_api: Whether ``OBJECT@100w.jpg`` and ``OBJECT@!STYLE`` are understood.
    """

    protected: bool = False
    suffixes: tuple[str, ...] = ()
    delimiters: tuple[str, ...] = ()
    old_api: bool = False


async def get(call: Call) -> web.StreamResponse:
    """GetBucketProcess, as the SDK for Java calls it."""
    return call.respond(body=write(configuration(call.grant.bucket)))


async def put(call: Call) -> web.StreamResponse:
    """PutBucketProcess: all anew; what is not said is as for a new bucket."""
    wanted = read(await call.document())
    await buckets.change(call, lambda document: applied(document, wanted))
    return call.respond()


def configuration(document: Bucket) -> Configuration:
    """What the call can say of a bucket."""
    protection = document.protection
    return Configuration(
        protected=protection.enabled,
        suffixes=protection.extensions if protection.enabled else (),
        delimiters=tuple(sorted({*document.separators})),
        old_api=document.legacy_at_api,
    )


def applied(document: Bucket, wanted: Configuration) -> Bucket:
    """The bucket's document with what the call says."""
    rules = document.protection.rules
    return buckets.changed(
        document,
        separators=wanted.delimiters,
        protection=Protection(enabled=wanted.protected, extensions=wanted.suffixes, rules=rules),
        legacy_at_api=wanted.old_api,
    )


def read(data: bytes) -> Configuration:
    """``<BucketProcessConfiguration>``.

    Raises:
        MalformedXML: It is another document.
        InvalidArgument: A value is none that it can have.
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
    """``<BucketProcessConfiguration>``."""
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
    """One of the values, the first where nothing is said."""
    value = xml.text(root, name, default=values[0])
    if value not in values:
        raise invalid(name, value, f"one of {', '.join(values)}")
    return value


def _switched(root: Element, name: str) -> bool:
    return _chosen(root, name, ("Disabled", "Enabled")) == "Enabled"


def _words(root: Element, name: str) -> tuple[str, ...]:
    """What stands between the commas."""
    value = (word.strip() for word in xml.text(root, name, default="").split(","))
    return tuple(word for word in value if word)
