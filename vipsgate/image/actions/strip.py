"""``strip,keep_copyright``: what of a file's metadata the result has besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..action import Action
from ..frame import Frame
from ..params import BARE, choice

COPYRIGHT, ICC = "copyright", "icc"


@dataclass(frozen=True, slots=True)
class Strip(Action):
    """``all`` removes everything, which is the default.

    ``keep_copyright`` keeps copyright and author, ``keep_icc`` the profile of red, green and blue,
    ``keep_copyright-icc`` both. All else goes whatever is kept: position, device, history, C2PA
    (ours; OSS has no such action).
    """

    name = "strip"
    single = True
    written = True
    moves = False
    policy = True

    value: str = choice(
        "all",
        "keep_copyright",
        "keep_icc",
        "keep_copyright-icc",
        default="all",
        key=BARE,
        alias={"keep_icc-copyright": "keep_copyright-icc"},
    )

    def kept(self) -> frozenset[str]:
        """The kinds of metadata that are kept."""
        return frozenset(self.value.removeprefix("keep_").split("-")) - {"all"}

    def own_profile(self) -> bool:
        return ICC in self.kept()

    def plan(self, frame: Frame) -> Frame:
        kept = self.kept()
        return replace(frame, copyright=COPYRIGHT in kept, profile=ICC in kept)

    def steps(self, frame: Frame) -> tuple[()]:
        return ()


def keeping(kept: tuple[str, ...]) -> Strip:
    """Return the action that keeps these kinds, in any order."""
    return Strip(value=f"keep_{'-'.join(sorted(set(kept)))}" if kept else "all")
