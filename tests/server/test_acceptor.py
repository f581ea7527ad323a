"""Which connections the parent of several fronts accepts, and which front gets each."""

import os
import socket
from contextlib import suppress

import pytest

from vipsgate.fronts.scoreboard import Column, Scoreboard
from vipsgate.server import acceptor
from vipsgate.server.acceptor import Acceptor
from vipsgate.server.notices import CLOSE_IDLE, CONNECTIONS, LAST
from vipsgate.web import ports
from vipsgate.web.connection_limit import MAX_ACCEPTED


class Port:
    """A port of two fronts, and what these are told."""

    def __init__(self, limit):
        self.scoreboard, self.told, self.clients, self.full = Scoreboard(2), [], [], set()
        for front in range(2):
            self.scoreboard.set(front, Column.ALIVE, 1)
        self.sockets = ports.bind("127.0.0.1", 0, shared=False)
        self.address = self.sockets[0].getsockname()
        self.acceptor = Acceptor(self.sockets, self.scoreboard, limit, self.tell)
        self.acceptor.open()

    def tell(self, front, kind, body, descriptors):
        if front in self.full:
            raise BlockingIOError
        self.told.append((front, kind, body or len(descriptors)))
        for descriptor in descriptors:
            assert os.fstat(descriptor)

    def connect(self, count):
        for _ in range(count):
            self.clients.append(socket.create_connection(self.address))

    def loads(self):
        """Connections of each front, those that it has not received yet included."""
        return self.scoreboard.column(Column.SENT)


@pytest.fixture
def port(request):
    port = Port(request.param)
    yield port
    for client in port.clients:
        client.close()
    with suppress(OSError):
        port.acceptor.close(shared=False)


def limit(connections):
    return pytest.mark.parametrize("port", [connections], indirect=True)


@limit(100)
def test_connections_go_to_the_front_with_the_fewest(port):
    port.scoreboard.set(0, Column.CONNECTIONS, 3)
    port.connect(5)
    port.acceptor.accept(port.sockets[0])
    assert port.loads() == [1, 4]
    assert sorted(port.told) == [(0, CONNECTIONS, 1), (1, CONNECTIONS, 4)]


@limit(4)
def test_those_beyond_the_limit_stay_in_the_queue_until_a_part_is_free(port):
    port.connect(6)
    port.acceptor.accept(port.sockets[0])
    assert sum(port.loads()) == 4
    port.acceptor.check()
    assert port.acceptor.listening == ()
    assert port.told[-1][1:] == (CLOSE_IDLE, {"count": 1})
    port.acceptor.accept(port.sockets[0])
    assert sum(port.loads()) == 4
    port.scoreboard.add(0, Column.SENT, -1)  # as if a client had left
    port.acceptor.check()
    assert port.acceptor.listening == port.sockets
    port.acceptor.accept(port.sockets[0])
    assert sum(port.loads()) == 4


@limit(1)
def test_at_the_end_those_beyond_the_limit_are_served_too(port):
    """The kernel would reset them."""
    port.connect(MAX_ACCEPTED + 2)
    port.acceptor.accept(port.sockets[0])
    port.acceptor.check()
    port.acceptor.close(shared=False)
    assert sum(port.loads()) == MAX_ACCEPTED + 2
    port.acceptor.notify_last(1)
    assert port.told[-1][:2] == (1, LAST)


@limit(1000)
@pytest.mark.parametrize("full", [{1}, {0, 1}])
def test_what_a_front_does_not_take_is_passed_to_others_or_held(port, caplog, full):
    port.full = full
    port.connect(100)
    port.acceptor.accept(port.sockets[0])
    assert port.loads() == [0 if full == {0, 1} else 100, 0]
    assert "front 1 takes no connections" in caplog.text
    port.connect(5)
    port.acceptor.check()
    assert port.acceptor.listening == (() if full == {0, 1} else port.sockets)
    assert full == {1} or all(still_open(client) for client in port.clients)
    port.full = set()
    port.acceptor.check()
    port.acceptor.accept(port.sockets[0])
    assert sum(port.loads()) == 105


@limit(1000)
def test_connections_are_held_while_no_front_is_alive(port):
    for front in range(2):
        port.scoreboard.set(front, Column.ALIVE, 0)
    port.connect(3)
    port.acceptor.accept(port.sockets[0])
    assert port.acceptor.listening == ()
    assert all(still_open(client) for client in port.clients)
    port.scoreboard.set(1, Column.ALIVE, 1)
    port.acceptor.check()
    assert port.loads() == [0, 3]
    assert port.acceptor.listening == port.sockets


@limit(10)
def test_what_is_held_counts_as_open(port):
    port.full = {0, 1}
    port.connect(20)
    port.acceptor.accept(port.sockets[0])
    port.full = set()
    port.acceptor.check()
    assert sum(port.loads()) == 10
    port.acceptor.accept(port.sockets[0])
    assert sum(port.loads()) == 10


@limit(100)
def test_at_the_end_a_full_front_has_a_moment(port, monkeypatch):
    monkeypatch.setattr(acceptor, "FULL_SECONDS", 0.1)
    port.full = {0, 1}
    port.connect(4)
    port.acceptor.accept(port.sockets[0])
    port.acceptor.close(shared=False)
    assert port.loads() == [0, 0]
    assert not any(still_open(client) for client in port.clients)


def still_open(client):
    """Whether the other side of a connection, which has sent nothing, has not closed it."""
    client.setblocking(False)
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
