"""Bodies with a Content-Encoding are stored as they came; no picture is made of one."""

import base64
import hashlib
import http.client
import zlib
from urllib.parse import quote

import pytest

from vipsgate.gate import codings

CONFIG = """
[buckets.open]
acl = "public-read-write"
"""
ENCODINGS = ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, br", "GZIP", "identity", "utf-8"]
ZEROS = zlib.compress(bytes(30 << 20), 9, wbits=31)  # 30 KB that would become 30 MB
BODIES = {
    "gzip": zlib.compress(b"hello" * 100, wbits=31),
    "many zeros": ZEROS,
    "cut": ZEROS[:1000],
    "deflate": zlib.compress(b"hello", wbits=-15),
    "not encoded": b"hello, world",
    "empty": b"",
}
FRAMINGS = ["length", "chunks", "both"]
PROCESSES = ["image/info", "image/resize,w_9", "image/average-hue", "video/snapshot,t_0"]


@pytest.fixture(scope="module")
def site(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoded")
    (folder / "root" / "open").mkdir(parents=True)
    (folder / "vipsgate.toml").write_text(CONFIG)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture(scope="module")
def picture(bodies):
    return bodies["example.jpg"]


def send(site, method, target, body, framing="length", **headers):
    """A request with a body, its end told in one of three ways."""
    rows = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body
    if framing != "length":
        rows["Transfer-Encoding"] = "chunked"
        pieces = [body[at : at + 7000] for at in range(0, len(body), 7000)]
        data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    if framing != "chunks":
        rows["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "a", **rows}.items())
    return site.raw(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + data, method)


def md5(data):
    return hashlib.md5(data).digest()


def check_stored(site, answer, key, body, encoding):
    """The bytes on the wire are those on the disk, in all that is told of them."""
    assert answer.status == 200, answer.body
    assert (site.root / "open" / key).read_bytes() == body
    got = site.ask(f"/open/{key}")
    assert (got.status, got.body) == (200, body)
    head = site.ask(f"/open/{key}", method="HEAD")
    for told in (got, head):
        assert told.headers["Content-Encoding"] == encoding
        assert told.headers["Content-Length"] == str(len(body))
        assert told.headers["x-oss-hash-crc64ecma"] == answer.headers["x-oss-hash-crc64ecma"]
    return got


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", BODIES)
def test_put(site, kind, encoding, framing):
    body = BODIES[kind]
    more = {"Content-Encoding": encoding, "Content-MD5": base64.b64encode(md5(body)).decode()}
    answer = send(site, "PUT", "/open/put.bin", body, framing, **more)
    got = check_stored(site, answer, "put.bin", body, encoding)
    assert got.etag == answer.etag == f'"{md5(body).hex().upper()}"'
    plain = send(site, "PUT", "/open/plain.bin", body)
    assert plain.headers["x-oss-hash-crc64ecma"] == answer.headers["x-oss-hash-crc64ecma"]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_md5_of_what_is_inside_is_wrong(site, encoding, framing):
    more = {"Content-Encoding": encoding, "Content-MD5": base64.b64encode(md5(b"hello")).decode()}
    body = zlib.compress(b"hello", wbits=31)
    answer = send(site, "PUT", "/open/never.bin", body, framing, **more)
    assert (answer.status, answer.code) == (400, "InvalidDigest")
    assert site.ask("/open/never.bin").status == 404


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_parts(site, encoding, framing):
    """The whole has what was said when it was begun; what is said of a part is nobody's."""
    begun = send(site, "POST", "/open/parts.bin?uploads", b"", **{"Content-Encoding": encoding})
    upload = begun.error["UploadId"]
    body = BODIES["many zeros"]
    target = f"/open/parts.bin?partNumber=1&uploadId={upload}"
    part = send(site, "PUT", target, body, framing, **{"Content-Encoding": encoding})
    assert part.etag == f'"{md5(body).hex().upper()}"'
    document = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.etag}</ETag></Part></CompleteMultipartUpload>"
    )
    done = send(site, "POST", f"/open/parts.bin?uploadId={upload}", document.encode())
    check_stored(site, done, "parts.bin", body, encoding)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["gzip", "cut", "not encoded"])
