"""Connections between IPv6 addresses of our choice, in a network namespace without any other.

A child process makes sockets there and passes them to the test, as descriptors: a socket stays in its namespace. Run as
a program, this file is the child.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from types import TracebackType

SERVER = "fd00::1"
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_IFF_UP = 1
_LOOPBACK = b"lo"


class Ipv6Network:
    """`listener` listens on SERVER; it is to be passed to a receiver."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(20)
        prefix = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
        command = [*prefix, sys.executable, __file__, str(theirs.fileno())]
        self._child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.listener = self._receive()

    def connect(self, address: str) -> socket.socket:
        """A connection to the listener that comes from this address."""
        self._control.send(address.encode())
        return self._receive()

    def _receive(self) -> socket.socket:
        _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        assert descriptors, "the child has failed, see its stderr"
        return socket.socket(fileno=descriptors[0])

    def __enter__(self) -> Ipv6Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self.listener.close()
        assert self._child.wait(20) == 0


def serve(control: socket.socket) -> None:
    """In the child: first the listener, then a connection for each address that is asked for."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as interface:
        fcntl.ioctl(interface, _SIOCSIFFLAGS, struct.pack("=16sH14x", _LOOPBACK, _IFF_UP))
        add_address(interface, SERVER)
        with socket.create_server((SERVER, 0), family=socket.AF_INET6, backlog=512) as listener:
            server = listener.getsockname()[:2]
            socket.send_fds(control, [b"L"], [listener.fileno()])
        while address := control.recv(100).decode():
            if address != SERVER:
                add_address(interface, address)
            with socket.create_connection(server, timeout=20, source_address=(address, 0)) as connection:
                socket.send_fds(control, [b"C"], [connection.fileno()])


def add_address(interface: socket.socket, address: str) -> None:
    """Give the loopback interface one more address, of a /64, and wait until it can be used."""
    index = socket.if_nametoindex(_LOOPBACK.decode())
    request = struct.pack("=16sIi", socket.inet_pton(socket.AF_INET6, address), 64, index)
    fcntl.ioctl(interface, _SIOCSIFADDR, request)
    deadline = time.monotonic() + 10
    while not can_bind(address):
        assert time.monotonic() < deadline, f"{address} cannot be used"


def can_bind(address: str) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
    return True


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
