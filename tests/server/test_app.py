"""The conductor by itself: a frozen clock, a store that counts, and nobody who renders."""

import asyncio
import gc
import os
import socket
from collections import Counter
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest
from yarl import URL

from vipsgate.catalog.documents import Documents
from vipsgate.delivery.services import LOOKUPS, Services
from vipsgate.errors import CpuLimitExceeded, ImageDamage, NoSuchKey, OssError
from vipsgate.observe.record import RequestRecord
from vipsgate.observe.recorder import Recorder
from vipsgate.renderers.admission import Reason, Refusal
from vipsgate.renderers.result import Result
from vipsgate.server import app
from vipsgate.settings import Settings
from vipsgate.store.base import Object, Opened
from vipsgate.web import connection
from vipsgate.web.throttle import BURST, RateLimit

NOW = 1767225600  # 2026-01-01T00:00:00Z, the clock of the guide's vectors
KEY = "dir/ex ample.jpg"
PROCESS = "image%2Fresize%2Cm_fixed%2Cw_100%2Ch_100%2Frotate%2C90"
V1 = (
    f"/examplebucket/dir/ex%20ample.jpg?x-oss-process={PROCESS}&OSSAccessKeyId=vipsgateTestKeyId"
    "&Expires=1767226200&Signature=FZG1NyT2y%2Bp6EuXPBKQO%2F6wQe5Y%3D"
)
V4 = (
    f"/examplebucket/dir/ex%20ample.jpg?x-oss-process={PROCESS}"
    "&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-expires=600&x-oss-date=20260101T000000Z"
    "&x-oss-credential=vipsgateTestKeyId%2F20260101%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
    "&x-oss-signature=bab1bec6b982407feb31769f482082513cd5a3c46fab901dc7687c75ccf4ae5d"
)


class Store:
    """One object, and how often it was looked at."""

    def __init__(self):
        self.asked = Counter()

    away = ""

    def has(self, bucket):
        return bucket == "examplebucket"

    def ranged(self, bucket):
        return None

    def object_acls(self, bucket):
        return True

    def fingerprint(self, bucket, key, *, aliases=False):
        return None

    def reread(self, bucket, key, fingerprint, most, *, aliases=False):
        return None

    async def stat(self, bucket, key):
        self.asked["stat"] += 1
        if key != KEY:
            raise NoSuchKey("The specified key does not exist.")
        return Object(4, '"1"', 1.0)

    async def open(self, bucket, key):
        self.asked["open"] += 1
        return Opened(await self.stat(bucket, key), _memory(b"data"))


class Renderers:
    """Says what it was asked for."""

    version, full = "0", False

    def refusal(self, waited=0.0):
        """There is room, or not."""
        return Refusal(Reason.WAIT, 0.5) if self.full else None

    def refuse(self, refusal):
        """As a client is told it."""
        return CpuLimitExceeded("The server is busy.", headers=refusal.headers)

    def check(self):
        """Likewise, raised."""
        if refusal := self.refusal():
            raise self.refuse(refusal)

    def check_memory(self, requests):
        """There is room."""

    async def render(self, job, content=""):
        if "rotate,45" in job.process:  # it fails, as the pool learns of it
            broken = asyncio.get_running_loop().create_future()
            broken.set_exception(ImageDamage("The image file may be damaged."))
            await broken
        return Result("text/plain", len(job.process), _memory(job.process.encode()), 0.0, 0.0, 0)


def _memory(data):
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return descriptor


