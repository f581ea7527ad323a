"""A real server over a real folder, and clients that send exactly what a test writes."""

import base64
import contextlib
import functools
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
READY = re.compile(r"vipsgate ready on http://(\S+):(\d+) \(admin http://(\S+):(\d+)\)")
PATIENCE_S = 20  # for a server to start, to answer and to stop
FRONTS = int(os.environ.get("TEST_FRONTS", "1"))  # of every server that does not say
CANARY = "canary-4711: this text lies outside of the bucket"
BUCKET = "examplebucket"


@dataclass(frozen=True)
class Answer:
    """One response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @functools.cached_property
    def error(self) -> dict[str, str]:
        """The elements of the XML body, or for HEAD of ``x-oss-err``; empty where there is none."""
        packed = self.headers.get("x-oss-err")
        text = base64.b64decode(packed) if packed else self.body
        if self.headers.get_content_type() != "application/xml" or not text:
            return {}
        return {child.tag: child.text or "" for child in ElementTree.fromstring(text)}

    @property
    def code(self) -> str:
        return self.error.get("Code", "")

    @property
    def message(self) -> str:
        return self.error.get("Message", "")

    @property
    def ec(self) -> str:
        """OSS's sub-code, which header and body must agree on."""
        header, body = self.headers.get("x-oss-ec", ""), self.error.get("EC", "")
        assert header == body
        return body

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def etag(self) -> str:
        return self.headers.get("ETag", "")

    @functools.cached_property
    def picture(self) -> Image.Image:
        assert self.status == 200, f"{self.status} {self.body[:400]!r}"
        made = Image.open(io.BytesIO(self.body))
        made.load()
        return made

    def pixel(self, x: int, y: int) -> tuple[int, ...]:
        return self.picture.convert("RGB").getpixel((x, y))


@dataclass
class Site:
    """A running server."""

    root: Path
    port: int
    admin_port: int
    process: subprocess.Popen[str]
    log: Path
    host: str = "127.0.0.1"
    several: bool = False

    def connection(self, **options: float) -> http.client.HTTPConnection:
        """The standard library's client, for what needs more than one request."""
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S, **options)

    def socket(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_S)

    def raw(self, request: bytes, method: str = "GET") -> Answer:
        """Send these bytes, read one answer."""
        with self.socket() as line:
            # a server may refuse early and not read the rest
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(request)
            response = http.client.HTTPResponse(line, method=method)
            response.begin()
            return Answer(response.status, response.headers, response.read())

    def ask(
        self,
        target: str | bytes,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        host: str | None = "127.0.0.1",
        version: str = "1.1",
        body: bytes = b"",
    ) -> Answer:
        """One request on its own connection, its target sent exactly as written."""
        line = target if isinstance(target, bytes) else target.encode("utf-8", "surrogateescape")
        given = {"Host": host} if host is not None else {}
        given |= {"Connection": "close"} | (headers or {})
        if body:
            given["Content-Length"] = str(len(body))
        rows = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        head = method.encode() + b" " + line + f" HTTP/{version}\r\n{rows}\r\n".encode("latin-1")
        return self.raw(head + body, method)

    def get(self, key: str, process: str = "", **options: object) -> Answer:
        """An object of the usual bucket, processed; the process text goes out as written."""
        query = f"?x-oss-process={process}" if process else ""
        return self.ask(f"/{BUCKET}/{key}{query}", **options)

    def fronts(self) -> list[int]:
        """The front processes."""
        return children(self.process.pid) if self.several else [self.process.pid]

    def pids(self) -> list[int]:
        """The renderer processes, the spare ones included."""
        return sorted(pid for front in self.fronts() for pid in children(front))

    def peaks(self) -> dict[int, int]:
        """The most memory that each renderer has held so far, in MB."""
        found = {}
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            found[pid] = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
        return found


def children(pid: int) -> list[int]:
    """The processes that another one has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def faults(log: str) -> list[str]:
    """The tracebacks in a server's log."""
    return log.split("Traceback (most recent call last)")[1:]


Serving = Callable[..., contextlib.AbstractContextManager[Site]]


@contextlib.contextmanager
def _serving(
    folder: Path,
    root: Path,
    *options: str,
    env: dict[str, str] | None = None,
    renderers: int = 2,
    fronts: int = FRONTS,
) -> Iterator[Site]:
    command = [sys.executable, "-m", "vipsgate", "serve", str(root), "--port", "0"]
    command += ["--admin-port", "0", "--renderers", str(renderers), "--fronts", str(fronts)]
    command += options
    if "--cache-dir" not in options:  # never the user's own
        command.append("--no-cache")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VIPSGATE_")}
    log = folder / "stderr.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=clean | (env or {}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        ready = READY.match(process.stdout.readline())
        assert ready, f"the server did not become ready: {log.read_text()}"
        ports = int(ready[2]), int(ready[4])
        yield Site(root, *ports, process, log, host=ready[1], several=fronts > 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
        assert not faults(log.read_text())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """``with serving(root, *flags) as site``: a server; it must stop cleanly, with no traceback."""
    return lambda root, *options, **more: _serving(
        tmp_path_factory.mktemp("server"), root, *options, **more
    )


@pytest.fixture(scope="session")
def site(serving: Serving, root: Path) -> Iterator[Site]:
    """The server that most tests share; they must leave it as they found it."""
    with serving(root) as running:
        yield running


@pytest.fixture(scope="session")
def canary() -> str:
    """What every file that must never be served contains."""
    return CANARY


@contextlib.contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """Stop these processes meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
