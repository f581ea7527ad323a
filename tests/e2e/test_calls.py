"""What no row of the table of calls declares never changes anything, in whatever store.

The server runs inside the test, with a store in between that notes every call that writes.
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import http.client
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vipsgate import api
from vipsgate.buckets import INTERNAL
from vipsgate.catalog import uploads
from vipsgate.catalog.documents import Documents
from vipsgate.delivery.services import Services
from vipsgate.errors import OssError
from vipsgate.gate import headers as oss_headers
from vipsgate.gate import sign, target
from vipsgate.renderers.result import Result
from vipsgate.server import app
from vipsgate.settings import Settings
from vipsgate.store.base import PLAIN
from vipsgate.store.local.store import LocalStore
from vipsgate.web import responses

REGION = "cn-hangzhou"
OWNER = sign.Credential("ownerKey", "ownerSecret")
CREDENTIALS = [{"access_key_id": "ownerKey", "access_key_secret": "ownerSecret"}]
BUCKET, KEY, NEW = "photos", "a.jpg", "new/b.txt"
DOCUMENT = b'{"acl": "public-read-write", "styles": {"small": "image/resize,w_9"}}'
OBJECTS = {KEY: b"data of a.jpg", "dir/b.txt": b"data of b.txt", "x": b""}
WRITES = ("create", "remove", "draft", "describe", "delete")


class Noting:
    """A store behind which another one does the work; it notes what would write."""

    def __init__(self, store):
        self.store, self.written = store, []

    def __getattr__(self, name):
        method = getattr(self.store, name)
        if name not in WRITES:
            return method

        @functools.wraps(method)
        def noting(*args, **options):
            self.written.append((name, *args[:2]))
            return method(*args, **options)

        return noting


class Renderers:
    """Says what it was asked for."""

    version = "0"

    def refusal(self, waited=0.0):
        """There is room."""

    async def render(self, job, content=""):
        text = job.process.encode()
        file = os.memfd_create("test")
        os.write(file, text)
        return Result("text/plain", len(text), file, 0.0, 0.0, 0)


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    headers: http.client.HTTPMessage

    @property
    def code(self):
        found = re.search("<Code>(.*?)</Code>", self.body)
        return found[1] if found else ""

    @property
    def message(self):
        found = re.search("<Message>(.*?)</Message>", self.body, re.DOTALL)
        return found[1].replace("&amp;", "&") if found else ""


class World:
    """A server on a store with one bucket, its document, three objects and an upload."""

    def __init__(self, store):
        self.store, self.noting = store, Noting(store)
        chosen = Settings(server={"region": REGION}, credentials=CREDENTIALS)
        documents = Documents(self.noting, chosen.limits)
        self.services = Services.of(chosen, self.noting, Renderers(), documents)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.run(self._start(chosen))
        self.run(self.restore())
        self.state = self.run(self.snapshot())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    async def _start(self, chosen):
        line = socket.create_server(("127.0.0.1", 0))
        self.port = line.getsockname()[1]
        self.runner = web.ServerRunner(app.public(self.services))
        await self.runner.setup()
        await web.SockSite(self.runner, line).start()

    def close(self):
        self.run(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def restore(self):
        """All as it was in the beginning."""
        for place in await self.snapshot():
            await self.store.delete(*place)
        for name, _ in await self.store.buckets():
            if name != BUCKET:
                await self.store.remove(name)
        await self.store.create(BUCKET)
        for key, data in OBJECTS.items():
            await self.put(BUCKET, key, data)
        await self.put(INTERNAL, f"buckets/{BUCKET}.json", DOCUMENT)
        self.upload = (await uploads.begin(self.store, BUCKET, KEY, PLAIN, 1.0)).identity
        await self.services.registry.documents.look()
        self.state = await self.snapshot()

    async def put(self, bucket, key, data):
        async with self.store.draft(bucket) as draft:
            await draft.write(data)
            await draft.keep(key, PLAIN)

    async def snapshot(self):
        """Bucket and key -> tag and what is said of it, of all objects and documents."""
        names = [INTERNAL, *(name for name, _ in await self.store.buckets())]
        return {
            (name, key): (item.etag, (await self.store.stat(name, key)).properties)
            for name in names
            for key, item in (await self.store.list(name, limit=1000)).objects
        }

    def ask(self, method, line, body=b"", headers=(), *, signed=True):
        """One request, and what was written for it."""
        sent = {"Host": "127.0.0.1", **dict(headers)}
        if signed:
            with contextlib.suppress(OssError):  # it will be refused
                domains = self.services.registry.domains
                asked = target.resolve(line, sent["Host"], domains, "")
                request = sign.Request(
                    *(method, asked.bucket, asked.key, asked.query), sign.fields(sent.items())
                )
                sent |= sign.sign_headers(OWNER, request, now=time.time(), version=4, region=REGION)
        self.noting.written.clear()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(link):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.request(method, line, body or None, sent)
            response = link.getresponse()
            body = response.read().decode("utf-8", "replace")
            return Answer(response.status, body, response.headers)


def in_memory():
    from obstore.store import MemoryStore

    from vipsgate.store.remote.client import StoreClient
    from vipsgate.store.remote.objects import RemoteObjects
    from vipsgate.store.remote.store import CloudStore

    return CloudStore(RemoteObjects(StoreClient(MemoryStore(), 10), 0, 0), kind="memory")


@pytest.fixture(scope="module", params=["folder", "object store"])
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    made = World(LocalStore(folder) if request.param == "folder" else in_memory())
    yield made
    made.close()


# -- requests of any kind --------------------------------------------------------------------------

TABLES = (api.SERVICE, api.BUCKET, api.OBJECT)
OURS = sorted(
    {
        name
        for table in TABLES
        for (_, call), row in table.items()
        for name in row.parameters | {call}
    }
)
NOBODYS = ("utm_source", "t", "_", "a=b", "?")  # that browsers and campaigns may add
names = st.one_of(
    st.sampled_from(OURS),
    st.sampled_from(OURS).map(str.swapcase),
    st.sampled_from(sorted(api.OSS_NAMES)),
    st.sampled_from(sorted(api.OSS_NAMES)).map(str.title),
    st.sampled_from([*NOBODYS, "x-oss-rename", "X-OSS-ACL", "response-x"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
values = st.one_of(
    st.sampled_from([None, "", "2", "small", "url", "image", "image/resize,w_9", "UPLOAD"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
# mostly few, so that some are calls
queries = st.lists(st.tuples(names, values), max_size=4)
bodies = st.sampled_from(
    [
        *(b"", b"x", b"<Delete><Object><Key>dir/b.txt</Key></Object></Delete>"),
        b"<Style><Content>image/resize,w_5</Content></Style>",
        b"x-oss-process=image/resize,w_9",
        b"<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><RefererList/>"
        b"</RefererConfiguration>",
        b"<BucketProcessConfiguration/>",
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    ]
)
methods = st.sampled_from(["PUT", "POST", "DELETE", "GET", "HEAD", "OPTIONS"])
paths = st.sampled_from(["/", f"/{BUCKET}", f"/{BUCKET}/", f"/{BUCKET}/{KEY}", f"/{BUCKET}/{NEW}"])


def line_of(path, query, upload):
    words = []
    for name, value in query:
        value = upload if value == "UPLOAD" else value
        words.append(quote(name, safe="") + ("" if value is None else "=" + quote(value, safe="")))
    return path + ("?" + "&".join(words) if words else "")


def declared(method, line):
    """The row that understands all of a request; ``None`` for none."""
    try:
        asked = target.resolve(line, "", {}, "")
    except OssError:
        return None
    table = TABLES[bool(asked.bucket) + bool(asked.key)]
    given = [(name, value) for name, value in asked.query if name not in sign.NAMES]
    for call in ("", *(name for name, _ in given)):
        row = table.get((method, call))
        if row is None:
            continue
        own = [name for name, _ in given if name and (name == call or name in row.parameters)]
        others = [(name, value) for name, value in given if name not in own]
        foreign = all(
            value
            and name not in api.OSS_NAMES
            and not name.lower().startswith(("x-oss-", "response-"))
            for name, value in others
        )
        reads = method in ("GET", "HEAD") and bool(asked.key) and not call
        if len(own) == len({*own}) and (not others or (reads and foreign)):
            return row
    return None


OBJECT = r"photos/(a\.jpg|new/b\.txt)"
SETTINGS = r"\.vipsgate/buckets/photos\.json"
UPLOAD = r"\.vipsgate/uploads/photos/.*"
CHANGES = {  # call -> what it may change, all that it is declared to
    **dict.fromkeys(("PutObject", "DeleteObject", "PutObjectACL"), OBJECT),
    **dict.fromkeys(("PutBucket", "PutBucketAcl", "PutBucketProcess"), SETTINGS),
    **dict.fromkeys(("PutBucketReferer", "PutStyle", "DeleteStyle"), SETTINGS),
    **dict.fromkeys(("PutBucketLifecycle", "DeleteBucketLifecycle"), SETTINGS),
    **dict.fromkeys(("InitiateMultipartUpload", "UploadPart", "AbortMultipartUpload"), UPLOAD),
    "CompleteMultipartUpload": f"{OBJECT}|{UPLOAD}",
    "DeleteMultipleObjects": r"photos/.*",
    **dict.fromkeys(("AppendObject", "PutObjectTagging", "DeleteObjectTagging"), OBJECT),
    "PutSymlink": OBJECT,
}


def try_one(world, method, path, query, body, signed):
    line = line_of(path, query, world.upload)
    row = declared(method, line)
    said = world.ask(method, line, body, signed=signed)
    written = list(world.noting.written)
    now = world.run(world.snapshot()) if written else world.state  # nothing else writes
    changed = {place for place in {*now, *world.state} if now.get(place) != world.state.get(place)}
    buckets = [name for name, _ in world.run(world.store.buckets())]
    try:
        assert said.status != 500
        assert buckets == [BUCKET]
        if row is None:
            assert said.status in (400, 501), (said.status, said.body)
            assert written == []
            assert not changed
        else:
            may = CHANGES.get(row.name, "$")
            assert all(re.fullmatch(may, "/".join(place)) for place in changed), (row.name, changed)
            assert row.name in CHANGES or not written, (row.name, written)
    finally:
        if changed:
            world.run(world.restore())


QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(methods, paths, queries, bodies, st.booleans())
def test_what_is_not_declared_changes_nothing(world, method, path, query, body, signed):
    try_one(world, method, path, query, body, signed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(QUICK, max_examples=10_000)
@given(methods, paths, queries, bodies, st.booleans())
def test_what_is_not_declared_changes_nothing_at_length(world, method, path, query, body, signed):
    try_one(world, method, path, query, body, signed)


@pytest.mark.parametrize("path", ["/", f"/{BUCKET}/", f"/{BUCKET}/{KEY}"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "GET", "HEAD"])
def test_every_name_that_oss_has(world, method, path):
    """One by one, bare and, where that may make a difference, with a value; and others."""
    known = sorted({*api.OSS_NAMES, *OURS} - sign.NAMES - {""})
    for name in (*known, *NOBODYS):
        for value in (None, "1") if method in ("GET", "HEAD") or name in NOBODYS else (None,):
            try_one(world, method, path, [(name, value)], b"x", signed=path != f"/{BUCKET}/{KEY}")
    assert world.run(world.snapshot()) == world.state


def test_the_oracle_knows_calls_that_write(world):
    """Or the tests above would show nothing."""
    world.ask("PUT", f"/{BUCKET}/{KEY}", b"other")
    assert world.noting.written
    world.ask("DELETE", f"/{BUCKET}/?style&styleName=small")
    assert world.noting.written
    assert world.run(world.snapshot()) != world.state
    world.run(world.restore())


# -- headers ---------------------------------------------------------------------------------------

ASKS = {
    "x-oss-server-side-encryption": "AES256",
    "x-oss-server-side-encryption-key-id": "9468da86-3509-4f8d-a61e-6eab1eac",
    "x-oss-callback": "eyJ9",
    "x-oss-callback-var": "eyJ9",
    "x-oss-object-worm-mode": "COMPLIANCE",
    "x-oss-object-worm-legal-hold": "ON",
    "x-oss-traffic-limit": "819200",
    "x-oss-storage-class": "IA",
    "x-oss-symlink-target": "a",
    "X-Oss-Nobody-Knows": "a",
}
CALLS = {  # each row of the table, as a request with a body where it takes one
    row.name: (method, call, row, level)
    for level, table in enumerate(TABLES)
    for (method, call), first in table.items()
    for row in (first, first.copying)
    if row
}
READS = ("GET", "HEAD")
NEVER: frozenset[str] = frozenset()
PATHS = ("/", f"/{BUCKET}/", f"/{BUCKET}/{KEY}")
NEEDED = {"list-type": "2", "uploadId": "UPLOAD", "partNumber": "1", "styleName": "small"}


def request_of(world, name):
    method, call, row, level = CALLS[name]
    wanted = {call, *(row.parameters & {"partNumber", "styleName"})} - {""}
    query = [(word, NEEDED.get(word)) for word in sorted(wanted)]
    copying = oss_headers.COPY_SOURCE in row.headers
    sent = {oss_headers.COPY_SOURCE: f"/{BUCKET}/dir/b.txt"} if copying else {}
    return method, line_of(PATHS[level], query, world.upload), sent


@pytest.mark.parametrize("name", CALLS)
def test_a_header_that_is_not_honoured_is_refused_by_name(world, name):
    method, line, sent = request_of(world, name)
    for header, value in ASKS.items():
        if CALLS[name][2].headers.get(header, NEVER) is oss_headers.ANY:
            continue  # this call reads it
        said = world.ask(method, line, b"body" * (method != "GET"), {**sent, header: value})
        assert said.status == 501
        if method != "HEAD":
            assert header.lower() in said.message
        assert world.noting.written == []
    assert world.run(world.snapshot()) == world.state


DATES = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT")
ON_CONDITION = {  # or of a part
    "If-Match": ('"x"', "*"),
    "if-none-match": ("*", '"x"'),
    "If-Modified-Since": DATES,
    "If-Unmodified-Since": DATES,
    "Content-Range": ("bytes 0-3/9", "bytes */9"),
}


@pytest.mark.parametrize("name", [name for name, row in CALLS.items() if row[0] not in READS])
def test_a_change_on_a_condition_is_refused_and_never_done_without_it(world, name):
    method, line, sent = request_of(world, name)
    for header, values in ON_CONDITION.items():
        for value in values:
            said = world.ask(method, line, b"body", {**sent, header: value})
            assert (said.status, said.code) == (501, "NotImplemented")
            assert f"<Header>{header.title()}</Header>" in said.body
            said = world.ask(method, line, b"body", {**sent, header: value}, signed=False)
            assert said.status in (403, 501)  # and who may not do it is told that alone
    assert world.noting.written == []
    assert world.run(world.snapshot()) == world.state


LONG = b"r" * 900_000
ROOTS = (
    *("BucketProcessConfiguration", "CORSConfiguration", "CompleteMultipartUpload"),
    *("CreateBucketConfiguration", "Delete", "LifecycleConfiguration", "RefererConfiguration"),
    *("Style", "Tagging", "WebsiteConfiguration"),
)
TOO_LONG = [
    b"<%b/>" % LONG,
    b"<?xml version='1.0' encoding='%b'?><a/>" % LONG,
    *(b"<%b><%b/></%b>" % (root.encode(), LONG, root.encode()) for root in ROOTS),
    b"<Delete><Quiet>%b</Quiet><Object><Key>a</Key></Object></Delete>" % LONG,
    b"<Delete><Object><Key>a</Key><VersionId>%b</VersionId></Object></Delete>" % LONG,
    b"<RefererConfiguration><AllowEmptyReferer>%b</AllowEmptyReferer>"
    b"</RefererConfiguration>" % LONG,
]


@pytest.mark.parametrize("name", [name for name, row in CALLS.items() if row[0] not in READS])
def test_no_error_is_as_long_as_what_was_sent(world, name):
    method, line, sent = request_of(world, name)
    for body in TOO_LONG:
        said = world.ask(method, line, body, sent)
        assert said.status != 500
        assert said.status < 400 or len(said.body) < 6000, said.body[:200]
    world.run(world.restore())


def test_what_a_head_says_fits_into_a_header(world):
    """As far as clients and servers in front read one; code and message are always there."""
    for size in (1, 100, 3000, 30_000):
        query = f"x-oss-process={'a' * size}&OSSAccessKeyId=ownerKey&Expires=4000000000&Signature=x"
        for host in ("127.0.0.1", "a" * size):
            line = f"/{BUCKET}/{KEY}?{query}"
            said = world.ask("HEAD", line, headers={"Host": host}, signed=False)
            packed = said.headers["x-oss-err"]
            assert len(packed) < 9000
            text = base64.b64decode(packed).decode()
            assert "<Code>SignatureDoesNotMatch</Code>" in text
            assert said.headers["x-oss-request-id"] in text
            assert ("<StringToSign>" in text) == (size <= 100)


@pytest.mark.parametrize("name", CALLS)
def test_what_comes_with_every_call_of_the_sdks_passes(world, name):
    method, line, sent = request_of(world, name)
    passes = {"x-oss-request-payer": "requester", "x-oss-user-agent": "aliyun-sdk-js"}
    said = world.ask(method, line, b"", {**sent, **passes})
    assert said.status not in (500, 501), said.body
    world.run(world.restore())


@pytest.mark.parametrize("name", CALLS)
def test_a_header_that_is_there_twice(world, name):
    method, line, sent = request_of(world, name)
    said = raw(
        world,
        *(f"{method} {line} HTTP/1.1", "Host: x", "Connection: close", "Content-Length: 0"),
        *(f"{one}: {value}" for one, value in sent.items()),
        *("x-oss-request-payer: requester", "X-OSS-Request-Payer: requester"),
    )
    # the service and buckets tell an anonymous caller nothing but that he has to sign
    anonymous = CALLS[name][2].right.value in ("view", "rule")
    assert said.split()[1] == (b"403" if anonymous else b"400")
    assert world.noting.written == []


def raw(world, *rows):
    """The status line of the answer to these rows."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=30) as line:
        line.sendall("\r\n".join([*rows, "", ""]).encode())
        return line.makefile("rb").readline()


