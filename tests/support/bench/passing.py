"""The limit of a supervisor that passes connections on: two processes get them in turn, and answer without parsing.

    python passing.py LENGTH PORT

LENGTH is that of a request in bytes. All answer with the same bytes to any request.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from support.bench.limits import ACCEPT, RELEASED, RESPONSE
from support.protocol.pdus import ASSOCIATE_RQ, RELEASE_RQ

_BUFFER = 1 << 20


def serve(connection: socket.socket, length: int) -> None:
    """One association whose request is read already."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(ACCEPT)
    view = memoryview(bytearray(_BUFFER))
    receive = connection.recv_into
    while filled := receive(view[: min(length, _BUFFER)]):
        if view[0] == RELEASE_RQ:
            connection.sendall(RELEASED)
            break
        rest = length - filled
        while rest:
            rest -= receive(view[: min(rest, _BUFFER)])
        connection.sendall(RESPONSE)
    connection.close()


def read_request(connection: socket.socket) -> bytes:
    """An A-ASSOCIATE-RQ; empty if the peer only tested whether the port is open."""
    request = connection.recv(1 << 16)
    while request and len(request) < 6 + struct.unpack_from(">I", request, 2)[0]:
        request += connection.recv(1 << 16)
    return request if request[:1] == bytes([ASSOCIATE_RQ]) else b""


def start_process(length: int) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        while True:
            request, descriptors, _, _ = socket.recv_fds(theirs, 1 << 16, 1)
            if not request:
                os._exit(0)
            serve(socket.socket(fileno=descriptors[0]), length)
    theirs.close()
    return ours


def main(length: int, port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        controls = [start_process(length) for _ in range(2)]
        while True:
            connection, _ = listener.accept()
            if request := read_request(connection):
                controls.reverse()
                socket.send_fds(controls[0], [request], [connection.fileno()])
            connection.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
