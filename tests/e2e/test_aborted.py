"""Clients that leave while they send: nothing half is stored or stays open, and no log line."""

import os
import random
import socket
import struct
import time
from pathlib import Path

import pytest

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
BODY = os.urandom(400_000)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the connection is reset, not closed


@pytest.fixture
def site(serving, root, tmp_path):
    place = tmp_path / "root"
    (place / "photos").mkdir(parents=True)
    (place / "photos" / "a.jpg").write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
    file = tmp_path / "vipsgate.toml"
    file.write_text(CONFIG)
    with serving(place, "--config", str(file), "--cache-dir", str(tmp_path / "cache")) as site:
        yield site


def request(method, key, query=(), body=BODY, **more):
    """The bytes of a signed request."""
    asked = sign.Request(method, "photos", key, tuple(query), sign.fields(more.items()))
    headers = sign.sign_headers(KEY, asked, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    rows = {"Host": "x", "Content-Length": str(len(body)), **headers, **more}
    head = f"{method} /photos/{key}?{text} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in rows.items())
    return head.encode() + b"\r\n" + body


def chunked(key):
    asked = sign.Request("PUT", "photos", key, (), {})
    headers = sign.sign_headers(KEY, asked, now=time.time(), version=4, region="cn-hangzhou")
    rows = {"Host": "x", "Transfer-Encoding": "chunked", **headers}
    head = f"PUT /photos/{key} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in rows.items())
    pieces = [BODY[at : at + 50_000] for at in range(0, len(BODY), 50_000)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head.encode() + b"\r\n" + body + b"0\r\n\r\n"


SAVEAS = b"x-oss-process=image/resize,w_300|sys/saveas,o_"
UPLOADS = {
    "below an object": lambda: request("PUT", "a.jpg/x"),
    "a new one": lambda: request("PUT", "new/b.bin"),
    "over one": lambda: request("PUT", "old.bin"),
    "with a wrong MD5": lambda: request("PUT", "c.bin", **{"Content-MD5": "AAAA"}),
    "without overwriting": lambda: request("PUT", "old.bin", **{"x-oss-forbid-overwrite": "true"}),
    "in chunks": lambda: chunked("d.bin"),
    "a copy": lambda: request("PUT", "e.jpg", body=b"", **{"x-oss-copy-source": "/photos/old.bin"}),
    "a copy below an object": lambda: request(
        "PUT", "a.jpg/e", body=b"", **{"x-oss-copy-source": "/photos/old.bin"}
    ),
    "a part of no upload": lambda: request(
        "PUT", "f.bin", [("partNumber", "1"), ("uploadId", "0" * 32)]
    ),
    "saved below an object": lambda: request(
        "POST", "a.jpg", [("x-oss-process", "")], SAVEAS + b"YS5qcGcveA"
    ),
    "saved": lambda: request("POST", "a.jpg", [("x-oss-process", "")], SAVEAS + b"Zy5qcGc"),
}
BELOW = ("below an object", "a copy below an object", "saved below an object")


def leave(site, data, chance):
    """Send a part of a request, wait a little, go; as clients do, or with a reset."""
    with site.socket() as line:
        if chance.random() < 0.5:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end = len(data) if chance.random() < 0.6 else chance.randrange(len(data))
        line.sendall(data[:end])
        time.sleep(chance.choice((0, 0, 0.001, 0.003, 0.01)))


@pytest.mark.parametrize(
    "times", [12, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_uploads_that_are_aborted_at_any_moment(site, times):
    with site.socket() as line:
        line.sendall(request("PUT", "old.bin", body=b"old"))
        assert line.recv(100).startswith(b"HTTP/1.1 200")
    files = Path(f"/proc/{site.process.pid}/fd")
    chance, before = random.Random(times), len(list(files.iterdir()))
    for _ in range(times):
        for name, made in UPLOADS.items():
            leave(site, made(), chance)
            if name in BELOW:  # the whole of it, and away at once: the refusal meets nobody
                with site.socket() as line:
                    line.sendall(made())
    end = time.monotonic() + 20
    while len(list(files.iterdir())) > before:
        assert time.monotonic() < end
        time.sleep(0.05)
    # an exception that nobody has asked for is told when it is thrown away: now, at the latest
    assert site.ask("/photos/a.jpg").status == 403
    for path in (site.root / "photos").rglob("*.bin"):
        assert path.read_bytes() in (b"old", BODY)
    assert not [path for path in site.root.rglob("*/drafts/*") if path.is_file()]
    site.process.terminate()
    assert site.process.wait(20) == 0
    log = site.log.read_text()
    complaints = [line for line in log.splitlines() if "ERROR" in line or "retrieved" in line]
    assert complaints == []
    assert "Traceback" not in log
