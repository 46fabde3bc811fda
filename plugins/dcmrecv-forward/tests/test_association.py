"""Peers that reject, abort, keep silent or answer nonsense: each ends in one clear line, none in a wait without end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from peers import Peers
from wire import CT, EXPLICIT, IMPLICIT, accept, data_pdu, element, pdu, read_instance, read_pdu, response

from dcmrecv_core.testing import fake_event, until
from dcmrecv_forward.association import Association
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.dimse import DimseSender
from dcmrecv_forward.errors import ConnectionLost, NotSent, Unreachable

SHORT, LONG = 1.0, 30.0

Conversation = Callable[[socket.socket], None]


def answering(*data: bytes) -> Conversation:
    """Accepts, reads one instance, and answers with these bytes."""

    def converse(connection: socket.socket) -> None:
        accept(connection)
        read_instance(connection)
        with suppress(ConnectionError):  # who does not like it closes the connection
            for each in data:
                connection.sendall(each)

    return converse


def sender(port: int, timeout: float = LONG) -> DimseSender:
    return DimseSender(Peer("127.0.0.1", port, "JUDGE", "ROUTER", timeout))


def send(port: int, **fields: Any) -> None:
    sender(port, **fields).send(fake_event())


def patience(text: str) -> float:
    """Seconds: a peer that is to answer may be slow."""
    return SHORT if text.startswith("no answer") else LONG


def silent(connection: socket.socket) -> None:
    pass


def closing(connection: socket.socket) -> None:
    connection.close()


def rejecting(connection: socket.socket) -> None:
    read_pdu(connection)
    connection.sendall(pdu(3, bytes([0, 1, 1, 7])))
    connection.close()


def saying(data: bytes) -> Conversation:
    def converse(connection: socket.socket) -> None:
        connection.sendall(data)

    return converse


@pytest.mark.parametrize(
    ("conversation", "text"),
    [
        (silent, "no answer within 1 s"),
        (closing, "closed the connection|connection broke"),
        (rejecting, "rejected the association: .*Called AE title not recogni[sz]ed"),
        (saying(pdu(7, bytes([0, 0, 2, 0]))), "aborted"),
        (saying(pdu(2, b"garbage")), "cannot be read"),
        (saying(pdu(3, b"")), "cannot be read"),
        (saying(pdu(5, bytes(4))), "with a PDU of type 05"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no DICOM"),
        (saying(b"\x02\x00\x00\x00\x01"), "no answer"),
        (lambda connection: accept(connection, maximum=7), "at most 7 bytes"),
    ],
    ids=range(10),
)
def test_no_association(peers: Peers, conversation: Conversation, text: str) -> None:
    port = peers.script(conversation)
    with pytest.raises(Unreachable, match=text):
        send(port, timeout=patience(text))


@pytest.mark.parametrize(
    ("conversation", "text"),
    [
        (answering(), "no answer within 1 s"),
        (answering(pdu(6, bytes(4))), "PDU of type 06 instead of a response"),
        (answering(data_pdu((3, response(message_id=2)))), "no response to the C-STORE"),
        (answering(data_pdu((3, response(command=0x8030)))), "no response to the C-STORE"),
        (answering(data_pdu((3, b"x" * 20))), "no response to the C-STORE"),
        (answering(data_pdu((3, response()[:-1]))), "no response to the C-STORE"),
        (answering(data_pdu((2, response()))), "invalid P-DATA-TF"),
        (answering(pdu(4, bytes([0, 0, 9, 9, 1, 3]))), "invalid P-DATA-TF"),
        (answering(pdu(4, bytes(5))), "invalid P-DATA-TF"),
        (answering(pdu(7, bytes(4))), "aborted"),
        (answering(struct.pack(">BBI", 4, 0, 2**31)), "no DICOM"),
    ],
    ids=range(11),
)
def test_no_response(peers: Peers, conversation: Conversation, text: str) -> None:
    port = peers.script(conversation)
    with pytest.raises(NotSent, match=text):
        send(port, timeout=patience(text))


def test_a_response_without_an_end(peers: Peers) -> None:
    endless = data_pdu((1, bytes(60_000))) * 20
    with pytest.raises(NotSent, match="invalid P-DATA-TF"):
        send(peers.script(answering(endless)))


def test_a_response_in_pieces(peers: Peers) -> None:
    whole = response()
    pieces = data_pdu((1, whole[:3]), (1, whole[3:9])) + data_pdu((3, whole[9:]))
    send(peers.script(answering(*(pieces[at : at + 1] for at in range(len(pieces))))))


def test_a_peer_that_does_not_read(peers: Peers, tmp_path: Any) -> None:
    port = peers.script(accept)
    association = Association(Peer("127.0.0.1", port, "JUDGE", "ROUTER", LONG), [(CT, EXPLICIT)])
    association._connection.shorten(SHORT)
    with open("/dev/zero", "rb") as zeros, pytest.raises(NotSent, match=r"did not read for 1 s"):
        association.store(1, CT, "1.2.3", zeros, 1 << 30)
    association.abort()


def test_a_file_that_becomes_shorter(peers: Peers) -> None:
    port = peers.script(accept)
    association = Association(Peer("127.0.0.1", port, "JUDGE", "ROUTER", 10), [(CT, EXPLICIT)])
    with open("/dev/null", "rb") as nothing, pytest.raises(NotSent, match="became shorter"):
        association.store(1, CT, "1.2.3", nothing, 100)
    association.abort()


@pytest.mark.parametrize(
    ("result", "syntax", "reason"),
    [
        (0, IMPLICIT, "a transfer syntax that was not proposed"),
        (1, EXPLICIT, "rejected by the user"),
        (3, EXPLICIT, "abstract syntax not supported"),
        (4, EXPLICIT, "transfer syntaxes not supported"),
    ],
)
def test_refused_contexts(peers: Peers, result: int, syntax: str, reason: str) -> None:
    port = peers.script(lambda connection: accept(connection, result=result, syntax=syntax))
    pairs = [(CT, EXPLICIT), (CT, IMPLICIT)]
    association = Association(Peer("127.0.0.1", port, "JUDGE", "ROUTER", 10), pairs)
    association.abort()
    assert association.accepted == {}
    assert reason in association.refused[pairs[0]]
    assert association.refused[pairs[1]] == "it did not answer the proposal"


def test_a_connection_lost_is_tried_once_more_only_if_it_was_kept(peers: Peers) -> None:
    def once(connection: socket.socket) -> None:
        answering(data_pdu((3, response())))(connection)
        read_instance(connection)
        connection.close()  # the second instance is not answered

    port = peers.script(once, answering(data_pdu((3, response()))))
    to = sender(port)
    to.send(fake_event())
    to.send(fake_event())

    def never(connection: socket.socket) -> None:
        answering()(connection)
        connection.close()

    port = peers.script(never)
    with pytest.raises(ConnectionLost):
        send(port)


def test_a_peer_that_asks_for_the_release_of_an_idle_association(peers: Peers) -> None:
    port = peers.script(
        answering(data_pdu((3, response())), pdu(5, bytes(4))),
        answering(data_pdu((3, response()))),
    )
    to = sender(port)
    to.send(fake_event())
    association = to._association
    assert association is not None
    until(lambda: not association.is_alive(), "the request has come")
    to.send(fake_event())


def test_message_ids_start_again() -> None:
    class Recorded:
        def __init__(self) -> None:
            self.last = 0

        def send(self, data: bytes) -> None:
            place = data.index(element(0x0110, b"12")[:8]) + 8
            self.last = int.from_bytes(data[place : place + 2], "little")

        def receive(self) -> tuple[int, bytes]:
            return 4, data_pdu((3, response(self.last)))[6:]

    association = object.__new__(Association)
    association._message_id, association._fragment = 0xFFFE, 1000
    association._connection = recorded = Recorded()  # type: ignore[assignment]
    seen = []
    with open("/dev/zero", "rb") as zeros:
        for _ in range(3):
            association.store(1, CT, "1.2.3", zeros, 10)
            seen.append(recorded.last)  # type: ignore[attr-defined]
    assert seen == [0xFFFF, 1, 2]
