"""The helpers of deploy/frontend: what they write is OSS's grammar, and leads to the right picture.

The three for JavaScript run in node below what they are for: next/image, @nuxt/image, @unpic/core.
"""

import contextlib
import html
import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from vipsgate.gate import target
from vipsgate.image import process
from vipsgate.image.config import Limits

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "frontend"
MODULES = Path(os.environ.get("FRONTEND_MODULES", ROOT / ".venv/frontend/node_modules"))
NODE, CHROMIUM = shutil.which("node"), shutil.which("chromium")
BUCKET = "shop"
KEYS = ("西湖/日出 +100%.jpg", "a b?c#d&e=f.jpg", "quo'te\"<x>!small.jpg")
WIDE, HIGH = 1200, 800  # pixels of each picture
SIGNS = "abyz09 +%?#&=;:@!$'()*,-._~/|\"<>\\^`{}[]西湖é\U0001f5fb\u202e\u00a0\t"
ANY = [  # keys of any kind, always the same ones
    re.sub("/+", "/", "".join(random.Random(seed).choices(SIGNS, k=1 + seed % 20))).strip("/\\")
    or "x"
    for seed in range(300)
]
OSS = {  # actions and values of the OSS guide, as text
    "resize": r"(m_(fill|pad|fixed|lfit|mfit),)?(w_\d+)?,?(h_\d+)?(,color_[0-9A-F]{6})?",
    "quality": r"Q_\d+",
    "format": r"jpg|png|webp|avif|gif|bmp|tiff|heic",
}
needs_node = pytest.mark.skipif(
    not NODE or not (MODULES / "@unpic" / "core").is_dir(),
    reason="needs node and packages for it: see npm install --prefix .venv/frontend in .ci/run",
)


@pytest.fixture(scope="module")
def pictures(serving, photo, saved, tmp_path_factory):
    """A server with a picture under each key."""
    root = tmp_path_factory.mktemp("frontend")
    data = saved(photo(WIDE, HIGH), "JPEG", quality=90)
    for key in KEYS:
        (root / BUCKET / key).parent.mkdir(parents=True, exist_ok=True)
        (root / BUCKET / key).write_bytes(data)
    with serving(root, renderers=1) as site:
        yield site


