"""The emulator as the official SDKs meet it: time, faults, cut connections, what is recorded."""

import http.client
import io
import json
import threading
import urllib.error
import urllib.request
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from vipsgate.emulator.client import EmulatorError

pytestmark = pytest.mark.filterwarnings("ignore")  # the SDKs' own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    oss2 = pytest.importorskip("oss2", reason="needs oss2: pip install -e '.[test]'")
    v2 = pytest.importorskip(
        "alibabacloud_oss_v2", reason="needs alibabacloud-oss-v2: pip install -e '.[test]'"
    )


class OSS2:
    """The older SDK, which never tries again."""

    def __init__(self, oss, name, auth=oss2.Auth, **options):
        self.bucket = oss2.Bucket(
            auth(*oss.credentials), oss.endpoint, name, region=oss.region, **options
        )

    def put(self, key, data):
        self.bucket.put_object(key, data)

    def get(self, key):
        return self.bucket.get_object(key).read()

    def presign(self, key, seconds):
        return self.bucket.sign_url("GET", key, seconds, slash_safe=True)


class V2:
    """The newer SDK, which tries three times."""

    def __init__(self, oss, name):
        config = v2.config.load_default()
        config.credentials_provider = v2.credentials.StaticCredentialsProvider(*oss.credentials)
        config.region, config.endpoint = oss.region, oss.endpoint
        self.client, self.name = v2.Client(config), name

    def put(self, key, data):
        self.client.put_object(v2.PutObjectRequest(bucket=self.name, key=key, body=data))

    def get(self, key):
        return self.client.get_object(v2.GetObjectRequest(bucket=self.name, key=key)).body.read()

    def presign(self, key, seconds):
        request = v2.GetObjectRequest(bucket=self.name, key=key)
        return self.client.presign(request, expires=timedelta(seconds=seconds)).url


CLIENTS = {
    "oss2 V1": OSS2,
    "oss2 V4": lambda oss, name: OSS2(oss, name, oss2.AuthV4),
    "alibabacloud-oss-v2": V2,
}


@pytest.fixture(params=CLIENTS)
def client(request, oss):
    return CLIENTS[request.param](oss, oss.bucket("photos"))


