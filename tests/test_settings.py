"""The settings: defaults, which source wins, and what stops the start."""

import tomllib

import pytest

from vipsgate import settings
from vipsgate.settings import Settings, SettingsError

# contract.md, Configuration: the text that users copy
EXAMPLE = """
[server]
host = "127.0.0.1"
port = 8080
admin_host = "127.0.0.1"
admin_port = 8081          # health, metrics, console, purge; never the public port
endpoint = ""              # "oss.example.com": BUCKET.oss.example.com is virtual-host style
region = "cn-hangzhou"     # V4 signatures name it
renderers = 0              # renderer processes; 0 = one per usable CPU
queue_seconds = 5          # predicted wait before 503; `queue` (a count) stays as an upper bound
connections = 0            # open connections; 0: what descriptors allow
body_seconds = 10          # grace of a body that drips, then a minimum rate
request_timeout = 15       # seconds for one render, waiting included; then 503
drain_seconds = 30
legacy_at_api = false      # object@100w.jpg

[store]
url = "file:///srv/images" # or s3://bucket/prefix, gs://, az://

[cache]
dir = ""                   # "" = a folder under the system's cache directory
disk_bytes = 1073741824
memory_bytes = 67108864
enabled = true

[limits]                   # OSS's own numbers by default
source_bytes = 20971520
source_pixels = 250000000
source_side = 30000
output_side = 16384
output_pixels = 16777216
rotate_side = 4096
frames = 500
actions = 20
pipes = 5

[image]
shrink = "balanced"        # fast | balanced | exact
jpeg_quality = 85
fonts_dir = ""

[[credentials]]
access_key_id = "demo"
access_key_secret = "demo-secret"
role = "owner"             # owner: all; reader: signed reads; writer: reads, puts, saveas

[buckets.photos]           # a bucket declared here is read-only to the API and the console
acl = "public-read"        # private | public-read | public-read-write
domains = ["img.example.com"]
separators = ["!"]         # of - _ / ! and @!
cache_control = "max-age=86400"
[buckets.photos.styles]
thumb = "image/resize,w_200/quality,q_90"
"""
PROTECTION = """
[buckets.photos.protection]
enabled = false
extensions = ["jpg"]       # or ["*"]
rules = [{ prefix = "image/", suffix = ".png", case_insensitive = true }]
"""
NO_DEFAULTS = {("store", "url")}  # the example names a folder; without one there is no start


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("VIPSGATE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path):
    """``load(text, **flags)``: settings of a file with this text."""

    def loading(text="", **flags):
        file = tmp_path / "vipsgate.toml"
        file.write_text(text)
        return settings.load(file, flags)

    return loading


SECTIONS = ("server", "store", "origins", "cache", "log", "traces", "limits", "image")
KEYS = [
    (section, key, value)
    for section, rows in tomllib.loads(EXAMPLE).items()
    if section in SECTIONS
    for key, value in rows.items()
]


@pytest.mark.parametrize(("section", "key", "value"), KEYS)
def test_defaults_are_the_contracts(section, key, value):
    found = getattr(getattr(settings.load(None, {}), section), key)
    assert found == ("" if (section, key) in NO_DEFAULTS else value)
    assert type(found) is type(value) or isinstance(found, float)


def test_the_contracts_example_loads(load):
    made = load(EXAMPLE + PROTECTION)
    photos = made.buckets["photos"]
    assert made.credentials[0].access_key_secret == "demo-secret"
    assert made.store.url == "file:///srv/images"
    assert (photos.acl, photos.separators) == ("public-read", ("!",))
    assert photos.styles["thumb"].content == "image/resize,w_200/quality,q_90"
    assert photos.protection.rules[0].suffix == ".png"
    assert made.domains() == {"img.example.com": "photos"}


def test_without_credentials_buckets_are_open_and_with_them_closed(load):
    assert load().default_acl == "public-read"
    assert load(EXAMPLE).default_acl == "private"


# -- which source wins -----------------------------------------------------------------------------

FILE = "[server]\nport = 1111\nqueue = 1\n[cache]\nenabled = true\n"


@pytest.mark.parametrize(
    ("file", "environment", "flag", "expected"),
    [
        ("", None, None, 8080),
        (FILE, None, None, 1111),
        (FILE, "2222", None, 2222),
        (FILE, "2222", 3333, 3333),
        (FILE, None, 3333, 3333),
        ("", "2222", None, 2222),
        ("", None, 0, 0),
    ],
)
def test_flag_over_environment_over_file(load, monkeypatch, file, environment, flag, expected):
    if environment:
        monkeypatch.setenv("VIPSGATE_SERVER__PORT", environment)
    made = load(file, server={"port": flag, "queue": None}, cache={"enabled": False})
    assert made.server.port == expected
    assert made.server.queue == (1 if file else 10_000)
    assert made.cache.enabled is False


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("VIPSGATE_SERVER__HOST", "0.0.0.0", lambda made: made.server.host),
        ("vipsgate_server__host", "0.0.0.0", lambda made: made.server.host),
        ("VIPSGATE_CACHE__DISK_BYTES", "5", lambda made: str(made.cache.disk_bytes)),
        ("VIPSGATE_LIMITS__FRAMES", "7", lambda made: str(made.limits.frames)),
        ("VIPSGATE_IMAGE__SHRINK", "exact", lambda made: made.image.shrink),
        ("VIPSGATE_STORE__URL", "file:///x", lambda made: made.store.url),
    ],
)
def test_every_section_comes_from_the_environment(load, monkeypatch, name, value, read):
    monkeypatch.setenv(name, value)
    assert read(load()) == value
    assert read(load("[limits]\npipes = 3\n")) == value  # beside other keys of the file


