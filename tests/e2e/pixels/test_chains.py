"""Any chain of any actions on any picture: the bytes are what was planned, or a refusal of ours."""

import json
from unittest import mock

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from support.chains import (
    ANIMATIONS,
    CHAINS,
    KINDS,
    MOVING,
    QUICK,
    SHRINKS,
    SLOW,
    STILLS,
    TALL,
    VALUES,
    sources,
)
from support.examples import times

from vipsgate.errors import BadRequest, ImageTooLarge, InvalidArgument, WatermarkError
from vipsgate.image import load, params, process, render
from vipsgate.image.actions import ACTIONS
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.formats import probe

# 16 megapixels are made as half a one is, but take a second
LIMITS = Limits(output_pixels=500_000)


def test_every_format_and_word_is_here(formats):
    assert set(KINDS) == set(formats)
    assert {(name, key) for name, key in VALUES} <= {
        (name, key) for name, kind in ACTIONS.items() for key in params.slots(kind)
    }


# --- what holds of all of them


@pytest.fixture(scope="session")
def holds(picture, planned, transformed, marks):
    """The bytes are as planned; what cannot be made is refused, and by us.

    ``held``: they are also as if the whole source were decoded first.
    """

    def check(source, text, shrink, held=False):
        file, rendering = picture(source), Rendering(shrink=shrink)
        try:
            asked = process.parse("image/" + text, LIMITS)
            made = planned(file, text, LIMITS, rendering)
        except (InvalidArgument, BadRequest, ImageTooLarge) as error:
            event(f"refused: {error.code}")
            return
        # the canonical text means the same work
        canonical = str(asked)
        assert process.parse(canonical, LIMITS) == asked
        assert str(process.parse(canonical, LIMITS)) == canonical
        assert planned(file, canonical.removeprefix("image/"), LIMITS, rendering) == made
        assert json.loads(json.dumps(made.explain()))["memory"] == made.memory
        try:
            data = transformed(file, text, LIMITS, rendering, marks).data
        except (ImageTooLarge, WatermarkError, InvalidArgument) as error:
            event(f"refused late: {error.code}")
            # how large a file gets, or what is laid on it, is known late
            late = "bytes_" if isinstance(error, InvalidArgument) else "watermark"
            assert late in text
            return
        want = made.result
        event(f"made: {want.format}")
        result = probe.probe(data).header
        assert (result.format, result.width, result.height) == (
            want.format,
            want.width,
            want.height,
        )
        assert 1 <= result.pages <= want.pages  # an encoder joins frames that have become equal
        assert (result.orientation, result.exif) == (1, b"")
        if want.format not in MOVING:  # there a frame shows the one below it
            assert want.alpha or not result.alpha
        if want.format == "jpg":
            assert result.interlaced == want.progressive
            if not want.goal:  # else it is searched for
                assert result.quality == want.quality
        if held:
            with mock.patch.object(render, "load", lambda *given: load.load(*given).copy_memory()):
                assert data == transformed(file, text, LIMITS, rendering, marks).data

    return check


SOME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(SOME, max_examples=times(480))
@given(STILLS | STILLS | ANIMATIONS, QUICK, SHRINKS)
def test_chains(holds, source, text, shrink):
    holds(source, text, shrink)


@settings(SOME, max_examples=times(60))
@given(
    sources([*KINDS]),
    st.builds("{}/format,{}".format, QUICK, st.sampled_from(SLOW)),
    SHRINKS,
)
def test_chains_to_and_from_what_is_slow(holds, source, text, shrink):
    holds(source, text, shrink)


@settings(SOME, max_examples=times(60))
@given(st.sampled_from(TALL), QUICK, SHRINKS)
@example("png 200x1400 alpha", "format,bmp", "balanced")
@example("tiff 200x1400 alpha", "format,bmp", "balanced")
@example("jpg 200x1400", "watermark,text_SGVsbG8,g_nw", "balanced")
@example("png 200x1400", "watermark,text_SGVsbG8,g_north/resize,w_100", "balanced")
@example("png 200x1400 alpha", "watermark,image_bG9nby5wbmc,g_ne", "balanced")
@example("tiff 200x1400", "watermark,image_bG9nby5wbmc,g_west", "balanced")
def test_chains_of_tall_pictures(holds, source, text, shrink):
    holds(source, text, shrink, held=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(SOME, max_examples=6000)
@given(sources([*KINDS]) | ANIMATIONS, CHAINS, SHRINKS)
def test_many_chains(holds, source, text, shrink):
    holds(source, text, shrink)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(SOME, max_examples=1500)
@given(st.sampled_from(TALL), QUICK, SHRINKS)
def test_many_chains_of_tall_pictures(holds, source, text, shrink):
    holds(source, text, shrink, held=True)
