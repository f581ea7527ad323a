"""Access to the admin port: if credentials are configured, an owner's login or signature.

Without credentials, requests must be to a name that no page of another site can have; see
:mod:`vipsgate.gate.rebinding`.

The signature in the Authorization header is that of the request to this port, with the path read as
``/BUCKET/KEY``: the bucket of ``/explain/photos/cat.jpg`` is ``explain``. For ``/explain``, an
owner's signature of the explained request is accepted, too, and is then part of what is explained.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiohttp import web

from ..console.visit import Console, Visit
from ..errors import AccessDenied, OssError
from ..gate import access, rebinding, sign
from ..gate.rights import ROLES, Right
from ..gate.target import resolve

CONSOLE = web.AppKey("guarded", Console)
HEADERS = web.RequestKey("explained", dict[str, str])  # headers of the request to explain
OPEN = frozenset(("/healthz", "/readyz"))
METRICS, EXPLAIN = "/metrics", "/explain"
SIGNATURE = frozenset(("authorization", "date", "x-oss-date", "x-oss-content-sha256"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Call the handler if the caller has access.

    Raises:
        OssError: The caller does not.
    """
    console = request.app[CONSOLE]
    keys = console.services.configuration.keys
    path = request.path
    server = console.services.settings.server
    free = path in OPEN or (path == METRICS and not server.metrics_private)
    if not (free or keys.credentials):
        rebinding.check(request.headers.getall("Host", ()), server.admin_host)
    elif not free and not path.startswith("/console"):
        _admit(request, console, keys)
    return await handler(request)


def _admit(request: web.Request, console: Console, keys: access.Keys) -> None:
    """Check that the caller is an owner, and store the headers of the request to explain.

    Raises:
        AccessDenied: The caller is anonymous, or not an owner.
        OssError: The signature is not valid.
    """
    now = console.services.clock()
    if known := console.session(request):
        Visit.of(console, request).check_origin()
        _check_owner(known.credential)
        return
    if "Authorization" not in request.headers:
        raise AccessDenied(
            "The admin port asks for a login at /console/, or for an owner's signature in the "
            "header Authorization."
        )
    fields = sign.fields(request.headers.items())
    try:
        target = resolve(request.raw_path, "", {}, "")
        query = tuple(pair for pair in target.query if pair[0] not in sign.NAMES)
        target = replace(target, query=query)  # a signature in the query is the explained one
        _check_owner(access.identify(target, request.method, fields, keys, now))
        request[HEADERS] = _unsigned(request.headers)
        return
    except OssError:
        if not request.path.startswith(f"{EXPLAIN}/"):
            raise
    target = resolve(request.raw_path.removeprefix(EXPLAIN), "", {}, "")
    _check_owner(access.identify(target, request.method, fields, keys, now))


def _check_owner(caller: sign.Credential | None) -> None:
    """Check that a caller is an owner.

    Raises:
        AccessDenied: The caller is not.
    """
    if caller is None or Right.RULE not in ROLES[caller.role]:
        raise AccessDenied("The admin port is for owners.", rule="role")


def _unsigned(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in SIGNATURE}
