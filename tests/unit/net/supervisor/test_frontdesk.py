"""The front desk: requests are passed on exactly when complete, all other connections end in time."""

from __future__ import annotations

import errno
import logging
import os
import resource
import select
import selectors
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dcmrecv_core.net.connection import CALL_TIMEOUT, LINGER
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.supervisor import frontdesk
from dcmrecv_core.net.supervisor.frontdesk import ACCEPT_PAUSE, LOOK_SECONDS, FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.testing import until
from support.protocol.pdus import ABORT, P_DATA, associate_rq, pdu
from support.uids import IMPLICIT_LE, VERIFICATION

REQUEST = associate_rq([(VERIFICATION, [IMPLICIT_LE])])
SECONDS = 30.0
ABORTED = pdu(ABORT, bytes(4))


class Desk:
    """A front desk with a clock of its own; `turn` does what the supervisor's loop does."""

    def __init__(self, *listeners: socket.socket, accepts: bool = True) -> None:
        self.now = 1000.0
        self.admitted: list[Handover] = []
        self.peers: list[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        self.desk = FrontDesk(self.selector, Listeners(list(listeners)), SECONDS, self.admitted.append, accepts=accepts)

    def turn(self, seconds: float = 0.0) -> float | None:
        """Let `seconds` pass, then handle what is ready."""
        self.now += seconds
        for key, _ in self.selector.select(0):
            if self.selector.get_map().get(key.fd) is key:
                key.data(key.fileobj, self.now)
        return self.desk.tick(self.now)

    def until_admitted(self, count: int) -> None:
        """Go on until so many are: what is sent by TCP may arrive a moment later."""

        def are_admitted() -> bool:
            self.turn()
            return len(self.admitted) == count

        until(are_admitted, f"{count} are admitted")

    def connect(self, said: bytes = b"", address: str = "10.0.0.1") -> socket.socket:
        ours, peer = socket.socketpair()
        peer.settimeout(20)
        self.peers.append(peer)
        if said:
            peer.sendall(said)
        self.desk.add_connection(ours, address, 4242, self.now)
        return peer

    def close(self) -> None:
        self.desk.close()
        self.selector.close()
        for handover in self.admitted:
            handover.sock.close()
        for peer in self.peers:
            peer.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def is_closed(peer: socket.socket) -> bool:
    """Whether the desk has closed the connection; bytes that it sent before do not count."""
    peer.setblocking(False)
    try:
        while peer.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass  # the desk had not read all of its data
    return True


def test_a_request_is_passed_on_with_its_last_byte_and_not_a_byte_more_is_read(desk: Desk) -> None:
    peer = desk.connect()
    for byte in REQUEST[:-1]:
        peer.sendall(bytes([byte]))
        desk.turn()
        assert desk.admitted == []
    peer.sendall(REQUEST[-1:] + b"tail")
    desk.turn()
    [handover] = desk.admitted
    assert (handover.request, handover.address, handover.port) == (REQUEST, "10.0.0.1", 4242)
    assert handover.sock.recv(100) == b"tail"
    assert desk.turn() is None, "a connection is still at the desk"


@pytest.mark.parametrize("tail", [b"", pdu(P_DATA, bytes(10))], ids=["alone", "with-data"])
def test_a_request_that_has_arrived_needs_no_turn(desk: Desk, tail: bytes) -> None:
    desk.connect(REQUEST + tail)
    assert [handover.request for handover in desk.admitted] == [REQUEST]


def test_the_largest_request_is_put_together(desk: Desk) -> None:
    request = struct.pack(">BxI", 1, 1 << 20) + bytes(range(256)) * 4096
    peer = desk.connect()
    peer.setblocking(False)
    left = memoryview(request)
    while left:
        try:
            left = left[peer.send(left) :]
        except BlockingIOError:
            assert desk.admitted == []
        desk.turn()
    assert [handover.request for handover in desk.admitted] == [request]


def test_long_requests_that_stay_incomplete_do_not_pile_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdesk, "MAX_PENDING_BYTES", 100_000)
    honest = desk.connect(REQUEST[:-1])
    long = [desk.connect(struct.pack(">BxI", 1, 1 << 20) + bytes(size)) for size in (40_000, 50_000, 30_000)]
    assert [is_closed(peer) for peer in (honest, *long)] == [False, False, True, False]
    long[0].sendall(bytes(40_000))
    desk.turn()
    assert [is_closed(peer) for peer in (honest, long[0], long[2])] == [False, True, False]
    honest.sendall(REQUEST[-1:])
    desk.turn()
    assert [handover.request for handover in desk.admitted] == [REQUEST]


