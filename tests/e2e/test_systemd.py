"""What systemd hears of a running server: it is ready, it lives, it reads again, it ends."""

import signal
import socket
import time


def test_the_life_of_a_server(serving, root, tmp_path):
    name = str(tmp_path / "n")
    env = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "400000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(name)
        line.settimeout(10)

        def heard():
            return line.recv(4096).decode().split("\n")

        def until(word):
            end = time.monotonic() + 10
            while word not in (words := heard()):
                assert words == ["WATCHDOG=1"]
                assert time.monotonic() < end
            return words

        with serving(root, env=env) as site:
            assert until("READY=1")[1].startswith(f"STATUS=serving on http://127.0.0.1:{site.port}")
            begun = time.monotonic()
            for _ in range(4):
                assert heard() == ["WATCHDOG=1"]
            assert 0.5 < time.monotonic() - begun < 3
            site.process.send_signal(signal.SIGHUP)
            assert until("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
            assert until("READY=1") == ["READY=1"]
        until("STOPPING=1")
