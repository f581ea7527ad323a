"""Cancel messages, as a worker hears them: through a pipe, before, during and after a job."""

import os

import pytest

from vipsgate.worker.interrupt import Interrupt


class Image:
    def __init__(self) -> None:
        self.killed = False

    def set_kill(self, kill: bool) -> None:
        self.killed = kill


def heard(*cancelled: int) -> Interrupt:
    """An interrupt that has heard these cancel messages."""
    listen, control = os.pipe()
    for job in cancelled:
        os.write(control, job.to_bytes(8, "little"))
    os.close(control)
    interrupt = Interrupt()
    interrupt.listen(listen)
    os.close(listen)
    return interrupt


@pytest.mark.parametrize(
    ("cancelled", "job", "killed"), [(1, 1, True), (2, 2, True), (1, 2, False), (7, 8, False)]
)
def test_cancelled_before_the_image(cancelled: int, job: int, killed: bool) -> None:
    interrupt, image = heard(cancelled), Image()
    interrupt.begin(job)
    interrupt.watch(image)
    assert image.killed is killed


@pytest.mark.parametrize(("cancelled", "killed"), [(4, False), (5, True), (6, False)])
def test_cancelled_during_the_image(cancelled: int, killed: bool) -> None:
    listen, control = os.pipe()
    interrupt, image = Interrupt(), Image()
    interrupt.begin(5)
    interrupt.watch(image)
    os.write(control, cancelled.to_bytes(8, "little"))
    os.close(control)
    interrupt.listen(listen)
    os.close(listen)
    assert image.killed is killed


def test_what_is_no_image_asks_for_itself() -> None:
    interrupt = heard(2)
    interrupt.begin(1)
    assert not interrupt.cancelled
    interrupt.begin(2)
    assert interrupt.cancelled
    interrupt.begin(3)
    assert not interrupt.cancelled


def test_after_the_job_its_image_is_left_alone() -> None:
    listen, control = os.pipe()
    interrupt, image = Interrupt(), Image()
    interrupt.begin(5)
    interrupt.watch(image)
    interrupt.end()
    os.write(control, (5).to_bytes(8, "little"))
    os.close(control)
    interrupt.listen(listen)
    os.close(listen)
    assert image.killed is False
