"""alibabacloud-oss-v2, as it is: V4, path style because the endpoint is an address."""

import gzip
import io
import urllib.request
import warnings

import pytest
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDK's own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oss = pytest.importorskip(
        "alibabacloud_oss_v2", reason="needs alibabacloud-oss-v2: pip install -e '.[test]'"
    )


@pytest.fixture(scope="module")
def client(api):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        "ownerKey", "ownerSecret"
    )
    config.region, config.endpoint = "cn-hangzhou", f"http://{api.host}:{api.port}"
    return oss.Client(config)


@pytest.fixture
def bucket(client, name):
    client.put_bucket(oss.PutBucketRequest(bucket=name, acl="private"))
    return name


@pytest.fixture(scope="session")
def picture(root):
    return (root / "examplebucket" / "example.jpg").read_bytes()


def size(data):
    return Image.open(io.BytesIO(data)).size


def code_of(call):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call()
    return caught.value.unwrap().code


def read(client, bucket, key, **options):
    got = client.get_object(oss.GetObjectRequest(bucket=bucket, key=key, **options))
    return got.body.read()


def test_put_get_head_delete(client, bucket):
    key = "dir/a b+c%20.txt"
    done = client.put_object(
        oss.PutObjectRequest(
            bucket=bucket,
            key=key,
            body=b"hello",
            content_type="text/x-odd",
            cache_control="max-age=7",
            metadata={"author": "me"},
        )
    )
    assert (done.status_code, done.etag) == (200, '"5D41402ABC4B2A76B9719D911017C592"')
    got = client.get_object(oss.GetObjectRequest(bucket=bucket, key=key))
    assert got.body.read() == b"hello"
    assert (got.content_type, got.cache_control, got.hash_crc64) == (
        "text/x-odd",
        "max-age=7",
        done.hash_crc64,
    )
    assert got.metadata["author"] == "me"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))
    assert (head.content_length, head.object_type) == (5, "Normal")
    meta = client.get_object_meta(oss.GetObjectMetaRequest(bucket=bucket, key=key))
    assert (meta.content_length, meta.etag) == (5, done.etag)
    assert client.is_object_exist(bucket, key)
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key))
    assert not client.is_object_exist(bucket, key)
    assert code_of(lambda: read(client, bucket, key)) == "NoSuchKey"


def test_what_is_encoded_comes_back_as_it_went(api, client, bucket):
    plain = b"hello, world " * 100_000
    packed = gzip.compress(plain)
    wanted = oss.PutObjectRequest(bucket=bucket, key="a.txt", body=packed, content_encoding="gzip")
    client.put_object(wanted)
    assert (api.root / bucket / "a.txt").read_bytes() == packed
    assert read(client, bucket, "a.txt") == plain  # the SDK decodes it
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="a.txt"))
    assert (head.content_encoding, head.content_length) == ("gzip", len(packed))


def test_to_and_from_files_with_their_crc(client, bucket, picture, tmp_path):
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    source.write_bytes(picture)
    client.put_object_from_file(oss.PutObjectRequest(bucket=bucket, key="a.jpg"), str(source))
    client.get_object_to_file(oss.GetObjectRequest(bucket=bucket, key="a.jpg"), str(target))
    assert target.read_bytes() == picture
    asked = oss.GetObjectRequest(bucket=bucket, key="a.jpg", process="image/resize,w_100")
    client.get_object_to_file(asked, str(target))
    assert size(target.read_bytes()) == (100, 67)


def test_lists_with_paging(client, bucket):
    keys = sorted([f"dir/{number:02d}" for number in range(9)] + ["a b", "a+b", "西/湖.jpg", "z&<"])
    for key in keys:
        client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=key.encode()))
    for pages in (
        client.list_objects_paginator().iter_page(
            oss.ListObjectsRequest(bucket=bucket, max_keys=4)
        ),
        client.list_objects_v2_paginator().iter_page(
            oss.ListObjectsV2Request(bucket=bucket, max_keys=4)
        ),
    ):
        assert [item.key for page in pages for item in page.contents or ()] == keys
    page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, delimiter="/"))
    assert [item.key for item in page.contents] == ["a b", "a+b", "z&<"]
    assert [item.prefix for item in page.common_prefixes] == ["dir/", "西/"]
    assert page.key_count == 5
    gone = client.delete_multiple_objects(
        oss.DeleteMultipleObjectsRequest(
            bucket=bucket, objects=[oss.DeleteObject(key=key) for key in keys]
        )
    )
    assert sorted(item.key for item in gone.deleted_objects) == keys


