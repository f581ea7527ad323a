"""A configuration read again: what may be done by whom before a file was cut, and after.

What anybody may do is asked of the gate itself, for a grid of requests that are really signed.
"""

import itertools
import random
import types

import pytest
from support.examples import times

from vipsgate import settings
from vipsgate.buckets import Bucket, CdnSigning, Protection, ProtectionRule, RefererPolicy
from vipsgate.catalog.documents import Documents
from vipsgate.delivery.services import Configuration, Services
from vipsgate.errors import OssError, ServiceUnavailable
from vipsgate.gate import access, rights, sign, simulate, style, target
from vipsgate.gate.rights import Right
from vipsgate.server import reload
from vipsgate.settings import Credential, Settings, SettingsError
from vipsgate.store.local.store import LocalStore
from vipsgate.store.routing import Routing, refuse

CREDENTIALS = """
[[credentials]]
access_key_id = "own"
access_key_secret = "s1"
[[credentials]]
access_key_id = "read"
access_key_secret = "s2"
role = "reader"
[[credentials]]
role = "writer"
access_key_id = "write"
access_key_secret = "s3"
[[credentials]]
access_key_id = "lent"
access_key_secret = "s4"
role = "reader"
security_token = "t4"
[[credentials]]
access_key_id = "turned"
access_key_secret = "old"
role = "reader"
[[credentials]]
access_key_id = "turned"
access_key_secret = "new"
role = "reader"
"""
SECTIONS = [
    CREDENTIALS,
    """
[server]
region = "cn-shanghai"
legacy_at_api = true
""",
    """
[limits]
actions = 10
""",
    """
[buckets.shut]
acl = "private"
""",
    """
[buckets.secret]            # a bucket that the store's document would open
acl = "private"
[buckets.secret.styles]
thumb = "image/resize,w_20"
""",
    """
[buckets.guarded]
acl = "public-read"
separators = ["!"]
[buckets.guarded.protection]
enabled = true
extensions = ["jpg", "png"]
[buckets.guarded.styles]
thumb = "image/resize,w_20"
""",
    """
[buckets.ruled]
acl = "public-read"
[buckets.ruled.protection]
enabled = true
[[buckets.ruled.protection.rules]]
prefix = "a/"
suffix = ".png"
case_insensitive = true
[[buckets.ruled.protection.rules]]
suffix = ".JPG"
case_insensitive = true
""",
    """
[buckets.inline]
acl = "public-read-write"
protection = { enabled = true, rules = [{ prefix = "a/" }, { suffix = ".jpg" }] }
cache_control = "max-age=5"
""",
    """
[buckets.linked]
acl = "public-read"
domains = ["img.example.com"]
[buckets.linked.referer]
truncate_path = true
allow_empty = false
whitelist = ["http://good.example.com/a"]
blacklist = ["http://worse.example.com"]
""",
    """
[buckets.queried]
acl = "public-read"
[buckets.queried.referer]
allow_empty = false
whitelist = ["http://good.example.com/q?ok=1"]
truncate_query = false
""",
    """
[buckets.barred]
acl = "public-read"
[buckets.barred.referer]
blacklist = ["http://evil.example.com/b"]
truncate_path = true
""",
    """
[buckets.theirs]
acl = "public-read-write"
origin = "s3://theirs/there"
""",
    """
[buckets.folderless]
acl = "public-read-write"
""",
]
FOLDERS = "shut secret guarded ruled inline linked queried barred theirs plain described".split()
DOCUMENTS = {
    "secret": '{"acl": "public-read-write", "styles": {"thumb": "image/crop,w_1"}}',
    "described": '{"acl": "public-read", "protection": {"enabled": true, "extensions": ["jpg"]}}',
}
NOW = 1_800_000_000.0
CALLERS = {
    "anonymous": None,
    "own": sign.Credential("own", "s1"),
    "read": sign.Credential("read", "s2"),
    "write": sign.Credential("write", "s3"),
    "lent": sign.Credential("lent", "s4", security_token="t4"),
    "lent without its token": sign.Credential("lent", "s4"),
    "turned": sign.Credential("turned", "old"),
    "turned again": sign.Credential("turned", "new"),
}
OBJECTS = {"a/x.png": "", "A/b.jpg": "", "c.txt": "", "own.jpg": "public-read"}  # and their ACLs
REFERERS = (
    "",
    "http://good.example.com/a",
    "http://good.example.com/q?x=1",
    "http://worse.example.com/",
    "http://evil.example.com/",
)
PROCESSES = ("", "style/thumb", "image/resize,w_9")


