"""A running emulator, as a test holds it; the standard library is all that this needs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

START_SECONDS = 30.0  # for the ready line; 1 is usual
STOP_SECONDS = 10.0  # for an orderly end, before the process is killed
CALL_SECONDS = 30.0  # for one call of the admin port


class EmulatorError(Exception):
    """The emulator cannot be started, is gone, or refuses what it is told; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has come to the emulator.

    Attributes:
        method: Of the request.
        bucket: That it names; empty where it names none.
        key: Likewise of an object.
        call: The name of OSS's call that it is, ``PutObject``; empty where it is none.
        query: Parameters in their order, decoded.
        headers: As they came, names in lower case.
        status: HTTP status of the answer; 0 where there is none, or it was cut off.
        code: OSS's error code; empty where there was no error.
        fault: The number of the fault that it has met; 0 for none.
    """

    method: str
    bucket: str
    key: str
    call: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    status: int
    code: str
    fault: int


class Clock:
    """The emulator's clock; it goes on from wherever it is moved to.

    It is held against the time of every signature, those in headers included: with a client whose
    own clock has not been moved, that is RequestTimeTooSkewed beyond 15 minutes, as on OSS.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def now(self) -> datetime:
        """Return the time there."""
        return datetime.fromisoformat(self._emulator.call("GET", "/clock")["now"])

    def advance(self, **duration: float) -> None:
        """Move it on, or back, by so much: ``advance(minutes=5)``, as ``timedelta`` has it."""
        self._emulator.call("PUT", "/clock", {"advance": timedelta(**duration).total_seconds()})

    def set(self, moment: datetime) -> None:
        """Move it to a time, which has a zone."""
        self._emulator.call("PUT", "/clock", {"now": moment.isoformat()})

    def reset(self) -> None:
        """Move it back to the machine's time."""
        self._emulator.call("DELETE", "/clock")

    @contextmanager
    def moved(self, **duration: float) -> Iterator[None]:
        """Move it on for a ``with`` statement, and back at its end."""
        self.advance(**duration)
        try:
            yield
        finally:
            self.advance(**{unit: -value for unit, value in duration.items()})


class Fault:
    """A rule in force.

    Attributes:
        id: Its number, as :attr:`Request.fault` has it.
    """

    def __init__(self, emulator: Emulator, number: int) -> None:
        self._emulator, self.id = emulator, number

    @property
    def hits(self) -> int:
        """How many requests have met it."""
        rows = self._emulator.call("GET", "/faults")
        return next((row["hits"] for row in rows if row["id"] == self.id), 0)

    def remove(self) -> None:
        """Give the rule up."""
        self._emulator.call("DELETE", f"/faults?id={self.id}")


class Faults:
    """Rules by which requests are delayed, refused or cut off.

    Each takes what requests it is for: ``method``, ``bucket`` and ``key`` (patterns as those of
    file names), ``call`` (``UploadPart``), ``skip`` (requests that pass before), ``count`` (those
    that are met; all without).
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def error(self, status: int = 503, code: str = "", **rule: Any) -> Fault:
        """Answer with an error of OSS's shape; further ones: ``message``, ``headers``."""
        return self.add(status=status, code=code, **rule)

    def latency(self, seconds: float, **rule: Any) -> Fault:
        """Let so much time pass before a request is looked at."""
        return self.add(latency=seconds, **rule)

    def cut(self, when: str | int = "request", **rule: Any) -> Fault:
        """Cut the connection.

        Args:
            when: ``request``: nothing is done; ``answer``: all is done, and no byte of the answer
                is sent; a number: so many bytes of the answer's body are sent.
            rule: See the class.
        """
        return self.add(cut=when, **rule)

    def add(self, **rule: Any) -> Fault:
        """Put a rule in force, which may have a ``latency`` beside a ``status`` or a ``cut``."""
        return Fault(self._emulator, self._emulator.call("POST", "/faults", rule)["id"])

    def clear(self) -> None:
        """Give all rules up."""
        self._emulator.call("DELETE", "/faults")


