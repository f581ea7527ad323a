"""A fleet on one machine, and what becomes of its clients when parts of it go away.

SeaweedFS keeps the objects, three servers with caches of their own make the pictures, nginx as
deploy/nginx has it stands in front. Clients ask for warmed pictures all the time and never try
again; the stories are told in their order, and each leaves the fleet whole. nginx's own cache is
off: it would hide what the servers do.
"""

import asyncio
import collections
import contextlib
import dataclasses
import email
import functools
import http.client
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipsgate.gate import sign

pytestmark = pytest.mark.slow  # minutes, and another minute where the machine is busy

CONFIG = """
[server]
renderers = 1
[cache]
memory_bytes = 60000      # some of the hits are the disk's
disk_bytes = 50000000
[store]
timeout_seconds = 2
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
DOCUMENT = ".vipsgate/buckets/photos.json"
PUBLIC = {"acl": "public-read"}
SOURCES = [f"{number}.jpg" for number in range(48)]
WIDTHS = (60, 80, 100)
HEAVY = "heavy.jpg"  # of which each of these takes about a second
HEAVY_PATHS = [
    f"/photos/{HEAVY}?x-oss-process=image/{text}format,avif" for text in ("", "resize,w_1500/")
]
RATE = 48  # requests a second, which leave most of two cores idle
FACES = 8  # addresses that clients come from: nginx counts by address
ROUND_S = len(SOURCES) * len(WIDTHS) / RATE  # in which each picture is asked for once
AWAY_S = 5  # that the store is away
SEEN_S = 5  # within which an edit of a bucket's document is in force on every node
PATIENCE_S = 30  # for what takes a few seconds at most
MAX_TRIES = 10  # of one edit
LONGEST_S = 300  # of all stories; what asks longer has been forgotten
REPOSITORY = Path(__file__).parents[3]


def until(fact, seconds=PATIENCE_S):
    """Wait for it; what it was, once it is true."""
    end = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < end, f"{fact} has not come true in {seconds} s"
        time.sleep(0.05)
    return found


# -- those who ask ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a client has seen.

    Attributes:
        begun: When it asked, in seconds of the monotonic clock.
        seconds: Until it had the last byte.
        source: The object.
        path: With what is made of it.
        status: 0 where there was no whole answer.
        headers: In any case of letters.
        body: All of it; or what was wrong.
    """

    begun: float
    seconds: float
    source: str
    path: str
    status: int
    headers: email.message.Message
    body: bytes

    @property
    def hit(self):
        return self.headers.get("X-Vipsgate-Cache") == "hit"

    @property
    def identity(self):
        return self.headers.get("x-oss-request-id", "")


def path_of(source, width):
    return f"/photos/{source}?x-oss-process=image/resize,w_{width}"


