"""``format,auto`` over HTTP: who gets what, what is kept of it, and what the answers say of it."""

import base64
import io
import json
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from PIL import Image

import vipsgate
from vipsgate.gate import sign

CONFIG = """
[server]
legacy_at_api = true
[cache]
memory_bytes = 60000  # of which one picture gets an eighth: large ones come from the disk
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.plain]
acl = "public-read"
separators = ["!"]
styles.auto = "image/resize,w_90/format,auto"
styles.small = "image/resize,w_90"
protection = { enabled = true, rules = [{ prefix = "guarded" }] }
[buckets.switched]
acl = "public-read"
separators = ["!"]
auto_format = ["avif", "webp"]
cache_control = "max-age=86400"
styles.small = "image/resize,w_90"
styles.fixed = "image/resize,w_90/format,png"
[[buckets.switched.cors]]
allowed_origins = ["https://a.example"]
allowed_methods = ["GET", "HEAD"]
[buckets.webp]
acl = "public-read"
auto_format = ["webp"]
referer = { allow_empty = true, blacklist = ["http://bad.example"] }
[buckets.hurried]
acl = "public-read"
auto_format = ["avif", "webp"]
avif_in_background = true
cache_control = "public, max-age=86400, immutable"
[buckets.shut]
auto_format = ["avif", "webp"]
"""
KEY = sign.Credential("key1", "secret1")
BUCKETS = ("plain", "switched", "webp", "hurried", "shut")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
OLD_CHROME = "image/webp,image/apng,image/*,*/*;q=0.8"
OLD_SAFARI = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
AVIF, WEBP, JPEG, PNG, GIF = "image/avif image/webp image/jpeg image/png image/gif".split()
SMALL = "?x-oss-process=image/resize,w_90"
AUTO = f"{SMALL}/format,auto"