@pytest.mark.parametrize("said", [b"", REQUEST[:3], REQUEST[:-1]], ids=["nothing", "half-a-header", "most"])
def test_the_deadline_is_for_the_whole_request(desk: Desk, said: bytes) -> None:
    peer = desk.connect()
    for byte in said:
        peer.sendall(bytes([byte]))
        assert desk.turn(SECONDS / 300) is not None
    left = desk.desk.tick(desk.now)
    assert left == pytest.approx(SECONDS - len(said) * SECONDS / 300)
    desk.turn(left - 0.1)
    assert not is_closed(peer)
    assert desk.turn(0.1) == pytest.approx(LINGER)
    assert is_closed(peer)


def test_an_abort_is_not_answered(desk: Desk) -> None:
    peer = desk.connect(ABORTED)
    assert peer.recv(100) == b"", "the sending side is shut down"
    assert desk.admitted == []


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes.fromhex("160301020001000000") + bytes(500),
        pdu(P_DATA, bytes(10)),
        struct.pack(">BxI", 1, (1 << 20) + 1),
        struct.pack(">BxI", 1, 0xFFFFFFFF),
        struct.pack(">BxI", 1, 67),
    ],
    ids=["http", "tls", "p-data", "too-long", "4-gib", "too-short"],
)
@pytest.mark.parametrize("dribbled", [False, True])
def test_anything_but_a_request_is_answered_with_an_abort(desk: Desk, said: bytes, dribbled: bool) -> None:
    if dribbled:
        peer = desk.connect()
        for byte in said[:6]:
            peer.sendall(bytes([byte]))
            desk.turn()
    else:
        peer = desk.connect(said)
    assert peer.recv(100) == ABORTED
    assert peer.recv(100) == b"", "the sending side is shut down"
    peer.sendall(b"still talking")  # it may, until the connection is closed
    assert desk.turn(LINGER - 0.01) == pytest.approx(0.01)
    assert desk.turn(0.02) is None
    with pytest.raises(BrokenPipeError):
        peer.sendall(b"too late")


def test_a_peer_that_closes_after_the_abort_is_dropped_at_once(desk: Desk) -> None:
    peer = desk.connect(b"GET / HTTP/1.1\r\n\r\n")
    peer.close()
    desk.turn()  # reads the rest of its data
    assert desk.turn() is None


def test_declared_lengths_cost_no_memory(desk: Desk) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for number in range(20):
            desk.connect(struct.pack(">BxI", 1, 1 << 20) + b"x", f"10.0.0.{number}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 1 << 20


def test_the_oldest_connection_of_an_address_is_dropped_at_its_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontdesk, "MAX_PENDING_PER_PEER", 3)
    other = desk.connect(address="10.0.0.2")
    peers = [desk.connect() for _ in range(5)]
    assert [is_closed(peer) for peer in peers] == [True, True, False, False, False]
    assert not is_closed(other)


def test_addresses_of_one_ipv6_network_count_as_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdesk, "MAX_PENDING_PER_PEER", 2)
    other = desk.connect(address="fd00:0:0:1::1")
    peers = [desk.connect(address=f"fd00::{number}") for number in range(1, 4)]
    assert [is_closed(peer) for peer in peers] == [True, False, False]
    assert not is_closed(other)


def test_the_oldest_connection_is_dropped_at_the_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdesk, "MAX_PENDING", 3)
    peers = [desk.connect(address=f"10.0.0.{number}") for number in range(5)]
    assert [is_closed(peer) for peer in peers] == [True, True, False, False, False]
    peers[3].sendall(REQUEST)
    desk.turn()
    assert [handover.address for handover in desk.admitted] == ["10.0.0.3"]
    peers.append(desk.connect())
    assert [is_closed(peer) for peer in peers[2:]] == [False, False, False, False], (
        "an admitted connection does not count"
    )


