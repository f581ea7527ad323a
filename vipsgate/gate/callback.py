"""Callbacks: whom an upload is reported to, and in which words (OSS guide, Callback).

A callback lets a client choose an address that this server connects to: how its URL is read, and
what is connected to, is in :mod:`vipsgate.outgoing.address`.
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

HOST_HEADER = re.compile(AUTHORITY, re.IGNORECASE | re.ASCII)
VARIABLE = re.compile(r"\$\{([^{}\"]*)\}")
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\$\{([^{}"]*)\}', re.DOTALL)  # a string, or a variable
Value = str | int


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