def test_copies(client, bucket):
    client.put_object(
        oss.PutObjectRequest(bucket=bucket, key="a", body=b"hello", metadata={"m": "1"})
    )
    done = client.copy_object(
        oss.CopyObjectRequest(bucket=bucket, key="西/b c", source_bucket=bucket, source_key="a")
    )
    assert done.etag == '"5D41402ABC4B2A76B9719D911017C592"'
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="西/b c"))
    assert head.metadata["m"] == "1"


def test_presigned_urls_with_a_process(client, bucket, picture):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="dir/a b.jpg", body=picture))
    made = client.presign(
        oss.GetObjectRequest(
            bucket=bucket, key="dir/a b.jpg", process="image/resize,w_100/rotate,90"
        )
    )
    with urllib.request.urlopen(made.url) as answer:
        assert size(answer.read()) == (67, 100)


@pytest.mark.parametrize("value", ["attachment; filename=a b.jpg", "a+b c", "a%2Bb%20c", "+"])
def test_blanks_and_plus_signs_in_parameters(client, bucket, value):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="a.txt", body=b"hello"))
    wanted = oss.GetObjectRequest(bucket=bucket, key="a.txt", response_content_disposition=value)
    assert client.get_object(wanted).headers["Content-Disposition"] == value
    url = client.presign(wanted).url
    for written in (url, url.replace("%20", "+")):
        with urllib.request.urlopen(written) as answer:
            assert answer.headers["Content-Disposition"] == value


def test_process_object(client, bucket, picture):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="a.jpg", body=picture))
    # the samples' own alphabet: standard, with padding
    text = "image/resize,w_100|sys/saveas,o_bWFkZS/opb/muZYuanBn,b_"
    import base64

    text += base64.b64encode(bucket.encode()).decode()
    done = client.process_object(oss.ProcessObjectRequest(bucket=bucket, key="a.jpg", process=text))
    assert (done.bucket, done.process_status) == (bucket, "OK")
    key = base64.b64decode("bWFkZS/opb/muZYuanBn").decode()
    assert done.key == key
    assert size(read(client, bucket, key)) == (100, 67)
    assert done.file_size == len(read(client, bucket, key))


def test_styles(client, bucket, picture):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="a.jpg", body=picture))
    made = oss.PutStyleRequest(
        bucket=bucket,
        style_name="small",
        category="image",
        style=oss.StyleContent(content="image/resize,w_50"),
    )
    client.put_style(made)
    assert size(read(client, bucket, "a.jpg", process="style/small")) == (50, 33)
    found = client.get_style(oss.GetStyleRequest(bucket=bucket, style_name="small"))
    assert (found.style.name, found.style.content) == ("small", "image/resize,w_50")
    assert found.style.category == "image"
    assert found.style.create_time.endswith("GMT")
    listed = client.list_style(oss.ListStyleRequest(bucket=bucket))
    assert [style.name for style in listed.style_list.styles] == ["small"]
    made.style.content = "image/slim"
    assert code_of(lambda: client.put_style(made)) == "InvalidArgument"
    client.delete_style(oss.DeleteStyleRequest(bucket=bucket, style_name="small"))
    missing = oss.GetStyleRequest(bucket=bucket, style_name="small")
    assert code_of(lambda: client.get_style(missing)) == "NoSuchStyle"


def test_referers(client, bucket):
    wanted = oss.RefererConfiguration(
        allow_empty_referer=False,
        allow_truncate_query_string=True,
        truncate_path=True,
        referer_list=oss.RefererList(referers=["http://www.example.com", "http://*.example.net"]),
        referer_blacklist=oss.RefererBlacklist(referers=["http://bad"]),
    )
    client.put_bucket_referer(
        oss.PutBucketRefererRequest(bucket=bucket, referer_configuration=wanted)
    )
    found = client.get_bucket_referer(oss.GetBucketRefererRequest(bucket=bucket))
    found = found.referer_configuration
    assert (found.allow_empty_referer, found.truncate_path) == (False, True)
    assert found.referer_list.referers == wanted.referer_list.referers
    assert found.referer_blacklist.referers == ["http://bad"]


