"""A worker and masters: handed back where one is wanted, used where one is given, never left."""

import os
from io import BytesIO

import pytest
from PIL import Image

from vipsgate.image import masters, plan
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.fonts import Fonts
from vipsgate.worker import main
from vipsgate.worker.interrupt import Interrupt
from vipsgate.worker.jobs import Worker
from vipsgate.worker.protocol import Batch, Job, Output, close

LIMITS = Limits()


@pytest.fixture
def interrupt():
    return Interrupt()


@pytest.fixture
def worker(monkeypatch, interrupt):
    plan.remembered.cache_clear()
    monkeypatch.setattr(masters, "PIXELS", 10_000)
    yield Worker(LIMITS, Rendering(masters=True), Fonts(), interrupt)
    plan.remembered.cache_clear()


@pytest.fixture
def source():
    held = BytesIO()
    Image.radial_gradient("L").resize((640, 480)).convert("RGB").save(held, "JPEG")
    descriptor = os.memfd_create("source")
    os.write(descriptor, held.getvalue())
    yield descriptor
    os.close(descriptor)


def done(worker, *jobs):
    """The bytes that jobs of one batch give, and the masters that come back, all by descriptor."""
    files, handed_back = [], []
    for task in worker.tasks(Batch(1, jobs)):
        output = main.outcome_of(worker, task, worker._interrupt)
        worker._interrupt.end()
        assert isinstance(output, Output)
        files.append(os.pread(output.descriptor, output.size, 0))
        os.close(output.descriptor)
        handed_back.append(output.master)
    return files, handed_back


def job(text, source, **more):
    return Job("render", f"image/{text}", source, **more)


def test_widths_that_come_at_once_make_one_master(worker, source):
    before = len(os.listdir("/proc/self/fd"))
    texts = ("resize,w_80", "resize,w_160", "crop,w_300,h_300", "resize,w_40/format,png")
    files, handed_back = done(worker, *(job(text, source, keep=True) for text in texts))
    assert handed_back[0] >= 0
    assert handed_back[1:] == [-1, -1, -1]
    for text, file in zip(texts, files, strict=True):
        for more in ({}, {"keep": True}, {"master": handed_back[0], "keep": True}):
            (alone,), (master,) = done(worker, job(text, source, **more))
            assert alone == file
            wanted = more == {"keep": True} and not text.startswith("crop")
            assert (master >= 0) is wanted
            close([master])
    close(handed_back)
    assert len(os.listdir("/proc/self/fd")) == before


def test_with_its_master_a_source_is_not_decoded(worker, source):
    (file,), (master,) = done(worker, job("resize,w_80", source, keep=True))
    other = os.memfd_create("other")  # the same header, and no pixels
    data = os.pread(source, 1 << 20, 0)
    os.write(other, data[: len(data) // 3])
    (again,), _ = done(worker, job("resize,w_80", other, master=master))
    assert again == file
    close([master, other])


def test_no_master_is_left_where_the_picture_fails(worker, source, interrupt):
    before = len(os.listdir("/proc/self/fd"))
    failing = job("resize,w_80/format,webp/quality,bytes_1", source, keep=True)
    outcome = main.outcome_of(worker, worker.tasks(Batch(1, (failing,)))[0], interrupt)
    interrupt.end()
    assert not isinstance(outcome, Output)
    assert len(os.listdir("/proc/self/fd")) == before
