"""``video/snapshot`` over HTTP: a renderer in its sandbox takes pictures of videos."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="pip install 'vipsgate[video]'")

BUCKET = "examplebucket"
SWELL_MB = 200  # above what a renderer takes for any picture


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    film: Callable[..., bytes],
) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("videos")
    bucket = root / BUCKET
    bucket.mkdir()
    wide = {"size": (960, 720), "count": 250, "gop": 50}
    (bucket / "demo.mp4").write_bytes(film(**wide))
    (bucket / "demo.mkv").write_bytes(film("matroska", "hevc", count=250))
    (bucket / "turned.mp4").write_bytes(film(size=(96, 64), count=5, turn=(90, False, False)))
    (bucket / "demo.ts").write_bytes(film("mpegts", count=5))
    (bucket / "plain.txt").write_text("no video")
    # 64 MB, three times what a picture may have; a free box of zeros behind the pictures
    small = film(count=250)
    size = (64 << 20) - len(small)
    (bucket / "large.mp4").write_bytes(small + size.to_bytes(4, "big") + b"free" + bytes(size - 8))
    with serving(root, renderers=1) as running:
        yield running


def hundreds(answer: Any, number: Callable[[np.ndarray], int]) -> int:
    return number(np.asarray(answer.picture.convert("RGB")))


def test_row_126(site: Any, number: Callable[[np.ndarray], int]) -> None:
    answer = site.get("demo.mp4", "video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast")
    assert (answer.status, answer.kind) == (200, "image/jpeg")
    assert (answer.picture.format, answer.picture.size) == ("JPEG", (800, 600))
    assert hundreds(answer, number) == 150  # the key frame of 6 s
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_row_127(site: Any, number: Callable[[np.ndarray], int]) -> None:
    answer = site.get("demo.mp4", "video/snapshot,t_7000,f_png,w_0,h_0")
    assert (answer.status, answer.kind) == (200, "image/png")
    assert (answer.picture.format, answer.picture.size) == ("PNG", (960, 720))
    assert hundreds(answer, number) == 175


def test_row_128(site: Any) -> None:
    answer = site.get("demo.mp4", "video/snapshot,t_7000,w_-800")
    assert (answer.status, answer.code, answer.ec) == (400, "InvalidArgument", "0053-00000104")


@pytest.mark.parametrize("key", ["demo.mp4", "demo.mkv", "large.mp4"])
def test_moments(key: str, site: Any, number: Callable[[np.ndarray], int]) -> None:
    for t, shown in ((0, 0), (40, 1), (79, 1), (5000, 125), (9960, 249), (10**8, 249)):
        answer = site.get(key, f"video/snapshot,t_{t}")
        assert (answer.kind, hundreds(answer, number)) == ("image/jpeg", shown), t


def test_turned(site: Any) -> None:
    assert site.get("turned.mp4", "video/snapshot,t_0").picture.size == (96, 64)
    assert site.get("turned.mp4", "video/snapshot,t_0,ar_auto").picture.size == (64, 96)


REFUSED = {
    # key, process -> status, code, a part of the message
    ("demo.mp4", "image/resize,w_100"): (400, "BadRequest", "video/snapshot makes a picture"),
    ("demo.mkv", "image/format,png"): (400, "BadRequest", "not a picture"),
    ("demo.mp4", "image/info"): (400, "BadRequest", "not a picture"),
    ("demo.mp4", "image/average-hue"): (400, "BadRequest", "not a picture"),
    ("plain.txt", "video/snapshot,t_1"): (400, "BadRequest", "is not a video of a known kind"),
    ("demo.ts", "video/snapshot,t_1"): (400, "BadRequest", "MP4 or MOV, Matroska or WebM"),
    ("demo.mp4", "video/snapshot"): (400, "MissingArgument", "snapshot needs t"),
    ("demo.mp4", "video/snapshot,t_1,w_961"): (400, "InvalidArgument", "from 0 to 960"),
    ("demo.mp4", "video/snapshot,t_1,h_721"): (400, "InvalidArgument", "from 0 to 720"),
    ("demo.mp4", "video/snapshot,t_1/resize,w_9"): (400, "InvalidArgument", "cannot be combined"),
    ("demo.mp4", "video/snapshot,t_1|image/resize,w_9"): (400, "InvalidArgument", "combined"),
    ("demo.mp4", "video/convert"): (501, "NotImplemented", "video/convert"),
    ("nothing.mp4", "video/snapshot,t_1"): (404, "NoSuchKey", ""),
}


@pytest.mark.parametrize("row", REFUSED, ids=" ".join)
def test_refused(row: tuple[str, str], site: Any) -> None:
    status, code, part = REFUSED[row]
    answer = site.get(*row)
    assert (answer.status, answer.code) == (status, code), answer.message
    assert part in answer.message


def test_etag_is_that_of_the_moment(site: Any) -> None:
    first = site.get("demo.mp4", "video/snapshot,t_40,f_jpg,w_0")
    again = site.get("demo.mp4", "video/snapshot,t_40")
    other = site.get("demo.mp4", "video/snapshot,t_80")
    assert first.etag == again.etag != other.etag
    assert first.body == again.body
    answer = site.get("demo.mp4", "video/snapshot,t_40", headers={"If-None-Match": first.etag})
    assert (answer.status, answer.body) == (304, b"")
    plain = site.get("demo.mp4")
    assert plain.etag != first.etag
    assert plain.kind == "video/mp4"


def test_memory_and_descriptors_come_back(site: Any) -> None:
    def held() -> list[tuple[int, int]]:
        rows = []
        for pid in site.pids():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            rows.append((pages * 4096 >> 20, len(list(Path(f"/proc/{pid}/task").iterdir()))))
        return rows

    for _ in range(5):
        site.get("demo.mp4", "video/snapshot,t_5000,f_png")
    time.sleep(1.5)  # an idle renderer trims
    before, pids = held(), site.pids()
    for at in range(60):
        more = ",ar_auto" if at % 2 else ""
        assert site.get("demo.mp4", f"video/snapshot,t_{at * 160},f_png{more}").status == 200
    time.sleep(1.5)
    assert site.pids() == pids
    for (memory, threads), (most, working) in zip(held(), before, strict=True):
        assert memory <= most + 16
        assert threads <= working  # FFmpeg has none of its own


def broken(data: bytes, count: int) -> Iterator[bytes]:
    """Cut anywhere, and bytes changed, most of them in the tables."""
    chance = random.Random(3)
    for at in range(count):
        made = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            anywhere, near = chance.randrange(len(made)), chance.randrange(min(3000, len(made)))
            place = anywhere if at % 3 == 0 else len(made) - 1 - near if at % 3 == 1 else near
            made[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        yield bytes(made[: chance.randrange(len(made))] if at % 4 == 0 else made)


@pytest.mark.parametrize("kind", [("mp4", "h264"), ("matroska", "h264"), ("mp4", "hevc")])
def test_hostile_files(kind: tuple[str, str], site: Any, film: Callable[..., bytes]) -> None:
    pids, path, seen = site.pids(), site.root / BUCKET / "hostile.bin", set()
    for at, data in enumerate(broken(film(*kind, count=60), 120)):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(path)
        answer = site.get("hostile.bin", f"video/snapshot,t_{at % 5 * 700}")
        assert (answer.status, answer.code) in (
            *((200, ""), (400, "BadRequest"), (400, "ImageTooLarge"), (403, "ImageDamage")),
        ), answer.body
        seen.add(answer.status)
    path.unlink()
    assert {200, 403} <= seen
    assert site.pids() == pids
    assert max(site.peaks().values()) < SWELL_MB


def test_a_key_frame_far_away(
    serving: Callable[..., Any], tmp_path: Path, film: Callable[..., bytes]
) -> None:
    """Much to be decoded behind a key frame: a clear refusal, and the next one is served."""
    (tmp_path / BUCKET).mkdir()
    slow = film(size=(960, 720), count=250, gop=50)
    (tmp_path / BUCKET / "slow.mp4").write_bytes(slow)
    settings = {"VIPSGATE_LIMITS__VIDEO_FRAMES": "20"}
    with serving(tmp_path, renderers=1, env=settings) as site:
        answer = site.get("slow.mp4", "video/snapshot,t_3950")
        assert (answer.status, answer.code) == (400, "BadRequest")
        assert "more than 20 pictures away; m_fast" in answer.message
        assert site.get("slow.mp4", "video/snapshot,t_3950,m_fast").status == 200


def test_a_deadline(
    serving: Callable[..., Any], tmp_path: Path, film: Callable[..., bytes]
) -> None:
    """The renderer stops by itself, between two pictures, and takes the next job."""
    (tmp_path / BUCKET).mkdir()
    slow = film(size=(960, 720), count=250, gop=250)
    (tmp_path / BUCKET / "slow.mp4").write_bytes(slow)
    settings = {"VIPSGATE_SERVER__REQUEST_TIMEOUT": "0.02"}  # decoding takes 0.08 or more
    with serving(tmp_path, renderers=1, env=settings) as site:
        pids = site.pids()
        answer = site.get("slow.mp4", "video/snapshot,t_9950")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        # a machine at its limit takes longer than the deadline for this one, too
        small = (site.get("slow.mp4", "video/snapshot,t_0,m_fast,w_90") for _ in range(50))
        assert any(answer.status == 200 for answer in small)
        assert site.pids() == pids
