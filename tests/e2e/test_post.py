"""PostObject: forms as browsers and clients send them, on a disk and on an object store."""

import base64
import hashlib
import hmac
import io
import json
import time
from datetime import UTC, datetime

import aiohttp
import pytest
from support.served import BUCKET, GUEST, OWNER, READER, REGION, WRITER, running

from vipsgate.gate import sign
from vipsgate.settings import Settings
from vipsgate.store.local.store import LocalStore

DATA = bytes(range(256)) * 4
END = "2999-01-01T00:00:00.000Z"


def policy(*conditions, expiration=END):
    return json.dumps({"expiration": expiration, "conditions": list(conditions)})


def signed(by=WRITER, text=None, version=1):
    return sign.sign_form(by, text or policy(), now=time.time(), version=version, region=REGION)


def form(fields, data=DATA, name="cat.jpg", kind="image/jpeg", after=()):
    """The form that aiohttp writes; the file is its last field but for those ``after``."""
    made = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for field, value in dict(fields).items():
        made.add_field(field, value)
    made.add_field("file", io.BytesIO(data), filename=name, content_type=kind)
    for field, value in dict(after).items():
        made.add_field(field, value)
    return made()


async def post(served, fields, line=f"/{BUCKET}/", headers=None, **more):
    return await served.ask("POST", line, data=form(fields, **more), headers=headers)


@pytest.mark.parametrize("version", [1, 4])
async def test_a_signed_form_becomes_an_object(served, version):
    fields = {
        "key": "up/a b.jpg",
        **signed(version=version),
        "Cache-Control": "max-age=5",
        "Content-Disposition": "attachment",
        "Content-Encoding": "utf-8",
        "Expires": "Thu, 01 Jan 2032 00:00:00 GMT",
        "x-oss-meta-Uuid": "u\u00fc",
        "x-oss-object-acl": "public-read",
        "x-oss-tagging": "a=1&b=2",
        "x-oss-storage-class": "Standard",
        "name": "what an uploader adds",
        "x:var": "of a callback",
    }
    said = await post(served, fields)
    assert (said.status, said.body) == (204, b"")
    assert said.headers["ETag"] == f'"{hashlib.md5(DATA).hexdigest().upper()}"'
    assert said.headers["x-oss-hash-crc64ecma"].isdigit()
    read = await served.ask("GET", f"/{BUCKET}/up/a%20b.jpg")
    assert (read.status, read.body) == (200, DATA)
    for name, value in {
        "Content-Type": "image/jpeg",
        "Cache-Control": "max-age=5",
        "Content-Disposition": "attachment",
        "Content-Encoding": "utf-8",
        "Expires": "Thu, 01 Jan 2032 00:00:00 GMT",
        "x-oss-meta-uuid": "u\u00fc",
        "x-oss-tagging-count": "2",
    }.items():
        assert read.headers[name] == value


def official_v1(secret, text):
    """As the guide's example for Python computes it."""
    return base64.b64encode(
        hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    ).decode()


