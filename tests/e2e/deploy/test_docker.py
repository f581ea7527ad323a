"""deploy/docker: the Dockerfile's own steps and command, without an engine; the compose file.

The steps run in folders that stand for the stages, with this machine's /usr read-only in place of
the base image; what they say is taken from the Dockerfile, word for word.
"""

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from vipsgate import settings

yaml = pytest.importorskip("yaml", reason="pip install -e '.[test]'")
dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="pip install -e '.[test]'")

PORT, ADMIN = 8080, 8081  # that the image exposes
# of this machine's own, for pip
PASSED = [
    name for name in os.environ if re.match("PIP_|SSL_CERT_|REQUESTS_CA|.*_proxy$|.*_PROXY$", name)
]
# of the base image
ENVIRONMENT = {"PATH": "/base:/usr/local/bin:/usr/bin:/bin", "HOME": "/root"}
FOLDERS = (
    "base",
    "proc",
    "dev",
    "tmp",
    "root",
    "opt",
    "srv",
    "src",
    "var/cache",
    "var/lib",
    "run",
    "pip",
)
# of /etc: what name resolution, certificates and the dynamic linker look at
ETC = (
    *("resolv.conf", "hosts", "nsswitch.conf", "ld.so.cache", "passwd", "group"),
    *("ssl", "ca-certificates", "pip.conf"),
)
ENTER = """
set -e
cd {root}
mount --bind /usr usr && mount -o remount,bind,ro usr
[ {base} = /usr ] || {{ mount --bind {base} .{base} && mount -o remount,bind,ro .{base}; }}
mount --bind /dev dev
mount -t proc proc proc
{mounts}
"""


