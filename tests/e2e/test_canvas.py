"""A page of another origin in a real browser: it reads a picture's pixels where a rule lets it."""

import contextlib
import http.server
import shutil
import threading

import pytest

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    pytest.skip("needs playwright: pip install playwright", allow_module_level=True)

CONFIG = """
[cache]
memory_bytes = 10000000
[buckets.shared]
acl = "public-read-write"
cache_control = "max-age=3600"
timing_allow_origin = ["*"]
[[buckets.shared.cors]]
allowed_origins = ["{origin}"]
allowed_methods = ["GET", "PUT"]
allowed_headers = ["x-oss-*"]
expose_headers = ["x-oss-request-id"]
[buckets.silent]
acl = "public-read-write"
cache_control = "max-age=3600"
[buckets.ours]
acl = "public-read"
cross_origin_resource_policy = "same-site"
[buckets.theirs]
acl = "public-read"
cross_origin_resource_policy = "cross-origin"
[buckets.auto]
acl = "public-read"
cache_control = "max-age=3600"
auto_format = ["avif", "webp"]
[[buckets.auto.cors]]
allowed_origins = ["{origin}"]
allowed_methods = ["GET"]
expose_headers = ["Vary"]
"""
SMALL = "example.jpg?x-oss-process=image/resize,w_100"
DRAW = """async ([url, crossOrigin]) => {
    const image = new Image();
    image.crossOrigin = crossOrigin;
    const shown = new Promise((good, bad) => { image.onload = good; image.onerror = bad; });
    image.src = url;
    try { await shown; } catch { return "not shown"; }
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    context.drawImage(image, 0, 0);
    try {
        const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.width, canvas.height, data.length, new Set(data).size > 100];
    } catch (error) { return error.name; }
}"""
ASK = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return [answer.status, await answer.text(), answer.headers.get("x-oss-request-id")];
    } catch (error) { return error.name; }
}"""
READ = [100, 67, 100 * 67 * 4, True]


class Page(http.server.BaseHTTPRequestHandler):
    """An empty page; one is isolated from all other origins."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path == "/isolated":
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *words):
        pass


