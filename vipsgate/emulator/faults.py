"""Faults by rule: which requests are to be delayed, refused, or cut off."""

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
    """A rule: the requests that it is for, and what happens to them.

    Attributes:
        method: ``PUT``; empty for any.
        bucket: A pattern of the bucket's name, ``photos-*``.
        key: A pattern of the key, ``*.jpg``; ``*`` is also for requests without a key.
        call: The name of OSS's call, ``UploadPart``; empty for any.
        skip: Requests that pass before the first one is met.
        count: Requests that are met; ``None`` for all that come.
        latency: Seconds that pass before anything else is done.
        status: HTTP status of an error that is answered in place of doing anything; 0 for none.
        code: OSS's error code of that; empty for the usual one.
        message: Its text.
        headers: Its further headers, ``Retry-After``.
        cut: ``request``: the connection is cut and nothing is done; ``answer``: all is done, and no
            byte of the answer is sent; a number: so many bytes of the answer's body are sent.
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
    message: str = "A fault of the emulator's, as a rule demands."
    headers: Mapping[str, str] = Field(default_factory=dict)
    cut: Literal["", "request", "answer"] | Annotated[int, Field(ge=0)] = ""

    @field_validator("status")
    @classmethod
    def _known(cls, status: int) -> int:
        if status and (status < 300 or status not in {item.value for item in HTTPStatus}):
            raise ValueError("is an HTTP status of 300 or more")
        return status

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if not (self.latency or self.status or self.cut != ""):
            raise ValueError("a fault has a latency, a status or a cut")
        if self.status and self.cut != "":
            raise ValueError("a fault has a status or a cut, not both")
        return self

    def matches(self, request: Request) -> bool:
        """Return whether the rule is for a request, however many it has matched already."""
        return (
            self.method.upper() in ("", request.method)
            and self.call in ("", request.call)
            and fnmatchcase(request.bucket, self.bucket)
            and fnmatchcase(request.key, self.key)
        )

    def oss_code(self) -> str:
        """Return the code of its error."""
        return self.code or CODES.get(self.status, HTTPStatus(self.status).phrase.replace(" ", ""))


class Faults:
    """The rules in force; of those that are for a request, it meets the first."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._seen: dict[int, int] = {}  # requests that a rule was for, those that passed included
        self._number = 0

    def add(self, fault: Fault) -> int:
        """Put a rule in force behind the others, and return its number."""
        self._number += 1
        self._faults[self._number] = fault
        self._seen[self._number] = 0
        return self._number

    def remove(self, number: int) -> bool:
        """Give up a rule; ``False`` where there is none of this number."""
        return self._faults.pop(number, None) is not None

    def clear(self) -> None:
        """Give up all rules."""
        self._faults.clear()

    def meet(self, request: Request) -> Fault | None:
        """Return the rule that a request meets, which counts it; its number is noted there."""
        for number, fault in self._faults.items():
            if not fault.matches(request) or self._is_over(number):
                continue
            self._seen[number] += 1
            if self._seen[number] > fault.skip:
                request.fault = number
                return fault
        return None

    def hits(self) -> Sequence[tuple[int, Fault, int]]:
        """Return the number of each rule, the rule, and how many requests have met it."""
        return [
            (number, fault, max(0, self._seen[number] - fault.skip))
            for number, fault in self._faults.items()
        ]

    def _is_over(self, number: int) -> bool:
        fault = self._faults[number]
        return fault.count is not None and self._seen[number] >= fault.skip + fault.count
