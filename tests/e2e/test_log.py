"""The access log of a real server: every request has its line, and no line has a secret."""

import os
import re
import signal
import time
from urllib.parse import quote, unquote, urlsplit

import orjson
import pytest

from vipsgate.gate import sign

BUCKET, KEY = "examplebucket", "example.jpg"
THUMB = "image/resize,w_60"
OWNER = sign.Credential("ownerkey", "owner-secret-4711")
GUEST = sign.Credential("guestkey", "guest-secret-4711", "reader", "CAIS-token-4711+/=")
CONFIG = """
[log]
path = "%s"
[[credentials]]
access_key_id = "ownerkey"
access_key_secret = "owner-secret-4711"
[[credentials]]
access_key_id = "guestkey"
access_key_secret = "guest-secret-4711"
role = "reader"
security_token = "CAIS-token-4711+/="
[buckets.examplebucket]
acl = "public-read"
separators = ["!"]
[buckets.examplebucket.styles]
small = "image/resize,w_40"
[buckets.examplebucket.protection]
enabled = true
extensions = ["png"]
"""


class Log:
    """What a server writes."""

    def __init__(self, path, site):
        self.path, self.site = path, site

    def line(self, answer):
        """That of a request."""
        identity = answer.headers["x-oss-request-id"]
        assert re.fullmatch("[0-9A-F]{24}", identity)
        found = []

        def there():
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
            found[:] = [line for line in map(orjson.loads, lines) if line["id"] == identity]
            return found

        until(there)
        (line,) = found
        return line


def until(fact):
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def log(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    path = folder / "access.log"
    (folder / "vipsgate.toml").write_text(CONFIG % path)
    options = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(root, *options, renderers=1) as site:
        yield Log(path, site)


def test_a_picture_and_its_hits(log):
    for number in range(4):
        answer = log.site.get(KEY, THUMB, headers={"User-Agent": "me/1", "Referer": "http://a/?b"})
        said = log.line(answer)
        assert said["bytes"] == len(answer.body)
        assert said["cache"] == ("memory" if number else "miss")
        assert (said["bucket"], said["key"], said["process"]) == (BUCKET, KEY, THUMB)
        assert (said["method"], said["status"], said["code"]) == ("GET", 200, "")
        assert (said["agent"], said["referer"]) == ("me/1", "http://a/")
        assert said["remote"] == "127.0.0.1"
        parts = said["queue_ms"] + said["open_ms"] + said["render_ms"]
        assert parts == pytest.approx(said["total_ms"], abs=0.01)
        assert (said["render_ms"] > 0) == (number == 0)


def test_a_style_in_the_name(log):
    said = log.line(log.site.ask(f"/{BUCKET}/{KEY}!small"))
    assert (said["key"], said["process"], said["status"]) == (KEY, "style/small", 200)


REFUSED = [
    (f"/{BUCKET}/missing.jpg", 404, "NoSuchKey", ""),
    (f"/{BUCKET}/{KEY}?x-oss-process=image/resize,w_0", 400, "InvalidArgument", ""),
    (f"/{BUCKET}/alpha.png", 403, "AccessDenied", "protection"),
    (f"/{BUCKET}?acl", 403, "AccessDenied", "role"),
    ("/nowhere/x.jpg", 404, "NoSuchBucket", ""),
    ("/B/x.jpg", 400, "InvalidBucketName", ""),
]


@pytest.mark.parametrize(("target", "status", "code", "rule"), REFUSED, ids=lambda v: str(v))
def test_a_refusal(log, target, status, code, rule):
    answer = log.site.ask(target)
    said = log.line(answer)
    assert (said["status"], said["code"], said["rule"]) == (status, code, rule)
    assert (said["ec"], said["bytes"]) == (answer.ec, len(answer.body))


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [("HEAD", {}, 200), ("GET", {"If-None-Match": "*"}, 304), ("GET", {"Range": "bytes=0-9"}, 206)],
)
def test_bytes_are_those_of_the_body(log, method, headers, status):
    answer = log.site.get("large.bin", method=method, headers=headers)
    said = log.line(answer)
    assert (said["status"], said["bytes"]) == (status, len(answer.body))


def signed(credential, version, **more):
    made = sign.sign_url(
        credential,
        BUCKET,
        KEY,
        now=time.time(),
        process=THUMB,
        version=version,
        region="cn-hangzhou",
        endpoint="http://x",
        **more,
    )
    return made.removeprefix("http://x")


def in_headers(credential, version):
    request = sign.Request("GET", BUCKET, KEY, (), {})
    return sign.sign_headers(
        credential, request, now=time.time(), version=version, region="cn-hangzhou"
    )


