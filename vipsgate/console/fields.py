"""The settings of a bucket without a separate page: a field for each, from its declaration.

A new setting of a bucket appears here as soon as :class:`vipsgate.buckets.Bucket` has it, with its
description. Lists and tables are edited as JSON, as in the document. The alternative, a form for
each, would need a page for every setting, and the newest ones would have none.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, get_args, get_origin

from aiohttp import web

from ..buckets import Bucket
from ..catalog.versions import digest
from ..errors import OssError
from ..gate.rights import Right
from . import access, buckets, calls, diff, pages
from .visit import Visit

# on other pages, or not to be set by users
ELSEWHERE = access.FIELDS | {"acl", "styles", "created"}
MEANING = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
CODE = re.compile(r"``(.+?)``", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Field:
    """One setting.

    Attributes:
        name: Its key in the document.
        meaning: Its description, in parts of which every second one is code.
        kind: ``check``, ``choice``, ``text``, ``number`` or ``json``.
        choices: The values of a choice.
    """

    name: str
    meaning: tuple[str, ...]
    kind: str
    choices: tuple[str, ...] = ()

    def written(self, bucket: Bucket) -> str:
        """Return its value as text for the form; empty for a check box that is not set."""
        value = bucket.model_dump(mode="json")[self.name]
        if self.kind == "check":
            return "1" if value else ""
        if self.kind in ("choice", "text"):
            return str(value)
        return json.dumps(value, indent=2 if value else None, ensure_ascii=False)

    def read(self, text: str) -> Any:
        """Return the value of a form's text; the document checks it.

        Raises:
            ValueError: The text is not JSON.
        """
        if self.kind == "check":
            return text == "1"
        if self.kind in ("choice", "text"):
            return text.strip()
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.name}: is not JSON: {error}") from None


@cache
def fields() -> tuple[Field, ...]:
    """Return all fields, in the order of the document."""
    meanings = dict(MEANING.findall(inspect.getdoc(Bucket) or ""))
    plain = Bucket().model_dump(mode="json")
    result = []
    for name, declared in Bucket.model_fields.items():
        if name in ELSEWHERE:
            continue
        meaning = tuple(CODE.split(" ".join(meanings.get(name, "").split())))
        kind = {bool: "check", str: "text", int: "number", float: "number"}
        choices = get_args(declared.annotation)
        if get_origin(declared.annotation) is Literal:
            result.append(Field(name, meaning, "choice", choices))
        else:
            result.append(Field(name, meaning, kind.get(type(plain[name]), "json")))
    return tuple(result)


async def page(visit: Visit) -> web.StreamResponse:
    """Show the fields with their present values."""
    _check(visit)
    bucket = access.document(visit)
    values = {field.name: field.written(bucket) for field in fields()}
    return _page(visit, values, _fingerprint(bucket))


async def save(visit: Visit) -> web.StreamResponse:
    """Write the values of the form, unless somebody else has changed them since it was loaded."""
    _check(visit)
    was, values = visit.text("was"), {field.name: visit.text(field.name) for field in fields()}
    try:
        changes = {field.name: field.read(values[field.name]) for field in fields()}
        edit = partial(_changed, changes)
        changed = edit(access.document(visit))
    except ValueError as error:  # of pydantic or JSON; both name the key
        return _page(visit, values, was, 400, error=access.words(error))

    try:
        await visit.change("PutSettings", edit, calls.expecting(_fingerprint, was, edit))
    except calls.ConflictError as conflict:
        theirs = conflict.present
        compared = diff.compare(_text(theirs), _text(changed))
        return _page(visit, values, _fingerprint(theirs), 409, compared=compared)
    except OssError as error:
        return _page(visit, values, was, error.status, error=error.message)
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/settings", saved="1"))


def _page(
    visit: Visit, values: dict[str, str], was: str, status: int = 200, **more: Any
) -> web.StreamResponse:
    given = {"error": "", "compared": None, **more}
    saved = visit.text("saved")
    return pages.render(
        visit, "fields.html", status, fields=fields(), values=values, was=was, saved=saved, **given
    )


def _check(visit: Visit) -> None:
    buckets.check_there(visit)
    visit.check(Right.RULE)  # some of them are secrets


def _changed(changes: dict[str, Any], document: Bucket) -> Bucket:
    """Return the document with these values.

    Raises:
        ValueError: A value is not valid.
    """
    return Bucket.model_validate({**dict(document), **changes})


def _text(bucket: Bucket) -> str:
    """Return the fields as JSON, for comparison."""
    present = bucket.model_dump(mode="json")
    own = {field.name: present[field.name] for field in fields()}
    return json.dumps(own, indent=2, ensure_ascii=False, sort_keys=True)


def _fingerprint(bucket: Bucket) -> str:
    return digest(_text(bucket).encode())