def status_of(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def statuses(oss, **match):
    return [request.status for request in oss.requests_of(**match)]


# -- time ------------------------------------------------------------------------------------------


def test_a_presigned_url_expires_as_the_clock_moves(oss, client):
    client.put("a.txt", b"hello")
    url = client.presign("a.txt", 60)
    assert status_of(url) == (200, b"hello")
    oss.clock.advance(minutes=2)
    status, body = status_of(url)
    assert status == 403
    assert b"expired" in body
    oss.clock.advance(minutes=-2)
    assert status_of(url)[0] == 200
    with oss.clock.moved(seconds=61):
        assert status_of(url)[0] == 403
    assert status_of(url)[0] == 200


def test_a_client_whose_clock_differs_is_told_so(oss):
    bucket = OSS2(oss, oss.bucket()).bucket
    oss.clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    assert oss.clock.now().year == 2031
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a.txt", b"hello")
    assert caught.value.code == "RequestTimeTooSkewed"
    assert caught.value.details["ServerTime"].startswith("2031-01-01T")
    oss.clock.reset()
    bucket.put_object("a.txt", b"hello")


def put_rule_oss2(oss, name):
    abort = oss2.models.AbortMultipartUpload(days=7)
    rule = oss2.models.LifecycleRule("old", "dir/", abort_multipart_upload=abort)
    OSS2(oss, name).bucket.put_bucket_lifecycle(oss2.models.BucketLifecycle([rule]))


def put_rule_v2(oss, name):
    abort = v2.LifecycleRuleAbortMultipartUpload(days=7)
    rule = v2.LifecycleRule(id="old", prefix="dir/", status="Enabled", abort_multipart_upload=abort)
    document = v2.LifecycleConfiguration(rules=[rule])
    client = V2(oss, name).client
    client.put_bucket_lifecycle(
        v2.PutBucketLifecycleRequest(bucket=name, lifecycle_configuration=document)
    )
    result = client.get_bucket_lifecycle(v2.GetBucketLifecycleRequest(bucket=name))
    (got,) = result.lifecycle_configuration.rules
    assert (got.id, got.prefix, got.abort_multipart_upload.days) == ("old", "dir/", 7)


@pytest.mark.parametrize("put_rule", [put_rule_oss2, put_rule_v2])
def test_abandoned_uploads_are_aborted_as_the_clock_moves(oss, put_rule):
    name = oss.bucket()
    put_rule(oss, name)
    bucket = OSS2(oss, name).bucket
    upload = bucket.init_multipart_upload("dir/a").upload_id
    bucket.upload_part("dir/a", upload, 1, b"x" * 1000)
    bucket.init_multipart_upload("other")

    def under_way():
        return [item.key for item in bucket.list_multipart_uploads().upload_list]

    with oss.clock.moved(days=6):
        pass
    assert under_way() == ["dir/a", "other"]
    with oss.clock.moved(days=7):
        pass
    assert under_way() == ["other"]
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part("dir/a", upload, 2, b"x")


# -- faults ----------------------------------------------------------------------------------------


def test_an_error_makes_an_sdk_try_again(oss):
    client = V2(oss, oss.bucket())
    fault = oss.faults.error(503, method="PUT", key="*.jpg", count=2)
    client.put("a.txt", b"is not meant")
    client.put("a.jpg", b"hello")
    assert client.get("a.jpg") == b"hello"
    assert fault.hits == 2
    assert statuses(oss, key="a.jpg", call="PutObject") == [503, 503, 200]
    assert [item.fault for item in oss.requests_of(call="PutObject")] == [0, fault.id, fault.id, 0]


def test_an_sdk_sees_the_code_the_message_and_the_headers(oss):
    bucket = OSS2(oss, oss.bucket()).bucket
    oss.faults.error(
        409, "FileImmutable", message="It is locked.", headers={"x-oss-ec": "0026-1"}, count=1
    )
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("a.txt", b"hello")
    error = caught.value
    assert (error.status, error.code, error.message) == (409, "FileImmutable", "It is locked.")
    assert error.headers["x-oss-ec"] == "0026-1"
    assert error.request_id
    assert not bucket.object_exists("a.txt")
    assert [item.code for item in oss.requests_of(call="PutObject")] == ["FileImmutable"]


def test_an_sdk_gives_up_where_faults_do_not_end(oss):
    client = V2(oss, oss.bucket())
    fault = oss.faults.error(500, call="PutObject")
    with pytest.raises(v2.exceptions.OperationError):
        client.put("a.txt", b"hello")
    assert statuses(oss, call="PutObject") == [500, 500, 500]
    fault.remove()
    client.put("a.txt", b"hello")


def test_requests_pass_before_the_first_is_met(oss):
    bucket = OSS2(oss, oss.bucket()).bucket
    fault = oss.faults.error(503, call="UploadPart", skip=1, count=1)
    upload = bucket.init_multipart_upload("a.bin").upload_id
    results = []
    for number in (1, 2, 3):
        try:
            bucket.upload_part("a.bin", upload, number, b"x" * 102400)
            results.append(200)
        except oss2.exceptions.ServerError as error:
            results.append(error.status)
    assert results == [200, 503, 200]
    assert fault.hits == 1


def test_latency_makes_an_impatient_client_give_up(oss):
    bucket = OSS2(oss, oss.bucket(), connect_timeout=0.3).bucket
    oss.faults.latency(5, method="GET")
    bucket.put_object("a.txt", b"hello")
    with pytest.raises(oss2.exceptions.RequestError, match=r"[Tt]imed? ?out"):
        bucket.get_object("a.txt")


def test_latency_is_waited_for_and_others_are_answered_meanwhile(oss):
    client = OSS2(oss, oss.bucket())
    client.put("slow.txt", b"slow")
    client.put("quick.txt", b"quick")
    oss.faults.latency(0.4, key="slow.txt", method="GET")
    order = []
    slow = threading.Thread(target=lambda: (client.get("slow.txt"), order.append("slow")))
    slow.start()
    client.get("quick.txt")
    order.append("quick")
    slow.join()
    assert order == ["quick", "slow"]


@pytest.mark.parametrize(("when", "there"), [("request", False), ("answer", True)])
def test_a_cut_before_the_answer(oss, when, there):
    bucket = OSS2(oss, oss.bucket()).bucket
    fault = oss.faults.cut(when, method="PUT", count=1)
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a.txt", b"hello")
    assert fault.hits == 1
    assert bucket.object_exists("a.txt") == there
    assert statuses(oss, call="PutObject") == [0]


@pytest.mark.parametrize("when", ["request", "answer"])
def test_an_sdk_tries_again_behind_a_cut(oss, when):
    client = V2(oss, oss.bucket())
    oss.faults.cut(when, method="PUT", count=1)
    client.put("a.txt", b"hello")
    assert statuses(oss, call="PutObject") == [0, 200]
    assert client.get("a.txt") == b"hello"


@pytest.mark.parametrize("size", [0, 1, 4000, 2_999_999, 3_000_000, 4_000_000])
def test_a_body_is_cut_after_so_many_bytes(oss, size):
    """A file is sent past Python; an answer that is no longer than that comes whole."""
    client = OSS2(oss, oss.bucket())
    data = bytes(range(250)) * 12_000
    client.put("a.bin", data)
    url = client.presign("a.bin", 60)
    oss.faults.cut(size, key="a.bin", method="GET", count=1)
    with urllib.request.urlopen(url) as answer:
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            body = error.partial
    assert body == data[:size]
    assert status_of(url) == (200, data)


def test_a_cut_answer_of_the_cache(oss):
    """What is in memory is sent another way."""
    client = OSS2(oss, oss.bucket(styles={"small": "image/resize,w_40"}, separators=["!"]))
    file = io.BytesIO()
    Image.effect_noise((400, 300), 80).save(file, "JPEG")
    client.put("a.jpg", file.getvalue())
    url = client.presign("a.jpg!small", 60)
    whole = status_of(url)[1]
    assert Image.open(io.BytesIO(whole)).size == (40, 30)
    oss.faults.cut(100, key="a.jpg!small", count=1)
    with (
        pytest.raises(http.client.IncompleteRead) as caught,
        urllib.request.urlopen(url) as answer,
    ):
        answer.read()
    assert caught.value.partial == whole[:100]
    assert status_of(url)[1] == whole


def test_a_download_that_was_cut_is_resumed(oss, tmp_path):
    bucket = OSS2(oss, oss.bucket()).bucket
    data = bytes(range(251)) * 4000
    bucket.put_object("a.bin", data)
    fault = oss.faults.cut(1000, method="GET", key="a.bin", skip=1, count=1)
    options = {"multiget_threshold": 1, "part_size": 300_000, "num_threads": 1}
    store = oss2.ResumableDownloadStore(root=str(tmp_path))
    file = str(tmp_path / "a.bin")
    with pytest.raises(Exception, match=r"IncompleteRead|ncomplete"):
        oss2.resumable_download(bucket, "a.bin", file, store=store, **options)
    oss2.resumable_download(bucket, "a.bin", file, store=store, **options)
    assert (tmp_path / "a.bin").read_bytes() == data
    assert fault.hits == 1


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({}, "a latency, a status or a cut"),
        ({"status": 503, "cut": 1}, "not both"),
        ({"status": 299}, "status"),
        ({"status": 599}, "status"),
        ({"latency": -1}, "latency = -1"),
        ({"cut": "sometimes"}, "cut"),
        ({"status": 503, "count": 0}, "count = 0"),
        ({"status": 503, "paths": "*"}, "paths"),
    ],
    ids=str,
)
def test_a_rule_that_is_none_is_refused_by_name(oss, rule, named):
    with pytest.raises(EmulatorError, match=named):
        oss.faults.add(**rule)
    assert oss.call("GET", "/faults") == []


