"""HTTP responses: an object, a picture, 304, or an error as OSS's XML."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from xml.sax.saxutils import escape

from aiohttp import web

from ..cache import tiers
from ..errors import CpuLimitExceeded, OssError, ServiceUnavailable
from ..gate import conditional
from ..observe.record import RequestRecord
from ..store.base import PLAIN, Object, Opened, Properties
from . import prebuilt

ENDING = web.RequestKey("ending", asyncio.Event)  # is set when the server is stopping
RECORD = web.RequestKey("visit", RequestRecord)  # the record of a request
NOTHING: Mapping[str, str] = {}
STEADY = {"Server": "vipsgate", "X-Content-Type-Options": "nosniff"}  # on every answer
ACCEL = "X-Accel-Redirect"  # tells nginx to send a file
ACCEPTS_ACCEL = "X-Vipsgate-Accel"  # nginx adds it to requests if it can do that
ACCEL_LOSES = ("x-oss-meta-", "content-language")  # lost in deploy/nginx/vipsgate/handoff.conf
HIT = {"X-Vipsgate-Cache": "hit"}
TIMING = "Server-Timing"
# checksum of the whole object, also in an answer with a part: clients compare it with what they
# have received, the SDK for C++ after a resumed download
CRC = "x-oss-hash-crc64ecma"
APPENDABLE = "Appendable"  # x-oss-object-type of an object that can be appended to
SYMLINK = "Symlink"  # x-oss-object-type of a symlink
TAGGING_COUNT = "x-oss-tagging-count"
NEXT_POSITION = "x-oss-next-append-position"  # the size of an appendable object
MD5 = "Content-MD5"  # MD5 of the whole object, in Base64
BRIEF = 30  # seconds for which caches may keep a stand-in
LASTING = re.compile(r"(?:max-age|s-maxage|stale-[a-z-]+|immutable)\b", re.IGNORECASE)
MAX_READ = 1 << 16  # bytes of a file that are sent in one piece with their headers
CHUNK = 1 << 20  # bytes sent before other tasks of the loop run
STALL = 60.0  # seconds for which a client may read nothing
# bytes of an error in x-oss-err of HEAD: nginx takes 32 KB of headers as deploy/nginx is written,
# Python's HTTP client 64 KB in one
MAX_IN_HEADER = 6144
MAX_HOST = 255  # characters of a Host that an error repeats; a name has no more (RFC 1035, 2.3.4)
Reader = Callable[[range], Awaitable[AsyncIterator[bytes]]]  # reads a part of a remote body
Body = bytes | int | Opened | Reader
REPLACEMENT = "\ufffd"  # replaces characters that XML cannot contain
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2

TYPES = MimeTypes()  # the table of the standard library, without that of the machine
for ending, kind in {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".webp": "image/webp",
}.items():
    TYPES.add_type(kind, ending)
# types whose scripts a browser would run are sent with a sandbox (as imgproxy does for SVG); and
# those that end in +xml. Chromium reads text/xsl as XML, Firefox the parts of the last
ACTIVE = frozenset("text/html text/xml text/xsl application/xml multipart/x-mixed-replace".split())
ANY_TYPE = re.compile(r'[^\s,;="]+/[^\s,;="]+')  # all that may be read as one in a Content-Type
SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def request_id() -> str:
    """Return a new request id: 24 hexadecimal digits in upper case, as in OSS."""
    return f"{random.getrandbits(96):024X}"


def stamped(request: web.BaseRequest) -> dict[str, str]:
    """Return the headers that every answer has, such as the request id."""
    record = request[RECORD]
    result = _stamps(record.identity)
    result.update(record.sharing)
    if (ending := request.get(ENDING)) and ending.is_set():
        result["Connection"] = "close"
    return result


def scheme(request: web.BaseRequest) -> str:
    """Return ``https`` if a server in front says that the client used TLS, else ``http``.

    A forged header affects only the answer to its own request.
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
    return "https" if forwarded == "https" else "http"


def complete(request: web.BaseRequest, headers: Mapping[str, str]) -> dict[str, str]:
    """Add the headers that every answer has, and return all; ``Vary`` is joined from both."""
    result = {**headers, **stamped(request)}
    if "Vary" in headers and result["Vary"] != headers["Vary"]:
        result["Vary"] = f"{headers['Vary']}, {result['Vary']}"
    return result


def _stamps(identity: str) -> dict[str, str]:
    return {"x-oss-request-id": identity, "x-oss-server-time": str(_now()), **STEADY}


def _now() -> int:
    """Return the time, in milliseconds since the epoch."""
    return int(time.time() * 1000)