def written(folder, text):
    file = folder / "vipsgate.toml"
    file.write_text(text) if isinstance(text, str) else file.write_bytes(text)
    return file


class Server:
    """Services on a folder, and its configuration file."""

    def __init__(self, folder, text):
        self.folder, self.read_before = folder, {}  # a text -> its settings, or what is wrong
        root = folder / "root"
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        shelf = root / ".vipsgate" / "buckets"
        shelf.mkdir(parents=True, exist_ok=True)
        for name, document in DOCUMENTS.items():
            (shelf / f"{name}.json").write_text(document)
        self.store = Routing(LocalStore(root), lambda name, origin: types.SimpleNamespace())
        first = settings.load(written(folder, text), {})
        documents = Documents(self.store, first.limits)
        self.services = Services.of(first, self.store, None, documents, origins=self.store)

    def read(self, text):
        """As SIGHUP does; the reasons against it."""
        if text not in self.read_before:
            try:
                self.read_before[text] = settings.load(written(self.folder, text), {})
            except SettingsError as error:
                self.read_before[text] = [str(error)]
        outcome = self.read_before[text]
        return outcome if isinstance(outcome, list) else reload.take_over(self.services, outcome)


@pytest.fixture
async def start(tmp_path):
    async def starting(text):
        server = Server(tmp_path, text)
        await server.services.registry.documents.look()
        server.services.registry.refresh()
        return server

    return starting


def signed(caller):
    """What a caller sends, signed in the URL."""
    url = sign.sign_url(caller, "shut", "a", now=NOW, version=4, region="cn-shanghai")
    return target.resolve(url.removeprefix("http://127.0.0.1:8080"), "", {}, "")


SIGNED = {who: signed(caller) for who, caller in CALLERS.items() if caller}


def requests():
    """The grid: bucket, key, what is done, and from which page."""
    for bucket, key in itertools.product([*FOLDERS, "folderless"], OBJECTS):
        for process, referer in itertools.product(PROCESSES, REFERERS):
            if not (process and referer):
                query = ((target.PROCESS, process),) if process else ()
                yield target.Target(bucket, key, query), "GET", Right.READ, referer
        for right in (Right.WRITE, Right.DELETE, Right.VIEW, Right.RULE):
            yield target.Target(bucket, key), "PUT", right, ""


GRID = list(requests())


def allowed(services):
    """The requests that are let through, and where what they are let through to is."""
    found = set()
    for who, request in {"anonymous": None, **SIGNED}.items():
        try:
            caller = request and access.identify(
                request, "GET", {}, services.configuration.keys, NOW
            )
        except OssError:
            continue
        for asked, _, right, referer in GRID:
            if document := services.registry.get(asked.bucket):
                try:
                    passes(asked, right, referer, document, caller)
                except OssError:
                    continue
                found.add((who, asked, right, referer, document.origin))
    return found


def passes(asked, right, referer, document, caller):
    """As the gate has it.

    Raises:
        OssError: It does not.
    """
    grant = access.admit(asked, {"referer": referer}, document, caller, right)
    if right is Right.READ:
        style.expanded(asked.process, document.styles)
        if error := simulate.refusal(grant, asked, [access.Seen(asked.key, OBJECTS[asked.key])]):
            raise error
    elif right in rights.OF_OBJECTS:
        grant.check_acl(OBJECTS[asked.key], right)
        if document.origin:  # it is written only there
            refuse(asked.bucket)


