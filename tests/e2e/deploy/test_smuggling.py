"""One request in another, through nginx: it sees as many requests as the server behind it."""

import json
import re
import socket
import time

import pytest

CONFIG = """
[log]
path = "%s"
[buckets.open]
acl = "public-read-write"
"""
IDLE_S = 0.3  # without a byte: nothing more comes
PICTURE = "/open/example.jpg?x-oss-process=image/resize,w_20"


@pytest.fixture(scope="module")
def behind(serving, root, proxying, tmp_path_factory):
    """The server, nginx in front of it, and the access log of the server."""
    folder = tmp_path_factory.mktemp("smuggling")
    bucket = folder / "root" / "open"
    bucket.mkdir(parents=True)
    (bucket / "example.jpg").write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
    log = folder / "access.log"
    (folder / "vipsgate.toml").write_text(CONFIG % log)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        calm = {"conf.d/vipsgate.conf": {"rate=100r/s": "rate=100000r/s"}}
        with proxying(site.port, calm) as nginx:
            yield site, nginx, log


def exchange(port, data):
    """All that comes back for these bytes, until nginx closes or says nothing more."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(data)
        line.settimeout(IDLE_S)
        got = b""
        try:
            while piece := line.recv(1 << 16):
                got += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def test_nobody_gets_the_answer_to_another_request(behind, smuggling):
    _, nginx, _ = behind
    got = exchange(nginx.port, smuggling)
    assert not got or re.match(rb"HTTP/1\.1 [245][0-9]{2} ", got), got[:200]
    # whatever is left on a line to the server would come to whoever is given that line next
    for number in range(3):
        path = f"/open/none-{number}-{hash(smuggling)}"
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        answer = exchange(nginx.port, request)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert f"<Key>{path.removeprefix('/open/')}</Key>".encode() in answer


def test_afterwards_the_server_has_seen_no_request_that_nginx_has_not(behind):
    site, nginx, log = behind
    last = site.ask("/open/last").headers["x-oss-request-id"].encode()
    end = time.monotonic() + 10
    while last not in log.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.02)
    seen = [json.loads(line)["key"] for line in log.read_text().splitlines()]
    passed = [json.loads(line) for line in nginx.log.splitlines()]
    sent = [line["uri"] for line in passed if line["node"]]
    assert len(sent) > 100
    assert seen.count("hidden") == sent.count("/open/hidden")
    assert seen.count("seen") == sent.count("/open/seen")


def test_chunks_go_through_and_both_is_nginxs_to_refuse(behind):
    site, nginx, _ = behind
    head = b"PUT /open/chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    body = b"\r\n5\r\nhello\r\n0\r\n\r\n"
    assert exchange(nginx.port, head + body).startswith(b"HTTP/1.1 200 ")
    assert site.ask("/open/chunks").body == b"hello"
    refused = exchange(nginx.port, head + b"Content-Length: 5\r\n" + body)
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>InvalidRequest</Code>" in refused


def test_a_name_in_raw_utf_8_goes_through(behind):
    _, nginx, _ = behind
    for path in ("/open/西湖", "/open/%E8%A5%BF%E6%B9%96"):
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        assert "<Key>西湖</Key>".encode() in exchange(nginx.port, request)


def test_a_header_that_is_too_large_is_refused_in_oss_words(behind):
    _, nginx, _ = behind
    got = exchange(
        nginx.port, b"GET /open/a HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 40_000 + b"\r\n\r\n"
    )
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>InvalidRequest</Code>" in got
