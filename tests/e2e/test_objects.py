"""Objects and derivatives as HTTP sees them: validators, ranges, headers, connections."""

import email.utils
import hashlib
import http.client
import os
import re
import socket
import threading
import time

import pytest
from PIL import Image

OBJECT = "/examplebucket/example.jpg"
SMALL = OBJECT + "?x-oss-process=image/resize,w_100"  # goes out from Python
INFO = OBJECT + "?x-oss-process=image/info"
BIG = OBJECT + "?x-oss-process=image/format,bmp"  # 320 KB: goes out by sendfile
LARGE = "/examplebucket/large.bin"  # 8 MB: more than a socket's buffers hold
TARGETS = [OBJECT, SMALL, INFO, BIG, LARGE]
LONG_AGO, FAR_AHEAD = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture(params=TARGETS, ids=["object", "small", "info", "big", "large"])
def target(request):
    return request.param


# -- validators ------------------------------------------------------------------------------------


def test_etag_is_strong_quoted_and_stable(site, target):
    answers = [site.ask(target, method=method) for method in ("GET", "HEAD", "GET")]
    etags = {answer.etag for answer in answers}
    assert len(etags) == 1
    assert re.fullmatch(r'"[!#-~]+"', etags.pop())


def test_head_is_get_without_the_body(site, target):
    get, head = site.ask(target), site.ask(target, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert len(get.body) == int(get.headers["Content-Length"])
    own = {"Date", "x-oss-request-id", "x-oss-server-time", "Server-Timing"}
    told = [{k: v for k, v in answer.headers.items() if k not in own} for answer in (get, head)]
    assert told[0] == told[1]


def test_every_variant_has_its_own_etag(site):
    texts = ["", "image/info", "image/resize,w_100", "image/resize,w_101", "image/format,png"]
    etags = [site.get("example.jpg", text).etag for text in texts]
    assert len(set(etags)) == len(texts)
    # equal work under another text is the same variant
    assert site.get("example.jpg", "image/resize,w_100,m_lfit,x_1").etag == etags[2]
    assert site.get("sub/deep/example.jpg", "image/resize,w_100").etag != etags[2]


def _replaced(path, data):
    """As another program would put it there: written beside, then renamed."""
    beside = path.with_name("beside")
    beside.write_bytes(data)
    beside.rename(path)


def _rewritten(path, data):
    with path.open("r+b") as file:
        file.write(data)


def _made_anew(path, data):
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("change", [_replaced, _rewritten, _made_anew])
@pytest.mark.parametrize("process", ["", "?x-oss-process=image/info"])
def test_etag_changes_with_the_file(site, root, saved, photo, change, process):
    """Also where the new bytes have the length and the time of the old."""
    path = root / "examplebucket" / "changing.bmp"
    first, second = (saved(photo(40, 30).rotate(turn), "BMP") for turn in (0, 180))
    path.write_bytes(first)
    facts = path.stat()
    url = f"/examplebucket/changing.bmp{process}"
    before = site.ask(url)
    change(path, second)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    after = site.ask(url, {"If-None-Match": before.etag})
    path.unlink()
    assert after.status == 200
    assert after.etag != before.etag


def test_last_modified_is_the_files(site, root, target):
    path = root / "examplebucket" / ("large.bin" if target == LARGE else "example.jpg")
    said = email.utils.parsedate_to_datetime(site.ask(target).headers["Last-Modified"])
    assert said.timestamp() == int(path.stat().st_mtime)


# -- If-* ------------------------------------------------------------------------------------------

# headers with {etag} and {modified} of the answer itself, the status that they give
CONDITIONS = [
    ({"If-None-Match": "{etag}"}, 304),
    ({"If-None-Match": '"a", {etag}, "b"'}, 304),
    ({"If-None-Match": "W/{etag}"}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-None-Match": ""}, 200),
    ({"If-Match": "{etag}"}, 200),
    ({"If-Match": '"x", {etag}'}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"other"'}, 412),
    ({"If-Match": "W/{etag}"}, 412),
    ({"If-Modified-Since": "{modified}"}, 304),
    ({"If-Modified-Since": FAR_AHEAD}, 304),
    ({"If-Modified-Since": LONG_AGO}, 200),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Unmodified-Since": "{modified}"}, 200),
    ({"If-Unmodified-Since": FAR_AHEAD}, 200),
    ({"If-Unmodified-Since": LONG_AGO}, 412),
    ({"If-Unmodified-Since": "yesterday"}, 200),
    # the tags win over the dates
    ({"If-None-Match": '"other"', "If-Modified-Since": FAR_AHEAD}, 200),
    ({"If-Match": "{etag}", "If-Unmodified-Since": LONG_AGO}, 200),
    # both may stand together
    ({"If-Match": "{etag}", "If-None-Match": "{etag}"}, 304),
    ({"If-Match": '"other"', "If-None-Match": "{etag}"}, 412),
]


@pytest.mark.parametrize(("headers", "status"), CONDITIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("url", [OBJECT, SMALL], ids=["object", "derivative"])
def test_conditions(site, url, headers, status):
    whole = site.ask(url, method="HEAD")
    facts = {"etag": whole.etag, "modified": whole.headers["Last-Modified"]}
    given = {name: value.format(**facts) for name, value in headers.items()}
    for method in ("GET", "HEAD"):
        answer = site.ask(url, given, method=method)
        assert answer.status == status
        if status == 304:
            assert (answer.etag, answer.body) == (whole.etag, b"")
            assert answer.headers["Last-Modified"] == whole.headers["Last-Modified"]
            assert re.fullmatch(r"[0-9A-F]{24}", answer.headers["x-oss-request-id"])
        elif status == 412:
            assert answer.code == "PreconditionFailed"


def test_304_is_said_without_opening_the_picture(site, root, bodies):
    """The picture can be decoded when the tag is learnt, and no more when it is asked again."""
    path = root / "examplebucket" / "spoilt.jpg"
    path.write_bytes(bodies["example.jpg"])
    path.chmod(0o644)
    known = site.get("spoilt.jpg", "image/resize,w_100")
    assert known.status == 200
    # a tag needs no decoding: HEAD's conditions give the tag of what cannot be rendered, too
    note = site.get("note.txt", "image/resize,w_100", headers={"If-None-Match": "*"})
    assert note.status == 304
    again = site.get("note.txt", "image/resize,w_100", headers={"If-None-Match": note.etag})
    assert (again.status, again.etag) == (304, note.etag)
    assert site.get("note.txt", "image/resize,w_100").status == 400
    path.unlink()


def test_304_needs_no_renderer(site):
    """Nothing that only a render has stands in the answer, and it is quick."""
    etag = site.ask(SMALL, method="HEAD").etag
    begun = time.perf_counter()
    answer = site.ask(SMALL, {"If-None-Match": etag})
    assert time.perf_counter() - begun < 3
    assert "Server-Timing" not in answer.headers


# -- Range -----------------------------------------------------------------------------------------

RANGES = [
    ("bytes=0-0", slice(0, 1)),
    ("bytes=0-99", slice(0, 100)),
    ("bytes=100-199", slice(100, 200)),
    ("bytes=1000-", slice(1000, None)),
    ("bytes=-1", slice(-1, None)),
    ("bytes=-500", slice(-500, None)),
    ("bytes=10-999999999", slice(10, None)),
    ("bytes=-999999999", slice(None)),
    ("bytes=10-9223372036854775806", slice(10, None)),
    ("bytes=0-", slice(None)),
]


@pytest.mark.parametrize(("asked", "part"), RANGES, ids=[row[0] for row in RANGES])
def test_a_range_is_a_slice_of_the_whole(site, target, asked, part):
    whole = site.ask(target)
    answer = site.ask(target, {"Range": asked})
    if target == INFO and asked == "bytes=1000-":
        assert (answer.status, answer.code) == (416, "InvalidRange")
        return
    start, stop, _ = part.indices(len(whole.body))
    assert answer.status == 206
    assert answer.body == whole.body[part]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole.body)}"
    assert (answer.etag, answer.kind) == (whole.etag, whole.kind)
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=abc", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "bytes=0-0,-1", "0-5"),
        *("lines=0-5", "bytes 0-5", "bytes=1-2-3", "bytes=a-5", "bytes=0x1-5", "bytes=+1-5", ""),
        "bytes=\xb2-5",
    ],
)
def test_what_is_not_one_range_is_ignored(site, target, asked):
    answer = site.ask(target, {"Range": asked})
    assert (answer.status, answer.body) == (200, site.ask(target).body)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    "asked",
    ["bytes=99999999-", "bytes=99999999-999999999", "bytes=-0", "bytes=" + "9" * 50 + "-"],
)
def test_a_range_behind_the_end(site, target, asked):
    answer = site.ask(target, {"Range": asked})
    size = site.ask(target, method="HEAD").headers["Content-Length"]
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert answer.error["ActualObjectSize"] == size
    assert answer.error["RangeRequested"] == asked


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_no_range_of_an_empty_object(site, asked):
    assert site.get("empty.jpg", headers={"Range": asked}).status == 416


