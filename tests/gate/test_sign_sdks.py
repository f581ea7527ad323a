"""What the official SDKs sign is taken, as they write it: V1, V2 and V4, in URLs and headers.

They run as they are, up to the socket: the request that they would have sent is caught there.
"""

import time
import warnings
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.errors import RequestTimeTooSkewed, SignatureDoesNotMatch
from vipsgate.gate.sign import Credential, Request, fields, verify

# the SDKs' own: old ways to tell the time, and sessions that are not closed
pytestmark = pytest.mark.filterwarnings("ignore")

REGION, BUCKET = "cn-hangzhou", "photos"
ENDPOINT = "http://127.0.0.1:8080"
ID, SECRET, TOKEN = "an.Id_1=", "a secret", "CAIS+/= token&?"
LASTING, STS = Credential(ID, SECRET), Credential(ID, SECRET, security_token=TOKEN)
BOTH = pytest.mark.parametrize("credential", [LASTING, STS], ids=["lasting", "sts"])


def sdk(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"needs {name}: pip install -e '.[test]'")


@pytest.fixture(scope="module")
def oss2():
    return sdk("oss2")


@pytest.fixture(scope="module")
def v2():
    return sdk("alibabacloud_oss_v2")


def signs(text):
    """No ``.`` and ``..`` between slashes: HTTP clients resolve them, and no key has them."""
    return st.text(text, min_size=1, max_size=16).filter(
        lambda key: not {".", ".."} & set(key.split("/"))
    )


any_sign = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
keys = (signs(any_sign) | signs("ab/ +%&=~é西;#'!()*\"[]")).filter(
    # the SDKs' own rules: no blank name, no ? in front; and none of ours begins with / or \
    lambda key: key.strip() and key[0] not in "?/\\"
)
processes = st.text(any_sign, max_size=20) | st.text("image/resize,w_1|+%&=?", max_size=20)


def arrived(method, url, headers=()):
    """A request as a server has it."""
    parts = urlsplit(url)
    bucket, _, key = unquote(parts.path)[1:].partition("/")
    query = tuple(
        (unquote(name), unquote(value))
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair)
    )
    return Request(method, bucket, key, query, fields(headers))


def check(request, credential, key, process):
    """It is taken, it asks for what was meant, and it is good for nothing else."""
    now = time.time()
    assert (request.bucket, request.key) == (BUCKET, key)
    assert request.value("x-oss-process") == process
    assert verify(request, [credential], now, REGION) is credential
    with pytest.raises(SignatureDoesNotMatch):
        verify(replace(request, key=key + "x"), [credential], now, REGION)
    query = tuple((k, v + "x" if k == "x-oss-process" else v) for k, v in request.query)
    if process:
        with pytest.raises(SignatureDoesNotMatch):
            verify(replace(request, query=query), [credential], now, REGION)


class Caught(Exception):
    """What would have been sent."""


class Catching:
    """The session of oss2, without a socket; what it makes of a request is requests' own."""

    def do_request(self, req, timeout):
        import requests

        made = requests.Request(req.method, req.url, data=req.data, params=req.params)
        made.headers = {k: v for k, v in req.headers.items() if v is not None}
        raise Caught(made.prepare())


def bucket_of(oss2, version, credential):
    kind = oss2.auth.make_auth
    auth = kind(ID, SECRET, version)
    if credential.security_token:
        auth = oss2.StsAuth(ID, SECRET, TOKEN, version)
    return oss2.Bucket(auth, ENDPOINT, BUCKET, session=Catching(), region=REGION)


def unambiguous(version, key, process):
    """V1 cannot tell some names and values from parameters; they are refused, and rare."""
    from vipsgate.gate.sign import v1

    query = ((("x-oss-process", process),) if process else ()) + (("security-token", TOKEN),)
    assume(version != "v1" or not v1.ambiguous(Request("GET", BUCKET, key, query)))


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
@BOTH
@settings(max_examples=times(40), deadline=None)
@given(key=keys, process=processes, safe=st.booleans())
def test_oss2_url(oss2, version, credential, key, process, safe):
    unambiguous(version, key, process)
    params = {"x-oss-process": process} if process else {}
    bucket = bucket_of(oss2, version, credential)
    url = bucket.sign_url("GET", key, 600, params=params, slash_safe=safe)
    check(arrived("GET", url), credential, key, process)


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
@BOTH
@settings(max_examples=times(40), deadline=None)
# requests writes a space in a parameter as +, which stays a plus: no process has a space
@given(key=keys, process=processes.filter(lambda text: " " not in text))
def test_oss2_header(oss2, version, credential, key, process):
    unambiguous(version, key, process)
    with pytest.raises(Caught) as caught:
        bucket_of(oss2, version, credential).get_object(key, process=process or None)
    sent = caught.value.args[0]
    check(arrived(sent.method, sent.url, sent.headers.items()), credential, key, process)


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
@BOTH
def test_oss2_saveas_and_upload(oss2, version, credential):
    bucket = bucket_of(oss2, version, credential)
    for call in (
        lambda: bucket.process_object("a b.jpg", "image/resize,w_1|sys/saveas,o_YQ"),
        lambda: bucket.put_object("a b.jpg", b"x", headers={"x-oss-meta-a": "é".encode()}),
        lambda: bucket.put_object("a b.jpg", b"x", headers={"Content-MD5": "nd1Q"}),
        lambda: bucket.get_object("a b.jpg", byte_range=(0, 9)),
        lambda: bucket.head_object("a b.jpg"),
        lambda: bucket.delete_object("a b.jpg"),
    ):
        with pytest.raises(Caught) as caught:
            call()
        sent = caught.value.args[0]
        made = arrived(sent.method, sent.url, text(sent.headers))
        check(made, credential, "a b.jpg", "")


