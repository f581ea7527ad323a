"""Login, sessions, tokens, headers: what holds for every page of the console."""

import signal
import socket
import time
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.console import CONFIG, KEYS, Browser
from support.examples import times

from vipsgate.console import frame
from vipsgate.gate import sign

OWNER, READER = sign.Credential("key1", "secret-key1"), sign.Credential("key3", "secret-key3")
PAGES = [row for row in frame.ROUTES if not row.open]


def path_of(row):
    return row.path[1:].replace("{bucket}", "examplebucket").replace("{name}", "x")


def names(rows):
    return [f"{row.method} {row.path}" for row in rows]


@pytest.mark.parametrize("row", PAGES, ids=names(PAGES))
def test_nothing_without_a_login(nobody, row):
    answer = nobody.ask(row.method, f"/console/{path_of(row)}", {} if row.method != "GET" else None)
    assert answer.status == (303 if row.method == "GET" else 401)
    if row.method == "GET":
        assert answer.headers["Location"].startswith("/console/login")


CHANGES = [row for row in PAGES if row.method != "GET"]


@pytest.mark.parametrize("row", CHANGES, ids=names(CHANGES))
@pytest.mark.parametrize("token", ["", "0" * 64])
def test_no_change_without_the_token(owner, row, token):
    headers = {"X-CSRF-Token": token}
    form = {"csrf": token, "name": "examplebucket", "key": "example.jpg", "sure": "1"}
    answer = owner.ask(row.method, f"/console/{path_of(row)}", form, **headers)
    assert answer.status in (400, 403)
    assert owner.get("buckets").status == 200


@pytest.mark.parametrize("row", CHANGES, ids=names(CHANGES))
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Origin": "http://[::1"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_no_change_from_another_sites_page(owner, row, headers):
    token = owner.token()
    sent = {**headers, "X-CSRF-Token": token}
    answer = owner.ask(row.method, f"/console/{path_of(row)}", {"csrf": token}, **sent)
    assert answer.status == 403
    assert "another site" in answer.text


@pytest.mark.parametrize("path", ["login", "buckets", "b/examplebucket/objects", "nowhere"])
def test_pages_keep_to_themselves(owner, path):
    headers = owner.get(path).headers
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in headers.get("Content-Security-Policy", "").split(";")
    )
    if path != "nowhere":
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"
    assert "aiohttp" not in headers["Server"]


@pytest.mark.parametrize("path", ["login", "buckets", "b/examplebucket/objects"])
def test_no_script_or_style_is_inline(owner, path):
    text = owner.get(path).text
    assert "<style" not in text
    assert " style=" not in text
    assert " on" not in [part[:3] for part in text.split('"')]
    assert text.count("<script") == text.count('<script type="module" src="/console/static/')


def test_files_have_names_by_their_content_and_stay(nobody):
    text = nobody.get("login").text
    for name in {part.partition('"')[0] for part in text.split("/console/static/")[1:]}:
        answer = nobody.get(f"static/{name}")
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
    assert nobody.get("static/console.css").status == 404
    assert nobody.get("static/..%2flogin.py").status == 404


def test_the_cookie_of_a_session(nobody):
    answer = nobody.login()
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=28800" in cookie
    assert "Secure" not in cookie
    nonce = nobody.get("login").field("nonce")
    form = {"id": "key1", "nonce": nonce, "secret": "secret-key1"}
    answer = nobody.post("login", form, X_Forwarded_Proto="https")
    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}, 303),
        ({"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"X-Forwarded-Proto": "http"}, 303),
        ({"Host": "console.example.com"}, 403),
    ],
    ids=str,
)
def test_a_secret_is_taken_on_this_machine_or_by_tls_alone(nobody, headers, status):
    nonce = nobody.get("login").field("nonce")
    form = {"id": "key1", "nonce": nonce, "secret": "secret-key1"}
    assert nobody.post("login", form, **headers).status == status
    asks = 'name="secret"' in nobody.get("login", **headers).text
    assert asks == (status == 303)


@pytest.mark.parametrize(
    ("back", "aim"),
    [
        ("/console/b/x/objects?folder=a", "/console/b/x/objects?folder=a"),
        ("http://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/\\evil", "/console/"),
        ("", "/console/"),
        ("//[", "/console/"),
        ("http://[::1", "/console/"),
        ("/console/\r\nSet-Cookie: a=b", "/console/"),
        ("/console/\0", "/console/"),
        ("/console/\u202e", "/console/"),
    ],
)
def test_a_login_leads_back_to_the_console_alone(nobody, back, aim):
    assert nobody.login(back=back).headers["Location"] == aim
    answer = nobody.ask("GET", f"/console/language?to=zh&back={quote(back)}")
    assert answer.headers["Location"] == aim


