"""The parser by itself: requests one by one, however they are cut."""

import asyncio
import contextlib
import itertools

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st
from support.requests import GET, chunked, put

from vipsgate.web import framing
from vipsgate.web.parser import MAX_PIPELINED, PIPELINED_BYTES, Parser


class Protocol:
    """The connection as a parser sees it; how often it was asked to stop."""

    def __init__(self, parser):
        self.parser, self.pauses = parser, 0

    def pause_reading(self):
        self.pauses += 1
        self.parser().pause_reading()

    def resume_reading(self, resume_parser=True):
        pass


def parser_of(loop, size=1 << 16):
    """A parser, and what it reads for."""
    made = []
    protocol = Protocol(lambda: made[0])
    made.append(
        Parser(
            lambda: HttpRequestParser(
                protocol,
                loop,
                size,
                payload_exception=web.RequestPayloadError,
                auto_decompress=False,
            )
        )
    )
    return made[0], protocol


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


def body_of(payload):
    """All that has come of a body, and whether that is all; or that it is refused."""
    if payload.exception():
        return "refused", None
    return payload.read_nowait(), payload.is_eof()


def told(messages):
    """Requests as the rows below say them, refusals as their codes."""
    return [
        message.exc.code
        if hasattr(message, "exc")
        else (message.method, message.path, message.should_close, *body_of(payload))
        for message, payload in messages
    ]


TOLD = ("GET", "/a", False, b"", True)


plain = st.sampled_from(
    [
        (GET, TOLD),
        (b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", ("HEAD", *TOLD[1:])),
        (b"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", ("DELETE", *TOLD[1:])),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", TOLD),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), ("GET", "/%C3%A9", False, b"", True)),
        (
            b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            TOLD,
        ),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", TOLD),
        (
            b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
            (*TOLD[:3], b"\r\n", True),
        ),
        (b"\r\n" + GET, TOLD),
    ]
)
bodies = st.one_of(st.binary(max_size=40), st.sampled_from([GET, b"\r\n\r\n", b"0\r\n\r\n", b""]))
uploads = bodies.map(lambda body: (put(body), ("PUT", "/b", False, body, True)))
chunks = st.lists(bodies.filter(bool), max_size=3)
last = st.builds(
    lambda pieces, both: (
        put(
            chunked(*pieces),
            b"Transfer-Encoding: chunked",
            *([b"Content-Length: 7"] if both else []),
            length=False,
        ),
        ("PUT", "/b", True, b"".join(pieces), True),
    ),
    chunks,
    st.booleans(),
)


@given(
    st.lists(st.one_of(plain, uploads), max_size=5),
    st.one_of(st.none(), last),
    st.one_of(plain, bodies.map(lambda data: (data, None))),
    st.data(),
)
def test_the_same_requests_however_they_are_cut(requests, end, behind, data):
    """And behind chunks there is no further one, whatever stands there."""
    sent = [*requests, *([end, behind] if end else [])]
    whole = b"".join(text for text, _ in sent)
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        parser, _ = parser_of(loop)
        found = []
        for a, b in itertools.pairwise([0, *places, len(whole)]):
            messages, upgraded, tail = parser.feed_data(whole[a:b])
            assert (upgraded, tail) == (False, b"")
            found += messages
        assert told(found) == [meaning for _, meaning in (*requests, *([end] if end else []))]
        assert parser.ended == bool(end)


words = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b"\0",
            b" ",
            b"  ",
            b"\t",
            b":",
            b"\x0b",
            b"\x0c",
            b"\x7f",
            b"\xe9",
        ),
        *(b"A: b\r\n", b"Host: b\r\n", b"HTTP/1.0", b"HTTP/2.0", b"//", b"#", b"*", b"[", b"\\"),
        *(b"Content-Length: 0\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
        *(
            b"Upgrade: websocket\r\n",
            b"Connection: upgrade\r\n",
            b"Connection: close\r\n",
            b"0\r\n",
        ),
    ]
)


@st.composite
def nearly_a_get(draw):
    """What begins like one, and ends like one."""
    data = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nReferer: http://a/\r\n"
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(4, len(data)))
        data = data[:at] + draw(words) + data[at + draw(st.integers(0, 3)) :]
    return data + b"\r\n"


def all_told(data, size):
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        parser, _ = parser_of(loop)
        found = []
        for at in range(0, len(data), size):
            found += parser.feed_data(data[at : at + size])[0]
        return told(found), parser.ended