@dataclasses.dataclass
class Stage:
    """A stage of the Dockerfile, and the folder that stands for it."""

    root: Path
    environment: dict[str, str] = dataclasses.field(default_factory=lambda: dict(ENVIRONMENT))
    arguments: dict[str, str] = dataclasses.field(default_factory=dict)
    user: str = "0:0"
    command: list[str] = dataclasses.field(default_factory=list)
    health: list[str] = dataclasses.field(default_factory=list)
    volumes: list[str] = dataclasses.field(default_factory=list)
    ports: set[int] = dataclasses.field(default_factory=set)

    def __post_init__(self):
        for name in (*FOLDERS, "usr", "etc", sys.base_prefix[1:]):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        (self.root / "base" / "python").symlink_to(os.path.realpath(sys.executable))
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                (self.root / name).symlink_to(os.readlink(f"/{name}"))
        for name in ETC:
            path = Path("/etc", name)
            if path.is_dir():
                shutil.copytree(path, self.root / "etc" / name, symlinks=True)
            elif path.exists():
                shutil.copy(path, self.root / "etc" / name)

    def script(self, words, mounts="", environment=None, options=""):
        """Shell text that enters the stage and does there what ``words`` say."""
        said = {**self.environment, **(environment or {})}
        rows = " ".join(shlex.quote(f"{name}={value}") for name, value in said.items())
        entered = ENTER.format(root=self.root, base=sys.base_prefix, mounts=mounts)
        command = " ".join(map(shlex.quote, words))
        # the loader of this machine must not be told of the image's LD_PRELOAD
        return f"{entered}exec {options} chroot {self.root} env -i {rows} {command}\n"

    def run(self, text):
        """What RUN does: in a shell, as root."""
        if text.startswith("apt-get "):
            wanted = re.search(r"--no-install-recommends (.*?) &&", text)[1].split()
            for package in wanted:
                if subprocess.run(["dpkg", "-s", package], capture_output=True).returncode:
                    pytest.skip(f"needs {package}: apt-get install {package}")
            return
        passed = {name: os.environ[name] for name in PASSED} | {"PIP_CACHE_DIR": "/pip"}
        cache = subprocess.run(
            [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True
        ).stdout.strip()
        mounts = f"mount --bind {cache} pip\n" if os.path.isdir(cache) else ""
        for name in ("PIP_FIND_LINKS",):  # wheels of this machine
            if os.path.isdir(links := passed.get(name, "")):
                mounts += f"mkdir -p .{links} && mount --bind {links} .{links}\n"
        script = self.script(["sh", "-c", text], mounts, passed | self.arguments)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def steps(deploy):
    """The Dockerfile's rows."""
    parser = dockerfile_parse.DockerfileParser(fileobj=io.BytesIO())
    parser.content = (deploy / "docker" / "Dockerfile").read_text()
    return [
        (row["instruction"], row["value"])
        for row in parser.structure
        if row["instruction"] != "COMMENT"
    ]


def copied(context, stages, stage, words):
    """COPY, from the checkout or from a stage before."""
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    into = stage.root / target.lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        place = into / found.name if target.endswith("/") else into
        place.parent.mkdir(parents=True, exist_ok=True)
        # hard links stand for copies of what a stage before has made
        copy = os.link if source is not context else shutil.copy2
        if found.is_dir():
            left = shutil.ignore_patterns("__pycache__")
            shutil.copytree(
                found, place, symlinks=True, ignore=left, copy_function=copy, dirs_exist_ok=True
            )
        else:
            copy(found, place)


def build(deploy, folder):
    """Do what the Dockerfile says; the last stage."""
    stages, stage = {}, None
    for instruction, value in steps(deploy):
        words = shlex.split(value)
        if instruction == "FROM":
            name = words[2] if words[1:2] == ["AS"] else f"{len(stages)}"
            stage = stages[name] = Stage(folder / name)
        elif instruction == "RUN":
            stage.run(value)
        elif instruction == "COPY":
            copied(deploy.parent, stages, stage, words)
        elif instruction == "ENV":
            stage.environment |= dict(word.split("=", 1) for word in words)
        elif instruction == "ARG" and stage:
            stage.arguments |= dict([value.split("=", 1)])
        elif instruction == "USER":
            stage.user = value
        elif instruction == "CMD":
            stage.command = json.loads(value)
        elif instruction == "HEALTHCHECK":
            stage.health = json.loads(value[value.index("CMD ") + 4 :])
        elif instruction == "VOLUME":
            stage.volumes = json.loads(value)
        elif instruction == "EXPOSE":
            stage.ports = set(map(int, words))
        else:
            assert instruction in ("ARG", "STOPSIGNAL"), instruction
    return stage


LOOPBACK = """
import fcntl, socket, struct
with socket.socket() as line:  # SIOCSIFFLAGS: IFF_UP
    fcntl.ioctl(line, 0x8914, struct.pack("16sH14x", b"lo", 1))
"""
ASK = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    sys.stdout.buffer.write(answer.read())
"""
TOLD = """
import glob, os
print(os.getuid(), os.getgid(), os.getgroups())
front = open("/proc/1/maps").read()
print("jemalloc" in front)
for folder in ("/", "/opt/vipsgate", "/usr", "/etc", "/srv/images"):
    try:
        open(f"{folder}/x", "w")
        print(folder, "can be written")
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def image(deploy, tmp_path_factory):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare: run as root, apt-get install util-linux")
    tried = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False)
    if tried.returncode:
        pytest.skip("needs a kernel that gives namespaces: run on a machine of one's own")
    folder = tmp_path_factory.mktemp("docker")
    yield build(deploy, folder)
    shutil.rmtree(folder)  # half a gigabyte


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_steps_and_the_command(image, root, tmp_path):
    assert image.ports == {PORT, ADMIN}
    pictures = tmp_path / "images"
    (pictures / "photos").mkdir(parents=True)
    shutil.copy(root / "examplebucket" / "example.jpg", pictures / "photos")
    for path in (pictures, *pictures.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (volume,) = image.volumes
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, *map(int, image.user.split(":")))
    mounts = (
        f"mount -t tmpfs tmpfs tmp && chmod 1777 tmp\n"
        f"mount --bind {image.root}{volume} .{volume} && mount --bind {cache} .{volume}\n"
        f"mount --bind {pictures} srv/images && mount -o remount,bind,ro srv/images\n"
        f"{sys.executable} -c {shlex.quote(LOOPBACK)}\n"
    )
    # a read-only root, as with `docker run --read-only`
    itself = f"mount --bind {image.root} {image.root} && cd {image.root}\n"
    freeze = f"mount -o remount,bind,ro {image.root}\n"
    options = "setpriv --no-new-privs --bounding-set=-all,+setuid,+setgid,+sys_chroot"
    script = image.script(image.command, mounts + freeze, options=options)
    script = itself + script.replace(
        f"chroot {image.root}", f"chroot --userspec={image.user} --groups= {image.root}"
    )
    process = subprocess.Popen(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = process.stdout.readline()
        assert ready, process.stderr.read()
        assert ready == f"vipsgate ready on http://0.0.0.0:{PORT} (admin http://0.0.0.0:{ADMIN})\n"
        (front,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

        def inside(words):
            rows = [f"{name}={value}" for name, value in image.environment.items()]
            user = image.user.split(":")
            enter = ["nsenter", "-t", front, "-m", "-n", "-p", "-r", "-S", user[0], "-G", user[1]]
            return subprocess.run(
                [*enter, "env", "-i", *rows, *words], capture_output=True, check=False
            )

        url = f"http://127.0.0.1:{PORT}/photos/example.jpg?x-oss-process=image/resize,w_100"
        for text, kind in (
            ("", "JPEG"),
            ("/format,webp", "WEBP"),
            ("/watermark,text_5p2t", "JPEG"),
        ):
            got = inside(["python", "-c", ASK, url + text])
            assert got.returncode == 0, got.stderr
            made = Image.open(io.BytesIO(got.stdout))
            assert (made.format, made.size) == (kind, (100, 67))
        healthy = inside(image.health)
        assert healthy.returncode == 0, healthy.stderr
        told = inside(["python", "-c", TOLD]).stdout.decode()
        assert told == "10001 10001 []\nTrue\n"
        checked = inside(["vipsgate", "check"])
        assert checked.returncode == 0, checked.stdout.decode()
        assert b"PATH" not in checked.stdout
        until = time.monotonic() + 5
        while not [path for path in cache.rglob("*/*/*") if path.is_file()]:
            assert time.monotonic() < until, "nothing is kept"
            time.sleep(0.05)
        os.kill(int(front), signal.SIGTERM)  # as `docker stop`
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_the_context_has_what_is_copied_and_no_more(deploy):
    rows = (deploy / "docker" / "Dockerfile.dockerignore").read_text().split("\n")
    allowed = {row[1:] for row in rows if row.startswith("!")}
    wanted = set()
    for instruction, value in steps(deploy):
        if instruction == "COPY" and not value.startswith("--from"):
            wanted |= set(shlex.split(value)[:-1])
    assert wanted == allowed
    assert rows[1] == "*"
    assert all((deploy.parent / name).exists() for name in wanted)


# -- compose ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose(deploy):
    return yaml.safe_load((deploy / "docker" / "compose.yaml").read_text())


def test_the_compose_file_is_one(deploy, tmp_path):
    def judge(path):
        words = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
        code = "import sys; from check_jsonschema import main; sys.argv[1:] = sys.argv[2:]; main()"
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = judge(deploy / "docker" / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = (deploy / "docker" / "compose.yaml").read_text().replace("read_only: true", "ro: true")
    (tmp_path / "compose.yaml").write_text(wrong)
    assert judge(tmp_path / "compose.yaml").returncode == 1


def test_the_services_fit_each_other(deploy, compose):
    services = compose["services"]
    folder = deploy / "docker"
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (folder / source).exists(), source
            else:
                assert source in compose["volumes"]
        assert not set(service.get("depends_on", ())) - set(services)
    built = services["vipsgate"]["build"]
    context = (folder / built["context"]).resolve()
    assert (context / built["dockerfile"]).samefile(folder / "Dockerfile")
    assert (folder / "nginx-node.conf").read_text().count(f"server vipsgate:{PORT} ") == 1
    assert "ports" not in services["vipsgate"]  # the admin port least of all
    assert services["vipsgate"]["read_only"] is services["nginx"]["read_only"] is True


def test_the_settings_of_the_compose_file_can_be_loaded(deploy, compose):
    service = compose["services"]["vipsgate"]
    folder = deploy / "docker"
    own = settings.load(folder / "image.toml", {})
    loaded = settings.load(folder / "vipsgate.toml", {})
    assert loaded.server == own.server
    assert (loaded.server.host, loaded.server.port) == ("0.0.0.0", PORT)
    assert loaded.server.admin_port == ADMIN
    place = dict(row for row in steps(deploy) if row[0] == "COPY" and "image.toml" in row[1])[
        "COPY"
    ]
    assert f"./vipsgate.toml:{place.split()[-1]}:ro" in service["volumes"]
    bucket = loaded.store.url.removeprefix("s3://")
    assert f"-name {bucket}'" in compose["services"]["bucket"]["command"][0]
    assert loaded.cache.dir == own.cache.dir == "/var/cache/vipsgate"
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > loaded.server.drain_seconds
    endpoint = service["environment"]["AWS_ENDPOINT"]
    port = endpoint.rpartition(":")[2]
    s3 = compose["services"]["s3"]
    assert f"-s3.port={port}" in s3["command"]
    (mounted,) = s3["configs"]
    assert f"-s3.config={mounted['target']}" in s3["command"]
    (identity,) = json.loads(compose["configs"][mounted["source"]]["content"])["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": service["environment"]["AWS_ACCESS_KEY_ID"],
            "secretKey": service["environment"]["AWS_SECRET_ACCESS_KEY"],
        }
    ]


def test_nginx_of_the_compose_file(deploy, compose, serving, root, proxying):
    """With the files that it mounts, as they lie in the container."""
    mounted = dict(
        volume.split(":")[:2]
        for volume in compose["services"]["nginx"]["volumes"]
        if volume.startswith(".")
    )
    assert mounted["../nginx/vipsgate"] == "/etc/nginx/vipsgate"
    with serving(root) as site:
        node = (deploy / "docker" / "nginx-node.conf").read_text()
        here = node.replace("vipsgate:8080", f"127.0.0.1:{site.port}")
        ordinary = (deploy / "nginx" / "vipsgate" / "node.conf").read_text()
        more = {
            "vipsgate/node.conf": {
                ordinary.replace("127.0.0.1:8080", f"127.0.0.1:{site.port}"): here
            }
        }
        with proxying(site.port, more) as nginx:
            there = dataclasses.replace(site, port=nginx.port)
            assert there.get("example.jpg", "image/resize,w_100").picture.size == (100, 67)
