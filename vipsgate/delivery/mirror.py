"""Fetches missing objects from other servers, by the mirror rules of their buckets.

Signature, role, Referer, ACLs and protection are checked before, as for an object that exists, so a
refused request never causes one to another server. Concurrent fetches of an object are joined. The
result is stored in the bucket, or held on a shelf over the store (:mod:`vipsgate.store.shelf`), and
the request continues as if the object had existed. A store that fetched missing objects itself
would call other servers for lookups that are made before access is decided.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Self

from cachetools import TTLCache

from ..buckets import MirrorRule
from ..errors import (
    AccessDenied,
    BadGateway,
    GatewayTimeout,
    NoSuchKey,
    OssError,
    PreconditionFailed,
    ServiceUnavailable,
)
from ..gate import access, mirror
from ..gate.target import Target
from ..image.formats import codecs, containers
from ..observe.counters import Counters
from ..observe.record import CURRENT
from ..outgoing.client import Answer, Client, unusable
from ..settings import Origins
from ..store.base import Object, Properties, Store
from ..store.local.draft import Bytes
from ..store.remote import draft as spool
from ..store.shelf import Held, Shelf
from ..store.singleflight import SingleFlight
from ..web import responses

MISSING = frozenset((404, 410))  # statuses that mean that there is no object
KEPT = ("Cache-Control", "Content-Disposition", "Content-Language", "Expires")
VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
MAX_HEADER = 1024  # characters of a header; longer ones are dropped
MAX_FETCHES = 64  # at a time; others wait
MAX_REFUSED = 65536  # objects that could not be fetched and are remembered

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A fetched object, and the result of the fetch as a word of the metrics."""

    object: Object
    result: str

    def dup(self) -> Self:
        """Return the same, for another request that waits for it."""
        return self

    def close(self) -> None:
        """Do nothing: nothing is held open."""


class UnusableError(BadGateway):
    """An object of another server that cannot be used, nor could it if fetched again."""


