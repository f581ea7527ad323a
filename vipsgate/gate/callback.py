"""Callbacks: the servers that are told of an upload, and what they are sent (OSS guide, Callback).

A callback lets a client choose an address that this server connects to. Its URL is parsed and
checked by :mod:`vipsgate.outgoing.address`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from ..errors import AccessDenied, InvalidArgument, shown
from ..outgoing.address import AUTHORITY, Url, admit
from ..outgoing.address import parse as parse_url

CALLBACK, VARIABLES = "callback", "callback-var"
NAMES = frozenset((CALLBACK, VARIABLES))  # parameters of a query, and fields of a form
MAX_BYTES = 5 << 10  # bytes of either, in Base64; OSS guide
MAX_URLS = 5  # OSS guide
MAX_USES = 100  # variables in one body, so that it does not grow much larger than its parts
FORM_TYPE, JSON_TYPE = "application/x-www-form-urlencoded", "application/json"
KEYS: Mapping[str, type] = {  # keys of the JSON, and their types
    "callbackUrl": str,
    "callbackHost": str,
    "callbackBody": str,
    "callbackBodyType": str,
    "callbackSNI": bool,  # no effect: SNI is always sent, as certificates are checked
}
FORMAT = "imageInfo.format"
STRINGS = frozenset(
    "bucket object etag mimeType crc64 contentMd5 vpcId clientIp reqId operation".split()
)
# numbers outside of a string in JSON; the last two are empty strings where there is no picture
SIZE, HEIGHT, WIDTH = "size", "imageInfo.height", "imageInfo.width"
OF_PICTURES = frozenset((HEIGHT, WIDTH, FORMAT))
SYSTEM = STRINGS | OF_PICTURES | {SIZE}
OWN = re.compile(r"x:[a-z0-9_.-]{1,128}")  # a variable of the client; OSS allows lower case only

HOST_HEADER = re.compile(AUTHORITY, re.IGNORECASE | re.ASCII)
VARIABLE = re.compile(r"\$\{([^{}\"]*)\}")
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\$\{([^{}"]*)\}', re.DOTALL)  # a string, or a variable
Value = str | int


@dataclass(frozen=True, slots=True)
class Template:
    """The body of a callback, with variables.

    Attributes:
        text: The text, with ``${...}`` for each variable.
        content_type: The type of a form, or of JSON.
    """

    text: str
    content_type: str = FORM_TYPE

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its variables, as often as they occur."""
        return tuple(VARIABLE.findall(self.text))

    def fill(self, values: Mapping[str, Value]) -> str:
        """Return the body; values are percent-encoded in a form, and JSON values in JSON.

        In JSON a variable stands for a value with its quotes, or inside of a string for a part of
        that string. A variable without a value is empty.
        """
        if self.content_type == FORM_TYPE:
            return VARIABLE.sub(
                lambda name: quote(str(values.get(name[1], "")), safe=""), self.text
            )
        return PIECE.sub(lambda piece: _piece(piece, values), self.text)


@dataclass(frozen=True, slots=True)
class Callback:
    """The request that is sent when the object is stored.

    Attributes:
        urls: URLs of servers, which are tried in order until one answers well.
        host: The Host header; empty for that of the URL.
        template: The body.
        variables: Variables of the client by name, ``x:name``.
    """

    urls: tuple[Url, ...]
    host: str
    template: Template
    variables: Mapping[str, str]


def parse(sent: Mapping[str, str], fields: Mapping[str, str], hosts: Iterable[str]) -> Callback:
    """Parse a callback, and check that its servers are allowed.

    Args:
        sent: ``callback`` and ``callback-var``, if they were sent.
        fields: Variables in fields of a form.
        hosts: The patterns of ``server.callback_hosts``.

    Raises:
        InvalidArgument: It is malformed.
        AccessDenied: A server is not allowed.
    """
    if CALLBACK not in sent:
        raise _invalid(VARIABLES, f"There is no {CALLBACK} for it")
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
        raise _invalid(CALLBACK, f"callbackHost = {shown(host)!r} is neither HOST nor HOST:PORT")
    kind = given.get("callbackBodyType", FORM_TYPE)
    if kind not in (FORM_TYPE, JSON_TYPE):
        raise _invalid(
            CALLBACK, f"callbackBodyType = {shown(kind)!r} is neither {FORM_TYPE} nor {JSON_TYPE}"
        )
    template = _template(given.get("callbackBody", ""), kind)
    return Callback(urls, host, template, _variables(sent.get(VARIABLES, ""), fields))


# -- the JSON --------------------------------------------------------------------------------------


def _object(what: str, text: str) -> dict[str, Any]:
    """Return a JSON object that is encoded in Base64.

    Raises:
        InvalidArgument: It is malformed, is too long, or has a name twice.
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
    """Names and values of a JSON object, in order."""


def _variables(text: str, fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the client's variables, from ``callback-var`` and fields of a form."""
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
    """Return the body, after checking that it is valid with any values of the variables."""
    template = Template(text, kind)
    if not text:
        raise _invalid(CALLBACK, "callbackBody is missing or empty")
    for name in template.names:
        if name not in SYSTEM and not OWN.fullmatch(name):
            raise _invalid(
                CALLBACK, f"callbackBody has a variable {shown(name)!r} that is not known"
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
                    "The callback configuration is not json format: callbackBody is not "
                    "JSON, although callbackBodyType says so",
                ) from None
    return template


def _piece(piece: re.Match[str], values: Mapping[str, Value]) -> str:
    """Return a string with its variables filled in, or the value of a variable alone."""
    if piece[1] is not None:
        return json.dumps(values.get(piece[1], ""), ensure_ascii=False)
    return VARIABLE.sub(
        lambda name: json.dumps(str(values.get(name[1], "")), ensure_ascii=False)[1:-1], piece[0]
    )


def _invalid(what: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"The {what} is invalid. {why}.", extra={"ArgumentName": what})


# -- addresses -------------------------------------------------------------------------------------


def _urls(text: str, hosts: tuple[str, ...]) -> tuple[Url, ...]:
    """Return the URLs of the servers, in order."""
    texts = [part.strip(" ") for part in text.split(";") if part.strip(" ")]
    if not texts:
        raise _invalid(CALLBACK, "callbackUrl is missing or empty")
    if len(texts) > MAX_URLS:
        raise _invalid(CALLBACK, f"callbackUrl has more than {MAX_URLS} URLs")
    return tuple(_url(part, hosts) for part in texts)


def _url(text: str, hosts: tuple[str, ...]) -> Url:
    """Return the URL of a server.

    Raises:
        InvalidArgument: The URL is malformed.
        AccessDenied: The server is not allowed.
    """
    try:
        url = parse_url(text, "http")
    except ValueError:
        raise _invalid(
            CALLBACK,
            f"callbackUrl = {shown(text)!r} is not http://HOST/..., https://HOST/... or HOST/..., "
            "percent-encoded",
        ) from None
    if (allowed := admit(url, hosts)) is None:
        raise AccessDenied(
            f"The callbackUrl: {shown(text)!r} of callback leads to a host or port that this "
            "server does not call."
        )
    return allowed
