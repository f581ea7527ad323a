"""The real server as a process: how it starts, ends, and what it survives."""

import concurrent.futures
import http.client
import io
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.server import standing_still

REPOSITORY = Path(__file__).parents[2]
READY = re.compile(
    r"vipsgate ready on http://(127\.0\.0\.1):(\d+) \(admin http://127\.0\.0\.1:(\d+)\)\n"
)
PATIENCE = 20.0  # seconds for what takes well under one
QUICK = "/photos/small.jpg?x-oss-process=image/resize,w_64"
SLOW = "/photos/noise.jpg?x-oss-process=image/format,webp"  # 0.35 s of one CPU, 1.2 MB
SLOWER = "/photos/noise.jpg?x-oss-process=image/format,avif"  # 1.4 s; cannot be asked to stop
LONGEST_QUICK = "/photos/noise.jpg?x-oss-process=image/crop,w_1600/format,webp"
WHOLE = "/photos/noise.jpg"

Threads = concurrent.futures.ThreadPoolExecutor


def others(count: int, picture: str = SLOW) -> list[str]:
    """Pictures that are as slow, and none is equal to another."""
    return [f"{picture}/quality,Q_{60 + number}" for number in range(count)]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def code(self) -> str:
        return ElementTree.fromstring(self.body).findtext("Code", "")


class Server:
    """``python -m vipsgate serve`` on free ports."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.log = log
        self.ready = line(process)
        match = READY.fullmatch(self.ready)
        assert match, self.ready + log.read_text()
        self.port, self.admin_port = int(match[2]), int(match[3])

    def get(self, target: str, port: int = 0, timeout: float = PATIENCE) -> Answer:
        begun = time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", port or self.port, timeout)) as link:
            link.request("GET", target)
            answer = link.getresponse()
            body = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, body, time.monotonic() - begun)

    def tried(self, target: str) -> int:
        """The status, 0 where there is no answer."""
        try:
            return self.get(target).status
        except (OSError, http.client.HTTPException):
            return 0

    def admin(self, target: str) -> Answer:
        return self.get(target, self.admin_port)

    def asked(self, target: str) -> socket.socket:
        """A connection on which the request has been sent and nothing was read."""
        link = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        link.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return link

    def renderers(self) -> list[int]:
        return sorted(pid for pid, parent, _ in processes() if parent == self.process.pid)

    def busy(self, count: int) -> list[int]:
        """Wait until so many renderers work, and name them."""
        found: list[int] = []

        def enough() -> bool:
            before = {pid: ticks(pid) for pid in self.renderers()}
            time.sleep(0.06)
            found[:] = [pid for pid, spent in before.items() if ticks(pid) - spent >= 2]
            return len(found) >= count

        until(enough, PATIENCE)
        return found

    def quiet(self) -> bool:
        """Does no renderer work?"""
        before = sum(map(ticks, self.renderers()))
        time.sleep(0.1)
        return sum(map(ticks, self.renderers())) == before

    def signal(self, number: int) -> float:
        self.process.send_signal(number)
        return time.monotonic()

    def ended(self, within: float = PATIENCE) -> int:
        return self.process.wait(within)


def line(process: "subprocess.Popen[str]") -> str:
    """The first line of standard output, empty when it has none in time."""
    assert process.stdout
    ready = select.select([process.stdout], [], [], PATIENCE)[0]
    return process.stdout.readline() if ready else ""


def processes() -> Iterator[tuple[int, int, str]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                text = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                yield int(name), int(text[1]), text[0]


def ticks(pid: int) -> int:
    """CPU time spent, in hundredths of a second."""
    with suppress(OSError):
        text = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        return int(text[11]) + int(text[12])
    return 0


def alive(pid: int) -> bool:
    return any(known == pid and mode not in "ZX" for known, _, mode in processes())


def until(what: Callable[[], Any], within: float) -> float:
    """Wait until it is so, and tell how long it took."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > within:
            raise AssertionError(f"not within {within} s: {what.__name__}")
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    (folder / "photos").mkdir()
    Image.new("RGB", (400, 267), "red").save(folder / "photos" / "small.jpg")
    pixels = np.random.default_rng(7).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photos" / "noise.jpg", quality=60)
    return folder