def test_if_range(site, target):
    whole = site.ask(target, method="HEAD")
    rows = {
        whole.etag: 206,
        whole.headers["Last-Modified"]: 206,
        '"other"': 200,
        f"W/{whole.etag}": 200,  # a weak tag is no proof of equal bytes
        LONG_AGO: 200,
        FAR_AHEAD: 200,  # only the very date
        "rubbish": 200,
    }
    for condition, status in rows.items():
        answer = site.ask(target, {"Range": "bytes=0-9", "If-Range": condition})
        assert answer.status == status, condition


# -- what else is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("example.jpg", "image/jpeg"),
        ("alpha.png", "image/png"),
        ("anim.gif", "image/gif"),
        ("example.webp", "image/webp"),
        ("example.bmp", "image/bmp"),
        ("example.tiff", "image/tiff"),
        ("example.avif", "image/avif"),
        ("note.txt", "text/plain"),
        ("page.html", "text/html"),
        ("drawing.svg", "image/svg+xml"),
        ("large.bin", "application/octet-stream"),
        ("no-ending", "application/octet-stream"),
        (".hidden.jpg", "image/jpeg"),
        ("with%20space.jpg", "image/jpeg"),
        ("truncated.jpg", "image/jpeg"),
    ],
)
def test_an_objects_type_is_by_its_name(site, key, kind):
    for headers in ({}, {"Accept": "text/html"}, {"Content-Type": "text/html"}):
        answer = site.get(key, headers=headers, method="HEAD")
        assert answer.headers.get_content_type() == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("key", ["page.html", "drawing.svg"])
