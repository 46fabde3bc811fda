"""Heartbeat, notifications to systemd, listening sockets, and the plain connection."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import ListenError
from dcmrecv_core.net.connection import LINGER, PATIENCE, PlainConnection
from dcmrecv_core.net.heartbeat import HeartbeatBoard
from dcmrecv_core.net.supervisor.listener import inherited_count, open_listeners
from dcmrecv_core.net.supervisor.notify import Notifier
from dcmrecv_core.settings.settings import Settings


def test_heartbeat_crosses_processes() -> None:
    board = HeartbeatBoard(2)
    _, other = board.take(1.0)
    number, heartbeat = board.take(5.0)
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (5.0, False, False)
    pid = os.fork()
    if not pid:
        heartbeat.beat(123456.75)
        heartbeat.flag[0] = 1
        os._exit(0)
    os.waitpid(pid, 0)
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (123456.75, True, False)
    heartbeat.mark_overdue()
    assert (heartbeat.in_hook, heartbeat.overdue) == (True, True)
    heartbeat.flag[0] = 0
    assert (heartbeat.in_hook, heartbeat.overdue) == (False, False), "the end of a hook is the end of its being overdue"
    assert (other.last, other.in_hook) == (1.0, False)
    heartbeat.mark_overdue()
    board.give_back(number)
    assert board.take(7.0)[0] == number
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (7.0, False, False)


# sd_notify


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What $NOTIFY_SOCKET leads to."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


@pytest.mark.parametrize("abstract", [True, False])
def test_notifications(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool) -> None:
    systemd.bind("" if abstract else str(tmp_path / "notify"))
    name = systemd.getsockname()
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode() if abstract else name)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = Notifier()
    assert "NOTIFY_SOCKET" not in os.environ, "plugins' children must not speak for us"
    assert notifier.watchdog_seconds == 1.5
    notifier.ready("listening")
    notifier.alive()
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=listening", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "@x"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}, 1.5),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, None),
    ],
    ids=["no-socket", "no-watchdog", "both", "for-another-process", "nonsense"],
)
def test_watchdog_when_asked(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notifier = Notifier()
    assert notifier.watchdog_seconds == seconds
    notifier.alive()  # nobody listens there: nothing happens


# Listening sockets


def test_accepted_sockets_inherit_the_options() -> None:
    [listener] = open_listeners(Settings(bind="127.0.0.1"))
    with listener, socket.create_connection(listener.getsockname(), timeout=5):
        assert not listener.get_inheritable()
        accepted = listener.accept()[0]
        with accepted:
            assert not accepted.get_inheritable()
            tcp = {name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in TCP_OPTIONS}
            assert tcp == TCP_OPTIONS
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


TCP_OPTIONS = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 60000}


def test_listeners_do_not_block() -> None:
    [listener] = open_listeners(Settings(bind="127.0.0.1"))
    with listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            open_listeners(Settings(bind="127.0.0.1", port=port))
    text = f"cannot start SCP and listen on port {port}: TCP Initialization Error: Address already in use"
    assert (str(caught.value), caught.value.exit_code) == (text, 64)


def test_port_is_free_again_at_once() -> None:
    [listener] = open_listeners(Settings(bind="127.0.0.1"))
    address, port = listener.getsockname()
    with socket.create_connection((address, port), timeout=5) as peer:
        accepted = listener.accept()[0]
        accepted.close()  # our end closes first, and lingers in TIME_WAIT
        assert peer.recv(1) == b""
    listener.close()
    [again] = open_listeners(Settings(bind=address, port=port))
    again.close()


def test_no_privilege(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(sock: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ListenError, match=r"^cannot start SCP and listen on port 104: Insufficient port privileges$"):
        open_listeners(Settings(port=104))
    assert caplog.messages == ["No privileges to open this network port (104)"]


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(ListenError, match="TCP Initialization Error: Cannot assign requested address"):
        open_listeners(Settings(bind="192.0.2.1"))


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 0),
        ({"LISTEN_FDS": "2"}, 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, 0),
        ({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}, 2),
        ({"LISTEN_FDS": "two", "LISTEN_PID": str(os.getpid())}, 0),
        ({"LISTEN_PID": str(os.getpid())}, 0),
    ],
)
def test_inherited_sockets(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], count: int) -> None:
    for name in ("LISTEN_FDS", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert inherited_count() == count


def inherit(monkeypatch: pytest.MonkeyPatch, fd: int) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setattr("dcmrecv_core.net.supervisor.listener._FIRST_FD", fd)


def test_an_inherited_socket_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = socket.create_server(("127.0.0.1", 0))
    address = passed.getsockname()
    passed.set_inheritable(True)
    inherit(monkeypatch, passed.detach())
    [listener] = open_listeners(Settings())
    with listener:
        assert listener.getsockname() == address
        assert not listener.get_inheritable()
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert inherited_count() == 0, "plugins' children must not take it again"


def test_an_inherited_descriptor_that_does_not_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as local, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for fd in (file.fileno(), os.dup(local.fileno()), os.dup(bound.fileno())):
            inherit(monkeypatch, fd)
            with pytest.raises(ListenError, match=f"^cannot start SCP and listen on inherited socket {fd}: "):
                open_listeners(Settings())


def test_a_port_beside_inherited_sockets_is_not_ignored_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inherit(monkeypatch, socket.create_server(("127.0.0.1", 0)).detach())
    [listener] = open_listeners(Settings(port=11112))
    listener.close()
    assert caplog.messages == ["port 11112 is not listened on: the sockets that were handed over take its place"]


# The plain connection

Pair = tuple[PlainConnection, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection and its peer, over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), timeout=5)
        sock = listener.accept()[0]
    with sock, peer:
        yield PlainConnection(sock), peer


def receive(connection: PlainConnection, size: int = 100) -> bytes | None:
    memory = bytearray(size)
    count = connection.receive_into(memoryview(memory))
    return None if count is None else bytes(memory[:count])


def test_receiving(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"hello")
    connection.acknowledge()
    assert receive(connection) == b"hello"
    start = time.monotonic()
    assert receive(connection) is None
    assert PATIENCE * 0.9 < time.monotonic() - start < PATIENCE * 3
    peer.shutdown(socket.SHUT_WR)
    assert receive(connection) == b""


def test_sending_never_waits(pair: Pair) -> None:
    connection, peer = pair
    sent = 0
    while count := connection.send(bytes(1 << 16)):
        sent += count
    assert connection.wait() == (False, False)
    assert not connection.wait_writable()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_exactly, peer, sent)
        assert connection.wait() == (False, True)
        assert connection.wait_writable()
        assert reading.result(10) == sent
    peer.sendall(b"x")
    assert read_until_readable(connection) == (True, True)


def read_exactly(peer: socket.socket, size: int) -> int:
    left = size
    while left:
        left -= len(peer.recv(min(left, 1 << 20)))
    return size


def read_until_readable(connection: PlainConnection) -> tuple[bool, bool]:
    while not (ready := connection.wait())[0]:
        continue
    return ready


def test_a_reset_is_readable_and_raises(pair: Pair) -> None:
    connection, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert connection.wait()[0]
    with pytest.raises(ConnectionResetError):
        receive(connection)
    with pytest.raises(BrokenPipeError):
        connection.send(b"x")
    connection.finish()


def test_finish_waits_for_the_peer_to_close(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(bytes(100_000))  # unread: closing at once would reset the connection
    assert connection.send(b"last words") == 10
    with ThreadPoolExecutor(1) as pool:
        finishing = pool.submit(connection.finish)
        assert peer.recv(100) == b"last words"
        assert peer.recv(100) == b""
        peer.close()
        start = time.monotonic()
        finishing.result(10)
    assert time.monotonic() - start < LINGER


def test_finish_does_not_wait_long(pair: Pair) -> None:
    connection, peer = pair
    start = time.monotonic()
    connection.finish()
    assert LINGER * 0.9 < time.monotonic() - start < LINGER * 5
    assert peer.recv(100) == b""