def timing(begun: float, *, queue: float = 0.0, render: float = 0.0, encode: str = "") -> str:
    """Return a ``Server-Timing``, in milliseconds; ``open`` is all time but waiting and rendering.

    Args:
        begun: When the request began, by ``time.perf_counter``.
        queue: Time for which it waited for a renderer, in seconds.
        render: Time that the renderer took, in seconds.
        encode: Description of the encoding, plain text without quotes; empty for none.
    """
    total = (time.perf_counter() - begun) * 1e3
    if not (queue or render or encode):  # a cache hit
        took = f"{total:.2f}"
        return f"queue;dur=0.00, open;dur={took}, render;dur=0.00, total;dur={took}"
    queue, render = queue * 1e3, render * 1e3
    rest = max(0.0, total - queue - render)
    return f"queue;dur={queue:.2f}, open;dur={rest:.2f}, render;dur={render:.2f}, " + (
        f"total;dur={total:.2f}" + (f', encode;desc="{encode}"' if encode else "")
    )


def mime_of(key: str) -> str:
    """Return the Content-Type for an object, by the extension of its key."""
    ending = PurePosixPath(key).suffix.lower()
    return TYPES.types_map[True].get(ending, "application/octet-stream")


def is_active(mime: str) -> bool:
    """Return whether a browser would run scripts in content of a type.

    A browser reads a Content-Type as a list, of which the last type that it understands counts:
    ``image/png, text/html`` is a page (Fetch Standard, "extract a MIME type").
    """
    return any(kind in ACTIVE or kind.endswith("+xml") for kind in ANY_TYPE.findall(mime.lower()))


def validators(etag: str, modified: float) -> dict[str, str]:
    """Return ETag and Last-Modified."""
    return {"ETag": etag, "Last-Modified": conditional.http_date(int(modified))}


def inherited_headers(properties: Properties, cache_control: str) -> dict[str, str]:
    """Return the headers that an object's writer has set and that apply to its pictures, too.

    Args:
        properties: The properties of the object.
        cache_control: The Cache-Control for objects without their own; empty for none.
    """
    headers = {"Cache-Control": cache_control} if cache_control else {}
    if properties is not PLAIN:
        headers |= {name.title(): value for name, value in properties.headers.items()}
        headers |= {f"x-oss-meta-{name}": value for name, value in properties.meta.items()}
        headers.pop("Content-Encoding", None)
    return headers


def shorten(headers: dict[str, str]) -> None:
    """Let caches keep an answer for :data:`BRIEF` only, as a better one will replace it."""
    headers.pop("Expires", None)
    words = [word.strip() for word in headers.get("Cache-Control", "").split(",")]
    rest = [word for word in words if word and not LASTING.match(word)]
    headers["Cache-Control"] = ", ".join((*rest, f"max-age={BRIEF}"))


def stored(key: str, item: Object) -> dict[str, str]:
    """Return the headers of an unprocessed object, besides :func:`inherited_headers`."""
    properties = item.properties
    headers = {
        "Content-Type": properties.content_type or mime_of(key),
        "x-oss-object-type": properties.kind,
        "x-oss-storage-class": "Standard",
    }
    if encoding := properties.headers.get("content-encoding"):
        headers["Content-Encoding"] = encoding
    if item.crc is not None:
        headers[CRC] = str(item.crc)
    if properties.tags:
        headers[TAGGING_COUNT] = str(len(properties.tags))
    if properties.kind == APPENDABLE:
        headers[NEXT_POSITION] = str(item.size)
    if item.md5:
        headers[MD5] = base64.b64encode(bytes.fromhex(item.md5)).decode()
    return headers


def not_modified(request: web.BaseRequest, headers: Mapping[str, str]) -> web.Response:
    """Return a 304, with the headers that a cache updates."""
    return web.Response(status=304, headers=complete(request, headers))


