"""Every call that an official SDK has: one of ours, or refused by name, with nothing changed.

The calls are read from the sources of alibabacloud-oss-v2 and oss2 themselves, so that a newer SDK
brings its new ones.
"""

import hashlib
import inspect
import os
import re
import time
import warnings
from pathlib import Path

import pytest

from vipsgate import api as api_of
from vipsgate.errors import Unimplemented
from vipsgate.gate import sign
from vipsgate.gate.target import Target

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDKs' own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install -e '.[test]'")
    v2 = pytest.importorskip(
        "alibabacloud_oss_v2", reason="needs alibabacloud-oss-v2: pip install -e '.[test]'"
    )

OWNER = sign.Credential("ownerKey", "ownerSecret")
BUCKET = "every-call"
KEYS = ("a.jpg", "sub/b.txt")
OPERATION = re.compile(
    r"OperationInput\(\s*(?:op_name=)?'(\w+)'.*?method=['\"](\w+)['\"](.*?)\n    \)", re.DOTALL
)
PARAMETERS = re.compile(r"parameters=\s*\{(.*?)\}", re.DOTALL)
PAIR = re.compile(r"'([\w-]+)':\s*(?:'([\w-]*)'|(\d+)|\w)")
NAMES = {"service": ("", ""), "bucket": (BUCKET, ""), "object": (BUCKET, KEYS[0])}
LINE = {"bucket": f"/{BUCKET}/", "object": f"/{BUCKET}/{KEYS[0]}", "service": "/"}
OURS = (  # that change something
    "AbortMultipartUpload DELETE",
    "CompleteMultipartUpload POST",
    "DeleteMultipleObjects POST",
    "DeleteStyle DELETE",
    "InitiateMultipartUpload POST",
    "ProcessObject POST",
    "PutBucketAcl PUT",
    "PutObjectAcl PUT",
    "PutBucketReferer PUT",
    "PutStyle PUT",
    "DELETE ?style",
    "DELETE ?uploadId",
    "POST ?delete",
    "POST ?uploadId",
    "POST ?uploads",
    "POST ?x-oss-process",
    "PUT ?acl",
    "PUT ?processConfiguration",
    "PUT ?referer",
    "PUT ?style",
    "PUT ?uploadId",
)


def operations():
    """Name, method and query of each call of alibabacloud-oss-v2 that names a sub-resource."""
    folder = Path(v2.__file__).parent / "operations"
    for path in sorted(folder.glob("*.py")):
        for name, method, rest in OPERATION.findall(path.read_text()):
            found = PARAMETERS.search(rest)
            pairs = PAIR.findall(found[1]) if found else []
            query = tuple((key, value or number) for key, value, number in pairs)
            if found:
                yield name, method, query


def sub_resources():
    """What oss2 signs as a sub-resource."""
    return sorted(oss2.auth.Auth._subresource_key_set)


V2 = {f"{name} {method}": (method, query) for name, method, query in operations()}
OSS2 = {
    f"{method} ?{name}": (method, ((name, ""),))
    for name in sub_resources()
    if name not in sign.NAMES
    for method in ("GET", "PUT", "POST", "DELETE")
}


def test_the_sources_of_the_sdks_could_be_read():
    assert len(V2) > 100
    assert "DeleteBucketPublicAccessBlock DELETE" in V2
    assert len(OSS2) > 300


@pytest.fixture(scope="module")
def filled(api):
    """A bucket with objects, a style and a document."""
    found = oss2.Bucket(oss2.Auth("ownerKey", "ownerSecret"), address(api), BUCKET)
    found.create_bucket(oss2.BUCKET_ACL_PRIVATE)
    for key in KEYS:
        found.put_object(key, key.encode())
    found.put_bucket_style("thumb", "image/resize,w_100")
    return found


def address(api):
    return f"http://{api.host}:{api.port}"


