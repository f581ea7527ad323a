"""The servers that are compared, how each is started, and what to install where one is missing.

Rule: two processes or workers each, no cache of results, the qualities of :data:`QUALITIES`, JPEG
with plain Huffman tables and not progressive where that can be said. Everything else is left as it
comes, an encoder's effort above all: a rival runs as its users run it. All read the same folder.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pictures

JPEG = {"jpg": "jpeg"}  # as some call it
HERE = Path(__file__).resolve().parent
PROCESSES = 2  # of each server; vipsgate has a front besides, nginx a master that does nothing
QUALITIES = {"jpg": 80, "webp": 80, "avif": 60}  # by format, of each server; ours by default
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_image_filter_module.so")  # where Debian has it


@dataclass(frozen=True, slots=True)
class Task:
    """What a server is started for.

    Attributes:
        root: Folder with the bucket.
        work: Folder for the server's own files.
        port: To listen on.
        job: What every request asks for.
        programs: Where those lie that may be anywhere, by name; of sharp, the folder below which
            ``node_modules/sharp`` lies.
    """

    root: Path
    work: Path
    port: int
    job: pictures.Job
    programs: Mapping[str, str]

    def program(self, name: str) -> str | None:
        """The executable of that name."""
        return shutil.which(self.programs.get(name) or name)

    @property
    def quality(self) -> int | None:
        """Of the result; ``None`` where it loses nothing."""
        return QUALITIES.get(self.job.format)

    @property
    def bucket(self) -> Path:
        """The folder with the pictures."""
        return self.root / pictures.BUCKET

    @property
    def width(self) -> int:
        """Of the result. The others are told nothing else: with a height too, some would crop."""
        return self.job.made[0]


@dataclass(frozen=True, slots=True)
class Start:
    """How a server is run.

    Attributes:
        command: Program and arguments.
        path: Path and query of a picture, with ``{}`` for the file's name.
        version: A command that tells it.
        env: Variables on top of ours.
    """

    command: list[str]
    path: str
    version: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rival:
    """A row: who starts it (``None`` where it is not installed), and how to install it.

    Attributes:
        start: Gives how it is run.
        install: What to do where it gives nothing.
        formats: Formats that it writes, whatever the source is.
    """

    start: Callable[[Task], Start | None]
    install: str
    formats: tuple[str, ...] = ("jpg", "png", "webp", "avif")


def vipsgate(shrink: str, task: Task) -> Start:
    """Ourselves. Quality is a setting here: ``q_80`` would be relative, ``Q_80`` an upper bound."""
    python = [sys.executable, "-m", "vipsgate"]
    command = [*python, "serve", str(task.root), "--no-cache", "--port", str(task.port)]
    command += ["--admin-port", "0", "--renderers", str(PROCESSES)]
    return Start(
        command,
        f"/{pictures.BUCKET}/{{}}?x-oss-process={task.job.process}",
        [*python, "--version"],
        {"VIPSGATE_IMAGE__SHRINK": shrink, "VIPSGATE_IMAGE__JPEG_QUALITY": str(QUALITIES["jpg"])},
    )


def sharp(processes: int, task: Task) -> Start | None:
    """sharp behind node's http: ``bench/sharp.mjs``."""
    folder = Path(task.programs.get("sharp", "")).resolve()
    node, package = shutil.which("node"), folder / "node_modules" / "sharp" / "package.json"
    if not node or not package.is_file():
        return None
    script = [str(HERE / "sharp.mjs"), str(task.port), str(processes)]
    return Start(
        [node, *script, str(task.bucket), str(folder)],
        f"/{{}}?w={task.width}&f={task.job.format}&q={task.quality or 100}",
        [node, "-p", f"require({str(package)!r}).version"],
    )


