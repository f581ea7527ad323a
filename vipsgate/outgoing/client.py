"""Reads objects from other servers: GET and HEAD with redirects, time limits and a breaker.

Each redirect is checked like the first request: its host has to be listed, and its address to be
allowed. Headers of a rule are sent to the rule's host only. An answer is checked here as far as its
transfer is concerned: its end must be known, it must not be encoded, and it must arrive in time.
Its content is left to the caller.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

import aiohttp

from ..errors import BadGateway, GatewayTimeout, OssError, shown
from .address import PORTS, Url, admit, may_connect, parse
from .breaker import Breaker
from .exchange import ForbiddenError, Lookup, Resolver, lookup, open_session, send

CONNECT = 5.0  # seconds to establish a connection
PIECE = 1 << 18  # bytes of a body that are read at a time
MIN_RATE = 1 << 16  # least bytes of a body a second, after the time for its beginning
MAX_TROUBLE = 200  # characters of an error in the log
MAX_SERVERS = 1024  # servers whose health is remembered
REDIRECTS = frozenset((301, 302, 303, 307, 308))
MAX_REDIRECTS = 5
VIA = "1.1 vipsgate"  # RFC 9110, 7.6.3; sent with every request, so that loops of servers are found
CAUSES: Mapping[type[Exception], str] = {  # words for clients; the first class that matches
    aiohttp.ClientConnectorDNSError: "its name has no address",
    aiohttp.ClientConnectorCertificateError: "its certificate is not trusted",
    aiohttp.ClientSSLError: "TLS fails",
    aiohttp.ClientConnectorError: "there is no connection",
    aiohttp.ServerDisconnectedError: "it has closed the connection",
    OSError: "the connection is broken",
}
NO_HTTP = "its answer is not HTTP"
OF_REQUEST = frozenset(("range", "if-none-match", "if-modified-since"))  # sent to any host

log = logging.getLogger(__name__)


class UnlistedError(ValueError):
    """A URL leads to a host or port that the operator has not listed."""


@dataclass(slots=True)
class Health:
    """The health of one server.

    Attributes:
        breaker: Decides whether requests are sent to it.
        trouble: The last error; empty after an answer.
    """

    breaker: Breaker = field(default_factory=Breaker)
    trouble: str = ""

    def answered(self, authority: str) -> None:
        """Note that the server has answered."""
        if self.trouble:
            log.warning("the origin %s answers again", authority)
            self.trouble = ""
        self.breaker.succeeded()

    def failed(self, authority: str, trouble: str) -> None:
        """Note that the server has not answered."""
        if not self.trouble:
            log.error("the origin %s: %s", authority, trouble)
        self.trouble = trouble
        self.breaker.failed(time.monotonic(), random.random())


class Answer:
    """The answer of a server, whose body can be read once.

    Attributes:
        status: HTTP status.
        headers: Headers; names are case-insensitive.
        length: Announced bytes of the body; ``None`` if they are not announced.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, seconds: float, failed: Callable[[str], None]
    ) -> None:
        self.status, self.headers = response.status, response.headers
        self.length = response.content_length
        self._response, self._seconds, self._failed = response, seconds, failed

    def check_coding(self) -> None:
        """Refuse a body that is encoded.

        Raises:
            BadGateway: There is a Content-Encoding.
        """
        coding = self.headers.get("Content-Encoding", "").strip().lower()
        if coding not in ("", "identity"):
            raise BadGateway(
                f"The origin answers with Content-Encoding: {shown(coding)}, but only "
                "identity was requested."
            )

    def check_body(self) -> None:
        """Refuse a body whose end cannot be recognised, and one that is encoded.

        Raises:
            BadGateway: There is neither a length nor chunks, or there is a Content-Encoding.
        """
        self.check_coding()
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if self.length is None and not chunked:
            raise BadGateway(
                "The origin answers with neither Content-Length nor chunks, so the end of its "
                "body is not known."
            )

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; only time spent waiting for the server is limited.

        Raises:
            GatewayTimeout: It stops, or arrives more slowly than :data:`MIN_RATE`.
            BadGateway: It is truncated.
        """
        loop, waited, seen = asyncio.get_running_loop(), 0.0, 0
        while True:
            begun = loop.time()
            left = min(self._seconds, self._seconds + seen / MIN_RATE - waited)
            try:
                async with asyncio.timeout(left):
                    data = await self._response.content.read(PIECE)
            except TimeoutError:
                self._failed("its body arrives too slowly")
                raise GatewayTimeout(
                    f"The origin is too slow: {seen} bytes of the body have arrived in "
                    f"{waited + loop.time() - begun:.0f} seconds."
                ) from None
            except (aiohttp.ClientError, OSError) as error:
                self._failed(f"its body is cut off: {type(error).__name__}")
                raise BadGateway(f"The origin's body is cut off after {seen} bytes.") from None
            waited, seen = waited + loop.time() - begun, seen + len(data)
            if not data:
                return
            yield data


class Client:
    """Reads from the servers that the operator has listed.

    Args:
        hosts: The patterns of allowed hosts.
        seconds: Time for an answer to begin, and for each piece of its body.
        lookup: Resolves a host to addresses.
    """

    def __init__(
        self, hosts: Iterable[str] = (), seconds: float = 10.0, lookup: Lookup = lookup
    ) -> None:
        self._hosts, self._seconds, self._lookup = tuple(hosts), seconds, lookup
        self._health: defaultdict[str, Health] = defaultdict(Health)
        self._session: aiohttp.ClientSession | None = None

    def admit(self, text: str) -> Url:
        """Parse a URL and check that its host is listed.

        Raises:
            UnlistedError: The host and port are not listed.
            ValueError: The text is not a URL.
        """
        if (url := admit(parse(text), self._hosts)) is None:
            raise UnlistedError("its host and port are not in origins.hosts")
        return url

    def away(self, url: Url) -> str:
        """Return why no requests are sent to a server now; empty if they are."""
        health = self._health.get(url.authority)
        return health.trouble if health and health.breaker.open else ""

    @asynccontextmanager
    async def get(
        self, url: Url, headers: Mapping[str, str], *, method: str = "GET", redirects: int = 0
    ) -> AsyncIterator[Answer]:
        """Request an object, and follow redirects.

        Args:
            url: The object's URL, from :meth:`admit`.
            headers: Headers of the request; only those of :data:`OF_REQUEST` are sent to other
                hosts.
            method: ``GET`` or ``HEAD``.
            redirects: Most redirects that are followed.

        Raises:
            BadGateway: The server cannot be reached, answers with an error, or redirects to where
                requests are not sent.
            GatewayTimeout: It does not answer in time.
        """
        first = url
        for left in reversed(range(redirects + 1)):
            async with self._ask(method, url, headers) as answer:
                if answer.status not in REDIRECTS:
                    yield answer
                    return
                url = self._next(url, answer.headers.get("Location", ""), left)
            if url.authority != first.authority:
                headers = {name: headers[name] for name in headers if name.lower() in OF_REQUEST}

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()
            self._session = None

    # -- one request -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _ask(
        self, method: str, url: Url, headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        authority, health = url.authority, self._of(url)
        if wait := health.breaker.wait(time.monotonic()):
            raise BadGateway("The origin does not answer.", headers=_later(wait))
        exchange = send(self._opened(), method, url, {**headers, "Via": VIA})
        try:
            async with asyncio.timeout(self._seconds):
                response = await exchange.__aenter__()
        except Exception as error:
            raise self._refusal(health, authority, error) from None
        except BaseException:  # the task was cancelled
            health.breaker.left()
            raise
        try:
            if response.status >= 500 or response.status == 429:
                health.failed(authority, f"it answers {response.status}")
            else:
                health.answered(authority)
            yield Answer(response, self._seconds, lambda trouble: health.failed(authority, trouble))
        finally:
            if not response.content.at_eof():
                response.close()  # without reading the rest
            await exchange.__aexit__(None, None, None)

    def _refusal(self, health: Health, authority: str, error: Exception) -> OssError:
        """Return the error for a request without an answer."""
        if isinstance(error, ForbiddenError):
            health.breaker.left()
            log.error("the origin %s has no address that may be connected to", authority)
            return BadGateway("The origin has no address that this server may connect to.")
        if isinstance(error, TimeoutError):
            health.failed(authority, f"no answer in {self._seconds:g} seconds")
            wait = health.breaker.left_to_wait(time.monotonic())
            return GatewayTimeout(
                f"The origin does not answer in {self._seconds:g} seconds.", headers=_later(wait)
            )
        if not isinstance(error, aiohttp.ClientError | OSError | ValueError):
            health.breaker.left()
            raise error
        text = str(error).partition("\n")[0]  # further lines may have what the server has sent
        health.failed(authority, f"{type(error).__name__}: {text[:MAX_TROUBLE]!r}")
        wait = health.breaker.left_to_wait(time.monotonic())
        why = next((why for kind, why in CAUSES.items() if isinstance(error, kind)), NO_HTTP)
        return BadGateway(f"The origin cannot be reached: {why}.", headers=_later(wait))

    def _next(self, url: Url, location: str, left: int) -> Url:
        """Return the URL that a redirect leads to.

        Raises:
            BadGateway: It is malformed or not allowed, or there were too many redirects.
        """
        if not left:
            raise BadGateway("The origin redirects too often.")
        try:
            target = self.admit(urljoin(url.text, location.partition("#")[0]))
        except UnlistedError:
            raise BadGateway(
                "The origin redirects to a host or port that is not allowed here."
            ) from None
        except ValueError:
            raise BadGateway("The origin redirects to a URL that is not valid.") from None
        if url.scheme == "https" and target.scheme == "http":
            raise BadGateway("The origin redirects from https to http.")
        return target

    def _of(self, url: Url) -> Health:
        if len(self._health) >= MAX_SERVERS and url.authority not in self._health:
            self._health.clear()
        return self._health[url.authority]

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = Resolver(self._lookup, self._judge)
            self._session = open_session(resolver, reuse=True, connect=CONNECT)
        return self._session

    def _judge(self, host: str, port: int, address: str) -> bool:
        """Return whether an address may be connected to, for either scheme of a host and port."""
        urls = (admit(Url(scheme, host, port, "/"), self._hosts) for scheme in PORTS)
        return any(url and may_connect(url, address) for url in urls)


def unusable(status: int) -> BadGateway:
    """Return the error for an answer that is neither an object nor a 404."""
    return BadGateway(f"The origin answers {status}, which is not an object.")


def _later(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
