"""The pipeline of a renderer, without the server: files in, and what each took.

Rule: it runs in a child process, set up as a renderer is (one libvips thread, the allow-list of
loaders), but with no sandbox and no front. A line of JSON is a job, a line of JSON its answer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vipsgate.errors import OssError
from vipsgate.worker.main import ENVIRONMENT

ENDLESS = 1 << 40  # bytes, in the place of a limit


class Pipeline:
    """A child that renders files.

    Args:
        shrink: Setting ``image.shrink``.
        quality: Setting ``image.jpeg_quality``.
        lifted: Without the limits of a source's bytes and of a picture's memory.
    """

    def __init__(self, shrink: str = "balanced", quality: int = 80, *, lifted: bool = False):
        self._process = subprocess.Popen(
            [sys.executable, __file__, shrink, str(quality), str(int(lifted))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )

    def run(self, source: Path, process: str, result: Path | None = None) -> dict[str, Any]:
        """Render one file.

        Returns:
            ``cpu`` and ``wall`` in seconds, ``memory`` in MB at the peak above what the child had
            before and ``foreseen`` by its plan, ``bytes`` of the result, the loader's ``shrink``
            and the ``choice`` of a quality that was searched for; or only ``refused``, with the
            error's message.
        """
        assert self._process.stdin
        assert self._process.stdout
        job = {"source": str(source), "process": process, "result": result and str(result)}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the child died of {source.name} with {process}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def serve(shrink: str, quality: int, lifted: bool) -> None:
    """Be the child."""
    from vipsgate.image import plan, process, render
    from vipsgate.image.config import Limits, Rendering
    from vipsgate.image.fonts import Fonts
    from vipsgate.image.formats import probe
    from vipsgate.image.prepared import Overlay, RenderContext

    render.prepare()
    limits = Limits(source_bytes=ENDLESS, render_bytes=ENDLESS) if lifted else Limits()
    rendering = Rendering(shrink=shrink, jpeg_quality=quality)  # type: ignore[arg-type]

    def make(job: dict[str, Any]) -> dict[str, Any]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        idle, begun, cpu = _memory("VmRSS"), time.perf_counter(), time.process_time()
        asked = process.parse(job["process"], limits)
        with open(job["source"], "rb") as file:
            limits.check_bytes(os.fstat(file.fileno()).st_size)
            data = file.read()
        source = probe.probe(data)
        # every watermark is made of the source itself, whatever its name
        objects = {key: Overlay(key, lambda: data) for key in asked.needs()}
        context = RenderContext(limits, rendering, Fonts(), objects=objects)
        made = plan.make(source.header, asked.actions, limits, rendering)
        foreseen = made.memory + context.overlay_memory(made)
        descriptor = os.memfd_create("result")
        choice = render.render(source, made, descriptor, context)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
        size, peak = os.fstat(descriptor).st_size, _memory("VmHWM")
        if job["result"]:
            Path(job["result"]).write_bytes(os.pread(descriptor, size, 0))
        os.close(descriptor)
        return {
            "cpu": cpu,
            "wall": wall,
            "memory": peak - idle,
            "foreseen": foreseen / 1e6,
            "bytes": size,
            "shrink": made.shrink,
            "choice": list(choice or ()),
        }

    for line in sys.stdin:
        try:
            answer = make(json.loads(line))
        except OssError as error:
            answer = {"refused": error.message}
        print(json.dumps(answer), flush=True)


def _memory(field: str) -> float:
    """A field of ``/proc/self/status``, in MB (the kernel gives kB)."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")
