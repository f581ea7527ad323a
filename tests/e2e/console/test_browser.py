"""The console in a real browser: login by signature, an upload with progress, a style by hand."""

import base64
import io
import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from support.console import Browser, put

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    pytest.skip("needs playwright: pip install playwright", allow_module_level=True)

TEXT = "document.getElementById('editor').elements.content.value"
PIXELS = """() => {
    const shown = document.getElementById("after"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [shown.naturalWidth, shown.naturalHeight];
    canvas.getContext("2d").drawImage(shown, 0, 0);
    return canvas.toDataURL("image/png");
}"""
PATHS = (
    "login",
    "buckets",
    "overview",
    "b/examplebucket/objects",
    "b/examplebucket/object?key=example.jpg&process=image/resize,w_40",
    "b/examplebucket/styles",
    "b/examplebucket/style",
    "b/examplebucket/access?url=/examplebucket/example.jpg",
    "b/examplebucket/settings",
    "b/versioned/versions",
    "b/versioned/version?number=1",
)
PATIENCE = 15_000  # milliseconds for anything to appear


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, console):
    """A page in which nothing goes wrong: no error, no violation of the policy, no dialog."""
    context = chromium.new_context(base_url=f"http://127.0.0.1:{console.admin_port}")
    context.set_default_timeout(PATIENCE)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if "Content Security" in said.text else None,
    )
    yield page
    context.close()
    assert wrong == []


