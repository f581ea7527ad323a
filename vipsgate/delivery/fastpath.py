"""Answers that were given just now, known again by the text of their request.

The gate, the style and the process text say the same of the same request as long as nothing has
changed that they look at. So an anonymous, plain request for a picture that is still kept is
answered again at once, if settings, documents and purges are the same (numbers) and so are the
objects (their marks, which cover their bytes and their ACLs). Everything else goes the whole way.
While a disk is away that has no marks of its objects, those of before will do for a time.

A request for a small object as it is, is known when its file has been the same for a while (it has
a mark, see :class:`vipsgate.store.base.Object`). Its bytes are read anew each time, of the very
file whose mark is looked at.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from ..buckets import Bucket
from ..cache.entry import CacheKey, Entry
from ..gate import accept, cors, referer, style
from ..gate.headers import may_have_oss
from ..image.notes import Notes
from ..web import responses

if TYPE_CHECKING:
    from ..cache.tiers import Cache
    from ..catalog.registry import Registry
    from ..observe.record import RequestRecord
    from ..store.base import Store
    from .order import Content

MAX_REQUESTS = 16384  # requests that are known; one takes about 1 KB
MAX_LENGTH = 1024  # characters of a request that is remembered
# what makes a request another one than its text says
PARTICULAR = (
    *(hdrs.AUTHORIZATION, hdrs.IF_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_NONE_MATCH),
    *(hdrs.IF_UNMODIFIED_SINCE, hdrs.RANGE, hdrs.EXPECT),
)  # and x-oss-*
OTHERS = ""  # ends the text of a request whose client takes other formats than the last one
REQUEST_LINE = re.compile(rb"GET (\S+) HTTP/1\.[01]\r\n")
HOST = re.compile(rb"\r\nhost:[ \t]*([^\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Known:
    """One request, and what its answer depended on.

    Attributes:
        version: Of the settings, the documents and the purges.
        fingerprints: Bucket, key and mark of each object.
        cache_key: Where the picture is kept; ``None`` for an object as it is.
        headers: Of the answer, but for those that are new each time.
        head: The same, written (:func:`vipsgate.web.responses.kept_head`).
        key: The object's name.
        process: What is done to it, as the caller has said it.
        style: The style that this is; empty for none.
        by_names: Whether the answer depended on all names of the objects, of which the marks
            then tell, too: a rule of the bucket's protection may cover one.
        notes: What of it was not followed to the letter, which ``headers`` say.
        sharing: The document of a bucket whose answers say something to pages of other origins,
            as each page is told something else; ``None`` where they do not.
        offered: The formats among which the client's Accept has chosen; empty where it has no say.
        taken: Which of them the client takes.
        size: Bytes of the body.
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

    def tell(self, record: RequestRecord, tier: str) -> None:
        """Note what the request is about, and where its answer was kept; empty for an object."""
        record.bucket, record.key, record.exists = self.fingerprints[0][0], self.key, True
        record.process, record.style, record.cache = self.process, self.style, tier
        record.notes = self.notes