def test_lists_and_tables_come_from_the_environment_as_json(load, monkeypatch):
    """So that secrets need not lie in the file."""
    rows = '[{"access_key_id": "a", "access_key_secret": "b", "role": "reader"}]'
    monkeypatch.setenv("VIPSGATE_CREDENTIALS", rows)
    monkeypatch.setenv("VIPSGATE_BUCKETS", '{"photos": {"acl": "private"}}')
    made = load("[server]\nport = 1\n")
    assert [(item.access_key_id, item.role) for item in made.credentials] == [("a", "reader")]
    assert made.buckets["photos"].acl == "private"
    assert made.default_acl == "private"


# -- what stops the start --------------------------------------------------------------------------

# text, what the message must name
WRONG = [
    ("[server]\nprot = 1", ["server.prot"]),
    ("[sever]\nport = 1", ["sever"]),
    ("port = 1", ["port"]),
    ("[limits]\nframe = 1", ["limits.frame"]),
    ("[image]\nquality = 1", ["image.quality"]),
    ("[buckets.photos]\nalc = 'private'", ["buckets.photos.alc"]),
    ("[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = 'b'\nrolle = 'x'", ["rolle"]),
    ("[server]\nport = 65536", ["server.port", "65536"]),
    ("[server]\nport = -1", ["server.port", "-1"]),
    ("[server]\nport = 'http'", ["server.port", "http"]),
    ("[server]\nqueue = -1", ["server.queue", "-1"]),
    ("[server]\nrenderers = -1", ["server.renderers", "-1"]),
    ("[server]\nrequest_timeout = 0", ["server.request_timeout", "0"]),
    ("[server]\nrequest_timeout = nan", ["server.request_timeout", "nan"]),
    ("[server]\ndrain_seconds = -0.1", ["server.drain_seconds", "-0.1"]),
    ("[server]\ncallback_hosts = ['http://a.com']", ["server.callback_hosts", "http://"]),
    ("[server]\ncallback_hosts = 'a.com'", ["server.callback_hosts", "a.com"]),
    ("[origins]\nhosts = ['*']", ["origins.hosts", "*.DOMAIN"]),
    (
        "[origins]\nhosts = ['b.example']\n[buckets.photos]\norigin = 'https://a.example/b'",
        ["buckets.photos", "https://a.example/b/", "origins.hosts"],
    ),
    (
        "[buckets.photos]\nmirror = [{ url = 'https://a.example/' }]",
        ["buckets.photos", "https://a.example/", "origins.hosts"],
    ),
    (
        "[buckets.photos]\nmirror = [{ url = 'https://a:b@a.example/' }]",
        ["buckets.photos.mirror.0.url", "percent-encoded"],
    ),
    ("[server]\ncallback_hosts = ['*']", ["server.callback_hosts", "*.DOMAIN"]),
    ("[server]\nendpoint = 'http://oss.example.com'", ["server.endpoint", "http://"]),
    ("[cache]\ndisk_bytes = -1", ["cache.disk_bytes", "-1"]),
    ("[cache]\nenabled = 'perhaps'", ["cache.enabled", "perhaps"]),
    ("[limits]\nsource_bytes = 0", ["limits.source_bytes", "0"]),
    ("[limits]\npipes = -1", ["limits.pipes", "-1"]),
    ("[limits]\nframes = 1.5", ["limits.frames", "1.5"]),
    ("[image]\nshrink = 'slow'", ["image.shrink", "slow"]),
    ("[image]\njpeg_quality = 101", ["image.jpeg_quality", "101"]),
    ("[image]\njpeg_quality = 0", ["image.jpeg_quality", "0"]),
    ("[buckets.A_B]\nacl = 'private'", ["buckets", "A_B"]),
    ("[buckets.photos]\nacl = 'open'", ["buckets.photos.acl", "open"]),
    ('[buckets.photos]\ncache_control = "a\\nb"', ["buckets.photos.cache_control", "a\\nb"]),
    ("[buckets.photos]\ndomains = ['http://x']", ["buckets.photos.domains", "http://x"]),
    ("[buckets.photos]\nseparators = ['?']", ["buckets.photos.separators", "?"]),
    ("[buckets.photos]\ndelay_ms = 5", ["buckets.photos.delay_ms", "5", 'origin = "synthetic"']),
    (
        "[buckets.photos]\norigin = 's3://a/b'\nerror_rate = 0.1",
        ["buckets.photos.error_rate", "0.1", 'origin = "synthetic"'],
    ),
    ("[buckets.photos]\norigin = 'synthetic'\nerror_rate = 2", ["photos.error_rate", "2"]),
    ("[buckets.photos.protection]\nrules = [{ case_insensitive = true }]", ["rules", "prefix"]),
    ("[buckets.photos.styles]\n'a b' = 'image/crop'", ["photos.styles", "a b"]),
    ("[buckets.photos.styles]\nx = 'image/resize,w_a'", ["photos.styles.x", "parameter: w"]),
    ("[buckets.photos.styles]\nx = 'style/y'", ["photos.styles.x", "image/"]),
    ("[buckets.photos.styles]\nx = '100z.jpg'", ["photos.styles.x", "100z.jpg"]),
    (
        "[buckets.photos]\ndomains = ['a.b']\n[buckets.other]\ndomains = ['A.b']",
        ["buckets", "a.b"],
    ),
    ("[[credentials]]\naccess_key_id = 'a b'\naccess_key_secret = 'x'", ["access_key_id", "a b"]),
    ("[[credentials]]\naccess_key_id = 'a'", ["access_key_secret"]),
    ("[server\nport = 1", ["vipsgate.toml"]),
    ("[server]\nport = 1\nport = 2", ["vipsgate.toml"]),
]


