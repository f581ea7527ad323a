"""Servers that replace each other on one port, under load: no request fails.

The clients here never try again: what is refused, reset or cut short is a failure.
"""

import contextlib
import http.client
import signal
import socket
import threading
import time

import pytest

HIT = "/examplebucket/example.jpg?x-oss-process=image/resize,w_70"
PLAIN = "/examplebucket/example.jpg"
PATIENCE = 10


class Client(threading.Thread):
    """Asks all the time, on one connection or each time on another."""

    def __init__(self, port, number, reuse):
        super().__init__()
        self.port, self.number, self.reuse = port, number, reuse
        self.done, self.closed, self.faults = 0, 0, []
        self.stop = threading.Event()

    def run(self):
        link = None
        while not self.stop.is_set():
            try:
                link = link or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                link.request("GET", self.target())
                answer = link.getresponse()
                size = len(answer.read())
                if answer.status != 200 or not size:
                    self.faults.append(answer.status)
                self.closed += answer.will_close
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
                link = None
            self.done += 1
            if link and not self.reuse:
                link.close()
                link = None
        if link:
            link.close()

    def target(self):
        if self.number % 3 == 0:
            return PLAIN
        width = 20 + self.done % 200 if self.number % 3 == 1 else 0
        return f"{PLAIN}?x-oss-process=image/resize,w_{width}" if width else HIT


@contextlib.contextmanager
def load(port, count):
    clients = [Client(port, number, number % 2 == 0) for number in range(count)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join()


def test_three_servers_in_turn(serving, root, tmp_path):
    flags = ["--reuse-port", "--cache-dir", str(tmp_path / "cache")]
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(serving(root, *flags, renderers=1))
        ports = ["--port", str(site.port)]
        with load(site.port, 6) as clients:
            time.sleep(0.5)
            for _ in range(2):
                fresh = stack.enter_context(serving(root, *flags, *ports, renderers=1))
                time.sleep(0.3)
                site.process.send_signal(signal.SIGTERM)
                assert site.process.wait(PATIENCE) == 0
                site = fresh
                time.sleep(0.3)
        assert [client.faults for client in clients] == [[]] * 6
        assert all(client.done > 20 for client in clients)
        told = sum(client.closed for client in clients if client.reuse)
        assert told >= 2  # a connection may have been at the other server


@pytest.fixture
def site(serving, root):
    with serving(root) as site:
        yield site


def accepts(site):
    try:
        site.socket().close()
    except ConnectionError:
        return False
    return True


def ask(line, target=PLAIN):
    line.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = http.client.HTTPResponse(line)
    answer.begin()
    answer.read()
    return answer


def test_a_connection_that_is_open_has_one_more_answer(site):
    with site.socket() as line, site.socket() as other:
        assert ask(line).headers["Connection"] is None
        ask(other)
        begun = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        while accepts(site):
            assert time.monotonic() < begun + PATIENCE
        answer = ask(line)
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert line.recv(1) == b""
        assert other.recv(1) == b""  # which has asked for nothing
        assert 0.5 < time.monotonic() - begun < 3
        assert site.process.wait(PATIENCE) == 0


def test_what_the_kernel_has_taken_is_answered(site):
    """Connections that come while the server has other things to do than to accept them."""
    site.process.send_signal(signal.SIGSTOP)
    lines = [site.socket() for _ in range(50)]
    try:
        for line in lines:
            line.sendall(f"GET {PLAIN} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        site.process.send_signal(signal.SIGTERM)
        site.process.send_signal(signal.SIGCONT)
        for line in lines:
            line.settimeout(PATIENCE)
            answer = http.client.HTTPResponse(line)
            answer.begin()
            assert (answer.status, len(answer.read()) > 0) == (200, True)
    finally:
        for line in lines:
            line.close()
    assert site.process.wait(PATIENCE) == 0


def test_nobody_there_is_nobody_waited_for(site):
    with site.socket() as line:
        ask(line)
        line.shutdown(socket.SHUT_RDWR)
    begun = time.monotonic()
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(PATIENCE) == 0
    assert time.monotonic() - begun < 5
