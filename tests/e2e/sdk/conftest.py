"""A server with an owner's key and a writer's, for clients that nobody has changed."""

import time

import pytest

CONFIG = """
[server]
region = "cn-hangzhou"
[[credentials]]
access_key_id = "ownerKey"
access_key_secret = "ownerSecret"
[[credentials]]
access_key_id = "readerKey"
access_key_secret = "readerSecret"
role = "reader"
[[credentials]]
access_key_id = "writerKey"
access_key_secret = "writerSecret"
role = "writer"
[buckets.declared]
acl = "public-read"
[buckets.described-v1]
[buckets.described-v4]
"""


@pytest.fixture(scope="session")
def api(serving, tmp_path_factory):
    """A server with no buckets but one that its configuration declares."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "root" / "declared").mkdir(parents=True)
    (folder / "vipsgate.toml").write_text(CONFIG)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture(scope="session")
def own_domain(serving, tmp_path_factory):
    """A server whose bucket ``own-domain`` is that of the host name ``localhost``."""
    folder = tmp_path_factory.mktemp("domain")
    (folder / "root" / "own-domain").mkdir(parents=True)
    config = f'{CONFIG}[buckets.own-domain]\ndomains = ["localhost"]\n'
    (folder / "vipsgate.toml").write_text(config)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture
def name(request):
    """A bucket's name that no other test has."""
    words = "".join(sign if sign.isalnum() else "-" for sign in request.node.name.lower())
    return f"{words.strip('-')[:40].strip('-')}-{time.monotonic_ns() % 10**9}"
