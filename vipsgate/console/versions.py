"""Versions of a bucket's document: shows changes, restores versions, imports and exports JSON."""

from __future__ import annotations

import contextlib

from aiohttp import web

from ..buckets import Bucket
from ..catalog import documents
from ..catalog.documents import DocumentError
from ..catalog.versions import OUTSIDE, digest
from ..errors import InvalidArgument, OssError
from ..gate.rights import Right
from . import buckets, calls, diff, pages
from .visit import Visit

MAX_IMPORT = documents.MAX_BYTES  # most bytes of a file


async def page(visit: Visit) -> web.StreamResponse:
    """Show the list, and import and export."""
    return await _page(visit)


async def show(visit: Visit) -> web.StreamResponse:
    """Show one version: what it has changed, and what restoring it would change."""
    _check(visit)
    number = _number(visit)
    versions = await visit.services.registry.documents.versions(visit.bucket)
    at = next((at for at, item in enumerate(versions) if item.number == number), None)
    if at is None:
        raise InvalidArgument(f"There is no version {number} of this bucket's document.")
    version = versions[at]
    older = versions[at + 1] if at + 1 < len(versions) else None
    return pages.render(
        visit,
        "version.html",
        version=version,
        outside=OUTSIDE,
        older=older,
        change=diff.compare(_text(older.document) if older else "", _text(version.document)),
        back=diff.compare(_present(visit), _text(version.document)),
        text=_text(version.document),
        was=_was(visit),
    )


async def restore(visit: Visit) -> web.StreamResponse:
    """Restore a version, which is a change like any other."""
    _check(visit)
    number = _number(visit)
    versions = await visit.services.registry.documents.versions(visit.bucket)
    version = next((item for item in versions if item.number == number), None)
    if version is None:
        raise InvalidArgument(f"There is no version {number} of this bucket's document.")
    return await _take(visit, version.document, f"RestoreVersion {number}")


async def import_(visit: Visit) -> web.StreamResponse:
    """Import a file as the document, after showing what that would change."""
    _check(visit)
    return await _take(visit, _given(visit), "ImportDocument", sure=visit.text("sure") == "1")


async def export(visit: Visit) -> web.StreamResponse:
    """Send the document in force as a file, as ``vipsgate bucket export`` writes it."""
    _check(visit)
    headers = {
        **pages.HEADERS,
        "Content-Disposition": f'attachment; filename="{visit.bucket}.json"',
    }
    return web.Response(
        text=_present(visit), content_type="application/json", charset="utf-8", headers=headers
    )


async def _take(visit: Visit, data: bytes, name: str, *, sure: bool = True) -> web.StreamResponse:
    """Replace the document in force, unless somebody else has changed it since it was shown."""
    try:
        result = documents.read(data, visit.services.settings.limits)
    except DocumentError as error:
        return await _page(visit, 400, error=str(error))
    if not sure:
        return _confirm(visit, data)

    def guard(present: Bucket) -> None:
        if digest(documents.write(present)) != visit.text("was"):
            raise calls.ConflictError(present)

    try:
        await visit.change(name, lambda _: result, guard, mend=True)
    except calls.ConflictError:
        return _confirm(visit, data, 409)
    except OssError as error:
        return await _page(visit, error.status, error=error.message)
    raise web.HTTPSeeOther(pages.link(f"b/{visit.bucket}/versions", saved="1"))


async def _page(visit: Visit, status: int = 200, error: str = "") -> web.StreamResponse:
    _check(visit)
    registry = visit.services.registry
    versions = await registry.documents.versions(visit.bucket)
    return pages.render(
        visit,
        "versions.html",
        status,
        versions=versions,
        outside=OUTSIDE,
        was=_was(visit),
        error=error,
        saved=visit.text("saved"),
        fault=registry.faults.get(visit.bucket, ""),
    )


def _confirm(visit: Visit, data: bytes, status: int = 200) -> web.Response:
    """Ask for confirmation before a document is replaced, and show what that would change."""
    return pages.render(
        visit,
        "import.html",
        status,
        conflict=status == 409,
        text=_text(data),
        change=diff.compare(_present(visit), _text(data)),
        was=_was(visit),
    )


def _check(visit: Visit) -> None:
    buckets.check_there(visit)
    visit.check(Right.RULE)  # it shows names of other keys


def _given(visit: Visit) -> bytes:
    """Return the document in the form, which is a file or a text.

    Raises:
        InvalidArgument: There is none, or it is too large.
    """
    file = visit.form.get("file")
    data = visit.text("document").encode()
    if isinstance(file, web.FileField):
        with contextlib.closing(file.file):
            data = file.file.read(MAX_IMPORT + 1)
    if not data or len(data) > MAX_IMPORT:
        raise InvalidArgument(f"A document has up to {MAX_IMPORT} bytes; this one has {len(data)}.")
    return data


def _number(visit: Visit) -> int:
    text = visit.text("number")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _document(visit: Visit) -> Bucket:
    registry = visit.services.registry
    return registry.get(visit.bucket) or registry.plain


def _present(visit: Visit) -> str:
    """Return the document in force as text."""
    return documents.write(_document(visit)).decode()


def _was(visit: Visit) -> str:
    """Return a digest of the document in force."""
    return digest(documents.write(_document(visit)))


def _text(document: bytes) -> str:
    """Return a document as text for a comparison.

    A valid document is formatted as vipsgate writes it, so that only its content makes a
    difference.
    """
    with contextlib.suppress(ValueError):
        return documents.write(Bucket.model_validate_json(document)).decode()
    return document.decode("utf-8", "backslashreplace")
