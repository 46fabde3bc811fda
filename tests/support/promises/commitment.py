"""A requestor of storage commitment on plain sockets, and receivers with dcmrecv-commitment."""

from __future__ import annotations

import os
import select
import socket
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from types import TracebackType
from typing import NamedTuple

from pydicom.filereader import read_dataset

from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE
from support.data.datasets import Node, encode
from support.paths import ROOT
from support.programs.receivers import Receiver
from support.protocol.pdus import (
    ASSOCIATE_AC,
    ASSOCIATE_RQ,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    USER,
    application_context,
    item,
    message,
    parse_command,
    pdu,
    read_pdvs,
    status_of,
)
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, IMPLICIT_LE

TITLE = "RAWSCU"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
N_EVENT_REPORT, N_ACTION = 0x0100, 0x0130
SETTINGS = """
plugin = [{plugins}]

[[plugins.commitment.peers]]
title = "{title}"
host = "127.0.0.1"
port = {port}
"""
PACKAGES = ("index", "commitment")


def settings(port: int, *more: str) -> str:
    """A settings file for reports to `port`, with these plugins, too."""
    plugins = ", ".join(f'"{name}"' for name in (*PACKAGES, *more))
    return SETTINGS.format(title=TITLE, port=port, plugins=plugins)


def installed(packages: Sequence[str] = PACKAGES) -> tuple[dict[str, str], Mapping[str, str]]:
    """Files below the receiver's directory, and its environment, with which the packages are installed for it. What
    comes first in the path of the tests, does so for the receiver."""
    files = {}
    for name in packages:
        place = f"site/dcmrecv_{name}-0.1.0.dist-info"
        files[f"{place}/METADATA"] = f"Metadata-Version: 2.1\nName: dcmrecv-{name}\nVersion: 0.1.0\n"
        files[f"{place}/entry_points.txt"] = f"[dcmrecv]\n{name} = dcmrecv_{name}:plugin\n"
    sources = [str(ROOT / "plugins" / f"dcmrecv-{name}" / "src") for name in packages]
    return files, {"PYTHONPATH": os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *sources, "site"])}


@contextmanager
def index_locked(receiver: Receiver) -> Iterator[None]:
    """Nothing comes into the index meanwhile."""
    [path] = receiver.output.rglob("index.sqlite")
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def _references(tag: int, uids: Iterable[str]) -> Node:
    items = [[_uid(0x00081150, CT), _uid(0x00081155, uid)] for uid in uids]
    return Node(tag, "SQ", items)


def _uid(tag: int, uid: str) -> Node:
    value = uid.encode()
    return Node(tag, "UI", value + bytes(len(value) % 2))


class Report(NamedTuple):
    """What an N-EVENT-REPORT says of CT images: committed, and failed with their reasons."""

    event_type: int
    transaction_uid: str
    committed: set[str]
    failed: dict[str, int]


class Requestor:
    """Asks for storage commitment of CT images, and listens for the reports; it leaves the proposed role unanswered."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Requestor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def ask(self, port: int, transaction_uid: str, uids: Iterable[str]) -> int | None:
        """The status with which the N-ACTION is answered."""
        nodes = [_uid(0x00081195, transaction_uid), _references(0x00081199, uids)]
        command = {0x0003: STORAGE_COMMITMENT, 0x0100: N_ACTION, 0x0110: 1, 0x0800: 0, 0x1001: INSTANCE, 0x1008: 1}
        with RawAssociation(port, [(STORAGE_COMMITMENT, [IMPLICIT_LE])], calling=TITLE, timeout=60) as association:
            association.request(command, encode(nodes, IMPLICIT_LITTLE))
            status = status_of(association.response())
            association.release()
        return status

    def is_called(self, seconds: float) -> bool:
        """Whether somebody comes with a report in so many seconds."""
        return bool(select.select([self._listener], [], [], seconds)[0])

    def report(self) -> Report:
        """The next one; it is answered with Success."""
        while True:
            with self._listener.accept()[0] as connection:
                connection.settimeout(60)
                with suppress(ConnectionError):  # the receiver was killed, or only looked whether it is reached
                    return _Answering(connection).report()


class _Answering:
    """The acceptor of one association."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def report(self) -> Report:
        kind, body = self._read_pdu()
        assert kind == ASSOCIATE_RQ
        result = item(0x21, bytes([1, 0, 0, 0]), item(0x40, IMPLICIT_LE))
        answer = struct.pack(">Hxx", 1) + body[4:68] + application_context() + result + item(0x50, *USER)
        self._connection.sendall(pdu(ASSOCIATE_AC, answer))
        command = parse_command(self._message())
        assert command[0x0100] == struct.pack("<H", N_EVENT_REPORT)
        report = _read_report(command, self._message())
        response = {
            0x0002: STORAGE_COMMITMENT,
            0x0100: N_EVENT_REPORT | 0x8000,
            0x0120: command[0x0110],
            0x0800: 0x0101,
            0x0900: 0,
            0x1000: INSTANCE,
            0x1002: command[0x1002],
        }
        self._connection.sendall(message(1, response))
        if self._read_pdu()[0] == RELEASE_RQ:
            self._connection.sendall(pdu(RELEASE_RP, bytes(4)))
        return report

    def _message(self) -> bytes:
        """A command set or data set; the sender puts one PDV into each PDU."""
        data = b""
        while True:
            kind, body = self._read_pdu()
            if kind == RELEASE_RQ:
                self._connection.sendall(pdu(RELEASE_RP, bytes(4)))
                raise ConnectionResetError
            assert kind == P_DATA
            for _, control, fragment in read_pdvs(body):
                data += fragment
                if control & 2:
                    return data

    def _read_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._read(6))
        return kind, self._read(length)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._connection.recv(length - len(data))
            if not piece:
                raise ConnectionResetError
            data += piece
        return data


def _read_report(command: dict[int, bytes], data: bytes) -> Report:
    [event_type] = struct.unpack("<H", command[0x1002])
    told = read_dataset(BytesIO(data), True, True)
    committed = {str(each.ReferencedSOPInstanceUID) for each in told.get("ReferencedSOPSequence") or []}
    failed = {
        str(each.ReferencedSOPInstanceUID): int(each.FailureReason) for each in told.get("FailedSOPSequence") or []
    }
    return Report(event_type, str(told.TransactionUID), committed, failed)
