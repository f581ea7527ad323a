"""A server of HTTP on this machine that answers as it is told, byte by byte, and misbehaves."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20  # the beginning of a picture, for a look at it


@dataclass(frozen=True)
class Request:
    """What has come: method, target, headers with names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


Writer = asyncio.StreamWriter
Reply = bytes | Callable[[Request, Writer], Awaitable[None]]


def answer(body: bytes = b"", status: str = "200 OK", *headers: str, length: Any = None) -> bytes:
    """The bytes of an answer; its length may be a lie, and "" is none."""
    told = len(body) if length is None else length
    rows = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {told}"] if told != "" else [])]
    return "\r\n".join([*rows, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that leads elsewhere."""
    return answer(b"", f"{status} Found", f"Location: {location}")


def closing(data: bytes) -> Reply:
    """An answer behind which the connection ends."""

    async def reply(request: Request, writer: Writer) -> None:
        writer.write(data)
        await writer.drain()

    return reply


@dataclass
class Origin:
    """The server.

    Attributes:
        files: Path -> bytes that are served as a good server does, with ranges and conditions.
        replies: Target -> what is answered instead.
        requests: What has come.
        ranges, heads: Whether it knows these.
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    ranges: bool = True
    heads: bool = True
    tags: Callable[[bytes], list[str]] = lambda data: [
        f'ETag: "{hashlib.md5(data).hexdigest()[:12]}"',
        "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
    ]

    @property
    def host(self) -> str:
        """As a setting lists it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://{self.host}/"

    @property
    def targets(self) -> list[str]:
        """Of the requests that have come."""
        return [request.target for request in self.requests]

    async def talk(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *rows = head.strip().split("\r\n")
                method, target, _ = line.split()
                pairs = (row.partition(":")[::2] for row in rows)
                headers = {name.lower(): value.strip() for name, value in pairs}
                request = Request(method, target, headers)
                self.requests.append(request)
                reply = self.replies.get(target)
                if reply is None:
                    reply = self._serve(request)
                    if method == "HEAD":
                        reply = reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
                if callable(reply):
                    await reply(request, writer)
                    return
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _serve(self, request: Request) -> bytes:
        data = self.files.get(request.target)
        if data is None:
            return answer(b"none", "404 Not Found")
        if request.method == "HEAD" and not self.heads:
            return answer(b"", "405 No")
        tags = self.tags(data)
        rows = [*tags, "Content-Type: application/x-told"]
        asked = request.headers.get("if-none-match", "no")
        if asked in [tag.partition(": ")[2] for tag in tags]:
            return answer(b"", "304 Not Modified", *tags, length="")
        span = request.headers.get("range", "")
        if span and self.ranges and request.method == "GET":
            first, _, last = span.removeprefix("bytes=").partition("-")
            if int(first) >= len(data):
                return answer(b"", "416 No", f"Content-Range: bytes */{len(data)}", *rows)
            part = data[int(first) : int(last) + 1]
            told = f"Content-Range: bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
            return answer(part, "206 Partial Content", told, *rows)
        return answer(data, "200 OK", *rows)


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    """The server, as long as it is wanted."""
    result = Origin()
    server = await asyncio.start_server(result.talk, "127.0.0.1", 0)
    result.port = server.sockets[0].getsockname()[1]
    try:
        yield result
    finally:
        server.close()