@pytest.mark.parametrize("name", ["PutObject", "PutSymlink"])
@pytest.mark.parametrize("header", ["Cache-Control", "Content-Encoding", "Content-Language"])
def test_a_list_in_several_headers_is_kept_as_a_whole(world, name, header):
    query, more = (
        ("?symlink", [f"x-oss-symlink-target: {KEY}"]) if name == "PutSymlink" else ("", [])
    )
    said = raw(
        world,
        *(f"PUT /{BUCKET}/{NEW}{query} HTTP/1.1", "Host: x", "Connection: close"),
        *(f"{header}: a", "Content-Length: 0", f"{header.lower()}: b, c", *more),
    )
    assert said.split()[1] == b"200"
    kept = world.run(world.store.stat(BUCKET, NEW)).properties.headers
    assert kept == {header.lower(): "a,b, c"}
    world.run(world.restore())


def test_it_is_refused_before_the_body_is_asked_for(world):
    said = raw(
        world,
        *(f"PUT /{BUCKET}/{KEY} HTTP/1.1", "Host: x", "Connection: close"),
        *("Content-Length: 1000000", "Expect: 100-continue", "x-oss-callback: eyJ9"),
    )
    assert said.startswith(b"HTTP/1.1 501 ")  # and not 100 before


def test_a_bad_signature_comes_first(world):
    sent = {"Authorization": "OSS ownerKey:nonsense", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    for name in ("x-oss-callback", "x-oss-nobody-knows"):
        said = world.ask("PUT", f"/{BUCKET}/{KEY}", b"x", {**sent, name: "a"}, signed=False)
        assert said.status == 403
        assert name not in said.message


def test_an_anonymous_caller_learns_nothing_by_a_header(world):
    """It does not matter whether there is such an object."""
    for line in (f"/{BUCKET}/{KEY}", f"/{BUCKET}/missing"):
        sent = {"x-oss-traffic-limit": "819200"}
        said = world.ask("GET", line, headers=sent, signed=False)
        assert (said.status, "x-oss-traffic-limit" in said.message) == (501, True)
    assert world.ask("GET", "/", headers=sent, signed=False).status == 403


# -- what calls do with what they understand -------------------------------------------------------


def upload_of(said):
    return re.search("<UploadId>(.*?)<", said.body)[1]


def test_uploads_are_listed_by_common_prefixes(world):
    for key in ("dir/1", "dir/2", "dir/sub/3", "e"):
        world.ask("POST", f"/{BUCKET}/{key}?uploads")
    said = world.ask("GET", f"/{BUCKET}/?uploads&delimiter=/")
    assert re.findall("<Prefix>(.+?)<", said.body) == ["dir/"]
    assert re.findall("<Key>(.*?)<", said.body) == [KEY, "e"]
    said = world.ask("GET", f"/{BUCKET}/?uploads&delimiter=/&prefix=dir/")
    assert re.findall("<CommonPrefixes><Prefix>(.*?)<", said.body) == ["dir/sub/"]
    assert re.findall("<Key>(.*?)<", said.body) == ["dir/1", "dir/2"]
    seen, key, identity = [], "", ""
    for _ in range(3):
        said = world.ask(
            "GET",
            f"/{BUCKET}/?uploads&delimiter=%2F&max-uploads=1&encoding-type=url"
            f"&key-marker={key}&upload-id-marker={identity}",
        )
        seen += re.findall("<(?:Key|CommonPrefixes><Prefix)>(.*?)<", said.body)
        key, identity = (
            re.search(f"<{name}>(.*?)<", said.body)
            for name in ("NextKeyMarker", "NextUploadIdMarker")
        )
        key, identity = (found[1] if found else "" for found in (key, identity))
    assert (seen, key) == ([KEY, "dir%2F", "e"], "")
    world.run(world.restore())


@pytest.mark.parametrize(
    ("begun", "completed", "acl"),
    [
        ({}, {}, ""),
        ({}, {"x-oss-object-acl": "private"}, "private"),
        ({"x-oss-object-acl": "private"}, {}, "private"),
        ({"x-oss-object-acl": "private"}, {"x-oss-object-acl": "public-read"}, "public-read"),
        ({"x-oss-object-acl": "private"}, {"x-oss-object-acl": "default"}, ""),
    ],
)
def test_an_acl_counts_wherever_an_sdk_says_it(world, begun, completed, acl):
    identity = upload_of(world.ask("POST", f"/{BUCKET}/{NEW}?uploads", headers=begun))
    world.ask("PUT", f"/{BUCKET}/{NEW}?partNumber=1&uploadId={identity}", b"data")
    sent = {"x-oss-complete-all": "yes", **completed}
    said = world.ask("POST", f"/{BUCKET}/{NEW}?uploadId={identity}", headers=sent)
    assert said.status == 200, said.body
    assert world.run(world.store.stat(BUCKET, NEW)).properties.acl == acl
    world.run(world.restore())


def test_an_upload_that_must_not_overwrite_does_not_begin(world):
    sent = {"x-oss-forbid-overwrite": "true"}
    said = world.ask("POST", f"/{BUCKET}/{KEY}?uploads", headers=sent)
    assert (said.status, "FileAlreadyExists" in said.body) == (409, True)
    assert world.noting.written == []
    assert world.ask("POST", f"/{BUCKET}/{NEW}?uploads", headers=sent).status == 200
    world.run(world.restore())


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"if-match": "other"}, 412),
        ({"if-none-match": "*"}, 304),
        ({"if-unmodified-since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 412),
        ({"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"if-match": "*"}, 200),
    ],
)
@pytest.mark.parametrize("call", ["", "?partNumber=1&uploadId={}"])
def test_conditions_of_a_copy_hold_for_parts_too(world, call, condition, status):
    sent = {f"x-oss-copy-source-{name}": value for name, value in condition.items()}
    sent["x-oss-copy-source"] = f"/{BUCKET}/dir/b.txt"
    said = world.ask("PUT", f"/{BUCKET}/{KEY}" + call.format(world.upload), headers=sent)
    assert said.status == status
    assert bool(world.noting.written) == (status == 200)
    world.run(world.restore())


def test_what_is_stored_is_told_with_its_checksums(world):
    data = b"123456789"
    md5, crc = base64.b64encode(hashlib.md5(data).digest()).decode(), "11051210869376104954"
    for line in (NEW, f"{KEY}?partNumber=1&uploadId={world.upload}"):
        said = world.ask("PUT", f"/{BUCKET}/{line}", data)
        assert (said.headers["Content-MD5"], said.headers[responses.CRC]) == (md5, crc), line
    for method in ("GET", "HEAD"):
        said = world.ask(method, f"/{BUCKET}/{NEW}")
        assert (said.headers["Content-MD5"], said.headers[responses.CRC]) == (md5, crc)
    said = world.ask("GET", f"/{BUCKET}/{NEW}", headers={"Range": "bytes=2-3"})
    assert (said.status, said.body, said.headers[responses.CRC]) == (206, "34", crc)
    assert "Content-MD5" not in said.headers  # it would be read as that of the part
    world.ask(
        "POST", f"/{BUCKET}/{KEY}?uploadId={world.upload}", b"", {"x-oss-complete-all": "yes"}
    )
    said = world.ask("HEAD", f"/{BUCKET}/{KEY}")
    assert "Content-MD5" not in said.headers  # of an object of parts OSS tells none
    assert said.headers[responses.CRC] == crc
    world.run(world.restore())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *(("a+b.txt", "a b.txt"), ("a%20b.txt", "a b.txt"), ("a%2Bb.txt", "a+b.txt")),
        *(("%E8%A5%BF+%2B.txt", "西 +.txt"), ("a%252Bb.txt", "a%2Bb.txt")),
    ],
)
@pytest.mark.parametrize("call", ["", "?partNumber=1&uploadId={}"])
def test_a_plus_in_the_name_of_a_source_is_a_blank(world, call, text, key):
    """The SDK for Go v1 and ossutil write names as forms do; %2B is a plus."""
    world.run(world.put(BUCKET, key, b"data"))
    sent = {"x-oss-copy-source": f"/{BUCKET}/{text}"}
    said = world.ask("PUT", f"/{BUCKET}/{KEY}" + call.format(world.upload), headers=sent)
    assert said.status == 200, said.body
    world.run(world.restore())


