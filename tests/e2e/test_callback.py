"""Callbacks, on a disk and on an object store: another server is told of what has been stored."""

import asyncio
import base64
import hashlib
import io
import json
import os
import time
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl

import aiohttp
import pytest
from aiohttp import web
from PIL import Image
from support.served import (
    BUCKET,
    OWNER,
    READER,
    REGION,
    WRITER,
    Renderers,
    in_memory,
    running,
)
from yarl import URL

import vipsgate
from vipsgate.errors import CpuLimitExceeded
from vipsgate.gate import sign
from vipsgate.renderers.result import Result
from vipsgate.store.local.store import LocalStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install -e '.[test]'")

DATA = b"some bytes"
ETAG = hashlib.md5(DATA).hexdigest().upper()
MD5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()
ALL = (
    "bucket object etag size mimeType imageInfo.height imageInfo.width imageInfo.format crc64 "
    "contentMd5 vpcId clientIp reqId operation x:who x:none"
).split()
FORM = "&".join(f"{name}=${{{name}}}" for name in ALL)
JSON = "{" + ",".join(f'"{name}":${{{name}}}' for name in ALL) + "}"
WHO = {"x:who": 'me & "you" \u4e2d'}


@dataclass
class Receiver:
    """The server that is told.

    Attributes:
        came: Path, headers and body of each request.
        answers: Path -> its answer; `{"Status": "OK"}` for another.
    """

    port: int = 0
    came: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/told"

    async def talk(self, request):
        self.came.append((request.path, request.headers, (await request.read()).decode()))
        answer = self.answers.get(request.path, {"Status": "OK"})
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        return web.json_response(answer) if isinstance(answer, dict) else answer()


class Pipeline(Renderers):
    """Does what is asked for, with the pipeline itself."""

    full = False

    async def render(self, job, content=""):
        if self.full:
            raise CpuLimitExceeded("no room")
        data = os.pread(job.source, 1 << 20, 0)
        picture = await asyncio.to_thread(vipsgate.transform, data, job.process)
        file = os.memfd_create("test")
        os.write(file, picture.data)
        return Result(picture.mime, len(picture.data), file, 0.0, 0.0, 0)


