"""What is not quite HTTP, sent to a real server: one voice answers, on both of its ports."""

import base64
import re
import socket
import time
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.console import session_of

CONFIG = """
[log]
path = "%s"
[[credentials]]
access_key_id = "ownerKey"
access_key_secret = "ownerSecret"
[buckets.open]
acl = "public-read-write"
[buckets.shut]
"""
STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [A-Z][A-Za-z -]+")
IDLE_S = 0.3  # without a byte: nothing more comes
PICTURE = "/open/example.jpg?x-oss-process=image/resize,w_20"


class Wire:
    """A server, and what its log has.

    Attributes:
        site: The server.
        path: Its access log.
    """

    def __init__(self, site, path):
        self.site, self.path = site, path

    def lines(self):
        """All lines so far; what has been answered before is among them."""
        last = self.site.ask("/open/last").headers["x-oss-request-id"]
        end = time.monotonic() + 10
        while time.monotonic() < end:
            whole = self.path.read_bytes().rpartition(b"\n")[0]
            lines = [orjson.loads(line) for line in whole.splitlines()]
            if any(line["id"] == last for line in lines):
                return lines
            time.sleep(0.02)
        raise AssertionError("the log does not come")

    def metric(self, **labels):
        """``vipsgate_requests_total`` with these labels."""
        rows = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        line = f"vipsgate_requests_total{{{rows}}}"
        text = exchange(
            self.site, self.site.admin_port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        found = re.search(re.escape(line.encode()) + rb" ([0-9.]+)", text)
        return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def wire(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    bucket = folder / "root" / "open"
    bucket.mkdir(parents=True)
    (folder / "root" / "shut").mkdir()
    (bucket / "example.jpg").write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
    (folder / "vipsgate.toml").write_text(CONFIG % (folder / "access.log"))
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site:
        yield Wire(site, folder / "access.log")


def exchange(site, port, data):
    """All that comes back for these bytes, until the server closes or says nothing more."""
    with socket.create_connection((site.host, port), 10) as line:
        got = b""
        try:
            line.sendall(data)
            line.settimeout(IDLE_S)
            while piece := line.recv(1 << 16):
                got += piece
        except TimeoutError:
            pass
        except ConnectionError:
            assert got, "the answer is lost"
        return got


def answers(text):
    """Status, headers and body of each answer; none was to a HEAD."""
    found = []
    while text:
        head, end, rest = text.partition(b"\r\n\r\n")
        assert end, text[:200]
        first, *lines = head.split(b"\r\n")
        status = STATUS.fullmatch(first)
        assert status, first
        headers = {}
        for line in lines:
            name, colon, value = line.decode().partition(": ")
            assert colon
            assert name.lower() not in headers
            headers[name.lower()] = value
        number = int(status[1])
        size = 0 if number in (100, 204, 304) else int(headers["content-length"])
        assert len(rest) >= size
        found.append((number, headers, rest[:size]))
        text = rest[size:]
    return found


def check(found, *, public):
    """Each is an answer of this server, and says nothing of what it is made of."""
    for status, headers, body in found:
        if status == 100:
            continue
        assert status < 500 or status in (501, 503, 505), body
        assert headers["server"] == "vipsgate"
        assert b"aiohttp" not in repr(headers).encode() + body
        assert b"Python" not in repr(headers).encode() + body
        if public or status >= 400:
            identity = headers["x-oss-request-id"]
            assert re.fullmatch("[0-9A-F]{24}", identity)
        if status >= 400:
            assert headers["content-type"] == "application/xml"
            root = ElementTree.fromstring(body)
            assert root.findtext("RequestId") == identity
            assert root.findtext("Code")
            assert len(body) < 2000


# -- rows ------------------------------------------------------------------------------------------

GET = "GET /open/none HTTP/1.1\r\nHost: a\r\n"
# what is sent -> status and code of the answer, behind which the connection is closed
CLOSED = {
    "GET\r\n\r\n": (400, "InvalidRequest"),
    "GET /\r\n": (400, "InvalidRequest"),
    "GET /open/none\r\n\r\n": (400, "InvalidRequest"),
    "GET /open/none HTTP/9.9\r\n\r\n": (505, "HttpVersionNotSupported"),
    "GET /open/none HTTP/2.0\r\nHost: a\r\n\r\n": (505, "HttpVersionNotSupported"),
    "GET /open/none HTTP/1.2\r\nHost: a\r\n\r\n": (505, "HttpVersionNotSupported"),
    "GET /open/none HTTP/0.9\r\nHost: a\r\n\r\n": (505, "HttpVersionNotSupported"),
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": (505, "HttpVersionNotSupported"),
    "GET open/none HTTP/1.1\r\nHost: a\r\n\r\n": (400, "InvalidRequest"),
    "GET /open/none HTTP/1.1\nHost: a\n\n": (400, "InvalidRequest"),
    "GET /open/none HTTP/1.1\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}Host: b\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}Content-Type: a\r\nContent-Type: b\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}A : b\r\n\r\n": (400, "InvalidRequest"),
    f"{GET} folded\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}A: b\0\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}Content-Length: -1\r\n\r\n": (400, "InvalidRequest"),
    f"{GET}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello": (400, "InvalidRequest"),
    f"{GET}Transfer-Encoding: gzip, chunked\r\n\r\n": (501, "NotImplemented"),
    f"{GET}Transfer-Encoding: identity\r\n\r\n": (400, "InvalidRequest"),
    "GET /open/none HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n": (400, "InvalidRequest"),
    "FROB /open/none HTTP/1.1\r\nHost: a\r\n\r\n": (501, "NotImplemented"),
    "\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03": (400, "InvalidRequest"),
    "\0" * 100: (400, "InvalidRequest"),
    "SSH-2.0-OpenSSH_9\r\n": (400, "InvalidRequest"),
    "HTTP/1.1 200 OK\r\n\r\n": (400, "InvalidRequest"),
    f"GET /{'a' * 40_000} HTTP/1.1\r\nHost: a\r\n\r\n": (414, "UriTooLong"),
    f"GET /{'a' * 1_000_000}": (414, "UriTooLong"),
    f"{GET}A: {'a' * 40_000}\r\n\r\n": (431, "RequestHeaderFieldsTooLarge"),
    GET + "A: b\r\n" * 200 + "\r\n": (431, "RequestHeaderFieldsTooLarge"),
    GET + "A: b\r\n" * 200_000: (431, "RequestHeaderFieldsTooLarge"),
    f"{GET}Sec-WebSocket-Key1: a\r\n\r\n": (400, "InvalidRequest"),
}
# -> status and code, behind which it stays open
OPEN = {
    f"{GET}Expect: the-unexpected\r\n\r\n": (417, "ExpectationFailed"),
    f"{GET}Expect: \xff\r\n\r\n": (417, "ExpectationFailed"),
    f"{GET}Expect: 100-Continue\r\n\r\n": (404, "NoSuchKey"),
    f"{GET}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n": (404, "NoSuchKey"),
    f"{GET}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n": (404, "NoSuchKey"),
    "TRACE /open/none HTTP/1.1\r\nHost: a\r\n\r\n": (405, "MethodNotAllowed"),
    "PATCH /open/none HTTP/1.1\r\nHost: a\r\n\r\n": (405, "MethodNotAllowed"),
    "GET  /open/none  HTTP/1.1\r\nHost: a\r\n\r\n": (404, "NoSuchKey"),
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n": (501, "NotImplemented"),
    "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n": (405, "MethodNotAllowed"),
    "\r\n\r\nGET /open/none HTTP/1.1\r\nHost: a\r\n\r\n": (404, "NoSuchKey"),
    "GET /open/\xe8\xa5\xbf HTTP/1.1\r\nHost: a\r\n\r\n": (404, "NoSuchKey"),
    "GET /open/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n": (400, "InvalidObjectName"),
    "GET /open/%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n": (400, "InvalidObjectName"),
    "GET /open/none?\xff=\xff HTTP/1.1\r\nHost: a\r\n\r\n": (400, "InvalidArgument"),
    f"{GET}Content-Length: 5\r\n\r\nhello": (404, "NoSuchKey"),
    "PUT /shut/none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello": (403, "AccessDenied"),
    "PUT /open/none HTTP/1.1\r\nHost: a\r\n\r\n": (411, "MissingContentLength"),
}


def ids(text):
    return ascii(text)[1:60]


@pytest.mark.parametrize("text", CLOSED, ids=ids)
def test_refused_on_the_public_port(wire, text):
    found = answers(exchange(wire.site, wire.site.port, text.encode("latin-1")))
    check(found, public=True)
    ((status, headers, body),) = found
    assert (status, ElementTree.fromstring(body).findtext("Code")) == CLOSED[text]
    assert headers["connection"] == "close"


@pytest.mark.parametrize("text", CLOSED, ids=ids)
def test_refused_on_the_admin_port(wire, text):
    found = answers(exchange(wire.site, wire.site.admin_port, text.encode("latin-1")))
    check(found, public=False)
    ((status, headers, body),) = found
    assert (status, ElementTree.fromstring(body).findtext("Code")) == CLOSED[text]
    assert headers["connection"] == "close"


@pytest.mark.parametrize("text", OPEN, ids=ids)
def test_answered_as_any_other(wire, text):
    again = f"{GET}Connection: close\r\n\r\n".encode()
    found = answers(exchange(wire.site, wire.site.port, text.encode("latin-1") + again))
    check(found, public=True)
    codes = [(status, ElementTree.fromstring(body).findtext("Code")) for status, _, body in found]
    assert codes == [OPEN[text], (404, "NoSuchKey")]
    found = answers(exchange(wire.site, wire.site.admin_port, text.encode("latin-1") + again))
    check(found, public=False)
    assert len([status for status, _, _ in found if status != 100]) == 2


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /console/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /console/static/nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /explain/open/a HTTP/1.1\r\nHost: a\r\nExpect: \xff\r\n\r\n", 417),
        ("PUT /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n", 417),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /explain/open/\xe8\xa5\xbf.jpg HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /explain/open/\xff HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ],
)
def test_the_admin_port_has_the_same_name(wire, text, status):
    cookie = session_of(wire.site, "ownerKey", "ownerSecret")["Cookie"]
    text = text.replace("\r\n", f"\r\nCookie: {cookie}\r\n", 1)
    found = answers(exchange(wire.site, wire.site.admin_port, text.encode("latin-1")))
    check(found, public=False)
    assert [number for number, _, _ in found] == [status]


