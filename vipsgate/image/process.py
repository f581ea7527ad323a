"""Parses the text of ``x-oss-process`` into actions, and writes it back.

::

    process = stage *( "|" stage )
    stage   = "image/" action *( "/" action ) / "video/" action / "sys/" ...
    action  = NAME *( "," param )       ; the last one may be an answer (:mod:`.answers`)
    param   = KEY "_" VALUE / VALUE

Actions run from left to right; ``image/a|image/b`` is ``image/a/b``, and so is ``image//a/b/``, as
empty actions and parameters are skipped. A stage ``style/NAME`` has been replaced before by the
bucket's style of that name (``gate.style``). A stage ``video/...`` stands alone. Results are cached
by the canonical text: equal texts mean equal work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..errors import BadRequest, InvalidArgument, TooManyPipes, Unimplemented, shown
from . import faces, look
from .action import Action, read
from .actions import ACTIONS
from .answers import ANSWERS, Answer
from .answers import read as read_answer
from .config import Limits
from .gravity import FACE, Focus
from .look import Look
from .notes import Notes, ignored
from .video import snapshot
from .video.snapshot import Snapshot

LATER_VIDEO = ("animation", "convert")  # asynchronous actions of OSS
MAX_LOOKS = 1  # of a process: each decodes the source once more
CACHED_TEXTS = 2048  # remembered texts
MAX_CACHED_LENGTH = 512  # characters of a remembered text


@dataclass(frozen=True, slots=True)
class Process:
    """The work on one picture.

    Attributes:
        actions: The actions, as written.
        answer: The report on the actions' result, if that is requested.
        snapshot: The picture to take from a video; it excludes actions and answer.
        text: The canonical text; parsing it gives an equal process.
        notes: Notes of parameters without effect, which the canonical text may lack.
        look: The detection that the actions need, or ``None``.
    """

    actions: tuple[Action, ...] = ()
    answer: Answer | None = None
    snapshot: Snapshot | None = None
    text: str = field(init=False, compare=False)
    notes: Notes = field(init=False, compare=False)
    look: Look | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        words = [str(word) for word in (*self.actions, self.answer) if word]
        text = f"video/{self.snapshot}" if self.snapshot else "/".join(["image", *words])
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "notes", ignored(self._ignored()))
        object.__setattr__(self, "look", look.of(self.actions))

    def __str__(self) -> str:
        return self.text

    def _ignored(self) -> Iterator[str]:
        if self.snapshot:
            yield from self.snapshot.ignored
        for action in self.actions:
            for one in (action, *(inner for need in action.needs() for inner in need.actions)):
                yield from (*one.ignored, *one.unused())
            if self.answer and action.written:
                yield action.name

    def by_default(self, action: Action) -> Process:
        """Return the process with an action of the bucket, unless it has one of that name."""
        named = any(own.name == action.name for own in self.actions)
        if named or self.answer or self.snapshot:
            return self
        result = replace(self, actions=(*self.actions, action))
        object.__setattr__(result, "notes", self.notes)
        return result

    def needs(self) -> tuple[str, ...]:
        """Return the keys of the other objects that the actions need, each once."""
        wanted = (wanted for action in self.actions for wanted in action.needs())
        return tuple(dict.fromkeys(item.key for item in wanted))

    def aimed(self, focus: Focus) -> Process:
        """Return the process with the focus that was detected, under the same text."""
        actions = (action.aimed(focus) if action.look() else action for action in self.actions)
        return replace(self, actions=tuple(actions))

    def writes(self) -> str:
        """All text that the actions draw."""
        return "".join(action.writes() for action in self.actions)

    def typefaces(self) -> tuple[str, ...]:
        """OSS's names of the fonts that they draw with."""
        return tuple(name for action in self.actions for name in action.typefaces())


def parse(text: str, limits: Limits) -> Process:
    """Read ``image/resize,w_100/quality,Q_80``; short texts are remembered.

    Raises:
        OssError: The text, an action or a parameter is not valid; Unimplemented for what only a
            later version does.
    """
    return _remembered(text, limits) if len(text) <= MAX_CACHED_LENGTH else _read(text, limits)


