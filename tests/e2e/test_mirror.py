"""Missing objects that are fetched: for whom, from where, how often, and what is left of it."""

import asyncio
import gzip
import hashlib
import ipaddress
import itertools
import json
import time
from contextlib import asynccontextmanager

import pytest
from support.origins import PNG, answer, closing, origin, redirect
from support.served import BUCKET, OWNER, READER, in_memory, running

from vipsgate.delivery import mirror as fetching
from vipsgate.errors import NoSuchKey
from vipsgate.gate import access, mirror, target
from vipsgate.gate.target import Target
from vipsgate.observe.accesslog import AccessLog
from vipsgate.outgoing.client import Client
from vipsgate.store.local.store import LocalStore

PUBLIC = {"acl": "public-read"}
JPG = b"\xff\xd8\xff\xe0" + b"j" * 9000
STYLES = {"thumb": "image/resize,w_10"}


@asynccontextmanager
async def mirrored(store, *, document=None, rule=None, hosts=None, **options):
    """A server whose bucket has a rule that leads to an origin."""
    async with origin() as server:
        listed = {"hosts": [server.host] if hosts is None else hosts, "timeout_seconds": 0.5}
        async with running(store, origins=listed | options) as served:
            rules = [{"url": f"{server.url}their/", **(rule or {})}]
            await served.rule(**PUBLIC | {"mirror": rules} | (document or {}))
            server.files["/their/a.png"] = PNG
            yield served, server


@pytest.fixture(params=["folder", "object store"])
def store(request, tmp_path):
    return LocalStore(tmp_path) if request.param == "folder" else in_memory()


# -- fetched once ----------------------------------------------------------------------------------


async def test_a_missing_object_is_fetched_stored_and_processed(store):
    async with mirrored(store) as (served, server):
        assert (await served.ask("HEAD", f"/{BUCKET}/a.png")).status == 404  # as on OSS
        assert server.requests == []
        made = await served.ask("GET", f"/{BUCKET}/a.png?x-oss-process=image/resize,w_10")
        assert made.body == b"image/resize,w_10 of " + PNG
        plain = await served.ask("GET", f"/{BUCKET}/a.png")
        assert (plain.status, plain.body) == (200, PNG)
        assert plain.headers["Content-Type"] == "image/png"  # and not what the origin said
        assert plain.headers["ETag"] == f'"{hashlib.md5(PNG).hexdigest().upper()}"'
        assert (await served.ask("HEAD", f"/{BUCKET}/a.png")).status == 200
        assert await served.read("a.png") == PNG
        assert server.targets == ["/their/a.png"]
        (request,) = server.requests
        assert request.headers["accept-encoding"] == "identity"
        assert "vipsgate" in request.headers["via"]


async def test_a_thousand_readers_cause_one_fetch(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):

        async def late(request, writer):
            await asyncio.sleep(0.1)
            writer.write(answer(PNG))
            await writer.drain()

        server.replies["/their/a.png"] = late
        grant = access.Grant(served.services.registry.get(BUCKET), None)
        fetch = served.services.mirror.fetch
        asked = [fetch(grant, Target(BUCKET, "a.png"), "a.png", {}) for _ in range(1000)]
        found = await asyncio.gather(*asked)
        assert len({item.etag for item in found}) == 1
        assert len(server.requests) == 1
        server.replies["/their/b.png"] = late
        said = await asyncio.gather(*(served.ask("GET", f"/{BUCKET}/b.png") for _ in range(50)))
        assert [one.body for one in said] == [PNG] * 50
        assert len(server.requests) == 2


async def test_a_client_that_leaves_leaves_nothing_behind(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):
        begun = asyncio.Event()

        async def half(request, writer):
            writer.write(answer(PNG[:100], length=len(PNG)))
            begun.set()
            await asyncio.sleep(5)

        server.replies["/their/a.png"] = half
        asking = asyncio.create_task(served.ask("GET", f"/{BUCKET}/a.png"))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.05)
        del server.replies["/their/a.png"]
        assert await served.keys() == []
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).body == PNG