def test_bucket_calls(client, bucket):
    listed = client.list_buckets(oss.ListBucketsRequest(prefix=bucket))
    assert [item.name for item in listed.buckets] == [bucket]
    info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket=bucket)).bucket_info
    assert (info.name, info.acl) == (bucket, "private")
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=bucket, acl="public-read"))
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket=bucket)).acl == "public-read"
    place = client.get_bucket_location(oss.GetBucketLocationRequest(bucket=bucket))
    assert place.location == "oss-cn-hangzhou"
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="a", body=b"x", acl="private"))
    found = client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key="a"))
    assert found.acl == "private"
    client.put_object_acl(oss.PutObjectAclRequest(bucket=bucket, key="a", acl="default"))
    found = client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key="a"))
    assert found.acl == "default"
    away = oss.DeleteBucketRequest(bucket=bucket)
    assert code_of(lambda: client.delete_bucket(away)) == "BucketNotEmpty"
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key="a"))
    client.delete_bucket(away)
    assert not client.is_bucket_exist(bucket)


def test_what_is_not_implemented_is_named(client, bucket):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        client.delete_bucket_policy(oss.DeleteBucketPolicyRequest(bucket=bucket))
    error = caught.value.unwrap()
    assert (error.status_code, error.code) == (501, "NotImplemented")
    assert "policy" in error.message


def test_rules_for_pages_of_other_origins(client, bucket):
    asked = oss.GetBucketCorsRequest(bucket=bucket)
    assert code_of(lambda: client.get_bucket_cors(asked)) == "NoSuchCORSConfiguration"
    wanted = oss.CORSConfiguration(
        cors_rules=[
            oss.CORSRule(
                allowed_origins=["http://a.example", "http://*.b"],
                allowed_methods=["GET", "PUT"],
                allowed_headers=["x-oss-*"],
                expose_headers=["ETag"],
                max_age_seconds=60,
            ),
            oss.CORSRule(allowed_origins=["*"], allowed_methods=["HEAD"]),
        ],
        response_vary=False,
    )
    client.put_bucket_cors(oss.PutBucketCorsRequest(bucket=bucket, cors_configuration=wanted))
    read = client.get_bucket_cors(asked).cors_configuration
    first, second = read.cors_rules
    assert vars(first) == vars(wanted.cors_rules[0])
    assert (second.allowed_origins, second.allowed_methods) == (["*"], ["HEAD"])
    assert read.response_vary is False
    preflight = oss.OptionObjectRequest(
        bucket=bucket,
        key="a.jpg",
        origin="http://x.b",
        access_control_request_method="PUT",
        access_control_request_headers="x-oss-date",
    )
    told = client.option_object(preflight)
    assert (told.access_control_allow_origin, told.access_control_allow_methods) == (
        *("http://x.b", "GET, PUT"),
    )
    assert (told.access_control_allow_headers, told.access_control_max_age) == ("x-oss-date", 60)
    preflight.origin = "http://evil.example"
    assert code_of(lambda: client.option_object(preflight)) == "AccessForbidden"
    client.delete_bucket_cors(oss.DeleteBucketCorsRequest(bucket=bucket))
    assert code_of(lambda: client.get_bucket_cors(asked)) == "NoSuchCORSConfiguration"


def test_what_is_never_set_up_is_not_configured(client, bucket):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        client.get_bucket_lifecycle(oss.GetBucketLifecycleRequest(bucket=bucket))
    error = caught.value.unwrap()
    assert (error.status_code, error.code) == (404, "NoSuchLifecycle")


