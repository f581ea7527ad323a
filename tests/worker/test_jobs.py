"""A worker's methods, one for each kind of job, without a process around them."""

import json
import os
import threading
from base64 import urlsafe_b64encode
from io import BytesIO

import pytest
from PIL import Image

from vipsgate import errors
from vipsgate.image import gravity
from vipsgate.image.config import Limits, Rendering
from vipsgate.image.cost import Cost
from vipsgate.worker import fontfiles, main
from vipsgate.worker.interrupt import Interrupt
from vipsgate.worker.jobs import Worker
from vipsgate.worker.protocol import Attachment, Batch, Job, Output

LIMITS = Limits()


@pytest.fixture
def interrupt():
    return Interrupt()


@pytest.fixture
def worker(interrupt):
    return Worker(LIMITS, Rendering(), fontfiles.find().fonts, interrupt)


@pytest.fixture
def file():
    """A descriptor of a file with these bytes."""
    made = []

    def write(data):
        made.append(os.memfd_create("source"))
        os.write(made[-1], data)
        return made[-1]

    yield write
    for descriptor in made:
        os.close(descriptor)


@pytest.fixture
def do(worker, interrupt):
    """What comes of each job of a batch: bytes, a cost, or an error."""

    def done(*jobs, budget=None):
        found = []
        for task in worker.tasks(Batch(1, jobs, budget)):
            outcome = main.outcome_of(worker, task, interrupt)
            if isinstance(outcome, Output):
                found.append(os.pread(outcome.descriptor, outcome.size + 1, 0))
                os.close(outcome.descriptor)
            else:
                found.append(outcome)
        return found

    return done


def jpeg(width=64, height=48):
    held = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(held, "JPEG")
    return held.getvalue()


def size(data):
    with Image.open(BytesIO(data)) as image:
        return image.size


def test_render(do, file):
    (made,) = do(Job("render", "image/resize,w_32", file(jpeg())))
    assert size(made) == (32, 24)


def test_render_with_an_attachment(do, file):
    key = urlsafe_b64encode(b"logo.jpg").decode().rstrip("=")
    source, text = file(jpeg()), f"image/watermark,image_{key},t_50/format,png"
    plain, marked = (
        do(Job("render", "image/format,png", source)),
        do(Job("render", text, source, (Attachment("etag", file(jpeg(20, 20))),))),
    )
    assert size(marked[0]) == (64, 48)
    assert marked != plain


def test_explain_is_the_plan_and_no_picture(do, file):
    source = file(jpeg(640, 480))
    (made,) = do(Job("explain", "image/resize,w_32", source), budget=(0.0, 0))
    assert json.loads(made)["result"]["width"] == 32


def test_a_histogram_is_admitted_as_a_picture_is(do, file):
    source = file(jpeg(640, 480))
    job = Job("histogram", "image/average-hue", source)
    (made,) = do(job)
    assert len(json.loads(made)["grey"]) == 64
    (cost,) = do(job, budget=(0.0, 0))
    assert isinstance(cost, Cost)


def test_paint_takes_no_source(do):
    (made,) = do(Job("paint", "photo-30x20-1.png"))
    assert size(made) == (30, 20)


def test_a_job_that_is_not_valid_is_refused_alone(do, file):
    source = file(jpeg())
    texts = ("image/resize,w_32", "image/resize,w_none", "photo-9x9-1.png", "image/resize,w_16")
    found = do(*(Job("render", text, source) for text in texts))
    assert [size(one) for one in (found[0], found[3])] == [(32, 24), (16, 12)]
    assert [type(one) for one in found[1:3]] == [errors.InvalidArgument] * 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("render", "image/format,avif"),
        ("render", "video/snapshot,t_0,f_jpg"),
        ("paint", "photo-300x200-1.jpg"),
    ],
    ids=str,
)
def test_what_is_above_its_budget_comes_back_with_its_cost(do, file, kind, text):
    source = None if kind == "paint" else file(jpeg())
    (cost,) = do(Job(kind, text, source), budget=(0.0001, 1))
    assert isinstance(cost, Cost)
    assert not cost.within(0.0001, 1)


def cancelled(number):
    """An interrupt that has heard that this job is cancelled."""
    listen, control = os.pipe()
    os.write(control, number.to_bytes(8, "little"))
    os.close(control)
    interrupt = Interrupt()
    interrupt.listen(listen)
    os.close(listen)
    return interrupt


@pytest.mark.parametrize("number", [1, 2])
def test_a_cancelled_job_is_not_begun(worker, file, number):
    interrupt = cancelled(1)
    (task,) = worker.tasks(Batch(number, (Job("render", "image/info", file(jpeg())),)))
    interrupt.begin(number)
    outcome = main.outcome_of(worker, task, interrupt)
    if number == 1:
        assert isinstance(outcome, errors.CpuLimitExceeded)
    else:
        os.close(outcome.descriptor)


def test_painting_is_cancelled_as_such():
    """libvips says no more than that it failed; the worker says why."""
    interrupt = Interrupt()
    worker = Worker(LIMITS, Rendering(), fontfiles.find().fonts, interrupt)
    listen, control = os.pipe()
    real, begun = interrupt.watch, threading.Event()

    def watch(image):
        os.write(control, (1).to_bytes(8, "little"))
        os.close(control)
        interrupt.watch = real
        interrupt.listen(listen)
        begun.set()
        real(image)

    interrupt.watch = watch
    (task,) = worker.tasks(Batch(1, (Job("paint", "photo-3000x2000-1.jpg"),)))
    interrupt.begin(1)
    outcome = main.outcome_of(worker, task, interrupt)
    os.close(listen)
    assert begun.is_set()
    assert isinstance(outcome, errors.CpuLimitExceeded)


@pytest.mark.parametrize("text", ["image/resize,w_9", "image/info", "image/crop,x_9999"])
def test_of_what_is_no_picture_no_result_is_left_open(do, file, text):
    sources = [file(b"no picture"), file(jpeg()[:100])]
    before = len(os.listdir("/proc/self/fd"))
    for source in sources:
        (error,) = do(Job("render", text, source))
        assert isinstance(error, errors.OssError)
    assert len(os.listdir("/proc/self/fd")) == before


CUT = "image/crop,w_20,h_20,g_auto"


def test_a_look_says_where(do, file, saved, photo):
    source = file(saved(photo(400, 267), "JPEG", quality=80))
    ((place,), (picture, none)) = (
        do(Job("look", CUT, source)),
        do(Job("render", CUT, source, focus=((0, 0, 0, 0),)), Job("render", CUT, source)),
    )
    assert gravity.load(place)
    assert Image.open(BytesIO(picture)).size == (20, 20)
    assert type(none) is errors.InternalError  # the front has to have it looked for


def test_a_look_is_admitted_by_its_cost(do, file, saved):
    source = file(saved(Image.new("RGB", (2000, 1500), "#336699"), "PNG"))
    (cost,) = do(Job("look", CUT, source), budget=(0.01, 1 << 30))
    assert isinstance(cost, Cost)
    assert cost.seconds > 0.03  # of decoding all of it
    (place,) = do(Job("look", CUT, source), budget=(cost.seconds, cost.memory))
    assert gravity.load(place)


def test_what_cannot_be_made_is_not_looked_at(do, file, saved, photo):
    source = file(saved(photo(400, 267), "JPEG", quality=80))
    (error,) = do(Job("look", f"{CUT}/resize,m_fixed,w_9000,h_9000,limit_0", source))
    assert type(error) is errors.ImageTooLarge
