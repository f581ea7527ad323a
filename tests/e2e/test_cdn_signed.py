"""URLs signed as for Alibaba Cloud CDN over HTTP: they open one object, and nothing else."""

import base64
from urllib.parse import urlsplit

import pytest
from support.served import BUCKET, OWNER, READER, running

from vipsgate.gate.sign import CdnKey, sign_url
from vipsgate.server.explain import explain
from vipsgate.store.base import Properties
from vipsgate.store.local.store import LocalStore

KEY, BACKUP, NOW = "aliyuncdnexp1234", "otherkey5678", 1767225600.0
HOST, KINDS = "img.example.com", ("A", "B", "C")
LAID = base64.urlsafe_b64encode(b"secret.png").decode().rstrip("=")
STYLES = {"small": "image/resize,w_9", "marked": f"image/watermark,image_{LAID}"}


@pytest.fixture(params=KINDS)
async def signed(request, tmp_path):
    """A server whose bucket is private and understands one type, and its clock at ``NOW``."""
    async with running(LocalStore(tmp_path)) as server:
        server.kind = request.param
        server.clock.append(NOW)
        await document(server)
        for key in ("a b/猫.jpg", "secret.png", "cat.jpg"):
            await server.put(key, b"\xff\xd8\xff of " + key.encode())
        yield server


@pytest.fixture
def kind(signed):
    return signed.kind


async def document(server, **more):
    rules = {"type": server.kind, "key": KEY, "backup_key": BACKUP, "valid_seconds": 600}
    known = {"cdn_signing": rules, "styles": STYLES, "domains": [HOST], "separators": ["!"]}
    await server.rule(**{**known, **more})


def url(kind, key="cat.jpg", process="", *, secret=KEY, within=True, query=(), expires=60):
    text = sign_url(
        CdnKey(kind, secret, 600),
        *(BUCKET, key),
        now=NOW,
        expires=expires,
        process=process,
        bucket_in_path=within,
        query=query,
    )
    parts = urlsplit(text)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def with_query(line, more):
    return f"{line}{'&' if '?' in line else '?'}{more}"


async def test_it_opens_what_it_names(signed, kind):
    assert (await signed.ask("GET", f"/{BUCKET}/cat.jpg")).status == 403
    for key in ("cat.jpg", "a b/猫.jpg"):
        whole = await signed.ask("GET", url(kind, key))
        assert (whole.status, whole.body) == (200, b"\xff\xd8\xff of " + key.encode())
        host = {"Host": HOST}
        assert (await signed.ask("GET", url(kind, key, within=False), headers=host)).status == 200
        assert (await signed.ask("GET", url(kind, key, secret=BACKUP))).status == 200
        assert (await signed.ask("HEAD", url(kind, key))).status == 200
        part = await signed.ask("GET", url(kind, key), headers={"Range": "bytes=0-1"})
        assert (part.status, part.body) == (206, b"\xff\xd8")
    assert (await signed.ask("GET", url(kind, "none.jpg"))).code == "NoSuchKey"


async def test_a_picture_of_it(signed, kind):
    for line in (url(kind, process="image/resize,w_9"), url(kind, process="style/small")):
        answer = await signed.ask("GET", line)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "private")
        assert answer.body.startswith(b"image/resize,w_9 of ")
    named = await signed.ask("GET", url(kind, "cat.jpg!small"))
    assert named.body.startswith(b"image/resize,w_9 of ")
    await document(signed, cache_control="max-age=60")
    answer = await signed.ask("GET", url(kind, process="style/small"))
    assert answer.headers["Cache-Control"] == "max-age=60"


async def test_the_process_text_is_signed_by_nobody(signed, kind):
    """So it lays nothing on the picture that not everybody may see; a style may."""
    free = url(kind, process=f"image/watermark,image_{LAID}")
    assert (await signed.ask("GET", free)).status == 403
    assert (await signed.ask("GET", url(kind, process="style/marked"))).status == 200
    assert (await signed.ask("GET", free.replace("watermark", "blind-watermark"))).status == 400
    await signed.put("secret.png", b"\x89PNG\r\n\x1a\n", Properties(acl="public-read"))
    assert (await signed.ask("GET", free)).status == 200
    overridden = url(kind, query=[("response-content-type", "text/html")])
    assert (await signed.ask("GET", overridden)).code == "InvalidRequest"