async def content(
    request: web.BaseRequest,
    body: Body,
    size: int,
    modified: float,
    headers: dict[str, str],
) -> web.StreamResponse:
    """Send a 200 with a body, or a 206 with the requested part of it.

    Args:
        request: The request; its method, Range and If-Range are used.
        body: The bytes, the descriptor of a file that begins with them and is never written to, an
            object, or a function that reads a part of a remote one.
        size: Size of the body, in bytes.
        modified: Time of its modification, in seconds since the epoch.
        headers: Headers of the answer, with ETag and Content-Type; with X-Accel-Redirect, the
            server in front sends the body if it can.

    Raises:
        InvalidRange: The part begins after the end.
        ServiceUnavailable: The file cannot be read.
        SourceChanged: The object was written to since it was opened, and nothing has been sent.
        ConnectionResetError: The body cannot be sent to its end; the connection is to be closed.
            Its cause is an OssError if it is the body that fails, not the client.
    """
    conditions = request.headers if request.method == "GET" else {}  # RFC 9110, 14.2: for GET only
    part = conditional.part(conditions, headers["ETag"], modified, size)
    span = range(size) if part is None else part
    status = 200 if part is None else 206
    headers = complete(request, of_body(headers))
    if part is not None:
        headers.pop(MD5, None)  # it would be read as that of the part (RFC 2616, 14.15)
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    file = headers.pop(ACCEL, "")
    if file and status == 200 and request.method == "GET" and _goes_by_accel(request, headers):
        return web.Response(headers={**headers, ACCEL: file})
    if request.method != "HEAD" and (data := _at_once(body, span)) is not None:
        return prebuilt.respond(request, status, headers, data)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(span)
    if not isinstance(body, bytes | int | Opened) and request.method != "HEAD":
        pieces = await body(span)  # before anything is sent, so that an error has its status
        await response.prepare(request)
        await _pass_on(response, pieces)
    else:
        await response.prepare(request)
    if request.method != "HEAD" and isinstance(body, int | Opened):
        await _send(request, body, span)
    await response.write_eof()
    return response


def of_body(headers: Mapping[str, str]) -> dict[str, str]:
    """Add Accept-Ranges and, if needed, a sandbox to the headers of an answer, and return all."""
    result = {**headers, "Accept-Ranges": "bytes"}
    if is_active(result["Content-Type"]):
        result["Content-Security-Policy"] = SANDBOX
    return result


def _goes_by_accel(request: web.BaseRequest, headers: Mapping[str, str]) -> bool:
    """Return whether the server in front can send a file with these headers."""
    if ACCEPTS_ACCEL not in request.headers:
        return False
    return not any(name.lower().startswith(ACCEL_LOSES) for name in headers)


async def head(request: web.BaseRequest, size: int, headers: dict[str, str]) -> web.StreamResponse:
    """Send a 200 to a HEAD, for a body of ``size`` bytes."""
    response = web.StreamResponse(headers=complete(request, headers))
    response.content_length = size
    await response.prepare(request)
    await response.write_eof()
    return response


def again(
    request: web.BaseRequest, body: bytes, headers: Mapping[str, str], head: bytes | None
) -> web.StreamResponse:
    """Return a 200 with a body whose headers are known, adding those of this request.

    Args:
        request: The request.
        body: An object, or a cached picture.
        headers: The known headers.
        head: The same, serialised by :func:`kept_head`.
    """
    record = request[RECORD]
    sharing = record.sharing
    took = {TIMING: timing(record.begun)} if record.cache else NOTHING  # none for an object
    if head is None or not prebuilt.fits(request) or ("Vary" in headers and "Vary" in sharing):
        return web.Response(body=body, headers=complete(request, {**headers, **took}))
    if sharing:
        head += "".join(f"{name}: {value}\r\n" for name, value in sharing.items()).encode()
    lines = f"x-oss-request-id: {record.identity}\r\nx-oss-server-time: {_now()}\r\n"
    if took:
        lines += f"{TIMING}: {took[TIMING]}\r\n"
    return prebuilt.Ready(request, head + lines.encode() + prebuilt.end(len(body)), body)


def kept_head(headers: Mapping[str, str]) -> bytes | None:
    """Return the bytes of headers that are the same each time; see :func:`again`."""
    return prebuilt.written({**headers, **STEADY})


def noted(notes: tuple[str, ...]) -> dict[str, str]:
    """Return the header for notes on parameters that were changed or ignored; none without."""
    return {"X-Vipsgate-Notes": "; ".join(notes)} if notes else {}


def cached(tier: str) -> str:
    """Return the value of ``X-Vipsgate-Cache`` for a tier of the cache."""
    return "hit" if tier in tiers.HITS else tier


def hit(begun: float) -> dict[str, str]:
    """Return the headers of an answer from the cache.

    Args:
        begun: When the request began, by ``time.perf_counter``.
    """
    return {**HIT, TIMING: timing(begun)}


def _at_once(body: Body, span: range) -> bytes | None:
    """Return a part of a body if it is in memory or in a file and small, else ``None``.

    Raises:
        ServiceUnavailable: The file cannot be read.
        SourceChanged: The object was written to since it was opened.
    """
    if isinstance(body, bytes):
        return body[span.start : span.stop]
    if not isinstance(body, int | Opened) or len(span) > MAX_READ:
        return None
    if isinstance(body, Opened):
        return body.read(span)
    try:
        data = os.pread(body, len(span), span.start)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ServiceUnavailable(f"The object cannot be read now: {reason}.") from None
    if len(data) != len(span):
        raise ServiceUnavailable("The object has become shorter since it was looked at.")
    return data