def test_who_may_not_use_the_admin_port_is_told_so_in_the_same_voice(wire):
    for line in ("GET /", "GET /explain/open/a", "DELETE /cache/open/a", "GET /none", "FROB /"):
        data = f"{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        found = answers(exchange(wire.site, wire.site.admin_port, data))
        check(found, public=False)
        assert [status for status, _, _ in found] == [501 if "FROB" in line else 403]


def test_a_method_that_the_admin_port_does_not_have(wire):
    data = b"PUT /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    ((status, headers, body),) = answers(exchange(wire.site, wire.site.admin_port, data))
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert ElementTree.fromstring(body).findtext("Code") == "MethodNotAllowed"


def test_a_head_says_the_reason_in_a_header(wire):
    request = b"HEAD /shut/none HTTP/1.1\r\nHost: a\r\nExpect: foo\r\nConnection: close\r\n\r\n"
    head = exchange(wire.site, wire.site.port, request).decode()
    packed = re.search("x-oss-err: (.*)\r\n", head)[1]
    assert b"<Code>ExpectationFailed</Code>" in base64.b64decode(packed)


def test_what_is_no_request_is_noted_all_the_same(wire):
    labels = {"method": "(other)", "status": "400", "code": "InvalidRequest"}
    before = wire.metric(**labels)
    ((_, headers, _),) = answers(exchange(wire.site, wire.site.port, b"\0\0\0\0"))
    assert wire.metric(**labels) == before + 1
    (line,) = [one for one in wire.lines() if one["id"] == headers["x-oss-request-id"]]
    assert (line["status"], line["code"], line["remote"]) == (400, "InvalidRequest", "127.0.0.1")
    assert (line["bucket"], line["key"]) == ("", "")


