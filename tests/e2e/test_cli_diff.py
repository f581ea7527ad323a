"""``vipsgate diff`` between two servers: the same, then each kind of difference."""

import json
import socket

import pytest
from click.testing import CliRunner

from vipsgate.cli import main

CONFIG = """
[[credentials]]
access_key_id = "{id}"
access_key_secret = "{secret}"
[buckets.photos]
acl = "private"
[buckets.photos.styles]
small = "image/resize,w_{width}"
"""
KEYS = {"FROM": ("ownKey", "ownSecret"), "AGAINST": ("theirKey", "theirSecret")}
URLS = """
# what a site asks for
/cat.jpg
/cat.jpg?x-oss-process=image/resize,w_100
a%20b+c.jpg?x-oss-process=image/info
/none.jpg
/cat.jpg?x-oss-process=image/resize,w_0
/?list-type=2&prefix=cat
"""


@pytest.fixture(scope="module")
def sites(serving, tmp_path_factory, root):
    """Two servers with other keys, one with another style, and their buckets' URLs."""
    folder = tmp_path_factory.mktemp("diff")
    with_sites = []
    for name, width in (("FROM", 50), ("AGAINST", 60)):
        bucket = folder / name / "photos"
        bucket.mkdir(parents=True)
        for key in ("cat.jpg", "a b+c.jpg"):
            (bucket / key).write_bytes((root / "examplebucket" / "example.jpg").read_bytes())
        key_id, secret = KEYS[name]
        text = CONFIG.format(id=key_id, secret=secret, width=width)
        (folder / f"{name}.toml").write_text(text)
        with_sites.append((folder / name, folder / f"{name}.toml"))
    (one, own), (two, other) = with_sites
    with (
        serving(one, "--config", str(own), renderers=1) as first,
        serving(two, "--config", str(other), renderers=1) as second,
    ):
        yield [f"http://{site.host}:{site.port}/photos" for site in (first, second)]


def run(sites, text, *options, keys=KEYS):
    env = {
        f"OSS_{side}_ACCESS_KEY_{part}": value
        for side, pair in keys.items()
        for part, value in zip(("ID", "SECRET"), pair, strict=True)
    }
    arguments = ["diff", "-", "--from", sites[0], "--against", sites[1], *options]
    return CliRunner().invoke(main, arguments, input=text, env=env)


def rows(result):
    return {row["request"]: row for row in json.loads(result.output)}


def test_two_servers_with_the_same_objects_are_the_same(sites):
    ignored = ("--ignore", "LastModified", "--ignore", "ETag")
    result = run(sites, URLS, "--json", *ignored)
    assert (result.exit_code, result.exception) == (0, None), result.output
    assert len(rows(result)) == 6
    assert all(row["same"] for row in rows(result).values())
    result = run(sites, "/cat.jpg\n")
    assert (result.exit_code, "1 of 1 the same" in result.output) == (0, True)


def test_another_style_is_another_picture(sites):
    result = run(sites, "/cat.jpg?x-oss-process=style/small", "--json")
    assert result.exit_code == 1
    (row,) = rows(result).values()
    (item,) = row["differences"]
    assert item["what"] == "picture"
    assert item["ours"].startswith("jpg 50x")
    assert item["theirs"].startswith("jpg 60x")
    assert "1 differ" in run(sites, "/cat.jpg?x-oss-process=style/small").output


def test_a_signature_for_one_server_is_made_anew_for_both(sites):
    signed = f"{sites[0]}/cat.jpg?Expires=1&OSSAccessKeyId=a&Signature=b%3D"
    assert run(sites, signed).exit_code == 0
    result = run(sites, signed, "--json", keys={"AGAINST": KEYS["AGAINST"]})
    (row,) = rows(result).values()
    assert row["differences"][0] == {"what": "status", "ours": "403", "theirs": "200"}


def test_a_server_that_does_not_answer_differs(sites):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        other = f"http://127.0.0.1:{silent.getsockname()[1]}/photos"
        result = run([sites[0], other], "/cat.jpg", "--json", "--timeout", "0.5")
    (row,) = rows(result).values()
    assert (result.exit_code, row["differences"][0]["what"]) == (1, "answer")
    assert "Timeout" in row["differences"][0]["theirs"]


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("http://elsewhere/cat.jpg", (), "http://elsewhere/cat.jpg"),
        ("/a", ("--against", "ftp://a"), "ftp://a"),
        ("/a", ("--against", "http://a/b?c"), "http://a/b?c"),
        ("/a", ("--concurrency", "0"), "--concurrency"),
    ],
)
def test_wrong_usage(sites, text, options, named):
    result = run(sites, text, *options)
    assert (result.exit_code, named in result.output) == (2, True)


def test_half_a_credential_is_wrong_usage(sites):
    result = run(sites, "/a", keys={"FROM": ("ownKey", "")})
    assert (result.exit_code, "OSS_FROM_ACCESS_KEY_SECRET" in result.output) == (2, True)
