"""The client of an emulator in a test process; it needs the standard library only."""

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

START_SECONDS = 30.0  # seconds until the ready line; 1 is usual
STOP_SECONDS = 10.0  # seconds for an orderly end, before the process is killed
CALL_SECONDS = 30.0  # seconds for one call to the admin port


class EmulatorError(Exception):
    """The emulator cannot be started, has ended, or refuses a call; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the emulator has received.

    Attributes:
        method: HTTP method.
        bucket: Bucket of the request; empty if there is none.
        key: Key of the request; empty if there is none.
        call: Name of OSS's call, ``PutObject``; empty if it is none.
        query: Decoded parameters, in order.
        headers: Headers; names are in lower case.
        status: HTTP status of the answer; 0 if there is none, or it was cut off.
        code: OSS's error code; empty if there was no error.
        fault: Number of the fault that was applied; 0 for none.
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
    """The emulator's clock, which can be moved and goes on from there.

    The times of all signatures are compared with it, including those in headers. So a client whose
    clock has not been moved gets RequestTimeTooSkewed beyond 15 minutes, as with OSS.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def now(self) -> datetime:
        """Return the emulator's time."""
        return datetime.fromisoformat(self._emulator.call("GET", "/clock")["now"])

    def advance(self, **duration: float) -> None:
        """Move the clock by a time, given as for ``timedelta``: ``advance(minutes=5)``."""
        self._emulator.call("PUT", "/clock", {"advance": timedelta(**duration).total_seconds()})

    def set(self, moment: datetime) -> None:
        """Move the clock to a time, which must have a time zone."""
        self._emulator.call("PUT", "/clock", {"now": moment.isoformat()})

    def reset(self) -> None:
        """Move the clock to the machine's time."""
        self._emulator.call("DELETE", "/clock")

    @contextmanager
    def moved(self, **duration: float) -> Iterator[None]:
        """Return a context manager in which the clock is moved."""
        self.advance(**duration)
        try:
            yield
        finally:
            self.advance(**{unit: -value for unit, value in duration.items()})


class Fault:
    """A rule in force.

    Attributes:
        id: Its number, which :attr:`Request.fault` refers to.
    """

    def __init__(self, emulator: Emulator, number: int) -> None:
        self._emulator, self.id = emulator, number

    @property
    def hits(self) -> int:
        """The number of requests that it was applied to."""
        rows = self._emulator.call("GET", "/faults")
        return next((row["hits"] for row in rows if row["id"] == self.id), 0)

    def remove(self) -> None:
        """Remove the rule."""
        self._emulator.call("DELETE", f"/faults?id={self.id}")


class Faults:
    """Rules by which requests are delayed, refused or cut off.

    All methods take the requests that a rule applies to: ``method``, ``bucket`` and ``key``
    (patterns like those of file names), ``call`` (``UploadPart``), ``skip`` (the number of requests
    that pass before), and ``count`` (the number of requests that it applies to; by default all).
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def error(self, status: int = 503, code: str = "", **rule: Any) -> Fault:
        """Add a rule that answers with an error; it may also have ``message`` and ``headers``."""
        return self.add(status=status, code=code, **rule)

    def latency(self, seconds: float, **rule: Any) -> Fault:
        """Add a rule that delays requests by a number of seconds."""
        return self.add(latency=seconds, **rule)

    def cut(self, when: str | int = "request", **rule: Any) -> Fault:
        """Add a rule that closes the connection.

        Args:
            when: ``request``: nothing is done; ``answer``: the request is processed, and no byte of
                the answer is sent; a number: this many bytes of the answer's body are sent.
            rule: As for the class.
        """
        return self.add(cut=when, **rule)

    def add(self, **rule: Any) -> Fault:
        """Add a rule, which may have a ``latency`` in addition to a ``status`` or a ``cut``."""
        return Fault(self._emulator, self._emulator.call("POST", "/faults", rule)["id"])

    def clear(self) -> None:
        """Remove all rules."""
        self._emulator.call("DELETE", "/faults")


class Emulator:
    """A stand-in for OSS that runs in a separate process.

    Attributes:
        endpoint: URL for clients, ``http://127.0.0.1:PORT``.
        admin: URL of the admin port.
        access_key_id: Id of the only key pair, which may do everything.
        access_key_secret: Secret of that key pair.
        region: Region for V4 signatures.
        folder: Folder of the buckets, which is deleted with the process.
        clock: The clock.
        faults: The rules.
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
        """Return a context manager that starts one; see :func:`vipsgate.emulator.run`."""
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
                cwd="/",  # so that no module of the tests' folder is imported by the server
                text=True,
                start_new_session=True,  # Ctrl-C reaches the tests only, which then end this
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
        """The id of the process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the process has written to its standard error."""
        descriptor = self._errors.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    @property
    def requests(self) -> list[Request]:
        """The requests since the start or the last reset, the oldest first."""
        return self.requests_of()

    def requests_of(self, **match: str) -> list[Request]:
        """Return the requests with this ``method``, ``bucket``, ``key`` or ``call``."""
        rows = self.call("GET", f"/requests?{urlencode(match)}")
        for row in rows:
            row["query"] = [(name, value) for name, value in row["query"]]
            del row["ended"]
        return [Request(**row) for row in rows]

    def bucket(self, name: str = "bucket", **document: Any) -> str:
        """Create a bucket with a unique name, and return the name.

        Args:
            name: Prefix of the name.
            document: Settings of the bucket, as in ``[buckets.NAME]``: ``acl="public-read"``,
                ``styles={"thumb": "image/resize,w_200"}``.
        """
        return str(self.call("POST", "/buckets", {"name": name, "document": document})["name"])

    def reset(self) -> None:
        """Restore buckets, clock, faults and requests as they were at the start."""
        self.call("POST", "/reset")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the HTTP API of the admin port, at ``/emulator`` and a path below it.

        Raises:
            EmulatorError: The call is refused, or the process has ended.
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
    """Return the values in the ready line.

    Raises:
        EmulatorError: The process has not written one.
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
    """End the process, and wait until it has ended."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