def text(headers):
    """As a server reads them: bytes that need not be UTF-8."""
    for name, value in headers.items():
        raw = value if isinstance(value, bytes) else str(value).encode()
        yield name, raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("version", ["v1", "v2", "v4"])
@pytest.mark.parametrize("minutes", [-16, 16])
def test_oss2_header_of_another_time(oss2, version, minutes):
    with pytest.raises(Caught) as caught:
        bucket_of(oss2, version, LASTING).get_object("a")
    sent = caught.value.args[0]
    made = arrived(sent.method, sent.url, sent.headers.items())
    with pytest.raises(RequestTimeTooSkewed):
        verify(made, [LASTING], time.time() + 60 * minutes, REGION)


@pytest.mark.parametrize("version", ["v2", "v4"])
def test_oss2_additional_headers(oss2, version):
    bucket = bucket_of(oss2, version, LASTING)
    wanted = {"Range": "bytes=0-9", "Referer": "http://a", "User-Agent": "x"}
    url = bucket.sign_url("GET", "a", 600, headers=wanted, additional_headers=wanted)
    made = arrived("GET", url, wanted.items())
    check(made, LASTING, "a", "")
    for name in ("range", "referer", "user-agent"):
        other = replace(made, headers={**made.headers, name: "other"})
        with pytest.raises(SignatureDoesNotMatch):
            verify(other, [LASTING], time.time(), REGION)


def client_of(v2, version, credential, sent):
    class Nowhere(v2.types.HttpClient):
        def send(self, request, **kwargs):
            sent.append(request)
            raise Caught

        def open(self):
            pass

        def close(self):
            pass

    config = v2.config.load_default()
    config.credentials_provider = v2.credentials.StaticCredentialsProvider(
        ID, SECRET, credential.security_token or None
    )
    config.region, config.endpoint, config.signature_version = REGION, ENDPOINT, version
    config.http_client = Nowhere()
    config.retryer = v2.retry.NopRetryer()
    return v2.Client(config)


@BOTH
@settings(max_examples=times(40), deadline=None)
@given(key=keys, process=processes)
def test_v2_url(v2, credential, key, process):
    asked = v2.GetObjectRequest(bucket=BUCKET, key=key, process=process or None)
    made = client_of(v2, "v4", credential, []).presign(asked, expires=timedelta(hours=1))
    check(arrived("GET", made.url), credential, key, process)


@BOTH
@settings(max_examples=times(40), deadline=None)
@given(key=keys, process=processes)
def test_v2_header(v2, credential, key, process):
    sent = []
    asked = v2.GetObjectRequest(bucket=BUCKET, key=key, process=process or None)
    with pytest.raises(v2.exceptions.OperationError):
        client_of(v2, "v4", credential, sent).get_object(asked)
    made = sent[0]
    check(arrived(made.method, made.url, made.headers.items()), credential, key, process)


@settings(max_examples=times(40), deadline=None)
@given(key=keys, process=processes, place=st.sampled_from(["url", "header"]))
def test_v2_signs_v1_without_the_process(v2, key, process, place):
    """A fault of the client: what it leaves out of a V1 signature, anybody could put in."""
    unambiguous("v1", key, process)
    sent = []
    client = client_of(v2, "v1", LASTING, sent)
    asked = v2.GetObjectRequest(bucket=BUCKET, key=key, process=process or None)
    if place == "url":
        made = arrived("GET", client.presign(asked, expires=timedelta(hours=1)).url)
    else:
        with pytest.raises(v2.exceptions.OperationError):
            client.get_object(asked)
        made = arrived(sent[0].method, sent[0].url, sent[0].headers.items())
    if process:
        with pytest.raises(SignatureDoesNotMatch):
            verify(made, [LASTING], time.time(), REGION)
    else:
        check(made, LASTING, key, "")


def test_v2_additional_headers(v2):
    # the client never hands its option on to its signer, which can do it
    from alibabacloud_oss_v2.signer import SignerV4

    wanted = {"range": "bytes=0-9", "user-agent": "x", "content-type": "image/png"}
    asked = v2.types.HttpRequest("GET", f"{ENDPOINT}/{BUCKET}/a", headers=wanted)
    context = v2.types.SigningContext("oss", REGION, BUCKET, "a", asked, additional_headers=wanted)
    context.credentials = v2.types.Credentials(ID, SECRET)
    SignerV4().sign(context)
    made = arrived("GET", asked.url, asked.headers.items())
    assert ",AdditionalHeaders=range;user-agent," in made.headers["authorization"]
    check(made, LASTING, "a", "")
    for name in wanted:
        other = replace(made, headers={**made.headers, name: "other"})
        with pytest.raises(SignatureDoesNotMatch):
            verify(other, [LASTING], time.time(), REGION)
