"""The editor of a style: basic and advanced editing of one text, with a preview."""

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
        problem: The fault in it; ``None`` if it is valid.
        fields: Fields of basic editing; ``None`` if the text cannot be parsed.
        rest: Parts of the text without a field in basic editing, which are kept.
    """

    content: str
    problem: basic.Problem | None = None
    fields: dict[str, str] | None = None
    rest: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, visit: Visit, content: str) -> Draft:
        """Return the draft of a text."""
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
        """Return the draft of a text with these fields of basic editing."""
        filled = {name: visit.text(name) for name in basic.names()}
        try:
            text = basic.write(content, filled, visit.services.settings.limits)
        except OssError as error:
            return cls(content, basic.Problem(error.message, 0, 0), filled)
        return cls.of(visit, text)

    def report(self) -> dict[str, Any]:
        """Return the draft as plain values, for the page's script."""
        problem = self.problem
        return {
            "content": self.content,
            "problem": problem and asdict(problem),
            "fields": self.fields,
            "rest": self.rest,
        }


async def page(visit: Visit) -> web.StreamResponse:
    """Show the editor of a style, or of a new one."""
    buckets.check_there(visit)
    name = visit.text("name")
    stored = _content(_document(visit), name)
    return await _page(visit, Draft.of(visit, stored), name, stored)


async def save(visit: Visit) -> web.StreamResponse:
    """Apply basic editing to the text, read the text again, or save it."""
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
    """Answer the script while the user types: the fault in the text, and its fields."""
    content = visit.text("content").strip()
    compose = visit.text("do") == "basic"
    draft = Draft.composed(visit, content) if compose else Draft.of(visit, content)
    return web.json_response(draft.report(), headers=pages.HEADERS)


async def actions(visit: Visit) -> web.StreamResponse:
    """Answer the script with the words for completion."""
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
    """Return the text of a style; empty if there is none."""
    style = document.styles.get(name)
    return style.content if style else ""
