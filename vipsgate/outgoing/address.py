"""Parses URLs of other servers, and decides which addresses may be connected to.

The URL is chosen by somebody else: by a client (a callback), by the owner of a bucket (a mirror, an
origin), or by another server (a redirect). So there are three separate checks. The grammar of a URL
is an allow-list of characters, without user and fragment, and with the usual notations of addresses
only. The exact host and port must be in the operator's list. And :func:`may_connect` checks each
address that a name resolves to. In the alternative, to give the URL to an HTTP library and check
what it made of it, two parsers would read one text, and might differ.
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
PATTERN = re.compile(rf"(?:\*\.)?{AUTHORITY}", re.ASCII)  # a pattern in a setting
URL = re.compile(
    rf"(?:(https?)://)?({AUTHORITY})((?:/[A-Za-z0-9._~!$&'()*+,:@%/=-]*)?)"
    r"((?:\?[A-Za-z0-9._~!$&'()*+,:@%/?=-]*)?)",
    re.IGNORECASE | re.ASCII,
)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # last part of a name that some read as an address
NAT64 = 0x64FF9B << 64  # the first 96 bits of 64:ff9b::127.0.0.1 (RFC 6052)
LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # the position of the IPv4 part is not fixed (RFC 8215)
# metadata services of clouds, which tell a machine its secrets; not all are special addresses:
# AWS, Azure, Google and others; AWS by IPv6; Alibaba Cloud; Azure's own; Oracle's own
METADATA = frozenset(
    map(
        ip_address,
        "169.254.169.254 fd00:ec2::254 100.100.100.200 168.63.129.16 192.0.0.192".split(),
    )
)
PORTS = {"http": 80, "https": 443}
SAFE = "/-._~!$&'()*+,:@="  # characters of a name that are not encoded in a path (RFC 3986, 3.3)
NEVER = frozenset(("", ".", ".."))  # parts of a name that would make it another path


@dataclass(frozen=True, slots=True)
class Url:
    """The URL of a request.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name in lower case, or an address as :mod:`ipaddress` writes it.
        port: The port, also if it is the scheme's default.
        path: Path and query, percent-encoded; begins with a slash.
        listed: Whether the operator's list has this host itself, and not a domain above it.
    """

    scheme: str
    host: str
    port: int
    path: str
    listed: bool = False

    @property
    def authority(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def text(self) -> str:
        """The whole URL."""
        return f"{self.authority}{self.path}"


def parse(text: str, scheme: str = "") -> Url:
    """Parse a URL.

    Args:
        text: The URL, percent-encoded.
        scheme: Scheme of a URL without one; empty: a scheme is required.

    Raises:
        ValueError: The text does not follow the grammar of this module.
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
    """Return the URL with ``listed`` set; ``None`` if no pattern allows it."""
    fits = [pattern for pattern in hosts if _fits(url, pattern)]
    if not fits:
        return None
    return replace(url, listed=not all(pattern.startswith("*.") for pattern in fits))


def may_connect(url: Url, address: str) -> bool:
    """Return whether an address of a URL's host may be connected to.

    Public addresses are always allowed. Addresses of private networks and of this machine are
    allowed if the operator has listed the exact name. Others (link-local, multicast, reserved), and
    metadata services of clouds, are allowed only if the address itself is listed. An IPv6 address
    that contains an IPv4 one is treated like that.
    """
    try:
        known = _carried(ip_address(address))
    except ValueError:  # newer versions of Python accept "fe80::1%eth0"
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
    """Return the URL of a name below a URL; empty if the name would lead to another path.

    Args:
        url: A URL that ends with a slash.
        name: The name, of which all characters with a meaning in URLs are percent-encoded here.
    """
    return "" if not NEVER.isdisjoint(name.split("/")) else url + quote(name, safe=SAFE)


def check_pattern(pattern: str) -> str:
    """Return a pattern of a setting that lists hosts, after checking it.

    Raises:
        ValueError: The pattern could never match.
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
    """Return host and port; an address has the notation of :mod:`ipaddress`.

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
    """Return a host as an address; ``None`` if it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _fits(url: Url, pattern: str) -> bool:
    """Return whether a pattern allows a URL; without a port it allows the scheme's default."""
    host, port = split(pattern.removeprefix("*."))
    if (PORTS[url.scheme] if port is None else port) != url.port:
        return False
    return url.host.endswith(f".{host}") if pattern.startswith("*.") else url.host == host


def _carried(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address contains, or else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    low = int(address) & 0xFFFFFFFF
    high = int(address) >> 32
    if high == NAT64 or (high == 0 and low > 1):  # or ::127.0.0.1, of old (RFC 4291, 2.5.5.1)
        return IPv4Address(low)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
