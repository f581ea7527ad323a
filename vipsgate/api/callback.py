"""Callbacks of PutObject, PostObject and CompleteMultipartUpload: read first, performed last.

A callback that is not valid is refused before a byte is stored. After that the object is stored in
any case: a callback that fails is answered with 203, as in OSS, which is not an error of the
upload. Only signed requests may have a callback, so that anonymous callers cannot make this server
connect to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from aiohttp import web

from ..delivery import image_info
from ..errors import AccessDenied, InvalidArgument, OssError, Unimplemented
from ..gate.callback import FORMAT, HEIGHT, NAMES, OF_PICTURES, SIZE, WIDTH, Callback, Value, parse
from ..gate.headers import CALLBACKS, PREFIX
from ..gate.sign import Credential
from ..store.base import Object
from ..web import responses
from ..web.callbacks import CallbackError
from . import xml
from .call import Call

FAILED = "CallbackFailed"  # a code of OSS's
OF_INFO = {HEIGHT: "ImageHeight", WIDTH: "ImageWidth", FORMAT: "Format"}


def read(call: Call) -> Callback | None:
    """Return the callback in the headers or the query of a request, or ``None``.

    Raises:
        Unimplemented: No hosts are allowed by the settings.
        AccessDenied: The request is not signed, or the callback's host is not allowed.
        InvalidArgument: The callback is malformed.
    """
    sent = {f"parameter: {name}": value for name, value in call.target.query if name in NAMES}
    headers = call.request.headers
    sent |= {f"header: {name}": headers[name] for name in CALLBACKS if name in headers}
    return _read(call, sent, {}, call.grant.caller)


def read_form(call: Call, fields: Mapping[str, str], caller: Credential | None) -> Callback | None:
    """Return the callback in a form, or ``None``.

    Args:
        call: The call.
        fields: The fields of the form; those that begin with ``x:`` are variables of the callback.
        caller: The caller that has signed the form.

    Raises:
        OssError: See :func:`read`.
    """
    sent = {f"form field: {name}": fields[name] for name in sorted(NAMES & fields.keys())}
    own = {name: value for name, value in fields.items() if name.startswith("x:")}
    return _read(call, sent, own, caller)


def _read(
    call: Call, sent: Mapping[str, str], own: Mapping[str, str], caller: Credential | None
) -> Callback | None:
    if not sent:
        return None
    hosts = call.services.settings.server.callback_hosts
    if not hosts:
        raise Unimplemented(
            f"The {next(iter(sent))} of {call.name} is not implemented. "
            "This server's setting server.callback_hosts is empty."
        )
    if caller is None:
        raise AccessDenied(f"The {next(iter(sent))} needs a request that is signed.")
    named: dict[str, str] = {}
    for where, value in sent.items():
        name = where.partition(": ")[2].removeprefix(PREFIX)
        if name in named:
            raise InvalidArgument(f"The {name} is given as a header and as a parameter.")
        named[name] = value
    return parse(named, own, hosts)


async def perform(
    call: Call, report: Callback, key: str, stored: Object, headers: Mapping[str, str]
) -> web.Response:
    """Perform a callback for a new object, and return the answer of the callback's server.

    Args:
        call: The call that has stored the object.
        report: The callback.
        key: The key of the object.
        stored: The object.
        headers: Headers of the answer.
    """
    try:
        values = await _values(call, report, key, stored, headers)
    except OssError as error:
        reason = f"The picture's properties cannot be read now: {error.message}"
        return _failed(call, reason, headers)
    body = report.template.fill(values).encode()
    sent = {
        "Content-Type": report.template.content_type,
        "x-oss-bucket": call.target.bucket,
        "x-oss-request-id": call.request[responses.RECORD].identity,
    }
    if report.host:
        sent["Host"] = report.host
    reason = ""
    for url in report.urls:
        try:
            answer = await call.services.callbacks.post(url, sent, body)
        except CallbackError as error:
            reason = str(error)
        else:
            return call.respond(
                body=answer, headers={**headers, "Content-Type": "application/json"}
            )
    return _failed(call, reason, headers)


async def _values(
    call: Call, report: Callback, key: str, stored: Object, headers: Mapping[str, str]
) -> dict[str, Value]:
    """Return the values of the callback's variables.

    Raises:
        OssError: The picture's info cannot be read now.
    """
    bucket, record = call.target.bucket, call.request[responses.RECORD]
    values: dict[str, Value] = {
        **report.variables,
        "bucket": bucket,
        "object": key,
        "etag": stored.etag.strip('"'),
        SIZE: stored.size,
        "mimeType": stored.properties.content_type or responses.mime_of(key),
        "crc64": headers[responses.CRC],
        "contentMd5": headers.get(responses.MD5, ""),  # unknown for an upload in parts
        "clientIp": call.request.remote or "",
        "reqId": record.identity,
        "operation": call.name,
    }
    if not OF_PICTURES.isdisjoint(report.template.names):
        info = await image_info.read(call.services, call.grant, bucket, key, stored.etag)
        for name, of_info in OF_INFO.items():
            value = info.get(of_info, "")
            values[name] = int(value) if value.isdigit() and name != FORMAT else value
    return values


def _failed(call: Call, reason: str, headers: Mapping[str, str]) -> web.Response:
    """Return a 203: the object is stored, but the callback has failed."""
    record = call.request[responses.RECORD]
    record.code = FAILED
    root = xml.add(
        Element("Error"),
        Code=FAILED,
        Message=reason,
        RequestId=record.identity,
        HostId=call.header("Host"),
    )
    return call.respond(203, xml.write(root), headers)
