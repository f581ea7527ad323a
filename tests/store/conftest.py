"""Stores with nothing in them, each of its kind."""

import base64
import datetime
import functools
import hashlib
import hmac
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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

    from vipsgate.store.local.store import LocalStore
    from vipsgate.store.remote.client import StoreClient, connect
    from vipsgate.store.remote.objects import RemoteObjects
    from vipsgate.store.remote.store import CloudStore

    def in_memory(folder: Path) -> CloudStore:
        return CloudStore(RemoteObjects(StoreClient(MemoryStore(), 10), 1, 0), kind="memory")

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
        if kind in ("local", "memory"):
            return {"local": LocalStore, "memory": in_memory}[kind]
        server = request.getfixturevalue(kind)
        if kind == "azurite":
            return functools.partial(by_http, lambda: f"az://box/{secrets.token_hex(6)}", server)
        return functools.partial(by_http, server.place, server.env())

    return make
