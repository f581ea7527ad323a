"""Buckets: made, listed, told of, removed; and how their settings are changed."""

import asyncio
import base64
import hashlib
from datetime import UTC, datetime

import orjson
import pytest

from vipsgate.buckets import INTERNAL, Bucket, Style
from vipsgate.catalog import documents, uploads
from vipsgate.image.config import Limits
from vipsgate.settings import Settings
from vipsgate.store.base import PLAIN

NOW = 1_767_225_600.75
ASKED = "<CreateBucketConfiguration>{}</CreateBucketConfiguration>"
CREATE = ASKED.format(
    "<StorageClass>Standard</StorageClass><DataRedundancyType>LRS</DataRedundancyType>"
)
REFERERS = (
    "<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><RefererList/>"
    "</RefererConfiguration>"
)
STYLE = "<Style><Content>image/resize,w_100</Content></Style>"
PROCESS = "<BucketProcessConfiguration/>"

# every change of a bucket's settings: method, sub-resource, headers, body
CHANGES = {
    "DeleteBucket": ("DELETE", "", {}, ""),
    "PutBucketAcl": ("PUT", "acl", {"x-oss-acl": "private"}, ""),
    "PutBucketReferer": ("PUT", "referer", {}, REFERERS),
    "PutStyle": ("PUT", "style&styleName=a", {}, STYLE),
    "DeleteStyle": ("DELETE", "style&styleName=a", {}, ""),
    "PutBucketProcess": ("PUT", "processConfiguration", {}, PROCESS),
}
DOCUMENTS = {name: row for name, row in CHANGES.items() if row[3]}


def document(desk, name):
    """What the store has of a bucket."""
    data = desk.store.rooms[INTERNAL].get(f"buckets/{name}.json")
    return documents.read(data[0], Limits()) if data else None


async def ask(desk, bucket, change, **more):
    method, query, headers, body = CHANGES[change]
    line = f"/{bucket}/?{query}"
    return await desk.ask(line, method=method, headers=headers, body=body.encode(), **more)


# -- made and removed ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["", CREATE])
@pytest.mark.parametrize("acl", ["", "private", "public-read", "public-read-write"])
async def test_makes_a_bucket(desk, acl, body):
    headers = {"x-oss-acl": acl} if acl else {}
    said = await desk.put("/photos/", body, headers=headers)
    assert (said.status, said.body, said.headers["Location"]) == (200, b"", "/photos")
    assert document(desk, "photos") == Bucket(acl=acl or "private", created=NOW)
    assert desk.store.has("photos")
    said = await desk.ask("/photos/?acl")
    assert said.value("AccessControlList/Grant") == (acl or "private")


@pytest.mark.parametrize(
    ("element", "name"),
    [
        ("<StorageClass>IA</StorageClass>", "StorageClass"),
        ("<DataRedundancyType>ZRS</DataRedundancyType>", "DataRedundancyType"),
        ("<ColdStorage>true</ColdStorage>", "ColdStorage"),
    ],
)
async def test_makes_no_other_bucket_than_it_is_asked_for(desk, element, name):
    """Or Terraform would find another one than it has made, and make it anew, each time."""
    refusal = await desk.put("/photos/", ASKED.format(element))
    assert (refusal.status, refusal.code) == (501, "NotImplemented")
    assert name in refusal.message
    assert not desk.store.has("photos")


async def test_making_it_again_changes_its_acl_at_most(desk):
    await desk.put("/photos/", headers={"x-oss-acl": "public-read"})
    await ask(desk, "photos", "PutStyle")
    desk.now += 10
    made = document(desk, "photos")
    assert (await desk.put("/photos/")).status == 200
    assert document(desk, "photos") == made
    assert (await desk.put("/photos/", headers={"x-oss-acl": "private"})).status == 200
    assert document(desk, "photos") == made.model_copy(update={"acl": "private"})


