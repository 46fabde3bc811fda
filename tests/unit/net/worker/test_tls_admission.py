"""From a TLS connection to an association request, or to each possible failure."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from dcmrecv_core.net.admission import AdmissionTable, Slot
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.tls import connection as tls_connection
from dcmrecv_core.net.tls.connection import TlsConnection
from dcmrecv_core.net.tls.context import ContextMaker
from dcmrecv_core.net.worker import tls_admission as secure
from dcmrecv_core.settings.settings import Settings
from support.programs.certificates import Certificates
from support.programs.tls_clients import client_hello
from support.protocol.pdus import associate_rq, pdu
from support.uids import IMPLICIT_LE, VERIFICATION

REQUEST = associate_rq([(VERIFICATION, [IMPLICIT_LE])])
SETTINGS = Settings(max_request=1 << 20)
Client = Callable[[ssl.SSLSocket], object]


def new_slot() -> Slot:
    """As of a worker that is in a handshake."""
    slot = AdmissionTable(1).take(0.0)[1]
    slot.begin("10.0.0.1", time.monotonic(), handshake=True)
    return slot


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def context(certificates: Certificates) -> ssl.SSLContext:
    key, certificate = certificates.server
    settings = Settings(tls=(str(key), str(certificate)), tls_ca_files=(str(certificates.authority),))
    made = ContextMaker().make(settings)
    assert made is not None
    return made


class Peer:
    """A client in its own thread: it shakes hands, does what a test wants, and keeps what it receives afterwards."""

    def __init__(self, sock: socket.socket, certificates: Certificates, act: Client) -> None:
        self._sock = sock
        self._context = ssl.create_default_context(cafile=str(certificates.authority))
        self._context.load_cert_chain(certificates.client.certificate, certificates.client.key)
        self._act = act
        self.heard = bytearray()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(self._sock, server_hostname="localhost") as secured,
        ):
            self._act(secured)
            while data := secured.recv(4096):
                self.heard += data

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


Meet = Callable[..., tuple[TlsConnection | None, Handover, Peer]]


@pytest.fixture
def meet(context: ssl.SSLContext, certificates: Certificates) -> Iterator[Meet]:
    """meet(act): admits a client that does `act` when it has shaken hands."""
    peers: list[Peer] = []
    connections: list[TlsConnection] = []

    def admitted(
        act: Client,
        seconds: float = 20.0,
        should_stop: Callable[[], bool] = lambda: False,
        slot: Slot | None = None,
    ) -> tuple[TlsConnection | None, Handover, Peer]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname(), timeout=10)
            ours = listener.accept()[0]
        peers.append(Peer(theirs, certificates, act))
        handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=time.monotonic() + seconds)
        connection = secure.admit(handover, context, SETTINGS, should_stop, slot or new_slot())
        if connection is None:
            peers[-1].join()
        else:
            connections.append(connection)
        return connection, handover, peers[-1]

    yield admitted
    for connection in connections:
        connection.finish()
    for peer in peers:
        peer.join()


@pytest.mark.parametrize("pieces", [1, 3, len(REQUEST)], ids=["whole", "three pieces", "byte by byte"])
def test_a_request_is_read_to_its_end_and_not_a_byte_more(meet: Meet, pieces: int) -> None:
    def act(secured: ssl.SSLSocket) -> None:
        size = -(-len(REQUEST) // pieces)
        for start in range(0, len(REQUEST), size):
            secured.sendall(REQUEST[start : start + size])
        secured.sendall(b"more")

    connection, handover, _ = meet(act)
    assert connection is not None
    assert handover.request == REQUEST
    assert connection.peer_subject == "CN=client,OU=" + (connection.peer_subject or "").partition("OU=")[2]
    rest = bytearray(10)
    with memoryview(rest) as view:
        count = next(count for count in iter(lambda: connection.receive_into(view), 0) if count)
    assert rest[:count] == b"more"[:count]


@pytest.mark.parametrize(
    ("said", "line", "answer"),
    [
        (b"", "", b""),
        (REQUEST[:5], "DUL network closed", b""),
        (REQUEST[:-1], "DUL network closed", b""),
        (b"GET / HTTP/1.1\r\n", "HTTP instead of DICOM", b"\x07"),
        (pdu(7, bytes(4)), "", b""),
        (b"\1\0\xff\xff\xff\xff", "", b"\x07"),
    ],
    ids=["nothing", "half a header", "half a request", "no request", "an abort", "too long"],
)
def test_failures_after_the_handshake(
    meet: Meet, caplog: pytest.LogCaptureFixture, said: bytes, line: str, answer: bytes
) -> None:
    def act(secured: ssl.SSLSocket) -> None:
        secured.sendall(said)
        if not answer:
            secured.unwrap()

    connection, handover, peer = meet(act)
    assert (connection, handover.request) == (None, b"")
    assert peer.heard[:1] == answer
    assert line in caplog.text


@pytest.mark.parametrize("stop", [False, True], ids=["deadline", "stopped"])
def test_a_silent_peer_is_dropped(meet: Meet, caplog: pytest.LogCaptureFixture, stop: bool) -> None:
    """At the deadline with a line for those who look for faults; at once when the receiver is told to stop."""
    caplog.set_level(logging.DEBUG)
    shaken = threading.Event()
    seconds = 20.0 if stop else 3.0  # the handshake needs some of that
    connection, _, _ = meet(lambda secured: shaken.set(), seconds, lambda: stop and shaken.is_set())
    assert connection is None
    assert ("ended without a byte: DUL network read timeout" in caplog.text) is not stop
    assert {record.levelno for record in caplog.records} <= {logging.DEBUG}


@pytest.mark.parametrize("shakes", [False, True], ids=["in the handshake", "after it"])
def test_fault_13_a_silent_peer_makes_room(
    context: ssl.SSLContext, certificates: Certificates, caplog: pytest.LogCaptureFixture, shakes: bool
) -> None:
    """The supervisor sees since when it is silent, and asks for its place."""
    slot = new_slot()
    ours, theirs = socket.socketpair()
    asked = []

    def ask() -> bool:
        if time.monotonic() - slot.place.waiting_since > 0.3:
            asked.append(slot.place.waiting_since)
            slot.evict(1, "10.0.0.2")
        return False

    began = time.monotonic()
    with theirs:
        peer = Peer(theirs, certificates, lambda secured: None) if shakes else None
        handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=began + 20)
        assert secure.admit(handover, context, SETTINGS, ask, slot) is None
        if peer is not None:
            peer.join()
    assert asked
    assert time.monotonic() - began < 5
    assert "10.0.0.1: silent or slow in its TLS handshake, and 10.0.0.2 needs its place" in caplog.text


def test_a_peer_that_dribbles_makes_room(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has sent a byte each time that the worker looks. Before its time is over that keeps its place."""
    monkeypatch.setattr(secure, "LONGEST_HANDSHAKE", 0.5)
    monkeypatch.setattr(tls_connection, "HANDSHAKE_WAIT", 10)
    slot = new_slot()
    slot.evict(1, "10.0.0.2")
    ours, theirs = socket.socketpair()
    over = threading.Event()

    def dribble() -> None:
        with suppress(OSError):
            while not over.wait(0.02):
                theirs.sendall(b"\0")

    began = time.monotonic()
    thread = threading.Thread(target=dribble)
    with theirs:
        theirs.sendall(client_hello() + b"\x17\x03\x03\x40\x00")
        thread.start()
        handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=began + 20)
        assert secure.admit(handover, context, SETTINGS, lambda: False, slot) is None
        over.set()
        thread.join()
    assert 0.5 <= time.monotonic() - began < 5