@asynccontextmanager
async def running(now=NOW, region="cn-hangzhou", *, full=False, lookups=None, **buckets):
    """``ask(target)`` gives status, body and the calls of the store."""
    settings = Settings(
        server={"region": region},
        credentials=[
            {
                "access_key_id": "vipsgateTestKeyId",
                "access_key_secret": "vipsgateTestKeySecret0123456789",
            }
        ],
        buckets=buckets,
    )
    store = Store()
    documents = Documents(store, settings.limits)
    renderers = Renderers()
    renderers.full = full
    lookups = lookups or RateLimit(LOOKUPS, BURST)
    services = Services.of(
        settings, store, renderers, documents, clock=lambda: now, lookups=lookups
    )
    line = socket.create_server(("127.0.0.1", 0))
    runner = aiohttp.web.ServerRunner(app.public(services))
    await runner.setup()
    await aiohttp.web.SockSite(runner, line).start()
    async with aiohttp.ClientSession() as client:

        async def ask(target, method="GET", **headers):
            store.asked.clear()
            url = URL(f"http://127.0.0.1:{line.getsockname()[1]}{target}", encoded=True)
            async with client.request(method, url, headers=headers) as answer:
                ask.headers = answer.headers
                return answer.status, await answer.text(), dict(store.asked)

        ask.counters, ask.port = services.recorder.counters, line.getsockname()[1]
        try:
            yield ask
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("target", [V1, V4], ids=["V1", "V4"])
async def test_rows_91_and_97_the_guides_vectors(target):
    async with running() as ask:
        status, body, _ = await ask(target)
    assert (status, body) == (200, "image/resize,m_fixed,w_100,h_100/rotate,90")


async def test_while_no_renderer_is_to_be_had_few_objects_are_looked_at():
    few = RateLimit(1e-6, BURST)  # of LOOKUPS a second a busy machine would count some more
    async with running(full=True, lookups=few, examplebucket={"acl": "public-read"}) as ask:
        target = V1.partition("&OSSAccessKeyId")[0]
        looked = []
        for _ in range(3 * BURST):
            status, _, asked = await ask(target)
            assert status == 503
            looked.append(asked)
        assert looked == [{"stat": 1}] * BURST + [{}] * (2 * BURST)
        status, _, asked = await ask(V1.partition("?")[0])  # it takes no renderer
        assert (status, asked["open"]) == (200, 1)
        assert ask.counters.requests.sums["GET", "503", "CpuLimitExceeded"] == 3 * BURST
        assert ask.counters.in_progress == 0


UNLIKE = [
    # method, headers, status: what is not refused before a task is begun for it, is so later
    ("HEAD", {}, 503),
    ("GET", {"Connection": "close"}, 503),
    ("GET", {"Expect": "100-continue"}, 503),
    ("GET", {"Expect": "200-maybe"}, 417),
    ("GET", {"If-None-Match": "*"}, 503),
    ("GET", {"x-oss-odd": "1"}, 501),
    ("PUT", {}, 501),
]


@pytest.mark.parametrize(("method", "headers", "status"), UNLIKE, ids=str)
async def test_whatever_the_request_it_has_one_answer_and_is_counted_once(method, headers, status):
    cors = [{"allowed_origins": ["*"], "allowed_methods": ["GET", "HEAD"]}]
    bucket = {"acl": "public-read", "cors": cors}
    async with running(full=True, lookups=RateLimit(1e-6, 1), examplebucket=bucket) as ask:
        target = V1.partition("&OSSAccessKeyId")[0]
        assert (await ask(target))[0] == 503  # the one look that there is
        for number in range(2, 5):
            got, _, asked = await ask(target, method, Origin="http://a", **headers)
            assert (got, asked) == (status, {})
            assert sum(ask.counters.requests.sums.values()) == number
        assert ask.counters.in_progress == 0
        assert (ask.headers.get("Access-Control-Allow-Origin") == "*") == (method != "PUT")
        assert ask.headers["Vary"] == "Origin"


