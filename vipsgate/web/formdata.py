"""Parser of ``multipart/form-data`` (RFC 7578): fields in memory, then one file in pieces.

It reads any iterator of bytes, in memory that does not grow with the file. aiohttp's own reader
accepts lines that end with LF alone, skips any preamble, and reads the socket directly, without the
limits of time and size that every other body has here.

RULE: nothing is guessed. What parsers may read differently is refused: a boundary that is not
followed by CRLF or ``--``, text before the first one or after the last, a folded header, a second
name. Content-Transfer-Encoding is ignored (RFC 7578, 4.7): bytes are stored as they are sent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from ..errors import (
    FieldItemTooLong,
    IncorrectNumberOfFilesInPOSTRequest,
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPOSTPreDataLengthExceededError,
    shown,
)

FILE = "file"  # the name of the field that has the file (OSS guide, PostObject)
AFTER_FILE = frozenset(("submit",))  # fields that may follow it, as in the guide's example
HEAD_BYTES = 8192  # largest size of the headers of one part
FIELD_BYTES = 32768  # largest size of a field, as of a header of a request
PARTS, FIELDS_BYTES = 128, 8 * FIELD_BYTES  # for all fields, as for the headers of a request
EXTRA_BYTES = FIELDS_BYTES + PARTS * HEAD_BYTES  # largest size of a form without its file

BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, 5.1.1
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
# a quotation mark in a name is percent-encoded by browsers, and has a backslash from old clients
PARAMETER = re.compile(
    r';\s*([A-Za-z*]+)\s*=\s*(?:"((?:[^"\\]|\\["\\]|\\(?!["\\]))*)"|([^\s";]+))\s*'
)
ESCAPED = re.compile(r'\\(["\\])')
EXTENDED = re.compile(r"utf-8'[^']*'(.*)", re.IGNORECASE)  # RFC 8187; urllib3 before 2.0 writes it


@dataclass(frozen=True, slots=True)
class File:
    """Name and type of the file in a form.

    Attributes:
        name: The last part of the file's path on the client's disk; empty for none.
        content_type: The Content-Type as sent; empty for none.
    """

    name: str
    content_type: str


class Form:
    """A form, of which :meth:`fields` is to be read first, and then all of :meth:`content`.

    Args:
        body: The form, in pieces.
        boundary: The boundary of its Content-Type, see :func:`boundary_of`.

    Raises:
        MalformedPOSTRequest: From both methods: the body is not a valid form.
        FieldItemTooLong: A field is too long.
        MaxPOSTPreDataLengthExceededError: All fields together are too long, or they are too many.
        IncorrectNumberOfFilesInPOSTRequest: There is no file, or a second one.
        InvalidArgument: A field is there twice, follows the file, or is not UTF-8.
    """

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body, self._buffer = body, bytearray()
        self._mark = b"\r\n--" + boundary
        self._parts = 0

    async def fields(self) -> tuple[Mapping[str, str], File]:
        """Return the fields before the file, by their names in lower case, and the file's name.

        OSS's own examples write names in different cases (``Signature``, ``signature``).
        """
        first = self._mark[2:]
        while len(self._buffer) < len(first) and first.startswith(self._buffer):
            await self._more()
        if not self._buffer.startswith(first):
            raise malformed("it does not begin with its boundary")
        del self._buffer[: len(first)]
        fields: dict[str, str] = {}
        size = 0
        while not await self._is_last():
            name, file = await self._part()
            if file:
                return fields, file
            if name in fields:
                raise InvalidArgument(f"The form field: {shown(name)!r} is given 2 times.")
            value = await self._value(name)
            size += len(name) + len(value)
            if size > FIELDS_BYTES:
                raise _too_much()
            fields[name] = _text(value, f"The form field: {shown(name)!r}")
        raise IncorrectNumberOfFilesInPOSTRequest(
            "POST requires exactly one file upload per request. There is no field named file."
        )

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file; it is complete only if the form is valid to its end."""
        mark = self._mark
        while (end := self._buffer.find(mark)) < 0:
            ready = len(self._buffer) - len(mark) + 1  # the boundary may begin after that
            if ready > 0:
                yield bytes(self._buffer[:ready])
                del self._buffer[:ready]
            await self._more()
        if end:
            yield bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        await self._finish()

    async def _finish(self) -> None:
        """Read what follows the file."""
        while not await self._is_last():
            name, file = await self._part()
            if file:
                raise IncorrectNumberOfFilesInPOSTRequest(
                    "POST requires exactly one file upload per request. There is a second one."
                )
            if name not in AFTER_FILE:
                raise InvalidArgument(
                    f"The form field: {shown(name)!r} comes after the file. "
                    "The file must be the last field of the form.",
                    ec="0006-00000103",
                )
            await self._value(name)
        async for data in self._body:
            self._buffer += data
            if len(self._buffer) > 2:
                break
        if bytes(self._buffer) not in (b"", b"\r\n"):
            raise malformed("there is text after its last boundary")

    async def _is_last(self) -> bool:
        """Return whether the boundary just read is the last one, and not followed by a part."""
        while len(self._buffer) < 2:
            await self._more()
        if self._buffer.startswith(b"--"):
            del self._buffer[:2]
            return True
        if not self._buffer.startswith(b"\r\n"):
            raise malformed("a boundary is not followed by CR LF")
        return False

    async def _part(self) -> tuple[str, File | None]:
        """Read the headers of a part; return its name in lower case, and the file if it is one."""
        self._parts += 1
        if self._parts > PARTS:
            raise _too_much()
        head = await self._until(b"\r\n\r\n", HEAD_BYTES)
        if head is None:
            raise malformed(f"a part has more than {HEAD_BYTES} bytes of headers")
        headers = _headers(head)
        names = _disposition(headers.get("content-disposition", ""))
        name = names["name"].lower()
        if name != FILE:
            return name, None
        return name, File(_last_part(names["filename"]), headers.get("content-type", ""))

    async def _value(self, name: str) -> bytes:
        value = await self._until(self._mark, FIELD_BYTES)
        if value is None:
            raise FieldItemTooLong(
                f"Your field item too long. The form field: {shown(name)!r} has more than "
                f"{FIELD_BYTES} bytes."
            )
        return value

    async def _until(self, mark: bytes, most: int) -> bytes | None:
        """Read up to a mark and past it, and return the bytes before it.

        Returns:
            The bytes; ``None`` if they are more than ``most``.
        """
        while (end := self._buffer.find(mark, 0, most + len(mark))) < 0:
            if len(self._buffer) >= most + len(mark):
                return None
            await self._more()
        result = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return result

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._body)
        except StopAsyncIteration:
            raise malformed("it ends before its last boundary") from None


