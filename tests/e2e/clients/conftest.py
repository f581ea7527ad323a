"""A server that names buckets by path and by host, and what came of each client's program."""

import random
import subprocess

import pytest

PATIENCE_S = 100
# of both keys the program makes more by appending
KEYS = ("photos/cat.jpg", "größe/a b+c&d%2Be#f 西湖.jpg")
CONFIG = """
[server]
endpoint = "oss.example.com"
region = "cn-hangzhou"
[[credentials]]
access_key_id = "ownerKey"
access_key_secret = "ownerSecret"
"""


@pytest.fixture(scope="session")
def outcomes(serving, root, tmp_path_factory):
    """``outcomes(client, command)``: (version, style, key's kind, call) -> ``ok`` or an error.

    A client without calls for a bucket finds its buckets there. The server is its own proxy: a
    program reaches the names of virtual hosts through it.
    """
    seen = {}

    def run(client, command, buckets):
        folder = tmp_path_factory.mktemp(client)
        (folder / "photo.jpg").write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
        (folder / "big").write_bytes(random.Random(client).randbytes(600_000))
        (folder / "keys").write_text("".join(f"{key}\n" for key in KEYS))
        (folder / "vipsgate.toml").write_text(CONFIG)
        (folder / "root").mkdir()
        for name in buckets:
            (folder / "root" / name).mkdir()
        options = ("--config", str(folder / "vipsgate.toml"))
        with serving(folder / "root", *options) as site:
            address = f"{site.host}:{site.port}"
            urls = (f"http://{address}", "http://oss.example.com", address)
            done = subprocess.run(
                [*command, client, *urls, folder],
                capture_output=True,
                text=True,
                encoding="utf-8",
                cwd=folder,
                timeout=PATIENCE_S,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        lines = [line.partition(": ") for line in done.stdout.splitlines()]
        return {tuple(words.split()): text for words, _, text in lines}

    def outcome(client, command, buckets=()):
        if client not in seen:
            try:
                seen[client] = run(client, command, buckets)
            except BaseException as error:
                seen[client] = error
                raise
        if isinstance(seen[client], BaseException):
            pytest.fail(f"the program failed: {seen[client]}"[:2000])
        return seen[client]

    return outcome
