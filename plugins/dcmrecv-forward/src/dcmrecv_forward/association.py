"""One association as the requestor.

pynetdicom encodes the request and reads the answer. The connection is ours: pynetdicom's threads take every P-DATA-TF
of an instance into a queue without bounds, so that the whole file is in memory, nothing bounds the time of sending,
and the association's thread may take a response away. Here the caller sends and waits, each time with a deadline.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from dcmrecv_forward.commands import Response, store_request, store_response
from dcmrecv_forward.connection import DATA, LONGEST_PDU, RELEASE_RP, RELEASE_RQ, Connection, Peer
from dcmrecv_forward.errors import NotSent, Unreachable

MOST_CONTEXTS = 128
"""Their IDs are the odd numbers of a byte (PS3.8 section 9.3.2.2)."""

Pair = tuple[str, str]
"""SOP class and transfer syntax: each pair has a presentation context of its own, so no peer chooses among syntaxes."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_ACCEPTED, _REJECTED = 2, 3
_MAXIMUM_LENGTH = 16384
"""Of what the peer sends: responses only."""
_LONGEST_FRAGMENT = 128 * 1024
_SHORTEST_MAXIMUM = 128
_SENT_AT_ONCE = 1 << 20
_COMMAND, _LAST = 1, 2
"""Bits of the message control header (PS3.8 annex E.2)."""
_SECONDS_FOR_RELEASE = 5.0
_REASONS = {
    1: "rejected by the user",
    2: "no reason given",
    3: "abstract syntax not supported",
    4: "transfer syntaxes not supported",
}
"""Of a presentation context (PS3.8 table 9-18)."""