async def test_a_protected_source_stays_so(signed, kind):
    await document(signed, protection={"enabled": True, "extensions": ["jpg"]})
    assert (await signed.ask("GET", url(kind, process="style/small"))).status == 200
    assert (await signed.ask("GET", url(kind, "cat.jpg!small"))).status == 200
    rows = ["", "image/resize,w_9", "style/small|image/resize,w_9", "image/format,png"]
    for process in rows:
        answer = await signed.ask("GET", url(kind, process=process))
        assert (answer.status, answer.value("EC")) == (403, "0040-00000031")
    # the name of a style is a part of the signed path: what stands behind it changes nothing
    more = with_query(url(kind, "cat.jpg!small"), "x-oss-process=image/resize,w_9")
    assert (await signed.ask("GET", more)).status in (403, 404)


async def test_a_wrong_one_is_refused_before_anything_else(signed, kind):
    """On a public object, for one that is not there, and for a call that nobody knows."""
    await document(signed, acl="public-read")
    assert (await signed.ask("GET", f"/{BUCKET}/cat.jpg")).status == 200
    for line in (url(kind, secret="notthiskey"), url(kind, "none.jpg", secret="notthiskey")):
        for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
            assert (await signed.ask(method, line)).status == 403
            assert (await signed.ask(method, with_query(line, "acl"))).status == 403
            assert (
                await signed.ask(method, with_query(line, "x-oss-process=nonsense"))
            ).status == 403
    line = url(kind)
    assert (await signed.ask("GET", line)).status == 200
    signed.clock.append(NOW + 121)  # B has minutes
    late = await signed.ask("GET", line)
    assert (late.status, late.code, late.message) == (403, "AccessDenied", "Request has expired.")


async def test_it_is_good_for_no_other_call(signed, kind):
    for method, query in [
        *(("GET", "acl"), ("GET", "tagging"), ("GET", "symlink"), ("HEAD", "objectMeta")),
        *(("PUT", ""), ("DELETE", ""), ("PUT", "acl"), ("POST", "uploads"), ("PUT", "symlink")),
    ]:
        line = with_query(url(kind), query) if query else url(kind)
        assert (await signed.ask(method, line)).status == 403
    line = with_query(url(kind), "x-oss-process=image/resize,w_9|sys/saveas,o_YQ,b_cGhvdG9z")
    assert (await signed.ask("POST", line)).status in (403, 501)
    assert await signed.read("cat.jpg") == b"\xff\xd8\xff of cat.jpg"
    assert (await signed.ask("GET", f"/{BUCKET}/")).status == 403


async def test_signed_in_two_ways(signed, kind):
    twice = await signed.ask("GET", url(kind), by=OWNER)
    assert (twice.status, twice.code) == (400, "InvalidArgument")
    own = sign_url(READER, BUCKET, "cat.jpg", now=NOW)
    assert (await signed.ask("GET", own.removeprefix("http://127.0.0.1:8080"))).status == 200


async def test_the_referer_is_asked(signed, kind):
    await document(signed, referer={"allow_empty": False, "whitelist": ["http://a.example"]})
    assert (await signed.ask("GET", url(kind))).status == 403
    headers = {"Referer": "http://a.example/"}
    assert (await signed.ask("GET", url(kind), headers=headers)).status == 200


async def test_its_object_may_be_a_symlink(signed, kind):
    target = Properties(kind="Symlink", target="cat.jpg")
    await signed.put("link.jpg", b"", target)
    assert (await signed.ask("GET", url(kind, "link.jpg"))).body.endswith(b"of cat.jpg")


async def test_it_is_explained(signed, kind):
    report = await explain(signed.services, url(kind), {})
    assert report["target"]["key"] == "cat.jpg"
    assert report["access"]["request"] == {"allowed": True}
    assert report["access"]["anonymous"]["rule"] == "bucket-acl"
    report = await explain(signed.services, url(kind, secret="notthiskey"), {})
    assert report["refused"]["rule"] == "cdn-signature"


async def test_it_is_not_understood_elsewhere(signed, kind):
    """In a bucket without the setting a signature is a name, or a parameter of nobody's."""
    await document(signed, cdn_signing={}, acl="public-read")
    answer = await signed.ask("GET", url(kind))
    assert answer.status == (200 if kind == "A" else 404)