async def test_few_are_under_way_and_the_others_wait_for_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_FETCHES", 2)
    async with mirrored(LocalStore(tmp_path), timeout_seconds=0.4) as (served, server):
        slow = asyncio.Event()

        async def late(request, writer):
            await slow.wait()
            writer.write(answer(PNG))
            await writer.drain()

        server.replies |= {f"/their/{number}.png": late for number in range(4)}
        asking = [
            asyncio.create_task(served.ask("GET", f"/{BUCKET}/{number}.png")) for number in range(4)
        ]
        await asyncio.sleep(0.15)
        assert len(server.requests) == 2
        slow.set()
        assert {one.status for one in await asyncio.gather(*asking)} == {200}
        slow.clear()
        held = [served.services.mirror._turns.acquire() for _ in range(2)]
        await asyncio.gather(*held)
        said = await served.ask("GET", f"/{BUCKET}/a.png")
        assert (said.status, said.code) == (503, "ServiceUnavailable")
        assert said.headers["Retry-After"] == "1"


async def test_what_is_not_there_is_remembered_for_a_while(tmp_path):
    for seconds, count in ((60, 1), (0, 3)):
        options = {"missing_seconds": seconds}
        (folder := tmp_path / str(seconds)).mkdir()
        async with mirrored(LocalStore(folder), **options) as (served, server):
            for _ in range(3):
                said = await served.ask("GET", f"/{BUCKET}/none.png")
                assert (said.status, said.code) == (404, "NoSuchKey")
            assert len(server.requests) == count
            counted = served.services.recorder.counters.fetches.sums
            assert counted[BUCKET, "missing"] == count
            assert counted[BUCKET, "remembered"] == 3 - count
            await served.put("none.png", b"by now")  # what the bucket has comes first
            assert (await served.ask("GET", f"/{BUCKET}/none.png")).body == b"by now"


async def test_an_object_that_is_put_meanwhile_stays(store):
    async with mirrored(store) as (served, server):

        async def overtaken(request, writer):
            await served.put("a.png", b"theirs")
            writer.write(answer(PNG))
            await writer.drain()

        server.replies["/their/a.png"] = overtaken
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).body == b"theirs"
        assert await served.read("a.png") == b"theirs"


# -- passed through --------------------------------------------------------------------------------


async def test_an_object_that_is_only_passed_through(store):
    rule = {"store": False}
    async with mirrored(store, rule=rule, fresh_seconds=60) as (served, server):
        for _ in range(2):
            made = await served.ask("GET", f"/{BUCKET}/a.png?x-oss-process=image/resize,w_10")
            assert made.body == b"image/resize,w_10 of " + PNG
            assert (await served.ask("GET", f"/{BUCKET}/a.png")).body == PNG
        part = await served.ask("GET", f"/{BUCKET}/a.png", headers={"Range": "bytes=8-15"})
        assert (part.status, part.body) == (206, PNG[8:16])
        assert len(server.requests) == 1
        assert await served.keys() == []


async def test_what_is_passed_through_is_asked_for_again(store):
    rule = {"store": False}
    async with mirrored(store, rule=rule, fresh_seconds=0) as (served, server):
        for data in (PNG, PNG, PNG + b"newer"):
            server.files["/their/a.png"] = data
            assert (await served.ask("GET", f"/{BUCKET}/a.png")).body == data
        counted = served.services.recorder.counters.fetches.sums
        assert counted[BUCKET, "passed"] == 2
        assert counted[BUCKET, "renewed"] == 1
        assert "if-none-match" in server.requests[1].headers
        del server.files["/their/a.png"]
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).code == "NoSuchKey"


# -- for whom --------------------------------------------------------------------------------------

