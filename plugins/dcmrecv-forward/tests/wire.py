"""PDUs by hand: a peer that does what a test wants, to the byte."""

from __future__ import annotations

import socket
import struct

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    header = connection.recv(6, socket.MSG_WAITALL)
    kind, _, length = struct.unpack(">BBI", header)
    return kind, connection.recv(length, socket.MSG_WAITALL)


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def accept(connection: socket.socket, *, result: int = 0, maximum: int = 16384, syntax: str = EXPLICIT) -> None:
    """Read a request and accept context 1."""
    assert read_pdu(connection)[0] == 1
    context = item(0x21, bytes([1, 0, result, 0]) + item(0x40, syntax.encode()))
    user = item(0x50, item(0x51, struct.pack(">I", maximum)) + item(0x52, b"1.2.3"))
    titles = b"JUDGE".ljust(16) + b"ROUTER".ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
    connection.sendall(pdu(2, body))


def read_instance(connection: socket.socket) -> bytes | None:
    """Read P-DATA-TF up to the last fragment of the data set; the first fragment of the command, None if a release is
    requested instead."""
    command = None
    while True:
        kind, body = read_pdu(connection)
        if kind == 5:
            return None
        assert kind == 4
        command = command or body[6:]
        if body[5] == 2:
            return command


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def response(message_id: int = 1, status: int = 0, command: int = 0x8001) -> bytes:
    def short(number: int, value: int) -> bytes:
        return element(number, struct.pack("<H", value))

    return short(0x0100, command) + short(0x0120, message_id) + short(0x0800, 0x0101) + short(0x0900, status)


def data_pdu(*pieces: tuple[int, bytes]) -> bytes:
    """With a PDV for each control header and fragment."""
    return pdu(4, b"".join(struct.pack(">IBB", len(piece) + 2, 1, control) + piece for control, piece in pieces))


def value(command: bytes, number: int) -> bytes:
    """The value of an element (0000,number) of a command set."""
    place = 0
    while place < len(command):
        _, found, length = struct.unpack_from("<HHI", command, place)
        if found == number:
            return command[place + 8 : place + 8 + length]
        place += 8 + length
    raise AssertionError(f"no element {number:04X}")


def store_all(connection: socket.socket, stored: set[str]) -> None:
    """Accept everything until the association is released, or the connection ends; keeps SOP Instance UIDs."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accept(connection)
    while (command := read_instance(connection)) is not None:
        stored.add(value(command, 0x1000).rstrip(b"\0").decode())
        connection.sendall(data_pdu((3, response(int.from_bytes(value(command, 0x0110), "little")))))
    connection.sendall(pdu(6, bytes(4)))
