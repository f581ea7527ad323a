"""How much sooner is a picture there that is rendered while its source comes from an object store?

The store is a stand-in on this machine that speaks as much of S3 as is needed, answers after 30 ms
and sends 20 MB/s. A cold picture, 800 wide, of a source of about 10 MB is asked for with
``store.streaming`` on and off, in turns; beside it stand the download alone and the rendering alone
(the same file in a local store). Peak memory is what the renderer holds on top of before, and what
of the front.

    python bench/streaming.py [--rounds 5] [--rate 20] [--json FILE] [--chart FILE]
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import chart
import report
import server

BUCKET = "photos"
LATENCY = 0.03  # seconds until an answer begins
PIECE = 64 << 10  # bytes that the store sends at a time
AIM = 1.1  # times the longer one of download and rendering
PROCESS = "x-oss-process=image/resize,w_800"
LISTED = f"""<?xml version="1.0"?>
<ListBucketResult><Name>box</Name><IsTruncated>false</IsTruncated>
<CommonPrefixes><Prefix>{BUCKET}/</Prefix></CommonPrefixes></ListBucketResult>"""
EMPTY = """<?xml version="1.0"?>
<ListBucketResult><Name>box</Name><IsTruncated>false</IsTruncated></ListBucketResult>"""
MISSING = "<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
WAYS = {"whole": "false", "streaming": "true"}  # -> store.streaming
ENV = {
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as S3 does: an object, the bucket's list, or that there is no such thing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as stores do; else the last packet waits 40 ms for an ACK
    files: Mapping[str, bytes] = {}
    rate = 20e6  # bytes a second, of each answer

    def log_message(self, format: str, *words: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        time.sleep(LATENCY)
        if "list-type" in query:
            top = "prefix=&" in f"{query}&" or "prefix" not in query
            return self._answer(200, (LISTED if top else EMPTY).encode())
        name = path.rpartition("/")[0].rpartition("/")[2]  # /box/photos/NAME/NUMBER
        if name not in self.files:
            return self._answer(404, MISSING.encode())
        return self._answer(200, self.files[name])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0123456789abcdef0123456789abcdef"')
        self.send_header("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
        self.end_headers()
        begun = time.perf_counter()
        for at in range(0, len(body) if self.command == "GET" else 0, PIECE):
            piece = body[at : at + PIECE]
            time.sleep(max(0.0, begun + (at + len(piece)) / self.rate - time.perf_counter()))
            self.wfile.write(piece)


@contextmanager
def store(files: Mapping[str, bytes], rate: float) -> Iterator[str]:
    """A store that has them, under any number; its address."""
    kind = type("Sized", (Handler,), {"files": files, "rate": rate})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()


def sources() -> dict[str, bytes]:
    """Pictures of about 10 MB; grain makes them as large as a camera's are."""
    import pyvips

    soft = pyvips.Image.gaussnoise(752, 502, mean=128, sigma=60, seed=1).resize(8)
    grain = pyvips.Image.gaussnoise(soft.width, soft.height, mean=0, sigma=14, seed=2)
    bands = [soft + grain, soft * 0.8 + grain * 0.7 + 20, soft * 0.6 + grain + 40]
    photo = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb").copy_memory()
    return {
        "JPEG": photo.jpegsave_buffer(Q=85),
        "progressive JPEG": photo.jpegsave_buffer(Q=85, interlace=True),
        "PNG": photo.resize(0.4).pngsave_buffer(compression=3),
    }


def fetch(url: str) -> float:
    """Seconds to the last byte."""
    host, _, path = url.removeprefix("http://").partition("/")
    begun = time.perf_counter()
    connection = http.client.HTTPConnection(host)
    connection.request("GET", f"/{path}")
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{url}: {answer.status}")
    connection.close()
    return time.perf_counter() - begun


