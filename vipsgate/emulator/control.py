"""The HTTP API of the admin port, ``/emulator/...``: JSON in and out, for tests in any language.

A request with an Origin comes from a web page, and is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from ..buckets import Record
from ..catalog import documents
from ..catalog.documents import DocumentError
from ..errors import OssError
from .buckets import Buckets
from .clock import Clock
from .faults import Fault, Faults
from .requests import Requests

PREFIX = "/emulator"
Model = TypeVar("Model", bound=BaseModel)
FILTERS = ("method", "bucket", "key", "call")  # parameters of GET /emulator/requests


class ControlError(ValueError):
    """The request is not valid; the text names key and value."""


class Move(Record):
    """The time that the clock is moved to; one of the three is set.

    Attributes:
        offset: Seconds that are added to the machine's time.
        advance: Seconds by which the clock is moved.
        now: A time with a time zone, ``2027-01-01T00:00:00Z``.
    """

    offset: float | None = None
    advance: float | None = None
    now: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one(self) -> Move:
        if (self.offset, self.advance, self.now).count(None) != 2:
            raise ValueError("one of offset, advance and now is expected")
        return self


class BucketRequest(Record):
    """A bucket that is to be created.

    Attributes:
        name: Prefix of its name.
        document: Its settings, as in ``[buckets.NAME]``.
    """

    name: str = "bucket"
    document: Mapping[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Control:
    """The parts of the emulator that the API works on.

    Attributes:
        about: The values in the ready line.
        clock: The clock.
        faults: The rules.
        requests: The recorded requests.
        buckets: The buckets.
        moved: Called when the clock was moved; does what is due then.
    """

    about: Mapping[str, str]
    clock: Clock
    faults: Faults
    requests: Requests
    buckets: Buckets
    moved: Callable[[], Awaitable[None]]

    async def describe(self, request: web.Request) -> Any:
        """``GET /emulator``."""
        return self.about

    async def reset(self, request: web.Request) -> Any:
        """``POST /emulator/reset``: restore everything as it was at the start."""
        self.faults.clear()
        self.clock.offset = 0.0
        await self.buckets.reset()
        self.requests.clear()
        return {}

    async def show_clock(self, request: web.Request) -> Any:
        """``GET /emulator/clock``."""
        now = datetime.fromtimestamp(self.clock(), UTC).isoformat()
        return {"now": now, "offset": self.clock.offset}

    async def move_clock(self, request: web.Request) -> Any:
        """``PUT /emulator/clock``."""
        move = await _read(request, Move)
        if move.offset is not None:
            self.clock.offset = move.offset
        elif move.advance is not None:
            self.clock.offset += move.advance
        elif move.now is not None:
            self.clock.offset += move.now.timestamp() - self.clock()
        await self.moved()
        return await self.show_clock(request)

    async def reset_clock(self, request: web.Request) -> Any:
        """``DELETE /emulator/clock``: the machine's time."""
        self.clock.offset = 0.0
        return await self.show_clock(request)

    async def list_faults(self, request: web.Request) -> Any:
        """``GET /emulator/faults``."""
        return [
            {"id": number, "hits": hits, **fault.model_dump(exclude_defaults=True)}
            for number, fault, hits in self.faults.hits()
        ]

    async def add_fault(self, request: web.Request) -> Any:
        """``POST /emulator/faults``."""
        return {"id": self.faults.add(await _read(request, Fault))}

    async def clear_faults(self, request: web.Request) -> Any:
        """``DELETE /emulator/faults``, and with ``?id=NUMBER`` one of them."""
        number = request.query.get("id")
        if number is None:
            self.faults.clear()
        elif not (number.isascii() and number.isdigit() and self.faults.remove(int(number))):
            raise ControlError(f"id = {number!r}: there is no such fault")
        return {}

    async def list_requests(self, request: web.Request) -> Any:
        """``GET /emulator/requests``, with any of ``?method= bucket= key= call=``."""
        wanted = dict(request.query)
        if unknown := wanted.keys() - set(FILTERS):
            raise ControlError(f"{' and '.join(sorted(unknown))}: expects {', '.join(FILTERS)}")
        rows = [asdict(item) for item in await self.requests.settled()]
        return [row for row in rows if all(row[name] == wanted[name] for name in wanted)]

    async def clear_requests(self, request: web.Request) -> Any:
        """``DELETE /emulator/requests``."""
        self.requests.clear()
        return {}

    async def create_bucket(self, request: web.Request) -> Any:
        """``POST /emulator/buckets``."""
        wanted = await _read(request, BucketRequest)
        document = self.buckets.read(orjson.dumps(wanted.document))
        return {"name": await self.buckets.create(wanted.name, document)}


Answer = Callable[[Control, web.Request], Awaitable[Any]]
ROUTES: Mapping[tuple[str, str], Answer] = {
    ("GET", ""): Control.describe,
    ("POST", "/reset"): Control.reset,
    ("GET", "/clock"): Control.show_clock,
    ("PUT", "/clock"): Control.move_clock,
    ("DELETE", "/clock"): Control.reset_clock,
    ("GET", "/faults"): Control.list_faults,
    ("POST", "/faults"): Control.add_fault,
    ("DELETE", "/faults"): Control.clear_faults,
    ("GET", "/requests"): Control.list_requests,
    ("DELETE", "/requests"): Control.clear_requests,
    ("POST", "/buckets"): Control.create_bucket,
}


def middleware(control: Control) -> Any:
    """Return the middleware that answers these requests on the admin port."""

    @web.middleware
    async def answer(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        if path == request.path or not (path == "" or path.startswith("/")):
            return await handler(request)
        status, body = await _answer(control, request, path.rstrip("/"))
        return web.Response(
            status=status,
            body=orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE),
            content_type="application/json",
        )

    return answer


async def _answer(control: Control, request: web.Request, path: str) -> tuple[int, Any]:
    """Return status and document of an answer."""
    if "Origin" in request.headers:
        return 403, {"error": "requests of web pages are refused"}
    route = ROUTES.get((request.method, path))
    if route is None:
        known = [f"{method} {PREFIX}{name}" for method, name in ROUTES]
        return 404, {"error": f"{request.method} {request.path}: expects {', '.join(known)}"}
    try:
        return 200, await route(control, request)
    except (ControlError, DocumentError) as error:
        return 400, {"error": str(error)}
    except OssError as error:
        return error.status, {"error": error.message}


async def _read(request: web.Request, model: type[Model]) -> Model:
    """Return the body of a request.

    Raises:
        ControlError: The body is not valid for the request.
    """
    try:
        return model.model_validate(orjson.loads(await request.read() or b"{}"))
    except orjson.JSONDecodeError as error:
        raise ControlError(f"the body is not JSON: {error}") from None
    except ValidationError as error:
        raise ControlError("\n".join(map(documents.line, error.errors()))) from None