def official_v4(secret, day, text):
    """Likewise: a chain of keys, then the Base64 of the policy."""
    key = b"aliyun_v4" + secret.encode()
    for part in (day, REGION, "oss", "aliyun_v4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


async def test_a_form_as_the_guide_signs_it(served):
    now = datetime.now(UTC)
    text = base64.b64encode(policy({"bucket": BUCKET}).encode()).decode()
    first = {"key": "1", "OSSAccessKeyId": "writerKey", "policy": text}
    first |= {"Signature": official_v1("writerSecret", text)}
    day, date = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    credential = f"writerKey/{day}/{REGION}/oss/aliyun_v4_request"
    conditions = (
        {"bucket": BUCKET},
        {"x-oss-signature-version": "OSS4-HMAC-SHA256"},
        {"x-oss-credential": credential},
        {"x-oss-date": date},
        ["content-length-range", 1, 1024],
    )
    text = base64.b64encode(policy(*conditions).encode()).decode()
    second = {
        "success_action_status": "200",
        "policy": text,
        "x-oss-signature": official_v4("writerSecret", day, text),
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": credential,
        "x-oss-date": date,
        "key": "2",
    }
    assert (await post(served, first)).status == 204
    assert (await post(served, second)).status == 200
    assert await served.keys() == ["1", "2"]


LIMIT = "9431149156168"
BY_HAND = {"Content-Type": f"multipart/form-data; charset=utf-8; boundary={LIMIT}"}


def part(name, value):
    return f'--{LIMIT}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def by_hand(fields, head, data, end=""):
    """A form as the guide shows it; ``head`` is what its file has besides its name."""
    lines = [part(name, value) for name, value in fields.items()]
    lines += [f'--{LIMIT}\r\nContent-Disposition: form-data; name="file"{head}\r\n\r\n{data}\r\n']
    return "".join((*lines, end, f"--{LIMIT}--\r\n")).encode()


async def test_the_guides_form_written_by_hand(served):
    """With a button behind the file, lower-case names, and an empty token (oss2's example)."""
    fields = {name.lower(): value for name, value in signed().items()}
    fields |= {"key": "x/${filename}", "x-oss-security-token": "", "success_action_status": "200"}
    head = '; filename="C:\\dir\\Caf\u00e9 1.jpg"\r\nContent-Type: image/png'
    head += "\r\nContent-Transfer-Encoding: quoted-printable"
    body = by_hand(fields, head, "=41=\r\n", part("submit", "Upload to OSS"))
    said = await served.ask("POST", f"/{BUCKET}/", headers=BY_HAND, data=body)
    assert said.status == 200, said.body
    assert await served.read("x/Caf\u00e9 1.jpg") == b"=41=\r\n"  # never decoded


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (f"/{BUCKET}", ""),
        (f"/{BUCKET}/", ""),
        ("/", f"{BUCKET}.oss.example.com"),
        ("/", f"{BUCKET}.oss-cn-hangzhou.aliyuncs.com"),
        ("/", "img.example.com"),
    ],
)
async def test_every_address_of_the_bucket(tmp_path, line, host):
    where = {"server": {"endpoint": "oss.example.com"}}
    async with running(LocalStore(tmp_path), **where) as served:
        await served.rule(domains=["img.example.com"])
        fields = {"key": "a b/\u00fc.jpg", **signed(), "success_action_status": "201"}
        sent = {"X-Forwarded-Proto": "https"} if host else {}  # by a server in front
        said = await post(served, fields, line, sent | ({"Host": host} if host else {}))
        assert said.status == 201
        path, scheme = ("", "https") if host else (f"{BUCKET}/", "http")
        host = host or f"127.0.0.1:{served.port}"
        assert said.value("Location") == f"{scheme}://{host}/{path}a%20b/%C3%BC.jpg"
        assert said.headers["Location"] == said.value("Location")
        assert said.value("Bucket") == BUCKET
        assert said.value("Key") == "a b/\u00fc.jpg"
        assert said.value("ETag") == said.headers["ETag"]


@pytest.mark.parametrize(
    ("status", "answer"), [("200", 200), ("201", 201), ("204", 204), ("", 204), ("302", 204)]
)
async def test_the_status_of_success(served, status, answer):
    said = await post(served, {"key": "a", **signed(), "success_action_status": status})
    assert said.status == answer
    assert (said.body != b"") == (answer == 201)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://example.com/done", "http://example.com/done?bucket=photos&key=a+b&etag="),
        ("https://example.com/?x=1#y", "https://example.com/?x=1&bucket=photos&key=a+b&etag="),
        ("http://b\u00fcro.example/", "http://b%C3%BCro.example/?bucket=photos&key=a+b&etag="),
    ],
)
async def test_a_browser_is_sent_on(served, url, location):
    fields = {"key": "a b", **signed(), "success_action_redirect": url}
    said = await post(served, {**fields, "success_action_status": "201"})
    etag = hashlib.md5(DATA).hexdigest().upper()
    fragment = "#y" if "#" in url else ""
    assert (said.status, said.headers["Location"]) == (303, f"{location}%22{etag}%22{fragment}")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//example.com/", "/done", "ftp://a/", "http://", "http://[", "x"],
)
async def test_a_browser_is_sent_nowhere_else(served, url):
    said = await post(served, {"key": "a", **signed(), "success_action_redirect": url})
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert await served.keys() == []


