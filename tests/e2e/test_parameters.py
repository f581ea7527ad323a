"""Parameters and headers added to signed requests: refused, or without any effect.

Whoever is given a signed URL may do what it says and nothing else. A row is a scheme of signatures
and a parameter; each is tried in every spelling that somebody might take for the same.
"""

import ast
import contextlib
import re
import time
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

import vipsgate
from vipsgate import api
from vipsgate.gate import parameters, sign
from vipsgate.gate.sign import v2
from vipsgate.gate.target import PROCESS

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY, BUCKET, OBJECT = sign.Credential("key1", "secret1"), "photos", "example.jpg"
VOLATILE = ("date", "x-oss-request-id", "x-oss-server-time", "server-timing", "x-vipsgate-cache")


def read_by_handlers():
    """Every parameter that a call of the API reads, by its source."""
    for path in (Path(vipsgate.__file__).parent / "api").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                name = node.func.id if isinstance(node.func, ast.Name) else name
                place = {"parameter": 0, "number": 0, "chosen": 0, "_text": 1}.get(name, 9)
                for argument in node.args[place : place + 1]:
                    yield from (
                        part.value
                        for part in ast.walk(argument)
                        if isinstance(part, ast.Constant) and part.value not in ("2", "")
                    )


READ = sorted(set(read_by_handlers()))
NAMES = sorted(
    {PROCESS, "x-oss-traffic-limit", "x-oss-additional-headers", "versionId", "unknown", *READ}
    | {*parameters.SUB_RESOURCES, *parameters.OVERRIDES, *parameters.OF_LISTINGS, *sign.NAMES}
)
VALUES = dict.fromkeys(parameters.OVERRIDES, "text/plain")
VALUES |= {PROCESS: "image/info", "prefix": "zzz", "max-keys": "1", "list-type": "2"}


def spellings(name):
    """The name in other cases, percent-encoded once and twice, and with a little more."""
    first, last = f"%{ord(name[0]):02x}{name[1:]}", f"{name[:-1]}%{ord(name[-1]):02X}"
    yield from (name, name.upper(), name.title(), name.capitalize(), name.swapcase(), first, last)
    yield from ("".join(f"%{ord(one):02X}" for one in name), name.replace("-", "%2D"))
    yield from (quote(quote(first)), f"{name}%00", f"%20{name}", f"{name}+", name.replace("-", "_"))


# -- schemes: query and headers that sign a request ------------------------------------------------


def url(version):
    def signed(method, key, query):
        made = sign.sign_url(
            KEY, BUCKET, key, now=time.time(), method=method, version=version, query=query
        )
        return made.partition("?")[2], {}

    return signed


def header(version):
    def signed(method, key, query):
        request = sign.Request(method, BUCKET, key, query, {})
        return plain(query), sign.sign_headers(KEY, request, now=time.time(), version=version)

    return signed


def v2_url(method, key, query):
    end = str(int(time.time()) + 600)
    query += ((sign.v4.VERSION, v2.NAME), (v2.KEY_ID, "key1"), (v2.EXPIRES, end))
    text = v2.string_to_sign(sign.Request(method, BUCKET, key, query, {}), end, [])
    return plain((*query, (v2.SIGNATURE, v2.mac("secret1", text)))), {}


def v2_header(method, key, query):
    date = formatdate(usegmt=True)
    text = v2.string_to_sign(sign.Request(method, BUCKET, key, query, {}), date, [])
    made = f"OSS2 AccessKeyId:key1,Signature:{v2.mac('secret1', text)}"
    return plain(query), {"Date": date, "Authorization": made}


def plain(query):
    return "&".join(f"{quote(name, '')}={quote(value, '')}" for name, value in query)


SCHEMES = {
    "V1 URL": url(1),
    "V1 header": header(1),
    "V2 URL": v2_url,
    "V2 header": v2_header,
    "V4 URL": url(4),
    "V4 header": header(4),
}


@pytest.fixture(scope="module")
def ask(serving, root, tmp_path_factory):
    """``ask("GET", key, query, headers)``: status, headers and body of an answer that matter."""
    folder = tmp_path_factory.mktemp("parameters")
    (folder / "vipsgate.toml").write_text(CONFIG)
    place = folder / "root" / BUCKET
    place.mkdir(parents=True)
    for name in ("example.jpg", "panda.png", "note.txt"):
        (place / name).write_bytes((root / "examplebucket" / name).read_bytes())
    with (
        serving(folder / "root", "--config", str(folder / "vipsgate.toml")) as site,
        contextlib.closing(site.connection()) as line,
    ):

        def asked(method, key, query, headers):
            line.request(method, f"/{BUCKET}/{key}?{query}", headers=headers)
            answer = line.getresponse()
            body = re.sub(rb"<RequestId>.*?</RequestId>", b"", answer.read())
            rows = {name.lower(): text for name, text in answer.getheaders()}
            return answer.status, {k: rows[k] for k in rows if k not in VOLATILE}, body

        yield asked