@asynccontextmanager
async def told(store, **server):
    """A server, and one that it may call; yields both."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.talk))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    hosts = [f"127.0.0.1:{receiver.port}", "*.example.com"]
    try:
        async with running(store, server={"callback_hosts": hosts, **server}) as served:
            object.__setattr__(served.services, "renderers", Pipeline())
            yield served, receiver
    finally:
        await runner.cleanup()


@pytest.fixture(params=["folder", "object store"])
async def pair(request, tmp_path):
    store = LocalStore(tmp_path) if request.param == "folder" else in_memory()
    async with told(store) as both:
        yield both


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def callback(url, body=FORM, **more):
    return encoded({"callbackUrl": url, "callbackBody": body, **more})


def asked(url, body=FORM, variables=None, **more):
    """The headers of a request with a callback."""
    headers = {"x-oss-callback": callback(url, body, **more)}
    return headers | ({"x-oss-callback-var": encoded(variables)} if variables else {})


async def put(served, headers, key="dir/a b.txt", data=DATA, by=WRITER):
    line = f"/{BUCKET}/{key.replace(' ', '%20')}"
    return await served.ask("PUT", line, by=by, headers=headers, data=data)


def sdk(served, by=WRITER, auth=oss2.AuthV4):
    credentials = auth(by.access_key_id, by.access_key_secret)
    return oss2.Bucket(credentials, f"http://127.0.0.1:{served.port}", BUCKET, region=REGION)


def expected(operation, size=len(DATA), etag=ETAG, **more):
    return {
        "bucket": BUCKET,
        "object": "dir/a b.txt",
        "etag": etag,
        "size": size,
        "mimeType": "text/plain",
        "imageInfo.height": "",
        "imageInfo.width": "",
        "imageInfo.format": "",
        "contentMd5": MD5,
        "vpcId": "",
        "clientIp": "127.0.0.1",
        "operation": operation,
        "x:who": WHO["x:who"],
        "x:none": "",
        **more,
    }


def unsteady(said, headers):
    """What is another value each time, held against the answer's headers."""
    assert said.pop("crc64") == headers["x-oss-hash-crc64ecma"]
    assert said.pop("reqId") == headers["x-oss-request-id"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
async def test_put_tells_what_has_been_stored(pair, kind):
    served, receiver = pair
    is_json = kind.endswith("json")
    more = {"callbackBodyType": kind, "callbackHost": "app.example.com", "callbackSNI": False}
    headers = asked(receiver.url, JSON if is_json else FORM, WHO, **more)
    done = await asyncio.to_thread(sdk(served).put_object, "dir/a b.txt", DATA, headers=headers)
    assert (done.status, done.etag) == (200, ETAG)
    assert json.loads(done.resp.read()) == {"Status": "OK"}
    assert done.headers["Content-Type"] == "application/json"
    ((path, sent, body),) = receiver.came
    assert (path, sent["Host"], sent["Content-Type"]) == ("/told", "app.example.com", kind)
    assert (sent["x-oss-bucket"], sent["x-oss-request-id"]) == (BUCKET, done.request_id)
    said = json.loads(body) if is_json else dict(parse_qsl(body, keep_blank_values=True))
    unsteady(said, done.headers)
    wanted = expected("PutObject")
    assert said == wanted | ({} if is_json else {"size": str(wanted["size"])})
    assert await served.read("dir/a b.txt") == DATA


@pytest.mark.filterwarnings("ignore")
async def test_complete_tells_of_the_whole_object(pair):
    served, receiver = pair
    bucket, key = sdk(served), "dir/a b.txt"

    def upload():
        identity = bucket.init_multipart_upload(key).upload_id
        first = bucket.upload_part(key, identity, 1, b"a" * 200_000)
        second = bucket.upload_part(key, identity, 2, b"b")
        parts = [oss2.models.PartInfo(1, first.etag), oss2.models.PartInfo(2, second.etag)]
        headers = asked(receiver.url, JSON, WHO, callbackBodyType="application/json")
        return bucket.complete_multipart_upload(key, identity, parts, headers=headers)

    done = await asyncio.to_thread(upload)
    assert json.loads(done.resp.read()) == {"Status": "OK"}
    ((_, _, body),) = receiver.came
    said = json.loads(body)
    unsteady(said, done.headers)
    tag = done.headers["ETag"].strip('"')
    wanted = expected("CompleteMultipartUpload", 200_001, tag, contentMd5="")
    assert tag.endswith("-2")
    assert said == wanted
    assert len(await served.read(key)) == 200_001


def form(fields, data=DATA):
    """A form as a browser sends it."""
    made = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value in fields.items():
        made.add_field(name, value)
    made.add_field("file", io.BytesIO(data), filename="a", content_type="text/plain")
    return made()


def signed(*conditions):
    text = json.dumps({"expiration": "2999-01-01T00:00:00.000Z", "conditions": list(conditions)})
    return sign.sign_form(WRITER, text, now=time.time(), version=4, region=REGION)


async def post(served, fields, data=DATA):
    return await served.ask("POST", f"/{BUCKET}/", data=form(fields, data))


@pytest.mark.parametrize("apart", [True, False])
async def test_a_form_tells_of_its_file(pair, apart):
    served, receiver = pair
    variables = WHO if apart else {"callback-var": encoded(WHO)}
    own = callback(receiver.url, JSON, callbackBodyType="application/json")
    fields = {"key": "dir/a b.txt", **signed(), **variables, "callback": own}
    done = await post(served, {**fields, "success_action_status": "201"})
    assert (done.status, json.loads(done.body)) == (200, {"Status": "OK"})
    said = json.loads(receiver.came[0][2])
    unsteady(said, done.headers)
    assert said == expected("PostObject")
    assert await served.read("dir/a b.txt") == DATA


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])
@pytest.mark.filterwarnings("ignore")
async def test_the_query_of_a_signed_url(pair, auth):
    served, receiver = pair
    query = {"callback": callback(receiver.url + "?a=+b%2B"), "callback-var": encoded(WHO)}
    url = sdk(served, auth=auth).sign_url("PUT", "a", 60, params=query)
    line = URL(url, encoded=True)
    done = await served.ask("PUT", f"{line.raw_path_qs}", data=DATA)
    assert (done.status, json.loads(done.body)) == (200, {"Status": "OK"})
    assert parse_qs(receiver.came[0][2])["x:who"] == [WHO["x:who"]]
    other = str(line.raw_path_qs).replace("callback-var=", "callback-var=e30", 1)
    assert (await served.ask("PUT", other, data=DATA)).code == "SignatureDoesNotMatch"
    assert len(receiver.came) == 1