class Association:
    """An established association. When one of its methods has raised anything it is of no use but for `abort`."""

    def __init__(self, peer: Peer, proposed: Sequence[Pair]) -> None:
        """Connect and negotiate a context for each pair, at most 128.

        Raises Unreachable, NotSent if the connection ends meanwhile, ValueError for a UID that cannot be proposed.
        """
        request = _request(peer, proposed)
        self.accepted: dict[Pair, int] = {}
        """Presentation context IDs."""
        self.refused: dict[Pair, str] = {}
        """Reasons."""
        self._message_id = 0
        self._connection = Connection(peer)
        established = False
        try:
            self._connection.send(request)
            self._read_answer(*self._connection.receive(), proposed)
            established = True
        finally:
            if not established:
                self._connection.close()

    def _read_answer(self, kind: int, body: bytes, proposed: Sequence[Pair]) -> None:
        if kind == _REJECTED:
            answer = _decoded(A_ASSOCIATE_RJ(), kind, body)
            raise Unreachable(f"it rejected the association: {answer.result_str}, {answer.reason_str}")
        if kind != _ACCEPTED:
            raise Unreachable(f"it answered the association request with a PDU of type {kind:02X}")
        answer = _decoded(A_ASSOCIATE_AC(), kind, body)
        results = {int(each.context_id or 0): each for each in answer.presentation_context_definition_results_list}
        if not results:
            raise Unreachable("its answer to the association request cannot be read")
        for number, pair in enumerate(proposed):
            identifier = 2 * number + 1
            result = results.get(identifier)
            if result is None:
                self.refused[pair] = "it did not answer the proposal"
            elif result.result == 0 and pair[1] in map(str, result.transfer_syntax):
                self.accepted[pair] = identifier
            else:
                self.refused[pair] = _REASONS.get(
                    result.result or 0, "it chose a transfer syntax that was not proposed"
                )
        # 0: without limit; of the PDU's content 6 bytes are the PDV's length, context ID and control header
        maximum = min(answer.maximum_length_received or _LONGEST_FRAGMENT, _LONGEST_FRAGMENT)
        if maximum < _SHORTEST_MAXIMUM:
            raise Unreachable(f"it takes PDUs of at most {maximum} bytes")
        self._fragment = (maximum - 6) & ~1

    def store(self, context: int, sop_class_uid: str, sop_instance_uid: str, data: BinaryIO, size: int) -> Response:
        """Send an instance whose encoded data set are the next `size` bytes of `data`; wait for the response.

        Raises NotSent; OSError if the data cannot be read.
        """
        self._message_id = self._message_id % 0xFFFF + 1
        block = bytearray()
        command = store_request(self._message_id, sop_class_uid, sop_instance_uid)
        for start in range(0, len(command), self._fragment):
            piece = command[start : start + self._fragment]
            last = start + len(piece) == len(command)
            block += _pdv_header(context, _COMMAND | _LAST * last, len(piece)) + piece
        while size:
            length = min(self._fragment, size)
            size -= length
            piece = data.read(length)
            if len(piece) < length:
                raise NotSent("the file became shorter while it was sent")
            block += _pdv_header(context, _LAST * (not size), length)
            block += piece
            if len(block) >= _SENT_AT_ONCE or not size:
                self._connection.send(block)
                block.clear()
        response = store_response(self._command())
        if response is None or response.message_id != self._message_id:
            raise NotSent("what it answered is no response to the C-STORE request")
        return response

    def _command(self) -> bytes:
        """The command set of the next message."""
        command = b""
        while True:
            kind, body = self._connection.receive()
            if kind != DATA:
                raise NotSent(f"it sent a PDU of type {kind:02X} instead of a response")
            while body:
                length, _, control = struct.unpack(">IBB", body[:6].ljust(6, b"\0"))
                command += body[6 : 4 + length]
                if not 2 <= length <= len(body) - 4 or not control & _COMMAND or len(command) > LONGEST_PDU:
                    raise NotSent("it sent an invalid P-DATA-TF instead of a response")
                if control & _LAST:
                    return command
                body = body[4 + length :]

    def is_alive(self) -> bool:
        """Whether the peer has not ended it meanwhile: nothing else comes unasked."""
        return self._connection.is_quiet()

    def release(self) -> None:
        """End it in order (PS3.8 section 7.2); afterwards it is closed, whatever the peer does."""
        try:
            self._connection.shorten(_SECONDS_FOR_RELEASE)
            self._connection.send(struct.pack(">BBII", RELEASE_RQ, 0, 4, 0))
            while self._connection.receive()[0] not in (RELEASE_RQ, RELEASE_RP):
                pass
        except NotSent:
            pass  # it is over in any case
        finally:
            self._connection.close()

    def abort(self) -> None:
        """End it at once, whatever is under way."""
        self._connection.close()


def _request(peer: Peer, proposed: Sequence[Pair]) -> bytes:
    """An A-ASSOCIATE-RQ."""
    contexts = []
    for number, pair in enumerate(proposed):
        context: PresentationContext = build_context(*pair)
        context.context_id = 2 * number + 1
        contexts.append(context)
    length, uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = _MAXIMUM_LENGTH
    uid.implementation_class_uid = UID(PYNETDICOM_IMPLEMENTATION_UID)
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(_APPLICATION_CONTEXT)
    primitive.calling_ae_title = peer.calling
    primitive.called_ae_title = peer.called
    primitive.presentation_context_definition_list = contexts
    primitive.user_information = [length, uid, version]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def _decoded(pdu: A_ASSOCIATE_AC | A_ASSOCIATE_RJ, kind: int, body: bytes) -> A_ASSOCIATE:
    try:
        pdu.decode(struct.pack(">BBI", kind, 0, len(body)) + body)
        return pdu.to_primitive()
    except Exception as error:  # pynetdicom raises many kinds for bytes that are no PDU
        raise Unreachable("its answer to the association request cannot be read") from error


def _pdv_header(context: int, control: int, length: int) -> bytes:
    """P-DATA-TF with one PDV of `length` bytes (PS3.8 section 9.3.5), up to these."""
    return struct.pack(">BBIIBB", DATA, 0, length + 6, length + 2, context, control)
