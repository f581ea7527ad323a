"""``vipsgate.transform`` gives, byte for byte, what a server answers; also its errors."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vipsgate

BUCKET = "examplebucket"


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


LOGO = f"watermark,image_{b64('panda.png?x-oss-process=image/resize,P_30')},g_nw,t_80"
TEXT = f"watermark,text_{b64('Łódź 西湖 2026')},type_{b64('fangzhengkaiti')},size_30,color_FF8000"
SAME = (
    # key, process
    ("example.jpg", "image/resize,w_200"),
    ("example.jpg", "image/resize,m_pad,w_100,h_100,color_FF0000/quality,q_50/interlace,1"),
    ("example.jpg", "image/crop,w_200,h_150,g_center/rounded-corners,r_20/format,png"),
    ("example.jpg", "image/rotate,30/blur,r_9,s_3/bright,20|image/sharpen,100/format,webp"),
    ("example.jpg", "image/resize,w_160/format,avif"),
    ("example.jpg", "image/resize,w_160/format,heic"),
    ("example.jpg", "image/resize,w_160/format,gif"),
    ("example.jpg", "image/resize,w_160/quality,auto"),
    ("example.jpg", f"image/resize,w_160/{LOGO}/format,webp/quality,bytes_3000"),
    ("example.jpg", "image/resize,w_160/quality,ssim_60/format,avif"),
    ("anim.webp", "image/quality,auto"),
    ("example.jpg", "image/indexcrop,x_100,i_1/contrast,-20/format,tiff"),
    ("example.jpg", f"image/{LOGO}"),
    ("example.jpg", f"image/resize,w_300/{TEXT}"),
    ("example.jpg", f"image/{TEXT}/{LOGO}/circle,r_100/format,png"),
    ("example.jpg", "image/info"),
    ("example.jpg", "image/average-hue"),
    ("f.jpg", "image/info"),
    ("f.jpg", "image/auto-orient,1/resize,w_100"),
    ("alpha.png", "image/resize,w_60"),
    ("deep.png", "image/resize,w_60/format,jpg"),
    ("example.webp", "image/average-hue"),
    ("example.bmp", "image/format,jpg"),
    ("example.avif", "image/resize,w_50/format,png"),
    ("anim.gif", "image/resize,w_60"),
    ("anim.gif", f"image/{TEXT}/rotate,90/format,webp"),
    ("anim.webp", f"image/{LOGO}/format,gif"),
    ("cmyk.jpg", "image/resize,w_90"),
    ("film.mp4", "video/snapshot,t_400"),
    ("film.mp4", "video/snapshot,t_400,f_png,w_30,m_fast,ar_auto"),
)
REFUSED = (
    ("example.jpg", "image/resize,w_a"),
    ("example.jpg", "image/slim,1"),
    ("example.jpg", "image/quality,bytes_100"),
    ("example.jpg", "image/quality,auto,Q_80"),
    ("example.jpg", "image/crop,x_4000"),
    ("example.jpg", "image/resize,m_fixed,w_16384,h_16384,limit_0"),
    ("example.jpg", f"image/watermark,image_{b64('nobody.png')}"),
    ("example.jpg", f"image/watermark,image_{b64('note.txt')}"),
    ("example.jpg", f"image/watermark,image_{b64('big21.jpg')}"),
    ("note.txt", "image/resize,w_9"),
    ("note.txt", f"image/watermark,image_{b64('nobody.png')}"),
    ("empty.jpg", "image/info"),
    ("truncated.jpg", "image/resize,w_200"),
    ("big21.jpg", "image/info"),
    ("film.mp4", "image/resize,w_9"),
    ("film.mp4", "video/snapshot,t_0,w_4000"),
    ("film.mp4", "video/snapshot"),
    ("example.jpg", "video/snapshot,t_0"),
    ("note.txt", "video/snapshot,t_0"),
)


@pytest.fixture(scope="module")
def objects(bodies: dict[str, bytes], film: Callable[..., bytes]) -> dict[str, bytes]:
    keys = {key for key, _ in SAME + REFUSED} | {"panda.png"}
    for name, extra in (("av", "video"), ("pillow_heif", "heif")):
        pytest.importorskip(name, reason=f"pip install 'vipsgate[{extra}]'")
    return {"film.mp4": film(count=25)} | {key: bodies[key] for key in keys & set(bodies)}


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, objects: dict[str, bytes]
) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("same")
    (root / BUCKET).mkdir()
    for key, data in objects.items():
        (root / BUCKET / key).write_bytes(data)
    with serving(root, renderers=1) as running:
        yield running


@pytest.mark.parametrize(("key", "process"), SAME)
def test_the_same_bytes(key: str, process: str, site: Any, objects: dict[str, bytes]) -> None:
    answer = site.get(key, process)
    assert answer.status == 200, answer.body
    picture = vipsgate.transform(objects[key], process, objects=objects)
    assert picture.mime == answer.kind
    assert picture.data == answer.body
    if picture.mime.startswith("image/") and picture.mime != "image/heic":
        assert (picture.width, picture.height) == answer.picture.size


LARGE = {  # of more bytes than a renderer reads at once: from its sandbox, on demand
    "jpg": {"quality": 95},
    "jpg in scans": {"quality": 95, "progressive": True},
    "png": {},
    "tiff": {"strip_size": 1 << 16},
    "webp": {"quality": 95, "method": 0},
    "bmp": {},
}


@pytest.mark.parametrize("name", LARGE)
def test_the_same_of_a_large_file(name: str, site: Any, saved: Any) -> None:
    noise = Image.effect_noise((1200, 900), 60).convert("RGB")
    kind = name.partition(" ")[0]
    options = LARGE[name] | ({"exif": b"Exif\0\0" + bytes(9000)} if kind == "jpg" else {})
    data = saved(noise, kind.upper().replace("JPG", "JPEG"), **options)
    assert len(data) > 256 << 10
    path = Path(site.root) / BUCKET / f"large.{kind}"
    path.write_bytes(data)
    for process in ("info", "crop,w_50,h_40", "crop,w_50,h_40,y_800", "resize,w_300", "rotate,90"):
        answer = site.get(path.name, f"image/{process}")
        assert answer.status == 200, answer.body
        assert answer.body == vipsgate.transform(data, f"image/{process}").data
    path.unlink()


@pytest.mark.parametrize(("key", "process"), REFUSED)
def test_the_same_errors(key: str, process: str, site: Any, objects: dict[str, bytes]) -> None:
    answer = site.get(key, process)
    with pytest.raises(vipsgate.OssError) as caught:
        vipsgate.transform(objects[key], process, objects=objects)
    error = caught.value
    assert (error.status, error.code, error.message, error.ec) == (
        answer.status,
        answer.code,
        answer.message,
        answer.ec,
    )


def test_the_same_from_many_threads(site: Any, objects: dict[str, bytes]) -> None:
    def made(row: tuple[str, str]) -> bytes:
        key, process = row
        return vipsgate.transform(objects[key], process, objects=objects).data

    expected = [site.get(*row).body for row in SAME]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(made, SAME * 2)) == expected * 2


def test_an_open_file_is_as_good_as_its_bytes(site: Any, objects: dict[str, bytes]) -> None:
    for key, process in (SAME[0], SAME[-1]):
        with (site.root / BUCKET / key).open("rb") as file:
            file.read(9)  # wherever it stands
            picture = vipsgate.transform(file.fileno(), process)
            assert (file.tell(), picture) == (9, vipsgate.transform(objects[key], process))


def test_explain_is_what_the_server_explains(site: Any, objects: dict[str, bytes]) -> None:
    for key, process in SAME[:12]:
        plan = vipsgate.explain(objects[key], process)
        assert json.loads(json.dumps(plan)) == plan
        if not process.endswith(("info", "average-hue")):
            picture = vipsgate.transform(objects[key], process, objects=objects)
            notes = {"notes": list(picture.notes)}  # also those of the fonts, which no plan has
            assert plan == {"process": plan["process"], **picture.plan.explain(), **notes}
