"""The editor of a style: basic and advanced editing of one text, seen before it is saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

from ..api.styles import NAME
from ..buckets import Bucket
from ..errors import OssError
from ..gate.rights import Right
from ..gate.target import Target
from ..image.fonts import NAMES as FONTS
from ..image.gravity import ANCHORS
from . import basic, buckets, calls, pages, styles
from .visit import Visit


@dataclass(slots=True)
class Draft:
    """A style that is being edited.

    Attributes:
        content: The process text.
        problem: What is wrong with it; ``None`` for nothing.
        fields: Of basic editing; ``None`` where the text cannot be read.
        rest: Parts of the text that basic editing has no field for, and keeps.
    """

    content: str
    problem: basic.Problem | None = None
    fields: dict[str, str] | None = None
    rest: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, visit: Visit, content: str) -> Draft:
        """A text as it is."""
        limits = visit.services.settings.limits
        draft = cls(content)
        if not content.strip():
            draft.fields = dict.fromkeys(basic.names(), "")
            return draft
        draft.problem = basic.check(content, limits)
        try:
            draft.fields, draft.rest = basic.read(content, limits)
        except OssError:
            draft.fields = None
        return draft

    @classmethod
    def composed(cls, visit: Visit, content: str) -> Draft:
        """A text with the fields of basic editing that were filled in."""
        filled = {name: visit.text(name) for name in basic.names()}
        try:
            text = basic.write(content, filled, visit.services.settings.limits)
        except OssError as error:
            return cls(content, basic.Problem(error.message, 0, 0), filled)
        return cls.of(visit, text)

    def report(self) -> dict[str, Any]:
        """The draft as values, for the page's script."""
        problem = self.problem
        return {
            "content": self.content,
            "problem": problem and asdict(problem),
            "fields": self.fields,
            "rest": self.rest,
        }


async def page(visit: Visit) -> web.StreamResponse:
    """The editor of a style, or of a new one."""
    buckets.check_there(visit)
    name = visit.text("name")
    stored = _content(_document(visit), name)
    return await _page(visit, Draft.of(visit, stored), name, stored)


async def save(visit: Visit) -> web.StreamResponse:
    """Take basic editing over into the text, read the text again, or save it."""
    buckets.check_there(visit)
    visit.check(Right.RULE)
    name, content = visit.text("name").strip(), visit.text("content").strip()
    was = visit.text("was")
    if visit.text("do") == "basic":
        return await _page(visit, Draft.composed(visit, content), name, was)
    draft = Draft.of(visit, content)
    if visit.text("do") == "check":
        return await _page(visit, draft, name, was)

    def guard(present: Bucket) -> None:
        if _content(present, name) not in (was, content):
            raise calls.ConflictError(present)

    target = Target(visit.bucket, "", (("style", ""), (NAME, name)))
    try:
        await visit.call("PUT", target, data=styles.document(content), guard=guard)
    except calls.ConflictError as conflict:
        theirs = _content(conflict.present, name)
        return await _page(visit, draft, name, theirs, 409, theirs=theirs or "–")
    except OssError as error:
        return await _page(visit, draft, name, was, error.status, error=error.message)
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/styles", saved=name))


async def check(visit: Visit) -> web.StreamResponse:
    """What the script asks while one types: the text judged, and both ways of editing it."""
    content = visit.text("content").strip()
    compose = visit.text("do") == "basic"
    draft = Draft.composed(visit, content) if compose else Draft.of(visit, content)
    return web.json_response(draft.report(), headers=pages.HEADERS)


async def actions(visit: Visit) -> web.StreamResponse:
    """What completion offers."""
    return web.json_response(basic.completions(), headers=pages.HEADERS)


async def _page(
    visit: Visit,
    draft: Draft,
    name: str,
    was: str,
    status: int = 200,
    error: str = "",
    theirs: str = "",
) -> web.StreamResponse:
    samples = await styles.samples(visit)
    sample = visit.text("sample") or (samples[0] if samples else "")
    return pages.render(
        visit,
        "editor.html",
        status,
        draft=draft,
        name=name,
        known=name in _document(visit).styles,
        was=was,
        error=error,
        theirs=theirs,
        samples=samples,
        sample=sample,
        anchors=list(ANCHORS),
        fonts=[(font, font) for font in FONTS],
    )


def _document(visit: Visit) -> Bucket:
    registry = visit.services.registry
    return registry.get(visit.bucket) or registry.plain


def _content(document: Bucket, name: str) -> str:
    """The text of a style; empty where there is none."""
    style = document.styles.get(name)
    return style.content if style else ""
