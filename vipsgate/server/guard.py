"""Who may use the admin port: with credentials configured, who has logged in or signs as an owner.

A signature in the Authorization header is that of the request to this port, whose path is read as
``/BUCKET/KEY``: of ``/explain/photos/cat.jpg`` the bucket is ``explain``. For ``/explain`` that of
an owner to the explained request does as well, as it is what is explained then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiohttp import web

from ..console.visit import Console, Visit
from ..errors import AccessDenied, OssError
from ..gate import access, sign
from ..gate.rights import ROLES, Right
from ..gate.target import resolve

CONSOLE = web.AppKey("guarded", Console)
HEADERS = web.RequestKey("explained", dict[str, str])  # those of the request that is explained
OPEN = frozenset(("/healthz", "/readyz"))
METRICS, EXPLAIN = "/metrics", "/explain"
SIGNATURE = frozenset(("authorization", "date", "x-oss-date", "x-oss-content-sha256"))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let pass who may have the answer.

    Raises:
        OssError: It is somebody else.
    """
    console = request.app[CONSOLE]
    keys = console.services.configuration.keys
    path = request.path
    private = console.services.settings.server.metrics_private
    free = path in OPEN or (path == METRICS and not private)
    if keys.credentials and not free and not path.startswith("/console"):
        _admit(request, console, keys)
    return await handler(request)


def _admit(request: web.Request, console: Console, keys: access.Keys) -> None:
    """Let an owner pass, and note what is left of the headers for the request explained.

    Raises:
        AccessDenied: It is nobody, or no owner.
        OssError: The signature is not right.
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
        target = replace(target, query=query)  # a signature there is explained, not asked
        _check_owner(access.identify(target, request.method, fields, keys, now))
        request[HEADERS] = _unsigned(request.headers)
        return
    except OssError:
        if not request.path.startswith(f"{EXPLAIN}/"):
            raise
    target = resolve(request.raw_path.removeprefix(EXPLAIN), "", {}, "")
    _check_owner(access.identify(target, request.method, fields, keys, now))


def _check_owner(caller: sign.Credential | None) -> None:
    """Refuse everybody else.

    Raises:
        AccessDenied: It is not an owner.
    """
    if caller is None or Right.RULE not in ROLES[caller.role]:
        raise AccessDenied("The admin port is for owners.", rule="role")


def _unsigned(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in SIGNATURE}
