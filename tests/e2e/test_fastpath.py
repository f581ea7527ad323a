"""Requests that are known: whatever changes, the next answer is the right one."""

import os
import re
import shutil
import time
import urllib.request
from dataclasses import dataclass

import pytest
from support.served import BUCKET, running
from support.server import Site

from vipsgate.cache.memory import Memory
from vipsgate.cache.purges import Rule
from vipsgate.cache.tiers import Cache
from vipsgate.gate import sign
from vipsgate.settings import Settings
from vipsgate.store.local import attribute_cache
from vipsgate.store.local.store import LocalStore

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
PATH = "example.jpg?x-oss-process=image/resize,w_100"
STYLED = "example.jpg!small"
OBJECT, PAGE = "example.jpg", "page.html"
MARKED = "example.jpg?x-oss-process=image/watermark,image_cGFuZGEucG5n"
PUBLIC = '{"acl": "public-read", "separators": ["!"], "styles": {"small": "image/resize,w_%d"}%s}'
KINDS = {"memory": {}, "disk": {"VIPSGATE_CACHE__MEMORY_BYTES": "0"}}  # and their environment


BOTH = pytest.mark.parametrize("server", KINDS, indirect=True)


@dataclass(frozen=True)
class Bucket:
    """A bucket of a running server."""

    site: Site
    name: str

    @property
    def folder(self):
        return self.site.root / self.name

    def document(self, text):
        write(self.site.root, self.name, text)

    def ask(self, path, headers=None, **more):
        return self.site.ask(f"/{self.name}/{path}", headers, **more)

    def call(self, method, key, query=(), **headers):
        request = sign.Request(method, self.name, key, tuple(query), sign.fields(headers.items()))
        signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
        text = "&".join(f"{name}={value}" for name, value in query)
        headers = {"Content-Length": "0", **signed, **headers}
        answer = self.ask(f"{key}?{text}", headers, method=method)
        assert answer.status in (200, 204), answer.body
        return answer


def write(root, bucket, text):
    folder = root / ".vipsgate" / "buckets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{bucket}.json").write_text(text)


@pytest.fixture(scope="module", params=["memory"])
def server(request, serving, tmp_path_factory, root):
    """A server with a bucket for each test of this module; they are there from its start."""
    folder = tmp_path_factory.mktemp("fastpath")
    (folder / "vipsgate.toml").write_text(CONFIG)
    names = [
        f"photos-{n}"
        for n, item in enumerate(request.session.items)
        if item.module is request.module
    ]
    for name in names:
        (folder / "root" / name).mkdir(parents=True)
        for key in ("example.jpg", "panda.png"):
            shutil.copy(root / "examplebucket" / key, folder / "root" / name / key)
        (folder / "root" / name / PAGE).write_text("<p>")
        write(folder / "root", name, PUBLIC % (70, ""))
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *words, env=KINDS[request.param]) as site:
        yield site, iter(names)


@pytest.fixture
def bucket(server):
    """A bucket of the test's own, whose requests are known."""
    site, names = server
    bucket = Bucket(site, next(names))
    for path in (PATH, STYLED, MARKED, OBJECT, PAGE):
        known(bucket, path)
    return bucket


def until(fact):
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.05)


def known(bucket, path):
    """Ask until the answer is that of a known request; they all have to be the same."""
    first = bucket.ask(path)
    for _ in range(4):
        answer = bucket.ask(path)
        assert answer.status == 200
        assert (answer.body, answer.etag, answer.kind) == (first.body, first.etag, first.kind)
    assert (answer.headers["X-Vipsgate-Cache"] == "hit") is ("x-oss-process" in path or "!" in path)
    names = set(first.headers) ^ set(answer.headers)
    assert not names, names
    assert answer.headers["x-oss-request-id"] != first.headers["x-oss-request-id"]


def settle(bucket, *paths):
    """Ask for objects until their requests are known, whose files stay as they are."""
    for path in paths:
        bucket.ask(path)
    time.sleep(attribute_cache.SECONDS + 0.2)
    for path in paths:
        known(bucket, path)


@BOTH
def test_a_header_that_asks_for_more(bucket):
    assert bucket.ask(PATH, {"x-oss-traffic-limit": "819200"}).code == "NotImplemented"
    assert bucket.ask(PATH, {"X-OSS-Process": "image/info"}).code == "NotImplemented"
    assert bucket.ask(PATH, {"x-oss-request-payer": "requester"}).status == 200