def watched(running: server.Server, work: Callable[[], float]) -> dict[str, float]:
    """ms to the last byte and of CPU, and MB on top of before: of the renderers, of the front."""
    pids = [running.pid, *running.renderers()]
    for pid in pids:
        server.forget_peak(pid)
    held = {pid: server.resident(pid) for pid in pids}
    before = server.cpu(running.pid)
    seconds = work()
    spent = server.cpu_since(before, server.cpu(running.pid))
    more = {pid: server.peak(pid) - held[pid] for pid in pids}
    return {
        "wall": seconds * 1e3,
        "cpu": spent * 1e3,
        "renderer": max(more[pid] for pid in pids[1:]),
        "front": more[running.pid],
    }


def measure(rounds: int, rate: float, root: Path) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Kind of source -> what was measured -> runs."""
    files = {name.replace(" ", "-"): data for name, data in sources().items()}
    for name, data in files.items():
        (root / BUCKET / name).mkdir(parents=True)
        (root / BUCKET / name / "0").write_bytes(data)
    ways = [*WAYS, "download", "render"]
    found = {name: {way: list[dict[str, float]]() for way in ways} for name in files}
    with ExitStack() as stack:
        origin = stack.enter_context(store(files, rate))
        options = ["--no-cache", "--renderers", "2"]
        running = {
            way: stack.enter_context(
                server.Server(
                    "s3://box",  # type: ignore[arg-type]
                    options,
                    {**ENV, "AWS_ENDPOINT": origin, "VIPSGATE_STORE__STREAMING": value},
                )
            )
            for way, value in WAYS.items()
        }
        local = stack.enter_context(server.Server(root, options))
        for number in range(rounds + 1):
            for name, runs in found.items():
                one = {"download": {"wall": 1e3 * fetch(f"{origin}/box/{BUCKET}/{name}/0")}}
                path = f"{BUCKET}/{name}/0?{PROCESS}"
                one["render"] = watched(local, lambda path=path: fetch(f"{local.address}/{path}"))
                for way, its in running.items():
                    url = f"{its.address}/{BUCKET}/{name}/{number}?{PROCESS}"
                    one[way] = watched(its, lambda url=url: fetch(url))
                for way in ways if number else ():  # the first warms all of them
                    runs[way].append(one[way])
    return found


def median(runs: list[dict[str, float]], what: str) -> float:
    return statistics.median(run[what] for run in runs)


def rows_of(name: str, found: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    download, render = (median(found[way], "wall") for way in ("download", "render"))
    rows = []
    for way in WAYS:
        ratio = median(found[way], "wall") / max(download, render)
        rows.append(
            [
                f"{name}, {way}",
                f"{download:.0f}",
                f"{render:.0f}",
                report.cell([run["wall"] for run in found[way]], 0),
                f"{ratio:.2f}",
                f"{AIM:g}" if way == "streaming" else "",
                ("yes" if ratio <= AIM else "NO") if way == "streaming" else "",
                report.cell([run["cpu"] for run in found[way]], 0),
                report.cell([run["renderer"] for run in found[way]], 0),
                report.cell([run["front"] for run in found[way]], 0),
            ]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=20, help="MB/s that the store sends")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs here")
    chart.add_option(parser)
    asked = parser.parse_args()
    print(report.heading())
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.rounds, asked.rate * 1e6, Path(folder))
    head = ["source", "download, ms", "render, ms", "to the last byte, ms", "times the longer"]
    head += ["aim", "reached", "CPU, ms", "renderer, MB", "front, MB"]
    rows = [row for name, runs in found.items() for row in rows_of(name, runs)]
    title = f"A cold picture, 800 wide, of 10 MB from a store of {asked.rate:g} MB/s and 30 ms"
    print(report.table(title, head, rows))
    if asked.chart:
        shown = {
            way: [[run["wall"] for run in runs[way]] for runs in found.values()]
            for way in ("download", "render", *WAYS)
        }
        chart.bars(asked.chart, title, "ms to the last byte", list(found), shown, "")
    report.write(asked.json, found)


if __name__ == "__main__":
    main()
