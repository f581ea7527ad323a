"""``100w_100h_1e``: the items of one segment, and the actions that they mean.

What an item may be is checked here, where its name is known; EC are those of the old API's own
pages. Bounds that depend on the picture are the actions'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ...errors import InvalidArgument, shown

SIDE = 16384  # pixels; EC 0040-00000334, 336 and 350
PERCENT = 1000  # EC 0040-00000338
NUMBER = re.compile(r"-?[0-9]{1,9}")  # ASCII digits only

MODES = {"0": "lfit", "1": "mfit", "2": "fixed", "4": "pad"}
ANCHORS = ("nw", "north", "ne", "west", "center", "east", "sw", "south", "se")  # 1-9

# key -> lowest, highest, EC of one beyond
NUMBERS = {
    "w": (0, SIDE, "0040-00000336"),
    "h": (0, SIDE, "0040-00000334"),
    "p": (1, PERCENT, "0040-00000338"),
    "P": (1, 100, ""),
    "x": (1, PERCENT // 100, ""),
    "l": (0, 1, "0040-00000333"),
    "i": (0, 1, ""),  # what l was called at first (inferred)
    "c": (0, 1, "0040-00000346"),
    "o": (0, 2, "0040-00000348"),
    "r": (0, 360, ""),
    "sh": (50, 399, ""),
    "b": (-100, 100, ""),
    "d": (-100, 100, "0040-00000248"),
    "q": (1, 100, "0040-00000351"),
    "Q": (1, 100, "0040-00000352"),
    "pr": (0, 1, "0040-00000353"),
    "wh": (0, 1, "0040-00000354"),  # changes nothing: transparency becomes white in any JPG
    "an": (0, 1, "0040-00000344"),
}
NO_NUMBER = "0040-00000201"


def read(body: str) -> dict[str, str]:
    """Key -> value of ``VALUEKEY_VALUEKEY``; numbers are checked, other values on being written.

    Raises:
        InvalidArgument: A key is not known, or a number out of range.
    """
    items = {}
    for item in body.split("_"):
        key = next((key for key in KEYS if item.endswith(key)), "")
        value = item.removesuffix(key)
        if not key:
            raise InvalidArgument(
                f"The item: {shown(item)} is not known. It expects a value with a key behind it, "
                f"one of {', '.join(KEYS)}."
            )
        if key in NUMBERS and not (key in "qQ" and value == "lossless"):
            value = str(number(key, value, *NUMBERS[key]))
        elif key == "e" and value not in MODES:
            raise bad("e", value, f"one of {', '.join(MODES)}", "0040-00000345")
        items[key] = value
    return items


def number(
    key: str, text: str, low: int, high: int, beyond: str = "", no_number: str = NO_NUMBER
) -> int:
    """A whole number within bounds; the last two are the EC of other texts.

    Raises:
        InvalidArgument: It is another text.
    """
    if NUMBER.fullmatch(text) and low <= int(text) <= high:
        return int(text)
    ec = beyond if NUMBER.fullmatch(text) else no_number
    raise bad(key, text, f"an integer from {low} to {high}", ec)


def bad(key: str, value: str, expects: str, ec: str = "") -> InvalidArgument:
    """The error of a value, in OSS's own words."""
    return InvalidArgument(
        f"The value: {shown(value)} of parameter: {key} is invalid. It expects {expects}.", ec=ec
    )


def words(items: Mapping[str, str], *, first: bool) -> list[str]:
    """The actions of one segment, in the service's order.

    Args:
        items: Key -> value.
        first: Nothing is done to the picture before them.

    Raises:
        InvalidArgument: A value is not of its key's shape, or out of range.
    """
    turn = items.get("o")
    return [
        *([f"auto-orient,{1 if first else 'here'}"] if turn == "2" else []),
        *_resize(items),
        *(write(items[key]) for key, write in GEOMETRY.items() if key in items),
        *(["auto-orient,here"] if turn == "1" else []),
        *(write(items[key]) for key, write in EFFECTS.items() if key in items),
        *_quality(items),
        *([f"interlace,{items['pr']}"] if "pr" in items else []),
    ]


def _resize(items: Mapping[str, str]) -> list[str]:
    """``p`` and ``x`` multiply ``w`` and ``h`` where these are given, else the picture's sides."""
    mode = MODES[items.get("e", "0")]
    if mode == "mfit" and items.get("c") == "1":
        mode = "fill"
    limit = items.get("l", items.get("i")) == "1"
    percent = int(items.get("p", 100)) * int(items.get("x", 1))
    sides = {key: int(items[key]) for key in "wh" if int(items.get(key, 0))}
    word = [] if mode == "lfit" else [f"m_{mode}"]
    if "P" in items:
        word.append(f"P_{items['P']}")
    elif sides:
        word += [f"{key}_{_times(key, side, percent)}" for key, side in sides.items()]
        word += [] if limit else ["limit_0"]
    elif "p" in items or "x" in items:
        if percent > PERCENT:
            raise bad("p", str(percent), f"at most {PERCENT}, times x", "0040-00000338")
        word.append(f"p_{min(100, percent) if limit else percent}")
    elif items.keys() & {"w", "h", "e"} or items.get("c") == "1":
        raise InvalidArgument(
            f"One of w, h is needed: an integer from 1 to {SIDE}.", ec="0040-00000349"
        )
    else:
        return []
    if "bgc" in items:
        word.append(f"color_{_background(items['bgc'])}")
    return [",".join(["resize", *word])]