def test_the_name_of_a_source_is_utf_8(world):
    sent = {"x-oss-copy-source": f"/{BUCKET}/a%FF"}
    said = world.ask("PUT", f"/{BUCKET}/{KEY}", headers=sent)
    assert (said.status, "UTF-8" in said.message) == (400, True)


TAGS = "".join(f"<Tag><Key>k{number}</Key><Value>v</Value></Tag>" for number in range(11))


@pytest.mark.parametrize(
    ("header", "document"),
    [
        *(("a", "<Tag><Key>a</Key></Tag>"), ("a=", "<Tag><Key>a</Key><Value/></Tag>")),
        ("a+b=%2B%20-=._:/", "<Tag><Key>a b</Key><Value>+ -=._:/</Value></Tag>"),
        (
            "%E8%A5%BF=1&b=2",
            "<Tag><Key>西</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag>",
        ),
        (
            f"{'k' * 128}={'v' * 256}",
            f"<Tag><Key>{'k' * 128}</Key><Value>{'v' * 256}</Value></Tag>",
        ),
        ("", ""),
    ],
)
def test_tags_are_the_same_by_header_and_by_call(world, header, document):
    body = f"<Tagging><TagSet>{document}</TagSet></Tagging>".encode()
    line = f"/{BUCKET}/{NEW}"
    world.ask("PUT", line, b"x", {"x-oss-tagging": header})
    by_header = world.ask("GET", f"{line}?tagging").body
    world.ask("PUT", line, b"x")
    assert "<Tag>" not in world.ask("GET", f"{line}?tagging").body
    etag = world.ask("HEAD", line).headers["ETag"]
    assert world.ask("PUT", f"{line}?tagging", body).status == 200
    assert world.ask("GET", f"{line}?tagging").body == by_header
    assert by_header.count("<Tag>") == document.count("<Tag>")
    said = world.ask("HEAD", line)
    count = str(document.count("<Tag>"))
    assert said.headers.get("x-oss-tagging-count", "0") == count
    assert said.headers["ETag"] == etag
    assert world.ask("DELETE", f"{line}?tagging").status == 204
    assert "<Tag>" not in world.ask("GET", f"{line}?tagging").body
    world.run(world.restore())


