"""What ``vipsgate check`` says of servers that objects come from."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from vipsgate.buckets import Bucket
from vipsgate.cli import findings
from vipsgate.settings import Settings


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(403)
        self.end_headers()

    def log_message(self, *words): ...


@pytest.fixture
def port():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_server_is_listed_and_answers(port):
    here, nobody = f"http://127.0.0.1:{port}/a/", "http://127.0.0.1:1/"
    rows = {
        "a-view": Bucket(origin=here),
        "mirrored": Bucket(mirror=[{"url": nobody}, {"url": here}, {"url": here, "prefix": "b"}]),
        "plain": Bucket(origin="s3://a/b"),
        "unlisted": Bucket(origin="https://elsewhere.example/"),
    }
    hosts = [f"127.0.0.1:{port}", "127.0.0.1:1"]
    settings = Settings(origins={"hosts": hosts, "timeout_seconds": 2})
    found = [(one.what, one.works, one.detail) for one in findings._origins(settings, rows)]
    assert found == [
        ("origin of bucket a-view", True, f"{here}: answers 403"),
        (
            "origin of bucket mirrored",
            False,
            f"{nobody}: The origin cannot be reached: there is no connection.",
        ),
        ("origin of bucket mirrored", True, f"{here}: answers 403"),
        (
            "origin of bucket unlisted",
            False,
            "https://elsewhere.example/: its host and port are not in origins.hosts",
        ),
    ]
