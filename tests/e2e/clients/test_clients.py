"""Official clients, as they are: the same list of calls in each, a row for each client and call.

A row holds for V1 and V4, for buckets named in the path and in the host, and for two keys, the
second with blanks, a plus, an ampersand, a percent sign, a hash, umlauts and Chinese. A program
prints what came of each; ``tests/e2e/clients/install`` builds those that need to be built.
"""

import itertools
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILT = Path(os.environ.get("CLIENTS", HERE.parents[2] / ".venv/clients"))
MODULES = Path(os.environ.get("ALI_OSS_MODULES", HERE.parents[2] / ".venv/node/node_modules"))
INSTALL = "run tests/e2e/clients/install"

OF_BUCKETS = ("bucket", "bucket-acl", "style", "referer")
OF_OBJECTS = (
    *("put", "get", "range", "head", "copy", "acl", "append", "tagging", "folder"),
    *("multipart", "upload", "download", "copy-parts", "list", "list-v2", "delimiter"),
    *("process", "presign", "presign-process", "saveas", "delete-many", "delete"),
)


@dataclass(frozen=True)
class Client:
    """One client and its program.

    Attributes:
        command: What runs the program.
        needs: What must be there, and how to get it.
        lacks: The calls that the client does not have.
        versions: The signatures that it makes.
        makes_buckets: Whether it can create the buckets that it works in.
    """

    command: tuple
    needs: dict
    lacks: tuple = ()
    versions: tuple = ("v1", "v4")
    makes_buckets: bool = True


JAVA, NODE = shutil.which("java") or "java", shutil.which("node") or "node"
OTHER_PYTHON = BUILT / "python/bin/python"
FILES = (*OF_BUCKETS, "acl", "tagging", "copy-parts", "process", "presign-process", "saveas")
CLIENTS = {
    "go-v1": Client((BUILT / "sdk-v1",), {BUILT / "sdk-v1": f"golang, then {INSTALL}"}),
    "go-v2": Client((BUILT / "sdk-v2",), {BUILT / "sdk-v2": f"golang, then {INSTALL}"}),
    "java-v1": Client(
        (JAVA, "-cp", f"{BUILT}/java/classes:{BUILT}/java/lib/*", "Client"),
        {Path(JAVA): "java", BUILT / "java/classes": f"a JDK and maven, then {INSTALL}"},
    ),
    "ali-oss": Client(
        (NODE, HERE / "node/ali_oss.js", MODULES),
        {
            Path(NODE): "node",
            MODULES / "ali-oss": "ali-oss: npm install --prefix .venv/node ali-oss@6",
        },
        lacks=("style", "download"),
    ),
    "oss2": Client((sys.executable, HERE / "python/oss2_program.py"), {}),
    "python-v2": Client((sys.executable, HERE / "python/v2_program.py"), {}),
    "opendal": Client(
        (OTHER_PYTHON, HERE / "python/opendal_program.py"),
        {OTHER_PYTHON: INSTALL},
        lacks=(*FILES, "list"),
        versions=("v1",),
        makes_buckets=False,
    ),
    "ossfs": Client(
        (OTHER_PYTHON, HERE / "python/ossfs_program.py"),
        {OTHER_PYTHON: INSTALL},
        lacks=(*FILES, "folder", "multipart", "list-v2", "presign"),
        versions=("v1",),
        makes_buckets=False,
    ),
}
# (client, version, style, calls) -> a part of the error, and whose fault it is
REFUSED = {
    ("python-v2", "v1", "*", ("process", "presign-process", "saveas")): (
        "403",  # its signer/v1.py leaves x-oss-process out of what it signs; OSS has it in
        "V1 of the client does not sign `x-oss-process`",
    ),
    ("opendal", "v1", "path", ("folder", "list-v2", "delimiter", "delete-many")): (
        "SignatureDoesNotMatch",
        "in path style the client signs `/BUCKET` in place of `/BUCKET/` for what lists",
    ),
}


def refused(client, version, style, call):
    """A part of the error that a cell has instead of ``ok``; empty for ``ok``."""
    for (name, signed, addressed, calls), (text, _) in REFUSED.items():
        if (name, signed) == (client, version) and addressed in ("*", style) and call in calls:
            return text
    return ""


ROWS = [
    (client, call)
    for client, spec in CLIENTS.items()
    for call in (*OF_BUCKETS, *OF_OBJECTS)
    if call not in spec.lacks
]


def outcome(outcomes, client):
    spec = CLIENTS[client]
    for path, needed in spec.needs.items():
        if not path.exists():
            pytest.skip(f"needs {needed}")
    made = itertools.product(spec.versions, ("path", "host"))
    buckets = () if spec.makes_buckets else [f"{client}-{'-'.join(words)}" for words in made]
    return outcomes(client, spec.command, buckets)


@pytest.mark.parametrize(("client", "call"), ROWS, ids=[f"{a} {b}" for a, b in ROWS])
def test_a_call(outcomes, client, call):
    lines = outcome(outcomes, client)
    kinds = ("bucket",) if call in OF_BUCKETS else ("plain", "odd")
    wrong = {}
    for cell in itertools.product(CLIENTS[client].versions, ("path", "host"), kinds):
        text, expected = lines.get((*cell, call), "no line"), refused(client, *cell[:2], call)
        if not (expected in text and text != "ok" if expected else text == "ok"):
            wrong[cell] = text
    assert not wrong


@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_has_no_line_that_no_row_expects(outcomes, client):
    calls = {words[-1] for words in outcome(outcomes, client)}
    assert calls == {call for name, call in ROWS if name == client}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_signs_and_names_buckets_as_its_rows_say(outcomes, emulated, client):
    """Or a row of V4, or of virtual hosts, would only say so."""
    outcome(outcomes, client)
    spec, seen = CLIENTS[client], set()
    for request in emulated.oss.requests:
        if request.bucket.startswith(f"{client}-v") and request.call != "PutBucket":
            words = request.headers.get("authorization", "").split(" ")
            version = {"OSS": "v1", "OSS4-HMAC-SHA256": "v4"}.get(words[0], "")
            style = "host" if "oss.example.com" in request.headers["host"] else "path"
            seen.add((request.bucket, version, style))
    cells = set(itertools.product(spec.versions, ("path", "host")))
    signed = {words for words in seen if words[1]}
    assert signed == {(f"{client}-{'-'.join(words)}", *words) for words in cells}
