"""Windows around what is in a picture, over HTTP: looked for once, and the same ever after."""

import concurrent.futures
import http.client
import io
import json
import shutil
import urllib.request
from contextlib import closing

import pytest
from PIL import Image
from prometheus_client import parser
from support.faces import with_faces

from vipsgate.image import faces

CONFIG = """
[cache]
memory_bytes = 4000000
[limits]
source_pixels = 3000000
[buckets.photos]
acl = "public-read-write"
separators = ["!"]
[buckets.photos.styles]
card = "image/resize,m_fill,w_90,h_60,g_auto"
[buckets.strict]
acl = "public-read"
strict = true
"""
RED = "#ff2800"
SIZES = [(30 + 11 * number, 90 - 7 * number) for number in range(10)]


def scene(width=480, height=320, ground="#464646"):
    """One bright block in the upper left."""
    image = Image.new("RGB", (width, height), ground)
    image.paste(RED, (width // 8, height // 8, width // 4, height // 3))
    return image


def saved(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def site(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    (folder / "vipsgate.toml").write_text(CONFIG)
    for bucket in ("photos", "strict"):
        (folder / "root" / bucket).mkdir(parents=True)
    files = folder / "root" / "photos"
    for name in ("ten", "burst", "again", "style", "prefix", "put", "head"):
        (files / f"{name}.jpg").write_bytes(saved(scene(), quality=95))
    (files / "face.jpg").write_bytes(saved(with_faces((600, 400), (150, 0.8, 0.6)), quality=92))
    (files / "large.png").write_bytes(saved(Image.new("L", (2000, 2000)), "PNG"))
    (files / "broken.jpg").write_bytes(saved(scene(), quality=95)[:900])
    (files / "text.jpg").write_bytes(b"no picture")
    shutil.copy(files / "ten.jpg", folder / "root" / "strict" / "a.jpg")
    options = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *options) as running:
        yield running


def get(site, key, process, **options):
    return site.ask(f"/photos/{key}?x-oss-process=image/{process}", **options)


def admin(site, method, path):
    with closing(http.client.HTTPConnection(site.host, site.admin_port, timeout=20)) as link:
        link.request(method, path)
        answer = link.getresponse()
        return answer.status, answer.read()


def looks(site):
    """How many renderers have looked so far, and how many places were known."""
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics") as answer:
        text = answer.read().decode()
    made = known = 0
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "vipsgate_looks_total":
                made += sample.value * (sample.labels["cache"] == "miss")
                known += sample.value * (sample.labels["cache"] != "miss")
    return int(made), int(known)


@pytest.fixture
def looked(site):
    """What has been looked for since the test began."""
    before = looks(site)
    return lambda: tuple(now - then for now, then in zip(looks(site), before, strict=True))


def colours(answer):
    return answer.picture.convert("RGB").getcolors(1 << 20)


def has_block(answer):
    return any(red > 200 and blue < 70 for _, (red, _, blue) in colours(answer))


def is_skin(red, green, blue):
    return max(abs(red - 226), abs(green - 181), abs(blue - 152)) < 24


def test_ten_sizes_look_once(site, looked):
    for width, height in SIZES:
        answer = get(site, "ten.jpg", f"resize,m_fill,w_{width},h_{height},g_auto")
        assert answer.picture.size == (width, height)
        assert has_block(answer), (width, height)
        assert answer.headers["X-Vipsgate-Cache"] == "miss"
    assert looked() == (1, 9)
    get(site, "ten.jpg", "resize,w_200/crop,w_50,h_50,g_auto")
    assert looked() == (1, 10)  # by whatever text the picture comes to its window


def test_ten_sizes_at_once_look_once(site, looked):
    texts = [f"crop,w_{width},h_{height},g_auto" for width, height in SIZES]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda text: get(site, "burst.jpg", text), texts))
    assert [answer.picture.size for answer in answers] == SIZES
    assert looked() == (1, 9)


def test_the_answer_is_the_same_whatever_is_kept(site, looked):
    text = "crop,w_77,h_66,g_auto"
    get(site, "again.jpg", "crop,w_9,h_9,g_auto")
    first = get(site, "again.jpg", text)
    assert admin(site, "DELETE", "/cache/photos/again.jpg")[0] in (200, 204)
    second = get(site, "again.jpg", text)
    assert second.headers["X-Vipsgate-Cache"] == "miss"
    assert (second.etag, second.body) == (first.etag, first.body)
    assert looked() == (2, 1)


def test_another_content_is_looked_at_again(site, looked):
    assert has_block(get(site, "put.jpg", "crop,w_90,h_90,g_auto"))
    turned = saved(scene().transpose(Image.Transpose.ROTATE_180), quality=95)
    assert site.ask("/photos/put.jpg", method="PUT", body=turned).status == 200
    assert has_block(get(site, "put.jpg", "crop,w_90,h_90,g_auto"))
    assert looked() == (2, 0)


def test_what_is_cut_before_has_a_look_of_its_own(site, looked):
    for text in ("crop,w_240,h_320/", "crop,w_300,h_200/", "rotate,90/", "rotate,90/resize,p_50/"):
        assert has_block(get(site, "prefix.jpg", f"{text}resize,m_fill,w_50,h_20,g_auto")), text
    assert looked() == (3, 1)


def test_head_and_conditions_do_not_look(site, looked):
    text = "crop,w_60,h_60,g_auto"
    answer = get(site, "head.jpg", text)
    assert get(site, "head.jpg", text, headers={"If-None-Match": answer.etag}).status == 304
    assert get(site, "head.jpg", text, method="HEAD").etag == answer.etag
    assert looked() == (1, 0)


def test_styles_and_what_is_stored(site, looked):
    card = site.ask("/photos/style.jpg!card")
    assert card.picture.size == (90, 60)
    assert has_block(card)
    body = b"x-oss-process=image/crop,w_70,h_70,g_auto|sys/saveas,o_b3V0LmpwZw"
    assert site.ask("/photos/style.jpg?x-oss-process", method="POST", body=body).status == 200
    assert has_block(site.ask("/photos/out.jpg"))
    assert looked() == (1, 1)


def test_the_window_is_explained(site):
    text = "resize,m_fill,w_100,h_100,g_auto"
    status, body = admin(site, "GET", f"/explain/photos/ten.jpg?x-oss-process=image/{text}")
    stage = json.loads(body)["plan"]["stages"][-1]
    assert status == 200
    assert (stage["to"], stage["window"]) == ("100x100", "100x100+0+0")  # the block is on the left


REFUSED = {  # text -> status, a part of the message
    "ten.jpg crop,w_9,h_9,g_auto,x_3": (400, "pixels off an anchor"),
    "ten.jpg crop,w_9,h_9,g_smart": (400, "nw, north, ne"),
    "ten.jpg crop,w_9,g_auto/resize,m_fill,w_3,g_auto": (400, "2 actions with g_auto or g_face"),
    "ten.jpg watermark,text_SGk,g_auto": (400, "watermark expects one of nw"),
    "ten.jpg watermark,text_SGk,g_face": (400, "watermark expects one of nw"),
    "ten.jpg crop,w_90,h_9,g_auto/resize,m_fixed,w_9000,h_9000,limit_0": (400, "resize makes"),
    "large.png crop,w_9,h_9,g_auto": (400, "3000000 pixels"),
    "broken.jpg crop,w_9,h_9,g_auto": (403, "damaged"),
    "text.jpg crop,w_9,h_9,g_auto": (400, ""),
    "none.jpg crop,w_9,h_9,g_auto": (404, ""),
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_by_name(line, site):
    key, text = line.split(" ", 1)
    status, part = REFUSED[line]
    answer = get(site, key, text)
    assert answer.status == status, answer.message
    assert part in answer.message


def test_what_a_strict_bucket_refuses_is_not_looked_at(site, looked):
    path = "/strict/a.jpg?x-oss-process=image/"
    for text in ("crop,w_9,h_9,g_auto,fx_3", "crop,w_9999,h_9,g_auto", "resize,w_9,g_auto"):
        answer = site.ask(path + text)
        assert answer.status == 400, text
        assert "strict" in answer.message
    assert looked() == (0, 0)
    assert site.ask(path + "crop,w_9,h_9,g_auto").status == 200


@pytest.mark.skipif(not faces.installed(), reason=f"no detector of faces: {faces.INSTALL}")
def test_faces_are_found_inside_of_the_sandbox(site, looked):
    for width, height in ((100, 120), (160, 60), (300, 300)):
        answer = get(site, "face.jpg", f"crop,w_{width},h_{height},g_face")
        near = sum(count for count, colour in colours(answer) if is_skin(*colour))
        assert near > 800
    assert looked() == (1, 2)
