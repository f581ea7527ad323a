"""Callbacks: whom an upload is reported to, and in which words (OSS guide, Callback).

A callback lets a client choose an address that this server connects to. So three things are held
apart: the grammar of a URL is an allow-list of characters and knows no user, no fragment and no
number for an address but the usual ones; the operator's list (``server.callback_hosts``) is asked
by the exact host and port; and :func:`may_connect` is asked of each address that a name turns out
to have. The other design, to give the URL to an HTTP library and to look at what it made of it,
has two readers of one text, who may differ.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import quote

import orjson

from ..errors import AccessDenied, InvalidArgument, shown

CALLBACK, VARIABLES = "callback", "callback-var"
NAMES = frozenset((CALLBACK, VARIABLES))  # of a query and of a form
MAX_BYTES = 5 << 10  # of either, in Base64; OSS guide
MAX_URLS = 5  # OSS guide
MAX_USES = 100  # of variables in one body, so that it stays near the size of its parts
FORM_TYPE, JSON_TYPE = "application/x-www-form-urlencoded", "application/json"
KEYS: Mapping[str, type] = {  # of the JSON
    "callbackUrl": str,
    "callbackHost": str,
    "callbackBody": str,
    "callbackBodyType": str,
    "callbackSNI": bool,  # a server is always told its name, as its certificate is checked
}
FORMAT = "imageInfo.format"
STRINGS = frozenset(
    "bucket object etag mimeType crc64 contentMd5 vpcId clientIp reqId operation".split()
)
# numbers outside of a string in JSON; the last two are empty strings where there is no picture
SIZE, HEIGHT, WIDTH = "size", "imageInfo.height", "imageInfo.width"
OF_PICTURES = frozenset((HEIGHT, WIDTH, FORMAT))
SYSTEM = STRINGS | OF_PICTURES | {SIZE}
OWN = re.compile(r"x:[a-z0-9_.-]{1,128}")  # a variable of the client's; OSS has lower case alone

HOST = r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*"
NAME = re.compile(HOST)
AUTHORITY = rf"(?:{HOST}|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?"
PATTERN = re.compile(rf"(?:\*\.)?{AUTHORITY}", re.ASCII)  # of the setting
HOST_HEADER = re.compile(AUTHORITY, re.IGNORECASE | re.ASCII)
URL = re.compile(
    rf"(?:(https?)://)?({AUTHORITY})((?:/[A-Za-z0-9._~!$&'()*+,:@%/=-]*)?)"
    r"((?:\?[A-Za-z0-9._~!$&'()*+,:@%/?=-]*)?)",
    re.IGNORECASE | re.ASCII,
)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last part that makes a name an address to some
NAT64 = 0x64FF9B << 64  # the first 96 bits of 64:ff9b::127.0.0.1 (RFC 6052)
PORTS = {"http": 80, "https": 443}
VARIABLE = re.compile(r"\$\{([^{}\"]*)\}")
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\$\{([^{}"]*)\}', re.DOTALL)  # a string, or a variable
Value = str | int


@dataclass(frozen=True, slots=True)
class Url:
    """A server that is to be told.

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
    def text(self) -> str:
        """The whole URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


@dataclass(frozen=True, slots=True)
class Template:
    """The body of a callback, whose variables are still to be filled in.

    Attributes:
        text: With ``${...}`` for each.
        content_type: In which words: that of a form, or JSON.
    """

    text: str
    content_type: str = FORM_TYPE

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables in it, as often as they are there."""
        return tuple(VARIABLE.findall(self.text))

    def fill(self, values: Mapping[str, Value]) -> str:
        """The body: values are percent-encoded in a form, and JSON values in JSON.

        In JSON a variable stands for a value with its quotes, or, inside of a string, for a part of
        that. One that has no value is empty.
        """
        if self.content_type == FORM_TYPE:
            return VARIABLE.sub(
                lambda name: quote(str(values.get(name[1], "")), safe=""), self.text
            )
        return PIECE.sub(lambda piece: _piece(piece, values), self.text)


@dataclass(frozen=True, slots=True)
class Callback:
    """What is to be done when the object is stored.

    Attributes:
        urls: Servers, of whom the first that answers well is the last that is asked.
        host: The Host header; empty for that of the URL.
        template: The body.
        variables: The client's own, ``x:name`` -> value.
    """

    urls: tuple[Url, ...]
    host: str
    template: Template
    variables: Mapping[str, str]


