"""Any set of processes on any picture: the bytes of each are those that it has alone.

What an answer is depends on its source, its process and the settings, never on what else was asked
at that moment: else two replicas would answer one URL with two files of one ETag.
"""

from unittest import mock

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from support.chains import ANIMATIONS, CHAINS, KINDS, QUICK, SHRINKS, STILLS, TALL, sources
from support.examples import times

from vipsgate.errors import OssError
from vipsgate.image import masters, plan, process
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.cost import Cost

LIMITS = Limits(output_pixels=500_000)
SOME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANSWERS = ["info", "average-hue", "thumbhash", "resize,w_20/blurhash"]


@pytest.fixture(scope="module", autouse=True)
def small():
    """Small pictures have masters, too, where the setting says so."""
    with mock.patch.multiple(masters, PIXELS=3_000, BYTES=20_000):
        plan.remembered.cache_clear()
        yield
    plan.remembered.cache_clear()


@pytest.fixture(scope="session")
def same(grouped, picture, marks):
    """Each of them is the same in company as alone, whatever each may cost."""

    def check(source, texts, rendering, spare, cut=1.0):
        data = picture(source)
        data = data[: max(1, int(cut * len(data)))]
        texts = [text for text in texts if valid(text)]
        alone = [grouped(data, [text], LIMITS, rendering, objects=marks)[0] for text in texts]
        together = grouped(data, texts, LIMITS, rendering, budget=(60.0, spare), objects=marks)
        for text, one, other in zip(texts, together, alone, strict=True):
            if isinstance(one, Cost):
                event("handed back")
            elif isinstance(one, OssError):
                event(f"refused: {one.code}")
                assert (type(one), str(one)) == (type(other), str(other)), text
            else:
                event("made")
                assert one == other, text

    return check


def valid(text):
    """Only its own request is told of a text that means nothing."""
    try:
        return process.parse(f"image/{text}", LIMITS)
    except OssError:
        return None


@st.composite
def groups(draw, some):
    """Several of some processes, and some of them once more in another format."""
    texts = draw(st.lists(some, min_size=2, max_size=5, unique=True))
    for text in draw(st.lists(st.sampled_from(texts), max_size=2)):
        texts.append(f"{text}/format,{draw(st.sampled_from(['png', 'jpg', 'webp', 'bmp']))}")
    return draw(st.permutations(texts))


# what begins with a resize, which is loaded reduced
REDUCED = st.builds(
    "resize,{}_{}{}".format,
    st.sampled_from(["w", "h", "l", "s", "m_fill,w", "m_pad,h", "m_fixed,w", "m_mfit,l"]),
    st.integers(3, 120),
    st.just("") | QUICK.map("/{}".format),
)
PROCESSES = st.one_of(QUICK, REDUCED, REDUCED, st.sampled_from(ANSWERS))
RENDERINGS = st.builds(Rendering, SHRINKS, masters=st.booleans())
SPARE = st.integers(21 << 20, 30 << 20) | st.just(1 << 30)  # bytes; a small picture takes 21 to 25
LARGER = st.builds(
    lambda kind, *sides: "{} {}x{} {}".format(kind[0], *sides, kind[1]),
    st.sampled_from([(name, words) for name in KINDS for words in KINDS[name]]),
    *[st.integers(80, 300)] * 2,
)


@settings(SOME, max_examples=times(240))
@given(STILLS | LARGER | ANIMATIONS, groups(PROCESSES), RENDERINGS, SPARE)
@example("tiff 200x140 alpha", ["resize,w_33", "resize,w_77/rotate,33"], Rendering(), 1 << 30)
@example("png 123x97 alpha", ["resize,w_33", "resize,w_60/format,jpg"], Rendering(), 1 << 30)
@example("jpg 299x201 o6 quartered", ["resize,w_33", "resize,w_35"], Rendering("fast"), 1 << 30)
def test_in_company_as_alone(same, source, texts, rendering, spare):
    same(source, texts, rendering, spare)


@settings(SOME, max_examples=times(80))
@given(LARGER, groups(REDUCED), RENDERINGS, SPARE)
def test_widths(same, source, texts, rendering, spare):
    same(source, texts, rendering, spare)


@settings(SOME, max_examples=times(40))
@given(st.sampled_from(TALL), groups(PROCESSES), RENDERINGS)
def test_tall_pictures(same, source, texts, rendering):
    same(source, texts, rendering, 1 << 30)


@settings(SOME, max_examples=times(80))
@given(STILLS | LARGER, groups(PROCESSES), RENDERINGS, st.floats(0.3, 1.0))
def test_broken_pictures(same, source, texts, rendering, cut):
    same(source, texts, rendering, 1 << 30, cut)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(SOME, max_examples=3000)
@given(
    sources([*KINDS]) | LARGER | ANIMATIONS | st.sampled_from(TALL),
    groups(CHAINS | PROCESSES),
    RENDERINGS,
    SPARE,
)
def test_many(same, source, texts, rendering, spare):
    same(source, texts, rendering, spare)
