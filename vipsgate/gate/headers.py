"""The ``x-oss-`` headers that a request may have, call by call.

Such a header requests something: encryption, tags, a callback, a slower answer. What is not
supported is refused by name, before the body is read. A table maps each accepted header to its
accepted values: :data:`ANY` if the call's handler reads it and checks the value, or else the values
that have no effect here. A name that ends with ``-`` stands for all headers with this prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import InvalidArgument, Unimplemented, shown

if TYPE_CHECKING:
    from multidict import MultiMapping

Values = frozenset[str] | None  # as OSS spells them; their case does not matter
Table = Mapping[str, Values]

PREFIX = "x-oss-"
ACL, BUCKET_ACL = "x-oss-object-acl", "x-oss-acl"
META = "x-oss-meta-"
COPY_SOURCE = "x-oss-copy-source"
DIRECTIVE = "x-oss-metadata-directive"
FORBID_OVERWRITE = "x-oss-forbid-overwrite"
TAGGING, TAGGING_DIRECTIVE = "x-oss-tagging", "x-oss-tagging-directive"
COMPLETE_ALL = "x-oss-complete-all"
ALLOW_OVERLAP = "x-oss-allow-same-action-overlap"

# of HTTP, on calls that change something: without what they ask for, an object would be overwritten
# that was to stay, or all of it replaced by a part
NOT_ON_CHANGES = (
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"),
    "Content-Range",
)
READS = frozenset(("GET", "HEAD"))

ANY: Values = None
TRUTH: Values = frozenset(("true", "false"))

ALWAYS: Table = {  # on every call
    # of a signature; gate/sign reads them
    "x-oss-content-sha256": ANY,
    "x-oss-date": ANY,
    "x-oss-security-token": ANY,
    # ali-oss in a browser, where it may not set User-Agent
    "x-oss-user-agent": ANY,
    # nothing is charged for here (OSS guide, Requester pays)
    "x-oss-request-payer": frozenset(("requester",)),
    # of answers: the SDK for Java sends back what it was told of an object, to change a part of it
    "x-oss-hash-crc64ecma": ANY,
    "x-oss-next-append-position": ANY,
    "x-oss-object-type": ANY,
    "x-oss-request-id": ANY,
    "x-oss-server-time": ANY,
    "x-oss-tagging-count": ANY,
}
# a range that begins inside is cut at the end, one behind the end is 416 (OSS guide, GetObject)
# nothing is overwritten by a read; oss2's own tests send one header with both
READ: Table = {"x-oss-range-behavior": frozenset(("standard",)), FORBID_OVERWRITE: TRUTH}
WRITE: Table = {
    ACL: ANY,
    META: ANY,
    FORBID_OVERWRITE: TRUTH,
    "x-oss-storage-class": frozenset(("Standard",)),
    TAGGING: ANY,
}
# who is told when the object is stored; api.callback refuses them where nobody may be
CALLBACKS: Table = {"x-oss-callback": ANY, "x-oss-callback-var": ANY}
PUT: Table = {**WRITE, **CALLBACKS}
APPEND: Table = {name: values for name, values in WRITE.items() if name != FORBID_OVERWRITE}
SYMLINK_TARGET = "x-oss-symlink-target"
SYMLINK: Table = {**WRITE, SYMLINK_TARGET: ANY}
# nothing is under retention here (OSS guide, DeleteObject)
DELETE: Table = {"x-oss-bypass-governance-retention": TRUTH}
CONDITIONS: Table = {
    f"{COPY_SOURCE}-if-{condition}": ANY
    for condition in ("match", "none-match", "modified-since", "unmodified-since")
}
# ali-oss says every header of a copy a second time so (lib/common/object/copyObject.js)
REPEATED: Table = {
    f"{COPY_SOURCE}-{name}": ANY
    for name in (
        *("cache-control", "content-disposition", "content-encoding", "content-language"),
        *("content-type", "expires", *WRITE, DIRECTIVE),
    )
}
COPY: Table = {
    **WRITE,
    **CONDITIONS,
    **REPEATED,
    COPY_SOURCE: ANY,
    DIRECTIVE: ANY,
    TAGGING_DIRECTIVE: frozenset(("Copy", "Replace")),
}
# what is said of an object when its upload begins; ali-oss says it again with every part, and oss2
# when it goes on with an upload, to no effect (OSS guide, UploadPart, ListParts)
UPLOAD: Table = WRITE
PART: Table = {**UPLOAD, COMPLETE_ALL: frozenset(("yes",))}
COPY_PART: Table = {**UPLOAD, **CONDITIONS, COPY_SOURCE: ANY, f"{COPY_SOURCE}-range": ANY}
COMPLETE: Table = {**PART, **CALLBACKS}
# fields of a form (OSS guide, PostObject); gate/sign reads those of its signature
CONTENT_TYPE = "x-oss-content-type"
FORM: Table = {
    **WRITE,
    CONTENT_TYPE: ANY,
    "x-oss-credential": ANY,
    "x-oss-signature": ANY,
    "x-oss-signature-version": ANY,
}
LIFECYCLE: Table = {ALLOW_OVERLAP: TRUTH}
SAVE_AS: Table = {FORBID_OVERWRITE: TRUTH}


def may_have_oss(names: Iterable[str]) -> bool:
    """Return whether these names may include one of OSS's; quicker than checking each."""
    return PREFIX in "\n".join(names).lower()


