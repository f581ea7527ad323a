"""Pictures of one source asked at once: the bytes under an ETag are those of each alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

SIZE = 1601, 1203
CHAINS = [f"image/resize,w_{width}" for width in (80, 160, 320, 500, 640, 800)]
CHAINS += ["image/resize,m_fill,w_90,h_90/format,png", "image/crop,w_900,h_900/resize,w_100"]
SOURCES = ["large.jpg", "large.png", "large.webp"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sources for which a job waits until others of the same one are there."""
    made = tmp_path_factory.mktemp("together")
    (made / "photos").mkdir()
    picture = Image.radial_gradient("L").resize(SIZE).convert("RGB")
    noise = np.random.default_rng(5).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    picture = Image.blend(picture, Image.fromarray(noise), 0.3)
    picture.save(made / "photos" / "large.jpg", quality=90)
    picture.putalpha(Image.linear_gradient("L").resize(SIZE))
    picture.save(made / "photos" / "large.png", compress_level=1)
    picture.save(made / "photos" / "large.webp", quality=90, method=0)
    assert all((made / "photos" / name).stat().st_size > 600_000 for name in SOURCES)
    return made


def ask(site, name, process, **headers):
    answer = site.ask(f"/photos/{name}?x-oss-process={process}", headers=headers)
    assert answer.status == (206 if headers else 200)
    return answer.etag, answer.body


@pytest.mark.parametrize("name", SOURCES)
def test_two_replicas_agree(name, serving, folder):
    with serving(folder, "--no-cache") as one, serving(folder, "--no-cache") as other:
        alone = [ask(one, name, chain) for chain in CHAINS]
        start = threading.Barrier(len(CHAINS))

        def together(chain):
            start.wait()
            return ask(other, name, chain)

        with ThreadPoolExecutor(len(CHAINS)) as clients:
            assert list(clients.map(together, CHAINS)) == alone
        # the rest of a picture of the one is that of the other
        etag, whole = alone[0]
        rest = {"Range": "bytes=100-", "If-Range": etag}
        assert ask(other, name, CHAINS[0], **rest) == (etag, whole[100:])