@pytest.mark.parametrize(
    ("own", "kind", "field", "result"),
    [
        ("text/a", "text/b", "text/c", "text/a"),
        ("", "text/b", "text/c", "text/b"),
        ("", "", "text/c", "text/c"),
        ("", "", "", "application/octet-stream"),
    ],
)
async def test_the_type_of_the_object(served, own, kind, field, result):
    """OSS guide: x-oss-content-type, then the browser's of the file, then the form's."""
    fields = {"key": "a", **signed(), "x-oss-content-type": own, "Content-Type": field}
    body = by_hand(fields, f"\r\nContent-Type: {kind}" if kind else "", "abc")
    said = await served.ask("POST", f"/{BUCKET}", headers=BY_HAND, data=body)
    assert said.status == 204
    head = await served.ask("HEAD", f"/{BUCKET}/a", by=OWNER)
    assert head.headers["Content-Type"] == result


# -- who may ---------------------------------------------------------------------------------------


async def test_a_form_without_a_policy_is_anonymous(served):
    assert (await post(served, {"key": "a"})).code == "AccessDenied"
    await served.rule(acl="public-read")
    assert (await post(served, {"key": "a"})).code == "AccessDenied"
    assert await served.keys() == []
    await served.rule(acl="public-read-write")
    assert (await post(served, {"key": "a.jpg"}, kind="")).status == 204
    assert await served.keys() == ["a.jpg"]


@pytest.mark.parametrize("version", [1, 4])
async def test_the_role_counts(served, version):
    assert (await post(served, {"key": "a", **signed(READER, version=version)})).status == 403
    assert await served.keys() == []
    assert (await post(served, {"key": "a", **signed(GUEST, version=version)})).status == 204


async def test_a_signed_request_is_no_signed_form(served):
    """As with OSS: a signature of headers or of the URL does not stand for that of the form."""
    body = by_hand({"key": "a"}, "", "abc")
    said = await served.ask("POST", f"/{BUCKET}/", by=OWNER, headers=BY_HAND, data=body)
    assert (said.status, said.code) == (403, "AccessDenied")


def changed(**fields):
    return {**signed(), **fields}


def changed_v4(**fields):
    return {
        **signed(version=4),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }


OTHER = base64.b64encode(policy({"bucket": BUCKET}).encode()).decode()


@pytest.mark.parametrize("public", [False, True], ids=["private", "public"])
@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        (lambda: changed(Signature="AAAA"), 403, "SignatureDoesNotMatch"),
        (lambda: changed(policy=OTHER), 403, "SignatureDoesNotMatch"),
        (lambda: changed(OSSAccessKeyId="nobody"), 403, "InvalidAccessKeyId"),
        (lambda: changed(policy=""), 400, "InvalidArgument"),
        (lambda: changed(Signature=""), 400, "InvalidArgument"),
        (lambda: {"policy": OTHER}, 400, "InvalidArgument"),
        (lambda: {"x-oss-security-token": "guestToken"}, 400, "InvalidArgument"),
        (lambda: changed(**{"x-oss-date": "20260101T000000Z"}), 400, "InvalidArgument"),
        (lambda: {**signed(GUEST), "x-oss-security-token": ""}, 403, "InvalidAccessKeyId"),
        (lambda: {**signed(GUEST), "x-oss-security-token": "x"}, 403, "InvalidSecurityToken"),
        (lambda: changed_v4(x_oss_signature="00"), 403, "SignatureDoesNotMatch"),
        (lambda: changed_v4(policy=OTHER), 403, "SignatureDoesNotMatch"),
        (lambda: changed_v4(x_oss_signature=""), 400, "InvalidArgument"),
        (lambda: changed_v4(x_oss_date="yesterday"), 400, "InvalidArgument"),
        (lambda: changed_v4(x_oss_date="20200101T000000Z"), 400, "InvalidArgument"),
        (lambda: changed_v4(x_oss_credential="writerKey"), 400, "InvalidArgument"),
        (lambda: changed_v4(x_oss_signature_version="OSS2"), 400, "InvalidArgument"),
        (lambda: signed(text=policy(expiration="2020-01-01T00:00:00Z")), 403, "AccessDenied"),
        (lambda: signed(text="{}"), 400, "InvalidPolicyDocument"),
        (lambda: signed(text=policy(123)), 400, "InvalidPolicyDocument"),
        (lambda: signed(text=policy(["eq", "$key", "b"])), 403, "AccessDenied"),
        (lambda: signed(text=policy({"bucket": "other"})), 403, "AccessDenied"),
        (lambda: signed(text=policy(["in", "$content-type", ["text/css"]])), 403, "AccessDenied"),
        (lambda: signed(text=policy(["content-length-range", 0, 1023])), 400, "EntityTooLarge"),
        (lambda: signed(text=policy(["content-length-range", 1025, 9999])), 400, "EntityTooSmall"),
    ],
)
async def test_a_form_that_is_not_allowed(served, fields, status, code, public):
    await served.rule(acl="public-read-write" if public else "private")
    said = await post(served, {"key": "a", **fields()})
    assert (said.status, said.code) == (status, code), said.message
    assert await served.keys() == []