@given(nearly_a_get())
def test_at_once_or_bit_by_bit_is_the_same(data):
    """The short way makes nothing of a request that the long one would not."""
    assert all_told(data, len(data)) == all_told(data, 1)


# what is sent -> what is made of it
REFUSED = [
    (GET + b"\0", [TOLD, "InvalidRequest"]),
    (GET + b"GET / HTTP/2.0\r\n\r\n" + GET, [TOLD, "HttpVersionNotSupported"]),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", ["HttpVersionNotSupported"]),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", ["HttpVersionNotSupported"]),
    (b"GET /a HTTP/1.1\r\n\r\n", ["InvalidRequest"]),  # no Host
    (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ["InvalidRequest"]),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", ["InvalidRequest"]),
    (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", ["NotImplemented"]),
    (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n" + GET, ["InvalidRequest"]),
    (b"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ["NotImplemented"]),
    (b"GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", ["InvalidRequest"]),
    (b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", ["InvalidRequest"]),
    (put(b"x" * 5) + b"y", [("PUT", "/b", False, b"x" * 5, True)]),  # y may begin a method
    (put(b"x" * 5) + b"{", [("PUT", "/b", False, b"x" * 5, True), "InvalidRequest"]),
    (
        put(b"zz\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"1\r\nab\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"1\na\n0\n\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"-1\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"0x1\r\na\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
    (
        put(b"10000000000000000\r\na", b"Transfer-Encoding: chunked", length=False) + GET,
        [("PUT", "/b", True, "refused", None)],
    ),
]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(("data", "meaning"), REFUSED, ids=repr)
def test_what_is_no_request_is_returned_as_its_error(loop, data, meaning, size):
    parser, _ = parser_of(loop)
    found = []
    for at in range(0, len(data), size):
        found += parser.feed_data(data[at : at + size])[0]
    assert told(found) == meaning
    if parser.ended:
        assert parser.feed_data(GET) == ([], False, b"")


def test_so_many_wait_and_the_rest_is_not_read(loop):
    parser, _ = parser_of(loop)
    sizes = [len(parser.feed_data(GET * 100)[0])]
    while found := parser.feed_data(b"")[0]:
        sizes.append(len(found))
    most = MAX_PIPELINED
    assert sizes == [most] * (100 // most) + [100 % most] * bool(100 % most)
    assert len(parser.feed_data(GET)[0]) == 1


def test_a_client_that_sends_too_much_ahead_is_answered_up_to_there(loop):
    """The rest is dropped, and the last answer says that the connection ends."""
    parser, _ = parser_of(loop)
    most = MAX_PIPELINED
    found, _, _ = parser.feed_data(GET * (most + PIPELINED_BYTES // len(GET) + 1))
    assert [message.should_close for message, _ in found] == [False] * (most - 1) + [True]
    assert parser.ended
    assert parser._rest == b""
    assert parser.feed_data(GET) == ([], False, b"")


def test_a_long_body_is_not_too_much(loop):
    parser, _ = parser_of(loop)
    found, _, _ = parser.feed_data(put(bytes(4 * PIPELINED_BYTES)) + GET)
    assert len(found) == 1
    assert not parser.ended


def test_what_comes_behind_a_body_waits_until_that_is_taken(loop):
    parser, protocol = parser_of(loop, size=1000)
    body = bytes(5000)
    [(_, payload)], _, _ = parser.feed_data(put(body) + GET)
    assert protocol.pauses == 1
    assert payload.read_nowait() == body
    assert told(parser.feed_data(b"")[0]) == [TOLD]


def test_what_is_at_once_a_request_is_not_read_twice(loop, monkeypatch):
    monkeypatch.setattr(framing, "read", None)
    monkeypatch.setattr(framing, "HeadBuffer", bool)
    parser, _ = parser_of(loop)
    assert told(parser.feed_data(GET)[0]) == [TOLD]


@pytest.mark.parametrize("data", [GET, b"\0", put(b"abc") + GET, GET[:-4]])
def test_what_is_looked_at_is_fed_once_or_dropped(loop, data):
    parser, _ = parser_of(loop)
    ahead = parser.look_ahead(data)
    assert parser.feed_data(data) is ahead
    if not parser.ended and data.endswith(b"\r\n\r\n"):
        parser.look_ahead(GET)
        parser.drop()
        assert told(parser.feed_data(GET)[0]) == [TOLD]
