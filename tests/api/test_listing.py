"""ListObjects, ListObjectsV2: what is listed, how the SDKs read it, and what is refused."""

from datetime import UTC, datetime
from hashlib import md5
from urllib.parse import quote

import pytest

from vipsgate.store.local.store import LocalStore

BUCKET = "photos"
KEYS = [
    " leading",
    "+plus",
    "a",
    "a b/c d.jpg",
    "a/1.jpg",
    "a/2.jpg",
    "a/b/3.jpg",
    "a<&>'\"/x",
    "b%20c",
    "trailing ",
    "line\nbreak",
    "return\rcarriage",
    "tab\t",
    "z" * 1023,
    "西湖/日出.jpg",
    "😀",
]
IN_ORDER = sorted(KEYS, key=str.encode)
FEW = ["a/1.jpg", "a/2.jpg", "b.jpg", "c/1.jpg", "c/d/2.jpg", "e"]

# query -> keys, common prefixes, where the next page begins
PAGES = {
    "": (FEW, [], ""),
    "prefix=a/": (["a/1.jpg", "a/2.jpg"], [], ""),
    "prefix=x": ([], [], ""),
    "delimiter=/": (["b.jpg", "e"], ["a/", "c/"], ""),
    "delimiter=/&prefix=c/": (["c/1.jpg"], ["c/d/"], ""),
    "delimiter=jpg": (["e"], ["a/1.jpg", "a/2.jpg", "b.jpg", "c/1.jpg", "c/d/2.jpg"], ""),
    "marker=b.jpg": (["c/1.jpg", "c/d/2.jpg", "e"], [], ""),
    "marker=b": (["b.jpg", "c/1.jpg", "c/d/2.jpg", "e"], [], ""),
    "max-keys=2": (["a/1.jpg", "a/2.jpg"], [], "a/2.jpg"),
    "max-keys=6": (FEW, [], ""),
    "max-keys=1&delimiter=/": ([], ["a/"], "a/"),
    "max-keys=2&delimiter=/&marker=a/": (["b.jpg"], ["c/"], "c/"),
    "max-keys=2&delimiter=/&marker=c/": (["e"], [], ""),
    "max-keys=": (FEW, [], ""),
    "encoding-type=": (FEW, [], ""),
}
REFUSES = {
    # query: parameter that the message names
    "max-keys=0": "max-keys",
    "max-keys=1001": "max-keys",
    "max-keys=-1": "max-keys",
    "max-keys=ten": "max-keys",
    "max-keys=1.5": "max-keys",
    "max-keys=%C2%B2": "max-keys",
    "max-keys=99999999999999999999": "max-keys",
    "encoding-type=URL": "encoding-type",
    "encoding-type=base64": "encoding-type",
    "list-type=": "list-type",
    "list-type=1": "list-type",
    "list-type=3": "list-type",
    "list-type=2&fetch-owner=maybe": "fetch-owner",
    "list-type=2&continuation-token=!": "continuation-token",
    "list-type=2&continuation-token=YQ==": "continuation-token",  # as no answer writes it
    "list-type=2&continuation-token=_w": "continuation-token",  # not UTF-8
    "list-type=2&continuation-token=%E8%A5%BF": "continuation-token",
    "prefix=" + "x" * 1024: "prefix",
    "marker=" + "x" * 1024: "marker",
    "delimiter=" + "x" * 1024: "delimiter",
    "list-type=2&start-after=" + "x" * 1024: "start-after",
}


@pytest.fixture
def few(desk):
    desk.store.hold(BUCKET, *FEW)
    return desk


@pytest.fixture
def many(desk):
    desk.store.hold(BUCKET, *KEYS)
    return desk


@pytest.mark.parametrize("query", PAGES)
async def test_lists(few, query):
    keys, prefixes, after = PAGES[query]
    said = await few.ask(f"/{BUCKET}/?{query}")
    assert said.status == 200
    assert said.values("Contents/Key") == keys
    assert said.values("CommonPrefixes/Prefix") == prefixes
    assert (said.value("NextMarker") or "") == after
    assert said.value("IsTruncated") == ("true" if after else "false")


@pytest.mark.parametrize("query", REFUSES, ids=lambda query: query[:50])
async def test_refuses(few, query):
    said = await few.ask(f"/{BUCKET}/?{query}")
    assert (said.status, said.code) == (400, "InvalidArgument")
    assert REFUSES[query] in said.message


async def test_the_document(few):
    said = await few.ask(f"/{BUCKET}/?prefix=a/&max-keys=1&delimiter=/&marker=a&encoding-type=url")
    assert said.tags == [
        *("Name", "Prefix", "Marker", "MaxKeys", "Delimiter", "IsTruncated", "EncodingType"),
        *("NextMarker", "Contents"),
    ]
    assert [child.tag for child in said.root.find("Contents")] == [
        *("Key", "LastModified", "ETag", "Type", "Size", "StorageClass", "Owner"),
    ]
    assert (said.value("Prefix"), said.value("Contents/Key")) == ("a%2F", "a%2F1.jpg")
    assert said.value("Contents/ETag") == f'"{md5(b"a/1.jpg").hexdigest().upper()}"'
    assert said.value("Contents/LastModified") == "2026-01-01T00:00:00.000Z"


