"""The text of ``x-oss-process``, read into actions and written back.

::

    process = stage *( "|" stage )
    stage   = "image/" action *( "/" action ) / "style/" NAME / "video/" ... / "sys/" ...
    action  = NAME *( "," param )
    param   = KEY "_" VALUE / VALUE

Actions run from left to right; ``image/a|image/b`` is ``image/a/b``. Equal canonical texts mean
equal work, which is what results are known by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..errors import InvalidArgument, TooManyPipes, Unimplemented, shown
from .action import Action
from .actions import ACTIONS
from .config import Limits
from .params import build

INFO = "info"
# known to OSS, not to this version yet
LATER_STAGES = ("style", "video", "sys")
LATER_ACTIONS = (
    *("average-hue", "blur", "bright", "circle", "contrast"),
    *("indexcrop", "rounded-corners", "sharpen", "watermark"),
)
KEPT_TEXTS = 2048  # parsed texts that are remembered
KEPT_LENGTH = 512  # characters of one


@dataclass(frozen=True, slots=True)
class Process:
    """What is to be done with one picture.

    Attributes:
        actions: In the order written.
        info: The answer is not a picture but what the file says of itself.
    """

    actions: tuple[Action, ...] = ()
    info: bool = False

    def __str__(self) -> str:
        """The canonical text: parsing it gives an equal process."""
        words = [INFO] if self.info else [str(action) for action in self.actions]
        return "/".join(["image", *words])


def parse(text: str, limits: Limits) -> Process:
    """Read ``image/resize,w_100/quality,Q_80``; short texts are remembered.

    Raises:
        OssError: The text, an action or a parameter is not valid; Unimplemented for what only a
            later version does.
    """
    return _remembered(text, limits) if len(text) <= KEPT_LENGTH else _read(text, limits)


def _read(text: str, limits: Limits) -> Process:
    stages = text.split("|")
    if len(stages) - 1 > limits.pipes:
        raise TooManyPipes(
            f"Maximal number of pipes supported is {limits.pipes}; there are {len(stages) - 1}.",
            ec="0040-00000211",
        )
    words = [word for stage in stages for word in _words(stage)]
    if len(words) > limits.actions:
        raise InvalidArgument(
            f"The process has {len(words)} actions; it may have {limits.actions}."
        )
    if any(word.partition(",")[0] == INFO for word in words):
        return _info(words)
    return Process(tuple(_action(word) for word in words))


_remembered = lru_cache(maxsize=KEPT_TEXTS)(_read)


def _words(stage: str) -> list[str]:
    kind, slash, rest = stage.partition("/")
    if kind in LATER_STAGES and slash:
        raise Unimplemented(f"The operation: {kind}/ is not implemented by this version.")
    if kind != "image":
        raise InvalidArgument(
            f"The value: {shown(stage)} of parameter: x-oss-process is invalid. "
            "It expects image/, style/, video/ or sys/."
        )
    if not rest:
        raise InvalidArgument("image/ needs an action.", ec="0040-00000212")
    return rest.split("/")


def _info(words: list[str]) -> Process:
    if words != [INFO]:
        raise InvalidArgument(
            "The action: info takes no value and cannot be combined with other actions."
        )
    return Process(info=True)


def _action(word: str) -> Action:
    name, comma, rest = word.partition(",")
    if name in LATER_ACTIONS:
        raise Unimplemented(f"The action: {name} is not implemented by this version.")
    if name not in ACTIONS:
        raise InvalidArgument(
            f"The action: {shown(name)} is not supported. Expected one of "
            f"{', '.join([*ACTIONS, INFO])}.",
            ec="0040-00000213",
        )
    kind = ACTIONS[name]
    items = rest.split(",") if comma else []
    if kind.single and len(items) > 1:
        raise InvalidArgument(
            f"The action: {name} takes one value, not {len(items)}.", ec="0040-00000203"
        )
    return build(kind, name, items)
