"""Every operation that the SDKs for Python have: a row of ours, or 501, and never another call.

A bucket with objects, a style, settings and an upload is there to be spoilt. Operations are found
by introspection, so those of later versions of the SDKs are tried as well.
"""

import inspect
import os
import types
import typing
import warnings

import pytest

from vipsgate import api

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDKs' own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install -e '.[test]'")
    v2 = pytest.importorskip(
        "alibabacloud_oss_v2", reason="needs alibabacloud-oss-v2: pip install -e '.[test]'"
    )

KEY, OTHER = "a.jpg", "dir/b.txt"
STYLE = "image/resize,w_50"
ROWS = {
    name.lower()
    for table in (api.SERVICE, api.BUCKET, api.OBJECT)
    for first in table.values()
    for row in (first, first.copying)
    if row
    for name in row.name.split(", ")
} | {"optionobject"}  # which has no row, as nobody needs a right for it


@pytest.fixture(scope="module")
def site(emulated):
    return emulated


def of_oss2(site, name):
    return oss2.Bucket(
        oss2.Auth("ownerKey", "ownerSecret"),
        *(f"http://{site.host}:{site.port}", name),
        is_path_style=True,
        connect_timeout=20,
    )


@pytest.fixture(scope="module")
def client(site):
    config = v2.config.load_default()
    config.credentials_provider = v2.credentials.StaticCredentialsProvider(
        "ownerKey", "ownerSecret"
    )
    config.region, config.endpoint = "cn-hangzhou", f"http://{site.host}:{site.port}"
    config.retry_max_attempts = 1
    return v2.Client(config)


@pytest.fixture(scope="module")
def furnished(site):
    """``furnished(name)``: a bucket with all that a wrong call could take away; an upload's id."""

    def make(name):
        bucket = of_oss2(site, name)
        bucket.create_bucket("private")
        for key in (KEY, OTHER):
            bucket.put_object(key, key.encode(), headers={"x-oss-object-acl": "private"})
        bucket.put_bucket_style("small", STYLE)
        bucket.put_bucket_referer(oss2.models.BucketReferer(True, ["http://www.example.com"]))
        return bucket.init_multipart_upload(OTHER).upload_id

    return make


@pytest.fixture(scope="module")
def bucket(furnished, site):
    """The bucket that no call of a later version may touch, and how it looks."""
    furnished("all-calls")
    return of_oss2(site, "all-calls"), looks(site, "all-calls")


def looks(site, name):
    """Every file of a bucket, of its uploads and its settings, with what is said of it."""
    ours = site.root / ".vipsgate"
    places = (site.root / name, ours / "uploads" / name, ours / "buckets" / f"{name}.json")
    files = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    assert len(files) >= 4
    return {
        str(path): (path.read_bytes(), [os.getxattr(path, word) for word in os.listxattr(path)])
        for path in files
    }


# -- alibabacloud-oss-v2 ---------------------------------------------------------------------------


def operations():
    """Name -> the kind of request that it takes."""
    found = {}
    for name, method in inspect.getmembers(v2.Client, inspect.isfunction):
        words = list(inspect.signature(method).parameters.values())
        if not name.startswith("_") and len(words) > 1 and words[1].name == "request":
            found[name] = typing.get_type_hints(method)["request"]
    return found


V2 = operations()
SPELT = {"process_object": "postprocess"}
OURS_V2 = {name for name in V2 if SPELT.get(name, name.replace("_", "")) in ROWS}
LOCAL = {"get_object_to_file", "presign", "put_object_from_file"}  # no call, or another one
NAMES = {
    "category": "image",
    "delete": None,
    "objects": [v2.DeleteObject(key=KEY)],
    "part_number": 1,
    "style_name": "small",
}


def request_of(kind, bucket, upload):
    """A request with no more than it needs, and an empty document where it takes one."""
    request = kind()
    hints = typing.get_type_hints(kind.__init__)
    for attribute, about in kind._attribute_map.items():
        if about.get("tag") != "input":
            continue
        place, known = about["position"], {**NAMES, "upload_id": upload}
        if attribute in known:
            setattr(request, attribute, known[attribute])
        elif place == "host":
            setattr(request, attribute, bucket)
        elif place == "path":
            setattr(request, attribute, KEY)
        elif place == "body" or about.get("required"):
            setattr(request, attribute, sample(hints[attribute], place))
    return request


