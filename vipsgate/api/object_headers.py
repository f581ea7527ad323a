"""Reads the properties of a new object from headers (OSS guide, PutObject)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import (
    InvalidArgument,
    shown,
)
from ..gate import sign, tagging
from ..gate.headers import ACL, META, TAGGING
from ..gate.rights import ACLS
from ..store.base import Properties
from .call import Call

KEPT = (  # headers kept with an object besides its type (OSS guide, PutObject); nobody signs them
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)


def given_properties(call: Call, kind: str = "Normal") -> Properties:
    """Return the properties of a new object from the headers of a request."""
    return properties_of(sent(call), signed=call.grant.caller is not None, kind=kind)


def sent(call: Call) -> dict[str, str]:
    """Return the headers of a request, with names in lower case; several lines are one list."""
    return sign.fields(call.request.headers.items())


def properties_of(headers: Mapping[str, str], *, signed: bool, kind: str = "Normal") -> Properties:
    """Return the properties of a new object from headers or the fields of a form.

    Args:
        headers: The headers or fields, with names in lower case.
        signed: Whether the request is signed.
        kind: The x-oss-object-type of the object.
    """
    for name, value in headers.items():
        if name in KEPT or name.startswith(META) or name == "content-type":
            _check_printable(name, value)
    content_type = headers.get("content-type", "")
    if not content_type and signed:
        # OSS guide, PutObject; for an anonymous client the type is derived from the key
        content_type = "application/octet-stream"
    return Properties(
        content_type=content_type,
        acl=acl_of(headers.get(ACL, "")),
        headers={name: headers[name] for name in KEPT if name in headers},
        meta={
            name.removeprefix(META): value
            for name, value in headers.items()
            if name.startswith(META) and name != META
        },
        kind=kind,
        tags=tagging.read(headers.get(TAGGING, "").strip()),
    )


def said_acl(call: Call, *, required: bool = False) -> str:
    """Return the ACL in the header ``x-oss-object-acl``; see :func:`acl_of`."""
    return acl_of(call.header(ACL), required=required)


def acl_of(text: str, *, required: bool = False) -> str:
    """Return the ACL that a text names; empty for ``default``.

    Raises:
        InvalidArgument: There is no such ACL, or none at all where one is required.
    """
    acl = text.strip()
    if acl in ACLS:
        return acl
    if acl != "default" and (acl or required):
        raise InvalidArgument(
            f"The value: {shown(acl)} of parameter: {ACL} is invalid. "
            f"It expects one of default, {', '.join(ACLS)}."
        )
    return ""


def _check_printable(name: str, value: str) -> None:
    if not value.isprintable():
        raise InvalidArgument(
            f"The value: {shown(value)!r} of header: {name} is invalid. "
            "It expects printable characters in UTF-8."
        )