BEGUN = (  # a form with a file, which is to be ended
    '--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{token}\r\n'
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
)
# parts of forms that are none, or that no decoder reads
PIECES = [
    *("--x\r\n", "--x--\r\n", "--x", "\r\n", "\r\n\r\n", "hello", "&", "=%", "%ff", "\xff\xfe"),
    *('Content-Disposition: form-data; name="csrf"\r\n\r\n{token}\r\n', "csrf={token}&"),
    'Content-Disposition: form-data; name="folder"\r\n\r\n',
    'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n',
    'Content-Disposition: form-data; name="file"; filename="\xb9"\r\n\r\n',
    "Content-Disposition: form-data; name=\"file\"; filename*=utf-8''%ff\r\n\r\n",
    'Content-Disposition: form-data; name="_charset_"\r\n\r\nnone\r\n',
    *("Content-Type: text/plain; charset=none\r\n\r\n", "Content-Length: x\r\n"),
    *("Content-Encoding: gzip\r\n", "Content-Encoding: none\r\n"),
    *("Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: none\r\n"),
    *("Content-Type: multipart/mixed; boundary=y\r\n\r\n", "--y\r\n", "--y--\r\n"),
]
KINDS = [
    *("multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary="),
    *("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=none"),
    *("application/x-www-form-urlencoded; charset=hex", "text/plain", "", '/; "'),
]
FORMS = [row for row in frame.ROUTES if row.method == "POST" and row.path != "/logout"]


