"""What the parent of several fronts makes of what they say, without any front."""

import os

import pytest

from vipsgate.server import notices, parent
from vipsgate.server.child import FrontError
from vipsgate.settings import Server, Settings, SettingsError
from vipsgate.web import ports


@pytest.fixture
def house():
    settings = Settings(server=Server(port=0, admin_port=0, fronts=2))
    result = parent.Parent(settings, lambda _: None, lambda *_: None)
    yield result
    ports.close((*result._public, *result._admin, *result._inboxes, *result._outboxes))
    result._signals.close()


@pytest.mark.parametrize(("usage", "error"), [(True, SettingsError), (False, FrontError)])
def test_the_reason_of_a_front_that_cannot_start_is_told_although_it_has_ended(house, usage, error):
    """Its message and its end may be noticed at once, and then the end first."""
    house._fronts[1].started(os.getpid(), 100.0)
    house._notify(2, notices.FAILED, {"reason": "no such font", "usage": usage}, who=1)
    house._fronts[1].ended(100.1)
    with pytest.raises(error, match="no such font"):
        house._ended(1, os.getpid())


def test_the_end_of_a_front_that_has_given_no_reason_ends_the_start(house):
    with pytest.raises(FrontError, match="ended before it was ready"):
        house._ended(1, os.getpid())


def test_a_front_that_has_ended_is_not_ready_whatever_it_has_said_before(house):
    house._fronts[1].started(os.getpid(), 100.0)
    house._notify(2, notices.READY, {"console": "http://console"}, who=1)
    house._fronts[1].ended(100.1)
    house._read()
    assert not house._fronts[1].ready
    house._fronts[1].started(os.getpid(), 100.2)
    house._notify(2, notices.READY, {"console": "http://console"}, who=1)
    house._read()
    assert house._fronts[1].ready
