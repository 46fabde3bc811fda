"""A sender like a modality, by pynetdicom; and the sender of an association that is to be rejected."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from dcmrecv_core.api.verdicts import Reject, RejectReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_IMPLEMENTATION_CLASS_UID = "1.2.826.0.1.3680043.8.498.999"
_SECONDS = 20.0
_HINT = '; without a plugin that names or stores, it accepts Verification only, unless it is started with "-pm"'
_EXPECTED = "; for one that has to be rejected there is receiver.expect_rejection"
_ASSOCIATE_AC = 0x02
_ASSOCIATE_RJ = 0x03
_PDU_TYPES = {_ASSOCIATE_AC: "accepted", 0x07: "aborted"}
_PERMANENT = 1


class Status(int):
    """A DIMSE status, equal to its number; `comment` is the Error Comment (0000,0902) of the response, "" if none."""

    comment: str

    def __new__(cls, status: int, comment: str = "") -> Self:
        made = super().__new__(cls, status)
        made.comment = comment
        return made

    def __repr__(self) -> str:
        return f"0x{self:04X}" + (f" ({self.comment})" if self.comment else "") if self else "0"


def send(
    port: int,
    *datasets: Dataset,
    host: str = "127.0.0.1",
    calling_ae_title: str = "SENDER",
    called_ae_title: str = "ANY-SCP",
) -> list[Status]:
    """Send instances in one association, each in the transfer syntax of its `file_meta`; returns their statuses.

    Each status equals its number, and has the Error Comment of the response as `comment`. Without instances it sends a
    C-ECHO. Raises AssertionError if there is no association, no context for an instance, or no response within 20
    seconds.
    """
    statuses: list[Status] = []
    send_until_lost(port, datasets, statuses.append, host, calling_ae_title, called_ae_title)
    if len(statuses) < len(datasets or [None]):
        raise AssertionError(
            f"no response to instance {len(statuses) + 1} of {len(datasets)}: connection lost or time out"
        )
    return statuses


def send_until_lost(
    port: int,
    datasets: Sequence[Dataset],
    on_status: Callable[[Status], object],
    host: str = "127.0.0.1",
    calling_ae_title: str = "SENDER",
    called_ae_title: str = "ANY-SCP",
) -> None:
    """As `send`, but it tells each status when it comes, and ends after the last one if the connection is lost."""
    with _association(port, datasets, host, calling_ae_title, called_ae_title) as association:
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in association.accepted_contexts
        }
        refused = {context_of(dataset) for dataset in datasets} - accepted
        if refused:
            raise AssertionError(f"the receiver accepts no context for {sorted(refused)}{_HINT}")
        for dataset in datasets or (None,):
            await_pause_over(association)
            if not association.is_established:
                break
            try:
                answer = association.send_c_store(dataset) if dataset is not None else association.send_c_echo()
            except RuntimeError:  # the connection was lost since it was looked at
                break
            if "Status" not in answer:
                break
            on_status(Status(int(answer.Status), str(answer.get("ErrorComment", "") or "")))


@contextmanager
def _association(
    port: int, datasets: Sequence[Dataset], host: str, calling_ae_title: str, called_ae_title: str
) -> Iterator[Association]:
    """An association that proposes the contexts of `datasets` (none: for a C-ECHO); released and closed afterwards."""
    from pynetdicom import AE, evt

    entity = AE(ae_title=calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _SECONDS
    wanted = {context_of(dataset) for dataset in datasets}
    for sop_class, syntax in sorted(wanted) or [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]:
        entity.add_requested_context(sop_class, syntax)
    heard: list[bytes] = []
    connections: list[socket.socket] = []
    handlers = [
        (evt.EVT_DATA_RECV, lambda event: heard.append(event.data)),
        (evt.EVT_CONN_OPEN, lambda event: connections.append(event.assoc.dul.socket.socket)),
    ]
    association = entity.associate(host, port, ae_title=called_ae_title, evt_handlers=handlers)  # type: ignore[arg-type]
    try:
        if not association.is_established:
            # not what pynetdicom says: on a busy machine it takes some rejections for connections that failed
            rejected = bool(heard) and heard[0][0] == _ASSOCIATE_RJ
            if rejected and (reason := RejectReason(tuple(heard[0][8:10]))) is not RejectReason.NO_REASON:
                why = reason.name.lower().replace("_", " ")
                raise AssertionError(f"the association with port {port} was rejected: {why}{_EXPECTED}")
            raise AssertionError(f"the association with port {port} was rejected or aborted{_HINT}{_EXPECTED}")
        yield association
    finally:
        association.release()
        # pynetdicom does not close what the peer has reset, and warns of it later
        for thread in (association, association.dul):
            if thread.is_alive():
                thread.join(_SECONDS)
        for connection in connections:
            connection.close()


def context_of(dataset: Dataset) -> tuple[str, str]:
    """What has to be proposed for an instance: abstract and transfer syntax."""
    return str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)


def await_pause_over(association: Association) -> None:
    """pynetdicom pauses its own thread while it waits for a response. If the thread has not gone on since the last one
    when the next message is sent, it is taken for paused, wakes up, and takes the response away. A thread that has
    ended with its association stays paused."""
    end = time.monotonic() + _SECONDS
    while association.is_established and getattr(association, "_is_paused", False) and time.monotonic() < end:
        time.sleep(0.001)


def rejection(
    port: int,
    *,
    host: str = "127.0.0.1",
    calling_ae_title: str = "SENDER",
    called_ae_title: str = "ANY-SCP",
    contexts: Iterable[tuple[str, str]] = ((VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN),),
) -> Reject:
    """Propose an association with `contexts` (abstract and transfer syntax) that is to be rejected; returns why.

    Raises AssertionError if it is accepted or aborted, or not answered within 20 seconds.
    """
    # not by pynetdicom: on a busy machine it does not see a rejection that the end of the connection follows
    request = _associate_rq(calling_ae_title, called_ae_title, contexts)
    with socket.create_connection((host, port), timeout=_SECONDS) as connection:
        try:
            connection.sendall(request)
            answer = b""
            while len(answer) < 10 and (piece := connection.recv(10 - len(answer))):
                answer += piece
            if answer[:1] == bytes([_ASSOCIATE_AC]):
                connection.sendall(bytes([0x07, 0, 0, 0, 0, 4, 0, 0, 0, 0]))  # A-ABORT by the user (PS3.8 9.3.8)
        except OSError as error:
            raise AssertionError(f"the association with port {port} was not answered: {error}") from error
    if len(answer) < 10 or answer[0] != _ASSOCIATE_RJ:
        how = _PDU_TYPES.get(answer[0], f"answered with a PDU of type {answer[0]:02X}") if answer else "closed"
        raise AssertionError(f"the association with port {port} was {how}, not rejected")
    result, source, reason = answer[7:10]
    return Reject(RejectReason((source, reason)), transient=result != _PERMANENT)


def _associate_rq(calling: str, called: str, contexts: Iterable[tuple[str, str]]) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    items = _item(0x10, _APPLICATION_CONTEXT.encode())
    for number, (abstract, transfer) in enumerate(contexts):
        syntaxes = _item(0x30, abstract.encode()) + _item(0x40, transfer.encode())
        items += _item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes)
    items += _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, _IMPLEMENTATION_CLASS_UID.encode()))
    titles = called.encode("ascii").ljust(16) + calling.encode("ascii").ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32) + items
    return struct.pack(">BBI", 0x01, 0, len(body)) + body


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content