PROTECTED = {"protection": {"enabled": True, "extensions": ["png"]}, "styles": STYLES}
ALL = {"protection": {"enabled": True, "extensions": ["*"]}, "styles": STYLES}
HOTLINKED = {"referer": {"allow_empty": False, "whitelist": ["http://good.example"]}}
DENIED = [  # document, request, its headers, code
    ({"acl": "private"}, "a.png", {}, "AccessDenied"),
    ({"acl": "private"}, "a.png?x-oss-process=image/resize,w_10", {}, "AccessDenied"),
    (HOTLINKED, "a.png", {"Referer": "http://bad.example/"}, "AccessDenied"),
    (HOTLINKED, "a.png", {}, "AccessDenied"),
    (PROTECTED, "a.png", {}, "AccessDenied"),
    (PROTECTED, "a.png?x-oss-process=image/resize,w_10", {}, "AccessDenied"),
    (PROTECTED, "a.png?x-oss-process=style/thumb|image/format,png", {}, "AccessDenied"),
    (ALL, "a.png", {}, "AccessDenied"),
    (ALL, "nothing-that-tells", {}, "AccessDenied"),
    (ALL, "a.txt?x-oss-process=image/resize,w_10", {}, "AccessDenied"),
    (
        PROTECTED | {"acl": "public-read"},
        "b.gif?x-oss-process=image/watermark,image_YS5wbmc",  # a.png
        {},
        "AccessDenied",
    ),
    ({}, "a.png", {"Authorization": "OSS ownerKey:bm8="}, "AccessDenied"),  # without a date
    ({}, "a.png?Expires=1&OSSAccessKeyId=ownerKey&Signature=bm8%3D", {}, "AccessDenied"),
    ({}, "a.png?x-oss-process=style/none", {}, None),  # a style that there is not
    ({}, "../a.png", {}, None),
    ({}, ".vipsgate/a.png", {}, None),
    ({}, "dir/", {}, "NoSuchKey"),
    ({}, "a.png?acl", {}, "AccessDenied"),
    ({}, "a.png", {"Via": "1.1 vipsgate"}, "NoSuchKey"),  # in a circle
]


async def test_whom_nobody_lets_in_causes_no_request(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):
        await served.put("b.gif", b"GIF89a")
        server.files["/their/dir/"] = PNG
        rules = [{"url": f"{server.url}their/"}]
        for document, request, headers, code in DENIED:
            await served.rule(**PUBLIC | {"mirror": rules} | document)
            said = await served.ask("GET", f"/{BUCKET}/{request}", headers=headers)
            assert said.status in (400, 403, 404), (request, said)
            assert code is None or said.code == code, (request, said.body)
            asked = [one for one in server.targets if one != "/their/a.png" or code]
            assert asked == [], (document, request)
            server.requests.clear()
            for key in set(await served.keys()) - {"b.gif"}:
                await served.store.delete(BUCKET, key)


async def test_a_protected_object_is_fetched_for_a_style_and_stays_protected(store):
    document = PROTECTED | {"separators": ["!"]}
    async with mirrored(store, document=document) as (served, server):
        styled = await served.ask("GET", f"/{BUCKET}/a.png!thumb")
        assert styled.body == b"image/resize,w_10 of " + PNG
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).code == "AccessDenied"
        assert (await served.ask("GET", f"/{BUCKET}/a.png", by=READER)).body == PNG
        assert server.targets == ["/their/a.png"]


async def test_a_private_object_is_fetched_for_who_has_signed(store):
    async with mirrored(store, document={"acl": "private"}) as (served, server):
        assert (await served.ask("GET", f"/{BUCKET}/a.png", by=READER)).body == PNG
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).code == "AccessDenied"
        assert len(server.requests) == 1
        assert "authorization" not in server.requests[0].headers


async def test_names_that_say_what_is_to_be_done(tmp_path):
    document = {"styles": STYLES, "separators": ["!", "-"], "legacy_at_api": True}
    async with mirrored(LocalStore(tmp_path), document=document) as (served, server):
        server.files |= {f"/their/{name}": PNG for name in ("b.png", "c.png", "d.png!none", "e-f")}
        for name in ("a.png!thumb", "b.png@10w.png", "c.png-thumb", "d.png!none", "e-f"):
            assert (await served.ask("GET", f"/{BUCKET}/{name}")).status == 200, name
        asked = ["a.png", "b.png", "c.png", "d.png!none", "e-f"]
        assert server.targets == [f"/their/{name}" for name in asked]


async def test_a_watermark_is_fetched_too(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):
        server.files["/their/logo.png"] = PNG
        request = "a.png?x-oss-process=image/watermark,image_bG9nby5wbmc"
        assert (await served.ask("GET", f"/{BUCKET}/{request}")).status == 200
        assert server.targets == ["/their/a.png", "/their/logo.png"]
        request = "a.png?x-oss-process=image/watermark,image_bm9uZS5wbmc"
        assert (await served.ask("GET", f"/{BUCKET}/{request}")).status == 400


async def test_a_bucket_that_is_only_described(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, _):
        await served.store.remove(BUCKET)
        assert (await served.ask("GET", f"/{BUCKET}/a.png")).body == PNG
        assert await served.keys() == ["a.png"]


# -- what is sent ----------------------------------------------------------------------------------

