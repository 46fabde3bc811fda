"""A sender on a plain socket: hand-made PDUs, any data set bytes, any command fields.

It shares no code with the receiver and none with pynetdicom, so that a misunderstanding cannot hide on both sides.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

Command = dict[int, int | str | bytes]
"""Elements of group 0000 by element number; int is a US, str a UID."""


def item(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">BxH", kind, len(body)) + body


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str = "RAWSCU", called: str = "ANY", max_pdu: int = 16384
) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2) that proposes `contexts` under the ids 1, 3, 5 ..."""
    proposed = b"".join(
        item(
            0x20,
            bytes([2 * index + 1, 0, 0, 0]),
            item(0x30, abstract.encode()),
            *(item(0x40, uid.encode()) for uid in transfer_syntaxes),
        )
        for index, (abstract, transfer_syntaxes) in enumerate(contexts)
    )
    user = item(0x50, item(0x51, struct.pack(">I", max_pdu)), item(0x52, b"1.2.3.4"), item(0x55, b"RAWSCU"))
    titles = called.encode("latin-1").ljust(16) + calling.encode("latin-1").ljust(16)
    body = b"\0\1\0\0" + titles + bytes(32) + item(0x10, APPLICATION_CONTEXT.encode()) + proposed + user
    return pdu(ASSOCIATE_RQ, body)


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxI", kind, len(body)) + body


def accepted(body: bytes) -> dict[int, tuple[int, str]]:
    """Presentation context results of an A-ASSOCIATE-AC: id -> (result, transfer syntax)."""
    contexts = {}
    for kind, value in _items(body[68:]):
        if kind == 0x21:
            [(_, syntax)] = _items(value[4:])
            contexts[value[0]] = (value[2], syntax.decode())
    return contexts


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def command_set(elements: Command) -> bytes:
    """A command set with its group length (PS3.7 section 6.3.1)."""
    body = b""
    for element, value in sorted(elements.items()):
        if isinstance(value, int):
            value = struct.pack("<H", value)
        elif isinstance(value, str):
            value = value.encode("latin-1")
            value += bytes(len(value) % 2)
        body += struct.pack("<HHI", 0, element, len(value)) + value
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def parse_command(data: bytes) -> dict[int, bytes]:
    elements = {}
    while data:
        group, element, length = struct.unpack_from("<HHI", data)
        assert group == 0, f"group {group:04x} in a command set"
        elements[element] = data[8 : 8 + length]
        data = data[8 + length :]
    return elements


def store_rq(sop_class: str, sop_instance: str, message_id: int = 1) -> Command:
    """The elements of a C-STORE-RQ (PS3.7 table 9.3-1)."""
    return {0x0002: sop_class, 0x0100: 0x0001, 0x0110: message_id, 0x0700: 0, 0x0800: 0x0000, 0x1000: sop_instance}


def pdv(context_id: int, control: int, fragment: bytes) -> bytes:
    return struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment


def data_pdus(
    context_id: int, chunks: Iterable[bytes], *, is_command: bool, last: bool = True, max_pdu: int = 16384
) -> Iterator[bytes]:
    """P-DATA-TF PDUs of one PDV each; the chunks are consumed as they are sent, never collected.

    Without `last`, the message is left unfinished.
    """
    flag = 1 if is_command else 0
    step = max_pdu - 6
    pending: bytes | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), step):
            if pending is not None:
                yield pdu(P_DATA, pdv(context_id, flag, pending))
            pending = chunk[start : start + step]
    yield pdu(P_DATA, pdv(context_id, flag | (2 if last else 0), pending or b""))


class RawAssociation:
    """An association with a receiver on this host. `contexts` are proposed under the ids 1, 3, 5 ...; with `tls` the
    connection begins with a handshake; `source` is the address of our side."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, Sequence[str]]] = (),
        timeout: float = 20,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        source: str = "",
        **request: Any,
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port: int = self.socket.getsockname()[1]
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.accepted: dict[int, tuple[int, str]] = {}
        if contexts:
            try:
                self.send(associate_rq(contexts, **request))
                kind, body = self.read_pdu()
                if kind != ASSOCIATE_AC:
                    raise AssertionError(f"PDU {kind} instead of A-ASSOCIATE-AC: {body.hex()}")
            except BaseException:
                self.socket.close()
                raise
            self.accepted = accepted(body)

    def __enter__(self) -> RawAssociation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_pdu(self) -> tuple[int, bytes]:
        """The next PDU; (0, b"") when the receiver closed the connection."""
        header = self._read(6)
        if not header:
            return 0, b""
        kind, length = struct.unpack(">BxI", header)
        return kind, self._read(length)

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            try:
                part = self.socket.recv(length)
            except ConnectionResetError:
                return b""
            if not part:
                return b""
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def request(
        self,
        command: Command,
        data: bytes | Iterable[bytes] | None = None,
        *,
        context_id: int = 1,
        last: bool = True,
        max_pdu: int = 16384,
    ) -> None:
        """Send a command and, unless None, its data set, whose last fragment is not marked so without `last`."""
        for piece in data_pdus(context_id, [command_set(command)], is_command=True):
            self.send(piece)
        if data is not None:
            chunks = [data] if isinstance(data, bytes) else data
            for piece in data_pdus(context_id, chunks, is_command=False, last=last, max_pdu=max_pdu):
                self.send(piece)

    def response(self) -> dict[int, bytes]:
        """The next response's command elements; {} when an A-ABORT or the end of the connection came instead."""
        collected = b""
        while True:
            kind, body = self.read_pdu()
            if kind != P_DATA:
                return {}
            while body:
                length, _, control = struct.unpack_from(">IBB", body)
                collected += body[6 : 4 + length]
                body = body[4 + length :]
                if control & 2:
                    return parse_command(collected)

    def store(
        self,
        sop_class: str,
        sop_instance: str,
        data: bytes | Iterable[bytes],
        *,
        context_id: int = 1,
        message_id: int = 1,
    ) -> int | None:
        """C-STORE one data set; the status, or None if the association ended instead."""
        self.request(store_rq(sop_class, sop_instance, message_id), data, context_id=context_id)
        return status_of(self.response())

    def echo(self, context_id: int = 1) -> int | None:
        self.request({0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: 7, 0x0800: 0x0101}, context_id=context_id)
        return status_of(self.response())

    def release(self) -> None:
        self.send(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = self.read_pdu()
        assert kind == RELEASE_RP, f"PDU {kind} instead of A-RELEASE-RP"
        self.socket.close()

    def abort(self) -> None:
        self.send(pdu(ABORT, bytes(4)))
        self.socket.close()


def status_of(response: dict[int, bytes]) -> int | None:
    return int.from_bytes(response[0x0900], "little") if 0x0900 in response else None


def send(port: int, samples: Iterable[tuple[str, str, str, str, bytes]], **request: Any) -> list[int | None]:
    """Store `samples` (name, class, instance, transfer syntax, data) on one association; the statuses."""
    samples = list(samples)
    contexts = list(dict.fromkeys((sample[1], sample[3]) for sample in samples))
    with RawAssociation(port, [(abstract, [syntax]) for abstract, syntax in contexts], **request) as association:
        statuses = [
            association.store(sop_class, instance, data, context_id=2 * contexts.index((sop_class, syntax)) + 1)
            for _, sop_class, instance, syntax, data in samples
        ]
        association.release()
    return statuses