@pytest.fixture(scope="module")
def auto(serving, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto")
    for bucket in BUCKETS:
        (folder / "root" / bucket).mkdir(parents=True)
        for key in ("example.jpg", "panda.png", "anim.gif"):
            shutil.copy(root / "examplebucket" / key, folder / "root" / bucket / key)
        shutil.copy(
            root / "examplebucket" / "example.jpg", folder / "root" / bucket / "guarded.jpg"
        )
    (folder / "vipsgate.toml").write_text(CONFIG)
    words = ["--config", str(folder / "vipsgate.toml"), "--cache-dir", str(folder / "cache")]
    with serving(folder / "root", *words) as site:
        yield site


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def varies(answer):
    rows = answer.headers.get_all("Vary") or []
    assert len(rows) <= 1
    return [name.strip() for row in rows for name in row.split(",")]


def seen(answer):
    """Another decoder's word for the bytes, which is what the type says."""
    assert answer.status == 200, answer.body
    picture = Image.open(io.BytesIO(answer.body))
    picture.load()
    assert Image.MIME[picture.format] == answer.kind
    return answer.kind


# target -> types for who takes both, WebP, neither; nothing varies where the format is named
ROWS = {
    f"/plain/example.jpg{AUTO}": (AVIF, WEBP, JPEG),
    "/plain/example.jpg?x-oss-process=style/auto": (AVIF, WEBP, JPEG),
    "/plain/example.jpg!auto": (AVIF, WEBP, JPEG),
    f"/plain/panda.png{AUTO}": (WEBP, WEBP, PNG),
    f"/plain/panda.png{AUTO}/quality,Q_80": (AVIF, WEBP, PNG),
    f"/plain/anim.gif{AUTO}": (WEBP, WEBP, GIF),
    f"/plain/example.jpg{SMALL}": (JPEG,) * 3,
    f"/plain/example.jpg{SMALL}/format,auto/format,png": (PNG,) * 3,
    f"/plain/example.jpg{AUTO},accept_webp": (WEBP,) * 3,
    "/plain/example.jpg": (JPEG,) * 3,
    "/plain/example.jpg@90w.webp": (WEBP,) * 3,
    f"/switched/example.jpg{SMALL}": (AVIF, WEBP, JPEG),
    f"/switched/example.jpg{AUTO}": (AVIF, WEBP, JPEG),
    "/switched/example.jpg!small": (AVIF, WEBP, JPEG),
    "/switched/example.jpg@90w": (JPEG,) * 3,  # of the older service, whose default is JPG
    "/switched/example.jpg@90w.src": (JPEG,) * 3,
    "/switched/example.jpg!fixed": (PNG,) * 3,
    "/switched/example.jpg": (JPEG,) * 3,
    f"/switched/example.jpg{SMALL}/format,src": (JPEG,) * 3,
    f"/switched/example.jpg{SMALL}/format,jpg": (JPEG,) * 3,
    f"/webp/example.jpg{SMALL}": (WEBP, WEBP, JPEG),
    f"/webp/example.jpg{AUTO}": (WEBP, WEBP, JPEG),
}


@pytest.mark.parametrize("target", ROWS)
def test_who_gets_what(auto, target):
    types = ROWS[target]
    chosen = len(set(types)) > 1
    tags = {}
    for accept, expected in zip((CHROME, OLD_CHROME, OLD_SAFARI), types, strict=True):
        # made, kept, known by its text, and in the order of the clients again
        for _ in range(3):
            answer = auto.ask(target, {"Accept": accept})
            assert seen(answer) == expected
            assert ("Accept" in varies(answer)) is chosen
            tags.setdefault(accept, answer.etag)
            assert answer.etag == tags[accept]
    classes = (2 if target.startswith("/webp/") else 3) if chosen else 1
    assert len(set(tags.values())) == classes
    for accept, expected in zip((CHROME, OLD_CHROME, OLD_SAFARI), types, strict=True):
        again = auto.ask(target, {"Accept": accept})
        assert (seen(again), again.etag) == (expected, tags[accept])
        if "?x-oss" in target or "!" in target or "@" in target:
            assert again.headers["X-Vipsgate-Cache"] == "hit"


def test_no_header_and_strange_ones_are_the_sources_kind(auto):
    for headers in ({}, {"Accept": "image/webp;q=x"}, {"Accept": ';,"'}, {"Accept": "*/*"}):
        answer = auto.ask(f"/plain/example.jpg{AUTO}", headers)
        assert seen(answer) == JPEG
        assert varies(answer) == ["Accept"]


def test_two_lines_are_one_list(auto):
    head = f"GET /plain/example.jpg{AUTO} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    rows = "Accept: image/webp;q=0\r\nAccept: image/avif\r\n\r\n"
    assert seen(auto.raw((head + rows).encode())) == AVIF


def test_equal_answers_of_two_classes_are_two(auto):
    """A refusal of AVIF and an old browser are one class; the tag is that of the class."""
    tags = [
        auto.ask(f"/plain/example.jpg{AUTO}", {"Accept": accept}).etag
        for accept in (OLD_CHROME, "image/avif;q=0,image/webp", "image/webp", "image/webp,*/*")
    ]
    assert len(set(tags)) == 1


def test_conditions_ranges_and_heads_are_of_the_same_answer(auto):
    target = f"/switched/example.jpg{SMALL}"
    best, old = (auto.ask(target, {"Accept": accept}) for accept in (CHROME, OLD_SAFARI))
    for answer, accept in ((best, CHROME), (old, OLD_SAFARI)):
        head = auto.ask(target, {"Accept": accept}, method="HEAD")
        assert (head.status, head.kind, head.etag) == (200, answer.kind, answer.etag)
        assert head.headers["Content-Length"] == str(len(answer.body))
        assert "Accept" in varies(head)
        part = auto.ask(target, {"Accept": accept, "Range": "bytes=4-11", "If-Range": answer.etag})
        assert (part.status, part.body) == (206, answer.body[4:12])
        assert "Accept" in varies(part)
        same = auto.ask(target, {"Accept": accept, "If-None-Match": answer.etag})
        assert (same.status, same.etag) == (304, answer.etag)
        assert "Accept" in varies(same)
    # the tag of one is no tag of the other
    other = auto.ask(target, {"Accept": CHROME, "If-None-Match": old.etag})
    assert (other.status, other.body) == (200, best.body)
    whole = auto.ask(target, {"Accept": CHROME, "Range": "bytes=4-11", "If-Range": old.etag})
    assert (whole.status, whole.body) == (200, best.body)
    failed = auto.ask(target, {"Accept": CHROME, "If-Match": old.etag})
    assert failed.status == 412
    either = auto.ask(target, {"Accept": CHROME, "If-None-Match": f"{old.etag}, {best.etag}"})
    assert (either.status, either.etag) == (304, best.etag)


def test_varies_by_all_that_it_depends_on(auto):
    shared, linked = f"/switched/example.jpg{SMALL}", f"/webp/example.jpg{SMALL}"
    for headers in ({}, {"Origin": "https://a.example"}):
        for _ in range(3):  # also where it is known by its text
            answer = auto.ask(shared, {"Accept": CHROME, **headers})
            assert sorted(varies(answer)) == ["Accept", "Origin"]
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == headers.get("Origin")
        tagged = {"Accept": CHROME, "If-None-Match": answer.etag, **headers}
        assert sorted(varies(auto.ask(shared, tagged))) == ["Accept", "Origin"]
    assert varies(auto.ask(linked, {"Accept": CHROME})) == ["Referer", "Accept"]


def test_errors_are_the_same_for_all(auto):
    """RFC 9110, 12.5.5: their text depends on no Accept, so they do not say so."""
    for target in (f"/plain/none.jpg{AUTO}", "/plain/example.jpg?x-oss-process=image/format,autos"):
        answers = [auto.ask(target, {"Accept": accept}) for accept in (CHROME, OLD_SAFARI)]
        assert len({(answer.status, answer.code, answer.message) for answer in answers}) == 1
        assert all(varies(answer) == [] for answer in answers)


@pytest.mark.parametrize("process", ["image/info", "image/average-hue"])
def test_answers_about_a_picture_are_left_alone(auto, process):
    for accept in (CHROME, OLD_SAFARI):
        answer = auto.ask(
            f"/switched/example.jpg?x-oss-process={process}", {"Accept": accept, "Origin": "x"}
        )
        assert answer.kind == "application/json"
        assert varies(answer) == ["Origin"]


def test_signed_and_protected(auto):
    """A signature covers the text, whoever asks with it; protection asks for a style."""
    for version in (1, 4):
        url = sign.sign_url(
            *(KEY, "shut", "example.jpg"),
            now=time.time(),
            process="image/resize,w_90/format,auto",
            version=version,
            endpoint="",
        )
        for accept, kind in ((CHROME, AVIF), (OLD_SAFARI, JPEG)):
            answer = auto.ask(url, {"Accept": accept})
            assert (seen(answer), varies(answer)) == (kind, ["Accept"])
            assert answer.headers["Cache-Control"] == "private"
    assert auto.ask(f"/shut/example.jpg{AUTO}", {"Accept": CHROME}).status == 403
    assert auto.ask(f"/plain/guarded.jpg{AUTO}", {"Accept": CHROME}).status == 403
    assert seen(auto.ask("/plain/guarded.jpg!auto", {"Accept": CHROME})) == AVIF


def test_a_watermark_and_a_chain(auto):
    mark = b64("panda.png?x-oss-process=image/resize,P_20")
    answer = auto.ask(
        f"/switched/example.jpg{SMALL}/watermark,image_{mark}/rotate,90", {"Accept": CHROME}
    )
    assert seen(answer) == AVIF
    width, height = answer.picture.size
    assert (width, height) == (60, 90)


# --- saveas


def post(auto, bucket, text, accept):
    request = sign.Request("POST", bucket, "example.jpg", (("x-oss-process", ""),), {})
    sent = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    body = f"x-oss-process={text}".encode()
    target = f"/{bucket}/example.jpg?x-oss-process="
    return auto.ask(target, {"Accept": accept, **sent}, method="POST", body=body)


def test_what_is_stored_is_for_everybody(auto):
    """The bucket's switch does not count; who writes format,auto has it chosen by his Accept."""
    rows = {
        ("image/resize,w_90", CHROME): JPEG,
        ("image/resize,w_90/format,auto", CHROME): AVIF,
        ("image/resize,w_90/format,auto", "*/*"): JPEG,
        ("image/resize,w_90/format,auto,accept_webp", "*/*"): WEBP,
    }
    for number, ((text, accept), kind) in enumerate(rows.items()):
        sink = f"sys/saveas,o_{b64(f'saved-{number}')}"
        answer = post(auto, "switched", f"{text}|{sink}", accept)
        assert (answer.status, varies(answer)) == (200, ["Origin"]), answer.body
        assert seen(auto.ask(f"/switched/saved-{number}")) == kind


# --- a WebP in place of an AVIF


LARGE = "?x-oss-process=image/resize,w_1600"


RENDERED = 'vipsgate_stage_duration_seconds_count{stage="render"}'


def until_made(auto, target, tries=200):
    """The answers to one client that asks again and again, up to the first AVIF."""
    answers = []
    while not answers or (answers[-1].kind != AVIF and len(answers) < tries):
        answers.append(auto.ask(target, {"Accept": CHROME}))
        time.sleep(0.05)
    return answers


@pytest.fixture
def large(auto, photo_file):
    """The name of a large picture that nobody has asked for."""
    name = f"{time.time_ns()}.jpg"
    (auto.root / "hurried" / name).write_bytes(photo_file)
    return f"/hurried/{name}"


@pytest.fixture(scope="module")
def photo_file():
    ramp = Image.linear_gradient("L").resize((1800, 1200))
    picture = Image.merge("RGB", (ramp, ramp.rotate(90).resize(ramp.size), ramp.transpose(1)))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def test_a_webp_stands_in_until_the_avif_is_made(auto, large):
    first, *others = until_made(auto, f"{large}{LARGE}")
    assert (seen(first), first.headers["X-Vipsgate-Notes"]) == (WEBP, "later=avif")
    assert first.headers["Cache-Control"] == "public, max-age=30"
    assert varies(first) == ["Accept"]
    for answer in others[:-1]:
        assert (answer.etag, answer.body) == (first.etag, first.body)
    last = others[-1]
    assert seen(last) == AVIF
    assert last.etag != first.etag
    assert last.headers["Cache-Control"] == "public, max-age=86400, immutable"
    assert "X-Vipsgate-Notes" not in last.headers
    # who comes back with the tag of the one that stood in gets the other
    back = auto.ask(f"{large}{LARGE}", {"Accept": CHROME, "If-None-Match": first.etag})
    assert (back.status, back.etag) == (200, last.etag)
    same = auto.ask(f"{large}{LARGE}", {"Accept": CHROME, "If-None-Match": last.etag})
    assert same.status == 304
    assert same.headers["Cache-Control"] == "public, max-age=86400, immutable"


def test_who_has_the_one_that_stands_in_keeps_it_for_a_moment(auto, large):
    first = auto.ask(f"{large}{LARGE}", {"Accept": CHROME})
    again = auto.ask(f"{large}{LARGE}", {"Accept": CHROME, "If-None-Match": first.etag})
    if again.status == 304:  # else the AVIF was there by then
        assert again.headers["Cache-Control"] == "public, max-age=30"
    assert until_made(auto, f"{large}{LARGE}")[-1].kind == AVIF


def test_it_is_made_once(auto, large):
    def counted():
        with urllib.request.urlopen(f"http://127.0.0.1:{auto.admin_port}/metrics") as page:
            rows = page.read().decode().splitlines()
        return float(next(row.split()[1] for row in rows if row.startswith(RENDERED)))

    before = counted()
    assert until_made(auto, f"{large}{LARGE}")[-1].kind == AVIF
    assert counted() - before == 2  # a WebP, an AVIF


@pytest.mark.parametrize(
    ("target", "kind"),
    {
        f"{SMALL}": AVIF,  # is made as quickly
        f"{LARGE}/format,avif": AVIF,  # is asked for by name
        f"{LARGE}/format,png": PNG,
    }.items(),
)
def test_nothing_stands_in_where_nothing_is_won(auto, large, target, kind):
    answer = auto.ask(f"{large}{target}", {"Accept": CHROME})
    assert seen(answer) == kind
    assert "later" not in answer.headers.get("X-Vipsgate-Notes", "")
    assert answer.headers["Cache-Control"] == "public, max-age=86400, immutable"


def test_who_takes_one_of_them_only_waits_for_it(auto, large):
    for accept, kind in (("image/avif", AVIF), ("image/webp", WEBP), ("*/*", JPEG)):
        answer = auto.ask(f"{large}{LARGE}", {"Accept": accept})
        assert (seen(answer), answer.headers.get("X-Vipsgate-Notes")) == (kind, None)


# --- the other ways in


def test_explained(auto):
    url = f"http://127.0.0.1:{auto.admin_port}/explain/switched/example.jpg{SMALL}"
    request = sign.Request("GET", "switched", "example.jpg", (("x-oss-process", SMALL[15:]),), {})
    sent = sign.sign_headers(KEY, request, now=time.time(), version=1)
    asked = urllib.request.Request(url, headers={"Accept": CHROME, **sent})
    with urllib.request.urlopen(asked) as answer:
        report = json.loads(answer.read())
    assert report["offered"] == ["avif", "webp"]
    assert report["process"]["chain"][-1] == "format,auto,accept_avif-webp"
    assert report["plan"]["result"]["format"] == "avif"


def test_rendered_without_a_server(root, tmp_path):
    source = root / "examplebucket" / "example.jpg"
    words = [sys.executable, "-m", "vipsgate", "render", str(source), str(tmp_path / "result")]
    process = ["--process", "image/resize,w_90/format,auto", "--accept", OLD_CHROME]
    subprocess.run([*words, *process], check=True, timeout=60)
    with Image.open(tmp_path / "result") as picture:
        assert picture.format == "WEBP"
    data, text = source.read_bytes(), "image/resize,w_90/format,auto"
    for accept, mime in {CHROME: AVIF, OLD_CHROME: WEBP, "": JPEG, "*/*": JPEG}.items():
        assert vipsgate.transform(data, text, accept=accept).mime == mime
    plan = vipsgate.explain(data, text, accept=CHROME)
    assert plan["result"]["format"] == "avif"
