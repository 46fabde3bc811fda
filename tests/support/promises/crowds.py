"""Many connections of a few addresses that take places and do little with them, while another sender comes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.tls_clients import client_hello
from support.promises.threads import beside
from support.protocol.pdus import command_set, data_pdus, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
PAUSE = 1.0
"""Seconds between two bytes of a sender that dribbles."""

_ALERT = b"\x15"
"""The content type of an alert in TLS (RFC 8446 section 5.1)."""

SLOW = b"".join(
    (
        *data_pdus(1, [command_set(store_rq(CT, "1.2.3"))], is_command=True),
        *data_pdus(1, [instance_of(CT, "1.2.3")], is_command=False),
    )
)


@contextlib.contextmanager
def associations(port: int, addresses: Sequence[str]) -> Iterator[list[RawAssociation]]:
    """One association for each of the addresses, which is silent."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RawAssociation(port, CONTEXTS, source=address)) for address in addresses]


@contextlib.contextmanager
def dribbling(held: Sequence[RawAssociation]) -> Iterator[None]:
    """Each association sends one byte of a C-STORE every PAUSE seconds."""

    def dribble(over: threading.Event) -> None:
        for byte in SLOW:
            for association in held:
                with contextlib.suppress(OSError):  # it was aborted
                    association.send(bytes([byte]))
            if over.wait(PAUSE):
                return

    for association in held:
        association.send(SLOW[:40])
    with beside(dribble):
        yield


@contextlib.contextmanager
def silent_handshakes(port: int, addresses: Sequence[str], at_least: int) -> Iterator[None]:
    """One connection for each of the addresses, which sends a ClientHello and nothing more, and comes again if it is
    refused, until that many are in a handshake."""
    with contextlib.ExitStack() as stack:
        crowd = [_SilentHandshake(port, address, stack) for address in addresses]
        until(lambda: sum([one.goes_on() for one in crowd]) >= at_least, "the receiver has answered them")
        yield


class _SilentHandshake:
    """A connection of `address` that waits for more than a ClientHello has been answered with."""

    def __init__(self, port: int, address: str, stack: contextlib.ExitStack) -> None:
        self._port, self._address, self._stack = port, address, stack
        self._connect()

    def _connect(self) -> None:
        self._heard = b""
        self._socket = self._stack.enter_context(
            socket.create_connection(("127.0.0.1", self._port), timeout=10, source_address=(self._address, 0))
        )
        self._socket.sendall(client_hello())
        self._socket.setblocking(False)

    def goes_on(self) -> bool:
        """Whether a handshake record has come, and not the end since then; after an alert it comes again."""
        try:
            while more := self._socket.recv(65536):
                self._heard += more
        except BlockingIOError:
            if self._heard[:1] != _ALERT:
                return bool(self._heard)
        except ConnectionResetError:
            pass
        self._socket.close()
        self._connect()
        return False


@contextlib.contextmanager
def dribbling_handshakes(port: int, addresses: Sequence[str]) -> Iterator[None]:
    """For each of the addresses a sender that keeps a TLS handshake going, with a record that comes byte by byte, and
    begins another one when that is ended."""
    hello = client_hello() + b"\x17\x03\x03\x40\x00"
    over = threading.Event()
    under_way = threading.Barrier(len(addresses) + 1)

    def dribble(address: str, *, first: bool = True) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0)) as connection:
            connection.sendall(hello)
            if first:
                under_way.wait(10)
            while not over.wait(0.05):
                connection.sendall(b"\0")

    def keep_on(address: str) -> None:
        with contextlib.suppress(OSError):
            dribble(address)
        while not over.is_set():
            with contextlib.suppress(OSError):
                dribble(address, first=False)

    threads = [threading.Thread(target=keep_on, args=(address,)) for address in addresses]
    for thread in threads:
        thread.start()
    try:
        under_way.wait(10)
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def reconnecting(port: int, address: str, number: int) -> Iterator[None]:
    """So many senders of one address are silent in an association as long as they may, and then come again at once."""
    over = threading.Event()
    sockets: set[socket.socket] = set()

    def come_again() -> None:
        while not over.is_set():
            with contextlib.suppress(AssertionError, OSError), RawAssociation(port, CONTEXTS, source=address) as held:
                sockets.add(held.socket)
                if not over.is_set():
                    held.read_pdu()
                sockets.discard(held.socket)

    threads = [threading.Thread(target=come_again) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: bool(sockets), "one of them has a place")
        yield
    finally:
        over.set()
        for held in list(sockets):
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def seconds_until_served(port: int, source: str, patience: float, tls: object = None) -> float:
    """From now until an association of `source` is accepted; one that is refused tries again."""
    start = time.monotonic()
    while True:
        try:
            with RawAssociation(port, CONTEXTS, source=source, tls=tls) as association:  # type: ignore[arg-type]
                association.release()
            return time.monotonic() - start
        except (AssertionError, OSError):
            assert time.monotonic() - start < patience, f"not served within {patience} s"
