"""Calls over HTTP to the handlers, on a store in memory; who may make them is asked elsewhere."""

import hashlib
import io
import os
import warnings
from dataclasses import dataclass, field
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer
from yarl import URL

from vipsgate import api
from vipsgate.buckets import INTERNAL, Bucket
from vipsgate.catalog.documents import Documents
from vipsgate.delivery.services import Services
from vipsgate.errors import (
    BucketNotEmpty,
    NoSuchBucket,
    NoSuchKey,
    OssError,
    PreconditionFailed,
)
from vipsgate.gate import access, headers, parameters, target
from vipsgate.observe.record import RequestRecord
from vipsgate.settings import Settings
from vipsgate.store.base import Object, Opened, Page, Properties
from vipsgate.web import responses

NOW = 1_767_225_600.75  # 2026-01-01T00:00:00.750Z


@dataclass
class Draft:
    room: dict
    data: bytes = b""

    async def write(self, data):
        self.data += data

    async def keep(self, key, properties, *, etag="", expected=None):
        there = self.room[key][1].etag if key in self.room else ""
        if expected is not None and there != expected:
            raise PreconditionFailed("it is another one")
        etag = etag or f'"{hashlib.md5(self.data).hexdigest().upper()}"'
        item = Object(len(self.data), etag, NOW, properties)
        self.room[key] = self.data, item
        return item

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass


@dataclass
class Memory:
    """A store; bucket -> key -> bytes and what is known of them."""

    rooms: dict = field(default_factory=lambda: {INTERNAL: {}})
    made: dict = field(default_factory=dict)

    def hold(self, bucket, *keys, kind="Normal"):
        room = self.rooms.setdefault(bucket, {})
        for key in keys:
            data = key.encode()
            etag = f'"{hashlib.md5(data).hexdigest().upper()}"'
            room[key] = data, Object(len(data), etag, NOW, Properties(kind=kind))

    away = ""

    async def look(self):
        pass

    def ranged(self, bucket):
        pass

    def object_acls(self, bucket):
        return True

    def fingerprint(self, bucket, key, *, aliases=False):
        return None

    def reread(self, bucket, key, fingerprint, most, *, aliases=False):
        return None

    def has(self, bucket):
        return bucket in self.rooms

    async def buckets(self):
        return [(name, self.made.get(name, 0)) for name in sorted(self.rooms) if name != INTERNAL]

    async def create(self, bucket):
        self.rooms.setdefault(bucket, {})
        self.made.setdefault(bucket, NOW)

    async def remove(self, bucket):
        if bucket not in self.rooms:
            raise NoSuchBucket("there is none")
        if self.rooms[bucket]:
            raise BucketNotEmpty("there is something in it")
        del self.rooms[bucket]

    async def open(self, bucket, key):
        if key not in self.rooms[bucket]:
            raise NoSuchKey("there is none")
        data, item = self.rooms[bucket][key]
        descriptor = os.memfd_create("object")
        os.write(descriptor, data)
        return Opened(item, descriptor)

    def draft(self, bucket):
        return Draft(self.rooms[bucket])

    async def delete(self, bucket, key, *, expected=None):
        self.rooms[bucket].pop(key, None)

    async def list(self, bucket, *, prefix="", delimiter="", after="", limit):
        found = {}
        for key, (_, item) in self.rooms.get(bucket, {}).items():
            rest = key.removeprefix(prefix)
            head, cut, _ = rest.partition(delimiter) if delimiter else (rest, "", "")
            name = key[: len(key) - len(rest)] + head + cut
            if key.startswith(prefix) and name.encode() > after.encode():
                found[name] = None if cut else item
        names = sorted(found, key=str.encode)
        page = names[:limit]
        return Page(
            [(name, found[name]) for name in page if found[name]],
            [name for name in page if not found[name]],
            page[-1] if len(names) > limit else "",
        )