def start(
    *arguments: object, environment: dict[str, str] | None = None, log: Any = subprocess.PIPE
) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIPSGATE_")}
    kept["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "vipsgate", "serve", *map(str, arguments)],
        env=kept | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # an interrupt for its group must not reach pytest
    )


@contextmanager
def serving(folder: Path, *flags: object, **environment: str) -> Iterator[Server]:
    log = folder.parent / f"log-{time.monotonic_ns()}"
    settings = {f"VIPSGATE_{name}": value for name, value in environment.items()}
    arguments = (folder, "--port", 0, "--admin-port", 0, "--renderers", 2, "--no-cache", *flags)
    with log.open("w") as file:
        process = start(*arguments, environment=settings, log=file)
    try:
        yield Server(process, log)
    finally:
        noted = log.read_text()  # before the kill, which a renderer that starts may complain of
        process.kill()
        process.wait(PATIENCE)
        assert process.stdout
        process.stdout.close()
    assert "Traceback" not in noted, noted


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    """For the tests that leave it as it was."""
    with serving(root) as one:
        yield one
        one.signal(signal.SIGTERM)
        assert one.ended() == 0


# -- start -------------------------------------------------------------------------------------


def test_ready_line_names_the_ports(server: Server) -> None:
    assert server.port != server.admin_port
    assert server.get(QUICK).status == 200
    assert server.admin("/healthz").status == 200
    assert server.admin("/readyz").status == 200
    assert len(server.renderers()) == 3


def test_the_admin_port_is_not_the_public_one(server: Server) -> None:
    assert server.get("/healthz").status in (403, 404, 501)
    assert server.admin(QUICK).status == 404


def test_the_front_never_has_libvips(server: Server) -> None:
    for number in range(20):
        assert server.get(f"{QUICK}/rotate,{number}").status == 200
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "uvloop" in maps
    assert not re.findall(r"\S*(?:vips|cffi)\S*\.so\S*", maps)


def refused(*arguments: object, **environment: str) -> tuple[int, str, str]:
    settings = {f"VIPSGATE_{name}": value for name, value in environment.items()}
    with start(*arguments, environment=settings) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, out, err


WRONG = [
    ("[server]\nports = 80\n", {}, ["server.ports"]),
    ("[servers]\nport = 80\n", {}, ["servers"]),
    ("[server]\nport = 70000\n", {}, ["server.port", "70000"]),
    ("[server]\nrequest_timeout = 0\n", {}, ["server.request_timeout", "0"]),
    ("[server]\nqueue = 'many'\n", {}, ["server.queue", "many"]),
    ("[image]\nshrink = 'some'\n", {}, ["image.shrink", "some"]),
    ("[limits]\nframes = -1\n", {}, ["limits.frames", "-1"]),
    ("[buckets.photos]\nacl = 'open'\n", {}, ["buckets.photos.acl", "open"]),
    ("[server\n", {}, ["wrong.toml"]),
    ("", {"SERVER__PORTS": "80"}, ["ports"]),
    ("", {"SERVER__QUEUE": "-1"}, ["server.queue", "-1"]),
    ("", {"SERVICE__QUEUE": "1"}, ["VIPSGATE_SERVICE__QUEUE"]),
    ("", {"STORE__URL": "ftp://host/x"}, ["store.url", "ftp://host/x"]),
]