def test_what_a_browser_would_run_is_caged(site, key):
    assert "sandbox" in site.get(key).headers["Content-Security-Policy"]
    assert "Content-Security-Policy" not in site.get("example.jpg").headers


def test_a_results_type_is_the_encoders(site):
    for process, kind in (("format,png", "image/png"), ("info", "application/json")):
        answer = site.get("example.jpg", f"image/{process}", headers={"Accept": "text/html"})
        assert answer.kind == kind


def test_every_answer_has_its_own_id(site):
    answers = [site.ask(url) for url in (OBJECT, SMALL, "/x", OBJECT, SMALL)]
    answers += [site.ask(OBJECT, {"If-None-Match": "*"}), site.ask(OBJECT, method="HEAD")]
    ids = [answer.headers["x-oss-request-id"] for answer in answers]
    assert all(re.fullmatch(r"[0-9A-F]{24}", identity) for identity in ids)
    assert len(set(ids)) == len(ids)
    assert all(answer.headers["x-oss-server-time"].isdigit() for answer in answers)
    assert all(email.utils.parsedate_to_datetime(answer.headers["Date"]) for answer in answers)


def test_accept_ranges(site, target):
    assert site.ask(target).headers["Accept-Ranges"] == "bytes"


def test_every_object_comes_back_byte_by_byte(site, bodies):
    for key in ("example.jpg", "note.txt", "empty.jpg", "truncated.jpg", "big21.jpg", "large.bin"):
        answer = site.get(key)
        assert (answer.status, answer.body == bodies[key]) == (200, True), key


# -- connections -----------------------------------------------------------------------------------


def test_a_slow_reader_gets_every_byte(site, bodies):
    whole = bodies["large.bin"]
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(20)
        line.connect((site.host, site.port))
        line.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.3)
        response = http.client.HTTPResponse(line)
        response.begin()
        digest, left = hashlib.sha256(), len(whole)
        while chunk := response.read(300_000):
            digest.update(chunk)
            left -= len(chunk)
            time.sleep(0.01)
    assert left == 0
    assert digest.digest() == hashlib.sha256(whole).digest()


def test_others_are_served_beside_a_client_that_reads_nothing(site):
    lines = []
    try:
        for url in (LARGE, BIG, LARGE, LARGE):
            line = socket.socket()
            lines.append(line)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect((site.host, site.port))
            line.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.2)
        begun = time.perf_counter()
        assert site.ask(SMALL).status == 200
        assert site.ask(OBJECT).status == 200
        assert time.perf_counter() - begun < 5
    finally:
        for line in lines:
            line.close()


