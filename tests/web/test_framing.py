"""The head of a request: what is taken, in which form, and what is refused at sight."""

import asyncio
import itertools

import pytest
from aiohttp.http_exceptions import BadHttpMessage, InvalidURLError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from vipsgate.errors import OssError
from vipsgate.web import framing

# request line and headers, lines joined with CR LF -> the same as the parser gets it, body
TAKEN = [
    ("GET / HTTP/1.1|Host: a", "GET / HTTP/1.1|Host: a", 0),
    ("GET / HTTP/1.0", "GET / HTTP/1.0", 0),
    ("GET  /   HTTP/1.1", "GET  /   HTTP/1.1", 0),  # RFC 9112, 3: may be taken, and always was
    ("PUT /k HTTP/1.1|Host: a|Content-Length: 5", "PUT /k HTTP/1.1|Host: a|Content-Length: 5", 5),
    ("PUT /k HTTP/1.1|content-length:5", "PUT /k HTTP/1.1|content-length:5", 5),
    ("PUT /k HTTP/1.1|Content-Length:  007  ", "PUT /k HTTP/1.1|Content-Length:  007  ", 7),
    ("PUT /k HTTP/1.0|Content-Length: 5", "PUT /k HTTP/1.0|Content-Length: 5", 5),
    ("PUT /k HTTP/1.1|Content-Length: 0", "PUT /k HTTP/1.1|Content-Length: 0", 0),
    (
        "PUT /k HTTP/1.1|Content-Length: 999999999999999999",
        "PUT /k HTTP/1.1|Content-Length: 999999999999999999",
        999999999999999999,
    ),
    (
        "PUT /k HTTP/1.1|Transfer-Encoding: chunked",
        "PUT /k HTTP/1.1|Transfer-Encoding: chunked",
        None,
    ),
    (
        "PUT /k HTTP/1.1|TRANSFER-ENCODING:Chunked ",
        "PUT /k HTTP/1.1|TRANSFER-ENCODING:Chunked ",
        None,
    ),
    # both: OSS's SDK for C, and streams of ali-oss
    (
        "PUT /k HTTP/1.1|Host: a|Content-Length: 5|Transfer-Encoding: chunked|A: b",
        "PUT /k HTTP/1.1|Host: a|Transfer-Encoding: chunked|A: b",
        None,
    ),
    (
        "PUT /k HTTP/1.1|transfer-encoding: chunked|content-length: 5",
        "PUT /k HTTP/1.1|transfer-encoding: chunked",
        None,
    ),
    # bytes that are not ASCII: in the request line encoded, in a header as they are
    ("GET /西湖?a=日 HTTP/1.1|A: 西", "GET /%E8%A5%BF%E6%B9%96?a=%E6%97%A5 HTTP/1.1|A: 西", 0),
    ("GET /%E8西 HTTP/1.1", "GET /%E8%E8%A5%BF HTTP/1.1", 0),
    ("GET /\udcff\udc80 HTTP/1.1", "GET /%FF%80 HTTP/1.1", 0),
    ("OPTIONS * HTTP/1.1|Host: a", "OPTIONS * HTTP/1.1|Host: a", 0),
    ("GET http://a/b HTTP/1.1|Host: c", "GET http://a/b HTTP/1.1|Host: c", 0),
    ("M-SEARCH+~!#$%&'*.^_`| / HTTP/1.1".replace("|", ""), "M-SEARCH+~!#$%&'*.^_` / HTTP/1.1", 0),
    ("GET / HTTP/1.1|A:|B: \t b c \t|C::", "GET / HTTP/1.1|A:|B: \t b c \t|C::", 0),
]
BAD, LONG, LARGE = (
    (400, "InvalidRequest"),
    (414, "UriTooLong"),
    (431, "RequestHeaderFieldsTooLarge"),
)
VERSION, CODING = (505, "HttpVersionNotSupported"), (501, "NotImplemented")
PUT = "PUT /k HTTP/1.1|Host: a|"
REFUSED = [
    # -- two meanings
    *(
        (f"{PUT}Content-Length: {value}", BAD)
        for value in ("+5", "-5", "0x5", "5,5", "5, 5", "5 5")
    ),
    *(
        (f"{PUT}Content-Length: {value}", BAD)
        for value in ("", " ", "\t5", "5\t", "5.0", "1e1", "٥")
    ),
    *((f"{PUT}Content-Length: {value}", BAD) for value in ("9" * 19, "5;", "chunked", "²")),
    (f"{PUT}Content-Length: 5|Content-Length: 5", BAD),
    (f"{PUT}Content-Length: 5|content-length: 6", BAD),
    (f"{PUT}Content-Length: 5|Content-Length: 5|Transfer-Encoding: chunked", BAD),
    (f"{PUT}Content-Length: +5|Transfer-Encoding: chunked", BAD),
    (f"{PUT}Content-Length:|Transfer-Encoding: chunked", BAD),
    *(
        (f"{PUT}Transfer-Encoding: {value}{more}", BAD)
        for more in ("", "|Content-Length: 5")
        for value in (
            *("xchunked", "chunked, identity", "identity", "\tchunked", "chunked\t", "", ","),
            *(
                "chunked,",
                ",chunked",
                "chunked chunked",
                '"chunked"',
                "chunked;q=1",
                "identity, chunked",
            ),
            *(
                "chunked, chunked",
                "chunked, gzip",
                "gzip",
                "cow, chunked",
                "chun ked",
                "\x80chunked",
            ),
        )
    ),
    *(
        (f"{PUT}Transfer-Encoding: {value}", CODING)
        for value in (
            "gzip, chunked",
            "GZIP,chunked",
            "deflate, gzip,\tchunked",
            "x-compress, chunked",
        )
    ),
    (f"{PUT}Transfer-Encoding: chunked|Transfer-Encoding: chunked", BAD),
    (f"{PUT}Transfer-Encoding: chunked|Transfer-Encoding: identity", BAD),
    (f"{PUT}Transfer-Encoding: gzip|Transfer-Encoding: chunked", CODING),
    ("PUT /k HTTP/1.0|Transfer-Encoding: chunked", BAD),
    ("PUT /k HTTP/1.0|Transfer-Encoding: chunked|Content-Length: 5", BAD),
    *(
        (f"{PUT}{name}: chunked", BAD)
        for name in ("Transfer-Encoding ", " Transfer-Encoding", "T\t")
    ),
    *((f"{PUT}Transfer-Encoding{sign}: chunked", BAD) for sign in "\0\x0b\x7f\t é"),
    (f"{PUT}A: b| Transfer-Encoding: chunked", BAD),
    (f"{PUT}A: b|\tfolded", BAD),
    (f"{PUT} folded", BAD),
    *((f"{PUT}A: b{sign}Transfer-Encoding: chunked", BAD) for sign in "\r\n\0\x0b\x0c\x7f"),
    *((f"{PUT}{line}", BAD) for line in ("A", "A b", ":b", "A\n", "=", "(A): b", "Ä: b")),
    # -- request lines
    *((line, BAD) for line in ("GET", "GET /", "GET / ", "GET/ HTTP/1.1", " GET / HTTP/1.1")),
    *((line, BAD) for line in ("GET / HTTP/1.1 ", "GET / HTTP/1.1\n", "GET / a HTTP/1.1")),
    *(
        (line, BAD)
        for line in ("GET /\t HTTP/1.1", "GET\t/ HTTP/1.1", "GET / http/1.1", "GET / HTTP/11")
    ),
    *(
        (line, BAD)
        for line in ("GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/1.11", "GET / HTTP/01.1")
    ),
    *(
        (line, BAD)
        for line in ("GET / HTTP/1,1", "GET / HTTPS/1.1", "GET / ICY/1.1", "GET /\0 HTTP/1.1")
    ),
    *(
        (line, BAD)
        for line in ("GET /\x7f HTTP/1.1", "G(T / HTTP/1.1", "HTTP/1.1 200 OK", "\x16\x03\x01")
    ),
    *(
        (f"GET / HTTP/{version}|Host: a", VERSION)
        for version in ("0.9", "1.2", "1.9", "2.0", "3.0", "9.9", "0.0")
    ),
    ("PRI * HTTP/2.0", VERSION),
    # -- too much
    (f"GET /{'a' * framing.LINE_BYTES} HTTP/1.1", LONG),
    (f"GET /{'西' * 4000} HTTP/1.1", LONG),  # encoded
    (f"{PUT}A: {'a' * framing.LINE_BYTES}", LARGE),
    (f"{PUT}{'a' * framing.LINE_BYTES}: b", LARGE),
    (PUT + "|".join(f"A{number}: b" for number in range(framing.MAX_HEADERS)), LARGE),
    (PUT + "|".join([f"A: {'a' * 30000}"] * 10), LARGE),
]