def sample(hint, place):
    kinds = [one for one in typing.get_args(hint) or (hint,) if one is not type(None)]
    kind = kinds[0]
    if place == "body" and isinstance(kind, type) and issubclass(kind, v2.serde.Model):
        return kind()
    return {int: 1, bool: False}.get(kind, b"<x/>" if place == "body" else "a")


def outcome_v2(call, *words):
    """The status of the answer; 200 for all that the SDK takes for success."""
    try:
        call(*words)
    except v2.exceptions.OperationError as error:
        cause = error.unwrap()
        assert isinstance(cause, v2.exceptions.ServiceError), repr(cause)
        return cause.status_code
    return 200


def test_there_are_operations_of_both_kinds():
    assert len(OURS_V2) >= 28
    assert len(V2) - len(OURS_V2) >= 90
    assert V2.keys() > LOCAL
    assert "delete_bucket_public_access_block" in V2


@pytest.mark.parametrize("name", sorted(V2.keys() - OURS_V2 - LOCAL))
def test_v2_what_is_not_ours_is_refused(site, client, bucket, name):
    request = request_of(V2[name], "all-calls", "0" * 32)
    assert outcome_v2(getattr(client, name), request) == 501
    assert looks(site, "all-calls") == bucket[1]


# what an empty document or a made-up value makes of a call of ours
BAD_ARGUMENTS = {
    *("put_bucket_acl", "put_bucket_referer", "put_object_acl", "put_style", "copy_object"),
    *("get_bucket_cors", "get_bucket_encryption", "get_bucket_inventory", "list_bucket_inventory"),
    *("get_bucket_lifecycle", "get_bucket_policy", "get_bucket_transfer_acceleration"),
    *("get_bucket_website", "get_bucket_worm"),  # there are none
    "put_bucket_lifecycle",
    "put_bucket_cors",
    "put_bucket_website",
    *(
        "append_object",
        "get_symlink",  # of what is none
        "put_object_tagging",
        "upload_part_copy",
        "complete_multipart_upload",
        "process_object",
        "delete_bucket",
    ),
}


@pytest.mark.parametrize("name", sorted(OURS_V2))
def test_v2_what_is_ours_is_done(site, client, bucket, furnished, name):
    mine = f"v2-{name.replace('_', '-')}"
    upload = furnished(mine)
    request = request_of(V2[name], mine, upload)
    if name in ("upload_part", "list_parts", "abort_multipart_upload"):
        request.key = OTHER
    status = outcome_v2(getattr(client, name), request)
    if name == "option_object":  # of no origin that a rule would be for
        assert status in (400, 403)
    else:
        assert status in ((400, 404, 409) if name in BAD_ARGUMENTS else (200,))
    assert looks(site, "all-calls") == bucket[1]


# -- oss2 ------------------------------------------------------------------------------------------

# operations of ours, and those that are several calls or none
OURS_OSS2 = set(
    "abort_multipart_upload append_object batch_delete_objects complete_multipart_upload "
    "copy_object create_bucket delete_bucket delete_bucket_style delete_object get_bucket_acl "
    "get_bucket_info "
    "get_bucket_location get_bucket_referer get_bucket_style get_object get_object_acl "
    "get_object_meta get_object_to_file get_object_with_url get_object_with_url_to_file "
    "head_object init_multipart_upload list_bucket_style list_buckets list_multipart_uploads "
    "list_objects list_objects_v2 list_parts object_exists process_object put_bucket_acl "
    "put_bucket_referer put_bucket_style put_object put_object_acl put_object_from_file "
    "put_object_with_url put_object_with_url_from_file sign_rtmp_url sign_url update_object_meta "
    "delete_bucket_lifecycle get_bucket_lifecycle put_bucket_lifecycle "
    "delete_bucket_cors get_bucket_cors put_bucket_cors "
    "delete_bucket_website put_bucket_website "
    "upload_part upload_part_copy delete_object_tagging get_object_tagging put_object_tagging "
    "get_symlink put_symlink list_object_versions delete_object_versions "
    # what is never set up
    "get_bucket_encryption get_bucket_inventory_configuration "
    "get_bucket_logging get_bucket_policy get_bucket_stat get_bucket_tagging "
    "get_bucket_transfer_acceleration get_bucket_versioning get_bucket_website get_bucket_worm "
    "list_bucket_inventory_configurations list_live_channel".split()
)
OSS2 = {
    name: kind
    for kind in (oss2.Service, oss2.Bucket)
    for name, _ in inspect.getmembers(kind, inspect.isfunction)
    if not name.startswith("_")
}


