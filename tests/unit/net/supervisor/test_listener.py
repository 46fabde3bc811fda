"""Listening sockets, bound here and inherited."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import ListenError
from dcmrecv_core.net.supervisor.listener import Listeners, inherited_count, open_listeners
from dcmrecv_core.net.upgrade.predecessor import Predecessor
from dcmrecv_core.settings.settings import Settings


def accept(listener: socket.socket) -> socket.socket:
    """The connection that was made; it may be there a moment later than for the one who made it."""
    assert select.select([listener], (), (), 20)[0]
    return listener.accept()[0]


def test_accepted_sockets_inherit_the_options() -> None:
    [listener] = open_listeners(Settings(bind="127.0.0.1")).sockets
    with listener, socket.create_connection(listener.getsockname(), timeout=5):
        assert not listener.get_inheritable()
        accepted = accept(listener)
        with accepted:
            assert not accepted.get_inheritable()
            tcp = {name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in TCP_OPTIONS}
            assert tcp == TCP_OPTIONS
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


TCP_OPTIONS = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 60000}


def test_listeners_do_not_block() -> None:
    [listener] = open_listeners(Settings(bind="127.0.0.1")).sockets
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
    [listener] = open_listeners(Settings(bind="127.0.0.1")).sockets
    address, port = listener.getsockname()
    with socket.create_connection((address, port), timeout=5) as peer:
        accepted = accept(listener)
        accepted.close()  # our end closes first, and lingers in TIME_WAIT
        assert peer.recv(1) == b""
    listener.close()
    [again] = open_listeners(Settings(bind=address, port=port)).sockets
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


def test_an_inherited_socket_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = socket.create_server(("127.0.0.1", 0))
    address = passed.getsockname()
    passed.set_inheritable(True)
    inherit(monkeypatch, passed.detach())
    [listener] = open_listeners(Settings()).sockets
    with listener:
        assert listener.getsockname() == address
        assert not listener.get_inheritable()
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert inherited_count() == 0, "plugins' children must not take it again"


def test_an_inherited_descriptor_that_is_unusable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as local, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for fd in (file.fileno(), os.dup(local.fileno()), os.dup(bound.fileno())):
            inherit(monkeypatch, fd)
            with pytest.raises(ListenError, match=f"^cannot start SCP and listen on inherited socket {fd}: "):
                open_listeners(Settings())


def test_a_port_beside_inherited_sockets_is_ignored_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inherit(monkeypatch, socket.create_server(("127.0.0.1", 0)).detach())
    [listener] = open_listeners(Settings(port=11112)).sockets
    listener.close()
    assert caplog.messages == ["ignoring port 11112: using the sockets passed in"]


def test_the_port_of_an_inherited_socket_needs_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passed = socket.create_server(("127.0.0.1", 0))
    port = passed.getsockname()[1]
    inherit(monkeypatch, passed.detach())
    [listener] = open_listeners(Settings(port=port)).sockets
    listener.close()
    assert caplog.messages == []


@pytest.mark.parametrize("of_systemd", [False, True])
def test_sockets_of_the_program_before_this_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, of_systemd: bool
) -> None:
    ours, theirs = socket.socketpair()
    predecessor = Predecessor(ours, None, inherited=of_systemd)
    passed = socket.create_server(("127.0.0.1", 0))
    port = passed.getsockname()[1]
    inherit(monkeypatch, passed.detach())
    listeners = open_listeners(Settings(port=port), predecessor)
    assert listeners.inherited is of_systemd
    assert caplog.messages == [], "it is the port that the settings name"
    listeners.close_copies()
    predecessor.close()
    theirs.close()


@pytest.mark.parametrize("inherited", [False, True])
def test_after_the_end_the_port_is_free_unless_it_is_systemds(inherited: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    with listener.dup() as of_a_worker:
        Listeners([listener], inherited).close()
        assert listener.fileno() == -1
        if inherited:
            with socket.create_connection(address, timeout=5), of_a_worker.accept()[0]:
                pass
        else:
            socket.create_server(address).close()


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_new_connections_are_refused_later(family: socket.AddressFamily, host: str) -> None:
    """They do not get into the queue that the end resets; those that are there go on."""
    listener = socket.create_server((host, 0), family=family)
    address = listener.getsockname()[:2]
    listeners = Listeners([listener])
    with socket.create_connection(address, timeout=5) as early, socket.socket(family) as late:
        early.sendall(b"before, ")
        listeners.defer_new()
        late.setblocking(False)
        assert late.connect_ex(address) == errno.EINPROGRESS
        accepted = listener.accept()[0]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        listeners.close()
        early.sendall(b"after")
        early.shutdown(socket.SHUT_WR)
        with accepted, accepted.makefile("rb") as stream:
            assert stream.read() == b"before, after"
        late.setblocking(True)
        with pytest.raises(ConnectionRefusedError):
            late.connect(address)
