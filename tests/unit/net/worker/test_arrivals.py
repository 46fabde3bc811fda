"""An idle worker: which connections it serves itself, and which it passes on with all their bytes."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from dcmrecv_core.net.admission import Activity, AdmissionTable, Door
from dcmrecv_core.net.claim import Claim
from dcmrecv_core.net.handover import IDLE, TAKEN, Handover, HandoverSender, LostAssociation, hear
from dcmrecv_core.net.shares import Shares
from dcmrecv_core.net.worker import arrivals as module
from dcmrecv_core.net.worker.arrivals import Arrivals, Entrance
from support.protocol.pdus import associate_rq
from support.uids import CT, EXPLICIT_LE

REQUEST = associate_rq([(CT, [EXPLICIT_LE])])
LONG_REQUEST = associate_rq([(CT, [EXPLICIT_LE] * 100)] * 12)
TOO_LONG = associate_rq([(CT, [EXPLICIT_LE] * 100)] * 20)
LOCALHOST = "127.0.0.1"


class Idler:
    """A worker at its place, of a receiver with `places`; `control` is the supervisor's end."""

    def __init__(self, places: int = 64, *, listens: bool = True, door: Door = Door.OPEN) -> None:
        self.stopping = False
        self.control, theirs = socket.socketpair()
        self.control.settimeout(10)
        self.listener = socket.create_server((LOCALHOST, 0))
        self.listener.setblocking(False)
        self.table = AdmissionTable(64)
        self.table.door = door
        _, self.slot = self.table.take(0.0)
        self.slot.claim.open()
        entrance = Entrance([self.listener] if listens else [], self.table, Shares(places, None), 1 << 16)
        self.arrivals = Arrivals(theirs, self.slot, entrance, lambda: self.stopping)
        self._open = [self.control, theirs, self.listener]

    def connect(self, said: bytes = b"") -> socket.socket:
        peer = socket.create_connection(self.listener.getsockname(), timeout=10)
        assert select.select([self.listener], (), (), 10)[0], "it can be accepted"
        self._open.append(peer)
        peer.sendall(said)
        return peer

    def hears(self) -> bytes:
        """What the supervisor reads, messages only."""
        messages, passed_on = hear(self.control)
        assert passed_on is None
        return messages

    def next(self, *, ends: bool = True) -> Handover | None:
        """The next association; with `ends` the worker is told to end, so that it does not wait for another one."""
        if ends:
            self.control.shutdown(socket.SHUT_WR)
        given = self.arrivals.next()
        assert not isinstance(given, LostAssociation)
        if given is not None:
            self._open.append(given.sock)
        return given

    def passes_on(self) -> bytes:
        """Let it pass on a connection; returns what the supervisor can read from that."""
        over = threading.Event()
        found: list[bytes] = []

        def supervise() -> None:
            passed_on = None
            while passed_on is None:
                _, passed_on = hear(self.control)
            with passed_on:
                passed_on.settimeout(10)
                found.append(b"" if over.is_set() else passed_on.recv(1 << 16))
            self.control.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=supervise)
        thread.start()
        assert self.next(ends=False) is None
        thread.join(10)
        [said] = found
        return said

    def close(self) -> None:
        for sock in self._open:
            sock.close()
        self.slot.claim.close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Idler]]:
    monkeypatch.setattr(module, "PATIENCE", 0.5)  # what was sent may arrive a moment later
    made: list[Idler] = []

    def make(*arguments: int, listens: bool = True, door: Door = Door.OPEN) -> Idler:
        made.append(Idler(*arguments, listens=listens, door=door))
        return made[-1]

    yield make
    for idler in made:
        idler.close()


@pytest.fixture
def idler(make: Callable[..., Idler]) -> Idler:
    return make()