# -- what fails afterwards -------------------------------------------------------------------------


def redirect():
    return web.Response(status=307, headers={"Location": "/stolen"})


FAILS = {
    "/status": (lambda: web.json_response({}, status=404), "Error status : 404."),
    "/redirect": (redirect, "Error status : 307."),
    "/text": (lambda: web.Response(text="ok"), "Response body is not valid json format."),
}


@pytest.mark.parametrize("path", FAILS)
async def test_a_callback_that_fails_is_told_and_the_object_is_there(pair, path):
    served, receiver = pair
    receiver.answers = {path: answer for path, (answer, _) in FAILS.items()}
    done = await put(served, asked(f"127.0.0.1:{receiver.port}{path}"))
    assert (done.status, done.code, done.message) == (203, "CallbackFailed", FAILS[path][1])
    assert done.headers["ETag"] == f'"{ETAG}"'
    assert done.value("RequestId") == done.headers["x-oss-request-id"]
    assert [came[0] for came in receiver.came] == [path]
    assert await served.read("dir/a b.txt") == DATA


async def test_the_next_server_is_told_when_one_fails(pair):
    served, receiver = pair
    receiver.answers = {path: answer for path, (answer, _) in FAILS.items()}
    base = f"http://127.0.0.1:{receiver.port}"
    urls = ";".join(f"{base}{path}" for path in ("/status", "/redirect", "/good", "/never"))
    done = await put(served, asked(urls))
    assert (done.status, json.loads(done.body)) == (200, {"Status": "OK"})
    assert [came[0] for came in receiver.came] == ["/status", "/redirect", "/good"]
    done = await put(served, asked(f"{base}/status;{base}/text"))
    assert (done.status, done.message) == (203, FAILS["/text"][1])


async def test_a_name_that_leads_into_the_own_network(pair):
    """Below a domain that is allowed; the name server is not the operator's."""
    served, receiver = pair
    for address in ("127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1"):

        async def lookup(host, port, address=address):
            return [address]

        served.services.callbacks.lookup = lookup
        done = await put(served, asked("http://evil.example.com/"))
        assert (done.status, done.code) == (203, "CallbackFailed")
        assert "Private address" in done.message
    assert receiver.came == []


async def test_a_client_that_leaves(pair):
    """What is stored stays; nothing of the callback is left, and no fault is logged."""
    served, receiver = pair
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    hold = receiver.answers["/told"] = asyncio.Event()
    before = asyncio.all_tasks()
    task = asyncio.create_task(put(served, asked(receiver.url), key="a"))
    while not receiver.came:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    hold.set()
    await asyncio.sleep(0.1)
    assert await served.read("a") == DATA
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks() - before}
    assert not [name for name in names if "callback" in name.lower() or "converse" in name]
    assert faults == []
    receiver.answers.clear()
    assert (await put(served, asked(receiver.url), key="a")).status == 200


# -- pictures --------------------------------------------------------------------------------------

INFO = "${imageInfo.format} ${imageInfo.width} ${imageInfo.height}"
IN_JSON = "[${imageInfo.format},${imageInfo.width},${imageInfo.height}]"


def picture(kind="png", size=(30, 20)):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return file.getvalue()


async def test_what_a_picture_says_of_itself(pair):
    """Also to who may write alone, and where sources are protected: it is the server that asks."""
    served, receiver = pair
    protection = {"enabled": True, "extensions": ["*"]}
    await served.rule(acl="private", protection=protection)
    jpeg = picture("jpeg", (7, 9))
    for data, said in ((picture(), ["png", 30, 20]), (jpeg, ["jpg", 7, 9])):
        headers = asked(receiver.url, IN_JSON, callbackBodyType="application/json")
        assert (await put(served, headers, data=data)).status == 200
        assert json.loads(receiver.came[-1][2]) == said