async def test_the_document_of_version_2(few):
    first = await few.ask(f"/{BUCKET}/?list-type=2&max-keys=2&delimiter=/")
    assert first.tags == [
        *("Name", "Prefix", "StartAfter", "MaxKeys", "Delimiter", "IsTruncated", "KeyCount"),
        *("NextContinuationToken", "Contents", "CommonPrefixes"),
    ]
    assert first.value("KeyCount") == "2"
    assert first.root.find("Contents/Owner") is None
    token = first.value("NextContinuationToken")
    second = await few.ask(
        f"/{BUCKET}/?list-type=2&delimiter=/&fetch-owner=true&start-after=z&continuation-token={token}"
    )
    assert second.value("ContinuationToken") == token
    assert second.values("CommonPrefixes/Prefix") + second.values("Contents/Key") == ["c/", "e"]
    assert second.value("Contents/Owner/ID") == "vipsgate"


async def test_start_after_is_where_version_2_begins(few):
    said = await few.ask(f"/{BUCKET}/?list-type=2&start-after=c/1.jpg")
    assert (said.value("StartAfter"), said.values("Contents/Key")) == ("c/1.jpg", FEW[-2:])


async def test_the_kind_of_an_object_is_told(desk):
    desk.store.hold(BUCKET, "a", kind="Multipart")
    assert (await desk.ask(f"/{BUCKET}/")).value("Contents/Type") == "Multipart"


async def test_a_bucket_of_which_there_is_only_a_document_is_empty(desk):
    said = await desk.ask("/declared/")
    assert (said.status, said.values("Contents"), said.value("IsTruncated")) == (200, [], "false")


@pytest.mark.parametrize("most", [1, 3, 1000])
@pytest.mark.parametrize("encoding", ["url", ""])
async def test_oss2_and_v2_read_every_key(many, by_oss2, by_v2, most, encoding):
    marker, seen = "", []
    for _ in range(len(KEYS)):
        query = f"max-keys={most}&encoding-type={encoding}&marker={quote(marker, safe='')}"
        said = await many.ask(f"/{BUCKET}/?{query}")
        page = by_oss2("parse_list_objects", "ListObjectsResult", said)
        other = by_v2("ListObjectsResult", said, "ListBucketResult")
        assert [item.key for item in page.object_list] == [item.key for item in other.contents]
        assert other.is_truncated is page.is_truncated
        assert (other.marker or "", other.max_keys, other.name) == (marker, most, BUCKET)
        seen += [item.key for item in page.object_list]
        if not page.is_truncated:
            break
        assert other.next_marker == page.next_marker
        marker = page.next_marker
    assert seen == IN_ORDER


@pytest.mark.parametrize("most", [1, 4, 1000])
@pytest.mark.parametrize("encoding", ["url", ""])
async def test_oss2_and_v2_read_every_key_of_version_2(many, by_oss2, by_v2, most, encoding):
    token, seen = "", []
    for _ in range(len(KEYS)):
        query = f"list-type=2&max-keys={most}&encoding-type={encoding}&continuation-token={token}"
        said = await many.ask(f"/{BUCKET}/?{query}")
        page = by_oss2("parse_list_objects_v2", "ListObjectsV2Result", said)
        other = by_v2("ListObjectsV2Result", said, "ListBucketResult")
        assert [item.key for item in page.object_list] == [item.key for item in other.contents]
        assert other.key_count == len(other.contents)
        assert (other.continuation_token or "") == token
        seen += [item.key for item in page.object_list]
        if not page.is_truncated:
            break
        assert other.next_continuation_token == page.next_continuation_token
        token = page.next_continuation_token
    assert seen == IN_ORDER


async def test_what_the_sdks_read_of_an_object(few, by_oss2, by_v2):
    said = await few.ask(f"/{BUCKET}/?prefix=b.jpg")
    (item,) = by_oss2("parse_list_objects", "ListObjectsResult", said).object_list
    assert (item.size, item.type, item.storage_class) == (5, "Normal", "Standard")
    assert (item.last_modified, item.owner.id) == (1_767_225_600, "vipsgate")
    (other,) = by_v2("ListObjectsResult", said, "ListBucketResult").contents
    assert other.etag.strip('"') == item.etag
    assert other.last_modified == datetime(2026, 1, 1, tzinfo=UTC)
    assert (other.size, other.object_type, other.owner.display_name) == (5, "Normal", "vipsgate")


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize(
    "prefix", ["../", "../photos/", "./", "/", "a/../", "a//", "..", "%00", "a/%00/", ".vipsgate/"]
)
async def test_no_key_begins_with_what_leads_elsewhere(desk, tmp_path, prefix, delimiter):
    """On a disk, where it might; a folder beside the bucket must not even be read."""
    for name in ("photos/a/1", "photos/z", "photos/.vipsgate/x", "secret-bucket/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    desk.store = LocalStore(tmp_path)
    desk.services = desk.another()
    said = await desk.ask(f"/{BUCKET}/?prefix={prefix}&delimiter={delimiter}")
    assert said.status == 200
    assert said.values("Contents/Key") + said.values("CommonPrefixes/Prefix") == []


async def test_signs_that_xml_cannot_have(desk):
    desk.store.hold(BUCKET, "a\x01\uffff", "\x0bfolder/b")
    plain = await desk.ask(f"/{BUCKET}/?delimiter=/")
    assert plain.values("Contents/Key") == ["a\ufffd\ufffd"]
    assert plain.values("CommonPrefixes/Prefix") == ["\ufffdfolder/"]
    url = await desk.ask(f"/{BUCKET}/?delimiter=/&encoding-type=url")
    assert url.values("Contents/Key") == ["a%01%EF%BF%BF"]
    assert url.values("CommonPrefixes/Prefix") == ["%0Bfolder%2F"]
    assert (await desk.ask(f"/{BUCKET}/?prefix=%01&marker=%02")).value("Prefix") == "\ufffd"
