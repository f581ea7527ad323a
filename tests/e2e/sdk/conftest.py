"""The emulator with an owner's key and a writer's, for clients that nobody has changed."""

import time

import pytest

DOMAIN = """
[[credentials]]
access_key_id = "ownerKey"
access_key_secret = "ownerSecret"
[buckets.own-domain]
domains = ["localhost"]
"""


@pytest.fixture(scope="session")
def api(emulated):
    """A server with no buckets but those that its configuration declares."""
    return emulated


@pytest.fixture(scope="session")
def own_domain(serving, tmp_path_factory):
    """A server whose bucket ``own-domain`` is that of the host name ``localhost``."""
    folder = tmp_path_factory.mktemp("domain")
    (folder / "root" / "own-domain").mkdir(parents=True)
    (folder / "vipsgate.toml").write_text(DOMAIN)
    with serving(folder / "root", "--config", str(folder / "vipsgate.toml"), renderers=1) as site:
        yield site


@pytest.fixture
def name(request):
    """A bucket's name that no other test has."""
    words = "".join(sign if sign.isalnum() else "-" for sign in request.node.name.lower())
    return f"{words.strip('-')[:40].strip('-')}-{time.monotonic_ns() % 10**9}"
