"""The access log, one line for each request: JSON, or the combined format of Apache and nginx.

RULE: it contains no secrets. Of a query only the process text is written. A signature that somebody
has encoded into a key or a process text is removed. The query of a Referer is removed, because it
has a signature if a signed page shows a picture.

Lines are collected and written by a separate thread. If the disk is slow or full, lines are lost
and counted, and answers are not delayed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

from .record import RequestRecord

STDERR = "-"  # standard output carries the ready line only
FLUSH = 0.2  # seconds for which a line waits for others
BATCH = 1 << 16  # bytes that are written before that time is over
MAX_PENDING = 1 << 23  # bytes that may wait for a slow disk; further lines are lost
CLOSE_TIMEOUT = 1.0  # seconds for the last lines when the server ends
TEXT, HEADER = 1024, 512  # most characters of a process text, and of a header
SECRET = re.compile(
    r"((?:signature|token|credential|secret|accesskeyid|authorization|auth_key)[^=&%]{0,32}"
    r"(?:=|%(?:25)*3d))(?:(?!&|%(?:25)*26).)*",
    re.IGNORECASE | re.DOTALL,
)
USER = re.compile(r"://[^/@]*@")  # name and password in a Referer
Format = Literal["json", "combined"]

log = logging.getLogger(__name__)


class AccessLog:
    """The access log of one server.

    Args:
        form: ``json`` or ``combined``.
        path: Path of a file, which is appended to; ``-`` for standard error.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, form: Format, path: str) -> None:
        self._line: Callable[..., bytes] = {"json": _json, "combined": _combined}[form]
        self._writer = Writer(path)

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._writer.dropped

    def add(
        self,
        record: RequestRecord,
        request: web.BaseRequest,
        status: int,
        size: int,
        seconds: float,
    ) -> None:
        """Write the line of a request.

        Args:
            record: The record of the request.
            request: The request.
            status: HTTP status of the answer.
            size: Bytes of the answer's body.
            seconds: Time from the arrival of the request to its answer.
        """
        self._writer.add(self._line(record, request, status, size, seconds))

    def reopen(self) -> None:
        """Open the file again, because it may have been renamed."""
        self._writer.reopen()

    def close(self) -> None:
        """Write what is left, if that can be done soon."""
        self._writer.close()


def _json(
    record: RequestRecord, request: web.BaseRequest, status: int, size: int, seconds: float
) -> bytes:
    headers = request.headers
    rest = max(0.0, seconds - record.queue - record.render)
    line = {
        "time": datetime.now(UTC),
        "id": record.identity,
        "remote": request.remote or "",
        "method": _plain(request.method, HEADER),
        "bucket": record.bucket,
        "key": redacted(record.key if record.bucket else _path(request)),
        "process": redacted(record.process[:TEXT]),
        "status": status,
        "code": record.code,
        "ec": record.ec,
        "rule": record.rule,
        "bytes": size,
        "cache": record.cache,
        "origin": record.origin,
        "queue_ms": round(record.queue * 1e6) / 1e3,
        "open_ms": round(rest * 1e6) / 1e3,
        "render_ms": round(record.render * 1e6) / 1e3,
        "total_ms": round(seconds * 1e6) / 1e3,
        "agent": _plain(headers.get("User-Agent", ""), HEADER),
        "referer": _page(headers.get("Referer", "")),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _combined(
    record: RequestRecord, request: web.BaseRequest, status: int, size: int, seconds: float
) -> bytes:
    target = redacted(f"/{record.bucket}/{record.key}" if record.bucket else f"/{_path(request)}")
    target = quote(target, safe="/!*(),:;@&=+$~'")
    if record.process:
        target += "?x-oss-process=" + quote(redacted(record.process[:TEXT]), safe="/,:;@=+!~*|")
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    words = f"{_plain(request.method, HEADER)} {target} {version}"
    agent, referer = request.headers.get("User-Agent", ""), request.headers.get("Referer", "")
    return (
        f'{request.remote or "-"} - - [{now}] "{_quoted(words)}" {status} {size} '
        f'"{_quoted(_page(referer) or "-")}" "{_quoted(_plain(agent, HEADER) or "-")}"\n'
    ).encode()


def redacted(text: str) -> str:
    """Return a key or a process text without what looks like a part of a signature."""
    if "=" in text or "%" in text:
        text = SECRET.sub(r"\1***", text)
    return _plain(text, len(text))


def _path(request: web.BaseRequest) -> str:
    """Return the path of a request whose bucket and key are not known."""
    return unquote(request.raw_path.partition("?")[0]).lstrip("/")[:TEXT]


def _page(referer: str) -> str:
    if not referer:
        return ""
    bare = referer.partition("#")[0].partition("?")[0]
    return redacted((USER.sub("://", bare) if "@" in bare else bare)[:HEADER])


def _plain(text: str, most: int) -> str:
    """Return at most ``most`` characters of a text; those that UTF-8 lacks are question marks."""
    return text[:most] if text.isascii() else text[:most].encode(errors="replace").decode()


def _quoted(text: str) -> str:
    """Return a text for use between quotes; characters that do not print are escaped."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in escaped
    )


class Writer:
    """Appends to a file in a separate thread; no caller waits for it.

    Args:
        path: Path of the file; ``-`` for standard error.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = self._open()
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._given = self._taken = 0  # bytes; only one thread changes each
        self._refused = self._failed = 0  # lines; likewise
        self._torn = False  # whether the last line was written in part
        self._jobs: queue.SimpleQueue[list[bytes] | Literal["reopen", "end"]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost."""
        return self._refused + self._failed

    def add(self, line: bytes) -> None:
        """Add a line, with its newline, to those that are to be written."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH, self.flush)

    def flush(self) -> None:
        """Pass the collected lines to the thread."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        lines, size = self._lines, self._size
        self._lines, self._size = [], 0
        if self._given - self._taken + size > MAX_PENDING:
            self._refused += len(lines)
        elif lines:
            self._given += size
            self._jobs.put(lines)

    def reopen(self) -> None:
        """Write later lines to the file that then has this path."""
        self.flush()
        self._jobs.put("reopen")

    def close(self) -> None:
        """Write what is left, if that can be done soon."""
        self.flush()
        self._jobs.put("end")
        self._thread.join(CLOSE_TIMEOUT)

    # -- in the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) != "end":
            if job == "reopen":
                self._again()
            else:
                self._write(job)

    def _open(self) -> int:
        if self._path == STDERR:
            return 2
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _again(self) -> None:
        try:
            fresh = self._open()
        except OSError as error:
            log.error("the log stays in its old file: %s: %s", self._path, error.strerror)
            return
        if self._descriptor != fresh:
            os.close(self._descriptor)
        self._descriptor = fresh

    def _write(self, lines: list[bytes]) -> None:
        data = memoryview(b"\n" * self._torn + b"".join(lines))
        whole = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._failed += len(lines)
            if not self._failed - len(lines) and self._path != STDERR:  # warn once
                log.error("lines of the log are lost: %s: %s", self._path, error.strerror)
        self._torn = bool(data) and (len(data) < whole or self._torn)
        self._taken += sum(map(len, lines))