def test_the_oldest_of_the_address_with_most_is_dropped(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A slow peer outlives a flood from others."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(frontdesk, "MAX_PENDING", 4)
    slow = desk.connect(REQUEST[:10])
    flood = [desk.connect(address=f"10.0.0.{2 + number % 2}") for number in range(20)]
    assert [is_closed(peer) for peer in flood] == 17 * [True] + 3 * [False]
    assert "too many incomplete requests, dropping the oldest of 10.0.0.2" in caplog.text
    slow.setblocking(True)
    slow.sendall(REQUEST[10:])
    desk.turn()
    assert [handover.address for handover in desk.admitted] == ["10.0.0.1"]


def test_connections_that_are_refused_drop_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more of them wait for their peers to close either."""
    monkeypatch.setattr(frontdesk, "MAX_PENDING", 2)
    slow = [desk.connect(REQUEST[:10]) for _ in range(2)]
    refused = [desk.connect(b"GET / HTTP/1.1\r\n\r\n", "10.0.0.2") for _ in range(3)]
    for address in ("10.0.0.3", "10.0.0.4"):
        desk.connect(REQUEST, address)
        desk.desk.refuse(desk.admitted.pop(), desk.now, ABORTED)
    assert [is_closed(peer) for peer in slow] == [False, False]
    answers = [peer.recv(100) for peer in (*refused, *desk.peers[-2:])]
    assert all(answers), "each has its answer"
    for peer in slow:
        peer.setblocking(True)
        peer.sendall(REQUEST[10:])
    desk.turn()
    assert len(desk.admitted) == 2
    assert desk.turn(LINGER) is None


def test_a_peer_that_closes_without_a_request_is_dropped(desk: Desk) -> None:
    desk.connect().close()
    desk.connect(REQUEST[:20]).close()
    desk.turn()
    assert desk.turn() is None
    assert desk.admitted == []


def test_close_drops_all_connections_and_the_listeners() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    desk = Desk(listener)
    peers = [desk.connect(), desk.connect(REQUEST[:10]), desk.connect(b"GET / HTTP/1.1\r\n\r\n")]
    desk.desk.close()
    assert listener.fileno() == -1
    assert all(is_closed(peer) for peer in peers)
    assert not desk.selector.get_map()
    desk.selector.close()
    for peer in peers:
        peer.close()


class Listener(socket.socket):
    """Accepts nothing as long as `error` is set."""

    error: int | None = None

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().accept()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    made.bind(("127.0.0.1", 0))
    made.listen()
    made.setblocking(False)
    yield made
    made.close()


def connect(listener: socket.socket) -> socket.socket:
    """A connection that can be accepted."""
    connection = socket.create_connection(listener.getsockname(), timeout=20)
    assert select.select([listener], (), (), 20)[0]
    return connection


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM, errno.ENETDOWN])
def test_accepting_pauses_without_spinning_when_the_system_refuses(listener: Listener, number: int) -> None:
    desk = Desk(listener)
    earlier = desk.connect()
    listener.error = number
    with connect(listener) as peer:
        desk.turn()
        assert desk.selector.select(0) == [], "the loop would spin"
        earlier.sendall(REQUEST)
        desk.turn(ACCEPT_PAUSE / 2)
        assert len(desk.admitted) == 1, "accepted connections are served"
        listener.error = None
        peer.sendall(REQUEST)
        desk.turn(ACCEPT_PAUSE / 2)
        desk.until_admitted(2)
    desk.close()


def test_a_pause_ends_also_while_no_descriptor_is_free(listener: Listener) -> None:
    desk = Desk(listener)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(listener) as peer:
        peer.sendall(REQUEST)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            desk.turn()
            desk.turn(ACCEPT_PAUSE)
            desk.desk.go_last()
            assert desk.admitted == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        desk.turn(ACCEPT_PAUSE)
        desk.until_admitted(1)
    desk.close()


def waiting_worker(listener: socket.socket) -> select.epoll:
    """As a worker waits for connections."""
    worker = select.epoll()
    worker.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    return worker


def test_the_desk_is_woken_only_if_no_worker_waits(listener: Listener) -> None:
    desk = Desk(listener)
    with waiting_worker(listener) as worker, ThreadPoolExecutor(1) as threads:
        desk.desk.go_last()
        woken = threads.submit(worker.poll, 10)
        until(lambda: waits_in_kernel(threads), "the worker waits")
        with connect(listener) as first:
            assert woken.result(10)
            assert desk.selector.select(0) == []
            accepted, address = listener.accept()
            with accepted:
                assert address == first.getsockname()
            with connect(listener) as second:  # the worker is busy, or stopped
                second.sendall(REQUEST)
                desk.until_admitted(1)
                assert [handover.port for handover in desk.admitted] == [second.getsockname()[1]]
    desk.close()


def test_a_connection_that_its_worker_does_not_take_is_found_soon(listener: Listener) -> None:
    """It was killed after the kernel has woken it."""
    desk = Desk(listener)
    desk.turn()
    with waiting_worker(listener) as worker, ThreadPoolExecutor(1) as threads:
        desk.desk.go_last()
        desk.turn()
        woken = threads.submit(worker.poll, 10)
        until(lambda: waits_in_kernel(threads), "the worker waits")
        with connect(listener) as peer:
            assert woken.result(10)
            peer.sendall(REQUEST)
            desk.turn(LOOK_SECONDS / 2)
            assert desk.admitted == []
            desk.turn(LOOK_SECONDS / 2)
            desk.until_admitted(1)
    desk.close()


def waits_in_kernel(threads: ThreadPoolExecutor) -> bool:
    [thread] = threads._threads
    return Path(f"/proc/self/task/{thread.native_id}/wchan").read_text() == "do_epoll_wait"


def test_a_connection_that_a_worker_passes_on(listener: Listener) -> None:
    desk = Desk()
    with connect(listener) as peer:
        accepted, _ = listener.accept()
        desk.desk.take_over(accepted, desk.now)
        peer.sendall(REQUEST)
        desk.until_admitted(1)
        [handover] = desk.admitted
        assert (handover.request, handover.address, handover.port) == (REQUEST, *peer.getsockname())
    desk.close()


def test_a_connection_that_is_passed_on_when_the_receiver_ends(listener: Listener) -> None:
    """No worker will be idle again: it would wait for a place, and be refused for want of one."""
    desk = Desk()
    with connect(listener) as peer:
        accepted, _ = listener.accept()
        peer.sendall(REQUEST)
        desk.desk.close()
        desk.desk.take_over(accepted, desk.now)
        assert desk.admitted == []
        assert accepted.fileno() == -1
    desk.selector.close()


def test_a_connection_that_is_reset_before_it_is_passed_on(listener: Listener) -> None:
    desk = Desk()
    with connect(listener) as peer:
        accepted, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: is_reset(accepted), "it is reset")
    desk.desk.take_over(accepted, desk.now)
    assert desk.turn() is None
    assert accepted.fileno() == -1
    desk.close()


def is_reset(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return True
    return False


def test_accepted_connections_know_their_peer(listener: Listener) -> None:
    desk = Desk(listener)
    with connect(listener) as peer:
        peer.sendall(REQUEST)
        desk.until_admitted(1)
        [handover] = desk.admitted
        assert (handover.address, handover.port) == peer.getsockname()
    desk.close()


@pytest.mark.parametrize("said", [b"", REQUEST[:10], b"GET / HTTP/1.1\r\n\r\n"], ids=["silent", "half", "closing"])
def test_a_reset_drops_the_connection(listener: Listener, said: bytes) -> None:
    desk = Desk(listener)
    with connect(listener) as peer:
        desk.turn()
        peer.sendall(said)
        desk.turn()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: desk.turn() is None, "it is dropped")
    desk.close()


def test_a_last_answer_to_a_peer_that_is_gone(desk: Desk) -> None:
    desk.connect(REQUEST).close()
    desk.desk.refuse(desk.admitted.pop(), desk.now, b"answer")
    desk.turn()
    assert desk.turn() is None


def test_a_last_answer_is_readable(desk: Desk) -> None:
    peer = desk.connect(REQUEST)
    desk.desk.refuse(desk.admitted.pop(), desk.now, b"answer")
    assert peer.recv(100) == b"answer"
    assert peer.recv(100) == b""
    peer.close()
    desk.turn()
    assert desk.turn() is None


# The door


def test_one_that_does_not_accept_yet(listener: Listener) -> None:
    desk = Desk(listener, accepts=False)
    with connect(listener) as peer:
        peer.sendall(REQUEST)
        desk.turn(2 * ACCEPT_PAUSE)
        assert desk.admitted == []
        desk.desk.open(desk.now)
        desk.until_admitted(1)
    desk.close()


def test_once_opened_workers_that_follow_it_come_first(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(listener, accepts=False)
    times: list[float] = []
    monkeypatch.setattr(desk.desk, "go_last", lambda: times.append(desk.now))
    desk.desk.open(desk.now)
    begin = desk.now
    for _ in range(40):
        desk.turn(0.1)
    [at] = times
    assert 2 * CALL_TIMEOUT <= at - begin < 2 * CALL_TIMEOUT + 0.2
    desk.close()


def test_shut_it_reads_on_and_accepts_nothing(listener: Listener) -> None:
    desk = Desk(listener)
    half = desk.connect(REQUEST[:10])
    desk.desk.shut()
    assert not desk.desk.is_empty
    with connect(listener) as peer:
        peer.sendall(REQUEST)
        half.sendall(REQUEST[10:])
        desk.turn(2 * ACCEPT_PAUSE)
        [handover] = desk.admitted
        assert handover.address == "10.0.0.1"
        assert desk.desk.is_empty
        desk.desk.open(desk.now)
        desk.until_admitted(2)
    desk.close()


def test_what_waits_is_served_before_the_port_is_free(listener: Listener) -> None:
    desk = Desk(listener)
    address = listener.getsockname()
    with connect(listener) as peer, listener.dup():
        peer.sendall(REQUEST)
        desk.desk.stop_listening(desk.now, passed_on=False)
        desk.until_admitted(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
    desk.close()


def test_what_waits_is_left_to_the_program_that_got_the_sockets(listener: Listener) -> None:
    desk = Desk(listener)
    with connect(listener) as peer, listener.dup() as others:
        peer.sendall(REQUEST)
        desk.desk.stop_listening(desk.now, passed_on=True)
        assert desk.admitted == []
        assert listener.fileno() == -1
        with others.accept()[0] as accepted:
            assert accepted.getpeername() == peer.getsockname()
    desk.close()