@settings(
    max_examples=times(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(FORMS),
    st.sampled_from(KINDS),
    st.lists(st.sampled_from(PIECES), max_size=8),
    st.booleans(),
)
def test_what_is_no_form_is_the_visitors_fault(owner, row, kind, pieces, begun):
    text = (BEGUN if begun else "") + "".join(pieces)
    body = text.replace("{token}", owner.token()).encode("latin-1")
    answer = owner.ask("POST", f"/console/{path_of(row)}", body, Content_Type=kind)
    assert answer.status < 500, answer.text


def test_a_nonce_counts_once(nobody):
    nonce = nobody.get("login").field("nonce")
    form = {"id": "key1", "nonce": nonce, "secret": "secret-key1"}
    assert nobody.post("login", form).status == 303
    assert Browser(nobody.port).post("login", form).status == 403


def test_a_logout_ends_it(owner):
    assert owner.submit("logout").status == 303
    assert not owner.cookies["vipsgate_console"]
    assert owner.get("buckets").status == 303


@pytest.mark.parametrize(("key_id", "role"), KEYS.items())
def test_a_role_sees_what_it_may_do(nobody, key_id, role):
    nobody.login(key_id)
    text = nobody.get("buckets").text + nobody.get("b/examplebucket/objects").text
    assert ('action="/console/buckets"' in text) == (role == "owner")
    assert ('id="upload"' in text) == (role != "reader")


def test_the_public_port_has_no_console(console):
    answer = console.ask("/console/login")
    assert answer.status in (403, 404)
    assert answer.code in ("NoSuchBucket", "AccessDenied")
    assert "Content-Security-Policy" not in answer.headers


def test_it_speaks_the_visitors_language(nobody):
    assert "登录" in nobody.get("login", Accept_Language="zh-CN").text
    nobody.get("language?to=zh&back=/console/login")
    assert 'lang="zh"' in nobody.get("login", Accept_Language="en").text


# -- the rest of the admin port --------------------------------------------------------------------


def signed(credential, method, line, version=1):
    path = line.partition("?")[0]
    _, bucket, key = path.split("/", 2)
    query = tuple(tuple(p.split("=", 1)) for p in line.partition("?")[2].split("&") if p)
    asked = sign.Request(method, bucket, key, query, {})
    return sign.sign_headers(credential, asked, now=time.time(), version=version)


PURGE, WHY = "/cache/examplebucket/none.jpg", "/explain/examplebucket/example.jpg"


@pytest.mark.parametrize(("method", "line", "good"), [("DELETE", PURGE, 204), ("GET", WHY, 200)])
@pytest.mark.parametrize("version", [1, 4])
def test_the_admin_port_asks_for_an_owner(nobody, method, line, good, version):
    assert nobody.ask(method, line).status == 403
    assert nobody.ask(method, line, **signed(OWNER, method, line, version)).status == good
    assert nobody.ask(method, line, **signed(READER, method, line, version)).status == 403
    other = sign.Credential("key1", "wrong")
    assert nobody.ask(method, line, **signed(other, method, line, version)).status == 403
    nobody.login("key3")
    assert nobody.ask(method, line).status == 403
    nobody.login()
    assert nobody.ask(method, line).status == good
    assert nobody.ask(method, line, Origin="http://evil.example").status == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_who_watches_the_server_needs_no_login(nobody, path):
    assert nobody.ask("GET", path).status == 200


def test_metrics_may_ask_for_one_too(serving, root, tmp_path):
    (tmp_path / "vipsgate.toml").write_text(f"[server]\nmetrics_private = true\n{CONFIG}")
    with serving(root, "--config", str(tmp_path / "vipsgate.toml"), renderers=1) as site:
        nobody = Browser(site.admin_port)
        assert nobody.ask("GET", "/metrics").status == 403
        assert nobody.ask("GET", "/healthz").status == 200
        nobody.login()
        assert nobody.ask("GET", "/metrics").status == 200


def test_failures_are_few(serving, root, tmp_path):
    """Then nobody gets in from there for a while, not even with the right secret."""
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    with serving(root, "--config", str(tmp_path / "vipsgate.toml"), renderers=1) as site:
        nobody = Browser(site.admin_port)
        assert {nobody.login(secret="wrong").status for _ in range(10)} == {403}
        answer = nobody.login()
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert "audit: nobody from 127.0.0.1: login refused" in site.log.read_text()


def test_a_session_ends_with_its_key_after_a_reload_and_outlives_a_restart(serving, root, tmp_path):
    file = tmp_path / "vipsgate.toml"
    file.write_text(CONFIG)
    with serving(root, "--config", str(file), renderers=1) as site:
        writer, owner = Browser(site.admin_port), Browser(site.admin_port)
        writer.login("key2")
        owner.login()
        file.write_text(CONFIG.replace("secret-key2", "another"))
        site.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while writer.get("buckets").status == 200 and time.monotonic() < deadline:
            pass
        assert writer.get("buckets").status == 303
        assert owner.get("buckets").status == 200
    with serving(root, "--config", str(file), renderers=1) as site:
        owner.port = site.admin_port
        assert owner.get("buckets").status == 200


def test_without_credentials_only_who_reads_the_terminal_gets_in(serving, root):
    with serving(root, renderers=1) as site:
        nobody = Browser(site.admin_port)
        assert nobody.get("buckets").status == 303
        line = next(x for x in site.log.read_text().splitlines() if "/console/login#" in x)
        key_id, secret = line.partition("#")[2].split(":")
        assert nobody.login("console", "guess").status == 403
        assert nobody.login(key_id, secret).status == 303
        assert nobody.get("b/examplebucket/objects").status == 200
        asked = sign.Request("PUT", "examplebucket", "x", (), {})
        key = sign.Credential(key_id, secret)
        answer = site.ask(
            "/examplebucket/x", method="PUT", headers=sign.sign_headers(key, asked, now=time.time())
        )
        assert answer.code == "InvalidAccessKeyId"  # it is no key of the public port


def test_without_credentials_and_open_to_others_nobody_gets_in(serving, root, tmp_path):
    (tmp_path / "vipsgate.toml").write_text('[server]\nadmin_host = "0.0.0.0"\n')
    with serving(root, "--config", str(tmp_path / "vipsgate.toml"), renderers=1) as site:
        nobody = Browser(site.admin_port)
        text = nobody.get("login").text
        assert "Configure a key pair" in text
        assert 'name="nonce"' not in text
        assert nobody.post("login", {"id": "console", "nonce": "", "secret": "x"}).status == 403
        assert "/console/login#" not in site.log.read_text()


GUARDED = [
    *(("GET", f"/console{page}") for page in ("", "/", "/login", "/buckets", "/static/none.js")),
    *(("POST", "/console/login"), ("GET", WHY), ("DELETE", PURGE), ("GET", "/none")),
    *(("DELETE", f"/purge/{kind}/examplebucket/none") for kind in ("key", "prefix", "style")),
]
WATCHED = [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")]


def test_without_credentials_pages_of_other_names_reach_nothing(serving, root, tmp_path):
    """Such a name may be one of a page elsewhere that now leads here (DNS rebinding)."""
    (tmp_path / "vipsgate.toml").write_text('[server]\nadmin_host = "localhost"\n')
    with serving(root, "--config", str(tmp_path / "vipsgate.toml"), renderers=1) as site:
        nobody = Browser(site.admin_port)
        for method, path in GUARDED:
            form = {} if method == "POST" else None
            answer = nobody.ask(method, path, form, Host=f"evil.example:{site.admin_port}")
            assert answer.status == 403, path
            assert "<Code>AccessDenied</Code>" in answer.text
            assert f"evil.example:{site.admin_port}" in answer.text
            for host in ("localhost", "127.0.0.1:1", "[::1]", "a.localhost", "vipsgate"):
                asked = f"{method} {path} from {host}"
                answer = nobody.ask(method, path, form, Host=host)
                assert "of header: Host" not in answer.text, asked
        for method, path in WATCHED:
            assert nobody.ask(method, path, Host="evil.example").status == 200
        refused = {b"": b"403", b"Host: localhost\r\n" * 2: b"400"}  # two by the parser already
        for lines, status in refused.items():
            data = b"GET /console/login HTTP/1.0\r\n" + lines + b"\r\n"
            with socket.create_connection(("127.0.0.1", site.admin_port), timeout=20) as link:
                link.sendall(data)
                assert link.makefile("rb").readline().split()[1] == status


def test_with_credentials_any_name_leads_to_the_login(nobody):
    assert nobody.get("login", Host="admin.example.com").status == 200


def test_a_logout_ends_the_session_for_a_copied_cookie(owner, console):
    thief, other = Browser(console.admin_port), Browser(console.admin_port)
    thief.cookies = dict(owner.cookies)
    other.login()  # with the same key, and a session of its own
    assert thief.get("buckets").status == 200
    assert owner.submit("logout").status == 303
    assert thief.get("buckets").status == 303
    assert thief.ask("GET", "/explain/examplebucket/example.jpg").status == 403
    assert other.get("buckets").status == 200
