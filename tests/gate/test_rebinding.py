"""The Host of a port without credentials: names that no page of another site can have."""

import pytest

from vipsgate.errors import AccessDenied
from vipsgate.gate import rebinding

OWN = "Admin.Corp.Example"
TAKEN = (
    *("127.0.0.1", "127.0.0.1:8081", "192.168.1.5:8081", "8.8.8.8", "127.0.0.1:"),
    *("[::1]", "[::1]:8081", "[fe80::1%25eth0]:8081", "[::ffff:127.0.0.1]"),
    *("localhost", "LocalHost:8081", "demo.localhost", "a.b.localhost:8081"),
    *("admin.corp.example", "ADMIN.CORP.EXAMPLE:8081"),
    *("vipsgate", "vipsgate-admin:8081", "my_service:80", "a", " vipsgate "),
)
REFUSED = (
    *("evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example"),
    *(
        "evillocalhost.example",
        "admin.corp.example.evil.net",
        "corp.example",
        "x.admin.corp.example",
    ),
    *(
        "",
        ":8081",
        " ",
        ".",
        "evil.example.",
        "vipsgate.",
        "localhost.",
        "a.b",
        "127.1",
        "1.2.3.4.5",
    ),
    *("127.0.0.1:x", "127.0.0.1:80:81", "::1", "[::1", "[evil.example]", "[127.0.0.1]", "[a]"),
    *("localhost/evil.example", "localhost@evil.example", "evil.example, localhost", "a b", "\xff"),
)


@pytest.mark.parametrize("host", TAKEN)
def test_takes(host):
    rebinding.check([host], OWN)


@pytest.mark.parametrize("host", REFUSED)
def test_refuses(host):
    with pytest.raises(AccessDenied) as caught:
        rebinding.check([host], OWN)
    assert repr(host) in caught.value.message
    assert "configure credentials" in caught.value.message


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_refuses_all_but_one(hosts):
    with pytest.raises(AccessDenied) as caught:
        rebinding.check(hosts, OWN)
    assert repr(", ".join(hosts)) in caught.value.message


@pytest.mark.parametrize("own", ["", "0.0.0.0", "::"])
def test_an_address_adds_no_name(own):
    for host in ("", "evil.example"):
        with pytest.raises(AccessDenied):
            rebinding.check([host], own)
    rebinding.check(["localhost"], own)
