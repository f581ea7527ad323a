"""Lines of what came of each call, for the programs in Python beside it; needs no package."""

import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

CLIENT, PATH, HOST, PROXY, FOLDER = sys.argv[1:]
FOLDER = Path(FOLDER)
PHOTO, BIG = (FOLDER / "photo.jpg").read_bytes(), (FOLDER / "big").read_bytes()
PROCESS = "image/resize,w_100/format,png"
REFERER = "http://a.com"


@dataclass(frozen=True)
class Run:
    """One round of all calls: a signature version, an addressing style and a key."""

    version: str
    style: str
    kind: str
    key: str

    @property
    def bucket(self):
        return f"{CLIENT}-{self.version}-{self.style}"

    @property
    def prefix(self):
        return self.key.partition("/")[0] + "/"

    def call(self, name, work):
        """Print what came of a call."""
        try:
            work()
            text = "ok"
        except Exception as error:  # whatever a client raises is what the line is about
            text = " ".join(f"{type(error).__name__} {error}".split())
        print(f"{self.version} {self.style} {self.kind} {name}: {text}", flush=True)

    def fetch(self, url):
        """The body of a signed URL, as a browser gets it, without an SDK."""
        proxies = {"http": f"http://{PROXY}"} if self.style == "host" else {}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        with opener.open(url, timeout=20) as answer:
            return answer.read()


def each(versions, styles, work):
    """Call ``work(run)`` for every version and style, with ``bucket``, which has no key, first."""
    keys = (FOLDER / "keys").read_text().splitlines()
    for version in versions:
        for style in styles:
            for kind, key in zip(("bucket", "plain", "odd"), ("", *keys), strict=True):
                work(Run(version, style, kind, key))


def equal(actual, expected):
    if actual != expected:
        raise ValueError(f"{actual!r:.200} instead of {expected!r:.200}")


def has(names, name):
    if name not in names:
        raise ValueError(f"{name!r} is not in {names!r}")


def wide(data):
    """A PNG of 100 pixels' width."""
    if data[1:4] != b"PNG" or data[16:20] != b"\0\0\0d":
        raise ValueError(f"no PNG of 100 pixels' width: {data[:200]!r}")
