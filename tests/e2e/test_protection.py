"""Every way to a protected picture that anybody could think of, generated and sent as bytes.

A way is what an anonymous caller writes on the wire, and its id. No answer holds any of the
source's bytes, its length, its ETag or its sizes, but for that of a pure style, which is the one
that its owner gets. ``{etag}``, ``{upload}`` and ``{now}`` in a way are known when it is sent.
"""

import asyncio
import base64
import itertools
import random
import re
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest

from vipsgate.gate import sign
from vipsgate.store.base import Properties
from vipsgate.store.local.store import LocalStore
from vipsgate.web.responses import APPENDABLE

CONFIG = """
[server]
endpoint = "oss.example.com"
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.drop]
acl = "public-read-write"
[buckets.old]
acl = "public-read"
legacy_at_api = true
styles.thumb = "image/resize,w_40"
protection = { enabled = true, extensions = ["*"] }
[buckets.ruled]
acl = "public-read-write"
separators = ["!"]
styles.thumb = "image/resize,w_40"
[buckets.ruled.protection]
enabled = true
extensions = ["png"]
rules = [{ prefix = "image/" }, { suffix = ".RAW", case_insensitive = true }]
[buckets.guarded]
acl = "public-read-write"
domains = ["img.example.com"]
separators = ["!", "-", "_", "/", "@!"]
styles.thumb = "image/resize,w_40"
protection = { enabled = true, extensions = ["*"] }
"""
KEY = sign.Credential("key1", "secret1")
GUARDED, RULED, OLD, DROP = "guarded", "ruled", "old", "drop"
WIDTH, HEIGHT = 397, 263
THUMB = (40, 26)  # of it, as the style makes it
RUN, STEP = 12, 4  # 15 bytes in a row have one of these, and no other answer by chance
VOLATILE = ("Date", "x-oss-request-id", "x-oss-server-time", "Server-Timing")

