"""ListObjectVersions of a bucket that was never versioned, and how the SDKs read it."""

from urllib.parse import quote

import pytest

BUCKET = "photos"
KEYS = ["a b/+.jpg", "a/", "a/1.jpg", "a/2.jpg", "b&<.jpg", "c/d/2.jpg", "西湖/日出.jpg"]
PAGES = {
    # query -> keys, common prefixes, NextKeyMarker, NextVersionIdMarker
    "": (KEYS, [], None, None),
    "prefix=a/": (["a/", "a/1.jpg", "a/2.jpg"], [], None, None),
    "delimiter=/": (["b&<.jpg"], ["a b/", "a/", "c/", "西湖/"], None, None),
    "delimiter=/&prefix=a/": (["a/", "a/1.jpg", "a/2.jpg"], [], None, None),
    "max-keys=2": (KEYS[:2], [], "a/", "null"),
    "max-keys=2&delimiter=/": ([], ["a b/", "a/"], "a/", ""),
    "max-keys=2&key-marker=a/&version-id-marker=null": (KEYS[2:4], [], "a/2.jpg", "null"),
    "max-keys=2&key-marker=a/&version-id-marker=": (KEYS[2:4], [], "a/2.jpg", "null"),
    "key-marker=c/": (KEYS[5:], [], None, None),
    "delimiter=/&key-marker=a/": (["b&<.jpg"], ["c/", "西湖/"], None, None),
}
REFUSES = {
    # query: parameter that the message names
    "max-keys=0": "max-keys",
    "max-keys=1001": "max-keys",
    "encoding-type=base64": "encoding-type",
    "version-id-marker=null": "version-id-marker",
    "key-marker=a&version-id-marker=CAEQ": "version-id-marker",
    "prefix=" + "x" * 1024: "prefix",
    "key-marker=" + "x" * 1024: "key-marker",
}


@pytest.fixture
def held(desk):
    desk.store.hold(BUCKET, *KEYS)
    return desk


@pytest.mark.parametrize("query", PAGES)
async def test_lists(held, query):
    keys, prefixes, key, version = PAGES[query]
    page = await held.ask(f"/{BUCKET}/?versions&{query}")
    assert page.status == 200
    assert page.values("Version/Key") == keys
    assert set(page.values("Version/VersionId")) == ({"null"} if keys else set())
    assert set(page.values("Version/IsLatest")) == ({"true"} if keys else set())
    assert page.values("CommonPrefixes/Prefix") == prefixes
    assert (page.value("NextKeyMarker"), page.value("NextVersionIdMarker")) == (key, version)
    assert page.value("IsTruncated") == ("false" if key is None else "true")


@pytest.mark.parametrize("query", REFUSES, ids=lambda query: query[:50])
async def test_refuses(held, query):
    page = await held.ask(f"/{BUCKET}/?versions&{query}")
    assert (page.status, page.code) == (400, "InvalidArgument")
    assert REFUSES[query] in page.message


async def test_the_document(held):
    page = await held.ask(
        f"/{BUCKET}/?versions&prefix=a/&max-keys=1&delimiter=/&key-marker=a/&encoding-type=url"
    )
    assert page.root.tag == "ListVersionsResult"
    assert page.tags == [
        *("Name", "Prefix", "KeyMarker", "VersionIdMarker", "MaxKeys", "Delimiter", "IsTruncated"),
        *("EncodingType", "NextKeyMarker", "NextVersionIdMarker", "Version"),
    ]
    assert [child.tag for child in page.root.find("Version")] == [
        *("Key", "VersionId", "IsLatest", "LastModified", "ETag", "Type", "Size", "StorageClass"),
        "Owner",
    ]
    assert (page.value("KeyMarker"), page.value("Version/Key")) == ("a%2F", "a%2F1.jpg")


@pytest.mark.parametrize("most", [1, 3, 1000])
@pytest.mark.parametrize("encoding", ["url", ""])
async def test_oss2_and_v2_read_every_version(held, by_oss2, by_v2, most, encoding):
    marker, version, keys = "", "", []
    for _ in range(len(KEYS)):
        query = f"max-keys={most}&encoding-type={encoding}&key-marker={quote(marker, safe='')}"
        answer = await held.ask(f"/{BUCKET}/?versions&{query}&version-id-marker={version}")
        other = by_v2("ListObjectVersionsResult", answer, "ListVersionsResult")
        entries = [(item.key, item.version_id, item.is_latest) for item in other.version]
        if encoding:  # without, it decodes all the same
            page = by_oss2("parse_list_object_versions", "ListObjectVersionsResult", answer)
            assert entries == [(item.key, item.versionid, item.is_latest) for item in page.versions]
            assert page.is_truncated == other.is_truncated
        keys += [key for key, _, _ in entries]
        assert {entry[1:] for entry in entries} == {("null", True)}
        if not other.is_truncated:
            break
        marker, version = other.next_key_marker, other.next_version_id_marker
    assert keys == KEYS