@pytest.mark.parametrize(
    ("header", "document"),
    [
        *(("=b", "<Tag><Value>b</Value></Tag>"), ("a=%01", "<Tag><Key>a*</Key></Tag>")),
        *(("a=b%3C", "<Tag><Key>a</Key><Value>!</Value></Tag>"), ("%FF=a", "<Tag/>")),
        ("a=1&a=2", "<Tag><Key>a</Key></Tag>" * 2),
        ("&".join(f"k{number}=v" for number in range(11)), TAGS),
        ("k" * 129, f"<Tag><Key>{'k' * 129}</Key></Tag>"),
        (f"a={'v' * 257}", f"<Tag><Key>a</Key><Value>{'v' * 257}</Value></Tag>"),
    ],
    ids=lambda text: text[:30],
)
def test_tags_that_no_object_can_have_are_refused(world, header, document):
    body = f"<Tagging><TagSet>{document}</TagSet></Tagging>".encode()
    for said in (
        world.ask("PUT", f"/{BUCKET}/{KEY}", b"x", {"x-oss-tagging": header}),
        world.ask("PUT", f"/{BUCKET}/{KEY}?tagging", body),
    ):
        assert (said.status, "InvalidTag" in said.body) == (400, True)
    assert world.noting.written == []


@pytest.mark.parametrize(("directive", "count"), [("", "1"), ("Copy", "1"), ("Replace", "2")])
@pytest.mark.parametrize("metadata", ["COPY", "REPLACE"])
def test_a_copy_has_the_tags_of_its_source_or_others(world, directive, count, metadata):
    world.ask("PUT", f"/{BUCKET}/{NEW}", b"x", {"x-oss-tagging": "a=1"})
    sent = {"x-oss-copy-source": f"/{BUCKET}/{NEW}", "x-oss-tagging": "b=2&c=3"}
    sent |= {"x-oss-metadata-directive": metadata}
    sent |= {"x-oss-tagging-directive": directive} if directive else {}
    assert world.ask("PUT", f"/{BUCKET}/{KEY}", headers=sent).status == 200
    assert world.ask("HEAD", f"/{BUCKET}/{KEY}").headers["x-oss-tagging-count"] == count
    world.run(world.restore())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_tags_of_what_is_not_there_and_of_whom_has_no_right(world, method):
    body = b"<Tagging><TagSet/></Tagging>" if method == "PUT" else b""
    assert world.ask(method, f"/{BUCKET}/none?tagging", body).status == 404
    anonymous = world.ask(method, f"/{BUCKET}/{KEY}?tagging", body, signed=False)
    # the bucket is public-read-write: who may put an object with tags may tag it
    assert anonymous.status == {"GET": 403, "PUT": 200, "DELETE": 204}[method]
    world.run(world.restore())


