"""deploy/systemd: the unit is a good one, its walls are high, and vipsgate can work behind them."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from vipsgate.settings import Server

EXPOSURE = 20  # tenths; systemd-analyze calls all below 2 "OK", and 10 is the worst
READY = re.compile(r"vipsgate ready on http://127.0.0.1:(\d+) ")


class Unit(configparser.RawConfigParser):
    """A unit file, whose keys may stand there more than once."""

    optionxform = staticmethod(str)

    def all(self, key):
        return re.findall(rf"^{key}=(.*)$", self.text, re.MULTILINE)


@pytest.fixture(scope="module")
def unit(deploy):
    made = Unit(strict=False, interpolation=None)
    made.text = (deploy / "systemd" / "vipsgate.service").read_text()
    made.read_string(made.text)
    return made


@pytest.fixture(scope="module")
def analyze():
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze: apt-get install systemd")

    def run(*words, check=True):
        command = ["systemd-analyze", "--no-pager", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=check)

    return run


def test_verified(analyze, unit, tmp_path):
    # the one thing that it looks for on this machine is the program
    text = unit.text.replace("/opt/vipsgate/bin/vipsgate", sys.executable)
    (tmp_path / "vipsgate.service").write_text(text)
    done = analyze("verify", tmp_path / "vipsgate.service", check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_mistake_would_be_found(analyze, unit, tmp_path):
    text = unit.text.replace("ProtectSystem=strict", "ProtectSystem=strictly")
    (tmp_path / "vipsgate.service").write_text(text)
    done = analyze("verify", tmp_path / "vipsgate.service", check=False)
    assert "strictly" in done.stderr


def test_the_walls_are_high(analyze, deploy, unit, tmp_path):
    words = ("security", "--offline=true", f"--threshold={EXPOSURE}")
    done = analyze(*words, deploy / "systemd" / "vipsgate.service", check=False)
    assert done.returncode == 0, done.stdout[-400:]
    low = re.sub(r"^(Protect|Private|Restrict|SystemCall).*\n", "", unit.text, flags=re.MULTILINE)
    (tmp_path / "low.service").write_text(low)
    assert analyze(*words, tmp_path / "low.service", check=False).returncode != 0


def test_it_stops_as_the_server_does(unit):
    service = unit["Service"]
    assert service["KillMode"] == "mixed"  # renderers are still wanted
    assert int(service["TimeoutStopSec"].removesuffix("s")) > Server().drain_seconds
    assert service["ExecReload"].split()[1] == "-HUP"
    assert service["OOMPolicy"] == "continue"


def groups(analyze):
    """The sets of system calls that systemd knows by name, resolved."""
    found, rows = {}, []
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            rows = found[line.strip()] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            rows.append(line.strip())

    def resolved(name):
        if not name.startswith("@"):
            return {name}
        return {call for part in found[name] for call in resolved(part)}

    return resolved


def test_no_system_call_is_made_that_the_unit_refuses(analyze, unit, root, tmp_path):
    """Uploads, pictures, an error and the stop, with renderers that raise their own walls."""
    if not shutil.which("strace"):
        pytest.skip("needs strace: apt-get install strace")
    bucket = tmp_path / "root" / "photos"
    bucket.mkdir(parents=True)
    shutil.copy(root / "examplebucket" / "example.jpg", bucket)
    (tmp_path / "vipsgate.toml").write_text('[buckets.photos]\nacl = "public-read-write"\n')
    command = ["strace", "-f", "-qq", "-o", tmp_path / "trace", sys.executable, "-m", "vipsgate"]
    command += ["serve", tmp_path / "root", "--config", tmp_path / "vipsgate.toml", "--port", "0"]
    command += ["--admin-port", "0", "--renderers", "1", "--cache-dir", tmp_path / "cache"]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        url = f"http://127.0.0.1:{READY.match(process.stdout.readline())[1]}/photos"
        data = (bucket / "example.jpg").read_bytes()
        put = urllib.request.Request(f"{url}/new/a.jpg", data, {"x-oss-meta-a": "b"}, method="PUT")
        urllib.request.urlopen(put).close()
        for text in ("resize,w_50", "watermark,text_SGVsbG8", "format,avif", "format,png", "info"):
            for _ in range(2):
                address = f"{url}/new/a.jpg?x-oss-process=image/{text}"
                with urllib.request.urlopen(address) as answer:
                    assert answer.status == 200
        gone = urllib.request.Request(f"{url}/new/a.jpg", method="DELETE")
        urllib.request.urlopen(gone).close()
        time.sleep(0.2)
    finally:
        front = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        os.kill(int(front), signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()
    trace = (tmp_path / "trace").read_text()
    resolved = groups(analyze)
    allowed, refused = set(), set()
    for row in unit.all("SystemCallFilter"):
        for name in row.removeprefix("~").split():
            (refused if row.startswith("~") else allowed).update(resolved(name))
    made = set(re.findall(r"^\d+ +(\w+)\(", trace, re.MULTILINE))
    assert {"landlock_restrict_self", "seccomp", "memfd_create", "sendfile", "flock"} <= made
    assert made - allowed == set()
    # renderers give up rights that behind the unit's walls there are none of; a refusal is no harm
    assert made & refused <= {"capset"}
    # MemoryDenyWriteExecute
    assert not re.findall(r"^.*(?:mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC.*$", trace, re.MULTILINE)
    families = set(re.findall(r"socket\((AF_\w+)", trace))
    assert families <= {*unit["Service"]["RestrictAddressFamilies"].split()}
    assert hasattr(socket, families.pop())