class FastPath:
    """The requests that are known, those asked last.

    Args:
        store: Where the objects are.
        registry: Which buckets there are.
        cache: Where pictures are kept; without one no request for one is known.
        legacy: Whether the older service's URLs are understood in every bucket; such requests are
            not remembered.
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
        """The answer to a request that is known and still means the same, and what is known.

        Args:
            request: The request.
            record: Is told of it.
            most: Bytes of a body that is wanted; a larger one is not looked for.
        """
        if request.method != "GET":
            return None
        text = _text(request)
        known = self._known.get(text)
        if known is None or known.size > most or _is_particular(request):
            return None
        if known.offered:
            taken = _taken(request, known.offered)
            if taken != known.taken:
                text = (*text, *taken, OTHERS)
                if (known := self._known.get(text)) is None:
                    return None
        if known.version != self.version() or (hit := self._hit(known)) is None:
            del self._known[text]
            return None
        entry, tier = hit
        known.tell(record, tier)
        return entry, known

    def _hit(self, known: Known) -> tuple[Entry, str] | None:
        """What a request is answered with, and where it was kept; ``None`` where it is not."""
        by_names = known.by_names
        if known.cache_key is None:
            bucket, key, before = known.fingerprints[0]
            data = self._store.reread(bucket, key, before, known.size, aliases=by_names)
            return None if data is None else (Entry("", 0, len(data), data), "")
        fingerprint = self._store.fingerprint
        for bucket, key, before in known.fingerprints:
            if fingerprint(bucket, key, aliases=by_names) != before:
                if self._store.stale_ok(bucket):
                    break
                return None
        if self._cache is None:
            return None
        return self._cache.get_nowait(known.cache_key, responses.MAX_READ)

    def knows(self, head: bytes) -> bool:
        """Is a request known whose head begins so? Whether it still means the same is not said."""
        if not self._known:
            return False
        line, host = REQUEST_LINE.match(head), HOST.search(head)
        if line is None or host is None:
            return False
        return (line[1].decode("latin-1"), host[1].decode("latin-1")) in self._known

    def version(self) -> tuple[int, int, int]:
        """Another one as soon as a setting, a document or a purge is another."""
        return (*self._registry.version, self._cache.purges.version if self._cache else 0)

    async def learn(
        self,
        request: web.BaseRequest,
        content: Content,
        headers: Mapping[str, str],
        version: tuple[int, int, int],
    ) -> None:
        """Remember a request that has just been answered, where that may be done.

        Args:
            request: The request.
            content: What it is answered with.
            headers: Of the answer, but for those that are new each time.
            version: See :meth:`version`, from when the gate let the request pass: while the answer
                was made, its bucket may have been closed.
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
        fingerprint = partial(self._store.fingerprint, name, aliases=by_names)
        # a literal object would come first
        marks = {} if order.literal in order.keys else {order.literal: fingerprint(order.literal)}
        for key, item in objects:
            if item.mark:
                marks[key] = (*item.mark, item.aliases if by_names else None)
            else:
                marks[key] = fingerprint(key)
        if None in marks.values():
            return
        # marked now and equal to what was looked at before: so nothing has changed between
        unsettled = [(key, item) for key, item in objects if not item.mark]
        if any([await self._store.stat(name, key) != item for key, item in unsettled]):
            return
        fingerprints = tuple([(name, key, mark) for key, mark in marks.items()])
        named = style.named(target.process, bucket.styles)
        fields = {**headers, **responses.HIT} if content.derivative else responses.of_body(headers)
        head = responses.kept_head(fields)
        sharing = None if cors.is_silent(bucket) else bucket
        taken = _taken(request, order.offered) if order.offered else ()
        about = target.key, target.process, named, by_names, content.notes, sharing
        choice = order.offered, taken, content.size
        fresh = Known(version, fingerprints, content.cache_key, fields, head, *about, *choice)
        self._known[text] = fresh
        if order.offered:
            self._known[(*text, *taken, OTHERS)] = fresh
        while len(self._known) > MAX_REQUESTS:
            self._known.popitem(last=False)


def _text(request: web.BaseRequest) -> tuple[str, ...]:
    return request.raw_path, request.headers.get(hdrs.HOST, "")


def _is_small_object(content: Content) -> bool:
    """Is it a small object under its own name, whose file is known to stay as it is?"""
    order = content.order
    if content.opened is None or content.size > responses.MAX_READ:
        return False
    names_itself = (order.literal,) == order.keys and order.links == (None,)
    return names_itself and order.source.mark is not None


def _taken(request: web.BaseRequest, offered: tuple[str, ...]) -> tuple[str, ...]:
    """What the client takes of the formats that a request of this text has the choice of."""
    return accept.formats(accept.header(request.headers), offered)


def _is_particular(request: web.BaseRequest) -> bool:
    sent = request.headers
    for name in PARTICULAR:  # any() would take twice as long
        if name in sent:
            return True
    return may_have_oss(sent)