# -- requests and buckets --------------------------------------------------------------------------


def test_requests_are_recorded(oss, client):
    client.put("dir/a b+c.txt", b"hello")
    client.get("dir/a b+c.txt")
    with pytest.raises(Exception, match="NoSuchKey"):
        client.get("absent.txt")
    put, got, absent = oss.requests
    assert (put.method, put.call, put.status, put.code) == ("PUT", "PutObject", 200, "")
    assert (got.method, got.key, got.status) == ("GET", "dir/a b+c.txt", 200)
    assert (absent.key, absent.status, absent.code) == ("absent.txt", 404, "NoSuchKey")
    assert {item.bucket for item in oss.requests} == {put.bucket}
    assert put.bucket.startswith("photos-")
    assert put.headers["content-length"] == "5"
    assert put.headers["authorization"]
    assert oss.requests_of(method="PUT") == [put]
    status_of(f"{oss.endpoint}/{put.bucket}/a.txt?x-oss-traffic-limit=1&b=%20")
    refused = oss.requests[-1]
    assert (refused.call, refused.status) == ("", 501)
    assert refused.query == [("x-oss-traffic-limit", "1"), ("b", " ")]


def test_a_bucket_has_the_settings_that_are_given(oss):
    name = oss.bucket("open", acl="public-read")
    assert name != oss.bucket("open")
    OSS2(oss, name).put("a.txt", b"hello")
    assert status_of(f"{oss.endpoint}/{name}/a.txt") == (200, b"hello")
    with pytest.raises(EmulatorError, match="acl = 'closed'"):
        oss.bucket(acl="closed")
    with pytest.raises(EmulatorError, match="3 to 63 characters"):
        oss.bucket("Not_A_Name")
    assert len(oss.bucket("n" * 80)) <= 63


