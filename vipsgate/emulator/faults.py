"""Rules by which requests are delayed, refused or cut off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ..buckets import Record
from .requests import Request

CODES = {  # status -> the OSS error code that usually comes with it
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "Conflict",
    412: "PreconditionFailed",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


class Fault(Record):
    """A rule: the requests that it applies to, and what happens to them.

    Attributes:
        method: HTTP method; empty for any.
        bucket: Pattern of the bucket's name, ``photos-*``.
        key: Pattern of the key, ``*.jpg``; ``*`` also matches requests without a key.
        call: Name of OSS's call, ``UploadPart``; empty for any.
        skip: Number of matching requests that pass before.
        count: Number of requests that it applies to; ``None`` for all.
        latency: Seconds by which a request is delayed.
        status: HTTP status of an error that is sent in place of processing the request; 0 for none.
        code: OSS's code of that error; empty for the usual one of the status.
        message: Text of that error.
        headers: Further headers of that error, ``Retry-After``.
        cut: ``request``: the connection is closed and nothing is done; ``answer``: the request is
            processed, and no byte of the answer is sent; a number: this many bytes of the answer's
            body are sent; empty for none.
    """

    method: str = ""
    bucket: str = "*"
    key: str = "*"
    call: str = ""
    skip: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)] | None = None
    latency: Annotated[float, Field(ge=0, le=3600)] = 0
    status: int = 0
    code: str = ""
    message: str = "This fault is simulated by a rule of the emulator."
    headers: Mapping[str, str] = Field(default_factory=dict)
    cut: Literal["", "request", "answer"] | Annotated[int, Field(ge=0)] = ""

    @field_validator("status")
    @classmethod
    def _known(cls, status: int) -> int:
        if status and (status < 300 or status not in {item.value for item in HTTPStatus}):
            raise ValueError("expects an HTTP status of 300 or more")
        return status

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if not (self.latency or self.status or self.cut != ""):
            raise ValueError("a fault needs a latency, a status or a cut")
        if self.status and self.cut != "":
            raise ValueError("a fault has a status or a cut, not both")
        return self

    def matches(self, request: Request) -> bool:
        """Return whether the rule matches a request, without regard to ``skip`` and ``count``."""
        return (
            self.method.upper() in ("", request.method)
            and self.call in ("", request.call)
            and fnmatchcase(request.bucket, self.bucket)
            and fnmatchcase(request.key, self.key)
        )

    def oss_code(self) -> str:
        """Return OSS's code of its error."""
        return self.code or CODES.get(self.status, HTTPStatus(self.status).phrase.replace(" ", ""))


class Faults:
    """The rules in force; of those that match a request, the first one is applied."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._seen: dict[int, int] = {}  # matching requests by rule, including skipped ones
        self._number = 0

    def add(self, fault: Fault) -> int:
        """Add a rule after the others, and return its number."""
        self._number += 1
        self._faults[self._number] = fault
        self._seen[self._number] = 0
        return self._number

    def remove(self, number: int) -> bool:
        """Remove a rule; return whether there was one of this number."""
        return self._faults.pop(number, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._faults.clear()

    def meet(self, request: Request) -> Fault | None:
        """Return the rule to apply to a request, or ``None``; its number is set in the request."""
        for number, fault in self._faults.items():
            if not fault.matches(request) or self._is_over(number):
                continue
            self._seen[number] += 1
            if self._seen[number] > fault.skip:
                request.fault = number
                return fault
        return None

    def hits(self) -> Sequence[tuple[int, Fault, int]]:
        """Return the number of each rule, the rule, and how many requests it was applied to."""
        return [
            (number, fault, max(0, self._seen[number] - fault.skip))
            for number, fault in self._faults.items()
        ]

    def _is_over(self, number: int) -> bool:
        fault = self._faults[number]
        return fault.count is not None and self._seen[number] >= fault.skip + fault.count