@pytest.mark.parametrize("request_bytes", [REQUEST, LONG_REQUEST], ids=["short", "long"])
def test_a_request_that_is_there_at_once_is_served(
    idler: Idler, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = idler.connect(request_bytes + b"tail")
    given = idler.next(ends=False)
    assert given is not None
    assert (given.request, given.address, given.port) == (request_bytes, *peer.getsockname())
    assert given.sock.recv(100) == b"tail", "not a byte more is read"
    assert idler.slot.place[1:3] == (Activity.SERVING, 1)
    assert not idler.slot.claim.take(), "the supervisor gives it nothing now"
    assert idler.hears() == IDLE, "only that it is ready for the first time"
    assert [record.getMessage() for record in caplog.records] == ["Association Received: 127.0.0.1"]


def test_a_worker_says_nothing_of_its_later_associations(idler: Idler) -> None:
    for _ in range(3):
        idler.connect(REQUEST)
        assert idler.next(ends=False) is not None
        idler.slot.rest()
    assert idler.hears() == IDLE


def test_a_request_in_two_pieces(idler: Idler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 10)
    peer = idler.connect(REQUEST[:20])
    threading.Timer(0, peer.sendall, [REQUEST[20:]]).start()
    given = idler.next(ends=False)
    assert given is not None and given.request == REQUEST
    peer.sendall(b"x")
    assert given.sock.recv(100) == b"x", "it waits for single bytes again"


def test_a_request_right_after_the_connection(idler: Idler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 10)
    peer = idler.connect()
    threading.Timer(0, peer.sendall, [REQUEST]).start()
    given = idler.next(ends=False)
    assert given is not None and given.request == REQUEST


@pytest.mark.parametrize(
    "said",
    [REQUEST[:3], REQUEST[:6], REQUEST[:-1], b"GET / HTTP/1.1\r\n\r\n", b"\1\0\0\2\0\0" + bytes(100), TOO_LONG],
    ids=["3", "header", "most", "http", "over the limit", "too long"],
)
def test_what_is_no_whole_request_is_passed_on_unread(idler: Idler, said: bytes) -> None:
    idler.connect(said)
    assert idler.passes_on() == said
    assert idler.slot.place[1:3] == (Activity.IDLE, 0)


def test_silent_connections_and_closed_ones_are_passed_on(idler: Idler) -> None:
    idler.connect().shutdown(socket.SHUT_WR)
    assert idler.passes_on() == b""


def test_while_requests_wait_the_front_desk_decides(idler: Idler) -> None:
    idler.table.requests_wait = True
    idler.connect(REQUEST)
    assert idler.passes_on() == REQUEST
    assert idler.slot.place.activity is Activity.IDLE
    assert idler.slot.claim.take(), "it is idle as before"


def test_a_worker_that_becomes_idle_says_so_while_requests_wait(idler: Idler) -> None:
    idler.connect(REQUEST)
    assert idler.next(ends=False) is not None
    assert idler.hears() == IDLE
    idler.slot.rest()
    idler.table.requests_wait = True
    assert idler.next() is None
    assert idler.hears() == IDLE


@pytest.mark.parametrize(("held", "is_served"), [(2, True), (3, False)])
def test_a_peer_that_has_its_share_is_passed_on(make: Callable[..., Idler], held: int, is_served: bool) -> None:
    idler = make(5)
    for _ in range(held):
        idler.table.take(0.0)[1].begin(LOCALHOST, 0.0, handshake=False)
    idler.connect(REQUEST)
    if is_served:
        assert idler.next(ends=False) is not None
    else:
        assert idler.passes_on() == REQUEST
        assert idler.table.busy == held


def test_a_worker_that_tells_of_a_lost_association_takes_no_other_and_has_no_place(idler: Idler) -> None:
    assert HandoverSender(LostAssociation(b"lost")).advance(idler.control)
    assert idler.arrivals.next() == LostAssociation(b"lost")
    assert idler.slot.activity is Activity.AWAY
    assert idler.table.places() == []


def test_a_handover_that_stands_in_the_table_counts_once(idler: Idler) -> None:
    idler.slot.reserve("10.0.0.1", 5.0, handshake=False)
    place = idler.slot.place
    ours, peer = socket.socketpair()
    with ours, peer:
        assert HandoverSender(Handover(ours, b"", "10.0.0.1", 1)).advance(idler.control)
        assert idler.next(ends=False) is not None
    assert idler.slot.place == place


def test_a_worker_that_the_supervisor_has_claimed_passes_on_and_takes_the_handover(
    idler: Idler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Claim, "take", lambda claim: False)
    idler.connect(REQUEST)
    ours, peer = socket.socketpair()
    with ours, peer:
        assert HandoverSender(Handover(ours, b"handed over", "10.0.0.1", 1)).advance(idler.control)
        given = idler.next(ends=False)
        assert given is not None and given.request == b"handed over"
        assert idler.slot.place[1:3] == (Activity.SERVING, 1)
        messages, passed_on = hear(idler.control)
        assert passed_on is not None
        with passed_on:
            assert passed_on.recv(1000) == REQUEST
        assert messages + idler.hears() == IDLE + b"P" + TAKEN


def test_one_that_is_told_to_end_serves_no_more_and_loses_nothing(idler: Idler) -> None:
    """A connection for which the kernel has woken it would wait in vain."""
    idler.connect(REQUEST)
    assert idler.next() is None
    messages, passed_on = hear(idler.control)
    assert passed_on is not None
    with passed_on:
        assert passed_on.recv(1000) == REQUEST
    assert messages == IDLE + b"P"


def test_a_supervisor_that_takes_nothing_holds_up_no_end(idler: Idler, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = idler.connect()

    def refuse(control: socket.socket, sock: socket.socket) -> None:
        idler.stopping = True
        raise BlockingIOError

    monkeypatch.setattr(module, "pass_on", refuse)
    assert idler.next(ends=False) is None
    assert peer.recv(1) == b""


class Failing(socket.socket):
    """A listening socket that cannot accept."""

    number = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOMEM, errno.EINVAL])