def test_a_stop_during_the_handshake(context: ssl.SSLContext) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=time.monotonic() + 20)
        assert secure.admit(handover, context, SETTINGS, lambda: True, new_slot()) is None
        assert ours.fileno() == -1


# Python 3.11 leaves a socket that is no longer connected to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_connection_that_ended_before_the_handshake(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours = listener.accept()[0]
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    assert select.select([ours], (), (), 20)[0], "it is reset"
    handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=time.monotonic() + 20)
    assert secure.admit(handover, context, SETTINGS, lambda: False, new_slot()) is None
    assert ours.fileno() == -1
    assert "ended without a byte: TLS error: " in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_an_invalid_handshake(context: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"\x16\x03\x01\x00\x05hello")
        handover = Handover(ours, b"", "10.0.0.1", 4242, tls_deadline=time.monotonic() + 20)
        slot = new_slot()
        assert secure.admit(handover, context, SETTINGS, lambda: False, slot) is None
    assert "TLS error: " in caplog.text
    [refusal] = slot.counters.refusals
    assert (refusal.status, refusal.peer_address) == ("TLS", "10.0.0.1") and refusal.reason


# The connection afterwards


def test_bytes_in_openssls_buffer_are_readable(meet: Meet) -> None:
    """The socket does not show a record that was read in part."""
    connection, _, _ = meet(lambda secured: secured.sendall(REQUEST + bytes(100)))
    assert connection is not None
    with memoryview(bytearray(10)) as view:
        while not connection.receive_into(view):
            pass
        assert connection.wait() == (True, False)
        assert connection.wait_readable(0.0)


