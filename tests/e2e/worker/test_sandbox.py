"""The sandbox, seen from inside: what a child interpreter can still do after enter().

All rows run in one child, in the order of the table: an interpreter per row would take a
minute. The child reports what each row raised; the tests compare. The last tests start a
child each, since it dies or enters otherwise.
"""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pyvips

from vipsgate.worker import sandbox

ROOT = Path(__file__).parents[3]
# The standard library and the packages beside it; a folder that is not there must not matter.
READABLE = [*sorted({sysconfig.get_path(name) for name in ("stdlib", "purelib")}), "/not/there"]
FORMATS = (".jpg", ".png", ".webp", ".avif", ".gif")  # sent twice over, in this order
PATIENCE_S = 10  # for a child to do what takes it well under 1 s
MACHINE = os.uname().machine
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
COLUMNS = {machine: row[2] for machine, row in sandbox._MACHINES.items()}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no Linux kernel")

# What a renderer has loaded and opened before it enters. Arguments: socket, readable, rows, file,
# folder.
RENDERER = """
    import ctypes, errno, importlib, io, json, os, resource, signal, socket, struct, sys
    import threading, time
    import PIL.BmpImagePlugin, PIL.Image
    import pyvips
    from vipsgate.worker import sandbox

    link, tcp, libc = socket.socket(fileno=int(sys.argv[1])), socket.socket(), ctypes.CDLL(None)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    status = os.open("/proc/self/status", os.O_RDONLY)

    def threads():
        return int(os.pread(status, 1 << 16, 0).split(b"Threads:")[1].split()[0])

    def receive(suffix):
        text, (fd,), *_ = socket.recv_fds(link, 16, 1)
        assert text == suffix.encode()
        return fd

    def check(picture, data):
        assert (picture.width, len(data) > 200) == (64, True)
        assert pyvips.Image.new_from_buffer(data, "").avg() > 0

    def in_memory(suffix):
        fd = receive(suffix)
        small = pyvips.Image.thumbnail_buffer(os.pread(fd, 1 << 24, 0), 64)
        os.close(fd)
        check(small, small.write_to_buffer(suffix))

    def by_descriptor(suffix):
        fd, out = receive(suffix), os.memfd_create("out")
        small = pyvips.Image.thumbnail_source(pyvips.Source.new_from_descriptor(fd), 64)
        small.write_to_target(pyvips.Target.new_to_descriptor(out), suffix)
        check(small, os.pread(out, 1 << 24, 0))
        assert link.send(suffix.encode()) == len(suffix)
        os.close(fd), os.close(out)

    def bmp():
        file = io.BytesIO()
        PIL.Image.new("RGB", (9, 9), (1, 2, 3)).save(file, "BMP")
        assert PIL.Image.open(file).getpixel((8, 8)) == (1, 2, 3)

    def thread():
        seen = []
        one = threading.Thread(target=seen.append, args=(1,))
        one.start()
        one.join()
        assert seen == [1]

    def call(number, *args):
        library = ctypes.CDLL(None, use_errno=True)
        if library.syscall(number, *args) < 0:
            raise OSError(ctypes.get_errno(), "")

    def attempt(code):
        try:
            exec(code, globals())
        except OSError as refused:
            return errno.errorcode.get(refused.errno, repr(refused))
        except BaseException as failed:
            return repr(failed)
        return "ok"

    before, began = threads(), time.perf_counter()
    report = sandbox.enter(json.loads(sys.argv[2]), os.getppid())
    cost = time.perf_counter() - began
    print(json.dumps({
        "landlock": report.landlock, "seccomp": report.seccomp, "ms": cost * 1e3,
        "no_new_privs": report.no_new_privs,
        "rows": {name: attempt(code) for name, code in json.loads(sys.argv[3]).items()},
    }), flush=True)
    time.sleep(20)
"""