async def test_what_a_picture_says_where_looks_at_objects_are_remembered():
    """For a while; not the object that was there before it."""
    memory = pytest.importorskip("obstore.store", reason="needs obstore: pip install -e '.[test]'")
    from vipsgate.store.remote.client import StoreClient
    from vipsgate.store.remote.objects import RemoteObjects
    from vipsgate.store.remote.store import CloudStore

    objects = RemoteObjects(StoreClient(memory.MemoryStore(), 10), 60, 60)
    async with told(CloudStore(objects, kind="memory")) as (served, receiver):
        for size in ((30, 20), (5, 6)):
            await served.ask("HEAD", f"/{BUCKET}/dir/a%20b.txt", by=WRITER)
            await put(served, asked(receiver.url, INFO), data=picture(size=size))
            assert receiver.came[-1][2] == f"png {size[0]} {size[1]}"


@pytest.mark.parametrize(
    "data", [b"", DATA, picture()[:20], b"\xff\xd8\xff\xe0" + bytes(100)], ids=len
)
async def test_what_is_no_picture_says_nothing(pair, data):
    served, receiver = pair
    assert (await put(served, asked(receiver.url, f"a{INFO}b"), data=data)).status == 200
    assert receiver.came[-1][2] == "a  b"


async def test_a_picture_is_read_only_if_somebody_wants_to_know(pair):
    served, receiver = pair
    served.services.renderers.full = True
    done = await put(served, asked(receiver.url, "${size}"), data=picture())
    assert (done.status, len(receiver.came)) == (200, 1)
    done = await put(served, asked(receiver.url, INFO), data=picture(size=(5, 5)))
    assert (done.status, done.code, len(receiver.came)) == (203, "CallbackFailed", 1)
    assert await served.read("dir/a b.txt") == picture(size=(5, 5))


# -- what is refused before a byte is stored -------------------------------------------------------

REFUSED = {
    "http://169.254.169.254/latest/meta-data/": 403,
    "http://127.0.0.1/": 403,
    "http://[::1]/": 403,
    "http://[::ffff:127.0.0.1]/": 403,
    "http://localhost/": 403,
    "http://example.com/": 403,
    "http://a.example.com:8080/": 403,
    "http://a.example.com@127.0.0.1/": 400,
    "http://127.0.0.1\\@a.example.com/": 400,
    "http://127.0.0.1#@a.example.com/": 400,
    "http://2130706433/": 400,
    "http://0x7f.1/": 400,
    "file:///etc/passwd": 400,
    "": 400,
}
CODES = {400: "InvalidArgument", 403: "AccessDenied", 501: "NotImplemented"}


async def begin(served):
    """An upload of one part; its id, and the document that completes it."""
    begun = await served.ask("POST", f"/{BUCKET}/new?uploads", by=WRITER)
    identity = begun.value("UploadId")
    line = f"/{BUCKET}/new?partNumber=1&uploadId={identity}"
    part = await served.ask("PUT", line, by=WRITER, data=DATA)
    row = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['ETag']}</ETag></Part>"
    whole = f"<CompleteMultipartUpload>{row}</CompleteMultipartUpload>".encode()
    return f"/{BUCKET}/new?uploadId={identity}", whole


async def refused_everywhere(served, sent, status, own=None):
    """Hold each of the three calls to its refusal; nothing is stored, and the upload is there."""
    line, whole = await begin(served)
    headers = {f"x-oss-{name}": value for name, value in sent.items()}
    said = [
        await put(served, headers, key="new"),
        await served.ask("POST", line, by=WRITER, headers=headers, data=whole),
        await post(served, {"key": "new", **signed(), **sent, **(own or {})}),
    ]
    assert [(one.status, one.code) for one in said] == [(status, CODES[status])] * 3
    assert all("callback" in one.message for one in said)
    assert await served.keys() == []
    assert (await served.ask("POST", line, by=WRITER, data=whole)).status == 200
    assert await served.read("new") == DATA


