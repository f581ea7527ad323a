"""Metadata over HTTP: what a bucket keeps, on each way a derivative leaves; and placeholders."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from support.planted import FORMATS, HAS, RIGHTS, SECRETS, planted

from vipsgate.image import blurhash, thumbhash

CONFIG = """
[buckets.plain]
acl = "public-read-write"
[buckets.rights]
acl = "public-read-write"
keep_metadata = ["copyright"]
[buckets.strict]
acl = "public-read"
strict = true
keep_metadata = ["icc", "copyright"]
[buckets.rights.styles]
small = "image/resize,w_9"
clean = "image/resize,w_9/strip"
"""
KINDS = {name: (f"planted.{name}", HAS[name]) for name in FORMATS}
KINDS |= {f"moving {name}": (f"moving.{name}", HAS[name]) for name in ("gif", "webp")}
SOME = [KINDS[name] for name in ("jpg", "png", "moving webp", "moving gif")]
LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
)


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def gate(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metadata")
    (folder / "vipsgate.toml").write_text(CONFIG)
    files = {f"planted.{name}": planted(name) for name in FORMATS}
    files |= {f"moving.{name}": planted(name, 3) for name in ("gif", "webp")}
    files["laughs.webp"] = saved("WEBP", xmp=LAUGHS)
    files["bare.png"] = saved("PNG")
    for bucket in ("plain", "rights", "strict"):
        (folder / "root" / bucket).mkdir(parents=True)
        for name, data in files.items():
            (folder / "root" / bucket / name).write_bytes(data)
    options = ("--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache"))
    with serving(folder / "root", *options) as site:
        yield site


def saved(name, **options):
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (9, 90, 200)).save(file, name, **options)
    return file.getvalue()


def get(site, bucket, key, process="", **options):
    return site.ask(f"/{bucket}/{key}{f'?x-oss-process={process}' if process else ''}", **options)


def leaked(data):
    return [text for text in (*SECRETS, "c2pa", "jumb") if text.encode() in data]


def kept(data):
    """Whose picture the bytes say it is, by where that stood."""
    return {
        kind
        for kind, values in RIGHTS.items()
        if any(value.split()[0].encode() in data for value in values)
    }


WAYS = [
    *("image/quality,Q_80", "image/resize,w_9000", "image/auto-orient,0", "image/resize,w_9"),
    *("image/format,webp", "image/format,jpg", "image/crop,w_24,h_16", "style/small"),
    *(f"image/watermark,image_{b64('planted.png')},t_60", "image/watermark,text_SGk,size_9"),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_bucket_keeps_no_more_than_it_says(gate, way):
    for key, has in KINDS.values() if way == "image/resize,w_9" else SOME:
        if way != "style/small":
            plain = get(gate, "plain", key, way)
            assert (plain.status, leaked(plain.body), kept(plain.body)) == (200, [], set())
        answer = get(gate, "rights", key, way)
        assert (answer.status, leaked(answer.body)) == (200, [])
        holds = set() if answer.kind == "image/bmp" else set(has) - {"iptc"}
        holds -= {"exif"} if answer.kind == "image/gif" else set()
        assert kept(answer.body) == holds, key
        dropped = answer.kind == "image/bmp" and bool(has)
        assert ("metadata=dropped" in answer.headers.get("X-Vipsgate-Notes", "")) == dropped


def test_who_says_more_than_the_bucket_is_heard(gate):
    for process in ("image/resize,w_9/strip", "image/strip,all/resize,w_9", "style/clean"):
        assert kept(get(gate, "rights", "planted.jpg", process).body) == set()
    own = get(gate, "plain", "planted.jpg", "image/resize,w_9/strip,keep_copyright")
    assert kept(own.body) == {"exif", "xmp"}
    assert own.body == get(gate, "rights", "planted.jpg", "image/resize,w_9").body
    rows = {  # a text in the bucket -> which work it is
        "image/resize,w_9": "rights",
        "image/resize,w_9/strip,keep_copyright": "rights",
        "style/small": "rights",
        "image/resize,w_9/strip,keep_icc": "profile",
        "image/resize,w_9/strip": "nothing",
        "style/clean": "nothing",
    }
    tags = {(work, get(gate, "rights", "planted.jpg", text).etag) for text, work in rows.items()}
    assert len(tags) == len({etag for _, etag in tags}) == 3
    refused = get(gate, "plain", "planted.jpg", "image/strip,keep_gps")
    assert (refused.status, refused.code) == (400, "InvalidArgument")
    assert "keep_gps" in refused.message


def test_a_picture_that_is_saved_is_one(gate):
    for bucket, expected in (("plain", set()), ("rights", {"exif", "xmp"})):
        body = f"x-oss-process=image/resize,w_20|sys/saveas,o_{b64('saved.jpg')}".encode()
        done = gate.ask(f"/{bucket}/planted.jpg?x-oss-process", method="POST", body=body)
        assert done.status == 200
        stored = get(gate, bucket, "saved.jpg")
        assert (stored.status, leaked(stored.body), kept(stored.body)) == (200, [], expected)


def test_many_at_a_time_of_one_source(gate):
    rows = [
        (width, f"image/resize,w_{width}{more}", expected)
        for width in range(3, 23, 2)
        for more, expected in (
            ("", {"exif", "xmp"}),
            ("/strip", set()),
            ("/strip,keep_icc", set()),
            ("/strip,keep_copyright-icc", {"exif", "xmp"}),
        )
    ]
    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda row: get(gate, "rights", "planted.jpg", row[1]), rows)
        for (width, text, expected), answer in zip(rows, answers, strict=True):
            assert (answer.status, leaked(answer.body), kept(answer.body)) == (200, [], expected)
            picture = Image.open(io.BytesIO(answer.body))
            assert picture.width == width
            assert bool(picture.info.get("icc_profile")) == text.endswith("icc")


def test_an_object_is_what_was_stored(gate):
    assert get(gate, "rights", "planted.jpg").body == planted("jpg")


def test_what_is_hostile_or_dropped_is_named(gate):
    for process in ("image/info,xmp_1", "image/resize,w_9/strip,keep_copyright"):
        answer = get(gate, "plain", "laughs.webp", process)
        assert answer.status == 200
        assert answer.headers["X-Vipsgate-Notes"] == "metadata=unreadable"
        assert "hahaha" not in answer.body.decode("latin-1")
        refused = get(gate, "strict", "laughs.webp", process)
        assert (refused.status, refused.code) == (400, "InvalidArgument")
        assert "metadata=unreadable" in refused.message
    assert get(gate, "strict", "planted.jpg", "image/format,bmp").status == 400
    assert get(gate, "strict", "bare.png", "image/format,bmp").status == 200  # nothing to drop
    assert get(gate, "strict", "planted.jpg", "image/format,png").status == 200


ANSWERS = [
    *("image/thumbhash", "image/blurhash", "image/blurhash,x_9,y_1", "image/info,placeholders_1"),
    *("image/info,xmp_1", "image/info,placeholders_1,xmp_1", "image/resize,w_9/thumbhash"),
    "image/crop,w_10,h_10/rotate,90/blurhash",
]


@pytest.mark.parametrize("process", ANSWERS)
def test_answers_are_kept_and_validated_as_pictures_are(gate, process):
    for bucket, rows in (("plain", KINDS.values()), ("rights", SOME)):
        for key, _ in rows:
            answer = get(gate, bucket, key, process)
            assert (answer.status, answer.kind) == (200, "application/json"), key
            json.loads(answer.body)
    again = get(gate, "plain", "planted.jpg", process)
    assert again.headers["X-Vipsgate-Cache"] == "hit"
    head = get(gate, "plain", "planted.jpg", process, method="HEAD")
    assert (head.status, head.body, head.etag) == (200, b"", again.etag)
    assert head.headers["Content-Length"] == str(len(again.body))
    assert head.kind == "application/json"
    same = get(gate, "plain", "planted.jpg", process, headers={"If-None-Match": again.etag})
    assert (same.status, same.body) == (304, b"")
    part = get(gate, "plain", "planted.jpg", process, headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, again.body[:4])


def test_a_placeholder_is_of_the_pixels_that_a_client_sees(gate):
    """Two different doors to the same pixels, the second one by a decoder of its own."""
    shown = get(gate, "plain", "planted.png", "image/resize,w_20/format,png").body
    pixels = np.asarray(Image.open(io.BytesIO(shown)).convert("RGBA"))
    own = json.loads(get(gate, "plain", "planted.png", "image/resize,w_20/thumbhash").body)
    size = pixels.shape[1], pixels.shape[0]
    assert base64.b64decode(own["ThumbHash"]) == thumbhash.encode(*size, pixels.tobytes())
    own = json.loads(get(gate, "plain", "planted.png", "image/resize,w_20/blurhash,x_3").body)
    expected = blurhash.encode(*size, pixels[..., :3].tobytes(), 3, 3)
    assert own == {"BlurHash": expected}


def test_a_write_has_no_effect_on_a_placeholder_and_says_so(gate):
    answer = get(gate, "plain", "planted.png", "image/format,jpg/quality,q_9/strip/thumbhash")
    assert answer.headers["X-Vipsgate-Notes"] == "ignored=format; ignored=quality; ignored=strip"


REFUSED = {
    "image/thumbhash/resize,w_9": "nothing can follow it",
    "image/blurhash,x_0": "from 1 to 9",
    "image/blurhash,q_4": "x_ or y_",
    "image/info,exif_1": "placeholders_ or xmp_",
    "image/resize,w_9/info,placeholders_1": "cannot be combined",
}


@pytest.mark.parametrize("process", REFUSED)
def test_refuses(gate, process):
    answer = get(gate, "plain", "planted.jpg", process)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert REFUSED[process] in answer.message
