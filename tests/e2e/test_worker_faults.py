"""kill -9 while something is being stored: afterwards it is the old or the new one, whole.

And when a server has started again, nothing of what was under way is left.
"""

import contextlib
import hashlib
import http.client
import io
import random
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from vipsgate.gate import sign

CONFIG = """
[[credentials]]
access_key_id = "key1"
access_key_secret = "secret1"
"""
KEY = sign.Credential("key1", "secret1")
BUCKET, NAME = "photos", "dir/object"
MEGABYTE = 1 << 20
LONGEST_S = 0.08  # after which the server is killed, at most; a whole put takes about 0.05


def ask(site, method, query=(), body=b"", key=NAME, **headers):
    """One signed request; ``None`` when the server was gone before it had answered."""
    request = sign.Request(method, BUCKET, key, tuple(query), {})
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    text = "&".join(f"{name}={value}" for name, value in query)
    line = site.connection()
    try:
        line.request(method, f"/{BUCKET}/{key}?{text}", body, signed | headers)
        answer = line.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        line.close()


def noise(number):
    return random.Random(number).randbytes(3 * MEGABYTE)


def put(site, number):
    data = noise(number)
    return (lambda: ask(site, "PUT", body=data)), data


def complete(site, number):
    data = noise(number)
    begun = ElementTree.fromstring(ask(site, "POST", [("uploads", "")])[1])
    upload = begun.findtext("UploadId")
    parts = ""
    for part in range(3):
        piece = data[part * MEGABYTE : (part + 1) * MEGABYTE]
        query = [("partNumber", str(part + 1)), ("uploadId", upload)]
        assert ask(site, "PUT", query, piece)[0] == 200
        etag = hashlib.md5(piece).hexdigest()
        parts += f"<Part><PartNumber>{part + 1}</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return (lambda: ask(site, "POST", [("uploadId", upload)], body)), data


def saveas(site, number):
    side = 300 + number % 50
    body = f"x-oss-process=image/resize,w_{side},limit_0/format,bmp|sys/saveas,o_ZGlyL29iamVjdA"
    query = [("x-oss-process", "")]
    return (lambda: ask(site, "POST", query, body.encode(), key="source.png")), side


def is_new(data, new):
    """Is it what was being stored? A picture is whole when it can be read to its end."""
    if isinstance(new, bytes):
        return data == new
    with contextlib.suppress(OSError):
        image = Image.open(io.BytesIO(data))
        image.load()
        return image.width == new
    return False


def leftovers(root):
    """Files of ours that belong to nothing that is going on."""
    ours = (path for path in root.rglob("*") if ".vipsgate" in path.parts and path.is_file())
    return [path for path in ours if "drafts" in path.parts or "uploads" in path.parts]


@pytest.mark.parametrize("begin", [put, complete, saveas])
@pytest.mark.parametrize(
    "times",
    [2, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["a-few", "many"],
)
def test_old_or_new_and_whole(serving, tmp_path, begin, times):
    root = tmp_path / "root"
    (root / BUCKET / "dir").mkdir(parents=True)
    Image.effect_noise((1000, 1000), 80).save(root / BUCKET / "source.png")
    (tmp_path / "vipsgate.toml").write_text(CONFIG)
    path = root / BUCKET / NAME
    path.write_bytes(b"the first")
    now, chance = b"the first", random.Random(7)
    seen = {"old": 0, "new": 0}
    for number in range(times):
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(AssertionError))  # it does not end by itself
            options = ("--config", str(tmp_path / "vipsgate.toml"))
            site = stack.enter_context(serving(root, *options, renderers=1))
            # what the last one has left is swept while the server starts, or soon after
            wait_until(lambda: begin is complete or not leftovers(root))
            call, new = begin(site, number)
            asking = threading.Thread(target=call)
            asking.start()
            time.sleep(chance.uniform(0, LONGEST_S))
            site.process.kill()
            asking.join()
        data = path.read_bytes()
        if data == now:
            seen["old"] += 1
        else:
            assert is_new(data, new)
            now = data
            seen["new"] += 1
    with serving(root, *options, renderers=1) as site:
        if begin is complete:  # those that were not completed can still be
            for upload in listed(site):
                assert ask(site, "DELETE", [("uploadId", upload)])[0] == 204
        wait_until(lambda: not leftovers(root))
        assert ask(site, "GET")[1] == now
    assert times < 100 or min(seen.values()) > 0, seen


def listed(site):
    query = [("uploads", "")]
    request = sign.Request("GET", BUCKET, "", tuple(query), {})
    signed = sign.sign_headers(KEY, request, now=time.time(), version=4, region="cn-hangzhou")
    root = ElementTree.fromstring(site.ask(f"/{BUCKET}/?uploads=", signed).body)
    return [item.findtext("UploadId") for item in root.iter("Upload")]


def wait_until(fact):
    end = time.monotonic() + 5
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)