def lines(text):
    return text.replace("|", "\r\n").encode("utf-8", "surrogateescape") + framing.END


def ids(value):
    return ascii(value)[:60] if isinstance(value, str) else None


@pytest.mark.parametrize(("text", "form", "length"), TAKEN, ids=ids)
def test_taken(text, form, length):
    head = framing.read(lines(text))
    assert (head.data, head.length) == (lines(form), length)
    again = framing.read(head.data)
    assert again == head


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=ids)
def test_refused(text, reason):
    with pytest.raises(OssError) as caught:
        framing.read(lines(text))
    assert (caught.value.status, caught.value.code) == reason
    assert len(caught.value.message) < 400


class Protocol:
    """Whom aiohttp's parser tells that it has enough."""

    def pause_reading(self):
        pass

    resume_reading = pause_reading


def parsed(data):
    """What aiohttp's parser makes of a head: its requests, with the lengths of their bodies.

    None where it refuses the request for something that framing leaves to it.
    """
    loop = asyncio.new_event_loop()
    sizes = dict.fromkeys(("max_line_size", "max_field_size"), framing.LINE_BYTES)
    parser = HttpRequestParser(Protocol(), loop, 1 << 16, **sizes)
    try:
        messages, _, _ = parser.feed_data(data)
    except (InvalidURLError, BadHttpMessage) as error:
        if isinstance(error, InvalidURLError) or "Host" in str(error):
            return []
        raise
    finally:
        loop.close()
    return [
        (message, None if message.chunked else int(message.headers.get("Content-Length", 0)))
        for message, _ in messages
    ]