def test_append(site, kind, encoding, framing):
    """Both pieces stand there as they came; what was said of the first is said of the whole."""
    body, second = BODIES[kind], BODIES["deflate"]
    send(site, "DELETE", "/open/append.bin", b"")
    at = len(body)
    more = {"Content-Encoding": encoding, "Content-MD5": base64.b64encode(md5(body)).decode()}
    first = send(site, "POST", "/open/append.bin?append&position=0", body, framing, **more)
    assert first.headers["x-oss-next-append-position"] == str(at)
    check_stored(site, first, "append.bin", body, encoding)
    more["Content-MD5"] = base64.b64encode(md5(second)).decode()
    answer = send(site, "POST", f"/open/append.bin?append&position={at}", second, framing, **more)
    assert answer.headers["x-oss-next-append-position"] == str(at + len(second))
    check_stored(site, answer, "append.bin", body + second, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_copy(site, encoding):
    body = BODIES["gzip"]
    send(site, "PUT", "/open/from.bin", body, **{"Content-Encoding": encoding})
    source = {"x-oss-copy-source": "/open/from.bin"}
    answer = send(site, "PUT", "/open/to.bin", b"", **source)
    check_stored(site, answer, "to.bin", body, encoding)
    other = {**source, "x-oss-metadata-directive": "REPLACE", "Content-Encoding": "br"}
    answer = send(site, "PUT", "/open/to.bin", b"", **other)
    check_stored(site, answer, "to.bin", body, "br")


# -- bodies that are read --------------------------------------------------------------------------

DELETE = b"<Delete><Object><Key>stays.bin</Key></Object></Delete>"
DOCUMENTS = [  # method, target, document
    ("POST", "/open?delete", DELETE),
    ("POST", "/open/example.jpg?x-oss-process", b"x-oss-process=image/info"),
    (
        "POST",
        "/open/example.jpg?x-oss-process",
        b"x-oss-process=image/resize,w_9|sys/saveas,o_" + base64.urlsafe_b64encode(b"saved.jpg"),
    ),
]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "identity, GZIP"])
@pytest.mark.parametrize(("method", "target", "document"), DOCUMENTS, ids=str)
def test_a_document_is_not_decoded(site, picture, method, target, document, encoding, framing):
    send(site, "PUT", "/open/example.jpg", picture)
    send(site, "PUT", "/open/stays.bin", b"stays")
    body = zlib.compress(document, wbits=31)
    more = {"Content-MD5": base64.b64encode(md5(body)).decode(), "Content-Encoding": encoding}
    answer = send(site, method, target, body, framing, **more)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert answer.error["Header"] == "Content-Encoding"
    assert site.ask("/open/stays.bin").body == b"stays"
    assert site.ask("/open/saved.jpg").status == 404


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "UTF-8, identity"])
def test_a_document_that_is_not_encoded_is_read(site, encoding):
    send(site, "PUT", "/open/stays.bin", b"stays")
    more = {"Content-MD5": base64.b64encode(md5(DELETE)).decode(), "Content-Encoding": encoding}
    assert send(site, "POST", "/open?delete", DELETE, "chunks", **more).status == 200
    assert site.ask("/open/stays.bin").status == 404


# -- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("encoding", [*sorted(codings.CODINGS), "identity, gzip", "Zstd , br"])
def test_no_picture_is_made_of_an_encoded_object(site, picture, encoding, process):
    """Whatever its bytes are: who asks for it as it is could not read it otherwise, either."""
    send(site, "PUT", "/open/encoded.jpg", picture, **{"Content-Encoding": encoding})
    answer = site.ask(f"/open/encoded.jpg?x-oss-process={process}")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert "Content-Encoding" in answer.message
    assert site.ask("/open/encoded.jpg").body == picture


@pytest.mark.parametrize(
    "encoding", ["identity", "utf-8", "UTF8", "aws-chunked", "none", "", "jpg"]
)
def test_what_is_no_coding_says_nothing(site, picture, encoding):
    send(site, "PUT", "/open/odd.jpg", picture, **{"Content-Encoding": encoding})
    answer = site.ask("/open/odd.jpg?x-oss-process=image/resize,w_40")
    assert answer.picture.width == 40
    assert "Content-Encoding" not in answer.headers


def test_no_encoded_object_is_laid_on_a_picture(site, picture):
    send(site, "PUT", "/open/example.jpg", picture)
    send(site, "PUT", "/open/encoded.jpg", picture, **{"Content-Encoding": "gzip"})
    name = base64.urlsafe_b64encode(b"encoded.jpg").decode().rstrip("=")
    answer = site.ask(f"/open/example.jpg?x-oss-process=image/watermark,image_{name}")
    assert (answer.status, answer.code) == (400, "WatermarkError")
    assert "Content-Encoding: gzip" in answer.message


def test_nothing_is_saved_of_an_encoded_object(site, picture):
    send(site, "PUT", "/open/encoded.jpg", picture, **{"Content-Encoding": "gzip"})
    name = base64.urlsafe_b64encode(b"never.jpg").decode()
    text = f"x-oss-process=image/resize,w_9|sys/saveas,o_{name}"
    answer = send(site, "POST", "/open/encoded.jpg?x-oss-process", text.encode())
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert site.ask("/open/never.jpg").status == 404


def test_a_picture_is_no_longer_made_once_it_is_encoded(site, picture):
    """Nor is one sent that was kept."""
    send(site, "PUT", "/open/turns.jpg", picture)
    url = f"/open/turns.jpg?x-oss-process={quote('image/resize,w_30')}"
    assert [site.ask(url).status for _ in range(2)] == [200, 200]
    turned = {"x-oss-copy-source": "/open/turns.jpg", "x-oss-metadata-directive": "REPLACE"}
    send(site, "PUT", "/open/turns.jpg", b"", **turned, **{"Content-Encoding": "gzip"})
    assert site.ask(url).status == 400


def test_an_encoded_body_costs_nothing_where_nobody_wants_one(site):
    """It is not even looked into; the connection stays, as the body is small."""
    line = site.connection()
    for _ in range(3):
        line.request("GET", "/open/none", ZEROS, {"Content-Encoding": "gzip"})
        answer = line.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (404, None)
        answer.read()
    line.close()


def test_a_body_that_is_cut_is_incomplete(site):
    with site.socket() as line:
        line.sendall(b"PUT /open/cut.bin HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n")
        line.sendall(b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
        answer = http.client.HTTPResponse(line, method="PUT")
        answer.begin()
        assert answer.status == 400
        assert b"<Code>IncompleteBody</Code>" in answer.read()
    assert site.ask("/open/cut.bin").status == 404