def test_a_peer_that_does_not_read_accepts_no_more(meet: Meet, monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait_writable` returns soon, and tells whether that has changed."""
    monkeypatch.setattr(tls_connection, "CALL_TIMEOUT", 0.05)
    go_on = threading.Event()

    def act(secured: ssl.SSLSocket) -> None:
        secured.sendall(REQUEST)
        go_on.wait(60)

    connection, _, peer = meet(act)
    assert connection is not None
    sent = 0
    while count := connection.send(bytes(1 << 20)):
        sent += count
        assert count <= 16384
    assert connection.wait() == (False, False)
    assert not connection.wait_writable()
    go_on.set()
    assert any(connection.wait_writable() for _ in range(100))
    while not (count := connection.send(bytes(1 << 20))):
        assert connection.wait_writable()
    connection.finish()
    peer.join()
    assert len(peer.heard) >= sent


def test_silence_is_reported_soon(meet: Meet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_connection, "CALL_TIMEOUT", 0.05)
    connection, _, _ = meet(lambda secured: secured.sendall(REQUEST))
    assert connection is not None
    connection.acknowledge()
    with memoryview(bytearray(10)) as view:
        assert connection.receive_into(view) is None


def test_a_handshake_waits_until_it_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that does not read must not make the loop spin."""
    waited: list[int] = []
    steps = iter([ssl.SSLWantWriteError(), ssl.SSLWantReadError()])

    class Socket:
        recv_into = None

        def do_handshake(self) -> None:
            for error in steps:
                raise error

        def getpeercert(self) -> dict[str, object]:
            return {}

    connection = TlsConnection.__new__(TlsConnection)
    connection._sock = Socket()  # type: ignore[assignment]
    monkeypatch.setattr(tls_connection, "poll", lambda sock, events, seconds: waited.append(events))
    connection.shake_hands(time.monotonic() + 10, lambda silent_since: False)
    assert waited == [select.POLLOUT, select.POLLIN]
    assert connection.peer_subject is None


def test_half_a_record_is_waited_for(
    context: ssl.SSLContext, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_connection, "CALL_TIMEOUT", 0.1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.create_default_context(cafile=str(certificates.authority))
    client_context.load_cert_chain(certificates.client.certificate, certificates.client.key)
    client = client_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = TlsConnection(ours, context)

    def step(silent_since: float) -> bool:
        with suppress(ssl.SSLWantReadError, BlockingIOError):
            incoming.write(theirs.recv(65536))
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        if outgoing.pending:
            theirs.sendall(outgoing.read())
        return False

    with theirs, memoryview(bytearray(100)) as view:
        step(0.0)
        connection.shake_hands(time.monotonic() + 10, step)
        client.write(b"whole")
        record = outgoing.read()
        theirs.sendall(record[:10])
        assert connection.receive_into(view) is None
        assert connection.waited >= 0.1
        assert connection.receive_into(view) is None
        assert connection.waited >= 0.2
        theirs.sendall(record[10:])
        assert connection.receive_into(view) == 5
        connection.finish(0)