class Anything(types.SimpleNamespace):
    """A setting of any kind: whatever it is asked for is an empty text."""

    def __getattr__(self, name):
        return ""


ARGUMENTS = {
    "data": b"x",
    "enabled": "true",
    "end_time": 2,
    "expires": 60,
    "filename": os.devnull,
    "fwd_status": "200",
    "inventory_configuration": Anything(),
    "key": KEY,
    "keylist_versions": oss2.models.BatchDeleteObjectVersionList(
        [oss2.models.BatchDeleteObjectVersion(KEY, "CAEQ")]
    ),
    "input": Anything(),
    "position": 0,
    "rule": Anything(),
    "start_time": 1,
    "tagging": None,
    "target_key": KEY,
}


def of_kind(site, name):
    if OSS2[name] is oss2.Bucket:
        made = of_oss2(site, "all-calls")
        made._Bucket__convert_data = lambda kind, write, data: (
            b"<x/>"
        )  # the document does not count
        return made
    auth = oss2.Auth("ownerKey", "ownerSecret")
    return oss2.Service(auth, f"http://{site.host}:{site.port}", connect_timeout=20)


@pytest.mark.parametrize("name", sorted(OSS2.keys() - OURS_OSS2))
def test_oss2_what_is_not_ours_is_refused(site, bucket, monkeypatch, name):
    real = {"to_string", "to_bytes", "to_unicode", "to_batch_delete_objects_version_request"}
    for writer in {one for one in dir(oss2.xml_utils) if one.startswith("to_")} - real:
        monkeypatch.setattr(oss2.xml_utils, writer, lambda *words: b"<x/>")
    method = getattr(of_kind(site, name), name)
    words = [
        ARGUMENTS.get(word.name, "a")
        for word in inspect.signature(method).parameters.values()
        if word.default is word.empty or word.name == "worm_id"  # without it, it is PostObject
    ]
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        method(*words)
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented"), caught.value
    assert looks(site, "all-calls") == bucket[1]


def test_oss2_names_that_are_ours_exist():
    assert OURS_OSS2 - OSS2.keys() == set()
    assert len(OSS2) - len(OURS_OSS2) >= 90


def test_every_name_that_the_sdks_give_to_a_call_counts_as_one_of_oss():
    """``GET KEY?NAME=VALUE`` is refused, too, where NAME names a call."""
    found = {
        value
        for kind in (oss2.Service, oss2.Bucket)
        for name, value in vars(kind).items()
        if name.isupper() and isinstance(value, str)
    }
    for module in vars(v2.operations).values():
        if inspect.ismodule(module):
            source = inspect.getsource(module)
            found |= {word for part in source.split("parameters={")[1:] for word in quoted(part)}
    modifiers = {"list-type", "encoding-type", "wildcard", "action", "continuation-token"}
    for name in found - modifiers - api.OSS_NAMES - {"enabled", "disabled"}:
        assert name.startswith("x-oss-"), name


def quoted(part):
    """The keys of a dict as it stands in source text, without those that have a value."""
    rows = part.split("}")[0].replace('"', "'").split(",")
    pairs = (row.strip().split(":") for row in rows if ":" in row)
    return {name.strip("' \n") for name, value in pairs if value.strip() == "''"}
