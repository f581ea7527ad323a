"""Masters over HTTP: an answer has the same bytes whether one is kept, lost, or has never been."""

import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from support.server import standing_still

WIDTHS = (500, 300, 120, 80)
CHAINS = [f"image/resize,w_{width}" for width in WIDTHS]
CHAINS += ["image/resize,m_fill,w_90,h_90/format,png", "image/crop,w_900,h_900/resize,w_100"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("masters")
    (made / "photos").mkdir()
    picture = Image.radial_gradient("L").resize((2600, 1700)).convert("RGB")
    noise = Image.effect_noise((2600, 1700), 40).convert("RGB")  # so that it is large as a file
    Image.blend(picture, noise, 0.2).save(made / "photos" / "large.jpg", quality=90)
    return made


@pytest.fixture
def start(serving, folder, tmp_path):
    def starting(settings="[image]\nmasters = true"):
        (tmp_path / "vipsgate.toml").write_text(settings)
        words = ("--config", str(tmp_path / "vipsgate.toml"))
        return serving(folder, *words, "--cache-dir", str(tmp_path / "cache"))

    return starting


def ask(site, process):
    answer = site.ask(f"/photos/large.jpg?x-oss-process={process}")
    assert answer.status == 200
    assert answer.headers["X-Vipsgate-Cache"] == "miss"
    return answer.etag, answer.body


def purge(site):
    url = f"http://127.0.0.1:{site.admin_port}/cache/photos/large.jpg"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE")) as answer:
        assert answer.status == 204


def metrics(site):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.admin_port}/metrics") as answer:
        return answer.read().decode()


def counted(site):
    """How many masters have been made, and lent."""
    found = dict(re.findall(r'vipsgate_masters_total\{event="(\w+)"\} (\d+)', metrics(site)))
    return int(found["made"]), int(found["lent"])


def kept(tmp_path, count):
    """The files of masters, as soon as there are so many."""
    for _ in range(1000):
        files = [one for one in (tmp_path / "cache" / ".masters").rglob("*") if one.is_file()]
        if len(files) == count:
            return files
        time.sleep(0.02)
    raise AssertionError(f"{len(files)} masters, not {count}")


def waiting(site, count):
    """Return as soon as so many requests wait for their answers."""
    for _ in range(1000):
        if f"vipsgate_requests_in_progress {count}.0\n" in metrics(site):
            return
        time.sleep(0.02)
    raise AssertionError(f"not {count} requests")


def test_bytes_do_not_depend_on_what_is_kept(start, tmp_path, folder):
    with start() as site:
        first = [ask(site, CHAINS[0])]
        (file,) = kept(tmp_path, 1)  # it has its name a moment after the first answer
        first += [ask(site, chain) for chain in CHAINS[1:]]
        assert counted(site) == (1, len(CHAINS) - 1)
        purge(site)
        kept(tmp_path, 0)
        assert [ask(site, chain) for chain in reversed(CHAINS)] == first[::-1]
        (again,) = kept(tmp_path, 1)
        assert again != file  # it has another name since the purge
        purge(site)
        kept(tmp_path, 0)
        before = sum(counted(site))
        with ThreadPoolExecutor(len(CHAINS)) as clients:  # all at once
            with standing_still(site.pids()):
                answers = clients.map(lambda chain: ask(site, chain), CHAINS)
                waiting(site, len(CHAINS))
            assert list(answers) == first
        assert sum(counted(site)) - before < len(CHAINS)  # some went along with others
        kept(tmp_path, 1)
        overwrite(folder / "photos" / "large.jpg")
        for (tag, body), (old_tag, old) in zip(
            (ask(site, one) for one in CHAINS), first, strict=True
        ):
            assert tag != old_tag
            assert body != old
        overwrite(folder / "photos" / "large.jpg")  # as it was
    with start("[image]\nmasters = true\n[cache]\nmaster_bytes = 1000") as site:
        purge(site)
        assert [body for _, body in (ask(site, chain) for chain in CHAINS)] == [
            body for _, body in first
        ]
        kept(tmp_path, 0)


def overwrite(path):
    """Another picture of the same size; the second time, the first one."""
    other = path.with_suffix(".other")
    data = path.read_bytes()
    if other.exists():
        path.write_bytes(other.read_bytes())
        return
    other.write_bytes(data)
    with Image.open(path) as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_180)
    turned.save(path, quality=90)
    time.sleep(0.1)
