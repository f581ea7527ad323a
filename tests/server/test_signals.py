"""Signals that are read from a socket."""

import os
import select
import signal

from vipsgate.server.signals import Signals


def test_signals_are_read_in_their_order_and_handled_as_before_at_the_end():
    before = signal.getsignal(signal.SIGUSR1)
    with Signals((signal.SIGUSR1, signal.SIGUSR2)) as signals:
        assert list(signals.read()) == []
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([signals], [], [], 5)[0] == [signals]
        assert list(signals.read()) == [signal.SIGUSR2, signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1