@contextmanager
def no_garbage():
    """What a server has of a request is gone afterwards; a test's client does leave garbage."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        ours = OssError, RequestRecord, connection.Connection
        left = [one for one in gc.garbage if isinstance(one, ours)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left


ANSWERED = [
    # target, method, whether renderers are full, status
    (V1, "GET", False, 200),
    (V1.partition("?")[0], "GET", False, 200),
    (V1, "HEAD", False, 403),
    (V1.partition("&OSSAccessKeyId")[0], "GET", True, 503),
    (V1.replace("dir/", "other/"), "GET", False, 403),
    ("/examplebucket/missing.jpg", "GET", False, 404),
    ("/examplebucket/missing.jpg?x-oss-process=image/resize,w_100", "GET", False, 404),
    ("/examplebucket/dir/ex%20ample.jpg?x-oss-process=image/resize,w_x", "GET", False, 400),
    (V1.partition("&OSSAccessKeyId")[0].replace("C90", "C45"), "GET", False, 403),
    ("/other/a.jpg", "GET", False, 404),
    ("/examplebucket/a.jpg?policy", "PUT", False, 501),
]


@pytest.mark.parametrize(("target", "method", "full", "status"), ANSWERED)
async def test_no_answer_leaves_garbage(target, method, full, status):
    async with running(
        full=full, lookups=RateLimit(1e6, 100), examplebucket={"acl": "public-read"}
    ) as ask:
        assert (await ask(target, method))[0] == status
        with no_garbage():
            for _ in range(3):
                await ask(target, method)
            await asyncio.sleep(0)


async def test_what_is_no_request_leaves_no_garbage():
    async with running() as ask:
        await ask("/")
        with no_garbage():
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
                writer.write(b"GET no \0 request\r\n\r\n")
                assert b" 400 " in await reader.readline()
                writer.transport.abort()
            await asyncio.sleep(0.01)


async def test_a_wait_for_a_turn_counts_once_on_a_connection(monkeypatch):
    begun = []
    monkeypatch.setattr(Recorder, "end", lambda self, record, *rest: begun.append(record.begun))
    real = connection.Connection.data_received

    def late(self, data):
        real(self, data)
        if not begun:
            self.came = 1.0

    monkeypatch.setattr(connection.Connection, "data_received", late)
    async with running(examplebucket={"acl": "public-read"}) as ask:
        for _ in range(2):
            assert (await ask(V1.partition("?")[0]))[0] == 200
    assert begun[0] == 1.0 < begun[1]


REFUSED = [
    # row, now, region, target, status, part of the body
    (92, 1767226201, "cn-hangzhou", V1, 403, "Request has expired."),
    (92, 1767226201, "cn-hangzhou", V4, 403, "AccessDenied"),
    (93, NOW, "cn-hangzhou", V1.replace("w_100", "w_200"), 403, "StringToSign"),
    (93, NOW, "cn-hangzhou", V4.replace("w_100", "w_200"), 403, "CanonicalRequest"),
    (94, 1767226201, "cn-hangzhou", V1.replace("w_100", "w_200"), 403, "Request has expired."),
    (95, NOW, "cn-hangzhou", V1.partition("&Signature")[0], 403, "AccessDenied"),
    (96, NOW, "cn-hangzhou", V1.replace("TestKeyId", "Other"), 403, "InvalidAccessKeyId"),
    (97, NOW, "cn-beijing", V4, 400, "0002-00000226"),
    (98, NOW, "cn-hangzhou", V4.replace("expires=600", "expires=691200"), 400, "0002-00000232"),
    (100, NOW, "cn-hangzhou", V1 + "&" + V4.partition("?")[2], 400, "InvalidArgument"),
    (88, NOW, "cn-hangzhou", V1.partition("?")[0], 403, "because of bucket acl."),
]


@pytest.mark.parametrize("full", [False, True], ids=["", "full"])
@pytest.mark.parametrize(("row", "now", "region", "target", "status", "part"), REFUSED)
async def test_what_is_refused_reads_no_object(row, now, region, target, status, part, full):
    looked = {"stat": 1} if row == 88 else {}  # the object's own ACL comes first
    async with running(now, region, full=full, lookups=RateLimit(1e-6, 1)) as ask:
        for headers in ({}, {"If-None-Match": "*"}, {"Range": "bytes=0-1"}):
            got, body, asked = await ask(target, **headers)
            assert (got, asked) == (status, looked)
            assert part in body
        got, body, asked = await ask(target, "HEAD")
        assert (got, body, asked) == (status, "", looked)


@pytest.mark.parametrize(
    ("rules", "target", "part"),
    [
        ({"protection": {"enabled": True, "extensions": ["jpg"]}}, V1, "0040-00000031"),
        ({"referer": {"allow_empty": False, "whitelist": ["http://x"]}}, V1, "referer policy"),
    ],
)
@pytest.mark.parametrize("full", [False, True], ids=["", "full"])
async def test_rules_look_at_no_object_either(rules, target, part, full):
    async with running(
        full=full, lookups=RateLimit(1e-6, 1), examplebucket={"acl": "public-read", **rules}
    ) as ask:
        status, body, asked = await ask(target.partition("&OSSAccessKeyId")[0])
        assert (status, asked) == (403, {})
        assert part in body
