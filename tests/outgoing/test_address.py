"""Addresses of other servers: URLs that are read, hosts that are listed, what is connected to."""

import ipaddress
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import times

from vipsgate.outgoing import address as address_rules
from vipsgate.outgoing.address import Url

MAY = {  # address -> by a name below a domain, by a name that is listed, by the address itself
    "8.8.8.8": (True, True, True),
    "2606:4700::1111": (True, True, True),
    "10.0.0.1": (False, True, True),
    "192.168.1.1": (False, True, True),
    "172.16.0.1": (False, True, True),
    "127.0.0.1": (False, True, True),
    "::1": (False, True, True),
    "fd00::1": (False, True, True),
    "::ffff:10.0.0.1": (False, True, True),
    "::ffff:127.0.0.1": (False, True, True),
    "::127.0.0.1": (False, True, True),
    "64:ff9b::127.0.0.1": (False, True, True),
    "2002:7f00:1::": (False, True, True),
    "2001:0:4136:e378:8000:63bf:80ff:fffe": (False, True, True),  # Teredo of 127.0.0.1
    "64:ff9b::8.8.8.8": (True, True, True),
    "169.254.169.254": (False, False, True),
    "::ffff:169.254.169.254": (False, False, True),
    "64:ff9b::a9fe:a9fe": (False, False, True),
    "fe80::1": (False, False, True),
    "fec0::1": (False, False, True),
    "100.100.100.200": (False, False, True),
    "0.0.0.0": (False, False, True),
    "::": (False, False, True),
    "224.0.0.1": (False, False, True),
    "ff02::1": (False, False, True),
    "240.0.0.1": (False, False, True),
    "255.255.255.255": (False, False, True),
    "fe80::1%eth0": (False, False, True),
    "nonsense": (False, False, False),
}


@pytest.mark.parametrize("address", MAY)
def test_an_address_that_a_name_has(address):
    below = Url("http", "a.example.com", 80, "/")
    listed = Url("http", "a.example.com", 80, "/", listed=True)
    itself = Url("http", address, 80, "/", listed=True)
    answers = tuple(address_rules.may_connect(url, address) for url in (below, listed, itself))
    assert answers == MAY[address]
    assert not address_rules.may_connect(Url("http", "8.8.4.4", 80, "/", listed=True), address)


PATTERNS = {
    "app.example.com": True,
    "localhost:8000": True,
    "*.example.com": True,
    "*.example.com:8443": True,
    "10.0.0.5": True,
    "[::1]:8000": True,
    "*": False,
    "": False,
    "*.*.com": False,
    "a.*.com": False,
    "*example.com": False,
    "App.example.com": False,
    "http://a.com": False,
    "a.com/": False,
    "a.com:0": False,
    "a.com:70000": False,
    "*.10.0.0.5": False,
    "*.[::1]": False,
    "127.1": False,
    "::1": False,
    "a.com\n": False,
    "user@a.com": False,
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern(pattern):
    if PATTERNS[pattern]:
        assert address_rules.check_pattern(pattern) == pattern
    else:
        with pytest.raises(ValueError, match=r"is none|has no|has a host"):
            address_rules.check_pattern(pattern)


MORE = {  # likewise, by a name that is listed: where clouds tell secrets, and other ways to them
    "168.63.129.16": False,
    "192.0.0.192": False,
    "fd00:ec2::254": False,
    "64:ff9b::6464:64c8": False,
    "::ffff:168.63.129.16": False,
    "64:ff9b:1::a9fe:a9fe": False,
    "64:ff9b:1::808:808": False,
    "::ffff:0:169.254.169.254": False,  # translated (RFC 2765)
    "fd00:ec2::253": True,
}


@pytest.mark.parametrize("address", MORE)
def test_an_address_that_a_listed_name_has(address):
    url = Url("http", "a.example.com", 80, "/", listed=True)
    assert address_rules.may_connect(url, address) is MORE[address]
    itself = Url("http", str(ipaddress.ip_address(address)), 80, "/", listed=True)
    assert address_rules.may_connect(itself, address)


READ = {  # text -> scheme, host, port, path; None for none
    "http://a.example": ("http", "a.example", 80, "/"),
    "HTTPS://A.Example:8443/B%20c?d=e": ("https", "a.example", 8443, "/B%20c?d=e"),
    "http://[::1]:8000/": ("http", "::1", 8000, "/"),
    "http://10.0.0.1/": ("http", "10.0.0.1", 80, "/"),
    "a.example/": None,
    "//a.example/": None,
    "ftp://a.example/": None,
    "http://user@a.example/": None,
    "http://user:secret@a.example/": None,
    "http://a.example/#b": None,
    "http://a.example\\@b.example/": None,
    "http://a.example /": None,
    "http://a.example/ b": None,
    "http://a.example/西": None,
    "http://西.example/": None,
    "http://a.example:0/": None,
    "http://a.example:65536/": None,
    "http://127.1/": None,
    "http://0x7f.0.0.1/": None,
    "http://0177.0.0.1/": None,
    "http://2130706433/": None,
    "http://[fe80::1%25eth0]/": None,
    "http://[::ffff:127.0.0.1]/": ("http", "::ffff:127.0.0.1", 80, "/"),
    "http:///a": None,
    "": None,
    "http://a.example/\r\nX: y": None,
}


@pytest.mark.parametrize("text", READ)
def test_a_url(text):
    if READ[text] is None:
        with pytest.raises(ValueError, match=r"."):
            address_rules.parse(text)
        return
    url = address_rules.parse(text)
    read = (url.scheme, url.host, url.port, url.path)
    assert (read, url.listed) == (READ[text], False) or (
        url.host == str(ipaddress.ip_address(READ[text][1]))
    )
    assert address_rules.parse(url.text) == url


def test_who_is_listed():
    hosts = ["a.example", "*.b.example", "c.example:8000", "x.b.example"]
    for text, listed in {
        "http://a.example/": True,
        "https://a.example/": True,
        "http://a.example:8080/": None,
        "https://y.b.example/": False,
        "https://x.b.example/": True,
        "https://b.example/": None,
        "https://evilb.example/": None,
        "http://c.example:8000/": True,
        "http://c.example/": None,
        "http://a.example.evil.example/": None,
    }.items():
        url = address_rules.admit(address_rules.parse(text), hosts)
        assert (url and url.listed) is listed, text


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(NAMES)
@settings(max_examples=times(300), deadline=None)
def test_a_name_is_only_a_name_below_a_url(name):
    """It is what it was when it is read, and leads to no other host, folder or query."""
    text = address_rules.below("https://a.example/b/", name)
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        assert text == ""
        return
    parts = urlsplit(text)
    assert (parts.netloc, parts.query, parts.fragment) == ("a.example", "", "")
    assert unquote(parts.path) == f"/b/{name}"
    assert address_rules.parse(text).path == parts.path