# names of one picture, and what they are links to
PICTURES = (
    *("a.jpg", "A.JPG", "a.jpeg", "a.png", "a.tiff", "a.jpe", "a.jfif", "a.dat", "a.jpg.bak"),
    *(
        "noext",
        "a.txt",
        "a.html",
        "a.",
        ".hidden",
        "dir/b.dat",
        "dir/deep/c",
        "西湖.bin",
        "a b.dat",
    ),
    *("a+b.dat", "%41.dat", "a?b.dat", "a#b.dat", "a&b=c.dat", "back\\slash", "a.mp4", "a.json"),
    *("pic!thumb", "pic@!thumb", "pic_thumb", "pic-thumb", "dir/thumb", "typed.txt"),
)
LINKS = {"link.txt": "a.dat", "link2": "link.txt", "lf": "dir", "absolute": "{root}/guarded/a.jpg"}
LINKS["link-grown"] = "grown.dat"
LINKED = ("link.txt", "link2", "lf/b.dat", "absolute")
FORMATS = ("PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "heic", "mif1", "avci")
MAIN = ("a.jpg", "a.dat", "noext", "dir/b.dat", "link2")
FEW = ("a.jpg", "a.dat")
RULED_KEYS = ("image/p.dat", "p.png", "x.raw", "image/dir/q")
RULED_LINKS = {
    "free.bin": "image/p.dat",
    "chain1.bin": "chain2.bin",
    "chain2.bin": "image/p.dat",
    "lf": "image",
    "ll": "lf",
    "by-extension": "p.png",
    "by-suffix.gif": "x.raw",
    "round.bin": "../ruled/./image/../lf/p.dat",
}
GROWN = ((GUARDED, ("grown.jpg", "grown.dat", "grown")), (RULED, ("image/grown.dat", "grown.png")))
SIZE = 31013  # bytes of the picture
RULED_LINKED = (*RULED_LINKS.keys() - {"lf", "ll"}, "lf/p.dat", "ll/dir/q")


@dataclass(frozen=True)
class Way:
    """One request.

    Attributes:
        line: Method and target.
        headers: Besides Host, which is that of path style if there is none.
        body: Of the request.
        style: The object that it asks for through a style and not otherwise; empty for none.
    """

    line: str
    headers: dict = field(default_factory=dict)
    body: str = ""
    style: str = ""

    def __str__(self):
        rows = [self.line, *(f"{name}: {value}" for name, value in self.headers.items())]
        return " | ".join((*rows, self.body) if self.body else rows)


def enc(key, safe="/"):
    return quote(key, safe=safe)


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# -- the ways --------------------------------------------------------------------------------------


def addresses(key):
    """Host header and target, in all forms that lead to the bucket."""
    path = enc(key)
    for host in (
        *("guarded.oss.example.com", "GUARDED.oss.Example.com", "guarded.oss.example.com:8080"),
        *("guarded.oss.example.com.", "img.example.com", "IMG.example.com:443", "img.example.com."),
        *("guarded.oss-cn-hangzhou.aliyuncs.com", "guarded.oss-us-east-1-internal.aliyuncs.com:80"),
    ):
        yield host, f"/{path}"
        yield "127.0.0.1", f"http://{host}/{path}"
    yield "127.0.0.1", f"/guarded/{path}"
    yield "", f"/guarded/{path}"
    yield "img.example.com", f"http://127.0.0.1/guarded/{path}"
    yield "nowhere.example.com", f"HTTPS://img.example.com:443/{path}"
    yield "127.0.0.1", f"http://user:pw@img.example.com/{path}"
    yield "guarded.oss.example.com", f"http://other.oss.example.com@img.example.com/{path}"


def by_address():
    keys = [*PICTURES, *LINKED, *(f"f.{kind}.dat" for kind in FORMATS)]
    for number, key in enumerate(keys):
        ways = [*addresses(key)]
        for host, target in ways if key in FEW else ways[number % 5 :: 5]:
            yield Way(f"GET {target}", {"Host": host})
    for host, target in addresses("a.dat"):
        yield Way(f"HEAD {target}", {"Host": host})
        yield Way(f"HEAD {target}?objectMeta", {"Host": host})
        yield Way(f"GET {target}?x-oss-process=image/info", {"Host": host})
        yield Way(f"GET {target}?x-oss-process=style/thumb", {"Host": host}, style="a.dat")


def by_encoding():
    for key in (*FEW, "dir/b.dat", "西湖.bin", "pic!thumb"):
        raw = key.encode()
        whole = "".join(f"%{byte:02X}" for byte in raw)
        for path in (
            *(whole, whole.lower(), enc(key, ""), quote(whole), f"/{enc(key)}", f"./{enc(key)}"),
            *(f"x/../{enc(key)}", f"%2e%2e/guarded/{enc(key)}", f"{enc(key)}/", f"{enc(key)}%2F"),
            *(f"{enc(key)}.", f"{enc(key)}%20", f"{enc(key)}%00", f"{enc(key)}%00.txt"),
            *(
                f"{enc(key)};a",
                f"{enc(key)}%3Fa",
                f"{enc(key)}%23a",
                f"{enc(key)}?",
                f"{enc(key)}?a=b",
            ),
            *(
                f"{enc(key)}?versionId=null",
                f"{enc(key)}?partNumber=1",
                f"%5C{enc(key)}",
                f"{enc(key)}??",
            ),
            *(
                f"{enc(key).swapcase()}",
                f"{enc(key)}%0d%0a",
                f"{enc(key)}\t",
                f"{enc(key)}?x-oss-process=",
            ),
        ):
            yield Way(f"GET /guarded/{path}")
            if key in FEW:
                yield Way(f"HEAD /guarded/{path}")


HEADERS = [
    *({"Range": f"bytes={span}"} for span in ("0-0", "0-99", "-1", "100-", "99999999-", "9-1")),
    *({"Range": span} for span in ("bytes=0-9,20-29", "bytes 0-9", "items=0-9", "bytes=-0")),
    *({"If-None-Match": tag} for tag in ("{etag}", "*", "W/{etag}", '"x", {etag}', '"x"')),
    *({"If-Match": tag} for tag in ("{etag}", "*", '"x"')),
    *({"If-Range": tag, "Range": "bytes=0-9"} for tag in ("{etag}", '"x"')),
    *(
        {name: date}
        for name in ("If-Modified-Since", "If-Unmodified-Since")
        for date in ("Thu, 01 Jan 1998 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT", "x")
    ),
    *({"Accept": kind} for kind in ("image/*", "text/html", "image/avif,image/webp", "*/*;q=0")),
    *({"Accept-Encoding": kind} for kind in ("gzip", "identity;q=0", "br")),
    *({"X-Forwarded-Host": host} for host in ("img.example.com", "ruled.oss.example.com")),
    *({"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Proto": "https"}, {"X-Real-IP": "::1"}),
    *({name: "/guarded/free.txt"} for name in ("X-Original-URL", "X-Rewrite-URL")),
    *({name: "GET"} for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")),
    *({"X-Vipsgate-Accel": "1"}, {"X-Accel-Redirect": "/x"}, {"X-Sendfile": "1"}),
    *({"Referer": f"http://{host}/"} for host in ("img.example.com", "guarded.oss.example.com")),
    *({"Origin": "http://img.example.com"}, {"Cookie": "user=owner"}, {"Via": "1.1 x"}),
    *({"x-oss-process": "style/thumb"}, {"x-oss-object-acl": "public-read"}, {"x-oss-acl": "x"}),
    *({"Content-Type": "image/jpeg"}, {"Connection": "upgrade"}, {"TE": "trailers"}, {"DPR": "2"}),
]


def by_header():
    for headers in HEADERS:
        for key in FEW:
            yield Way(f"GET /guarded/{key}", headers)
        yield Way("HEAD /guarded/a.dat", headers)
        if any(name.startswith(("If-", "Range")) for name in headers):
            yield Way("HEAD /guarded/a.dat?objectMeta", headers)
        if not any(name in headers for name in ("If-Match", "If-None-Match", "If-Range")):
            style = "/guarded/a.dat?x-oss-process=style/thumb"
            yield Way(f"GET {style}", headers, style="a.dat")


def by_method():
    for key in FEW:
        for method in ("OPTIONS", "TRACE", "PATCH", "PROPFIND", "COPY", "MOVE", "SEARCH", "get"):
            yield Way(f"{method} /guarded/{enc(key)}")
    for key in ("a.dat", "link2"):
        for query in (
            *("acl", "append", "symlink", "tagging", "uploads", "uploadId=x", "meta", "stat"),
            *(
                "objectMeta",
                "objectMeta&acl",
                "versions",
                "img",
                "style&styleName=thumb",
                "location",
            ),
            *("response-content-type=text/plain", "Response-Content-Type=text/plain", "restore"),
            *("x-oss-async-process=image/info", "x-oss-traffic-limit=1", "encoding-type=url"),
        ):
            for method in ("GET", "HEAD", "POST"):
                if (method, query) != ("POST", "uploads"):  # anybody may write there
                    yield Way(f"{method} /guarded/{enc(key)}?{query}")


PROCESSES = tuple(
    """
image/resize,w_1 image/resize,p_100 image/format,src image/format,png image/crop image/info
image/average-hue image/info|image/crop image/auto-orient,1 image/ video/snapshot,t_0 video/info
video/snapshot,t_0,f_jpg,w_800 sys/saveas,o_YQ style/thumb|image/crop image/crop|style/thumb
style/thumb|style/thumb style/thumb| |style/thumb style/thumb|image/info style/thumb/resize,w_99
style/thumb,x style/ style/none STYLE/thumb style%252Fthumb style/thumb%00 %20style/thumb
style//thumb image/blind-watermark,x doc/preview audio/info nonsense %20 explain/image/info
image/resize,w_1&x-oss-process=style/thumb
""".split()
)


def by_process():
    for key in ("a.jpg", "a.dat", "f.PNG.dat", "free.txt"):
        for process in PROCESSES:
            yield Way(f"GET /guarded/{enc(key)}?x-oss-process={process}")
    for process in PROCESSES:
        yield Way(f"HEAD /guarded/a.dat?x-oss-process={process}")
        body = f"x-oss-process={process}"
        yield Way("POST /guarded/a.dat?x-oss-process", body=body)
    for key in MAIN:
        for process in ("style/thumb", "style%2Fthumb", "%73tyle/thumb"):
            for method in ("GET", "HEAD"):
                line = f"{method} /guarded/{enc(key)}?x-oss-process={process}"
                yield Way(line, style=key)
            body = f"x-oss-process={process}"
            yield Way(f"POST /guarded/{enc(key)}?x-oss-process", body=body, style=key)
        first = "x-oss-process=style/thumb&x-oss-process=image/resize,w_1"  # it counts
        yield Way(f"GET /guarded/{enc(key)}?{first}", style=key)
        for name in ("X-Oss-Process", "x-oss-process%20", "x_oss_process", "process"):
            yield Way(f"GET /guarded/{enc(key)}?{name}=style/thumb")


def by_separator():
    marks = ("!", "-", "_", "/", "@!")
    for key, mark in (
        *itertools.product(("a.jpg", "a.dat", "dir/b.dat"), marks),
        *(("a.dat", "".join(f"%{ord(one):02X}" for one in mark)) for mark in marks),
    ):
        at = f"/guarded/{enc(key)}{mark}"
        for method in ("GET", "HEAD"):
            yield Way(f"{method} {at}thumb", style=key)
        for tail in ("none", "", "thumb/", "thumb%20", "THUMB", f"thumb{mark}thumb"):
            yield Way(f"GET {at}{tail}")
            yield Way(f"HEAD {at}{tail}?objectMeta")
        for query in ("x-oss-process=image/info", "x-oss-process=style/thumb", "acl"):
            yield Way(f"GET {at}thumb?{query}")
        for query in ("objectMeta", "objectMeta=", "a&objectMeta&x-oss-process=style/thumb"):
            yield Way(f"HEAD {at}thumb?{query}")
            yield Way(f"HEAD {at}thumb?{query}", {"If-None-Match": "{etag}"})
        yield Way(f"HEAD /guarded/{enc(key)}?objectMeta&x-oss-process=style/thumb")
    for key in ("a.jpg", "a.dat", "noext"):
        for tail in ("100w", "100w.jpg", "1x.png", "100p", "info", "exif", "infoexif", "imageAve"):
            yield Way(f"GET /old/{key}@{tail}")
            yield Way(f"HEAD /old/{key}@{tail}")
            yield Way(f"HEAD /old/{key}@{tail}?objectMeta")
        yield Way(f"GET /old/{key}@!thumb", style=f"/old/{key}")
        yield Way(f"HEAD /old/{key}@!thumb?objectMeta")
        yield Way(f"GET /old/{key}@!thumb|100w")
        yield Way(f"GET /old/{key}@!thumb%7C100w.png")


def by_copy():
    for bucket, keys in (
        (GUARDED, (*PICTURES, *LINKED, "f.AVIF.dat")),
        (RULED, (*RULED_KEYS, *sorted(RULED_LINKED))),
    ):
        for key in keys:
            source = {"x-oss-copy-source": f"/{bucket}/{enc(key)}"}
            for aim in (DROP, bucket):
                yield Way(f"PUT /{aim}/stolen.bin", source)
            yield Way("PUT /drop/part?partNumber=1&uploadId={upload}", source)
    for key in FEW:
        for text in (f"/guarded/{enc(key, '')}", f"guarded/{enc(key)}", f"//guarded/{enc(key)}"):
            for more in (
                *({}, {"x-oss-metadata-directive": "REPLACE"}, {"Content-Type": "text/plain"}),
                *({"x-oss-copy-source-if-match": tag} for tag in ("{etag}", '"x"')),
                *({"x-oss-copy-source-if-none-match": tag} for tag in ("{etag}", "*")),
                {"x-oss-copy-source-if-modified-since": "Fri, 31 Dec 2100 00:00:00 GMT"},
                {"x-oss-copy-source-range": "bytes=0-99"},
            ):
                yield Way("PUT /drop/stolen.bin", {"x-oss-copy-source": text, **more})
        source = {"x-oss-copy-source": f"/guarded/{enc(key)}"}
        for span in ("bytes=0-9", "bytes=99999999-99999999", "bytes=9-0"):
            headers = {**source, "x-oss-copy-source-range": span}
            yield Way("PUT /drop/part?partNumber=1&uploadId={upload}", headers)


def by_saveas():
    for key in MAIN:
        for process in ("image/format,src", "style/thumb", "image/resize,p_100", "image/info"):
            for sink in (f"o_{b64('stolen.bin')},b_{b64(DROP)}", f"o_{b64('stolen.bin')}"):
                body = f"x-oss-process={process}|sys/saveas,{sink}"
                yield Way(f"POST /guarded/{enc(key)}?x-oss-process", body=body)
    for key in (*RULED_KEYS, *sorted(RULED_LINKED)):
        sink = f"sys/saveas,o_{b64('stolen.bin')},b_{b64(DROP)}"
        for process in ("style/thumb", "image/format,src"):
            body = f"x-oss-process={process}|{sink}"
            yield Way(f"POST /ruled/{enc(key)}?x-oss-process", body=body)


def by_append():
    """The answer to an append tells the length, the tag and the CRC of what is there."""
    for bucket, keys in (*GROWN, (GUARDED, (*MAIN, *LINKED, "link-grown")), (RULED, RULED_KEYS)):
        for key in keys:
            for position in (0, 1, SIZE, SIZE + 1):
                at = f"POST /{bucket}/{enc(key)}?append&position={position}"
                yield Way(at)
                yield Way(at, body="more")


def by_rule():
    for key in (*RULED_KEYS, *sorted(RULED_LINKED)):
        at = f"/ruled/{enc(key)}"
        for method in ("GET", "HEAD"):
            yield Way(f"{method} {at}")
            yield Way(f"{method} {at}", {"Range": "bytes=0-99"})
            yield Way(f"{method} {at}", {"If-None-Match": "*"})
            yield Way(f"{method} {at}?x-oss-process=style/thumb", style=f"/ruled/{key}")
            yield Way(f"{method} {at}!thumb", style=f"/ruled/{key}")
        yield Way(f"HEAD {at}?objectMeta")
        yield Way(f"HEAD {at}!thumb?objectMeta")
        for process in (
            "image/resize,w_1",
            "image/info",
            "style/thumb|image/crop",
            "video/snapshot,t_0",
        ):
            yield Way(f"GET {at}?x-oss-process={process}")
        plain = base64.b64encode(key.encode()).decode()
        inside = b64(f"{key}?x-oss-process=image/resize,P_100")
        for name in (
            b64(key),
            plain,
            plain.rstrip("="),
            inside,
            b64(f"{key}!thumb"),
            b64(f"/{key}"),
        ):
            for process in (
                f"image/watermark,image_{name}",
                f"image/resize,w_9/watermark,image_{name}",
            ):
                yield Way(f"GET /ruled/carrier.jpg?x-oss-process={process}")
            yield Way(
                f"GET /ruled/carrier.jpg?x-oss-process=style/thumb|image/watermark,image_{name}"
            )


def by_signature():
    """Of another object or time, in part, by nobody, in two ways, in odd spellings."""
    v1 = urlsplit(sign.sign_url(KEY, GUARDED, "other.jpg", now=4e9, endpoint="http://x")).query
    v4 = urlsplit(sign.sign_url(KEY, GUARDED, "other.jpg", now=4e9, version=4)).query
    v4 = re.sub("=20[0-9]{6}T[0-9]{6}Z", "={moment}", re.sub("F20[0-9]{6}%", "F{day}%", v4))
    assert ("{moment}" in v4, "{day}" in v4) == (True, True)
    for key in FEW:
        for query in (
            *(v1, v4, f"{v1}&{v4}", v1.replace("key1", "key9"), v1.partition("&Signature")[0]),
            *("Expires=4000000000", "OSSAccessKeyId=key1&Expires=1&Signature=x", "Signature=x"),
            *("x-oss-signature-version=OSS2", "x-oss-signature=x", "security-token=x"),
            *("signature=x", "SIGNATURE=x", "ossaccesskeyid=key1", "x-oss-credential="),
        ):
            yield Way(f"GET /guarded/{key}?{query}")
        for text in ("OSS key1:x", "OSS key1:", "OSS", "Basic eDp5", "OSS2 x", "", "key1"):
            yield Way(f"GET /guarded/{key}", {"Authorization": text, "Date": "{now}"})
            yield Way(f"HEAD /guarded/{key}?objectMeta", {"Authorization": text})


def by_listing():
    for target in ("/guarded", "/guarded/", "/", "/ruled/?prefix=image/", "/guarded/?list-type=2"):
        yield Way(f"GET {target}")
        yield Way(f"HEAD {target}")
    for query in (
        "prefix=a",
        "acl",
        "bucketInfo",
        "uploads",
        "style&styleName=thumb",
        "referer",
        "delete",
    ):
        yield Way(f"GET /guarded/?{query}")
        yield Way(f"GET /?{query}", {"Host": "img.example.com"})


KINDS = {
    kind.__name__.removeprefix("by_"): [*{str(way): way for way in kind()}.values()]
    for kind in (
        *(by_address, by_encoding, by_header, by_method, by_process, by_separator, by_copy),
        *(by_saveas, by_append, by_rule, by_signature, by_listing),
    )
}
WAYS = [way for ways in KINDS.values() for way in ways]


# -- what must not be told -------------------------------------------------------------------------


@dataclass
class Secrets:
    """What is known of the sources, and what nobody else may know."""

    runs: set = field(default_factory=set, repr=False)
    numbers: set = field(default_factory=set)
    tags: dict = field(default_factory=dict)

    def add(self, data):
        self.runs |= {data[at : at + RUN] for at in range(0, len(data) - RUN + 1, STEP)}
        self.numbers |= {len(data)}

    def in_answer(self, answer, *, style=False):
        """What an answer tells of a source; that of a style has sizes and tables of its own."""
        body, hidden = answer.body, VOLATILE
        if answer.error:
            words = [text for name, text in answer.error.items() if name != "RequestId"]
            text, hidden = "\n".join(words), (*VOLATILE, "Content-Length")
        else:
            text = "" if style else body.decode("latin-1")
        rows = [f"{name}: {value}" for name, value in answer.headers.items() if name not in hidden]
        text = "\n".join((*rows, text))
        found = [number for number in self.numbers if _has(text, number)]
        found += [tag for tag in self.tags.values() if tag.strip('"') in text]
        if not style:
            windows = (body[at : at + RUN] for at in range(len(body) - RUN + 1))
            found += [window for window in windows if window in self.runs][:1]
        return found


def _has(text, number):
    return re.search(rf"(?<![0-9A-Za-z]){number}(?![0-9A-Za-z])", text)


@pytest.fixture(scope="module")
def world(serving, tmp_path_factory, photo, saved):
    """A server with all of it, what is secret there, and an upload that anybody has begun."""
    folder = tmp_path_factory.mktemp("protection")
    (folder / "vipsgate.toml").write_text(CONFIG)
    rng = random.Random(4)
    secrets = Secrets(numbers={WIDTH, HEIGHT})
    picture = saved(photo(WIDTH, HEIGHT), "JPEG", quality=85)
    picture += rng.randbytes(SIZE - len(picture))

    def put(bucket, key, data):
        path = folder / "root" / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    for key in PICTURES:
        put(GUARDED, key, picture)
    for number, kind in enumerate(FORMATS):
        if kind.isupper():
            data = saved(photo(WIDTH, HEIGHT), kind)
        else:
            data = b"\0\0\0\x18ftyp%b\0\0\0\0mif1%b" % (kind.encode(), kind.encode())
        data += rng.randbytes(max(0, 40009 + 97 * number - len(data)))
        put(GUARDED, f"f.{kind}.dat", data)
        secrets.add(data)
    told = rng.randbytes(50021)  # a picture by its type alone
    put(GUARDED, "typed.txt", told)
    put(GUARDED, "free.txt", b"anybody may read this")
    for key in ("a.jpg", "a.dat", "noext"):
        put(OLD, key, picture)
    for key in RULED_KEYS:
        put(RULED, key, picture)
    for bucket, keys in GROWN:
        for key in keys:
            put(bucket, key, picture)
    put(RULED, "carrier.jpg", saved(photo(500, 300), "JPEG"))
    for bucket, links in ((GUARDED, LINKS), (RULED, RULED_LINKS)):
        for name, aim in links.items():
            (folder / "root" / bucket / name).symlink_to(aim.format(root=folder / "root"))
    (folder / "root" / DROP).mkdir()
    secrets.add(picture)
    secrets.add(told)
    store = LocalStore(folder / "root")
    typed = Properties(content_type="image/jpeg")
    asyncio.run(store.describe(GUARDED, "typed.txt", typed))
    for bucket, keys in GROWN:
        for key in keys:
            asyncio.run(store.describe(bucket, key, Properties(kind=APPENDABLE)))
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        begun = site.ask("/drop/part?uploads", {"Content-Length": "0"}, method="POST")
        assert begun.status == 200
        for bucket in (GUARDED, RULED, OLD):
            for path in (folder / "root" / bucket).rglob("*"):
                if path.is_file() and path.name not in ("carrier.jpg", "free.txt"):
                    key = str(path.relative_to(folder / "root" / bucket))
                    secrets.tags[bucket, key] = asyncio.run(store.stat(bucket, key)).etag
        yield site, secrets, begun.error["UploadId"]


def send(site, way, words):
    headers = {"Host": "127.0.0.1", "Connection": "close", **way.headers}
    method, _, target = way.line.partition(" ")
    if way.body or method in ("PUT", "POST"):
        headers["Content-Length"] = str(len(way.body.encode()))
    for name, value in words.items():
        target = target.replace(f"{{{name}}}", value)
        headers = {key: text.replace(f"{{{name}}}", value) for key, text in headers.items()}
    rows = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {target} HTTP/1.1\r\n{rows}\r\n"
    return site.raw(head.encode() + way.body.encode(), method.upper())


def of_owner(site, bucket, key):
    """What a style's owner gets."""
    query = (("x-oss-process", "style/thumb"),)
    request = sign.Request("GET", bucket, key, query, {})
    headers = sign.sign_headers(KEY, request, now=time.time(), version=4)
    return site.ask(f"/{bucket}/{enc(key)}?x-oss-process=style/thumb", headers)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_way_to_a_protected_picture(world, way):
    site, secrets, upload = world
    at = re.search(r"/(guarded|ruled|old)/([^?!@]*)", way.line)
    tag = secrets.tags.get((GUARDED, "a.dat"), "")
    if at:
        tag = secrets.tags.get((at[1], at[2]), tag)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    now = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    words = {
        "etag": tag,
        "upload": upload,
        "now": now,
        "moment": moment,
        "day": moment[:8],
    }
    answer = send(site, way, words)
    stolen = [path for path in site.root.glob("*/stolen.bin") if not path.unlink()]
    assert not stolen
    assert not secrets.in_answer(answer, style=bool(way.style))
    if way.style:
        bucket, key = way.style[1:].split("/", 1) if way.style[0] == "/" else (GUARDED, way.style)
        owners = of_owner(site, bucket, key)
        assert (owners.status, owners.picture.size) == (200, THUMB)
        assert answer.status in (200, 206, 304, 412, 416, 501)
        assert answer.status >= 400 or answer.etag == owners.etag
        assert answer.status != 200 or answer.body in (owners.body, b"")
        assert answer.status != 206 or answer.body in owners.body
    else:
        assert 400 <= answer.status < 600, answer.body[:99]
        assert answer.status != 500
        assert not {"ETag", "Last-Modified", "Content-Range"} & set(answer.headers)


def test_there_are_many_ways():
    """As many kinds as were tried by hand, and more of each; none of them twice."""
    assert len(WAYS) > 2000
    assert {kind: len(ways) > 9 for kind, ways in KINDS.items()} == dict.fromkeys(KINDS, True)
    assert sum(bool(way.style) for way in WAYS) > 100


def test_what_is_free_is_appended_to(world):
    site, _, _ = world
    for position, more in ((0, b"new"), (3, b"more")):
        target = f"/guarded/notes.txt?append&position={position}"
        answer = site.ask(target, method="POST", body=more)
        assert answer.status == 200
        assert answer.headers["x-oss-next-append-position"] == str(position + len(more))
    assert site.ask("/guarded/notes.txt").body == b"newmore"


def test_what_is_free_stays_so(world):
    site, secrets, _ = world
    for _ in range(2):
        answer = site.ask("/guarded/free.txt")
        assert (answer.status, answer.body) == (200, b"anybody may read this")
        assert site.ask("/guarded/free.txt?objectMeta", method="HEAD").status == 200
        assert not secrets.in_answer(answer)
    assert site.ask("/ruled/carrier.jpg").status == 200
    assert site.ask("/ruled/carrier.jpg?x-oss-process=image/info").status == 200