@pytest.mark.parametrize("first", TARGETS, ids=["object", "small", "info", "big", "large"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_connection_goes_on_after_every_answer(site, first, method):
    connection = site.connection()
    try:
        for url in (first, first, SMALL, "/examplebucket/missing.jpg", first):
            connection.request(method, url)
            response = connection.getresponse()
            body = response.read()
            assert response.status == (404 if "missing" in url else 200)
            if method == "GET":
                assert len(body) == int(response.headers["Content-Length"])
            assert response.headers.get("Connection") != "close"
    finally:
        connection.close()


def test_pipelined_requests_are_answered_in_turn(site, bodies):
    urls = [LARGE, SMALL, BIG, OBJECT, LARGE, OBJECT]
    text = "".join(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n" for url in urls)
    whole = [site.ask(url) for url in urls]
    with site.socket() as line:
        line.sendall(text.encode())
        file = line.makefile("rb")
        for url, expected in zip(urls, whole, strict=True):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n", url
            headers = http.client.parse_headers(file)
            body = file.read(int(headers["Content-Length"]))
            assert body == expected.body, url
            assert headers["ETag"] == expected.etag


def test_a_client_that_leaves_does_no_harm(site):
    """Before, while and after the answer is sent; and nobody is missing afterwards."""
    pids = site.pids()
    for url in (LARGE, BIG, SMALL, OBJECT) * 5:
        for size in (0, 1, 5000):
            line = site.socket()
            line.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if size:
                line.recv(size)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
            line.close()
    assert site.ask(SMALL).status == 200
    assert site.ask(LARGE, {"Range": "bytes=0-9"}).status == 206
    assert site.pids() == pids


@pytest.mark.parametrize("url", [SMALL, BIG, INFO], ids=["small", "big", "info"])
def test_a_client_that_leaves_costs_no_renderer(site, url):
    """Whatever the moment: a job of a few milliseconds is over before anybody must be killed."""
    pids = site.pids()
    for step in range(150):
        with site.socket() as line:
            line.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            time.sleep(step % 50 / 10_000)  # up to 5 ms
    time.sleep(0.5)
    assert site.ask(url).status == 200
    assert site.pids() == pids


def test_no_descriptor_is_lost(site):
    """Of objects, derivatives, refusals and clients that leave."""

    def count():
        return len(os.listdir(f"/proc/{site.process.pid}/fd"))

    def settled():
        deadline, counts = time.monotonic() + 5, [count()]
        while time.monotonic() < deadline:
            time.sleep(0.1)
            counts.append(count())
            if len(counts) > 5 and len(set(counts[-5:])) == 1:
                break
        return counts[-1]

    before = settled()
    for _ in range(20):
        for url in (OBJECT, SMALL, "/examplebucket/missing.jpg", "/examplebucket/sub", LARGE):
            site.ask(url, {"Range": "bytes=0-9"})
        site.get("note.txt", "image/info")
        line = site.socket()
        line.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        line.recv(10)
        line.close()
    assert settled() <= before


def test_http_1_0(site, bodies):
    for host in ("127.0.0.1", None):
        answer = site.ask(OBJECT, host=host, version="1.0")
        assert (answer.status, answer.body) == (200, bodies["example.jpg"])
        answer = site.ask(LARGE, host=host, version="1.0")
        assert (answer.status, answer.body) == (200, bodies["large.bin"])


def test_a_body_with_get_is_not_read_as_a_request(site):
    """What a client sends behind the headers is a body, and the connection stays in step."""
    body = b"GET /examplebucket/note.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    connection = site.connection()
    try:
        connection.request("GET", SMALL, body=body)
        response = connection.getresponse()
        assert response.read()
        assert response.headers["Content-Type"] == "image/jpeg"
        connection.request("GET", OBJECT)
        assert connection.getresponse().headers["Content-Type"] == "image/jpeg"
    finally:
        connection.close()


def test_the_front_has_no_libvips(site):
    """It has served pictures by now, and knows no codec."""
    assert site.ask(SMALL).status == 200
    maps = f"/proc/{site.process.pid}/maps"
    with open(maps) as file:
        mapped = file.read()
    assert "libvips" not in mapped
    assert "pyvips" not in mapped


def test_a_picture_is_of_what_its_etag_says_however_the_file_is_written_to(site, root, saved):
    """Written over in its place, all the time, while pictures are made of it."""
    path = root / "examplebucket" / "written.tif"
    plain = [Image.new("RGB", (1200, 900), colour) for colour in ("#ff0000", "#0000ff")]
    states = [saved(picture, "TIFF") for picture in plain]
    assert len(states[0]) == len(states[1])
    path.write_bytes(states[0])
    url = "/examplebucket/written.tif?x-oss-process=image/resize,w_30/format,png"
    over, writes = threading.Event(), [0]

    def write():
        while not over.is_set():
            number = len(writes)
            _rewritten(path, states[number % 2])
            os.utime(path, (number, number))  # so that Last-Modified tells what it is
            writes.append(number)
            time.sleep(0.01)

    os.utime(path, (0, 0))
    writer = threading.Thread(target=write)
    writer.start()
    answers, until = [], time.monotonic() + 3
    while time.monotonic() < until:
        answers.append(site.ask(url))
    over.set()
    writer.join()
    answers.append(site.ask(url))
    path.unlink()
    assert len(writes) > 20
    assert {answer.status for answer in answers} <= {200, 503}
    told = 0
    for answer in answers:
        if answer.status != 200:
            continue
        number = email.utils.parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp()
        if number < len(writes):
            red, blue = (255, 0, 0), (0, 0, 255)
            wanted = (red, blue)[int(number) % 2]
            assert answer.pixel(15, 1) == answer.pixel(15, 20) == wanted
            told += 1
    assert told
    assert answers[-1].status == 200