async def ask(port, path, face=0):
    """One request on a connection of its own, once."""
    begun, source = time.monotonic(), path.removeprefix("/photos/").partition("?")[0]
    status, headers, body = 0, email.message.Message(), b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            near = (f"127.0.0.{1 + face}", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=near)
            with contextlib.closing(writer):
                lines = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                writer.write(lines.encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        first, _, rest = head.decode("latin-1").partition("\r\n")
        headers = email.message_from_string(rest)
        if len(body) == int(headers["Content-Length"]):
            status = int(first.split()[1])
        else:
            body = b"cut short: " + head
    except (OSError, TimeoutError, ValueError, TypeError, IndexError) as error:
        body = repr(error).encode()
    return Answer(begun, time.monotonic() - begun, source, path, status, headers, body)


def ask_all(port, paths, at_once=8):
    """All of them, in their order."""

    async def asking():
        gate = asyncio.Semaphore(at_once)

        async def one(number, path):
            async with gate:
                return await ask(port, path, number % FACES)

        return await asyncio.gather(*itertools.starmap(one, enumerate(paths)))

    return asyncio.run(asking())


class Load:
    """Asks for all pictures in turn, so many a second, whether or not they are answered."""

    def __init__(self, port, paths):
        self.answers, self._port, self._paths = [], port, paths
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        self._end.set()
        self._thread.join()

    async def _ask(self):
        begun, under_way = time.monotonic(), set()
        for number, path in zip(range(RATE * LONGEST_S), itertools.cycle(self._paths)):
            await asyncio.sleep(begun + number / RATE - time.monotonic())
            if self._end.is_set():
                break
            task = asyncio.create_task(ask(self._port, path, number % FACES))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(lambda done: self.answers.append(done.result()))
        await asyncio.gather(*under_way)

    def since(self, begun):
        """Answers to what was asked for from then on, in the order of the asking."""
        found = [answer for answer in list(self.answers) if answer.begun >= begun]
        return sorted(found, key=lambda answer: answer.begun)

    def a_round(self, begun):
        """The last answers since then, as many as there are pictures; none while there are less."""
        found = self.since(begun)
        return found[-len(self._paths) :] if len(found) >= len(self._paths) else []


def ratio(answers):
    return sum(answer.hit for answer in answers) / max(1, len(answers))


# -- those who answer ------------------------------------------------------------------------------


class Node:
    """One server: its place stays, its process comes and goes."""

    def __init__(self, folder, url, env, ports):
        self.folder, self.env = folder, {"VIPSGATE_STORE__URL": url, **env}
        self.port, self.admin_port = ports
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        folder.mkdir()
        (folder / "vipsgate.toml").write_text(CONFIG)

    @property
    def log(self):
        return (self.folder / "log.txt").read_text()

    def start(self):
        """Begin to start; :meth:`ready` waits."""
        command = [sys.executable, "-m", "vipsgate", "serve"]
        command += ["--config", str(self.folder / "vipsgate.toml")]
        command += ["--cache-dir", str(self.folder / "cache")]
        command += ["--port", str(self.port), "--admin-port", str(self.admin_port)]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VIPSGATE_")}
        with (self.folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=clean | self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ready(self):
        assert self.process.stdout.readline().startswith("vipsgate ready"), self.log
        self.process.stdout.close()

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self):
        """SIGKILL, to the front alone."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def renderers(self):
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def counted(self, name):
        """The sum of its metrics whose names, with their labels, begin so."""
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            rows = answer.read().decode().splitlines()
        return sum(float(row.split()[-1]) for row in rows if row.startswith(name))

    def call(self, method, query, body=b"", bucket="photos"):
        """A signed call of the API; its status and body."""
        words = [word.partition("=") for word in query.split("&") if word]
        asked = tuple((name, value) for name, _, value in words)
        request = sign.Request(method, bucket, "", asked, {})
        signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(line):
            line.request(method, f"/{bucket}/?{query}", body, signed)
            answer = line.getresponse()
            return answer.status, answer.read().decode()

    def put_style(self, name, width):
        body = f"<Style><Content>image/resize,w_{width}</Content></Style>".encode()
        return self.call("PUT", f"style&styleName={name}", body)

    def widths_of(self, styles):
        """Style -> width of a picture in it, of those that this node knows."""
        paths = [f"/photos/0.jpg?x-oss-process=style/{style}" for style in styles]
        pairs = zip(styles, ask_all(self.port, paths), strict=True)
        return {
            style: Image.open(io.BytesIO(answer.body)).width
            for style, answer in pairs
            if answer.status == 200
        }


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Cloud:
    """SeaweedFS in two processes, as it is run: those that keep, and the gateway that speaks S3."""

    def __init__(self, weed, listening, folder, ports):
        self._listening, self._folder = listening, folder
        names = [
            f"{one}.port{two}" for one in ("master", "volume", "filer") for two in ("", ".grpc")
        ]
        where = dict(zip(names, ports, strict=False))
        self._behind = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        self._behind += ["-filer", "-master.volumeSizeLimitMB=64", "-volume.max=0"]
        self._behind += [
            "-master.telemetry=false",
            *(f"-{name}={to}" for name, to in where.items()),
        ]
        self._filer, (self._port, grpc) = where["filer.port"], ports[len(names) :]
        self._gateway = [weed, "s3", f"-filer=127.0.0.1:{self._filer}.{where['filer.port.grpc']}"]
        self._gateway += ["-ip.bind=127.0.0.1", f"-port={self._port}", f"-port.grpc={grpc}"]
        self._gateway += ["-port.iceberg=0", "-port.lance=0"]
        self._open, self._front = contextlib.ExitStack(), contextlib.ExitStack()

    def __enter__(self):
        begin = self._open.enter_context
        begin(self._front)
        folder = self._folder / "behind"
        folder.mkdir()
        self._kept = begin(self._listening(lambda port: self._behind, folder, self._filer))
        self.begin()
        return self

    def __exit__(self, *error):
        self.go_on()
        self._open.close()

    def begin(self):
        """The gateway is there."""
        folder = self._folder / "gateway"
        folder.mkdir(exist_ok=True)
        start = self._listening(lambda port: self._gateway, folder, self._port)
        self.server = self._front.enter_context(start)

    def end(self):
        """Connections to the gateway are refused."""
        self._front.close()

    def hang(self):
        """Connections are made, and nothing comes."""
        self._signal(signal.SIGSTOP)

    def go_on(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        for one in (self._kept, self.server):
            if one.process.poll() is None:
                one.process.send_signal(number)


@dataclasses.dataclass
class Fleet:
    """All of it.

    Attributes:
        place: The beginning of names in the store's bucket.
        homes: Source -> address of the node that has it while all are there.
        bodies: Path -> the picture, of those that are asked for all the time.
    """

    cloud: Cloud
    nodes: list[Node]
    nginx: object
    load: Load
    place: str
    homes: dict[str, str] = dataclasses.field(default_factory=dict)
    bodies: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def failed(self, answers):
        """What was asked in vain, or answered with another picture than when all began."""
        return [
            (answer.status, answer.path, answer.body[:300])
            for answer in answers
            if answer.status != 200 or self.bodies.get(answer.path, answer.body) != answer.body
        ]

    def ways(self, answers):
        """Each one's source, and the addresses that nginx tried for it in turn, by its log."""
        wanted = {answer.identity: answer.source for answer in answers}

        def logged():
            rows = map(json.loads, self.nginx.log.splitlines())
            found = {row["id"]: row["node"] for row in rows if row["id"] in wanted}
            return len(found) == len(wanted) and found

        found = until(logged)
        return [(wanted[identity], found[identity].split(", ")) for identity in wanted]

    def nodes_of(self, answers):
        """Source -> addresses of the nodes that answered."""
        found = collections.defaultdict(set)
        for source, way in self.ways(answers):
            found[source].add(way[-1].split()[-1])
        return found

    def settle(self, begun, homes):
        """Wait for a round of hits only, each from where it belongs; when that round began."""

        def settled():
            found = self.load.a_round(begun)
            if not (found and ratio(found) == 1.0):
                return []
            where = self.nodes_of(found)
            return found if all(where[source] == {homes[source]} for source in homes) else []

        return until(settled)[0].begun

    def put(self, key, data):
        server = self.cloud.server
        server.client.put_object(Bucket=server.bucket, Key=f"{self.place}/{key}", Body=data)


@contextlib.contextmanager
def told(name):
    """A line of figures for deploy/README.md: pytest -rP shows it."""
    figures = {}
    yield figures
    print(f"fleet, {name}:", ", ".join(f"{key} {value}" for key, value in figures.items()))


@pytest.fixture(scope="module")
def pictures(photo):
    """Source -> bytes; each another one, so that none can be taken for another."""
    plain, found = np.asarray(photo(320, 212)), {}
    for number, source in enumerate(SOURCES):
        file = io.BytesIO()
        Image.fromarray(np.roll(plain, 5 * number, axis=1)).save(file, "JPEG", quality=85)
        found[source] = file.getvalue()
    return found


@pytest.fixture(scope="module")
def heavy(photo, saved):
    return saved(photo(1600, 1067), "JPEG", quality=80)


@pytest.fixture(scope="module")
def fleet(weed, listening, nginx_binary, proxying, kept_ports, pictures, heavy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    ports = kept_ports(14)
    with contextlib.ExitStack() as stack:
        (folder / "cloud").mkdir()
        cloud = stack.enter_context(Cloud(weed, listening, folder / "cloud", ports[:8]))
        url = cloud.server.place()
        nodes = [
            Node(folder / f"node{at}", url, cloud.server.env(), (ports[8 + at], ports[11 + at]))
            for at in range(3)
        ]
        hosts = {f"10.0.0.{11 + at}:8080": node.address for at, node in enumerate(nodes)}
        more = {
            "conf.d/vipsgate.conf": {"vipsgate/node.conf": "vipsgate/fleet.conf"},
            "vipsgate/fleet.conf": hosts,
            "vipsgate/site.conf": {"proxy_cache $vipsgate_zone": "proxy_cache off"},
        }
        nginx = stack.enter_context(proxying(nodes[0].port, more))
        paths = [path_of(source, width) for width in WIDTHS for source in SOURCES]
        load = Load(nginx.port, paths)
        made = Fleet(cloud, nodes, nginx, load, url.split("/", 3)[3])
        made.put(DOCUMENT, json.dumps(PUBLIC).encode())
        for source, data in pictures.items():
            made.put(f"photos/{source}", data)
        made.put(f"photos/{HEAVY}", heavy)
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        for node in nodes:
            node.ready()
        warm = ask_all(nginx.port, paths)
        assert not made.failed(warm)
        homes = made.nodes_of(warm)
        made.bodies = {answer.path: answer.body for answer in warm}
        assert len(set(made.bodies.values())) == len(paths)
        made.homes = {source: home for source, [home] in homes.items()}
        stack.callback(load.stop)
        load.start()
        yield made
        for node in nodes:
            assert "Traceback" not in node.log


# -- the stories -----------------------------------------------------------------------------------


def test_steady(fleet):
    with told("steady") as figures:
        begun = time.monotonic()
        answers = until(functools.partial(fleet.load.a_round, begun))
        assert not fleet.failed(answers)
        assert ratio(answers) == 1.0
        assert fleet.nodes_of(answers) == {source: {home} for source, home in fleet.homes.items()}
        assert set(fleet.homes.values()) == {node.address for node in fleet.nodes}
        figures |= {"asked": len(answers), "hits": ratio(answers)}


def test_a_node_dies_and_comes_back(fleet):
    info = ask_all(fleet.nginx.port, [f"/photos/{HEAVY}?x-oss-process=image/info"])
    [home] = fleet.nodes_of(info)[HEAVY]
    [node] = [node for node in fleet.nodes if node.address == home]
    part = {source for source, home in fleet.homes.items() if home == node.address}
    rest = {source: home for source, home in fleet.homes.items() if source not in part}
    with told("a node dies") as figures, futures.ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(ask_all, fleet.nginx.port, HEAVY_PATHS)
        until(lambda: node.counted("vipsgate_permits_in_use"))
        renderers = node.renderers()
        assert renderers
        begun = time.monotonic()
        node.kill()
        until(lambda: all(map(is_gone, renderers)))
        again = fleet.settle(begun, rest)
        assert not fleet.failed(under_way.result())
        for _, (first, *others) in fleet.ways(under_way.result()):
            assert first == node.address
            assert others
        gone = fleet.load.since(begun)
        assert not fleet.failed(gone)
        elsewhere = sum(len(way) > 1 for _, way in fleet.ways(gone))
        assert elsewhere
        where = fleet.nodes_of(gone)
        assert {source: where[source] for source in rest} == {
            source: {home} for source, home in rest.items()
        }
        anew = [answer for answer in gone if not answer.hit]
        assert {answer.source for answer in anew} <= part
        assert len({answer.path for answer in anew}) == len(anew) > 0  # once each, and kept
        figures |= {"asked": len(gone), "failed": 0, "passed on by nginx": elsewhere}
        figures |= {"hits at the worst": worst(gone)}
        figures |= {"seconds to a round of hits": round(again - begun, 1)}
    with told("it comes back") as figures:
        begun = time.monotonic()
        node.start()
        node.ready()
        back = fleet.settle(begun, fleet.homes)
        answers = fleet.load.since(begun)
        assert not fleet.failed(answers)
        assert ratio(answers) == 1.0  # the cache on its disk was still there
        figures |= {"asked": len(answers), "failed": 0, "hits": 1.0}
        figures |= {"seconds until it has its part": round(back - begun, 1)}


def worst(answers):
    """The lowest part of hits in any second."""
    begun = answers[0].begun
    seconds = itertools.groupby(answers, key=lambda answer: int(answer.begun - begun))
    return round(min(ratio(list(group)) for _, group in seconds), 2)


AWAY = {
    "hangs": (Cloud.hang, Cloud.go_on),
    "refuses": (Cloud.end, Cloud.begin),
}


@pytest.mark.parametrize("how", AWAY)
def test_the_store_is_away(fleet, how):
    leave, return_ = AWAY[how]
    # what nobody has asked for yet
    cold = (path_of(source, 200 + list(AWAY).index(how)) for source in itertools.cycle(SOURCES))
    with told(f"the store {how}") as figures:
        begun = time.monotonic()
        leave(fleet.cloud)
        probes = []
        while time.monotonic() < begun + AWAY_S:
            probes += ask_all(fleet.nginx.port, itertools.islice(cold, 3))
            time.sleep(0.2)
        end = time.monotonic()
        return_(fleet.cloud)
        until(lambda: not fleet.failed(ask_all(fleet.nginx.port, itertools.islice(cold, 6))))
        again = time.monotonic()
        fleet.settle(again, fleet.homes)
        answers = fleet.load.since(begun)
        assert not fleet.failed(answers)
        assert ratio(answers) == 1.0
        assert len(probes) >= 6
        for probe in probes:
            assert probe.status in (502, 504), probe
            assert int(probe.headers["Retry-After"]) >= 1
            assert probe.headers["Content-Type"] == "application/xml"
            assert f"<RequestId>{probe.identity}</RequestId>".encode() in probe.body
            assert probe.seconds < PATIENCE_S / 2
        figures |= {"asked": len(answers), "failed": 0, "hits": 1.0}
        figures |= {"slowest hit": round(max(answer.seconds for answer in answers), 2)}
        figures |= {"cold refused": len(probes)}
        figures |= {"slowest refusal": round(max(probe.seconds for probe in probes), 2)}
        figures |= {"seconds until all is made again": round(again - end, 1)}


def test_all_nodes_are_rolled(fleet):
    """One by one, with another setting: where the fleet shares what is made from now on."""
    client = fleet.cloud.server.client
    client.create_bucket(Bucket="shared")
    with told("a roll") as figures:
        begun = time.monotonic()
        for node in fleet.nodes:
            assert node.stop() == 0
            node.env["VIPSGATE_CACHE__URL"] = "s3://shared/made"
            node.start()
            node.ready()
        rolled = time.monotonic()
        again = fleet.settle(rolled, {})
        answers = fleet.load.since(begun)
        assert not fleet.failed(answers)
        figures |= {"asked": len(answers), "failed": 0, "hits at the worst": worst(answers)}
        figures |= {"hits": round(ratio(answers), 2), "seconds": round(rolled - begun, 1)}
        figures |= {"seconds to a round of hits": round(again - rolled, 1)}


def test_a_document_reaches_every_node(fleet):
    """Edited behind all of them, and by way of one."""
    with told("documents") as figures:
        begun = time.monotonic()
        style = {"aside": {"content": "image/resize,w_21"}}
        fleet.put(DOCUMENT, json.dumps({**PUBLIC, "styles": style}).encode())
        until(lambda: all(node.widths_of(style) == {"aside": 21} for node in fleet.nodes), SEEN_S)
        figures |= {"seconds behind all": round(time.monotonic() - begun, 1)}
        begun = time.monotonic()
        assert fleet.nodes[0].put_style("by-one", 22)[0] == 200
        assert fleet.nodes[0].widths_of(["by-one"]) == {"by-one": 22}
        # another one, that may not know of this yet, edits the same document
        assert fleet.nodes[1].put_style("by-another", 23)[0] == 200
        widths = {"by-one": 22, "by-another": 23, "aside": 21}
        until(lambda: all(node.widths_of(widths) == widths for node in fleet.nodes), SEEN_S)
        figures |= {"seconds by way of one": round(time.monotonic() - begun, 1)}
        assert not fleet.failed(fleet.load.since(begun))


def test_editors_at_the_same_moment_lose_nothing(fleet):
    """All three edit one document, as fast as they are answered.

    SeaweedFS waits for its own lock by whole seconds, which may be longer than these nodes wait for
    it; whoever is told so tries again, as a person would.
    """
    rounds, told = range(8), []
    together = threading.Barrier(len(fleet.nodes))

    def edit(at, node):
        for number in rounds:
            together.wait(PATIENCE_S)
            for _ in range(MAX_TRIES):
                told.append(node.put_style(f"style{number}-{at}", 10 + number))
                if told[-1][0] == 200:
                    break

    editors = [threading.Thread(target=edit, args=row) for row in enumerate(fleet.nodes)]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    assert {status for status, _ in told} <= {200, 502, 503, 504}, told
    assert sum(status == 200 for status, _ in told) == len(rounds) * len(fleet.nodes)
    wanted = {f"style{number}-{at}" for number in rounds for at in range(3)}
    for node in fleet.nodes:
        until(
            lambda node=node: all(name in node.call("GET", "style")[1] for name in wanted), SEEN_S
        )


def test_a_node_that_has_just_come_finds_what_is_made(fleet, kept_ports, tmp_path):
    client = fleet.cloud.server.client

    def shared():
        return client.list_objects_v2(Bucket="shared").get("KeyCount", 0)

    before = shared()
    paths = [path_of(source, 150) for source in SOURCES]
    made = ask_all(fleet.nginx.port, paths)
    assert not fleet.failed(made)
    assert not any(answer.hit for answer in made)
    until(lambda: shared() == before + len(paths))  # it is told beside the answer
    node = Node(tmp_path / "fourth", "", fleet.nodes[0].env, kept_ports(2))
    try:
        node.start()
        node.ready()
        found = ask_all(node.port, paths)
        assert not fleet.failed(found)
        assert ratio(found) == 1.0
        assert [answer.body for answer in found] == [answer.body for answer in made]
        render = 'vipsgate_stage_duration_seconds_count{stage="render"}'
        assert sum(one.counted(render) for one in fleet.nodes) >= len(paths)
        assert node.counted(render) == 0
        assert node.stop() == 0
    finally:
        node.kill()
    assert not fleet.failed(fleet.load.answers)