async def test_a_folder_that_is_there_stays_as_open_as_it_is(desk):
    desk.store.hold("photos", "a.jpg")
    assert (await desk.put("/photos/")).status == 200
    assert document(desk, "photos") is None
    assert (await desk.ask("/photos/?acl")).value("AccessControlList/Grant") == "public-read"


async def test_two_who_make_it_at_once_make_one(desk):
    headers = {"x-oss-acl": "public-read"}
    done = await asyncio.gather(*(desk.put("/photos/", headers=headers) for _ in range(5)))
    assert {said.status for said in done} == {200}
    assert document(desk, "photos") == Bucket(acl="public-read", created=NOW)


@pytest.mark.parametrize(
    ("line", "headers", "body", "status", "code"),
    [
        ("/photos/", {"x-oss-acl": "open"}, "", 400, "InvalidArgument"),
        ("/photos/", {"x-oss-acl": "default"}, "", 400, "InvalidArgument"),
        ("/photos/", {}, "<CreateBucketConfiguration>", 400, "MalformedXML"),
        ("/photos/", {}, "StorageClass=IA", 400, "MalformedXML"),
        ("/photos/", {}, STYLE, 400, "MalformedXML"),
        ("/photos/", {"Content-MD5": "x"}, CREATE, 400, "InvalidDigest"),
        ("/Photos/", {}, "", 400, "InvalidBucketName"),
        ("/ab/", {}, "", 400, "InvalidBucketName"),
        ("/.vipsgate/", {}, "", 400, "InvalidBucketName"),
        ("/declared/", {}, "", 409, "BucketAlreadyExists"),
        ("/declared/", {"x-oss-acl": "private"}, "", 409, "BucketAlreadyExists"),
    ],
)
async def test_refuses_to_make(desk, line, headers, body, status, code):
    said = await desk.put(line, body, headers=headers)
    assert (said.status, said.code) == (status, code)
    assert set(desk.store.rooms) == {INTERNAL}
    assert not desk.store.rooms[INTERNAL]


async def test_removes_an_empty_bucket(desk):
    await desk.put("/photos/", headers={"x-oss-acl": "public-read"})
    said = await desk.delete("/photos/")
    assert (said.status, said.body) == (204, b"")
    assert (document(desk, "photos"), desk.store.has("photos")) == (None, False)
    assert (await desk.ask("/photos/?acl")).code == "NoSuchBucket"
    assert (await desk.delete("/photos/")).code == "NoSuchBucket"


async def test_removes_a_bucket_that_is_a_document_only(desk):
    await desk.put("/photos/")
    del desk.store.rooms["photos"]
    assert (await desk.delete("/photos/")).status == 204
    assert (await desk.delete("/photos/")).code == "NoSuchBucket"


async def test_keeps_a_bucket_that_has_something(desk):
    await desk.put("/photos/")
    desk.store.hold("photos", "a.jpg")
    said = await desk.delete("/photos/")
    assert (said.status, said.code) == (409, "BucketNotEmpty")
    assert document(desk, "photos") is not None


async def test_keeps_a_bucket_to_which_an_upload_is_under_way(desk):
    await desk.put("/photos/")
    begun = await uploads.begin(desk.store, "photos", "a.jpg", PLAIN, NOW)
    said = await desk.delete("/photos/")
    assert (said.status, said.code) == (409, "BucketNotEmpty")
    assert begun.identity in said.message
    await uploads.abort(desk.store, begun)
    assert (await desk.delete("/photos/")).status == 204


async def test_a_removed_bucket_gives_its_domains_back(desk):
    await desk.put("/photos/")
    await desk.services.registry.documents.change(
        "photos", lambda _: Bucket(domains=("cats.example.com",))
    )
    desk.services.registry.refresh()
    assert "cats.example.com" in desk.services.registry.domains
    await desk.delete("/photos/")
    assert set(desk.services.registry.domains) == {"img.example.com"}


# -- told of ---------------------------------------------------------------------------------------


