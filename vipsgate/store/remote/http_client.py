"""Objects on an HTTP server, with the interface of obstore: HEAD, and fetching whole or in part.

A server need not support HEAD (then one byte is requested), nor ranges (then the bytes before are
skipped), nor strong tags (then one is made of its headers). An object with neither ETag nor
Last-Modified cannot be served, as its versions could not be told apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ...errors import BadGateway, NoSuchKey, PreconditionFailed
from ...outgoing.address import Url, below, parse
from ...outgoing.client import MAX_REDIRECTS, Answer, Client, unusable

STRONG = re.compile(r'"[!#-~]{1,200}"')  # an entity tag (RFC 9110, 8.8.3)
PART = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")  # Content-Range
NO_HEAD = frozenset((405, 501))
MISSING = frozenset((404, 410))
KEPT = ("Content-Type", "Cache-Control", "Content-Disposition", "Content-Language")
MAX_HEADER = 1024  # characters of a header that is kept
EPOCH = datetime.fromtimestamp(0, UTC)


class NotModifiedError(Exception):
    """The object has not changed since it was last requested."""


@dataclass(frozen=True, slots=True)
class Got:
    """See :class:`vipsgate.store.remote.objects.Got`.

    Attributes:
        answer: The server's answer.
        span: Offsets of the requested bytes.
        skip: Number of bytes of the answer before them.
        open: Closes the answer.
    """

    meta: Mapping[str, Any]
    attributes: Mapping[str, str]
    answer: Answer
    span: range
    skip: int
    open: AsyncExitStack

    async def stream(self, min_chunk_size: int) -> AsyncIterator[bytes]:
        """Yield the requested bytes as they arrive.

        Raises:
            BadGateway: The answer has fewer bytes.
        """
        left, skip = len(self.span), self.skip
        async with self.open:
            async for data in self.answer.pieces():
                wanted = data[skip : skip + left]
                skip, left = max(0, skip - len(data)), left - len(wanted)
                if wanted:
                    yield wanted
                if not left:
                    return
        if left:
            raise BadGateway(f"The origin's body is cut off: {left} bytes are missing.")


class HttpClient:
    """See :class:`vipsgate.store.remote.objects.Source`.

    Args:
        client: Sends the requests.
        url: The URL below which all objects are.

    Raises:
        ValueError: The client may not send requests to it.
    """

    def __init__(self, client: Client, url: str) -> None:
        client.admit(url)
        self._client, self._url = client, url if url.endswith("/") else f"{url}/"
        self._knows_head = True

    @property
    def away(self) -> str:
        """See :class:`vipsgate.store.remote.objects.Source`."""
        return self._client.away(parse(self._url))

    def url(self, path: str) -> Url:
        """Return the URL of an object.

        Raises:
            NoSuchKey: No URL can have this name.
        """
        if not (text := below(self._url, path)):
            raise _absent()
        return self._client.admit(text)

    async def get(self, path: str, **options: Any) -> Got:
        """See :class:`vipsgate.store.remote.objects.Source`.

        Args:
            path: Its name.
            **options: ``head``; ``range``, the offsets of the first byte and after the last one;
                ``if_match``, a tag from this client; ``unless``, the known ``version``.

        Raises:
            NoSuchKey: There is no such object.
            PreconditionFailed: Its tag is not that of ``if_match``.
            NotModifiedError: It is still the version of ``unless``.
            BadGateway: The server cannot be reached, or its answer cannot be used.
            GatewayTimeout: The server does not answer in time.
        """
        head, part = options.get("head", False), options.get("range")
        stack = AsyncExitStack()
        try:
            answer = await stack.enter_async_context(self._request(path, head, part, options))
            if head and self._knows_head and answer.status in NO_HEAD:
                self._knows_head = False
                await stack.aclose()
                answer = await stack.enter_async_context(self._request(path, head, part, options))
            got = _got(answer, None if head else part, options.get("if_match"), stack)
            if head:
                await stack.aclose()
            return got
        except BaseException:
            await stack.aclose()
            raise

    async def pieces(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """See :class:`vipsgate.store.remote.objects.Source`; the client has timeouts itself."""
        async for piece in stream:
            yield piece

    def _request(
        self, path: str, head: bool, part: tuple[int, int] | None, options: Mapping[str, Any]
    ) -> Any:
        """Return a request, which is sent when it is entered (``async with``)."""
        headers: dict[str, str] = {}
        etag, _, modified = (options.get("unless") or "\n").partition("\n")
        headers |= {"If-None-Match": etag} if etag else {}
        headers |= {"If-Modified-Since": modified} if modified and not etag else {}
        if head and not self._knows_head:
            part = (0, 1)
        if part:
            headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
        method = "HEAD" if head and self._knows_head else "GET"
        return self._client.get(self.url(path), headers, method=method, redirects=MAX_REDIRECTS)


def _got(
    answer: Answer, part: tuple[int, int] | None, tag: str | None, stack: AsyncExitStack
) -> Got:
    """Return the object of an answer.

    Raises:
        OssError: See :meth:`HttpClient.get`.
    """
    status, content_range = answer.status, PART.fullmatch(answer.headers.get("Content-Range", ""))
    if status == 304:
        raise NotModifiedError
    if status in MISSING:
        raise _absent()
    if status == 416 and part:
        raise _changed()
    if status == 200:
        size, begin = answer.length, 0
    elif content_range and (status == 206 or (status == 416 and content_range[3] == "0")):
        size, begin = int(content_range[3]), int(content_range[1] or 0)
    else:
        raise unusable(status)
    answer.check_coding()
    if size is None:
        raise BadGateway("The origin does not say how long its object is (Content-Length).")
    meta = _meta(answer, size)
    if tag and meta["e_tag"] != tag:
        raise _changed()
    span = range(*part) if part else range(size)
    if begin > span.start or (status == 206 and part and begin != span.start):
        raise BadGateway("The origin answers with another part than the one that was wanted.")
    attributes = {name: answer.headers.get(name, "") for name in KEPT}
    attributes = {name: attributes[name] for name in KEPT if _is_kept(attributes[name])}
    return Got(meta, attributes, answer, span, span.start - begin, stack)


def _meta(answer: Answer, size: int) -> dict[str, Any]:
    """Return size, tag, time and version of an object, given its headers."""
    etag, modified = (answer.headers.get(name, "").strip() for name in ("ETag", "Last-Modified"))
    etag, modified = (text if _is_kept(text) else "" for text in (etag, modified))
    if not (etag or modified):
        raise BadGateway(
            "The origin sends neither ETag nor Last-Modified, so versions of its object "
            "cannot be told apart."
        )
    try:
        date = parsedate_to_datetime(modified)
    except (ValueError, TypeError, OverflowError):
        date = EPOCH
    tag = etag
    if not STRONG.fullmatch(etag):  # weak, or none; 40 digits, so that it is not taken for an MD5
        text = f"{etag} {modified} {size}"
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:40]}"'
    version = f"{etag}\n{modified}"
    return {"size": size, "e_tag": tag, "last_modified": date, "version": version}


def _is_kept(value: str) -> bool:
    return bool(value) and len(value) <= MAX_HEADER and value.isascii() and value.isprintable()


def _absent() -> NoSuchKey:
    return NoSuchKey("The specified key does not exist.")


def _changed() -> PreconditionFailed:
    return PreconditionFailed("The object has been replaced in the meantime.")
