"""What deploy/ is proven with: its own files, with nothing changed in them but ports and paths."""

import contextlib
import dataclasses
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support.certificates import certificate

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
PATIENCE_S = 20
MAIN = """
{user}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    include {folder}/mime.types;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include conf.d/*.conf;
}}
"""


@pytest.fixture(scope="session")
def deploy():
    """The folder that is proven here."""
    return DEPLOY


@dataclasses.dataclass
class Nginx:
    """A running nginx.

    Attributes:
        folder: What stands for /etc/nginx, with the logs and the cache.
        port: Of http.
        tls_port: Of https.
        process: The master.
    """

    folder: Path
    port: int
    tls_port: int
    process: subprocess.Popen

    @property
    def errors(self):
        return (self.folder / "error.log").read_text()

    @property
    def log(self):
        return (self.folder / "access.log").read_text()

    def kept(self):
        """The names of what its cache has."""
        found = []
        for path in (self.folder / "cache").rglob("*"):
            with contextlib.suppress(OSError):  # a folder, or one that gets its name just now
                key = path.read_bytes().partition(b"\nKEY: ")[2].partition(b"\n")[0]
                found.append(key.decode())
        return found


def free_ports(count):
    """Ports that nobody has just now, all different."""
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(socket.socket()) for _ in range(count)]
        for line in lines:
            line.bind(("127.0.0.1", 0))
        return [line.getsockname()[1] for line in lines]


def lasting_ports(count):
    """Ports that nobody has just now, nor is given by the kernel as the near end of a line.

    Whoever leaves such a port and comes back finds it free.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in random.sample(range(first // 2, first), 50 * count):
        with contextlib.suppress(OSError), socket.socket() as line:
            line.bind(("127.0.0.1", port))
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError("there are no free ports")


def substituted(text, rows):
    """The text of a configuration with other values; each must stand in it."""
    for old, new in rows.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


def laid_out(folder, upstream, ports, more, user):
    """deploy/nginx as it would lie in /etc/nginx, with these ports; ``more``: file -> rows."""
    http, tls, status = ports
    shutil.copytree(DEPLOY / "nginx", folder, dirs_exist_ok=True)
    (folder / "mime.types").write_text("types { }\n")
    certificate(folder / "tls")
    rows = {
        "conf.d/vipsgate.conf": {
            "listen 80 ": f"listen 127.0.0.1:{http} ",
            "listen 127.0.0.1:8082": f"listen 127.0.0.1:{status}",
            "/var/cache/nginx/vipsgate": folder / "cache",
        },
        "conf.d/vipsgate.tls.conf": {"listen 443 ": f"listen 127.0.0.1:{tls} "},
        "vipsgate/node.conf": {"127.0.0.1:8080": f"127.0.0.1:{upstream}"},
        "vipsgate/site.conf": {"/var/log/nginx": folder},
        "vipsgate/tls.conf": {"/etc/nginx/tls": folder / "tls"},
    }
    for file, others in more.items():
        rows.setdefault(file, {}).update(others)
    for file, changes in rows.items():
        path = folder / file
        path.write_text(substituted(path.read_text(), changes))
    user = f"user {user};" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    return folder / "nginx.conf"


@pytest.fixture(scope="session")
def nginx_binary():
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        pytest.skip("needs nginx: apt-get install nginx")
    return found


@contextlib.contextmanager
def _proxying(binary, folder, upstream, more, user="root"):
    ports = free_ports(3)
    command = [binary, "-c", str(laid_out(folder, upstream, ports, more, user)), "-e", "stderr"]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "[warn]" not in tried.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[0])):
                break
            assert process.poll() is None, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield Nginx(folder, ports[0], ports[1], process)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="session")
def proxying(nginx_binary, tmp_path_factory):
    """``with proxying(port, {file: {old: new}}) as nginx``: deploy/nginx in front of a server.

    Its folder is one of pytest's, and its workers run as root; or another ``folder`` and ``user``.
    """
    return lambda upstream, more=None, folder=None, **options: _proxying(
        nginx_binary, folder or tmp_path_factory.mktemp("nginx"), upstream, more or {}, **options
    )


@pytest.fixture(scope="session")
def ports():
    """``ports(3)``: so many that nobody has just now."""
    return free_ports


@pytest.fixture(scope="session")
def kept_ports():
    """``kept_ports(3)``: so many that stay free also while nobody listens there."""
    return lasting_ports