SENT = {
    "Cookie": "session=1",
    "Authorization": "",  # filled in by a signature
    "X-Own": "mine",
    "X-Other": "other",
    "Referer": "http://page.example/?token=1",
    "User-Agent": "browser",
    "Accept": "image/avif",
    "X-Forwarded-For": "1.2.3.4",
}


async def test_headers_are_those_of_the_rule_and_no_others(tmp_path):
    rule = {
        "pass_headers": ["X-Own", "X-Other", "Accept"],
        "remove_headers": ["x-other"],
        "set_headers": {"X-Key": "secret", "Accept": "image/*"},
    }
    async with mirrored(LocalStore(tmp_path), rule=rule) as (served, server):
        headers = {name: value for name, value in SENT.items() if value}
        said = await served.ask("GET", f"/{BUCKET}/a.png", headers=headers, by=READER)
        assert said.status == 200
        assert server.requests[0].headers == {
            "host": server.host,
            "via": "1.1 vipsgate",
            "user-agent": "vipsgate",
            "accept-encoding": "identity",
            "accept": "image/*",
            "x-own": "mine",
            "x-key": "secret",
        }


async def test_parameters_are_sent_along_where_the_rule_says_so(tmp_path):
    rule = {"pass_query": True, "types": "any"}
    line = (
        f"/{BUCKET}/a.png?v=1&t=a%20b%26&x-oss-process=image/info&Expires=9999999999"
        "&OSSAccessKeyId=readerKey&Signature=x&response-content-type=a/b&security-token=c"
    )
    async with mirrored(LocalStore(tmp_path), rule=rule) as (served, server):
        document = served.services.registry.get(BUCKET)
        query = target.resolve(line, "", {}, "").query
        assert mirror.url_of(document.mirror[0], "a.png", query) == (
            f"{server.url}their/a.png?v=1&t=a%20b%26"
        )
        server.files["/their/a.png?v=1"] = PNG
        assert (await served.ask("GET", f"/{BUCKET}/a.png?v=1")).body == PNG


async def test_no_header_of_a_rule_goes_to_another_server(tmp_path):
    rule = {"set_headers": {"X-Key": "secret"}, "pass_headers": ["X-Own"]}
    async with origin() as other:
        other.files["/b.png"] = PNG
        store = LocalStore(tmp_path)
        async with mirrored(store, rule=rule) as (served, server):
            client = served.services.outgoing
            client._hosts += (other.host,)
            server.replies["/their/a.png"] = redirect(f"{other.url}b.png")
            said = await served.ask("GET", f"/{BUCKET}/a.png", headers={"X-Own": "mine"})
            assert said.body == PNG
            assert {"x-key", "x-own"} <= server.requests[0].headers.keys()
            assert not {"x-key", "x-own"} & other.requests[0].headers.keys()


# -- who misbehaves --------------------------------------------------------------------------------


def chunked(body, end=b"0\r\n\r\n"):
    head = answer(b"", "200 OK", "Transfer-Encoding: chunked", length="")
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n" + end


async def slow(request, writer):
    await asyncio.sleep(5)


async def stops(request, writer):
    writer.write(answer(PNG[:2000], length=len(PNG)))
    await asyncio.sleep(5)


async def drips(request, writer):
    writer.write(answer(PNG[:1], length=len(PNG)))
    for number in range(1, len(PNG)):
        writer.write(PNG[number : number + 1])
        await writer.drain()
        await asyncio.sleep(0.02)


def redirects(count, status=302):
    return {f"/their/{n or 'a.png'}": redirect(f"/their/{n + 1}", status) for n in range(count)}