async def test_a_v4_form_is_valid_for_a_time(tmp_path):
    async with running(LocalStore(tmp_path)) as served:
        fields = {"key": "a", **signed(version=4)}
        most = Settings().server.v4_expires_max
        for later, code in (
            (-1000, "RequestTimeTooSkewed"),
            (most - 9, ""),
            (most + 9, "AccessDenied"),
        ):
            served.clock[:] = [time.time() + later]
            assert (await post(served, fields)).code == code


async def test_the_policy_names_what_it_asks(served):
    text = policy(["starts-with", "$key", "user/"], ["eq", "$x-oss-meta-a", "1"])
    said = await post(served, {"key": "other/a", **signed(text=text), "x-oss-meta-a": "1"})
    assert said.message == (
        'Invalid according to Policy: Policy Condition failed: ["starts-with", "$key", "user/"]'
    )
    said = await post(served, {"key": "user/${filename}", **signed(text=text), "X-OSS-Meta-A": "1"})
    assert (said.status, await served.keys()) == (204, ["user/cat.jpg"])


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"key": ""}, 400, "InvalidArgument"),
        ({"key": "../a"}, 400, "InvalidObjectName"),
        ({"key": "a/../b"}, 400, "InvalidObjectName"),
        ({"key": "/a"}, 400, "InvalidObjectName"),
        ({"key": "a\0b"}, 400, "InvalidObjectName"),
        ({"key": ".vipsgate/buckets/photos.json"}, 400, "InvalidObjectName"),
        ({"key": "x" * 2000}, 400, "InvalidObjectName"),
        ({"callback": "e30="}, 501, "NotImplemented"),
        ({"callback-var": "e30="}, 501, "NotImplemented"),
        ({"x-oss-callback": "e30="}, 501, "NotImplemented"),
        ({"x-oss-server-side-encryption": "AES256"}, 501, "NotImplemented"),
        ({"x-oss-storage-class": "IA"}, 501, "NotImplemented"),
        ({"x-oss-forbid-overwrite": "yes"}, 501, "NotImplemented"),
        ({"x-oss-nobody-knows": "1"}, 501, "NotImplemented"),
        ({"x-oss-object-acl": "x"}, 400, "InvalidArgument"),
        ({"x-oss-tagging": "a=1&a=2"}, 400, "InvalidTag"),
        ({"Content-MD5": "x"}, 400, "InvalidDigest"),
        ({"Content-MD5": "\u00fc"}, 400, "InvalidDigest"),
        ({"Cache-Control": "a\r\nb"}, 400, "InvalidArgument"),
        ({"x-oss-meta-a": "a\0b"}, 400, "InvalidArgument"),
        ({"KEY": "again"}, 400, "InvalidArgument"),
        ({"long": "x" * 40_000}, 400, "FieldItemTooLong"),
        ({f"f{n}": "x" * 30_000 for n in range(9)}, 400, "MaxPOSTPreDataLengthExceededError"),
        ({f"f{n}": "" for n in range(130)}, 400, "MaxPOSTPreDataLengthExceededError"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_a_field_that_is_refused(served, fields, status, code):
    said = await post(served, {"key": "a", **signed(), **fields})
    assert (said.status, said.code) == (status, code), said.message
    assert await served.keys() == []


@pytest.mark.parametrize("name", ["..", ".", "", "dir/..", "a\\..", ".vipsgate"])
async def test_the_name_of_the_file_leads_nowhere(served, name):
    said = await post(served, {"key": "x/${filename}", **signed()}, name=name)
    assert said.status == 400
    assert await served.keys() == []


async def test_the_digest_of_the_file_and_of_the_body(served):
    digest = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    assert (await post(served, {"key": "a", **signed(), "Content-MD5": digest})).status == 204
    body = by_hand({"key": "b"}, "", "abc")
    await served.rule(acl="public-read-write")
    for text, status in ((body, 204), (b"other", 400)):
        digest = base64.b64encode(hashlib.md5(text).digest()).decode()
        headers = {**BY_HAND, "Content-MD5": digest}
        said = await served.ask("POST", f"/{BUCKET}/", headers=headers, data=body)
        assert said.status == status


async def test_an_object_that_is_there(served):
    fields = {"key": "a", **signed(), "x-oss-forbid-overwrite": "true"}
    assert (await post(served, fields)).status == 204
    said = await post(served, fields, data=b"other")
    assert (said.status, said.code) == (409, "FileAlreadyExists")
    assert await served.read("a") == DATA
    assert (await post(served, {"key": "a", **signed()}, data=b"")).status == 204
    assert await served.read("a") == b""


@pytest.mark.parametrize("headers", [{"x-oss-object-acl": "private"}, {"x-oss-callback": "e30="}])
async def test_a_header_is_no_field(served, headers):
    said = await post(served, {"key": "a", **signed()}, headers=headers)
    assert (said.status, said.code) == (501, "NotImplemented")


async def test_a_parameter_is_refused(served):
    said = await post(served, {"key": "a", **signed()}, f"/{BUCKET}/?x=1")
    assert (said.status, said.code) == (501, "NotImplemented")
    assert (await post(served, {"key": "a", **signed()}, f"/{BUCKET}/a")).status == 501


async def test_a_file_of_any_size_comes_through(served):
    """In pieces, larger than any buffer, and full of what looks like the boundary."""
    data = (b"\r\n--" + b"x" * 200 + b"\r\n") * 20_000
    said = await post(served, {"key": "a", **signed()}, data=data)
    assert said.status == 204
    assert await served.read("a") == data


async def test_more_than_an_object_may_have(tmp_path):
    async with running(LocalStore(tmp_path), store={"upload_bytes": 1000}) as served:
        assert (await post(served, {"key": "a", **signed()}, data=b"x" * 1000)).status == 204
        said = await post(served, {"key": "b", **signed()}, data=b"x" * 1001)
        assert (said.status, said.code) == (400, "EntityTooLarge")
        assert await served.keys() == ["a"]


async def test_a_form_that_breaks_off_leaves_nothing(served):
    writer = form({"key": "a", **signed()})
    whole = b"".join([piece async for piece in _written(writer)])
    kind = {"Content-Type": writer.content_type}
    for cut in (len(whole) - 3, len(whole) // 2, 10, 0):
        said = await served.ask("POST", f"/{BUCKET}/", headers=kind, data=whole[:cut])
        assert (said.status, said.code) == (400, "MalformedPOSTRequest")
    assert await served.keys() == []


async def _written(writer):
    class Sink:
        def __init__(self):
            self.data = b""

        async def write(self, data):
            self.data += data

    sink = Sink()
    await writer.write(sink)
    yield sink.data


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_body_that_is_no_form(served, kind):
    headers = {"Content-Type": kind} if kind else {}
    said = await served.ask("POST", f"/{BUCKET}/", headers=headers, data=b"key=a")
    assert (said.status, said.code) == (400, "MalformedPOSTRequest")


async def test_no_such_bucket(served):
    said = await post(served, {"key": "a", **signed()}, "/nobody/")
    assert (said.status, said.code) == (404, "NoSuchBucket")
