"""IPv4, IPv6 or both: which peers can connect, and how their addresses are shown."""

from __future__ import annotations

import errno
import selectors
import socket
from contextlib import ExitStack

import pytest

from dcmrecv_core.api.errors import ListenError
from dcmrecv_core.net.connection import plain_address
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners, open_listeners
from dcmrecv_core.settings.settings import Settings
from support.protocol.pdus import associate_rq
from support.uids import IMPLICIT_LE, VERIFICATION

LOOPBACKS = ("127.0.0.1", "::1")


def reaches(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def opened(settings: Settings, others: list[str], stack: ExitStack) -> socket.socket:
    """A listener whose port no other program has at the `others`: the system looks at this version only."""
    for _ in range(10):
        [listener] = open_listeners(settings).sockets
        stack.enter_context(listener)
        try:
            for address in others:
                holder = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
                stack.enter_context(holder).bind((address, listener.getsockname()[1]))
            return listener
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
    raise AssertionError("no free port in ten tries")


@pytest.mark.parametrize(
    ("settings", "reachable"),
    [
        (Settings(), [True, False]),
        (Settings(ip_version="ipv6"), [False, True]),
        (Settings(ip_version="any"), [True, True]),
        (Settings(bind="127.0.0.1"), [True, False]),
        (Settings(bind="::1"), [False, True]),
        (Settings(bind="::"), [False, True]),
        (Settings(bind="::", ip_version="any"), [True, True]),
        (Settings(bind="0.0.0.0", ip_version="any"), [True, False]),
        (Settings(bind="localhost"), [True, False]),
    ],
    ids=["-i4", "-i6", "-i0", "v4", "v6", "all-v6", "all-i0", "v4-i0", "name"],
)
def test_which_peers_can_connect(settings: Settings, reachable: list[bool]) -> None:
    with ExitStack() as stack:
        listener = opened(
            settings, [address for address, can in zip(LOOPBACKS, reachable, strict=True) if not can], stack
        )
        port = listener.getsockname()[1]
        assert [reaches(address, port) for address in LOOPBACKS] == reachable


def test_an_address_of_the_other_version() -> None:
    with pytest.raises(ListenError, match=r"^cannot start SCP and listen on port 0: TCP Initialization Error: Addr"):
        open_listeners(Settings(bind="127.0.0.1", ip_version="ipv6"))


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("::ffff:0:1", "::ffff:0:1"),
        ("fe80::ffff:1%eth0.5", "fe80::ffff:1%eth0.5"),
    ],
)
def test_mapped_addresses_are_shown_as_ipv4(address: str, plain: str) -> None:
    assert plain_address(address) == plain


@pytest.mark.parametrize("address", LOOPBACKS)
def test_a_peer_has_one_address_whatever_the_socket(address: str) -> None:
    [listener] = open_listeners(Settings(ip_version="any")).sockets
    admitted: list[Handover] = []
    desk = FrontDesk(selectors.DefaultSelector(), Listeners([listener]), 30.0, admitted.append)
    request = associate_rq([(VERIFICATION, [IMPLICIT_LE])])
    with socket.create_connection((address, listener.getsockname()[1]), timeout=5) as peer:
        peer.sendall(request)
        desk.accept(listener, 0.0)
        [handover] = admitted
        assert (handover.address, handover.port) == (address, peer.getsockname()[1])
        handover.sock.close()
    desk.close()