def test_objects_on_one_connection(bucket):
    """Where the connection stays open, the answer is sent without a task of its own."""
    settle(bucket, OBJECT, PAGE)
    client, before = bucket.site.connection(), opens(bucket.site)
    for path, more in ((OBJECT, set()), (PAGE, {"content-security-policy"})):
        bodies, names, ids = set(), set(), set()
        for _ in range(4):
            client.request("GET", f"/{bucket.name}/{path}")
            answer = client.getresponse()
            bodies.add(answer.read())
            names.add(frozenset(name.lower() for name, _ in answer.getheaders()))
            ids.add(answer.getheader("x-oss-request-id"))
        assert bodies == {(bucket.folder / path).read_bytes()}
        (fields,) = names
        assert fields >= {"etag", "last-modified", "accept-ranges", "date", "content-type"} | more
        assert "server-timing" not in fields
        assert len(ids) == 4
    client.close()
    # once for each, as this client writes Host otherwise
    assert opens(bucket.site) == before + 2


def opens(site):
    """How often an object has been opened on the way of all requests."""
    text = urllib.request.urlopen(f"http://{site.host}:{site.admin_port}/metrics").read().decode()
    found = re.findall(
        r'^vipsgate_store_duration_seconds_count\{operation="open"\} (\S+)', text, re.M
    )
    return float(found[0])


def test_an_object_that_is_edited_in_its_place(bucket):
    """Its length stays, and its time is put back; one that becomes longer is another one, too."""
    settle(bucket, PAGE)
    file, before = bucket.folder / PAGE, bucket.ask(PAGE)
    times = file.stat()
    with file.open("r+b") as page:
        page.write(b"<b>")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = bucket.ask(PAGE)
    assert (before.body, after.body) == (b"<p>", b"<b>")
    assert after.etag != before.etag
    known(bucket, PAGE)
    file.write_text("x" * 100_000)
    assert bucket.ask(PAGE).body == b"x" * 100_000
    file.unlink()
    assert bucket.ask(PAGE).code == "NoSuchKey"
    file.symlink_to("/etc/hostname")
    assert bucket.ask(PAGE).code == "NoSuchKey"


@BOTH
def test_another_source(bucket):
    before = bucket.ask(PATH)
    shutil.copy(bucket.folder / "panda.png", bucket.folder / "example.jpg")
    after = bucket.ask(PATH)
    assert (after.status, after.etag == before.etag) == (200, False)
    assert after.kind == "image/png"
    (bucket.folder / "example.jpg").unlink()
    assert bucket.ask(PATH).code == "NoSuchKey"


@BOTH
def test_an_objects_acl(bucket):
    settle(bucket, OBJECT)
    bucket.call("PUT", "example.jpg", [("acl", "")], **{"x-oss-object-acl": "private"})
    for path in (PATH, STYLED, MARKED, OBJECT):
        assert bucket.ask(path).code == "AccessDenied"
    bucket.call("PUT", "example.jpg", [("acl", "")], **{"x-oss-object-acl": "default"})
    known(bucket, PATH)
    bucket.call("PUT", "panda.png", [("acl", "")], **{"x-oss-object-acl": "private"})
    assert bucket.ask(PATH).status == 200
    assert bucket.ask(MARKED).code == "AccessDenied"  # it was laid on it by the caller


def test_a_buckets_acl(bucket):
    settle(bucket, OBJECT, PAGE)
    bucket.call("PUT", "", [("acl", "")], **{"x-oss-acl": "private"})
    for path in (PATH, STYLED, MARKED, OBJECT, PAGE):
        assert bucket.ask(path).code == "AccessDenied"


def test_protection_and_hotlinks(bucket):
    settle(bucket, OBJECT)
    bucket.document(PUBLIC % (70, ', "protection": {"enabled": true, "extensions": ["jpg"]}'))
    # a document that is written by hand is seen by each front in its own time
    until(lambda: {bucket.ask(path).code for path in (PATH, OBJECT) * 4} == {"AccessDenied"})
    assert bucket.ask(STYLED).status == 200
    rules = ', "referer": {"allow_empty": false, "whitelist": ["http://a"]}'
    bucket.document(PUBLIC % (70, rules))
    until(lambda: all("referer policy" in bucket.ask(PATH).message for _ in range(8)))
    until(lambda: all(bucket.ask(PATH, {"Referer": "http://a/"}).status == 200 for _ in range(8)))
    assert {bucket.ask(PATH).status for _ in range(4)} == {403}