@pytest.mark.parametrize(
    ("text", "environment", "named"), WRONG, ids=[" ".join(row[2]) for row in WRONG]
)
def test_wrong_configuration_is_named(
    tmp_path: Path, text: str, environment: dict[str, str], named: list[str]
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    root = [] if "STORE__URL" in environment else [tmp_path]
    status, out, err = refused(*root, "--config", file, **environment)
    assert (status, out) == (2, "")
    assert all(name in err for name in named), err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "ROOT"),
        (("/no/such/folder",), "/no/such/folder"),
        ((__file__,), __file__),
        (("/tmp", "--prot", "80"), "--prot"),
        (("/tmp", "--port", "http"), "http"),
        (("/tmp", "--port", "-1"), "server.port = -1"),
        (("/tmp", "--renderers", "-1"), "server.renderers = -1"),
        (("/tmp", "--config", "/no/such.toml"), "/no/such.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], named: str) -> None:
    status, out, err = refused(*arguments)
    assert (status, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_in_use_is_told(server: Server, root: Path, flag: str) -> None:
    ports = {"--port": 0, "--admin-port": 0, flag: server.port}
    flags = [word for pair in ports.items() for word in pair]
    status, out, err = refused(root, *flags, "--renderers", 1)
    assert (status, out) == (1, "")
    assert str(server.port) in err
    assert "Traceback" not in err


# -- end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_at_once(root: Path, number: int) -> None:
    with serving(root) as server:
        assert server.get(QUICK).status == 200
        children = server.renderers()
        with socket.create_connection(("127.0.0.1", server.port)):  # one that never asks
            server.signal(number)
            assert server.ended(5) == 0
        assert not any(map(alive, children))
        assert server.process.stdout
        assert server.process.stdout.read() == ""  # the ready line was all


@pytest.mark.parametrize("whole_group", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_what_is_under_way_is_finished(root: Path, whole_group: bool) -> None:
    with serving(root) as server, Threads(6) as threads:
        answers = [threads.submit(server.get, path) for path in others(6)]
        server.busy(2)
        if whole_group:
            os.killpg(server.process.pid, signal.SIGINT)
        else:
            server.signal(signal.SIGTERM)
        until(lambda: not accepts(server.port), 1)
        admin = server.admin("/readyz")
        assert (admin.status, admin.body) == (503, b"draining\n")
        for answer in [future.result() for future in answers]:
            assert answer.status == 200
            with Image.open(io.BytesIO(answer.body)) as image:
                assert image.size == (1600, 1200)
                image.load()
        assert server.ended(3) == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionError:
        return False
    return True


def test_a_large_answer_is_finished(root: Path) -> None:
    """It is still being sent when the word to end comes."""
    with serving(root) as server, closing(server.asked(WHOLE)) as link:
        head = link.recv(1024)
        server.signal(signal.SIGTERM)
        until(lambda: not accepts(server.port), 1)
        data = head + b"".join(iter(lambda: link.recv(1 << 16), b""))
        assert data.endswith((root / "photos" / "noise.jpg").read_bytes())
        assert server.ended(3) == 0


@pytest.mark.parametrize("seconds", [2, 0])
def test_nothing_is_waited_for_longer_than_said(root: Path, seconds: int) -> None:
    with serving(root, SERVER__DRAIN_SECONDS=str(seconds)) as server, Threads(8) as threads:
        for path in others(8, SLOWER):
            threads.submit(server.tried, path)
        server.busy(2)
        begun = server.signal(signal.SIGTERM)
        assert server.ended(PATIENCE) == 0
        assert time.monotonic() - begun < seconds + 4


def test_renderers_die_with_the_front(root: Path) -> None:
    with serving(root) as server, Threads(1) as threads:
        threads.submit(server.tried, SLOWER)
        server.busy(1)
        children = server.renderers()
        assert len(children) == 3
        server.signal(signal.SIGKILL)
        until(lambda: not any(map(alive, children)), 1)


# -- renderers that die ------------------------------------------------------------------------


def test_a_renderer_killed_at_work_is_not_noticed(root: Path) -> None:
    with serving(root) as server, Threads(1) as threads:
        before = server.renderers()
        answer = threads.submit(server.get, SLOWER)
        (victim, *_) = server.busy(1)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(set(server.renderers()) - {victim}) == len(before), 1)
        assert answer.result().status == 200
        assert server.get(QUICK).status == 200


def test_all_renderers_killed_at_once(root: Path) -> None:
    """Only answers that were under way may fail, and the service is there again within 2 s."""
    with serving(root) as server, Threads(8) as threads:
        answers = [threads.submit(server.tried, path) for path in others(8)]
        server.busy(2)
        before = server.renderers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        until(lambda: len(set(server.renderers()) - set(before)) == 3, 2)
        found = [future.result() for future in answers]
        assert set(found) <= {200, 503}
        assert found.count(503) <= 2
        assert server.get(QUICK).status == 200
        assert server.admin("/readyz").status == 200
        assert time.monotonic() - begun < PATIENCE


# -- clients -----------------------------------------------------------------------------------


def test_clients_that_leave_leave_nothing_behind(root: Path) -> None:
    with serving(root) as server:
        server.get(QUICK)
        files = Path(f"/proc/{server.process.pid}/fd")
        before = len(list(files.iterdir()))
        for number in range(30):
            link = server.asked(SLOW if number % 2 else SLOWER)
            time.sleep(0.02 * (number % 3))
            link.close()
        begun = time.monotonic()
        assert server.get(QUICK).status == 200
        assert time.monotonic() - begun < 5
        assert server.admin("/readyz").status == 200
        until(lambda: len(list(files.iterdir())) <= before, 2)
        until(lambda: len(server.renderers()) == 3, 1)
        until(server.quiet, 4)  # all that was asked for would take 13 s of CPU


def test_a_client_that_takes_nothing_holds_no_renderer(root: Path) -> None:
    with serving(root, "--renderers", 1) as server:
        links = [server.asked(path) for path in others(4)]
        for link in links:
            assert link.recv(64).startswith(b"HTTP/1.1 200")  # and not a byte more
        assert server.get(QUICK).seconds < 1
        for link in links:
            link.close()


def test_more_than_is_taken_on_is_refused_at_once(root: Path) -> None:
    with serving(root, "--renderers", 1, SERVER__QUEUE="2") as server, Threads(12) as threads:
        answers = list(threads.map(server.get, others(12)))
        assert {answer.status for answer in answers} == {200, 503}
        assert 3 <= sum(answer.status == 200 for answer in answers) <= 4
        for answer in answers:
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.code == "CpuLimitExceeded"
                assert answer.headers["content-type"] == "application/xml"
                assert answer.seconds < 0.3
        assert server.get(QUICK).status == 200


def test_ready_tells_of_a_full_queue(root: Path) -> None:
    options = {"SERVER__QUEUE": "1", "SERVER__REQUEST_TIMEOUT": "60"}
    with serving(root, "--renderers", 1, **options) as server, Threads(3) as threads:
        # for a heavy picture nobody would be kept waiting: there is a spare renderer
        answers = [threads.submit(server.get, SLOWER)]
        until(lambda: b'permits_in_use{lane="heavy"} 1' in server.admin("/metrics").body, PATIENCE)
        assert server.admin("/readyz").status == 200
        with standing_still(server.renderers()):  # else a picture may be ready before it is seen
            answers += [threads.submit(server.get, text) for text in (LONGEST_QUICK, QUICK)]
            until(lambda: server.admin("/readyz").body == b"queue full\n", PATIENCE)
            assert server.admin("/healthz").status == 200
            assert server.get(WHOLE).status == 200  # no renderer is needed for that
        assert [future.result().status for future in answers] == [200] * 3
        assert server.admin("/readyz").status == 200


def test_deadline_is_told_over_http(root: Path) -> None:
    with serving(root, SERVER__REQUEST_TIMEOUT="0.5") as server:
        answer = server.get(SLOWER)
        assert (answer.status, answer.code) == (503, "CpuLimitExceeded")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.seconds < 0.5 + 0.6
        assert server.get(QUICK).status == 200
        until(lambda: len(server.renderers()) == 3, 1.5)


# -- reload ------------------------------------------------------------------------------------


def test_the_configuration_is_read_again(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "vipsgate.toml"
    file.write_text("[buckets.photos]\nacl = 'private'\n")
    with serving(root, "--config", file) as server:
        assert server.get(QUICK).status == 403
        file.write_text("[buckets.photos]\nacl = 'public-read'\n")
        server.signal(signal.SIGHUP)
        until(lambda: server.get(QUICK).status == 200, 2)
        children = server.renderers()
        for broken in ("[buckets.photos]\nacl = 'sesame'\n", "[buckets", "[server]\nqueue = -1\n"):
            length = server.log.stat().st_size
            file.write_text(broken)
            server.signal(signal.SIGHUP)
            until(lambda length=length: server.log.stat().st_size > length, 2)
            assert server.get(QUICK).status == 200
        file.unlink()
        server.signal(signal.SIGHUP)
        assert server.get(QUICK).status == 200
        file.write_text("[buckets.photos]\nacl = 'private'\n")
        server.signal(signal.SIGHUP)
        until(lambda: server.get(QUICK).status == 403, 2)
        assert server.renderers() == children
        server.signal(signal.SIGTERM)
        assert server.ended(3) == 0