def append(world, key, position, data, headers=()):
    return world.ask("POST", f"/{BUCKET}/{key}?append&position={position}", data, headers)


def test_an_object_grows(world):
    said = append(world, NEW, 0, b"123", {"x-oss-meta-a": "1", "Content-Type": "a/b"})
    told = said.headers["ETag"], said.headers["x-oss-next-append-position"]
    assert (said.status, told[1]) == (200, "3")
    said = append(world, NEW, 3, b"456789", {"x-oss-meta-a": "2"})
    assert said.headers["x-oss-next-append-position"] == "9"
    assert said.headers[responses.CRC] == "11051210869376104954"  # of all of it
    assert said.headers["ETag"] != told[0]
    said = world.ask("GET", f"/{BUCKET}/{NEW}")
    kind, end = (said.headers[f"x-oss-{name}"] for name in ("object-type", "next-append-position"))
    assert (said.body, kind, end) == ("123456789", "Appendable", "9")
    # what was said when it was created
    assert (said.headers["x-oss-meta-a"], said.headers["Content-Type"]) == ("1", "a/b")
    said = append(world, NEW, 9, b"")
    assert (said.status, said.headers["x-oss-next-append-position"]) == (200, "9")
    world.run(world.restore())


@pytest.mark.parametrize("position", ["0", "2", "4", "9" * 18])
def test_an_append_begins_at_the_end(world, position):
    append(world, NEW, 0, b"123")
    said = append(world, NEW, position, b"x")
    assert (said.status, "PositionNotEqualToLength" in said.body) == (409, True)
    assert said.headers["x-oss-next-append-position"] == "3"
    assert world.noting.written == []  # known before the body is read
    assert world.ask("GET", f"/{BUCKET}/{NEW}").body == "123"
    world.run(world.restore())


