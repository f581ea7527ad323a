"""One call to the API: the request, and what is known of it when its handler begins."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web
from aiohttp.streams import StreamReader

from ..buckets import Bucket
from ..catalog.versions import Author
from ..delivery.services import Services
from ..errors import (
    EntityTooLarge,
    IncompleteBody,
    InvalidArgument,
    InvalidDigest,
    MissingContentLength,
    RequestTimeout,
    Unimplemented,
    shown,
)
from ..gate import codings
from ..gate.access import Grant
from ..gate.rights import Right
from ..gate.target import Target
from ..web import responses

CHUNK = 1 << 18  # bytes of a body taken at a time
MIN_BODY_RATE = 500  # bytes of a body a second; Apache's mod_reqtimeout has the same
MAX_STALL_SECONDS = 60.0  # between two pieces, however much has come; nginx's client_body_timeout
DOCUMENT_BYTES = 1 << 20  # of a body that is held in memory: XML, or a process text


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is given.

    Attributes:
        request: As it came; its body has not been read.
        services: Where the work is done.
        target: Bucket, key and parameters.
        grant: That the caller may make this call, as far as the bucket is concerned.
        name: Of the call, as its row has it.
    """

    request: web.BaseRequest
    services: Services
    target: Target
    grant: Grant
    name: str = field(default="", kw_only=True)

    def check_present(self, document: Bucket) -> None:
        """Refuse to change a document that is not what the caller has seen.

        It is asked within the edit that writes, so nobody else changes the document in between. A
        call of OSS's says nothing of what it has seen; a form of the console does.
        """

    def author(self) -> Author:
        """Who changes a document by this call."""
        who = self.grant.caller
        named = [value for _, value in self.target.query if value and value.isprintable()]
        return Author(
            who.access_key_id if who else "",
            " ".join([self.name, *named]),
            self.services.clock(),
        )

    def parameter(self, name: str) -> str:
        """Of the query; empty where there is none."""
        return next((value for known, value in self.target.query if known == name), "")

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """An integer of the query.

        Raises:
            InvalidArgument: It is none, or out of range.
        """
        value = self.parameter(name) or str(default)
        if value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high:
            return int(value)
        raise invalid(name, value, f"an integer from {low} to {high}")

    def chosen(self, name: str, values: tuple[str, ...]) -> str:
        """A word of the query; an empty one among the values says that there need be none.

        Raises:
            InvalidArgument: It is another.
        """
        value = self.parameter(name)
        if value not in values:
            raise invalid(name, value, f"one of {', '.join(filter(None, values))}")
        return value

    def encodes_keys(self) -> bool:
        """Whether the answer has keys percent-encoded, ``encoding-type=url``.

        Raises:
            InvalidArgument: The parameter has another value.
        """
        return self.chosen("encoding-type", ("", "url")) == "url"

    def header(self, name: str) -> str:
        """Of the request; empty where there is none."""
        return self.request.headers.get(name, "").strip()

    async def body(self, most: int) -> AsyncIterator[bytes]:
        """The body in pieces, as it came whatever its Content-Encoding; all of it, or an error.

        Raises:
            MissingContentLength: Nobody has said where it ends.
            EntityTooLarge: It has more than ``most`` bytes.
            IncompleteBody: The client has stopped before its end.
            RequestTimeout: It comes too slowly.
        """
        request = self.request
        length = request.content_length
        if length is None and "Transfer-Encoding" not in request.headers:
            raise MissingContentLength("You must provide the Content-Length HTTP header.")
        if length is not None and length > most:
            raise _too_large(most)
        if self.header("Expect").lower() == "100-continue" and request.version >= (1, 1):
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen = 0
        grace = self.services.settings.server.body_seconds
        try:
            async for data in pieces(request.content, grace):
                seen += len(data)
                if seen > most:
                    raise _too_large(most)
                yield data
        except web.RequestPayloadError as error:
            raise IncompleteBody(f"The body ended after {seen} bytes: {error}.") from None
        if length is not None and seen != length:
            raise IncompleteBody(f"The body ended after {seen} bytes of {length}.")

    async def document(self) -> bytes:
        """The whole body, for a call that has a document in it; Content-MD5 is checked.

        Raises:
            OssError: See :meth:`body`.
            Unimplemented: It is encoded.
            InvalidDigest: It is not what Content-MD5 says.
        """
        if codings.applied(self.header("Content-Encoding")):
            raise Unimplemented(
                "A header you provided implies functionality that is not implemented. "
                "The body of this call is read as it comes: without Content-Encoding.",
                extra={"Header": "Content-Encoding"},
            )
        data = b"".join([piece async for piece in self.body(DOCUMENT_BYTES)])
        self.check_digest(hashlib.md5(data, usedforsecurity=False).digest())
        return data

    def check_digest(self, md5: bytes) -> None:
        """Hold the MD5 of the body against Content-MD5, where there is one.

        Raises:
            InvalidDigest: They differ, or the header is not the Base64 of 16 bytes.
        """
        check_digest(self.header("Content-MD5"), md5)

    def location(self, key: str) -> str:
        """The URL of an object of this bucket, by the scheme and the name that the client uses."""
        path = unquote(urlsplit(self.request.raw_path).path).lstrip("/")
        in_host = path == self.target.key  # the bucket; a form's address has no key
        name = key if in_host else f"{self.target.bucket}/{key}"
        return f"{responses.scheme(self.request)}://{self.header('Host')}/{quote(name)}"

    def respond(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """An answer; a body is XML unless ``headers`` say else."""
        result = responses.complete(self.request, headers or {})
        if body:
            result.setdefault("Content-Type", "application/xml")
        return web.Response(status=status, body=body, headers=result)


async def pieces(body: StreamReader, grace: float) -> AsyncIterator[bytes]:
    """Yield the bytes of a body as they come.

    Only the time counts that the client takes, not that in which its bytes are stored.

    Args:
        body: The body.
        grace: Seconds for the first bytes; then each :data:`MIN_BODY_RATE` bytes buy one more, of
            which no more are saved up than :data:`MAX_STALL_SECONDS`, or ``grace`` if that is more.

    Raises:
        RequestTimeout: There are fewer.
    """
    loop, waited, seen = asyncio.get_running_loop(), 0.0, 0
    left = grace
    while True:
        begun = loop.time()
        try:
            async with asyncio.timeout(left):
                data = await body.read(CHUNK)
        except TimeoutError:
            raise RequestTimeout(
                "Your socket connection to the server was not read from or written to within the "
                f"timeout period. Of the body {seen} bytes have come in "
                f"{waited + loop.time() - begun:.0f} seconds; it expects "
                f"{MIN_BODY_RATE} a second, after {grace:g} seconds."
            ) from None
        took = loop.time() - begun
        if not data:
            return
        waited, seen = waited + took, seen + len(data)
        left = min(left - took + len(data) / MIN_BODY_RATE, max(grace, MAX_STALL_SECONDS))
        yield data


def check_digest(wanted: str, md5: bytes) -> None:
    """Hold the MD5 of bytes against the Base64 of one that a client has said, if it has.

    Raises:
        InvalidDigest: They differ, or it is not the Base64 of 16 bytes.
    """
    try:
        same = not wanted or base64.b64decode(wanted, validate=True) == md5
    except ValueError:  # binascii's own errors are such; so is text that is not ASCII
        same = False
    if not same:
        raise InvalidDigest(
            "The Content-MD5 you specified was invalid. "
            f"It was {shown(wanted)!r}, that of the body is {base64.b64encode(md5).decode()!r}."
        )


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Row:
    """One call of OSS's API, and all that a request for it may ask.

    Attributes:
        name: As OSS calls it.
        right: What the caller must have.
        work: Who does it.
        parameters: Names that the query may have, besides the one that names the call and those of
            a signature.
        headers: Each ``x-oss-`` header that the request may have, and the values that pass; see
            :mod:`vipsgate.gate.headers`, which also has those of every call.
        lenient: Whether parameters that nobody understands (``utm_source=...``) are passed over.
        bucket_optional: Whether there need not be such a bucket.
        copying: The call that this is with ``x-oss-copy-source``; ``None`` where it has no such
            header.
    """

    name: str
    right: Right
    work: Handler
    parameters: frozenset[str] = frozenset()
    headers: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    lenient: bool = False
    bucket_optional: bool = False
    copying: Row | None = None


def invalid(name: str, value: str, expected: str) -> InvalidArgument:
    """The error for a parameter, header or element with a value that it cannot have."""
    return InvalidArgument(
        f"The value: {shown(value)!r} of parameter: {name} is invalid. It expects {expected}.",
        extra=argument(name, value),
    )


def argument(name: str, value: str) -> dict[str, str]:
    """What is wrong, in elements of its own, as SDKs read it: oss2's ``InvalidArgument.name``."""
    return {"ArgumentName": name, "ArgumentValue": shown(value)}


def _too_large(most: int) -> EntityTooLarge:
    return EntityTooLarge(
        "Your proposed upload exceeds the maximum allowed size. "
        f"The body may have {most} bytes here."
    )
