"""The kinds of parameter: every edge of each, in both directions."""

from dataclasses import dataclass, field

import pytest

from vipsgate.errors import InvalidArgument, MissingArgument
from vipsgate.image import params
from vipsgate.image.params import BARE


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of each kind."""

    n: int = params.integer(-5, 500, bad="EC-n", missing="EC-none")
    bare: int = params.integer(1, 9, key=BARE, default=3)
    ignored: tuple[str, ...] = field(default=(), kw_only=True, compare=False)
    word: str = params.choice("one", "two", key="w", default="one", alias={"eins": "one"}, bad="w")
    c: str = params.colour(default="FFFFFF")
    on: bool = params.flag("on")


@dataclass(frozen=True, slots=True)
class Needed:
    """A field that has no EC of its own for its absence."""

    r: int = params.integer(1, 50)


READS = {
    # items -> their canonical form
    "n_0": "n_0",
    "n_-5": "n_-5",
    "n_500": "n_500",
    "n_-0": "n_0",
    "n_007": "n_7",
    "n_000000007": "n_7",
    "n_1,3": "n_1",
    "n_1,4": "n_1,4",
    "4,n_1": "n_1,4",
    "n_1,w_eins": "n_1",
    "n_1,w_two": "n_1,w_two",
    "n_1,c_ffffff": "n_1",
    "n_1,c_0a0B0c": "n_1,c_0A0B0C",
    "on,n_1": "n_1,on",
    "n_1,x_1,word_two,N_2,r_": "n_1",  # unknown keys; a field's name is not its key
}
REFUSES = {
    # items -> class, EC, a part of the message
    "": (InvalidArgument, "EC-none", "sample needs n: an integer from -5 to 500"),
    "n_": (InvalidArgument, "EC-none", "The value:  of parameter: n is invalid."),
    **{
        f"n_{bad}": (InvalidArgument, "EC-n", f"The value: {bad} of parameter: n is invalid.")
        for bad in (
            *("-6", "501", "+1", " 1", "1 ", "1.0", "1e2", "0x1", "1_0", "--1", "-", "a", "１"),
            *("٣", "²", "1\n", "0000000001", "99999999999999999999"),
        )
    },
    "n_" + "9" * 5000: (InvalidArgument, "EC-n", "9" * 64 + "... of parameter"),
    "n_1,n_1": (InvalidArgument, "", "The parameter: n of sample is given twice."),
    "n_1,1,2": (InvalidArgument, "", "The parameter: sample of sample is given twice."),
    "n_1,0": (InvalidArgument, "", "of parameter: sample is invalid. sample expects"),
    "n_1,": (InvalidArgument, "", "The value:  of parameter: sample"),
    "n_1,w_three": (InvalidArgument, "w", "sample expects one of one, two."),
    "n_1,w_ONE": (InvalidArgument, "w", "The value: ONE"),
    "n_1,c_FFF": (InvalidArgument, "", "six hexadecimal digits RRGGBB"),
    "n_1,c_GGGGGG": (InvalidArgument, "", "RRGGBB"),
    "n_1,c_#FFFFFF": (InvalidArgument, "", "RRGGBB"),
    "n_1,c_FFFFFF\n": (InvalidArgument, "", "RRGGBB"),
}


def build(text):
    return params.build(Sample, "sample", text.split(",") if text else [])


@pytest.mark.parametrize("text", READS)
def test_reads_and_writes(text):
    sample = build(text)
    assert ",".join(params.texts(sample)) == READS[text]
    assert build(READS[text]) == sample


@pytest.mark.parametrize("text", REFUSES, ids=lambda text: repr(text[:30]))
def test_refuses(text):
    kind, ec, part = REFUSES[text]
    with pytest.raises(kind) as caught:
        build(text)
    assert (type(caught.value), caught.value.ec) == (kind, ec)
    assert part in caught.value.message


def test_required_without_a_sub_code():
    with pytest.raises(MissingArgument, match="blur needs r: an integer from 1 to 50"):
        params.build(Needed, "blur", [])


def test_colours():
    assert params.rgb("0080FF") == [0, 128, 255]