def is_refused(answer):
    """By name, too: 405 and 501."""
    return answer[0] in (400, 403, 405, 501)


THOROUGH = ("V1 header", "V4 URL")  # with each spelling: one that signs all, one that does not
THUMB = ((PROCESS, "image/resize,w_50"), ("response-cache-control", "no-store"))
REQUESTS = {"object": (OBJECT, ()), "picture": (OBJECT, THUMB), "listing": ("", ())}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_parameter_added(ask, scheme, name):
    value = VALUES.get(name, "x")
    for what, (key, signed) in REQUESTS.items():
        query, headers = SCHEMES[scheme]("GET", key, signed)
        good = ask("GET", key, query, headers)
        assert good[0] == 200
        named = [*dict.fromkeys(spellings(name))]
        if what == "listing" and scheme.startswith("V1") and name in parameters.OF_LISTINGS:
            named = [one for one in named if unquote(one) != name]  # OSS's own rule
        some = named if what == "picture" and scheme in THOROUGH else named[:3]
        added = [f"{query}&{one}={value}" for one in some]
        added += [f"{one}={value}&{query}" for one in named[:1]] + [f"{query}&{named[0]}"]
        for more in added:
            answer = ask("GET", key, more, headers)
            assert is_refused(answer) or answer == good, f"{what}: {more}"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", [PROCESS, *parameters.OVERRIDES, "acl"])
def test_a_parameter_changed_or_taken_away(ask, scheme, name):
    value = VALUES.get(name, "")
    query, headers = SCHEMES[scheme]("GET", OBJECT, ((name, value),))
    good = ask("GET", OBJECT, query, headers)
    assert good[0] == 200
    said = f"{quote(name)}={quote(value, '')}"
    assert said in query
    others = {other for other in spellings(name) if unquote(other) != name}
    others = [f"{other}={quote(value, '')}" for other in sorted(others)]
    for other in (*others, f"{said}x", f"{said}%20", f"{name}x={value}", ""):
        assert is_refused(ask("GET", OBJECT, query.replace(said, other), headers)), other


HEADERS = [
    *((f"x-oss-{name}", "x") for name in ("process", "acl", "object-acl", "meta-a", "copy-source")),
    *((f"x-oss-{name}", "true") for name in ("forbid-overwrite", "complete-all", "security-token")),
    *((f"response-{name}", "text/plain") for name in ("content-type", "cache-control")),
    *(
        (name, "x")
        for name in ("Cache-Control", "Content-Disposition", "Content-Language", "Expires")
    ),
    *(("Content-Type", "text/plain"), ("Content-Encoding", "gzip"), ("Accept", "image/avif")),
    *(("Accept-Encoding", "gzip"), ("Accept-Language", "de"), ("DPR", "2"), ("Width", "9")),
    *((f"X-Forwarded-{name}", "other") for name in ("Host", "For", "Proto", "Prefix")),
    *(("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/"), ("Cookie", "a=b")),
    *(("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("Via", "1.1 x")),
]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("row", HEADERS, ids=": ".join)
def test_a_header_added(ask, scheme, row):
    """But for Range and If-*, which are for every client to say (RFC 9110, 13 and 14)."""
    for key, signed in REQUESTS.values():
        query, headers = SCHEMES[scheme]("GET", key, signed)
        good = ask("GET", key, query, headers)
        answer = ask("GET", key, query, {**headers, row[0]: row[1]})
        assert is_refused(answer) or answer == good


def test_what_is_read_is_signed():
    """No handler hears of a parameter that V1 does not sign, but for those of listings."""
    assert len(READ) > 12
    assert not {name for name in READ if not parameters.is_signed(name)} - parameters.OF_LISTINGS
    calls = {name for table in (api.SERVICE, api.BUCKET, api.OBJECT) for _, name in table} - {""}
    assert not {name for name in calls if not parameters.is_signed(name)} - parameters.OF_LISTINGS
    assert parameters.OVERRIDES.keys() < {name for name in NAMES if parameters.is_signed(name)}
    assert not {name for name in parameters.OF_LISTINGS if parameters.is_signed(name)}