def parse(sent: Mapping[str, str], fields: Mapping[str, str], hosts: Iterable[str]) -> Callback:
    """Read a callback, and hold its servers against those that are allowed.

    Args:
        sent: ``callback`` and ``callback-var``, as far as they are there.
        fields: Variables that a form has in fields of their own.
        hosts: The patterns of ``server.callback_hosts``.

    Raises:
        InvalidArgument: It is malformed.
        AccessDenied: A server is not among those that are allowed.
    """
    if CALLBACK not in sent:
        raise _invalid(VARIABLES, f"There is no {CALLBACK} that it could be for")
    given = _object(CALLBACK, sent[CALLBACK])
    for name, value in given.items():
        if name not in KEYS:
            raise _invalid(CALLBACK, f"{shown(name)!r} is none of {', '.join(KEYS)}")
        if type(value) is not KEYS[name]:
            kind = "true or false" if KEYS[name] is bool else "a string"
            raise _invalid(CALLBACK, f"{name} is not {kind}")
    urls = _urls(given.get("callbackUrl", ""), tuple(hosts))
    host = given.get("callbackHost", "")
    if host and not (len(host) < 256 and HOST_HEADER.fullmatch(host)):
        raise _invalid(CALLBACK, f"callbackHost = {shown(host)!r} is no HOST and no HOST:PORT")
    kind = given.get("callbackBodyType", FORM_TYPE)
    if kind not in (FORM_TYPE, JSON_TYPE):
        raise _invalid(
            CALLBACK, f"callbackBodyType = {shown(kind)!r} is neither {FORM_TYPE} nor {JSON_TYPE}"
        )
    template = _template(given.get("callbackBody", ""), kind)
    return Callback(urls, host, template, _variables(sent.get(VARIABLES, ""), fields))


def may_connect(url: Url, address: str) -> bool:
    """Whether an address that a URL's host has may be connected to.

    A public one always; one of a private network or of this machine where the operator has listed
    the very name; one that is neither (link-local, multicast, reserved) only where the address
    itself is listed. An IPv6 address that carries an IPv4 one counts as that.
    """
    try:
        known = _carried(ip_address(address))
    except ValueError:  # "fe80::1%eth0" is one, in newer versions
        return False
    if (own := _address(url.host)) is not None:
        return own == ip_address(address) and url.listed
    if known.is_loopback:
        return url.listed
    special = known.is_multicast or known.is_link_local or known.is_unspecified or known.is_reserved
    if special or (isinstance(known, IPv6Address) and known.is_site_local):
        return False
    return known.is_global or (known.is_private and url.listed)


def check_pattern(pattern: str) -> str:
    """A pattern of ``server.callback_hosts``.

    Raises:
        ValueError: It could never fit.
    """
    if not PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is none of HOST, HOST:PORT and *.DOMAIN, in lower case")
    try:
        host, port = _split(pattern.removeprefix("*."))
    except ValueError:
        raise ValueError(f"{pattern!r} has a host that is neither a name nor an address") from None
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{pattern!r} has no port from 1 to 65535")
    if pattern.startswith("*.") and _address(host) is not None:
        raise ValueError(f"{pattern!r}: an address has no part that could be anything")
    return pattern


# -- the JSON --------------------------------------------------------------------------------------


def _object(what: str, text: str) -> dict[str, Any]:
    """A JSON object in Base64.

    Raises:
        InvalidArgument: It is none, is too long, or has a name twice.
    """
    if len(text) > MAX_BYTES:
        raise _invalid(what, f"It has more than {MAX_BYTES} bytes")
    try:
        data = base64.b64decode(text.strip(), validate=True).decode()
    except ValueError:  # of Base64, of text that is not ASCII, of UTF-8
        raise _invalid(what, "It is not UTF-8 in Base64") from None
    try:
        pairs = json.loads(data, object_pairs_hook=_Pairs)
        json.dumps(pairs, ensure_ascii=False).encode()  # half a character, "\ud800"
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Pairs):
        raise _invalid(what, "The callback configuration is not json format")
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _invalid(what, "It has a name twice")
    return result


class _Pairs(list[tuple[str, Any]]):
    """Names and values of a JSON object, in their order."""