def test_what_the_system_refuses_is_left_to_others(idler: Idler, number: int) -> None:
    [(fd, listener)] = idler.arrivals._listeners.items()
    failing = Failing(fileno=listener.detach())
    failing.number = number
    idler.arrivals._listeners[fd] = failing
    idler.listener = failing
    idler.connect()
    assert idler.next() is None
    assert not idler.arrivals._listeners and failing.fileno() == -1


def test_without_a_free_descriptor_the_worker_ends(idler: Idler) -> None:
    [(fd, listener)] = idler.arrivals._listeners.items()
    failing = Failing(fileno=listener.detach())
    failing.number = errno.EMFILE
    idler.arrivals._listeners[fd] = failing
    idler.listener = failing
    idler.connect()
    with failing, pytest.raises(OSError, match="Too many open files"):
        idler.next(ends=False)


def test_after_sigterm_others_accept(idler: Idler) -> None:
    with idler.listener.dup() as others:
        idler.arrivals.stop_listening()
        idler.listener = others
        idler.connect(REQUEST)
        assert idler.next() is None
        assert idler.hears() == IDLE
        with others.accept()[0] as accepted:
            assert accepted.recv(1000) == REQUEST


def test_a_worker_without_listening_sockets_waits_for_handovers(make: Callable[..., Idler]) -> None:
    """With TLS."""
    idler = make(listens=False)
    ours, peer = socket.socketpair()
    with ours, peer:
        assert HandoverSender(Handover(ours, b"", "10.0.0.1", 1, tls_deadline=5.0)).advance(idler.control)
        given = idler.next(ends=False)
        assert given is not None and given.tls_deadline == 5.0
        assert idler.slot.place.activity is Activity.HANDSHAKE
    idler.slot.rest()
    assert idler.next() is None


# The door


def test_while_the_door_is_shut_others_accept(idler: Idler) -> None:
    idler.table.door = Door.SHUT
    peer = idler.connect(REQUEST)
    assert idler.next() is None
    with idler.listener.accept()[0] as accepted:
        assert accepted.getpeername() == peer.getsockname()


def test_a_worker_that_began_before_the_door_opened(make: Callable[..., Idler]) -> None:
    idler = make(door=Door.SHUT)
    idler.table.door = Door.OPEN
    idler.connect(REQUEST)
    given = idler.next(ends=False)
    assert given is not None and given.request == REQUEST


def test_the_door_opens_while_a_worker_waits(idler: Idler) -> None:
    idler.table.door = Door.SHUT
    idler.connect(REQUEST)
    opening = threading.Timer(0.1, lambda: setattr(idler.table, "door", Door.OPEN))
    opening.start()
    given = idler.next(ends=False)
    opening.join(10)
    assert given is not None and given.request == REQUEST


def test_when_the_door_is_closed_no_copy_stays(idler: Idler) -> None:
    """Also not while the worker serves: with the last copy the kernel refuses connections."""
    idler.arrivals.look_at_door()
    assert idler.listener.fileno() >= 0
    idler.table.door = Door.CLOSED
    idler.arrivals.look_at_door()
    assert idler.listener.fileno() == -1
    assert idler.next() is None


def test_an_idle_worker_closes_its_copies_by_itself(idler: Idler) -> None:
    idler.table.door = Door.CLOSED
    assert idler.next() is None
    assert idler.listener.fileno() == -1