def check_fields(call: str, fields: Mapping[str, str]) -> None:
    """Refuse a form with an ``x-oss-`` field that is not in :data:`FORM`; see :func:`check`."""
    for name, value in fields.items():
        if name.startswith(PREFIX):
            _check(call, name, _values(call, FORM, name), [value])


def check(call: str, table: Table, headers: MultiMapping[str]) -> None:
    """Refuse a request with an ``x-oss-`` header that its call does not support.

    Args:
        call: The name of the call.
        table: The headers that it supports in addition to :data:`ALWAYS`.
        headers: Headers of the request; names are case-insensitive.

    Raises:
        Unimplemented: The call does not support the header, or its value.
        InvalidArgument: A header occurs several times, and the values may differ.
    """
    if not may_have_oss(headers):
        return
    for name in {name.lower() for name in headers}:
        if name.startswith(PREFIX):
            _check(call, name, _values(call, table, name), headers.getall(name))


def check_change(method: str, headers: Mapping[str, str]) -> None:
    """Refuse a change on a condition, or of a part of an object: it would be done without it.

    Args:
        method: Of the request.
        headers: Of the request, looked up without regard to case.

    Raises:
        Unimplemented: It has a header of :data:`NOT_ON_CHANGES` (OSS guide, PutObject).
    """
    if method in READS:
        return
    for name in NOT_ON_CHANGES:
        if name in headers:
            raise Unimplemented(
                "A header you provided implies functionality that is not implemented. "
                f"{name} is not supported on {method}.",
                extra={"Header": name},
            )


def _check(call: str, name: str, values: Values, sent: list[str]) -> None:
    if len(sent) > 1:
        raise InvalidArgument(f"The header: {shown(name)} is given {len(sent)} times.")
    if values is not None and sent[0].strip().lower() not in map(str.lower, values):
        raise Unimplemented(
            f"The value: {shown(sent[0])!r} of header: {name} of {call} is not implemented. "
            f"It expects {' or '.join(sorted(values))}."
        )


def _values(call: str, table: Table, name: str) -> Values:
    """Return the accepted values of a header.

    Raises:
        Unimplemented: The call does not support the header.
    """
    for known in (ALWAYS, table):
        if name in known and not name.endswith("-"):
            return known[name]
    for begin, values in table.items():
        if begin.endswith("-") and name.startswith(begin) and name != begin:
            return values
    raise Unimplemented(f"The header: {shown(name)} of {call} is not implemented.")
