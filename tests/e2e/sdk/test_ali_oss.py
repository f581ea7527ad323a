"""ali-oss for Node.js, as it is: V1 and V4, with a domain of its own, path style, and by default.

By default it connects to an address and names the bucket in Host.
"""

import base64
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

HERE = Path(__file__).parent
MODULES = os.environ.get("ALI_OSS_MODULES", HERE.parents[2] / ".venv/node/node_modules")
NODE = shutil.which("node")
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(
    not NODE or not (Path(MODULES) / "ali-oss").is_dir(),
    reason="needs node and ali-oss: npm install --prefix .venv/node ali-oss@6",
)


def size(text):
    return Image.open(io.BytesIO(base64.b64decode(text))).size


@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize("style", ["cname", "sldEnable", "default"])
def test_ali_oss(request, root, name, style, version):
    site = request.getfixturevalue("own_domain" if style == "cname" else "api")
    bucket = "own-domain" if style == "cname" else name
    # an address makes the client name the bucket in Host, whatever the style
    host = "127.0.0.1" if style == "default" else "localhost"
    endpoint = f"http://{host}:{site.port}"
    picture = root / "examplebucket" / "example.jpg"
    done = subprocess.run(
        [NODE, HERE / "ali_oss.js", MODULES, endpoint, bucket, style, version, picture],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    keys = ["copy.jpg", "dir/a b+c.jpg", "made/西湖.jpg"]
    assert said["put"] == said["saved"] == said["parts"] == said["gone"] == 200
    assert said["got"]
    assert said["big"]
    assert said["head"] == [200, "me", "image/jpeg"]
    assert size(said["small"]) == (100, 67)
    assert size(said["made"]) == (67, 100)
    assert said["listed"] == said["pages"] == keys
    assert said["acl"] == "public-read"
    assert said["decoded"]
    assert said["raw"]
    assert said["streamed"] == 200
    assert said["refused"] == "SignatureDoesNotMatch"
    assert said["more"] == [200, "public-read", "1"]
    assert said["copied"] == ["public-read", "max-age=7"]
    assert set(said["unhonoured"]) == {"NotImplemented"}
    assert said["linked"] == ["dir/a b+c.jpg", "Symlink"]
    assert said["lifecycle"] == "NoSuchLifecycle"
    assert (said["grown"], said["notAppendable"]) == ("123456", "ObjectNotAppendable")
    assert (said["tags"], said["untagged"]) == ({"a": "1", "b c": "x/y"}, {})
    assert said["folder"] == [200, 200]
    assert said["still"] == str(5 << 20)
    assert said["missing"] == "NoSuchKey"
    assert said["left"] == 0
    if style == "cname":
        assert said["declared"] == "AccessDenied"
    else:
        rules, heard = said["cors"]
        assert [rule["allowedOrigin"] for rule in rules] == [
            ["http://a.example", "http://*.b"],
            "*",
        ]
        assert rules[0]["allowedMethod"] == ["GET", "PUT"]
        assert (rules[0]["allowedHeader"], rules[0]["exposeHeader"]) == ("x-oss-*", "ETag")
        assert rules[0]["maxAgeSeconds"] == "60"
        assert heard == ("http://a.example" if style == "default" else heard)
        assert said["noCors"] == "NoSuchCORSConfiguration"
        assert said["referer"] == [True, ["http://www.example.com"]]
        assert (said["info"], said["bucketAcl"], said["buckets"]) == (
            bucket,
            "public-read",
            [bucket],
        )
    if style != "default":  # with an address the client makes no URL that leads to a bucket
        assert said["shown"] == 200