class Mirror:
    """Fetches missing objects.

    Args:
        store: The store of the objects.
        shelf: Holds objects that are fetched but not stored.
        client: Sends requests to other servers.
        options: Limits of time and size.
        counters: Counts the fetches.
    """

    def __init__(
        self, store: Store, shelf: Shelf, client: Client, options: Origins, counters: Counters
    ) -> None:
        self._store, self._shelf, self._client = store, shelf, client
        self._options, self._counters = options, counters
        self._flights: SingleFlight[Fetched] = SingleFlight()
        self._turns = asyncio.Semaphore(MAX_FETCHES)
        # bucket, key and URL of a fetch that has failed -> its error
        self._refused: TTLCache[tuple[str, str, str], OssError] = TTLCache(
            MAX_REFUSED, options.missing_seconds
        )

    async def fetch(
        self, grant: access.Grant, target: Target, key: str, sent: Mapping[str, str]
    ) -> Object:
        """Fetch a missing object, and return it.

        Args:
            grant: The grant of a caller who may read objects by the bucket's ACL.
            target: The target of the request, of which the bucket and the query are used.
            key: The key of the missing object: the target's, or that of a watermark.
            sent: Headers of the request.

        Raises:
            NoSuchKey: No rule matches the key, or the other server has no such object.
            AccessDenied: The caller may not read the object.
            BadGateway: The other server cannot be reached, or its answer cannot be used.
            GatewayTimeout: It does not answer in time.
            ServiceUnavailable: Too many objects are being fetched.
        """
        rule = mirror.match(grant.bucket.mirror, key)
        url = mirror.url_of(rule, key, target.query) if rule else ""
        if rule is None or not url or mirror.asks_in_a_circle(sent):
            raise absent(key)
        check(grant, target, key)
        bucket = target.bucket
        if (refusal := self._refused.get((bucket, key, url))) is not None:
            self._counters.fetched(bucket, "remembered")
            raise type(refusal)(refusal.message, ec=refusal.ec, extra=refusal.extra)
        work = partial(self._counted, bucket, key, rule, url, mirror.headers(rule, sent))
        result = "failed"
        try:
            fetched, joined = await self._flights.join((bucket, key), work)
            result = "joined" if joined else fetched.result
        except OssError as error:
            result = _word(error)
            raise
        finally:
            if record := CURRENT.get():
                record.origin = result
        return fetched.object

    async def _counted(
        self, bucket: str, key: str, rule: MirrorRule, url: str, headers: Mapping[str, str]
    ) -> Fetched:
        begun, size, result = time.perf_counter(), 0, "failed"
        try:
            async with self._turn():
                fetched = await self._fetch(bucket, key, rule, url, headers)
            result = fetched.result
            size = fetched.object.size if result != "renewed" else 0
            return fetched
        except OssError as error:
            result = _word(error)
            if isinstance(error, NoSuchKey | UnusableError) and self._options.missing_seconds:
                self._refused[bucket, key, url] = error
            raise
        finally:
            self._counters.fetched(bucket, result, size, time.perf_counter() - begun)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold one of the :data:`MAX_FETCHES` slots.

        Raises:
            ServiceUnavailable: None is free in time.
        """
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise ServiceUnavailable(
                "Too many objects are being fetched.", headers={"Retry-After": "1"}
            ) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _fetch(
        self, bucket: str, key: str, rule: MirrorRule, url: str, headers: Mapping[str, str]
    ) -> Fetched:
        try:
            address = self._client.admit(url)
        except ValueError as error:
            log.error("bucket %s: mirror %s: %s", bucket, rule.url, error)
            raise BadGateway(
                "The bucket's mirror leads to a host or port that is not allowed here."
            ) from None
        known = None if rule.store else self._shelf.known(bucket, key)
        known = known if known and known.url == url else None
        headers = {**headers, **(known.validators if known else {})}
        async with self._client.get(address, headers, redirects=rule.redirects) as answer:
            if answer.status == 304 and known:
                until = self._shelf.clock() + self._options.fresh_seconds
                self._shelf.renew(bucket, key, known, until)
                return Fetched(known.object, "renewed")
            if answer.status in MISSING:
                raise absent(key)
            if answer.status != 200:
                raise unusable(answer.status)
            answer.check_body()
            if rule.store:
                return Fetched(await self._store_it(bucket, key, rule, answer), "stored")
            return Fetched(await self._hold_it(bucket, key, rule, url, answer), "passed")

    async def _store_it(self, bucket: str, key: str, rule: MirrorRule, answer: Answer) -> Object:
        """Store a fetched object, and return it, or one that was stored meanwhile."""
        if not self._store.has(bucket):  # only its document exists
            await self._store.create(bucket)
        async with self._store.draft(bucket) as draft:
            mime = await self._receive(answer, rule, draft.write)
            _check_md5(rule, answer, draft.md5)
            try:
                return await draft.keep(key, _properties(answer, mime), expected="")
            except PreconditionFailed:
                return await self._store.stat(bucket, key)

    async def _hold_it(
        self, bucket: str, key: str, rule: MirrorRule, url: str, answer: Answer
    ) -> Object:
        """Put a fetched object on the shelf, and return it."""
        length = self._options.fetch_bytes if answer.length is None else answer.length
        file = Bytes()
        file.descriptor = spool.begin(length)
        try:
            mime = await self._receive(answer, rule, file.write)
            _check_md5(rule, answer, file.md5)
        except BaseException:
            os.close(file.descriptor)
            raise
        md5 = file.md5.hex().upper()
        item = Object(
            file.size,
            f'"{md5}"',
            _modified(answer.headers.get("Last-Modified", "")),
            _properties(answer, mime),
            file.crc,
            md5=md5,
        )
        until = self._shelf.clock() + self._options.fresh_seconds
        validators = {
            condition: answer.headers[name]
            for name, condition in VALIDATORS.items()
            if _is_kept(answer.headers.get(name, ""))
        }
        self._shelf.put(bucket, key, Held(item, file.descriptor, until, validators, url))
        return item

    async def _receive(
        self, answer: Answer, rule: MirrorRule, write: Callable[[bytes], Awaitable[None]]
    ) -> str:
        """Write the body of an answer, and return its Content-Type.

        Returns:
            The type; empty if it is to be derived from the key.

        Raises:
            UnusableError: The body is too long, or the rule does not accept its kind.
        """
        most, size, mime, head = self._options.fetch_bytes, answer.length or 0, "", b""
        _check_size(size, most)
        size, is_known = 0, False
        async for data in answer.pieces():
            size += len(data)
            _check_size(size, most)
            if is_known:
                await write(data)
                continue
            head += data
            if len(head) >= codecs.HEAD_BYTES:
                mime, is_known = _kind(head, rule, answer), True
                await write(head)
        if not is_known:
            mime = _kind(head, rule, answer)
            await write(head)
        return mime


def absent(key: str) -> NoSuchKey:
    """Return the error for a missing object."""
    return NoSuchKey("The specified key does not exist.", ec="0026-00000001", extra={"Key": key})


def check(grant: access.Grant, target: Target, key: str) -> None:
    """Refuse a request that would be refused if the object existed.

    If all pictures are protected, an object whose key does not tell its kind counts as a picture.

    Raises:
        AccessDenied: The object is protected.
    """
    item = access.Seen(key, kind=responses.mime_of(key))
    access.check_source(grant, target, item)
    if access.asks_bytes(grant, target, item):
        raise AccessDenied(
            "You are forbidden to access the source image.", ec="0040-00000031", rule="protection"
        )


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise UnusableError(f"The origin's object has more than {most} bytes.")


def _check_md5(rule: MirrorRule, answer: Answer, md5: bytes) -> None:
    """Compare the body with the answer's Content-MD5, if there is one and the rule says so."""
    expected = answer.headers.get("Content-MD5", "").strip()
    if rule.check_md5 and expected and expected != base64.b64encode(md5).decode():
        raise UnusableError("The origin's object is not what its Content-MD5 says.")