# The layer, name, code, what comes of it: "ok" or the name of the error number.
RAISED = "ValueError('not allowed to raise maximum limit')"
TABLE = [
    ("", "no thread but the first before enter", "assert before == 1", "ok"),
    ("", "jpeg in memory", "in_memory('.jpg')", "ok"),
    ("", "libvips made its threads after enter", "assert threads() > 1", "ok"),
    ("", "png in memory", "in_memory('.png')", "ok"),
    ("", "webp in memory", "in_memory('.webp')", "ok"),
    ("", "avif in memory", "in_memory('.avif')", "ok"),
    ("", "gif in memory", "in_memory('.gif')", "ok"),
    ("", "jpeg by descriptor", "by_descriptor('.jpg')", "ok"),
    ("", "png by descriptor", "by_descriptor('.png')", "ok"),
    ("", "webp by descriptor", "by_descriptor('.webp')", "ok"),
    ("", "avif by descriptor", "by_descriptor('.avif')", "ok"),
    ("", "gif by descriptor", "by_descriptor('.gif')", "ok"),
    ("", "bmp by Pillow", "bmp()", "ok"),
    ("", "thread", "thread()", "ok"),
    ("", "lazy import", "assert 'colorsys' not in sys.modules; import colorsys", "ok"),
    ("", "lazy import of a C module", "importlib.import_module('_lsprof')", "ok"),
    ("", "statm from inside", "assert int(os.pread(statm, 99, 0).split()[1]) > 0", "ok"),
    ("", "random bytes", "assert len(os.urandom(8)) == 8", "ok"),
    ("", "signal to itself", "signal.signal(10, lambda *_: 0); signal.raise_signal(10)", "ok"),
    ("", "kill itself with 0", "os.kill(os.getpid(), 0)", "ok"),
    ("", "own limits", "resource.getrlimit(resource.RLIMIT_NOFILE)", "ok"),
    ("limits", "no core", "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)", "ok"),
    ("limits", "memfd of 1 GiB", "os.ftruncate(os.memfd_create(''), 1 << 30)", "ok"),
    ("limits", "longer memfd", "os.ftruncate(os.memfd_create(''), (1 << 30) + 1)", "EFBIG"),
    ("limits", "4097 descriptors", "[tcp.dup() for _ in range(4097)]", "EMFILE"),
    ("limits", "raise a limit", "resource.setrlimit(7, (5000, 5000))", RAISED),
    ("landlock", "read /etc/passwd", "open('/etc/passwd')", "EACCES"),
    ("landlock", "read in /tmp", "open(sys.argv[4])", "EACCES"),
    ("landlock", "write in /tmp", "open(sys.argv[4], 'r+')", "EACCES"),
    ("landlock", "truncate in /tmp", "os.truncate(sys.argv[4], 0)", "EACCES"),
    ("landlock", "create in /tmp", "open(sys.argv[4] + '.new', 'w')", "EACCES"),
    ("", "list a readable folder", "assert os.listdir(sys.argv[5]) == []", "ok"),
    ("landlock", "create in a readable folder", "open(sys.argv[5] + '/new', 'w')", "EACCES"),
    ("landlock", "create a folder", "os.mkdir(sys.argv[4] + '.folder')", "EACCES"),
    ("landlock", "create a nameless file", "os.open('/tmp', os.O_TMPFILE | 1)", "EACCES"),
    ("landlock", "delete", "os.unlink(sys.argv[4])", "EACCES"),
    ("landlock", "list /", "os.listdir('/')", "EACCES"),
    ("landlock", "read /dev/zero", "open('/dev/zero')", "EACCES"),
    ("landlock", "the front's environment", "open(f'/proc/{os.getppid()}/environ')", "EACCES"),
    ("seccomp", "IPv4 socket", "socket.socket(socket.AF_INET)", "EPERM"),
    ("seccomp", "Unix socket", "socket.socket(socket.AF_UNIX)", "EPERM"),
    ("seccomp", "pair of sockets", "socket.socketpair()", "EPERM"),
    ("seccomp", "connect TCP", "tcp.connect(('127.0.0.1', 9))", "EPERM"),
    ("seccomp", "bind TCP", "tcp.bind(('127.0.0.1', 0))", "EPERM"),
    ("seccomp", "listen", "tcp.listen()", "EPERM"),
    ("seccomp", "fork", "os.fork()", "EPERM"),
    ("seccomp", "exec", "os.execv(sys.executable, [sys.executable])", "EPERM"),
    ("seccomp", "spawn", "os.posix_spawn(sys.executable, ['x'], {})", "EPERM"),
    ("seccomp", "subprocess", "import subprocess; subprocess.run([sys.executable])", "EPERM"),
    ("seccomp", "signal to the front", "os.kill(os.getppid(), 0)", "EPERM"),
    ("seccomp", "signal to the group", "os.kill(0, 0)", "EPERM"),
    ("seccomp", "the front's limits", "resource.prlimit(os.getppid(), 7)", "EPERM"),
    ("seccomp", "clone3", "call(435, None, 0)", "ENOSYS"),
    ("seccomp", "io_uring", "call(425, 1, None)", "EPERM"),
    ("seccomp", "change a mode", "os.chmod(sys.argv[4], 0o777)", "EPERM"),
    ("seccomp", "change a mode, newest call", "call(452, -1, None, 0, 0)", "EPERM"),
    ("seccomp", "change a time", "os.utime(sys.argv[4])", "EPERM"),
]


