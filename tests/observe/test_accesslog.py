"""Lines of the access log: what is in them, what never is, and what a bad disk costs."""

import asyncio
import os
import re
import time
from types import SimpleNamespace

import orjson
import pytest
from multidict import CIMultiDict

from vipsgate.observe.accesslog import MAX_PENDING, AccessLog, Writer, redacted
from vipsgate.observe.record import RequestRecord

KEPT = [
    "cat.jpg",
    "a=b&c=d.jpg",
    "西湖/日出.jpg",
    "50%.jpg",
    "image/resize,w_100|image/format,webp",
    "image/watermark,text_dG9rZW4=,g_se",
    "my-signature.jpg",
    "style/signature",
]
CUT = [
    ("cat.jpg?Expires=1&Signature=abc%2Fdef&x=1", "cat.jpg?Expires=1&Signature=***&x=1"),
    ("image/resize,w_1&signature=abc", "image/resize,w_1&signature=***"),
    ("a?OSSAccessKeyId=id&security-token=a/b+c", "a?OSSAccessKeyId=***&security-token=***"),
    ("a?x-oss-credential=i/20&x-oss-signature=4", "a?x-oss-credential=***&x-oss-signature=***"),
    ("cat.jpg?Signature%3Dabc%26x%3D1", "cat.jpg?Signature%3D***%26x%3D1"),
    ("cat.jpg%253FSignature%253Dabc%2526x", "cat.jpg%253FSignature%253D***%2526x"),
    ("a\nSignature=b\nc", "a\nSignature=***"),
]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize(("text", "left"), CUT)
def test_what_may_be_a_signature_goes(text, left):
    assert redacted(text) == left


def request(path="/photos/cat.jpg", method="GET", **headers):
    headers = CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()})
    version = SimpleNamespace(major=1, minor=1)
    return SimpleNamespace(
        raw_path=path, method=method, headers=headers, remote="192.0.2.1", version=version
    )


def record(**known):
    made = RequestRecord(0.0, "0123456789ABCDEF01234567")
    for name, value in {"bucket": "photos", "key": "cat.jpg", **known}.items():
        setattr(made, name, value)
    return made


async def written(tmp_path, form, *calls):
    """The lines of a log with these requests."""
    log = AccessLog(form, str(tmp_path / "log"))
    for known, asked in calls:
        log.add(known, asked, 200, 1234, 0.0125)
    log.close()
    return (tmp_path / "log").read_bytes().decode().split("\n")[:-1]


async def test_a_line_of_json(tmp_path):
    known = record(process="style/thumb", cache="miss", queue=0.001, render=0.01)
    asked = request(User_Agent="curl/8", Referer="http://u:p@example.com/a?Signature=x#y")
    (line,) = await written(tmp_path, "json", (known, asked))
    said = orjson.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", said.pop("time"))
    assert said == {
        "id": "0123456789ABCDEF01234567",
        "remote": "192.0.2.1",
        "method": "GET",
        "bucket": "photos",
        "key": "cat.jpg",
        "process": "style/thumb",
        "status": 200,
        "code": "",
        "ec": "",
        "rule": "",
        "bytes": 1234,
        "cache": "miss",
        "origin": "",
        "queue_ms": 1.0,
        "open_ms": 1.5,
        "render_ms": 10.0,
        "total_ms": 12.5,
        "agent": "curl/8",
        "referer": "http://example.com/a",
    }


COMBINED = re.compile(
    r'192\.0\.2\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(.*?)" 200 1234 '
    r'"(.*?)" "(.*)"'
)


@pytest.mark.parametrize(
    ("known", "asked", "words"),
    [
        (record(), request(), ("GET /photos/cat.jpg HTTP/1.1", "-", "-")),
        (
            record(key="西湖/a b.jpg", process="image/resize,w_1|image/format,webp"),
            request(Referer="http://a/b?c", User_Agent='say "hi"\\'),
            (
                "GET /photos/%E8%A5%BF%E6%B9%96/a%20b.jpg"
                "?x-oss-process=image/resize,w_1|image/format,webp HTTP/1.1",
                "http://a/b",
                'say \\"hi\\"\\\\',
            ),
        ),
        (record(bucket=""), request("/%2e%2e/x?Signature=s"), ("GET /../x HTTP/1.1", "-", "-")),
        (
            record(),
            request(User_Agent="a\x1b[2Jb"),
            ("GET /photos/cat.jpg HTTP/1.1", "-", "a\\x1b[2Jb"),
        ),
    ],
    ids=["plain", "encoded", "no bucket", "a terminal's word"],
)
async def test_a_combined_line(tmp_path, known, asked, words):
    (line,) = await written(tmp_path, "combined", (known, asked))
    assert COMBINED.fullmatch(line).groups() == words


@pytest.mark.parametrize("form", ["json", "combined"])
async def test_one_request_is_one_line_whatever_it_says(tmp_path, form):
    hostile = "a\nb\r\u2028\udc80\x00\x7f" * 200
    lines = await written(
        tmp_path,
        form,
        (record(key=hostile, process=hostile), request(User_Agent=hostile, Referer=hostile)),
        (record(bucket=""), request("/" + "%0a%80" * 5000 + "?a", method="G" * 9000)),
    )
    assert len(lines) == 2
    assert max(map(len, lines)) < 20_000


async def test_lines_go_to_the_new_file_after_a_reopen(tmp_path):
    path = tmp_path / "log"
    writer = Writer(str(path))
    writer.add(b"1\n")
    writer.flush()
    await until(lambda: path.read_bytes() == b"1\n")
    path.rename(tmp_path / "log.1")
    writer.add(b"2\n")
    writer.reopen()
    writer.add(b"3\n")
    writer.close()
    assert (tmp_path / "log.1").read_bytes() == b"1\n2\n"
    assert path.read_bytes() == b"3\n"
    assert writer.dropped == 0


async def test_lines_come_by_themselves(tmp_path):
    writer = Writer(str(tmp_path / "log"))
    writer.add(b"1\n")
    await until(lambda: (tmp_path / "log").read_bytes() == b"1\n")
    writer.close()


async def test_a_folder_that_is_gone_keeps_the_old_file(tmp_path, caplog):
    (tmp_path / "logs").mkdir()
    writer = Writer(str(tmp_path / "logs" / "log"))
    (tmp_path / "logs").rename(tmp_path / "old")
    writer.reopen()
    writer.add(b"1\n")
    writer.close()
    assert (tmp_path / "old" / "log").read_bytes() == b"1\n"
    assert "stays in its old file" in caplog.text


async def test_a_full_disk_costs_lines_only(caplog):
    writer = Writer("/dev/full")
    for _ in range(3):
        writer.add(b"1\n")
        writer.flush()
    writer.close()
    assert writer.dropped == 3
    assert caplog.text.count("lines of the log are lost") == 1


async def test_a_stuck_disk_makes_nobody_wait(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        writer = Writer(str(pipe))
        line, count = b"x" * 9999 + b"\n", MAX_PENDING // 10_000 + 500
        begun = time.monotonic()
        for _ in range(count):
            writer.add(line)
        assert time.monotonic() - begun < 5
        assert 400 < writer.dropped < 600
        begun = time.monotonic()
        writer.close()
        assert time.monotonic() - begun < 5
    finally:
        os.close(reader)  # lets the thread end


def test_a_file_that_cannot_be_had(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        AccessLog("json", str(tmp_path / "no" / "log"))


async def until(fact):
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