def _variables(text: str, fields: Mapping[str, str]) -> Mapping[str, str]:
    """The client's own variables: of ``callback-var``, and fields of a form."""
    result = _object(VARIABLES, text) if text else {}
    for name, value in result.items():
        if not OWN.fullmatch(name):
            raise _invalid(VARIABLES, f"{shown(name)!r} is not x: and a name in lower case")
        if not isinstance(value, str):
            raise _invalid(VARIABLES, f"{shown(name)} is not a string")
        if name in fields:
            raise _invalid(VARIABLES, f"{shown(name)} is a field of the form, too")
    if sum(len(name) + len(value.encode()) for name, value in fields.items()) > MAX_BYTES:
        raise _invalid(VARIABLES, f"The fields x:... have more than {MAX_BYTES} bytes")
    return {**result, **fields}


def _template(text: str, kind: str) -> Template:
    """The body, known to become a right one whatever the variables are."""
    template = Template(text, kind)
    if not text:
        raise _invalid(CALLBACK, "callbackBody is missing or empty")
    for name in template.names:
        if name not in SYSTEM and not OWN.fullmatch(name):
            raise _invalid(
                CALLBACK, f"callbackBody has a variable {shown(name)!r} that there is not"
            )
    if VARIABLE.sub("", text).count("${"):
        raise _invalid(CALLBACK, "callbackBody has a ${ that is not closed")
    if len(template.names) > MAX_USES:
        raise _invalid(CALLBACK, f"callbackBody has more than {MAX_USES} variables")
    if kind == JSON_TYPE:
        # "z" is no part of an escape, and 0 no beginning of a number: what is right with them is
        # right with any value
        for length in (0, ""):  # of a picture, and of none
            values: dict[str, Value] = dict.fromkeys(template.names, "z")
            try:
                orjson.loads(template.fill(values | {SIZE: 0, HEIGHT: length, WIDTH: length}))
            except ValueError:
                raise _invalid(
                    CALLBACK,
                    "The callback configuration is not json format: callbackBody is none, "
                    "and callbackBodyType says so",
                ) from None
    return template


def _piece(piece: re.Match[str], values: Mapping[str, Value]) -> str:
    """A string with its variables filled in, or the value of a variable that stands alone."""
    if piece[1] is not None:
        return json.dumps(values.get(piece[1], ""), ensure_ascii=False)
    return VARIABLE.sub(
        lambda name: json.dumps(str(values.get(name[1], "")), ensure_ascii=False)[1:-1], piece[0]
    )


def _invalid(what: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"The {what} is invalid. {why}.", extra={"ArgumentName": what})


# -- addresses -------------------------------------------------------------------------------------


def _urls(text: str, hosts: tuple[str, ...]) -> tuple[Url, ...]:
    """The servers, in their order."""
    texts = [part.strip(" ") for part in text.split(";") if part.strip(" ")]
    if not texts:
        raise _invalid(CALLBACK, "callbackUrl is missing or empty")
    if len(texts) > MAX_URLS:
        raise _invalid(CALLBACK, f"callbackUrl has more than {MAX_URLS} URLs")
    return tuple(_url(part, hosts) for part in texts)


def _url(text: str, hosts: tuple[str, ...]) -> Url:
    """A server.

    Raises:
        InvalidArgument: It is no URL as it is expected.
        AccessDenied: It is not allowed.
    """
    match = URL.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        scheme, (host, port) = (match[1] or "http").lower(), _split(match[2].lower())
        url = Url(
            scheme, host, PORTS[scheme] if port is None else port, (match[3] or "/") + match[4]
        )
        if not 0 < url.port < 65536:
            raise ValueError
    except ValueError:
        raise _invalid(
            CALLBACK,
            f"callbackUrl = {shown(text)!r} is not http://HOST/..., https://HOST/... or HOST/..., "
            "percent-encoded",
        ) from None
    fits = [pattern for pattern in hosts if _fits(url, pattern)]
    if not fits:
        raise AccessDenied(
            f"The callbackUrl: {shown(text)!r} of callback leads to a host or port that this "
            "server does not call."
        )
    listed = not all(pattern.startswith("*.") for pattern in fits)
    return Url(url.scheme, url.host, url.port, url.path, listed)


def _fits(url: Url, pattern: str) -> bool:
    """Whether a pattern allows a URL; one without a port allows that of the scheme."""
    host, port = _split(pattern.removeprefix("*."))
    if (PORTS[url.scheme] if port is None else port) != url.port:
        return False
    return url.host.endswith(f".{host}") if pattern.startswith("*.") else url.host == host


def _split(authority: str) -> tuple[str, int | None]:
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
        raise ValueError(host)
    return host, port


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


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
