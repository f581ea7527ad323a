"""Webhooks: requests that tell caches in front of a purge or a change, made from templates.

A template is text with ``${NAME}``, as in callbacks. With the alternative, jinja2, an operator
would have to escape each value, differently in a URL and in JSON, and a forgotten filter would be
a vulnerability. Here values are escaped by their place: see :func:`_in_path`, :func:`_in_query`,
:func:`_in_header`, :func:`_in_json` and :func:`_in_form`. The host of a URL is not a template.

An event is sent to a hook only if it has a value for each single name in the templates, and for at
least one of the lists. If there are only lists, one request can have many events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote

import orjson

from . import cachetags
from .callback import FORM_TYPE, JSON_TYPE, PIECE, VARIABLE

Kind = Literal["write", "delete", "purge", "style", "rights"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SINGLE = frozenset("event bucket key prefix style path url".split())
LISTS = frozenset("tags keys paths urls".split())
NAMES = SINGLE | LISTS
ENCODED = frozenset(("path", "url", "paths", "urls"))  # that are percent-encoded already
URL = re.compile(r"https?://[A-Za-z0-9._~:\[\]-]+(?:[/?][!-~]*)?")
HOST = re.compile(r"https?://[^/?]*")
FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2
IN_FIELD = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"  # printable, in the value of a header, but for %
Value = str | list[str]
Values = Mapping[str, Value]
Place = Callable[[str, Value], str]  # a name and its value -> as it stands there


@dataclass(frozen=True, slots=True)
class Event:
    """A change that caches in front have to know of.

    Attributes:
        kind: ``write`` and ``delete`` of an object; a ``purge``; another ``style``; another ACL,
            protection or Referer rule of a bucket (``rights``).
        bucket: The bucket's name.
        key: The object's key; empty if there are several objects.
        prefix: Prefix of the keys; empty for none, or for the whole bucket.
        style: Name of the style; empty for none.
    """

    kind: Kind
    bucket: str
    key: str = ""
    prefix: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook: its events, and the templates of its request; ``[[webhooks]]``.

    Attributes:
        name: Name in the log.
        events: Kinds of events that are sent.
        buckets: Buckets whose events are sent; empty: all.
        method: Method of the request.
        url: Template of the URL.
        headers: Names of headers, and templates of their values.
        body: Template of the body; empty for none.
        site: Prefix of paths in ``url`` and ``urls``.
        batch: Most events in one request.
        signer: Key pair that signs the request, ``("ID", "SECRET")``; ``None`` for no signature.
    """

    name: str
    events: frozenset[str]
    buckets: tuple[str, ...]
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    site: str = ""
    batch: int = 1
    signer: tuple[str, str] | None = None

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON; otherwise it is a form."""
        return self.content_type == JSON_TYPE

    @property
    def content_type(self) -> str:
        """Of the body, without parameters."""
        values = (value for name, value in self.headers if name.lower() == "content-type")
        return next(values, JSON_TYPE).partition(";")[0].strip().lower()

    @property
    def names(self) -> frozenset[str]:
        """All that the templates name."""
        texts = (self.url, self.body, *(value for _, value in self.headers))
        return frozenset(name for text in texts for name in VARIABLE.findall(text))

    @property
    def together(self) -> int:
        """Events that may be told in one request."""
        return 1 if self.names & SINGLE else self.batch

    def check(self) -> None:
        """Refuse templates that are not valid.

        Raises:
            ValueError: The text says why.
        """
        if unknown := self.names - NAMES:
            names = ", ".join(sorted(NAMES))
            raise ValueError(f"${{{min(unknown)}}} is not a value; there are {names}")
        if not self.names:
            raise ValueError("has no content: no template has a value, such as ${tags}")
        if not URL.fullmatch(VARIABLE.sub("x", self.url)) or "${" in HOST.match(self.url)[0]:  # type: ignore[index]
            raise ValueError(
                "url: expects http://HOST/... or https://HOST/..., with no value in HOST"
            )
        if LISTS & {*VARIABLE.findall(self.url)}:
            raise ValueError("url: cannot contain a list")
        if self.site == "" and {"url", "urls"} & self.names:
            raise ValueError("site: is needed for ${url} and ${urls}")
        for name, value in self.headers:
            if not FIELD.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise ValueError(f"headers.{name}: is not a valid header")
        if self.body and self.content_type not in (JSON_TYPE, FORM_TYPE):
            raise ValueError(f"headers.Content-Type: expects {JSON_TYPE} or {FORM_TYPE}")
        if self.body and self.is_json:
            try:
                orjson.loads(self.request([Event("write", "bucket", "a", "a", "a")], ()).body)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"body: is not JSON with its values filled in: {error}") from None

    def wants(self, event: Event) -> bool:
        """Return whether it is to be called for an event that has a value for each of its names."""
        if event.kind not in self.events or (self.buckets and event.bucket not in self.buckets):
            return False
        names, values = self.names, self._values([event], ())
        lists = names & LISTS
        return all(values[name] for name in names & SINGLE) and (
            not lists or any(values[name] for name in lists)
        )

    def request(self, events: Sequence[Event], chosen: Sequence[str]) -> Request:
        """Return the request for events, of which there are at most :attr:`together`.

        Args:
            events: At least one.
            chosen: Kinds of tags that the answers of their bucket have.
        """
        values = self._values(events, chosen)
        path, mark, query = self.url.partition("?")
        url = _filled(path, values, _in_path) + mark + _filled(query, values, _in_query)
        headers = [(name, _filled(value, values, _in_header)) for name, value in self.headers]
        body = ""
        if self.body and self.is_json:
            body = PIECE.sub(lambda piece: _in_json(piece, values), self.body)
        elif self.body:
            body = _filled(self.body, values, _in_form)
        if body and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", JSON_TYPE))
        return Request(self.method, url, tuple(headers), body.encode())

    def _values(self, events: Sequence[Event], chosen: Sequence[str]) -> Values:
        event = events[0]
        paths = [quote(key) for key in dict.fromkeys(item.key for item in events) if key]
        path = quote(event.key or event.prefix)
        return {
            "event": event.kind,
            "bucket": event.bucket,
            "key": event.key,
            "prefix": event.prefix,
            "style": event.style,
            "path": path,
            "url": f"{self.site}/{path}" if path else "",
            "tags": list(dict.fromkeys(tag_of(item, chosen) for item in events)),
            "keys": list(dict.fromkeys(item.key for item in events if item.key)),
            "paths": paths,
            "urls": [f"{self.site}/{path}" for path in paths],
        }


def tag_of(event: Event, chosen: Sequence[str]) -> str:
    """Return the narrowest tag of all answers that an event affects.

    Args:
        event: The event.
        chosen: Kinds of tags that the bucket's answers have; empty: all.
    """
    bucket = event.bucket
    if event.key and "source" in (chosen or ("source",)):
        return cachetags.of_key(bucket, event.key)
    if event.style and "style" in (chosen or ("style",)):
        return cachetags.of_style(bucket, event.style)
    return cachetags.of_prefix(bucket, event.key or event.prefix, chosen)


def _filled(text: str, values: Values, place: Place) -> str:
    return VARIABLE.sub(lambda name: place(name[1], values[name[1]]), text)


def _in_path(name: str, value: Value) -> str:
    return str(value) if name in ENCODED else quote(str(value), safe="/")


def _in_query(name: str, value: Value) -> str:
    return quote(str(value), safe="")


def _in_header(name: str, value: Value) -> str:
    """Percent-encoded but for printable signs, a list with blanks between its items."""
    items = [value] if isinstance(value, str) else value
    return " ".join(item if name in ENCODED else quote(item, safe=IN_FIELD) for item in items)


def _in_form(name: str, value: Value) -> str:
    """Percent-encoded, a list with line feeds between its items."""
    items: Iterable[str] = [value] if isinstance(value, str) else value
    return quote("\n".join(items), safe="")


def _in_json(piece: re.Match[str], values: Values) -> str:
    """A value in JSON, or the inside of a string: a list is an array, or has blanks there."""
    if piece[1] is not None:
        return json.dumps(values[piece[1]])

    def inside(name: re.Match[str]) -> str:
        value = values[name[1]]
        text = value if isinstance(value, str) else " ".join(value)
        return json.dumps(text)[1:-1]

    return VARIABLE.sub(inside, piece[0])