def _kind(head: bytes, rule: MirrorRule, answer: Answer) -> str:
    """Return the Content-Type; that of a picture is detected, whatever the answer's header says.

    Returns:
        The type; empty if it is to be derived from the key.

    Raises:
        UnusableError: The rule does not accept such objects.
    """
    for name, magic in codecs.MAGIC.items():
        if magic.match(head) and codecs.is_picture(head):
            return codecs.CODECS[name].mime
    if codecs.is_picture(head) or containers.find(head):
        return ""
    if rule.types == "pictures":
        raise UnusableError(
            "The origin's object is neither a picture nor a video, by its first bytes, and the "
            "rule takes no others."
        )
    mime = answer.headers.get("Content-Type", "")
    return mime if _is_kept(mime) else ""


def _properties(answer: Answer, mime: str) -> Properties:
    headers = {name: answer.headers.get(name, "") for name in KEPT}
    return Properties(
        mime, headers={name.lower(): value for name, value in headers.items() if _is_kept(value)}
    )


def _is_kept(value: str) -> bool:
    return bool(value) and len(value) <= MAX_HEADER and value.isascii() and value.isprintable()


def _modified(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return float(int(time.time()))


def _word(error: OssError) -> str:
    """Return the result of a failed fetch as a word of the metrics and the log."""
    return next((word for kind, word in WORDS.items() if isinstance(error, kind)), "failed")


WORDS: Mapping[type[OssError], str] = {
    NoSuchKey: "missing",
    UnusableError: "refused",
    GatewayTimeout: "timeout",
    ServiceUnavailable: "busy",
}