async def _pass_on(response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    """Send pieces of a body as they arrive."""
    try:
        async for piece in pieces:
            async with asyncio.timeout(STALL):
                await response.write(piece)
    except TimeoutError:
        raise ConnectionResetError("the client takes nothing") from None
    except OssError as error:
        raise ConnectionResetError("the body cannot be sent to its end") from error


async def _send(request: web.BaseRequest, body: int | Opened, span: range) -> None:
    """Send a part of a file, as much at a time as the socket takes.

    uvloop has no sendfile, and does not allow others to watch its sockets, so a duplicate of the
    socket is watched.

    Raises:
        ConnectionResetError: It cannot be sent to its end.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    while transport.get_write_buffer_size() and not transport.is_closing():
        await asyncio.sleep(0.001)  # the headers go first
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    loop = asyncio.get_running_loop()
    out = os.dup(transport.get_extra_info("socket").fileno())
    try:
        at, most = span.start, CHUNK
        while at < span.stop:
            piece = range(at, min(at + most, span.stop))
            sent = _send_piece(out, body, piece)
            at += sent
            if sent < len(piece):
                most = max(MAX_READ, 2 * sent)
                await _writable(loop, out)
            else:
                most = min(CHUNK, 2 * most)
                await asyncio.sleep(0)
    except (OSError, OssError) as error:  # an error answer cannot follow half a body
        raise ConnectionResetError("the body cannot be sent to its end") from error
    finally:
        os.close(out)


def _send_piece(out: int, body: int | Opened, span: range) -> int:
    """Send as much of a part of a file as the socket takes now, and return the bytes sent.

    An object is copied, and looked at, before it is sent. With sendfile(2) the socket would refer
    to the memory of the file itself: what is written over then, even after the last byte was
    sent, reaches a client that has not read so far (on this machine, or behind a virtual network).
    Copying takes 0.1 ms more for 1 MB, and whoever reads the socket here 0.2 ms less.

    Raises:
        OSError: The file or the socket fails.
        OssError: The object cannot be read, was written to since it was opened, or the file has
            become shorter.
    """
    try:
        if isinstance(body, Opened):
            return os.write(out, body.read(span))
        if sent := os.sendfile(out, body, span.start, len(span)):
            return sent
    except BlockingIOError:
        return 0
    raise ServiceUnavailable("The file has become shorter while it was sent.")


async def _writable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        async with asyncio.timeout(STALL):
            await ready.wait()
    except TimeoutError:
        raise ConnectionResetError("the client takes nothing") from None
    finally:
        loop.remove_writer(descriptor)


def refusal(error: OssError, request: web.BaseRequest) -> web.StreamResponse:
    """Return the answer to an error, as OSS's XML; for HEAD, which has no body, in ``x-oss-err``.

    The error's traceback is removed.
    """
    _forget_frames(error)
    identity, host = request[RECORD].identity, request.headers.get("Host", "")
    body = xml(error, identity, host)
    headers = complete(request, {**error.headers, "Content-Type": "application/xml"})
    if error.ec:
        headers["x-oss-ec"] = error.ec
    response: web.StreamResponse
    if request.method == "HEAD":
        if len(body) > MAX_IN_HEADER:
            body = xml(error, identity, host, extra=False)
        headers["x-oss-err"] = base64.b64encode(body).decode()
        response = web.Response(status=error.status, headers=headers)
    else:
        response = prebuilt.respond(request, error.status, headers, body)
    if isinstance(error, CpuLimitExceeded) and error.hold:
        response[prebuilt.HOLD] = error.hold
    return response


def _forget_frames(error: BaseException | None) -> None:
    """Remove the traceback of an error and of its causes.

    The frames in it, and futures in these, may refer to the error in turn. That cycle would keep
    them, and possibly the connection, in memory until the next garbage collection.
    """
    while error is not None:
        error.__traceback__, error = None, error.__context__


def xml(error: OssError, identity: str, host: str, *, extra: bool = True) -> bytes:
    """Return an ``<Error>`` with Code, Message, RequestId, HostId, the error's extra elements, EC.

    The extra elements, such as a StringToSign, may be long; ``extra`` leaves them out.

    It is not built with ElementTree, which takes ten times as long: under load, errors are many.
    """
    parts = {
        "Code": error.code,
        "Message": error.message,
        "RequestId": identity,
        "HostId": host[:MAX_HOST],
        **(error.extra if extra else {}),
    }
    if error.ec:
        parts["EC"] = error.ec
    elements = "".join(_element(name, text) for name, text in parts.items())
    return f"<?xml version='1.0' encoding='UTF-8'?>\n<Error>{elements}</Error>".encode()


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(NOT_XML.sub(REPLACEMENT, text))}</{name}>" if text else f"<{name} />"