def cuts(text, *, everywhere):
    """The text, cut behind each of its lines, or of its bytes."""
    data = text.encode()
    ends = range(len(data)) if everywhere else [0, *(i + 1 for i, b in enumerate(data) if b == 10)]
    return [data[:end] for end in ends]


ORDERS = [SECTIONS, SECTIONS[::-1], random.Random(3).sample(SECTIONS, len(SECTIONS))]


@pytest.mark.parametrize(
    "everywhere",
    [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["lines", "bytes"],
)
@pytest.mark.parametrize("order", range(times(len(ORDERS))))
async def test_a_file_that_is_cut_gives_nobody_more(start, order, everywhere):
    whole = "".join(ORDERS[order])
    server = await start(whole)
    before = allowed(server.services)
    assert len(before) > 1000
    outcomes = {"refused": 0, "followed": 0}
    for cut in cuts(whole, everywhere=everywhere):
        turns = server.services.registry.version
        if server.read(cut):
            assert server.services.registry.version == turns
            outcomes["refused"] += 1
        else:
            assert not allowed(server.services) - before, cut.decode()[-200:]
            outcomes["followed"] += 1
            assert not server.read(whole)  # and afterwards the whole file is followed again
    assert allowed(server.services) == before
    assert min(outcomes.values()) > 3, outcomes


def turned(section):
    """The section with the lines of each of its tables in the other order."""
    lines = []
    for line in section.splitlines(keepends=True):
        header = line.startswith("[") or not line.strip()
        at = next((n for n, known in enumerate(lines[::-1]) if known.startswith("[")), None)
        lines.insert(len(lines) if header or at is None else len(lines) - at, line)
    return "".join(lines)


@pytest.mark.parametrize("turn", [str, turned][: times(2)])
@pytest.mark.parametrize("last", range(len(SECTIONS)), ids=lambda n: SECTIONS[n].split()[0])
async def test_a_file_whose_last_section_is_cut_gives_nobody_more(start, last, turn):
    """All that closes the others is there; what is cut has to be told by itself."""
    others = "".join(text for text in SECTIONS if text is not SECTIONS[last])
    section = turn(SECTIONS[last])
    server = await start(others + section)
    before = allowed(server.services)
    for cut in cuts(section, everywhere=False):
        if not server.read(others + cut.decode()):
            assert not allowed(server.services) - before, cut.decode()
            assert not server.read(others + section)
    assert allowed(server.services) == before


@pytest.mark.parametrize("lost", range(len(SECTIONS)), ids=lambda n: SECTIONS[n].split()[0])
async def test_a_file_without_a_section_gives_nobody_more(start, lost):
    server = await start("".join(SECTIONS))
    before = allowed(server.services)
    server.read("".join(text for text in SECTIONS if text is not SECTIONS[lost]))
    assert not allowed(server.services) - before


@pytest.mark.parametrize("seed", range(times(8)))
async def test_a_file_without_some_lines_gives_nobody_more(start, seed):
    """What is not written any more, wherever it stood; what cannot be read is refused anyway."""
    chance = random.Random(seed)
    whole = "".join(SECTIONS)
    server = await start(whole)
    before = allowed(server.services)
    lines = whole.splitlines(keepends=True)
    for _ in range(12):
        lost = set(chance.sample(range(len(lines)), chance.randint(1, 3)))
        # without its header a table's keys are another's, which somebody has then written out
        lost = {number for number in lost if not lines[number].startswith("[")}
        if not server.read("".join(line for n, line in enumerate(lines) if n not in lost)):
            assert not allowed(server.services) - before, [lines[number] for number in lost]
            assert not server.read(whole)


# -- by rows ---------------------------------------------------------------------------------------

KEYS = '[[credentials]]\naccess_key_id = "a"\naccess_key_secret = "b"\n'
READER = KEYS + 'role = "reader"\n'
GUARDED = "[buckets.guarded]\nacl = 'public-read'\n"
ON = GUARDED + "[buckets.guarded.protection]\nenabled = true\nextensions = ['jpg', 'png']\n"
RULED = (
    GUARDED + "[buckets.guarded.protection]\nenabled = true\n"
    "[[buckets.guarded.protection.rules]]\nprefix = 'a'\ncase_insensitive = true\n"
)
MORE_RULED = RULED + "[[buckets.guarded.protection.rules]]\nsuffix = 'b'\n"
LISTED = "[buckets.linked]\nacl = 'public-read'\n[buckets.linked.referer]\n"
WHITE = LISTED + "allow_empty = false\nwhitelist = ['http://a']\n"
# in force, read again, what the one reason begins with; empty where it is followed
ROWS = [
    ("", "", ""),
    (KEYS, "", "credentials: there were 1, there would be none"),
    (KEYS, "credentials = []\n", "credentials: there were 1, there would be none"),
    ("", KEYS, ""),
    (KEYS + READER.replace('"a"', '"c"'), KEYS, ""),
    (READER, KEYS, "credentials.a.role: was 'reader', would be 'owner'; set it explicitly"),
    (READER, KEYS + 'role = "owner"\n', ""),
    (READER, READER.replace("reader", "writer"), ""),
    (READER, KEYS.replace('"b"', '"changed"'), "credentials.a.role: was 'reader'"),
    (KEYS + 'security_token = "t"\n', KEYS, "credentials.a.security_token: there was one"),
    (KEYS + 'security_token = "t"\n', KEYS + 'security_token = ""\n', ""),
    (KEYS + 'security_token = "t"\n', KEYS + 'security_token = "u"\n', ""),
    # a bucket that is not declared any more is what the store says of it, or what all others are
    (
        "[buckets.shut]\n",
        "",
        "buckets.shut.acl: was 'private', would be 'public-read', because the",
    ),
    (KEYS + "[buckets.shut]\n", KEYS, ""),
    ("[buckets.nowhere]\n", "", ""),
    ("[buckets.shut]\nacl = 'public-read'\n", "", ""),
    (KEYS + "[buckets.secret]\n", KEYS, "buckets.secret.acl: was 'private', would be 'public-re"),
    (ON, KEYS, "buckets.guarded.protection.enabled: was true, would be false, because the bucket"),
    # and one that is declared now was what the store said of it
    (KEYS, KEYS + "[buckets.secret]\n", ""),
    ("", "[buckets.described]\nacl='public-read'\n", "buckets.described.protection.enabled: was"),
    ("", "[buckets.described]\nprotection = {enabled = false}\n", ""),
    ("[buckets.shut]\nacl = 'private'\n", "[buckets.shut]\nacl = 'public-read-write'\n", ""),
    ("[buckets.shut]\nacl = 'public-read'\n", "[buckets.shut]\n", ""),
    # protection
    (
        ON,
        GUARDED,
        "buckets.guarded.protection.enabled: was true, would be false; set it explicitly",
    ),
    (ON, GUARDED + "[buckets.guarded.protection]\n", "buckets.guarded.protection.enabled: was"),
    (ON, GUARDED + "protection = { enabled = false }\n", ""),
    (ON, ON.replace(", 'png'", ""), ""),
    (ON, ON.replace("'jpg', 'png'", "'PNG', '.jpg'"), ""),
    (
        ON,
        GUARDED + "[buckets.guarded.protection]\nenabled = true\n",
        "buckets.guarded.protection.extensions: was ['jpg', 'png'], would be []; set it explicitly",
    ),
    (RULED, RULED.replace("case_insensitive = true\n", ""), "buckets.guarded.protection.rules: "),
    (MORE_RULED, RULED, "buckets.guarded.protection.rules: was [{ prefix = 'a', case_insen"),
    (RULED, MORE_RULED, ""),
    (RULED, RULED.replace("'a'", "''") + "suffix = ''\n", "buckets.guarded"),
    (MORE_RULED, GUARDED + "protection = {enabled = true, rules = [{prefix = 'a'}]}\n", ""),
    (MORE_RULED, GUARDED + "protection = {enabled = true, rules = []}\n", ""),
    # hotlinks
    (WHITE, LISTED, "buckets.linked.referer.whitelist: was ['http://a'], would be []"),
    (WHITE, "[buckets.linked]\nacl = 'public-read'\n", "buckets.linked.referer.whitelist: was"),
    (WHITE, LISTED + "whitelist = []\n", ""),
    (WHITE, LISTED + "whitelist = ['http://a', 'http://b']\nallow_empty = false\n", ""),
    (WHITE, LISTED + "whitelist = ['http://a']\n", "buckets.linked.referer.allow_empty: was fal"),
    (WHITE, WHITE.replace("false", "true"), ""),
    (LISTED + "blacklist = ['http://a']\n", LISTED, "buckets.linked.referer.blacklist: was"),
    (LISTED + "blacklist = ['http://a']\n", LISTED + "blacklist = []\n", ""),
    (WHITE + "truncate_path = true\n", WHITE, "buckets.linked.referer.truncate_path: was true"),
    (WHITE + "truncate_path = true\n", WHITE + "truncate_path = false\n", ""),
    (LISTED + "truncate_path = true\n", LISTED, ""),
    # which pages may show it
    *(
        (f"{GUARDED}cross_origin_resource_policy = '{was}'\n", f"{GUARDED}{would}", reason)
        for was, would, reason in (
            ("same-origin", "", "buckets.guarded.cross_origin_resource_policy: was 'same-origin'"),
            ("same-site", "", "buckets.guarded.cross_origin_resource_policy: was 'same-site'"),
            ("same-origin", "cross_origin_resource_policy = ''\n", ""),
            ("same-site", "cross_origin_resource_policy = 'same-origin'\n", ""),
        )
    ),
    # elsewhere
    (
        KEYS + "[buckets.theirs]\norigin = 's3://a/b'\n",
        KEYS + "[buckets.theirs]\n",
        "buckets.theirs.origin: was 's3://a/b', would be ''; set it explicitly",
    ),
    (KEYS + "[buckets.theirs]\norigin = 's3://a/b'\n", KEYS + "[buckets.theirs]\norigin=''\n", ""),
    ("[buckets.nowhere]\norigin = 'synthetic'\n", "", ""),
    # how long a signed URL may be valid
    (
        "[server]\nv4_expires_max = 60\n",
        "[server]\n",
        "server.v4_expires_max: was 60, would be 604800; set it explicitly",
    ),
    ("[server]\nv4_expires_max = 60\n", "[server]\nv4_expires_max = 604800\n", ""),
    ("[server]\nv4_expires_max = 2592000\n", "", ""),
    # what cannot be read
    (KEYS, "[[credentials]\n", "vipsgate.toml"),
    (KEYS, "\0\0\0\0", "vipsgate.toml"),
    (KEYS, b"\xff\xfe", "vipsgate.toml"),
]


@pytest.mark.parametrize(("old", "new", "reason"), ROWS)
async def test_what_is_written_out_is_followed(start, old, new, reason):
    server = await start(old)
    reasons = server.read(new)
    if not reason:
        assert reasons == []
        assert (
            server.services.configuration.settings.credentials
            == settings.load(server.folder / "vipsgate.toml", {}).credentials
        )
        return
    assert any(reason in text for text in reasons), reasons
    assert not any("s3cret" in text for text in reasons)
    assert server.read(old) == []


async def test_a_secret_is_never_in_the_reason(start):
    text = KEYS.replace('"b"', '"s3cret"') + 'role = "reader"\nsecurity_token = "t0ken"\n'
    server = await start(text)
    for lost in ('role = "reader"\n', 'security_token = "t0ken"\n', text):
        reasons = server.read(text.replace(lost, ""))
        assert reasons
        assert not any(word in line for line in reasons for word in ("s3cret", "t0ken"))


async def test_while_the_store_is_away_every_bucket_counts_as_there(start):
    server = await start("[buckets.shut]\n")
    (server.folder / "root").rename(server.folder / "moved")
    assert server.read("")
    (server.folder / "moved").rename(server.folder / "root")
    (server.folder / "root" / "shut").rmdir()
    assert not server.read("")


async def test_a_file_that_is_gone_for_a_moment(start):
    server = await start("[buckets.shut]\n")
    (server.folder / "vipsgate.toml").unlink()
    with pytest.raises(SettingsError, match="is not a file"):
        settings.load(server.folder / "vipsgate.toml", {})
    (server.folder / "vipsgate.toml").mkdir()
    with pytest.raises(SettingsError, match="is not a file"):
        settings.load(server.folder / "vipsgate.toml", {})


def test_the_environment_alone_is_read_again_as_it_is(monkeypatch):
    monkeypatch.setenv("VIPSGATE_CREDENTIALS", '[{"access_key_id":"a","access_key_secret":"b"}]')
    monkeypatch.setenv("VIPSGATE_BUCKETS", '{"photos": {"protection": {"enabled": true}}}')
    first, second = (settings.load(None, {}) for _ in range(2))
    assert reload.refusals(first, second, {}, lambda name: True) == []


def test_what_came_of_it_is_noted():
    state = Configuration(Settings(), succeeded=1)
    state.note("a", "b")
    assert (state.refused, state.succeeded) == (("a", "b"), 1)
    state.note()
    assert state.refused == ()
    assert state.succeeded > 1


# -- the table has all that there is ---------------------------------------------------------------

# what opens by being written, or opens nothing
OTHER = {
    *("domains", "separators", "cache_control", "styles", "legacy_at_api", "strict", "created"),
    *("delay_ms", "error_rate"),  # of a load test's target
    "lifecycle",  # what is aborted was nobody's to read
    "mirror",  # the servers that it may lead to are listed elsewhere
    *("cors", "cors_response_vary", "timing_allow_origin"),  # open to more pages by being written
    *("stale_while_revalidate", "stale_if_error", "cache_tags"),  # for caches in front
    *("cdn_signing.type", "cdn_signing.key", "cdn_signing.backup_key"),  # open by being written
    "keep_metadata",  # more goes out by being written
    *("auto_format", "avif_in_background"),  # the same pictures, as other files
}
# with these it started
STARTED = {
    *("server", "store", "origins", "cache", "limits", "image", "log", "traces", "webhooks"),
}
PERSONS = {"access_key_id", "access_key_secret"}  # who it is, and always written


def keys(model, prefix=""):
    for name in model.model_fields:
        parts = {"protection": Protection, "referer": RefererPolicy, "cdn_signing": CdnSigning}
        part = parts.get(name)
        yield from keys(part, f"{name}.") if part else [f"{prefix}{name}"]


def test_every_setting_is_judged():
    """A new one belongs into the table of what closes something, or here."""
    closing = {row.key for row in reload.CLOSING}
    assert {*keys(Bucket)} == closing | OTHER
    assert not closing & OTHER
    assert {*Settings.model_fields} == STARTED | {"credentials", "buckets"}
    assert {*Credential.model_fields} == PERSONS | {"role", "security_token"}
    assert {*ProtectionRule.model_fields} == {"prefix", "suffix", "case_insensitive"}


async def test_no_reason_is_needed_to_ask_a_store_that_is_away():
    """Also one that says so by an error."""

    class Away:
        def has(self, bucket):
            raise ServiceUnavailable("away")

        def object_acls(self, bucket):
            return True

        def reread(self, bucket, key, fingerprint, most, *, aliases=False):
            return None

    before, after = Settings(buckets={"photos": Bucket()}), Settings()
    documents = types.SimpleNamespace(known={}, adopt=lambda limits: None)
    services = Services.of(before, Away(), None, documents)
    assert reload.take_over(services, after)