@pytest.fixture(scope="module")
def js(pictures, tmp_path_factory):
    """Helper, source, operations -> the result; of all cases, in one process of node.

    The helpers are copied into a folder of their own, as into a project.
    """
    folder = tmp_path_factory.mktemp("project")
    for path in (*FOLDER.glob("*.js"), Path(__file__).with_name("frontend.mjs")):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(MODULES)
    rows = [
        *((helper, key, given) for key in KEYS for helper, given in SHOWS),
        *(("again", KEYS[0], given) for helper, given in SHOWS if helper == "url"),
        *((helper, key, "{}") for key in ANY for helper in ("url", "nuxt")),
        *(("extract", f"http://h/a{end}", "{}") for end in EXTRACTS),
        *WRITES,
        *REFUSES,
    ]
    cases = [(helper, source, json.loads(given)) for helper, source, given in rows]
    done = subprocess.run(
        [NODE, "frontend.mjs"],
        cwd=folder,
        input=json.dumps({"base": base(pictures), "modules": str(MODULES), "cases": cases}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(rows, json.loads(done.stdout), strict=True))


@pytest.fixture(scope="module")
def tag():
    """A template that is rendered with Django, and the module of the tag."""
    django = pytest.importorskip("django", reason="needs Django: pip install django")
    from django.conf import settings

    spec = importlib.util.spec_from_file_location("django_oss", FOLDER / "django_oss.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["django_oss"] = module
    libraries = {"oss": "django_oss"}
    backend = "django.template.backends.django.DjangoTemplates"
    settings.configure(TEMPLATES=[{"BACKEND": backend, "OPTIONS": {"libraries": libraries}}])
    django.setup()
    spec.loader.exec_module(module)
    from django.template import engines

    def render(text, base, **values):
        settings.OSS_BASE = base
        return engines["django"].from_string("{% load oss %}" + text).render(values)

    yield render
    del sys.modules["django_oss"]


def base(site):
    return f"http://127.0.0.1:{site.port}/{BUCKET}"


def read(url):
    """The key and the process of a URL, as the server reads them; the process is OSS's grammar."""
    parts = urlsplit(url)
    assert url.isascii()
    assert not set(url) & set(" \"'<>")
    wanted = target.resolve(f"{parts.path}?{parts.query}", parts.netloc, {}, "")
    for stage in wanted.process.split("|"):
        if stage.startswith("image/"):
            for step in stage.removeprefix("image/").split("/"):
                name, _, values = step.partition(",")
                assert re.fullmatch(OSS[name], values), step
            process.parse(stage, Limits())
    return wanted.key, wanted.process


def size(site, url):
    parts = urlsplit(url)
    answer = site.ask(f"{parts.path}?{parts.query}")
    assert answer.status == 200, answer.body
    return answer.picture.size


# helper, what it is given -> size and process of the picture that an <img> without srcset shows
SHOWS = {
    ("url", '{"width": 320}'): ((320, 213), "image/resize,w_320"),
    ("url", '{"height": 100, "fit": "contain"}'): ((150, 100), "image/resize,h_100"),
    ("url", '{"width": 300, "height": 300}'): ((300, 300), "image/resize,m_fill,w_300,h_300"),
    ("url", '{"width": 300, "height": 300, "fit": "contain", "background": "#FF0000"}'): (
        (300, 300),
        "image/resize,m_pad,w_300,h_300,color_FF0000",
    ),
    ("url", '{"width": 300, "height": 300, "fit": "fill"}'): (
        (300, 300),
        "image/resize,m_fixed,w_300,h_300",
    ),
    ("url", '{"width": 300, "height": 300, "fit": "inside"}'): (
        (300, 200),
        "image/resize,m_lfit,w_300,h_300",
    ),
    ("url", '{"width": 300, "height": 300, "fit": "outside"}'): (
        (450, 300),
        "image/resize,m_mfit,w_300,h_300",
    ),
    ("url", '{"quality": "40", "format": "jpeg"}'): ((WIDE, HIGH), "image/quality,Q_40/format,jpg"),
    ("url", '{"width": 9999}'): ((WIDE, HIGH), "image/resize,w_9999"),  # never enlarged
    ("next", '{"width": 300, "height": 200}'): ((640, 427), "image/resize,w_640"),
    ("next", '{"width": 600, "height": 400, "quality": 50, "sizes": "50vw"}'): (
        (WIDE, HIGH),
        "image/resize,w_3840/quality,Q_50",
    ),
    ("component", '{"width": 300, "height": 200}'): ((640, 427), "image/resize,w_640"),
    ("nuxt", '{"width": "320px", "format": "webp"}'): (
        (320, 213),
        "image/resize,w_320/format,webp",
    ),
    ("nuxt1", '{"width": 90, "height": 90, "quality": 30}'): (
        (90, 90),
        "image/resize,m_fill,w_90,h_90/quality,Q_30",
    ),
    ("sizes", '{"sizes": "400px", "width": 400, "height": 100}'): (
        (800, 200),
        "image/resize,m_fill,w_800,h_200",
    ),
    ("unpic", '{"width": 400, "height": 200, "layout": "constrained"}'): (
        (400, 200),
        "image/resize,m_fill,w_400,h_200",
    ),
    ("transform", '{"width": 400, "format": "png"}'): (
        (400, 267),
        "image/resize,w_400/format,png",
    ),
}


@needs_node
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("case", SHOWS, ids=" ".join)
def test_every_url_leads_to_the_picture(case, key, js, pictures):
    helper, given = case
    urls, (shown, wanted) = js[helper, key, given], SHOWS[case]
    assert isinstance(urls, list), urls
    if helper == "component":
        (markup,) = urls
        rows = re.findall(r'srcSet="([^"]*)"', markup)[0].split(", ")
        urls = [html.unescape(row.split(" ")[0]) for row in reversed(rows)]
    assert read(urls[0]) == (key, wanted)
    assert all(read(url)[0] == key for url in urls)
    assert size(pictures, urls[0]) == shown


def leads_nowhere(key):
    """Is it a key that a browser takes for another one?"""
    return {".", ".."} & set(key.split("/"))


@needs_node
def test_any_key_is_escaped(js):
    for key in ANY:
        for helper in ("url", "nuxt"):
            result = js[helper, key, "{}"]
            if leads_nowhere(key):
                assert "no URL leads" in result
            else:
                assert read(result[0])[0] == key


# helper, source, operations -> URL behind the base
WRITES = {
    ("url", "a.jpg", "{}"): "/a.jpg",
    ("url", "/a//b.jpg", "{}"): "/a//b.jpg",
    (
        "url",
        "http://h/a%20b.jpg",
        '{"width": 9}',
    ): "http://h/a%20b.jpg?x-oss-process=image/resize%2Cw_9",
    ("url", "//h/a.jpg?versionId=1#x", '{"width": 9}'): (
        "//h/a.jpg?versionId=1&x-oss-process=image/resize%2Cw_9"
    ),
    ("url", "http://h/a?x-oss-process=style/card", '{"width": 9}'): (
        "http://h/a?x-oss-process=style/card%7Cimage/resize%2Cw_9"
    ),
    ("url", "a", '{"process": "style/card", "format": "auto"}'): (
        "/a?x-oss-process=style/card%7Cimage/format%2Cauto"
    ),
    ("url", "a", '{"width": null, "height": "", "quality": null}'): "/a",
    (
        "transform",
        "http://h/a?x-oss-process=style/c%7Cimage/resize,w_9/format,png",
        '{"width": 8}',
    ): ("http://h/a?x-oss-process=style/c%7Cimage/resize%2Cw_8/format%2Cpng"),
    ("transform", "http://h/a?x-oss-process=image/quality,q_90", '{"width": 8}'): (
        "http://h/a?x-oss-process=image/quality%2Cq_90%7Cimage/resize%2Cw_8"
    ),
}
# helper, source, operations -> what the error says
REFUSES = {
    ("url", "a/../b", "{}"): "no URL leads",
    ("url", ".", "{}"): "no URL leads",
    ("url", "a", '{"width": 0}'): "width: 0 is not from 1 to 16384",
    ("url", "a", '{"width": "wide"}'): "width: wide",
    ("url", "a", '{"height": 16385}'): "height: 16385",
    ("url", "a", '{"quality": 101}'): "quality: 101 is not from 1 to 100",
    ("url", "a", '{"format": "svg"}'): "format: svg is not one of jpg",
    ("url", "a", '{"width": 1, "fit": "zoom"}'): "fit: zoom is not one of cover",
    ("url", "http://h/a?Expires=1&Signature=x", '{"width": 1}'): "is signed",
    ("url", "http://h/a?x-oss-signature=x", "{}"): "is signed",
    ("nuxt", "a", '{"rotate": 90}'): "rotate is not one of",
}


@needs_node
@pytest.mark.parametrize("case", WRITES, ids=" ".join)
def test_urls_are_written(case, js, pictures):
    wanted = WRITES[case]
    assert js[case] == [wanted if "//h/" in wanted else base(pictures) + wanted]


@needs_node
@pytest.mark.parametrize("case", REFUSES, ids=" ".join)
def test_what_makes_no_url_is_an_error(case, js):
    assert isinstance(js[case], str)
    assert REFUSES[case] in js[case]


# the URL behind http://h/a -> what extract says, source and operations
EXTRACTS = {
    "": None,
    "?x=1": None,
    "?x=1&x-oss-process=image/resize,m_pad,w_2,h_3,color_FF0000": (
        "?x=1",
        {"width": 2, "height": 3, "fit": "contain", "background": "FF0000"},
    ),
    "?x-oss-process=image%2Fquality%2CQ_9%2Fformat%2Cavif": ("", {"quality": 9, "format": "avif"}),
    "?x-oss-process=style/card": ("", {"process": "style/card"}),
    "?x-oss-process=image/resize,p_50": ("", {"process": "image/resize,p_50"}),
    "?x-oss-process=image/format,svg": ("", {"process": "image/format,svg"}),
    "?x-oss-process=image/rotate,9|image/resize,h_7": (
        "",
        {"process": "image/rotate,9", "height": 7},
    ),
}


@needs_node
@pytest.mark.parametrize("end", EXTRACTS)
def test_operations_are_read_back(end, js):
    wanted = EXTRACTS[end]
    expected = wanted and {"src": f"http://h/a{wanted[0]}", "operations": wanted[1]}
    assert js["extract", f"http://h/a{end}", "{}"] == expected


@needs_node
@pytest.mark.parametrize("given", [given for helper, given in SHOWS if helper == "url"])
def test_what_is_written_is_read_back(given, js):
    assert js["again", KEYS[0], given] == js["url", KEYS[0], given]


# template -> URL behind the base
TEMPLATES = {
    "{% oss_url key %}": "",
    "{% oss_url key width=300 %}": "image/resize,w_300",
    "{% oss_url key width='300' height=300 fit='contain' %}": "image/resize,m_pad,w_300,h_300",
    "{% oss_url key quality=40 format='webp' process='style/card' %}": (
        "style/card|image/quality,Q_40/format,webp"
    ),
}


@pytest.mark.parametrize("key", KEYS)
def test_the_tag_writes_urls(key, tag, pictures):
    for text, wanted in TEMPLATES.items():
        url = html.unescape(tag(text, base(pictures), key=key))
        assert read(url) == (key, wanted)
        if "style" not in wanted:
            assert size(pictures, url)[0] == (300 if wanted else WIDE)


def test_the_tag_escapes_any_key(tag):
    for key in ANY:
        if not leads_nowhere(key):
            url = html.unescape(tag("{% oss_url key %}", f"http://h/{BUCKET}", key=key))
            assert read(url)[0] == key


@pytest.mark.parametrize("key", KEYS)
def test_the_tag_writes_an_image(key, tag, pictures):
    alt = 'a"><script>'
    text = (
        "{% oss_img key alt=alt width=600 height=300 sizes='50vw' widths='200,400' format='png' %}"
    )
    markup = tag(text, base(pictures), key=key, alt=alt)
    assert "<script>" not in markup
    assert 'width="600" height="300"' in markup
    source, rows = (html.unescape(one) for one in re.findall(r'src(?:set)?="([^"]*)"', markup))
    urls = [row.split(" ")[0] for row in rows.split(", ")]
    assert [size(pictures, url) for url in urls] == [(200, 100), (400, 200)]
    assert source == urls[-1]
    assert read(source) == (key, "image/resize,m_fill,w_400,h_200/format,png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% oss_url 'a/../b' %}", "no URL leads"),
        ("{% oss_url 'a' width=20000 %}", "width|w: 20000"),
        ("{% oss_url 'a' width='x' %}", "x"),
        ("{% oss_url 'a' fit='zoom' %}", "zoom"),
        ("{% oss_url 'a' format='svg' %}", "svg"),
        ("{% oss_url 'a' quality=101 %}", "quality: 101"),
    ],
)
def test_the_tag_refuses(text, words, tag):
    with pytest.raises(ValueError, match=words):
        tag(text, "http://h")


