"""The process of the emulator: its command line, its HTTP API, and that nothing of it is left."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from vipsgate import cli

ROOT = Path(__file__).parents[3]
PATIENCE = 20  # seconds for a process to start, or to be gone
COMMAND = [sys.executable, "-m", "vipsgate", "emulate"]


def call(url, method="GET", body=None, headers=()):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@contextmanager
def emulating(*options):
    """The command, and what its ready line says."""
    process = subprocess.Popen(
        [*COMMAND, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def children(pid):
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids, *folders):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        running = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        if not running and not any(map(os.path.exists, folders)):
            return True
        time.sleep(0.02)
    return False


def test_the_command_for_other_languages(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("seeded")
    with emulating("--seed", str(tmp_path)) as (process, ready):
        assert {*ready} == {
            *("endpoint", "admin", "access_key_id", "access_key_secret", "region", "folder")
        }
        admin = f"{ready['admin']}/emulator"
        assert call(admin) == (200, ready)
        assert Path(ready["folder"], "buckets", "photos", "a.txt").read_text() == "seeded"
        status, made = call(f"{admin}/buckets", "POST", {"document": {"acl": "public-read"}})
        assert status == 200
        assert call(f"{admin}/faults", "POST", {"status": 503, "count": 1}) == (200, {"id": 1})
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{ready['endpoint']}/{made['name']}/a.txt?b=1")
        _, faults = call(f"{admin}/faults")
        assert faults == [{"id": 1, "hits": 1, "status": 503, "count": 1}]
        _, (request,) = call(f"{admin}/requests?key=a.txt&method=GET")
        assert request["status"] == 503
        assert request["query"] == [["b", "1"]]
        assert call(f"{admin}/clock", "PUT", {"advance": 90.5})[1]["offset"] == 90.5
        assert call(f"{admin}/clock", "PUT", {"now": "2027-01-01T00:00:00Z"})[1]["now"].startswith(
            "2027-01-01T00:00:00"
        )
        assert call(f"{admin}/reset", "POST") == (200, {})
        assert call(f"{admin}/clock")[1]["offset"] == 0
        assert call(f"{admin}/requests") == call(f"{admin}/faults") == (200, [])
        names = os.listdir(Path(ready["folder"], "buckets"))
        assert [name for name in names if name[0] != "."] == ["photos"]
        assert children(process.pid) == []  # nobody has asked for a picture
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert gone([], ready["folder"])
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--seed", "nowhere"), "nowhere is not a folder"),
        (("--seed", "seed"), "seed/Not_A_Bucket is not a bucket"),
        (("--config", "nowhere.toml"), "nowhere.toml is not a file"),
        (("--port", "70000"), "server.port"),
    ],
)
def test_wrong_usage_is_named_and_leaves_nothing(options, named, tmp_path, monkeypatch):
    (tmp_path / "seed" / "Not_A_Bucket").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    run = CliRunner().invoke(cli.main, ["emulate", *options])
    assert run.exit_code == 2
    assert named in run.output
    assert list((tmp_path / "tmp").iterdir()) == []


HOLDER = """
import json, os, time, urllib.error, urllib.request
from vipsgate import emulator
with emulator.run() as oss:
    try:  # which starts renderers
        urllib.request.urlopen(f"{oss.endpoint}/absent/a.jpg?x-oss-process=image/info")
    except urllib.error.HTTPError as error:
        error.close()
    print(json.dumps([oss.pid, str(oss.folder)]), flush=True)
    if os.fork() == 0:  # a child of the tests', which holds all descriptors that they had
        time.sleep(60)
    time.sleep(60)
"""


def test_nothing_is_left_of_a_test_process_that_is_killed(tmp_path):
    # what lies in a folder of tests is no module of the server's
    (tmp_path / "click.py").write_text("raise RuntimeError")
    (tmp_path / "orjson.py").write_text("raise RuntimeError")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        pid, folder = json.loads(holder.stdout.readline())
        forked = [child for child in children(holder.pid) if child != pid]
        renderers = children(pid)
        assert len(renderers) == 2
        holder.kill()
        holder.wait(PATIENCE)
        assert gone([pid, *renderers], folder)
    finally:
        holder.kill()
        holder.stdout.close()
        for child in forked:
            os.kill(child, signal.SIGKILL)


EXAMPLES = (ROOT / "tests" / "e2e" / "clients" / "README.md").read_text()


@pytest.mark.parametrize("number", range(EXAMPLES.count("```yaml")))
def test_an_example_in_yaml_is_one_and_names_flags_that_exist(number):
    text = re.findall(r"```yaml\n(.*?)```", EXAMPLES, re.DOTALL)[number]
    assert yaml.safe_load(text).keys() <= {"services", "jobs"}
    flags = set(re.findall(r"emulate.*", text)[0].split()) & set(re.findall(r"--[a-z-]+", text))
    assert flags <= {option for one in cli.main.commands["emulate"].params for option in one.opts}