def _read(text: str, limits: Limits) -> Process:
    stages = text.split("|")
    if len(stages) - 1 > limits.pipes:
        raise TooManyPipes(
            f"Maximal number of pipes supported is {limits.pipes}; there are {len(stages) - 1}.",
            ec="0040-00000211",
        )
    if any(stage.startswith("video/") for stage in stages):
        return _video(text)
    words = [word for stage in stages for word in _words(stage)]
    _check_count("actions", _counted(words), limits.actions)
    answer = _answer(words)
    if answer:
        words = words[:-1]
    actions = tuple(read(word, ACTIONS) for word in words)
    wanted = [wanted for action in actions for wanted in action.needs()]
    _check_count("picture watermarks", len(wanted), limits.watermarks)
    looks = [action.look() for action in actions if action.look()]
    _check_count("actions with g_auto or g_face", len(looks), MAX_LOOKS)
    if FACE in looks and not faces.installed():
        raise BadRequest(f"The value: face of parameter: g needs {faces.lacking()}.")
    inner = sum(len(item.actions) for item in wanted)
    _check_count("actions, with those of its watermarks,", _counted(words) + inner, limits.actions)
    return Process(actions, answer)


_remembered = lru_cache(maxsize=CACHED_TEXTS)(_read)


def _words(stage: str) -> list[str]:
    kind, slash, rest = stage.partition("/")
    if kind == "sys" and slash:
        raise InvalidArgument("sys/saveas is for a POST, and stands at its end.")
    if kind != "image":
        raise InvalidArgument(
            f"The value: {shown(stage)} of parameter: x-oss-process is invalid. "
            "It expects image/, style/, video/ or sys/."
        )
    if not (words := list(_joined(rest.lstrip("/").split("/")))):
        raise InvalidArgument("image/ needs an action.", ec="0040-00000212")
    return words


def _joined(parts: list[str]) -> Iterator[str]:
    """Join the parts of actions whose Base64 contains a ``/``.

    The standard alphabet of Base64 has a ``/``, which also separates actions. So a part that
    follows an action with Base64 and is not an action itself belongs to it.
    """
    word = parts[0]
    for part in parts[1:]:
        name = part.partition(",")[0]
        if SLASHES.get(word.partition(",")[0]) and name not in ACTIONS and name not in ANSWERS:
            word = f"{word}/{part}"
        elif part:
            yield _ended(word)
            word = part
    if word:
        yield _ended(word)


def _ended(word: str) -> str:
    """Return a word without trailing ``/``, which separate empty actions.

    Base64 without padding can end in one only where its length is a multiple of four: ``/`` is six
    bits set, and at any other length some of the last six are left over, and zero (RFC 4648, 3.5).
    """
    bare = word.rstrip("/")
    name, comma, _ = bare.partition(",")
    if bare == word or not comma:
        return bare
    key, _, value = word.rpartition(",")[2].partition("_")
    if key not in SLASHES[name] or "=" in value:
        return bare
    return max(bare, word[: len(word) - len(value) % 4], key=len)


SLASHES = {name: action.slashes for name, action in ACTIONS.items()}


def _answer(words: list[str]) -> Answer | None:
    """Return the answer that a process text requests, or ``None`` for a picture.

    Raises:
        InvalidArgument: Something follows it, or precedes one that must be alone.
    """
    names = [word.partition(",")[0] for word in words]
    for at, name in enumerate(names):
        if name not in ANSWERS:
            continue
        if ANSWERS[name].follows and at < len(names) - 1:
            raise InvalidArgument(f"The action: {name} is the last one; nothing can follow it.")
        if not ANSWERS[name].follows and len(names) > 1:
            raise InvalidArgument(
                f"The action: {name} takes no value and cannot be combined with other actions."
            )
        return read_answer(words[at])
    return None


def _video(text: str) -> Process:
    word = "/".join(filter(None, text.removeprefix("video/").split("/")))  # without empty actions
    name = word.partition(",")[0].partition("/")[0]
    if "|" in text or "/" in word:
        raise InvalidArgument(
            f"The value: {shown(text)} of parameter: x-oss-process is invalid. "
            "video/snapshot cannot be combined with other actions."
        )
    if name in LATER_VIDEO:
        raise Unimplemented(f"The operation: video/{name} is not implemented by this version.")
    if name != Snapshot.name:
        raise InvalidArgument(
            f"The action: {shown(name)} is not supported. video/ expects {Snapshot.name}."
        )
    return Process(snapshot=snapshot.read(word))


def _counted(words: list[str]) -> int:
    """Count the caller's own actions."""
    kinds = (ACTIONS.get(word.partition(",")[0]) for word in words)
    return sum(1 for kind in kinds if kind is None or not kind.policy)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidArgument(f"The process has {count} {what}; it may have {most}.")