def test_an_append_to_nothing_begins_at_its_beginning(world):
    said = append(world, NEW, 1, b"x")
    assert (said.status, said.headers["x-oss-next-append-position"]) == (409, "0")


@pytest.mark.parametrize("position", ["", "-1", "1.0", "x", "9" * 19, "%D9%A1"])
def test_a_position_is_a_number(world, position):
    said = append(world, NEW, position, b"x")
    assert (said.status, "position" in said.message) == (400, True)


def test_only_what_was_appended_is_appended_to(world):
    size = len(OBJECTS[KEY])
    assert "ObjectNotAppendable" in append(world, KEY, size, b"x").body
    append(world, NEW, 0, b"123")
    sent = {"x-oss-copy-source": f"/{BUCKET}/{NEW}"}
    world.ask("PUT", f"/{BUCKET}/{KEY}", headers=sent)
    assert "ObjectNotAppendable" in append(world, KEY, 3, b"x").body
    world.ask("PUT", f"/{BUCKET}/{NEW}", b"whole")
    assert "ObjectNotAppendable" in append(world, NEW, 5, b"x").body
    world.run(world.restore())


def test_an_append_that_breaks_changes_nothing(world):
    append(world, NEW, 0, b"123")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    said = append(world, NEW, 3, b"x", {"Content-MD5": md5})
    assert (said.status, "InvalidDigest" in said.body) == (400, True)
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert world.ask("GET", f"/{BUCKET}/{NEW}").body == "123"
    assert append(world, NEW, 3, b"x", {"Content-MD5": md5}).status == 200  # of the piece
    world.run(world.restore())


