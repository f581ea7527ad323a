"""How much do the console's pages weigh, and how long does the server take for them?

A page is asked for as a browser does that has logged in: its HTML, and each script, style and icon
that it names; no pictures. The time is that of the HTML over loopback. The bucket has thousands of
objects, 50 styles and 50 versions.
"""

from __future__ import annotations

import argparse
import hmac
import http.client
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import chart
import pictures
import report
from server import Server

OBJECTS, STYLES = 5000, 50
KEY, SECRET = "bench", "bench-secret"
CONFIG = f"""
[[credentials]]
access_key_id = "{KEY}"
access_key_secret = "{SECRET}"
role = "owner"
"""
PAGES = {
    "login": "login",
    "buckets": "buckets",
    "overview": "overview",
    "objects": "b/photos/objects",
    "an object": "b/photos/object?key=00000.jpg&process=image/resize,w_400",
    "styles": "b/photos/styles",
    "editor": "b/photos/style?name=style00",
    "access": "b/photos/access?url=/photos/00000.jpg",
    "settings": "b/photos/settings",
    "versions": "b/photos/versions",
    "a version": "b/photos/version?number={version}",
}
ASSET = re.compile(r'(?:src|href)="(/console/static/[^"]+)"')
AIM_KB, AIM_MS = 150, 50  # issue: a page without its pictures, and the server's time for it


class Browser:
    """A client that keeps its connection and its cookie."""

    def __init__(self, address: str) -> None:
        self._link = http.client.HTTPConnection(urlsplit(address).netloc)
        self._cookie = ""

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> bytes:
        """The body of an answer that is none of an error."""
        headers = {"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        self._link.request(method, path, urlencode(form) if form else None, headers)
        answer = self._link.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:200]!r}")
        if given := answer.headers.get("Set-Cookie"):
            self._cookie = given.partition(";")[0]
        return data

    def get(self, path: str) -> bytes:
        """A page."""
        return self.ask("GET", f"/console/{path}")

    def field(self, path: str, name: str) -> str:
        """A value that a page has in a form."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.get(path).decode())
        return unescape(found[1]) if found else ""

    def submit(self, path: str, **form: str) -> None:
        """Send a form."""
        self.ask("POST", f"/console/{path}", {"csrf": self.field("buckets", "csrf"), **form})

    def login(self) -> None:
        """Prove to have the secret."""
        nonce = self.field("login", "nonce")
        proof = hmac.digest(SECRET.encode(), nonce.encode(), "sha256").hex()
        self.ask("POST", "/console/login", {"id": KEY, "nonce": nonce, "proof": proof})


@contextmanager
def filled() -> Iterator[Browser]:
    """A server with a full bucket, and who has logged in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root" / "photos").mkdir(parents=True)
        first = folder / "root" / "photos" / "00000.jpg"
        pictures.painted("water.sea", 1200, 800).write_to_file(f"{first}[Q=85,keep=none]")
        for number in range(1, OBJECTS):
            first.with_name(f"{number:05}.jpg").hardlink_to(first)
        (folder / "vipsgate.toml").write_text(CONFIG)
        options = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
        with Server(folder / "root", options) as server:
            browser = Browser(server.admin)
            browser.login()
            for number in range(STYLES):
                content = f"image/resize,w_{number + 100}/sharpen,100/format,webp/quality,q_80"
                form = {"name": f"style{number:02}", "content": content, "was": "", "do": "save"}
                browser.submit("b/photos/style", **form)
            yield browser


def measure(browser: Browser, path: str, runs: int) -> tuple[float, float, int, list[float]]:
    """KB of the HTML and of all without pictures, requests, and milliseconds of each run."""
    spent = []
    for _ in range(runs):
        begun = time.perf_counter()
        page = browser.get(path)
        spent.append((time.perf_counter() - begun) * 1000)
    assets = {*ASSET.findall(page.decode())}
    whole = len(page) + sum(len(browser.ask("GET", path)) for path in assets)
    return len(page) / 1000, whole / 1000, 1 + len(assets), spent


def main() -> None:
    """Measure all pages in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", type=Path, help="where all runs go")
    chart.add_option(parser)
    options = parser.parse_args()
    print(report.heading())
    rows, found = [], {}
    with filled() as browser:
        newest = re.search(r"version\?number=(\d+)", browser.get("b/photos/versions").decode())
        for name, path in PAGES.items():
            path = path.format(version=newest[1] if newest else "")
            html, whole, count, spent = measure(browser, path, options.runs)
            found[name] = spent
            rows.append([name, f"{html:.1f}", f"{whole:.1f}", str(count), report.cell(spent, 1)])
    head = ["page", "KB of HTML", f"KB (aim {AIM_KB})", "requests", f"ms (aim {AIM_MS})"]
    print(report.table("Pages of the console, without pictures", head, rows))
    if options.chart:
        chart.bars(
            options.chart,
            "Pages of the console",
            "ms of the server",
            list(found),
            {"over loopback": list(found.values())},
        )
    report.write(options.json, found)


if __name__ == "__main__":
    main()
