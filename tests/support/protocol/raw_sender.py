"""A sender on a plain socket, for any PDUs, data set bytes and command fields."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from dcmrecv_core.testing import until
from support.protocol.pdus import (
    ASSOCIATE_AC,
    P_DATA,
    RELEASE_RP,
    Command,
    abort,
    accepted,
    associate_rq,
    command_set,
    data_pdus,
    echo_rq,
    parse_command,
    read_pdvs,
    release_rq,
    status_of,
    store_rq,
)

LOCAL_LIMIT = bytes((0, 2, 3, 2))
"""Rejected transient, local limit exceeded (PS3.8 section 9.3.4)."""


class RawAssociation:
    """An association with a receiver on this host. `contexts` are proposed under the ids 1, 3, 5 ...; with `tls` the
    connection begins with a handshake; `source` is the address of our side; `first` is sent before all else."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, Sequence[str]]] = (),
        timeout: float = 20,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        source: str = "",
        first: bytes = b"",
        **request: Any,
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(first)
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
        """Send a command and, unless None, its data set; without `last` its last fragment is not marked as the last."""
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
            for _, control, fragment in read_pdvs(body):
                collected += fragment
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
        self.request(echo_rq(), context_id=context_id)
        return status_of(self.response())

    def release(self) -> None:
        self.send(release_rq())
        kind, _ = self.read_pdu()
        assert kind == RELEASE_RP, f"PDU {kind} instead of A-RELEASE-RP"
        self.socket.close()

    def abort(self) -> None:
        self.send(abort(0, 0))
        self.socket.close()


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


def associate_at_last(
    port: int, contexts: Sequence[tuple[str, Sequence[str]]], log: Callable[[], str]
) -> RawAssociation:
    """An association; it is proposed again as long as no worker is there in time."""

    def proposed() -> RawAssociation | None:
        try:
            return RawAssociation(port, contexts)
        except AssertionError as error:
            assert LOCAL_LIMIT.hex() in str(error), error
            return None

    return until(proposed, "an association", log=log)