def secrets(target, headers):
    """All that is of use to a thief: the values of a signature's parameters and headers."""
    values = [part.partition("=")[2] for part in urlsplit(target).query.split("&")]
    values += headers.values()
    known = {unquote(value) for value in values} - {THUMB}
    parts = {part for value in known for part in re.split("[ ,:]|Signature=", value)}
    long = {value for value in known | parts if len(value) > 20}
    keys = {OWNER.access_key_secret, GUEST.access_key_secret, GUEST.security_token}
    assert long - keys  # a signature at the least
    return long | keys


def named(value):
    return getattr(value, "__name__", getattr(value, "access_key_id", str(value)))


SIGNED = [
    *((signed, credential, version) for credential in (OWNER, GUEST) for version in (1, 4)),
    *((in_headers, credential, version) for credential in (OWNER, GUEST) for version in (1, 4)),
]


@pytest.mark.parametrize(("make", "credential", "version"), SIGNED, ids=named)
@pytest.mark.parametrize("spoilt", ["", "expired", "wrong", "encoded twice", "as a referer"])
def test_no_secret_is_ever_written(log, make, credential, version, spoilt):
    made = make(credential, version)
    target, headers = (made, {}) if make is signed else (f"/{BUCKET}/{KEY}", made)
    known = secrets(target, headers)
    status = 200
    if spoilt == "expired":
        target = re.sub(r"Expires=\d+", "Expires=1", target)
        status = None
    elif spoilt == "wrong":
        target = target.replace("w_60", "w_61") + "&response-expires=1"
        status = None
    elif spoilt == "encoded twice":
        target = quote(target, safe="/")  # all of it is the key
        status = 404 if make is signed else 200
    elif spoilt == "as a referer":
        headers = headers | {"Referer": f"http://127.0.0.1{target}"}
    answer = log.site.ask(target, headers)
    assert status in (None, answer.status), answer.body
    assert log.line(answer)["status"] == answer.status
    text = log.path.read_text() + log.site.log.read_text()
    assert not [secret for secret in known if secret in text or quote(secret, safe="") in text]


def test_a_callers_style_is_named_and_not_spelled(log):
    """What stands behind a style is its bucket's own affair."""
    said = log.line(log.site.get("alpha.png", "style/small"))
    assert said["process"] == "style/small"
    assert "w_40" not in log.path.read_text()


def test_a_new_file_after_sighup(log):
    log.line(log.site.get(KEY))
    old = log.path.with_suffix(".1")
    log.path.rename(old)
    log.site.process.send_signal(signal.SIGHUP)
    until(log.path.exists)
    before = old.read_bytes()
    assert log.line(log.site.get(KEY))["status"] == 200
    assert old.read_bytes() == before


def test_a_client_that_leaves(log):
    with log.site.socket() as line:
        line.sendall(f"GET /{BUCKET}/big21.jpg HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        line.recv(10)
    until(lambda: b'"status":499' in log.path.read_bytes())


def test_standard_error_takes_it_and_standard_output_stays_empty(serving, root):
    with serving(
        root, env={"VIPSGATE_LOG__FORMAT": "combined", "VIPSGATE_LOG__PATH": "-"}, renderers=1
    ) as site:
        site.get(KEY, THUMB)
        words = f'"GET /{BUCKET}/{KEY}?x-oss-process={THUMB} HTTP/1.1" 200'
        until(lambda: words in site.log.read_text())
    assert site.process.returncode == 0


def test_the_last_lines_are_written_when_the_server_ends(serving, root, tmp_path):
    env = {"VIPSGATE_LOG__PATH": str(tmp_path / "log")}
    with serving(root, env=env, renderers=1) as site:
        for _ in range(10):
            site.get(KEY)
    assert len((tmp_path / "log").read_bytes().splitlines()) == 10


def test_nothing_is_written_unless_it_is_said_where(serving, root):
    with serving(root, renderers=1) as site:
        assert site.get(KEY).status == 200
    assert KEY not in site.log.read_text()


def test_a_full_disk_breaks_no_answer(serving, root):
    with serving(root, env={"VIPSGATE_LOG__PATH": "/dev/full"}, renderers=1) as site:
        for _ in range(3):
            assert site.get(KEY).status == 200
            time.sleep(0.3)
    assert site.log.read_text().count("lines of the log are lost: /dev/full: No space left") == 1


def test_a_pipe_that_nobody_reads_breaks_no_answer(serving, root, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with serving(root, env={"VIPSGATE_LOG__PATH": str(pipe)}, renderers=1) as site:
            agent = {"User-Agent": "x" * 512}
            for _ in range(200):  # more than a pipe takes
                assert site.get(KEY, headers=agent).status == 200
    finally:
        os.close(reader)


def test_a_log_that_cannot_be_had_stops_the_start(serving, root, tmp_path):
    env = {"VIPSGATE_LOG__PATH": str(tmp_path / "no" / "log")}
    with (
        pytest.raises(AssertionError, match=r"log\.path = .*: No such file or directory"),
        serving(root, env=env),
    ):
        pass