@dataclass(frozen=True)
class Said:
    """An answer of the server."""

    status: int
    headers: dict
    body: bytes

    @property
    def root(self):
        assert self.headers["Content-Type"] == "application/xml"
        return ElementTree.fromstring(self.body)

    @property
    def code(self):
        return self.root.findtext("Code")

    @property
    def message(self):
        return self.root.findtext("Message")

    def value(self, path):
        return self.root.findtext(path)

    def values(self, path):
        return [element.text or "" for element in self.root.iterfind(path)]

    @property
    def tags(self):
        return [child.tag for child in self.root]


class Desk:
    """Where calls are made, as an owner.

    Attributes:
        services: Whose calls they are.
        store: In memory.
        meanwhile: Done between the look at the bucket and the call's work.
    """

    def __init__(self, settings):
        self.settings = settings
        self.store = Memory()
        self.services = self.another()
        self.now = NOW
        self.meanwhile = None

    def another(self):
        """Services on the same store, as of another instance."""
        documents = Documents(self.store, self.settings.limits)
        return Services.of(self.settings, self.store, None, documents, clock=lambda: self.now)

    async def ask(self, line, *, method="GET", body=b"", headers=None, services=None):
        url = URL(f"http://{self.server.host}:{self.server.port}{line}", encoded=True)
        self.serving = services or self.services
        data = io.BytesIO(body) if body else None
        async with self.session.request(method, url, data=data, headers=headers) as response:
            return Said(response.status, dict(response.headers), await response.read())

    async def put(self, line, body=b"", **more):
        data = body if isinstance(body, bytes) else body.encode()
        return await self.ask(line, method="PUT", body=data, **more)

    async def delete(self, line, **more):
        return await self.ask(line, method="DELETE", **more)

    async def answer(self, request):
        services = self.serving
        request[responses.RECORD] = RequestRecord(0.0, "0" * 24)
        try:
            asked = target.resolve(
                request.raw_path, request.headers["Host"], services.registry.domains, ""
            )
            row = api.find(request.method, asked, request.headers)
            document = services.registry.get(asked.bucket) or (
                services.registry.plain if row.bucket_optional else None
            )
            if document is None:
                raise NoSuchBucket("there is none")
            if self.meanwhile:
                await self.meanwhile()
            headers.check(row.name, row.headers, request.headers)
            parameters.check_version(asked.query)
            return await row.work(api.Call(request, services, asked, access.Grant(document, None)))
        except OssError as error:
            return responses.refusal(error, request)


@pytest.fixture
async def desk():
    """Of a server that declares the bucket ``declared``; others are ``public-read`` as they come.

    Anything that is no :class:`OssError` fails the test: aiohttp answers it with 500.
    """
    declared = Bucket(acl="public-read", domains=("img.example.com",), created=1)
    made = Desk(Settings(buckets={"declared": declared}))
    async with RawTestServer(made.answer) as made.server, aiohttp.ClientSession() as made.session:
        yield made


def sdk(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {name}: pip install -e '.[test]'")


@pytest.fixture(scope="session")
def oss2():
    return sdk("oss2")


@pytest.fixture(scope="session")
def v2():
    return sdk("alibabacloud_oss_v2")


@pytest.fixture(scope="session")
def by_oss2(oss2):
    """``by_oss2("parse_list_objects", "ListObjectsResult", said)``: as oss2 reads an answer."""

    @dataclass
    class Response:
        status: int
        headers: dict
        request_id: str = ""

    def read(parser, result, said):
        made = getattr(oss2.models, result)(Response(said.status, said.headers))
        getattr(oss2.xml_utils, parser)(made, said.body)
        return made

    return read


@pytest.fixture(scope="session")
def by_v2(v2):
    """``by_v2("ListObjectsResult", said)``: as alibabacloud-oss-v2 reads an answer."""

    def read(result, said, root=None):
        made = getattr(v2.models, result)()
        tag = root or made._xml_map["name"] if hasattr(made, "_xml_map") else root
        v2.serde.deserialize_xml(said.body, made, tag)
        if hasattr(made, "encoding_type"):
            v2.serde_utils.deserialize_encode_type(made, None)
        return made

    return read
