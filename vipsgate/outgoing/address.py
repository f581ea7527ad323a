"""Addresses of other servers: how a URL is read, and what may be connected to.

Somebody else chooses the URL that this server connects to: a client (a callback), the owner of a
bucket (a mirror, an origin), another server (a redirect). So three things are held apart: the
grammar of a URL is an allow-list of characters and knows no user, no fragment and no number for an
address but the usual ones; the operator's list is asked by the exact host and port; and
:func:`may_connect` is asked of each address that a name turns out to have. The other design, to
give the URL to an HTTP library and to look at what it made of it, has two readers of one text, who
may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

HOST = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*"
NAME = re.compile(HOST)
AUTHORITY = rf"(?:{HOST}|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?"
PATTERN = re.compile(rf"(?:\*\.)?{AUTHORITY}", re.ASCII)  # of a setting
URL = re.compile(
    rf"(?:(https?)://)?({AUTHORITY})((?:/[A-Za-z0-9._~!$&'()*+,:@%/=-]*)?)"
    r"((?:\?[A-Za-z0-9._~!$&'()*+,:@%/?=-]*)?)",
    re.IGNORECASE | re.ASCII,
)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last part that makes a name an address to some
NAT64 = 0x64FF9B << 64  # the first 96 bits of 64:ff9b::127.0.0.1 (RFC 6052)
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # where the IPv4 part stands is its operator's (8215)
# where a cloud tells a machine its secrets; some are not special addresses to anybody else:
# AWS, Azure, Google and others; AWS by IPv6; Alibaba Cloud; Azure's own; Oracle's own
METADATA = frozenset(
    map(
        ip_address,
        "169.254.169.254 fd00:ec2::254 100.100.100.200 168.63.129.16 192.0.0.192".split(),
    )
)
PORTS = {"http": 80, "https": 443}
SAFE = "/-._~!$&'()*+,:@="  # characters of a name that stay as they are in a path (RFC 3986, 3.3)
NEVER = frozenset(("", ".", ".."))  # parts of a name that would lead to another one


@dataclass(frozen=True, slots=True)
class Url:
    """Where a request goes.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name in lower case, or an address as :mod:`ipaddress` writes it.
        port: The one that is connected to.
        path: Percent-encoded, with the query; begins with a slash.
        listed: Whether the operator has listed this very host, and not a domain above it.
    """

    scheme: str
    host: str
    port: int
    path: str
    listed: bool = False

    @property
    def authority(self) -> str:
        """Scheme, host and port: the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def text(self) -> str:
        """The whole URL."""
        return f"{self.authority}{self.path}"


def parse(text: str, scheme: str = "") -> Url:
    """Read a URL.

    Args:
        text: Percent-encoded.
        scheme: What it has where it says none; empty: it has to say one.

    Raises:
        ValueError: It is no URL of the grammar here, see :mod:`vipsgate.outgoing.address`.
    """
    match = URL.fullmatch(text)
    if match is None or not (match[1] or scheme):
        raise ValueError("it is not http://HOST/... or https://HOST/..., percent-encoded")
    scheme, (host, port) = (match[1] or scheme).lower(), split(match[2].lower())
    port = PORTS[scheme] if port is None else port
    if not 0 < port < 65536:
        raise ValueError("it has no port from 1 to 65535")
    return Url(scheme, host, port, (match[3] or "/") + match[4])


def admit(url: Url, hosts: Iterable[str]) -> Url | None:
    """The URL, which knows whether it is listed itself; ``None`` where no pattern allows it."""
    fits = [pattern for pattern in hosts if _fits(url, pattern)]
    if not fits:
        return None
    return replace(url, listed=not all(pattern.startswith("*.") for pattern in fits))


def may_connect(url: Url, address: str) -> bool:
    """Whether an address that a URL's host has may be connected to.

    A public one always; one of a private network or of this machine where the operator has listed
    the very name; one that is neither (link-local, multicast, reserved), and one where a cloud
    tells its secrets, only where the address itself is listed. An IPv6 address that carries an IPv4
    one counts as that.
    """
    try:
        known = _carried(ip_address(address))
    except ValueError:  # "fe80::1%eth0" is one, in newer versions
        return False
    if (own := literal(url.host)) is not None:
        return own == ip_address(address) and url.listed
    if known in METADATA or known in LOCAL_NAT64:
        return False
    if known.is_loopback:
        return url.listed
    special = known.is_multicast or known.is_link_local or known.is_unspecified or known.is_reserved
    if special or (isinstance(known, IPv6Address) and known.is_site_local):
        return False
    return known.is_global or (known.is_private and url.listed)


def below(url: str, name: str) -> str:
    """The URL of what has a name below another one; empty where nothing can have it there.

    Args:
        url: Ends with a slash.
        name: Every character of it that means something in a URL is percent-encoded.
    """
    return "" if not NEVER.isdisjoint(name.split("/")) else url + quote(name, safe=SAFE)


def check_pattern(pattern: str) -> str:
    """A pattern of a setting that lists hosts.

    Raises:
        ValueError: It could never fit.
    """
    if not PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is none of HOST, HOST:PORT and *.DOMAIN, in lower case")
    try:
        host, port = split(pattern.removeprefix("*."))
    except ValueError:
        raise ValueError(f"{pattern!r} has a host that is neither a name nor an address") from None
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{pattern!r} has no port from 1 to 65535")
    if pattern.startswith("*.") and literal(host) is not None:
        raise ValueError(f"{pattern!r}: an address has no part that could be anything")
    return pattern


def split(authority: str) -> tuple[str, int | None]:
    """Host, as an address is best written, and port.

    Raises:
        ValueError: The host is neither a name nor an address.
    """
    if authority.startswith("["):
        inner, _, rest = authority[1:].partition("]")
        return str(IPv6Address(inner)), int(rest[1:]) if rest else None
    host, colon, digits = authority.partition(":")
    port = int(digits) if colon else None
    if NUMBER.fullmatch(host.rpartition(".")[2]):
        return str(IPv4Address(host)), port
    if len(host) > 253 or not NAME.fullmatch(host):
        raise ValueError(f"{host!r} is neither a name nor an address")
    return host, port


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is; ``None`` for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _fits(url: Url, pattern: str) -> bool:
    """Whether a pattern allows a URL; one without a port allows that of the scheme."""
    host, port = split(pattern.removeprefix("*."))
    if (PORTS[url.scheme] if port is None else port) != url.port:
        return False
    return url.host.endswith(f".{host}") if pattern.startswith("*.") else url.host == host


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to; else itself."""
    if isinstance(address, IPv4Address):
        return address
    low = int(address) & 0xFFFFFFFF
    high = int(address) >> 32
    if high == NAT64 or (high == 0 and low > 1):  # or ::127.0.0.1, of old (RFC 4291, 2.5.5.1)
        return IPv4Address(low)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