def test_an_acl_holds_for_an_upload_in_parts(client, bucket, tmp_path):
    """Which the SDK says only in the end."""
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=bucket, acl="public-read"))
    (tmp_path / "a").write_bytes(bytes(300_000))
    asked = oss.PutObjectRequest(bucket=bucket, key="a", acl="private", metadata={"m": "1"})
    done = client.uploader(part_size=102_400).upload_file(asked, str(tmp_path / "a"))
    assert done.etag.strip('"').endswith("-3")
    found = client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key="a"))
    assert found.acl == "private"
    asked = oss.CopyObjectRequest(
        bucket=bucket, key="b", source_bucket=bucket, source_key="a", acl="private"
    )
    client.copier(part_size=102_400, multipart_copy_threshold=1, disable_shallow_copy=True).copy(
        asked
    )
    found = client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key="b"))
    assert found.acl == "private"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="b"))
    assert (head.metadata["m"], head.object_type) == ("1", "Multipart")


@pytest.mark.parametrize(
    "option",
    [
        {"server_side_encryption": "AES256"},
        {"traffic_limit": 819200},
        {"storage_class": "IA"},
        {"callback": "e30="},
        {"object_worm_mode": "COMPLIANCE"},
    ],
    ids=str,
)
def test_what_is_not_done_is_not_said_to_be_done(client, bucket, option):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        client.put_object(oss.PutObjectRequest(bucket=bucket, key="a", body=b"x", **option))
    error = caught.value.unwrap()
    assert (error.status_code, error.code) == (501, "NotImplemented")
    assert not client.is_object_exist(bucket, "a")


def test_uploads_of_20_mb_in_parts(client, bucket, tmp_path):
    data = bytes(range(256)) * 4096 * 20
    (tmp_path / "a").write_bytes(data)
    up = client.uploader(part_size=6 << 20, parallel_num=2)
    done = up.upload_file(oss.PutObjectRequest(bucket=bucket, key="big"), str(tmp_path / "a"))
    assert done.etag.strip('"').endswith("-4")
    down = client.downloader(part_size=6 << 20, parallel_num=2)
    down.download_file(oss.GetObjectRequest(bucket=bucket, key="big"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == data
    upload = client.initiate_multipart_upload(
        oss.InitiateMultipartUploadRequest(bucket=bucket, key="left")
    ).upload_id
    client.upload_part(
        oss.UploadPartRequest(
            bucket=bucket, key="left", upload_id=upload, part_number=3, body=b"x" * 100
        )
    )
    parts = client.list_parts(oss.ListPartsRequest(bucket=bucket, key="left", upload_id=upload))
    assert [(part.part_number, part.size) for part in parts.parts] == [(3, 100)]
    client.abort_multipart_upload(
        oss.AbortMultipartUploadRequest(bucket=bucket, key="left", upload_id=upload)
    )
    left = client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket=bucket))
    assert not left.uploads


def test_a_symlink(client, bucket):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="dir/a.txt", body=b"hello"))
    put = oss.PutSymlinkRequest(bucket=bucket, key="link", target="dir/a.txt")
    assert client.put_symlink(put).status_code == 200
    told = client.get_symlink(oss.GetSymlinkRequest(bucket=bucket, key="link"))
    assert told.target == "dir/a.txt"
    assert read(client, bucket, "link") == b"hello"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="link"))
    assert (head.object_type, head.content_length) == ("Symlink", 5)


def test_a_cleaner_takes_away_every_version(client, name):
    client.put_bucket(oss.PutBucketRequest(bucket=name))
    for key in ("a", "b/", "b/1", "西 +"):
        client.put_object(oss.PutObjectRequest(bucket=name, key=key, body=b"x"))
    entries = []
    pages = client.list_object_versions_paginator(limit=3)
    for page in pages.iter_page(oss.ListObjectVersionsRequest(bucket=name)):
        entries += [(item.key, item.version_id, item.is_latest) for item in page.version]
    assert entries == [(key, "null", True) for key in ("a", "b/", "b/1", "西 +")]
    objects = [oss.DeleteObject(key=key, version_id=version) for key, version, _ in entries]
    gone = client.delete_multiple_objects(
        oss.DeleteMultipleObjectsRequest(bucket=name, objects=objects)
    )
    assert [item.version_id for item in gone.deleted_objects] == ["null"] * 4
    client.delete_bucket(oss.DeleteBucketRequest(bucket=name))