def _times(key: str, side: int, percent: int) -> int:
    result = max(1, (side * percent + 50) // 100)
    if result > SIDE:
        raise bad(key, str(result), f"at most {SIDE}, times p and x", "0040-00000350")
    return result


def _background(value: str) -> str:
    levels = value.split("-")
    if len(levels) != 3 or not all(NUMBER.fullmatch(n) and int(n) <= 255 for n in levels):
        raise bad("bgc", value, "RED-GREEN-BLUE, each from 0 to 255", "0040-00000332")
    return bytes(map(int, levels)).hex().upper()


def _crop(value: str) -> str:
    parts = value.split("-")
    if len(parts) != 4 or not all(map(NUMBER.fullmatch, parts)):
        raise bad("a", value, "X-Y-WIDTH-HEIGHT", "0040-00000205")
    return "crop,x_{},y_{},w_{},h_{}".format(*parts)


def _area(value: str) -> str:
    size, dash, position = value.partition("-")
    sides = [side or "0" for side in size.split("x")]
    ec = ""
    if not dash or "-" in position:
        ec = "0040-00000327"
    elif len(sides) != 2:
        ec = "0040-00000329" if len(sides) < 2 else "0040-00000330"
    elif not re.fullmatch("[1-9]?", position):
        ec = "0040-00000328"
    elif not all(map(NUMBER.fullmatch, sides)):
        ec = "0040-00000327"
    if ec:
        raise bad("rc", value, "WIDTHxHEIGHT-POSITION, the position from 1 to 9", ec)
    return f"crop,w_{sides[0]},h_{sides[1]},g_{ANCHORS[int(position or 1) - 1]}"


def _circle(value: str) -> str:
    radius, _, kind = value.partition("-")
    if not (radius and kind):
        raise bad("ci", value, "RADIUS-TYPE", "0040-00000235")
    if kind not in ROUND:
        raise bad("ci", value, f"RADIUS-TYPE, the type one of {', '.join(ROUND)}", "0040-00000234")
    return ROUND[kind].format(number("ci", radius, 1, 4096, "0040-00000236", "0040-00000236"))


ROUND = {"0": "circle,r_{},type_0", "1": "circle,r_{}", "2": "rounded-corners,r_{}"}


def _strip(value: str) -> str:
    size, _, index = value.partition("-")
    axis = size[-1:]
    if not NUMBER.fullmatch(index) or axis not in ("x", "y"):
        ec = "0040-00000325" if NUMBER.fullmatch(index) else "0040-00000323"
        raise bad("ic", value, "SIZEx-INDEX or SIZEy-INDEX", ec)
    side = number("ic", size[:-1], 1, 4096, "0040-00000326", "0040-00000323")
    return f"indexcrop,{axis}_{side},i_{index}"


def _blur(value: str) -> str:
    radius, _, sigma = value.partition("-")
    if not (NUMBER.fullmatch(radius) and NUMBER.fullmatch(sigma)):
        raise bad("bl", value, "RADIUS-SIGMA", "0040-00000238")
    return f"blur,r_{number('bl', radius, 1, 50, '0040-00000239')},s_{number('bl', sigma, 1, 50)}"


def _quality(items: Mapping[str, str]) -> list[str]:
    """``Q`` wins, also over no loss at all."""
    given = [f"{key}_{items[key]}" for key in "qQ" if key in items]
    if "Q" in items:
        given = given[-1:]
    return [f"quality,{given[0].replace('Q_lossless', 'q_lossless')}"] if given else []


# what writes a key's word, in the service's order
GEOMETRY: dict[str, Callable[[str], str]] = {
    "a": _crop,
    "rc": _area,
    "ci": _circle,
    "ic": _strip,
    "r": "rotate,{}".format,
}
EFFECTS: dict[str, Callable[[str], str]] = {
    "sh": "sharpen,{}".format,
    "bl": _blur,
    "b": "bright,{}".format,
    "d": "contrast,{}".format,
}
# a longer key first: 10wh is no h
KEYS = sorted({*NUMBERS, *GEOMETRY, *EFFECTS, "e", "bgc"}, key=lambda key: (-len(key), key))
