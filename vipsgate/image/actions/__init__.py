"""One module an action: its parameters, its geometry, its vips.

To add one: write the module, add it to ``ACTIONS``, add its test tables, run ``.ci/readme``.
"""

from __future__ import annotations

from ..action import Action
from .auto_orient import AutoOrient
from .crop import Crop
from .format import Format
from .interlace import Interlace
from .quality import Quality
from .resize import Resize
from .rotate import Rotate

ACTIONS: dict[str, type[Action]] = {
    action.name: action for action in (Resize, Crop, Rotate, AutoOrient, Format, Interlace, Quality)
}
