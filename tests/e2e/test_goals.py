"""A quality that is searched for, over HTTP: bytes, headers, caches, refusals, many at a time."""

import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

FOUND = re.compile(r'encode;desc="Q ([0-9]+), ([0-9]+) encodings"')
ROWS = [
    # key, process, type, bytes at most
    ("example.jpg", "image/quality,auto", "image/jpeg", None),
    ("example.jpg", "image/resize,w_200/quality,auto/format,webp", "image/webp", None),
    ("example.jpg", "image/resize,w_100/format,avif/quality,ssim_60", "image/avif", None),
    ("example.jpg", "image/resize,w_200/quality,bytes_2500", "image/jpeg", 2500),
    ("example.jpg", "image/quality,bytes_4000/format,webp", "image/webp", 4000),
    ("example.jpg", "image/quality,bytes_5000/watermark,image_cGFuZGEucG5n", "image/jpeg", 5000),
    ("anim.webp", "image/quality,auto", "image/webp", None),
    ("alpha.png", "image/quality,auto/format,webp", "image/webp", None),
    ("grey.jpg", "image/quality,auto", "image/jpeg", None),
]


@pytest.fixture(scope="module")
def own(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("goals")
    with serving(root, "--cache-dir", str(folder), renderers=1) as site:
        yield site


@pytest.mark.parametrize(("key", "process", "kind", "most"), ROWS)
def test_found_once_and_kept(own, key, process, kind, most):
    first, again = own.get(key, process), own.get(key, process)
    assert (first.status, first.kind) == (200, kind), first.body
    quality, encodings = map(int, FOUND.search(first.headers["Server-Timing"]).groups())
    assert 1 <= quality <= 100
    assert 1 <= encodings <= 13
    if most:
        assert len(first.body) <= most
    assert (again.headers["X-Vipsgate-Cache"], again.body) == ("hit", first.body)
    assert "encode" not in again.headers["Server-Timing"]
    assert again.etag == first.etag
    assert first.picture.size == again.picture.size


def test_what_loses_nothing_is_not_searched_for(own):
    for key, process in (
        ("alpha.png", "image/quality,auto"),
        ("anim.gif", "image/quality,ssim_80/resize,w_60"),
        ("example.jpg", "image/quality,bytes_900/format,png"),
        ("example.jpg", "image/quality,auto/quality,lossless/format,webp"),
    ):
        answer = own.get(key, process)
        assert answer.status == 200
        assert "encode" not in answer.headers["Server-Timing"]
        bare = re.sub("/?quality,(auto|ssim_80|bytes_900)", "", process).rstrip("/")
        plain = own.get(key, bare if bare != "image" else "image/auto-orient,1")
        assert plain.body == answer.body


@pytest.mark.parametrize(
    ("process", "part"),
    [
        ("image/quality,bytes_300", "parameter: bytes is invalid. At its lowest quality the jpg"),
        ("image/quality,bytes_99/format,avif", "parameter: bytes is invalid."),
        ("image/quality,auto,q_90", "The parameters: q, auto of quality exclude each other."),
        ("image/quality,ssim_80,bytes_900", "The parameters: ssim, bytes of quality exclude"),
        ("image/quality,ssim_0", "The value: 0 of parameter: ssim is invalid."),
        ("image/quality,bytes_1e3", "The value: 1e3 of parameter: bytes is invalid."),
    ],
)
def test_refused_by_name(own, process, part):
    answer = own.get("example.jpg", process)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert part in answer.message


def test_pictures_of_one_source_are_made_together(own):
    widths = range(120, 220, 20)

    def made(width):
        return own.get("src200.jpg", f"image/resize,w_{width}/quality,bytes_1500")

    with ThreadPoolExecutor(5) as clients:
        answers = list(clients.map(made, widths))
    for width, answer in zip(widths, answers, strict=True):
        assert answer.picture.width == min(width, 200)
        assert len(answer.body) <= 1500


def test_explained_without_a_search(own):
    line = http.client.HTTPConnection("127.0.0.1", own.admin_port, timeout=20)
    line.request("GET", "/explain/examplebucket/example.jpg?x-oss-process=image/quality,auto")
    told = json.loads(line.getresponse().read())
    line.close()
    result = told["plan"]["result"] if "plan" in told else told["result"]
    assert result["quality"] is None
    assert set(result["search"]) == {"ssim", "from", "to"}
