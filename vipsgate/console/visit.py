"""A request to the console: its session and language, calls that it makes, and its checks."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy

from ..api import buckets as api_buckets
from ..buckets import Bucket
from ..delivery.services import Services
from ..errors import AccessDenied, InvalidArgument, OssError
from ..gate.rights import ROLES, Right
from ..gate.sign import Credential
from ..gate.target import Target
from ..web import responses
from . import calls, language, session

Explain = Callable[[Services, str, Mapping[str, str]], Awaitable[dict[str, Any]]]
TOKEN_FIELD, TOKEN_HEADER = "csrf", "X-CSRF-Token"
SAME_SITE = ("same-origin", "none")  # Sec-Fetch-Site of the console's pages, and of the address bar
audit = logging.getLogger("vipsgate.audit")


class LoginRequiredError(Exception):
    """Nobody has logged in, or the session has expired."""


@dataclass(slots=True)
class Console:
    """The parts that all visits share.

    Attributes:
        services: The services of the server.
        explain: Returns what a request to the public port would get; a function of the server,
            which this package must not import.
        address: URL of the public port, known when it listens.
        local: The key pair of this run if no credentials are configured; it is printed to the
            terminal in which the server was started.
        ended: Sessions that have been logged out.
    """

    services: Services
    explain: Explain
    address: str = ""
    local: Credential | None = None
    ended: session.Ended = field(default_factory=session.Ended)

    def credentials(self) -> tuple[Credential, ...]:
        """The key pairs that may log in."""
        known = tuple(self.services.configuration.keys.credentials)
        return known or ((self.local,) if self.local else ())

    def session(self, request: web.BaseRequest) -> session.Session | None:
        """Return the session of a request; ``None`` if there is none."""
        cookie = request.cookies.get(session.COOKIE, "")
        result = session.find(cookie, self.credentials(), self.services.clock())
        return result if result and result not in self.ended else None


@dataclass(slots=True)
class Visit:
    """One request to the console.

    Attributes:
        console: The shared parts.
        request: The request.
        bare: The request with a body that is never read, for calls of the API.
        session: The session; ``None`` if nobody has logged in.
        language: Language of the answer.
        form: Values of the form; empty for a GET.
    """

    console: Console
    request: web.Request
    bare: web.BaseRequest
    session: session.Session | None
    language: str
    form: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, console: Console, request: web.Request) -> Visit:
        """Return the visit of a request."""
        chosen = language.choose(
            request.cookies.get(language.COOKIE, ""), request.headers.get("Accept-Language", "")
        )
        return cls(console, request, request.clone(), console.session(request), chosen)

    @property
    def services(self) -> Services:
        """Of the server."""
        return self.console.services

    @property
    def caller(self) -> Credential:
        """The key pair that has logged in.

        Raises:
            LoginRequiredError: Nobody has logged in.
        """
        if self.session is None:
            raise LoginRequiredError
        return self.session.credential

    def may(self, right: Right) -> bool:
        """Return whether the role of the user who has logged in has a right."""
        return self.session is not None and right in ROLES[self.session.credential.role]

    def text(self, name: str) -> str:
        """Return a value of the form, or of the query; empty if there is none."""
        value = self.form.get(name, self.request.query.get(name, ""))
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return all values of the form with a name."""
        if not isinstance(self.form, MultiDictProxy):
            return []
        return [value for value in self.form.getall(name, []) if isinstance(value, str)]

    @property
    def bucket(self) -> str:
        """The bucket in the path."""
        return self.request.match_info["bucket"]

    # -- calls -----------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        target: Target,
        sent: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = b"",
        guard: calls.Guard = calls.unguarded,
    ) -> web.StreamResponse:
        """Make a call of the API; changes, also refused ones, have a line in the audit log.

        Raises:
            OssError: The public API refuses the call.
            ConflictError: The guard refuses the present document.
        """
        words = [f"{name}={value}" for name, value in target.query]
        quiet = method in ("GET", "HEAD")
        with self.noted(method, f"{target.bucket}/{target.key}", *words, quiet=quiet) as line:
            row, call = calls.of(
                self.bare, self.services, self.caller, method, target, sent, data, guard
            )
            line[0] = row.name
            result = await row.work(call)
            line.append(str(result.status))
            return result

    async def change(
        self,
        name: str,
        edit: Callable[[Bucket], Bucket],
        guard: calls.Guard = calls.unguarded,
        *,
        mend: bool = False,
    ) -> None:
        """Change the bucket's document as the calls of the API do, with their rights and checks.

        Args:
            name: Name of the change, for the audit log and the document's versions.
            edit: Returns the new document for the one in force.
            guard: Raises if the document is not the one that the visitor has seen.
            mend: Whether a broken document may be replaced.

        Raises:
            OssError: The public API would refuse the change.
            ConflictError: The guard refuses the present document.
        """
        target = Target(self.bucket, "", (("processConfiguration", ""),))
        with self.noted(name, self.bucket) as line:
            _, call = calls.of(
                self.bare, self.services, self.caller, "PUT", target, None, b"", guard
            )
            await api_buckets.change(replace(call, name=name), edit, mend=mend)
            line.append("200")

    @contextmanager
    def noted(self, *words: str, quiet: bool = False) -> Iterator[list[str]]:
        """Return a context in which work is done, and after which the audit log gets a line.

        The value of the context is the list of the line's words, to which the work appends its
        outcome. With ``quiet`` there is no line.
        """
        line = list(words)
        try:
            yield line
        except OssError as error:
            line.append(f"{error.status} {error.code}")
            raise
        except calls.ConflictError:
            line.append("conflict")
            raise
        except BaseException:
            line.append("failed")
            raise
        finally:
            if not quiet:
                self.note(*line)

    def note(self, *words: str) -> None:
        """Write a line to the audit log: who, from where, what, and the outcome."""
        who = self.session.credential if self.session else None
        name = f"{who.access_key_id} ({who.role})" if who else "nobody"
        line = " ".join(map(_one_word, words))
        audit.info("audit: %s from %s: %s", name, self.request.remote, line)

    def check(self, right: Right) -> None:
        """Refuse the request if the role of the user lacks a right.

        Raises:
            AccessDenied: The right is missing.
        """
        if not self.may(right):
            raise AccessDenied(
                f"Access denied by authorizer's policy: the role {self.caller.role} of this "
                f"AccessKeyId has no right to {right.value}.",
                rule="role",
            )

    def check_origin(self) -> None:
        """Refuse a request from a page of another origin, which may be on the same host.

        Raises:
            AccessDenied: The request is from another origin.
        """
        sent = self.request.headers
        origin = sent.get("Origin")
        # scheme and host, and nothing behind them (RFC 6454, 6.2); a text that is none is another's
        strange = origin is not None and origin.partition("://")[2] != self.request.host
        if strange or sent.get("Sec-Fetch-Site", "none") not in SAME_SITE:
            raise AccessDenied("The request comes from a page of another site.")

    def check_token(self, token: str) -> None:
        """Refuse a change without the session's token.

        Raises:
            AccessDenied: The token is missing or wrong.
        """
        expected = self.session.token() if self.session else ""
        if not expected or not hmac.compare_digest(expected.encode(), token.encode()):
            raise AccessDenied("The form is not of this session; load the page again.")

    # -- the connection --------------------------------------------------------------------------

    @property
    def encrypted(self) -> bool:
        """Whether a server in front says that the browser used TLS."""
        return responses.scheme(self.request) == "https"

    @property
    def safe(self) -> bool:
        """Whether a secret may be sent: the connection uses TLS, or does not leave this machine."""
        if self.encrypted:
            return True
        sent = self.request.headers
        forwarded = any(name in sent for name in ("X-Forwarded-For", "Forwarded", "Via"))
        host = self.request.host.rpartition(":")[0] or self.request.host
        return (
            not forwarded
            and _is_loopback(self.request.remote or "")
            and (host.strip("[]") == "localhost" or _is_loopback(host.strip("[]")))
        )


@contextmanager
def reading() -> Iterator[None]:
    """What is read of a form in between: aiohttp passes on whatever its decoders raise.

    Raises:
        InvalidArgument: The form cannot be read.
        ConnectionError: The client has left.
    """
    try:
        yield
    except ConnectionError:
        raise
    except Exception:
        raise InvalidArgument("The form cannot be read.") from None


def _one_word(text: str) -> str:
    """Return a text as one word on one line, so that it cannot imitate other parts of the log."""
    return text if text.isprintable() and not set(" '\"") & set(text) else ascii(text)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
