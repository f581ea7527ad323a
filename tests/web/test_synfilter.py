"""Two sockets that listen on one port, of which one is about to be closed: nobody is reset."""

import socket
from contextlib import ExitStack

from vipsgate.web import synfilter

CLIENTS = 32  # of which the kernel gives each socket about a half
SOON_S = 10


def listening(port=0):
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    line.bind(("127.0.0.1", port))
    line.listen(2 * CLIENTS)
    line.setblocking(False)
    return line


def accepted(line):
    links = []
    while True:
        try:
            links.append(line.accept()[0])
        except BlockingIOError:
            return links


def test_a_port_is_handed_over_without_a_reset():
    with ExitStack() as stack:
        old = stack.enter_context(listening())
        address = old.getsockname()
        fresh = stack.enter_context(listening(address[1]))

        early = [stack.enter_context(socket.create_connection(address)) for _ in range(CLIENTS)]
        synfilter.begin_no_more(old)
        late = [stack.enter_context(socket.socket()) for _ in range(CLIENTS)]
        for line in late:
            line.setblocking(False)
            assert line.connect_ex(address)
        ours, theirs = accepted(old), accepted(fresh)
        assert 0 < len(ours) < CLIENTS  # those that were connected before, and no others
        old.close()

        for line in [*early, *late]:
            line.settimeout(SOON_S)
            line.sendall(b"a question")  # when it is connected
        theirs += accepted(fresh)
        assert len(ours) + len(theirs) == 2 * CLIENTS
        for link in [*ours, *theirs]:
            stack.enter_context(link)
            link.settimeout(SOON_S)
            assert link.recv(10) == b"a question"