def test_of_many_appends_to_the_same_end_one_counts(world):
    append(world, NEW, 0, b"0")
    for turn in range(1, 4):
        with ThreadPoolExecutor(6) as pool:
            said = list(pool.map(partial(append, world, NEW, turn), [b"1", b"2"] * 3))
        assert sorted(one.status for one in said) == [200, 409, 409, 409, 409, 409]
        ends = {one.headers["x-oss-next-append-position"] for one in said}
        assert ends == {str(turn + 1)}
    assert re.fullmatch("0[12]{3}", world.ask("GET", f"/{BUCKET}/{NEW}").body)
    world.run(world.restore())


PARTS = [b"1" * uploads.LEAST_BYTES, b"22"]


def test_the_etag_of_parts_is_that_of_oss(world):
    """MD5 of the parts' MD5s in upper-case hexadecimal digits, and how many there are."""
    line = f"/{BUCKET}/{KEY}?uploadId={world.upload}"
    digests = ""
    for number, data in enumerate(PARTS, 1):
        world.ask("PUT", f"{line}&partNumber={number}", data)
        digests += hashlib.md5(data).hexdigest().upper()
    said = world.ask("POST", line, headers={"x-oss-complete-all": "yes"})
    etag = f'"{hashlib.md5(digests.encode()).hexdigest().upper()}-2"'
    assert (said.headers["ETag"], world.run(world.store.stat(BUCKET, KEY)).etag) == (etag, etag)
    world.run(world.restore())


@pytest.mark.parametrize(
    ("text", "status", "size"),
    [
        *(("bytes=0-", 200, 13), ("bytes=4-", 200, 9), ("bytes=12-", 200, 1)),
        *(("bytes=0-12", 200, 13), ("bytes=2-3", 200, 2)),
        *(("bytes=13-", 416, 0), ("bytes=99-", 416, 0), ("bytes=0-13", 416, 0)),
        *(("bytes=-4", 400, 0), ("bytes=3-2", 400, 0), ("bytes=-", 400, 0), ("0-3", 400, 0)),
    ],
)
def test_a_part_may_be_a_range_of_a_source(world, text, status, size):
    sent = {"x-oss-copy-source": f"/{BUCKET}/dir/b.txt", "x-oss-copy-source-range": text}
    line = f"/{BUCKET}/{KEY}?partNumber=1&uploadId={world.upload}"
    assert world.ask("PUT", line, headers=sent).status == status
    said = world.ask("GET", f"/{BUCKET}/{KEY}?uploadId={world.upload}")
    assert re.findall("<Size>(.*?)<", said.body) == ([str(size)] if size else [])
    world.run(world.restore())


@pytest.mark.parametrize("name", [BUCKET, "nowhere"])
@pytest.mark.parametrize("signed", [True, False])
def test_head_of_a_bucket(world, name, signed):
    for line in (f"/{name}", f"/{name}/"):
        said = world.ask("HEAD", line, signed=signed)
        assert said.status == (404 if name == "nowhere" else 200 if signed else 403)


def test_a_signed_put_without_a_type_is_of_bytes(world):
    """The name tells the type only where nobody has signed."""
    for signed, kind in ((True, "application/octet-stream"), (False, "text/plain")):
        world.ask("PUT", f"/{BUCKET}/{NEW}", b"x", signed=signed)
        assert world.ask("HEAD", f"/{BUCKET}/{NEW}").headers["Content-Type"] == kind
    world.ask("PUT", f"/{BUCKET}/{NEW}", b"x", {"Content-Type": "a/b"})
    assert world.ask("HEAD", f"/{BUCKET}/{NEW}").headers["Content-Type"] == "a/b"
    world.run(world.restore())


@pytest.mark.parametrize("world", ["folder"], indirect=True)
@pytest.mark.parametrize("written", [b"a\x01b\x1f", b"a&#x01;b&#x1F;", b"a&#1;b&#031;"])
def test_keys_with_control_characters_are_deleted(world, written):
    world.run(world.put(BUCKET, "a\x01b\x1f", b""))
    body = b" \n<?xml version='1.0'?><Delete><Object><Key>%s</Key></Object></Delete>" % written
    said = world.ask("POST", f"/{BUCKET}/?delete&encoding-type=url", body)
    assert re.findall("<Key>(.*?)<", said.body) == ["a%01b%1F"]
    assert world.run(world.snapshot()) == world.state


DELETE = b"<Delete><Object><Key>x</Key>%s</Object></Delete>"