def until(page, condition):
    """Wait for something to become so; the policy lets no page evaluate a text by itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def login(page, key_id="key1", secret=None):
    page.goto("/console/login")
    page.fill("[name=id]", key_id)
    page.fill("#secret", secret or f"secret-{key_id}")
    page.click("form#login button")


@pytest.fixture
def inside(page):
    login(page)
    page.wait_for_url("**/console/buckets")
    return page


def test_the_secret_stays_in_the_page(page):
    sent = []
    page.on("request", lambda request: sent.append((request.url, request.post_data or "")))
    login(page)
    page.wait_for_url("**/console/buckets")
    assert any("proof=" in body for _, body in sent)
    assert not any("secret-key1" in url + body for url, body in sent)


def test_a_wrong_secret_is_told(page):
    login(page, secret="wrong")
    page.wait_for_selector("[role=alert]")
    assert page.url.endswith("/console/login")


def test_the_key_of_a_run_comes_behind_the_hash(page, console):
    page.goto("/console/login#key1:secret-key1")
    page.wait_for_url("**/console/buckets")


def test_files_are_uploaded_with_progress(inside, console, tmp_path):
    sizes = {"large.bin": 30 << 20, "one.txt": 1, "two.txt": 2}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    inside.goto("/console/b/examplebucket/objects?folder=up/")
    inside.set_input_files("input[type=file]", [str(tmp_path / name) for name in sizes])
    inside.click("#upload button.primary")
    inside.wait_for_url("**uploaded=3**")
    for name, size in sizes.items():
        assert (console.root / "examplebucket" / "up" / name).stat().st_size == size


BIG = bytes(range(256)) * 4 * 10_000 + b"the end"  # two parts of 8 MB


@pytest.fixture
def big(inside, tmp_path):
    """A large file, chosen on the page of a folder."""
    (tmp_path / "big.bin").write_bytes(BIG)
    inside.goto("/console/b/examplebucket/objects?folder=up/")
    inside.set_input_files("input[type=file]", str(tmp_path / "big.bin"))
    return inside


def left(console):
    """Files of uploads; a folder may go while this looks."""
    walk = os.walk(console.root / ".vipsgate" / "uploads")
    return [Path(folder) / name for folder, _, names in walk for name in names]


def test_a_part_that_fails_is_sent_again(big, console):
    failed = []

    def fail(route):
        failed.append(route.request.url)
        route.abort() if len(failed) < 3 else route.fallback()

    big.route("**/part?*number=2*", fail)
    big.click("#upload button.primary")
    big.wait_for_url("**uploaded=1**")
    assert len(failed) == 3
    assert (console.root / "examplebucket" / "up" / "big.bin").read_bytes() == BIG
    assert left(console) == []


def test_what_stops_goes_on_from_there(big, console):
    sent = []
    big.on("request", lambda request: sent.append(request.url) if "part?" in request.url else None)
    big.route("**/part?*number=2*", lambda route: route.fulfill(status=403, body="{}"))
    big.click("#upload button.primary")
    big.wait_for_selector(".progress .failed")
    assert len(left(console)) == 2  # what it is, and its first part
    big.unroute("**/part?*number=2*")
    sent.clear()
    big.click(".progress .failed button >> nth=0")
    big.wait_for_url("**uploaded=1**")
    assert ["number=2" in url for url in sent] == [True]
    assert left(console) == []


def test_a_cancelled_upload_leaves_nothing(big, console):
    (console.root / "examplebucket" / "up" / "big.bin").unlink(missing_ok=True)
    big.route("**/part?*number=2*", lambda route: None)  # it never comes to an end
    big.click("#upload button.primary")
    big.wait_for_selector(".progress button")
    deadline = time.monotonic() + PATIENCE / 1000
    while len(left(console)) < 2:
        assert time.monotonic() < deadline
        big.wait_for_timeout(20)
    big.click(".progress button")
    big.wait_for_selector(".progress .failed")
    while left(console):
        assert time.monotonic() < deadline
        big.wait_for_timeout(20)
    assert not (console.root / "examplebucket" / "up" / "big.bin").exists()


def test_a_style_by_hand_is_what_the_public_gets(inside, console):
    page = inside
    page.goto("/console/b/examplebucket/style")
    page.fill("[name=name]", "by-hand")
    page.fill("[name=sample]", "example.jpg")
    page.fill("[name='resize.w']", "100")
    until(page, f"{TEXT} == 'image/resize,w_100'")
    until(page, "document.getElementById('after').naturalWidth == 100")
    page.select_option("[name='format.value']", "png")
    until(
        page,
        f"{TEXT} == 'image/resize,w_100/format,png'",
    )
    until(page, "document.getElementById('cost').textContent.includes('image/png')")
    shown = page.evaluate(PIXELS).partition(",")[2]
    page.click("button[value=save]")
    page.wait_for_url("**/styles?saved=by-hand")
    browser = Browser(console.admin_port)
    browser.login()
    assert browser.submit("b/examplebucket/acl", acl="public-read").status == 303
    public = console.ask("/examplebucket/example.jpg?x-oss-process=style/by-hand").picture
    assert browser.submit("b/examplebucket/acl", acl="private").status == 303
    preview = Image.open(io.BytesIO(base64.b64decode(shown)))
    assert public.size == preview.size == (100, 67)
    assert ImageChops.difference(public.convert("RGB"), preview.convert("RGB")).getbbox() is None


def test_access_settings_are_saved(inside, versioned):
    page = inside
    for extensions in ("jpg", "jpg, png"):  # a form as a browser sends it
        page.goto("/console/b/versioned/access")
        page.check("[name=enabled]")
        page.fill("[name=extensions]", extensions)
        page.fill("[name=whitelist]", "https://a.example\nhttps://b.example")
        page.click("form.editor button.primary")
        page.wait_for_url("**saved=1")
        assert page.input_value("[name=extensions]") == extensions


def test_a_version_is_restored_and_a_file_taken(inside, versioned, tmp_path):
    page = inside
    page.goto("/console/b/versioned/versions")
    page.click("[aria-label='Restore 1']")
    page.wait_for_url("**saved=1")
    (tmp_path / "a.json").write_text('{"acl": "private", "cache_control": "max-age=9"}\r\n')
    page.set_input_files("input[type=file]", str(tmp_path / "a.json"))
    page.click("form[enctype] button")
    page.wait_for_selector("ins:has-text('max-age=9')")
    page.click("button.primary")
    page.wait_for_url("**saved=1")
    assert "ImportDocument" in page.inner_text("tbody tr >> nth=0")


def test_to_advanced_and_back(inside):
    page = inside
    page.goto("/console/b/examplebucket/style")
    page.fill("[name=content]", "image/crop,w_90/resize,m_fill,w_80,h_60")
    until(page, "document.querySelector('[name=\"resize.h\"]').value == '60'")
    assert page.input_value("[name='resize.m']") == "fill"
    assert "crop,w_90" in page.inner_text("#rest")
    page.fill("[name='resize.h']", "50")
    until(
        page,
        f"{TEXT} == 'image/crop,w_90/resize,m_fill,w_80,h_50'",
    )


def test_an_error_stands_under_its_word_while_one_types(inside):
    page = inside
    page.goto("/console/b/examplebucket/style")
    page.fill("[name=content]", "image/resize,w_99999/rotate,90")
    until(page, "document.querySelector('#where mark')?.textContent == 'w_99999'")
    assert "99999" in page.inner_text("#problem")


def test_words_are_completed_by_keys(inside):
    page = inside
    page.goto("/console/b/examplebucket/style")
    page.wait_for_load_state("networkidle")
    page.click("[name=content]")
    page.keyboard.type("image/res")
    page.wait_for_selector("#offers button")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.input_value("[name=content]") == "image/resize"
    page.keyboard.type(",m_fi")
    page.click("#offers button:has-text('fill')")
    assert page.input_value("[name=content]") == "image/resize,m_fill"


@pytest.fixture(scope="module")
def versioned(console):
    """A bucket with some versions of its document."""
    browser = Browser(console.admin_port)
    browser.login()
    assert browser.submit("buckets", name="versioned", acl="private").status == 303
    style = {"name": "small", "content": f"image/resize,w_40/{'bright,1/' * 9}", "do": "save"}
    assert browser.submit("b/versioned/style", was="", **style).status == 303
    assert browser.submit("b/versioned/acl", acl="public-read").status == 303


def test_nothing_is_wider_than_a_small_phone(inside, versioned):
    inside.set_viewport_size({"width": 320, "height": 640})
    for path in PATHS:
        inside.goto(f"/console/{path}")
        assert inside.evaluate("document.documentElement.scrollWidth") <= 320, path


def test_lists_forms_and_errors_need_no_script(chromium, console, tmp_path):
    address = f"http://127.0.0.1:{console.admin_port}"
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/console/login")
    page.fill("[name=id]", "key1")
    page.fill("#secret", "secret-key1")
    page.click("form#login button")
    page.wait_for_url("**/console/buckets")
    page.fill("section [name=name]", "scriptless")
    page.click("section button.primary")
    page.wait_for_url("**/b/scriptless/objects")
    (tmp_path / "a.txt").write_text("a")
    page.set_input_files("input[type=file]", str(tmp_path / "a.txt"))
    page.click("#upload button.primary")
    page.wait_for_url("**uploaded=1")
    page.click("text=Styles")
    page.click("text=New style")
    page.fill("[name=name]", "small")
    page.fill("[name='resize.w']", "70")
    page.click("button[value=basic]")
    assert page.input_value("[name=content]") == "image/resize,w_70"
    page.fill("[name=content]", "image/resize,w_70/rotate,999")
    page.click("button[value=check]")
    assert page.inner_text("#where mark") == "999"
    page.fill("[name=content]", "image/resize,w_70")
    page.click("button[value=save]")
    page.wait_for_url("**saved=small")
    page.click("nav >> text=Access")
    page.check("[name=enabled]")
    page.fill("[name=extensions]", "jpg")
    page.click("form.editor button.primary")
    page.wait_for_url("**saved=1")
    page.fill("[name=url]", "/scriptless/a.txt")
    page.click("#tester button")
    assert "403 AccessDenied" in page.inner_text("[data-who=anonymous]")
    page.click("nav >> text=Versions")
    page.click("[aria-label='Restore 1']")
    page.wait_for_url("**saved=1")
    (tmp_path / "a.json").write_text('{"acl": "public-read"}')
    page.set_input_files("input[type=file]", str(tmp_path / "a.json"))
    page.click("form[enctype] button")
    page.click("button.primary")
    page.wait_for_url("**saved=1")
    page.click("nav >> text=Objects")
    page.check("[name=key]")
    page.click("text=Delete selected")
    page.click("button.danger")
    page.wait_for_url("**removed=1")
    page.click("text=Delete bucket")
    page.fill("[name=name]", "other")
    page.click("button.danger")
    assert "not the name" in page.inner_text("[role=alert]")
    page.fill("[name=name]", "scriptless")
    page.click("button.danger")
    page.wait_for_url("**/console/buckets")
    page.goto("/console/b/scriptless/objects")
    assert "does not exist" in page.inner_text("[role=alert]")
    page.click("text=中文")
    assert page.get_attribute("html", "lang") == "zh"
    page.click("text=概览")
    page.click("button[value=begin]")
    page.click("button[value=cancel]")
    page.click("text=退出")
    page.wait_for_url("**/console/login")
    context.close()


AXE = Path(__file__).parents[3] / ".venv/node/node_modules/axe-core/axe.min.js"
FAULTS = """async () => (await axe.run({resultTypes: ["violations"]})).violations
    .filter((found) => ["serious", "critical"].includes(found.impact))
    .map((found) => `${found.id}: ${found.nodes[0].html}`)"""


@pytest.mark.skipif(
    not AXE.exists(), reason="needs axe-core: npm install --prefix .venv/node axe-core@4"
)
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(chromium, console, versioned, scheme, locale):
    address = f"http://127.0.0.1:{console.admin_port}"
    context = chromium.new_context(base_url=address, color_scheme=scheme, locale=locale)
    page = context.new_page()
    login(page)
    page.wait_for_url("**/console/buckets")
    pages = {path: context.new_page() for path in PATHS}
    for path, page in pages.items():  # side by side: each has to come to rest
        page.goto(f"/console/{path}")
    for path, page in pages.items():
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE.read_text())
        assert page.evaluate(FAULTS) == [], path
    context.close()


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.jpg", "'-alert(1)-'.png", "<script>alert(1)</script>"]
)
def test_a_hostile_name_runs_nowhere(inside, console, name):
    browser = Browser(console.admin_port)
    browser.login()
    assert put(browser, "examplebucket", name).status in (200, 400)
    key = name.replace("%", "%25").replace("+", "%2B").replace("#", "%23")
    for path in ("objects", f"object?key={key}&process={key}", f"style?name={key}&sample={key}"):
        inside.goto(f"/console/b/examplebucket/{path}")
        inside.wait_for_load_state("networkidle")
    browser.submit("b/examplebucket/remove", key=name, sure="1")