# -- mutations -------------------------------------------------------------------------------------

VALID = [
    f"GET {PICTURE} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".encode(),
    b"PUT /shut/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /shut/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /open/a?x-oss-process HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\nx-oss-process=a",
    b"DELETE /shut/a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nReferer: http://b/\r\n\r\n",
    b"GET http://open.oss-cn-hangzhou.aliyuncs.com/a HTTP/1.1\r\nHost: b\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
WORDS = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"%",
        b"%zz",
        b"\xff",
        b"\xc3\xa9",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Host: b\r\n", b" HTTP/1.1"),
    *(b"Content-Length: 99999999999\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"://"),
    *(
        b"//",
        b"[",
        b"]",
        b"@",
        b"#",
        b"?",
        b"a" * 33_000,
        b"9" * 20,
        b"-",
        b"\x16\x03\x01",
        b"..",
        b"|",
    ),
]


@st.composite
def mutated(draw):
    """A valid request, one to four times changed a little."""
    data = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        other = draw(st.integers(0, len(data)))
        low, high = sorted((at, other))
        data = draw(
            st.sampled_from(
                [
                    data[:at] + draw(st.sampled_from(WORDS)) + data[at:],
                    data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at + 1 :],
                    data[:low] + data[high:],
                    data[:high] + data[low:],
                    data[:at],
                ]
            )
        )
    return data


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutated(), st.booleans())
def test_mutations_of_requests(wire, data, public):
    """What stands behind makes sure that there is an end: no request can begin with it."""
    port = wire.site.port if public else wire.site.admin_port
    check(answers(exchange(wire.site, port, data + b"\r\n\r\n\0\r\n\r\n")), public=public)


