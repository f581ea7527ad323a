"""POST with a process in the body: the picture, or with ``|sys/saveas`` a new object of it.

::

    POST /KEY?x-oss-process
    x-oss-process=image/resize,w_100|sys/saveas,o_<Base64 of the key>,b_<Base64 of the bucket>
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ..delivery import derivatives, resolve
from ..errors import (
    BadRequest,
    InvalidArgument,
    InvalidRequest,
    MissingArgument,
    Unimplemented,
    shown,
)
from ..gate import accept, access
from ..gate.rights import Right
from ..gate.target import PROCESS, Target, check_stored_key
from ..image import params
from ..store.base import Opened, Properties
from ..web import responses
from ..web.framing import LINE_BYTES
from . import copying, objects, writing
from .call import Call

STAGE = "sys/saveas"


@dataclass(frozen=True, slots=True)
class SaveAs:
    """The destination of a picture.

    Attributes:
        key: The key of the new object.
        bucket: Its bucket; empty for that of the source.
    """

    key: str
    bucket: str = ""


async def post(call: Call) -> web.StreamResponse:
    """Make a picture; store it, or send it.

    Raises:
        Unimplemented: The process is in the query, as in SelectObject.
    """
    if text := call.target.process:
        raise Unimplemented(
            f"The call: POST ?{PROCESS}={shown(text)} on an object is not implemented. PostProcess "
            "has its process in the body."
        )
    text = read_body(await call.document(LINE_BYTES))
    rest, sink = split(text)
    target = replace(call.target, query=((PROCESS, rest),))
    if sink is None:
        return await objects.picture_of(call, target)
    whole = replace(call.target, query=((PROCESS, text),))  # a style does not open what is kept
    return await _save(call, target, sink, whole)


def read_body(body: bytes) -> str:
    """Return the process text in a body, raw or percent-encoded, whatever its Content-Type.

    Raises:
        InvalidRequest: The body has no process text.
        InvalidArgument: The text is not UTF-8.
    """
    name, separator, value = body.strip().partition(b"=")
    if name != PROCESS.encode() or not separator or not value:
        raise InvalidRequest(f"The body of the POST is not {PROCESS}=PROCESS.")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"The parameter: {PROCESS} is not UTF-8.") from None


def split(text: str) -> tuple[str, SaveAs | None]:
    """Split a process text into the process and its destination; ``None`` without ``sys/saveas``.

    Raises:
        OssError: The last stage is a ``sys/saveas`` that is not valid.
    """
    rest, pipe, last = text.rpartition("|")
    name, *words = last.split(",")
    if name != STAGE:
        return text, None
    if not pipe or not rest:
        raise InvalidArgument(f"{STAGE} needs a process before it: image/...|{STAGE},o_...")
    names = dict.fromkeys(("o", "b"), "")
    for word in words:
        key, _, value = word.partition("_")
        if key in names:
            names[key] = _decoded(key, value)
    if not names["o"]:
        raise MissingArgument(f"{STAGE} needs o: the Base64 of an object's name.")
    return rest, SaveAs(names["o"], names["b"])


async def _save(call: Call, target: Target, sink: SaveAs, whole: Target) -> web.StreamResponse:
    services, bucket = call.services, sink.bucket or target.bucket
    check_stored_key(sink.key)
    access.check_role(call.grant.caller, Right.WRITE)
    grant = copying.other_grant(call, bucket)
    access.check_source(call.grant, whole, access.Seen(target.key))
    await writing.check_writable(call, grant, bucket, sink.key)
    # what is stored is for everybody: only a caller that says format,auto has it chosen by Accept
    taken = accept.header(call.request.headers)
    order = await resolve.order(services, call.grant, target, taken, switch=False)
    access.check_source(call.grant, whole, order.seen()[0])
    with closing(await derivatives.fetch_anew(services, order)) as content:
        assert not callable(content.body)  # it is there as a whole
        async with services.store.draft(bucket) as draft:
            if isinstance(content.body, bytes):
                await draft.write(content.body)
            elif isinstance(content.body, Opened):
                await content.body.copy(draft)
            else:
                await draft.copy(content.body, 0, content.size)
            mime = content.derivative.entry.mime if content.derivative else ""
            properties = Properties(content_type=mime)
            notes = content.notes
            await writing.keep(call, draft, bucket, sink.key, properties)
    # the bucket as the caller has named it: empty without b_ (OSS guide, sys/saveas)
    result = {"bucket": sink.bucket, "fileSize": content.size, "object": sink.key, "status": "OK"}
    body = json.dumps(result, ensure_ascii=False).encode()
    call.request[responses.RECORD].notes = notes
    headers = {"Content-Type": "application/json"} | responses.noted(notes)
    return call.respond(body=body, headers=headers)


def _decoded(key: str, value: str) -> str:
    try:
        return params.decoded(value)
    except params.NotBase64:
        raise BadRequest(
            f"Input is not base64 decoding. {STAGE} has {key} = {shown(value)!r}."
        ) from None