@BOTH
def test_a_symlink(bucket):
    """What changes at either end of it is seen at once."""
    path, styled = (PATH.replace("example.jpg", "link"), STYLED.replace("example.jpg", "link"))

    def link(target):
        bucket.call("PUT", "link", [("symlink", "")], **{"x-oss-symlink-target": target})

    link("example.jpg")
    for one in (path, styled):
        known(bucket, one)
    assert bucket.ask(path).body == bucket.ask(PATH).body
    for key in ("link", "example.jpg"):
        bucket.call("PUT", key, [("acl", "")], **{"x-oss-object-acl": "private"})
        assert {bucket.ask(one).code for one in (path, styled)} == {"AccessDenied"}
        bucket.call("PUT", key, [("acl", "")], **{"x-oss-object-acl": "default"})
        for one in (path, styled):
            known(bucket, one)
    link("panda.png")
    assert bucket.ask(path).kind == "image/png"
    known(bucket, path)
    shutil.copy(bucket.folder / "example.jpg", bucket.folder / "panda.png")
    assert bucket.ask(path).kind == "image/jpeg"
    (bucket.folder / "panda.png").unlink()
    assert bucket.ask(path).code == "SymlinkTargetNotExist"
    bucket.call("DELETE", "link")
    assert bucket.ask(path).code == "NoSuchKey"


@BOTH
@pytest.mark.parametrize("to", ["outside", "other bucket"])
def test_a_folder_that_is_moved_and_linked(bucket, tmp_path, to):
    """The file stays what it is; only its name, which decides who may have it, is another."""
    paths = [path.replace("example.jpg", "sub/folder/example.jpg") for path in (PATH, OBJECT)]
    (bucket.folder / "sub/folder").mkdir(parents=True)
    shutil.copy(bucket.folder / "example.jpg", bucket.folder / "sub/folder/example.jpg")
    settle(bucket, *paths)
    other = bucket.folder.with_name(f"{bucket.name}-closed")
    place = tmp_path / "away" if to == "outside" else other
    shutil.move(bucket.folder / "sub", place)
    (bucket.folder / "sub").symlink_to(place)
    until(lambda: {bucket.ask(path).code for path in paths} == {"NoSuchKey"})


RULED = PUBLIC % (70, ', "protection": {"enabled": true, "rules": [{"prefix": "private/"}]}')


def test_a_link_to_a_protected_object(bucket):
    """Renamed folders and links to them change nothing about the file itself."""
    folder = bucket.folder
    (folder / "sub").mkdir()
    shutil.copy(folder / "example.jpg", folder / "sub" / "a.jpg")
    bucket.document(RULED)
    plain = "sub/a.jpg"
    path = f"{plain}?x-oss-process=image/resize,w_100"
    until(lambda: bucket.ask(path.replace("sub", "private")).status == 403)
    known(bucket, path)
    settle(bucket, plain)
    (folder / "sub").rename(folder / "private")
    assert bucket.ask(path).code == bucket.ask(plain).code == "NoSuchKey"
    (folder / "sub").symlink_to("private")
    assert bucket.ask(path).code == bucket.ask(plain).code == "AccessDenied"
    assert bucket.ask("sub/a.jpg!small").status == 200
    (folder / "sub").unlink()
    (folder / "private").rename(folder / "sub")
    known(bucket, path)
    (folder / "sub").rename(folder / "open")
    (folder / "sub").symlink_to("open")
    known(bucket, path)
    (folder / "open").rename(folder / "private")
    (folder / "open").symlink_to("private")
    assert bucket.ask(path).code == bucket.ask(plain).code == "AccessDenied"


def test_another_style(bucket):
    bucket.document(PUBLIC % (50, ""))
    until(lambda: bucket.ask(STYLED).picture.width == 50)


def test_a_literal_object_comes_first(bucket):
    shutil.copy(bucket.folder / "panda.png", bucket.folder / "example.jpg!small")
    answer = bucket.ask(STYLED)
    assert answer.body == (bucket.folder / "panda.png").read_bytes()


def test_a_laid_on_object(bucket):
    before = bucket.ask(MARKED)
    shutil.copy(bucket.folder / "example.jpg", bucket.folder / "panda.png")
    assert bucket.ask(MARKED).etag != before.etag