def boundary_of(content_type: str) -> bytes:
    """Return the boundary in a ``Content-Type``.

    Raises:
        MalformedPOSTRequest: It is not that of a form with a file, or has no valid boundary.
    """
    kind, parameters = _parameters(content_type)
    text = parameters.get("boundary", "")
    if kind != "multipart/form-data" or not BOUNDARY.fullmatch(text):
        raise malformed(f"its Content-Type is {shown(content_type)!r}")
    return text.encode()


def malformed(what: str) -> MalformedPOSTRequest:
    """Return the error for a body that is not a valid form."""
    return MalformedPOSTRequest(
        f"The body of your POST request is not well-formed multipart/form-data: {what}."
    )


def _headers(head: bytes) -> dict[str, str]:
    """Return the headers of a part, by name in lower case; each begins with CR LF."""
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        parts = HEADER.fullmatch(line)
        if not parts:
            raise malformed(f"a header of a part is {shown(line.decode('latin-1'))!r}")
        name = parts[1].decode().lower()
        if name in headers:
            raise malformed(f"a part has the header {shown(name)} twice")
        headers[name] = _text(parts[2], f"The header: {shown(name)} of a form field")
    return headers


def _disposition(text: str) -> dict[str, str]:
    """Return the parameters of a Content-Disposition; ``filename`` is empty if it has none."""
    kind, names = _parameters(text)
    if kind != "form-data" or not names.get("name"):
        raise malformed(f"a part has the Content-Disposition {shown(text)!r}")
    if extended := EXTENDED.fullmatch(names.get("filename*", "")):
        names["filename"] = _text(unquote_to_bytes(extended[1]), "The name of the file")
    return {"filename": "", **names}


def _parameters(text: str) -> tuple[str, dict[str, str]]:
    """Return the word and the parameters of ``word; a=b; c="d"``, with names in lower case.

    Raises:
        MalformedPOSTRequest: It does not have this form, or has a parameter twice.
    """
    kind, _, _ = text.partition(";")
    rest = text[len(kind) :]
    pairs = [
        (match[1].lower(), match[3] if match[2] is None else ESCAPED.sub(r"\1", match[2]))
        for match in PARAMETER.finditer(rest)
    ]
    if PARAMETER.sub("", rest) or len(dict(pairs)) < len(pairs):
        raise malformed(f"a header is {shown(text)!r}")
    return kind.strip().lower(), dict(pairs)


def _last_part(name: str) -> str:
    """Return a file's name without folders, which some browsers include."""
    return re.split(r"[/\\]", name)[-1]


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{what} is not UTF-8.") from None


def _too_much() -> MaxPOSTPreDataLengthExceededError:
    return MaxPOSTPreDataLengthExceededError(
        "Your POST request fields preceding the upload file were too large. There may be "
        f"{PARTS} of them, with {FIELDS_BYTES} bytes together."
    )