@pytest.fixture
def shelf(desk):
    """Four buckets: two folders, a document without a folder, and the declared one."""
    desk.store.hold("cats")
    desk.store.hold("dogs")
    desk.store.made = {"cats": NOW - 86400, "dogs": NOW}
    desk.services.registry.documents.known = {
        "birds": Bucket(created=NOW - 3600),
        "dogs": Bucket(acl="public-read"),
    }
    return desk


# query -> names, where the next page begins
LISTS = {
    "": (["birds", "cats", "declared", "dogs"], ""),
    "prefix=d": (["declared", "dogs"], ""),
    "marker=cats": (["declared", "dogs"], ""),
    "marker=caz": (["declared", "dogs"], ""),
    "max-keys=3": (["birds", "cats", "declared"], "declared"),
    "max-keys=4": (["birds", "cats", "declared", "dogs"], ""),
    "prefix=d&max-keys=1&marker=declared": (["dogs"], ""),
    "prefix=.vipsgate": ([], ""),
    "prefix=%01": ([], ""),
}


@pytest.mark.parametrize("query", LISTS)
async def test_lists_buckets(shelf, by_oss2, by_v2, query):
    names, marker = LISTS[query]
    said = await shelf.ask(f"/?{query}")
    page = by_oss2("parse_list_buckets", "ListBucketsResult", said)
    assert [bucket.name for bucket in page.buckets] == names
    assert (page.is_truncated, page.next_marker or "") == (bool(marker), marker)
    other = by_v2("ListBucketsResult", said)
    assert [bucket.name for bucket in other.buckets or []] == names
    assert (other.is_truncated, other.next_marker or "") == (bool(marker), marker)
    assert other.owner.id == page.owner.id == "vipsgate"


async def test_what_the_list_says_of_a_bucket(shelf, by_oss2, by_v2):
    said = await shelf.ask("/", headers={"Host": "oss.example.net:8080"})
    birds, cats, declared, dogs = by_oss2("parse_list_buckets", "ListBucketsResult", said).buckets
    dates = [bucket.creation_date for bucket in (birds, cats, declared, dogs)]
    assert dates == [int(NOW) - 3600, int(NOW) - 86400, 1, int(NOW)]
    assert (cats.location, cats.storage_class) == ("oss-cn-hangzhou", "Standard")
    assert cats.extranet_endpoint == cats.intranet_endpoint == "oss.example.net:8080"
    assert by_v2("ListBucketsResult", said).buckets[1].region == "cn-hangzhou"


@pytest.mark.parametrize("query", ["max-keys=0", "max-keys=1001", "max-keys=x"])
async def test_refuses_to_list_buckets(desk, query):
    assert (await desk.ask(f"/?{query}")).code == "InvalidArgument"


async def test_what_is_said_of_one_bucket(shelf, by_oss2, by_v2):
    said = await shelf.ask("/dogs/?bucketInfo")
    found = by_oss2("parse_get_bucket_info", "GetBucketInfoResult", said)
    assert (found.name, found.acl.grant, found.owner.id) == ("dogs", "public-read", "vipsgate")
    assert found.creation_date == "2026-01-01T00:00:00.000Z"
    assert found.location == "oss-cn-hangzhou"
    other = by_v2("GetBucketInfoResult", said).bucket_info
    assert (other.name, other.acl, other.storage_class) == ("dogs", "public-read", "Standard")
    assert other.creation_date == datetime(2026, 1, 1, tzinfo=UTC)
    # the SDK for Java fails without them
    assert (found.data_redundancy_type, found.comment) == ("LRS", "")
    assert (other.access_monitor, other.data_redundancy_type) == ("Disabled", "LRS")
    assert (other.cross_region_replication, other.transfer_acceleration) == ("Disabled",) * 2
    assert (other.versioning, other.comment) == (None, None)