@pytest.mark.parametrize(("text", "named"), WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_named(load, text, named):
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert [part for part in named if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("VIPSGATE_SERVER__PROT", "1", ["server.prot"]),
        ("VIPSGATE_SEVER__PORT", "1", ["VIPSGATE_SEVER__PORT"]),
        ("VIPSGATE_PORT", "1", ["VIPSGATE_PORT"]),
        ("VIPSGATE_SERVER", "1", ["VIPSGATE_SERVER"]),
        ("VIPSGATE_SERVER__", "1", ["VIPSGATE_SERVER__"]),
        ("VIPSGATE_SERVER__PORT", "70000", ["server.port", "70000"]),
        ("VIPSGATE_SERVER__PORT", "", ["server.port"]),
        ("VIPSGATE_LIMITS__FRAMES", "many", ["limits.frames", "many"]),
        ("VIPSGATE_LIMITS__FRAME", "1", ["limits.frame"]),
        ("vipsgate_sever__port", "1", ["vipsgate_sever__port"]),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(load, monkeypatch, name, value, named):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert [part for part in named if part not in str(caught.value)] == []


@pytest.mark.parametrize(("old", "new"), settings.RENAMED.items())
def test_an_old_name_stops_the_start_and_names_the_new_one(load, monkeypatch, old, new):
    section, key = old.split(".")
    with pytest.raises(SettingsError, match=f"{old}: is called {new} now"):
        load(f"[{section}]\n{key} = 1")
    load("[{}]\n{} = 1".format(*new.split(".")))
    monkeypatch.setenv(f"VIPSGATE_{section}__{key}".upper(), "1")
    with pytest.raises(SettingsError, match=f"{old}: is called {new} now"):
        load()


def test_a_wrong_flag_is_named(load):
    with pytest.raises(SettingsError, match=r"server\.port.*70000"):
        load(server={"port": 70000})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.toml"):
        settings.load(tmp_path / "none.toml", {})


def test_every_fault_is_told_at_once(load):
    with pytest.raises(SettingsError) as caught:
        load("[server]\nport = -1\nqueue = -1\n[image]\nshrink = 'x'")
    assert len(str(caught.value).splitlines()) == 3


SECRET = "s3cr3t-not-to-be-seen"
LEAKS = [
    f"[[credentials]]\naccess_key_id = 'a b'\naccess_key_secret = '{SECRET}'",
    f"[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = ['{SECRET}']",
    f"[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = {{ a = '{SECRET}' }}",
    f"[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = '{SECRET}'\nrole = 'x'",
    f"[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = '{SECRET}'\nmore = 1",
    f"[[credentials]]\naccess_key_secret = '{SECRET}'",
    f"[[credentials]]\naccess_key_id = 'a'\nsecret = '{SECRET}'",
    f"[[credentials]]\naccess_key_id = 'a'\nkey = '{SECRET}'",
    f"credentials = ['{SECRET}']",
    f"credentials = '{SECRET}'",
    f"credentials = [['a', '{SECRET}']]",
    f"[credentials]\naccess_key_id = 'a'\naccess_key_secret = '{SECRET}'",
    f"[credentials.demo]\naccess_key_secret = '{SECRET}'",
    f"[server]\nport = -1\n[[credentials]]\naccess_key_id = 'a'\naccess_key_secret = '{SECRET}'",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_secret_is_never_in_the_message(load, text):
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_is_never_in_the_environments_message(load, monkeypatch):
    for value in (SECRET, f'["{SECRET}"]', f'[{{"access_key_secret": "{SECRET}"}}]'):
        monkeypatch.setenv("VIPSGATE_CREDENTIALS", value)
        with pytest.raises(SettingsError) as caught:
            load()
        assert SECRET not in str(caught.value)


def test_a_secret_is_never_in_the_repr(load):
    assert "demo-secret" not in repr(load(EXAMPLE))


def test_settings_cannot_be_changed(load):
    made = load(EXAMPLE)
    for record, key in ((made, "server"), (made.server, "port"), (made.limits, "frames")):
        with pytest.raises((ValueError, AttributeError, TypeError)):
            setattr(record, key, 1)


def test_renderer_count(load):
    assert load("[server]\nrenderers = 3").renderer_count() == 3
    assert load().renderer_count() == settings.usable_cpus() >= 1


def test_every_section_is_a_setting():
    assert set(Settings.model_fields) == {*SECTIONS, "credentials", "webhooks", "buckets"}


def test_fonts_dir_is_a_folder(load, tmp_path):
    assert load(f"[image]\nfonts_dir = '{tmp_path}'").image.fonts_dir == str(tmp_path)
    (tmp_path / "file").touch()
    for name in ("file", "nowhere"):
        told = rf"^image\.fonts_dir = '.*{name}': is not a folder"
        with pytest.raises(SettingsError, match=told):
            load(f"[image]\nfonts_dir = '{tmp_path / name}'")
