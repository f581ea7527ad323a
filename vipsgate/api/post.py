"""PostObject: an object put by the form of a browser (OSS guide, PostObject).

Who puts it is who has signed the form's policy; a form without one is anonymous. A signature in a
header or in the URL is looked at like any other, but does not stand for that of the form. Fields
that OSS does not know either are passed over (uploaders send a ``name`` of their own); an
``x-oss-`` field that is not understood is refused.

Signature, policy and ACL are asked when all fields have come, before a byte of the file is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode, urlsplit
from xml.etree.ElementTree import Element

from aiohttp import web

from ..errors import InvalidArgument, Unimplemented, shown
from ..gate import access, headers, policy, sign
from ..gate.callback import Callback
from ..gate.rights import Right
from ..gate.sign.claim import check_field
from ..gate.target import check_stored_key
from ..store.base import Object, Properties
from ..web import formdata, responses
from . import callback, object_headers, writing, xml
from .call import Call, check_digest

FILENAME = "${filename}"  # in a key: the name that the file had
STATUS, REDIRECT = "success_action_status", "success_action_redirect"
STATUSES = {"200": 200, "201": 201}  # any other is 204, as with OSS
URL_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what a URL may have as it is (RFC 3986)


@dataclass(frozen=True, slots=True)
class Order:
    """The content of a form, to which the caller has access.

    Attributes:
        key: The key of the new object.
        properties: The properties of the new object.
        policy: The policy, which limits the file's size.
        fields: The fields of the form, with names in lower case.
        redirect: The URL to redirect the browser to; empty for none.
        report: The callback; ``None`` for none.
    """

    key: str
    properties: Properties
    policy: policy.Policy
    fields: Mapping[str, str]
    redirect: str
    report: Callback | None


async def post(call: Call) -> web.StreamResponse:
    """PostObject."""
    services, bucket = call.services, call.target.bucket
    most = services.settings.store.upload_bytes
    boundary = formdata.boundary_of(call.header("Content-Type"))
    body, md5 = call.body(most + formdata.EXTRA_BYTES), hashlib.md5(usedforsecurity=False)
    if call.header("Content-MD5"):  # of all of the body (RFC 2616, 14.15); the field is the file's
        body = _hashed(body, md5)
    form = formdata.Form(body, boundary)
    fields, file = await form.fields()
    order = await _allowed(call, {name: value for name, value in fields.items() if value}, file)
    async with services.store.draft(bucket) as draft:
        async for data in form.content():
            order.policy.check_largest(draft.size + len(data))
            await draft.write(data)
        order.policy.check_smallest(draft.size)
        call.check_digest(md5.digest())
        check_digest(order.fields.get("content-md5", "").strip(), draft.md5)
        stored = await writing.keep(
            call, draft, bucket, order.key, order.properties, only_new=_is_only_new(order.fields)
        )
        written = writing.written(draft, stored)
    if order.report:
        return await callback.perform(call, order.report, order.key, stored, written)
    return _answer(call, order, stored, written)


async def _allowed(call: Call, fields: Mapping[str, str], file: formdata.File) -> Order:
    """Check a form and the access of its signer, and return its content.

    Args:
        call: The call.
        fields: The fields that are not empty.
        file: The file's name and type.

    Raises:
        OssError: The form is refused.
    """
    services, bucket = call.services, call.target.bucket
    keys, now = services.configuration.keys, services.clock()
    caller = sign.verify_form(fields, keys.credentials, now, keys.region, keys.v4_expires_max)
    access.check_role(caller, Right.WRITE)
    headers.check_fields("PostObject", fields)
    report = callback.read_form(call, fields, caller)
    key = _key(fields, file)
    call.request[responses.RECORD].key = key
    # the browser's own type of the file comes before that of the form (OSS guide, PostObject)
    content_type = (
        fields.get(headers.CONTENT_TYPE, "") or file.content_type or fields.get("content-type", "")
    )
    fields = {**fields, "bucket": bucket, "key": key, "content-type": content_type}
    rules = policy.parse(fields["policy"]) if caller else policy.ANY
    rules.check(fields, now)
    most = services.settings.store.upload_bytes
    rules = replace(rules, largest=min(rules.largest, most))
    redirect = _redirect(fields.get(REDIRECT, ""))
    if redirect and report:
        raise Unimplemented(f"The form field: {REDIRECT} with a callback is not implemented.")
    properties = object_headers.properties_of(fields, signed=caller is not None)
    grant = access.Grant(call.grant.bucket, caller)
    await writing.check_writable(call, grant, bucket, key)
    return Order(key, properties, rules, fields, redirect, report)


def _key(fields: Mapping[str, str], file: formdata.File) -> str:
    """Return the key of the new object.

    Raises:
        InvalidArgument: There is none, or it includes the name of a file that has none.
        InvalidObjectName: The key is not valid.
    """
    check_field(fields, "key")
    key = fields["key"]
    if FILENAME in key:
        if not file.name:
            raise InvalidArgument(
                f"The value: {shown(key)!r} of form field: key is invalid. The file has no name "
                f"that {FILENAME} could stand for."
            )
        key = key.replace(FILENAME, file.name)
    check_stored_key(key)
    return key


def _is_only_new(fields: Mapping[str, str]) -> bool:
    return fields.get(headers.FORBID_OVERWRITE, "").strip().lower() == "true"


def _redirect(url: str) -> str:
    """Return the URL to redirect a browser to, percent-encoded.

    Raises:
        InvalidArgument: It is not a URL with http or https.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # of an address in brackets, or a port
        fits = False
    if url and not (fits and url.isprintable() and " " not in url):
        raise InvalidArgument(
            f"The value: {shown(url)!r} of form field: {REDIRECT} is invalid. "
            "It expects http://HOST/... or https://HOST/..."
        )
    return quote(url, safe=URL_SAFE)


def _answer(
    call: Call, order: Order, stored: Object, written: Mapping[str, str]
) -> web.StreamResponse:
    """Return the answer that the form has asked for; a 204 by default."""
    bucket, key = call.target.bucket, order.key
    if order.redirect:
        url, mark, fragment = order.redirect.partition("#")
        query = urlencode({"bucket": bucket, "key": key, "etag": stored.etag})
        location = f"{url}{'&' if '?' in url else '?'}{query}{mark}{fragment}"
        return call.respond(303, headers={**written, "Location": location})
    status = STATUSES.get(order.fields.get(STATUS, ""), 204)
    if status != 201:
        return call.respond(status, headers=written)
    location = call.location(key)
    root = xml.add(
        Element("PostResponse"), Bucket=bucket, Location=location, Key=key, ETag=stored.etag
    )
    return call.respond(201, xml.write(root), {**written, "Location": location})


async def _hashed(body: AsyncIterator[bytes], md5: hashlib._Hash) -> AsyncIterator[bytes]:
    """Yield the pieces of a body, and add them to an MD5."""
    async for data in body:
        md5.update(data)
        yield data