@pytest.mark.parametrize("url", REFUSED)
async def test_a_server_that_may_not_be_told(pair, url):
    served, receiver = pair
    await refused_everywhere(served, {"callback": callback(url)}, REFUSED[url])
    assert receiver.came == []


@pytest.mark.parametrize(
    "sent",
    [
        {"callback": "e30="},
        {"callback": "nonsense"},
        {"callback-var": "e30="},
        {"callback": encoded([])},
        {"callback": callback("http://a.example.com/", "${nobody}")},
        {"callback": callback("http://a.example.com/", "a", callbackMethod="GET")},
        {"callback": callback("http://a.example.com/", "a", callbackBodyType="application/json")},
        {"callback": callback("http://a.example.com/"), "callback-var": encoded({"a": "b"})},
        {"callback": callback("http://a.example.com/", "a" * 5000)},
    ],
    ids=lambda sent: str(sent)[:30],
)
async def test_a_callback_that_is_malformed(pair, sent):
    await refused_everywhere(pair[0], sent, 400)


async def test_nobody_is_told_where_nobody_may_be(tmp_path):
    async with told(LocalStore(tmp_path), callback_hosts=[]) as (served, receiver):
        await refused_everywhere(served, {"callback": callback(receiver.url)}, 501)
        await served.store.delete(BUCKET, "new")
        await refused_everywhere(served, {"callback-var": "e30="}, 501)
        assert receiver.came == []


async def test_only_a_signed_request_has_a_callback(pair):
    served, receiver = pair
    await served.rule(acl="public-read-write")
    own = callback(receiver.url)
    said = [
        await put(served, {"x-oss-callback": own}, by=None),
        await served.ask("PUT", f"/{BUCKET}/a?callback={own}", data=DATA),
        await post(served, {"key": "a", "callback": own}),
        await put(served, {"x-oss-callback": own}, by=READER),
    ]
    assert [(one.status, one.code) for one in said] == [(403, "AccessDenied")] * 4
    assert (await served.keys(), receiver.came) == ([], [])
    # what begins with x: is nobody's without a callback
    assert (await post(served, {"key": "a", "x:a": "b"})).status == 204


async def test_two_callbacks_or_an_empty_one(pair):
    served, receiver = pair
    own = callback(receiver.url)
    for line, headers, status in (
        (f"?callback={own}", {"x-oss-callback": own}, 400),
        (f"?callback={own}&callback={own}", {}, 400),
        ("?callback", {}, 400),
        ("?callback=", {}, 400),
        ("", {"x-oss-callback": ""}, 400),
        (f"?callback={own}&x-oss-callback={own}", {}, 501),
        (f"?Callback={own}", {}, 501),
        (f"?callback={own}", {"x-oss-copy-source": f"/{BUCKET}/b"}, 501),
        ("", {"x-oss-callback": own, "x-oss-copy-source": f"/{BUCKET}/b"}, 501),
        (f"?uploads&callback={own}", {}, 501),
    ):
        said = await served.ask("PUT", f"/{BUCKET}/a{line}", by=OWNER, headers=headers, data=DATA)
        assert (said.status, said.code) == (status, CODES[status]), (line, headers)
    assert (await served.keys(), receiver.came) == ([], [])


async def test_a_form_that_also_redirects(pair):
    served, receiver = pair
    fields = {"key": "a", **signed(), "callback": callback(receiver.url)}
    said = await post(served, {**fields, "success_action_redirect": "http://a.example.com/"})
    assert (said.status, said.code) == (501, "NotImplemented")
    assert "success_action_redirect" in said.message
    assert (await served.keys(), receiver.came) == ([], [])


async def test_a_policy_may_name_the_callback(pair):
    served, receiver = pair
    own = callback(receiver.url)
    fields = {"key": "a", **signed({"callback": own})}
    other = callback(receiver.url, "other")
    assert (await post(served, {**fields, "callback": other})).status == 403
    assert (await served.keys(), receiver.came) == ([], [])
    assert (await post(served, {**fields, "callback": own})).status == 200
