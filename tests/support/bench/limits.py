"""The limits of the machine: receivers that know in advance what will come, and the commit path alone.

    python limits.py null LENGTH PORT                read and answer
    python limits.py copy LENGTH DIRECTORY PORT      read, write to a file, answer
    python limits.py pass LENGTH PORT                as null, in a process that gets each connection passed

LENGTH is that of a request in bytes. All answer with the same bytes, whatever was asked.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress

from support.protocol.pdus import (
    ASSOCIATE_AC,
    ASSOCIATE_RQ,
    RELEASE_RP,
    RELEASE_RQ,
    application_context,
    command_set,
    data_pdus,
    item,
    pdu,
)
from support.uids import EXPLICIT_LE

_BUFFER = 1 << 20
_ACCEPT = pdu(
    ASSOCIATE_AC,
    b"\0\1\0\0".ljust(68, b"\0")
    + application_context()
    + item(0x21, b"\1\0\0\0", item(0x40, EXPLICIT_LE.encode()))
    + item(0x50, item(0x51, struct.pack(">I", 131072)), item(0x52, b"1.2.3.4")),
)
[_RESPONSE] = data_pdus(1, [command_set({0x0100: 0x8001, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0})], is_command=True)
_RELEASED = pdu(RELEASE_RP, bytes(4))

Sink = Callable[[socket.socket, memoryview, int, int], None]
"""What becomes of the rest of a request: connection, buffer, how much of it is filled, how much is to come."""


def serve(connection: socket.socket, length: int, sink: Sink) -> None:
    """One association whose request is read already."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_ACCEPT)
    view = memoryview(bytearray(_BUFFER))
    while filled := connection.recv_into(view[: min(length, _BUFFER)]):
        if view[0] == RELEASE_RQ:
            connection.sendall(_RELEASED)
            break
        sink(connection, view, filled, length - filled)
        connection.sendall(_RESPONSE)
    connection.close()


def drop(connection: socket.socket, view: memoryview, filled: int, rest: int) -> None:
    receive = connection.recv_into
    while rest:
        rest -= receive(view[: min(rest, _BUFFER)])


def file_writer(directory: str) -> Sink:
    serial = 0

    def write(connection: socket.socket, view: memoryview, filled: int, rest: int) -> None:
        nonlocal serial
        serial += 1
        file = os.open(f"{directory}/{os.getpid()}.{serial}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(file, view[:filled])
        while rest:
            filled = connection.recv_into(view[: min(rest, _BUFFER)])
            os.write(file, view[:filled])
            rest -= filled
        os.close(file)

    return write


def read_request(connection: socket.socket) -> bytes:
    """An A-ASSOCIATE-RQ; nothing if the peer only tried whether the port is open."""
    request = connection.recv(1 << 16)
    while request and len(request) < 6 + struct.unpack_from(">I", request, 2)[0]:
        request += connection.recv(1 << 16)
    return request if request[:1] == bytes([ASSOCIATE_RQ]) else b""


def fork_for_each(listener: socket.socket, length: int, sink: Sink) -> None:
    while True:
        connection, _ = listener.accept()
        _reap()
        if os.fork() == 0:
            if read_request(connection):
                serve(connection, length, sink)
            os._exit(0)
        connection.close()


def _reap() -> None:
    """Children are waited for, not ignored: only then their processor time counts."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def pass_each(listener: socket.socket, length: int) -> None:
    """Connections go to two processes in turn."""
    controls = []
    for _ in range(2):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            ours.close()
            while True:
                request, descriptors, _, _ = socket.recv_fds(theirs, 1 << 16, 1)
                if not request:
                    os._exit(0)
                serve(socket.socket(fileno=descriptors[0]), length, drop)
        theirs.close()
        controls.append(ours)
    turn = 0
    while True:
        connection, _ = listener.accept()
        if request := read_request(connection):
            turn = 1 - turn
            socket.send_fds(controls[turn], [request], [connection.fileno()])
        connection.close()


def commits(directory: str, data: bytes, count: int, seconds: float) -> array[int]:
    """The system calls that make one file after the other safe: nanoseconds for each."""
    clock, times, pid = time.perf_counter_ns, array("q"), os.getpid()
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    deadline = clock() + int(seconds * 1e9)
    for number in range(count):
        start = clock()
        if start > deadline:
            break
        file = os.open(directory, os.O_WRONLY | os.O_TMPFILE, 0o666)
        os.write(file, data)
        os.fsync(file)
        os.link(f"/proc/self/fd/{file}", f"{pid}.{number}", dst_dir_fd=place, follow_symlinks=True)
        os.fsync(place)
        os.close(file)
        times.append(clock() - start)
    os.close(place)
    return times


def main(kind: str, length: str, *rest: str) -> None:
    with socket.create_server(("127.0.0.1", int(rest[-1])), backlog=512) as listener:
        if kind == "pass":
            pass_each(listener, int(length))
        fork_for_each(listener, int(length), drop if kind == "null" else file_writer(rest[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