# -- one request in another ------------------------------------------------------------------------


def test_there_is_one_answer_and_no_hidden_request(wire, smuggling):
    """It is answered once, or refused; whatever is behind is refused, or not read at all."""
    text = exchange(wire.site, wire.site.port, smuggling)
    found = answers(text)
    check(found, public=True)
    assert b"hidden" not in text.partition(b"\r\n\r\n")[2]  # the key of an answer to it
    assert [status for status, _, _ in found[1:]] in ([], [400])
    if b"chunked" in smuggling and found and "connection" not in found[0][1]:
        assert found[0][0] == 200  # its length counts, the other header is none of HTTP
        assert len(found) == 1


def test_afterwards_nobody_has_asked_for_what_was_hidden(wire):
    assert not [line for line in wire.lines() if line["key"] == "hidden"]


# -- bodies that nobody wants ----------------------------------------------------------------------

ENDLESS = "Content-Length: 999999999999"
UNWANTED = {  # request line and headers, no byte of the body -> status, and what is sent before it
    f"GET /open/none HTTP/1.1|{ENDLESS}": [404],
    "GET /open/none HTTP/1.1|Transfer-Encoding: chunked": [404],
    f"DELETE /shut/none HTTP/1.1|{ENDLESS}": [403],
    f"PUT /shut/none HTTP/1.1|{ENDLESS}": [403],
    f"PUT /shut/none HTTP/1.1|{ENDLESS}|Expect: 100-continue": [403],
    "PUT /shut/none HTTP/1.1|Content-Length: 5|Expect: 100-continue": [403],
    "PUT /shut/none HTTP/1.1|Transfer-Encoding: chunked|Expect: 100-continue": [403],
    f"PUT /open/none HTTP/1.1|{ENDLESS}|Expect: miracles": [417],
    f"PUT /open/none HTTP/1.1|{ENDLESS}": [400],  # above store.upload_bytes
    f"PUT /none-such/none HTTP/1.1|{ENDLESS}": [404],
    f"PUT /open/none?legalHold HTTP/1.1|{ENDLESS}": [501],
    f"POST /open?delete HTTP/1.1|{ENDLESS}|Content-Encoding: gzip": [501],
    f"PUT /open//none HTTP/1.1|{ENDLESS}": [400],
    "POST /open/none?x-oss-process HTTP/1.1|Content-Length: 0|Expect: 100-continue": [100, 400],
}


@pytest.mark.parametrize("text", UNWANTED, ids=ids)
def test_a_refusal_waits_for_no_body(wire, text):
    """It says that the connection ends, and what still comes does not destroy it."""
    line, *rows = text.split("|")
    head = "\r\n".join([line, "Host: a", *rows, "", ""]).encode()
    found = answers(exchange(wire.site, wire.site.port, head))
    check(found, public=True)
    assert [status for status, _, _ in found] == UNWANTED[text]
    if "Content-Length: 0" not in text:
        assert found[-1][1]["connection"] == "close"
        body = bytes(5 if "Length: 5|" in text else 4 << 20)
        again = answers(exchange(wire.site, wire.site.port, head + body))
        assert [status for status, _, _ in again] == UNWANTED[text]


# -- both: the length is dropped -------------------------------------------------------------------

BOTH = ("Transfer-Encoding: chunked", "Content-Length: 5")


@pytest.mark.parametrize("rows", [BOTH, BOTH[::-1]], ids=str)
@pytest.mark.parametrize("pieces", [(b"hello",), (b"hello", b" ", b"world" * 1000), ()], ids=len)
def test_chunks_count_where_there_is_a_length_too(wire, rows, pieces):
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    head = "\r\n".join(["PUT /open/both.bin HTTP/1.1", "Host: a", *rows, "", ""]).encode()
    ((status, headers, _),) = answers(exchange(wire.site, wire.site.port, head + body))
    assert (status, headers["connection"]) == (200, "close")
    assert wire.site.ask("/open/both.bin").body == b"".join(pieces)


def test_the_raw_name_is_the_encoded_one(wire):
    name = "西湖 é".replace(" ", "")
    put = f"PUT /open/{name}.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".encode()
    ((status, _, _),) = answers(exchange(wire.site, wire.site.port, put))
    assert status == 200
    assert wire.site.ask("/open/%E8%A5%BF%E6%B9%96%C3%A9.txt").body == b"hi"
    assert wire.site.ask(f"/open/{name}.txt").body == b"hi"
