"""Answers as bytes: the XML of an error, types by name, headers on everything."""

import errno
import re
import socket
import time
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import BadRequest, NoSuchKey, ServiceUnavailable
from vipsgate.observe.record import RequestRecord
from vipsgate.web import responses


def test_the_elements_come_in_order():
    error = NoSuchKey("The key.", ec="0026-00000001", extra={"Key": "a<b>&.jpg", "Z": "1"})
    text = responses.xml(error, "ABC", "photos.example.com")
    root = ElementTree.fromstring(text)
    assert root.tag == "Error"
    assert [(part.tag, part.text) for part in root] == [
        ("Code", "NoSuchKey"),
        ("Message", "The key."),
        ("RequestId", "ABC"),
        ("HostId", "photos.example.com"),
        ("Key", "a<b>&.jpg"),
        ("Z", "1"),
        ("EC", "0026-00000001"),
    ]


def test_no_ec_where_none_is_known():
    assert b"<EC>" not in responses.xml(BadRequest("x"), "ABC", "")


anything = st.text() | st.text(alphabet="\0\x01\t\n\r<>&\"']\ud800\udfff\ufffe\uffff\U0010ffff")


@given(message=anything, host=anything, key=anything)
def test_whatever_a_client_says_the_xml_can_be_read(message, host, key):
    text = responses.xml(BadRequest(message, extra={"Key": key}), "ABC", host)
    assert len(ElementTree.fromstring(text)) == 5


def test_request_ids():
    ids = [responses.request_id() for _ in range(1000)]
    assert all(re.fullmatch(r"[0-9A-F]{24}", identity) for identity in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.JPEG", "image/jpeg"),
        ("a.b/c.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.heic", "image/heic"),
        ("a.bmp", "image/bmp"),
        ("a.tif", "image/tiff"),
        ("a.gif", "image/gif"),
        ("a.svg", "image/svg+xml"),
        ("a.mp4", "video/mp4"),
        ("a.html", "text/html"),
        ("a.txt", "text/plain"),
        ("a.json", "application/json"),
        ("a", "application/octet-stream"),
        ("a.jpg.unknown", "application/octet-stream"),
        ("a.jpg/b", "application/octet-stream"),
        (".jpg", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("a.", "application/octet-stream"),
    ],
)
def test_types_by_name(key, kind):
    assert responses.mime_of(key) == kind


@given(st.text())
def test_a_type_is_always_a_type(key):
    assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", responses.mime_of(key))


def test_every_answer_is_stamped():
    headers = responses.stamped({responses.RECORD: RequestRecord(0.0, "ABC")})
    assert headers["x-oss-request-id"] == "ABC"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["x-oss-server-time"].isdigit()


class Silent:
    """A transport that has sent its headers."""

    def __init__(self, connection, closing=False):
        self.connection, self.closing = connection, closing

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closing

    def get_extra_info(self, name):
        return self.connection


@pytest.mark.parametrize(
    "fault", [OSError(errno.EIO, "disk"), BrokenPipeError(), "closing"], ids=repr
)
async def test_a_body_that_cannot_be_finished_is_cut_not_followed_by_an_error(fault, monkeypatch):
    """Behind half a body an error's XML would be taken for the rest of the picture."""

    def sendfile(*_):
        raise fault

    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(responses.os, "sendfile", sendfile)
        request = SimpleNamespace(transport=Silent(ours, fault == "closing"))
        with pytest.raises(ConnectionResetError):
            await responses._send(request, 0, range(10))


@pytest.mark.parametrize(
    ("span", "together"),
    [
        (range(10), True),
        (range(3, 5), True),
        (range(5, responses.MAX_READ + 5), True),
        (range(responses.MAX_READ + 1), False),
    ],
)
def test_a_small_part_of_a_file_goes_together_with_its_headers(tmp_path, span, together):
    """A larger one goes by itself, from the file to the socket."""
    data = bytes(at % 251 for at in range(responses.MAX_READ + 10))
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file:
        part = responses._at_once(file.fileno(), span)
    assert part == (data[span.start : span.stop] if together else None)


@pytest.mark.parametrize("fault", ["shorter", "unreadable"])
def test_a_small_file_that_cannot_be_read_is_refused(tmp_path, fault):
    """Nothing has been sent yet, so it can be said."""
    path = tmp_path / "a"
    path.write_bytes(b"data")
    with path.open("rb" if fault == "shorter" else "ab") as file, pytest.raises(ServiceUnavailable):
        responses._at_once(file.fileno(), range(5))


@pytest.mark.parametrize(
    ("kind", "active"),
    [
        ("text/html", True),
        ("Text/HTML; charset=utf-8", True),
        ("text/html ;x", True),
        ("image/svg+xml", True),
        ("application/xhtml+xml;a=b", True),
        ("application/xml", True),
        ("text/xsl", True),
        ("image/png, text/html", True),  # a list, of which the last one counts
        ("text/html,", True),
        ('image/png;a=",",text/html', True),
        ("x/y;,application/xml", True),
        ("text/plain", False),
        ("text/plain; charset=utf-8", False),
        ("image/png, image/jpeg", False),
        ("image/jpeg", False),
        ("", False),
    ],
)
def test_what_a_browser_would_run(kind, active):
    assert responses.is_active(kind) is active


@pytest.mark.parametrize(
    ("given", "brief"),
    {
        "": "max-age=30",
        "max-age=86400": "max-age=30",
        "public, max-age=86400, immutable": "public, max-age=30",
        "private": "private, max-age=30",
        "no-store": "no-store, max-age=30",
        "S-Maxage=9, stale-while-revalidate=60, must-revalidate": "must-revalidate, max-age=30",
        "s-maxage=900,Max-Age=900,stale-if-error=9": "max-age=30",
    }.items(),
)
def test_a_stand_in_is_kept_for_a_moment(given, brief):
    headers = {"Cache-Control": given, "Expires": "Thu, 01 Jan 2099 00:00:00 GMT", "ETag": "x"}
    responses.shorten(headers)
    assert headers == {"Cache-Control": brief, "ETag": "x"}


def test_a_hit_has_waited_for_nothing():
    shown = r"queue;dur=0\.00, open;dur=(\d+\.\d\d), render;dur=0\.00, total;dur=(\d+\.\d\d)"
    hit = re.fullmatch(shown, responses.timing(time.perf_counter() - 1.5))
    assert hit[1] == hit[2]
    assert 1500 <= float(hit[1]) < 10_000
    miss = responses.timing(time.perf_counter() - 1.5, queue=0.25, render=1, encode="q=80")
    pattern = r"queue;dur=250\.00, open;dur=\d+\.\d\d, render;dur=1000\.00, total;dur=\d+\.\d\d, "
    assert re.fullmatch(pattern + 'encode;desc="q=80"', miss)