names = st.sampled_from(
    ["Host", "Content-Length", "Transfer-Encoding", "content-length", "TRANSFER-ENCODING", "A", "B"]
)
values = st.sampled_from(
    [
        *("a", "5", "0", "5 ", "+5", "0x5", "\x0b5", "5, 5", "", "é", "a\rb", "a\nb", "a\0b"),
        *("chunked", " chunked", "\tchunked", "CHUNKED", "chunked, identity", "gzip, chunked"),
        "identity",
    ]
)
headers = st.lists(st.tuples(names, st.sampled_from([": ", ":", " : ", ":\t"]), values), max_size=5)
requests = st.builds(
    lambda method, target, version, rows: lines(
        "|".join([f"{method} {target} HTTP/{version}", *(name + sep + v for name, sep, v in rows)])
    ),
    st.sampled_from(["GET", "PUT", "POST"]),
    st.sampled_from(["/", "/西湖", "/a?b=c", "*", "/a b", "/\t"]),
    st.sampled_from(["1.1", "1.1", "1.1", "1.0", "2.0", "1"]),
    headers,
)


@given(requests)
def test_what_is_taken_means_the_same_to_the_parser(data):
    """A request with a body as long, or none where the parser refuses it for another reason."""
    try:
        head = framing.read(data)
    except OssError:
        return
    found = parsed(head.data)
    assert len(found) <= 1
    for message, length in found:
        assert length == head.length
        assert message.path.isascii()
        assert not (message.chunked and "Content-Length" in message.headers)


def fed(pieces):
    """What a buffer makes of pieces: heads in their form, how many bytes are over, or the error."""
    buffer, found = framing.HeadBuffer(), []
    try:
        for piece in pieces:
            while whole := buffer.feed(piece):
                found.append(framing.read(whole[0]))
                piece = whole[1]
    except OssError as error:
        return found, error.code
    return found, bool(buffer)


@given(
    st.lists(st.one_of(requests, st.sampled_from([b"\r\n", b"\r\n\r\n"])), min_size=1, max_size=3),
    st.data(),
)
def test_the_same_however_it_is_cut(parts, data):
    whole = b"".join(parts)
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    cut = [whole[a:b] for a, b in itertools.pairwise([0, *places, len(whole)])]
    assert fed(cut) == fed([whole])


@given(requests)
def test_the_same_byte_by_byte(data):
    assert fed([bytes((byte,)) for byte in data]) == fed([data])


SOON = [  # what has come, though there is no end of a head in it
    *(("GET /\r\n", BAD), ("GET / HTTP/2.0\r\n", VERSION), ("GET / HTTP/1.1\nHost: a\n", BAD)),
    *(("\x16\x03\x01\x02\0", BAD), ("\0", BAD), ("{", BAD), ("hello\r\n", BAD), ("GET\t", BAD)),
    *(("\n", BAD), ("\r\r", BAD), ("\rG", BAD), ("GET / HTTP/1.1\r\nA: b\n", BAD), ("Ä", BAD)),
    ("GET /" + "a" * framing.LINE_BYTES, LONG),
    ("GET / HTTP/1.1\r\nA: " + "a" * framing.LINE_BYTES, LARGE),
    ("GET / HTTP/1.1\r\n" + "A: b\r\n" * 50_000, LARGE),
]


@pytest.mark.parametrize(("text", "reason"), SOON, ids=ids)
def test_refused_before_its_end(text, reason):
    data = text.encode()
    found, code = fed(data[at : at + 1000] for at in range(0, len(data), 1000))
    assert (found, code) == ([], reason[1])


@pytest.mark.parametrize(
    "text",
    ["", "\r", "\r\n", "\r\n\r\n\r", "G", "GET", "GET ", "GET /é", "GET / HTTP/1.1\r\nA: b\r"],
)
def test_waited_for(text):
    buffer = framing.HeadBuffer()
    assert buffer.feed(text.encode()) is None
    assert bool(buffer) == bool(text.replace("\r\n", ""))


def test_empty_lines_are_not_collected():
    buffer = framing.HeadBuffer()
    for _ in range(100):
        assert buffer.feed(b"\r\n" * 1000) is None
        assert not buffer
    assert buffer.feed(b"GET / HTTP/1.1\r\n\r\nrest") == (b"GET / HTTP/1.1\r\n\r\n", b"rest")


@given(st.binary(max_size=300))
def test_any_bytes(data):
    fed([data])
    fed([b"GET / HTTP/1.1\r\n" + data, framing.END])