@pytest.mark.parametrize(
    ("method", "line", "body", "sent"),
    [
        ("POST", "a.jpg?x-oss-process=csv/select", b"<SelectRequest/>", {}),
        ("POST", "a.jpg?x-oss-process=image/info", b"x-oss-process=image/info", {}),
    ],
)
def test_selects_are_refused_wherever_they_are_named(world, method, line, body, sent):
    said = world.ask(method, f"/{BUCKET}/{line}", body, sent)
    assert said.status == 501, said.body
    assert world.noting.written == []


VERSIONED = [  # calls that can name a version
    (method, f"{key}?{call}versionId={{}}", b"<Tagging><TagSet/></Tagging>" * (call == "tagging&"))
    for key, calls in {
        KEY: {
            "": ("GET", "HEAD"),
            "acl&": ("GET",),
            "tagging&": ("GET", "PUT", "DELETE"),
            "objectMeta&": ("HEAD",),
        },
        NEW: {"": ("DELETE",)},
    }.items()
    for call, methods in calls.items()
    for method in methods
]


@pytest.mark.parametrize(("method", "line", "body"), VERSIONED)
def test_every_object_has_one_version(world, method, line, body):
    right = world.ask(method, f"/{BUCKET}/{line.format('null')}", body)
    assert right.status in (200, 204), right.body
    world.run(world.restore())
    world.noting.written.clear()
    for other in ("", "CAEQ", "NULL", "nul%C3%A9"):
        wrong = world.ask(method, f"/{BUCKET}/{line.format(other)}", body)
        assert (wrong.status, wrong.code or "NoSuchVersion") == (404, "NoSuchVersion")
        if method != "HEAD":
            assert "versionId" in wrong.message
    assert world.noting.written == []


def test_the_version_of_a_source_and_of_what_is_deleted(world):
    source = f"/{BUCKET}/dir/b.txt?versionId="
    document = b"<Delete><Object><Key>a</Key></Object><Object><Key>x</Key>%s</Object></Delete>"
    for version in ("CAEQ", "0"):
        word = b"<VersionId>%s</VersionId>" % version.encode()
        for refusal in (
            world.ask("PUT", f"/{BUCKET}/{NEW}", b"", {"x-oss-copy-source": source + version}),
            world.ask("POST", f"/{BUCKET}/?delete", document % word),
        ):
            assert (refusal.status, refusal.code) == (404, "NoSuchVersion")
    assert world.noting.written == []
    copied = world.ask("PUT", f"/{BUCKET}/{NEW}", b"", {"x-oss-copy-source": f"{source}null"})
    assert copied.status == 200
    gone = world.ask("POST", f"/{BUCKET}/?delete", document % b"<VersionId>null</VersionId>")
    assert re.findall("<Deleted>(.*?)</Deleted>", gone.body) == [
        "<Key>a</Key>",
        "<Key>x</Key><VersionId>null</VersionId>",
    ]
    world.run(world.restore())


@pytest.mark.parametrize(("host", "path"), [("127.0.0.1", "photos/"), ("img.example.com", "")])
@pytest.mark.parametrize("proto", ["", "http", "https", "http, https", "https, http", "ftp"])
def test_where_an_object_of_parts_is(world, host, path, proto):
    """By the scheme that the last server in front says, and as the client names the bucket."""
    document = DOCUMENT[:-1] + b', "domains": ["img.example.com"]}'
    world.run(world.put(INTERNAL, f"buckets/{BUCKET}.json", document))
    world.run(world.services.registry.documents.look())
    world.services.registry.refresh()
    place = world.run(uploads.begin(world.store, BUCKET, "photos/a +.jpg", PLAIN, 1.0)).identity
    line = f"/{path}photos/a%20%2B.jpg?uploadId={place}"
    sent = {"Host": host, **({"X-Forwarded-Proto": proto} if proto else {})}
    assert world.ask("PUT", f"{line}&partNumber=1", b"x", sent).status == 200
    done = world.ask("POST", line, b"", sent | {"x-oss-complete-all": "yes"})
    scheme = "https" if proto in ("https", "http, https") else "http"
    wanted = f"{scheme}://{host}/{path}photos/a%20%2B.jpg"
    assert re.findall("<Location>(.*?)<", done.body) == [wanted]
    world.run(world.restore())
    world.services.registry.refresh()


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("POST", "?delete&encoding-type=base64"),
        ("POST", "a.jpg?uploads&encoding-type=base64"),
        ("POST", "a.jpg?uploadId={}&encoding-type=base64"),
        ("GET", "a.jpg?uploadId={}&encoding-type=base64"),
        ("GET", "?uploads&encoding-type=base64"),
    ],
)
def test_an_encoding_that_there_is_not_is_refused_before_anything_is_done(world, method, line):
    body = DELETE % b""
    sent = {"x-oss-complete-all": "yes"} if "uploadId" in line and method == "POST" else {}
    said = world.ask(method, f"/{BUCKET}/{line.format(world.upload)}", body, sent)
    assert (said.status, "encoding-type" in said.message) == (400, True)
    assert world.noting.written == []


def test_nothing_that_the_answer_of_a_read_carries_is_refused_in_a_write(world):
    """The SDK for Java sends an object's headers back with what it wants to change."""
    link = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    with contextlib.closing(link):
        link.request("HEAD", f"/{BUCKET}/{KEY}")
        told = link.getresponse().headers.items()
    own = {name: value for name, value in told if name.lower().startswith("x-oss-")}
    assert responses.CRC in {name.lower() for name in own}
    said = world.ask("PUT", f"/{BUCKET}/{NEW}", b"x", own)
    assert said.status == 200, said.body
    world.run(world.restore())
