"""Answers repeated requests from the cache, without the gate, the style and the process text.

Access, style and process text give the same result for an equal request as long as none of their
inputs change. So an anonymous, plain request for a cached picture is answered at once if it was
answered before, the version numbers of settings, documents and purges are the same, and so are the
fingerprints of its objects, which cover their bytes and ACLs. All other requests are handled in
full. While a disk does not answer, the last known fingerprints are accepted for a limited time.

A request for a small unprocessed object is remembered once its file has not changed for a while
(see :class:`vipsgate.store.base.Object`). Its bytes are read each time, from the file whose
fingerprint was compared.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from ..buckets import Bucket
from ..cache.entry import CacheKey, Entry
from ..gate import accept, cors, referer, style
from ..gate.headers import may_have_oss
from ..image.notes import Notes
from ..store.base import Opened
from ..web import responses

if TYPE_CHECKING:
    from ..cache.tiers import Cache
    from ..catalog.registry import Registry
    from ..observe.record import RequestRecord
    from ..store.base import Object, Store
    from .order import Content

MAX_REQUESTS = 16384  # remembered requests, of about 1 KB each; the least recently used goes
MAX_LENGTH = 1024  # characters of a remembered request
NAMES_SECONDS = 1.0  # between two comparisons of the names of a request's objects
# headers that change the answer; a request with one of them is not remembered
PARTICULAR = (
    *(hdrs.AUTHORIZATION, hdrs.IF_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_NONE_MATCH),
    *(hdrs.IF_UNMODIFIED_SINCE, hdrs.RANGE, hdrs.EXPECT),
)  # and x-oss-*
OTHERS = ""  # ends the text of a request to which the client's formats are added
REQUEST_LINE = re.compile(rb"GET (\S+) HTTP/1\.[01]\r\n")
HOST = re.compile(rb"\r\nhost:[ \t]*([^\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Known:
    """A remembered request, and everything that its answer depended on.

    Attributes:
        version: Version of the settings, the documents and the purges.
        fingerprints: Bucket, key and fingerprint of each object.
        cache_key: The name of the picture in the cache; ``None`` for an unprocessed object.
        headers: Headers of the answer, except those that differ each time.
        head: The same, serialised (:func:`vipsgate.web.responses.kept_head`).
        key: The object's key.
        process: The process text as requested.
        style: The name of the style; empty for none.
        by_names: Whether the answer depended on all names of the objects, which the fingerprints
            then cover, too: a rule of the bucket's protection may match one of them.
        notes: Notes on what was changed or ignored, which are in ``headers``.
        sharing: The document of a bucket with CORS rules, whose headers depend on the request's
            Origin; ``None`` without.
        offered: The formats of which Accept selects one; empty if it selects none.
        taken: Those of them that the client accepts.
        size: Size of the body, in bytes.
        named: ``fingerprints``, but covering all names of the objects in any case.
        due: When ``named`` is to be compared, by ``time.monotonic``.
    """

    version: tuple[int, int, int]
    fingerprints: tuple[tuple[str, str, object], ...]
    cache_key: CacheKey | None
    headers: Mapping[str, str]
    head: bytes | None
    key: str
    process: str
    style: str
    by_names: bool
    notes: Notes
    sharing: Bucket | None
    offered: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    size: int = 0
    named: tuple[tuple[str, str, object], ...] = ()
    due: float = math.inf

    def tell(self, record: RequestRecord, tier: str) -> None:
        """Fill in the record of a request; ``tier`` is empty for an unprocessed object."""
        record.bucket, record.key, record.exists = self.fingerprints[0][0], self.key, True
        record.process, record.style, record.cache = self.process, self.style, tier
        record.notes = self.notes


class FastPath:
    """The most recent remembered requests.

    Args:
        store: The store of the objects.
        registry: The buckets.
        cache: The cache of pictures; without one, only unprocessed objects are remembered.
        legacy: Whether URLs of the old API are accepted in every bucket; such requests are not
            remembered.
    """

    def __init__(
        self, store: Store, registry: Registry, cache: Cache | None, *, legacy: bool = False
    ) -> None:
        self._store, self._registry, self._cache = store, registry, cache
        self._legacy = legacy
        self._known: OrderedDict[tuple[str, ...], Known] = OrderedDict()

    def find(
        self, request: web.BaseRequest, record: RequestRecord, most: float = math.inf
    ) -> tuple[Entry, Known] | None:
        """Return the answer to a remembered request, and what it depended on, if still valid.

        Args:
            request: The request.
            record: The record of the request, which is filled in.
            most: Largest body to return, in bytes.
        """
        if request.method != "GET":
            return None
        text = first = _text(request)
        known = self._known.get(text)
        if known is None or known.size > most or _is_particular(request):
            return None
        if known.offered:
            taken = _taken(request, known.offered)
            if taken != known.taken:
                text = (*text, *taken, OTHERS)
                if (known := self._known.get(text)) is None:
                    return None
        now = time.monotonic()
        due = now >= known.due
        hit = self._hit(known, due=due) if known.version == self.version() else None
        if hit is None:
            del self._known[text]
            return None
        if due:
            self._known[text] = replace(known, due=now + NAMES_SECONDS)
        self._known.move_to_end(first)
        if text is not first:
            self._known.move_to_end(text)
        entry, tier = hit
        known.tell(record, tier)
        return entry, known

    def _hit(self, known: Known, *, due: bool) -> tuple[Entry, str] | None:
        """Return the cached answer and its tier, or ``None`` if it is not valid any more.

        Args:
            known: The request.
            due: Whether to compare the names of its objects in any case. A folder above one of them
                may have been moved, perhaps out of the store, and a symlink left in its place.
        """
        by_names = due or known.by_names
        fingerprints = known.named if due else known.fingerprints
        if known.cache_key is None:
            bucket, key, before = fingerprints[0]
            data = self._store.reread(bucket, key, before, known.size, aliases=by_names)
            return None if data is None else (Entry("", 0, len(data), data), "")
        fingerprint = self._store.fingerprint
        for bucket, key, before in fingerprints:
            if fingerprint(bucket, key, aliases=by_names) != before:
                if self._store.stale_ok(bucket):
                    break
                return None
        if self._cache is None:
            return None
        return self._cache.get_nowait(known.cache_key, responses.MAX_READ)

    def knows(self, head: bytes) -> bool:
        """Return whether a request that begins so is remembered; it may not be valid any more."""
        if not self._known:
            return False
        line, host = REQUEST_LINE.match(head), HOST.search(head)
        if line is None or host is None:
            return False
        return (line[1].decode("latin-1"), host[1].decode("latin-1")) in self._known

    def version(self) -> tuple[int, int, int]:
        """Return a value that changes with any setting, document or purge."""
        return (*self._registry.version, self._cache.purges.version if self._cache else 0)

    async def learn(
        self,
        request: web.BaseRequest,
        content: Content,
        headers: Mapping[str, str],
        version: tuple[int, int, int],
    ) -> None:
        """Remember a request that has just been answered, if its answer may be repeated.

        Args:
            request: The request.
            content: The content of the answer.
            headers: Headers of the answer, except those that differ each time.
            version: The :meth:`version` at the time when access was checked, as access may have
                been revoked while the answer was made.
        """
        order = content.order
        bucket = order.grant.bucket
        text = _text(request)
        if (
            request.method != "GET"
            or (content.derivative is not None and content.cache_key is None)
            or order.grant.caller is not None
            or order.grant.cdn
            or referer.counts(bucket.referer)
            or order.target.legacy
            or order.stand_in
            or bucket.legacy_at_api
            or self._legacy
            or sum(map(len, text)) > MAX_LENGTH
            or _is_particular(request)
            or (content.derivative is None and not _is_small_object(content))
        ):
            return
        target, name = order.target, order.target.bucket
        links = [link for link in order.links if link]
        objects = [*zip(order.keys, order.objects, strict=True)]
        objects += [(link.key, link.object) for link in links]
        by_names = bucket.protection.enabled and not style.pure(target.process)
        # an object whose key is the whole name would take precedence
        literal = {} if order.literal in order.keys else {order.literal: None}
        items = {**literal, **dict(objects)}
        named = self._fingerprints(name, items, aliases=True)
        fingerprints = named if by_names else self._fingerprints(name, items, aliases=False)
        if any(mark is None for _, _, mark in (*named, *fingerprints)):
            return
        # where the lookup took no fingerprint: the one taken above must be of the same object
        unsettled = [(key, item) for key, item in objects if not item.mark]
        if any([await self._store.stat(name, key) != item for key, item in unsettled]):
            return
        style_name = style.named(target.process, bucket.styles)
        fields = {**headers, **responses.HIT} if content.derivative else responses.of_body(headers)
        head = responses.kept_head(fields)
        sharing = None if cors.is_silent(bucket) else bucket
        taken = _taken(request, order.offered) if order.offered else ()
        about = target.key, target.process, style_name, by_names, content.notes, sharing
        due = math.inf if by_names else time.monotonic() + NAMES_SECONDS
        choice = order.offered, taken, content.size, named, due
        fresh = Known(version, fingerprints, content.cache_key, fields, head, *about, *choice)
        for one in (text, (*text, *taken, OTHERS)) if order.offered else (text,):
            self._known[one] = fresh
            self._known.move_to_end(one)
        while len(self._known) > MAX_REQUESTS:
            self._known.popitem(last=False)

    def _fingerprints(
        self, bucket: str, items: Mapping[str, Object | None], *, aliases: bool
    ) -> tuple[tuple[str, str, object], ...]:
        """Return the fingerprints of objects by key, as they were if that is known."""
        return tuple(
            (
                *(bucket, key),
                (*item.mark, item.aliases if aliases else None)
                if item and item.mark
                else self._store.fingerprint(bucket, key, aliases=aliases),
            )
            for key, item in items.items()
        )


def _text(request: web.BaseRequest) -> tuple[str, ...]:
    return request.raw_path, request.headers.get(hdrs.HOST, "")


def _is_small_object(content: Content) -> bool:
    """Return whether it is a small object under its own name that has a fingerprint."""
    order = content.order
    if not isinstance(content.body, Opened) or content.size > responses.MAX_READ:
        return False
    names_itself = (order.literal,) == order.keys and order.links == (None,)
    return names_itself and order.source.mark is not None


def _taken(request: web.BaseRequest, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the offered formats that the client accepts."""
    return accept.formats(accept.header(request.headers), offered)


def _is_particular(request: web.BaseRequest) -> bool:
    sent = request.headers
    for name in PARTICULAR:  # takes half the time of any()
        if name in sent:
            return True
    return may_have_oss(sent)
