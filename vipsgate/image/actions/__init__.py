"""One module an action: its parameters, its geometry, its vips.

RULE: an action knows its parameters and the frames on its two sides, never the source or the other
actions; nothing but ``ACTIONS`` lists them.

To add one: write the module, add it to ``ACTIONS``, add its test tables, run ``.ci/readme``.
"""

from __future__ import annotations

from ..action import Action
from .auto_orient import AutoOrient
from .blur import Blur
from .bright import Bright
from .circle import Circle
from .contrast import Contrast
from .crop import Crop
from .format import Format
from .indexcrop import IndexCrop
from .interlace import Interlace
from .quality import Quality
from .resize import Resize
from .rotate import Rotate
from .rounded_corners import RoundedCorners
from .sharpen import Sharpen
from .strip import Strip
from .watermark import Watermark

ACTIONS: dict[str, type[Action]] = {
    action.name: action
    for action in (
        *(Resize, Crop, Circle, IndexCrop, RoundedCorners, Rotate, AutoOrient),
        *(Blur, Bright, Contrast, Sharpen, Watermark, Format, Interlace, Quality, Strip),
    )
}