MISBEHAVES = {  # replies, status, what is said; nothing is ever stored
    "none": (answer(b"", "404 Not Found"), 404, "does not exist"),
    "gone": (answer(b"", "410 Gone"), 404, "does not exist"),
    "forbidden": (answer(b"", "403 Forbidden"), 502, "answers 403"),
    "fault": (answer(b"", "500 No"), 502, "answers 500"),
    "busy": (answer(b"", "503 No"), 502, "answers 503"),
    "no content": (answer(b"", "204 No Content", length=""), 502, "answers 204"),
    "a part": (answer(PNG, "206 Partial", "Content-Range: bytes 0-1/9"), 502, "answers 206"),
    "not modified": (answer(b"", "304 Not Modified", length=""), 502, "answers 304"),
    "slow": (slow, 504, "does not answer in 0.5 seconds"),
    "stops": (stops, 504, "too slow: 2000 bytes"),
    "drips": (drips, 504, "too slow"),
    "cut": (closing(answer(PNG[:2000], length=len(PNG))), 502, "cut off"),
    "cut in chunks": (closing(chunked(PNG, b"")), 502, "cut off"),
    "no end": (closing(answer(PNG, length="")), 502, "the end of its body"),
    "two lengths": (answer(PNG, "200 OK", "Content-Length: 5"), 502, "cannot be reached"),
    "negative": (answer(PNG, length=-1), 502, "cannot be reached"),
    "huge": (answer(PNG, length=10**9), 502, "more than 20000 bytes"),
    "huge in chunks": (chunked(PNG * 5), 502, "more than 20000 bytes"),
    "packed": (
        answer(gzip.compress(PNG), "200 OK", "Content-Encoding: gzip"),
        502,
        "Content-Encoding: gzip",
    ),
    "a page": (answer(b"<html>" * 900, "200 OK", "Content-Type: image/png"), 502, "neither"),
    "empty": (answer(b""), 502, "neither a picture nor a video"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", 502, "cannot be reached"),
    "closed": (closing(b""), 502, "cannot be reached"),
    "a long header": (answer(PNG, "200 OK", f"X: {'x' * 99999}"), 502, "cannot be reached"),
    "in a circle": ({"/their/a.png": redirect("/their/a.png")}, 502, "too often"),
    "six redirects": (redirects(6), 502, "too often"),
    "elsewhere": (redirect("http://elsewhere.example/"), 502, "host or port"),
    "another port": (redirect("http://127.0.0.1:1/"), 502, "host or port"),
    "another scheme": (redirect("file:///etc/passwd"), 502, "not valid"),
    "a user": (redirect("http://user:secret@127.0.0.1/"), 502, "not valid"),
    "nowhere": (answer(b"", "302 Found"), 502, "too often"),  # that is, to itself
    "another MD5": (answer(PNG, "200 OK", "Content-MD5: bm8="), 502, "Content-MD5"),
}


async def test_who_misbehaves_is_told_of_and_nothing_is_stored(tmp_path):
    rule = {"check_md5": True}
    options = {"fetch_bytes": 20_000, "timeout_seconds": 0.5, "missing_seconds": 0}
    async with mirrored(LocalStore(tmp_path), rule=rule, **options) as (served, server):
        for name, (replies, status, reason) in MISBEHAVES.items():
            server.replies.clear()
            server.replies |= replies if isinstance(replies, dict) else {"/their/a.png": replies}
            said = await served.ask("GET", f"/{BUCKET}/a.png?x-oss-process=image/resize,w_10")
            assert (said.status, reason in said.message) == (status, True), (name, said.message)
            assert said.code == {404: "NoSuchKey", 502: "BadGateway", 504: "GatewayTimeout"}[status]
            assert "127.0.0.1" not in said.message  # whoever asks need not know whence it comes
            assert await served.keys() == [], name
            served.services.outgoing._health.clear()  # or it would be left alone
        assert served.services.renderers.jobs == []


GOOD = {
    "in chunks": chunked(PNG),
    "its MD5": answer(PNG, "200 OK", "Content-MD5: " + "x" * 0),
    "a picture of another name": answer(JPG, "200 OK", "Content-Type: text/html"),
    "a video": answer(b"\0\0\0\x18ftypisom" + b"\0" * 5000),
    "short": answer(PNG[:20]),
    "with its coding": answer(PNG, "200 OK", "Content-Encoding: identity"),
}


async def test_who_is_unusual_is_understood(tmp_path):
    async with mirrored(LocalStore(tmp_path), rule={"check_md5": True}) as (served, server):
        for number, name in enumerate(GOOD):
            server.replies[f"/their/{number}"] = GOOD[name]
            assert (await served.ask("GET", f"/{BUCKET}/{number}")).status == 200, name


async def test_redirects_are_followed_as_often_as_the_rule_says(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):
        for most, count in itertools.product((0, 5), range(7)):
            rules = [{"url": f"{server.url}their/", "redirects": most}]
            await served.rule(**PUBLIC, mirror=rules)
            name = f"{most}-{count}.png"
            hops = [f"/their/{name}", *(f"/their/{most}-{count}-{hop}" for hop in range(count))]
            server.replies |= {
                one: redirect(other, (301, 302, 303, 307, 308)[count % 5])
                for one, other in itertools.pairwise(hops)
            }
            server.files[hops[-1]] = PNG
            server.requests.clear()
            said = await served.ask("GET", f"/{BUCKET}/{name}")
            assert said.status == (200 if count <= most else 502), (most, count)
            assert len(server.requests) == min(count, most) + 1


async def test_other_types_are_taken_where_the_rule_says_so(tmp_path):
    async with mirrored(LocalStore(tmp_path), rule={"types": "any"}) as (served, server):
        server.replies["/their/a.css"] = answer(
            b"a{}",
            "200 OK",
            *("Content-Type: text/css", "Cache-Control: max-age=9", "Set-Cookie: a=b"),
            *("Content-Language: zh", "X-Own: 1", 'ETag: W/"x"'),
        )
        await served.ask("GET", f"/{BUCKET}/a.css")
        said = await served.ask("GET", f"/{BUCKET}/a.css")
        told = {name: said.headers.get(name) for name in ("Content-Type", "Cache-Control")}
        assert told == {"Content-Type": "text/css", "Cache-Control": "max-age=9"}
        assert said.headers["Content-Language"] == "zh"
        assert not {"Set-Cookie", "X-Own"} & set(said.headers)


async def test_a_server_that_fails_is_left_alone_and_comes_back(tmp_path):
    async with mirrored(LocalStore(tmp_path)) as (served, server):
        server.replies["/their/a.png"] = answer(b"", "500 No")
        for _ in range(6):
            assert (await served.ask("GET", f"/{BUCKET}/a.png")).status == 502
        assert len(server.requests) == 3  # a breaker is open since
        said = await served.ask("GET", f"/{BUCKET}/a.png")
        assert int(said.headers["Retry-After"]) >= 1
        del server.replies["/their/a.png"]
        end = time.monotonic() + 5
        while (said := await served.ask("GET", f"/{BUCKET}/a.png")).status != 200:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert said.body == PNG


# -- where it may lead -----------------------------------------------------------------------------

RANGES = [  # what no name that is listed leads to, whoever answers for it
    *("169.254.0.0/16", "100.64.0.0/10", "224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/32"),
    *("168.63.129.16/32", "192.0.0.192/32"),
]
PRIVATE = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
SIXES = [
    *("fe80::/10", "fec0::/10", "ff00::/8", "::/128", "fd00:ec2::254/128", "64:ff9b:1::/48"),
]


def spellings(address):
    """The ways in which an IPv4 address is written, or carried by an IPv6 one."""
    four = ipaddress.IPv4Address(address)
    number = int(four)
    yield str(four)
    yield f"::ffff:{four}"
    yield str(ipaddress.IPv6Address(number + (0xFFFF << 32)))
    yield str(ipaddress.IPv6Address((0x64FF9B << 96) + number))  # NAT64
    yield str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))  # 6to4
    teredo = (0x20010000 << 96) + (number ^ 0xFFFFFFFF)
    yield str(ipaddress.IPv6Address(teredo))
    if number > 1:
        yield str(ipaddress.IPv6Address(number))  # ::a.b.c.d, of old