@contextlib.contextmanager
def pages():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def origin():
    with pages() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def shared(serving, root, tmp_path_factory, origin):
    folder = tmp_path_factory.mktemp("canvas")
    for bucket in ("shared", "silent", "ours", "theirs", "auto"):
        (folder / "root" / bucket).mkdir(parents=True)
        for key in ("example.jpg", "alpha.png", "anim.gif"):
            shutil.copy(root / "examplebucket" / key, folder / "root" / bucket)
    (folder / "vipsgate.toml").write_text(CONFIG.format(origin=origin))
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, origin):
    """A page of the origin that the rule names, in a browser that has kept nothing."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(origin)
    yield page
    context.close()


def test_a_canvas_reads_the_pixels_of_a_picture(page, shared):
    url = f"http://127.0.0.1:{shared.port}/shared/{SMALL}"
    assert page.evaluate(DRAW, [url, "anonymous"]) == READ
    assert page.evaluate(DRAW, [url, None]) == "SecurityError"


def test_also_when_the_browser_has_kept_it_without_an_origin(page, shared):
    """The trap: without Vary the second would be given what the first has brought."""
    url = f"http://127.0.0.1:{shared.port}/shared/{SMALL}"
    for _ in range(2):
        assert page.evaluate(DRAW, [url, None]) == "SecurityError"
        assert page.evaluate(DRAW, [url, "anonymous"]) == READ


def test_without_rules_nothing_is_read(page, shared):
    url = f"http://127.0.0.1:{shared.port}/silent/{SMALL}"
    assert page.evaluate(DRAW, [url, "anonymous"]) == "not shown"
    assert page.evaluate(DRAW, [url, None]) == "SecurityError"
    assert page.evaluate(ASK, [url, {}]) == "TypeError"


def test_a_page_that_no_rule_names(page, shared):
    with pages() as port:
        page.goto(f"http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{shared.port}/shared/{SMALL}"
        assert page.evaluate(DRAW, [url, "anonymous"]) == "not shown"


def test_errors_can_be_read_and_uploads_sent(page, shared):
    base = f"http://127.0.0.1:{shared.port}"
    status, text, identity = page.evaluate(ASK, [f"{base}/shared/none.jpg", {}])
    assert (status, "<Code>NoSuchKey</Code>" in text) == (404, True)
    assert f"<RequestId>{identity}</RequestId>" in text
    put = {"method": "PUT", "body": "hello", "headers": {"x-oss-meta-who": "me"}}
    assert page.evaluate(ASK, [f"{base}/shared/a.txt", put])[0] == 200
    assert page.evaluate(ASK, [f"{base}/shared/a.txt", {}])[1] == "hello"
    for others in ({"method": "DELETE"}, {**put, "headers": {"x-more": "me"}}):
        assert page.evaluate(ASK, [f"{base}/shared/a.txt", others]) == "TypeError"
    assert page.evaluate(ASK, [f"{base}/silent/a.txt", put]) == "TypeError"
    assert (shared.root / "shared" / "a.txt").read_text() == "hello"
    assert not (shared.root / "silent" / "a.txt").exists()


def test_how_long_a_picture_took(page, shared):
    for bucket, told in (("shared", True), ("silent", False)):
        url = f"http://127.0.0.1:{shared.port}/{bucket}/{SMALL}"
        page.evaluate(DRAW, [url, None])
        began = page.evaluate("url => performance.getEntriesByName(url)[0].requestStart", url)
        assert (began > 0) == told


@pytest.mark.parametrize("isolated", [False, True])
def test_which_pages_may_show_a_picture_at_all(page, shared, origin, isolated):
    """One under Cross-Origin-Embedder-Policy shows only what says that it may be shown."""
    page.goto(f"{origin}/{'isolated' if isolated else ''}")
    assert page.evaluate("crossOriginIsolated") == isolated
    shown = {"theirs": True, "ours": False, "silent": not isolated}
    for bucket, is_shown in shown.items():
        url = f"http://127.0.0.1:{shared.port}/{bucket}/{SMALL}"
        assert page.evaluate(DRAW, [url, None]) == ("SecurityError" if is_shown else "not shown")


# -- a format that the browser takes ---------------------------------------------------------------

TYPE = """async ([url, options]) => {
    const answer = await fetch(url, options);
    return [(await answer.blob()).type, answer.headers.get("vary")];
}"""


def test_a_browser_says_what_it_takes_and_shows_what_it_gets(page, shared):
    process = "?x-oss-process=image/resize,w_100"
    rows = {
        f"/auto/example.jpg{process}": "image/avif",
        f"/auto/alpha.png{process}": "image/webp",
        f"/auto/anim.gif{process}": "image/webp",
        f"/auto/example.jpg{process}/format,png": "image/png",
        "/auto/example.jpg": "image/jpeg",
    }
    for target, kind in rows.items():
        with page.expect_response(f"**{target}") as answer:
            drawn = page.evaluate(DRAW, [f"http://127.0.0.1:{shared.port}{target}", "anonymous"])
        assert answer.value.headers["content-type"] == kind, target
        assert drawn[0] in (100, 400), target  # it is shown, and its pixels are read


def test_a_script_that_accepts_anything_gets_the_sources_kind(page, shared):
    """Although the browser has the AVIF of the same URL by then: the answers vary."""
    url = f"http://127.0.0.1:{shared.port}/auto/{SMALL}"
    assert page.evaluate(DRAW, [url, "anonymous"]) == READ
    varies = "Accept, Origin"
    assert page.evaluate(TYPE, [url, {}]) == ["image/jpeg", varies]
    asked = {"headers": {"Accept": "image/webp"}}
    assert page.evaluate(TYPE, [url, asked]) == ["image/webp", varies]
    assert page.evaluate(DRAW, [url, "anonymous"]) == READ


# -- what anybody has put --------------------------------------------------------------------------

SCRIPT = (
    b'<html xmlns="http://www.w3.org/1999/xhtml">'
    b'<body><script>parent.postMessage(location.pathname, "*")</script></body></html>'
)
# types that a browser may take for a page, and ways to write a Content-Type that has one of them
ACTIVE = "text/html text/xml text/xsl application/xml application/xhtml+xml image/svg+xml".split()
WRITTEN = ("{}", "image/png, {}", "a/b,*/*,{}", "{},", "x/y;,{}", 'image/png;a=",",{}', "{};x")
FRAMES = """async ([urls, last]) => {
    const ran = [];
    const done = new Promise(good => {
        onmessage = event => { ran.push(event.data); if (event.data === last) good(); };
    });
    const shown = urls.map(url => new Promise(good => {
        const frame = document.createElement("iframe");
        frame.onload = good;
        frame.src = url;
        document.body.append(frame);
    }));
    await Promise.all([...shown, done]);
    return ran;
}"""


def test_a_page_that_anybody_has_put_runs_nothing(page, shared):
    """But one of which the browser is not told to run nothing."""
    kinds = [way.format(kind) for kind in ACTIVE for way in WRITTEN]
    for number, kind in enumerate(kinds):
        headers = {"Content-Type": kind}
        put = shared.ask(f"/silent/{number}", headers, method="PUT", body=SCRIPT)
        assert put.status == 200, kind
    last = "/silent/bare"
    shared.ask(last, {"Content-Type": WRITTEN[1].format("text/html")}, method="PUT", body=SCRIPT)

    def uncage(route):
        answer = route.fetch()
        kept = {k: v for k, v in answer.headers.items() if k != "content-security-policy"}
        route.fulfill(response=answer, headers=kept)

    page.route(f"**{last}", uncage)
    base = f"http://127.0.0.1:{shared.port}"
    urls = [f"{base}/silent/{number}" for number in range(len(kinds))]
    assert page.evaluate(FRAMES, [[*urls, f"{base}{last}"], last]) == [last]