def thumbor(task: Task) -> Start | None:
    """thumbor. It always optimises its Huffman tables."""
    program = task.program("thumbor")
    if not program:
        return None
    settings = {
        "LOADER": "thumbor.loaders.file_loader",
        "FILE_LOADER_ROOT_PATH": str(task.bucket),
        "STORAGE": "thumbor.storages.no_storage",
        "QUALITY": QUALITIES["jpg"],
        "WEBP_QUALITY": QUALITIES["webp"],
        "AVIF_QUALITY": QUALITIES["avif"],
        "PROGRESSIVE_JPEG": False,
        "ALLOW_UNSAFE_URL": True,
    }
    file = task.work / "thumbor.conf"
    file.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    command = [program, "--port", str(task.port), "--ip", "127.0.0.1", "--conf", str(file)]
    return Start(
        [*command, "--processes", str(PROCESSES), "--log-level", "error"],
        f"/unsafe/{task.width}x0/filters:format({JPEG.get(task.job.format, task.job.format)})/{{}}",
        [program, "--version"],
    )


def nginx(task: Task) -> Start | None:
    """nginx with image_filter, which is libgd."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not program or not NGINX_MODULE.is_file():
        return None
    temporary = "".join(
        f"  {name}_temp_path {task.work}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = task.work / "nginx.conf"
    file.write_text(f"""\
load_module {NGINX_MODULE};
daemon off;
user {getpass.getuser()};
worker_processes {PROCESSES};
pid {task.work}/nginx.pid;
events {{}}
http {{
{temporary}  access_log off;
  server {{
    listen 127.0.0.1:{task.port};
    root {task.bucket};
    location / {{
      image_filter resize {task.width} -;
      image_filter_jpeg_quality {QUALITIES["jpg"]};
      image_filter_interlace off;
      image_filter_buffer 32M;
    }}
  }}
}}
""")
    return Start(
        [program, "-p", str(task.work), "-e", "stderr", "-c", str(file)], "/{}", [program, "-v"]
    )


def imgproxy(task: Task) -> Start | None:
    """imgproxy."""
    program = task.program("imgproxy")
    if not program:
        return None
    return Start(
        [program],
        f"/insecure/rs:fit:{task.width}:0/q:{task.quality or 0}/plain/local:///{{}}"
        f"@{task.job.format}",
        [program, "version"],
        {
            "IMGPROXY_BIND": f"127.0.0.1:{task.port}",
            "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(task.bucket),
            "IMGPROXY_WORKERS": str(PROCESSES),
            "IMGPROXY_LOG_LEVEL": "error",
        },
    )


def imagor(task: Task) -> Start | None:
    """imagor."""
    program = task.program("imagor")
    if not program:
        return None
    command = [program, "-server-address", "127.0.0.1", "-port", str(task.port)]
    command += ["-imagor-unsafe", "-imagor-process-concurrency", str(PROCESSES)]
    command += ["-imagor-process-queue-size", "1000"]  # or it would refuse what is beyond
    command += ["-file-loader-base-dir", str(task.bucket), "-http-loader-disable"]
    filters = f"format({JPEG.get(task.job.format, task.job.format)})"
    if task.quality:
        filters += f":quality({task.quality})"
    return Start(
        command,
        f"/unsafe/{task.width}x0/filters:{filters}/{{}}",
        [program, "-version"],
    )


SHARP = "`npm install --prefix FOLDER sharp`, then `--sharp FOLDER`"
RIVALS: dict[str, Rival] = {
    "vipsgate, fast": Rival(partial(vipsgate, "fast"), ""),
    "vipsgate, balanced": Rival(partial(vipsgate, "balanced"), ""),
    "sharp, 2 processes": Rival(partial(sharp, PROCESSES), SHARP),
    "sharp, 1 process": Rival(partial(sharp, 1), SHARP),
    "thumbor": Rival(
        thumbor, "`pip install thumbor` into a venv, then `--thumbor VENV/bin/thumbor`"
    ),
    "nginx image_filter": Rival(
        nginx, "Debian's `nginx-light` and `libnginx-mod-http-image-filter`", ("jpg", "png")
    ),
    "imgproxy": Rival(imgproxy, "a Go program: build it, then `--imgproxy PROGRAM`"),
    "imagor": Rival(imagor, "a Go program: build it, then `--imagor PROGRAM`"),
    "weserv": Rival(lambda task: None, "a module that nginx has to be built with"),
}


def version(start: Start) -> str:
    """Its version, as it tells it."""
    said = subprocess.run(
        start.version, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    return found[0] if found else "of unknown version"