def tree(api):
    """Every file of the store with its bytes; what is no object is among them."""
    found = {}
    for folder, _, names in os.walk(api.root):
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(api.root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def is_ours(level, method, query):
    """Is it a call of our own, or one that is passed over because OSS has no such parameter?"""
    try:
        api_of.find(method, Target(*NAMES[level], query))
    except Unimplemented:
        return False
    return True


@pytest.mark.parametrize("case", [*V2, *OSS2])
def test_it_is_one_of_ours_or_changes_nothing(api, filled, case):
    method, query = (V2 | OSS2)[case]
    before = tree(api)
    for level, line in LINE.items():
        if is_ours(level, method, query):
            assert method in ("GET", "HEAD") or case in OURS
            continue  # the other tests of this folder make these calls
        request = sign.Request(method, *NAMES[level], query, {"content-type": "application/xml"})
        headers = sign.sign_headers(
            OWNER, request, now=time.time(), version=4, region="cn-hangzhou"
        )
        words = "&".join(f"{name}={value}" if value else name for name, value in query)
        body = b"<Configuration/>" if method in ("PUT", "POST") else b""
        sent = dict(headers) | {"Content-Type": "application/xml"}
        answer = api.ask(f"{line}?{words}", sent, method=method, body=body)
        assert (answer.status, answer.code) == (501, "NotImplemented"), (level, answer.body)
    assert tree(api) == before


HARMFUL = {
    "delete_bucket_public_access_block": (),
    "put_bucket_public_access_block": (True,),
    "put_bucket_transfer_acceleration": ("true",),
    "get_bucket_transfer_acceleration": (),
    "get_bucket_public_access_block": (),
    "get_bucket_resource_group": (),
    "get_bucket_https_config": (),
    "get_bucket_access_monitor": (),
    "get_bucket_policy": (),
    "delete_bucket_policy": (),
    "delete_bucket_cors": (),
    "delete_bucket_lifecycle": (),
    "delete_bucket_website": (),
    "delete_bucket_logging": (),
    "delete_bucket_encryption": (),
    "delete_bucket_tagging": (),
    "delete_bucket_storage_capacity": (),
    "delete_object_tagging": (KEYS[0],),
    "get_object_tagging": (KEYS[0],),
    "get_symlink": (KEYS[0],),
    "put_symlink": (KEYS[0], KEYS[1]),
    "restore_object": (KEYS[0],),
    "abort_bucket_worm": (),
    "get_bucket_worm": (),
    "get_bucket_stat": (),
    "list_object_versions": (),
    "get_bucket_versioning": (),
    "list_bucket_cname": (),
}


@pytest.mark.parametrize("call", [name for name in HARMFUL if hasattr(oss2.Bucket, name)])
def test_oss2_is_told_so_and_nothing_is_changed(api, filled, call):
    before = tree(api)
    with pytest.raises(oss2.exceptions.OssError) as caught:
        getattr(filled, call)(*HARMFUL[call])
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")
    assert tree(api) == before


def test_the_names_above_are_calls_of_oss2():
    known = {name for name, _ in inspect.getmembers(oss2.Bucket, callable)}
    assert len(HARMFUL.keys() & known) > 20


def test_v2_deletes_no_bucket_by_deleting_its_public_access_block(api, filled):
    config = v2.config.load_default()
    config.credentials_provider = v2.credentials.StaticCredentialsProvider(
        "ownerKey", "ownerSecret"
    )
    config.region, config.endpoint = "cn-hangzhou", address(api)
    client, before = v2.Client(config), tree(api)
    for call in (
        lambda: client.delete_bucket_public_access_block(
            v2.DeleteBucketPublicAccessBlockRequest(bucket=BUCKET)
        ),
        lambda: client.get_bucket_transfer_acceleration(
            v2.GetBucketTransferAccelerationRequest(bucket=BUCKET)
        ),
        lambda: client.put_object_tagging(
            v2.PutObjectTaggingRequest(
                bucket=BUCKET,
                key=KEYS[0],
                tagging=v2.Tagging(tag_set=v2.TagSet(tags=[v2.Tag(key="k", value="v")])),
            )
        ),
    ):
        with pytest.raises(v2.exceptions.OperationError) as caught:
            call()
        assert caught.value.unwrap().code == "NotImplemented"
    assert tree(api) == before