def test_a_reset_leaves_nothing(oss):
    client = OSS2(oss, oss.bucket())
    client.put("a.txt", b"hello")
    client.bucket.init_multipart_upload("b.txt")
    oss.clock.advance(hours=1)
    oss.faults.error(503)
    oss.reset()
    service = oss2.Service(oss2.Auth(*oss.credentials), oss.endpoint)
    assert service.list_buckets().buckets == []
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        client.get("a.txt")
    assert [request.call for request in oss.requests] == ["ListBuckets", "GetObject"]
    assert oss.call("GET", "/clock")["offset"] == 0
    assert list((oss.folder / "buckets").iterdir()) == []


# -- the HTTP API ----------------------------------------------------------------------------------


def call(url, method="GET", body=None, headers=()):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


REFUSED = [
    ("PUT", "/clock", {}, 400, "one of offset, advance and now"),
    ("PUT", "/clock", {"advance": 1, "offset": 1}, 400, "one of offset, advance and now"),
    ("PUT", "/clock", {"now": "2027-01-01T00:00:00"}, 400, "now"),
    ("PUT", "/clock", {"advance": "soon"}, 400, "advance = 'soon'"),
    ("POST", "/faults", {"status": "x"}, 400, "status = 'x'"),
    ("DELETE", "/faults?id=99", None, 400, "id = '99'"),
    ("DELETE", "/faults?id=x", None, 400, "id = 'x'"),
    ("GET", "/requests?path=a", None, 400, "path: expects method"),
    ("POST", "/buckets", {"document": {"acls": "private"}}, 400, "acls"),
    ("POST", "/buckets", ["photos"], 400, "valid dictionary"),
    ("POST", "/buckets", {"name": "A"}, 400, "3 to 63 characters"),
    ("POST", "/clock", {}, 404, "expects GET /emulator, POST /emulator/reset"),
    ("GET", "/nothing", None, 404, "GET /emulator/nothing"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "named"), REFUSED)
def test_what_is_not_understood_is_refused_by_name(oss, method, path, body, status, named):
    got, answer = call(f"{oss.admin}/emulator{path}", method, body)
    assert got == status
    assert named in answer["error"]


def test_a_web_page_orders_nothing(oss):
    headers = {"Origin": "http://www.example.com"}
    assert call(f"{oss.admin}/emulator/reset", "POST", headers=headers)[0] == 403


def test_the_admin_port_is_the_servers_own_besides(oss):
    with urllib.request.urlopen(f"{oss.admin}/healthz") as answer:
        assert answer.read() == b"ok\n"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{oss.admin}/emulators")