def test_every_helper_is_short_and_described():
    names = [path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".py")]
    readme = (FOLDER / "README.md").read_text()
    assert len(names) == 5
    for name in names:
        assert f"`{name}`" in readme
        assert len((FOLDER / name).read_text().splitlines()) < 80


# -- a real browser --------------------------------------------------------------------------------

# viewport in pixels of the page, device pixels to each -> width that is enough and not too much
SCREENS = [(320, 1.0), (320, 2.0), (400, 1.5), (1600, 1.0)]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_a_browser_takes_the_width_that_it_needs(pictures):
    """Of what ``vipsgate srcset`` prints, and no other is sent for."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    from click.testing import CliRunner

    from vipsgate.cli import main

    words = [
        "srcset",
        f"{BUCKET}/{KEYS[0]}",
        "--root",
        str(pictures.root),
        "--widths",
        "320,480,640,960",
    ]
    address = f"http://127.0.0.1:{pictures.port}"
    markup = CliRunner().invoke(main, [*words, "--endpoint", address]).stdout
    offered = [int(width) for width in re.findall(r" (\d+)w", markup)]
    assert offered == [320, 480, 640, 960]
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(sync_api.sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        for viewport, density in SCREENS:
            context = browser.new_context(
                viewport={"width": viewport, "height": 600}, device_scale_factor=density
            )
            page = context.new_page()
            sent = []
            page.on("request", lambda request, sent=sent: sent.append(unquote(request.url)))
            page.set_content(f"<body style='margin:0'>{markup}")
            page.wait_for_function("document.images[0].complete")
            chosen = page.evaluate("document.images[0].currentSrc")
            needed = min(viewport, 960) * density
            width = min((one for one in offered if one >= needed), default=offered[-1])
            assert f"w_{width}" in chosen, (viewport, density)
            assert [url for url in sent if f"/{BUCKET}/" in url] == [unquote(chosen)]
            context.close()