@dataclass
class Child:
    """The one child of the table: what it reported, and itself, still running."""

    process: subprocess.Popen[str]
    report: dict[str, Any]
    answers: list[bytes]


def start(code: str, *args: object, **options: Any) -> subprocess.Popen[str]:
    """Start a child interpreter on `code`."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)


def send_pictures(link: socket.socket) -> None:
    """Queue every picture a row asks for, each as a descriptor."""
    noise = pyvips.Image.gaussnoise(400, 300, sigma=40, mean=128).cast("uchar")
    picture = noise.bandjoin([noise.rot180(), noise.fliphor()]).copy(interpretation="srgb")
    for suffix in FORMATS * 2:
        held = os.memfd_create(suffix)
        os.write(held, picture.write_to_buffer(suffix))
        os.lseek(held, 0, os.SEEK_SET)
        socket.send_fds(link, [suffix.encode()], [held])
        os.close(held)


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    file = tmp_path_factory.mktemp("sandbox") / "there"
    file.write_text("there")
    rows = {name: code for _, name, code, _ in TABLE}
    front, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (folder := file.with_name("readable")).mkdir()
    readable = json.dumps([*READABLE, str(folder)])
    args = (inner.fileno(), readable, json.dumps(rows), file, folder)
    front.settimeout(PATIENCE_S)
    with front, start(RENDERER, *args, pass_fds=[inner.fileno()]) as process:
        inner.close()
        send_pictures(front)
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        answers = [front.recv(16) for _ in FORMATS]
        yield Child(process, report, answers)
        process.kill()


def need(report: dict[str, Any], layer: str) -> None:
    """Skip where the kernel does not offer the layer that a row is about."""
    if layer == "landlock" and not report["landlock"]:
        pytest.skip("this kernel has no Landlock")
    if layer == "seccomp" and not report["seccomp"]:
        pytest.skip(f"no seccomp filter for {MACHINE} on this kernel")


@pytest.mark.parametrize(
    ("layer", "name", "expected"),
    [pytest.param(layer, name, expected, id=name) for layer, name, _, expected in TABLE],
)
def test_row(child: Child, layer: str, name: str, expected: str) -> None:
    need(child.report, layer)
    assert child.report["rows"][name] == expected


def test_renderer_answers_over_the_inherited_socket(child: Child) -> None:
    assert child.answers == [suffix.encode() for suffix in FORMATS]


def test_report_tells_what_the_kernel_says(child: Child) -> None:
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    told = dict(re.findall(r"(NoNewPrivs|Seccomp):\t(\d)", status))
    assert child.report["no_new_privs"] == (told["NoNewPrivs"] == "1")
    assert not child.report["seccomp"] or told["Seccomp"] == "2"


def test_front_measures_and_ends_the_renderer(child: Child) -> None:
    # Last to use the child.
    pages = Path(f"/proc/{child.process.pid}/statm").read_text().split()[1]
    assert int(pages) > 0
    child.process.terminate()
    assert child.process.wait(PATIENCE_S) == -signal.SIGTERM


# What differs, the code of a child, how it ends, what it prints.
ENTER = "import os, sys, signal, threading; from vipsgate.worker import sandbox as s; "
ENDINGS = [
    ("the front is not the parent", "s.enter([], os.getppid() + 1); print(1)", 1, ""),
    ("entering twice", "s.enter([]); print(s.enter([]).seccomp)", 0, "True"),
    (
        "no Landlock",
        "real = s._syscall; "
        "s._syscall = lambda libc, n, *a: -1 if 444 <= n <= 446 else real(libc, n, *a); "
        "r = s.enter([]); print(r.landlock, r.seccomp, r.no_new_privs)",
        0,
        "0 True True",
    ),
    (
        "neither Landlock nor seccomp",
        "s._syscall = lambda *a: -1; r = s.enter([]); print(r.landlock, r.seccomp)",
        0,
        "0 False",
    ),
    (
        "a processor without a table",
        "os.uname = lambda: os.uname_result('abcde'); print(s.enter([]).seccomp)",
        0,
        "False",
    ),
    (
        "a thread before: outside Landlock, but under the filter",
        "wait = threading.Event(); says = []; "
        "t = threading.Thread(target=lambda: (wait.wait(), os.kill(os.getppid(), 0))); "
        "threading.excepthook = lambda hooked: says.append(hooked.exc_value.errno); t.start(); "
        "r = s.enter([]); wait.set(); t.join(); print(r.landlock, r.seccomp, says)",
        0,
        f"0 True [{errno.EPERM}]",
    ),
]


@pytest.mark.parametrize(
    ("code", "status", "printed"), [pytest.param(*row[1:], id=row[0]) for row in ENDINGS]
)
def test_ending(child: Child, code: str, status: int, printed: str) -> None:
    need(child.report, "seccomp")
    with start(ENTER + code) as process:
        assert process.communicate(timeout=PATIENCE_S)[0].strip() == printed
    assert process.returncode == status


def test_x32_call_kills(child: Child) -> None:
    need(child.report, "seccomp")
    if MACHINE != "x86_64":
        pytest.skip(f"{MACHINE} has no x32 calls")
    code = "import ctypes; libc = ctypes.CDLL(None); s.enter([]); libc.syscall(0x40000000 + 39)"
    with start(ENTER + code) as process:
        assert process.wait(PATIENCE_S) == -signal.SIGSYS


def test_renderer_dies_with_its_front() -> None:
    renderer = f"{ENTER}s.enter([], os.getppid()); print('in', flush=True); signal.pause()"
    front = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    with start(front, renderer) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        process.kill()
        began = time.monotonic()
        assert process.stdout.read() == ""  # the end: nobody holds the pipe any more
        assert time.monotonic() - began < PATIENCE_S


def test_other_systems_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sandbox.enter(["/"]) == sandbox.Report(landlock=0, seccomp=False, no_new_privs=False)


@pytest.mark.parametrize("machine", sorted(HEADERS))
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no {HEADERS[machine]} (linux-libc-dev)")
    told = re.findall(r"#define __NR_(\w+)\s+(\d+)\s", HEADERS[machine].read_text())
    header = {name: int(number) for name, number in told}
    tables = " ".join([sandbox._REFUSED, sandbox._MISSING, *(row[0] for row in sandbox._ONLY_IF)])
    names = set(re.findall(r"(\w+)/\d", tables))
    ours = sandbox._numbers(tables, COLUMNS[machine])
    newest = max(header.values())
    # A header older than the call cannot say; "-" must mean that it has no such call.
    assert {k: v for k, v in ours.items() if v <= newest} == {
        name: number for name, number in header.items() if name in names
    }


def verdict(machine: str, arch: int, number: int, first: int = 0) -> int:
    """Run the filter on one system call, as the kernel would."""
    words = {0: number, 4: arch, 16: first}
    program, at, accumulator = sandbox._program(machine, pid=77), 0, 0
    while True:
        code, yes, no, k = program[at]
        match code:
            case 0x20:
                accumulator = words[k]
            case 0x54:
                accumulator &= k
            case 0x15:
                at += yes if accumulator == k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case 0x06:
                return k
        at += 1


X86, ARM, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS


@pytest.mark.parametrize(
    ("machine", "arch", "number", "first", "expected"),
    [
        ("x86_64", X86, 0, 0, ALLOW),  # read
        ("x86_64", X86, 47, 0, ALLOW),  # recvmsg
        ("x86_64", X86, 41, 0, EPERM),  # socket
        ("x86_64", X86, 0x40000000, 0, KILL),  # read, x32
        ("x86_64", I386, 3, 0, KILL),  # read, 32-bit
        ("x86_64", X86, 435, 0, ENOSYS),  # clone3
        ("x86_64", X86, 56, 0x3D0F00, ALLOW),  # clone, as pthread_create calls it
        ("x86_64", X86, 56, 17, EPERM),  # clone, as fork calls it
        ("x86_64", X86, 56, 0x10010000, EPERM),  # clone, a thread in a new user namespace
        ("x86_64", X86, 62, 77, ALLOW),  # kill, itself
        ("x86_64", X86, 62, 78, EPERM),  # kill, another
        ("x86_64", X86, 302, 0, ALLOW),  # prlimit64, its own
        ("x86_64", X86, 302, 78, EPERM),  # prlimit64, another's
        ("aarch64", ARM, 63, 0, ALLOW),  # read
        ("aarch64", ARM, 212, 0, ALLOW),  # recvmsg
        ("aarch64", ARM, 198, 0, EPERM),  # socket
        ("aarch64", X86, 63, 0, KILL),
        ("aarch64", ARM, 435, 0, ENOSYS),  # clone3
        ("aarch64", ARM, 220, 0x3D0F00, ALLOW),  # clone, a thread
        ("aarch64", ARM, 220, 17, EPERM),  # clone, a process
        ("aarch64", ARM, 131, 77, ALLOW),  # tgkill, itself
        ("aarch64", ARM, 131, 78, EPERM),  # tgkill, another
    ],
)
def test_filter(machine: str, arch: int, number: int, first: int, expected: int) -> None:
    assert verdict(machine, arch, number, first) == expected
