"""A worker and masters: handed back where one is wanted, used where one is given, never left."""

import fcntl
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


@pytest.fixture
def blank(tmp_path):
    """Descriptors of a file for a master, to write and to read it."""
    path = tmp_path / "master"
    made = os.open(path, os.O_CREAT | os.O_WRONLY), os.open(path, os.O_RDONLY)
    yield made
    close(made)


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


def test_widths_that_come_at_once_make_one_master(worker, source, blank):
    before = len(os.listdir("/proc/self/fd"))
    texts = ("resize,w_80", "resize,w_160", "crop,w_300,h_300", "resize,w_40/format,png")
    files, handed_back = done(worker, *(job(text, source, blank=blank) for text in texts))
    assert handed_back[0] >= 0
    assert handed_back[1:] == [-1, -1, -1]
    for text, file in zip(texts, files, strict=True):
        for more in ({}, {"master": handed_back[0]}):
            assert done(worker, job(text, source, **more)) == ([file], [-1])
    close(handed_back)
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_of_the_worker_can_write_a_master_that_is_handed_back(worker, source, blank):
    _, (master,) = done(worker, job("resize,w_80", source, blank=blank))
    content = os.pread(master, 1 << 20, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(blank[0], b"x")
    fcntl.fcntl(master, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # nor does anybody else
    fcntl.fcntl(master, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    assert os.pread(master, 1 << 20, 0) == content
    close([master])


@pytest.mark.parametrize("left", ["", "less", "more"])
def test_a_file_in_which_a_worker_that_died_has_written_is_as_good(worker, source, blank, left):
    (file,), (master,) = done(worker, job("resize,w_80", source, blank=blank))
    content = os.pread(master, 1 << 20, 0)
    memory = os.memfd_create("test")
    os.write(memory, {"": b"", "less": bytes(999), "more": bytes(len(content) + 999)}[left])
    (again,), (other,) = done(worker, job("resize,w_80", source, blank=(memory, os.dup(memory))))
    assert again == file
    assert os.pread(other, 1 << 21, 0) == content
    close([master, memory, other])


@pytest.mark.parametrize("room", [0, 100, 5_000, 30_000])
def test_a_full_disk_costs_only_the_master(worker, source, room):
    texts = ("resize,w_80", "resize,w_160")
    files, _ = done(worker, *(job(text, source) for text in texts))
    full = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(full, room)
    fcntl.fcntl(full, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    blank = full, os.dup(full)
    assert done(worker, *(job(text, source, blank=blank) for text in texts)) == (files, [-1, -1])
    close(blank)


def test_with_its_master_a_source_is_not_decoded(worker, source, blank):
    (file,), (master,) = done(worker, job("resize,w_80", source, blank=blank))
    other = os.memfd_create("other")  # the same header, and no pixels
    data = os.pread(source, 1 << 20, 0)
    os.write(other, data[: len(data) // 3])
    (again,), _ = done(worker, job("resize,w_80", other, master=master))
    assert again == file
    close([master, other])


def test_no_master_is_left_where_the_picture_fails(worker, source, blank, interrupt):
    before = len(os.listdir("/proc/self/fd"))
    failing = job("resize,w_80/format,webp/quality,bytes_1", source, blank=blank)
    outcome = main.outcome_of(worker, worker.tasks(Batch(1, (failing,)))[0], interrupt)
    interrupt.end()
    assert not isinstance(outcome, Output)
    assert len(os.listdir("/proc/self/fd")) == before