@BOTH
def test_particular_requests(bucket):
    whole = bucket.ask(PATH)
    assert bucket.ask(PATH, {"Range": "bytes=0-9"}).body == whole.body[:10]
    assert bucket.ask(PATH, {"If-None-Match": whole.etag}).status == 304
    assert bucket.ask(PATH, {"If-Match": '"x"'}).status == 412
    assert bucket.ask(PATH, method="HEAD").body == b""
    assert bucket.ask(PATH, {"Authorization": "OSS a:b"}).status == 403
    assert bucket.ask(f"{PATH}&Signature=x").status == 403
    assert bucket.ask(PATH, host=f"{bucket.name}.oss-cn-hangzhou.aliyuncs.com").code == "NoSuchKey"
    assert bucket.ask(PATH).body == whole.body
    data = (bucket.folder / OBJECT).read_bytes()
    assert bucket.ask(OBJECT, {"Range": "bytes=0-9"}).body == data[:10]
    assert bucket.ask(OBJECT, {"If-None-Match": bucket.ask(OBJECT).etag}).status == 304
    assert bucket.ask(OBJECT, method="HEAD").body == b""
    assert bucket.ask(f"{OBJECT}?response-content-type=text/html").status == 400
    assert bucket.ask(f"{OBJECT}?acl").code == "AccessDenied"
    assert bucket.ask(OBJECT).body == data


def test_purged(bucket):
    assert bucket.ask(PATH).headers["X-Vipsgate-Cache"] == "hit"
    bucket.call("DELETE", "panda.png")
    assert bucket.ask(MARKED).code == "WatermarkError"
    assert bucket.ask(PATH).status == 200


# --- what changes while an answer is made

OPEN = {"acl": "public-read", "styles": {"small": "image/resize,w_70"}}
LINE = f"/{BUCKET}/a.jpg?x-oss-process=style/small"
UNSTYLED = f"/{BUCKET}/a.jpg?x-oss-process=image/resize,w_70"


def configured(served):
    declared = {BUCKET: {"acl": "private"}}
    served.services.adopt(Settings(credentials=[{**KEYS}], buckets=declared))


async def purged(served):
    await served.services.cache.renew(Rule(BUCKET, "key", "a.jpg"))


def ruled(**changes):
    return lambda served: served.rule(**{**OPEN, **changes})


KEYS = {"access_key_id": "key1", "access_key_secret": "secret1"}
PAGES = {"allow_empty": False, "whitelist": ["http://a"]}
PROTECTED = {"enabled": True, "extensions": ["jpg"]}
BEFORE, AFTER = "image/resize,w_70", "image/resize,w_50"
MEANWHILE = {  # what happens -> status and process of the next answer, request, jobs in all
    "nothing": (lambda served: None, 200, BEFORE, LINE, 1),
    "bucket closed": (ruled(acl="private"), 403, "", LINE, 1),
    "picture protected": (ruled(protection=PROTECTED), 403, "", UNSTYLED, 1),
    "hotlinks refused": (ruled(referer=PAGES), 403, "", LINE, 1),
    "style changed": (ruled(styles={"small": AFTER}), 200, AFTER, LINE, 2),
    "style gone": (ruled(styles={}), 404, "", LINE, 1),
    "configuration read": (configured, 403, "", LINE, 1),
    "purged": (purged, 200, BEFORE, LINE, 2),
}


@pytest.mark.parametrize("what", MEANWHILE)
async def test_what_changes_while_a_picture_is_made(tmp_path, what):
    """The gate has let the request pass before; the next one is asked anew."""
    change, status, process, line, jobs = MEANWHILE[what]
    async with running(LocalStore(tmp_path), cache=Cache(Memory(1 << 20), None)) as served:
        await served.rule(**OPEN)
        await served.put("a.jpg", b"of a")
        renderers = served.services.renderers
        render = renderers.render

        async def late(job, content=""):
            if (happens := change(served)) is not None:
                await happens
            return await render(job, content)

        renderers.render = late
        assert (await served.ask("GET", line)).status == 200
        renderers.render = render
        for _ in range(3):
            answer = await served.ask("GET", line)
            assert answer.status == status
            assert status != 200 or answer.body == f"{process} of of a".encode()
        assert len(renderers.jobs) == jobs


async def test_long_requests_are_not_remembered(tmp_path):
    """Whatever they are long of: of all that are known each would be held in memory."""
    async with running(LocalStore(tmp_path), cache=Cache(Memory(1 << 20), None)) as served:
        await served.rule(**OPEN)
        await served.put("a.jpg", b"of a")
        known = served.services.fastpath._known
        assert (await served.ask("GET", LINE, headers={"Host": "h" * 30000})).status == 200
        assert (await served.ask("GET", f"{LINE}&{'x' * 30000}=1")).status == 200
        assert not known
        assert (await served.ask("GET", LINE)).status == 200
        assert len(known) == 1
