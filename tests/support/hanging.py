"""Files that hang or fail on demand: the same of a FUSE file system, and of calls of ``os``.

The second needs no right to mount. It holds up what threads other than the loop's ask of files
below one folder, and notes what the loop's asks of them, which it never should.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from . import fuse

# calls of ``os`` that go to the file system of the path or the descriptor that they are given
CALLS = (
    *("open", "stat", "lstat", "fstat", "pread", "write", "fsync", "scandir", "listdir"),
    *("getxattr", "setxattr", "mkdir", "rmdir", "unlink", "rename", "link", "statvfs"),
)


class Hanging(Protocol):
    """Files below a folder that hang or fail on demand.

    Attributes:
        failing: Errors, by the name of what is asked; ``*`` for all.
        asked: What has been asked.
    """

    failing: dict[str, int]
    asked: list[str]

    def hang(self, *names: str) -> None:
        """Let these hang from now on; all for none named."""

    def go_on(self) -> None:
        """Nothing hangs any more."""


class Patched:
    """Calls of ``os``.

    Attributes:
        in_loop: What the loop's thread has asked.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.failing: dict[str, int] = {}
        self.asked: list[str] = []
        self.in_loop: list[tuple[str, str]] = []
        self._folder, self._loop = f"{os.path.realpath(folder)}/", threading.get_ident()
        self._hanging: set[str] = set()
        self._gate = threading.Event()
        for name in CALLS:
            patch.setattr(os, name, self._held(name, getattr(os, name)))

    def hang(self, *names: str) -> None:
        self._gate = threading.Event()
        self._hanging = set(names or "*")

    def go_on(self) -> None:
        self._hanging = set()
        self._gate.set()

    def _held(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def held(target: Any, *args: Any, **options: Any) -> Any:
            path = self._path(target, options)
            if f"{path}/".startswith(self._folder):
                if threading.get_ident() == self._loop:
                    if _is_ours():
                        self.in_loop.append((name, path))
                else:
                    self._wait(name)
            return call(target, *args, **options)

        return held

    def _wait(self, name: str) -> None:
        self.asked.append(name)
        gate = self._gate
        if self._hanging & {name, "*"}:
            gate.wait(60)
        if number := self.failing.get(name, self.failing.get("*", 0)):
            raise OSError(number, os.strerror(number))

    @staticmethod
    def _path(target: Any, options: dict[str, Any]) -> str:
        above = next((v for k, v in options.items() if k.endswith("dir_fd") and v), None)
        with contextlib.suppress(OSError):
            if isinstance(target, int):
                return os.readlink(f"/proc/self/fd/{target}")
            path = os.fsdecode(target)
            if path.startswith("/proc/self/fd/"):
                number, _, rest = path[len("/proc/self/fd/") :].partition("/")
                return f"{os.readlink(f'/proc/self/fd/{number}')}/{rest}"
            if above is not None and not path.startswith("/"):
                return f"{os.readlink(f'/proc/self/fd/{above}')}/{path}"
            return path
        return ""


def _is_ours() -> bool:
    """Does the server ask, and not the test?"""
    frame = sys._getframe(2)
    return f"{os.sep}vipsgate{os.sep}store{os.sep}" in frame.f_code.co_filename


@contextlib.contextmanager
def hanging(
    kind: str, folder: Path, point: Path, patch: pytest.MonkeyPatch
) -> Iterator[tuple[Hanging, Path]]:
    """Files of a folder that hang on demand, and where they are.

    Args:
        kind: ``fuse``, or ``calls`` of ``os``.
        folder: What is there.
        point: Where a file system is mounted, an empty folder.
        patch: Undoes what is patched.
    """
    if kind == "calls":
        patched = Patched(folder, patch)
        try:
            yield patched, folder
        finally:
            patched.go_on()
        assert patched.in_loop == []
        return
    if reason := fuse.missing():
        pytest.skip(reason)
    with fuse.mounted(folder, point) as mounted:
        yield mounted, point
