"""``vipsgate bucket``: list, show, create, import and export, without a server."""

import json

import pytest
from click.testing import CliRunner

from vipsgate.cli import main

CONFIG = """
[[credentials]]
access_key_id = "a"
access_key_secret = "b"
[buckets.declared]
acl = "public-read"
"""
DOCUMENT = {"acl": "public-read", "styles": {"thumb": "image/resize,w_100"}}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    (tmp_path / "root" / "plain").mkdir(parents=True)

    def running(*words, stdin=None):
        options = ["--config", str(tmp_path / "vipsgate.toml"), "--root", str(tmp_path / "root")]
        done = CliRunner().invoke(main, ["bucket", *options, *words], input=stdin)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return running


def test_all_there_is(run, tmp_path):
    assert run("create", "made", "--acl", "public-read").exit_code == 0
    (tmp_path / "root" / ".vipsgate" / "buckets" / "broken.json").write_text("{")
    assert [line.split("\t") for line in run("list").output.splitlines()] == [
        ["broken", "private", "broken"],
        ["declared", "public-read", "configuration"],
        ["made", "public-read", "store"],
        ["plain", "private", "-"],
    ]


def test_out_and_in_again(run, tmp_path):
    file = tmp_path / "photos.json"
    file.write_text(json.dumps(DOCUMENT))
    assert run("import", "photos", str(file)).exit_code == 0
    assert json.loads(run("show", "photos").output) == DOCUMENT
    assert json.loads(run("export", "photos").output) == DOCUMENT
    other = tmp_path / "other.json"
    assert run("export", "photos", str(other)).exit_code == 0
    assert run("import", "copy", "-", stdin=other.read_text()).exit_code == 0
    assert json.loads(run("show", "copy").output) == DOCUMENT
    assert json.loads(run("show", "declared").output) == {"acl": "public-read"}
    assert json.loads(run("show", "plain").output) == {}


def test_a_broken_document_is_replaced(run, tmp_path):
    run("create", "made")
    (tmp_path / "root" / ".vipsgate" / "buckets" / "made.json").write_text("{")
    assert run("import", "made", "-", stdin='{"acl": "public-read"}').exit_code == 0
    assert json.loads(run("show", "made").output) == {"acl": "public-read"}


@pytest.mark.parametrize(
    ("words", "stdin", "status", "part"),
    [
        (["create", "A_B"], None, 1, "The specified bucket is not valid"),
        (["create", "plain"], None, 1, "there is a bucket plain already"),
        (["create", "declared"], None, 1, "declared in the configuration"),
        (["import", "declared", "-"], "{}", 1, "declared in the configuration"),
        (["import", "new", "-"], '{"acl": "open"}', 1, "acl = 'open'"),
        (["import", "new", "-"], "{", 1, "is not JSON"),
        (["import", "new", "-"], '{"styles": {"a": "image/slim"}}', 1, "styles.a"),
        (["show", "none"], None, 1, "there is no bucket none"),
        (["create", "new", "--acl", "open"], None, 2, "open"),
        (["import", "new", "/nowhere"], None, 2, "/nowhere"),
    ],
)
def test_refuses(run, tmp_path, words, stdin, status, part):
    done = run(*words, stdin=stdin)
    assert (done.exit_code, part in done.output) == (status, True)
    assert not (tmp_path / "root" / "new").exists()


def test_a_store_is_needed():
    done = CliRunner().invoke(main, ["bucket", "list"])
    assert (done.exit_code, "store.url" in done.output) == (2, True)