class Emulator:
    """A stand-in for OSS that runs in a process of its own.

    Attributes:
        endpoint: For clients, ``http://127.0.0.1:PORT``.
        admin: The admin port, likewise.
        access_key_id: Of the one key pair, which may do everything.
        access_key_secret: Of the same.
        region: That V4 signatures name.
        folder: Where the process keeps the buckets; it goes with the process.
        clock: See :class:`Clock`.
        faults: See :class:`Faults`.
    """

    def __init__(
        self, ready: Mapping[str, str], process: subprocess.Popen[str], errors: IO[str]
    ) -> None:
        self.endpoint, self.admin = ready["endpoint"], ready["admin"]
        self.access_key_id = ready["access_key_id"]
        self.access_key_secret = ready["access_key_secret"]
        self.region, self.folder = ready["region"], Path(ready["folder"])
        self.clock, self.faults = Clock(self), Faults(self)
        self._process, self._errors = process, errors

    @classmethod
    @contextmanager
    def start(
        cls,
        seed: str | Path | None = None,
        *,
        config: str | Path | None = None,
        port: int = 0,
        renderers: int = 1,
    ) -> Iterator[Emulator]:
        """Start one for a ``with`` statement; see :func:`vipsgate.emulator.run`."""
        options = {
            "seed": seed and Path(seed).resolve(),
            "config": config and Path(config).resolve(),
            "port": port,
            "renderers": renderers,
        }
        command = [sys.executable, "-m", "vipsgate", "emulate", "--parent", str(os.getpid())]
        for name, value in options.items():
            command += [f"--{name}", str(value)] if value is not None else []
        # settings of a server that may run here, too, are none of the emulator's
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("VIPSGATE_")
        }
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd="/",  # no module of the tests' folder is taken for one of the server's
                text=True,
                start_new_session=True,  # Ctrl-C is for the tests, which then end this
            )
            try:
                yield cls(_ready(process, errors), process, errors)
            finally:
                _end(process)

    @property
    def credentials(self) -> tuple[str, str]:
        """The key pair: ``oss2.Auth(*oss.credentials)``."""
        return self.access_key_id, self.access_key_secret

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the process has written to its standard error: refusals of its own, faults."""
        descriptor = self._errors.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    @property
    def requests(self) -> list[Request]:
        """The requests since the start, or since the last reset, the oldest first."""
        return self.requests_of()

    def requests_of(self, **match: str) -> list[Request]:
        """The same with this ``method``, ``bucket``, ``key`` or ``call``."""
        rows = self.call("GET", f"/requests?{urlencode(match)}")
        for row in rows:
            row["query"] = [(name, value) for name, value in row["query"]]
            del row["ended"]
        return [Request(**row) for row in rows]

    def bucket(self, name: str = "bucket", **document: Any) -> str:
        """Make a bucket, and return its name, which begins so and is no other bucket's.

        Args:
            name: How it begins.
            document: Its settings, as in ``[buckets.NAME]``: ``acl="public-read"``,
                ``styles={"thumb": "image/resize,w_200"}``.
        """
        return str(self.call("POST", "/buckets", {"name": name, "document": document})["name"])

    def reset(self) -> None:
        """Have all as it was at the start: buckets, clock, faults, requests."""
        self.call("POST", "/reset")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call to the HTTP API of the admin port, ``/emulator`` and what comes behind it.

        Raises:
            EmulatorError: It is refused, or nobody is there any more.
        """
        parts = urlsplit(self.admin)
        line = HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_SECONDS)
        try:
            line.request(method, f"/emulator{path}", None if body is None else json.dumps(body))
            response = line.getresponse()
            answer = json.loads(response.read())
        except (OSError, HTTPException) as error:
            raise EmulatorError(f"the emulator does not answer: {error!r}") from error
        finally:
            line.close()
        if response.status != 200:
            raise EmulatorError(answer["error"])
        return answer


def _ready(process: subprocess.Popen[str], errors: Any) -> Mapping[str, str]:
    """Return what the ready line says.

    Raises:
        EmulatorError: There is none.
    """
    assert process.stdout
    there, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    if there and (line := process.stdout.readline()):
        result: Mapping[str, str] = json.loads(line)
        return result
    process.kill()
    process.wait()
    errors.seek(0)
    raise EmulatorError(f"the emulator did not start: {errors.read().strip()}")


def _end(process: subprocess.Popen[str]) -> None:
    """End the process, and wait for that."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
