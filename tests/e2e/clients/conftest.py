"""What came of each client's program, with the emulator: buckets in the path and in the host."""

import random
import subprocess

import oss2
import pytest

PATIENCE_S = 100
# of both keys the program makes more by appending
KEYS = ("photos/cat.jpg", "größe/a b+c&d%2Be#f 西湖.jpg")


@pytest.fixture(scope="session")
def outcomes(emulated, root, tmp_path_factory):
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
        oss = emulated.oss
        for name in buckets:
            oss2.Bucket(oss2.Auth(*oss.credentials), oss.endpoint, name).create_bucket()
        address = f"{emulated.host}:{emulated.port}"
        done = subprocess.run(
            [*command, client, oss.endpoint, "http://oss.example.com", address, folder],
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
