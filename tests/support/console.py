"""A server with credentials, and clients of its console: by forms, and with a real browser."""

import re
import shutil
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest

from vipsgate.console import session

KEYS = {"key1": "owner", "key2": "writer", "key3": "reader"}
CONFIG = "".join(
    f'[[credentials]]\naccess_key_id = "{name}"\naccess_key_secret = "secret-{name}"\n'
    f'role = "{role}"\n'
    for name, role in KEYS.items()
)
CONFIG += '[buckets.declared]\nacl = "public-read"\nseparators = ["!"]\n'
CONFIG += 'styles.small = "image/resize,w_40"\n'

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.png',
    "' onmouseover='alert(1).jpg",
    "{{ 7*7 }}{% raw %}.jpg",
    "javascript:alert(1)",
    "a&amp;b&lt;.jpg",
    "\u202egpj.exe",
    "西湖 sunrise +%25?#.jpg",
]


@dataclass
class Said:
    status: int
    headers: object
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def field(self, name):
        """The value of an input of the page."""
        return unescape(re.search(rf'name="{name}" value="([^"]*)"', self.text)[1])


@dataclass
class Browser:
    """A client with cookies that fills in forms, without scripts."""

    port: int
    cookies: dict = field(default_factory=dict)

    def ask(self, method, path, body=None, **headers):
        link = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if isinstance(body, dict | list):
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            body = urlencode(body)
        link.request(method, path, body, headers)
        answer = link.getresponse()
        said = Said(answer.status, answer.headers, answer.read())
        link.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, item in SimpleCookie(line).items():
                self.cookies[name] = item.value
        return said

    def get(self, path, **headers):
        return self.ask("GET", f"/console/{path}", **headers)

    def post(self, path, form, **headers):
        return self.ask("POST", f"/console/{path}", form, **headers)

    def token(self):
        return self.get("buckets").field("csrf")

    def submit(self, path, **form):
        return self.post(path, {"csrf": self.token(), **form})

    def login(self, key_id="key1", secret=None, **form):
        nonce = self.get("login").field("nonce")
        proof = session.prove(secret or f"secret-{key_id}", nonce)
        return self.post("login", {"id": key_id, "nonce": nonce, "proof": proof, **form})


def put(browser, bucket, key, data=b"x", **headers):
    sent = {"X-CSRF-Token": browser.token(), "X-Requested-With": "fetch", **headers}
    return browser.ask("PUT", f"/console/b/{bucket}/object?{urlencode({'key': key})}", data, **sent)


def session_of(site, key_id, secret):
    """The headers of an owner who has logged in."""
    browser = Browser(site.admin_port)
    assert browser.login(key_id, secret).status == 303
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}


@pytest.fixture(scope="module")
def console(serving, root, tmp_path_factory):
    """A server of a folder of its own."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in ("examplebucket", "declared"):
        (folder / "root" / bucket).mkdir(parents=True)
        shutil.copy(root / "examplebucket" / "example.jpg", folder / "root" / bucket)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture
def nobody(console):
    return Browser(console.admin_port)


@pytest.fixture
def owner(nobody):
    assert nobody.login().status == 303
    return nobody