def samples(network):
    known = ipaddress.ip_network(network)
    return {str(known[0]), str(known[-1])}


def addresses():
    for network in RANGES:
        for one in samples(network):
            yield from spellings(one)
    for network in SIXES:
        yield from samples(network)
    yield "fe80::1%eth0"


HOSTILE = sorted({*addresses(), "169.254.169.254", "100.100.100.200", "fd00:ec2::254"})
PRIVATES = sorted({one for n in PRIVATE for s in samples(n) for one in spellings(s)} | {"fd00::1"})


async def ask(client, text, redirects=5):
    async with client.get(client.admit(text), {}, redirects=redirects) as reply:
        return reply.status, b"".join([piece async for piece in reply.pieces()])


async def refused(client, text):
    try:
        await ask(client, text)
    except Exception as error:
        return str(error)
    return ""


async def test_no_address_that_is_special_is_connected_to():
    """By a name that is listed or below one, at once, by a redirect, and the second time."""
    async with origin() as server:
        server.files["/a"] = b"data"
        told = {}

        async def lookup(host, port):
            return told[host]

        hosts = ["good.example", f"good.example:{server.port}", f"*.below.example:{server.port}"]
        hosts += ["bad.example", f"bad.example:{server.port}"]
        for address in [*HOSTILE, *PRIVATES]:
            private = address in PRIVATES
            client = Client(hosts, 0.5, lookup)
            told |= {"good.example": ["127.0.0.1"], "bad.example": [address]}
            told["x.below.example"] = [address]
            server.replies["/there"] = redirect(f"http://bad.example:{server.port}/a")
            server.replies["/below"] = redirect(f"http://x.below.example:{server.port}/a")
            base = f"good.example:{server.port}"
            reason = "no address that this server may connect to"
            try:
                if not private:  # listed by its very name, a private one may be
                    told["bad.example"] = [address]
                    for text in (f"http://bad.example:{server.port}/a", f"http://{base}/there"):
                        assert reason in await refused(client, text), (address, text)
                for text in (f"http://x.below.example:{server.port}/a", f"http://{base}/below"):
                    assert reason in await refused(client, text), (address, text)
                # rebinding: the name is another address by the second connection
                server.replies["/last"] = answer(b"", "200 OK", "Connection: close")
                assert (await ask(client, f"http://{base}/last"))[0] == 200
                if not private:
                    told["good.example"] = [address]
                    assert reason in await refused(client, f"http://{base}/last"), address
            finally:
                await client.close()
        assert set(server.targets) <= {"/there", "/below", "/last"}


