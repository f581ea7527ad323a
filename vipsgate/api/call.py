"""A call to the API as its handler gets it, and the rows of the table of calls."""

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

CHUNK = 1 << 18  # bytes of a body read at a time
MIN_BODY_RATE = 500  # bytes of a body per second, as in Apache's mod_reqtimeout
MAX_STALL_SECONDS = 60.0  # longest time between two pieces, as nginx's client_body_timeout
DOCUMENT_BYTES = 1 << 20  # largest body that is held in memory: XML, or a process text


@dataclass(frozen=True, slots=True)
class Call:
    """A call, as its handler gets it.

    Attributes:
        request: The request, whose body has not been read.
        services: The services of the server.
        target: Bucket, key and parameters.
        grant: The grant of the caller, who may make this call as far as the bucket decides.
        name: The name of the call.
    """

    request: web.BaseRequest
    services: Services
    target: Target
    grant: Grant
    name: str = field(default="", kw_only=True)

    def check_present(self, document: Bucket) -> None:
        """Refuse to change a document that is not the one that the caller has seen.

        It is called within the edit, so that the document cannot change in between. OSS's calls do
        not tell what the caller has seen, so this does nothing; a form of the console does.
        """

    def author(self) -> Author:
        """Return the author of a change to a document by this call."""
        who = self.grant.caller
        named = [value for _, value in self.target.query if value and value.isprintable()]
        return Author(
            who.access_key_id if who else "",
            " ".join([self.name, *named]),
            self.services.clock(),
        )

    def parameter(self, name: str) -> str:
        """Return a parameter of the query; empty if there is none."""
        return next((value for known, value in self.target.query if known == name), "")

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return an integer parameter of the query.

        Args:
            name: The parameter.
            default: Its value if it is not given.
            low: Its smallest value.
            high: Its largest value.

        Raises:
            InvalidArgument: It is not an integer, or out of range.
        """
        value = self.parameter(name) or str(default)
        if value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high:
            return int(value)
        raise invalid(name, value, f"an integer from {low} to {high}")

    def chosen(self, name: str, values: tuple[str, ...]) -> str:
        """Return a parameter of the query that is one of ``values``; with ``""``, it is optional.

        Raises:
            InvalidArgument: It has another value.
        """
        value = self.parameter(name)
        if value not in values:
            raise invalid(name, value, f"one of {', '.join(filter(None, values))}")
        return value

    def encodes_keys(self) -> bool:
        """Return whether keys in the answer are percent-encoded, ``encoding-type=url``.

        Raises:
            InvalidArgument: The parameter has another value.
        """
        return self.chosen("encoding-type", ("", "url")) == "url"

    def header(self, name: str) -> str:
        """Return a header of the request; empty if there is none."""
        return self.request.headers.get(name, "").strip()

    async def body(self, most: int) -> AsyncIterator[bytes]:
        """Yield the complete body in pieces, without decoding any Content-Encoding.

        Raises:
            MissingContentLength: It has neither a Content-Length nor chunks.
            EntityTooLarge: It has more than ``most`` bytes.
            IncompleteBody: The client has stopped before its end.
            RequestTimeout: The client sends too slowly.
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

    async def document(self, most: int = DOCUMENT_BYTES) -> bytes:
        """Return the whole body, which is a document, and check its Content-MD5.

        Args:
            most: Its largest size, in bytes.

        Raises:
            OssError: See :meth:`body`.
            Unimplemented: It has a Content-Encoding.
            InvalidDigest: It does not match Content-MD5.
        """
        if codings.applied(self.header("Content-Encoding")):
            raise Unimplemented(
                "A header you provided implies functionality that is not implemented. "
                "The body of this call is read as it comes: without Content-Encoding.",
                extra={"Header": "Content-Encoding"},
            )
        data = b"".join([piece async for piece in self.body(most)])
        self.check_digest(hashlib.md5(data, usedforsecurity=False).digest())
        return data

    def check_digest(self, md5: bytes) -> None:
        """Compare the MD5 of the body with Content-MD5, if there is one.

        Raises:
            InvalidDigest: They differ, or the header is not the Base64 of 16 bytes.
        """
        check_digest(self.header("Content-MD5"), md5)

    def location(self, key: str) -> str:
        """Return the URL of an object of this bucket, with the scheme and host of the request."""
        path = unquote(urlsplit(self.request.raw_path).path).lstrip("/")
        in_host = path == self.target.key  # the bucket; a form's address has no key
        name = key if in_host else f"{self.target.bucket}/{key}"
        return f"{responses.scheme(self.request)}://{self.header('Host')}/{quote(name)}"

    def respond(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> web.Response:
        """Return an answer; a body is XML unless ``headers`` have a Content-Type."""
        result = responses.complete(self.request, headers or {})
        if body:
            result.setdefault("Content-Type", "application/xml")
        return web.Response(status=status, body=body, headers=result)


async def pieces(body: StreamReader, grace: float) -> AsyncIterator[bytes]:
    """Yield the bytes of a body as they arrive.

    Only the time spent waiting for the client counts, not that in which the bytes are stored.

    Args:
        body: The body.
        grace: Time for the first bytes, in seconds. Each :data:`MIN_BODY_RATE` bytes add a second,
            up to :data:`MAX_STALL_SECONDS`, or ``grace`` if that is more.

    Raises:
        RequestTimeout: The time is up.
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
                f"timeout period. Of the body {seen} bytes have arrived in "
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
    """Compare an MD5 with the Base64 of one that a client has sent; empty for none.

    Raises:
        InvalidDigest: They differ, or it is not the Base64 of 16 bytes.
    """
    try:
        same = not wanted or base64.b64decode(wanted, validate=True) == md5
    except ValueError:  # of binascii, or because the text is not ASCII
        same = False
    if not same:
        raise InvalidDigest(
            "The Content-MD5 you specified was invalid. "
            f"It was {shown(wanted)!r}, that of the body is {base64.b64encode(md5).decode()!r}."
        )


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Row:
    """A call of OSS's API, with all parameters and headers that it supports.

    Attributes:
        name: OSS's name of the call.
        right: The right that the caller must have.
        work: The handler.
        parameters: Names of parameters of the query, besides the one that names the call and those
            of a signature.
        headers: The ``x-oss-`` headers, and the values that each may have; see
            :mod:`vipsgate.gate.headers`, which also has those of every call.
        lenient: Whether parameters that OSS does not have (``utm_source=...``) are ignored.
        bucket_optional: Whether the bucket may be missing.
        copying: The call that this is with ``x-oss-copy-source``; ``None`` if it does not support
            that header.
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
    """Return the error for a parameter, header or element with a value that is not valid."""
    return InvalidArgument(
        f"The value: {shown(value)!r} of parameter: {name} is invalid. It expects {expected}.",
        extra=argument(name, value),
    )


def argument(name: str, value: str) -> dict[str, str]:
    """Return extra elements of an error, which SDKs read: oss2's ``InvalidArgument.name``."""
    return {"ArgumentName": name, "ArgumentValue": shown(value)}


def _too_large(most: int) -> EntityTooLarge:
    return EntityTooLarge(
        "Your proposed upload exceeds the maximum allowed size. "
        f"The body may have {most} bytes here."
    )