@pytest.mark.parametrize(
    "host", ["oss.test:8080", "cats.oss.test:8080", "oss.test", "cats.oss.test"]
)
async def test_an_endpoint_has_the_port_that_the_client_came_by(desk, host):
    desk.settings = Settings(buckets={"cats": Bucket()}, server={"endpoint": "oss.test"})
    said = await desk.ask("/cats/?bucketInfo", headers={"Host": host}, services=desk.another())
    port = host.partition(":")[2]
    assert said.value("Bucket/ExtranetEndpoint") == (f"oss.test:{port}" if port else "oss.test")


async def test_an_endpoint_has_no_bucket_in_front(shelf):
    host = "cats.oss-cn-hangzhou.aliyuncs.com"
    said = await shelf.ask("/?bucketInfo", headers={"Host": host})
    assert said.value("Bucket/ExtranetEndpoint") == "oss-cn-hangzhou.aliyuncs.com"


async def test_where_a_bucket_is(shelf, by_oss2, by_v2):
    said = await shelf.ask("/cats/?location")
    found = by_oss2("parse_get_bucket_location", "GetBucketLocationResult", said)
    assert found.location == "oss-cn-hangzhou"
    assert by_v2("GetBucketLocationResult", said).location == "oss-cn-hangzhou"


# -- the ACL ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("acl", ["private", "public-read", "public-read-write"])
async def test_an_acl_that_is_put_is_got(desk, by_oss2, by_v2, acl):
    await desk.put("/photos/")
    said = await desk.put("/photos/?acl", headers={"x-oss-acl": acl})
    assert (said.status, said.body) == (200, b"")
    said = await desk.ask("/photos/?acl")
    assert by_oss2("parse_get_bucket_acl", "GetBucketAclResult", said).acl == acl
    other = by_v2("GetBucketAclResult", said)
    assert (other.acl, other.owner.id) == (acl, "vipsgate")


@pytest.mark.parametrize("acl", [None, "", "default", "Private", "public"])
async def test_refuses_an_acl(desk, acl):
    await desk.put("/photos/", headers={"x-oss-acl": "public-read"})
    headers = {} if acl is None else {"x-oss-acl": acl}
    said = await desk.put("/photos/?acl", headers=headers)
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert "x-oss-acl" in said.message
    assert document(desk, "photos").acl == "public-read"


# -- changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
async def test_a_declared_bucket_is_not_changed(desk, change):
    desk.store.hold("declared")
    said = await ask(desk, "declared", change)
    assert (said.status, said.code) == (403, "AccessDenied")
    assert "declared in the configuration file" in said.message
    assert set(desk.store.rooms) == {INTERNAL, "declared"}
    assert not desk.store.rooms[INTERNAL]


@pytest.mark.parametrize("change", DOCUMENTS)
async def test_the_first_change_keeps_what_was_in_force(desk, change):
    desk.store.hold("photos", "a.jpg")
    assert (await ask(desk, "photos", change)).status == 200
    assert document(desk, "photos").acl == "public-read"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_bucket_that_is_gone_by_now_is_not_made_by_a_change(desk, change):
    desk.store.hold("photos")

    async def removed():
        desk.store.rooms.pop("photos", None)

    desk.meanwhile = removed
    said = await ask(desk, "photos", change)
    assert said.status == 204 if change == "DeleteBucket" else said.code == "NoSuchBucket"
    assert not desk.store.rooms[INTERNAL]


async def test_no_change_is_lost(desk):
    """Of many calls at once, to two instances on one store."""
    await desk.put("/photos/")
    other = desk.another()
    await other.registry.documents.look()
    lines = [f"/photos/?style&styleName=s{number}" for number in range(20)]
    both = [desk.services, other] * 10
    done = await asyncio.gather(
        *(
            desk.put(line, STYLE, services=services)
            for line, services in zip(lines, both, strict=True)
        )
    )
    assert {said.status for said in done} == {200}
    assert len(document(desk, "photos").styles) == 20