async def test_an_address_is_looked_up_once_for_each_connection():
    """What has been checked is connected to, whatever the name is a moment later."""
    async with origin() as server:
        server.files["/a"] = b"data"
        asked = []

        async def lookup(host, port):
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

        client = Client([f"a.example:{server.port}"], 0.5, lookup)
        assert await ask(client, f"http://a.example:{server.port}/a") == (200, b"data")
        assert asked == ["a.example"]
        assert server.requests[0].headers["host"] == f"a.example:{server.port}"
        await client.close()


LITERALS = [
    *("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"),
    *("[2002:7f00:1::]", "169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "[::]", "localhost"),
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1"),
    *("[fe80::1%25eth0]", "[fe80::1%eth0]", "127.0.0.1.", "１２７.0.0.1", "127。0。0。1"),
    *("user@good.example", "good.example@127.0.0.1", "good.example:80@127.0.0.1", "evil.example"),
    *("good.example.evil.example", "evilgood.example", "good.example%2eevil.example"),
    *("good.example\\@127.0.0.1", ":80"),
    *("good.example:81", "good.example:0", "good.example:99999", "[good.example]", "xn--"),
]


async def test_a_host_that_is_not_listed():
    """In a rule, and in a redirect; however it is written."""
    async with origin() as server:

        async def lookup(name, port):
            return ["127.0.0.1"]

        client = Client(["good.example", f"good.example:{server.port}"], 0.5, lookup)
        for host in LITERALS:
            server.replies["/to"] = redirect(f"http://{host}/a")
            with pytest.raises(ValueError, match=r"."):
                client.admit(f"http://{host}/a")
            told = await refused(client, f"http://good.example:{server.port}/to")
            assert "redirects" in told, host
        assert set(server.targets) == {"/to"}
        await client.close()


async def test_a_server_that_is_not_listed_any_more(tmp_path):
    async with mirrored(LocalStore(tmp_path), hosts=["other.example"]) as (served, server):
        said = await served.ask("GET", f"/{BUCKET}/a.png")
        assert (said.status, said.code) == (502, "BadGateway")
        assert server.requests == []


async def test_the_log_says_what_came_of_it(tmp_path):
    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    path = tmp_path / "access.log"
    async with mirrored(store) as (served, _):
        served.services.recorder.log = AccessLog("json", str(path))
        for key in ("a.png", "a.png", "none.png"):
            await served.ask("GET", f"/{BUCKET}/{key}")
        served.services.recorder.log.close()
    lines = map(json.loads, path.read_text().splitlines())
    assert [line["origin"] for line in lines] == ["stored", "", "missing"]


async def test_who_asks_the_mirror_itself_is_told_by_the_same_words(tmp_path):
    async with mirrored(LocalStore(tmp_path), document={"mirror": []}) as (served, _):
        grant = access.Grant(served.services.registry.get(BUCKET), OWNER)
        with pytest.raises(NoSuchKey):
            await served.services.mirror.fetch(grant, Target(BUCKET, "a.png"), "a.png", {})
