"""Any history of a source's master: the bytes of every answer are those that it has alone.

Pictures are asked for one after the other or together; between them the master is kept, pushed out
by others, purged with its source, or cut by somebody. None of it may be seen in an answer.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.chains import STILLS
from support.examples import times

from vipsgate.cache.entry import CacheKey
from vipsgate.cache.masters import Masters
from vipsgate.errors import OssError
from vipsgate.image import masters, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.group import Group
from vipsgate.image.process import parse

LIMITS = Limits(output_pixels=500_000)
ON = Rendering(masters=True)
KEY = CacheKey("photos", "any", "A" * 32)
RESIZES = st.builds(
    "{}resize,{}{}".format,
    st.sampled_from(["", "", "auto-orient,1/", "bright,20/"]),
    st.sampled_from(["w_9", "h_7", "p_20", "m_fill,w_8,h_6", "m_pad,w_11,h_5", "m_fixed,w_5,h_9"]),
    st.sampled_from(["", "/format,png", "/format,webp", "/rotate,20/format,png", "/blur,r_2,s_1"]),
)
OTHERS = st.sampled_from(["resize,w_60", "crop,w_20,h_20/resize,w_5", "info", "average-hue"])
ASKED = st.lists(st.one_of(RESIZES, RESIZES, OTHERS), min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(ASKED, ASKED, st.sampled_from(["purge", "evict", "cut", "full"])),
    min_size=2,
    max_size=9,
)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Small pictures have masters, too."""
    with mock.patch.multiple(masters, PIXELS=400, BYTES=8_000):
        plan.remembered.cache_clear()
        yield
    plan.remembered.cache_clear()


@given(source=STILLS, steps=STEPS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=times(200))
def test_no_answer_tells_what_was_kept(source, steps, picture, make_context):
    data, context = picture(source), make_context()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(history(data, steps, Masters(Path(folder) / "masters", 1 << 20), context))


async def history(data, steps, kept, context):
    """Ask for pictures as the steps say, each time with what is kept by then."""
    room = True
    for step in steps:
        if step == "purge":
            await kept.purge(KEY.bucket, KEY.key)
        elif step == "full":
            room = not room
        elif isinstance(step, str):
            for path in (one for one in Path(kept._folder).rglob("*") if one.is_file()):
                path.unlink() if step == "evict" else os.truncate(path, path.stat().st_size // 2)
        else:
            master = kept.open(KEY)
            event("lent" if master is not None else "not lent")
            blank = kept.blank() if master is None and room else None
            files, new = made(data, step, context, master, blank)
            assert files == [made(data, [text], context)[0][0] for text in step], step
            if new:
                kept.keep(KEY, os.dup(blank[1]))
                event("made")
            for descriptor in (*(blank or ()), *(() if master is None else (master,))):
                os.close(descriptor)
    await kept.close()


def made(data, texts, context, kept=None, blank=None):
    """What comes of each text, and whether a master has been written."""
    processes = [parse(f"image/{text}", LIMITS) for text in texts]
    group = Group(lambda: data, processes, LIMITS, ON, kept=kept, blank=blank)
    found = []
    for process in processes:
        memory = os.memfd_create("result")
        try:
            group.write(process, memory, context)
            found.append(os.pread(memory, 1 << 24, 0))
        except OssError as error:
            found.append(str(error))
        finally:
            os.close(memory)
    return found, group.new_master()