async def test_a_change_leaves_all_else(desk):
    await desk.put("/photos/")
    before = Bucket(
        acl="public-read",
        domains=("cats.example.com",),
        separators=("!", "@!"),
        cache_control="max-age=9",
        styles={"b": Style(content="image/crop", created=5)},
        created=7,
    )
    await desk.services.registry.documents.change("photos", lambda _: before)
    await ask(desk, "photos", "PutBucketAcl")
    await ask(desk, "photos", "PutStyle")
    await ask(desk, "photos", "DeleteStyle")
    await ask(desk, "photos", "PutBucketReferer")
    assert document(desk, "photos") == before.model_copy(update={"acl": "private"})


@pytest.mark.parametrize("created", [-1, 253_402_300_800, 1e300])
async def test_a_document_by_hand_with_a_time_that_is_no_date_is_broken(desk, created):
    desk.store.hold("photos")
    async with desk.store.draft(INTERNAL) as draft:
        await draft.write(orjson.dumps({"created": created}))
        await draft.keep("buckets/photos.json", PLAIN)
    await desk.services.registry.documents.look()
    assert "created" in desk.services.registry.documents.faults["photos"]
    assert (await desk.ask("/photos/?bucketInfo")).status == 200


async def test_a_broken_document_is_not_written_over(desk):
    desk.store.hold("photos")
    async with desk.store.draft(INTERNAL) as draft:
        await draft.write(b'{"acl": "opne"}')
        await draft.keep("buckets/photos.json", PLAIN)
    said = await ask(desk, "photos", "PutBucketAcl")
    assert (said.status, said.code) == (503, "ServiceUnavailable")
    assert desk.store.rooms[INTERNAL]["buckets/photos.json"][0] == b'{"acl": "opne"}'


async def test_a_document_that_could_not_be_read_again_is_not_written(desk):
    await desk.put("/photos/")
    entry = "\\" * 600_000  # twice as long in JSON
    body = REFERERS.replace(
        "<RefererList/>", f"<RefererList><Referer>{entry}</Referer></RefererList>"
    )
    said = await desk.put("/photos/?referer", body)
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert "they may have 1048576" in said.message
    assert document(desk, "photos").referer.whitelist == ()


@pytest.mark.parametrize("change", DOCUMENTS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedXML"),
        (b"\xff", "MalformedXML"),
        (b"<a>", "MalformedXML"),
        (b"<a/>", "MalformedXML"),
        (b"{}", "MalformedXML"),
        (b'<!DOCTYPE a [<!ENTITY e "e">]><a>&e;</a>', "MalformedXML"),
        (b'<?xml version="1.0" encoding="none"?><a/>', "MalformedXML"),
        (b"<a>" + b" " * (1 << 20) + b"</a>", "EntityTooLarge"),
    ],
    ids=["none", "not-text", "cut", "another", "json", "entities", "encoding", "large"],
)
async def test_refuses_a_body(desk, change, body, code):
    await desk.put("/photos/")
    said = await desk.put(f"/photos/?{DOCUMENTS[change][1]}", body)
    assert (said.status, said.code) == (400, code)


@pytest.mark.parametrize("change", DOCUMENTS)
async def test_a_body_is_what_its_digest_says(desk, change):
    await desk.put("/photos/")
    _, query, _, body = DOCUMENTS[change]
    right = base64.b64encode(hashlib.md5(body.encode()).digest()).decode()
    for digest, status in ((right, 200), (right.replace(right[0], "/"), 400), ("x", 400)):
        said = await desk.put(f"/photos/?{query}", body, headers={"Content-MD5": digest})
        assert said.status == status
        assert status == 200 or said.code == "InvalidDigest"


@pytest.mark.parametrize("change", DOCUMENTS)
async def test_a_namespace_and_unknown_elements_do_not_matter(desk, change):
    await desk.put("/photos/")
    _, query, _, body = DOCUMENTS[change]
    root = body.strip("</>").partition(">")[0].rstrip("/")
    filled = body.replace("/>", f"></{root}>") if body == PROCESS else body
    body = filled.replace(f"<{root}>", f'<{root} xmlns="http://x/y"><Later>1</Later>', 1)
    assert (await desk.put(f"/photos/?{query}", body)).status == 200
