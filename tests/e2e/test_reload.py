"""SIGHUP and a real server: what a file that is cut opens is refused, told, and put right again."""

import json
import signal
import time
import urllib.request

import pytest
from prometheus_client import parser

SHUT = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
[buckets.examplebucket]
acl = "public-read"
[buckets.examplebucket.styles]
small = "image/resize,w_40"
[buckets.examplebucket.protection]
enabled = true
extensions = ["jpg"]
"""
PROTECTED, PRIVATE = "/examplebucket/example.jpg", "/private/example.jpg"
PATIENCE_S = 10


@pytest.fixture(scope="module")
def running(serving, root, tmp_path_factory):
    """A server, and its file."""
    (root / "private").mkdir(exist_ok=True)
    (root / "private" / "example.jpg").write_bytes(b"private")
    file = tmp_path_factory.mktemp("reload") / "vipsgate.toml"
    file.write_text(SHUT)
    with serving(root, "--config", str(file)) as site:
        yield site, file


@pytest.fixture
def site(running):
    """The server; whatever a test writes into its file, the whole file is followed afterwards."""
    site, file = running
    assert closed(site)
    assert (metrics(site)[0], ready(site)) == (1, [])
    yield site
    since = metrics(site)[1]
    file.write_text(SHUT)
    hang_up(site)
    until(lambda: metrics(site)[1] > since and closed(site))


@pytest.fixture
def file(running):
    return running[1]


def closed(site):
    return [site.ask(path).status for path in (PROTECTED, PRIVATE)] == [403, 403]


def ready(site):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/readyz", timeout=5) as answer:
        assert answer.status == 200  # one bad edit must not take a fleet away
        first, *rest = answer.read().decode().splitlines()
    assert first == "ready"
    return rest


def metrics(site):
    """Was the last reading followed, and when was one followed last?"""
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics", timeout=5) as answer:
        families = parser.text_string_to_metric_families(answer.read().decode())
    found = {sample.name: sample.value for family in families for sample in family.samples}
    name = "vipsgate_config_last_reload"
    return found[f"{name}_successful"], found[f"{name}_success_timestamp_seconds"]


def until(fact):
    end = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


def hang_up(site):
    site.process.send_signal(signal.SIGHUP)


LOST = {
    "empty": ("", "credentials: there were 1, there would be none"),
    "cut": (SHUT[: SHUT.index("extensions")], "buckets.examplebucket.protection.extensions: was"),
    "in the middle of a word": (SHUT[:-30], "vipsgate.toml"),
    "without a section": (SHUT[: SHUT.index("[buckets.examplebucket.prot")], "protection.enabled"),
    "zeroes": ("\0" * 200, "vipsgate.toml"),
}


@pytest.mark.parametrize("lost", LOST)
def test_what_is_cut_opens_nothing(site, file, lost):
    text, reason = LOST[lost]
    since, logged = metrics(site)[1], len(site.log.read_text())
    file.write_text(text)
    hang_up(site)
    until(lambda: metrics(site)[0] == 0)
    assert closed(site)
    assert metrics(site)[1] == since
    assert any(line.startswith("configuration: ") and reason in line for line in ready(site))
    log = site.log.read_text()[logged:]
    assert f"the configuration was not changed: {ready(site)[0].partition(': ')[2]}" in log
    assert "secret1" not in log
    # the whole file again is followed
    file.write_text(SHUT)
    hang_up(site)
    until(lambda: metrics(site)[0] == 1)
    assert metrics(site)[1] > since
    assert closed(site)
    assert ready(site) == []


def test_a_file_that_is_renamed_just_now_is_kept(site, file):
    aside = file.with_name("vipsgate.toml.new")
    file.rename(aside)
    hang_up(site)
    until(lambda: any("is not a file" in line for line in ready(site)))
    assert closed(site)
    aside.rename(file)
    hang_up(site)
    until(lambda: ready(site) == [])


def test_what_is_written_out_is_followed(site, file):
    file.write_text(SHUT.replace("enabled = true", "enabled = false") + "[buckets.private]\n")
    hang_up(site)
    until(lambda: site.ask(PROTECTED).status == 200)
    assert site.ask(PRIVATE).status == 403
    file.write_text(SHUT + "[buckets.private]\nacl = 'public-read'\n")
    hang_up(site)
    until(lambda: site.ask(PRIVATE).status == 200)
    assert site.ask(PROTECTED).status == 403
    assert (metrics(site)[0], ready(site)) == (1, [])


def test_a_restart_takes_the_file_as_it_is(serving, root, tmp_path):
    (root / "private").mkdir(exist_ok=True)
    (root / "private" / "example.jpg").write_bytes(b"private")
    file = tmp_path / "vipsgate.toml"
    file.write_text("")
    with serving(root, "--config", str(file)) as site:
        assert [site.ask(path).status for path in (PROTECTED, PRIVATE)] == [200, 200]
        assert "no credentials, so buckets without a document are public-read" in (
            site.log.read_text()
        )
        hang_up(site)
        until(lambda: metrics(site)[0] == 1)
        assert ready(site) == []


def test_the_environment_alone(serving, root):
    key = {"access_key_id": "key1", "access_key_secret": "secret1"}
    env = {"VIPSGATE_CREDENTIALS": json.dumps([key])}
    with serving(root, env=env) as site:
        before = metrics(site)[1]
        hang_up(site)
        until(lambda: metrics(site)[1] > before)
        assert site.ask(PROTECTED).status == 403
        assert ready(site) == []
