"""What a bucket is never set up for: as the SDKs read it, and nothing of it can be set."""

import pytest

from vipsgate import api
from vipsgate.api import unset
from vipsgate.catalog import uploads
from vipsgate.store.base import PLAIN


@pytest.fixture
def photos(desk):
    desk.store.hold("photos", "a.jpg", "dir/b.jpg")
    return desk


@pytest.mark.parametrize("name", unset.MISSING)
async def test_what_is_missing_has_an_error_of_its_own(photos, name):
    error, message = unset.MISSING[name]
    said = await photos.ask(f"/photos/?{name}")
    assert (said.status, said.code, said.message) == (404, error.code, message)
    assert said.value("BucketName") == "photos"


async def test_the_errors_are_those_that_oss2_knows(oss2):
    known = {
        (getattr(error, "status", 0), getattr(error, "code", ""))
        for error in vars(oss2.exceptions).values()
    }
    for error, _ in unset.MISSING.values():
        assert (error.status, error.code) in known


async def test_what_is_off(photos, by_oss2, by_v2):
    said = await photos.ask("/photos/?versioning")
    found = by_oss2("parse_get_bucket_versioning", "GetBucketVersioningResult", said)
    assert found.status is None
    assert not by_v2("GetBucketVersioningResult", said, "VersioningConfiguration").status
    said = await photos.ask("/photos/?logging")
    found = by_oss2("parse_get_bucket_logging", "GetBucketLoggingResult", said)
    assert (found.target_bucket, found.target_prefix) == ("", "")
    said = await photos.ask("/photos/?tagging")
    found = by_oss2("parse_get_tagging", "GetTaggingResult", said)
    assert found.tag_set.len() == 0
    said = await photos.ask("/photos/?live&prefix=a&max-keys=7")
    found = by_oss2("parse_list_live_channel", "ListLiveChannelResult", said)
    assert (found.prefix, found.max_keys, found.is_truncated, found.channels) == ("a", 7, False, [])


async def test_how_much_is_in_a_bucket(photos, by_oss2, by_v2):
    """The sum of all pages; an object of the fake is as long as its key."""
    photos.store.hold("photos", *(f"many/{number:04d}" for number in range(1200)))
    await uploads.begin(photos.store, "photos", "new", PLAIN, 5.0)
    said = await photos.ask("/photos/?stat")
    size = len("a.jpg") + len("dir/b.jpg") + 1200 * len("many/0000")
    found = by_oss2("parse_get_bucket_stat", "GetBucketStatResult", said)
    assert (found.storage_size_in_bytes, found.object_count) == (size, 1202)
    assert (found.multi_part_upload_count, found.archive_object_count) == (1, 0)
    other = by_v2("GetBucketStatResult", said, "BucketStat")
    assert (other.storage, other.standard_storage) == (size, size)
    assert (other.standard_object_count, other.deep_cold_archive_storage) == (1202, 0)
    assert (other.last_modified_time, other.delete_marker_count) == (int(photos.now), 0)


@pytest.mark.parametrize("name", sorted(name for _, name in api.NEVER_SET))
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "HEAD"])
async def test_nothing_of_it_can_be_set(photos, method, name):
    said = await photos.ask(f"/photos/?{name}", method=method)
    assert said.status == 501
