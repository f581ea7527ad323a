"""What systemd hears of a server, on a socket as systemd has one."""

import asyncio
import contextlib
import os
import secrets
import socket
import time

import pytest

from vipsgate.server import systemd


@contextlib.contextmanager
def listening(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        line.settimeout(10)
        yield lambda: line.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def name(request, tmp_path):
    if request.param == "abstract":
        return f"@vipsgate-{secrets.token_hex(8)}"
    with contextlib.chdir(tmp_path):
        return str(tmp_path / "n")


def test_a_word_arrives(name, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with listening(name) as heard:
        systemd.tell("READY=1", "STATUS=serving")
        assert heard() == ["READY=1", "STATUS=serving"]
        before = time.monotonic_ns() // 1000
        systemd.reloading()
        word, when = heard()
        assert word == "RELOADING=1"
        assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= before + 1_000_000


@pytest.mark.parametrize("name", ["", "/no/such/socket", "@nobody-4711", "x" * 300, "a\0b"])
def test_a_socket_that_does_not_exist_is_no_error(name, monkeypatch):
    with contextlib.suppress(ValueError):  # such a name cannot be in an environment
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    systemd.tell("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("", "", 0),
        ("3000000", "", 1.5),
        ("3000000", "ours", 1.5),
        ("3000000", "1", 0),
        ("soon", "", 0),
        ("0", "", 0),
        ("-5", "", 0),
    ],
)
def test_how_often_a_sign_of_life_is_due(usec, pid, seconds, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert systemd.watchdog() == seconds


async def test_nothing_is_given_where_nothing_is_wanted(monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    await asyncio.wait_for(systemd.live(), 1)
